/*
 * engine/part/part_test.c -- rows go into parts and come out again; damage is seen.
 */
#include "engine/core/dict_find.h"
#include "engine/engine_testkit.h"

#include <stdlib.h>

/* Rows of a part, read one value at a time, against the model. */
static void compare_list(const Part *p, const PartList *l, uint32_t *rows)
{
    CHECK(l->event != PART_REST || p->head->list_count == PART_LISTS_MAX);
    *rows += l->rows;
}

TEST(the_lists_of_the_parts_hold_every_row_once)
{
    const KitShape shape = {.rows = 5000, .persons = 5000, .events = 40, .weeks = 3};
    Kit k;
    kit_open(&k, 7, &shape, 2);
    uint32_t rows = 0, sequence = 0;
    for (uint32_t i = 0; i < k.view.part_count; i++) {
        const Part *p = k.view.parts[i];
        for (uint32_t l = 0; l < p->head->list_count; l++)
            compare_list(p, &p->lists[l], &rows);
        sequence += p->head->rows;
        CHECK(p->head->min_ms >= p->head->week_ms &&
              p->head->max_ms < p->head->week_ms + PART_WEEK_MS);
    }
    EXPECT_I64(rows, shape.rows);
    EXPECT_I64(sequence, shape.rows);
    kit_close(&k);
}

static Str copy_of(Str bytes)
{
    char *copy = malloc(bytes.len);
    CHECK(copy != NULL);
    memcpy(copy, bytes.ptr, bytes.len);
    return (Str){copy, bytes.len};
}

/* Whether any look at the part finds that something is wrong. */
static bool is_found(Ctx *ctx, Str bytes)
{
    Part *p = NULL;
    if (part_open(ctx, bytes, false, 1, &p) != ERR_OK) {
        free((void *)(uintptr_t)bytes.ptr);
        return true;
    }
    const bool found = part_verify(p, NULL, NULL) > 0;
    part_unref(p);
    return found;
}

TEST(a_flipped_bit_anywhere_in_a_part_is_found)
{
    const KitShape shape = {.rows = 400, .persons = 3000, .events = 12, .weeks = 1};
    Kit k;
    kit_open(&k, 8, &shape, 1);
    const Part *p = k.view.parts[0];
    CHECK(!is_found(&k.ctx, copy_of(p->bytes)));
    const size_t end = p->bytes.len - PART_SLACK_BYTES; /* zeros that nobody believes */
    for (size_t at = 0; at < end; at++) {
        const Str bytes = copy_of(p->bytes);
        ((char *)(uintptr_t)bytes.ptr)[at] ^= (char)(1 << kit_below(&k, 8));
        CHECK(is_found(&k.ctx, bytes));
    }
    kit_close(&k);
}

TEST(a_cut_part_is_refused)
{
    const KitShape shape = {.rows = 50, .persons = 300, .events = 5, .weeks = 1};
    Kit k;
    kit_open(&k, 9, &shape, 1);
    for (size_t n = 0; n < k.view.parts[0]->bytes.len; n += 7) {
        const Str bytes = copy_of(str_slice(k.view.parts[0]->bytes, 0, n));
        Part *none = NULL;
        EXPECT_I64(part_open(&k.ctx, bytes, false, 1, &none), ERR_INTERNAL);
        EXPECT_STREQ(k.ctx.fault.reason, "events.part_damaged");
        free((void *)(uintptr_t)bytes.ptr);
    }
    kit_close(&k);
}

