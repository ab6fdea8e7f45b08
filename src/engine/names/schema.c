/*
 * engine/names/schema.c
 */
#include "engine/names/schema_inside.h"

#include "base/rand.h"
#include "engine/core/dict_find.h"

#include <stdlib.h>

/*
 * pairs: with the columns that every list has, and two of a list of texts, 255 lists stay below PART_COLUMNS_MAX.
 * event_props: as many as one event may bring, with its context; a list's columns are as long as the list,
 *     so that this also says how much longer a row can be than what arrived.
 * list_fields: twice as many as one record may bring.
 * costs: together 2 GiB; one property cannot take the room of the others.
 */
const SchemaLimits SCHEMA_LIMITS = {
    .events = SCHEMA_EVENTS_MAX,
    .props = SCHEMA_PROPS_MAX,
    .event_props = 2 * EVENT_PROPS_MAX,
    .list_fields = 2 * EVENT_FIELDS_MAX,
    .pairs = 49152,
    .values = 1 << 22,
    .values_cost = UINT64_C(256) << 20,
    .all_cost = UINT64_C(1) << 30,
    .actors_cost = UINT64_C(1) << 30,
    .links = DICT_COUNT_MAX, /* of actors: a tree needs no more */
};
enum { LIST_COLUMNS_MAX = PROP_FIRST }; /* of a list, besides those of its pairs */
_Static_assert(2 * 49152 + PART_LISTS_MAX * LIST_COLUMNS_MAX <= PART_COLUMNS_MAX,
               "columns of a part");

static void make_pairs(Pairs *p, const SchemaLimits *limits)
{
    p->slot_count = 1;
    while (p->slot_count < 2 * limits->pairs)
        p->slot_count *= 2;
    p->slots = calloc(p->slot_count, sizeof *p->slots);
    p->in_order = calloc((size_t)limits->pairs + 1, sizeof *p->in_order);
    p->of_event = calloc((size_t)limits->events + 1, sizeof *p->of_event);
    p->seed = rand_u64();
    CHECK(p->slots != NULL && p->in_order != NULL && p->of_event != NULL);
}

Schema *schema_new(const SchemaLimits *limits)
{
    Schema *s = calloc(1, sizeof *s);
    CHECK(s != NULL && limits->props <= SCHEMA_PROPS_MAX && limits->events <= SCHEMA_EVENTS_MAX &&
          limits->event_props <= UINT16_MAX && limits->pairs <= SCHEMA_LIMITS.pairs);
    s->limits = *limits;
    make_pairs(&s->pairs, limits);
    s->events = dict_new(limits->events, UINT64_MAX);
    s->props = dict_new(limits->props, UINT64_MAX);
    s->actors = dict_new(DICT_COUNT_MAX, limits->actors_cost);
    s->persons = persons_new(limits->links);
    for (uint32_t i = 0; i < PROP_FIRST; i++)
        s->builtin[i].id = i;
    s->builtin[PROP_SOURCE].values = dict_new(limits->values, limits->values_cost);
    s->builtin[PROP_STORE].values = dict_new(limits->values, limits->values_cost);
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
    persons_free(s->persons);
    free(s->pairs.in_order);
    free(s->pairs.slots);
    free(s->pairs.of_event);
    free(s);
}

/* ---- numbers ------------------------------------------------------------------------------------ */

uint32_t schema_event(Schema *s, Str name)
{
    return dict_add(s->events, name);
}

enum { PROP_KEY_BYTES = 1 + sizeof(uint32_t) + EVENT_NAME_BYTES_MAX };

size_t schema_key_head(SchemaSpace space)
{
    return 1 + (space == SCHEMA_FIELD ? sizeof(uint32_t) : 0);
}

/* In a place of the caller's. */
static Str prop_key(PropKey key, char dst[PROP_KEY_BYTES])
{
    const size_t head = schema_key_head(key.space);
    CHECK(key.name.len <= EVENT_NAME_BYTES_MAX);
    dst[0] = (char)key.space;
    if (key.space == SCHEMA_FIELD)
        memcpy(dst + 1, &key.list, sizeof key.list);
    if (key.name.len > 0)
        memcpy(dst + head, key.name.ptr, key.name.len);
    return (Str){dst, key.name.len + head};
}

