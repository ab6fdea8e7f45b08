/*
 * request/request_parts_test.c -- the parts behind request.h that need no socket: the pool, cursors, meters,
 * principals.
 */
#include "request/request_internal.h"

#include "base/hash.h"
#include "base/rand.h"
#include "base/test.h"

#include <semaphore.h>

/* ---- pool ---- */

static sem_t go, begun;

typedef struct Job {
    PoolTask task;
    int *order;
    int number;
} Job;

static void note(PoolTask *task)
{
    const Job *j = CONTAINER_OF(task, Job, task);
    if (j->number == 0) {
        CHECK(sem_post(&begun) == 0);
        CHECK(sem_wait(&go) == 0);
    }
    j->order[0]++;
    j->order[j->order[0]] = j->number;
}

TEST(pool_runs_in_order_refuses_the_surplus_and_finishes_before_it_ends)
{
    int order[8] = {0};
    Job jobs[5];
    CHECK(sem_init(&go, 0, 0) == 0 && sem_init(&begun, 0, 0) == 0);
    Pool *p = pool_new(1, 3);
    for (int i = 0; i < 5; i++) {
        jobs[i] = (Job){.task.run = note, .order = order, .number = i};
        EXPECT_I64(pool_submit(p, &jobs[i].task), i < 4);
        if (i == 0)
            CHECK(sem_wait(&begun) == 0);
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
    const Str plain[] = {
        STR(""),    STR("1"),     STR("."),    STR("1."),    STR(".1"),
        STR("a.b"), STR("1.2.3"), STR("1 .2"), STR("1.2\n"), STR("9223372036854775808.1")};
    int64_t a = 7, b = 8;
    for (size_t i = 0; i < ARRAY_LEN(plain) + 2; i++) {
        const Str cursor = i < ARRAY_LEN(plain)    ? base64url_encode(ctx.arena, plain[i])
                           : i == ARRAY_LEN(plain) ? STR("!!!!")
                                                   : STR("MS4y=");
        EXPECT_I64(request_cursor_read(&ctx, cursor, &a, &b), ERR_INVALID);
        EXPECT_STREQ(ctx.fault.reason, "request.cursor");
        EXPECT_STREQ(ctx.fault.pointer, "?cursor");
    }
    EXPECT_I64(a + b, 15);
    arena_free(ctx.arena);
}

/* ---- meters ---- */

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
