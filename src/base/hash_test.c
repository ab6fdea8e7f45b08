/*
 * base/hash_test.c -- the promises of base/hash.h and base/rand.h.
 */
#include "base/hash.h"
#include "base/rand.h"
#include "base/test.h"

#include <stdlib.h>

static Arena *arena;

static const char *c_of(Str s)
{
    if (arena == NULL)
        arena = arena_new(1 << 12);
    return arena_copy(arena, s).ptr;
}

static void begin(void)
{
    (void)c_of(STR(""));
    arena_reset(arena);
}

TEST(hash_depends_on_every_byte_on_the_length_and_on_the_seed)
{
    char text[64] = {0};
    for (size_t n = 0; n < sizeof text; n++) {
        const Str s = {text, n};
        const uint64_t h = hash_bytes(s, 1);
        EXPECT_I64((int64_t)hash_bytes(s, 1), (int64_t)h);
        CHECK(hash_bytes(s, 2) != h);
        CHECK(hash_bytes((Str){text, n + 1}, 1) != h);
        for (size_t i = 0; i < n; i++) {
            text[i] ^= 0x10;
            CHECK(hash_bytes(s, 1) != h);
            text[i] ^= 0x10;
        }
    }
    CHECK(hash_u64(1, 1) != hash_u64(2, 1) && hash_u64(1, 1) != hash_u64(1, 2));
}

static int compare_u64(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

enum { KEYS = 200000, BUCKETS = 1024 };

/* No two of many similar keys collide, and no bucket is much fuller than another. */
static void expect_spread(uint64_t *hashes)
{
    static int bucket[BUCKETS];
    memset(bucket, 0, sizeof bucket);
    for (size_t i = 0; i < KEYS; i++)
        bucket[hashes[i] % BUCKETS]++;
    for (size_t i = 0; i < BUCKETS; i++)
        CHECK(bucket[i] > KEYS / BUCKETS / 2 && bucket[i] < KEYS / BUCKETS * 2);
    qsort(hashes, KEYS, sizeof *hashes, compare_u64);
    for (size_t i = 1; i < KEYS; i++)
        CHECK(hashes[i] != hashes[i - 1]);
}

TEST(hash_spreads_phone_numbers_and_counters)
{
    uint64_t *hashes = malloc(KEYS * sizeof *hashes);
    CHECK(hashes != NULL);
    for (uint64_t i = 0; i < KEYS; i++) {
        char phone[32];
        const int n = snprintf(phone, sizeof phone, "+86138%08" PRIu64, i);
        hashes[i] = hash_bytes((Str){phone, (size_t)n}, 42);
    }
    expect_spread(hashes);
    for (uint64_t i = 0; i < KEYS; i++)
        hashes[i] = hash_u64(i << 14, 42);
    expect_spread(hashes);
    free(hashes);
}

TEST(hash_encodings_follow_their_vectors)
{
    /* RFC 4648 section 10, and Crockford's alphabet over the same bits as its base32. */
    static const struct {
        const char *plain, *hex, *base64, *base64url, *crockford;
    } rows[] = {
        {"", "", "", "", ""},
        {"f", "66", "Zg==", "Zg", "CR"},
        {"fo", "666f", "Zm8=", "Zm8", "CSQG"},
        {"foo", "666f6f", "Zm9v", "Zm9v", "CSQPY"},
        {"foob", "666f6f62", "Zm9vYg==", "Zm9vYg", "CSQPYRG"},
        {"fooba", "666f6f6261", "Zm9vYmE=", "Zm9vYmE", "CSQPYRK1"},
        {"foobar", "666f6f626172", "Zm9vYmFy", "Zm9vYmFy", "CSQPYRK1E8"},
        {"\xff\xfe\xfb", "fffefb", "//77", "__77", "ZZZFP"},
    };
    begin();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const Str plain = str_of(rows[i].plain);
        Str out;
        EXPECT_STREQ(c_of(hex_encode(arena, plain)), rows[i].hex);
        EXPECT_STREQ(c_of(base64_encode(arena, plain)), rows[i].base64);
        EXPECT_STREQ(c_of(base64url_encode(arena, plain)), rows[i].base64url);
        EXPECT_STREQ(c_of(crockford_encode(arena, plain)), rows[i].crockford);
        CHECK(hex_decode(arena, str_of(rows[i].hex), &out) && str_eq(out, plain));
        CHECK(base64_decode(arena, str_of(rows[i].base64), &out) && str_eq(out, plain));
        CHECK(base64url_decode(arena, str_of(rows[i].base64url), &out) && str_eq(out, plain));
        CHECK(crockford_decode(arena, str_of(rows[i].crockford), &out) && str_eq(out, plain));
    }
}

