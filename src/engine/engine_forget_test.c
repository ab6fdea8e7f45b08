/*
 * engine/engine_forget_test.c -- whoever was erased leaves no byte in any file, and nobody else changes: against a list of
 * all events and the texts that they brought; at a crash before every write, beside events that come meanwhile.
 */
#include "engine/engine.h"
#include "engine/engine_testkit.h"
#include "engine/merge.h"
#include "engine/names/schema_unused.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/test_folder.h"
#include "events/crc32c.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { RECORDS_MAX = 8000, KEYS = 40, SHARED = 12, OWN = 6, TEXTS_MAX = 7, WEEKS = 3 };

static const EngineOptions SMALL = {
    .origin_ms = INT64_C(1735574400000), .slice_rows = 64, .flush_rows = 300, .fan = 3};

/* ---- the list ------------------------------------------------------------------------------------- */

/* A text is known by its number: those of a key's own are its alone, the first ones everybody's, behind all the keys
 * themselves. */
enum { TEXTS = SHARED + KEYS * OWN, ALL_TEXTS = TEXTS + KEYS };

typedef struct Happened {
    uint32_t key; /* of KEYS */
    uint32_t texts[TEXTS_MAX];
    uint32_t text_count;
    bool gone;
} Happened;

typedef struct World {
    char path[64];
    Ctx ctx;
    Prng random;
    Engine *engine;
    Buf records;
    size_t at[RECORDS_MAX + 1];
    uint32_t count;
    Happened happened[RECORDS_MAX];
    uint32_t happened_count;
    uint32_t again; /* of 100 texts so many are everybody's */
} World;

static uint32_t below(World *w, uint32_t n)
{
    return (uint32_t)prng_below(&w->random, n);
}

/* Of a length that no place has room for in itself, or of one that has; and not part of another. */
static Str text_of(Arena *arena, uint32_t text)
{
    const uint64_t hash = hash_u64(text, 99);
    return text % 2 == 0 ? arena_printf(arena, "<%08x>", (unsigned)hash)
                         : arena_printf(arena, "<the text with the number %016" PRIx64 ">", hash);
}

/* One that the event brings. */
static Str some_text(World *w, Happened *h)
{
    const bool own = h->key > 0 && below(w, 100) >= w->again;
    const uint32_t text = own ? SHARED + h->key * OWN + below(w, OWN) : below(w, SHARED);
    h->texts[h->text_count++] = text;
    return text_of(w->ctx.arena, text);
}

static EventActor actor_of(World *w, uint32_t key)
{
    return key == 0 ? (EventActor){STR(""), STR("")}
                    : (EventActor){STR("card"), text_of(w->ctx.arena, TEXTS + key)};
}

static Event head_of(World *w, EventKind kind, uint32_t key)
{
    return (Event){.kind = kind,
                   .source = STR("web"),
                   .id = arena_printf(w->ctx.arena, "id-%u", w->count),
                   .time_ms = SMALL.origin_ms,
                   .received_ms = SMALL.origin_ms,
                   .actor = actor_of(w, key)};
}

static void add_record(World *w, EventBuilder *b)
{
    Event e;
    CHECK(event_end(b, &e) == ERR_OK && w->count < RECORDS_MAX);
    event_encode(&e, &w->records);
    w->at[++w->count] = w->records.len;
}

/* The text stands wherever one can stand. */
static void add_event(World *w)
{
    Happened *h = &w->happened[w->happened_count++];
    *h = (Happened){.key = below(w, KEYS)};
    const bool said = h->key > 0 && below(w, 6) == 0;
    Event head = head_of(w, said ? EVENT_PERSON : EVENT_HAPPENED, h->key);
    head.time_ms += (int64_t)below(w, WEEKS) * PART_WEEK_MS + below(w, 100000);
    if (!said && below(w, 4) == 0)
        head.name = some_text(w, h);
    else
        head.name = said ? STR("") : STR("Seen");
    if (!said && below(w, 4) == 0)
        head.store = some_text(w, h);
    EventBuilder *b = event_begin(&w->ctx, &head);
    event_prop_i64(b, STR("n"), w->happened_count);
    if (below(w, 2) == 0)
        event_prop_text(b, STR("channel"), some_text(w, h));
    if (below(w, 9) == 0) /* a property of their own */
        event_prop_i64(b, some_text(w, h), 1);
    if (below(w, 3) == 0) {
        const Str tag = some_text(w, h);
        event_prop_texts(b, STR("tags"), &tag, 1);
    }
    if (below(w, 3) == 0) {
        event_items_begin(b, STR("lines"));
        event_item(b);
        event_prop_text(b, STR("sku"), some_text(w, h));
        if (below(w, 9) == 0)
            event_prop_i64(b, some_text(w, h), 1);
        event_items_end(b);
    }
    add_record(w, b);
}

