/*
 * engine/ask/session_test.c -- sessions against slow obvious code, on random rows and questions.
 */
#include "engine/ask/session.h"

#include "engine/engine_testkit.h"

#include <stdlib.h>

static Crew *crew;

#define DAY INT64_C(86400000)

/* ---- the slow way -------------------------------------------------------------------------------- */

typedef struct SlowSession {
    uint32_t person, events, first, last;
    int64_t start_ms, end_ms, value;
} SlowSession;

static bool takes(const Sessions *s, const KitRow *r)
{
    bool named = s->of.events == NULL;
    for (uint32_t i = 0; i < s->of.event_count; i++)
        named = named || s->of.events[i] == r->event;
    return r->person != 0 && named && (s->of.filter == NULL || kit_fulfils(s->of.filter, r)) &&
           r->time_ms >= s->bounds[0] - s->max_ms && r->time_ms < s->bounds[s->bucket_count] + DAY;
}

/* Of codes, as one number that is larger when they are, the first one first. */
static int64_t mixed(const int64_t *values, uint32_t count)
{
    int64_t value = 0;
    for (uint32_t i = 0; i < count; i++)
        value = value * 1000000 + (values[i] == SCAN_MISSING ? 0 : values[i] + 1);
    return value;
}

static uint32_t slow_sessions(Kit *k, const Sessions *s, SlowSession **out)
{
    KitRow **sorted = kit_sorted(k);
    SlowSession *all = ARENA_ARRAY(k->ctx.arena, SlowSession, k->count + 1);
    uint32_t n = 0, kept = 0;
    for (uint32_t i = 0; i < k->count; i++) {
        const KitRow *r = sorted[i];
        if (!takes(s, r))
            continue;
        SlowSession *open = n > 0 ? &all[n - 1] : NULL;
        if (open == NULL || open->person != r->person || r->time_ms > open->end_ms + s->gap_ms ||
            r->time_ms >= open->start_ms + s->max_ms) {
            all[n++] = (SlowSession){.person = r->person,
                                     .first = r->event,
                                     .start_ms = r->time_ms,
                                     .value = mixed(r->values, s->breakdown_count)};
            open = &all[n - 1];
        }
        open->events++;
        open->last = r->event;
        open->end_ms = r->time_ms;
    }
    for (uint32_t i = 0; i < n; i++) {
        all[kept] = all[i];
        kept += all[i].start_ms >= s->bounds[0] && all[i].start_ms < s->bounds[s->bucket_count];
    }
    *out = all;
    return kept;
}

typedef struct Ranked {
    int64_t value;
    uint64_t count;
} Ranked;

static int by_rank(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return (x->value > y->value) - (x->value < y->value);
}

typedef enum RankBy { BY_VALUE, BY_FIRST, BY_LAST } RankBy;

static uint32_t rank(Kit *k, const SlowSession *all, uint32_t n, RankBy by, Ranked **out)
{
    Ranked *found = ARENA_ARRAY(k->ctx.arena, Ranked, (size_t)n + 1);
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        const int64_t value = by == BY_VALUE   ? all[i].value
                              : by == BY_FIRST ? (int64_t)all[i].first
                                               : (int64_t)all[i].last;
        uint32_t at = 0;
        while (at < count && found[at].value != value)
            at++;
        found[at].value = value;
        found[at].count++;
        count += at == count;
    }
    qsort(found, count, sizeof *found, by_rank);
    *out = found;
    return count;
}

