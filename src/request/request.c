/*
 * request/request.c -- from a route to its kind and back.
 *
 *     handle()                       HTTP thread: who, permission, parameters
 *       peek     -> reply at once
 *       work     -> pool -> reply
 *       write    -> [pool: prepare | prepare here] -> database_submit -> apply -> reply
 *       collect  -> events_submit -> reply
 *
 * The reply of a write is printed inside apply because it is stored with the idempotency key in the
 * same transaction (docs/decisions/0004).
 */
#include "request/request_internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <time.h>

enum {
    DOORS_MAX = 256,
    ROUTES_MAX = DOORS_MAX + 32,
    QUEUED_MAX = 4096,
    WORK_RETRY_S = 30, /* what took too long will do so again: do not ask for it each second */
    COLLECT_BODY_BYTES_MAX = 9 << 20, /* 8 MiB of events, and what is around them */
    COLLECT_BYTES_MAX = 12 << 20
};

/* A door as the server knows it: with its permission's bit and its meter. */
typedef struct Gate {
    const Door *door;
    RequestServer *server;
    PermissionSet permission; /* 0 = anybody; SIGNED_IN = whatever their permissions */
    Meter meter;
} Gate;

struct RequestServer {
    RequestOptions options;
    HttpServer *http;
    Pool *pool, *slow;
    Gate *gates;
    size_t gate_count;
    HttpRoute *routes;
    DbShare *shares;      /* one per loop */
    _Atomic int64_t away; /* requests that the database or the event log has */
};

/* One request on its way; lives in its exchange's arena. */
typedef struct Running {
    HttpExchange *x;
    Gate *gate;
    Ctx ctx;
    Principal who; /* a copy: the authenticator's may go */
    Call call;
    RepeatKey repeat;
    Str body;           /* the printed reply */
    bool repeated;      /* the body is a stored first reply */
    Call before;        /* as it went to the writer: apply may run twice */
    int headers_before; /* the same for headers: they must not be there twice */
    PoolTask pooled;
    WriteTask write;
    Collect collect;
    EventsTask events;
} Running;

#define SIGNED_IN (~UINT64_C(0))

static const Principal NOBODY = {.kind = PRINCIPAL_STAFF};

/* ---- the reply --------------------------------------------------------------------------------------- */

static void set_reply(Running *r, Err err)
{
    HttpReply *reply = &r->x->reply;
    if (err != ERR_OK) {
        reply_fault(r->x, &r->ctx, err, r->gate->server->options.contracts);
    } else {
        reply->status = r->call.status;
        reply->body = r->body;
        if (reply->content_type == NULL && r->body.len > 0)
            reply->content_type = "application/json";
    }
    meter_add(&r->gate->meter, reply->status, clock_mono_us() - r->x->started_us);
}

static Err print_reply(Running *r)
{
    const DtoType *type = r->call.operation->reply;
    return type == NULL ? ERR_OK : reply_print(&r->ctx, type, r->call.reply, &r->body);
}

/* The end of a request that left the HTTP thread. */
static void finish(Running *r, Err err)
{
    set_reply(r, err);
    http_finish(r->x);
}

/* The same for one that the database or the event log had. */
static void come_back(Running *r, Err err)
{
    RequestServer *s = r->gate->server;
    finish(r, err);
    atomic_fetch_sub(&s->away, 1);
}

/* ---- who and what --------------------------------------------------------------------------------------- */

static Err authenticate(Running *r)
{
    const RequestOptions *o = &r->gate->server->options;
    const Principal *who = NULL;
    r->ctx.who = &NOBODY;
    if (r->gate->permission == 0)
        return ERR_OK;
    TRY(o->authenticate(&r->ctx, r->x, &who, o->authenticate_arg));
    if (who == NULL)
        return fail(&r->ctx, ERR_UNAUTHENTICATED, "auth.missing", "%s", r->call.operation->id);
    r->who = *who;
    r->ctx.who = &r->who;
    if (r->gate->permission != SIGNED_IN && (r->who.permissions & r->gate->permission) == 0)
        return fail(&r->ctx, ERR_DENIED, "auth.permission", "%s", r->call.operation->permission);
    return ERR_OK;
}

static void *new_struct(Running *r, const DtoType *type)
{
    return type == NULL ? NULL : arena_alloc(r->ctx.arena, 1, type->size);
}

static Err read_parameters(Running *r)
{
    const ApiOperation *op = r->call.operation;
    const HttpRequest *q = &r->x->request;
    void *params = new_struct(r, op->params), *query = new_struct(r, op->query);
    void *body = new_struct(r, op->body);
    if (params != NULL)
        TRY(dto_parse_path(&r->ctx, op->params, q->param, (size_t)op->params->count, params));
    if (query != NULL)
        TRY(dto_parse_query(&r->ctx, op->query, q->query, query));
    if (body != NULL)
        TRY(dto_parse(&r->ctx, op->body, q->body, body));
    r->call.params = params;
    r->call.query = query;
    r->call.body = body;
    r->call.reply = new_struct(r, op->reply);
    return ERR_OK;
}

