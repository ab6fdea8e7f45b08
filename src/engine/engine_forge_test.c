/*
 * engine/engine_forge_test.c -- files that make no sense under right checksums: refused, or damaged where they are read,
 * and never harmful.
 */
#include "engine/ask/funnel.h"
#include "engine/ask/touch.h"
#include "engine/core/kernels.h"
#include "engine/engine_forge.h"
#include "engine/merge.h"
#include "engine/part/rows.h"
#include "engine/scan/walk.h"

#include "base/log.h"
#include "base/test.h"
#include "base/test_folder.h"

#include <stdlib.h>
#include <unistd.h>

enum { EVENTS = 200, FILE_MAX = 1 << 20 };

/* ---- a folder, and its largest part ------------------------------------------------------------------ */

typedef struct Folder {
    char path[64];
    Ctx ctx;
    Str part; /* as it is */
} Folder;

static void folder_open(Folder *f, ForgeShape shape, uint32_t events)
{
    Str *names = NULL, bytes;
    size_t n = 0;
    *f = (Folder){.path = "/tmp/engine_forge_test.XXXXXX", .ctx.arena = arena_new(1 << 16)};
    CHECK(mkdtemp(f->path) != NULL);
    log_setup(LOG_OFF, false);
    forge_folder(&f->ctx, str_of(f->path), shape, events);
    CHECK(file_list(&f->ctx, str_of(f->path), &names, &n) == ERR_OK);
    for (size_t i = 0; i < n; i++) {
        CHECK(file_load(&f->ctx, str_of(f->path), names[i], FILE_MAX, &bytes) == ERR_OK);
        if (str_ends_with(names[i], STR(".part")) && bytes.len > f->part.len)
            f->part = bytes;
    }
}

static void folder_close(Folder *f)
{
    test_remove_folder(str_of(f->path));
    arena_free(f->ctx.arena);
}

/* The tables of a part that is about to be forged. */
typedef struct Tables {
    char *bytes;
    PartHead *head;
    PartList *lists;
    PartColumn *columns;
    PartDir *dir;
    PartBlock *blocks;
} Tables;

static uint64_t align8(uint64_t n)
{
    return (n + 7) & ~UINT64_C(7);
}

static Tables tables_of(char *bytes)
{
    PartHead *h = (void *)bytes;
    Tables t = {.bytes = bytes, .head = h, .lists = (void *)(bytes + h->tables_at)};
    t.columns = (void *)((char *)t.lists + align8(h->list_count * sizeof(PartList)));
    t.dir = (void *)((char *)t.columns + align8(h->column_count * sizeof(PartColumn)));
    t.blocks = (void *)((char *)t.dir + align8(h->dir_count * sizeof(PartDir)));
    return t;
}

typedef void (*ForgeFn)(Tables *t);

/* NULL: it was refused, as damaged. */
static Part *forged(Folder *f, ForgeFn forge)
{
    Part *part = NULL;
    char *bytes = malloc(f->part.len);
    CHECK(bytes != NULL);
    memcpy(bytes, f->part.ptr, f->part.len);
    Tables t = tables_of(bytes);
    forge(&t);
    forge_seal_part(bytes, f->part.len);
    if (part_open(&f->ctx, (Str){bytes, f->part.len}, false, 1, &part) != ERR_OK) {
        EXPECT_STREQ(f->ctx.fault.reason, "events.part_damaged");
        free(bytes);
        return NULL;
    }
    forge_distrust(part);
    return part;
}

/* ---- tables ------------------------------------------------------------------------------------------ */

static PartColumn *column_of(Tables *t, uint32_t prop, PartKind kind)
{
    for (uint32_t i = 0; i < t->head->column_count; i++)
        if ((prop == PROP_NONE || t->columns[i].prop == prop) && t->columns[i].kind == kind &&
            t->columns[i].width > 0)
            return &t->columns[i];
    CHECK(false);
    return NULL;
}

static void as_it_is(Tables *t)
{
    (void)t;
}

static void no_lists(Tables *t)
{
    t->head->tables_bytes -= align8(t->head->list_count * sizeof(PartList));
    t->head->tables_at += align8(t->head->list_count * sizeof(PartList));
    t->head->list_count = 0;
}

static void sequence_around_the_end(Tables *t)
{
    t->head->sequence_at = UINT64_MAX - t->head->sequence_bytes + 1 + PART_DATA_AT;
}

