/*
 * engine/ask/touch_share.h -- how the touches of one conversion share what it is worth.
 *
 * Owns: nothing.  Threads: any.
 * Promises: the units add up to exactly the worth; the same on every machine: there is no floating point.
 */
#pragma once

#include "engine/ask/touch.h"

/* `before_ms`: how much earlier than the last of them each touch was; of TOUCH_DECAY.  units[i] of touch i, of 1 to
 * TOUCH_SHARED_MAX; the first touch is the earliest.  Not of TOUCH_LAST, TOUCH_FIRST and TOUCH_PARTICIPATION. */
void touch_share(const Touch *t, uint64_t worth, const int64_t *before_ms, uint32_t n,
                 uint64_t *units);

/* What a conversion is worth that has this `number`, which is the question's, if it has one. */
static inline int64_t touch_worth(const Touch *t, int64_t number)
{
    if (t->number == NULL)
        return TOUCH_UNITS;
    return number == SCAN_MISSING ? 0 : number;
}
