/*
 * base/rand.c -- libsodium's generator (getrandom) and xoshiro256** behind base/rand.h.
 */
#include "base/rand.h"

#include "base/hash.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>

static pthread_once_t sodium_once = PTHREAD_ONCE_INIT;

static void start_sodium(void)
{
    CHECK(sodium_init() >= 0);
}

void rand_bytes(void *out, size_t n)
{
    CHECK(pthread_once(&sodium_once, start_sodium) == 0);
    randombytes_buf(out, n);
}

uint64_t rand_u64(void)
{
    uint64_t v = 0;
    rand_bytes(&v, sizeof v);
    return v;
}

/* The first values of the 2^64 are thrown away so that `n` divides the number of those left. */
static bool is_fair(uint64_t v, uint64_t n)
{
    return v >= -n % n;
}

uint64_t rand_below(uint64_t n)
{
    CHECK(n > 0);
    uint64_t v = 0;
    do {
        v = rand_u64();
    } while (!is_fair(v, n));
    return v % n;
}

Str rand_token(Arena *arena, size_t n_bytes)
{
    char *bytes = arena_bytes(arena, n_bytes);
    rand_bytes(bytes, n_bytes);
    const Str text = base64url_encode(arena, (Str){bytes, n_bytes});
    sodium_memzero(bytes, n_bytes);
    return text;
}

void rand_uuid(int64_t now_ms, char out[RAND_UUID_BYTES])
{
    CHECK(now_ms >= 0 && now_ms < INT64_C(1) << 48);
    const uint64_t r = rand_u64();
    (void)snprintf(out, RAND_UUID_BYTES,
                   "%08" PRIx64 "-%04" PRIx64 "-7%03" PRIx64 "-%04" PRIx64 "-%012" PRIx64,
                   (uint64_t)now_ms >> 16, (uint64_t)now_ms & 0xffff, r & 0xfff,
                   0x8000 | (r >> 12 & 0x3fff), rand_u64() & UINT64_C(0xffffffffffff));
}

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

Prng prng_of(uint64_t seed)
{
    Prng r;
    for (size_t i = 0; i < ARRAY_LEN(r.s); i++)
        r.s[i] = splitmix(&seed);
    return r;
}

static uint64_t rotate_left(uint64_t v, int by)
{
    return v << by | v >> (64 - by);
}

uint64_t prng_u64(Prng *r)
{
    const uint64_t result = rotate_left(r->s[1] * 5, 7) * 9, t = r->s[1] << 17;
    r->s[2] ^= r->s[0];
    r->s[3] ^= r->s[1];
    r->s[1] ^= r->s[2];
    r->s[0] ^= r->s[3];
    r->s[2] ^= t;
    r->s[3] = rotate_left(r->s[3], 45);
    return result;
}

uint64_t prng_below(Prng *r, uint64_t n)
{
    CHECK(n > 0);
    uint64_t v = 0;
    do {
        v = prng_u64(r);
    } while (!is_fair(v, n));
    return v % n;
}