static void erase_key(World *w, uint32_t key)
{
    const Event head = head_of(w, EVENT_ERASE, key);
    add_record(w, event_begin(&w->ctx, &head));
    for (uint32_t i = 0; i < w->happened_count; i++)
        w->happened[i].gone |= w->happened[i].key == key;
}

static void link_keys(World *w, EventKind kind)
{
    Event head = head_of(w, kind, 1 + below(w, KEYS - 1));
    head.other = actor_of(w, 1 + below(w, KEYS - 1));
    /* Who is known only by a link has a key, too: here everybody has an event. */
    if (!str_eq(head.actor.value, head.other.value))
        add_record(w, event_begin(&w->ctx, &head));
}

static void add_records(World *w, uint32_t n, uint32_t changes_of_100)
{
    for (uint32_t i = 0; i < n; i++) {
        if (below(w, 100) >= changes_of_100)
            add_event(w);
        else if (below(w, 4) == 0)
            link_keys(w, EVENT_UNLINK);
        else
            link_keys(w, EVENT_LINK);
    }
}

/* So that the keys that are left stand in the names. */
static void add_event_of_each(World *w)
{
    for (uint32_t key = 1; key < KEYS; key++) {
        const Event head = head_of(w, EVENT_PERSON, key);
        EventBuilder *b = event_begin(&w->ctx, &head);
        event_prop_i64(b, STR("n"), key);
        add_record(w, b);
        w->happened[w->happened_count++] = (Happened){.key = key};
    }
}

static void offer_rest(World *w)
{
    for (uint64_t next = engine_next_seq(w->engine); next <= w->count;) {
        const uint32_t left = w->count - (uint32_t)next + 1, some = 1 + below(w, 100);
        const uint32_t n = some < left ? some : left;
        CHECK(engine_offer(w->engine, next, n,
                           str_slice(buf_str(&w->records), w->at[next - 1], w->at[next - 1 + n])));
        next += n;
    }
}

/* ---- comparing ------------------------------------------------------------------------------------ */

static void find_alive(const World *w, bool alive[ALL_TEXTS])
{
    memset(alive, 0, ALL_TEXTS * sizeof *alive);
    for (uint32_t i = 0; i < w->happened_count; i++) {
        const Happened *h = &w->happened[i];
        alive[TEXTS + h->key] |= !h->gone && h->key > 0;
        for (uint32_t t = 0; t < h->text_count && !h->gone; t++)
            alive[h->texts[t]] = true;
    }
}

static bool is_in_a_file(World *w, Str folder, Str text)
{
    Str *names = NULL, bytes;
    size_t n = 0;
    bool found = false;
    CHECK(file_list(&w->ctx, folder, &names, &n) == ERR_OK);
    for (size_t i = 0; i < n; i++) {
        CHECK(file_load(&w->ctx, folder, names[i], 1 << 26, &bytes) == ERR_OK);
        found |= bytes.len > 0 && memmem(bytes.ptr, bytes.len, text.ptr, text.len) != NULL;
    }
    return found;
}

/* How many texts are gone.  Of each text of somebody who is there, and of no other, there are bytes. */
static uint32_t expect_files(World *w)
{
    bool alive[ALL_TEXTS];
    uint32_t gone = 0;
    find_alive(w, alive);
    for (uint32_t t = 0; t < ALL_TEXTS; t++) {
        const bool found = is_in_a_file(w, str_of(w->path), text_of(w->ctx.arena, t));
        if (found != alive[t])
            fprintf(stderr, "text %u %s\n", t, found ? "is left" : "is lost");
        EXPECT_I64(found, alive[t]);
        gone += !alive[t];
        arena_reset(w->ctx.arena);
    }
    return gone;
}

typedef struct Seen {
    uint64_t sum;
    uint32_t rows;
} Seen;

static uint64_t hash_text(Schema *names, uint32_t prop, int64_t code)
{
    return code == SCAN_MISSING ? 1 : hash_bytes(schema_text(names, prop, (uint32_t)code), 3);
}

static uint32_t id_of(const SchemaProp *p)
{
    return p == NULL ? PROP_NONE : p->id;
}

