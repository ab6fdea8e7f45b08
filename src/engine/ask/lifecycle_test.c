/*
 * engine/ask/lifecycle_test.c -- lifecycles against slow obvious code, on random rows and questions.
 */
#include "engine/ask/lifecycle.h"

#include "engine/engine_testkit.h"

#include <stdlib.h>

static Crew *crew;

/* Whether one of the person's rows of the series lies in [from, to). */
static bool has_row(const Lifecycle *l, const KitSeries *series, KitRow **rows, uint32_t n,
                    int64_t from, int64_t to)
{
    for (uint32_t i = 0; i < n; i++)
        if (kit_takes(&l->select, rows[i]) && kit_in_series(series, rows[i]) &&
            rows[i]->time_ms >= from && rows[i]->time_ms < to)
            return true;
    return false;
}

/* Looks again at all rows for each thing that it wants to know. */
static void slow_life(const Lifecycle *l, const KitSeries *series, KitRow **rows, uint32_t n,
                      LifecycleRow *out)
{
    const int64_t *at = l->bounds;
    for (uint32_t i = 0; i < l->interval_count; i++) {
        const bool now = has_row(l, series, rows, n, at[i], at[i + 1]);
        const bool before = i > 0 && has_row(l, series, rows, n, at[i - 1], at[i]);
        const uint32_t first = l->look_back == 0 || l->look_back > i ? 0 : i - l->look_back;
        const bool seen = has_row(l, series, rows, n, at[first], at[i]);
        out[i].fresh += now && !seen;
        out[i].returning += now && before;
        out[i].resurrecting += now && !before && seen;
        out[i].dormant += before && !now;
    }
}

typedef struct SlowBar {
    const Lifecycle *l;
    const KitSeries *series;
    LifecycleBar bar;
} SlowBar;

static uint64_t number_of(const LifecycleRow *row, LifecycleState state)
{
    const uint64_t numbers[] = {row->fresh, row->returning, row->resurrecting, row->dormant};
    return numbers[state];
}

static KitShare share_in_lifecycle(Kit *alone, const void *arg)
{
    const SlowBar *b = arg;
    LifecycleRow *rows = ARENA_ARRAY(alone->ctx.arena, LifecycleRow, b->l->interval_count);
    slow_life(b->l, b->series, kit_sorted(alone), alone->count, rows);
    return (KitShare){number_of(&rows[b->bar.interval], b->bar.state) > 0, 0};
}

static void compare_people(Kit *k, const Query *q, const Lifecycle *l, const KitSeries *series,
                           const LifecycleResult *got)
{
    if (got->count == 0)
        return;
    const LifecycleBar bar = {kit_below(k, got->count), kit_below(k, l->interval_count),
                              (LifecycleState)kit_below(k, LIFECYCLE_STATES)};
    People people;
    CHECK(query_lifecycle_people(&k->ctx, q, l, got, &bar, &people) == ERR_OK);
    kit_expect_people(k, &people, share_in_lifecycle, &(SlowBar){l, &series[bar.series], bar});
    EXPECT_I64((int64_t)people.count,
               (int64_t)number_of(&got->series[bar.series].rows[bar.interval], bar.state));
}

static void compare_series(Kit *k, const Lifecycle *l, const KitSeries *series,
                           const LifecycleSeries *got)
{
    LifecycleRow *want = ARENA_ARRAY(k->ctx.arena, LifecycleRow, l->interval_count);
    KitRow **sorted = kit_sorted(k);
    for (uint32_t from = 0, to = 0; from < k->count; from = to) {
        while (to < k->count && sorted[to]->person == sorted[from]->person)
            to++;
        if (sorted[from]->person > 0)
            slow_life(l, series, sorted + from, to - from, want);
    }
    CHECK(memcmp(got->rows, want, l->interval_count * sizeof *want) == 0);
    kit_expect_series(series, &got->key, got->events);
}

static void compare_lifecycle(Kit *k, const Query *q, const Lifecycle *l)
{
    LifecycleResult got;
    KitSeries *series = NULL;
    ScanSelect select = l->select;
    select.from_ms = l->bounds[0];
    select.to_ms = l->bounds[l->interval_count];
    CHECK(query_lifecycle(&k->ctx, q, l, &got) == ERR_OK);
    const uint32_t count =
        kit_series(k, &select, l->breakdown, l->breakdown_count, l->top, &series, &got.distinct);
    EXPECT_I64(got.count, count);
    for (uint32_t s = 0; s < count; s++)
        compare_series(k, l, &series[s], &got.series[s]);
    for (int i = 0; i < 3; i++)
        compare_people(k, q, l, series, &got);
}

