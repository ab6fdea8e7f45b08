/*
 * engine/engine_row.c -- an event becomes a row: names and texts become numbers, lists become items.
 */
#include "base/money.h"
#include "engine/engine_inside.h"

#include <stdlib.h>

#define ROW_INLINE static inline __attribute__((always_inline)) /* what every value goes through */

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

ROW_INLINE uint32_t code_for(Engine *e, Dict *values, const DictKey *text)
{
    const uint32_t known = dict_find_key(values, text);
    return known != 0 ? known : schema_new_code(e->schema, values, text);
}

/* Why the value stays in the log only, ASIDE_NOT = it does not. */
ROW_INLINE EngineAside plain_value(Engine *e, const Value *v, PlainValue *out)
{
    *out = (PlainValue){.kind = PART_NUMBERS};
    switch (v->type) {
    case EVENT_TEXT:
        out->kind = PART_CODES;
        out->value = code_for(e, v->prop->values, &v->text);
        return out->value == 0 ? ENGINE_ASIDE_TEXTS : ASIDE_NOT;
    case EVENT_NUMBER:
        out->value = v->number;
        out->scale = v->scale;
        shorten(&out->value, &out->scale);
        return number_fits(out->value, out->scale) ? ASIDE_NOT : ENGINE_ASIDE_NUMBER;
    case EVENT_MONEY:
    case EVENT_BOOL:
    case EVENT_TIME:
        out->value = v->number;
        return ASIDE_NOT;
    case EVENT_TEXTS:
    case EVENT_ITEMS:
    case EVENT_NONE:
    case EVENT_TYPE_COUNT:
        break;
    }
    return ENGINE_ASIDE_TYPE;
}

/* Where an event's next property goes. */
typedef struct Place {
    Shape *shape;
    uint32_t event; /* name */
    SchemaSpace space;
} Place;

static void grow_shapes(Engine *e, uint32_t name)
{
    const uint32_t count = name * 2 + 64;
    e->shapes = realloc(e->shapes, count * sizeof *e->shapes);
    CHECK(e->shapes != NULL);
    memset(e->shapes + e->shape_count, 0, (count - e->shape_count) * sizeof *e->shapes);
    e->shape_count = count;
}

static inline Shape *shape_of(Engine *e, uint32_t name)
{
    if (name >= e->shape_count)
        grow_shapes(e, name);
    return &e->shapes[name];
}

/* The value is of this property, NULL = unknown. */
static void set_prop(Value *v, SchemaProp *prop)
{
    v->prop = prop;
    if (prop != NULL && v->type == EVENT_TEXT && prop->values != NULL)
        v->text = dict_key(prop->values, v->text.text);
}

static Value value_of(const EventProp *p)
{
    Value v = {.name = p->name, .type = p->type, .scale = p->scale, .number = p->i64};
    if (p->type == EVENT_TEXT)
        v.text = (DictKey){.text = p->text};
    else if (event_type_is_list(p->type))
        v.list = p;
    return v;
}

/* As docs/formats/events.md has properties. */
static ShapeMark mark_of(const SchemaProp *prop)
{
    unsigned char bytes[SHAPE_MARK_BYTES] = {(unsigned char)prop->name.len};
    unsigned char mask[SHAPE_MARK_BYTES] = {0};
    ShapeMark m = {.bytes = SHAPE_MARK_NONE};
    if (event_type_is_list(prop->type) || prop->name.len == 0 ||
        prop->name.len + 2 > SHAPE_MARK_BYTES)
        return m;
    m.bytes = (uint32_t)prop->name.len + 2;
    memcpy(bytes + 1, prop->name.ptr, prop->name.len);
    bytes[m.bytes - 1] = (unsigned char)prop->type;
    memset(mask, 0xff, m.bytes);
    memcpy(&m.low, bytes, sizeof m.low);
    memcpy(&m.high, bytes + sizeof m.low, sizeof m.high);
    memcpy(&m.low_mask, mask, sizeof m.low_mask);
    memcpy(&m.high_mask, mask + sizeof m.low_mask, sizeof m.high_mask);
    return m;
}

