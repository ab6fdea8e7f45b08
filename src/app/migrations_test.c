/*
 * app/migrations_test.c -- from a file migrations/NNNN_room_what.sql through tools/migrations_embed.sh into
 * a database that exists already, on both engines.
 */
#include "db/db_migrate.h"
#include "db/db_world.h"

/* Made from tools/migrations_test/. */
extern const SchemaMigration SAMPLE_MIGRATIONS[];
extern const size_t SAMPLE_MIGRATIONS_COUNT;

static const char *const TABLES[] = {"shelf", NULL};
static const SqlSchema SHELF_BEFORE = {"shelf",
                                       "CREATE TABLE shelf(id INTEGER PRIMARY KEY) STRICT;",
                                       "CREATE TABLE shelf(id BIGINT PRIMARY KEY);", TABLES, NULL};
static const SqlSchema SHELF = {
    "shelf", "CREATE TABLE shelf(id INTEGER PRIMARY KEY, note TEXT) STRICT;",
    "CREATE TABLE shelf(id BIGINT PRIMARY KEY, note TEXT COLLATE \"C\");", TABLES, NULL};

STATEMENT(shelf_add, "INSERT INTO shelf(id) VALUES (1)", "INSERT INTO shelf(id) VALUES (1)", NONE,
          NONE);
STATEMENT(shelf_note, "SELECT note FROM shelf", "SELECT note FROM shelf", NONE, OUT(SQL_TEXT));

static Err add_row(Tx *tx, void *arg)
{
    (void)arg;
    return db_exec(tx, &shelf_add, NULL, NULL);
}

static SchemaSet set_with(const SqlSchema *const *room)
{
    return (SchemaSet){.rooms = room,
                       .room_count = 1,
                       .migrations = SAMPLE_MIGRATIONS,
                       .migration_count = SAMPLE_MIGRATIONS_COUNT};
}

BOTH_ENGINES(an_embedded_migration_changes_tables_and_rows)
{
    static const SqlSchema *const BEFORE[] = {&SHELF_BEFORE}, *const AFTER[] = {&SHELF};
    EXPECT_I64((int64_t)SAMPLE_MIGRATIONS_COUNT, 1);
    EXPECT_STREQ(SAMPLE_MIGRATIONS[0].name, "0001_shelf_note");
    EXPECT_STREQ(SAMPLE_MIGRATIONS[0].room, "shelf");
    char leads_to[SCHEMA_CHECKSUM_BYTES];
    schema_checksum(&SHELF, leads_to);
    EXPECT_STREQ(SAMPLE_MIGRATIONS[0].leads_to, leads_to);
    EXPECT_I64(schema_install(w->database, &w->ctx, BEFORE, 1), ERR_OK);
    EXPECT_I64(database_write(w->database, &w->ctx, "test", add_row, NULL), ERR_OK);

    const SchemaSet set = set_with(AFTER);
    SchemaStatus *status = ARENA_NEW(w->ctx.arena, SchemaStatus);
    EXPECT_I64(schema_status(w->database, &w->ctx, &set, status), ERR_OK);
    EXPECT_I64((int64_t)status->pending_count, 1);
    EXPECT_I64(schema_install_set(w->database, &w->ctx, &set), ERR_OK);
    EXPECT_I64(schema_status(w->database, &w->ctx, &set, status), ERR_OK);
    EXPECT_I64(status->version, 1);
    EXPECT_I64((int64_t)status->pending_count, 0);
    SqlRow row;
    EXPECT_I64(db_one(&w->ctx, &shelf_note, NULL, &row), ERR_OK);
    EXPECT_STREQ(row.col[0].text.ptr, "a \"quoted\" \\ text; with 'both'");
}