TEST(a_range_takes_no_row_of_a_column_without_values)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    const PartColumnPlan column = {.prop = KIT_PROP(2),
                                   .kind = PART_NUMBERS,
                                   .nullable = true,
                                   .min = INT64_MAX,
                                   .max = INT64_MIN};
    const PartListPlan list = {.event = 1, .columns = &column, .column_count = 1};
    PartBuilder *b = part_builder_new(&(PartPlan){.lists = &list, .list_count = 1});
    const uint8_t lists[3] = {0};
    const uint32_t keys[3 + PART_SLACK_BYTES] = {1, 2, 3};
    int64_t values[3] = {PART_MISSING, PART_MISSING, PART_MISSING};
    part_builder_block(b, 1, lists, 3);
    part_builder_keys(b, 0, keys, 3);
    part_builder_values(b, 0, 0, values, 3);
    Str bytes;
    Part *p = NULL;
    CHECK(part_builder_finish_heap(&ctx, b, &bytes) == ERR_OK);
    part_builder_free(b);
    CHECK(part_open(&ctx, bytes, false, 0, &p) == ERR_OK);
    const FilterRows rows = {p, &p->lists[0], 0, 3, 1, keys};
    FilterScratch scratch = {0};
    uint8_t mask[3 + PART_SLACK_BYTES];
    for (int missing = 0; missing < 2; missing++) {
        const Filter f = {.kind = FILTER_RANGE,
                          .prop = KIT_PROP(2),
                          .min = INT64_MIN + 1,
                          .max = 100,
                          .missing = missing != 0};
        CHECK(filter_rows(&f, &rows, &scratch, mask));
        for (int i = 0; i < 3; i++)
            EXPECT_I64(mask[i], missing);
    }
    filter_scratch_free(&scratch);
    part_unref(p);
    arena_free(ctx.arena);
}

enum { STORED_ROWS = 3, STORED_COLUMNS = 3 };

/* Codes, numbers of 32 bits of which some are missing, and numbers of more bits. */
static PartBuilder *stored_builder(void)
{
    const PartColumnPlan columns[STORED_COLUMNS] = {
        {.prop = KIT_PROP(0), .kind = PART_CODES, .max = 9},
        {.prop = KIT_PROP(1), .kind = PART_NUMBERS, .nullable = true, .min = -5, .max = 100},
        {.prop = KIT_PROP(2), .kind = PART_NUMBERS, .max = INT64_C(1) << 32}};
    const PartListPlan list = {.event = 1, .columns = columns, .column_count = STORED_COLUMNS};
    PartBuilder *b = part_builder_new(&(PartPlan){.lists = &list, .list_count = 1});
    const uint8_t lists[STORED_ROWS] = {0};
    const uint32_t keys[STORED_ROWS + KERNEL_SLACK] = {1, 2, 3};
    part_builder_block(b, 1, lists, STORED_ROWS);
    part_builder_keys(b, 0, keys, STORED_ROWS);
    int64_t wide[STORED_ROWS] = {1, 2, INT64_C(1) << 32};
    part_builder_values(b, 0, 2, wide, STORED_ROWS);
    return b;
}

static Str finished(Ctx *ctx, PartBuilder *b)
{
    Str bytes = {0};
    CHECK(part_builder_finish_heap(ctx, b, &bytes) == ERR_OK);
    part_builder_free(b);
    return bytes;
}

TEST(values_that_come_as_they_are_stored_make_the_same_part)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    PartBuilder *told = stored_builder(), *stored = stored_builder();
    int64_t codes[STORED_ROWS] = {9, PART_MISSING, 1};
    int64_t numbers[STORED_ROWS] = {-5, 100, PART_MISSING};
    uint32_t stored_codes[STORED_ROWS] = {9, 0, 1}, stored_numbers[STORED_ROWS] = {1, 106, 0};
    part_builder_values(told, 0, 0, codes, STORED_ROWS);
    part_builder_values(told, 0, 1, numbers, STORED_ROWS);
    EXPECT_I64(part_builder_narrow(stored, 0, 0)->kind, PART_CODES);
    EXPECT_I64(part_builder_narrow(stored, 0, 1)->base, -5);
    EXPECT_I64(part_builder_narrow(stored, 0, 1)->nullable, true);
    CHECK(part_builder_narrow(stored, 0, 2) == NULL);
    part_builder_stored(stored, 0, 0, stored_codes, STORED_ROWS, 9 | 1);
    part_builder_stored(stored, 0, 1, stored_numbers, STORED_ROWS, 1 | 106);
    const Str one = finished(&ctx, told), other = finished(&ctx, stored);
    CHECK(str_eq(one, other));
    free((void *)(uintptr_t)one.ptr);
    free((void *)(uintptr_t)other.ptr);
    arena_free(ctx.arena);
}

