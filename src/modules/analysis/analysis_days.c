/*
 * modules/analysis/analysis_days.c
 *
 * Buckets are found by walking: over civil days, whose beginnings the zone turns into instants, or, for hours and
 * less, from one boundary of the clock to the next.
 */
#include "base/clock.h"
#include "engine/scan/query.h"
#include "modules/analysis/analysis.h"

static const int64_t MINUTE_MS = INT64_C(60000), HOUR_MS = INT64_C(3600000),
                     DAY_MS = INT64_C(86400000);

enum { FIRST_DAY = 19700101, LAST_DAY = 21051231 }; /* what the columns can hold */

AnalysisCalendar analysis_calendar(Arena *arena, const Settings *s)
{
    return (AnalysisCalendar){.zone = zone_fixed(arena, s->offset_min),
                              .cut_over_ms = s->cutover_hour * HOUR_MS};
}

int64_t analysis_day_start_ms(const AnalysisCalendar *c, int32_t yyyymmdd)
{
    return zone_first_ms(c->zone, clock_day_start_ms(yyyymmdd, 0) + c->cut_over_ms);
}

int64_t analysis_clock_ms(const AnalysisCalendar *c, int32_t yyyymmdd, int64_t clock_ms)
{
    const int64_t next_morning_ms = clock_ms < c->cut_over_ms ? DAY_MS : 0;
    return zone_first_ms(c->zone, clock_day_start_ms(yyyymmdd, 0) + clock_ms + next_morning_ms);
}

int32_t analysis_day_add(int32_t yyyymmdd, int64_t days)
{
    return clock_day(clock_day_start_ms(yyyymmdd, 0) + days * DAY_MS, 0);
}

/* 1970-01-01 was a Thursday: three days behind a Monday.  Days before it have negative numbers. */
static int64_t days_into_week(const AnalysisCalendar *c, int32_t yyyymmdd)
{
    return ((clock_day_start_ms(yyyymmdd, 0) / DAY_MS + 3 - c->week_start) % 7 + 7) % 7;
}

/* The first day of the month that many months later. */
static int32_t month_start(int32_t yyyymmdd, int32_t later)
{
    const int32_t months = yyyymmdd / 10000 * 12 + yyyymmdd / 100 % 100 - 1 + later;
    return months / 12 * 10000 + (months % 12 + 1) * 100 + 1;
}

/* Months of a bucket, 0 for those of days. */
static int32_t months_of(AnalysisBy by)
{
    return by == ANALYSIS_BY_MONTH     ? 1
           : by == ANALYSIS_BY_QUARTER ? 3
           : by == ANALYSIS_BY_YEAR    ? 12
                                       : 0;
}

/* The first day of the bucket that `day` lies in. */
static int32_t first_day(const AnalysisCalendar *c, int32_t day, AnalysisBy by)
{
    const int32_t months = months_of(by);
    if (months > 0)
        return month_start(day, -((day / 100 % 100 - 1) % months));
    return by == ANALYSIS_BY_WEEK ? analysis_day_add(day, -days_into_week(c, day)) : day;
}

/* The first day of the bucket behind the one that `day` lies in. */
static int32_t next_day(const AnalysisCalendar *c, int32_t day, AnalysisBy by)
{
    const int32_t months = months_of(by);
    if (months > 0)
        return month_start(first_day(c, day, by), months);
    return analysis_day_add(day, by == ANALYSIS_BY_WEEK ? 7 - days_into_week(c, day) : 1);
}

/* ---- windows ------------------------------------------------------------------------------------- */

/* The business day that `now` lies in. */
static int32_t today_of(const AnalysisCalendar *c, int64_t now_ms)
{
    return clock_day(zone_to_local(c->zone, now_ms) - c->cut_over_ms, 0);
}

/* The first day of the calendar's unit that lies `back` units before the one of `today`. */
static int32_t unit_start(const AnalysisCalendar *c, RuleUnit unit, int32_t today, int32_t back)
{
    if (unit == RULE_UNIT_DAY)
        return analysis_day_add(today, -back);
    if (unit == RULE_UNIT_WEEK)
        return analysis_day_add(today, -(days_into_week(c, today) + 7 * (int64_t)back));
    if (unit == RULE_UNIT_YEAR)
        return (today / 10000 - back) * 10000 + 101;
    return month_start(today, -back);
}

static int64_t calendar_start_ms(const AnalysisCalendar *c, int64_t now_ms, const RuleSpan *span)
{
    return analysis_day_start_ms(c,
                                 unit_start(c, span->unit, today_of(c, now_ms), span->count - 1));
}

