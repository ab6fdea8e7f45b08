/*
 * engine/engine_bound_test.c -- odd events in masses: what has no room is kept aside and counted, the rest
 * is there, and nothing ends the program.
 */
#include "engine/engine.h"
#include "engine/engine_testkit.h"
#include "engine/merge.h"
#include "engine/scan/items.h"

#include "base/log.h"
#include "base/test.h"
#include "base/test_folder.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ORIGIN_MS KIT_ORIGIN_MS
#define WEEK_MS   PART_WEEK_MS

typedef struct Odd {
    char path[64];
    Ctx ctx;
    EngineOptions options;
    Engine *engine;
    int64_t ids;
} Odd;

static void odd_open(Odd *o, EngineOptions options)
{
    *o = (Odd){.path = "/tmp/engine_bound.XXXXXX", .ctx.arena = arena_new(1 << 16)};
    o->options = options;
    o->options.origin_ms = ORIGIN_MS;
    CHECK(mkdtemp(o->path) != NULL);
    log_setup(LOG_OFF, false);
    CHECK(engine_open(&o->ctx, str_of(o->path), &o->options, &o->engine) == ERR_OK);
}

static void odd_reopen(Odd *o)
{
    engine_close(o->engine);
    CHECK(engine_open(&o->ctx, str_of(o->path), &o->options, &o->engine) == ERR_OK);
}

static void odd_close(Odd *o)
{
    engine_close(o->engine);
    test_remove_folder(str_of(o->path));
    arena_free(o->ctx.arena);
}

/* What an event is like: properties p<first> up to p<first + count - 1>, numbers or long texts; before them
 * properties l0, l1, ..., which are lists of texts, and `lines`, records that have f<first_field> and on. */
typedef struct Like {
    uint32_t name;
    int64_t time_ms, received_ms;
    uint32_t first, count;
    uint32_t text_bytes; /* 0 = numbers */
    uint32_t lists;
    uint32_t records, first_field, fields;
} Like;

static const Str ONE = {"one", 3};

static void add_records(Odd *o, EventBuilder *b, const Like *like)
{
    event_items_begin(b, STR("lines"));
    for (uint32_t i = 0; i < like->records; i++) {
        event_item(b);
        for (uint32_t f = 0; f < like->fields; f++)
            event_prop_bool(b, arena_printf(o->ctx.arena, "f%u", like->first_field + f),
                            (i + f) % 2 == 0);
    }
    event_items_end(b);
}

static void add_props(Odd *o, EventBuilder *b, const Like *like)
{
    char *text = arena_bytes(o->ctx.arena, like->text_bytes + 1);
    memset(text, 'x', like->text_bytes);
    for (uint32_t i = 0; i < like->lists; i++)
        event_prop_texts(b, arena_printf(o->ctx.arena, "l%u", i), &ONE, 1);
    if (like->records > 0)
        add_records(o, b, like);
    for (uint32_t i = 0; i < like->count; i++) {
        const Str name = arena_printf(o->ctx.arena, "p%u", like->first + i);
        if (i == EVENT_PROPS_MAX)
            event_context(b);
        if (like->text_bytes == 0)
            event_prop_i64(b, name, o->ids);
        else
            event_prop_text(
                b, name,
                arena_printf(o->ctx.arena, "%.*s%d", (int)like->text_bytes, text, (int)o->ids));
    }
}

static void offer(Odd *o, const Like *like)
{
    const Event head = {.kind = EVENT_HAPPENED,
                        .source = STR("odd"),
                        .id = arena_i64(o->ctx.arena, o->ids++),
                        .name = arena_printf(o->ctx.arena, "Event %u", like->name),
                        .time_ms = like->time_ms == 0 ? ORIGIN_MS : like->time_ms,
                        .received_ms = like->received_ms == 0 ? ORIGIN_MS : like->received_ms};
    EventBuilder *b = event_begin(&o->ctx, &head);
    add_props(o, b, like);
    Event e;
    CHECK(event_end(b, &e) == ERR_OK);
    Buf bytes = BUF_MAX(EVENT_BYTES_MAX);
    event_encode(&e, &bytes);
    (void)engine_offer(o->engine, engine_next_seq(o->engine), 1, buf_str(&bytes));
    buf_free(&bytes);
    arena_reset(o->ctx.arena);
}

static EngineStat stat_of(Odd *o)
{
    EngineStat stat;
    engine_view_done(engine_view(o->engine)); /* everything offered is in */
    engine_stat(o->engine, &stat);
    return stat;
}

/* How many events have the property. */
static int64_t count_of(Odd *o, SchemaSpace space, Str name)
{
    ScanView *view = engine_view(o->engine);
    const SchemaProp *p = schema_find_prop(engine_schema_lock(o->engine), space, name);
    engine_schema_unlock(o->engine);
    const ScanProp prop = {p == NULL ? PROP_NONE : p->id, 0};
    const ScanSelect all = {.from_ms = 0, .to_ms = INT64_MAX};
    Scanner *scanner = scanner_new(view, &(ScanAsk){&all, 1, &prop, 1, false});
    int64_t count = 0;
    ScanBatch b;
    for (uint32_t piece = 0; piece < scan_pieces(view); piece++)
        if (scanner_batch(scanner, piece, &b))
            for (uint32_t row = 0; row < b.from[b.person_count]; row++)
                count += b.values[0][row] != SCAN_MISSING;
    scanner_free(scanner);
    engine_view_done(view);
    return count;
}

