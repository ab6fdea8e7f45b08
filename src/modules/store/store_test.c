/*
 * modules/store/store_test.c -- what store.h promises.
 */
#include "modules/store/store.h"

#include "modules/room_test.h"
#include "modules/store/store_http.h"
#include "store.api.h"
#include "store.sql.h"

typedef struct Put {
    Store in;
    int64_t id;
    bool changed;
} Put;

static Err apply_create(Tx *tx, void *arg)
{
    Put *p = arg;
    return store_create(tx, &p->in, &p->id);
}

static Err apply_update(Tx *tx, void *arg)
{
    return store_update(tx, &((Put *)arg)->in);
}

static Err apply_put(Tx *tx, void *arg)
{
    Put *p = arg;
    return store_put(tx, &p->in, &p->id, &p->changed);
}

static Store shop(void)
{
    return (Store){.code = STR("SH001"),
                   .name = STR("南京东路店"),
                   .phone = STR("400-820-8820 转 801"),
                   .city = STR("上海"),
                   .address = STR("南京东路 100 号"),
                   .hours = STR("Mo-Fr 09:00-21:00; Sa,Su 10:00-02:00"),
                   .lat_e7 = {true, 312345678},
                   .lng_e7 = {true, 1214567890},
                   .datum = STR("gcj02"),
                   .zone = STR("Asia/Shanghai"),
                   .cutover_hour = 4};
}

static void expect_same(Room *room, const Store *got, const Store *want)
{
    const Str pairs[][2] = {{got->code, want->code},       {got->name, want->name},
                            {got->phone, want->phone},     {got->city, want->city},
                            {got->address, want->address}, {got->hours, want->hours},
                            {got->datum, want->datum},     {got->zone, want->zone}};
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        EXPECT_STREQ(ROOM_C(room, pairs[i][0]), ROOM_C(room, pairs[i][1]));
    EXPECT_I64(got->lat_e7.has, want->lat_e7.has);
    EXPECT_I64(got->lat_e7.v, want->lat_e7.v);
    EXPECT_I64(got->lng_e7.has, want->lng_e7.has);
    EXPECT_I64(got->lng_e7.v, want->lng_e7.v);
    EXPECT_I64(got->cutover_hour, want->cutover_hour);
}

static int64_t shops(Room *room)
{
    int64_t n = -1;
    EXPECT_OK(room->ctx, store_count(room->ctx, &n));
    return n;
}

ROOM_TEST(store_comes_back_as_it_was_created, &STORE_SCHEMA)
{
    Put p = {.in = shop()};
    EXPECT_OK(room->ctx, room_write(room, apply_create, &p));
    Store got;
    EXPECT_OK(room->ctx, store_find(room->ctx, p.id, &got));
    expect_same(room, &got, &p.in);
    EXPECT_I64(got.id, p.id);
    EXPECT_I64(got.created_ms, ROOM_NOW_MS);
    int64_t id = 0;
    EXPECT_OK(room->ctx, store_by_code(room->ctx, STR("SH001"), &id));
    EXPECT_I64(id, p.id);
    EXPECT_OK(room->ctx, store_by_code(room->ctx, STR("sh001"), &id));
    EXPECT_I64(id, 0);
}

ROOM_TEST(store_that_is_not_there_is_unknown, &STORE_SCHEMA)
{
    Store got = {.id = 77};
    EXPECT_FAULT(room->ctx, store_find(room->ctx, 1, &got), ERR_NOT_FOUND, "store.unknown");
    EXPECT_I64(got.id, 77);
    Put p = {.in = shop()};
    p.in.id = 1;
    EXPECT_FAULT(room->ctx, room_write(room, apply_update, &p), ERR_NOT_FOUND, "store.unknown");
}

ROOM_TEST(store_code_is_taken_once, &STORE_SCHEMA)
{
    Put first = {.in = shop()}, second = {.in = shop(), .id = 77};
    second.in.name = STR("another");
    EXPECT_OK(room->ctx, room_write(room, apply_create, &first));
    EXPECT_FAULT(room->ctx, room_write(room, apply_create, &second), ERR_CONFLICT,
                 "store.code_taken");
    EXPECT_I64(second.id, 77);
    EXPECT_I64(shops(room), 1);
    Store got;
    EXPECT_OK(room->ctx, store_find(room->ctx, first.id, &got));
    expect_same(room, &got, &first.in);
}

