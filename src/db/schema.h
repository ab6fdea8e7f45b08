/*
 * db/schema.h -- what tools/sqlgen emits for a room's .sql: its tables, its statements, row helpers.
 *
 * Owns: nothing.  Threads: any.  Included by generated code and by whoever walks over all rooms
 * (boot, the schema test, the test that prepares every statement on both engines).
 */
#pragma once

#include "db/db.h"

typedef struct SqlSchema {
    const char *room;          /* "coupon", from coupon.sql */
    const char *sqlite;        /* CREATE statements, each ended by ';' */
    const char *postgres;      /* the same for PostgreSQL */
    const char *const *tables; /* in the order of the file; ends with NULL */
    SqlStmt *const *stmts;     /* every named query; ends with NULL */
} SqlSchema;

/* A nullable i64 or bool column. */
static inline OptI64 sql_opt_i64_of(const SqlValue *v)
{
    return (OptI64){.has = !v->is_null, .v = v->is_null ? 0 : v->i64};
}

/* A nullable text or bytes column: NULL has no pointer, an empty value has one. */
static inline Str sql_opt_of(const SqlValue *v)
{
    if (v->is_null)
        return (Str){NULL, 0};
    return v->text.ptr == NULL ? STR("") : v->text;
}

/* A copy in the arena that stays NULL when it was. */
static inline Str sql_keep(Arena *arena, Str s)
{
    return s.ptr == NULL ? s : arena_copy(arena, s);
}

/* Room for one more row behind `count` rows: doubles from 16, so a list is copied at most twice. */
static inline void *sql_grow(Arena *arena, void *rows, size_t count, size_t row_bytes)
{
    const bool full = count >= 16 && (count & (count - 1)) == 0;
    if (count != 0 && !full)
        return rows;
    void *grown = arena_alloc(arena, count == 0 ? 16 : 2 * count, row_bytes);
    if (count != 0)
        memcpy(grown, rows, count * row_bytes);
    return grown;
}
