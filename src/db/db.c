/*
 * db/db.c -- the door of db/db.h: dispatch to the engine, and what both engines share.
 */
#include "db/db_driver.h"

#include <semaphore.h>

/* The number in `slot`, taken from `*next` at the first call. */
static int slot_of(atomic_int *slot, atomic_int *next)
{
    int had = atomic_load_explicit(slot, memory_order_acquire);
    if (had != 0)
        return had;
    const int mine = atomic_fetch_add(next, 1);
    return atomic_compare_exchange_strong(slot, &had, mine) ? mine : had;
}

int stmt_slot(SqlStmt *stmt)
{
    static atomic_int next = 1;
    return slot_of(&stmt->slot, &next);
}

int serial_slot(Serial *serial)
{
    static atomic_int next = 1;
    const int slot = slot_of(&serial->slot, &next);
    CHECK(slot < SERIALS_MAX);
    return slot;
}

Err database_open(Ctx *ctx, const DatabaseOptions *options, Database **out)
{
    const bool postgres = str_starts_with(options->url, STR("postgres://")) ||
                          str_starts_with(options->url, STR("postgresql://"));
    return postgres ? postgres_database_open(ctx, options, out)
                    : sqlite_database_open(ctx, options, out);
}

void database_close(Database *database)
{
    if (database != NULL)
        database->driver->close(database);
}

bool database_is_postgres(const Database *database)
{
    return str_eq(str_of(database->driver->name), STR("postgres"));
}

void database_set_journal(Database *database, DatabaseJournal journal)
{
    database->journal = journal;
}

void database_submit(Database *database, WriteTask *task)
{
    database->driver->submit(database, task);
}

Err database_script(Database *database, Ctx *ctx, const char *sql)
{
    return database->driver->script(database, ctx, sql);
}

Err database_backup(Database *database, Ctx *ctx, Str path)
{
    return database->driver->backup(database, ctx, path);
}

void database_stats(Database *database, DatabaseStats *out)
{
    *out = (DatabaseStats){0};
    database->driver->stats(database, out);
}

/* ---- readers ------------------------------------------------------------------------------------- */

void readers_init(ReaderPool *readers)
{
    CHECK(pthread_mutex_init(&readers->lock, NULL) == 0);
    CHECK(pthread_cond_init(&readers->back, NULL) == 0);
}

void readers_destroy(ReaderPool *readers)
{
    CHECK(readers->free_count == readers->count);
    CHECK(pthread_mutex_destroy(&readers->lock) == 0);
    CHECK(pthread_cond_destroy(&readers->back) == 0);
}

void readers_add(ReaderPool *readers, Db *db)
{
    CHECK(readers->count < READERS_MAX);
    readers->free[readers->free_count++] = db;
    readers->count++;
}

Db *database_reader_take(Database *database)
{
    ReaderPool *readers = &database->readers;
    CHECK(pthread_mutex_lock(&readers->lock) == 0);
    while (readers->free_count == 0)
        CHECK(pthread_cond_wait(&readers->back, &readers->lock) == 0);
    Db *db = readers->free[--readers->free_count];
    CHECK(pthread_mutex_unlock(&readers->lock) == 0);
    db->poisoned = false;
    return db;
}

void database_reader_give(Database *database, Db *db)
{
    ReaderPool *readers = &database->readers;
    db_set_deadline(db, 0);
    CHECK(pthread_mutex_lock(&readers->lock) == 0);
    CHECK(readers->free_count < readers->count);
    readers->free[readers->free_count++] = db;
    CHECK(pthread_cond_signal(&readers->back) == 0);
    CHECK(pthread_mutex_unlock(&readers->lock) == 0);
}

