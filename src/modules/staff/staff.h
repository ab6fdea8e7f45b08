/*
 * modules/staff/staff.h -- people who work for the chain, how they sign in, and keys for machines.
 *
 * Owns:     tables staff, staff_session, staff_key, staff_guess; the cache of principals in memory.
 * Promises: passwords, session tokens and keys are stored only as hashes; an unknown login costs as
 *           much time and gets the same answers as a wrong password; after STAFF_FAILURES_MAX wrong
 *           passwords in a row for a login from one address that address is locked out of that login
 *           for a minute, doubling up to an hour with each further one; after STAFF_FAILURES_HOUR in
 *           an hour from everywhere each further one locks all addresses out for a second, but those
 *           where somebody signed in to it within STAFF_KNOWN_MS; a session or key that was ended works no longer once the commit that ended
 *           it was replied to (in other processes on the same database: at most STAFF_CACHE_MS
 *           later); somebody can always sign in as owner; nobody grants more than they have.
 * Depends:  base, db, request.      Threads: any.
 */
#pragma once

#include "db/db.h"
#include "request/principal.h"

enum {
    STAFF_LOGIN_BYTES_MAX = 64,
    STAFF_NAME_BYTES_MAX = 63,
    STAFF_PASSWORD_CHARS_MIN = 10,
    STAFF_PASSWORD_BYTES_MAX = 256,
    STAFF_FAILURES_MAX = 5,
    STAFF_LOCK_MS = 60 * 1000,
    STAFF_LOCK_MS_MAX = 60 * 60 * 1000,
    STAFF_FAILURES_HOUR = 100,
    STAFF_LOCK_ALL_MS = 1000,
    STAFF_GUESS_MS = 2 * 60 * 60 * 1000, /* since the last failure: then the count begins again */
    STAFF_SESSION_MS = 12 * 60 * 60 * 1000,
    STAFF_CACHE_MS = 60 * 1000,
    STAFF_TOKEN_BYTES = 44, /* 43 base64url characters of 256 random bits and a NUL */
    STAFF_KEY_BYTES = 47    /* "td_" before the same */
};

#define STAFF_KNOWN_MS (INT64_C(30) * 24 * 60 * 60 * 1000)

/* ---- roles ----------------------------------------------------------------------------------- */

/* "owner", "marketer", "clerk", "analyst", "brand", "privacy", "integrator", in this order. */
extern const char *const STAFF_ROLES[];
extern const size_t STAFF_ROLE_COUNT;

/* What a role may do.  False when there is no such role. */
MUST_USE bool staff_role_permissions(Str role, PermissionSet *out);

/* ---- accounts -------------------------------------------------------------------------------- */

typedef struct Staff {
    int64_t id;
    Str login; /* a-z 0-9 . _ @ -, unique; capitals are folded */
    Str name;
    Str role;
    const int64_t *stores; /* that are there: see staff_require_stores() */
    size_t store_count;    /* 0 = every shop */
    bool disabled;
    int64_t created_ms;
} Staff;

/*
 * The first half of creating an account or setting a password; 25 ms, so before the transaction.
 * Errors: INVALID "staff.password" (fewer than 10 characters, more than 256 bytes, the login, one of
 * the commonest, of fewer than 4 different characters).
 */
MUST_USE Err staff_password_prepare(Ctx *ctx, Str login, Str password, Str *hash);

/*
 * Stores an account with in->login, name, role and stores.
 * Errors: INVALID "staff.invalid" with the field; DENIED "staff.beyond" (the role may do, or the shops
 * are, more than ctx->who's own); CONFLICT "staff.login_taken".
 */
MUST_USE Err staff_create(Tx *tx, const Staff *in, Str password_hash, int64_t *id);

/* NOT_FOUND "staff.unknown". */
MUST_USE Err staff_find(Ctx *ctx, int64_t id, Staff *out);

/* By login, at most 1,000; of them those that ctx->who could have made: their role and their shops. */
MUST_USE Err staff_list(Ctx *ctx, Staff **out, size_t *count);

/*
 * Each ends the account's sessions.  Who may: the account itself its password, and for the rest only
 * somebody who has all that the account has, before and after.
 * Errors: NOT_FOUND "staff.unknown"; DENIED "staff.beyond"; INVALID "staff.invalid" with the field;
 * CONFLICT "staff.last_owner" (nobody enabled would be owner).
 */
MUST_USE Err staff_set_password(Tx *tx, int64_t id, Str password_hash);
MUST_USE Err staff_set_role(Tx *tx, int64_t id, Str role, const int64_t *stores,
                            size_t store_count);
