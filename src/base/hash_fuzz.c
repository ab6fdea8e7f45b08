/*
 * base/hash_fuzz.c -- any text as hex, base64 and base32: what decodes encodes to the same again, as
 * far as the decoder is strict, and to something that decodes the same where it is lenient.
 */
#include "base/hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Coding {
    Str (*encode)(Arena *arena, Str bytes);
    bool (*decode)(Arena *arena, Str text, Str *out);
    bool strict; /* one text per value */
} Coding;

static const Coding CODINGS[] = {
    {hex_encode, hex_decode, false},
    {base64_encode, base64_decode, true},
    {base64url_encode, base64url_decode, true},
    {crockford_encode, crockford_decode, false},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Arena *arena;
    if (arena == NULL)
        arena = arena_new(1 << 12);
    const Str text = {(const char *)data, size};
    for (size_t i = 0; i < ARRAY_LEN(CODINGS); i++) {
        const Coding *c = &CODINGS[i];
        Str bytes, again;
        CHECK(c->decode(arena, c->encode(arena, text), &bytes));
        CHECK(str_eq(bytes, text));
        if (!c->decode(arena, text, &bytes))
            continue;
        const Str canonical = c->encode(arena, bytes);
        CHECK(!c->strict || str_eq(canonical, text));
        CHECK(c->decode(arena, canonical, &again));
        CHECK(str_eq(again, bytes));
    }
    uint64_t v = 0;
    const int digits = 1 + (int)(size % 12);
    if (crockford_parse(text, digits, &v)) {
        uint64_t again = 0;
        CHECK(crockford_parse(crockford_print(arena, v, digits), digits, &again) && again == v);
    }
    arena_reset(arena);
    return 0;
}
