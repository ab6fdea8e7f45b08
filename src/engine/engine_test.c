/*
 * engine/engine_test.c -- what is offered is there: at once, once, after restarts, through flushes and
 * merges, on a full disk.
 */
#include "engine/engine.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/test.h"
#include "base/test_folder.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { NAMES = 9, ACTORS = 300 };

static const EngineOptions SMALL = {
    .origin_ms = INT64_C(1735574400000), .slice_rows = 64, .flush_rows = 512, .fan = 3};

typedef struct Shop {
    char path[64];
    Ctx ctx;
    Prng random;
    Engine *engine;
    Buf records; /* everything offered so far, encoded */
    size_t *at;  /* record -> its bytes */
    uint32_t count, cap;
    uint64_t sum; /* fingerprint of what is new */
    uint32_t distinct;
} Shop;

static uint32_t below(Shop *s, uint32_t n)
{
    return (uint32_t)prng_below(&s->random, n);
}

/* ---- events and their fingerprint ---------------------------------------------------------------- */

static uint64_t fingerprint(Str name, EventActor actor, int64_t time_ms, Str channel, int64_t total)
{
    uint64_t h = hash_bytes(name, 1);
    h = hash_bytes(actor.kind, h);
    h = hash_bytes(actor.value, h);
    h = hash_u64((uint64_t)time_ms, h);
    h = hash_bytes(channel, h);
    return hash_u64((uint64_t)total, h);
}

/* One more event behind the records. */
static void make_event(Shop *s, uint32_t id)
{
    static const Str channels[] = {{"web", 3}, {"till", 4}, {"app", 3}};
    const uint32_t who = below(s, ACTORS), what = below(s, NAMES);
    Event head = {.kind = EVENT_HAPPENED,
                  .source = STR("till-7"),
                  .id = arena_printf(s->ctx.arena, "id-%u", id),
                  .name = arena_printf(s->ctx.arena, "Event %u", what),
                  .time_ms = SMALL.origin_ms + (int64_t)prng_below(&s->random, 3 * 604800000u),
                  .store = below(s, 2) == 0 ? STR("S1") : STR("")};
    head.received_ms = head.time_ms + below(s, 100000);
    if (who > 0)
        head.actor = (EventActor){STR("person"), arena_printf(s->ctx.arena, "%u", who)};
    EventBuilder *b = event_begin(&s->ctx, &head);
    const Str channel = channels[below(s, 3)];
    event_prop_text(b, STR("channel"), channel);
    const int64_t total = what % 2 == 0 ? (int64_t)below(s, 100000) : 0;
    if (what % 2 == 0)
        event_prop_money(b, STR("total"), total);
    Event e;
    CHECK(event_end(b, &e) == ERR_OK);
    if (s->count == s->cap) {
        s->cap = s->cap == 0 ? 1024 : s->cap * 2;
        s->at = realloc(s->at, (s->cap + 1) * sizeof *s->at);
        CHECK(s->at != NULL);
    }
    s->at[s->count++] = s->records.len;
    event_encode(&e, &s->records);
    s->at[s->count] = s->records.len;
    s->sum += fingerprint(e.name, e.actor, e.time_ms, channel, total);
    s->distinct++;
}

/* An event that was there already, byte by byte. */
static void repeat_event(Shop *s)
{
    const uint32_t which = below(s, s->count);
    const Str again = str_slice(buf_str(&s->records), s->at[which], s->at[which + 1]);
    if (s->count == s->cap) {
        s->cap *= 2;
        s->at = realloc(s->at, (s->cap + 1) * sizeof *s->at);
        CHECK(s->at != NULL);
    }
    Str copy = arena_copy(s->ctx.arena, again);
    s->at[s->count++] = s->records.len;
    buf_add(&s->records, copy);
    s->at[s->count] = s->records.len;
}

static void make_events(Shop *s, uint32_t n, uint32_t repeated_percent)
{
    for (uint32_t i = 0; i < n; i++) {
        if (s->count > 0 && below(s, 100) < repeated_percent)
            repeat_event(s);
        else
            make_event(s, s->count);
    }
    arena_reset(s->ctx.arena);
}