/* How many records of all events have the field, and are true or false there. */
static int64_t count_field(Odd *o, Str name)
{
    int64_t count = 0;
    ScanView *view = engine_view(o->engine);
    const Schema *names = engine_schema_lock(o->engine);
    engine_schema_unlock(o->engine);
    const SchemaProp *list = schema_find_prop(names, SCHEMA_EVENT, STR("lines"));
    const SchemaProp *field = schema_find_field(names, list, name);
    int64_t *values = calloc(ITEMS_PIECE + 256, sizeof *values);
    FilterScratch scratch = {0};
    CHECK(values != NULL);
    filter_scratch_reserve(&scratch, ITEMS_PIECE);
    for (uint32_t p = 0; field != NULL && p < view->part_count; p++)
        for (uint32_t i = 0; i < view->parts[p]->head->items_count; i++) {
            const PartItems *items = &view->parts[p]->items[i];
            FilterRows r = {.part = view->parts[p], .list = &items->list};
            const PartColumn *c = part_find_column(r.part, r.list, field->id);
            for (; c != NULL && r.first < r.list->rows; r.first += r.count) {
                const uint32_t left = r.list->rows - r.first;
                r.count = left < ITEMS_PIECE ? left : ITEMS_PIECE;
                CHECK(filter_values(&r, c, SCAN_MISSING, &scratch, values));
                for (uint32_t k = 0; k < r.count; k++)
                    count += values[k] != SCAN_MISSING;
            }
        }
    filter_scratch_free(&scratch);
    free(values);
    engine_view_done(view);
    return count;
}

/* ---- columns -------------------------------------------------------------------------------------- */

TEST(
    names_times_properties_beyond_the_columns_of_a_part_are_kept_aside_and_the_others_grow_together)
{
    enum { NAMES = 250, PROPS = 2 * EVENT_PROPS_MAX };
    Odd o;
    odd_open(&o, (EngineOptions){.slice_rows = 100, .fan = 2});
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < NAMES; i++)
            offer(&o, &(Like){.name = i, .count = PROPS});
        CHECK(engine_flush(&o.ctx, o.engine) == ERR_OK);
    }
    CHECK(engine_settle(&o.ctx, o.engine) == ERR_OK);
    const int64_t with_props = SCHEMA_LIMITS.pairs / PROPS;
    const EngineStat stat = stat_of(&o);
    EXPECT_I64((int64_t)stat.aside[ENGINE_ASIDE_PAIRS], 3 * (NAMES - with_props) * PROPS);
    EXPECT_I64((int64_t)stat.events, 3 * NAMES);
    EXPECT_I64(stat.file_parts, 1);
    EXPECT_I64(count_of(&o, SCHEMA_EVENT, STR("p7")), 3 * with_props);
    EXPECT_I64(count_of(&o, SCHEMA_CONTEXT, STR("p300")), 3 * with_props);
    odd_close(&o);
}

/* Many names, each with properties of its own: value = what its row, name and property say. */
enum { WIDE_NAMES = 400, WIDE_PROPS = 100, WIDE_ALL = 8000 };

static uint32_t wide_prop(uint32_t name, uint32_t i)
{
    return PROP_FIRST + (name * 37 + i * 79) % WIDE_ALL;
}

static int64_t wide_value(uint32_t row, uint32_t prop)
{
    return (int64_t)row * 1000003 + prop;
}

/* `rows` rows; `seldom` names come once, the others share what is left. */
static Part *wide_part(Ctx *ctx, uint32_t rows, uint32_t seldom, bool turned, uint64_t seq)
{
    RowBuffer b = {0};
    Part **made = NULL;
    uint32_t n = 0;
    for (uint32_t row = 0; row < rows; row++) {
        uint32_t name = row < seldom ? row : seldom + row % (WIDE_NAMES - seldom);
        name = turned ? WIDE_NAMES - 1 - name : name;
        rows_add(&b, ORIGIN_MS + row * 1000, row % 7, 1 + name);
        for (uint32_t i = 0; i < WIDE_PROPS; i++)
            rows_value(&b, wide_prop(name, i), PART_NUMBERS, 0,
                       wide_value(row, wide_prop(name, i)));
    }
    CHECK(rows_build(ctx, &b, ORIGIN_MS, seq, seq + 1, &made, &n) == ERR_OK && n == 1);
    rows_free(&b);
    return made[0];
}

typedef struct WideSum {
    int64_t count, sum;
} WideSum;

