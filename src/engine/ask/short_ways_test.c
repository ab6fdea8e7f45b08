/*
 * engine/ask/short_ways_test.c -- funnels by starts, last touches and totals against the long way over whole persons, which
 * the slow models of funnel_test.c, touch_test.c and segment_test.c stand behind: where milliseconds, missing values and
 * the ends of windows decide.
 */
#include "base/clock.h"
#include "engine/ask/funnel.h"
#include "engine/ask/segment.h"
#include "engine/ask/touch.h"
#include "engine/ask/trend.h"
#include "engine/engine_testkit.h"
#include "engine/scan/changes.h"

#define CHANNEL KIT_PROP(0)
#define WORTH   KIT_PROP(2)

static Crew *crew;

enum { WEEKS = 3, PERSONS = 40, ROWS = 1500, STEP_S = 43200 };

/* Times are half days, a few milliseconds more or less of some names; channels are few, and sometimes none.  Some rows say
 * something of persons. */
static void add_random(Kit *k, RowBuffer *b, bool with_ms, uint32_t apart)
{
    const uint32_t event = kit_below(k, 12) == 0 ? PART_PERSON : 1 + kit_below(k, 4);
    const int64_t week_ms = (int64_t)kit_below(k, WEEKS) * PART_WEEK_MS;
    int64_t at_ms = KIT_ORIGIN_MS + week_ms + (int64_t)kit_below(k, 14) * STEP_S * 1000;
    if (with_ms && event != 1 && week_ms > 0)
        at_ms += kit_below(k, 3);
    rows_add(b, at_ms, PART_BLOCK_PERSONS + kit_below(k, PERSONS) * apart, event);
    if (kit_below(k, 4) != 0)
        rows_value(b, CHANNEL, PART_CODES, 0, 1 + kit_below(k, 3));
    if (kit_below(k, 4) != 0)
        rows_value(b, WORTH, PART_NUMBERS, 0, (int64_t)kit_below(k, 100) - 20);
}

/* One part a week, or two that overlap.  `apart`: between the numbers of persons. */
static void open_random(Kit *k, uint64_t seed, uint32_t apart)
{
    *k = (Kit){.ctx.arena = arena_new(1 << 20),
               .random = prng_of(seed),
               .view.person_count = PART_BLOCK_PERSONS + PERSONS * apart};
    const bool with_ms = seed % 2 == 0;
    const uint32_t slices = seed % 3 == 2 ? 2 : 1;
    k->view.parts = ARENA_ARRAY(k->ctx.arena, Part *, (size_t)slices * WEEKS);
    for (uint32_t slice = 0; slice < slices; slice++) {
        RowBuffer b = {0};
        Part **made = NULL;
        uint32_t n = 0;
        for (uint32_t i = 0; i < ROWS / slices; i++)
            add_random(k, &b, with_ms, apart);
        CHECK(rows_build(&k->ctx, &b, KIT_ORIGIN_MS, slice + 1, slice + 2, &made, &n) == ERR_OK);
        for (uint32_t week = 0; week < n; week++)
            k->view.parts[(size_t)week * slices + slice] = made[week];
        k->view.part_count += n;
        rows_free(&b);
    }
    CHECK(k->view.part_count == slices * WEEKS);
}

/* Rows of some persons of the parts so far, or of the first slice only, are dead from here on. */
static void move_some(Kit *k, uint32_t apart)
{
    enum { MOVES = 8 };
    Moved *m = moved_new();
    for (uint32_t i = 0; i < 2 * MOVES; i++)
        m = moved_next(m, PART_BLOCK_PERSONS + kit_below(k, PERSONS) * apart);
    k->view.moved = m;
    for (uint32_t i = 0; i < k->view.part_count; i++)
        k->view.parts[i]->generation = k->view.parts[i]->head->from_seq == 1 ? 0 : MOVES;
    if (kit_below(k, 2) == 0)
        kit_know_dead(k);
}

static const uint32_t NAMES[] = {1, 2, 3, 4};
static const ScanProp BY_CHANNEL[] = {{CHANNEL, 0}, {CHANNEL, 0}};

