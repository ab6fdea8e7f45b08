/*
 * jobs/job_test.c -- what job.h promises.
 */
#include "jobs/job.h"

#include "job.sql.h"
#include "modules/room_test.h"

#include <pthread.h>

enum { WAITING = 1, RUNNING = 2, DONE = 3, DEAD = 4 };

#define SECOND_MS INT64_C(1000)
#define HOUR_MS   INT64_C(3600000)
#define DAY_MS    INT64_C(86400000)

/* ---- kinds of jobs ----------------------------------------------------------------------------------- */

static atomic_int ran_count, failing; /* how often "note" and "fail" ran; whether they fail */
static char ran_text[256];            /* payloads of "note" in the order of their runs */

static Err run_note(Ctx *ctx, Database *database, Str payload, void *arg)
{
    CHECK(ctx->db != NULL && database != NULL && arg == ran_text);
    const size_t n = str_of(ran_text).len;
    CHECK(str_to_c(payload, ran_text + n, sizeof ran_text - n));
    atomic_fetch_add(&ran_count, 1);
    return ERR_OK;
}

static Err run_fail(Ctx *ctx, Database *database, Str payload, void *arg)
{
    (void)database;
    (void)payload;
    (void)arg;
    atomic_fetch_add(&ran_count, 1);
    return atomic_load(&failing) ? fail(ctx, ERR_BUSY, "t.failed", "number %d", 7) : ERR_OK;
}

/* A fault whose text is longer than what is kept, in characters of three bytes. */
static Err run_wordy(Ctx *ctx, Database *database, Str payload, void *arg)
{
    (void)database;
    (void)arg;
    Buf b = BUF_MAX(1024);
    for (int i = 0; i < 63; i++)
        buf_add(&b, STR("错"));
    buf_add(&b, payload); /* shifts where the cut would be */
    buf_add_char(&b, '\0');
    const Err err = fail_field(ctx, "/x", "t.wordy", "%s", b.ptr);
    (void)snprintf(ctx->fault.detail, sizeof ctx->fault.detail, "%.150s", b.ptr);
    buf_free(&b);
    return err;
}

static Err run_slow(Ctx *ctx, Database *database, Str payload, void *arg)
{
    (void)ctx;
    (void)database;
    (void)payload;
    (void)arg;
    atomic_fetch_add(&ran_count, 1);
    (void)usleep(200000);
    return ERR_OK;
}

static const JobKind KINDS[] = {{"note", run_note, ran_text, 0},
                                {"fail", run_fail, NULL, 0},
                                {"wordy", run_wordy, NULL, 0},
                                {"slow", run_slow, NULL, 0},
                                {0}};
static const JobKind PERIODIC[] = {{"fail", run_fail, NULL, HOUR_MS}, {0}};

static JobRunnerOptions options(Room *room, const JobKind *kinds)
{
    atomic_store(&ran_count, 0);
    atomic_store(&failing, 0);
    ran_text[0] = '\0';
    return (JobRunnerOptions){.database = room->world.database, .kinds = kinds};
}

/* ---- shorthand ----------------------------------------------------------------------------------------- */

typedef struct Add {
    const char *kind;
    Str payload;
    int64_t due_ms, id;
    bool fail_after;
} Add;

static Err add_body(Tx *tx, void *arg)
{
    Add *a = arg;
    TRY(job_add(tx, a->kind, a->payload, a->due_ms, &a->id));
    return a->fail_after ? fail(tx->ctx, ERR_CONFLICT, "t.no", "test") : ERR_OK;
}

static int64_t add(Room *room, const char *kind, const char *payload, int64_t due_ms)
{
    Add a = {.kind = kind, .payload = str_of(payload), .due_ms = due_ms};
    EXPECT_OK(room->ctx, room_write(room, add_body, &a));
    return a.id;
}

/* Runs what is due; returns how many ran.  The test's own reader is not the job's. */
static int run(Room *room, const JobRunnerOptions *o)
{
    Db *reader = room->ctx->db;
    int ran = -1;
    room->ctx->now_ms = clock_now_ms();
    EXPECT_OK(room->ctx, job_run_due(room->ctx, o, &ran));
    room->ctx->db = reader;
    return ran;
}

