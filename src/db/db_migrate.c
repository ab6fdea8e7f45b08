/*
 * db/db_migrate.c -- installs rooms and applies migrations for db/db_migrate.h.
 */
#include "db/db_migrate.h"

#include "base/crypto.h"
#include "base/log.h"
#include "db/db_driver.h"

#include <stdio.h>

enum { SCRIPT_BYTES_MAX = 16 << 20 };

/* PostgreSQL: one process at a time changes the schema ("schema" as a number). */
#define SCHEMA_LOCK "SELECT pg_advisory_xact_lock(126879297529185);\n"

static const char OWN_TABLES_SQLITE[] =
    "CREATE TABLE IF NOT EXISTS schema_room(room TEXT PRIMARY KEY, checksum TEXT NOT NULL,"
    " installed_at INTEGER NOT NULL) STRICT;\n"
    "CREATE TABLE IF NOT EXISTS schema_migration(number INTEGER PRIMARY KEY, name TEXT NOT NULL,"
    " checksum TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT;\n";
static const char OWN_TABLES_POSTGRES[] =
    SCHEMA_LOCK "CREATE TABLE IF NOT EXISTS schema_room(room TEXT COLLATE \"C\" PRIMARY KEY,"
                " checksum TEXT COLLATE \"C\" NOT NULL, installed_at BIGINT NOT NULL);\n"
                "CREATE TABLE IF NOT EXISTS schema_migration(number BIGINT PRIMARY KEY,"
                " name TEXT COLLATE \"C\" NOT NULL, checksum TEXT COLLATE \"C\" NOT NULL,"
                " applied_at BIGINT NOT NULL);\n";

static const SqlType ROOM_OUT[] = {SQL_TEXT, SQL_TEXT, SQL_I64};
static SqlStmt room_list = {.name = "schema_room_list",
                            .sqlite = "SELECT room, checksum, installed_at FROM schema_room",
                            .postgres = "SELECT room, checksum, installed_at FROM schema_room",
                            .out = ROOM_OUT,
                            .out_count = 3};
static const SqlType MIGRATION_OUT[] = {SQL_I64, SQL_TEXT, SQL_TEXT};
static SqlStmt migration_list = {.name = "schema_migration_list",
                                 .sqlite = "SELECT number, name, checksum FROM schema_migration",
                                 .postgres = "SELECT number, name, checksum FROM schema_migration",
                                 .out = MIGRATION_OUT,
                                 .out_count = 3};

/* What is there and what is to be done.  Rooms and migrations by their place in the set. */
typedef struct Plan {
    const SchemaSet *set;
    char installed[SCHEMA_ROOMS_MAX][SCHEMA_CHECKSUM_BYTES]; /* "" = missing */
    char wanted[SCHEMA_ROOMS_MAX][SCHEMA_CHECKSUM_BYTES];
    int64_t installed_at_ms[SCHEMA_ROOMS_MAX];
    bool applied[SCHEMA_MIGRATIONS_MAX];
    int64_t version;
} Plan;

/* ---- checksums ----------------------------------------------------------------------------------- */

