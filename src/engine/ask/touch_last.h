/*
 * engine/ask/touch_last.h -- conversions by the last touch alone: an as-of join of two sets of rows.  Private to touch*.c.
 *
 * The touches of some blocks are put together by person, and each conversion looks for the last one before it.  Their
 * events need no common order for that: only where two of a person lie at one instant the sequence of their part and block
 * is asked which came first, for all of them together.  So it reads the columns of its own events and mostly nothing of the
 * others, and strips do as well as whole persons.
 *
 * Owns: LastTouches its memory, until last_touches_free(): 62 bytes for each touch of the blocks at hand, and 4 for each
 * row that these have in a part whose sequence is asked.
 * Threads: one per LastTouches; the plan is shared.
 */
#pragma once

#include "engine/ask/touch.h"
#include "engine/scan/buckets.h"

typedef struct TouchEarned {
    TrendSum credit;
    uint64_t conversions;
} TouchEarned;

/* What is the same for all threads. */
typedef struct LastPlan {
    const Touch *t;
    const Query *q;
    const ScanSelect *selects;     /* the conversions, the touches */
    const BucketPlaces *places[2]; /* of each part of the view: the range of either select */
    const bool *keys;              /* of each part */
    uint32_t codes;                /* every code is below */
    uint32_t blocks_at_once;
} LastPlan;

/* Whether the question is of this kind: one breakdown, of a text with few values.  `ask` has the conversions as its
 * select 0, the touches as 1. */
bool touch_is_last(const Touch *t, const ScanView *view, const ScanAsk *ask);

/* The plan lives in ctx->arena; what is asked must outlive it. */
LastPlan last_touches_plan(Ctx *ctx, const Query *q, const Touch *t, const ScanAsk *ask);

/* Tells the kernel what will be read.  Errors: those of crew_run(). */
MUST_USE Err last_touches_ahead(Ctx *ctx, const LastPlan *plan);

typedef struct LastTouches LastTouches;

LastTouches *last_touches_new(const LastPlan *plan);
void last_touches_free(LastTouches *l); /* NULL is nothing to do */

/* Adds what the conversions of blocks [from, to) earn; nobody's, who has no touches, is block 0.  False: they have too many
 * touches to be held, nothing was added, and they are to be asked for in another way, or in fewer blocks. */
MUST_USE bool last_touches_take(LastTouches *l, uint32_t from, uint32_t to);

/* [0]: without a touch; [1 + code], codes are below plan->codes. */
const TouchEarned *last_touches_earned(const LastTouches *l);
bool last_touches_met_damage(const LastTouches *l);
