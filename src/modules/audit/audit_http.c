/*
 * modules/audit/audit_http.c -- the door of audit.api.yaml.
 */
#include "modules/audit/audit_http.h"

#include "audit.api.h"
#include "audit.sql.h"

static Err list(Work *work, Call *call)
{
    Ctx *ctx = work->ctx;
    const ApiAuditListQuery *q = call->query;
    ApiAuditPage *out = call->reply;
    int64_t before = INT64_MAX, unused = 0;
    if (q->cursor_is == DTO_VALUE)
        TRY(request_cursor_read(ctx, q->cursor, &before, &unused));
    Row_audit_page *rows = NULL;
    TRY(sql_audit_page(ctx, before, q->limit, &rows, &out->items_count));
    out->items = ARENA_ARRAY(ctx->arena, ApiAuditRow, out->items_count + 1);
    for (size_t i = 0; i < out->items_count; i++) {
        ApiAuditRow *v = &out->items[i];
        *v = (ApiAuditRow){.id = rows[i].id,
                           .at = rows[i].at_ms,
                           .who_kind = rows[i].who_kind,
                           .action = rows[i].action,
                           .detail = rows[i].detail};
        if (rows[i].who != 0)
            DTO_SET(v, who, rows[i].who);
        if (rows[i].object != 0)
            DTO_SET(v, object, rows[i].object);
    }
    if (out->items_count == (size_t)q->limit)
        DTO_SET(out, next, request_cursor_make(ctx, rows[out->items_count - 1].id, 0));
    return ERR_OK;
}

const Door AUDIT_DOORS[] = {{.operation = &API_OP_AUDIT_LIST, .work = list}, {0}};