TEST(what_is_stored_and_needs_more_bits_than_planned_is_damage)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    PartBuilder *b = stored_builder();
    Str bytes;
    uint32_t codes[STORED_ROWS] = {9, 16, 1}, numbers[STORED_ROWS] = {0};
    part_builder_stored(b, 0, 0, codes, STORED_ROWS, 9 | 16 | 1);
    part_builder_stored(b, 0, 1, numbers, STORED_ROWS, 0);
    EXPECT_I64(part_builder_finish_heap(&ctx, b, &bytes), ERR_INTERNAL);
    EXPECT_STREQ(ctx.fault.reason, "events.part_damaged");
    part_builder_free(b);
    arena_free(ctx.arena);
}

static Err count_calls(Ctx *ctx, const Str *stretches, size_t count, void *arg)
{
    (void)ctx;
    (void)stretches;
    uint32_t *calls = arg;
    CHECK(count > 0 && count <= PART_SINK_STRETCHES);
    *calls += 1;
    return ERR_OK;
}

TEST(many_small_columns_are_written_with_few_calls)
{
    enum { COLUMNS = 200 };
    Ctx ctx = {.arena = arena_new(1 << 16)};
    PartColumnPlan columns[COLUMNS];
    for (uint32_t c = 0; c < COLUMNS; c++)
        columns[c] = (PartColumnPlan){.prop = KIT_PROP(c), .kind = PART_CODES, .max = 9};
    const PartListPlan list = {.event = 1, .columns = columns, .column_count = COLUMNS};
    PartBuilder *b = part_builder_new(&(PartPlan){.lists = &list, .list_count = 1});
    const uint8_t lists[STORED_ROWS] = {0};
    const uint32_t keys[STORED_ROWS + KERNEL_SLACK] = {1, 2, 3};
    uint32_t calls = 0;
    part_builder_block(b, 1, lists, STORED_ROWS);
    part_builder_keys(b, 0, keys, STORED_ROWS);
    for (uint32_t c = 0; c < COLUMNS; c++)
        part_builder_values(b, 0, c, (int64_t[STORED_ROWS]){1, 2, 3}, STORED_ROWS);
    CHECK(part_builder_finish(&ctx, b, count_calls, &calls) == ERR_OK);
    EXPECT_I64(calls, 4);
    part_builder_free(b);
    arena_free(ctx.arena);
}

TEST(a_dictionary_gives_each_text_one_number_and_the_text_back)
{
    enum { TEXTS = 30000 };
    Arena *arena = arena_new(1 << 16);
    Dict *d = dict_new(TEXTS, UINT64_MAX);
    EXPECT_I64(dict_find(d, STR("nothing yet")), 0);
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < TEXTS; i++)
            EXPECT_I64(dict_add(d, arena_printf(arena, "text %u", i)), i + 1);
    EXPECT_I64(dict_count(d), TEXTS);
    for (uint32_t i = 0; i < TEXTS; i += 7) {
        const Str text = arena_printf(arena, "text %u", i);
        EXPECT_I64(dict_find(d, text), i + 1);
        CHECK(str_eq(dict_text(d, i + 1), text));
    }
    EXPECT_I64(dict_add(d, STR("one too many")), 0);
    EXPECT_I64(dict_find(d, STR("one too many")), 0);
    dict_free(d);
    arena_free(arena);
}