static ScanSelect some_name(Kit *k)
{
    return (ScanSelect){.events = NAMES + kit_below(k, 3), .event_count = 1 + kit_below(k, 2)};
}

/* ---- funnels ------------------------------------------------------------------------------------------ */

static void expect_same_series(const FunnelSeries *got, const FunnelSeries *want, uint32_t steps)
{
    EXPECT_I64(got->key.values[0], want->key.values[0]);
    for (uint32_t step = 0; step < steps; step++)
        EXPECT_I64((int64_t)got->persons[step], (int64_t)want->persons[step]);
}

/* Who wants times has whole persons looked at. */
static void compare_funnel(Kit *k, const Query *q, Funnel f)
{
    FunnelResult got, want;
    CHECK(query_funnel(&k->ctx, q, &f, &got) == ERR_OK);
    f.times = true;
    CHECK(query_funnel(&k->ctx, q, &f, &want) == ERR_OK);
    expect_same_series(&got.total, &want.total, f.step_count);
    EXPECT_I64(got.count, want.count);
    for (uint32_t i = 0; i < got.count; i++)
        expect_same_series(&got.series[i], &want.series[i], f.step_count);
}

static void random_funnels(void)
{
    for (uint64_t seed = 1; seed <= 24; seed++) {
        Kit k;
        open_random(&k, seed, 1);
        const Query q = {.view = &k.view, .crew = crew};
        for (int round = 0; round < 30; round++) {
            if (round == 15)
                move_some(&k, 1);
            ScanSelect steps[4];
            for (size_t i = 0; i < ARRAY_LEN(steps); i++)
                steps[i] = some_name(&k);
            steps[0].from_ms = KIT_ORIGIN_MS + (int64_t)kit_below(&k, 14) * STEP_S * 1000;
            steps[0].to_ms = steps[0].from_ms + (int64_t)(1 + kit_below(&k, 40)) * STEP_S * 500;
            const bool each = kit_below(&k, 2) == 0;
            compare_funnel(&k, &q,
                           (Funnel){.steps = steps,
                                    .step_count = 1 + kit_below(&k, 4),
                                    .window_ms = (int64_t)(1 + kit_below(&k, 20)) * STEP_S * 1000 +
                                                 (int64_t)kit_below(&k, 3) - 1,
                                    .hold = BY_CHANNEL,
                                    .hold_count = kit_below(&k, 3),
                                    .breakdown = BY_CHANNEL,
                                    .breakdown_count = each ? kit_below(&k, 3) : 0,
                                    .credit = each ? FUNNEL_EACH_STEP : FUNNEL_FIRST_STEP,
                                    .top = 1 + kit_below(&k, 5)});
        }
        kit_close(&k);
    }
}

TEST(funnels_by_starts_are_those_of_whole_persons_where_milliseconds_and_missing_values_decide)
{
    kit_each_kernel_and_crew(random_funnels, &crew);
}

/* ---- touches ------------------------------------------------------------------------------------------ */

/* Two breakdowns by the same have whole persons looked at. */
static void compare_touch(Kit *k, const Query *q, Touch t)
{
    TouchResult got, want;
    t.breakdown = BY_CHANNEL;
    t.breakdown_count = 1;
    CHECK(query_touch(&k->ctx, q, &t, &got) == ERR_OK);
    t.breakdown_count = 2;
    CHECK(query_touch(&k->ctx, q, &t, &want) == ERR_OK);
    EXPECT_I64(got.count, want.count);
    EXPECT_I64((int64_t)got.direct.conversions, (int64_t)want.direct.conversions);
    EXPECT_I64((int64_t)got.total.credit, (int64_t)want.total.credit);
    for (uint32_t i = 0; i < got.count; i++) {
        EXPECT_I64(got.rows[i].key.values[0], want.rows[i].key.values[0]);
        EXPECT_I64((int64_t)got.rows[i].conversions, (int64_t)want.rows[i].conversions);
        EXPECT_I64((int64_t)got.rows[i].credit, (int64_t)want.rows[i].credit);
    }
}

