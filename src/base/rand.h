/*
 * base/rand.h -- unpredictable numbers from the kernel; and, apart from them, repeatable ones.
 *
 * rand_*: cryptographic, for keys, tokens, codes and draws that people must not foresee.
 * prng_*: a seeded sequence for tests and simulations.  Never for anything a person could guess at.
 * Threads: rand_* any; a Prng belongs to one thread at a time.
 */
#pragma once

#include "base/arena.h"

void rand_bytes(void *out, size_t n);
uint64_t rand_u64(void);

/* Uniform in [0, n), n > 0, without modulo bias. */
uint64_t rand_below(uint64_t n);

/* `n_bytes` unpredictable bytes as base64url text without padding: 32 bytes give 43 characters. */
Str rand_token(Arena *arena, size_t n_bytes);

/* A UUID version 7 (RFC 9562): 48 bits of `now_ms`, 74 random bits, lower case. */
enum { RAND_UUID_BYTES = 37 }; /* 36 characters and a NUL */
void rand_uuid(int64_t now_ms, char out[RAND_UUID_BYTES]);

/* xoshiro256** by Blackman and Vigna, seeded with splitmix64. */
typedef struct Prng {
    uint64_t s[4];
} Prng;

Prng prng_of(uint64_t seed);
uint64_t prng_u64(Prng *r);

/* Uniform in [0, n), n > 0. */
uint64_t prng_below(Prng *r, uint64_t n);
