/*
 * engine/schema.c
 */
#include "engine/schema.h"

#include "events/crc32c.h"

#include <stdlib.h>

enum { KEY_BYTES = EVENT_ACTOR_KIND_BYTES_MAX + 1 + EVENT_ACTOR_VALUE_BYTES_MAX };

struct Schema {
    Dict *events, *props, *actors;
    SchemaProp builtin[PROP_FIRST];            /* PROP_SOURCE and PROP_STORE have texts */
    SchemaProp *shelf[SCHEMA_PROPS_MAX / 256]; /* never move */
    uint32_t saved_events, saved_props, saved_actors;
};

Schema *schema_new(void)
{
    Schema *s = calloc(1, sizeof *s);
    CHECK(s != NULL);
    s->events = dict_new(SCHEMA_EVENTS_MAX);
    s->props = dict_new(SCHEMA_PROPS_MAX);
    s->actors = dict_new(SCHEMA_ACTORS_MAX);
    for (uint32_t i = 0; i < PROP_FIRST; i++)
        s->builtin[i].id = i;
    s->builtin[PROP_SOURCE].values = dict_new(SCHEMA_VALUES_MAX);
    s->builtin[PROP_STORE].values = dict_new(SCHEMA_VALUES_MAX);
    s->builtin[PROP_SOURCE].type = s->builtin[PROP_STORE].type = EVENT_TEXT;
    return s;
}

SchemaProp *schema_prop_at(const Schema *s, uint32_t id)
{
    if (id < PROP_FIRST)
        return (SchemaProp *)(uintptr_t)&s->builtin[id];
    return &s->shelf[(id - PROP_FIRST) / 256][(id - PROP_FIRST) % 256];
}

void schema_free(Schema *s)
{
    if (s == NULL)
        return;
    for (uint32_t id = 0; id < PROP_FIRST + dict_count(s->props); id++)
        dict_free(schema_prop_at(s, id)->values);
    for (size_t i = 0; i < ARRAY_LEN(s->shelf); i++)
        free(s->shelf[i]);
    dict_free(s->events);
    dict_free(s->props);
    dict_free(s->actors);
    free(s);
}

/* ---- numbers ------------------------------------------------------------------------------------ */

uint32_t schema_event(Schema *s, Str name)
{
    return dict_add(s->events, name);
}

/* The space in front of the name, in a place of the caller's. */
static Str prop_key(SchemaSpace space, Str name, char dst[EVENT_NAME_BYTES_MAX + 1])
{
    CHECK(name.len <= EVENT_NAME_BYTES_MAX);
    dst[0] = (char)space;
    if (name.len > 0)
        memcpy(dst + 1, name.ptr, name.len);
    return (Str){dst, name.len + 1};
}

static SchemaProp *new_prop(Schema *s, uint32_t number, SchemaSpace space, EventType type)
{
    SchemaProp **shelf = &s->shelf[(number - 1) / 256];
    if (*shelf == NULL) {
        *shelf = calloc(256, sizeof **shelf);
        CHECK(*shelf != NULL);
    }
    SchemaProp *p = &(*shelf)[(number - 1) % 256];
    *p = (SchemaProp){.id = PROP_FIRST + number - 1, .space = space, .type = type};
    if (type == EVENT_TEXT)
        p->values = dict_new(SCHEMA_VALUES_MAX);
    return p;
}

SchemaProp *schema_prop(Schema *s, SchemaSpace space, Str name, EventType type)
{
    char key[EVENT_NAME_BYTES_MAX + 1];
    const uint32_t before = dict_count(s->props);
    const uint32_t number = dict_add(s->props, prop_key(space, name, key));
    if (number == 0)
        return NULL;
    return number <= before ? schema_prop_at(s, PROP_FIRST + number - 1)
                            : new_prop(s, number, space, type);
}

uint32_t schema_code(Schema *s, uint32_t prop, Str text)
{
    return dict_add(schema_prop_at(s, prop)->values, text);
}

/* Kinds hold no NUL, so the key says both parts. */
static Str actor_key(EventActor actor, char dst[KEY_BYTES])
{
    memcpy(dst, actor.kind.ptr, actor.kind.len);
    dst[actor.kind.len] = '\0';
    memcpy(dst + actor.kind.len + 1, actor.value.ptr, actor.value.len);
    return (Str){dst, actor.kind.len + 1 + actor.value.len};
}

