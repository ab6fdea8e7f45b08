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
