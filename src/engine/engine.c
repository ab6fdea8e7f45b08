/*
 * engine/engine.c
 */
#include "engine/engine_inside.h"
#include "engine/merge.h"

#include "base/clock.h"

#include <stdlib.h>

enum {
    SLICE_ROWS = 16384,
    FLUSH_ROWS = 262144,
    MEMORY_ROWS_MAX = 2097152,
    FLUSH_CHANGES = 65536,
    FAN = 8,
    TINY_SHARE = 4,         /* of FLUSH_ROWS */
    FLUSH_BYTES = 64 << 20, /* five times what so many ordinary rows have */
    MEMORY_BYTES_MAX = 512 << 20,
    /* 39 years; each has a part and its ids, or several, and vm.max_map_count is 65,530 */
    WEEKS_MAX = 2048,
    FILTER_BYTES_MAX = 128 << 20, /* of 50 million events at least */
    KNOWN_BYTES_MAX = 128 << 20,  /* a billion rows */
    QUEUED_BYTES_MAX = 32 << 20,  /* offers that are not applied: offering waits beyond */
};

/* ---- opening and closing ------------------------------------------------------------------------ */

static void fill_options(EngineOptions *o)
{
    o->slice_rows = o->slice_rows == 0 ? SLICE_ROWS : o->slice_rows;
    o->flush_rows = o->flush_rows == 0 ? FLUSH_ROWS : o->flush_rows;
    o->memory_rows_max = o->memory_rows_max == 0 ? MEMORY_ROWS_MAX : o->memory_rows_max;
    o->flush_changes = o->flush_changes == 0 ? FLUSH_CHANGES : o->flush_changes;
    o->fan = o->fan == 0 ? FAN : o->fan;
    o->tiny_rows = o->tiny_rows == 0 ? o->flush_rows / TINY_SHARE : o->tiny_rows;
    o->flush_bytes = o->flush_bytes == 0 ? FLUSH_BYTES : o->flush_bytes;
    o->memory_bytes_max = o->memory_bytes_max == 0 ? MEMORY_BYTES_MAX : o->memory_bytes_max;
    o->merge_bytes_max = o->merge_bytes_max == 0 ? MERGE_BYTES_MAX : o->merge_bytes_max;
    o->filter_bytes_max = o->filter_bytes_max == 0 ? FILTER_BYTES_MAX : o->filter_bytes_max;
    o->known_bytes_max = o->known_bytes_max == 0 ? KNOWN_BYTES_MAX : o->known_bytes_max;
    o->weeks_max = o->weeks_max == 0 ? WEEKS_MAX : o->weeks_max;
    o->names = o->names == NULL ? &SCHEMA_LIMITS : o->names;
}

static void free_offers(Offer *o)
{
    while (o != NULL) {
        Offer *next = o->next;
        free(o);
        o = next;
    }
}

static void free_all(Engine *e)
{
    for (uint32_t i = 0; i < e->file_count; i++)
        engine_file_close(&e->files[i]);
    for (uint32_t i = 0; i < e->memory_count; i++)
        part_unref(e->memory[i]);
    for (uint32_t i = 0; i < e->peek_count; i++)
        part_unref(e->peek[i]);
    for (uint32_t i = 0; i < e->week_count; i++) {
        recent_ids_free(&e->weeks[i]->recent);
        recent_ids_free(&e->weeks[i]->flushing);
        recent_ids_free(&e->weeks[i]->stand_in);
        id_filter_free(&e->weeks[i]->filter);
        free(e->weeks[i]);
    }
    free_offers(e->first);
    free(e->files);
    free(e->memory);
    free(e->peek);
    free(e->weeks);
    free(e->flush_weeks);
    free(e->orphans);
    free(e->shapes);
    rows_free(&e->open);
    buf_free(&e->flush_names);
    buf_free(&e->flush_changes);
    moved_unref(e->flush_moved);
    moved_unref(e->durable_moved);
    schema_free(e->schema);
    arena_free(e->scratch);
    arena_free(e->group[0]);
    arena_free(e->group[1]);
    (void)pthread_mutex_destroy(&e->apply);
    (void)pthread_mutex_destroy(&e->lock);
    (void)pthread_cond_destroy(&e->changed);
    free(e);
}