/* Of the properties that this test looks at: all values of each. */
static WideSum wide_sum(Part *const *parts, uint32_t count, uint32_t prop)
{
    WideSum s = {0};
    const ScanView view = {
        .parts = (Part **)(uintptr_t)parts, .part_count = count, .person_count = 7};
    const ScanSelect all = {.from_ms = 0, .to_ms = INT64_MAX};
    const ScanProp asked = {prop, 0};
    Scanner *scanner = scanner_new(&view, &(ScanAsk){&all, 1, &asked, 1, false});
    ScanBatch b;
    CHECK(scanner_batch(scanner, 0, &b));
    for (uint32_t row = 0; row < b.from[b.person_count]; row++) {
        s.count += b.values[0][row] != SCAN_MISSING;
        s.sum += b.values[0][row] != SCAN_MISSING ? b.values[0][row] : 0;
    }
    scanner_free(scanner);
    return s;
}

TEST(names_that_leave_the_shared_list_get_the_columns_that_they_have_and_no_others)
{
    Ctx ctx = {.arena = arena_new(1 << 20)};
    Part *parts[] = {wide_part(&ctx, 2000, 300, false, 1), wide_part(&ctx, 2000, 200, true, 2)};
    Part *merged = NULL;
    Buf bytes = BUF_MAX(PART_BYTES_MAX);
    CHECK(parts_merge(&ctx, &(PartsMerge){parts, 2, NULL, MERGE_BYTES_MAX, NULL, false},
                      part_sink_buf, &bytes) == ERR_OK);
    CHECK(part_open(&ctx, buf_str(&bytes), false, 0, &merged) == ERR_OK);
    CHECK(merged->head->column_count < WIDE_NAMES * (WIDE_PROPS + 1));
    for (uint32_t i = 0; i + 1 < merged->head->list_count; i++)
        EXPECT_I64(merged->lists[i].column_count, WIDE_PROPS + 1); /* and milliseconds */
    for (uint32_t prop = PROP_FIRST; prop < PROP_FIRST + WIDE_ALL; prop += 111) {
        const WideSum want = wide_sum(parts, 2, prop), got = wide_sum(&merged, 1, prop);
        EXPECT_I64(got.count, want.count);
        EXPECT_I64(got.sum, want.sum);
    }
    bytes = BUF_MAX(PART_BYTES_MAX);
    EXPECT_I64(parts_merge(&ctx, &(PartsMerge){parts, 2, NULL, 1 << 20, NULL, false}, part_sink_buf,
                           &bytes),
               ERR_TOO_LARGE);
    EXPECT_STREQ(ctx.fault.reason, "events.merge");
    EXPECT_I64((int64_t)bytes.len, 0);
    part_unref(parts[0]);
    part_unref(parts[1]);
    part_unref(merged);
    arena_free(ctx.arena);
}

/* One event, the number-th that arrived, of anybody. */
static Part *single(Ctx *ctx, uint64_t number)
{
    const PartColumnPlan columns[] = {
        {.prop = PROP_MS, .kind = PART_NUMBERS, .max = 999},
        {.prop = PROP_FIRST, .kind = PART_NUMBERS, .max = 1000000},
    };
    const PartListPlan list = {.event = 1 + (uint32_t)(number % 3),
                               .columns = columns,
                               .column_count = ARRAY_LEN(columns)};
    PartBuilder *b = part_builder_new(&(PartPlan){.week_ms = ORIGIN_MS,
                                                  .from_seq = number,
                                                  .to_seq = number + 1,
                                                  .lists = &list,
                                                  .list_count = 1});
    const uint32_t person = (uint32_t)(number * 17 % 40), second = (uint32_t)(number * 31 % 20);
    const uint32_t key = person << PART_SECOND_BITS | second;
    int64_t ms = (int64_t)(number * 13 % 4), value = (int64_t)number;
    Str bytes;
    Part *part = NULL;
    part_builder_block(b, (uint32_t)(number * 7919 % 1500), &(uint8_t){0}, 1);
    part_builder_keys(b, 0, &key, 1);
    part_builder_values(b, 0, 0, &ms, 1);
    part_builder_values(b, 0, 1, &value, 1);
    CHECK(part_builder_finish_heap(ctx, b, &bytes) == ERR_OK);
    part_builder_free(b);
    CHECK(part_open(ctx, bytes, false, 0, &part) == ERR_OK);
    return part;
}

static Part *merged_of(Ctx *ctx, Part *const *parts, uint32_t n)
{
    Buf bytes = BUF_MAX(PART_BYTES_MAX);
    Part *merged = NULL;
    CHECK(parts_merge(ctx, &(PartsMerge){parts, n, NULL, MERGE_BYTES_MAX, NULL, false},
                      part_sink_buf, &bytes) == ERR_OK);
    CHECK(part_open(ctx, buf_str(&bytes), false, 0, &merged) == ERR_OK);
    return merged;
}

/* So many parts that few blocks are merged together: their numbers leave no room for more. */
TEST(very_many_parts_become_the_same_at_once_as_step_by_step)
{
    enum { PARTS = 4500, STEP = 90 };
    Ctx ctx = {.arena = arena_new(1 << 20)};
    Part **parts = ARENA_ARRAY(ctx.arena, Part *, PARTS), *steps[PARTS / STEP];
    for (uint32_t i = 0; i < PARTS; i++)
        parts[i] = single(&ctx, 1 + i);
    for (uint32_t i = 0; i < PARTS / STEP; i++)
        steps[i] = merged_of(&ctx, parts + (size_t)i * STEP, STEP);
    Part *once = merged_of(&ctx, parts, PARTS), *last = merged_of(&ctx, steps, PARTS / STEP);
    EXPECT_I64(once->head->rows, PARTS);
    CHECK(str_eq(once->bytes, last->bytes));
    part_unref(once);
    part_unref(last);
    for (uint32_t i = 0; i < PARTS / STEP; i++)
        part_unref(steps[i]);
    for (uint32_t i = 0; i < PARTS; i++)
        part_unref(parts[i]);
    arena_free(ctx.arena);
}

