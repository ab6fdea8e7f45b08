/*
 * request/request_test.c -- what request.h promises, over real sockets, with a contract of its own.
 */
#include "request/request_internal.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/rand.h"
#include "db/db_migrate.h"
#include "db/db_world.h"
#include "http/http_client.h"
#include "request.sql.h"

#include <pthread.h>
#include <semaphore.h>

/* 2026-11-21 12:00 in China; also 04:00 UTC of a UTC day. */
#define NOW_MS INT64_C(1795233600000)
#define DAY_MS INT64_C(86400000)

/* ---- a contract ---------------------------------------------------------------------------------- */

typedef struct Ask {
    int64_t n;
    Str mode;
    DtoState mode_is;
} Ask;

typedef struct Answer {
    int64_t n;
    int64_t rows;
} Answer;

static const DtoType INTEGER = {
    .kind = DTO_INTEGER, .size = sizeof(int64_t), .min = 0, .max = 1000000};
static const DtoType LINE = {
    .kind = DTO_STRING, .format = DTO_FORMAT_LINE, .size = sizeof(Str), .max = 20};
static const DtoField ASK_FIELDS[] = {
    {"n", &INTEGER, offsetof(Ask, n), DTO_NOWHERE, DTO_NOWHERE, .required = true},
    {"mode", &LINE, offsetof(Ask, mode), DTO_NOWHERE, offsetof(Ask, mode_is)}};
static const DtoType ASK = {
    .kind = DTO_OBJECT, .name = "Ask", .size = sizeof(Ask), .fields = ASK_FIELDS, .count = 2};
static const DtoType ASK_QUERY = {
    .kind = DTO_OBJECT, .name = "AskQuery", .size = sizeof(Ask), .fields = ASK_FIELDS, .count = 2};
static const DtoField ANSWER_FIELDS[] = {
    {"n", &INTEGER, offsetof(Answer, n), DTO_NOWHERE, DTO_NOWHERE, .required = true},
    {"rows", &INTEGER, offsetof(Answer, rows), DTO_NOWHERE, DTO_NOWHERE, .required = true}};
static const DtoType ANSWER = {.kind = DTO_OBJECT,
                               .name = "Answer",
                               .size = sizeof(Answer),
                               .fields = ANSWER_FIELDS,
                               .count = 2};

static const ApiError ERRORS[] = {{"t.no", "The rule says no."}, {NULL, NULL}};

#define OPERATION(name, verb, where, allowed, what, keys, success, ...)                            \
    static const ApiOperation OP_##name = {.id = #name,                                            \
                                           .method = verb,                                         \
                                           .path = where,                                          \
                                           .permission = allowed,                                  \
                                           .kind = API_##what,                                     \
                                           .repeat = API_REPEAT_##keys,                            \
                                           .status = success,                                      \
                                           .errors = ERRORS,                                       \
                                           __VA_ARGS__}
OPERATION(t_peek, "GET", "/t/peek", NULL, PEEK, IGNORED, 200, .reply = &ANSWER, .query = &ASK_QUERY);
OPERATION(t_secret, "GET", "/t/secret", "t.secret", PEEK, IGNORED, 200, .reply = &ANSWER);
OPERATION(t_session, "GET", "/t/session", "session", PEEK, IGNORED, 200, .reply = &ANSWER);
OPERATION(t_work, "POST", "/t/work", NULL, WORK, IGNORED, 200, .reply = &ANSWER, .body = &ASK);
OPERATION(t_write, "POST", "/t/write", "t.write", WRITE, OPTIONAL, 201, .reply = &ANSWER, .body = &ASK);
OPERATION(t_strict, "POST", "/t/strict", "t.write", WRITE, REQUIRED, 200, .reply = &ANSWER,
          .body = &ASK, .prepare_on_pool = true);
OPERATION(t_inline, "POST", "/t/inline", "t.write", WRITE, OPTIONAL, 200, .reply = &ANSWER,
          .body = &ASK);
OPERATION(t_plain, "POST", "/t/plain", "t.write", WRITE, IGNORED, 200, .reply = &ANSWER, .body = &ASK);
OPERATION(t_collect, "POST", "/t/collect", NULL, COLLECT, IGNORED, 200, .reply = &ANSWER, .body = &ASK);
OPERATION(t_silent, "POST", "/t/silent", NULL, WRITE, IGNORED, 204, .reply = NULL);

static const ApiOperation *const OPERATIONS[] = {&OP_t_peek, &OP_t_write, NULL};
static const ApiContract CONTRACT = {"t", OPERATIONS, ERRORS};
static const ApiContract *const CONTRACTS[] = {&CONTRACT, NULL};

/* ---- tables ---------------------------------------------------------------------------------------- */

STATEMENT(row_insert, "INSERT INTO t_row(id, n) VALUES (?1, ?2)",
          "INSERT INTO t_row(id, n) VALUES ($1, $2)", IN(SQL_I64, SQL_I64), NONE);
STATEMENT(row_count, "SELECT count(*) FROM t_row WHERE n = ?1",
          "SELECT count(*) FROM t_row WHERE n = $1", IN(SQL_I64), OUT(SQL_I64));
STATEMENT(audit_insert, "INSERT INTO t_audit(id, who, action, object, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
          "INSERT INTO t_audit(id, who, action, object, detail) VALUES ($1, $2, $3, $4, $5)",
          IN(SQL_I64, SQL_I64, SQL_TEXT, SQL_I64, SQL_TEXT), NONE);
STATEMENT(audit_count,
          "SELECT count(*) FROM t_audit WHERE who = 5 AND action = ?1 AND object = ?2 AND detail = ?3",
          "SELECT count(*) FROM t_audit WHERE who = 5 AND action = $1 AND object = $2 AND detail = $3",
          IN(SQL_TEXT, SQL_I64, SQL_TEXT), OUT(SQL_I64));

#define COUNT_REPLIES                                                                              \
    "SELECT (SELECT count(*) FROM reply_0) + (SELECT count(*) FROM reply_1)"                       \
    " + (SELECT count(*) FROM reply_2) + (SELECT count(*) FROM reply_3)"
