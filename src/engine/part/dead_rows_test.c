/*
 * engine/part/dead_rows_test.c -- which rows of a part are dead, against a look at every row.
 */
#include "engine/part/moved.h"

#include "base/test.h"
#include "engine/ask/trend.h"
#include "engine/engine_testkit.h"

#include <stdlib.h>

static const KitShape SMALL = {.rows = 1500, .persons = 9000, .events = 40, .weeks = 2, .said = 10};
static const KitShape MANY = {
    .rows = 40 * 3 * PART_HOURS_ROWS, .persons = 300, .events = 3, .weeks = 1, .said = 10};

/* Of 147 blocks. */
static const KitShape WIDE = {.rows = 1500, .persons = 300000, .events = 5, .weeks = 1, .said = 10};

static void move_some(Kit *k, uint32_t n)
{
    Moved *m = k->view.moved == NULL ? moved_new() : k->view.moved;
    while (n-- > 0)
        m = moved_next(m, k->rows[kit_below(k, k->count)].person);
    k->view.moved = m;
}

/* ---- against every row ------------------------------------------------------------------------------ */

typedef struct Counted {
    uint32_t count, events;
} Counted;

static bool has_bit(const uint64_t *bits, uint32_t i)
{
    return bits != NULL && (bits[i / 64] >> (i & 63) & 1) != 0;
}

/* The rows of one list and block; `hours` are counted hour by hour. */
static bool compare_rows(Part *part, uint32_t list, uint32_t block, const PartRows *rows,
                         const uint32_t *at, const DeadRows *d, uint32_t hours[PART_HOURS],
                         Counted *sum)
{
    uint32_t *keys = calloc(rows->count + KERNEL_SLACK, sizeof *keys);
    bool any = false;
    CHECK(keys != NULL && part_read_keys(part, rows, keys));
    for (uint32_t i = 0; i < rows->count; i++) {
        const bool dead = at != NULL && at[keys[i] >> PART_SECOND_BITS] > part->generation;
        EXPECT_I64(has_bit(d->lists[list].rows, rows->first + i), dead);
        any |= dead;
        if (dead)
            CHECK(has_bit(dead_rows_who(d, block), keys[i] >> PART_SECOND_BITS));
        sum->count += dead;
        sum->events += dead && part->lists[list].event != PART_PERSON;
        hours[(keys[i] & PART_SECOND_MASK) / 3600] += dead;
    }
    free(keys);
    return any;
}

static void compare_hours(const DeadList *dead, bool has_hours, const uint32_t hours[PART_HOURS])
{
    uint32_t before = 0;
    CHECK((dead->hours != NULL) == (dead->rows != NULL && has_hours));
    for (uint32_t h = 0; has_hours && h < PART_HOURS; h++) {
        before += hours[h];
        EXPECT_I64(dead->hours == NULL ? 0 : dead->hours->ends[h], before);
    }
}

static void compare_part(const Moved *m, Part *part, const DeadRows *d)
{
    Counted sum = {0};
    bool *any = calloc(part->head->block_count + 1, sizeof *any);
    CHECK(any != NULL);
    for (uint32_t list = 0; list < part->head->list_count; list++) {
        uint32_t cursor = 0, hours[PART_HOURS] = {0};
        for (uint32_t i = 0; i < part->head->block_count; i++) {
            const uint32_t block = part->blocks[i].block;
            const PartRows rows = part_list_rows(part, &part->lists[list], block, &cursor);
            any[i] |= rows.count > 0 &&
                      compare_rows(part, list, block, &rows,
                                   moved_block(m, block, part->generation), d, hours, &sum);
        }
        compare_hours(&d->lists[list], part_has_hours(part), hours);
    }
    for (uint32_t i = 0; i < part->head->block_count; i++)
        CHECK((dead_rows_who(d, part->blocks[i].block) != NULL) == any[i]);
    EXPECT_I64(d->count, sum.count);
    EXPECT_I64(d->events, sum.events);
    free(any);
}

/* What its memory is at least and at most. */
static void compare_bytes(const Part *part, const DeadRows *d)
{
    uint64_t bytes = sizeof *d + d->list_count * sizeof *d->lists;
    for (uint32_t list = 0; list < d->list_count; list++)
        if (d->lists[list].rows != NULL)
            bytes += 8 * (kernel_words(part->lists[list].rows) + 1) +
                     (part_has_hours(part) ? sizeof(PartHours) : 0);
    bytes += d->place_count * sizeof *d->places;
    const uint64_t who = d->who_count * sizeof *d->who;
    CHECK(d->bytes >= bytes + who && d->bytes <= bytes + 2 * who + sizeof *d->who);
}

