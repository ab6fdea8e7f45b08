/*
 * db/db_postgres.c -- the PostgreSQL side of db/db.h; with db_postgres_pool.c the only file that
 * includes libpq-fe.h.
 *
 * Here: connections, statements, values.  Everything travels in binary form with explicit types, so
 * nothing is escaped, parsed or guessed.  A result is fetched whole before its first row is shown:
 * a callback may then ask the same connection, as on SQLite.
 */
#include "db/db_postgres.h"

#include "base/clock.h"
#include "base/log.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>

enum { OID_BYTEA = 17, OID_INT8 = 20, OID_TEXT = 25 };

enum { CONNECT_WAIT_US = 100000, CONNECT_WAIT_US_MAX = 5000000 };

/* ---- errors -------------------------------------------------------------------------------------- */

/* SQLSTATEs by prefix, the first match counts. */
static const struct {
    const char *prefix;
    Err err;
    const char *reason;
    bool retry;
} KINDS[] = {{"40001", ERR_BUSY, "db.busy", true}, /* serialization_failure */
             {"40P01", ERR_BUSY, "db.busy", true}, /* deadlock_detected */
             {"55P03", ERR_BUSY, "db.busy", false},
             {"57014", ERR_BUSY, "db.deadline", false},
             {"53100", ERR_BUSY, "disk.full", false},
             {"53", ERR_BUSY, "db.busy", false}, /* memory, connections */
             {"57P", ERR_BUSY, "db.unreachable", false},
             {"08", ERR_BUSY, "db.unreachable", false},
             {"23", ERR_INTERNAL, "db.constraint", false},
             {"XX001", ERR_INTERNAL, "db.corrupt", false},
             {"XX002", ERR_INTERNAL, "db.corrupt", false}};

bool pg_is_lost(const PgDb *db)
{
    return PQstatus(db->pg) != CONNECTION_OK;
}

static Err fail_by_state(Ctx *ctx, PgDb *db, const char *state, const char *message,
                         const char *what)
{
    for (size_t i = 0; i < ARRAY_LEN(KINDS); i++) {
        if (!str_starts_with(str_of(state), str_of(KINDS[i].prefix)))
            continue;
        db->retry |= KINDS[i].retry;
        return fail(ctx, KINDS[i].err, KINDS[i].reason, "%s %s: %s", state, message, what);
    }
    return fail(ctx, ERR_INTERNAL, "db.failed", "%s %s: %s", state, message, what);
}

Err pg_fail(Ctx *ctx, PgDb *db, PGresult *result, const char *what)
{
    db->base.poisoned = true;
    /* The primary message only: the others quote values. */
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    Err err = ERR_OK;
    if (state == NULL || pg_is_lost(db))
        err = fail(ctx, ERR_BUSY, "db.unreachable", "%s: %s", what, PQerrorMessage(db->pg));
    else
        err = fail_by_state(ctx, db, state, message == NULL ? "" : message, what);
    PQclear(result);
    return err;
}

Err pg_command(Ctx *ctx, PgDb *db, const char *sql)
{
    PGresult *result = PQexec(db->pg, sql);
    const ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        return pg_fail(ctx, db, result, sql);
    PQclear(result);
    return ERR_OK;
}

/* ---- connections --------------------------------------------------------------------------------- */

#define SETUP_ALL "SET standard_conforming_strings = on; SET timezone = 'UTC';"
static const char *const SETUP[] = {
    [PG_WRITER] =
        SETUP_ALL "SET synchronous_commit = on; SET default_transaction_isolation = 'serializable';"
                  "SET statement_timeout = '30s'; SET lock_timeout = '10s';"
                  "SET idle_in_transaction_session_timeout = '60s';",
    [PG_READER] = SETUP_ALL
    "SET default_transaction_read_only = on; SET default_transaction_isolation = 'read committed';"
    "SET statement_timeout = '30s';",
    /* a migration may take its time, but it shall not queue behind a forgotten lock for ever */
    [PG_SCRIPT] = SETUP_ALL "SET synchronous_commit = on; SET statement_timeout = 0;"
                            "SET lock_timeout = '30s';"};

/* Notices ("relation exists, skipping") are no news. */
static void swallow_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

static Err set_up(Ctx *ctx, PgDb *db, PgRole role)
{
    if (pg_is_lost(db))
        return fail(ctx, ERR_BUSY, "db.unreachable", "%s", PQerrorMessage(db->pg));
    const char *encoding = PQparameterStatus(db->pg, "server_encoding");
    if (encoding == NULL || !str_eq(str_of(encoding), STR("UTF8")))
        return fail(ctx, ERR_INVALID, "db.encoding", "the database must be UTF8, not %s",
                    encoding == NULL ? "unknown" : encoding);
    (void)PQsetNoticeProcessor(db->pg, swallow_notice, NULL);
    return pg_command(ctx, db, SETUP[role]);
}

