/*
 * modules/audit/audit_check.c -- what `tongdian check` asks this room.
 */
#include "modules/audit/audit.h"

#include "audit.sql.h"
#include "request/check.h"

static Err check_chain(Ctx *ctx, CheckReport report, void *arg)
{
    int64_t rows = 0;
    const Err err = audit_verify(ctx, &rows);
    if (err != ERR_INTERNAL || !str_eq(str_of(ctx->fault.reason), STR("audit.broken")))
        return err;
    const Str what = arena_printf(
        ctx->arena, "audit: %s does not fit its rows: one was changed, added or removed",
        ctx->fault.detail);
    report(arg, what.ptr, 0);
    return ERR_OK;
}

const RoomCheck AUDIT_CHECK = {.schema = &AUDIT_SCHEMA, .run = check_chain};
