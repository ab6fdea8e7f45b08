/*
 * events/events_append.c -- batches become frames; one thread syncs for everybody.
 *
 * Frames are written and indexed under the log's lock, one pwritev each; the sync itself runs
 * outside of it.  A failed write leaves the tail where it was: whatever it left behind is
 * overwritten by the next frame, and cannot pass as that frame's successor because of the chained
 * checksums.
 */
#include "events/eventlog.h"

#include "base/clock.h"
#include "base/log.h"
#include "events/crc32c.h"
#include "events/event_rest.h"

#include <stdlib.h>

enum {
    ROWS_FIRST = 16,
    RECORD_BYTES = 64, /* of one, mostly more */
    REWRITE_BYTES = 65536,
};

/* ---- batches --------------------------------------------------------------------------------- */

/* Actors of some records, which are hashed beside each other. */
typedef struct Actors {
    SiphashLanes lanes;
    uint32_t row[SIPHASH_LANES];
    uint32_t count;
} Actors;

static void hash_actors(const uint8_t *key, Actors *a, EventsRow *rows)
{
    uint64_t hashes[SIPHASH_LANES];
    siphash_lanes(key, &a->lanes, a->count, hashes);
    for (uint32_t i = 0; i < a->count; i++)
        rows[a->row[i]].hash = hashes[i];
    a->count = 0;
}

enum { KIND_COPIED = 16, VALUE_COPIED = 32 };

/* The actor's hash goes to rows[row], at once or with others'.  Behind `end` nothing is read. */
static void add_actor(const uint8_t *key, Actors *a, EventActor actor, const char *end,
                      EventsRow *rows, uint32_t row)
{
    char bytes[1 + KIND_COPIED + VALUE_COPIED + SIPHASH_PADDING];
    if (actor.kind.len > KIND_COPIED || actor.value.len > VALUE_COPIED ||
        end - actor.value.ptr < VALUE_COPIED) {
        rows[row].hash = run_actor_hash(key, actor);
        return;
    }
    bytes[0] = (char)actor.kind.len; /* as run_actor_hash() */
    memcpy(bytes + 1, actor.kind.ptr, KIND_COPIED);
    memcpy(bytes + 1 + actor.kind.len, actor.value.ptr, VALUE_COPIED);
    const Str text = {bytes, 1 + actor.kind.len + actor.value.len};
    CHECK(siphash_put(&a->lanes, a->count, text));
    a->row[a->count++] = row;
    if (a->count == SIPHASH_LANES)
        hash_actors(key, a, rows);
}

/* What the indexes need of the record at the start of `bytes`, which was checked, but the hash of its actor; gives its
 * bytes, 0: it is none.  Of an erased one's place the time is RUN_GONE_MS. */
static size_t read_checked(Str bytes, EventsRow *out, EventActor *actor)
{
    size_t used = 0;
    Rest r = rest_open(bytes, &used);
    const EventKind kind = (EventKind)rest_byte(&r);
    *out = (EventsRow){.time_ms = RUN_GONE_MS};
    if (kind == EVENT_GONE)
        return used;
    out->time_ms = rest_number(&r);
    (void)rest_number(&r); /* received */
    (void)rest_text(&r);   /* source */
    (void)rest_text(&r);   /* id */
    const Str name = rest_text(&r);
    out->name = kind == EVENT_HAPPENED ? name : STR("");
    actor->kind = rest_text(&r);
    actor->value = rest_text(&r);
    return r.end == REST_NOTHING ? 0 : used;
}

/* The same of a record that nobody has looked at. */
static size_t check(Str bytes, EventsRow *out, EventActor *actor)
{
    Event e;
    size_t used = 0;
    return event_check(bytes, &e, &used) ? read_checked(str_slice(bytes, 0, used), out, actor) : 0;
}

/* Rows, and room for one more. */
static EventsRow *wider(Ctx *ctx, EventsRow *rows, uint32_t count, uint32_t *cap)
{
    if (count < *cap)
        return rows;
    *cap *= 2;
    EventsRow *more = (void *)arena_bytes(ctx->arena, *cap * sizeof *more);
    memcpy(more, rows, count * sizeof *rows);
    return more;
}

