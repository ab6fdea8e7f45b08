/*
 * events/events_keep.c -- the keeper: what can be done beside appending.
 *
 * It writes the index of each full segment, prepares the next segment's file when the newest one is
 * half full, and saves the manifest.  When the disk is full it tries again every second; appending
 * goes on until LOG_UNSEALED_MAX segments wait.
 */
#include "events/eventlog.h"

#include "base/clock.h"
#include "base/log.h"
#include "events/crc32c.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { RETRY_S = 1, MANIFEST_VERSION = 1, MANIFEST_CRC_FROM = 16, ROWS_GUESS = 65536 };

static const Str MANIFEST_MAGIC = {"TDEVMAN1", 8};

typedef struct ManifestHead {
    char magic[8];
    uint32_t version;
    uint32_t crc; /* of everything behind this field, the ranges too */
    uint8_t key[SIPHASH_KEY_BYTES];
    uint64_t durable_seq, active_first;
    int64_t active_end;
    uint64_t range_count;
} ManifestHead;
_Static_assert(sizeof(ManifestHead) == 64 && sizeof(IdRange) == 16, "on-disk layout");

/* ---- names ----------------------------------------------------------------------------------- */

Str log_file_name(uint64_t first_seq, const char *suffix, char dst[LOG_NAME_BYTES])
{
    const int n = snprintf(dst, LOG_NAME_BYTES, "%020" PRIu64 "%s", first_seq, suffix);
    CHECK(n > 0 && n < LOG_NAME_BYTES);
    return (Str){dst, (size_t)n};
}

bool log_name_seq(Str name, const char *suffix, uint64_t *first_seq)
{
    int64_t seq = 0;
    if (name.len != 24 || !str_ends_with(name, str_of(suffix)) ||
        !str_to_i64(str_slice(name, 0, 20), &seq) || seq <= 0 || (uint64_t)seq > EVENTS_SEQ_MAX)
        return false;
    *first_seq = (uint64_t)seq;
    return true;
}

/* ---- segment files --------------------------------------------------------------------------- */

Err log_make_spare(Ctx *ctx, EventsLog *log)
{
    const Err err = file_create_zeros(ctx, log->folder, LOG_SPARE, log->o.segment_bytes);
    if (err == ERR_OK)
        return ERR_OK;
    const Fault first = ctx->fault;
    if (file_remove(ctx, log->folder, LOG_SPARE) != ERR_OK)
        LOG(LOG_WARN, "events.spare_stays", LOG_C("detail", ctx->fault.detail));
    ctx->fault = first;
    return err;
}

static Err write_segment_head(Ctx *ctx, EventsLog *log, File file)
{
    SegmentHead head = {.first_seq = log->next_seq, .made_ms = clock_now_ms()};
    segment_head_seal(&head);
    TRY(file_write_at(ctx, file, 0, (Str){(const char *)&head, sizeof head}));
    TRY(file_sync(ctx, file));
    char name[LOG_NAME_BYTES];
    log->must_roll = true; /* also when this fails: it may have happened */
    return file_rename(ctx, log->folder, LOG_SPARE, log_file_name(log->next_seq, LOG_SUFFIX, name));
}

Err log_start_segment(Ctx *ctx, EventsLog *log)
{
    if (!log->spare_ready)
        TRY(log_make_spare(ctx, log));
    log->spare_ready = false; /* when anything fails below, the next try makes a new one */
    File file;
    TRY(file_open(ctx, log->folder, LOG_SPARE, FILE_WRITE, &file));
    const Err err = write_segment_head(ctx, log, file);
    if (err != ERR_OK) {
        file_close(&file);
        return err;
    }
    file_close(&log->active);
    log->must_roll = false;
    log->active = file;
    log->active_first = log->next_seq;
    log->active_bytes = log->o.segment_bytes;
    log->tail = log->durable_tail = FRAME_FIRST_OFFSET;
    log->durable_seq = log->next_seq;
    log->prev = 0;
    log->last_frame_at = 0;
    log_close_open_run(log);
    return ERR_OK;
}

/* ---- indexes --------------------------------------------------------------------------------- */

typedef struct Indexing {
    EventsLog *log;
    RunColumns *columns;
    Arena *scratch;
    bool damaged;
    uint32_t last_frame_at, last_frame_crc;
} Indexing;