static Str long_text(Room *room, size_t n)
{
    char *p = arena_bytes(room->ctx->arena, n);
    memset(p, 'a', n);
    return (Str){p, n};
}

ROOM_TEST(store_refuses_what_is_no_shop_and_names_the_field, &STORE_SCHEMA)
{
    const Str longest = long_text(room, 201);
    const struct {
        const char *pointer;
        Store with;
    } cases[] = {
#define CASE(pointer, field, ...)                                                                  \
    {                                                                                              \
        pointer,                                                                                   \
        {                                                                                          \
            .field = __VA_ARGS__                                                                   \
        }                                                                                          \
    }
        CASE("/code", code, str_slice(longest, 0, 65)),
        CASE("/code", code, STR("SH\n1")),
        CASE("/name", name, longest),
        CASE("/name", name, STR("\xff")),
        CASE("/phone", phone, STR("none")),
        CASE("/phone", phone, STR("021\0001")),
        CASE("/city", city, longest),
        CASE("/address", address, STR("a\tb")),
        CASE("/hours", hours, STR("9 to 5")),
        CASE("/lat_e7", lat_e7, {true, 900000001}),
        CASE("/lat_e7", lat_e7, {true, -900000001}),
        CASE("/lng_e7", lng_e7, {true, 1800000001}),
        CASE("/lng_e7", lng_e7, {true, INT64_MIN}),
        CASE("/datum", datum, STR("bd-09")),
        CASE("/zone", zone, STR("Asia Shanghai")),
        CASE("/zone", zone, STR("/etc")),
        CASE("/cutover_hour", cutover_hour, 24),
        CASE("/cutover_hour", cutover_hour, -1),
#undef CASE
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const Store *with = &cases[i].with;
        Put p = {.in = shop()};
        const struct {
            Str *into;
            Str given;
        } texts[] = {{&p.in.code, with->code},       {&p.in.name, with->name},
                     {&p.in.phone, with->phone},     {&p.in.city, with->city},
                     {&p.in.address, with->address}, {&p.in.hours, with->hours},
                     {&p.in.datum, with->datum},     {&p.in.zone, with->zone}};
        for (size_t t = 0; t < ARRAY_LEN(texts); t++)
            if (texts[t].given.len > 0)
                *texts[t].into = texts[t].given;
        if (with->lat_e7.has)
            p.in.lat_e7 = with->lat_e7;
        if (with->lng_e7.has)
            p.in.lng_e7 = with->lng_e7;
        if (with->cutover_hour != 0)
            p.in.cutover_hour = with->cutover_hour;
        EXPECT_FAULT(room->ctx, room_write(room, apply_create, &p), ERR_INVALID, "store.invalid");
        EXPECT_STREQ(room->ctx->fault.pointer, cases[i].pointer);
    }
    EXPECT_I64(shops(room), 0);
}