MUST_USE Err staff_set_disabled(Tx *tx, int64_t id, bool disabled);

/* Whoever takes shops from a request calls this before making or changing an account or a key.
 * NOT_FOUND "store.unknown". */
MUST_USE Err staff_require_stores(Ctx *ctx, const int64_t *stores, size_t store_count);

/*
 * An account holder's own password: prepare (pool, reader) checks the old one and hashes the new one,
 * the second half stores it and ends every session of the account but that of `token`.
 * Errors: DENIED "auth.permission" (a key); LIMITED "request.limited" (5 tries a minute); INVALID
 * "staff.password_old", "staff.password".
 */
typedef struct StaffPasswordChange {
    Str login, checked, hash; /* staff's own */
} StaffPasswordChange;

MUST_USE Err staff_change_password_prepare(Ctx *ctx, Str old, Str password,
                                           StaffPasswordChange *out);
MUST_USE Err staff_change_password(Tx *tx, const StaffPasswordChange *in, Str token);

/* ---- signing in ------------------------------------------------------------------------------ */

/*
 *   prepare (pool, reader)      finds the account, checks the password
 *   apply (Tx)                  opens the session, or counts the failure: that must commit, so apply
 *                               succeeds either way
 *   result                      what the caller is told
 */
typedef struct StaffSignIn {
    int64_t staff;
    char token[STAFF_TOKEN_BYTES]; /* for the cookie, once the result is OK */
    int64_t expires_ms;            /* of the session */
    /* below: staff's own */
    bool right;      /* the password, as prepare saw it */
    bool open;       /* apply opened the session */
    int64_t wait_ms; /* > 0: locked for that long */
    Str login;       /* folded */
    Str address;
    Str password; /* the stored hash that was checked */
    Str rehash;   /* the same password hashed with today's parameters; no pointer = not needed */
} StaffSignIn;

typedef struct StaffCredentials {
    Str login, password;
    Str address; /* where they were typed, as text */
} StaffCredentials;

/* Errors: LIMITED "auth.locked" (the hint says for how long). */
MUST_USE Err staff_sign_in_prepare(Ctx *ctx, const StaffCredentials *given, StaffSignIn *out);

MUST_USE Err staff_sign_in_apply(Tx *tx, StaffSignIn *in);

/* After the commit.  Errors: UNAUTHENTICATED "auth.password", LIMITED "auth.locked". */
MUST_USE Err staff_sign_in_result(Ctx *ctx, const StaffSignIn *in);

/* Ends a session; a token that is none is OK. */
MUST_USE Err staff_sign_out(Tx *tx, Str token);

/* Forgets the sessions that are over and the guesses that count no more, for a job.  *purged = how many
 * sessions. */
MUST_USE Err staff_session_purge(Tx *tx, int64_t *purged);

/* The CSRF token that belongs to a session token: derived, not stored, and of no use to find it. */
Str staff_csrf(Ctx *ctx, Str token);
bool staff_csrf_matches(Ctx *ctx, Str token, Str given);

/* ---- keys for machines ----------------------------------------------------------------------- */

typedef struct StaffKey {
    int64_t id;
    Str name;
    Str role;
    const int64_t *stores;
    size_t store_count; /* 0 = every shop */
    Str hint;           /* the last four characters */
    int64_t created_ms;
    int64_t revoked_ms; /* 0 = in use */
} StaffKey;

/*
 * Makes a key with in->name, role and stores.  `key` is shown once: only its hash is stored.
 * Errors: INVALID "staff.invalid" with the field; DENIED "staff.beyond".
 */
MUST_USE Err staff_key_create(Tx *tx, const StaffKey *in, int64_t *id, char key[STAFF_KEY_BYTES]);

/* Oldest first, at most 1,000; of them those that ctx->who could have made. */
MUST_USE Err staff_key_list(Ctx *ctx, StaffKey **out, size_t *count);

/* Errors: NOT_FOUND "staff.key_unknown" (also when it was revoked before); DENIED "staff.beyond" (its
 * role may do, or its shops are, more than ctx->who's own). */
MUST_USE Err staff_key_revoke(Tx *tx, int64_t id);

/* ---- who asks -------------------------------------------------------------------------------- */

/* The caller behind a session cookie.  UNAUTHENTICATED "auth.session" (none, over, or ended). */
MUST_USE Err staff_principal_by_session(Ctx *ctx, Str token, Principal *out);

/* The caller behind an API key.  UNAUTHENTICATED "auth.key". */
MUST_USE Err staff_principal_by_key(Ctx *ctx, Str key, Principal *out);