static Err index_gap(Ctx *ctx, uint64_t seq, uint64_t count, int64_t offset, void *arg)
{
    (void)ctx;
    Indexing *x = arg;
    LOG(LOG_ERROR, "events.damaged", LOG_I64("seq", (int64_t)seq), LOG_I64("count", (int64_t)count),
        LOG_I64("offset", offset));
    x->damaged = true;
    run_columns_reserve(x->columns, (uint32_t)count, 1);
    run_columns_add_gap(x->columns, (uint32_t)count);
    return ERR_OK;
}

static Err index_frame(Ctx *ctx, const Frame *f, void *arg)
{
    Indexing *x = arg;
    Ctx scratch = {.arena = x->scratch};
    EventsBatch batch;
    x->last_frame_at = f->offset;
    x->last_frame_crc = f->head.head_crc;
    arena_reset(x->scratch);
    /* Its checksum fits: it is what was checked when it was appended. */
    const unsigned known = RECORDS_ERASED | RECORDS_CHECKED;
    if (log_read_batch(&scratch, x->log->key, f->events, known, &batch) != ERR_OK ||
        batch.count != f->head.count)
        return index_gap(ctx, f->head.first_seq, f->head.count, f->offset, x);
    run_columns_reserve(x->columns, batch.count, 1);
    run_columns_add_frame(x->columns, f->offset, f->head.outbox_id);
    for (uint32_t i = 0; i < batch.count; i++) {
        batch.rows[i].at += f->offset + FRAME_HEAD_BYTES;
        run_columns_add(x->columns, &batch.rows[i]);
    }
    return ERR_OK;
}

Err log_index_fits(Ctx *ctx, EventsLog *log, FullSegment segment, const RunHead *head)
{
    char name[LOG_NAME_BYTES];
    FrameHead last = {.head_crc = 0};
    size_t got = 0;
    File data = FILE_NONE;
    const Str data_name = log_file_name(segment.first_seq, LOG_SUFFIX, name);
    Err read = file_open(ctx, log->folder, data_name, FILE_READ, &data);
    if (read == ERR_OK)
        read = file_read_at(ctx, data, head->last_frame_at, (char *)&last, sizeof last, &got);
    file_close(&data);
    if (read != ERR_NOT_FOUND) /* what the disk does not give back may fit */
        TRY(read);
    const bool fits = read == ERR_OK && head->first_seq == segment.first_seq &&
                      head->first_seq + head->count <= segment.end_seq &&
                      (head->frame_count == 0 || last.head_crc == head->last_frame_crc);
    return fits ? ERR_OK : fail(ctx, ERR_NOT_FOUND, "events.index", "of other content");
}

Err log_open_index(Ctx *ctx, EventsLog *log, FullSegment segment, Run **out)
{
    char name[LOG_NAME_BYTES];
    File file = FILE_NONE;
    Str map = {NULL, 0};
    TRY(file_open(ctx, log->folder, log_file_name(segment.first_seq, IDX_SUFFIX, name), FILE_READ,
                  &file));
    const Err err = file_map(ctx, file, &map);
    file_close(&file);
    TRY(err);
    Run *run = NULL;
    file_read_around(map, false); /* of hundreds of indexes a start looks at the heads */
    const bool good = run_of_block(map, true, segment.first_seq, &run);
    file_read_around(map, true);
    if (!good) {
        file_unmap(map);
        return fail(ctx, ERR_NOT_FOUND, "events.index", "damaged head");
    }
    const Err fits = log_index_fits(ctx, log, segment, &run->head);
    if (fits != ERR_OK) {
        run_unref(run);
        return fits;
    }
    *out = run;
    return ERR_OK;
}

/* The zeros behind the last frame are of no more use. */
static void trim_segment(Ctx *ctx, File file, int64_t end)
{
    int64_t bytes = 0;
    const bool longer = file_size(ctx, file, &bytes) == ERR_OK && bytes > end;
    if (longer && file_truncate(ctx, file, end) != ERR_OK)
        LOG(LOG_WARN, "events.not_trimmed", LOG_C("detail", ctx->fault.detail));
}

/* It was written past the page cache: the kernel reads it meanwhile, so that who asks for an actor next need not wait
 * for the disk. */
static void bring_index(Str map)
{
    enum { CHUNK_BYTES = 128 * 1024 }; /* of more a kernel may take the beginning only */
    for (uint64_t at = 0; at < map.len; at += CHUNK_BYTES)
        file_will_read(map, at, CHUNK_BYTES);
}

