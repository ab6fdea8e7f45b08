/*
 * engine/ask/lifecycle.c -- who is new, who returns and who stays away, interval by interval.
 *
 * Of every interval the active persons of a piece are bits.  What a person is in an interval follows from three of
 * them: active in it, active in the one before, active anywhere in the look-back.  So 64 persons are counted at once.
 */
#include "engine/ask/lifecycle.h"

#include "engine/ask/series.h"
#include "engine/scan/ahead.h"

#include <stdlib.h>

enum { WORDS = STRIP_PERSON_WORDS, FIRST_PLACE = 1 /* of the intervals */ };

typedef struct LifecycleWorker {
    WholeScan *scan;
    SeriesRows series;
    StripPersons
        active;      /* [block][series][place][WORDS]: the intervals', and before and behind them */
    uint32_t places; /* of a series */
    LifecycleRow *rows; /* [series][interval] */
    bool damaged;
} LifecycleWorker;

typedef struct LifecycleRun {
    const Lifecycle *l;
    ScanSelect select;
    WholeAsk whole;  /* of that */
    uint32_t places; /* of a series */
    uint32_t blocks; /* that are looked at together */
    Series series;
    uint32_t look_back;      /* 1 to interval_count */
    const LifecycleBar *bar; /* NULL: nobody asks who is behind it */
    const People *people;
    LifecycleWorker *workers;
} LifecycleRun;

static void take_rows(const WholeRows *rows, void *arg)
{
    LifecycleWorker *w = arg;
    w->damaged = !series_add_persons(&w->series, rows, w->places, &w->active) || w->damaged;
}

/* Without a breakdown: then what a row has does not matter. */
static void take_whole(const WholePart *whole, void *arg)
{
    LifecycleWorker *w = arg;
    uint64_t *active = strip_persons_of(&w->active, whole->block, whole->place);
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

static void add_block(const LifecycleRun *run, LifecycleWorker *w, uint32_t block)
{
    const size_t n = run->l->interval_count;
    for (uint32_t s = 0; s < run->series.count; s++) {
        const bool asks_who = run->bar != NULL && run->bar->series == s;
        uint64_t *who = asks_who ? people_piece(run->people, block) : NULL;
        const uint64_t *active =
            strip_persons_of(&w->active, block, (size_t)s * run->places + FIRST_PLACE);
        for (uint32_t word = 0; word < WORDS; word++)
            add_persons(run, active + word, w->rows + s * n, who == NULL ? NULL : who + word);
    }
}

static size_t bytes_of_block(const LifecycleRun *run)
{
    return (size_t)run->series.count * run->places * WORDS * sizeof(uint64_t);
}

static void take_blocks(uint32_t worker, uint32_t from, uint32_t to, void *arg)
{
    const LifecycleRun *run = arg;
    LifecycleWorker *w = &run->workers[worker];
    memset(w->active.bits, 0, (to - from) * bytes_of_block(run));
    w->active.first_block = from;
    whole_scan(w->scan, from, to, &(WholeTaker){take_whole, take_rows, w});
    for (uint32_t block = from; block < to; block++)
        add_block(run, w, block);
}

static bool is_damaged(const LifecycleWorker *w)
{
    return w->damaged || whole_scan_damaged(w->scan) > 0;
}

static void open_worker(LifecycleWorker *w, const Query *q, const LifecycleRun *run)
{
    w->scan = whole_scan_new(q->view, &run->whole);
    series_rows_open(&w->series, &run->series);
    w->active = (StripPersons){.bits = malloc(run->blocks * bytes_of_block(run) + 1),
                               .cells = run->series.count * run->places};
    w->places = run->places;
    w->rows = calloc(cells_of(run) + 1, sizeof *w->rows);
    CHECK(w->active.bits != NULL && w->rows != NULL);
}

static void close_worker(LifecycleWorker *w)
{
    whole_scan_free(w->scan);
    series_rows_free(&w->series);
    free(w->active.bits);
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

static void open_ask(LifecycleRun *run)
{
    const Lifecycle *l = run->l;
    run->places = l->interval_count + 2;
    run->whole = (WholeAsk){.selects = &run->select,
                            .select_count = 1,
                            .bounds = l->bounds,
                            .count = l->interval_count,
                            .rows_only = l->breakdown_count > 0,
                            .by_block = series_by_block(&run->series.ask)};
}

static Err run_lifecycle(Ctx *ctx, const Query *q, LifecycleRun *run, LifecycleResult *out)
{
    const uint32_t size = crew_size(q->crew);
    open_ask(run);
    run->blocks = query_blocks_at_once(q, bytes_of_block(run));
    TRY(ahead_of(ctx, q,
                 &(AheadAsk){.selects = &run->select,
                             .select_count = 1,
                             .props = run->l->breakdown,
                             .prop_count = run->l->breakdown_count,
                             .ms = true,
                             .whole = &run->whole}));
    for (uint32_t i = 0; i < size; i++)
        open_worker(&run->workers[i], q, run);
    TRY(query_blocks(ctx, q, run->blocks, take_blocks, run));
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