AnalysisRange analysis_window(const AnalysisCalendar *c, int64_t now_ms, const RuleWindow *w)
{
    AnalysisRange r = {INT64_MIN, INT64_MAX};
    if (w->kind == RULE_WINDOW_WITHIN || w->kind == RULE_WINDOW_AGO)
        r.from_ms = now_ms - w->span.ms + 1;
    if (w->kind == RULE_WINDOW_CALENDAR)
        r.from_ms = calendar_start_ms(c, now_ms, &w->span);
    if (w->kind == RULE_WINDOW_BETWEEN || w->kind == RULE_WINDOW_SINCE)
        r.from_ms = w->from.i64;
    if (w->kind == RULE_WINDOW_WITHIN || w->kind == RULE_WINDOW_CALENDAR)
        r.to_ms = now_ms + 1;
    if (w->kind == RULE_WINDOW_AGO)
        r.to_ms = now_ms - w->span2.ms + 1;
    if (w->kind == RULE_WINDOW_BETWEEN)
        r.to_ms = w->to.end_ms;
    if (w->kind == RULE_WINDOW_BEFORE)
        r.to_ms = w->from.i64;
    return r;
}

/* ---- buckets ------------------------------------------------------------------------------------- */

static Err check_range(Ctx *ctx, int32_t from, int32_t to)
{
    if (from < FIRST_DAY || to > LAST_DAY)
        return fail_field(ctx, "", "query.range", "dates from 1970-01-01 to 2105-12-31");
    if (from > to)
        return fail_field(ctx, "", "query.range", "from must not be after to");
    return ERR_OK;
}

/* Bounds while they are found, from one instant to another. */
typedef struct Walk {
    Ctx *ctx;
    const AnalysisCalendar *c;
    AnalysisBy by;
    int64_t *at; /* room for QUERY_BUCKETS_MAX + 1 */
    uint32_t count;
} Walk;

static Err add_bound(Walk *w, int64_t at_ms)
{
    if (w->count == QUERY_BUCKETS_MAX)
        return fail_field(w->ctx, "", "query.too_large",
                          "at most %d buckets: a shorter range, or longer ones", QUERY_BUCKETS_MAX);
    w->at[w->count++] = at_ms;
    return ERR_OK;
}

/* 0 for those that are made of days. */
static int64_t clock_step_ms(AnalysisBy by)
{
    return by == ANALYSIS_BY_MINUTE         ? MINUTE_MS
           : by == ANALYSIS_BY_QUARTER_HOUR ? 15 * MINUTE_MS
           : by == ANALYSIS_BY_HOUR         ? HOUR_MS
                                            : 0;
}

/* Where the clock shows the next whole step, or is turned before. */
static int64_t next_of_clock(const AnalysisCalendar *c, int64_t at_ms, int64_t step_ms)
{
    const int64_t into = ((zone_to_local(c->zone, at_ms) % step_ms) + step_ms) % step_ms;
    const int64_t turn = zone_next_turn_ms(c->zone, at_ms);
    return turn < at_ms + step_ms - into ? turn : at_ms + step_ms - into;
}

/* The bound at or before the instant. */
static int64_t last_of_clock(const AnalysisCalendar *c, int64_t at_ms, int64_t step_ms)
{
    int64_t last = at_ms - ((zone_to_local(c->zone, at_ms) % step_ms) + step_ms) % step_ms;
    for (int64_t turn = zone_next_turn_ms(c->zone, last); turn <= at_ms;
         turn = zone_next_turn_ms(c->zone, turn))
        last = turn;
    return last;
}

static Err walk_clock(Walk *w, int64_t from_ms, int64_t end_ms)
{
    for (int64_t at = from_ms; at < end_ms; at = next_of_clock(w->c, at, clock_step_ms(w->by)))
        TRY(add_bound(w, at));
    return ERR_OK;
}

/* A civil day that a zone left out (its clocks went on by 24 hours) begins with the next one, and is no bucket. */
static Err walk_days(Walk *w, int32_t from, int64_t end_ms)
{
    int32_t day = from;
    for (int64_t at = analysis_day_start_ms(w->c, day); at < end_ms;
         at = analysis_day_start_ms(w->c, day)) {
        if (w->count == 0 || w->at[w->count - 1] < at)
            TRY(add_bound(w, at));
        day = next_day(w->c, day, w->by);
    }
    return ERR_OK;
}

