/*
 * db/db_sqlite.c -- the SQLite side of db/db.h; with db_sqlite_writer.c and db_sqlite_checkpoint.c the only
 * file that includes sqlite3.h.
 *
 * Here: connections, statements, values.  The writer thread and checkpoints are next door.
 */
#include "db/db_sqlite.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* A quota or a file size limit stops writes to the log like a full disk does, but SQLite calls it an
 * I/O error and keeps the system's reason with the file. */
static int without_room(sqlite3 *lite, int rc)
{
    sqlite3_file *log = NULL;
    int os = 0;
    if (rc != SQLITE_IOERR_WRITE ||
        sqlite3_file_control(lite, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) != SQLITE_OK ||
        log == NULL || log->pMethods == NULL)
        return rc;
    (void)log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &os);
    return os == EDQUOT || os == EFBIG ? SQLITE_FULL : rc;
}

Err lite_fail(Ctx *ctx, sqlite3 *lite, int rc, const char *what)
{
    static const struct {
        int rc;
        Err err;
        const char *reason;
    } KINDS[] = {{SQLITE_BUSY, ERR_BUSY, "db.busy"},
                 {SQLITE_LOCKED, ERR_BUSY, "db.busy"},
                 {SQLITE_FULL, ERR_BUSY, "disk.full"},
                 {SQLITE_INTERRUPT, ERR_BUSY, "db.deadline"},
                 {SQLITE_CONSTRAINT, ERR_INTERNAL, "db.constraint"},
                 {SQLITE_CORRUPT, ERR_INTERNAL, "db.corrupt"},
                 {SQLITE_NOTADB, ERR_INTERNAL, "db.corrupt"}};
    const int kind = without_room(lite, rc) & 0xff;
    for (size_t i = 0; i < ARRAY_LEN(KINDS); i++)
        if (KINDS[i].rc == kind)
            return fail(ctx, KINDS[i].err, KINDS[i].reason, "%s: %d %s", what, rc,
                        sqlite3_errmsg(lite));
    return fail(ctx, ERR_INTERNAL, "db.failed", "%s: %d %s", what, rc, sqlite3_errmsg(lite));
}

/* Page size, cache and write-ahead log as measured for the hot rooms: small pages because each
 * transaction dirties two random ones, a small cache because COMMIT walks it. */
static const char *const SETUP[] = {
    [LITE_WRITER] =
        "PRAGMA page_size=2048; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        "PRAGMA cache_size=-32768; PRAGMA cache_spill=OFF; PRAGMA mmap_size=4294967296;"
        "PRAGMA temp_store=MEMORY; PRAGMA wal_autocheckpoint=0; PRAGMA foreign_keys=ON;"
        "PRAGMA trusted_schema=OFF; PRAGMA application_id=0x746f6e67;"
        "CREATE TABLE IF NOT EXISTS database_serial(name TEXT PRIMARY KEY, taken INTEGER NOT NULL)"
        " STRICT, WITHOUT ROWID;",
    [LITE_READER] = "PRAGMA query_only=ON; PRAGMA cache_size=-2048; PRAGMA mmap_size=4294967296;"
                    "PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF;",
    /* Nothing that writes: it would queue behind the writer. */
    [LITE_CHECKPOINTER] = "PRAGMA synchronous=FULL; PRAGMA mmap_size=4294967296;"
                          "PRAGMA wal_autocheckpoint=0; PRAGMA trusted_schema=OFF;"};

Err lite_db_open(Ctx *ctx, LiteDatabase *database, LiteRole role, LiteDb **out)
{
    LiteDb *db = calloc(1, sizeof *db);
    CHECK(db != NULL);
    db->base.database = &database->base;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                      (role == LITE_WRITER ? SQLITE_OPEN_CREATE : 0);
    int rc = sqlite3_open_v2(database->path, &db->lite, flags, NULL);
    if (rc == SQLITE_OK) {
        (void)sqlite3_extended_result_codes(db->lite, 1);
        (void)sqlite3_busy_timeout(db->lite, 5000);
        rc = sqlite3_exec(db->lite, SETUP[role], NULL, NULL, NULL);
    }
    if (rc != SQLITE_OK) {
        const Err err = lite_fail(ctx, db->lite, rc, database->path);
        lite_db_close(db);
        return err;
    }
    *out = db;
    return ERR_OK;
}