Err log_read_batch(Ctx *ctx, const uint8_t *key, Str records, unsigned known, EventsBatch *out)
{
    const bool erased = (known & RECORDS_ERASED) != 0, checked = (known & RECORDS_CHECKED) != 0;
    if (records.len > EVENTS_BATCH_BYTES_MAX)
        return fail(ctx, ERR_TOO_LARGE, "events.batch", "%zu bytes", records.len);
    uint32_t count = 0, cap = ROWS_FIRST + (uint32_t)(records.len / RECORD_BYTES);
    EventsRow *rows = (void *)arena_bytes(ctx->arena, cap * sizeof *rows);
    Actors actors = {.count = 0};
    for (size_t at = 0, used = 0; at < records.len; at += used) {
        EventActor actor = {STR(""), STR("")};
        const Str rest = str_slice(records, at, records.len);
        rows = wider(ctx, rows, count, &cap);
        EventsRow *row = &rows[count];
        used = checked ? read_checked(rest, row, &actor) : check(rest, row, &actor);
        if (used == 0 || (row->time_ms == RUN_GONE_MS && !erased))
            return fail(ctx, ERR_INVALID, "event.encoding", "record %u of a batch", count);
        if (count == EVENTS_BATCH_COUNT_MAX)
            return fail(ctx, ERR_TOO_LARGE, "events.batch", "over %u records", count);
        row->at = (uint32_t)at;
        if (row->time_ms != RUN_GONE_MS)
            add_actor(key, &actors, actor, records.ptr + records.len, rows, count);
        count++;
    }
    hash_actors(key, &actors, rows);
    *out = (EventsBatch){.rows = rows, .count = count, .crc = crc32c_add(0, records)};
    return ERR_OK;
}

/* ---- runs ------------------------------------------------------------------------------------ */

void log_add_run(EventsLog *log, Run *run)
{
    if (log->run_count == log->run_cap) {
        log->run_cap = log->run_cap == 0 ? 64 : log->run_cap * 2;
        log->runs = realloc(log->runs, log->run_cap * sizeof *log->runs);
        CHECK(log->runs != NULL);
    }
    log->runs[log->run_count++] = run;
}

static Run *new_open_run(const EventsLog *log, uint64_t first_seq, uint32_t events)
{
    RunColumns *c = run_columns_new(events > RUN_EVENTS ? events : RUN_EVENTS, RUN_FRAMES);
    return run_new_open(c, log->active_first, first_seq, log->key);
}

/* The open run is full: opens one for at least `events` more. */
static void next_open_run(EventsLog *log, uint32_t events)
{
    Run *open = log->runs[log->run_count - 1];
    const uint64_t behind = open->first_seq + open->count;
    log->run_count--;
    if (open->count > 0)
        log_add_run(log, run_new_open(run_columns_copy(open->columns), open->segment,
                                      open->first_seq, log->key));
    if (events <= open->columns->cap && run_begin_again(open, log->active_first, behind)) {
        log_add_run(log, open);
        return;
    }
    run_unref(open);
    log_add_run(log, new_open_run(log, behind, events));
}

void log_close_open_run(EventsLog *log)
{
    if (log->run_count > 0 && log->runs[log->run_count - 1]->is_open)
        next_open_run(log, 0);
    else
        log_add_run(log, new_open_run(log, log->next_seq, 0));
}

/* The columns of an open run with room for one frame of `events`. */
static RunColumns *open_columns(EventsLog *log, uint32_t events)
{
    const RunColumns *c = log->runs[log->run_count - 1]->columns;
    const bool full =
        c->count >= RUN_EVENTS || c->count + events > c->cap || c->frame_count >= RUN_FRAMES;
    if (full)
        next_open_run(log, events);
    return log->runs[log->run_count - 1]->columns;
}