TEST(hash_decoders_refuse_what_no_encoder_writes)
{
    static const struct {
        bool (*decode)(Arena *arena, Str text, Str *out);
        const char *text;
    } rows[] = {
        {hex_decode, "6"},          {hex_decode, "6g"},        {hex_decode, "66 "},
        {hex_decode, "0x66"},       {base64_decode, "Zg"},     {base64_decode, "Zg="},
        {base64_decode, "Zh=="},    {base64_decode, "Zm_v"},   {base64_decode, "Zm9v "},
        {base64url_decode, "Zg=="}, {base64url_decode, "Zh"},  {base64url_decode, "Zm/v"},
        {base64url_decode, "Z"},    {crockford_decode, "C"},   {crockford_decode, "CS"},
        {crockford_decode, "UR"},   {crockford_decode, "C*"},  {crockford_decode, "CRR"},
        {crockford_decode, "0"},    {crockford_decode, "CR0"},
    };
    begin();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Str out = STR("untouched");
        CHECK(!rows[i].decode(arena, str_of(rows[i].text), &out));
        EXPECT_STREQ(c_of(out), "untouched");
    }
    Str out;
    CHECK(!crockford_decode(arena, (Str){"C\0", 2}, &out));
    CHECK(!base64_decode(arena, STR("\xd7\xd1\xbf\xd1"), &out));
    CHECK(!base64url_decode(arena, STR("\xd7\xd1\xbf\xd1"), &out));
}

TEST(hash_crockford_forgives_what_people_type)
{
    begin();
    Str out;
    CHECK(crockford_decode(arena, STR("csqp-yrk1 e8"), &out));
    EXPECT_STREQ(c_of(out), "foobar");
    CHECK(crockford_decode(arena, STR("CSQPYRKIE8"), &out) && str_eq(out, STR("foobar")));
    CHECK(crockford_decode(arena, STR("CSQPYRKlE8"), &out) && str_eq(out, STR("foobar")));
    uint64_t v = 7;
    CHECK(crockford_parse(STR("oO-0i"), 4, &v));
    EXPECT_I64((int64_t)v, 1);
    CHECK(!crockford_parse(STR("0001"), 5, &v) && !crockford_parse(STR("00001"), 4, &v));
    CHECK(!crockford_parse(STR("000U"), 4, &v));
    EXPECT_I64((int64_t)v, 1);
}

TEST(hash_crockford_numbers_have_a_fixed_width)
{
    begin();
    EXPECT_STREQ(c_of(crockford_print(arena, 0, 1)), "0");
    EXPECT_STREQ(c_of(crockford_print(arena, 32, 4)), "0010");
    const uint64_t top = (UINT64_C(1) << 60) - 1;
    EXPECT_STREQ(c_of(crockford_print(arena, top, 12)), "ZZZZZZZZZZZZ");
    Prng r = prng_of(3);
    for (int i = 0; i < 1000; i++) {
        const uint64_t v = prng_u64(&r) & top;
        uint64_t back = 0;
        CHECK(crockford_parse(crockford_print(arena, v, 12), 12, &back) && back == v);
    }
}

TEST(rand_bytes_differ_and_every_bit_moves)
{
    uint64_t ones = 0, zeros = 0;
    for (int i = 0; i < 64; i++) {
        const uint64_t v = rand_u64();
        ones |= v;
        zeros |= ~v;
    }
    CHECK(ones == UINT64_MAX && zeros == UINT64_MAX);
    CHECK(rand_u64() != rand_u64());
}

TEST(rand_below_is_uniform_and_bounded)
{
    int seen[5] = {0}, seeded[5] = {0};
    Prng r = prng_of(1);
    for (int i = 0; i < 20000; i++) {
        seen[rand_below(5)]++;
        seeded[prng_below(&r, 5)]++;
    }
    for (size_t i = 0; i < 5; i++) {
        CHECK(seen[i] > 3600 && seen[i] < 4400); /* seven standard deviations */
        CHECK(seeded[i] > 3600 && seeded[i] < 4400);
    }
    for (int i = 0; i < 100; i++) {
        CHECK(rand_below(1) == 0);
        CHECK(prng_below(&r, (UINT64_C(1) << 63) + 1) <= UINT64_C(1) << 63);
    }
}

TEST(rand_tokens_are_base64url_of_the_asked_bytes)
{
    begin();
    const Str token = rand_token(arena, 32);
    EXPECT_I64((int64_t)token.len, 43);
    Str bytes;
    CHECK(base64url_decode(arena, token, &bytes));
    EXPECT_I64((int64_t)bytes.len, 32);
    CHECK(!str_eq(token, rand_token(arena, 32)));
}

TEST(rand_uuid_has_time_version_and_variant)
{
    char a[RAND_UUID_BYTES], b[RAND_UUID_BYTES];
    rand_uuid(INT64_C(0x0199abcdef12), a);
    rand_uuid(INT64_C(0x0199abcdef12), b);
    EXPECT_I64((int64_t)str_of(a).len, 36);
    CHECK(str_starts_with(str_of(a), STR("0199abcd-ef12-7")));
    CHECK(a[18] == '-' && strchr("89ab", a[19]) != NULL && a[23] == '-');
    CHECK(strcmp(a, b) != 0);
}

TEST(rand_prng_repeats_for_a_seed)
{
    Prng a = prng_of(0), b = prng_of(0), c = prng_of(1);
    /* The first outputs of xoshiro256** over splitmix64(0). */
    EXPECT_I64((int64_t)prng_u64(&a), (int64_t)UINT64_C(0x99ec5f36cb75f2b4));
    EXPECT_I64((int64_t)prng_u64(&a), (int64_t)UINT64_C(0xbf6e1f784956452a));
    (void)prng_u64(&b), (void)prng_u64(&b);
    CHECK(prng_u64(&a) == prng_u64(&b));
    CHECK(prng_u64(&c) != UINT64_C(0x99ec5f36cb75f2b4));
}
