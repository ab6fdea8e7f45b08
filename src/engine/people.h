/*
 * engine/people.h -- the people behind a number: a set of person numbers.
 *
 * A question that counts persons can say who they are: it fills such a set with whom it counted.  Nobody is never
 * in it.
 *
 * Owns: nothing; the bits live in an arena.
 * Threads: workers may add persons of different pieces at the same time, as a piece is whole words; all else is for
 * one thread, when no worker adds any more.
 */
#pragma once

#include "engine/scan.h"

enum { PEOPLE_PIECE_WORDS = SCAN_PIECE_PERSONS / 64 };

typedef struct People {
    uint64_t *bits;        /* one per person number, whole pieces of them */
    uint32_t person_count; /* numbers are below */
    uint64_t count;        /* how many are in, once people_count() was called */
} People;

/* No one of the view's persons. */
People people_none(Arena *arena, const ScanView *view);

static inline void people_add(const People *p, uint32_t person)
{
    p->bits[person / 64] |= UINT64_C(1) << (person & 63);
}

/* Counts them. */
void people_count(People *p);

/* The first of them with a number of at least `from`; person_count when there is none. */
uint32_t people_next(const People *p, uint32_t from);