Err pg_db_open(Ctx *ctx, PgDatabase *database, PgRole role, PgDb **out)
{
    /* What stands before the URL is a default that the URL may override. */
    static const char *const NAMES[] = {"connect_timeout", "tcp_user_timeout", "application_name",
                                        "dbname",          "client_encoding",  NULL};
    const char *const values[] = {"5", "15000", "tongdian", database->url, "UTF8", NULL};
    PgDb *db = calloc(1, sizeof *db);
    CHECK(db != NULL);
    db->base.database = &database->base;
    db->writes = role == PG_WRITER;
    db->wait_us = CONNECT_WAIT_US;
    db->pg = PQconnectdbParams(NAMES, values, 1);
    CHECK(db->pg != NULL);
    const Err err = set_up(ctx, db, role);
    db->base.poisoned = false;
    if (err != ERR_OK) {
        pg_db_close(db);
        return err;
    }
    *out = db;
    return ERR_OK;
}

void pg_db_close(PgDb *db)
{
    if (db == NULL)
        return;
    PQfinish(db->pg);
    free(db->prepared);
    free(db);
}

Err pg_reconnect(Ctx *ctx, PgDb *db)
{
    if (clock_mono_us() < db->next_try_us)
        return fail(ctx, ERR_BUSY, "db.unreachable", "waiting to connect again");
    PQreset(db->pg);
    if (db->prepared_count > 0)
        memset(db->prepared, 0, (size_t)db->prepared_count * sizeof(*db->prepared));
    const Err err = set_up(ctx, db, db->writes ? PG_WRITER : PG_READER);
    db->base.poisoned = false;
    LOG(LOG_WARN, "db.reconnect", LOG_C("result", err_name(err)));
    db->wait_us = err == ERR_OK ? CONNECT_WAIT_US : db->wait_us * 2;
    if (db->wait_us > CONNECT_WAIT_US_MAX)
        db->wait_us = CONNECT_WAIT_US_MAX;
    db->next_try_us = err == ERR_OK ? 0 : clock_mono_us() + db->wait_us;
    return err;
}

/* ---- parameters ---------------------------------------------------------------------------------- */

static Oid oid_of(SqlType type)
{
    switch (type) {
    case SQL_I64:
    case SQL_BOOL: /* columns hold 0 and 1 */
        return OID_INT8;
    case SQL_TEXT:
        return OID_TEXT;
    case SQL_BYTES:
        return OID_BYTEA;
    }
    return 0;
}

/* The statement's name on this connection, prepared at its first use. */
static Err prepare(Ctx *ctx, PgDb *db, SqlStmt *stmt, char name[16])
{
    const int slot = stmt_slot(stmt);
    (void)snprintf(name, 16, "s%d", slot);
    if (slot >= db->prepared_count) {
        const int count = slot + 64;
        db->prepared = realloc(db->prepared, (size_t)count * sizeof(*db->prepared));
        CHECK(db->prepared != NULL);
        memset(db->prepared + db->prepared_count, 0,
               (size_t)(count - db->prepared_count) * sizeof(*db->prepared));
        db->prepared_count = count;
    }
    if (db->prepared[slot])
        return ERR_OK;
    CHECK(stmt->in_count <= SQL_ARGS_MAX && stmt->out_count <= SQL_COLS_MAX);
    Oid oids[SQL_ARGS_MAX];
    for (int i = 0; i < stmt->in_count; i++)
        oids[i] = oid_of(stmt->in[i]);
    PGresult *result = PQprepare(db->pg, name, stmt->postgres, stmt->in_count, oids);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        return pg_fail(ctx, db, result, stmt->name);
    PQclear(result);
    db->prepared[slot] = true;
    return ERR_OK;
}

typedef struct Params {
    const char *values[SQL_ARGS_MAX];
    int lengths[SQL_ARGS_MAX];
    int formats[SQL_ARGS_MAX];
    uint64_t numbers[SQL_ARGS_MAX]; /* big endian */
} Params;