void lite_db_close(LiteDb *db)
{
    if (db == NULL)
        return;
    for (int i = 0; i < db->stmt_count; i++)
        (void)sqlite3_finalize(db->stmts[i]);
    (void)sqlite3_finalize(db->begin);
    (void)sqlite3_finalize(db->commit);
    free(db->stmts);
    (void)sqlite3_close(db->lite);
    free(db);
}

/* Any SQL error spoils the transaction: nothing more may succeed in it. */
static Err stmt_fail(Ctx *ctx, LiteDb *db, int rc, const SqlStmt *stmt)
{
    db->base.poisoned = true;
    db->failed_rc = rc;
    return lite_fail(ctx, db->lite, rc, stmt->name);
}

/* The prepared statement, from the connection's cache. */
static Err stmt_get(Ctx *ctx, LiteDb *db, SqlStmt *stmt, sqlite3_stmt **out)
{
    const int slot = stmt_slot(stmt);
    if (slot >= db->stmt_count) {
        const int count = slot + 64;
        db->stmts = realloc(db->stmts, (size_t)count * sizeof(*db->stmts));
        CHECK(db->stmts != NULL);
        memset(db->stmts + db->stmt_count, 0,
               (size_t)(count - db->stmt_count) * sizeof(*db->stmts));
        db->stmt_count = count;
    }
    if (db->stmts[slot] == NULL) {
        const int rc = sqlite3_prepare_v3(db->lite, stmt->sqlite, -1, SQLITE_PREPARE_PERSISTENT,
                                          &db->stmts[slot], NULL);
        if (rc != SQLITE_OK)
            return stmt_fail(ctx, db, rc, stmt);
        CHECK(sqlite3_bind_parameter_count(db->stmts[slot]) == stmt->in_count);
    }
    *out = db->stmts[slot];
    return ERR_OK;
}

static int bind_one(sqlite3_stmt *s, int at, const SqlValue *v)
{
    if (v->is_null)
        return sqlite3_bind_null(s, at);
    const char *ptr = v->text.ptr == NULL ? "" : v->text.ptr; /* NULL would bind SQL NULL */
    switch (v->type) {
    case SQL_I64:
    case SQL_BOOL:
        return sqlite3_bind_int64(s, at, v->i64);
    case SQL_TEXT:
        return sqlite3_bind_text64(s, at, ptr, v->text.len, SQLITE_STATIC, SQLITE_UTF8);
    case SQL_BYTES:
        return sqlite3_bind_blob64(s, at, ptr, v->text.len, SQLITE_STATIC);
    }
    return SQLITE_MISUSE;
}

static Err bind_all(Ctx *ctx, LiteDb *db, sqlite3_stmt *s, const SqlStmt *stmt,
                    const SqlValue *args)
{
    for (int i = 0; i < stmt->in_count; i++) {
        DCHECK(args[i].type == stmt->in[i]);
        const int rc = bind_one(s, i + 1, &args[i]);
        if (rc != SQLITE_OK)
            return stmt_fail(ctx, db, rc, stmt);
    }
    return ERR_OK;
}

/* The current row; text points into SQLite's memory until the next step. */
static void read_row(sqlite3_stmt *s, const SqlStmt *stmt, SqlRow *row)
{
    row->count = stmt->out_count;
    for (int i = 0; i < row->count; i++) {
        SqlValue *v = &row->col[i];
        *v = (SqlValue){.type = stmt->out[i], .is_null = sqlite3_column_type(s, i) == SQLITE_NULL};
        if (v->is_null)
            continue;
        if (v->type == SQL_I64 || v->type == SQL_BOOL) {
            v->i64 = sqlite3_column_int64(s, i);
            continue;
        }
        const void *ptr = v->type == SQL_TEXT ? (const void *)sqlite3_column_text(s, i)
                                              : sqlite3_column_blob(s, i);
        const size_t len = (size_t)sqlite3_column_bytes(s, i);
        v->text = (Str){len == 0 ? "" : ptr, len};
    }
}

