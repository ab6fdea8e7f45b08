/*
 * engine/engine_memory_test.c -- what links may take of memory, and when a flush is due for their sake.
 */
#include "engine/engine_inside.h"
#include "engine/engine_testkit.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/test_folder.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PEOPLE_MAX = 1000 };

typedef struct Store {
    char path[64];
    Ctx ctx;
    EngineOptions options;
    Engine *engine;
    Buf records; /* that are not offered yet */
    uint32_t count;
    uint64_t ids;
    atomic_bool disk_is_full; /* no flush comes to its end */
} Store;

static Err settle(Ctx *ctx, uint64_t end_seq, uint32_t *mark, void *arg)
{
    Store *s = arg;
    *mark = (uint32_t)end_seq;
    return atomic_load(&s->disk_is_full) ? fail(ctx, ERR_BUSY, "disk.full", "a test") : ERR_OK;
}

static void store_start(Store *s)
{
    CHECK(engine_open(&s->ctx, str_of(s->path), &s->options, &s->engine) == ERR_OK);
}

static void store_open(Store *s, EngineOptions options)
{
    *s = (Store){.path = "/tmp/engine_memory.XXXXXX",
                 .ctx.arena = arena_new(1 << 16),
                 .options = options,
                 .records = BUF_MAX(1 << 28)};
    s->options.origin_ms = KIT_ORIGIN_MS;
    s->options.settle = settle;
    s->options.settle_arg = s;
    CHECK(mkdtemp(s->path) != NULL);
    log_setup(LOG_OFF, false);
    store_start(s);
}

static void store_close(Store *s)
{
    engine_close(s->engine);
    test_remove_folder(str_of(s->path));
    buf_free(&s->records);
    arena_free(s->ctx.arena);
}

static EventActor actor_of(Store *s, uint32_t key)
{
    return (EventActor){STR("id"), arena_printf(s->ctx.arena, "%u", key)};
}

static void add(Store *s, Event head)
{
    Event e;
    head.source = STR("web");
    head.received_ms = KIT_ORIGIN_MS;
    EventBuilder *b = event_begin(&s->ctx, &head);
    if (head.kind == EVENT_HAPPENED) {
        event_prop_i64(b, STR("n"), (int64_t)s->ids);
        event_prop_text(b, STR("text"),
                        arena_printf(s->ctx.arena, "%llu", (unsigned long long)s->ids % 100));
    }
    CHECK(event_end(b, &e) == ERR_OK);
    event_encode(&e, &s->records);
    s->count++;
    arena_reset(s->ctx.arena);
}

/* `n` events of one actor: of two names, all over three weeks. */
static void add_events(Store *s, uint32_t key, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++, s->ids++)
        add(s, (Event){.kind = EVENT_HAPPENED,
                       .id = arena_printf(s->ctx.arena, "%llu", (unsigned long long)s->ids),
                       .name = i % 3 == 0 ? STR("Seen") : STR("Bought"),
                       .time_ms = KIT_ORIGIN_MS + (int64_t)(i % 3) * PART_WEEK_MS + i % 1000 * 7,
                       .actor = actor_of(s, key)});
}

static void add_change(Store *s, EventKind kind, uint32_t a, uint32_t b)
{
    Event head = {
        .kind = kind, .id = STR("change"), .time_ms = KIT_ORIGIN_MS, .actor = actor_of(s, a)};
    if (kind != EVENT_ERASE)
        head.other = actor_of(s, b);
    add(s, head);
}

/* All that was added, as one batch. */
static void offer(Store *s)
{
    CHECK(engine_offer(s->engine, engine_next_seq(s->engine), s->count, buf_str(&s->records)));
    buf_clear(&s->records);
    s->count = 0;
}

static EngineStat stat_of(Store *s)
{
    EngineStat stat;
    engine_stat(s->engine, &stat);
    return stat;
}

