/*
 * request/request_internal.h -- what the files of this layer share.
 */
#pragma once

#include "request/request.h"

enum { REPEAT_KEY_BYTES = 24, REPEAT_PRINT_BYTES = 16, REPLY_BYTES_MAX = 8 << 20 };

/* The idempotency key of one request, hashed and scoped; absent when .present is false. */
typedef struct RepeatKey {
    bool present;
    uint8_t key[REPEAT_KEY_BYTES];
    uint8_t fingerprint[REPEAT_PRINT_BYTES];
} RepeatKey;

/* Reads the header.  Errors: INVALID "idempotency.missing", "idempotency.malformed". */
Err repeat_read(Ctx *ctx, const Call *call, RepeatKey *out);

/* The stored first reply.  *found = false when there is none.  Errors: UNPROCESSABLE
 * "idempotency.reused". */
Err repeat_find(Ctx *ctx, const RepeatKey *key, bool *found, int *status, Str *body);

/* Stores the reply.  Errors: BUSY "idempotency.in_flight" when another process was faster. */
Err repeat_keep(Tx *tx, const RepeatKey *key, int status, Str body);

/* ---- pool ------------------------------------------------------------------------------------- */

typedef struct Pool Pool;

typedef struct PoolTask {
    struct PoolTask *next;
    void (*run)(struct PoolTask *task);
} PoolTask;

Pool *pool_new(int threads, int queued_max);

/* False when too many wait: the caller answers 503. */
MUST_USE bool pool_submit(Pool *pool, PoolTask *task);

/* Runs what is queued, then ends the threads.  NULL is nothing to do. */
void pool_free(Pool *pool);

/* ---- meters ------------------------------------------------------------------------------------ */

enum { METER_BUCKETS = 12 };

/* Of one operation. */
typedef struct Meter {
    _Atomic int64_t refused, failed, sum_us;
    _Atomic int64_t bucket[METER_BUCKETS]; /* not cumulative; together all calls */
} Meter;

void meter_add(Meter *m, int status, int64_t took_us);

/* One family of Prometheus text per call: its samples must not be mixed with another's. */
void meter_print_seconds(Buf *out, const Meter *m, const char *operation);
void meter_print_refused(Buf *out, const Meter *m, const char *operation);
void meter_print_failed(Buf *out, const Meter *m, const char *operation);

/* ---- replies ------------------------------------------------------------------------------------ */

/* ctx->fault as problem+json on the exchange. */
void reply_fault(HttpExchange *x, Ctx *ctx, Err err, const ApiContract *const *contracts);

/* The reply struct as JSON in the arena.  TOO_LARGE "request.reply_size" beyond REPLY_BYTES_MAX. */
Err reply_print(Ctx *ctx, const DtoType *type, const void *reply, Str *out);
