/*
 * engine/scan/changes_test.c -- what held at each event, against going through each person's rows one by one.
 */
#include "engine/scan/changes.h"

#include "engine/ask/trend.h"
#include "engine/engine_testkit.h"

#include <stdlib.h>

static Crew *crew;

/* ---- the slow way -------------------------------------------------------------------------------- */

/* What the row says, by the question. */
static int64_t said_by(const Changes *c, const KitRow *r)
{
    return c->holds != NULL ? kit_fulfils(c->holds, r) : r->values[c->value.prop - PROP_FIRST];
}

static bool says(const Changes *c, const KitRow *r)
{
    return r->event == PART_PERSON && kit_fulfils(c->says, r);
}

/* What held at row `at` of the sorted ones: the nearest row of its person before it says it. */
static int64_t slow_value(const Changes *c, KitRow *const *sorted, uint32_t count, uint32_t at)
{
    const KitRow *event = sorted[at];
    uint32_t end = at;
    if (event->person == 0)
        return c->before;
    while (c->is_latest && end < count && sorted[end]->person == event->person &&
           sorted[end]->time_ms < c->until_ms)
        end++;
    while (end > 0 && sorted[end - 1]->person == event->person) {
        const KitRow *r = sorted[--end];
        if (says(c, r) && (!c->is_latest || r->time_ms < c->until_ms))
            return said_by(c, r);
    }
    return c->before;
}

/* ---- one question -------------------------------------------------------------------------------- */

static Changes random_changes(Kit *k)
{
    Changes c = {.says = kit_filter(k, 1)};
    if (kit_below(k, 2) == 0) {
        c.holds = kit_filter(k, 1);
        c.before = kit_below(k, 2);
        return c;
    }
    const uint32_t prop = kit_below(k, KIT_PROPS);
    c.value = (ScanProp){.prop = KIT_PROP(prop), .scale = prop == 2 ? 2 : 0};
    c.before = SCAN_MISSING;
    c.is_latest = kit_below(k, 3) == 0;
    c.until_ms = KIT_ORIGIN_MS + (int64_t)kit_below(k, 3 * 604800) * 1000;
    return c;
}

/* Every event by whole persons, its value beside it, and whether the condition takes it. */
static uint32_t compare_batches(Kit *k, const Changes *c, KitRow *const *sorted)
{
    const Filter holds = {.kind = FILTER_CHANGES, .changes = c};
    const ScanSelect selects[] = {{.to_ms = INT64_MAX / 4},
                                  {.to_ms = INT64_MAX / 4, .filter = &holds}};
    const ScanProp value = {.prop = c->value.prop, .changes = c};
    Scanner *s = scanner_new(
        &k->view,
        &(ScanAsk){.selects = selects, .select_count = 2, .props = &value, .prop_count = 1});
    uint32_t at = 0, differ = 0;
    for (uint32_t piece = 0; piece < scan_pieces(&k->view); piece++) {
        ScanBatch b;
        while (scanner_batch(s, piece, &b))
            for (uint32_t row = 0; row < b.from[b.person_count]; row++, at++) {
                while (sorted[at]->event == PART_PERSON)
                    at++;
                const int64_t want = slow_value(c, sorted, k->count, at);
                EXPECT_I64(scanner_base_ms(s) + scan_ms(&b, row), sorted[at]->time_ms);
                EXPECT_I64(b.values[0][row], want);
                EXPECT_I64(b.rows[row].selects >> 1 & 1, want != 0);
                differ += want != c->before;
            }
    }
    while (at < k->count && sorted[at]->event == PART_PERSON)
        at++;
    EXPECT_I64(at, k->count);
    EXPECT_I64((int64_t)scanner_damaged(s), 0);
    scanner_free(s);
    return differ;
}

/* A trend reads strips: of the events that the condition takes, a series for each value. */
static void compare_trend(Kit *k, const Query *q, const Changes *c, KitRow *const *sorted)
{
    const int64_t bounds[] = {KIT_ORIGIN_MS, KIT_ORIGIN_MS + 4 * PART_WEEK_MS};
    const Filter holds = {.kind = FILTER_CHANGES, .changes = c};
    const ScanProp value = {.prop = c->value.prop, .changes = c};
    const Trend t = {.select = {.filter = kit_below(k, 2) == 0 ? &holds : NULL},
                     .measure = kit_below(k, 2) == 0 ? TREND_EVENTS : TREND_PERSONS,
                     .bounds = bounds,
                     .bucket_count = 1,
                     .breakdown = &value,
                     .breakdown_count = 1,
                     .top = QUERY_GROUPS_MAX};
    TrendResult got;
    CHECK(query_trend(&k->ctx, q, &t, &got) == ERR_OK);
    for (uint32_t s = 0; s < got.count && !got.series[s].key.is_other; s++) {
        int64_t events = 0, persons = 0;
        uint32_t last = 0;
        for (uint32_t i = 0; i < k->count; i++) {
            const KitRow *r = sorted[i];
            const int64_t held = slow_value(c, sorted, k->count, i);
            if (r->event == PART_PERSON || (t.select.filter != NULL && held == 0) ||
                held != got.series[s].key.values[0] ||
                (t.measure == TREND_PERSONS && r->person == 0))
                continue;
            events++;
            persons += r->person != last;
            last = r->person;
        }
        EXPECT_I64((int64_t)got.series[s].events, events);
        EXPECT_I64((int64_t)got.series[s].cells[0], t.measure == TREND_EVENTS ? events : persons);
    }
}