static void week_at_the_end_of_time(Tables *t)
{
    t->head->week_ms = INT64_MAX - 1000;
}

static void times_of_another_week(Tables *t)
{
    t->head->max_ms += PART_WEEK_MS;
}

static void an_event_number_too_large(Tables *t)
{
    t->lists[0].event = PART_EVENTS_MAX + 1;
}

static void one_name_twice(Tables *t)
{
    t->lists[1].event = t->lists[0].event;
}

static void a_rest_without_names(Tables *t)
{
    t->lists[t->head->list_count - 1].event = PART_REST;
}

static void a_rest_in_front(Tables *t)
{
    t->lists[0].event = PART_REST;
}

static void a_directory_of_two_lists(Tables *t)
{
    t->lists[1] = (PartList){.event = t->lists[1].event,
                             .rows = t->lists[0].rows,
                             .first_dir = t->lists[0].first_dir,
                             .dir_count = t->lists[0].dir_count,
                             .keys_at = t->lists[0].keys_at,
                             .keys_bytes = t->lists[0].keys_bytes};
}

static void more_keys_than_bytes(Tables *t)
{
    const uint32_t grown = 1 << 20; /* of columns that take none */
    t->lists[0].rows += grown;
    t->lists[0].column_count = 0;
    t->dir[t->lists[0].dir_count].first_row += grown;
    t->blocks[t->head->block_count].first_row += grown;
    t->head->rows += grown;
    t->head->sequence_width = 0;
    t->head->sequence_bytes = 0;
}

static void a_width_that_the_values_do_not_need(Tables *t)
{
    column_of(t, PROP_NONE, PART_NUMBERS)->max *= 4;
}

static void a_number_that_means_none(Tables *t)
{
    PartColumn *c = column_of(t, PROP_NONE, PART_NUMBERS);
    const int64_t span = c->max - c->base;
    c->base = INT64_MIN;
    c->max = INT64_MIN + span;
}

static void half_missing(Tables *t)
{
    column_of(t, PROP_NONE, PART_NUMBERS)->nullable = 2;
}

static void two_hundred_decimal_places(Tables *t)
{
    column_of(t, PROP_NONE, PART_NUMBERS)->scale = 200;
}

static void codes_with_decimal_places(Tables *t)
{
    column_of(t, PROP_NONE, PART_CODES)->scale = 207;
}

static void codes_that_begin_elsewhere(Tables *t)
{
    column_of(t, PROP_NONE, PART_CODES)->base = 1;
}

static void milliseconds_of_years(Tables *t)
{
    PartColumn *c = column_of(t, PROP_MS, PART_NUMBERS);
    c->base += INT64_C(1) << 40;
    c->max += INT64_C(1) << 40;
}

static void rows_that_no_list_has(Tables *t)
{
    t->blocks[0].first_row = 1;
}

TEST(tables_that_make_no_sense_under_right_checksums_are_refused)
{
    static const ForgeFn FORGERIES[] = {no_lists,
                                        sequence_around_the_end,
                                        week_at_the_end_of_time,
                                        times_of_another_week,
                                        an_event_number_too_large,
                                        one_name_twice,
                                        a_rest_without_names,
                                        a_rest_in_front,
                                        a_directory_of_two_lists,
                                        more_keys_than_bytes,
                                        a_width_that_the_values_do_not_need,
                                        a_number_that_means_none,
                                        half_missing,
                                        two_hundred_decimal_places,
                                        codes_with_decimal_places,
                                        codes_that_begin_elsewhere,
                                        milliseconds_of_years,
                                        rows_that_no_list_has};
    Folder f;
    folder_open(&f, FORGE_ITEMS, EVENTS);
    for (size_t i = 0; i < ARRAY_LEN(FORGERIES); i++)
        EXPECT_I64(forged(&f, FORGERIES[i]) == NULL ? (int64_t)i : -1, (int64_t)i);
    Part *sound = forged(&f, as_it_is);
    CHECK(sound != NULL);
    part_unref(sound);
    folder_close(&f);
}

/* ---- keys and sequence --------------------------------------------------------------------------------- */

/* The last list has the most rows in its last block. */
static PartRows rows_of(Part *part)
{
    const PartList *l = &part->lists[0];
    uint32_t cursor = 0;
    return part_list_rows(part, l, part->dir[l->first_dir + l->dir_count - 1].block, &cursor);
}

