/*
 * db/db.h -- SQL as the rooms see it: named statements, typed values, one shape of transaction.
 *
 * Two engines behind one door: SQLite (default) and PostgreSQL.  Rooms never call this header
 * directly for queries: tools/sqlgen turns each room's .sql into typed calls.
 *
 *   Database   the database: hands out readers, runs writes durably.
 *   Db      one connection.  One thread at a time.
 *   Tx      the right to write, inside one transaction.  Only database_submit()/database_write() make one.
 *
 * Law: a write is one transaction.  `apply` may run more than once (the group it was in was rolled
 * back, or PostgreSQL asked for a retry), so it changes nothing but the database, its own result and
 * its arena; what must happen in memory goes to tx_after_commit().  Any Err rolls all of it back.
 * Any SQL error poisons the transaction on both engines: expected conflicts use ON CONFLICT and the
 * row count.
 */
#pragma once

#include "base/ctx.h"
#include "base/queue.h"

typedef struct Db Db;
typedef struct Database Database;
typedef struct Tx Tx;

typedef enum SqlType { SQL_I64, SQL_BOOL, SQL_TEXT, SQL_BYTES } SqlType;

/* A value that may be absent (SQL NULL). */
typedef struct OptI64 {
    bool has;
    int64_t v;
} OptI64;

typedef struct SqlValue {
    SqlType type;
    bool is_null;
    int64_t i64; /* SQL_I64, SQL_BOOL */
    Str text;    /* SQL_TEXT, SQL_BYTES */
} SqlValue;

static inline SqlValue sql_i64(int64_t v)
{
    return (SqlValue){.type = SQL_I64, .i64 = v};
}
static inline SqlValue sql_opt_i64(OptI64 v)
{
    return (SqlValue){.type = SQL_I64, .is_null = !v.has, .i64 = v.v};
}
static inline SqlValue sql_bool(bool v)
{
    return (SqlValue){.type = SQL_BOOL, .i64 = v};
}
static inline SqlValue sql_text(Str v)
{
    return (SqlValue){.type = SQL_TEXT, .text = v};
}
static inline SqlValue sql_bytes(Str v)
{
    return (SqlValue){.type = SQL_BYTES, .text = v};
}
/* For nullable text and bytes: a Str without pointer is NULL. */
static inline SqlValue sql_opt(SqlType type, Str v)
{
    return (SqlValue){.type = type, .is_null = v.ptr == NULL, .text = v};
}

enum { SQL_COLS_MAX = 48, SQL_ARGS_MAX = 48 };

/* A named statement.  sqlgen emits these; everything but `slot` is constant. */
typedef struct SqlStmt {
    const char *name;     /* in logs, metrics and slow-query reports */
    const char *sqlite;   /* with ?1, ?2 ... */
    const char *postgres; /* with $1, $2 ... */
    const SqlType *in;    /* types of the parameters, in order */
    int in_count;
    const SqlType
        *out; /* types of the result columns, in order; none for writes without RETURNING */
    int out_count;
    atomic_int slot; /* place in each connection's statement cache; 0 = not yet given out */
} SqlStmt;

typedef struct SqlRow {
    int count;
    SqlValue col[SQL_COLS_MAX];
} SqlRow;

/* ---- reading: ctx->db must be set ------------------------------------------------------------ */

/* Exactly one row, text copied to ctx->arena.  ERR_NOT_FOUND "not_found" when there is none; more
 * than one is a CHECK: the query is wrong. */
MUST_USE Err db_one(Ctx *ctx, SqlStmt *stmt, const SqlValue *args, SqlRow *row);

/* Calls `fn` per row; the row's text lives only during the call.  An Err from `fn` stops and is
 * returned. */
typedef Err (*SqlRowFn)(Ctx *ctx, const SqlRow *row, void *arg);
MUST_USE Err db_each(Ctx *ctx, SqlStmt *stmt, const SqlValue *args, SqlRowFn fn, void *arg);

/* From here until db_snapshot_end() everything that ctx->db reads is one state of the database.  SQLite
 * cannot shorten its write-ahead log meanwhile: minutes, not hours. */
MUST_USE Err db_snapshot_begin(Ctx *ctx);
void db_snapshot_end(Ctx *ctx);

/* Reading through `reader` is stopped at `until_us` (monotonic; 0 = never): BUSY "db.deadline".  Giving the
 * reader back ends it.  Nothing to do on PostgreSQL, which stops each statement after 30 seconds. */
void db_set_deadline(Db *reader, int64_t until_us);

/* The engine's own test of its pages, indexes and foreign keys: one call of `report` per finding, at
 * most 100 of each kind.  PostgreSQL finds nothing here: it checks its pages as it reads them. */
typedef void (*DbFindingFn)(void *arg, const char *what);
MUST_USE Err db_verify(Ctx *ctx, DbFindingFn report, void *arg);

/* ---- writing: only inside a Tx ---------------------------------------------------------------- */

struct Tx {
    Ctx *ctx; /* ctx->db is the writing connection */
    Database *database;
    /* below: db's own */
    Buf *journal;         /* see tx_journal() */
    struct TxHook *hooks; /* newest first */
};

/* `changed` (may be NULL) = rows inserted, updated or deleted. */
MUST_USE Err db_exec(Tx *tx, SqlStmt *stmt, const SqlValue *args, int64_t *changed);

