/*
 * modules/history/history.c -- the two halves of an import: files to sorted events, sorted events to the log.
 */
#include "base/file.h"
#include "engine/engine.h"
#include "events/events_survey.h"
#include "modules/event/event_read.h"
#include "modules/history/history_inside.h"

#include <sys/stat.h>
#include <unistd.h>

enum {
    MEMORY_BYTES = 128 * 1024 * 1024,
    BATCH_BYTES = 8 * 1024 * 1024,
    BATCH_EVENTS = 32768,
    EVENT_DISK_BYTES =
        80, /* what an event takes in the log beside its own bytes: its index, and more */
    LOG_SPARE_BYTES = 192 * 1024 * 1024, /* segments are made before they are written */
};

/* ---- room on the disk --------------------------------------------------------------------------------- */

/* What sorting a file takes, as a multiple of its size: a row of a table says less than the event that it becomes,
 * and ten times fewer bytes are common for packed ones. */
static int64_t spread_bytes(const HistoryFile *file)
{
    struct stat st;
    const Str path = str_of(file->path);
    if (str_eq(path, STR("-")) || stat(file->path, &st) != 0)
        return 0; /* nobody knows, or opening it will say so */
    return st.st_size * (file->entry == NULL ? 1 : 3) * (str_ends_with(path, STR(".gz")) ? 8 : 1);
}

static Err check_room(Ctx *ctx, Str folder, int64_t need, const char *what)
{
    int64_t has = 0;
    TRY(file_free_bytes(ctx, folder, &has));
    if (has >= need)
        return ERR_OK;
    return fail(ctx, ERR_BUSY, "history.no_room",
                "%s takes about %" PRId64 " MB, %" PRId64 " MB are left in %.*s", what,
                need / 1000000, has / 1000000, (int)(folder.len & 0xff), folder.ptr);
}

/* ---- refusals ----------------------------------------------------------------------------------------- */

static void count_reason(Import *im, const IntakeReject *reject)
{
    HistoryResult *r = im->result;
    size_t i = 0;
    while (i < r->reasons && strcmp(r->reason[i].reason, reject->reason) != 0)
        i++;
    if (i == HISTORY_REASONS_MAX)
        i--;
    if (i == r->reasons)
        r->reason[r->reasons++] = (HistoryReason){
            reject->reason, 0, arena_copy(im->ctx->arena, reject->file), reject->line};
    r->reason[i].count++;
}

Err history_refuse(void *arg, Ctx *ctx, const IntakeReject *reject)
{
    Import *im = arg;
    im->result->refused++;
    count_reason(im, reject);
    if (im->options->rejects_path == NULL)
        return ERR_OK;
    if (im->rejects == NULL)
        TRY(intake_reject_open(ctx, im->options->rejects_path, &im->rejects));
    return intake_reject_put(im->rejects, ctx, reject);
}

Err history_refuse_fault(Import *im, const Ctx *line, int64_t line_no)
{
    const Fault *f = &line->fault;
    if (f->code != ERR_INVALID && f->code != ERR_TOO_LARGE) {
        im->ctx->fault = *f;
        return f->code;
    }
    const IntakeReject reject = {
        .file = im->file_name,
        .line = line_no,
        .column = str_of(f->pointer),
        .reason = f->reason,
        .sentence = arena_copy(line->arena, event_refusal(f)).ptr,
    };
    return history_refuse(im, im->ctx, &reject);
}

Err history_check_time(Ctx *ctx, int64_t time_ms)
{
    if (time_ms < ctx->now_ms - ENGINE_PAST_MS_MAX)
        return fail_field(ctx, "/time", "history.too_old",
                          "it is more than thirty years old: no question reaches so far");
    if (time_ms > ctx->now_ms + HISTORY_FUTURE_MS_MAX)
        return fail_field(ctx, "/time", "history.future",
                          "it lies in the future: is the clock, or the zone, right?");
    return ERR_OK;
}

/* ---- reading ------------------------------------------------------------------------------------------ */

/* Ascending as bytes are compared. */
static void put_time(int64_t time_ms, char out[8])
{
    for (int i = 0; i < 8; i++)
        out[i] = (char)((uint64_t)time_ms >> (56 - 8 * i) & 0xff);
}

