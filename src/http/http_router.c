/*
 * http/http_router.c -- the tree behind http/http_router.h.
 */
#include "http/http_router.h"

#include "http/http_query.h"

typedef struct Node {
    Str literal;
    struct Node *first, *sibling; /* literal children */
    struct Node *placeholder;
    const HttpRoute *route[HTTP_METHODS];
} Node;

struct HttpRouter {
    Node root;
};

typedef struct Path {
    Str segment[HTTP_SEGMENTS_MAX];
    int count;
} Path;

/* The segments behind the leading '/'; false when there are too many or no '/'. */
static bool split(Str path, Path *out)
{
    out->count = 0;
    if (path.len == 0 || path.ptr[0] != '/')
        return false;
    for (size_t from = 1;;) {
        if (out->count == HTTP_SEGMENTS_MAX)
            return false;
        const int64_t mark = str_index(path, '/', from);
        const size_t to = mark < 0 ? path.len : (size_t)mark;
        out->segment[out->count++] = str_slice(path, from, to);
        if (mark < 0)
            return true;
        from = to + 1;
    }
}

static bool is_placeholder(Str segment)
{
    return segment.len > 2 && segment.ptr[0] == '{' && segment.ptr[segment.len - 1] == '}';
}

static Node *literal_child(const Node *at, Str segment)
{
    for (Node *n = at->first; n != NULL; n = n->sibling)
        if (str_eq(n->literal, segment))
            return n;
    return NULL;
}

/* The child for this segment of a pattern, made when it is new. */
static Node *grow(Arena *arena, Node *at, Str segment)
{
    if (is_placeholder(segment)) {
        if (at->placeholder == NULL)
            at->placeholder = ARENA_NEW(arena, Node);
        return at->placeholder;
    }
    Node *n = literal_child(at, segment);
    if (n != NULL)
        return n;
    n = ARENA_NEW(arena, Node);
    n->literal = segment;
    n->sibling = at->first;
    at->first = n;
    return n;
}

static bool add(HttpRouter *r, Arena *arena, const HttpRoute *route)
{
    Path p;
    if (!split(str_of(route->path), &p) || (int)route->method >= HTTP_METHODS)
        return false;
    Node *at = &r->root;
    int placeholders = 0;
    for (int i = 0; i < p.count; i++) {
        placeholders += is_placeholder(p.segment[i]);
        at = grow(arena, at, p.segment[i]);
    }
    if (placeholders > HTTP_PARAMS_MAX || at->route[route->method] != NULL)
        return false;
    at->route[route->method] = route;
    return true;
}

HttpRouter *http_router_new(Arena *arena, const HttpRoute *routes, const char **bad)
{
    HttpRouter *r = ARENA_NEW(arena, HttpRouter);
    for (const HttpRoute *route = routes; route != NULL && route->path != NULL; route++) {
        if (!add(r, arena, route)) {
            *bad = route->path;
            return NULL;
        }
    }
    return r;
}

typedef struct Search {
    const Path *path;
    HttpMethod method;
    HttpMatch *out;
} Search;

static bool end_here(const Search *s, const Node *at)
{
    for (int m = 0; m < HTTP_METHODS; m++)
        if (at->route[m] != NULL)
            s->out->allow |= 1u << m;
    s->out->route = at->route[s->method];
    return s->out->route != NULL;
}

/* Depth first, literal before placeholder.  At most HTTP_SEGMENTS_MAX deep, and at most
 * HTTP_PARAMS_MAX placeholders on a way, so the tree bounds the work, not the client. */
static bool descend(const Search *s, const Node *at, int depth, int params)
{
    if (depth == s->path->count)
        return end_here(s, at);
    const Str segment = s->path->segment[depth];
    const Node *literal = literal_child(at, segment);
    if (literal != NULL && descend(s, literal, depth + 1, params))
        return true;
    if (at->placeholder == NULL || segment.len == 0)
        return false;
    s->out->param[params] = segment;
    return descend(s, at->placeholder, depth + 1, params + 1);
}

HttpRouted http_router_find(const HttpRouter *r, Arena *arena, HttpMethod method, Str path,
                            HttpMatch *out)
{
    *out = (HttpMatch){.route = NULL};
    Path p;
    if (!split(path, &p))
        return HTTP_NO_SUCH_PATH;
    for (int i = 0; i < p.count; i++) {
        const bool fine = http_percent_decode(arena, p.segment[i], false, &p.segment[i]);
        if (!fine || !str_is_utf8(p.segment[i]))
            return HTTP_BAD_PATH;
    }
    const Search s = {.path = &p, .method = method, .out = out};
    if (descend(&s, &r->root, 0, 0))
        return HTTP_ROUTED;
    return out->allow != 0 ? HTTP_NO_SUCH_METHOD : HTTP_NO_SUCH_PATH;
}

const char *http_router_allow(Arena *arena, unsigned allow)
{
    static const char *const NAMES[HTTP_METHODS] = {"GET, HEAD, ", "POST, ",   "PUT, ",
                                                    "PATCH, ",     "DELETE, ", ""};
    Str list = {"", 0};
    for (int m = 0; m < HTTP_METHODS; m++)
        if ((allow & 1u << m) != 0)
            list = arena_printf(arena, "%.*s%s", STR_ARG(list), NAMES[m]);
    return arena_printf(arena, "%.*sOPTIONS", STR_ARG(list)).ptr;
}
