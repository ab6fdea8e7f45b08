/*
 * engine/query_test.c -- every kind of question against slow obvious code, on random rows and questions.
 */
#include "engine/funnel.h"

#include "base/clock.h"
#include "engine/engine_testkit.h"

#include <stdlib.h>
#include <time.h>

static Crew *crew;

static uint32_t random_events(Kit *k, const KitShape *shape, uint32_t *events)
{
    const uint32_t n = 1 + kit_below(k, 3);
    for (uint32_t i = 0; i < n; i++)
        events[i] = 1 + kit_below(k, shape->events);
    for (uint32_t i = 1; i < n; i++) /* ascending */
        for (uint32_t j = i; j > 0 && events[j] < events[j - 1]; j--) {
            const uint32_t kept = events[j];
            events[j] = events[j - 1];
            events[j - 1] = kept;
        }
    return n;
}

static bool takes(const ScanSelect *s, const KitRow *r)
{
    bool named = s->events == NULL;
    for (uint32_t i = 0; i < s->event_count; i++)
        named = named || s->events[i] == r->event;
    return named && (s->filter == NULL || kit_fulfils(s->filter, r));
}

/* ---- trends -------------------------------------------------------------------------------------- */

typedef struct SlowSeries {
    int64_t values[QUERY_BREAKDOWNS_MAX];
    uint64_t events;
} SlowSeries;

static int by_events(const void *a, const void *b)
{
    const SlowSeries *x = a, *y = b;
    if (x->events != y->events)
        return x->events < y->events ? 1 : -1;
    return memcmp(x->values, y->values, sizeof x->values) == 0 ? 0
           : x->values[0] != y->values[0] ? (x->values[0] < y->values[0] ? -1 : 1)
                                          : (x->values[1] < y->values[1] ? -1 : 1);
}

static bool is_of(const Trend *t, const KitRow *r, const int64_t *values)
{
    for (uint32_t b = 0; b < t->breakdown_count; b++)
        if (r->values[t->breakdown[b].prop - PROP_FIRST] != values[b])
            return false;
    return true;
}

static bool in_buckets(const Trend *t, const KitRow *r)
{
    return takes(&t->select, r) && r->time_ms >= t->bounds[0] &&
           r->time_ms < t->bounds[t->bucket_count];
}

static uint32_t slow_series(Kit *k, const Trend *t, SlowSeries **out)
{
    SlowSeries *found = ARENA_ARRAY(k->ctx.arena, SlowSeries, k->count + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < k->count; i++) {
        if (!in_buckets(t, &k->rows[i]))
            continue;
        uint32_t at = 0;
        while (at < n && !is_of(t, &k->rows[i], found[at].values))
            at++;
        for (uint32_t b = 0; at == n && b < t->breakdown_count; b++)
            found[n].values[b] = k->rows[i].values[t->breakdown[b].prop - PROP_FIRST];
        n += at == n;
        found[at].events++;
    }
    qsort(found, n, sizeof *found, by_events);
    *out = found;
    return n;
}

/* Series s of the list, or everything behind `top`. */
static bool belongs(const Trend *t, const KitRow *r, const SlowSeries *series, uint32_t s,
                    uint32_t top)
{
    if (t->breakdown_count == 0)
        return true;
    if (s < top)
        return is_of(t, r, series[s].values);
    for (uint32_t i = 0; i < top; i++)
        if (is_of(t, r, series[i].values))
            return false;
    return true;
}