/* Rows of whole persons: their number by person, from the first one on. */
static uint32_t rows_by_person(Store *s, uint32_t rows[PEOPLE_MAX])
{
    const ScanSelect all = {.from_ms = 0, .to_ms = INT64_MAX};
    ScanView *view = engine_view(s->engine);
    Scanner *scanner = scanner_new(view, &(ScanAsk){.selects = &all, .select_count = 1});
    uint32_t n = 0;
    ScanBatch b;
    for (uint32_t piece = 0; piece < scan_pieces(view); piece++)
        while (scanner_batch(scanner, piece, &b))
            for (uint32_t i = 0; i < b.person_count; i++)
                rows[n++] = b.from[i + 1] - b.from[i];
    CHECK(scanner_damaged(scanner) == 0);
    scanner_free(scanner);
    engine_view_done(view);
    return n;
}

static bool wait_until(Store *s, bool (*is_so)(Store *s, uint64_t than), uint64_t than)
{
    for (const int64_t until_us = clock_mono_us() + 30000000; clock_mono_us() < until_us;) {
        if (is_so(s, than))
            return true;
        (void)usleep(2000);
    }
    return false;
}

static bool is_durable(Store *s, uint64_t seq)
{
    return stat_of(s).durable_seq >= seq;
}

/* ---- one person with many rows ------------------------------------------------------------------------ */

/* Bytes of slices on the heap, and how many slices are not. */
static uint64_t heap_bytes(Engine *e, uint32_t *elsewhere)
{
    uint64_t bytes = 0;
    *elsewhere = 0;
    (void)pthread_mutex_lock(&e->apply);
    (void)pthread_mutex_lock(&e->lock);
    for (uint32_t i = 0; i < e->memory_count; i++) {
        bytes += engine_heap_bytes(e->memory[i]);
        *elsewhere += e->memory[i]->is_mapped;
    }
    EXPECT_I64((int64_t)e->memory_bytes, (int64_t)bytes);
    (void)pthread_mutex_unlock(&e->lock);
    (void)pthread_mutex_unlock(&e->apply);
    return bytes;
}

enum { MANY = 60000, SPILL_BYTES = 100000 };

static const char *spill_path(Store *s)
{
    return arena_printf(s->ctx.arena, "%s/spill.part", s->path).ptr;
}

static void move_many(Store *s, EventKind kind)
{
    uint32_t rows[PEOPLE_MAX], elsewhere = 0;
    atomic_store(&s->disk_is_full, true); /* what moves stays in memory */
    add_change(s, kind, 1, 2);
    offer(s);
    EXPECT_I64(rows_by_person(s, rows), kind == EVENT_LINK ? 1 : 2);
    EXPECT_I64(rows[0], kind == EVENT_LINK ? MANY + 10 : 10);
    CHECK(heap_bytes(s->engine, &elsewhere) < SPILL_BYTES + 4 * 4096 * 40);
    CHECK(elsewhere > 5);
    EXPECT_I64(access(spill_path(s), F_OK), -1);
    atomic_store(&s->disk_is_full, false);
    CHECK(engine_flush(&s->ctx, s->engine) == ERR_OK);
    EXPECT_I64(rows_by_person(s, rows), kind == EVENT_LINK ? 1 : 2);
    EXPECT_I64(stat_of(s).memory_parts, 0);
    EXPECT_I64((int64_t)stat_of(s).events, MANY + 10);
}

TEST(a_person_with_very_many_rows_is_moved_in_bounded_memory_and_back_again)
{
    Store s;
    store_open(&s, (EngineOptions){.slice_rows = 4096, .flush_bytes = SPILL_BYTES, .fan = 3});
    add_events(&s, 1, 10);
    add_events(&s, 2, MANY);
    offer(&s);
    CHECK(engine_settle(&s.ctx, s.engine) == ERR_OK);
    move_many(&s, EVENT_LINK);
    CHECK(engine_settle(&s.ctx, s.engine) == ERR_OK);
    move_many(&s, EVENT_UNLINK);
    CHECK(engine_settle(&s.ctx, s.engine) == ERR_OK);
    EXPECT_I64((int64_t)stat_of(&s).dead_rows, 0);
    store_close(&s);
}