static uint32_t compare(Kit *k, KitRow *const *sorted)
{
    const Query q = {.view = &k->view, .crew = crew};
    Changes c = random_changes(k);
    uint64_t count = 7;
    CHECK(query_changes(&k->ctx, &q, &c, &count) == ERR_OK && count >= 7);
    compare_trend(k, &q, &c, sorted);
    return compare_batches(k, &c, sorted);
}

static void body(void)
{
    static const KitShape SHAPES[] = {
        {.rows = 900, .persons = 5, .events = 6, .weeks = 3, .ties = 60, .near = 20, .said = 30},
        {.rows = 900, .persons = 40, .events = 1, .weeks = 1, .ties = 30, .nobody = 20, .said = 20},
        {.rows = 1500, .persons = 6000, .events = 300, .weeks = 2, .ties = 80, .said = 40},
        {.rows = 700,
         .persons = 9,
         .events = 4,
         .weeks = 3,
         .whole_seconds = true,
         .ties = 70,
         .said = 25},
    };
    uint32_t differ = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        Kit k;
        kit_open(&k, seed, &SHAPES[seed % ARRAY_LEN(SHAPES)], 1 + (uint32_t)seed % 5);
        KitRow **sorted = kit_sorted(&k);
        for (uint32_t fan = 1; fan <= 9; fan += 4) {
            kit_merge(&k, fan);
            for (int i = 0; i < 4; i++)
                differ += compare(&k, sorted);
        }
        kit_close(&k);
    }
    CHECK(differ > 5000); /* else little was shown */
}

TEST(changes_hold_from_who_says_them_to_the_next_in_the_order_of_time_and_arrival)
{
    kit_each_kernel_and_crew(body, &crew);
}

/* ---- limits -------------------------------------------------------------------------------------- */

TEST(changes_of_all_conditions_of_one_question_have_a_limit)
{
    static const Filter ALL = {.kind = FILTER_ALL};
    const KitShape shape = {.rows = 500, .persons = 50, .events = 2, .weeks = 1, .said = 50};
    Kit k;
    kit_open(&k, 1, &shape, 1);
    crew = crew_new(1);
    const Query q = {.view = &k.view, .crew = crew};
    Changes c = {.says = &ALL, .value = {.prop = KIT_PROP(0)}, .before = SCAN_MISSING};
    uint64_t count = 0, nearly;
    CHECK(query_changes(&k.ctx, &q, &c, &count) == ERR_OK && count > 50);
    nearly = CHANGES_MAX - count;
    EXPECT_I64(query_changes(&k.ctx, &q, &c, &nearly), ERR_OK);
    nearly = CHANGES_MAX - count + 1;
    EXPECT_I64(query_changes(&k.ctx, &q, &c, &nearly), ERR_INVALID);
    EXPECT_STREQ(k.ctx.fault.reason, "query.too_large");
    crew_free(crew);
    kit_close(&k);
}

TEST(changes_that_meet_damage_are_no_answer)
{
    static const Filter ALL = {.kind = FILTER_ALL};
    const KitShape shape = {.rows = 500, .persons = 50, .events = 2, .weeks = 1, .said = 50};
    Kit k;
    kit_open(&k, 1, &shape, 2);
    kit_merge(&k, 2);
    crew = crew_new(1);
    const Query q = {.view = &k.view, .crew = crew};
    Changes c = {.says = &ALL, .value = {.prop = KIT_PROP(0)}, .before = SCAN_MISSING};
    uint64_t count = 0;
    ((uint8_t *)(uintptr_t)k.view.parts[0]->data)[PART_DATA_AT] ^= 1;
    atomic_store(&k.view.parts[0]->good[0], 0); /* as of a file */
    EXPECT_I64(query_changes(&k.ctx, &q, &c, &count), ERR_INTERNAL);
    EXPECT_STREQ(k.ctx.fault.reason, "events.part_damaged");
    crew_free(crew);
    kit_close(&k);
}

/* The order of a part's rows is looked at only where something is said at the very instant of an event. */
TEST(changes_at_the_instant_of_an_event_are_no_answer_when_the_order_of_the_part_makes_no_sense)
{
    static const Filter ALL = {.kind = FILTER_ALL};
    static const int64_t BOUNDS[] = {KIT_ORIGIN_MS, KIT_ORIGIN_MS + PART_WEEK_MS};
    const KitShape shape = {
        .rows = 500, .persons = 2, .events = 2, .weeks = 1, .ties = 80, .said = 50};
    Kit k;
    kit_open(&k, 1, &shape, 1);
    crew = crew_new(1);
    Part *part = k.view.parts[0];
    const Query q = {.view = &k.view, .crew = crew};
    Changes c = {.says = &ALL, .value = {.prop = KIT_PROP(0)}, .before = SCAN_MISSING};
    const ScanProp by = {.prop = KIT_PROP(0), .changes = &c};
    const Trend t = {
        .bounds = BOUNDS, .bucket_count = 1, .breakdown = &by, .breakdown_count = 1, .top = 3};
    uint64_t count = 0;
    TrendResult out;
    EXPECT_I64(query_changes(&k.ctx, &q, &c, &count), ERR_OK);
    EXPECT_I64(query_trend(&k.ctx, &q, &t, &out), ERR_OK);
    memset((uint8_t *)(uintptr_t)part->data + part->head->sequence_at, 0,
           part->head->sequence_bytes);
    for (uint32_t i = 0; i <= (part->head->dir_count + part->head->block_count) / 64; i++)
        atomic_store(&part->sound[i], 0); /* its checksums are right, but nobody has looked at it */
    EXPECT_I64(query_trend(&k.ctx, &q, &t, &out), ERR_INTERNAL);
    EXPECT_STREQ(k.ctx.fault.reason, "events.part_damaged");
    crew_free(crew);
    kit_close(&k);
}
