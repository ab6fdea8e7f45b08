/*
 * modules/intake/intake_sort.h -- sorts more rows than memory holds: runs in temporary files, merged.
 *
 * Promises: order is by key bytes, then by the order of adding (stable); memory stays near the budget
 *           whatever comes.
 * Owns:     its buffers and nameless temporary files, until intake_sort_free().
 * Threads:  one at a time.
 */
#pragma once

#include "base/ctx.h"

enum { INTAKE_SORT_RECORD_BYTES_MAX = 8 * 1024 * 1024 };

typedef struct RowSorter RowSorter;

typedef struct SortedRow {
    Str key;
    Str payload; /* both valid until the next call */
} SortedRow;

/* `unique` keeps only the first row of each key.  `temp_dir` must outlive the sorter. */
RowSorter *intake_sort_new(const char *temp_dir, size_t memory_bytes, bool unique);

/* Errors: TOO_LARGE "intake.row_too_large" (key and payload over 8 MB); BUSY "intake.temp_failed". */
MUST_USE Err intake_sort_add(RowSorter *sorter, Ctx *ctx, Str key, Str payload);

/* No more rows come; the next ones are handed back.  Errors: BUSY "intake.temp_failed". */
MUST_USE Err intake_sort_finish(RowSorter *sorter, Ctx *ctx);
MUST_USE Err intake_sort_next(RowSorter *sorter, Ctx *ctx, SortedRow *row, bool *more);

/* Rows left out by `unique` so far. */
int64_t intake_sort_folded(const RowSorter *sorter);

void intake_sort_free(RowSorter *sorter); /* NULL is nothing to do */
