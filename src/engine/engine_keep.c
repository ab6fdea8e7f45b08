/*
 * engine/engine_keep.c
 *
 * A flush takes all slices that are there, in the order of arrival, and writes per week one part and the
 * ids of its events; then the manifest names them, then they take the slices' place.  When anything
 * fails, everything stays as it was and is tried again.
 *
 * Files of one week grow together like digits of a counter: `fan` neighbours of the smallest sizes become
 * one.  An event is so written once per level: once when it leaves memory, then at most
 * log(week / flush_rows) / log(fan) times.
 * What would become larger than EngineOptions.merge_bytes_max stays in two: a flush then writes several files of a week,
 * and files that shall grow together are cut into two stretches.
 */
#include "engine/engine_inside.h"
#include "engine/merge.h"

#include "base/log.h"

#include <stdlib.h>
#include <time.h>

enum {
    RETRY_MS = 1000,
    MERGE_MAX = 64,
    LEVELS = 16,
    FILES_MANY =
        8192, /* from here on two files of a size become one: weeks have one file per size at most */
    FILES_MAX = 16384, /* two maps each; a process has 65,530 */
};

/* ---- writing files ------------------------------------------------------------------------------ */

typedef struct Output {
    Engine *e;
    File file;
    int64_t at;
} Output;

static Err write_piece(Ctx *ctx, Str bytes, void *arg)
{
    Output *o = arg;
    TRY(file_write_at(ctx, o->file, o->at, bytes));
    o->at += (int64_t)bytes.len;
    o->e->bytes_written += bytes.len;
    return ERR_OK;
}

static Err write_part(Ctx *ctx, Engine *e, uint64_t number, Part *const *parts, uint32_t count)
{
    char name[ENGINE_NAME_BYTES];
    Output o = {.e = e};
    TRY(file_open(ctx, e->folder, engine_file_name(number, ".part", name), FILE_CREATE, &o.file));
    Err err = parts_merge(ctx, parts, count, e->o.merge_bytes_max, write_piece, &o);
    if (err == ERR_OK)
        err = file_sync(ctx, o.file);
    file_close(&o.file);
    return err;
}

static Err write_ids(Ctx *ctx, Engine *e, uint64_t number, uint64_t *hashes, uint32_t count)
{
    char name[ENGINE_NAME_BYTES];
    Buf bytes = BUF_MAX((size_t)count * 9 + (1 << 20));
    ids_encode(hashes, count, &bytes);
    Output o = {.e = e};
    Err err =
        file_open(ctx, e->folder, engine_file_name(number, ".ids", name), FILE_CREATE, &o.file);
    if (err == ERR_OK) {
        err = write_piece(ctx, buf_str(&bytes), &o);
        if (err == ERR_OK)
            err = file_sync(ctx, o.file);
        file_close(&o.file);
    }
    buf_free(&bytes);
    return err;
}

static void remove_files(Engine *e, uint64_t number)
{
    static const char *const suffixes[] = {".part", ".ids"};
    Ctx ctx = {.arena = arena_new(4096)};
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        char name[ENGINE_NAME_BYTES];
        const Str file = engine_file_name(number, suffixes[i], name);
        if (file_remove(&ctx, e->folder, file) != ERR_OK) /* the next start removes it */
            LOG(LOG_WARN, "events.file_stays", LOG_C("reason", ctx.fault.reason));
    }
    arena_free(ctx.arena);
}

/* One part and its ids, synced and open. */
static Err write_file(Ctx *ctx, Engine *e, Part *const *parts, uint32_t count, uint64_t *hashes,
                      uint32_t hash_count, FilePart *out)
{
    const uint64_t number = e->next_number++;
    Err err = write_part(ctx, e, number, parts, count);
    if (err == ERR_OK)
        err = write_ids(ctx, e, number, hashes, hash_count);
    if (err == ERR_OK)
        err = file_sync_folder(ctx, e->folder);
    if (err == ERR_OK)
        err = engine_file_open(ctx, e, number, out);
    if (err == ERR_OK)
        out->part->ids_are_sound = true; /* written just now */
    if (err != ERR_OK)
        remove_files(e, number);
    return err;
}

/* ---- the list of files -------------------------------------------------------------------------- */

