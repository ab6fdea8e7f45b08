/*
 * engine/engine_row.c -- an event becomes a row: names and texts become numbers, lists become items.
 */
#include "engine/engine_inside.h"

#include <stdlib.h>

/* ---- values --------------------------------------------------------------------------------------- */

/* A number at no more than SCHEMA_SCALE_MAX places that can be brought to that scale, else aside. */
static bool number_fits(int64_t value, int scale)
{
    if (scale > SCHEMA_SCALE_MAX)
        return false;
    for (; scale < SCHEMA_SCALE_MAX; scale++)
        if (__builtin_mul_overflow(value, 10, &value))
            return false;
    return value <= ROWS_NUMBER_MAX && value >= -ROWS_NUMBER_MAX;
}

/* 12.50 and 12.5 are one number: the shorter one is kept. */
static void shorten(int64_t *value, int *scale)
{
    while (*scale > 0 && *value % 10 == 0) {
        *value /= 10;
        (*scale)--;
    }
}

/* A value that is one, as the columns have it. */
typedef struct PlainValue {
    int64_t value;
    PartKind kind;
    int scale;
} PlainValue;

/* Why the value stays in the log only, ASIDE_NOT = it does not. */
static inline EngineAside plain_value(Engine *e, const Known *k, const EventProp *p,
                                      PlainValue *out)
{
    *out = (PlainValue){p->i64, PART_NUMBERS, 0};
    switch (p->type) {
    case EVENT_TEXT:
        out->kind = PART_CODES;
        out->value = schema_code_hashed(e->schema, k->prop, p->text, k->hash);
        return out->value == 0 ? ENGINE_ASIDE_TEXTS : ASIDE_NOT;
    case EVENT_NUMBER:
        out->scale = p->scale;
        shorten(&out->value, &out->scale);
        return number_fits(out->value, out->scale) ? ASIDE_NOT : ENGINE_ASIDE_NUMBER;
    case EVENT_MONEY:
    case EVENT_BOOL:
    case EVENT_TIME:
        return ASIDE_NOT;
    case EVENT_TEXTS:
    case EVENT_ITEMS:
    case EVENT_NONE:
    case EVENT_TYPE_COUNT:
        break;
    }
    return ENGINE_ASIDE_TYPE;
}

static Shape *shape_of(Engine *e, uint32_t name)
{
    if (name >= e->shape_count) {
        const uint32_t count = name * 2 + 64;
        e->shapes = realloc(e->shapes, count * sizeof *e->shapes);
        CHECK(e->shapes != NULL);
        memset(e->shapes + e->shape_count, 0, (count - e->shape_count) * sizeof *e->shapes);
        e->shape_count = count;
    }
    return &e->shapes[name];
}

/* The property that stood at this place last time, when it is the one: mostly it is. */
static SchemaProp *same_as_last(const Shape *shape, uint32_t place, SchemaSpace space, Str name)
{
    SchemaProp *near = place < SHAPE_PROPS ? shape->props[place] : NULL;
    return near != NULL && near->space == space && str_same(near->name, name) ? near : NULL;
}

static Known known(SchemaProp *prop, const EventProp *p)
{
    Known k = {prop, 0};
    if (prop != NULL && p->type == EVENT_TEXT && prop->values != NULL)
        k.hash = dict_hash(prop->values, p->text);
    return k;
}

Known engine_know(const Place *at, const EventProp *p)
{
    return known(same_as_last(at->shape, at->place, at->space, p->name), p);
}

/* What has no place is counted when it comes for the first time. */
static void count_aside(Engine *e, const RowBuffer *to, SchemaProp *prop, EngineAside why)
{
    if (to != &e->open)
        return;
    if (prop != NULL)
        prop->conflicts++;
    engine_keep_aside(e, why);
}

/* ---- lists ---------------------------------------------------------------------------------------- */

static void put_texts(Engine *e, RowBuffer *to, SchemaProp *list, const EventProp *p)
{
    rows_list(to, list->id, p->count);
    for (uint32_t i = 0; i < p->count; i++) {
        const uint32_t code = schema_code(e->schema, list->id, p->texts[i]);
        rows_item(to);
        if (code != 0)
            rows_item_value(to, list->id, PART_CODES, 0, code);
        else
            count_aside(e, to, list, ENGINE_ASIDE_TEXTS);
    }
}

/* The field that stood at this place of a record last time, when it is the one. */
static SchemaProp *same_field(const Shape *shape, uint32_t place, const SchemaProp *list, Str name)
{
    SchemaProp *near = place < SHAPE_PROPS ? shape->fields[place] : NULL;
    return near != NULL && near->list == list->id && str_same(near->name, name) ? near : NULL;
}

/* As put_prop(). */
static void put_field(Engine *e, RowBuffer *to, const Place *at, SchemaProp *list,
                      const EventProp *p)
{
    SchemaProp *field = same_field(at->shape, at->place, list, p->name);
    const bool needs_pair = field == NULL;
    if (field == NULL)
        field = schema_field(e->schema, list, p->name, p->type);
    const Known k = known(field, p);
    EngineAside why = ENGINE_ASIDE_PROPS;
    PlainValue v;
    if (field == NULL)
        why = schema_fields_are_full(e->schema, list) ? ENGINE_ASIDE_FIELDS : why;
    else if (field->type != p->type)
        why = ENGINE_ASIDE_TYPE;
    else if (needs_pair && !schema_pair(e->schema, at->event, field))
        why = ENGINE_ASIDE_PAIRS;
    else
        why = plain_value(e, &k, p, &v);
    if (why != ASIDE_NOT) {
        count_aside(e, to, field, why);
        return;
    }
    rows_item_value(to, field->id, v.kind, v.scale, v.value);
    if (at->place < SHAPE_PROPS)
        at->shape->fields[at->place] = field;
}

