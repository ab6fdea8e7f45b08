/*
 * http/http.h -- the HTTP server: sockets, framing, limits, routes, replies.  Knows no coupons.
 *
 * libmicrohttpd in external mode inside our own epoll loop, one loop per thread, several loops on
 * one port (SO_REUSEPORT).  The guards in front of every request: absolute deadlines for head and
 * body, request smuggling refused, limits on head, body, connections and per-client connections.
 *
 *   exchange    one request with its reply and its arena.  The handler runs on the loop's thread
 *               when the whole body is there.  It either fills x->reply and returns HTTP_NOW, or
 *               returns HTTP_LATER and somebody calls http_finish(x) once, from any thread.
 *
 * A request that a proxy in front could read differently (RFC 9112) gets 400 and the connection is
 * closed; what it carried never runs.  Every reply says nosniff, and no-store unless the handler
 * has set Cache-Control.
 * Threads: the loops are the server's own; block signals before http_start().
 */
#pragma once

#include "base/arena.h"
#include "base/ctx.h"
#include "base/queue.h"

#include <stdatomic.h>

typedef struct HttpServer HttpServer;
typedef struct HttpExchange HttpExchange;

typedef enum HttpMethod {
    HTTP_GET,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS
} HttpMethod;

enum { HTTP_PARAMS_MAX = 4, HTTP_REPLY_HEADERS_MAX = 12 };

typedef struct HttpRequest {
    HttpMethod method; /* HEAD arrives as GET; the body is dropped from the reply */
    Str path;          /* as sent, without the query; still percent-encoded */
    Str query;         /* raw, without '?' */
    Str body;          /* whole; gunzipped when it came with Content-Encoding: gzip; 64 readable
                           bytes follow it (padding for the JSON parser) */
    Str peer;          /* textual address of the client, without port */
    bool secure;       /* came over TLS */
    Str param[HTTP_PARAMS_MAX]; /* {placeholders} of the route, percent-decoded, in order */
} HttpRequest;

typedef struct HttpHeader {
    const char *name;
    const char *value; /* both live in the exchange's arena or are static; never CR or LF */
} HttpHeader;

typedef struct HttpReply {
    int status;
    const char *content_type; /* static; NULL with an empty body */
    Str body;                 /* in the exchange's arena or static; gzipped on the way out when the
                                 client accepts it and it is worth it */
    bool compressed;          /* body is already gzip (static files) */
    HttpHeader header[HTTP_REPLY_HEADERS_MAX];
    int header_count;
} HttpReply;

struct HttpExchange {
    HttpRequest request;
    HttpReply reply;
    Arena *arena;
    int64_t started_us; /* monotonic */
    int loop;           /* whose thread runs the handler: 0 ... loops - 1 */
    const struct HttpRoute *route;
    void *user;   /* the handler's own, e.g. the running request */
    bool watched; /* the handler sets it before HTTP_LATER: it wants to know of `left` */
    atomic_bool
        left; /* nobody waits for the reply: the client has closed its side, or the server stops.  Looked at
                         ten times a second; http_finish() is due all the same */
    /* below: http's own */
    QueueNode node;
    struct HttpConn *conn;
};

typedef enum HttpWhen { HTTP_NOW, HTTP_LATER } HttpWhen;

/* Routes are data.  Order does not matter: a literal segment beats a {placeholder}. */
typedef struct HttpRoute {
    HttpMethod method;
    const char *path; /* "/v1/coupons/{code}/redeem" */
    HttpWhen (*handle)(HttpExchange *x);
    size_t body_bytes_max; /* 0 = the server's default */
    const void *data;      /* whatever the handler's layer wants to know */
} HttpRoute;

typedef struct HttpOptions {
    const char *address;                      /* "127.0.0.1", "::", ... */
    int port;                                 /* 0 = any free one: see http_port() */
    int loops;                                /* threads */
    const char *tls_cert_file, *tls_key_file; /* PEM; NULL = plain HTTP */
    const HttpRoute *routes;                  /* ends with a zero row; must outlive the server */
    HttpWhen (*fallback)(HttpExchange *x);    /* no route matched (static files); NULL = 404 */
    void (*after_turn)(void *arg,
                       int loop); /* after a batch of handlers, on their thread; or NULL */
    void *after_turn_arg;
    int connections_max, connections_per_client_max;
    int head_deadline_ms, body_deadline_ms, idle_ms, write_deadline_ms;
    size_t head_bytes_max, body_bytes_max;
    size_t bodies_bytes_max; /* all request bodies above 16 KiB together, then 503 */
} HttpOptions;

/* Every limit at its default (docs in the .c); change what you need. */
HttpOptions http_options_default(void);

/* Errors, all INVALID: "http.options" (out of range), "http.route" (malformed or twice),
 * "http.tls_files", "http.address", "http.listen" (port taken or forbidden); BUSY
 * "http.descriptors". */
MUST_USE Err http_start(Ctx *ctx, const HttpOptions *options, HttpServer **out);
int http_port(const HttpServer *server);

/* Graceful: stops accepting, answers what is in flight (new requests on open connections get 503
 * and close), returns when all are answered or after `wait_ms`.  What is unfinished then is cut off
 * and its memory kept, so that a late http_finish() is harmless. */
void http_stop(HttpServer *server, int wait_ms);

/* Ends an exchange that returned HTTP_LATER.  Any thread; exactly once. */
void http_finish(HttpExchange *x);

/* Request header by name (case-insensitive), empty when absent. */
Str http_header(const HttpExchange *x, const char *name);
/* Cookie by name, empty when absent. */
Str http_cookie(const HttpExchange *x, const char *name);
/* Query parameter by name, percent-decoded ('+' is a space) into the arena; false when absent.  The
 * first one counts. */
MUST_USE bool http_query(const HttpExchange *x, Str name, Str *value);

/* Strings as in HttpHeader.  A name or value with control characters, or one header too many, is
 * logged and left out. */
void http_reply_header(HttpExchange *x, const char *name, const char *value);

/* RFC 9457 problem+json: status, code, title, detail, and errors with the one field that `pointer`
 * names.  Pointer and detail may be empty.  Headers that are set already stay. */
void http_reply_problem(HttpExchange *x, int status, const char *code, Str title, Str pointer,
                        Str detail);

typedef struct HttpStats {
    int64_t connections; /* open now */
    int64_t suspended;   /* HTTP_LATER and not finished, now */
    int64_t requests, refused_framing, refused_limit, timed_out;
    int64_t bytes_in;  /* heads and bodies */
    int64_t bytes_out; /* bodies */
} HttpStats;
void http_stats(const HttpServer *server, HttpStats *out);
