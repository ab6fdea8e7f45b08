/*
 * engine/buckets.h -- which bucket of time an event lies in: for loose rows, which come by week.
 *
 * A week that lies in several buckets gets a table with a bucket per minute, made once.
 * Owns: its tables and the last answer, until buckets_free().  Threads: one at a time.
 */
#pragma once

#include "engine/scan.h"

enum { BUCKETS_NONE = UINT16_MAX };

typedef struct Buckets {
    const int64_t
        *bounds; /* bucket i is [bounds[i], bounds[i + 1]): count + 1 of them, ascending; UTC ms */
    uint32_t count; /* below BUCKETS_NONE */
    struct BucketWeek *weeks;
    uint32_t week_count, week_last;
    uint16_t *rows;
    uint32_t row_cap;
} Buckets;

/* The bucket of each row, matching or not; BUCKETS_NONE outside.  Valid until the next call. */
const uint16_t *buckets_of(Buckets *b, const ScanLoose *rows);

/* The bucket of an instant; BUCKETS_NONE outside. */
uint16_t buckets_at(const Buckets *b, int64_t at_ms);

/* The bucket that has the rows' whole week; BUCKETS_NONE when it lies in several, or outside. */
uint16_t buckets_of_week(const Buckets *b, const ScanLoose *rows);

void buckets_free(Buckets *b);