/* At first, and as persons are moved, few at a time: of other blocks it is known. */
static uint32_t find_in(Kit *k, Part *part)
{
    DeadRows *d = NULL;
    part->generation =
        k->view.moved != NULL && kit_below(k, 3) == 0 ? k->view.moved->generation / 2 : 0;
    for (uint32_t moves = 150; moves > 0; moves /= 3) {
        move_some(k, moves);
        DeadRows *more = dead_rows_find(part, k->view.moved, d);
        CHECK(more != NULL && more->generation == k->view.moved->generation);
        compare_part(k->view.moved, part, more);
        compare_bytes(part, more);
        dead_rows_unref(d);
        d = more;
    }
    const uint32_t dead = d->count;
    dead_rows_unref(d);
    return dead;
}

TEST(dead_rows_are_those_of_who_was_moved_behind_the_part)
{
    static const KitShape *const shapes[] = {&SMALL, &MANY, &WIDE};
    for (uint32_t i = 0; i < 2 * ARRAY_LEN(shapes); i++) {
        uint32_t dead = 0;
        Kit k;
        kit_open(&k, 700 + i, shapes[i / 2], 2);
        for (uint32_t p = 0; p < k.view.part_count; p++)
            dead += find_in(&k, k.view.parts[p]);
        CHECK(dead > 30);
        kit_close(&k);
    }
}

TEST(a_part_that_is_ahead_of_what_was_known_of_it_has_the_dead_rows_of_later_moves_alone)
{
    Kit k;
    kit_open(&k, 708, &SMALL, 1);
    Part *part = k.view.parts[0];
    part->generation = 30;
    move_some(&k, 20);
    DeadRows *before = dead_rows_find(part, k.view.moved, NULL);
    for (uint32_t moves = 5; moves < 200; moves *= 3) {
        move_some(&k, moves);
        DeadRows *d = dead_rows_find(part, k.view.moved, before);
        compare_part(k.view.moved, part, d);
        dead_rows_unref(before);
        before = d;
    }
    CHECK(before->count > 0);
    dead_rows_unref(before);
    kit_close(&k);
}

TEST(blocks_that_the_part_does_not_have_have_no_dead_rows)
{
    enum { FIRST = 5, PLACES = 4, BLOCKS = 64 * PLACES };
    Prng random = prng_of(5);
    for (uint32_t share = 1; share < 70; share += 17) {
        DeadPlaces places[PLACES] = {{0}};
        DeadPersons who[BLOCKS];
        bool has[BLOCKS];
        const DeadRows d = {
            .first_block = FIRST, .place_count = PLACES, .places = places, .who = who};
        for (uint32_t i = 0; i < BLOCKS; i++) {
            has[i] = i == 0 || prng_below(&random, share) == 0;
            places[i / 64].has |= (uint64_t)has[i] << (i & 63);
            for (uint32_t later = i / 64 + 1; later < PLACES; later++)
                places[later].before += has[i];
        }
        for (uint32_t i = 0, at = 0; i < BLOCKS; at += has[i++])
            CHECK(dead_rows_who(&d, FIRST + i) == (has[i] ? who[at].bits : NULL));
        CHECK(dead_rows_who(&d, FIRST - 1) == NULL && dead_rows_who(&d, FIRST + BLOCKS) == NULL);
        CHECK(dead_rows_who(&d, UINT32_MAX) == NULL);
    }
}

TEST(dead_rows_are_taken_out_of_a_set_that_begins_anywhere)
{
    uint64_t bits[5] = {0};
    DeadList lists[] = {{.rows = bits}};
    const DeadRows d = {.list_count = 1, .lists = lists};
    Prng random = prng_of(7);
    for (uint32_t i = 0; i < 4; i++)
        bits[i] = prng_u64(&random) & prng_u64(&random);
    for (uint32_t first = 0; first < 140; first++)
        for (uint32_t n = 1; first + n <= 256; n += 13) {
            uint64_t set[5];
            memset(set, 0xff, sizeof set);
            dead_rows_drop(&d, 0, first, n, set);
            for (uint32_t i = 0; i < n; i++)
                CHECK(has_bit(set, i) == !has_bit(bits, first + i));
            EXPECT_I64((int64_t)set[4], -1);
        }
}