/* ---- peek ---------------------------------------------------------------------------------------------- */

static Err run_peek(Running *r)
{
    TRY(r->gate->door->peek(&r->ctx, &r->call));
    return print_reply(r);
}

/* ---- work ---------------------------------------------------------------------------------------------- */

static void work_on_pool(PoolTask *task)
{
    Running *r = CONTAINER_OF(task, Running, pooled);
    RequestServer *s = r->gate->server;
    Work work = {.ctx = &r->ctx,
                 .log = s->options.log,
                 .engine = s->options.engine == NULL ? NULL : atomic_load(s->options.engine),
                 .crew = s->options.crew,
                 .deadline_us = r->x->started_us + (int64_t)s->options.work_deadline_ms * 1000,
                 .stop = &r->x->left,
                 .server = s};
    r->ctx.db = database_reader_take(s->options.database);
    db_set_deadline(r->ctx.db, work.deadline_us);
    Err err = r->gate->door->work(&work, &r->call);
    if (err == ERR_BUSY && clock_mono_us() > work.deadline_us)
        r->ctx.fault.retry_s = WORK_RETRY_S;
    if (err == ERR_OK)
        err = print_reply(r);
    database_reader_give(s->options.database, r->ctx.db);
    finish(r, err);
}

/* ---- write --------------------------------------------------------------------------------------------- */

static Err apply(Tx *tx, void *arg)
{
    Running *r = arg;
    const RequestOptions *o = &r->gate->server->options;
    r->x->reply.header_count = r->headers_before;
    r->call = r->before;
    if (r->repeat.present)
        TRY(repeat_find(&r->ctx, &r->repeat, &r->repeated, &r->call.status, &r->body));
    if (r->repeated)
        return ERR_OK;
    if (r->call.reply != NULL)
        memset(r->call.reply, 0, r->call.operation->reply->size);
    TRY(r->gate->door->apply(tx, &r->call));
    TRY(o->audit(tx, str_of(r->call.operation->id), r->call.object, r->call.audit_detail));
    if (r->call.refused != ERR_OK)
        return ERR_OK;
    TRY(print_reply(r));
    return r->repeat.present ? repeat_keep(tx, &r->repeat, r->call.status, r->body) : ERR_OK;
}

static void written(WriteTask *task)
{
    Running *r = CONTAINER_OF(task, Running, write);
    if (task->err != ERR_OK) /* a cookie of a session that there is not */
        r->x->reply.header_count = r->headers_before;
    come_back(r, task->err != ERR_OK ? task->err : r->call.refused);
}

static void submit_write(Running *r)
{
    r->headers_before = r->x->reply.header_count;
    r->before = r->call;
    atomic_fetch_add(&r->gate->server->away, 1);
    r->write = (WriteTask){.apply = apply,
                           .arg = r,
                           .ctx = &r->ctx,
                           .hot_key = r->call.hot_key,
                           .done = written,
                           .name = r->call.operation->id};
    database_submit(r->gate->server->options.database, &r->write);
}

/* A repeat may be refused here because of what its first run changed: then the first reply counts. */
static Err run_prepare(Running *r)
{
    const PrepareFn prepare = r->gate->door->prepare;
    const Err err = prepare == NULL ? ERR_OK : prepare(&r->ctx, &r->call);
    if (err == ERR_OK || !r->repeat.present)
        return err;
    const Fault why = r->ctx.fault;
    TRY(repeat_find(&r->ctx, &r->repeat, &r->repeated, &r->call.status, &r->body));
    r->ctx.fault = why;
    return r->repeated ? ERR_OK : err;
}

static void prepare_on_pool(PoolTask *task)
{
    Running *r = CONTAINER_OF(task, Running, pooled);
    Database *database = r->gate->server->options.database;
    r->ctx.db = database_reader_take(database);
    const Err err = run_prepare(r);
    database_reader_give(database, r->ctx.db);
    r->ctx.db = NULL;
    if (err != ERR_OK || r->repeated)
        finish(r, err);
    else
        submit_write(r);
}

/* ---- collect ------------------------------------------------------------------------------------------- */

static void collected(EventsTask *task)
{
    Running *r = CONTAINER_OF(task, Running, events);
    buf_free(&r->collect.records);
    come_back(r, task->err);
}

