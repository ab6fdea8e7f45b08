/*
 * modules/analysis/analysis_ask_trend.c -- trends.
 */
#include "modules/analysis/analysis_ask.h"

static Err make_trend(Asking *a, const ApiTrendQuestion *q, AskTrend *out)
{
    static const TrendMeasure MEASURES[] = {TREND_EVENTS, TREND_PERSONS, TREND_SUM};
    int64_t *bounds = NULL;
    TRY(ask_select(a, q->of, "/trend/of", &out->trend.select));
    TRY(analysis_buckets(a->ctx, &a->names.calendar, q->from, q->to, (AnalysisBy)q->by, &bounds,
                         &out->trend.bucket_count));
    out->trend.bounds = bounds;
    out->trend.measure = MEASURES[q->measure];
    out->trend.top = (uint32_t)q->top;
    if (out->trend.measure == TREND_SUM) {
        TRY(ask_property(a, q->number_is == DTO_VALUE ? q->number : STR(""), "/trend/number",
                         &out->number));
        if (out->number.type != EVENT_NUMBER && out->number.type != EVENT_MONEY)
            return fail_field(a->ctx, "/trend/number", "query.property",
                              "only numbers and amounts add up");
        out->trend.number = out->number.scan;
    }
    return ask_breakdown(a, q->breakdown, q->breakdown_count, "/trend/breakdown", out);
}

static void give_series(const Asking *a, const AskTrend *t, const TrendSeries *s,
                        ApiTrendSeriesRow *out)
{
    const bool is_sum = t->trend.measure == TREND_SUM;
    const bool is_money = is_sum && t->number.type == EVENT_MONEY;
    const int scale = is_money ? a->ctx->settings->exponent : is_sum ? t->number.scan.scale : 0;
    out->other = s->is_other;
    out->values = ask_give_values(a, t, s, &out->values_count);
    out->cells_count = t->trend.bucket_count;
    out->cells = ARENA_ARRAY(a->ctx->arena, Str, out->cells_count);
    for (size_t i = 0; i < out->cells_count; i++)
        out->cells[i] = ask_decimal(a->ctx, s->cells[i], scale, is_money);
}

static void give_trend(const Asking *a, const AskTrend *t, const TrendResult *r,
                       ApiTrendAnswer *out)
{
    out->buckets = ask_give_starts(a->ctx, &t->trend, &out->buckets_count);
    out->distinct = r->distinct;
    out->series_count = r->count;
    out->series = ARENA_ARRAY(a->ctx->arena, ApiTrendSeriesRow, (size_t)r->count + 1);
    for (uint32_t i = 0; i < r->count; i++)
        give_series(a, t, &r->series[i], &out->series[i]);
}

Err ask_trend(Asking *a, const Query *q, const ApiQuery *in)
{
    const ApiTrendQuestion *question = &in->trend;
    AskTrend t = {.number = {.type = EVENT_NONE}};
    TrendResult result;
    a->names.schema = engine_schema_lock(a->engine);
    const Err err = make_trend(a, question, &t);
    TRY(ask_texts(a, q, err));
    TRY(query_trend(a->ctx, q, &t.trend, &result));
    a->answer->trend_is = DTO_VALUE;
    give_trend(a, &t, &result, &a->answer->trend);
    return ERR_OK;
}
