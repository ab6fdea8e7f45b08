/*
 * engine/part/rows_test.c -- rows as they arrive: what questions see of the parts made of them, scan_test.c looks at.
 */
#include "engine/part/rows.h"

#include "base/rand.h"
#include "base/test.h"

#define ORIGIN_MS INT64_C(345600000)

enum { ROWS = 4000, PROPS = 40, EVENTS = 5, PERSONS = 50, FIELD = PROP_FIRST + PROPS };

/* What each row should have; PART_MISSING = nothing. */
typedef struct Model {
    int64_t values[ROWS][PROPS];
    uint32_t person[ROWS];
    Prng random;
} Model;

static uint32_t below(Model *m, uint32_t n)
{
    return (uint32_t)prng_below(&m->random, n);
}

/* Rows of one event name are alike but for a few. */
static void add_row(Model *m, RowBuffer *b, uint32_t row)
{
    const uint32_t event = 1 + below(m, EVENTS), first = below(m, 10) == 0 ? below(m, PROPS) : 0;
    m->person[row] = 1 + below(m, PERSONS);
    rows_add(b, ORIGIN_MS + row, m->person[row], event);
    for (uint32_t i = 0; i < PROPS; i++)
        m->values[row][i] = PART_MISSING;
    for (uint32_t i = 0; i < PROPS; i++) {
        const uint32_t prop = (first + i) % PROPS;
        if (prop % EVENTS > event || below(m, 4) == 0)
            continue;
        m->values[row][prop] = (int64_t)below(m, 1000) - 500;
        rows_value(b, PROP_FIRST + prop, PART_NUMBERS, 0, m->values[row][prop]);
    }
}

static void expect_row(const Model *m, uint32_t row, const RowBuffer *b, uint32_t at)
{
    CHECK(b->rows[at].person == m->person[row] && b->rows[at].time_ms == ORIGIN_MS + row);
    for (uint32_t i = 0; i < PROPS; i++)
        CHECK(rows_get(b, at, PROP_FIRST + i) == m->values[row][i]);
}

TEST(rows_have_the_values_that_were_put_also_when_a_person_is_taken_out)
{
    static Model m;
    RowBuffer b = {0}, taken = {0};
    m.random = prng_of(11);
    for (int round = 0; round < 4; round++) {
        for (uint32_t row = 0; row < ROWS; row++)
            add_row(&m, &b, row);
        for (uint32_t row = 0; row < ROWS; row++)
            expect_row(&m, row, &b, row);
        rows_take(&b, 7, &taken);
        uint32_t left = 0, out = 0;
        for (uint32_t row = 0; row < ROWS; row++)
            if (m.person[row] == 7)
                expect_row(&m, row, &taken, out++);
            else
                expect_row(&m, row, &b, left++);
        CHECK(left == b.count && out == taken.count && out > 0);
        rows_clear(&b);
        rows_clear(&taken);
    }
    rows_free(&b);
    rows_free(&taken);
}

/* The only list of a part, and its column of the property. */
static const PartColumn *column_of(const Part *part, uint32_t prop)
{
    const PartColumn *c = part_find_column(part, &part->lists[0], prop);
    CHECK(c != NULL);
    return c;
}

TEST(a_column_has_the_scale_that_numbers_of_its_own_week_need)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    RowBuffer b = {0};
    Part **parts = NULL;
    uint32_t count = 0;
    rows_add(&b, ORIGIN_MS, 1, 1);
    rows_value(&b, PROP_FIRST, PART_NUMBERS, 1, 125);
    rows_add(&b, ORIGIN_MS + PART_WEEK_MS, 1, 1);
    rows_value(&b, PROP_FIRST, PART_NUMBERS, 6, 1234567);
    rows_add(&b, ORIGIN_MS, 1, 1);
    rows_value(&b, PROP_FIRST, PART_NUMBERS, 0, 3);
    CHECK(rows_build(&ctx, &b, ORIGIN_MS, 1, 4, &parts, &count) == ERR_OK && count == 2);
    const PartColumn *first = column_of(parts[0], PROP_FIRST);
    const PartColumn *second = column_of(parts[1], PROP_FIRST);
    EXPECT_I64(first->scale, 1);
    EXPECT_I64(first->base, 30);
    EXPECT_I64(first->max, 125);
    EXPECT_I64(second->scale, 6);
    EXPECT_I64(second->max, 1234567);
    part_unref(parts[0]);
    part_unref(parts[1]);
    rows_free(&b);
    arena_free(ctx.arena);
}

/* Of three names, more than go in one piece; numbers of several scales, and values that are missing at the end. */
static void put_many(RowBuffer *b)
{
    for (uint32_t row = 0; row < 3000; row++) {
        rows_add(b, ORIGIN_MS + row * 7919 % 86400000, row * 31 % 500, 1 + row % 3);
        if (row < 2000)
            rows_value(b, PROP_FIRST, PART_NUMBERS, (int)(row % 3), 1000 + row);
        if (row % 5 != 0)
            rows_value(b, PROP_FIRST + 1, PART_CODES, 0, 1 + row % 7);
        rows_list(b, PROP_FIRST + 2, row % 3);
        for (uint32_t i = 0; i < row % 3; i++) {
            rows_item(b);
            rows_item_value(b, FIELD, PART_NUMBERS, (int)i, row + i);
        }
    }
}

