/*
 * engine/part/moved.h -- whose rows no longer stand where they stood.
 *
 * When a person's rows have to go elsewhere (engine/names/persons.h), they are added once more where they belong now, and
 * those of every part that was made before are dead.  Each such move is a generation; a part says how many there
 * were when it was made, the map who was moved in which generation last.  So nothing is rewritten, a merge leaves
 * the dead out, and one look per part and block says whether there are any.
 *
 * Immutable once shared; a new generation shares with the one before what did not change.
 * Owns: its memory until the last moved_unref(): 8 KiB per block with anybody who was moved, and what is known of dead
 * rows.  Threads: any.
 */
#pragma once

#include "engine/part/dead_rows.h"

typedef struct MovedBlock {
    uint32_t latest, earliest;              /* generation of any person of it; none is below */
    uint32_t at[PART_BLOCK_PERSONS];        /* person -> generation, 0 = never */
    uint64_t ever[PART_BLOCK_PERSONS / 64]; /* bits: who was ever moved */
    uint64_t gone[PART_BLOCK_PERSONS / 64]; /* bits: the number is no person now */
    atomic_int refs;                        /* the last: what is before it is copied */
} MovedBlock;

typedef struct Moved {
    atomic_int refs;
    uint32_t generation; /* of the last move; 0 = none ever */
    uint32_t block_count;
    MovedBlock **blocks; /* NULL: nobody of it was ever moved */
    DeadRows **known;    /* of some files, by their numbers */
    uint32_t known_count;
} Moved;

Moved *moved_new(void);
Moved *moved_ref(Moved *m);
void moved_unref(Moved *m); /* NULL is nothing to do */

/* One generation on, in which `person` was moved.  Takes `m` over: when nobody else holds it, it is changed where it
 * stands, else it stays as it is for who does. */
Moved *moved_next(Moved *m, uint32_t person);

/* Of a map that nobody shares yet: whether the number is that of a person. */
void moved_set_gone(Moved *m, uint32_t number, bool gone);

/* Of the block's persons the generations in which they were moved last, when any of their rows in a part of
 * `generation` are dead: those of persons with a larger one.  NULL: all are alive.  `m` may be NULL. */
const uint32_t *moved_block(const Moved *m, uint32_t block, uint32_t generation);

/* From here on these are known, in place of those that were; by their numbers.  Takes `m` and the array over, as
 * moved_next(). */
Moved *moved_know(Moved *m, DeadRows **known, uint32_t count);

/* Which rows of the part are dead, for as long as the map is held.  NULL: somebody would have to look at its keys, as far as
 * any is. */
const DeadRows *moved_known(const Moved *m, const Part *part);

/* What was known of the part once, when less was moved; NULL: nothing. */
DeadRows *moved_once_known(const Moved *m, const Part *part);

/* The same map without what is known of dead rows, as one that nobody shares. */
Moved *moved_alone(const Moved *m);

/* Whether persons of the part's blocks were moved behind the generation. */
bool moved_behind(const Moved *m, const Part *part, uint32_t generation);

/* What was found for one part, and is good for the next one of its generation: most are of one.  All 0 in the
 * beginning. */
typedef struct MovedDead {
    bool is_known;
    uint32_t block, generation;
    uint64_t persons[PART_BLOCK_PERSONS / 64];
} MovedDead;

/* The same as bits of these persons, of those at least who have rows in the part, perhaps in *last, which is always asked
 * of one map; `known` is what moved_known() said of the part.  NULL: all rows are alive. */
const uint64_t *moved_dead(const Moved *m, const DeadRows *known, uint32_t block,
                           uint32_t generation, MovedDead *last);

/* Bits of the block's numbers that are no persons; NULL: all are. */
const uint64_t *moved_gone(const Moved *m, uint32_t block);

/* Of memory, also of what it shares with other generations. */
uint64_t moved_bytes(const Moved *m);

/* Whether all rows of a part are alive. */
bool moved_spares(const Moved *m, const Part *part);