enum { LOOK_PROPS = 4 }; /* texts, and the last a number */

static uint64_t hash_row(Schema *names, const ScanBatch *b, const ScanProp *props, uint32_t person,
                         uint32_t row)
{
    uint64_t sum = hash_bytes(schema_event_name(names, b->events[row]), 1);
    sum += hash_bytes(schema_actor_of(names, b->persons[person]).value, 2) * 3;
    for (uint32_t i = 0; i + 1 < LOOK_PROPS; i++)
        sum = hash_u64(sum + hash_text(names, props[i].prop, b->values[i][row]), i);
    return hash_u64(sum, (uint64_t)b->values[LOOK_PROPS - 1][row]);
}

/* All events, with what they are and whose in words. */
static Seen look(World *w)
{
    Seen seen = {0};
    ScanView *view = engine_view(w->engine);
    Schema *names = engine_schema_lock(w->engine);
    const ScanProp props[LOOK_PROPS] = {
        {PROP_SOURCE, 0},
        {PROP_STORE, 0},
        {id_of(schema_find_prop(names, SCHEMA_EVENT, STR("channel"))), 0},
        {id_of(schema_find_prop(names, SCHEMA_EVENT, STR("n"))), 6}};
    const ScanSelect all = {.from_ms = 0, .to_ms = INT64_MAX};
    Scanner *scanner = scanner_new(view, &(ScanAsk){&all, 1, props, LOOK_PROPS, true});
    ScanBatch b;
    for (uint32_t piece = 0; piece < scan_pieces(view); piece++) {
        if (!scanner_batch(scanner, piece, &b))
            continue;
        seen.rows += b.from[b.person_count];
        for (uint32_t p = 0; p < b.person_count; p++)
            for (uint32_t row = b.from[p]; row < b.from[p + 1]; row++)
                seen.sum += hash_row(names, &b, props, p, row) +
                            (uint64_t)(scanner_base_ms(scanner) + scan_ms(&b, row));
    }
    CHECK(scanner_damaged(scanner) == 0);
    scanner_free(scanner);
    engine_schema_unlock(w->engine);
    engine_view_done(view);
    return seen;
}

static void expect_same(World *w, Seen want)
{
    const Seen seen = look(w);
    EXPECT_I64(seen.rows, want.rows);
    CHECK(seen.sum == want.sum);
}

static void expect_nobody_waits(World *w, bool nobody)
{
    EngineHealth h;
    engine_health(w->engine, &h);
    EXPECT_I64(h.erased_waiting == 0, nobody);
    EXPECT_I64(h.erased_since_ms == 0, nobody);
}

/* ---- the folder ----------------------------------------------------------------------------------- */

static void start(World *w)
{
    CHECK(engine_open(&w->ctx, str_of(w->path), &SMALL, &w->engine) == ERR_OK);
}

static World *world_new(uint64_t seed)
{
    World *w = calloc(1, sizeof *w);
    CHECK(w != NULL);
    *w = (World){.path = "/tmp/engine_forget.XXXXXX",
                 .ctx.arena = arena_new(1 << 16),
                 .random = prng_of(seed),
                 .records = BUF_MAX(1 << 28),
                 .again = 30};
    CHECK(mkdtemp(w->path) != NULL);
    log_setup(LOG_OFF, false);
    start(w);
    add_event_of_each(w);
    return w;
}

static void world_free(World *w)
{
    engine_close(w->engine);
    test_remove_folder(str_of(w->path));
    buf_free(&w->records);
    arena_free(w->ctx.arena);
    free(w);
}

static void reopen(World *w)
{
    engine_close(w->engine);
    start(w);
}

static void something(World *w, uint32_t what)
{
    if (what == 0)
        CHECK(engine_flush(&w->ctx, w->engine) == ERR_OK);
    else if (what == 1)
        CHECK(engine_settle(&w->ctx, w->engine) == ERR_OK);
    else if (what == 2)
        reopen(w);
}

static Err forget(World *w)
{
    return engine_forget(&w->ctx, w->engine, NULL, NULL);
}