static void random_touches(void)
{
    static const ScanProp worth = {WORTH, 0};
    for (uint64_t seed = 1; seed <= 24; seed++) {
        Kit k;
        open_random(&k, seed, 1);
        const Query q = {.view = &k.view, .crew = crew};
        for (int round = 0; round < 20; round++) {
            if (round == 10)
                move_some(&k, 1);
            Touch t = {.conversion = some_name(&k),
                       .touch = some_name(&k),
                       .look_back_ms =
                           (int64_t)kit_below(&k, 20) * STEP_S * 1000 + (int64_t)kit_below(&k, 3),
                       .model = TOUCH_LAST,
                       .number = kit_below(&k, 3) == 0 ? NULL : &worth,
                       .top = 10};
            t.conversion.from_ms = KIT_ORIGIN_MS + (int64_t)kit_below(&k, 20) * STEP_S * 1000;
            t.conversion.to_ms = t.conversion.from_ms + PART_WEEK_MS;
            compare_touch(&k, &q, t);
        }
        kit_close(&k);
    }
}

TEST(last_touches_alone_earn_what_they_earn_among_all_of_a_person)
{
    kit_each_kernel_and_crew(random_touches, &crew);
}

/* Blocks are so many that several are looked at together, and that most persons have one of their own. */
enum { FAR_APART = 4001 };

static Touch some_touch(Kit *k, const ScanProp *number)
{
    Touch t = {.conversion = some_name(k),
               .touch = some_name(k),
               .look_back_ms = (int64_t)kit_below(k, 20) * STEP_S * 1000,
               .model = TOUCH_LAST,
               .number = number,
               .top = 10};
    t.conversion.from_ms = KIT_ORIGIN_MS + PART_WEEK_MS / 2;
    t.conversion.to_ms = t.conversion.from_ms + 2 * PART_WEEK_MS;
    return t;
}

/* So many touches are held at most that those of one person are not too many, but those of all blocks at hand. */
static void crowded_touches(void)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        Kit k;
        open_random(&k, seed, FAR_APART);
        k.view.batch_rows = 40;
        const Query q = {.view = &k.view, .crew = crew};
        for (int round = 0; round < 4; round++) {
            if (round == 2)
                move_some(&k, FAR_APART);
            compare_touch(&k, &q, some_touch(&k, NULL));
        }
        kit_close(&k);
    }
}

TEST(last_touches_that_are_too_many_for_several_blocks_are_those_of_one_block_after_another)
{
    kit_each_kernel_and_crew(crowded_touches, &crew);
}

/* What is earned is said of persons: as of the conversion. */
static void attributed_touches(void)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        Kit k;
        open_random(&k, seed, FAR_APART);
        if (seed % 2 == 0)
            move_some(&k, FAR_APART);
        const Query q = {.view = &k.view, .crew = crew};
        Changes said = {.value = {WORTH, 0}, .before = SCAN_MISSING};
        const ScanProp worth = {.prop = WORTH, .changes = &said};
        uint64_t count = 0;
        CHECK(query_changes(&k.ctx, &q, &said, &count) == ERR_OK && count > PERSONS);
        for (int round = 0; round < 4; round++)
            compare_touch(&k, &q, some_touch(&k, &worth));
        kit_close(&k);
    }
}

TEST(last_touches_earn_numbers_of_persons_of_several_blocks)
{
    kit_each_kernel_and_crew(attributed_touches, &crew);
}

/* As an import of days without times has them: most touches and conversions have one of another name at their instant. */
static void add_days(Kit *k, RowBuffer *b)
{
    for (uint32_t i = 0; i < 200000; i++) {
        rows_add(b, KIT_ORIGIN_MS + (int64_t)kit_below(k, 7) * 2 * STEP_S * 1000,
                 PART_BLOCK_PERSONS + kit_below(k, 2000), 1 + kit_below(k, 4));
        rows_value(b, CHANNEL, PART_CODES, 0, 1 + kit_below(k, 3));
    }
}

