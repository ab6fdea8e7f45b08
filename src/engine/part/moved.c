/*
 * engine/part/moved.c
 */
#include "engine/part/moved.h"

#include "engine/core/kernels.h"

#include <stdlib.h>

Moved *moved_new(void)
{
    Moved *m = calloc(1, sizeof *m);
    CHECK(m != NULL);
    atomic_store(&m->refs, 1);
    return m;
}

Moved *moved_ref(Moved *m)
{
    atomic_fetch_add(&m->refs, 1);
    return m;
}

static void unref_block(MovedBlock *b)
{
    if (b != NULL && atomic_fetch_sub(&b->refs, 1) == 1)
        free(b);
}

static void forget_known(Moved *m)
{
    for (uint32_t i = 0; i < m->known_count; i++)
        dead_rows_unref(m->known[i]);
    free(m->known);
}

void moved_unref(Moved *m)
{
    if (m == NULL || atomic_fetch_sub(&m->refs, 1) != 1)
        return;
    for (uint32_t i = 0; i < m->block_count; i++)
        unref_block(m->blocks[i]);
    forget_known(m);
    free(m->blocks);
    free(m);
}

/* The block, which is this map's alone from here on. */
static MovedBlock *own_block(Moved *m, uint32_t block)
{
    if (block >= m->block_count) {
        m->blocks = realloc(m->blocks, ((size_t)block + 1) * sizeof *m->blocks);
        CHECK(m->blocks != NULL);
        memset(m->blocks + m->block_count, 0, (block + 1 - m->block_count) * sizeof *m->blocks);
        m->block_count = block + 1;
    }
    MovedBlock *old = m->blocks[block];
    if (old != NULL && atomic_load(&old->refs) == 1)
        return old;
    MovedBlock *b = calloc(1, sizeof *b);
    CHECK(b != NULL);
    if (old != NULL)
        memcpy(b, old, offsetof(MovedBlock, refs)); /* somebody else may give up theirs meanwhile */
    atomic_store(&b->refs, 1);
    unref_block(old);
    m->blocks[block] = b;
    return b;
}

/* Shares all blocks with the other one. */
Moved *moved_alone(const Moved *m)
{
    Moved *copy = moved_new();
    copy->generation = m->generation;
    copy->block_count = m->block_count;
    copy->blocks = calloc((size_t)m->block_count + 1, sizeof *copy->blocks);
    CHECK(copy->blocks != NULL);
    for (uint32_t i = 0; i < m->block_count; i++) {
        copy->blocks[i] = m->blocks[i];
        if (copy->blocks[i] != NULL)
            atomic_fetch_add(&copy->blocks[i]->refs, 1);
    }
    return copy;
}

static Moved *copy_of(const Moved *m)
{
    Moved *copy = moved_alone(m);
    copy->known = calloc((size_t)m->known_count + 1, sizeof(DeadRows *));
    CHECK(copy->known != NULL);
    for (uint32_t i = 0; i < m->known_count; i++)
        copy->known[copy->known_count++] = dead_rows_ref(m->known[i]);
    return copy;
}

/* The map, or a copy when others have it, too. */
static Moved *own(Moved *m)
{
    if (atomic_load(&m->refs) == 1)
        return m;
    Moved *copy = copy_of(m);
    moved_unref(m);
    return copy;
}

Moved *moved_next(Moved *m, uint32_t person)
{
    Moved *next = own(m);
    MovedBlock *b = own_block(next, person >> PART_BLOCK_BITS);
    const uint32_t in_block = person & (PART_BLOCK_PERSONS - 1);
    b->latest = b->at[in_block] = ++next->generation;
    b->earliest = b->earliest == 0 ? b->latest : b->earliest;
    b->ever[in_block / 64] |= UINT64_C(1) << (in_block & 63);
    return next;
}

void moved_set_gone(Moved *m, uint32_t number, bool gone)
{
    MovedBlock *b = own_block(m, number >> PART_BLOCK_BITS);
    uint64_t *word = &b->gone[(number & (PART_BLOCK_PERSONS - 1)) / 64];
    const uint64_t bit = UINT64_C(1) << (number & 63);
    *word = gone ? *word | bit : *word & ~bit;
}

Moved *moved_know(Moved *m, DeadRows **known, uint32_t count)
{
    Moved *next = own(m);
    forget_known(next);
    next->known = known;
    next->known_count = count;
    return next;
}

static const MovedBlock *block_of(const Moved *m, uint32_t block)
{
    return m == NULL || block >= m->block_count ? NULL : m->blocks[block];
}

const uint32_t *moved_block(const Moved *m, uint32_t block, uint32_t generation)
{
    const MovedBlock *b = block_of(m, block);
    return b == NULL || b->latest <= generation ? NULL : b->at;
}

bool moved_behind(const Moved *m, const Part *part, uint32_t generation)
{
    if (m == NULL || m->generation <= generation)
        return false;
    for (uint32_t i = 0; i < part->head->block_count; i++)
        if (moved_block(m, part->blocks[i].block, generation) != NULL)
            return true;
    return false;
}

DeadRows *moved_once_known(const Moved *m, const Part *part)
{
    const uint64_t number = part->number;
    uint32_t from = 0, to = m == NULL || number == 0 ? 0 : m->known_count; /* 0: in memory */
    while (from < to) {
        const uint32_t middle = from + (to - from) / 2;
        if (m->known[middle]->number == number)
            return m->known[middle];
        if (m->known[middle]->number < number)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

const DeadRows *moved_known(const Moved *m, const Part *part)
{
    const DeadRows *d = moved_once_known(m, part);
    return d == NULL || moved_behind(m, part, atomic_load(&d->generation)) ? NULL : d;
}

/* By their generations; `at` is of that block. */
static const uint64_t *find_dead(const uint32_t *at, uint32_t block, uint32_t generation,
                                 MovedDead *last)
{
    if (last->is_known && last->block == block && last->generation == generation)
        return last->persons;
    last->is_known = true;
    last->block = block;
    last->generation = generation;
    kernels()->in_range(at, PART_BLOCK_PERSONS, UINT32_MAX, generation + 1,
                        UINT32_MAX - generation - 1, last->persons);
    return last->persons;
}

const uint64_t *moved_dead(const Moved *m, const DeadRows *known, uint32_t block,
                           uint32_t generation, MovedDead *last)
{
    const uint64_t *who = known == NULL ? NULL : dead_rows_who(known, block);
    const MovedBlock *b = block_of(m, block);
    if (b == NULL || b->latest <= generation || (known != NULL && who == NULL))
        return NULL;
    if (generation < b->earliest)
        return b->ever; /* one for all parts that are older than any move: it stays in the caches */
    return known != NULL ? who : find_dead(b->at, block, generation, last);
}

const uint64_t *moved_gone(const Moved *m, uint32_t block)
{
    const MovedBlock *b = block_of(m, block);
    return b == NULL ? NULL : b->gone;
}

uint64_t moved_bytes(const Moved *m)
{
    uint64_t bytes = (uint64_t)m->block_count * sizeof *m->blocks;
    for (uint32_t i = 0; i < m->block_count; i++)
        bytes += m->blocks[i] == NULL ? 0 : sizeof *m->blocks[i];
    for (uint32_t i = 0; i < m->known_count; i++)
        bytes += m->known[i]->bytes;
    return bytes;
}

bool moved_spares(const Moved *m, const Part *part)
{
    const DeadRows *known = moved_known(m, part);
    return known != NULL ? known->count == 0 : !moved_behind(m, part, part->generation);
}