static void copy_texts(Ctx *ctx, SqlRow *row)
{
    for (int i = 0; i < row->count; i++)
        if (!row->col[i].is_null && row->col[i].text.ptr != NULL)
            row->col[i].text = arena_copy(ctx->arena, row->col[i].text);
}

static Err stmt_begin(Ctx *ctx, LiteDb *db, SqlStmt *stmt, const SqlValue *args, sqlite3_stmt **out)
{
    if (db->base.poisoned)
        return fail(ctx, ERR_INTERNAL, "db.poisoned", "%s", stmt->name);
    TRY(stmt_get(ctx, db, stmt, out));
    return bind_all(ctx, db, *out, stmt, args);
}

static Err step_one(Ctx *ctx, LiteDb *db, sqlite3_stmt *s, const SqlStmt *stmt, SqlRow *row)
{
    int rc = sqlite3_step(s);
    if (rc == SQLITE_DONE)
        return fail(ctx, ERR_NOT_FOUND, "not_found", "%s", stmt->name);
    if (rc == SQLITE_ROW) {
        read_row(s, stmt, row);
        copy_texts(ctx, row);
        rc = sqlite3_step(s);
        CHECK(rc != SQLITE_ROW);
    }
    return rc == SQLITE_DONE ? ERR_OK : stmt_fail(ctx, db, rc, stmt);
}

Err lite_one(Ctx *ctx, SqlStmt *stmt, const SqlValue *args, SqlRow *row)
{
    LiteDb *db = lite_db_of(ctx->db);
    sqlite3_stmt *s = NULL;
    TRY(stmt_begin(ctx, db, stmt, args, &s));
    const Err err = step_one(ctx, db, s, stmt, row);
    (void)sqlite3_reset(s);
    return err;
}

static Err step_each(Ctx *ctx, LiteDb *db, sqlite3_stmt *s, const SqlStmt *stmt, SqlRowFn fn,
                     void *arg)
{
    SqlRow row;
    int rc = 0;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        read_row(s, stmt, &row);
        TRY(fn(ctx, &row, arg));
    }
    return rc == SQLITE_DONE ? ERR_OK : stmt_fail(ctx, db, rc, stmt);
}

Err lite_each(Ctx *ctx, SqlStmt *stmt, const SqlValue *args, SqlRowFn fn, void *arg)
{
    LiteDb *db = lite_db_of(ctx->db);
    sqlite3_stmt *s = NULL;
    TRY(stmt_begin(ctx, db, stmt, args, &s));
    const Err err = step_each(ctx, db, s, stmt, fn, arg);
    (void)sqlite3_reset(s);
    return err;
}

