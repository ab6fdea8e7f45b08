/*
 * engine/engine_read_test.c -- whatever properties events have, in whatever order, of whatever length: each value is in
 * its column, and nothing else is.
 */
#include "engine/engine.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/test.h"

#include <stdlib.h>
#include <unistd.h>

enum { ROUNDS = 12, EVENTS = 400, NAMES = 4, PROPS = 40, TEXTS = 60, ACTORS = 50 };

/* One property: where it stands, and what its first value was. */
typedef struct Prop {
    Str name;
    SchemaSpace space;
    EventType type;
    uint64_t sum; /* of its values so far: their fingerprints */
} Prop;

typedef struct Reading {
    char path[64];
    Ctx ctx;
    Prng random;
    Engine *engine;
    Arena *words;
    Str text[TEXTS], name[NAMES];
    EventActor actor[ACTORS];
    Prop prop[PROPS];
    uint64_t stores, sources; /* as Prop.sum */
    uint32_t count;
} Reading;

static uint32_t below(Reading *r, uint32_t n)
{
    return (uint32_t)prng_below(&r->random, n);
}

/* The number and up to `max` letters. */
static Str random_text(Reading *r, uint32_t number, uint32_t max)
{
    char bytes[64];
    const uint32_t len = below(r, max + 1);
    CHECK(len <= sizeof bytes);
    for (uint32_t i = 0; i < len; i++)
        bytes[i] = (char)('a' + below(r, 26));
    return arena_printf(r->words, "%u%.*s", number, (int)len, bytes);
}

static void make_words(Reading *r)
{
    static const EventType types[] = {EVENT_TEXT, EVENT_TEXT,  EVENT_TEXT, EVENT_NUMBER,
                                      EVENT_BOOL, EVENT_MONEY, EVENT_TIME};
    for (uint32_t i = 1; i < TEXTS; i++) /* the first one is empty */
        r->text[i] = random_text(r, i, 40);
    for (uint32_t i = 0; i < NAMES; i++)
        r->name[i] = random_text(r, i, i % 2 == 0 ? 6 : 40);
    for (uint32_t i = 1; i < ACTORS; i++) /* the first one is nobody */
        r->actor[i] = (EventActor){random_text(r, 1, 8), random_text(r, i, 20)};
    for (uint32_t i = 0; i < PROPS; i++) { /* each name stands in both spaces */
        r->prop[i] = (Prop){.space = i % 2 == 0 ? SCHEMA_EVENT : SCHEMA_CONTEXT,
                            .type = types[below(r, ARRAY_LEN(types))]};
        r->prop[i].name = i % 2 == 1 ? r->prop[i - 1].name : random_text(r, i, 30);
    }
}

/* ---- events ---------------------------------------------------------------------------------------- */

static uint64_t mixed(uint64_t row, uint64_t value)
{
    return hash_u64(value, row);
}

static uint64_t add_text(Reading *r, EventBuilder *b, Str name)
{
    const Str text = r->text[below(r, TEXTS)];
    event_prop_text(b, name, text);
    return hash_bytes(text, 3);
}

/* A value of the type; gives what stands for it. */
static uint64_t add_value(Reading *r, EventBuilder *b, Str name, EventType type)
{
    const int64_t n = (int64_t)below(r, 1000000) - 500000;
    if (type == EVENT_TEXT)
        return add_text(r, b, name);
    if (type == EVENT_NUMBER)
        event_prop_decimal(b, name, n * 10, 3);
    else if (type == EVENT_MONEY)
        event_prop_money(b, name, n);
    else if (type == EVENT_TIME)
        event_prop_time(b, name, n);
    else
        event_prop_bool(b, name, n > 0);
    return (uint64_t)(type == EVENT_BOOL ? n > 0 : n);
}

/* Of one space: any of its properties in any order, or always the same; a few with values of another type, which have no
 * place. */
static void add_props(Reading *r, EventBuilder *b, SchemaSpace space, uint64_t row, bool all)
{
    static const uint32_t steps[] = {1, 3, 7}; /* each leads to all of them */
    const uint32_t first = all ? 0 : below(r, PROPS), step = all ? 1 : steps[below(r, 3)];
    for (uint32_t i = 0; i < PROPS; i++) {
        Prop *p = &r->prop[(first + i * step) % PROPS];
        const bool odd = !all && below(r, 20) == 0;
        if (p->space != space || (!all && below(r, 3) == 0))
            continue;
        if (odd)
            (void)add_value(r, b, p->name, p->type == EVENT_TEXT ? EVENT_BOOL : EVENT_TEXT);
        else
            p->sum += mixed(row, add_value(r, b, p->name, p->type));
    }
}

