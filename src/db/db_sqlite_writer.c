/*
 * db/db_sqlite_writer.c -- the one thread that writes.
 *
 * Group commit.  The writer takes everything that is queued, runs it inside one transaction, commits
 * once (one fdatasync), then releases all replies:
 *
 *     take tasks -> gate -> BEGIN -> apply, apply, ... -> journal -> COMMIT -> hooks, done() each
 *
 * Handlers read and check first and write after, so a refusal has written nothing and costs nothing.
 * When an apply fails after it wrote, the group is rolled back and replayed with a savepoint around
 * each task; that is why an apply may run twice.  If COMMIT fails, every task of the group fails.
 */
#include "db/db_sqlite.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <sys/stat.h>

enum { WATCHDOG_US = 500, IDLE_WAIT_MS = 200 };

/* ---- the gate ------------------------------------------------------------------------------------ */

void lite_gate_close(LiteDatabase *database)
{
    CHECK(pthread_mutex_lock(&database->gate) == 0);
    database->gate_wanted++;
    while (database->writing || database->gate_closed)
        CHECK(pthread_cond_wait(&database->gate_moved, &database->gate) == 0);
    database->gate_closed = true;
    CHECK(pthread_mutex_unlock(&database->gate) == 0);
}

void lite_gate_open(LiteDatabase *database)
{
    CHECK(pthread_mutex_lock(&database->gate) == 0);
    database->gate_closed = false;
    database->gate_wanted--;
    CHECK(pthread_cond_broadcast(&database->gate_moved) == 0);
    CHECK(pthread_mutex_unlock(&database->gate) == 0);
}

void lite_gate_set_emptying(LiteDatabase *database, bool emptying)
{
    CHECK(pthread_mutex_lock(&database->gate) == 0);
    database->emptying = emptying;
    CHECK(pthread_cond_broadcast(&database->gate_moved) == 0);
    CHECK(pthread_mutex_unlock(&database->gate) == 0);
}

static void gate_pass(LiteDatabase *database)
{
    CHECK(pthread_mutex_lock(&database->gate) == 0);
    while (database->gate_wanted > 0 ||
           (database->emptying && lite_log_frames(database) > LITE_LOG_FRAMES_STOP))
        CHECK(pthread_cond_wait(&database->gate_moved, &database->gate) == 0);
    database->writing = true;
    CHECK(pthread_mutex_unlock(&database->gate) == 0);
}

static void gate_leave(LiteDatabase *database)
{
    CHECK(pthread_mutex_lock(&database->gate) == 0);
    database->writing = false;
    CHECK(pthread_cond_broadcast(&database->gate_moved) == 0);
    CHECK(pthread_mutex_unlock(&database->gate) == 0);
}

/* ---- the writer ---------------------------------------------------------------------------------- */

static int run_sql(LiteDatabase *database, const char *sql)
{
    return sqlite3_exec(database->writer->lite, sql, NULL, NULL, NULL);
}

/* The transaction is gone: SQLite rolled back by itself, as it does on a full or broken disk. */
static bool lost_transaction(const LiteDatabase *database)
{
    return sqlite3_get_autocommit(database->writer->lite) != 0;
}

static Err apply_one(LiteDatabase *database, TxOutcome *outcome)
{
    WriteTask *task = outcome->task;
    const size_t journal_before = database->journal.len;
    database->writer->base.poisoned = false;
    Db *const reader = task->ctx->db;
    task->ctx->db = &database->writer->base;
    Tx tx = {.ctx = task->ctx, .database = &database->base, .journal = &database->journal};
    const int64_t from_us = clock_mono_us();
    Err err = task->apply(&tx, task->arg);
    const int64_t took_us = clock_mono_us() - from_us;
    task->ctx->db = reader;
    if (err == ERR_OK && database->writer->base.poisoned)
        err = fail(task->ctx, ERR_INTERNAL, "db.poisoned", "%s", task->name);
    if (err != ERR_OK)
        database->journal.len = journal_before;
    outcome->hooks = err == ERR_OK ? tx.hooks : NULL;
    task->err = err;
    if (took_us > WATCHDOG_US) {
        atomic_fetch_add(&database->slow_applies, 1);
        LOG(LOG_DEBUG, "db.slow_apply", LOG_C("task", task->name), LOG_I64("us", took_us));
    }
    return err;
}

/* Straight through.  False: some task failed after it had written, so the group must be replayed. */
static bool run_plain(LiteDatabase *database, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const int64_t rows_before = sqlite3_total_changes64(database->writer->lite);
        const Err err = apply_one(database, &database->group[i]);
        if (err != ERR_OK && (sqlite3_total_changes64(database->writer->lite) != rows_before ||
                              lost_transaction(database)))
            return false; /* past a lost transaction each statement would commit by itself */
    }
    return true;
}

