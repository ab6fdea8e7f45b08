/*
 * modules/intake/intake_rows_test.c -- columns to fields, rows to orders, and what becomes of the rest.
 */
#include "base/test.h"
#include "modules/intake/intake_rows.h"
#include "modules/intake/intake_testing.h"

#define HEAD "version: 1\ncurrency: CNY\nexponent: 2\nzone: UTC\nfiles:\n  - file: x.csv\n"

static Err note_reject(void *arg, Ctx *ctx, const IntakeReject *r)
{
    (void)ctx;
    buf_addf(arg, "[%" PRId64 " %.*s \"%.*s\" %s]", r->line, STR_ARG(r->column), STR_ARG(r->value),
             r->reason + 7);
    return ERR_OK;
}

static void put_value(Buf *out, const IntakeField *field, const IntakeValue *v)
{
    const bool text = field == NULL || field->type == INTAKE_TEXT || field->type == INTAKE_PHONE;
    if (!v->present)
        buf_add_char(out, '-');
    else if (text)
        buf_add(out, v->text);
    else
        buf_add_i64(out, v->number);
    buf_add_char(out, ' ');
}

/* Row as "v v - {line v v; line v v;} <attribute >". */
static void put_row(Buf *out, const IntakeMapFile *f, const IntakeRow *row)
{
    for (size_t i = 0; i < f->target->fields; i++)
        put_value(out, &f->target->field[i], &row->value[i]);
    for (size_t l = 0; l < row->lines; l++) {
        buf_add(out, l == 0 ? STR("{") : STR("; "));
        for (size_t i = 0; i < f->target->line_fields; i++)
            put_value(out, &f->target->line[i], &row->line[l * f->target->line_fields + i]);
    }
    buf_add(out, row->lines > 0 ? STR("} ") : STR(""));
    for (size_t i = 0; i < f->attributes.count; i++)
        put_value(out, NULL, &row->attribute[i]);
    buf_add_char(out, '/');
}

static IntakeStats stats;

static void run(Buf *out, const char *entry, Str csv)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    const MemoryFile f = memory_file(csv);
    const IntakeMap *map = NULL;
    const Str text = arena_printf(ctx.arena, HEAD "%s", entry);
    if (intake_map_parse(&ctx, STR("m.yaml"), text, &map) != ERR_OK)
        fprintf(stderr, "%s\n", ctx.fault.hint);
    CHECK(map != NULL);
    const IntakeRowsOptions options = {.reject = note_reject, .reject_arg = out};
    RowReader *r = NULL;
    Err err = intake_rows_open(&ctx, map, map->file, f.path, &options, &r);
    IntakeRow row;
    bool more = err == ERR_OK;
    int64_t last = 0;
    while (more) {
        err = intake_rows_next(r, &ctx, &row, &more);
        if (err != ERR_OK || !more)
            break;
        CHECK(row.ordinal > last);
        last = row.ordinal;
        put_row(out, map->file, &row);
    }
    if (err != ERR_OK)
        buf_addf(out, "FAIL %s", ctx.fault.hint);
    if (r != NULL) {
        stats = intake_rows_stats(r);
        const int64_t used = map->file->lines.count > 0 ? stats.lines : stats.rows;
        CHECK(err != ERR_OK || stats.read == stats.skipped + stats.folded + stats.rejected + used);
    }
    intake_rows_close(r);
    (void)close(f.fd);
    arena_free(ctx.arena);
}

static void expect(const char *entry, Str csv, const char *want)
{
    char got[1024];
    Buf out = BUF_MAX(1 << 20);
    run(&out, entry, csv);
    (void)snprintf(got, sizeof got, "%.*s", STR_ARG(buf_str(&out)));
    buf_free(&out);
    EXPECT_STREQ(got, want);
}

TEST(rows_become_typed_fields)
{
    expect(
        "    target: products\n    fields:\n      sku: {column: [id, code]}\n"
        "      name: {concat: [a, b], with: ' / '}\n      brand: {constant: 自有}\n"
        "      category: {column: kind, map: {Type A: A}, otherwise: '?'}\n"
        "      price: {column: price, remove: [',', ¥], default: '0.01'}\n"
        "    attributes: {extra: {column: gone, optional: true}, raw: {column: a, trim: false}}\n",
        STR("code,a,b,kind,price\n 1 ,x,y,Type A,\"¥1,234.5\"\n2,, z,Type B,\n"),
        "1 x / y 自有 - A - 123450 - x /2 z 自有 - ? - 1 - - /");
}

