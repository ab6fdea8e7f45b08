/*
 * engine/ask/trend_test.c -- trends and stickiness against slow obvious code, on random rows and questions.
 */
#include "engine/ask/funnel.h"

#include "base/clock.h"
#include "engine/ask/trend.h"
#include "engine/engine_testkit.h"

#include <stdlib.h>
#include <time.h>

static Crew *crew;

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
    return kit_takes(&t->select, r) && r->time_ms >= t->bounds[0] &&
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

static bool is_in_cell(const Trend *t, const KitRow *r, const SlowSeries *series, uint32_t s,
                       uint32_t top, int64_t from_ms, int64_t to_ms)
{
    return kit_takes(&t->select, r) && r->time_ms >= from_ms && r->time_ms < to_ms &&
           belongs(t, r, series, s, top);
}

static int64_t number_of_row(const Trend *t, const KitRow *r)
{
    return r->values[t->number.prop - PROP_FIRST];
}

/* The numbers that a measure is of, of the cell's rows: of each event or of each person. */
static uint32_t slow_numbers(Kit *k, const Trend *t, KitRow **rows, uint32_t n, TrendSum *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        const int64_t number = number_of_row(t, rows[i]);
        const bool counts = t->of == TREND_OF_PERSON_EVENTS;
        uint32_t before = 0;
        if (!counts && number == SCAN_MISSING)
            continue;
        if (t->of == TREND_OF_EVENT) {
            out[count++] = number;
            continue;
        }
        while (before < i && (rows[before]->person != rows[i]->person ||
                              (!counts && number_of_row(t, rows[before]) == SCAN_MISSING)))
            before++;
        if (before < i) /* the person's first row has all of them */
            continue;
        out[count] = 0;
        for (uint32_t j = i; j < n; j++)
            if (rows[j]->person == rows[i]->person)
                out[count] += counts ? 1
                              : number_of_row(t, rows[j]) == SCAN_MISSING
                                  ? 0
                                  : number_of_row(t, rows[j]);
        count++;
    }
    (void)k;
    return count;
}

static int by_number(const void *a, const void *b)
{
    const TrendSum x = *(const TrendSum *)a, y = *(const TrendSum *)b;
    return (x > y) - (x < y);
}

static TrendSum slow_percentile(const TrendSum *sorted, uint32_t n, uint32_t bps)
{
    TrendSum weighted = 0;
    for (uint32_t i = 0; i < n; i++) { /* how near the place is to the number's, if less than one */
        const int64_t away = (int64_t)(n - 1) * bps - (int64_t)i * 10000;
        const int64_t near = 10000 - (away < 0 ? -away : away);
        weighted += near > 0 ? sorted[i] * near : 0;
    }
    return weighted;
}

/* The least value that so large a share does not exceed. */
static TrendSum slow_nearest(const TrendSum *sorted, uint32_t n, uint32_t bps)
{
    uint32_t i = 0;
    while ((uint64_t)(i + 1) * 10000 < (uint64_t)n * bps)
        i++;
    return sorted[i] * 10000;
}

static uint32_t slow_distinct(const TrendSum *sorted, uint32_t n)
{
    uint32_t distinct = 0;
    for (uint32_t i = 0; i < n; i++)
        distinct += i == 0 || sorted[i] != sorted[i - 1];
    return distinct;
}

static uint32_t slow_persons(KitRow **rows, uint32_t n)
{
    uint32_t persons = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t before = 0;
        while (before < i && rows[before]->person != rows[i]->person)
            before++;
        persons += before == i;
    }
    return persons;
}

static TrendSum sum_of(const TrendSum *numbers, uint32_t n)
{
    TrendSum sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += numbers[i];
    return sum;
}

