/*
 * base/crypto.h -- the cryptography that the product uses, each for one stated purpose.
 *
 * AES-256-GCM by OpenSSL; Argon2id, HMAC, BLAKE2b, comparison and wiping by libsodium.  Nothing is
 * negotiated: a format names its version, and a second version will be a second number.
 * Where keys come from, and what is sealed for whom: base/keyring.h.
 * Owns: nothing.  Threads: any.
 */
#pragma once

#include "base/ctx.h"

enum {
    CRYPTO_KEY_BYTES = 32,
    CRYPTO_MAC_BYTES = 32,
    CRYPTO_INDEX_BYTES = 16,
    CRYPTO_SEAL_BYTES = 31, /* what sealing adds: version 1, key id 2, nonce 12, tag 16 */
    CRYPTO_PASSWORD_BYTES_MAX = 1024
};

/* Uniform random bytes.  Wipe it with crypto_wipe() when its frame ends. */
typedef struct CryptoKey {
    uint8_t bytes[CRYPTO_KEY_BYTES];
} CryptoKey;

/* Overwrites, and no compiler may leave that out. */
void crypto_wipe(void *p, size_t n);

/* Equal length and content; the time depends on the length only. */
bool crypto_equal(Str a, Str b);

void crypto_sha256(Str message, uint8_t out[CRYPTO_MAC_BYTES]);

/* HMAC-SHA256 (RFC 2104).  `key` may have any length: partners choose theirs. */
void crypto_hmac(Str key, Str message, uint8_t out[CRYPTO_MAC_BYTES]);

/* BLAKE2b keyed hash, for MACs that only we read: faster, any length from 16 to 64 bytes. */
void crypto_mac(const CryptoKey *key, Str message, uint8_t *out, size_t out_bytes);

/* The value that stands in an index for `canonical` text (a phone in E.164): the first 16 bytes of
 * HMAC-SHA256.  Whoever has no key cannot try out all numbers. */
void crypto_blind_index(const CryptoKey *key, Str canonical, uint8_t out[CRYPTO_INDEX_BYTES]);

/* A key of its own for `label`, from a parent that stays secret even if it leaks: HKDF-Expand of
 * RFC 5869 with SHA-256. */
void crypto_derive(const CryptoKey *parent, Str label, CryptoKey *out);

/*
 * AES-256-GCM with a random nonce: version byte 1 | key id, big endian | nonce | ciphertext | tag.
 * `context` says what the value is and whose; it is authenticated, not stored: opening with another
 * fails.  One key must not seal more than 2^32 values.  The result is CRYPTO_SEAL_BYTES longer than
 * `plain` and lives in the arena.
 */
Str crypto_seal(Arena *arena, const CryptoKey *key, uint16_t key_id, Str context, Str plain);

/* False when the version is unknown, a byte was changed, or key or context are not those it was
 * sealed with; *plain is then untouched. */
MUST_USE bool crypto_open(Arena *arena, const CryptoKey *key, Str context, Str sealed, Str *plain);

/* The key id of a sealed value.  False when this is none. */
MUST_USE bool crypto_key_id(Str sealed, uint16_t *out);

/*
 * Argon2id with 19 MiB and 2 passes (OWASP); about 25 ms: never on the HTTP thread or the writer.
 * The text ("$argon2id$v=19$...") carries salt and parameters.
 * Errors: INVALID "password.too_long" (over CRYPTO_PASSWORD_BYTES_MAX), BUSY "password.no_memory".
 */
MUST_USE Err crypto_hash_password(Ctx *ctx, Str password, Str *encoded);

/* Is it this password?  *stale (may be NULL): right, but hashed with other parameters than today's:
 * hash it again. */
bool crypto_check_password(Str password, Str encoded, bool *stale);