TEST(rows_that_cannot_be_written_elsewhere_stay_in_memory)
{
    uint32_t rows[PEOPLE_MAX], elsewhere = 0;
    Store s;
    store_open(&s, (EngineOptions){.slice_rows = 1024, .flush_bytes = SPILL_BYTES});
    add_events(&s, 1, 10);
    add_events(&s, 2, MANY / 4);
    offer(&s);
    CHECK(engine_settle(&s.ctx, s.engine) == ERR_OK);
    CHECK(mkdir(spill_path(&s), 0700) == 0); /* in the way */
    atomic_store(&s.disk_is_full, true);
    add_change(&s, EVENT_LINK, 1, 2);
    offer(&s);
    EXPECT_I64(rows_by_person(&s, rows), 1);
    EXPECT_I64(rows[0], MANY / 4 + 10);
    CHECK(heap_bytes(s.engine, &elsewhere) > SPILL_BYTES);
    EXPECT_I64(elsewhere, 0);
    CHECK(rmdir(spill_path(&s)) == 0);
    atomic_store(&s.disk_is_full, false);
    store_close(&s);
}

/* ---- questions meanwhile ------------------------------------------------------------------------------ */

enum { VERY_MANY = ENGINE_MOVES_AT_ONCE + 20000 };

/* Whoever asks in the middle of a move, which waits for the answer. */
typedef struct Asker {
    Store *store;
    uint32_t persons, rows[2];
    atomic_int asked, answered;
} Asker;
static Asker asker;
static void (*const NOTHING)(void);

static void *ask_in_the_middle(void *arg)
{
    (void)arg;
    uint32_t rows[PEOPLE_MAX] = {0};
    Schema *names = engine_schema_lock(asker.store->engine);
    CHECK(schema_find_event(names, STR("Seen")) != 0);
    engine_schema_unlock(asker.store->engine);
    asker.persons = rows_by_person(asker.store, rows);
    memcpy(asker.rows, rows, sizeof asker.rows);
    atomic_store(&asker.answered, 1);
    return NULL;
}

