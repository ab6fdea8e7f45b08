/*
 * events/siphash.c -- SipHash-2-4 as its paper describes it, little-endian.
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

static void rounds(State *s, int n)
{
    for (; n > 0; n--) {
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
}

static void absorb(State *s, uint64_t word)
{
    s->v3 ^= word;
    rounds(s, 2);
    s->v0 ^= word;
}

uint64_t siphash(const uint8_t key[SIPHASH_KEY_BYTES], Str data)
{
    const uint64_t k0 = load64(key), k1 = load64(key + 8);
    State s = {k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
               k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573)};
    size_t i = 0;
    for (; i + 8 <= data.len; i += 8)
        absorb(&s, load64(data.ptr + i));
    uint64_t last = (uint64_t)data.len << 56;
    for (unsigned shift = 0; i < data.len; i++, shift += 8)
        last |= (uint64_t)(unsigned char)data.ptr[i] << shift;
    absorb(&s, last);
    s.v2 ^= 0xff;
    rounds(&s, 4);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
