/*
 * engine/segment_totals.h -- leaves of a segment that only count and add up: no order is needed, and nothing is
 * grouped.  Private to segment*.c.
 *
 * Rows come as they lie; each adds to the totals of its person.  Only who has a row is looked at.
 *
 * Owns: SegmentTotals its memory, until segment_totals_free().  Threads: one per SegmentTotals.
 */
#pragma once

#include "engine/segment.h"

/* sum / divisor; divisor 0 = missing. */
typedef struct SegmentMeasured {
    SegmentWide sum;
    int64_t divisor;
} SegmentMeasured;

/* What a test says of what was measured. */
bool segment_takes(const SegmentTest *t, const SegmentMeasured *m);

/* Whether a leaf is of this kind. */
bool segment_has_totals(const Segment *leaf);

enum { SEGMENT_TOTALS_MAX = 4 }; /* tests of one leaf */

/* Of one test: the sum, the least or the greatest of the values that are there; but for SEGMENT_SUM how many those
 * are. */
typedef struct SegmentTotal {
    int64_t values[SCAN_PIECE_PERSONS];
    uint32_t known[SCAN_PIECE_PERSONS];
} SegmentTotal;

/* Of one piece. */
typedef struct SegmentTotals {
    const Segment *leaf;
    Scanner *scanner;
    FilterScratch scratch;
    int64_t *values;
    uint32_t value_cap;
    bool damaged;
    bool is_over;          /* a sum is no number of 64 bits: nothing that is said here holds */
    uint32_t person_count; /* who have a row */
    uint16_t persons[SCAN_PIECE_PERSONS + 1];
    uint8_t holds[SCAN_PIECE_PERSONS]; /* of persons[i]: whether all tests do */
    uint32_t rows[SCAN_PIECE_PERSONS];
    SegmentTotal *of[SEGMENT_TOTALS_MAX]; /* NULL: the test only counts rows */
} SegmentTotals;

SegmentTotals *segment_totals_new(const ScanView *view, const Segment *leaf);
void segment_totals_free(SegmentTotals *t); /* NULL is nothing to do */
bool segment_totals_damaged(const SegmentTotals *t);

/* Who of a piece has rows, and for whom all tests of the leaf hold, in `t`. */
const SegmentTotals *segment_totals(SegmentTotals *t, uint32_t piece);
