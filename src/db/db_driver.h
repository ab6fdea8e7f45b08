/*
 * db/db_driver.h -- what an engine implements behind db.h.  Private to src/db/.
 *
 * A driver embeds Database and Db as the first member of its own structs.
 */
#pragma once

#include "db/db.h"

#include <pthread.h>

typedef struct DatabaseDriver {
    const char *name;
    void (*close)(Database *database);
    void (*submit)(Database *database, WriteTask *task);
    Err (*script)(Database *database, Ctx *ctx, const char *sql);
    Err (*backup)(Database *database, Ctx *ctx, Str path);
    void (*stats)(Database *database, DatabaseStats *out);
    Err (*one)(Ctx *ctx, SqlStmt *stmt, const SqlValue *args, SqlRow *row);
    Err (*each)(Ctx *ctx, SqlStmt *stmt, const SqlValue *args, SqlRowFn fn, void *arg);
    Err (*snapshot)(Ctx *ctx, bool begin);
    void (*deadline)(Db *reader, int64_t until_us); /* NULL: it has its own */
    void (*state)(Db *reader, bool begin);          /* NULL: each statement reads what is newest */
    Err (*verify)(Ctx *ctx, DbFindingFn report, void *arg);
    Err (*exec)(Tx *tx, SqlStmt *stmt, const SqlValue *args, int64_t *changed);
    Err (*serial)(Tx *tx, Serial *serial, int64_t *out);
} DatabaseDriver;

enum { SERIALS_MAX = 128, READERS_MAX = 64 };

/* PostgreSQL: numbers that a process takes at once from a table's sequence; its INCREMENT. */
enum { POSTGRES_SERIAL_BLOCK = 1000 };

/* The connections that read. */
typedef struct ReaderPool {
    Db *free[READERS_MAX]; /* the free ones first; guarded by: lock */
    int free_count;        /* guarded by: lock */
    int count;             /* fixed once the database is open */
    pthread_mutex_t lock;
    pthread_cond_t back;
} ReaderPool;

void readers_init(ReaderPool *readers);
void readers_destroy(ReaderPool *readers); /* all must have been given back */
void readers_add(ReaderPool *readers, Db *db);

struct Database {
    const DatabaseDriver *driver;
    DatabaseJournal journal;
    ReaderPool readers;
    _Atomic int64_t commits; /* counted before anybody is told; only SQLite's */
    struct {
        _Atomic int64_t next; /* 0 = not yet read from the database */
        _Atomic int64_t end;  /* the first number that needs a new block */
    } serials[SERIALS_MAX];
};

struct Db {
    Database *database;
    bool poisoned; /* an SQL error happened in this transaction: nothing more may succeed */
};

/* A memory effect that waits for the commit. */
typedef struct TxHook {
    struct TxHook *next; /* registered before this one */
    TxHookFn fn;
    void *arg;
} TxHook;

/* What one apply left behind: kept from its run until its group is committed. */
typedef struct TxOutcome {
    WriteTask *task;
    TxHook *hooks;
} TxOutcome;

Err sqlite_database_open(Ctx *ctx, const DatabaseOptions *options, Database **out);
Err postgres_database_open(Ctx *ctx, const DatabaseOptions *options, Database **out);

/* The statement's place in every connection's cache, given out at its first use.  1-based. */
int stmt_slot(SqlStmt *stmt);

int serial_slot(Serial *serial);

/* Runs the hooks in the order of their registration. */
void tx_run_hooks(TxHook *newest);

/* Most bytes that one transaction, and one commit group, may put into the journal. */
enum { TX_JOURNAL_BYTES_MAX = 4 << 20, GROUP_JOURNAL_BYTES_MAX = 64 << 20 };