static uint8_t *first_difference(Tables *t)
{
    const PartDir *d = &t->dir[t->lists[0].first_dir + t->lists[0].dir_count - 1];
    const uint32_t rows = d[1].first_row - d->first_row;
    return (uint8_t *)t->bytes + t->lists[0].keys_at + d->keys_at + (rows + 3) / 4;
}

/* Of two neighbours one becomes four bytes long, at the cost of the other, and all ones: it takes one away. */
static void keys_that_fall(Tables *t)
{
    const PartDir *d = &t->dir[t->lists[0].first_dir + t->lists[0].dir_count - 1];
    uint8_t *control = (uint8_t *)t->bytes + t->lists[0].keys_at + d->keys_at;
    uint8_t *data = first_difference(t);
    for (uint32_t group = 0; group < (d[1].first_row - d->first_row) / 4; group++) {
        const uint8_t a = control[group] & 3, b = control[group] >> 2 & 3;
        if (group > 0 && a + b >= 3) {
            control[group] = (uint8_t)((control[group] & 0xF0) | 3 | (a + b - 3) << 2);
            memset(data, 0xFF, 4);
            return;
        }
        data += 4 + a + b + (control[group] >> 4 & 3) + (control[group] >> 6);
    }
    CHECK(false);
}

static void keys_behind_the_week(Tables *t)
{
    uint8_t *at = first_difference(t);
    at[0] = 0xFF;
    at[1] = 0xFF;
    at[2] |= 0x0F; /* second 1,048,575 */
}

static void keys_of_other_lengths(Tables *t)
{
    const PartDir *d = &t->dir[t->lists[0].first_dir + t->lists[0].dir_count - 1];
    t->bytes[t->lists[0].keys_at + d->keys_at] ^= 1;
}

TEST(keys_that_make_no_sense_are_damage_to_whoever_reads_them)
{
    static const ForgeFn FORGERIES[] = {keys_that_fall, keys_behind_the_week,
                                        keys_of_other_lengths};
    uint32_t keys[EVENTS + KERNEL_SLACK];
    Folder f;
    folder_open(&f, FORGE_PLAIN, EVENTS);
    for (size_t i = 0; i < ARRAY_LEN(FORGERIES); i++) {
        Part *part = forged(&f, FORGERIES[i]);
        CHECK(part != NULL);
        const PartRows rows = rows_of(part);
        for (int looks = 0; looks < 2; looks++) /* nothing of it is remembered as sound */
            EXPECT_I64(part_read_keys(part, &rows, keys) ? (int64_t)i : -1, -1);
        CHECK(atomic_load(&part->damaged));
        part_unref(part);
    }
    Part *sound = forged(&f, as_it_is);
    const PartRows rows = rows_of(sound);
    CHECK(part_read_keys(sound, &rows, keys) && part_read_keys(sound, &rows, keys));
    part_unref(sound);
    folder_close(&f);
}

static uint64_t damaged_rows(Part *part, bool walk)
{
    const ScanSelect all = {.from_ms = 0, .to_ms = INT64_MAX};
    const ScanView view = {.parts = &part, .part_count = 1, .person_count = 2 * PART_BLOCK_PERSONS};
    uint64_t damaged = 0;
    if (!walk) {
        Scanner *s = scanner_new(&view, &(ScanAsk){&all, 1, NULL, 0, true});
        ScanBatch b;
        for (uint32_t piece = 0; piece < 2; piece++)
            if (scanner_batch(s, piece, &b))
                CHECK(b.person_count > 0);
        damaged = scanner_damaged(s);
        scanner_free(s);
        return damaged;
    }
    WalkNames names;
    WalkWeek week;
    WalkRows rows;
    CHECK(walk_names(&view, &all, 1, &names));
    CHECK(walk_weeks(&view, 0, INT64_MAX, &names, &week) == 1);
    Walker *w = walker_new(&week.ask);
    for (uint32_t piece = 0; piece < 2; piece++)
        if (walker_rows(w, piece, &rows))
            CHECK(rows.count > 0);
    damaged = walker_damaged(w);
    walker_free(w);
    walk_names_free(&names);
    return damaged;
}