enum { STORED_ROWS = 20 };

/* Rows of one list, numbers in [min, min + span]; `lacks`: every third has none; min of PART_MISSING: none has. */
typedef struct Stored {
    int64_t min;
    uint64_t span;
    bool lacks;
} Stored;

static int64_t stored_value(const Stored *s, uint32_t row)
{
    const uint64_t behind = row == 1       ? s->span
                            : s->span == 0 ? 0
                                           : row * UINT64_C(0x9E3779B97F4A7C15) % s->span;
    const bool none = s->min == PART_MISSING || (s->lacks && row % 3 == 2);
    return none ? PART_MISSING : (int64_t)((uint64_t)s->min + (row == 0 ? 0 : behind));
}

static Part *stored_part(Ctx *ctx, const Stored *s, uint64_t seq)
{
    RowBuffer b = {0};
    Part **made = NULL;
    uint32_t n = 0;
    for (uint32_t row = 0; row < STORED_ROWS; row++) {
        const int64_t value = stored_value(s, row);
        rows_add(&b, ORIGIN_MS + (int64_t)seq, row, 1);
        if (value != PART_MISSING)
            rows_value(&b, PROP_FIRST, PART_NUMBERS, 0, value);
    }
    CHECK(rows_build(ctx, &b, ORIGIN_MS, seq, seq + 1, &made, &n) == ERR_OK && n == 1);
    rows_free(&b);
    return made[0];
}

/* Row by row those of one and of the other. */
static void expect_stored(Part *merged, const Stored *one, const Stored *other)
{
    int64_t values[2 * STORED_ROWS + KERNEL_SLACK];
    FilterScratch scratch = {0};
    const FilterRows rows = {.part = merged, .list = &merged->lists[0], .count = 2 * STORED_ROWS};
    const PartColumn *c = part_find_column(merged, rows.list, PROP_FIRST);
    CHECK(rows.list->rows == rows.count);
    filter_scratch_reserve(&scratch, rows.count);
    for (uint32_t i = 0; i < rows.count; i++)
        values[i] = PART_MISSING;
    CHECK(c == NULL || filter_values(&rows, c, PART_MISSING, &scratch, values));
    for (uint32_t row = 0; row < STORED_ROWS; row++) {
        CHECK(values[2 * row] == stored_value(one, row));
        CHECK(values[2 * row + 1] == stored_value(other, row));
    }
    filter_scratch_free(&scratch);
}

/* What is stored of them differs by the base alone, or does not, or not in 32 bits. */
TEST(numbers_of_any_base_and_width_are_the_same_in_the_part_that_two_become)
{
    static const int64_t mins[] = {0, -1, 1, INT32_MAX, UINT32_MAX, INT64_C(1) << 40, PART_MISSING};
    static const uint64_t spans[] = {0,
                                     1,
                                     255,
                                     (1U << 30) - 1,
                                     INT32_MAX - 1,
                                     INT32_MAX,
                                     UINT32_MAX - 1,
                                     UINT32_MAX,
                                     UINT64_C(1) << 33};
    enum { KINDS = ARRAY_LEN(mins) * ARRAY_LEN(spans) * 2 };
    Ctx ctx = {.arena = arena_new(1 << 20)};
    Stored kinds[KINDS];
    for (uint32_t i = 0; i < KINDS; i++)
        kinds[i] =
            (Stored){mins[i / 2 % ARRAY_LEN(mins)], spans[i / 2 / ARRAY_LEN(mins)], i % 2 == 1};
    for (uint32_t i = 0; i < KINDS; i++)
        for (uint32_t j = 0; j < KINDS; j++) {
            Part *parts[] = {stored_part(&ctx, &kinds[i], 1), stored_part(&ctx, &kinds[j], 2)};
            Part *merged = merged_of(&ctx, parts, 2);
            expect_stored(merged, &kinds[i], &kinds[j]);
            part_unref(parts[0]);
            part_unref(parts[1]);
            part_unref(merged);
            arena_reset(ctx.arena);
        }
    arena_free(ctx.arena);
}

