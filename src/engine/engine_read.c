/*
 * engine/engine_read.c -- records to what is applied: each byte is looked at once, and what an event needs of tables
 * that are larger than the caches is fetched for some of them before the first one is applied.
 *
 * A value goes from the record's bytes to its property without a look-up where the events of its name had that property
 * before (Shape), and its text becomes a key at once.  The format is docs/formats/events.md.
 */
#include "engine/engine_inside.h"

/* ---- values --------------------------------------------------------------------------------------- */

static inline void want(Group *g, const Dict *in, const DictKey *key)
{
    if (!dict_is_large(in) || g->wanted_count == GROUP_WANTED)
        return;
    dict_near(in, key->hash, DICT_SLOT);
    g->wanted[g->wanted_count++] = (Wanted){in, key->hash};
    g->steps = key->text.len > DICT_NEAR_BYTES ? DICT_STEPS : g->steps;
}

static inline void read_text(Group *g, Rest *r, Value *v)
{
    const Str text = rest_text(r);
    const Dict *in = v->prop == NULL ? NULL : v->prop->values;
    if (in == NULL) {
        v->text.text = text;
        return;
    }
    v->text = dict_key_padded(in, text);
    want(g, in, &v->text);
}

/* Gives what is left, as rest_list(): so the rest stays in registers. */
static Rest read_list(Group *g, Rest r, Value *v)
{
    EventProp *list = ARENA_NEW(g->arena, EventProp);
    list->name = v->prop == NULL ? v->name : v->prop->name;
    list->type = v->type;
    v->list = list;
    return rest_list(r, g->arena, list);
}

/* A value behind its type. */
static inline void read_value(Group *g, Rest *r, Value *v)
{
    switch (v->type) {
    case EVENT_TEXT:
        read_text(g, r, v);
        return;
    case EVENT_TEXTS:
    case EVENT_ITEMS:
        *r = read_list(g, *r, v);
        return;
    case EVENT_BOOL:
        v->number = rest_byte(r);
        return;
    case EVENT_NUMBER:
        v->number = rest_number(r);
        v->scale = rest_byte(r);
        return;
    case EVENT_MONEY:
    case EVENT_TIME:
        v->number = rest_number(r);
        return;
    case EVENT_NONE:
    case EVENT_TYPE_COUNT:
        return;
    }
}

/* The property that comes next, when it begins as one of the shape does; *near as shape_find(). */
static inline SchemaProp *read_known(Rest *r, const Shape *shape, uint32_t *near, SchemaSpace space)
{
    enum { TRIES = 2 }; /* one may be missing */
    uint64_t low, high;
    memcpy(&low, r->at, sizeof low);
    memcpy(&high, r->at + sizeof low, sizeof high);
    for (uint32_t at = *near; at < shape->count && at < *near + TRIES; at++) {
        const ShapeMark *m = &shape->marks[at];
        if ((((low ^ m->low) & m->low_mask) | ((high ^ m->high) & m->high_mask)) != 0 ||
            m->bytes > r->end - r->at || shape->props[at]->space != space)
            continue;
        r->at += m->bytes;
        *near = at + 1;
        return shape->props[at];
    }
    return NULL;
}

/* What the property is called, of which type it is, and which one it is. */
static inline void read_prop(Rest *r, const Shape *shape, uint32_t *near, SchemaSpace space,
                             Value *v)
{
    v->prop = shape == NULL ? NULL : read_known(r, shape, near, space);
    if (v->prop != NULL) {
        v->type = v->prop->type;
        return;
    }
    v->name = rest_text(r);
    v->type = (EventType)rest_byte(r);
    v->prop = shape == NULL ? NULL : shape_find(shape, near, space, v->name);
}

/* One at least, as out->count says.  Gives what is left. */
static Rest read_some(Group *g, Rest r, const Shape *shape, SchemaSpace space, Values *out)
{
    uint32_t near = 0;
    out->at = (void *)arena_bytes(g->arena, out->count * sizeof *out->at);
    for (Value *v = out->at, *end = v + out->count; v < end; v++) {
        read_prop(&r, shape, &near, space, v);
        read_value(g, &r, v);
    }
    return r;
}

/* `shape` NULL: nothing is known of the event's name.  Gives what is left.  Most events have no context. */
static inline Rest read_values(Group *g, Rest r, const Shape *shape, SchemaSpace space, Values *out)
{
    *out = (Values){.count = rest_count(&r)};
    return out->count == 0 ? r : read_some(g, r, shape, space, out);
}

/* ---- one record ----------------------------------------------------------------------------------- */

/* As schema_actor_key(), of texts behind which DICT_PADDING bytes may be read. */
static DictKey actor_key(const Engine *e, Group *g, EventActor who, char near[DICT_PADDING])
{
    const Dict *actors = schema_actors(e->schema);
    const size_t len = who.kind.len + 1 + who.value.len;
    if (event_actor_is_nobody(who) || len > DICT_NEAR_BYTES)
        return schema_actor_key(e->schema, who, arena_bytes(g->arena, len));
    const DictWords kind = dict_words(who.kind.ptr, who.kind.len);
    const DictWords value =
        dict_words_behind(dict_words(who.value.ptr, who.value.len), who.kind.len + 1);
    const DictWords both = {kind.low | value.low, kind.high | value.high};
    memcpy(near, &both, sizeof both);
    return dict_near_key(actors, (Str){near, len}, both.low, both.high | (uint64_t)len << 56);
}

