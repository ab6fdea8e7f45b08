/*
 * db/db_postgres_test.c -- what only the PostgreSQL side promises: conflicts are run again, lost
 * connections are told honestly and made anew, SQLSTATEs become reasons, processes share numbers.
 */
#include "db/db_driver.h"
#include "db/db_world.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

static const char TABLES[] =
    "CREATE TABLE thing(id BIGINT PRIMARY KEY, n INT);"
    "CREATE SEQUENCE serial_thing INCREMENT 1000;"
    "CREATE FUNCTION boom(state text) RETURNS bigint LANGUAGE plpgsql AS $$"
    " BEGIN IF state <> '' THEN RAISE EXCEPTION 'boom' USING ERRCODE = state; END IF; RETURN 1; END $$;"
    "CREATE TABLE fatal(id BIGINT PRIMARY KEY);"
    "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$"
    " BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;"
    "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON fatal DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION die();";

STATEMENT(thing_put, NULL, "INSERT INTO thing(id) VALUES ($1)", IN(SQL_I64), NONE);
STATEMENT(thing_count, NULL, "SELECT count(*) FROM thing", NONE, OUT(SQL_I64));
STATEMENT(thing_get, NULL, "SELECT coalesce(n, 0) FROM thing WHERE id = $1", IN(SQL_I64),
          OUT(SQL_I64));
STATEMENT(thing_set, NULL, "UPDATE thing SET n = $2 WHERE id = $1", IN(SQL_I64, SQL_I64), NONE);
STATEMENT(thing_n_as_text, NULL, "SELECT id FROM thing", NONE, OUT(SQL_TEXT));
STATEMENT(small_numbers, NULL,
          "SELECT -2, CAST(-3 AS smallint), CAST(9223372036854775807 AS bigint), 1 = 1, 'x'", NONE,
          OUT(SQL_I64, SQL_I64, SQL_I64, SQL_BOOL, SQL_TEXT));
STATEMENT(boom, NULL, "SELECT boom($1)", IN(SQL_TEXT), OUT(SQL_I64));
STATEMENT(fatal_put, NULL, "INSERT INTO fatal(id) VALUES ($1)", IN(SQL_I64), NONE);
STATEMENT(kill_me, NULL, "SELECT count(pg_terminate_backend(pg_backend_pid()))", NONE,
          OUT(SQL_I64));
STATEMENT(kill_others, NULL,
          "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
          " WHERE pid <> pg_backend_pid() AND datname = current_database()",
          NONE, OUT(SQL_I64));

static Serial thing_serial = {.table = "thing"};

static void begin(World *w)
{
    world_begin(w, true);
    world_script(w, TABLES);
}

typedef struct Job {
    SqlStmt *stmt;  /* after the row: this statement */
    Str state;      /* its argument for boom() */
    int fail_times; /* then boom() with "" */
    int runs;
    bool hook_ran;
    int64_t id;
} Job;

static void job_hook(void *arg)
{
    ((Job *)arg)->hook_ran = true;
}

static Err apply_job(Tx *tx, void *arg)
{
    Job *job = arg;
    SqlRow row;
    job->runs++;
    const SqlValue id[] = {sql_i64(job->id)};
    const SqlValue state[] = {sql_text(job->runs > job->fail_times ? STR("") : job->state)};
    tx_after_commit(tx, job_hook, job);
    TRY(db_exec(tx, &thing_put, id, NULL));
    if (job->stmt == &fatal_put)
        return db_exec(tx, &fatal_put, id, NULL);
    return db_one(tx->ctx, job->stmt, job->stmt == &boom ? state : NULL, &row);
}

static Err run_job(World *w, Job *job)
{
    static int64_t id = 0;
    job->id = ++id;
    return database_write(w->database, &w->ctx, "job", apply_job, job);
}

