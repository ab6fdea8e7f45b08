/*
 * events/events_verify.c -- every checksum of every file, and the log's figures.
 */
#include "events/eventlog.h"

#include <stdlib.h>

typedef struct Verify {
    EventsLog *log;
    EventsReportFn report;
    void *arg;
    int64_t bad;
    uint64_t newest;  /* first_seq of the newest segment when this began */
    const char *file; /* being checked */
    Arena *scratch;
} Verify;

static void found(Verify *v, int64_t offset, const char *what)
{
    v->bad++;
    if (v->report != NULL)
        v->report(v->file, offset, what, v->arg);
}

static Err verify_gap(Ctx *ctx, uint64_t seq, uint64_t count, int64_t offset, void *arg)
{
    (void)ctx;
    (void)seq;
    (void)count;
    found(arg, offset, "a frame is damaged");
    return ERR_OK;
}

static Err verify_frame(Ctx *ctx, const Frame *f, void *arg)
{
    (void)ctx;
    Verify *v = arg;
    Ctx scratch = {.arena = v->scratch};
    EventsBatch batch;
    arena_reset(v->scratch);
    if (log_read_batch(&scratch, v->log->key, f->events, RECORDS_ERASED, &batch) != ERR_OK ||
        batch.count != f->head.count)
        found(v, f->offset, "a frame holds what is no event");
    return ERR_OK;
}

/* Behind the frames of the segment that was the newest when this began, more may have been written
 * since: only what still lies behind its tail is wrong. */
static bool is_stray(Verify *v, uint64_t first_seq, int64_t offset)
{
    if (first_seq != v->newest)
        return true;
    (void)pthread_mutex_lock(&v->log->lock);
    const bool stray = v->log->active_first == first_seq && offset >= v->log->tail;
    (void)pthread_mutex_unlock(&v->log->lock);
    return stray;
}

static Err verify_segment_file(Ctx *ctx, Verify *v, FullSegment segment, File file)
{
    SegmentHead head = {.version = 0};
    size_t got = 0;
    TRY(file_read_at(ctx, file, 0, (char *)&head, sizeof head, &got));
    if (got < sizeof head || !segment_head_is_good(&head, segment.first_seq))
        found(v, 0, "the segment's head is damaged");
    /* Everything below end_seq was written whole before this began. */
    const FrameWalk walk = {.first_seq = segment.first_seq,
                            .proven_seq = segment.end_seq,
                            .sealed = true,
                            .on_frame = verify_frame,
                            .on_gap = verify_gap,
                            .arg = v};
    FrameReader reader;
    FrameWalkEnd end;
    int64_t bytes = 0, dirty = 0;
    frame_reader_init(&reader, file, FRAME_SCAN_BYTES);
    Err err = frame_walk(ctx, &reader, &walk, &end);
    if (err == ERR_OK)
        err = frame_find_nonzero(ctx, &reader, end.offset, &dirty);
    frame_reader_clear(&reader);
    TRY(err);
    TRY(file_size(ctx, file, &bytes));
    if (end.next_seq < segment.end_seq)
        found(v, end.offset, "events are missing");
    else if (dirty < bytes && is_stray(v, segment.first_seq, dirty))
        found(v, dirty, "bytes behind the last frame");
    return ERR_OK;
}

static Err verify_segment(Ctx *ctx, Verify *v, FullSegment segment)
{
    char name[LOG_NAME_BYTES];
    File file;
    const Str named = log_file_name(segment.first_seq, LOG_SUFFIX, name);
    TRY(file_open(ctx, v->log->folder, named, FILE_READ, &file));
    v->file = name;
    const Err err = verify_segment_file(ctx, v, segment, file);
    file_close(&file);
    return err;
}

/* The next query makes the index again. */
static void distrust_index(EventsLog *log, uint64_t segment)
{
    (void)pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i < log->run_count; i++)
        if (log->runs[i]->segment == segment && log->runs[i]->is_mapped)
            atomic_store(&log->runs[i]->trust, RUN_DAMAGED);
    (void)pthread_mutex_unlock(&log->lock);
}

/* A missing index is no damage: it is made at the next start. */
static Err verify_index(Ctx *ctx, Verify *v, FullSegment segment)
{
    char name[LOG_NAME_BYTES];
    File file;
    const Str named = log_file_name(segment.first_seq, IDX_SUFFIX, name);
    v->file = name;
    const Err opened = file_open(ctx, v->log->folder, named, FILE_READ, &file);
    if (opened == ERR_NOT_FOUND)
        return ERR_OK;
    TRY(opened);
    Str map = {NULL, 0};
    Run *run = NULL;
    const Err err = file_map(ctx, file, &map);
    file_close(&file);
    TRY(err);
    if (!run_of_block(map, true, segment.first_seq, &run)) {
        file_unmap(map);
        found(v, 0, "the index's head is damaged");
        distrust_index(v->log, segment.first_seq);
        return ERR_OK;
    }
    if (!run_is_trusted(run)) {
        found(v, (int64_t)sizeof(RunHead), "the index's body is damaged");
        distrust_index(v->log, segment.first_seq);
    }
    run_unref(run);
    return ERR_OK;
}