TEST(a_dictionary_gives_texts_of_every_length_back_also_looked_up_many_at_once)
{
    enum { LENGTH_MAX = 300, ROUNDS = 20 };
    static char bytes[LENGTH_MAX * 2];
    Dict *d = dict_new(LENGTH_MAX * ROUNDS + 1, UINT64_MAX);
    Prng r = prng_of(21);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)prng_u64(&r);
    uint32_t count = 0;
    for (uint32_t round = 0; round < ROUNDS; round++)
        for (uint32_t len = round == 0 ? 0 : 3; len < LENGTH_MAX; len++) {
            const Str text = {bytes + round, len};
            const DictKey key = dict_key(d, text), padded = dict_key_padded(d, text);
            CHECK(key.hash == padded.hash && key.low == padded.low && key.high == padded.high);
            for (DictStep step = DICT_SLOT; step < DICT_STEPS; step++)
                dict_near(d, key.hash, step);
            EXPECT_I64(dict_find_key(d, &key), 0);
            EXPECT_I64(dict_add_key(d, &key), ++count);
            EXPECT_I64(dict_find_key(d, &padded), count);
            EXPECT_I64(dict_add(d, text), count);
        }
    CHECK(dict_is_large(d));
    count = 0;
    for (uint32_t round = 0; round < ROUNDS; round++)
        for (uint32_t len = round == 0 ? 0 : 3; len < LENGTH_MAX; len++) {
            const Str text = {bytes + round, len};
            CHECK(str_eq(dict_text(d, ++count), text) && dict_find(d, text) == count);
        }
    dict_free(d);
}

TEST(a_dictionary_finds_no_forgotten_text_however_it_grows_and_recalled_ones_again)
{
    enum { TEXTS = 3000, ALL = 40000, RECALLED = 5 };
    Arena *arena = arena_new(1 << 16);
    Dict *d = dict_new(ALL + TEXTS, UINT64_MAX);
    for (uint32_t i = 1; i <= TEXTS; i++) {
        CHECK(dict_add(d, arena_printf(arena, "text %u", i)) == i);
        if (i % 3 == 0)
            dict_forget(d, i);
    }
    for (uint32_t i = RECALLED; i < TEXTS; i += 2 * RECALLED) /* every third of them has one */
        if (i % 3 == 0)
            dict_recall(d, i, arena_printf(arena, "again %u", i));
    for (uint32_t i = TEXTS + 1; i <= ALL; i++)
        CHECK(dict_add(d, arena_printf(arena, "text %u", i)) == i);
    for (uint32_t i = 1; i <= ALL; i++) {
        const bool forgotten = i <= TEXTS && i % 3 == 0;
        const bool recalled = forgotten && i % (2 * RECALLED) == RECALLED && i < TEXTS;
        EXPECT_I64(dict_find(d, arena_printf(arena, "text %u", i)), forgotten ? 0 : i);
        EXPECT_I64(dict_find(d, arena_printf(arena, "again %u", i)), recalled ? i : 0);
    }
    dict_free(d);
    arena_free(arena);
}

TEST(a_dictionary_takes_no_text_beyond_its_bytes_and_still_finds_the_others)
{
    Dict *d = dict_new(100, 2 * DICT_TEXT_COST + 10);
    EXPECT_I64(dict_add(d, STR("12345")), 1);
    EXPECT_I64(dict_add(d, STR("123456")), 0);
    EXPECT_I64(dict_add(d, STR("abcde")), 2);
    EXPECT_I64(dict_add(d, STR("")), 0);
    EXPECT_I64(dict_add(d, STR("12345")), 1);
    EXPECT_I64((int64_t)dict_cost(d), 2 * DICT_TEXT_COST + 10);
    dict_free(d);
}

TEST(weeks_begin_where_the_first_one_says_also_before_it)
{
    const int64_t origin = KIT_ORIGIN_MS;
    EXPECT_I64(rows_week_ms(origin, origin), origin);
    EXPECT_I64(rows_week_ms(origin + PART_WEEK_MS - 1, origin), origin);
    EXPECT_I64(rows_week_ms(origin - 1, origin), origin - PART_WEEK_MS);
    EXPECT_I64(rows_week_ms(0, origin), origin - 2870 * PART_WEEK_MS);
}
