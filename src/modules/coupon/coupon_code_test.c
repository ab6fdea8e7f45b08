/*
 * modules/coupon/coupon_code_test.c -- codes: round trip, typing errors, forgeries.
 */
#include "modules/coupon/coupon_testkit.h"

#include "base/rand.h"

static const int64_t LAST_COUPON = (INT64_C(1) << 35) - 1;

/* A world of its own: codes need keys and an arena, no database. */
static Ctx code_ctx(void)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    ctx.keys = room_keys(&ctx);
    return ctx;
}

TEST(coupon_code_comes_back_as_the_coupon_that_it_was_made_for)
{
    Ctx ctx = code_ctx();
    Prng r = prng_of(1);
    const int64_t edges[] = {1, 2, 31, 32, 33, 1 << 20, LAST_COUPON - 1, LAST_COUPON};
    for (size_t i = 0; i < 3000; i++) {
        const int64_t id =
            i < ARRAY_LEN(edges) ? edges[i] : 1 + (int64_t)prng_below(&r, (uint64_t)LAST_COUPON);
        char code[COUPON_CODE_BYTES];
        int64_t back = 0;
        EXPECT_OK(&ctx, coupon_code_make(&ctx, id, code));
        EXPECT_I64((int64_t)str_of(code).len, COUPON_CODE_BYTES - 1);
        EXPECT_OK(&ctx, coupon_code_read(&ctx, str_of(code), &back));
        EXPECT_I64(back, id);
        arena_reset(ctx.arena);
    }
    arena_free(ctx.arena);
}

TEST(coupon_code_can_not_be_told_from_its_number)
{
    enum { SECRET_CHARS = 12, CODES = 400 };
    Ctx ctx = code_ctx();
    bool seen[SECRET_CHARS][128] = {{false}};
    for (int64_t id = 1; id <= CODES; id++) {
        char code[COUPON_CODE_BYTES];
        size_t place = 0;
        EXPECT_OK(&ctx, coupon_code_make(&ctx, id, code));
        for (size_t i = COUPON_CODE_BYTES - 1; i-- > 0 && place < SECRET_CHARS;)
            if (code[i] != '-')
                seen[place++][(int)code[i]] = true;
    }
    for (size_t place = 0; place < SECRET_CHARS; place++) {
        int different = 0;
        for (int c = 0; c < 128; c++)
            different += seen[place][c];
        EXPECT_I64(different, 32); /* every place takes every character: five secret bits each */
    }
    arena_free(ctx.arena);
}

/* What a person meant by a character: Crockford's forgiveness. */
static char meant(char c)
{
    const char up = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
    return up == 'O' ? '0' : up == 'I' || up == 'L' ? '1' : up;
}

TEST(coupon_code_with_one_other_character_is_refused)
{
    Ctx ctx = code_ctx();
    for (int64_t id = 1; id < LAST_COUPON; id = id * 37 + 11) {
        char code[COUPON_CODE_BYTES];
        EXPECT_OK(&ctx, coupon_code_make(&ctx, id, code));
        for (size_t at = 0; at < COUPON_CODE_BYTES - 1; at++)
            for (int c = 1; c < 256; c++) {
                const char was = code[at];
                int64_t back = -1;
                code[at] = (char)c;
                const bool same =
                    meant((char)c) == meant(was) || (was == '-' && (c == ' ' || c == '-'));
                const Err err = coupon_code_read(&ctx, str_of(code), &back);
                EXPECT_I64(err, same ? ERR_OK : ERR_INVALID);
                EXPECT_I64(back, same ? id : -1);
                if (!same)
                    EXPECT_STREQ(ctx.fault.reason, "coupon.code_wrong");
                code[at] = was;
            }
        arena_reset(ctx.arena);
    }
    arena_free(ctx.arena);
}

TEST(coupon_code_may_be_typed_small_and_without_dashes_and_in_groups_of_ones_own)
{
    Ctx ctx = code_ctx();
    char code[COUPON_CODE_BYTES], plain[COUPON_CODE_BYTES] = "", wide[64] = "";
    EXPECT_OK(&ctx, coupon_code_make(&ctx, 123456789, code));
    size_t n = 0, w = 0;
    for (size_t i = 0; i < COUPON_CODE_BYTES - 1; i++)
        if (code[i] != '-') {
            plain[n++] = (char)(code[i] >= 'A' ? code[i] + 32 : code[i]);
            wide[w++] = code[i];
            wide[w++] = i % 2 == 0 ? ' ' : '-';
        }
    for (size_t i = 0; i < n; i++)
        if (plain[i] == '1')
            plain[i] = 'l';
    const char *const forms[] = {plain, wide};
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        int64_t back = 0;
        EXPECT_OK(&ctx, coupon_code_read(&ctx, str_of(forms[i]), &back));
        EXPECT_I64(back, 123456789);
    }
    arena_free(ctx.arena);
}

TEST(coupon_code_of_another_length_or_of_another_key_is_refused)
{
    Ctx ctx = code_ctx(), other = {.arena = arena_new(1 << 16)};
    char code[COUPON_CODE_BYTES], folder[] = "/tmp/coupon_test_XXXXXX";
    Keyring *keys = NULL;
    CHECK(mkdtemp(folder) != NULL);
    const Str path = arena_printf(other.arena, "%s/keys", folder);
    EXPECT_OK(&other, keyring_create(&other, path));
    EXPECT_OK(&other, keyring_load(&other, path, &keys));
    CHECK(unlink(path.ptr) == 0 && rmdir(folder) == 0);
    other.keys = keys;
    int64_t back = 0;
    EXPECT_OK(&ctx, coupon_code_make(&ctx, 5, code));
    EXPECT_FAULT(&other, coupon_code_read(&other, str_of(code), &back), ERR_INVALID,
                 "coupon.code_wrong");
    EXPECT_STREQ(other.fault.pointer, "/code");
    const Str lengths[] = {STR(""), STR("-"), str_slice(str_of(code), 0, 23),
                           arena_printf(ctx.arena, "%s0", code)};
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
        EXPECT_FAULT(&ctx, coupon_code_read(&ctx, lengths[i], &back), ERR_INVALID,
                     "coupon.code_wrong");
    keyring_free(keys);
    arena_free(other.arena);
    arena_free(ctx.arena);
}
