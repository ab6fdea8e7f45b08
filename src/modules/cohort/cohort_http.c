/*
 * modules/cohort/cohort_http.c -- the doors of cohort.api.yaml.
 */
#include "modules/cohort/cohort_http.h"

#include "cohort.api.h"
#include "modules/cohort/cohort.h"

static ApiCohortView view_of(Ctx *ctx, const Cohort *c, const CohortUse *uses, size_t count)
{
    ApiCohortView v = {
        .name = c->name, .rule = c->rule, .created = c->created_ms, .changed = c->changed_ms};
    v.uses = ARENA_ARRAY(ctx->arena, Str, count + 1);
    v.used_by = ARENA_ARRAY(ctx->arena, Str, count + 1);
    for (size_t i = 0; i < count; i++) {
        if (str_eq(uses[i].user, c->name))
            v.uses[v.uses_count++] = uses[i].used;
        if (str_eq(uses[i].used, c->name))
            v.used_by[v.used_by_count++] = uses[i].user;
    }
    return v;
}

static Err list(Work *work, Call *call)
{
    Ctx *ctx = work->ctx;
    ApiCohortList *out = call->reply;
    Cohort *cohorts = NULL;
    CohortUse *uses = NULL;
    size_t count = 0;
    TRY(cohort_list(ctx, &cohorts, &out->items_count));
    TRY(cohort_uses(ctx, &uses, &count));
    out->items = ARENA_ARRAY(ctx->arena, ApiCohortView, out->items_count + 1);
    for (size_t i = 0; i < out->items_count; i++)
        out->items[i] = view_of(ctx, &cohorts[i], uses, count);
    return ERR_OK;
}

static Err give(Ctx *ctx, const Cohort *c, ApiCohortView *out)
{
    CohortUse *uses = NULL;
    size_t count = 0;
    TRY(cohort_uses(ctx, &uses, &count));
    *out = view_of(ctx, c, uses, count);
    return ERR_OK;
}

static Err get(Work *work, Call *call)
{
    const ApiCohortGetPath *path = call->params;
    Cohort c;
    TRY(cohort_find(work->ctx, path->name, &c));
    return give(work->ctx, &c, call->reply);
}

/* Each looks at who names whom of all: one after the other. */
enum { WRITERS = 0x636f686f };

static Err put_prepare(Ctx *ctx, Call *call)
{
    call->hot_key = WRITERS;
    const ApiCohortPutPath *path = call->params;
    const ApiCohortDraft *in = call->body;
    CohortDraft *draft = ARENA_NEW(ctx->arena, CohortDraft);
    call->state = draft;
    return cohort_read(ctx, path->name, in->rule, draft);
}

static Err put_apply(Tx *tx, Call *call)
{
    Cohort c;
    TRY(cohort_put(tx, call->state, &c));
    call->object = c.id;
    return give(tx->ctx, &c, call->reply);
}

static Err delete_prepare(Ctx *ctx, Call *call)
{
    (void)ctx;
    call->hot_key = WRITERS;
    return ERR_OK;
}

static Err delete_apply(Tx *tx, Call *call)
{
    const ApiCohortDeletePath *path = call->params;
    TRY(cohort_delete(tx, path->name, &call->object));
    ((ApiDone *)call->reply)->done = true;
    return ERR_OK;
}

const Door COHORT_DOORS[] = {
    {.operation = &API_OP_COHORT_LIST, .work = list},
    {.operation = &API_OP_COHORT_GET, .work = get},
    {.operation = &API_OP_COHORT_PUT, .prepare = put_prepare, .apply = put_apply},
    {.operation = &API_OP_COHORT_DELETE, .prepare = delete_prepare, .apply = delete_apply},
    {0}};
