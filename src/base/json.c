/*
 * base/json.c -- reads the values of a document that json_index.c has checked.
 */
#include "base/json_internal.h"
#include "base/json_shim.h"

static const char *const FAULT_TEXTS[] = {
#define X(code, text) [JSON_FAULT_##code] = (text),
    JSON_FAULT_MAP(X)
#undef X
};

const char *json_fault_text(JsonFault fault)
{
    CHECK(fault < JSON_FAULT_COUNT);
    return FAULT_TEXTS[fault];
}

/* ---- walking ---- */

static const Node *node_of(JsonValue v)
{
    return &v.doc->nodes[v.at];
}

static Str slice_of(JsonValue v)
{
    const Node *n = node_of(v);
    return str_slice(v.doc->text, n->at, n->end);
}

/* What a value's first byte says, plus one; 0: a number. */
static const uint8_t TYPES[256] = {
    ['{'] = JSON_OBJECT + 1, ['['] = JSON_ARRAY + 1, ['"'] = JSON_STRING + 1,
    ['t'] = JSON_BOOL + 1,   ['f'] = JSON_BOOL + 1,  ['n'] = JSON_NULL + 1};

JsonType json_type(JsonValue v)
{
    const uint8_t type = TYPES[(unsigned char)v.doc->text.ptr[node_of(v)->at]];
    return type == 0 ? JSON_NUMBER : (JsonType)(type - 1);
}

const char *json_type_name(JsonType type)
{
    static const char *const NAMES[] = {"object", "array", "string", "number", "boolean", "null"};
    CHECK(type < ARRAY_LEN(NAMES));
    return NAMES[type];
}

size_t json_position(JsonValue v)
{
    return (size_t)node_of(v)->at + v.doc->bom_bytes;
}

size_t json_bytes(JsonValue v)
{
    return (size_t)node_of(v)->end - node_of(v)->at;
}

static JsonIter iterate(JsonValue v, JsonType type)
{
    const uint32_t first = v.at + 1;
    return (JsonIter){v.doc, first, json_type(v) == type ? node_of(v)->next : first};
}

JsonIter json_fields(JsonValue object)
{
    return iterate(object, JSON_OBJECT);
}

JsonIter json_items(JsonValue array)
{
    return iterate(array, JSON_ARRAY);
}

bool json_next_item(JsonIter *i, JsonValue *value)
{
    if (i->at == i->end)
        return false;
    *value = (JsonValue){i->doc, i->at};
    i->at = i->doc->nodes[i->at].next;
    return true;
}

bool json_next_field(JsonIter *i, Str *key, JsonValue *value)
{
    if (i->at == i->end)
        return false;
    const Node *name = &i->doc->nodes[i->at];
    if (name->slow)
        (void)json_text_repaired((JsonValue){i->doc, i->at}, key);
    else /* nearly all are */
        *key = (Str){i->doc->text.ptr + name->at + 1, name->end - name->at - 2};
    *value = (JsonValue){i->doc, i->at + 1};
    i->at = name[1].next;
    return true;
}

size_t json_count(JsonValue v)
{
    const JsonType type = json_type(v);
    JsonIter i = iterate(v, type);
    size_t n = 0;
    for (JsonValue unused; json_next_item(&i, &unused);)
        n++;
    return type == JSON_OBJECT ? n / 2 : type == JSON_ARRAY ? n : 0;
}

bool json_find(JsonValue object, Str key, JsonValue *out)
{
    Str name;
    JsonValue value;
    bool found = false;
    for (JsonIter i = json_fields(object); json_next_field(&i, &name, &value);) {
        if (!str_eq(name, key))
            continue;
        *out = value;
        found = true;
    }
    return found;
}

/* ---- texts ---- */

typedef struct Decoder {
    Str in;
    size_t at;
    char *out;
    size_t len;
    JsonFault first; /* the first fault */
} Decoder;

static void put_char(Decoder *d, uint32_t c)
{
    char *p = d->out + d->len;
    if (c < 0x80) {
        p[0] = (char)c;
        d->len += 1;
    } else if (c < 0x800) {
        p[0] = (char)(0xc0 | c >> 6);
        p[1] = (char)(0x80 | (c & 0x3f));
        d->len += 2;
    } else if (c < 0x10000) {
        p[0] = (char)(0xe0 | c >> 12);
        p[1] = (char)(0x80 | (c >> 6 & 0x3f));
        p[2] = (char)(0x80 | (c & 0x3f));
        d->len += 3;
    } else {
        p[0] = (char)(0xf0 | c >> 18);
        p[1] = (char)(0x80 | (c >> 12 & 0x3f));
        p[2] = (char)(0x80 | (c >> 6 & 0x3f));
        p[3] = (char)(0x80 | (c & 0x3f));
        d->len += 4;
    }
}

