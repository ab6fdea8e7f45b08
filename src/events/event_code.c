/*
 * events/event_code.c -- events to bytes and back; the format is docs/formats/events.md.
 *
 * One reader serves event_check() and event_decode(): without an arena it checks and counts, with
 * one it also keeps the arrays, so that both accept exactly the same bytes.
 */
#include "events/event_rules.h"

enum { FORM_VERSION = 1, VARINT_BYTES_MAX = 10 };

/* ---- writing --------------------------------------------------------------------------------- */
/*
 * Room for the most that an event can take is made once; then a pointer goes through it.
 */

static char *put_varint(char *at, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *at++ = (char)(v | 0x80);
    *at++ = (char)v;
    return at;
}

static char *put_zigzag(char *at, int64_t v)
{
    return put_varint(at, ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0));
}

/* Short texts as words, without a call; there is room for sixteen bytes behind everything. */
static char *put_text(char *at, Str s)
{
    at = put_varint(at, s.len);
    if (s.len >= 8 && s.len <= 16) {
        memcpy(at, s.ptr, 8);
        memcpy(at + s.len - 8, s.ptr + s.len - 8, 8);
    } else if (s.len > 0) {
        memcpy(at, s.ptr, s.len);
    }
    return at + s.len;
}

/* A scalar's bytes behind its type. */
static char *put_scalar(char *at, const EventProp *p)
{
    if (p->type == EVENT_TEXT)
        at = put_text(at, p->text);
    else if (p->type == EVENT_BOOL)
        *at++ = (char)p->i64;
    else if (p->type != EVENT_NONE)
        at = put_zigzag(at, p->i64);
    if (p->type == EVENT_NUMBER)
        *at++ = (char)p->scale;
    return at;
}

static char *put_named(char *at, const EventProp *p)
{
    at = put_text(at, p->name);
    *at++ = (char)p->type;
    return at;
}

static char *put_items(char *at, const EventProp *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        const EventItem *item = &p->items[i];
        at = put_varint(at, item->count);
        for (uint32_t k = 0; k < item->count; k++)
            at = put_scalar(put_named(at, &item->fields[k]), &item->fields[k]);
    }
    return at;
}

static char *put_list(char *at, const EventProp *p)
{
    at = put_varint(at, p->count);
    if (p->type == EVENT_ITEMS)
        return put_items(at, p);
    for (uint32_t k = 0; k < p->count; k++)
        at = put_text(at, p->texts[k]);
    return at;
}

static char *put_props(char *at, const EventProp *props, uint32_t count)
{
    at = put_varint(at, count);
    for (uint32_t i = 0; i < count; i++) {
        at = put_named(at, &props[i]);
        at =
            event_type_is_list(props[i].type) ? put_list(at, &props[i]) : put_scalar(at, &props[i]);
    }
    return at;
}

static char *put_body(char *at, const Event *e)
{
    *at++ = FORM_VERSION;
    *at++ = (char)e->kind;
    if (e->kind == EVENT_GONE)
        return at;
    at = put_zigzag(at, e->time_ms);
    at = put_zigzag(at, e->received_ms - e->time_ms);
    const Str texts[] = {e->source, e->id, e->name, e->actor.kind, e->actor.value, e->store};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        at = put_text(at, texts[i]);
    if (event_has_other(e->kind)) {
        at = put_text(at, e->other.kind);
        at = put_text(at, e->other.value);
    }
    at = put_props(at, e->props, e->prop_count);
    return put_props(at, e->context, e->context_count);
}

/* Behind its name and text, at most: type, two lengths, a number, its scale. */
enum { SCALAR_BYTES = 1 + 3 * VARINT_BYTES_MAX + 1 };

static size_t prop_room(const EventProp *p)
{
    size_t bytes = p->name.len + p->text.len + SCALAR_BYTES;
    for (uint32_t i = 0; p->type == EVENT_TEXTS && i < p->count; i++)
        bytes += p->texts[i].len + VARINT_BYTES_MAX;
    for (uint32_t i = 0; p->type == EVENT_ITEMS && i < p->count; i++) {
        bytes += VARINT_BYTES_MAX;
        for (uint32_t k = 0; k < p->items[i].count; k++)
            bytes += p->items[i].fields[k].name.len + p->items[i].fields[k].text.len + SCALAR_BYTES;
    }
    return bytes;
}

static size_t room_for(const Event *e)
{
    enum { FIXED = 2 + 13 * VARINT_BYTES_MAX + 16 };
    size_t bytes = e->source.len + e->id.len + e->name.len + e->store.len + e->actor.kind.len +
                   e->actor.value.len + e->other.kind.len + e->other.value.len + FIXED;
    for (uint32_t i = 0; i < e->prop_count; i++)
        bytes += prop_room(&e->props[i]);
    for (uint32_t i = 0; i < e->context_count; i++)
        bytes += prop_room(&e->context[i]);
    return bytes;
}