Db *db_share_read(DbShare *share)
{
    const DatabaseDriver *driver = share->database->driver;
    const int64_t commits = atomic_load(&share->database->commits);
    if (share->db != NULL && (share->commits != commits || share->db->poisoned))
        db_share_end(share);
    if (share->db != NULL)
        return share->db;
    share->db = database_reader_take(share->database);
    share->commits = commits;
    if (driver->state != NULL)
        driver->state(share->db, true);
    return share->db;
}

void db_share_end(DbShare *share)
{
    const DatabaseDriver *driver = share->database->driver;
    if (share->db == NULL)
        return;
    if (driver->state != NULL)
        driver->state(share->db, false);
    database_reader_give(share->database, share->db);
    share->db = NULL;
}

/* ---- a write that waits ------------------------------------------------------------------------ */

typedef struct Waiting {
    WriteTask task;
    sem_t finished;
} Waiting;

static void wake_waiting(WriteTask *task)
{
    CHECK(sem_post(&CONTAINER_OF(task, Waiting, task)->finished) == 0);
}

Err database_write(Database *database, Ctx *ctx, const char *name, TxBody apply, void *arg)
{
    Waiting w = {
        .task = {.apply = apply, .arg = arg, .ctx = ctx, .done = wake_waiting, .name = name}};
    CHECK(sem_init(&w.finished, 0, 0) == 0);
    database_submit(database, &w.task);
    while (sem_wait(&w.finished) != 0) { /* EINTR */
    }
    (void)sem_destroy(&w.finished);
    return w.task.err;
}

/* ---- statements -------------------------------------------------------------------------------- */

Err db_one(Ctx *ctx, SqlStmt *stmt, const SqlValue *args, SqlRow *row)
{
    CHECK(ctx->db != NULL);
    return ctx->db->database->driver->one(ctx, stmt, args, row);
}

Err db_each(Ctx *ctx, SqlStmt *stmt, const SqlValue *args, SqlRowFn fn, void *arg)
{
    CHECK(ctx->db != NULL);
    return ctx->db->database->driver->each(ctx, stmt, args, fn, arg);
}

Err db_snapshot_begin(Ctx *ctx)
{
    return ctx->db->database->driver->snapshot(ctx, true);
}

void db_snapshot_end(Ctx *ctx)
{
    Ctx ending = *ctx; /* the caller's fault says what went wrong in between */
    (void)!ctx->db->database->driver->snapshot(&ending, false);
}

void db_set_deadline(Db *reader, int64_t until_us)
{
    if (reader->database->driver->deadline != NULL)
        reader->database->driver->deadline(reader, until_us);
}

Err db_verify(Ctx *ctx, DbFindingFn report, void *arg)
{
    return ctx->db->database->driver->verify(ctx, report, arg);
}

Err db_exec(Tx *tx, SqlStmt *stmt, const SqlValue *args, int64_t *changed)
{
    return tx->database->driver->exec(tx, stmt, args, changed);
}

Err db_serial(Tx *tx, Serial *serial, int64_t *out)
{
    return tx->database->driver->serial(tx, serial, out);
}

/* ---- a transaction's memory effects -------------------------------------------------------------- */

void tx_after_commit(Tx *tx, TxHookFn fn, void *arg)
{
    TxHook *hook = ARENA_NEW(tx->ctx->arena, TxHook);
    *hook = (TxHook){.next = tx->hooks, .fn = fn, .arg = arg};
    tx->hooks = hook;
}

void tx_run_hooks(TxHook *newest)
{
    TxHook *oldest = NULL;
    while (newest != NULL) {
        TxHook *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    for (; oldest != NULL; oldest = oldest->next)
        oldest->fn(oldest->arg);
}

Err tx_journal(Tx *tx, Str record)
{
    const size_t before = tx->journal->len;
    if (record.len <= TX_JOURNAL_BYTES_MAX)
        buf_add(tx->journal, record);
    if (tx->journal->len != before + record.len)
        return fail(tx->ctx, ERR_TOO_LARGE, "db.journal_full", "%zu bytes", record.len);
    return ERR_OK;
}
