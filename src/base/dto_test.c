/*
 * base/dto_test.c -- the interpreter of descriptors: what it takes, what it refuses and with which
 * words, and that printing and parsing are each other's inverse on random structs.
 */
#include "base/clock.h"
#include "base/dto_sample.h"
#include "base/dto_text.h"
#include "base/rand.h"
#include "base/test.h"

static Ctx ctx;

static void fresh(void)
{
    if (ctx.arena == NULL)
        ctx.arena = arena_new(1 << 16);
    arena_reset(ctx.arena);
    ctx.fault = (Fault){.reason = ""};
}

static Sample parse_ok(const char *json)
{
    Sample s;
    fresh();
    if (dto_parse(&ctx, &SAMPLE, str_of(json), &s) != ERR_OK) {
        fprintf(stderr, "%s at %s: %s\n", ctx.fault.reason, ctx.fault.pointer, ctx.fault.hint);
        test_stop();
    }
    return s;
}

static const char *printed(const Sample *s)
{
    Buf b = BUF_MAX(1 << 20);
    dto_print(&b, &SAMPLE, s);
    CHECK(!b.overflowed);
    const Str copy = arena_copy(ctx.arena, buf_str(&b));
    buf_free(&b);
    return copy.ptr;
}

#define EXPECT_STR(got, want) EXPECT_STREQ(arena_copy(ctx.arena, (got)).ptr, want)

/* The fields that every Sample must have. */
#define LEAST "\"id\":\"7\",\"title\":\"a\",\"face\":5,\"open\":true,\"at\":null,\"lines\":[]"

TEST(dto_reads_every_kind)
{
    const Sample s = parse_ok(
        "{\"id\":\"9223372036854775807\",\"title\":\"\xe6\x98\xa5\",\"face\":1e3,\"open\":false,"
        "\"colour\":\"green\",\"day\":\"2024-02-29\",\"at\":\"2026-11-21T16:00:00.5+08:00\","
        "\"text\":\"a\\nb\",\"digits\":\"0042\","
        "\"lines\":[{\"sku\":\"A-1\",\"pieces\":2},{\"sku\":\"B\",\"pieces\":-1,\"note\":\"x\"}],"
        "\"stores\":[\"3\",\"4\"],\"labels\":{\"k\":\"v\",\"l\":\"w\"},\"rule\":[1, {\"a\":null}],"
        "\"extra\":{\"z\":1},\"first\":{\"sku\":\"C\",\"pieces\":9}}");
    EXPECT_I64(s.id, INT64_MAX);
    EXPECT_STR(s.title, "\xe6\x98\xa5");
    EXPECT_I64(s.face, 1000);
    CHECK(!s.open);
    EXPECT_I64(s.colour, SAMPLE_GREEN);
    EXPECT_I64(s.day, 20240229);
    EXPECT_I64(s.at, clock_day_start_ms(20261121, 0) + 8 * 3600000 + 500);
    EXPECT_STR(s.text, "a\nb");
    EXPECT_STR(s.digits, "0042");
    EXPECT_I64((int64_t)s.lines_count, 2);
    EXPECT_I64(s.lines[0].note_is, DTO_ABSENT);
    EXPECT_STR(s.lines[1].sku, "B");
    EXPECT_I64(s.lines[1].pieces, -1);
    EXPECT_STR(s.lines[1].note, "x");
    EXPECT_I64((int64_t)s.stores_count, 2);
    EXPECT_I64(s.stores[1], 4);
    EXPECT_I64((int64_t)s.labels_count, 2);
    EXPECT_STR(s.labels[1].key, "l");
    EXPECT_STR(s.labels[1].value, "w");
    EXPECT_STR(s.rule, "[1, {\"a\":null}]");
    EXPECT_STR(s.extra, "{\"z\":1}");
    EXPECT_I64(s.first.pieces, 9);
}

