/*
 * engine/tally.c
 */
#include "engine/tally.h"

#include "base/hash.h"

#include <stdlib.h>

enum { DIRECT = 4096 };

static bool same(const TallyKey *a, const TallyKey *b)
{
    return a->of[0] == b->of[0] && a->of[1] == b->of[1] && a->of[2] == b->of[2];
}

/* One round for all three: they are multiplied by odd numbers first, so that none hides another. */
static uint64_t hash_of(const TallyKey *key)
{
    static const uint64_t odd[] = {UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xc2b2ae3d27d4eb4f),
                                   UINT64_C(0x165667b19e3779f9)};
    uint64_t sum = 0;
    for (size_t i = 0; i < ARRAY_LEN(odd); i++)
        sum += (uint64_t)key->of[i] * odd[i];
    return hash_u64(sum, 0);
}

static uint32_t slot_for(const Tally *t, const TallyKey *key)
{
    uint32_t slot = (uint32_t)hash_of(key) & (t->slot_count - 1);
    while (t->slots[slot] != 0 && !same(&t->at[t->slots[slot] - 1].key, key))
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
    t->direct = t->direct != NULL ? t->direct : calloc(DIRECT, sizeof *t->direct);
    CHECK(t->at != NULL && t->slots != NULL && t->direct != NULL);
    for (uint32_t i = 0; i < t->count; i++)
        t->slots[slot_for(t, &t->at[i].key)] = i + 1;
}

/* Event names and codes of texts are small: their numbers are found without a hash. */
static bool is_direct(const TallyKey *key)
{
    return key->of[0] >= 0 && key->of[0] < DIRECT && key->of[1] == 0 && key->of[2] == 0;
}

uint32_t tally_find(const Tally *t, TallyKey key)
{
    if (t->slot_count == 0)
        return TALLY_NONE;
    if (is_direct(&key))
        return t->direct[key.of[0]] == 0 ? TALLY_NONE : t->direct[key.of[0]] - 1;
    const uint32_t found = t->slots[slot_for(t, &key)];
    return found == 0 ? TALLY_NONE : found - 1;
}

uint32_t tally_number(Tally *t, TallyKey key)
{
    const uint32_t known = tally_find(t, key);
    if (known != TALLY_NONE)
        return known;
    if (t->count == t->limit) {
        t->is_over = true;
        return TALLY_NONE;
    }
    if (t->count == t->cap)
        grow(t);
    t->at[t->count] = (TallyEntry){.key = key};
    t->slots[slot_for(t, &key)] = t->count + 1;
    if (is_direct(&key))
        t->direct[key.of[0]] = t->count + 1;
    return t->count++;
}

void tally_add(Tally *t, TallyKey key, uint64_t amount)
{
    const uint32_t number = tally_number(t, key);
    if (number != TALLY_NONE)
        t->at[number].count += amount;
}

void tally_add_person(Tally *t, TallyKey key, uint32_t person)
{
    const uint32_t number = tally_number(t, key);
    if (number == TALLY_NONE || (t->at[number].count > 0 && t->at[number].person == person))
        return;
    t->at[number].person = person;
    t->at[number].count++;
}

void tally_join(Tally *into, const Tally *from)
{
    into->is_over = into->is_over || from->is_over;
    for (uint32_t i = 0; i < from->count; i++)
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
    t->slot_count = 0; /* what is direct is not looked at, either */
    if (t->count > 0)
        qsort(t->at, t->count, sizeof *t->at, by_count);
}

void tally_free(Tally *t)
{
    free(t->at);
    free(t->slots);
    free(t->direct);
    *t = (Tally){.limit = t->limit};
}