TEST(rows_that_do_not_fit_are_rejected_with_line_column_and_value)
{
    expect(
        "    target: campaigns\n    fields:\n      code: id\n      kind: {column: k, map: {a: A}}\n"
        "      starts_on: from\n      ends_on: {column: to, parse: yyyy/M/d}\n",
        STR("id,k,from,to\n1,a,2017-01-02,2017/1/9\n2,b,2017-01-02,2017/1/9\n"
            "3,a,2017-02-30,2017/1/9\n4,a,,2017/1/9\n,a,2017-01-02,2017/1/9\n6,a\n"),
        "1 - A 20170102 20170109 /[3 k \"b\" value_unknown][4 from \"2017-02-30\" not_a_time]"
        "[5 from \"\" required][6  \"\" no_key][7  \"6\" ragged]");
    EXPECT_I64(stats.rejected, 5);
    expect("    target: products\n    fields: {sku: a, price: b}\n",
           STR("a,b\n1,1.005\n2,x\n3,4.44e-16\n4,-7.10\n"),
           "[2 b \"1.005\" not_money][3 b \"x\" not_money][4 b \"4.44e-16\" not_money]"
           "4 - - - - - -710 /");
}

#define ORDERS                                                                                     \
    "    target: orders\n    group_by: no\n"                                                       \
    "    fields: {number: no, placed_at: {column: at, parse: epoch}, store: shop}\n"               \
    "    lines: {sku: sku, quantity: n, sales: {column: paid, float_noise: true}}\n"

TEST(rows_of_one_order_are_brought_together_from_all_over_the_file)
{
    static const char WANT[] = "A 1000 S1 - - - - {x - 1 100 - - - - ; z - 0 0 - - - - } /"
                               "B 2000 - - - - - {y - 2 200 - - - - } /";
    expect(ORDERS, STR("no,at,shop,sku,n,paid\nB,2,,y,2,2\nA,1,S1,x,1,1.00\nA,1,S1,z,0,4.4e-16\n"),
           "A 1000 S1 - - - - {x - 1 100 - - - - ; z - 0 0 - - - - } /"
           "B 2000 - - - - - {y - 2 200 - - - - } /");
    EXPECT_I64(stats.noise, 1);
    expect(ORDERS, STR("no,at,shop,sku,n,paid\nA,1,S1,x,1,1.00\nB,2,,y,2,2\nA,1,S1,z,0,0\n"), WANT);
    expect("    sorted: true\n" ORDERS,
           STR("no,at,shop,sku,n,paid\nA,1,S1,x,1,1.00\nA,1,S1,z,0,0\nB,2,,y,2,2\n"), WANT);
}

TEST(rows_of_an_order_with_a_bad_line_are_rejected_together)
{
    expect(
        ORDERS, STR("no,at,shop,sku,n,paid\nA,1,S,x,1,1\nA,1,S,,1,1\nA,1,S,z,1,1\nB,2,S,y,2,2\n"),
        "[3 sku \"\" required][2 no \"\" group_rejected]B 2000 S - - - - {y - 2 200 - - - - } /");
    EXPECT_I64(stats.rejected, 3);
    expect(ORDERS, STR("no,at,shop,sku,n,paid\nA,1,S,x,1,1\nA,1,T,y,1,1\n"),
           "[3 shop \"T\" group_differs][2 no \"\" group_rejected]");
}

TEST(rows_are_folded_to_one_of_each_when_there_are_no_lines)
{
    expect("    target: stores\n    group_by: s\n    fields: {code: s, city: c}\n",
           STR("s,c\n2,a\n1,b\n2,c\n1,d\n"), "1 - - - b - - - /2 - - - a - - - /");
    EXPECT_I64(stats.folded, 2);
    expect("    target: stores\n    group_by: s\n    sorted: true\n    fields: {code: s}\n",
           STR("s,c\n2,a\n2,b\n1,c\n,x\n,y\n"),
           "2 - - - - - - - /1 - - - - - - - /[5  \"\" no_key]");
    EXPECT_I64(stats.folded, 2);
}

TEST(rows_are_skipped_and_counted_by_the_maps_conditions)
{
    expect("    target: products\n    fields: {sku: a}\n"
           "    skip: [{as: test, column: a, in: [t1, t2]}, {as: none, column: b, empty: true}]\n"
           "    count: [{as: odd, sum: [b, c], exceeds: d}, {as: zero, column: b, in: 0}]\n",
           STR("a,b,c,d\nt1,1,1,1\n1,,1,1\n2,1,1,2\n3,1,1.01,2\n4,0,x,0\n5,0,,-0.01\n"),
           "2 - - - - - - /3 - - - - - - /4 - - - - - - /5 - - - - - - /");
    EXPECT_I64(stats.skipped, 2);
}

TEST(rows_name_a_missing_column_and_the_nearest_one)
{
    expect("    target: products\n    fields: {sku: product_id}\n", STR("productid,price\n1,2\n"),
           "FAIL m.yaml:8: 3 has no column \"product_id\". Did you mean \"productid\"? It has: "
           "productid, price");
}

TEST(rows_refuse_a_column_that_is_there_twice_only_if_it_is_used)
{
    expect("    target: products\n    fields: {sku: a}\n", STR("a,b,b\n1,2,3\n"),
           "1 - - - - - - /");
    expect("    target: products\n    fields: {sku: b}\n", STR("a,b,b\n1,2,3\n"),
           "FAIL m.yaml:8: 3 has two columns \"b\": rename one");
}

