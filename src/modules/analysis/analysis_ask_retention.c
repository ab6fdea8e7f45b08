/*
 * modules/analysis/analysis_ask_retention.c -- retention.
 */
#include "modules/analysis/analysis_ask.h"

static Err make_retention(Asking *a, const ApiRetentionQuestion *q, Retention *out)
{
    int64_t *bounds = NULL;
    TRY(ask_select(a, q->start, "/retention/start", &out->start));
    TRY(ask_select(a, q->returns, "/retention/returns", &out->comes_back));
    TRY(analysis_buckets(a->ctx, &a->names.calendar, q->from, q->to, ASK_INTERVALS[q->by], &bounds,
                         &out->interval_count));
    if (out->interval_count > QUERY_INTERVALS_MAX)
        return fail_field(a->ctx, "/retention/to", "query.too_large", "at most %d intervals",
                          QUERY_INTERVALS_MAX);
    out->bounds = bounds;
    out->cohort =
        q->cohort == API_RETENTION_QUESTION_COHORT_FIRST ? RETENTION_FIRST : RETENTION_RECURRING;
    out->comes =
        q->comes == API_RETENTION_QUESTION_COMES_ON_OR_AFTER ? RETENTION_ON_OR_AFTER : RETENTION_ON;
    return ERR_OK;
}

static void give_retention(Ctx *ctx, const Retention *r, const RetentionResult *result,
                           ApiRetentionAnswer *out)
{
    const uint32_t n = r->interval_count;
    out->cohorts_count = n;
    out->cohorts = ARENA_ARRAY(ctx->arena, ApiRetentionRow, n);
    for (uint32_t i = 0; i < n; i++) {
        ApiRetentionRow *row = &out->cohorts[i];
        const uint64_t *cells = result->cells + (size_t)i * n;
        row->start = r->bounds[i];
        row->persons = (int64_t)cells[0];
        row->returned_count = n - i - 1;
        row->returned = ARENA_ARRAY(ctx->arena, int64_t, n);
        for (uint32_t k = 1; i + k < n; k++) {
            row->returned[k - 1] = (int64_t)cells[k];
            row->complete += r->bounds[i + k + 1] <= ctx->now_ms;
        }
    }
}

Err ask_retention(Asking *a, const Query *q, const ApiQuery *in)
{
    const ApiRetentionQuestion *question = &in->retention;
    Retention retention = {.bounds = NULL};
    RetentionResult result;
    a->names.schema = engine_schema_lock(a->engine);
    const Err err = make_retention(a, question, &retention);
    TRY(ask_texts(a, q, err));
    TRY(query_retention(a->ctx, q, &retention, &result));
    a->answer->retention_is = DTO_VALUE;
    give_retention(a->ctx, &retention, &result, &a->answer->retention);
    return ERR_OK;
}