static TrendSum slow_cell(Kit *k, const Trend *t, const SlowSeries *series, uint32_t s,
                          uint32_t top, uint32_t bucket)
{
    TrendSum sum = 0;
    uint8_t *seen = ARENA_ARRAY(k->ctx.arena, uint8_t, k->view.person_count);
    for (uint32_t i = 0; i < k->count; i++) {
        const KitRow *r = &k->rows[i];
        if (!takes(&t->select, r) || r->time_ms < t->bounds[bucket] ||
            r->time_ms >= t->bounds[bucket + 1] || !belongs(t, r, series, s, top))
            continue;
        const int64_t number = r->values[2];
        if (t->measure == TREND_SUM)
            sum += number == SCAN_MISSING ? 0 : (TrendSum)number;
        else if (t->measure == TREND_EVENTS || seen[r->person] == 0)
            sum++;
        seen[r->person] = 1;
    }
    return sum;
}

/* In how many buckets each person is. */
static void slow_stickiness(Kit *k, const Trend *t, const SlowSeries *series, uint32_t s,
                            uint32_t top, TrendSum *cells)
{
    uint32_t *counts = ARENA_ARRAY(k->ctx.arena, uint32_t, k->view.person_count);
    uint32_t *last = ARENA_ARRAY(k->ctx.arena, uint32_t, k->view.person_count);
    for (uint32_t bucket = 0; bucket < t->bucket_count; bucket++)
        for (uint32_t i = 0; i < k->count; i++) {
            const KitRow *r = &k->rows[i];
            if (!takes(&t->select, r) || r->time_ms < t->bounds[bucket] ||
                r->time_ms >= t->bounds[bucket + 1] || last[r->person] == bucket + 1 ||
                !belongs(t, r, series, s, top))
                continue;
            last[r->person] = bucket + 1;
            counts[r->person]++;
        }
    for (uint32_t p = 0; p < k->view.person_count; p++)
        if (counts[p] > 0)
            cells[counts[p] - 1]++;
}

static void slow_cells(Kit *k, const Trend *t, const SlowSeries *series, uint32_t s, uint32_t top,
                       TrendSum *cells)
{
    if (t->measure == TREND_STICKINESS) {
        slow_stickiness(k, t, series, s, top, cells);
        return;
    }
    for (uint32_t bucket = 0; bucket < t->bucket_count; bucket++)
        cells[bucket] = slow_cell(k, t, series, s, top, bucket);
}

static void compare_trend(Kit *k, const Query *q, const Trend *t)
{
    TrendResult got;
    SlowSeries *series = NULL;
    CHECK(query_trend(&k->ctx, q, t, &got) == ERR_OK);
    const uint32_t distinct = slow_series(k, t, &series);
    const uint32_t top = distinct < t->top ? distinct : t->top;
    const uint32_t want = t->breakdown_count == 0 ? 1 : top + (top < distinct);
    EXPECT_I64(got.count, want);
    for (uint32_t s = 0; s < got.count; s++) {
        const bool other = t->breakdown_count > 0 && s == top;
        CHECK(got.series[s].is_other == other);
        for (uint32_t b = 0; b < t->breakdown_count && !other; b++)
            EXPECT_I64(got.series[s].values[b], series[s].values[b]);
        TrendSum *cells = ARENA_ARRAY(k->ctx.arena, TrendSum, t->bucket_count);
        slow_cells(k, t, series, s, top, cells);
        CHECK(memcmp(got.series[s].cells, cells, t->bucket_count * sizeof *cells) == 0);
    }
}