TEST(whoever_is_erased_leaves_no_byte_in_any_file_and_nobody_else_changes)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        World *w = world_new(seed);
        uint32_t gone = 0;
        for (int round = 0; round < 12; round++) {
            add_records(w, 1 + below(w, 120), seed % 3 == 0 ? 0 : 8);
            offer_rest(w);
            something(w, below(w, 5));
            if (round % 4 != 3)
                continue;
            for (uint32_t n = 1 + below(w, 3); n > 0; n--)
                erase_key(w, 1 + below(w, KEYS - 1));
            offer_rest(w);
            something(w, below(w, 5));
            const Seen seen = look(w);
            CHECK(forget(w) == ERR_OK);
            expect_nobody_waits(w, true);
            gone = expect_files(w);
            expect_same(w, seen);
            reopen(w);
            expect_same(w, seen);
            expect_nobody_waits(w, true);
        }
        CHECK(gone > 3);
        world_free(w);
    }
}

TEST(who_comes_again_with_an_erased_key_or_a_forgotten_text_is_as_new)
{
    World *w = world_new(50);
    w->again = 0; /* nobody shares a text */
    for (int round = 0; round < 6; round++) {
        add_records(w, 200, 5);
        offer_rest(w);
        for (uint32_t key = 1; key < KEYS; key += 3)
            erase_key(w, key);
        offer_rest(w);
        const Seen seen = look(w);
        CHECK(forget(w) == ERR_OK);
        CHECK(expect_files(w) > KEYS);
        expect_same(w, seen);
        if (round % 2 == 0)
            reopen(w);
    }
    world_free(w);
}

/* An event of the key with a source and a store of the text. */
static void add_event_at(World *w, uint32_t key, uint32_t text)
{
    Event head = head_of(w, EVENT_HAPPENED, key);
    head.name = STR("Seen");
    head.store = text_of(w->ctx.arena, text);
    w->happened[w->happened_count++] = (Happened){.key = key, .texts = {text}, .text_count = 1};
    add_record(w, event_begin(&w->ctx, &head));
    offer_rest(w);
}

TEST(a_text_that_came_last_and_was_forgotten_is_known_when_it_comes_next)
{
    World *w = world_new(55);
    const uint32_t text = 2 * (SHARED + OWN); /* that has room in its place */
    add_event_at(w, 1, text);
    erase_key(w, 1);
    offer_rest(w);
    CHECK(forget(w) == ERR_OK);
    CHECK(!is_in_a_file(w, str_of(w->path), text_of(w->ctx.arena, text)));
    add_event_at(w, 2, text);
    const Seen seen = look(w);
    CHECK(engine_flush(&w->ctx, w->engine) == ERR_OK);
    (void)expect_files(w);
    reopen(w);
    expect_same(w, seen);
    world_free(w);
}

static void add_event_with(World *w, uint32_t key, Str prop)
{
    Event head = head_of(w, EVENT_HAPPENED, key);
    head.name = STR("Seen");
    EventBuilder *b = event_begin(&w->ctx, &head);
    event_prop_bool(b, prop, true);
    add_record(w, b);
    offer_rest(w);
}

static bool knows_prop(World *w, Str name)
{
    const Schema *s = engine_schema_lock(w->engine);
    const bool known = schema_find_prop(s, SCHEMA_EVENT, name) != NULL;
    engine_schema_unlock(w->engine);
    return known;
}

TEST(a_property_that_was_forgotten_is_known_when_it_comes_next)
{
    World *w = world_new(56);
    add_event_with(w, 3, STR("even")); /* the events' name stays */
    add_event_with(w, 1, STR("odd"));
    erase_key(w, 1);
    offer_rest(w);
    CHECK(forget(w) == ERR_OK);
    CHECK(!knows_prop(w, STR("odd")));
    add_event_with(w, 2, STR("odd"));
    CHECK(engine_flush(&w->ctx, w->engine) == ERR_OK);
    CHECK(knows_prop(w, STR("odd")));
    world_free(w);
}

static const EnginePin PINS[] = {
    {.name = {"odd", 3}, .type = EVENT_NUMBER},
    {.name = {"lines", 5}, .type = EVENT_ITEMS},
    {.name = {"price", 5}, .type = EVENT_MONEY, .list = {"lines", 5}},
    {.name = {"price", 5}, .type = EVENT_TEXT, .list = {"nowhere", 7}},
};

static void reopen_pinned(World *w)
{
    EngineOptions pinned = SMALL;
    pinned.pins = PINS;
    pinned.pin_count = ARRAY_LEN(PINS);
    engine_close(w->engine);
    CHECK(engine_open(&w->ctx, str_of(w->path), &pinned, &w->engine) == ERR_OK);
}