Err log_write_index(Ctx *ctx, EventsLog *log, FullSegment segment, Run **run)
{
    char name[LOG_NAME_BYTES];
    TRY(file_replace(ctx, log->folder, log_file_name(segment.first_seq, IDX_SUFFIX, name),
                     (*run)->block));
    Run *mapped = NULL;
    TRY(log_open_index(ctx, log, segment, &mapped));
    bring_index(mapped->block);
    run_unref(*run);
    *run = mapped;
    return ERR_OK;
}

Err log_index_file(Ctx *ctx, EventsLog *log, FullSegment segment, File file, Run **out,
                   bool *damaged)
{
    Indexing x = {.log = log,
                  .columns = run_columns_new(ROWS_GUESS, RUN_FRAMES),
                  .scratch = arena_new(ROWS_GUESS)};
    const FrameWalk walk = {.first_seq = segment.first_seq,
                            .proven_seq = segment.end_seq,
                            .sealed = true,
                            .on_frame = index_frame,
                            .on_gap = index_gap,
                            .arg = &x};
    FrameReader reader;
    FrameWalkEnd end;
    frame_reader_init(&reader, file, FRAME_SCAN_BYTES);
    const Err err = frame_walk(ctx, &reader, &walk, &end);
    frame_reader_clear(&reader);
    arena_free(x.scratch);
    if (err == ERR_OK) {
        *damaged = x.damaged;
        *out = run_build(x.columns, &(RunOf){.segment = segment.first_seq,
                                             .first_seq = segment.first_seq,
                                             .key = log->key,
                                             .last_frame_crc = x.last_frame_crc,
                                             .last_frame_at = x.last_frame_at,
                                             .end_offset = (uint32_t)end.offset});
    }
    run_columns_free(x.columns);
    return err;
}

static Err seal_file(Ctx *ctx, EventsLog *log, FullSegment segment, File file, Run **out)
{
    bool damaged = false;
    TRY(log_index_file(ctx, log, segment, file, out, &damaged));
    const int64_t end = (*out)->head.end_offset;
    TRY(log_write_index(ctx, log, segment, out));
    if (!damaged)
        trim_segment(ctx, file, end);
    return ERR_OK;
}

Err log_seal_segment(Ctx *ctx, EventsLog *log, FullSegment segment, Run **out)
{
    char name[LOG_NAME_BYTES];
    File file;
    TRY(file_open(ctx, log->folder, log_file_name(segment.first_seq, LOG_SUFFIX, name), FILE_WRITE,
                  &file));
    *out = NULL;
    const Err err = seal_file(ctx, log, segment, file, out);
    file_close(&file);
    return err;
}

/* ---- manifest -------------------------------------------------------------------------------- */

static Str manifest_bytes(Ctx *ctx, EventsLog *log)
{
    (void)pthread_mutex_lock(&log->lock);
    const IdSet *ids = &log->durable_ids;
    ManifestHead head = {.version = MANIFEST_VERSION,
                         .durable_seq = log->durable_seq,
                         .active_first = log->active_first,
                         .active_end = log->durable_tail,
                         .range_count = ids->count};
    const size_t bytes = sizeof head + ids->count * sizeof(IdRange);
    char *at = arena_bytes(ctx->arena, bytes);
    memcpy(at + sizeof head, ids->ranges, ids->count * sizeof(IdRange));
    (void)pthread_mutex_unlock(&log->lock);
    memcpy(head.magic, MANIFEST_MAGIC.ptr, sizeof head.magic);
    memcpy(head.key, log->key, sizeof head.key);
    memcpy(at, &head, sizeof head);
    head.crc = crc32c_add(0, (Str){at + MANIFEST_CRC_FROM, bytes - MANIFEST_CRC_FROM});
    memcpy(at, &head, sizeof head);
    return (Str){at, bytes};
}

Err log_save_manifest(Ctx *ctx, EventsLog *log)
{
    return file_replace(ctx, log->folder, STR("manifest"), manifest_bytes(ctx, log));
}

static bool ranges_are_good(const IdRange *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (r[i].from > r[i].to || r[i].to == INT64_MAX || (i > 0 && r[i].from <= r[i - 1].to + 1))
            return false;
    return n > 0 && r[0].from == 0;
}