static void set_type(Schema *s, SchemaProp *p, EventType type)
{
    p->type = type;
    if ((type == EVENT_TEXT || type == EVENT_TEXTS) && p->values == NULL)
        p->values = dict_new(s->limits.values, s->limits.values_cost);
}

static SchemaProp *new_prop(Schema *s, uint32_t number, PropKey key, EventType type)
{
    SchemaProp **shelf = &s->shelf[(number - 1) / 256];
    if (*shelf == NULL) {
        *shelf = calloc(256, sizeof **shelf);
        CHECK(*shelf != NULL);
    }
    SchemaProp *p = &(*shelf)[(number - 1) % 256];
    const Str text = dict_text(s->props, number);
    *p = (SchemaProp){.id = PROP_FIRST + number - 1,
                      .name = text.len == 0 ? STR("")
                                            : str_slice(text, schema_key_head(key.space), text.len),
                      .space = key.space,
                      .list = key.list};
    set_type(s, p, type);
    return p;
}

SchemaProp *schema_find_or_make(Schema *s, PropKey key, EventType type, bool *is_new)
{
    char bytes[PROP_KEY_BYTES];
    const uint32_t before = dict_count(s->props);
    const uint32_t number = dict_add(s->props, prop_key(key, bytes));
    *is_new = number > before;
    if (number == 0)
        return NULL;
    return *is_new ? new_prop(s, number, key, type) : schema_prop_at(s, PROP_FIRST + number - 1);
}

SchemaProp *schema_add_forgotten_prop(Schema *s, PropKey key, EventType type)
{
    const uint32_t number = dict_add_forgotten(s->props);
    return number == 0 ? NULL : new_prop(s, number, key, type);
}

SchemaProp *schema_prop(Schema *s, SchemaSpace space, Str name, EventType type)
{
    bool is_new = false;
    return schema_find_or_make(s, (PropKey){space, 0, name}, type, &is_new);
}

bool schema_fields_are_full(const Schema *s, const SchemaProp *list)
{
    return list->fields >= s->limits.list_fields;
}

SchemaProp *schema_field(Schema *s, SchemaProp *list, Str name, EventType type)
{
    bool is_new = false;
    if (schema_fields_are_full(s, list))
        return schema_find_field(s, list, name);
    SchemaProp *p = schema_find_or_make(s, (PropKey){SCHEMA_FIELD, list->id, name}, type, &is_new);
    list->fields += is_new;
    return p;
}

bool schema_list_becomes(Schema *s, SchemaProp *list, EventType type)
{
    if (list->fields > 0 || (list->values != NULL && dict_count(list->values) > 0))
        return false;
    set_type(s, list, type);
    return true;
}

/* The slot that holds the pair, or the empty one where it belongs. */
static uint32_t *pair_slot(const Pairs *p, uint64_t pair)
{
    const uint32_t mask = p->slot_count - 1;
    uint32_t slot = (uint32_t)hash_u64(pair, p->seed) & mask;
    while (p->slots[slot] != 0 && p->in_order[p->slots[slot] - 1] != pair)
        slot = (slot + 1) & mask;
    return &p->slots[slot];
}

bool schema_add_pair(Schema *s, uint32_t event, uint32_t prop)
{
    Pairs *p = &s->pairs;
    const uint64_t pair = (uint64_t)event << 32 | prop;
    uint32_t *slot = pair_slot(p, pair);
    if (*slot != 0)
        return true;
    if (p->count == s->limits.pairs || p->of_event[event] == s->limits.event_props)
        return false;
    p->in_order[p->count++] = pair;
    p->of_event[event]++;
    *slot = p->count;
    return true;
}

bool schema_pair(Schema *s, uint32_t event, const SchemaProp *prop)
{
    return schema_add_pair(s, event, prop->id);
}

uint32_t schema_new_code(Schema *s, Dict *values, const DictKey *text)
{
    if (text->text.len + DICT_TEXT_COST > s->limits.all_cost - s->values_cost)
        return 0;
    const uint64_t before = dict_cost(values);
    const uint32_t code = dict_add_key(values, text);
    s->values_cost += dict_cost(values) - before;
    return code;
}

