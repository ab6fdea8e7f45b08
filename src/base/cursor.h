/*
 * base/cursor.h -- a place in a text, for readers of short formats that go from character to character.
 *
 * Owns: nothing.  Threads: one at a time.
 */
#pragma once

#include "base/str.h"

typedef struct Cursor {
    Str s;
    size_t at;
} Cursor;

/* The character there; 0 behind the end. */
static inline char cursor_peek(const Cursor *c)
{
    return c->at < c->s.len ? c->s.ptr[c->at] : '\0';
}

static inline bool cursor_take(Cursor *c, char wanted)
{
    if (c->at >= c->s.len || c->s.ptr[c->at] != wanted)
        return false;
    c->at++;
    return true;
}

/* Between `least` and `most` (at most 18) digits. */
static inline bool cursor_digits(Cursor *c, int least, int most, int64_t *out)
{
    int64_t v = 0;
    int n = 0;
    for (; n < most && cursor_peek(c) >= '0' && cursor_peek(c) <= '9'; n++)
        v = v * 10 + (c->s.ptr[c->at++] - '0');
    if (n < least)
        return false;
    *out = v;
    return true;
}
