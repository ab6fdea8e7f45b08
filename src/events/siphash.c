/*
 * events/siphash.c -- SipHash as its paper describes it, little-endian.
 */
#include "events/siphash.h"

typedef struct State {
    uint64_t v0, v1, v2, v3;
} State;

static uint64_t rotl(uint64_t v, unsigned by)
{
    return (v << by) | (v >> (64 - by));
}

static uint64_t load64(const void *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

static inline void mix(State *s)
{
    s->v0 += s->v1;
    s->v1 = rotl(s->v1, 13) ^ s->v0;
    s->v0 = rotl(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotl(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotl(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotl(s->v1, 17) ^ s->v2;
    s->v2 = rotl(s->v2, 32);
}

static inline __attribute__((always_inline)) void absorb(State *s, uint64_t word, int rounds)
{
    s->v3 ^= word;
    for (int n = 0; n < rounds; n++)
        mix(s);
    s->v0 ^= word;
}

/* The bytes behind the last whole word, lowest first; from the end of the word that overlaps them. */
static inline uint64_t rest_of(Str data, size_t at)
{
    uint64_t last = 0;
    if (data.len >= 8)
        return at == data.len ? 0 : load64(data.ptr + data.len - 8) >> 8 * (8 - (data.len - at));
    for (unsigned shift = 0; at < data.len; at++, shift += 8)
        last |= (uint64_t)(unsigned char)data.ptr[at] << shift;
    return last;
}

static inline __attribute__((always_inline)) uint64_t hash(const uint8_t *key, Str data, int rounds,
                                                           int last_rounds)
{
    const uint64_t k0 = load64(key), k1 = load64(key + 8);
    State s = {k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
               k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573)};
    size_t i = 0;
    for (; i + 8 <= data.len; i += 8)
        absorb(&s, load64(data.ptr + i), rounds);
    absorb(&s, (uint64_t)data.len << 56 | rest_of(data, i), rounds);
    s.v2 ^= 0xff;
    for (int n = 0; n < last_rounds; n++)
        mix(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t siphash(const uint8_t key[SIPHASH_KEY_BYTES], Str data)
{
    return hash(key, data, 2, 4);
}

uint64_t siphash_13(const uint8_t key[SIPHASH_KEY_BYTES], Str data)
{
    return hash(key, data, 1, 3);
}
