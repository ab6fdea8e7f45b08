/*
 * rules/rule_fault.c -- what is wrong, where, and what was probably meant.
 */
#include "rules/rule_internal.h"

#include <stdarg.h>
#include <stdio.h>

enum {
    POINTER_BYTES = 95, /* of Fault.pointer, without its NUL */
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

Str nearest_text(const Draft *d, const Nearest *n)
{
    if (n->best.len == 0)
        return STR("");
    const Str quoted = draft_quote(d, n->best);
    return arena_printf(d->ctx->arena, "; did you mean %.*s?", STR_ARG(quoted));
}
