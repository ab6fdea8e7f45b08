/*
 * engine/engine_log_test.c -- the engine behind a real log: whatever stops or breaks when, both hold the same.
 */
#include "engine/engine.h"
#include "engine/part/ids.h"

#include "base/crypto.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/test.h"
#include "base/test_folder.h"
#include "events/events.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static const EngineOptions SMALL = {.origin_ms = INT64_C(1735574400000),
                                    .slice_rows = 128,
                                    .flush_rows = 700,
                                    .fan = 3,
                                    .tiny_rows = 1};

enum { WEEKS = 3 };

static const Str TAG = {"new", 3};

typedef struct Pair {
    char path[64];
    Ctx ctx;
    Prng random;
    Str log_folder, engine_folder;
    EventsLog *log;
    Engine *engine;
    uint32_t fan; /* 0 = as SMALL says */
    uint64_t merge_bytes_max;
    int64_t events;    /* with ids of their own */
    uint32_t repeat;   /* of 100 more events, so many have an id that came before */
    uint32_t links;    /* so many links and unlinks behind 100 events */
    uint32_t erasures; /* of 1,000 of these, so many ask to erase the first one */
} Pair;

static bool offer(uint64_t first_seq, uint32_t count, Str records, void *arg)
{
    return engine_offer(arg, first_seq, count, records);
}

static void start_engine(Pair *p)
{
    EngineOptions o = SMALL;
    o.fan = p->fan == 0 ? o.fan : p->fan;
    o.merge_bytes_max = p->merge_bytes_max;
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

static void add_lines(Pair *p, EventBuilder *b)
{
    event_items_begin(b, STR("lines"));
    for (uint64_t n = prng_below(&p->random, 4); n > 0; n--) {
        event_item(b);
        event_prop_text(b, STR("sku"), prng_below(&p->random, 2) == 0 ? STR("tea") : TAG);
        event_prop_i64(b, STR("quantity"), (int64_t)prng_below(&p->random, 1000));
    }
    event_items_end(b);
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
    event_prop_decimal(b, STR("odd"), 1, SCHEMA_SCALE_MAX + 1); /* which no column holds */
    event_prop_texts(b, STR("tags"), &TAG, prng_below(&p->random, 2));
    add_lines(p, b);
    CHECK(event_end(b, &e) == ERR_OK);
    event_encode(&e, records);
}

/* Between persons of the events; one of four is undone, when it is there. */
static void add_link(Pair *p, Buf *records)
{
    const int64_t a = (int64_t)prng_below(&p->random, 50), b = (int64_t)prng_below(&p->random, 50);
    const bool erase = prng_below(&p->random, 1000) < p->erasures;
    const EventKind link = prng_below(&p->random, 4) == 0 ? EVENT_UNLINK : EVENT_LINK;
    const Event head = {
        .kind = erase ? EVENT_ERASE : link,
        .source = STR("web"),
        .id = arena_printf(p->ctx.arena, "link-%u", (unsigned)records->len),
        .time_ms = SMALL.origin_ms,
        .received_ms = SMALL.origin_ms,
        .actor = {STR("person"), arena_i64(p->ctx.arena, a)},
        .other = {erase ? STR("") : STR("person"), erase ? STR("") : arena_i64(p->ctx.arena, b)}};
    Event e;
    CHECK(event_end(event_begin(&p->ctx, &head), &e) == ERR_OK);
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
            if (prng_below(&p->random, 100) < p->links)
                add_link(p, &records);
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
    test_remove_folder(p->engine_folder);
    test_remove_folder(p->log_folder);
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
    test_remove_folder(p.engine_folder);
    start_log(&p); /* made again from nothing */
    start_engine(&p);
    expect_the_same(&p);
    pair_close(&p);
}

/* ---- damage ----------------------------------------------------------------------------------------- */

typedef struct Seen {
    uint64_t rows, fingerprint; /* of every row in its order */
    uint64_t sum;               /* of every row in any order */
    uint64_t lines; /* those events whose lines a condition holds for, and their amounts */
    bool damaged;
} Seen;

/* What the lines add up to, many times over. */
static void look_at_lines(const ScanView *view, const Schema *names, ScanProp amount, Seen *seen)
{
    const SchemaProp *lines = schema_find_prop(names, SCHEMA_EVENT, STR("lines"));
    const Filter many = {.kind = FILTER_ITEMS_SUM,
                         .prop = lines->id,
                         .number = schema_find_field(names, lines, STR("quantity"))->id,
                         .low = 700,
                         .high = 1300};
    const ScanSelect select = {.from_ms = 0, .to_ms = INT64_MAX, .filter = &many};
    Scanner *scanner = scanner_new(view, &(ScanAsk){&select, 1, &amount, 1, false});
    ScanBatch b;
    for (uint32_t piece = 0; piece < scan_pieces(view); piece++) {
        if (!scanner_batch(scanner, piece, &b))
            continue;
        for (uint32_t row = 0; row < b.from[b.person_count]; row++)
            seen->lines = hash_u64((uint64_t)b.values[0][row], seen->lines + 1);
    }
    seen->damaged = seen->damaged || scanner_damaged(scanner) > 0;
    scanner_free(scanner);
}

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
                uint64_t h = hash_u64(b.persons[i], b.events[row]);
                h = hash_u64((uint64_t)(scanner_base_ms(scanner) + scan_ms(&b, row)), h);
                h = hash_u64((uint64_t)b.values[0][row], h);
                seen.fingerprint = hash_u64(h, seen.fingerprint);
                seen.sum += h;
                seen.rows++;
            }
    }
    seen.damaged = scanner_damaged(scanner) > 0;
    scanner_free(scanner);
    look_at_lines(view, names, props[0], &seen);
    engine_view_done(view);
    return seen;
}

