/*
 * base/err.h -- the one error convention: a function that can fail returns Err and fills ctx->fault.
 *
 * Results go to out-parameters, untouched on failure.  Every code, its HTTP status and its name live
 * in ERR_MAP and nowhere else.  Owns: nothing.
 */
#pragma once

#include "base/str.h"

#define ERR_MAP(X)                                                                                 \
    X(OK, 200, "ok")                                                                               \
    X(INVALID, 400, "invalid") /* malformed or out of range: change it and try again */            \
    X(UNAUTHENTICATED, 401, "unauthenticated") /* nobody we know: sign in or send a key */         \
    X(DENIED, 403, "denied")                   /* known caller, not allowed */                     \
    X(NOT_FOUND, 404, "not_found")         /* no such thing, or none that this caller may see */   \
    X(CONFLICT, 409, "conflict")           /* a rule says no: the same call will keep failing */   \
    X(TOO_LARGE, 413, "too_large")         /* over a stated limit */                               \
    X(UNPROCESSABLE, 422, "unprocessable") /* understood, but contradicts an earlier request */    \
    X(LIMITED, 429, "limited")             /* too many in too short a time */                      \
    X(INTERNAL, 500, "internal")           /* our bug or a broken disk: logged with a trace id */  \
    X(BUSY, 503, "busy")                   /* try again later: lock, queue, upstream, full disk */

typedef enum Err {
#define X(code, http, name) ERR_##code,
    ERR_MAP(X)
#undef X
        ERR_COUNT
} Err;

/* What went wrong, for clients and for the log.  Lives in Ctx; meaningless while calls succeed. */
typedef struct Fault {
    Err code;
    const char *reason; /* stable and machine-readable, e.g. "coupon.sold_out"; a string literal */
    char pointer[96];   /* JSON pointer of the offending field, "" when there is none */
    char hint[200]; /* for the client: what to do; "" = the sentence of `reason` in the contract */
    char detail[160]; /* for the log only: may name ids, never phone numbers or tokens */
    int retry_s;      /* LIMITED, BUSY: when to try again; 0 = soon */
} Fault;

typedef struct Ctx Ctx;

/* Records the fault and returns `code`, so that callers write `return fail(ctx, ...)`.  The text is
 * the log's detail, never shown to a client. */
MUST_USE Err fail(Ctx *ctx, Err code, const char *reason, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* A value that the client sent is wrong: `pointer` names the field (RFC 6901), the text tells the
 * client what to send instead.  Returns ERR_INVALID. */
MUST_USE Err fail_field(Ctx *ctx, const char *pointer, const char *reason, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

const char *err_name(Err code);
int err_http_status(Err code);

/* The only macro that returns from its caller.  Safe because arenas and transactions clean up. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        const Err try_err_ = (call);                                                               \
        if (__builtin_expect(try_err_ != ERR_OK, 0))                                               \
            return try_err_;                                                                       \
    } while (0)

/* ENSURE: "cannot happen", yet the process must survive it.  Debug: abort.  Release: log and fail. */
#ifdef NDEBUG
#define ENSURE(ctx, cond)                                                                          \
    do {                                                                                           \
        if (!(cond))                                                                               \
            return fail((ctx), ERR_INTERNAL, "internal.ensure", "%s:%d %s", __FILE__, __LINE__,    \
                        #cond);                                                                    \
    } while (0)
#else
#define ENSURE(ctx, cond) CHECK(cond)
#endif
