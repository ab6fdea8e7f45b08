/*
 * engine/ask/trend_hours_test.c -- what parts say of their hours, and trends that are made of it.
 */
#include "engine/part/part_hours.h"

#include "base/test_folder.h"
#include "engine/ask/trend.h"
#include "engine/engine_testkit.h"

#include <stdlib.h>

enum { NAMES = 3, BUCKETS = 40, HOUR_S = 3600 };

static const KitShape MANY = {
    .rows = 64 * NAMES * PART_HOURS_ROWS, .persons = 300, .events = NAMES, .weeks = 2};
static const KitShape WITH_ATTRIBUTES = {
    .rows = 64 * NAMES * PART_HOURS_ROWS, .persons = 300, .events = NAMES, .weeks = 2, .said = 10};
static const KitShape MANY_NAMES = {
    .rows = (PART_LISTS_MAX + 1) * PART_HOURS_ROWS, .persons = 300, .events = 300, .weeks = 1};
static const KitShape FEW = {.rows = 1000, .persons = 300, .events = NAMES, .weeks = 2};

static Crew *crew;

static void with_crew(void (*body)(void))
{
    crew = crew_new(2);
    body();
    crew_free(crew);
}

/* ---- of a part -------------------------------------------------------------------------------------- */

static uint32_t slow_before(const Kit *k, const Part *part, uint32_t event, int64_t at_ms)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < k->count; i++)
        n += k->rows[i].event == event && k->rows[i].time_ms >= part->head->week_ms &&
             k->rows[i].time_ms < part->head->week_ms + PART_WEEK_MS && k->rows[i].time_ms < at_ms;
    return n;
}

TEST(a_part_of_many_rows_says_how_many_events_of_a_name_are_before_an_hour)
{
    Kit k;
    PartHours hours;
    kit_open(&k, 600, &WITH_ATTRIBUTES, 1);
    for (uint32_t p = 0; p < k.view.part_count; p++) {
        Part *part = k.view.parts[p];
        CHECK(part_has_hours(part));
        for (uint32_t i = 0; i < part->head->list_count; i++) {
            CHECK(part_hours(part, i, &hours));
            for (int hour = -1; hour <= PART_HOURS + 1; hour += 7) {
                const int64_t at_ms = part->head->week_ms + (int64_t)hour * PART_HOUR_MS;
                EXPECT_I64(part_hours_before(part, &hours, at_ms),
                           slow_before(&k, part, part->lists[i].event, at_ms));
            }
        }
    }
    kit_close(&k);
    kit_open(&k, 601, &FEW, 1);
    CHECK(!part_has_hours(k.view.parts[0]));
    kit_close(&k);
}

/* The part once more, in a file. */
static Part *mapped(Kit *k, Str folder, const Part *part, File *file)
{
    Part *copy = NULL;
    Str map;
    CHECK(file_open(&k->ctx, folder, STR("part"), FILE_CREATE, file) == ERR_OK);
    CHECK(file_write_at(&k->ctx, *file, 0, part->bytes) == ERR_OK);
    CHECK(file_map(&k->ctx, *file, &map) == ERR_OK);
    CHECK(part_open(&k->ctx, map, true, 1, &copy) == ERR_OK);
    return copy;
}

TEST(hours_that_were_read_stay_when_the_disk_takes_them_away_and_are_read_no_more)
{
    char path[] = "/tmp/trend_hours_test.XXXXXX";
    Kit k;
    File file;
    CHECK(mkdtemp(path) != NULL);
    kit_open(&k, 604, &MANY, 1);
    Part *part = mapped(&k, str_of(path), k.view.parts[0], &file);
    const PartList *list = &part->lists[1];
    PartHours hours;
    const int64_t end_ms = part->head->week_ms + PART_WEEK_MS;
    CHECK(part_hours(part, 1, &hours) && file_truncate(&k.ctx, file, 0) == ERR_OK);
    EXPECT_I64(part_hours_before(part, &hours, end_ms), list->rows);
    CHECK(!part_hours(part, 1, &hours) && atomic_load(&part->damaged));
    file_close(&file);
    part_unref(part);
    test_remove_folder(str_of(path));
    kit_close(&k);
}

