/*
 * events/event_again.c -- event_decode_checked() and event_read_head(): read once more what event_check() has
 * accepted.
 *
 * Texts and values were good before, so this looks at lengths only, and keeps its place in a register: a
 * quarter of event_decode()'s instructions.  The format is docs/formats/events.md.
 */
#include "events/event_rules.h"

#define INLINE static inline __attribute__((always_inline))

/* The rest of one event.  Past the end nothing is read: `at` then stands there, and the event is refused. */
typedef struct Rest {
    const uint8_t *at, *end;
} Rest;

/* Where a rest ends that was cut off: nothing further is read. */
static const uint8_t NOTHING[1];

INLINE void give_up(Rest *r)
{
    r->at = r->end = NOTHING;
}

INLINE uint8_t next_byte(Rest *r)
{
    if (r->at < r->end)
        return *r->at++;
    give_up(r);
    return 0;
}

INLINE uint64_t next_varint(Rest *r)
{
    uint64_t v = next_byte(r);
    if (v < 0x80)
        return v;
    v &= 0x7f;
    for (unsigned shift = 7; shift < 64; shift += 7) {
        const uint8_t byte = next_byte(r);
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            break;
    }
    return v;
}

INLINE int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

INLINE int64_t next_zigzag(Rest *r)
{
    return unzigzag(next_varint(r));
}

/* The seven bits of each byte of a word side by side, lowest byte first. */
INLINE uint64_t squeeze(uint64_t word)
{
    word = (word & UINT64_C(0x007f007f007f007f)) | (word & UINT64_C(0x7f007f007f007f00)) >> 1;
    word = (word & UINT64_C(0x00003fff00003fff)) | (word & UINT64_C(0x3fff00003fff0000)) >> 2;
    return (word & UINT64_C(0x000000000fffffff)) | (word & UINT64_C(0x0fffffff00000000)) >> 4;
}

/* Six bytes or so, which are taken at once where eight may be read. */
INLINE int64_t next_time(Rest *r)
{
    uint64_t word = 0;
    if (r->end - r->at < (ptrdiff_t)sizeof word)
        return next_zigzag(r);
    memcpy(&word, r->at, sizeof word);
    const uint64_t ends = ~word & UINT64_C(0x8080808080808080);
    if (ends == 0)
        return next_zigzag(r);
    const uint64_t upto = ends ^ (ends - 1); /* up to the first byte that ends a number */
    r->at += (__builtin_ctzll(ends) + 1) / 8;
    return unzigzag(squeeze(word & upto));
}

INLINE Str next_text(Rest *r)
{
    const uint64_t len = next_varint(r);
    if (len > (uint64_t)(r->end - r->at)) {
        give_up(r);
        return (Str){NULL, 0};
    }
    const Str s = {(const char *)r->at, (size_t)len};
    r->at += len;
    return s;
}

/* Of things that have a byte each at least. */
INLINE uint32_t next_count(Rest *r)
{
    const uint64_t n = next_varint(r);
    if (n <= (uint64_t)(r->end - r->at))
        return (uint32_t)n;
    give_up(r);
    return 0;
}

INLINE void next_scalar(Rest *r, EventProp *p)
{
    if (p->type == EVENT_TEXT)
        p->text = next_text(r);
    else if (p->type == EVENT_BOOL)
        p->i64 = next_byte(r);
    else if (p->type != EVENT_NONE)
        p->i64 = next_zigzag(r);
    if (p->type == EVENT_NUMBER)
        p->scale = next_byte(r);
}

INLINE void next_name_and_type(Rest *r, EventProp *p)
{
    *p = (EventProp){.type = EVENT_NONE};
    p->name = next_text(r);
    p->type = (EventType)next_byte(r);
}

static Rest take_texts(Rest r, Arena *arena, EventProp *p)
{
    const uint32_t n = next_count(&r);
    Str *texts = ARENA_ARRAY(arena, Str, n);
    for (uint32_t i = 0; i < n; i++)
        texts[i] = next_text(&r);
    p->texts = texts;
    p->count = n;
    return r;
}

static Rest take_items(Rest r, Arena *arena, EventProp *p)
{
    const uint32_t n = next_count(&r);
    EventItem *items = ARENA_ARRAY(arena, EventItem, n);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t count = next_count(&r);
        EventProp *fields = ARENA_ARRAY(arena, EventProp, count);
        for (uint32_t k = 0; k < count; k++) {
            next_name_and_type(&r, &fields[k]);
            next_scalar(&r, &fields[k]);
        }
        items[i] = (EventItem){.fields = fields, .count = count};
    }
    p->items = items;
    p->count = n;
    return r;
}

INLINE uint32_t next_props(Rest *r, Arena *arena, const EventProp **out)
{
    const uint32_t n = next_count(r);
    EventProp *props = n == 0 ? NULL : (void *)arena_bytes(arena, n * sizeof *props);
    for (uint32_t i = 0; i < n; i++) {
        next_name_and_type(r, &props[i]);
        if (props[i].type == EVENT_TEXTS)
            *r = take_texts(*r, arena, &props[i]);
        else if (props[i].type == EVENT_ITEMS)
            *r = take_items(*r, arena, &props[i]);
        else
            next_scalar(r, &props[i]);
    }
    *out = props;
    return n;
}

/* The stretch of one event, behind its version; an empty one when it is cut. */
INLINE Rest open_event(Str bytes, size_t *used)
{
    Rest r = {NOTHING, NOTHING};
    if (bytes.len > 0)
        r = (Rest){(const uint8_t *)bytes.ptr, (const uint8_t *)bytes.ptr + bytes.len};
    const uint64_t body = next_varint(&r);
    if (body > (uint64_t)(r.end - r.at))
        give_up(&r);
    else
        r.end = r.at + body;
    *used = r.end == NOTHING ? 0 : (size_t)(r.end - (const uint8_t *)bytes.ptr);
    (void)next_byte(&r);
    return r;
}

bool event_decode_checked(Str bytes, Arena *arena, Event *out, size_t *used)
{
    Rest r = open_event(bytes, used);
    out->kind = (EventKind)next_byte(&r);
    if (out->kind == EVENT_GONE) {
        *out = (Event){.kind = EVENT_GONE};
    } else { /* every field, since zeros before cost as much as these */
        out->seq = 0;
        out->other = (EventActor){{NULL, 0}, {NULL, 0}};
        out->time_ms = next_time(&r);
        out->received_ms = (int64_t)((uint64_t)out->time_ms + (uint64_t)next_time(&r));
        out->source = next_text(&r);
        out->id = next_text(&r);
        out->name = next_text(&r);
        out->actor.kind = next_text(&r);
        out->actor.value = next_text(&r);
        out->store = next_text(&r);
        if (event_has_other(out->kind)) {
            out->other.kind = next_text(&r);
            out->other.value = next_text(&r);
        }
        out->prop_count = next_props(&r, arena, &out->props);
        out->context_count = next_props(&r, arena, &out->context);
    }
    return r.end != NOTHING && r.at == r.end;
}

bool event_read_head(Str bytes, Event *out, size_t *used)
{
    Rest r = open_event(bytes, used);
    *out = (Event){.kind = (EventKind)next_byte(&r)};
    if (out->kind != EVENT_GONE) {
        out->time_ms = next_time(&r);
        out->received_ms = (int64_t)((uint64_t)out->time_ms + (uint64_t)next_time(&r));
        (void)next_text(&r); /* source */
        (void)next_text(&r); /* id */
        out->name = next_text(&r);
        out->actor.kind = next_text(&r);
        out->actor.value = next_text(&r);
    }
    return r.end != NOTHING;
}
