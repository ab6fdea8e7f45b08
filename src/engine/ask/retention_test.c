/*
 * engine/ask/retention_test.c -- retention against slow obvious code, on random rows and questions.
 */
#include "engine/ask/retention.h"

#include "engine/engine_testkit.h"

#include <stdlib.h>

static Crew *crew;
static const int64_t HOUR_MS = INT64_C(3600000);

/* ---- the slow way -------------------------------------------------------------------------------- */

/* What is asked of one person: which cell, with what values. */
typedef struct Cell {
    const Retention *r;
    const KitSeries *series;
    uint32_t cohort, column;
    KitRow **rows;
    uint32_t n;
} Cell;

static bool same_values(const Retention *r, const KitRow *a, const KitRow *b)
{
    for (uint32_t v = 0; v < r->breakdown_count; v++) {
        const uint32_t at = r->breakdown[v].prop - PROP_FIRST;
        if (a->values[at] != b->values[at])
            return false;
    }
    return true;
}

/* Whether row i is a start that may open this cohort, whatever came before it in the cohort. */
static bool may_start(const Cell *c, uint32_t i)
{
    const Retention *r = c->r;
    const KitRow *row = c->rows[i];
    if (!kit_takes(&r->start, row) || row->time_ms < r->bounds[c->cohort] ||
        row->time_ms >= r->bounds[c->cohort + 1] || row->time_ms >= r->starts_end_ms ||
        !kit_in_series(c->series, row))
        return false;
    ScanSelect first = r->start;
    if (r->cohort == RETENTION_FIRST_NAMED)
        first.filter = NULL;
    for (uint32_t j = 0; j < i && r->cohort != RETENTION_RECURRING; j++)
        if (kit_takes(&first, c->rows[j]) &&
            (r->cohort != RETENTION_FIRST || c->rows[j]->time_ms >= r->bounds[0]))
            return false;
    return true;
}

/* Row i opens the cohort for its values, or for all: no earlier one does. */
static bool opens(const Cell *c, uint32_t i)
{
    for (uint32_t j = 0; j < i; j++)
        if (may_start(c, j) && (!c->r->same_value || same_values(c->r, c->rows[i], c->rows[j])))
            return false;
    return may_start(c, i);
}

static int64_t edge(const Cell *c, uint32_t start, uint32_t k)
{
    const int64_t from = c->rows[start]->time_ms / HOUR_MS * HOUR_MS;
    return c->r->rolling_ms > 0 ? from + k * c->r->rolling_ms : c->r->bounds[c->cohort + k];
}

/* Whether somebody comes back in interval k; adds the numbers. */
static bool back_in(const Cell *c, uint32_t start, uint32_t k, TrendSum *sum)
{
    bool any = false;
    for (uint32_t j = start + 1; j < c->n; j++) {
        const KitRow *row = c->rows[j];
        if (!kit_takes(&c->r->comes_back, row) || row->time_ms < edge(c, start, k) ||
            row->time_ms >= edge(c, start, k + 1) ||
            (c->r->same_value && !same_values(c->r, row, c->rows[start])))
            continue;
        any = true;
        *sum += row->values[2] == SCAN_MISSING ? 0 : row->values[2];
    }
    return any;
}

static bool is_counted(const Cell *c, uint32_t start, TrendSum *sum)
{
    const Retention *r = c->r;
    const uint32_t left = r->interval_count - c->cohort, z = r->from_zero ? 0 : 1;
    uint32_t first = c->column, last = c->column;
    if (r->comes == RETENTION_ON_OR_AFTER)
        last = left - 1;
    if (r->comes == RETENTION_ON_OR_BEFORE || r->comes == RETENTION_STREAK)
        first = z;
    if (r->comes == RETENTION_BRACKETS) {
        first = r->brackets[c->column].first;
        last = r->brackets[c->column].last;
    } else if (c->column < z || c->column >= left) {
        return false;
    }
    uint32_t found = 0, asked = 0;
    for (uint32_t k = first; k <= last && k < left; k++, asked++)
        found += back_in(c, start, k, sum);
    return found > 0 && (r->comes != RETENTION_STREAK || found == asked);
}

