/*
 * engine/core/kernels_avx2.c -- the kernels for processors with AVX2.
 */
#include "engine/core/kernels_plain.h"

#if defined(__x86_64__)
#include <immintrin.h>

/* Eight values of at most 25 bits take `width` whole bytes: the place of each within them, and how far
 * it must be shifted, is the same for every group of eight. */
static void avx2_unpack32(const uint8_t *src, uint64_t first, uint32_t n, int width, uint32_t *out)
{
    if (width == 0 || width > 25) {
        plain_unpack32(src, first, n, width, out);
        return;
    }
    const uint64_t bit = first * (uint64_t)width;
    const int phase = (int)(bit & 7);
    const int high = (phase + 4 * width) >> 3; /* where the second four begin */
    uint8_t shuffle[32];
    uint32_t shift[8];
    for (int i = 0; i < 8; i++) {
        const int at = phase + i * width;
        shift[i] = (uint32_t)(at & 7);
        for (int byte = 0; byte < 4; byte++)
            shuffle[4 * i + byte] = (uint8_t)((at >> 3) - (i < 4 ? 0 : high) + byte);
    }
    const __m256i places = _mm256_loadu_si256((const __m256i *)(const void *)shuffle);
    const __m256i shifts = _mm256_loadu_si256((const __m256i *)(const void *)shift);
    const __m256i mask = _mm256_set1_epi32((int)((1U << width) - 1));
    const uint8_t *at = src + (bit >> 3);
    for (uint32_t i = 0; i < n; i += 8, at += width) {
        const __m128i low4 = _mm_loadu_si128((const __m128i *)(const void *)at);
        const __m128i high4 = _mm_loadu_si128((const __m128i *)(const void *)(at + high));
        const __m256i bytes = _mm256_shuffle_epi8(_mm256_set_m128i(high4, low4), places);
        const __m256i values = _mm256_and_si256(_mm256_srlv_epi32(bytes, shifts), mask);
        _mm256_storeu_si256((__m256i *)(void *)(out + i), values);
    }
}

static uint32_t avx2_keys(KeyPlace *at, uint32_t n, uint32_t *out)
{
    const uint8_t *const src = at->control, *data = at->data;
    __m128i key = _mm_set1_epi32((int)at->before), all = _mm_setzero_si128();
    const uint32_t whole = n & ~UINT32_C(3);
    for (uint32_t i = 0; i < whole; i += 4) {
        const uint8_t control = src[i >> 2];
        __m128i v = _mm_shuffle_epi8(
            _mm_loadu_si128((const __m128i *)(const void *)data),
            _mm_loadu_si128((const __m128i *)(const void *)kernel_key_shuffle[control]));
        v = _mm_add_epi32(v, _mm_slli_si128(v, 4));
        v = _mm_add_epi32(v, _mm_slli_si128(v, 8));
        v = _mm_add_epi32(v, _mm_shuffle_epi32(key, 0xFF));
        _mm_storeu_si128((__m128i *)(void *)(out + i), v);
        key = v;
        all = _mm_or_si128(all, v);
        data += kernel_key_bytes[control];
    }
    uint32_t keys[4], before = (uint32_t)_mm_extract_epi32(key, 3);
    _mm_storeu_si128((__m128i *)(void *)keys, all);
    for (uint32_t i = whole; i < n; i++) {
        const uint32_t bytes = (src[i >> 2] >> (i & 3) * 2 & 3U) + 1;
        before += kernel_load32(data) & (UINT32_MAX >> (32 - 8 * bytes));
        out[i] = before;
        keys[0] |= before;
        data += bytes;
    }
    *at = (KeyPlace){src + n / 4, data, before};
    return keys[0] | keys[1] | keys[2] | keys[3];
}

static inline __m256i load256(const void *at)
{
    return _mm256_loadu_si256(at);
}

