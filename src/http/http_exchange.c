/*
 * http/http_exchange.c -- the life of one request, as the callbacks that the library makes.
 *
 *   begin   the first line is there: an exchange with an empty arena
 *   step    first call: the head is complete; then pieces of the body; then once "that was all";
 *           and once more after a suspension
 *   end     the reply is sent, or the connection broke: the arena is reset, the exchange reused
 *
 * A refusal in the first call makes the library close the connection behind the reply, which is
 * what doubtful framing needs.  Polite refusals (404, 405, ...) wait for the body and keep the
 * connection.
 * Threads: the loop's, but for http_finish().
 */
#include "http/http_internal.h"

#include "base/clock.h"
#include "http/http_query.h"

#include <stdlib.h>
#include <unistd.h>

enum { ARENA_BLOCK_BYTES = 16384, SPARES_MAX = 1024, DROP_BYTES_MAX = 8 << 20 };

static HttpExchange *exchange_get(HttpLoop *l)
{
    HttpExchange *x = l->spare;
    Arena *arena = NULL;
    if (x != NULL) {
        l->spare = x->node.next == NULL ? NULL : CONTAINER_OF(x->node.next, HttpExchange, node);
        l->spare_count--;
        arena = x->arena;
    } else {
        x = malloc(sizeof *x);
        CHECK(x != NULL);
        arena = arena_new(ARENA_BLOCK_BYTES);
    }
    *x = (HttpExchange){.arena = arena};
    return x;
}

static void exchange_put(HttpLoop *l, HttpExchange *x)
{
    arena_reset(x->arena);
    if (l->spare_count == SPARES_MAX) {
        arena_free(x->arena);
        free(x);
        return;
    }
    x->node.next = l->spare == NULL ? NULL : &l->spare->node;
    l->spare = x;
    l->spare_count++;
}

void http_exchange_free_spare(HttpLoop *l)
{
    while (l->spare != NULL) {
        HttpExchange *x = l->spare;
        l->spare = x->node.next == NULL ? NULL : CONTAINER_OF(x->node.next, HttpExchange, node);
        arena_free(x->arena);
        free(x);
    }
    l->spare_count = 0;
}

void *http_exchange_begin(void *loop, const char *target, struct MHD_Connection *mhd)
{
    HttpLoop *l = loop;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    CHECK(info != NULL);
    HttpConn *c = info->socket_context;
    HttpExchange *x = exchange_get(l);
    x->conn = c;
    x->started_us = clock_mono_us();
    x->loop = l->number;
    c->x = x;
    c->target_at = target;
    c->target = arena_copy(x->arena, str_of(target)); /* the library cuts it into pieces next */
    c->is_head = c->answered = c->finished = false;
    c->body = (HttpBody){.len = 0};
    if (c->phase == HTTP_PHASE_IDLE)
        http_conn_set_deadline(c, l->server->options.head_deadline_ms, 0);
    c->phase = HTTP_PHASE_HEAD;
    l->in_flight++;
    return x;
}

void http_exchange_end(void *loop, struct MHD_Connection *mhd, void **slot,
                       enum MHD_RequestTerminationCode code)
{
    (void)mhd;
    HttpLoop *l = loop;
    HttpExchange *x = *slot;
    if (x == NULL)
        return;
    *slot = NULL;
    HttpConn *c = x->conn;
    l->in_flight--;
    if (c->phase == HTTP_PHASE_LATER && !c->finished)
        return; /* its handler still works on it: nothing is freed or reused */
    http_body_free(c);
    const bool was_arriving = c->phase == HTTP_PHASE_HEAD || c->phase == HTTP_PHASE_BODY;
    if (was_arriving && c->deadline_us != INT64_MAX && code == MHD_REQUEST_TERMINATED_WITH_ERROR)
        http_count(&l->count.refused_framing, 1); /* the library has refused it by itself */
    c->x = NULL;
    c->phase = HTTP_PHASE_IDLE;
    http_conn_set_deadline(c, l->server->options.idle_ms, 0);
    exchange_put(l, x);
}

static enum MHD_Result see_header(void *guard, enum MHD_ValueKind kind, const char *name,
                                  size_t name_bytes, const char *value, size_t value_bytes)
{
    (void)kind;
    http_guard_header(guard, (Str){name, name_bytes}, (Str){value, value_bytes});
    return MHD_YES;
}

static size_t head_bytes(HttpConn *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return info == NULL ? 0 : info->header_size;
}

/* The reply is a problem, sent now; the connection closes behind it. */
static enum MHD_Result refuse(HttpConn *c, int status, const char *code, Str title)
{
    http_reply_problem(c->x, status, code, title, STR(""), STR(""));
    c->lingers = true;
    return http_reply_send(c);
}