/* The part once more, with a byte of its hours changed: of which the checksum is known, or is not. */
static Part *turned(Kit *k, const Part *part, uint64_t at, bool is_known)
{
    char *bytes = malloc(part->bytes.len);
    Part *copy = NULL;
    CHECK(bytes != NULL);
    memcpy(bytes, part->bytes.ptr, part->bytes.len);
    bytes[part->head->hours_at + at] ^= 0x40;
    CHECK(part_open(&k->ctx, (Str){bytes, part->bytes.len}, false, 1, &copy) == ERR_OK);
    for (uint32_t i = 0; i <= copy->head->piece_count / 64; i++)
        atomic_store(&copy->good[i], is_known ? UINT64_MAX : 0);
    return copy;
}

static void damaged_hours(void)
{
    Kit k;
    kit_open(&k, 602, &MANY, 1);
    const uint64_t of_second = sizeof(PartHours), first = of_second + 1,
                   last = 2 * of_second - sizeof(uint32_t);
    for (int i = 0; i < 3; i++) {
        Part *part = turned(&k, k.view.parts[0], i == 2 ? last : first, i > 0);
        Part *parts[] = {part};
        const ScanView view = {
            .parts = parts, .part_count = 1, .person_count = k.view.person_count};
        const int64_t bounds[] = {0, INT64_MAX};
        TrendResult got;
        PartHours hours;
        CHECK(!part_hours(part, 1, &hours) && atomic_load(&part->damaged));
        CHECK(part_hours(part, 0, &hours) == (i > 0)); /* the checksum is of both */
        CHECK(query_trend(&k.ctx, &(Query){.view = &view, .crew = crew},
                          &(Trend){.bounds = bounds, .bucket_count = 1}, &got) == ERR_INTERNAL);
        part_unref(part);
    }
    kit_close(&k);
}

TEST(hours_that_are_damaged_or_make_no_sense_are_not_believed)
{
    with_crew(damaged_hours);
}

/* ---- trends ----------------------------------------------------------------------------------------- */

typedef struct Asked {
    int64_t bounds[BUCKETS + 1];
    uint32_t events[2];
    Trend trend;
} Asked;

static const ScanProp BY_NAME = {PROP_EVENT, 0};

/* Between full hours, halves of them, or quarters with some milliseconds. */
static void ask_anything(Kit *k, Asked *a)
{
    const uint32_t kind = kit_below(k, 3), by_name = kit_below(k, 2);
    a->trend = (Trend){.bounds = a->bounds,
                       .bucket_count = 1 + kit_below(k, BUCKETS),
                       .breakdown = &BY_NAME,
                       .breakdown_count = by_name,
                       .top = 1 + kit_below(k, NAMES)};
    const int64_t unit_ms = PART_HOUR_MS / (kind == 0 ? 1 : 2 * kind);
    a->bounds[0] = KIT_ORIGIN_MS + ((int64_t)kit_below(k, 200) - 20) * unit_ms;
    a->bounds[0] += kind == 2 ? kit_below(k, 3) : 0;
    for (uint32_t b = 0; b < a->trend.bucket_count; b++)
        a->bounds[b + 1] = a->bounds[b] + (1 + kit_below(k, 24)) * unit_ms;
    if (kit_below(k, 2) == 0)
        return;
    a->events[0] = 1 + kit_below(k, NAMES - 1);
    a->events[1] = a->events[0] + 1;
    a->trend.select.events = a->events;
    a->trend.select.event_count = 1 + kit_below(k, 2);
}

static uint64_t slow_events(const Kit *k, const Trend *t, uint32_t bucket, int64_t name)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < k->count; i++)
        n += k->rows[i].time_ms >= t->bounds[bucket] &&
             k->rows[i].time_ms < t->bounds[bucket + 1] && k->rows[i].event != PART_PERSON &&
             (name < 0 || k->rows[i].event == (uint32_t)name) && kit_takes(&t->select, &k->rows[i]);
    return n;
}

/* Of the others what is in none of the series before them. */
static uint64_t slow_cell(const Kit *k, const Trend *t, const TrendResult *r, uint32_t s,
                          uint32_t bucket)
{
    if (t->breakdown_count == 0)
        return slow_events(k, t, bucket, -1);
    if (!r->series[s].key.is_other)
        return slow_events(k, t, bucket, r->series[s].key.values[0]);
    uint64_t n = slow_events(k, t, bucket, -1);
    for (uint32_t i = 0; i < s; i++)
        n -= slow_events(k, t, bucket, r->series[i].key.values[0]);
    return n;
}

static void compare(Kit *k, const Trend *t)
{
    const Query q = {.view = &k->view, .crew = crew};
    TrendResult got;
    CHECK(query_trend(&k->ctx, &q, t, &got) == ERR_OK);
    for (uint32_t s = 0; s < got.count; s++)
        for (uint32_t b = 0; b < t->bucket_count; b++)
            EXPECT_I64((int64_t)got.series[s].cells[b], (int64_t)slow_cell(k, t, &got, s, b));
}