typedef struct Slow {
    uint64_t persons, count;
    TrendSum sum;
} Slow;

static void slow_person(const Cell *c, Slow *slow)
{
    bool is_there = false, counted = false;
    for (uint32_t i = 0; i < c->n; i++) {
        TrendSum sum = 0;
        if (!opens(c, i))
            continue;
        is_there = true;
        if (!is_counted(c, i, &sum))
            continue;
        counted = true;
        slow->sum += sum;
    }
    slow->persons += is_there;
    slow->count += counted;
}

static Slow slow_cell(Kit *k, KitRow **sorted, Cell c)
{
    Slow slow = {0};
    for (uint32_t from = 0, to = 0; from < k->count; from = to) {
        while (to < k->count && sorted[to]->person == sorted[from]->person)
            to++;
        c.rows = sorted + from;
        c.n = to - from;
        if (sorted[from]->person > 0)
            slow_person(&c, &slow);
    }
    return slow;
}

/* `arg`: a Cell; its column QUERY_WHOLE = everybody in the cohort. */
static KitShare share_in_retention(Kit *alone, const void *arg)
{
    Cell c = *(const Cell *)arg;
    const bool whole = c.column == QUERY_WHOLE;
    c.column = whole ? 0 : c.column;
    const Slow slow = slow_cell(alone, kit_sorted(alone), c);
    return (KitShare){(whole ? slow.persons : slow.count) > 0, 0};
}

static void compare_people(Kit *k, const Query *q, const Retention *r, const KitSeries *series,
                           const RetentionResult *got)
{
    if (got->count == 0)
        return;
    const bool whole = kit_below(k, 4) == 0;
    const RetentionBar bar = {kit_below(k, got->count), kit_below(k, r->cohort_count),
                              whole ? QUERY_WHOLE : kit_below(k, got->columns)};
    const RetentionSeries *s = &got->series[bar.series];
    People people;
    CHECK(query_retention_people(&k->ctx, q, r, got, &bar, &people) == ERR_OK);
    kit_expect_people(k, &people, share_in_retention,
                      &(Cell){r, &series[bar.series], bar.cohort, bar.column, NULL, 0});
    EXPECT_I64((int64_t)people.count,
               (int64_t)(whole ? s->persons[bar.cohort]
                               : s->cells[bar.cohort * got->columns + bar.column]));
}

static void compare_series(Kit *k, const Retention *r, const KitSeries *series,
                           const RetentionSeries *got, uint32_t columns)
{
    KitRow **sorted = kit_sorted(k);
    kit_expect_series(series, &got->key, got->starts);
    CHECK((got->sums != NULL) == r->sums);
    for (uint32_t i = 0; i < r->cohort_count; i++)
        for (uint32_t c = 0; c < columns; c++) {
            const Slow want = slow_cell(k, sorted, (Cell){r, series, i, c, NULL, 0});
            EXPECT_I64((int64_t)got->persons[i], (int64_t)want.persons);
            EXPECT_I64((int64_t)got->cells[i * columns + c], (int64_t)want.count);
            CHECK(got->sums == NULL || got->sums[i * columns + c] == want.sum);
        }
}

static void compare_retention(Kit *k, const Query *q, const Retention *r)
{
    RetentionResult got;
    KitSeries *series = NULL;
    ScanSelect select = r->start;
    select.from_ms = r->bounds[0];
    select.to_ms = r->starts_end_ms;
    CHECK(query_retention(&k->ctx, q, r, &got) == ERR_OK);
    EXPECT_I64(got.columns, r->comes == RETENTION_BRACKETS ? r->bracket_count : r->interval_count);
    const uint32_t count =
        kit_series(k, &select, r->breakdown, r->breakdown_count, r->top, &series, &got.distinct);
    EXPECT_I64(got.count, count);
    for (uint32_t s = 0; s < count; s++)
        compare_series(k, r, &series[s], &got.series[s], got.columns);
    for (int i = 0; i < 3; i++)
        compare_people(k, q, r, series, &got);
}