/* What is known is found also when the texts of all properties have no room for another. */
uint32_t schema_code(Schema *s, uint32_t prop, Str text)
{
    Dict *values = schema_prop_at(s, prop)->values;
    const DictKey key = dict_key(values, text);
    const uint32_t known = dict_find_key(values, &key);
    return known != 0 ? known : schema_new_code(s, values, &key);
}

/* Kinds hold no NUL, so the key says both parts. */
static Str actor_key(EventActor actor, char *dst)
{
    memcpy(dst, actor.kind.ptr, actor.kind.len);
    dst[actor.kind.len] = '\0';
    memcpy(dst + actor.kind.len + 1, actor.value.ptr, actor.value.len);
    return (Str){dst, actor.kind.len + 1 + actor.value.len};
}

bool schema_actor_of_key(Schema *s, const DictKey *key, uint32_t *out)
{
    *out = 0;
    if (key->text.len == 0)
        return true;
    const uint32_t known = dict_find_key(s->actors, key);
    const uint32_t number = known != 0 ? known : dict_add_key(s->actors, key);
    *out = number == 0 ? 0 : schema_person_of(number);
    return number != 0;
}

bool schema_actor(Schema *s, EventActor actor, uint32_t *out)
{
    char room[SCHEMA_KEY_BYTES];
    const DictKey key = schema_actor_key(s, actor, room);
    return schema_actor_of_key(s, &key, out);
}

DictKey schema_actor_key(const Schema *s, EventActor actor, char *room)
{
    const bool is_nobody = event_actor_is_nobody(actor);
    return dict_key(s->actors, is_nobody ? STR("") : actor_key(actor, room));
}

const Dict *schema_actors(const Schema *s)
{
    return s->actors;
}

uint32_t schema_find_actor(const Schema *s, EventActor actor)
{
    char room[SCHEMA_KEY_BYTES];
    const DictKey key = schema_actor_key(s, actor, room);
    const uint32_t number = key.text.len == 0 ? 0 : dict_find_key(s->actors, &key);
    return number == 0 ? 0 : schema_person_of(number);
}

Persons *schema_persons(const Schema *s)
{
    return s->persons;
}

bool schema_change(Schema *s, PersonsChange change)
{
    if (!persons_change(s->persons, change))
        return false;
    if (change.kind == PERSONS_ERASE)
        dict_forget(s->actors, schema_actor_number(change.a));
    return true;
}

/* ---- finding ------------------------------------------------------------------------------------ */

uint32_t schema_find_event(const Schema *s, Str name)
{
    return dict_find(s->events, name);
}

static SchemaProp *find_prop(const Schema *s, PropKey key)
{
    char bytes[PROP_KEY_BYTES];
    if (key.name.len > EVENT_NAME_BYTES_MAX)
        return NULL;
    const uint32_t number = dict_find(s->props, prop_key(key, bytes));
    return number == 0 ? NULL : schema_prop_at(s, PROP_FIRST + number - 1);
}

SchemaProp *schema_find_prop(const Schema *s, SchemaSpace space, Str name)
{
    return find_prop(s, (PropKey){space, 0, name});
}

SchemaProp *schema_find_field(const Schema *s, const SchemaProp *list, Str name)
{
    return find_prop(s, (PropKey){SCHEMA_FIELD, list->id, name});
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
    return schema_prop_at(s, prop)->name;
}

Str schema_text(const Schema *s, uint32_t prop, uint32_t code)
{
    return dict_text(schema_prop_at(s, prop)->values, code);
}

EventActor schema_actor_of(const Schema *s, uint32_t person)
{
    if (person < PART_BLOCK_PERSONS)
        return (EventActor){STR(""), STR("")};
    const Str key = dict_text(s->actors, schema_actor_number(person));
    if (key.len == 0) /* erased */
        return (EventActor){STR(""), STR("")};
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
    return bytes + s->pairs.slot_count * sizeof *s->pairs.slots +
           s->limits.pairs * sizeof *s->pairs.in_order + persons_bytes(s->persons);
}
