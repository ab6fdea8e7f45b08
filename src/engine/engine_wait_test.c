/*
 * engine/engine_wait_test.c -- changes of who is whom that wait, come late or come often: nobody waits for them for ever,
 * and nothing of them is lost.
 */
#include "engine/engine_forge.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/test.h"
#include "base/test_folder.h"
#include "events/events.h"

#include <stdlib.h>
#include <unistd.h>

enum { EVENTS = 300, PATIENCE_MS = 30000 };

typedef struct World {
    char path[64];
    Ctx ctx;
    Str log_folder, engine_folder, empty_folder;
    EventsLog *log;
    Engine *engine;
    uint64_t seq; /* of the next record */
} World;

static void world_open(World *w)
{
    *w = (World){.path = "/tmp/engine_wait_test.XXXXXX", .ctx.arena = arena_new(1 << 16), .seq = 1};
    CHECK(mkdtemp(w->path) != NULL);
    log_setup(LOG_OFF, false);
    w->log_folder = arena_printf(w->ctx.arena, "%s/log", w->path);
    w->engine_folder = arena_printf(w->ctx.arena, "%s/engine", w->path);
    w->empty_folder = arena_printf(w->ctx.arena, "%s/empty", w->path);
    CHECK(file_make_folder(&w->ctx, w->empty_folder) == ERR_OK);
    CHECK(events_open(&w->ctx, w->log_folder, &(EventsOptions){.segment_bytes = 0}, &w->log) ==
          ERR_OK);
}

static void world_close(World *w)
{
    events_close(w->log);
    test_remove_folder(w->log_folder);
    test_remove_folder(w->engine_folder);
    test_remove_folder(w->empty_folder);
    CHECK(rmdir(w->path) == 0);
    arena_free(w->ctx.arena);
}

static void start(World *w, Str log_folder, bool read_only)
{
    EngineOptions o = FORGE_OPTIONS;
    o.log_folder = log_folder;
    o.read_only = read_only;
    CHECK(engine_open(&w->ctx, w->engine_folder, &o, &w->engine) == ERR_OK);
}

/* To the log and, when it is open, to the engine. */
static void append(World *w, Str records, uint32_t count)
{
    CHECK(events_append(&w->ctx, w->log, records, NULL) == ERR_OK);
    CHECK(engine_offer(w->engine, w->seq, count, records));
    w->seq += count;
}

static void append_events(World *w)
{
    Buf records = BUF_MAX(1 << 22);
    forge_events(&w->ctx, FORGE_PLAIN, w->seq, EVENTS, &records);
    append(w, buf_str(&records), EVENTS);
    buf_free(&records);
}

static void append_link(World *w, EventKind kind, int64_t a, int64_t b)
{
    Buf records = BUF_MAX(4096);
    const Event head = {.kind = kind,
                        .source = STR("web"),
                        .id = arena_printf(w->ctx.arena, "link-%" PRIu64, w->seq),
                        .time_ms = FORGE_ORIGIN_MS,
                        .received_ms = FORGE_ORIGIN_MS,
                        .actor = {STR("person"), arena_i64(w->ctx.arena, a)},
                        .other = {STR("person"), arena_i64(w->ctx.arena, b)}};
    Event e;
    CHECK(event_end(event_begin(&w->ctx, &head), &e) == ERR_OK);
    event_encode(&e, &records);
    append(w, buf_str(&records), 1);
    buf_free(&records);
}

static EngineStat stat_of(World *w)
{
    EngineStat stat;
    engine_view_done(engine_view(w->engine));
    engine_stat(w->engine, &stat);
    return stat;
}

/* One bit of every part's data. */
static void damage_parts(World *w)
{
    Str *names = NULL, bytes;
    size_t n = 0;
    CHECK(file_list(&w->ctx, w->engine_folder, &names, &n) == ERR_OK);
    for (size_t i = 0; i < n; i++) {
        if (!str_ends_with(names[i], STR(".part")))
            continue;
        CHECK(file_load(&w->ctx, w->engine_folder, names[i], 1 << 22, &bytes) == ERR_OK);
        ((char *)(uintptr_t)bytes.ptr)[PART_DATA_AT + 4] ^= 8;
        CHECK(file_replace(&w->ctx, w->engine_folder, names[i], bytes) == ERR_OK);
    }
}

static void world_with_damaged_files(World *w)
{
    world_open(w);
    start(w, w->log_folder, false);
    append_events(w);
    CHECK(engine_flush(&w->ctx, w->engine) == ERR_OK);
    engine_close(w->engine);
    damage_parts(w);
}

static bool offer(uint64_t first_seq, uint32_t count, Str records, void *arg)
{
    return engine_offer(arg, first_seq, count, records);
}

/* With everything of the log that it has not. */
static void start_behind_the_log(World *w)
{
    start(w, w->log_folder, false);
    const EventsFollower follower = {.read = offer, .live = offer, .arg = w->engine};
    CHECK(events_follow(&w->ctx, w->log, engine_next_seq(w->engine), &follower) == ERR_OK);
    events_unfollow(w->log);
}

/* ---- waiting for a damaged file ------------------------------------------------------------------------ */

TEST(
    a_stop_does_not_wait_for_a_link_whose_damaged_file_nobody_makes_again_and_the_next_start_applies_it)
{
    World w;
    world_with_damaged_files(&w);
    start(&w, w.empty_folder, false); /* a log that is short makes nothing again */
    append_link(&w, EVENT_LINK, 1, 2);
    (void)usleep(300000); /* it waits */
    const int64_t began_us = clock_mono_us();
    engine_close(w.engine);
    EXPECT_I64((clock_mono_us() - began_us) / 1000 < PATIENCE_MS, true);
    start_behind_the_log(&w);
    const EngineStat stat = stat_of(&w);
    EXPECT_I64(stat.moves, 1);
    EXPECT_I64((int64_t)stat.events, EVENTS);
    EXPECT_I64(stat.health.files_damaged, 0);
    CHECK(engine_flush(&w.ctx, w.engine) == ERR_OK);
    engine_close(w.engine);
    start_behind_the_log(&w);
    EXPECT_I64(stat_of(&w).moves, 1); /* once */
    engine_close(w.engine);
    world_close(&w);
}