/* What was kept aside of `name` of an event, or of a record of `lines`; its type. */
static SchemaAside aside_of(World *w, bool of_line, Str name, EventType *type)
{
    const Schema *s = engine_schema_lock(w->engine);
    const SchemaProp *lines = schema_find_prop(s, SCHEMA_EVENT, STR("lines"));
    const SchemaProp *p =
        of_line ? schema_find_field(s, lines, name) : schema_find_prop(s, SCHEMA_EVENT, name);
    CHECK(p != NULL);
    const SchemaAside aside = p->aside;
    *type = p->type;
    engine_schema_unlock(w->engine);
    return aside;
}

TEST(a_pinned_type_holds_from_the_start_through_forgetting_and_restarts)
{
    World *w = world_new(57);
    EventType type;
    for (int round = 0; round < 2; round++) {
        reopen_pinned(w);
        add_event_with(w, 3, STR("even")); /* the events' name stays */
        add_event_with(w, 1, STR("odd"));  /* a boolean */
        CHECK(engine_flush(&w->ctx, w->engine) == ERR_OK);
        const SchemaAside odd = aside_of(w, false, STR("odd"), &type);
        EXPECT_I64(type, EVENT_NUMBER);
        EXPECT_I64((int64_t)odd.other_type, 1);
        EXPECT_I64(odd.came_as, EVENT_BOOL);
        (void)aside_of(w, true, STR("price"), &type);
        EXPECT_I64(type, EVENT_MONEY);
        erase_key(w, 1);
        offer_rest(w);
        CHECK(forget(w) == ERR_OK);
        EXPECT_I64((int64_t)aside_of(w, false, STR("odd"), &type).other_type, 1);
        EXPECT_I64((int64_t)aside_of(w, false, STR("even"), &type).other_type, 0);
    }
    world_free(w);
}

/* Alone in columns of their kind, they would be bounds of these. */
static const int64_t AMOUNTS[] = {INT64_C(0x5a5b5c5d5e), -INT64_C(0x5a5b5c5d5e)};

static void add_amounts(World *w, uint32_t key, int64_t amount, int64_t price)
{
    Event head = head_of(w, EVENT_HAPPENED, key);
    head.name = w->count % 2 == 0 ? STR("Paid") : STR("Seen");
    EventBuilder *b = event_begin(&w->ctx, &head);
    event_prop_i64(b, STR("amount"), amount);
    event_items_begin(b, STR("lines"));
    event_item(b);
    event_prop_i64(b, STR("price"), price);
    event_items_end(b);
    add_record(w, b);
}

static bool has_amounts(World *w)
{
    bool found = false;
    for (size_t i = 0; i < ARRAY_LEN(AMOUNTS); i++)
        found |= is_in_a_file(w, str_of(w->path), (Str){(const char *)&AMOUNTS[i], 8});
    return found;
}

/* Whether it leaves memory, or an ordinary merge comes between. */
TEST(numbers_of_who_was_erased_bound_no_column_whatever_the_files_did_before)
{
    for (int how = 0; how < 3; how++) {
        World *w = world_new(57);
        for (uint32_t i = 0; i < 40; i++)
            add_amounts(w, 1 + (i > 3), i > 3 ? i : AMOUNTS[0], i > 3 ? i : AMOUNTS[1]);
        offer_rest(w);
        if (how > 0) {
            CHECK(engine_flush(&w->ctx, w->engine) == ERR_OK);
            CHECK(has_amounts(w));
        }
        erase_key(w, 1);
        offer_rest(w);
        if (how > 1)
            CHECK(engine_settle(&w->ctx, w->engine) == ERR_OK);
        const Seen seen = look(w);
        CHECK(forget(w) == ERR_OK);
        CHECK(!has_amounts(w));
        expect_same(w, seen);
        world_free(w);
    }
}

/* With more names than there are lists. */
TEST(a_merge_that_looks_at_every_value_makes_the_same_part_where_no_row_is_dead)
{
    for (uint32_t events = 20; events <= 420; events += 200) {
        const KitShape shape = {.rows = 20000, .persons = 4000, .events = events, .weeks = 1};
        Kit k;
        Buf made[2] = {BUF_MAX(PART_BYTES_MAX), BUF_MAX(PART_BYTES_MAX)};
        kit_open(&k, events, &shape, 5);
        for (int exact = 0; exact < 2; exact++)
            CHECK(parts_merge(&k.ctx,
                              &(PartsMerge){k.view.parts, k.view.part_count, NULL, MERGE_BYTES_MAX,
                                            NULL, exact != 0},
                              part_sink_buf, &made[exact]) == ERR_OK);
        EXPECT_I64((int64_t)made[1].len, (int64_t)made[0].len);
        CHECK(str_eq(buf_str(&made[0]), buf_str(&made[1])));
        buf_free(&made[0]);
        buf_free(&made[1]);
        kit_close(&k);
    }
}

