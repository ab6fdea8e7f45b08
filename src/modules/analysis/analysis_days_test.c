/*
 * modules/analysis/analysis_days_test.c -- calendars: buckets in every zone, against a clock that is looked at minute by
 * minute.
 */
#include "base/clock.h"
#include "base/rand.h"
#include "base/test.h"
#include "engine/scan/query.h"
#include "modules/analysis/analysis.h"

#include <stdlib.h>
#include <time.h>

static const int64_t MINUTE_MS = INT64_C(60000), HOUR_MS = INT64_C(3600000),
                     DAY_MS = INT64_C(86400000);

static uint32_t buckets(Ctx *ctx, const AnalysisCalendar *c, int32_t from, int32_t to,
                        AnalysisBy by, int64_t **bounds)
{
    uint32_t count = 0;
    CHECK(analysis_buckets(ctx, c, from, to, by, bounds, &count) == ERR_OK);
    return count;
}

TEST(analysis_buckets_are_hours_business_days_weeks_from_monday_and_months)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    Settings s = setting_default();
    s.cutover_hour = 4;
    const AnalysisCalendar c = analysis_calendar(ctx.arena, &s);
    int64_t *b = NULL;
    const int64_t day = INT64_C(86400000), start = analysis_day_start_ms(&c, 20240226);
    EXPECT_I64(start, clock_day_start_ms(20240226, 480) + 4 * 3600000);
    EXPECT_I64(buckets(&ctx, &c, 20240226, 20240301, ANALYSIS_BY_DAY, &b), 5); /* a leap year */
    for (int i = 0; i <= 5; i++)
        EXPECT_I64(b[i], start + i * day);
    EXPECT_I64(buckets(&ctx, &c, 20240226, 20240226, ANALYSIS_BY_HOUR, &b), 24);
    EXPECT_I64(b[24], start + day);
    EXPECT_I64(buckets(&ctx, &c, 20240228, 20240312, ANALYSIS_BY_WEEK, &b), 3); /* a Wednesday */
    EXPECT_I64(b[0], start + 2 * day);
    EXPECT_I64(b[1], start + 7 * day);
    EXPECT_I64(b[2], start + 14 * day);
    EXPECT_I64(b[3], start + 16 * day);
    EXPECT_I64(buckets(&ctx, &c, 20231215, 20240301, ANALYSIS_BY_MONTH, &b), 4);
    EXPECT_I64(b[1], analysis_day_start_ms(&c, 20240101));
    EXPECT_I64(b[3], analysis_day_start_ms(&c, 20240301));
    EXPECT_I64(b[4], analysis_day_start_ms(&c, 20240302));
    EXPECT_I64(buckets(&ctx, &c, 20240226, 20240312, ANALYSIS_BY_ALL, &b), 1);
    EXPECT_I64(b[1], start + 16 * day);
    arena_free(ctx.arena);
}

/* As the argument wants it. */
static uint32_t *earlier(uint32_t n)
{
    static uint32_t kept;
    kept = n;
    return &kept;
}

TEST(analysis_whole_buckets_are_not_cut_and_begin_earlier_when_asked)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    const Settings s = setting_default();
    const AnalysisCalendar c = analysis_calendar(ctx.arena, &s);
    int64_t *b = NULL;
    uint32_t n = 0;
    CHECK(analysis_whole_buckets(&ctx, &c, 20240228, 20240312, ANALYSIS_BY_WEEK, earlier(2), &b,
                                 &n) == ERR_OK);
    EXPECT_I64(n, 5); /* a Wednesday to a Tuesday: three weeks, and two before */
    for (uint32_t i = 0; i <= n; i++)
        EXPECT_I64(b[i], analysis_day_start_ms(&c, analysis_day_add(20240212, 7 * i)));
    CHECK(analysis_whole_buckets(&ctx, &c, 20240115, 20240229, ANALYSIS_BY_MONTH, earlier(1), &b,
                                 &n) == ERR_OK);
    EXPECT_I64(n, 3);
    EXPECT_I64(b[0], analysis_day_start_ms(&c, 20231201));
    EXPECT_I64(b[3], analysis_day_start_ms(&c, 20240301));
    CHECK(analysis_whole_buckets(&ctx, &c, 20240301, 20240301, ANALYSIS_BY_DAY, earlier(1), &b,
                                 &n) == ERR_OK);
    EXPECT_I64(n, 2);
    EXPECT_I64(b[0], analysis_day_start_ms(&c, 20240229));
    arena_free(ctx.arena);
}