Err log_load_manifest(Ctx *ctx, Str folder, Manifest *out, bool *damaged)
{
    Str bytes;
    *out = (Manifest){.is_there = false};
    *damaged = false;
    const size_t max = sizeof(ManifestHead) + (size_t)IDSET_RANGES_MAX * sizeof(IdRange);
    const Err err = file_load(ctx, folder, STR("manifest"), max, &bytes);
    *damaged = err == ERR_TOO_LARGE;
    if (err == ERR_NOT_FOUND || err == ERR_TOO_LARGE)
        return ERR_OK;
    TRY(err);
    ManifestHead head;
    *damaged = true;
    if (bytes.len < sizeof head)
        return ERR_OK;
    memcpy(&head, bytes.ptr, sizeof head);
    const Str checked = str_slice(bytes, MANIFEST_CRC_FROM, bytes.len);
    if (memcmp(head.magic, MANIFEST_MAGIC.ptr, sizeof head.magic) != 0 ||
        head.version != MANIFEST_VERSION || head.crc != crc32c_add(0, checked) ||
        head.range_count != (bytes.len - sizeof head) / sizeof(IdRange))
        return ERR_OK;
    IdRange *ranges = ARENA_ARRAY(ctx->arena, IdRange, head.range_count + 1);
    memcpy(ranges, bytes.ptr + sizeof head, bytes.len - sizeof head);
    if (!ranges_are_good(ranges, head.range_count))
        return ERR_OK;
    *damaged = false;
    *out = (Manifest){.is_there = true,
                      .durable_seq = head.durable_seq,
                      .active_first = head.active_first,
                      .active_end = head.active_end,
                      .ranges = ranges,
                      .range_count = head.range_count,
                      .bytes = bytes};
    memcpy(out->key, head.key, sizeof out->key);
    return ERR_OK;
}

/* ---- the thread ------------------------------------------------------------------------------ */

void log_swap_runs(EventsLog *log, Run *sealed)
{
    size_t to = 0;
    bool placed = false;
    for (size_t from = 0; from < log->run_count; from++) {
        Run *run = log->runs[from];
        const bool covered = run->segment == sealed->segment;
        if (covered && run->version > sealed->version)
            sealed->version = run->version;
        if (covered)
            run_unref(run);
        if (!covered || !placed)
            log->runs[to++] = covered ? sealed : run;
        placed |= covered;
    }
    CHECK(placed);
    log->run_count = to;
}

/* Runs of one segment stand together. */
bool log_is_current(EventsLog *log, const Run *run)
{
    (void)pthread_mutex_lock(&log->lock);
    size_t low = 0, high = log->run_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (log->runs[middle]->segment < run->segment)
            low = middle + 1;
        else
            high = middle;
    }
    const bool current = low < log->run_count && log->runs[low]->segment == run->segment &&
                         log->runs[low]->version == run->version;
    (void)pthread_mutex_unlock(&log->lock);
    return current;
}

/* The runs of a segment, with a reference each, when they say all of it; else none.  Under the lock. */
static size_t take_runs(const EventsLog *log, FullSegment full, Run **runs)
{
    size_t n = 0;
    uint64_t seq = full.first_seq;
    for (size_t i = 0; i < log->run_count; i++) {
        Run *run = log->runs[i];
        if (run->segment != full.first_seq || run->first_seq != seq)
            continue;
        runs[n++] = run;
        seq += run->count;
    }
    for (size_t i = 0; seq == full.end_seq && i < n; i++)
        (void)run_ref(runs[i]);
    return seq == full.end_seq ? n : 0;
}

static bool has_gap(const Run *run)
{
    for (uint32_t i = 0; i < run->count; i++)
        if (run->time[i] == RUN_GONE_MS)
            return true;
    return false;
}

/* What the memory says of the segment as one run; NULL when it does not say all, or something in it is lost. */
static Run *join_runs(const EventsLog *log, FullSegment full, Run *const *runs, size_t count)
{
    bool whole = count > 0;
    for (size_t i = 0; i < count; i++)
        whole = whole && !has_gap(runs[i]);
    if (!whole)
        return NULL;
    return run_join(runs, count,
                    &(RunOf){.segment = full.first_seq,
                             .first_seq = full.first_seq,
                             .key = log->key,
                             .last_frame_crc = full.last_frame_crc,
                             .last_frame_at = full.last_frame_at,
                             .end_offset = full.end_offset});
}

