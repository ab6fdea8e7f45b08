/*
 * engine/kernels_avx512.c -- the kernels for processors with AVX-512, VBMI2 and VPOPCNTDQ (Ice Lake, Zen 4 and on).
 */
#include "engine/kernels_plain.h"

#if defined(__x86_64__)
#include <immintrin.h>

static inline __m512i load512(const void *at)
{
    return _mm512_loadu_si512(at);
}

/* Sixteen values of at most 25 bits take 2 * width whole bytes, at most 51 with the bits before them:
 * one permutation puts the bytes of each into its lane, the same for every group of sixteen. */
static void avx512_unpack32(const uint8_t *src, uint64_t first, uint32_t n, int width,
                            uint32_t *out)
{
    if (width == 0 || width > 25) {
        plain_unpack32(src, first, n, width, out);
        return;
    }
    const uint64_t bit = first * (uint64_t)width;
    uint8_t place[64];
    uint32_t shift[16];
    for (int i = 0; i < 16; i++) {
        const int at = (int)(bit & 7) + i * width;
        shift[i] = (uint32_t)(at & 7);
        for (int byte = 0; byte < 4; byte++)
            place[4 * i + byte] = (uint8_t)((at >> 3) + byte);
    }
    const __m512i places = load512(place), shifts = load512(shift);
    const __m512i mask = _mm512_set1_epi32((int)((1U << width) - 1));
    const uint8_t *at = src + (bit >> 3);
    for (uint32_t i = 0; i < n; i += 16, at += 2 * width) {
        const __m512i bytes = _mm512_permutexvar_epi8(places, load512(at));
        _mm512_storeu_si512(out + i, _mm512_and_si512(_mm512_srlv_epi32(bytes, shifts), mask));
    }
}

/* Sixty-four values take 8 * width whole bytes; each lane of eight picks its bits out of eight bytes. */
static void avx512_unpack8(const uint8_t *src, uint64_t first, uint32_t n, int width, uint8_t *out)
{
    if (width == 0) {
        memset(out, 0, n);
        return;
    }
    const uint64_t bit = first * (uint64_t)width;
    uint8_t place[64], shift[64];
    for (int lane = 0; lane < 8; lane++) {
        const int base = (int)(bit & 7) + lane * 8 * width;
        for (int i = 0; i < 8; i++) {
            place[8 * lane + i] = (uint8_t)((base >> 3) + i);
            shift[8 * lane + i] = (uint8_t)((base & 7) + i * width);
        }
    }
    const __m512i places = load512(place), shifts = load512(shift);
    const __m512i mask = _mm512_set1_epi8((char)((1 << width) - 1));
    const uint8_t *at = src + (bit >> 3);
    for (uint32_t i = 0; i < n; i += 64, at += 8 * width) {
        const __m512i lanes = _mm512_permutexvar_epi8(places, load512(at));
        const __m512i bits = _mm512_multishift_epi64_epi8(shifts, lanes);
        _mm512_storeu_si512(out + i, _mm512_and_si512(bits, mask));
    }
}

/* Sixteen deltas at once: their bytes are spread to their lanes, then summed up in four steps. */
static void avx512_keys(const uint8_t *src, uint32_t n, uint32_t *out)
{
    const uint8_t *data = src + (n + 3) / 4;
    const __m512i none = _mm512_setzero_si512(), last = _mm512_set1_epi32(15);
    __m512i key = none;
    for (uint32_t i = 0; i < n; i += 16) {
        const uint8_t *control = src + (i >> 2);
        uint64_t lanes = 0;
        for (uint32_t j = 0; j < 4 && i + 4 * j < n; j++)
            lanes |= (uint64_t)kernel_key_lanes[control[j]] << 16 * j;
        __m512i v = _mm512_maskz_expand_epi8(lanes, load512(data));
        v = _mm512_add_epi32(v, _mm512_alignr_epi32(v, none, 15));
        v = _mm512_add_epi32(v, _mm512_alignr_epi32(v, none, 14));
        v = _mm512_add_epi32(v, _mm512_alignr_epi32(v, none, 12));
        v = _mm512_add_epi32(v, _mm512_alignr_epi32(v, none, 8));
        key = _mm512_add_epi32(v, _mm512_permutexvar_epi32(last, key));
        _mm512_storeu_si512(out + i, key);
        data += __builtin_popcountll(lanes);
    }
}

static uint32_t avx512_pick(const uint8_t *codes, uint32_t n, const uint8_t table[256],
                            uint8_t *out)
{
    const __m512i t0 = load512(table), t1 = load512(table + 64);
    const __m512i t2 = load512(table + 128), t3 = load512(table + 192);
    const __m512i none = _mm512_set1_epi8((char)KERNEL_PICK_NONE);
    uint32_t picked = 0;
    for (uint32_t i = 0; i < n; i += 64) {
        const __mmask64 valid = n - i >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << (n - i)) - 1;
        const __m512i code = load512(codes + i);
        const __m512i low = _mm512_permutex2var_epi8(t0, code, t1);
        const __m512i high = _mm512_permutex2var_epi8(t2, code, t3);
        const __m512i list = _mm512_mask_blend_epi8(_mm512_movepi8_mask(code), low, high);
        const __mmask64 wanted = _mm512_mask_cmpneq_epu8_mask(valid, list, none);
        _mm512_storeu_si512(out + picked, _mm512_maskz_compress_epi8(wanted, list));
        picked += (uint32_t)__builtin_popcountll(wanted);
    }
    return picked;
}

/* Per list one expansion, whatever comes next; with many lists one row at a time is faster. */
static void avx512_weave(const uint8_t *lists, uint32_t n, const uint32_t **from, uint32_t count,
                         uint32_t *out)
{
    if (count > 8) {
        plain_weave(lists, n, from, count, out);
        return;
    }
    for (uint32_t i = 0; i < n; i += 16) {
        const __mmask16 valid = (__mmask16)(n - i >= 16 ? 0xFFFF : (1U << (n - i)) - 1);
        const __m128i list = _mm_loadu_si128((const __m128i *)(const void *)(lists + i));
        __m512i v = _mm512_setzero_si512();
        for (uint32_t l = 0; l < count; l++) {
            const __mmask16 mine = _mm_mask_cmpeq_epi8_mask(valid, list, _mm_set1_epi8((char)l));
            v = _mm512_mask_expand_epi32(v, mine, load512(from[l]));
            from[l] += __builtin_popcount(mine);
        }
        _mm512_storeu_si512(out + i, v);
    }
}

static uint64_t avx512_count_both(const uint64_t *a, const uint64_t *b, uint32_t words)
{
    __m512i count = _mm512_setzero_si512();
    for (uint32_t i = 0; i < words; i += 8) {
        const __mmask8 there = (__mmask8)(words - i >= 8 ? 0xFF : (1U << (words - i)) - 1);
        const __m512i both = _mm512_and_si512(_mm512_maskz_loadu_epi64(there, a + i),
                                              _mm512_maskz_loadu_epi64(there, b + i));
        count = _mm512_add_epi64(count, _mm512_popcnt_epi64(both));
    }
    return (uint64_t)_mm512_reduce_add_epi64(count);
}

const Kernels KERNELS_AVX512 = {
    .name = "avx512",
    .unpack32 = avx512_unpack32,
    .unpack8 = avx512_unpack8,
    .keys = avx512_keys,
    .pick = avx512_pick,
    .weave = avx512_weave,
    .count_both = avx512_count_both,
};
#endif