/* The reply is a problem, sent when the body has gone by; the connection stays. */
static void answer(HttpConn *c, int status, const char *code, Str title)
{
    http_reply_problem(c->x, status, code, title, STR(""), STR(""));
    c->answered = true;
}

static bool method_of(Str name, HttpMethod *out, bool *is_head)
{
    static const struct {
        Str name;
        HttpMethod method;
    } METHODS[] = {
        {{"GET", 3}, HTTP_GET},         {{"POST", 4}, HTTP_POST},   {{"HEAD", 4}, HTTP_GET},
        {{"PUT", 3}, HTTP_PUT},         {{"PATCH", 5}, HTTP_PATCH}, {{"DELETE", 6}, HTTP_DELETE},
        {{"OPTIONS", 7}, HTTP_OPTIONS},
    };
    for (size_t i = 0; i < ARRAY_LEN(METHODS); i++) {
        if (!str_eq(name, METHODS[i].name))
            continue;
        *out = METHODS[i].method;
        *is_head = name.ptr[0] == 'H';
        return true;
    }
    return false;
}

static void no_such_method(HttpConn *c, unsigned allow)
{
    http_reply_header(c->x, "Allow", http_router_allow(c->x->arena, allow));
    if (c->x->request.method == HTTP_OPTIONS) {
        c->x->reply.status = 204;
        c->answered = true;
        return;
    }
    answer(c, 405, "http.method_not_allowed", STR("This address does not answer to this method."));
}

/* Finds the route, or prepares the reply that there is none. */
static void route(HttpConn *c)
{
    HttpExchange *x = c->x;
    const HttpServer *s = c->loop->server;
    HttpMatch match;
    switch (http_router_find(s->router, x->arena, x->request.method, x->request.path, &match)) {
    case HTTP_ROUTED:
        x->route = match.route;
        memcpy(x->request.param, match.param, sizeof match.param);
        return;
    case HTTP_BAD_PATH:
        answer(c, 400, "http.bad_path", STR("The address has a malformed escape."));
        return;
    case HTTP_NO_SUCH_METHOD:
        no_such_method(c, match.allow);
        return;
    case HTTP_NO_SUCH_PATH:
        if (s->options.fallback == NULL)
            answer(c, 404, "http.no_such_path", STR("There is nothing at this address."));
        return;
    }
}

static void check_content(HttpConn *c)
{
    const Str coding = c->guard.content_encoding;
    const bool known = coding.len == 0 || http_name_is(coding, STR("gzip")) ||
                       http_name_is(coding, STR("identity"));
    if (!known)
        answer(c, 415, "http.content_encoding", STR("Bodies may be plain or gzip."));
    else if (!http_query_is_sound(c->x->arena, c->x->request.query))
        answer(c, 400, "http.bad_query", STR("The query is not well-formed UTF-8 with escapes."));
}

static void fill_request(HttpConn *c, HttpMethod method)
{
    HttpRequest *r = &c->x->request;
    const int64_t mark = str_index(c->target, '?', 0);
    const size_t end = mark < 0 ? c->target.len : (size_t)mark;
    r->method = method;
    r->path = str_slice(c->target, 0, end);
    r->query = str_slice(c->target, end + 1, c->target.len);
    r->peer = c->peer;
    r->secure = c->loop->server->secure;
}

static enum MHD_Result expect_body(HttpConn *c)
{
    const HttpOptions *o = &c->loop->server->options;
    const HttpRoute *route = c->x->route;
    const size_t max =
        route != NULL && route->body_bytes_max > 0 ? route->body_bytes_max : o->body_bytes_max;
    if ((uint64_t)c->guard.length > max) {
        http_count(&c->loop->count.refused_limit, 1);
        return refuse(c, 413, "http.body_too_large", STR("The body is over this address's limit."));
    }
    http_body_begin(c, max);
    c->phase = HTTP_PHASE_BODY;
    if (c->guard.length > 0 || c->guard.chunked)
        http_conn_set_deadline(c, o->body_deadline_ms, (uint64_t)c->guard.length);
    return MHD_YES;
}