static Err run_collect(Running *r, HttpWhen *when)
{
    r->collect = (Collect){.ctx = &r->ctx, .records = BUF_MAX(COLLECT_BYTES_MAX)};
    Err err = r->gate->door->collect(&r->collect, &r->call);
    if (err == ERR_OK)
        err = print_reply(r);
    if (err == ERR_OK && r->collect.records.overflowed)
        err = fail(&r->ctx, ERR_TOO_LARGE, "events.batch", "over %d bytes", COLLECT_BYTES_MAX);
    if (err != ERR_OK || r->collect.records.len == 0) {
        buf_free(&r->collect.records);
        return err;
    }
    r->events = (EventsTask){.ctx = &r->ctx,
                             .records = buf_str(&r->collect.records),
                             .encoded = true,
                             .done = collected,
                             .arg = r};
    *when = HTTP_LATER;
    RequestServer *s = r->gate->server;
    atomic_fetch_add(&s->away, 1);
    err = events_submit(s->options.log, &r->events);
    if (err != ERR_OK) {
        atomic_fetch_sub(&s->away, 1);
        buf_free(&r->collect.records);
        *when = HTTP_NOW;
    }
    return err;
}

/* ---- dispatch ------------------------------------------------------------------------------------------ */

/* To the pool, or 503.  After a true `submitted` the request may be over already. */
static Err to_pool(Running *r, void (*run)(PoolTask *), bool *submitted)
{
    r->pooled.run = run;
    r->ctx.db = NULL;
    r->x->watched = r->gate->door->slow;
    RequestServer *s = r->gate->server;
    Pool *pool = r->gate->door->slow && s->slow != NULL ? s->slow : s->pool;
    *submitted = pool_submit(pool, &r->pooled);
    return *submitted ? ERR_OK : fail(&r->ctx, ERR_BUSY, "request.busy", "the pool is full");
}

/* Everything that happens on the HTTP thread, with the turn's reader in ctx.db.  *next says what
 * follows without it. */
typedef enum Next { NEXT_REPLY, NEXT_POOL_WORK, NEXT_POOL_PREPARE, NEXT_WRITE, NEXT_WAIT } Next;

static Err run_here(Running *r, Next *next)
{
    HttpWhen when = HTTP_NOW;
    *next = NEXT_REPLY;
    TRY(authenticate(r));
    TRY(read_parameters(r));
    switch (r->call.operation->kind) {
    case API_PEEK:
        return run_peek(r);
    case API_WORK:
        *next = NEXT_POOL_WORK;
        return ERR_OK;
    case API_WRITE:
        TRY(repeat_read(&r->ctx, &r->call, &r->repeat));
        if (r->call.operation->prepare_on_pool) {
            *next = NEXT_POOL_PREPARE;
            return ERR_OK;
        }
        TRY(run_prepare(r));
        *next = r->repeated ? NEXT_REPLY : NEXT_WRITE;
        return ERR_OK;
    case API_COLLECT:
        break;
    }
    const Err err = run_collect(r, &when);
    *next = when == HTTP_LATER ? NEXT_WAIT : NEXT_REPLY;
    return err;
}

static HttpWhen handle(HttpExchange *x)
{
    Gate *gate = (Gate *)(uintptr_t)x->route->data;
    const RequestOptions *o = &gate->server->options;
    Running *r = ARENA_NEW(x->arena, Running);
    r->x = x;
    r->gate = gate;
    r->ctx = (Ctx){
        .arena = x->arena, .now_ms = clock_now_ms(), .keys = o->keys, .settings = o->settings};
    r->call = (Call){.operation = gate->door->operation,
                     .exchange = x,
                     .status = gate->door->operation->status,
                     .audit_detail = STR("")};
    Next next = NEXT_REPLY;
    bool left = false;
    r->ctx.db = db_share_read(&gate->server->shares[x->loop]);
    Err err = run_here(r, &next);
    if (err == ERR_OK && next == NEXT_WAIT)
        return HTTP_LATER;
    r->ctx.db = NULL;
    if (err == ERR_OK && next == NEXT_WRITE) {
        submit_write(r);
        return HTTP_LATER;
    }
    if (err == ERR_OK && next == NEXT_POOL_WORK)
        err = to_pool(r, work_on_pool, &left);
    if (err == ERR_OK && next == NEXT_POOL_PREPARE)
        err = to_pool(r, prepare_on_pool, &left);
    if (left)
        return HTTP_LATER;
    set_reply(r, err);
    return HTTP_NOW;
}

static void end_turn(void *server, int loop)
{
    RequestServer *s = server;
    db_share_end(&s->shares[loop]);
}

/* ---- start and stop ------------------------------------------------------------------------------------ */

static HttpMethod method_of(const char *name)
{
    static const struct {
        const char *name;
        HttpMethod method;
    } METHODS[] = {{"GET", HTTP_GET},
                   {"POST", HTTP_POST},
                   {"PUT", HTTP_PUT},
                   {"PATCH", HTTP_PATCH},
                   {"DELETE", HTTP_DELETE}};
    for (size_t i = 0; i < ARRAY_LEN(METHODS); i++)
        if (str_eq(str_of(METHODS[i].name), str_of(name)))
            return METHODS[i].method;
    CHECK(false && "a method that a contract may name");
    return HTTP_GET;
}

