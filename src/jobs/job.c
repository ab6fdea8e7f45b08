/*
 * jobs/job.c -- the queue and its runner.
 */
#include "jobs/job.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/rand.h"
#include "job.sql.h"

#include <pthread.h>
#include <stdlib.h>

enum { WAITING = 1, RUNNING = 2, DONE = 3, DEAD = 4 };
enum {
    BATCH = 50,
    BACKOFF_MS_MAX = 3600000,
    POLL_MS = 250,
    PURGE_EVERY_MS = 600000,
    ERROR_BYTES_MAX = 300
};
static const int64_t KEEP_MS = INT64_C(7) * 86400000;

struct JobRunner {
    JobRunnerOptions options;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping; /* guarded by: lock */
};

Err job_add(Tx *tx, const char *kind, Str payload, int64_t due_ms, int64_t *id)
{
    if (payload.len > JOB_PAYLOAD_BYTES_MAX)
        return fail(tx->ctx, ERR_TOO_LARGE, "job.payload", "%zu bytes", payload.len);
    const int64_t now = tx->ctx->now_ms;
    const int64_t new_id = id_next(now);
    if (id != NULL)
        *id = new_id;
    return sql_job_insert(tx,
                          &(In_job_insert){.id = new_id,
                                           .kind = str_of(kind),
                                           .payload = payload,
                                           .due_ms = due_ms == 0 ? now : due_ms,
                                           .attempts_max = JOB_ATTEMPTS_DEFAULT,
                                           .created_ms = now},
                          NULL);
}

Err job_retry(Tx *tx, int64_t id)
{
    int64_t changed = 0;
    TRY(sql_job_retry(tx, id, tx->ctx->now_ms, &changed));
    if (changed == 0)
        return fail(tx->ctx, ERR_NOT_FOUND, "job.unknown", "job %" PRId64, id);
    return ERR_OK;
}

/* ---- one job --------------------------------------------------------------------------------------- */

static const JobKind *kind_of(const JobRunnerOptions *o, Str name)
{
    for (const JobKind *k = o->kinds; k->name != NULL; k++)
        if (str_eq(str_of(k->name), name))
            return k;
    return NULL;
}

typedef struct Taking {
    int64_t id;
    int64_t taken;
} Taking;

static Err take_body(Tx *tx, void *arg)
{
    Taking *t = arg;
    return sql_job_take(tx, t->id, &t->taken);
}

/* How a run ended. */
typedef struct Ending {
    const Row_job_due *job;
    const JobKind *kind;
    Err err;
    char error[ERROR_BYTES_MAX];
} Ending;

static int64_t backoff_ms(int64_t attempts)
{
    const int64_t wait = attempts >= 12 ? BACKOFF_MS_MAX : INT64_C(1000) << attempts;
    const int64_t capped = wait < BACKOFF_MS_MAX ? wait : BACKOFF_MS_MAX;
    return capped + (int64_t)rand_below((uint64_t)(capped / 4 + 1));
}

static Err end_body(Tx *tx, void *arg)
{
    const Ending *e = arg;
    const int64_t now = tx->ctx->now_ms, attempts = e->job->attempts + 1;
    int64_t state = DONE, due = e->job->due_ms;
    if (e->err != ERR_OK) {
        state = attempts >= e->job->attempts_max ? DEAD : WAITING;
        due = now + backoff_ms(attempts);
    }
    TRY(sql_job_finish(tx, e->job->id, state, due, str_of(e->error), state == WAITING ? 0 : now,
                       NULL));
    if (e->kind == NULL || e->kind->every_ms == 0 || state == WAITING)
        return ERR_OK;
    Row_job_waiting_of next; /* a retried dead job must not begin a second chain */
    TRY(sql_job_waiting_of(tx->ctx, str_of(e->kind->name), &next));
    return next.jobs > 0 ? ERR_OK
                         : job_add(tx, e->kind->name, STR(""), now + e->kind->every_ms, NULL);
}

static Err run_kind(Ctx *ctx, const JobRunnerOptions *o, const JobKind *kind, Str payload)
{
    if (kind == NULL)
        return fail(ctx, ERR_INTERNAL, "job.kind_unknown", "no such kind in this version");
    ctx->db = database_reader_take(o->database);
    const Err err = kind->run(ctx, o->database, payload, kind->arg);
    database_reader_give(o->database, ctx->db);
    ctx->db = NULL;
    return err;
}

/* The fault as text, cut between two characters. */
static void describe(Ctx *ctx, char error[ERROR_BYTES_MAX])
{
    const Str text =
        arena_printf(ctx->arena, "%s %s%s", ctx->fault.reason, ctx->fault.hint, ctx->fault.detail);
    size_t at = 0, step = 0;
    while (at < text.len && (step = str_utf8_len(text, at)) > 0 && at + step < ERROR_BYTES_MAX)
        at += step;
    CHECK(str_to_c(str_slice(text, 0, at), error, ERROR_BYTES_MAX));
}

static Err run_job(Ctx *ctx, const JobRunnerOptions *o, const Row_job_due *job, bool *ran)
{
    Taking taking = {.id = job->id};
    TRY(database_write(o->database, ctx, "job.take", take_body, &taking));
    *ran = taking.taken != 0;
    if (!*ran)
        return ERR_OK;
    Ending e = {.job = job, .kind = kind_of(o, job->kind)};
    e.err = run_kind(ctx, o, e.kind, job->payload);
    if (e.err != ERR_OK) {
        describe(ctx, e.error);
        LOG(LOG_WARN, "job.failed", LOG_STR("kind", job->kind),
            LOG_I64("attempt", job->attempts + 1), LOG_C("error", e.error));
    }
    ctx->now_ms = clock_now_ms();
    return database_write(o->database, ctx, "job.end", end_body, &e);
}

