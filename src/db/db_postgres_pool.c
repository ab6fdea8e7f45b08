/*
 * db/db_postgres_pool.c -- the threads that write to PostgreSQL.
 *
 * Each has a connection and takes tasks from one queue (as long as its callers have tasks: a task is
 * its caller's memory):
 *
 *     [advisory lock] -> BEGIN -> apply -> journal -> COMMIT -> [unlock] -> committed(), hooks -> done()
 *
 * Isolation.  Rooms read, decide, then write, without locks: on SQLite one writer makes that right.
 * READ COMMITTED would let two of them decide on the same balance, so transactions are SERIALIZABLE
 * and PostgreSQL makes the loser of a conflict run again.  Where conflicts are certain (one stock row,
 * one template) losers would be the rule: such tasks name a hot key and queue at an advisory lock.  It
 * is a session lock taken before BEGIN, because a transaction's snapshot is taken by its first
 * statement: with the lock inside, everyone who waited for it would wake up with an old snapshot and
 * fail.  A task that lost several times is run while no other thread of ours writes, or whoever is slower than the others
 * would lose to one of them for ever; and at a lock of the losers, because other processes have theirs.
 *
 * Lost connections.  Before COMMIT was sent nothing is done: BUSY "db.unreachable".  After it nobody
 * knows: BUSY "db.unknown_outcome", never tried again here; the caller's idempotency key resolves it.
 */
#include "db/db_postgres.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    WATCHDOG_US = 50000, /* an apply talks to a server here */
    ATTEMPTS_MAX = 30,
    ATTEMPTS_BESIDE = 4, /* the others; from then on alone */
    PAUSE_US_MAX = 20000
};

/* The losers' lock: "tongdian" as a number. */
#define LOSERS_KEY INT64_C(0x746f6e676469616e)

typedef enum Outcome { OUTCOME_DONE, OUTCOME_FAILED, OUTCOME_AGAIN } Outcome;

/* ---- one attempt ----------------------------------------------------------------------------------- */

static Err lock_and_begin(Ctx *ctx, PgDb *db, int64_t key)
{
    char lock[64];
    (void)snprintf(lock, sizeof lock, "SELECT pg_advisory_lock(%" PRId64 ")", key);
    if (key != 0)
        TRY(pg_command(ctx, db, lock));
    return pg_command(ctx, db, "BEGIN");
}

/* A connection often shows only now that it was lost while it was idle: then on a new one. */
static Err begin(PgWriter *w, Ctx *ctx, int64_t key)
{
    PgDb *db = w->db;
    db->base.poisoned = false;
    db->retry = false;
    if (!pg_is_lost(db)) {
        const Err err = lock_and_begin(ctx, db, key);
        if (err == ERR_OK || !pg_is_lost(db))
            return err;
    }
    TRY(pg_reconnect(ctx, db));
    return lock_and_begin(ctx, db, key);
}

/* The connection is idle and holds nothing afterwards, or is closed. */
static void roll_back(PgWriter *w, int64_t key)
{
    Ctx ignored = {0};
    PgDb *db = w->db;
    char unlock[64];
    (void)snprintf(unlock, sizeof unlock, "SELECT pg_advisory_unlock(%" PRId64 ")", key);
    const PGTransactionStatusType status = PQtransactionStatus(db->pg);
    if (status == PQTRANS_INTRANS || status == PQTRANS_INERROR)
        (void)!pg_command(&ignored, db, "ROLLBACK");
    if (key != 0 && !pg_is_lost(db))
        (void)!pg_command(&ignored, db, unlock);
}

static Err write_journal(PgWriter *w, const Ctx *task_ctx, Fault *fault, int64_t *journal_id)
{
    const DatabaseJournal *j = &w->database->base.journal;
    *journal_id = 0;
    if (w->journal.len == 0 || j->write == NULL)
        return ERR_OK;
    Ctx ctx = *task_ctx;
    ctx.db = &w->db->base;
    Tx tx = {.ctx = &ctx, .database = &w->database->base};
    Err err = j->write(&tx, buf_str(&w->journal), j->arg, journal_id);
    if (err == ERR_OK && w->db->base.poisoned)
        err = fail(&ctx, ERR_INTERNAL, "db.poisoned", "journal");
    *fault = ctx.fault;
    return err;
}

