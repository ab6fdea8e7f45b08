/*
 * engine/ask/retention.c -- who comes back, by the interval they started in.
 */
#include "engine/ask/retention_inside.h"

#include "engine/scan/ahead.h"

#include <stdlib.h>

/* ---- limits -------------------------------------------------------------------------------------- */

static bool brackets_are_good(const Retention *r)
{
    if (r->comes != RETENTION_BRACKETS)
        return true;
    for (uint32_t c = 0; c < r->bracket_count && c < QUERY_INTERVALS_MAX; c++)
        if (r->brackets[c].first > r->brackets[c].last)
            return false;
    return r->bracket_count > 0 && r->bracket_count <= QUERY_INTERVALS_MAX;
}

static Err check_limits(Ctx *ctx, const Retention *r, uint32_t columns)
{
    const uint64_t series = r->breakdown_count == 0 ? 1 : (uint64_t)r->top + 1;
    if (r->interval_count == 0 || r->interval_count > QUERY_INTERVALS_MAX || r->cohort_count == 0 ||
        r->cohort_count > r->interval_count || !brackets_are_good(r) ||
        r->starts_end_ms > r->bounds[r->cohort_count])
        return fail(ctx, ERR_INVALID, "query.too_large", "%u intervals, %u columns",
                    r->interval_count, columns);
    if (r->breakdown_count > QUERY_BREAKDOWNS_MAX || r->top > QUERY_GROUPS_MAX ||
        series * r->cohort_count * columns > RETENTION_CELLS_MAX)
        return fail(ctx, ERR_INVALID, "query.too_large", "%u series of %u times %u", r->top,
                    r->cohort_count, columns);
    return ERR_OK;
}

/* ---- what is looked at ----------------------------------------------------------------------------- */

/* Behind the last instant that a return may have. */
static int64_t end_of_returns(const Retention *r)
{
    int64_t end = r->bounds[r->interval_count];
    for (uint32_t i = 0; r->rolling_ms > 0 && i < r->cohort_count; i++) {
        const int64_t last = r->bounds[i + 1] + (int64_t)(r->interval_count - i) * r->rolling_ms;
        end = last > end ? last : end;
    }
    return end;
}

static bool same_events(const ScanSelect *a, const ScanSelect *b)
{
    if (a->filter != b->filter || (a->events == NULL) != (b->events == NULL))
        return false;
    return a->events == NULL ||
           (a->event_count == b->event_count &&
            memcmp(a->events, b->events, a->event_count * sizeof *a->events) == 0);
}

/* Whether anything that was asked for needs more of a person than two sets of intervals. */
static bool is_by_person(const Retention *r)
{
    bool zero = r->from_zero;
    for (uint32_t c = 0; r->comes == RETENTION_BRACKETS && c < r->bracket_count; c++)
        zero = zero || r->brackets[c].first == 0;
    return zero || r->rolling_ms > 0 || r->sums || r->same_value ||
           r->cohort == RETENTION_FIRST_NAMED ||
           (r->breakdown_count > 0 && r->cohort != RETENTION_RECURRING);
}

static void set_selects(RetentionRun *run)
{
    const Retention *r = run->r;
    ScanSelect *start = &run->selects[0], *back = &run->selects[1];
    *start = r->start;
    *back = r->comes_back;
    start->from_ms = r->cohort == RETENTION_FIRST_EVER ? QUERY_EVER_MS : r->bounds[0];
    start->to_ms = r->starts_end_ms;
    back->from_ms = r->bounds[0];
    back->to_ms = end_of_returns(r);
    const bool same =
        same_events(start, back) && start->from_ms == back->from_ms && start->to_ms == back->to_ms;
    run->select_count = same && r->breakdown_count == 0 && !is_by_person(r) ? 1 : 2;
    if (r->cohort != RETENTION_FIRST_NAMED)
        return;
    run->selects[run->select_count] = *start;
    run->selects[run->select_count].from_ms = QUERY_EVER_MS;
    run->selects[run->select_count++].filter = NULL;
}

/* ---- workers ------------------------------------------------------------------------------------- */

static size_t persons_of(const RetentionRun *run)
{
    return (size_t)run->series.count * run->r->cohort_count;
}

static void open_worker(RetentionWorker *w, const RetentionRun *run, const Query *q)
{
    const size_t persons = persons_of(run), cells = persons * run->columns;
    w->run = run;
    w->persons = calloc(persons + 1, sizeof *w->persons);
    w->cells = calloc(cells + 1, sizeof *w->cells);
    w->sums = run->r->sums ? calloc(cells + 1, sizeof *w->sums) : NULL;
    CHECK(w->persons != NULL && w->cells != NULL && (w->sums != NULL || !run->r->sums));
    if (is_by_person(run->r))
        w->by_person = retention_persons_new(run, q->view);
    else
        w->bits = retention_bits_new(run, q->view);
}

static uint64_t damaged_of(const RetentionWorker *w)
{
    return w->bits != NULL ? retention_bits_damaged(w->bits)
                           : retention_persons_damaged(w->by_person);
}

static void close_worker(RetentionWorker *w)
{
    free(w->persons);
    free(w->cells);
    free(w->sums);
    retention_bits_free(w->bits);
    retention_persons_free(w->by_person);
}

static void take_piece(uint32_t worker, uint32_t piece, void *arg)
{
    RetentionWorker *w = &((const RetentionRun *)arg)->workers[worker];
    w->piece = piece;
    retention_persons_piece(w, piece);
}

static void take_blocks(uint32_t worker, uint32_t from, uint32_t to, void *arg)
{
    retention_bits_blocks(&((const RetentionRun *)arg)->workers[worker], from, to);
}

