/*
 * engine/ask/session.c -- sessions, in up to three passes.
 *
 * The first one says which series are shown, the second counts.  A median needs a third: the second one counts
 * lengths by 256 seconds, which says among which of them the middle one lies, and the third counts those to the
 * second.  So a cell has 338 and 256 counts, however many sessions it has.
 */
#include "engine/ask/session.h"

#include "engine/core/tally.h"
#include "engine/scan/ahead.h"
#include "engine/scan/buckets.h"

#include <stdlib.h>

enum {
    COARSE_S = 256,
    COARSE = 86400 / COARSE_S + 1, /* a session is shorter than a day */
};

typedef enum SessionPass {
    PASS_SERIES,
    PASS_COUNT,
    PASS_MEDIAN,
} SessionPass;

typedef struct SessionWorker {
    const struct SessionRun *run;
    Scanner *scanner;
    Tally values, began, ended;
    SessionCell *cells;
    uint32_t *last_person; /* [cell] */
    uint32_t *coarse;      /* [cell][COARSE], when a median is wanted */
    uint32_t *fine;        /* [cell][COARSE_S] */
} SessionWorker;

typedef struct SessionRun {
    const Query *q;
    const Sessions *s;
    ScanAsk ask;
    SessionPass pass;
    Tally shown; /* the series that are, "other" not among them */
    uint32_t distinct, series;
    uint32_t cells;        /* of all series */
    uint32_t *coarse_at;   /* [cell]: where the middle one lies */
    uint64_t *below;       /* [cell]: how many lie before that */
    const SessionBar *bar; /* NULL: nobody asks who is behind it */
    const People *people;
    SessionWorker *workers;
} SessionRun;

/* Rows [from, to) of a batch, which are one session that starts in `bucket`. */
typedef struct Session {
    uint32_t person, from, to, bucket;
    int64_t ms;
} Session;

static uint64_t middle_of(uint64_t n)
{
    return (n - 1) / 2;
}

/* ---- one session --------------------------------------------------------------------------------- */

static TallyKey value_of(const Sessions *s, const ScanBatch *b, const Session *one)
{
    TallyKey key = {{0}};
    for (uint32_t i = 0; i < s->breakdown_count; i++)
        key.of[i] = b->values[i][one->from];
    return key;
}

static uint32_t series_of(const SessionRun *run, const ScanBatch *b, const Session *one)
{
    if (run->s->breakdown_count == 0)
        return 0;
    const uint32_t number = tally_find(&run->shown, value_of(run->s, b, one));
    return number == TALLY_NONE ? run->shown.count : number;
}

static void count_in_cell(SessionWorker *w, uint32_t cell, const Session *one)
{
    SessionCell *c = &w->cells[cell];
    c->persons += c->sessions == 0 || w->last_person[cell] != one->person;
    w->last_person[cell] = one->person;
    c->sessions++;
    c->events += one->to - one->from;
    c->bounced += one->to - one->from == 1;
    c->ms += (uint64_t)one->ms;
    if (w->coarse != NULL)
        w->coarse[(size_t)cell * COARSE + (size_t)(one->ms / 1000 / COARSE_S)]++;
}

static void count_in_middle(SessionWorker *w, uint32_t cell, const Session *one)
{
    const uint32_t second = (uint32_t)(one->ms / 1000);
    if (second / COARSE_S == w->run->coarse_at[cell])
        w->fine[(size_t)cell * COARSE_S + second % COARSE_S]++;
}

/* `cells`: of the session's bucket, and of all of them. */
static bool is_behind(const SessionRun *run, const ScanBatch *b, const Session *one,
                      const uint32_t cells[2])
{
    const SessionBar *bar = run->bar;
    const uint32_t cell = bar->series * (run->s->bucket_count + 1) + bar->bucket;
    if (bar->kind == SESSION_BEGAN || bar->kind == SESSION_ENDED)
        return b->events[bar->kind == SESSION_BEGAN ? one->from : one->to - 1] == bar->event;
    return (cells[0] == cell || cells[1] == cell) &&
           (bar->kind == SESSION_ALL || one->to - one->from == 1);
}

