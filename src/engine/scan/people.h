/*
 * engine/scan/people.h -- the people behind a number: a set of person numbers, and where the number does not count
 * persons, how much of it each of them is.
 *
 * A question that has numbers of persons can say who they are: it fills such a set with whom it counted.  Nobody is
 * never in it; what nobody has of a number is told apart.
 *
 * Owns: nothing; the bits live in an arena.
 * Threads: workers may add persons of different pieces at the same time, as a piece is whole words; all else is for
 * one thread, when no worker adds any more.
 */
#pragma once

#include "engine/scan/scan.h"

enum { PEOPLE_PIECE_WORDS = SCAN_PIECE_PERSONS / 64 };

__extension__ typedef __int128 PeopleSum;

typedef struct People {
    uint64_t *bits;        /* one per person number, whole pieces of them */
    uint32_t person_count; /* numbers are below */
    int64_t *amounts;      /* by person number; NULL: the number counts persons */
    /* Once people_count() was called: */
    uint64_t count;    /* how many are in */
    PeopleSum amount;  /* of all of them together, */
    PeopleSum nobodys; /* and of nobody: the two are the number */
} People;

/* No one of the view's persons. */
People people_none(Arena *arena, const ScanView *view);

/* The same, for a number that they have shares in: 8 bytes a person. */
People people_with_amounts(Arena *arena, const ScanView *view);

static inline void people_add(const People *p, uint32_t person)
{
    p->bits[person / 64] |= UINT64_C(1) << (person & 63);
}

/* So much more of the number is the person's; 0 is a share, too. */
static inline void people_add_amount(const People *p, uint32_t person, int64_t amount)
{
    people_add(p, person);
    if (p->amounts != NULL)
        p->amounts[person] += amount;
}

/* The words of a piece's persons. */
static inline uint64_t *people_piece(const People *p, uint32_t piece)
{
    return p->bits + (size_t)piece * PEOPLE_PIECE_WORDS;
}

/* Counts them.  The numbers of the first piece are nobody's. */
void people_count(People *p);

/* The first of them with a number of at least `from`; person_count when there is none. */
uint32_t people_next(const People *p, uint32_t from);
