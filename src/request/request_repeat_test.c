/*
 * request/request_repeat_test.c -- idempotency: the first reply again, and the tables that keep it.
 */
#include "request/request_internal.h"
#include "request/request_testkit.h"

#include "base/clock.h"

#define COUNT_REPLIES                                                                              \
    "SELECT (SELECT count(*) FROM reply_0) + (SELECT count(*) FROM reply_1)"                       \
    " + (SELECT count(*) FROM reply_2) + (SELECT count(*) FROM reply_3)"
STATEMENT(reply_count, COUNT_REPLIES, COUNT_REPLIES, NONE, OUT(SQL_I64));

/* ---- idempotency ------------------------------------------------------------------------------------------ */

#define UUID "019aa5f0-0000-7000-8000-0123456789ab"

BOTH_ENGINES(request_repeated_with_its_key_gets_the_first_reply_byte_for_byte)
{
    Desk d;
    desk_open(&d, w);
    static const char *const KEYS[] = {"k1", "\"k1\"", UUID, "\"" UUID "\"",
                                       "019AA5F0-0000-7000-8000-0123456789AB"};
    desk_expect_done(desk_post(&d, "/t/write", KEYS[0], "{\"n\":1}"), 201, "{\"n\":1,\"rows\":1}");
    desk_expect_done(desk_post(&d, "/t/write", KEYS[2], "{\"n\":1}"), 201, "{\"n\":1,\"rows\":2}");
    desk_expect_done(desk_post(&d, "/t/write", NULL, "{\"n\":1}"), 201, "{\"n\":1,\"rows\":3}");
    for (size_t i = 0; i < ARRAY_LEN(KEYS); i++)
        desk_expect_done(desk_post(&d, "/t/write", KEYS[i], "{\"n\":1}"), 201,
                         i < 2 ? "{\"n\":1,\"rows\":1}" : "{\"n\":1,\"rows\":2}");
    EXPECT_I64(desk_rows_of(&d, 1), 3);
    EXPECT_I64(desk_audits(&d, "t_write", 1), 3);
    desk_expect_done(desk_post(&d, "/t/plain", KEYS[0], "{\"n\":2}"), 200, "{\"n\":2,\"rows\":1}");
    desk_expect_done(desk_post(&d, "/t/plain", KEYS[0], "{\"n\":2}"), 200, "{\"n\":2,\"rows\":2}");
    desk_close(&d);
}

BOTH_ENGINES(request_with_the_key_of_another_is_unprocessable)
{
    Desk d;
    desk_open(&d, w);
    EXPECT_I64(client_status(desk_post(&d, "/t/write", "k", "{\"n\":1}")), 201);
    desk_expect_refused(&d, desk_post(&d, "/t/write", "k", "{\"n\":2}"), 422, "idempotency.reused");
    desk_expect_refused(&d, desk_post(&d, "/t/write", "k", "{\"n\":1} "), 422,
                        "idempotency.reused");
    desk_expect_refused(&d, desk_post(&d, "/t/write?x=1", "k", "{\"n\":1}"), 422,
                        "idempotency.reused");
    desk_expect_done(desk_post(&d, "/t/strict", "k", "{\"n\":2}"), 200, "{\"n\":2,\"rows\":1}");
    EXPECT_I64(desk_rows_of(&d, 1), 1);
    desk_close(&d);
}

BOTH_ENGINES(request_that_was_refused_is_judged_anew)
{
    Desk d;
    desk_open(&d, w);
    static const char REFUSED[] = "{\"n\":1,\"mode\":\"refuse\"}";
    desk_expect_refused(&d, desk_post(&d, "/t/write", "k", REFUSED), 409, "t.no");
    desk_expect_refused(&d, desk_post(&d, "/t/write", "k", REFUSED), 409, "t.no");
    CHECK(atomic_load(&desk_runs) >= 2);
    EXPECT_I64(client_status(desk_post(&d, "/t/write", "k", "{\"n\":1}")), 201);
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
        desk_expect_done(desk_post(&d, PATHS[i], "k", body), 200, want);
        desk_expect_refused(&d, desk_post(&d, PATHS[i], "other", body), 409, "t.no");
        desk_expect_done(desk_post(&d, PATHS[i], "k", body), 200, want);
        desk_expect_refused(&d, desk_post(&d, PATHS[i], "k", i == 0 ? "{\"n\":2 }" : "{\"n\":1 }"),
                            422, "idempotency.reused");
    }
    desk_close(&d);
}

static Err rotate_body(Tx *tx, void *arg)
{
    return request_rotate(tx, arg);
}

static void rotate(Desk *d)
{
    d->w->ctx.now_ms = clock_now_ms();
    bool more = true;
    while (more)
        CHECK(database_write(d->w->database, &d->w->ctx, "rotate", rotate_body, &more) == ERR_OK);
}

BOTH_ENGINES(request_key_is_known_for_a_day_also_over_midnight)
{
    Desk d;
    desk_open(&d, w);
    const int64_t midnight = NOW_MS - NOW_MS % DAY_MS + DAY_MS;
    rotate(&d);
    clock_set_ms(midnight - 1);
    desk_expect_done(desk_post(&d, "/t/write", "k", "{\"n\":1}"), 201, "{\"n\":1,\"rows\":1}");
    clock_set_ms(midnight);
    rotate(&d);
    desk_expect_done(desk_post(&d, "/t/write", "k", "{\"n\":1}"), 201, "{\"n\":1,\"rows\":1}");
    clock_set_ms(midnight + DAY_MS - 1);
    rotate(&d);
    desk_expect_done(desk_post(&d, "/t/write", "k", "{\"n\":1}"), 201, "{\"n\":1,\"rows\":1}");
    EXPECT_I64(desk_rows_of(&d, 1), 1);
    clock_set_ms(midnight + DAY_MS);
    rotate(&d);
    desk_expect_done(desk_post(&d, "/t/write", "k", "{\"n\":1}"), 201, "{\"n\":1,\"rows\":2}");
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