/* Events of this name may have the property, and mostly do so from now on. */
static void remember(Shape *shape, SchemaProp *prop)
{
    uint32_t near = 0;
    if (shape->count == SHAPE_PROPS || shape_find(shape, &near, prop->space, prop->name) != NULL)
        return;
    shape->marks[shape->count] = mark_of(prop);
    shape->props[shape->count++] = prop;
}

/* What has no place is counted when it comes for the first time. */
static void count_aside(Engine *e, const RowBuffer *to, EngineAside why)
{
    if (to == &e->open)
        engine_keep_aside(e, why);
}

/* The same of a value of a property, which remembers it. */
static void count_value_aside(Engine *e, const RowBuffer *to, SchemaProp *prop, EventType came_as,
                              EngineAside why)
{
    count_aside(e, to, why);
    if (to != &e->open || prop == NULL)
        return;
    prop->aside.number += why == ENGINE_ASIDE_NUMBER;
    prop->aside.texts += why == ENGINE_ASIDE_TEXTS;
    if (why == ENGINE_ASIDE_TYPE) {
        prop->aside.other_type++;
        prop->aside.came_as = came_as;
    }
}

/* A list without anything in it may be of texts or of records. */
static bool list_fits(Engine *e, const Value *v)
{
    return event_type_is_list(v->prop->type) && event_type_is_list(v->type) &&
           (v->list->count == 0 || schema_list_becomes(e->schema, v->prop, v->type));
}

/* A number is an amount when it is one to the last minor unit. */
static EngineAside number_to_money(const Engine *e, Value *v)
{
    int64_t amount = v->number;
    int places = v->scale;
    shorten(&amount, &places);
    bool is_one = places <= e->o.money_places;
    for (; is_one && places < e->o.money_places; places++)
        is_one = !__builtin_mul_overflow(amount, 10, &amount);
    if (!is_one || !money_in_range(amount))
        return ENGINE_ASIDE_NUMBER;
    v->type = EVENT_MONEY;
    v->number = amount;
    return ASIDE_NOT;
}

/* JSON has numbers only, so what some doors send as an amount others send as a number: it becomes what the
 * property is.  Nothing else does. */
static EngineAside fit_type(Engine *e, Value *v)
{
    const EventType wanted = v->prop->type;
    if (wanted == v->type || list_fits(e, v))
        return ASIDE_NOT;
    if (wanted == EVENT_MONEY && v->type == EVENT_NUMBER)
        return number_to_money(e, v);
    if (wanted != EVENT_NUMBER || v->type != EVENT_MONEY)
        return ENGINE_ASIDE_TYPE;
    v->type = EVENT_NUMBER;
    v->scale = (uint8_t)e->o.money_places;
    return ASIDE_NOT;
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
            count_value_aside(e, to, list, EVENT_TEXTS, ENGINE_ASIDE_TEXTS);
    }
}

/* The field that stood at this place of a record last time, when it is the one. */
static SchemaProp *same_field(const Shape *shape, uint32_t place, const SchemaProp *list, Str name)
{
    SchemaProp *near = place < SHAPE_FIELDS ? shape->fields[place] : NULL;
    return near != NULL && near->list == list->id && str_same(near->name, name) ? near : NULL;
}

