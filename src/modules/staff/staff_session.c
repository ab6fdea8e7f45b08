/*
 * modules/staff/staff_session.c -- signing in and out.
 *
 * Whoever tries many passwords at once gets them all past prepare before the first failure is
 * counted; so apply looks again, and once the account is locked it refuses the right one too.
 */
#include "modules/staff/staff_internal.h"

#include "base/hash.h"
#include "base/id.h"
#include "base/rand.h"
#include "staff.sql.h"

#include <stdio.h>

/* A hash of nothing, as costly to check as a real one: what an unknown login is checked against. */
static const char NOBODY[] = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdCBvZiBhIG5vYm9keQ"
                             "$UhLACqtlxEB/bI2nVI0S6Hm9Fu3xwRxMZGD6XYHcW/Y";

enum { TOKEN_RANDOM_BYTES = 32 };
_Static_assert(STAFF_TOKEN_BYTES == (TOKEN_RANDOM_BYTES * 8 + 5) / 6 + 1, "base64url and a NUL");

StaffHash staff_hash(Str token)
{
    StaffHash hash;
    crypto_sha256(token, hash.bytes);
    return hash;
}

static Err fail_password(Ctx *ctx)
{
    return fail(ctx, ERR_UNAUTHENTICATED, "auth.password", "sign-in");
}

static Err fail_locked(Ctx *ctx, int64_t wait_ms)
{
    (void)!fail(ctx, ERR_LIMITED, "auth.locked", "sign-in");
    (void)snprintf(ctx->fault.hint, sizeof ctx->fault.hint,
                   "too many wrong passwords: try again in %" PRId64 " seconds",
                   (wait_ms + 999) / 1000);
    return ERR_LIMITED;
}

/* *found = false when nobody has that login, in any case of letters. */
static Err account_of(Ctx *ctx, Str login, Row_staff_by_login *out, bool *found)
{
    const Err err = sql_staff_by_login(ctx, login, out);
    if (err != ERR_NOT_FOUND)
        TRY(err);
    *found = err == ERR_OK;
    return ERR_OK;
}

Err staff_sign_in_prepare(Ctx *ctx, Str login, Str password, StaffSignIn *out)
{
    Row_staff_by_login account = {0};
    bool found = false, stale = false;
    StaffSignIn in = {.login = staff_fold(ctx->arena, login)};
    TRY(account_of(ctx, in.login, &account, &found));
    if (found && !account.disabled && account.locked_until_ms > ctx->now_ms)
        return fail_locked(ctx, account.locked_until_ms - ctx->now_ms);
    const bool right =
        crypto_check_password(password, found ? account.password : str_of(NOBODY), &stale);
    if (!found || account.disabled)
        return fail_password(ctx);
    in.staff = account.id;
    in.right = right;
    in.password = account.password;
    if (stale)
        TRY(crypto_hash_password(ctx, password, &in.rehash));
    CHECK(str_to_c(rand_token(ctx->arena, TOKEN_RANDOM_BYTES), in.token, sizeof in.token));
    in.expires_ms = ctx->now_ms + STAFF_SESSION_MS;
    *out = in;
    return ERR_OK;
}

/* 5 wrong ones in a row: a minute; 6: two; ...; 11 and more: an hour. */
static int64_t lock_ms(int64_t failures)
{
    int64_t ms = failures < STAFF_FAILURES_MAX ? 0 : STAFF_LOCK_MS;
    for (int64_t i = STAFF_FAILURES_MAX; i < failures && ms < STAFF_LOCK_MS_MAX; i++)
        ms *= 2;
    return ms < STAFF_LOCK_MS_MAX ? ms : STAFF_LOCK_MS_MAX;
}

static Err open_session(Tx *tx, StaffSignIn *in)
{
    const Str keep = in->rehash.ptr == NULL ? in->password : in->rehash;
    TRY(sql_staff_set_password(tx, in->staff, keep, NULL)); /* and forgets the failures */
    const StaffHash hash = staff_hash(str_of(in->token));
    TRY(sql_staff_session_insert(tx, id_next(tx->ctx->now_ms), staff_hash_bytes(&hash), in->staff,
                                 tx->ctx->now_ms, in->expires_ms, NULL));
    in->open = true;
    return ERR_OK;
}

Err staff_sign_in_apply(Tx *tx, StaffSignIn *in)
{
    const int64_t now_ms = tx->ctx->now_ms;
    in->open = false;
    in->wait_ms = 0;
    Row_staff_by_login account;
    TRY(sql_staff_by_login(tx->ctx, in->login, &account));
    if (account.disabled)
        return ERR_OK;
    if (account.locked_until_ms > now_ms) {
        in->wait_ms = account.locked_until_ms - now_ms;
        return ERR_OK;
    }
    if (in->right && str_eq(account.password, in->password))
        return open_session(tx, in);
    const int64_t failures = account.failures + 1;
    return sql_staff_set_failures(tx, in->staff, failures, now_ms + lock_ms(failures), NULL);
}

Err staff_sign_in_result(Ctx *ctx, const StaffSignIn *in)
{
    if (in->open)
        return ERR_OK;
    return in->wait_ms > 0 ? fail_locked(ctx, in->wait_ms) : fail_password(ctx);
}

Err staff_sign_out(Tx *tx, Str token)
{
    const StaffHash hash = staff_hash(token);
    staff_principals_forget(tx);
    return sql_staff_session_delete(tx, staff_hash_bytes(&hash), NULL);
}

Err staff_session_purge(Tx *tx, int64_t *purged)
{
    return sql_staff_session_purge(tx, tx->ctx->now_ms, purged);
}

Str staff_csrf(Ctx *ctx, Str token)
{
    uint8_t mac[CRYPTO_MAC_BYTES];
    crypto_hmac(token, STR("staff.csrf"), mac);
    return base64url_encode(ctx->arena, (Str){(const char *)mac, sizeof mac});
}

bool staff_csrf_matches(Ctx *ctx, Str token, Str given)
{
    return crypto_equal(staff_csrf(ctx, token), given);
}
