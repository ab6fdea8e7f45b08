/*
 * engine/names/persons.h -- which actors are one person.
 *
 * Links are edges between actors; a person is what hangs together, and its number is the smallest of its actors'.
 * Whatever order links and unlinks came in, what they leave is one graph, so that an unlink undoes its link
 * exactly.  Every change says whose rows have to be put elsewhere: of one person at most, and the map of
 * engine/part/moved.h goes on with it.
 *
 * A row stands under a person and says as whom it was recorded by an ordinal: 0 = that number itself, else one of
 * the actors that ever belonged to it, in the order in which they joined; those that one change brings, by number.
 *
 * Owns: its memory until persons_free(): 4 bytes per actor number up to the largest one with a link; 40 per actor that
 * was ever in a link or erased; 16 per link, 4 per actor that ever joined a person, 12 per change that is not saved yet,
 * all with as much room again at most; and the map of moves (engine/part/moved.h).
 * Promises: one person has at most PERSONS_ACTORS_MAX actors: more is no person, but a device that is shared.
 * Threads: one at a time.
 */
#pragma once

#include "engine/part/moved.h"

enum {
    PERSONS_ACTORS_MAX = 256,
    PERSONS_ORDINALS_MAX = 65535, /* actors that ever belonged to one person */
};

typedef struct Persons Persons;

typedef enum PersonsKind {
    PERSONS_LINK = 'L',
    PERSONS_UNLINK = 'U',
    PERSONS_ERASE = 'X'
} PersonsKind;

/* What was said of actors; `b` of ERASE is 0. */
typedef struct PersonsChange {
    PersonsKind kind;
    uint32_t a, b;
} PersonsChange;

Persons *persons_new(uint32_t links_max);
void persons_free(Persons *p); /* NULL is nothing to do */

/* Whose rows the change may move; 0 = nobody's.  That takes no more than the change itself. */
uint32_t persons_moves(const Persons *p, PersonsChange change);

/* False: one person would have too many actors, or there are too many links; nothing has changed.  A link that is
 * there, an unlink of none, whoever was erased: nothing changes either, which is no fault.
 * When persons_moves() named somebody, and true comes back, the map is one generation on: all rows of that person
 * are dead. */
MUST_USE bool persons_change(Persons *p, PersonsChange change);

uint32_t persons_erased(const Persons *p); /* how many, since ever */

/* Sets the bit of every number below `count` under which rows of an erased actor ever stood. */
void persons_mark_erased(const Persons *p, uint32_t count, uint64_t *bits);

/* Valid until the next change; moved_ref() keeps it. */
Moved *persons_moved(const Persons *p);

/* As moved_know(), of that map. */
void persons_know_dead(Persons *p, DeadRows **known, uint32_t count);

/* Whose an actor's events are; 0 = it was erased. */
uint32_t persons_of(const Persons *p, uint32_t actor);

/* Whether events may stand under the number: it is the smallest of its person. */
bool persons_is_person(const Persons *p, uint32_t number);

uint32_t persons_ordinal(const Persons *p, uint32_t actor); /* under persons_of() */
uint32_t persons_actor(const Persons *p, uint32_t person, uint32_t ordinal); /* 0 = damaged */

uint64_t persons_bytes(const Persons *p); /* of memory, the map of moves with it */

/* Changes with an effect on who is whom since persons_forget_new(), to be saved and made again in their order. */
const PersonsChange *persons_new_changes(const Persons *p, uint32_t *count);
void persons_forget_new(Persons *p);