TEST(an_event_name_keeps_its_first_properties_also_after_a_restart)
{
    SchemaLimits limits = SCHEMA_LIMITS;
    limits.event_props = 10;
    limits.pairs = 25;
    Odd o;
    odd_open(&o, (EngineOptions){.names = &limits});
    offer(&o, &(Like){.name = 1, .count = 8});
    offer(&o, &(Like){.name = 1, .first = 8, .count = 8}); /* two of them */
    EXPECT_I64((int64_t)stat_of(&o).aside[ENGINE_ASIDE_PAIRS], 6);
    odd_reopen(&o);
    EXPECT_I64((int64_t)stat_of(&o).aside[ENGINE_ASIDE_PAIRS], 6);
    offer(&o, &(Like){.name = 1, .first = 9, .count = 8}); /* the first one is known */
    EXPECT_I64((int64_t)stat_of(&o).aside[ENGINE_ASIDE_PAIRS], 13);
    offer(&o, &(Like){.name = 2, .count = 10});
    offer(&o, &(Like){.name = 3, .count = 10}); /* five of them */
    EXPECT_I64((int64_t)stat_of(&o).aside[ENGINE_ASIDE_PAIRS], 18);
    EXPECT_I64(count_of(&o, SCHEMA_EVENT, STR("p9")), 3);
    EXPECT_I64(count_of(&o, SCHEMA_EVENT, STR("p4")), 3);
    EXPECT_I64(count_of(&o, SCHEMA_EVENT, STR("p5")), 2);
    odd_close(&o);
}

TEST(files_that_would_be_too_large_together_stay_in_several_and_hold_the_same)
{
    enum { NAMES = 4, PROPS = 50, GROUPS = 8, EVENTS = 1600 };
    Odd o;
    odd_open(&o, (EngineOptions){
                     .slice_rows = 40, .flush_rows = 200, .fan = 3, .merge_bytes_max = 60000});
    for (uint32_t i = 0; i < EVENTS;
         i++) /* neighbours are alike, the others have other properties */
        offer(&o, &(Like){.name = i % NAMES, .first = i * GROUPS / EVENTS * PROPS, .count = PROPS});
    CHECK(engine_flush(&o.ctx, o.engine) == ERR_OK);
    for (int restarts = 0; restarts < 2; restarts++) {
        CHECK(engine_settle(&o.ctx, o.engine) == ERR_OK);
        const EngineStat stat = stat_of(&o);
        CHECK(stat.file_parts > 1 && stat.file_parts <= EVENTS / 40);
        CHECK(stat.file_bytes < (uint64_t)stat.file_parts * 100000); /* tables included */
        EXPECT_I64((int64_t)stat.events, EVENTS);
        for (uint32_t prop = 0; prop < GROUPS * PROPS; prop += 37)
            EXPECT_I64(count_of(&o, SCHEMA_EVENT, arena_printf(o.ctx.arena, "p%u", prop)),
                       EVENTS / GROUPS);
        odd_reopen(&o);
        o.ids = 0; /* all of them again: whichever file has an id, it is known */
        for (uint32_t i = 0; i < EVENTS; i++)
            offer(&o, &(Like){.name = 1});
        EXPECT_I64((int64_t)stat_of(&o).repeated, EVENTS);
    }
    odd_close(&o);
}

TEST(an_event_name_keeps_its_first_lists_and_fields_also_after_a_restart)
{
    SchemaLimits limits = SCHEMA_LIMITS;
    limits.event_props = 6;
    Odd o;
    odd_open(&o, (EngineOptions){.names = &limits});
    offer(&o, &(Like){.name = 1, .lists = 2, .records = 10, .fields = 5}); /* three of the fields */
    EXPECT_I64((int64_t)stat_of(&o).aside[ENGINE_ASIDE_PAIRS], 20);
    odd_reopen(&o);
    offer(&o, &(Like){.name = 1, .lists = 3, .records = 10, .first_field = 1, .fields = 4});
    EXPECT_I64((int64_t)stat_of(&o).aside[ENGINE_ASIDE_PAIRS], 20 + 1 + 20);
    offer(&o, &(Like){.name = 1, .first = 1, .count = 1});
    EXPECT_I64((int64_t)stat_of(&o).aside[ENGINE_ASIDE_PAIRS], 42);
    EXPECT_I64(count_of(&o, SCHEMA_EVENT, STR("l1")), 2);
    EXPECT_I64(count_of(&o, SCHEMA_EVENT, STR("l2")), 0);
    EXPECT_I64(count_of(&o, SCHEMA_EVENT, STR("lines")), 2);
    EXPECT_I64(count_field(&o, STR("f2")), 20);
    EXPECT_I64(count_field(&o, STR("f3")), 0);
    odd_close(&o);
}

TEST(a_flood_of_fields_takes_the_room_of_its_list_and_of_nobody_else)
{
    enum { FIELDS = 10000, MOST = 2 * EVENT_FIELDS_MAX };
    Odd o;
    odd_open(&o, (EngineOptions){.slice_rows = 100});
    for (uint32_t i = 0; i < FIELDS; i += 50)
        offer(&o, &(Like){.name = 1, .records = 3, .first_field = i, .fields = 50});
    EXPECT_I64((int64_t)stat_of(&o).aside[ENGINE_ASIDE_FIELDS], 3 * (FIELDS - MOST));
    odd_reopen(&o);
    offer(&o, &(Like){.name = 1, .records = 3, .first_field = MOST - 1, .fields = 2});
    offer(&o, &(Like){.name = 2, .count = 256});
    EXPECT_I64((int64_t)stat_of(&o).aside[ENGINE_ASIDE_FIELDS], 3 * (FIELDS - MOST) + 3);
    EXPECT_I64((int64_t)stat_of(&o).aside[ENGINE_ASIDE_PROPS], 0);
    EXPECT_I64(count_field(&o, STR("f127")), 6);
    EXPECT_I64(count_field(&o, STR("f128")), 0);
    EXPECT_I64(count_of(&o, SCHEMA_EVENT, STR("p255")), 1);
    odd_close(&o);
}

