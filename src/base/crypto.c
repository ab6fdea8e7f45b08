/*
 * base/crypto.c -- OpenSSL and libsodium behind base/crypto.h.
 */
#include "base/crypto.h"

#include "base/rand.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <sodium.h>

enum { SEAL_VERSION = 1, HEAD_BYTES = 3, NONCE_BYTES = 12, TAG_BYTES = 16 };
_Static_assert(HEAD_BYTES + NONCE_BYTES + TAG_BYTES == CRYPTO_SEAL_BYTES, "sealed layout");
_Static_assert(CRYPTO_MAC_BYTES == crypto_auth_hmacsha256_BYTES, "HMAC-SHA256");

static const unsigned long long ARGON_PASSES = 2;
static const size_t ARGON_BYTES = 19u << 20;

static const unsigned char *bytes_of(Str s)
{
    return (const unsigned char *)s.ptr;
}

void crypto_wipe(void *p, size_t n)
{
    sodium_memzero(p, n);
}

bool crypto_equal(Str a, Str b)
{
    return a.len == b.len && (a.len == 0 || sodium_memcmp(a.ptr, b.ptr, a.len) == 0);
}

void crypto_sha256(Str message, uint8_t out[CRYPTO_MAC_BYTES])
{
    crypto_hash_sha256(out, bytes_of(message), message.len);
}

void crypto_hmac(Str key, Str message, uint8_t out[CRYPTO_MAC_BYTES])
{
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, bytes_of(key), key.len);
    crypto_auth_hmacsha256_update(&state, bytes_of(message), message.len);
    crypto_auth_hmacsha256_final(&state, out);
    crypto_wipe(&state, sizeof state);
}

static Str key_bytes(const CryptoKey *key)
{
    return (Str){(const char *)key->bytes, sizeof key->bytes};
}

void crypto_mac(const CryptoKey *key, Str message, uint8_t *out, size_t out_bytes)
{
    CHECK(out_bytes >= crypto_generichash_BYTES_MIN && out_bytes <= crypto_generichash_BYTES_MAX);
    CHECK(crypto_generichash(out, out_bytes, bytes_of(message), message.len, key->bytes,
                             sizeof key->bytes) == 0);
}

void crypto_blind_index(const CryptoKey *key, Str canonical, uint8_t out[CRYPTO_INDEX_BYTES])
{
    uint8_t mac[CRYPTO_MAC_BYTES];
    crypto_hmac(key_bytes(key), canonical, mac);
    memcpy(out, mac, CRYPTO_INDEX_BYTES);
    crypto_wipe(mac, sizeof mac);
}

/* One block is enough for 32 bytes: HMAC(parent, label | 0x01). */
void crypto_derive(const CryptoKey *parent, Str label, CryptoKey *out)
{
    CHECK(label.len > 0);
    static const unsigned char first_block = 1;
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, parent->bytes, sizeof parent->bytes);
    crypto_auth_hmacsha256_update(&state, bytes_of(label), label.len);
    crypto_auth_hmacsha256_update(&state, &first_block, 1);
    crypto_auth_hmacsha256_final(&state, out->bytes);
    crypto_wipe(&state, sizeof state);
}

/* ---- sealing ---- */

static pthread_once_t aes_once = PTHREAD_ONCE_INIT;
static EVP_CIPHER *aes;

static void find_aes(void)
{
    aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    CHECK(aes != NULL);
}

static EVP_CIPHER_CTX *start_aes(const CryptoKey *key, const unsigned char *nonce, bool encrypt)
{
    CHECK(pthread_once(&aes_once, find_aes) == 0);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    CHECK(c != NULL);
    CHECK(EVP_CipherInit_ex2(c, aes, key->bytes, nonce, encrypt, NULL) == 1);
    return c;
}

/* Feeds `in`: as authenticated context when `out` is NULL. */
static void feed(EVP_CIPHER_CTX *c, unsigned char *out, Str in)
{
    int n = 0;
    CHECK(in.len <= INT32_MAX);
    if (in.len > 0)
        CHECK(EVP_CipherUpdate(c, out, &n, bytes_of(in), (int)in.len) == 1 && (size_t)n == in.len);
}

