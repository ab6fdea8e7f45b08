/*
 * http/http_server.c -- start, the loop of each thread, graceful stop.
 *
 * Each loop runs one daemon of the library in external mode: our epoll waits for the daemon's epoll
 * set and for the eventfd of finished exchanges, then MHD_run() polls with timeout 0.  The
 * library's own epoll thread stops for ever when exactly 128 or 256 sockets are ready at once
 * (0.9.75). Order of stopping: no new connections; 503 for new requests; wait for what is in
 * flight; only then MHD_stop_daemon(), which aborts the process while a connection is suspended.
 */
#include "http/http_internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    LOOPS_MAX = 64,
    BACKLOG = 1024,
    WAIT_MS_MAX = 100,       /* between two looks at the deadlines */
    REPLY_HEAD_BYTES = 8192, /* room for the reply's head in a connection's memory */
    STOP_GRACE_MS = 100,     /* for requests that were on their way when the stop began */
    PEM_BYTES_MAX = 256 * 1024,
    BODY_LIMIT_BYTES_MAX = 1 << 30 /* zlib counts in unsigned int */
};

HttpOptions http_options_default(void)
{
    return (HttpOptions){
        .address = "127.0.0.1",
        .loops = 1,
        .connections_max = 8192,
        .connections_per_client_max = 1024, /* a shop or an office is one address */
        .head_deadline_ms = 10000,  /* from accept or the first line to the end of the head */
        .body_deadline_ms = 30000,  /* plus a second per 16 kB declared */
        .idle_ms = 60000,           /* between two requests of a connection */
        .write_deadline_ms = 30000, /* plus a second per 16 kB of reply */
        .head_bytes_max = 8192,
        .body_bytes_max = 1 << 20,
        .bodies_bytes_max = 512 << 20,
    };
}

static Err check_options(Ctx *ctx, const HttpOptions *o)
{
    const bool counts = o->loops >= 1 && o->loops <= LOOPS_MAX && o->connections_max >= 1 &&
                        o->connections_max <= 1000000 && o->connections_per_client_max >= 1;
    const bool times = o->head_deadline_ms > 0 && o->body_deadline_ms > 0 && o->idle_ms > 0 &&
                       o->write_deadline_ms > 0;
    const bool sizes = o->head_bytes_max >= 1024 && o->head_bytes_max <= 1 << 20 &&
                       o->body_bytes_max > 0 && o->body_bytes_max <= BODY_LIMIT_BYTES_MAX;
    if (!counts || !times || !sizes || o->port < 0 || o->port > 65535)
        return fail(ctx, ERR_INVALID, "http.options", "a limit is out of range");
    for (const HttpRoute *r = o->routes; r != NULL && r->path != NULL; r++)
        if (r->body_bytes_max > BODY_LIMIT_BYTES_MAX)
            return fail(ctx, ERR_INVALID, "http.options", "body limit of %s", r->path);
    if ((o->tls_cert_file == NULL) != (o->tls_key_file == NULL))
        return fail(ctx, ERR_INVALID, "http.tls_files", "certificate and key go together");
    return ERR_OK;
}

/* The file as a C string in the arena: the library wants PEM as text. */
static Err read_pem(Ctx *ctx, Arena *arena, const char *file, char **out)
{
    const int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(ctx, ERR_INVALID, "http.tls_files", "open %s: errno %d", file, errno);
    char *text = arena_bytes(arena, PEM_BYTES_MAX + 1);
    size_t n = 0;
    ssize_t got = 0;
    while (n < PEM_BYTES_MAX && (got = read(fd, text + n, PEM_BYTES_MAX - n)) > 0)
        n += (size_t)got;
    (void)close(fd);
    if (got < 0 || n == 0 || n == PEM_BYTES_MAX)
        return fail(ctx, ERR_INVALID, "http.tls_files", "read %s: %zu bytes", file, n);
    text[n] = '\0';
    *out = text;
    return ERR_OK;
}

