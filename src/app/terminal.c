/*
 * app/terminal.c -- tables, bars, progress.
 */
#include "app/terminal.h"

#include "base/clock.h"

#include <stdarg.h>
#include <unistd.h>

/* ---- width --------------------------------------------------------------------------------------- */

static const struct {
    uint32_t from, to;
    size_t width;
} WIDTHS[] = {
    {0x0300, 0x036f, 0},   {0x200b, 0x200f, 0},   {0xfe00, 0xfe0f, 0}, /* join the one before */
    {0x1100, 0x115f, 2},   {0x2e80, 0x303e, 2},   {0x3041, 0x33ff, 2}, {0x3400, 0x4dbf, 2},
    {0x4e00, 0x9fff, 2},   {0xa000, 0xa4cf, 2},   {0xac00, 0xd7a3, 2}, {0xf900, 0xfaff, 2},
    {0xfe30, 0xfe4f, 2},   {0xff00, 0xff60, 2},   {0xffe0, 0xffe6, 2}, {0x1f300, 0x1f64f, 2},
    {0x1f900, 0x1f9ff, 2}, {0x20000, 0x3fffd, 2},
};

static size_t width_of(uint32_t c)
{
    for (size_t i = 0; i < ARRAY_LEN(WIDTHS); i++)
        if (c >= WIDTHS[i].from && c <= WIDTHS[i].to)
            return WIDTHS[i].width;
    return 1;
}

/* The code point of the `len` valid bytes at `p`. */
static uint32_t code_point(const char *p, size_t len)
{
    static const uint32_t FIRST[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = (unsigned char)p[0] & FIRST[len];
    for (size_t i = 1; i < len; i++)
        c = c << 6 | ((unsigned char)p[i] & 0x3f);
    return c;
}

size_t terminal_width(Str text)
{
    size_t width = 0;
    for (size_t i = 0; i < text.len;) {
        const size_t len = str_utf8_len(text, i);
        width += len == 0 ? 1 : width_of(code_point(text.ptr + i, len));
        i += len == 0 ? 1 : len;
    }
    return width;
}

/* ---- tables -------------------------------------------------------------------------------------- */

static Str shown(Arena *arena, Str text)
{
    char *copy = arena_bytes(arena, text.len + 1);
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char c = (unsigned char)text.ptr[i];
        copy[i] = c < 0x20 || c == 0x7f ? '?' : text.ptr[i];
    }
    return (Str){copy, text.len};
}

void table_add(Table *t, Str text)
{
    if (t->cells == t->room) {
        const size_t room = t->room == 0 ? 64 : 2 * t->room;
        Str *grown = ARENA_ARRAY(t->arena, Str, room);
        for (size_t i = 0; i < t->cells; i++)
            grown[i] = t->cell[i];
        t->cell = grown;
        t->room = room;
    }
    t->cell[t->cells++] = shown(t->arena, text);
}

Table table_new(Arena *arena, const char *heading)
{
    Table t = {.arena = arena};
    Str rest = str_of(heading);
    while (true) {
        const int64_t bar = str_index(rest, '|', 0);
        Str name = bar < 0 ? rest : str_slice(rest, 0, (size_t)bar);
        CHECK(t.columns < TABLE_COLUMNS);
        t.right[t.columns] = str_starts_with(name, STR(">"));
        table_add(&t, t.right[t.columns] ? str_slice(name, 1, name.len) : name);
        t.columns++;
        if (bar < 0)
            return t;
        rest = str_slice(rest, (size_t)bar + 1, rest.len);
    }
}

void table_addf(Table *t, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    table_add(t, str_of(text));
}

void table_add_count(Table *t, int64_t n)
{
    table_add(t, terminal_count(t->arena, n));
}

static void print_cell(const Table *t, size_t at, const size_t *widest, FILE *to)
{
    const size_t column = at % t->columns;
    const Str text = t->cell[at];
    const int pad = (int)(widest[column] - terminal_width(text));
    const bool last = column + 1 == t->columns;
    if (column > 0)
        fputs("  ", to);
    if (t->right[column])
        fprintf(to, "%*s%.*s", pad, "", STR_ARG(text));
    else
        fprintf(to, "%.*s%*s", STR_ARG(text), last ? 0 : pad, "");
    if (last)
        fputc('\n', to);
}