void log_index_frame(EventsLog *log, const EventsBatch *batch, uint32_t offset, int64_t outbox_id)
{
    RunColumns *c = open_columns(log, batch->count);
    run_columns_add_frame(c, offset, outbox_id);
    for (uint32_t i = 0; i < batch->count; i++) {
        EventsRow row = batch->rows[i];
        row.at += offset + FRAME_HEAD_BYTES;
        run_columns_add(c, &row);
    }
    run_refresh_open(log->runs[log->run_count - 1]);
}

void log_index_gap(EventsLog *log, uint64_t count)
{
    while (count > 0) {
        const uint32_t n = count < RUN_EVENTS ? (uint32_t)count : RUN_EVENTS;
        run_columns_add_gap(open_columns(log, n), n);
        run_refresh_open(log->runs[log->run_count - 1]);
        count -= n;
    }
}

/* ---- durability ------------------------------------------------------------------------------ */

void log_mark_durable(EventsLog *log, uint64_t seq, int64_t tail)
{
    if (seq < log->durable_seq)
        return;
    log->durable_seq = seq;
    log->durable_tail = tail;
    size_t done = 0;
    for (; done < log->pending_count && log->pending[done].seq < seq; done++) {
        const int64_t id = log->pending[done].id;
        CHECK(idset_add(&log->durable_ids, (IdRange){id, id})); /* room was kept, see apply */
    }
    log->pending_count -= done;
    if (log->pending_count > 0)
        memmove(log->pending, log->pending + done, log->pending_count * sizeof *log->pending);
    log->lazy_since_us = log->pending_count == 0 ? 0 : clock_mono_us();
}

/* After a failed sync the kernel may call pages clean that never reached the disk: make them dirty
 * again. */
static Err write_again(Ctx *ctx, File file, int64_t from, int64_t to)
{
    char *piece = malloc(REWRITE_BYTES);
    CHECK(piece != NULL);
    Err err = ERR_OK;
    while (err == ERR_OK && from < to) {
        const size_t n = to - from < REWRITE_BYTES ? (size_t)(to - from) : REWRITE_BYTES;
        size_t got = 0;
        err = file_read_at(ctx, file, from, piece, n, &got);
        if (err == ERR_OK && got < n)
            err = fail(ctx, ERR_INTERNAL, "disk.failed", "the segment got shorter");
        if (err == ERR_OK)
            err = file_write_at(ctx, file, from, (Str){piece, n});
        from += (int64_t)n;
    }
    free(piece);
    return err;
}

Err log_sync_file(Ctx *ctx, File file, bool again, int64_t from, int64_t tail)
{
    if (again)
        TRY(write_again(ctx, file, from, tail));
    return file_sync(ctx, file);
}

/* ---- appending, under the lock --------------------------------------------------------------- */

Err log_roll(Ctx *ctx, EventsLog *log)
{
    const FullSegment full = {.first_seq = log->active_first,
                              .end_seq = log->next_seq,
                              .last_frame_at = (uint32_t)log->last_frame_at,
                              .last_frame_crc = log->prev,
                              .end_offset = (uint32_t)log->tail};
    const Err err = log_sync_file(ctx, log->active, log->sync_failed, log->durable_tail, log->tail);
    log->sync_failed = err != ERR_OK;
    TRY(err);
    log->stat_syncs++;
    log_mark_durable(log, log->next_seq, log->tail);
    TRY(log_start_segment(ctx, log));
    if (full.first_seq < full.end_seq)
        log->unsealed[log->unsealed_count++] = full;
    (void)pthread_cond_broadcast(&log->changed);
    return ERR_OK;
}

static bool has_room(const EventsLog *log, uint32_t bytes, uint32_t count)
{
    const uint64_t held = log->next_seq - log->active_first;
    return !log->must_roll && log->tail + bytes <= log->active_bytes &&
           (held == 0 || held + count <= EVENTS_SEGMENT_COUNT_MAX);
}

