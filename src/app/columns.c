/*
 * app/columns.c -- the event engine beside the log.
 *
 * Everything in its folder can be made again from the log.  So what is damaged, or was made of another
 * log (an older backup that went on by itself), is thrown away, and the engine starts from the log's
 * beginning.  Damage that is met later, in the data or ids of one file, the engine mends by itself.
 *
 * A thread of its own opens the engine and lets it follow.  What keeps it from that (a full disk, no memory) keeps
 * questions waiting, not the tills: the thread tries again.  When the engine's memory is full it refuses what comes;
 * the thread then reads the files until it has caught up.
 */
#include "app/app.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "engine/core/crew.h"
#include "engine/engine.h"
#include "events/events_survey.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct Columns {
    App *app;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool stopping;
    bool behind; /* must follow (again) */
    bool tried;  /* followed once, or failed to, or will take a while */
    Err err;     /* of the last try to open it */
    Fault why;
} Columns;

static bool offer(uint64_t first_seq, uint32_t count, Str records, void *arg)
{
    const Columns *c = arg;
    return engine_offer(c->app->engine, first_seq, count, records);
}

static bool offer_now(uint64_t first_seq, uint32_t count, Str records, void *arg)
{
    Columns *c = arg;
    if (engine_offer_now(c->app->engine, first_seq, count, records))
        return true;
    (void)pthread_mutex_lock(&c->lock);
    c->behind = true;
    (void)pthread_cond_broadcast(&c->moved);
    (void)pthread_mutex_unlock(&c->lock);
    return false;
}

static Err settle_log(Ctx *ctx, uint64_t end_seq, uint32_t *mark, void *arg)
{
    EventsLog *log = arg;
    TRY(events_sync(ctx, log));
    return events_mark(ctx, log, end_seq, mark);
}

/* Weeks begin on Mondays, with the chain's business day. */
static int64_t some_monday_ms(const Settings *s)
{
    return clock_day_start_ms(19700105, s->offset_min) + s->cutover_hour * INT64_C(3600000);
}

static Str folder_of(const App *app, Arena *arena)
{
    return arena_printf(arena, "%s/events/engine", app->config.data);
}

