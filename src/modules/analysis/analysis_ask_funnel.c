/*
 * modules/analysis/analysis_ask_funnel.c -- funnels.
 */
#include "modules/analysis/analysis_ask.h"

#include <stdio.h>

static const FunnelOrder FUNNEL_ORDERS[] = {FUNNEL_SEQUENTIAL, FUNNEL_ANY, FUNNEL_STRICT};
static const FunnelEntry FUNNEL_ENTRIES[] = {FUNNEL_BEST, FUNNEL_FIRST};

static Err make_funnel(Asking *a, const ApiFunnelQuestion *q, ScanSelect *steps, Funnel *out)
{
    const AnalysisCalendar *calendar = &a->names.calendar;
    int64_t *bounds = NULL;
    uint32_t count = 0;
    *out = (Funnel){.steps = steps,
                    .step_count = (uint32_t)q->steps_count,
                    .window_ms = q->window_s * 1000,
                    .times = q->times,
                    .order = FUNNEL_ORDERS[q->order],
                    .entry = FUNNEL_ENTRIES[q->entry]};
    if (out->order == FUNNEL_ANY && out->entry != FUNNEL_BEST)
        return fail_field(a->ctx, "/funnel/entry", "query.combination",
                          "in any order there is no first step: entry must be best");
    TRY(analysis_buckets(a->ctx, calendar, q->from, q->to, ANALYSIS_BY_ALL, &bounds, &count));
    for (size_t i = 0; i < q->steps_count; i++) {
        char pointer[48];
        (void)snprintf(pointer, sizeof pointer, "/funnel/steps/%zu/of", i);
        TRY(ask_select(a, q->steps[i].of, pointer, &steps[i]));
    }
    steps[0].from_ms = bounds[0];
    steps[0].to_ms = bounds[1];
    return ERR_OK;
}

static void give_funnel(Ctx *ctx, const Funnel *f, const FunnelResult *r, ApiFunnelAnswer *out)
{
    out->steps_count = f->step_count;
    out->steps = ARENA_ARRAY(ctx->arena, ApiFunnelStepRow, f->step_count);
    for (uint32_t i = 0; i < f->step_count; i++) {
        const uint64_t persons = r->persons[i];
        out->steps[i].persons = (int64_t)persons;
        if (f->times)
            DTO_SET(&out->steps[i], average_s,
                    persons == 0 ? 0 : (int64_t)((r->ms[i] / persons + 500) / 1000));
    }
}

Err ask_funnel(Asking *a, const Query *q, const ApiQuery *in)
{
    const ApiFunnelQuestion *question = &in->funnel;
    ScanSelect *steps = ARENA_ARRAY(a->ctx->arena, ScanSelect, question->steps_count);
    Funnel funnel;
    FunnelResult result;
    a->names.schema = engine_schema_lock(a->engine);
    const Err err = make_funnel(a, question, steps, &funnel);
    TRY(ask_texts(a, q, err));
    TRY(query_funnel(a->ctx, q, &funnel, &result));
    a->answer->funnel_is = DTO_VALUE;
    give_funnel(a->ctx, &funnel, &result, &a->answer->funnel);
    return ERR_OK;
}
