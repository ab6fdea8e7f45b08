/*
 * base/dto.c -- the interpreter of base/dto.h.
 */
#include "base/dto.h"

#include "base/dto_text.h"

#include <stdio.h>

/* ---- what is wrong, and what to send instead ---------------------------------------------------- */

/* Where the reader is. */
typedef struct Reader {
    Ctx *ctx;
    char pointer[sizeof(((Fault *)0)->pointer)]; /* cut when it is longer */
    size_t len;
    int depth;
} Reader;

static void push_text(Reader *r, Str s)
{
    for (size_t i = 0; i < s.len && r->len + 1 < sizeof r->pointer; i++)
        r->pointer[r->len++] = s.ptr[i];
    r->pointer[r->len] = '\0';
}

/* Adds "/key" by RFC 6901; returns the length to give to pop(). */
static size_t push_key(Reader *r, Str key)
{
    const size_t had = r->len;
    push_text(r, STR("/"));
    for (size_t i = 0; i < key.len; i++) {
        if (key.ptr[i] == '~')
            push_text(r, STR("~0"));
        else if (key.ptr[i] == '/')
            push_text(r, STR("~1"));
        else
            push_text(r, str_slice(key, i, i + 1));
    }
    return had;
}

static size_t push_index(Reader *r, size_t index)
{
    const size_t had = r->len;
    char text[24];
    const int n = snprintf(text, sizeof text, "/%zu", index);
    push_text(r, (Str){text, (size_t)n});
    return had;
}

static void pop(Reader *r, size_t had)
{
    r->len = had;
    r->pointer[had] = '\0';
}

static void describe_enum(Buf *b, const DtoType *t)
{
    buf_add(b, STR("one of "));
    for (int i = 0; i < t->count; i++)
        buf_addf(b, "%s\"%s\"", i == 0 ? "" : ", ", t->enum_names[i]);
}

/* "a list of 1 to 20 items": what a value of this type is. */
static void describe(Buf *b, const DtoType *t)
{
    switch (t->kind) {
    case DTO_OBJECT:
        buf_addf(b, "an object (%s)", t->name);
        break;
    case DTO_ARRAY:
        buf_addf(b, "a list of %" PRId64 " to %" PRId64 " items", t->min, t->max);
        break;
    case DTO_MAP:
        buf_addf(b, "an object of texts with %" PRId64 " to %" PRId64 " members", t->min, t->max);
        break;
    case DTO_JSON:
        buf_addf(b, "%s of at most %" PRId64 " bytes", t->object_only ? "an object" : "JSON",
                 t->max);
        break;
    case DTO_STRING:
        buf_addf(b, "%s, %" PRId64 " to %" PRId64 " characters", dto_text_what(t->format), t->min,
                 t->max);
        break;
    case DTO_ENUM:
        describe_enum(b, t);
        break;
    case DTO_ID:
        buf_add(b, STR("an id: a string of digits"));
        break;
    case DTO_DATE:
        buf_add(b, STR("a date such as \"2026-11-21\""));
        break;
    case DTO_TIME:
        buf_add(b, STR("a time such as \"2026-11-21T08:00:00Z\" or \"2026-11-21T16:00:00+08:00\""));
        break;
    case DTO_INTEGER:
        buf_addf(b, "an integer from %" PRId64 " to %" PRId64, t->min, t->max);
        break;
    case DTO_BOOL:
        buf_add(b, STR("true or false"));
        break;
    }
}

static Err refuse(Reader *r, const char *reason, const DtoType *t, const char *why)
{
    Buf b = BUF_MAX(1024);
    describe(&b, t);
    const Err err = fail_field(r->ctx, r->pointer, reason, "%s%ssend %.*s", why,
                               why[0] == '\0' ? "" : ": ", STR_ARG(buf_str(&b)));
    buf_free(&b);
    return err;
}

/* ---- reading scalars ----------------------------------------------------------------------------- */

static Err read_string(Reader *r, const DtoType *t, Str s, void *at)
{
    const int64_t n = dto_text_characters(s);
    if (n < t->min || n > t->max)
        return refuse(r, "request.range", t, n < t->min ? "too short" : "too long");
    if (!dto_text_fits(s, t->format))
        return refuse(r, "request.format", t, "");
    memcpy(at, &s, sizeof s);
    return ERR_OK;
}

