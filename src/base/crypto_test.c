/*
 * base/crypto_test.c -- the promises of base/crypto.h and base/keyring.h.
 */
#include "base/crypto.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/keyring.h"
#include "base/test.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static Ctx ctx;
static char folder[32]; /* of the current test */

static void begin(void)
{
    if (ctx.arena == NULL)
        ctx.arena = arena_new(1 << 14);
    arena_reset(ctx.arena);
    ctx = (Ctx){.arena = ctx.arena};
}

static Str path_of(const char *name)
{
    return arena_printf(ctx.arena, "%s/%s", folder, name);
}

static void begin_files(void)
{
    begin();
    memcpy(folder, "/tmp/crypto_test.XXXXXX", sizeof "/tmp/crypto_test.XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
}

static void end_files(void)
{
    CHECK(unlink(path_of("keys").ptr) == 0);
    CHECK(rmdir(folder) == 0);
}

static const char *hex_of(const void *p, size_t n)
{
    return arena_copy(ctx.arena, hex_encode(ctx.arena, (Str){p, n})).ptr;
}

static Str bytes_of(const char *hex)
{
    Str out;
    CHECK(hex_decode(ctx.arena, str_of(hex), &out));
    return out;
}

static CryptoKey counting_key(void)
{
    CryptoKey key;
    for (size_t i = 0; i < sizeof key.bytes; i++)
        key.bytes[i] = (uint8_t)i;
    return key;
}

static Str flipped(Str s, size_t at)
{
    const Str copy = arena_copy(ctx.arena, s);
    ((char *)(uintptr_t)copy.ptr)[at] ^= 1;
    return copy;
}

TEST(crypto_sha256_follows_the_vectors_of_the_ad_platforms)
{
    static const struct {
        const char *text, *hex;
    } rows[] = {
        {"13800138000", "a6942f9771d67f34034d2f1926988ed3fad3bf1b4e7cedb9a31f31398dea43bc"},
        {"8613800138000", "bf08aacce7f9b2452863cf99373043c3333f0e3127f1f787c4abb46ab6cf2b83"},
        {"+8613800138000", "ec61f3c620a98bdead8c1f1f0ae747abd1b62a0c2dba4fd4bc22cf0d1d8653e5"},
        {"16505551212", "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"},
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    };
    begin();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t out[CRYPTO_MAC_BYTES];
        crypto_sha256(str_of(rows[i].text), out);
        EXPECT_STREQ(hex_of(out, sizeof out), rows[i].hex);
    }
}

