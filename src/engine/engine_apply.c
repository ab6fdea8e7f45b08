/*
 * engine/engine_apply.c
 */
#include "engine/engine_inside.h"

#include "base/log.h"

#include <stdlib.h>

/* ---- has it come before ------------------------------------------------------------------------- */

static Week *week_of(Engine *e, int64_t week_ms)
{
    for (uint32_t i = e->week_count; i-- > 0;) /* the newest are asked for most */
        if (e->weeks[i]->week_ms == week_ms)
            return e->weeks[i];
    if (e->week_count == e->week_cap) {
        e->week_cap = e->week_cap == 0 ? 16 : e->week_cap * 2;
        e->weeks = realloc(e->weeks, e->week_cap * sizeof(Week *));
        CHECK(e->weeks != NULL);
    }
    Week *w = calloc(1, sizeof *w);
    CHECK(w != NULL);
    w->week_ms = week_ms;
    e->weeks[e->week_count++] = w;
    return w;
}

enum { FILTER_ROOM = 16384 };

/* The filter over the files of a week, twice as large as they need. */
static void make_filter(Engine *e, Week *w)
{
    uint64_t count = 0;
    (void)pthread_mutex_lock(&e->lock);
    for (uint32_t i = 0; i < e->file_count; i++)
        count += e->files[i].part->head->week_ms == w->week_ms ? e->files[i].ids.head->count : 0;
    id_filter_free(&w->filter);
    id_filter_init(&w->filter, 2 * count + FILTER_ROOM);
    for (uint32_t i = 0; i < e->file_count; i++) {
        const FilePart *f = &e->files[i];
        if (f->part->head->week_ms != w->week_ms)
            continue;
        f->part->ids_are_sound = ids_are_sound(&f->ids);
        if (!f->part->ids_are_sound) {
            atomic_store(&f->part->damaged, true);
            continue;
        }
        uint64_t *hashes = malloc(((size_t)f->ids.head->count + 1) * sizeof *hashes);
        CHECK(hashes != NULL);
        ids_read(&f->ids, hashes);
        for (uint32_t j = 0; j < f->ids.head->count; j++)
            id_filter_add(&w->filter, hashes[j]);
        free(hashes);
    }
    (void)pthread_mutex_unlock(&e->lock);
}

/* The heads of the week's files whose ids are damaged, since the files may go at any time. */
static PartHead *heads_without_ids(Ctx *ctx, Engine *e, const Week *w, uint32_t *count)
{
    (void)pthread_mutex_lock(&e->lock);
    PartHead *heads = ARENA_ARRAY(ctx->arena, PartHead, (size_t)e->file_count + 1);
    *count = 0;
    for (uint32_t i = 0; i < e->file_count; i++) {
        const Part *p = e->files[i].part;
        if (p->head->week_ms == w->week_ms && !p->ids_are_sound)
            heads[(*count)++] = *p->head;
    }
    (void)pthread_mutex_unlock(&e->lock);
    return heads;
}

typedef struct StandIn {
    const Engine *e;
    Week *w;
} StandIn;

static Err remember_id(Ctx *ctx, const Event *event, void *arg)
{
    (void)ctx;
    const StandIn *s = arg;
    (void)recent_ids_add(&s->w->stand_in, engine_id_hash(s->e, event));
    return ERR_OK;
}

/* Reads from the log which ids these files have, so that none comes in twice until they are made again. */
static void make_stand_in(Engine *e, Week *w)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    uint32_t count = 0;
    const PartHead *heads = heads_without_ids(&ctx, e, w, &count);
    recent_ids_free(&w->stand_in);
    for (uint32_t i = 0; i < count; i++) {
        Err err = ERR_NOT_FOUND;
        if (e->o.log_folder.len > 0)
            err = engine_log_read(&ctx, e, &heads[i], NULL, remember_id, &(StandIn){e, w});
        if (err != ERR_OK)
            LOG(LOG_ERROR, "events.ids_damaged", LOG_I64("from_seq", (int64_t)heads[i].from_seq),
                LOG_C("note", "events of this file that come again come in twice"));
    }
    arena_free(ctx.arena);
}