typedef struct FileList {
    FilePart *at;
    uint32_t count;
} FileList;

static FileList copy_files(Ctx *ctx, Engine *e, uint32_t room)
{
    (void)pthread_mutex_lock(&e->lock); /* only the keeper changes it, but others read */
    FileList l = {ARENA_ARRAY(ctx->arena, FilePart, (size_t)e->file_count + room), e->file_count};
    if (e->file_count > 0)
        memcpy(l.at, e->files, e->file_count * sizeof *l.at);
    (void)pthread_mutex_unlock(&e->lock);
    return l;
}

static void insert_file(FileList *l, const FilePart *f)
{
    uint32_t at = l->count++;
    for (; at > 0 && part_order(f->part, l->at[at - 1].part) < 0; at--)
        l->at[at] = l->at[at - 1];
    l->at[at] = *f;
}

/* Under the lock. */
static void take_over(Engine *e, const FileList *l)
{
    if (l->count > e->file_cap) {
        e->file_cap = l->count * 2;
        e->files = realloc(e->files, e->file_cap * sizeof *e->files);
        CHECK(e->files != NULL);
    }
    if (l->count > 0)
        memcpy(e->files, l->at, l->count * sizeof *e->files);
    e->file_count = l->count;
}

/* ---- flush -------------------------------------------------------------------------------------- */

/* From here on the slices that are there, their ids and their names belong to the flush. */
static void begin_flush(Engine *e)
{
    (void)pthread_mutex_lock(&e->apply);
    if (e->flush_count == 0)
        engine_close_slice(e);
    if (e->flush_count == 0 && e->memory_count > 0) {
        for (uint32_t i = 0; i < e->week_count; i++) {
            CHECK(e->weeks[i]->flushing.count == 0);
            recent_ids_free(&e->weeks[i]->flushing);
            e->weeks[i]->flushing = e->weeks[i]->recent;
            e->weeks[i]->recent = (RecentIds){0};
        }
        e->flush_weeks = realloc(e->flush_weeks, (e->week_count + 1) * sizeof(Week *));
        CHECK(e->flush_weeks != NULL);
        e->flush_week_count = e->week_count;
        if (e->week_count > 0)
            memcpy(e->flush_weeks, e->weeks, e->week_count * sizeof(Week *));
        e->flush_end = e->open_from;
        memcpy(e->flush_aside, e->aside, sizeof e->flush_aside);
        (void)pthread_mutex_lock(&e->lock);
        schema_save_new(e->schema, &e->flush_names);
        e->flush_count = e->memory_count;
        e->new_names = 0;
        e->open_names = 0;
        (void)pthread_mutex_unlock(&e->lock);
    }
    (void)pthread_mutex_unlock(&e->apply);
}

/* Behind the names that count: what an older try left there is written over. */
static Err write_names(Ctx *ctx, Engine *e)
{
    if (e->flush_names.len == 0)
        return ERR_OK;
    File file = FILE_NONE;
    TRY(file_open(ctx, e->folder, STR("names"), FILE_WRITE, &file));
    Err err = file_write_at(ctx, file, e->names_bytes, buf_str(&e->flush_names));
    if (err == ERR_OK)
        err = file_sync(ctx, file);
    file_close(&file);
    e->bytes_written += e->flush_names.len;
    return err;
}