static Err apply(PgWriter *w, WriteTask *task, TxHook **hooks)
{
    Db *const reader = task->ctx->db;
    task->ctx->db = &w->db->base;
    buf_clear(&w->journal);
    Tx tx = {.ctx = task->ctx, .database = &w->database->base, .journal = &w->journal};
    const int64_t from_us = clock_mono_us();
    Err err = task->apply(&tx, task->arg);
    const int64_t took_us = clock_mono_us() - from_us;
    task->ctx->db = reader;
    if (err == ERR_OK && w->db->base.poisoned)
        err = fail(task->ctx, ERR_INTERNAL, "db.poisoned", "%s", task->name);
    *hooks = tx.hooks;
    if (took_us > WATCHDOG_US) {
        atomic_fetch_add(&w->database->slow_applies, 1);
        LOG(LOG_DEBUG, "db.slow_apply", LOG_C("task", task->name), LOG_I64("us", took_us));
    }
    return err;
}

/* COMMIT, and the unlock in the same message.  The first result is the COMMIT's. */
static Err commit(PgWriter *w, Ctx *ctx, int64_t key)
{
    PgDb *db = w->db;
    char sql[96];
    (void)snprintf(sql, sizeof sql, "COMMIT; SELECT pg_advisory_unlock(%" PRId64 ")", key);
    if (PQsendQuery(db->pg, key == 0 ? "COMMIT" : sql) == 0)
        return fail(ctx, ERR_BUSY, "db.unknown_outcome", "%s", PQerrorMessage(db->pg));
    PGresult *result = PQgetResult(db->pg);
    /* A transaction that had failed answers "ROLLBACK" without an error. */
    const bool committed = PQresultStatus(result) == PGRES_COMMAND_OK &&
                           str_eq(str_of(PQcmdStatus(result)), STR("COMMIT"));
    for (PGresult *rest = NULL; (rest = PQgetResult(db->pg)) != NULL;)
        PQclear(rest);
    if (!committed && pg_is_lost(db)) {
        PQclear(result);
        return fail(ctx, ERR_BUSY, "db.unknown_outcome", "%s", PQerrorMessage(db->pg));
    }
    if (!committed)
        return pg_fail(ctx, db, result, "commit");
    PQclear(result);
    return ERR_OK;
}

static void hand_on(PgWriter *w, int64_t journal_id, TxHook *hooks)
{
    PgDatabase *database = w->database;
    const DatabaseJournal *j = &database->base.journal;
    if (journal_id == 0 && hooks == NULL)
        return;
    CHECK(pthread_mutex_lock(&database->handing_on) == 0);
    if (journal_id > 0 && j->committed != NULL)
        j->committed(buf_str(&w->journal), journal_id, j->arg);
    tx_run_hooks(hooks);
    CHECK(pthread_mutex_unlock(&database->handing_on) == 0);
}

/* From BEGIN to COMMIT.  task->err is final unless the answer is OUTCOME_AGAIN. */
static Outcome attempt(PgWriter *w, WriteTask *task, int64_t key)
{
    Ctx *ctx = task->ctx;
    int64_t journal_id = 0;
    TxHook *hooks = NULL;
    task->err = begin(w, ctx, key);
    if (task->err == ERR_OK)
        task->err = apply(w, task, &hooks);
    if (task->err == ERR_OK) {
        Ctx why = {0};
        if (write_journal(w, ctx, &why.fault, &journal_id) != ERR_OK)
            task->err = fail(ctx, ERR_BUSY, why.fault.reason, "%s", why.fault.detail);
    }
    if (task->err == ERR_OK && pg_is_lost(w->db))
        task->err = fail(ctx, ERR_BUSY, "db.unreachable", "%s", task->name);
    if (task->err == ERR_OK)
        task->err = commit(w, ctx, key);
    if (task->err == ERR_OK) {
        hand_on(w, journal_id, hooks);
        return OUTCOME_DONE;
    }
    roll_back(w, key);
    if (pg_is_lost(w->db) && task->err == ERR_INTERNAL) /* poisoned by the loss; nothing was done */
        task->err = fail(ctx, ERR_BUSY, "db.unreachable", "%s", task->name);
    return w->db->retry ? OUTCOME_AGAIN : OUTCOME_FAILED;
}