static Err sink_nothing(Ctx *ctx, const Str *stretches, size_t count, void *arg)
{
    (void)ctx;
    (void)stretches;
    (void)count;
    (void)arg;
    return ERR_OK;
}

static Err merge_alone(Folder *f, Part *part)
{
    return parts_merge(&f->ctx,
                       &(PartsMerge){.parts = &part, .count = 1, .bytes_max = MERGE_BYTES_MAX},
                       sink_nothing, NULL);
}

/* One event more of the first list, one less of another: together as many as before. */
static void an_event_for_another(Tables *t)
{
    for (uint64_t at = t->head->sequence_at; at < t->head->sequence_at + t->head->sequence_bytes;
         at++)
        t->bytes[at] = 0;
}

TEST(a_sequence_that_does_not_agree_with_its_lists_is_damage_to_scans_walks_and_merges)
{
    Folder f;
    folder_open(&f, FORGE_PLAIN, EVENTS);
    for (int i = 0; i < 2; i++) {
        Part *part = forged(&f, i == 0 ? as_it_is : an_event_for_another);
        CHECK(part != NULL);
        EXPECT_I64(damaged_rows(part, false) > 0, i);
        EXPECT_I64(damaged_rows(part, true) > 0, i);
        EXPECT_I64(merge_alone(&f, part), i == 0 ? ERR_OK : ERR_INTERNAL);
        EXPECT_I64(atomic_load(&part->damaged), i);
        part_unref(part);
    }
    folder_close(&f);
}

/* The sequence of a block backwards has as many of each list, in an order that their keys do not have. */
static void a_block_backwards(Tables *t)
{
    const uint32_t width = t->head->sequence_width;
    const PartBlock *b = &t->blocks[t->head->block_count - 1];
    const uint32_t first = b->first_row, n = b[1].first_row - first;
    uint8_t *at = (uint8_t *)t->bytes + t->head->sequence_at, codes[EVENTS];
    CHECK(n <= EVENTS && width > 0);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t bit = (first + i) * width;
        uint32_t two;
        memcpy(&two, at + bit / 8, sizeof two);
        codes[i] = (uint8_t)(two >> bit % 8 & ((1U << width) - 1));
    }
    for (uint32_t i = 0; i < n * width; i++) {
        const uint32_t bit = first * width + i;
        const uint8_t one = (uint8_t)(1 << bit % 8);
        at[bit / 8] = (codes[n - 1 - i / width] >> i % width & 1) != 0
                          ? at[bit / 8] | one
                          : at[bit / 8] & (uint8_t)~one;
    }
}

TEST(a_merge_of_rows_that_are_in_no_order_ends_as_damage)
{
    Folder f;
    folder_open(&f, FORGE_PLAIN, EVENTS);
    Part *part = forged(&f, a_block_backwards);
    CHECK(part != NULL);
    EXPECT_I64((int64_t)damaged_rows(part, false), 0); /* the lists have as many */
    EXPECT_I64(merge_alone(&f, part), ERR_INTERNAL);
    EXPECT_STREQ(f.ctx.fault.reason, "events.part_damaged");
    part_unref(part);
    folder_close(&f);
}

/* ---- values -------------------------------------------------------------------------------------------- */

/* Those of a shared list that say no event name. */
static void rows_without_a_name(Tables *t)
{
    const PartColumn *c = column_of(t, PROP_EVENT, PART_CODES);
    memset(t->bytes + c->at, 0, c->bytes);
}

TEST(rows_of_a_shared_list_without_an_event_name_are_damage)
{
    Folder f;
    folder_open(&f, FORGE_NAMES, 10 * EVENTS);
    Part *part = forged(&f, rows_without_a_name);
    CHECK(part != NULL && damaged_rows(part, false) > 0);
    EXPECT_I64(merge_alone(&f, part), ERR_INTERNAL);
    part_unref(part);
    folder_close(&f);
}

enum { CODES = 9 };

/* Event 1 of a person with each code, and event 2 behind it. */
static void add_coded(RowBuffer *b)
{
    for (uint32_t code = 1; code <= CODES; code++)
        for (uint32_t event = 1; event <= 2; event++) {
            rows_add(b, FORGE_ORIGIN_MS + event * 1000, PART_BLOCK_PERSONS + code, event);
            rows_value(b, PROP_FIRST, PART_CODES, 0, code);
        }
}

