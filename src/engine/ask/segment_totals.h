/*
 * engine/ask/segment_totals.h -- leaves of a segment that only count and add up: no order is needed, and nothing is
 * grouped.  Private to segment*.c.
 *
 * Rows come in strips over several blocks; each adds to the totals of its person.
 *
 * Owns: SegmentTotals its memory, until segment_totals_free().  Threads: one per SegmentTotals.
 */
#pragma once

#include "engine/ask/segment.h"
#include "engine/core/kernels.h"
#include "engine/scan/strip_times.h"

/* sum / divisor; divisor 0 = missing. */
typedef struct SegmentMeasured {
    SegmentWide sum;
    int64_t divisor;
} SegmentMeasured;

/* What a test says of what was measured. */
bool segment_takes(const SegmentTest *t, const SegmentMeasured *m);

/* Whether a leaf is of this kind. */
bool segment_has_totals(const Segment *leaf);

enum {
    SEGMENT_TOTALS_MAX = 4,    /* tests of one leaf */
    SEGMENT_TOTALS_BLOCKS = 8, /* whose persons' totals stay near the processor */
    SEGMENT_TOTALS_PERSONS = SEGMENT_TOTALS_BLOCKS * PART_BLOCK_PERSONS,
    SEGMENT_TOTALS_WORDS = SEGMENT_TOTALS_PERSONS / 64,
};

/* Of one test: the sum, the least or the greatest of the values that are there; but for SEGMENT_SUM how many those
 * are. */
typedef struct SegmentTotal {
    int64_t values[SEGMENT_TOTALS_PERSONS];
    uint32_t known[SEGMENT_TOTALS_PERSONS];
} SegmentTotal;

/* What the threads of one leaf share. */
typedef struct SegmentAdding {
    const Segment *leaf;
    const BucketPlaces *places; /* of each part of the view, in the leaf's range */
    const bool *keys;
} SegmentAdding;

/* Of some blocks. */
typedef struct SegmentTotals {
    const Segment *leaf;
    Strips *strips;
    StripTimes times;
    FilterScratch scratch;
    uint32_t block;                          /* the first */
    uint32_t passes[SEGMENT_TOTALS_MAX + 1]; /* over the rows of a strip: tests */
    uint32_t pass_count, counting;           /* the one that counts them, too */
    bool any;                                /* row of these blocks matched */
    bool damaged;
    bool is_over; /* a sum or a product is no number of 64 bits: nothing that is said here holds */
    /* by row of the strip; of a product the other factor */
    int64_t *values, *factors;
    /* of the rows that match */
    uint32_t *picked, *persons;

    uint64_t seen[SEGMENT_TOTALS_WORDS + 2];  /* who have a row */
    uint64_t holds[SEGMENT_TOTALS_WORDS + 2]; /* of them those for whom all tests hold */
    uint64_t asked[SEGMENT_TOTALS_WORDS + 2];
    uint32_t rows[SEGMENT_TOTALS_PERSONS + KERNEL_SLACK];
    SegmentTotal *of[SEGMENT_TOTALS_MAX]; /* NULL: the test only counts rows */
} SegmentTotals;

SegmentAdding segment_adding(Arena *arena, const ScanView *view, const Segment *leaf);

SegmentTotals *segment_totals_new(const ScanView *view, const SegmentAdding *of);
void segment_totals_free(SegmentTotals *t); /* NULL is nothing to do */
bool segment_totals_damaged(const SegmentTotals *t);

/* Who of blocks [from, to), at most SEGMENT_TOTALS_BLOCKS, has rows, and for whom all tests of the leaf hold, in `t`. */
void segment_totals(SegmentTotals *t, uint32_t from, uint32_t to);