static Err read_ahead(Ctx *ctx, const Query *q, const RetentionRun *run)
{
    ScanProp props[QUERY_BREAKDOWNS_MAX + 1];
    const Retention *r = run->r;
    uint32_t count = 0;
    for (; count < r->breakdown_count; count++)
        props[count] = r->breakdown[count];
    if (r->sums)
        props[count++] = r->number;
    const struct RetentionBits *bits = run->workers[0].bits;
    return ahead_of(ctx, q,
                    &(AheadAsk){.selects = run->selects,
                                .select_count = run->select_count,
                                .props = props,
                                .prop_count = count,
                                .ms = true,
                                .order = bits == NULL,
                                .whole = bits == NULL ? NULL : retention_bits_ask(bits)});
}

static Err run_workers(Ctx *ctx, const Query *q, RetentionRun *run)
{
    TRY(read_ahead(ctx, q, run));
    TRY(is_by_person(run->r) ? query_pieces(ctx, q, QUERY_PERSONS, take_piece, run)
                             : query_blocks(ctx, q, run->blocks, take_blocks, run));
    for (uint32_t i = 0; i < crew_size(q->crew); i++)
        if (damaged_of(&run->workers[i]) > 0)
            return fail(ctx, ERR_INTERNAL, "events.part_damaged", "a retention met damage");
    return ERR_OK;
}

/* ---- the result ---------------------------------------------------------------------------------- */

static void add_all(uint64_t *sums, const uint64_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sums[i] += from[i];
}

static void give_series(Ctx *ctx, const RetentionRun *run, uint32_t size, uint32_t at,
                        RetentionSeries *out)
{
    const uint32_t cohorts = run->r->cohort_count;
    const size_t n = (size_t)cohorts * run->columns;
    uint64_t *persons = ARENA_ARRAY(ctx->arena, uint64_t, cohorts);
    uint64_t *cells = ARENA_ARRAY(ctx->arena, uint64_t, n);
    TrendSum *sums = run->r->sums ? ARENA_ARRAY(ctx->arena, TrendSum, n) : NULL;
    for (uint32_t i = 0; i < size; i++) {
        const RetentionWorker *w = &run->workers[i];
        add_all(persons, w->persons + (size_t)at * cohorts, cohorts);
        add_all(cells, w->cells + at * n, n);
        for (size_t cell = 0; sums != NULL && cell < n; cell++)
            sums[cell] += w->sums[at * n + cell];
    }
    out->key = series_key(&run->series, at);
    out->starts = series_events(&run->series, at);
    out->persons = persons;
    out->cells = cells;
    out->sums = sums;
}

static void give_result(Ctx *ctx, const RetentionRun *run, uint32_t size, RetentionResult *out)
{
    RetentionSeries *series =
        ARENA_ARRAY(ctx->arena, RetentionSeries, (size_t)run->series.count + 1);
    for (uint32_t s = 0; s < run->series.count; s++)
        give_series(ctx, run, size, s, &series[s]);
    *out =
        (RetentionResult){series, run->series.count, series_distinct(&run->series), run->columns};
}

/* ---- the question ---------------------------------------------------------------------------------- */

static Err run_retention(Ctx *ctx, const Query *q, RetentionRun *run, RetentionResult *out)
{
    const uint32_t size = crew_size(q->crew);
    run->blocks = query_blocks_at_once(q, retention_bits_bytes(run));
    for (uint32_t i = 0; i < size; i++)
        open_worker(&run->workers[i], run, q);
    TRY(run_workers(ctx, q, run));
    give_result(ctx, run, size, out);
    return ERR_OK;
}

/* Starts that no cohort can have do not make a series large.  `known`: the series are these. */
static Err find_series(Ctx *ctx, const Query *q, RetentionRun *run, const SeriesKeys *known)
{
    ScanSelect starts = run->selects[0];
    starts.from_ms = run->r->bounds[0];
    const SeriesAsk ask = {.select = &starts,
                           .breakdown = run->r->breakdown,
                           .breakdown_count = run->r->breakdown_count,
                           .top = run->r->top};
    return series_find_or_know(ctx, q, &ask, known, &run->series);
}

static Err answer(Ctx *ctx, const Query *q, RetentionRun *run, const SeriesKeys *known,
                  RetentionResult *out)
{
    const Retention *r = run->r;
    run->columns = r->comes == RETENTION_BRACKETS ? r->bracket_count : r->interval_count;
    TRY(check_limits(ctx, r, run->columns));
    set_selects(run);
    Err err = find_series(ctx, q, run, known);
    run->workers = calloc(crew_size(q->crew), sizeof *run->workers);
    CHECK(run->workers != NULL);
    if (err == ERR_OK)
        err = run_retention(ctx, q, run, out);
    for (uint32_t i = 0; i < crew_size(q->crew); i++)
        close_worker(&run->workers[i]);
    free(run->workers);
    series_free(&run->series);
    return err;
}

Err query_retention(Ctx *ctx, const Query *q, const Retention *r, RetentionResult *out)
{
    return answer(ctx, q, &(RetentionRun){.r = r}, NULL, out);
}

Err query_retention_people(Ctx *ctx, const Query *q, const Retention *r,
                           const RetentionResult *result, const RetentionBar *bar, People *out)
{
    CHECK(bar->series < result->count && bar->cohort < r->cohort_count);
    People people = people_none(ctx->arena, q->view);
    RetentionRun run = {.r = r,
                        .people = &people,
                        .who_row = (size_t)bar->series * r->cohort_count + bar->cohort,
                        .who_column = bar->column};
    const SeriesKeys known = {&result->series->key, sizeof *result->series, result->count};
    RetentionResult unused;
    TRY(answer(ctx, q, &run, &known, &unused));
    people_count(&people);
    *out = people;
    return ERR_OK;
}
