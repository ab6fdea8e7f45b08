/*
 * engine/scan/query.c
 */
#include "engine/scan/query.h"

Err query_pieces(Ctx *ctx, const Query *q, QueryWhom whom,
                 void (*piece)(uint32_t worker, uint32_t piece, void *arg), void *arg)
{
    const CrewJob job = {.pieces = scan_pieces(q->view),
                         .first_piece = whom == QUERY_PERSONS,
                         .piece = piece,
                         .arg = arg,
                         .until_us = q->until_us,
                         .stop = q->stop};
    return crew_run(ctx, q->crew, &job);
}

enum {
    PIECES_PER_THREAD = 12, /* so that threads end together: persons are not equally active */
    BYTES_GOOD = 1 << 19,   /* that stay near the processor */
};

uint32_t query_blocks_at_once(const Query *q, size_t bytes)
{
    const uint32_t all = scan_pieces(q->view) / (crew_size(q->crew) * PIECES_PER_THREAD);
    uint32_t blocks = all < 1 ? 1 : all > QUERY_BLOCKS_MAX ? QUERY_BLOCKS_MAX : all;
    DCHECK(q->view->blocks_at_once <= QUERY_BLOCKS_MAX);
    if (q->view->blocks_at_once > 0)
        return q->view->blocks_at_once;
    while (blocks > 1 && blocks * bytes > BYTES_GOOD)
        blocks /= 2;
    return blocks;
}

typedef struct Blocks {
    uint32_t count, at_once; /* without nobody's, which is the first */
    QueryBlocksFn fn;
    void *arg;
} Blocks;

static void take_blocks(uint32_t worker, uint32_t piece, void *arg)
{
    const Blocks *b = arg;
    const uint32_t from = 1 + piece * b->at_once, end = 1 + b->count;
    b->fn(worker, from, end - from < b->at_once ? end : from + b->at_once, b->arg);
}

Err query_blocks(Ctx *ctx, const Query *q, uint32_t at_once, QueryBlocksFn fn, void *arg)
{
    const uint32_t pieces = scan_pieces(q->view);
    Blocks blocks = {pieces > 1 ? pieces - 1 : 0, at_once, fn, arg};
    return crew_run(ctx, q->crew,
                    &(CrewJob){.pieces = (blocks.count + at_once - 1) / at_once,
                               .grain = 1,
                               .piece = take_blocks,
                               .arg = &blocks,
                               .until_us = q->until_us,
                               .stop = q->stop});
}
