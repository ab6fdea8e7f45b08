/*
 * db/db_sqlite_checkpoint.c -- the one thread that copies the write-ahead log into the database file.
 *
 * PASSIVE checkpoints plus a sync of the database file by hand run beside the writer, round after round,
 * each leaving what was written during it, until little is left or a round no longer gains on the writes;
 * then the gate stops the writer at a group boundary for a RESTART, after which the log is written from
 * its beginning again.  Without the sync by hand the whole debt would fall into the RESTART; without the
 * RESTART the log would grow without bound under constant load.
 *
 * The tills' commits share the disk and the processors with the copying, so it goes in slices with a sync
 * and a nap after each (docs/decisions/0011).  A log past CHECKPOINT_FRAMES_MAX is copied without naps.
 *
 * A read that began before the frames to copy holds them back; the writes are not stopped for it before
 * CHECKPOINT_FRAMES_MAX.  Past LITE_LOG_FRAMES_STOP the writes wait for a copy that is under way, however
 * slow the disk is.  So the log stays below LITE_LOG_FRAMES_MAX as long as no single read lasts over half
 * of CHECKPOINT_WAIT_MS_MAX.
 */
#include "db/db_sqlite.h"

#include "base/clock.h"
#include "base/log.h"

enum {
    CHECKPOINT_POLL_MS = 20,
    CHECKPOINT_FRAMES = 36000, /* 75 MB at 2,048 bytes a page */
    CHECKPOINT_FRAMES_MAX =
        LITE_LOG_FRAMES_MAX / 3 * 2, /* from here on the writes wait for readers */
    CHECKPOINT_ROUNDS_MAX = 12,
    CHECKPOINT_TRY_MS = 10,
    CHECKPOINT_WAIT_MS = 100,      /* for readers, with the writer stopped */
    CHECKPOINT_WAIT_MS_MAX = 5000, /* the same, past CHECKPOINT_FRAMES_MAX */
    CHECKPOINT_FORCE_MS = 30000,
    CHECKPOINT_RETRY_MS = 500,
    SLICE_PAGES = 128,
    SLICE_NAP_US = 1500
};

/* ---- the copying ------------------------------------------------------------------------------------- */

/* When a sync fails, the kernel may have dropped those pages: no later sync brings them back, and the log,
 * the last to hold them, is about to be written over.  The next start copies the whole log again, so
 * stopping loses nothing, and going on would. */
static void sync_or_stop(sqlite3_file *file, int (*sync)(sqlite3_file *, int))
{
    const int rc = sync(file, SQLITE_SYNC_NORMAL);
    if (rc != SQLITE_OK)
        LOG(LOG_ERROR, "db.sync_failed", LOG_I64("rc", rc),
            LOG_C("note", "stopping; nothing is lost: look at the disk, then start again"));
    CHECK(rc == SQLITE_OK);
}