/* As many bits are needed without the largest. */
static void fewer_codes(Tables *t)
{
    for (uint32_t i = 0; i < t->head->column_count; i++)
        if (t->columns[i].prop == PROP_FIRST)
            t->columns[i].max = CODES - 1;
}

/* Those with the code that the column does not have are somewhere, or nowhere. */
static void ask_of_codes(Folder *f, Part *part)
{
    static const uint32_t NAMES[] = {1, 2};
    static const ScanProp CODE = {PROP_FIRST, 0};
    const ScanSelect steps[] = {
        {.events = NAMES, .event_count = 1, .from_ms = 0, .to_ms = INT64_MAX / 4},
        {.events = NAMES + 1, .event_count = 1, .from_ms = 0, .to_ms = INT64_MAX / 4}};
    ScanView view = {.parts = &part, .part_count = 1, .person_count = 2 * PART_BLOCK_PERSONS};
    Crew *crew = crew_new(1);
    const Query q = {.view = &view, .crew = crew};
    TouchResult touches;
    FunnelResult funnel;
    CHECK(query_touch(&f->ctx, &q,
                      &(Touch){.conversion = steps[1],
                               .touch = steps[0],
                               .look_back_ms = PART_WEEK_MS,
                               .breakdown = &CODE,
                               .breakdown_count = 1,
                               .top = CODES},
                      &touches) == ERR_OK);
    EXPECT_I64((int64_t)touches.total.conversions, CODES);
    CHECK(query_funnel(&f->ctx, &q,
                       &(Funnel){.steps = steps,
                                 .step_count = 2,
                                 .window_ms = PART_WEEK_MS,
                                 .hold = &CODE,
                                 .hold_count = 1},
                       &funnel) == ERR_OK);
    CHECK(funnel.total.persons[1] >= CODES - 1 && funnel.total.persons[1] <= CODES);
    crew_free(crew);
}

TEST(a_code_that_is_larger_than_its_column_says_does_no_harm_to_what_is_counted_by_code)
{
    Folder f = {.ctx.arena = arena_new(1 << 16)};
    RowBuffer b = {0};
    Part **made = NULL;
    uint32_t n = 0;
    add_coded(&b);
    CHECK(rows_build(&f.ctx, &b, FORGE_ORIGIN_MS, 1, 2, &made, &n) == ERR_OK && n == 1);
    f.part = made[0]->bytes;
    Part *part = forged(&f, fewer_codes);
    CHECK(part != NULL);
    ask_of_codes(&f, part);
    part_unref(part);
    part_unref(made[0]);
    rows_free(&b);
    arena_free(f.ctx.arena);
}

TEST(a_part_whose_values_are_not_within_their_plan_is_not_finished)
{
    static const int64_t VALUES[][2] = {{5, 9}, {5, 4}, {5, 14}, {5, PART_MISSING}};
    Ctx ctx = {.arena = arena_new(1 << 16)};
    for (size_t i = 0; i < ARRAY_LEN(VALUES); i++) {
        const PartColumnPlan column = {
            .prop = PROP_FIRST, .kind = PART_NUMBERS, .min = 5, .max = 12};
        const PartListPlan list = {.event = 1, .columns = &column, .column_count = 1};
        PartBuilder *b = part_builder_new(&(PartPlan){.lists = &list, .list_count = 1});
        int64_t values[2] = {VALUES[i][0], VALUES[i][1]};
        part_builder_block(b, 1, (const uint8_t[]){0, 0}, 2);
        part_builder_keys(b, 0, (const uint32_t[]){1, 2}, 2);
        part_builder_values(b, 0, 0, values, 2);
        EXPECT_I64(part_builder_finish(&ctx, b, sink_nothing, NULL),
                   i == 0 ? ERR_OK : ERR_INTERNAL);
        part_builder_free(b);
    }
    EXPECT_STREQ(ctx.fault.reason, "events.part_damaged");
    arena_free(ctx.arena);
}

TEST(a_number_that_no_text_has_is_spelled_empty)
{
    Schema *s = schema_new(&SCHEMA_LIMITS);
    const SchemaProp *p = schema_prop(s, SCHEMA_EVENT, STR("channel"), EVENT_TEXT);
    CHECK(schema_code(s, p->id, STR("web")) == 1 && schema_event(s, STR("Seen")) == 1);
    EXPECT_I64((int64_t)schema_text(s, p->id, 1).len, 3);
    EXPECT_I64((int64_t)schema_text(s, p->id, 2).len + (int64_t)schema_text(s, p->id, 0).len, 0);
    EXPECT_I64((int64_t)schema_event_name(s, 2).len + (int64_t)schema_event_name(s, 0).len, 0);
    schema_free(s);
}

