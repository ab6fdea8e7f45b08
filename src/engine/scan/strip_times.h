/*
 * engine/scan/strip_times.h -- where the rows of a strip lie in time: their places among bounds, and which lie within.
 *
 * Owns: a StripTimes its buffers.  Threads: one per StripTimes; the places are shared.
 */
#pragma once

#include "engine/scan/buckets.h"
#include "engine/scan/strips.h"

typedef struct StripTimes {
    const BucketPlaces *places; /* of each part of the view */
    uint32_t bucket_count;
    uint16_t *ranks; /* of the strip under way, by row */
    int64_t *ms;
    uint32_t *room; /* whoever looks at them may have it: of as many rows */
    uint64_t set[STRIP_ROWS / 64 + 2];
    FilterScratch scratch;
} StripTimes;

void strip_times_open(StripTimes *t, const BucketPlaces *places, uint32_t bucket_count);
void strip_times_close(StripTimes *t);

static inline const BucketPlaces *strip_places(const StripTimes *t, const Strip *strip)
{
    return &t->places[strip->part];
}

/* t->ranks: how many of their part's bounds are at or below each row, matching or not.  False: damaged. */
MUST_USE bool strip_ranks(StripTimes *t, const Strip *strip);

/* The rows that match and lie in some bucket, without bits behind them; *out NULL = all rows.  False: damaged. */
MUST_USE bool strip_within(StripTimes *t, const Strip *strip, const uint64_t **out);