TEST(events_of_two_thousand_records_end_slices_early_and_go_through_files)
{
    enum { EVENTS = 150, RECORDS = 2000, FIELDS = 5, GROUPS = 25 };
    const int64_t with_field = (int64_t)RECORDS * EVENTS / GROUPS;
    Odd o;
    odd_open(&o, (EngineOptions){.fan = 2});
    for (uint32_t i = 0; i < EVENTS; i++)
        offer(&o, &(Like){.name = i % 2,
                          .records = RECORDS,
                          .first_field = i % GROUPS * FIELDS,
                          .fields = FIELDS});
    CHECK(stat_of(&o).memory_parts > 1 && stat_of(&o).memory_parts < 10);
    EXPECT_I64(count_field(&o, STR("f7")), with_field);
    CHECK(engine_settle(&o.ctx, o.engine) == ERR_OK);
    odd_reopen(&o);
    const EngineStat stat = stat_of(&o);
    EXPECT_I64(stat.file_parts, 1);
    EXPECT_I64((int64_t)stat.kept_aside, 0);
    /* Two bits for each field that any record has. */
    CHECK(stat.file_bytes < (uint64_t)EVENTS * RECORDS * FIELDS * GROUPS * 2 / 8 + 200000);
    EXPECT_I64(count_field(&o, STR("f7")), with_field);
    EXPECT_I64(count_field(&o, STR("f124")), with_field);
    odd_close(&o);
}

/* Offers `lines` as a list of texts, or as records, with so many in it. */
static void offer_list(Odd *o, bool of_texts, uint32_t count)
{
    const Event head = {.kind = EVENT_HAPPENED,
                        .source = STR("odd"),
                        .id = arena_i64(o->ctx.arena, o->ids++),
                        .name = STR("Ordered"),
                        .time_ms = ORIGIN_MS,
                        .received_ms = ORIGIN_MS};
    const Like records = {.records = count, .fields = 1};
    EventBuilder *b = event_begin(&o->ctx, &head);
    if (of_texts)
        event_prop_texts(b, STR("lines"), &ONE, count);
    else
        add_records(o, b, &records);
    Event e;
    CHECK(event_end(b, &e) == ERR_OK);
    Buf bytes = BUF_MAX(EVENT_BYTES_MAX);
    event_encode(&e, &bytes);
    (void)engine_offer(o->engine, engine_next_seq(o->engine), 1, buf_str(&bytes));
    buf_free(&bytes);
}

TEST(an_empty_list_says_nothing_about_what_the_others_hold)
{
    for (int of_texts = 0; of_texts < 2; of_texts++)
        for (int restarts = 0; restarts < 2; restarts++) {
            Odd o;
            odd_open(&o, (EngineOptions){.slice_rows = 100});
            offer_list(&o, of_texts == 0, 0); /* the other type */
            if (restarts > 0)
                odd_reopen(&o);
            EXPECT_I64(count_of(&o, SCHEMA_EVENT, STR("lines")), 1);
            offer_list(&o, of_texts != 0, 1);
            if (restarts > 0)
                odd_reopen(&o);
            offer_list(&o, of_texts == 0, 0);
            offer_list(&o, of_texts != 0, 1);
            EXPECT_I64((int64_t)stat_of(&o).kept_aside, 0);
            EXPECT_I64(count_of(&o, SCHEMA_EVENT, STR("lines")), 4);
            offer_list(&o, of_texts == 0, 1);
            EXPECT_I64((int64_t)stat_of(&o).aside[ENGINE_ASIDE_TYPE], 1);
            EXPECT_I64(count_of(&o, SCHEMA_EVENT, STR("lines")), 4);
            EXPECT_I64(count_field(&o, STR("f0")), of_texts != 0 ? 0 : 2);
            odd_close(&o);
        }
}

/* ---- memory --------------------------------------------------------------------------------------- */

enum { CROWD_PARTS = 10, CROWD_ROWS = 30000, CROWD_COLUMNS = 40, CROWD_MIB = 60 };

/* Nobody's rows: all of them stand in one block. */
static Part *crowd_part(Ctx *ctx, uint32_t seq)
{
    RowBuffer b = {0};
    Part **made = NULL;
    uint32_t n = 0;
    for (uint32_t i = 0; i < CROWD_ROWS; i++) {
        rows_add(&b, ORIGIN_MS + (int64_t)i * 20000, 0, 1 + i % 3);
        for (uint32_t c = 0; c < CROWD_COLUMNS; c++)
            rows_value(&b, PROP_FIRST + c, PART_CODES, 0, 1 + i * c % 5);
    }
    CHECK(rows_build(ctx, &b, ORIGIN_MS, seq, seq + 1, &made, &n) == ERR_OK && n == 1);
    rows_free(&b);
    return made[0];
}

static Err sink_nothing(Ctx *ctx, const Str *stretches, size_t count, void *arg)
{
    (void)ctx;
    (void)stretches;
    (void)count;
    (void)arg;
    return ERR_OK;
}

