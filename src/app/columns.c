/*
 * app/columns.c -- the event engine beside the log.
 *
 * Everything in its folder can be made again from the log.  So what cannot be opened, or knows more than the
 * log (the log is of an older backup), is thrown away, and the engine starts from the log's beginning.  Damage
 * that is met later, in the data or ids of one file, the engine mends by itself.
 */
#include "app/app.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "engine/crew.h"
#include "engine/engine.h"

static bool offer(uint64_t first_seq, uint32_t count, Str records, void *arg)
{
    App *app = arg;
    engine_offer(app->engine, first_seq, count, records);
    return !atomic_load_explicit(&app->columns_stop, memory_order_relaxed);
}

/* Weeks begin on Mondays, with the chain's business day. */
static int64_t some_monday_ms(const Settings *s)
{
    return clock_day_start_ms(19700105, s->offset_min) + s->cutover_hour * INT64_C(3600000);
}

static Err throw_away(Ctx *ctx, Str folder, const char *why)
{
    Str *names = NULL;
    size_t count = 0;
    LOG(LOG_WARN, "events.engine_made_again", LOG_C("why", why));
    TRY(file_list(ctx, folder, &names, &count));
    for (size_t i = 0; i < count; i++)
        TRY(file_remove(ctx, folder, names[i]));
    return ERR_OK;
}

enum { SLICE_ROWS_MAX = 16384 };

static bool is_damage(const Fault *fault)
{
    return str_ends_with(str_of(fault->reason), STR("_damaged")) ||
           str_eq(str_of(fault->reason), STR("file.missing"));
}

static EngineOptions options_of(App *app)
{
    const uint32_t rows = (uint32_t)app->config.engine_rows;
    return (EngineOptions){.origin_ms = some_monday_ms(&app->settings),
                           .log_folder =
                               arena_printf(app->arena, "%s/events/log", app->config.data),
                           .slice_rows = rows / 4 < SLICE_ROWS_MAX ? rows / 4 : SLICE_ROWS_MAX,
                           .flush_rows = rows,
                           .memory_rows_max = 2 * rows};
}

static Err open_engine(App *app, Str folder)
{
    const EngineOptions options = options_of(app);
    Err err = engine_open(&app->ctx, folder, &options, &app->engine);
    if (err != ERR_OK && is_damage(&app->ctx.fault)) {
        TRY(throw_away(&app->ctx, folder, app->ctx.fault.reason));
        err = engine_open(&app->ctx, folder, &options, &app->engine);
    }
    return err;
}

/* ---- following ------------------------------------------------------------------------------------- */

enum {
    AT_ONCE_MAX = 200000
}; /* events that a start reads before it answers; more are read beside */

static Err follow(Ctx *ctx, App *app)
{
    TRY(events_follow(ctx, app->log, engine_next_seq(app->engine), offer, app));
    engine_set_complete(app->engine);
    return ERR_OK;
}

static void *follow_main(void *arg)
{
    App *app = arg;
    (void)pthread_setname_np(pthread_self(), "engine-follow");
    Ctx ctx = {.arena = arena_new(1 << 16)};
    const int64_t from_us = clock_mono_us();
    if (follow(&ctx, app) == ERR_OK)
        LOG(LOG_INFO, "events.engine_complete", LOG_I64("ms", (clock_mono_us() - from_us) / 1000));
    else if (!atomic_load(&app->columns_stop))
        LOG(LOG_ERROR, "events.engine_incomplete", LOG_C("reason", ctx.fault.reason),
            LOG_C("note", "questions are refused until the next start"));
    arena_free(ctx.arena);
    return NULL;
}

static Str folder_of(App *app)
{
    return arena_printf(app->arena, "%s/events/engine", app->config.data);
}

Err columns_look(App *app)
{
    EngineOptions options = options_of(app);
    options.read_only = true;
    return engine_open(&app->ctx, folder_of(app), &options, &app->engine);
}

Err columns_open(App *app)
{
    const Str folder = folder_of(app);
    EventsStat log;
    if (app->config.engine == 0)
        return ERR_OK;
    TRY(open_engine(app, folder));
    events_stat(app->log, &log);
    if (engine_next_seq(app->engine) > log.next_seq) {
        engine_close(app->engine);
        app->engine = NULL;
        TRY(throw_away(&app->ctx, folder, "it knows more than the log"));
        TRY(open_engine(app, folder));
    }
    app->crew = crew_new(0);
    const uint64_t behind = log.next_seq - engine_next_seq(app->engine);
    if (behind <= AT_ONCE_MAX)
        return follow(&app->ctx, app);
    LOG(LOG_INFO, "events.engine_reads", LOG_I64("events", (int64_t)behind));
    CHECK(pthread_create(&app->columns_thread, NULL, follow_main, app) == 0);
    app->columns_beside = true;
    return ERR_OK;
}

void columns_stop(App *app)
{
    atomic_store(&app->columns_stop, true);
    if (app->columns_beside)
        CHECK(pthread_join(app->columns_thread, NULL) == 0);
}

void columns_close(App *app)
{
    engine_close(app->engine);
    crew_free(app->crew);
}
