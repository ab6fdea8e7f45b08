/*
 * base/log.c -- the log of base/log.h.
 */
#include "base/log.h"

#include "base/clock.h"

#include <stdatomic.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 4096, MASK_FROM_DIGITS = 7, MASK_KEEP_DIGITS = 2 };

static const char *const LEVELS[] = {"debug", "info", "warn", "error", "off"};
static atomic_int lowest_level = LOG_INFO;
static atomic_bool as_json;

void log_setup(LogLevel lowest, bool json)
{
    atomic_store(&lowest_level, (int)lowest);
    atomic_store(&as_json, json);
}

bool log_wants(LogLevel level)
{
    return (int)level >= atomic_load_explicit(&lowest_level, memory_order_relaxed);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* What people type between the digits of a phone number. */
static bool is_gap(char c)
{
    return c == ' ' || c == '-';
}

/* How many digits stand at the start of `s`. */
static size_t digit_run(Str s)
{
    size_t n = 0;
    while (n < s.len && is_digit(s.ptr[n]))
        n++;
    return n;
}

static void add_escaped(Buf *out, char c)
{
    const unsigned char u = (unsigned char)c;
    if (c == '"' || c == '\\')
        buf_addf(out, "\\%c", c);
    else if (u < 0x20 || u == 0x7f)
        buf_addf(out, "\\u%04x", u);
    else
        buf_add_char(out, c);
}

static void add_text(Buf *out, Str s)
{
    buf_add_char(out, '"');
    for (size_t i = 0; i < s.len;) {
        const size_t run = digit_run(str_slice(s, i, s.len));
        const size_t hide = run >= MASK_FROM_DIGITS ? run - MASK_KEEP_DIGITS : 0;
        for (size_t k = 0; k < hide; k++)
            buf_add_char(out, '*');
        const size_t end = i + (run == 0 ? 1 : run);
        for (i += hide; i < end; i++)
            add_escaped(out, s.ptr[i]);
    }
    buf_add_char(out, '"');
}

/* The same with blanks and dashes between the digits; *digits = how many are digits. */
static size_t number_run(Str s, size_t *digits)
{
    size_t end = 0;
    *digits = 0;
    for (size_t i = 0; i < s.len && (is_digit(s.ptr[i]) || (i > 0 && is_gap(s.ptr[i]))); i++)
        if (is_digit(s.ptr[i])) {
            (*digits)++;
            end = i + 1;
        }
    return end;
}

Str log_mask(Arena *arena, Str text)
{
    char *out = arena_bytes(arena, text.len + 1);
    for (size_t i = 0; i < text.len;) {
        size_t digits = 0;
        const size_t run = number_run(str_slice(text, i, text.len), &digits);
        size_t hide = digits >= MASK_FROM_DIGITS ? digits - MASK_KEEP_DIGITS : 0;
        for (const size_t end = i + (run == 0 ? 1 : run); i < end; i++) {
            const bool hidden = hide > 0 && is_digit(text.ptr[i]);
            out[i] = (char)(hidden ? '*' : text.ptr[i]);
            hide -= hidden;
        }
    }
    return (Str){out, text.len};
}

static void add_field(Buf *out, bool json, const LogField *f)
{
    if (json)
        buf_addf(out, ",\"%s\":", f->name);
    else
        buf_addf(out, " %s=", f->name);
    if (f->is_text)
        add_text(out, f->text);
    else
        buf_add_i64(out, f->i64);
}

void log_format(Buf *out, bool json, int64_t now_ms, LogLevel level, const char *event,
                const LogField *fields, size_t n)
{
    char at[CLOCK_TEXT_BYTES];
    clock_print(now_ms, at);
    if (json)
        buf_addf(out, "{\"at\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"", at, LEVELS[level], event);
    else
        buf_addf(out, "%s %-5s %s", at, LEVELS[level], event);
    for (size_t i = 0; i < n; i++)
        add_field(out, json, &fields[i]);
    buf_add(out, json ? STR("}\n") : STR("\n"));
}

void log_write(LogLevel level, const char *event, const LogField *fields, size_t n)
{
    if (!log_wants(level))
        return;
    Buf line = BUF_MAX(LINE_BYTES_MAX);
    log_format(&line, atomic_load(&as_json), clock_now_ms(), level, event, fields, n);
    if (line.overflowed && line.len > 0)
        line.ptr[line.len - 1] = '\n';
    if (write(STDERR_FILENO, line.ptr, line.len) < 0) {
        /* nowhere left to say so */
    }
    buf_free(&line);
}
