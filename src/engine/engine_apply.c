/*
 * engine/engine_apply.c
 */
#include "engine/engine_inside.h"

#include "base/log.h"

#include <stdlib.h>

/* ---- has it come before ------------------------------------------------------------------------- */

Week *engine_week(Engine *e, int64_t week_ms)
{
    uint32_t low = 0, high = e->week_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (e->weeks[middle]->week_ms < week_ms)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < e->week_count && e->weeks[low]->week_ms == week_ms)
        return e->weeks[low];
    if (e->week_count >= e->o.weeks_max)
        return NULL;
    if (e->week_count == e->week_cap) {
        e->week_cap = e->week_cap == 0 ? 16 : e->week_cap * 2;
        e->weeks = realloc(e->weeks, e->week_cap * sizeof(Week *));
        CHECK(e->weeks != NULL);
    }
    Week *w = calloc(1, sizeof *w);
    CHECK(w != NULL);
    w->week_ms = week_ms;
    memmove(e->weeks + low + 1, e->weeks + low, (e->week_count - low) * sizeof(Week *));
    e->weeks[low] = w;
    e->week_count++;
    return w;
}

uint32_t engine_files_of(const Engine *e, int64_t week_ms, uint32_t *first)
{
    uint32_t low = 0, high = e->file_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (e->files[middle].part->head->week_ms < week_ms)
            low = middle + 1;
        else
            high = middle;
    }
    uint32_t n = 0;
    while (low + n < e->file_count && e->files[low + n].part->head->week_ms == week_ms)
        n++;
    *first = low;
    return n;
}

enum { FILTER_ROOM = 4096 };

/* Files of one week, shared: they stay when the keeper replaces them. */
typedef struct SharedFiles {
    FilePart *at;
    uint32_t count;
    uint64_t durable_seq; /* as it was with these files */
    bool moved;           /* rows of files may have their ids in any file before them */
} SharedFiles;

static SharedFiles share_files(Engine *e, int64_t week_ms)
{
    uint32_t first = 0;
    (void)pthread_mutex_lock(&e->lock);
    SharedFiles l = {.count = engine_files_of(e, week_ms, &first), .durable_seq = e->durable_seq};
    l.moved = e->durable_moved->generation > 0;
    l.at = calloc((size_t)l.count + 1, sizeof *l.at);
    CHECK(l.at != NULL);
    for (uint32_t i = 0; i < l.count; i++) {
        const FilePart *f = &e->files[first + i];
        l.at[i] =
            (FilePart){.part = part_ref(f->part), .ids = ids_share(&f->ids), .number = f->number};
    }
    (void)pthread_mutex_unlock(&e->lock);
    return l;
}

static void give_back(SharedFiles *l)
{
    for (uint32_t i = 0; i < l->count; i++)
        engine_file_close(&l->at[i]);
    free(l->at);
}

static void add_file(IdFilter *filter, const FilePart *f)
{
    f->part->ids_are_sound = ids_are_sound(&f->ids);
    if (!f->part->ids_are_sound) {
        atomic_store(&f->part->damaged, true);
        return;
    }
    uint64_t *hashes = malloc(((size_t)f->ids.head->count + 1) * sizeof *hashes);
    CHECK(hashes != NULL);
    ids_read(&f->ids, hashes);
    for (uint32_t i = 0; i < f->ids.head->count; i++)
        id_filter_add(filter, hashes[i]);
    free(hashes);
}

/* Twice as large as the files need. */
static IdFilter filter_over(const SharedFiles *l)
{
    IdFilter filter;
    uint64_t count = 0;
    for (uint32_t i = 0; i < l->count; i++)
        count += l->at[i].ids.head->count;
    id_filter_init(&filter, 2 * count + FILTER_ROOM);
    for (uint32_t i = 0; i < l->count; i++)
        add_file(&filter, &l->at[i]);
    return filter;
}

typedef struct StandIn {
    const Engine *e;
    RecentIds ids;
} StandIn;

static Err remember_id(Ctx *ctx, uint64_t seq, const Event *event, void *arg)
{
    (void)ctx;
    (void)seq;
    StandIn *s = arg;
    (void)recent_ids_add(&s->ids, engine_id_hash(s->e, event));
    return ERR_OK;
}

/* What the log says of the files whose ids are damaged, so that nothing of them comes in twice until they are
 * made again.  They may have those of what was written together with them, behind. */