TEST(columns_that_are_looked_at_are_not_complete_when_a_link_cannot_be_applied)
{
    World w;
    world_with_damaged_files(&w);
    start(&w, w.log_folder, true);
    CHECK(engine_is_complete(w.engine, 0, NULL) == false);
    engine_set_complete(w.engine);
    CHECK(engine_is_complete(w.engine, 0, NULL));
    append_link(&w, EVENT_LINK, 1, 2);
    EXPECT_I64(stat_of(&w).moves, 0);
    CHECK(!engine_is_complete(w.engine, 0, NULL));
    engine_close(w.engine);
    world_close(&w);
}

/* ---- rows that move again and again --------------------------------------------------------------------- */

enum { WIDE_EVENTS = 40, WIDE_PROPS = 250, TURNS = 500 };

static void append_wide_events(World *w, int64_t person)
{
    Buf records = BUF_MAX(1 << 22);
    for (uint32_t i = 0; i < WIDE_EVENTS; i++) {
        const Event head = {.kind = EVENT_HAPPENED,
                            .source = STR("web"),
                            .id = arena_printf(w->ctx.arena, "wide-%u", i),
                            .name = STR("Wide"),
                            .time_ms = FORGE_ORIGIN_MS,
                            .received_ms = FORGE_ORIGIN_MS,
                            .actor = {STR("person"), arena_i64(w->ctx.arena, person)}};
        Event e;
        EventBuilder *b = event_begin(&w->ctx, &head);
        for (uint32_t p = 0; p < WIDE_PROPS; p++)
            event_prop_i64(b, arena_printf(w->ctx.arena, "p%u", p), p);
        CHECK(event_end(b, &e) == ERR_OK);
        event_encode(&e, &records);
    }
    append(w, buf_str(&records), WIDE_EVENTS);
    buf_free(&records);
}

TEST(values_that_moved_rows_leave_behind_close_the_slice)
{
    World w;
    EngineOptions roomy = FORGE_OPTIONS;
    roomy.slice_rows = 1 << 16;
    world_open(&w);
    CHECK(engine_open(&w.ctx, w.engine_folder, &roomy, &w.engine) == ERR_OK);
    append_link(&w, EVENT_LINK, 1, 3); /* persons 1 and 3 have their numbers */
    append_link(&w, EVENT_UNLINK, 1, 3);
    append_wide_events(&w, 3);
    EXPECT_I64(stat_of(&w).memory_parts, 0);
    uint32_t turns = 0;
    for (; turns < TURNS && stat_of(&w).memory_parts == 0; turns++) {
        append_link(&w, EVENT_LINK, 1, 3);
        append_link(&w, EVENT_UNLINK, 1, 3);
    }
    CHECK(turns > 10 && turns < TURNS); /* each leaves 20,000 values behind, of 4,194,304 */
    EXPECT_I64((int64_t)stat_of(&w).events, WIDE_EVENTS);
    engine_close(w.engine);
    world_close(&w);
}

/* ---- a key that came again and again -------------------------------------------------------------------- */

static void add_change(Buf *out, PersonsKind kind, uint32_t actor)
{
    const uint32_t bytes = 9, zero = 0;
    const char entry = (char)kind;
    buf_add(out, (Str){(const char *)&bytes, sizeof bytes});
    buf_add(out, (Str){(const char *)&zero, sizeof zero}); /* sealed later */
    buf_add(out, (Str){&entry, 1});
    buf_add(out, (Str){(const char *)&actor, sizeof actor});
    buf_add(out, (Str){(const char *)&zero, sizeof zero});
}

/* As three flushes save it, the last erasure of which came too late for them. */
TEST(a_key_that_came_a_third_time_belongs_to_the_last_one_though_the_second_erasure_was_not_saved)
{
    enum { FIRST = PART_BLOCK_PERSONS };
    static const EventActor who = {{"phone", 5}, {"secret", 6}};
    Ctx ctx = {.arena = arena_new(1 << 16)};
    Schema *s = schema_new(&SCHEMA_LIMITS);
    Buf names = BUF_MAX(1 << 16);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t number = 0;
        CHECK(schema_actor(s, who, &number) && number == FIRST + i);
        schema_save_new(s, &names);
        CHECK(schema_change(s, (PersonsChange){PERSONS_ERASE, number, 0}));
    }
    schema_free(s);
    add_change(&names, PERSONS_ERASE, FIRST);
    forge_seal_names(names.ptr, names.len);
    s = schema_new(&SCHEMA_LIMITS);
    CHECK(schema_load(&ctx, s, buf_str(&names)) == ERR_OK);
    const Persons *persons = schema_persons(s);
    EXPECT_I64(schema_find_actor(s, who), FIRST + 2);
    EXPECT_I64(persons_of(persons, FIRST), 0);
    EXPECT_I64(persons_of(persons, FIRST + 1), 0);
    EXPECT_I64(persons_of(persons, FIRST + 2), FIRST + 2);
    EXPECT_I64((int64_t)schema_actor_of(s, FIRST + 1).value.len, 0);
    CHECK(str_eq(schema_actor_of(s, FIRST + 2).value, who.value));
    schema_free(s);
    buf_free(&names);
    arena_free(ctx.arena);
}
