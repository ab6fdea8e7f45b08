/*
 * engine/retention.c -- who comes back, by the interval they started in.
 *
 * Of each person two sets of intervals are needed, as bits: where they started and where they came back.
 * Each start then adds the rest of the second set, moved so that it begins there.
 */
#include "engine/query.h"

#include <stdlib.h>

enum { WORDS = (QUERY_INTERVALS_MAX + 63) / 64, START = 1, BACK = 2 };

typedef struct Intervals {
    uint64_t bits[WORDS];
} Intervals;

typedef struct RetentionWorker {
    Scanner *scanner;
    uint64_t *cells;
} RetentionWorker;

typedef struct RetentionRun {
    const Retention *r;
    RetentionWorker *workers;
} RetentionRun;

static void set(Intervals *s, uint32_t i)
{
    s->bits[i / 64] |= UINT64_C(1) << (i & 63);
}

/* The first interval at or behind `from` that is in the set, or `count`. */
static uint32_t next_of(const Intervals *s, uint32_t from, uint32_t count)
{
    for (uint32_t i = from; i < count; i = (i / 64 + 1) * 64) {
        const uint64_t left = s->bits[i / 64] >> (i & 63);
        if (left != 0)
            return i + (uint32_t)__builtin_ctzll(left);
    }
    return count;
}

static uint32_t last_of(const Intervals *s, uint32_t count)
{
    for (uint32_t w = (count + 63) / 64; w-- > 0;)
        if (s->bits[w] != 0)
            return w * 64 + 63 - (uint32_t)__builtin_clzll(s->bits[w]);
    return count;
}

/* The rows of a person ascend in time, so the interval only moves on. */
static void find_intervals(const RetentionRun *run, const Scanner *scanner, const ScanBatch *b,
                           uint32_t person, Intervals *started, Intervals *back)
{
    const Retention *r = run->r;
    const int64_t base_ms = scanner_base_ms(scanner);
    uint32_t at = 0;
    for (uint32_t row = b->from[person]; row < b->from[person + 1]; row++) {
        const int64_t ms = base_ms + scan_ms(b, row);
        while (ms >= r->bounds[at + 1])
            at++;
        if ((b->rows[row].selects & START) != 0)
            set(started, at);
        if ((b->rows[row].selects & BACK) != 0)
            set(back, at);
    }
}

static void add_start(const Retention *r, uint32_t from, const Intervals *back, uint64_t *cells)
{
    uint64_t *row = cells + (size_t)from * r->interval_count;
    row[0]++;
    if (r->comes == RETENTION_ON_OR_AFTER) {
        const uint32_t last = last_of(back, r->interval_count);
        for (uint32_t k = 1; last < r->interval_count && from + k <= last; k++)
            row[k]++;
        return;
    }
    for (uint32_t i = next_of(back, from + 1, r->interval_count); i < r->interval_count;
         i = next_of(back, i + 1, r->interval_count))
        row[i - from]++;
}

static void take_piece(uint32_t worker, uint32_t piece, void *arg)
{
    const RetentionRun *run = arg;
    RetentionWorker *w = &run->workers[worker];
    const uint32_t count = run->r->interval_count;
    ScanBatch b;
    if (!scanner_batch(w->scanner, piece, &b))
        return;
    for (uint32_t i = 0; i < b.person_count; i++) {
        Intervals started = {0}, back = {0};
        find_intervals(run, w->scanner, &b, i, &started, &back);
        for (uint32_t at = next_of(&started, 0, count); at < count;
             at = next_of(&started, at + 1, count)) {
            add_start(run->r, at, &back, w->cells);
            if (run->r->cohort == RETENTION_FIRST)
                break;
        }
    }
}

static Err run_retention(Ctx *ctx, const Query *q, RetentionRun *run, const ScanAsk *ask)
{
    const uint32_t size = crew_size(q->crew);
    const size_t cells = (size_t)run->r->interval_count * run->r->interval_count;
    for (uint32_t i = 0; i < size; i++) {
        run->workers[i].scanner = scanner_new(q->view, ask);
        run->workers[i].cells = calloc(cells, sizeof(uint64_t));
        CHECK(run->workers[i].cells != NULL);
    }
    Err err = crew_run(ctx, q->crew,
                       &(CrewJob){.pieces = scan_pieces(q->view),
                                  .first_piece = 1, /* nobody does not come back */
                                  .piece = take_piece,
                                  .arg = run,
                                  .until_us = q->until_us,
                                  .stop = q->stop});
    bool damaged = false;
    for (uint32_t i = 0; i < size; i++)
        damaged = damaged || scanner_damaged(run->workers[i].scanner) > 0;
    if (err == ERR_OK && damaged)
        err = fail(ctx, ERR_INTERNAL, "events.part_damaged", "a retention met damage");
    return err;
}

Err query_retention(Ctx *ctx, const Query *q, const Retention *r, RetentionResult *out)
{
    if (r->interval_count == 0 || r->interval_count > QUERY_INTERVALS_MAX)
        return fail(ctx, ERR_INVALID, "query.too_large", "%u intervals", r->interval_count);
    ScanSelect selects[2] = {r->start, r->comes_back};
    for (size_t i = 0; i < ARRAY_LEN(selects); i++) {
        selects[i].from_ms = r->bounds[0];
        selects[i].to_ms = r->bounds[r->interval_count];
    }
    const size_t cells = (size_t)r->interval_count * r->interval_count;
    const uint32_t size = crew_size(q->crew);
    RetentionRun run = {.r = r};
    run.workers = calloc(size, sizeof *run.workers);
    CHECK(run.workers != NULL);
    const Err err = run_retention(ctx, q, &run, &(ScanAsk){.selects = selects, .select_count = 2});
    uint64_t *sums = ARENA_ARRAY(ctx->arena, uint64_t, cells);
    for (uint32_t i = 0; i < size; i++) {
        for (size_t cell = 0; cell < cells; cell++)
            sums[cell] += run.workers[i].cells[cell];
        free(run.workers[i].cells);
        scanner_free(run.workers[i].scanner);
    }
    free(run.workers);
    out->cells = sums;
    return err;
}
