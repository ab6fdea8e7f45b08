/*
 * app/erase.c -- what is asked for by EVENT_ERASE, done: by a job, by hand, and first of all after a restore.
 *
 * The columns must know of an erasure, in their files, before its record goes from the log: else they would keep the
 * person's rows.  So they write their files first.  Those that are not open, and have not heard of it, are made again
 * when they are opened (app/columns.c).
 *
 * What is left in the columns' own files goes as late as what is in the log, within the same promise: the job asks for
 * it and does not wait, by hand it is waited for.
 */
#include "app/app.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/keyring.h"
#include "base/log.h"
#include "engine/engine.h"

/* A backup that is being copied must not see a file before and its neighbour after: one step at a time, between them it
 * may begin. */
static Err one_step(App *app, Ctx *ctx, const EraseHow *how, EventsErased *out)
{
    File hold = FILE_NONE;
    uint64_t heard_seq = UINT64_MAX;
    uint32_t mark = 0;
    if (app->engine != NULL)
        engine_history(app->engine, &heard_seq, &mark);
    const EventsErase options = {.key = keyring_key(app->keys, KEY_ERASED),
                                 .now_ms = ctx->now_ms,
                                 .wait_ms = how->wait_ms,
                                 .heard_seq = heard_seq};
    TRY(file_open_locked(ctx, str_of(app->config.data), APP_BACKUP_HOLD, &hold));
    const Err err = events_erase(ctx, app->log, &options, out);
    file_close(&hold);
    return err;
}

static Err steps(App *app, Ctx *ctx, const EraseHow *how, EventsErased *sum)
{
    const int64_t until_us = clock_mono_us() + how->work_ms * 1000;
    Ctx c = *ctx;
    c.arena = arena_new(1 << 16); /* its own: a large log takes thousands of steps */
    Err err = ERR_OK;
    do {
        EventsErased one = {.more = false};
        err = one_step(app, &c, how, &one);
        sum->more = err == ERR_OK && one.more;
        sum->records += one.records;
        sum->rewritten += one.rewritten;
        arena_reset(c.arena);
    } while (sum->more && (how->work_ms == 0 || clock_mono_us() < until_us));
    ctx->fault = c.fault;
    arena_free(c.arena);
    return err;
}

static bool somebody_is_due(const App *app, const Ctx *ctx, const EraseHow *how)
{
    EventsStat stat;
    events_stat(app->log, &stat);
    return stat.erase_waiting > 0 &&
           (how->wait_ms == 0 || ctx->now_ms - stat.erase_since_ms >= how->wait_ms);
}

static bool columns_are_due(const App *app, const Ctx *ctx, const EraseHow *how)
{
    EngineHealth h;
    engine_health(app->engine, &h);
    return h.erased_waiting > 0 && ctx->now_ms - h.erased_since_ms >= how->wait_ms;
}

static Err forget_in_columns(App *app, Ctx *ctx, const EraseHow *how)
{
    if (app->engine == NULL)
        return ERR_OK;
    if (how->work_ms == 0)
        return engine_forget(ctx, app->engine, how->report, NULL);
    if (columns_are_due(app, ctx, how))
        engine_forget_soon(app->engine);
    return ERR_OK;
}

static Err erase_in_log(App *app, Ctx *ctx, const EraseHow *how, EventsErased *sum)
{
    TRY(steps(app, ctx, how, sum));
    if (!sum->more && app->engine != NULL && somebody_is_due(app, ctx, how)) {
        TRY(engine_flush(ctx, app->engine));
        TRY(steps(app, ctx, how, sum));
    }
    if (sum->records > 0)
        LOG(LOG_INFO, "events.erased", LOG_I64("records", sum->records),
            LOG_I64("segments", sum->rewritten));
    return ERR_OK;
}

/* What fails in the log does not keep the columns. */
Err erase_run(App *app, Ctx *ctx, const EraseHow *how, EventsErased *sum)
{
    *sum = (EventsErased){.more = false};
    const Err in_log = erase_in_log(app, ctx, how, sum);
    const Fault why = ctx->fault;
    const Err in_columns = forget_in_columns(app, ctx, how);
    ctx->fault = in_log == ERR_OK ? ctx->fault : why;
    return in_log == ERR_OK ? in_columns : in_log;
}

Err erase_job(Ctx *ctx, Database *database, Str payload, void *arg)
{
    (void)database;
    (void)payload;
    EventsErased sum;
    const Err err = erase_run(arg, ctx, &(EraseHow){ERASE_WAIT_MS, ERASE_WORK_MS, NULL}, &sum);
    return err == ERR_CONFLICT ? ERR_OK : err; /* a backup: the next run goes on */
}

Err erase_after_restore(App *app)
{
    EventsStat stat;
    EventsErased sum;
    events_stat(app->log, &stat);
    if (!stat.erase_again)
        return ERR_OK;
    LOG(LOG_WARN, "events.erase_again", LOG_C("note", "who was erased since this backup is again"));
    const Err err = erase_run(app, &app->ctx, &(EraseHow){0}, &sum);
    if (err != ERR_INTERNAL || !str_eq(str_of(app->ctx.fault.reason), STR("events.erase_unread")))
        return err;
    /* Nobody can read that segment either; the job and the next start try again. */
    LOG(LOG_ERROR, "events.erase_unread", LOG_C("detail", app->ctx.fault.detail));
    return ERR_OK;
}
