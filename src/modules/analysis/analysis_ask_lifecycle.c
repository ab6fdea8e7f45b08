/*
 * modules/analysis/analysis_ask_lifecycle.c -- lifecycle.
 */
#include "engine/ask/lifecycle.h"
#include "modules/analysis/analysis_ask.h"

typedef struct LifecycleAsking {
    Lifecycle lifecycle;
    AskSeries series;
    uint32_t earlier; /* intervals that are looked back at and not shown */
} LifecycleAsking;

/* Without a look-back the first of two earlier intervals reaches back to the beginning of all events. */
static Err make_lifecycle(Asking *a, const ApiLifecycleQuestion *q, LifecycleAsking *out)
{
    Lifecycle *l = &out->lifecycle;
    const bool ever = q->look_back_is != DTO_VALUE;
    int64_t *bounds = NULL;
    TRY(ask_whole_days(a, "a lifecycle"));
    TRY(ask_select(a, q->of, "/lifecycle/of", &l->select));
    l->look_back = ever ? 0 : (uint32_t)q->look_back;
    out->earlier = ever ? 2 : l->look_back;
    TRY(analysis_whole_buckets(a->ctx, &a->names.calendar, q->from, q->to, ASK_INTERVALS[q->by],
                               &out->earlier, &bounds, &l->interval_count));
    if (l->interval_count > QUERY_INTERVALS_MAX)
        return fail_field(a->ctx, "/lifecycle/to", "query.too_large",
                          "at most %d intervals, with those looked back at", QUERY_INTERVALS_MAX);
    if (ever && bounds[0] > 0)
        bounds[0] = 0;
    l->bounds = bounds;
    TRY(ask_series(a, q->breakdown, q->breakdown_count, "/lifecycle/breakdown", &out->series));
    l->breakdown = out->series.scan;
    l->breakdown_count = out->series.count;
    l->top = (uint32_t)q->top;
    return ERR_OK;
}

enum { PULSE_PLACES = 2 };

/* How many come for each who goes, rounded. */
static Str pulse(Ctx *ctx, const LifecycleRow *row)
{
    const TrendSum come = (TrendSum)row->fresh + (TrendSum)row->resurrecting;
    const TrendSum go = (TrendSum)row->dormant;
    return ask_decimal(ctx, (come * 100 + go / 2) / go, PULSE_PLACES, false);
}

static void give_row(Ctx *ctx, const LifecycleRow *row, const int64_t *bounds, ApiLifecycleRow *out)
{
    *out = (ApiLifecycleRow){.start = bounds[0],
                             .new = (int64_t)row->fresh,
                             .returning = (int64_t)row->returning,
                             .resurrecting = (int64_t)row->resurrecting,
                             .dormant = -(int64_t)row->dormant,
                             .complete = bounds[1] <= ctx->now_ms};
    if (row->dormant == 0)
        out->pulse_is = DTO_NULL;
    else
        DTO_SET(out, pulse, pulse(ctx, row));
}

static void give_series(const Asking *a, const LifecycleAsking *asked, const LifecycleSeries *s,
                        ApiLifecycleSeriesRow *out)
{
    const int64_t *bounds = asked->lifecycle.bounds + asked->earlier;
    out->other = s->key.is_other;
    out->values = ask_give_values(a, &asked->series, &s->key, &out->values_count);
    out->intervals_count = asked->lifecycle.interval_count - asked->earlier;
    out->intervals = ARENA_ARRAY(a->ctx->arena, ApiLifecycleRow, out->intervals_count);
    for (size_t i = 0; i < out->intervals_count; i++)
        give_row(a->ctx, &s->rows[asked->earlier + i], bounds + i, &out->intervals[i]);
}

static Err give_who(Asking *a, const Query *q, const LifecycleAsking *asked,
                    const LifecycleResult *r)
{
    /* in the order of LifecycleState */
    static const ApiPeopleOutcome HAS[] = {API_PEOPLE_OUTCOME_NEW, API_PEOPLE_OUTCOME_RETURNING,
                                           API_PEOPLE_OUTCOME_RESURRECTING,
                                           API_PEOPLE_OUTCOME_DORMANT};
    const Lifecycle *l = &asked->lifecycle;
    const ApiPeopleBar *in = a->who;
    ApiPeopleOutcome outcome = API_PEOPLE_OUTCOME_NEW;
    LifecycleBar bar = {.series = 0};
    People people;
    TRY(ask_outcome(a, HAS, ARRAY_LEN(HAS), API_PEOPLE_OUTCOME_NEW, &outcome));
    while (HAS[bar.state] != outcome)
        bar.state++;
    TRY(ask_place(a->ctx, in->interval_is, in->interval, l->interval_count - asked->earlier,
                  "/people/interval", &bar.interval));
    bar.interval += asked->earlier;
    TRY(ask_find_series(a, &asked->series, r->series, sizeof *r->series, r->count, &bar.series));
    TRY(query_lifecycle_people(a->ctx, q, l, r, &bar, &people));
    ask_give_who(a, &people, ASK_COUNTS);
    return ERR_OK;
}

Err ask_lifecycle(Asking *a, const Query *q, const ApiQuery *in)
{
    const ApiLifecycleQuestion *question = &in->lifecycle;
    LifecycleAsking asked = {.earlier = 0};
    LifecycleResult result;
    a->names.schema = engine_schema_lock(a->engine);
    const Err err = make_lifecycle(a, question, &asked);
    TRY(ask_texts(a, q, err));
    TRY(query_lifecycle(a->ctx, q, &asked.lifecycle, &result));
    ApiLifecycleAnswer *out = &a->answer->lifecycle;
    a->answer->lifecycle_is = DTO_VALUE;
    out->distinct = result.distinct;
    out->series_count = result.count;
    out->series = ARENA_ARRAY(a->ctx->arena, ApiLifecycleSeriesRow, (size_t)result.count + 1);
    for (uint32_t i = 0; i < result.count; i++)
        give_series(a, &asked, &result.series[i], &out->series[i]);
    return a->who == NULL ? ERR_OK : give_who(a, q, &asked, &result);
}