TEST(postgres_states_become_reasons)
{
    World w;
    begin(&w);
    const struct {
        Str state;
        Err err;
        const char *reason;
        int runs;
    } CASES[] = {{STR("40001"), ERR_BUSY, "db.busy", 30},
                 {STR("40P01"), ERR_BUSY, "db.busy", 30},
                 {STR("55P03"), ERR_BUSY, "db.busy", 1},
                 {STR("57014"), ERR_BUSY, "db.deadline", 1},
                 {STR("53100"), ERR_BUSY, "disk.full", 1},
                 {STR("53300"), ERR_BUSY, "db.busy", 1},
                 {STR("23505"), ERR_INTERNAL, "db.constraint", 1},
                 {STR("XX001"), ERR_INTERNAL, "db.corrupt", 1},
                 {STR("42P01"), ERR_INTERNAL, "db.failed", 1}};
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        Job job = {.stmt = &boom, .state = CASES[i].state, .fail_times = 1000};
        EXPECT_I64(run_job(&w, &job), CASES[i].err);
        EXPECT_STREQ(w.ctx.fault.reason, CASES[i].reason);
        EXPECT_I64(job.runs, CASES[i].runs);
        CHECK(!job.hook_ran);
    }
    EXPECT_I64(world_number(&w, &thing_count, NULL), 0);
    world_end(&w);
}

TEST(postgres_conflicts_are_run_again_and_leave_one_row)
{
    World w;
    begin(&w);
    Job job = {.stmt = &boom, .state = STR("40001"), .fail_times = 6};
    EXPECT_I64(run_job(&w, &job), ERR_OK);
    EXPECT_I64(job.runs, 7);
    CHECK(job.hook_ran);
    DatabaseStats stats;
    database_stats(w.database, &stats);
    EXPECT_I64(stats.replays, 6);
    EXPECT_I64(world_number(&w, &thing_count, NULL), 1);
    world_end(&w);
}

/* Reads, thinks, writes; each one the same row. */
typedef struct Thinker {
    World *w;
    pthread_t thread;
    int64_t id, think_us;
    atomic_bool *ended;
    int done;
} Thinker;

static Err apply_think(Tx *tx, void *arg)
{
    const Thinker *t = arg;
    SqlRow row;
    const SqlValue id[] = {sql_i64(t->id)};
    TRY(db_one(tx->ctx, &thing_get, id, &row));
    const SqlValue n[] = {sql_i64(t->id), sql_i64(row.col[0].i64 + 1)};
    (void)nanosleep(&(struct timespec){.tv_nsec = t->think_us * 1000}, NULL);
    return db_exec(tx, &thing_set, n, NULL);
}

static void *think_fast(void *arg)
{
    Thinker *t = arg;
    Ctx ctx = world_ctx();
    while (!atomic_load(t->ended)) {
        CHECK(database_write(t->w->database, &ctx, "fast", apply_think, t) == ERR_OK);
        t->done++;
    }
    world_ctx_free(&ctx);
    return NULL;
}

/* Whoever is slower than all others would lose to one of them every time. */
TEST(postgres_of_those_who_write_one_row_the_slow_one_ends_too)
{
    enum { FAST = 3, ROUNDS = 3, SLOW_US = 30000 };
    World w;
    begin(&w);
    Job first = {.stmt = &boom};
    EXPECT_I64(run_job(&w, &first), ERR_OK);
    atomic_bool ended = false;
    Thinker fast[FAST];
    for (int i = 0; i < FAST; i++) {
        fast[i] = (Thinker){.w = &w, .id = first.id, .ended = &ended};
        CHECK(pthread_create(&fast[i].thread, NULL, think_fast, &fast[i]) == 0);
    }
    Thinker slow = {.w = &w, .id = first.id, .think_us = SLOW_US};
    for (int i = 0; i < ROUNDS; i++)
        EXPECT_I64(database_write(w.database, &w.ctx, "slow", apply_think, &slow), ERR_OK);
    atomic_store(&ended, true);
    int64_t all = ROUNDS;
    for (int i = 0; i < FAST; i++) {
        CHECK(pthread_join(fast[i].thread, NULL) == 0);
        all += fast[i].done;
    }
    EXPECT_I64(world_number(&w, &thing_get, (SqlValue[]){sql_i64(first.id)}), all);
    world_end(&w);
}

