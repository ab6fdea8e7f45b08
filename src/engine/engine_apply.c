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

/* Files of one week, shared: they stay when the keeper replaces them. */
typedef struct SharedFiles {
    FilePart *at;
    uint32_t count;
    uint64_t durable_seq; /* as it was with these files */
} SharedFiles;

static SharedFiles share_files(Engine *e, int64_t week_ms)
{
    (void)pthread_mutex_lock(&e->lock);
    SharedFiles l = {.durable_seq = e->durable_seq};
    l.at = calloc((size_t)e->file_count + 1, sizeof *l.at);
    CHECK(l.at != NULL);
    for (uint32_t i = 0; i < e->file_count; i++) {
        const FilePart *f = &e->files[i];
        if (f->part->head->week_ms == week_ms)
            l.at[l.count++] = (FilePart){
                .part = part_ref(f->part), .ids = ids_share(&f->ids), .number = f->number};
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

static Err remember_id(Ctx *ctx, const Event *event, void *arg)
{
    (void)ctx;
    StandIn *s = arg;
    (void)recent_ids_add(&s->ids, engine_id_hash(s->e, event));
    return ERR_OK;
}

/* What the log says of the files whose ids are damaged, so that nothing of them comes in twice until they are
 * made again. */
static RecentIds stand_in_for(const Engine *e, const SharedFiles *l)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    StandIn s = {.e = e};
    for (uint32_t i = 0; i < l->count; i++) {
        const Part *p = l->at[i].part;
        if (p->ids_are_sound)
            continue;
        Err err = ERR_NOT_FOUND;
        if (e->o.log_folder.len > 0)
            err = engine_log_read(&ctx, e, p->head, NULL, remember_id, &s);
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
static bool is_new(Engine *e, Week *w, const Event *event)
{
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

/* What has no place is refused before its id is remembered: every id belongs to a row.  `w`: NULL = too
 * late for the columns. */
static void apply_event(Engine *e, Week *w, const Event *event)
{
    uint32_t person = 0, name = 0;
    if (w == NULL || !engine_find_place(e, event, &person, &name))
        e->kept_aside++;
    else if (is_new(e, w, event))
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

/* Numbers below `seq` are in rows. */
static void set_applied(Engine *e, uint64_t seq, uint32_t bytes_done)
{
    (void)pthread_mutex_lock(&e->lock);
    e->applied = seq;
    e->queued_bytes -= bytes_done;
    (void)pthread_cond_broadcast(&e->changed);
    (void)pthread_mutex_unlock(&e->lock);
}

/* The week it belongs to; NULL: it has no place in the columns. */
static Week *week_for(Engine *e, const Event *event)
{
    return event->kind == EVENT_HAPPENED && event->time_ms < ENGINE_TIME_MS_MAX
               ? week_of(e, rows_week_ms(event->time_ms, e->o.origin_ms))
               : NULL;
}

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
            set_applied(e, offer->first_seq + i, 0);
            make_filter(e, w);
            continue;
        }
        if (event.kind == EVENT_HAPPENED)
            apply_event(e, w, &event);
        left = str_slice(left, used, left.len);
        i++;
    }
    arena_reset(e->scratch);
    set_applied(e, offer->first_seq + offer->count, offer->bytes);
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
