/*
 * engine/core/order.h -- rows that consist of a few runs in order become one: what overlapping parts hold of a
 * person.
 *
 * Runs are found, or told, and merged in pairs (D. E. Knuth, The Art of Computer Programming 3, 5.2.4,
 * natural merge): rows in order cost one look, two parts one merge, however much they overlap.
 * Owns: nothing.  Threads: any.
 */
#pragma once

#include "base/base.h"

typedef struct TimedRow {
    int64_t ms;
    uint32_t row; /* the caller's: which one it is */
} TimedRow;

/*
 * Ascending by `ms`; rows of one instant keep their order.  `scratch` has room for `count` rows.
 * Gives how often all rows were gone through to move them: for r runs log2(r), rounded up; 0 = they were in
 * order, or it gives up (engine/core/crew.h).  Each time costs at most two comparisons a row.
 */
uint32_t order_runs(TimedRow *rows, TimedRow *scratch, uint32_t count);

/* The same of numbers whose runs are told: run i ends at ends[i], which are used up.  `scratch` has room for all numbers.
 * Gives where they stand in order: `numbers` or `scratch`. */
uint64_t *order_numbers(uint64_t *numbers, uint64_t *scratch, uint32_t *ends, uint32_t runs);