Str crypto_seal(Arena *arena, const CryptoKey *key, uint16_t key_id, Str context, Str plain)
{
    const size_t n = plain.len + CRYPTO_SEAL_BYTES;
    unsigned char *out = (unsigned char *)arena_bytes(arena, n);
    out[0] = SEAL_VERSION;
    out[1] = (unsigned char)(key_id >> 8);
    out[2] = (unsigned char)key_id;
    rand_bytes(out + HEAD_BYTES, NONCE_BYTES);
    unsigned char *cipher = out + HEAD_BYTES + NONCE_BYTES;
    EVP_CIPHER_CTX *c = start_aes(key, out + HEAD_BYTES, true);
    feed(c, NULL, (Str){(const char *)out, HEAD_BYTES});
    feed(c, NULL, context);
    feed(c, cipher, plain);
    int rest = 0;
    CHECK(EVP_CipherFinal_ex(c, cipher + plain.len, &rest) == 1 && rest == 0);
    CHECK(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, cipher + plain.len) == 1);
    EVP_CIPHER_CTX_free(c);
    return (Str){(const char *)out, n};
}

bool crypto_key_id(Str sealed, uint16_t *out)
{
    if (sealed.len < CRYPTO_SEAL_BYTES || sealed.ptr[0] != SEAL_VERSION)
        return false;
    const unsigned char *p = bytes_of(sealed);
    *out = (uint16_t)(p[1] << 8 | p[2]);
    return true;
}

bool crypto_open(Arena *arena, const CryptoKey *key, Str context, Str sealed, Str *plain)
{
    uint16_t unused = 0;
    if (!crypto_key_id(sealed, &unused))
        return false;
    const Str cipher = str_slice(sealed, HEAD_BYTES + NONCE_BYTES, sealed.len - TAG_BYTES);
    unsigned char tag[TAG_BYTES];
    memcpy(tag, cipher.ptr + cipher.len, TAG_BYTES);
    unsigned char *out = (unsigned char *)arena_bytes(arena, cipher.len + 1);
    EVP_CIPHER_CTX *c = start_aes(key, bytes_of(sealed) + HEAD_BYTES, false);
    feed(c, NULL, str_slice(sealed, 0, HEAD_BYTES));
    feed(c, NULL, context);
    feed(c, out, cipher);
    CHECK(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1);
    int rest = 0;
    const bool genuine = EVP_CipherFinal_ex(c, out + cipher.len, &rest) == 1;
    EVP_CIPHER_CTX_free(c);
    if (!genuine) {
        crypto_wipe(out, cipher.len);
        return false;
    }
    *plain = (Str){(const char *)out, cipher.len};
    return true;
}

/* ---- passwords ---- */

Err crypto_hash_password(Ctx *ctx, Str password, Str *encoded)
{
    if (password.len > CRYPTO_PASSWORD_BYTES_MAX)
        return fail(ctx, ERR_INVALID, "password.too_long", "%zu bytes", password.len);
    char *out = arena_bytes(ctx->arena, crypto_pwhash_STRBYTES);
    uint8_t unused[1];
    rand_bytes(unused, sizeof unused); /* starts libsodium, which makes the salt */
    if (crypto_pwhash_str_alg(out, password.ptr, password.len, ARGON_PASSES, ARGON_BYTES,
                              crypto_pwhash_ALG_ARGON2ID13) != 0)
        return fail(ctx, ERR_BUSY, "password.no_memory", "argon2id");
    *encoded = str_of(out);
    return ERR_OK;
}

bool crypto_check_password(Str password, Str encoded, bool *stale)
{
    char text[crypto_pwhash_STRBYTES] = {0};
    if (stale != NULL)
        *stale = false;
    if (password.len > CRYPTO_PASSWORD_BYTES_MAX || !str_to_c(encoded, text, sizeof text) ||
        crypto_pwhash_str_verify(text, password.ptr, password.len) != 0)
        return false;
    if (stale != NULL)
        *stale = crypto_pwhash_str_needs_rehash(text, ARGON_PASSES, ARGON_BYTES) != 0;
    return true;
}
