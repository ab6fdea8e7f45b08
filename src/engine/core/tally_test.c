/*
 * engine/core/tally_test.c -- counts of random keys against a list that is searched from its start.
 */
#include "engine/core/tally.h"

#include "base/rand.h"
#include "base/test.h"

#include <stdlib.h>

enum { KEYS = 400, LIMIT = 300 };

typedef struct SlowEntry {
    TallyKey key;
    uint64_t count;
    uint32_t person;
} SlowEntry;

typedef struct Slow {
    SlowEntry at[KEYS * 2];
    uint32_t count;
} Slow;

/* Small ones, which have a way of their own, and others. */
static TallyKey random_key(Prng *random)
{
    TallyKey key = {{(int64_t)prng_below(random, 150)}};
    if (prng_below(random, 2) == 0)
        key.of[prng_below(random, 3)] = (int64_t)prng_below(random, 6) - 3;
    if (prng_below(random, 8) == 0)
        key.of[0] = INT64_MIN + (int64_t)prng_below(random, 2);
    if (prng_below(random, 8) == 0)
        key.of[0] = 4094 + (int64_t)prng_below(random, 4);
    return key;
}

static SlowEntry *slow_find(Slow *s, const TallyKey *key)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (memcmp(&s->at[i].key, key, sizeof *key) == 0)
            return &s->at[i];
    return NULL;
}

static SlowEntry *slow_entry(Slow *s, const TallyKey *key)
{
    SlowEntry *e = slow_find(s, key);
    if (e != NULL || s->count == LIMIT)
        return e;
    s->at[s->count] = (SlowEntry){.key = *key};
    return &s->at[s->count++];
}

static void compare(const Tally *t, Slow *s)
{
    EXPECT_I64(t->count, s->count);
    for (uint32_t i = 0; i < s->count; i++) {
        const uint32_t number = tally_find(t, s->at[i].key);
        EXPECT_I64(number, i);
        EXPECT_I64((int64_t)t->at[number].count, (int64_t)s->at[i].count);
    }
}

static void add_some(Prng *random, Tally *t, Slow *s, uint32_t first_person, bool persons)
{
    for (uint32_t i = 0; i < 3000; i++) {
        const TallyKey key = random_key(random);
        const uint32_t person = first_person + i / 10, amount = (uint32_t)prng_below(random, 5);
        SlowEntry *e = slow_entry(s, &key);
        if (persons)
            tally_add_person(t, key, person);
        else
            tally_add(t, key, amount);
        if (e == NULL)
            continue;
        e->count += persons ? e->count == 0 || e->person != person : amount;
        e->person = person;
    }
    compare(t, s);
}

TEST(tallies_count_what_a_list_counts_up_to_their_limit)
{
    Prng random = prng_of(21);
    static Slow slow;
    for (int persons = 0; persons < 2; persons++) {
        Tally t = {.limit = LIMIT};
        slow.count = 0;
        TallyKey none = {{77, 77, 77}};
        EXPECT_I64(tally_find(&t, none), TALLY_NONE);
        add_some(&random, &t, &slow, 1, persons == 1);
        EXPECT_I64(tally_find(&t, none), TALLY_NONE);
        EXPECT_I64(t.is_over, slow.count == LIMIT);
        tally_free(&t);
        EXPECT_I64(t.count, 0);
    }
    CHECK(slow.count == LIMIT);
}

TEST(the_keys_that_came_most_have_their_places_as_numbers)
{
    static const int64_t keys[] = {7, 3, 7, 9000, 3, 7, 5, 9000};
    for (uint32_t top = 0; top < 6; top++) {
        Tally all = {.limit = LIMIT}, first = {.limit = LIMIT};
        for (size_t i = 0; i < ARRAY_LEN(keys); i++)
            tally_add(&all, (TallyKey){{keys[i]}}, 1);
        tally_top(&all, top, &first);
        static const int64_t want[] = {7, 3, 9000, 5}; /* by count, then by key */
        const uint32_t count = top < ARRAY_LEN(want) ? top : ARRAY_LEN(want);
        EXPECT_I64(first.count, count);
        for (uint32_t i = 0; i < ARRAY_LEN(want); i++) {
            EXPECT_I64(all.at[i].key.of[0], want[i]);
            EXPECT_I64(tally_find(&first, (TallyKey){{want[i]}}), i < count ? i : TALLY_NONE);
        }
        tally_free(&all);
        tally_free(&first);
    }
}

TEST(a_tally_joins_another_and_is_sorted_by_count_then_key)
{
    Prng random = prng_of(22);
    static Slow all;
    Tally t = {.limit = LIMIT}, more = {.limit = LIMIT};
    all.count = 0;
    for (uint32_t i = 0; i < 100; i++) {
        const TallyKey key = random_key(&random), other = random_key(&random);
        tally_add(&t, key, 1);
        tally_add(&more, other, 2);
        slow_entry(&all, &key)->count++;
    }
    for (uint32_t i = 0; i < more.count; i++)
        slow_entry(&all, &more.at[i].key)->count += more.at[i].count;
    tally_join(&t, &more);
    compare(&t, &all);
    CHECK(!t.is_over);
    more.is_over = true;
    tally_join(&t, &more);
    CHECK(t.is_over);
    tally_sort(&t);
    EXPECT_I64(t.count, all.count);
    for (uint32_t i = 1; i < t.count; i++) {
        const TallyEntry *a = &t.at[i - 1], *b = &t.at[i];
        const TallyKey *x = &a->key, *y = &b->key;
        const bool ascends = x->of[0] != y->of[0]   ? x->of[0] < y->of[0]
                             : x->of[1] != y->of[1] ? x->of[1] < y->of[1]
                                                    : x->of[2] < y->of[2];
        CHECK(a->count > b->count || (a->count == b->count && ascends));
    }
    tally_free(&t);
    tally_free(&more);
}