static void put_items(Engine *e, RowBuffer *to, const Place *of, SchemaProp *list,
                      const EventProp *p)
{
    rows_list(to, list->id, p->count);
    for (uint32_t i = 0; i < p->count; i++) {
        Place at = *of;
        rows_item(to);
        for (at.place = 0; at.place < p->items[i].count; at.place++)
            put_field(e, to, &at, list, &p->items[i].fields[at.place]);
    }
}

static bool is_list(EventType type)
{
    return type == EVENT_TEXTS || type == EVENT_ITEMS;
}

/* A list without anything in it may be of texts or of records. */
static bool list_fits(Engine *e, SchemaProp *prop, const EventProp *p)
{
    return is_list(prop->type) && is_list(p->type) &&
           (p->count == 0 || schema_list_becomes(e->schema, prop, p->type));
}

/* ---- properties ----------------------------------------------------------------------------------- */

static EngineAside put_value(Engine *e, RowBuffer *to, const Place *at, const Known *k,
                             const EventProp *p)
{
    PlainValue v;
    if (is_list(p->type)) {
        if (p->type == EVENT_TEXTS)
            put_texts(e, to, k->prop, p);
        else
            put_items(e, to, at, k->prop, p);
        return ASIDE_NOT;
    }
    const EngineAside why = plain_value(e, k, p, &v);
    if (why == ASIDE_NOT)
        rows_value(to, k->prop->id, v.kind, v.scale, v.value);
    return why;
}

/* A shape holds what its event name may have: that needs no second look. */
static void put_prop(Engine *e, RowBuffer *to, const Place *at, const EventProp *p)
{
    Known k = at->known != NULL && at->known[at->place].prop != NULL ? at->known[at->place]
                                                                     : engine_know(at, p);
    const bool needs_pair = k.prop == NULL;
    if (k.prop == NULL)
        k = known(schema_prop(e->schema, at->space, p->name, p->type), p);
    EngineAside why = ENGINE_ASIDE_PROPS;
    if (k.prop != NULL && k.prop->type != p->type && !list_fits(e, k.prop, p))
        why = ENGINE_ASIDE_TYPE;
    else if (k.prop != NULL && needs_pair && !schema_pair(e->schema, at->event, k.prop))
        why = ENGINE_ASIDE_PAIRS;
    else if (k.prop != NULL)
        why = put_value(e, to, at, &k, p);
    if (why != ASIDE_NOT)
        count_aside(e, to, k.prop, why);
    else if (at->place < SHAPE_PROPS)
        at->shape->props[at->place] = k.prop;
}

/* Says that the person has the attribute no longer, when anybody ever had it. */
static void put_gone(Engine *e, RowBuffer *to, const Place *at, Str name)
{
    if (schema_find_prop(e->schema, SCHEMA_PERSON, name) == NULL)
        return;
    SchemaProp *gone = schema_prop(e->schema, SCHEMA_GONE, name, EVENT_BOOL);
    if (gone == NULL)
        count_aside(e, to, NULL, ENGINE_ASIDE_PROPS);
    else if (!schema_pair(e->schema, at->event, gone))
        count_aside(e, to, gone, ENGINE_ASIDE_PAIRS);
    else
        rows_value(to, gone->id, PART_NUMBERS, 0, 1);
}

static void put_props(Engine *e, RowBuffer *to, Place at, const EventProp *props, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++, at.place++) {
        if (props[i].type == EVENT_NONE)
            put_gone(e, to, &at, props[i].name);
        else
            put_prop(e, to, &at, &props[i]);
    }
}

static uint32_t code_of(Engine *e, uint32_t prop, LastText *last, Str text)
{
    if (last->code != 0 && str_same(last->text, text))
        return last->code;
    const uint32_t code = schema_code(e->schema, prop, text);
    if (code != 0)
        *last = (LastText){schema_text(e->schema, prop, code), code};
    return code;
}

static void put_text(Engine *e, RowBuffer *to, uint32_t prop, LastText *last, Str text)
{
    const uint32_t code = text.len == 0 ? 0 : code_of(e, prop, last, text);
    if (code != 0)
        rows_value(to, prop, PART_CODES, 0, code);
    else if (text.len > 0 && to == &e->open)
        engine_keep_aside(e, ENGINE_ASIDE_TEXTS);
}

void engine_put_row(Engine *e, RowBuffer *to, const Event *event, const Home *home)
{
    rows_add(to, event->time_ms, home->person, home->name);
    if (home->ordinal > 0)
        rows_value(to, PROP_ACTOR, PART_CODES, 0, home->ordinal);
    put_text(e, to, PROP_SOURCE, &e->last_source, event->source);
    put_text(e, to, PROP_STORE, &e->last_store, event->store);
    rows_value(to, PROP_RECEIVED, PART_NUMBERS, 0, event->received_ms - event->time_ms);
    const bool is_person = event->kind == EVENT_PERSON;
    Place at = {shape_of(e, home->name), home->known, home->name, 0,
                is_person ? SCHEMA_PERSON : SCHEMA_EVENT};
    put_props(e, to, at, event->props, event->prop_count);
    at.place = event->prop_count;
    at.space = SCHEMA_CONTEXT;
    put_props(e, to, at, event->context, event->context_count);
}
