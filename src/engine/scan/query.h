/*
 * engine/scan/query.h -- what all questions share.  Each is a struct of numbers: whoever asks has turned names into numbers,
 * conditions into filters, a calendar into instants.
 *
 *   engine/ask/trend.h       how many, how much, in how many intervals (stickiness)
 *   engine/ask/funnel.h      how far persons get
 *   engine/ask/retention.h   who comes back
 *   engine/ask/lifecycle.h   who is new, returns, stays away
 *   engine/ask/path.h        what persons do next; which event follows which
 *   engine/ask/session.h     how a person's events lie together
 *   engine/ask/touch.h       which touches have earned a conversion
 *   engine/ask/segment.h     who fulfils a condition on all that they did
 *
 * Who is behind a number of a result (a bar): query_..._people() asks the same question again, of the same view, and
 * keeps the persons whom it counts there.  It is the code that counted the number, so the people are as many as it
 * says; where it counts something else than persons, their amounts and nobody's are together what it says.
 *
 * Owns: nothing.  Results live in ctx->arena.  Threads: any.
 * Errors of all: those of crew_run(); INVALID "query.too_large" past a limit; INTERNAL "events.part_damaged" when
 * something that was asked for cannot be read.
 */
#pragma once

#include "engine/core/crew.h"
#include "engine/scan/people.h"

enum {
    QUERY_BUCKETS_MAX = 4096,
    QUERY_GROUPS_MAX = 256, /* that are shown, "other" not counted */
    QUERY_BREAKDOWNS_MAX = 3,
    QUERY_VALUES_MAX = 1 << 20, /* distinct combinations of a breakdown */
    QUERY_CELLS_MAX = 1 << 16,  /* series times buckets */
    /* different values of distinct and percentiles, of all cells together */
    QUERY_VALUE_CELLS_MAX = 1 << 22,
    QUERY_STEPS_MAX = 20,
    QUERY_INTERVALS_MAX = 400, /* of a funnel, of a retention, of a lifecycle */
    QUERY_BLOCKS_MAX = 16,     /* that are looked at together */
};

/* Before everything; differences of instants stay in their type. */
#define QUERY_EVER_MS (-(INT64_C(1) << 60))

/* Of a bar: not of one place, but of all of them together. */
#define QUERY_WHOLE UINT32_MAX

/* Of many rows together: it may be beyond 64 bits. */
__extension__ typedef __int128 TrendSum;

/* What a series of a breakdown is of: events with these values (SCAN_MISSING = none), or all others. */
typedef struct QuerySeries {
    int64_t values[QUERY_BREAKDOWNS_MAX];
    bool is_other;
} QuerySeries;

/* What every question is asked with. */
typedef struct Query {
    const ScanView *view;
    Crew *crew;
    int64_t until_us; /* as in CrewJob */
    const atomic_bool *stop;
} Query;

/* For the questions themselves: each piece of all persons once, on the crew's threads.  Errors: those of crew_run(). */
typedef enum QueryWhom {
    QUERY_ALL,
    QUERY_PERSONS, /* but nobody, who is the first piece */
} QueryWhom;

MUST_USE Err query_pieces(Ctx *ctx, const Query *q, QueryWhom whom,
                          void (*piece)(uint32_t worker, uint32_t piece, void *arg), void *arg);

/* How many blocks of persons make a piece where strips reach over several, with so many bytes of state for each. */
uint32_t query_blocks_at_once(const Query *q, size_t bytes);

/* All persons, but nobody: blocks [from, to), so many at once.  Errors: those of crew_run(). */
typedef void (*QueryBlocksFn)(uint32_t worker, uint32_t from, uint32_t to, void *arg);
MUST_USE Err query_blocks(Ctx *ctx, const Query *q, uint32_t at_once, QueryBlocksFn fn, void *arg);

/* What each thread may hold of so many things when none of them knows what the others have: all of them with few
 * threads, so that no question is refused for less, a part of them with many, so that memory is bounded. */
static inline uint32_t query_share(const Query *q, uint32_t most)
{
    enum { FEW_THREADS = 4 };
    const uint32_t threads = crew_size(q->crew);
    return threads <= FEW_THREADS ? most : (uint32_t)((uint64_t)most * FEW_THREADS / threads);
}

/* The error of a breakdown with more combinations than QUERY_VALUES_MAX: nobody knows which come most often. */
static inline Err query_too_many(Ctx *ctx)
{
    return fail_field(
        ctx, "", "query.too_large",
        "more combinations of values than %d: break down by fewer properties, or by such with "
        "fewer values, or ask of fewer events",
        QUERY_VALUES_MAX);
}
