/*
 * base/hash.c -- the hash and the encodings of base/hash.h.
 *
 * The hash folds 16 bytes at a time with a 64 x 64 -> 128 bit multiplication, after wyhash by Wang Yi.
 */
#include "base/hash.h"

#include <sodium.h>

static const uint64_t ODD_1 = UINT64_C(0xa0761d6478bd642f), ODD_2 = UINT64_C(0xe7037ed1a0b428db);

static uint64_t read_u64(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t read_u32(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t byte_at(const char *p, size_t i)
{
    return (unsigned char)p[i];
}

/* The last 0 to 16 bytes go in as two words, which overlap where there are fewer. */
uint64_t hash_bytes(Str s, uint64_t seed)
{
    uint64_t h = seed ^ hash_fold(seed ^ ODD_1, ODD_2), a = 0, b = 0;
    const char *p = s.ptr;
    size_t left = s.len;
    for (; left > 16; p += 16, left -= 16)
        h = hash_fold(read_u64(p) ^ ODD_1, read_u64(p + 8) ^ h);
    if (left >= 8) {
        a = read_u64(p);
        b = read_u64(p + left - 8);
    } else if (left >= 4) {
        a = read_u32(p);
        b = read_u32(p + left - 4);
    } else if (left > 0) {
        a = byte_at(p, 0) << 16 | byte_at(p, left / 2) << 8 | byte_at(p, left - 1);
    }
    return hash_fold(ODD_1 ^ s.len, hash_fold(a ^ ODD_2, b ^ h));
}

uint64_t hash_u64(uint64_t v, uint64_t seed)
{
    return hash_fold(hash_fold(v ^ ODD_1, seed ^ ODD_2) ^ v, ODD_1);
}

/* ---- hex and base64: libsodium's, whose time does not depend on the content ---- */

Str hex_encode(Arena *arena, Str bytes)
{
    const size_t n = bytes.len * 2 + 1;
    char *out = arena_bytes(arena, n);
    sodium_bin2hex(out, n, (const unsigned char *)bytes.ptr, bytes.len);
    return (Str){out, n - 1};
}

bool hex_decode(Arena *arena, Str text, Str *out)
{
    char *bytes = arena_bytes(arena, text.len / 2 + 1);
    size_t n = 0;
    const char *end = text.ptr;
    if (text.len % 2 != 0 ||
        sodium_hex2bin((unsigned char *)bytes, text.len / 2, text.ptr, text.len, NULL, &n, &end) !=
            0 ||
        end != text.ptr + text.len)
        return false;
    *out = (Str){bytes, n};
    return true;
}

static Str encode_base64(Arena *arena, Str bytes, int variant)
{
    const size_t n = sodium_base64_encoded_len(bytes.len, variant);
    char *out = arena_bytes(arena, n);
    sodium_bin2base64(out, n, (const unsigned char *)bytes.ptr, bytes.len, variant);
    return str_of(out);
}

static bool decode_base64(Arena *arena, Str text, int variant, Str *out)
{
    for (size_t i = 0; i < text.len; i++)
        if ((text.ptr[i] & 0x80) != 0) /* libsodium 1.0.18 takes some of these for letters */
            return false;
    const size_t room = text.len / 4 * 3 + 3;
    char *bytes = arena_bytes(arena, room);
    size_t n = 0;
    const char *end = text.ptr;
    if (sodium_base642bin((unsigned char *)bytes, room, text.ptr, text.len, NULL, &n, &end,
                          variant) != 0 ||
        end != text.ptr + text.len)
        return false;
    *out = (Str){bytes, n};
    return true;
}

Str base64_encode(Arena *arena, Str bytes)
{
    return encode_base64(arena, bytes, sodium_base64_VARIANT_ORIGINAL);
}

bool base64_decode(Arena *arena, Str text, Str *out)
{
    return decode_base64(arena, text, sodium_base64_VARIANT_ORIGINAL, out);
}

Str base64url_encode(Arena *arena, Str bytes)
{
    return encode_base64(arena, bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

bool base64url_decode(Arena *arena, Str text, Str *out)
{
    return decode_base64(arena, text, sodium_base64_VARIANT_URLSAFE_NO_PADDING, out);
}

/* ---- Crockford's base32 ---- */

static const char CROCKFORD[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

enum { DIGIT_BAD = -1, DIGIT_SKIP = -2 };

static int crockford_digit(char c)
{
    if (c == '-' || c == ' ')
        return DIGIT_SKIP;
    char upper = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    if (upper == 'O')
        upper = '0';
    else if (upper == 'I' || upper == 'L')
        upper = '1';
    const char *at = upper == '\0' ? NULL : strchr(CROCKFORD, upper);
    return at == NULL ? DIGIT_BAD : (int)(at - CROCKFORD);
}

Str crockford_encode(Arena *arena, Str bytes)
{
    char *out = arena_bytes(arena, bytes.len * 8 / 5 + 2);
    size_t n = 0;
    unsigned bits = 0, waiting = 0; /* the low `waiting` bits of `bits` are still to be written */
    for (size_t i = 0; i < bytes.len; i++) {
        bits = (bits << 8 | (unsigned char)bytes.ptr[i]) & 0xfff;
        for (waiting += 8; waiting >= 5; waiting -= 5)
            out[n++] = CROCKFORD[bits >> (waiting - 5) & 31];
    }
    if (waiting > 0)
        out[n++] = CROCKFORD[bits << (5 - waiting) & 31];
    return (Str){out, n};
}

bool crockford_decode(Arena *arena, Str text, Str *out)
{
    char *bytes = arena_bytes(arena, text.len * 5 / 8 + 1);
    size_t n = 0;
    unsigned bits = 0, waiting = 0;
    for (size_t i = 0; i < text.len; i++) {
        const int digit = crockford_digit(text.ptr[i]);
        if (digit == DIGIT_BAD)
            return false;
        if (digit == DIGIT_SKIP)
            continue;
        bits = (bits << 5 | (unsigned)digit) & 0xfff;
        waiting += 5;
        if (waiting >= 8) {
            waiting -= 8;
            bytes[n++] = (char)(bits >> waiting & 0xff);
        }
    }
    if (waiting >= 5 || (bits & ((1u << waiting) - 1)) != 0)
        return false;
    *out = (Str){bytes, n};
    return true;
}

Str crockford_print(Arena *arena, uint64_t v, int digits)
{
    CHECK(digits >= 1 && digits <= 12 && v >> (5 * digits) == 0);
    char *out = arena_bytes(arena, (size_t)digits);
    for (int i = digits; i-- > 0; v >>= 5)
        out[i] = CROCKFORD[v & 31];
    return (Str){out, (size_t)digits};
}

bool crockford_parse(Str text, int digits, uint64_t *out)
{
    CHECK(digits >= 1 && digits <= 12);
    uint64_t v = 0;
    int seen = 0;
    for (size_t i = 0; i < text.len; i++) {
        const int digit = crockford_digit(text.ptr[i]);
        if (digit == DIGIT_SKIP)
            continue;
        if (digit == DIGIT_BAD || seen++ == digits)
            return false;
        v = v << 5 | (uint64_t)digit;
    }
    if (seen != digits)
        return false;
    *out = v;
    return true;
}