/* Into `at`, where there is room; how many bytes it took. */
static size_t encode_at(const Event *e, char *at)
{
    char length[VARINT_BYTES_MAX];
    const size_t body = (size_t)(put_body(at + 1, e) - at) - 1; /* mostly its length is one byte */
    const size_t n = (size_t)(put_varint(length, body) - length);
    CHECK(body <= EVENT_BYTES_MAX);
    if (n > 1)
        memmove(at + n, at + 1, body);
    memcpy(at, length, n);
    return n + body;
}

void event_encode(const Event *e, Buf *out)
{
    const size_t room = room_for(e);
    if (room <= out->max_bytes && out->len <= out->max_bytes - room) {
        out->len += encode_at(e, buf_reserve(out, room));
        return;
    }
    Buf alone = BUF_MAX(room); /* it may fit all the same */
    alone.len = encode_at(e, buf_reserve(&alone, room));
    buf_add(out, buf_str(&alone));
    buf_free(&alone);
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct In {
    const char *at, *end;
    bool bad;     /* sticky: everything read after is empty */
    Arena *arena; /* NULL = check only */
    EventKind kind;
} In;

static uint8_t in_byte(In *in)
{
    if (in->bad || in->at == in->end) {
        in->bad = true;
        return 0;
    }
    return (uint8_t)*in->at++;
}

/* The shortest form only, so that one value has one encoding. */
static uint64_t in_varint(In *in)
{
    if (!in->bad && in->at < in->end && (uint8_t)*in->at < 0x80)
        return (uint8_t)*in->at++; /* most are lengths of one byte */
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t byte = in_byte(in);
        if (shift == 63 && byte > 1)
            break;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            if (byte == 0 && shift > 0)
                break;
            return in->bad ? 0 : v;
        }
    }
    in->bad = true;
    return 0;
}

