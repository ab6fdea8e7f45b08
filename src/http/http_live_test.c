/*
 * http/http_live_test.c -- a real server on a loopback port, against well-behaved, slow, silent and
 * hostile clients.
 */
#include "base/clock.h"
#include "http/http.h"
#include "http/http_client.h"

#include <pthread.h>
#include <zlib.h>

static Arena *arena;
static HttpServer *server;
static Queue work;
static atomic_bool worker_stops;
static pthread_t worker;
static atomic_int gate; /* handlers of /gate wait for it */
static atomic_int at_gate;
static HttpExchange *_Atomic held;

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

/* Also proves that the padding behind the body may be read. */
static HttpWhen on_echo(HttpExchange *x)
{
    const Str b = x->request.body;
    int padding = 0;
    for (size_t i = 0; i < 64; i++)
        padding |= b.ptr[b.len + i];
    CHECK(padding == 0);
    return reply_text(
        x, arena_printf(x->arena, "%zu:%.*s", b.len, (int)(b.len < 100 ? b.len : 100), b.ptr));
}

static HttpWhen on_item(HttpExchange *x)
{
    Str q = STR("none");
    if (!http_query(x, STR("q"), &q))
        q = STR("absent");
    const Str cookie = http_cookie(x, "sid"), peer = x->request.peer;
    return reply_text(x, arena_printf(x->arena, "%.*s|%.*s|%.*s|%.*s|%.*s",
                                      STR_ARG(x->request.param[0]), STR_ARG(q), STR_ARG(cookie),
                                      STR_ARG(http_header(x, "x-ONE")), STR_ARG(peer)));
}

static HttpWhen on_later(HttpExchange *x)
{
    (void)queue_push(&work, &x->node);
    return HTTP_LATER;
}

static HttpWhen on_hold(HttpExchange *x)
{
    atomic_store(&held, x);
    return HTTP_LATER;
}

/* Like a question: who asks for it may leave. */
static HttpWhen on_watch(HttpExchange *x)
{
    x->watched = true;
    return on_hold(x);
}

static HttpWhen on_gate(HttpExchange *x)
{
    atomic_fetch_add(&at_gate, 1);
    while (atomic_load(&gate) == 0)
        (void)usleep(1000);
    return reply_text(x, STR("gate"));
}

static HttpWhen on_long_text(HttpExchange *x)
{
    char *text = arena_bytes(x->arena, 5000);
    memset(text, 'a', 5000);
    return reply_text(x, (Str){text, 5000});
}

static HttpWhen on_no_status(HttpExchange *x)
{
    (void)x;
    return HTTP_NOW;
}

static atomic_int in_turn[2]; /* by loop: handlers since the last turn ended */
static atomic_int turned;

static HttpWhen on_turn(HttpExchange *x)
{
    atomic_fetch_add(&in_turn[x->loop], 1);
    return reply_text(x, STR("turn"));
}

static void end_turn(void *arg, int loop)
{
    CHECK(arg == &turned);
    atomic_fetch_add(&turned, atomic_exchange(&in_turn[loop], 0));
}

static const HttpRoute ROUTES[] = {
    {HTTP_GET, "/now", on_now, 0, NULL},
    {HTTP_POST, "/echo", on_echo, 0, NULL},
    {HTTP_PUT, "/small", on_echo, 100, NULL},
    {HTTP_GET, "/items/{id}", on_item, 0, NULL},
    {HTTP_GET, "/later", on_later, 0, NULL},
    {HTTP_POST, "/later", on_later, 0, NULL},
    {HTTP_GET, "/hold", on_hold, 0, NULL},
    {HTTP_GET, "/watch", on_watch, 0, NULL},
    {HTTP_GET, "/gate", on_gate, 0, NULL},
    {HTTP_GET, "/text", on_long_text, 0, NULL},
    {HTTP_GET, "/turn", on_turn, 0, NULL},
    {HTTP_GET, "/no-status", on_no_status, 0, NULL},
    {0},
};

static void *run_worker(void *arg)
{
    (void)arg;
    while (!atomic_load(&worker_stops)) {
        for (QueueNode *n = queue_take_wait(&work, 20); n != NULL;) {
            HttpExchange *x = CONTAINER_OF(n, HttpExchange, node);
            n = n->next;
            (void)on_echo(x);
            http_finish(x);
        }
    }
    return NULL;
}