static Row_job_find job_of(Room *room, int64_t id)
{
    Row_job_find row = {0};
    EXPECT_OK(room->ctx, sql_job_find(room->ctx, id, &row));
    return row;
}

static void sql(Room *room, const char *text)
{
    EXPECT_OK(room->ctx, database_script(room->world.database, room->ctx, text));
}

static int64_t jobs_of(Room *room, int64_t state)
{
    Row_job_counts *rows = NULL;
    size_t n = 0;
    EXPECT_OK(room->ctx, sql_job_counts(room->ctx, &rows, &n));
    for (size_t i = 0; i < n; i++)
        if (rows[i].state == state)
            return rows[i].jobs;
    return 0;
}

static Err retry_body(Tx *tx, void *arg)
{
    return job_retry(tx, *(const int64_t *)arg);
}

static JobRunner *start(Room *room, const JobRunnerOptions *o)
{
    JobRunner *r = NULL;
    room->ctx->now_ms = clock_now_ms();
    EXPECT_OK(room->ctx, job_runner_start(room->ctx, o, &r));
    return r;
}

static void wait_until_ran(int n)
{
    const int64_t until_us = clock_mono_us() + 5000000;
    while (atomic_load(&ran_count) < n && clock_mono_us() < until_us)
        (void)usleep(2000);
    EXPECT_I64(atomic_load(&ran_count), n);
}

/* ---- due and done ---------------------------------------------------------------------------------------- */

ROOM_TEST(job_runs_once_when_it_is_due_the_earliest_first, &JOB_SCHEMA)
{
    const JobRunnerOptions o = options(room, KINDS);
    const int64_t later = add(room, "note", "c", ROOM_NOW_MS + 1000);
    (void)add(room, "note", "b", 0);
    (void)add(room, "note", "a", ROOM_NOW_MS - 5);
    EXPECT_I64(run(room, &o), 2);
    EXPECT_STREQ(ran_text, "ab");
    clock_advance_ms(999);
    EXPECT_I64(run(room, &o), 0);
    EXPECT_I64(job_of(room, later).state, WAITING);
    clock_advance_ms(1);
    EXPECT_I64(run(room, &o), 1);
    EXPECT_STREQ(ran_text, "abc");
    const Row_job_find row = job_of(room, later);
    EXPECT_I64(row.state, DONE);
    EXPECT_I64(row.attempts, 1);
    EXPECT_I64(row.finished_ms, ROOM_NOW_MS + 1000);
    EXPECT_I64(row.created_ms, ROOM_NOW_MS);
    EXPECT_I64(run(room, &o), 0);
}

ROOM_TEST(job_of_a_transaction_that_was_rolled_back_never_runs, &JOB_SCHEMA)
{
    const JobRunnerOptions o = options(room, KINDS);
    Add a = {.kind = "note", .payload = STR("x"), .fail_after = true};
    EXPECT_FAULT(room->ctx, room_write(room, add_body, &a), ERR_CONFLICT, "t.no");
    EXPECT_I64(run(room, &o), 0);
    EXPECT_I64(jobs_of(room, WAITING), 0);
}

ROOM_TEST(job_payload_has_a_limit, &JOB_SCHEMA)
{
    char *text = arena_bytes(room->ctx->arena, JOB_PAYLOAD_BYTES_MAX + 1);
    memset(text, 'x', JOB_PAYLOAD_BYTES_MAX + 1);
    Add a = {.kind = "fail", .payload = {text, JOB_PAYLOAD_BYTES_MAX + 1}};
    EXPECT_FAULT(room->ctx, room_write(room, add_body, &a), ERR_TOO_LARGE, "job.payload");
    a.payload.len--;
    EXPECT_OK(room->ctx, room_write(room, add_body, &a));
    EXPECT_I64((int64_t)job_of(room, a.id).payload.len, JOB_PAYLOAD_BYTES_MAX);
}

/* ---- failing ----------------------------------------------------------------------------------------------- */

