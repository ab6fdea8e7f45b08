/*
 * events/siphash.c -- SipHash as its paper describes it, little-endian: of one text, and of several beside each other.
 */
#include "events/siphash.h"

#include <stdatomic.h>

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

static State begin(const uint8_t *key)
{
    const uint64_t k0 = load64(key), k1 = load64(key + 8);
    return (State){k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
                   k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573)};
}

static inline __attribute__((always_inline)) uint64_t end(State *s, int last_rounds)
{
    s->v2 ^= 0xff;
    for (int n = 0; n < last_rounds; n++)
        mix(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

static inline __attribute__((always_inline)) uint64_t hash(const uint8_t *key, Str data, int rounds,
                                                           int last_rounds)
{
    State s = begin(key);
    size_t i = 0;
    for (; i + 8 <= data.len; i += 8)
        absorb(&s, load64(data.ptr + i), rounds);
    absorb(&s, (uint64_t)data.len << 56 | rest_of(data, i), rounds);
    return end(&s, last_rounds);
}

uint64_t siphash(const uint8_t key[SIPHASH_KEY_BYTES], Str data)
{
    return hash(key, data, 2, 4);
}

uint64_t siphash_13(const uint8_t key[SIPHASH_KEY_BYTES], Str data)
{
    return hash(key, data, 1, 3);
}

/* ---- many at once ---------------------------------------------------------------------------------- */

bool siphash_put(SiphashLanes *l, uint32_t lane, Str data)
{
    const size_t whole = data.len / 8;
    if (whole >= SIPHASH_LANE_WORDS)
        return false;
    for (size_t i = 0; i < whole; i++)
        l->words[i][lane] = load64(data.ptr + 8 * i);
    const uint64_t behind = UINT64_MAX << 8 * (data.len % 8);
    l->words[whole][lane] = (load64(data.ptr + 8 * whole) & ~behind) | (uint64_t)data.len << 56;
    l->count[lane] = whole + 1;
    return true;
}

static inline __attribute__((always_inline)) void one_by_one(const uint8_t *key,
                                                             const SiphashLanes *l, uint32_t n,
                                                             int rounds, int last_rounds,
                                                             uint64_t *out)
{
    for (uint32_t lane = 0; lane < n; lane++) {
        State s = begin(key);
        for (uint64_t i = 0; i < l->count[lane]; i++)
            absorb(&s, l->words[i][lane], rounds);
        out[lane] = end(&s, last_rounds);
    }
}

#if defined(__x86_64__)

typedef uint64_t Lanes __attribute__((vector_size(8 * SIPHASH_LANES)));

typedef struct LaneState {
    Lanes v0, v1, v2, v3;
} LaneState;

#define LANES_INLINE  static inline __attribute__((always_inline))
#define TURN(v, by)   ((v) << (by) | (v) >> (64 - (by)))
#define WIDE_FUNCTION __attribute__((target("avx512f,avx512dq")))

LANES_INLINE void mix_lanes(LaneState *s)
{
    s->v0 += s->v1;
    s->v1 = TURN(s->v1, 13) ^ s->v0;
    s->v0 = TURN(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = TURN(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = TURN(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = TURN(s->v1, 17) ^ s->v2;
    s->v2 = TURN(s->v2, 32);
}

LANES_INLINE void absorb_lanes(LaneState *s, const uint64_t *words, int rounds)
{
    Lanes word;
    memcpy(&word, words, sizeof word);
    s->v3 ^= word;
    for (int n = 0; n < rounds; n++)
        mix_lanes(s);
    s->v0 ^= word;
}

/* Lanes that have no word there stay as they were. */
LANES_INLINE void keep_ended(LaneState *s, const LaneState *before, const uint64_t *count,
                             uint64_t at)
{
    Lanes counts;
    memcpy(&counts, count, sizeof counts);
    const Lanes go_on = (Lanes)(counts > at);
    s->v0 = (s->v0 & go_on) | (before->v0 & ~go_on);
    s->v1 = (s->v1 & go_on) | (before->v1 & ~go_on);
    s->v2 = (s->v2 & go_on) | (before->v2 & ~go_on);
    s->v3 = (s->v3 & go_on) | (before->v3 & ~go_on);
}

LANES_INLINE void beside(const uint8_t *key, const SiphashLanes *l, uint32_t n, int rounds,
                         int last_rounds, uint64_t *out)
{
    const State from = begin(key);
    const Lanes none = {0};
    LaneState s = {none + from.v0, none + from.v1, none + from.v2, none + from.v3};
    uint64_t least = SIPHASH_LANE_WORDS, most = 0;
    for (uint32_t lane = 0; lane < n; lane++) {
        least = l->count[lane] < least ? l->count[lane] : least;
        most = l->count[lane] > most ? l->count[lane] : most;
    }
    for (uint64_t at = 0; at < most; at++) {
        const LaneState before = s;
        absorb_lanes(&s, l->words[at], rounds);
        if (at >= least)
            keep_ended(&s, &before, l->count, at);
    }
    s.v2 ^= 0xff;
    for (int i = 0; i < last_rounds; i++)
        mix_lanes(&s);
    const Lanes hashes = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    memcpy(out, &hashes, n * sizeof *out);
}

WIDE_FUNCTION static void wide(const uint8_t *key, const SiphashLanes *l, uint32_t n, uint64_t *out)
{
    beside(key, l, n, 2, 4, out);
}

WIDE_FUNCTION static void wide_13(const uint8_t *key, const SiphashLanes *l, uint32_t n,
                                  uint64_t *out)
{
    beside(key, l, n, 1, 3, out);
}
#endif

static void plain(const uint8_t *key, const SiphashLanes *l, uint32_t n, uint64_t *out)
{
    one_by_one(key, l, n, 2, 4, out);
}

static void plain_13(const uint8_t *key, const SiphashLanes *l, uint32_t n, uint64_t *out)
{
    one_by_one(key, l, n, 1, 3, out);
}

typedef void (*LanesFn)(const uint8_t *key, const SiphashLanes *l, uint32_t n, uint64_t *out);
typedef struct LanesWay {
    LanesFn of_24, of_13;
} LanesWay;

static const LanesWay *find_way(void)
{
    static const LanesWay PLAIN = {plain, plain_13};
#if defined(__x86_64__)
    static const LanesWay WIDE = {wide, wide_13};
    if (__builtin_cpu_supports("avx512dq"))
        return &WIDE;
#endif
    return &PLAIN;
}

static const LanesWay *way(void)
{
    static const LanesWay *_Atomic chosen;
    const LanesWay *known = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (known == NULL)
        atomic_store_explicit(&chosen, known = find_way(), memory_order_relaxed);
    return known;
}

void siphash_lanes(const uint8_t key[SIPHASH_KEY_BYTES], const SiphashLanes *l, uint32_t n,
                   uint64_t *out)
{
    way()->of_24(key, l, n, out);
}

void siphash_lanes_13(const uint8_t key[SIPHASH_KEY_BYTES], const SiphashLanes *l, uint32_t n,
                      uint64_t *out)
{
    way()->of_13(key, l, n, out);
}
