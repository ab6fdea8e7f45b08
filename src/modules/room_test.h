/*
 * modules/room_test.h -- the world of a room's tests: a fresh database with the rooms' tables, on both
 * engines.
 *
 * Test code only.  ROOM_TEST(sentence, &STORE_SCHEMA, ...) { ... } registers a test on SQLite and the
 * same on PostgreSQL (skipped as db/db_world.h says) with `Room *room` in scope; &SETTING_SCHEMA and
 * the like come from the rooms' .sql.h.  The clock stands at ROOM_NOW_MS; the caller is the system,
 * the settings are the defaults, the keys are new ones of this process.
 */
#pragma once

#include "base/clock.h"
#include "base/keyring.h"
#include "db/db_migrate.h"
#include "db/db_world.h"
#include "modules/setting/setting.h"
#include "request/principal.h"

#include <stdlib.h>
#include <unistd.h>

/* 2026-11-21 12:00 in China. */
#define ROOM_NOW_MS INT64_C(1795233600000)

typedef struct Room {
    World world;
    Ctx *ctx; /* of the test's thread; reads */
    Settings settings;
} Room;

/* Expects `call` to fail so; the fault is in `ctx`. */
#define EXPECT_FAULT(ctx, call, err, why)                                                          \
    do {                                                                                           \
        EXPECT_I64((call), (err));                                                                 \
        EXPECT_STREQ((ctx)->fault.reason, (why));                                                  \
    } while (0)

/* Expects `call` to succeed, and says why when it does not. */
#define EXPECT_OK(ctx, call)                                                                       \
    do {                                                                                           \
        if ((call) != ERR_OK) {                                                                    \
            fprintf(stderr, "%s:%d: %s: %s %s %s\n", __FILE__, __LINE__, #call,                    \
                    (ctx)->fault.reason, (ctx)->fault.pointer, (ctx)->fault.detail);               \
            test_stop();                                                                           \
        }                                                                                          \
    } while (0)

/* A text as EXPECT_STREQ() wants it. */
#define ROOM_C(room, s) (arena_copy((room)->ctx->arena, (s)).ptr)

/* One transaction. */
static inline Err room_write(Room *room, TxBody apply, void *arg)
{
    return database_write(room->world.database, room->ctx, "test", apply, arg);
}

/* Time passes, for requests that begin now. */
static inline void room_advance(Room *room, int64_t by_ms)
{
    clock_advance_ms(by_ms);
    room->ctx->now_ms = clock_now_ms();
}

/* Made once: what is in a key file is base/keyring.h's business, not a room's. */
static inline const Keyring *room_keys(Ctx *ctx)
{
    static Keyring *keys;
    if (keys != NULL)
        return keys;
    char folder[128], path[160];
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(folder, sizeof folder, "%s/room_test_XXXXXX", tmp == NULL ? "/tmp" : tmp);
    CHECK(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof path, "%s/keys", folder);
    CHECK(keyring_create(ctx, str_of(path)) == ERR_OK);
    CHECK(keyring_load(ctx, str_of(path), &keys) == ERR_OK);
    CHECK(unlink(path) == 0 && rmdir(folder) == 0);
    return keys;
}

static inline void room_run(bool postgres, const SqlSchema *const *schemas, size_t n,
                            void (*body)(Room *))
{
    Room room;
    world_begin(&room.world, postgres);
    clock_set_ms(ROOM_NOW_MS);
    room.settings = setting_default();
    room.ctx = &room.world.ctx;
    room.ctx->now_ms = ROOM_NOW_MS;
    room.ctx->who = &PRINCIPAL_OF_SYSTEM;
    room.ctx->settings = &room.settings;
    room.ctx->keys = room_keys(room.ctx);
    EXPECT_OK(room.ctx, schema_install(room.world.database, room.ctx, schemas, n));
    body(&room);
    world_end(&room.world);
}

#define ROOM_TEST(name, ...)                                                                       \
    static void name(Room *room);                                                                  \
    static const SqlSchema *const name##_schemas[] = {__VA_ARGS__};                                \
    TEST(name##_on_sqlite)                                                                         \
    {                                                                                              \
        room_run(false, name##_schemas, ARRAY_LEN(name##_schemas), name);                          \
    }                                                                                              \
    TEST(name##_on_postgres)                                                                       \
    {                                                                                              \
        room_run(true, name##_schemas, ARRAY_LEN(name##_schemas), name);                           \
    }                                                                                              \
    static void name(UNUSED Room *room)