/* One person's rows of the parts so far stand elsewhere now, that is nowhere here. */
static void move_one(Kit *k)
{
    const uint32_t person = k->rows[0].person;
    uint32_t left = 0;
    for (uint32_t i = 0; i < k->count; i++)
        if (k->rows[i].person != person)
            k->rows[left++] = k->rows[i];
    k->count = left;
    k->view.moved = moved_next(moved_new(), person);
}

static void random_trends(void)
{
    static const KitShape *const shapes[] = {&MANY, &WITH_ATTRIBUTES, &FEW};
    for (uint32_t i = 0; i < ARRAY_LEN(shapes); i++) {
        Asked a = {.bounds = {0}};
        Kit k;
        kit_open(&k, 610 + i, shapes[i], 1);
        for (int round = 0; round < 12; round++) {
            if (round == 6)
                move_one(&k);
            if (round == 9)
                kit_know_dead(&k);
            ask_anything(&k, &a);
            compare(&k, &a.trend);
        }
        kit_close(&k);
    }
}

TEST(events_between_full_hours_and_others_are_those_of_the_rows)
{
    with_crew(random_trends);
}

/* Names that share a list are counted by rows, unless all of them are wanted. */
static void names_of_the_rest(void)
{
    Asked a = {.bounds = {0}};
    Kit k;
    kit_open(&k, 620, &MANY_NAMES, 1);
    CHECK(part_has_hours(k.view.parts[0]) && k.view.parts[0]->head->list_count == PART_LISTS_MAX);
    for (int round = 0; round < 4; round++) {
        ask_anything(&k, &a);
        a.trend.bucket_count = 1 + kit_below(&k, 3);
        compare(&k, &a.trend);
    }
    kit_close(&k);
}

TEST(events_of_names_that_share_a_list_are_counted_by_name)
{
    with_crew(names_of_the_rest);
}

/* A file is asked for nothing but its hours: keys that are damaged do not matter then. */
static void without_keys(void)
{
    Kit k;
    kit_open(&k, 630, &MANY, 1);
    Part *part = k.view.parts[0];
    const int64_t bounds[] = {KIT_ORIGIN_MS, KIT_ORIGIN_MS + 5 * PART_HOUR_MS};
    const int64_t halves[] = {KIT_ORIGIN_MS, KIT_ORIGIN_MS + PART_HOUR_MS / 2};
    const ScanView view = {.parts = &part, .part_count = 1, .person_count = k.view.person_count};
    const Query q = {.view = &view, .crew = crew};
    TrendResult got;
    char *const keys = (char *)(uintptr_t)part->bytes.ptr + part->lists[0].keys_at;
    memset(keys, 0xff, part->lists[0].keys_bytes);
    CHECK(query_trend(&k.ctx, &q, &(Trend){.bounds = bounds, .bucket_count = 1}, &got) == ERR_OK);
    EXPECT_I64((int64_t)got.series[0].cells[0],
               (int64_t)slow_events(&k, &(Trend){.bounds = bounds}, 0, -1));
    CHECK(query_trend(&k.ctx, &q, &(Trend){.bounds = halves, .bucket_count = 1}, &got) ==
          ERR_INTERNAL);
    kit_close(&k);
}

static void stopped(void)
{
    Kit k;
    const atomic_bool stop = true;
    const int64_t bounds[] = {KIT_ORIGIN_MS, KIT_ORIGIN_MS + 5 * PART_HOUR_MS};
    const Trend t = {.bounds = bounds, .bucket_count = 1};
    TrendResult got;
    kit_open(&k, 631, &MANY, 1);
    for (uint32_t i = 0; i < k.view.part_count; i++)
        CHECK(part_has_hours(k.view.parts[i]));
    CHECK(query_trend(&k.ctx, &(Query){.view = &k.view, .crew = crew, .stop = &stop}, &t, &got) !=
          ERR_OK);
    CHECK(query_trend(&k.ctx, &(Query){.view = &k.view, .crew = crew, .until_us = 1}, &t, &got) !=
          ERR_OK);
    kit_close(&k);
}

TEST(events_between_full_hours_are_counted_until_whoever_asks_gives_up)
{
    with_crew(stopped);
}

TEST(events_between_full_hours_need_no_keys)
{
    with_crew(without_keys);
}