/* Called where the move writes what fills memory. */
static void wait_for_an_answer(void)
{
    Engine *e = asker.store->engine;
    pthread_t thread;
    (void)pthread_mutex_lock(&e->lock);
    const bool is_moving = e->before != NULL && pthread_equal(pthread_self(), e->applier);
    (void)pthread_mutex_unlock(&e->lock);
    if (!is_moving || atomic_fetch_add(&asker.asked, 1) > 0)
        return;
    CHECK(pthread_create(&thread, NULL, ask_in_the_middle, NULL) == 0);
    for (int i = 0; i < 20000 && atomic_load(&asker.answered) == 0; i++)
        (void)usleep(1000);
    CHECK(atomic_load(&asker.answered) == 1);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void expect_answer_meanwhile(Store *s, EventKind kind, uint32_t persons, uint32_t rows)
{
    uint32_t after[PEOPLE_MAX] = {0};
    asker = (Asker){.store = s};
    add_change(s, kind, 1, kind == EVENT_ERASE ? 0 : 2);
    add_events(s, 3, 5); /* behind it */
    kit_before_change = wait_for_an_answer;
    offer(s);
    CHECK(engine_flush(&s->ctx, s->engine) == ERR_OK); /* waits for all of it */
    kit_before_change = NOTHING;
    EXPECT_I64(atomic_load(&asker.answered), 1);
    EXPECT_I64(asker.persons, persons); /* as it was */
    EXPECT_I64(asker.rows[0], rows);
    (void)rows_by_person(s, after);
    CHECK(after[0] != rows);
    CHECK(s->engine->before == NULL);
}

TEST(whoever_asks_while_very_many_rows_are_moved_gets_what_was_there_before_at_once)
{
    Store s;
    store_open(&s, (EngineOptions){.slice_rows = 4096, .flush_bytes = SPILL_BYTES, .fan = 3});
    add_events(&s, 1, 10);
    add_events(&s, 2, VERY_MANY);
    add_events(&s, 3, 5);
    offer(&s);
    CHECK(engine_settle(&s.ctx, s.engine) == ERR_OK);
    expect_answer_meanwhile(&s, EVENT_LINK, 3, 10);
    CHECK(engine_settle(&s.ctx, s.engine) == ERR_OK);
    expect_answer_meanwhile(&s, EVENT_UNLINK, 2, VERY_MANY + 10);
    store_close(&s);
}

TEST(what_a_power_cut_left_of_a_move_is_removed_by_the_next_start)
{
    Store s;
    store_open(&s, (EngineOptions){0});
    add_events(&s, 1, 10);
    offer(&s);
    engine_close(s.engine);
    CHECK(file_replace(&s.ctx, str_of(s.path), STR("spill.part"), STR("half of a slice")) ==
          ERR_OK);
    store_start(&s);
    EXPECT_I64(access(spill_path(&s), F_OK), -1);
    EXPECT_I64((int64_t)stat_of(&s).events, 10);
    store_close(&s);
}

/* ---- a storm of links ----------------------------------------------------------------------------------- */

enum { EACH = 50, PAIRS = 200, ROWS_MAX = 1000, SLICE = 256 };

/* PAIRS persons, and as many who shall join them. */
static void open_storm(Store *s)
{
    store_open(
        s, (EngineOptions){.slice_rows = SLICE, .flush_rows = 500, .memory_rows_max = ROWS_MAX});
    for (uint32_t i = 0; i < 2 * PAIRS; i++) {
        add_events(s, i, EACH);
        offer(s);
    }
    CHECK(engine_settle(&s->ctx, s->engine) == ERR_OK);
    for (uint32_t i = 0; i < PAIRS; i++)
        add_change(s, EVENT_LINK, i, PAIRS + i);
}

static bool waits(Store *s, uint64_t ignored)
{
    (void)ignored;
    (void)pthread_mutex_lock(&s->engine->lock);
    const bool waits = s->engine->waits_for_room && s->engine->keeper_err != ERR_OK;
    (void)pthread_mutex_unlock(&s->engine->lock);
    return waits;
}

TEST(a_batch_of_links_waits_between_two_of_them_while_memory_is_full_and_questions_do_not)
{
    uint32_t rows[PEOPLE_MAX];
    Store s;
    open_storm(&s);
    atomic_store(&s.disk_is_full, true);
    offer(&s);
    CHECK(wait_until(&s, waits, 0));
    EXPECT_I64(stat_of(&s).memory_rows <= ROWS_MAX + SLICE + EACH, 1);
    const uint32_t persons = rows_by_person(&s, rows);
    CHECK(persons > PAIRS && persons < 2 * PAIRS);
    for (uint32_t i = 0; i < persons; i++)
        CHECK(rows[i] == EACH || rows[i] == 2 * EACH);
    atomic_store(&s.disk_is_full, false);
    CHECK(wait_until(&s, is_durable, 2 * PAIRS * EACH + 2));
    EXPECT_I64(rows_by_person(&s, rows), PAIRS);
    EXPECT_I64((int64_t)stat_of(&s).events, 2 * PAIRS * EACH);
    store_close(&s);
}

TEST(what_a_close_finds_waiting_is_offered_again_by_the_next_start)
{
    uint32_t rows[PEOPLE_MAX];
    Store s;
    open_storm(&s);
    atomic_store(&s.disk_is_full, true);
    Buf kept = BUF_MAX(1 << 28);
    buf_add(&kept, buf_str(&s.records));
    const uint64_t first = engine_next_seq(s.engine);
    offer(&s);
    CHECK(wait_until(&s, waits, 0));
    const int64_t from_us = clock_mono_us();
    engine_close(s.engine);
    CHECK(clock_mono_us() - from_us < 20000000);
    atomic_store(&s.disk_is_full, false);
    store_start(&s);
    CHECK(engine_next_seq(s.engine) >= first && engine_next_seq(s.engine) < first + PAIRS);
    CHECK(engine_offer(s.engine, first, PAIRS, buf_str(&kept)));
    EXPECT_I64(rows_by_person(&s, rows), PAIRS);
    EXPECT_I64((int64_t)stat_of(&s).events, 2 * PAIRS * EACH);
    buf_free(&kept);
    store_close(&s);
}

TEST(columns_that_are_looked_at_say_that_links_found_no_room)
{
    Store s;
    open_storm(&s);
    engine_close(s.engine);
    s.options.read_only = true;
    store_start(&s);
    CHECK(engine_offer_now(s.engine, engine_next_seq(s.engine), s.count, buf_str(&s.records)));
    engine_set_complete(s.engine);
    engine_view_done(engine_view(s.engine));
    CHECK(!engine_is_complete(s.engine, 0, NULL));
    CHECK(!engine_offer_now(s.engine, engine_next_seq(s.engine), s.count, buf_str(&s.records)));
    EXPECT_I64(stat_of(&s).memory_rows <= ROWS_MAX + SLICE + EACH, 1);
    store_close(&s);
}

/* ---- when a flush is due ---------------------------------------------------------------------------------- */

TEST(links_without_events_make_a_flush_due)
{
    Store s;
    store_open(&s, (EngineOptions){.flush_changes = 20});
    for (uint32_t i = 0; i < 19; i++)
        add_change(&s, EVENT_LINK, i, 100 + i);
    offer(&s);
    engine_view_done(engine_view(s.engine));
    (void)usleep(50000);
    CHECK(!is_durable(&s, 2));
    add_change(&s, EVENT_LINK, 19, 119);
    add_change(&s, EVENT_LINK, 20, 120);
    offer(&s);
    CHECK(wait_until(&s, is_durable, 21));
    store_close(&s);
}

TEST(events_that_come_again_and_again_make_a_flush_due)
{
    Store s;
    store_open(&s, (EngineOptions){.flush_bytes = 4096});
    for (uint32_t i = 0; i < 400; i++) { /* more than 16 KiB, and one row */
        s.ids = 0;
        add_events(&s, 1, 1);
    }
    offer(&s);
    CHECK(wait_until(&s, is_durable, 401));
    EXPECT_I64((int64_t)stat_of(&s).repeated, 399);
    store_close(&s);
}

TEST(rows_that_links_moved_go_to_files_once_nothing_more_comes)
{
    Store s;
    store_open(&s, (EngineOptions){.flush_rows = 1600});
    add_events(&s, 1, 200);
    add_events(&s, 2, 200);
    offer(&s);
    CHECK(engine_flush(&s.ctx, s.engine) == ERR_OK);
    add_change(&s, EVENT_LINK, 1, 2);
    offer(&s);
    CHECK(wait_until(&s, is_durable, 402));
    store_close(&s);
}

static bool has_no_dead(Store *s, uint64_t ignored)
{
    (void)ignored;
    return stat_of(s).dead_rows == 0;
}

/* Not even one of eight, which would be merged away at once: but the rows of small files may not stay for long. */
TEST(few_dead_rows_leave_their_file_after_a_while)
{
    Store s;
    store_open(&s, (EngineOptions){0});
    add_events(&s, 1, 20000);
    add_events(&s, 2, 300);
    offer(&s);
    CHECK(engine_settle(&s.ctx, s.engine) == ERR_OK);
    add_change(&s, EVENT_ERASE, 2, 0);
    offer(&s);
    CHECK(engine_flush(&s.ctx, s.engine) == ERR_OK);
    EXPECT_I64((int64_t)stat_of(&s).dead_rows, 300);
    CHECK(wait_until(&s, has_no_dead, 0));
    EXPECT_I64((int64_t)stat_of(&s).events, 20000);
    store_close(&s);
}
