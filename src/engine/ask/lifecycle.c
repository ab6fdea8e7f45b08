/*
 * engine/ask/lifecycle.c -- who is new, who returns and who stays away, interval by interval.
 *
 * Of every interval the active persons of a piece are bits.  What a person is in an interval follows from three of
 * them: active in it, active in the one before, active anywhere in the look-back.  So 64 persons are counted at once.
 */
#include "engine/ask/lifecycle.h"

#include "engine/ask/series.h"
#include "engine/scan/ahead.h"
#include "engine/scan/buckets.h"
#include "engine/scan/scan_whole.h"

#include <stdlib.h>

enum { WORDS = PART_BLOCK_PERSONS / 64 };

typedef struct LifecycleWorker {
    Scanner *scanner; /* with a breakdown; otherwise */
    WholeScan *whole;
    Buckets intervals;
    SeriesRows series;
    uint64_t *active;   /* [series][interval][WORDS] of the piece */
    LifecycleRow *rows; /* [series][interval] */
    bool damaged;
} LifecycleWorker;

typedef struct LifecycleRun {
    const Lifecycle *l;
    ScanSelect select;
    WholeAsk whole; /* of that, without a breakdown */
    Series series;
    uint32_t look_back;      /* 1 to interval_count */
    const LifecycleBar *bar; /* NULL: nobody asks who is behind it */
    const People *people;
    LifecycleWorker *workers;
} LifecycleRun;

static void take_rows(const ScanLoose *l, void *arg)
{
    LifecycleWorker *w = arg;
    w->damaged = !series_add_persons(&w->series, &w->intervals, l, w->active) || w->damaged;
}

/* Without a breakdown: then what a row has does not matter. */
static void take_whole(const WholePart *whole, void *arg)
{
    LifecycleWorker *w = arg;
    uint64_t *active = w->active + (size_t)buckets_at(&w->intervals, whole->at_ms) * WORDS;
    for (uint32_t word = 0; word < WORDS; word++)
        active[word] |= whole->persons[word];
}

/* tails[k]: active in any of the last n - k of the n intervals that end before `end`. */
static void find_tails(const uint64_t *active, uint32_t end, uint32_t n, uint64_t *tails)
{
    uint64_t any = 0;
    for (uint32_t k = n; k-- > 0;) {
        any |= active[(size_t)(end - n + k) * WORDS];
        tails[k] = any;
    }
}

/* What 64 persons are in an interval. */
typedef struct States {
    uint64_t of[LIFECYCLE_STATES];
} States;

static States states_of(uint64_t active, uint64_t before, uint64_t seen)
{
    return (States){{[LIFECYCLE_NEW] = active & ~seen,
                     [LIFECYCLE_RETURNING] = active & before,
                     [LIFECYCLE_RESURRECTING] = active & seen & ~before,
                     [LIFECYCLE_DORMANT] = before & ~active}};
}

static void add_row(LifecycleRow *row, const States *states)
{
    row->fresh += (uint64_t)__builtin_popcountll(states->of[LIFECYCLE_NEW]);
    row->returning += (uint64_t)__builtin_popcountll(states->of[LIFECYCLE_RETURNING]);
    row->resurrecting += (uint64_t)__builtin_popcountll(states->of[LIFECYCLE_RESURRECTING]);
    row->dormant += (uint64_t)__builtin_popcountll(states->of[LIFECYCLE_DORMANT]);
}

/*
 * The look-back of any interval is the end of one group of `look_back` intervals and the beginning of the next: with
 * what was seen since the group began, and the tails of the one before, a step costs the same for every length.
 * `who`: where those behind the bar are kept; NULL when it is of another series, or nobody asks.
 */
static void add_persons(const LifecycleRun *run, const uint64_t *active, LifecycleRow *rows,
                        uint64_t *who)
{
    uint64_t tails[QUERY_INTERVALS_MAX] = {0};
    uint64_t since = 0, before = 0;
    for (uint32_t i = 0, in_group = 0; i < run->l->interval_count; i++, in_group++) {
        if (in_group == run->look_back) {
            find_tails(active, i, run->look_back, tails);
            in_group = 0;
            since = 0;
        }
        const uint64_t now = active[(size_t)i * WORDS];
        const States states = states_of(now, before, tails[in_group] | since);
        add_row(&rows[i], &states);
        if (who != NULL && i == run->bar->interval)
            *who = states.of[run->bar->state];
        since |= now;
        before = now;
    }
}

static size_t cells_of(const LifecycleRun *run)
{
    return (size_t)run->series.count * run->l->interval_count;
}

static void take_piece(uint32_t worker, uint32_t piece, void *arg)
{
    const LifecycleRun *run = arg;
    const size_t n = run->l->interval_count;
    LifecycleWorker *w = &run->workers[worker];
    memset(w->active, 0, cells_of(run) * WORDS * sizeof *w->active);
    if (w->scanner != NULL)
        scanner_loose(w->scanner, piece, take_rows, w);
    else
        whole_scan(w->whole, piece, take_whole, take_rows, w);
    for (uint32_t s = 0; s < run->series.count; s++) {
        const bool asks_who = run->bar != NULL && run->bar->series == s;
        uint64_t *who = asks_who ? people_piece(run->people, piece) : NULL;
        for (uint32_t word = 0; word < WORDS; word++)
            add_persons(run, w->active + s * n * WORDS + word, w->rows + s * n,
                        who == NULL ? NULL : who + word);
    }
}

static bool is_damaged(const LifecycleWorker *w)
{
    return w->damaged ||
           (w->scanner != NULL ? scanner_damaged(w->scanner) : whole_scan_damaged(w->whole)) > 0;
}