static int64_t get_time(Str key)
{
    uint64_t v = 0;
    for (size_t i = 0; i < key.len; i++)
        v = v << 8 | (unsigned char)key.ptr[i];
    return (int64_t)v;
}

Err history_take(Import *im, const Event *e)
{
    HistoryResult *r = im->result;
    char key[8];
    if (im->count == HISTORY_EVENTS_MAX)
        return fail(im->ctx, ERR_TOO_LARGE, "history.too_many", "%" PRId64, im->count);
    im->count++;
    r->from_ms = im->count == 1 || e->time_ms < r->from_ms ? e->time_ms : r->from_ms;
    r->to_ms = im->count == 1 || e->time_ms > r->to_ms ? e->time_ms : r->to_ms;
    TRY(history_ids_add(im->ids, im->ctx, e->id, im->count));
    if (im->events == NULL)
        return ERR_OK;
    buf_clear(&im->record);
    buf_add(&im->record, (Str){(const char *)&im->count, sizeof im->count});
    event_encode(e, &im->record);
    CHECK(!im->record.overflowed);
    im->bytes += (int64_t)im->record.len;
    put_time(e->time_ms, key);
    return intake_sort_add(im->events, im->ctx, (Str){key, sizeof key}, buf_str(&im->record));
}

static Err tell(Import *im, Ctx *ctx, const HistoryProgress *progress)
{
    const HistoryOptions *o = im->options;
    return o->tick == NULL ? ERR_OK : o->tick(o->tick_arg, ctx, progress);
}

Err history_tell_reading(Import *im, int64_t read_bytes)
{
    const int64_t done = im->bytes_before + read_bytes;
    return tell(im, im->ctx,
                &(HistoryProgress){
                    .file = im->file_name.ptr,
                    .done = im->count,
                    .permille = im->bytes_all > done ? done * 1000 / im->bytes_all : 0,
                });
}

static int64_t bytes_of(const HistoryFile *file)
{
    struct stat st;
    return stat(file->path, &st) == 0 ? (int64_t)st.st_size : 0;
}

static Err read_files(Import *im)
{
    const HistoryOptions *o = im->options;
    for (size_t i = 0; i < o->files; i++)
        im->bytes_all += bytes_of(&o->file[i]);
    for (size_t i = 0; i < o->files; i++) {
        const HistoryFile *file = &o->file[i];
        const char *slash = strrchr(file->path, '/');
        im->file_name = str_of(slash == NULL ? file->path : slash + 1);
        TRY(file->entry == NULL ? history_read_lines(im, file) : history_read_rows(im, file));
        im->bytes_before += bytes_of(file);
    }
    return ERR_OK;
}

/* ---- what the log has --------------------------------------------------------------------------------- */

static Err note_batch(Ctx *ctx, uint64_t first_seq, int64_t outbox_id, Str records, void *arg)
{
    Import *im = arg;
    Event e;
    (void)first_seq;
    (void)outbox_id;
    for (size_t used = 0; records.len > 0; records = str_slice(records, used, records.len)) {
        CHECK(event_check(records, &e, &used)); /* the survey did the same */
        if (str_eq(e.source, im->options->source))
            TRY(history_ids_add_there(im->ids, ctx, e.id));
    }
    return tell(im, ctx, &(HistoryProgress){.file = "the event log"});
}

static Err note_log(Import *im)
{
    EventsSurvey survey;
    Ctx ctx = *im->ctx;
    ctx.arena = arena_new(1 << 20);
    Err err = events_survey(&ctx, im->options->log_folder, &survey);
    const EventsSurveyVisit visit = {.batch = note_batch, .arg = im};
    if (err == ERR_OK)
        err = events_survey_read(&ctx, &survey, &visit, &im->result->damaged);
    im->ctx->fault = ctx.fault;
    arena_free(ctx.arena);
    return err;
}

/* ---- appending ---------------------------------------------------------------------------------------- */

typedef struct Batch {
    Ctx ctx;
    Buf records;
    int64_t count;
    int64_t last_ms;
} Batch;

