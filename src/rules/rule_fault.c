/*
 * rules/rule_fault.c -- what is wrong, where, and what was probably meant.
 */
#include "rules/rule_internal.h"

#include <stdarg.h>
#include <stdio.h>

enum {
    POINTER_BYTES = 95, /* of Fault.pointer, without its NUL */
    NEAR_CHARS_MAX = 48,
    NEAR_DISTANCE_MAX = 3,
    MESSAGE_BYTES = 256,
};

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* The tree form is quoted by its pointer; the position helps where somebody reads the bytes. */
Str draft_place(const Draft *d, size_t at)
{
    if (d->from_json)
        return arena_printf(d->ctx->arena, "byte %zu", at);
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at && i < d->text.len; i++) {
        if (d->text.ptr[i] == '\n') {
            line++;
            column = 1;
        } else if (!is_continuation(d->text.ptr[i])) {
            column++;
        }
    }
    return arena_printf(d->ctx->arena, "line %zu, column %zu", line, column);
}

/* The step from `parent` towards the value at byte `at`: the last child that begins at or before it. */
static bool child_at(JsonValue parent, size_t at, JsonValue *child, Str *step, Arena *arena)
{
    JsonValue v;
    Str key;
    size_t n = 0;
    bool found = false;
    for (JsonIter i = json_items(parent); json_next_item(&i, &v); n++) {
        if (json_position(v) > at)
            break;
        *child = v, *step = arena_printf(arena, "%zu", n), found = true;
    }
    for (JsonIter i = json_fields(parent); json_next_field(&i, &key, &v);) {
        if (json_position(v) > at)
            break;
        *child = v, *step = key, found = true;
    }
    return found;
}

/* RFC 6901: ~ and / are escaped.  False when it does not fit whole. */
static bool add_step(char *pointer, size_t *len, Str step)
{
    size_t n = *len;
    if (n < POINTER_BYTES)
        pointer[n++] = '/';
    for (size_t i = 0; i < step.len; i++) {
        const char c = step.ptr[i];
        const bool escaped = c == '~' || c == '/';
        if (n + 1 + escaped > POINTER_BYTES)
            return false;
        if (escaped)
            pointer[n++] = '~';
        pointer[n++] = c == '~' ? '0' : c == '/' ? '1' : c;
    }
    *len = n;
    return true;
}

static void pointer_of(const Draft *d, size_t at, char pointer[POINTER_BYTES + 1])
{
    size_t len = 0;
    JsonValue v = d->tree, child;
    Str step;
    while (json_position(v) < at && child_at(v, at, &child, &step, d->ctx->arena)) {
        if (!add_step(pointer, &len, step))
            break;
        v = child;
    }
    pointer[len] = '\0';
}

/* As many characters of `s` as fit: none is cut. */
static Str whole_characters(Str s, size_t max)
{
    size_t len = 0;
    while (len < s.len && str_utf8_len(s, len) > 0 && len + str_utf8_len(s, len) <= max)
        len += str_utf8_len(s, len);
    return str_slice(s, 0, len);
}

Err draft_fail(Draft *d, size_t at, const char *reason, const char *fmt, ...)
{
    char message[MESSAGE_BYTES], pointer[POINTER_BYTES + 1] = "";
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    if (d->from_json)
        pointer_of(d, at, pointer);
    const Str place = draft_place(d, at);
    const size_t room = sizeof d->ctx->fault.hint - sizeof ": " - place.len;
    const Str whole = whole_characters(str_of(message), room);
    return fail_field(d->ctx, pointer, reason, "%.*s: %.*s", STR_ARG(place), STR_ARG(whole));
}

Str draft_quote(const Draft *d, Str s)
{
    Buf b = BUF_MAX(2 * RULE_QUOTE_MAX);
    bool cut = false;
    buf_add_char(&b, '"');
    for (size_t i = 0; i < s.len && !cut;) {
        const size_t len = str_utf8_len(s, i);
        const unsigned char c = (unsigned char)s.ptr[i];
        const bool plain = len > 0 && c >= 0x20 && c != 0x7f && c != '"' && c != '\\';
        const size_t need = plain ? len : 4;
        cut = b.len + need > RULE_QUOTE_MAX;
        if (!cut && plain)
            buf_add(&b, str_slice(s, i, i + len));
        else if (!cut)
            buf_addf(&b, "\\x%02x", c);
        i += plain ? len : 1;
    }
    buf_add(&b, cut ? STR("...\"") : STR("\""));
    const Str quoted = arena_copy(d->ctx->arena, buf_str(&b));
    buf_free(&b);
    return quoted;
}

/* ---- the nearest name ------------------------------------------------------------------------ */

static uint32_t lower(uint32_t c)
{
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

/* The characters of `s` in lower case; 0 when there are too many. */
static size_t characters(Str s, uint32_t out[NEAR_CHARS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < s.len;) {
        const size_t len = str_utf8_len(s, i);
        if (n == NEAR_CHARS_MAX || len == 0)
            return 0;
        uint32_t c = 0;
        for (size_t j = 0; j < len; j++)
            c = c << 8 | (unsigned char)s.ptr[i + j];
        out[n++] = lower(c);
        i += len;
    }
    return n;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, changes and swaps of neighbours: Damerau-Levenshtein, each place once. */
static uint32_t distance(const uint32_t *a, size_t an, const uint32_t *b, size_t bn)
{
    uint32_t row[3][NEAR_CHARS_MAX + 1];
    for (size_t j = 0; j <= bn; j++)
        row[0][j] = (uint32_t)j;
    for (size_t i = 1; i <= an; i++) {
        uint32_t *now = row[i % 3];
        const uint32_t *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];
        now[0] = (uint32_t)i;
        for (size_t j = 1; j <= bn; j++) {
            now[j] = least(up[j - 1] + (a[i - 1] != b[j - 1]), 1 + least(up[j], now[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], up2[j - 2] + 1);
        }
    }
    return row[an % 3][bn];
}

/* A third of a name may be wrong, three characters at most; of one or two characters, none. */
Nearest nearest_to(Str wanted)
{
    uint32_t chars[NEAR_CHARS_MAX];
    const size_t n = characters(wanted, chars);
    return (Nearest){.wanted = wanted,
                     .best_distance = 1 + least((uint32_t)(n / 3), NEAR_DISTANCE_MAX)};
}

void nearest_try(Nearest *n, Str candidate)
{
    uint32_t a[NEAR_CHARS_MAX], b[NEAR_CHARS_MAX];
    const size_t an = characters(n->wanted, a), bn = characters(candidate, b);
    const size_t apart = an > bn ? an - bn : bn - an;
    if (an == 0 || bn == 0 || apart >= n->best_distance)
        return;
    const uint32_t d = distance(a, an, b, bn);
    if (d < n->best_distance)
        n->best_distance = d, n->best = candidate;
}

Str nearest_text(const Draft *d, const Nearest *n)
{
    if (n->best.len == 0)
        return STR("");
    const Str quoted = draft_quote(d, n->best);
    return arena_printf(d->ctx->arena, "; did you mean %.*s?", STR_ARG(quoted));
}