static uint32_t person_of(uint32_t number)
{
    return PART_BLOCK_PERSONS + number - 1;
}

bool schema_actor(Schema *s, EventActor actor, uint32_t *out)
{
    *out = 0;
    if (event_actor_is_nobody(actor))
        return true;
    char key[KEY_BYTES];
    const uint32_t number = dict_add(s->actors, actor_key(actor, key));
    *out = number == 0 ? 0 : person_of(number);
    return number != 0;
}

/* ---- finding ------------------------------------------------------------------------------------ */

uint32_t schema_find_event(const Schema *s, Str name)
{
    return dict_find(s->events, name);
}

SchemaProp *schema_find_prop(const Schema *s, SchemaSpace space, Str name)
{
    char key[EVENT_NAME_BYTES_MAX + 1];
    if (name.len > EVENT_NAME_BYTES_MAX)
        return NULL;
    const uint32_t number = dict_find(s->props, prop_key(space, name, key));
    return number == 0 ? NULL : schema_prop_at(s, PROP_FIRST + number - 1);
}

uint32_t schema_find_code(const Schema *s, uint32_t prop, Str text)
{
    return dict_find(schema_prop_at(s, prop)->values, text);
}

const Dict *schema_texts(const Schema *s, uint32_t prop)
{
    return prop == PROP_EVENT ? s->events : schema_prop_at(s, prop)->values;
}

Str schema_event_name(const Schema *s, uint32_t event)
{
    return dict_text(s->events, event);
}

Str schema_prop_name(const Schema *s, uint32_t prop)
{
    const Str key = dict_text(s->props, prop - PROP_FIRST + 1);
    return str_slice(key, 1, key.len);
}

Str schema_text(const Schema *s, uint32_t prop, uint32_t code)
{
    return dict_text(schema_prop_at(s, prop)->values, code);
}

EventActor schema_actor_of(const Schema *s, uint32_t person)
{
    if (person < PART_BLOCK_PERSONS)
        return (EventActor){STR(""), STR("")};
    const Str key = dict_text(s->actors, person - PART_BLOCK_PERSONS + 1);
    const size_t kind = (size_t)str_index(key, '\0', 0);
    return (EventActor){str_slice(key, 0, kind), str_slice(key, kind + 1, key.len)};
}

uint32_t schema_event_count(const Schema *s)
{
    return dict_count(s->events);
}

uint32_t schema_prop_count(const Schema *s)
{
    return dict_count(s->props);
}

uint32_t schema_person_count(const Schema *s)
{
    return PART_BLOCK_PERSONS + dict_count(s->actors);
}

uint64_t schema_bytes(const Schema *s)
{
    uint64_t bytes = dict_bytes(s->events) + dict_bytes(s->props) + dict_bytes(s->actors);
    for (uint32_t id = 0; id < PROP_FIRST + dict_count(s->props); id++)
        if (schema_prop_at(s, id)->values != NULL)
            bytes += dict_bytes(schema_prop_at(s, id)->values);
    return bytes;
}

/* ---- saving ------------------------------------------------------------------------------------- */
/*
 * A record: u32 bytes, u32 checksum of them, then entries of one kind byte and its fields:
 *   'E' text               the next event name
 *   'P' type, text         the next property (its space stands in front of its name)
 *   'V' u32 property, text the next value of that property
 *   'A' text               the next actor (kind, NUL, value)
 * A text is u32 bytes and the bytes.
 */

static void add_u32(Buf *out, uint32_t v)
{
    buf_add(out, (Str){(const char *)&v, sizeof v});
}

static void add_text(Buf *out, Str text)
{
    add_u32(out, (uint32_t)text.len);
    buf_add(out, text);
}

static void save_dict(Buf *out, const Dict *d, char kind, uint32_t *saved)
{
    for (; *saved < dict_count(d); (*saved)++) {
        buf_add_char(out, kind);
        add_text(out, dict_text(d, *saved + 1));
    }
}

static void save_props(Schema *s, Buf *out)
{
    for (; s->saved_props < dict_count(s->props); s->saved_props++) {
        buf_add_char(out, 'P');
        buf_add_char(out, (char)schema_prop_at(s, PROP_FIRST + s->saved_props)->type);
        add_text(out, dict_text(s->props, s->saved_props + 1));
    }
}

static void save_values(Buf *out, SchemaProp *p)
{
    for (; p->values != NULL && p->saved_values < dict_count(p->values); p->saved_values++) {
        buf_add_char(out, 'V');
        add_u32(out, p->id);
        add_text(out, dict_text(p->values, p->saved_values + 1));
    }
}