static Err read_enum(Reader *r, const DtoType *t, Str s, void *at)
{
    for (int i = 0; i < t->count; i++) {
        if (!str_eq(s, str_of(t->enum_names[i])))
            continue;
        const unsigned v = (unsigned)i;
        memcpy(at, &v, sizeof v);
        return ERR_OK;
    }
    return refuse(r, "request.choice", t, "");
}

static Err read_id(Reader *r, const DtoType *t, Str s, void *at)
{
    int64_t id;
    if (!dto_text_id(s, &id))
        return refuse(r, "request.format", t, "");
    memcpy(at, &id, sizeof id);
    return ERR_OK;
}

static Err read_date(Reader *r, const DtoType *t, Str s, void *at)
{
    int32_t date;
    if (!dto_text_date(s, &date))
        return refuse(r, "request.format", t, "");
    memcpy(at, &date, sizeof date);
    return ERR_OK;
}

static Err read_time(Reader *r, const DtoType *t, Str s, void *at)
{
    int64_t at_ms;
    if (!dto_text_time(s, &at_ms))
        return refuse(r, "request.format", t, "");
    memcpy(at, &at_ms, sizeof at_ms);
    return ERR_OK;
}

static Err read_integer(Reader *r, const DtoType *t, int64_t v, void *at)
{
    if (v < t->min || v > t->max)
        return refuse(r, "request.range", t, "");
    memcpy(at, &v, sizeof v);
    return ERR_OK;
}

static bool is_written_as_string(DtoKind kind)
{
    return kind == DTO_STRING || kind == DTO_ENUM || kind == DTO_ID || kind == DTO_DATE ||
           kind == DTO_TIME;
}

/* A scalar from text: the content of a JSON string, or anything in a query or path. */
static Err read_text(Reader *r, const DtoType *t, Str s, void *at)
{
    int64_t number;
    switch (t->kind) {
    case DTO_STRING:
        return read_string(r, t, s, at);
    case DTO_ENUM:
        return read_enum(r, t, s, at);
    case DTO_ID:
        return read_id(r, t, s, at);
    case DTO_DATE:
        return read_date(r, t, s, at);
    case DTO_TIME:
        return read_time(r, t, s, at);
    case DTO_INTEGER:
        return str_to_i64(s, &number) ? read_integer(r, t, number, at)
                                      : refuse(r, "request.type", t, "");
    case DTO_BOOL:
        if (!str_eq(s, STR("true")) && !str_eq(s, STR("false")))
            return refuse(r, "request.type", t, "");
        *(bool *)at = s.len == 4;
        return ERR_OK;
    case DTO_OBJECT:
    case DTO_ARRAY:
    case DTO_MAP:
    case DTO_JSON:
        break;
    }
    CHECK(false);
    return ERR_INTERNAL;
}

/* Why a JSON value is none of this type. */
static Err refuse_json(Reader *r, const DtoType *t, JsonFault fault)
{
    if (fault == JSON_FAULT_TYPE)
        return refuse(r, "request.type", t, "");
    if (fault == JSON_FAULT_FRACTION || fault == JSON_FAULT_RANGE)
        return refuse(r, "request.range", t, json_fault_text(fault));
    return refuse(r, "request.text", t, json_fault_text(fault));
}

static Err read_scalar(Reader *r, const DtoType *t, JsonValue v, void *at)
{
    JsonFault fault;
    int64_t number;
    Str text;
    if (is_written_as_string(t->kind)) {
        fault = json_text(v, &text);
        return fault == JSON_FAULT_NONE ? read_text(r, t, text, at) : refuse_json(r, t, fault);
    }
    if (t->kind == DTO_INTEGER) {
        fault = json_i64(v, &number);
        return fault == JSON_FAULT_NONE ? read_integer(r, t, number, at) : refuse_json(r, t, fault);
    }
    CHECK(t->kind == DTO_BOOL);
    fault = json_bool(v, at);
    return fault == JSON_FAULT_NONE ? ERR_OK : refuse_json(r, t, fault);
}

/* ---- reading what holds others -------------------------------------------------------------------- */

static Err read_value(Reader *r, const DtoType *t, JsonValue v, void *at, size_t *count);

static void *member(void *base, ptrdiff_t at)
{
    return (char *)base + at;
}