/* ---- random questions ------------------------------------------------------------------------------ */

enum { INTERVALS = 40, BRACKETS = 4 };

/* A question with the room for what it points to. */
typedef struct Random {
    Retention r;
    int64_t bounds[INTERVALS + 1];
    uint32_t events[2][KIT_EVENTS];
    RetentionBracket brackets[BRACKETS];
} Random;

static void random_bounds(Kit *k, const KitShape *shape, Random *q)
{
    Retention *r = &q->r;
    r->bounds = q->bounds;
    r->interval_count = 1 + kit_below(k, kit_below(k, 4) == 0 ? INTERVALS : 8);
    r->cohort_count =
        kit_below(k, 2) == 0 ? r->interval_count : 1 + kit_below(k, r->interval_count);
    q->bounds[0] = KIT_ORIGIN_MS + (int64_t)kit_below(k, 300000000);
    const int64_t step = (int64_t)shape->weeks * PART_WEEK_MS / r->interval_count;
    const bool weeks = kit_below(k, 4) == 0; /* of the parts */
    if (weeks)
        q->bounds[0] = KIT_ORIGIN_MS - PART_WEEK_MS * (int64_t)kit_below(k, 2);
    for (uint32_t b = 1; b <= r->interval_count && weeks; b++)
        q->bounds[b] = q->bounds[b - 1] + PART_WEEK_MS;
    for (uint32_t b = 1; b <= r->interval_count && !weeks; b++)
        q->bounds[b] = q->bounds[b - 1] + 1 + (int64_t)kit_below(k, (uint32_t)step);
    r->starts_end_ms = q->bounds[r->cohort_count];
    if (kit_below(k, 3) == 0)
        r->starts_end_ms -= (r->starts_end_ms - q->bounds[r->cohort_count - 1]) / 2;
}

static void random_question(Kit *k, const KitShape *shape, Random *q)
{
    static const ScanProp props[] = {{KIT_PROP(0), 0}, {KIT_PROP(1), 0}};
    Retention *r = &q->r;
    *q = (Random){.r = {.cohort = (RetentionCohort)kit_below(k, 4),
                        .comes = (RetentionReturn)kit_below(k, 5),
                        .number = {KIT_PROP(2), 2},
                        .breakdown = props,
                        .top = 1 + kit_below(k, 4),
                        .brackets = q->brackets}};
    random_bounds(k, shape, q);
    const bool plain =
        kit_below(k, 2) == 0; /* 64 persons at once, also by what they had at each start */
    if (plain && kit_below(k, 2) == 0) {
        r->cohort = RETENTION_RECURRING;
        r->breakdown_count = 1 + kit_below(k, 2);
    }
    if (!plain) {
        r->from_zero = kit_below(k, 2) == 0;
        r->rolling_ms = kit_below(k, 2) == 0 ? 0 : (int64_t)(1 + kit_below(k, 60)) * HOUR_MS;
        r->sums = kit_below(k, 2) == 0;
        r->breakdown_count = kit_below(k, 3);
        r->same_value = r->breakdown_count > 0 && kit_below(k, 2) == 0;
    }
    for (; r->comes == RETENTION_BRACKETS && r->bracket_count < BRACKETS; r->bracket_count++) {
        RetentionBracket *b = &q->brackets[r->bracket_count];
        b->first = plain + kit_below(k, r->interval_count + 1);
        b->last = b->first + kit_below(k, 5);
    }
    kit_select(k, shape, 1, q->events[0], &r->start);
    kit_select(k, shape, 1, q->events[1], &r->comes_back);
    if (kit_below(k, 3) == 0)
        r->start = (ScanSelect){.events = NULL};
    if (kit_below(k, 3) == 0)
        r->comes_back = r->start;
}