STATEMENT(reply_count, COUNT_REPLIES, COUNT_REPLIES, NONE, OUT(SQL_I64));

static Err count_rows(Ctx *ctx, int64_t n, int64_t *rows)
{
    SqlRow row;
    TRY(db_one(ctx, &row_count, &(SqlValue){.type = SQL_I64, .i64 = n}, &row));
    *rows = row.col[0].i64;
    return ERR_OK;
}

static Err add_audit(Tx *tx, Str action, int64_t object, Str detail)
{
    const SqlValue args[] = {sql_i64(id_next(tx->ctx->now_ms)), sql_i64(tx->ctx->who->id),
                             sql_text(action), sql_i64(object), sql_text(detail)};
    return db_exec(tx, &audit_insert, args, NULL);
}

/* ---- doors ------------------------------------------------------------------------------------------ */

static sem_t go;             /* lets a held handler on */
static atomic_int held;      /* handlers that wait for it */
static atomic_int runs;      /* of apply */
static atomic_int deadlines; /* work handlers whose deadline was as asked */

static void hold(void)
{
    atomic_fetch_add(&held, 1);
    while (sem_wait(&go) != 0)
        continue;
}

static bool mode_is(const Call *call, const char *mode)
{
    const Ask *ask = call->body;
    return ask->mode_is == DTO_VALUE && str_eq(ask->mode, str_of(mode));
}

static Err peek(Ctx *ctx, Call *call)
{
    const Ask *ask = call->query;
    Answer *out = call->reply;
    out->n = ask == NULL ? 0 : ask->n;
    return count_rows(ctx, out->n, &out->rows);
}

static Err work(Work *work, Call *call)
{
    const Ask *ask = call->body;
    Answer *out = call->reply;
    const int64_t left_us = work->deadline_us - clock_mono_us();
    if (left_us > 0 && left_us <= 5000000)
        atomic_fetch_add(&deadlines, 1);
    if (mode_is(call, "hold"))
        hold();
    if (mode_is(call, "busy"))
        return fail(work->ctx, ERR_BUSY, "db.busy", "for a test");
    if (mode_is(call, "broken"))
        return fail(work->ctx, ERR_INTERNAL, "t.broken", "a secret of the log");
    out->n = ask->n;
    return count_rows(work->ctx, ask->n, &out->rows);
}

/* Refuses what is there already, as a rule would that a first run changed. */
static Err prepare(Ctx *ctx, Call *call)
{
    const Ask *ask = call->body;
    int64_t rows = 0;
    TRY(count_rows(ctx, ask->n, &rows));
    if (rows > 0)
        return fail(ctx, ERR_CONFLICT, "t.no", "row %" PRId64, ask->n);
    call->state = ARENA_NEW(ctx->arena, int64_t);
    *(int64_t *)call->state = ask->n;
    return ERR_OK;
}

static Err write_row(Tx *tx, Call *call)
{
    Ctx *ctx = tx->ctx;
    const Ask *ask = call->body;
    Answer *out = call->reply;
    const int run = atomic_fetch_add(&runs, 1);
    if (mode_is(call, "hold"))
        hold();
    const SqlValue args[] = {sql_i64(id_next(ctx->now_ms)), sql_i64(ask->n)};
    TRY(db_exec(tx, &row_insert, args, NULL));
    if (mode_is(call, "refuse"))
        return fail(ctx, ERR_CONFLICT, "t.no", "row %" PRId64, ask->n);
    if (mode_is(call, "refused")) {
        call->refused = fail(ctx, ERR_DENIED, "t.no", "row %" PRId64, ask->n);
        return ERR_OK;
    }
    if (mode_is(call, "cookie")) {
        request_set_cookie(call, ctx, "t", STR("v"), 60);
        if (run == 1) /* the group's first run; the hold before it was 0 */
            call->status = 202;
    }
    CHECK(out->n == 0); /* filled anew by every run */
    call->object = ask->n;
    call->audit_detail = STR("detail");
    out->n = call->state == NULL ? ask->n : *(int64_t *)call->state;
    return count_rows(ctx, ask->n, &out->rows);
}

static Err write_silently(Tx *tx, Call *call)
{
    const SqlValue args[] = {sql_i64(id_next(tx->ctx->now_ms)), sql_i64(999)};
    CHECK(call->reply == NULL);
    return db_exec(tx, &row_insert, args, NULL);
}

static Err collect(Collect *c, Call *call)
{
    const Ask *ask = call->body;
    Answer *out = call->reply;
    for (int64_t i = 0; i < ask->n; i++) {
        const Event head = {.kind = EVENT_HAPPENED,
                            .source = STR("t"),
                            .id = arena_printf(c->ctx->arena, "%" PRId64, i),
                            .name = STR("Thing Happened"),
                            .time_ms = NOW_MS,
                            .received_ms = NOW_MS};
        Event e;
        TRY(event_end(event_begin(c->ctx, &head), &e));
        event_encode(&e, &c->records);
    }
    if (mode_is(call, "refuse"))
        return fail(c->ctx, ERR_CONFLICT, "t.no", "test");
    out->n = ask->n;
    return ERR_OK;
}

static const Door DOORS[] = {
    {.operation = &OP_t_peek, .peek = peek},
    {.operation = &OP_t_secret, .peek = peek},
    {.operation = &OP_t_session, .peek = peek},
    {.operation = &OP_t_work, .work = work},
    {.operation = &OP_t_write, .apply = write_row},
    {.operation = &OP_t_strict, .prepare = prepare, .apply = write_row},
    {.operation = &OP_t_inline, .prepare = prepare, .apply = write_row},
    {.operation = &OP_t_plain, .apply = write_row},
    {.operation = &OP_t_collect, .collect = collect},
    {.operation = &OP_t_silent, .apply = write_silently},
    {0}};
static const Door *const ALL_DOORS[] = {DOORS, NULL};