static Outcome attempt_beside(PgWriter *w, WriteTask *task)
{
    CHECK(pthread_rwlock_rdlock(&w->database->writing) == 0);
    const Outcome outcome = attempt(w, task, task->hot_key);
    CHECK(pthread_rwlock_unlock(&w->database->writing) == 0);
    return outcome;
}

static Outcome attempt_alone(PgWriter *w, WriteTask *task)
{
    CHECK(pthread_rwlock_wrlock(&w->database->writing) == 0);
    const Outcome outcome = attempt(w, task, task->hot_key == 0 ? LOSERS_KEY : task->hot_key);
    CHECK(pthread_rwlock_unlock(&w->database->writing) == 0);
    return outcome;
}

/* ---- the threads ----------------------------------------------------------------------------------- */

/* Up to a millisecond after the first failure, doubling, at random so that two do not meet again. */
static void pause_before(PgWriter *w, int again)
{
    w->random = w->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    const int64_t most_us = again >= 5 ? PAUSE_US_MAX : INT64_C(1000) << again;
    const int64_t us = (int64_t)(w->random >> 33) % most_us;
    (void)nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

static void run_task(PgWriter *w, WriteTask *task)
{
    PgDatabase *database = w->database;
    for (int n = 1;; n++) {
        const Outcome outcome =
            n > ATTEMPTS_BESIDE ? attempt_alone(w, task) : attempt_beside(w, task);
        if (outcome != OUTCOME_AGAIN || n == ATTEMPTS_MAX)
            break;
        atomic_fetch_add(&database->replays, 1);
        pause_before(w, n);
    }
    if (w->db->retry && task->err != ERR_OK) /* whatever apply made of the conflict */
        task->err = fail(task->ctx, ERR_BUSY, "db.busy", "%s: conflicts", task->name);
    if (task->err == ERR_OK)
        atomic_fetch_add(&database->groups, 1);
    atomic_fetch_add(&database->writes, 1);
    atomic_fetch_sub(&database->queued, 1);
    task->done(task); /* the task may be gone after this */
}

/* The oldest task; NULL when the database is being closed and nothing is left. */
static WriteTask *take_task(PgDatabase *database)
{
    CHECK(pthread_mutex_lock(&database->lock) == 0);
    while (database->first == NULL && !database->stopping)
        CHECK(pthread_cond_wait(&database->some, &database->lock) == 0);
    QueueNode *node = database->first;
    if (node != NULL)
        database->first = node->next;
    CHECK(pthread_mutex_unlock(&database->lock) == 0);
    return node == NULL ? NULL : CONTAINER_OF(node, WriteTask, node);
}

static void *writer_main(void *arg)
{
    PgWriter *w = arg;
    for (WriteTask *task = NULL; (task = take_task(w->database)) != NULL;)
        run_task(w, task);
    return NULL;
}

static void submit(Database *base, WriteTask *task)
{
    PgDatabase *database = pg_database_of(base);
    CHECK(task->apply != NULL && task->done != NULL && task->ctx != NULL);
    atomic_fetch_add(&database->queued, 1);
    task->node.next = NULL;
    CHECK(pthread_mutex_lock(&database->lock) == 0);
    if (database->first == NULL)
        database->first = &task->node;
    else
        database->last->next = &task->node;
    database->last = &task->node;
    CHECK(pthread_cond_signal(&database->some) == 0);
    CHECK(pthread_mutex_unlock(&database->lock) == 0);
}

/* ---- open and close -------------------------------------------------------------------------------- */

static void stats(Database *base, DatabaseStats *out)
{
    PgDatabase *database = pg_database_of(base);
    out->groups = atomic_load(&database->groups);
    out->writes = atomic_load(&database->writes);
    out->replays = atomic_load(&database->replays);
    out->slow_applies = atomic_load(&database->slow_applies);
    out->queue_depth = atomic_load(&database->queued);
}

static void free_all(PgDatabase *database)
{
    ReaderPool *readers = &database->base.readers;
    readers_destroy(readers);
    for (int i = 0; i < readers->count; i++)
        pg_db_close(pg_db_of(readers->free[i]));
    for (int i = 0; i < database->writer_count; i++) {
        pg_db_close(database->writers[i].db);
        buf_free(&database->writers[i].journal);
    }
    (void)pthread_mutex_destroy(&database->lock);
    (void)pthread_cond_destroy(&database->some);
    (void)pthread_mutex_destroy(&database->handing_on);
    (void)pthread_mutex_destroy(&database->serials);
    (void)pthread_rwlock_destroy(&database->writing);
    free(database);
}

static void close_database(Database *base)
{
    PgDatabase *database = pg_database_of(base);
    CHECK(pthread_mutex_lock(&database->lock) == 0);
    database->stopping = true;
    CHECK(pthread_cond_broadcast(&database->some) == 0);
    CHECK(pthread_mutex_unlock(&database->lock) == 0);
    for (int i = 0; i < database->writer_count; i++)
        CHECK(pthread_join(database->writers[i].thread, NULL) == 0);
    free_all(database);
}

static const DatabaseDriver DRIVER = {.name = "postgres",
                                      .close = close_database,
                                      .submit = submit,
                                      .snapshot = pg_snapshot,
                                      .verify = pg_verify,
                                      .script = pg_script,
                                      .backup = pg_backup,
                                      .stats = stats,
                                      .one = pg_one,
                                      .each = pg_each,
                                      .exec = pg_exec,
                                      .serial = pg_serial};

static Err open_connections(Ctx *ctx, PgDatabase *database, const DatabaseOptions *options)
{
    for (int i = 0; i < options->writers; i++) {
        PgWriter *w = &database->writers[i];
        *w = (PgWriter){.database = database,
                        .journal = BUF_MAX(TX_JOURNAL_BYTES_MAX),
                        .random = (uint64_t)clock_mono_us() + (uint64_t)i};
        TRY(pg_db_open(ctx, database, PG_WRITER, &w->db));
        database->writer_count++;
    }
    for (int i = 0; i < options->readers; i++) {
        PgDb *db = NULL;
        TRY(pg_db_open(ctx, database, PG_READER, &db));
        readers_add(&database->base.readers, &db->base);
    }
    return ERR_OK;
}

/* Who wants to write alone goes before those who come later, or there would always be somebody. */
static void init_writing(pthread_rwlock_t *writing)
{
    pthread_rwlockattr_t attr;
    CHECK(pthread_rwlockattr_init(&attr) == 0);
    CHECK(pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) == 0);
    CHECK(pthread_rwlock_init(writing, &attr) == 0);
    (void)pthread_rwlockattr_destroy(&attr);
}