void schema_save_new(Schema *s, Buf *out)
{
    const size_t start = out->len;
    add_u32(out, 0);
    add_u32(out, 0);
    save_dict(out, s->events, 'E', &s->saved_events);
    save_props(s, out);
    for (uint32_t id = 0; id < PROP_FIRST + dict_count(s->props); id++)
        save_values(out, schema_prop_at(s, id));
    save_dict(out, s->actors, 'A', &s->saved_actors);
    CHECK(!out->overflowed);
    const uint32_t bytes = (uint32_t)(out->len - start - 8);
    if (bytes == 0) {
        out->len = start;
        return;
    }
    const uint32_t crc = crc32c_add(0, (Str){out->ptr + start + 8, bytes});
    memcpy(out->ptr + start, &bytes, sizeof bytes);
    memcpy(out->ptr + start + 4, &crc, sizeof crc);
}

/* ---- loading ------------------------------------------------------------------------------------ */

static bool take_u32(Str *from, uint32_t *out)
{
    if (from->len < sizeof *out)
        return false;
    memcpy(out, from->ptr, sizeof *out);
    *from = str_slice(*from, sizeof *out, from->len);
    return true;
}

static bool take_text(Str *from, Str *out)
{
    uint32_t bytes = 0;
    if (!take_u32(from, &bytes) || bytes > from->len)
        return false;
    *out = str_slice(*from, 0, bytes);
    *from = str_slice(*from, bytes, from->len);
    return true;
}

static bool load_prop(Schema *s, Str *from)
{
    Str key;
    if (from->len == 0)
        return false;
    const EventType type = (EventType)from->ptr[0];
    *from = str_slice(*from, 1, from->len);
    if (!take_text(from, &key) || key.len < 2 || key.len > EVENT_NAME_BYTES_MAX + 1 ||
        type == EVENT_NONE || type >= EVENT_TYPE_COUNT)
        return false;
    const uint32_t before = dict_count(s->props), number = dict_add(s->props, key);
    if (number != before + 1)
        return false;
    (void)new_prop(s, number, (SchemaSpace)key.ptr[0], type);
    return true;
}

static bool load_value(Schema *s, Str *from)
{
    uint32_t id = 0;
    Str text;
    if (!take_u32(from, &id) || !take_text(from, &text) ||
        id >= PROP_FIRST + dict_count(s->props) || schema_prop_at(s, id)->values == NULL)
        return false;
    Dict *values = schema_prop_at(s, id)->values;
    const uint32_t before = dict_count(values);
    return dict_add(values, text) == before + 1;
}

static bool load_text(Dict *d, Str *from, bool is_actor)
{
    Str text;
    const uint32_t before = dict_count(d);
    return take_text(from, &text) && (!is_actor || str_index(text, '\0', 0) > 0) &&
           dict_add(d, text) == before + 1;
}

static bool load_entry(Schema *s, Str *from)
{
    const char kind = from->ptr[0];
    *from = str_slice(*from, 1, from->len);
    switch (kind) {
    case 'E':
        return load_text(s->events, from, false);
    case 'P':
        return load_prop(s, from);
    case 'V':
        return load_value(s, from);
    case 'A':
        return load_text(s->actors, from, true);
    default:
        return false;
    }
}

Err schema_load(Ctx *ctx, Schema *s, Str bytes)
{
    while (bytes.len > 0) {
        uint32_t length = 0, crc = 0;
        bool good = take_u32(&bytes, &length) && take_u32(&bytes, &crc) && length <= bytes.len;
        Str record = good ? str_slice(bytes, 0, length) : STR("");
        good = good && crc32c_add(0, record) == crc;
        bytes = str_slice(bytes, length, bytes.len);
        while (good && record.len > 0)
            good = load_entry(s, &record);
        if (!good)
            return fail(ctx, ERR_INTERNAL, "events.names_damaged", "%zu bytes left", bytes.len);
    }
    s->saved_events = dict_count(s->events);
    s->saved_props = dict_count(s->props);
    s->saved_actors = dict_count(s->actors);
    for (uint32_t id = 0; id < PROP_FIRST + dict_count(s->props); id++)
        if (schema_prop_at(s, id)->values != NULL)
            schema_prop_at(s, id)->saved_values = dict_count(schema_prop_at(s, id)->values);
    return ERR_OK;
}
