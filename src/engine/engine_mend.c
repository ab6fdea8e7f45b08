/*
 * engine/engine_mend.c -- a damaged file is made again from the log.
 *
 * A file holds the events of one week that arrived in [from_seq, to_seq), but those whose id an older file of
 * that week has.  Its head and tables were sound when it was opened, so both are known although its data or its
 * ids are not, and what the log holds of that stretch gives the same file once more.  Until it stands in the
 * manifest, whoever asks for what is damaged gets an error.
 *
 * Of files that were written together the first one has the ids of all: there the ids of an older file do not say
 * which rows came before.  So the log is read from the first of them on to the last, and a file gets the ids that
 * no other of them has.
 *
 * Once rows have been moved from person to person, a file may hold rows of what arrived long before it: then all
 * files of the week are made again as one, from the whole log of that week, by who is whom as the files know it: when
 * persons were moved since, a flush comes first.
 *
 * Memory: the file that is made, its rows once more in slices of flush_rows, and up to 40 bytes per id.
 */
#include "engine/engine_inside.h"
#include "events/events_survey.h"

#include "base/hash.h"
#include "base/log.h"

#include <stdlib.h>

/* ---- a stretch of the log ------------------------------------------------------------------------- */

typedef struct Reading {
    const Engine *e;
    const LogStretch *stretch;
    const atomic_bool *stop;
    Arena *scratch;
    LogEventFn fn;
    void *arg;
    bool is_over;
} Reading;

static bool belongs(const Reading *r, uint64_t seq, const Event *event)
{
    if (seq < r->stretch->from_seq || seq >= r->stretch->to_seq)
        return false;
    return r->stretch->erasures
               ? event->kind == EVENT_ERASE
               : engine_has_row(event->kind) &&
                     rows_week_ms(event->time_ms, r->e->o.origin_ms) == r->stretch->week_ms;
}

static Err take_batch(Ctx *ctx, uint64_t first_seq, int64_t outbox_id, Str records, void *arg)
{
    (void)outbox_id;
    Reading *r = arg;
    r->is_over = first_seq >= r->stretch->to_seq;
    if (r->is_over || (r->stop != NULL && atomic_load(r->stop)))
        return fail(ctx, ERR_CONFLICT, "events.stopped", "at %" PRIu64, first_seq);
    Ctx each = {.arena = r->scratch};
    for (uint64_t seq = first_seq; records.len > 0; seq++) {
        Event event;
        size_t used = 0;
        CHECK(event_decode(&each, records, &event, &used) ==
              ERR_OK); /* the survey has checked it */
        records = str_slice(records, used, records.len);
        if (belongs(r, seq, &event))
            TRY(r->fn(ctx, seq, &event, r->arg));
        arena_reset(r->scratch); /* decoded, a batch is many times as large */
    }
    return ERR_OK;
}

Err engine_log_read(Ctx *ctx, const Engine *e, const LogStretch *stretch, const atomic_bool *stop,
                    LogEventFn fn, void *arg)
{
    EventsSurvey survey;
    int64_t bad = 0; /* found again, and named, by events_verify() */
    TRY(events_survey(ctx, e->o.log_folder, &survey));
    if (survey.end_seq < stretch->to_seq)
        return fail(ctx, ERR_INTERNAL, "events.log_short", "%" PRIu64 " of %" PRIu64,
                    survey.end_seq, stretch->to_seq);
    Reading r = {e, stretch, stop, arena_new(1 << 16), fn, arg, false};
    const EventsSurveyVisit visit = {.from_seq = stretch->from_seq, .batch = take_batch, .arg = &r};
    const Err err = events_survey_read(ctx, &survey, &visit, &bad);
    arena_free(r.scratch);
    return r.is_over ? ERR_OK : err;
}

/* ---- files that were written together -------------------------------------------------------------- */

/* Every row has an id, in its file or in one before it: where all files so far have as many ids as rows, what
 * follows stands for itself.  Events that came in twice (damaged ids, no log) have theirs twice. */
FileGroup engine_group_of(const FilePart *files, uint32_t count, uint32_t at)
{
    FileGroup g = {0, count};
    int64_t ids_ahead = 0; /* of files behind */
    for (uint32_t i = 0; i < count; i++) {
        if (ids_ahead == 0 && i > at) {
            g.to = i;
            break;
        }
        if (ids_ahead == 0)
            g.from = i;
        ids_ahead += (int64_t)files[i].ids.head->count - (int64_t)files[i].part->head->rows;
        ids_ahead = ids_ahead < 0 ? 0 : ids_ahead;
    }
    return g;
}

/* ---- its rows once more --------------------------------------------------------------------------- */

/* The log still has what was erased a short while ago: an actor's events below this number. */
typedef struct ErasedActor {
    uint64_t actor; /* hash of its key */
    uint64_t below;
} ErasedActor;

