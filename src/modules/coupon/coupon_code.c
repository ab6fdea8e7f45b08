/*
 * modules/coupon/coupon_code.c -- a coupon's code: readable by people, checked without the database.
 *
 *     1 ABCDEFG HJKMNPQRSTVW        written 1ABC-DEFG-HJKM-NPQR-STVW
 *     | |       +- 12 characters: 60 bits of a keyed hash over version and number
 *     | +- 7 characters: the coupon's number, 35 bits
 *     +- version of the scheme, so that key or layout can change
 *
 * 60 secret bits: at 30,000 guesses a second the first hit would take a million years, and a wrong
 * code never reaches the database.  Crockford's base32, see base/hash.h.
 */
#include "modules/coupon/coupon_internal.h"

#include "base/hash.h"
#include "base/keyring.h"

enum { VERSION = 1, NUMBER_CHARS = 7, MAC_CHARS = 12, CODE_CHARS = 1 + NUMBER_CHARS + MAC_CHARS };

/* 60 bits that only we can compute. */
static uint64_t code_mac(const Ctx *ctx, int64_t coupon)
{
    CHECK(ctx->keys != NULL);
    uint8_t message[9] = {VERSION}, mac[16];
    for (int i = 0; i < 8; i++)
        message[1 + i] = (uint8_t)((uint64_t)coupon >> (8 * i));
    crypto_mac(keyring_key(ctx->keys, KEY_COUPON_CODE),
               (Str){(const char *)message, sizeof message}, mac, sizeof mac);
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | mac[i];
    return bits >> 4;
}

Err coupon_code_make(Ctx *ctx, int64_t coupon, char out[COUPON_CODE_BYTES])
{
    ENSURE(ctx, coupon > 0 && coupon < INT64_C(1) << (5 * NUMBER_CHARS));
    const Str parts[] = {crockford_print(ctx->arena, VERSION, 1),
                         crockford_print(ctx->arena, (uint64_t)coupon, NUMBER_CHARS),
                         crockford_print(ctx->arena, code_mac(ctx, coupon), MAC_CHARS)};
    size_t chars = 0, at = 0;
    for (size_t p = 0; p < ARRAY_LEN(parts); p++)
        for (size_t i = 0; i < parts[p].len; i++) {
            if (chars > 0 && chars % 4 == 0)
                out[at++] = '-';
            out[at++] = parts[p].ptr[i];
            chars++;
        }
    CHECK(chars == CODE_CHARS && at == COUPON_CODE_BYTES - 1);
    out[at] = '\0';
    return ERR_OK;
}

/* The characters that count, without dashes and spaces.  False when there are not CODE_CHARS. */
static bool squeeze(Str code, char out[CODE_CHARS])
{
    size_t n = 0;
    for (size_t i = 0; i < code.len; i++) {
        if (code.ptr[i] == '-' || code.ptr[i] == ' ')
            continue;
        if (n == CODE_CHARS)
            return false;
        out[n++] = code.ptr[i];
    }
    return n == CODE_CHARS;
}

Err coupon_code_read(Ctx *ctx, Str code, int64_t *coupon)
{
    char plain[CODE_CHARS];
    uint64_t version = 0, number = 0, mac = 0;
    const bool readable =
        squeeze(code, plain) && crockford_parse((Str){plain, 1}, 1, &version) &&
        version == VERSION &&
        crockford_parse((Str){plain + 1, NUMBER_CHARS}, NUMBER_CHARS, &number) &&
        crockford_parse((Str){plain + 1 + NUMBER_CHARS, MAC_CHARS}, MAC_CHARS, &mac) && number > 0;
    const uint64_t want = readable ? code_mac(ctx, (int64_t)number) : 0;
    if (!readable || !crypto_equal((Str){(const char *)&mac, sizeof mac},
                                   (Str){(const char *)&want, sizeof want}))
        return fail_field(ctx, "/code", "coupon.code_wrong",
                          "no such code: check the characters, or ask for the phone number");
    *coupon = (int64_t)number;
    return ERR_OK;
}
