/*
 * engine/engine_log_test.c -- the engine behind a real log: whatever stops or breaks when, both hold the same.
 */
#include "engine/engine.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/test.h"
#include "events/events.h"

#include <stdlib.h>
#include <unistd.h>

static const EngineOptions SMALL = {
    .origin_ms = INT64_C(1735574400000), .slice_rows = 128, .flush_rows = 700, .fan = 3};

enum { WEEKS = 3 };

typedef struct Pair {
    char path[64];
    Ctx ctx;
    Prng random;
    Str log_folder, engine_folder;
    EventsLog *log;
    Engine *engine;
    uint32_t fan;    /* 0 = as SMALL says */
    int64_t events;  /* with ids of their own */
    uint32_t repeat; /* of 100 more events, so many have an id that came before */
} Pair;

static bool offer(uint64_t first_seq, uint32_t count, Str records, void *arg)
{
    return engine_offer(arg, first_seq, count, records);
}

static void start_engine(Pair *p)
{
    EngineOptions o = SMALL;
    o.fan = p->fan == 0 ? o.fan : p->fan;
    o.log_folder = p->log_folder;
    CHECK(engine_open(&p->ctx, p->engine_folder, &o, &p->engine) == ERR_OK);
    const EventsFollower follower = {.read = offer, .live = offer, .arg = p->engine};
    CHECK(events_follow(&p->ctx, p->log, engine_next_seq(p->engine), &follower) == ERR_OK);
}

static void start_log(Pair *p)
{
    const EventsOptions options = {.segment_bytes = 65536};
    CHECK(events_open(&p->ctx, p->log_folder, &options, &p->log) == ERR_OK);
}

/* When an event was follows from its id, and so its week; what else it is does not. */
static void add_event(Pair *p, int64_t id, Buf *records)
{
    const Event head = {
        .kind = EVENT_HAPPENED,
        .source = STR("web"),
        .id = arena_i64(p->ctx.arena, id),
        .name = arena_printf(p->ctx.arena, "Event %u", (unsigned)prng_below(&p->random, 5)),
        .time_ms =
            SMALL.origin_ms + (int64_t)(hash_u64((uint64_t)id, 7) % (WEEKS * 604800u) * 1000),
        .received_ms = SMALL.origin_ms,
        .actor = {STR("person"), arena_i64(p->ctx.arena, (int64_t)prng_below(&p->random, 50))}};
    Event e;
    EventBuilder *b = event_begin(&p->ctx, &head);
    event_prop_i64(b, STR("amount"), (int64_t)prng_below(&p->random, 1 << 30));
    CHECK(event_end(b, &e) == ERR_OK);
    event_encode(&e, records);
}

