/*
 * engine/core/cell_sums.h -- what came together of each value, per cell: how often it came, or what was added to it.
 *
 * Additions are gathered and settled from time to time: sorted, with those of the same cell and value made one.  So
 * its size is how many different pairs there are, not how many additions.
 * Owns: its memory, until cell_sums_free().  Threads: one at a time.
 */
#pragma once

#include "base/str.h"

typedef struct CellSum {
    int64_t value;
    int64_t amount;
    uint32_t cell;
} CellSum;

typedef struct CellSums {
    CellSum *at, *room; /* as much room again, for sorting */
    uint32_t count, cap;
    uint32_t max; /* entries it may grow to; set before the first one */
    /* something was not taken: there were more pairs than fit, or an amount overflowed */
    bool is_full;
} CellSums;

void cell_sums_add(CellSums *t, uint32_t cell, int64_t value, int64_t amount);

/* Adds all of another one. */
void cell_sums_join(CellSums *into, const CellSums *from);

/* From now on and until more is added, the entries ascend by cell, then value, each pair once. */
void cell_sums_settle(CellSums *t);

void cell_sums_free(CellSums *t);
