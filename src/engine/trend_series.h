/*
 * engine/trend_series.h -- combinations of breakdown values and their numbers.  Private to trend*.c.
 *
 * Owns: its memory, until combinations_free().  Threads: one at a time.
 */
#pragma once

#include "engine/query.h"

typedef struct Combination {
    int64_t values[QUERY_BREAKDOWNS_MAX];
    uint64_t events;
} Combination;

typedef struct Combinations {
    Combination *at;
    uint32_t count, cap;
    uint32_t *slots; /* index + 1 */
    uint32_t slot_count;
    uint32_t width;
    uint32_t limit; /* combinations there may be; 0 = QUERY_VALUES_MAX */
    bool is_over;   /* there was one more: it was not counted */
    uint32_t last;  /* the one found last: neighbours are often alike */
} Combinations;

/* Its index, or QUERY_VALUES_MAX when it is one too many, or unknown and not to be added. */
uint32_t combinations_index(Combinations *c, const int64_t *values, bool add);

/* Counts events of a combination; one too many makes it over. */
void combinations_count(Combinations *c, const int64_t *values, uint64_t events);

/* The most events first, then by values.  The index is not good any more. */
void combinations_sort(Combinations *c);

/* Adds all of another one.  Gives up as engine/crew.h says. */
void combinations_join(Combinations *into, const Combinations *from);

void combinations_free(Combinations *c);