static int64_t touch_us(Kit *k, const Query *q, uint32_t breakdown_count)
{
    const Touch t = {.conversion = {.events = NAMES, .event_count = 2, .to_ms = INT64_MAX / 4},
                     .touch = {.events = NAMES + 2, .event_count = 2},
                     .look_back_ms = PART_WEEK_MS,
                     .breakdown = BY_CHANNEL,
                     .breakdown_count = breakdown_count,
                     .top = 10};
    TouchResult out;
    const int64_t from_us = clock_thread_us();
    CHECK(query_touch(&k->ctx, q, &t, &out) == ERR_OK);
    return clock_thread_us() - from_us;
}

TEST(last_touches_of_events_without_times_cost_about_what_those_of_whole_persons_cost)
{
    enum { TIMES = 10 };
    Kit k = {.ctx.arena = arena_new(1 << 16),
             .random = prng_of(7),
             .view.person_count = 2 * PART_BLOCK_PERSONS};
    RowBuffer b = {0};
    add_days(&k, &b);
    CHECK(rows_build(&k.ctx, &b, KIT_ORIGIN_MS, 1, 2, &k.view.parts, &k.view.part_count) == ERR_OK);
    crew = crew_new(1);
    const Query q = {.view = &k.view, .crew = crew};
    const int64_t whole_us = touch_us(&k, &q, 2);
    CHECK(touch_us(&k, &q, 1) < TIMES * whole_us);
    crew_free(crew);
    rows_free(&b);
    kit_close(&k);
}

/* ---- segments ----------------------------------------------------------------------------------------- */

/* Who asks for days has whole persons looked at: all have at least none. */
static void compare_segment(Kit *k, const Query *q, const ScanSelect *of, SegmentTest *tests,
                            uint32_t count)
{
    static const ScanProp worth = {WORTH, 0};
    static const SegmentRange any = {.to = {.whole = SEGMENT_ENDLESS}};
    Segment leaf = {.kind = SEGMENT_TESTS,
                    .selects = of,
                    .select_count = 1,
                    .props = &worth,
                    .prop_count = 1,
                    .tests = tests,
                    .test_count = count};
    SegmentResult got, want;
    CHECK(query_segment(&k->ctx, q, &leaf, &got) == ERR_OK);
    tests[count] = (SegmentTest){.measure = SEGMENT_DAYS, .ranges = &any, .range_count = 1};
    leaf.test_count = count + 1;
    CHECK(query_segment(&k->ctx, q, &leaf, &want) == ERR_OK);
    EXPECT_I64((int64_t)got.people.count, (int64_t)want.people.count);
    for (uint32_t word = 0; word < k->view.person_count / 64; word++)
        CHECK(got.people.bits[word] == want.people.bits[word]);
}

static SegmentTest some_test(Kit *k, SegmentRange *range)
{
    static const SegmentMeasure measures[] = {SEGMENT_COUNT, SEGMENT_SUM, SEGMENT_AVG, SEGMENT_MIN,
                                              SEGMENT_MAX};
    const SegmentMeasure measure = measures[kit_below(k, ARRAY_LEN(measures))];
    range->from.whole = (int64_t)kit_below(k, measure == SEGMENT_COUNT ? 12 : 60) - 5;
    range->from.part = kit_below(k, 2) * INT64_C(500000000000000000);
    range->to.whole = range->from.whole + 1 + kit_below(k, 200);
    range->without_from = kit_below(k, 2) == 0;
    range->without_to = kit_below(k, 2) == 0;
    return (SegmentTest){.measure = measure,
                         .column = kit_below(k, 8) == 0 ? SEGMENT_ABSENT : 0,
                         .ranges = range,
                         .range_count = 1,
                         .negated = kit_below(k, 3) == 0};
}

