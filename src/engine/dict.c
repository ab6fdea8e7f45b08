/*
 * engine/dict.c
 */
#include "engine/dict.h"

#include "base/hash.h"
#include "base/rand.h"

#include <stdatomic.h>
#include <stdlib.h>

enum {
    FIRST_TEXTS = 64, /* of the first shelf; each next one holds as many as all before */
    SHELVES = 20,
    FIRST_SLOTS = 256,
    TEXT_BLOCK_BYTES = 64 * 1024,
};

/* The texts stand on shelves that double in size: what a reader looks at never moves. */
struct Dict {
    uint64_t seed;
    uint32_t count_max;
    uint64_t cost, cost_max;
    atomic_uint count;
    Str *shelf[SHELVES];
    uint32_t *slots; /* number, 0 = empty */
    uint32_t *tags;  /* upper half of the hash, beside the number */
    uint32_t slot_count;
    Arena *texts;
};

Dict *dict_new(uint32_t count_max, uint64_t cost_max)
{
    CHECK(count_max <= DICT_COUNT_MAX);
    Dict *d = calloc(1, sizeof *d);
    CHECK(d != NULL);
    d->seed = rand_u64();
    d->count_max = count_max;
    d->cost_max = cost_max;
    d->slot_count = FIRST_SLOTS;
    d->slots = calloc(FIRST_SLOTS, sizeof *d->slots);
    d->tags = calloc(FIRST_SLOTS, sizeof *d->tags);
    CHECK(d->slots != NULL && d->tags != NULL);
    d->texts = arena_new(TEXT_BLOCK_BYTES);
    return d;
}

void dict_free(Dict *d)
{
    if (d == NULL)
        return;
    for (size_t i = 0; i < SHELVES; i++)
        free(d->shelf[i]);
    free(d->slots);
    free(d->tags);
    arena_free(d->texts);
    free(d);
}

uint32_t dict_count(const Dict *d)
{
    return atomic_load_explicit(&d->count, memory_order_acquire);
}

uint64_t dict_bytes(const Dict *d)
{
    return arena_used_bytes(d->texts) + (uint64_t)d->slot_count * 8 +
           (uint64_t)dict_count(d) * sizeof(Str);
}

uint64_t dict_cost(const Dict *d)
{
    return d->cost;
}

/* Shelf 0 holds [0, 64), shelf 1 [64, 128), shelf 2 [128, 256), ... */
static Str *place_of(const Dict *d, uint32_t index)
{
    if (index < FIRST_TEXTS)
        return &d->shelf[0][index];
    const int shelf = 26 - __builtin_clz(index); /* 64 = 2^6 is the first of shelf 1 */
    return &d->shelf[shelf][index - ((uint32_t)FIRST_TEXTS << (shelf - 1))];
}

Str dict_text(const Dict *d, uint32_t number)
{
    DCHECK(number >= 1 && number <= dict_count(d));
    return *place_of(d, number - 1);
}

/* What was forgotten has no place in memory: it is not even the empty text. */
static bool is_text(const Str *place, Str text)
{
    return place->ptr != NULL && str_eq(*place, text);
}

/* The slot that holds `text`, or the empty one where it belongs. */
static uint32_t slot_of(const Dict *d, Str text, uint64_t hash)
{
    const uint32_t mask = d->slot_count - 1, tag = (uint32_t)(hash >> 32);
    uint32_t slot = (uint32_t)hash & mask;
    while (d->slots[slot] != 0 &&
           (d->tags[slot] != tag || !is_text(place_of(d, d->slots[slot] - 1), text)))
        slot = (slot + 1) & mask;
    return slot;
}

uint32_t dict_find(const Dict *d, Str text)
{
    return d->slots[slot_of(d, text, hash_bytes(text, d->seed))];
}

static void grow_slots(Dict *d)
{
    const uint32_t count = atomic_load(&d->count);
    free(d->slots);
    free(d->tags);
    d->slot_count *= 2;
    d->slots = calloc(d->slot_count, sizeof *d->slots);
    d->tags = calloc(d->slot_count, sizeof *d->tags);
    CHECK(d->slots != NULL && d->tags != NULL);
    for (uint32_t i = 0; i < count; i++) {
        if (place_of(d, i)->ptr == NULL) /* forgotten */
            continue;
        const uint64_t hash = hash_bytes(*place_of(d, i), d->seed);
        uint32_t slot = (uint32_t)hash & (d->slot_count - 1);
        while (d->slots[slot] != 0)
            slot = (slot + 1) & (d->slot_count - 1);
        d->slots[slot] = i + 1;
        d->tags[slot] = (uint32_t)(hash >> 32);
    }
}

static void put_on_shelf(Dict *d, uint32_t index, Str text)
{
    const int shelf = index < FIRST_TEXTS ? 0 : 26 - __builtin_clz(index);
    if (d->shelf[shelf] == NULL) {
        const size_t room = shelf == 0 ? FIRST_TEXTS : (size_t)FIRST_TEXTS << (shelf - 1);
        d->shelf[shelf] = calloc(room, sizeof(Str));
        CHECK(d->shelf[shelf] != NULL);
    }
    *place_of(d, index) = arena_copy(d->texts, text);
}

/* Its slot stays taken, by a number that no text finds. */
void dict_forget(Dict *d, uint32_t number)
{
    DCHECK(number >= 1 && number <= dict_count(d));
    *place_of(d, number - 1) = (Str){NULL, 0};
}

uint32_t dict_add_forgotten(Dict *d)
{
    const uint32_t index = atomic_load_explicit(&d->count, memory_order_relaxed);
    if (index >= d->count_max || DICT_TEXT_COST > d->cost_max - d->cost)
        return 0;
    d->cost += DICT_TEXT_COST;
    put_on_shelf(d, index, STR(""));
    atomic_store_explicit(&d->count, index + 1, memory_order_release);
    dict_forget(d, index + 1);
    return index + 1;
}

static void take_slot(Dict *d, uint32_t slot, uint64_t hash, uint32_t number)
{
    d->slots[slot] = number;
    d->tags[slot] = (uint32_t)(hash >> 32);
    if (number * 2 > d->slot_count)
        grow_slots(d);
}

void dict_recall(Dict *d, uint32_t number, Str text)
{
    const uint64_t hash = hash_bytes(text, d->seed);
    const uint32_t slot = slot_of(d, text, hash);
    CHECK(d->slots[slot] == 0);
    put_on_shelf(d, number - 1, text);
    d->cost += text.len;
    take_slot(d, slot, hash, number);
}

uint32_t dict_add(Dict *d, Str text)
{
    const uint64_t hash = hash_bytes(text, d->seed);
    uint32_t slot = slot_of(d, text, hash);
    if (d->slots[slot] != 0)
        return d->slots[slot];
    const uint32_t index = atomic_load_explicit(&d->count, memory_order_relaxed);
    const uint64_t cost = text.len + DICT_TEXT_COST;
    if (index >= d->count_max || cost > d->cost_max - d->cost)
        return 0;
    d->cost += cost;
    put_on_shelf(d, index, text);
    atomic_store_explicit(&d->count, index + 1, memory_order_release);
    take_slot(d, slot, hash, index + 1);
    return index + 1;
}