static void take_session(SessionWorker *w, const ScanBatch *b, const Session *one)
{
    const SessionRun *run = w->run;
    if (run->pass == PASS_SERIES) {
        tally_add(&w->values, value_of(run->s, b, one), 1);
        return;
    }
    const uint32_t first = series_of(run, b, one) * (run->s->bucket_count + 1);
    const uint32_t cells[] = {first + one->bucket, first + run->s->bucket_count};
    for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
        if (run->pass == PASS_COUNT)
            count_in_cell(w, cells[i], one);
        else
            count_in_middle(w, cells[i], one);
    }
    if (run->pass == PASS_MEDIAN)
        return;
    tally_add(&w->began, (TallyKey){{b->events[one->from]}}, 1);
    tally_add(&w->ended, (TallyKey){{b->events[one->to - 1]}}, 1);
    if (run->bar != NULL && is_behind(run, b, one, cells))
        people_add_amount(run->people, one->person, 1);
}

/* ---- persons ------------------------------------------------------------------------------------- */

static uint32_t session_end(const Sessions *s, const ScanBatch *b, uint32_t from, uint32_t to)
{
    const int64_t start_ms = scan_ms(b, from);
    uint32_t row = from + 1;
    while (row < to &&
           session_goes_on(s->gap_ms, s->max_ms, start_ms, scan_ms(b, row - 1), scan_ms(b, row)) &&
           !crew_gives_up_at(row))
        row++;
    return row;
}

static void take_person(const Sessions *s, SessionWorker *w, const ScanBatch *b, uint32_t i)
{
    const int64_t base_ms = scanner_base_ms(w->scanner);
    Session one = {.person = b->persons[i]};
    for (one.from = b->from[i]; one.from < b->from[i + 1] && !crew_gives_up(1); one.from = one.to) {
        const int64_t start_ms = base_ms + scan_ms(b, one.from);
        one.to = session_end(s, b, one.from, b->from[i + 1]);
        if (start_ms < s->bounds[0] || start_ms >= s->bounds[s->bucket_count])
            continue;
        one.bucket = buckets_begun(s->bounds, s->bucket_count, start_ms) - 1;
        one.ms = scan_ms(b, one.to - 1) - scan_ms(b, one.from);
        take_session(w, b, &one);
    }
}

static void take_piece(uint32_t worker, uint32_t piece, void *arg)
{
    const SessionRun *run = arg;
    SessionWorker *w = &run->workers[worker];
    ScanBatch b;
    while (scanner_batch(w->scanner, piece, &b))
        for (uint32_t i = 0; i < b.person_count && !crew_gives_up(scan_rows_of(&b, i)); i++)
            take_person(run->s, w, &b, i);
}

static Err run_pass(Ctx *ctx, SessionRun *run, SessionPass pass)
{
    const uint32_t size = crew_size(run->q->crew);
    run->pass = pass;
    TRY(ahead_of_scan(ctx, run->q, &run->ask, true));
    for (uint32_t i = 0; i < size; i++)
        run->workers[i].scanner = scanner_new(run->q->view, &run->ask);
    Err err = query_pieces(ctx, run->q, QUERY_PERSONS, take_piece, run);
    bool damaged = false;
    for (uint32_t i = 0; i < size; i++) {
        damaged = damaged || scanner_damaged(run->workers[i].scanner) > 0;
        scanner_free(run->workers[i].scanner);
    }
    if (err == ERR_OK && damaged)
        err = fail(ctx, ERR_INTERNAL, "events.part_damaged", "sessions met damage");
    return err;
}

/* ---- which series are shown ---------------------------------------------------------------------- */

static Err find_series(Ctx *ctx, SessionRun *run)
{
    Tally all = {.limit = SESSION_VALUES_MAX};
    TRY(run_pass(ctx, run, PASS_SERIES));
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++)
        tally_join(&all, &run->workers[i].values);
    tally_top(&all, run->s->top, &run->shown);
    run->distinct = all.count;
    run->series = run->shown.count + (run->shown.count < all.count);
    const bool is_over = all.is_over;
    tally_free(&all);
    return is_over ? fail(ctx, ERR_INVALID, "query.too_large", "over %d values", SESSION_VALUES_MAX)
                   : ERR_OK;
}

/* The same series as once before. */
static void know_series(SessionRun *run, const SessionsResult *known)
{
    run->series = known->count;
    run->distinct = known->distinct;
    for (uint32_t i = 0; i < known->count && !known->series[i].key.is_other; i++) {
        TallyKey key;
        memcpy(key.of, known->series[i].key.values, sizeof key.of);
        (void)tally_number(&run->shown, &key);
    }
}

