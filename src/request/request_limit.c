/*
 * request/request_limit.c -- buckets of tokens behind request/request_limit.h.
 *
 * A bucket is kept as the time at which it will be full again: each token moves that by its share of a
 * minute, and it is empty when that is a whole minute ahead.  So a forgotten bucket, a full one and one
 * that was never used are the same.
 */
#include "request/request_limit.h"

#include "base/clock.h"
#include "base/hash.h"

#include <pthread.h>

enum { WAYS = 8, SETS = REQUEST_LIMITS / WAYS };
#define MINUTE_US INT64_C(60000000)

typedef struct Bucket {
    const char *class; /* NULL = never used */
    PrincipalKind kind;
    int64_t id;
    int64_t full_us; /* when it is full again */
} Bucket;

static pthread_mutex_t buckets_lock = PTHREAD_MUTEX_INITIALIZER;
static Bucket buckets[SETS][WAYS]; /* guarded by: buckets_lock */

static bool is_of(const Bucket *b, const Principal *who, const char *class)
{
    return b->class != NULL && b->kind == who->kind && b->id == who->id &&
           str_eq(str_of(b->class), str_of(class));
}

/* The caller's bucket; a new one takes the place of the set's fullest. */
static Bucket *bucket_of(const Principal *who, const char *class)
{
    const uint64_t h = hash_u64((uint64_t)who->id, hash_bytes(str_of(class), (uint64_t)who->kind));
    Bucket *set = buckets[h % SETS], *fullest = set;
    for (int i = 0; i < WAYS; i++) {
        if (is_of(&set[i], who, class))
            return &set[i];
        if (set[i].full_us < fullest->full_us)
            fullest = &set[i];
    }
    *fullest = (Bucket){.class = class, .kind = who->kind, .id = who->id};
    return fullest;
}

Err request_limit_at(Ctx *ctx, const char *class, int per_minute, int64_t now_us)
{
    const Principal *who = ctx->who;
    ENSURE(ctx, who != NULL && per_minute > 0 && per_minute <= 1000000);
    CHECK(pthread_mutex_lock(&buckets_lock) == 0);
    Bucket *b = bucket_of(who, class);
    const int64_t from_us = b->full_us > now_us ? b->full_us : now_us;
    const int64_t full_us = from_us + MINUTE_US / per_minute;
    const bool granted = full_us <= now_us + MINUTE_US;
    if (granted)
        b->full_us = full_us;
    CHECK(pthread_mutex_unlock(&buckets_lock) == 0);
    if (granted)
        return ERR_OK;
    const Err err = fail(ctx, ERR_LIMITED, "request.limited", "%s", class);
    ctx->fault.retry_s = (int)((full_us - now_us - MINUTE_US + 999999) / 1000000);
    return err;
}

Err request_limit(Ctx *ctx, const char *class, int per_minute)
{
    return request_limit_at(ctx, class, per_minute, clock_mono_us());
}
