/*
 * engine/core/tally.h -- how often each of many keys was seen, and which of them most often.
 *
 * A key is three numbers.  It counts whatever the caller adds, or persons: each once, when all that is of one
 * person comes together.
 *
 * Owns: a Tally its memory until tally_free().  Threads: one at a time; tally_find() any.
 */
#pragma once

#include "base/base.h"

#define TALLY_NONE UINT32_MAX

enum { TALLY_SMALL = 4096 }; /* below: keys of one number that are found without a search */

typedef struct TallyKey {
    int64_t of[3];
} TallyKey;

static inline bool tally_same(const TallyKey *a, const TallyKey *b)
{
    return ((a->of[0] ^ b->of[0]) | (a->of[1] ^ b->of[1]) | (a->of[2] ^ b->of[2])) == 0;
}

typedef struct TallyEntry {
    TallyKey key;
    uint64_t count;
    uint32_t person; /* that was counted last */
} TallyEntry;

/* All zero but `limit` at first. */
typedef struct Tally {
    uint32_t limit; /* keys there may be */
    bool is_over;   /* there was one more: it was not counted */
    TallyEntry *at; /* the key with number i */
    uint32_t count, cap;
    uint32_t last;   /* number that was asked for last: neighbours are often alike */
    uint32_t *slots; /* number + 1 */
    uint32_t slot_count;
    /* [small first number of a key without others]: number + 1, 0 = it has none */
    uint32_t *direct;
} Tally;

/* The key's number; the next one when it is new, TALLY_NONE when it is one too many. */
uint32_t tally_number(Tally *t, const TallyKey *key);

/* TALLY_NONE: it has none. */
uint32_t tally_find(const Tally *t, TallyKey key);

/* The same of a key that is one number, from 0 to below TALLY_SMALL: for loops over rows. */
static inline uint32_t tally_find_small(const Tally *t, int64_t key)
{
    return t->direct == NULL ? TALLY_NONE : t->direct[key] - 1;
}

static inline bool tally_is_small(int64_t key)
{
    return key >= 0 && key < TALLY_SMALL;
}

static inline void tally_add(Tally *t, TallyKey key, uint64_t amount)
{
    const uint32_t number = tally_number(t, &key);
    if (number != TALLY_NONE)
        t->at[number].count += amount;
}

static inline void tally_add_person(Tally *t, TallyKey key, uint32_t person)
{
    const uint32_t number = tally_number(t, &key);
    if (number == TALLY_NONE || (t->at[number].count > 0 && t->at[number].person == person))
        return;
    t->at[number].person = person;
    t->at[number].count++;
}

/* Adds all of `from`, whose persons are others.  Gives up as engine/core/crew.h says. */
void tally_join(Tally *into, const Tally *from);

/* By count, descending, then by key.  Numbers are others then: nothing may be added or found any more. */
void tally_sort(Tally *t);

/* Sorts, and gives the first `top` keys their places as numbers in `first`, which is empty and has room for them. */
void tally_top(Tally *all, uint32_t top, Tally *first);

void tally_free(Tally *t);