/* The head is complete: everything that can be said without the body. */
static enum MHD_Result head_arrived(HttpConn *c, const char *method, const char *version)
{
    HttpLoop *l = c->loop;
    const HttpServer *s = l->server;
    const Str verb = str_of(method);
    const size_t bytes = head_bytes(c);
    HttpGuard *g = &c->guard;
    http_count(&l->count.requests, 1);
    http_count(&l->count.bytes_in, (int64_t)bytes);
    http_guard_line(g, verb, c->target, str_of(version), c->target_at);
    (void)MHD_get_connection_values_n(c->mhd, MHD_HEADER_KIND, see_header, g);
    if (http_guard_end(g, method, bytes) != NULL) {
        http_count(&l->count.refused_framing, 1);
        return refuse(c, 400, g->reason, STR("The head of the request is not well-formed HTTP."));
    }
    if (bytes > s->options.head_bytes_max) {
        http_count(&l->count.refused_limit, 1);
        return refuse(c, 431, "http.head_too_large", STR("The head of the request is too large."));
    }
    if (atomic_load_explicit(&s->stop_until_us, memory_order_relaxed) != 0)
        return refuse(c, 503, "http.stopping", STR("The server is stopping; try again."));
    HttpMethod m = HTTP_GET;
    const bool known = method_of(verb, &m, &c->is_head);
    fill_request(c, m);
    if (known)
        route(c);
    else
        answer(c, 501, "http.unknown_method", STR("This server does not know this method."));
    if (!c->answered)
        check_content(c);
    return expect_body(c);
}

static enum MHD_Result run_handler(HttpConn *c)
{
    HttpExchange *x = c->x;
    const HttpServer *s = c->loop->server;
    HttpWhen (*handle)(HttpExchange *) = x->route != NULL ? x->route->handle : s->options.fallback;
    c->phase = HTTP_PHASE_LATER;
    c->deadline_us = INT64_MAX;
    if (handle(x) == HTTP_NOW)
        return http_reply_send(c);
    http_count(&c->loop->count.suspended, 1);
    MHD_suspend_connection(c->mhd);
    return MHD_YES;
}

static enum MHD_Result body_arrived(HttpConn *c)
{
    if (c->answered)
        return http_reply_send(c);
    http_body_end(c);
    c->x->request.body = http_body_str(c);
    switch (c->body.failed_status) {
    case 0:
        return run_handler(c);
    case 400:
        answer(c, 400, "http.bad_gzip", STR("The body is not one whole gzip member."));
        break;
    case 413:
        http_count(&c->loop->count.refused_limit, 1);
        answer(c, 413, "http.body_too_large", STR("The body is over this address's limit."));
        break;
    default:
        http_count(&c->loop->count.refused_limit, 1);
        http_reply_header(c->x, "Retry-After", "1");
        answer(c, 503, "http.bodies_full", STR("Too many large uploads at once; try again."));
        break;
    }
    return http_reply_send(c);
}

enum MHD_Result http_exchange_step(void *loop, struct MHD_Connection *mhd, const char *url,
                                   const char *method, const char *version, const char *data,
                                   size_t *data_bytes, void **slot)
{
    (void)loop, (void)mhd, (void)url;
    HttpExchange *x = *slot;
    HttpConn *c = x->conn;
    if (c->loop->gives_up)
        return MHD_NO; /* closes the connection */
    if (c->phase == HTTP_PHASE_HEAD)
        return head_arrived(c, method, version);
    if (c->phase == HTTP_PHASE_LATER)
        return http_reply_send(c); /* resumed: http_finish() was called */
    if (*data_bytes == 0)
        return body_arrived(c);
    http_body_add(c, (Str){data, *data_bytes});
    *data_bytes = 0;
    return c->body.dropped_bytes > DROP_BYTES_MAX ? MHD_NO : MHD_YES;
}

void http_finish(HttpExchange *x)
{
    HttpLoop *l = x->conn->loop;
    atomic_fetch_add(&l->finishing, 1);
    /* From the push on, the loop may end the exchange: x is not touched again. */
    if (queue_push(&l->done, &x->node)) {
        const uint64_t one = 1;
        CHECK(write(l->done_fd, &one, sizeof one) == (ssize_t)sizeof one);
    }
    atomic_fetch_sub(&l->finishing, 1);
}

void http_exchange_resume_done(HttpLoop *l)
{
    for (QueueNode *n = queue_take(&l->done); n != NULL;) {
        HttpConn *c = CONTAINER_OF(n, HttpExchange, node)->conn;
        n = n->next; /* read before the exchange can end */
        c->finished = true;
        http_count(&l->count.suspended, -1);
        MHD_resume_connection(c->mhd);
    }
}

Str http_header(const HttpExchange *x, const char *name)
{
    const char *value = NULL;
    size_t bytes = 0;
    if (MHD_lookup_connection_value_n(x->conn->mhd, MHD_HEADER_KIND, name, str_of(name).len, &value,
                                      &bytes) == MHD_NO)
        return (Str){NULL, 0};
    return str_trim((Str){value, bytes});
}

Str http_cookie(const HttpExchange *x, const char *name)
{
    return http_cookie_find(http_header(x, "Cookie"), str_of(name));
}

bool http_query(const HttpExchange *x, Str name, Str *value)
{
    return http_query_find(x->arena, x->request.query, name, value);
}
