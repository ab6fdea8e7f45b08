/*
 * db/db_world.h -- the world of the database tests: a fresh database per test, on both engines.
 *
 * Test code only.  BOTH_ENGINES(name) { ... } registers a test on SQLite and the same test on
 * PostgreSQL; the latter is skipped, and says so, unless TONGDIAN_TEST_PG holds the postgres:// URL
 * of a database whose name contains "test": its schema `public` is emptied by every test.
 */
#pragma once

#include "base/test.h"
#include "db/db.h"

typedef struct World {
    Database *database;
    bool postgres;
    char folder[128]; /* SQLite: of this test */
    char url[512];
    Ctx ctx; /* of the test's own thread; ctx.db is a reader */
} World;

enum { WORLD_READERS = 4, WORLD_WRITERS = 4 };

void world_begin(World *w, bool postgres);
void world_end(World *w);

/* Closes the database and opens it again. */
void world_reopen(World *w);

/* DDL with $INT and $BYTES in place of the engine's types and $STRICT behind each table. */
void world_script(World *w, const char *ddl);

/* What schema_install() does for a table whose numbers come from db_serial(). */
void world_serial(World *w, const char *table);

/* The first column of the only row; for tests that ask for one number. */
int64_t world_number(World *w, SqlStmt *stmt, const SqlValue *args);

/* A Ctx with an arena of its own, for a thread. */
Ctx world_ctx(void);
void world_ctx_free(Ctx *ctx);

#define BOTH_ENGINES(name)                                                                         \
    static void name(World *w);                                                                    \
    TEST(name##_on_sqlite)                                                                         \
    {                                                                                              \
        World w_;                                                                                  \
        world_begin(&w_, false);                                                                   \
        name(&w_);                                                                                 \
        world_end(&w_);                                                                            \
    }                                                                                              \
    TEST(name##_on_postgres)                                                                       \
    {                                                                                              \
        World w_;                                                                                  \
        world_begin(&w_, true);                                                                    \
        name(&w_);                                                                                 \
        world_end(&w_);                                                                            \
    }                                                                                              \
    static void name(World *w)

/* A statement at file scope: STATEMENT(name, sqlite text, postgres text, IN(...), OUT(...)); NONE in
 * place of IN or OUT. */
#define STATEMENT(var, sqlite, postgres, in, out)                                                  \
    static SqlStmt var = {#var, sqlite, postgres, in, out}
#define IN(...)  (const SqlType[]){__VA_ARGS__}, ARRAY_LEN(((const SqlType[]){__VA_ARGS__}))
#define OUT(...) IN(__VA_ARGS__)
#define NONE     NULL, 0
