/*
 * db/db_postgres.h -- what db_postgres.c (connections, statements) and db_postgres_pool.c (the threads
 * that write) share.  Private to src/db/.
 */
#pragma once

#include "db/db_driver.h"

#include <libpq-fe.h>

typedef struct PgDb {
    Db base;
    PGconn *pg;
    bool *prepared; /* by SqlStmt.slot */
    int prepared_count;
    bool writes;     /* a writer's connection: never repeats a statement by itself */
    bool retry;      /* the transaction failed only because of its neighbours: run it again */
    int64_t wait_us; /* between attempts to connect, growing */
    int64_t next_try_us;
} PgDb;

enum { PG_WRITERS_MAX = 64 };

typedef struct PgWriter {
    struct PgDatabase *database;
    PgDb *db;
    Buf journal;
    uint64_t random; /* of the pauses between attempts */
    pthread_t thread;
} PgWriter;

typedef struct PgDatabase {
    Database base;
    char url[1024];
    PgWriter writers[PG_WRITERS_MAX];
    int writer_count;

    pthread_mutex_t lock; /* of the queue */
    pthread_cond_t some;
    QueueNode *first, *last; /* guarded by: lock */
    bool stopping;           /* guarded by: lock */

    pthread_mutex_t handing_on; /* one at a time: journal's committed() and hooks, as on SQLite */
    pthread_rwlock_t writing;   /* shared by those who write; alone: one that lost several times */
    pthread_mutex_t serials;    /* one thread fetches a block, the others wait for it */

    _Atomic int64_t groups, writes, replays, slow_applies, queued;
} PgDatabase;

typedef enum PgRole { PG_WRITER, PG_READER, PG_SCRIPT } PgRole;

static inline PgDatabase *pg_database_of(Database *database)
{
    return CONTAINER_OF(database, PgDatabase, base);
}

static inline PgDb *pg_db_of(Db *db)
{
    return CONTAINER_OF(db, PgDb, base);
}

Err pg_db_open(Ctx *ctx, PgDatabase *database, PgRole role, PgDb **out);
void pg_db_close(PgDb *db);
bool pg_is_lost(const PgDb *db);

/* Makes a lost connection anew, or says at once that it is not yet time to try again.
 * BUSY "db.unreachable". */
Err pg_reconnect(Ctx *ctx, PgDb *db);

/* One command without parameters or result. */
Err pg_command(Ctx *ctx, PgDb *db, const char *sql);

/* Takes `result` over and turns it into an error; see the table in db_postgres.c. */
Err pg_fail(Ctx *ctx, PgDb *db, PGresult *result, const char *what);

Err pg_one(Ctx *ctx, SqlStmt *stmt, const SqlValue *args, SqlRow *row);
Err pg_each(Ctx *ctx, SqlStmt *stmt, const SqlValue *args, SqlRowFn fn, void *arg);
Err pg_exec(Tx *tx, SqlStmt *stmt, const SqlValue *args, int64_t *changed);
Err pg_serial(Tx *tx, Serial *serial, int64_t *out);
Err pg_snapshot(Ctx *ctx, bool begin);
Err pg_verify(Ctx *ctx, DbFindingFn report, void *arg);
Err pg_script(Database *base, Ctx *ctx, const char *sql);
Err pg_backup(Database *base, Ctx *ctx, Str path);