/* Where names are full, or a list is none, whose values come says so. */
static void pin(Schema *names, const EnginePin *p)
{
    SchemaProp *list = p->list.len == 0 ? NULL : schema_find_prop(names, SCHEMA_EVENT, p->list);
    SchemaProp *prop = NULL;
    if (p->list.len == 0)
        prop = schema_prop(names, SCHEMA_EVENT, p->name, p->type);
    else if (list != NULL && list->type == EVENT_ITEMS)
        prop = schema_field(names, list, p->name, p->type);
    if (prop != NULL)
        prop->pinned = true;
}

static Str keep_path(Str path, char *bytes)
{
    if (path.len > 0)
        memcpy(bytes, path.ptr, path.len);
    return (Str){bytes, path.len};
}

Err engine_open(Ctx *ctx, Str folder, const EngineOptions *options, Engine **out)
{
    Engine *e = calloc(1, sizeof *e);
    CHECK(e != NULL && folder.len <= FILE_PATH_BYTES_MAX &&
          options->log_folder.len <= FILE_PATH_BYTES_MAX);
    e->o = *options;
    e->folder = keep_path(folder, e->folder_bytes);
    e->o.log_folder = keep_path(options->log_folder, e->log_folder_bytes);
    fill_options(&e->o);
    e->schema = schema_new(e->o.names);
    e->scratch = arena_new(1 << 20);
    e->group[0] = arena_new(1 << 18);
    e->group[1] = arena_new(1 << 18);
    e->flush_names = BUF_MAX(SCHEMA_SAVE_BYTES_MAX);
    e->flush_changes = BUF_MAX(SCHEMA_SAVE_BYTES_MAX);
    e->durable_moved = moved_new();
    CHECK(pthread_mutex_init(&e->apply, NULL) == 0 && pthread_mutex_init(&e->lock, NULL) == 0 &&
          pthread_cond_init(&e->changed, NULL) == 0);
    Err err = e->o.read_only ? ERR_OK : file_make_folder(ctx, folder);
    if (err == ERR_OK)
        err = engine_load(ctx, e);
    if (err != ERR_OK) {
        free_all(e);
        return err;
    }
    for (uint32_t i = 0; i < e->o.pin_count; i++)
        pin(e->schema, &e->o.pins[i]);
    e->applied = e->offered = e->open_from = e->durable_seq;
    CHECK(pthread_create(&e->applier, NULL, engine_apply_main, e) == 0);
    if (!e->o.read_only)
        CHECK(pthread_create(&e->keeper, NULL, engine_keep_main, e) == 0);
    *out = e;
    return ERR_OK;
}

static void flush_last(Engine *e)
{
    Ctx ctx = {.arena = arena_new(4096)};
    atomic_store(&e->closing, true);
    if (engine_flush(&ctx, e) != ERR_OK) { /* the log has it: the next start offers it again */
    }
    arena_free(ctx.arena);
}

static void stop_threads(Engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
    e->stopping = true;
    (void)pthread_cond_broadcast(&e->changed);
    (void)pthread_mutex_unlock(&e->lock);
    CHECK(pthread_join(e->applier, NULL) == 0);
    if (!e->o.read_only)
        CHECK(pthread_join(e->keeper, NULL) == 0);
}

void engine_close(Engine *e)
{
    if (e == NULL)
        return;
    if (!e->o.read_only)
        flush_last(e);
    stop_threads(e);
    free_all(e);
}

/* ---- offering ----------------------------------------------------------------------------------- */

uint64_t engine_next_seq(Engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
    const uint64_t next = e->offered;
    (void)pthread_mutex_unlock(&e->lock);
    return next;
}

void engine_history(Engine *e, uint64_t *end_seq, uint32_t *mark)
{
    (void)pthread_mutex_lock(&e->lock);
    *end_seq = e->durable_seq;
    *mark = e->durable_mark;
    (void)pthread_mutex_unlock(&e->lock);
}

