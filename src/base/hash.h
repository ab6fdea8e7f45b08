/*
 * base/hash.h -- a fast hash for tables, and bytes as text: hex, base64, Crockford's base32.
 *
 * hash_*: not cryptographic, may differ between versions of the program: never store or send it.
 * Give a table that holds foreign keys a seed from rand_u64(), so that nobody can choose collisions.
 * For everything that must stay secret or the same for ever see base/crypto.h.
 * Results live in the arena.  Decoders give false on anything that no encoder would have written
 * (beyond the leniency they state), and then leave *out untouched.  Threads: any.
 */
#pragma once

#include "base/arena.h"

/* The step that all of them are made of: both halves of a product. */
static inline uint64_t hash_fold(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 Wide;
    const Wide product = (Wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t hash_bytes(Str s, uint64_t seed);
uint64_t hash_u64(uint64_t v, uint64_t seed);

/* Lower case; the decoder takes both cases. */
Str hex_encode(Arena *arena, Str bytes);
MUST_USE bool hex_decode(Arena *arena, Str text, Str *out);

/* RFC 4648 section 4, with padding. */
Str base64_encode(Arena *arena, Str bytes);
MUST_USE bool base64_decode(Arena *arena, Str text, Str *out);

/* RFC 4648 section 5, without padding. */
Str base64url_encode(Arena *arena, Str bytes);
MUST_USE bool base64url_decode(Arena *arena, Str text, Str *out);

/*
 * Crockford's base32: 0-9 A-Z without I L O U, five bits a character, most significant first; the
 * last character is filled up with zero bits.  People type these, so decoding takes lower case, O for
 * 0, I and L for 1, and skips '-' and ' '.
 */
Str crockford_encode(Arena *arena, Str bytes);
MUST_USE bool crockford_decode(Arena *arena, Str text, Str *out);

/* The same for a number of exactly `digits` characters (1 to 12: 5 to 60 bits), `v` must fit. */
Str crockford_print(Arena *arena, uint64_t v, int digits);
MUST_USE bool crockford_parse(Str text, int digits, uint64_t *out);