/* May wait and thereby let others in. */
static Err make_room(Ctx *ctx, EventsLog *log, uint32_t bytes, uint32_t count)
{
    if (bytes > log->o.segment_bytes - FRAME_FIRST_OFFSET)
        return fail(ctx, ERR_TOO_LARGE, "events.batch", "a frame of %u bytes", bytes);
    while (!has_room(log, bytes, count)) {
        const bool keeper_is_behind = log->unsealed_count == LOG_UNSEALED_MAX;
        if (keeper_is_behind && log->keeper_err != ERR_OK) {
            ctx->fault = log->keeper_fault;
            return log->keeper_err;
        }
        if (keeper_is_behind || log->spare_making || log->syncing)
            (void)pthread_cond_wait(&log->changed, &log->lock);
        else
            TRY(log_roll(ctx, log));
    }
    return ERR_OK;
}

/* Zeros behind a frame's events up to the end of its page, where zeros stand already: a page of which the rest is
 * to stay would be read first. */
static Str zeros_behind(const EventsLog *log, int64_t at)
{
    static const char zeros[FILE_PAGE_BYTES];
    const int64_t page_end = (at + FILE_PAGE_BYTES - 1) / FILE_PAGE_BYTES * FILE_PAGE_BYTES;
    const int64_t end = page_end < log->active_bytes ? page_end : log->active_bytes;
    return (Str){zeros, (size_t)(end - at)};
}

static Err write_frame(Ctx *ctx, EventsLog *log, Str records, FrameHead *head)
{
    head->first_seq = log->next_seq;
    head->prev = log->prev;
    head->written_ms = clock_now_ms();
    head->durable_seq = log->durable_seq;
    frame_head_seal(head);
    const int64_t end = log->tail + (int64_t)(sizeof *head + records.len);
    const Str pieces[] = {{(const char *)head, sizeof *head}, records, zeros_behind(log, end)};
    return file_write_pieces(ctx, log->active, log->tail, pieces, ARRAY_LEN(pieces));
}

static Err append_batch(Ctx *ctx, EventsLog *log, Str records, const EventsBatch *batch,
                        int64_t outbox_id)
{
    FrameHead head = {.bytes = (uint32_t)records.len,
                      .body_crc = batch->crc,
                      .count = batch->count,
                      .outbox_id = outbox_id,
                      .origin = outbox_id > 0 ? FRAME_OUTBOX : FRAME_DIRECT};
    CHECK(log->next_seq < EVENTS_SEQ_MAX);
    TRY(write_frame(ctx, log, records, &head));
    if (log->follow != NULL && !log->follow(head.first_seq, batch->count, records, log->follow_arg))
        log->follow = NULL;
    log_index_frame(log, batch, (uint32_t)log->tail, outbox_id);
    log->last_frame_at = log->tail;
    log->prev = head.head_crc;
    const bool was_half = log->tail > log->active_bytes / 2;
    log->tail += frame_size(head.bytes);
    if (!was_half && log->tail > log->active_bytes / 2)
        (void)pthread_cond_broadcast(&log->changed); /* the keeper prepares the next segment */
    log->next_seq += batch->count;
    log->stat_frames++;
    return ERR_OK;
}

/* ---- the outbox ------------------------------------------------------------------------------ */

static bool is_applied(const EventsLog *log, int64_t id)
{
    if (id > log->highest_id)
        return false;
    if (idset_has(&log->durable_ids, id))
        return true;
    for (size_t i = log->pending_count; i-- > 0;)
        if (log->pending[i].id == id)
            return true;
    return false;
}

static void add_pending(EventsLog *log, int64_t id, uint64_t seq)
{
    if (log->pending_count == log->pending_cap) {
        log->pending_cap = log->pending_cap == 0 ? 256 : log->pending_cap * 2;
        log->pending = realloc(log->pending, log->pending_cap * sizeof *log->pending);
        CHECK(log->pending != NULL);
    }
    log->pending[log->pending_count++] = (PendingId){id, seq};
}

