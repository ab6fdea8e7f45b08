/*
 * base/json_fuzz.c -- any bytes: the reader stays in bounds, both ways to find tokens agree, and what
 * is written again reads back the same.
 */
#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void copy_scalar(JsonOut *out, JsonValue v)
{
    Str text;
    bool yes = false;
    int64_t n = 0;
    double d = 0;
    switch (json_type(v)) {
    case JSON_STRING: {
        const JsonFault fault = json_text_repaired(v, &text);
        CHECK(str_is_utf8(text));
        CHECK(fault == json_text(v, &text));
        json_out_text(out, text);
        return;
    }
    case JSON_NUMBER:
        if (json_i64(v, &n) == JSON_FAULT_NONE) {
            int64_t scaled = 0;
            CHECK(json_scaled(v, 2, &scaled) != JSON_FAULT_NONE || scaled == n * 100);
            CHECK(json_f64(v, &d) == JSON_FAULT_NONE);
            CHECK(d == (double)n);
        }
        CHECK(json_f64(v, &d) != JSON_FAULT_TYPE);
        json_out_raw(out, json_number_token(v));
        return;
    case JSON_BOOL:
        CHECK(json_bool(v, &yes) == JSON_FAULT_NONE);
        json_out_bool(out, yes);
        return;
    case JSON_NULL:
    case JSON_OBJECT:
    case JSON_ARRAY:
        json_out_null(out);
        return;
    }
}

static void copy_value(JsonOut *out, JsonValue v)
{
    const JsonType type = json_type(v);
    size_t n = 0;
    Str key;
    JsonValue child;
    if (type == JSON_OBJECT) {
        json_out_object(out);
        for (JsonIter i = json_fields(v); json_next_field(&i, &key, &child); n++) {
            CHECK(str_is_utf8(key));
            json_out_key(out, key);
            copy_value(out, child);
        }
        json_out_end(out);
    } else if (type == JSON_ARRAY) {
        json_out_array(out);
        for (JsonIter i = json_items(v); json_next_item(&i, &child); n++)
            copy_value(out, child);
        json_out_end(out);
    } else {
        copy_scalar(out, v);
    }
    CHECK(json_count(v) == n);
}

static Buf rewrite(JsonValue v)
{
    Buf buf = BUF_MAX(SIZE_MAX / 2);
    JsonOut out = json_out(&buf);
    copy_value(&out, v);
    CHECK(json_out_done(&out));
    return buf;
}

/* `text` as the second item of an array; the first decides which way tokens are found. */
static bool open_behind(Ctx *ctx, Str first, Str text, JsonValue *v)
{
    Buf buf = BUF_MAX(SIZE_MAX / 2);
    buf_add_char(&buf, '[');
    buf_add(&buf, first);
    buf_add_char(&buf, ',');
    buf_add(&buf, text);
    buf_add_char(&buf, ']');
    const Str whole = arena_copy(ctx->arena, buf_str(&buf));
    buf_free(&buf);
    JsonValue root;
    if (json_open(ctx, whole, &root) != ERR_OK)
        return false;
    JsonIter i = json_items(root);
    CHECK(json_next_item(&i, v) && json_next_item(&i, v));
    return true;
}

static void check_both_ways(Ctx *ctx, Str text)
{
    JsonValue fast, slow;
    const bool opens = open_behind(ctx, STR("1"), text, &fast);
    CHECK(open_behind(ctx, STR("\"\xff\""), text, &slow) == opens);
    if (!opens)
        return;
    Buf a = rewrite(fast), b = rewrite(slow);
    CHECK(str_eq(buf_str(&a), buf_str(&b)));
    CHECK(str_eq(json_raw(fast, NULL), json_raw(slow, NULL)));
    buf_free(&a), buf_free(&b);
}

static void check_rewritten(Ctx *ctx, JsonValue root)
{
    Buf once = rewrite(root);
    JsonValue again;
    CHECK(json_open(ctx, buf_str(&once), &again) == ERR_OK);
    Buf twice = rewrite(again);
    CHECK(str_eq(buf_str(&once), buf_str(&twice)));
    buf_free(&twice), buf_free(&once);
    bool repaired = false;
    CHECK(json_open(ctx, json_raw(root, NULL), &again) == ERR_OK);
    CHECK(str_is_utf8(json_raw(again, &repaired)));
    CHECK(!repaired);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Arena *arena;
    if (arena == NULL)
        arena = arena_new(1 << 16);
    Ctx ctx = {.arena = arena};
    const Str text = {(const char *)data, size};
    JsonValue root;
    if (json_open(&ctx, text, &root) == ERR_OK)
        check_rewritten(&ctx, root);
    else
        CHECK(ctx.fault.hint[0] != '\0');
    check_both_ways(&ctx, text);
    arena_reset(arena);
    return 0;
}
