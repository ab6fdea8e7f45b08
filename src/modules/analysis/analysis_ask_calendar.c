/*
 * modules/analysis/analysis_ask_calendar.c -- the calendar that a question names.
 */
#include "base/cursor.h"
#include "modules/analysis/analysis_ask.h"
#include "modules/analysis/analysis_http.h"

static const int64_t MINUTE_MS = INT64_C(60000);

static Err read_zone(Asking *a, Str name, const Zone **out)
{
    if (zone_load(a->ctx, name, out))
        return ERR_OK;
    const Str near = zone_nearest(a->ctx, name);
    if (near.len > 0)
        return fail_field(a->ctx, "/zone", "query.zone",
                          "no time zone \"%.*s\"; did you mean \"%.*s\"?", STR_ARG(name),
                          STR_ARG(near));
    return fail_field(
        a->ctx, "/zone", "query.zone",
        "no time zone \"%.*s\": write a name as Asia/Shanghai, or an offset as +08:00",
        STR_ARG(name));
}

/* "4", "04", "04:30".  False: it is none of these. */
static bool read_clock(Str text, int64_t *out_ms)
{
    Cursor c = {.s = text};
    int64_t hour = 0, minute = 0;
    const bool good = cursor_digits(&c, 1, 2, &hour) &&
                      (!cursor_take(&c, ':') || cursor_digits(&c, 2, 2, &minute)) &&
                      c.at == text.len && hour < 24 && minute < 60;
    *out_ms = (hour * 60 + minute) * MINUTE_MS;
    return good;
}

static Err no_clock(Ctx *ctx, const char *pointer, const char *reason)
{
    return fail_field(ctx, pointer, reason, "an hour, or hour and minute, from 00:00 to 23:59");
}

static Err read_clocks(Asking *a, const ApiQuery *in)
{
    a->from_clock.given = in->from_time_is == DTO_VALUE;
    a->to_clock.given = in->to_time_is == DTO_VALUE;
    if (a->from_clock.given && !read_clock(in->from_time, &a->from_clock.ms))
        return no_clock(a->ctx, "/from_time", "query.range");
    if (a->to_clock.given && !read_clock(in->to_time, &a->to_clock.ms))
        return no_clock(a->ctx, "/to_time", "query.range");
    return ERR_OK;
}

const Zone *analysis_question_zone(Ctx *ctx, const void *question)
{
    const ApiQuery *in = question;
    const Zone *zone = NULL;
    if (in->zone_is == DTO_VALUE && zone_load(ctx, in->zone, &zone))
        return zone;
    return analysis_calendar(ctx->arena, ctx->settings).zone;
}

Err ask_calendar(Asking *a, const ApiQuery *in)
{
    AnalysisCalendar *c = &a->names.calendar;
    if (in->zone_is == DTO_VALUE)
        TRY(read_zone(a, in->zone, &c->zone));
    if (in->cut_over_is == DTO_VALUE && !read_clock(in->cut_over, &c->cut_over_ms))
        return no_clock(a->ctx, "/cut_over", "query.cut_over");
    if (in->week_start_is == DTO_VALUE)
        c->week_start = (int32_t)in->week_start;
    return read_clocks(a, in);
}

Err ask_buckets(Asking *a, int32_t from, int32_t to, AnalysisBy by, int64_t **bounds,
                uint32_t *count)
{
    const AnalysisCalendar *c = &a->names.calendar;
    AnalysisRange range;
    TRY(analysis_days(a->ctx, c, from, to, &range));
    if (a->from_clock.given)
        range.from_ms = analysis_clock_ms(c, from, a->from_clock.ms);
    if (a->to_clock.given)
        range.to_ms = analysis_clock_ms(c, to, a->to_clock.ms);
    if (range.from_ms >= range.to_ms)
        return fail_field(a->ctx, "/to_time", "query.range",
                          "the range ends before it begins: to_time is of its last day");
    return analysis_buckets_of(a->ctx, c, from, range, by, bounds, count);
}

Err ask_whole_days(Asking *a, const char *what)
{
    if (!a->from_clock.given && !a->to_clock.given)
        return ERR_OK;
    return fail_field(a->ctx, a->from_clock.given ? "/from_time" : "/to_time", "query.combination",
                      "%s is of whole days: leave out from_time and to_time", what);
}

Err ask_without_calendar(Asking *a, const ApiQuery *in, const char *what)
{
    TRY(ask_whole_days(a, what));
    if (in->zone_is != DTO_VALUE && in->cut_over_is != DTO_VALUE && in->week_start_is != DTO_VALUE)
        return ERR_OK;
    return fail_field(a->ctx, "", "query.combination",
                      "%s is told in the chain's calendar: leave out zone, cut_over and week_start",
                      what);
}
