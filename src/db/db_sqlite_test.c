/*
 * db/db_sqlite_test.c -- what only the SQLite side promises: group commit, a bounded log, copies while
 * in use, a full disk survived.
 */
#include "base/clock.h"
#include "db/db_sqlite.h"
#include "db/db_world.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char TABLES[] = "CREATE TABLE pair(id $INT PRIMARY KEY, plus $INT NOT NULL, minus $INT"
                             " NOT NULL, body $BYTES NOT NULL) $STRICT;";

STATEMENT(pair_add, "INSERT INTO pair(id, plus, minus, body) VALUES (?1, ?2, ?3, ?4)", NULL,
          IN(SQL_I64, SQL_I64, SQL_I64, SQL_BYTES), NONE);
STATEMENT(pair_count, "SELECT count(*) FROM pair", NULL, NONE, OUT(SQL_I64));
STATEMENT(pair_balance, "SELECT coalesce(sum(plus), 0) - coalesce(sum(minus), 0) FROM pair", NULL,
          NONE, OUT(SQL_I64));
STATEMENT(pair_list, "SELECT id, length(body) FROM pair ORDER BY id", NULL, NONE,
          OUT(SQL_I64, SQL_I64));
STATEMENT(endless,
          "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
          NULL, NONE, OUT(SQL_I64));
STATEMENT(integrity, "PRAGMA integrity_check", NULL, NONE, OUT(SQL_TEXT));

static Serial pair_serial = {.table = "pair"};

enum { BODY_BYTES = 6000 };

/* Two halves that must always agree, and a body that fills pages. */
static Err apply_pair(Tx *tx, void *arg)
{
    static const char body[BODY_BYTES];
    (void)arg;
    int64_t id = 0;
    TRY(db_serial(tx, &pair_serial, &id));
    const SqlValue args[] = {sql_i64(id), sql_i64(id), sql_i64(id),
                             sql_bytes((Str){body, BODY_BYTES})};
    return db_exec(tx, &pair_add, args, NULL);
}

/* ---- load: keeps LOAD writes in flight until it is told to stop ------------------------------------ */

enum { LOAD = 64 };

typedef struct Load {
    World *w;
    WriteTask tasks[LOAD];
    Ctx ctxs[LOAD];
    atomic_bool stop;
    _Atomic int64_t done, failed;
    sem_t idle;
} Load;

static void load_next(WriteTask *task)
{
    Load *load = task->arg;
    atomic_fetch_add(task->err == ERR_OK ? &load->done : &load->failed, 1);
    arena_reset(task->ctx->arena);
    if (atomic_load(&load->stop))
        CHECK(sem_post(&load->idle) == 0);
    else
        database_submit(load->w->database, task);
}

static Load *load_begin(World *w)
{
    Load *load = calloc(1, sizeof *load);
    CHECK(load != NULL && sem_init(&load->idle, 0, 0) == 0);
    load->w = w;
    for (int i = 0; i < LOAD; i++) {
        load->ctxs[i] = world_ctx();
        load->tasks[i] = (WriteTask){.apply = apply_pair,
                                     .arg = load,
                                     .ctx = &load->ctxs[i],
                                     .done = load_next,
                                     .name = "pair"};
        database_submit(w->database, &load->tasks[i]);
    }
    return load;
}

/* How many writes succeeded. */
static int64_t load_end(Load *load)
{
    atomic_store(&load->stop, true);
    for (int i = 0; i < LOAD; i++)
        while (sem_wait(&load->idle) != 0) { /* EINTR */
        }
    const int64_t done = atomic_load(&load->done);
    for (int i = 0; i < LOAD; i++)
        world_ctx_free(&load->ctxs[i]);
    (void)sem_destroy(&load->idle);
    free(load);
    return done;
}

static void sleep_ms(int64_t ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    (void)nanosleep(&t, NULL);
}

/* ---- groups and the log ---------------------------------------------------------------------------- */

static void begin_sqlite(World *w)
{
    world_begin(w, false);
    world_script(w, TABLES);
}

TEST(writes_under_load_share_commits)
{
    World w;
    begin_sqlite(&w);
    Load *load = load_begin(&w);
    sleep_ms(300);
    const int64_t done = load_end(load);
    DatabaseStats stats;
    database_stats(w.database, &stats);
    EXPECT_I64(stats.writes, done);
    EXPECT_I64(world_number(&w, &pair_count, NULL), done);
    CHECK(stats.groups * 4 < stats.writes);
    world_end(&w);
}

/* Holds one read snapshot open for a while: the log cannot be written from its beginning meanwhile. */
static Err dawdle(Ctx *ctx, const SqlRow *row, void *arg)
{
    (void)ctx;
    (void)arg;
    if (row->col[0].i64 == 1)
        sleep_ms(250);
    return ERR_OK;
}