/* As put_prop(), at a place of a record. */
static void put_field(Engine *e, RowBuffer *to, const Place *at, SchemaProp *list, uint32_t place,
                      const EventProp *p)
{
    SchemaProp *field = same_field(at->shape, place, list, p->name);
    const bool needs_pair = field == NULL;
    if (field == NULL)
        field = schema_field(e->schema, list, p->name, p->type);
    Value v = value_of(p);
    set_prop(&v, field);
    EngineAside why = ENGINE_ASIDE_PROPS;
    PlainValue plain;
    if (field == NULL)
        why = schema_fields_are_full(e->schema, list) ? ENGINE_ASIDE_FIELDS : why;
    else
        why = fit_type(e, &v);
    if (why == ASIDE_NOT && needs_pair && !schema_pair(e->schema, at->event, field))
        why = ENGINE_ASIDE_PAIRS;
    if (why == ASIDE_NOT)
        why = plain_value(e, &v, &plain);
    if (why != ASIDE_NOT) {
        count_value_aside(e, to, field, p->type, why);
        return;
    }
    rows_item_value(to, field->id, plain.kind, plain.scale, plain.value);
    if (place < SHAPE_FIELDS)
        at->shape->fields[place] = field;
}

static void put_items(Engine *e, RowBuffer *to, const Place *at, SchemaProp *list,
                      const EventProp *p)
{
    rows_list(to, list->id, p->count);
    for (uint32_t i = 0; i < p->count; i++) {
        rows_item(to);
        for (uint32_t place = 0; place < p->items[i].count; place++)
            put_field(e, to, at, list, place, &p->items[i].fields[place]);
    }
}

/* ---- properties ----------------------------------------------------------------------------------- */

static EngineAside put_list(Engine *e, RowBuffer *to, const Place *at, const Value *v)
{
    if (v->type == EVENT_TEXTS)
        put_texts(e, to, v->prop, v->list);
    else
        put_items(e, to, at, v->prop, v->list);
    return ASIDE_NOT;
}

ROW_INLINE EngineAside put_plain(Engine *e, RowBuffer *to, const Value *v)
{
    PlainValue plain;
    const EngineAside why = plain_value(e, v, &plain);
    if (why == ASIDE_NOT)
        rows_value(to, v->prop->id, plain.kind, plain.scale, plain.value);
    return why;
}

static EngineAside put_known(Engine *e, RowBuffer *to, const Place *at, Value *v)
{
    const EngineAside why = fit_type(e, v);
    if (why != ASIDE_NOT)
        return why;
    return event_type_is_list(v->type) ? put_list(e, to, at, v) : put_plain(e, to, v);
}

static EngineAside put_unknown(Engine *e, RowBuffer *to, const Place *at, Value *v)
{
    set_prop(v, schema_prop(e->schema, at->space, v->name, v->type));
    if (v->prop == NULL)
        return ENGINE_ASIDE_PROPS;
    const EngineAside misfit = fit_type(e, v);
    if (misfit != ASIDE_NOT)
        return misfit;
    if (!schema_pair(e->schema, at->event, v->prop))
        return ENGINE_ASIDE_PAIRS;
    const EngineAside why = put_known(e, to, at, v);
    if (why == ASIDE_NOT)
        remember(at->shape, v->prop);
    return why;
}

/* A shape holds what its event name may have: that needs no second look. */
static void put_prop(Engine *e, RowBuffer *to, const Place *at, Value *v)
{
    const EngineAside why = v->prop != NULL ? put_known(e, to, at, v) : put_unknown(e, to, at, v);
    if (why != ASIDE_NOT)
        count_value_aside(e, to, v->prop, v->type, why);
}

/* Says that the person has the attribute no longer, when anybody ever had it. */
static void put_gone(Engine *e, RowBuffer *to, const Place *at, Str name)
{
    if (schema_find_prop(e->schema, SCHEMA_PERSON, name) == NULL)
        return;
    SchemaProp *gone = schema_prop(e->schema, SCHEMA_GONE, name, EVENT_BOOL);
    if (gone == NULL)
        count_aside(e, to, ENGINE_ASIDE_PROPS);
    else if (!schema_pair(e->schema, at->event, gone))
        count_aside(e, to, ENGINE_ASIDE_PAIRS);
    else
        rows_value(to, gone->id, PART_NUMBERS, 0, 1);
}

static void put_odd(Engine *e, RowBuffer *to, const Place *at, Value *v)
{
    if (v->type == EVENT_NONE)
        put_gone(e, to, at, v->name);
    else
        put_prop(e, to, at, v);
}