TEST(dto_keeps_absent_null_and_value_apart)
{
    Sample s = parse_ok("{" LEAST "}");
    EXPECT_I64(s.day_is, DTO_ABSENT);
    EXPECT_I64(s.at_is, DTO_NULL);
    EXPECT_I64(s.stores_is, DTO_ABSENT);
    EXPECT_I64((int64_t)s.stores_count, 0);
    EXPECT_I64(s.first_is, DTO_ABSENT);
    s = parse_ok("{" LEAST ",\"day\":null,\"labels\":null}");
    EXPECT_I64(s.day_is, DTO_NULL);
    EXPECT_I64(s.labels_is, DTO_NULL);
    s = parse_ok("{" LEAST
                 ",\"day\":\"2026-01-01\",\"labels\":{},\"phone\":\"\\u002b86 138 0013 8000\"}");
    EXPECT_I64(s.day_is, DTO_VALUE);
    EXPECT_I64(s.labels_is, DTO_VALUE);
    EXPECT_I64((int64_t)s.labels_count, 0);
    EXPECT_STR(s.phone, "+86 138 0013 8000");
}

TEST(dto_fills_in_defaults)
{
    Sample s = parse_ok("{" LEAST "}");
    EXPECT_I64(s.colour, SAMPLE_BLUE);
    EXPECT_I64(s.size, 20);
    EXPECT_STR(s.language, "zh");
    s = parse_ok("{" LEAST ",\"colour\":\"red\",\"size\":3,\"language\":\"en\"}");
    EXPECT_I64(s.colour, SAMPLE_RED);
    EXPECT_I64(s.size, 3);
    EXPECT_STR(s.language, "en");
}

TEST(dto_prints_what_has_a_value)
{
    fresh();
    Sample s = {.id = 1, .title = STR("<"), .face = -3, .colour = SAMPLE_GREEN};
    EXPECT_STREQ(printed(&s), "{\"id\":\"1\",\"title\":\"\\u003c\",\"face\":-3,\"open\":false,"
                              "\"colour\":\"green\",\"at\":null,\"size\":0,\"language\":\"\","
                              "\"lines\":[]}");
    DTO_SET(&s, day, 20260105);
    DTO_SET(&s, at, 0);
    DTO_SET(&s, rule, STR("{}"));
    s.labels_is = DTO_NULL;
    s.phone_is = DTO_NULL; /* may not be null: left out */
    EXPECT_STREQ(printed(&s),
                 "{\"id\":\"1\",\"title\":\"\\u003c\",\"face\":-3,\"open\":false,"
                 "\"colour\":\"green\",\"day\":\"2026-01-05\",\"at\":\"1970-01-01T00:00:00.000Z\","
                 "\"size\":0,\"language\":\"\",\"lines\":[],\"labels\":null,\"rule\":{}}");
}