static HttpOptions options(void)
{
    HttpOptions o = http_options_default();
    o.routes = ROUTES;
    o.connections_per_client_max = 4096;
    return o;
}

static void start(HttpOptions o)
{
    arena_free(arena);
    arena = arena_new(1 << 16);
    Ctx ctx = {.arena = arena};
    CHECK(http_start(&ctx, &o, &server) == ERR_OK);
    atomic_store(&worker_stops, false);
    atomic_store(&gate, 0);
    atomic_store(&at_gate, 0);
    CHECK(pthread_create(&worker, NULL, run_worker, NULL) == 0);
}

static void stop(void)
{
    http_stop(server, 5000);
    atomic_store(&worker_stops, true);
    CHECK(pthread_join(worker, NULL) == 0);
}

static int dial(void)
{
    return client_dial(http_port(server));
}

static const char *hear_all(int fd)
{
    return client_hear_all(arena, fd);
}

static Str hear_reply(int fd)
{
    return client_hear_reply(arena, fd);
}

static const char *talk(const char *text)
{
    const int fd = dial();
    client_say(fd, str_of(text));
    return hear_all(fd);
}

#define CLOSE "Host: a\r\nConnection: close\r\n\r\n"

TEST(server_answers_routes_with_params_query_cookie_and_headers)
{
    start(options());
    EXPECT_STREQ(client_body(talk("GET /now HTTP/1.1\r\n" CLOSE)), "now");
    EXPECT_STREQ(client_body(talk("GET /items/a%2Fb?x=1&q=%E5%88%B8+1 HTTP/1.1\r\nX-One:  two \r\n"
                                  "Cookie: a=b; sid=77\r\n" CLOSE)),
                 "a/b|\xe5\x88\xb8 1|77|two|127.0.0.1");
    EXPECT_STREQ(client_body(talk("GET /items/1 HTTP/1.0\r\n\r\n")), "1|absent|||127.0.0.1");
    EXPECT_I64(client_status(talk("GET /nowhere HTTP/1.1\r\n" CLOSE)), 404);
    EXPECT_I64(client_status(talk("GET /items/%zz HTTP/1.1\r\n" CLOSE)), 400);
    EXPECT_I64(client_status(talk("GET /now?a=%f HTTP/1.1\r\n" CLOSE)), 400);
    EXPECT_I64(client_status(talk("BREW /now HTTP/1.1\r\n" CLOSE)), 501);
    EXPECT_I64(client_status(talk("GET /no-status HTTP/1.1\r\n" CLOSE)), 500);
    const char *wrong = talk("DELETE /now HTTP/1.1\r\n" CLOSE);
    EXPECT_I64(client_status(wrong), 405);
    CHECK(strstr(wrong, "\r\nAllow: GET, HEAD, OPTIONS\r\n") != NULL);
    const char *asked = talk("OPTIONS /echo HTTP/1.1\r\n" CLOSE);
    EXPECT_I64(client_status(asked), 204);
    CHECK(strstr(asked, "\r\nAllow: POST, OPTIONS\r\n") != NULL);
    stop();
}

TEST(server_answers_head_with_the_length_and_no_body)
{
    start(options());
    const char *r = talk("HEAD /now HTTP/1.1\r\n" CLOSE);
    EXPECT_I64(client_status(r), 200);
    CHECK(strstr(r, "\r\nContent-Length: 3\r\n") != NULL);
    EXPECT_STREQ(client_body(r), "");
    stop();
}

TEST(server_keeps_the_connection_after_polite_refusals)
{
    start(options());
    const int fd = dial();
    client_say(fd, STR("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
                       "DELETE /now HTTP/1.1\r\nHost: a\r\n\r\n"
                       "GET /now HTTP/1.1\r\nHost: a\r\n\r\n"));
    EXPECT_I64(client_status(hear_reply(fd).ptr), 404);
    EXPECT_I64(client_status(hear_reply(fd).ptr), 405);
    EXPECT_STREQ(client_body(hear_reply(fd).ptr), "now");
    (void)close(fd);
    stop();
}

