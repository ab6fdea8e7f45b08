/*
 * http/http_query.c -- the decoders of http/http_query.h.
 */
#include "http/http_query.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool needs_decoding(Str s, bool plus_is_space)
{
    return str_index(s, '%', 0) >= 0 || (plus_is_space && str_index(s, '+', 0) >= 0);
}

bool http_percent_decode(Arena *arena, Str s, bool plus_is_space, Str *out)
{
    if (!needs_decoding(s, plus_is_space)) {
        *out = s;
        return true;
    }
    char *to = arena_bytes(arena, s.len);
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '%') {
            const int high = i + 2 < s.len ? hex_value(s.ptr[i + 1]) : -1;
            const int low = i + 2 < s.len ? hex_value(s.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        to[n++] = c;
    }
    *out = (Str){to, n};
    return true;
}

bool http_query_is_sound(Arena *arena, Str query)
{
    Str plain;
    return http_percent_decode(arena, query, true, &plain) && str_is_utf8(plain);
}

bool http_query_find(Arena *arena, Str query, Str name, Str *value)
{
    for (size_t from = 0; from < query.len;) {
        const int64_t mark = str_index(query, '&', from);
        const size_t to = mark < 0 ? query.len : (size_t)mark;
        const Str pair = str_slice(query, from, to);
        const int64_t equals = str_index(pair, '=', 0);
        const size_t split = equals < 0 ? pair.len : (size_t)equals;
        Str key;
        if (http_percent_decode(arena, str_slice(pair, 0, split), true, &key) && str_eq(key, name))
            return http_percent_decode(arena, str_slice(pair, split + 1, pair.len), true, value);
        from = to + 1;
    }
    return false;
}

static Str without_quotes(Str s)
{
    const bool quoted = s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"';
    return quoted ? str_slice(s, 1, s.len - 1) : s;
}

Str http_cookie_find(Str header, Str name)
{
    for (size_t from = 0; from < header.len;) {
        const int64_t mark = str_index(header, ';', from);
        const size_t to = mark < 0 ? header.len : (size_t)mark;
        const Str pair = str_slice(header, from, to);
        const int64_t equals = str_index(pair, '=', 0);
        if (equals >= 0 && str_eq(str_trim(str_slice(pair, 0, (size_t)equals)), name))
            return without_quotes(str_trim(str_slice(pair, (size_t)equals + 1, pair.len)));
        from = to + 1;
    }
    return (Str){NULL, 0};
}