/* A listening socket, or -1 with errno.  Port 0 is any free one. */
static int listen_on(const struct addrinfo *a, bool share)
{
    const int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    const int yes = 1, no = 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (share)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
    if (a->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    const int why = errno;
    (void)close(fd);
    errno = why;
    return -1;
}

static int port_of(int fd)
{
    struct sockaddr_storage a = {.ss_family = AF_UNSPEC};
    socklen_t n = sizeof a;
    CHECK(getsockname(fd, (struct sockaddr *)&a, &n) == 0);
    if (a.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)(void *)&a)->sin6_port);
    return ntohs(((struct sockaddr_in *)(void *)&a)->sin_port);
}

/* One socket per loop on one port.  The first bind is without SO_REUSEPORT: a second server on the
 * same port must fail, not quietly take half of the connections. */
static Err open_sockets(Ctx *ctx, HttpServer *s)
{
    char service[8];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    s->port = s->options.port;
    for (int i = -1; i < s->options.loops; i++) {
        struct addrinfo *a = NULL;
        (void)snprintf(service, sizeof service, "%d", s->port);
        if (getaddrinfo(s->options.address, service, &hints, &a) != 0)
            return fail(ctx, ERR_INVALID, "http.address", "%s", s->options.address);
        const int fd = listen_on(a, i >= 0);
        const int why = errno;
        freeaddrinfo(a);
        if (fd < 0)
            return fail(ctx, ERR_INVALID, "http.listen", "%s port %d: errno %d", s->options.address,
                        s->port, why);
        s->port = port_of(fd);
        if (i < 0)
            (void)close(fd);
        else
            s->loop[i].listen_fd = fd;
    }
    return ERR_OK;
}

/* What the library has to say is worth a line only while it starts: later it is every scanner's
 * malformed request, with its address in it. */
static void PRINTF_LIKE(2, 0) log_library(void *server, const char *fmt, va_list ap)
{
    const HttpServer *s = server;
    if (atomic_load_explicit(&s->running, memory_order_relaxed))
        return;
    char text[256];
    (void)vsnprintf(text, sizeof text, fmt, ap);
    LOG(LOG_WARN, "http.library", LOG_STR("text", str_trim(str_of(text))));
}

/* Escapes stay as they came: paths are split before they are decoded. */
static size_t leave_escapes(void *cls, struct MHD_Connection *mhd, char *s)
{
    (void)cls, (void)mhd;
    return str_of(s).len;
}

static Err start_daemon(Ctx *ctx, HttpLoop *l)
{
    HttpServer *s = l->server;
    const struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, s->tls_cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, s->tls_key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0,
         (void *)(uintptr_t) "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
        {MHD_OPTION_END, 0, NULL}};
    const struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    const unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
                           (s->secure ? (unsigned)MHD_USE_TLS : 0);
    l->daemon = MHD_start_daemon(
        flags, 0, http_conn_admit, l, http_exchange_step, l,                    /**/
        MHD_OPTION_EXTERNAL_LOGGER, log_library, s,                             /**/
        MHD_OPTION_LISTEN_SOCKET, l->listen_fd,                                 /**/
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)s->options.connections_max + 64, /**/
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, s->options.head_bytes_max + REPLY_HEAD_BYTES,
        MHD_OPTION_URI_LOG_CALLBACK, http_exchange_begin, l, /**/
        MHD_OPTION_NOTIFY_COMPLETED, http_exchange_end, l,   /**/
        MHD_OPTION_NOTIFY_CONNECTION, http_conn_notify, l,   /**/
        MHD_OPTION_UNESCAPE_CALLBACK, leave_escapes, l,      /**/
        MHD_OPTION_ARRAY, s->secure ? tls : none, MHD_OPTION_END);
    if (l->daemon == NULL)
        return fail(ctx, ERR_INVALID, s->secure ? "http.tls_files" : "http.daemon",
                    "the HTTP library refused to start");
    return ERR_OK;
}

static void watch(const HttpLoop *l, int fd)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    CHECK(epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0);
}