/* Offers what the engine does not know yet, in random batches. */
static void offer_rest(Shop *s)
{
    for (uint64_t next = engine_next_seq(s->engine); next <= s->count;) {
        uint32_t n = 1 + below(s, 200);
        n = n < s->count - next + 1 ? n : (uint32_t)(s->count - next + 1);
        const Str some = str_slice(buf_str(&s->records), s->at[next - 1], s->at[next - 1 + n]);
        (void)engine_offer(s->engine, next, n, some);
        next += n;
    }
}

typedef struct Seen {
    uint64_t sum;
    uint32_t rows;
} Seen;

static Str text_of(Schema *names, uint32_t prop, int64_t code)
{
    return code == SCAN_MISSING ? STR("") : schema_text(names, prop, (uint32_t)code);
}

static Seen look(Shop *s)
{
    Seen seen = {0};
    ScanView *view = engine_view(s->engine);
    Schema *names = engine_schema_lock(s->engine);
    const SchemaProp *channel = schema_find_prop(names, SCHEMA_EVENT, STR("channel"));
    const SchemaProp *total = schema_find_prop(names, SCHEMA_EVENT, STR("total"));
    const ScanProp props[] = {{channel == NULL ? PROP_NONE : channel->id, 0},
                              {total == NULL ? PROP_NONE : total->id, 0}};
    const ScanSelect all = {.from_ms = 0, .to_ms = INT64_MAX};
    Scanner *scanner = scanner_new(view, &(ScanAsk){&all, 1, props, 2, true});
    ScanBatch b;
    for (uint32_t piece = 0; piece < scan_pieces(view); piece++) {
        if (!scanner_batch(scanner, piece, &b))
            continue;
        for (uint32_t p = 0; p < b.person_count; p++)
            for (uint32_t row = b.from[p]; row < b.from[p + 1]; row++) {
                const int64_t money = b.values[1][row];
                seen.sum += fingerprint(schema_event_name(names, b.events[row]),
                                        schema_actor_of(names, b.persons[p]),
                                        scanner_base_ms(scanner) + scan_ms(&b, row),
                                        text_of(names, props[0].prop, b.values[0][row]),
                                        money == SCAN_MISSING ? 0 : money);
                seen.rows++;
            }
    }
    scanner_free(scanner);
    engine_schema_unlock(s->engine);
    engine_view_done(view);
    return seen;
}

static void expect_everything(Shop *s)
{
    const Seen seen = look(s);
    EXPECT_I64(seen.rows, s->distinct);
    CHECK(seen.sum == s->sum);
}

/* ---- the folder ---------------------------------------------------------------------------------- */

static void reopen(Shop *s)
{
    engine_close(s->engine);
    CHECK(engine_open(&s->ctx, str_of(s->path), &SMALL, &s->engine) == ERR_OK);
}

static void shop_open(Shop *s, uint64_t seed)
{
    *s = (Shop){.path = "/tmp/engine_test.XXXXXX",
                .ctx.arena = arena_new(1 << 16),
                .random = prng_of(seed),
                .records = BUF_MAX(1 << 28)};
    CHECK(mkdtemp(s->path) != NULL);
    log_setup(LOG_OFF, false);
    CHECK(engine_open(&s->ctx, str_of(s->path), &SMALL, &s->engine) == ERR_OK);
}

static void shop_close(Shop *s)
{
    engine_close(s->engine);
    test_remove_folder(str_of(s->path));
    buf_free(&s->records);
    free(s->at);
    arena_free(s->ctx.arena);
}

TEST(what_is_offered_is_seen_by_the_next_view)
{
    Shop s;
    shop_open(&s, 1);
    expect_everything(&s);
    for (int i = 0; i < 60; i++) {
        make_events(&s, 1 + below(&s, 60), 0);
        offer_rest(&s);
        expect_everything(&s);
    }
    shop_close(&s);
}

TEST(an_event_comes_in_once_however_often_it_is_offered_also_after_restarts)
{
    Shop s;
    shop_open(&s, 2);
    for (int i = 0; i < 8; i++) {
        make_events(&s, 900, 30);
        offer_rest(&s);
        expect_everything(&s);
        reopen(&s);
        EXPECT_I64((int64_t)engine_next_seq(s.engine), s.count + 1);
        expect_everything(&s);
    }
    EngineStat stat;
    engine_stat(s.engine, &stat);
    EXPECT_I64((int64_t)stat.events, s.distinct);
    EXPECT_I64(stat.memory_rows, 0);
    shop_close(&s);
}