static int run_guarded(LiteDatabase *database, TxOutcome *outcome)
{
    int rc = run_sql(database, "SAVEPOINT task");
    if (rc != SQLITE_OK)
        return rc;
    if (apply_one(database, outcome) != ERR_OK && !lost_transaction(database)) {
        lite_serial_forget_marks(database);
        rc = run_sql(database, "ROLLBACK TO task");
    }
    if (lost_transaction(database))
        return database->writer->failed_rc;
    return rc == SQLITE_OK ? run_sql(database, "RELEASE task") : rc;
}

/* One by one, each in its savepoint: a failing task takes nobody with it. */
static int run_replay(LiteDatabase *database, size_t n)
{
    int rc = SQLITE_OK;
    for (size_t i = 0; i < n && rc == SQLITE_OK; i++)
        rc = run_guarded(database, &database->group[i]);
    return rc;
}

static void roll_back(LiteDatabase *database)
{
    lite_serial_forget_marks(database);
    if (!lost_transaction(database))
        (void)run_sql(database, "ROLLBACK");
}

static int run_tasks(LiteDatabase *database, size_t n)
{
    int rc = run_sql(database, "BEGIN IMMEDIATE");
    if (rc != SQLITE_OK || run_plain(database, n))
        return rc;
    atomic_fetch_add(&database->replays, 1);
    roll_back(database);
    buf_clear(&database->journal);
    rc = run_sql(database, "BEGIN IMMEDIATE");
    return rc == SQLITE_OK ? run_replay(database, n) : rc;
}

/* The group's events go into the same transaction. */
static Err write_journal(LiteDatabase *database, Fault *fault, int64_t *journal_id)
{
    const DatabaseJournal *j = &database->base.journal;
    *journal_id = 0;
    if (database->journal.len == 0 || j->write == NULL)
        return ERR_OK;
    Ctx ctx = *database->group[0].task->ctx; /* any task's arena and clock serve */
    ctx.db = &database->writer->base;
    database->writer->base.poisoned = false;
    Tx tx = {.ctx = &ctx, .database = &database->base};
    Err err = j->write(&tx, buf_str(&database->journal), j->arg, journal_id);
    if (err == ERR_OK && database->writer->base.poisoned)
        err = fail(&ctx, ERR_INTERNAL, "db.poisoned", "journal");
    *fault = ctx.fault;
    return err;
}

/* Nothing of the group was done, so whatever went wrong, its clients may repeat. */
static void fail_group(LiteDatabase *database, size_t n, const Fault *why)
{
    LOG(LOG_ERROR, "db.group_failed", LOG_C("reason", why->reason), LOG_C("detail", why->detail),
        LOG_I64("tasks", (int64_t)n));
    for (size_t i = 0; i < n; i++) {
        WriteTask *task = database->group[i].task;
        database->group[i].hooks = NULL;
        task->err = fail(task->ctx, ERR_BUSY, why->reason, "%s", why->detail);
    }
}

/* Everything between the gate's two sides.  On return each task's err is final. */
static int64_t commit_group(LiteDatabase *database, size_t n)
{
    Ctx why = {0};
    int64_t journal_id = 0;
    buf_clear(&database->journal);
    int rc = run_tasks(database, n);
    Err err = rc == SQLITE_OK ? ERR_OK : lite_fail(&why, database->writer->lite, rc, "group");
    if (err == ERR_OK)
        err = write_journal(database, &why.fault, &journal_id);
    if (err == ERR_OK && (rc = run_sql(database, "COMMIT")) != SQLITE_OK)
        err = lite_fail(&why, database->writer->lite, rc, "commit");
    if (err == ERR_OK) {
        atomic_fetch_add(&database->base.commits, 1);
        return journal_id;
    }
    fail_group(database, n, &why.fault);
    roll_back(database);
    return 0;
}

static void run_group(LiteDatabase *database, size_t n)
{
    gate_pass(database);
    const int64_t journal_id = commit_group(database, n);
    gate_leave(database);
    atomic_fetch_add(&database->groups, 1);
    atomic_fetch_add(&database->writes, (int64_t)n);
    atomic_fetch_sub(&database->queued, (int64_t)n);
    if (journal_id > 0 && database->base.journal.committed != NULL)
        database->base.journal.committed(buf_str(&database->journal), journal_id,
                                         database->base.journal.arg);
    for (size_t i = 0; i < n; i++) {
        tx_run_hooks(database->group[i].hooks);
        database->group[i].task->done(
            database->group[i].task); /* the task may be gone after this */
    }
}

static void *writer_main(void *arg)
{
    (void)pthread_setname_np(pthread_self(), "db-writer");
    LiteDatabase *database = arg;
    QueueNode *chain = NULL;
    for (;;) {
        if (chain == NULL)
            chain = queue_take_wait(&database->queue, IDLE_WAIT_MS);
        if (chain == NULL && atomic_load(&database->stopping))
            chain = queue_take(&database->queue); /* what came between the wait and the stop */
        if (chain == NULL && atomic_load(&database->stopping))
            return NULL;
        size_t n = 0;
        for (; chain != NULL && n < LITE_GROUP_TASKS_MAX; chain = chain->next)
            database->group[n++] = (TxOutcome){.task = CONTAINER_OF(chain, WriteTask, node)};
        if (n > 0)
            run_group(database, n);
    }
}

