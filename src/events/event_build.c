/*
 * events/event_build.c -- the builder of events/event.h: collects and checks.
 */
#include "events/event_rules.h"

#include <stdio.h>

enum { LIST_FIRST = 8, VARINT_BYTES_MAX = 10 };

typedef struct PropList {
    EventProp *at;
    uint32_t count, cap;
} PropList;

struct EventBuilder {
    Ctx *ctx;
    Event event;
    PropList props, context;
    PropList fields;  /* of the item being built */
    EventItem *items; /* of the list being built */
    uint32_t item_count, item_cap;
    Str items_name;
    bool in_items, in_item, in_context;
    size_t bytes; /* an upper bound of the encoding so far */
    Err err;      /* the first thing that was wrong; the fault is in ctx */
};

static void refuse(EventBuilder *b, const char *reason, const char *where, Str name)
{
    if (b->err != ERR_OK)
        return;
    char pointer[96];
    const Str shown = str_is_utf8(name) ? str_slice(name, 0, 60) : STR("");
    (void)snprintf(pointer, sizeof pointer, "%s%.*s", where, STR_ARG(shown));
    b->err = fail_field(b->ctx, pointer, reason, "%s", "");
}

static void refuse_prop(EventBuilder *b, const char *reason, Str name)
{
    refuse(b, reason, b->in_context ? "/context/" : "/properties/", name);
}

EventBuilder *event_begin(Ctx *ctx, const Event *head)
{
    EventBuilder *b = ARENA_NEW(ctx->arena, EventBuilder);
    b->ctx = ctx;
    b->event = *head;
    b->event.seq = 0;
    b->bytes = head->source.len + head->id.len + head->name.len + head->store.len +
               head->actor.kind.len + head->actor.value.len + head->other.kind.len +
               head->other.value.len + 16 * VARINT_BYTES_MAX;
    const EventProblem problem = event_head_problem(head);
    if (problem.reason != NULL)
        refuse(b, problem.reason, problem.pointer, STR(""));
    return b;
}

static PropList *current_list(EventBuilder *b)
{
    if (b->in_item)
        return &b->fields;
    return b->in_context ? &b->context : &b->props;
}

static void push(Ctx *ctx, PropList *list, const EventProp *p)
{
    if (list->count == list->cap) {
        list->cap = list->cap == 0 ? LIST_FIRST : list->cap * 2;
        EventProp *wider = (void *)arena_bytes(ctx->arena, list->cap * sizeof *wider);
        if (list->count > 0)
            memcpy(wider, list->at, list->count * sizeof *wider);
        list->at = wider;
    }
    list->at[list->count++] = *p;
}

static const char *text_reason(Str s, size_t max)
{
    if (s.len > max)
        return "event.length";
    return str_is_utf8(s) ? NULL : "event.text";
}

static const char *prop_reason(const EventBuilder *b, const PropList *list, const EventProp *p)
{
    if (p->name.len == 0)
        return "event.missing";
    if (p->name.len > EVENT_NAME_BYTES_MAX)
        return "event.length";
    if (!str_is_utf8(p->name))
        return "event.text";
    if (list->count >= (b->in_item ? EVENT_FIELDS_MAX : EVENT_PROPS_MAX))
        return "event.count";
    for (uint32_t i = 0; i < list->count; i++)
        if (str_same(list->at[i].name, p->name))
            return "event.prop_twice";
    if (!event_value_is_good(b->event.kind, p))
        return "event.value";
    return text_reason(p->text, EVENT_TEXT_BYTES_MAX);
}

static void add(EventBuilder *b, const EventProp *p)
{
    if (b->err != ERR_OK)
        return;
    PropList *list = current_list(b);
    const bool open_list = b->in_items && !b->in_item;
    const bool list_value = event_type_is_list(p->type);
    const char *reason = prop_reason(b, list, p);
    if (open_list || (b->in_item && (list_value || p->type == EVENT_NONE)))
        reason = "event.value";
    if (reason != NULL) {
        refuse_prop(b, reason, p->name);
        return;
    }
    b->bytes += p->name.len + p->text.len + 4 * VARINT_BYTES_MAX;
    push(b->ctx, list, p);
}

void event_prop_text(EventBuilder *b, Str name, Str value)
{
    add(b, &(EventProp){.name = name, .type = EVENT_TEXT, .text = value});
}

