/*
 * engine/engine_keep.c
 *
 * A flush takes all slices that are there, in the order of arrival, and writes per week one part and the
 * ids of its events; then the manifest names them, then they take the slices' place.  When anything
 * fails, everything stays as it was and is tried again.
 *
 * Rows of who was moved since stay behind in a file until it is merged: for that alone, when they are many, or have
 * stayed for long.
 *
 * What fails with some files (a merge of damaged ones, or one that finds no room) puts these aside for a while,
 * and the others get their turn.
 *
 * Files of one week grow together like digits of a counter: `fan` neighbours of the smallest sizes become
 * one.  An event is so written once per level: once when it leaves memory, then at most
 * log(week / flush_rows) / log(fan) times; before, in files that are small even together, a few times more
 * (count_tiny()).
 * What would become larger than EngineOptions.merge_bytes_max stays in two: a flush then writes several files
 * of a week, and files that shall grow together are cut into two stretches.
 */
#include "engine/engine_inside.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <time.h>

enum {
    RETRY_MS = 1000,
    MERGE_MAX = 64,
    LEVELS = 16,
    /* from here on two files of a size become one: weeks have one file per size at most */
    FILES_MANY = 8192,
    FILES_MAX = 16384, /* two maps each; a process has 65,530 */
};

/* ---- flush -------------------------------------------------------------------------------------- */

/* From here on the slices that are there, their ids and their names belong to the flush. */
static void begin_flush(Engine *e)
{
    if (atomic_load(&e->stuck))
        return;
    (void)pthread_mutex_lock(&e->apply);
    if (!e->flush_begun) {
        engine_close_slice(e);
        e->moved_rows = 0;
        e->unflushed_bytes = 0;
    }
    if (!e->flush_begun && (e->memory_count > 0 || e->open_from > e->durable_seq)) {
        for (uint32_t i = 0; i < e->week_count; i++) {
            CHECK(e->weeks[i]->flushing.count == 0);
            recent_ids_free(&e->weeks[i]->flushing);
            e->weeks[i]->flushing = e->weeks[i]->recent;
            /* Growing to the same size again would move every hash twice. */
            e->weeks[i]->recent = (RecentIds){.expected = e->weeks[i]->flushing.count};
        }
        e->flush_weeks = realloc(e->flush_weeks, (e->week_count + 1) * sizeof(Week *));
        CHECK(e->flush_weeks != NULL);
        e->flush_week_count = e->week_count;
        if (e->week_count > 0)
            memcpy(e->flush_weeks, e->weeks, e->week_count * sizeof(Week *));
        e->flush_end = e->open_from;
        memcpy(e->flush_aside, e->aside, sizeof e->flush_aside);
        (void)pthread_mutex_lock(&e->lock);
        engine_take_names(e);
        schema_save_changes(e->schema, &e->flush_changes);
        moved_unref(e->flush_moved);
        e->flush_moved = moved_alone(persons_moved(schema_persons(e->schema)));
        e->flush_erased = persons_erased(schema_persons(e->schema));
        for (uint32_t i = 0; i < e->file_count; i++)
            e->files[i].part->died_flushing = atomic_load(&e->files[i].part->died);
        e->flush_count = e->memory_count;
        e->flush_begun = true;
        (void)pthread_mutex_unlock(&e->lock);
    }
    (void)pthread_mutex_unlock(&e->apply);
}

uint64_t *engine_hashes_of(Ctx *ctx, const RecentIds *r)
{
    uint64_t *hashes = (void *)arena_bytes(ctx->arena, ((size_t)r->count + 1) * sizeof *hashes);
    recent_ids_sorted(r, hashes);
    return hashes;
}

/* The slices of one week, in order; how many. */
static uint32_t slices_of(Part *const *slices, uint32_t count, int64_t week_ms, Part **out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++)
        if (slices[i]->head->week_ms == week_ms)
            out[n++] = slices[i];
    return n;
}