ROOM_TEST(job_that_fails_waits_longer_each_time_then_is_dead_until_it_is_revived, &JOB_SCHEMA)
{
    const JobRunnerOptions o = options(room, KINDS);
    int64_t id = add(room, "fail", "", 0);
    atomic_store(&failing, 1);
    for (int64_t attempt = 1; attempt < JOB_ATTEMPTS_DEFAULT; attempt++) {
        EXPECT_I64(run(room, &o), 1);
        const Row_job_find row = job_of(room, id);
        EXPECT_I64(row.state, WAITING);
        EXPECT_I64(row.attempts, attempt);
        EXPECT_STREQ(ROOM_C(room, row.last_error), "t.failed number 7");
        const int64_t wait = row.due_ms - clock_now_ms(), least = SECOND_MS << attempt;
        CHECK(wait >= least && wait <= least + least / 4);
        EXPECT_I64(run(room, &o), 0);
        clock_advance_ms(wait);
    }
    EXPECT_I64(run(room, &o), 1);
    EXPECT_I64(job_of(room, id).state, DEAD);
    EXPECT_I64(job_of(room, id).attempts, JOB_ATTEMPTS_DEFAULT);
    clock_advance_ms(100 * DAY_MS);
    EXPECT_I64(run(room, &o), 0);
    EXPECT_OK(room->ctx, room_write(room, retry_body, &id));
    EXPECT_FAULT(room->ctx, room_write(room, retry_body, &id), ERR_NOT_FOUND, "job.unknown");
    EXPECT_I64(job_of(room, id).attempts, 0);
    atomic_store(&failing, 0);
    EXPECT_I64(run(room, &o), 1);
    EXPECT_I64(job_of(room, id).state, DONE);
    EXPECT_STREQ(ROOM_C(room, job_of(room, id).last_error), "");
    EXPECT_FAULT(room->ctx, room_write(room, retry_body, &id), ERR_NOT_FOUND, "job.unknown");
}

ROOM_TEST(job_waits_an_hour_and_a_quarter_at_most, &JOB_SCHEMA)
{
    const JobRunnerOptions o = options(room, KINDS);
    const int64_t id = add(room, "fail", "", 0);
    atomic_store(&failing, 1);
    for (int attempts = 10; attempts < 70; attempts += 7) {
        char text[128];
        (void)snprintf(text, sizeof text,
                       "UPDATE job SET attempts = %d, attempts_max = 99, due_ms = 0, state = 1;",
                       attempts);
        sql(room, text);
        EXPECT_I64(run(room, &o), 1);
        const int64_t wait = job_of(room, id).due_ms - clock_now_ms();
        const int64_t least = attempts < 11 ? SECOND_MS << (attempts + 1) : HOUR_MS;
        CHECK(wait >= least && wait <= HOUR_MS + HOUR_MS / 4);
    }
}

ROOM_TEST(job_of_a_kind_that_nobody_knows_fails_and_waits, &JOB_SCHEMA)
{
    const JobRunnerOptions o = options(room, KINDS);
    const int64_t id = add(room, "of tomorrow", "", 0);
    EXPECT_I64(run(room, &o), 1);
    const Row_job_find row = job_of(room, id);
    EXPECT_I64(row.state, WAITING);
    CHECK(str_starts_with(row.last_error, STR("job.kind_unknown")));
}

ROOM_TEST(job_keeps_the_beginning_of_a_long_error_in_whole_characters, &JOB_SCHEMA)
{
    const JobRunnerOptions o = options(room, KINDS);
    static const char *const SHIFT[] = {"", "x", "xx"};
    for (size_t i = 0; i < ARRAY_LEN(SHIFT); i++) {
        const int64_t id = add(room, "wordy", SHIFT[i], 0);
        EXPECT_I64(run(room, &o), 1);
        const Row_job_find row = job_of(room, id);
        EXPECT_I64(row.state, WAITING);
        CHECK(row.last_error.len >= 290 && str_is_utf8(row.last_error));
        CHECK(str_starts_with(row.last_error, STR("t.wordy 错错")));
    }
}

/* ---- many at once -------------------------------------------------------------------------------------------- */

static void *run_in_thread(void *arg)
{
    const JobRunnerOptions *o = arg;
    Ctx ctx = world_ctx();
    ctx.who = &PRINCIPAL_OF_SYSTEM;
    int ran = 0;
    while (job_run_due(&ctx, o, &ran) != ERR_OK)
        continue; /* PostgreSQL: a conflict with another's take */
    world_ctx_free(&ctx);
    return NULL;
}