/* ---- the manifest -------------------------------------------------------------------------------------- */

enum { ORIGIN_AT = 32, SEQ_AT = 40, NEXT_NUMBER_AT = 48, NAMES_NUMBER_AT = 56, FILES_AT = 184 };

typedef struct ForgedNumber {
    size_t at;
    uint64_t value;
} ForgedNumber;

TEST(a_manifest_whose_numbers_make_no_sense_is_refused_before_a_file_is_written_over)
{
    static const ForgedNumber FORGERIES[] = {
        {ORIGIN_AT, INT64_MAX},
        {ORIGIN_AT, UINT64_C(1) << 63},
        {SEQ_AT, 0},
        {SEQ_AT, UINT64_MAX},
        {NEXT_NUMBER_AT, 1},
        {NEXT_NUMBER_AT, UINT64_MAX},
        {FILES_AT, 2},
        {NAMES_NUMBER_AT, UINT64_MAX},
    };
    Folder f;
    Str good;
    Engine *e = NULL;
    folder_open(&f, FORGE_PLAIN, EVENTS);
    CHECK(file_load(&f.ctx, str_of(f.path), STR("manifest"), FILE_MAX, &good) == ERR_OK);
    char *bytes = arena_bytes(f.ctx.arena, good.len);
    for (size_t i = 0; i < ARRAY_LEN(FORGERIES); i++) {
        memcpy(bytes, good.ptr, good.len);
        memcpy(bytes + FORGERIES[i].at, &FORGERIES[i].value, sizeof FORGERIES[i].value);
        forge_seal_manifest(bytes, good.len);
        CHECK(file_replace(&f.ctx, str_of(f.path), STR("manifest"), (Str){bytes, good.len}) ==
              ERR_OK);
        EXPECT_I64(engine_open(&f.ctx, str_of(f.path), &FORGE_OPTIONS, &e), ERR_INTERNAL);
        EXPECT_STREQ(f.ctx.fault.reason, "events.manifest_damaged");
    }
    CHECK(file_replace(&f.ctx, str_of(f.path), STR("manifest"), good) == ERR_OK);
    CHECK(engine_open(&f.ctx, str_of(f.path), &FORGE_OPTIONS, &e) == ERR_OK);
    engine_close(e);
    folder_close(&f);
}

/* ---- times --------------------------------------------------------------------------------------------- */

TEST(a_select_without_an_end_has_the_events_of_a_week_that_begins_before_1970)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    const int64_t week_ms = -3 * INT64_C(86400000);
    const PartListPlan list = {.event = 1};
    PartBuilder *b =
        part_builder_new(&(PartPlan){.week_ms = week_ms, .lists = &list, .list_count = 1});
    const uint32_t second = 3 * 86400 + 5, key = 1U << PART_SECOND_BITS | second;
    Buf bytes = BUF_MAX(1 << 16);
    Part *part = NULL;
    part_builder_block(b, 1, (const uint8_t[]){0, 0}, 2);
    part_builder_keys(b, 0, (const uint32_t[]){key - 4, key}, 2);
    CHECK(part_builder_finish(&ctx, b, part_sink_buf, &bytes) == ERR_OK);
    part_builder_free(b);
    CHECK(part_open(&ctx, buf_str(&bytes), false, 0, &part) == ERR_OK);
    const ScanView view = {.parts = &part, .part_count = 1, .person_count = 2 * PART_BLOCK_PERSONS};
    const ScanSelect late = {.from_ms = 3000, .to_ms = INT64_MAX};
    Scanner *s = scanner_new(&view, &(ScanAsk){&late, 1, NULL, 0, false});
    ScanBatch batch;
    CHECK(scanner_batch(s, 1, &batch));
    EXPECT_I64(batch.from[batch.person_count], 1);
    EXPECT_I64(scanner_base_ms(s) + scan_ms(&batch, 0), 5000);
    scanner_free(s);
    part_unref(part);
    arena_free(ctx.arena);
}