Err analysis_days(Ctx *ctx, const AnalysisCalendar *c, int32_t from, int32_t to, AnalysisRange *out)
{
    TRY(check_range(ctx, from, to));
    out->from_ms = analysis_day_start_ms(c, from);
    out->to_ms = analysis_day_start_ms(c, analysis_day_add(to, 1));
    if (out->from_ms == out->to_ms)
        return fail_field(ctx, "", "query.range", "this zone left out this day");
    return ERR_OK;
}

Err analysis_buckets_of(Ctx *ctx, const AnalysisCalendar *c, int32_t from, AnalysisRange range,
                        AnalysisBy by, int64_t **bounds, uint32_t *count)
{
    Walk w = {ctx, c, by, ARENA_ARRAY(ctx->arena, int64_t, QUERY_BUCKETS_MAX + 1), 0};
    if (by == ANALYSIS_BY_ALL)
        w.count = 1;
    else if (clock_step_ms(by) > 0)
        TRY(walk_clock(&w, range.from_ms, range.to_ms));
    else
        TRY(walk_days(&w, from, range.to_ms));
    w.at[0] = range.from_ms;
    w.at[w.count] = range.to_ms;
    *bounds = w.at;
    *count = w.count;
    return ERR_OK;
}

Err analysis_buckets(Ctx *ctx, const AnalysisCalendar *c, int32_t from, int32_t to, AnalysisBy by,
                     int64_t **bounds, uint32_t *count)
{
    AnalysisRange range;
    TRY(analysis_days(ctx, c, from, to, &range));
    return analysis_buckets_of(ctx, c, from, range, by, bounds, count);
}

int32_t analysis_bucket_end(const AnalysisCalendar *c, int32_t day, AnalysisBy by, uint32_t later)
{
    const int64_t step_ms = clock_step_ms(by);
    if (step_ms > 0) /* the longest day has 25 hours, and some zones left out one */
        return analysis_day_add(day, later == 0 ? 0 : later * step_ms / (23 * HOUR_MS) + 2);
    for (uint32_t i = 0; i < later; i++)
        day = next_day(c, day, by);
    return analysis_day_add(next_day(c, day, by), -1);
}

/* Whole steps of the clock from `start_ms` to `end_ms`, and the `earlier` last ones before: it has at least as many in
 * as many steps. */
static Err walk_whole_clock(Walk *w, uint32_t earlier, int64_t *start_ms, int64_t *end_ms)
{
    const int64_t step_ms = clock_step_ms(w->by);
    *start_ms = last_of_clock(w->c, *start_ms, step_ms);
    *end_ms = next_of_clock(w->c, *end_ms - 1, step_ms);
    const int64_t from_ms = *start_ms - (int64_t)(earlier + 1) * step_ms;
    TRY(walk_clock(w, next_of_clock(w->c, from_ms, step_ms), *start_ms));
    const uint32_t skip = w->count - earlier;
    w->count -= skip;
    memmove(w->at, w->at + skip, w->count * sizeof *w->at);
    return walk_clock(w, *start_ms, *end_ms);
}

/* The same of days, weeks and longer ones. */
static Err walk_whole_days(Walk *w, int32_t first, uint32_t earlier, int64_t end_ms)
{
    for (uint32_t i = 0; i < earlier && first >= FIRST_DAY; i++)
        first = first_day(w->c, analysis_day_add(first, -1), w->by);
    if (first < FIRST_DAY)
        return check_range(w->ctx, first, LAST_DAY);
    return walk_days(w, first, end_ms);
}

Err analysis_whole_buckets(Ctx *ctx, const AnalysisCalendar *c, int32_t from, int32_t to,
                           AnalysisBy by, uint32_t *earlier, int64_t **bounds, uint32_t *count)
{
    TRY(check_range(ctx, from, to));
    Walk w = {ctx, c, by, ARENA_ARRAY(ctx->arena, int64_t, QUERY_BUCKETS_MAX + 1), 0};
    const int32_t first = first_day(c, from, by);
    int64_t start = analysis_day_start_ms(c, first);
    int64_t end = analysis_day_start_ms(c, next_day(c, to, by));
    if (start == end)
        return fail_field(ctx, "", "query.range", "this zone left out this day");
    if (clock_step_ms(by) > 0)
        TRY(walk_whole_clock(&w, *earlier, &start, &end));
    else
        TRY(walk_whole_days(&w, first, *earlier, end));
    *earlier = 0;
    while (w.at[*earlier] < start)
        ++*earlier;
    w.at[w.count] = end;
    *bounds = w.at;
    *count = w.count;
    return ERR_OK;
}