TEST(analysis_whole_buckets_before_the_first_day_are_refused)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    const Settings s = setting_default();
    const AnalysisCalendar c = analysis_calendar(ctx.arena, &s);
    int64_t *b = NULL;
    uint32_t n = 0;
    EXPECT_I64(
        analysis_whole_buckets(&ctx, &c, 19700101, 19700102, ANALYSIS_BY_WEEK, earlier(0), &b, &n),
        ERR_INVALID);
    EXPECT_STREQ(ctx.fault.reason, "query.range");
    EXPECT_I64(analysis_whole_buckets(&ctx, &c, 19700201, 19700228, ANALYSIS_BY_MONTH, earlier(399),
                                      &b, &n),
               ERR_INVALID);
    EXPECT_I64(
        analysis_whole_buckets(&ctx, &c, 20240102, 20240101, ANALYSIS_BY_DAY, earlier(1), &b, &n),
        ERR_INVALID);
    EXPECT_I64(
        analysis_whole_buckets(&ctx, &c, 10101, 20240101, ANALYSIS_BY_DAY, earlier(1), &b, &n),
        ERR_INVALID);
    EXPECT_STREQ(ctx.fault.reason, "query.range");
    arena_free(ctx.arena);
}

TEST(analysis_a_range_that_is_turned_round_or_too_long_is_refused)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    const Settings s = setting_default();
    const AnalysisCalendar c = analysis_calendar(ctx.arena, &s);
    int64_t *b = NULL;
    uint32_t n = 0;
    EXPECT_I64(analysis_buckets(&ctx, &c, 20240102, 20240101, ANALYSIS_BY_DAY, &b, &n),
               ERR_INVALID);
    EXPECT_STREQ(ctx.fault.reason, "query.range");
    EXPECT_I64(analysis_buckets(&ctx, &c, 19691231, 20240101, ANALYSIS_BY_WEEK, &b, &n),
               ERR_INVALID);
    EXPECT_I64(analysis_buckets(&ctx, &c, 21051231, 99991231, ANALYSIS_BY_HOUR, &b, &n),
               ERR_INVALID);
    EXPECT_STREQ(ctx.fault.reason, "query.range");
    EXPECT_I64(analysis_buckets(&ctx, &c, 20000101, 20240101, ANALYSIS_BY_DAY, &b, &n),
               ERR_INVALID);
    EXPECT_STREQ(ctx.fault.reason, "query.too_large");
    arena_free(ctx.arena);
}

/* ---- against the C library's clock, minute by minute ----------------------------------------------- */

static const char *const ZONES[] = {
    "Asia/Shanghai",    "America/New_York",     "Europe/London",   "Australia/Lord_Howe",
    "Asia/Kathmandu",   "Africa/Casablanca",    "Pacific/Apia",    "America/Sao_Paulo",
    "America/Havana",   "America/Scoresbysund", "Asia/Gaza",       "Pacific/Chatham",
    "Antarctica/Troll", "Asia/Tehran",          "America/Caracas", "Pacific/Kwajalein"};

static const int32_t CUT_OVERS_MIN[] = {0, 0, 240, 30, 1425, 135};

typedef struct Slow {
    int32_t cut_over_min;
    int32_t week_start;
    AnalysisBy by;
    int64_t day; /* the latest business day that the clock has shown, since 1970 */
} Slow;

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t local_minute(int64_t minute)
{
    struct tm tm;
    const time_t at = (time_t)(minute * 60);
    CHECK(localtime_r(&at, &tm) != NULL);
    return minute + floor_div(tm.tm_gmtoff, 60);
}

/* A number that is another one in each bucket. */
static int64_t slow_label(Slow *s, int64_t minute)
{
    static const int64_t STEPS[] = {1, 15, 60};
    const int64_t local = local_minute(minute);
    const int64_t day = floor_div(local - s->cut_over_min, 1440);
    s->day = day > s->day ? day : s->day;
    if (s->by <= ANALYSIS_BY_HOUR)
        return floor_div(local, STEPS[s->by]) * 10000 + (local - minute + 2000);
    const int32_t date = clock_day(s->day * DAY_MS, 0);
    switch ((int)s->by) {
    case ANALYSIS_BY_DAY:
        return s->day;
    case ANALYSIS_BY_WEEK:
        return floor_div(s->day + 3 - s->week_start, 7);
    case ANALYSIS_BY_MONTH:
        return date / 100;
    case ANALYSIS_BY_QUARTER:
        return date / 10000 * 4 + (date / 100 % 100 - 1) / 3;
    case ANALYSIS_BY_YEAR:
        return date / 10000;
    default:
        return 0;
    }
}

