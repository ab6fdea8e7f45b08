/*
 * engine/scan/people.c
 */
#include "engine/scan/people.h"

static size_t words_of(const People *p)
{
    const size_t pieces = ((size_t)p->person_count + SCAN_PIECE_PERSONS - 1) / SCAN_PIECE_PERSONS;
    return pieces * PEOPLE_PIECE_WORDS;
}

People people_none(Arena *arena, const ScanView *view)
{
    People p = {.person_count = view->person_count};
    p.bits = ARENA_ARRAY(arena, uint64_t, words_of(&p) + 1);
    return p;
}

People people_with_amounts(Arena *arena, const ScanView *view)
{
    People p = people_none(arena, view);
    p.amounts = ARENA_ARRAY(arena, int64_t, words_of(&p) * 64 + 1);
    return p;
}

static void forget_nobody(People *p)
{
    const size_t first = words_of(p) < PEOPLE_PIECE_WORDS ? 0 : PEOPLE_PIECE_WORDS;
    for (size_t i = 0; p->amounts != NULL && i < first * 64; i++)
        p->nobodys += p->amounts[i];
    memset(p->bits, 0, first * sizeof *p->bits);
}

void people_count(People *p)
{
    forget_nobody(p);
    p->count = 0;
    p->amount = 0;
    for (size_t i = 0; i < words_of(p); i++)
        p->count += (uint64_t)__builtin_popcountll(p->bits[i]);
    for (uint32_t i = PART_BLOCK_PERSONS; p->amounts != NULL && i < p->person_count; i++)
        p->amount += p->amounts[i];
}

uint32_t people_next(const People *p, uint32_t from)
{
    for (uint32_t at = from; at < p->person_count; at = (at / 64 + 1) * 64) {
        const uint64_t left = p->bits[at / 64] >> (at & 63);
        if (left != 0)
            return at + (uint32_t)__builtin_ctzll(left);
    }
    return p->person_count;
}
