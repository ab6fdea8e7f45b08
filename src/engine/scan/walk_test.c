/*
 * engine/scan/walk_test.c -- bare walks against the slow way, with parts that overlap.
 */
#include "base/clock.h"
#include "engine/engine_testkit.h"
#include "engine/scan/walk_batch.h"

static const ScanSelect ALL = {.from_ms = 0, .to_ms = INT64_C(1) << 50};

/* All rows, with their milliseconds, in the order of (person, time, arrival). */
static void walk_all(Kit *k)
{
    const ScanAsk ask = {.selects = &ALL, .select_count = 1};
    KitRow **sorted = kit_sorted(k);
    WalkNames names;
    CHECK(walk_names(&k->view, &ALL, 1, &names));
    WalkBatcher *walk = walk_batcher_new(&k->view, &ask, &names);
    const int64_t base_ms = k->view.parts[0]->head->week_ms;
    uint32_t at = 0;
    CHECK(walk != NULL);
    for (uint32_t piece = 0; piece < scan_pieces(&k->view); piece++) {
        ScanBatch b;
        if (!walk_batch(walk, piece, &b))
            continue;
        for (uint32_t i = 0; i < b.person_count; i++)
            for (uint32_t row = b.from[i]; row < b.from[i + 1]; row++, at++) {
                CHECK(at < k->count);
                EXPECT_I64(b.persons[i], sorted[at]->person);
                EXPECT_I64(b.events[row], sorted[at]->event);
                EXPECT_I64(base_ms + scan_ms(&b, row) + walk_batch_ms(walk, row),
                           sorted[at]->time_ms);
            }
    }
    EXPECT_I64(at, k->count);
    EXPECT_I64((int64_t)walk_batch_damaged(walk), 0);
    walk_batcher_free(walk);
    walk_names_free(&names);
}

static void walk_at_random(uint64_t seed, const KitShape *shape, uint32_t slices)
{
    Kit k;
    kit_open(&k, seed, shape, slices);
    walk_all(&k);
    kit_merge(&k, 2);
    walk_all(&k);
    kit_close(&k);
}

TEST(a_walk_is_the_slow_way_however_many_parts_a_week_has)
{
    static const KitShape shapes[] = {
        {.rows = 3000, .persons = 100, .events = 6, .weeks = 3, .ties = 30},
        {.rows = 3000, .persons = 9000, .events = 30, .weeks = 2, .whole_seconds = true},
        {.rows = 6000, .persons = 3000, .events = 100, .weeks = 1, .ties = 50, .near = 60},
        {.rows = 40, .persons = 5, .events = 3, .weeks = 5},
    };
    for (uint64_t seed = 1; seed <= 4; seed++)
        for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
            for (uint32_t slices = 1; slices <= 7; slices += 2)
                walk_at_random(seed, &shapes[i], slices);
}

/* With a look at all before for each of them it would be minutes. */
TEST(a_second_with_very_many_events_of_one_person_costs_no_more_than_others)
{
    const KitShape shape = {.rows = 400000, .persons = 1, .events = 3, .weeks = 1, .ties = 100};
    Kit k;
    kit_open(&k, 11, &shape, 4);
    const int64_t from_us = clock_thread_us();
    walk_all(&k);
    CHECK(clock_thread_us() - from_us < 5000000);
    kit_close(&k);
}
