/*
 * engine/part/weave.h -- the rows of one part and block in their order: keys of the lists, the sequence, and the one put
 * into the other; some at a time, so that whoever gives up (engine/core/crew.h) does so within one person, too.
 *
 * Owns: nothing.  Threads: any.
 */
#pragma once

#include "engine/core/crew.h"
#include "engine/part/part.h"

enum { WEAVE_STEP_ROWS = CREW_LOOK_ROWS }; /* that are looked at together */

static inline uint32_t weave_step(uint32_t left)
{
    return left < WEAVE_STEP_ROWS ? left : WEAVE_STEP_ROWS;
}

/* The keys of these rows; room for KERNEL_SLACK more.  False: damaged, or it gives up. */
MUST_USE bool weave_read_keys(Part *part, const PartRows *rows, uint32_t *out);

/* How far the rows of a block in the sequence were read.  All 0 in the beginning. */
typedef struct WeavePlace {
    uint32_t rows; /* that are done with */
    uint32_t skip; /* of those behind them that are picked: so many were read */
} WeavePlace;

/* pick[list] of the next `count` rows of a block in the sequence, by its place among the blocks, without those where that
 * is KERNEL_PICK_NONE.  False: damaged, it gives up, or there are fewer. */
MUST_USE bool weave_read_lists(Part *part, uint32_t place, const uint8_t pick[256], WeavePlace *at,
                               uint32_t count, uint8_t *out);

/* As the kernel: out[i] = the next value of from[lists[i]].  Ends early when it gives up. */
void weave_values(const uint8_t *lists, uint32_t n, const uint32_t **from, uint32_t count,
                  uint32_t *out);

/* Where the rows of a part and block stand among each other.  Owns its memory until weave_order_free(): 4 bytes a row.
 * All 0 in the beginning. */
typedef struct WeaveOrder {
    const Part *part; /* NULL: of none yet */
    uint32_t block, cap;
    uint32_t *places;
    uint32_t
        from[PART_LISTS_MAX]; /* of each list: where the place of its row 0 would be, modulo 2^32 */
} WeaveOrder;

/* Makes it that of this block, which costs a look at its sequence, unless it is.  False: damaged, or it gives up. */
MUST_USE bool weave_order_read(WeaveOrder *o, Part *part, uint32_t block);

/* How many rows of the block, of which this one is, came before it. */
static inline uint32_t weave_place(const WeaveOrder *o, uint32_t list, uint32_t row)
{
    return o->places[(uint32_t)(o->from[list] + row)];
}

void weave_order_free(WeaveOrder *o);
