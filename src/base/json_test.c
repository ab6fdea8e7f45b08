/*
 * base/json_test.c -- the promises of base/json.h.
 */
#include "base/clock.h"
#include "base/json.h"
#include "base/rand.h"
#include "base/test.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static Arena *arena;
static Ctx ctx;

static void begin(void)
{
    if (arena == NULL)
        arena = arena_new(1 << 16);
    arena_reset(arena);
    ctx = (Ctx){.arena = arena};
}

static JsonValue parse_str(Str text)
{
    begin();
    JsonValue v;
    const Err err = json_open(&ctx, text, &v);
    if (err != ERR_OK)
        fprintf(stderr, "%.*s: %s\n", STR_ARG(text), ctx.fault.hint);
    CHECK(err == ERR_OK);
    return v;
}

static JsonValue parse(const char *text)
{
    return parse_str(str_of(text));
}

static const char *c_of(Str s)
{
    return arena_copy(arena, s).ptr;
}

static JsonValue member(JsonValue object, const char *key)
{
    JsonValue v;
    CHECK(json_find(object, str_of(key), &v));
    return v;
}

static void expect_malformed(Str text, const char *hint)
{
    begin();
    JsonValue v;
    EXPECT_I64(json_open(&ctx, text, &v), ERR_INVALID);
    EXPECT_STREQ(ctx.fault.reason, "json.malformed");
    EXPECT_STREQ(ctx.fault.hint, hint);
}

TEST(json_walks_members_in_document_order_and_reports_duplicates)
{
    const JsonValue root = parse(" {\"b\":1, \"a\" : [true,null,{}] ,\"b\":\"x\"}\n");
    EXPECT_I64(json_type(root), JSON_OBJECT);
    EXPECT_I64((int64_t)json_count(root), 3);
    Str key;
    JsonValue v;
    JsonIter i = json_fields(root);
    CHECK(json_next_field(&i, &key, &v));
    EXPECT_STREQ(c_of(key), "b");
    EXPECT_I64(json_type(v), JSON_NUMBER);
    CHECK(json_next_field(&i, &key, &v));
    EXPECT_STREQ(c_of(key), "a");
    EXPECT_I64(json_type(v), JSON_ARRAY);
    EXPECT_I64((int64_t)json_count(v), 3);
    EXPECT_I64((int64_t)json_position(v), 15);
    CHECK(json_next_field(&i, &key, &v));
    EXPECT_STREQ(c_of(key), "b");
    EXPECT_I64(json_type(v), JSON_STRING);
    CHECK(!json_next_field(&i, &key, &v));
    CHECK(!json_next_field(&i, &key, &v));
}

TEST(json_find_takes_the_last_of_repeated_members)
{
    const JsonValue root = parse("{\"a\":1,\"a\":2,\"\\u0061\":3}");
    int64_t n = 0;
    EXPECT_I64(json_i64(member(root, "a"), &n), JSON_FAULT_NONE);
    EXPECT_I64(n, 3);
    JsonValue v = root;
    CHECK(!json_find(root, STR("b"), &v));
    CHECK(!json_find(member(root, "a"), STR("b"), &v));
    EXPECT_I64(v.at, root.at);
}

TEST(json_iterating_a_value_of_another_type_gives_nothing)
{
    const char *const texts[] = {"1", "\"abc\"", "null", "[[1],2]"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        Str key;
        JsonValue v;
        JsonIter fields = json_fields(parse(texts[i]));
        CHECK(!json_next_field(&fields, &key, &v));
    }
    JsonValue v;
    JsonIter items = json_items(parse("{\"a\":[1]}"));
    CHECK(!json_next_item(&items, &v));
    EXPECT_I64((int64_t)json_count(parse("12")), 0);
    EXPECT_I64((int64_t)json_count(parse("[]")), 0);
}

