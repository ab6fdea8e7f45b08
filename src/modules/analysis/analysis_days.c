/*
 * modules/analysis/analysis_days.c
 */
#include "base/clock.h"
#include "engine/query.h"
#include "modules/analysis/analysis.h"

static const int64_t HOUR_MS = INT64_C(3600000), DAY_MS = INT64_C(86400000);

enum { FIRST_DAY = 19700101, LAST_DAY = 21051231 }; /* what the columns can hold */

int64_t analysis_day_start_ms(const Settings *s, int32_t yyyymmdd)
{
    return clock_day_start_ms(yyyymmdd, s->offset_min) + s->cutover_hour * HOUR_MS;
}

int32_t analysis_day_add(int32_t yyyymmdd, int64_t days)
{
    return clock_day(clock_day_start_ms(yyyymmdd, 0) + days * DAY_MS, 0);
}

/* 1970-01-01 was a Thursday: three days behind a Monday. */
static int64_t days_since_monday(int32_t yyyymmdd)
{
    return (clock_day_start_ms(yyyymmdd, 0) / DAY_MS + 3) % 7;
}

static int32_t next_month(int32_t yyyymmdd)
{
    const int32_t month = yyyymmdd / 100;
    return (month % 100 == 12 ? (month / 100 + 1) * 100 + 1 : month + 1) * 100 + 1;
}

/* The first day of the bucket behind the one that `day` lies in. */
static int32_t next_day(int32_t day, AnalysisBy by)
{
    switch (by) {
    case ANALYSIS_BY_WEEK:
        return analysis_day_add(day, 7 - days_since_monday(day));
    case ANALYSIS_BY_MONTH:
        return next_month(day);
    case ANALYSIS_BY_HOUR:
    case ANALYSIS_BY_DAY:
    case ANALYSIS_BY_ALL:
        break;
    }
    return analysis_day_add(day, 1);
}

/* The first day of the bucket that `day` lies in. */
static int32_t first_day(int32_t day, AnalysisBy by)
{
    if (by == ANALYSIS_BY_MONTH)
        return day / 100 * 100 + 1;
    return by == ANALYSIS_BY_WEEK ? analysis_day_add(day, -days_since_monday(day)) : day;
}

static Err check_range(Ctx *ctx, int32_t from, int32_t to)
{
    if (from < FIRST_DAY || to > LAST_DAY)
        return fail_field(ctx, "", "query.range", "dates from 1970-01-01 to 2105-12-31");
    if (from > to)
        return fail_field(ctx, "", "query.range", "from must not be after to");
    return ERR_OK;
}

static Err too_many(Ctx *ctx)
{
    return fail_field(ctx, "", "query.too_large",
                      "at most %d buckets: a shorter range, or longer ones", QUERY_BUCKETS_MAX);
}

Err analysis_buckets(Ctx *ctx, const Settings *s, int32_t from, int32_t to, AnalysisBy by,
                     int64_t **bounds, uint32_t *count)
{
    TRY(check_range(ctx, from, to));
    int64_t *const at = ARENA_ARRAY(ctx->arena, int64_t, QUERY_BUCKETS_MAX + 1);
    const int64_t end = analysis_day_start_ms(s, analysis_day_add(to, 1));
    uint32_t n = 0;
    int32_t day = from;
    for (int64_t next = analysis_day_start_ms(s, from); next < end;) {
        if (n == QUERY_BUCKETS_MAX)
            return too_many(ctx);
        at[n++] = next;
        day = next_day(day, by);
        next = by == ANALYSIS_BY_HOUR  ? next + HOUR_MS
               : by == ANALYSIS_BY_ALL ? end
                                       : analysis_day_start_ms(s, day);
    }
    at[n] = end;
    *bounds = at;
    *count = n;
    return ERR_OK;
}

Err analysis_whole_buckets(Ctx *ctx, const Settings *s, int32_t from, int32_t to, AnalysisBy by,
                           uint32_t earlier, int64_t **bounds, uint32_t *count)
{
    TRY(check_range(ctx, from, to));
    int32_t first = first_day(from, by);
    for (uint32_t i = 0; i < earlier && first >= FIRST_DAY; i++)
        first = first_day(analysis_day_add(first, -1), by);
    const int32_t last = analysis_day_add(next_day(to, by), -1);
    return analysis_buckets(ctx, s, first, last, by, bounds, count);
}
