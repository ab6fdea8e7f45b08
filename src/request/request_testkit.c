/*
 * request/request_testkit.c -- the contract, the doors and the server of request/request_testkit.h.
 */
#include "request/request_testkit.h"

#include "base/clock.h"
#include "base/id.h"
#include "db/db_migrate.h"
#include "request.sql.h"

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
OPERATION(t_peek, "GET", "/t/peek", NULL, PEEK, IGNORED, 200, .reply = &ANSWER,
          .query = &ASK_QUERY);
OPERATION(t_secret, "GET", "/t/secret", "t.secret", PEEK, IGNORED, 200, .reply = &ANSWER);
OPERATION(t_session, "GET", "/t/session", "session", PEEK, IGNORED, 200, .reply = &ANSWER);
OPERATION(t_work, "POST", "/t/work", NULL, WORK, IGNORED, 200, .reply = &ANSWER, .body = &ASK);
OPERATION(t_slow, "POST", "/t/slow", NULL, WORK, IGNORED, 200, .reply = &ANSWER, .body = &ASK);
OPERATION(t_write, "POST", "/t/write", "t.write", WRITE, OPTIONAL, 201, .reply = &ANSWER,
          .body = &ASK);
OPERATION(t_strict, "POST", "/t/strict", "t.write", WRITE, REQUIRED, 200, .reply = &ANSWER,
          .body = &ASK, .prepare_on_pool = true);
OPERATION(t_inline, "POST", "/t/inline", "t.write", WRITE, OPTIONAL, 200, .reply = &ANSWER,
          .body = &ASK);
OPERATION(t_plain, "POST", "/t/plain", "t.write", WRITE, IGNORED, 200, .reply = &ANSWER,
          .body = &ASK);
OPERATION(t_collect, "POST", "/t/collect", NULL, COLLECT, IGNORED, 200, .reply = &ANSWER,
          .body = &ASK);
OPERATION(t_silent, "POST", "/t/silent", NULL, WRITE, IGNORED, 204, .reply = NULL);

static const ApiOperation *const OPERATIONS[] = {&OP_t_peek, &OP_t_write, NULL};
static const ApiContract CONTRACT = {"t", OPERATIONS, ERRORS};
static const ApiContract *const CONTRACTS[] = {&CONTRACT, NULL};

/* ---- tables ---------------------------------------------------------------------------------------- */

STATEMENT(row_insert, "INSERT INTO t_row(id, n) VALUES (?1, ?2)",
          "INSERT INTO t_row(id, n) VALUES ($1, $2)", IN(SQL_I64, SQL_I64), NONE);
STATEMENT(row_count, "SELECT count(*) FROM t_row WHERE n = ?1",
          "SELECT count(*) FROM t_row WHERE n = $1", IN(SQL_I64), OUT(SQL_I64));
STATEMENT(audit_insert,
          "INSERT INTO t_audit(id, who, action, object, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
          "INSERT INTO t_audit(id, who, action, object, detail) VALUES ($1, $2, $3, $4, $5)",
          IN(SQL_I64, SQL_I64, SQL_TEXT, SQL_I64, SQL_TEXT), NONE);
STATEMENT(
    audit_count,
    "SELECT count(*) FROM t_audit WHERE who = 5 AND action = ?1 AND object = ?2 AND detail = ?3",
    "SELECT count(*) FROM t_audit WHERE who = 5 AND action = $1 AND object = $2 AND detail = $3",
    IN(SQL_TEXT, SQL_I64, SQL_TEXT), OUT(SQL_I64));

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

sem_t desk_go;             /* lets a held handler on */
atomic_int desk_held;      /* handlers that wait for it */
atomic_int desk_runs;      /* of apply */
atomic_int desk_deadlines; /* work handlers whose deadline was as asked */