static uint64_t *hashes_of(Ctx *ctx, const RecentIds *r)
{
    uint64_t *hashes = ARENA_ARRAY(ctx->arena, uint64_t, (size_t)r->count + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->slot_count; i++)
        if (r->slots[i] != 0)
            hashes[n++] = r->slots[i];
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

static bool is_too_large(const Ctx *ctx, Err err)
{
    return err == ERR_TOO_LARGE && str_eq(str_of(ctx->fault.reason), STR("events.merge"));
}

/* One file, or several when they would be too large together.  The first one has the ids of all. */
static Err write_week(Ctx *ctx, Engine *e, const Week *w, Part *const *slices, uint32_t n,
                      FileList *files, FileList *made)
{
    uint64_t *hashes = hashes_of(ctx, &w->flushing);
    uint32_t hash_count = w->flushing.count;
    for (uint32_t at = 0, some = n; at < n;) {
        FilePart *f = &made->at[made->count];
        const Err err = write_file(ctx, e, slices + at, some, hashes, hash_count, f);
        if (some > 1 && is_too_large(ctx, err)) {
            some = (some + 1) / 2;
            continue;
        }
        TRY(err);
        made->count++;
        insert_file(files, f);
        hash_count = 0;
        at += some;
        some = some < n - at ? some : n - at;
    }
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

/* The files take the slices' place. */
static void end_flush(Engine *e, const FileList *files, uint64_t durable_seq, uint32_t mark)
{
    (void)pthread_mutex_lock(&e->apply);
    for (uint32_t i = 0; i < e->flush_week_count; i++) {
        Week *w = e->flush_weeks[i];
        for (uint32_t s = 0; w->filter.lines != NULL && s < w->flushing.slot_count; s++)
            if (w->flushing.slots[s] != 0)
                id_filter_add(&w->filter, w->flushing.slots[s]);
        recent_ids_free(&w->flushing);
    }
    (void)pthread_mutex_lock(&e->lock);
    take_over(e, files);
    for (uint32_t i = 0; i < e->flush_count; i++) {
        e->memory_rows -= e->memory[i]->head->rows;
        e->memory_bytes -= e->memory[i]->bytes.len;
        part_unref(e->memory[i]);
    }
    e->memory_count -= e->flush_count;
    memmove(e->memory, e->memory + e->flush_count, e->memory_count * sizeof(Part *));
    e->flush_count = 0;
    e->durable_seq = durable_seq;
    e->durable_mark = mark;
    memcpy(e->durable_aside, e->flush_aside, sizeof e->durable_aside);
    e->names_bytes += (int64_t)e->flush_names.len;
    buf_clear(&e->flush_names);
    (void)pthread_cond_broadcast(&e->changed);
    (void)pthread_mutex_unlock(&e->lock);
    (void)pthread_mutex_unlock(&e->apply);
}

static Err flush(Ctx *ctx, Engine *e)
{
    begin_flush(e);
    const uint32_t count = e->flush_count;
    if (count == 0)
        return ERR_OK;
    Part **slices = ARENA_ARRAY(ctx->arena, Part *, count);
    (void)pthread_mutex_lock(&e->lock);
    memcpy(slices, e->memory, count * sizeof(Part *));
    (void)pthread_mutex_unlock(&e->lock);
    const uint64_t durable_seq = e->flush_end;
    FileList files = copy_files(ctx, e, count);
    if (files.count >= FILES_MAX)
        return fail(ctx, ERR_BUSY, "events.files", "%u files", files.count);
    FileList made = {ARENA_ARRAY(ctx->arena, FilePart, count), 0};
    uint32_t mark = 0;
    Err err = e->o.settle == NULL ? ERR_OK : e->o.settle(ctx, durable_seq, &mark, e->o.settle_arg);
    if (err == ERR_OK)
        err = write_names(ctx, e);
    if (err == ERR_OK)
        err = write_weeks(ctx, e, slices, count, &files, &made);
    if (err == ERR_OK)
        err = engine_manifest_save(ctx, e, files.at, files.count, durable_seq, mark, e->flush_aside,
                                   e->names_bytes + (int64_t)e->flush_names.len);
    if (err == ERR_OK) {
        end_flush(e, &files, durable_seq, mark);
        return ERR_OK;
    }
    for (uint32_t i = 0; i < made.count; i++) {
        engine_file_close(&made.at[i]);
        remove_files(e, made.at[i].number);
    }
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
    return 0;
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
        if (n > 0) {
            *first = to - n;
            return n;
        }
    }
    return 0;
}

/* The ids of all of them.  A damaged set gives none: repetitions may then come in twice. */
static uint64_t *all_hashes(const FilePart *files, uint32_t n, uint32_t *count)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < n; i++)
        total += files[i].ids.head->count;
    uint64_t *hashes = malloc((total + 1) * sizeof *hashes);
    CHECK(hashes != NULL);
    *count = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!ids_are_sound(&files[i].ids))
            continue;
        ids_read(&files[i].ids, hashes + *count);
        *count += files[i].ids.head->count;
    }
    return hashes;
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