static void random_trends(void)
{
    static const KitShape shapes[] = {
        {.rows = 1500, .persons = 4000, .events = 8, .weeks = 3, .ties = 10},
        {.rows = 600, .persons = 60, .events = 400, .weeks = 2, .whole_seconds = true}};
    static const ScanProp props[] = {{KIT_PROP(0), 0}, {KIT_PROP(1), 0}};
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        Kit k;
        kit_open(&k, 50 + i, &shapes[i], 3);
        const Query q = {.view = &k.view, .crew = crew};
        for (int round = 0; round < 25; round++) {
            uint32_t events[3];
            int64_t bounds[10];
            const bool whole_minutes = kit_below(&k, 2) == 0;
            bounds[0] = KIT_ORIGIN_MS + (int64_t)kit_below(&k, 700000) * 1000;
            for (size_t b = 1; b < ARRAY_LEN(bounds); b++)
                bounds[b] = bounds[b - 1] + 1 + (int64_t)kit_below(&k, 90 * 3600 * 1000);
            for (size_t b = 0; whole_minutes && b < ARRAY_LEN(bounds); b++)
                bounds[b] = bounds[b] / 60000 * 60000 + (int64_t)b * 60000;
            Trend t = {.measure = (TrendMeasure)kit_below(&k, 3),
                       .number = {KIT_PROP(2), 2},
                       .bounds = bounds,
                       .bucket_count = 1 + kit_below(&k, ARRAY_LEN(bounds) - 1),
                       .breakdown = props,
                       .breakdown_count = kit_below(&k, 3),
                       .top = 1 + kit_below(&k, 6)};
            t.select.filter = kit_below(&k, 2) == 0 ? NULL : kit_filter(&k, 2);
            if (kit_below(&k, 3) > 0) {
                t.select.events = events;
                t.select.event_count = random_events(&k, &shapes[i], events);
            }
            compare_trend(&k, &q, &t);
        }
        kit_close(&k);
    }
}

TEST(trends_are_those_of_the_slow_way_with_every_kernel_and_crew)
{
    kit_each_kernel_and_crew(random_trends, &crew);
}

/* ---- stickiness ---------------------------------------------------------------------------------- */

/* Many buckets, and few persons who are in many of them. */
static void random_stickiness(void)
{
    static const KitShape shapes[] = {
        {.rows = 1500, .persons = 4000, .events = 8, .weeks = 3, .ties = 10},
        {.rows = 2000, .persons = 12, .events = 40, .weeks = 3, .whole_seconds = true}};
    static const ScanProp props[] = {{KIT_PROP(0), 0}, {KIT_PROP(1), 0}};
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        Kit k;
        kit_open(&k, 60 + i, &shapes[i], 3);
        const Query q = {.view = &k.view, .crew = crew};
        for (int round = 0; round < 15; round++) {
            uint32_t events[3];
            int64_t bounds[301];
            const uint32_t count = 1 + kit_below(&k, kit_below(&k, 2) == 0 ? 300 : 9);
            const int64_t step_ms = 3 * PART_WEEK_MS / count;
            bounds[0] = KIT_ORIGIN_MS + (int64_t)kit_below(&k, 300000) * 1000;
            for (uint32_t b = 1; b <= count; b++)
                bounds[b] = bounds[b - 1] + 1 + (int64_t)kit_below(&k, (uint32_t)step_ms);
            Trend t = {.measure = TREND_STICKINESS,
                       .bounds = bounds,
                       .bucket_count = count,
                       .breakdown = props,
                       .breakdown_count = kit_below(&k, 3),
                       .top = 1 + kit_below(&k, 4)};
            t.select.filter = kit_below(&k, 2) == 0 ? NULL : kit_filter(&k, 2);
            if (kit_below(&k, 3) > 0) {
                t.select.events = events;
                t.select.event_count = random_events(&k, &shapes[i], events);
            }
            compare_trend(&k, &q, &t);
        }
        kit_close(&k);
    }
}

TEST(stickiness_is_that_of_the_slow_way_with_every_kernel_and_crew)
{
    kit_each_kernel_and_crew(random_stickiness, &crew);
}