/* What stands in the cell, and what it is divided by. */
static TrendSum slow_cell(Kit *k, const Trend *t, const SlowSeries *series, uint32_t s,
                          uint32_t top, uint32_t bucket, uint64_t *of)
{
    KitRow **rows = malloc((k->count + 1) * sizeof *rows);
    TrendSum *numbers = malloc((k->count + 1) * sizeof *numbers);
    const bool so_far = t->measure == TREND_PERSONS_SO_FAR;
    const uint32_t rolls = t->rolling > bucket ? bucket : t->rolling == 0 ? 0 : t->rolling - 1;
    uint32_t n = 0;
    for (uint32_t i = 0; i < k->count; i++)
        if (is_in_cell(t, &k->rows[i], series, s, top, t->bounds[so_far ? 0 : bucket - rolls],
                       t->bounds[bucket + 1]))
            rows[n++] = &k->rows[i];
    const uint32_t count = t->measure >= TREND_SUM ? slow_numbers(k, t, rows, n, numbers) : 0;
    qsort(numbers, count, sizeof *numbers, by_number);
    *of = t->measure == TREND_AVERAGE ? count : t->measure == TREND_PERCENTILE ? 10000 : 1;
    *of = count == 0 ? 0 : *of;
    const TrendSum cell = t->measure == TREND_EVENTS              ? n
                          : t->measure == TREND_PERSONS || so_far ? slow_persons(rows, n)
                          : t->measure == TREND_SUM || t->measure == TREND_AVERAGE
                              ? sum_of(numbers, count)
                          : t->measure == TREND_DISTINCT ? slow_distinct(numbers, count)
                          : count == 0                   ? 0
                          : t->measure == TREND_MIN      ? numbers[0]
                          : t->measure == TREND_MAX      ? numbers[count - 1]
                          : t->nearest_rank ? slow_nearest(numbers, count, t->percentile_bps)
                                            : slow_percentile(numbers, count, t->percentile_bps);
    free(rows);
    free(numbers);
    return cell;
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
            if (!kit_takes(&t->select, r) || r->time_ms < t->bounds[bucket] ||
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
                       TrendSum *cells, uint64_t *of)
{
    if (t->measure == TREND_STICKINESS) {
        slow_stickiness(k, t, series, s, top, cells);
        return;
    }
    for (uint32_t bucket = 0; bucket < t->bucket_count; bucket++)
        cells[bucket] = slow_cell(k, t, series, s, top, bucket, &of[bucket]);
}

/* ---- who is in a cell ---------------------------------------------------------------------------- */

typedef struct SlowBar {
    const Trend *t;
    const SlowSeries *series;
    uint32_t top;
    TrendBar bar;
} SlowBar;

static bool counts_persons(const Trend *t)
{
    return t->measure == TREND_PERSONS || t->measure == TREND_PERSONS_SO_FAR ||
           t->measure == TREND_STICKINESS;
}

/* A person who is alone is counted, or not; what the person has is a sum of one, an average of it. */
static KitShare share_in_trend(Kit *alone, const void *arg)
{
    const SlowBar *b = arg;
    Trend t = *b->t;
    const bool values = t.measure > TREND_SUM && t.of == TREND_OF_EVENT;
    if (t.of != TREND_OF_EVENT && alone->rows[0].person == 0)
        return (KitShare){false, 0};
    if (!counts_persons(&t)) {
        t.of = t.measure == TREND_EVENTS ? TREND_OF_PERSON_EVENTS : t.of;
        t.measure = TREND_AVERAGE;
    }
    TrendSum *cells = ARENA_ARRAY(alone->ctx.arena, TrendSum, t.bucket_count);
    uint64_t *of = ARENA_ARRAY(alone->ctx.arena, uint64_t, t.bucket_count);
    slow_cells(alone, &t, b->series, b->bar.series, b->top, cells, of);
    TrendSum cell = cells[b->bar.cell];
    for (uint32_t i = b->bar.cell + 1; b->bar.at_least && i < t.bucket_count; i++)
        cell += cells[i];
    if (counts_persons(b->t))
        return (KitShare){cell > 0, 0};
    return (KitShare){of[b->bar.cell] > 0, values ? of[b->bar.cell] : cell};
}

static TrendSum sum_from(const TrendSeries *s, uint32_t cell, uint32_t end)
{
    TrendSum sum = 0;
    for (uint32_t i = cell; i < end; i++)
        sum += s->cells[i];
    return sum;
}

static void compare_people(Kit *k, const Query *q, const Trend *t, const SlowSeries *series,
                           uint32_t top, const TrendResult *got)
{
    if (got->count == 0)
        return;
    const TrendBar bar = {kit_below(k, got->count), kit_below(k, t->bucket_count),
                          t->measure == TREND_STICKINESS && kit_below(k, 2) == 0};
    People people;
    CHECK(query_trend_people(&k->ctx, q, t, got, &bar, &people) == ERR_OK);
    kit_expect_people(k, &people, share_in_trend, &(SlowBar){t, series, top, bar});
    const TrendSum cell =
        sum_from(&got->series[bar.series], bar.cell, bar.at_least ? t->bucket_count : bar.cell + 1);
    if (counts_persons(t))
        CHECK(people.amounts == NULL && (TrendSum)people.count == cell);
    else if (t->measure == TREND_EVENTS || t->measure == TREND_SUM)
        CHECK(people.amount + people.nobodys == cell);
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
        CHECK(got.series[s].key.is_other == other);
        for (uint32_t b = 0; b < t->breakdown_count && !other; b++)
            EXPECT_I64(got.series[s].key.values[b], series[s].values[b]);
        TrendSum *cells = ARENA_ARRAY(k->ctx.arena, TrendSum, t->bucket_count);
        uint64_t *of = ARENA_ARRAY(k->ctx.arena, uint64_t, t->bucket_count);
        slow_cells(k, t, series, s, top, cells, of);
        CHECK(memcmp(got.series[s].cells, cells, t->bucket_count * sizeof *cells) == 0);
        CHECK((got.series[s].of != NULL) == (t->measure >= TREND_AVERAGE));
        CHECK(got.series[s].of == NULL ||
              memcmp(got.series[s].of, of, t->bucket_count * sizeof *of) == 0);
    }
    compare_people(k, q, t, series, top, &got);
}