/* What is put behind the least fields, or instead of them when it begins with '{'. */
static const struct {
    const char *json, *pointer, *reason, *hint;
} REFUSED[] = {
    {"{}", "/id", "request.missing", "this field is missing: send an id: a string of digits"},
    {"{\"id\":\"7\"}", "/title", "request.missing", "this field is missing: send one line of text"},
    {"\"nix\":1", "/nix", "request.unknown_field", "no such field: remove it or choose among id, "},
    {"\"a/b~c\":1", "/a~1b~0c", "request.unknown_field", "no such field"},
    {"\"face\":6", "/face", "request.repeated", "send each field once"},
    {"\"phone\":null", "/phone", "request.null",
     "null is not allowed: leave it out or: send a phone"},
    {"\"size\":null", "/size", "request.null", "null is not allowed"},
    {"\"size\":\"3\"", "/size", "request.type", "send an integer from -100 to 1000000"},
    {"\"size\":1.5", "/size", "request.range", "has more decimal places than allowed: send"},
    {"\"size\":1e30", "/size", "request.range", "is a number out of range: send"},
    {"\"size\":-101", "/size", "request.range", "send an integer from -100 to 1000000"},
    {"\"size\":1000001", "/size", "request.range", "send an integer"},
    {"\"colour\":\"pink\"", "/colour", "request.choice",
     "send one of \"red\", \"green\", \"blue\""},
    {"\"colour\":1", "/colour", "request.type", "send one of"},
    {"\"day\":\"2026-02-29\"", "/day", "request.format", "send a date such as \"2026-11-21\""},
    {"\"day\":\"2026-2-3\"", "/day", "request.format", "send a date"},
    {"\"day\":20260101", "/day", "request.type", "send a date"},
    {"\"phone\":\"12a45\"", "/phone", "request.format", "send a phone number"},
    {"\"phone\":\"1234\"", "/phone", "request.format", "send a phone number"},
    {"\"phone\":\"1234567890123456\"", "/phone", "request.format", "send a phone number"},
    {"\"email\":\"a@b\"", "/email", "request.format", "send an e-mail address"},
    {"\"email\":\"@b.c\"", "/email", "request.format", "send an e-mail address"},
    {"\"email\":\"a@b@c.d\"", "/email", "request.format", "send an e-mail address"},
    {"\"email\":\"01234567890123456789012345678901234567890123456789012345678901234@b.c\"",
     "/email", "request.format", "send an e-mail address"},
    {"\"text\":\"\x7f\"", "/text", "request.format", "send text without control characters"},
    {"\"email\":\"a @b.c\"", "/email", "request.format", "send an e-mail address"},
    {"\"uri\":\"javascript:x\"", "/uri", "request.format", "send an address that begins with"},
    {"\"uri\":\"https://\"", "/uri", "request.format", "send an address"},
    {"\"uri\":\"https:///x\"", "/uri", "request.format", "send an address"},
    {"\"uri\":\"https://a/<b>\"", "/uri", "request.format", "send an address"},
    {"\"uuid\":\"01234567-89ab-cdef-0123-456789abcdeg\"", "/uuid", "request.format", "send a UUID"},
    {"\"uuid\":\"0123\"", "/uuid", "request.format", "send a UUID"},
    {"\"code\":\"a b\"", "/code", "request.format", "send a code"},
    {"\"code\":\"\"", "/code", "request.range", "too short: send a code"},
    {"\"code\":\"1234567890123\"", "/code", "request.range", "too long: send a code"},
    {"\"slug\":\"1a\"", "/slug", "request.format", "send a name of a-z"},
    {"\"slug\":\"A\"", "/slug", "request.format", "send a name of a-z"},
    {"\"digits\":\"12x4\"", "/digits", "request.format", "send digits"},
    {"\"text\":\"a\\u0007\"", "/text", "request.format", "send text without control characters"},
    {"\"text\":\"\\u0085\"", "/text", "request.format", "send text without control characters"},
    {"\"text\":\"\\u0000\"", "/text", "request.text", "contains the character U+0000: send"},
    {"\"text\":\"\\ud83d\"", "/text", "request.text", "contains half of a surrogate pair"},
    {"\"stores\":[]", "/stores", "request.range", "an empty list: send a list of 1 to 3 items"},
    {"\"stores\":[\"1\",\"2\",\"3\",\"4\"]", "/stores", "request.range", "send a list of 1 to 3"},
    {"\"stores\":[\"1\",2]", "/stores/1", "request.type", "send an id: a string of digits"},
    {"\"stores\":[\"1\",null]", "/stores/1", "request.type", "send an id"},
    {"\"stores\":[\"0\"]", "/stores/0", "request.format", "send an id"},
    {"\"stores\":[\"-1\"]", "/stores/0", "request.format", "send an id"},
    {"\"stores\":[\"9223372036854775808\"]", "/stores/0", "request.format", "send an id"},
    {"\"stores\":{}", "/stores", "request.type", "send a list"},
    {"\"labels\":{\"a\":1}", "/labels/a", "request.type", "send one line of text"},
    {"\"labels\":{\"a\":null}", "/labels/a", "request.type", "send one line of text"},
    {"\"labels\":{\"a\":\"b\",\"a\":\"c\"}", "/labels/a", "request.repeated",
     "send each name once"},
    {"\"labels\":{\"\":\"b\"}", "/labels/", "request.range", "too short"},
    {"\"labels\":{\"a\":\"b\",\"c\":\"d\",\"e\":\"f\"}", "/labels", "request.range",
     "0 to 2 members"},
    {"\"labels\":[]", "/labels", "request.type", "send an object of texts"},
    {"\"first\":{\"sku\":\"a\"}", "/first/pieces", "request.missing", "this field is missing"},
    {"\"first\":[]", "/first", "request.type", "send an object (SampleLine)"},
    {"\"extra\":[]", "/extra", "request.type", "send an object of at most 64 bytes"},
    {"\"extra\":null", "/extra", "request.null", "null is not allowed"},
    {"\"rule\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", "/rule",
     "request.range", "too long: send JSON of at most 64 bytes"},
    {"\"rule\":[\"\\ud83d\"]", "/rule", "request.text", "a text inside is not valid Unicode"},
    {"[]", "", "request.type", "send an object (Sample)"},
    {"{", "", "json.malformed", "byte 1"},
};

