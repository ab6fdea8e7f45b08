/*
 * engine/scan/strip_persons.h -- who has rows of a strip in which cell: bits, of the blocks that strips reach over.
 *
 * Owns: nothing.  Threads: any, each with bits of its own.
 */
#pragma once

#include "engine/scan/strip_times.h"

enum { STRIP_PERSON_WORDS = PART_BLOCK_PERSONS / 64 };

typedef struct StripPersons {
    uint64_t *bits; /* [block][cell][STRIP_PERSON_WORDS] */
    uint32_t first_block;
    uint32_t cells; /* of a block */
} StripPersons;

static inline uint64_t *strip_persons_of(const StripPersons *to, uint32_t block, size_t cell)
{
    return to->bits + ((size_t)(block - to->first_block) * to->cells + cell) * STRIP_PERSON_WORDS;
}

/* Adds who has rows that match; a row's cell is `first` and its place (strip_places(), strip_ranks()).  False:
 * damaged. */
MUST_USE bool strip_add_persons(const StripPersons *to, StripTimes *times, const Strip *strip,
                                uint32_t first);