TEST(server_collects_plain_chunked_and_large_bodies)
{
    start(options());
    EXPECT_STREQ(client_body(talk("POST /echo HTTP/1.1\r\nContent-Length: 5\r\n" CLOSE "hello")),
                 "5:hello");
    EXPECT_STREQ(client_body(talk("POST /echo HTTP/1.1\r\n" CLOSE)), "0:");
    EXPECT_STREQ(client_body(talk("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" CLOSE
                                  "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nX-Trailer: 1\r\n\r\n")),
                 "7:abcdefg");
    const int fd = dial();
    client_say(fd, STR("POST /later HTTP/1.1\r\nContent-Length: 1000000\r\n" CLOSE));
    char *bytes = arena_bytes(arena, 1000000);
    memset(bytes, 'z', 1000000);
    client_say(fd, (Str){bytes, 1000000});
    CHECK(strncmp(client_body(hear_all(fd)), "1000000:zzzz", 12) == 0);
    stop();
}

TEST(server_refuses_a_declared_oversize_body_before_reading_it)
{
    start(options());
    const int fd = dial();
    client_say(fd, STR("PUT /small HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n"));
    EXPECT_I64(client_status(hear_all(fd)), 413);
    EXPECT_STREQ(client_body(talk("PUT /small HTTP/1.1\r\nContent-Length: 3\r\n" CLOSE "abc")),
                 "3:abc");
    stop();
}

/* The client goes on sending, as browsers do.  A close at once would answer that with a reset, which
 * makes many clients throw the reply away. */
TEST(server_lets_a_refused_upload_read_its_reply)
{
    start(options());
    const int fd = dial();
    client_say(fd, STR("PUT /small HTTP/1.1\r\nHost: a\r\nContent-Length: 600000\r\n\r\n"));
    char *bytes = arena_bytes(arena, 600000);
    memset(bytes, 'z', 600000);
    for (size_t i = 0; i < 600000; i += 60000) {
        EXPECT_I64(send(fd, bytes, 60000, MSG_NOSIGNAL), 60000);
        (void)usleep(5000);
    }
    EXPECT_I64(client_status(hear_all(fd)), 413);
    stop();
}

TEST(server_refuses_a_chunked_body_that_grows_too_large)
{
    start(options());
    char text[400];
    (void)snprintf(text, sizeof text,
                   "PUT /small HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" CLOSE
                   "65\r\n%0101d\r\n0\r\n\r\n",
                   1);
    EXPECT_I64(client_status(talk(text)), 413);
    stop();
}

TEST(server_bounds_all_large_bodies_together)
{
    HttpOptions o = options();
    o.bodies_bytes_max = 100000;
    start(o);
    const int fd = dial();
    client_say(fd, STR("POST /echo HTTP/1.1\r\nContent-Length: 300000\r\n" CLOSE));
    char *bytes = arena_bytes(arena, 300000);
    memset(bytes, 'z', 300000);
    client_say(fd, (Str){bytes, 300000});
    EXPECT_I64(client_status(hear_all(fd)), 503);
    EXPECT_STREQ(client_body(talk("POST /echo HTTP/1.1\r\nContent-Length: 2\r\n" CLOSE "ok")),
                 "2:ok");
    stop();
}

TEST(server_says_continue_only_to_bodies_that_it_will_take)
{
    start(options());
    const int fd = dial();
    client_say(fd,
               STR("POST /echo HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n" CLOSE));
    CHECK(str_starts_with(hear_reply(fd), STR("HTTP/1.1 100 Continue\r\n\r\n")));
    client_say(fd, STR("ok"));
    EXPECT_STREQ(client_body(hear_all(fd)), "2:ok");
    EXPECT_I64(client_status(talk("PUT /small HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                                  "Content-Length: 101\r\n\r\n")),
               413);
    stop();
}

static Str gzip(const char *bytes, size_t n)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (uInt)n};
    CHECK(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    const size_t bound = deflateBound(&z, n);
    char *out = arena_bytes(arena, bound);
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)bound;
    CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    CHECK(deflateEnd(&z) == Z_OK);
    return (Str){out, bound - z.avail_out};
}

static const char *post_gzip(const char *target, Str packed)
{
    const int fd = dial();
    client_say(
        fd, arena_printf(arena,
                         "%s HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n" CLOSE,
                         target, packed.len));
    client_say(fd, packed);
    return hear_all(fd);
}