/* ---- counting ------------------------------------------------------------------------------------ */

static void *zeros(size_t n, size_t size)
{
    void *room = calloc(n + 1, size);
    CHECK(room != NULL);
    return room;
}

static void open_cells(SessionRun *run)
{
    run->cells = run->series * (run->s->bucket_count + 1);
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++) {
        SessionWorker *w = &run->workers[i];
        w->cells = zeros(run->cells, sizeof *w->cells);
        w->last_person = zeros(run->cells, sizeof *w->last_person);
        if (!run->s->median)
            continue;
        w->coarse = zeros((size_t)run->cells * COARSE, sizeof *w->coarse);
        w->fine = zeros((size_t)run->cells * COARSE_S, sizeof *w->fine);
    }
}

static void add_cell(const SessionCell *from, SessionCell *into)
{
    into->sessions += from->sessions;
    into->persons += from->persons;
    into->events += from->events;
    into->bounced += from->bounced;
    into->ms += from->ms;
}

static SessionCell *sum_cells(Ctx *ctx, const SessionRun *run)
{
    SessionCell *sums = ARENA_ARRAY(ctx->arena, SessionCell, (size_t)run->cells + 1);
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++)
        for (uint32_t cell = 0; cell < run->cells; cell++)
            add_cell(&run->workers[i].cells[cell], &sums[cell]);
    return sums;
}

/* ---- medians ------------------------------------------------------------------------------------- */

/* In how many sessions of the cell the count is this one, of all workers. */
static uint64_t coarse_count(const SessionRun *run, uint32_t cell, uint32_t at)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++)
        n += run->workers[i].coarse[(size_t)cell * COARSE + at];
    return n;
}

static uint64_t fine_count(const SessionRun *run, uint32_t cell, uint32_t at)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++)
        n += run->workers[i].fine[(size_t)cell * COARSE_S + at];
    return n;
}

/* Where the middle one lies, and how many before. */
static void find_middles(Ctx *ctx, SessionRun *run, const SessionCell *sums)
{
    run->coarse_at = ARENA_ARRAY(ctx->arena, uint32_t, (size_t)run->cells + 1);
    run->below = ARENA_ARRAY(ctx->arena, uint64_t, (size_t)run->cells + 1);
    for (uint32_t cell = 0; cell < run->cells; cell++) {
        if (sums[cell].sessions == 0)
            continue;
        const uint64_t middle = middle_of(sums[cell].sessions);
        uint64_t here = coarse_count(run, cell, 0);
        while (run->below[cell] + here <= middle) {
            run->below[cell] += here;
            here = coarse_count(run, cell, ++run->coarse_at[cell]);
        }
    }
}

static void give_medians(const SessionRun *run, SessionCell *sums)
{
    for (uint32_t cell = 0; cell < run->cells; cell++) {
        if (sums[cell].sessions == 0)
            continue;
        const uint64_t middle = middle_of(sums[cell].sessions);
        uint64_t below = run->below[cell] + fine_count(run, cell, 0);
        uint32_t second = 0;
        while (below <= middle)
            below += fine_count(run, cell, ++second);
        sums[cell].median_s = run->coarse_at[cell] * COARSE_S + second;
    }
}

/* ---- the answer ---------------------------------------------------------------------------------- */

static void give_names(Ctx *ctx, const SessionRun *run, bool began, SessionNames *out)
{
    Tally all = {.limit = UINT32_MAX - 1};
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++)
        tally_join(&all, began ? &run->workers[i].began : &run->workers[i].ended);
    tally_sort(&all);
    SessionName *rows = ARENA_ARRAY(ctx->arena, SessionName, (size_t)run->s->names + 1);
    *out = (SessionNames){.rows = rows, .distinct = all.count};
    for (; out->count < all.count && out->count < run->s->names; out->count++)
        rows[out->count] =
            (SessionName){(uint32_t)all.at[out->count].key.of[0], all.at[out->count].count};
    tally_free(&all);
}