static void random_lifecycles(void)
{
    static const ScanProp props[] = {{KIT_PROP(0), 0}, {KIT_PROP(1), 0}};
    static const KitShape shapes[] = {
        {.rows = 2000, .persons = 150, .events = 4, .weeks = 4, .ties = 20},
        {.rows = 1500, .persons = 12, .events = 40, .weeks = 3, .whole_seconds = true},
        {.rows = 2000, .persons = 150000, .events = 300, .weeks = 2}};
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        Kit k;
        kit_open(&k, 85 + i, &shapes[i], 3);
        const Query q = {.view = &k.view, .crew = crew};
        for (int round = 0; round < 20; round++) {
            if (round == 10)
                kit_move_some(&k);
            uint32_t events[KIT_EVENTS];
            int64_t bounds[80];
            Lifecycle l = {.bounds = bounds,
                           .interval_count = 1 + kit_below(&k, kit_below(&k, 4) == 0 ? 79 : 9),
                           .breakdown = props,
                           .breakdown_count = kit_below(&k, 2) * kit_below(&k, 3),
                           .top = 1 + kit_below(&k, 4)};
            l.look_back = kit_below(&k, kit_below(&k, 2) == 0 ? 5 : l.interval_count + 2);
            bounds[0] = KIT_ORIGIN_MS + (int64_t)kit_below(&k, 300000000);
            const bool weeks = kit_below(&k, 4) == 0; /* of the parts */
            if (weeks)
                bounds[0] = KIT_ORIGIN_MS - PART_WEEK_MS;
            for (uint32_t b = 1; b <= l.interval_count && weeks; b++)
                bounds[b] = bounds[b - 1] + PART_WEEK_MS;
            for (uint32_t b = 1; b <= l.interval_count && !weeks; b++)
                bounds[b] =
                    bounds[b - 1] + 1 + (int64_t)kit_below(&k, 3 * PART_WEEK_MS / l.interval_count);
            kit_select(&k, &shapes[i], 1, events, &l.select);
            if (weeks && kit_below(&k, 2) == 0)
                l.select = (ScanSelect){.events = NULL};
            compare_lifecycle(&k, &q, &l);
        }
        kit_close(&k);
    }
}

TEST(lifecycles_are_those_of_the_slow_way_with_every_kernel_and_crew)
{
    kit_each_kernel_and_crew(random_lifecycles, &crew);
}

TEST(a_person_lives_through_every_state_and_nobody_is_not_one)
{
    /* Active in intervals 1, 2, 5 and 8 of 9. */
    static const struct {
        uint32_t look_back;
        LifecycleRow rows[9];
    } want[] = {
        {0,
         {{0},
          {.fresh = 1},
          {.returning = 1},
          {.dormant = 1},
          {0},
          {.resurrecting = 1},
          {.dormant = 1},
          {0},
          {.resurrecting = 1}}},
        {3,
         {{0},
          {.fresh = 1},
          {.returning = 1},
          {.dormant = 1},
          {0},
          {.resurrecting = 1},
          {.dormant = 1},
          {0},
          {.resurrecting = 1}}},
        {2,
         {{0},
          {.fresh = 1},
          {.returning = 1},
          {.dormant = 1},
          {0},
          {.fresh = 1},
          {.dormant = 1},
          {0},
          {.fresh = 1}}},
    };
    static const uint32_t active[] = {1, 2, 5, 8};
    Kit k = {.ctx.arena = arena_new(1 << 16), .view.person_count = PART_BLOCK_PERSONS + 1};
    RowBuffer b = {0};
    int64_t bounds[10];
    for (uint32_t i = 0; i < ARRAY_LEN(bounds); i++)
        bounds[i] = KIT_ORIGIN_MS + (int64_t)i * 3600000;
    for (uint32_t i = 0; i < ARRAY_LEN(active); i++) {
        rows_add(&b, bounds[active[i]], PART_BLOCK_PERSONS, 1);
        rows_add(&b, bounds[i], 0, 1); /* nobody */
    }
    CHECK(rows_build(&k.ctx, &b, KIT_ORIGIN_MS, 1, 2, &k.view.parts, &k.view.part_count) == ERR_OK);
    crew = crew_new(1);
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        const Lifecycle l = {.bounds = bounds, .interval_count = 9, .look_back = want[i].look_back};
        LifecycleResult got;
        CHECK(query_lifecycle(&k.ctx, &(Query){.view = &k.view, .crew = crew}, &l, &got) == ERR_OK);
        CHECK(memcmp(got.series[0].rows, want[i].rows, sizeof want[i].rows) == 0);
    }
    crew_free(crew);
    rows_free(&b);
    kit_close(&k);
}