ROOM_TEST(job_runs_once_though_several_take_at_the_same_time, &JOB_SCHEMA)
{
    enum { THREADS = 3, JOBS = 30 };
    const JobRunnerOptions o = options(room, KINDS);
    pthread_t threads[THREADS];
    for (int i = 0; i < JOBS; i++)
        (void)add(room, "fail", "", 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, run_in_thread, (void *)(uintptr_t)&o) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    EXPECT_I64(atomic_load(&ran_count), JOBS);
    EXPECT_I64(jobs_of(room, DONE), JOBS);
}

/* ---- the runner ------------------------------------------------------------------------------------------------ */

ROOM_TEST(job_runner_plants_a_periodic_job_once_and_goes_on_after_success_and_death, &JOB_SCHEMA)
{
    JobRunnerOptions o = options(room, PERIODIC);
    for (int i = 0; i < 3; i++) {
        JobRunner *r = start(room, &o);
        job_runner_stop(r);
    }
    EXPECT_I64(jobs_of(room, WAITING), 1);
    (void)run(room, &o);
    EXPECT_I64(jobs_of(room, WAITING), 1);
    const int ran = atomic_load(&ran_count);
    clock_advance_ms(HOUR_MS - 1);
    EXPECT_I64(run(room, &o), 0);
    clock_advance_ms(1);
    EXPECT_I64(run(room, &o), 1);
    EXPECT_I64(atomic_load(&ran_count), ran + 1);
    sql(room, "UPDATE job SET attempts = 7 WHERE state = 1;");
    atomic_store(&failing, 1);
    clock_advance_ms(HOUR_MS);
    EXPECT_I64(run(room, &o), 1);
    EXPECT_I64(jobs_of(room, DEAD), 1);
    EXPECT_I64(jobs_of(room, WAITING), 1);
    clock_advance_ms(HOUR_MS);
    EXPECT_I64(run(room, &o), 1);
    EXPECT_I64(jobs_of(room, WAITING), 1); /* it failed, and waits: no second one is planted */
}

ROOM_TEST(job_runner_takes_over_what_a_crash_left_running, &JOB_SCHEMA)
{
    const JobRunnerOptions o = options(room, KINDS);
    const int64_t id = add(room, "fail", "", 0);
    sql(room, "UPDATE job SET state = 2, attempts = 1;");
    EXPECT_I64(run(room, &o), 0); /* somebody may be at it */
    JobRunner *r = start(room, &o);
    wait_until_ran(1);
    job_runner_stop(r);
    EXPECT_I64(job_of(room, id).state, DONE);
    EXPECT_I64(job_of(room, id).attempts, 2);
}

ROOM_TEST(job_runner_stops_behind_the_running_job_and_leaves_the_others_waiting, &JOB_SCHEMA)
{
    const JobRunnerOptions o = options(room, KINDS);
    for (int i = 0; i < 20; i++)
        (void)add(room, "slow", "", 0);
    JobRunner *r = start(room, &o);
    wait_until_ran(1);
    job_runner_stop(r);
    const int ran = atomic_load(&ran_count);
    CHECK(ran <= 2);
    EXPECT_I64(jobs_of(room, DONE), ran);
    EXPECT_I64(jobs_of(room, RUNNING), 0);
    EXPECT_I64(jobs_of(room, WAITING), 20 - ran);
    job_runner_stop(NULL);
}

ROOM_TEST(job_that_is_done_is_kept_a_week_also_while_the_runner_runs, &JOB_SCHEMA)
{
    const JobRunnerOptions o = options(room, KINDS);
    JobRunner *r = start(room, &o);
    (void)add(room, "fail", "", 0);
    wait_until_ran(1);
    const int64_t until_us = clock_mono_us() + 5000000;
    while (jobs_of(room, DONE) < 1 && clock_mono_us() < until_us)
        (void)usleep(2000);
    clock_advance_ms(7 * DAY_MS);
    (void)usleep(600000);
    EXPECT_I64(jobs_of(room, DONE), 1);
    clock_advance_ms(HOUR_MS);
    while (jobs_of(room, DONE) > 0 && clock_mono_us() < until_us)
        (void)usleep(2000);
    job_runner_stop(r);
    EXPECT_I64(jobs_of(room, DONE), 0);
}