static int64_t in_zigzag(In *in)
{
    const uint64_t v = in_varint(in);
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static Str in_raw_text(In *in, size_t max)
{
    const uint64_t len = in_varint(in);
    if (in->bad || len > max || len > (size_t)(in->end - in->at)) {
        in->bad = true;
        return (Str){NULL, 0};
    }
    const Str s = {in->at, (size_t)len};
    in->at += len;
    return s;
}

static Str in_text(In *in, size_t max)
{
    const Str s = in_raw_text(in, max);
    if (!str_is_utf8(s))
        in->bad = true;
    return s;
}

/* A count of things of at least one byte each. */
static uint32_t in_count(In *in, uint32_t max)
{
    const uint64_t n = in_varint(in);
    if (in->bad || n > max || n > (size_t)(in->end - in->at)) {
        in->bad = true;
        return 0;
    }
    return (uint32_t)n;
}

/* The names of one list so far.  A bit that is not set yet says that a name is new; else all are compared. */
typedef struct Names {
    uint64_t bits;
    uint32_t count;
    Str *at;
} Names;

/* One of 64, by the length, the first bytes and the last: of few names each has its own, mostly. */
static uint64_t name_bit(Str name)
{
    uint64_t first = 0, last = 0;
    if (name.len >= 8) {
        memcpy(&first, name.ptr, 8);
        memcpy(&last, name.ptr + name.len - 8, 8);
    } else if (name.len >= 4) {
        memcpy(&first, name.ptr, 4);
        memcpy(&last, name.ptr + name.len - 4, 4);
    } else if (name.len > 0) {
        first = (uint64_t)(unsigned char)name.ptr[0];
        last = (uint64_t)(unsigned char)name.ptr[name.len - 1];
    }
    const uint64_t mixed = (first ^ last << 1 ^ name.len) * UINT64_C(0x9E3779B97F4A7C15);
    return UINT64_C(1) << (mixed >> 58);
}

static bool add_name(Names *names, Str name)
{
    const uint64_t bit = name_bit(name);
    bool is_new = true;
    for (uint32_t i = 0; (names->bits & bit) != 0 && i < names->count; i++)
        is_new = is_new && !str_same(names->at[i], name);
    names->bits |= bit;
    names->at[names->count++] = name;
    return is_new;
}

static void in_name_and_type(In *in, EventProp *p, Names *names)
{
    p->name = in_text(in, EVENT_NAME_BYTES_MAX);
    const uint8_t type = in_byte(in);
    if (p->name.len == 0 || type >= EVENT_TYPE_COUNT || !add_name(names, p->name))
        in->bad = true;
    else
        p->type = (EventType)type;
}

static void in_scalar(In *in, EventProp *p)
{
    if (p->type == EVENT_TEXT)
        p->text = in_text(in, EVENT_TEXT_BYTES_MAX);
    else if (p->type == EVENT_BOOL)
        p->i64 = in_byte(in);
    else if (p->type != EVENT_NONE)
        p->i64 = in_zigzag(in);
    if (p->type == EVENT_NUMBER)
        p->scale = in_byte(in);
    if (!event_value_is_good(in->kind, p))
        in->bad = true;
}

static void in_texts(In *in, EventProp *p)
{
    const uint32_t n = in_count(in, EVENT_LIST_MAX);
    Str *texts = in->arena == NULL ? NULL : ARENA_ARRAY(in->arena, Str, n);
    for (uint32_t i = 0; i < n && !in->bad; i++) {
        const Str s = in_text(in, EVENT_TEXT_BYTES_MAX);
        if (texts != NULL)
            texts[i] = s;
    }
    p->texts = texts;
    p->count = n;
}

static void in_item(In *in, EventItem *item)
{
    const uint32_t n = in_count(in, EVENT_FIELDS_MAX);
    EventProp *fields = in->arena == NULL ? NULL : ARENA_ARRAY(in->arena, EventProp, n);
    Str room[EVENT_FIELDS_MAX];
    Names names = {.at = room};
    for (uint32_t i = 0; i < n && !in->bad; i++) {
        EventProp f = {.type = EVENT_NONE};
        in_name_and_type(in, &f, &names);
        if (f.type == EVENT_NONE || event_type_is_list(f.type))
            in->bad = true;
        else
            in_scalar(in, &f);
        if (fields != NULL)
            fields[i] = f;
    }
    *item = (EventItem){.fields = fields, .count = n};
}

static void in_items(In *in, EventProp *p)
{
    const uint32_t n = in_count(in, EVENT_ITEMS_MAX);
    EventItem *items = in->arena == NULL ? NULL : ARENA_ARRAY(in->arena, EventItem, n);
    for (uint32_t i = 0; i < n && !in->bad; i++) {
        EventItem item;
        in_item(in, &item);
        if (items != NULL)
            items[i] = item;
    }
    p->items = items;
    p->count = n;
}

static uint32_t in_props(In *in, bool with_items, const EventProp **out)
{
    const uint32_t n = in_count(in, EVENT_PROPS_MAX);
    EventProp *props = in->arena == NULL ? NULL : ARENA_ARRAY(in->arena, EventProp, n);
    Str room[EVENT_PROPS_MAX];
    Names names = {.at = room};
    for (uint32_t i = 0; i < n && !in->bad; i++) {
        EventProp p = {.type = EVENT_NONE};
        in_name_and_type(in, &p, &names);
        if (p.type == EVENT_TEXTS)
            in_texts(in, &p);
        else if (p.type != EVENT_ITEMS)
            in_scalar(in, &p);
        else if (with_items)
            in_items(in, &p);
        else
            in->bad = true;
        if (props != NULL)
            props[i] = p;
    }
    *out = props;
    return n;
}

static void in_head(In *in, Event *e)
{
    const uint64_t time = (uint64_t)in_zigzag(in);
    e->time_ms = (int64_t)time;
    e->received_ms = (int64_t)(time + (uint64_t)in_zigzag(in)); /* wraps; checked with the head */
    /* Limits and UTF-8 are checked with the head. */
    Str *const texts[] = {&e->source, &e->id, &e->name, &e->actor.kind, &e->actor.value, &e->store};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *texts[i] = in_raw_text(in, EVENT_NAME_BYTES_MAX);
    if (event_has_other(e->kind)) {
        e->other.kind = in_raw_text(in, EVENT_ACTOR_KIND_BYTES_MAX);
        e->other.value = in_raw_text(in, EVENT_ACTOR_VALUE_BYTES_MAX);
    }
    if (in->bad || event_head_problem(e).reason != NULL)
        in->bad = true;
}

static bool read_event(Str bytes, Arena *arena, Event *out, size_t *used)
{
    if (bytes.len == 0)
        return false;
    In in = {.at = bytes.ptr, .end = bytes.ptr + bytes.len, .arena = arena};
    const uint64_t body = in_varint(&in);
    if (in.bad || body > EVENT_BYTES_MAX || body > (size_t)(in.end - in.at))
        return false;
    in.end = in.at + body;
    Event e = {.kind = EVENT_GONE};
    const uint8_t version = in_byte(&in);
    const uint8_t kind = in_byte(&in);
    if (in.bad || version != FORM_VERSION || kind >= EVENT_KIND_COUNT)
        return false;
    e.kind = in.kind = (EventKind)kind;
    if (e.kind != EVENT_GONE) {
        in_head(&in, &e);
        e.prop_count = in_props(&in, true, &e.props);
        e.context_count = in_props(&in, false, &e.context);
    }
    if (in.bad || in.at != in.end)
        return false;
    *out = e;
    if (used != NULL)
        *used = (size_t)(in.end - bytes.ptr);
    return true;
}

bool event_check(Str bytes, Event *out, size_t *used)
{
    return read_event(bytes, NULL, out, used);
}

Err event_decode(Ctx *ctx, Str bytes, Event *out, size_t *used)
{
    if (!read_event(bytes, ctx->arena, out, used))
        return fail(ctx, ERR_INVALID, "event.encoding", "%zu bytes", bytes.len);
    return ERR_OK;
}
