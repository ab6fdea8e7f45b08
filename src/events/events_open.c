/*
 * events/events_open.c -- from files to an EventsLog, and back.
 *
 * Every full segment has its index mapped (made again when it is missing or does not fit); the
 * newest one is read: what is proven to have been on disk stays, also around damage; the torn tail
 * behind it is cut and zeroed, so that it can never come back.
 */
#include "events/eventlog.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"

#include <stdlib.h>

enum { SEGMENT_ALIGN = 4096 };

static Err init_log(Ctx *ctx, EventsLog *log, Str folder, const EventsOptions *options)
{
    if (folder.len == 0 || !str_to_c(folder, log->folder_bytes, sizeof log->folder_bytes))
        return fail(ctx, ERR_INVALID, "file.name", "a folder of %zu bytes", folder.len);
    log->folder = (Str){log->folder_bytes, folder.len};
    log->o = *options;
    log->o.segment_bytes = log->o.segment_bytes == 0 ? LOG_SEGMENT_BYTES : log->o.segment_bytes;
    log->o.lazy_ms = log->o.lazy_ms == 0 ? LOG_LAZY_MS : log->o.lazy_ms;
    log->o.lazy_bytes = log->o.lazy_bytes == 0 ? LOG_LAZY_BYTES : log->o.lazy_bytes;
    CHECK(log->o.segment_bytes % SEGMENT_ALIGN == 0 && log->o.segment_bytes <= INT32_MAX);
    log->active = log->lock_file = FILE_NONE;
    log->next_seq = log->durable_seq = 1;
    idset_init(&log->durable_ids);
    CHECK(pthread_mutex_init(&log->rework, NULL) == 0);
    CHECK(pthread_mutex_init(&log->lock, NULL) == 0);
    CHECK(pthread_cond_init(&log->changed, NULL) == 0);
    TRY(file_make_folder(ctx, log->folder));
    return file_open_locked(ctx, log->folder, STR("lock"), &log->lock_file);
}

static void free_log(EventsLog *log)
{
    for (size_t i = 0; i < log->run_count; i++)
        run_unref(log->runs[i]);
    free(log->runs);
    free(log->pending);
    idset_clear(&log->durable_ids);
    erased_clear(&log->erased);
    file_close(&log->active);
    file_close(&log->lock_file);
    (void)pthread_mutex_destroy(&log->rework);
    (void)pthread_mutex_destroy(&log->lock);
    (void)pthread_cond_destroy(&log->changed);
    free(log);
}

/* The first sequence numbers of the segments, ascending; leftovers of a crash are removed. */
static Err list_segments(Ctx *ctx, EventsLog *log, uint64_t **firsts, size_t *count)
{
    Str *names = NULL;
    size_t n = 0;
    TRY(file_list(ctx, log->folder, &names, &n));
    *firsts = ARENA_ARRAY(ctx->arena, uint64_t, n + 1);
    *count = 0;
    for (size_t i = 0; i < n; i++) {
        if (str_ends_with(names[i], STR(".tmp")) || str_eq(names[i], LOG_SPARE))
            TRY(file_remove(ctx, log->folder, names[i]));
        *count += log_name_seq(names[i], LOG_SUFFIX, &(*firsts)[*count]);
    }
    return ERR_OK;
}

static Err open_sealed(Ctx *ctx, EventsLog *log, FullSegment segment)
{
    Run *run = NULL;
    if (log_open_index(ctx, log, segment, &run) != ERR_OK) {
        LOG(LOG_INFO, "events.index_again", LOG_I64("segment", (int64_t)segment.first_seq),
            LOG_C("detail", ctx->fault.detail));
        const Err err = log_seal_segment(ctx, log, segment, &run);
        if (run == NULL)
            return err;
        if (err != ERR_OK) /* the index lives in memory then, and is written at the next start */
            LOG(LOG_WARN, "events.index_not_written", LOG_C("reason", ctx->fault.reason));
    }
    log_add_run(log, run);
    return ERR_OK;
}

/* ---- the newest segment ---------------------------------------------------------------------- */

typedef struct Newest {
    EventsLog *log;
    const Manifest *manifest;
    Arena *scratch;
} Newest;

static void learn_outbox_id(EventsLog *log, const Manifest *m, uint64_t seq, int64_t id)
{
    const bool known = m->is_there && seq < m->durable_seq;
    if (id <= 0 || id == INT64_MAX || known)
        return;
    if (!idset_add(&log->durable_ids, (IdRange){id, id}))
        LOG(LOG_ERROR, "events.outbox_gaps", LOG_I64("outbox_id", id));
}