static void avx2_in_table(const uint8_t *src, uint64_t first, uint32_t n, int width,
                          const uint8_t table[256 + 4], uint64_t *out)
{
    uint32_t codes[64 + KERNEL_SLACK];
    for (uint32_t i = 0; i < n; i += 64) {
        uint64_t word = 0;
        avx2_unpack32(src, first + i, 64, width, codes);
        for (uint32_t j = 0; j < 64; j += 8) {
            const __m256i in =
                _mm256_i32gather_epi32((const int *)(const void *)table, load256(codes + j), 1);
            const __m256i top = _mm256_slli_epi32(in, 31);
            word |= (uint64_t)(uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(top)) << j;
        }
        out[i / 64] = word;
    }
}

static void avx2_in_range(const uint32_t *values, uint32_t n, uint32_t mask, uint32_t low,
                          uint32_t span, uint64_t *out)
{
    const __m256i masks = _mm256_set1_epi32((int)mask), lows = _mm256_set1_epi32((int)low);
    const __m256i spans = _mm256_set1_epi32((int)span);
    for (uint32_t i = 0; i < n; i += 64) {
        uint64_t word = 0;
        for (uint32_t j = 0; j < 64 && i + j < n; j += 8) {
            const __m256i v = _mm256_and_si256(load256(values + i + j), masks);
            const __m256i off = _mm256_sub_epi32(v, lows);
            const __m256i in = _mm256_cmpeq_epi32(_mm256_min_epu32(off, spans), off);
            word |= (uint64_t)(uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(in)) << j;
        }
        out[i / 64] = word;
    }
}

/* All bits where the bound is at or below: a step down of one. */
static inline __m256i at_or_above(__m256i v, __m256i bound)
{
    return _mm256_cmpgt_epi32(v, _mm256_sub_epi32(bound, _mm256_set1_epi32(1)));
}

static inline __m256i rank8(__m256i v, const uint32_t *bounds, uint32_t bound_count)
{
    __m256i below = _mm256_setzero_si256();
    for (uint32_t b = 0; b < bound_count; b++)
        below = _mm256_sub_epi32(below, at_or_above(v, _mm256_set1_epi32((int)bounds[b])));
    return below;
}

static void avx2_rank(const uint32_t *values, uint32_t n, uint32_t mask, const uint32_t *bounds,
                      uint32_t bound_count, uint16_t *out)
{
    const __m256i masks = _mm256_set1_epi32((int)mask);
    for (uint32_t i = 0; i < n; i += 8) {
        const __m256i v = _mm256_and_si256(load256(values + i), masks);
        const __m256i rank = rank8(v, bounds, bound_count);
        const __m128i low = _mm256_castsi256_si128(rank), high = _mm256_extracti128_si256(rank, 1);
        _mm_storeu_si128((__m128i *)(void *)(out + i), _mm_packus_epi32(low, high));
    }
}

/* Of the eight rows from row i on all bits of those in the set. */
static inline __m256i set8(const uint64_t *set, uint32_t n, uint32_t i)
{
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const int in = (int)(kernel_set_word(set, n, i / 64) >> (i & 63) & 0xFF);
    return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(in), bit), bit);
}

static inline uint32_t sum8(__m256i v)
{
    uint32_t lanes[8], sum = 0;
    _mm256_storeu_si256((__m256i *)(void *)lanes, v);
    for (int i = 0; i < 8; i++)
        sum += lanes[i];
    return sum;
}

/* Four bounds, each with a register that counts. */
static void count_from4(const uint32_t *values, uint32_t n, const uint64_t *set, uint32_t mask,
                        const uint32_t bounds[4], uint64_t counts[4])
{
    const __m256i masks = _mm256_set1_epi32((int)mask);
    __m256i below[4], found[4];
    for (int b = 0; b < 4; b++) {
        below[b] = _mm256_set1_epi32((int)bounds[b] - 1);
        found[b] = _mm256_setzero_si256();
    }
    for (uint32_t i = 0; i < n; i += 8) {
        const __m256i v = _mm256_and_si256(load256(values + i), masks);
        const __m256i in = set8(set, n, i);
#pragma GCC unroll 4
        for (int b = 0; b < 4; b++)
            found[b] =
                _mm256_sub_epi32(found[b], _mm256_and_si256(in, _mm256_cmpgt_epi32(v, below[b])));
    }
    for (int b = 0; b < 4; b++)
        counts[b] += sum8(found[b]);
}