/* Its index, made of what the memory says, which takes a third of the time of reading the segment again. */
static Err seal_full(Ctx *ctx, EventsLog *log, FullSegment full, Run **sealed)
{
    (void)pthread_mutex_lock(&log->lock);
    Run **runs = ARENA_ARRAY(ctx->arena, Run *, log->run_count);
    const size_t count = take_runs(log, full, runs);
    (void)pthread_mutex_unlock(&log->lock);
    *sealed = join_runs(log, full, runs, count);
    for (size_t i = 0; i < count; i++)
        run_unref(runs[i]);
    if (*sealed == NULL)
        return log_seal_segment(ctx, log, full, sealed);
    TRY(log_write_index(ctx, log, full, sealed));
    char name[LOG_NAME_BYTES];
    File file = FILE_NONE;
    TRY(file_open(ctx, log->folder, log_file_name(full.first_seq, LOG_SUFFIX, name), FILE_WRITE,
                  &file));
    trim_segment(ctx, file, full.end_offset);
    file_close(&file);
    return ERR_OK;
}

static Err seal_oldest(Ctx *ctx, EventsLog *log)
{
    const FullSegment full = log->unsealed[0];
    (void)pthread_mutex_unlock(&log->lock);
    Run *sealed = NULL;
    const Err err = seal_full(ctx, log, full, &sealed);
    (void)pthread_mutex_lock(&log->lock);
    if (err != ERR_OK) {
        run_unref(sealed);
        return err;
    }
    log_swap_runs(log, sealed);
    log->unsealed_count--;
    memmove(log->unsealed, log->unsealed + 1, log->unsealed_count * sizeof *log->unsealed);
    (void)pthread_cond_broadcast(&log->changed);
    (void)pthread_mutex_unlock(&log->lock);
    const Err saved = log_save_manifest(ctx, log);
    (void)pthread_mutex_lock(&log->lock);
    return saved;
}

static Err prepare_spare(Ctx *ctx, EventsLog *log)
{
    log->spare_making = true;
    (void)pthread_mutex_unlock(&log->lock);
    const Err err = log_make_spare(ctx, log);
    (void)pthread_mutex_lock(&log->lock);
    log->spare_making = false;
    log->spare_ready = err == ERR_OK;
    return err;
}

static bool wants_spare(const EventsLog *log)
{
    const uint64_t held = log->next_seq - log->active_first;
    return !log->spare_ready && !log->keeper_stop &&
           (log->spare_wanted || log->tail > log->active_bytes / 2 ||
            held > EVENTS_SEGMENT_COUNT_MAX / 2);
}

/* Sleeps until something changes, at most RETRY_S.  Under the lock. */
static void wait_a_little(EventsLog *log)
{
    struct timespec until;
    CHECK(clock_gettime(CLOCK_REALTIME, &until) == 0);
    until.tv_sec += RETRY_S;
    (void)pthread_cond_timedwait(&log->changed, &log->lock, &until);
}

/* Returns false when there was nothing to do. */
static bool keep_once(Ctx *ctx, EventsLog *log, Err *err)
{
    if (log->unsealed_count > 0)
        *err = seal_oldest(ctx, log);
    else if (wants_spare(log))
        *err = prepare_spare(ctx, log);
    else
        return false;
    return true;
}

/* An index takes a core for a third of a second; the tills' requests go first.  Nothing waits for this thread
 * before LOG_UNSEALED_MAX segments do. */
static void begin_in_background(void)
{
    enum { NICEST = 19 };
    (void)pthread_setname_np(pthread_self(), "events-keep");
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICEST);
}

void *log_keep_main(void *arg)
{
    EventsLog *log = arg;
    begin_in_background();
    Ctx ctx = {.arena = arena_new(4096)};
    (void)pthread_mutex_lock(&log->lock);
    while (!log->keeper_stop || (log->unsealed_count > 0 && log->keeper_err == ERR_OK)) {
        Err err = ERR_OK;
        const bool busy = keep_once(&ctx, log, &err);
        if (err != ERR_OK) {
            log->keeper_fault = ctx.fault;
            LOG(LOG_ERROR, "events.keeper", LOG_C("reason", ctx.fault.reason),
                LOG_C("detail", ctx.fault.detail));
        }
        if (busy) {
            log->keeper_err = err;
            (void)pthread_cond_broadcast(&log->changed);
        }
        if (!log->keeper_stop && (!busy || err != ERR_OK))
            wait_a_little(log);
        arena_reset(ctx.arena);
    }
    (void)pthread_mutex_unlock(&log->lock);
    arena_free(ctx.arena);
    return NULL;
}
