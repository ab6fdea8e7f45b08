/*
 * modules/intake/intake_reject.c -- masking and the rejects file behind intake_reject.h.
 */
#include "modules/intake/intake_reject.h"

#include "modules/intake/intake_csv.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum {
    VALUE_BYTES_MAX = 80,
    DIGITS_MIN = 7,
    DIGITS_SHOWN = 2,
    FLUSH_BYTES = 64 * 1024,
};

struct RejectWriter {
    Arena *arena;
    int fd;
    Buf out;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits of the run at `from`; blanks, dashes and the like inside a number belong to it. */
static size_t digit_run(Str s, size_t from, size_t *end)
{
    static const Str JOINS = {" -.()+", 6};
    size_t digits = 0;
    size_t i = from;
    for (; i < s.len; i++) {
        if (is_digit(s.ptr[i])) {
            digits++;
            *end = i + 1;
        } else if (str_index(JOINS, s.ptr[i], 0) < 0) {
            break;
        }
    }
    return digits;
}

static void mask_digits(Buf *out, Str s)
{
    for (size_t i = 0; i < s.len;) {
        size_t end = i;
        const size_t digits = is_digit(s.ptr[i]) ? digit_run(s, i, &end) : 0;
        if (digits == 0)
            buf_add_char(out, s.ptr[i++]);
        size_t seen = 0;
        for (; i < end; i++) {
            const bool digit = is_digit(s.ptr[i]);
            seen += digit;
            const bool hidden = digit && digits >= DIGITS_MIN && seen + DIGITS_SHOWN <= digits;
            buf_add_char(out, hidden ? '*' : s.ptr[i]);
        }
    }
}

/* Cut without tearing a character. */
static Str cut(Str s)
{
    size_t len = s.len < VALUE_BYTES_MAX ? s.len : VALUE_BYTES_MAX;
    while (len > 0 && len < s.len && ((unsigned char)s.ptr[len] & 0xc0) == 0x80)
        len--;
    return str_slice(s, 0, len);
}

void intake_mask_value(Buf *out, Str value)
{
    if (!str_is_utf8(value)) {
        buf_add(out, STR("(not text)"));
        return;
    }
    const Str s = cut(value);
    const int64_t at = str_index(s, '@', 0);
    if (at <= 0) {
        mask_digits(out, s);
        return;
    }
    size_t first = 1; /* the first character, whole */
    while (first < s.len && ((unsigned char)s.ptr[first] & 0xc0) == 0x80)
        first++;
    buf_add(out, str_slice(s, 0, first));
    buf_add(out, STR("***"));
    mask_digits(out, str_slice(s, (size_t)at, s.len));
}

static Err unwritable(Ctx *ctx)
{
    return fail(ctx, ERR_BUSY, "intake.rejects_unwritable", "rejects file: error %d", errno);
}

static Err flush(RejectWriter *w, Ctx *ctx)
{
    Str left = buf_str(&w->out);
    while (left.len > 0) {
        const ssize_t n = write(w->fd, left.ptr, left.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return unwritable(ctx);
        left = str_slice(left, (size_t)n, left.len);
    }
    buf_clear(&w->out);
    return ERR_OK;
}

Err intake_reject_open(Ctx *ctx, const char *path, RejectWriter **out)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return unwritable(ctx);
    Arena *arena = arena_new(1024);
    RejectWriter *w = ARENA_NEW(arena, RejectWriter);
    *w = (RejectWriter){.arena = arena, .fd = fd, .out = BUF_MAX(4 * FLUSH_BYTES)};
    buf_add(&w->out, STR("file,line,column,value,reason,message\n"));
    *out = w;
    return ERR_OK;
}

/* A spreadsheet runs cells that start with one of these. */
static void put_cell(Buf *out, Str s, char end)
{
    static const Str STARTS = {"=+-@\t\r", 6};
    Buf safe = BUF_MAX(4 * 1024);
    if (s.len > 0 && str_index(STARTS, s.ptr[0], 0) >= 0)
        buf_add_char(&safe, '\'');
    buf_add(&safe, str_slice(s, 0, 1024));
    intake_csv_put_cell(out, buf_str(&safe), ',');
    buf_add_char(out, end);
    buf_free(&safe);
}

Err intake_reject_put(void *arg, Ctx *ctx, const IntakeReject *r)
{
    RejectWriter *w = arg;
    Buf value = BUF_MAX(1024);
    intake_mask_value(&value, r->value);
    put_cell(&w->out, r->file, ',');
    buf_add_i64(&w->out, r->line);
    buf_add_char(&w->out, ',');
    put_cell(&w->out, r->column, ',');
    put_cell(&w->out, buf_str(&value), ',');
    put_cell(&w->out, str_of(r->reason), ',');
    put_cell(&w->out, str_of(r->sentence), '\n');
    buf_free(&value);
    return w->out.len < FLUSH_BYTES ? ERR_OK : flush(w, ctx);
}

Err intake_reject_close(RejectWriter *w, Ctx *ctx)
{
    Err err = flush(w, ctx);
    if (close(w->fd) != 0 && err == ERR_OK)
        err = unwritable(ctx);
    buf_free(&w->out);
    arena_free(w->arena);
    return err;
}
