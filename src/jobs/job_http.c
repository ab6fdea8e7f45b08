/*
 * jobs/job_http.c -- the doors of job.api.yaml.
 */
#include "job.api.h"
#include "job.sql.h"
#include "jobs/job.h"

static Err counts(Ctx *ctx, ApiJobPage *out)
{
    int64_t *const by_state[] = {&out->waiting, &out->running, &out->done, &out->dead};
    Row_job_counts *rows = NULL;
    size_t n = 0;
    TRY(sql_job_counts(ctx, &rows, &n));
    for (size_t i = 0; i < n; i++) {
        ENSURE(ctx, rows[i].state >= 1 && rows[i].state <= (int64_t)ARRAY_LEN(by_state));
        *by_state[rows[i].state - 1] = rows[i].jobs;
    }
    return ERR_OK;
}

static Err list(Work *work, Call *call)
{
    Ctx *ctx = work->ctx;
    const ApiJobListQuery *q = call->query;
    ApiJobPage *out = call->reply;
    int64_t before = INT64_MAX, unused = 0;
    if (q->cursor_is == DTO_VALUE)
        TRY(request_cursor_read(ctx, q->cursor, &before, &unused));
    Row_job_page *rows = NULL;
    TRY(sql_job_page(ctx, before, q->limit, &rows, &out->items_count));
    out->items = ARENA_ARRAY(ctx->arena, ApiJobView, out->items_count + 1);
    for (size_t i = 0; i < out->items_count; i++) {
        out->items[i] = (ApiJobView){.id = rows[i].id,
                                     .kind = rows[i].kind,
                                     .state = (ApiJobState)(rows[i].state - 1),
                                     .due_at = rows[i].due_ms,
                                     .attempts = rows[i].attempts,
                                     .attempts_max = rows[i].attempts_max,
                                     .last_error = rows[i].last_error,
                                     .created_at = rows[i].created_ms};
        if (rows[i].finished_ms != 0)
            DTO_SET(&out->items[i], finished_at, rows[i].finished_ms);
    }
    if (out->items_count == (size_t)q->limit)
        DTO_SET(out, next, request_cursor_make(ctx, rows[out->items_count - 1].id, 0));
    return counts(ctx, out);
}

static Err retry(Tx *tx, Call *call)
{
    const ApiJobRetryPath *path = call->params;
    TRY(job_retry(tx, path->id));
    call->object = path->id;
    ((ApiDone *)call->reply)->done = true;
    return ERR_OK;
}

const Door JOB_DOORS[] = {{.operation = &API_OP_JOB_LIST, .work = list},
                          {.operation = &API_OP_JOB_RETRY, .apply = retry},
                          {0}};
