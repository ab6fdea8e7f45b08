/*
 * modules/intake/intake_map_test.c -- what a map may say, and what is said about one that is wrong.
 */
#include "base/test.h"
#include "modules/intake/intake_map.h"
#include "modules/intake/intake_testing.h"

#include <stdlib.h>

#define HEAD "version: 1\ncurrency: CNY\nexponent: 2\nzone: Asia/Shanghai\nfiles:\n"

/* What is said about the map; "" when it loads. */
static const char *complaint(const char *text)
{
    static char hint[256];
    Ctx ctx = {.arena = arena_new(1 << 16)};
    const IntakeMap *map = NULL;
    const Err err = intake_map_parse(&ctx, STR("m.yaml"), str_of(text), &map);
    (void)snprintf(hint, sizeof hint, "%s", err == ERR_OK ? "" : ctx.fault.hint);
    CHECK(err == ERR_OK || ctx.fault.reason != NULL);
    arena_free(ctx.arena);
    return hint;
}

TEST(map_accepts_all_it_documents)
{
    EXPECT_STREQ(
        complaint(HEAD "  - file: 'orders_*.csv'\n    target: orders\n    optional: true\n"
                       "    encoding: gb18030\n    delimiter: ';'\n    skip_lines: 2\n"
                       "    columns: [no, at, sku, n, paid]\n    group_by: [no]\n    sorted: true\n"
                       "    fields:\n      number: no\n      channel: {constant: web}\n"
                       "      placed_at: {column: at, parse: epoch, zone: '+08:00'}\n"
                       "      store: {column: [shop, store], optional: true, default: S1}\n"
                       "    lines:\n      sku: {concat: [sku], with: '-', trim: false}\n"
                       "      quantity: {column: n, map: {one: 1}, otherwise: 0}\n"
                       "      sales: {column: paid, remove: [',', '¥'], float_noise: true}\n"
                       "    skip: [{as: test, column: no, in: [0, 1]}]\n"
                       "    count: [{as: none, column: n, empty: true},\n"
                       "            {as: odd, sum: [n], exceeds: [paid, n]}]\n"
                       "  - file: p.xlsx\n    sheet: 会员\n    target: people\n"
                       "    fields: {phone: mobile}\n    attributes: {age: age}\n"
                       "  - file: e.csv\n    target: events\n"
                       "    fields: {id: id, name: what, time: at}\n    attributes:\n"
                       "      a: {column: a, type: number}\n      b: {column: b, type: boolean}\n"
                       "      c: {column: c, type: time, parse: epoch_ms}\n"
                       "      d: {column: d, type: money, float_noise: true}\n"
                       "      e: {column: e, type: text}\n"),
        "");
}

