/*
 * modules/history/history_lines.c -- a file of lines, an event as JSON in each.
 */
#include "base/json.h"
#include "modules/event/event_read.h"
#include "modules/history/history_inside.h"
#include "modules/intake/intake_bytes.h"

enum { READ_BYTES = 256 * 1024 };

/* ---- lines ---------------------------------------------------------------------------------------- */

typedef struct Lines {
    ByteSource *bytes;
    Buf held; /* [at, held.len) was read and not handed over */
    size_t at;
    size_t looked; /* bytes from `at` on that hold no end of a line */
    int64_t line_no;
    bool at_end;
} Lines;

/* Takes the line of `len` bytes and what ends it. */
static Str take_line(Lines *l, size_t len)
{
    const Str line = {l->held.ptr + l->at, len};
    l->at += len + (l->at + len < l->held.len);
    l->looked = 0;
    l->line_no++;
    return line;
}

static Err read_more(Lines *l, Ctx *ctx)
{
    size_t got = 0;
    if (l->at > 0) {
        memmove(l->held.ptr, l->held.ptr + l->at, l->held.len - l->at);
        l->held.len -= l->at;
        l->at = 0;
    }
    char *dst = buf_reserve(&l->held, READ_BYTES);
    CHECK(dst != NULL); /* a line is cut before */
    TRY(intake_bytes_read(l->bytes, ctx, dst, READ_BYTES, &got));
    l->held.len += got;
    l->at_end = got == 0;
    return ERR_OK;
}

/* Passes over the rest of a line that is too long. */
static Err skip_line(Lines *l, Ctx *ctx)
{
    for (;;) {
        const int64_t end = str_index(buf_str(&l->held), '\n', l->at);
        if (end >= 0 || l->at_end) {
            l->at = end >= 0 ? (size_t)end : l->held.len;
            (void)take_line(l, 0);
            return ERR_OK;
        }
        l->at = l->held.len;
        TRY(read_more(l, ctx));
    }
}

/* The next line without its end.  *too_long: it is left out. */
static Err next_line(Lines *l, Ctx *ctx, Str *line, bool *too_long, bool *more)
{
    *too_long = false;
    for (;;) {
        const int64_t end = str_index(buf_str(&l->held), '\n', l->at + l->looked);
        const size_t len = (end >= 0 ? (size_t)end : l->held.len) - l->at;
        *more = end >= 0 || !l->at_end || len > 0;
        if (len > HISTORY_LINE_BYTES_MAX) {
            *too_long = true;
            *line = (Str){NULL, 0};
            return skip_line(l, ctx);
        }
        if (end >= 0 || l->at_end) {
            *line = *more ? take_line(l, len) : (Str){NULL, 0};
            return ERR_OK;
        }
        l->looked = len;
        TRY(read_more(l, ctx));
    }
}

/* ---- events --------------------------------------------------------------------------------------- */

static Err may_say(Ctx *ctx, EventKind kind)
{
    return kind != EVENT_ERASE
               ? ERR_OK
               : fail_field(ctx, "/kind", "history.erase",
                            "to forget somebody is no history: use `tongdian events erase`");
}

static Err read_event(Ctx *ctx, const EventReading *how, Str line, Event *out)
{
    JsonValue root;
    TRY(json_open(ctx, line, &root));
    TRY(event_read(ctx, how, root, out));
    return history_check_time(ctx, out->time_ms);
}

static Err take_one(Import *im, Ctx *one, const EventReading *how, Str line, int64_t line_no)
{
    Event event;
    im->result->read++;
    if (read_event(one, how, line, &event) != ERR_OK)
        return history_refuse_fault(im, one, line_no);
    return history_take(im, &event);
}

static Err refuse_long(Import *im, int64_t line_no)
{
    im->result->read++;
    const IntakeReject reject = {.file = im->file_name,
                                 .line = line_no,
                                 .reason = "history.line_too_long",
                                 .sentence = "the line is longer than 4 MiB"};
    return history_refuse(im, im->ctx, &reject);
}

static Err tell(Import *im, const Lines *l)
{
    int64_t read_bytes = 0, size = 0;
    intake_bytes_progress(l->bytes, &read_bytes, &size);
    return history_tell_reading(im, read_bytes);
}

static Err read_lines(Import *im, Lines *l, Ctx *one)
{
    const EventReading how = {.source = im->options->source,
                              .received_ms = im->ctx->now_ms,
                              .time_ms = EVENT_TIME_MISSING,
                              .may = may_say};
    for (;;) {
        Str line;
        bool more = false, too_long = false;
        TRY(next_line(l, im->ctx, &line, &too_long, &more));
        if (!more)
            return ERR_OK;
        if (too_long)
            TRY(refuse_long(im, l->line_no));
        else if (str_trim(line).len > 0)
            TRY(take_one(im, one, &how, line, l->line_no));
        arena_reset(one->arena);
        if (l->line_no % HISTORY_TICK_EVENTS == 0)
            TRY(tell(im, l));
    }
}

Err history_read_lines(Import *im, const HistoryFile *file)
{
    Lines l = {.held = BUF_MAX(HISTORY_LINE_BYTES_MAX + 2 * READ_BYTES)};
    Ctx one = *im->ctx;
    TRY(intake_bytes_open(im->ctx, file->path, 0, &l.bytes));
    CHECK(buf_reserve(&l.held, READ_BYTES) != NULL);
    one.arena = arena_new(64 * 1024);
    const Err err = read_lines(im, &l, &one);
    arena_free(one.arena);
    buf_free(&l.held);
    intake_bytes_close(l.bytes);
    return err;
}
