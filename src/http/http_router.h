/*
 * http/http_router.h -- from a method and a raw path to a route and its parameters.
 *
 * Owns: a tree of path segments in the arena it was built in; read-only afterwards.  Threads: any.
 * A literal segment beats a {placeholder}; where the literal branch has no such method, the
 * placeholder branch is asked too.  "/a" and "/a/" are two paths; empty segments match nothing.
 */
#pragma once

#include "http/http.h"

enum { HTTP_METHODS = HTTP_OPTIONS + 1, HTTP_SEGMENTS_MAX = 16 };

typedef struct HttpRouter HttpRouter;

typedef enum HttpRouted {
    HTTP_ROUTED,
    HTTP_NO_SUCH_PATH,
    HTTP_NO_SUCH_METHOD, /* `allow` says which there are */
    HTTP_BAD_PATH        /* a malformed escape, or a decoded segment that is not UTF-8 */
} HttpRouted;

typedef struct HttpMatch {
    const HttpRoute *route;
    unsigned allow; /* bit per HttpMethod */
    Str param[HTTP_PARAMS_MAX];
} HttpMatch;

/* `routes` ends with a zero row.  NULL when two rows are the same method and path, a pattern does
 * not start with '/', or has too many segments or placeholders; *bad is then that row's path. */
HttpRouter *http_router_new(Arena *arena, const HttpRoute *routes, const char **bad);

/* Parameters come out percent-decoded, in `arena` where they had escapes. */
HttpRouted http_router_find(const HttpRouter *router, Arena *arena, HttpMethod method, Str path,
                            HttpMatch *out);

/* "GET, HEAD, POST": the value of Allow.  HEAD comes with GET, OPTIONS is always there. */
const char *http_router_allow(Arena *arena, unsigned allow);
