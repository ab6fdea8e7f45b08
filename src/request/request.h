/*
 * request/request.h -- how a request runs: four kinds, kept apart by the types a handler receives.
 *
 *     kind     where                                    may
 *     peek     at once on the HTTP thread               point reads through ctx->db, 1 ms
 *     work     a bounded pool, exchange suspended       block: reports, engine queries (a pool of their own), files
 *     write    prepare: HTTP thread or pool  ->  apply: inside the transaction  ->  reply
 *     collect  straight into the event log              append events, no SQL
 *
 * A room exports a table of doors: its contract's operations with the functions behind them.  This
 * layer authenticates, checks the permission, reads the parameters, runs the kind, prints the reply.
 *
 * Idempotency (draft-ietf-httpapi-idempotency-key-header-07): the reply of a write that came with an
 * Idempotency-Key is stored in the same transaction, one table per UTC day; a repeat within 24 hours
 * gets it byte for byte, another body under the same key is 422 "idempotency.reused".  A refusal
 * changed nothing and is not stored: the repeat is judged anew.
 *
 * Every write that succeeds is audited in its own transaction.
 *
 * Owns:    tables reply_0 .. reply_3.
 * Depends: base, db, http, events.
 */
#pragma once

#include "base/dto.h"
#include "db/db.h"
#include "events/events.h"
#include "http/http.h"
#include "request/principal.h"

typedef struct RequestServer RequestServer;

/* One call of an operation, from its parameters to its reply. */
typedef struct Call {
    const ApiOperation *operation;
    HttpExchange *exchange; /* headers, cookies, raw body */
    const void *params;     /* the contract's structs; NULL where it names none */
    const void *query;
    const void *body;
    void *reply;      /* zeroed struct of the reply; apply or the handler fills it */
    void *state;      /* the handler's own, from prepare to apply */
    int64_t hot_key;  /* prepare may set it: PostgreSQL takes an advisory lock on it */
    int64_t object;   /* audit: the thing that was changed */
    Str audit_detail; /* audit: no secrets, no phone numbers */
    int status;       /* of success; the contract's, unless the handler sets it */
    Err refused;      /* apply may set it: commit, yet answer with ctx->fault (a wrong password is
                            counted, and refused) */
} Call;

/* The right to block: given to work handlers only. */
typedef struct Work {
    Ctx *ctx; /* ctx->db reads */
    EventsLog *log;
    struct Engine *engine; /* NULL where there is none; its questions run on the crew */
    struct Crew *crew;
    int64_t deadline_us;     /* monotonic */
    const atomic_bool *stop; /* of a slow door: nobody waits any more (HttpExchange.left) */
    RequestServer *server;
} Work;

/* The right to append events: given to collect handlers only.  The handler fills `records`. */
typedef struct Collect {
    Ctx *ctx;
    Buf records; /* encoded events */
} Collect;

typedef Err (*PeekFn)(Ctx *ctx, Call *call);
typedef Err (*WorkFn)(Work *work, Call *call);
typedef Err (*PrepareFn)(Ctx *ctx, Call *call); /* ctx->db reads; may hash and seal */
typedef Err (*ApplyFn)(Tx *tx, Call *call);     /* may run twice: fills call->reply anew */
typedef Err (*CollectFn)(Collect *collect, Call *call);

typedef struct Door {
    const ApiOperation *operation;
    PeekFn peek;
    WorkFn work;
    PrepareFn prepare; /* NULL = nothing to prepare */
    ApplyFn apply;
    CollectFn collect;
    bool
        slow; /* work that may take until its deadline: it has threads of its own, nobody else waits behind it */
} Door;

/* Who sends this request.  *out is one that anybody may be, NULL when no credentials came; an Err
 * when they are wrong.  Called on the HTTP thread with ctx->db set: point reads at most. */
typedef Err (*AuthenticateFn)(Ctx *ctx, const HttpExchange *x, const Principal **out, void *arg);

/* Appends the audit row of a successful write. */
typedef Err (*AuditFn)(Tx *tx, Str action, int64_t object, Str detail);

typedef struct RequestOptions {
    Database *database;
    EventsLog *log;
    struct Engine *_Atomic *engine; /* for work handlers: *engine is NULL while there is none */
    struct Crew *crew;
    const struct Keyring *keys;
    const struct Settings *settings;
    AuthenticateFn authenticate;
    void *authenticate_arg;
    AuditFn audit;
    const Door *const *doors;            /* tables that end with a zero row; NULL at the end */
    const ApiContract *const *contracts; /* for the sentences of errors; NULL at the end */
    const HttpRoute *extra;              /* raw routes (metrics, health, files), zero row at end */
    int pool_threads;
    int slow_threads; /* for doors that are slow; 0 = they are as others */
    int pool_queue;   /* most that wait for a thread of either, more get 503; 0 = 4096 */
    int work_deadline_ms;
    HttpOptions http; /* routes are filled in here */
} RequestOptions;

/* Checks that every door fits its contract, starts the pool and the HTTP server.  *out is set before the
 * first request comes, and NULL after a failure. */
MUST_USE Err request_start(Ctx *ctx, const RequestOptions *options, RequestServer **out);

/* Answers what is in flight, at most `wait_ms`; then waits for writes that are on their way, whose
 * replies nobody hears any more, and ends.  Before the database.  NULL is nothing to do. */
void request_stop(RequestServer *server, int wait_ms);

HttpServer *request_http(RequestServer *server);

/* Counters per operation in Prometheus text. */
void request_metrics(const RequestServer *server, Buf *out);

/* Deletes the stored replies of three days ago, whose table is tomorrow's: one step of at most 500 rows;
 * *more = call again.  Run by a job. */
MUST_USE Err request_rotate(Tx *tx, bool *more);

/* Sets a cookie on the reply: HttpOnly, SameSite=Strict, Secure over TLS.  max_age_s 0 removes it. */
void request_set_cookie(Call *call, Ctx *ctx, const char *name, Str value, int64_t max_age_s);

/* A cursor is opaque to clients: two numbers.  INVALID "request.cursor" for anything that is none. */
MUST_USE Err request_cursor_read(Ctx *ctx, Str cursor, int64_t *a, int64_t *b);
Str request_cursor_make(Ctx *ctx, int64_t a, int64_t b);

/* The same of one text, such as the code that a page ended with; "" = from the start. */
MUST_USE Err request_cursor_read_text(Ctx *ctx, Str cursor, Str *text);
Str request_cursor_make_text(Ctx *ctx, Str text);