static Err apply_locked(Ctx *ctx, EventsLog *log, Str records, const EventsBatch *batch, int64_t id)
{
    if (batch->count > 0)
        TRY(make_room(ctx, log, frame_size((uint32_t)records.len), batch->count));
    if (is_applied(log, id))
        return ERR_OK;
    if (log->durable_ids.count + log->pending_count + 1 >= IDSET_RANGES_MAX)
        return fail(ctx, ERR_BUSY, "events.outbox_gaps", "%zu ranges", log->durable_ids.count);
    const uint64_t seq = log->next_seq;
    if (batch->count == 0) /* nothing to lose: it needs no frame */
        CHECK(idset_add(&log->durable_ids, (IdRange){id, id}));
    else
        TRY(append_batch(ctx, log, records, batch, id));
    log->highest_id = id > log->highest_id ? id : log->highest_id;
    if (batch->count == 0)
        return ERR_OK;
    add_pending(log, id, seq);
    if (log->lazy_since_us == 0)
        log->lazy_since_us = clock_mono_us();
    return ERR_OK;
}

static bool too_much_unsynced(const EventsLog *log)
{
    return log->tail - log->durable_tail >= log->o.lazy_bytes ||
           log->pending_count >= LOG_PENDING_SYNC;
}

Err events_apply_outbox(Ctx *ctx, EventsLog *log, Str records, int64_t outbox_id)
{
    CHECK(outbox_id > 0 && outbox_id < INT64_MAX);
    EventsBatch batch;
    TRY(log_read_batch(ctx, log->key, records, 0, &batch));
    (void)pthread_mutex_lock(&log->lock);
    const Err err = apply_locked(ctx, log, records, &batch, outbox_id);
    const bool sync_now = too_much_unsynced(log);
    (void)pthread_mutex_unlock(&log->lock);
    if (sync_now)
        queue_wake(&log->queue);
    return err;
}

int64_t events_applied_through(EventsLog *log)
{
    (void)pthread_mutex_lock(&log->lock);
    const int64_t low = idset_low(&log->durable_ids);
    (void)pthread_mutex_unlock(&log->lock);
    return low;
}

bool events_outbox_is_durable(EventsLog *log, int64_t outbox_id)
{
    (void)pthread_mutex_lock(&log->lock);
    const bool has = idset_has(&log->durable_ids, outbox_id);
    (void)pthread_mutex_unlock(&log->lock);
    return has;
}

void events_settle_outbox(EventsLog *log, int64_t through_id)
{
    CHECK(through_id >= 0);
    (void)pthread_mutex_lock(&log->lock);
    CHECK(idset_add(&log->durable_ids, (IdRange){0, through_id})); /* joins the first range */
    log->highest_id = idset_high(&log->durable_ids) > log->highest_id
                          ? idset_high(&log->durable_ids)
                          : log->highest_id;
    (void)pthread_mutex_unlock(&log->lock);
}

/* ---- submitting ------------------------------------------------------------------------------ */

Err events_submit(EventsLog *log, EventsTask *task)
{
    const unsigned known = task->encoded ? RECORDS_CHECKED : 0;
    TRY(log_read_batch(task->ctx, log->key, task->records, known, &task->batch));
    const int64_t bytes = (int64_t)task->records.len;
    if (atomic_fetch_add(&log->queued_bytes, bytes) + bytes > LOG_QUEUED_BYTES_MAX) {
        (void)atomic_fetch_sub(&log->queued_bytes, bytes);
        return fail(task->ctx, ERR_BUSY, "events.busy", "the queue is full");
    }
    (void)queue_push(&log->queue, &task->node);
    return ERR_OK;
}

typedef struct Waiter {
    EventsTask task;
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool is_done; /* guarded by lock */
} Waiter;

static void wake_waiter(EventsTask *task)
{
    Waiter *w = CONTAINER_OF(task, Waiter, task);
    (void)pthread_mutex_lock(&w->lock);
    w->is_done = true;
    (void)pthread_cond_signal(&w->done);
    (void)pthread_mutex_unlock(&w->lock);
}

Err events_append(Ctx *ctx, EventsLog *log, Str records, uint64_t *first_seq)
{
    Waiter w = {.task = {.ctx = ctx, .records = records, .done = wake_waiter},
                .lock = PTHREAD_MUTEX_INITIALIZER,
                .done = PTHREAD_COND_INITIALIZER};
    TRY(events_submit(log, &w.task));
    (void)pthread_mutex_lock(&w.lock);
    while (!w.is_done)
        (void)pthread_cond_wait(&w.done, &w.lock);
    (void)pthread_mutex_unlock(&w.lock);
    (void)pthread_cond_destroy(&w.done);
    (void)pthread_mutex_destroy(&w.lock);
    if (w.task.err == ERR_OK && first_seq != NULL)
        *first_seq = w.task.first_seq;
    return w.task.err;
}

