/*
 * http/http_conn.c -- sockets from accept to close: how many, for how long, and a slow goodbye.
 *
 * The library's own timeout starts again with every byte, so a client that sends one byte a second
 * holds a socket for ever.  Here every phase has one absolute deadline; a socket past it is shut
 * down, which the library then sees as the end of the connection.  A suspended connection the library does not look at:
 * here it is asked whether its client is still there.
 * Threads: everything on the loop's thread, but for the table of clients, which has a lock.
 */
#include "http/http_internal.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/rand.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    HTTP_RATE_BYTES_PER_MS = 16, /* the slowest transfer of a large body that is worth a socket */
    HTTP_LINGER_MS = 2000,
    HTTP_DRAIN_BYTES = 16384
};

static const int64_t TICK_US = 100000;

/* One key per IPv4 address and per IPv6 /64, the smallest network that one customer gets. */
static uint64_t client_key(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
        return UINT64_C(0xffff00000000) | v4->sin_addr.s_addr;
    }
    if (address->sa_family != AF_INET6)
        return 1;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        uint32_t v4 = 0;
        memcpy(&v4, v6->sin6_addr.s6_addr + 12, sizeof v4);
        return UINT64_C(0xffff00000000) | v4;
    }
    uint64_t prefix = 0;
    memcpy(&prefix, v6->sin6_addr.s6_addr, sizeof prefix);
    return prefix == 0 ? 1 : prefix;
}

static size_t client_home(const HttpClients *t, uint64_t key)
{
    return (size_t)hash_u64(key, t->seed) & (t->slots - 1);
}

/* Where `key` is, or the free place where it belongs. */
static size_t client_find(const HttpClients *t, uint64_t key)
{
    size_t i = client_home(t, key);
    while (t->slot[i].key != 0 && t->slot[i].key != key)
        i = (i + 1) & (t->slots - 1);
    return i;
}

/* Closes the gap at `i`, so that no probe for a later entry stops there. */
static void client_remove(HttpClients *t, size_t i)
{
    for (size_t j = (i + 1) & (t->slots - 1); t->slot[j].key != 0; j = (j + 1) & (t->slots - 1)) {
        const size_t home = client_home(t, t->slot[j].key);
        if (((j - home) & (t->slots - 1)) >= ((j - i) & (t->slots - 1))) {
            t->slot[i] = t->slot[j];
            i = j;
        }
    }
    t->slot[i] = (struct HttpClient){.key = 0};
}

static void client_count(HttpClients *t, uint64_t key, int by)
{
    CHECK(pthread_mutex_lock(&t->lock) == 0);
    const size_t i = client_find(t, key);
    t->slot[i].key = key;
    t->slot[i].count += by;
    if (t->slot[i].count == 0)
        client_remove(t, i);
    CHECK(pthread_mutex_unlock(&t->lock) == 0);
}

void http_clients_init(HttpClients *t, int connections_max)
{
    t->seed = rand_u64();
    t->slots = 64;
    while (t->slots < 2 * (size_t)connections_max)
        t->slots *= 2;
    t->slot = calloc(t->slots, sizeof *t->slot);
    CHECK(t->slot != NULL);
    CHECK(pthread_mutex_init(&t->lock, NULL) == 0);
}

void http_clients_clear(HttpClients *t)
{
    free(t->slot);
    (void)pthread_mutex_destroy(&t->lock);
}

enum MHD_Result http_conn_admit(void *loop, const struct sockaddr *address, socklen_t bytes)
{
    (void)bytes;
    HttpLoop *l = loop;
    HttpServer *s = l->server;
    bool fits = atomic_load(&s->connections) < s->options.connections_max;
    if (fits) {
        HttpClients *t = &s->clients;
        CHECK(pthread_mutex_lock(&t->lock) == 0);
        fits = t->slot[client_find(t, client_key(address))].count <
               s->options.connections_per_client_max;
        CHECK(pthread_mutex_unlock(&t->lock) == 0);
    }
    if (!fits)
        http_count(&l->count.refused_limit, 1);
    return fits ? MHD_YES : MHD_NO;
}

static void print_peer(HttpConn *c, const struct sockaddr *address)
{
    const void *bytes = NULL;
    int family = address->sa_family;
    if (family == AF_INET) {
        bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    } else if (family == AF_INET6) {
        const struct in6_addr *v6 =
            &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
        const bool mapped = IN6_IS_ADDR_V4MAPPED(v6);
        bytes = mapped ? v6->s6_addr + 12 : v6->s6_addr;
        family = mapped ? AF_INET : AF_INET6;
    }
    if (bytes != NULL && inet_ntop(family, bytes, c->peer_text, sizeof c->peer_text) != NULL)
        c->peer = str_of(c->peer_text);
}

