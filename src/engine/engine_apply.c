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

static void distrust_ids(const FilePart *f)
{
    f->part->ids_are_sound = false;
    atomic_store(&f->part->damaged, true);
}

static void add_file(IdFilter *filter, const FilePart *f)
{
    uint64_t *hashes = malloc(((size_t)f->ids.head->count + 1) * sizeof *hashes);
    CHECK(hashes != NULL);
    f->part->ids_are_sound = ids_are_sound(&f->ids) && ids_read(&f->ids, hashes);
    if (f->part->ids_are_sound)
        id_filter_add_all(filter, hashes, f->ids.head->count);
    else
        distrust_ids(f);
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

/* From the first file of the week whose ids are damaged to the last, with what was written together with it and may
 * have its ids there.  False: none is. */
static bool damaged_stretch(const SharedFiles *l, LogStretch *out)
{
    bool any = false;
    for (uint32_t i = 0; i < l->count; i++) {
        const Part *p = l->at[i].part;
        if (p->ids_are_sound)
            continue;
        const uint32_t to = l->moved ? l->count : engine_group_of(l->at, l->count, i).to;
        if (!any)
            *out = (LogStretch){.week_ms = p->head->week_ms, .from_seq = p->head->from_seq};
        out->to_seq = l->at[to - 1].part->head->to_seq;
        any = true;
    }
    return any;
}

/* What the log says of the files whose ids are damaged, read once, so that nothing of them comes in twice until they
 * are made again.  What sound files between them have comes in no more either way. */
static RecentIds stand_in_for(const Engine *e, const SharedFiles *l)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    StandIn s = {.e = e};
    LogStretch stretch = {0};
    Err err = ERR_OK;
    if (damaged_stretch(l, &stretch)) {
        err = ERR_NOT_FOUND;
        if (e->o.log_folder.len > 0)
            err = engine_log_read(&ctx, e, &stretch, NULL, remember_id, &s);
    }
    for (uint32_t i = 0; i < l->count && err != ERR_OK; i++)
        if (!l->at[i].part->ids_are_sound)
            LOG(LOG_ERROR, "events.ids_damaged", LOG_I64("file", (int64_t)l->at[i].number),
                LOG_C("note", "events of this file that come again come in twice"));
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

/* *lost: some of their ids cannot be read any more, so that nobody knows. */
static bool files_have(Engine *e, const Week *w, uint64_t hash, bool *lost)
{
    bool has = false;
    uint32_t first = 0;
    (void)pthread_mutex_lock(&e->lock);
    const uint32_t end = engine_files_of(e, w->week_ms, &first) + first;
    for (uint32_t i = first; i < end && !has && !*lost; i++) {
        const FilePart *f = &e->files[i];
        has = f->part->ids_are_sound && ids_has(&f->ids, hash);
        *lost = f->part->ids_are_sound && !ids_are_whole(&f->ids);
        if (*lost)
            distrust_ids(f);
    }
    (void)pthread_mutex_unlock(&e->lock);
    return has;
}

static char *put_text(char *at, Str text)
{
    if (text.len >= 0x80)
        *at++ = (char)(text.len | 0x80);
    *at++ = (char)(text.len >= 0x80 ? text.len >> 7 : text.len);
    memcpy(at, text.ptr, text.len);
    return at + text.len;
}

/* As docs/formats/events.md has texts. */
uint64_t engine_id_hash(const Engine *e, const Event *event)
{
    char bytes[2 * 2 + EVENT_SOURCE_BYTES_MAX + EVENT_ID_BYTES_MAX];
    const char *end = put_text(put_text(bytes, event->source), event->id);
    return engine_id_of(e, (Str){bytes, (size_t)(end - bytes)});
}

typedef enum Known { IS_NEW, IS_REPEATED, IS_UNKNOWN } Known;

/* Unknown: the ids of the week's files must be read again first. */
static Known add_id(Engine *e, Week *w, uint64_t hash)
{
    bool lost = false;
    bool has = recent_ids_has(&w->flushing, hash) || recent_ids_has(&w->stand_in, hash);
    if (!has && id_filter_may_have(&w->filter, hash))
        has = files_have(e, w, hash, &lost);
    if (lost)
        return IS_UNKNOWN;
    return !has && recent_ids_add(&w->recent, hash) ? IS_NEW : IS_REPEATED;
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
    atomic_fetch_add_explicit(&e->kept_aside, 1, memory_order_relaxed);
    if ((e->aside_said >> why & 1) != 0)
        return;
    e->aside_said |= 1U << why;
    LOG(LOG_WARN, "events.kept_aside", LOG_C("what", engine_aside_text(why)),
        LOG_C("note", "they stay in the log; events stat counts them"));
}

/* ---- where an event goes ------------------------------------------------------------------------ */

static bool time_fits(int64_t time_ms, int64_t received_ms)
{
    return time_ms < ENGINE_TIME_MS_MAX && time_ms >= received_ms - ENGINE_PAST_MS_MAX &&
           time_ms <= received_ms + ENGINE_FUTURE_MS_MAX;
}

/* Mostly it is the week of the event before. */
static Week *week_at(Engine *e, int64_t time_ms)
{
    Week *w = e->week_near;
    if (w == NULL || time_ms < w->week_ms || time_ms - w->week_ms >= PART_WEEK_MS)
        w = engine_week(e, rows_week_ms(time_ms, e->o.origin_ms));
    e->week_near = w == NULL ? e->week_near : w;
    return w;
}

EngineAside engine_find_week(Engine *e, int64_t time_ms, int64_t received_ms, Week **out)
{
    if (!time_fits(time_ms, received_ms))
        return ENGINE_ASIDE_TIME;
    *out = week_at(e, time_ms);
    return *out == NULL ? ENGINE_ASIDE_WEEKS : ASIDE_NOT;
}

/* Its name, when it is not known, and its person. */
static EngineAside find_numbers(Engine *e, EventKind kind, Str name, const DictKey *actor,
                                Home *out)
{
    const bool has_name = kind == EVENT_HAPPENED;
    out->name = has_name && out->name == 0 ? schema_event(e->schema, name) : out->name;
    if (has_name && out->name == 0)
        return ENGINE_ASIDE_NAMES;
    uint32_t who = 0;
    if (!schema_actor_of_key(e->schema, actor, &who))
        return ENGINE_ASIDE_ACTORS;
    const Persons *persons = schema_persons(e->schema);
    out->person = persons_of(persons, who);
    out->ordinal = persons_ordinal(persons, who);
    return ASIDE_NOT;
}

EngineAside engine_find_home(Engine *e, const Event *event, Home *out)
{
    char room[SCHEMA_KEY_BYTES];
    const EngineAside why = engine_find_week(e, event->time_ms, event->received_ms, &out->week);
    out->name = 0;
    if (why != ASIDE_NOT)
        return why;
    const DictKey actor = schema_actor_key(e->schema, event->actor, room);
    return find_numbers(e, event->kind, event->name, &actor, out);
}

/* What has no place is refused before its id is remembered: every id belongs to a row.  False: it is to be read again,
 * behind the ids of its week's files. */
static bool apply_event(Engine *e, const Coming *c)
{
    Home home = {.name = c->event, .week = c->week};
    EngineAside why = c->why;
    if (why == ASIDE_NOT)
        why = find_numbers(e, c->kind, c->name, &c->actor, &home);
    if (why != ASIDE_NOT) {
        engine_keep_aside(e, why);
        return true;
    }
    const Known known = add_id(e, home.week, c->id);
    if (known == IS_NEW)
        engine_put_coming(e, c, &home);
    e->repeated += known == IS_REPEATED;
    return known != IS_UNKNOWN;
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
        e->memory_bytes += engine_heap_bytes(made[i]);
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
    /* Rows that moved leave their values behind: these count, too. */
    return e->open.count >= e->o.slice_rows || rows_cells(&e->open) >= ENGINE_SLICE_CELLS ||
           e->open.room >= ENGINE_SLICE_TAKEN;
}

/* Looked at once per group, which has not much more than GROUP_BYTES. */
static bool names_are_many(const Engine *e)
{
    return schema_new_bytes(e->schema) - e->open_names >= e->o.flush_bytes;
}

void engine_set_applied(Engine *e, uint64_t seq, uint32_t bytes_done)
{
    (void)pthread_mutex_lock(&e->lock);
    e->applied = seq;
    e->queued_bytes -= bytes_done;
    e->unflushed_bytes += bytes_done;
    e->flush_wanted |= engine_flush_is_due(e, bytes_done > 0 && e->first == NULL);
    (void)pthread_cond_broadcast(&e->changed);
    (void)pthread_mutex_unlock(&e->lock);
}

void engine_slice_grew(Engine *e)
{
    if (slice_is_full(e))
        engine_close_slice(e);
}

/* The group ends before event `i`, whose week's ids must be read first. */
static void end_group(Group *g, uint32_t i, Str *left)
{
    size_t bytes = 0;
    for (uint32_t j = i; j < g->count; j++)
        bytes += g->at[j].bytes;
    *left = (Str){left->ptr - bytes, left->len + bytes};
    g->lacks = g->at[i].week;
    g->count = i;
}

/* The first one has the number `seq`.  A batch may be larger than a slice, which then ends within it.  False: a change
 * finds no room. */
static bool apply_group(Engine *e, Group *g, uint64_t seq, Str *left)
{
    for (uint32_t i = 0; i < g->count; i++) {
        if (g->at[i].change == NULL) {
            if (!apply_event(e, &g->at[i])) {
                end_group(g, i, left);
                return true;
            }
        } else if (!engine_change(e, g->at[i].change, seq + i)) {
            return false;
        }
        if (slice_is_full(e) || (i + 1 == g->count && names_are_many(e))) {
            engine_set_applied(e, seq + i + 1, 0);
            engine_close_slice(e);
        }
    }
    return true;
}

/* Whether the next ones may be read before these are applied: not while `apply` is given up between. */
static bool may_read_on(const Group *g)
{
    return g->lacks == NULL && (g->count == 0 || g->at[0].change == NULL);
}

static void apply_offer(Engine *e, const Offer *offer)
{
    Str left = {offer->records, offer->bytes};
    Group groups[2] = {{.arena = e->group[0]}, {.arena = e->group[1]}}; /* by turns */
    uint32_t turn = 0;
    engine_read_group(e, &left, offer->count, &groups[turn]);
    for (uint32_t done = 0; done < offer->count; turn ^= 1) {
        Group *g = &groups[turn], *next = &groups[turn ^ 1];
        Str behind = left;
        engine_fetch_group(g);
        if (may_read_on(g))
            engine_read_group(e, &left, offer->count - done - g->count, next);
        if (!apply_group(e, g, offer->first_seq + done, &behind)) {
            engine_give_back(e);
            return;
        }
        done += g->count;
        if (g->lacks != NULL) {
            /* Others come between: what is applied so far is whole, and the event is read again. */
            engine_set_applied(e, offer->first_seq + done, 0);
            make_filter(e, g->lacks);
        }
        if (!may_read_on(g)) { /* also when it turned out to end earlier */
            left = behind;
            engine_read_group(e, &left, offer->count - done, next);
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