Err events_sync(Ctx *ctx, EventsLog *log)
{
    return events_append(ctx, log, STR(""), NULL);
}

/* ---- the sync thread ------------------------------------------------------------------------- */

static Err append_task(EventsLog *log, EventsTask *task)
{
    if (task->batch.count > 0)
        TRY(make_room(task->ctx, log, frame_size((uint32_t)task->records.len), task->batch.count));
    task->first_seq = log->next_seq;
    if (task->batch.count == 0)
        return ERR_OK;
    return append_batch(task->ctx, log, task->records, &task->batch, 0);
}

/* Whether outbox events have waited long enough.  Half of lazy_ms: the other half is the sleep. */
static bool lazy_is_due(const EventsLog *log)
{
    return log->lazy_since_us > 0 &&
           (too_much_unsynced(log) || clock_mono_us() - log->lazy_since_us >= log->o.lazy_ms * 500);
}

/* Syncs what is there now; takes the lock held and gives it back held. */
static Err sync_now(Ctx *ctx, EventsLog *log)
{
    if (log->durable_seq == log->next_seq)
        return ERR_OK;
    const uint64_t seq = log->next_seq;
    const int64_t from = log->durable_tail, tail = log->tail;
    const bool again = log->sync_failed;
    const File file = log->active;
    log->syncing = true;
    (void)pthread_mutex_unlock(&log->lock);
    const Err err = log_sync_file(ctx, file, again, from, tail);
    (void)pthread_mutex_lock(&log->lock);
    log->syncing = false;
    if (err == ERR_OK)
        log_mark_durable(log, seq, tail);
    else
        LOG(LOG_ERROR, "events.sync_failed", LOG_C("reason", ctx->fault.reason),
            LOG_C("detail", ctx->fault.detail));
    log->sync_failed = err != ERR_OK;
    log->stat_syncs++;
    (void)pthread_cond_broadcast(&log->changed);
    return err;
}

static void finish_tasks(EventsLog *log, QueueNode *chain, Err sync_err, const Fault *fault)
{
    while (chain != NULL) {
        EventsTask *task = CONTAINER_OF(chain, EventsTask, node);
        chain = chain->next; /* the task is its caller's again after done() */
        if (task->err == ERR_OK && sync_err != ERR_OK) {
            task->err = sync_err;
            task->ctx->fault = *fault;
        }
        (void)atomic_fetch_sub(&log->queued_bytes, (int64_t)task->records.len);
        task->done(task);
    }
}

/* One group: everything queued, then one sync.  False = nothing left and asked to stop. */
static bool sync_round(Ctx *ctx, EventsLog *log)
{
    const bool stopping = atomic_load(&log->stop);
    const int64_t wait_ms = log->o.lazy_ms / 2 + 1;
    QueueNode *chain = stopping ? queue_take(&log->queue) : queue_take_wait(&log->queue, wait_ms);
    bool wanted = stopping;
    (void)pthread_mutex_lock(&log->lock);
    for (QueueNode *n = chain; n != NULL; n = n->next) {
        EventsTask *task = CONTAINER_OF(n, EventsTask, node);
        task->err = append_task(log, task);
        wanted |= task->err == ERR_OK;
    }
    const bool due = wanted || lazy_is_due(log) || log->sync_failed;
    const Err err = due ? sync_now(ctx, log) : ERR_OK;
    (void)pthread_mutex_unlock(&log->lock);
    finish_tasks(log, chain, err, &ctx->fault);
    return !stopping || chain != NULL;
}

void *log_sync_main(void *arg)
{
    EventsLog *log = arg;
    (void)pthread_setname_np(pthread_self(), "events-sync");
    Ctx ctx = {.arena = arena_new(4096)};
    while (sync_round(&ctx, log))
        arena_reset(ctx.arena);
    arena_free(ctx.arena);
    return NULL;
}