static void lite_submit(Database *base, WriteTask *task)
{
    LiteDatabase *database = lite_database_of(base);
    CHECK(task->apply != NULL && task->done != NULL && task->ctx != NULL);
    atomic_fetch_add(&database->queued, 1);
    (void)queue_push(&database->queue, &task->node);
}

static int on_commit(void *arg, sqlite3 *lite, const char *schema, int frames)
{
    (void)lite;
    (void)schema;
    LiteDatabase *database = arg;
    atomic_store_explicit(&database->wal_frames, frames, memory_order_relaxed);
    return SQLITE_OK;
}

/* ---- open and close -------------------------------------------------------------------------------- */

static void lite_stats(Database *base, DatabaseStats *out)
{
    LiteDatabase *database = lite_database_of(base);
    out->groups = atomic_load(&database->groups);
    out->writes = atomic_load(&database->writes);
    out->replays = atomic_load(&database->replays);
    out->checkpoints = atomic_load(&database->checkpoints);
    out->slow_applies = atomic_load(&database->slow_applies);
    out->queue_depth = atomic_load(&database->queued);
    char wal[sizeof database->path + 8];
    struct stat st;
    (void)sqlite3_snprintf(sizeof wal, wal, "%s-wal", database->path);
    out->wal_bytes = stat(wal, &st) == 0 ? st.st_size : 0;
}

static void free_all(LiteDatabase *database)
{
    ReaderPool *readers = &database->base.readers;
    readers_destroy(readers);
    for (int i = 0; i < readers->count; i++)
        lite_db_close(lite_db_of(readers->free[i]));
    lite_db_close(database->checkpointer);
    lite_db_close(database->writer);
    buf_free(&database->journal);
    (void)pthread_mutex_destroy(&database->gate);
    (void)pthread_cond_destroy(&database->gate_moved);
    free(database);
}

static void lite_close(Database *base)
{
    LiteDatabase *database = lite_database_of(base);
    atomic_store(&database->stopping, true);
    queue_wake(&database->queue);
    CHECK(pthread_join(database->writer_thread, NULL) == 0);
    CHECK(pthread_join(database->checkpoint_thread, NULL) == 0);
    free_all(database);
}

static const DatabaseDriver DRIVER = {.name = "sqlite",
                                      .close = lite_close,
                                      .submit = lite_submit,
                                      .snapshot = lite_snapshot,
                                      .deadline = lite_deadline,
                                      .state = lite_state,
                                      .verify = lite_verify,
                                      .script = lite_script,
                                      .backup = lite_backup,
                                      .stats = lite_stats,
                                      .one = lite_one,
                                      .each = lite_each,
                                      .exec = lite_exec,
                                      .serial = lite_serial};

static Err open_connections(Ctx *ctx, LiteDatabase *database, int readers)
{
    TRY(lite_db_open(ctx, database, LITE_WRITER, &database->writer));
    (void)sqlite3_wal_hook(database->writer->lite, on_commit, database);
    TRY(lite_db_open(ctx, database, LITE_CHECKPOINTER, &database->checkpointer));
    /* A checkpoint on a connection that has never read silently does nothing (3.40). */
    const int rc = sqlite3_exec(database->checkpointer->lite, "SELECT count(*) FROM sqlite_schema",
                                NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return lite_fail(ctx, database->checkpointer->lite, rc, "checkpointer");
    lite_pace_begin(database);
    for (int i = 0; i < readers; i++) {
        LiteDb *db = NULL;
        TRY(lite_db_open(ctx, database, LITE_READER, &db));
        readers_add(&database->base.readers, &db->base);
    }
    return ERR_OK;
}

/* Memory statistics would make every allocation of every thread take one global lock. */
static void configure_library(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

Err sqlite_database_open(Ctx *ctx, const DatabaseOptions *options, Database **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    CHECK(pthread_once(&once, configure_library) == 0);
    CHECK(options->readers >= 1 && options->readers <= READERS_MAX);
    LiteDatabase *database = calloc(1, sizeof *database);
    CHECK(database != NULL);
    database->base.driver = &DRIVER;
    database->journal = BUF_MAX(GROUP_JOURNAL_BYTES_MAX);
    readers_init(&database->base.readers);
    CHECK(pthread_mutex_init(&database->gate, NULL) == 0);
    CHECK(pthread_cond_init(&database->gate_moved, NULL) == 0);
    Err err = ERR_OK;
    if (!str_to_c(options->url, database->path, sizeof database->path))
        err = fail(ctx, ERR_INVALID, "db.path", "path too long or with a NUL byte");
    if (err == ERR_OK)
        err = open_connections(ctx, database, options->readers);
    if (err != ERR_OK) {
        free_all(database);
        return err;
    }
    CHECK(pthread_create(&database->writer_thread, NULL, writer_main, database) == 0);
    CHECK(pthread_create(&database->checkpoint_thread, NULL, lite_checkpoint_main, database) == 0);
    *out = &database->base;
    return ERR_OK;
}