/* Bytes of the first `n` records. */
static size_t records_bytes(Str records, uint64_t n)
{
    size_t bytes = 0;
    for (uint64_t i = 0; i < n; i++) {
        Event ignored;
        size_t used = 0;
        CHECK(event_check(str_slice(records, bytes, records.len), &ignored, &used));
        bytes += used;
    }
    return bytes;
}

static void queue_offer(Engine *e, Offer *offer)
{
    if (e->last == NULL)
        e->first = offer;
    else
        e->last->next = offer;
    e->last = offer;
    e->offered = offer->first_seq + offer->count;
    e->queued_bytes += offer->bytes;
    (void)pthread_cond_broadcast(&e->changed);
}

static bool has_room(const Engine *e)
{
    return e->queued_bytes < QUEUED_BYTES_MAX && engine_has_memory(e);
}

/* Under the lock. */
static void take_offer(Engine *e, uint64_t first_seq, uint32_t count, Str records)
{
    const uint64_t known = e->offered > first_seq ? e->offered - first_seq : 0;
    if (known >= count)
        return;
    records = known == 0 ? records : str_slice(records, records_bytes(records, known), records.len);
    Offer *offer = malloc(sizeof *offer + records.len + DICT_PADDING);
    CHECK(offer != NULL);
    *offer = (Offer){.first_seq = first_seq + known,
                     .count = count - (uint32_t)known,
                     .bytes = (uint32_t)records.len};
    memcpy(offer->records, records.ptr, records.len);
    memset(offer->records + records.len, 0, DICT_PADDING);
    queue_offer(e, offer);
}

bool engine_offer(Engine *e, uint64_t first_seq, uint32_t count, Str records)
{
    (void)pthread_mutex_lock(&e->lock);
    while (!e->refusing && !has_room(e))
        (void)pthread_cond_wait(&e->changed, &e->lock);
    const bool taken = !e->refusing;
    if (taken)
        take_offer(e, first_seq, count, records);
    (void)pthread_mutex_unlock(&e->lock);
    return taken;
}

bool engine_offer_now(Engine *e, uint64_t first_seq, uint32_t count, Str records)
{
    (void)pthread_mutex_lock(&e->lock);
    const bool taken = !e->refusing && has_room(e);
    if (taken)
        take_offer(e, first_seq, count, records);
    else {
        e->complete = false;
        e->lacks_seq = first_seq;
    }
    (void)pthread_mutex_unlock(&e->lock);
    return taken;
}

void engine_refuse_offers(Engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
    e->refusing = true;
    (void)pthread_cond_broadcast(&e->changed);
    (void)pthread_mutex_unlock(&e->lock);
}

void engine_set_complete(Engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
    e->complete = e->lacks_seq == 0 || e->offered > e->lacks_seq;
    (void)pthread_cond_broadcast(&e->changed);
    (void)pthread_mutex_unlock(&e->lock);
}

bool engine_is_complete(Engine *e, int64_t until_us, uint64_t *offered)
{
    const struct timespec until = {.tv_sec = until_us / 1000000,
                                   .tv_nsec = until_us % 1000000 * 1000};
    (void)pthread_mutex_lock(&e->lock);
    for (int rc = 0; !e->complete && rc == 0 && until_us > 0;)
        rc = pthread_cond_clockwait(&e->changed, &e->lock, CLOCK_MONOTONIC, &until);
    const bool complete = e->complete && !atomic_load(&e->stuck);
    if (offered != NULL)
        *offered = e->offered - 1;
    (void)pthread_mutex_unlock(&e->lock);
    return complete;
}

/* Changes within an offer wait for a flush, which fails. */
static bool waits_for_disk(const Engine *e)
{
    return e->waits_for_room && e->keeper_err != ERR_OK;
}

static void wait_for_applied(Engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
    const uint64_t wanted = e->offered;
    while (e->applied < wanted && e->applied < e->offered && !waits_for_disk(e))
        (void)pthread_cond_wait(&e->changed, &e->lock);
    (void)pthread_mutex_unlock(&e->lock);
}

/* ---- views -------------------------------------------------------------------------------------- */