TEST(dto_says_what_is_wrong_where_and_what_to_send)
{
    for (size_t i = 0; i < ARRAY_LEN(REFUSED); i++) {
        fresh();
        const char c = REFUSED[i].json[0];
        const bool whole = c == '{' || c == '[';
        const Str json =
            arena_printf(ctx.arena, whole ? "%s%s" : "{" LEAST ",%s}%s", REFUSED[i].json, "");
        Sample out, before;
        memset(&out, 0x5a, sizeof out);
        memcpy(&before, &out, sizeof out);
        EXPECT_I64(dto_parse(&ctx, &SAMPLE, json, &out), ERR_INVALID);
        EXPECT_STREQ(ctx.fault.pointer, REFUSED[i].pointer);
        EXPECT_STREQ(ctx.fault.reason, REFUSED[i].reason);
        if (strstr(ctx.fault.hint, REFUSED[i].hint) == NULL)
            EXPECT_STREQ(ctx.fault.hint, REFUSED[i].hint);
        CHECK(memcmp(&before, &out, sizeof out) == 0); /* untouched */
    }
}

TEST(dto_takes_the_edges_of_every_bound)
{
    static const char *const cases[] = {
        "\"size\":-100",
        "\"size\":1000000",
        "\"code\":\"1\"",
        "\"code\":\"!23456789~12\"",
        "\"digits\":\"0000\"",
        "\"digits\":\"999999\"",
        "\"stores\":[\"1\"]",
        "\"stores\":[\"1\",\"2\",\"3\"]",
        "\"phone\":\"12345\"",
        "\"phone\":\"(123) 456-789 012345\"",
        "\"day\":\"1900-01-01\"",
        "\"day\":\"9999-12-31\"",
        "\"slug\":\"\"",
        "\"uri\":\"http://a\"",
        "\"email\":\"0123456789012345678901234567890123456789012345678901234567890123@b.c\"",
        "\"rule\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
        "\"rule\":null",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[512];
        (void)snprintf(text, sizeof text, "{" LEAST ",%s}", cases[i]);
        (void)parse_ok(text);
    }
}

TEST(dto_counts_characters_not_bytes)
{
    fresh();
    Sample s = parse_ok("{\"id\":\"7\",\"title\":\"\xe6\x98\xa5\xe5\xa4\x8f\xe7\xa7\x8b\xe5\x86\xac"
                        "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\","
                        "\"face\":5,\"open\":true,\"at\":null,\"lines\":[]}");
    EXPECT_I64((int64_t)s.title.len, 28);
    EXPECT_I64(dto_text_characters(s.title), 8);
}

TEST(dto_a_long_pointer_is_cut_not_overrun)
{
    fresh();
    Buf b = BUF_MAX(1 << 12);
    buf_add(&b, STR("{\""));
    for (int i = 0; i < 300; i++)
        buf_add(&b, STR("/"));
    buf_add(&b, STR("\":1}"));
    Sample s;
    EXPECT_I64(dto_parse(&ctx, &SAMPLE, buf_str(&b), &s), ERR_INVALID);
    EXPECT_I64((int64_t)strlen(ctx.fault.pointer), sizeof ctx.fault.pointer - 1);
    buf_free(&b);
}

TEST(dto_reads_one_value_of_a_document)
{
    fresh();
    JsonValue root, row;
    SampleLine line;
    CHECK(json_open(&ctx, STR("[{\"sku\":\"a\",\"pieces\":1},{\"sku\":\"b\"}]"), &root) == ERR_OK);
    JsonIter i = json_items(root);
    CHECK(json_next_item(&i, &row) &&
          dto_read(&ctx, &SAMPLE_LINE, row, "/rows/0", &line) == ERR_OK);
    EXPECT_STR(line.sku, "a");
    CHECK(json_next_item(&i, &row));
    EXPECT_I64(dto_read(&ctx, &SAMPLE_LINE, row, "/rows/1", &line), ERR_INVALID);
    EXPECT_STREQ(ctx.fault.pointer, "/rows/1/pieces");
}

/* ---- times ------------------------------------------------------------------------------------------ */

