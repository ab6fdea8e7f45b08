/*
 * engine/scan/buckets.h -- which bucket of time an event lies in: for loose rows, which come by week.
 *
 * A week that lies in several buckets gets a table with a bucket per minute, made once.
 * Owns: its tables and the last answer, until buckets_free().  Threads: one at a time.
 */
#pragma once

#include "engine/scan/scan.h"

enum { BUCKETS_NONE = UINT16_MAX };

typedef struct Buckets {
    /* bucket i is [bounds[i], bounds[i + 1]): count + 1 of them, ascending; UTC ms */
    const int64_t *bounds;
    uint32_t count; /* below BUCKETS_NONE */
    struct BucketWeek *weeks;
    uint32_t week_count, week_last;
    uint16_t *rows;
    uint32_t row_cap;
} Buckets;

/* How many of the ascending bounds are at or below the instant: of the buckets' own bounds, one more than its bucket. */
uint32_t buckets_begun(const int64_t *bounds, uint32_t count, int64_t at_ms);

/* The bucket of each row, matching or not; BUCKETS_NONE outside.  Valid until the next call. */
const uint16_t *buckets_of(Buckets *b, const ScanLoose *rows);

/* The bucket of an instant; BUCKETS_NONE outside. */
uint16_t buckets_at(const Buckets *b, int64_t at_ms);

/* The bucket that has the rows' whole week; BUCKETS_NONE when it lies in several, or outside. */
uint16_t buckets_of_week(const Buckets *b, const ScanLoose *rows);

void buckets_free(Buckets *b);

/*
 * The same for all rows of one part: a row's place is `first` and how many of the bounds are at or below it.  Place 0
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
