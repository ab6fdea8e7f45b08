/*
 * jobs/job.h -- a durable queue of work after the reply.
 *
 *     waiting --due--> running --ok--> done (kept a week)
 *        ^                +--failed--> waiting, later (backoff with jitter), at most attempts_max times
 *        +-- job_retry() ------------- dead (kept until somebody looks)
 *
 * Owns:     table job.
 * Promises: a job that was added in a committed transaction runs at least once, also across a crash;
 *           one that fails runs again after 2^attempt seconds (at most an hour) plus up to a quarter;
 *           a job never runs twice at the same time in one data folder.
 * Depends:  base, db, request.      Threads: the runner has one of its own; job_add() in any Tx.
 */
#pragma once

#include "db/db.h"
#include "request/request.h"

enum { JOB_ATTEMPTS_DEFAULT = 8, JOB_PAYLOAD_BYTES_MAX = 65536 };

typedef struct JobRunner JobRunner;

/* What a kind of job does.  ctx->db reads; it writes through `database`.  An Err is a failed attempt:
 * ctx->fault is kept as the last error. */
typedef Err (*JobFn)(Ctx *ctx, Database *database, Str payload, void *arg);

/* A kind, and how often it comes by itself: every_ms 0 = only when added. */
typedef struct JobKind {
    const char *name;
    JobFn run;
    void *arg;
    int64_t every_ms;
} JobKind;

/* Adds a job to the transaction; due_ms 0 = now.  TOO_LARGE "job.payload". */
MUST_USE Err job_add(Tx *tx, const char *kind, Str payload, int64_t due_ms, int64_t *id);

/* Gives a dead job new tries.  NOT_FOUND "job.unknown". */
MUST_USE Err job_retry(Tx *tx, int64_t id);

typedef struct JobRunnerOptions {
    Database *database;
    const struct Keyring *keys;
    const struct Settings *settings;
    const JobKind *kinds; /* ends with a zero row; must outlive the runner */
} JobRunnerOptions;

/* Takes over what a crash left running, plants the periodic jobs, starts the thread. */
MUST_USE Err job_runner_start(Ctx *ctx, const JobRunnerOptions *options, JobRunner **out);
void job_runner_stop(JobRunner *runner); /* waits for the running job only; NULL is nothing to do */

/* Runs everything that is due at ctx->now_ms in this thread and returns: for tests and tools. */
MUST_USE Err job_run_due(Ctx *ctx, const JobRunnerOptions *options, int *ran);

extern const Door JOB_DOORS[];
