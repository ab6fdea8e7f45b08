/*
 * engine/tally.h -- how often each of many keys was seen, and which of them most often.
 *
 * A key is three numbers.  It counts whatever the caller adds, or persons: each once, when all that is of one
 * person comes together.
 *
 * Owns: a Tally its memory until tally_free().  Threads: one at a time; tally_find() any.
 */
#pragma once

#include "base/base.h"

#define TALLY_NONE UINT32_MAX

typedef struct TallyKey {
    int64_t of[3];
} TallyKey;

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
    uint32_t *slots; /* number + 1 */
    uint32_t slot_count;
    uint32_t
        *direct; /* [small first number of a key without others]: number + 1, 0 = it has none */
} Tally;

/* The key's number; the next one when it is new, TALLY_NONE when it is one too many. */
uint32_t tally_number(Tally *t, TallyKey key);

/* TALLY_NONE: it has none. */
uint32_t tally_find(const Tally *t, TallyKey key);

void tally_add(Tally *t, TallyKey key, uint64_t amount);
void tally_add_person(Tally *t, TallyKey key, uint32_t person);

/* Adds all of `from`, whose persons are others. */
void tally_join(Tally *into, const Tally *from);

/* By count, descending, then by key.  Numbers are others then: nothing may be added or found any more. */
void tally_sort(Tally *t);

void tally_free(Tally *t);