static int64_t most_memory_kib(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_maxrss;
}

typedef Part *(*PartFn)(Ctx *ctx, uint32_t seq);

/* In a process of its own: what other tests had at most does not count.  `dead`: whose rows stay behind, 0 = nobody's. */
static int merge_many(PartFn make, uint32_t count, uint32_t dead, uint32_t mib_max)
{
    Ctx ctx = {.arena = arena_new(1 << 20)};
    const Moved *moved = dead == 0 ? NULL : moved_next(moved_new(), dead);
    Part *parts[64];
    CHECK(count <= ARRAY_LEN(parts));
    for (uint32_t i = 0; i < count; i++) {
        parts[i] = make(&ctx, i);
        arena_reset(ctx.arena);
    }
    const int64_t before_kib = most_memory_kib();
    if (parts_merge(&ctx, &(PartsMerge){parts, count, moved, MERGE_BYTES_MAX, NULL, false},
                    sink_nothing, NULL) != ERR_OK)
        return 2;
    return most_memory_kib() - before_kib > (int64_t)mib_max * 1024;
}

static void expect_merge_within(PartFn make, uint32_t count, uint32_t dead, uint32_t mib_max)
{
    if (TEST_IS_SANITIZED)
        test_skip("sanitizers keep what was freed");
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        _exit(merge_many(make, count, dead, mib_max));
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    EXPECT_I64(WEXITSTATUS(status), 0);
}

TEST(a_merge_of_a_block_with_very_many_rows_does_not_hold_all_its_values)
{
    expect_merge_within(crowd_part, CROWD_PARTS, 0, CROWD_MIB);
}

enum { DEAD_PARTS = 32, DEAD_ROWS = 1 << 16, DEAD_MIB = 24, DEAD_PERSON = 7 };

/* One person's rows; of them it keeps little: 8 MiB of keys. */
static Part *dead_part(Ctx *ctx, uint32_t seq)
{
    RowBuffer b = {0};
    Part **made = NULL;
    uint32_t n = 0;
    for (uint32_t i = 0; i < DEAD_ROWS; i++)
        rows_add(&b, ORIGIN_MS + (int64_t)i * 9000, DEAD_PERSON, 1);
    CHECK(rows_build(ctx, &b, ORIGIN_MS, seq, seq + 1, &made, &n) == ERR_OK && n == 1);
    rows_free(&b);
    return made[0];
}

TEST(rows_that_a_merge_leaves_behind_take_no_memory_until_others_come)
{
    expect_merge_within(dead_part, DEAD_PARTS, DEAD_PERSON, DEAD_MIB);
}

/* ---- texts ---------------------------------------------------------------------------------------- */

TEST(texts_beyond_the_bytes_of_a_property_and_of_all_are_kept_aside_and_known_ones_stay)
{
    enum { BYTES = 1000 };
    const uint64_t cost = BYTES + 1 + DICT_TEXT_COST, others = 2 * (DICT_TEXT_COST + 16);
    SchemaLimits limits = SCHEMA_LIMITS;
    limits.values_cost = 3 * cost;
    limits.all_cost = 5 * cost + others;
    Odd o;
    odd_open(&o, (EngineOptions){.names = &limits});
    for (int i = 0; i < 5; i++)
        offer(&o, &(Like){.name = 1, .count = 1, .text_bytes = BYTES});
    EXPECT_I64((int64_t)stat_of(&o).aside[ENGINE_ASIDE_TEXTS], 2);
    odd_reopen(&o);
    for (int i = 0; i < 3; i++)
        offer(&o, &(Like){.name = 1, .first = 1, .count = 1, .text_bytes = BYTES});
    EXPECT_I64((int64_t)stat_of(&o).aside[ENGINE_ASIDE_TEXTS], 3);
    o.ids = 0; /* the same text again, of a new event */
    offer(&o, &(Like){.name = 1, .count = 1, .text_bytes = BYTES, .time_ms = ORIGIN_MS + WEEK_MS});
    EXPECT_I64((int64_t)stat_of(&o).aside[ENGINE_ASIDE_TEXTS], 3);
    EXPECT_I64(count_of(&o, SCHEMA_EVENT, STR("p0")), 4);
    EXPECT_I64(count_of(&o, SCHEMA_EVENT, STR("p1")), 2);
    odd_close(&o);
}

static void expect_flush(Odd *o)
{
    EngineStat stat = stat_of(o);
    for (int i = 0; i < 1000 && stat.durable_seq == 1; i++) {
        (void)usleep(10000);
        stat = stat_of(o);
    }
    CHECK(stat.durable_seq > 1);
}

TEST(many_bytes_of_new_texts_make_a_flush_due_before_the_rows_do)
{
    Odd o;
    odd_open(&o, (EngineOptions){.flush_bytes = 100000});
    for (int i = 0; i < 120; i++)
        offer(&o, &(Like){.name = 1, .count = 1, .text_bytes = 1000});
    expect_flush(&o);
    EXPECT_I64(count_of(&o, SCHEMA_EVENT, STR("p0")), 120);
    odd_close(&o);
}

