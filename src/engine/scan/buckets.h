/*
 * engine/scan/buckets.h -- which bucket of time an event lies in.
 *
 * Bucket i is [bounds[i], bounds[i + 1]): count + 1 bounds, ascending; UTC ms.
 */
#pragma once

#include "engine/scan/scan.h"

/* How many of the ascending bounds are at or below the instant: of the buckets' own bounds, one more than its bucket. */
uint32_t buckets_begun(const int64_t *bounds, uint32_t count, int64_t at_ms);

/*
 * Of all rows of one part: a row's place is `first` and how many of the bounds are at or below it.  Place 0
 * is before all buckets, 1 the first bucket, bucket_count + 1 behind all.
 */
typedef struct BucketPlaces {
    uint32_t first, last;    /* of all its rows */
    const uint32_t *seconds; /* last - first bounds, behind the week's begin, rounded up */
    const int64_t *bounds;   /* the same in UTC ms */
    bool in_seconds;         /* nothing is rounded: milliseconds need no look */
    /* With many bounds: how many are below second i << shift.  Until the next such second there is one at most. */
    const uint16_t *coarse;
    int shift;
} BucketPlaces;

/* Bounds and count as above. */
BucketPlaces bucket_places(Arena *arena, const int64_t *bounds, uint32_t count,
                           const PartHead *head);

/* Of rows with these keys how many bounds are at or below; `ms` behind the second, NULL = all 0.  Room as for kernels. */
void bucket_ranks(const BucketPlaces *p, int64_t week_ms, const uint32_t *keys, const int64_t *ms,
                  uint32_t n, uint16_t *out);