ROOM_TEST(store_needs_code_and_name_and_both_coordinates, &STORE_SCHEMA)
{
    Put no_code = {.in = shop()}, no_name = no_code, no_lat = no_code, no_lng = no_code;
    no_code.in.code = STR("");
    no_name.in.name = STR("");
    no_lat.in.lat_e7 = (OptI64){0};
    no_lng.in.lng_e7 = (OptI64){0};
    const struct {
        Put *put;
        const char *pointer;
    } cases[] = {
        {&no_code, "/code"}, {&no_name, "/name"}, {&no_lat, "/lat_e7"}, {&no_lng, "/lng_e7"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        EXPECT_FAULT(room->ctx, room_write(room, apply_create, cases[i].put), ERR_INVALID,
                     "store.invalid");
        EXPECT_STREQ(room->ctx->fault.pointer, cases[i].pointer);
    }
    Put edge = {.in = {.code = STR("N"),
                       .name = STR("pole"),
                       .lat_e7 = {true, -900000000},
                       .lng_e7 = {true, 1800000000}}};
    EXPECT_OK(room->ctx, room_write(room, apply_create, &edge));
    Store got;
    EXPECT_OK(room->ctx, store_find(room->ctx, edge.id, &got));
    EXPECT_STREQ(ROOM_C(room, got.datum), "wgs84");
}

ROOM_TEST(store_update_changes_all_but_code_and_birth, &STORE_SCHEMA)
{
    Put p = {.in = shop()};
    EXPECT_OK(room->ctx, room_write(room, apply_create, &p));
    room_advance(room, 1000);
    Put u = {.in = {.id = p.id,
                    .code = STR("other"),
                    .name = STR("renamed"),
                    .datum = STR("bd09"),
                    .cutover_hour = 0}};
    EXPECT_OK(room->ctx, room_write(room, apply_update, &u));
    Store got;
    EXPECT_OK(room->ctx, store_find(room->ctx, p.id, &got));
    u.in.code = STR("SH001");
    expect_same(room, &got, &u.in);
    EXPECT_I64(got.created_ms, ROOM_NOW_MS);
    u.in.code = STR("");
    EXPECT_OK(room->ctx, room_write(room, apply_update, &u));
    u.in.hours = STR("Mo");
    u.in.cutover_hour = 30;
    EXPECT_FAULT(room->ctx, room_write(room, apply_update, &u), ERR_INVALID, "store.invalid");
    EXPECT_OK(room->ctx, store_find(room->ctx, p.id, &got));
    CHECK(got.hours.len == 0);
}

ROOM_TEST(store_put_writes_only_what_is_given_and_differs, &STORE_SCHEMA)
{
    Put p = {.in = shop()};
    EXPECT_OK(room->ctx, room_write(room, apply_put, &p));
    CHECK(p.changed);
    Put again = {.in = shop(), .changed = true};
    EXPECT_OK(room->ctx, room_write(room, apply_put, &again));
    CHECK(!again.changed);
    EXPECT_I64(again.id, p.id);
    Put less = {.in = {.code = STR("SH001"), .cutover_hour = 9}, .changed = true};
    EXPECT_OK(room->ctx, room_write(room, apply_put, &less));
    CHECK(!less.changed);
    Put other = {
        .in = {
            .code = STR("SH001"), .city = STR("杭州"), .lat_e7 = {true, 1}, .lng_e7 = {true, 2}}};
    EXPECT_OK(room->ctx, room_write(room, apply_put, &other));
    CHECK(other.changed);
    Store want = shop(), got;
    want.city = STR("杭州");
    want.lat_e7.v = 1;
    want.lng_e7.v = 2;
    want.datum = STR("wgs84");
    EXPECT_OK(room->ctx, store_find(room->ctx, p.id, &got));
    expect_same(room, &got, &want);
    other.in.datum = STR("bd09"); /* the same numbers, another place */
    EXPECT_OK(room->ctx, room_write(room, apply_put, &other));
    CHECK(other.changed);
    Put wrong = {.in = {.code = STR("SH001"), .hours = STR("always")}, .id = 77, .changed = true};
    EXPECT_FAULT(room->ctx, room_write(room, apply_put, &wrong), ERR_INVALID, "store.invalid");
    EXPECT_I64(wrong.id, 77);
    Put half = {.in = {.code = STR("SH001"), .lat_e7 = {true, 1}}};
    EXPECT_FAULT(room->ctx, room_write(room, apply_put, &half), ERR_INVALID, "store.invalid");
}

ROOM_TEST(store_put_names_a_new_shop_by_its_code, &STORE_SCHEMA)
{
    Put p = {.in = {.code = STR("297")}};
    EXPECT_OK(room->ctx, room_write(room, apply_put, &p));
    CHECK(p.changed);
    Store got;
    EXPECT_OK(room->ctx, store_find(room->ctx, p.id, &got));
    EXPECT_STREQ(ROOM_C(room, got.name), "297");
    Put none = {.in = {.name = STR("no code")}};
    EXPECT_FAULT(room->ctx, room_write(room, apply_put, &none), ERR_INVALID, "store.invalid");
    EXPECT_STREQ(room->ctx->fault.pointer, "/code");
}

ROOM_TEST(store_page_walks_all_shops_in_the_order_of_codes, &STORE_SCHEMA)
{
    const Str codes[] = {STR("b"), STR("B"), STR("京"), STR("a"), STR("10"), STR("9")};
    const char *const order[] = {"10", "9", "B", "a", "b", "京"};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        Put p = {.in = {.code = codes[i]}};
        EXPECT_OK(room->ctx, room_write(room, apply_put, &p));
    }
    Str after = STR("");
    for (size_t i = 0; i < ARRAY_LEN(order); i += 2) {
        Store *page = NULL;
        size_t n = 0;
        EXPECT_OK(room->ctx, store_page(room->ctx, after, 2, &page, &n));
        EXPECT_I64((int64_t)n, 2);
        EXPECT_STREQ(ROOM_C(room, page[0].code), order[i]);
        EXPECT_STREQ(ROOM_C(room, page[1].code), order[i + 1]);
        after = page[1].code;
    }
    Store *page = NULL;
    size_t n = 9;
    EXPECT_OK(room->ctx, store_page(room->ctx, after, 2, &page, &n));
    EXPECT_I64((int64_t)n, 0);
    EXPECT_OK(room->ctx, store_page(room->ctx, STR(""), -1, &page, &n));
    EXPECT_I64((int64_t)n, 0);
    EXPECT_I64(shops(room), 6);
}