static HttpConn *conn_open(HttpLoop *l, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *fd =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *from =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    CHECK(fd != NULL && from != NULL);
    HttpConn *c = calloc(1, sizeof *c);
    CHECK(c != NULL);
    *c = (HttpConn){.loop = l,
                    .mhd = mhd,
                    .fd = fd->connect_fd,
                    .next = l->conns,
                    .phase = HTTP_PHASE_HEAD}; /* the first head counts from the accept */
    c->client = client_key(from->client_addr);
    print_peer(c, from->client_addr);
    if (l->conns != NULL)
        l->conns->prev = c;
    l->conns = c;
    client_count(&l->server->clients, c->client, 1);
    atomic_fetch_add(&l->server->connections, 1);
    l->now_us = clock_mono_us();
    http_conn_set_deadline(c, l->server->options.head_deadline_ms, 0);
    return c;
}

/* The library has shut our side down and closes the socket next.  If the client is still sending,
 * that close would make its kernel throw our reply away: keep a second descriptor for a moment. */
static void linger(HttpConn *c)
{
    HttpLoop *l = c->loop;
    if (l->linger_count == HTTP_LINGER_MAX)
        return;
    const int fd = dup(c->fd);
    if (fd >= 0)
        l->linger[l->linger_count++] =
            (HttpLinger){.fd = fd, .until_us = l->now_us + HTTP_LINGER_MS * INT64_C(1000)};
}

static void conn_close(HttpConn *c)
{
    HttpLoop *l = c->loop;
    if (c->lingers)
        linger(c);
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        l->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    client_count(&l->server->clients, c->client, -1);
    atomic_fetch_sub(&l->server->connections, 1);
    if (c->x == NULL) /* an exchange that was given up still points here */
        free(c);
}

void http_conn_notify(void *loop, struct MHD_Connection *mhd, void **slot,
                      enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *slot = conn_open(loop, mhd);
        return;
    }
    conn_close(*slot);
    *slot = NULL;
}

void http_conn_set_deadline(HttpConn *c, int within_ms, uint64_t extra_bytes)
{
    const int64_t extra_ms = (int64_t)(extra_bytes / HTTP_RATE_BYTES_PER_MS);
    c->deadline_us = c->loop->now_us + (within_ms + extra_ms) * 1000;
}

/* A client that only sends no more, and listens, looks the same: none does so with HTTP. */
static bool has_hung_up(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/* While a handler of its own thread works for it. */
static void look_who_left(HttpConn *c)
{
    const bool stops =
        atomic_load_explicit(&c->loop->server->stop_until_us, memory_order_relaxed) != 0;
    if (c->phase != HTTP_PHASE_LATER || c->finished || !c->x->watched || atomic_load(&c->x->left))
        return;
    if (stops || has_hung_up(c->fd))
        atomic_store(&c->x->left, true);
}

void http_conn_cut_overdue(HttpLoop *l)
{
    if (l->now_us - l->tick_us < TICK_US)
        return;
    l->tick_us = l->now_us;
    for (HttpConn *c = l->conns; c != NULL; c = c->next) {
        look_who_left(c);
        if (l->now_us < c->deadline_us)
            continue;
        if (c->phase != HTTP_PHASE_IDLE)
            http_count(&l->count.timed_out, 1);
        (void)shutdown(c->fd, SHUT_RDWR);
        c->deadline_us = INT64_MAX;
    }
    http_conn_drain_lingering(l, false);
}

void http_conn_cut_all(HttpLoop *l)
{
    for (HttpConn *c = l->conns; c != NULL; c = c->next) {
        (void)shutdown(c->fd, SHUT_RDWR);
        if (c->phase == HTTP_PHASE_LATER && !c->finished)
            MHD_resume_connection(c->mhd);
    }
}

/* True when the client has closed too, or was given enough time and bytes. */
static bool has_gone(const HttpLoop *l, const HttpLinger *g)
{
    char waste[HTTP_DRAIN_BYTES];
    for (int i = 0; i < 64; i++) {
        const ssize_t n = recv(g->fd, waste, sizeof waste, MSG_DONTWAIT);
        if (n == 0)
            return true;
        if (n < 0)
            break;
    }
    return l->now_us >= g->until_us;
}

void http_conn_drain_lingering(HttpLoop *l, bool all)
{
    for (int i = 0; i < l->linger_count;) {
        if (!all && !has_gone(l, &l->linger[i])) {
            i++;
            continue;
        }
        (void)close(l->linger[i].fd);
        l->linger[i] = l->linger[--l->linger_count];
    }
}