TEST(a_person_who_comes_in_all_of_the_most_buckets_is_counted_there)
{
    Kit k = {.ctx.arena = arena_new(1 << 20), .view.person_count = PART_BLOCK_PERSONS + 1};
    RowBuffer b = {0};
    int64_t bounds[QUERY_BUCKETS_MAX + 1];
    for (uint32_t i = 0; i <= QUERY_BUCKETS_MAX; i++)
        bounds[i] = KIT_ORIGIN_MS + (int64_t)i * 60000;
    for (uint32_t i = 0; i < QUERY_BUCKETS_MAX; i++) {
        rows_add(&b, bounds[i], PART_BLOCK_PERSONS, 1);
        rows_add(&b, bounds[i], 0, 1); /* nobody */
    }
    CHECK(rows_build(&k.ctx, &b, KIT_ORIGIN_MS, 1, 2, &k.view.parts, &k.view.part_count) == ERR_OK);
    crew = crew_new(1);
    const Trend t = {
        .measure = TREND_STICKINESS, .bounds = bounds, .bucket_count = QUERY_BUCKETS_MAX, .top = 1};
    TrendResult got;
    CHECK(query_trend(&k.ctx, &(Query){.view = &k.view, .crew = crew}, &t, &got) == ERR_OK);
    EXPECT_I64(got.count, 1);
    CHECK(got.series[0].cells[QUERY_BUCKETS_MAX - 1] == 1);
    for (uint32_t n = 1; n < QUERY_BUCKETS_MAX; n++)
        CHECK(got.series[0].cells[n - 1] == 0);
    crew_free(crew);
    rows_free(&b);
    kit_close(&k);
}

/* ---- retention ----------------------------------------------------------------------------------- */

/* Whether one of the person's rows that the select takes lies in [from, to). */
static bool has_row(const ScanSelect *s, KitRow **rows, uint32_t n, int64_t from, int64_t to)
{
    for (uint32_t i = 0; i < n; i++)
        if (takes(s, rows[i]) && rows[i]->time_ms >= from && rows[i]->time_ms < to)
            return true;
    return false;
}

static void slow_person(const Retention *r, KitRow **rows, uint32_t n, uint64_t *cells)
{
    for (uint32_t i = 0; i < r->interval_count; i++) {
        if (!has_row(&r->start, rows, n, r->bounds[i], r->bounds[i + 1]))
            continue;
        if (r->cohort == RETENTION_FIRST && has_row(&r->start, rows, n, r->bounds[0], r->bounds[i]))
            continue;
        cells[i * r->interval_count]++;
        for (uint32_t k = 1; i + k < r->interval_count; k++) {
            const int64_t to =
                r->comes == RETENTION_ON ? r->bounds[i + k + 1] : r->bounds[r->interval_count];
            cells[i * r->interval_count + k] +=
                has_row(&r->comes_back, rows, n, r->bounds[i + k], to);
        }
    }
}

static void compare_retention(Kit *k, const Query *q, const Retention *r)
{
    RetentionResult got;
    CHECK(query_retention(&k->ctx, q, r, &got) == ERR_OK);
    const size_t cells = (size_t)r->interval_count * r->interval_count;
    uint64_t *want = ARENA_ARRAY(k->ctx.arena, uint64_t, cells);
    KitRow **sorted = kit_sorted(k);
    for (uint32_t from = 0, to = 0; from < k->count; from = to) {
        while (to < k->count && sorted[to]->person == sorted[from]->person)
            to++;
        slow_person(r, sorted + from, to - from, want);
    }
    CHECK(memcmp(got.cells, want, cells * sizeof *want) == 0);
}

