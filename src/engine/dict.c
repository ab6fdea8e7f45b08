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
    NEAR_SLOTS = 2048,
    TEXT_BLOCK_BYTES = 64 * 1024,
};

/* A text: short ones stand here, so that a look-up needs one cache line less; of others, where and how long. */
enum { NEAR_BYTES = 15, FORGOTTEN = 254, FAR = 255 };
typedef struct Place {
    char bytes[NEAR_BYTES];
    uint8_t len; /* FAR: `bytes` are a FarText; FORGOTTEN: there is no text, whatever they are */
} Place;

typedef struct FarText {
    const char *ptr;
    uint32_t len;
} FarText;
enum { FAR_BYTES = offsetof(FarText, len) + sizeof(uint32_t) };
_Static_assert((int)FAR_BYTES <= (int)NEAR_BYTES && sizeof(Place) == 16, "room for either");

/* A short text as the two words that its place has: compared and hashed without a look at its length. */
typedef struct Near {
    uint64_t low, high; /* its bytes, zeros, its length */
} Near;

/* The texts stand on shelves that double in size: what a reader looks at never moves. */
struct Dict {
    uint64_t seed, near_seed;
    uint32_t count_max;
    uint64_t cost, cost_max;
    atomic_uint count;
    Place *shelf[SHELVES];
    uint64_t *slots; /* the upper half of the hash, below it the number; 0 = empty */
    uint32_t slot_count;
    Arena *texts;
};

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
    for (size_t i = 0; i < SHELVES; i++)
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
           (uint64_t)dict_count(d) * sizeof(Place);
}

uint64_t dict_cost(const Dict *d)
{
    return d->cost;
}

/* Shelf 0 holds [0, 64), shelf 1 [64, 128), shelf 2 [128, 256), ... */
static Place *place_of(const Dict *d, uint32_t index)
{
    if (index < FIRST_TEXTS)
        return &d->shelf[0][index];
    const int shelf = 26 - __builtin_clz(index); /* 64 = 2^6 is the first of shelf 1 */
    return &d->shelf[shelf][index - ((uint32_t)FIRST_TEXTS << (shelf - 1))];
}

static FarText far_text(const Place *p)
{
    FarText far = {NULL, 0};
    memcpy(&far, p->bytes, FAR_BYTES);
    return far;
}

static inline Str text_of(const Place *p)
{
    const uint8_t len = __atomic_load_n(&p->len, __ATOMIC_RELAXED);
    if (len <= NEAR_BYTES)
        return (Str){p->bytes, len};
    if (len == FORGOTTEN)
        return (Str){NULL, 0};
    const FarText far = far_text(p);
    return (Str){far.ptr, far.len};
}

Str dict_text(const Dict *d, uint32_t number)
{
    return number == 0 || number > dict_count(d) ? STR("") : text_of(place_of(d, number - 1));
}

