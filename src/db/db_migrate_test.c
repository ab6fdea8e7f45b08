/*
 * db/db_migrate_test.c -- installing, adding and migrating rooms on both engines.
 */
#include "db/db_migrate.h"
#include "db/db_world.h"

#include <stdlib.h>

static const char *const ALPHA_TABLES[] = {"alpha", NULL};
static const char *const BETA_TABLES[] = {"beta", NULL};

#define ALPHA_SQLITE   "CREATE TABLE alpha(id INTEGER PRIMARY KEY) STRICT;"
#define ALPHA_POSTGRES "CREATE TABLE alpha(id BIGINT PRIMARY KEY);"
static const SqlSchema ALPHA = {"alpha", ALPHA_SQLITE, ALPHA_POSTGRES, ALPHA_TABLES, NULL};
static const SqlSchema ALPHA_2 = {
    "alpha", "CREATE TABLE alpha(id INTEGER PRIMARY KEY, n INTEGER) STRICT;",
    "CREATE TABLE alpha(id BIGINT PRIMARY KEY, n BIGINT);", ALPHA_TABLES, NULL};
static const SqlSchema BETA = {
    "beta", "CREATE TABLE beta(id INTEGER PRIMARY KEY REFERENCES alpha(id)) STRICT;",
    "CREATE TABLE beta(id BIGINT PRIMARY KEY REFERENCES alpha(id));", BETA_TABLES, NULL};
/* Makes its table and then fails. */
static const SqlSchema BROKEN = {
    "broken", "CREATE TABLE beta(id INTEGER PRIMARY KEY) STRICT; CREATE TABLE alpha(id INTEGER);",
    "CREATE TABLE beta(id BIGINT PRIMARY KEY); CREATE TABLE alpha(id BIGINT);", BETA_TABLES, NULL};

STATEMENT(alpha_add, "INSERT INTO alpha(id) VALUES (?1)", "INSERT INTO alpha(id) VALUES ($1)",
          IN(SQL_I64), NONE);
STATEMENT(alpha_count, "SELECT count(*) FROM alpha", "SELECT count(*) FROM alpha", NONE,
          OUT(SQL_I64));
STATEMENT(alpha_n, "SELECT n FROM alpha WHERE id = ?1", "SELECT n FROM alpha WHERE id = $1",
          IN(SQL_I64), OUT(SQL_I64));
STATEMENT(beta_count, "SELECT count(*) FROM beta", "SELECT count(*) FROM beta", NONE, OUT(SQL_I64));
STATEMENT(room_count, "SELECT count(*) FROM schema_room", "SELECT count(*) FROM schema_room", NONE,
          OUT(SQL_I64));

static Serial alpha_serial = {.table = "alpha"};

static Err apply_alpha(Tx *tx, void *arg)
{
    TRY(db_serial(tx, &alpha_serial, arg));
    const SqlValue args[] = {sql_i64(*(int64_t *)arg)};
    return db_exec(tx, &alpha_add, args, NULL);
}

static Err install(World *w, const SqlSchema *a, const SqlSchema *b)
{
    const SqlSchema *const rooms[] = {a, b};
    return schema_install(w->database, &w->ctx, rooms, b == NULL ? 1 : 2);
}

/* 0001 adds the column, 0002 fills it and leads to ALPHA_2. */
static char alpha_2_checksum[SCHEMA_CHECKSUM_BYTES];
static SchemaMigration migrations[] = {
    {1, "0001_alpha_n", "alpha", "ALTER TABLE alpha ADD COLUMN n INTEGER;",
     "ALTER TABLE alpha ADD COLUMN n BIGINT;", "0000000000000001"},
    {2, "0002_alpha_fill", "alpha", "UPDATE alpha SET n = id + 100;",
     "UPDATE alpha SET n = id + 100;", alpha_2_checksum}};

static const SqlSchema *const NEW_ROOMS[] = {&ALPHA_2, &BETA};

static SchemaSet new_set(void)
{
    schema_checksum(&ALPHA_2, alpha_2_checksum);
    return (SchemaSet){NEW_ROOMS, 2, migrations, ARRAY_LEN(migrations)};
}

/* What a `migrate` without arguments would show; the caller frees it. */
static SchemaStatus *status_of(World *w, const SchemaSet *set)
{
    SchemaStatus *s = calloc(1, sizeof *s);
    CHECK(s != NULL && schema_status(w->database, &w->ctx, set, s) == ERR_OK);
    return s;
}

BOTH_ENGINES(a_fresh_database_gets_all_rooms_and_a_second_start_changes_nothing)
{
    EXPECT_I64(install(w, &ALPHA, &BETA), ERR_OK);
    EXPECT_I64(install(w, &ALPHA, &BETA), ERR_OK);
    EXPECT_I64(world_number(w, &alpha_count, NULL), 0);
    EXPECT_I64(world_number(w, &beta_count, NULL), 0);
    EXPECT_I64(world_number(w, &room_count, NULL), 2);
    int64_t id = 0;
    EXPECT_I64(database_write(w->database, &w->ctx, "alpha", apply_alpha, &id), ERR_OK);
    EXPECT_I64(id, 1);
}

BOTH_ENGINES(a_missing_room_is_added_and_rows_of_the_others_stay)
{
    EXPECT_I64(install(w, &ALPHA, NULL), ERR_OK);
    int64_t id = 0;
    EXPECT_I64(database_write(w->database, &w->ctx, "alpha", apply_alpha, &id), ERR_OK);
    EXPECT_I64(install(w, &ALPHA, &BETA), ERR_OK);
    EXPECT_I64(world_number(w, &alpha_count, NULL), 1);
    EXPECT_I64(world_number(w, &beta_count, NULL), 0);
}

