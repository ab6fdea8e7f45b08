/*
 * engine/crew.h -- the threads that queries run on: one query at a time, all of them on its pieces.
 *
 * Threads are made once: making them per query costs milliseconds.  The caller works with them.
 * Owns: its threads.  Threads: crew_run() from any; calls wait for each other.
 */
#pragma once

#include "base/ctx.h"

#include <stdatomic.h>

typedef struct Crew Crew;

enum { CREW_MAX = 64 };

/* `size` threads take part in each run, the caller's among them; 0 = as many as there are processors. */
Crew *crew_new(uint32_t size);
void crew_free(Crew *crew); /* NULL is nothing to do */
uint32_t crew_size(const Crew *crew);

typedef struct CrewJob {
    uint32_t pieces;
    uint32_t first_piece;
    /* worker < crew_size(): one call at a time has this number; its pieces ascend. */
    void (*piece)(uint32_t worker, uint32_t piece, void *arg);
    void *arg;
    int64_t until_us;        /* clock_mono_us() at which it gives up; 0 = never */
    const atomic_bool *stop; /* gives up when it is true; may be NULL */
} CrewJob;

/* Runs pieces [first_piece, pieces).  Errors: BUSY "query.deadline", CONFLICT "query.stopped": looked at
 * between pieces. */
MUST_USE Err crew_run(Ctx *ctx, Crew *crew, const CrewJob *job);
