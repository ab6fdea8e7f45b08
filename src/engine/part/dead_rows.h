/*
 * engine/part/dead_rows.h -- which rows of a part are dead (engine/part/moved.h), once somebody has looked at its keys.
 *
 * Who is dead is a matter of persons, and whose a row is stands in its key: a question that needs no keys would have to
 * read all of them for the sake of a few rows.  So they are looked for once, when persons were moved, and kept as a bit
 * per row, and as how many there are in each hour.
 *
 * Immutable but for `generation`, which grows while nobody of the part's blocks is moved.
 * Owns: its memory until the last dead_rows_unref(): an eighth of a byte per row of the lists that have dead rows, and 260
 * bytes per block.  Threads: any.
 */
#pragma once

#include "engine/part/part_hours.h"

struct Moved;

/* Of one block: who has dead rows. */
typedef struct DeadPersons {
    uint64_t bits[PART_BLOCK_PERSONS / 64];
} DeadPersons;

typedef struct DeadRows {
    atomic_int refs;
    uint64_t number;             /* of the part's file */
    _Atomic uint32_t generation; /* of the map: who was moved up to then is looked at */
    uint32_t count, events;      /* dead rows; without those that are attributes of persons */
    uint32_t list_count, first_block, block_count;
    uint64_t bytes;   /* of memory */
    uint64_t **rows;  /* [list] bits of its rows; NULL = none is dead */
    PartHours *hours; /* [list], of the dead ones; NULL: the part does not say its hours */
    uint32_t *places; /* [block - first_block]: its place in `who`, 0 = no row is dead */
    DeadPersons *who; /* the first one is of no block */
    uint32_t who_count, who_cap;
} DeadRows;

/* NULL: the part is damaged. */
DeadRows *dead_rows_find(Part *part, const struct Moved *moved);
DeadRows *dead_rows_ref(DeadRows *d);
void dead_rows_unref(DeadRows *d); /* NULL is nothing to do */

/* Who has dead rows in the block; NULL: nobody. */
static inline const uint64_t *dead_rows_who(const DeadRows *d, uint32_t block)
{
    const uint32_t at = block - d->first_block;
    return at < d->block_count && d->places[at] != 0 ? d->who[d->places[at]].bits : NULL;
}

/* Takes the dead ones of `n` rows of the list, the first of which is its row `first`, out of a set of them. */
void dead_rows_drop(const DeadRows *d, uint32_t list, uint32_t first, uint32_t n, uint64_t *set);