static Err write_week(Ctx *ctx, Engine *e, const Week *w, Part *const *slices, uint32_t n,
                      FileList *files, FileList *made)
{
    const FileContent c = {.parts = slices,
                           .count = n,
                           .hashes = engine_hashes_of(ctx, &w->flushing),
                           .hash_count = w->flushing.count,
                           .moved = e->flush_moved,
                           .bytes_max = e->o.merge_bytes_max};
    const uint32_t first = made->count;
    TRY(engine_files_write(ctx, e, &c, made));
    for (uint32_t i = first; i < made->count; i++)
        engine_files_insert(files, &made->at[i]);
    return ERR_OK;
}

static Err write_weeks(Ctx *ctx, Engine *e, Part *const *slices, uint32_t count, FileList *files,
                       FileList *made)
{
    Part **of_week = ARENA_ARRAY(ctx->arena, Part *, count);
    for (uint32_t i = 0; i < e->flush_week_count; i++) {
        const Week *w = e->flush_weeks[i];
        const uint32_t n = slices_of(slices, count, w->week_ms, of_week);
        if (n > 0)
            TRY(write_week(ctx, e, w, of_week, n, files, made));
    }
    return ERR_OK;
}

/* The ids that were written count among those of files. */
static void end_week(Engine *e, Week *w)
{
    uint64_t some[512];
    uint32_t slot = 0, n = 0;
    while (w->filter.lines != NULL &&
           (n = recent_ids_next(&w->flushing, &slot, some, ARRAY_LEN(some))) > 0)
        id_filter_add_all(&w->filter, some, n);
    if (w->flushing.count > 0)
        w->flushed = e->flush_end;
    recent_ids_free(&w->flushing);
}

/* Of the weeks that neither this flush nor memory has events of: the one that had its last ones longest ago. */
static Week *idle_week(const Engine *e)
{
    Week *idle = NULL;
    for (uint32_t i = 0; i < e->week_count; i++) {
        Week *w = e->weeks[i];
        const bool is_idle = w->flushed < e->flush_end && w->recent.count == 0;
        if (is_idle && w->filter.lines != NULL && (idle == NULL || w->flushed < idle->flushed))
            idle = w;
    }
    return idle;
}

/* A week that gets an event again reads the ids of its files once more. */
static void give_up_filters(Engine *e)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < e->week_count; i++)
        bytes += id_filter_bytes(&e->weeks[i]->filter);
    for (Week *w = NULL; bytes > e->o.filter_bytes_max && (w = idle_week(e)) != NULL;) {
        bytes -= id_filter_bytes(&w->filter);
        id_filter_free(&w->filter);
    }
}

/* The files take the slices' place. */
static void end_flush(Engine *e, const FileList *files, uint64_t durable_seq, uint32_t mark)
{
    (void)pthread_mutex_lock(&e->apply);
    for (uint32_t i = 0; i < e->flush_week_count; i++)
        end_week(e, e->flush_weeks[i]);
    give_up_filters(e);
    (void)pthread_mutex_lock(&e->lock);
    engine_files_take_over(e, files);
    for (uint32_t i = 0; i < e->file_count; i++)
        e->files[i].part->died_durable = e->files[i].part->died_flushing;
    for (uint32_t i = 0; i < e->flush_count; i++) {
        e->memory_rows -= e->memory[i]->head->rows;
        e->memory_bytes -= engine_heap_bytes(e->memory[i]);
        part_unref(e->memory[i]);
    }
    e->memory_count -= e->flush_count;
    if (e->memory_count > 0)
        memmove(e->memory, e->memory + e->flush_count, e->memory_count * sizeof(Part *));
    e->flush_count = 0;
    e->flush_begun = false;
    e->durable_seq = durable_seq;
    e->durable_mark = mark;
    moved_unref(e->durable_moved);
    e->durable_moved = e->flush_moved;
    e->flush_moved = NULL;
    memcpy(e->durable_aside, e->flush_aside, sizeof e->durable_aside);
    /* Files are written again: views wait for who waits for room, also while this round goes on. */
    e->keeper_err = ERR_OK;
    (void)pthread_cond_broadcast(&e->changed);
    (void)pthread_mutex_unlock(&e->lock);
    (void)pthread_mutex_unlock(&e->apply);
}

#define TOO_MANY_FILES "events.files"