static size_t *count_of(void *base, const DtoField *f)
{
    return f->count_at == DTO_NOWHERE ? NULL : member(base, f->count_at);
}

static void set_state(void *base, const DtoField *f, DtoState state)
{
    if (f->state_at != DTO_NOWHERE)
        *(DtoState *)member(base, f->state_at) = state;
}

static Err read_items(Reader *r, const DtoType *t, JsonValue v, void *at, size_t *count)
{
    if (json_type(v) != JSON_ARRAY)
        return refuse(r, "request.type", t, "");
    const size_t n = json_count(v);
    if ((int64_t)n < t->min || (int64_t)n > t->max)
        return refuse(r, "request.range", t, n == 0 ? "an empty list" : "");
    char *items = n == 0 ? NULL : arena_alloc(r->ctx->arena, n, t->item->size);
    JsonIter iter = json_items(v);
    JsonValue item;
    for (size_t i = 0; json_next_item(&iter, &item); i++) {
        const size_t had = push_index(r, i);
        TRY(read_value(r, t->item, item, items + i * t->item->size, NULL));
        pop(r, had);
    }
    memcpy(at, &items, sizeof items);
    *count = n;
    return ERR_OK;
}

static bool has_key(const DtoPair *pairs, size_t count, Str key)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(pairs[i].key, key))
            return true;
    return false;
}

static Err read_map(Reader *r, const DtoType *t, JsonValue v, void *at, size_t *count)
{
    static const DtoType KEY = {.kind = DTO_STRING, .format = DTO_FORMAT_LINE, .min = 1, .max = 64};
    if (json_type(v) != JSON_OBJECT)
        return refuse(r, "request.type", t, "");
    const size_t n = json_count(v);
    if ((int64_t)n < t->min || (int64_t)n > t->max)
        return refuse(r, "request.range", t, "");
    DtoPair *pairs = n == 0 ? NULL : ARENA_ARRAY(r->ctx->arena, DtoPair, n);
    JsonIter iter = json_fields(v);
    Str key;
    JsonValue value;
    for (size_t i = 0; json_next_field(&iter, &key, &value); i++) {
        const size_t had = push_key(r, key);
        TRY(read_string(r, &KEY, key, &pairs[i].key));
        if (has_key(pairs, i, key))
            return fail_field(r->ctx, r->pointer, "request.repeated", "send each name once");
        TRY(read_scalar(r, t->item, value, &pairs[i].value));
        pop(r, had);
    }
    memcpy(at, &pairs, sizeof pairs);
    *count = n;
    return ERR_OK;
}

static Err read_json(Reader *r, const DtoType *t, JsonValue v, void *at)
{
    if (t->object_only && json_type(v) != JSON_OBJECT)
        return refuse(r, "request.type", t, "");
    if (t->tree) {
        if ((int64_t)json_bytes(v) > t->max)
            return refuse(r, "request.range", t, "too long");
        memcpy(at, &v, sizeof v);
        return ERR_OK;
    }
    bool repaired;
    const Str raw = json_raw(v, &repaired);
    if (repaired)
        return refuse(r, "request.text", t, "a text inside is not valid Unicode");
    if ((int64_t)raw.len > t->max)
        return refuse(r, "request.range", t, "too long");
    memcpy(at, &raw, sizeof raw);
    return ERR_OK;
}

/* The field that is missing: its default, or absent. */
static Err read_nothing(Reader *r, const DtoField *f, void *base)
{
    if (f->required)
        return refuse(r, "request.missing", f->type, "this field is missing");
    if (!f->has_default) {
        set_state(base, f, DTO_ABSENT);
        return ERR_OK;
    }
    void *at = member(base, (ptrdiff_t)f->at);
    const unsigned choice = (unsigned)f->default_i64;
    const Str text = str_of(f->default_text);
    if (f->type->kind == DTO_BOOL)
        *(bool *)at = f->default_i64 != 0;
    else if (f->type->kind == DTO_ENUM)
        memcpy(at, &choice, sizeof choice);
    else if (f->type->kind == DTO_STRING)
        memcpy(at, &text, sizeof text);
    else
        memcpy(at, &f->default_i64, sizeof f->default_i64);
    return ERR_OK;
}