TEST(postgres_connection_lost_before_the_commit_is_unreachable_and_service_goes_on)
{
    World w;
    begin(&w);
    Job job = {.stmt = &kill_me};
    EXPECT_I64(run_job(&w, &job), ERR_BUSY);
    EXPECT_STREQ(w.ctx.fault.reason, "db.unreachable");
    EXPECT_I64(job.runs, 1);
    CHECK(!job.hook_ran);
    for (int i = 0; i < 2 * WORLD_WRITERS; i++) {
        Job next = {.stmt = &boom};
        EXPECT_I64(run_job(&w, &next), ERR_OK);
    }
    EXPECT_I64(world_number(&w, &thing_count, NULL), 2 * WORLD_WRITERS);
    world_end(&w);
}

TEST(postgres_connection_lost_in_the_commit_is_an_unknown_outcome_and_never_run_again)
{
    World w;
    begin(&w);
    Job job = {.stmt = &fatal_put};
    EXPECT_I64(run_job(&w, &job), ERR_BUSY);
    EXPECT_STREQ(w.ctx.fault.reason, "db.unknown_outcome");
    EXPECT_I64(job.runs, 1);
    CHECK(!job.hook_ran);
    Job next = {.stmt = &boom};
    EXPECT_I64(run_job(&w, &next), ERR_OK);
    world_end(&w);
}

TEST(postgres_connections_lost_while_idle_are_made_anew_unnoticed)
{
    World w;
    begin(&w);
    (void)world_number(&w, &thing_count, NULL); /* prepared on the connection that stays */
    EXPECT_I64(world_number(&w, &kill_others, NULL) >= WORLD_WRITERS, true);
    for (int i = 0; i < 2 * WORLD_WRITERS; i++) {
        Job job = {.stmt = &boom};
        EXPECT_I64(run_job(&w, &job), ERR_OK);
    }
    for (int i = 0; i < 2 * WORLD_READERS; i++) {
        Db *other = database_reader_take(w.database);
        Db *mine = w.ctx.db;
        w.ctx.db = other;
        EXPECT_I64(world_number(&w, &thing_count, NULL), 2 * WORLD_WRITERS);
        w.ctx.db = mine;
        database_reader_give(w.database, other);
    }
    world_end(&w);
}

TEST(postgres_results_of_another_shape_are_refused_and_small_numbers_widened)
{
    World w;
    begin(&w);
    SqlRow row;
    EXPECT_I64(db_one(&w.ctx, &small_numbers, NULL, &row), ERR_OK);
    EXPECT_I64(row.col[0].i64, -2);
    EXPECT_I64(row.col[1].i64, -3);
    EXPECT_I64(row.col[2].i64, INT64_MAX);
    EXPECT_I64(row.col[3].i64, 1);
    CHECK(str_eq(row.col[4].text, STR("x")));
    EXPECT_I64(db_one(&w.ctx, &thing_n_as_text, NULL, &row), ERR_INTERNAL);
    EXPECT_STREQ(w.ctx.fault.reason, "db.shape");
    world_end(&w);
}

TEST(postgres_copy_is_refused_with_advice)
{
    World w;
    begin(&w);
    EXPECT_I64(database_backup(w.database, &w.ctx, STR("/tmp/x")), ERR_INVALID);
    EXPECT_STREQ(w.ctx.fault.reason, "db.backup_postgres");
    CHECK(strstr(w.ctx.fault.hint, "pg_dump") != NULL);
    world_end(&w);
}

TEST(postgres_that_is_not_there_is_busy)
{
    World w;
    begin(&w);
    const DatabaseOptions options = {
        .url = STR("postgres://tongdian@127.0.0.1:1/none"), .readers = 1, .writers = 1};
    Database *none = NULL;
    EXPECT_I64(database_open(&w.ctx, &options, &none), ERR_BUSY);
    EXPECT_STREQ(w.ctx.fault.reason, "db.unreachable");
    CHECK(none == NULL);
    world_end(&w);
}

/* ---- isolation ------------------------------------------------------------------------------------------ */