typedef struct Mend {
    Engine *e;
    ErasedActor *erased; /* by actor */
    uint32_t erased_count, erased_cap;
    const Moved *moved;        /* as the files know it */
    uint64_t from_seq, to_seq; /* what of the week it shall hold */
    const FilePart *files;     /* of its week */
    bool all;                  /* of them are made again as one */
    uint32_t at;               /* which of them it is, else */
    FileGroup group;           /* of which the ids are its own */
    RowBuffer rows;
    RecentIds ids; /* of the group */
    Part **slices;
    uint32_t slice_count, slice_cap;
} Mend;

static Err close_slice(Ctx *ctx, Mend *m)
{
    if (m->rows.count == 0)
        return ERR_OK;
    Ctx own = {.arena = arena_new(1 << 16)};
    Part **made = NULL;
    uint32_t n = 0;
    const Err err =
        rows_build(&own, &m->rows, m->e->o.origin_ms, m->from_seq, m->to_seq, &made, &n);
    if (err == ERR_OK && m->slice_count + n > m->slice_cap) {
        m->slice_cap = (m->slice_count + n) * 2;
        m->slices = realloc(m->slices, m->slice_cap * sizeof(Part *));
        CHECK(m->slices != NULL);
    }
    for (uint32_t i = 0; err == ERR_OK && i < n; i++) {
        made[i]->generation = m->moved->generation;
        m->slices[m->slice_count++] = made[i];
    }
    ctx->fault = own.fault;
    arena_free(own.arena);
    rows_clear(&m->rows);
    return err;
}

static bool is_before_group(const Mend *m, uint64_t hash)
{
    for (uint32_t i = 0; i < m->group.from; i++)
        if (ids_has(&m->files[i].ids, hash))
            return true;
    return false;
}

static uint64_t actor_hash(EventActor actor)
{
    return hash_bytes(actor.value, hash_bytes(actor.kind, actor.kind.len));
}

static Err take_erasure(Ctx *ctx, uint64_t seq, const Event *event, void *arg)
{
    (void)ctx;
    Mend *m = arg;
    if (m->erased_count == m->erased_cap) {
        m->erased_cap = m->erased_cap * 2 + 16;
        m->erased = realloc(m->erased, m->erased_cap * sizeof *m->erased);
        CHECK(m->erased != NULL);
    }
    m->erased[m->erased_count++] = (ErasedActor){actor_hash(event->actor), seq};
    return ERR_OK;
}

static int by_actor(const void *a, const void *b)
{
    const ErasedActor *x = a, *y = b;
    if (x->actor != y->actor)
        return x->actor < y->actor ? -1 : 1;
    return (x->below > y->below) - (x->below < y->below);
}