static void open_worker(LifecycleWorker *w, const Query *q, const LifecycleRun *run)
{
    if (run->l->breakdown_count > 0)
        w->scanner = scanner_new(q->view, &(ScanAsk){.selects = &run->select, .select_count = 1});
    else
        w->whole = whole_scan_new(q->view, &run->whole);
    w->intervals = (Buckets){.bounds = run->l->bounds, .count = run->l->interval_count};
    series_rows_open(&w->series, &run->series);
    w->active = malloc((cells_of(run) + 1) * WORDS * sizeof *w->active);
    w->rows = calloc(cells_of(run) + 1, sizeof *w->rows);
    CHECK(w->active != NULL && w->rows != NULL);
}

static void close_worker(LifecycleWorker *w)
{
    scanner_free(w->scanner);
    whole_scan_free(w->whole);
    buckets_free(&w->intervals);
    series_rows_free(&w->series);
    free(w->active);
    free(w->rows);
}

static void give_series(Ctx *ctx, const LifecycleRun *run, uint32_t size, uint32_t s,
                        LifecycleSeries *out)
{
    const uint32_t n = run->l->interval_count;
    LifecycleRow *sums = ARENA_ARRAY(ctx->arena, LifecycleRow, n);
    for (uint32_t i = 0; i < size; i++)
        for (uint32_t at = 0; at < n; at++) {
            const LifecycleRow *row = &run->workers[i].rows[(size_t)s * n + at];
            sums[at].fresh += row->fresh;
            sums[at].returning += row->returning;
            sums[at].resurrecting += row->resurrecting;
            sums[at].dormant += row->dormant;
        }
    out->key = series_key(&run->series, s);
    out->events = series_events(&run->series, s);
    out->rows = sums;
}

static Err run_lifecycle(Ctx *ctx, const Query *q, LifecycleRun *run, LifecycleResult *out)
{
    const uint32_t size = crew_size(q->crew);
    run->whole = (WholeAsk){&run->select, 1, run->l->bounds, run->l->interval_count};
    TRY(ahead_of(ctx, q,
                 &(AheadAsk){.selects = &run->select,
                             .select_count = 1,
                             .props = run->l->breakdown,
                             .prop_count = run->l->breakdown_count,
                             .ms = true,
                             .whole = run->l->breakdown_count > 0 ? NULL : &run->whole}));
    for (uint32_t i = 0; i < size; i++)
        open_worker(&run->workers[i], q, run);
    TRY(query_pieces(ctx, q, QUERY_PERSONS, take_piece, run));
    for (uint32_t i = 0; i < size; i++)
        if (is_damaged(&run->workers[i]))
            return fail(ctx, ERR_INTERNAL, "events.part_damaged", "a lifecycle met damage");
    LifecycleSeries *series =
        ARENA_ARRAY(ctx->arena, LifecycleSeries, (size_t)run->series.count + 1);
    for (uint32_t s = 0; s < run->series.count; s++)
        give_series(ctx, run, size, s, &series[s]);
    *out = (LifecycleResult){series, run->series.count, series_distinct(&run->series)};
    return ERR_OK;
}

static Err check_limits(Ctx *ctx, const Lifecycle *l)
{
    const uint64_t series = l->breakdown_count == 0 ? 1 : (uint64_t)l->top + 1;
    if (l->interval_count > 0 && l->interval_count <= QUERY_INTERVALS_MAX &&
        l->breakdown_count <= QUERY_BREAKDOWNS_MAX && l->top <= QUERY_GROUPS_MAX &&
        series * l->interval_count <= QUERY_CELLS_MAX)
        return ERR_OK;
    return fail(ctx, ERR_INVALID, "query.too_large", "%u intervals, %u series", l->interval_count,
                l->top);
}

/* `known`: the series are these. */
static Err answer(Ctx *ctx, const Query *q, LifecycleRun *run, const SeriesKeys *known,
                  LifecycleResult *out)
{
    const Lifecycle *l = run->l;
    TRY(check_limits(ctx, l));
    const bool all = l->look_back == 0 || l->look_back > l->interval_count;
    run->look_back = all ? l->interval_count : l->look_back;
    run->select = l->select;
    run->select.from_ms = l->bounds[0];
    run->select.to_ms = l->bounds[l->interval_count];
    const SeriesAsk ask = {&run->select, l->breakdown, l->breakdown_count, l->top};
    Err err = series_find_or_know(ctx, q, &ask, known, &run->series);
    run->workers = calloc(crew_size(q->crew), sizeof *run->workers);
    CHECK(run->workers != NULL);
    if (err == ERR_OK)
        err = run_lifecycle(ctx, q, run, out);
    for (uint32_t i = 0; i < crew_size(q->crew); i++)
        close_worker(&run->workers[i]);
    free(run->workers);
    series_free(&run->series);
    return err;
}

Err query_lifecycle(Ctx *ctx, const Query *q, const Lifecycle *l, LifecycleResult *out)
{
    return answer(ctx, q, &(LifecycleRun){.l = l}, NULL, out);
}

Err query_lifecycle_people(Ctx *ctx, const Query *q, const Lifecycle *l, const LifecycleResult *r,
                           const LifecycleBar *bar, People *out)
{
    CHECK(bar->series < r->count && bar->interval < l->interval_count);
    People people = people_none(ctx->arena, q->view);
    const SeriesKeys known = {&r->series->key, sizeof *r->series, r->count};
    LifecycleResult unused;
    TRY(answer(ctx, q, &(LifecycleRun){.l = l, .bar = bar, .people = &people}, &known, &unused));
    people_count(&people);
    *out = people;
    return ERR_OK;
}