/* The open slice as parts, made when it has grown since. */
static void refresh_peek(Engine *e)
{
    if (e->peek_rows == e->open.count)
        return;
    engine_drop_peek(e);
    Ctx ctx = {.arena = e->scratch};
    Part **made = NULL;
    CHECK(rows_build(&ctx, &e->open, e->o.origin_ms, e->open_from, e->applied, &made,
                     &e->peek_count) == ERR_OK);
    e->peek = calloc(e->peek_count + 1, sizeof(Part *));
    CHECK(e->peek != NULL);
    memcpy(e->peek, made, e->peek_count * sizeof(Part *));
    engine_set_generation(e, e->peek, e->peek_count);
    e->peek_rows = e->open.count;
    arena_reset(e->scratch);
}

/* Files are in their order, memory's parts in that of their arrival: what is of one week keeps it. */
static void order_by_week(Part **parts, uint32_t count)
{
    Part **room = calloc((size_t)count + 1, sizeof *room);
    CHECK(room != NULL);
    for (uint32_t width = 1; width < count; width *= 2) {
        for (uint32_t from = 0; from < count; from += 2 * width) {
            const uint32_t middle = from + width < count ? from + width : count;
            const uint32_t end = middle + width < count ? middle + width : count;
            uint32_t i = from, j = middle;
            for (uint32_t to = from; to < end; to++) {
                const bool first =
                    j == end || (i < middle && parts[i]->head->week_ms <= parts[j]->head->week_ms);
                room[to] = first ? parts[i++] : parts[j++];
            }
        }
        memcpy(parts, room, count * sizeof *parts);
    }
    free(room);
}

ScanView *engine_view(Engine *e)
{
    wait_for_applied(e);
    (void)pthread_mutex_lock(&e->apply);
    refresh_peek(e);
    ScanView *v = calloc(1, sizeof *v);
    CHECK(v != NULL);
    v->person_count = schema_person_count(e->schema);
    v->moved = moved_ref(persons_moved(schema_persons(e->schema)));
    (void)pthread_mutex_lock(&e->lock);
    v->parts = calloc((size_t)e->file_count + e->memory_count + e->peek_count + 1, sizeof(Part *));
    CHECK(v->parts != NULL);
    for (uint32_t i = 0; i < e->file_count; i++)
        v->parts[v->part_count++] = part_ref(e->files[i].part);
    for (uint32_t i = 0; i < e->memory_count; i++)
        v->parts[v->part_count++] = part_ref(e->memory[i]);
    (void)pthread_mutex_unlock(&e->lock);
    for (uint32_t i = 0; i < e->peek_count; i++)
        v->parts[v->part_count++] = part_ref(e->peek[i]);
    (void)pthread_mutex_unlock(&e->apply);
    order_by_week(v->parts, v->part_count);
    return v;
}

void engine_view_done(ScanView *view)
{
    for (uint32_t i = 0; i < view->part_count; i++)
        part_unref(view->parts[i]);
    moved_unref(view->moved);
    free(view->parts);
    free(view);
}

Schema *engine_schema_lock(Engine *e)
{
    (void)pthread_mutex_lock(&e->apply);
    return e->schema;
}

void engine_schema_unlock(Engine *e)
{
    (void)pthread_mutex_unlock(&e->apply);
}

/* ---- flush, figures, checksums ------------------------------------------------------------------ */

/* What somebody waits for, besides a flush. */
typedef struct Wish {
    bool settle, forget;
    EngineForgetFn report; /* may be NULL */
    void *arg;
} Wish;

enum { REPORT_MS = 1000 };

/* Under the lock, which is free while it reports. */
static void wait_a_while(Engine *e, const Wish *wish)
{
    const int64_t until_us = clock_mono_us() + REPORT_MS * INT64_C(1000);
    const struct timespec until = {.tv_sec = until_us / 1000000,
                                   .tv_nsec = until_us % 1000000 * 1000};
    const int rc = pthread_cond_clockwait(&e->changed, &e->lock, CLOCK_MONOTONIC, &until);
    const uint32_t done = e->forgot_files, of = e->forget_files;
    if (rc == 0 || wish->report == NULL || of == 0)
        return;
    (void)pthread_mutex_unlock(&e->lock);
    wish->report(done, of, wish->arg);
    (void)pthread_mutex_lock(&e->lock);
}

