/*
 * modules/analysis/analysis_ask_stickiness.c -- stickiness: a trend that counts buckets per person.
 */
#include "modules/analysis/analysis_ask.h"

static Err make_stickiness(Asking *a, const ApiStickinessQuestion *q, AskTrend *out)
{
    int64_t *bounds = NULL;
    TRY(ask_select(a, q->of, "/stickiness/of", &out->trend.select));
    TRY(ask_buckets(a, q->from, q->to, ASK_INTERVALS[q->by], &bounds, &out->trend.bucket_count));
    out->trend.bounds = bounds;
    out->trend.measure = TREND_STICKINESS;
    out->trend.top = q->breakdown_count == 0 ? 0 : (uint32_t)q->top;
    return ask_breakdown(a, q->breakdown, q->breakdown_count, "/stickiness/breakdown", out);
}

static void give_sticky_series(const Asking *a, const AskTrend *t, const TrendSeries *s,
                               ApiStickinessSeriesRow *out)
{
    const uint32_t n = t->trend.bucket_count;
    out->other = s->key.is_other;
    out->values = ask_give_values(a, &t->series, &s->key, &out->values_count);
    out->exactly_count = out->at_least_count = n;
    out->exactly = ARENA_ARRAY(a->ctx->arena, int64_t, n);
    out->at_least = ARENA_ARRAY(a->ctx->arena, int64_t, n);
    int64_t persons = 0;
    for (uint32_t i = n; i-- > 0;) {
        out->exactly[i] = (int64_t)s->cells[i];
        out->at_least[i] = persons += out->exactly[i];
    }
}

static void give_stickiness(const Asking *a, const AskTrend *t, const TrendResult *r,
                            ApiStickinessAnswer *out)
{
    out->intervals = ask_give_starts(a->ctx, &t->trend, &out->intervals_count);
    out->distinct = r->distinct;
    out->series_count = r->count;
    out->series = ARENA_ARRAY(a->ctx->arena, ApiStickinessSeriesRow, (size_t)r->count + 1);
    for (uint32_t i = 0; i < r->count; i++)
        give_sticky_series(a, t, &r->series[i], &out->series[i]);
}

static Err give_who(Asking *a, const Query *q, const AskTrend *t, const TrendResult *r)
{
    static const ApiPeopleOutcome HAS[] = {API_PEOPLE_OUTCOME_EXACTLY, API_PEOPLE_OUTCOME_AT_LEAST};
    ApiPeopleOutcome outcome = API_PEOPLE_OUTCOME_EXACTLY;
    TrendBar bar = {.series = 0};
    People people;
    TRY(ask_outcome(a, HAS, ARRAY_LEN(HAS), API_PEOPLE_OUTCOME_EXACTLY, &outcome));
    bar.at_least = outcome == API_PEOPLE_OUTCOME_AT_LEAST;
    TRY(ask_place(a->ctx, a->who->n_is, a->who->n, t->trend.bucket_count, "/people/n", &bar.cell));
    TRY(ask_find_series(a, &t->series, r->series, sizeof *r->series, r->count, &bar.series));
    TRY(query_trend_people(a->ctx, q, &t->trend, r, &bar, &people));
    ask_give_who(a, &people, ASK_COUNTS);
    return ERR_OK;
}

Err ask_stickiness(Asking *a, const Query *q, const ApiQuery *in)
{
    const ApiStickinessQuestion *question = &in->stickiness;
    AskTrend t = {.number = {.type = EVENT_NONE}};
    TrendResult result;
    a->names.schema = engine_schema_lock(a->engine);
    const Err err = make_stickiness(a, question, &t);
    TRY(ask_texts(a, q, err));
    TRY(query_trend(a->ctx, q, &t.trend, &result));
    a->answer->stickiness_is = DTO_VALUE;
    give_stickiness(a, &t, &result, &a->answer->stickiness);
    return a->who == NULL ? ERR_OK : give_who(a, q, &t, &result);
}