/* The bounds between the first minute of `from` and the first one behind `to`; 0 = there are none. */
static uint32_t slow_buckets(Slow *s, int32_t from, int32_t to, int64_t *bounds)
{
    const int64_t first = clock_day_start_ms(from, 0) / DAY_MS,
                  last = clock_day_start_ms(to, 0) / DAY_MS;
    uint32_t n = 0;
    int64_t label = 0, minute = (first - 2) * 1440;
    for (s->day = 0; s->day <= last; minute++) {
        const int64_t now = slow_label(s, minute);
        if (s->day < first || s->day > last)
            continue;
        if (n == 0 || now != label)
            bounds[n++] = minute * MINUTE_MS;
        label = now;
    }
    bounds[n] = (minute - 1) * MINUTE_MS;
    return n;
}

static int32_t days_long(AnalysisBy by, Prng *random)
{
    static const uint64_t DAYS[] = {1, 4, 20, 30, 40, 80, 130, 400, 40};
    return (int32_t)prng_below(random, DAYS[by]);
}

/* A random range of the zone, often near where its clocks are turned. */
static int32_t random_day(const Zone *zone, Prng *random)
{
    const ZoneSpan *span = &zone->spans[prng_below(random, zone->count)];
    const int64_t first_ms = clock_day_start_ms(19730110, 0),
                  last_ms = clock_day_start_ms(20991231, 0);
    int64_t at_ms = first_ms + (int64_t)prng_below(random, 46000) * DAY_MS;
    if (span->from_ms > first_ms && span->from_ms < last_ms && prng_below(random, 3) > 0)
        at_ms = span->from_ms - (int64_t)prng_below(random, 4) * DAY_MS;
    return clock_day(at_ms, 0);
}

static void compare_buckets(Prng *random, const char *name, AnalysisBy by)
{
    Ctx ctx = {.arena = arena_new(1 << 18)};
    AnalysisCalendar c = {.week_start = (int32_t)prng_below(random, 7)};
    Slow slow = {.cut_over_min = CUT_OVERS_MIN[prng_below(random, ARRAY_LEN(CUT_OVERS_MIN))],
                 .week_start = c.week_start,
                 .by = by};
    int64_t *got = NULL, *want = ARENA_ARRAY(ctx.arena, int64_t, QUERY_BUCKETS_MAX + 1);
    uint32_t count = 0;
    CHECK(zone_load(&ctx, str_of(name), &c.zone));
    c.cut_over_ms = slow.cut_over_min * MINUTE_MS;
    const int32_t from = random_day(c.zone, random);
    const int32_t to = analysis_day_add(from, days_long(by, random));
    const uint32_t expected = slow_buckets(&slow, from, to, want);
    const Err err = analysis_buckets(&ctx, &c, from, to, by, &got, &count);
    EXPECT_I64(err, expected == 0 ? ERR_INVALID : ERR_OK);
    EXPECT_I64(count, expected);
    for (uint32_t i = 0; err == ERR_OK && i <= count; i++)
        EXPECT_I64(got[i], want[i]);
    arena_free(ctx.arena);
}

TEST(analysis_buckets_are_those_of_a_clock_that_is_looked_at_every_minute)
{
    Prng random = prng_of(99);
    for (size_t z = 0; z < ARRAY_LEN(ZONES); z++) {
        CHECK(setenv("TZ", ZONES[z], 1) == 0);
        tzset();
        for (int by = ANALYSIS_BY_MINUTE; by <= ANALYSIS_BY_ALL; by++)
            for (int round = 0; round < (by < ANALYSIS_BY_MONTH ? 6 : z % 4 == 0); round++)
                compare_buckets(&random, ZONES[z], (AnalysisBy)by);
    }
    CHECK(unsetenv("TZ") == 0);
    tzset();
}