TEST(server_inflates_gzip_bodies_within_the_limit)
{
    start(options());
    char *zeros = arena_bytes(arena, 3 << 20);
    memset(zeros, '0', 3 << 20);
    const Str hello = gzip("hello", 5);
    EXPECT_STREQ(client_body(post_gzip("POST /echo", hello)), "5:hello");
    EXPECT_I64(client_status(post_gzip("PUT /small", gzip(zeros, 100))), 200);
    EXPECT_I64(client_status(post_gzip("PUT /small", gzip(zeros, 101))), 413);
    EXPECT_I64(client_status(post_gzip("POST /echo", gzip(zeros, 1 << 20))), 200);
    EXPECT_I64(client_status(post_gzip("POST /echo", gzip(zeros, 3 << 20))), 413);
    EXPECT_I64(client_status(post_gzip("POST /echo", STR("not gzip"))), 400);
    EXPECT_I64(client_status(post_gzip("POST /echo", str_slice(hello, 0, hello.len - 1))), 400);
    const Str two = arena_printf(arena, "%.*sx", 0, "");
    char *tail = arena_bytes(arena, hello.len + two.len);
    memcpy(tail, hello.ptr, hello.len);
    tail[hello.len] = 'x';
    EXPECT_I64(client_status(post_gzip("POST /echo", (Str){tail, hello.len + 1})), 400);
    EXPECT_I64(client_status(talk("POST /echo HTTP/1.1\r\nContent-Encoding: br\r\n"
                                  "Content-Length: 1\r\n" CLOSE "x")),
               415);
    stop();
}

TEST(server_gzips_long_text_when_the_client_accepts_it)
{
    start(options());
    const char *plain = talk("GET /text HTTP/1.1\r\n" CLOSE);
    CHECK(strstr(plain, "Content-Encoding") == NULL);
    CHECK(strstr(plain, "\r\nVary: Accept-Encoding\r\n") != NULL);
    EXPECT_I64((int64_t)str_of(client_body(plain)).len, 5000);
    const char *packed = talk("GET /text HTTP/1.1\r\nAccept-Encoding: br, gzip\r\n" CLOSE);
    CHECK(strstr(packed, "\r\nContent-Encoding: gzip\r\n") != NULL);
    CHECK(memcmp(client_body(packed), "\x1f\x8b", 2) == 0);
    CHECK(strstr(talk("GET /now HTTP/1.1\r\nAccept-Encoding: gzip\r\n" CLOSE), "gzip") == NULL);
    stop();
}

TEST(server_bounds_the_head)
{
    HttpOptions o = options();
    o.head_bytes_max = 2048;
    start(o);
    static const char FORM[] = "GET /now HTTP/1.1\r\nX: %0*d\r\n" CLOSE;
    const int rest = (int)sizeof FORM - 1 - 4; /* all but the %0*d */
    Str many = STR("GET /now HTTP/1.1\r\nHost: a\r\n");
    for (int over = -1; over <= 1; over++) {
        char head[2200];
        (void)snprintf(head, sizeof head, "GET /now HTTP/1.1\r\nX: %0*d\r\n" CLOSE,
                       2048 - rest + over, 1);
        EXPECT_I64((int64_t)str_of(head).len, 2048 + over);
        EXPECT_I64(client_status(talk(head)), over <= 0 ? 200 : 431);
    }
    for (int i = 0; i < 2000; i++)
        many = arena_printf(arena, "%.*sX-%d: 1\r\n", STR_ARG(many), i);
    EXPECT_I64(client_status(talk(arena_printf(arena, "%.*s\r\n", STR_ARG(many)).ptr)), 431);
    const Str address = arena_printf(arena, "GET /%0*d HTTP/1.1\r\n" CLOSE, 60000, 1);
    EXPECT_I64(client_status(talk(address.ptr)), 414);
    stop();
}

TEST(server_answers_pipelined_requests_in_order)
{
    start(options());
    const int fd = dial();
    Buf b = BUF_MAX(1 << 20);
    for (int i = 0; i < 300; i++)
        buf_addf(&b, "%s /%s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%.*s", "POST",
                 i % 3 == 0 ? "later" : "echo", i % 7, i % 7, "abcdefg");
    buf_add(&b, STR("GET /now HTTP/1.1\r\n" CLOSE));
    client_say(fd, buf_str(&b));
    for (int i = 0; i < 300; i++) {
        char want[16];
        (void)snprintf(want, sizeof want, "%d:%.*s", i % 7, i % 7, "abcdefg");
        EXPECT_STREQ(client_body(hear_reply(fd).ptr), want);
    }
    EXPECT_STREQ(client_body(hear_all(fd)), "now");
    buf_free(&b);
    stop();
}