/* Everything of who is left comes once more, as from a client that heard no answer. */
static uint32_t offer_again(World *w, uint32_t count)
{
    uint32_t again = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (w->happened[i].gone)
            continue;
        buf_add(&w->records,
                arena_copy(w->ctx.arena, str_slice(buf_str(&w->records), w->at[i], w->at[i + 1])));
        w->at[++w->count] = w->records.len;
        again++;
    }
    offer_rest(w);
    return again;
}

/* Whether rows of the erased leave a file or memory. */
TEST(what_comes_again_comes_in_once_also_where_somebody_was_erased)
{
    for (int flushed = 0; flushed < 2; flushed++) {
        World *w = world_new(58);
        add_records(w, 900, 0);
        const uint32_t count = w->count;
        offer_rest(w);
        if (flushed)
            CHECK(engine_flush(&w->ctx, w->engine) == ERR_OK);
        erase_key(w, 7);
        offer_rest(w);
        CHECK(forget(w) == ERR_OK);
        reopen(w);
        const Seen seen = look(w);
        const uint32_t again = offer_again(w, count);
        EngineStat stat;
        engine_view_done(engine_view(w->engine));
        engine_stat(w->engine, &stat);
        EXPECT_I64((int64_t)stat.repeated, again);
        expect_same(w, seen);
        world_free(w);
    }
}

static void put_u32(Buf *out, uint32_t v)
{
    buf_add(out, (Str){(const char *)&v, sizeof v});
}

static Err to_heap(Ctx *ctx, Str bytes, void *arg)
{
    (void)ctx;
    buf_add(arg, bytes);
    return ERR_OK;
}

/* As many actors as there can be; the last one is erased, and only it has a key. */
TEST(the_last_actor_that_can_be_is_forgotten_like_others)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    Schema *schema = schema_new(&SCHEMA_LIMITS);
    Buf names = BUF_MAX(1 << 28), left = BUF_MAX(1 << 28);
    put_u32(&names, 0);
    put_u32(&names, 0);
    for (uint32_t actor = 1; actor <= DICT_COUNT_MAX; actor++) {
        const Str key = actor < DICT_COUNT_MAX ? STR("") : (Str){"card\0last of all", 16};
        buf_add_char(&names, 'A');
        put_u32(&names, (uint32_t)key.len);
        buf_add(&names, key);
    }
    buf_add_char(&names, 'X');
    put_u32(&names, PART_BLOCK_PERSONS + DICT_COUNT_MAX - 1);
    put_u32(&names, 0);
    const uint32_t bytes = (uint32_t)names.len - 8;
    const uint32_t crc = crc32c_add(0, str_slice(buf_str(&names), 8, names.len));
    memcpy(names.ptr, &bytes, sizeof bytes);
    memcpy(names.ptr + 4, &crc, sizeof crc);
    Unused *unused = unused_new(schema);
    CHECK(unused_leave_out(&ctx, unused, buf_str(&names), to_heap, &left) == ERR_OK);
    CHECK(left.len > DICT_COUNT_MAX && memmem(left.ptr, left.len, "last of all", 11) == NULL);
    unused_free(unused);
    buf_free(&names);
    buf_free(&left);
    schema_free(schema);
    arena_free(ctx.arena);
}

TEST(that_somebody_waits_to_be_forgotten_is_known_after_a_start_and_since_when)
{
    World *w = world_new(60);
    add_records(w, 400, 0);
    offer_rest(w);
    CHECK(engine_flush(&w->ctx, w->engine) == ERR_OK);
    expect_nobody_waits(w, true);
    erase_key(w, 7);
    offer_rest(w);
    CHECK(engine_flush(&w->ctx, w->engine) == ERR_OK);
    expect_nobody_waits(w, false);
    EngineHealth before, after;
    engine_health(w->engine, &before);
    reopen(w);
    engine_health(w->engine, &after);
    EXPECT_I64(after.erased_waiting, 1);
    EXPECT_I64(after.erased_since_ms, before.erased_since_ms);
    CHECK(is_in_a_file(w, str_of(w->path), text_of(w->ctx.arena, TEXTS + 7)));
    CHECK(forget(w) == ERR_OK);
    (void)expect_files(w);
    world_free(w);
}