static Err read_field(Reader *r, const DtoField *f, JsonValue v, void *base)
{
    if (json_type(v) == JSON_NULL && (f->type->kind != DTO_JSON || f->type->object_only)) {
        if (!f->nullable)
            return refuse(r, "request.null", f->type,
                          f->required ? "null is not allowed"
                                      : "null is not allowed: leave it out or");
        set_state(base, f, DTO_NULL);
        return ERR_OK;
    }
    TRY(read_value(r, f->type, v, member(base, (ptrdiff_t)f->at), count_of(base, f)));
    set_state(base, f, DTO_VALUE);
    return ERR_OK;
}

static int find_field(const DtoType *t, Str name)
{
    for (int i = 0; i < t->count; i++)
        if (str_eq(name, str_of(t->fields[i].name)))
            return i;
    return -1;
}

static Err refuse_unknown(Reader *r, const DtoType *t)
{
    Buf b = BUF_MAX(256);
    for (int i = 0; i < t->count; i++)
        buf_addf(&b, "%s%s", i == 0 ? "" : ", ", t->fields[i].name);
    const Err err =
        fail_field(r->ctx, r->pointer, "request.unknown_field",
                   "no such field: remove it or choose among %.*s", STR_ARG(buf_str(&b)));
    buf_free(&b);
    return err;
}

static Err read_missing(Reader *r, const DtoType *t, uint64_t seen, void *at)
{
    for (int i = 0; i < t->count; i++) {
        if (seen >> i & 1)
            continue;
        const size_t had = push_key(r, str_of(t->fields[i].name));
        TRY(read_nothing(r, &t->fields[i], at));
        pop(r, had);
    }
    return ERR_OK;
}

static Err read_object(Reader *r, const DtoType *t, JsonValue v, void *at)
{
    if (json_type(v) != JSON_OBJECT)
        return refuse(r, "request.type", t, "");
    uint64_t seen = 0;
    JsonIter iter = json_fields(v);
    Str key;
    JsonValue value;
    while (json_next_field(&iter, &key, &value)) {
        const size_t had = push_key(r, key);
        const int i = find_field(t, key);
        if (i < 0)
            return refuse_unknown(r, t);
        if (seen >> i & 1)
            return fail_field(r->ctx, r->pointer, "request.repeated", "send each field once");
        seen |= UINT64_C(1) << i;
        TRY(read_field(r, &t->fields[i], value, at));
        pop(r, had);
    }
    return read_missing(r, t, seen, at);
}

static Err read_value(Reader *r, const DtoType *t, JsonValue v, void *at, size_t *count)
{
    CHECK(r->depth < DTO_DEPTH_MAX); /* of the descriptor: apigen refuses deeper ones */
    r->depth++;
    Err err;
    if (t->kind == DTO_OBJECT)
        err = read_object(r, t, v, at);
    else if (t->kind == DTO_ARRAY)
        err = read_items(r, t, v, at, count);
    else if (t->kind == DTO_MAP)
        err = read_map(r, t, v, at, count);
    else if (t->kind == DTO_JSON)
        err = read_json(r, t, v, at);
    else
        err = read_scalar(r, t, v, at);
    r->depth--;
    return err;
}

Err dto_read(Ctx *ctx, const DtoType *type, JsonValue value, const char *pointer, void *out)
{
    CHECK(type->kind != DTO_ARRAY && type->kind != DTO_MAP); /* these are members */
    Reader r = {.ctx = ctx};
    push_text(&r, str_of(pointer));
    void *got = arena_alloc(ctx->arena, 1, type->size);
    TRY(read_value(&r, type, value, got, NULL));
    memcpy(out, got, type->size);
    return ERR_OK;
}

Err dto_parse(Ctx *ctx, const DtoType *type, Str json, void *out)
{
    JsonValue root;
    TRY(json_open(ctx, json, &root));
    return dto_read(ctx, type, root, "", out);
}

/* ---- reading queries and paths ---------------------------------------------------------------------- */

typedef struct QueryPair {
    Str name;
    Str value;
} QueryPair;