static void avx2_count_from(const uint32_t *values, uint32_t n, const uint64_t *set, uint32_t mask,
                            const uint32_t *bounds, uint32_t bound_count, uint64_t *counts)
{
    for (uint32_t from = 0; from < bound_count; from += 4) {
        const uint32_t some = bound_count - from < 4 ? bound_count - from : 4;
        uint32_t four[4];
        uint64_t found[4] = {0};
        for (uint32_t b = 0; b < 4; b++)
            four[b] = bounds[from + (b < some ? b : some - 1)];
        count_from4(values, n, set, mask, four, found);
        for (uint32_t b = 0; b < some; b++)
            counts[from + b] += found[b];
    }
}

/* Those of the eight rows from row i on that are in the set and below n. */
static inline uint32_t rows8(const uint64_t *set, uint32_t n, uint32_t i)
{
    const uint32_t there = n - i >= 8 ? 0xFF : (1U << (n - i)) - 1;
    return set == NULL ? there : there & kernel_load32((const uint8_t *)set + i / 8) >> (i & 7);
}

/* A row goes when the one before it has the same place and is in the set, too.  All eight are written, each over the
 * one before it that goes. */
static uint32_t avx2_places(const uint32_t *values, uint32_t from, uint32_t to, const uint64_t *set,
                            const uint16_t *ranks, int width, int shift, uint32_t *out)
{
    const __m128i up = _mm_cvtsi32_si128(width), down = _mm_cvtsi32_si128(shift);
    const __m256i turn = _mm256_setr_epi32(7, 0, 1, 2, 3, 4, 5, 6);
    __m256i before = _mm256_setzero_si256(); /* its first is the one before the eight */
    uint32_t found = 0, in_before = 0, places[8];
    for (uint32_t i = from; i < to; i += 8) {
        const __m256i rank =
            _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(ranks + i)));
        const __m256i place = _mm256_or_si256(_mm256_sll_epi32(rank, up),
                                              _mm256_srl_epi32(load256(values + i), down));
        const __m256i turned = _mm256_permutevar8x32_epi32(place, turn);
        const __m256i same = _mm256_cmpeq_epi32(place, _mm256_blend_epi32(turned, before, 1));
        _mm256_storeu_si256((__m256i *)(void *)places, place);
        const uint32_t alike = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(same));
        const uint32_t in = rows8(set, to, i);
        const uint32_t taken = in & ~(alike & (in << 1 | in_before));
        for (uint32_t j = 0; j < 8; j++) {
            out[found] = places[j];
            found += taken >> j & 1;
        }
        in_before = in >> 7;
        before = turned;
    }
    return found;
}

static uint64_t avx2_count(const uint64_t *words, size_t n)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < n; i++)
        bits += (uint64_t)__builtin_popcountll(words[i]);
    return bits;
}

static uint64_t avx2_count_both(const uint64_t *a, const uint64_t *b, uint32_t words)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < words; i++)
        count += (uint64_t)__builtin_popcountll(a[i] & b[i]);
    return count;
}

static void avx2_numbers(const uint32_t *stored, uint32_t n, uint64_t base, bool nullable,
                         int64_t missing, int64_t *out)
{
    const __m256i bases = _mm256_set1_epi64x((long long)base), none = _mm256_set1_epi64x(missing);
    const __m256i mask = _mm256_set1_epi64x(nullable ? -1 : 0), zero = _mm256_setzero_si256();
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const __m256i four =
            _mm256_cvtepu32_epi64(_mm_loadu_si128((const __m128i *)(const void *)(stored + i)));
        const __m256i is_none = _mm256_and_si256(_mm256_cmpeq_epi64(four, zero), mask);
        _mm256_storeu_si256((__m256i *)(void *)(out + i),
                            _mm256_blendv_epi8(_mm256_add_epi64(four, bases), none, is_none));
    }
    plain_numbers(stored + i, n - i, base, nullable, missing, out + i);
}