/* A door must have exactly the functions of its kind. */
static bool door_fits(const Door *d)
{
    const ApiOperation *op = d->operation;
    const bool write = op->kind == API_WRITE;
    return (d->peek != NULL) == (op->kind == API_PEEK) &&
           (d->work != NULL) == (op->kind == API_WORK) && (d->apply != NULL) == write &&
           (d->collect != NULL) == (op->kind == API_COLLECT) && (d->prepare == NULL || write) &&
           (d->prepare != NULL || !op->prepare_on_pool);
}

static PermissionSet permission_of(const ApiOperation *op)
{
    if (op->permission == NULL)
        return 0;
    if (str_eq(str_of(op->permission), STR("session")))
        return SIGNED_IN;
    return permission_bit(op->permission);
}

static void add_gates(RequestServer *s)
{
    size_t routes = 0;
    for (const Door *const *table = s->options.doors; *table != NULL; table++)
        for (const Door *d = *table; d->operation != NULL; d++) {
            CHECK(s->gate_count < DOORS_MAX && door_fits(d));
            Gate *gate = &s->gates[s->gate_count++];
            *gate = (Gate){.door = d, .server = s, .permission = permission_of(d->operation)};
            s->routes[routes++] = (HttpRoute){
                .method = method_of(d->operation->method),
                .path = d->operation->path,
                .handle = handle,
                .body_bytes_max = d->operation->kind == API_COLLECT ? COLLECT_BODY_BYTES_MAX : 0,
                .data = gate};
        }
    for (const HttpRoute *e = s->options.extra; e != NULL && e->path != NULL; e++) {
        CHECK(routes < ROUTES_MAX - 1);
        s->routes[routes++] = *e;
    }
}

Err request_start(Ctx *ctx, const RequestOptions *options, RequestServer **out)
{
    RequestServer *s = calloc(1, sizeof *s);
    CHECK(s != NULL);
    s->options = *options;
    s->gates = calloc(DOORS_MAX, sizeof *s->gates);
    s->routes = calloc(ROUTES_MAX, sizeof *s->routes);
    s->shares = calloc((size_t)options->http.loops, sizeof *s->shares);
    CHECK(s->gates != NULL && s->routes != NULL && s->shares != NULL);
    for (int i = 0; i < options->http.loops; i++)
        s->shares[i].database = options->database;
    add_gates(s);
    const int queued_max = options->pool_queue == 0 ? QUEUED_MAX : options->pool_queue;
    s->pool = pool_new(options->pool_threads, queued_max);
    if (options->slow_threads > 0)
        s->slow = pool_new(options->slow_threads, queued_max);
    s->options.http.routes = s->routes;
    s->options.http.after_turn = end_turn;
    s->options.http.after_turn_arg = s;
    *out = s; /* before the first request: its handler may ask for the server */
    const Err err = http_start(ctx, &s->options.http, &s->http);
    if (err != ERR_OK) {
        *out = NULL;
        request_stop(s, 0);
    }
    return err;
}

void request_stop(RequestServer *s, int wait_ms)
{
    if (s == NULL)
        return;
    if (s->http != NULL)
        http_stop(s->http, wait_ms);
    pool_free(s->pool);
    pool_free(s->slow);
    while (atomic_load(&s->away) > 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    for (int i = 0; i < s->options.http.loops; i++)
        db_share_end(&s->shares[i]); /* none is open but after a stop that gave up */
    free(s->shares);
    free(s->routes);
    free(s->gates);
    free(s);
}

HttpServer *request_http(RequestServer *server)
{
    return server->http;
}

void request_metrics(const RequestServer *s, Buf *out)
{
    const struct {
        void (*print)(Buf *out, const Meter *m, const char *operation);
        const char *head;
    } FAMILIES[] = {
        {meter_print_seconds,
         "# HELP tongdian_request_seconds Time from the first byte to the reply.\n"
         "# TYPE tongdian_request_seconds histogram\n"},
        {meter_print_refused, "# HELP tongdian_requests_refused_total Replies 400 to 499.\n"
                              "# TYPE tongdian_requests_refused_total counter\n"},
        {meter_print_failed, "# HELP tongdian_requests_failed_total Replies 500 and above.\n"
                             "# TYPE tongdian_requests_failed_total counter\n"}};
    for (size_t f = 0; f < ARRAY_LEN(FAMILIES); f++) {
        buf_add(out, str_of(FAMILIES[f].head));
        for (size_t i = 0; i < s->gate_count; i++)
            FAMILIES[f].print(out, &s->gates[i].meter, s->gates[i].door->operation->id);
    }
}