static Err split_query(Reader *r, Str query, QueryPair *pairs, size_t *count)
{
    for (size_t from = 0; from < query.len;) {
        const int64_t amp = str_index(query, '&', from);
        const Str part = str_slice(query, from, amp < 0 ? query.len : (size_t)amp);
        from += part.len + 1;
        if (part.len == 0)
            continue;
        if (*count == DTO_QUERY_PAIRS_MAX)
            return fail_field(r->ctx, "", "request.too_many", "send at most %d parameters",
                              DTO_QUERY_PAIRS_MAX);
        const int64_t equals = str_index(part, '=', 0);
        const size_t name_len = equals < 0 ? part.len : (size_t)equals;
        QueryPair *pair = &pairs[(*count)++];
        if (!dto_text_decode(r->ctx->arena, str_slice(part, 0, name_len), &pair->name) ||
            !dto_text_decode(r->ctx->arena, str_slice(part, name_len + 1, part.len), &pair->value))
            return fail_field(
                r->ctx, "", "request.encoding",
                "send UTF-8 without U+0000, %% as %%25 and two hex digits behind each %%");
    }
    return ERR_OK;
}

static Err read_query_array(Reader *r, const DtoField *f, const QueryPair *pairs, size_t count,
                            void *base)
{
    const DtoType *t = f->type;
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += str_eq(pairs[i].name, str_of(f->name));
    if ((int64_t)n < t->min || (int64_t)n > t->max)
        return refuse(r, "request.range", t, "");
    char *items = arena_alloc(r->ctx->arena, n, t->item->size);
    for (size_t i = 0, k = 0; i < count; i++)
        if (str_eq(pairs[i].name, str_of(f->name)))
            TRY(read_text(r, t->item, pairs[i].value, items + k++ * t->item->size));
    memcpy(member(base, (ptrdiff_t)f->at), &items, sizeof items);
    *count_of(base, f) = n;
    set_state(base, f, DTO_VALUE);
    return ERR_OK;
}

static Err read_query_field(Reader *r, const DtoField *f, const QueryPair *pairs, size_t count,
                            void *base)
{
    const QueryPair *pair = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!str_eq(pairs[i].name, str_of(f->name)))
            continue;
        if (pair != NULL && f->type->kind != DTO_ARRAY)
            return fail_field(r->ctx, r->pointer, "request.repeated", "send this parameter once");
        pair = &pairs[i];
    }
    if (pair == NULL)
        return read_nothing(r, f, base);
    if (f->type->kind == DTO_ARRAY)
        return read_query_array(r, f, pairs, count, base);
    TRY(read_text(r, f->type, pair->value, member(base, (ptrdiff_t)f->at)));
    set_state(base, f, DTO_VALUE);
    return ERR_OK;
}

Err dto_parse_query(Ctx *ctx, const DtoType *type, Str query, void *out)
{
    Reader r = {.ctx = ctx};
    QueryPair pairs[DTO_QUERY_PAIRS_MAX];
    size_t count = 0;
    TRY(split_query(&r, query, pairs, &count));
    push_text(&r, STR("?"));
    const size_t had = r.len;
    for (size_t i = 0; i < count; i++) {
        push_text(&r, pairs[i].name);
        if (find_field(type, pairs[i].name) < 0)
            return refuse_unknown(&r, type);
        pop(&r, had);
    }
    void *got = arena_alloc(ctx->arena, 1, type->size);
    for (int i = 0; i < type->count; i++) {
        push_text(&r, str_of(type->fields[i].name));
        TRY(read_query_field(&r, &type->fields[i], pairs, count, got));
        pop(&r, had);
    }
    memcpy(out, got, type->size);
    return ERR_OK;
}

Err dto_parse_path(Ctx *ctx, const DtoType *type, const Str *params, size_t count, void *out)
{
    CHECK(count == (size_t)type->count);
    Reader r = {.ctx = ctx};
    char *got = arena_alloc(ctx->arena, 1, type->size);
    for (size_t i = 0; i < count; i++) {
        const DtoField *f = &type->fields[i];
        if (!str_is_utf8(params[i]) || read_text(&r, f->type, params[i], got + f->at) != ERR_OK)
            return fail(ctx, ERR_NOT_FOUND, "not_found", "{%s} cannot be one", f->name);
    }
    memcpy(out, got, type->size);
    return ERR_OK;
}

/* ---- printing ----------------------------------------------------------------------------------------- */

static void write_value(JsonOut *out, const DtoType *t, const void *at, size_t count);

static const void *const_member(const void *base, ptrdiff_t at)
{
    return (const char *)base + at;
}