typedef struct Reading {
    World *w;
    pthread_t thread;
    atomic_bool *stop;
} Reading;

static void *reading_main(void *arg)
{
    const Reading *r = arg;
    Ctx ctx = world_ctx();
    while (!atomic_load(r->stop)) {
        ctx.db = database_reader_take(r->w->database);
        CHECK(db_each(&ctx, &pair_list, NULL, dawdle, NULL) == ERR_OK);
        database_reader_give(r->w->database, ctx.db);
        arena_reset(ctx.arena);
    }
    world_ctx_free(&ctx);
    return NULL;
}

#define FRAME_BYTES   (2048 + 24)
#define WAL_BYTES_MAX ((int64_t)LITE_LOG_FRAMES_MAX * FRAME_BYTES)

TEST(the_log_stays_bounded_under_constant_load_with_readers_coming_and_going)
{
    World w;
    begin_sqlite(&w);
    atomic_bool stop = false;
    Reading readings[WORLD_READERS - 1]; /* they overlap: there is no moment without a reader */
    for (size_t i = 0; i < ARRAY_LEN(readings); i++) {
        readings[i] = (Reading){.w = &w, .stop = &stop};
        CHECK(pthread_create(&readings[i].thread, NULL, reading_main, &readings[i]) == 0);
    }
    Load *load = load_begin(&w);
    DatabaseStats stats = {0};
    int64_t done = 0, wal_max = 0;
    const int64_t from_us = clock_mono_us();
    int64_t moved_us = from_us, pause_us = 0;
    while (done * BODY_BYTES < 2 * WAL_BYTES_MAX && clock_mono_us() - from_us < 30000000) {
        sleep_ms(10);
        database_stats(w.database, &stats);
        wal_max = stats.wal_bytes > wal_max ? stats.wal_bytes : wal_max;
        const int64_t now_us = clock_mono_us();
        if (atomic_load(&load->done) > done) {
            done = atomic_load(&load->done);
            moved_us = now_us;
        }
        pause_us = now_us - moved_us > pause_us ? now_us - moved_us : pause_us;
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < ARRAY_LEN(readings); i++)
        CHECK(pthread_join(readings[i].thread, NULL) == 0);
    done = load_end(load);
    printf("log at most %" PRId64 " MB, longest pause %" PRId64 " ms, %" PRId64 " MB written\n",
           wal_max >> 20, pause_us / 1000, done * BODY_BYTES >> 20);
    CHECK(stats.checkpoints >= 2);
    CHECK(done * BODY_BYTES >= WAL_BYTES_MAX); /* else nothing was shown */
    CHECK(wal_max <= WAL_BYTES_MAX);
    CHECK(pause_us < 5000000); /* service goes on */
    EXPECT_I64(world_number(&w, &pair_count, NULL), done);
    EXPECT_I64(world_number(&w, &pair_balance, NULL), 0);
    world_end(&w);
}

static int64_t write_pairs(World *w, int64_t n, Err *last)
{
    int64_t done = 0;
    for (int64_t i = 0; i < n; i++) {
        *last = database_write(w->database, &w->ctx, "pair", apply_pair, NULL);
        done += *last == ERR_OK ? 1 : 0;
        arena_reset(w->ctx.arena);
    }
    return done;
}

typedef ssize_t (*PageWrite)(int fd, const void *bytes, size_t n, off_t at);

/* What SQLite writes with; NULL = pwrite again. */
static void write_pages_by(PageWrite by)
{
    static const char *const calls[] = {"pwrite", "pwrite64"};
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        CHECK(vfs->xSetSystemCall(vfs, calls[i], (sqlite3_syscall_ptr)by) == SQLITE_OK);
}

static bool in_checkpoint(void)
{
    char thread[16] = "";
    CHECK(pthread_getname_np(pthread_self(), thread, sizeof thread) == 0);
    return strcmp(thread, "db-checkpoint") == 0;
}

static struct {
    const LiteDatabase *database;
    atomic_int stopped, beside; /* pages copied while the writes stood still, and beside them */
} copying;

static ssize_t counting_pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    if (in_checkpoint()) /* it closes the gate itself, so it may look */
        atomic_fetch_add(copying.database->gate_closed ? &copying.stopped : &copying.beside, 1);
    return pwrite(fd, bytes, n, at);
}

TEST(the_writes_stand_still_for_the_last_few_pages_of_a_checkpoint_only)
{
    World w;
    DatabaseStats stats = {0};
    Err last = ERR_OK;
    begin_sqlite(&w);
    copying.database = lite_database_of(w.database);
    write_pages_by(counting_pwrite);
    Load *load = load_begin(&w); /* until there is something to copy ... */
    while (atomic_load(&copying.beside) == 0)
        sleep_ms(1);
    int64_t done = load_end(load);
    while (stats.checkpoints == 0) { /* ... and a shop's day meanwhile */
        done += write_pairs(&w, 1, &last);
        sleep_ms(1);
        database_stats(w.database, &stats);
    }
    write_pages_by(NULL);
    CHECK(atomic_load(&copying.beside) > 10 * LITE_GATE_FRAMES);
    CHECK(atomic_load(&copying.stopped) <= 2 * LITE_GATE_FRAMES);
    EXPECT_I64(world_number(&w, &pair_count, NULL), done);
    world_end(&w);
}