TEST(a_part_is_the_same_whether_its_tables_have_rows_of_other_weeks_or_not)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    RowBuffer b = {0};
    Part **alone = NULL, **parts = NULL;
    uint32_t count = 0;
    put_many(&b);
    CHECK(rows_build(&ctx, &b, ORIGIN_MS, 1, 4, &alone, &count) == ERR_OK && count == 1);
    for (uint32_t event = 1; event <= 3; event++) {
        rows_add(&b, ORIGIN_MS + PART_WEEK_MS, 1, event);
        rows_value(&b, PROP_FIRST, PART_NUMBERS, 0, -5);
        rows_list(&b, PROP_FIRST + 2, 1);
        rows_item(&b);
        rows_item_value(&b, FIELD, PART_NUMBERS, 3, 123456);
    }
    CHECK(rows_build(&ctx, &b, ORIGIN_MS, 1, 4, &parts, &count) == ERR_OK && count == 2);
    CHECK(str_eq(parts[0]->bytes, alone[0]->bytes));
    part_unref(alone[0]);
    part_unref(parts[0]);
    part_unref(parts[1]);
    rows_free(&b);
    arena_free(ctx.arena);
}

TEST(a_number_that_does_not_fit_at_the_scale_of_the_others_is_missing)
{
    RowBuffer b = {0};
    rows_add(&b, ORIGIN_MS, 1, 1);
    rows_value(&b, PROP_FIRST, PART_NUMBERS, 0, ROWS_NUMBER_MAX);
    rows_add(&b, ORIGIN_MS, 1, 1);
    rows_value(&b, PROP_FIRST, PART_NUMBERS, 0, ROWS_NUMBER_MAX + 1);
    EXPECT_I64(rows_get(&b, 0, PROP_FIRST), ROWS_NUMBER_MAX);
    EXPECT_I64(rows_get(&b, 1, PROP_FIRST), PART_MISSING);
    rows_add(&b, ORIGIN_MS, 1, 1);
    rows_value(&b, PROP_FIRST, PART_NUMBERS, 2, 5);
    EXPECT_I64(rows_get(&b, 0, PROP_FIRST), PART_MISSING);
    EXPECT_I64(rows_get(&b, 2, PROP_FIRST), 5);
    EXPECT_I64(rows_rescaled(125000, 5, 2), 125);
    EXPECT_I64(rows_rescaled(PART_MISSING, 0, 3), PART_MISSING);
    rows_free(&b);
}

/* Seldom values take as much as many: that is what `room` says, and bounds. */
TEST(what_rows_take_is_said_and_most_of_it_given_back)
{
    RowBuffer b = {0};
    for (uint32_t row = 0; row < 20000; row++) {
        rows_add(&b, ORIGIN_MS, 1, 1);
        if (row >= 19000)
            for (uint32_t prop = 0; prop < 100; prop++)
                rows_value(&b, PROP_FIRST + prop, PART_CODES, 0, 1);
    }
    CHECK(b.room >= 100 * 20000 && b.room <= 2 * 100 * 20000);
    rows_clear(&b);
    CHECK(b.room == 0 && b.count == 0);
    rows_add(&b, ORIGIN_MS, 1, 1);
    rows_value(&b, PROP_FIRST, PART_CODES, 0, 1);
    rows_clear(&b);
    CHECK(b.room > 0 && b.room <= 1 << 20); /* for what comes next */
    rows_add(&b, ORIGIN_MS, 1, 1);
    EXPECT_I64(rows_get(&b, 0, PROP_FIRST), PART_MISSING);
    rows_free(&b);
}

TEST(items_go_with_their_rows)
{
    RowBuffer b = {0}, taken = {0};
    for (uint32_t row = 0; row < 30; row++) {
        rows_add(&b, ORIGIN_MS + row, 1 + row % 3, 1 + row % 2);
        if (row % 5 == 0)
            continue; /* has no list; the next one may be empty */
        rows_list(&b, PROP_FIRST, row % 4);
        for (uint32_t i = 0; i < row % 4; i++) {
            rows_item(&b);
            if (i != 1)
                rows_item_value(&b, FIELD, PART_NUMBERS, 0, 100 * row + i);
        }
    }
    rows_take(&b, 2, &taken);
    EXPECT_I64(taken.count, 10);
    for (uint32_t at = 0; at < taken.count; at++) {
        const uint32_t row = 1 + 3 * at;
        const RowTable *t = taken.tables[taken.rows[at].table];
        const int64_t count = rows_get(&taken, at, PROP_FIRST);
        EXPECT_I64(count, row % 5 == 0 ? PART_MISSING : row % 4);
        const RowColumn *c = &t->columns[0];
        for (uint32_t i = 0; count > 0 && i < (uint32_t)count; i++) {
            const RowColumn *field = &c->items->columns[0];
            const uint32_t item = c->starts[taken.rows[at].at] + i;
            const int64_t value = item < field->count ? field->values[item] : PART_MISSING;
            EXPECT_I64(value, i == 1 ? PART_MISSING : 100 * row + i);
        }
    }
    rows_free(&b);
    rows_free(&taken);
}
