/*
 * http/http_guard_fuzz.c -- any list of headers: the guard never reads out of bounds, and what it
 * lets through has exactly one meaning, as counted by a slower look at the same list.
 */
#include "http/http_guard.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADERS_MAX = 64 };

typedef struct Piece {
    Str name, value;
} Piece;

/* The next piece up to `end`; a copy of its own, so that a read past it is seen. */
static Str cut(Str *rest, char end, char **to_free)
{
    const int64_t mark = str_index(*rest, end, 0);
    const size_t n = mark < 0 ? rest->len : (size_t)mark;
    char *copy = malloc(n + 1);
    CHECK(copy != NULL);
    if (n > 0)
        memcpy(copy, rest->ptr, n);
    *to_free = realloc(copy, n == 0 ? 1 : n);
    CHECK(*to_free != NULL);
    *rest = str_slice(*rest, n + 1, rest->len);
    return (Str){*to_free, n};
}

static int count_named(const Piece *pieces, size_t n, Str name)
{
    int found = 0;
    for (size_t i = 0; i < n; i++)
        found += http_name_is(pieces[i].name, name);
    return found;
}

static void check_accepted(const HttpGuard *g, const Piece *pieces, size_t n)
{
    const int lengths = count_named(pieces, n, STR("content-length"));
    const int codings = count_named(pieces, n, STR("transfer-encoding"));
    CHECK(lengths + codings <= 1);
    CHECK(g->length >= 0 && (lengths == 1 || g->length == 0));
    CHECK(g->chunked == (codings == 1) && !(g->chunked && g->http10));
    CHECK(count_named(pieces, n, STR("host")) <= 1);
    for (size_t i = 0; i < n; i++) {
        CHECK(pieces[i].name.len > 0);
        CHECK(str_index(pieces[i].name, ' ', 0) < 0 && str_index(pieces[i].name, ':', 0) < 0);
        for (char c = '\n'; c <= '\r'; c++)
            CHECK(str_index(pieces[i].value, c, 0) < 0);
        CHECK(str_index(pieces[i].value, '\0', 0) < 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Str rest = {(const char *)data, size};
    char *to_free[3 + 2 * HEADERS_MAX];
    size_t copies = 0, n = 0;
    Piece pieces[HEADERS_MAX];
    const Str method = cut(&rest, ' ', &to_free[copies++]);
    const Str target = cut(&rest, ' ', &to_free[copies++]);
    const Str version = cut(&rest, '\n', &to_free[copies++]);
    HttpGuard g;
    http_guard_line(&g, method, target, version, NULL);
    while (rest.len > 0 && n < HEADERS_MAX) {
        pieces[n].name = cut(&rest, ':', &to_free[copies++]);
        pieces[n].value = cut(&rest, '\n', &to_free[copies++]);
        http_guard_header(&g, pieces[n].name, pieces[n].value);
        n++;
    }
    if (http_guard_end(&g, NULL, 0) == NULL)
        check_accepted(&g, pieces, n);
    (void)http_accepts_gzip(g.accept_encoding);
    while (copies > 0)
        free(to_free[--copies]);
    return 0;
}
