/*
 * request/request_test.c -- what request.h promises, over real sockets.  Idempotency is in
 * request_repeat_test.c, the parts that need no socket are in request_parts_test.c.
 */
#include "request/request_testkit.h"

#include "base/clock.h"

#include <pthread.h>

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
    atomic_store(&desk_deadlines, 0);
    desk_expect_done(desk_call(&d, "GET /t/peek?n=3", "", ""), 200, "{\"n\":3,\"rows\":0}");
    desk_expect_done(desk_post(&d, "/t/write", NULL, "{\"n\":3}"), 201, "{\"n\":3,\"rows\":1}");
    desk_expect_done(desk_call(&d, "GET /t/peek?n=3", "", ""), 200, "{\"n\":3,\"rows\":1}");
    desk_expect_done(desk_post(&d, "/t/work", NULL, "{\"n\":3}"), 200, "{\"n\":3,\"rows\":1}");
    EXPECT_I64(atomic_load(&desk_deadlines), 1);
    desk_expect_done(desk_post(&d, "/t/strict", "k", "{\"n\":4}"), 200, "{\"n\":4,\"rows\":1}");
    desk_expect_done(desk_post(&d, "/t/collect", NULL, "{\"n\":3}"), 200, "{\"n\":3,\"rows\":0}");
    desk_expect_done(desk_post(&d, "/t/collect", NULL, "{\"n\":0}"), 200, "{\"n\":0,\"rows\":0}");
    EXPECT_I64(events_count(d.log), 3);
    desk_expect_done(desk_call(&d, "GET /t/raw", "", ""), 200, "raw");
    desk_close(&d);
}

BOTH_ENGINES(request_without_a_reply_says_nothing)
{
    Desk d;
    desk_open(&d, w);
    const char *reply = desk_post(&d, "/t/silent", NULL, "");
    desk_expect_done(reply, 204, "");
    CHECK(strstr(reply, "\r\nContent-Type:") == NULL);
    EXPECT_I64(desk_rows_of(&d, 999), 1);
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
        desk_expect_refused(&d, desk_call(&d, cases[i].head, cases[i].headers, cases[i].body),
                            cases[i].status, cases[i].code);
    CHECK(strstr(desk_call(&d, "GET /t/secret", "", ""), "WWW-Authenticate: Bearer") != NULL);
    CHECK(strstr(desk_post(&d, "/t/write", NULL, "{\"n\":-1}"), "\"pointer\":\"/n\"") != NULL);
    EXPECT_I64(atomic_load(&desk_runs), 0);
    desk_close(&d);
}

BOTH_ENGINES(request_for_whoever_is_signed_in_asks_for_no_permission)
{
    Desk d;
    desk_open(&d, w);
    EXPECT_I64(client_status(desk_call(&d, "GET /t/session", "Authorization: nobody\r\n", "")),
               200);
    EXPECT_I64(client_status(desk_call(&d, "GET /t/session", WRITER, "")), 200);
    desk_close(&d);
}

BOTH_ENGINES(request_that_fails_says_so_without_the_details_of_the_log)
{
    Desk d;
    desk_open(&d, w);
    const char *busy = desk_post(&d, "/t/work", NULL, "{\"n\":1,\"mode\":\"busy\"}");
    desk_expect_refused(&d, busy, 503, "db.busy");
    CHECK(strstr(busy, "Retry-After: 1") != NULL);
    const char *broken = desk_post(&d, "/t/work", NULL, "{\"n\":1,\"mode\":\"broken\"}");
    desk_expect_refused(&d, broken, 500, "t.broken");
    CHECK(strstr(broken, "secret") == NULL);
    const char *no = desk_post(&d, "/t/write", NULL, "{\"n\":1,\"mode\":\"refuse\"}");
    desk_expect_refused(&d, no, 409, "t.no");
    CHECK(strstr(no, "The rule says no.") != NULL); /* the contract's sentence */
    EXPECT_I64(desk_rows_of(&d, 1), 0);
    desk_expect_refused(&d, desk_post(&d, "/t/collect", NULL, "{\"n\":2,\"mode\":\"refuse\"}"), 409,
                        "t.no");
    EXPECT_I64(events_count(d.log), 0);
    desk_close(&d);
}