TEST(files_that_are_small_even_together_become_one_before_there_are_many)
{
    EngineOptions o = SMALL;
    o.fan = 64;
    Shop s;
    shop_open(&s, 4);
    engine_close(s.engine);
    CHECK(engine_open(&s.ctx, str_of(s.path), &o, &s.engine) == ERR_OK);
    EngineStat stat;
    for (int flush = 0; flush < 20; flush++) {
        make_events(&s, 15, 0);
        offer_rest(&s);
        CHECK(engine_flush(&s.ctx, s.engine) == ERR_OK);
        engine_stat(s.engine, &stat);
        CHECK(stat.file_parts >= 3 && stat.file_parts <= 9); /* of three weeks */
    }
    for (int flush = 0; flush < 4; flush++) {
        make_events(&s, 1200, 0); /* twice as many in each week as are few */
        offer_rest(&s);
        CHECK(engine_flush(&s.ctx, s.engine) == ERR_OK);
    }
    engine_stat(s.engine, &stat);
    CHECK(stat.file_parts >= 12);
    expect_everything(&s);
    shop_close(&s);
}

TEST(weeks_grow_together_to_few_files_and_to_one_when_settled)
{
    Shop s;
    shop_open(&s, 3);
    make_events(&s, 20000, 5);
    offer_rest(&s);
    CHECK(engine_flush(&s.ctx, s.engine) == ERR_OK);
    EngineStat stat;
    engine_stat(s.engine, &stat);
    CHECK(stat.file_parts >= 3 && stat.file_parts < 30); /* up to 40 flushes of three weeks */
    expect_everything(&s);
    CHECK(engine_settle(&s.ctx, s.engine) == ERR_OK);
    engine_stat(s.engine, &stat);
    EXPECT_I64(stat.file_parts, 3);
    expect_everything(&s);
    int64_t bad = -1;
    CHECK(engine_verify(&s.ctx, s.engine, NULL, NULL, &bad) == ERR_OK);
    EXPECT_I64(bad, 0);
    reopen(&s);
    expect_everything(&s);
    shop_close(&s);
}

static void *look_again_and_again(void *arg)
{
    Shop *s = arg;
    uint32_t before = 0;
    for (int i = 0; i < 30; i++) {
        const Seen seen = look(s);
        CHECK(seen.rows >= before);
        before = seen.rows;
    }
    return NULL;
}