static void ask_random(int rounds, uint64_t seed)
{
    static const KitShape shapes[] = {
        {.rows = 1200, .persons = 100, .events = 4, .weeks = 4, .ties = 20},
        {.rows = 700, .persons = 12, .events = 6, .weeks = 2, .whole_seconds = true},
        {.rows = 1200, .persons = 150000, .events = 300, .weeks = 2}};
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        Kit k;
        kit_open(&k, seed + i, &shapes[i], 3);
        const Query q = {.view = &k.view, .crew = crew};
        for (int round = 0; round < rounds; round++) {
            if (round == rounds / 2)
                kit_move_some(&k);
            Random question;
            random_question(&k, &shapes[i], &question);
            compare_retention(&k, &q, &question.r);
        }
        kit_close(&k);
    }
}

static void random_retentions(void)
{
    ask_random(6, 80);
}

TEST(retention_is_that_of_the_slow_way_with_every_kernel_and_crew)
{
    kit_each_kernel_and_crew(random_retentions, &crew);
}

TEST(retention_is_that_of_the_slow_way_in_very_many_questions)
{
    crew = crew_new(2);
    for (uint64_t seed = 0; seed < 4; seed++)
        ask_random(40, 500 + 10 * seed);
    crew_free(crew);
}

/* ---- by hand --------------------------------------------------------------------------------------- */

enum { DAYS = 6 };

/* The cells of one person who does event 1 at these hours, 1 and 2 being asked for. */
typedef struct Hand {
    RetentionReturn comes;
    bool from_zero;
    int64_t rolling_ms;
    struct {
        uint32_t event, hour;
    } rows[4];
    uint64_t persons, cells[DAYS]; /* of cohort 0 */
} Hand;

static void expect_hand(const Hand *h)
{
    static const uint32_t names[] = {1, 2};
    Kit k = {.ctx.arena = arena_new(1 << 16), .view.person_count = PART_BLOCK_PERSONS + 1};
    RowBuffer b = {0};
    int64_t bounds[DAYS + 1];
    for (uint32_t i = 0; i <= DAYS; i++)
        bounds[i] = KIT_ORIGIN_MS + (int64_t)i * 24 * HOUR_MS;
    for (size_t i = 0; i < ARRAY_LEN(h->rows); i++) {
        const int64_t at = bounds[0] + (int64_t)h->rows[i].hour * HOUR_MS + 1800000;
        rows_add(&b, at, PART_BLOCK_PERSONS, h->rows[i].event);
        rows_add(&b, at, 0, h->rows[i].event); /* nobody */
    }
    CHECK(rows_build(&k.ctx, &b, KIT_ORIGIN_MS, 1, 2, &k.view.parts, &k.view.part_count) == ERR_OK);
    crew = crew_new(1);
    const Retention r = {.start = {.events = names, .event_count = 1},
                         .comes_back = {.events = names + 1, .event_count = 1},
                         .bounds = bounds,
                         .interval_count = DAYS,
                         .cohort_count = DAYS,
                         .starts_end_ms = bounds[DAYS],
                         .comes = h->comes,
                         .from_zero = h->from_zero,
                         .rolling_ms = h->rolling_ms};
    RetentionResult got;
    CHECK(query_retention(&k.ctx, &(Query){.view = &k.view, .crew = crew}, &r, &got) == ERR_OK);
    EXPECT_I64((int64_t)got.series[0].persons[0], (int64_t)h->persons);
    for (uint32_t c = 0; c < DAYS; c++)
        EXPECT_I64((int64_t)got.series[0].cells[c], (int64_t)h->cells[c]);
    crew_free(crew);
    rows_free(&b);
    kit_close(&k);
}