/* Every measure but stickiness; numbers are property 2, distinct values those of any but the widest. */
static Trend random_measure(Kit *k)
{
    static const TrendMeasure measures[] = {TREND_EVENTS,   TREND_EVENTS,         TREND_PERSONS,
                                            TREND_PERSONS,  TREND_PERSONS_SO_FAR, TREND_SUM,
                                            TREND_DISTINCT, TREND_AVERAGE,        TREND_MIN,
                                            TREND_MAX,      TREND_PERCENTILE,     TREND_PERCENTILE};
    static const uint32_t percentiles[] = {0, 2500, 5000, 9990, 10000};
    Trend t = {.measure = measures[kit_below(k, ARRAY_LEN(measures))],
               .number = {KIT_PROP(2), 2},
               .percentile_bps = percentiles[kit_below(k, ARRAY_LEN(percentiles))],
               .nearest_rank = kit_below(k, 2) == 0};
    if (t.measure >= TREND_AVERAGE)
        t.of = (TrendOf)kit_below(k, 3);
    if (t.measure == TREND_PERSONS && kit_below(k, 3) > 0)
        t.rolling = kit_below(k, kit_below(k, 2) == 0 ? 12 : 100);
    if (t.measure == TREND_DISTINCT && kit_below(k, 3) > 0)
        t.number = (ScanProp){KIT_PROP(kit_below(k, 2)), 0};
    return t;
}

enum { TREND_BUCKETS = 9, MANY_BUCKETS = 80 };