static void expect_as_before(Pair *p, Seen before)
{
    const Seen now = look(p);
    EXPECT_I64((int64_t)now.rows, (int64_t)before.rows);
    CHECK(now.fingerprint == before.fingerprint && !now.damaged && !before.damaged);
    CHECK(now.lines == before.lines && now.lines != 0);
}

static void flip_bit(Pair *p, Str name, Str bytes)
{
    const size_t at = bytes.len > 260 ? 260 : bytes.len - 1;
    ((char *)(uintptr_t)bytes.ptr)[at] ^= 8;
    CHECK(file_replace(&p->ctx, p->engine_folder, name, bytes) == ERR_OK);
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
        flip_bit(p, names[i], bytes);
    }
}

/* The largest file: others may have no rows. */
static void damage_largest(Pair *p, const char *suffix)
{
    Str *names = NULL, bytes, largest = STR("");
    size_t count = 0, which = 0;
    CHECK(file_list(&p->ctx, p->engine_folder, &names, &count) == ERR_OK);
    for (size_t i = 0; i < count; i++) {
        if (!str_ends_with(names[i], str_of(suffix)))
            continue;
        CHECK(file_load(&p->ctx, p->engine_folder, names[i], 1 << 26, &bytes) == ERR_OK);
        if (bytes.len > largest.len) {
            largest = bytes;
            which = i;
        }
    }
    flip_bit(p, names[which], largest);
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
    for (int i = 0; i < 6000 && stat_of(p).health.mended_files < files; i++)
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
static Seen make_files_of(Pair *p, uint64_t seed, uint32_t fan, uint64_t merge_bytes_max)
{
    pair_open(p, seed);
    p->fan = fan;
    p->merge_bytes_max = merge_bytes_max;
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

static Seen make_files(Pair *p, uint64_t seed)
{
    return make_files_of(p, seed, 64, 0);
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

TEST(a_week_with_rows_that_links_moved_is_made_again_whole_with_everybody_in_their_place)
{
    for (uint64_t seed = 31; seed < 35; seed++) {
        Pair p;
        pair_open(&p, seed);
        p.fan = 64;
        p.repeat = 10;
        p.links = 5;
        append_some(&p, 60);
        start_engine(&p);
        for (int i = 0; i < 4; i++) {
            append_some(&p, 40);
            CHECK(engine_flush(&p.ctx, p.engine) == ERR_OK);
        }
        const Seen before = look(&p);
        CHECK(stat_of(&p).moves > 10);
        events_close(p.log);
        engine_close(p.engine);
        start_log(&p);
        damage_largest(&p, ".part");
        damage_largest(&p, ".ids");
        start_engine(&p);
        int64_t bad = 0;
        CHECK(engine_verify(&p.ctx, p.engine, NULL, NULL, &bad) == ERR_OK);
        EXPECT_I64(bad, 2);
        for (int i = 0; i < 1000 && stat_of(&p).health.files_damaged > 0; i++)
            (void)usleep(10000);
        /* At one instant what was linked stands in its order of arrival now. */
        const Seen mended = look(&p);
        CHECK(mended.sum == before.sum && mended.rows == before.rows && !mended.damaged);
        expect_sound(&p);
        p.links = 50; /* what is moved now is found where it was made again */
        append_some(&p, 30);
        const Seen later = look(&p);
        CHECK(engine_settle(&p.ctx, p.engine) == ERR_OK);
        expect_as_before(&p, later);
        restart_engine(&p);
        expect_as_before(&p, later);
        EXPECT_I64((int64_t)stat_of(&p).events, p.events);
        pair_close(&p);
    }
}

TEST(who_was_erased_stays_so_when_a_file_is_made_again_from_a_log_that_still_has_them)
{
    Pair p;
    pair_open(&p, 51);
    p.fan = 64;
    append_some(&p, 100);
    start_engine(&p);
    CHECK(engine_flush(&p.ctx, p.engine) == ERR_OK);
    const uint64_t all = look(&p).rows;
    p.links = 5;
    p.erasures = 500;
    append_some(&p, 20);
    CHECK(engine_flush(&p.ctx, p.engine) == ERR_OK);
    const Seen before = look(&p);
    CHECK(before.rows > all / 4 && before.rows < (uint64_t)p.events);
    events_close(p.log);
    engine_close(p.engine);
    start_log(&p);
    damage_largest(&p, ".part");
    start_engine(&p);
    int64_t bad = 0;
    CHECK(engine_verify(&p.ctx, p.engine, NULL, NULL, &bad) == ERR_OK);
    EXPECT_I64(bad, 1);
    wait_until_mended(&p, 1);
    const Seen mended = look(&p);
    EXPECT_I64((int64_t)mended.rows, (int64_t)before.rows);
    CHECK(mended.sum == before.sum && !mended.damaged);
    pair_close(&p);
}

TEST(a_link_waits_until_the_damaged_file_with_its_rows_is_made_again)
{
    Pair p;
    pair_open(&p, 41);
    append_some(&p, 100);
    start_engine(&p);
    CHECK(engine_settle(&p.ctx, p.engine) == ERR_OK);
    EXPECT_I64(stat_of(&p).file_parts, WEEKS);
    events_close(p.log);
    engine_close(p.engine);
    start_log(&p);
    for (size_t i = 0; i < WEEKS; i++)
        damage(&p, ".part", i);
    start_engine(&p);
    p.links = 100;
    append_some(&p, 3);
    wait_until_mended(&p, WEEKS);
    CHECK(!look(&p).damaged && stat_of(&p).moves > 3);
    EXPECT_I64((int64_t)look(&p).rows, p.events);
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

/* ---- pages that the disk takes away --------------------------------------------------------------- */

/* All files with this suffix, while the engine has them open. */
static void cut_files(Pair *p, const char *suffix)
{
    Str *names = NULL;
    size_t count = 0;
    CHECK(file_list(&p->ctx, p->engine_folder, &names, &count) == ERR_OK);
    for (size_t i = 0; i < count; i++) {
        File file;
        if (!str_ends_with(names[i], str_of(suffix)))
            continue;
        CHECK(file_open(&p->ctx, p->engine_folder, names[i], FILE_WRITE, &file) == ERR_OK);
        CHECK(file_truncate(&p->ctx, file, 0) == ERR_OK);
        file_close(&file);
    }
}

static void wait_until_none_is_damaged(Pair *p)
{
    CHECK(stat_of(p).health.files_damaged > 0);
    for (int i = 0; i < 1000 && stat_of(p).health.files_damaged > 0; i++)
        (void)usleep(10000);
    EXPECT_I64(stat_of(p).health.files_damaged, 0);
    CHECK(stat_of(p).health.mended_files > 0);
}

TEST(pages_that_the_disk_takes_away_cost_an_answer_and_the_files_are_made_again)
{
    Pair p;
    const Seen before = make_files(&p, 17);
    start_engine(&p);
    expect_as_before(&p, before); /* every checksum was right */
    cut_files(&p, ".part");
    CHECK(look(&p).damaged);
    CHECK(look(&p).rows == 0); /* nothing of them is believed any more */
    wait_until_none_is_damaged(&p);
    expect_as_before(&p, before);
    expect_sound(&p);
    restart_engine(&p);
    expect_as_before(&p, before);
    pair_close(&p);
}

TEST(ids_that_the_disk_takes_away_let_nothing_in_twice_neither_before_nor_after_they_are_made_again)
{
    Pair p;
    const Seen before = make_files(&p, 18);
    start_engine(&p);
    p.repeat = 100;
    append_some(&p, 30); /* their ids are read */
    expect_as_before(&p, before);
    cut_files(&p, ".ids");
    append_some(&p, 30);
    expect_as_before(&p, before);
    wait_until_none_is_damaged(&p);
    append_some(&p, 30);
    expect_as_before(&p, before);
    restart_engine(&p);
    append_some(&p, 30);
    expect_as_before(&p, before);
    pair_close(&p);
}

TEST(a_merge_of_files_that_the_disk_takes_away_is_done_once_they_are_made_again)
{
    Pair p;
    const Seen before = make_files(&p, 19);
    start_engine(&p);
    expect_as_before(&p, before);
    cut_files(&p, ".part");
    cut_files(&p, ".ids");
    EXPECT_I64(engine_settle(&p.ctx, p.engine), ERR_INTERNAL);
    for (int i = 0; i < 1000 && engine_settle(&p.ctx, p.engine) != ERR_OK; i++)
        (void)usleep(10000);
    expect_as_before(&p, before);
    expect_sound(&p);
    EXPECT_I64(stat_of(&p).file_parts, WEEKS);
    pair_close(&p);
}

typedef struct Asking {
    Pair *p;
    Seen before;
    atomic_bool stop;
    uint64_t answers, refused;
} Asking;

/* Whatever it meets: what is not refused is right. */
static void *ask_on(void *arg)
{
    Asking *a = arg;
    while (!atomic_load(&a->stop)) {
        const Seen now = look(a->p);
        a->refused += now.damaged;
        a->answers += !now.damaged;
        CHECK(now.damaged || (now.fingerprint == a->before.fingerprint &&
                              now.lines == a->before.lines && now.rows == a->before.rows));
    }
    return NULL;
}

TEST(whoever_asks_while_the_disk_takes_pages_away_is_refused_or_gets_what_is_right)
{
    enum { ROUNDS = 6 };
    Pair p;
    pthread_t asker;
    Asking a = {.p = &p, .before = make_files(&p, 20)};
    start_engine(&p);
    CHECK(pthread_create(&asker, NULL, ask_on, &a) == 0);
    for (int round = 0; round < ROUNDS; round++) {
        Ctx own = p.ctx; /* the asker uses none */
        (void)usleep(20000);
        cut_files(&p, round % 3 == 2 ? ".ids" : ".part");
        (void)usleep(20000);
        for (int i = 0; i < 1000 && engine_settle(&own, p.engine) != ERR_OK; i++)
            (void)usleep(10000);
    }
    atomic_store(&a.stop, true);
    CHECK(pthread_join(asker, NULL) == 0);
    CHECK(a.answers > 0);
    int64_t bad = 0;
    CHECK(engine_verify(&p.ctx, p.engine, NULL, NULL, &bad) == ERR_OK);
    CHECK(bad > 0); /* the ids of the last round, of which nobody has heard */
    wait_until_none_is_damaged(&p);
    expect_as_before(&p, a.before);
    expect_sound(&p);
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

/* ---- damage where a flush wrote several files of a week ----------------------------------------------- */

enum { SPLIT_BYTES = 2000 };

/* Which files get damage: bit i of `parts` and `ids` says it of file i, and of file i + 32, ... */
typedef struct Wounds {
    uint32_t parts, ids;
} Wounds;

static uint32_t wound(Pair *p, Wounds w, uint32_t files)
{
    uint32_t wounded = 0;
    for (uint32_t i = 0; i < files; i++) {
        if ((w.parts >> i % 32 & 1) != 0)
            damage(p, ".part", i);
        if ((w.ids >> i % 32 & 1) != 0)
            damage(p, ".ids", i);
        wounded += ((w.parts | w.ids) >> i % 32 & 1) != 0;
    }
    return wounded;
}

typedef struct IdFiles {
    int64_t count, empty; /* ids; files without any */
} IdFiles;

static IdFiles ids_in_files(Pair *p)
{
    IdFiles all = {0};
    Str *names = NULL, bytes;
    size_t count = 0;
    CHECK(file_list(&p->ctx, p->engine_folder, &names, &count) == ERR_OK);
    for (size_t i = 0; i < count; i++) {
        uint32_t ids = 0;
        if (!str_ends_with(names[i], STR(".ids")))
            continue;
        CHECK(file_load(&p->ctx, p->engine_folder, names[i], 1 << 26, &bytes) == ERR_OK);
        memcpy(&ids, bytes.ptr + offsetof(IdHead, count), sizeof ids);
        all.count += ids;
        all.empty += ids == 0;
    }
    return all;
}

/* Whatever is damaged: rows and ids are as they were, also while it is being mended, and nothing comes in twice. */
static void expect_mends(Pair *p, Seen before, Wounds w)
{
    start_engine(p);
    CHECK(engine_flush(&p->ctx, p->engine) == ERR_OK); /* and what can be merged is */
    const EngineStat sound = stat_of(p);
    EXPECT_I64((int64_t)sound.aside[ENGINE_ASIDE_NUMBER], p->events);
    events_close(p->log);
    engine_close(p->engine);
    start_log(p);
    const uint32_t wounded = wound(p, w, sound.file_parts);
    start_engine(p);
    p->repeat = 100;
    append_some(p, 10);
    EXPECT_I64((int64_t)stat_of(p).events, p->events);
    int64_t bad = 0;
    CHECK(engine_verify(&p->ctx, p->engine, NULL, NULL, &bad) == ERR_OK);
    wait_until_mended(p, wounded);
    expect_as_before(p, before);
    expect_sound(p);
    append_some(p, 10);
    CHECK(engine_flush(&p->ctx, p->engine) == ERR_OK);
    const EngineStat now = stat_of(p);
    EXPECT_I64((int64_t)now.events, p->events);
    EXPECT_I64(now.file_parts, sound.file_parts);
    EXPECT_I64(ids_in_files(p).count, p->events);
    EXPECT_I64((int64_t)now.file_bytes, (int64_t)sound.file_bytes);
    EXPECT_I64((int64_t)now.aside[ENGINE_ASIDE_NUMBER], p->events);
    events_close(p->log);
    engine_close(p->engine);
    start_log(p);
}

static const Wounds WOUNDS[] = {
    {0x55555555, 0}, {0, 0xaaaaaaaa}, {1, 2}, {0x33333333, 0xcccccccc}, {0xffffffff, 0xffffffff},
};

static void mend_split(uint64_t seed, uint32_t fan, uint64_t merge_bytes_max)
{
    Pair p;
    const Seen before = make_files_of(&p, seed, fan, merge_bytes_max);
    CHECK(ids_in_files(&p).empty >= WEEKS);
    for (size_t i = 0; i < ARRAY_LEN(WOUNDS); i++)
        expect_mends(&p, before, WOUNDS[i]);
    start_engine(&p);
    p.repeat = 100;
    CHECK(engine_settle(&p.ctx, p.engine) == ERR_OK);
    append_some(&p, 30);
    expect_as_before(&p, before);
    pair_close(&p);
}

TEST(of_files_that_were_written_together_each_is_made_again_exactly_as_it_was)
{
    mend_split(21, 64, SPLIT_BYTES);
}

TEST(files_that_were_written_together_are_made_again_also_when_they_grew_with_others)
{
    mend_split(22, 2, SPLIT_BYTES);
}

/* ---- erased records --------------------------------------------------------------------------------- */

enum { NUMBERS = 1 << 16 };

/* Who did what together, whatever numbers the persons have. */
static uint64_t look_at_persons(Pair *p, uint64_t *rows)
{
    uint64_t *sums = calloc(NUMBERS, sizeof *sums), all = 0;
    CHECK(sums != NULL);
    *rows = 0;
    ScanView *view = engine_view(p->engine);
    Schema *names = engine_schema_lock(p->engine);
    const SchemaProp *amount = schema_find_prop(names, SCHEMA_EVENT, STR("amount"));
    engine_schema_unlock(p->engine);
    const ScanProp props[] = {{amount->id, 0}};
    const ScanSelect select = {.from_ms = 0, .to_ms = INT64_MAX};
    Scanner *scanner = scanner_new(view, &(ScanAsk){&select, 1, props, 1, true});
    ScanBatch b;
    for (uint32_t piece = 0; piece < scan_pieces(view); piece++) {
        if (!scanner_batch(scanner, piece, &b))
            continue;
        for (uint32_t i = 0; i < b.person_count; i++)
            for (uint32_t row = b.from[i]; row < b.from[i + 1]; row++, ++*rows)
                sums[b.persons[i] % NUMBERS] +=
                    hash_u64((uint64_t)(scanner_base_ms(scanner) + scan_ms(&b, row)),
                             (uint64_t)b.values[0][row]);
    }
    CHECK(scanner_damaged(scanner) == 0);
    scanner_free(scanner);
    engine_view_done(view);
    for (uint32_t i = 0; i < NUMBERS; i++)
        all += sums[i] == 0 ? 0 : hash_u64(sums[i], 1);
    free(sums);
    return all;
}

static int64_t erase_what_was_asked(Pair *p)
{
    static const CryptoKey key = {{7}};
    EventsErased one = {.more = true};
    EventsErase how = {.key = &key, .now_ms = SMALL.origin_ms};
    uint32_t mark = 0;
    int64_t records = 0;
    CHECK(engine_flush(&p->ctx, p->engine) == ERR_OK);
    engine_history(p->engine, &how.heard_seq, &mark);
    for (; one.more; records += one.records)
        CHECK(events_erase(&p->ctx, p->log, &how, &one) == ERR_OK);
    return records;
}

TEST(columns_made_again_from_a_log_whose_erased_records_are_gone_answer_as_before)
{
    for (uint64_t seed = 51; seed < 55; seed++) {
        Pair p;
        uint64_t rows = 0, rows_again = 0;
        pair_open(&p, seed);
        p.links = 8;
        p.erasures = 150;
        append_some(&p, 40);
        start_engine(&p);
        for (int i = 0; i < 3; i++) {
            append_some(&p, 30);
            const uint64_t before = look_at_persons(&p, &rows);
            CHECK(erase_what_was_asked(&p) > 20);
            EXPECT_I64(events_count(p.log), (int64_t)rows);
            CHECK(look_at_persons(&p, &rows_again) == before);
            events_close(p.log);
            engine_close(p.engine);
            test_remove_folder(p.engine_folder);
            start_log(&p);
            start_engine(&p);
            CHECK(look_at_persons(&p, &rows_again) == before);
            EXPECT_I64((int64_t)rows_again, (int64_t)rows);
        }
        pair_close(&p);
    }
}

TEST(an_erasure_with_nothing_else_to_write_is_durable_after_a_flush)
{
    Pair p;
    uint64_t end_seq = 0;
    uint32_t mark = 0;
    pair_open(&p, 61);
    append_some(&p, 20);
    start_engine(&p);
    CHECK(engine_flush(&p.ctx, p.engine) == ERR_OK);
    p.links = 100;
    p.erasures = 1000;
    Buf records = BUF_MAX(1 << 16);
    add_link(&p, &records);
    CHECK(events_append(&p.ctx, p.log, buf_str(&records), NULL) == ERR_OK);
    buf_free(&records);
    CHECK(engine_flush(&p.ctx, p.engine) == ERR_OK);
    engine_history(p.engine, &end_seq, &mark);
    EXPECT_I64((int64_t)end_seq, (int64_t)engine_next_seq(p.engine));
    const Seen before = look(&p);
    CHECK((int64_t)before.rows < p.events);
    restart_engine(&p);
    expect_as_before(&p, before);
    pair_close(&p);
}