static RecentIds stand_in_for(const Engine *e, const SharedFiles *l)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    StandIn s = {.e = e};
    for (uint32_t i = 0; i < l->count; i++) {
        const Part *p = l->at[i].part;
        if (p->ids_are_sound)
            continue;
        const uint32_t to = l->moved ? l->count : engine_group_of(l->at, l->count, i).to;
        const LogStretch to_group_end = {p->head->week_ms, p->head->from_seq,
                                         l->at[to - 1].part->head->to_seq};
        Err err = ERR_NOT_FOUND;
        if (e->o.log_folder.len > 0)
            err = engine_log_read(&ctx, e, &to_group_end, NULL, remember_id, &s);
        if (err != ERR_OK)
            LOG(LOG_ERROR, "events.ids_damaged", LOG_I64("file", (int64_t)p->number),
                LOG_C("note", "events of this file that come again come in twice"));
    }
    arena_free(ctx.arena);
    return s.ids;
}

static uint64_t durable_seq(Engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
    const uint64_t seq = e->durable_seq;
    (void)pthread_mutex_unlock(&e->lock);
    return seq;
}

/* Under `apply`, which is free while the ids of the week's files are read: that may take a second.  A merge
 * meanwhile makes no new ids; the ids of a flush that ended meanwhile are not in the filter: then it is made
 * anew, and that ends, because nothing is applied meanwhile. */
static void make_filter(Engine *e, Week *w)
{
    for (bool has_all = false; !has_all;) {
        SharedFiles l = share_files(e, w->week_ms);
        (void)pthread_mutex_unlock(&e->apply);
        IdFilter made = filter_over(&l);
        RecentIds stand_in = stand_in_for(e, &l);
        (void)pthread_mutex_lock(&e->apply);
        has_all = durable_seq(e) == l.durable_seq;
        give_back(&l);
        id_filter_free(has_all ? &w->filter : &made);
        recent_ids_free(has_all ? &w->stand_in : &stand_in);
        if (!has_all)
            continue;
        w->filter = made;
        w->stand_in = stand_in;
    }
}

static bool has_filter(const Week *w)
{
    return w->filter.lines != NULL && w->filter.count <= w->filter.cap;
}

static bool files_have(Engine *e, const Week *w, uint64_t hash)
{
    bool has = false;
    uint32_t first = 0;
    (void)pthread_mutex_lock(&e->lock);
    const uint32_t end = engine_files_of(e, w->week_ms, &first) + first;
    for (uint32_t i = first; i < end && !has; i++)
        has = e->files[i].part->ids_are_sound && ids_has(&e->files[i].ids, hash);
    (void)pthread_mutex_unlock(&e->lock);
    return has;
}

/* Source and id as one text: the source's length keeps them apart. */
uint64_t engine_id_hash(const Engine *e, const Event *event)
{
    char bytes[1 + EVENT_SOURCE_BYTES_MAX + EVENT_ID_BYTES_MAX];
    bytes[0] = (char)event->source.len;
    memcpy(bytes + 1, event->source.ptr, event->source.len);
    memcpy(bytes + 1 + event->source.len, event->id.ptr, event->id.len);
    const uint64_t hash = siphash(e->key, (Str){bytes, 1 + event->source.len + event->id.len});
    return hash == 0 ? 1 : hash;
}

/* False when it was there before. */
static bool is_new(Engine *e, Week *w, const Event *event)
{
    const uint64_t hash = engine_id_hash(e, event);
    if (recent_ids_has(&w->flushing, hash) || recent_ids_has(&w->stand_in, hash) ||
        (id_filter_may_have(&w->filter, hash) && files_have(e, w, hash)))
        return false;
    return recent_ids_add(&w->recent, hash);
}

/* ---- what has no place -------------------------------------------------------------------------- */

const char *engine_aside_text(EngineAside why)
{
    static const char *const texts[ENGINE_ASIDE_COUNT] = {
        [ENGINE_ASIDE_TIME] = "events too far from when they were received",
        [ENGINE_ASIDE_WEEKS] = "events of too many weeks",
        [ENGINE_ASIDE_NAMES] = "events of too many names",
        [ENGINE_ASIDE_ACTORS] = "events of too many actors",
        [ENGINE_ASIDE_PROPS] = "values of too many properties",
        [ENGINE_ASIDE_PAIRS] = "values of too many properties of one event name",
        [ENGINE_ASIDE_TYPE] = "values of another type than the first one",
        [ENGINE_ASIDE_NUMBER] = "numbers too large or with too many decimal places",
        [ENGINE_ASIDE_TEXTS] = "texts beyond what dictionaries may hold",
        [ENGINE_ASIDE_FIELDS] = "values of too many fields of one list of records",
        [ENGINE_ASIDE_LINKS] = "links of too many actors",
    };
    return texts[why];
}

