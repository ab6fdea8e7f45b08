/*
 * engine/schema.c
 */
#include "engine/schema.h"

#include "base/hash.h"
#include "base/rand.h"
#include "events/crc32c.h"

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

/* Event names and the properties that they have: a set, and in the order of arrival. */
typedef struct Pairs {
    uint64_t *in_order; /* event << 32 | property */
    uint32_t *slots;    /* place + 1, 0 = empty; twice as many as the limit at least */
    uint32_t count, saved, slot_count;
    uint64_t seed;
    uint16_t *of_event; /* event -> how many */
} Pairs;

struct Schema {
    SchemaLimits limits;
    Pairs pairs;
    uint64_t values_cost; /* of the texts of all properties */
    uint64_t saved_cost;  /* of everything, when it was saved last */
    Dict *events, *props, *actors;
    Persons *persons;
    SchemaProp builtin[PROP_FIRST];            /* PROP_SOURCE and PROP_STORE have texts */
    SchemaProp *shelf[SCHEMA_PROPS_MAX / 256]; /* never move */
    uint32_t saved_events, saved_props, saved_actors;
};

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

/* A property's key: its space, of a field also its list, and its name. */
typedef struct PropKey {
    SchemaSpace space;
    uint32_t list;
    Str name;
} PropKey;

enum { PROP_KEY_BYTES = 1 + sizeof(uint32_t) + EVENT_NAME_BYTES_MAX };

static size_t head_bytes(SchemaSpace space)
{
    return 1 + (space == SCHEMA_FIELD ? sizeof(uint32_t) : 0);
}

/* In a place of the caller's. */
static Str prop_key(PropKey key, char dst[PROP_KEY_BYTES])
{
    const size_t head = head_bytes(key.space);
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
                      .name = str_slice(text, head_bytes(key.space), text.len),
                      .space = key.space,
                      .list = key.list};
    set_type(s, p, type);
    return p;
}

static SchemaProp *find_or_make(Schema *s, PropKey key, EventType type, bool *is_new)
{
    char bytes[PROP_KEY_BYTES];
    const uint32_t before = dict_count(s->props);
    const uint32_t number = dict_add(s->props, prop_key(key, bytes));
    *is_new = number > before;
    if (number == 0)
        return NULL;
    return *is_new ? new_prop(s, number, key, type) : schema_prop_at(s, PROP_FIRST + number - 1);
}

SchemaProp *schema_prop(Schema *s, SchemaSpace space, Str name, EventType type)
{
    bool is_new = false;
    return find_or_make(s, (PropKey){space, 0, name}, type, &is_new);
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
    SchemaProp *p = find_or_make(s, (PropKey){SCHEMA_FIELD, list->id, name}, type, &is_new);
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

static bool add_pair(Schema *s, uint32_t event, uint32_t prop)
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
    return add_pair(s, event, prop->id);
}

/* What is known is found also when the texts of all properties have no room for another. */
static uint32_t add_value(Schema *s, Dict *values, Str text, uint64_t hash)
{
    const uint32_t known = dict_find_hashed(values, text, hash);
    if (known != 0 || text.len + DICT_TEXT_COST > s->limits.all_cost - s->values_cost)
        return known;
    const uint64_t before = dict_cost(values);
    const uint32_t code = dict_add_hashed(values, text, hash);
    s->values_cost += dict_cost(values) - before;
    return code;
}

uint32_t schema_code(Schema *s, uint32_t prop, Str text)
{
    Dict *values = schema_prop_at(s, prop)->values;
    return add_value(s, values, text, dict_hash(values, text));
}

uint32_t schema_code_hashed(Schema *s, SchemaProp *prop, Str text, uint64_t hash)
{
    return add_value(s, prop->values, text, hash);
}

/* Kinds hold no NUL, so the key says both parts. */
static Str actor_key(EventActor actor, char *dst)
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

bool schema_actor_of_key(Schema *s, const ActorKey *key, uint32_t *out)
{
    *out = 0;
    if (key->key.len == 0)
        return true;
    const uint32_t number = dict_add_hashed(s->actors, key->key, key->hash);
    *out = number == 0 ? 0 : person_of(number);
    return number != 0;
}