static void random_retentions(void)
{
    static const KitShape shapes[] = {
        {.rows = 2000, .persons = 150, .events = 4, .weeks = 4, .ties = 20},
        {.rows = 2000, .persons = 5000, .events = 300, .weeks = 2}};
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        Kit k;
        kit_open(&k, 80 + i, &shapes[i], 3);
        const Query q = {.view = &k.view, .crew = crew};
        for (int round = 0; round < 20; round++) {
            uint32_t events[2][3];
            int64_t bounds[80];
            Retention r = {.bounds = bounds,
                           .interval_count = 1 + kit_below(&k, kit_below(&k, 4) == 0 ? 79 : 9),
                           .cohort = (RetentionCohort)kit_below(&k, 2),
                           .comes = (RetentionReturn)kit_below(&k, 2)};
            ScanSelect *selects[] = {&r.start, &r.comes_back};
            bounds[0] = KIT_ORIGIN_MS + (int64_t)kit_below(&k, 300000000);
            for (uint32_t b = 1; b <= r.interval_count; b++)
                bounds[b] =
                    bounds[b - 1] + 1 + (int64_t)kit_below(&k, 2 * PART_WEEK_MS / r.interval_count);
            for (size_t s = 0; s < ARRAY_LEN(selects); s++) {
                selects[s]->filter = kit_below(&k, 2) == 0 ? NULL : kit_filter(&k, 1);
                if (kit_below(&k, 3) == 0)
                    continue;
                selects[s]->events = events[s];
                selects[s]->event_count = random_events(&k, &shapes[i], events[s]);
            }
            compare_retention(&k, &q, &r);
        }
        kit_close(&k);
    }
}

TEST(retention_is_that_of_the_slow_way_with_every_kernel_and_crew)
{
    kit_each_kernel_and_crew(random_retentions, &crew);
}

/* ---- lifecycle ----------------------------------------------------------------------------------- */

/* Looks again at all rows for each thing that it wants to know. */
static void slow_life(const Lifecycle *l, KitRow **rows, uint32_t n, LifecycleRow *out)
{
    const int64_t *at = l->bounds;
    for (uint32_t i = 0; i < l->interval_count; i++) {
        const bool now = has_row(&l->select, rows, n, at[i], at[i + 1]);
        const bool before = i > 0 && has_row(&l->select, rows, n, at[i - 1], at[i]);
        const uint32_t first = l->look_back == 0 || l->look_back > i ? 0 : i - l->look_back;
        const bool seen = has_row(&l->select, rows, n, at[first], at[i]);
        out[i].fresh += now && !seen;
        out[i].returning += now && before;
        out[i].resurrecting += now && !before && seen;
        out[i].dormant += before && !now;
    }
}

static void compare_lifecycle(Kit *k, const Query *q, const Lifecycle *l)
{
    LifecycleResult got;
    CHECK(query_lifecycle(&k->ctx, q, l, &got) == ERR_OK);
    LifecycleRow *want = ARENA_ARRAY(k->ctx.arena, LifecycleRow, l->interval_count);
    KitRow **sorted = kit_sorted(k);
    for (uint32_t from = 0, to = 0; from < k->count; from = to) {
        while (to < k->count && sorted[to]->person == sorted[from]->person)
            to++;
        slow_life(l, sorted + from, to - from, want);
    }
    CHECK(memcmp(got.rows, want, l->interval_count * sizeof *want) == 0);
}

static void random_lifecycles(void)
{
    static const KitShape shapes[] = {
        {.rows = 2000, .persons = 150, .events = 4, .weeks = 4, .ties = 20},
        {.rows = 1500, .persons = 12, .events = 40, .weeks = 3, .whole_seconds = true},
        {.rows = 2000, .persons = 5000, .events = 300, .weeks = 2}};
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        Kit k;
        kit_open(&k, 85 + i, &shapes[i], 3);
        const Query q = {.view = &k.view, .crew = crew};
        for (int round = 0; round < 20; round++) {
            uint32_t events[3];
            int64_t bounds[80];
            Lifecycle l = {.bounds = bounds,
                           .interval_count = 1 + kit_below(&k, kit_below(&k, 4) == 0 ? 79 : 9)};
            l.look_back = kit_below(&k, kit_below(&k, 2) == 0 ? 5 : l.interval_count + 2);
            bounds[0] = KIT_ORIGIN_MS + (int64_t)kit_below(&k, 300000000);
            for (uint32_t b = 1; b <= l.interval_count; b++)
                bounds[b] =
                    bounds[b - 1] + 1 + (int64_t)kit_below(&k, 3 * PART_WEEK_MS / l.interval_count);
            l.select.filter = kit_below(&k, 2) == 0 ? NULL : kit_filter(&k, 1);
            if (kit_below(&k, 3) > 0) {
                l.select.events = events;
                l.select.event_count = random_events(&k, &shapes[i], events);
            }
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
        CHECK(memcmp(got.rows, want[i].rows, sizeof want[i].rows) == 0);
    }
    crew_free(crew);
    rows_free(&b);
    kit_close(&k);
}