static Err fill_params(Ctx *ctx, const SqlStmt *stmt, const SqlValue *args, Params *p)
{
    for (int i = 0; i < stmt->in_count; i++) {
        const SqlValue *v = &args[i];
        DCHECK(v->type == stmt->in[i]);
        const bool number = v->type == SQL_I64 || v->type == SQL_BOOL;
        if (v->text.len > INT32_MAX)
            return fail(ctx, ERR_TOO_LARGE, "db.value", "%s: parameter %d", stmt->name, i + 1);
        p->formats[i] = 1;
        p->numbers[i] = htobe64((uint64_t)v->i64);
        p->values[i] = number ? (const char *)&p->numbers[i] : v->text.ptr;
        p->lengths[i] = number ? (int)sizeof(p->numbers[i]) : (int)v->text.len;
        if (!v->is_null && p->values[i] == NULL)
            p->values[i] = ""; /* NULL would be SQL NULL */
        if (v->is_null)
            p->values[i] = NULL;
    }
    return ERR_OK;
}

/* ---- results ------------------------------------------------------------------------------------- */

/* A result that is not of the declared shape is a wrong statement. */
static bool has_shape(const PGresult *result, const SqlStmt *stmt)
{
    static const struct {
        SqlType type;
        Oid oids[4];
    } FITS[] = {{SQL_I64, {OID_INT8, 23, 21}}, /* int4 and int2: literals in SELECT */
                {SQL_BOOL, {OID_INT8, 23, 21, 16}},
                {SQL_TEXT, {OID_TEXT, 1043}},
                {SQL_BYTES, {OID_BYTEA}}};
    if (PQnfields(result) != stmt->out_count)
        return false;
    for (int i = 0; i < stmt->out_count; i++) {
        bool fits = false;
        for (size_t k = 0; k < ARRAY_LEN(FITS[0].oids); k++)
            fits |= FITS[stmt->out[i]].oids[k] == PQftype(result, i);
        if (!fits)
            return false;
    }
    return true;
}

static int64_t number_of(const char *bytes, int length)
{
    uint64_t v = bytes[0] < 0 ? UINT64_MAX : 0; /* sign */
    for (int i = 0; i < length; i++)
        v = v << 8 | (unsigned char)bytes[i];
    return (int64_t)v;
}

/* Text points into `result`. */
static void read_row(const PGresult *result, int at, const SqlStmt *stmt, SqlRow *row)
{
    row->count = stmt->out_count;
    for (int i = 0; i < row->count; i++) {
        SqlValue *v = &row->col[i];
        *v = (SqlValue){.type = stmt->out[i], .is_null = PQgetisnull(result, at, i) != 0};
        if (v->is_null)
            continue;
        const char *bytes = PQgetvalue(result, at, i);
        const int length = PQgetlength(result, at, i);
        if (v->type == SQL_I64 || v->type == SQL_BOOL)
            v->i64 = number_of(bytes, length);
        else
            v->text = (Str){bytes, (size_t)length};
    }
}

/* ---- statements ---------------------------------------------------------------------------------- */

static Err run_once(Ctx *ctx, PgDb *db, SqlStmt *stmt, const Params *p, PGresult **out)
{
    char name[16];
    TRY(prepare(ctx, db, stmt, name));
    PGresult *result =
        PQexecPrepared(db->pg, name, stmt->in_count, p->values, p->lengths, p->formats, 1);
    const ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        return pg_fail(ctx, db, result, stmt->name);
    if (!has_shape(result, stmt)) {
        PQclear(result);
        db->base.poisoned = true;
        return fail(ctx, ERR_INTERNAL, "db.shape", "%s: other columns than declared", stmt->name);
    }
    *out = result;
    return ERR_OK;
}

/* A lost reader's connection is made anew and asked once more: reading changes nothing. */
static Err run(Ctx *ctx, PgDb *db, SqlStmt *stmt, const SqlValue *args, PGresult **out)
{
    if (db->base.poisoned)
        return fail(ctx, ERR_INTERNAL, "db.poisoned", "%s", stmt->name);
    Params p;
    TRY(fill_params(ctx, stmt, args, &p));
    const Err err = run_once(ctx, db, stmt, &p, out);
    if (err == ERR_OK || db->writes || !pg_is_lost(db))
        return err;
    TRY(pg_reconnect(ctx, db));
    return run_once(ctx, db, stmt, &p, out);
}

Err pg_one(Ctx *ctx, SqlStmt *stmt, const SqlValue *args, SqlRow *row)
{
    PGresult *result = NULL;
    TRY(run(ctx, pg_db_of(ctx->db), stmt, args, &result));
    const int rows = PQntuples(result);
    CHECK(rows <= 1);
    if (rows == 1)
        read_row(result, 0, stmt, row);
    for (int i = 0; rows == 1 && i < row->count; i++)
        if (row->col[i].text.ptr != NULL)
            row->col[i].text = arena_copy(ctx->arena, row->col[i].text);
    PQclear(result);
    return rows == 1 ? ERR_OK : fail(ctx, ERR_NOT_FOUND, "not_found", "%s", stmt->name);
}