static void put_fault(Decoder *d, JsonFault fault)
{
    if (d->first == JSON_FAULT_NONE)
        d->first = fault;
    put_char(d, 0xfffd);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The value of `\uXXXX` at `at`, or -1. */
static int32_t escape_unit(Str in, size_t at)
{
    if (in.len - at < 6 || in.ptr[at] != '\\' || in.ptr[at + 1] != 'u')
        return -1;
    int32_t unit = 0;
    for (size_t i = at + 2; i < at + 6; i++) {
        const int digit = hex_digit(in.ptr[i]);
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

static bool in_range(int32_t v, int32_t from, int32_t to)
{
    return v >= from && v <= to;
}

static void decode_unit(Decoder *d)
{
    const int32_t unit = escape_unit(d->in, d->at);
    if (unit < 0) {
        d->at += 2;
        put_fault(d, JSON_FAULT_ESCAPE);
        return;
    }
    d->at += 6;
    if (in_range(unit, 0xd800, 0xdbff)) {
        const int32_t low = escape_unit(d->in, d->at);
        if (in_range(low, 0xdc00, 0xdfff)) {
            d->at += 6;
            put_char(d, (uint32_t)(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)));
            return;
        }
    }
    if (unit == 0)
        put_fault(d, JSON_FAULT_NUL);
    else if (in_range(unit, 0xd800, 0xdfff))
        put_fault(d, JSON_FAULT_SURROGATE);
    else
        put_char(d, (uint32_t)unit);
}

static void decode_escape(Decoder *d)
{
    static const char MEANS[128] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                    ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};
    const unsigned char c = (unsigned char)d->in.ptr[d->at + 1]; /* a closing quote is no escape */
    if (c == 'u') {
        decode_unit(d);
    } else if (c < 128 && MEANS[c] != '\0') {
        d->at += 2;
        put_char(d, (uint32_t)MEANS[c]);
    } else {
        d->at += 1;
        put_fault(d, JSON_FAULT_ESCAPE);
    }
}

static bool is_plain(char c)
{
    return c >= 0x20 && c != '\\';
}

/* A character that stands for itself and the plain ASCII behind it. */
static void decode_run(Decoder *d)
{
    const unsigned char c = (unsigned char)d->in.ptr[d->at];
    size_t n = str_utf8_len(d->in, d->at);
    if (c < 0x20 || n == 0) {
        d->at += 1;
        put_fault(d, c == 0 ? JSON_FAULT_NUL : c < 0x20 ? JSON_FAULT_CONTROL : JSON_FAULT_UTF8);
        return;
    }
    while (d->at + n < d->in.len && is_plain(d->in.ptr[d->at + n]))
        n++;
    memcpy(d->out + d->len, d->in.ptr + d->at, n);
    d->at += n;
    d->len += n;
}

/* Decodes up to the end, or when `stop` is set, to the first fault. */
static Decoder decode(Str in, char *out, bool stop)
{
    Decoder d = {.in = in, .out = out};
    while (d.at < in.len && !(stop && d.first != JSON_FAULT_NONE)) {
        if (in.ptr[d.at] == '\\')
            decode_escape(&d);
        else
            decode_run(&d);
    }
    return d;
}

/* Room for a text of n bytes when it has no faults: the first one may still be put behind it. */
static char *room_for(Arena *arena, size_t n)
{
    return arena_bytes(arena, n + 3);
}

static Str inside_quotes(JsonValue v)
{
    const Node *n = node_of(v);
    return str_slice(v.doc->text, (size_t)n->at + 1, (size_t)n->end - 1);
}

JsonFault json_text(JsonValue v, Str *out)
{
    const Node *n = node_of(v);
    if (v.doc->text.ptr[n->at] != '"')
        return JSON_FAULT_TYPE;
    const Str in = {v.doc->text.ptr + n->at + 1, n->end - n->at - 2};
    if (!n->slow) {
        *out = in;
        return JSON_FAULT_NONE;
    }
    const Decoder d = decode(in, room_for(v.doc->arena, in.len), true);
    if (d.first == JSON_FAULT_NONE)
        *out = (Str){d.out, d.len};
    return d.first;
}

JsonFault json_text_repaired(JsonValue v, Str *out)
{
    const JsonFault fault = json_text(v, out);
    if (fault == JSON_FAULT_NONE || fault == JSON_FAULT_TYPE)
        return fault;
    const Str in = inside_quotes(v);
    const Decoder d = decode(in, arena_bytes(v.doc->arena, in.len * 3), false);
    *out = (Str){d.out, d.len};
    return fault;
}

/* ---- other scalars ---- */

JsonFault json_bool(JsonValue v, bool *out)
{
    if (json_type(v) != JSON_BOOL)
        return JSON_FAULT_TYPE;
    *out = v.doc->text.ptr[node_of(v)->at] == 't';
    return JSON_FAULT_NONE;
}

Str json_number_token(JsonValue v)
{
    return json_type(v) == JSON_NUMBER ? slice_of(v) : (Str){NULL, 0};
}

/* A number taken apart: its digits stand in `mantissa` (with or without a dot); the first of them
 * counts 10^power. */
typedef struct Decimal {
    bool negative;
    Str mantissa;
    int64_t power;
} Decimal;

static const int64_t POWER_MAX = INT64_C(1000000000); /* as good as infinite, and cannot overflow */

static Decimal take_apart(Str token)
{
    Decimal d = {.negative = token.ptr[0] == '-'};
    size_t end = d.negative, dot = SIZE_MAX;
    const size_t from = end;
    for (; end < token.len && (token.ptr[end] | 0x20) != 'e'; end++)
        if (token.ptr[end] == '.')
            dot = end;
    d.mantissa = str_slice(token, from, end);
    const bool minus = end + 1 < token.len && token.ptr[end + 1] == '-';
    for (size_t i = end + 1; i < token.len; i++)
        if (token.ptr[i] >= '0' && d.power < POWER_MAX)
            d.power = d.power * 10 + (token.ptr[i] - '0');
    d.power = (minus ? -d.power : d.power) + (int64_t)((dot == SIZE_MAX ? end : dot) - from) - 1;
    return d;
}

JsonFault json_scaled(JsonValue v, int places, int64_t *out)
{
    CHECK(places >= 0 && places <= 18);
    if (json_type(v) != JSON_NUMBER)
        return JSON_FAULT_TYPE;
    const Decimal d = take_apart(slice_of(v));
    int64_t power = d.power + places, sum = 0; /* built downwards, so that INT64_MIN fits */
    for (size_t i = 0; i < d.mantissa.len; i++) {
        if (d.mantissa.ptr[i] == '.')
            continue;
        const int digit = d.mantissa.ptr[i] - '0';
        if (power < 0 && digit != 0)
            return JSON_FAULT_FRACTION;
        if (power-- >= 0 &&
            (__builtin_mul_overflow(sum, 10, &sum) || __builtin_sub_overflow(sum, digit, &sum)))
            return JSON_FAULT_RANGE;
    }
    for (; power >= 0 && sum != 0; power--)
        if (__builtin_mul_overflow(sum, 10, &sum))
            return JSON_FAULT_RANGE;
    if (!d.negative && sum == INT64_MIN)
        return JSON_FAULT_RANGE;
    *out = d.negative ? sum : -sum;
    return JSON_FAULT_NONE;
}

JsonFault json_i64(JsonValue v, int64_t *out)
{
    return json_scaled(v, 0, out);
}

/* Is it the large end that a number left a double's range at? */
static bool is_huge(Str token)
{
    Decimal d = take_apart(token);
    for (size_t i = 0; i < d.mantissa.len && (d.mantissa.ptr[i] == '0' || d.mantissa.ptr[i] == '.');
         i++)
        d.power -= d.mantissa.ptr[i] == '0';
    return d.power > 0;
}

JsonFault json_f64(JsonValue v, double *out)
{
    const Str token = json_number_token(v);
    if (token.len == 0)
        return JSON_FAULT_TYPE;
    if (json_shim_f64(token.ptr, token.len, out))
        return JSON_FAULT_NONE;
    if (is_huge(token))
        return JSON_FAULT_RANGE;
    *out = 0;
    return JSON_FAULT_NONE;
}

/* ---- raw ---- */

static bool has_fault(JsonValue v, Str *text)
{
    if (json_type(v) != JSON_STRING || !node_of(v)->slow)
        return false;
    return json_text_repaired(v, text) != JSON_FAULT_NONE;
}

/* The text of `v` with its faulty strings written anew; `first` is the first of them. */
static Str repair(JsonValue v, uint32_t first)
{
    const Str text = v.doc->text;
    Buf buf = BUF_MAX((size_t)JSON_BYTES_MAX * 6);
    size_t copied = node_of(v)->at;
    for (JsonValue i = {v.doc, first}; i.at < node_of(v)->next; i.at++) {
        Str fixed;
        if (!has_fault(i, &fixed))
            continue;
        buf_add(&buf, str_slice(text, copied, node_of(i)->at));
        JsonOut out = json_out(&buf);
        json_out_text(&out, fixed);
        copied = node_of(i)->end;
    }
    buf_add(&buf, str_slice(text, copied, node_of(v)->end));
    CHECK(!buf.overflowed);
    const Str whole = arena_copy(v.doc->arena, buf_str(&buf));
    buf_free(&buf);
    return whole;
}

Str json_raw(JsonValue v, bool *repaired)
{
    if (repaired != NULL)
        *repaired = false;
    if (!node_of(v)->slow)
        return slice_of(v);
    for (JsonValue i = {v.doc, v.at}; i.at < node_of(v)->next; i.at++) {
        Str unused;
        if (!has_fault(i, &unused))
            continue;
        if (repaired != NULL)
            *repaired = true;
        return repair(v, i.at);
    }
    return slice_of(v);
}