/* ---- limits -------------------------------------------------------------------------------------- */

TEST(a_query_ends_at_its_deadline_or_when_it_is_stopped)
{
    const KitShape shape = {.rows = 3000, .persons = 100000, .events = 5, .weeks = 1};
    Kit k;
    kit_open(&k, 90, &shape, 1);
    crew = crew_new(2);
    const atomic_bool stop = true;
    const ScanSelect any = {.from_ms = 0, .to_ms = INT64_MAX};
    const Funnel f = {.steps = &any, .step_count = 1};
    FunnelResult got;
    Query q = {.view = &k.view, .crew = crew, .until_us = clock_mono_us()};
    EXPECT_I64(query_funnel(&k.ctx, &q, &f, &got), ERR_BUSY);
    EXPECT_STREQ(k.ctx.fault.reason, "query.deadline");
    q = (Query){.view = &k.view, .crew = crew, .stop = &stop};
    EXPECT_I64(query_funnel(&k.ctx, &q, &f, &got), ERR_CONFLICT);
    EXPECT_STREQ(k.ctx.fault.reason, "query.stopped");
    q = (Query){.view = &k.view, .crew = crew, .until_us = clock_mono_us() + 60000000};
    EXPECT_I64(query_funnel(&k.ctx, &q, &f, &got), ERR_OK);
    crew_free(crew);
    kit_close(&k);
}

TEST(a_question_beyond_the_limits_is_refused)
{
    const KitShape shape = {.rows = 10, .persons = 10, .events = 2, .weeks = 1};
    Kit k;
    kit_open(&k, 91, &shape, 1);
    crew = crew_new(1);
    const Query q = {.view = &k.view, .crew = crew};
    const int64_t bounds[] = {0, 1000};
    TrendResult trend;
    const Trend trends[] = {
        {.bounds = bounds, .bucket_count = 0},
        {.bounds = bounds, .bucket_count = QUERY_BUCKETS_MAX + 1},
        {.bounds = bounds, .bucket_count = 1, .top = QUERY_GROUPS_MAX + 1},
        {.bounds = bounds, .bucket_count = 1, .breakdown_count = QUERY_BREAKDOWNS_MAX + 1},
        {.bounds = bounds, .bucket_count = QUERY_BUCKETS_MAX, .top = 100}};
    for (size_t i = 0; i < ARRAY_LEN(trends); i++) {
        EXPECT_I64(query_trend(&k.ctx, &q, &trends[i], &trend), ERR_INVALID);
        EXPECT_STREQ(k.ctx.fault.reason, "query.too_large");
    }
    RetentionResult retention;
    const Retention no_intervals = {.bounds = bounds};
    const Retention too_many = {.bounds = bounds, .interval_count = QUERY_INTERVALS_MAX + 1};
    EXPECT_I64(query_retention(&k.ctx, &q, &no_intervals, &retention), ERR_INVALID);
    EXPECT_I64(query_retention(&k.ctx, &q, &too_many, &retention), ERR_INVALID);
    LifecycleResult lifecycle;
    const Lifecycle no_life = {.bounds = bounds};
    const Lifecycle long_life = {.bounds = bounds, .interval_count = QUERY_INTERVALS_MAX + 1};
    EXPECT_I64(query_lifecycle(&k.ctx, &q, &no_life, &lifecycle), ERR_INVALID);
    EXPECT_I64(query_lifecycle(&k.ctx, &q, &long_life, &lifecycle), ERR_INVALID);
    crew_free(crew);
    kit_close(&k);
}
