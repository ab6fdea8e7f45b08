/*
 * engine/core/crew.h -- the threads that questions run on, shared by all that are under way.
 *
 * Threads are made once: making them per question costs milliseconds.  Whoever asks works too, on his own
 * question only and from the first piece on: no question waits for another one's end, a short one least of
 * all.  The crew's threads take a few pieces of each question in turn, in the order in which they arrived.
 * So there is no queue to wait in, and a deadline or a stop counts from the first piece on.  What bounds the
 * questions under way, and with them their buffers, is how many threads ask.
 * A thread of the crew that slept begins on another processor than the asker's, where there is one that crew_new() was
 * allowed to use; of many threads the first ones do.
 *
 * Owns: its threads.  Threads: crew_run() from any.
 */
#pragma once

#include "base/ctx.h"

#include <stdatomic.h>

typedef struct Crew Crew;

enum { CREW_MAX = 64 };

/* `size` threads take part in each run, the caller's among them; 0 = as many as there are processors. */
Crew *crew_new(uint32_t size);
void crew_free(Crew *crew); /* NULL is nothing to do; nothing runs any more */
uint32_t crew_size(const Crew *crew);

typedef struct CrewJob {
    uint32_t pieces;
    uint32_t first_piece;
    uint32_t grain; /* pieces that a thread takes at once; 0 = a few */
    /* worker < crew_size(): of this job one call at a time has this number; its pieces ascend. */
    void (*piece)(uint32_t worker, uint32_t piece, void *arg);
    void *arg;
    int64_t until_us;        /* clock_mono_us() at which it gives up; 0 = never */
    const atomic_bool *stop; /* gives up when it is true; may be NULL */
} CrewJob;

/* Runs pieces [first_piece, pieces).  Errors: BUSY "query.deadline", CONFLICT "query.stopped": looked at
 * before each piece, and whenever a piece asks crew_gives_up(); INVALID "query.too_large": crew_refuse().  When it
 * returns, no piece runs. */
MUST_USE Err crew_run(Ctx *ctx, Crew *crew, const CrewJob *job);

/* Some hundred microseconds of work, at most a few milliseconds. */
enum { CREW_LOOK_ROWS = 1 << 16 };

/* Private to crew.c and the next one. */
extern _Thread_local uint64_t crew_rows;
bool crew_looks(void);

/* In a piece: whether its job gives up.  Then the piece ends as it is, unfinished, and crew_run() fails, whatever the
 * piece has done.  `rows`: how many, or as much other work, since the last call; the clock is looked at once in
 * CREW_LOOK_ROWS of them.  Once true it stays so until the piece ends; never true outside of a piece. */
static inline bool crew_gives_up(uint64_t rows)
{
    crew_rows += rows;
    return crew_rows >= CREW_LOOK_ROWS && crew_looks();
}

/* The same in a loop over rows that may be millions: `row` counts. */
static inline bool crew_gives_up_at(uint32_t row)
{
    return row % CREW_LOOK_ROWS == CREW_LOOK_ROWS - 1 && crew_gives_up(CREW_LOOK_ROWS);
}

/* The same for what is done besides, on the asker's own thread.  Errors: BUSY and CONFLICT of crew_run(). */
MUST_USE Err crew_look(Ctx *ctx, int64_t until_us, const atomic_bool *stop);

/* In a piece: it would take too much memory.  Its job gives up, and crew_run() fails with these words, a literal that
 * says what to ask instead. */
void crew_refuse(const char *words);