static void write_date(JsonOut *out, int32_t date)
{
    char text[16];
    const int n =
        snprintf(text, sizeof text, "%04d-%02d-%02d", date / 10000, date / 100 % 100, date % 100);
    CHECK(n == 10);
    json_out_text(out, (Str){text, 10});
}

static void write_field(JsonOut *out, const DtoField *f, const void *base)
{
    DtoState state = DTO_VALUE;
    if (f->state_at != DTO_NOWHERE)
        memcpy(&state, const_member(base, f->state_at), sizeof state);
    if (state == DTO_ABSENT && f->required)
        state = DTO_NULL;
    if (state == DTO_ABSENT || (state == DTO_NULL && !f->nullable))
        return;
    json_out_key(out, str_of(f->name));
    if (state == DTO_NULL) {
        json_out_null(out);
        return;
    }
    size_t count = 0;
    if (f->count_at != DTO_NOWHERE)
        memcpy(&count, const_member(base, f->count_at), sizeof count);
    write_value(out, f->type, const_member(base, (ptrdiff_t)f->at), count);
}

static void write_items(JsonOut *out, const DtoType *t, const void *at, size_t count)
{
    const char *items;
    memcpy(&items, at, sizeof items);
    json_out_array(out);
    for (size_t i = 0; i < count; i++)
        write_value(out, t->item, items + i * t->item->size, 0);
    json_out_end(out);
}

static void write_map(JsonOut *out, const void *at, size_t count)
{
    const DtoPair *pairs;
    memcpy(&pairs, at, sizeof pairs);
    json_out_object(out);
    for (size_t i = 0; i < count; i++) {
        json_out_key(out, pairs[i].key);
        json_out_text(out, pairs[i].value);
    }
    json_out_end(out);
}

static void write_number(JsonOut *out, DtoKind kind, const void *at)
{
    int64_t v;
    memcpy(&v, at, sizeof v);
    if (kind == DTO_ID)
        json_out_id(out, v);
    else if (kind == DTO_TIME)
        json_out_time(out, v);
    else
        json_out_i64(out, v);
}

static void write_text(JsonOut *out, DtoKind kind, const void *at)
{
    Str s;
    memcpy(&s, at, sizeof s);
    if (kind == DTO_STRING)
        json_out_text(out, s);
    else if (s.len > 0)
        json_out_raw(out, s);
    else
        json_out_null(out);
}

static void write_enum(JsonOut *out, const DtoType *t, const void *at)
{
    unsigned v;
    memcpy(&v, at, sizeof v);
    CHECK(v < (unsigned)t->count);
    json_out_text(out, str_of(t->enum_names[v]));
}

static void write_value(JsonOut *out, const DtoType *t, const void *at, size_t count)
{
    switch (t->kind) {
    case DTO_OBJECT:
        json_out_object(out);
        for (int i = 0; i < t->count; i++)
            write_field(out, &t->fields[i], at);
        json_out_end(out);
        break;
    case DTO_ARRAY:
        write_items(out, t, at, count);
        break;
    case DTO_MAP:
        write_map(out, at, count);
        break;
    case DTO_JSON:
    case DTO_STRING:
        CHECK(!t->tree); /* of what comes in only: apigen sees to it */
        write_text(out, t->kind, at);
        break;
    case DTO_ENUM:
        write_enum(out, t, at);
        break;
    case DTO_ID:
    case DTO_TIME:
    case DTO_INTEGER:
        write_number(out, t->kind, at);
        break;
    case DTO_DATE:
        write_date(out, *(const int32_t *)at);
        break;
    case DTO_BOOL:
        json_out_bool(out, *(const bool *)at);
        break;
    }
}

void dto_write(JsonOut *out, const DtoType *type, const void *value)
{
    CHECK(type->kind != DTO_ARRAY && type->kind != DTO_MAP);
    write_value(out, type, value, 0);
}

void dto_print(Buf *out, const DtoType *type, const void *value)
{
    JsonOut json = json_out(out);
    dto_write(&json, type, value);
}

/* ---- operations --------------------------------------------------------------------------------------- */

const char *api_sentence(const ApiContract *const *contracts, const char *code)
{
    for (; *contracts != NULL; contracts++)
        for (const ApiError *e = (*contracts)->errors; e->code != NULL; e++)
            if (strcmp(e->code, code) == 0)
                return e->sentence;
    return NULL;
}
