/*
 * engine/names/schema_file.c -- names into their file, and from it.
 */
#include "engine/names/schema_inside.h"

#include "engine/core/dict_find.h"

#include "events/crc32c.h"

#include <stdlib.h>

/* ---- saving ------------------------------------------------------------------------------------- */
/*
 * A record: u32 bytes, u32 checksum of them, then entries of one kind byte and its fields:
 *   'E' text               the next event name; an empty one was forgotten
 *   'P' type, text         the next property (its space stands in front of its name, which is empty when forgotten)
 *   'T' u32 property, type that list has this type now
 *   'V' u32 property, text the next value of that property
 *   'F' u32 property       the next one, which was forgotten
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

size_t schema_begin_record(Buf *out)
{
    const size_t start = out->len;
    add_u32(out, 0);
    add_u32(out, 0);
    return start;
}

void schema_end_record(Buf *out, size_t start)
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
    const size_t start = schema_begin_record(out);
    for (uint32_t i = 0; i < count; i++) {
        buf_add_char(out, (char)changes[i].kind);
        add_u32(out, changes[i].a);
        add_u32(out, changes[i].b);
    }
    schema_end_record(out, start);
    persons_forget_new(s->persons);
}

void schema_save_new(Schema *s, Buf *out)
{
    const size_t start = schema_begin_record(out);
    save_dict(out, s->events, 'E', &s->saved_events);
    save_types(s, out);
    save_props(s, out);
    for (uint32_t id = 0; id < PROP_FIRST + dict_count(s->props); id++)
        save_values(out, schema_prop_at(s, id));
    save_pairs(out, &s->pairs);
    save_dict(out, s->actors, 'A', &s->saved_actors);
    schema_end_record(out, start);
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
    const size_t head = schema_key_head(out->space);
    if (key.len < head || key.len > head + EVENT_NAME_BYTES_MAX)
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
    if (key.name.len == 0)
        is_new = schema_add_forgotten_prop(s, key, type) != NULL;
    else
        (void)schema_find_or_make(s, key, type, &is_new);
    if (is_new && key.space == SCHEMA_FIELD)
        schema_prop_at(s, key.list)->fields++;
    return is_new;
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
    return event_type_is_list(type) && event_type_is_list(p->type) &&
           schema_list_becomes(s, p, type);
}

/* NULL: there is no such property, or it has no texts. */
static Dict *take_values(const Schema *s, Str *from)
{
    uint32_t id = 0;
    const bool good = take_u32(from, &id) && id < PROP_FIRST + dict_count(s->props);
    return good ? schema_prop_at(s, id)->values : NULL;
}

static bool load_forgotten(Schema *s, Str *from)
{
    Dict *values = take_values(s, from);
    if (values == NULL || dict_add_forgotten(values) == 0)
        return false;
    s->values_cost += DICT_TEXT_COST;
    return true;
}

static bool load_value(Schema *s, Str *from)
{
    Str text;
    Dict *values = take_values(s, from);
    if (values == NULL || !take_text(from, &text))
        return false;
    const DictKey key = dict_key(values, text);
    return dict_find_key(values, &key) == 0 && schema_new_code(s, values, &key) != 0;
}

static bool load_pair(Schema *s, Str *from)
{
    uint32_t event = 0, prop = 0;
    const uint32_t before = s->pairs.count;
    return take_u32(from, &event) && take_u32(from, &prop) && event <= dict_count(s->events) &&
           prop >= PROP_FIRST && prop < PROP_FIRST + dict_count(s->props) &&
           schema_add_pair(s, event, prop) && s->pairs.count == before + 1;
}

static bool load_event(Schema *s, Str *from)
{
    Str text;
    const uint32_t before = dict_count(s->events);
    if (!take_text(from, &text))
        return false;
    const uint32_t number =
        text.len == 0 ? dict_add_forgotten(s->events) : dict_add(s->events, text);
    return number == before + 1;
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

static bool take_actor(const Dict *actors, Str *from, DictKey *out)
{
    Str key;
    if (!take_text(from, &key) || (key.len > 0 && str_index(key, '\0', 0) <= 0))
        return false;
    *out = dict_key(actors, key);
    dict_near(actors, out->hash, DICT_SLOT);
    return true;
}

static bool add_actor(Loading *l, const DictKey *actor)
{
    Dict *actors = l->schema->actors;
    const uint32_t before = dict_count(actors);
    if (actor->text.len > 0) {
        const uint32_t known = dict_find_key(actors, actor);
        if (known == 0)
            return dict_add_key(actors, actor) != 0;
        keep_again(l, (Again){known, before + 1, actor->text});
    }
    return dict_add_forgotten(actors) == before + 1;
}

/* Actors behind each other are looked up together, so that their cache misses overlap. */
static bool load_actors(Loading *l, Str *from)
{
    enum { AT_ONCE = 64 };
    DictKey actors[AT_ONCE];
    uint32_t count = 0;
    do {
        *from = str_slice(*from, 1, from->len);
        if (!take_actor(l->schema->actors, from, &actors[count++]))
            return false;
    } while (count < AT_ONCE && from->len > 0 && from->ptr[0] == 'A');
    for (uint32_t i = 0; i < count; i++)
        if (!add_actor(l, &actors[i]))
            return false;
    return true;
}

/* A still later one came behind an erasure of this one that was not saved: the log says it again. */
static void recall_key(Schema *s, const Again *a)
{
    const uint32_t later = dict_find(s->actors, a->key);
    if (later != 0) {
        CHECK(
            persons_change(s->persons, (PersonsChange){PERSONS_ERASE, schema_person_of(later), 0}));
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
        const uint32_t fresh = schema_person_of(a->fresh);
        if (persons_of(persons, schema_person_of(a->old)) != 0)
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
    if (kind == 'A')
        return load_actors(l, from);
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
    case 'F':
        return load_forgotten(s, from);
    case 'C':
        return load_pair(s, from);
    default:
        return false;
    }
}

bool schema_take_record(Str *from, Str *out)
{
    uint32_t length = 0, crc = 0;
    if (!take_u32(from, &length) || !take_u32(from, &crc) || length > from->len)
        return false;
    *out = str_slice(*from, 0, length);
    *from = str_slice(*from, length, from->len);
    return crc32c_add(0, *out) == crc;
}

static Err load_records(Ctx *ctx, Loading *l, Str bytes)
{
    while (bytes.len > 0) {
        Str record;
        bool good = schema_take_record(&bytes, &record);
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