static bool is_stopping(JobRunner *r)
{
    CHECK(pthread_mutex_lock(&r->lock) == 0);
    const bool stopping = r->stopping;
    CHECK(pthread_mutex_unlock(&r->lock) == 0);
    return stopping;
}

/* `r` (NULL = none) may be told to stop between two jobs. */
static Err run_due(Ctx *ctx, const JobRunnerOptions *o, JobRunner *r, int *ran)
{
    *ran = 0;
    Row_job_due *jobs = NULL;
    size_t n = 0;
    ctx->db = database_reader_take(o->database);
    const Err err = sql_job_due(ctx, ctx->now_ms, BATCH, &jobs, &n);
    database_reader_give(o->database, ctx->db);
    ctx->db = NULL;
    TRY(err);
    for (size_t i = 0; i < n && (r == NULL || !is_stopping(r)); i++) {
        bool did = false;
        TRY(run_job(ctx, o, &jobs[i], &did));
        *ran += did;
    }
    return ERR_OK;
}

Err job_run_due(Ctx *ctx, const JobRunnerOptions *o, int *ran)
{
    return run_due(ctx, o, NULL, ran);
}

/* ---- the runner --------------------------------------------------------------------------------------- */

static Err purge_body(Tx *tx, void *arg)
{
    (void)arg;
    return sql_job_purge(tx, tx->ctx->now_ms - KEEP_MS, NULL);
}

static Err plant_body(Tx *tx, void *arg)
{
    const JobRunnerOptions *o = arg;
    TRY(sql_job_release_running(tx, NULL));
    for (const JobKind *k = o->kinds; k->name != NULL; k++) {
        Row_job_waiting_of row;
        if (k->every_ms == 0)
            continue;
        TRY(sql_job_waiting_of(tx->ctx, str_of(k->name), &row));
        if (row.jobs == 0)
            TRY(job_add(tx, k->name, STR(""), 0, NULL));
    }
    return ERR_OK;
}

/* False when the runner is to stop. */
static bool nap(JobRunner *r)
{
    struct timespec until;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_nsec += POLL_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    CHECK(pthread_mutex_lock(&r->lock) == 0);
    if (!r->stopping)
        (void)pthread_cond_timedwait(&r->wake, &r->lock, &until);
    const bool go_on = !r->stopping;
    CHECK(pthread_mutex_unlock(&r->lock) == 0);
    return go_on;
}

static void *runner_main(void *arg)
{
    (void)pthread_setname_np(pthread_self(), "jobs");
    JobRunner *r = arg;
    Arena *arena = arena_new(65536);
    int64_t purged_ms = 0;
    bool lost_track = false; /* a job's end could not be stored: it still stands as running */
    while (nap(r)) {
        Ctx ctx = {.arena = arena,
                   .now_ms = clock_now_ms(),
                   .keys = r->options.keys,
                   .settings = r->options.settings,
                   .who = &PRINCIPAL_OF_SYSTEM};
        int ran = 0;
        Err err = ERR_OK;
        if (ctx.now_ms - purged_ms >= PURGE_EVERY_MS) {
            purged_ms = ctx.now_ms;
            err = database_write(r->options.database, &ctx, "job.purge", purge_body, NULL);
        }
        if (err == ERR_OK && lost_track)
            err = database_write(r->options.database, &ctx, "job.plant", plant_body, &r->options);
        if (err == ERR_OK)
            err = run_due(&ctx, &r->options, r, &ran);
        lost_track = err != ERR_OK;
        if (lost_track)
            LOG(LOG_ERROR, "job.runner", LOG_C("reason", ctx.fault.reason),
                LOG_C("detail", ctx.fault.detail));
        arena_reset(arena);
    }
    arena_free(arena);
    return NULL;
}

Err job_runner_start(Ctx *ctx, const JobRunnerOptions *options, JobRunner **out)
{
    TRY(database_write(options->database, ctx, "job.plant", plant_body,
                       (void *)(uintptr_t)options));
    JobRunner *r = calloc(1, sizeof *r);
    CHECK(r != NULL);
    r->options = *options;
    pthread_condattr_t attr;
    CHECK(pthread_condattr_init(&attr) == 0);
    CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&r->wake, &attr) == 0);
    CHECK(pthread_condattr_destroy(&attr) == 0);
    CHECK(pthread_mutex_init(&r->lock, NULL) == 0);
    CHECK(pthread_create(&r->thread, NULL, runner_main, r) == 0);
    *out = r;
    return ERR_OK;
}

void job_runner_stop(JobRunner *r)
{
    if (r == NULL)
        return;
    CHECK(pthread_mutex_lock(&r->lock) == 0);
    r->stopping = true;
    CHECK(pthread_cond_signal(&r->wake) == 0);
    CHECK(pthread_mutex_unlock(&r->lock) == 0);
    CHECK(pthread_join(r->thread, NULL) == 0);
    (void)pthread_mutex_destroy(&r->lock);
    (void)pthread_cond_destroy(&r->wake);
    free(r);
}