/* Reading pins the state; BEGIN alone does not. */
Err lite_snapshot(Ctx *ctx, bool begin)
{
    LiteDb *db = lite_db_of(ctx->db);
    const char *sql = begin ? "BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1" : "COMMIT";
    const int rc = sqlite3_exec(db->lite, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? ERR_OK : lite_fail(ctx, db->lite, rc, "snapshot");
}

static int past_deadline(void *arg)
{
    const LiteDb *db = arg;
    return clock_mono_us() > db->deadline_us;
}

/* Asked every DEADLINE_STEPS steps of SQLite's machine, some 100 us; without a deadline not at all. */
void lite_deadline(Db *reader, int64_t until_us)
{
    enum { DEADLINE_STEPS = 4000 };
    LiteDb *db = lite_db_of(reader);
    if (db->deadline_us == until_us)
        return;
    db->deadline_us = until_us;
    sqlite3_progress_handler(db->lite, DEADLINE_STEPS, until_us == 0 ? NULL : past_deadline, db);
}

static void run_prepared(LiteDb *db, sqlite3_stmt **s, const char *sql)
{
    if (*s == NULL &&
        sqlite3_prepare_v3(db->lite, sql, -1, SQLITE_PREPARE_PERSISTENT, s, NULL) != SQLITE_OK)
        return;
    (void)sqlite3_step(*s);
    (void)sqlite3_reset(*s);
}

/* The state begins with the first read, not with BEGIN.  Should BEGIN fail, each read has its own, as
 * without it; an error may have ended the state already. */
void lite_state(Db *reader, bool begin)
{
    LiteDb *db = lite_db_of(reader);
    if (begin)
        run_prepared(db, &db->begin, "BEGIN");
    else if (sqlite3_get_autocommit(db->lite) == 0)
        run_prepared(db, &db->commit, "COMMIT");
}

static Err verify_by(Ctx *ctx, LiteDb *db, const char *sql, DbFindingFn report, void *arg)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db->lite, sql, -1, &s, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(s, 0);
        rc = SQLITE_OK;
        if (!str_eq(str_of(text), STR("ok")))
            report(arg, text);
    }
    /* Too damaged to be tested to the end is a finding, not a failure. */
    const bool damaged = (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
    if (damaged)
        report(arg, sqlite3_errmsg(db->lite));
    const Err err = damaged || rc == SQLITE_DONE ? ERR_OK : lite_fail(ctx, db->lite, rc, sql);
    (void)sqlite3_finalize(s);
    return err;
}

Err lite_verify(Ctx *ctx, DbFindingFn report, void *arg)
{
    LiteDb *db = lite_db_of(ctx->db);
    TRY(verify_by(ctx, db, "PRAGMA integrity_check(100)", report, arg));
    return verify_by(ctx, db,
                     "SELECT 'table ' || \"table\" || ', row ' || coalesce(rowid, '?') ||"
                     " ': refers to a row that is not there'"
                     " FROM pragma_foreign_key_check LIMIT 100",
                     report, arg);
}

Err lite_exec(Tx *tx, SqlStmt *stmt, const SqlValue *args, int64_t *changed)
{
    LiteDb *db = lite_db_of(tx->ctx->db);
    sqlite3_stmt *s = NULL;
    TRY(stmt_begin(tx->ctx, db, stmt, args, &s));
    const int rc = sqlite3_step(s);
    const Err err = rc == SQLITE_DONE ? ERR_OK : stmt_fail(tx->ctx, db, rc, stmt);
    (void)sqlite3_reset(s);
    if (err == ERR_OK && changed != NULL)
        *changed = sqlite3_changes64(db->lite);
    return err;
}

/* ---- serial numbers ------------------------------------------------------------------------------ */

enum { SERIAL_BLOCK = 256 };

/* The first number that no row has and no earlier run of the program can have given out. */
static Err first_serial(Tx *tx, const Serial *serial, int64_t *out)
{
    LiteDb *db = lite_db_of(tx->ctx->db);
    char sql[256];
    (void)sqlite3_snprintf(sizeof sql, sql,
                           "SELECT max(coalesce((SELECT max(id) FROM \"%w\"), 0) + 1,"
                           " coalesce((SELECT taken FROM database_serial WHERE name = %Q), 0))",
                           serial->table, serial->table);
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db->lite, sql, -1, &s, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW)
        *out = sqlite3_column_int64(s, 0);
    const Err err = rc == SQLITE_ROW ? ERR_OK : lite_fail(tx->ctx, db->lite, rc, serial->table);
    db->base.poisoned |= err != ERR_OK;
    (void)sqlite3_finalize(s);
    return err;
}

/* Numbers come from memory; the database learns once per block how far they may have got, because the
 * highest id in the table does not tell: its row may have been deleted since.  Only the writer thread
 * comes here, so nobody else gives out numbers in between. */