TEST(store_hours_are_those_of_schema_org)
{
    const struct {
        const char *text;
        bool valid;
    } cases[] = {{"Mo-Su", true},
                 {"Mo-Su 09:00-21:00", true},
                 {"Tu,Th 16:00-20:00", true},
                 {"Mo,We-Fr,Su 09:00-12:00,13:30-18:00; Sa 10:00-24:00", true},
                 {"Fr-Mo 18:00-02:00", true},
                 {"Mo 00:00-24:00;Tu 00:00-00:01", true},
                 {"", false},
                 {"Mo ", false},
                 {"Mo  09:00-10:00", false},
                 {"mo 09:00-10:00", false},
                 {"Mo-", false},
                 {"Mo,", false},
                 {"Mo-Tu-We", false},
                 {"Mo 9:00-10:00", false},
                 {"Mo 09:00", false},
                 {"Mo 09:00-09:00", false},
                 {"Mo 24:00-09:00", false},
                 {"Mo 09:00-24:01", false},
                 {"Mo 09:60-10:00", false},
                 {"Mo 09:00-10:00,", false},
                 {"Mo 09:00-10:00;", false},
                 {"Mo 09:00-10:00 ", false},
                 {"Mo 09:00-10:00 Tu 09:00-10:00", false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        EXPECT_I64(store_hours_valid(str_of(cases[i].text)), cases[i].valid);
    CHECK(!store_hours_valid((Str){"Mo\0", 3}));
}

/* ---- through the doors ----------------------------------------------------------------------- */

typedef struct Knock {
    const Door *door;
    Call call;
} Knock;

static Err knock_body(Tx *tx, void *arg)
{
    Knock *k = arg;
    return k->door->apply(tx, &k->call);
}

static Err knock(Room *room, const ApiOperation *operation, Call call)
{
    Knock k = {STORE_DOORS, call};
    while (k.door->operation != operation)
        k.door++;
    return room_write(room, knock_body, &k);
}

ROOM_TEST(store_doors_let_who_works_in_some_shops_change_those_and_make_none, &STORE_SCHEMA)
{
    Put mine = {.in = shop()}, other = {.in = shop()};
    other.in.code = STR("SH002");
    EXPECT_OK(room->ctx, room_write(room, apply_create, &mine));
    EXPECT_OK(room->ctx, room_write(room, apply_create, &other));
    const Principal local = {.kind = PRINCIPAL_KEY, .store_count = 1, .stores = {mine.id}};
    const ApiStoreDraft draft = {.code = STR("SH003"), .name = STR("new name")};
    const ApiStoreUpdatePath to_mine = {.id = mine.id}, to_other = {.id = other.id};
    ApiStoreView view = {0};
    room->ctx->who = &local;
    EXPECT_FAULT(room->ctx,
                 knock(room, &API_OP_STORE_CREATE, (Call){.body = &draft, .reply = &view}),
                 ERR_DENIED, "auth.store");
    EXPECT_FAULT(room->ctx,
                 knock(room, &API_OP_STORE_UPDATE,
                       (Call){.params = &to_other, .body = &draft, .reply = &view}),
                 ERR_DENIED, "auth.store");
    EXPECT_I64(shops(room), 2);
    EXPECT_OK(room->ctx, knock(room, &API_OP_STORE_UPDATE,
                               (Call){.params = &to_mine, .body = &draft, .reply = &view}));
    EXPECT_STREQ(ROOM_C(room, view.name), "new name");
    room->ctx->who = &PRINCIPAL_OF_SYSTEM;
    EXPECT_OK(room->ctx, knock(room, &API_OP_STORE_CREATE, (Call){.body = &draft, .reply = &view}));
    EXPECT_I64(shops(room), 3);
}