TEST(dto_times_follow_rfc_3339)
{
    static const struct {
        const char *text;
        int64_t want; /* -1 = refused */
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:00.001Z", 1},
        {"1970-01-01T00:00:00.1Z", 100},
        {"1970-01-01T00:00:00.123456789Z", 123},
        {"1970-01-01T08:00:00+08:00", 0},
        {"1969-12-31T19:00:00-05:00", 0},
        {"1985-04-12T23:20:50.52Z", INT64_C(482196050520)}, /* RFC 3339 section 5.8 */
        {"1996-12-19T16:39:57-08:00", INT64_C(851042397000)},
        {"1937-01-01T12:00:27.87+00:20", INT64_C(-1041337172130)},
        {"1990-12-31T23:59:60Z", -1}, /* a leap second */
        {"1970-01-01T24:00:00Z", -1},
        {"1970-01-01T00:60:00Z", -1},
        {"1970-01-01 00:00:00Z", -1},
        {"1970-01-01T00:00:00", -1},
        {"1970-01-01T00:00:00.Z", -1},
        {"1970-01-01T00:00:00.1234567890Z", -1},
        {"1970-01-01T00:00:00+0800", -1},
        {"1970-01-01T00:00:00+24:00", -1},
        {"1970-01-01T00:00:00+08:60", -1},
        {"1970-01-01T00:00:00Zx", -1},
        {"1970-02-30T00:00:00Z", -1},
        {"1970-13-01T00:00:00Z", -1},
        {"1899-12-31T23:59:59Z", -1},
        {"", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t got = -1;
        const bool ok = dto_text_time(str_of(cases[i].text), &got);
        CHECK(ok == (got != -1));
        EXPECT_I64(got, cases[i].want);
    }
}

/* The calendar, day by day, against counting. */
TEST(dto_dates_are_the_days_of_the_calendar)
{
    static const int length[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    for (int year = 1900; year <= 2400; year++) {
        for (int month = 1; month <= 12; month++) {
            const bool leap = month == 2 && (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
            for (int day = 0; day <= 33; day++) {
                char text[32];
                const int n = snprintf(text, sizeof text, "%04d-%02d-%02d", year, month, day);
                int32_t got = 0;
                const bool want = day >= 1 && day <= length[month - 1] + leap;
                CHECK(dto_text_date((Str){text, (size_t)n}, &got) == want);
                CHECK(!want || got == year * 10000 + month * 100 + day);
            }
        }
    }
}

/* ---- queries and paths --------------------------------------------------------------------------------- */

typedef struct Query {
    SampleColour *colour;
    size_t colour_count;
    DtoState colour_is;
    Str text;
    DtoState text_is;
    int64_t size;
    bool open;
    DtoState open_is;
    int64_t store;
    DtoState store_is;
} Query;

static const DtoType COLOURS = {
    .kind = DTO_ARRAY, .size = sizeof(SampleColour *), .max = 2, .item = &SAMPLE_COLOUR};
static const DtoField QUERY_FIELDS[] = {
    {.name = "colour",
     .type = &COLOURS,
     .at = offsetof(Query, colour),
     .count_at = offsetof(Query, colour_count),
     .state_at = offsetof(Query, colour_is)},
    SAMPLE_OPTIONAL(Query, text, SAMPLE_TEXT),
    SAMPLE_FIELD(Query, size, SAMPLE_MONEY, .has_default = true, .default_i64 = 20),
    SAMPLE_OPTIONAL(Query, open, SAMPLE_BOOL),
    SAMPLE_OPTIONAL(Query, store, SAMPLE_ID),
};
static const DtoType QUERY = {.kind = DTO_OBJECT,
                              .name = "Query",
                              .size = sizeof(Query),
                              .fields = QUERY_FIELDS,
                              .count = ARRAY_LEN(QUERY_FIELDS)};

TEST(dto_reads_queries)
{
    Query q;
    fresh();
    CHECK(dto_parse_query(&ctx, &QUERY, STR(""), &q) == ERR_OK);
    EXPECT_I64(q.size, 20);
    EXPECT_I64(q.text_is, DTO_ABSENT);
    EXPECT_I64((int64_t)q.colour_count, 0);
    CHECK(dto_parse_query(
              &ctx, &QUERY,
              STR("&colour=red&&te%78t=a+%2B%E6%98%A5&open=true&colour=blue&size=-3&store=12"),
              &q) == ERR_OK);
    EXPECT_I64((int64_t)q.colour_count, 2);
    EXPECT_I64(q.colour[0], SAMPLE_RED);
    EXPECT_I64(q.colour[1], SAMPLE_BLUE);
    EXPECT_STR(q.text, "a +\xe6\x98\xa5");
    CHECK(q.open && q.open_is == DTO_VALUE);
    EXPECT_I64(q.size, -3);
    EXPECT_I64(q.store, 12);
    CHECK(dto_parse_query(&ctx, &QUERY, STR("text"), &q) == ERR_OK);
    EXPECT_I64(q.text_is, DTO_VALUE);
    EXPECT_I64((int64_t)q.text.len, 0);
}

TEST(dto_refuses_bad_queries)
{
    static const struct {
        const char *query, *pointer, *reason;
    } cases[] = {
        {"nix=1", "?nix", "request.unknown_field"},
        {"size=x", "?size", "request.type"},
        {"size=", "?size", "request.type"},
        {"size=1.5", "?size", "request.type"},
        {"size=-101", "?size", "request.range"},
        {"size=1&size=1", "?size", "request.repeated"},
        {"open=1", "?open", "request.type"},
        {"colour=pink", "?colour", "request.choice"},
        {"colour=red&colour=red&colour=red", "?colour", "request.range"},
        {"text=%", "", "request.encoding"},
        {"text=%4", "", "request.encoding"},
        {"text=%zz", "", "request.encoding"},
        {"text=%00", "", "request.encoding"},
        {"text=%ff", "", "request.encoding"},
        {"te%ffxt=1", "", "request.encoding"},
        {"text=%0b", "?text", "request.format"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Query q;
        fresh();
        EXPECT_I64(dto_parse_query(&ctx, &QUERY, str_of(cases[i].query), &q), ERR_INVALID);
        EXPECT_STREQ(ctx.fault.pointer, cases[i].pointer);
        EXPECT_STREQ(ctx.fault.reason, cases[i].reason);
    }
    Buf many = BUF_MAX(1 << 12);
    for (int i = 0; i <= DTO_QUERY_PAIRS_MAX; i++)
        buf_add(&many, STR("colour=red&"));
    Query q;
    EXPECT_I64(dto_parse_query(&ctx, &QUERY, buf_str(&many), &q), ERR_INVALID);
    EXPECT_STREQ(ctx.fault.reason, "request.too_many");
    buf_free(&many);
}

TEST(dto_reads_paths_in_order)
{
    typedef struct Path {
        int64_t id;
        Str sku;
    } Path;
    static const DtoField fields[] = {SAMPLE_FIELD(Path, id, SAMPLE_ID, .required = true),
                                      SAMPLE_FIELD(Path, sku, SAMPLE_CODE, .required = true)};
    static const DtoType type = {
        .kind = DTO_OBJECT, .name = "Path", .size = sizeof(Path), .fields = fields, .count = 2};
    Path path;
    fresh();
    const Str good[] = {STR("12"), STR("A/1")}, bad[] = {STR("x"), STR("A")},
              torn[] = {STR("12"), STR("\xff")};
    CHECK(dto_parse_path(&ctx, &type, good, 2, &path) == ERR_OK);
    EXPECT_I64(path.id, 12);
    EXPECT_STR(path.sku, "A/1");
    EXPECT_I64(dto_parse_path(&ctx, &type, bad, 2, &path), ERR_NOT_FOUND);
    EXPECT_STREQ(ctx.fault.reason, "not_found");
    EXPECT_I64(dto_parse_path(&ctx, &type, torn, 2, &path), ERR_NOT_FOUND);
    EXPECT_I64(path.id, 12);
}

TEST(api_sentence_looks_through_all_contracts)
{
    static const ApiError one[] = {{"a.b", "One."}, {NULL, NULL}};
    static const ApiError two[] = {{"c.d", "Two."}, {NULL, NULL}};
    static const ApiContract a = {"a", NULL, one}, b = {"b", NULL, two};
    static const ApiContract *const all[] = {&a, &b, NULL};
    EXPECT_STREQ(api_sentence(all, "c.d"), "Two.");
    CHECK(api_sentence(all, "c") == NULL);
}

/* ---- random structs: print, parse, print ------------------------------------------------------------------ */

/* A random text that fits the format, `n` characters. */
static Str random_text(Prng *r, DtoFormat format, size_t n)
{
    static const char *const any[] = {"a", "7", "\xe6\x98\xa5", "\xf0\x9f\x98\x80", "\"", "\\",
                                      "/", " "};
    static const char *const fixed[DTO_FORMAT_COUNT] = {
        [DTO_FORMAT_PHONE] = "+86 138-0013-8000",
        [DTO_FORMAT_EMAIL] = "a.b@c-d.example",
        [DTO_FORMAT_URI] = "https://a.example/b?c=d#e",
        [DTO_FORMAT_UUID] = "01234567-89ab-cdef-0123-456789ABCDEF",
    };
    if (fixed[format] != NULL)
        return str_of(fixed[format]);
    Buf b = BUF_MAX(1 << 12);
    for (size_t i = 0; i < n; i++) {
        if (format == DTO_FORMAT_DIGITS)
            buf_add_char(&b, (char)('0' + prng_below(r, 10)));
        else if (format == DTO_FORMAT_SLUG)
            buf_add_char(&b, (char)('a' + prng_below(r, 26)));
        else if (format == DTO_FORMAT_CODE)
            buf_add_char(&b, (char)('!' + prng_below(r, 94)));
        else if (format != DTO_FORMAT_LINE && prng_below(r, 8) == 0)
            buf_add_char(&b, '\n');
        else
            buf_add(&b, str_of(any[prng_below(r, ARRAY_LEN(any))]));
    }
    const Str s = arena_copy(ctx.arena, buf_str(&b));
    buf_free(&b);
    return s;
}

static int64_t between(Prng *r, int64_t from, int64_t to)
{
    return from + (int64_t)prng_below(r, (uint64_t)(to - from) + 1);
}

static void fill(Prng *r, const DtoType *t, void *at, size_t *count);

static void fill_object(Prng *r, const DtoType *t, char *base)
{
    for (int i = 0; i < t->count; i++) {
        const DtoField *f = &t->fields[i];
        DtoState state = DTO_VALUE;
        if (f->state_at != DTO_NOWHERE) {
            state = (DtoState)prng_below(r, 3);
            if (state == DTO_NULL && !f->nullable)
                state = DTO_ABSENT;
            if (state == DTO_ABSENT && f->required)
                state = DTO_NULL;
            memcpy(base + f->state_at, &state, sizeof state);
        }
        size_t *count = f->count_at == DTO_NOWHERE ? NULL : (size_t *)(void *)(base + f->count_at);
        if (state == DTO_VALUE)
            fill(r, f->type, base + f->at, count);
    }
}

static void fill_array(Prng *r, const DtoType *t, void *at, size_t *count)
{
    *count = (size_t)between(r, t->min, t->max);
    const bool map = t->kind == DTO_MAP;
    const size_t size = map ? sizeof(DtoPair) : t->item->size;
    char *items = arena_alloc(ctx.arena, *count, size);
    for (size_t i = 0; i < *count; i++) {
        if (map) {
            DtoPair *pair = (DtoPair *)(void *)(items + i * size);
            pair->key = arena_printf(ctx.arena, "k/%zu~", i);
            fill(r, t->item, &pair->value, NULL);
        } else {
            fill(r, t->item, items + i * size, NULL);
        }
    }
    memcpy(at, &items, sizeof items);
}

static int64_t random_number(Prng *r, const DtoType *t)
{
    if (t->kind == DTO_ID)
        return between(r, 1, INT64_MAX);
    if (t->kind == DTO_TIME)
        return between(r, clock_day_start_ms(19000101, 0), clock_day_start_ms(99991231, 0) - 1);
    return between(r, t->min, t->max);
}

static void fill(Prng *r, const DtoType *t, void *at, size_t *count)
{
    static const char *const raw[] = {"{}", "{\"a\":[1,2,null]}", "{\"b\":{\"c\":\"d\"}}"};
    const int64_t number = t->kind == DTO_ID || t->kind == DTO_TIME || t->kind == DTO_INTEGER
                               ? random_number(r, t)
                               : 0;
    const unsigned choice = (unsigned)prng_below(r, 3);
    const Str json = str_of(raw[choice]);
    if (t->kind == DTO_OBJECT)
        fill_object(r, t, at);
    else if (t->kind == DTO_ARRAY || t->kind == DTO_MAP)
        fill_array(r, t, at, count);
    else if (t->kind == DTO_STRING)
        *(Str *)at = random_text(r, t->format, (size_t)between(r, t->min, t->max));
    else if (t->kind == DTO_JSON)
        *(Str *)at = json;
    else if (t->kind == DTO_ENUM)
        memcpy(at, &choice, sizeof choice);
    else if (t->kind == DTO_DATE)
        *(int32_t *)at = clock_day(between(r, 0, INT64_C(4000000000000)), 0);
    else if (t->kind == DTO_BOOL)
        *(bool *)at = choice == 1;
    else
        memcpy(at, &number, sizeof number);
}

TEST(dto_print_and_parse_are_inverse_on_random_structs)
{
    Prng r = prng_of(20261121);
    for (int round = 0; round < 3000; round++) {
        fresh();
        Sample s = {.id = 0};
        fill(&r, &SAMPLE, &s, NULL);
        const char *first = printed(&s);
        Sample again;
        if (dto_parse(&ctx, &SAMPLE, str_of(first), &again) != ERR_OK) {
            fprintf(stderr, "%s %s %s\n", ctx.fault.pointer, ctx.fault.hint, first);
            test_stop();
        }
        EXPECT_STREQ(printed(&again), first);
        EXPECT_I64(again.id, s.id);
        EXPECT_I64((int64_t)again.lines_count, (int64_t)s.lines_count);
    }
}

/* One changed byte anywhere: no crash, and what is accepted is stable. */
TEST(dto_survives_damaged_requests)
{
    Prng r = prng_of(7);
    for (int round = 0; round < 20000; round++) {
        fresh();
        Sample s = {.id = 0};
        fill(&r, &SAMPLE, &s, NULL);
        char *text = (char *)(uintptr_t)printed(&s);
        const size_t len = strlen(text);
        text[prng_below(&r, len)] = (char)prng_below(&r, 256);
        Sample got;
        if (dto_parse(&ctx, &SAMPLE, (Str){text, len}, &got) != ERR_OK)
            continue;
        const char *first = printed(&got);
        Sample again;
        CHECK(dto_parse(&ctx, &SAMPLE, str_of(first), &again) == ERR_OK);
        EXPECT_STREQ(printed(&again), first);
    }
}

/* ---- trees -------------------------------------------------------------------------------------------- */

typedef struct WithTree {
    JsonValue tree;
} WithTree;
static const DtoType TREE = {.kind = DTO_JSON, .size = sizeof(JsonValue), .max = 20, .tree = true};
static const DtoField TREE_FIELDS[] = {{.name = "tree",
                                        .type = &TREE,
                                        .at = offsetof(WithTree, tree),
                                        .count_at = DTO_NOWHERE,
                                        .state_at = DTO_NOWHERE,
                                        .required = true}};
static const DtoType WITH_TREE = {.kind = DTO_OBJECT,
                                  .name = "WithTree",
                                  .size = sizeof(WithTree),
                                  .fields = TREE_FIELDS,
                                  .count = 1};

TEST(dto_a_tree_is_read_where_it_stands_with_what_is_wrong_inside)
{
    fresh();
    WithTree got;
    JsonValue item;
    Str text;
    EXPECT_I64(dto_parse(&ctx, &WITH_TREE, STR("{\"tree\": [1, \"\\ud800\"] }"), &got), ERR_OK);
    CHECK(json_count(got.tree) == 2 && json_bytes(got.tree) == 13);
    JsonIter items = json_items(got.tree);
    CHECK(json_next_item(&items, &item) && json_next_item(&items, &item));
    EXPECT_I64(json_text(item, &text), JSON_FAULT_SURROGATE);
    EXPECT_I64(dto_parse(&ctx, &WITH_TREE, STR("{\"tree\":null}"), &got), ERR_OK);
    EXPECT_I64(json_type(got.tree), JSON_NULL);
    EXPECT_I64(dto_parse(&ctx, &WITH_TREE, STR("{\"tree\":[1,2,3,4,5,6,7,8,9,10]}"), &got),
               ERR_INVALID);
    EXPECT_STREQ(ctx.fault.reason, "request.range");
}