static Err flush(Ctx *ctx, Engine *e)
{
    begin_flush(e);
    const uint32_t count = e->flush_count;
    if (!e->flush_begun)
        return ERR_OK;
    Part **slices = ARENA_ARRAY(ctx->arena, Part *, (size_t)count + 1);
    (void)pthread_mutex_lock(&e->lock);
    if (count > 0)
        memcpy(slices, e->memory, count * sizeof(Part *));
    (void)pthread_mutex_unlock(&e->lock);
    const uint64_t durable_seq = e->flush_end;
    FileList files = engine_files_copy(ctx, e, count);
    if (files.count >= FILES_MAX)
        return fail(ctx, ERR_BUSY, TOO_MANY_FILES, "%u files", files.count);
    FileList made = {ARENA_ARRAY(ctx->arena, FilePart, (size_t)count + 1), 0};
    uint32_t mark = 0;
    Err err = e->o.settle == NULL ? ERR_OK : e->o.settle(ctx, durable_seq, &mark, e->o.settle_arg);
    if (err == ERR_OK)
        err = write_weeks(ctx, e, slices, count, &files, &made);
    if (err != ERR_OK) {
        engine_files_give_up(e, &made, false);
        return err;
    }
    const Durable durable = {
        .seq = durable_seq, .mark = mark, .aside = e->flush_aside, .erased = e->flush_erased};
    TRY(engine_files_save(ctx, e, &files, &durable, &made));
    end_flush(e, &files, durable_seq, mark);
    return ERR_OK;
}

Err engine_flush_when_due(Ctx *ctx, Engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
    const bool due = e->flush_wanted;
    e->flush_wanted = false;
    (void)pthread_mutex_unlock(&e->lock);
    const Err err = due ? flush(ctx, e) : ERR_OK;
    if (err == ERR_OK)
        return ERR_OK;
    (void)pthread_mutex_lock(&e->lock);
    e->flush_wanted = true;
    (void)pthread_mutex_unlock(&e->lock);
    return err;
}

/* ---- growing together --------------------------------------------------------------------------- */

static int level_of(const Engine *e, const FilePart *f)
{
    int level = 0;
    for (uint64_t rows = e->o.flush_rows; f->part->head->rows > rows && level < LEVELS; level++)
        rows *= e->o.fan;
    return level;
}

/* Every question looks into every file, and of a few late events in each of many weeks a flush makes as many.  So what is
 * small even together does not wait for `fan` of them.  It grows by a quarter at least, but when the newest is the largest,
 * which happens to a row once: so one is written about ten times for each tenfold, fifty times from one row on to 65,536. */
enum { TINY_STEPS = 4 };

static uint32_t count_tiny(const Engine *e, const FileList *l, uint32_t from, uint32_t to)
{
    uint64_t rows = 0;
    uint32_t n = 0;
    for (; n < to - from; n++) {
        const uint64_t more = l->at[to - 1 - n].part->head->rows;
        if (rows + more > e->o.tiny_rows || (n > 0 && more > TINY_STEPS * rows))
            break;
        rows += more;
    }
    return n < 2 ? 0 : n;
}

/* Of a stretch of files [from, to): the newest that are small enough to become one; 0 = none yet. */
static uint32_t count_to_merge(const Engine *e, const FileList *l, uint32_t from, uint32_t to,
                               bool all)
{
    const uint32_t enough = all || l->count > FILES_MANY ? 2 : e->o.fan;
    for (int level = all ? LEVELS : 0; level <= LEVELS; level++) {
        uint32_t n = 0;
        uint64_t rows = 0;
        while (n < to - from && n < MERGE_MAX && level_of(e, &l->at[to - 1 - n]) <= level &&
               rows + l->at[to - 1 - n].part->head->rows <= PART_ROWS_MAX) {
            rows += l->at[to - 1 - n].part->head->rows;
            n++;
        }
        if (n >= enough)
            return n;
    }
    return count_tiny(e, l, from, to);
}

enum {
    DEAD_SHARE = 8, /* one row of so many: what stays behind is rewritten eight times at most */
    STALE_US_PER_ROW = 35, /* a hundred times what a row of a merge takes */
    STALE_MAX_S = 86400,
};