/* "Authorization: writer" and the like; "forged" is a wrong key. */
static Err authenticate(Ctx *ctx, const HttpExchange *x, const Principal **out, void *arg)
{
    static Principal all[2] = {{.id = 5}, {.id = 6}};
    const Str given = http_header(x, "Authorization");
    (void)arg;
    CHECK(ctx->db != NULL);
    all[0].permissions = permission_bit("t.write");
    if (str_eq(given, STR("forged")))
        return fail(ctx, ERR_UNAUTHENTICATED, "auth.key", "test");
    *out = str_eq(given, STR("writer")) ? &all[0] : str_eq(given, STR("nobody")) ? &all[1] : NULL;
    return ERR_OK;
}

static HttpWhen extra(HttpExchange *x)
{
    x->reply.status = 200;
    x->reply.content_type = "text/plain";
    x->reply.body = STR("raw");
    return HTTP_NOW;
}

static const HttpRoute EXTRA[] = {{HTTP_GET, "/t/raw", extra, 0, NULL}, {0}};

/* ---- a server ----------------------------------------------------------------------------------------- */

typedef struct Desk {
    World *w;
    RequestServer *server;
    EventsLog *log;
    char folder[64];
    int port;
    Arena *arena; /* of the replies */
} Desk;

static void desk_open(Desk *d, World *w)
{
    *d = (Desk){.w = w, .arena = arena_new(4096), .folder = "/tmp/request_test_XXXXXX"};
    static const SqlSchema *const SCHEMAS[] = {&REQUEST_SCHEMA};
    clock_set_ms(NOW_MS);
    CHECK(sem_init(&go, 0, 0) == 0);
    atomic_store(&held, 0);
    atomic_store(&runs, 0);
    CHECK(schema_install(w->database, &w->ctx, SCHEMAS, 1) == ERR_OK);
    world_script(w, "CREATE TABLE t_row(id $INT PRIMARY KEY, n $INT NOT NULL) $STRICT;"
                    "CREATE TABLE t_audit(id $INT PRIMARY KEY, who $INT NOT NULL, action TEXT NOT NULL,"
                    " object $INT NOT NULL, detail TEXT NOT NULL) $STRICT;");
    CHECK(mkdtemp(d->folder) != NULL);
    CHECK(events_open(&w->ctx, arena_printf(d->arena, "%s/log", d->folder),
                      &(EventsOptions){.segment_bytes = 1 << 20}, &d->log) == ERR_OK);
    const RequestOptions options = {.database = w->database,
                                    .log = d->log,
                                    .authenticate = authenticate,
                                    .audit = add_audit,
                                    .doors = ALL_DOORS,
                                    .contracts = CONTRACTS,
                                    .extra = EXTRA,
                                    .pool_threads = 1,
                                    .pool_queue = 2,
                                    .work_deadline_ms = 5000,
                                    .http = http_options_default()};
    CHECK(request_start(&w->ctx, &options, &d->server) == ERR_OK);
    d->port = http_port(request_http(d->server));
}

static void desk_close(Desk *d)
{
    char command[128];
    request_stop(d->server, 5000);
    events_close(d->log);
    (void)snprintf(command, sizeof command, "rm -r %s", d->folder);
    CHECK(system(command) == 0);
    arena_free(d->arena);
}

/* Sends a request and leaves its connection open. */
static int ask(const Desk *d, const char *head, const char *headers, const char *body)
{
    const int fd = client_dial(d->port);
    Buf b = BUF_MAX(1 << 16);
    buf_addf(&b, "%s HTTP/1.1\r\nHost: t\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s",
             head, headers, str_of(body).len, body);
    client_say(fd, buf_str(&b));
    buf_free(&b);
    return fd;
}

static const char *call(const Desk *d, const char *head, const char *headers, const char *body)
{
    return client_hear_all(d->arena, ask(d, head, headers, body));
}

#define WRITER "Authorization: writer\r\n"

/* A write by somebody who may, with an Idempotency-Key when `key` is not NULL. */
static const char *post(const Desk *d, const char *path, const char *key, const char *body)
{
    char head[64], headers[512] = WRITER;
    (void)snprintf(head, sizeof head, "POST %s", path);
    if (key != NULL)
        (void)snprintf(headers, sizeof headers, WRITER "Idempotency-Key: %s\r\n", key);
    return call(d, head, headers, body);
}

/* The problem's code, as text between quotes. */
static const char *code_of(const Desk *d, const char *reply)
{
    const char *at = strstr(reply, "\"code\":\"");
    if (at == NULL)
        return "(no code)";
    const char *end = strchr(at + 8, '"');
    return arena_copy(d->arena, (Str){at + 8, (size_t)(end - at - 8)}).ptr;
}

static void expect_refused(const Desk *d, const char *reply, int status, const char *code)
{
    EXPECT_I64(client_status(reply), status);
    EXPECT_STREQ(code_of(d, reply), code);
    CHECK(strstr(reply, "application/problem+json") != NULL);
}

static void expect_done(const char *reply, int status, const char *body)
{
    EXPECT_I64(client_status(reply), status);
    EXPECT_STREQ(client_body(reply), body);
}

static int64_t rows_of(Desk *d, int64_t n)
{
    int64_t rows = -1;
    CHECK(count_rows(&d->w->ctx, n, &rows) == ERR_OK);
    return rows;
}

static int64_t audits(Desk *d, const char *action, int64_t object)
{
    const SqlValue args[] = {sql_text(str_of(action)), sql_i64(object), sql_text(STR("detail"))};
    return world_number(d->w, &audit_count, args);
}

static void wait_until_held(int n)
{
    const int64_t until_us = clock_mono_us() + 5000000;
    while (atomic_load(&held) < n && clock_mono_us() < until_us)
        (void)usleep(1000);
    EXPECT_I64(atomic_load(&held), n);
}

static int count_of(const char *text, const char *what)
{
    int n = 0;
    for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what))
        n++;
    return n;
}

/* ---- the four kinds ------------------------------------------------------------------------------------ */