/* The log hears of each reason once: odd events come in thousands. */
void engine_keep_aside(Engine *e, EngineAside why)
{
    e->aside[why]++;
    if ((e->aside_said >> why & 1) != 0)
        return;
    e->aside_said |= 1U << why;
    LOG(LOG_WARN, "events.kept_aside", LOG_C("what", engine_aside_text(why)),
        LOG_C("note", "they stay in the log; events stat counts them"));
}

/* ---- an event becomes a row --------------------------------------------------------------------- */

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

static const EngineAside ASIDE_NOT = ENGINE_ASIDE_COUNT; /* it has a place */

/* A value that is one, as the columns have it. */
typedef struct PlainValue {
    int64_t value;
    PartKind kind;
    int scale;
} PlainValue;

/* Why the value stays in the log only, ASIDE_NOT = it does not. */
static inline EngineAside plain_value(Engine *e, const SchemaProp *prop, const EventProp *p,
                                      PlainValue *out)
{
    *out = (PlainValue){p->i64, PART_NUMBERS, 0};
    switch (p->type) {
    case EVENT_TEXT:
        *out = (PlainValue){schema_code(e->schema, prop->id, p->text), PART_CODES, 0};
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
static SchemaProp *same_as_last(const Engine *e, const Shape *shape, uint32_t place,
                                SchemaSpace space, Str name)
{
    SchemaProp *near = place < SHAPE_PROPS ? shape->props[place] : NULL;
    return near != NULL && near->space == space &&
                   str_eq(schema_prop_name(e->schema, near->id), name)
               ? near
               : NULL;
}

/* Where an event's next property goes. */
typedef struct Place {
    Shape *shape;
    uint32_t event; /* name */
    uint32_t place; /* among all properties of the event */
    SchemaSpace space;
} Place;

/* What has no place is counted when it comes for the first time. */
static void count_aside(Engine *e, const RowBuffer *to, SchemaProp *prop, EngineAside why)
{
    if (why == ASIDE_NOT || to != &e->open)
        return;
    if (prop != NULL)
        prop->conflicts++;
    engine_keep_aside(e, why);
}

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
static SchemaProp *same_field(const Engine *e, const Shape *shape, uint32_t place,
                              const SchemaProp *list, Str name)
{
    SchemaProp *near = place < SHAPE_PROPS ? shape->fields[place] : NULL;
    return near != NULL && near->list == list->id &&
                   str_eq(schema_prop_name(e->schema, near->id), name)
               ? near
               : NULL;
}

/* As put_prop(). */
static void put_field(Engine *e, RowBuffer *to, const Place *at, SchemaProp *list,
                      const EventProp *p)
{
    SchemaProp *field = same_field(e, at->shape, at->place, list, p->name);
    const bool needs_pair = field == NULL;
    PlainValue v;
    EngineAside why = ENGINE_ASIDE_FIELDS;
    if (field == NULL)
        field = schema_field(e->schema, list, p->name, p->type);
    if (field == NULL)
        why = schema_fields_are_full(e->schema, list) ? why : ENGINE_ASIDE_PROPS;
    else if (field->type != p->type)
        why = ENGINE_ASIDE_TYPE;
    else if (needs_pair && !schema_pair(e->schema, at->event, field))
        why = ENGINE_ASIDE_PAIRS;
    else
        why = plain_value(e, field, p, &v);
    count_aside(e, to, field, why);
    if (why != ASIDE_NOT)
        return;
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

static EngineAside put_value(Engine *e, RowBuffer *to, const Place *at, SchemaProp *prop,
                             const EventProp *p)
{
    PlainValue v;
    if (p->type == EVENT_TEXTS) {
        put_texts(e, to, prop, p);
        return ASIDE_NOT;
    }
    if (p->type == EVENT_ITEMS) {
        put_items(e, to, at, prop, p);
        return ASIDE_NOT;
    }
    const EngineAside why = plain_value(e, prop, p, &v);
    if (why == ASIDE_NOT)
        rows_value(to, prop->id, v.kind, v.scale, v.value);
    return why;
}

/* A shape holds what its event name may have: that needs no second look. */
static bool is_list(EventType type)
{
    return type == EVENT_TEXTS || type == EVENT_ITEMS;
}

/* A list without anything in it may be of texts or of records. */
static bool type_fits(Engine *e, SchemaProp *prop, const EventProp *p)
{
    if (prop->type == p->type || !is_list(prop->type) || !is_list(p->type))
        return prop->type == p->type;
    return p->count == 0 || schema_list_becomes(e->schema, prop, p->type);
}

static void put_prop(Engine *e, RowBuffer *to, const Place *at, const EventProp *p)
{
    SchemaProp *prop = same_as_last(e, at->shape, at->place, at->space, p->name);
    const bool needs_pair = prop == NULL;
    EngineAside why = ENGINE_ASIDE_PROPS;
    if (prop == NULL)
        prop = schema_prop(e->schema, at->space, p->name, p->type);
    if (prop != NULL && !type_fits(e, prop, p))
        why = ENGINE_ASIDE_TYPE;
    else if (prop != NULL && needs_pair && !schema_pair(e->schema, at->event, prop))
        why = ENGINE_ASIDE_PAIRS;
    else if (prop != NULL)
        why = put_value(e, to, at, prop, p);
    count_aside(e, to, prop, why);
    if (why == ASIDE_NOT && at->place < SHAPE_PROPS)
        at->shape->props[at->place] = prop;
}

static void put_props(Engine *e, RowBuffer *to, Place at, const EventProp *props, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++, at.place++)
        put_prop(e, to, &at, &props[i]);
}

static void put_text(Engine *e, RowBuffer *to, uint32_t prop, Str text)
{
    const uint32_t code = text.len == 0 ? 0 : schema_code(e->schema, prop, text);
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
    put_text(e, to, PROP_SOURCE, event->source);
    put_text(e, to, PROP_STORE, event->store);
    rows_value(to, PROP_RECEIVED, PART_NUMBERS, 0, event->received_ms - event->time_ms);
    Shape *shape = shape_of(e, home->name);
    put_props(e, to, (Place){shape, home->name, 0, SCHEMA_EVENT}, event->props, event->prop_count);
    put_props(e, to, (Place){shape, home->name, event->prop_count, SCHEMA_CONTEXT}, event->context,
              event->context_count);
}

static bool time_fits(const Event *event)
{
    return event->time_ms < ENGINE_TIME_MS_MAX &&
           event->time_ms >= event->received_ms - ENGINE_PAST_MS_MAX &&
           event->time_ms <= event->received_ms + ENGINE_FUTURE_MS_MAX;
}

EngineAside engine_find_home(Engine *e, const Event *event, Home *out)
{
    if (!time_fits(event))
        return ENGINE_ASIDE_TIME;
    out->week = engine_week(e, rows_week_ms(event->time_ms, e->o.origin_ms));
    if (out->week == NULL)
        return ENGINE_ASIDE_WEEKS;
    out->name = schema_event(e->schema, event->name);
    if (out->name == 0)
        return ENGINE_ASIDE_NAMES;
    uint32_t actor = 0;
    if (!schema_actor(e->schema, event->actor, &actor))
        return ENGINE_ASIDE_ACTORS;
    const Persons *persons = schema_persons(e->schema);
    out->person = persons_of(persons, actor);
    out->ordinal = persons_ordinal(persons, actor);
    return ASIDE_NOT;
}

/* What has no place is refused before its id is remembered: every id belongs to a row. */
static void apply_event(Engine *e, const Event *event)
{
    Home home = {0};
    const EngineAside why = engine_find_home(e, event, &home);
    if (why != ASIDE_NOT)
        engine_keep_aside(e, why);
    else if (is_new(e, home.week, event))
        engine_put_row(e, &e->open, event, &home);
    else
        e->repeated++;
}

void engine_set_generation(const Engine *e, Part *const *parts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        parts[i]->generation = persons_moved(schema_persons(e->schema))->generation;
}

void engine_drop_peek(Engine *e)
{
    for (uint32_t i = 0; i < e->peek_count; i++)
        part_unref(e->peek[i]);
    free(e->peek);
    e->peek = NULL;
    e->peek_count = e->peek_rows = 0;
}

void engine_close_slice(Engine *e)
{
    engine_drop_peek(e);
    if (e->open.count == 0) {
        e->open_from = e->applied;
        return;
    }
    Ctx ctx = {.arena = e->scratch};
    Part **made = NULL;
    uint32_t n = 0;
    CHECK(rows_build(&ctx, &e->open, e->o.origin_ms, e->open_from, e->applied, &made, &n) ==
          ERR_OK);
    engine_set_generation(e, made, n);
    (void)pthread_mutex_lock(&e->lock);
    if (e->memory_count + n > e->memory_cap) {
        e->memory_cap = (e->memory_count + n) * 2;
        e->memory = realloc(e->memory, e->memory_cap * sizeof(Part *));
        CHECK(e->memory != NULL);
    }
    memcpy(e->memory + e->memory_count, made, n * sizeof(Part *));
    e->memory_count += n;
    e->memory_rows += e->open.count;
    for (uint32_t i = 0; i < n; i++)
        e->memory_bytes += made[i]->bytes.len;
    e->open_names = e->new_names = schema_new_bytes(e->schema);
    if (e->memory_rows >= e->o.flush_rows || e->memory_bytes >= e->o.flush_bytes ||
        e->new_names >= e->o.flush_bytes)
        e->flush_wanted = true;
    (void)pthread_cond_broadcast(&e->changed);
    (void)pthread_mutex_unlock(&e->lock);
    arena_reset(e->scratch);
    rows_clear(&e->open);
    e->open_from = e->applied;
}

void engine_take_names(Engine *e)
{
    schema_save_new(e->schema, &e->flush_names);
    e->new_names = 0;
    e->open_names = 0;
}

/* ---- the thread --------------------------------------------------------------------------------- */

static bool slice_is_full(const Engine *e)
{
    return e->open.count >= e->o.slice_rows || rows_cells(&e->open) >= ENGINE_SLICE_CELLS ||
           schema_new_bytes(e->schema) - e->open_names >= e->o.flush_bytes;
}

void engine_set_applied(Engine *e, uint64_t seq, uint32_t bytes_done)
{
    (void)pthread_mutex_lock(&e->lock);
    e->applied = seq;
    e->queued_bytes -= bytes_done;
    (void)pthread_cond_broadcast(&e->changed);
    (void)pthread_mutex_unlock(&e->lock);
}

void engine_slice_grew(Engine *e)
{
    if (slice_is_full(e))
        engine_close_slice(e);
}

/* The week whose ids must be known; NULL: it has no place in the columns. */
static Week *week_for(Engine *e, const Event *event)
{
    return event->kind == EVENT_HAPPENED && time_fits(event)
               ? engine_week(e, rows_week_ms(event->time_ms, e->o.origin_ms))
               : NULL;
}

/* A batch may be larger than a slice, which then ends within it. */
static void apply_offer(Engine *e, const Offer *offer)
{
    Ctx ctx = {.arena = e->scratch};
    Str left = {offer->records, offer->bytes};
    for (uint32_t i = 0; i < offer->count;) {
        Event event;
        size_t used = 0;
        CHECK(event_decode(&ctx, left, &event, &used) == ERR_OK); /* the log has checked it */
        Week *w = week_for(e, &event);
        if (w != NULL && !has_filter(w)) {
            /* Others come between: what is applied so far is whole, and the event is decoded again. */
            engine_set_applied(e, offer->first_seq + i, 0);
            make_filter(e, w);
            continue;
        }
        if (event.kind == EVENT_HAPPENED)
            apply_event(e, &event);
        else
            engine_change(e, &event, offer->first_seq + i);
        left = str_slice(left, used, left.len);
        i++;
        arena_reset(e->scratch); /* decoded, a batch is many times as large */
        if (slice_is_full(e)) {
            engine_set_applied(e, offer->first_seq + i, 0);
            engine_close_slice(e);
        }
    }
    engine_set_applied(e, offer->first_seq + offer->count, offer->bytes);
}

static Offer *next_offer(Engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
    while (e->first == NULL && !e->stopping)
        (void)pthread_cond_wait(&e->changed, &e->lock);
    Offer *offer = e->first;
    if (offer != NULL) {
        e->first = offer->next;
        e->last = e->first == NULL ? NULL : e->last;
    }
    (void)pthread_mutex_unlock(&e->lock);
    return offer;
}

void *engine_apply_main(void *arg)
{
    Engine *e = arg;
    (void)pthread_setname_np(pthread_self(), "engine-apply");
    for (Offer *offer = next_offer(e); offer != NULL; offer = next_offer(e)) {
        (void)pthread_mutex_lock(&e->apply);
        apply_offer(e, offer);
        (void)pthread_mutex_unlock(&e->apply);
        free(offer);
    }
    return NULL;
}