/* Checkpoints on a disk that is slower than the writes: each page that goes into the database file waits. */
static ssize_t slow_pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    if (in_checkpoint())
        (void)nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    return pwrite(fd, bytes, n, at);
}

TEST(the_writes_wait_for_a_slow_disk_rather_than_let_the_log_grow)
{
    World w;
    begin_sqlite(&w);
    write_pages_by(slow_pwrite);
    Load *load = load_begin(&w);
    DatabaseStats stats = {0};
    int64_t at_bound = 0;
    const int64_t until_us = clock_mono_us() + 60000000;
    while (at_bound < 100 && clock_mono_us() < until_us) { /* a second at the bound */
        sleep_ms(10);
        database_stats(w.database, &stats);
        at_bound += stats.wal_bytes > WAL_BYTES_MAX / 5 * 4;
    }
    write_pages_by(NULL);
    const int64_t done = load_end(load);
    EXPECT_I64(at_bound, 100);
    CHECK(stats.wal_bytes <= WAL_BYTES_MAX);
    EXPECT_I64(world_number(&w, &pair_count, NULL), done);
    world_end(&w);
}

/* ---- copies ------------------------------------------------------------------------------------------ */

static Str copy_path(World *w)
{
    return arena_printf(w->ctx.arena, "%s/copy.db", w->folder);
}

TEST(a_copy_made_while_writing_is_whole_and_private)
{
    World w;
    begin_sqlite(&w);
    Load *load = load_begin(&w);
    sleep_ms(200);
    const int64_t before = atomic_load(&load->done);
    const Str path = copy_path(&w);
    EXPECT_I64(database_backup(w.database, &w.ctx, path), ERR_OK);
    struct stat st;
    CHECK(stat(path.ptr, &st) == 0);
    EXPECT_I64(st.st_mode & 0777, 0600);
    EXPECT_I64(load_end(load) > before, true);

    const DatabaseOptions options = {.url = path, .readers = 1, .writers = 1};
    World copy = {.ctx = world_ctx()};
    EXPECT_I64(database_open(&copy.ctx, &options, &copy.database), ERR_OK);
    copy.ctx.db = database_reader_take(copy.database);
    SqlRow row;
    EXPECT_I64(db_one(&copy.ctx, &integrity, NULL, &row), ERR_OK);
    CHECK(str_eq(row.col[0].text, STR("ok")));
    CHECK(world_number(&copy, &pair_count, NULL) >= before);
    EXPECT_I64(world_number(&copy, &pair_balance, NULL), 0);
    database_reader_give(copy.database, copy.ctx.db);
    database_close(copy.database);
    world_ctx_free(&copy.ctx);
    world_end(&w);
}

TEST(a_copy_never_overwrites_a_file_and_a_failed_one_leaves_none)
{
    World w;
    begin_sqlite(&w);
    const Str path = copy_path(&w);
    EXPECT_I64(database_backup(w.database, &w.ctx, path), ERR_OK);
    EXPECT_I64(database_backup(w.database, &w.ctx, path), ERR_CONFLICT);
    EXPECT_STREQ(w.ctx.fault.reason, "db.backup_exists");
    const Str nowhere = arena_printf(w.ctx.arena, "%s/no/copy.db", w.folder);
    EXPECT_I64(database_backup(w.database, &w.ctx, nowhere), ERR_INVALID);
    EXPECT_STREQ(w.ctx.fault.reason, "db.backup_path");
    world_end(&w);
}

/* ---- a full disk --------------------------------------------------------------------------------------- */