BOTH_ENGINES(a_room_that_cannot_be_made_leaves_no_room_behind)
{
    EXPECT_I64(install(w, &ALPHA, &BROKEN), ERR_INTERNAL);
    EXPECT_STREQ(w->ctx.fault.reason, "db.script");
    EXPECT_I64(world_number(w, &room_count, NULL), 0);
    EXPECT_I64(install(w, &ALPHA, &BETA), ERR_OK);
    EXPECT_I64(world_number(w, &beta_count, NULL), 0);
}

BOTH_ENGINES(a_changed_room_without_migration_is_refused_by_name)
{
    EXPECT_I64(install(w, &ALPHA, NULL), ERR_OK);
    EXPECT_I64(install(w, &ALPHA_2, &BETA), ERR_CONFLICT);
    EXPECT_STREQ(w->ctx.fault.reason, "schema.changed");
    CHECK(strstr(w->ctx.fault.hint, "room alpha") != NULL);
    CHECK(strstr(w->ctx.fault.hint, "migrations/NNNN_alpha_what.sql") != NULL);
    EXPECT_I64(world_number(w, &room_count, NULL), 1); /* beta was not added either */
}

BOTH_ENGINES(a_room_that_the_program_does_not_know_is_refused)
{
    EXPECT_I64(install(w, &ALPHA, &BETA), ERR_OK);
    EXPECT_I64(install(w, &ALPHA, NULL), ERR_CONFLICT);
    EXPECT_STREQ(w->ctx.fault.reason, "schema.newer");
}

BOTH_ENGINES(migrations_lead_an_old_room_to_the_new_schema_and_run_once)
{
    EXPECT_I64(install(w, &ALPHA, NULL), ERR_OK);
    int64_t id = 0;
    EXPECT_I64(database_write(w->database, &w->ctx, "alpha", apply_alpha, &id), ERR_OK);
    const SchemaSet set = new_set();
    SchemaStatus *s = status_of(w, &set);
    EXPECT_I64(s->version, 0);
    EXPECT_STREQ(schema_state_name(s->rooms[0].state), "pending");
    EXPECT_STREQ(schema_state_name(s->rooms[1].state), "missing");
    EXPECT_I64((int64_t)s->pending_count, 2);
    EXPECT_STREQ(s->pending[0]->name, "0001_alpha_n");
    free(s);
    EXPECT_I64(schema_install_set(w->database, &w->ctx, &set), ERR_OK);
    EXPECT_I64(schema_install_set(w->database, &w->ctx, &set), ERR_OK);
    const SqlValue args[] = {sql_i64(id)};
    EXPECT_I64(world_number(w, &alpha_n, args), id + 100);
    s = status_of(w, &set);
    EXPECT_I64(s->version, 2);
    EXPECT_I64(s->rooms[0].state, SCHEMA_CURRENT);
    EXPECT_I64(s->rooms[1].state, SCHEMA_CURRENT);
    CHECK(s->rooms[1].installed_at_ms == w->ctx.now_ms);
    EXPECT_I64((int64_t)s->pending_count, 0);
    free(s);
}

BOTH_ENGINES(a_fresh_database_holds_the_migrations_already)
{
    const SchemaSet set = new_set();
    EXPECT_I64(schema_install_set(w->database, &w->ctx, &set), ERR_OK);
    SchemaStatus *s = status_of(w, &set);
    EXPECT_I64(s->version, 2);
    EXPECT_I64((int64_t)s->pending_count, 0);
    free(s);
}

BOTH_ENGINES(a_failing_migration_keeps_those_before_it_and_can_be_repeated)
{
    EXPECT_I64(install(w, &ALPHA, NULL), ERR_OK);
    const SchemaSet set = new_set();
    const SchemaMigration good = migrations[1];
    migrations[1].sqlite = migrations[1].postgres =
        "INSERT INTO alpha(id, n) VALUES (9, 9); INSERT INTO alpha(id, n) VALUES (9, 9);";
    const Err err = schema_install_set(w->database, &w->ctx, &set);
    migrations[1] = good;
    EXPECT_I64(err, ERR_INTERNAL);
    EXPECT_STREQ(w->ctx.fault.reason, "db.script");
    EXPECT_I64(world_number(w, &alpha_count, NULL), 0);
    SchemaStatus *s = status_of(w, &set);
    EXPECT_I64(s->version, 1);
    EXPECT_I64((int64_t)s->pending_count, 1);
    free(s);
    EXPECT_I64(schema_install_set(w->database, &w->ctx, &set), ERR_OK);
}

BOTH_ENGINES(an_applied_migration_may_not_change_or_vanish)
{
    SchemaSet set = new_set();
    EXPECT_I64(schema_install_set(w->database, &w->ctx, &set), ERR_OK);
    const SchemaMigration good = migrations[0];
    migrations[0].sqlite = "ALTER TABLE alpha ADD COLUMN m INTEGER;";
    const Err err = schema_install_set(w->database, &w->ctx, &set);
    migrations[0] = good;
    EXPECT_I64(err, ERR_CONFLICT);
    EXPECT_STREQ(w->ctx.fault.reason, "schema.migration_changed");
    set.migration_count = 1;
    EXPECT_I64(schema_install_set(w->database, &w->ctx, &set), ERR_CONFLICT);
    EXPECT_STREQ(w->ctx.fault.reason, "schema.newer");
}