static bool files_have(Engine *e, const Week *w, uint64_t hash)
{
    bool has = false;
    (void)pthread_mutex_lock(&e->lock);
    for (uint32_t i = 0; i < e->file_count && !has; i++)
        has = e->files[i].part->ids_are_sound && e->files[i].part->head->week_ms == w->week_ms &&
              ids_has(&e->files[i].ids, hash);
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
static bool is_new(Engine *e, const Event *event)
{
    Week *w = week_of(e, rows_week_ms(event->time_ms, e->o.origin_ms));
    if (w->filter.lines == NULL || w->filter.count > w->filter.cap) {
        make_filter(e, w);
        make_stand_in(e, w);
    }
    const uint64_t hash = engine_id_hash(e, event);
    if (recent_ids_has(&w->flushing, hash) || recent_ids_has(&w->stand_in, hash) ||
        (id_filter_may_have(&w->filter, hash) && files_have(e, w, hash)))
        return false;
    return recent_ids_add(&w->recent, hash);
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

/* False: the value stays in the log only. */
static bool put_value(Engine *e, RowBuffer *to, const SchemaProp *prop, const EventProp *p)
{
    int64_t value = p->i64;
    int scale = 0;
    switch (p->type) {
    case EVENT_TEXT:
        value = schema_code(e->schema, prop->id, p->text);
        if (value == 0)
            return false;
        rows_value(to, prop->id, PART_CODES, 0, value);
        return true;
    case EVENT_NUMBER:
        scale = p->scale;
        shorten(&value, &scale);
        if (!number_fits(value, scale))
            return false;
        break;
    case EVENT_MONEY:
    case EVENT_BOOL:
    case EVENT_TIME:
        break;
    case EVENT_NONE:
    case EVENT_TEXTS:
    case EVENT_ITEMS:
    case EVENT_TYPE_COUNT:
        return false;
    }
    rows_value(to, prop->id, PART_NUMBERS, scale, value);
    return true;
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

/* The property with this name: most often the one that stood at this place last time. */
static SchemaProp *find_prop(Engine *e, Shape *shape, uint32_t place, SchemaSpace space,
                             const EventProp *p)
{
    SchemaProp *near = place < SHAPE_PROPS ? shape->props[place] : NULL;
    if (near != NULL && near->space == space &&
        str_eq(schema_prop_name(e->schema, near->id), p->name))
        return near;
    SchemaProp *found = schema_prop(e->schema, space, p->name, p->type);
    if (place < SHAPE_PROPS)
        shape->props[place] = found;
    return found;
}

/* `place`: of the first of them among all properties of the event. */
static void put_props(Engine *e, RowBuffer *to, Shape *shape, uint32_t place, SchemaSpace space,
                      const EventProp *props, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        SchemaProp *prop = find_prop(e, shape, place + i, space, &props[i]);
        if (prop != NULL && prop->type == props[i].type && put_value(e, to, prop, &props[i]))
            continue;
        e->kept_aside++;
        if (prop != NULL)
            prop->conflicts++;
    }
}

static void put_text(Engine *e, RowBuffer *to, uint32_t prop, Str text)
{
    const uint32_t code = text.len == 0 ? 0 : schema_code(e->schema, prop, text);
    if (code != 0)
        rows_value(to, prop, PART_CODES, 0, code);
}

void engine_put_row(Engine *e, RowBuffer *to, const Event *event, uint32_t person, uint32_t name)
{
    rows_add(to, event->time_ms, person, name);
    put_text(e, to, PROP_SOURCE, event->source);
    put_text(e, to, PROP_STORE, event->store);
    rows_value(to, PROP_RECEIVED, PART_NUMBERS, 0, event->received_ms - event->time_ms);
    Shape *shape = shape_of(e, name);
    put_props(e, to, shape, 0, SCHEMA_EVENT, event->props, event->prop_count);
    put_props(e, to, shape, event->prop_count, SCHEMA_CONTEXT, event->context,
              event->context_count);
}

bool engine_find_place(Engine *e, const Event *event, uint32_t *person, uint32_t *name)
{
    *name = event->time_ms < ENGINE_TIME_MS_MAX ? schema_event(e->schema, event->name) : 0;
    return *name != 0 && schema_actor(e->schema, event->actor, person);
}

/* What has no place is refused before its id is remembered: every id belongs to a row. */
static void apply_event(Engine *e, const Event *event)
{
    uint32_t person = 0, name = 0;
    if (!engine_find_place(e, event, &person, &name))
        e->kept_aside++;
    else if (is_new(e, event))
        engine_put_row(e, &e->open, event, person, name);
    else
        e->repeated++;
}

static void drop_peek(Engine *e)
{
    for (uint32_t i = 0; i < e->peek_count; i++)
        part_unref(e->peek[i]);
    free(e->peek);
    e->peek = NULL;
    e->peek_count = e->peek_rows = 0;
}

void engine_close_slice(Engine *e)
{
    drop_peek(e);
    if (e->open.count == 0) {
        e->open_from = e->applied;
        return;
    }
    Ctx ctx = {.arena = e->scratch};
    Part **made = NULL;
    uint32_t n = 0;
    CHECK(rows_build(&ctx, &e->open, e->o.origin_ms, e->open_from, e->applied, &made, &n) ==
          ERR_OK);
    (void)pthread_mutex_lock(&e->lock);
    if (e->memory_count + n > e->memory_cap) {
        e->memory_cap = (e->memory_count + n) * 2;
        e->memory = realloc(e->memory, e->memory_cap * sizeof(Part *));
        CHECK(e->memory != NULL);
    }
    memcpy(e->memory + e->memory_count, made, n * sizeof(Part *));
    e->memory_count += n;
    e->memory_rows += e->open.count;
    if (e->memory_rows >= e->o.flush_rows)
        e->flush_wanted = true;
    (void)pthread_cond_broadcast(&e->changed);
    (void)pthread_mutex_unlock(&e->lock);
    arena_reset(e->scratch);
    rows_clear(&e->open);
    e->open_from = e->applied;
}

/* ---- the thread --------------------------------------------------------------------------------- */

static void apply_offer(Engine *e, const Offer *offer)
{
    Ctx ctx = {.arena = e->scratch};
    Str left = {offer->records, offer->bytes};
    for (uint32_t i = 0; i < offer->count; i++) {
        Event event;
        size_t used = 0;
        CHECK(event_decode(&ctx, left, &event, &used) == ERR_OK); /* the log has checked it */
        left = str_slice(left, used, left.len);
        if (event.kind == EVENT_HAPPENED)
            apply_event(e, &event);
    }
    arena_reset(e->scratch);
    (void)pthread_mutex_lock(&e->lock);
    e->applied = offer->first_seq + offer->count;
    e->queued_bytes -= offer->bytes;
    (void)pthread_cond_broadcast(&e->changed);
    (void)pthread_mutex_unlock(&e->lock);
    if (e->open.count >= e->o.slice_rows)
        engine_close_slice(e);
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
