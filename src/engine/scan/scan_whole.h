/*
 * engine/scan/scan_whole.h -- who has rows in which bucket of time: loose rows, and of parts whose rows are all alike to the
 * question persons in their place.
 *
 * Who was active in a week is known without its rows (engine/part/part_active.h).  For what asks who, and not how often or
 * with what.
 *
 * Owns: a WholeScan its memory.  Threads: one WholeScan per thread; the view is shared.
 */
#pragma once

#include "engine/scan/scan.h"

/* Everybody with rows of a select in a part whose rows all match and lie in one bucket. */
typedef struct WholePart {
    uint32_t first_person;
    const uint64_t *persons; /* SCAN_PIECE_PERSONS bits, from first_person on */
    int64_t at_ms;           /* an instant of the bucket */
    uint32_t select;
} WholePart;

/* Bucket i is [bounds[i], bounds[i + 1]): count + 1 of them, ascending. */
typedef struct WholeAsk {
    const ScanSelect *selects; /* at most SCAN_SELECTS_MAX; must outlive the scan, as the bounds */
    uint32_t select_count;
    const int64_t *bounds;
    uint32_t count;
    uint32_t rows_only; /* bits: selects whose rows matter, too */
} WholeAsk;

/* Bits: to which of the selects all rows of the part are alike. */
uint32_t whole_selects(const WholeAsk *ask, const Part *part);

typedef struct WholeScan WholeScan;

WholeScan *whole_scan_new(const ScanView *view, const WholeAsk *ask);
void whole_scan_free(WholeScan *s); /* NULL is nothing to do */

/* Pieces ascend.  What comes may come again. */
typedef void (*WholePartFn)(const WholePart *part, void *arg);
void whole_scan(WholeScan *s, uint32_t piece, WholePartFn part, ScanLooseFn rows, void *arg);

/* Adds who has rows that match: bits from the rows' first person on. */
void whole_add_rows(const ScanLoose *rows, uint64_t persons[SCAN_PIECE_PERSONS / 64]);

/* Rows that could not be read because of damage, so far. */
uint64_t whole_scan_damaged(const WholeScan *s);
