/*
 * engine/part/dead_rows.h -- which rows of a part are dead (engine/part/moved.h), once somebody has looked at its keys.
 *
 * Who is dead is a matter of persons, and whose a row is stands in its key: a question that needs no keys would have to
 * read all of them for the sake of a few rows.  So they are looked for once, when persons were moved, and kept as a bit
 * per row, and as how many there are in each hour.  When more are moved, only their blocks are looked at again.
 *
 * Immutable but for `generation`, which grows while nobody of the part's blocks is moved.
 * Owns: its memory until the last dead_rows_unref().  Per list with dead rows a bit for each of its rows, and 672 bytes when
 * the part says its hours; 256 bytes per block with dead rows, and room for as many again; 16 bytes per list, and per 64
 * blocks from the first one with dead rows to the last.
 * Threads: any.
 */
#pragma once

#include "engine/part/part_hours.h"

struct Moved;

/* Of one block: who has dead rows. */
typedef struct DeadPersons {
    uint64_t bits[PART_BLOCK_PERSONS / 64];
} DeadPersons;

/* Of 64 blocks. */
typedef struct DeadPlaces {
    uint64_t has;    /* bits: of those with dead rows */
    uint32_t before; /* so many in the blocks before */
} DeadPlaces;

/* Of one list of the part. */
typedef struct DeadList {
    uint64_t *rows;   /* bits; NULL = none is dead */
    PartHours *hours; /* of the dead ones; NULL: none is dead, or the part does not say its hours */
} DeadList;

typedef struct DeadRows {
    atomic_int refs;
    uint64_t number;             /* of the part's file */
    _Atomic uint32_t generation; /* of the map: who was moved up to then is looked at */
    uint32_t count, events;      /* dead rows; without those that are attributes of persons */
    uint32_t list_count, who_count, who_cap, first_block, place_count;
    uint64_t bytes; /* of memory */
    DeadList *lists;
    DeadPlaces *places; /* [(block - first_block) / 64] */
    DeadPersons *who;   /* [who_count], of the blocks with dead rows */
} DeadRows;

/* As the map says it.  `before`: what was found in this part with an earlier map, or NULL.  NULL: the part is damaged. */
DeadRows *dead_rows_find(Part *part, const struct Moved *moved, const DeadRows *before);
DeadRows *dead_rows_ref(DeadRows *d);
void dead_rows_unref(DeadRows *d); /* NULL is nothing to do */

/* Who has dead rows in the block; NULL: nobody. */
static inline const uint64_t *dead_rows_who(const DeadRows *d, uint32_t block)
{
    const uint32_t at = block - d->first_block;
    if (at / 64 >= d->place_count)
        return NULL;
    const DeadPlaces *p = &d->places[at / 64];
    const uint64_t bit = UINT64_C(1) << (at & 63);
    return (p->has & bit) == 0
               ? NULL
               : d->who[p->before + (uint32_t)__builtin_popcountll(p->has & (bit - 1))].bits;
}

/* Takes the dead ones of `n` rows of the list, the first of which is its row `first`, out of a set of them.  Of a list
 * that has dead rows. */
void dead_rows_drop(const DeadRows *d, uint32_t list, uint32_t first, uint32_t n, uint64_t *set);