TEST(more_dead_rows_than_there_are_in_an_hour_are_none_of_it)
{
    PartHours all = {{0}}, same = {{0}}, others = {{0}};
    for (int h = 0; h < PART_HOURS; h++) {
        all.ends[h] = h < 10 ? 0 : 5;
        same.ends[h] = h < 10 ? 0 : 2;
        others.ends[h] = h < 20 ? 0 : 2;
    }
    PartHours left = all;
    CHECK(part_hours_without(&left, &same) && left.ends[9] == 0 && left.ends[10] == 3);
    left = all;
    CHECK(!part_hours_without(&left, &others));
    left = same;
    CHECK(!part_hours_without(&left, &all));
}

/* ---- what the map says ------------------------------------------------------------------------------ */

/* On the heap, for moved_know(). */
static DeadRows **found_in(const Kit *k, Part *part)
{
    DeadRows **known = calloc(1, sizeof(DeadRows *));
    CHECK(known != NULL);
    known[0] = dead_rows_find(part, k->view.moved, NULL);
    CHECK(known[0] != NULL);
    return known;
}

TEST(what_is_known_is_known_until_somebody_of_the_parts_blocks_is_moved)
{
    Kit k;
    kit_open(&k, 720, &SMALL, 1);
    Part *part = k.view.parts[0];
    part->number = 8;
    move_some(&k, 20);
    CHECK(moved_known(k.view.moved, part) == NULL);
    DeadRows **known = found_in(&k, part);
    Moved *m = k.view.moved = moved_know(k.view.moved, known, 1);
    CHECK(moved_known(m, part) == known[0] && moved_bytes(m) > known[0]->bytes);
    part->number = 7;
    CHECK(moved_known(m, part) == NULL);
    part->number = 0; /* is in memory */
    CHECK(moved_known(m, part) == NULL);
    part->number = 8;
    Moved *held = moved_ref(m);
    m = moved_next(m, k.view.person_count + 10 * PART_BLOCK_PERSONS);
    CHECK(m != held && moved_known(m, part) == moved_known(held, part));
    m = moved_next(m, k.rows[0].person);
    CHECK(moved_known(m, part) == NULL && moved_known(held, part) != NULL);
    CHECK(moved_once_known(m, part) == moved_known(held, part));
    Moved *alone = moved_alone(m);
    CHECK(alone->generation == m->generation && moved_once_known(alone, part) == NULL);
    moved_unref(alone);
    moved_unref(held);
    k.view.moved = moved_know(m, calloc(1, sizeof(DeadRows *)), 0);
    CHECK(moved_known(k.view.moved, part) == NULL);
    kit_close(&k);
}

/* Who looks at an older map, or at a newer one, is told the same before and after. */
TEST(what_is_still_known_under_a_newer_map_says_so_to_all_maps)
{
    Kit k;
    kit_open(&k, 721, &SMALL, 1);
    Part *part = k.view.parts[0];
    part->number = 8;
    move_some(&k, 20);
    DeadRows **known = found_in(&k, part);
    DeadRows *d = known[0];
    Moved *maps[3] = {moved_know(k.view.moved, known, 1)};
    maps[1] = moved_next(moved_ref(maps[0]), k.view.person_count + 10 * PART_BLOCK_PERSONS);
    maps[2] = moved_next(moved_ref(maps[1]), k.rows[0].person);
    for (int raised = 0; raised < 2; raised++) {
        CHECK(moved_known(maps[0], part) == d && moved_known(maps[1], part) == d);
        CHECK(moved_known(maps[2], part) == NULL && moved_once_known(maps[2], part) == d);
        atomic_store(&d->generation, maps[1]->generation);
    }
    moved_unref(maps[2]);
    moved_unref(maps[1]);
    k.view.moved = maps[0];
    kit_close(&k);
}

static bool has_rows(const Kit *k, uint32_t person)
{
    for (uint32_t i = 0; i < k->count; i++)
        if (k->rows[i].person == person)
            return true;
    return false;
}

TEST(a_part_of_whose_persons_none_has_a_dead_row_is_spared_once_that_is_known)
{
    Kit k;
    kit_open(&k, 722, &SMALL, 2);
    Part *part = k.view.parts[0];
    uint32_t person = k.rows[0].person & ~(uint32_t)(PART_BLOCK_PERSONS - 1);
    while (has_rows(&k, person))
        person++;
    part->number = 3;
    k.view.moved = moved_next(moved_new(), person);
    CHECK(moved_behind(k.view.moved, part, 0) && !moved_spares(k.view.moved, part));
    k.view.moved = moved_know(k.view.moved, found_in(&k, part), 1);
    CHECK(moved_spares(k.view.moved, part));
    kit_close(&k);
}