static int by_time(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Bounds anywhere, at whole seconds or minutes, some at a row's. */
static void random_bounds(Kit *k, Trend *t, int64_t *bounds)
{
    static const int64_t units[] = {1, 1000, 60000};
    const bool many = kit_below(k, 3) == 0;
    const int64_t unit = units[kit_below(k, ARRAY_LEN(units))];
    const uint32_t seconds = (1 + kit_below(k, 3)) * 604800;
    const int64_t from_ms = KIT_ORIGIN_MS + (int64_t)kit_below(k, 300000) * 1000;
    t->bucket_count = 1 + kit_below(k, many ? MANY_BUCKETS : TREND_BUCKETS);
    for (uint32_t b = 0; b <= t->bucket_count; b++) {
        const int64_t at_ms = from_ms + (int64_t)kit_below(k, seconds) * 1000 + kit_below(k, 1000);
        bounds[b] = kit_below(k, 2) == 0 ? k->rows[kit_below(k, k->count)].time_ms : at_ms;
        bounds[b] -= bounds[b] % unit;
    }
    qsort(bounds, t->bucket_count + 1, sizeof *bounds, by_time);
    for (uint32_t b = 1; b <= t->bucket_count; b++)
        bounds[b] = bounds[b] > bounds[b - 1] ? bounds[b] : bounds[b - 1] + unit;
    t->bounds = bounds;
}

static void random_trends(void)
{
    static const struct {
        KitShape shape;
        int rounds;
    } of[] = {
        {{.rows = 1500, .persons = 4000, .events = 8, .weeks = 3, .ties = 10}, 60},
        {{.rows = 600, .persons = 60, .events = 400, .weeks = 2, .whole_seconds = true}, 60},
        {{.rows = 900, .persons = 150000, .events = 2, .weeks = 2, .ties = 50}, 30},
    };
    static const ScanProp props[] = {{KIT_PROP(0), 0}, {KIT_PROP(1), 0}};
    for (size_t i = 0; i < ARRAY_LEN(of); i++) {
        Kit k;
        kit_open(&k, 50 + i, &of[i].shape, 3);
        if (i == 2)
            kit_merge(&k, 3);
        const Query q = {.view = &k.view, .crew = crew};
        for (int round = 0; round < of[i].rounds; round++) {
            if (round == of[i].rounds / 2)
                kit_move_some(&k);
            uint32_t events[3];
            int64_t bounds[MANY_BUCKETS + 1];
            Trend t = random_measure(&k);
            random_bounds(&k, &t, bounds);
            t.breakdown = props;
            t.breakdown_count = kit_below(&k, 3);
            t.top = 1 + kit_below(&k, 6);
            t.select.filter = kit_below(&k, 2) == 0 ? NULL : kit_filter(&k, 2);
            if (kit_below(&k, 3) > 0) {
                t.select.events = events;
                t.select.event_count = kit_events(&k, &of[i].shape, events);
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

/* The series of one question are those of another; whoever is in none of them is another. */
static void same_series(void)
{
    static const KitShape shape = {.rows = 1200, .persons = 3000, .events = 5, .weeks = 2};
    static const ScanProp props[] = {{KIT_PROP(0), 0}, {KIT_PROP(1), 0}};
    const int64_t bounds[] = {KIT_ORIGIN_MS, KIT_ORIGIN_MS + 86400000 * 6,
                              KIT_ORIGIN_MS + 86400000 * 12};
    Kit k;
    kit_open(&k, 59, &shape, 2);
    const Query q = {.view = &k.view, .crew = crew};
    for (uint32_t round = 0; round < 20; round++) {
        uint32_t event = 1 + kit_below(&k, shape.events);
        TrendResult one, other;
        Trend t = {.bounds = bounds, .bucket_count = 2, .breakdown = props, .top = 3};
        t.breakdown_count = 1 + kit_below(&k, 2);
        t.select = (ScanSelect){.events = &event, .event_count = 1};
        CHECK(query_trend(&k.ctx, &q, &t, &one) == ERR_OK);
        t.same_as = one.series;
        t.top = one.count - (one.count > 0 && one.series[one.count - 1].key.is_other);
        t.measure = round % 2 == 0 ? TREND_EVENTS : TREND_PERSONS;
        t.select.filter = kit_filter(&k, 1);
        event = 1 + kit_below(&k, shape.events);
        CHECK(query_trend(&k.ctx, &q, &t, &other) == ERR_OK);
        EXPECT_I64(other.count, t.top + 1);
        CHECK(other.series[t.top].key.is_other);
        SlowSeries series[3];
        for (uint32_t s = 0; s < t.top; s++)
            memcpy(series[s].values, one.series[s].key.values, sizeof series[s].values);
        for (uint32_t s = 0; s <= t.top; s++)
            for (uint32_t b = 0; b < 2; b++) {
                uint64_t of = 0;
                CHECK(other.series[s].cells[b] == slow_cell(&k, &t, series, s, t.top, b, &of));
            }
    }
    kit_close(&k);
}

TEST(series_that_are_said_beforehand_are_those_of_the_slow_way)
{
    crew = crew_new(2);
    kit_each_kernel(same_series);
    crew_free(crew);
}

static TrendResult trend_of_two(Kit *k, const Trend *t)
{
    TrendResult got;
    crew = crew_new(1);
    CHECK(query_trend(&k->ctx, &(Query){.view = &k->view, .crew = crew}, t, &got) == ERR_OK);
    crew_free(crew);
    return got;
}

/* At one instant; person 0 is nobody. */
static void open_numbers(Kit *k, RowBuffer *b, const uint32_t *persons, const int64_t *numbers,
                         uint32_t n)
{
    *k = (Kit){.ctx.arena = arena_new(1 << 20), .view.person_count = PART_BLOCK_PERSONS + 2};
    for (uint32_t i = 0; i < n; i++) {
        rows_add(b, KIT_ORIGIN_MS, persons[i] == 0 ? 0 : PART_BLOCK_PERSONS + persons[i] - 1, 1);
        if (numbers[i] != SCAN_MISSING)
            rows_value(b, KIT_PROP(2), PART_NUMBERS, 0, numbers[i]);
    }
    CHECK(rows_build(&k->ctx, b, KIT_ORIGIN_MS, 1, 2, &k->view.parts, &k->view.part_count) ==
          ERR_OK);
}

TEST(nobody_is_never_in_a_list_of_people_but_what_is_nobodys_is_told)
{
    Kit k;
    const int64_t bounds[] = {KIT_ORIGIN_MS, KIT_ORIGIN_MS + 1000};
    const int64_t numbers[] = {100, 7, -7, 3, SCAN_MISSING};
    const uint32_t persons[] = {0, 1, 1, 2, 2};
    static const struct {
        TrendMeasure measure;
        TrendOf of;
        int64_t amounts[2], nobodys;
    } want[] = {{TREND_EVENTS, TREND_OF_EVENT, {2, 2}, 1},
                {TREND_SUM, TREND_OF_EVENT, {0, 3}, 100},
                {TREND_DISTINCT, TREND_OF_EVENT, {2, 1}, 1},
                {TREND_MAX, TREND_OF_EVENT, {2, 1}, 1},
                {TREND_AVERAGE, TREND_OF_PERSON_EVENTS, {2, 2}, 0},
                {TREND_PERCENTILE, TREND_OF_PERSON_SUM, {0, 3}, 0}};
    RowBuffer b = {0};
    open_numbers(&k, &b, persons, numbers, ARRAY_LEN(numbers));
    crew = crew_new(2);
    const Query q = {.view = &k.view, .crew = crew};
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        const Trend t = {.measure = want[i].measure,
                         .of = want[i].of,
                         .number = {KIT_PROP(2), 0},
                         .bounds = bounds,
                         .bucket_count = 1};
        TrendResult r;
        People people;
        CHECK(query_trend(&k.ctx, &q, &t, &r) == ERR_OK);
        CHECK(query_trend_people(&k.ctx, &q, &t, &r, &(TrendBar){.series = 0}, &people) == ERR_OK);
        EXPECT_I64((int64_t)people.count, 2);
        EXPECT_I64(people_next(&people, 0), PART_BLOCK_PERSONS);
        for (uint32_t p = 0; p < 2; p++)
            EXPECT_I64(people.amounts[PART_BLOCK_PERSONS + p], want[i].amounts[p]);
        EXPECT_I64((int64_t)people.nobodys, want[i].nobodys);
        EXPECT_I64((int64_t)people.amount, want[i].amounts[0] + want[i].amounts[1]);
    }
    crew_free(crew);
    rows_free(&b);
    kit_close(&k);
}

TEST(nobody_is_no_person_of_an_average_per_person_but_in_one_of_events)
{
    Kit k;
    const int64_t bounds[] = {KIT_ORIGIN_MS, KIT_ORIGIN_MS + 1000};
    const int64_t numbers[] = {100, 7, 1, 3, SCAN_MISSING};
    const uint32_t persons[] = {0, 1, 1, 2, 2};
    RowBuffer b = {0};
    open_numbers(&k, &b, persons, numbers, ARRAY_LEN(numbers));
    Trend t = {.measure = TREND_AVERAGE,
               .number = {KIT_PROP(2), 0},
               .bounds = bounds,
               .bucket_count = 1,
               .top = 1};
    TrendResult got = trend_of_two(&k, &t);
    CHECK(got.series[0].cells[0] == 111 && got.series[0].of[0] == 4);
    t.of = TREND_OF_PERSON_EVENTS;
    got = trend_of_two(&k, &t);
    CHECK(got.series[0].cells[0] == 4 && got.series[0].of[0] == 2);
    t.of = TREND_OF_PERSON_SUM;
    got = trend_of_two(&k, &t);
    CHECK(got.series[0].cells[0] == 11 && got.series[0].of[0] == 2);
    rows_free(&b);
    kit_close(&k);
}

TEST(a_persons_sum_beyond_all_numbers_is_an_error_and_no_number)
{
    Kit k = {.ctx.arena = arena_new(1 << 20), .view.person_count = PART_BLOCK_PERSONS + 1};
    const int64_t bounds[] = {KIT_ORIGIN_MS, KIT_ORIGIN_MS + 5000};
    RowBuffer b = {0};
    TrendResult got;
    for (uint32_t i = 0; i < 3; i++) {
        rows_add(&b, KIT_ORIGIN_MS + (int64_t)i * 1000, PART_BLOCK_PERSONS, 1);
        rows_value(&b, KIT_PROP(2), PART_NUMBERS, 0, INT64_MAX / 2);
    }
    CHECK(rows_build(&k.ctx, &b, KIT_ORIGIN_MS, 1, 2, &k.view.parts, &k.view.part_count) == ERR_OK);
    crew = crew_new(1);
    const Trend t = {.measure = TREND_MAX,
                     .of = TREND_OF_PERSON_SUM,
                     .number = {KIT_PROP(2), 0},
                     .bounds = bounds,
                     .bucket_count = 1,
                     .top = 1};
    const Query q = {.view = &k.view, .crew = crew};
    CHECK(query_trend(&k.ctx, &q, &t, &got) == ERR_INVALID);
    CHECK(str_eq(str_of(k.ctx.fault.reason), STR("query.too_large")));
    Trend sum = t;
    People people;
    sum.measure = TREND_SUM;
    sum.of = TREND_OF_EVENT;
    k.ctx.fault = (Fault){0};
    CHECK(query_trend(&k.ctx, &q, &sum, &got) == ERR_OK);
    CHECK(query_trend_people(&k.ctx, &q, &sum, &got, &(TrendBar){.series = 0}, &people) ==
          ERR_INVALID);
    CHECK(str_eq(str_of(k.ctx.fault.reason), STR("query.too_large")));
    crew_free(crew);
    rows_free(&b);
    kit_close(&k);
}

/* More rows of one event, block and week than are looked at together. */
static void long_lists(void)
{
    static const KitShape shape = {.rows = 20000, .persons = 40, .events = 1, .weeks = 1};
    static const ScanProp by = {KIT_PROP(0), 0};
    Kit k;
    kit_open(&k, 58, &shape, 1);
    const Query q = {.view = &k.view, .crew = crew};
    const int64_t bounds[] = {KIT_ORIGIN_MS, KIT_ORIGIN_MS + 2 * 86400000,
                              KIT_ORIGIN_MS + 4 * 86400000};
    for (uint32_t breakdown = 0; breakdown < 2; breakdown++)
        for (int m = TREND_EVENTS; m <= TREND_PERCENTILE; m++) {
            Trend t = {.measure = (TrendMeasure)m,
                       .number = {KIT_PROP(2), 2},
                       .percentile_bps = 5000,
                       .bounds = bounds,
                       .bucket_count = 2,
                       .breakdown = &by,
                       .breakdown_count = breakdown,
                       .top = 3};
            t.select.filter = kit_filter(&k, 1);
            compare_trend(&k, &q, &t);
        }
    kit_close(&k);
}

TEST(trends_of_a_list_longer_than_a_strip_are_those_of_the_slow_way)
{
    crew = crew_new(2);
    kit_each_kernel(long_lists);
    crew_free(crew);
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
            if (round == 7)
                kit_move_some(&k);
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
                t.select.event_count = kit_events(&k, &shapes[i], events);
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
    crew_free(crew);
    kit_close(&k);
}