TEST(crypto_hmac_follows_rfc_4231_and_standard_webhooks)
{
    begin();
    uint8_t out[CRYPTO_MAC_BYTES];
    crypto_hmac(STR("Jefe"), STR("what do ya want for nothing?"), out);
    EXPECT_STREQ(hex_of(out, sizeof out),
                 "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    char long_key[131];
    memset(long_key, 0xaa, sizeof long_key);
    crypto_hmac((Str){long_key, sizeof long_key},
                STR("Test Using Larger Than Block-Size Key - Hash Key First"), out);
    EXPECT_STREQ(hex_of(out, sizeof out),
                 "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    Str secret;
    CHECK(base64_decode(ctx.arena, STR("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), &secret));
    crypto_hmac(secret, STR("msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}"), out);
    EXPECT_STREQ(base64_encode(ctx.arena, (Str){(const char *)out, sizeof out}).ptr,
                 "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

TEST(crypto_keyed_hashes_follow_another_implementation)
{
    begin();
    const CryptoKey key = counting_key();
    uint8_t out[16];
    crypto_blind_index(&key, STR("+8613800138000"), out);
    EXPECT_STREQ(hex_of(out, sizeof out), "eee9810e7b839a5c52ae4093c2785f71");
    crypto_mac(&key, STR("abc"), out, sizeof out);
    EXPECT_STREQ(hex_of(out, sizeof out), "1a64be47e4729d951c302ee543f97cf3");
}

TEST(crypto_derive_is_the_expand_step_of_rfc_5869)
{
    begin();
    CryptoKey parent, child;
    memcpy(parent.bytes,
           bytes_of("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5").ptr, 32);
    crypto_derive(&parent, bytes_of("f0f1f2f3f4f5f6f7f8f9"), &child);
    EXPECT_STREQ(hex_of(child.bytes, 32),
                 "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
}

TEST(crypto_equal_compares_length_and_every_byte)
{
    CHECK(crypto_equal(STR(""), (Str){NULL, 0}) && crypto_equal(STR("abc"), STR("abc")));
    CHECK(!crypto_equal(STR("abc"), STR("abd")) && !crypto_equal(STR("abc"), STR("ab")));
    CHECK(!crypto_equal(STR("xbc"), STR("abc")) && !crypto_equal(STR(""), STR("a")));
}

TEST(crypto_wipe_leaves_zeros)
{
    CryptoKey key = counting_key();
    crypto_wipe(&key, sizeof key);
    for (size_t i = 0; i < sizeof key.bytes; i++)
        CHECK(key.bytes[i] == 0);
}

TEST(crypto_opens_what_another_implementation_sealed)
{
    begin();
    const CryptoKey key = counting_key();
    const Str sealed = bytes_of("0101026465666768696a6b6c6d6e6f7928e65649d865a60e526f98280babe850"
                                "e05903e61873d34591cc");
    Str plain;
    CHECK(crypto_open(ctx.arena, &key, STR("person.phone"), sealed, &plain));
    CHECK(str_eq(plain, STR("13800138000")));
    uint16_t id = 0;
    CHECK(crypto_key_id(sealed, &id));
    EXPECT_I64(id, 0x0102);
}

TEST(crypto_sealed_values_open_only_unchanged_with_their_key_and_context)
{
    begin();
    const CryptoKey key = counting_key();
    CryptoKey other = key;
    other.bytes[31] ^= 1;
    const Str texts[] = {STR(""), STR("x"), STR("a value of some length, longer than a block")};
    for (size_t t = 0; t < ARRAY_LEN(texts); t++) {
        const Str sealed = crypto_seal(ctx.arena, &key, 7, STR("who"), texts[t]);
        EXPECT_I64((int64_t)sealed.len, (int64_t)(texts[t].len + CRYPTO_SEAL_BYTES));
        Str plain = STR("untouched");
        CHECK(!crypto_open(ctx.arena, &other, STR("who"), sealed, &plain));
        CHECK(!crypto_open(ctx.arena, &key, STR("whom"), sealed, &plain));
        for (size_t i = 0; i < sealed.len; i++)
            CHECK(!crypto_open(ctx.arena, &key, STR("who"), flipped(sealed, i), &plain));
        for (size_t n = 0; n < sealed.len; n++)
            CHECK(!crypto_open(ctx.arena, &key, STR("who"), str_slice(sealed, 0, n), &plain));
        CHECK(str_eq(plain, STR("untouched")));
        CHECK(crypto_open(ctx.arena, &key, STR("who"), sealed, &plain));
        CHECK(str_eq(plain, texts[t]));
        CHECK(!str_eq(sealed, crypto_seal(ctx.arena, &key, 7, STR("who"), texts[t])));
    }
    uint16_t id = 9;
    CHECK(!crypto_key_id(STR("short"), &id) && id == 9);
}

TEST(crypto_passwords_verify_and_know_when_they_are_stale)
{
    begin();
    Str encoded, again;
    EXPECT_I64(crypto_hash_password(&ctx, STR("correct horse"), &encoded), ERR_OK);
    EXPECT_I64(crypto_hash_password(&ctx, STR("correct horse"), &again), ERR_OK);
    CHECK(str_starts_with(encoded, STR("$argon2id$v=19$m=19456,t=2,p=1$")));
    CHECK(!str_eq(encoded, again));
    bool stale = true;
    CHECK(crypto_check_password(STR("correct horse"), encoded, &stale) && !stale);
    CHECK(!crypto_check_password(STR("correct hors"), encoded, &stale) && !stale);
    CHECK(!crypto_check_password(STR(""), encoded, NULL));
    /* argon2 reference: password "password", salt "somesalt", m=256, t=2 */
    const Str weak = STR("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQ"
                         "wu9U1bMCHGi/4");
    CHECK(crypto_check_password(STR("password"), weak, &stale) && stale);
    const Str bad[] = {STR(""), STR("plain"), STR("$argon2id$v=19$m=19456,t=2,p=1$"),
                       str_slice(encoded, 0, encoded.len - 1)};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(!crypto_check_password(STR("correct horse"), bad[i], NULL));
}

TEST(crypto_passwords_have_a_longest)
{
    begin();
    static char text[CRYPTO_PASSWORD_BYTES_MAX + 1];
    memset(text, 'a', sizeof text);
    Str encoded;
    EXPECT_I64(crypto_hash_password(&ctx, (Str){text, sizeof text}, &encoded), ERR_INVALID);
    EXPECT_STREQ(ctx.fault.reason, "password.too_long");
    EXPECT_I64(crypto_hash_password(&ctx, (Str){text, sizeof text - 1}, &encoded), ERR_OK);
    CHECK(!crypto_check_password((Str){text, sizeof text}, encoded, NULL));
}

/* ---- keyring ---- */

static Keyring *load(void)
{
    Keyring *keys = NULL;
    CHECK(keyring_load(&ctx, path_of("keys"), &keys) == ERR_OK);
    return keys;
}

TEST(keyring_file_is_created_once_for_its_owner_only)
{
    begin_files();
    EXPECT_I64(keyring_create(&ctx, path_of("keys")), ERR_OK);
    struct stat st;
    CHECK(stat(path_of("keys").ptr, &st) == 0);
    EXPECT_I64(st.st_mode & 0777, 0600);
    EXPECT_I64(keyring_create(&ctx, path_of("keys")), ERR_CONFLICT);
    EXPECT_STREQ(ctx.fault.reason, "keyring.exists");
    Keyring *keys = load();
    EXPECT_I64(keyring_newest(keys), 1);
    keyring_free(keys);
    keyring_free(NULL);
    const int modes[] = {0640, 0604, 0660};
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        CHECK(chmod(path_of("keys").ptr, (mode_t)modes[i]) == 0);
        EXPECT_I64(keyring_load(&ctx, path_of("keys"), &keys), ERR_DENIED);
        EXPECT_STREQ(ctx.fault.reason, "keyring.mode");
    }
    CHECK(chmod(path_of("keys").ptr, 0400) == 0); /* as a systemd credential */
    keyring_free(load());
    end_files();
}

TEST(keyring_that_is_missing_or_malformed_is_refused_with_the_line)
{
#define KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    static const struct {
        const char *text, *detail; /* NULL: good */
    } rows[] = {
        {"0 " KEY "\n1 " KEY "\n", NULL},
        {"# note\n\n 0  " KEY " \r\n1 " KEY "\n300 " KEY, NULL},
        {"", "no root"},
        {"1 " KEY "\n", "no root"},
        {"0 " KEY "\n", "no key"},
        {"0 " KEY "\n0 " KEY "\n1 " KEY, "line 2"},
        {"0 " KEY "\n1 " KEY "\n1 " KEY, "line 3"},
        {"0 " KEY "\n2 " KEY "\n1 " KEY, "line 3"},
        {"0 " KEY "\n65536 " KEY, "line 2"},
        {"0 " KEY "\n-1 " KEY, "line 2"},
        {"0 " KEY "\n1" KEY, "line 2"},
        {"0 " KEY "\n1 AAAA\n", "line 2"},
        {"0 " KEY "\n1 " KEY "=\n", "line 2"},
        {"0 " KEY "\n1\n", "line 2"},
    };
    begin_files();
    Keyring *keys = NULL;
    EXPECT_I64(keyring_load(&ctx, path_of("keys"), &keys), ERR_NOT_FOUND);
    EXPECT_I64(keyring_rotate(&ctx, path_of("keys")), ERR_NOT_FOUND);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CHECK(file_replace(&ctx, str_of(folder), STR("keys"), str_of(rows[i].text)) == ERR_OK);
        const Err err = keyring_load(&ctx, path_of("keys"), &keys);
        EXPECT_I64(err, rows[i].detail == NULL ? ERR_OK : ERR_INVALID);
        if (err == ERR_OK) {
            keyring_free(keys);
            continue;
        }
        EXPECT_STREQ(ctx.fault.reason, "keyring.malformed");
        EXPECT_STREQ(ctx.fault.detail, rows[i].detail);
    }
    end_files();
}

/* printf 'phone.index\\001' | openssl dgst -sha256 -mac HMAC -macopt hexkey:000102...1f: should one change,
 * nobody would be found any more. */
TEST(keyring_derived_keys_never_change)
{
    static const char *const FIRST_EIGHT[KEY_USES] = {
        [KEY_PHONE_INDEX] = "75ec2f20471a58e3", [KEY_LAST_FOUR] = "9f132186a3de2779",
        [KEY_NAME_INDEX] = "551e53208f99a12e",  [KEY_COUPON_CODE] = "3b0414895561e3b5",
        [KEY_BACKUP] = "07a0cfdd9fdef7a6",      [KEY_ERASED] = "a8a378e250a36d34"};
    begin_files();
    CHECK(file_replace(&ctx, str_of(folder), STR("keys"), STR("0 " KEY "\n1 " KEY "\n")) == ERR_OK);
    Keyring *keys = load();
    for (KeyUse use = 0; use < KEY_USES; use++) {
        const Str first = {(const char *)keyring_key(keys, use)->bytes, 8};
        EXPECT_STREQ(hex_encode(ctx.arena, first).ptr, FIRST_EIGHT[use]);
    }
    keyring_free(keys);
    end_files();
}

TEST(keyring_derived_keys_differ_by_label_and_survive_rotation)
{
    begin_files();
    EXPECT_I64(keyring_create(&ctx, path_of("keys")), ERR_OK);
    Keyring *old = load();
    EXPECT_I64(keyring_rotate(&ctx, path_of("keys")), ERR_OK);
    Keyring *rotated = load();
    EXPECT_I64(keyring_newest(rotated), 2);
    for (KeyUse use = 0; use < KEY_USES; use++)
        for (KeyUse other = 0; other < KEY_USES; other++)
            EXPECT_I64(
                memcmp(keyring_key(old, use), keyring_key(rotated, other), sizeof(CryptoKey)) == 0,
                use == other);
    keyring_free(old);
    keyring_free(rotated);
    end_files();
}

TEST(keyring_values_open_after_rotation_but_not_without_their_key)
{
    begin_files();
    EXPECT_I64(keyring_create(&ctx, path_of("keys")), ERR_OK);
    Keyring *old = load();
    const Str sealed = keyring_seal(ctx.arena, old, STR("sms.secret"), STR("s3cret"));
    EXPECT_I64(keyring_rotate(&ctx, path_of("keys")), ERR_OK);
    Keyring *rotated = load();
    const Str newer = keyring_seal(ctx.arena, rotated, STR("sms.secret"), STR("s3cret"));
    Str plain = STR("untouched");
    EXPECT_I64(keyring_open(&ctx, old, STR("sms.secret"), newer, &plain), ERR_INTERNAL);
    EXPECT_STREQ(ctx.fault.reason, "secret.key_missing");
    EXPECT_I64(keyring_open(&ctx, rotated, STR("mail.secret"), sealed, &plain), ERR_INTERNAL);
    EXPECT_STREQ(ctx.fault.reason, "secret.unreadable");
    EXPECT_I64(keyring_open(&ctx, rotated, STR("sms.secret"), STR("x"), &plain), ERR_INTERNAL);
    EXPECT_STREQ(ctx.fault.reason, "secret.unreadable");
    CHECK(str_eq(plain, STR("untouched")));
    EXPECT_I64(keyring_open(&ctx, rotated, STR("sms.secret"), sealed, &plain), ERR_OK);
    CHECK(str_eq(plain, STR("s3cret")));
    keyring_free(old);
    keyring_free(rotated);
    end_files();
}

TEST(keyring_secrets_belong_to_one_owner_and_one_field)
{
    begin_files();
    EXPECT_I64(keyring_create(&ctx, path_of("keys")), ERR_OK);
    Keyring *keys = load();
    const DataKey one = secret_new_key(ctx.arena, keys, 1),
                  two = secret_new_key(ctx.arena, keys, 2);
    const DataKey stolen = {.owner = 2, .wrapped = one.wrapped};
    const Str label = STR("person.phone");
    Str sealed, plain = STR("untouched");
    EXPECT_I64(secret_seal(&ctx, keys, one, label, STR("+8613800138000"), &sealed), ERR_OK);
    EXPECT_I64(secret_open(&ctx, keys, two, label, sealed, &plain), ERR_INTERNAL);
    EXPECT_I64(secret_open(&ctx, keys, stolen, label, sealed, &plain), ERR_INTERNAL);
    EXPECT_I64(secret_open(&ctx, keys, one, STR("person.name"), sealed, &plain), ERR_INTERNAL);
    EXPECT_STREQ(ctx.fault.reason, "secret.unreadable");
    CHECK(str_eq(plain, STR("untouched")));
    EXPECT_I64(secret_open(&ctx, keys, one, label, sealed, &plain), ERR_OK);
    CHECK(str_eq(plain, STR("+8613800138000")));
    keyring_free(keys);
    end_files();
}

TEST(keyring_rewrapping_moves_a_data_key_to_the_newest_master_key)
{
    begin_files();
    EXPECT_I64(keyring_create(&ctx, path_of("keys")), ERR_OK);
    Keyring *old = load();
    const DataKey key = secret_new_key(ctx.arena, old, 5);
    Str sealed, plain;
    EXPECT_I64(secret_seal(&ctx, old, key, STR("f"), STR("v"), &sealed), ERR_OK);
    EXPECT_I64(keyring_rotate(&ctx, path_of("keys")), ERR_OK);
    Keyring *rotated = load();
    DataKey moved = {0}, same = {0};
    bool changed = false;
    EXPECT_I64(secret_rewrap(&ctx, rotated, key, &moved, &changed), ERR_OK);
    uint16_t id = 0;
    CHECK(changed && moved.owner == 5 && crypto_key_id(moved.wrapped, &id) && id == 2);
    EXPECT_I64(secret_open(&ctx, rotated, moved, STR("f"), sealed, &plain), ERR_OK);
    CHECK(str_eq(plain, STR("v")));
    EXPECT_I64(secret_rewrap(&ctx, rotated, moved, &same, &changed), ERR_OK);
    CHECK(!changed && str_eq(same.wrapped, moved.wrapped));
    keyring_free(old);
    keyring_free(rotated);
    end_files();
}
