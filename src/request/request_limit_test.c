/*
 * request/request_limit_test.c -- what request_limit.h promises.
 */
#include "request/request_limit.h"

#include "base/clock.h"
#include "base/test.h"

#include <pthread.h>

#define SECOND_US INT64_C(1000000)

/* How many of `asked` questions at that time are granted. */
static int64_t granted(PrincipalKind kind, int64_t id, const char *class, int per_minute, int asked,
                       int64_t now_us)
{
    Arena *arena = arena_new(4096);
    const Principal who = {.kind = kind, .id = id};
    Ctx ctx = {.arena = arena, .who = &who};
    int64_t n = 0;
    for (int i = 0; i < asked; i++) {
        const Err err = request_limit_at(&ctx, class, per_minute, now_us);
        n += err == ERR_OK;
        if (err != ERR_OK) {
            EXPECT_I64(err, ERR_LIMITED);
            EXPECT_STREQ(ctx.fault.reason, "request.limited");
            CHECK(ctx.fault.retry_s >= 1 &&
                  ctx.fault.retry_s <= (60 + per_minute - 1) / per_minute);
        }
    }
    arena_free(arena);
    return n;
}

TEST(limit_grants_a_minutes_worth_at_once_and_then_one_per_share_of_a_minute)
{
    const int64_t at = clock_mono_us();
    EXPECT_I64(granted(PRINCIPAL_STAFF, 1, "t.burst", 30, 40, at), 30);
    EXPECT_I64(granted(PRINCIPAL_STAFF, 1, "t.burst", 30, 5, at + 2 * SECOND_US - 1), 0);
    EXPECT_I64(granted(PRINCIPAL_STAFF, 1, "t.burst", 30, 5, at + 2 * SECOND_US), 1);
    EXPECT_I64(granted(PRINCIPAL_STAFF, 1, "t.burst", 30, 50, at + 22 * SECOND_US), 10);
    EXPECT_I64(granted(PRINCIPAL_STAFF, 1, "t.burst", 30, 50, at + 9000 * SECOND_US), 30);
}

TEST(limit_is_each_callers_own_and_each_classs_own)
{
    const int64_t at = clock_mono_us();
    char same[] = "t.own"; /* a class is its text */
    EXPECT_I64(granted(PRINCIPAL_STAFF, 1, "t.own", 2, 3, at), 2);
    EXPECT_I64(granted(PRINCIPAL_STAFF, 1, same, 2, 3, at), 0);
    EXPECT_I64(granted(PRINCIPAL_STAFF, 2, "t.own", 2, 3, at), 2);
    EXPECT_I64(granted(PRINCIPAL_KEY, 1, "t.own", 2, 3, at), 2);
    EXPECT_I64(granted(PRINCIPAL_STAFF, 1, "t.other", 2, 3, at), 2);
}

TEST(limit_table_that_is_full_forgets_those_who_asked_least)
{
    const int64_t at = clock_mono_us();
    EXPECT_I64(granted(PRINCIPAL_KEY, 7, "t.full", 10, 20, at), 10);
    for (int64_t id = 100; id < 100 + 3 * REQUEST_LIMITS; id++)
        EXPECT_I64(granted(PRINCIPAL_KEY, id, "t.full", 10, 1, at), 1);
    EXPECT_I64(granted(PRINCIPAL_KEY, 7, "t.full", 10, 20, at), 0);
}

typedef struct Asker {
    pthread_t thread;
    int64_t at, granted;
} Asker;

static void *ask(void *arg)
{
    Asker *a = arg;
    a->granted = granted(PRINCIPAL_STAFF, 3, "t.threads", 500, 400, a->at);
    return NULL;
}

TEST(limit_counts_every_thread_of_a_caller_together)
{
    Asker askers[4];
    const int64_t at = clock_mono_us();
    int64_t sum = 0;
    for (int i = 0; i < 4; i++) {
        askers[i] = (Asker){.at = at};
        CHECK(pthread_create(&askers[i].thread, NULL, ask, &askers[i]) == 0);
    }
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_join(askers[i].thread, NULL) == 0);
        sum += askers[i].granted;
    }
    EXPECT_I64(sum, 500);
}