static void checksum_of(const char *sqlite, const char *postgres, char out[SCHEMA_CHECKSUM_BYTES])
{
    Buf both = BUF_MAX(SCRIPT_BYTES_MAX);
    buf_add(&both, str_of(sqlite));
    buf_add_char(&both, '\0');
    buf_add(&both, str_of(postgres));
    CHECK(!both.overflowed);
    uint8_t digest[CRYPTO_MAC_BYTES];
    crypto_sha256(buf_str(&both), digest);
    buf_free(&both);
    for (int i = 0; i < SCHEMA_CHECKSUM_BYTES - 1; i++)
        out[i] = "0123456789abcdef"[digest[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15];
    out[SCHEMA_CHECKSUM_BYTES - 1] = '\0';
}

void schema_checksum(const SqlSchema *room, char out[SCHEMA_CHECKSUM_BYTES])
{
    checksum_of(room->sqlite, room->postgres, out);
}

static bool same(const char *a, const char *b)
{
    return str_eq(str_of(a), str_of(b));
}

/* ---- what is there --------------------------------------------------------------------------------- */

static size_t room_at(const SchemaSet *set, Str room)
{
    size_t i = 0;
    while (i < set->room_count && !str_eq(str_of(set->rooms[i]->room), room))
        i++;
    return i;
}

static Err fail_newer(Ctx *ctx, const char *what, Str name)
{
    const Err err = fail(ctx, ERR_CONFLICT, "schema.newer", "%s %.*s", what, STR_ARG(name));
    (void)snprintf(
        ctx->fault.hint, sizeof ctx->fault.hint,
        "A newer Tongdian made this database (%s %.*s): install that version, or restore "
        "a backup of before.",
        what, (int)(name.len < 60 ? name.len : 60), name.ptr);
    return err;
}

static Err note_room(Ctx *ctx, const SqlRow *row, void *arg)
{
    Plan *plan = arg;
    const size_t at = room_at(plan->set, row->col[0].text);
    if (at == plan->set->room_count)
        return fail_newer(ctx, "room", row->col[0].text);
    if (!str_to_c(row->col[1].text, plan->installed[at], SCHEMA_CHECKSUM_BYTES))
        return fail(ctx, ERR_INTERNAL, "db.corrupt", "schema_room");
    plan->installed_at_ms[at] = row->col[2].i64;
    return ERR_OK;
}

static Err note_migration(Ctx *ctx, const SqlRow *row, void *arg)
{
    Plan *plan = arg;
    const SchemaSet *set = plan->set;
    size_t at = 0;
    while (at < set->migration_count && set->migrations[at].number != row->col[0].i64)
        at++;
    if (at == set->migration_count)
        return fail_newer(ctx, "migration", row->col[1].text);
    char checksum[SCHEMA_CHECKSUM_BYTES];
    checksum_of(set->migrations[at].sqlite, set->migrations[at].postgres, checksum);
    if (!str_eq(row->col[2].text, str_of(checksum)))
        return fail(ctx, ERR_CONFLICT, "schema.migration_changed", "%s", set->migrations[at].name);
    plan->applied[at] = true;
    if (row->col[0].i64 > plan->version)
        plan->version = row->col[0].i64;
    return ERR_OK;
}

static Err read_plan(Database *database, Ctx *ctx, const SchemaSet *set, Plan **out)
{
    CHECK(set->room_count <= SCHEMA_ROOMS_MAX && set->migration_count <= SCHEMA_MIGRATIONS_MAX);
    Plan *plan = ARENA_NEW(ctx->arena, Plan);
    plan->set = set;
    for (size_t i = 0; i < set->room_count; i++)
        schema_checksum(set->rooms[i], plan->wanted[i]);
    Db *const kept = ctx->db;
    ctx->db = database_reader_take(database);
    Err err = db_each(ctx, &room_list, NULL, note_room, plan);
    if (err == ERR_OK)
        err = db_each(ctx, &migration_list, NULL, note_migration, plan);
    database_reader_give(database, ctx->db);
    ctx->db = kept;
    *out = plan;
    return err;
}

/* Makes the own tables when they are missing; nothing else is changed. */
static Err look(Database *database, Ctx *ctx, const SchemaSet *set, Plan **out)
{
    const bool postgres = database_is_postgres(database);
    const Err err = read_plan(database, ctx, set, out);
    if (err != ERR_INTERNAL) /* a start or a check beside a busy server writes nothing */
        return err;
    TRY(database_script(database, ctx, postgres ? OWN_TABLES_POSTGRES : OWN_TABLES_SQLITE));
    return read_plan(database, ctx, set, out);
}

/* A migration of a room that is about to be installed whole is in it already. */
static bool is_pending(const Plan *plan, size_t migration)
{
    const SchemaMigration *m = &plan->set->migrations[migration];
    const size_t room = room_at(plan->set, str_of(m->room));
    CHECK(room < plan->set->room_count);
    return !plan->applied[migration] && plan->installed[room][0] != '\0';
}

static SchemaState state_of(const Plan *plan, size_t room)
{
    const char *checksum = plan->installed[room];
    if (checksum[0] == '\0')
        return SCHEMA_MISSING;
    bool moves = false;
    for (size_t i = 0; i < plan->set->migration_count; i++) {
        const SchemaMigration *m = &plan->set->migrations[i];
        CHECK(i == 0 || m[-1].number < m->number);
        if (!same(m->room, plan->set->rooms[room]->room) || !is_pending(plan, i))
            continue;
        checksum = m->leads_to;
        moves = true;
    }
    if (!same(checksum, plan->wanted[room]))
        return SCHEMA_CHANGED;
    return moves ? SCHEMA_PENDING : SCHEMA_CURRENT;
}

static Err refuse_changes(Ctx *ctx, const Plan *plan)
{
    for (size_t i = 0; i < plan->set->room_count; i++) {
        if (state_of(plan, i) != SCHEMA_CHANGED)
            continue;
        const char *room = plan->set->rooms[i]->room;
        const Err err =
            fail(ctx, ERR_CONFLICT, "schema.changed", "room %s: %s installed, %s wanted", room,
                 plan->installed[i], plan->wanted[i]);
        (void)snprintf(ctx->fault.hint, sizeof ctx->fault.hint,
                       "The tables of room %s differ from the installed ones: a migration file "
                       "migrations/NNNN_%s_what.sql is needed.",
                       room, room);
        return err;
    }
    return ERR_OK;
}

/* ---- changing it ----------------------------------------------------------------------------------- */

/* Names go into SQL text: they come from the program, and hold nothing that ends a literal. */
static Str literal(const char *name)
{
    const Str s = str_of(name);
    CHECK(str_index(s, '\'', 0) < 0 && str_index(s, '\\', 0) < 0);
    return s;
}

static void add_record(Buf *sql, const SchemaMigration *m, int64_t now_ms)
{
    char checksum[SCHEMA_CHECKSUM_BYTES];
    checksum_of(m->sqlite, m->postgres, checksum);
    buf_addf(sql,
             "INSERT INTO schema_migration(number, name, checksum, applied_at) VALUES (%" PRId64
             ", '%.*s', '%s', %" PRId64 ");\n",
             m->number, STR_ARG(literal(m->name)), checksum, now_ms);
}

static void add_sequences(Buf *sql, const SqlSchema *room)
{
    for (const char *const *table = room->tables; *table != NULL; table++)
        buf_addf(sql, "CREATE SEQUENCE IF NOT EXISTS serial_%s INCREMENT %d;\n", *table,
                 POSTGRES_SERIAL_BLOCK);
}

static Err run_script(Database *database, Ctx *ctx, Buf *sql)
{
    buf_add_char(sql, '\0');
    CHECK(!sql->overflowed);
    return database_script(database, ctx, sql->ptr);
}

static Err apply_migration(Database *database, Ctx *ctx, const SchemaMigration *m, Buf *sql)
{
    const bool postgres = database_is_postgres(database);
    buf_clear(sql);
    buf_add(sql, str_of(postgres ? SCHEMA_LOCK : ""));
    buf_add(sql, str_of(postgres ? m->postgres : m->sqlite));
    buf_addf(sql, "\nUPDATE schema_room SET checksum = '%.*s' WHERE room = '%.*s';\n",
             STR_ARG(literal(m->leads_to)), STR_ARG(literal(m->room)));
    add_record(sql, m, ctx->now_ms);
    TRY(run_script(database, ctx, sql));
    LOG(LOG_INFO, "schema.migrated", LOG_C("name", m->name));
    return ERR_OK;
}

static void add_room(const Plan *plan, size_t at, bool postgres, int64_t now_ms, Buf *sql)
{
    const SqlSchema *room = plan->set->rooms[at];
    buf_add(sql, str_of(postgres ? room->postgres : room->sqlite));
    buf_addf(
        sql,
        "\nINSERT INTO schema_room(room, checksum, installed_at) VALUES ('%.*s', '%s', %" PRId64
        ");\n",
        STR_ARG(literal(room->room)), plan->wanted[at], now_ms);
    for (size_t i = 0; i < plan->set->migration_count; i++)
        if (same(plan->set->migrations[i].room, room->room) && !plan->applied[i])
            add_record(sql, &plan->set->migrations[i], now_ms);
}

/* All missing rooms at once; on PostgreSQL also the sequences of tables that migrations brought. */
static Err install_missing(Database *database, Ctx *ctx, const Plan *plan, bool migrated, Buf *sql)
{
    const bool postgres = database_is_postgres(database);
    bool missing = false;
    buf_clear(sql);
    buf_add(sql, str_of(postgres ? SCHEMA_LOCK : ""));
    for (size_t i = 0; i < plan->set->room_count; i++) {
        if (plan->installed[i][0] != '\0')
            continue;
        missing = true;
        add_room(plan, i, postgres, ctx->now_ms, sql);
    }
    if (!missing && !migrated)
        return ERR_OK;
    for (size_t i = 0; postgres && i < plan->set->room_count; i++)
        add_sequences(sql, plan->set->rooms[i]);
    return run_script(database, ctx, sql);
}

static Err install_once(Database *database, Ctx *ctx, const SchemaSet *set)
{
    Plan *plan = NULL;
    TRY(look(database, ctx, set, &plan));
    TRY(refuse_changes(ctx, plan));
    Buf sql = BUF_MAX(SCRIPT_BYTES_MAX);
    bool migrated = false;
    Err err = ERR_OK;
    for (size_t i = 0; i < set->migration_count && err == ERR_OK; i++) {
        if (!is_pending(plan, i))
            continue;
        migrated = true;
        err = apply_migration(database, ctx, &set->migrations[i], &sql);
    }
    if (err == ERR_OK)
        err = install_missing(database, ctx, plan, migrated, &sql);
    buf_free(&sql);
    return err;
}

Err schema_install_set(Database *database, Ctx *ctx, const SchemaSet *set)
{
    const Err err = install_once(database, ctx, set);
    if (err != ERR_INTERNAL || !database_is_postgres(database))
        return err;
    /* Another process may have done the same a moment before: then nothing is left to do. */
    const Fault first = ctx->fault;
    if (install_once(database, ctx, set) == ERR_OK)
        return ERR_OK;
    ctx->fault = first;
    return err;
}

Err schema_install(Database *database, Ctx *ctx, const SqlSchema *const *rooms, size_t n)
{
    const SchemaSet set = {.rooms = rooms, .room_count = n};
    return schema_install_set(database, ctx, &set);
}

/* ---- status ------------------------------------------------------------------------------------------ */

const char *schema_state_name(SchemaState state)
{
    static const char *const NAMES[] = {[SCHEMA_MISSING] = "missing",
                                        [SCHEMA_CURRENT] = "current",
                                        [SCHEMA_PENDING] = "pending",
                                        [SCHEMA_CHANGED] = "changed"};
    CHECK(state < ARRAY_LEN(NAMES));
    return NAMES[state];
}

Err schema_status(Database *database, Ctx *ctx, const SchemaSet *set, SchemaStatus *out)
{
    Plan *plan = NULL;
    TRY(look(database, ctx, set, &plan));
    *out = (SchemaStatus){.version = plan->version, .room_count = set->room_count};
    for (size_t i = 0; i < set->room_count; i++)
        out->rooms[i] = (SchemaRoomStatus){.room = set->rooms[i]->room,
                                           .state = state_of(plan, i),
                                           .installed_at_ms = plan->installed_at_ms[i]};
    for (size_t i = 0; i < set->migration_count; i++)
        if (is_pending(plan, i))
            out->pending[out->pending_count++] = &set->migrations[i];
    return ERR_OK;
}