Err pg_each(Ctx *ctx, SqlStmt *stmt, const SqlValue *args, SqlRowFn fn, void *arg)
{
    PGresult *result = NULL;
    TRY(run(ctx, pg_db_of(ctx->db), stmt, args, &result));
    const int rows = PQntuples(result);
    Err err = ERR_OK;
    SqlRow row;
    for (int at = 0; at < rows && err == ERR_OK; at++) {
        read_row(result, at, stmt, &row);
        err = fn(ctx, &row, arg);
    }
    PQclear(result);
    return err;
}

Err pg_exec(Tx *tx, SqlStmt *stmt, const SqlValue *args, int64_t *changed)
{
    PGresult *result = NULL;
    TRY(run(tx->ctx, pg_db_of(tx->ctx->db), stmt, args, &result));
    int64_t rows = 0;
    if (!str_to_i64(str_of(PQcmdTuples(result)), &rows)) /* "" for what counts nothing */
        rows = 0;
    PQclear(result);
    if (changed != NULL)
        *changed = rows;
    return ERR_OK;
}

/* ---- serial numbers ------------------------------------------------------------------------------ */

/* The sequence is made by schema_install(); what it hands out is never taken back by a rollback. */
static Err next_block(Ctx *ctx, const Serial *serial, int64_t *from)
{
    static const SqlType IN[] = {SQL_TEXT}, OUT[] = {SQL_I64};
    static SqlStmt next = {.name = "serial_block",
                           .postgres = "SELECT nextval(CAST($1 AS regclass))",
                           .in = IN,
                           .in_count = 1,
                           .out = OUT,
                           .out_count = 1};
    char name[80];
    const int n = snprintf(name, sizeof name, "serial_%s", serial->table);
    CHECK(n > 0 && n < (int)sizeof name);
    const SqlValue args[] = {sql_text((Str){name, (size_t)n})};
    SqlRow row;
    TRY(pg_one(ctx, &next, args, &row));
    *from = row.col[0].i64;
    return ERR_OK;
}

Err pg_serial(Tx *tx, Serial *serial, int64_t *out)
{
    PgDatabase *database = pg_database_of(tx->database);
    const int slot = serial_slot(serial);
    _Atomic int64_t *next = &tx->database->serials[slot].next;
    _Atomic int64_t *end = &tx->database->serials[slot].end;
    Err err = ERR_OK;
    CHECK(pthread_mutex_lock(&database->serials) == 0);
    if (atomic_load(next) == atomic_load(end)) {
        int64_t from = 0;
        err = next_block(tx->ctx, serial, &from);
        atomic_store(next, from);
        atomic_store(end, err == ERR_OK ? from + POSTGRES_SERIAL_BLOCK : from);
    }
    if (err == ERR_OK)
        *out = atomic_fetch_add(next, 1);
    CHECK(pthread_mutex_unlock(&database->serials) == 0);
    return err;
}

/* ---- scripts ------------------------------------------------------------------------------------- */

/* The first query pins the state, not BEGIN.  Queries of a check may take longer than those of a
 * request. */
Err pg_snapshot(Ctx *ctx, bool begin)
{
    PgDb *db = pg_db_of(ctx->db);
    return pg_command(ctx, db,
                      begin ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
                              "SET LOCAL statement_timeout = 0; SELECT 1"
                            : "COMMIT");
}

Err pg_verify(Ctx *ctx, DbFindingFn report, void *arg)
{
    (void)ctx;
    (void)report;
    (void)arg;
    return ERR_OK;
}

Err pg_script(Database *base, Ctx *ctx, const char *sql)
{
    PgDb *db = NULL;
    TRY(pg_db_open(ctx, pg_database_of(base), PG_SCRIPT, &db));
    Err err = pg_command(ctx, db, "BEGIN");
    if (err == ERR_OK)
        err = pg_command(ctx, db, sql);
    if (err == ERR_OK)
        err = pg_command(ctx, db, "COMMIT");
    pg_db_close(db); /* an open transaction ends with its connection */
    if (err == ERR_INTERNAL)
        ctx->fault.reason = "db.script";
    return err;
}

Err pg_backup(Database *base, Ctx *ctx, Str path)
{
    (void)base;
    (void)path;
    Fault *fault = &ctx->fault;
    const Err err = fail(ctx, ERR_INVALID, "db.backup_postgres", "asked for a copy");
    (void)snprintf(fault->hint, sizeof fault->hint,
                   "This database is PostgreSQL: back it up with pg_dump or a base backup.");
    return err;
}