/* Events of the file that are dead by what files know. */
static uint64_t durable_dead(Engine *e, Part *part)
{
    if (part->generation == e->durable_moved->generation)
        return 0;
    (void)pthread_mutex_lock(&e->apply);
    Moved *moved = moved_ref(persons_moved(schema_persons(e->schema)));
    const uint32_t died = atomic_load(&part->died);
    (void)pthread_mutex_unlock(&e->apply);
    const uint32_t dead = engine_dead(part, moved, died);
    moved_unref(moved);
    return dead - (died - part->died_durable);
}

/* A few dead rows may stay for so long that all files, merged for that alone, take a hundredth of a processor. */
static int64_t stale_us(const FileList *l)
{
    int64_t rows = 0;
    for (uint32_t i = 0; i < l->count; i++)
        rows += l->at[i].part->head->rows;
    const int64_t us = rows * STALE_US_PER_ROW, max_us = STALE_MAX_S * INT64_C(1000000);
    return us < max_us ? us : max_us;
}

static void set_stale_at(Engine *e, FilePart *f, int64_t at_us)
{
    f->stale_at_us = at_us;
    (void)pthread_mutex_lock(&e->lock);
    for (uint32_t i = 0; i < e->file_count; i++)
        if (e->files[i].number == f->number)
            e->files[i].stale_at_us = at_us;
    (void)pthread_mutex_unlock(&e->lock);
}

/* A file with many rows, or any, of who is elsewhere now; or with few that have stayed for long. */
static bool find_stale(Engine *e, const FileList *l, bool all, uint32_t *at)
{
    const int64_t now_us = clock_mono_us(), wait_us = stale_us(l);
    for (uint32_t i = 0; i < l->count; i++) {
        FilePart *f = &l->at[i];
        if (f->retry_at_us != 0 || atomic_load(&f->part->damaged))
            continue;
        const uint64_t dead = durable_dead(e, f->part);
        if (dead > 0 && f->stale_at_us == 0)
            set_stale_at(e, f, now_us + wait_us);
        *at = i;
        if (dead > 0 &&
            (all || dead * DEAD_SHARE >= f->part->head->rows || f->stale_at_us <= now_us))
            return true;
    }
    return false;
}

/* Put aside, or damaged: that is made again first. */
static bool any_waits(const FilePart *files, uint32_t n, bool all)
{
    for (uint32_t i = 0; i < n; i++)
        if (files[i].retry_at_us != 0 || (!all && atomic_load(&files[i].part->damaged)))
            return true;
    return false;
}

/* The first stretch of files that shall become one. */
static uint32_t find_merge(const Engine *e, const FileList *l, bool all, uint32_t *first)
{
    for (uint32_t from = 0, to = 0; from < l->count; from = to) {
        const int64_t week_ms = l->at[from].part->head->week_ms;
        while (to < l->count && l->at[to].part->head->week_ms == week_ms &&
               (to == from || !l->at[to - 1].ends_stretch))
            to++;
        const uint32_t n = count_to_merge(e, l, from, to, all);
        if (n > 0 && !any_waits(l->at + to - n, n, all)) {
            *first = to - n;
            return n;
        }
    }
    return 0;
}

static Err ids_damaged(Ctx *ctx, const FilePart *f)
{
    atomic_store(&f->part->damaged, true);
    return fail(ctx, ERR_INTERNAL, "events.ids_damaged", "file %" PRIu64, f->number);
}

/* The ids of all of them, ascending, on the heap.  None may be missing: repetitions would come in twice. */
static Err all_hashes(Ctx *ctx, const FilePart *files, uint32_t n, uint64_t **out, uint32_t *count)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!ids_are_sound(&files[i].ids))
            return ids_damaged(ctx, &files[i]);
        total += files[i].ids.head->count;
    }
    uint64_t *hashes = malloc((total + 1) * sizeof *hashes);
    CHECK(hashes != NULL);
    *count = 0;
    uint32_t *ends = ARENA_ARRAY(ctx->arena, uint32_t, n);
    for (uint32_t i = 0; i < n; i++) {
        if (!ids_read(&files[i].ids, hashes + *count)) {
            free(hashes);
            return ids_damaged(ctx, &files[i]);
        }
        ends[i] = *count += files[i].ids.head->count;
    }
    ids_merge(hashes, ends, n);
    *out = hashes;
    return ERR_OK;
}

