/*
 * engine/core/prop_index.h -- property to column: where the columns of a list are found while it is made.
 *
 * Open addressing, at most half full.  Owns: nothing; memory is the arena's, 16 bytes per property at most
 * four times over.  Threads: one at a time.
 */
#pragma once

#include "base/arena.h"

typedef struct PropPlace {
    uint32_t prop; /* 0 = empty: no property has that number */
    uint32_t column;
} PropPlace;

typedef struct PropIndex {
    PropPlace *slots;
    uint32_t slot_count, count;
} PropIndex;

/* The column of `prop`; a new property gets the number `next`, and then *is_new. */
uint32_t prop_index_add(PropIndex *x, Arena *arena, uint32_t prop, uint32_t next, bool *is_new);

#define PROP_INDEX_NONE UINT32_MAX
uint32_t prop_index_find(const PropIndex *x, uint32_t prop);
