/*
 * engine/kernels_avx2.c -- the kernels for processors with AVX2.
 */
#include "engine/kernels_plain.h"

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

static void avx2_keys(const uint8_t *src, uint32_t n, uint32_t *out)
{
    const uint8_t *data = src + (n + 3) / 4;
    __m128i key = _mm_setzero_si128();
    for (uint32_t i = 0; i < n; i += 4) {
        const uint8_t control = src[i >> 2];
        __m128i v = _mm_shuffle_epi8(
            _mm_loadu_si128((const __m128i *)(const void *)data),
            _mm_loadu_si128((const __m128i *)(const void *)kernel_key_shuffle[control]));
        v = _mm_add_epi32(v, _mm_slli_si128(v, 4));
        v = _mm_add_epi32(v, _mm_slli_si128(v, 8));
        v = _mm_add_epi32(v, _mm_shuffle_epi32(key, 0xFF));
        _mm_storeu_si128((__m128i *)(void *)(out + i), v);
        key = v;
        data += kernel_key_bytes[control];
    }
}

static uint64_t avx2_count_both(const uint64_t *a, const uint64_t *b, uint32_t words)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < words; i++)
        count += (uint64_t)__builtin_popcountll(a[i] & b[i]);
    return count;
}

const Kernels KERNELS_AVX2 = {
    .name = "avx2",
    .unpack32 = avx2_unpack32,
    .unpack8 = plain_unpack8,
    .keys = avx2_keys,
    .pick = plain_pick,
    .weave = plain_weave,
    .count_both = avx2_count_both,
};
#endif
