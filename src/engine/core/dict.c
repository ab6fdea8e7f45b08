/*
 * engine/core/dict.c
 */
#include "engine/core/dict_find.h"

#include "base/pages.h"
#include "base/rand.h"

#include <stdlib.h>

enum { FIRST_SLOTS = 256, TEXT_BLOCK_BYTES = 64 * 1024 };

Dict *dict_new(uint32_t count_max, uint64_t cost_max)
{
    CHECK(count_max <= DICT_COUNT_MAX);
    Dict *d = calloc(1, sizeof *d);
    CHECK(d != NULL);
    d->seed = rand_u64();
    d->near_seed = rand_u64();
    d->count_max = count_max;
    d->cost_max = cost_max;
    d->slot_count = FIRST_SLOTS;
    d->slots = calloc(FIRST_SLOTS, sizeof *d->slots);
    CHECK(d->slots != NULL);
    d->texts = arena_new(TEXT_BLOCK_BYTES);
    return d;
}

void dict_free(Dict *d)
{
    if (d == NULL)
        return;
    for (size_t i = 0; i < DICT_SHELVES; i++)
        free(d->shelf[i]);
    free(d->slots);
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
           (uint64_t)dict_count(d) * sizeof(DictPlace);
}

uint64_t dict_cost(const Dict *d)
{
    return d->cost;
}

Str dict_text(const Dict *d, uint32_t number)
{
    return number == 0 || number > dict_count(d) ? STR("")
                                                 : dict_place_text(dict_place(d, number - 1));
}

static inline uint64_t load32(const char *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline uint64_t byte_at(const char *at, size_t i)
{
    return (uint64_t)(unsigned char)at[i] << 8 * i;
}

/* Reads that overlap bring the same bytes twice. */
DictKey dict_key(const Dict *d, Str text)
{
    const size_t len = text.len;
    uint64_t low = 0, high = (uint64_t)len << 56;
    if (len > DICT_NEAR_BYTES)
        return dict_far_key(d, text);
    if (len >= 8) {
        low = dict_word(text.ptr);
        high |= dict_word(text.ptr + len - 8) >> 8 * (15 - len) >> 8;
    } else if (len >= 4) {
        low = load32(text.ptr) | load32(text.ptr + len - 4) << 8 * (len - 4);
    } else if (len > 0) {
        low = byte_at(text.ptr, 0) | byte_at(text.ptr, len / 2) | byte_at(text.ptr, len - 1);
    }
    return dict_near_key(d, text, low, high);
}

uint32_t dict_find_far(const Dict *d, const DictKey *key)
{
    const uint32_t mask = d->slot_count - 1;
    uint32_t slot = dict_first_slot(d, key->hash);
    for (uint64_t here; (here = d->slots[slot]) != 0; slot = (slot + 1) & mask) {
        const DictPlace *place = dict_place(d, (uint32_t)here - 1);
        if (dict_may_be(here, key->hash) && place->len == DICT_FAR &&
            str_eq(dict_place_text(place), key->text))
            return (uint32_t)here;
    }
    return 0;
}

uint32_t dict_find(const Dict *d, Str text)
{
    const DictKey key = dict_key(d, text);
    return dict_find_key(d, &key);
}

/* `what`: as it stands in a slot. */
static void take_slot(Dict *d, uint64_t what)
{
    const uint32_t mask = d->slot_count - 1;
    uint32_t slot = dict_first_slot(d, what);
    while (d->slots[slot] != 0)
        slot = (slot + 1) & mask;
    d->slots[slot] = what;
}

/* No text is looked at: a slot says itself where it belongs. */
static void grow_slots(Dict *d)
{
    uint64_t *const old = d->slots;
    const uint32_t old_count = d->slot_count;
    d->slot_count *= 2;
    d->slots = calloc(d->slot_count, sizeof *d->slots);
    CHECK(d->slots != NULL);
    pages_bring(d->slots, d->slot_count * sizeof *d->slots);
    for (uint32_t i = 0; i < old_count; i++)
        if (old[i] != 0)
            take_slot(d, old[i]);
    free(old);
}

/* The text stands on its shelf. */
static void add_slot(Dict *d, uint64_t hash, uint32_t number)
{
    take_slot(d, hash >> 32 << 32 | number);
    if (number * 2 > d->slot_count)
        grow_slots(d);
}

static void put_on_shelf(Dict *d, uint32_t index, const DictKey *key)
{
    const int shelf = index < DICT_FIRST_TEXTS ? 0 : 26 - __builtin_clz(index);
    if (d->shelf[shelf] == NULL) {
        const size_t room = shelf == 0 ? DICT_FIRST_TEXTS : (size_t)DICT_FIRST_TEXTS << (shelf - 1);
        d->shelf[shelf] = calloc(room, sizeof(DictPlace));
        CHECK(d->shelf[shelf] != NULL);
    }
    DictPlace *place = dict_place(d, index);
    if (key->text.len <= DICT_NEAR_BYTES) {
        memcpy(place, &key->low, sizeof key->low);
        memcpy((char *)place + sizeof key->low, &key->high, sizeof key->high);
        return;
    }
    const DictFar far = {arena_copy(d->texts, key->text).ptr, (uint32_t)key->text.len};
    place->len = DICT_FAR;
    memcpy(place->bytes, &far, DICT_FAR_BYTES);
}

/* Its slot stays taken, by a number that no text finds; its bytes stay for who is just reading them. */
void dict_forget(Dict *d, uint32_t number)
{
    DCHECK(number >= 1 && number <= dict_count(d));
    __atomic_store_n(&dict_place(d, number - 1)->len, DICT_FORGOTTEN, __ATOMIC_RELAXED);
}

uint32_t dict_add_forgotten(Dict *d)
{
    const uint32_t index = atomic_load_explicit(&d->count, memory_order_relaxed);
    if (index >= d->count_max || DICT_TEXT_COST > d->cost_max - d->cost)
        return 0;
    d->cost += DICT_TEXT_COST;
    const DictKey none = dict_key(d, STR(""));
    put_on_shelf(d, index, &none);
    atomic_store_explicit(&d->count, index + 1, memory_order_release);
    dict_forget(d, index + 1);
    return index + 1;
}

void dict_recall(Dict *d, uint32_t number, Str text)
{
    const DictKey key = dict_key(d, text);
    CHECK(dict_find_key(d, &key) == 0);
    put_on_shelf(d, number - 1, &key);
    d->cost += text.len;
    add_slot(d, key.hash, number);
}

uint32_t dict_add(Dict *d, Str text)
{
    const DictKey key = dict_key(d, text);
    const uint32_t known = dict_find_key(d, &key);
    return known != 0 ? known : dict_add_key(d, &key);
}

uint32_t dict_add_key(Dict *d, const DictKey *key)
{
    const uint32_t index = atomic_load_explicit(&d->count, memory_order_relaxed);
    const uint64_t cost = key->text.len + DICT_TEXT_COST;
    if (index >= d->count_max || cost > d->cost_max - d->cost)
        return 0;
    d->cost += cost;
    put_on_shelf(d, index, key);
    atomic_store_explicit(&d->count, index + 1, memory_order_release);
    add_slot(d, key->hash, index + 1);
    return index + 1;
}