/* A round of the keeper that begins after this call, to its end. */
static Err keeper_round(Ctx *ctx, Engine *e, const Wish *wish)
{
    CHECK(!e->o.read_only);
    wait_for_applied(e);
    (void)pthread_mutex_lock(&e->lock);
    /* A round may be under way that began before: the one after it counts. */
    const uint64_t wanted = e->rounds + 2;
    Err err = ERR_OK;
    while (e->rounds < wanted && err == ERR_OK) {
        const uint64_t before = e->rounds;
        e->flush_wanted = true;
        e->settle_wanted |= wish->settle;
        e->forget_wanted |= wish->forget;
        (void)pthread_cond_broadcast(&e->changed);
        while (e->rounds == before)
            wait_a_while(e, wish);
        err = e->keeper_err;
    }
    if (err != ERR_OK)
        ctx->fault = e->keeper_fault;
    (void)pthread_mutex_unlock(&e->lock);
    return err;
}

Err engine_flush(Ctx *ctx, Engine *e)
{
    return keeper_round(ctx, e, &(Wish){.settle = false});
}

Err engine_settle(Ctx *ctx, Engine *e)
{
    return keeper_round(ctx, e, &(Wish){.settle = true});
}

Err engine_forget(Ctx *ctx, Engine *e, EngineForgetFn report, void *arg)
{
    return keeper_round(ctx, e, &(Wish){.forget = true, .report = report, .arg = arg});
}

void engine_forget_soon(Engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
    e->flush_wanted = e->forget_wanted = true;
    (void)pthread_cond_broadcast(&e->changed);
    (void)pthread_mutex_unlock(&e->lock);
}

/* Under the lock. */
static EngineHealth health_of(const Engine *e)
{
    EngineHealth h = e->health;
    h.kept_aside = atomic_load_explicit(&e->kept_aside, memory_order_relaxed);
    h.erased_waiting = e->durable_erased - e->durable_forgotten;
    h.erased_since_ms = e->erased_since_ms;
    for (uint32_t i = 0; i < e->file_count; i++) {
        h.files_aside += e->files[i].retry_at_us != 0;
        h.files_damaged += atomic_load(&e->files[i].part->damaged);
    }
    return h;
}

void engine_health(Engine *e, EngineHealth *out)
{
    (void)pthread_mutex_lock(&e->lock);
    *out = health_of(e);
    (void)pthread_mutex_unlock(&e->lock);
}

/* ---- who is whom -------------------------------------------------------------------------------- */

static EventActor copy_actor(Arena *arena, EventActor a)
{
    return (EventActor){arena_copy(arena, a.kind), arena_copy(arena, a.value)};
}

EventActor *engine_actors_with(Arena *arena, Engine *e, EventActor who, uint32_t *count)
{
    EventActor *out = ARENA_ARRAY(arena, EventActor, PERSONS_ACTORS_MAX);
    out[0] = who;
    *count = 1;
    if (e == NULL)
        return out;
    const Schema *names = engine_schema_lock(e);
    const Persons *persons = schema_persons(names);
    const uint32_t number = schema_find_actor(names, who);
    const uint32_t person = number == 0 ? 0 : persons_of(persons, number);
    for (uint32_t ordinal = 0, actor = 0; person != 0 && *count < PERSONS_ACTORS_MAX &&
                                          (actor = persons_actor(persons, person, ordinal)) != 0;
         ordinal++)
        if (actor != number && persons_of(persons, actor) == person &&
            persons_ordinal(persons, actor) == ordinal)
            out[(*count)++] = copy_actor(arena, schema_actor_of(names, actor));
    engine_schema_unlock(e);
    return out;
}

/* A part, and what had died of it at one moment. */
typedef struct Counted {
    Part *part;
    uint32_t died;
} Counted;

static void count_part(const Counted *c, const Moved *moved, EngineStat *out)
{
    const Part *part = c->part;
    out->dead_rows += engine_dead(c->part, moved, c->died);
    for (uint32_t l = 0; l < part->head->list_count; l++)
        out->attribute_rows += part->lists[l].event == PART_PERSON ? part->lists[l].rows : 0;
}