TEST(a_lifecycle_beyond_the_limits_is_refused)
{
    const KitShape shape = {.rows = 10, .persons = 10, .events = 2, .weeks = 1};
    Kit k;
    kit_open(&k, 91, &shape, 1);
    crew = crew_new(1);
    const Query q = {.view = &k.view, .crew = crew};
    const int64_t bounds[] = {0, 1000};
    const Lifecycle bad[] = {
        {.bounds = bounds},
        {.bounds = bounds, .interval_count = QUERY_INTERVALS_MAX + 1},
        {.bounds = bounds, .interval_count = 1, .breakdown_count = QUERY_BREAKDOWNS_MAX + 1},
        {.bounds = bounds, .interval_count = 1, .breakdown_count = 1, .top = QUERY_GROUPS_MAX + 1},
        {.bounds = bounds,
         .interval_count = QUERY_INTERVALS_MAX,
         .breakdown_count = 1,
         .top = QUERY_CELLS_MAX / QUERY_INTERVALS_MAX}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        LifecycleResult got;
        EXPECT_I64(query_lifecycle(&k.ctx, &q, &bad[i], &got), ERR_INVALID);
        EXPECT_STREQ(k.ctx.fault.reason, "query.too_large");
    }
    crew_free(crew);
    kit_close(&k);
}

/* Of two channels, by minutes of one week: one has events before the range only, and no series. */
static void ask_of_two_channels(const Query *q, Kit *k, const uint32_t *names, uint32_t series)
{
    int64_t bounds[QUERY_INTERVALS_MAX + 1];
    const ScanProp channel = {KIT_PROP(0), 0};
    for (uint32_t i = 0; i <= QUERY_INTERVALS_MAX; i++)
        bounds[i] = KIT_ORIGIN_MS + (int64_t)(i + 1) * 60000;
    const Lifecycle l = {.select = {.events = names, .event_count = 1},
                         .bounds = bounds,
                         .interval_count = QUERY_INTERVALS_MAX,
                         .breakdown = &channel,
                         .breakdown_count = 1,
                         .top = 3};
    LifecycleResult got;
    CHECK(query_lifecycle(&k->ctx, q, &l, &got) == ERR_OK);
    EXPECT_I64(got.count, series);
    for (uint32_t s = 0; s < got.count; s++)
        EXPECT_I64((int64_t)got.series[s].rows[0].fresh, PART_BLOCK_PERSONS);
}

static void values_before_the_range(void)
{
    static const uint32_t first[] = {1}, second[] = {2};
    Kit k = {.ctx.arena = arena_new(1 << 16), .view.person_count = 2 * PART_BLOCK_PERSONS};
    RowBuffer b = {0};
    for (uint32_t i = 0; i < PART_BLOCK_PERSONS; i++) {
        rows_add(&b, KIT_ORIGIN_MS, PART_BLOCK_PERSONS + i, 1); /* before it */
        rows_value(&b, KIT_PROP(0), PART_CODES, 0, 2);
        rows_add(&b, KIT_ORIGIN_MS, PART_BLOCK_PERSONS + i, 2);
        rows_value(&b, KIT_PROP(0), PART_CODES, 0, 2 + (i & 1));
        rows_add(&b, KIT_ORIGIN_MS + 60000, PART_BLOCK_PERSONS + i, 1);
        rows_value(&b, KIT_PROP(0), PART_CODES, 0, 1);
    }
    CHECK(rows_build(&k.ctx, &b, KIT_ORIGIN_MS, 1, 2, &k.view.parts, &k.view.part_count) == ERR_OK);
    const Query q = {.view = &k.view, .crew = crew};
    ask_of_two_channels(&q, &k, first, 1);
    ask_of_two_channels(&q, &k, second, 0);
    rows_free(&b);
    kit_close(&k);
}

TEST(values_that_only_events_outside_the_range_have_are_of_no_series_of_lives)
{
    kit_each_kernel_and_crew(values_before_the_range, &crew);
}