static void send_drop_by_drop(int fd, Str text, int64_t *closed_after_ms)
{
    const int64_t from_us = clock_mono_us();
    for (size_t i = 0; i < text.len; i++) {
        if (send(fd, text.ptr + i, 1, MSG_NOSIGNAL) <= 0)
            break;
        char c = 0;
        const ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            break;
        (void)usleep(50000);
    }
    *closed_after_ms = (clock_mono_us() - from_us) / 1000;
    (void)close(fd);
}

TEST(server_cuts_slow_heads_and_slow_bodies_at_their_deadline)
{
    HttpOptions o = options();
    o.head_deadline_ms = 400;
    o.body_deadline_ms = 600;
    start(o);
    int64_t ms = 0;
    send_drop_by_drop(dial(), STR("GET /now HTTP/1.1\r\nHost: a\r\nX: aaaaaaaaaaaaaaaaaaaaaa\r\n"),
                      &ms);
    CHECK(ms >= 350 && ms < 1000);
    const int fd = dial();
    client_say(fd, STR("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\n"));
    send_drop_by_drop(fd, STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
                      &ms);
    CHECK(ms >= 550 && ms < 1300);
    HttpStats stats;
    http_stats(server, &stats);
    EXPECT_I64(stats.timed_out, 2);
    stop();
}

TEST(server_cuts_silent_and_idle_clients)
{
    HttpOptions o = options();
    o.head_deadline_ms = 300;
    o.idle_ms = 500;
    start(o);
    int64_t from_us = clock_mono_us();
    EXPECT_STREQ(hear_all(dial()), "");
    int64_t ms = (clock_mono_us() - from_us) / 1000;
    CHECK(ms >= 250 && ms < 900);
    const int idle = dial();
    client_say(idle, STR("GET /now HTTP/1.1\r\nHost: a\r\n\r\n"));
    from_us = clock_mono_us();
    EXPECT_STREQ(client_body(hear_all(idle)), "now");
    ms = (clock_mono_us() - from_us) / 1000;
    CHECK(ms >= 450 && ms < 1100);
    stop();
}

TEST(server_cuts_a_client_that_never_reads_its_reply)
{
    HttpOptions o = options();
    o.write_deadline_ms = 300;
    start(o);
    const int fd = dial();
    const int small = 4096;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    Buf b = BUF_MAX(8 << 20);
    for (int i = 0; i < 20000; i++) /* 100 MB of replies: no socket buffer holds them */
        buf_add(&b, STR("GET /text HTTP/1.1\r\nHost: a\r\n\r\n"));
    const int64_t from_us = clock_mono_us();
    client_say(fd, buf_str(&b));
    HttpStats stats = {.timed_out = 0};
    while (stats.timed_out == 0 && clock_mono_us() - from_us < CLIENT_PATIENCE_MS * INT64_C(1000)) {
        (void)usleep(10000);
        http_stats(server, &stats);
    }
    const int64_t ms = (clock_mono_us() - from_us) / 1000;
    EXPECT_I64(stats.timed_out, 1);
    CHECK(ms >= 250);
    buf_free(&b);
    (void)close(fd);
    EXPECT_STREQ(client_body(talk("GET /now HTTP/1.1\r\n" CLOSE)), "now");
    stop();
}

TEST(server_is_not_disturbed_by_300_slow_clients)
{
    start(options());
    int slow[300];
    for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
        slow[i] = dial();
        client_say(slow[i],
                   i % 2 == 0
                       ? STR("GET /now HT")
                       : STR("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\na"));
    }
    const int fd = dial();
    int64_t worst_us = 0;
    for (int i = 0; i < 200; i++) {
        const int64_t from_us = clock_mono_us();
        client_say(fd, STR("GET /later HTTP/1.1\r\nHost: a\r\n\r\n"));
        EXPECT_I64(client_status(hear_reply(fd).ptr), 200);
        const int64_t us = clock_mono_us() - from_us;
        worst_us = us > worst_us ? us : worst_us;
        if (i % 10 == 0)
            client_say(slow[i], STR("T"));
    }
    CHECK(worst_us < 500000);
    (void)close(fd);
    for (size_t i = 0; i < ARRAY_LEN(slow); i++)
        (void)close(slow[i]);
    stop();
}