void engine_stat(Engine *e, EngineStat *out)
{
    *out = (EngineStat){0};
    (void)pthread_mutex_lock(&e->apply);
    out->repeated = e->repeated;
    memcpy(out->aside, e->aside, sizeof out->aside);
    for (size_t i = 0; i < ENGINE_ASIDE_COUNT; i++)
        out->kept_aside += e->aside[i];
    out->names_bytes = schema_bytes(e->schema);
    for (uint32_t i = 0; i < e->week_count; i++)
        out->filter_bytes += id_filter_bytes(&e->weeks[i]->filter);
    (void)pthread_mutex_lock(&e->lock);
    out->next_seq = e->offered;
    out->durable_seq = e->durable_seq;
    out->memory_rows = e->memory_rows + e->open.count;
    out->memory_parts = e->memory_count;
    out->file_parts = e->file_count;
    out->events = out->memory_rows;
    out->bytes_written = e->bytes_written;
    out->names_file_bytes = (uint64_t)e->names.bytes;
    out->health = health_of(e);
    out->moves = persons_moved(schema_persons(e->schema))->generation;
    out->attribute_rows = rows_of_event(&e->open, PART_PERSON);
    Moved *moved = moved_ref(persons_moved(schema_persons(e->schema)));
    Counted *parts = calloc((size_t)e->memory_count + e->file_count + 1, sizeof *parts);
    CHECK(parts != NULL);
    uint32_t count = 0;
    for (uint32_t i = 0; i < e->memory_count; i++)
        parts[count++].part = e->memory[i];
    for (uint32_t i = 0; i < e->file_count; i++) {
        parts[count++].part = e->files[i].part;
        out->events += e->files[i].part->head->rows;
        out->file_bytes += e->files[i].part->bytes.len;
        out->id_bytes += e->files[i].ids.bytes.len;
    }
    for (uint32_t i = 0; i < count; i++)
        parts[i].died = atomic_load(&part_ref(parts[i].part)->died);
    (void)pthread_mutex_unlock(&e->lock);
    (void)pthread_mutex_unlock(&e->apply);
    for (uint32_t i = 0; i < count; i++) {
        count_part(&parts[i], moved, out);
        part_unref(parts[i].part);
    }
    out->events -= out->dead_rows + out->attribute_rows;
    moved_unref(moved);
    free(parts);
}

typedef struct Report {
    EngineReportFn fn;
    void *arg;
    const char *file;
} Report;

static void report_part(int64_t offset, const char *what, void *arg)
{
    const Report *r = arg;
    if (r->fn != NULL)
        r->fn(r->file, offset, what, r->arg);
}

static int64_t verify_ids(const FilePart *f, EngineReportFn fn, void *arg)
{
    const bool good = ids_are_sound(&f->ids);
    if (!good)
        atomic_store(&f->part->damaged, true);
    char name[ENGINE_NAME_BYTES];
    if (!good && fn != NULL)
        fn(engine_file_name(f->number, ".ids", name).ptr, 0, "checksum of the ids", arg);
    return !good;
}

Err engine_verify(Ctx *ctx, Engine *e, EngineReportFn fn, void *arg, int64_t *bad)
{
    int64_t found = 0;
    (void)pthread_mutex_lock(&e->lock);
    const uint32_t count = e->file_count;
    FilePart *files = ARENA_ARRAY(ctx->arena, FilePart, (size_t)count + 1);
    for (uint32_t i = 0; i < count; i++) {
        const FilePart *f = &e->files[i];
        files[i] =
            (FilePart){.part = part_ref(f->part), .ids = ids_share(&f->ids), .number = f->number};
    }
    (void)pthread_mutex_unlock(&e->lock);
    for (uint32_t i = 0; i < count; i++) {
        char name[ENGINE_NAME_BYTES];
        Report r = {fn, arg, engine_file_name(files[i].number, ".part", name).ptr};
        found += part_verify(files[i].part, report_part, &r);
        found += verify_ids(&files[i], fn, arg);
        engine_file_close(&files[i]);
    }
    *bad = found;
    return ERR_OK;
}