/* Whole buckets are those of a longer range: none is cut, and the earlier ones stand before. */
TEST(analysis_whole_buckets_of_every_zone_are_those_of_a_longer_range)
{
    Prng random = prng_of(98);
    for (int round = 0; round < 400; round++) {
        Ctx ctx = {.arena = arena_new(1 << 18)};
        AnalysisCalendar c = {.week_start = (int32_t)prng_below(&random, 7)};
        const AnalysisBy by = ANALYSIS_BY_HOUR + (AnalysisBy)prng_below(&random, 6);
        int64_t *got = NULL, *all = NULL;
        uint32_t n = 0, all_n = 0, at = 0;
        const uint32_t wanted = (uint32_t)prng_below(&random, by == ANALYSIS_BY_HOUR ? 40 : 4);
        uint32_t before = wanted;
        CHECK(zone_load(&ctx, str_of(ZONES[prng_below(&random, ARRAY_LEN(ZONES))]), &c.zone));
        c.cut_over_ms = CUT_OVERS_MIN[prng_below(&random, ARRAY_LEN(CUT_OVERS_MIN))] * MINUTE_MS;
        const int32_t from = analysis_day_add(random_day(c.zone, &random), 1500);
        const int32_t to = analysis_day_add(from, (int64_t)prng_below(&random, 40));
        const int64_t back = by == ANALYSIS_BY_HOUR ? 4 : 1500,
                      on = by == ANALYSIS_BY_HOUR ? 2 : 400;
        if (to > 20980101 ||
            analysis_whole_buckets(&ctx, &c, from, to, by, &before, &got, &n) != ERR_OK) {
            arena_free(ctx.arena);
            continue;
        }
        CHECK(analysis_buckets(&ctx, &c, analysis_day_add(from, -back), analysis_day_add(to, on),
                               by, &all, &all_n) == ERR_OK);
        while (all[at] < got[0])
            at++;
        CHECK(at > 0 && at + n < all_n);
        for (uint32_t i = 0; i <= n; i++)
            EXPECT_I64(got[i], all[at + i]);
        const int64_t start = analysis_day_start_ms(&c, from),
                      end = analysis_day_start_ms(&c, analysis_day_add(to, 1));
        CHECK(before == wanted || (by == ANALYSIS_BY_DAY && before + 1 == wanted));
        CHECK(got[before] <= start && got[before + 1] > start && got[n] >= end && got[n - 1] < end);
        arena_free(ctx.arena);
    }
}

TEST(analysis_a_day_that_a_zone_left_out_is_no_bucket)
{
    Ctx ctx = {.arena = arena_new(1 << 18)};
    AnalysisCalendar c = {.cut_over_ms = 0};
    int64_t *b = NULL;
    uint32_t n = 0, before = 2;
    CHECK(zone_load(&ctx, STR("Pacific/Apia"), &c.zone));
    EXPECT_I64(analysis_buckets(&ctx, &c, 20111230, 20111230, ANALYSIS_BY_DAY, &b, &n),
               ERR_INVALID);
    EXPECT_STREQ(ctx.fault.reason, "query.range");
    EXPECT_I64(buckets(&ctx, &c, 20111229, 20111231, ANALYSIS_BY_DAY, &b), 2);
    EXPECT_I64(b[1] - b[0], DAY_MS);
    CHECK(analysis_whole_buckets(&ctx, &c, 20111231, 20111231, ANALYSIS_BY_DAY, &before, &b, &n) ==
          ERR_OK);
    EXPECT_I64(n, 2);
    EXPECT_I64(before, 1);
    arena_free(ctx.arena);
}

TEST(analysis_windows_of_a_calendar_begin_where_its_zone_says)
{
    Ctx ctx = {.arena = arena_new(1 << 18)};
    AnalysisCalendar c = {.cut_over_ms = 4 * HOUR_MS, .week_start = 6};
    CHECK(zone_load(&ctx, STR("America/New_York"), &c.zone));
    /* 2026-11-02 (a Monday) 03:00 in New York is still business day 2026-11-01, a Sunday; the clock was turned back
     * on that day, before its cut-over. */
    const int64_t now = clock_day_start_ms(20261102, 0) + 8 * HOUR_MS;
    static const struct {
        RuleUnit unit;
        int32_t count;
        int32_t day, hour_utc;
    } want[] = {{RULE_UNIT_DAY, 1, 20261101, 9},   {RULE_UNIT_DAY, 2, 20261031, 8},
                {RULE_UNIT_WEEK, 1, 20261101, 9},  {RULE_UNIT_WEEK, 2, 20261025, 8},
                {RULE_UNIT_MONTH, 1, 20261101, 9}, {RULE_UNIT_MONTH, 11, 20260101, 9},
                {RULE_UNIT_YEAR, 1, 20260101, 9}};
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        const RuleWindow w = {.kind = RULE_WINDOW_CALENDAR,
                              .span = {.unit = want[i].unit, .count = want[i].count}};
        EXPECT_I64(analysis_window(&c, now, &w).from_ms,
                   clock_day_start_ms(want[i].day, 0) + want[i].hour_utc * HOUR_MS);
    }
    arena_free(ctx.arena);
}