/* Persons of one block, and of more blocks than are added up together. */
static void random_segments(void)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        Kit k;
        const uint32_t apart = seed % 4 == 0 ? 1 : 997;
        open_random(&k, seed, apart);
        const Query q = {.view = &k.view, .crew = crew};
        for (int round = 0; round < 30; round++) {
            if (round == 15)
                move_some(&k, apart);
            SegmentRange ranges[4] = {0};
            SegmentTest tests[5];
            const uint32_t count = 1 + kit_below(&k, 4);
            for (uint32_t i = 0; i < count; i++)
                tests[i] = some_test(&k, &ranges[i]);
            ScanSelect of = some_name(&k);
            of.from_ms =
                KIT_ORIGIN_MS + (int64_t)kit_below(&k, 30) * STEP_S * 1000 - kit_below(&k, 3);
            of.to_ms = of.from_ms + (int64_t)(1 + kit_below(&k, 40)) * STEP_S * 500;
            compare_segment(&k, &q, &of, tests, count);
        }
        kit_close(&k);
    }
}

TEST(totals_of_a_segment_take_whom_whole_persons_take_in_however_many_blocks_they_are)
{
    kit_each_kernel_and_crew(random_segments, &crew);
}

static uint64_t count_above(Kit *k, SegmentWide than)
{
    static const ScanProp worth = {WORTH, 0};
    const ScanSelect all = {.events = NAMES, .event_count = 1, .from_ms = 0, .to_ms = INT64_MAX};
    const SegmentRange range = {
        .from = {.whole = than}, .to = {.whole = SEGMENT_ENDLESS}, .without_from = true};
    const SegmentTest test = {
        .measure = SEGMENT_SUM, .column = 0, .ranges = &range, .range_count = 1};
    const Segment leaf = {.kind = SEGMENT_TESTS,
                          .selects = &all,
                          .select_count = 1,
                          .props = &worth,
                          .prop_count = 1,
                          .tests = &test,
                          .test_count = 1};
    SegmentResult got;
    CHECK(query_segment(&k->ctx, &(Query){.view = &k->view, .crew = crew}, &leaf, &got) == ERR_OK);
    return got.people.count;
}

TEST(a_sum_beyond_64_bits_is_compared_all_the_same)
{
    const SegmentWide sum = (SegmentWide)3 * ROWS_NUMBER_MAX;
    Kit k = {.ctx.arena = arena_new(1 << 16), .view.person_count = PART_BLOCK_PERSONS + 2};
    RowBuffer b = {0};
    for (uint32_t i = 0; i < 4; i++) {
        rows_add(&b, KIT_ORIGIN_MS, PART_BLOCK_PERSONS + (i == 3), 1);
        rows_value(&b, WORTH, PART_NUMBERS, 0, ROWS_NUMBER_MAX);
    }
    CHECK(rows_build(&k.ctx, &b, KIT_ORIGIN_MS, 1, 2, &k.view.parts, &k.view.part_count) == ERR_OK);
    crew = crew_new(2);
    EXPECT_I64((int64_t)count_above(&k, sum - 1), 1);
    EXPECT_I64((int64_t)count_above(&k, sum), 0);
    EXPECT_I64((int64_t)count_above(&k, 0), 2);
    crew_free(crew);
    rows_free(&b);
    kit_close(&k);
}

/* ---- sums --------------------------------------------------------------------------------------------- */

/* Of two channels: what is too much for 64 bits, up and down, and again. */
TEST(sums_of_a_trend_go_beyond_64_bits)
{
    static const int64_t bounds[] = {KIT_ORIGIN_MS, KIT_ORIGIN_MS + PART_WEEK_MS};
    Kit k = {.ctx.arena = arena_new(1 << 16), .view.person_count = PART_BLOCK_PERSONS + 2};
    RowBuffer b = {0};
    TrendSum want[2] = {0};
    for (uint32_t i = 0; i < 90; i++) {
        const int64_t number = (i % 3 == 0 ? -1 : 1) * (ROWS_NUMBER_MAX - (int64_t)i);
        rows_add(&b, KIT_ORIGIN_MS + i, PART_BLOCK_PERSONS + i % 2, 1);
        rows_value(&b, CHANNEL, PART_CODES, 0, i % 9 == 0 ? 2 : 1);
        rows_value(&b, WORTH, PART_NUMBERS, 0, number);
        want[i % 9 == 0] += number;
    }
    CHECK(rows_build(&k.ctx, &b, KIT_ORIGIN_MS, 1, 2, &k.view.parts, &k.view.part_count) == ERR_OK);
    crew = crew_new(2);
    const Trend t = {.select = {.events = NAMES, .event_count = 1},
                     .measure = TREND_SUM,
                     .number = {WORTH, 0},
                     .bounds = bounds,
                     .bucket_count = 1,
                     .breakdown = BY_CHANNEL,
                     .breakdown_count = 1,
                     .top = 2};
    TrendResult got;
    CHECK(query_trend(&k.ctx, &(Query){.view = &k.view, .crew = crew}, &t, &got) == ERR_OK);
    CHECK(got.count == 2 && want[0] > INT64_MAX && want[1] < INT64_MIN);
    CHECK(got.series[0].cells[0] == want[0] && got.series[1].cells[0] == want[1]);
    crew_free(crew);
    rows_free(&b);
    kit_close(&k);
}

