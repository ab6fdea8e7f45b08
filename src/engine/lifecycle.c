/*
 * engine/lifecycle.c -- who is new, who returns and who stays away, interval by interval.
 *
 * Of every interval the active persons of a piece are bits.  What a person is in an interval follows from three of
 * them: active in it, active in the one before, active anywhere in the look-back.  So 64 persons are counted at once.
 */
#include "engine/buckets.h"
#include "engine/query.h"

#include <stdlib.h>

enum { WORDS = PART_BLOCK_PERSONS / 64 };

typedef struct LifecycleWorker {
    Scanner *scanner;
    Buckets intervals;
    uint64_t *active; /* [interval][WORDS] of the piece */
    LifecycleRow *rows;
} LifecycleWorker;

typedef struct LifecycleRun {
    const Lifecycle *l;
    uint32_t look_back; /* 1 to interval_count */
    LifecycleWorker *workers;
} LifecycleRun;

static void take_rows(const ScanLoose *l, void *arg)
{
    LifecycleWorker *w = arg;
    const uint16_t *interval = buckets_of(&w->intervals, l);
    for (uint32_t i = 0; i < l->count; i++) {
        if ((l->mask != NULL && l->mask[i] == 0) || interval[i] == BUCKETS_NONE)
            continue;
        const uint32_t person = l->keys[i] >> PART_SECOND_BITS;
        w->active[(uint32_t)interval[i] * WORDS + person / 64] |= UINT64_C(1) << (person & 63);
    }
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

static void add_row(LifecycleRow *row, uint64_t active, uint64_t before, uint64_t seen)
{
    row->fresh += (uint64_t)__builtin_popcountll(active & ~seen);
    row->returning += (uint64_t)__builtin_popcountll(active & before);
    row->resurrecting += (uint64_t)__builtin_popcountll(active & seen & ~before);
    row->dormant += (uint64_t)__builtin_popcountll(before & ~active);
}

/*
 * The look-back of any interval is the end of one group of `look_back` intervals and the beginning of the next: with
 * what was seen since the group began, and the tails of the one before, a step costs the same for every length.
 */
static void add_persons(const LifecycleRun *run, const uint64_t *active, LifecycleRow *rows)
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
        add_row(&rows[i], now, before, tails[in_group] | since);
        since |= now;
        before = now;
    }
}

static void take_piece(uint32_t worker, uint32_t piece, void *arg)
{
    const LifecycleRun *run = arg;
    LifecycleWorker *w = &run->workers[worker];
    memset(w->active, 0, (size_t)run->l->interval_count * WORDS * sizeof *w->active);
    scanner_loose(w->scanner, piece, take_rows, w);
    for (uint32_t word = 0; word < WORDS; word++)
        add_persons(run, w->active + word, w->rows);
}

static void open_worker(LifecycleWorker *w, const Query *q, const Lifecycle *l,
                        const ScanSelect *select)
{
    const size_t n = l->interval_count;
    w->scanner = scanner_new(q->view, &(ScanAsk){.selects = select, .select_count = 1});
    w->intervals = (Buckets){.bounds = l->bounds, .count = l->interval_count};
    w->active = malloc(n * WORDS * sizeof *w->active);
    w->rows = calloc(n, sizeof *w->rows);
    CHECK(w->active != NULL && w->rows != NULL);
}

static void close_worker(LifecycleWorker *w)
{
    scanner_free(w->scanner);
    buckets_free(&w->intervals);
    free(w->active);
    free(w->rows);
}

static Err run_lifecycle(Ctx *ctx, const Query *q, LifecycleRun *run)
{
    TRY(crew_run(ctx, q->crew,
                 &(CrewJob){.pieces = scan_pieces(q->view),
                            .first_piece = 1, /* nobody has no life */
                            .piece = take_piece,
                            .arg = run,
                            .until_us = q->until_us,
                            .stop = q->stop}));
    for (uint32_t i = 0; i < crew_size(q->crew); i++)
        if (scanner_damaged(run->workers[i].scanner) > 0)
            return fail(ctx, ERR_INTERNAL, "events.part_damaged", "a lifecycle met damage");
    return ERR_OK;
}

static void give_result(Ctx *ctx, const Query *q, const LifecycleRun *run, LifecycleResult *out)
{
    const uint32_t n = run->l->interval_count;
    LifecycleRow *sums = ARENA_ARRAY(ctx->arena, LifecycleRow, n);
    for (uint32_t i = 0; i < crew_size(q->crew); i++)
        for (uint32_t at = 0; at < n; at++) {
            const LifecycleRow *row = &run->workers[i].rows[at];
            sums[at].fresh += row->fresh;
            sums[at].returning += row->returning;
            sums[at].resurrecting += row->resurrecting;
            sums[at].dormant += row->dormant;
        }
    out->rows = sums;
}

Err query_lifecycle(Ctx *ctx, const Query *q, const Lifecycle *l, LifecycleResult *out)
{
    if (l->interval_count == 0 || l->interval_count > QUERY_INTERVALS_MAX)
        return fail(ctx, ERR_INVALID, "query.too_large", "%u intervals", l->interval_count);
    const bool all = l->look_back == 0 || l->look_back > l->interval_count;
    ScanSelect select = l->select;
    select.from_ms = l->bounds[0];
    select.to_ms = l->bounds[l->interval_count];
    LifecycleRun run = {.l = l, .look_back = all ? l->interval_count : l->look_back};
    run.workers = calloc(crew_size(q->crew), sizeof *run.workers);
    CHECK(run.workers != NULL);
    for (uint32_t i = 0; i < crew_size(q->crew); i++)
        open_worker(&run.workers[i], q, l, &select);
    const Err err = run_lifecycle(ctx, q, &run);
    if (err == ERR_OK)
        give_result(ctx, q, &run, out);
    for (uint32_t i = 0; i < crew_size(q->crew); i++)
        close_worker(&run.workers[i]);
    free(run.workers);
    return err;
}
