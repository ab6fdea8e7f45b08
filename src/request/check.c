/*
 * request/check.c -- runs a room's queries for request/check.h.
 */
#include "request/check.h"

SqlStmt *check_query_of(const SqlSchema *schema, const char *name)
{
    SqlStmt *const *s = schema->stmts;
    while (*s != NULL && !str_eq(str_of((*s)->name), str_of(name)))
        s++;
    CHECK(*s != NULL);
    return *s;
}

typedef struct Findings {
    const char *what;
    CheckReport report;
    void *arg;
} Findings;

static Err report_row(Ctx *ctx, const SqlRow *row, void *arg)
{
    const Findings *f = arg;
    const Str what = str_of(f->what);
    const int64_t at = str_index(what, '#', 0);
    if (at < 0 || row->count < 2) {
        f->report(f->arg, f->what, row->col[0].i64);
        return ERR_OK;
    }
    const Str filled = arena_printf(ctx->arena, "%.*s%" PRId64 "%s", (int)at, what.ptr,
                                    row->col[1].i64, what.ptr + at + 1);
    f->report(f->arg, filled.ptr, row->col[0].i64);
    return ERR_OK;
}

Err check_room(Ctx *ctx, const RoomCheck *room, CheckReport report, void *arg)
{
    for (const CheckQuery *q = room->queries; q != NULL && q->query != NULL; q++) {
        Findings f = {.what = q->what, .report = report, .arg = arg};
        TRY(db_each(ctx, check_query_of(room->schema, q->query), NULL, report_row, &f));
    }
    return room->run == NULL ? ERR_OK : room->run(ctx, report, arg);
}
