/*
 * base/str.h -- borrowed slices of bytes (Str) and growing buffers that name their maximum (Buf).
 *
 * A Str is pointer and length, never NUL-terminated by promise; the arena or literal behind it owns
 * the bytes.  A Buf owns heap memory until buf_free(); past its maximum it stops growing and stays
 * `overflowed`, so a writer checks once at the end instead of after each piece.
 * Threads: any; a Buf belongs to one thread at a time.
 */
#pragma once

#include "base/base.h"
#include <string.h>

typedef struct Str {
    const char *ptr; /* may be NULL only when len == 0 */
    size_t len;      /* bytes */
} Str;

#define STR(lit)   ((Str){"" lit, sizeof(lit) - 1})
#define STR_ARG(s) (int)(s).len, (s).ptr /* for "%.*s" */

static inline bool str_eq(Str a, Str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Do n (4 to 8, 8 to 16) bytes equal?  As two words, which overlap where there are fewer. */
#define STR_SAME_WORDS(T, a, b, n)                                                                 \
    T x0, x1, y0, y1;                                                                              \
    memcpy(&x0, (a), sizeof(T));                                                                   \
    memcpy(&x1, (a) + (n) - sizeof(T), sizeof(T));                                                 \
    memcpy(&y0, (b), sizeof(T));                                                                   \
    memcpy(&y1, (b) + (n) - sizeof(T), sizeof(T));                                                 \
    return ((x0 ^ y0) | (x1 ^ y1)) == 0
static inline bool str_same_4(const char *a, const char *b, size_t n)
{
    STR_SAME_WORDS(uint32_t, a, b, n);
}
static inline bool str_same_8(const char *a, const char *b, size_t n)
{
    STR_SAME_WORDS(uint64_t, a, b, n);
}

/* str_eq() for hot loops over short texts: up to 16 bytes go without a call. */
static inline bool str_same(Str a, Str b)
{
    if (a.len != b.len)
        return false;
    if (a.len >= 8 && a.len <= 16)
        return str_same_8(a.ptr, b.ptr, a.len);
    if (a.len >= 4 && a.len < 8)
        return str_same_4(a.ptr, b.ptr, a.len);
    return a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0;
}

/* A record keeps what it is not given: takes `given` when there is something and it differs.  True then. */
static inline bool str_merge(Str *into, Str given)
{
    if (given.len == 0 || str_eq(*into, given))
        return false;
    *into = given;
    return true;
}

/* The view of a NUL-terminated string; NULL is the empty one.  For literals use STR(). */
Str str_of(const char *c);

bool str_starts_with(Str s, Str prefix);
bool str_ends_with(Str s, Str suffix);

/* memcmp order, shorter first on a tie: the order of COLLATE "C". */
int str_compare(Str a, Str b);

/* Bytes [from, to) of `s`, both clamped to its length. */
Str str_slice(Str s, size_t from, size_t to);

/* Without ASCII white space at both ends. */
Str str_trim(Str s);

/* Position of byte `c` at or after `from`, or -1. */
int64_t str_index(Str s, char c, size_t from);

/* Decimal with an optional '-'; the whole string must be the number.  False when it is not one or
 * does not fit; *out is then untouched. */
MUST_USE bool str_to_i64(Str s, int64_t *out);

/* Bytes of the character that starts at `at` < s.len: 1 to 4, or 0 when none does (as below). */
size_t str_utf8_len(Str s, size_t at);

/* Valid UTF-8 (RFC 3629: no surrogates, no overlong forms) without U+0000. */
bool str_is_utf8(Str s);

/* One line of valid UTF-8: no control characters, at most `max_bytes`. */
bool str_is_line(Str s, size_t max_bytes);

/* Copies into a caller's array as a NUL-terminated C string for the OS or library edge.  False when
 * it does not fit or holds a NUL byte. */
MUST_USE bool str_to_c(Str s, char *dst, size_t dst_bytes);

typedef struct Buf {
    char *ptr;
    size_t len;       /* bytes in use */
    size_t cap_bytes; /* bytes allocated */
    size_t max_bytes; /* never grows past this */
    bool overflowed;  /* something did not fit; content is then incomplete */
} Buf;

#define BUF_MAX(bytes) ((Buf){.max_bytes = (bytes)})

void buf_free(Buf *b);
void buf_clear(Buf *b); /* keeps the memory */
void buf_add(Buf *b, Str s);
void buf_add_char(Buf *b, char c);
void buf_add_i64(Buf *b, int64_t v);
void buf_add_u64(Buf *b, uint64_t v);
void buf_addf(Buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Room for `n` more bytes at b->ptr + b->len, or NULL when that would pass the maximum. */
char *buf_reserve(Buf *b, size_t n);

static inline Str buf_str(const Buf *b)
{
    return (Str){b->ptr, b->len};
}