static uint64_t avx2_stored(int64_t *values, uint32_t n, uint64_t base, int64_t missing, bool *any)
{
    const __m256i bases = _mm256_set1_epi64x((long long)base), none = _mm256_set1_epi64x(missing);
    __m256i all = _mm256_setzero_si256(), some = all;
    uint64_t words[4];
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const __m256i four = load256(values + i), is_none = _mm256_cmpeq_epi64(four, none);
        const __m256i out = _mm256_andnot_si256(is_none, _mm256_sub_epi64(four, bases));
        some = _mm256_or_si256(some, is_none);
        all = _mm256_or_si256(all, out);
        _mm256_storeu_si256((__m256i *)(void *)(values + i), out);
    }
    _mm256_storeu_si256((__m256i *)(void *)words, all);
    const uint64_t rest = plain_stored(values + i, n - i, base, missing, any);
    *any |= _mm256_testz_si256(some, some) == 0;
    return rest | words[0] | words[1] | words[2] | words[3];
}

static uint32_t avx2_rebase(uint32_t *stored, uint32_t n, uint32_t more, bool nullable)
{
    const __m256i mores = _mm256_set1_epi32((int)more), zero = _mm256_setzero_si256();
    const __m256i mask = _mm256_set1_epi32(nullable ? -1 : 0);
    __m256i all = zero;
    uint32_t words[8], i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256i eight = load256(stored + i);
        const __m256i stays = _mm256_and_si256(_mm256_cmpeq_epi32(eight, zero), mask);
        const __m256i out = _mm256_andnot_si256(stays, _mm256_add_epi32(eight, mores));
        all = _mm256_or_si256(all, out);
        _mm256_storeu_si256((__m256i *)(void *)(stored + i), out);
    }
    _mm256_storeu_si256((__m256i *)(void *)words, all);
    uint32_t rest = plain_rebase(stored + i, n - i, more, nullable);
    for (uint32_t w = 0; w < ARRAY_LEN(words); w++)
        rest |= words[w];
    return rest;
}

static bool avx2_ascend(const uint32_t *values, uint32_t n, uint32_t before, uint32_t mask,
                        uint32_t most)
{
    const __m256i masks = _mm256_set1_epi32((int)mask), mosts = _mm256_set1_epi32((int)most);
    __m256i good = _mm256_set1_epi32(-1);
    uint32_t i = 1;
    for (; n >= 9 && i <= n - 8; i += 8) {
        const __m256i here = load256(values + i), last = load256(values + i - 1);
        const __m256i masked = _mm256_and_si256(here, masks);
        const __m256i up = _mm256_cmpeq_epi32(_mm256_max_epu32(here, last), here);
        const __m256i in = _mm256_cmpeq_epi32(_mm256_min_epu32(masked, mosts), masked);
        good = _mm256_and_si256(good, _mm256_and_si256(up, in));
    }
    return _mm256_movemask_epi8(good) == -1 &&
           plain_ascend(values, n < 1 ? n : 1, before, mask, most) &&
           (i >= n || plain_ascend(values + i, n - i, values[i - 1], mask, most));
}

const Kernels KERNELS_AVX2 = {
    .name = "avx2",
    .unpack32 = avx2_unpack32,
    .unpack8 = plain_unpack8,
    .keys = avx2_keys,
    .ascend = avx2_ascend,
    .pick = plain_pick,
    .weave = plain_weave,
    .count = avx2_count,
    .in_table = avx2_in_table,
    .in_range = avx2_in_range,
    .drop_marked = plain_drop_marked,
    .take32 = plain_take32,
    .take8 = plain_take8,
    .rows_of = plain_rows_of,
    .rank = avx2_rank,
    .count_from = avx2_count_from,
    .places = avx2_places,
    .count_both = avx2_count_both,
    .numbers = avx2_numbers,
    .stored = avx2_stored,
    .rebase = avx2_rebase,
    .pairs = plain_pairs,
};
#endif