/* What would be too large as one is two stretches from now on, until the next start. */
static void cut_stretch(Engine *e, uint64_t number)
{
    (void)pthread_mutex_lock(&e->lock);
    for (uint32_t i = 0; i < e->file_count; i++)
        if (e->files[i].number == number)
            e->files[i].ends_stretch = true;
    (void)pthread_mutex_unlock(&e->lock);
}

Err engine_files_merge(Ctx *ctx, Engine *e, FileList *l, uint32_t first, uint32_t n, FilePart *old)
{
    Part **parts = ARENA_ARRAY(ctx->arena, Part *, n);
    for (uint32_t i = 0; i < n; i++)
        parts[i] = old[i].part;
    uint32_t hash_count = 0;
    uint64_t *hashes = NULL;
    TRY(all_hashes(ctx, old, n, &hashes, &hash_count));
    FilePart made;
    const FileContent content = {.parts = parts,
                                 .count = n,
                                 .hashes = hashes,
                                 .hash_count = hash_count,
                                 .moved = e->durable_moved,
                                 .bytes_max = e->o.merge_bytes_max,
                                 .stop = &e->closing};
    const Err err = engine_file_write(ctx, e, &content, &made);
    free(hashes);
    if (engine_is_too_large(ctx, err)) {
        cut_stretch(e, old[n / 2 - 1].number);
        return ERR_OK;
    }
    TRY(err);
    made.ends_stretch = old[n - 1].ends_stretch;
    engine_files_cut(l, first, n);
    engine_files_insert(l, &made);
    TRY(engine_files_save(ctx, e, l, NULL, &(FileList){&made, 1}));
    (void)pthread_mutex_lock(&e->lock);
    engine_files_take_over(e, l);
    (void)pthread_mutex_unlock(&e->lock);
    for (uint32_t i = 0; i < n; i++)
        engine_file_retire(e, &old[i]); /* whoever still looks at it keeps its map */
    return ERR_OK;
}

static void put_merge_aside(Engine *e, const FilePart *files, uint32_t n, const Fault *why)
{
    engine_files_put_aside(e, files, n, why);
    (void)pthread_mutex_lock(&e->lock);
    e->health.failed_merges++;
    (void)pthread_mutex_unlock(&e->lock);
}

/* Every merge that is due gets its try; the first failure is returned. */
static Err merge_due(Ctx *ctx, Engine *e, bool all)
{
    Err first_err = ERR_OK;
    Fault first_fault = {0};
    while (!atomic_load(&e->closing)) {
        FileList l = engine_files_copy(ctx, e, 1);
        uint32_t first = 0;
        uint32_t n = find_merge(e, &l, all, &first);
        if (n == 0 && find_stale(e, &l, all, &first))
            n = 1;
        if (n == 0)
            break;
        FilePart *old = ARENA_ARRAY(ctx->arena, FilePart, n);
        memcpy(old, l.at + first, n * sizeof *old);
        const Err err = engine_files_merge(ctx, e, &l, first, n, old);
        if (err != ERR_OK && !atomic_load(&e->closing)) { /* else the next start goes on */
            put_merge_aside(e, old, n, &ctx->fault);
            first_fault = first_err == ERR_OK ? ctx->fault : first_fault;
            first_err = first_err == ERR_OK ? err : first_err;
        }
        arena_reset(ctx->arena);
    }
    ctx->fault = first_fault;
    return first_err;
}

/* Whose time has come, or all of them, may be tried again. */
static void take_up_again(Engine *e, bool all)
{
    const int64_t now_us = clock_mono_us();
    (void)pthread_mutex_lock(&e->lock);
    for (uint32_t i = 0; i < e->file_count; i++)
        if (all || e->files[i].retry_at_us <= now_us)
            e->files[i].retry_at_us = 0;
    (void)pthread_mutex_unlock(&e->lock);
}

/* ---- the thread --------------------------------------------------------------------------------- */