static int by_length(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Of the sessions of series `at` (behind the last one: the others) that start in [from, to). */
static SessionCell slow_cell(Kit *k, const SlowSession *all, uint32_t n, const Ranked *series,
                             uint32_t shown, uint32_t at, int64_t from_ms, int64_t to_ms)
{
    SessionCell c = {0};
    int64_t *lengths = ARENA_ARRAY(k->ctx.arena, int64_t, (size_t)n + 1);
    uint8_t *seen = ARENA_ARRAY(k->ctx.arena, uint8_t, k->view.person_count);
    for (uint32_t i = 0; i < n; i++) {
        const SlowSession *s = &all[i];
        uint32_t of = 0;
        while (of < shown && series[of].value != s->value)
            of++;
        if (of != at || s->start_ms < from_ms || s->start_ms >= to_ms)
            continue;
        lengths[c.sessions++] = s->end_ms - s->start_ms;
        c.persons += seen[s->person] == 0;
        seen[s->person] = 1;
        c.events += s->events;
        c.bounced += s->events == 1;
        c.ms += (uint64_t)(s->end_ms - s->start_ms);
    }
    qsort(lengths, c.sessions, sizeof *lengths, by_length);
    c.median_s = c.sessions == 0 ? 0 : (uint32_t)(lengths[(c.sessions - 1) / 2] / 1000);
    return c;
}

static void expect_cell(const SessionCell *got, const SessionCell *want, bool median)
{
    EXPECT_I64((int64_t)got->sessions, (int64_t)want->sessions);
    EXPECT_I64((int64_t)got->persons, (int64_t)want->persons);
    EXPECT_I64((int64_t)got->events, (int64_t)want->events);
    EXPECT_I64((int64_t)got->bounced, (int64_t)want->bounced);
    EXPECT_I64((int64_t)got->ms, (int64_t)want->ms);
    EXPECT_I64(got->median_s, median ? want->median_s : 0);
}

static void expect_names(const SessionNames *got, const Ranked *want, uint32_t n, uint32_t names)
{
    EXPECT_I64(got->distinct, n);
    EXPECT_I64(got->count, n < names ? n : names);
    for (uint32_t i = 0; i < got->count; i++)
        CHECK(got->rows[i].event == want[i].value && got->rows[i].sessions == want[i].count);
}

/* ---- whose they are ------------------------------------------------------------------------------ */

typedef struct SlowBar {
    const Sessions *s;
    const Ranked *series;
    uint32_t shown;
    SessionBar bar;
} SlowBar;

static KitShare share_in_sessions(Kit *alone, const void *arg)
{
    const SlowBar *b = arg;
    const Sessions *s = b->s;
    const bool is_total = b->bar.bucket == s->bucket_count;
    const bool names = b->bar.kind == SESSION_BEGAN || b->bar.kind == SESSION_ENDED;
    SlowSession *all = NULL;
    uint64_t count = 0;
    const uint32_t n = slow_sessions(alone, s, &all);
    for (uint32_t i = 0; names && i < n; i++)
        count += (b->bar.kind == SESSION_BEGAN ? all[i].first : all[i].last) == b->bar.event;
    const SessionCell cell = slow_cell(alone, all, n, b->series, b->shown, b->bar.series,
                                       s->bounds[is_total ? 0 : b->bar.bucket],
                                       s->bounds[is_total ? s->bucket_count : b->bar.bucket + 1]);
    if (!names)
        count = b->bar.kind == SESSION_BOUNCED ? cell.bounced : cell.sessions;
    return (KitShare){count > 0, (PeopleSum)count};
}

static void compare_people(Kit *k, const Query *q, const Sessions *s, const Ranked *series,
                           uint32_t shown, const SessionsResult *got)
{
    if (got->count == 0 || got->began.count == 0)
        return;
    SessionBar bar = {(SessionKind)kit_below(k, 4), kit_below(k, got->count),
                      kit_below(k, s->bucket_count + 1), 0};
    const SessionNames *names = bar.kind == SESSION_BEGAN ? &got->began : &got->ended;
    const SessionName *name = &names->rows[kit_below(k, names->count)];
    const SessionCell *cell = &got->series[bar.series].cells[bar.bucket];
    const uint64_t numbers[] = {cell->sessions, cell->bounced, name->sessions, name->sessions};
    People people;
    bar.event = name->event;
    CHECK(query_sessions_people(&k->ctx, q, s, got, &bar, &people) == ERR_OK);
    kit_expect_people(k, &people, share_in_sessions, &(SlowBar){s, series, shown, bar});
    CHECK(people.amount == (PeopleSum)numbers[bar.kind] && people.nobodys == 0);
    CHECK(bar.kind != SESSION_ALL || people.count == cell->persons);
}

static void compare_sessions(Kit *k, const Query *q, const Sessions *s)
{
    SessionsResult got;
    SlowSession *all = NULL;
    Ranked *series = NULL, *names = NULL;
    CHECK(query_sessions(&k->ctx, q, s, &got) == ERR_OK);
    const uint32_t n = slow_sessions(k, s, &all);
    const uint32_t distinct = s->breakdown_count == 0 ? 1 : rank(k, all, n, BY_VALUE, &series);
    const uint32_t shown = s->breakdown_count == 0 ? 0 : distinct < s->top ? distinct : s->top;
    EXPECT_I64(got.distinct, distinct);
    EXPECT_I64(got.count, s->breakdown_count == 0 ? 1 : shown + (shown < distinct));
    for (uint32_t i = 0; i < got.count; i++) {
        EXPECT_I64(got.series[i].key.is_other, s->breakdown_count > 0 && i == shown);
        CHECK(i >= shown || mixed(got.series[i].key.values, s->breakdown_count) == series[i].value);
        for (uint32_t b = 0; b <= s->bucket_count; b++) {
            const bool is_total = b == s->bucket_count;
            const SessionCell want =
                slow_cell(k, all, n, series, shown, i, s->bounds[is_total ? 0 : b],
                          s->bounds[is_total ? b : b + 1]);
            expect_cell(&got.series[i].cells[b], &want, s->median);
        }
    }
    const uint32_t firsts = rank(k, all, n, BY_FIRST, &names);
    expect_names(&got.began, names, firsts, s->names);
    const uint32_t lasts = rank(k, all, n, BY_LAST, &names);
    expect_names(&got.ended, names, lasts, s->names);
    for (int i = 0; i < 3; i++)
        compare_people(k, q, s, series, shown, &got);
}

/* ---- random questions ---------------------------------------------------------------------------- */

/* Ascending; sessions begin exactly there, too. */
static void random_bounds(Kit *k, int64_t *bounds, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        bounds[i] = k->rows[kit_below(k, k->count)].time_ms;
    qsort(bounds, n, sizeof *bounds, by_length);
    for (uint32_t i = 1; i < n; i++)
        bounds[i] = bounds[i] > bounds[i - 1] ? bounds[i] : bounds[i - 1] + 1;
}

static void random_sessions(void)
{
    static const KitShape shapes[] = {
        {.rows = 1500, .persons = 4000, .events = 5, .weeks = 3, .ties = 60, .nobody = 20},
        {.rows = 2500, .persons = 4, .events = 6, .weeks = 2, .ties = 20, .nobody = 30},
        {.rows = 1500,
         .persons = 9,
         .events = 400,
         .weeks = 3,
         .whole_seconds = true,
         .ties = 10,
         .nobody = 10}};
    static const ScanProp props[] = {{KIT_PROP(0), 0}, {KIT_PROP(1), 0}};
    const int64_t lengths[] = {1, 3600000, 5 * 3600000, DAY, DAY};
    static const uint32_t some[] = {1, 2, 4};
    const int64_t gaps[] = {0, 1800000, 3 * 3600000, 9 * 3600000, 2 * DAY};
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        Kit k;
        kit_open(&k, 100 + i, &shapes[i], 3);
        const Query q = {.view = &k.view, .crew = crew};
        for (int round = 0; round < 20; round++) {
            if (round == 10)
                kit_move_some(&k);
            int64_t bounds[9];
            random_bounds(&k, bounds, ARRAY_LEN(bounds));
            const Sessions s = {.of = {.events = kit_below(&k, 3) == 0 ? some : NULL,
                                       .event_count = 3,
                                       .filter = kit_below(&k, 3) == 0 ? kit_filter(&k, 2) : NULL},
                                .bounds = bounds,
                                .bucket_count = 1 + kit_below(&k, ARRAY_LEN(bounds) - 1),
                                .gap_ms = gaps[kit_below(&k, ARRAY_LEN(gaps))],
                                .max_ms = lengths[kit_below(&k, ARRAY_LEN(lengths))],
                                .breakdown = props,
                                .breakdown_count = kit_below(&k, 3),
                                .top = 1 + kit_below(&k, 5),
                                .names = 1 + kit_below(&k, 5),
                                .median = kit_below(&k, 2) == 0};
            compare_sessions(&k, &q, &s);
        }
        kit_close(&k);
    }
}

TEST(sessions_are_those_of_the_slow_way_with_every_kernel_and_crew)
{
    kit_each_kernel_and_crew(random_sessions, &crew);
}
