/*
 * db/db_sqlite.h -- what db_sqlite.c (connections, statements), db_sqlite_writer.c (writer thread) and
 * db_sqlite_checkpoint.c (checkpoints) share.  Private to src/db/.
 */
#pragma once

#include "db/db_driver.h"

#include <sqlite3.h>

typedef struct LiteDb {
    Db base;
    sqlite3 *lite;
    sqlite3_stmt **stmts; /* by SqlStmt.slot */
    int stmt_count;
    int failed_rc;                /* of the last SQL error */
    int64_t deadline_us;          /* 0 = none */
    sqlite3_stmt *begin, *commit; /* of a state that reads share; NULL = not yet needed */
} LiteDb;

enum {
    LITE_GROUP_TASKS_MAX = 1024,
    LITE_LOG_FRAMES_MAX = 144000, /* of the write-ahead log: 298 MB */
    LITE_LOG_FRAMES_STOP =
        LITE_LOG_FRAMES_MAX / 6 * 5, /* from here on the writes wait for the disk */
    LITE_GATE_FRAMES = 300           /* few enough to be copied while the writes stand still */
};

/* How the checkpointer's connection writes pages. */
typedef struct LitePace {
    sqlite3_io_methods methods; /* SQLite's own, with a slower xWrite */
    const sqlite3_io_methods *plain;
    bool on;   /* with naps between slices */
    int pages; /* written in this round */
} LitePace;

typedef struct LiteDatabase {
    Database base;
    char path[1024];

    Queue queue; /* WriteTasks */
    LiteDb *writer;
    pthread_t writer_thread;
    atomic_bool stopping;
    Buf journal; /* of the group being written */
    TxOutcome group[LITE_GROUP_TASKS_MAX];

    LiteDb *checkpointer;
    LitePace pace; /* used by the checkpoint thread alone */
    pthread_t checkpoint_thread;
    atomic_int wal_frames; /* published by the writer's commit hook */
    pthread_mutex_t gate;  /* the writer passes it once per group */
    pthread_cond_t gate_moved;
    int gate_wanted;  /* how many want the writer to stop; guarded by: gate */
    bool gate_closed; /* one of them has it; guarded by: gate */
    bool writing;     /* guarded by: gate */
    bool emptying;    /* the log is being copied, no reader holds it; guarded by: gate */

    _Atomic int64_t groups, writes, replays, checkpoints, slow_applies, queued;
} LiteDatabase;

typedef enum LiteRole { LITE_WRITER, LITE_READER, LITE_CHECKPOINTER } LiteRole;

static inline LiteDatabase *lite_database_of(Database *database)
{
    return CONTAINER_OF(database, LiteDatabase, base);
}

static inline LiteDb *lite_db_of(Db *db)
{
    return CONTAINER_OF(db, LiteDb, base);
}

Err lite_fail(Ctx *ctx, sqlite3 *lite, int rc, const char *what);
Err lite_db_open(Ctx *ctx, LiteDatabase *database, LiteRole role, LiteDb **out);
void lite_db_close(LiteDb *db);

/* Stops the writer at the next group boundary, and lets it go on. */
void lite_gate_close(LiteDatabase *database);
void lite_gate_open(LiteDatabase *database);
/* While the log is being copied and no reader holds it, a log past LITE_LOG_FRAMES_STOP stops the writer. */
void lite_gate_set_emptying(LiteDatabase *database, bool emptying);

/* Frames in the write-ahead log, as of the last commit. */
static inline int lite_log_frames(LiteDatabase *database)
{
    return atomic_load_explicit(&database->wal_frames, memory_order_relaxed);
}

/* From now on the checkpointer's connection copies in slices. */
void lite_pace_begin(LiteDatabase *database);
void *lite_checkpoint_main(void *database);

Err lite_one(Ctx *ctx, SqlStmt *stmt, const SqlValue *args, SqlRow *row);
Err lite_each(Ctx *ctx, SqlStmt *stmt, const SqlValue *args, SqlRowFn fn, void *arg);
Err lite_snapshot(Ctx *ctx, bool begin);
void lite_deadline(Db *reader, int64_t until_us);
void lite_state(Db *reader, bool begin);
Err lite_verify(Ctx *ctx, DbFindingFn report, void *arg);
Err lite_exec(Tx *tx, SqlStmt *stmt, const SqlValue *args, int64_t *changed);
Err lite_serial(Tx *tx, Serial *serial, int64_t *out);
/* After a rollback: what was written about numbers given out may be gone. */
void lite_serial_forget_marks(LiteDatabase *database);
Err lite_backup(Database *base, Ctx *ctx, Str path);
Err lite_script(Database *base, Ctx *ctx, const char *sql);