static sqlite3_file *database_file(sqlite3 *lite)
{
    sqlite3_file *file = NULL;
    CHECK(sqlite3_file_control(lite, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK);
    return file;
}

static bool grown(LiteDatabase *database)
{
    return lite_log_frames(database) > CHECKPOINT_FRAMES_MAX;
}

/* A page into the database file, on the checkpointer's connection: nobody else writes there. */
static int write_page(sqlite3_file *file, const void *page, int n, sqlite3_int64 at)
{
    /* The methods stand first in a LitePace; SQLite knows them as constant, we do not. */
    LitePace *pace = (LitePace *)(uintptr_t)file->pMethods;
    const int rc = pace->plain->xWrite(file, page, n, at);
    if (rc != SQLITE_OK || !pace->on || ++pace->pages % SLICE_PAGES != 0 ||
        grown(CONTAINER_OF(pace, LiteDatabase, pace)))
        return rc;
    sync_or_stop(file, pace->plain->xSync);
    const struct timespec nap = {.tv_nsec = SLICE_NAP_US * 1000L};
    (void)nanosleep(&nap, NULL);
    return rc;
}

void lite_pace_begin(LiteDatabase *database)
{
    LitePace *pace = &database->pace;
    sqlite3_file *file = database_file(database->checkpointer->lite);
    pace->plain = file->pMethods;
    pace->methods = *pace->plain;
    pace->methods.xWrite = write_page;
    file->pMethods = &pace->methods;
}

/* Copies the frames that are there; `done`: up to which.  False when a reader holds some back.  PASSIVE
 * counts what it copied as done, synced or not. */
static bool copy_round(LiteDatabase *database, bool gently, int *done)
{
    sqlite3 *lite = database->checkpointer->lite;
    int frames = 0;
    database->pace.on = gently;
    database->pace.pages = 0;
    (void)sqlite3_wal_checkpoint_v2(lite, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, done);
    database->pace.on = false;
    sync_or_stop(database_file(lite), database->pace.plain->xSync);
    return *done == frames;
}

/* RESTART with the writer stopped.  SQLite reads once whom it has to wait for and then waits for a place
 * in its table that newer, harmless readers may share for ever; asked again, it sees that only the old
 * ones count.  Once everything is copied new readers do not look at the log, so this takes two longest
 * reads at most. */
static int restart_log(sqlite3 *lite, int64_t wait_ms)
{
    const int64_t until_us = clock_mono_us() + wait_ms * 1000;
    int rc = SQLITE_OK;
    (void)sqlite3_busy_timeout(lite, CHECKPOINT_TRY_MS);
    do {
        rc = sqlite3_wal_checkpoint_v2(lite, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL);
    } while (rc == SQLITE_BUSY && clock_mono_us() < until_us);
    return rc;
}

/* Copies the log into the database file until little is left, or once when it `must` be emptied now.  False
 * when stopping the writes would gain nothing yet: a reader holds frames back, or the log has grown so long
 * that it must be emptied in another way. */
static bool copy_log(LiteDatabase *database, bool must)
{
    const struct timespec nap = {.tv_nsec = CHECKPOINT_TRY_MS * 1000000L};
    bool held = false;
    int done = 0, left = lite_log_frames(database);
    for (int round = 0; round < CHECKPOINT_ROUNDS_MAX; round++) {
        const int done_before = done, left_before = left;
        lite_gate_set_emptying(database, !held);
        const bool all = copy_round(database, !must, &done);
        lite_gate_set_emptying(database, false);
        left = lite_log_frames(database) - done;
        held = !all && done == done_before;
        if (must || left < LITE_GATE_FRAMES || (all && left > left_before / 4 * 3))
            return true;
        if (grown(database))
            return false;
        if (held)
            (void)nanosleep(&nap, NULL);
    }
    return !held;
}

/* False when a long reader holds the log.  When it `must`, the writes wait for short readers rather than
 * let the log grow. */
static bool checkpoint(LiteDatabase *database, bool must)
{
    if (!copy_log(database, must))
        return false;
    lite_gate_close(database);
    const int rc = restart_log(database->checkpointer->lite,
                               must ? CHECKPOINT_WAIT_MS_MAX : CHECKPOINT_WAIT_MS);
    if (rc == SQLITE_OK)
        atomic_store(&database->wal_frames, 0);
    lite_gate_open(database);
    atomic_fetch_add(&database->checkpoints, 1);
    if (rc != SQLITE_OK)
        LOG(LOG_DEBUG, "db.checkpoint_busy", LOG_I64("rc", rc));
    return rc == SQLITE_OK;
}

/* When the next try is due.  A reader that outlasts a forced try is a long one (a backup, an export):
 * stopping the writes for it again and again would be an outage, so forced tries become rare and the log
 * grows until it is gone. */
typedef struct Backoff {
    int64_t try_us, force_us; /* not before */
    int64_t forced_wait_us;   /* doubles with each forced try that failed */
} Backoff;

static void checkpoint_if_due(LiteDatabase *database, Backoff *b)
{
    const int64_t now_us = clock_mono_us();
    const int frames = lite_log_frames(database);
    const bool must = grown(database) && now_us >= b->force_us;
    if (frames <= CHECKPOINT_FRAMES || (!must && now_us < b->try_us))
        return;
    if (checkpoint(database, must)) {
        *b = (Backoff){0};
        return;
    }
    b->try_us = clock_mono_us() + CHECKPOINT_RETRY_MS * INT64_C(1000);
    if (!must)
        return;
    b->forced_wait_us =
        b->forced_wait_us == 0 ? CHECKPOINT_FORCE_MS * INT64_C(1000) : 2 * b->forced_wait_us;
    b->force_us = clock_mono_us() + b->forced_wait_us;
    LOG(LOG_WARN, "db.log_grows", LOG_I64("frames", frames),
        LOG_C("note", "a long read holds the write-ahead log; it is emptied when that ends"));
}

void *lite_checkpoint_main(void *arg)
{
    (void)pthread_setname_np(pthread_self(), "db-checkpoint");
    LiteDatabase *database = arg;
    const struct timespec nap = {.tv_nsec = CHECKPOINT_POLL_MS * 1000000L};
    Backoff backoff = {0};
    while (!atomic_load(&database->stopping)) {
        checkpoint_if_due(database, &backoff);
        (void)nanosleep(&nap, NULL);
    }
    return NULL;
}