/* ---- apply ---------------------------------------------------------------------------------------------------- */

BOTH_ENGINES(request_that_apply_refuses_but_commits_is_refused_and_stays)
{
    Desk d;
    desk_open(&d, w);
    static const char BODY[] = "{\"n\":1,\"mode\":\"refused\"}";
    desk_expect_refused(&d, desk_post(&d, "/t/write", "k", BODY), 403, "t.no");
    EXPECT_I64(desk_rows_of(&d, 1), 1);
    desk_expect_refused(&d, desk_post(&d, "/t/write", "k", BODY), 403, "t.no");
    EXPECT_I64(desk_rows_of(&d, 1), 2); /* not stored under its key */
    desk_close(&d);
}

BOTH_ENGINES(request_that_failed_gives_no_header_of_its_success)
{
    Desk d;
    desk_open(&d, w);
    const char *body = "{\"n\":1,\"mode\":\"cookie, then refuse\"}";
    const char *reply = client_hear_all(d.arena, desk_ask(&d, "POST /t/write", WRITER, body));
    desk_expect_refused(&d, reply, 409, "t.no");
    EXPECT_I64(count_of(reply, "Set-Cookie"), 0);
    desk_close(&d);
}

BOTH_ENGINES(request_whose_group_was_replayed_gives_one_reply_with_its_headers_once)
{
    if (w->postgres)
        return; /* no groups there */
    Desk d;
    desk_open(&d, w);
    const int first = desk_ask(&d, "POST /t/write", WRITER, "{\"n\":1,\"mode\":\"hold\"}");
    desk_wait_until_held(1);
    const int good = desk_ask(&d, "POST /t/write", WRITER, "{\"n\":2,\"mode\":\"cookie\"}");
    const int64_t until_us = clock_mono_us() + 5000000;
    DatabaseStats stats = {0};
    while (stats.queue_depth < 2 && clock_mono_us() < until_us)
        database_stats(w->database, &stats);
    const int bad = desk_ask(&d, "POST /t/write", WRITER, "{\"n\":3,\"mode\":\"refuse\"}");
    while (stats.queue_depth < 3 && clock_mono_us() < until_us)
        database_stats(w->database, &stats);
    EXPECT_I64(stats.queue_depth, 3);
    CHECK(sem_post(&desk_go) == 0);
    EXPECT_I64(client_status(client_hear_all(d.arena, first)), 201);
    const char *reply = client_hear_all(d.arena, good);
    desk_expect_refused(&d, client_hear_all(d.arena, bad), 409, "t.no");
    database_stats(w->database, &stats);
    EXPECT_I64(stats.replays, 1);
    EXPECT_I64(atomic_load(&desk_runs), 5);
    desk_expect_done(reply, 201,
                     "{\"n\":2,\"rows\":1}"); /* not the 202 of the run that was undone */
    EXPECT_I64(count_of(reply, "Set-Cookie"), 1);
    CHECK(strstr(reply, "Set-Cookie: t=v; Path=/; Max-Age=60; HttpOnly; SameSite=Strict\r\n") !=
          NULL);
    EXPECT_I64(desk_rows_of(&d, 2), 1);
    EXPECT_I64(desk_audits(&d, "t_write", 2), 1);
    EXPECT_I64(desk_rows_of(&d, 3), 0);
    desk_close(&d);
}

/* ---- pool and stop ------------------------------------------------------------------------------------------------ */

