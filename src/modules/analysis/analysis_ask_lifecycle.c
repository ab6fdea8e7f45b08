/*
 * modules/analysis/analysis_ask_lifecycle.c -- lifecycle.
 */
#include "modules/analysis/analysis_ask.h"

typedef struct LifecycleAsking {
    Lifecycle lifecycle;
    uint32_t earlier; /* intervals that are looked back at and not shown */
} LifecycleAsking;

/* Without a look-back the first of two earlier intervals reaches back to the beginning of all events. */
static Err make_lifecycle(Asking *a, const ApiLifecycleQuestion *q, LifecycleAsking *out)
{
    Lifecycle *l = &out->lifecycle;
    const bool ever = q->look_back_is != DTO_VALUE;
    int64_t *bounds = NULL;
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
    return ERR_OK;
}

static void give_lifecycle(Ctx *ctx, const LifecycleAsking *asked, const LifecycleResult *r,
                           ApiLifecycleAnswer *out)
{
    const int64_t *bounds = asked->lifecycle.bounds + asked->earlier;
    const LifecycleRow *rows = r->rows + asked->earlier;
    out->intervals_count = asked->lifecycle.interval_count - asked->earlier;
    out->intervals = ARENA_ARRAY(ctx->arena, ApiLifecycleRow, out->intervals_count);
    for (size_t i = 0; i < out->intervals_count; i++)
        out->intervals[i] = (ApiLifecycleRow){.start = bounds[i],
                                              .new = (int64_t)rows[i].fresh,
                                              .returning = (int64_t)rows[i].returning,
                                              .resurrecting = (int64_t)rows[i].resurrecting,
                                              .dormant = -(int64_t)rows[i].dormant,
                                              .complete = bounds[i + 1] <= ctx->now_ms};
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
    a->answer->lifecycle_is = DTO_VALUE;
    give_lifecycle(a->ctx, &asked, &result, &a->answer->lifecycle);
    return ERR_OK;
}