/* The last erasure of an actor holds for all that came before it. */
static bool was_erased(const Mend *m, EventActor actor, uint64_t seq)
{
    const uint64_t hash = actor_hash(actor);
    uint32_t low = 0, high = m->erased_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (m->erased[middle].actor <= hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && m->erased[low - 1].actor == hash && seq < m->erased[low - 1].below;
}

/* Who was erased in the part of the log that the files know. */
static Err find_erased(Ctx *ctx, Mend *m)
{
    Engine *e = m->e;
    (void)pthread_mutex_lock(&e->apply);
    const bool any = persons_erased(schema_persons(e->schema)) > 0;
    (void)pthread_mutex_unlock(&e->apply);
    const LogStretch all = {.from_seq = m->from_seq, .to_seq = e->durable_seq, .erasures = true};
    if (any)
        TRY(engine_log_read(ctx, e, &all, &e->closing, take_erasure, m));
    if (m->erased_count > 0)
        qsort(m->erased, m->erased_count, sizeof *m->erased, by_actor);
    return ERR_OK;
}

/* Rows are placed by who is whom now, which must be what the files know: else the next flush comes first. */
static Err expect_no_moves(Ctx *ctx, Mend *m)
{
    (void)pthread_mutex_lock(&m->e->apply);
    const uint32_t now = persons_moved(schema_persons(m->e->schema))->generation;
    (void)pthread_mutex_unlock(&m->e->apply);
    return now == m->moved->generation
               ? ERR_OK
               : fail(ctx, ERR_CONFLICT, "events.moving", "persons were moved meanwhile");
}

static Err take_event(Ctx *ctx, uint64_t seq, const Event *event, void *arg)
{
    Mend *m = arg;
    Engine *e = m->e;
    const uint64_t hash = engine_id_hash(e, event);
    Home home = {0};
    if (is_before_group(m, hash))
        return ERR_OK;
    if (was_erased(m, event->actor, seq)) {
        (void)recent_ids_add(&m->ids, hash); /* it came, and comes in no more */
        return ERR_OK;
    }
    (void)pthread_mutex_lock(&e->apply);
    if (engine_find_home(e, event, &home) == ENGINE_ASIDE_COUNT && recent_ids_add(&m->ids, hash) &&
        seq >= m->from_seq && seq < m->to_seq)
        engine_put_row(e, &m->rows, event, &home);
    (void)pthread_mutex_unlock(&e->apply);
    const bool is_full = m->rows.count >= e->o.flush_rows ||
                         rows_cells(&m->rows) >= ENGINE_SLICE_CELLS ||
                         m->rows.room >= ENGINE_SLICE_TAKEN;
    return is_full ? close_slice(ctx, m) : ERR_OK;
}

/* What older files have was asked of their ids: they must have been there. */
static Err expect_ids(Ctx *ctx, const Mend *m)
{
    for (uint32_t i = 0; i < m->group.from; i++)
        if (!ids_are_whole(&m->files[i].ids))
            return fail(ctx, ERR_INTERNAL, "events.ids_damaged", "file %" PRIu64,
                        m->files[i].number);
    return ERR_OK;
}

/* Ids of the group that no other file of it has; how many.  Damaged ids say nothing: their file is made again
 * later, and then gets what is missing by then. */
static uint32_t own_ids(const Mend *m, uint64_t *hashes, uint32_t count)
{
    for (uint32_t i = m->group.from; i < m->group.to; i++) {
        if (m->all || i == m->at || !ids_are_sound(&m->files[i].ids))
            continue;
        uint32_t kept = 0;
        for (uint32_t h = 0; h < count; h++)
            if (!ids_has(&m->files[i].ids, hashes[h]))
                hashes[kept++] = hashes[h];
        count = kept;
    }
    return count;
}

static void mend_free(Mend *m)
{
    for (uint32_t i = 0; i < m->slice_count; i++)
        part_unref(m->slices[i]);
    free(m->slices);
    free(m->erased);
    rows_free(&m->rows);
    recent_ids_free(&m->ids);
}

/* *made: no file, or one, or several when one would be too large.  What the rows need of new names goes to disk with
 * the manifest. */
static Err make_again(Ctx *ctx, Mend *m, FileList *made)
{
    Engine *e = m->e;
    const LogStretch of_group = {m->files[m->at].part->head->week_ms,
                                 m->files[m->group.from].part->head->from_seq,
                                 m->files[m->group.to - 1].part->head->to_seq};
    TRY(expect_no_moves(ctx, m));
    TRY(find_erased(ctx, m));
    TRY(engine_log_read(ctx, e, &of_group, &e->closing, take_event, m));
    TRY(expect_ids(ctx, m));
    TRY(close_slice(ctx, m));
    TRY(expect_no_moves(ctx, m));
    uint64_t *hashes = engine_hashes_of(ctx, &m->ids);
    const uint32_t hash_count = own_ids(m, hashes, m->ids.count);
    if (m->slice_count == 0 && hash_count > 0)
        return fail(ctx, ERR_INTERNAL, "events.log_short", "no event of its own, ids of others");
    if (m->slice_count == 0)
        return ERR_OK;
    (void)pthread_mutex_lock(&e->apply);
    (void)pthread_mutex_lock(&e->lock);
    engine_take_names(e);
    (void)pthread_mutex_unlock(&e->lock);
    (void)pthread_mutex_unlock(&e->apply);
    const FileContent content = {.parts = m->slices,
                                 .count = m->slice_count,
                                 .hashes = hashes,
                                 .hash_count = hash_count,
                                 .moved = m->moved,
                                 .bytes_max = m->all ? e->o.merge_bytes_max : UINT64_MAX,
                                 .stop = &e->closing}; /* one file is as large as it was */
    made->at = ARENA_ARRAY(ctx->arena, FilePart, m->slice_count);
    return engine_files_write(ctx, e, &content, made);
}

/* ---- the file in its place ------------------------------------------------------------------------ */

/* Who asks whether an id was there before looks at the new file's ids from here on. */
static void end_mend(Engine *e, const FileList *l, int64_t week_ms)
{
    (void)pthread_mutex_lock(&e->apply);
    for (uint32_t i = 0; i < e->week_count; i++)
        if (e->weeks[i]->week_ms == week_ms) {
            id_filter_free(&e->weeks[i]->filter);
            recent_ids_free(&e->weeks[i]->stand_in);
        }
    (void)pthread_mutex_lock(&e->lock);
    engine_files_take_over(e, l);
    e->health.mended_files++;
    (void)pthread_mutex_unlock(&e->lock);
    (void)pthread_mutex_unlock(&e->apply);
}

static uint32_t end_of_week(const FileList *l, uint32_t at)
{
    uint32_t end = at + 1;
    while (end < l->count && l->at[end].part->head->week_ms == l->at[at].part->head->week_ms)
        end++;
    return end;
}

static uint32_t first_of_week(const FileList *l, uint32_t at)
{
    uint32_t first = at;
    while (first > 0 && l->at[first - 1].part->head->week_ms == l->at[at].part->head->week_ms)
        first--;
    return first;
}

/* The file at `at`, or its whole week. */
static Mend mend_of(Engine *e, const FileList *l, uint32_t at)
{
    const uint32_t first = first_of_week(l, at), count = end_of_week(l, at) - first;
    Mend m = {.e = e,
              .moved = e->durable_moved,
              .files = l->at + first,
              .at = at - first,
              .all = e->durable_moved->generation > 0};
    m.group = m.all ? (FileGroup){0, count} : engine_group_of(m.files, count, m.at);
    m.from_seq = m.files[m.all ? 0 : m.at].part->head->from_seq;
    m.to_seq = m.files[m.all ? count - 1 : m.at].part->head->to_seq;
    return m;
}

static uint64_t rows_of(const FilePart *files, uint32_t n)
{
    uint64_t rows = 0;
    for (uint32_t i = 0; i < n; i++)
        rows += files[i].part->head->rows;
    return rows;
}

static Err mend_file(Ctx *ctx, Engine *e, FileList *l, uint32_t at)
{
    Mend m = mend_of(e, l, at);
    FileList made = {0};
    const Err err = make_again(ctx, &m, &made);
    mend_free(&m);
    if (err != ERR_OK)
        engine_files_give_up(e, &made, false);
    TRY(err);
    const uint32_t first = m.all ? at - m.at : at, n = m.all ? m.group.to : 1;
    FilePart *old = ARENA_ARRAY(ctx->arena, FilePart, n);
    memcpy(old, l->at + first, n * sizeof *old);
    LOG(LOG_WARN, "events.file_made_again", LOG_I64("file", (int64_t)l->at[at].number),
        LOG_I64("rows", (int64_t)rows_of(made.at, made.count)),
        LOG_I64("rows_before", (int64_t)rows_of(old, n)));
    engine_files_cut(l, first, n);
    FileList files = engine_files_copy(ctx, e, made.count + 1);
    memcpy(files.at, l->at, l->count * sizeof *files.at);
    files.count = l->count;
    for (uint32_t i = 0; i < made.count; i++) {
        made.at[i].ends_stretch = i + 1 < made.count || old[n - 1].ends_stretch;
        engine_files_insert(&files, &made.at[i]);
    }
    TRY(engine_files_save(ctx, e, &files, NULL, &made));
    end_mend(e, &files, old[0].part->head->week_ms);
    for (uint32_t i = 0; i < n; i++)
        engine_file_retire(e, &old[i]);
    return ERR_OK;
}

/* The first that may be made again now: of one week the oldest goes first, since the others need its ids. */
static bool find_damaged(const FileList *l, uint32_t *at)
{
    int64_t waiting_ms = INT64_MIN;
    for (uint32_t i = 0; i < l->count; i++) {
        const FilePart *f = &l->at[i];
        if (!atomic_load(&f->part->damaged) || f->part->head->week_ms == waiting_ms)
            continue;
        if (f->retry_at_us == 0) {
            *at = i;
            return true;
        }
        waiting_ms = f->part->head->week_ms;
    }
    return false;
}

/* False: one of them is damaged, and is marked so.  A whole week needs none. */
static bool older_ids_are_sound(const Engine *e, const FileList *l, uint32_t at)
{
    if (e->durable_moved->generation > 0)
        return true;
    for (uint32_t i = first_of_week(l, at); i < at; i++) {
        if (!ids_are_sound(&l->at[i].ids)) {
            atomic_store(&l->at[i].part->damaged, true);
            return false;
        }
    }
    return true;
}

Err engine_mend_due(Ctx *ctx, Engine *e)
{
    Err first_err = ERR_OK;
    Fault first_fault = {0};
    while (e->o.log_folder.len > 0 && !atomic_load(&e->closing)) {
        arena_reset(ctx->arena);
        FileList l = engine_files_copy(ctx, e, 1);
        uint32_t at = 0;
        if (!find_damaged(&l, &at))
            break;
        if (!older_ids_are_sound(e, &l, at))
            continue;
        const FilePart old = l.at[at];
        const Err err = mend_file(ctx, e, &l, at);
        if (err == ERR_OK || atomic_load(&e->closing))
            continue;
        engine_files_put_aside(e, &old, 1, &ctx->fault);
        first_fault = first_err == ERR_OK ? ctx->fault : first_fault;
        first_err = first_err == ERR_OK ? err : first_err;
    }
    ctx->fault = first_fault;
    return first_err;
}