TEST(files_in_which_nobody_was_erased_are_not_written_again)
{
    World *w = world_new(70);
    add_records(w, 900, 0);
    offer_rest(w);
    CHECK(engine_settle(&w->ctx, w->engine) == ERR_OK);
    EngineStat before, after;
    engine_stat(w->engine, &before);
    CHECK(forget(w) == ERR_OK);
    engine_stat(w->engine, &after);
    EXPECT_I64((int64_t)after.bytes_written, (int64_t)before.bytes_written);
    world_free(w);
}

static void (*const NOTHING)(void) = NULL;

/* ---- events that come meanwhile --------------------------------------------------------------------- */

/* Held by whoever brings; the threads that write for him bring nothing. */
static pthread_mutex_t bringing = PTHREAD_MUTEX_INITIALIZER;
static World *busy; /* under it */

static void set_busy(World *w)
{
    (void)pthread_mutex_lock(&bringing);
    busy = w;
    (void)pthread_mutex_unlock(&bringing);
}

static void bring_to(World *w)
{
    const uint32_t first = w->count;
    w->happened[w->happened_count++] =
        (Happened){.key = 2, .texts = {SHARED + OWN}, .text_count = 1};
    Event head = head_of(w, EVENT_HAPPENED, 2);
    head.name = STR("Seen");
    EventBuilder *b = event_begin(&w->ctx, &head);
    event_prop_text(b, STR("channel"), text_of(w->ctx.arena, SHARED + OWN));
    add_record(w, b);
    CHECK(engine_offer(w->engine, first + 1, 1,
                       str_slice(buf_str(&w->records), w->at[first], w->at[first + 1])));
    engine_view_done(engine_view(w->engine));
}

/* Whoever shares a text with the erased comes just before the round ends. */
static void bring_texts(void)
{
    if (pthread_mutex_trylock(&bringing) != 0)
        return;
    World *w = busy;
    busy = NULL;
    if (w != NULL && w->count <= 1500)
        bring_to(w);
    (void)pthread_mutex_unlock(&bringing);
}

TEST(a_text_that_somebody_brings_while_it_is_being_forgotten_stays)
{
    World *w = world_new(80);
    for (uint32_t key = 1; key <= 2; key++) {
        w->happened[w->happened_count++] =
            (Happened){.key = key, .texts = {SHARED + key * OWN}, .text_count = 1};
        Event head = head_of(w, EVENT_HAPPENED, key);
        head.name = STR("Seen");
        EventBuilder *b = event_begin(&w->ctx, &head);
        event_prop_text(b, STR("channel"), text_of(w->ctx.arena, SHARED + key * OWN));
        add_record(w, b);
    }
    erase_key(w, 1);
    offer_rest(w);
    CHECK(engine_flush(&w->ctx, w->engine) == ERR_OK);
    for (uint32_t tries = 0; tries < 20; tries++) { /* at another write each time */
        set_busy(w);
        kit_before_change = bring_texts;
        CHECK(forget(w) == ERR_OK);
        kit_before_change = NOTHING;
        set_busy(NULL);
        const Seen seen = look(w);
        CHECK(engine_flush(&w->ctx, w->engine) == ERR_OK);
        (void)expect_files(w);
        reopen(w);
        expect_same(w, seen);
        erase_key(w, 1 + tries % 2);
        offer_rest(w);
    }
    world_free(w);
}

static uint32_t writes_left, brought, erased_at; /* under `bringing` */

/* So many that a flush is due, and moves. */
static void bring_many(void)
{
    if (pthread_mutex_trylock(&bringing) != 0)
        return;
    World *w = busy;
    if (w != NULL && writes_left-- == 0) {
        busy = NULL;
        brought++;
        erase_key(w, 20 + brought);
        erased_at = w->count;
        add_records(w, 2 * SMALL.flush_rows, 8);
        offer_rest(w);
        engine_view_done(engine_view(w->engine));
        engine_forget_soon(w->engine);
    }
    (void)pthread_mutex_unlock(&bringing);
}

/* Until the files know of all that was offered and nobody waits to be forgotten, of which nobody reminds the keeper. */
static void wait_for_nobody(World *w, uint32_t offered)
{
    EngineStat stat;
    const int64_t until_us = clock_mono_us() + 60 * INT64_C(1000000);
    do
        engine_stat(w->engine, &stat);
    while ((stat.durable_seq <= offered || stat.health.erased_waiting > 0) &&
           clock_mono_us() < until_us);
    CHECK(stat.durable_seq > offered);
    EXPECT_I64(stat.health.erased_waiting, 0);
}

