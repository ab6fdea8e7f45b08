/*
 * engine/part/part_active.h -- who has events in a part: a bit per person, block by block.  Files with many rows say it; of
 * others it is made when it is first asked for, and kept with the part.
 *
 * A week of 2 million persons is 250 KB, of 2,048 persons 256 bytes: what a question about any activity needs of a
 * week that lies in one of its intervals.
 * Owns: those that were made, until the part's last part_unref().  Threads: any.
 */
#pragma once

#include "engine/part/part.h"

enum {
    PART_ACTIVE_WORDS = PART_BLOCK_PERSONS / 64,
    PART_ACTIVE_BYTES = PART_BLOCK_PERSONS / 8,
    /* Rows of a block on average from which on a file says it: a byte for four of them at most. */
    PART_ACTIVE_ROWS = 1024,
};

/* Of the block with this number among the part's blocks: kept with the part, or in `room`, which may be written to.
 * NULL: damaged. */
const uint64_t *part_active(Part *part, uint32_t block_index, uint64_t room[PART_ACTIVE_WORDS]);

/* Private to part.c. */
void part_active_free(Part *part);