static Str log_folder_of(const App *app, Arena *arena)
{
    return arena_printf(arena, "%s/events/log", app->config.data);
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

/* What the rooms' own events have: whatever another door sends first under such a name,
 * a sale counts. */
static const EnginePin OWN_PROPERTIES[] = {
    {.name = {"total", 5}, .type = EVENT_MONEY},
    {.name = {"discount", 8}, .type = EVENT_MONEY},
    {.name = {"order_id", 8}, .type = EVENT_TEXT},
    {.name = {"coupon_id", 9}, .type = EVENT_TEXT},
    {.name = {"template_id", 11}, .type = EVENT_TEXT},
    {.name = {"redemption_id", 13}, .type = EVENT_TEXT},
    {.name = {"channel", 7}, .type = EVENT_TEXT},
    {.name = {"products", 8}, .type = EVENT_ITEMS},
    {.name = {"product_id", 10}, .type = EVENT_TEXT, .list = {"products", 8}},
    {.name = {"quantity", 8}, .type = EVENT_NUMBER, .list = {"products", 8}},
    {.name = {"total", 5}, .type = EVENT_MONEY, .list = {"products", 8}},
};

static bool is_damage(const Fault *fault)
{
    return str_ends_with(str_of(fault->reason), STR("_damaged")) ||
           str_eq(str_of(fault->reason), STR("file.missing"));
}

static EngineOptions options_of(const App *app, Arena *arena)
{
    const uint32_t rows = (uint32_t)app->config.engine_rows;
    return (EngineOptions){.origin_ms = some_monday_ms(&app->settings),
                           .log_folder = log_folder_of(app, arena),
                           .slice_rows = rows / 4 < SLICE_ROWS_MAX ? rows / 4 : SLICE_ROWS_MAX,
                           .flush_rows = rows,
                           .memory_rows_max = 2 * rows,
                           .pins = OWN_PROPERTIES,
                           .pin_count = ARRAY_LEN(OWN_PROPERTIES),
                           .money_places = app->settings.exponent,
                           .settle = app->log == NULL ? NULL : settle_log,
                           .settle_arg = app->log};
}

static Err open_engine(Ctx *ctx, const App *app, Engine **out)
{
    const Str folder = folder_of(app, ctx->arena);
    const EngineOptions options = options_of(app, ctx->arena);
    Err err = engine_open(ctx, folder, &options, out);
    if (err != ERR_OK && is_damage(&ctx->fault)) {
        TRY(throw_away(ctx, folder, ctx->fault.reason));
        err = engine_open(ctx, folder, &options, out);
    }
    return err;
}

/* Of a frame that is damaged nobody can tell (0): its events may be left in the columns only. */
static bool same_history(uint32_t mark, uint32_t mark_of_log)
{
    return mark_of_log == 0 || mark == mark_of_log;
}

/* Whether its files were made of this log, and it has heard of every erasure whose record is gone. */
static Err is_of_this_log(Ctx *ctx, const App *app, Engine *engine, bool *same)
{
    uint64_t end_seq = 0;
    uint32_t mark = 0, mark_of_log = 0;
    EventsStat log;
    events_stat(app->log, &log);
    engine_history(engine, &end_seq, &mark);
    TRY(events_mark(ctx, app->log, end_seq, &mark_of_log));
    *same = end_seq == 1 || (end_seq <= log.next_seq && same_history(mark, mark_of_log) &&
                             end_seq >= log.erase_gone_seq);
    return ERR_OK;
}

static Err open_of_this_log(Ctx *ctx, const App *app, Engine **out)
{
    bool same = false;
    Engine *engine = NULL;
    TRY(open_engine(ctx, app, &engine));
    Err err = is_of_this_log(ctx, app, engine, &same);
    if (err == ERR_OK && same) {
        *out = engine;
        return ERR_OK;
    }
    engine_close(engine);
    TRY(err);
    TRY(throw_away(ctx, folder_of(app, ctx->arena),
                   "it was made of another log, or has not heard of an erasure"));
    return open_engine(ctx, app, out);
}

/* ---- following ------------------------------------------------------------------------------------- */

enum {
    AT_ONCE_MAX = 200000, /* events that a start reads before it answers; more are read beside */
    RETRY_S = 5
};

/* False = told to stop. */
static bool wait_until_behind(Columns *c)
{
    (void)pthread_mutex_lock(&c->lock);
    while (!c->behind && !c->stopping)
        (void)pthread_cond_wait(&c->moved, &c->lock);
    c->behind = false;
    const bool go_on = !c->stopping;
    (void)pthread_mutex_unlock(&c->lock);
    return go_on;
}

static void set_tried(Columns *c, bool again)
{
    const int64_t until_us = clock_mono_us() + RETRY_S * INT64_C(1000000);
    const struct timespec until = {.tv_sec = until_us / 1000000,
                                   .tv_nsec = until_us % 1000000 * 1000};
    (void)pthread_mutex_lock(&c->lock);
    c->tried = true;
    (void)pthread_cond_broadcast(&c->moved);
    if (again && !c->stopping) {
        (void)pthread_cond_clockwait(&c->moved, &c->lock, CLOCK_MONOTONIC, &until);
        c->behind = true;
    }
    (void)pthread_mutex_unlock(&c->lock);
}

/* What the last try to open it came to.  False = told to stop meanwhile. */
static bool say_opened(Columns *c, Err err, const Fault *why)
{
    (void)pthread_mutex_lock(&c->lock);
    c->err = err;
    c->why = *why;
    const bool go_on = !c->stopping;
    (void)pthread_mutex_unlock(&c->lock);
    return go_on;
}

/* Once; what failed, with the next try. */
static Err open_once(Ctx *ctx, Columns *c)
{
    App *app = c->app;
    Engine *engine = NULL;
    EventsStat log;
    if (app->engine != NULL)
        return ERR_OK;
    const Err err = open_of_this_log(ctx, app, &engine);
    atomic_store(&app->engine, engine);
    if (!say_opened(c, err, &ctx->fault) && err == ERR_OK)
        engine_refuse_offers(engine);
    TRY(err);
    events_stat(app->log, &log);
    const uint64_t behind = log.next_seq - engine_next_seq(engine);
    LOG(LOG_INFO, "events.engine_reads", LOG_I64("events", (int64_t)behind));
    if (behind > AT_ONCE_MAX)
        set_tried(c, false);
    return ERR_OK;
}

static Err follow(Ctx *ctx, Columns *c)
{
    TRY(open_once(ctx, c));
    const int64_t from_us = clock_mono_us();
    const EventsFollower follower = {.read = offer, .live = offer_now, .arg = c};
    TRY(events_follow(ctx, c->app->log, engine_next_seq(c->app->engine), &follower));
    engine_set_complete(c->app->engine);
    LOG(LOG_INFO, "events.engine_complete", LOG_I64("ms", (clock_mono_us() - from_us) / 1000));
    return ERR_OK;
}

static void *follow_main(void *arg)
{
    Columns *c = arg;
    (void)pthread_setname_np(pthread_self(), "engine-follow");
    Ctx ctx = {.arena = arena_new(1 << 16)};
    while (wait_until_behind(c)) {
        const Err err = follow(&ctx, c);
        if (err != ERR_OK && !str_eq(str_of(ctx.fault.reason), STR("events.stopped")))
            LOG(LOG_ERROR, "events.engine_incomplete", LOG_C("reason", ctx.fault.reason),
                LOG_C("note", "questions are refused; tried again in a few seconds"));
        set_tried(c, err != ERR_OK);
        arena_reset(ctx.arena);
    }
    arena_free(ctx.arena);
    return NULL;
}

static Columns *columns_new(App *app)
{
    Columns *c = calloc(1, sizeof *c);
    CHECK(c != NULL);
    c->app = app;
    c->behind = true;
    CHECK(pthread_mutex_init(&c->lock, NULL) == 0 && pthread_cond_init(&c->moved, NULL) == 0);
    CHECK(pthread_create(&c->thread, NULL, follow_main, c) == 0);
    return c;
}

/* How the first try to open it went. */
static Err wait_until_tried(Columns *c)
{
    (void)pthread_mutex_lock(&c->lock);
    while (!c->tried)
        (void)pthread_cond_wait(&c->moved, &c->lock);
    const Err err = c->err;
    c->app->ctx.fault = c->why;
    (void)pthread_mutex_unlock(&c->lock);
    return err;
}

Err columns_look(App *app)
{
    Engine *engine = NULL;
    EngineOptions options = options_of(app, app->arena);
    options.read_only = true;
    TRY(engine_open(&app->ctx, folder_of(app, app->arena), &options, &engine));
    atomic_store(&app->engine, engine);
    return ERR_OK;
}

/* ---- beside a server ------------------------------------------------------------------------------- */

enum { LOOKS_MAX = 20, LOOK_AGAIN_MS = 50 };

static void wait_a_moment(void)
{
    const struct timespec moment = {.tv_nsec = LOOK_AGAIN_MS * 1000000};
    (void)nanosleep(&moment, NULL);
}

/* A file that the manifest names may be gone when it is opened: a server has merged it meanwhile, and there is
 * another manifest. */
Err columns_look_beside(App *app)
{
    Err err = columns_look(app);
    for (int looks = 1; err != ERR_OK && is_damage(&app->ctx.fault) && looks < LOOKS_MAX; looks++) {
        wait_a_moment();
        err = columns_look(app);
    }
    return err;
}

/* The engine's memory is what it is: there is nobody to write files. */
static Err too_much(Ctx *ctx, uint64_t events)
{
    const Err err = fail(ctx, ERR_BUSY, "query.reading", "%" PRIu64 " events", events);
    (void)snprintf(ctx->fault.hint, sizeof ctx->fault.hint,
                   "%" PRIu64
                   " events are in the log only, more than fit into memory: let a server run "
                   "until it has put them into columns, or give a larger --engine-rows",
                   events);
    return err;
}

typedef struct Tail {
    Engine *engine;
    uint64_t events;  /* that only the log has */
    uint64_t end_seq; /* numbers below were taken, or lost by the log */
} Tail;

static Err offer_batch(Ctx *ctx, uint64_t first_seq, int64_t outbox_id, Str records, void *arg)
{
    Tail *tail = arg;
    uint32_t count = 0;
    (void)outbox_id;
    for (size_t at = 0, used = 0; at < records.len; at += used, count++) {
        Event e;
        CHECK(event_check(str_slice(records, at, records.len), &e, &used));
    }
    tail->end_seq = first_seq + count;
    if (engine_offer_now(tail->engine, first_seq, count, records))
        return ERR_OK;
    engine_view_done(engine_view(tail->engine)); /* waits until what was offered is in rows */
    return engine_offer_now(tail->engine, first_seq, count, records) ? ERR_OK
                                                                     : too_much(ctx, tail->events);
}

/* As the server asks it when it opens them: by their number alone, those of an older backup may fit. */
static Err expect_this_log(App *app, const EventsSurvey *log)
{
    uint64_t end_seq = 0;
    uint32_t mark = 0, mark_of_log = 0;
    engine_history(app->engine, &end_seq, &mark);
    if (end_seq > 1 && end_seq <= log->end_seq)
        TRY(events_survey_mark(&app->ctx, log, end_seq, &mark_of_log));
    if (end_seq == 1 || (end_seq <= log->end_seq && same_history(mark, mark_of_log)))
        return ERR_OK;
    return fail_field(&app->ctx, "", "query.closed",
                      "the columns were made of another log: start a server, which makes "
                      "them again");
}

/* Whether they know of every erasure whose record is gone.  Asked behind the reading: a server may erase meanwhile. */
static Err has_heard(App *app, uint64_t *end_seq, bool *heard)
{
    uint64_t gone_seq = 0;
    uint32_t mark = 0;
    engine_history(app->engine, end_seq, &mark);
    TRY(events_survey_gone(&app->ctx, log_folder_of(app, app->arena), &gone_seq));
    *heard = *end_seq == 1 || *end_seq >= gone_seq;
    return ERR_OK;
}

static Err read_tail(App *app)
{
    Ctx *ctx = &app->ctx;
    EventsSurvey survey;
    int64_t bad = 0;
    const uint64_t next_seq = engine_next_seq(app->engine);
    TRY(events_survey(ctx, log_folder_of(app, app->arena), &survey));
    TRY(expect_this_log(app, &survey));
    Tail tail = {app->engine, survey.end_seq - next_seq, next_seq};
    if (tail.events > (uint64_t)(2 * app->config.engine_rows))
        return too_much(ctx, tail.events);
    const EventsSurveyVisit visit = {.from_seq = next_seq, .batch = offer_batch, .arg = &tail};
    if (tail.events > 0)
        TRY(events_survey_read(ctx, &survey, &visit, &bad));
    if (bad > 0)
        fprintf(stderr, "tongdian: the end of the log is damaged: see `tongdian events verify`\n");
    engine_view_done(engine_view(app->engine)); /* links may find no room on their way to rows */
    engine_set_complete(app->engine);
    return engine_next_seq(app->engine) >= tail.end_seq ? ERR_OK : too_much(ctx, tail.events);
}

/* A server that erases has written its columns before: there are newer ones.  Where there are not, nobody does. */
static Err look_until_heard(App *app)
{
    uint64_t end_seq = 0, before = 0;
    for (bool heard = false; !heard;) {
        before = end_seq;
        engine_close(atomic_exchange(&app->engine, NULL));
        TRY(columns_look_beside(app));
        TRY(read_tail(app));
        TRY(has_heard(app, &end_seq, &heard));
        if (!heard && end_seq == before)
            return fail_field(
                &app->ctx, "", "query.closed",
                "the columns have not heard of an erasure that the log has done: start a "
                "server, which makes them again");
        if (!heard)
            wait_a_moment();
    }
    return ERR_OK;
}

Err columns_look_now(App *app)
{
    TRY(look_until_heard(app));
    app->crew = crew_new(0);
    return ERR_OK;
}

Err columns_open(App *app)
{
    if (app->config.engine == 0)
        return ERR_OK;
    app->crew = crew_new(0);
    app->columns = columns_new(app);
    return wait_until_tried(app->columns);
}

ColumnsState columns_state(const App *app)
{
    Engine *const engine = app->engine;
    if (app->columns == NULL)
        return COLUMNS_OFF;
    if (engine == NULL)
        return COLUMNS_CLOSED;
    return engine_is_complete(engine, 0, NULL) ? COLUMNS_READY : COLUMNS_READING;
}

static void stop_following(Columns *c)
{
    (void)pthread_mutex_lock(&c->lock);
    c->stopping = true;
    (void)pthread_cond_broadcast(&c->moved);
    (void)pthread_mutex_unlock(&c->lock);
    if (c->app->engine != NULL)
        engine_refuse_offers(c->app->engine);
    CHECK(pthread_join(c->thread, NULL) == 0);
    events_unfollow(c->app->log);
    (void)pthread_mutex_destroy(&c->lock);
    (void)pthread_cond_destroy(&c->moved);
    free(c);
}

void columns_close(App *app)
{
    if (app->columns != NULL)
        stop_following(app->columns);
    app->columns = NULL;
    engine_close(atomic_exchange(&app->engine, NULL));
    crew_free(app->crew);
}
