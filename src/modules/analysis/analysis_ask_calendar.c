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

/* "4", "04", "04:30" */
static Err read_cut_over(Asking *a, Str text, int64_t *out_ms)
{
    Cursor c = {.s = text};
    int64_t hour = 0, minute = 0;
    const bool good = cursor_digits(&c, 1, 2, &hour) &&
                      (!cursor_take(&c, ':') || cursor_digits(&c, 2, 2, &minute)) &&
                      c.at == text.len && hour < 24 && minute < 60;
    if (!good)
        return fail_field(a->ctx, "/cut_over", "query.cut_over",
                          "an hour, or hour and minute, from 00:00 to 23:59");
    *out_ms = (hour * 60 + minute) * MINUTE_MS;
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
    if (in->cut_over_is == DTO_VALUE)
        TRY(read_cut_over(a, in->cut_over, &c->cut_over_ms));
    if (in->week_start_is == DTO_VALUE)
        c->week_start = (int32_t)in->week_start;
    return ERR_OK;
}

Err ask_without_calendar(Asking *a, const ApiQuery *in, const char *what)
{
    if (in->zone_is != DTO_VALUE && in->cut_over_is != DTO_VALUE && in->week_start_is != DTO_VALUE)
        return ERR_OK;
    return fail_field(a->ctx, "", "query.combination",
                      "%s is told in the chain's calendar: leave out zone, cut_over and week_start",
                      what);
}
