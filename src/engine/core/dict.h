/*
 * engine/core/dict.h -- texts with small numbers: event names, property names, the values of a property.
 *
 * Numbers start at 1 and are given in the order of arrival; a text never moves or changes, but may be forgotten.
 * Memory: a text costs its bytes and DICT_TEXT_COST; what a dictionary may cost is said when it is made.
 * Texts of 32 KiB leave half of their blocks empty, so it takes at most twice that, and 8 KiB when empty.
 * Owns: its memory until dict_free().
 * Threads: dict_count() any, and dict_text() of numbers that it counted: of a text that is being forgotten it gives
 * that or the empty one.  Everything else, dict_near() too, under the owner's lock.
 */
#pragma once

#include "base/arena.h"

typedef struct Dict Dict;

enum {
    DICT_COUNT_MAX = 1 << 24,
    DICT_TEXT_COST =
        48, /* its place and at most four slots of the table, which has two more while it grows */
};

/* At most `count_max` texts, which together cost at most `cost_max` bytes. */
Dict *dict_new(uint32_t count_max, uint64_t cost_max);
void dict_free(Dict *d); /* NULL is nothing to do */

uint32_t dict_count(const Dict *d);
uint64_t dict_bytes(const Dict *d); /* of memory */

/* What its texts cost: their bytes, and DICT_TEXT_COST each. */
uint64_t dict_cost(const Dict *d);

/* The number of `text`, 0 = it has none. */
uint32_t dict_find(const Dict *d, Str text);

/* The same, giving it one; 0 = there is no room for another. */
uint32_t dict_add(Dict *d, Str text);

/* A text as one dictionary looks for it: made by dict_key(). */
typedef struct DictKey {
    Str text;
    uint64_t hash;
    uint64_t low, high; /* of a short one: its bytes, zeros, its length */
} DictKey;

/*
 * For many look-ups at once, so that their cache misses overlap (engine/core/dict_find.h): dict_key() of each text,
 * dict_near() of each with every step in order, then dict_find_key().  In a dictionary of 200,000 texts a look-up then
 * takes a third of the time.
 */

/* The number of a text that has none yet; 0 = there is no room for another. */
uint32_t dict_add_key(Dict *d, const DictKey *key);

/* The text of a number in [1, count]; empty when it was forgotten, or no text has it: a forged part may say any. */
Str dict_text(const Dict *d, uint32_t number);

/* The number has no text any more, and the text no number: when it comes again, it gets another one. */
void dict_forget(Dict *d, uint32_t number);

/* The next number, of a text that was forgotten; 0 = there is no room for another. */
uint32_t dict_add_forgotten(Dict *d);

/* Gives a forgotten number a text that no other has. */
void dict_recall(Dict *d, uint32_t number, Str text);