BOTH_ENGINES(request_kinds_answer_each_in_its_place)
{
    Desk d;
    desk_open(&d, w);
    atomic_store(&deadlines, 0);
    expect_done(call(&d, "GET /t/peek?n=3", "", ""), 200, "{\"n\":3,\"rows\":0}");
    expect_done(post(&d, "/t/write", NULL, "{\"n\":3}"), 201, "{\"n\":3,\"rows\":1}");
    expect_done(call(&d, "GET /t/peek?n=3", "", ""), 200, "{\"n\":3,\"rows\":1}");
    expect_done(post(&d, "/t/work", NULL, "{\"n\":3}"), 200, "{\"n\":3,\"rows\":1}");
    EXPECT_I64(atomic_load(&deadlines), 1);
    expect_done(post(&d, "/t/strict", "k", "{\"n\":4}"), 200, "{\"n\":4,\"rows\":1}");
    expect_done(post(&d, "/t/collect", NULL, "{\"n\":3}"), 200, "{\"n\":3,\"rows\":0}");
    expect_done(post(&d, "/t/collect", NULL, "{\"n\":0}"), 200, "{\"n\":0,\"rows\":0}");
    EXPECT_I64(events_count(d.log), 3);
    expect_done(call(&d, "GET /t/raw", "", ""), 200, "raw");
    desk_close(&d);
}

BOTH_ENGINES(request_without_a_reply_says_nothing)
{
    Desk d;
    desk_open(&d, w);
    const char *reply = post(&d, "/t/silent", NULL, "");
    expect_done(reply, 204, "");
    CHECK(strstr(reply, "\r\nContent-Type:") == NULL);
    EXPECT_I64(rows_of(&d, 999), 1);
    desk_close(&d);
}