TEST(map_errors_name_the_line_and_what_is_known)
{
    static const struct {
        const char *text, *want;
    } CASES[] = {
        {HEAD "  - file: a.csv\n    target: producs\n    fields: {sku: a}\n",
         "m.yaml:6: unknown target \"producs\"; did you mean \"products\"? Known: stores, products, "
         "people, orders, campaigns, campaign_targets, coupon_templates, redemptions, events"},
        {HEAD "  - file: a.csv\n    target: products\n    fields:\n      skuu: a\n",
         "m.yaml:9: unknown field \"skuu\"; did you mean \"sku\"? Known: sku, name, brand, "
         "department, category, barcode, price"},
        {HEAD "  - file: a.csv\n    taget: products\n",
         "m.yaml:7: unknown key \"taget\"; did you mean \"target\"? Known: file, optional, sheet, "
         "sheet_index, delimiter, encoding, skip_lines, columns, target, group_by, sorted, fields, "
         "lines, attributes, skip, c"},
        {HEAD "  - file: a.csv\n    target: products\n    fields: {name: a}\n",
         "m.yaml:6: a key must be filled, for example \"sku\""},
        {HEAD "  - file: a.csv\n    target: campaigns\n    fields: {code: a, starts_on: b}\n",
         "m.yaml:6: the field \"ends_on\" must be filled"},
        {HEAD "  - file: a.csv\n    target: campaigns\n    fields:\n"
              "      code: a\n      starts_on: {column: b, parse: yyyy-mm-dd}\n      ends_on: b\n",
         "m.yaml:10: no date pattern: \"yyyy-mm-dd\"; write e.g. yyyy-MM-dd HH:mm:ss"},
        {HEAD "  - file: a.csv\n    target: products\n    fields: {sku: a, sku: b}\n",
         "m.yaml:8: sku is given twice"},
        {HEAD "  - file: a.csv\n    file: b.csv\n", "m.yaml:7: file is given twice"},
        {HEAD
         "  - file: a.csv\n    target: products\n    fields: {sku: {column: a, constant: b}}\n",
         "m.yaml:8: sku needs exactly one of column, concat and constant"},
        {HEAD "  - file: a.csv\n    target: products\n    fields: {sku: {column: a, "
              "float_noise: true}}\n",
         "m.yaml:8: float_noise is for money, sku is text"},
        {HEAD
         "  - file: a.csv\n    target: products\n    fields: {sku: {column: a, parse: money}}\n",
         "m.yaml:8: sku is text: leave parse out"},
        {HEAD "  - file: a.csv\n    target: products\n    fields: {sku: a}\n    lines: {sku: a}\n",
         "m.yaml:6: products has no lines"},
        {HEAD "  - file: a.csv\n    target: coupon_templates\n    fields: {code: a}\n"
              "    lines: {sku: a}\n",
         "m.yaml:6: lines need group_by: the columns that rows of one coupon_templates share"},
        {HEAD "  - file: ../a.csv\n    target: products\n    fields: {sku: a}\n",
         "m.yaml:6: an entry needs file: the name of a file, without a folder"},
        {HEAD "  - file: a.csv\n    target: products\n    encoding: latin1\n    fields: {sku: a}\n",
         "m.yaml:6: unknown encoding \"latin1\". Known: detect, utf-8, gb18030"},
        {HEAD "  - file: a.csv\n    target: products\n    fields: {sku: a}\n"
              "    skip: [{as: x, column: a}]\n",
         "m.yaml:9: x needs column with in or empty, or sum with exceeds"},
        {HEAD "  - file: a.csv\n    target: products\n    fields: {sku: a}\n    sorted: yes\n",
         "m.yaml:9: sorted must be true or false"},
        {"version: 1\ncurrency: CNY\nexponent: 2\nfiles: []\n",
         "m.yaml:4: zone must be given above files: UTC, +08:00, or a name as Asia/Shanghai"},
        {"version: 2\ncurrency: CNY\nexponent: 2\nzone: UTC\n",
         "m.yaml:1: version must be 1: the version of the mapping language"},
        {"version: 1\ncurrency: yuan\nexponent: 2\nzone: UTC\n",
         "m.yaml:1: currency must be three capital letters, e.g. CNY"},
        {"version: 1\ncurrency: CNY\nzone: UTC\n",
         "m.yaml:1: exponent must be 0 to 4: decimal places of the currency"},
        {"version: 1\ncurrency: CNY\nexponent: 2\nzone: UTC\n",
         "m.yaml:1: files is missing: the list of what to import"},
        {"a: [", "m.yaml:2: no YAML: did not find expected node content"},
        {"", "m.yaml:1: the map is empty"},
        {"- a\n", "m.yaml:1: the map must be a mapping (key: value)"},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
        EXPECT_STREQ(complaint(CASES[i].text), CASES[i].want);
}

TEST(map_gives_types_to_attributes_of_events_only)
{
    static const struct {
        const char *text, *want;
    } CASES[] = {
        {HEAD "  - file: a.csv\n    target: people\n    fields: {card: a}\n    attributes:\n"
              "      age: {column: b, type: number}\n",
         "m.yaml:10: unknown type \"number\" Known: text"},
        {HEAD "  - file: a.csv\n    target: events\n    fields: {id: a, name: b, time: c}\n"
              "    attributes:\n      d: {column: d, type: nomber}\n",
         "m.yaml:10: unknown type \"nomber\"; did you mean \"number\"? Known: text, number, money, "
         "boolean, time"},
        {HEAD
         "  - file: a.csv\n    target: events\n    fields:\n      id: {column: a, type: text}\n",
         "m.yaml:9: id is text: leave type out"},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
        EXPECT_STREQ(complaint(CASES[i].text), CASES[i].want);
}

TEST(map_that_refers_to_itself_does_no_harm)
{
    CHECK(complaint("&a {version: *a}\n")[0] != '\0');
    CHECK(complaint(HEAD "  - &a {file: *a}\n")[0] != '\0');
    CHECK(complaint(HEAD "  - {file: a, target: products, fields: &f {sku: *f}}\n")[0] != '\0');
}

TEST(map_suggests_only_names_that_are_near)
{
    const Str known[] = {STR("household_id"), STR("store_id"), STR("quantity")};
    const StrList list = {known, ARRAY_LEN(known)};
    CHECK(str_eq(intake_map_nearest(STR("houshold_id"), list), STR("household_id")));
    CHECK(str_eq(intake_map_nearest(STR("Quantity"), list), STR("quantity")));
    EXPECT_I64((int64_t)intake_map_nearest(STR("price"), list).len, 0);
}

static void touch(const char *dir, const char *name)
{
    char path[128];
    CHECK(snprintf(path, sizeof path, "%s/%s", dir, name) < (int)sizeof path);
    FILE *f = fopen(path, "w");
    CHECK(f != NULL && fclose(f) == 0);
}

TEST(map_finds_files_by_name_pattern_and_packed_ones)
{
    static const char *const FILES[] = {"a_2.csv.gz", "a_1.csv", "a_1.csv.gz", "b.csv", ".a_3.csv"};
    char dir[] = "/tmp/intake_find_XXXXXX", cleanup[128];
    CHECK(mkdtemp(dir) != NULL);
    for (size_t i = 0; i < ARRAY_LEN(FILES); i++)
        touch(dir, FILES[i]);
    Ctx ctx = {.arena = arena_new(1 << 16)};
    const IntakeMap map = {.path = STR("m.yaml")};
    IntakeMapFile file = {.file = STR("a_*.csv")};
    StrList paths;
    CHECK(intake_map_find(&ctx, &map, &file, dir, &paths) == ERR_OK);
    EXPECT_I64((int64_t)paths.count, 2);
    CHECK(str_ends_with(paths.item[0], STR("/a_1.csv")));
    CHECK(str_ends_with(paths.item[1], STR("/a_2.csv.gz")));
    file.file = STR("c.csv");
    EXPECT_I64(intake_map_find(&ctx, &map, &file, dir, &paths), ERR_NOT_FOUND);
    file.optional = true;
    CHECK(intake_map_find(&ctx, &map, &file, dir, &paths) == ERR_OK);
    EXPECT_I64((int64_t)paths.count, 0);
    EXPECT_I64(intake_map_find(&ctx, &map, &file, "/nonexistent", &paths), ERR_NOT_FOUND);
    for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
        CHECK(snprintf(cleanup, sizeof cleanup, "%s/%s", dir, FILES[i]) > 0);
        CHECK(unlink(cleanup) == 0);
    }
    CHECK(rmdir(dir) == 0);
    arena_free(ctx.arena);
}