static void hold(void)
{
    atomic_fetch_add(&desk_held, 1);
    while (sem_wait(&desk_go) != 0)
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
        atomic_fetch_add(&desk_deadlines, 1);
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
    const int run = atomic_fetch_add(&desk_runs, 1);
    if (mode_is(call, "hold"))
        hold();
    const SqlValue args[] = {sql_i64(id_next(ctx->now_ms)), sql_i64(ask->n)};
    TRY(db_exec(tx, &row_insert, args, NULL));
    if (mode_is(call, "cookie, then refuse"))
        request_set_cookie(call, ctx, "t", STR("v"), 60);
    if (mode_is(call, "refuse") || mode_is(call, "cookie, then refuse"))
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

static const Door DOORS[] = {{.operation = &OP_t_peek, .peek = peek},
                             {.operation = &OP_t_secret, .peek = peek},
                             {.operation = &OP_t_session, .peek = peek},
                             {.operation = &OP_t_work, .work = work},
                             {.operation = &OP_t_slow, .work = work, .slow = true},
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

void desk_open(Desk *d, World *w)
{
    *d = (Desk){.w = w, .arena = arena_new(4096), .folder = "/tmp/request_test_XXXXXX"};
    static const SqlSchema *const SCHEMAS[] = {&REQUEST_SCHEMA};
    clock_set_ms(NOW_MS);
    CHECK(sem_init(&desk_go, 0, 0) == 0);
    atomic_store(&desk_held, 0);
    atomic_store(&desk_runs, 0);
    CHECK(schema_install(w->database, &w->ctx, SCHEMAS, 1) == ERR_OK);
    world_script(
        w, "CREATE TABLE t_row(id $INT PRIMARY KEY, n $INT NOT NULL) $STRICT;"
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
                                    .slow_threads = 1,
                                    .pool_queue = 2,
                                    .work_deadline_ms = 5000,
                                    .http = http_options_default()};
    CHECK(request_start(&w->ctx, &options, &d->server) == ERR_OK);
    d->port = http_port(request_http(d->server));
}

void desk_close(Desk *d)
{
    char command[128];
    request_stop(d->server, 5000);
    events_close(d->log);
    (void)snprintf(command, sizeof command, "rm -r %s", d->folder);
    CHECK(system(command) == 0);
    arena_free(d->arena);
}

/* Sends a request and leaves its connection open. */
int desk_ask(const Desk *d, const char *head, const char *headers, const char *body)
{
    const int fd = client_dial(d->port);
    Buf b = BUF_MAX(1 << 16);
    buf_addf(&b, "%s HTTP/1.1\r\nHost: t\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s",
             head, headers, str_of(body).len, body);
    client_say(fd, buf_str(&b));
    buf_free(&b);
    return fd;
}

const char *desk_call(const Desk *d, const char *head, const char *headers, const char *body)
{
    return client_hear_all(d->arena, desk_ask(d, head, headers, body));
}

/* A write by somebody who may, with an Idempotency-Key when `key` is not NULL. */
const char *desk_post(const Desk *d, const char *path, const char *key, const char *body)
{
    char head[64], headers[512] = WRITER;
    (void)snprintf(head, sizeof head, "POST %s", path);
    if (key != NULL)
        (void)snprintf(headers, sizeof headers, WRITER "Idempotency-Key: %s\r\n", key);
    return desk_call(d, head, headers, body);
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

void desk_expect_refused(const Desk *d, const char *reply, int status, const char *code)
{
    EXPECT_I64(client_status(reply), status);
    EXPECT_STREQ(code_of(d, reply), code);
    CHECK(strstr(reply, "application/problem+json") != NULL);
}

void desk_expect_done(const char *reply, int status, const char *body)
{
    EXPECT_I64(client_status(reply), status);
    EXPECT_STREQ(client_body(reply), body);
}

int64_t desk_rows_of(Desk *d, int64_t n)
{
    int64_t rows = -1;
    CHECK(count_rows(&d->w->ctx, n, &rows) == ERR_OK);
    return rows;
}

int64_t desk_audits(Desk *d, const char *action, int64_t object)
{
    const SqlValue args[] = {sql_text(str_of(action)), sql_i64(object), sql_text(STR("detail"))};
    return world_number(d->w, &audit_count, args);
}

void desk_wait_until_held(int n)
{
    const int64_t until_us = clock_mono_us() + 5000000;
    while (atomic_load(&desk_held) < n && clock_mono_us() < until_us)
        (void)usleep(1000);
    EXPECT_I64(atomic_load(&desk_held), n);
}