static Err count_tick(void *arg, Ctx *ctx)
{
    if (++*(int *)arg == 3)
        return fail(ctx, ERR_CONFLICT, "test.stop", "enough");
    return ERR_OK;
}

TEST(rows_tick_while_they_are_read_and_a_tick_can_stop_them)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    Buf csv = BUF_MAX(1 << 20);
    buf_add(&csv, STR("a,b\n"));
    for (int i = 0; i < 20000; i++)
        buf_addf(&csv, "%d,x\n", i % 7);
    const MemoryFile f = memory_file(buf_str(&csv));
    const IntakeMap *map = NULL;
    CHECK(intake_map_parse(&ctx, STR("m"),
                           STR(HEAD "    target: stores\n    group_by: a\n    fields: {code: a}\n"),
                           &map) == ERR_OK);
    int ticks = 0;
    const IntakeRowsOptions options = {.tick = count_tick, .tick_arg = &ticks};
    RowReader *r = NULL;
    IntakeRow row;
    bool more = false;
    CHECK(intake_rows_open(&ctx, map, map->file, f.path, &options, &r) == ERR_OK);
    EXPECT_I64(intake_rows_next(r, &ctx, &row, &more), ERR_CONFLICT);
    EXPECT_I64(intake_rows_stats(r).read, 3 * 4096);
    intake_rows_close(r);
    (void)close(f.fd);
    buf_free(&csv);
    arena_free(ctx.arena);
}

TEST(rows_of_too_large_a_group_are_rejected_not_kept)
{
    Buf csv = BUF_MAX(16 << 20), out = BUF_MAX(1 << 20);
    buf_add(&csv, STR("no,at,shop,sku,n,paid\n"));
    for (int i = 0; i <= INTAKE_GROUP_ROWS_MAX; i++)
        buf_add(&csv, STR("A,1,S,x,1,1\n"));
    buf_add(&csv, STR("B,1,S,x,1,1\n"));
    run(&out, ORDERS, buf_str(&csv));
    buf_add_char(&out, '\0');
    EXPECT_STREQ(out.ptr, "[100002  \"\" group_too_large][2 no \"\" group_rejected]"
                          "B 1000 S - - - - {x - 1 100 - - - - } /");
    buf_free(&csv);
    buf_free(&out);
}

TEST(decimals_are_read_exactly_within_nine_places_and_eighteen_digits)
{
    static const struct {
        const char *text;
        int64_t number;
        int places; /* -1 = refused */
    } CASES[] = {{"12.50", 125, 1},
                 {"-0.05", -5, 2},
                 {"1200", 1200, 0},
                 {"+7", 7, 0},
                 {"0.000", 0, 0},
                 {".5", 5, 1},
                 {"0.123456789", 123456789, 9},
                 {"999999999999999999", INT64_C(999999999999999999), 0},
                 {"123456789.123456789", INT64_C(123456789123456789), 9},
                 {"0.1234567891", 0, -1},
                 {"1000000000000000000", 0, -1},
                 {"1234567890.123456789", 0, -1},
                 {"1e3", 0, -1},
                 {"1,5", 0, -1},
                 {"abc", 0, -1},
                 {"-", 0, -1},
                 {"1.2.3", 0, -1}};
    const IntakeExpr e = {.type = INTAKE_NUMBER};
    const size_t slot = 0;
    Arena *arena = arena_new(1 << 12);
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        const Str cell = str_of(CASES[i].text);
        IntakeValue v;
        bool noise = false;
        const IntakeWhy why = intake_eval(arena, &e, (IntakeSlots){&slot, 1}, &cell, 2, &noise, &v);
        EXPECT_STREQ(why.reason == NULL ? "" : why.reason,
                     CASES[i].places < 0 ? "intake.not_a_number" : "");
        if (CASES[i].places < 0)
            continue;
        EXPECT_I64(v.number, CASES[i].number);
        EXPECT_I64(v.places, CASES[i].places);
    }
    arena_free(arena);
}

TEST(money_with_floating_point_noise_is_read_to_the_nearest_unit)
{
    static const struct {
        const char *text;
        int64_t fen; /* -1: refused */
        bool noise;
    } CASES[] = {
        {"3.86", 386, false},
        {"3.8600000000000003", 386, true},
        {"3.8599999999999999", 386, true},
        {"4.440892e-16", 0, true},
        {"1.5e1", 1500, true},
        {"+2", 200, true},
        {"9.99999999", 1000, true},
        {"0.004", -1, false},
        {"0.005", -1, false},
        {"1e99", -1, false},
        {"1e", -1, false},
        {".", -1, false},
        {"", -1, false},
        {"12x", -1, false},
        {"1.2.3", -1, false},
        {"0e400", 0, true},
        {"-0.30000000000000004", -30, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        int64_t fen = -1;
        bool noise = false;
        const bool ok = intake_money_parse(str_of(CASES[i].text), 2, true, &fen, &noise);
        EXPECT_I64(ok ? fen : -1, CASES[i].fen);
        EXPECT_I64(noise, CASES[i].noise);
    }
}