static Err newest_gap(Ctx *ctx, uint64_t seq, uint64_t count, int64_t offset, void *arg)
{
    (void)ctx;
    const Newest *n = arg;
    LOG(LOG_ERROR, "events.damaged", LOG_I64("segment", (int64_t)n->log->active_first),
        LOG_I64("seq", (int64_t)seq), LOG_I64("count", (int64_t)count), LOG_I64("offset", offset));
    log_index_gap(n->log, count);
    return ERR_OK;
}

static Err newest_frame(Ctx *ctx, const Frame *f, void *arg)
{
    const Newest *n = arg;
    Ctx scratch = {.arena = n->scratch};
    EventsBatch batch;
    arena_reset(n->scratch);
    n->log->last_frame_at = f->offset;
    learn_outbox_id(n->log, n->manifest, f->head.first_seq, f->head.outbox_id);
    if (log_read_batch(&scratch, n->log->key, f->events, RECORDS_ERASED, &batch) != ERR_OK ||
        batch.count != f->head.count)
        return newest_gap(ctx, f->head.first_seq, f->head.count, f->offset, arg);
    log_index_frame(n->log, &batch, f->offset, f->head.outbox_id);
    return ERR_OK;
}

/* Zeros everything behind the tail that is not zero yet, and syncs what stays. */
static Err cut_tail(Ctx *ctx, EventsLog *log, FrameReader *reader)
{
    int64_t dirty = 0;
    TRY(frame_find_nonzero(ctx, reader, log->tail, &dirty));
    if (dirty < log->active_bytes) {
        LOG(LOG_WARN, "events.tail_cut", LOG_I64("segment", (int64_t)log->active_first),
            LOG_I64("offset", log->tail));
        TRY(file_write_zeros(ctx, log->active, log->tail, log->active_bytes));
    }
    return file_sync(ctx, log->active);
}

static Err read_newest(Ctx *ctx, EventsLog *log, const Manifest *m, FrameReader *reader,
                       Arena *scratch)
{
    const bool known = m->is_there && m->active_first == log->active_first;
    Newest newest = {.log = log, .manifest = m, .scratch = scratch};
    const FrameWalk walk = {.first_seq = log->active_first,
                            .proven_seq = known ? m->durable_seq : 0,
                            .proven_end = known ? m->active_end : 0,
                            .on_frame = newest_frame,
                            .on_gap = newest_gap,
                            .arg = &newest};
    FrameWalkEnd end;
    TRY(frame_walk(ctx, reader, &walk, &end));
    log->tail = log->durable_tail = end.offset;
    log->next_seq = log->durable_seq = end.next_seq;
    log->prev = end.prev;
    return cut_tail(ctx, log, reader);
}

static Err open_newest(Ctx *ctx, EventsLog *log, const Manifest *m, uint64_t first)
{
    char name[LOG_NAME_BYTES];
    log->active_first = log->next_seq = first;
    TRY(file_open(ctx, log->folder, log_file_name(first, LOG_SUFFIX, name), FILE_WRITE,
                  &log->active));
    TRY(file_size(ctx, log->active, &log->active_bytes));
    log_close_open_run(log);
    FrameReader reader;
    frame_reader_init(&reader, log->active, FRAME_SCAN_BYTES);
    Arena *scratch = arena_new(FRAME_SCAN_BYTES);
    const Err err = read_newest(ctx, log, m, &reader, scratch);
    arena_free(scratch);
    frame_reader_clear(&reader);
    return err;
}

/* ---- the outbox ids -------------------------------------------------------------------------- */

static Err make_trusted(Ctx *ctx, EventsLog *log, Run **run)
{
    Run *again = NULL;
    const Run *old = *run;
    if (run_is_trusted(*run))
        return ERR_OK;
    const Err err = log_seal_segment(
        ctx, log, (FullSegment){old->segment, old->first_seq + old->count}, &again);
    if (again == NULL)
        return err;
    run_unref(*run);
    *run = again;
    return ERR_OK;
}

static void learn_ids_of(EventsLog *log, const Manifest *m, const Run *run)
{
    for (uint32_t k = 0; k < run->frame_count; k++)
        learn_outbox_id(log, m, run->first_seq + run->frames[k].first, run->frames[k].outbox_id);
}

