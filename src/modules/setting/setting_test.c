/*
 * modules/setting/setting_test.c -- what setting.h promises.
 */
#include "modules/setting/setting.h"

#include "modules/room_test.h"
#include "setting.sql.h"

static Err save_body(Tx *tx, void *arg)
{
    return setting_save(tx, arg);
}

static void expect_same(const Settings *got, const Settings *want)
{
    EXPECT_STREQ(got->currency, want->currency);
    EXPECT_I64(got->exponent, want->exponent);
    EXPECT_STREQ(got->region, want->region);
    EXPECT_I64(got->offset_min, want->offset_min);
    EXPECT_I64(got->cutover_hour, want->cutover_hour);
    EXPECT_STREQ(got->name, want->name);
}

ROOM_TEST(setting_of_a_new_folder_is_the_default, &SETTING_SCHEMA)
{
    const Settings want = {
        .currency = "CNY", .exponent = 2, .region = "CN", .offset_min = 480, .cutover_hour = 0};
    const Settings standard = setting_default();
    Settings got;
    EXPECT_OK(room->ctx, setting_load(room->ctx, &got));
    expect_same(&got, &want);
    expect_same(&standard, &want);
}

ROOM_TEST(setting_comes_back_as_it_was_saved, &SETTING_SCHEMA)
{
    Settings in = {
        .currency = "JPY", .exponent = 0, .region = "JP", .offset_min = -840, .cutover_hour = 23};
    memset(in.name, 'n', sizeof in.name - 1);
    Settings got;
    EXPECT_OK(room->ctx, room_write(room, save_body, &in));
    EXPECT_OK(room->ctx, setting_load(room->ctx, &got));
    expect_same(&got, &in);
    (void)snprintf(in.name, sizeof in.name, "连锁");
    in.offset_min = 840;
    in.cutover_hour = 4;
    EXPECT_OK(room->ctx, room_write(room, save_body, &in));
    EXPECT_OK(room->ctx, setting_load(room->ctx, &got));
    expect_same(&got, &in);
}

ROOM_TEST(setting_currency_never_changes, &SETTING_SCHEMA)
{
    Settings cny = setting_default(), usd = cny, got;
    memcpy(usd.currency, "USD", 4);
    EXPECT_OK(room->ctx, room_write(room, save_body, &cny));
    EXPECT_FAULT(room->ctx, room_write(room, save_body, &usd), ERR_CONFLICT,
                 "setting.currency_fixed");
    EXPECT_OK(room->ctx, room_write(room, save_body, &cny));
    EXPECT_OK(room->ctx, setting_load(room->ctx, &got));
    EXPECT_STREQ(got.currency, "CNY");
}

ROOM_TEST(setting_that_is_none_is_refused_whole, &SETTING_SCHEMA)
{
    const struct {
        const char *reason, *pointer, *currency;
        int exponent;
        const char *region;
        int32_t offset_min, cutover_hour;
    } cases[] = {{"setting.currency", "/currency", "XXX", 2, "CN", 0, 0},
                 {"setting.currency", "/currency", "XXX", -1, "CN", 0, 0},
                 {"setting.currency", "/currency", "", -1, "CN", 0, 0},
                 {"setting.currency", "/currency", "cny", 2, "CN", 0, 0},
                 {"setting.currency", "/currency", "JPY", 2, "CN", 0, 0},
                 {"setting.region", "/region", "CNY", 2, "", 0, 0},
                 {"setting.region", "/region", "CNY", 2, "C", 0, 0},
                 {"setting.region", "/region", "CNY", 2, "cn", 0, 0},
                 {"setting.region", "/region", "CNY", 2, "86", 0, 0},
                 {"setting.zone", "/offset_min", "CNY", 2, "CN", 841, 0},
                 {"setting.zone", "/offset_min", "CNY", 2, "CN", -841, 0},
                 {"setting.zone", "/offset_min", "CNY", 2, "CN", 0, 24},
                 {"setting.zone", "/offset_min", "CNY", 2, "CN", 0, -1}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Settings in = {.exponent = cases[i].exponent,
                       .offset_min = cases[i].offset_min,
                       .cutover_hour = cases[i].cutover_hour};
        (void)snprintf(in.currency, sizeof in.currency, "%s", cases[i].currency);
        (void)snprintf(in.region, sizeof in.region, "%s", cases[i].region);
        EXPECT_FAULT(room->ctx, room_write(room, save_body, &in), ERR_INVALID, cases[i].reason);
        EXPECT_STREQ(room->ctx->fault.pointer, cases[i].pointer);
    }
    Row_setting_list *rows = NULL;
    size_t n = 0;
    EXPECT_OK(room->ctx, sql_setting_list(room->ctx, &rows, &n));
    EXPECT_I64((int64_t)n, 0);
}

ROOM_TEST(setting_that_is_damaged_is_not_guessed, &SETTING_SCHEMA)
{
    static const char *const DAMAGE[] = {
        "INSERT INTO setting(name, value) VALUES ('currency', 'XXX');",
        "INSERT INTO setting(name, value) VALUES ('region', 'china');",
        "INSERT INTO setting(name, value) VALUES ('offset_min', '841');",
        "INSERT INTO setting(name, value) VALUES ('offset_min', 'eight');",
        "INSERT INTO setting(name, value) VALUES ('cutover_hour', '24');"};
    for (size_t i = 0; i < ARRAY_LEN(DAMAGE); i++) {
        Settings got = {.exponent = 77};
        EXPECT_OK(room->ctx, database_script(room->world.database, room->ctx, DAMAGE[i]));
        EXPECT_FAULT(room->ctx, setting_load(room->ctx, &got), ERR_INTERNAL, "setting.damaged");
        EXPECT_I64(got.exponent, 77);
        EXPECT_OK(room->ctx,
                  database_script(room->world.database, room->ctx, "DELETE FROM setting;"));
    }
    Settings got;
    EXPECT_OK(room->ctx,
              database_script(room->world.database, room->ctx,
                              "INSERT INTO setting(name, value) VALUES ('of tomorrow', 'x');"));
    EXPECT_OK(room->ctx, setting_load(room->ctx, &got));
}

TEST(setting_currency_has_the_exponent_of_iso_4217)
{
    const struct {
        const char *code;
        int exponent;
    } cases[] = {{"CNY", 2}, {"HKD", 2}, {"USD", 2},  {"JPY", 0}, {"KRW", 0}, {"VND", 0},
                 {"KWD", 3}, {"BHD", 3}, {"cny", -1}, {"", -1},   {"CN", -1}, {"CNYX", -1}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        EXPECT_I64(setting_currency_exponent(str_of(cases[i].code)), cases[i].exponent);
}

TEST(setting_day_begins_at_the_cut_over_hour_of_the_zone)
{
    Settings s = setting_default();
    const Ctx ctx = {.settings = &s};
    const int64_t midnight = ROOM_NOW_MS + 12 * INT64_C(3600000); /* in China, of the 22nd */
    EXPECT_I64(setting_day(&ctx, midnight - 1), 20261121);
    EXPECT_I64(setting_day(&ctx, midnight), 20261122);
    s.cutover_hour = 4;
    EXPECT_I64(setting_day(&ctx, midnight + 4 * INT64_C(3600000) - 1), 20261121);
    EXPECT_I64(setting_day(&ctx, midnight + 4 * INT64_C(3600000)), 20261122);
    s.cutover_hour = 0;
    s.offset_min = 0;
    EXPECT_I64(setting_day(&ctx, midnight), 20261121);
    s.offset_min = -330;
    EXPECT_I64(setting_day(&ctx, 0), 19691231);
}
