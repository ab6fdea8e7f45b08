/*
 * engine/scan/scan_whole.h -- who has rows in which bucket of time: rows in strips, and of parts whose rows are all alike to the
 * question persons in their place.
 *
 * Who was active in a week is known without its rows (engine/part/part_active.h).  For what asks who, and not how often or
 * with what.
 *
 * Owns: a WholeScan its memory.  Threads: one WholeScan per thread; the view is shared.
 */
#pragma once

#include "engine/scan/strip_times.h"

/* Everybody of a block with rows of a select in a part whose rows all match and lie in one bucket. */
typedef struct WholePart {
    uint32_t block, select;
    uint32_t place;          /* of the bucket, as bucket_places() counts: 1 is the first */
    const uint64_t *persons; /* PART_BLOCK_PERSONS bits */
} WholePart;

/* Rows of a select.  Those outside of its range have place 0, or one behind the last bucket. */
typedef struct WholeRows {
    const Strip *strip;
    StripTimes *times;
    uint32_t select;
} WholeRows;

/* Bucket i is [bounds[i], bounds[i + 1]): count + 1 of them, ascending. */
typedef struct WholeAsk {
    const ScanSelect *selects; /* at most SCAN_SELECTS_MAX; must outlive the scan, as the bounds */
    uint32_t select_count;
    const int64_t *bounds;
    uint32_t count;
    uint32_t rows_only; /* bits: selects whose rows matter, too */
    bool by_block;      /* as of StripAsk */
} WholeAsk;

/* Bits: to which of the selects all rows of the part are alike. */
uint32_t whole_selects(const WholeAsk *ask, const Part *part);

typedef struct WholeScan WholeScan;

WholeScan *whole_scan_new(const ScanView *view, const WholeAsk *ask);
void whole_scan_free(WholeScan *s); /* NULL is nothing to do */

typedef struct WholeTaker {
    void (*part)(const WholePart *part, void *arg);
    void (*rows)(const WholeRows *rows, void *arg);
    void *arg;
} WholeTaker;

/* Of blocks [from, to), which ascend from call to call.  What comes may come again. */
void whole_scan(WholeScan *s, uint32_t from, uint32_t to, const WholeTaker *taker);

/* Rows that could not be read because of damage, so far. */
uint64_t whole_scan_damaged(const WholeScan *s);
