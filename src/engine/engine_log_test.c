/*
 * engine/engine_log_test.c -- the engine behind a real log: whatever stops when, both hold the same.
 */
#include "engine/engine.h"

#include "base/log.h"
#include "base/rand.h"
#include "base/test.h"
#include "events/events.h"

#include <stdlib.h>
#include <unistd.h>

static const EngineOptions SMALL = {
    .origin_ms = INT64_C(1735574400000), .slice_rows = 128, .flush_rows = 700, .fan = 3};

typedef struct Pair {
    char path[64];
    Ctx ctx;
    Prng random;
    Str log_folder, engine_folder;
    EventsLog *log;
    Engine *engine;
    int64_t events;
} Pair;

static bool offer(uint64_t first_seq, uint32_t count, Str records, void *arg)
{
    return engine_offer(arg, first_seq, count, records);
}

static void start_engine(Pair *p)
{
    CHECK(engine_open(&p->ctx, p->engine_folder, &SMALL, &p->engine) == ERR_OK);
    const EventsFollower follower = {.read = offer, .live = offer, .arg = p->engine};
    CHECK(events_follow(&p->ctx, p->log, engine_next_seq(p->engine), &follower) == ERR_OK);
}

static void start_log(Pair *p)
{
    const EventsOptions options = {.segment_bytes = 65536};
    CHECK(events_open(&p->ctx, p->log_folder, &options, &p->log) == ERR_OK);
}

static void append_some(Pair *p, int batches)
{
    for (int i = 0; i < batches; i++) {
        Buf records = BUF_MAX(1 << 20);
        const int n = 1 + (int)prng_below(&p->random, 30);
        for (int j = 0; j < n; j++, p->events++) {
            const Event head = {
                .kind = EVENT_HAPPENED,
                .source = STR("web"),
                .id = arena_i64(p->ctx.arena, p->events),
                .name = arena_printf(p->ctx.arena, "Event %u", (unsigned)prng_below(&p->random, 5)),
                .time_ms = SMALL.origin_ms + (int64_t)prng_below(&p->random, 604800000),
                .received_ms = SMALL.origin_ms,
                .actor = {STR("person"),
                          arena_i64(p->ctx.arena, (int64_t)prng_below(&p->random, 50))}};
            Event e;
            CHECK(event_end(event_begin(&p->ctx, &head), &e) == ERR_OK);
            event_encode(&e, &records);
        }
        CHECK(events_append(&p->ctx, p->log, buf_str(&records), NULL) == ERR_OK);
        buf_free(&records);
    }
    arena_reset(p->ctx.arena);
    p->log_folder = arena_printf(p->ctx.arena, "%s/log", p->path);
    p->engine_folder = arena_printf(p->ctx.arena, "%s/engine", p->path);
}

static void expect_the_same(Pair *p)
{
    EngineStat stat;
    engine_view_done(engine_view(p->engine));
    engine_stat(p->engine, &stat);
    EXPECT_I64((int64_t)stat.events, p->events);
    EXPECT_I64(events_count(p->log), p->events);
    EXPECT_I64((int64_t)stat.repeated, 0);
}

static void remove_folder(Pair *p, Str folder)
{
    Str *names = NULL;
    size_t n = 0;
    CHECK(file_list(&p->ctx, folder, &names, &n) == ERR_OK);
    for (size_t i = 0; i < n; i++)
        CHECK(file_remove(&p->ctx, folder, names[i]) == ERR_OK);
    CHECK(rmdir(arena_copy(p->ctx.arena, folder).ptr) == 0);
}

TEST(the_engine_holds_what_the_log_holds_whichever_of_them_stopped)
{
    Pair p = {.path = "/tmp/engine_log_test.XXXXXX", .random = prng_of(1)};
    p.ctx.arena = arena_new(1 << 16);
    CHECK(mkdtemp(p.path) != NULL);
    log_setup(LOG_OFF, false);
    p.log_folder = arena_printf(p.ctx.arena, "%s/log", p.path);
    p.engine_folder = arena_printf(p.ctx.arena, "%s/engine", p.path);
    start_log(&p);
    append_some(&p, 40); /* before anybody follows */
    start_engine(&p);
    expect_the_same(&p);
    for (int round = 0; round < 6; round++) {
        append_some(&p, 60);
        expect_the_same(&p);
        events_close(p.log);
        engine_close(p.engine);
        start_log(&p);
        append_some(&p, round % 3 * 20); /* while the engine is away */
        start_engine(&p);
        expect_the_same(&p);
    }
    events_close(p.log);
    engine_close(p.engine);
    remove_folder(&p, p.engine_folder);
    start_log(&p); /* made again from nothing */
    start_engine(&p);
    expect_the_same(&p);
    events_close(p.log);
    engine_close(p.engine);
    remove_folder(&p, p.engine_folder);
    remove_folder(&p, p.log_folder);
    CHECK(rmdir(p.path) == 0);
    arena_free(p.ctx.arena);
}