static inline const Shape *shape_at(const Engine *e, uint32_t event)
{
    return event < e->shape_count ? &e->shapes[event] : NULL;
}

/* What stands behind the two times; gives what is left. */
static inline Rest read_event(Engine *e, Group *g, Rest r, Coming *c)
{
    const bool is_person = c->kind == EVENT_PERSON;
    const Dict *events = schema_texts(e->schema, PROP_EVENT);
    const Shape *shape = NULL;
    const char *id_from = (const char *)r.at;
    c->source = rest_text(&r);
    (void)rest_text(&r);
    c->id_bytes = (Str){id_from, (size_t)((const char *)r.at - id_from)};
    const DictKey name = dict_key_padded(events, rest_text(&r));
    EventActor who;
    who.kind = rest_text(&r);
    who.value = rest_text(&r);
    c->store = dict_key_padded(schema_texts(e->schema, PROP_STORE), rest_text(&r));
    c->actor = actor_key(e, g, who, c->near_actor);
    if (c->actor.text.len > 0)
        want(g, schema_actors(e->schema), &c->actor);
    c->name = name.text;
    c->event = is_person ? PART_PERSON : dict_find_key(events, &name);
    if (is_person || c->event != 0)
        shape = shape_at(e, c->event);
    r = read_values(g, r, shape, is_person ? SCHEMA_PERSON : SCHEMA_EVENT, &c->props);
    return read_values(g, r, shape, SCHEMA_CONTEXT, &c->context);
}

/* Links and the like, whole. */
static void read_change(Group *g, Str bytes, Coming *c)
{
    size_t used = 0;
    Event *change = ARENA_NEW(g->arena, Event);
    CHECK(event_decode_checked(bytes, g->arena, change, &used));
    c->change = change;
}

/* The record at the start of `bytes`; its bytes.  What has no week needs no more than its times. */
static size_t read_record(Engine *e, Group *g, Str bytes, Coming *c)
{
    size_t used = 0;
    Rest r = rest_open(bytes, &used);
    c->kind = (EventKind)rest_byte(&r);
    c->change = NULL;
    if (!engine_has_row(c->kind)) {
        read_change(g, bytes, c);
        return used;
    }
    c->time_ms = rest_number(&r);
    c->received_ms = (int64_t)((uint64_t)c->time_ms + (uint64_t)rest_number(&r));
    c->why = engine_find_week(e, c->time_ms, c->received_ms, &c->week);
    if (c->why != ASIDE_NOT || !engine_has_filter(c->week))
        return used;
    r = read_event(e, g, r, c);
    CHECK(rest_is_done(&r)); /* the log has checked it */
    return used;
}

/* ---- many at once --------------------------------------------------------------------------------- */

/* Where the ids will be looked for comes near. */
static void have_ids(Coming *const *of, const uint64_t *hashes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        Coming *c = of[i];
        c->id = hashes[i] == 0 ? 1 : hashes[i];
        recent_ids_near(&c->week->recent, c->id);
        recent_ids_near(&c->week->flushing, c->id);
        recent_ids_near(&c->week->stand_in, c->id);
        id_filter_near(&c->week->filter, c->id);
    }
}

/* One behind the other they would wait for each other. */
static void find_ids(const Engine *e, Group *g)
{
    SiphashLanes lanes;
    Coming *of[SIPHASH_LANES];
    uint64_t hashes[SIPHASH_LANES];
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->count; i++) {
        Coming *c = &g->at[i];
        if (c->change != NULL || c->why != ASIDE_NOT)
            continue;
        of[n] = c;
        if (!siphash_put(&lanes, n, c->id_bytes)) {
            have_ids(of + n, &(uint64_t){engine_id_of(e, c->id_bytes)}, 1);
            continue;
        }
        if (++n < SIPHASH_LANES)
            continue;
        siphash_lanes_13(e->key, &lanes, n, hashes);
        have_ids(of, hashes, n);
        n = 0;
    }
    siphash_lanes_13(e->key, &lanes, n, hashes);
    have_ids(of, hashes, n);
}

void engine_read_group(Engine *e, Str *left, uint32_t most, Group *g)
{
    const size_t from = left->len;
    g->count = g->wanted_count = 0;
    g->lacks = NULL;
    g->steps = DICT_TEXT;
    arena_reset(g->arena);
    while (g->count < most && g->count < GROUP_EVENTS && from - left->len < GROUP_BYTES) {
        Coming *c = &g->at[g->count];
        const size_t used = read_record(e, g, *left, c);
        if (g->count > 0 && (c->change != NULL || g->at[0].change != NULL))
            break;
        if (c->change == NULL && c->why == ASIDE_NOT && !engine_has_filter(c->week)) {
            g->lacks = c->week;
            break;
        }
        *left = (Str){left->ptr + used, left->len - used};
        c->bytes = used;
        g->count++;
    }
    find_ids(e, g);
}

void engine_fetch_group(const Group *g)
{
    for (DictStep step = DICT_PLACE; step < g->steps; step++)
        for (uint32_t i = 0; i < g->wanted_count; i++)
            dict_near(g->wanted[i].in, g->wanted[i].hash, step);
}