bool schema_actor(Schema *s, EventActor actor, uint32_t *out)
{
    char room[SCHEMA_KEY_BYTES];
    const ActorKey key = schema_actor_key(s, actor, room);
    return schema_actor_of_key(s, &key, out);
}

ActorKey schema_actor_key(const Schema *s, EventActor actor, char *room)
{
    if (event_actor_is_nobody(actor))
        return (ActorKey){{NULL, 0}, 0};
    const Str key = actor_key(actor, room);
    return (ActorKey){key, dict_hash(s->actors, key)};
}

const Dict *schema_actors(const Schema *s)
{
    return s->actors;
}

uint32_t schema_find_actor(const Schema *s, EventActor actor)
{
    char room[SCHEMA_KEY_BYTES];
    const ActorKey key = schema_actor_key(s, actor, room);
    const uint32_t number = key.key.len == 0 ? 0 : dict_find_hashed(s->actors, key.key, key.hash);
    return number == 0 ? 0 : person_of(number);
}

Persons *schema_persons(const Schema *s)
{
    return s->persons;
}

static uint32_t actor_number(uint32_t person)
{
    return person - PART_BLOCK_PERSONS + 1;
}

bool schema_change(Schema *s, PersonsChange change)
{
    if (!persons_change(s->persons, change))
        return false;
    if (change.kind == PERSONS_ERASE)
        dict_forget(s->actors, actor_number(change.a));
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
    const Str key = dict_text(s->actors, actor_number(person));
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

/* ---- saving ------------------------------------------------------------------------------------- */
/*
 * A record: u32 bytes, u32 checksum of them, then entries of one kind byte and its fields:
 *   'E' text               the next event name
 *   'P' type, text         the next property (its space stands in front of its name)
 *   'T' u32 property, type that list has this type now
 *   'V' u32 property, text the next value of that property
 *   'C' u32 event, u32 property   the next pair: events of this name have a column for it
 *   'A' text               the next actor (kind, NUL, value); an empty one was erased
 *   'L' 'U' u32, u32       two actors are one person, or no longer
 *   'X' u32, u32           an actor was erased; the second is 0
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

/* Lists that turned out to be of another type: before the fields that follow from it. */
static void save_types(Schema *s, Buf *out)
{
    for (uint32_t id = PROP_FIRST; id < PROP_FIRST + s->saved_props; id++) {
        SchemaProp *p = schema_prop_at(s, id);
        if (p->type == p->saved_type)
            continue;
        buf_add_char(out, 'T');
        add_u32(out, p->id);
        buf_add_char(out, (char)p->type);
        p->saved_type = p->type;
    }
}

static void save_props(Schema *s, Buf *out)
{
    for (; s->saved_props < dict_count(s->props); s->saved_props++) {
        buf_add_char(out, 'P');
        SchemaProp *p = schema_prop_at(s, PROP_FIRST + s->saved_props);
        buf_add_char(out, (char)p->type);
        p->saved_type = p->type;
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

static void save_pairs(Buf *out, Pairs *p)
{
    for (; p->saved < p->count; p->saved++) {
        buf_add_char(out, 'C');
        add_u32(out, (uint32_t)(p->in_order[p->saved] >> 32));
        add_u32(out, (uint32_t)p->in_order[p->saved]);
    }
}

/* No entry is longer than what it costs. */
static uint64_t all_cost(const Schema *s)
{
    return dict_cost(s->events) + dict_cost(s->props) + dict_cost(s->actors) + s->values_cost +
           (uint64_t)s->pairs.count * DICT_TEXT_COST;
}

uint64_t schema_new_bytes(const Schema *s)
{
    return all_cost(s) - s->saved_cost;
}

static size_t begin_record(Buf *out)
{
    const size_t start = out->len;
    add_u32(out, 0);
    add_u32(out, 0);
    return start;
}

/* An empty record is none. */
static void end_record(Buf *out, size_t start)
{
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

void schema_save_changes(Schema *s, Buf *out)
{
    uint32_t count = 0;
    const PersonsChange *changes = persons_new_changes(s->persons, &count);
    const size_t start = begin_record(out);
    for (uint32_t i = 0; i < count; i++) {
        buf_add_char(out, (char)changes[i].kind);
        add_u32(out, changes[i].a);
        add_u32(out, changes[i].b);
    }
    end_record(out, start);
    persons_forget_new(s->persons);
}

void schema_save_new(Schema *s, Buf *out)
{
    const size_t start = begin_record(out);
    save_dict(out, s->events, 'E', &s->saved_events);
    save_types(s, out);
    save_props(s, out);
    for (uint32_t id = 0; id < PROP_FIRST + dict_count(s->props); id++)
        save_values(out, schema_prop_at(s, id));
    save_pairs(out, &s->pairs);
    save_dict(out, s->actors, 'A', &s->saved_actors);
    end_record(out, start);
    s->saved_cost = all_cost(s);
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

/* A field's list has come before it. */
static bool load_key(Schema *s, Str key, PropKey *out)
{
    *out = (PropKey){.space = key.len == 0 ? SCHEMA_EVENT : (SchemaSpace)key.ptr[0]};
    const size_t head = head_bytes(out->space);
    if (key.len <= head || key.len > head + EVENT_NAME_BYTES_MAX)
        return false;
    out->name = str_slice(key, head, key.len);
    if (out->space != SCHEMA_FIELD)
        return true;
    memcpy(&out->list, key.ptr + 1, sizeof out->list);
    return out->list >= PROP_FIRST && out->list < PROP_FIRST + dict_count(s->props) &&
           schema_prop_at(s, out->list)->type == EVENT_ITEMS;
}

static bool load_prop(Schema *s, Str *from)
{
    Str text;
    PropKey key;
    bool is_new = false;
    if (from->len == 0)
        return false;
    const EventType type = (EventType)from->ptr[0];
    *from = str_slice(*from, 1, from->len);
    if (!take_text(from, &text) || type == EVENT_NONE || type >= EVENT_TYPE_COUNT ||
        !load_key(s, text, &key))
        return false;
    (void)find_or_make(s, key, type, &is_new);
    if (is_new && key.space == SCHEMA_FIELD)
        schema_prop_at(s, key.list)->fields++;
    return is_new;
}

static bool is_list(EventType type)
{
    return type == EVENT_TEXTS || type == EVENT_ITEMS;
}

static bool load_type(Schema *s, Str *from)
{
    uint32_t id = 0;
    if (!take_u32(from, &id) || from->len == 0 || id < PROP_FIRST ||
        id >= PROP_FIRST + dict_count(s->props))
        return false;
    const EventType type = (EventType)from->ptr[0];
    SchemaProp *p = schema_prop_at(s, id);
    *from = str_slice(*from, 1, from->len);
    return is_list(type) && is_list(p->type) && schema_list_becomes(s, p, type);
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
    return add_value(s, values, text, dict_hash(values, text)) == before + 1;
}

static bool load_pair(Schema *s, Str *from)
{
    uint32_t event = 0, prop = 0;
    const uint32_t before = s->pairs.count;
    return take_u32(from, &event) && take_u32(from, &prop) && event <= dict_count(s->events) &&
           prop >= PROP_FIRST && prop < PROP_FIRST + dict_count(s->props) &&
           add_pair(s, event, prop) && s->pairs.count == before + 1;
}

static bool load_event(Schema *s, Str *from)
{
    Str text;
    const uint32_t before = dict_count(s->events);
    return take_text(from, &text) && dict_add(s->events, text) == before + 1;
}

/* Whoever has the key of one who was erased since: the change that says so stands behind, if it was saved. */
typedef struct Again {
    uint32_t old, fresh;
    Str key;
} Again;

typedef struct Loading {
    Schema *schema;
    Again *again;
    uint32_t again_count, again_cap;
} Loading;

static void keep_again(Loading *l, Again again)
{
    if (l->again_count == l->again_cap) {
        l->again_cap = l->again_cap * 2 + 16;
        l->again = realloc(l->again, l->again_cap * sizeof *l->again);
        CHECK(l->again != NULL);
    }
    l->again[l->again_count++] = again;
}

static bool load_actor(Loading *l, Str *from)
{
    Str key;
    Dict *actors = l->schema->actors;
    const uint32_t before = dict_count(actors);
    if (!take_text(from, &key) || (key.len > 0 && str_index(key, '\0', 0) <= 0))
        return false;
    const uint32_t old = key.len == 0 ? 0 : dict_find(actors, key);
    if (key.len > 0 && old == 0)
        return dict_add(actors, key) == before + 1;
    if (old > 0)
        keep_again(l, (Again){old, before + 1, key});
    return dict_add_forgotten(actors) == before + 1;
}

/* A still later one came behind an erasure of this one that was not saved: the log says it again. */
static void recall_key(Schema *s, const Again *a)
{
    const uint32_t later = dict_find(s->actors, a->key);
    if (later != 0) {
        CHECK(persons_change(s->persons, (PersonsChange){PERSONS_ERASE, person_of(later), 0}));
        dict_forget(s->actors, later);
    }
    dict_recall(s->actors, a->fresh, a->key);
}

/* Of several with one key it belongs to the one that is left.  Where that is still the old one, the log will say
 * once more that it was erased: whoever came behind has no event yet, and will get another number. */
static void give_keys(Loading *l)
{
    Persons *persons = l->schema->persons;
    for (uint32_t i = 0; i < l->again_count; i++) {
        const Again *a = &l->again[i];
        const uint32_t fresh = person_of(a->fresh);
        if (persons_of(persons, person_of(a->old)) != 0)
            CHECK(persons_change(persons, (PersonsChange){PERSONS_ERASE, fresh, 0}));
        else if (persons_of(persons, fresh) != 0)
            recall_key(l->schema, a);
    }
}

static bool is_actor(const Schema *s, uint32_t number)
{
    return number >= PART_BLOCK_PERSONS && number < schema_person_count(s);
}

static bool load_change(Schema *s, PersonsKind kind, Str *from)
{
    PersonsChange c = {.kind = kind};
    return take_u32(from, &c.a) && take_u32(from, &c.b) && is_actor(s, c.a) &&
           (kind == PERSONS_ERASE ? c.b == 0 : is_actor(s, c.b)) && schema_change(s, c);
}

static bool load_entry(Loading *l, Str *from)
{
    Schema *s = l->schema;
    const char kind = from->ptr[0];
    *from = str_slice(*from, 1, from->len);
    switch (kind) {
    case PERSONS_LINK:
    case PERSONS_UNLINK:
    case PERSONS_ERASE:
        return load_change(s, (PersonsKind)kind, from);
    case 'E':
        return load_event(s, from);
    case 'P':
        return load_prop(s, from);
    case 'T':
        return load_type(s, from);
    case 'V':
        return load_value(s, from);
    case 'C':
        return load_pair(s, from);
    case 'A':
        return load_actor(l, from);
    default:
        return false;
    }
}

static Err load_records(Ctx *ctx, Loading *l, Str bytes)
{
    while (bytes.len > 0) {
        uint32_t length = 0, crc = 0;
        bool good = take_u32(&bytes, &length) && take_u32(&bytes, &crc) && length <= bytes.len;
        Str record = good ? str_slice(bytes, 0, length) : STR("");
        good = good && crc32c_add(0, record) == crc;
        bytes = str_slice(bytes, length, bytes.len);
        while (good && record.len > 0)
            good = load_entry(l, &record);
        if (!good)
            return fail(ctx, ERR_INTERNAL, "events.names_damaged", "%zu bytes left", bytes.len);
    }
    return ERR_OK;
}

Err schema_load(Ctx *ctx, Schema *s, Str bytes)
{
    Loading l = {.schema = s};
    const Err err = load_records(ctx, &l, bytes);
    persons_forget_new(s->persons);
    if (err == ERR_OK)
        give_keys(&l);
    free(l.again);
    TRY(err);
    s->saved_events = dict_count(s->events);
    s->saved_props = dict_count(s->props);
    s->saved_actors = dict_count(s->actors);
    s->pairs.saved = s->pairs.count;
    s->saved_cost = all_cost(s);
    for (uint32_t id = 0; id < PROP_FIRST + dict_count(s->props); id++) {
        SchemaProp *p = schema_prop_at(s, id);
        p->saved_type = p->type;
        p->saved_values = p->values == NULL ? 0 : dict_count(p->values);
    }
    return ERR_OK;
}