/* Which then stand under another map of moves than the one that files are looked at with; and who is erased meanwhile is
 * forgotten next. */
TEST(memory_becomes_files_between_two_files_that_are_looked_at)
{
    World *w = world_new(81);
    brought = 0;
    for (uint32_t key = 1; key < 9; key++) { /* at another write each time */
        const uint32_t before = brought;
        erase_key(w, key);
        offer_rest(w);
        engine_view_done(engine_view(w->engine)); /* it is applied */
        const uint32_t offered = w->count;
        writes_left = 4 * key;
        set_busy(w);
        kit_before_change = bring_many;
        engine_forget_soon(w->engine);
        wait_for_nobody(w, offered);
        kit_before_change = NOTHING;
        set_busy(NULL);
        if (brought > before)
            wait_for_nobody(w, erased_at);
        const Seen seen = look(w);
        CHECK(forget(w) == ERR_OK);
        (void)expect_files(w);
        expect_same(w, seen);
    }
    CHECK(brought > 3);
    world_free(w);
}

/* ---- power cuts ------------------------------------------------------------------------------------- */

enum { CUTS_MAX = 400, STRIDE = 23 };

typedef struct Cuts {
    World *world;
    char path[CUTS_MAX][64];
    uint32_t count, calls;
} Cuts;

static pthread_mutex_t cutting = PTHREAD_MUTEX_INITIALIZER;
static Cuts *cuts; /* under it */

static void copy_files(Ctx *ctx, const Str *names, size_t n)
{
    Str bytes;
    char *path = cuts->path[cuts->count++];
    memcpy(path, "/tmp/engine_forget.XXXXXX", sizeof "/tmp/engine_forget.XXXXXX");
    CHECK(mkdtemp(path) != NULL);
    for (size_t i = 0; i < n; i++) {
        CHECK(file_load(ctx, str_of(cuts->world->path), names[i], 1 << 26, &bytes) == ERR_OK);
        CHECK(file_replace(ctx, str_of(path), names[i], bytes) == ERR_OK);
    }
}

/* The folder as it is before a write, a rename or a sync, but those of the copy: where two files of names stand beside
 * each other while there is room, else now and then. */
static void copy_folder(void)
{
    if (pthread_mutex_trylock(&cutting) != 0)
        return;
    Ctx ctx = {.arena = arena_new(1 << 16)};
    Str *names = NULL;
    size_t n = 0, of_names = 0;
    CHECK(file_list(&ctx, str_of(cuts->world->path), &names, &n) == ERR_OK);
    for (size_t i = 0; i < n; i++)
        of_names += str_ends_with(names[i], STR(".names"));
    const bool now = cuts->calls++ % STRIDE == 0 || of_names > 1;
    if (now && cuts->count < CUTS_MAX)
        copy_files(&ctx, names, n);
    arena_free(ctx.arena);
    (void)pthread_mutex_unlock(&cutting);
}

static void expect_after_cut(World *w, const char *path, Seen want)
{
    memcpy(w->path, path, sizeof w->path);
    start(w);
    offer_rest(w);
    expect_same(w, want);
    CHECK(forget(w) == ERR_OK);
    (void)expect_files(w);
    expect_same(w, want);
    reopen(w);
    expect_same(w, want);
    engine_close(w->engine);
    test_remove_folder(str_of(path));
}

TEST(a_power_cut_at_any_write_of_forgetting_loses_nothing_and_the_next_one_forgets)
{
    World *w = world_new(90);
    char own[64];
    add_records(w, 600, 5);
    offer_rest(w);
    CHECK(engine_flush(&w->ctx, w->engine) == ERR_OK);
    for (uint32_t key = 3; key < KEYS; key += 9)
        erase_key(w, key);
    add_records(w, 50, 5);
    offer_rest(w);
    const Seen seen = look(w);
    cuts = calloc(1, sizeof *cuts);
    CHECK(cuts != NULL);
    cuts->world = w;
    kit_before_change = copy_folder;
    CHECK(forget(w) == ERR_OK);
    kit_before_change = NOTHING;
    (void)expect_files(w);
    engine_close(w->engine); /* nobody copies any more */
    memcpy(own, w->path, sizeof own);
    CHECK(cuts->count > 20);
    for (uint32_t i = 0; i < cuts->count; i++)
        expect_after_cut(w, cuts->path[i], seen);
    memcpy(w->path, own, sizeof own);
    start(w);
    expect_same(w, seen);
    free(cuts);
    world_free(w);
}
