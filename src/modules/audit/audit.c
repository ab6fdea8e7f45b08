/*
 * modules/audit/audit.c -- rows now, seals later.
 *
 * Ids sort by time, but on PostgreSQL transactions do not commit in that order, so a seal stops short
 * of rows younger than SEAL_AGE_MS: what is older has committed or never will.
 */
#include "modules/audit/audit.h"

#include "audit.sql.h"
#include "base/id.h"

#include <sodium.h>

enum { SEAL_HASH_BYTES = 32, SEAL_AGE_MS = 60000 };
#define BEFORE_ALL INT64_MIN /* also before numbers that we never give */

Err audit_add(Tx *tx, Str action, int64_t object, Str detail)
{
    const Principal *who = tx->ctx->who;
    CHECK(who != NULL);
    return sql_audit_insert(tx,
                            &(In_audit_insert){.id = id_next(tx->ctx->now_ms),
                                               .at_ms = tx->ctx->now_ms,
                                               .who = who->id,
                                               .who_kind = str_of(principal_kind_name(who->kind)),
                                               .action = action,
                                               .object = object,
                                               .detail = detail},
                            NULL);
}

/* The chain's running hash over one range of rows. */
typedef struct Sealing {
    crypto_generichash_state state;
    int64_t before_ms; /* younger rows stop the range */
    int64_t first, last, count;
} Sealing;

static void hash_i64(Sealing *s, int64_t v)
{
    unsigned char b[8];
    for (int i = 0; i < 8; i++)
        b[i] = (unsigned char)((uint64_t)v >> (8 * i));
    (void)crypto_generichash_update(&s->state, b, sizeof b);
}

static void hash_text(Sealing *s, Str t)
{
    hash_i64(s, (int64_t)t.len);
    (void)crypto_generichash_update(&s->state, (const unsigned char *)t.ptr, t.len);
}

static Err hash_row(Ctx *ctx, const Row_audit_range *row, void *arg)
{
    (void)ctx;
    Sealing *s = arg;
    if (s->before_ms != 0 && row->at_ms >= s->before_ms)
        s->before_ms = INT64_MIN; /* and with it everything behind */
    if (s->before_ms == INT64_MIN)
        return ERR_OK;
    hash_i64(s, row->id);
    hash_i64(s, row->at_ms);
    hash_i64(s, row->who);
    hash_text(s, row->who_kind);
    hash_text(s, row->action);
    hash_i64(s, row->object);
    hash_text(s, row->detail);
    s->first = s->count == 0 ? row->id : s->first;
    s->last = row->id;
    s->count++;
    return ERR_OK;
}

static void seal_begin(Sealing *s, Str previous)
{
    CHECK(crypto_generichash_init(&s->state, NULL, 0, SEAL_HASH_BYTES) == 0);
    hash_text(s, previous);
}

static void seal_end(Sealing *s, unsigned char hash[SEAL_HASH_BYTES])
{
    CHECK(crypto_generichash_final(&s->state, hash, SEAL_HASH_BYTES) == 0);
}

Err audit_seal(Tx *tx, int64_t rows_max, int64_t *sealed)
{
    Ctx *ctx = tx->ctx;
    Row_audit_seal_last *last = NULL;
    size_t found = 0;
    TRY(sql_audit_seal_last(ctx, &last, &found));
    const Str previous = found == 0 ? STR("") : last[0].hash;
    Sealing s = {.before_ms = ctx->now_ms - SEAL_AGE_MS};
    seal_begin(&s, previous);
    TRY(sql_audit_range(ctx, found == 0 ? BEFORE_ALL : last[0].last_audit, INT64_MAX, rows_max,
                        hash_row, &s));
    *sealed = s.count;
    if (s.count == 0)
        return ERR_OK;
    unsigned char hash[SEAL_HASH_BYTES];
    seal_end(&s, hash);
    return sql_audit_seal_insert(tx,
                                 &(In_audit_seal_insert){.id = found == 0 ? 1 : last[0].id + 1,
                                                         .first_audit = s.first,
                                                         .last_audit = s.last,
                                                         .rows_sealed = s.count,
                                                         .hash = {(const char *)hash, sizeof hash},
                                                         .at_ms = ctx->now_ms},
                                 NULL);
}

typedef struct Verifying {
    int64_t expect_id;
    int64_t after;
    int64_t rows;
    char previous[SEAL_HASH_BYTES];
    size_t previous_len;
} Verifying;

static Err verify_seal(Ctx *ctx, const Row_audit_seal_each *seal, void *arg)
{
    Verifying *v = arg;
    Sealing s = {0};
    seal_begin(&s, (Str){v->previous, v->previous_len});
    TRY(sql_audit_range(ctx, v->after, seal->last_audit, INT64_MAX, hash_row, &s));
    unsigned char hash[SEAL_HASH_BYTES];
    seal_end(&s, hash);
    if (seal->id != v->expect_id || s.count != seal->rows_sealed || s.first != seal->first_audit ||
        !str_eq(seal->hash, (Str){(const char *)hash, sizeof hash}))
        return fail(ctx, ERR_INTERNAL, "audit.broken", "seal %" PRId64, seal->id);
    memcpy(v->previous, hash, sizeof hash);
    v->previous_len = sizeof hash;
    v->after = seal->last_audit;
    v->expect_id++;
    v->rows += s.count;
    return ERR_OK;
}

Err audit_verify(Ctx *ctx, int64_t *rows_verified)
{
    Verifying v = {.expect_id = 1, .after = BEFORE_ALL};
    TRY(sql_audit_seal_each(ctx, verify_seal, &v));
    *rows_verified = v.rows;
    return ERR_OK;
}