/* A text or a number of a property that events of the name had before: nearly all are. */
static inline void put_value(Engine *e, RowBuffer *to, const Place *at, Value *v)
{
    if (v->prop == NULL || v->prop->type != v->type || event_type_is_list(v->type)) {
        put_odd(e, to, at, v);
        return;
    }
    const EngineAside why = put_plain(e, to, v);
    if (why != ASIDE_NOT)
        count_value_aside(e, to, v->prop, v->type, why);
}

/* ---- rows ------------------------------------------------------------------------------------------ */

static void put_source(Engine *e, RowBuffer *to, Str text)
{
    LastText *last = &e->last_source;
    if (last->code == 0 || !str_same(last->text, text)) {
        const uint32_t code = schema_code(e->schema, PROP_SOURCE, text);
        *last = (LastText){schema_text(e->schema, PROP_SOURCE, code), code};
    }
    if (last->code != 0)
        rows_value(to, PROP_SOURCE, PART_CODES, 0, last->code);
    else if (to == &e->open)
        engine_keep_aside(e, ENGINE_ASIDE_TEXTS);
}

static void put_store(Engine *e, RowBuffer *to, const DictKey *text)
{
    if (text->text.len == 0)
        return;
    const uint32_t code = code_for(e, schema_prop_at(e->schema, PROP_STORE)->values, text);
    if (code != 0)
        rows_value(to, PROP_STORE, PART_CODES, 0, code);
    else if (to == &e->open)
        engine_keep_aside(e, ENGINE_ASIDE_TEXTS);
}

/* What every row has. */
typedef struct RowHead {
    int64_t time_ms, received_ms;
    Str source;
    const DictKey *store;
} RowHead;

static void put_head(Engine *e, RowBuffer *to, const RowHead *head, const Home *home)
{
    rows_add(to, head->time_ms, home->person, home->name);
    if (home->ordinal > 0)
        rows_value(to, PROP_ACTOR, PART_CODES, 0, home->ordinal);
    put_source(e, to, head->source);
    put_store(e, to, head->store);
    rows_value(to, PROP_RECEIVED, PART_NUMBERS, 0, head->received_ms - head->time_ms);
}

static SchemaSpace space_of(EventKind kind)
{
    return kind == EVENT_PERSON ? SCHEMA_PERSON : SCHEMA_EVENT;
}

void engine_put_coming(Engine *e, const Coming *c, const Home *home)
{
    RowBuffer *to = &e->open;
    put_head(e, to, &(RowHead){c->time_ms, c->received_ms, c->source, &c->store}, home);
    Place at = {shape_of(e, home->name), home->name, space_of(c->kind)};
    for (uint32_t i = 0; i < c->props.count; i++)
        put_value(e, to, &at, &c->props.at[i]);
    at.space = SCHEMA_CONTEXT;
    for (uint32_t i = 0; i < c->context.count; i++)
        put_value(e, to, &at, &c->context.at[i]);
}

static void put_event_props(Engine *e, RowBuffer *to, const Place *at, const EventProp *props,
                            uint32_t count)
{
    uint32_t near = 0;
    for (uint32_t i = 0; i < count; i++) {
        Value v = value_of(&props[i]);
        set_prop(&v, shape_find(at->shape, &near, at->space, v.name));
        put_value(e, to, at, &v);
    }
}

void engine_put_row(Engine *e, RowBuffer *to, const Event *event, const Home *home)
{
    const DictKey store = dict_key(schema_texts(e->schema, PROP_STORE), event->store);
    put_head(e, to, &(RowHead){event->time_ms, event->received_ms, event->source, &store}, home);
    Place at = {shape_of(e, home->name), home->name, space_of(event->kind)};
    put_event_props(e, to, &at, event->props, event->prop_count);
    at.space = SCHEMA_CONTEXT;
    put_event_props(e, to, &at, event->context, event->context_count);
}
