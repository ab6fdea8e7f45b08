/*
 * http/http_internal.h -- what the files of http/ share.  Nobody else includes it.
 *
 *   server    options, router, counters; read-only for the loops but for the atomics
 *   loop      one thread: epoll over the library's epoll set and an eventfd for finished exchanges
 *   conn      one socket and the state of its current request; belongs to its loop's thread
 *   exchange  one request; from the first line until the reply is sent or the socket is gone
 *
 *   phase of a conn:  IDLE -> HEAD -> BODY -> (LATER ->) REPLY -> IDLE
 *                     each but LATER has an absolute deadline; LATER belongs to the handler
 */
#pragma once

#include "http/http.h"
#include "http/http_guard.h"
#include "http/http_router.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <zlib.h>

enum { HTTP_PADDING_BYTES = 64 };

typedef struct HttpLoop HttpLoop;
typedef struct HttpConn HttpConn;

typedef enum HttpPhase {
    HTTP_PHASE_IDLE,
    HTTP_PHASE_HEAD,
    HTTP_PHASE_BODY,
    HTTP_PHASE_LATER,
    HTTP_PHASE_REPLY
} HttpPhase;

/* A request body while it arrives.  Small declared ones lie in the exchange's arena, others on the
 * heap, charged to the server's budget. */
typedef struct HttpBody {
    char *ptr;
    size_t len, cap_bytes; /* capacity without the padding */
    size_t max_bytes;
    size_t dropped_bytes; /* received after it was clear that nobody wants them */
    Buf heap;
    size_t charged_bytes;
    int failed_status; /* 0, 413 or 503 */
} HttpBody;

struct HttpConn {
    HttpLoop *loop;
    HttpConn *next, *prev;
    struct MHD_Connection *mhd;
    int fd;
    HttpPhase phase;
    int64_t deadline_us; /* INT64_MAX = none */
    Str peer;
    char peer_text[48];
    uint64_t client; /* its key in the server's table of clients */

    /* the current request */
    HttpExchange *x;
    Str target;            /* raw, with the query; in the arena */
    const char *target_at; /* where the library holds it: for the guard */
    HttpGuard guard;
    HttpBody body;
    bool is_head;
    bool answered; /* the reply is ready before the body is read: drop the rest */
    bool finished; /* http_finish() was seen by the loop */
    bool lingers;  /* close slowly, so that the reply outlives unread input */
};

enum { HTTP_LINGER_MAX = 64 };

typedef struct HttpLinger {
    int fd;
    int64_t until_us;
} HttpLinger;

/* Written by the loop's thread only, read by anyone. */
typedef struct HttpCounters {
    _Atomic int64_t requests, refused_framing, refused_limit, timed_out, suspended;
    _Atomic int64_t bytes_in, bytes_out;
} HttpCounters;

struct HttpLoop {
    HttpServer *server;
    int number;
    struct MHD_Daemon *daemon;
    pthread_t thread;
    int listen_fd, epoll_fd, done_fd;
    Queue done;           /* exchanges that http_finish() was called for */
    atomic_int finishing; /* threads inside http_finish() */
    int64_t now_us;       /* read once per turn */
    int64_t tick_us;      /* when deadlines were looked at last */
    HttpConn *conns;
    HttpExchange *spare; /* ready for reuse, linked through `node` */
    int spare_count;
    int in_flight; /* exchanges */
    bool gives_up; /* the time of a stop is over: no handler is started any more */
    HttpLinger linger[HTTP_LINGER_MAX];
    int linger_count;
    z_stream deflater, inflater;
    bool has_deflater, has_inflater;
    HttpCounters count;
};

/* How many sockets each client address holds: open addressing, never more entries than sockets. */
typedef struct HttpClients {
    pthread_mutex_t lock;
    struct HttpClient {
        uint64_t key; /* 0 = free */
        int count;
    } * slot;     /* guarded by: lock */
    size_t slots; /* a power of two, at least twice connections_max */
    uint64_t seed;
} HttpClients;

struct HttpServer {
    HttpOptions options;
    Arena *arena; /* what lives as long as the server */
    HttpRouter *router;
    HttpLoop *loop;
    int port;
    bool secure;
    char *tls_cert, *tls_key;
    HttpClients clients;
    atomic_int connections;
    _Atomic int64_t body_bytes;    /* of bodies on the heap, all loops */
    atomic_bool running;           /* all daemons are up */
    _Atomic int64_t stop_until_us; /* 0 = not stopping */
    _Atomic int64_t stop_since_us;
};

/* http_conn.c -- sockets: limits, deadlines, lingering close */
enum MHD_Result http_conn_admit(void *loop, const struct sockaddr *address, socklen_t bytes);
void http_conn_notify(void *loop, struct MHD_Connection *mhd, void **slot,
                      enum MHD_ConnectionNotificationCode code);
void http_conn_cut_overdue(HttpLoop *loop);
void http_conn_cut_all(HttpLoop *loop);
void http_conn_drain_lingering(HttpLoop *loop, bool all);
/* Counts from the loop's now; `extra_bytes` buy time, so that a large body may take longer. */
void http_conn_set_deadline(HttpConn *c, int within_ms, uint64_t extra_bytes);
void http_clients_init(HttpClients *clients, int connections_max);
void http_clients_clear(HttpClients *clients);

/* http_exchange.c -- the life of one request, as the library's callbacks */
void *http_exchange_begin(void *loop, const char *target, struct MHD_Connection *mhd);
enum MHD_Result http_exchange_step(void *loop, struct MHD_Connection *mhd, const char *url,
                                   const char *method, const char *version, const char *data,
                                   size_t *data_bytes, void **slot);
void http_exchange_end(void *loop, struct MHD_Connection *mhd, void **slot,
                       enum MHD_RequestTerminationCode code);
void http_exchange_resume_done(HttpLoop *loop);
void http_exchange_free_spare(HttpLoop *loop);

/* http_body.c */
void http_body_begin(HttpConn *c, size_t max_bytes);
void http_body_add(HttpConn *c, Str piece);
void http_body_end(HttpConn *c); /* pads it; inflates it; may set failed_status to 400, 413, 503 */
void http_body_free(HttpConn *c);
Str http_body_str(const HttpConn *c);

/* http_reply.c */
enum MHD_Result http_reply_send(HttpConn *c);

static inline void http_count(_Atomic int64_t *counter, int64_t by)
{
    const int64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + by, memory_order_relaxed);
}