Err lite_serial(Tx *tx, Serial *serial, int64_t *out)
{
    static const SqlType MARK_IN[] = {SQL_TEXT, SQL_I64};
    static SqlStmt mark = {.name = "database_serial_mark",
                           .sqlite = "INSERT INTO database_serial(name, taken) VALUES (?1, ?2)"
                                     " ON CONFLICT(name) DO UPDATE SET taken = excluded.taken",
                           .in = MARK_IN,
                           .in_count = 2};
    const int slot = serial_slot(serial);
    int64_t next = atomic_load(&tx->database->serials[slot].next);
    if (next == 0)
        TRY(first_serial(tx, serial, &next));
    if (next >= atomic_load(&tx->database->serials[slot].end)) {
        const SqlValue args[] = {sql_text(str_of(serial->table)), sql_i64(next + SERIAL_BLOCK)};
        TRY(lite_exec(tx, &mark, args, NULL));
        atomic_store(&tx->database->serials[slot].end, next + SERIAL_BLOCK);
    }
    atomic_store(&tx->database->serials[slot].next, next + 1);
    *out = next;
    return ERR_OK;
}

void lite_serial_forget_marks(LiteDatabase *database)
{
    for (int i = 0; i < SERIALS_MAX; i++)
        atomic_store(&database->base.serials[i].end, 0);
}

/* ---- copy and scripts ---------------------------------------------------------------------------- */

static Err sync_path(Ctx *ctx, const char *path, int flags)
{
    const int fd = open(path, flags | O_CLOEXEC);
    const bool synced = fd >= 0 && fsync(fd) == 0;
    const int os = errno;
    if (fd >= 0)
        (void)close(fd);
    return synced ? ERR_OK : fail(ctx, ERR_INTERNAL, "db.backup", "sync %s: errno %d", path, os);
}

/* The copy and its name in the folder, by hand because SQLite syncs neither. */
static Err sync_copy(Ctx *ctx, const char *path)
{
    TRY(sync_path(ctx, path, O_RDWR));
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return sync_path(ctx, ".", O_RDONLY | O_DIRECTORY);
    const Str folder = {path, slash == path ? 1 : (size_t)(slash - path)};
    return sync_path(ctx, arena_copy(ctx->arena, folder).ptr, O_RDONLY | O_DIRECTORY);
}

static Err copy_into(Ctx *ctx, LiteDatabase *database, const char *path)
{
    LiteDb *db = NULL;
    TRY(lite_db_open(ctx, database, LITE_CHECKPOINTER, &db));
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db->lite, "VACUUM INTO ?1", -1, &s, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(s, 1, path, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    const Err err = rc == SQLITE_DONE ? ERR_OK : lite_fail(ctx, db->lite, rc, "backup");
    (void)sqlite3_finalize(s);
    lite_db_close(db);
    return err;
}

/* VACUUM INTO copies one read snapshot while the writer goes on; it accepts an empty file, so that the
 * name is ours before it starts. */
Err lite_backup(Database *base, Ctx *ctx, Str path)
{
    char to[1024];
    if (!str_to_c(path, to, sizeof to))
        return fail(ctx, ERR_INVALID, "db.path", "path too long or with a NUL byte");
    const int fd = open(to, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return fail(ctx, ERR_CONFLICT, "db.backup_exists", "%s", to);
    if (fd < 0)
        return fail(ctx, ERR_INVALID, "db.backup_path", "%s: errno %d", to, errno);
    (void)close(fd);
    Err err = copy_into(ctx, lite_database_of(base), to);
    if (err == ERR_OK)
        err = sync_copy(ctx, to);
    if (err != ERR_OK)
        (void)unlink(to);
    return err;
}

Err lite_script(Database *base, Ctx *ctx, const char *sql)
{
    LiteDatabase *database = lite_database_of(base);
    lite_gate_close(database);
    sqlite3 *lite = database->writer->lite;
    int rc = sqlite3_exec(lite, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(lite, sql, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(lite, "COMMIT", NULL, NULL, NULL);
    Err err = ERR_OK;
    if (rc != SQLITE_OK) {
        err = fail(ctx, ERR_INTERNAL, "db.script", "%d %s", rc, sqlite3_errmsg(lite));
        if (sqlite3_get_autocommit(lite) == 0)
            (void)sqlite3_exec(lite, "ROLLBACK", NULL, NULL, NULL);
    }
    lite_gate_open(database);
    return err;
}