/* Its millisecond tells it from all others. */
static void add_event(Reading *r, bool all, Buf *out)
{
    const Str store = below(r, 2) == 0 ? STR("") : r->text[below(r, TEXTS)];
    const int64_t time_ms = INT64_C(1735574400000) + r->count * INT64_C(1001);
    const Event head = {.kind = EVENT_HAPPENED,
                        .source = below(r, 4) == 0 ? STR("till") : STR("a web page, or so"),
                        .id = arena_i64(r->ctx.arena, r->count),
                        .name = r->name[below(r, NAMES)],
                        .time_ms = time_ms,
                        .received_ms = time_ms + 5,
                        .actor = r->actor[below(r, ACTORS)],
                        .store = str_slice(store, 0, EVENT_STORE_BYTES_MAX)};
    const uint64_t row = hash_bytes(head.actor.value, (uint64_t)time_ms);
    Event e;
    EventBuilder *b = event_begin(&r->ctx, &head);
    add_props(r, b, SCHEMA_EVENT, row, all);
    event_context(b);
    add_props(r, b, SCHEMA_CONTEXT, row, all);
    CHECK(event_end(b, &e) == ERR_OK);
    event_encode(&e, out);
    r->sources += mixed(row, hash_bytes(head.source, 3));
    r->stores += head.store.len == 0 ? 0 : mixed(row, hash_bytes(head.store, 3));
    r->count++;
}

/* The first one pins all types. */
static void offer_some(Reading *r)
{
    Buf records = BUF_MAX(1 << 24);
    const uint64_t first_seq = engine_next_seq(r->engine);
    const uint32_t before = r->count, n = 1 + below(r, EVENTS);
    for (uint32_t i = 0; i < n; i++)
        add_event(r, r->count == 0 || below(r, 4) == 0, &records);
    CHECK(engine_offer(r->engine, first_seq, r->count - before, buf_str(&records)));
    buf_free(&records);
    arena_reset(r->ctx.arena);
}

/* ---- columns --------------------------------------------------------------------------------------- */

/* What stands for the values of all rows; `texts` NULL: of numbers. */
static uint64_t sum_of(Reading *r, const ScanView *view, const Schema *names, ScanProp prop)
{
    const ScanSelect all = {.from_ms = 0, .to_ms = INT64_MAX};
    const Dict *texts = schema_texts(names, prop.prop);
    Scanner *scanner = scanner_new(view, &(ScanAsk){&all, 1, &prop, 1, false});
    ScanBatch b;
    uint64_t sum = 0;
    uint32_t rows = 0;
    for (uint32_t piece = 0; piece < scan_pieces(view); piece++) {
        if (!scanner_batch(scanner, piece, &b))
            continue;
        for (uint32_t p = 0; p < b.person_count; p++)
            for (uint32_t at = b.from[p]; at < b.from[p + 1]; at++, rows++) {
                const int64_t time_ms = scanner_base_ms(scanner) + scan_ms(&b, at);
                const Str who = schema_actor_of(names, b.persons[p]).value;
                const int64_t v = b.values[0][at];
                if (v != SCAN_MISSING)
                    sum += mixed(hash_bytes(who, (uint64_t)time_ms),
                                 texts == NULL ? (uint64_t)v
                                               : hash_bytes(dict_text(texts, (uint32_t)v), 3));
            }
    }
    EXPECT_I64(rows, r->count);
    scanner_free(scanner);
    return sum;
}

static void expect_columns(Reading *r)
{
    ScanView *view = engine_view(r->engine);
    const Schema *names = engine_schema_lock(r->engine);
    for (uint32_t i = 0; i < PROPS; i++) {
        const SchemaProp *p = schema_find_prop(names, r->prop[i].space, r->prop[i].name);
        CHECK(p != NULL && p->type == r->prop[i].type);
        const uint8_t scale = p->type == EVENT_NUMBER ? 2 : 0;
        CHECK(sum_of(r, view, names, (ScanProp){p->id, scale}) == r->prop[i].sum);
    }
    CHECK(sum_of(r, view, names, (ScanProp){PROP_STORE, 0}) == r->stores);
    CHECK(sum_of(r, view, names, (ScanProp){PROP_SOURCE, 0}) == r->sources);
    engine_schema_unlock(r->engine);
    engine_view_done(view);
}

static void reading_open(Reading *r, uint64_t seed)
{
    const EngineOptions small = {
        .origin_ms = INT64_C(1735574400000), .slice_rows = 300, .flush_rows = 1000, .fan = 3};
    *r = (Reading){.path = "/tmp/engine_read_test.XXXXXX",
                   .ctx.arena = arena_new(1 << 16),
                   .words = arena_new(1 << 16),
                   .random = prng_of(seed)};
    CHECK(mkdtemp(r->path) != NULL);
    log_setup(LOG_OFF, false);
    CHECK(engine_open(&r->ctx, str_of(r->path), &small, &r->engine) == ERR_OK);
    make_words(r);
}

static void reading_close(Reading *r)
{
    Str *names = NULL;
    size_t n = 0;
    engine_close(r->engine);
    CHECK(file_list(&r->ctx, str_of(r->path), &names, &n) == ERR_OK);
    for (size_t i = 0; i < n; i++)
        CHECK(file_remove(&r->ctx, str_of(r->path), names[i]) == ERR_OK);
    CHECK(rmdir(r->path) == 0);
    arena_free(r->words);
    arena_free(r->ctx.arena);
}

TEST(every_value_is_in_its_column_whatever_events_have_in_whatever_order)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        Reading r;
        reading_open(&r, seed);
        for (int round = 0; round < ROUNDS; round++) {
            offer_some(&r);
            if (round % 4 == 3)
                expect_columns(&r);
        }
        reading_close(&r);
    }
}