static void append_some(Pair *p, int batches)
{
    for (int i = 0; i < batches; i++) {
        Buf records = BUF_MAX(1 << 20);
        const int n = 1 + (int)prng_below(&p->random, 30);
        for (int j = 0; j < n; j++) {
            const bool again = p->events > 0 && prng_below(&p->random, 100) < p->repeat;
            add_event(p, again ? (int64_t)prng_below(&p->random, (uint64_t)p->events) : p->events,
                      &records);
            p->events += !again;
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

static void pair_open(Pair *p, uint64_t seed)
{
    *p = (Pair){.path = "/tmp/engine_log_test.XXXXXX",
                .random = prng_of(seed),
                .ctx.arena = arena_new(1 << 16)};
    CHECK(mkdtemp(p->path) != NULL);
    log_setup(LOG_OFF, false);
    p->log_folder = arena_printf(p->ctx.arena, "%s/log", p->path);
    p->engine_folder = arena_printf(p->ctx.arena, "%s/engine", p->path);
    start_log(p);
}

static void pair_close(Pair *p)
{
    events_close(p->log);
    engine_close(p->engine);
    remove_folder(p, p->engine_folder);
    remove_folder(p, p->log_folder);
    CHECK(rmdir(p->path) == 0);
    arena_free(p->ctx.arena);
}

TEST(the_engine_holds_what_the_log_holds_whichever_of_them_stopped)
{
    Pair p;
    pair_open(&p, 1);
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
    pair_close(&p);
}

/* ---- damage ----------------------------------------------------------------------------------------- */

typedef struct Seen {
    uint64_t rows, fingerprint; /* of every row in its order */
    bool damaged;
} Seen;

static Seen look(Pair *p)
{
    Seen seen = {0};
    ScanView *view = engine_view(p->engine);
    Schema *names = engine_schema_lock(p->engine);
    const SchemaProp *amount = schema_find_prop(names, SCHEMA_EVENT, STR("amount"));
    engine_schema_unlock(p->engine);
    const ScanProp props[] = {{amount->id, 0}};
    const ScanSelect all = {.from_ms = 0, .to_ms = INT64_MAX};
    Scanner *scanner = scanner_new(view, &(ScanAsk){&all, 1, props, 1, true});
    ScanBatch b;
    for (uint32_t piece = 0; piece < scan_pieces(view); piece++) {
        if (!scanner_batch(scanner, piece, &b))
            continue;
        for (uint32_t i = 0; i < b.person_count; i++)
            for (uint32_t row = b.from[i]; row < b.from[i + 1]; row++) {
                uint64_t h = hash_u64(b.persons[i], seen.fingerprint);
                h = hash_u64(b.events[row], h);
                h = hash_u64((uint64_t)(scanner_base_ms(scanner) + scan_ms(&b, row)), h);
                seen.fingerprint = hash_u64((uint64_t)b.values[0][row], h);
                seen.rows++;
            }
    }
    seen.damaged = scanner_damaged(scanner) > 0;
    scanner_free(scanner);
    engine_view_done(view);
    return seen;
}

static void expect_as_before(Pair *p, Seen before)
{
    const Seen now = look(p);
    EXPECT_I64((int64_t)now.rows, (int64_t)before.rows);
    CHECK(now.fingerprint == before.fingerprint && !now.damaged && !before.damaged);
}

/* The n-th file with this suffix, while the engine is closed: one bit behind the head. */
static void damage(Pair *p, const char *suffix, size_t n)
{
    Str *names = NULL, bytes;
    size_t count = 0;
    CHECK(file_list(&p->ctx, p->engine_folder, &names, &count) == ERR_OK);
    for (size_t i = 0; i < count; i++) {
        if (!str_ends_with(names[i], str_of(suffix)) || n-- > 0)
            continue;
        CHECK(file_load(&p->ctx, p->engine_folder, names[i], 1 << 26, &bytes) == ERR_OK);
        ((char *)(uintptr_t)bytes.ptr)[300] ^= 8;
        CHECK(file_replace(&p->ctx, p->engine_folder, names[i], bytes) == ERR_OK);
    }
}

static EngineStat stat_of(Pair *p)
{
    EngineStat stat;
    engine_view_done(engine_view(p->engine));
    engine_stat(p->engine, &stat);
    return stat;
}

/* The keeper looks once a second. */
static void wait_until_mended(Pair *p, uint64_t files)
{
    for (int i = 0; i < 1000 && stat_of(p).health.mended_files < files; i++)
        (void)usleep(10000);
    EXPECT_I64((int64_t)stat_of(p).health.mended_files, (int64_t)files);
    EXPECT_I64(stat_of(p).health.files_damaged, 0);
}

static void expect_sound(Pair *p)
{
    int64_t bad = -1;
    CHECK(engine_verify(&p->ctx, p->engine, NULL, NULL, &bad) == ERR_OK);
    EXPECT_I64(bad, 0);
}

static void restart_engine(Pair *p)
{
    events_close(p->log); /* it must not write to an engine that is gone */
    engine_close(p->engine);
    start_log(p);
    start_engine(p);
}

/* Some files of every week, with events that came again across them; the engine is closed. */
static Seen make_files(Pair *p, uint64_t seed)
{
    pair_open(p, seed);
    p->fan = 64;
    p->repeat = 20;
    append_some(p, 300);
    start_engine(p);
    CHECK(engine_flush(&p->ctx, p->engine) == ERR_OK);
    for (int i = 0; i < 2; i++) {
        append_some(p, 100);
        CHECK(engine_flush(&p->ctx, p->engine) == ERR_OK);
    }
    const Seen before = look(p);
    CHECK(stat_of(p).repeated > 100);
    events_close(p->log);
    engine_close(p->engine);
    start_log(p);
    return before;
}

TEST(a_file_whose_data_is_damaged_is_refused_and_made_again_from_the_log_exactly_as_it_was)
{
    Pair p;
    const Seen before = make_files(&p, 11);
    damage(&p, ".part", 0);
    damage(&p, ".part", 4);
    start_engine(&p);
    CHECK(look(&p).damaged); /* whoever asks is told */
    wait_until_mended(&p, 2);
    expect_as_before(&p, before);
    expect_sound(&p);
    restart_engine(&p);
    expect_as_before(&p, before);
    pair_close(&p);
}

TEST(ids_that_are_damaged_let_nothing_in_twice_neither_before_nor_after_they_are_made_again)
{
    Pair p;
    const Seen before = make_files(&p, 12);
    for (size_t i = 0; i < 5; i++)
        damage(&p, ".ids", i);
    start_engine(&p);
    p.repeat = 100;
    append_some(&p, 30); /* nothing new */
    expect_as_before(&p, before);
    wait_until_mended(&p, 5);
    append_some(&p, 30);
    expect_as_before(&p, before);
    expect_sound(&p);
    CHECK(engine_settle(&p.ctx, p.engine) == ERR_OK);
    restart_engine(&p);
    append_some(&p, 30);
    expect_as_before(&p, before);
    pair_close(&p);
}

TEST(a_merge_that_meets_damage_is_done_once_the_file_is_made_again)
{
    Pair p;
    const Seen before = make_files(&p, 13);
    damage(&p, ".part", 2);
    damage(&p, ".ids", 3);
    start_engine(&p);
    EXPECT_I64(engine_settle(&p.ctx, p.engine), ERR_INTERNAL);
    wait_until_mended(&p, 2);
    CHECK(engine_settle(&p.ctx, p.engine) == ERR_OK);
    EXPECT_I64(stat_of(&p).file_parts, WEEKS);
    expect_as_before(&p, before);
    pair_close(&p);
}

TEST(a_verification_that_finds_damage_has_it_made_again)
{
    Pair p;
    const Seen before = make_files(&p, 14);
    damage(&p, ".part", 1);
    damage(&p, ".ids", 1);
    damage(&p, ".ids", 2);
    start_engine(&p);
    int64_t bad = 0;
    CHECK(engine_verify(&p.ctx, p.engine, NULL, NULL, &bad) == ERR_OK);
    EXPECT_I64(bad, 3);
    wait_until_mended(&p, 2);
    expect_sound(&p);
    expect_as_before(&p, before);
    pair_close(&p);
}

TEST(a_log_that_knows_less_than_a_damaged_file_mends_nothing_and_holds_nothing_else_up)
{
    Pair p;
    (void)make_files(&p, 15);
    const Str log_folder = p.log_folder;
    damage(&p, ".ids", 0);
    p.log_folder = p.engine_folder; /* no segment in it */
    EngineOptions o = SMALL;
    o.log_folder = p.log_folder;
    CHECK(engine_open(&p.ctx, p.engine_folder, &o, &p.engine) == ERR_OK);
    const uint32_t files = stat_of(&p).file_parts;
    int64_t bad = 0;
    CHECK(engine_verify(&p.ctx, p.engine, NULL, NULL, &bad) == ERR_OK);
    EXPECT_I64(bad, 1);
    EXPECT_I64(engine_settle(&p.ctx, p.engine), ERR_INTERNAL);
    EXPECT_STREQ(p.ctx.fault.reason, "events.log_short");
    const EngineStat stat = stat_of(&p);
    EXPECT_I64((int64_t)stat.health.mended_files, 0);
    EXPECT_I64(stat.health.files_damaged, 1);
    EXPECT_I64(stat.health.files_aside, 1);
    CHECK(stat.file_parts < files); /* the other weeks are one file each */
    p.log_folder = log_folder;
    pair_close(&p);
}