static Err append(Import *im, Batch *b)
{
    HistoryResult *r = im->result;
    if (b->count == 0)
        return ERR_OK;
    const Err err = events_append(&b->ctx, im->options->log, buf_str(&b->records), NULL);
    if (err != ERR_OK) {
        im->ctx->fault = b->ctx.fault;
        return err;
    }
    r->taken += b->count;
    r->batches++;
    b->count = 0;
    buf_clear(&b->records);
    arena_reset(b->ctx.arena);
    const int64_t all = im->count - r->there - r->repeated;
    return tell(im, im->ctx,
                &(HistoryProgress){.appending = true,
                                   .time_ms = b->last_ms,
                                   .done = r->taken,
                                   .permille = r->taken * 1000 / all});
}

static Err append_sorted(Import *im, Batch *b)
{
    for (;;) {
        SortedRow row;
        bool more = false;
        int64_t number = 0;
        TRY(intake_sort_next(im->events, im->ctx, &row, &more));
        if (!more)
            return append(im, b);
        memcpy(&number, row.payload.ptr, sizeof number);
        if (history_ids_has_left_out(im->ids, number))
            continue;
        const Str record = str_slice(row.payload, sizeof number, row.payload.len);
        if (b->count == im->batch_events || b->records.len + record.len > BATCH_BYTES)
            TRY(append(im, b));
        buf_add(&b->records, record);
        b->count++;
        b->last_ms = get_time(row.key);
    }
}

static Err append_all(Import *im)
{
    const int64_t need = im->bytes + im->count * EVENT_DISK_BYTES + LOG_SPARE_BYTES;
    Batch b = {.ctx = *im->ctx, .records = BUF_MAX(BATCH_BYTES)};
    TRY(check_room(im->ctx, im->options->log_folder, need, "the history"));
    TRY(intake_sort_finish(im->events, im->ctx));
    b.ctx.arena = arena_new(1 << 20);
    const Err err = append_sorted(im, &b);
    arena_free(b.ctx.arena);
    buf_free(&b.records);
    return err;
}

/* ---- the import --------------------------------------------------------------------------------------- */

static Err check_source(Ctx *ctx, Str source)
{
    bool fine = source.len > 0 && source.len <= HISTORY_SOURCE_BYTES_MAX;
    for (size_t i = 0; fine && i < source.len; i++)
        fine = source.ptr[i] > ' ' && source.ptr[i] < 0x7f;
    if (!fine)
        return fail_field(ctx, "/source", "history.source",
                          "a source has 1 to %d visible characters without spaces",
                          HISTORY_SOURCE_BYTES_MAX);
    return event_source_is_free(ctx, source);
}

static Err run(Import *im)
{
    const HistoryOptions *o = im->options;
    int64_t need = 0;
    TRY(check_source(im->ctx, o->source));
    for (size_t i = 0; i < o->files; i++)
        need += spread_bytes(&o->file[i]);
    TRY(check_room(im->ctx, str_of(o->temp_dir), need, "sorting it"));
    if (o->log != NULL)
        TRY(note_log(im));
    TRY(read_files(im));
    TRY(history_ids_finish(im->ids, im->ctx, im->count, &im->result->there, &im->result->repeated));
    if (o->log != NULL)
        return append_all(im);
    im->result->taken = im->count - im->result->repeated;
    return ERR_OK;
}

/* The first failure is the one to tell. */
static Err finish_rejects(Import *im, Err err)
{
    if (im->rejects == NULL)
        return err;
    Ctx quiet = *im->ctx;
    const Err closed = intake_reject_close(im->rejects, err == ERR_OK ? im->ctx : &quiet);
    return err == ERR_OK ? closed : err;
}

Err history_import(Ctx *ctx, const HistoryOptions *o, HistoryResult *out)
{
    *out = (HistoryResult){0};
    Import im = {.ctx = ctx,
                 .options = o,
                 .result = out,
                 .memory_bytes = o->memory_bytes == 0 ? MEMORY_BYTES : o->memory_bytes,
                 .batch_events = o->batch_events == 0 ? BATCH_EVENTS : o->batch_events,
                 .record = BUF_MAX(EVENT_BYTES_MAX + sizeof(int64_t))};
    if (o->rejects_path != NULL)
        (void)unlink(o->rejects_path);
    im.ids = history_ids_new(o->temp_dir, im.memory_bytes / 4);
    if (o->log != NULL)
        im.events = intake_sort_new(o->temp_dir, im.memory_bytes / 2, false);
    const Err err = finish_rejects(&im, run(&im));
    intake_sort_free(im.events);
    history_ids_free(im.ids);
    buf_free(&im.record);
    return err;
}
