/*
 * db/db_world.c -- fresh databases for db/db_world.h.
 */
#include "db/db_world.h"

#include "base/clock.h"
#include "db/db_driver.h"

#include <stdlib.h>
#include <unistd.h>

static const char *const FILES[] = {"t.db", "t.db-wal", "t.db-shm", "copy.db"};

Ctx world_ctx(void)
{
    return (Ctx){.arena = arena_new(4096), .now_ms = clock_now_ms()};
}

void world_ctx_free(Ctx *ctx)
{
    arena_free(ctx->arena);
}

static void open_database(World *w)
{
    const DatabaseOptions options = {
        .url = str_of(w->url), .readers = WORLD_READERS, .writers = WORLD_WRITERS};
    const Err err = database_open(&w->ctx, &options, &w->database);
    if (err != ERR_OK)
        fprintf(stderr, "open: %s %s\n", w->ctx.fault.reason, w->ctx.fault.detail);
    CHECK(err == ERR_OK);
    w->ctx.db = database_reader_take(w->database);
}

static void close_database(World *w)
{
    database_reader_give(w->database, w->ctx.db);
    database_close(w->database);
}

/* A test may only empty a database that calls itself one for tests. */
static void choose_postgres(World *w)
{
    const char *url = getenv("TONGDIAN_TEST_PG");
    if (url == NULL || url[0] == '\0')
        test_skip("TONGDIAN_TEST_PG is not set");
    CHECK(str_to_c(str_of(url), w->url, sizeof w->url));
    const char *name = strrchr(w->url, '/');
    CHECK(name != NULL && strstr(name, "test") != NULL);
}

void world_begin(World *w, bool postgres)
{
    *w = (World){.postgres = postgres};
    if (postgres) {
        choose_postgres(w);
    } else {
        const char *tmp = getenv("TMPDIR");
        (void)snprintf(w->folder, sizeof w->folder, "%s/db_test_XXXXXX",
                       tmp == NULL ? "/tmp" : tmp);
        CHECK(mkdtemp(w->folder) != NULL);
        (void)snprintf(w->url, sizeof w->url, "%s/t.db", w->folder);
    }
    w->ctx = world_ctx();
    open_database(w);
    if (postgres)
        world_script(w, "DROP SCHEMA public CASCADE; CREATE SCHEMA public;");
}

void world_end(World *w)
{
    close_database(w);
    world_ctx_free(&w->ctx);
    if (w->postgres)
        return;
    char path[256];
    for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", w->folder, FILES[i]);
        (void)unlink(path);
    }
    CHECK(rmdir(w->folder) == 0); /* a file that nobody expected is a finding */
}

void world_reopen(World *w)
{
    close_database(w);
    open_database(w);
}

void world_script(World *w, const char *ddl)
{
    const struct {
        Str token, sqlite, postgres;
    } TYPES[] = {{STR("$INT"), STR("INTEGER"), STR("BIGINT")},
                 {STR("$BYTES"), STR("BLOB"), STR("BYTEA")},
                 {STR("$STRICT"), STR("STRICT"), STR("")}};
    Buf sql = BUF_MAX(1 << 16);
    for (const char *at = ddl; *at != '\0';) {
        size_t i = 0;
        while (i < ARRAY_LEN(TYPES) && strncmp(at, TYPES[i].token.ptr, TYPES[i].token.len) != 0)
            i++;
        if (i == ARRAY_LEN(TYPES)) {
            buf_add_char(&sql, *at++);
            continue;
        }
        buf_add(&sql, w->postgres ? TYPES[i].postgres : TYPES[i].sqlite);
        at += TYPES[i].token.len;
    }
    buf_add_char(&sql, '\0');
    const Err err = database_script(w->database, &w->ctx, sql.ptr);
    if (err != ERR_OK)
        fprintf(stderr, "script: %s\n", w->ctx.fault.detail);
    buf_free(&sql);
    CHECK(err == ERR_OK);
}

void world_serial(World *w, const char *table)
{
    char sql[128];
    (void)snprintf(sql, sizeof sql, "CREATE SEQUENCE serial_%s INCREMENT %d;", table,
                   POSTGRES_SERIAL_BLOCK);
    if (w->postgres)
        world_script(w, sql);
}

int64_t world_number(World *w, SqlStmt *stmt, const SqlValue *args)
{
    SqlRow row;
    CHECK(db_one(&w->ctx, stmt, args, &row) == ERR_OK);
    CHECK(!row.col[0].is_null);
    return row.col[0].i64;
}
