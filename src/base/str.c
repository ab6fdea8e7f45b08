/*
 * base/str.c -- slices and buffers behind base/str.h.
 */
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

Str str_of(const char *c)
{
    return c == NULL ? (Str){NULL, 0} : (Str){c, strlen(c)};
}

bool str_starts_with(Str s, Str prefix)
{
    return s.len >= prefix.len && str_eq((Str){s.ptr, prefix.len}, prefix);
}

bool str_ends_with(Str s, Str suffix)
{
    return s.len >= suffix.len && str_eq(str_slice(s, s.len - suffix.len, s.len), suffix);
}

int str_compare(Str a, Str b)
{
    const size_t n = a.len < b.len ? a.len : b.len;
    const int order = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);
    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

Str str_slice(Str s, size_t from, size_t to)
{
    if (to > s.len)
        to = s.len;
    if (from > to)
        from = to;
    return s.ptr == NULL ? s : (Str){s.ptr + from, to - from};
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

Str str_trim(Str s)
{
    size_t from = 0, to = s.len;
    while (from < to && is_space(s.ptr[from]))
        from++;
    while (to > from && is_space(s.ptr[to - 1]))
        to--;
    return str_slice(s, from, to);
}

int64_t str_index(Str s, char c, size_t from)
{
    if (from >= s.len)
        return -1;
    const char *at = memchr(s.ptr + from, c, s.len - from);
    return at == NULL ? -1 : at - s.ptr;
}

bool str_to_i64(Str s, int64_t *out)
{
    const bool negative = s.len > 0 && s.ptr[0] == '-';
    size_t i = negative ? 1 : 0;
    if (i == s.len)
        return false;
    int64_t v = 0; /* built downwards, so that INT64_MIN fits */
    for (; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, s.ptr[i] - '0', &v))
            return false;
    }
    if (!negative && v == INT64_MIN)
        return false;
    *out = negative ? v : -v;
    return true;
}

/* Length of the valid sequence at `p` with `n` bytes left, 0 when there is none. */
static size_t utf8_step(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return p[0] != 0;
    const size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))
        return 0; /* overlong, surrogate */
    if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0; /* overlong, past U+10FFFF */
    return len;
}

size_t str_utf8_len(Str s, size_t at)
{
    return utf8_step((const unsigned char *)s.ptr + at, s.len - at);
}

/* Eight bytes, none of them NUL or above 0x7f? */
static inline bool is_plain(uint64_t word)
{
    const uint64_t lows = UINT64_C(0x7f7f7f7f7f7f7f7f);
    return ((word | ~(word + lows)) & ~lows) == 0;
}

static inline uint64_t load64(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline uint64_t load32(const char *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Whether the last bytes, fewer than eight, are plain; reads what stands before them once more. */
static inline bool ends_plainly(Str s, size_t done)
{
    if (s.len >= 8)
        return done == s.len || is_plain(load64(s.ptr + s.len - 8));
    return s.len >= 4 && is_plain(load32(s.ptr) | load32(s.ptr + s.len - 4) << 32);
}

/* Mostly it is ASCII and goes in words of eight. */
bool str_is_utf8(Str s)
{
    size_t done = 0;
    while (s.len - done >= 8 && is_plain(load64(s.ptr + done)))
        done += 8;
    if (s.len - done < 8 && ends_plainly(s, done))
        return true;
    for (size_t i = done; i < s.len;) {
        const bool plain = (signed char)s.ptr[i] > 0; /* ASCII but NUL: no call for the many */
        const size_t step = plain ? 1 : str_utf8_len(s, i);
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}

bool str_is_line(Str s, size_t max_bytes)
{
    if (s.len > max_bytes || !str_is_utf8(s))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return false;
    return true;
}

bool str_to_c(Str s, char *dst, size_t dst_bytes)
{
    if (s.len >= dst_bytes || str_index(s, '\0', 0) >= 0)
        return false;
    if (s.len > 0)
        memcpy(dst, s.ptr, s.len);
    dst[s.len] = '\0';
    return true;
}

void buf_free(Buf *b)
{
    free(b->ptr);
    *b = (Buf){.max_bytes = b->max_bytes};
}

void buf_clear(Buf *b)
{
    b->len = 0;
    b->overflowed = false;
}

char *buf_reserve(Buf *b, size_t n)
{
    CHECK(b->max_bytes > 0);
    if (n > b->max_bytes || b->len > b->max_bytes - n) {
        b->overflowed = true;
        return NULL;
    }
    if (b->len + n > b->cap_bytes) {
        size_t cap = b->cap_bytes == 0 ? 256 : b->cap_bytes * 2;
        while (cap < b->len + n)
            cap *= 2;
        if (cap > b->max_bytes)
            cap = b->max_bytes;
        b->ptr = realloc(b->ptr, cap);
        CHECK(b->ptr != NULL);
        b->cap_bytes = cap;
    }
    return b->ptr + b->len;
}

void buf_add(Buf *b, Str s)
{
    char *at = s.len == 0 ? NULL : buf_reserve(b, s.len);
    if (at == NULL)
        return;
    memcpy(at, s.ptr, s.len);
    b->len += s.len;
}

void buf_add_char(Buf *b, char c)
{
    buf_add(b, (Str){&c, 1});
}

void buf_add_u64(Buf *b, uint64_t v)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    buf_add(b, (Str){digits + at, sizeof digits - at});
}

void buf_add_i64(Buf *b, int64_t v)
{
    if (v < 0)
        buf_add_char(b, '-');
    buf_add_u64(b, v < 0 ? ~(uint64_t)v + 1 : (uint64_t)v);
}

void buf_addf(Buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    const int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    CHECK(n >= 0);
    char *at = buf_reserve(b, (size_t)n + 1); /* vsnprintf writes a NUL after the text */
    if (at != NULL) {
        (void)vsnprintf(at, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}
