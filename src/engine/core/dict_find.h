/*
 * engine/core/dict_find.h -- looking texts up without calls: for who takes in millions of events.
 *
 * Owns: nothing.  Threads: as engine/core/dict.h says it of the rest.
 */
#pragma once

#include "base/hash.h"
#include "engine/core/dict.h"

#include <stdatomic.h>

enum {
    DICT_FIRST_TEXTS = 64, /* of the first shelf; each next one holds as many as all before */
    DICT_SHELVES = 20,
    DICT_NEAR_SLOTS = 2048,
    DICT_NEAR_BYTES = 15,
    DICT_FORGOTTEN = 254,
    DICT_FAR = 255,
    DICT_PADDING = 16, /* behind the beginning of a text, for dict_key_padded() */
};

/* A text: short ones stand here, so that a look-up needs one cache line less; of others, where and how long. */
typedef struct DictPlace {
    char bytes[DICT_NEAR_BYTES];
    uint8_t
        len; /* DICT_FAR: `bytes` are a DictFar; DICT_FORGOTTEN: there is no text, whatever they are */
} DictPlace;

typedef struct DictFar {
    const char *ptr;
    uint32_t len;
} DictFar;
enum { DICT_FAR_BYTES = offsetof(DictFar, len) + sizeof(uint32_t) };
_Static_assert((int)DICT_FAR_BYTES <= (int)DICT_NEAR_BYTES && sizeof(DictPlace) == 16,
               "room for either");

/* The texts stand on shelves that double in size: what a reader looks at never moves. */
struct Dict {
    uint64_t seed, near_seed;
    uint32_t count_max;
    uint64_t cost, cost_max;
    atomic_uint count;
    DictPlace *shelf[DICT_SHELVES];
    uint64_t *slots; /* the upper half of the hash, below it the number; 0 = empty */
    uint32_t slot_count;
    Arena *texts;
};

/* Shelf 0 holds [0, 64), shelf 1 [64, 128), shelf 2 [128, 256), ... */
static inline DictPlace *dict_place(const Dict *d, uint32_t index)
{
    if (index < DICT_FIRST_TEXTS)
        return &d->shelf[0][index];
    const int shelf = 26 - __builtin_clz(index); /* 64 = 2^6 is the first of shelf 1 */
    return &d->shelf[shelf][index - ((uint32_t)DICT_FIRST_TEXTS << (shelf - 1))];
}

static inline Str dict_place_text(const DictPlace *p)
{
    const uint8_t len = __atomic_load_n(&p->len, __ATOMIC_RELAXED);
    if (len <= DICT_NEAR_BYTES)
        return (Str){p->bytes, len};
    if (len == DICT_FORGOTTEN)
        return (Str){NULL, 0};
    DictFar far = {NULL, 0};
    memcpy(&far, p->bytes, DICT_FAR_BYTES);
    return (Str){far.ptr, far.len};
}

/* ---- keys ----------------------------------------------------------------------------------------- */

static inline uint64_t dict_word(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline DictKey dict_near_key(const Dict *d, Str text, uint64_t low, uint64_t high)
{
    return (DictKey){text, hash_fold(low ^ d->seed, high ^ d->near_seed), low, high};
}

static inline DictKey dict_far_key(const Dict *d, Str text)
{
    return (DictKey){text, hash_bytes(text, d->seed), 0, 0};
}

DictKey dict_key(const Dict *d, Str text);

/* A short text as two words. */
typedef struct DictWords {
    uint64_t low, high;
} DictWords;

/* The first `len` bytes, DICT_NEAR_BYTES at most, of DICT_PADDING that may be read: the length decides nothing. */
static inline DictWords dict_words(const char *at, size_t len)
{
    const uint64_t all = UINT64_MAX;
    const unsigned bits = 8 * (unsigned)len;
    const uint64_t low_mask = bits >= 64 ? all : ~(all << (bits & 63));
    const uint64_t high_mask = bits <= 64 ? 0 : ~(all << (bits & 63));
    return (DictWords){dict_word(at) & low_mask, dict_word(at + 8) & high_mask};
}

/* The same behind `len` bytes, which are zero. */
static inline DictWords dict_words_behind(DictWords w, size_t len)
{
    const unsigned bits = 8 * (unsigned)(len & 7);
    const DictWords in_word = {w.low << bits, w.high << bits | w.low >> 1 >> (63 - bits)};
    return len < 8 ? in_word : (DictWords){0, in_word.low};
}

/* dict_key() of a text from whose beginning DICT_PADDING bytes may be read. */
static inline DictKey dict_key_padded(const Dict *d, Str text)
{
    if (text.len > DICT_NEAR_BYTES)
        return dict_far_key(d, text);
    const DictWords w = dict_words(text.ptr, text.len);
    return dict_near_key(d, text, w.low, w.high | (uint64_t)text.len << 56);
}

/* ---- looking up ----------------------------------------------------------------------------------- */

/* The highest bits say where to begin, so the slots are nearly in the order of the hashes: what goes through them, to
 * more slots, goes through memory in order. */
static inline uint32_t dict_first_slot(const Dict *d, uint64_t hash)
{
    return (uint32_t)((hash >> 32) * d->slot_count >> 32);
}

/* Whether the slot may be the one: the upper halves of two hashes are seldom the same. */
static inline bool dict_may_be(uint64_t slot, uint64_t hash)
{
    return slot >> 32 == hash >> 32;
}

uint32_t dict_find_far(const Dict *d, const DictKey *key);

/* What was forgotten is neither near nor far: not even the empty text. */
static inline uint32_t dict_find_key(const Dict *d, const DictKey *key)
{
    if (key->text.len > DICT_NEAR_BYTES)
        return dict_find_far(d, key);
    const uint32_t mask = d->slot_count - 1;
    uint32_t slot = dict_first_slot(d, key->hash);
    for (uint64_t here; (here = d->slots[slot]) != 0; slot = (slot + 1) & mask) {
        if (!dict_may_be(here, key->hash))
            continue;
        const char *place = dict_place(d, (uint32_t)here - 1)->bytes;
        if (((dict_word(place) ^ key->low) | (dict_word(place + 8) ^ key->high)) == 0)
            return (uint32_t)here;
    }
    return 0;
}

/* Larger than the caches near the processor: else dict_near() is no help. */
static inline bool dict_is_large(const Dict *d)
{
    return d->slot_count > DICT_NEAR_SLOTS;
}

/* Fetches what the next step, and at last dict_find_key(), will need, and changes nothing.  Of the first slot only: what
 * stands further on is rarely the one. */
typedef enum DictStep { DICT_SLOT, DICT_PLACE, DICT_TEXT, DICT_STEPS } DictStep;
static inline void dict_near(const Dict *d, uint64_t hash, DictStep step)
{
    const uint64_t *slot = &d->slots[dict_first_slot(d, hash)];
    if (step == DICT_SLOT)
        __builtin_prefetch(slot);
    else if (*slot != 0 && step == DICT_PLACE)
        __builtin_prefetch(dict_place(d, (uint32_t)*slot - 1));
    else if (*slot != 0 && dict_may_be(*slot, hash))
        __builtin_prefetch(dict_place_text(dict_place(d, (uint32_t)*slot - 1)).ptr);
}
