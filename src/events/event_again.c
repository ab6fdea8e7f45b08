/*
 * events/event_again.c -- event_decode_checked(): reads once more what event_check() has accepted.
 *
 * Texts and values were good before, so this looks at lengths only, and keeps its place in a register: a
 * quarter of event_decode()'s instructions.  The format is docs/formats/events.md.
 */
#include "events/event_rest.h"
#include "events/event_rules.h"

const uint8_t REST_NOTHING[REST_PADDING];

static inline void next_scalar(Rest *r, EventProp *p)
{
    if (p->type == EVENT_TEXT)
        p->text = rest_text(r);
    else if (p->type == EVENT_BOOL)
        p->i64 = rest_byte(r);
    else if (p->type != EVENT_NONE)
        p->i64 = rest_zigzag(r);
    if (p->type == EVENT_NUMBER)
        p->scale = rest_byte(r);
}

static inline void next_name_and_type(Rest *r, EventProp *p)
{
    *p = (EventProp){.type = EVENT_NONE};
    p->name = rest_text(r);
    p->type = (EventType)rest_byte(r);
}

static Rest take_texts(Rest r, Arena *arena, EventProp *p)
{
    const uint32_t n = rest_count(&r);
    Str *texts = ARENA_ARRAY(arena, Str, n);
    for (uint32_t i = 0; i < n; i++)
        texts[i] = rest_text(&r);
    p->texts = texts;
    p->count = n;
    return r;
}

static Rest take_items(Rest r, Arena *arena, EventProp *p)
{
    const uint32_t n = rest_count(&r);
    EventItem *items = ARENA_ARRAY(arena, EventItem, n);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t count = rest_count(&r);
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

Rest rest_list(Rest r, Arena *arena, EventProp *p)
{
    return p->type == EVENT_TEXTS ? take_texts(r, arena, p) : take_items(r, arena, p);
}

static inline uint32_t next_props(Rest *r, Arena *arena, const EventProp **out)
{
    const uint32_t n = rest_count(r);
    EventProp *props = n == 0 ? NULL : (void *)arena_bytes(arena, n * sizeof *props);
    for (uint32_t i = 0; i < n; i++) {
        next_name_and_type(r, &props[i]);
        if (event_type_is_list(props[i].type))
            *r = rest_list(*r, arena, &props[i]);
        else
            next_scalar(r, &props[i]);
    }
    *out = props;
    return n;
}

bool event_decode_checked(Str bytes, Arena *arena, Event *out, size_t *used)
{
    Rest r = rest_open(bytes, used);
    out->kind = (EventKind)rest_byte(&r);
    if (out->kind == EVENT_GONE) {
        *out = (Event){.kind = EVENT_GONE};
    } else { /* every field, since zeros before cost as much as these */
        out->seq = 0;
        out->other = (EventActor){{NULL, 0}, {NULL, 0}};
        out->time_ms = rest_number(&r);
        out->received_ms = (int64_t)((uint64_t)out->time_ms + (uint64_t)rest_number(&r));
        out->source = rest_text(&r);
        out->id = rest_text(&r);
        out->name = rest_text(&r);
        out->actor.kind = rest_text(&r);
        out->actor.value = rest_text(&r);
        out->store = rest_text(&r);
        if (event_has_other(out->kind)) {
            out->other.kind = rest_text(&r);
            out->other.value = rest_text(&r);
        }
        out->prop_count = next_props(&r, arena, &out->props);
        out->context_count = next_props(&r, arena, &out->context);
    }
    return rest_is_done(&r);
}
