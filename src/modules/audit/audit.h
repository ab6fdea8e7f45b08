/*
 * modules/audit/audit.h -- who did what to which thing.
 *
 * Owns:     tables audit, audit_seal.
 * Promises: an audit row is written in the transaction that it speaks of; sealed rows cannot be
 *           changed, removed or added to without audit_verify() naming the first seal that breaks.
 * Depends:  base, db, request.      Threads: any.
 */
#pragma once

#include "db/db.h"
#include "request/principal.h"

/* Appends a row for ctx->who.  `action` is an operation ("coupon.redeem"); `detail` holds no secrets,
 * no phone numbers. */
MUST_USE Err audit_add(Tx *tx, Str action, int64_t object, Str detail);

/*
 * Seals the rows that are not yet sealed, in order, at most `rows_max` of them: appends one audit_seal
 * whose hash is BLAKE2b over the previous seal's hash and the rows.  *sealed = how many (0 = nothing
 * to do).  Run by a job, in batches, never inside a request.
 */
MUST_USE Err audit_seal(Tx *tx, int64_t rows_max, int64_t *sealed);

/* Recomputes the chain.  INTERNAL "audit.broken" with the seal's id in the detail when it does not
 * agree. */
MUST_USE Err audit_verify(Ctx *ctx, int64_t *rows_verified);