static Err merge_files(Ctx *ctx, Engine *e, FileList *l, uint32_t first, uint32_t n)
{
    FilePart *old = ARENA_ARRAY(ctx->arena, FilePart, n);
    memcpy(old, l->at + first, n * sizeof *old);
    Part **parts = ARENA_ARRAY(ctx->arena, Part *, n);
    for (uint32_t i = 0; i < n; i++)
        parts[i] = old[i].part;
    uint32_t hash_count = 0;
    uint64_t *hashes = all_hashes(old, n, &hash_count);
    FilePart made;
    const Err err = write_file(ctx, e, parts, n, hashes, hash_count, &made);
    free(hashes);
    if (is_too_large(ctx, err)) {
        cut_stretch(e, old[n / 2 - 1].number);
        return ERR_OK;
    }
    TRY(err);
    made.ends_stretch = old[n - 1].ends_stretch;
    memmove(l->at + first, l->at + first + n, (l->count - first - n) * sizeof *l->at);
    l->count -= n;
    insert_file(l, &made);
    const Err saved = engine_manifest_save(ctx, e, l->at, l->count, e->durable_seq, e->durable_mark,
                                           e->durable_aside, e->names_bytes);
    if (saved != ERR_OK) {
        engine_file_close(&made);
        remove_files(e, made.number);
        return saved;
    }
    (void)pthread_mutex_lock(&e->lock);
    take_over(e, l);
    (void)pthread_mutex_unlock(&e->lock);
    for (uint32_t i = 0; i < n; i++) {
        remove_files(e, old[i].number); /* whoever still looks at it keeps its map */
        engine_file_close(&old[i]);
    }
    return ERR_OK;
}

static Err merge_due(Ctx *ctx, Engine *e, bool all)
{
    for (;;) {
        FileList l = copy_files(ctx, e, 1);
        uint32_t first = 0;
        const uint32_t n = find_merge(e, &l, all, &first);
        if (n == 0)
            return ERR_OK;
        TRY(merge_files(ctx, e, &l, first, n));
        arena_reset(ctx->arena);
    }
}

/* ---- the thread --------------------------------------------------------------------------------- */

static void end_round(Engine *e, Ctx *ctx, Err err)
{
    (void)pthread_mutex_lock(&e->lock);
    if (err != ERR_OK && e->keeper_err == ERR_OK)
        LOG(LOG_ERROR, "events.keeper_failed", LOG_C("reason", ctx->fault.reason),
            LOG_C("note", "events stay in the log and in memory; tried again every second"));
    e->keeper_err = err;
    e->keeper_fault = ctx->fault;
    e->rounds++;
    (void)pthread_cond_broadcast(&e->changed);
    (void)pthread_mutex_unlock(&e->lock);
}

/* Waits for work.  False = told to stop. */
static bool wait_for_work(Engine *e, bool *settle)
{
    (void)pthread_mutex_lock(&e->lock);
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RETRY_MS / 1000;
    while (!e->stopping && (!e->flush_wanted || e->keeper_err != ERR_OK)) {
        const int rc = pthread_cond_timedwait(&e->changed, &e->lock, &until);
        if (rc != 0 && e->flush_wanted)
            break;
        if (rc != 0)
            until.tv_sec += RETRY_MS / 1000;
    }
    const bool stopping = e->stopping;
    *settle = e->settle_wanted;
    e->flush_wanted = e->settle_wanted = false;
    (void)pthread_mutex_unlock(&e->lock);
    return !stopping;
}

void *engine_keep_main(void *arg)
{
    Engine *e = arg;
    (void)pthread_setname_np(pthread_self(), "engine-keep");
    Ctx ctx = {.arena = arena_new(1 << 16)};
    bool settle = false;
    while (wait_for_work(e, &settle)) {
        Err err = flush(&ctx, e);
        arena_reset(ctx.arena);
        if (err == ERR_OK)
            err = merge_due(&ctx, e, settle);
        arena_reset(ctx.arena);
        if (err != ERR_OK) {
            (void)pthread_mutex_lock(&e->lock);
            e->flush_wanted = true;
            e->settle_wanted |= settle;
            (void)pthread_mutex_unlock(&e->lock);
        }
        end_round(e, &ctx, err);
    }
    arena_free(ctx.arena);
    return NULL;
}