TEST(views_are_whole_while_others_offer_flush_and_merge)
{
    Shop s;
    shop_open(&s, 4);
    make_events(&s, 15000, 10);
    pthread_t readers[2];
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        CHECK(pthread_create(&readers[i], NULL, look_again_and_again, &s) == 0);
    offer_rest(&s);
    CHECK(engine_settle(&s.ctx, s.engine) == ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        CHECK(pthread_join(readers[i], NULL) == 0);
    expect_everything(&s);
    shop_close(&s);
}

typedef struct Keeping {
    Shop *shop;
    atomic_bool enough;
} Keeping;

static void *keep_again_and_again(void *arg)
{
    Keeping *k = arg;
    Ctx ctx = {.arena = arena_new(1 << 16)};
    for (uint32_t i = 0; !k->enough; i++) {
        int64_t bad = 0;
        CHECK((i % 4 == 0 ? engine_settle : engine_flush)(&ctx, k->shop->engine) == ERR_OK);
        CHECK(engine_verify(&ctx, k->shop->engine, NULL, NULL, &bad) == ERR_OK && bad == 0);
    }
    arena_free(ctx.arena);
    return NULL;
}

/* The ids of a week are read when its first event comes, and when more came than there was room for. */
TEST(an_event_comes_in_once_while_ids_are_read_and_others_flush_merge_and_verify)
{
    Shop s;
    shop_open(&s, 5);
    for (int i = 0; i < 8; i++) {
        Keeping keeping = {.shop = &s};
        pthread_t keeper;
        CHECK(pthread_create(&keeper, NULL, keep_again_and_again, &keeping) == 0);
        make_events(&s, i < 4 ? 30000 : 3000, 30);
        offer_rest(&s);
        expect_everything(&s);
        keeping.enough = true;
        CHECK(pthread_join(keeper, NULL) == 0);
        if (i >= 4)
            reopen(&s);
    }
    shop_close(&s);
}

static void limit_files(uint64_t bytes)
{
    struct rlimit limit;
    (void)signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes == 0 ? limit.rlim_max : bytes;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

TEST(a_full_disk_is_said_and_heals)
{
    Shop s;
    shop_open(&s, 5);
    make_events(&s, 3000, 10);
    limit_files(4096);
    offer_rest(&s);
    expect_everything(&s);
    EXPECT_I64(engine_flush(&s.ctx, s.engine), ERR_BUSY);
    EXPECT_STREQ(s.ctx.fault.reason, "disk.full");
    make_events(&s, 500, 50);
    offer_rest(&s);
    expect_everything(&s);
    limit_files(0);
    CHECK(engine_flush(&s.ctx, s.engine) == ERR_OK);
    expect_everything(&s);
    reopen(&s);
    EXPECT_I64((int64_t)engine_next_seq(s.engine), s.count + 1);
    expect_everything(&s);
    shop_close(&s);
}

TEST(what_no_manifest_names_is_removed_at_the_start)
{
    Shop s;
    shop_open(&s, 6);
    make_events(&s, 700, 0);
    offer_rest(&s);
    engine_close(s.engine);
    CHECK(file_replace(&s.ctx, str_of(s.path), STR("00000000000000000999.part"), STR("half")) ==
          ERR_OK);
    CHECK(engine_open(&s.ctx, str_of(s.path), &SMALL, &s.engine) == ERR_OK);
    File none = FILE_NONE;
    EXPECT_I64(
        file_open(&s.ctx, str_of(s.path), STR("00000000000000000999.part"), FILE_READ, &none),
        ERR_NOT_FOUND);
    expect_everything(&s);
    shop_close(&s);
}

static void offer_odd(Shop *s, int64_t time_ms, void (*prop)(EventBuilder *b))
{
    const Event head = {.kind = EVENT_HAPPENED,
                        .source = STR("odd"),
                        .id = arena_i64(s->ctx.arena, s->count),
                        .name = STR("Odd"),
                        .time_ms = time_ms,
                        .received_ms = time_ms};
    EventBuilder *b = event_begin(&s->ctx, &head);
    prop(b);
    Event e;
    CHECK(event_end(b, &e) == ERR_OK);
    Buf bytes = BUF_MAX(EVENT_BYTES_MAX);
    event_encode(&e, &bytes);
    (void)engine_offer(s->engine, engine_next_seq(s->engine), 1, buf_str(&bytes));
    buf_free(&bytes);
    s->count++;
}

static void no_prop(EventBuilder *b)
{
    (void)b;
}

static void money_prop(EventBuilder *b)
{
    event_prop_money(b, STR("price"), 5);
}

static void text_prop(EventBuilder *b)
{
    event_prop_text(b, STR("price"), STR("five"));
}

static void fine_prop(EventBuilder *b)
{
    event_prop_decimal(b, STR("weight"), 123456789, 9);
}

static void large_prop(EventBuilder *b)
{
    event_prop_i64(b, STR("weight"), INT64_MAX);
}

static void list_prop(EventBuilder *b)
{
    const Str texts[] = {STR("a"), STR("b")};
    event_prop_texts(b, STR("price"), texts, 2);
}

static void record_prop(EventBuilder *b)
{
    event_items_begin(b, STR("lines"));
    event_item(b);
    event_prop_i64(b, STR("weight"), 3);
    event_item(b);
    event_prop_bool(b, STR("weight"), true);
    event_items_end(b);
}

static void fine_record_prop(EventBuilder *b)
{
    event_items_begin(b, STR("lines"));
    event_item(b);
    event_prop_decimal(b, STR("weight"), 123456789, 9);
    event_items_end(b);
}

TEST(what_has_no_place_in_the_columns_is_kept_aside_and_counted_and_harms_nothing_else)
{
    Shop s;
    shop_open(&s, 8);
    const int64_t now = SMALL.origin_ms;
    offer_odd(&s, ENGINE_TIME_MS_MAX - 1, no_prop);
    offer_odd(&s, 0, no_prop);
    offer_odd(&s, now, money_prop);
    const struct {
        int64_t time_ms;
        void (*prop)(EventBuilder *b);
        int64_t rows;
    } odd[] = {{ENGINE_TIME_MS_MAX, no_prop, 0},
               {EVENT_TIME_MS_MAX, no_prop, 0},
               {now, text_prop, 1},
               {now, fine_prop, 1},
               {now, large_prop, 1},
               {now, list_prop, 1},
               {now, record_prop, 1},
               {now, fine_record_prop, 1}};
    int64_t rows = 3;
    EngineStat stat;
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        offer_odd(&s, odd[i].time_ms, odd[i].prop);
        rows += odd[i].rows;
        EXPECT_I64(look(&s).rows, rows);
        engine_stat(s.engine, &stat);
        EXPECT_I64((int64_t)stat.kept_aside, (int64_t)i + 1);
    }
    CHECK(engine_settle(&s.ctx, s.engine) == ERR_OK);
    EXPECT_I64(look(&s).rows, rows);
    shop_close(&s);
}

TEST(a_stop_after_nothing_but_refused_events_is_an_ordinary_one)
{
    Shop s;
    shop_open(&s, 9);
    offer_odd(&s, ENGINE_TIME_MS_MAX, no_prop);
    CHECK(engine_flush(&s.ctx, s.engine) == ERR_OK);
    CHECK(engine_flush(&s.ctx, s.engine) == ERR_OK);
    EXPECT_I64(look(&s).rows, 0);
    shop_close(&s);
}

TEST(repetitions_do_no_harm_when_the_ids_of_a_file_are_damaged)
{
    Shop s;
    shop_open(&s, 10);
    make_events(&s, 600, 0);
    offer_rest(&s);
    CHECK(engine_settle(&s.ctx, s.engine) == ERR_OK);
    engine_close(s.engine);
    Str *names = NULL, bytes;
    size_t n = 0;
    const Str folder = str_of(s.path);
    CHECK(file_list(&s.ctx, folder, &names, &n) == ERR_OK);
    for (size_t i = 0; i < n; i++) {
        if (!str_ends_with(names[i], STR(".ids")))
            continue;
        CHECK(file_load(&s.ctx, folder, names[i], 1 << 20, &bytes) == ERR_OK);
        memset((char *)(uintptr_t)bytes.ptr + 64, 0x7F, bytes.len - 64);
        CHECK(file_replace(&s.ctx, folder, names[i], bytes) == ERR_OK);
    }
    CHECK(engine_open(&s.ctx, folder, &SMALL, &s.engine) == ERR_OK);
    make_events(&s, 600, 100); /* all of them again */
    offer_rest(&s);
    CHECK(look(&s).rows >= s.distinct);
    int64_t bad = 0;
    CHECK(engine_verify(&s.ctx, s.engine, NULL, NULL, &bad) == ERR_OK && bad > 0);
    shop_close(&s);
}

TEST(a_damaged_manifest_is_named)
{
    Shop s;
    shop_open(&s, 7);
    make_events(&s, 100, 0);
    offer_rest(&s);
    engine_close(s.engine);
    Str bytes;
    const Str folder = str_of(s.path);
    CHECK(file_load(&s.ctx, folder, STR("manifest"), 1 << 20, &bytes) == ERR_OK);
    ((char *)(uintptr_t)bytes.ptr)[30] ^= 1;
    CHECK(file_replace(&s.ctx, folder, STR("manifest"), bytes) == ERR_OK);
    Engine *none = NULL;
    EXPECT_I64(engine_open(&s.ctx, folder, &SMALL, &none), ERR_INTERNAL);
    EXPECT_STREQ(s.ctx.fault.reason, "events.manifest_damaged");
    ((char *)(uintptr_t)bytes.ptr)[30] ^= 1;
    CHECK(file_replace(&s.ctx, folder, STR("manifest"), bytes) == ERR_OK);
    CHECK(engine_open(&s.ctx, folder, &SMALL, &s.engine) == ERR_OK);
    expect_everything(&s);
    shop_close(&s);
}

/* ---- the log behind it ------------------------------------------------------------------------------ */

/* What the log says when files want to count. */
typedef struct LogDisk {
    atomic_bool full;
    _Atomic uint64_t durable_seq; /* asked for */
} LogDisk;

enum { MARK_FACTOR = 7 }; /* the mark of a history in these tests */

static Err settle(Ctx *ctx, uint64_t end_seq, uint32_t *mark, void *arg)
{
    LogDisk *disk = arg;
    if (atomic_load(&disk->full))
        return fail(ctx, ERR_BUSY, "disk.full", "the log's");
    atomic_store(&disk->durable_seq, end_seq);
    *mark = (uint32_t)end_seq * MARK_FACTOR;
    return ERR_OK;
}

static void reopen_behind(Shop *s, LogDisk *disk, uint32_t memory_rows_max)
{
    EngineOptions options = SMALL;
    options.memory_rows_max = memory_rows_max;
    options.settle = settle;
    options.settle_arg = disk;
    engine_close(s->engine);
    CHECK(engine_open(&s->ctx, str_of(s->path), &options, &s->engine) == ERR_OK);
}

TEST(no_file_counts_that_knows_more_than_the_log_has_on_disk)
{
    Shop s;
    LogDisk disk = {.full = true};
    uint64_t end_seq = 0;
    uint32_t mark = 0;
    shop_open(&s, 21);
    reopen_behind(&s, &disk, 0);
    make_events(&s, 3000, 0);
    offer_rest(&s);
    EXPECT_I64(engine_flush(&s.ctx, s.engine), ERR_BUSY);
    EXPECT_STREQ(s.ctx.fault.reason, "disk.full");
    expect_everything(&s); /* from memory */
    engine_history(s.engine, &end_seq, &mark);
    EXPECT_I64((int64_t)end_seq, 1);
    reopen_behind(&s, &disk, 0); /* power is cut: files that do not count are not there */
    EXPECT_I64((int64_t)engine_next_seq(s.engine), 1);
    offer_rest(&s);
    atomic_store(&disk.full, false);
    while (engine_flush(&s.ctx, s.engine) != ERR_OK) { /* tried again every second */
    }
    expect_everything(&s);
    reopen_behind(&s, &disk, 0);
    engine_history(s.engine, &end_seq, &mark);
    EXPECT_I64((int64_t)end_seq, s.count + 1);
    EXPECT_I64((int64_t)end_seq, (int64_t)atomic_load(&disk.durable_seq));
    EXPECT_I64(mark, (uint32_t)end_seq * MARK_FACTOR);
    shop_close(&s);
}

/* Offers without waiting, as the log's writer does; false = something was refused. */
static bool offer_rest_now(Shop *s)
{
    for (uint64_t next = engine_next_seq(s->engine); next <= s->count; next++)
        if (!engine_offer_now(s->engine, next, 1,
                              str_slice(buf_str(&s->records), s->at[next - 1], s->at[next])))
            return false;
    return true;
}

static void fill_memory(Shop *s)
{
    do {
        make_events(s, 100, 0);
        engine_view_done(engine_view(s->engine)); /* applied: the queue is not memory */
    } while (offer_rest_now(s));
}

static void *complete_it(void *arg)
{
    Shop *s = arg;
    offer_rest(s); /* waits for the flush */
    engine_set_complete(s->engine);
    return NULL;
}

TEST(what_finds_no_room_is_refused_at_once_and_no_question_misses_it_unknowingly)
{
    Shop s;
    LogDisk disk = {.full = true};
    shop_open(&s, 22);
    reopen_behind(&s, &disk, 1000);
    engine_set_complete(s.engine);
    fill_memory(&s);
    CHECK(!engine_is_complete(s.engine, 0, NULL));
    CHECK(!offer_rest_now(&s));
    engine_set_complete(s.engine); /* whoever says so does not know */
    CHECK(!engine_is_complete(s.engine, 0, NULL));
    atomic_store(&disk.full, false);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, complete_it, &s) == 0);
    CHECK(engine_is_complete(s.engine, clock_mono_us() + 60000000, NULL)); /* waits for it */
    CHECK(pthread_join(thread, NULL) == 0);
    expect_everything(&s);
    shop_close(&s);
}

static void *offer_until_refused(void *arg)
{
    Shop *s = arg;
    offer_rest(s);
    return NULL;
}

TEST(whoever_waits_for_room_comes_back_when_offers_are_refused)
{
    Shop s;
    LogDisk disk = {.full = true};
    pthread_t thread;
    shop_open(&s, 23);
    reopen_behind(&s, &disk, 1000);
    fill_memory(&s);
    CHECK(pthread_create(&thread, NULL, offer_until_refused, &s) == 0);
    (void)nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL); /* so that it waits */
    engine_refuse_offers(s.engine);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(engine_next_seq(s.engine) <= s.count);
    CHECK(!engine_offer(s.engine, engine_next_seq(s.engine), 1, STR("")));
    shop_close(&s);
}