/* From now on no file of this process may grow past `bytes`. */
static void limit_files(rlim_t bytes)
{
    (void)signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

TEST(a_full_disk_refuses_writes_loses_nothing_and_service_resumes)
{
    World w;
    begin_sqlite(&w);
    Err last = ERR_OK;
    EXPECT_I64(write_pairs(&w, 10, &last), 10);
    DatabaseStats stats;
    database_stats(w.database, &stats);
    limit_files((rlim_t)stats.wal_bytes + 50000);
    int64_t done = 10 + write_pairs(&w, 40, &last);
    const char *reason = w.ctx.fault.reason;
    Ctx backup_ctx = world_ctx();
    limit_files(4096);
    const Err copied = database_backup(w.database, &backup_ctx, copy_path(&w));
    limit_files(RLIM_INFINITY);
    EXPECT_I64(last, ERR_BUSY);
    EXPECT_STREQ(reason, "disk.full");
    CHECK(done > 10 && done < 50);
    CHECK(copied != ERR_OK);
    CHECK(access(copy_path(&w).ptr, F_OK) != 0);
    world_ctx_free(&backup_ctx);

    EXPECT_I64(world_number(&w, &pair_count, NULL), done);
    done += write_pairs(&w, 20, &last);
    EXPECT_I64(last, ERR_OK);
    world_reopen(&w);
    EXPECT_I64(world_number(&w, &pair_count, NULL), done);
    EXPECT_I64(world_number(&w, &pair_balance, NULL), 0);
    world_end(&w);
}

TEST(a_read_past_its_deadline_is_stopped_and_its_reader_goes_on)
{
    World w;
    SqlRow row;
    begin_sqlite(&w);
    const int64_t from_us = clock_mono_us();
    db_set_deadline(w.ctx.db, from_us + 20000);
    EXPECT_I64(db_one(&w.ctx, &endless, NULL, &row), ERR_BUSY);
    EXPECT_STREQ(w.ctx.fault.reason, "db.deadline");
    CHECK(clock_mono_us() >= from_us + 20000);
    database_reader_give(w.database, w.ctx.db);
    w.ctx.db = database_reader_take(w.database);
    const struct timespec nap = {.tv_nsec = 30000000};
    (void)nanosleep(&nap, NULL); /* longer than the deadline, which ended with the giving back */
    EXPECT_I64(world_number(&w, &pair_count, NULL), 0);
    world_end(&w);
}

TEST(a_shared_reader_survives_an_error_and_moves_on_with_the_writes)
{
    World w;
    SqlRow row;
    begin_sqlite(&w);
    DbShare share = {.database = w.database};
    Db *const own = w.ctx.db;
    w.ctx.db = db_share_read(&share);
    EXPECT_I64(world_number(&w, &pair_count, NULL), 0);
    CHECK(db_share_read(&share) == w.ctx.db);
    db_set_deadline(w.ctx.db, 1);
    EXPECT_I64(db_one(&w.ctx, &endless, NULL, &row), ERR_BUSY);
    w.ctx.db = db_share_read(&share);
    EXPECT_I64(world_number(&w, &pair_count, NULL), 0);
    w.ctx.db = own;
    Err last = ERR_OK;
    const int64_t done = write_pairs(&w, 50, &last);
    w.ctx.db = db_share_read(&share); /* a state of its own again */
    EXPECT_I64(world_number(&w, &pair_count, NULL), done);
    db_share_end(&share);
    w.ctx.db = own;
    world_end(&w);
}

TEST(the_writes_are_not_stopped_for_a_long_reader_and_the_log_is_emptied_after_it)
{
    World w;
    DatabaseStats held = {0}, stats = {0};
    Err last = ERR_OK;
    begin_sqlite(&w);
    EXPECT_I64(db_snapshot_begin(&w.ctx), ERR_OK);
    EXPECT_I64(world_number(&w, &pair_count, NULL), 0);
    Load *load = load_begin(&w);
    while (held.wal_bytes < WAL_BYTES_MAX / 3)
        database_stats(w.database, &held);
    const int64_t done = load_end(load);
    sleep_ms(600); /* longer than from one try to the next */
    database_stats(w.database, &held);
    EXPECT_I64(held.checkpoints, 0);
    EXPECT_I64(world_number(&w, &pair_count, NULL), 0);
    db_snapshot_end(&w.ctx);
    const int64_t until_us = clock_mono_us() + 10000000;
    while (stats.checkpoints == 0 && clock_mono_us() < until_us)
        database_stats(w.database, &stats);
    CHECK(stats.checkpoints > 0);
    (void)write_pairs(&w, 10, &last); /* into the log's beginning: it has not grown */
    database_stats(w.database, &stats);
    CHECK(stats.wal_bytes <= held.wal_bytes);
    EXPECT_I64(world_number(&w, &pair_count, NULL), done + 10);
    world_end(&w);
}

TEST(a_file_that_is_no_database_is_refused)
{
    World w;
    world_begin(&w, false);
    const Str path = copy_path(&w);
    FILE *f = fopen(path.ptr, "w");
    CHECK(f != NULL);
    for (int i = 0; i < 500; i++)
        CHECK(fputs("this is no database\n", f) >= 0);
    CHECK(fclose(f) == 0);
    const DatabaseOptions options = {.url = path, .readers = 1, .writers = 1};
    Database *none = NULL;
    EXPECT_I64(database_open(&w.ctx, &options, &none), ERR_INTERNAL);
    EXPECT_STREQ(w.ctx.fault.reason, "db.corrupt");
    CHECK(none == NULL);
    world_end(&w);
}
