/*
 * engine/core/tally.c
 */
#include "engine/core/tally.h"

#include "engine/core/crew.h"

#include <stdlib.h>

/* One round for all three: they are multiplied by odd numbers first, so that none hides another.  It is done for every
 * row: what is in the upper half is well mixed, and enough for a slot. */
static uint32_t hash_of(const TallyKey *key)
{
    static const uint64_t odd[] = {UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xc2b2ae3d27d4eb4f),
                                   UINT64_C(0x165667b19e3779f9)};
    uint64_t sum = 0;
    for (size_t i = 0; i < ARRAY_LEN(odd); i++)
        sum += (uint64_t)key->of[i] * odd[i];
    sum ^= sum >> 29;
    return (uint32_t)(sum * UINT64_C(0xbf58476d1ce4e5b9) >> 32);
}

static uint32_t slot_for(const Tally *t, const TallyKey *key)
{
    uint32_t slot = hash_of(key) & (t->slot_count - 1);
    while (t->slots[slot] != 0 && !tally_same(&t->at[t->slots[slot] - 1].key, key))
        slot = (slot + 1) & (t->slot_count - 1);
    return slot;
}

static void grow(Tally *t)
{
    t->cap = t->cap == 0 ? 64 : t->cap * 2;
    t->at = realloc(t->at, t->cap * sizeof *t->at);
    free(t->slots);
    t->slot_count = t->cap * 2;
    t->slots = calloc(t->slot_count, sizeof *t->slots);
    t->direct = t->direct != NULL ? t->direct : calloc(TALLY_SMALL, sizeof *t->direct);
    CHECK(t->at != NULL && t->slots != NULL && t->direct != NULL);
    for (uint32_t i = 0; i < t->count; i++)
        t->slots[slot_for(t, &t->at[i].key)] = i + 1;
}

/* Event names and codes of texts are small: their numbers are found without a hash. */
static bool is_direct(const TallyKey *key)
{
    return tally_is_small(key->of[0]) && key->of[1] == 0 && key->of[2] == 0;
}

static uint32_t search(const Tally *t, const TallyKey *key)
{
    return t->slot_count == 0 ? TALLY_NONE : t->slots[slot_for(t, key)] - 1;
}

uint32_t tally_find(const Tally *t, TallyKey key)
{
    return is_direct(&key) ? tally_find_small(t, key.of[0]) : search(t, &key);
}

static uint32_t add(Tally *t, const TallyKey *key)
{
    if (t->count == t->limit) {
        t->is_over = true;
        return TALLY_NONE;
    }
    if (t->count == t->cap)
        grow(t);
    t->at[t->count] = (TallyEntry){.key = *key};
    t->slots[slot_for(t, key)] = t->count + 1;
    if (is_direct(key))
        t->direct[key->of[0]] = t->count + 1;
    return t->count++;
}

uint32_t tally_number(Tally *t, const TallyKey *key)
{
    const bool direct = is_direct(key);
    if (!direct && t->last < t->count && tally_same(&t->at[t->last].key, key))
        return t->last;
    const uint32_t known = direct ? tally_find_small(t, key->of[0]) : search(t, key);
    if (known == TALLY_NONE)
        return add(t, key);
    t->last = direct ? t->last : known;
    return known;
}

void tally_join(Tally *into, const Tally *from)
{
    into->is_over = into->is_over || from->is_over;
    for (uint32_t i = 0; i < from->count && !crew_gives_up_at(i); i++)
        tally_add(into, from->at[i].key, from->at[i].count);
}

static int by_count(const void *a, const void *b)
{
    const TallyEntry *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    for (size_t i = 0; i < ARRAY_LEN(x->key.of); i++)
        if (x->key.of[i] != y->key.of[i])
            return x->key.of[i] < y->key.of[i] ? -1 : 1;
    return 0;
}

void tally_sort(Tally *t)
{
    free(t->slots);
    t->slots = NULL;
    t->slot_count = 0;
    free(t->direct);
    t->direct = NULL;
    if (t->count > 0)
        qsort(t->at, t->count, sizeof *t->at, by_count);
}

void tally_top(Tally *all, uint32_t top, Tally *first)
{
    tally_sort(all);
    for (uint32_t i = 0; i < all->count && i < top; i++)
        (void)tally_number(first, &all->at[i].key);
}

void tally_free(Tally *t)
{
    free(t->at);
    free(t->slots);
    free(t->direct);
    *t = (Tally){.limit = t->limit};
}
