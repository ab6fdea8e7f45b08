/*
 * http/http_query_fuzz.c -- any bytes as query, cookie header and escapes: no read out of bounds,
 * and what is encoded again decodes to the same.
 */
#include "http/http_query.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Str encode_all(Arena *arena, Str s)
{
    static const char HEX[] = "0123456789abcdef";
    char *to = arena_bytes(arena, s.len * 3);
    for (size_t i = 0; i < s.len; i++) {
        const unsigned char c = (unsigned char)s.ptr[i];
        to[3 * i] = '%';
        to[3 * i + 1] = HEX[c >> 4];
        to[3 * i + 2] = HEX[c & 15];
    }
    return (Str){to, s.len * 3};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Arena *arena = arena_new(4096);
    char *own = malloc(size == 0 ? 1 : size);
    CHECK(own != NULL);
    if (size > 0)
        memcpy(own, data, size);
    const Str all = {own, size};
    const int64_t mark = str_index(all, '|', 0);
    const Str name = str_slice(all, 0, mark < 0 ? 1 : (size_t)mark);
    const Str rest = str_slice(all, mark < 0 ? 1 : (size_t)mark + 1, size);
    Str value = {NULL, 0}, plain = {NULL, 0};
    if (http_query_find(arena, rest, name, &value))
        CHECK(value.len <= rest.len);
    CHECK(http_cookie_find(rest, name).len <= rest.len);
    if (http_query_is_sound(arena, rest))
        CHECK(http_percent_decode(arena, rest, true, &plain));
    CHECK(http_percent_decode(arena, encode_all(arena, all), true, &plain) && str_eq(plain, all));
    /* A parameter that is spelled with escapes only is always found. */
    const Str query = arena_printf(arena, "x&%.*s=%.*s", STR_ARG(encode_all(arena, name)),
                                   STR_ARG(encode_all(arena, rest)));
    if (!str_eq(name, STR("x")))
        CHECK(http_query_find(arena, query, name, &value) && str_eq(value, rest));
    arena_free(arena);
    free(own);
    return 0;
}
