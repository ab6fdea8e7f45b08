/*
 * request/request_repeat.c -- the first reply again: idempotency keys.
 *
 * A key is stored as 16 bytes of the key and 8 bytes of its scope (who, which operation): the key
 * first, so that UUIDv7 keys, which sort by time, are appended at the end of the index instead of
 * dirtying a random page.  Any other string is hashed to 16 bytes and costs that page.
 */
#include "request/request_internal.h"

#include "base/crypto.h"
#include "base/id.h"
#include "request.sql.h"

enum { SLOTS = 4, HEADER_BYTES_MAX = 255, UUID_TEXT_BYTES = 36, CLEAR_ROWS = 500 };
static const int64_t DAY_MS = INT64_C(86400000);
static const int64_t LATE_MS = INT64_C(600000); /* longer than any request waits for its turn */

typedef Err (*ClearFn)(Tx *tx, int64_t max, int64_t *changed);
typedef Err (*KeepFn)(Tx *tx, int64_t id, Str key, Str fingerprint, int64_t status, Str body,
                      int64_t *changed);

typedef struct Stored {
    Str fingerprint;
    int64_t status;
    Str body;
} Stored;

/* One table per slot, and the same three statements on each. */
#define FIND_IN(n)                                                                                 \
    static Err find_##n(Ctx *ctx, Str key, Stored *out)                                            \
    {                                                                                              \
        Row_request_find_##n row;                                                                  \
        TRY(sql_request_find_##n(ctx, key, &row));                                                 \
        *out = (Stored){row.fingerprint, row.status, row.body};                                    \
        return ERR_OK;                                                                             \
    }
FIND_IN(0)
FIND_IN(1)
FIND_IN(2)
FIND_IN(3)

static const struct {
    Err (*find)(Ctx *ctx, Str key, Stored *out);
    KeepFn keep;
    ClearFn clear;
} SLOT[SLOTS] = {{find_0, sql_request_keep_0, sql_request_clear_0},
                 {find_1, sql_request_keep_1, sql_request_clear_1},
                 {find_2, sql_request_keep_2, sql_request_clear_2},
                 {find_3, sql_request_keep_3, sql_request_clear_3}};

static int slot_of(int64_t day)
{
    return (int)(day % SLOTS);
}

/* ---- reading the header -------------------------------------------------------------------------- */

/* A structured-field string ("..."), or bare. */
static Str unquote(Str header)
{
    const Str s = str_trim(header);
    const bool quoted = s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"';
    return quoted ? str_slice(s, 1, s.len - 1) : s;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The 16 bytes of a UUID in its usual spelling. */
static bool uuid_bytes(Str s, uint8_t out[16])
{
    if (s.len != UUID_TEXT_BYTES)
        return false;
    size_t digits = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (s.ptr[i] != '-')
                return false;
            continue;
        }
        const int v = hex_value(s.ptr[i]);
        if (v < 0)
            return false;
        out[digits / 2] = (uint8_t)(digits % 2 == 0 ? v << 4 : out[digits / 2] | v);
        digits++;
    }
    return true;
}

static void hash_into(Ctx *ctx, Str text, uint8_t *out, size_t bytes)
{
    uint8_t hash[CRYPTO_MAC_BYTES];
    (void)ctx;
    crypto_sha256(text, hash);
    memcpy(out, hash, bytes);
}

static bool visible(Str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < 0x20 || s.ptr[i] > 0x7e)
            return false;
    return s.len > 0 && s.len <= HEADER_BYTES_MAX;
}