TEST(a_return_counts_in_calendar_days_or_in_days_from_the_hour_of_the_start)
{
    static const int64_t DAY = INT64_C(86400000);
    static const Hand hands[] = {
        /* started in hour 20 of day 0; back in hours 2 and 21 of day 1, and in hour 90, of day 3 */
        {RETENTION_ON, false, 0, {{1, 20}, {2, 26}, {2, 45}, {2, 90}}, 1, {0, 1, 0, 1, 0, 0}},
        {RETENTION_ON, true, 0, {{1, 20}, {2, 26}, {2, 45}, {2, 90}}, 1, {0, 1, 0, 1, 0, 0}},
        {RETENTION_ON, true, DAY, {{1, 20}, {2, 26}, {2, 45}, {2, 90}}, 1, {1, 1, 1, 0, 0, 0}},
        {RETENTION_ON, false, DAY, {{1, 20}, {2, 26}, {2, 45}, {2, 90}}, 1, {0, 1, 1, 0, 0, 0}},
        {RETENTION_STREAK, false, 0, {{1, 20}, {2, 26}, {2, 45}, {2, 90}}, 1, {0, 1, 0, 0, 0, 0}},
        {RETENTION_STREAK, true, DAY, {{1, 20}, {2, 26}, {2, 45}, {2, 90}}, 1, {1, 1, 1, 0, 0, 0}},
        {RETENTION_ON_OR_AFTER,
         false,
         0,
         {{1, 20}, {2, 26}, {2, 45}, {2, 90}},
         1,
         {0, 1, 1, 1, 0, 0}},
        {RETENTION_ON_OR_BEFORE,
         false,
         0,
         {{1, 20}, {2, 2}, {2, 90}, {2, 90}},
         1,
         {0, 0, 0, 1, 1, 1}},
        /* a return before the start is none, at the same instant the order of arrival counts */
        {RETENTION_ON, true, 0, {{2, 20}, {1, 20}, {1, 21}, {1, 22}}, 1, {0, 0, 0, 0, 0, 0}},
        {RETENTION_ON, true, 0, {{1, 20}, {2, 20}, {1, 21}, {1, 22}}, 1, {1, 0, 0, 0, 0, 0}},
        {RETENTION_ON, true, 0, {{2, 20}, {2, 30}, {2, 40}, {1, 50}}, 0, {0, 0, 0, 0, 0, 0}}};
    for (size_t i = 0; i < ARRAY_LEN(hands); i++)
        expect_hand(&hands[i]);
}

TEST(a_retention_beyond_the_limits_is_refused)
{
    const KitShape shape = {.rows = 10, .persons = 10, .events = 2, .weeks = 1};
    Kit k;
    kit_open(&k, 91, &shape, 1);
    crew = crew_new(1);
    const Query q = {.view = &k.view, .crew = crew};
    const int64_t bounds[] = {0, 1000};
    static const RetentionBracket turned[] = {{2, 1}};
    const Retention bad[] = {
        {.bounds = bounds},
        {.bounds = bounds, .interval_count = QUERY_INTERVALS_MAX + 1, .cohort_count = 1},
        {.bounds = bounds, .interval_count = 1},
        {.bounds = bounds, .interval_count = 1, .cohort_count = 2},
        {.bounds = bounds, .interval_count = 1, .cohort_count = 1, .starts_end_ms = 1001},
        {.bounds = bounds, .interval_count = 1, .cohort_count = 1, .comes = RETENTION_BRACKETS},
        {.bounds = bounds,
         .interval_count = 1,
         .cohort_count = 1,
         .comes = RETENTION_BRACKETS,
         .brackets = turned,
         .bracket_count = 1},
        {.bounds = bounds, .interval_count = 1, .cohort_count = 1, .breakdown_count = 4},
        {.bounds = bounds,
         .interval_count = 1,
         .cohort_count = 1,
         .breakdown_count = 1,
         .top = QUERY_GROUPS_MAX + 1},
        {.bounds = bounds,
         .interval_count = QUERY_INTERVALS_MAX,
         .cohort_count = QUERY_INTERVALS_MAX,
         .breakdown_count = 1,
         .top = 1}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        RetentionResult got;
        EXPECT_I64(query_retention(&k.ctx, &q, &bad[i], &got), ERR_INVALID);
        EXPECT_STREQ(k.ctx.fault.reason, "query.too_large");
    }
    crew_free(crew);
    kit_close(&k);
}