void event_prop_i64(EventBuilder *b, Str name, int64_t value)
{
    add(b, &(EventProp){.name = name, .type = EVENT_NUMBER, .i64 = value});
}

void event_prop_decimal(EventBuilder *b, Str name, int64_t coefficient, int scale)
{
    const uint8_t stored = scale < 0 || scale > EVENT_SCALE_MAX ? UINT8_MAX : (uint8_t)scale;
    add(b, &(EventProp){.name = name, .type = EVENT_NUMBER, .i64 = coefficient, .scale = stored});
}

void event_prop_money(EventBuilder *b, Str name, int64_t fen)
{
    add(b, &(EventProp){.name = name, .type = EVENT_MONEY, .i64 = fen});
}

void event_prop_bool(EventBuilder *b, Str name, bool value)
{
    add(b, &(EventProp){.name = name, .type = EVENT_BOOL, .i64 = value});
}

void event_prop_time(EventBuilder *b, Str name, int64_t at_ms)
{
    add(b, &(EventProp){.name = name, .type = EVENT_TIME, .i64 = at_ms});
}

void event_prop_none(EventBuilder *b, Str name)
{
    add(b, &(EventProp){.name = name, .type = EVENT_NONE});
}

void event_prop_texts(EventBuilder *b, Str name, const Str *values, size_t count)
{
    if (count > EVENT_LIST_MAX) {
        refuse_prop(b, "event.count", name);
        return;
    }
    Str *texts = ARENA_ARRAY(b->ctx->arena, Str, count);
    for (size_t i = 0; i < count; i++) {
        const char *reason = text_reason(values[i], EVENT_TEXT_BYTES_MAX);
        if (reason != NULL) {
            refuse_prop(b, reason, name);
            return;
        }
        texts[i] = values[i];
        b->bytes += values[i].len + VARINT_BYTES_MAX;
    }
    add(b,
        &(EventProp){.name = name, .type = EVENT_TEXTS, .texts = texts, .count = (uint32_t)count});
}

void event_items_begin(EventBuilder *b, Str name)
{
    if (b->in_items || b->in_context) {
        refuse_prop(b, "event.value", name);
        return;
    }
    b->in_items = true;
    b->items_name = name;
    b->items = NULL;
    b->item_count = b->item_cap = 0;
}

/* Moves the fields of the item being built into the list. */
static void finish_item(EventBuilder *b)
{
    if (!b->in_item)
        return;
    b->in_item = false;
    b->items[b->item_count++] = (EventItem){.fields = b->fields.at, .count = b->fields.count};
    b->fields = (PropList){NULL, 0, 0};
}

void event_item(EventBuilder *b)
{
    finish_item(b);
    if (!b->in_items || b->item_count >= EVENT_ITEMS_MAX) {
        refuse_prop(b, b->in_items ? "event.count" : "event.value", b->items_name);
        return;
    }
    if (b->item_count == b->item_cap) {
        b->item_cap = b->item_cap == 0 ? LIST_FIRST : b->item_cap * 2;
        EventItem *wider = ARENA_ARRAY(b->ctx->arena, EventItem, b->item_cap);
        if (b->item_count > 0)
            memcpy(wider, b->items, b->item_count * sizeof *wider);
        b->items = wider;
    }
    b->bytes += VARINT_BYTES_MAX;
    b->in_item = true;
}

void event_items_end(EventBuilder *b)
{
    finish_item(b);
    if (!b->in_items) {
        refuse_prop(b, "event.value", b->items_name);
        return;
    }
    b->in_items = false;
    add(b,
        &(EventProp){
            .name = b->items_name, .type = EVENT_ITEMS, .items = b->items, .count = b->item_count});
}

void event_context(EventBuilder *b)
{
    b->in_context = true;
}

Err event_end(EventBuilder *b, Event *out)
{
    if (b->in_items)
        refuse_prop(b, "event.value", b->items_name);
    if (b->bytes > EVENT_BYTES_MAX)
        refuse(b, "event.size", "", STR(""));
    if (b->err != ERR_OK)
        return b->err;
    b->event.props = b->props.at;
    b->event.prop_count = b->props.count;
    b->event.context = b->context.at;
    b->event.context_count = b->context.count;
    *out = b->event;
    return ERR_OK;
}