TEST(server_refuses_connections_over_the_limits_and_recovers)
{
    HttpOptions o = options();
    o.connections_max = 6;
    o.connections_per_client_max = 4;
    start(o);
    int fd[4];
    for (int i = 0; i < 4; i++) {
        fd[i] = dial();
        client_say(fd[i], STR("GET /now HTTP/1.1\r\nHost: a\r\n\r\n"));
        EXPECT_I64(client_status(hear_reply(fd[i]).ptr), 200);
    }
    EXPECT_STREQ(talk("GET /now HTTP/1.1\r\n" CLOSE), "");
    HttpStats stats;
    http_stats(server, &stats);
    EXPECT_I64(stats.connections, 4);
    EXPECT_I64(stats.refused_limit, 1);
    for (int i = 0; i < 4; i++)
        (void)close(fd[i]);
    for (int i = 0; i < 200 && stats.connections > 0; i++) {
        (void)usleep(10000);
        http_stats(server, &stats);
    }
    EXPECT_I64(stats.connections, 0);
    EXPECT_STREQ(client_body(talk("GET /now HTTP/1.1\r\n" CLOSE)), "now");
    stop();
}

/* While one handler keeps the loop busy, `n` sockets become ready; all must be served after it. */
static void check_ready_at_once(const char *target, int n)
{
    start(options());
    int *fd = ARENA_ARRAY(arena, int, (size_t)n);
    for (int i = 0; i < n; i++) {
        fd[i] = dial();
        client_say(fd[i], STR("GET /now HTTP/1.1\r\nHost: a\r\n\r\n"));
        EXPECT_I64(client_status(hear_reply(fd[i]).ptr), 200);
    }
    const int blocker = dial();
    client_say(blocker, STR("GET /gate HTTP/1.1\r\n" CLOSE));
    while (atomic_load(&at_gate) == 0)
        (void)usleep(1000);
    for (int i = 0; i < n; i++)
        client_say(fd[i], arena_printf(arena, "GET /%s HTTP/1.1\r\nHost: a\r\n\r\n", target));
    atomic_store(&gate, 1);
    for (int i = 0; i < n; i++) {
        EXPECT_I64(client_status(hear_reply(fd[i]).ptr), 200);
        (void)close(fd[i]);
    }
    EXPECT_STREQ(client_body(hear_all(blocker)), "gate");
    stop();
}

TEST(server_serves_any_number_of_sockets_that_are_ready_at_once)
{
    const int counts[] = {1, 127, 128, 129, 255, 256, 257};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        check_ready_at_once("now", counts[i]);
        check_ready_at_once("later", counts[i]);
    }
}

static void *stop_in_background(void *arg)
{
    (void)arg;
    http_stop(server, 5000);
    return NULL;
}

TEST(stop_answers_what_is_in_flight_and_503_to_what_comes_late)
{
    HttpOptions o = options();
    o.loops = 2;
    start(o);
    const int in_flight = dial(), upload = dial();
    int idle[8];
    client_say(in_flight, STR("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"));
    client_say(upload, STR("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab"));
    for (size_t i = 0; i < ARRAY_LEN(idle); i++) {
        idle[i] = dial();
        client_say(idle[i], STR("GET /now HTTP/1.1\r\nHost: a\r\n\r\n"));
        EXPECT_I64(client_status(hear_reply(idle[i]).ptr), 200);
    }
    while (atomic_load(&held) == NULL)
        (void)usleep(1000);
    pthread_t stopper;
    CHECK(pthread_create(&stopper, NULL, stop_in_background, NULL) == 0);
    (void)usleep(30000);
    for (size_t i = 0; i < ARRAY_LEN(idle); i++)
        client_say(idle[i], STR("GET /now HTTP/1.1\r\nHost: a\r\n\r\n"));
    for (size_t i = 0; i < ARRAY_LEN(idle); i++)
        EXPECT_I64(client_status(hear_all(idle[i])), 503);
    client_say(upload, STR("cd"));
    EXPECT_STREQ(client_body(hear_all(upload)), "4:abcd");
    HttpExchange *x = atomic_exchange(&held, NULL);
    (void)reply_text(x, STR("held"));
    http_finish(x);
    EXPECT_STREQ(client_body(hear_all(in_flight)), "held");
    CHECK(pthread_join(stopper, NULL) == 0);
    atomic_store(&worker_stops, true);
    CHECK(pthread_join(worker, NULL) == 0);
}