static void give_result(Ctx *ctx, const SessionRun *run, const SessionCell *sums,
                        SessionsResult *out)
{
    SessionSeries *series = ARENA_ARRAY(ctx->arena, SessionSeries, (size_t)run->series + 1);
    for (uint32_t i = 0; i < run->series; i++) {
        const bool shown = run->s->breakdown_count > 0 && i < run->shown.count;
        if (shown)
            memcpy(series[i].key.values, run->shown.at[i].key.of, sizeof series[i].key.values);
        series[i].key.is_other = run->s->breakdown_count > 0 && !shown;
        series[i].cells = sums + (size_t)i * (run->s->bucket_count + 1);
    }
    *out = (SessionsResult){.series = series, .count = run->series, .distinct = run->distinct};
    give_names(ctx, run, true, &out->began);
    give_names(ctx, run, false, &out->ended);
}

static Err run_sessions(Ctx *ctx, SessionRun *run, const SessionsResult *known, SessionsResult *out)
{
    if (run->s->breakdown_count > 0 && known != NULL)
        know_series(run, known);
    else if (run->s->breakdown_count > 0)
        TRY(find_series(ctx, run));
    open_cells(run);
    TRY(run_pass(ctx, run, PASS_COUNT));
    SessionCell *sums = sum_cells(ctx, run);
    if (run->s->median) {
        find_middles(ctx, run, sums);
        TRY(run_pass(ctx, run, PASS_MEDIAN));
        give_medians(run, sums);
    }
    give_result(ctx, run, sums, out);
    return ERR_OK;
}

static void close_workers(SessionRun *run)
{
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++) {
        SessionWorker *w = &run->workers[i];
        tally_free(&w->values);
        tally_free(&w->began);
        tally_free(&w->ended);
        free(w->cells);
        free(w->last_person);
        free(w->coarse);
        free(w->fine);
    }
    free(run->workers);
    tally_free(&run->shown);
}

/* `known`: the series are these. */
static Err answer(Ctx *ctx, const Query *q, SessionRun *run, const SessionsResult *known,
                  SessionsResult *out)
{
    const Sessions *s = run->s;
    const uint64_t cells =
        ((s->breakdown_count == 0 ? 0 : (uint64_t)s->top) + 1) * ((uint64_t)s->bucket_count + 1);
    if (s->bucket_count == 0 || s->breakdown_count > QUERY_BREAKDOWNS_MAX ||
        s->names > SESSION_NAMES_MAX || cells > SESSION_CELLS_MAX)
        return fail(ctx, ERR_INVALID, "query.too_large", "%u buckets, %u series", s->bucket_count,
                    s->top);
    CHECK(s->max_ms > 0 && s->max_ms <= SESSION_MS_MAX);
    ScanSelect select = s->of;
    select.from_ms = s->bounds[0] - s->max_ms;
    select.to_ms = s->bounds[s->bucket_count] + s->max_ms;
    run->q = q;
    run->ask = (ScanAsk){.selects = &select,
                         .select_count = 1,
                         .props = s->breakdown,
                         .prop_count = s->breakdown_count,
                         .wants_events = true};
    run->shown = (Tally){.limit = SESSION_CELLS_MAX};
    run->distinct = run->series = 1;
    run->workers = zeros(crew_size(q->crew), sizeof *run->workers);
    for (uint32_t i = 0; i < crew_size(q->crew); i++) {
        SessionWorker *w = &run->workers[i];
        w->run = run;
        w->values.limit = SESSION_VALUES_MAX;
        w->began.limit = w->ended.limit = UINT32_MAX - 1; /* event names are few */
    }
    const Err err = run_sessions(ctx, run, known, out);
    close_workers(run);
    return err;
}

Err query_sessions(Ctx *ctx, const Query *q, const Sessions *s, SessionsResult *out)
{
    return answer(ctx, q, &(SessionRun){.s = s}, NULL, out);
}

Err query_sessions_people(Ctx *ctx, const Query *q, const Sessions *s, const SessionsResult *r,
                          const SessionBar *bar, People *out)
{
    CHECK(bar->series < r->count && bar->bucket <= s->bucket_count);
    Sessions same = *s;
    same.median = false;
    People people = people_with_amounts(ctx->arena, q->view);
    SessionRun run = {.s = &same, .bar = bar, .people = &people};
    SessionsResult unused;
    TRY(answer(ctx, q, &run, r, &unused));
    people_count(&people);
    *out = people;
    return ERR_OK;
}