static void end_round(Engine *e, Ctx *ctx, Err err)
{
    (void)pthread_mutex_lock(&e->lock);
    if (err != ERR_OK && e->keeper_err == ERR_OK)
        LOG(LOG_ERROR, "events.keeper_failed", LOG_C("reason", ctx->fault.reason),
            LOG_C("note", "events stay in the log and in memory until it succeeds"));
    e->keeper_err = err;
    e->keeper_fault = ctx->fault;
    e->rounds++;
    (void)pthread_cond_broadcast(&e->changed);
    (void)pthread_mutex_unlock(&e->lock);
}

/* A file's time to be tried again has come, or somebody met damage in it.  Under the lock. */
static bool is_file_due(const Engine *e)
{
    const int64_t now_us = clock_mono_us();
    for (uint32_t i = 0; i < e->file_count; i++) {
        const FilePart *f = &e->files[i];
        if (f->retry_at_us == 0 ? e->o.log_folder.len > 0 && atomic_load(&f->part->damaged)
                                : f->retry_at_us <= now_us)
            return true;
        if (f->retry_at_us == 0 && !atomic_load(&f->part->damaged) && f->stale_at_us != 0 &&
            f->stale_at_us <= now_us)
            return true;
    }
    return false;
}

/* What somebody waits for, besides a flush. */
typedef struct Work {
    bool settle, forget;
} Work;

/* Under the lock.  The flag of flushes alone would not do: one within a round, between two files, takes it. */
static bool is_wanted(const Engine *e)
{
    return e->flush_wanted || e->settle_wanted || e->forget_wanted;
}

/* Waits for work.  False = told to stop. */
static bool wait_for_work(Engine *e, Work *work)
{
    (void)pthread_mutex_lock(&e->lock);
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RETRY_MS / 1000;
    while (!e->stopping && (!is_wanted(e) || e->keeper_err != ERR_OK)) {
        const int rc = pthread_cond_timedwait(&e->changed, &e->lock, &until);
        if (rc != 0 && (is_wanted(e) || is_file_due(e)))
            break;
        if (rc != 0) {
            (void)pthread_mutex_unlock(&e->lock);
            engine_know_dead(e);
            (void)pthread_mutex_lock(&e->lock);
            (void)clock_gettime(CLOCK_REALTIME, &until);
            until.tv_sec += RETRY_MS / 1000;
        }
    }
    const bool stopping = e->stopping;
    *work = (Work){e->settle_wanted, e->forget_wanted};
    e->flush_wanted = e->settle_wanted = e->forget_wanted = false;
    (void)pthread_mutex_unlock(&e->lock);
    return !stopping;
}

/* A flush that fails is tried again until it succeeds; of one that waits for fewer files, merges are the help.
 * What fails with the files that are there is told to who waits for it. */
static Err one_round(Ctx *ctx, Engine *e, Work work)
{
    const Err flushed = flush(ctx, e);
    const Fault not_flushed = ctx->fault;
    arena_reset(ctx->arena);
    if (flushed != ERR_OK) {
        (void)pthread_mutex_lock(&e->lock);
        e->flush_wanted = true;
        e->settle_wanted |= work.settle;
        (void)pthread_mutex_unlock(&e->lock);
        if (!str_eq(str_of(not_flushed.reason), STR(TOO_MANY_FILES)))
            return flushed;
    }
    take_up_again(e, work.settle || work.forget);
    const Err mended = engine_mend_due(ctx, e);
    const Fault why = ctx->fault;
    engine_know_dead(e);
    const Err merged = merge_due(ctx, e, work.settle);
    if (flushed != ERR_OK) {
        ctx->fault = not_flushed;
        return flushed;
    }
    if (work.forget)
        return engine_forget_due(ctx, e);
    if (!work.settle)
        return ERR_OK;
    ctx->fault = mended == ERR_OK ? ctx->fault : why;
    return mended == ERR_OK ? merged : mended;
}

void *engine_keep_main(void *arg)
{
    Engine *e = arg;
    (void)pthread_setname_np(pthread_self(), "engine-keep");
    Ctx ctx = {.arena = arena_new(1 << 16)};
    Work work;
    while (wait_for_work(e, &work)) {
        end_round(e, &ctx, one_round(&ctx, e, work));
        arena_reset(ctx.arena);
    }
    arena_free(ctx.arena);
    return NULL;
}