static Err open_loop(Ctx *ctx, HttpLoop *l)
{
    TRY(start_daemon(ctx, l));
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->epoll_fd < 0 || l->done_fd < 0)
        return fail(ctx, ERR_BUSY, "http.descriptors", "errno %d", errno);
    watch(l, MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
    watch(l, l->done_fd);
    return ERR_OK;
}

static void wait_for_events(HttpLoop *l)
{
    MHD_UNSIGNED_LONG_LONG library_ms = 0;
    int wait_ms = WAIT_MS_MAX;
    if (MHD_get_timeout(l->daemon, &library_ms) == MHD_YES && library_ms < WAIT_MS_MAX)
        wait_ms = (int)library_ms;
    struct epoll_event events[2];
    const int n = epoll_wait(l->epoll_fd, events, ARRAY_LEN(events), wait_ms);
    for (int i = 0; i < n; i++) {
        uint64_t wakes = 0;
        if (events[i].data.fd == l->done_fd)
            (void)!read(l->done_fd, &wakes, sizeof wakes);
    }
    l->now_us = clock_mono_us();
}

static void run_daemon(HttpLoop *l)
{
    const HttpOptions *o = &l->server->options;
    (void)MHD_run(l->daemon);
    if (o->after_turn != NULL)
        o->after_turn(o->after_turn_arg, l->number);
}

static void one_turn(HttpLoop *l)
{
    wait_for_events(l);
    http_exchange_resume_done(l);
    run_daemon(l);
    http_conn_cut_overdue(l);
}

/* Nobody finished these in time, and a stop must end: their sockets are cut, their memory stays. */
static void give_up(HttpLoop *l)
{
    LOG(LOG_ERROR, "http.stop_gave_up", LOG_I64("requests", l->in_flight));
    l->gives_up = true;
    http_conn_cut_all(l);
    for (int i = 0; i < 3; i++)
        run_daemon(l);
}

static void drain(HttpLoop *l)
{
    const HttpServer *s = l->server;
    const int64_t grace_us = atomic_load(&s->stop_since_us) + STOP_GRACE_MS * INT64_C(1000);
    const int64_t until_us = atomic_load(&s->stop_until_us);
    run_daemon(l); /* accepts who is waiting already */
    const MHD_socket listening = MHD_quiesce_daemon(l->daemon);
    if (listening != MHD_INVALID_SOCKET)
        (void)close(listening);
    l->listen_fd = -1;
    while (l->now_us < until_us && (l->in_flight > 0 || l->now_us < grace_us))
        one_turn(l);
    if (l->in_flight > 0)
        give_up(l);
}

static void *run_loop(void *loop)
{
    (void)pthread_setname_np(pthread_self(), "http");
    HttpLoop *l = loop;
    l->now_us = clock_mono_us();
    while (atomic_load_explicit(&l->server->stop_until_us, memory_order_acquire) == 0)
        one_turn(l);
    drain(l);
    MHD_stop_daemon(l->daemon);
    l->daemon = NULL;
    http_conn_drain_lingering(l, true);
    while (atomic_load(&l->finishing) > 0) /* between its push and its wake-up */
        (void)sched_yield();
    return NULL;
}

static void close_loop(HttpLoop *l)
{
    if (l->daemon != NULL)
        MHD_stop_daemon(l->daemon); /* never ran: it closes its listening socket itself */
    else if (l->listen_fd >= 0)
        (void)close(l->listen_fd);
    if (l->epoll_fd >= 0)
        (void)close(l->epoll_fd);
    if (l->done_fd >= 0)
        (void)close(l->done_fd);
    http_exchange_free_spare(l);
    if (l->has_deflater)
        (void)deflateEnd(&l->deflater);
    if (l->has_inflater)
        (void)inflateEnd(&l->inflater);
}

static void server_free(HttpServer *s)
{
    for (int i = 0; i < s->options.loops; i++)
        close_loop(&s->loop[i]);
    free(s->loop);
    http_clients_clear(&s->clients);
    arena_free(s->arena);
    free(s);
}