static Err verify_manifest(Ctx *ctx, Verify *v)
{
    Manifest m;
    bool damaged = false;
    TRY(log_load_manifest(ctx, v->log->folder, &m, &damaged));
    v->file = "manifest";
    if (damaged)
        found(v, 0, "the manifest is damaged");
    else if (!m.is_there)
        found(v, 0, "the manifest is missing");
    return ERR_OK;
}

static Err verify_erased(Ctx *ctx, Verify *v)
{
    Erased e = {.count = 0};
    const Err err = erased_read(ctx, v->log->folder, ERASED_FILE, &e);
    v->file = "erased";
    if (err == ERR_INTERNAL && str_eq(str_of(ctx->fault.reason), STR("events.erased_damaged")))
        found(v, 0, "the ledger of erasures is damaged");
    else if (err != ERR_NOT_FOUND)
        TRY(err);
    erased_clear(&e);
    return ERR_OK;
}

/* The segments as the log knows them: a run's file is there, or it is named as missing. */
static Err verify_all(Ctx *ctx, Verify *v, const FullSegment *segments, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const Err err = verify_segment(ctx, v, segments[i]);
        char name[LOG_NAME_BYTES];
        if (err == ERR_NOT_FOUND) {
            (void)log_file_name(segments[i].first_seq, LOG_SUFFIX, name);
            v->file = name;
            found(v, 0, "the file is missing");
            continue;
        }
        TRY(err);
        TRY(verify_index(ctx, v, segments[i]));
    }
    TRY(verify_manifest(ctx, v));
    return verify_erased(ctx, v);
}

Err events_verify(Ctx *ctx, EventsLog *log, EventsReportFn report, void *arg, int64_t *bad)
{
    (void)pthread_mutex_lock(&log->lock);
    FullSegment *segments = ARENA_ARRAY(ctx->arena, FullSegment, log->run_count);
    size_t n = 0;
    for (size_t i = 0; i < log->run_count; i++) {
        const Run *run = log->runs[i];
        if (n == 0 || segments[n - 1].first_seq != run->segment)
            segments[n++] = (FullSegment){.first_seq = run->segment};
        segments[n - 1].end_seq = run->first_seq + run->count;
    }
    const uint64_t newest = log->active_first;
    (void)pthread_mutex_unlock(&log->lock);
    Verify v = {.log = log,
                .report = report,
                .arg = arg,
                .newest = newest,
                .scratch = arena_new(FRAME_SCAN_BYTES)};
    const Err err = verify_all(ctx, &v, segments, n);
    arena_free(v.scratch);
    if (err == ERR_OK)
        *bad = v.bad;
    return err;
}

void events_stat(EventsLog *log, EventsStat *out)
{
    *out = (EventsStat){.events = 0};
    (void)pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i < log->run_count; i++) {
        const Run *run = log->runs[i];
        const bool new_segment = i == 0 || log->runs[i - 1]->segment != run->segment;
        const bool sealed = !run->is_open && run->head.end_offset > 0;
        out->events += run->happened;
        out->segments += new_segment;
        out->sealed += sealed;
        out->log_bytes += sealed ? run->head.end_offset : 0;
        out->index_bytes += run->is_mapped ? 0 : (int64_t)run->block.len;
        out->index_bytes += run->is_open ? (int64_t)run_columns_bytes(run->columns) : 0;
    }
    out->log_bytes += log->tail;
    out->next_seq = log->next_seq;
    out->durable_seq = log->durable_seq;
    out->syncs = log->stat_syncs;
    out->frames = log->stat_frames;
    out->applied_through = idset_low(&log->durable_ids);
    out->applied_highest = log->highest_id;
    out->applied_ranges = (int64_t)log->durable_ids.count;
    out->unsynced_bytes = log->tail - log->durable_tail;
    const ErasedWaiting waiting = erased_waiting(&log->erased);
    out->erased = (int64_t)log->erased.count - waiting.count;
    out->erase_waiting = waiting.count;
    out->erase_since_ms = waiting.since_ms;
    out->erase_gone_seq = log->erased.gone;
    out->erase_again = log->erased.again || log->erased.redoing;
    out->erase_unread = log->erase_unread + (log->look_unread != 0);
    out->erase_full = log->erase_full;
    (void)pthread_mutex_unlock(&log->lock);
}
