/*
 * engine/scan/overlap.h -- persons whose rows of one week lie in several parts.
 *
 * Mostly a week is one large part, and a few small ones that came since: late events, rows that a link moved.  Whoever
 * has rows in none of the small ones has all of them in the large one, in order: only the others' must be put into
 * order, which are few.
 *
 * Owns: a RowSet its memory until row_set_free().  Threads: one at a time.
 */
#pragma once

#include "engine/core/kernels.h"
#include "engine/part/part.h"

_Static_assert((int)KERNEL_MARKS == (int)PART_BLOCK_PERSONS, "one bit per person");

/* The largest of the parts: where most rows are in order. */
uint32_t overlap_base(Part *const *parts, uint32_t count);

/* Persons of a block. */
typedef struct Overlap {
    uint64_t persons[PART_BLOCK_PERSONS / 64];
    bool any;
} Overlap;

/* Adds those of the keys. */
void overlap_add(Overlap *o, const uint32_t *keys, uint32_t n);

/* Rows, as bits. */
typedef struct RowSet {
    uint64_t *bits;
    uint32_t cap;
} RowSet;

void row_set_free(RowSet *s);

/* Those of the rows whose persons are not among these; valid until the next call. */
uint64_t *rows_of_others(RowSet *s, const uint32_t *keys, uint32_t n,
                         const uint64_t persons[PART_BLOCK_PERSONS / 64]);

/* All others. */
void rows_invert(uint64_t *set, uint32_t n);
