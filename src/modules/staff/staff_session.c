/*
 * modules/staff/staff_session.c -- signing in and out.
 *
 * Whoever tries many passwords at once gets them all past prepare before the first failure is
 * counted; so apply looks again, and once the address is locked out it refuses the right one too.  A
 * login that nobody has goes the same way, so that neither answers nor time tell whether there is one.
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

#define EVERYWHERE STR("") /* the address that stands for all */
#define HOUR_MS    INT64_C(3600000)

enum { TOKEN_RANDOM_BYTES = 32, ADDRESS_BYTES_MAX = 64 };
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
    const Err err = fail(ctx, ERR_LIMITED, "auth.locked", "sign-in");
    ctx->fault.retry_s = (int)((wait_ms + 999) / 1000);
    (void)snprintf(ctx->fault.hint, sizeof ctx->fault.hint,
                   "too many wrong passwords: try again in %d seconds", ctx->fault.retry_s);
    return err;
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

/* ---- guesses -------------------------------------------------------------------------------------- */

/* What is known of the login's wrong passwords: from this address, and from all of them. */
typedef struct Guesses {
    StaffHash login;
    Row_staff_guess_find here, all;
} Guesses;

static Err read_guess(Ctx *ctx, const Guesses *g, Str address, Row_staff_guess_find *out)
{
    const Err err = sql_staff_guess_find(ctx, staff_hash_bytes(&g->login), address, out);
    if (err != ERR_NOT_FOUND)
        return err;
    *out = (Row_staff_guess_find){0};
    return ERR_OK;
}

static Err read_guesses(Ctx *ctx, const StaffSignIn *in, Guesses *out)
{
    out->login = staff_hash(in->login);
    TRY(read_guess(ctx, out, in->address, &out->here));
    return read_guess(ctx, out, EVERYWHERE, &out->all);
}

/* For how long this address is locked out of this login; 0 = it is not. */
static int64_t locked_ms(const Guesses *g, int64_t now_ms)
{
    const bool known = g->here.known_until_ms > now_ms;
    const int64_t until_ms = known || g->here.locked_until_ms > g->all.locked_until_ms
                                 ? g->here.locked_until_ms
                                 : g->all.locked_until_ms;
    return until_ms > now_ms ? until_ms - now_ms : 0;
}

static Err put_guess(Tx *tx, const Guesses *g, Str address, const Row_staff_guess_find *row)
{
    return sql_staff_guess_put(tx,
                               &(In_staff_guess_put){.login = staff_hash_bytes(&g->login),
                                                     .address = address,
                                                     .failures = row->failures,
                                                     .at_ms = row->at_ms,
                                                     .locked_until_ms = row->locked_until_ms,
                                                     .known_until_ms = row->known_until_ms},
                               NULL);
}

/* 5 wrong ones in a row: a minute; 6: two; ...; 11 and more: an hour. */
static int64_t lock_ms(int64_t failures)
{
    int64_t ms = failures < STAFF_FAILURES_MAX ? 0 : STAFF_LOCK_MS;
    for (int64_t i = STAFF_FAILURES_MAX; i < failures && ms < STAFF_LOCK_MS_MAX; i++)
        ms *= 2;
    return ms < STAFF_LOCK_MS_MAX ? ms : STAFF_LOCK_MS_MAX;
}

static Err count_failure(Tx *tx, const StaffSignIn *in, Guesses *g)
{
    const int64_t now_ms = tx->ctx->now_ms;
    Row_staff_guess_find *here = &g->here, *all = &g->all;
    here->failures = here->at_ms <= now_ms - STAFF_GUESS_MS ? 1 : here->failures + 1;
    here->at_ms = now_ms;
    here->locked_until_ms = now_ms + lock_ms(here->failures);
    if (all->at_ms <= now_ms - HOUR_MS)
        *all = (Row_staff_guess_find){.at_ms = now_ms};
    all->failures++;
    all->locked_until_ms = all->failures < STAFF_FAILURES_HOUR ? 0 : now_ms + STAFF_LOCK_ALL_MS;
    TRY(put_guess(tx, g, in->address, here));
    return put_guess(tx, g, EVERYWHERE, all);
}

Err staff_guesses_forget(Tx *tx, Str login)
{
    const StaffHash hash = staff_hash(login);
    return sql_staff_guess_forget(tx, staff_hash_bytes(&hash), NULL);
}

/* ---- in ------------------------------------------------------------------------------------------- */

Err staff_sign_in_prepare(Ctx *ctx, const StaffCredentials *given, StaffSignIn *out)
{
    Row_staff_by_login account = {0};
    Guesses guesses;
    bool found = false, stale = false;
    StaffSignIn in = {.login = staff_fold(ctx->arena, given->login), .address = STR("unknown")};
    if (given->address.len > 0)
        in.address = str_slice(given->address, 0, ADDRESS_BYTES_MAX);
    TRY(read_guesses(ctx, &in, &guesses));
    const int64_t wait_ms = locked_ms(&guesses, ctx->now_ms);
    if (wait_ms > 0)
        return fail_locked(ctx, wait_ms);
    TRY(account_of(ctx, in.login, &account, &found));
    const Str password = found ? account.password : str_of(NOBODY);
    in.right = crypto_check_password(given->password, password, &stale) && found;
    in.staff = account.id;
    in.password = account.password;
    if (in.right && stale)
        TRY(crypto_hash_password(ctx, given->password, &in.rehash));
    CHECK(str_to_c(rand_token(ctx->arena, TOKEN_RANDOM_BYTES), in.token, sizeof in.token));
    in.expires_ms = ctx->now_ms + STAFF_SESSION_MS;
    *out = in;
    return ERR_OK;
}

static Err open_session(Tx *tx, StaffSignIn *in, Guesses *g)
{
    const int64_t now_ms = tx->ctx->now_ms;
    if (in->rehash.ptr != NULL)
        TRY(sql_staff_set_password(tx, in->staff, in->rehash, NULL));
    const StaffHash hash = staff_hash(str_of(in->token));
    TRY(sql_staff_session_insert(tx, id_next(now_ms), staff_hash_bytes(&hash), in->staff, now_ms,
                                 in->expires_ms, NULL));
    g->here = (Row_staff_guess_find){.at_ms = now_ms, .known_until_ms = now_ms + STAFF_KNOWN_MS};
    TRY(put_guess(tx, g, in->address, &g->here));
    in->open = true;
    return ERR_OK;
}

Err staff_sign_in_apply(Tx *tx, StaffSignIn *in)
{
    Ctx *ctx = tx->ctx;
    Row_staff_by_login account = {0};
    Guesses guesses;
    bool found = false;
    in->open = false;
    TRY(read_guesses(ctx, in, &guesses));
    in->wait_ms = locked_ms(&guesses, ctx->now_ms);
    if (in->wait_ms > 0)
        return ERR_OK;
    TRY(account_of(ctx, in->login, &account, &found));
    if (in->right && found && !account.disabled && str_eq(account.password, in->password))
        return open_session(tx, in, &guesses);
    return count_failure(tx, in, &guesses);
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
    const int64_t now_ms = tx->ctx->now_ms;
    TRY(sql_staff_guess_purge(tx, now_ms - STAFF_GUESS_MS, now_ms, NULL));
    return sql_staff_session_purge(tx, now_ms, purged);
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