Err postgres_database_open(Ctx *ctx, const DatabaseOptions *options, Database **out)
{
    CHECK(options->readers >= 1 && options->readers <= READERS_MAX);
    CHECK(options->writers >= 1 && options->writers <= PG_WRITERS_MAX);
    PgDatabase *database = calloc(1, sizeof *database);
    CHECK(database != NULL);
    database->base.driver = &DRIVER;
    readers_init(&database->base.readers);
    CHECK(pthread_mutex_init(&database->lock, NULL) == 0);
    CHECK(pthread_cond_init(&database->some, NULL) == 0);
    CHECK(pthread_mutex_init(&database->handing_on, NULL) == 0);
    CHECK(pthread_mutex_init(&database->serials, NULL) == 0);
    init_writing(&database->writing);
    Err err = ERR_OK;
    if (!str_to_c(options->url, database->url, sizeof database->url))
        err = fail(ctx, ERR_INVALID, "db.url", "too long or with a NUL byte");
    if (err == ERR_OK)
        err = open_connections(ctx, database, options);
    if (err != ERR_OK) {
        free_all(database);
        return err;
    }
    for (int i = 0; i < database->writer_count; i++) {
        PgWriter *w = &database->writers[i];
        CHECK(pthread_create(&w->thread, NULL, writer_main, w) == 0);
    }
    *out = &database->base;
    return ERR_OK;
}