Err repeat_read(Ctx *ctx, const Call *call, RepeatKey *out)
{
    *out = (RepeatKey){0};
    if (call->operation->repeat == API_REPEAT_IGNORED)
        return ERR_OK;
    const Str header = http_header(call->exchange, "Idempotency-Key");
    if (header.len == 0 && call->operation->repeat == API_REPEAT_OPTIONAL)
        return ERR_OK;
    if (header.len == 0)
        return fail(ctx, ERR_INVALID, "idempotency.missing", "%s", call->operation->id);
    const Str key = unquote(header);
    if (!visible(key))
        return fail(ctx, ERR_INVALID, "idempotency.malformed", "%zu bytes", key.len);
    if (!uuid_bytes(key, out->key))
        hash_into(ctx, key, out->key, 16);
    const HttpRequest *r = &call->exchange->request;
    const Str scope = arena_printf(ctx->arena, "%d:%" PRId64 ":%s", (int)ctx->who->kind,
                                   ctx->who->id, call->operation->id);
    hash_into(ctx, scope, out->key + 16, REPEAT_KEY_BYTES - 16);
    const Str whole = arena_printf(ctx->arena, "%.*s?%.*s\n%.*s", STR_ARG(r->path),
                                   STR_ARG(r->query), STR_ARG(r->body));
    hash_into(ctx, whole, out->fingerprint, REPEAT_PRINT_BYTES);
    out->present = true;
    return ERR_OK;
}

/* ---- inside the transaction ----------------------------------------------------------------------- */

/* The key as it stands in the table of that day: with the day in its scope, so that what a table still
 * holds of four days ago cannot match. */
typedef struct DayKey {
    uint8_t bytes[REPEAT_KEY_BYTES];
} DayKey;

static DayKey day_key(const RepeatKey *k, int64_t day)
{
    DayKey d;
    memcpy(d.bytes, k->key, sizeof d.bytes);
    for (int i = 0; i < 4; i++)
        d.bytes[REPEAT_KEY_BYTES - 1 - i] ^= (uint8_t)((uint64_t)day >> (8 * i));
    return d;
}

static Str key_str(const DayKey *k)
{
    return (Str){(const char *)k->bytes, sizeof k->bytes};
}

static Str print_str(const RepeatKey *k)
{
    return (Str){(const char *)k->fingerprint, REPEAT_PRINT_BYTES};
}

/* Also in tomorrow's when today ends soon: a request that came before midnight may be run after its own
 * repeat, which came behind it. */
Err repeat_find(Ctx *ctx, const RepeatKey *key, bool *found, int *status, Str *body)
{
    const int64_t today = ctx->now_ms / DAY_MS;
    const bool late = ctx->now_ms % DAY_MS >= DAY_MS - LATE_MS;
    const int64_t days[] = {today, today - 1, today + 1};
    Stored s = {0};
    Err err = ERR_NOT_FOUND;
    for (size_t i = 0; err == ERR_NOT_FOUND && i < (late ? 3 : 2); i++) {
        const DayKey stored = day_key(key, days[i]);
        err = SLOT[slot_of(days[i])].find(ctx, key_str(&stored), &s);
    }
    *found = err == ERR_OK;
    if (err == ERR_NOT_FOUND)
        return ERR_OK;
    TRY(err);
    if (!str_eq(s.fingerprint, print_str(key)))
        return fail(ctx, ERR_UNPROCESSABLE, "idempotency.reused", "another request");
    *status = (int)s.status;
    *body = s.body;
    return ERR_OK;
}

Err repeat_keep(Tx *tx, const RepeatKey *key, int status, Str body)
{
    const int64_t now_ms = tx->ctx->now_ms, today = now_ms / DAY_MS;
    const DayKey stored = day_key(key, today);
    int64_t kept = 0;
    TRY(SLOT[slot_of(today)].keep(tx, id_next(now_ms), key_str(&stored), print_str(key), status,
                                  body, &kept));
    if (kept == 0)
        return fail(tx->ctx, ERR_BUSY, "idempotency.in_flight", "the same key at the same time");
    return ERR_OK;
}

Err request_rotate(Tx *tx, bool *more)
{
    const int64_t today = tx->ctx->now_ms / DAY_MS;
    const bool late = tx->ctx->now_ms % DAY_MS >= DAY_MS - LATE_MS; /* tomorrow may have begun */
    int64_t cleared = 0;
    if (!late)
        TRY(SLOT[slot_of(today + 1)].clear(tx, CLEAR_ROWS, &cleared));
    *more = cleared == CLEAR_ROWS;
    return ERR_OK;
}