BOTH_ENGINES(request_that_finds_the_pool_full_is_told_to_come_back)
{
    Desk d;
    desk_open(&d, w);
    static const char HOLD[] = "{\"n\":1,\"mode\":\"hold\"}";
    int fds[3];
    fds[0] = desk_ask(&d, "POST /t/work", "", HOLD);
    desk_wait_until_held(1);
    HttpStats stats = {0};
    const int64_t until_us = clock_mono_us() + 5000000;
    for (int i = 1; i < 3; i++) {
        fds[i] = desk_ask(&d, "POST /t/work", "", HOLD);
        while (stats.suspended < i + 1 && clock_mono_us() < until_us)
            http_stats(request_http(d.server), &stats);
    }
    const char *full = desk_call(&d, "POST /t/work", "", HOLD);
    desk_expect_refused(&d, full, 503, "request.busy");
    CHECK(strstr(full, "Retry-After: 1") != NULL);
    desk_expect_refused(&d, desk_post(&d, "/t/strict", "k", "{\"n\":1}"), 503, "request.busy");
    desk_expect_done(desk_call(&d, "GET /t/peek?n=3", "", ""), 200, "{\"n\":3,\"rows\":0}");
    for (int i = 0; i < 3; i++)
        CHECK(sem_post(&desk_go) == 0);
    for (int i = 0; i < 3; i++)
        EXPECT_I64(client_status(client_hear_all(d.arena, fds[i])), 200);
    desk_expect_done(desk_post(&d, "/t/strict", "k", "{\"n\":1}"), 200, "{\"n\":1,\"rows\":1}");
    desk_close(&d);
}

BOTH_ENGINES(request_of_a_slow_door_keeps_nobody_waiting_but_its_like)
{
    Desk d;
    desk_open(&d, w);
    int fds[2];
    for (int i = 0; i < 2; i++)
        fds[i] = desk_ask(&d, "POST /t/slow", "", "{\"n\":1,\"mode\":\"hold\"}");
    desk_wait_until_held(1);
    desk_expect_done(desk_call(&d, "POST /t/work", "", "{\"n\":3}"), 200, "{\"n\":3,\"rows\":0}");
    EXPECT_I64(atomic_load(&desk_held), 1);
    for (int i = 0; i < 2; i++)
        CHECK(sem_post(&desk_go) == 0);
    for (int i = 0; i < 2; i++)
        EXPECT_I64(client_status(client_hear_all(d.arena, fds[i])), 200);
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
    /* What a stop gave up on is kept for ever: says so to the leak finder. */
    static HttpServer *volatile kept[2] UNUSED;
    Desk d;
    pthread_t helper;
    desk_open(&d, w);
    kept[w->postgres] = request_http(d.server);
    const int fd = desk_ask(&d, "POST /t/write", WRITER, "{\"n\":1,\"mode\":\"hold\"}");
    desk_wait_until_held(1);
    CHECK(pthread_create(&helper, NULL, let_go, &desk_go) == 0);
    request_stop(d.server, 1);
    CHECK(pthread_join(helper, NULL) == 0);
    d.server = NULL;
    EXPECT_I64(desk_rows_of(&d, 1), 1);
    (void)close(fd);
    desk_close(&d);
}

BOTH_ENGINES(request_stop_answers_what_is_in_flight)
{
    Desk d;
    pthread_t helper;
    desk_open(&d, w);
    const int fd = desk_ask(&d, "POST /t/work", "", "{\"n\":1,\"mode\":\"hold\"}");
    desk_wait_until_held(1);
    CHECK(pthread_create(&helper, NULL, let_go, &desk_go) == 0);
    request_stop(d.server, 5000);
    CHECK(pthread_join(helper, NULL) == 0);
    d.server = NULL;
    desk_expect_done(client_hear_all(d.arena, fd), 200, "{\"n\":1,\"rows\":0}");
    desk_close(&d);
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
    if (end == NULL || end[1] != ' ' ||
        sscanf(line + name, "{operation=\"%31[a-z_]\"", s->operation) != 1)
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
    (void)desk_call(&d, "GET /t/peek?n=1", "", "");
    (void)desk_call(&d, "GET /t/peek?n=1", "", "");
    (void)desk_call(&d, "GET /t/peek", "", "");
    (void)desk_call(&d, "GET /t/secret", "", "");
    (void)desk_post(&d, "/t/work", NULL, "{\"n\":1,\"mode\":\"broken\"}");
    (void)desk_post(&d, "/t/write", NULL, "{\"n\":1}");
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