/* Two tasks read the same count before either writes; each may add a row only while there is none. */
typedef struct Skew {
    WriteTask task;
    Ctx ctx;
    int64_t id;
    atomic_int *have_read;
    sem_t *done;
} Skew;

static Err apply_skew(Tx *tx, void *arg)
{
    const Skew *skew = arg;
    SqlRow row;
    TRY(db_one(tx->ctx, &thing_count, NULL, &row));
    atomic_fetch_add(skew->have_read, 1);
    for (int ms = 0; ms < 5000 && atomic_load(skew->have_read) < 2; ms++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (row.col[0].i64 > 0)
        return fail(tx->ctx, ERR_CONFLICT, "test.taken", "%" PRId64, skew->id);
    const SqlValue args[] = {sql_i64(skew->id)};
    return db_exec(tx, &thing_put, args, NULL);
}

static void skew_done(WriteTask *task)
{
    CHECK(sem_post(CONTAINER_OF(task, Skew, task)->done) == 0);
}

TEST(postgres_transactions_that_decided_on_the_same_state_do_not_both_commit)
{
    World w;
    begin(&w);
    atomic_int have_read = 0;
    sem_t done;
    CHECK(sem_init(&done, 0, 0) == 0);
    Skew skews[2];
    for (int i = 0; i < 2; i++) {
        skews[i] = (Skew){.ctx = world_ctx(), .id = i, .have_read = &have_read, .done = &done};
        skews[i].task = (WriteTask){.apply = apply_skew,
                                    .arg = &skews[i],
                                    .ctx = &skews[i].ctx,
                                    .done = skew_done,
                                    .name = "skew"};
        database_submit(w.database, &skews[i].task);
    }
    for (int i = 0; i < 2; i++)
        while (sem_wait(&done) != 0) { /* EINTR */
        }
    EXPECT_I64(skews[0].task.err + skews[1].task.err, ERR_OK + ERR_CONFLICT);
    EXPECT_I64(world_number(&w, &thing_count, NULL), 1);
    for (int i = 0; i < 2; i++)
        world_ctx_free(&skews[i].ctx);
    (void)sem_destroy(&done);
    world_end(&w);
}

/* ---- two processes ------------------------------------------------------------------------------------ */

enum { DRAWS = 1500 };

typedef struct Drawer {
    Database *database;
    pthread_t thread;
} Drawer;

/* The primary key is the test: a number given out twice cannot be inserted. */
static Err apply_draw(Tx *tx, void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        int64_t id = 0;
        TRY(db_serial(tx, &thing_serial, &id));
        const SqlValue args[] = {sql_i64(id)};
        TRY(db_exec(tx, &thing_put, args, NULL));
    }
    return ERR_OK;
}

static void *drawer_main(void *arg)
{
    const Drawer *d = arg;
    Ctx ctx = world_ctx();
    for (int i = 0; i < DRAWS / 10; i++) {
        CHECK(database_write(d->database, &ctx, "draw", apply_draw, NULL) == ERR_OK);
        arena_reset(ctx.arena);
    }
    world_ctx_free(&ctx);
    return NULL;
}

TEST(postgres_processes_that_draw_numbers_at_the_same_time_never_collide)
{
    World w;
    begin(&w);
    const DatabaseOptions options = {.url = str_of(w.url), .readers = 1, .writers = 2};
    Database *second = NULL;
    EXPECT_I64(database_open(&w.ctx, &options, &second), ERR_OK);
    Drawer drawers[] = {{w.database, 0}, {w.database, 0}, {second, 0}, {second, 0}};
    for (size_t i = 0; i < ARRAY_LEN(drawers); i++)
        CHECK(pthread_create(&drawers[i].thread, NULL, drawer_main, &drawers[i]) == 0);
    for (size_t i = 0; i < ARRAY_LEN(drawers); i++)
        CHECK(pthread_join(drawers[i].thread, NULL) == 0);
    EXPECT_I64(world_number(&w, &thing_count, NULL), (int64_t)ARRAY_LEN(drawers) * DRAWS);
    database_close(second);
    world_end(&w);
}
