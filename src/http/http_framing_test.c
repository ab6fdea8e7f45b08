/*
 * http/http_framing_test.c -- every request that two programs could read differently: 400, close,
 * and what it smuggles never runs.  Over a real socket, because part of this is the library's
 * parser.
 */
#include "http/http.h"
#include "http/http_client.h"

#include <stdatomic.h>

static Arena *arena;
static HttpServer *server;
static atomic_int evil_runs;

static HttpWhen reply_text(HttpExchange *x, Str body)
{
    x->reply.status = 200;
    x->reply.content_type = "text/plain; charset=utf-8";
    x->reply.body = body;
    return HTTP_NOW;
}

static HttpWhen on_now(HttpExchange *x)
{
    return reply_text(x, STR("now"));
}

static HttpWhen on_evil(HttpExchange *x)
{
    atomic_fetch_add(&evil_runs, 1);
    return reply_text(x, STR("evil"));
}

static const HttpRoute ROUTES[] = {
    {HTTP_GET, "/now", on_now, 0, NULL},
    {HTTP_POST, "/echo", on_now, 0, NULL},
    {HTTP_GET, "/evil", on_evil, 0, NULL},
    {0},
};

static void start(void)
{
    arena_free(arena);
    arena = arena_new(1 << 16);
    Ctx ctx = {.arena = arena};
    HttpOptions o = http_options_default();
    o.routes = ROUTES;
    CHECK(http_start(&ctx, &o, &server) == ERR_OK);
    atomic_store(&evil_runs, 0);
}

/* With its length, because some hold a NUL. */
#define TEXT(lit)                                                                                  \
    {                                                                                              \
        lit, sizeof(lit) - 1                                                                       \
    }

/* Each is sent with a second request behind it that must never run. */
static const struct {
    int status;
    Str text;
} DOUBTFUL[] = {
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
               "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")},
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
               "Content-Length: 5\r\n\r\n0\r\n\r\n")},
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
               "Content-Length: 5\r\n\r\nhello")},
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"
               "Content-Length: 40\r\n\r\n")},
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello")},
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\n Content-Length: 5\r\n\r\nhello")},
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n 0\r\n\r\nhello")},
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello")},
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello")},
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello")},
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5,5\r\n\r\nhello")},
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5 \r\n\r\nhello")},
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello")},
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\0006\r\n\r\nhello")},
    {413, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\n"
               "Content-Length: 99999999999999999999\r\n\r\nhello")},
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
               "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")},
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n")},
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n")},
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
               "0\r\n\r\n")},
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked \r\n\r\n"
               "0\r\n\r\n")},
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0b"
               "chunked\r\n\r\n0\r\n\r\n")},
    {400, TEXT("POST /echo HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n"
               "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")},
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
               "5x\r\nhello\r\n0\r\n\r\n")},
    {400, TEXT("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
               "5\r\nhelloX\r\n0\r\n\r\n")},
    {400, TEXT("GET /now HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n")},
    {400, TEXT("GET /now HTTP/1.1\r\nHost: a\r\nX\tY: 1\r\n\r\n")},
    {400, TEXT("GET /now HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n")},
    {400, TEXT("GET /now HTTP/1.1\r\nHost: a\r\nX: a\rGET /evil\r\n\r\n")},
    {400, TEXT("GET /now HTTP/1.1\r\nHost: a\r\nX: a\x01\r\n\r\n")},
    {400, TEXT("GET /now HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n")},
    {400, TEXT("GET /now HTTP/1.1\r\nHost: a\r\n\0X: b\r\n")},
    {400, TEXT("GET /now HTTP/1.1\r\nHost: a\r\nX: a\r\n folded\r\n\r\n")},
    {400, TEXT("GET /now HTTP/1.1\r\nHost: a\r\nX: a\r\n\tfolded\r\nY: b\r\n\r\n")},
    {400, TEXT("GET /now HTTP/1.1\nHost: a\r\n\r\n")},
    {400, TEXT("GET /now HTTP/1.1\r\nHost: a\nX: b\r\n\r\n")},
    {400, TEXT("GET /now HTTP/1.1\r\nHost: a\n\r\n")},
    {400, TEXT("GET /now HTTP/1.1\r\nHost: a\r\n\n")},
    {400, TEXT("GET /now HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")},
    {400, TEXT("GET /now HTTP/1.1\r\n\r\n")},
    {400, TEXT("GET /now HTTP/1.1\r\nHost:\r\n\r\n")},
    {400, TEXT("GET /now HTTP/1.1\r\nHost: a/b\r\n\r\n")},
    {400, TEXT("GET http://a/now HTTP/1.1\r\nHost: a\r\n\r\n")},
    {400, TEXT("GET /now /x HTTP/1.1\r\nHost: a\r\n\r\n")},
    {400, TEXT("GET  /now HTTP/1.1\r\nHost: a\r\n\r\n")},
    {400, TEXT("GET /now  HTTP/1.1\r\nHost: a\r\n\r\n")},
    {400, TEXT("GET /now HTTP/1.1 \r\nHost: a\r\n\r\n")},
    {400, TEXT("GET /n\tow HTTP/1.1\r\nHost: a\r\n\r\n")},
    {400, TEXT("GET /now HTTP/1.2\r\nHost: a\r\n\r\n")},
    {400, TEXT("GET /now\r\nHost: a\r\n\r\n")},
    {400, TEXT("GET /now HTTP/1.1\r\nHost: a\r\nno colon here\r\n\r\n")},
};

TEST(server_refuses_every_doubtful_framing_and_closes)
{
    start();
    for (size_t i = 0; i < ARRAY_LEN(DOUBTFUL); i++) {
        const int fd = client_dial(http_port(server));
        client_say(fd, DOUBTFUL[i].text);
        client_say(fd, STR("GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"));
        const char *reply = client_hear_all(arena, fd);
        if (client_status(reply) != DOUBTFUL[i].status || strstr(reply, "(open)") != NULL)
            fprintf(stderr, "case %zu: %.*s\n-> %s\n", i, STR_ARG(DOUBTFUL[i].text), reply);
        EXPECT_I64(client_status(reply), DOUBTFUL[i].status);
        CHECK(strstr(reply, "(open)") == NULL);
        EXPECT_I64(atomic_load(&evil_runs), 0);
    }
    HttpStats stats;
    http_stats(server, &stats);
    /* Two first lines without a version are refused by the library before it calls us. */
    EXPECT_I64(stats.refused_framing, ARRAY_LEN(DOUBTFUL) - 2);
    http_stop(server, 1000);
}

TEST(server_runs_a_well_framed_request_behind_another)
{
    start();
    const int fd = client_dial(http_port(server));
    client_say(fd, STR("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
                       "GET /evil HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    EXPECT_I64(client_status(client_hear_all(arena, fd)), 200);
    EXPECT_I64(atomic_load(&evil_runs), 1);
    http_stop(server, 1000);
}