TEST(json_names_types)
{
    static const struct {
        const char *text, *name;
    } rows[] = {{"{}", "object"}, {"[]", "array"},     {"\"\"", "string"},   {"-1", "number"},
                {"0", "number"},  {"true", "boolean"}, {"false", "boolean"}, {"null", "null"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        EXPECT_STREQ(json_type_name(json_type(parse(rows[i].text))), rows[i].name);
}

TEST(json_malformed_documents_are_refused_with_place_and_expectation)
{
    static const struct {
        Str text;
        const char *hint;
    } rows[] = {
        {{"", 0}, "byte 0: expected a value"},
        {{"  \n", 3}, "byte 3: expected a value"},
        {{"\xef\xbb\xbf", 3}, "byte 3: expected a value"},
        {{"\xef\xbb\xbf{,}", 6}, "byte 4: expected a key in quotes or }"},
        {{"hello", 5}, "byte 0: expected a value"},
        {{"{", 1}, "byte 1: expected a comma or }"},
        {{"[", 1}, "byte 1: expected a comma or ]"},
        {{"]", 1}, "byte 0: expected a value"},
        {{"[1,]", 4}, "byte 3: expected a value"},
        {{"[1 2]", 5}, "byte 3: expected a comma or ]"},
        {{"[1}", 3}, "byte 2: expected a comma or ]"},
        {{"{\"a\":1]", 7}, "byte 6: expected a comma or }"},
        {{"{\"a\":1,}", 8}, "byte 7: expected a key in quotes"},
        {{"{\"a\" 1}", 7}, "byte 5: expected a colon"},
        {{"{\"a\"}", 5}, "byte 4: expected a colon"},
        {{"{\"a\"", 4}, "byte 4: expected a colon"},
        {{"{\"a\":", 5}, "byte 5: expected a value"},
        {{"{\"a\":1,", 7}, "byte 7: expected a key in quotes"},
        {{"{a:1}", 5}, "byte 1: expected a key in quotes or }"},
        {{"{'a':1}", 7}, "byte 1: expected a key in quotes or }"},
        {{"{1:1}", 5}, "byte 1: expected a key in quotes or }"},
        {{"[1] 2", 5}, "byte 4: expected the end of the document"},
        {{"{}{}", 4}, "byte 2: expected the end of the document"},
        {{"1 x", 3}, "byte 2: expected the end of the document"},
        {{"\"abc", 4}, "byte 0: expected a closing quote"},
        {{"\"abc\\\"", 6}, "byte 0: expected a closing quote"},
        {{"[\"a\",\"b]", 8}, "byte 5: expected a closing quote"},
        {{"{\"a:1}", 6}, "byte 1: expected a closing quote"},
        {{"[\"a\"b]", 6}, "byte 4: expected a comma or ]"},
        {{"[\"a\"\"b\"]", 8}, "byte 4: expected a comma or ]"},
        {{"[1\"a\"]", 6}, "byte 1: expected a value"},
        {{"[true\"a\"]", 9}, "byte 1: expected a value"},
        {{"tru", 3}, "byte 0: expected a value"},
        {{"truex", 5}, "byte 0: expected a value"},
        {{"nulll", 5}, "byte 0: expected a value"},
        {{"NaN", 3}, "byte 0: expected a value"},
        {{"[-]", 3}, "byte 1: expected a value"},
        {{"01", 2}, "byte 0: expected a value"},
        {{"-01", 3}, "byte 0: expected a value"},
        {{"+1", 2}, "byte 0: expected a value"},
        {{".5", 2}, "byte 0: expected a value"},
        {{"1.", 2}, "byte 0: expected a value"},
        {{"1.e1", 4}, "byte 0: expected a value"},
        {{"1e", 2}, "byte 0: expected a value"},
        {{"1e+", 3}, "byte 0: expected a value"},
        {{"1.5.5", 5}, "byte 0: expected a value"},
        {{"0x10", 4}, "byte 0: expected a value"},
        {{"1\0", 2}, "byte 0: expected a value"},
        {{"[1,\xff]", 5}, "byte 3: expected a value"},
        {{"[1,\f2]", 6}, "byte 3: expected a value"},
        {{"/*c*/1", 6}, "byte 0: expected a value"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        expect_malformed(rows[i].text, rows[i].hint);
}

TEST(json_depth_and_size_have_limits)
{
    char text[2 * JSON_DEPTH_MAX + 3];
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    begin();
    JsonValue v;
    const Str deep = {text + 1, 2 * JSON_DEPTH_MAX}, deeper = {text, 2 * JSON_DEPTH_MAX + 2};
    EXPECT_I64(json_open(&ctx, deep, &v), ERR_OK);
    EXPECT_I64(json_open(&ctx, deeper, &v), ERR_INVALID);
    EXPECT_STREQ(ctx.fault.reason, "json.too_deep");
    EXPECT_STREQ(ctx.fault.hint, "byte 32: more than 32 levels of nesting");
    EXPECT_I64(json_open(&ctx, (Str){text, JSON_BYTES_MAX + 1}, &v), ERR_TOO_LARGE);
    EXPECT_STREQ(ctx.fault.reason, "json.too_large");
}

TEST(json_a_byte_order_mark_is_skipped_and_counted)
{
    const JsonValue v = parse("\xef\xbb\xbf [7]");
    EXPECT_I64((int64_t)json_position(v), 4);
    EXPECT_STREQ(c_of(json_raw(v, NULL)), "[7]");
}

TEST(json_texts_are_unescaped)
{
    static const struct {
        const char *json, *text;
    } rows[] = {
        {"\"\"", ""},
        {"\"plain\"", "plain"},
        {"\"\xe9\x80\x9a\xe5\xba\x97\"", "\xe9\x80\x9a\xe5\xba\x97"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u0041\\u00e9\\u901A\\ud83d\\uDE00!\"", "A\xc3\xa9\xe9\x80\x9a\xf0\x9f\x98\x80!"},
        {"\"a\\\\\"", "a\\"},
        {"\"\\uffff\"", "\xef\xbf\xbf"},
        {"\"tail of eight\\n\"", "tail of eight\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Str text;
        EXPECT_I64(json_text(parse(rows[i].json), &text), JSON_FAULT_NONE);
        EXPECT_STREQ(c_of(text), rows[i].text);
    }
}

TEST(json_a_faulty_string_spoils_only_itself)
{
    static const struct {
        Str json; /* of the string */
        JsonFault fault;
        const char *repaired;
    } rows[] = {
        {{"\"a\\ud83d\"", 9}, JSON_FAULT_SURROGATE, "a\xef\xbf\xbd"},
        {{"\"\\ud83dx\"", 9}, JSON_FAULT_SURROGATE, "\xef\xbf\xbdx"},
        {{"\"\\ude00\\ud83d\"", 14}, JSON_FAULT_SURROGATE, "\xef\xbf\xbd\xef\xbf\xbd"},
        {{"\"\\ud83d\\ud83d\\ude00\"", 20}, JSON_FAULT_SURROGATE, "\xef\xbf\xbd\xf0\x9f\x98\x80"},
        {{"\"\\ud83d\\u0041\"", 14}, JSON_FAULT_SURROGATE, "\xef\xbf\xbd\x41"},
        {{"\"a\xff\xe9\x80z\"", 7}, JSON_FAULT_UTF8, "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz"},
        {{"\"\xed\xa0\x80\"", 5}, JSON_FAULT_UTF8, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {{"\"\\x41\"", 6}, JSON_FAULT_ESCAPE, "\xef\xbf\xbdx41"},
        {{"\"\\u12G4\"", 8}, JSON_FAULT_ESCAPE, "\xef\xbf\xbd\x31\x32G4"},
        {{"\"\\u12\"", 6}, JSON_FAULT_ESCAPE, "\xef\xbf\xbd\x31\x32"},
        {{"\"\\\xe9\x80\x9a\"", 6}, JSON_FAULT_ESCAPE, "\xef\xbf\xbd\xe9\x80\x9a"},
        {{"\"a\nb\"", 5}, JSON_FAULT_CONTROL, "a\xef\xbf\xbd\x62"},
        {{"\"a\\u0000\"", 9}, JSON_FAULT_NUL, "a\xef\xbf\xbd"},
        {{"\"a\0\"", 4}, JSON_FAULT_NUL, "a\xef\xbf\xbd"},
        {{"\"\\u0000\\ud800\"", 14}, JSON_FAULT_NUL, "\xef\xbf\xbd\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Buf buf = BUF_MAX(1000);
        buf_addf(&buf, "{\"good\":\"\\u0041\",\"n\":1e400,\"bad\":");
        buf_add(&buf, rows[i].json);
        buf_add(&buf, STR(",\"last\":[\"\xe5\xba\x97\"]}"));
        const JsonValue root = parse_str(buf_str(&buf));
        Str text = STR("untouched");
        EXPECT_I64(json_text(member(root, "bad"), &text), rows[i].fault);
        EXPECT_STREQ(c_of(text), "untouched");
        EXPECT_I64(json_text_repaired(member(root, "bad"), &text), rows[i].fault);
        EXPECT_STREQ(c_of(text), rows[i].repaired);
        EXPECT_I64(json_text(member(root, "good"), &text), JSON_FAULT_NONE);
        EXPECT_STREQ(c_of(text), "A");
        EXPECT_STREQ(c_of(json_raw(member(root, "last"), NULL)), "[\"\xe5\xba\x97\"]");
        buf_free(&buf);
    }
}

TEST(json_a_faulty_key_comes_repaired)
{
    const JsonValue root = parse("{\"a\\ud800\":1,\"b\":2}");
    int64_t n = 0;
    EXPECT_I64(json_i64(member(root, "a\xef\xbf\xbd"), &n), JSON_FAULT_NONE);
    EXPECT_I64(n, 1);
    EXPECT_STREQ(c_of(json_raw(root, NULL)), "{\"a\xef\xbf\xbd\":1,\"b\":2}");
}

TEST(json_readers_refuse_other_types_and_touch_nothing)
{
    const JsonValue v = parse("{}");
    Str text = STR("x");
    bool yes = true;
    int64_t n = 5;
    double d = 5;
    EXPECT_I64(json_text(v, &text), JSON_FAULT_TYPE);
    EXPECT_I64(json_text_repaired(v, &text), JSON_FAULT_TYPE);
    EXPECT_I64(json_bool(v, &yes), JSON_FAULT_TYPE);
    EXPECT_I64(json_i64(v, &n), JSON_FAULT_TYPE);
    EXPECT_I64(json_f64(v, &d), JSON_FAULT_TYPE);
    EXPECT_I64((int64_t)json_number_token(v).len, 0);
    CHECK(str_eq(text, STR("x")) && yes && n == 5 && d == 5);
    EXPECT_I64(json_i64(parse("\"1\""), &n), JSON_FAULT_TYPE);
    EXPECT_STREQ(json_fault_text(JSON_FAULT_TYPE), "has the wrong type");
    EXPECT_STREQ(json_fault_text(JSON_FAULT_NUL), "contains the character U+0000");
}

TEST(json_numbers_are_scaled_exactly_or_refused)
{
    static const struct {
        const char *json;
        int places;
        JsonFault fault;
        int64_t value;
    } rows[] = {
        {"0", 0, JSON_FAULT_NONE, 0},
        {"-0", 0, JSON_FAULT_NONE, 0},
        {"7", 0, JSON_FAULT_NONE, 7},
        {"-7", 2, JSON_FAULT_NONE, -700},
        {"9223372036854775807", 0, JSON_FAULT_NONE, INT64_MAX},
        {"-9223372036854775808", 0, JSON_FAULT_NONE, INT64_MIN},
        {"9223372036854775808", 0, JSON_FAULT_RANGE, 0},
        {"-9223372036854775809", 0, JSON_FAULT_RANGE, 0},
        {"1234567890123456789012345", 0, JSON_FAULT_RANGE, 0},
        {"1.5", 0, JSON_FAULT_FRACTION, 0},
        {"1.0", 0, JSON_FAULT_NONE, 1},
        {"1e3", 0, JSON_FAULT_NONE, 1000},
        {"1E+3", 0, JSON_FAULT_NONE, 1000},
        {"1.50e1", 0, JSON_FAULT_NONE, 15},
        {"1.55e1", 0, JSON_FAULT_FRACTION, 0},
        {"15e-1", 0, JSON_FAULT_FRACTION, 0},
        {"150e-1", 0, JSON_FAULT_NONE, 15},
        {"1e18", 0, JSON_FAULT_NONE, INT64_C(1000000000000000000)},
        {"1e19", 0, JSON_FAULT_RANGE, 0},
        {"1e400", 0, JSON_FAULT_RANGE, 0},
        {"1e-400", 0, JSON_FAULT_FRACTION, 0},
        {"0e400", 0, JSON_FAULT_NONE, 0},
        {"0e99999999999999999999", 0, JSON_FAULT_NONE, 0},
        {"1e99999999999999999999", 0, JSON_FAULT_RANGE, 0},
        {"1e-99999999999999999999", 0, JSON_FAULT_FRACTION, 0},
        {"3.86", 2, JSON_FAULT_NONE, 386},
        {"-3.86", 2, JSON_FAULT_NONE, -386},
        {"3.860", 2, JSON_FAULT_NONE, 386},
        {"3.861", 2, JSON_FAULT_FRACTION, 0},
        {"0.1", 2, JSON_FAULT_NONE, 10},
        {"386e-2", 2, JSON_FAULT_NONE, 386},
        {"0.000386e4", 2, JSON_FAULT_NONE, 386},
        {"92233720368547758.07", 2, JSON_FAULT_NONE, INT64_MAX},
        {"92233720368547758.08", 2, JSON_FAULT_RANGE, 0},
        {"1", 18, JSON_FAULT_NONE, INT64_C(1000000000000000000)},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t got = 0;
        const JsonFault fault = json_scaled(parse(rows[i].json), rows[i].places, &got);
        if (fault != rows[i].fault || got != rows[i].value)
            fprintf(stderr, "row %zu, %s\n", i, rows[i].json);
        EXPECT_I64(fault, rows[i].fault);
        EXPECT_I64(got, rows[i].value);
    }
    EXPECT_STREQ(c_of(json_number_token(parse(" 25.90 "))), "25.90");
}

TEST(json_doubles_are_the_nearest_and_out_of_range_is_said)
{
    static const struct {
        const char *json;
        JsonFault fault;
        double value;
    } rows[] = {
        {"0.1", JSON_FAULT_NONE, 0.1},
        {"-121.4737", JSON_FAULT_NONE, -121.4737},
        {"1e308", JSON_FAULT_NONE, 1e308},
        {"9007199254740993", JSON_FAULT_NONE, 9007199254740992.0},
        {"1e400", JSON_FAULT_RANGE, 0},
        {"-1e400", JSON_FAULT_RANGE, 0},
        {"1e-400", JSON_FAULT_NONE, 0},
        {"0e400", JSON_FAULT_NONE, 0},
        {"0.0001e400", JSON_FAULT_RANGE, 0},
        {"100000e-500", JSON_FAULT_NONE, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        double got = 0;
        EXPECT_I64(json_f64(parse(rows[i].json), &got), rows[i].fault);
        CHECK(got == rows[i].value);
    }
}

TEST(json_raw_is_a_slice_when_clean_and_valid_json_when_not)
{
    const Str text = STR("{\"a\": {\"x\" : [ 1, \"\\u0041\" ]  } , \"b\":\"\\ud800<\", \"c\":[]}");
    const JsonValue root = parse_str(text);
    bool repaired = true;
    const Str clean = json_raw(member(root, "a"), &repaired);
    EXPECT_STREQ(c_of(clean), "{\"x\" : [ 1, \"\\u0041\" ]  }");
    CHECK(!repaired && clean.ptr > text.ptr && clean.ptr < text.ptr + text.len);
    EXPECT_STREQ(c_of(json_raw(member(root, "c"), &repaired)), "[]");
    EXPECT_STREQ(
        c_of(json_raw(root, &repaired)),
        "{\"a\": {\"x\" : [ 1, \"\\u0041\" ]  } , \"b\":\"\xef\xbf\xbd\\u003c\", \"c\":[]}");
    CHECK(repaired);
}

TEST(json_raw_sees_faults_at_any_depth)
{
    bool repaired = false;
    const Str raw = json_raw(parse("{\"a\":{\"b\":[[\"\\u0000\"]],\"c\":1}}"), &repaired);
    EXPECT_STREQ(c_of(raw), "{\"a\":{\"b\":[[\"\xef\xbf\xbd\"]],\"c\":1}}");
    CHECK(repaired);
}

TEST(json_texts_without_escapes_are_slices_of_the_input)
{
    const Str text = STR("[\"abc\"]");
    JsonIter i = json_items(parse_str(text));
    JsonValue v;
    CHECK(json_next_item(&i, &v));
    Str s;
    EXPECT_I64(json_text(v, &s), JSON_FAULT_NONE);
    CHECK(s.ptr == text.ptr + 2);
}

/* Writes everything below `v` again. */
static void copy_value(JsonOut *out, JsonValue v)
{
    Str text;
    JsonValue child;
    bool yes = false;
    switch (json_type(v)) {
    case JSON_OBJECT:
        json_out_object(out);
        for (JsonIter i = json_fields(v); json_next_field(&i, &text, &child);) {
            json_out_key(out, text);
            copy_value(out, child);
        }
        json_out_end(out);
        return;
    case JSON_ARRAY:
        json_out_array(out);
        for (JsonIter i = json_items(v); json_next_item(&i, &child);)
            copy_value(out, child);
        json_out_end(out);
        return;
    case JSON_STRING:
        (void)json_text_repaired(v, &text);
        json_out_text(out, text);
        return;
    case JSON_NUMBER:
        json_out_raw(out, json_number_token(v));
        return;
    case JSON_BOOL:
        CHECK(json_bool(v, &yes) == JSON_FAULT_NONE);
        json_out_bool(out, yes);
        return;
    case JSON_NULL:
        json_out_null(out);
        return;
    }
}

static void add_random_value(JsonOut *out, Prng *r, int depth)
{
    static const char *const TEXTS[] = {"",
                                        "a",
                                        "\xe5\xba\x97",
                                        "\"",
                                        "\\",
                                        "</script>&",
                                        "\xf0\x9f\x98\x80",
                                        "\x01\x1f\x7f",
                                        "\xe2\x80\xa8x",
                                        "a longer text of plain ASCII without anything special"};
    switch (prng_below(r, depth > 5 ? 5 : 8)) {
    case 0:
        json_out_null(out);
        return;
    case 1:
        json_out_bool(out, prng_below(r, 2) == 1);
        return;
    case 2:
        json_out_i64(out, (int64_t)prng_u64(r));
        return;
    case 3:
    case 4:
        json_out_text(out, str_of(TEXTS[prng_below(r, ARRAY_LEN(TEXTS))]));
        return;
    case 5:
        json_out_array(out);
        for (uint64_t n = prng_below(r, 6); n > 0; n--)
            add_random_value(out, r, depth + 1);
        json_out_end(out);
        return;
    default:
        json_out_object(out);
        for (uint64_t n = prng_below(r, 6); n > 0; n--) {
            json_out_key(out, str_of(TEXTS[prng_below(r, ARRAY_LEN(TEXTS))]));
            add_random_value(out, r, depth + 1);
        }
        json_out_end(out);
    }
}

TEST(json_what_was_written_reads_back_the_same_on_both_paths)
{
    Prng r = prng_of(7);
    for (int round = 0; round < 2000; round++) {
        Buf first = BUF_MAX(1 << 20), again = BUF_MAX(1 << 20), slow = BUF_MAX(1 << 20);
        JsonOut out = json_out(&first);
        add_random_value(&out, &r, 0);
        CHECK(json_out_done(&out));
        out = json_out(&again);
        copy_value(&out, parse_str(buf_str(&first)));
        CHECK(str_eq(buf_str(&first), buf_str(&again)));

        /* One bad byte in front, and simdjson refuses: the plain scan must see the same. */
        buf_add(&slow, STR("[\"\xff\" , "));
        buf_add(&slow, buf_str(&first));
        buf_add_char(&slow, ']');
        JsonIter items = json_items(parse_str(buf_str(&slow)));
        JsonValue v;
        CHECK(json_next_item(&items, &v) && json_next_item(&items, &v));
        CHECK(str_eq(json_raw(v, NULL), buf_str(&first)));
        buf_clear(&again);
        out = json_out(&again);
        copy_value(&out, v);
        CHECK(str_eq(buf_str(&first), buf_str(&again)));
        buf_free(&first), buf_free(&again), buf_free(&slow);
    }
}

TEST(json_every_prefix_of_a_document_is_refused)
{
    const Str text = STR("{\"a\":[1,{\"b\":\"x\\n\"},[[]],true],\"c\":{\"d\":{}}}");
    for (size_t n = 0; n < text.len; n++) {
        begin();
        JsonValue v;
        EXPECT_I64(json_open(&ctx, str_slice(text, 0, n), &v), ERR_INVALID);
    }
}

TEST(json_reads_at_the_edge_of_a_page_without_padding)
{
    const size_t page = 1 << 12;
    for (size_t n = 1; n < 200; n++) {
        char *text = malloc(n + 2); /* the sanitizer guards its end */
        CHECK(text != NULL && n < page);
        text[0] = '"';
        memset(text + 1, 'a', n);
        text[n + 1] = '"';
        Str s;
        EXPECT_I64(json_text(parse_str((Str){text, n + 2}), &s), JSON_FAULT_NONE);
        EXPECT_I64((int64_t)s.len, (int64_t)n);
        free(text);
    }
}

TEST(json_large_documents_and_small_ones_take_turns)
{
    const size_t n = 3 << 20;
    char *text = malloc(n);
    CHECK(text != NULL);
    memset(text, ' ', n);
    text[0] = '[', text[n / 2] = '7', text[n - 1] = ']';
    for (int i = 0; i < 3; i++) {
        EXPECT_I64((int64_t)json_count(parse_str((Str){text, n})), 1);
        EXPECT_I64((int64_t)json_count(parse("[1,2]")), 2);
    }
    free(text);
}

TEST(json_out_puts_commas_and_escapes)
{
    Buf buf = BUF_MAX(1 << 16);
    JsonOut o = json_out(&buf);
    CHECK(!json_out_done(&o));
    json_out_object(&o);
    json_out_key(&o, STR("a<b"));
    json_out_array(&o);
    json_out_i64(&o, INT64_MIN);
    json_out_id(&o, INT64_MAX);
    json_out_bool(&o, true);
    json_out_bool(&o, false);
    json_out_null(&o);
    json_out_array(&o);
    json_out_end(&o);
    json_out_end(&o);
    json_out_key(&o, STR("t"));
    json_out_time(&o, INT64_C(1795298280123));
    json_out_key(&o, STR("r"));
    json_out_raw(&o, STR("{\"x\":\"</script>&\xe2\x80\xa9\"}"));
    json_out_key(&o, STR("s"));
    json_out_text(&o,
                  STR("\"\\\b\f\n\r\t\x01\x1f\x7f<>&\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa\xe5\xba"
                      "\x97\xff\xc3"));
    CHECK(!json_out_done(&o));
    json_out_end(&o);
    CHECK(json_out_done(&o));
    buf_add_char(&buf, '\0');
    EXPECT_STREQ(buf.ptr,
                 "{\"a\\u003cb\":[-9223372036854775808,\"9223372036854775807\",true,"
                 "false,null,[]],\"t\":\"2026-11-21T21:58:00.123Z\",\"r\":{\"x\":"
                 "\"\\u003c/script\\u003e\\u0026\\u2029\"},\"s\":\"\\\"\\\\\\b\\f\\n\\r\\t"
                 "\\u0001\\u001f\x7f\\u003c\\u003e\\u0026\\u2028\\u2029\xe2\x80\xaa\xe5\xba"
                 "\x97\\ufffd\\ufffd\"}");
    buf_free(&buf);
}

TEST(json_out_stops_at_the_maximum_of_its_buffer)
{
    Buf buf = BUF_MAX(8);
    JsonOut o = json_out(&buf);
    json_out_text(&o, STR("much too long"));
    CHECK(buf.overflowed && buf.len <= 8);
    buf_free(&buf);
}
