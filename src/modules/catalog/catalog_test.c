/*
 * modules/catalog/catalog_test.c -- what catalog.h promises.
 */
#include "modules/catalog/catalog.h"

#include "catalog.sql.h"
#include "modules/room_test.h"

typedef struct Put {
    Product in;
    int64_t id;
    bool changed;
} Put;

static Err apply_put(Tx *tx, void *arg)
{
    Put *p = arg;
    return catalog_product_put(tx, &p->in, &p->id, &p->changed);
}

static Product lipstick(void)
{
    return (Product){.code = STR("6901234567892"),
                     .name = STR("口红 #5"),
                     .brand = STR("Flora"),
                     .department = STR("彩妆"),
                     .category = STR("唇部"),
                     .size = STR("3.5 g")};
}

static void expect_same(Room *room, int64_t id, const Product *want)
{
    Product got;
    EXPECT_OK(room->ctx, catalog_product_find(room->ctx, id, &got));
    EXPECT_I64(got.id, id);
    const Str pairs[][2] = {{got.code, want->code},         {got.name, want->name},
                            {got.brand, want->brand},       {got.department, want->department},
                            {got.category, want->category}, {got.size, want->size}};
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        EXPECT_STREQ(ROOM_C(room, pairs[i][0]), ROOM_C(room, pairs[i][1]));
}

static int64_t products(Room *room)
{
    int64_t n = -1;
    EXPECT_OK(room->ctx, catalog_product_count(room->ctx, &n));
    return n;
}

ROOM_TEST(catalog_product_comes_back_as_it_was_put, &CATALOG_SCHEMA)
{
    Put p = {.in = lipstick()};
    EXPECT_OK(room->ctx, room_write(room, apply_put, &p));
    CHECK(p.changed);
    expect_same(room, p.id, &p.in);
    int64_t id = 0;
    EXPECT_OK(room->ctx, catalog_product_by_code(room->ctx, p.in.code, &id));
    EXPECT_I64(id, p.id);
    EXPECT_OK(room->ctx, catalog_product_by_code(room->ctx, STR("1"), &id));
    EXPECT_I64(id, 0);
    Product none;
    EXPECT_FAULT(room->ctx, catalog_product_find(room->ctx, 1, &none), ERR_NOT_FOUND,
                 "catalog.product_unknown");
}

ROOM_TEST(catalog_put_writes_only_what_is_given_and_differs, &CATALOG_SCHEMA)
{
    Put p = {.in = lipstick()};
    EXPECT_OK(room->ctx, room_write(room, apply_put, &p));
    Put again = {.in = lipstick(), .changed = true};
    EXPECT_OK(room->ctx, room_write(room, apply_put, &again));
    CHECK(!again.changed);
    EXPECT_I64(again.id, p.id);
    Put less = {.in = {.code = p.in.code}, .changed = true};
    EXPECT_OK(room->ctx, room_write(room, apply_put, &less));
    CHECK(!less.changed);
    Put other = {.in = {.code = p.in.code, .size = STR("4 g")}};
    EXPECT_OK(room->ctx, room_write(room, apply_put, &other));
    CHECK(other.changed);
    p.in.size = STR("4 g");
    expect_same(room, p.id, &p.in);
    EXPECT_I64(products(room), 1);
}

ROOM_TEST(catalog_put_names_a_new_product_by_its_code, &CATALOG_SCHEMA)
{
    Put p = {.in = {.code = STR("825123")}};
    EXPECT_OK(room->ctx, room_write(room, apply_put, &p));
    p.in.name = STR("825123");
    expect_same(room, p.id, &p.in);
}

ROOM_TEST(catalog_refuses_what_is_no_product_and_names_the_field, &CATALOG_SCHEMA)
{
    char longest[CATALOG_TEXT_BYTES_MAX + 1];
    memset(longest, 'a', sizeof longest);
    const Str long_text = {longest, sizeof longest};
    const struct {
        const char *pointer;
        Product in;
    } cases[] = {
        {"/code", {.name = STR("no code")}},
        {"/code", {.code = str_slice(long_text, 0, CATALOG_CODE_BYTES_MAX + 1)}},
        {"/code", {.code = STR("a\nb")}},
        {"/name", {.code = STR("1"), .name = long_text}},
        {"/brand", {.code = STR("1"), .brand = STR("\xc3")}},
        {"/department", {.code = STR("1"), .department = STR("a\tb")}},
        {"/category", {.code = STR("1"), .category = long_text}},
        {"/size", {.code = STR("1"), .size = STR("\0")}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Put p = {.in = cases[i].in, .id = 77};
        EXPECT_FAULT(room->ctx, room_write(room, apply_put, &p), ERR_INVALID, "catalog.invalid");
        EXPECT_STREQ(room->ctx->fault.pointer, cases[i].pointer);
        EXPECT_I64(p.id, 77);
    }
    EXPECT_I64(products(room), 0);
    Put p = {.in = {.code = STR("1")}};
    EXPECT_OK(room->ctx, room_write(room, apply_put, &p));
    p.in.brand = long_text;
    EXPECT_FAULT(room->ctx, room_write(room, apply_put, &p), ERR_INVALID, "catalog.invalid");
}

ROOM_TEST(catalog_page_walks_all_products_in_the_order_of_codes, &CATALOG_SCHEMA)
{
    const Str codes[] = {STR("30"), STR("100"), STR("a"), STR("A"), STR("9")};
    const char *const order[] = {"100", "30", "9", "A", "a"};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        Put p = {.in = {.code = codes[i]}};
        EXPECT_OK(room->ctx, room_write(room, apply_put, &p));
    }
    Str after = STR("");
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        Product *page = NULL;
        size_t n = 0;
        EXPECT_OK(room->ctx, catalog_product_page(room->ctx, after, 1, &page, &n));
        EXPECT_I64((int64_t)n, 1);
        EXPECT_STREQ(ROOM_C(room, page[0].code), order[i]);
        expect_same(room, page[0].id, &page[0]);
        after = page[0].code;
    }
    Product *page = NULL;
    size_t n = 9;
    EXPECT_OK(room->ctx, catalog_product_page(room->ctx, after, INT64_MAX, &page, &n));
    EXPECT_I64((int64_t)n, 0);
    EXPECT_OK(room->ctx, catalog_product_page(room->ctx, STR(""), -1, &page, &n));
    EXPECT_I64((int64_t)n, 0);
}
