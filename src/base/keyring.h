/*
 * base/keyring.h -- the master keys, and the values sealed under them.
 *
 * The key file lies outside the data folder and its backups and is readable by its owner only.  Text,
 * one key a line, `id base64`, `#` begins a comment:
 *     0        the root: purpose keys are derived from it by label, once, when it is loaded.  It
 *              stays for ever, because the indexes made with them (phone, last four) could not be
 *              found again without it.
 *     1..65535 master keys.  The highest seals; all open.  keyring_rotate() adds one.
 * A person has a data key of their own, sealed ("wrapped") under the master key and kept beside their
 * record; their values are sealed under it.  To rotate, only data keys are wrapped again
 * (secret_rewrap); to forget somebody, the wrapped key is deleted.
 *
 * Owns: the key bytes, in memory that is locked and guarded, wiped by keyring_free().
 * Threads: any after keyring_load().
 * Errors of all sealed values: INTERNAL "secret.unreadable" (changed, or of another owner or field),
 * INTERNAL "secret.key_missing" (its master key is not in the file).
 */
#pragma once

#include "base/crypto.h"

typedef struct Keyring Keyring;

/* What keys are derived from the root for. */
typedef enum KeyUse {
    KEY_PHONE_INDEX,
    KEY_LAST_FOUR,
    KEY_NAME_INDEX,
    KEY_COUPON_CODE,
    KEY_BACKUP, /* tells the right key file from a wrong one */
    KEY_ERASED, /* who was erased, in the ledger that outlives them */
    KEY_USES
} KeyUse;

/* Makes the file with the root and master key 1.  Errors: CONFLICT "keyring.exists", disk.*. */
MUST_USE Err keyring_create(Ctx *ctx, Str path);

/* Errors: DENIED "keyring.mode" (others than the owner may read it), INVALID "keyring.malformed" (the
 * detail names the line), NOT_FOUND "file.missing", disk.*.  Free it with keyring_free(). */
MUST_USE Err keyring_load(Ctx *ctx, Str path, Keyring **out);
void keyring_free(Keyring *keys); /* NULL is nothing to do */

/* Adds a new highest master key to the file; loaded keyrings do not change.
 * Errors: as keyring_load(), and CONFLICT "keyring.full". */
MUST_USE Err keyring_rotate(Ctx *ctx, Str path);

/* The id that seals now. */
uint16_t keyring_newest(const Keyring *keys);

/* The key for one purpose; lives as long as the keyring. */
const CryptoKey *keyring_key(const Keyring *keys, KeyUse use);

/* Values that belong to no person (credentials of a provider), directly under the master key. */
Str keyring_seal(Arena *arena, const Keyring *keys, Str label, Str plain);
MUST_USE Err keyring_open(Ctx *ctx, const Keyring *keys, Str label, Str sealed, Str *plain);

/* A wrapped data key and whose it is (the id of the record that it lies beside). */
typedef struct DataKey {
    int64_t owner;
    Str wrapped;
} DataKey;

DataKey secret_new_key(Arena *arena, const Keyring *keys, int64_t owner);

/* `label` names the field, e.g. "person.phone": a value opens only as what it was sealed. */
MUST_USE Err secret_seal(Ctx *ctx, const Keyring *keys, DataKey key, Str label, Str plain,
                         Str *sealed);
MUST_USE Err secret_open(Ctx *ctx, const Keyring *keys, DataKey key, Str label, Str sealed,
                         Str *plain);

/* Wraps the data key under the newest master key; *changed is false when it already was. */
MUST_USE Err secret_rewrap(Ctx *ctx, const Keyring *keys, DataKey key, DataKey *out, bool *changed);