TEST(many_bytes_of_slices_make_a_flush_due_before_the_rows_do)
{
    Odd o;
    odd_open(&o, (EngineOptions){.slice_rows = 64, .flush_bytes = 20000});
    for (int i = 0; i < 640; i++)
        offer(&o, &(Like){.name = 1, .count = 200});
    expect_flush(&o);
    EXPECT_I64(count_of(&o, SCHEMA_EVENT, STR("p77")), 640);
    odd_close(&o);
}

/* ---- weeks ---------------------------------------------------------------------------------------- */

TEST(events_of_too_many_weeks_are_kept_aside_and_the_known_weeks_take_more_also_after_a_restart)
{
    enum { WEEKS = 30, MAX = 12 };
    Odd o;
    odd_open(&o, (EngineOptions){.weeks_max = MAX, .slice_rows = 16});
    for (int round = 1; round <= 2; round++) {
        for (int week = 0; week < WEEKS; week++) { /* neither up nor down */
            const int64_t from_ms = ORIGIN_MS + (week * 7 % WEEKS - 15) * WEEK_MS;
            offer(&o, &(Like){.name = 1, .time_ms = from_ms + round, .count = 1});
        }
        EngineStat stat = stat_of(&o);
        EXPECT_I64((int64_t)stat.events, (int64_t)round * MAX);
        EXPECT_I64((int64_t)stat.aside[ENGINE_ASIDE_WEEKS], (int64_t)round * (WEEKS - MAX));
        odd_reopen(&o);
        stat = stat_of(&o);
        EXPECT_I64((int64_t)stat.events, (int64_t)round * MAX);
        EXPECT_I64((int64_t)stat.aside[ENGINE_ASIDE_WEEKS], (int64_t)round * (WEEKS - MAX));
    }
    EXPECT_I64(count_of(&o, SCHEMA_EVENT, STR("p0")), 2 * MAX);
    odd_close(&o);
}

TEST(weeks_that_get_no_events_give_up_what_says_which_ids_are_new_and_still_know_their_events)
{
    enum { WEEKS = 40, EACH = 20, MAX = 1 << 16 };
    Odd o;
    odd_open(&o, (EngineOptions){.filter_bytes_max = MAX});
    for (int round = 0; round < 2; round++) {
        o.ids = 0;
        for (int i = 0; i < WEEKS * EACH; i++) {
            offer(&o, &(Like){.name = 1, .time_ms = ORIGIN_MS + i / EACH * WEEK_MS});
            if (i % EACH == EACH - 1)
                CHECK(engine_flush(&o.ctx, o.engine) == ERR_OK);
            if (i % EACH == EACH - 1)
                CHECK(stat_of(&o).filter_bytes <= MAX);
        }
        CHECK(stat_of(&o).filter_bytes > MAX / 2);
    }
    EXPECT_I64((int64_t)stat_of(&o).events, WEEKS * EACH);
    EXPECT_I64((int64_t)stat_of(&o).repeated, WEEKS * EACH);
    odd_close(&o);
}

TEST(an_event_may_lie_thirty_years_before_and_one_year_behind_its_receiving)
{
    const int64_t now = INT64_C(1767225600000);
    const struct {
        int64_t time_ms;
        bool is_taken;
    } times[] = {{now - ENGINE_PAST_MS_MAX, true},
                 {now - ENGINE_PAST_MS_MAX - 1, false},
                 {now + ENGINE_FUTURE_MS_MAX, true},
                 {now + ENGINE_FUTURE_MS_MAX + 1, false},
                 {1, false}};
    Odd o;
    odd_open(&o, (EngineOptions){.slice_rows = 1});
    uint64_t events = 0;
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        offer(&o, &(Like){.name = 1, .time_ms = times[i].time_ms, .received_ms = now});
        events += times[i].is_taken;
        const EngineStat stat = stat_of(&o);
        EXPECT_I64((int64_t)stat.events, (int64_t)events);
        EXPECT_I64((int64_t)stat.aside[ENGINE_ASIDE_TIME], (int64_t)(i + 1 - events));
    }
    odd_reopen(&o); /* counted once, though no slice ends behind the last one */
    EXPECT_I64((int64_t)engine_next_seq(o.engine), o.ids + 1);
    EXPECT_I64((int64_t)stat_of(&o).aside[ENGINE_ASIDE_TIME], (int64_t)ARRAY_LEN(times) - 2);
    odd_close(&o);
}

TEST(a_slice_over_hundreds_of_weeks_becomes_files_that_grow_together)
{
    enum { WEEKS = 200 };
    Odd o;
    odd_open(&o, (EngineOptions){.slice_rows = 150});
    for (int i = 0; i < 2 * WEEKS; i++)
        offer(&o, &(Like){.name = (uint32_t)i % 300,
                          .time_ms = ORIGIN_MS - (int64_t)(i * 7 % WEEKS) * WEEK_MS});
    CHECK(engine_flush(&o.ctx, o.engine) == ERR_OK);
    EXPECT_I64((int64_t)stat_of(&o).events, 2 * WEEKS);
    EXPECT_I64(stat_of(&o).file_parts, WEEKS);
    odd_close(&o);
}