static inline uint64_t load64(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
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
static inline Near near_of(Str text)
{
    const size_t len = text.len;
    Near near = {0, (uint64_t)len << 56};
    if (len >= 8) {
        near.low = load64(text.ptr);
        near.high |= load64(text.ptr + len - 8) >> 8 * (15 - len) >> 8;
    } else if (len >= 4) {
        near.low = load32(text.ptr) | load32(text.ptr + len - 4) << 8 * (len - 4);
    } else if (len > 0) {
        near.low = byte_at(text.ptr, 0) | byte_at(text.ptr, len / 2) | byte_at(text.ptr, len - 1);
    }
    return near;
}

static inline bool is_near(const Place *place, Near near)
{
    Near here;
    memcpy(&here, place, sizeof here);
    return ((here.low ^ near.low) | (here.high ^ near.high)) == 0;
}

uint64_t dict_hash(const Dict *d, Str text)
{
    if (text.len > NEAR_BYTES)
        return hash_bytes(text, d->seed);
    const Near near = near_of(text);
    return hash_fold(near.low ^ d->seed, near.high ^ d->near_seed);
}

/* The highest bits say where to begin, so the slots are nearly in the order of the hashes: what goes through them, to
 * more slots, goes through memory in order. */
static inline uint32_t first_slot(const Dict *d, uint64_t hash)
{
    return (uint32_t)((hash >> 32) * d->slot_count >> 32);
}

/* Whether the slot may be the one: the upper halves of two hashes are seldom the same. */
static inline bool may_be(uint64_t slot, uint64_t hash)
{
    return slot >> 32 == hash >> 32;
}

/* What was forgotten is neither near nor far: not even the empty text. */
static uint32_t find_near(const Dict *d, Near near, uint64_t hash)
{
    const uint32_t mask = d->slot_count - 1;
    uint32_t slot = first_slot(d, hash);
    for (uint64_t here; (here = d->slots[slot]) != 0; slot = (slot + 1) & mask)
        if (may_be(here, hash) && is_near(place_of(d, (uint32_t)here - 1), near))
            return (uint32_t)here;
    return 0;
}

static uint32_t find_far(const Dict *d, Str text, uint64_t hash)
{
    const uint32_t mask = d->slot_count - 1;
    uint32_t slot = first_slot(d, hash);
    for (uint64_t here; (here = d->slots[slot]) != 0; slot = (slot + 1) & mask) {
        const Place *place = place_of(d, (uint32_t)here - 1);
        if (may_be(here, hash) && place->len == FAR && str_eq(text_of(place), text))
            return (uint32_t)here;
    }
    return 0;
}

uint32_t dict_find_hashed(const Dict *d, Str text, uint64_t hash)
{
    return text.len <= NEAR_BYTES ? find_near(d, near_of(text), hash) : find_far(d, text, hash);
}

uint32_t dict_find(const Dict *d, Str text)
{
    return dict_find_hashed(d, text, dict_hash(d, text));
}

bool dict_is_large(const Dict *d)
{
    return d->slot_count > NEAR_SLOTS;
}

/* Of the first slot only: what stands further on is rarely the one. */
void dict_near(const Dict *d, uint64_t hash, DictStep step)
{
    const uint64_t *slot = &d->slots[first_slot(d, hash)];
    if (step == DICT_SLOT)
        __builtin_prefetch(slot);
    else if (*slot != 0 && step == DICT_PLACE)
        __builtin_prefetch(place_of(d, (uint32_t)*slot - 1));
    else if (*slot != 0 && *slot >> 32 == hash >> 32)
        __builtin_prefetch(text_of(place_of(d, (uint32_t)*slot - 1)).ptr);
}

/* `what`: as it stands in a slot. */
static void take_slot(Dict *d, uint64_t what)
{
    const uint32_t mask = d->slot_count - 1;
    uint32_t slot = first_slot(d, what);
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

static void put_on_shelf(Dict *d, uint32_t index, Str text)
{
    const int shelf = index < FIRST_TEXTS ? 0 : 26 - __builtin_clz(index);
    if (d->shelf[shelf] == NULL) {
        const size_t room = shelf == 0 ? FIRST_TEXTS : (size_t)FIRST_TEXTS << (shelf - 1);
        d->shelf[shelf] = calloc(room, sizeof(Place));
        CHECK(d->shelf[shelf] != NULL);
    }
    Place *place = place_of(d, index);
    if (text.len <= NEAR_BYTES) {
        const Near near = near_of(text);
        memcpy(place, &near, sizeof near);
        return;
    }
    const FarText far = {arena_copy(d->texts, text).ptr, (uint32_t)text.len};
    place->len = FAR;
    memcpy(place->bytes, &far, FAR_BYTES);
}

/* Its slot stays taken, by a number that no text finds; its bytes stay for who is just reading them. */
void dict_forget(Dict *d, uint32_t number)
{
    DCHECK(number >= 1 && number <= dict_count(d));
    __atomic_store_n(&place_of(d, number - 1)->len, FORGOTTEN, __ATOMIC_RELAXED);
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

void dict_recall(Dict *d, uint32_t number, Str text)
{
    CHECK(dict_find(d, text) == 0);
    put_on_shelf(d, number - 1, text);
    d->cost += text.len;
    add_slot(d, dict_hash(d, text), number);
}

uint32_t dict_add(Dict *d, Str text)
{
    return dict_add_hashed(d, text, dict_hash(d, text));
}

uint32_t dict_add_hashed(Dict *d, Str text, uint64_t hash)
{
    const uint32_t known = dict_find_hashed(d, text, hash);
    if (known != 0)
        return known;
    const uint32_t index = atomic_load_explicit(&d->count, memory_order_relaxed);
    const uint64_t cost = text.len + DICT_TEXT_COST;
    if (index >= d->count_max || cost > d->cost_max - d->cost)
        return 0;
    d->cost += cost;
    put_on_shelf(d, index, text);
    atomic_store_explicit(&d->count, index + 1, memory_order_release);
    add_slot(d, hash, index + 1);
    return index + 1;
}
