/*
 * request/request_testkit.h -- a server with a contract, doors and tables of its own, for this layer's tests.
 *
 * Test code only.  One server at a time: the doors' counters are the process's.
 *     GET /t/peek?n=  GET /t/secret  GET /t/session    peeks: rows with that n
 *     POST /t/work  POST /t/slow                       work; modes hold, busy, broken; the second on threads of its own
 *     POST /t/write                                    adds a row n; modes hold, refuse, refused, cookie
 *     POST /t/strict  POST /t/inline                   the same, but prepare refuses an n that is there
 *     POST /t/plain  POST /t/silent                    without idempotency; without a reply
 *     POST /t/collect                                  n events; mode refuse
 */
#pragma once

#include "db/db_world.h"
#include "http/http_client.h"
#include "request/request.h"

#include <semaphore.h>

/* 2026-11-21 12:00 in China; also 04:00 UTC of a UTC day. */
#define NOW_MS INT64_C(1795233600000)
#define DAY_MS INT64_C(86400000)

extern sem_t desk_go;             /* lets a handler in mode hold go on */
extern atomic_int desk_held;      /* handlers that waited for it */
extern atomic_int desk_runs;      /* of an apply */
extern atomic_int desk_deadlines; /* work handlers whose deadline was as asked */

typedef struct Desk {
    World *w;
    RequestServer *server;
    EventsLog *log;
    char folder[64];
    int port;
    Arena *arena; /* of the replies */
} Desk;

void desk_open(Desk *d, World *w);
void desk_close(Desk *d);

/* Sends a request and leaves its connection open. */
int desk_ask(const Desk *d, const char *head, const char *headers, const char *body);

/* The same, and the whole reply. */
const char *desk_call(const Desk *d, const char *head, const char *headers, const char *body);

/* A header of somebody who may write. */
#define WRITER "Authorization: writer\r\n"

/* A write by them, with an Idempotency-Key when `key` is not NULL. */
const char *desk_post(const Desk *d, const char *path, const char *key, const char *body);

/* The reply is a problem with that status and code. */
void desk_expect_refused(const Desk *d, const char *reply, int status, const char *code);
void desk_expect_done(const char *reply, int status, const char *body);

/* Rows with that n. */
int64_t desk_rows_of(Desk *d, int64_t n);

/* Audit rows of the writer about that object. */
int64_t desk_audits(Desk *d, const char *action, int64_t object);

void desk_wait_until_held(int n);