static HttpServer *server_new(const HttpOptions *options)
{
    HttpServer *s = calloc(1, sizeof *s);
    CHECK(s != NULL);
    s->options = *options;
    s->arena = arena_new(65536);
    s->loop = calloc((size_t)options->loops, sizeof *s->loop);
    CHECK(s->loop != NULL);
    for (int i = 0; i < options->loops; i++) {
        s->loop[i].server = s;
        s->loop[i].number = i;
        s->loop[i].listen_fd = s->loop[i].epoll_fd = s->loop[i].done_fd = -1;
    }
    http_clients_init(&s->clients, options->connections_max);
    return s;
}

static Err open_server(Ctx *ctx, HttpServer *s)
{
    const char *bad = NULL;
    s->router = http_router_new(s->arena, s->options.routes, &bad);
    if (s->router == NULL)
        return fail(ctx, ERR_INVALID, "http.route", "malformed or twice: %s", bad);
    if (s->options.tls_cert_file != NULL) {
        TRY(read_pem(ctx, s->arena, s->options.tls_cert_file, &s->tls_cert));
        TRY(read_pem(ctx, s->arena, s->options.tls_key_file, &s->tls_key));
        s->secure = true;
    }
    TRY(open_sockets(ctx, s));
    for (int i = 0; i < s->options.loops; i++)
        TRY(open_loop(ctx, &s->loop[i]));
    return ERR_OK;
}

Err http_start(Ctx *ctx, const HttpOptions *options, HttpServer **out)
{
    TRY(check_options(ctx, options));
    HttpServer *s = server_new(options);
    const Err err = open_server(ctx, s);
    if (err != ERR_OK) {
        server_free(s);
        return err;
    }
    atomic_store(&s->running, true);
    *out = s; /* before the first request: its handler may ask for the server */
    for (int i = 0; i < options->loops; i++)
        CHECK(pthread_create(&s->loop[i].thread, NULL, run_loop, &s->loop[i]) == 0);
    LOG(LOG_INFO, "http.listen", LOG_C("address", options->address), LOG_I64("port", s->port),
        LOG_I64("loops", options->loops), LOG_I64("tls", s->secure));
    return ERR_OK;
}

int http_port(const HttpServer *s)
{
    return s->port;
}

void http_stop(HttpServer *s, int wait_ms)
{
    const int64_t now_us = clock_mono_us();
    atomic_store(&s->stop_since_us, now_us);
    atomic_store(&s->stop_until_us, now_us + (int64_t)wait_ms * 1000 + 1);
    int given_up = 0;
    for (int i = 0; i < s->options.loops; i++) {
        const uint64_t one = 1;
        (void)!write(s->loop[i].done_fd, &one, sizeof one);
        CHECK(pthread_join(s->loop[i].thread, NULL) == 0);
        given_up += (int)atomic_load(&s->loop[i].count.suspended);
    }
    LOG(LOG_INFO, "http.stopped", LOG_I64("given_up", given_up));
    if (given_up == 0) /* else a late http_finish() must still find its loop */
        server_free(s);
}

void http_stats(const HttpServer *s, HttpStats *out)
{
    *out = (HttpStats){.connections = atomic_load(&s->connections)};
    for (int i = 0; i < s->options.loops; i++) {
        const HttpCounters *c = &s->loop[i].count;
        out->requests += atomic_load_explicit(&c->requests, memory_order_relaxed);
        out->refused_framing += atomic_load_explicit(&c->refused_framing, memory_order_relaxed);
        out->refused_limit += atomic_load_explicit(&c->refused_limit, memory_order_relaxed);
        out->timed_out += atomic_load_explicit(&c->timed_out, memory_order_relaxed);
        out->suspended += atomic_load_explicit(&c->suspended, memory_order_relaxed);
        out->bytes_in += atomic_load_explicit(&c->bytes_in, memory_order_relaxed);
        out->bytes_out += atomic_load_explicit(&c->bytes_out, memory_order_relaxed);
    }
}