/* Runs `fn(arg)` on the committing thread after the commit is durable, in order; never when the
 * transaction failed, and never beside another hook of this database.  Memory only, microseconds. */
typedef void (*TxHookFn)(void *arg);
void tx_after_commit(Tx *tx, TxHookFn fn, void *arg);

/* Adds bytes to the transaction's journal: the database hands the journal of the whole commit group to
 * its journal writer (the outbox) inside the same transaction.  One call = one record. */
MUST_USE Err tx_journal(Tx *tx, Str record);

/* A number that ascends and never repeats, also not after its row was deleted or the program was
 * started again.  Dense on SQLite while the database is open, in blocks per process on PostgreSQL (there
 * numbers of different processes are not in the order of their commits).  `table` must have an INTEGER
 * PRIMARY KEY / BIGINT column "id"; a rolled-back transaction and a restart leave a gap. */
typedef struct Serial {
    const char *table;
    atomic_int slot; /* place in the database's table of counters; 0 = not yet given out */
} Serial;
MUST_USE Err db_serial(Tx *tx, Serial *serial, int64_t *out);

/* ---- the database --------------------------------------------------------------------------------- */

/* A write waiting for, or done with, its transaction.  The caller keeps it, its Ctx and its argument
 * alive and untouched until `done` was called. */
typedef Err (*TxBody)(Tx *tx, void *arg);
typedef struct WriteTask {
    QueueNode node;
    TxBody apply;
    void *arg;
    Ctx *ctx;
    int64_t hot_key; /* PostgreSQL: advisory lock taken before BEGIN; 0 = none */
    void (*done)(struct WriteTask *task); /* after the commit is durable, or after the failure */
    const char *name;                     /* for the watchdog and metrics */
    Err err;                              /* set before done() */
} WriteTask;

/* The outbox seam: `write` runs inside the transaction with the group's journal (on PostgreSQL several
 * at a time), `committed` after the commit is durable, one at a time, in commit order on SQLite. */
typedef struct DatabaseJournal {
    Err (*write)(Tx *tx, Str records, void *arg, int64_t *journal_id);
    void (*committed)(Str records, int64_t journal_id, void *arg);
    void *arg;
} DatabaseJournal;

typedef struct DatabaseOptions {
    Str url;     /* a file path, or postgres://... */
    int readers; /* most connections that read at the same time */
    int writers; /* PostgreSQL: connections that write */
} DatabaseOptions;

MUST_USE Err database_open(Ctx *ctx, const DatabaseOptions *options, Database **out);
void database_close(Database *database); /* waits for the writes in flight; NULL is nothing to do */
bool database_is_postgres(const Database *database);
void database_set_journal(Database *database, DatabaseJournal journal); /* before the first write */

/* A connection that only reads; waits when all are out. */
Db *database_reader_take(Database *database);
void database_reader_give(Database *database, Db *db);

/*
 * One reader for many short reads in a row, on one thread.  What db_share_read() gives sees every write of
 * this process that was answered before the call; as long as nothing is committed in between, the reads share one state, for
 * on SQLite a state of its own costs each read four file locks and, under a load of writes, mapping the
 * file anew.  An open state keeps the write-ahead log from being emptied: end it within milliseconds.
 */
typedef struct DbShare {
    Database *database;
    Db *db;          /* NULL = none open */
    int64_t commits; /* of the database, before the state began */
} DbShare;
Db *db_share_read(DbShare *share);
void db_share_end(DbShare *share); /* nothing open is nothing to do */

/*
 * Queues a write.  task->done() is called exactly once, from another thread.  The queue holds what its
 * callers have in flight: whoever accepts requests bounds it.
 * task->err, besides what apply returned: BUSY "disk.full", "db.busy" (locks, conflicts), "db.deadline",
 * "db.unreachable" (nothing was done: repeat) and "db.unknown_outcome" (PostgreSQL went away during the
 * COMMIT: repeat with the same idempotency key); INTERNAL "db.constraint", "db.poisoned", "db.failed".
 */
void database_submit(Database *database, WriteTask *task);

/* The same, and waits: for jobs, the command line and tests. */
MUST_USE Err database_write(Database *database, Ctx *ctx, const char *name, TxBody apply,
                            void *arg);

/* Runs trusted schema text in one transaction, all or nothing: migrations only, never anything that
 * came from a request.  INTERNAL "db.script". */
MUST_USE Err database_script(Database *database, Ctx *ctx, const char *sql);

/* A consistent copy of an SQLite database into `path` while it is in use, synced to disk with its name.
 * CONFLICT "db.backup_exists" when there is such a file, INVALID "db.backup_path" when it cannot be
 * made, INVALID "db.backup_postgres" on PostgreSQL: pg_dump does that. */
MUST_USE Err database_backup(Database *database, Ctx *ctx, Str path);

typedef struct DatabaseStats {
    int64_t groups;  /* commits */
    int64_t writes;  /* transactions asked for */
    int64_t replays; /* groups that were rolled back and run again one by one; PostgreSQL: attempts
                          that met a conflict */
    int64_t wal_bytes; /* SQLite: size of the write-ahead log */
    int64_t checkpoints;
    int64_t slow_applies; /* applies over the watchdog's limit */
    int64_t queue_depth;
} DatabaseStats;
void database_stats(Database *database, DatabaseStats *out);