/* The part as it was opened: nothing of it was looked at. */
static Part *opened_again(Kit *k, const Part *part)
{
    char *bytes = malloc(part->bytes.len);
    Part *copy = NULL;
    CHECK(bytes != NULL);
    memcpy(bytes, part->bytes.ptr, part->bytes.len);
    CHECK(part_open(&k->ctx, (Str){bytes, part->bytes.len}, false, part->number, &copy) == ERR_OK);
    for (uint32_t i = 0; i <= copy->head->piece_count / 64; i++)
        atomic_store(&copy->good[i], 0);
    return copy;
}

TEST(no_rows_are_found_in_a_part_whose_keys_are_damaged)
{
    Kit k;
    kit_open(&k, 723, &SMALL, 1);
    move_some(&k, 300);
    Part *part = opened_again(&k, k.view.parts[0]);
    DeadRows *before = dead_rows_find(k.view.parts[0], k.view.moved, NULL);
    memset((char *)(uintptr_t)part->bytes.ptr + part->lists[0].keys_at, 0xff,
           part->lists[0].keys_bytes);
    CHECK(dead_rows_find(part, k.view.moved, NULL) == NULL);
    move_some(&k, 300);
    CHECK(dead_rows_find(part, k.view.moved, before) == NULL);
    dead_rows_unref(before);
    part_unref(part);
    kit_close(&k);
}

static uint32_t pieces_known(const Part *part)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < part->head->piece_count; i++)
        n += part_piece_is_known(part, i);
    return n;
}

TEST(events_are_counted_without_a_key_when_it_is_known_which_are_dead)
{
    const int64_t bounds[] = {0, INT64_MAX};
    const Trend all = {.bounds = bounds, .bucket_count = 1};
    Crew *crew = crew_new(1);
    uint32_t looked_at[2];
    for (uint64_t is_known = 0; is_known < 2; is_known++) {
        Kit k;
        kit_open(&k, 730, &MANY, 1);
        Part *part = k.view.parts[0];
        part->number = 1;
        move_some(&k, 20);
        DeadRows **known = found_in(&k, part);
        const uint32_t left = part->head->rows - known[0]->count;
        k.view.parts[0] = opened_again(&k, part);
        if (is_known == 1)
            k.view.moved = moved_know(k.view.moved, known, 1);
        TrendResult got;
        CHECK(query_trend(&k.ctx, &(Query){.view = &k.view, .crew = crew}, &all, &got) == ERR_OK);
        CHECK(got.series[0].cells[0] > 0 && got.series[0].cells[0] < left); /* less attributes */
        looked_at[is_known] = pieces_known(k.view.parts[0]);
        if (is_known == 0) {
            dead_rows_unref(known[0]);
            free(known);
        }
        part_unref(part);
        kit_close(&k);
    }
    crew_free(crew);
    CHECK(looked_at[1] > 0 && looked_at[1] <= 2); /* where the hours stand */
    CHECK(looked_at[0] > looked_at[1]);
}

TEST(hours_with_fewer_events_than_are_dead_in_them_are_damage)
{
    const int64_t bounds[] = {0, INT64_MAX};
    const Trend all = {.bounds = bounds, .bucket_count = 1};
    Crew *crew = crew_new(1);
    Kit k;
    kit_open(&k, 731, &MANY, 1);
    Part *part = k.view.parts[0];
    part->number = 1;
    move_some(&k, 20);
    DeadRows **known = found_in(&k, part);
    k.view.moved = moved_know(k.view.moved, known, 1);
    TrendResult got;
    CHECK(query_trend(&k.ctx, &(Query){.view = &k.view, .crew = crew}, &all, &got) == ERR_OK);
    for (uint32_t list = 0; list < known[0]->list_count; list++)
        known[0]->lists[list].hours->ends[PART_HOURS - 1] += MANY.rows;
    CHECK(query_trend(&k.ctx, &(Query){.view = &k.view, .crew = crew}, &all, &got) == ERR_INTERNAL);
    CHECK(atomic_load(&part->damaged));
    kit_close(&k);
    crew_free(crew);
}