/* Whether it was told within so many milliseconds that nobody waits. */
static bool hears_of_it(HttpExchange *x, int ms)
{
    for (; ms > 0 && !atomic_load(&x->left); ms--)
        (void)usleep(1000);
    return atomic_load(&x->left);
}

static HttpExchange *hold_for(int fd, const char *request)
{
    client_say(fd, str_of(request));
    while (atomic_load(&held) == NULL)
        (void)usleep(1000);
    return atomic_exchange(&held, NULL);
}

static void finish_held(HttpExchange *x)
{
    (void)reply_text(x, STR("held"));
    http_finish(x);
}

#define WATCH "GET /watch HTTP/1.1\r\nHost: a\r\n\r\n"

TEST(a_handler_that_works_for_a_client_who_left_is_told_while_it_works)
{
    start(options());
    const char *const requests[] = {WATCH, WATCH "GET /now HTTP/1.1\r\nHost: a\r\n\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        const int stays = dial(), leaves = dial();
        HttpExchange *kept = hold_for(stays, WATCH), *left = hold_for(leaves, requests[i]);
        CHECK(!hears_of_it(left, 250));
        (void)close(leaves);
        CHECK(hears_of_it(left, 2000) && !hears_of_it(kept, 250));
        finish_held(left);
        finish_held(kept);
        EXPECT_STREQ(client_body(hear_reply(stays).ptr), "held");
        (void)close(stays);
    }
    const int fd = dial();
    HttpExchange *unwatched = hold_for(fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)close(fd);
    CHECK(!hears_of_it(unwatched, 250));
    finish_held(unwatched);
    stop();
}

TEST(a_handler_that_works_when_the_server_stops_is_told_and_its_reply_still_goes_out)
{
    start(options());
    const int fd = dial();
    HttpExchange *x = hold_for(fd, WATCH);
    pthread_t stopper;
    CHECK(pthread_create(&stopper, NULL, stop_in_background, NULL) == 0);
    CHECK(hears_of_it(x, 2000));
    finish_held(x);
    EXPECT_STREQ(client_body(hear_all(fd)), "held");
    CHECK(pthread_join(stopper, NULL) == 0);
    atomic_store(&worker_stops, true);
    CHECK(pthread_join(worker, NULL) == 0);
}

TEST(stop_gives_up_after_its_time_and_a_late_finish_is_harmless)
{
    start(options());
    const int fd = dial();
    client_say(fd, STR("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"));
    while (atomic_load(&held) == NULL)
        (void)usleep(1000);
    const int upload = dial();
    client_say(upload, STR("POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab"));
    (void)usleep(20000);
    const int64_t from_us = clock_mono_us();
    http_stop(server, 300);
    const int64_t ms = (clock_mono_us() - from_us) / 1000;
    CHECK(ms >= 250 && ms < 1500);
    EXPECT_STREQ(hear_all(fd), "");
    EXPECT_STREQ(hear_all(upload), "");
    static HttpExchange *late; /* keeps what is left of the server reachable */
    late = atomic_exchange(&held, NULL);
    (void)reply_text(late, STR("too late"));
    http_finish(late);
    atomic_store(&worker_stops, true);
    CHECK(pthread_join(worker, NULL) == 0);
}

TEST(server_tells_when_a_batch_of_handlers_has_run)
{
    HttpOptions o = options();
    o.loops = 2;
    o.after_turn = end_turn;
    o.after_turn_arg = &turned;
    start(o);
    for (int i = 0; i < 20; i++)
        EXPECT_STREQ(client_body(talk("GET /turn HTTP/1.1\r\n" CLOSE)), "turn");
    stop();
    EXPECT_I64(atomic_load(&turned), 20);
}

TEST(server_counts_what_it_did)
{
    start(options());
    (void)talk("POST /echo HTTP/1.1\r\nContent-Length: 5\r\n" CLOSE "hello");
    (void)talk("GET /nowhere HTTP/1.1\r\n" CLOSE);
    HttpStats s;
    http_stats(server, &s);
    EXPECT_I64(s.requests, 2);
    EXPECT_I64(s.suspended, 0);
    CHECK(s.bytes_in > 100 && s.bytes_in < 300);
    CHECK(s.bytes_out > 50 && s.bytes_out < 300);
    stop();
}