BOTH_ENGINES(request_is_refused_before_its_handler_sees_it)
{
    Desk d;
    desk_open(&d, w);
    const struct {
        const char *head, *headers, *body;
        int status;
        const char *code;
    } cases[] = {
        {"GET /t/secret", "", "", 401, "auth.missing"},
        {"GET /t/secret", "Authorization: forged\r\n", "", 401, "auth.key"},
        {"GET /t/secret", "Authorization: nobody\r\n", "", 403, "auth.permission"},
        {"GET /t/secret", WRITER, "", 403, "auth.permission"},
        {"GET /t/session", "", "", 401, "auth.missing"},
        {"POST /t/write", "", "{", 401, "auth.missing"}, /* who asks comes first */
        {"POST /t/write", WRITER, "{", 400, "json.malformed"},
        {"POST /t/write", WRITER, "", 400, "json.malformed"},
        {"POST /t/write", WRITER, "{}", 400, "request.missing"},
        {"POST /t/write", WRITER, "{\"n\":-1}", 400, "request.range"},
        {"POST /t/write", WRITER, "{\"n\":1,\"m\":2}", 400, "request.unknown_field"},
        {"GET /t/peek?n=x", "", "", 400, "request.type"},
        {"GET /t/peek", "", "", 400, "request.missing"},
        {"POST /t/strict", WRITER, "{\"n\":1}", 400, "idempotency.missing"},
        {"POST /t/strict", WRITER "Idempotency-Key: \"\"\r\n", "{\"n\":1}", 400,
         "idempotency.malformed"},
        {"POST /t/write", WRITER "Idempotency-Key: \xc3\xa4\r\n", "{\"n\":1}", 400,
         "idempotency.malformed"},
        {"GET /t/none", "", "", 404, "http.no_such_path"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_refused(&d, call(&d, cases[i].head, cases[i].headers, cases[i].body),
                       cases[i].status, cases[i].code);
    CHECK(strstr(call(&d, "GET /t/secret", "", ""), "WWW-Authenticate: Bearer") != NULL);
    CHECK(strstr(post(&d, "/t/write", NULL, "{\"n\":-1}"), "\"pointer\":\"/n\"") != NULL);
    EXPECT_I64(atomic_load(&runs), 0);
    desk_close(&d);
}

BOTH_ENGINES(request_for_whoever_is_signed_in_asks_for_no_permission)
{
    Desk d;
    desk_open(&d, w);
    EXPECT_I64(client_status(call(&d, "GET /t/session", "Authorization: nobody\r\n", "")), 200);
    EXPECT_I64(client_status(call(&d, "GET /t/session", WRITER, "")), 200);
    desk_close(&d);
}

BOTH_ENGINES(request_that_fails_says_so_without_the_details_of_the_log)
{
    Desk d;
    desk_open(&d, w);
    const char *busy = post(&d, "/t/work", NULL, "{\"n\":1,\"mode\":\"busy\"}");
    expect_refused(&d, busy, 503, "db.busy");
    CHECK(strstr(busy, "Retry-After: 1") != NULL);
    const char *broken = post(&d, "/t/work", NULL, "{\"n\":1,\"mode\":\"broken\"}");
    expect_refused(&d, broken, 500, "t.broken");
    CHECK(strstr(broken, "secret") == NULL);
    const char *no = post(&d, "/t/write", NULL, "{\"n\":1,\"mode\":\"refuse\"}");
    expect_refused(&d, no, 409, "t.no");
    CHECK(strstr(no, "The rule says no.") != NULL); /* the contract's sentence */
    EXPECT_I64(rows_of(&d, 1), 0);
    expect_refused(&d, post(&d, "/t/collect", NULL, "{\"n\":2,\"mode\":\"refuse\"}"), 409, "t.no");
    EXPECT_I64(events_count(d.log), 0);
    desk_close(&d);
}

/* ---- idempotency ------------------------------------------------------------------------------------------ */

#define UUID "019aa5f0-0000-7000-8000-0123456789ab"

BOTH_ENGINES(request_repeated_with_its_key_gets_the_first_reply_byte_for_byte)
{
    Desk d;
    desk_open(&d, w);
    static const char *const KEYS[] = {"k1", "\"k1\"", UUID, "\"" UUID "\"",
                                       "019AA5F0-0000-7000-8000-0123456789AB"};
    expect_done(post(&d, "/t/write", KEYS[0], "{\"n\":1}"), 201, "{\"n\":1,\"rows\":1}");
    expect_done(post(&d, "/t/write", KEYS[2], "{\"n\":1}"), 201, "{\"n\":1,\"rows\":2}");
    expect_done(post(&d, "/t/write", NULL, "{\"n\":1}"), 201, "{\"n\":1,\"rows\":3}");
    for (size_t i = 0; i < ARRAY_LEN(KEYS); i++)
        expect_done(post(&d, "/t/write", KEYS[i], "{\"n\":1}"), 201,
                    i < 2 ? "{\"n\":1,\"rows\":1}" : "{\"n\":1,\"rows\":2}");
    EXPECT_I64(rows_of(&d, 1), 3);
    EXPECT_I64(audits(&d, "t_write", 1), 3);
    expect_done(post(&d, "/t/plain", KEYS[0], "{\"n\":2}"), 200, "{\"n\":2,\"rows\":1}");
    expect_done(post(&d, "/t/plain", KEYS[0], "{\"n\":2}"), 200, "{\"n\":2,\"rows\":2}");
    desk_close(&d);
}

BOTH_ENGINES(request_with_the_key_of_another_is_unprocessable)
{
    Desk d;
    desk_open(&d, w);
    EXPECT_I64(client_status(post(&d, "/t/write", "k", "{\"n\":1}")), 201);
    expect_refused(&d, post(&d, "/t/write", "k", "{\"n\":2}"), 422, "idempotency.reused");
    expect_refused(&d, post(&d, "/t/write", "k", "{\"n\":1} "), 422, "idempotency.reused");
    expect_refused(&d, post(&d, "/t/write?x=1", "k", "{\"n\":1}"), 422, "idempotency.reused");
    expect_done(post(&d, "/t/strict", "k", "{\"n\":2}"), 200, "{\"n\":2,\"rows\":1}");
    EXPECT_I64(rows_of(&d, 1), 1);
    desk_close(&d);
}

BOTH_ENGINES(request_that_was_refused_is_judged_anew)
{
    Desk d;
    desk_open(&d, w);
    static const char REFUSED[] = "{\"n\":1,\"mode\":\"refuse\"}";
    expect_refused(&d, post(&d, "/t/write", "k", REFUSED), 409, "t.no");
    expect_refused(&d, post(&d, "/t/write", "k", REFUSED), 409, "t.no");
    CHECK(atomic_load(&runs) >= 2);
    EXPECT_I64(client_status(post(&d, "/t/write", "k", "{\"n\":1}")), 201);
    desk_close(&d);
}

BOTH_ENGINES(request_repeated_gets_its_reply_though_prepare_would_now_refuse)
{
    Desk d;
    desk_open(&d, w);
    static const char *const PATHS[] = {"/t/strict", "/t/inline"};
    for (size_t i = 0; i < ARRAY_LEN(PATHS); i++) {
        const char *body = i == 0 ? "{\"n\":1}" : "{\"n\":2}";
        const char *want = i == 0 ? "{\"n\":1,\"rows\":1}" : "{\"n\":2,\"rows\":1}";
        expect_done(post(&d, PATHS[i], "k", body), 200, want);
        expect_refused(&d, post(&d, PATHS[i], "other", body), 409, "t.no");
        expect_done(post(&d, PATHS[i], "k", body), 200, want);
        expect_refused(&d, post(&d, PATHS[i], "k", i == 0 ? "{\"n\":2 }" : "{\"n\":1 }"),
                       422, "idempotency.reused");
    }
    desk_close(&d);
}

static Err rotate_body(Tx *tx, void *arg)
{
    (void)arg;
    return request_rotate(tx);
}

static void rotate(Desk *d)
{
    d->w->ctx.now_ms = clock_now_ms();
    CHECK(database_write(d->w->database, &d->w->ctx, "rotate", rotate_body, NULL) == ERR_OK);
}

BOTH_ENGINES(request_key_is_known_for_a_day_also_over_midnight)
{
    Desk d;
    desk_open(&d, w);
    const int64_t midnight = NOW_MS - NOW_MS % DAY_MS + DAY_MS;
    rotate(&d);
    clock_set_ms(midnight - 1);
    expect_done(post(&d, "/t/write", "k", "{\"n\":1}"), 201, "{\"n\":1,\"rows\":1}");
    clock_set_ms(midnight);
    rotate(&d);
    expect_done(post(&d, "/t/write", "k", "{\"n\":1}"), 201, "{\"n\":1,\"rows\":1}");
    clock_set_ms(midnight + DAY_MS - 1);
    rotate(&d);
    expect_done(post(&d, "/t/write", "k", "{\"n\":1}"), 201, "{\"n\":1,\"rows\":1}");
    EXPECT_I64(rows_of(&d, 1), 1);
    clock_set_ms(midnight + DAY_MS);
    rotate(&d);
    expect_done(post(&d, "/t/write", "k", "{\"n\":1}"), 201, "{\"n\":1,\"rows\":2}");
    desk_close(&d);
}

/* ---- the reply tables, without sockets --------------------------------------------------------------------- */

typedef struct Keeping {
    RepeatKey key;
    bool found;
    int status;
    Str body;
} Keeping;

static Err keep_body(Tx *tx, void *arg)
{
    const Keeping *k = arg;
    return repeat_keep(tx, &k->key, 201, k->body);
}

/* What a request of `day` finds under key `k`. */
static bool finds(Desk *d, int64_t at_ms, uint8_t k)
{
    Keeping keeping = {.key = {.present = true, .key = {k}}};
    d->w->ctx.now_ms = at_ms;
    CHECK(repeat_find(&d->w->ctx, &keeping.key, &keeping.found, &keeping.status, &keeping.body) ==
          ERR_OK);
    return keeping.found;
}

static void keep(Desk *d, int64_t at_ms, uint8_t k)
{
    Keeping keeping = {.key = {.present = true, .key = {k}}, .body = STR("{}")};
    d->w->ctx.now_ms = at_ms;
    CHECK(database_write(d->w->database, &d->w->ctx, "keep", keep_body, &keeping) == ERR_OK);
}

static int64_t kept_rows(Desk *d)
{
    return world_number(d->w, &reply_count, NULL);
}

BOTH_ENGINES(request_rotate_empties_the_table_of_tomorrow_and_no_other)
{
    Desk d;
    desk_open(&d, w);
    const int64_t noon = NOW_MS - NOW_MS % DAY_MS + DAY_MS / 2;
    for (uint8_t day = 0; day < 12; day++) {
        clock_set_ms(noon + day * DAY_MS);
        rotate(&d);
        rotate(&d); /* again: nothing more goes */
        EXPECT_I64(kept_rows(&d), day < 3 ? day : 2);
        keep(&d, noon + day * DAY_MS, day);
        CHECK(finds(&d, noon + day * DAY_MS, day));
        CHECK(day == 0 || finds(&d, noon + day * DAY_MS, (uint8_t)(day - 1)));
        CHECK(day < 2 || !finds(&d, noon + day * DAY_MS, (uint8_t)(day - 2)));
    }
    desk_close(&d);
}

BOTH_ENGINES(request_of_before_midnight_finds_its_repeat_that_was_faster)
{
    Desk d;
    desk_open(&d, w);
    const int64_t midnight = NOW_MS - NOW_MS % DAY_MS + DAY_MS;
    keep(&d, midnight + 5, 1);
    CHECK(finds(&d, midnight - 5, 1));
    CHECK(!finds(&d, midnight - 5, 2));
    CHECK(!finds(&d, midnight - DAY_MS / 2, 1)); /* no request waits that long */
    Keeping again = {.key = {.present = true, .key = {1}}, .body = STR("{}")};
    w->ctx.now_ms = midnight + 6;
    EXPECT_I64(database_write(w->database, &w->ctx, "keep", keep_body, &again), ERR_BUSY);
    EXPECT_STREQ(w->ctx.fault.reason, "idempotency.in_flight");
    desk_close(&d);
}

/* ---- apply ---------------------------------------------------------------------------------------------------- */

BOTH_ENGINES(request_that_apply_refuses_but_commits_is_refused_and_stays)
{
    Desk d;
    desk_open(&d, w);
    static const char BODY[] = "{\"n\":1,\"mode\":\"refused\"}";
    expect_refused(&d, post(&d, "/t/write", "k", BODY), 403, "t.no");
    EXPECT_I64(rows_of(&d, 1), 1);
    expect_refused(&d, post(&d, "/t/write", "k", BODY), 403, "t.no");
    EXPECT_I64(rows_of(&d, 1), 2); /* not stored under its key */
    desk_close(&d);
}

BOTH_ENGINES(request_whose_group_was_replayed_gives_one_reply_with_its_headers_once)
{
    if (w->postgres)
        return; /* no groups there */
    Desk d;
    desk_open(&d, w);
    const int first = ask(&d, "POST /t/write", WRITER, "{\"n\":1,\"mode\":\"hold\"}");
    wait_until_held(1);
    const int good = ask(&d, "POST /t/write", WRITER, "{\"n\":2,\"mode\":\"cookie\"}");
    const int64_t until_us = clock_mono_us() + 5000000;
    DatabaseStats stats = {0};
    while (stats.queue_depth < 2 && clock_mono_us() < until_us)
        database_stats(w->database, &stats);
    const int bad = ask(&d, "POST /t/write", WRITER, "{\"n\":3,\"mode\":\"refuse\"}");
    while (stats.queue_depth < 3 && clock_mono_us() < until_us)
        database_stats(w->database, &stats);
    EXPECT_I64(stats.queue_depth, 3);
    CHECK(sem_post(&go) == 0);
    EXPECT_I64(client_status(client_hear_all(d.arena, first)), 201);
    const char *reply = client_hear_all(d.arena, good);
    expect_refused(&d, client_hear_all(d.arena, bad), 409, "t.no");
    database_stats(w->database, &stats);
    EXPECT_I64(stats.replays, 1);
    EXPECT_I64(atomic_load(&runs), 5);
    expect_done(reply, 201, "{\"n\":2,\"rows\":1}"); /* not the 202 of the run that was undone */
    EXPECT_I64(count_of(reply, "Set-Cookie"), 1);
    CHECK(strstr(reply, "Set-Cookie: t=v; Path=/; Max-Age=60; HttpOnly; SameSite=Strict\r\n") !=
          NULL);
    EXPECT_I64(rows_of(&d, 2), 1);
    EXPECT_I64(audits(&d, "t_write", 2), 1);
    EXPECT_I64(rows_of(&d, 3), 0);
    desk_close(&d);
}

/* ---- pool and stop ------------------------------------------------------------------------------------------------ */

BOTH_ENGINES(request_that_finds_the_pool_full_is_told_to_come_back)
{
    Desk d;
    desk_open(&d, w);
    static const char HOLD[] = "{\"n\":1,\"mode\":\"hold\"}";
    int fds[3];
    fds[0] = ask(&d, "POST /t/work", "", HOLD);
    wait_until_held(1);
    HttpStats stats = {0};
    const int64_t until_us = clock_mono_us() + 5000000;
    for (int i = 1; i < 3; i++) {
        fds[i] = ask(&d, "POST /t/work", "", HOLD);
        while (stats.suspended < i + 1 && clock_mono_us() < until_us)
            http_stats(request_http(d.server), &stats);
    }
    const char *full = call(&d, "POST /t/work", "", HOLD);
    expect_refused(&d, full, 503, "request.busy");
    CHECK(strstr(full, "Retry-After: 1") != NULL);
    expect_refused(&d, post(&d, "/t/strict", "k", "{\"n\":1}"), 503, "request.busy");
    expect_done(call(&d, "GET /t/peek?n=3", "", ""), 200, "{\"n\":3,\"rows\":0}");
    for (int i = 0; i < 3; i++)
        CHECK(sem_post(&go) == 0);
    for (int i = 0; i < 3; i++)
        EXPECT_I64(client_status(client_hear_all(d.arena, fds[i])), 200);
    expect_done(post(&d, "/t/strict", "k", "{\"n\":1}"), 200, "{\"n\":1,\"rows\":1}");
    desk_close(&d);
}

static void *let_go(void *arg)
{
    (void)usleep(200000);
    CHECK(sem_post(arg) == 0);
    return NULL;
}

BOTH_ENGINES(request_stop_waits_for_writes_that_nobody_hears_any_more)
{
    static HttpServer *kept; /* what a stop gave up on is kept for ever: say so to the leak finder */
    Desk d;
    pthread_t helper;
    desk_open(&d, w);
    kept = request_http(d.server);
    const int fd = ask(&d, "POST /t/write", WRITER, "{\"n\":1,\"mode\":\"hold\"}");
    wait_until_held(1);
    CHECK(pthread_create(&helper, NULL, let_go, &go) == 0);
    request_stop(d.server, 1);
    CHECK(kept != NULL && pthread_join(helper, NULL) == 0);
    d.server = NULL;
    EXPECT_I64(rows_of(&d, 1), 1);
    (void)close(fd);
    desk_close(&d);
}

BOTH_ENGINES(request_stop_answers_what_is_in_flight)
{
    Desk d;
    pthread_t helper;
    desk_open(&d, w);
    const int fd = ask(&d, "POST /t/work", "", "{\"n\":1,\"mode\":\"hold\"}");
    wait_until_held(1);
    CHECK(pthread_create(&helper, NULL, let_go, &go) == 0);
    request_stop(d.server, 5000);
    CHECK(pthread_join(helper, NULL) == 0);
    d.server = NULL;
    expect_done(client_hear_all(d.arena, fd), 200, "{\"n\":1,\"rows\":0}");
    desk_close(&d);
}

typedef struct Job {
    PoolTask task;
    int *order;
    int number;
} Job;

static void note(PoolTask *task)
{
    const Job *j = CONTAINER_OF(task, Job, task);
    if (j->number == 0)
        hold();
    j->order[0]++;
    j->order[j->order[0]] = j->number;
}

TEST(pool_runs_in_order_refuses_the_surplus_and_finishes_before_it_ends)
{
    int order[8] = {0};
    Job jobs[5];
    CHECK(sem_init(&go, 0, 0) == 0);
    atomic_store(&held, 0);
    Pool *p = pool_new(1, 3);
    for (int i = 0; i < 5; i++) {
        jobs[i] = (Job){.task.run = note, .order = order, .number = i};
        EXPECT_I64(pool_submit(p, &jobs[i].task), i < 4);
        if (i == 0)
            wait_until_held(1);
    }
    CHECK(sem_post(&go) == 0);
    pool_free(p);
    EXPECT_I64(order[0], 4);
    for (int i = 0; i < 4; i++)
        EXPECT_I64(order[1 + i], i);
    pool_free(NULL);
}

/* ---- cursors ------------------------------------------------------------------------------------------------------- */

TEST(cursor_comes_back_as_it_was_made)
{
    Ctx ctx = {.arena = arena_new(4096)};
    Prng r = prng_of(3);
    const int64_t edges[] = {0, 1, -1, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < 1000; i++) {
        const int64_t a = i < 25 ? edges[i / 5] : (int64_t)prng_u64(&r);
        const int64_t b = i < 25 ? edges[i % 5] : (int64_t)prng_u64(&r);
        int64_t x = 0, y = 0;
        const Str cursor = request_cursor_make(&ctx, a, b);
        for (size_t c = 0; c < cursor.len; c++)
            CHECK(strchr("-_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
                         cursor.ptr[c]) != NULL);
        EXPECT_I64(request_cursor_read(&ctx, cursor, &x, &y), ERR_OK);
        EXPECT_I64(x, a);
        EXPECT_I64(y, b);
    }
    arena_free(ctx.arena);
}

TEST(cursor_that_is_none_is_refused)
{
    Ctx ctx = {.arena = arena_new(4096)};
    const Str plain[] = {STR(""),      STR("1"),   STR("."),     STR("1."),
                         STR(".1"),    STR("a.b"), STR("1.2.3"), STR("1 .2"),
                         STR("1.2\n"), STR("9223372036854775808.1")};
    int64_t a = 7, b = 8;
    for (size_t i = 0; i < ARRAY_LEN(plain) + 2; i++) {
        const Str cursor = i < ARRAY_LEN(plain) ? base64url_encode(ctx.arena, plain[i])
                           : i == ARRAY_LEN(plain) ? STR("!!!!")
                                                   : STR("MS4y=");
        EXPECT_I64(request_cursor_read(&ctx, cursor, &a, &b), ERR_INVALID);
        EXPECT_STREQ(ctx.fault.reason, "request.cursor");
        EXPECT_STREQ(ctx.fault.pointer, "?cursor");
    }
    EXPECT_I64(a + b, 15);
    arena_free(ctx.arena);
}

/* ---- metrics ---------------------------------------------------------------------------------------------------------- */

/* One sample: its name without labels, its le, its value. */
typedef struct Sample {
    char name[64], operation[32];
    double le, value;
    bool bucket;
} Sample;

static bool read_sample(const char *line, Sample *s)
{
    *s = (Sample){0};
    const size_t name = strspn(line, "abcdefghijklmnopqrstuvwxyz_");
    if (name == 0 || name >= sizeof s->name || line[name] != '{')
        return false;
    memcpy(s->name, line, name);
    const char *end = strchr(line, '}'), *le = strstr(line, ",le=\"");
    if (end == NULL || end[1] != ' ' || sscanf(line + name, "{operation=\"%31[a-z_]\"", s->operation) != 1)
        return false;
    s->bucket = le != NULL && le < end;
    char *stop = NULL;
    if (s->bucket) {
        s->le = strtod(le + 5, &stop);
        if (strncmp(stop, "\"}", 2) != 0)
            return false;
    }
    s->value = strtod(end + 2, &stop);
    return *stop == '\n';
}

/* The samples of one family stand together, behind its HELP and TYPE; a histogram's buckets ascend to
 * its count. */
static void expect_prometheus(const char *text)
{
    char family[64] = "", seen[8][64];
    int families = 0;
    Sample s, before = {0};
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        CHECK(strchr(line, '\n') != NULL);
        if (strncmp(line, "# HELP ", 7) == 0) {
            CHECK(sscanf(line + 7, "%63s", family) == 1 && families < 8);
            for (int i = 0; i < families; i++)
                CHECK(strcmp(seen[i], family) != 0);
            memcpy(seen[families++], family, sizeof family);
            continue;
        }
        if (strncmp(line, "# TYPE ", 7) == 0) {
            char name[64] = "";
            CHECK(sscanf(line + 7, "%63s", name) == 1);
            EXPECT_STREQ(name, family);
            continue;
        }
        CHECK(read_sample(line, &s));
        CHECK(strncmp(s.name, family, strlen(family)) == 0);
        if (s.bucket && before.bucket && strcmp(s.operation, before.operation) == 0)
            CHECK(s.le > before.le && s.value >= before.value);
        if (str_ends_with(str_of(s.name), STR("_sum")))
            continue; /* between the last bucket and the count */
        if (str_ends_with(str_of(s.name), STR("_count")))
            CHECK(s.value == before.value);
        before = s;
    }
}

static double metric(const char *text, const char *sample)
{
    const char *at = strstr(text, sample);
    CHECK(at != NULL);
    return strtod(at + strlen(sample), NULL);
}

BOTH_ENGINES(request_metrics_are_prometheus_text_and_count_every_reply)
{
    Desk d;
    desk_open(&d, w);
    (void)call(&d, "GET /t/peek?n=1", "", "");
    (void)call(&d, "GET /t/peek?n=1", "", "");
    (void)call(&d, "GET /t/peek", "", "");
    (void)call(&d, "GET /t/secret", "", "");
    (void)post(&d, "/t/work", NULL, "{\"n\":1,\"mode\":\"broken\"}");
    (void)post(&d, "/t/write", NULL, "{\"n\":1}");
    Buf b = BUF_MAX(1 << 20);
    request_metrics(d.server, &b);
    buf_add_char(&b, '\0');
    expect_prometheus(b.ptr);
    const struct {
        const char *sample;
        double value;
    } want[] = {{"request_seconds_count{operation=\"t_peek\"} ", 3},
                {"requests_refused_total{operation=\"t_peek\"} ", 1},
                {"requests_failed_total{operation=\"t_peek\"} ", 0},
                {"requests_refused_total{operation=\"t_secret\"} ", 1},
                {"requests_failed_total{operation=\"t_work\"} ", 1},
                {"request_seconds_count{operation=\"t_write\"} ", 1}};
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        CHECK(metric(b.ptr, want[i].sample) == want[i].value);
    buf_free(&b);
    desk_close(&d);
}

TEST(meter_puts_a_duration_into_the_bucket_that_holds_it)
{
    static const struct {
        int64_t us;
        const char *first; /* bucket that counts it */
        const char *last;  /* bucket before, that does not; "" = none */
    } cases[] = {{0, "le=\"0.0001\"} 1", ""},
                 {100, "le=\"0.0001\"} 1", ""},
                 {101, "le=\"0.00025\"} 1", "le=\"0.0001\"} 0"},
                 {2500000, "le=\"2.5\"} 1", "le=\"0.5\"} 0"},
                 {2500001, "le=\"+Inf\"} 1", "le=\"2.5\"} 0"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Meter m = {0};
        Buf b = BUF_MAX(1 << 16);
        meter_add(&m, 200, cases[i].us);
        meter_print_seconds(&b, &m, "x");
        buf_add_char(&b, '\0');
        CHECK(strstr(b.ptr, cases[i].first) != NULL && strstr(b.ptr, cases[i].last) != NULL);
        buf_free(&b);
    }
}

/* ---- principals --------------------------------------------------------------------------------------------------------- */

TEST(principal_may_what_its_bits_say_in_the_shops_it_names)
{
    Ctx ctx = {.arena = arena_new(4096)};
    const PermissionSet a = permission_bit("t.a"), b = permission_bit("t.b");
    char again[] = "t.a";
    CHECK(a != b && (a & (a - 1)) == 0 && permission_bit(again) == a);
    const char *names[PERMISSIONS_MAX];
    EXPECT_I64((int64_t)permission_names(a | b, names), 2);
    const Principal who = {.permissions = a, .stores = {7, 9}, .store_count = 2};
    const Principal everywhere = {.permissions = b};
    CHECK(principal_may(&who, "t.a") && !principal_may(&who, "t.b") && !principal_may(NULL, "t.a"));
    CHECK(principal_may(&PRINCIPAL_OF_SYSTEM, "t.never_seen"));
    CHECK(principal_may_store(&who, 9) && !principal_may_store(&who, 8));
    CHECK(principal_may_store(&everywhere, 8) && !principal_may_store(NULL, 8));
    ctx.who = &who;
    EXPECT_I64(principal_require(&ctx, "t.a"), ERR_OK);
    EXPECT_I64(principal_require(&ctx, "t.b"), ERR_DENIED);
    EXPECT_STREQ(ctx.fault.reason, "auth.permission");
    EXPECT_I64(principal_require_store(&ctx, 7), ERR_OK);
    EXPECT_I64(principal_require_store(&ctx, 8), ERR_DENIED);
    EXPECT_STREQ(ctx.fault.reason, "auth.store");
    EXPECT_STREQ(principal_kind_name(PRINCIPAL_STAFF), "staff");
    EXPECT_STREQ(principal_kind_name(PRINCIPAL_KEY), "key");
    EXPECT_STREQ(principal_kind_name(PRINCIPAL_SYSTEM), "system");
    arena_free(ctx.arena);
}
