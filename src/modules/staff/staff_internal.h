/*
 * modules/staff/staff_internal.h -- what the files of this room share.
 */
#pragma once

#include "modules/staff/staff.h"

#include "base/crypto.h"

/* What is stored of a session token or key: SHA-256, enough for 256 random bits. */
typedef struct StaffHash {
    uint8_t bytes[CRYPTO_MAC_BYTES];
} StaffHash;

StaffHash staff_hash(Str token);

static inline Str staff_hash_bytes(const StaffHash *hash)
{
    return (Str){(const char *)hash->bytes, sizeof hash->bytes};
}

/* With a-z for A-Z. */
Str staff_fold(Arena *arena, Str s);

/* Which shops, as one text: "" = every shop, else ids separated by commas. */
Str staff_stores_print(Arena *arena, const int64_t *stores, size_t count);

/* INTERNAL "staff.damaged" when the text is none or names too many. */
Err staff_stores_read(Ctx *ctx, Str text, const int64_t **stores, size_t *count);

/* A name of a person or key, a role and shops that may go together.  INVALID "staff.invalid". */
Err staff_check(Ctx *ctx, Str name, Str role, size_t store_count);

/* Whether `who` may all that a role may, in all those shops. */
bool staff_covers(const Principal *who, Str role, const int64_t *stores, size_t store_count);

/* DENIED "staff.beyond" unless ctx->who may all that a role may, in all those shops. */
Err staff_require_covers(Ctx *ctx, Str role, const int64_t *stores, size_t store_count);

/* Wrong passwords for that login count no more. */
Err staff_guesses_forget(Tx *tx, Str login);

/* Every cached principal is looked up again once this transaction has committed. */
void staff_principals_forget(Tx *tx);