enum { MANY_ROWS = 1200000, DAY_MS = 86400000 };

/* Of channel 1 and, rarely, 2; most of them on one day, some on the next and before. */
static void sum_many(int64_t least, int64_t most)
{
    static const int64_t bounds[] = {KIT_ORIGIN_MS + DAY_MS, KIT_ORIGIN_MS + 2 * DAY_MS,
                                     KIT_ORIGIN_MS + 4 * DAY_MS};
    Kit k = {.ctx.arena = arena_new(1 << 16),
             .random = prng_of((uint64_t)most),
             .view.person_count = PART_BLOCK_PERSONS + 2};
    RowBuffer b = {0};
    TrendSum want[2][2] = {{0}};
    for (uint32_t i = 0; i < MANY_ROWS; i++) {
        const int64_t begin_ms = i % 50 == 0 ? KIT_ORIGIN_MS : bounds[0];
        const int64_t at_ms = begin_ms + kit_below(&k, DAY_MS / 25 * 26),
                      channel = 1 + (i % 50 == 1);
        const int64_t number = i % 3 == 0 ? least : most;
        rows_add(&b, at_ms, PART_BLOCK_PERSONS + i % 2, 1);
        rows_value(&b, CHANNEL, PART_CODES, 0, channel);
        rows_value(&b, WORTH, PART_NUMBERS, 0, number);
        if (at_ms >= bounds[0] && at_ms < bounds[2])
            want[channel - 1][at_ms >= bounds[1]] += number;
    }
    CHECK(rows_build(&k.ctx, &b, KIT_ORIGIN_MS, 1, 2, &k.view.parts, &k.view.part_count) == ERR_OK);
    static const uint8_t codes[] = {0, 1};
    const Filter first = {.kind = FILTER_CODES, .prop = CHANNEL, .codes = codes, .code_count = 2};
    for (uint32_t kind = 0; kind < 3; kind++) {
        const Trend t = {
            .select = {.events = NAMES, .event_count = 1, .filter = kind == 2 ? &first : NULL},
            .measure = TREND_SUM,
            .number = {WORTH, 0},
            .bounds = bounds,
            .bucket_count = 2,
            .breakdown = BY_CHANNEL,
            .breakdown_count = kind > 0,
            .top = 2};
        TrendResult got;
        CHECK(query_trend(&k.ctx, &(Query){.view = &k.view, .crew = crew}, &t, &got) == ERR_OK);
        EXPECT_I64(got.count, kind == 1 ? 2 : 1);
        for (uint32_t day = 0; day < 2; day++) {
            CHECK(got.series[0].cells[day] == want[0][day] + (kind == 0 ? want[1][day] : 0));
            CHECK(kind != 1 || got.series[1].cells[day] == want[1][day]);
        }
    }
    rows_free(&b);
    kit_close(&k);
}

TEST(sums_of_small_numbers_of_very_many_events_are_whole)
{
    const int64_t small = (1 << 24) - 1;
    crew = crew_new(1);
    sum_many(small, small);
    sum_many(0, small);
    sum_many(2 * small, 2 * small);
    sum_many(5, small);
    sum_many(-1, small);
    crew_free(crew);
}