void table_print(Table *t, FILE *to)
{
    size_t widest[TABLE_COLUMNS] = {0};
    CHECK(t->cells % t->columns == 0);
    for (size_t i = 0; i < t->cells; i++) {
        const size_t width = terminal_width(t->cell[i]);
        if (width > widest[i % t->columns])
            widest[i % t->columns] = width;
    }
    for (size_t i = 0; i < t->cells; i++)
        print_cell(t, i, widest, to);
}

/* ---- numbers ------------------------------------------------------------------------------------- */

/* Commas into the digits before the point; NUL-terminated. */
static Str grouped(Arena *arena, Str number)
{
    char *out = arena_bytes(arena, 2 * number.len + 1);
    size_t n = 0, sign = number.len > 0 && number.ptr[0] == '-' ? 1 : 0;
    const int64_t point = str_index(number, '.', 0);
    const size_t whole = point < 0 ? number.len : (size_t)point;
    for (size_t i = 0; i < number.len; i++) {
        if (i > sign && i < whole && (whole - i) % 3 == 0)
            out[n++] = ',';
        out[n++] = number.ptr[i];
    }
    out[n] = '\0';
    return (Str){out, n};
}

Str terminal_count(Arena *arena, int64_t n)
{
    return grouped(arena, arena_printf(arena, "%" PRId64, n));
}

Str terminal_money(Arena *arena, int64_t fen, int exponent)
{
    Buf text = BUF_MAX(64);
    money_print(&text, (Money){fen}, exponent);
    const Str out = grouped(arena, buf_str(&text));
    buf_free(&text);
    return out;
}

Str terminal_rate(Arena *arena, int64_t bps)
{
    return arena_printf(arena, "%" PRId64 ".%02" PRId64 " %%", bps / 100, bps % 100);
}

Str terminal_bar(Arena *arena, int64_t part, int64_t whole, size_t columns)
{
    static const char *const EIGHTHS[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    if (whole <= 0 || part <= 0)
        return STR("");
    CHECK(whole <= MONEY_FEN_MAX && columns <= 200);
    const int64_t eighths = (part < whole ? part : whole) * (int64_t)columns * 8 / whole;
    Buf text = BUF_MAX(columns * 3 + 4);
    for (int64_t i = 0; i < eighths / 8; i++)
        buf_add(&text, STR("█"));
    buf_add(&text, str_of(EIGHTHS[eighths % 8]));
    const Str out = arena_copy(arena, buf_str(&text));
    buf_free(&text);
    return out;
}

/* ---- progress ------------------------------------------------------------------------------------ */

enum { SHOW_US = 100 * 1000, LINE_US = 5 * 1000 * 1000 };

Progress progress_start(FILE *to)
{
    const int64_t now_us = clock_mono_us();
    return (Progress){
        .to = to, .terminal = isatty(fileno(to)) == 1, .start_us = now_us, .shown_us = now_us};
}

void progress_show(Progress *p, const char *what, int64_t rows, int64_t permille)
{
    const int64_t now_us = clock_mono_us();
    if (now_us - p->shown_us < (p->terminal ? SHOW_US : LINE_US))
        return;
    p->shown_us = now_us;
    const int64_t took_us = now_us - p->start_us;
    const int64_t rate = took_us > 0 ? rows * 1000000 / took_us : 0;
    const int64_t left_s = permille > 0 ? took_us * (1000 - permille) / permille / 1000000 : 0;
    fprintf(p->to, "%s%3" PRId64 " %%  %s  %" PRId64 " rows/s", p->terminal ? "\r\033[K" : "",
            permille / 10, what, rate);
    if (permille >= 20)
        fprintf(p->to, "  %" PRId64 ":%02" PRId64 " left", left_s / 60, left_s % 60);
    if (!p->terminal)
        fputc('\n', p->to);
    (void)fflush(p->to);
}

void progress_end(Progress *p)
{
    if (p->terminal)
        fputs("\r\033[K", p->to);
    (void)fflush(p->to);
}