static Err learn_sealed_ids(Ctx *ctx, EventsLog *log, const Manifest *m)
{
    for (size_t i = 0; i < log->run_count; i++) {
        Run **const run = &log->runs[i];
        const bool known = m->is_there && (*run)->first_seq + (*run)->count <= m->durable_seq;
        if (known || (*run)->segment == log->active_first)
            continue;
        do {
            TRY(make_trusted(ctx, log, run));
            learn_ids_of(log, m, *run);
        } while (!run_is_whole(*run)); /* zeros are nobody's id */
    }
    return ERR_OK;
}

/* A manifest that knows more than the log has was written for other files: it proves nothing. */
static Err distrust_manifest(Ctx *ctx, EventsLog *log, Manifest *m)
{
    LOG(LOG_ERROR, "events.manifest_ahead", LOG_I64("manifest", (int64_t)m->durable_seq),
        LOG_I64("log", (int64_t)log->next_seq));
    m->is_there = false;
    idset_clear(&log->durable_ids);
    idset_init(&log->durable_ids);
    const Run *last = log->runs[log->run_count - 1];
    for (size_t i = 0; i < log->run_count; i++) {
        const Run *run = log->runs[i];
        for (uint32_t k = 0; run->segment == last->segment && k < run->frame_count; k++)
            learn_outbox_id(log, m, 0, run->frames[k].outbox_id);
    }
    return learn_sealed_ids(ctx, log, m);
}

static Err load(Ctx *ctx, EventsLog *log)
{
    uint64_t *firsts = NULL;
    size_t count = 0;
    Manifest m;
    bool damaged = false;
    TRY(list_segments(ctx, log, &firsts, &count));
    TRY(erased_load(ctx, log->folder, &log->erased));
    log->looked_saved = log->erased.looked;
    TRY(log_load_manifest(ctx, log->folder, &m, &damaged));
    if (damaged)
        LOG(LOG_ERROR, "events.manifest_damaged", LOG_STR("folder", log->folder));
    if (m.is_there)
        memcpy(log->key, m.key, sizeof log->key);
    else
        rand_bytes(log->key, sizeof log->key);
    for (size_t i = 0; i < m.range_count; i++)
        CHECK(idset_add(&log->durable_ids, m.ranges[i]));
    for (size_t i = 0; i + 1 < count; i++)
        TRY(open_sealed(ctx, log, (FullSegment){firsts[i], firsts[i + 1]}));
    if (count > 0)
        TRY(open_newest(ctx, log, &m, firsts[count - 1]));
    else
        TRY(log_start_segment(ctx, log));
    TRY(m.is_there && m.durable_seq > log->next_seq ? distrust_manifest(ctx, log, &m)
                                                    : learn_sealed_ids(ctx, log, &m));
    log->highest_id = idset_high(&log->durable_ids);
    return log_save_manifest(ctx, log);
}

Err events_open(Ctx *ctx, Str folder, const EventsOptions *options, EventsLog **out)
{
    EventsLog *log = calloc(1, sizeof *log);
    CHECK(log != NULL);
    const int64_t from_us = clock_mono_us();
    Err err = init_log(ctx, log, folder, options);
    if (err == ERR_OK)
        err = load(ctx, log);
    if (err != ERR_OK) {
        free_log(log);
        return err;
    }
    CHECK(pthread_create(&log->syncer, NULL, log_sync_main, log) == 0);
    CHECK(pthread_create(&log->keeper, NULL, log_keep_main, log) == 0);
    LOG(LOG_INFO, "events.open", LOG_I64("next_seq", (int64_t)log->next_seq),
        LOG_I64("ms", (clock_mono_us() - from_us) / 1000));
    *out = log;
    return ERR_OK;
}

static void ignore_done(EventsTask *task)
{
    (void)task;
}

void events_close(EventsLog *log)
{
    if (log == NULL)
        return;
    Ctx ctx = {.arena = arena_new(4096)};
    /* An empty batch wakes the sync thread for certain; a bare wake may come before it sleeps. */
    EventsTask last = {.ctx = &ctx, .records = STR(""), .done = ignore_done};
    atomic_store(&log->stop, true);
    (void)queue_push(&log->queue, &last.node);
    CHECK(pthread_join(log->syncer, NULL) == 0);
    (void)pthread_mutex_lock(&log->lock);
    log->keeper_stop = true;
    (void)pthread_cond_broadcast(&log->changed);
    (void)pthread_mutex_unlock(&log->lock);
    CHECK(pthread_join(log->keeper, NULL) == 0);
    if (log_save_manifest(&ctx, log) != ERR_OK ||
        file_remove(&ctx, log->folder, LOG_SPARE) != ERR_OK)
        LOG(LOG_WARN, "events.close", LOG_C("detail", ctx.fault.detail));
    arena_free(ctx.arena);
    free_log(log);
}
