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

/* Cut off: nothing further is read. */
INLINE void give_up(Rest *r)
{
    r->at = r->end = NULL;
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

INLINE int64_t next_zigzag(Rest *r)
{
    const uint64_t v = next_varint(r);
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
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
    Rest r = {(const uint8_t *)bytes.ptr, (const uint8_t *)bytes.ptr + bytes.len};
    const uint64_t body = next_varint(&r);
    if (body > (uint64_t)(r.end - r.at))
        give_up(&r);
    else
        r.end = r.at + body;
    *used = r.end == NULL ? 0 : (size_t)(r.end - (const uint8_t *)bytes.ptr);
    (void)next_byte(&r);
    return r;
}

bool event_decode_checked(Str bytes, Arena *arena, Event *out, size_t *used)
{
    Rest r = open_event(bytes, used);
    *out = (Event){.kind = (EventKind)next_byte(&r)};
    if (out->kind != EVENT_GONE) {
        out->time_ms = next_zigzag(&r);
        out->received_ms = (int64_t)((uint64_t)out->time_ms + (uint64_t)next_zigzag(&r));
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
    return r.at != NULL && r.at == r.end;
}

bool event_read_head(Str bytes, Event *out, size_t *used)
{
    Rest r = open_event(bytes, used);
    *out = (Event){.kind = (EventKind)next_byte(&r)};
    if (out->kind != EVENT_GONE) {
        out->time_ms = next_zigzag(&r);
        out->received_ms = (int64_t)((uint64_t)out->time_ms + (uint64_t)next_zigzag(&r));
        (void)next_text(&r); /* source */
        (void)next_text(&r); /* id */
        out->name = next_text(&r);
        out->actor.kind = next_text(&r);
        out->actor.value = next_text(&r);
    }
    return r.at != NULL;
}
