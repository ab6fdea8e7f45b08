/*
 * engine/core/kernels_avx512.c -- the kernels for processors with AVX-512, VBMI2 and VPOPCNTDQ (Ice Lake, Zen 4 and on).
 */
#include "engine/core/kernels_plain.h"

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
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i bits = _mm512_add_epi32(_mm512_mullo_epi32(lanes, _mm512_set1_epi32(width)),
                                          _mm512_set1_epi32((int)(bit & 7)));
    const __m512i shifts = _mm512_and_si512(bits, _mm512_set1_epi32(7));
    const __m512i firsts =
        _mm512_mullo_epi32(_mm512_srli_epi32(bits, 3), _mm512_set1_epi32(0x01010101));
    const __m512i places = _mm512_add_epi32(firsts, _mm512_set1_epi32(0x03020100));
    const __m512i mask = _mm512_set1_epi32((int)((1U << width) - 1));
    const uint8_t *at = src + (bit >> 3);
    for (uint32_t i = 0; i < n; i += 16, at += 2 * width) {
        const __m512i bytes = _mm512_permutexvar_epi8(places, load512(at));
        _mm512_storeu_si512(out + i, _mm512_and_si512(_mm512_srlv_epi32(bytes, shifts), mask));
    }
}

/* Sixty-four values take 8 * width whole bytes; each lane of eight picks its bits out of eight bytes. */
typedef struct Unpack8 {
    __m512i places, shifts, mask;
    const uint8_t *at;
    int step;
} Unpack8;

static Unpack8 unpack8_from(const uint8_t *src, uint64_t first, int width)
{
    const uint64_t bit = first * (uint64_t)width;
    uint8_t place[64], shift[64];
    for (int lane = 0; lane < 8; lane++) {
        const int base = (int)(bit & 7) + lane * 8 * width;
        for (int i = 0; i < 8; i++) {
            place[8 * lane + i] = (uint8_t)((base >> 3) + i);
            shift[8 * lane + i] = (uint8_t)((base & 7) + i * width);
        }
    }
    return (Unpack8){load512(place), load512(shift), _mm512_set1_epi8((char)((1 << width) - 1)),
                     src + (bit >> 3), 8 * width};
}

static inline __m512i unpack8_next(Unpack8 *u)
{
    const __m512i lanes = _mm512_permutexvar_epi8(u->places, load512(u->at));
    u->at += u->step;
    return _mm512_and_si512(_mm512_multishift_epi64_epi8(u->shifts, lanes), u->mask);
}

static void avx512_unpack8(const uint8_t *src, uint64_t first, uint32_t n, int width, uint8_t *out)
{
    if (width == 0) {
        memset(out, 0, n);
        return;
    }
    Unpack8 u = unpack8_from(src, first, width);
    for (uint32_t i = 0; i < n; i += 64)
        _mm512_storeu_si512(out + i, unpack8_next(&u));
}

/* Which data bytes go where for the keys of four control bytes.  Behind the last keys stand data: without a branch,
 * as most streams are short. */
static inline uint64_t key_lanes(const uint8_t *control, uint32_t keys)
{
    const uint64_t lanes =
        (uint64_t)kernel_key_lanes[control[0]] | (uint64_t)kernel_key_lanes[control[1]] << 16 |
        (uint64_t)kernel_key_lanes[control[2]] << 32 | (uint64_t)kernel_key_lanes[control[3]] << 48;
    return keys >= 16 ? lanes : lanes & ((UINT64_C(1) << 4 * keys) - 1);
}

/* Sixteen deltas at once: their bytes are spread to their lanes, then summed up in four steps.  What stands behind
 * the last key is that key again. */
static uint32_t avx512_keys(KeyPlace *at, uint32_t n, uint32_t *out)
{
    const uint8_t *const src = at->control, *data = at->data;
    const __m512i none = _mm512_setzero_si512(), last = _mm512_set1_epi32(15);
    __m512i key = _mm512_set1_epi32((int)at->before), all = none;
    for (uint32_t i = 0; i < n; i += 16) {
        const uint64_t lanes = key_lanes(src + (i >> 2), n - i);
        __m512i v = _mm512_maskz_expand_epi8(lanes, load512(data));
        v = _mm512_add_epi32(v, _mm512_alignr_epi32(v, none, 15));
        v = _mm512_add_epi32(v, _mm512_alignr_epi32(v, none, 14));
        v = _mm512_add_epi32(v, _mm512_alignr_epi32(v, none, 12));
        v = _mm512_add_epi32(v, _mm512_alignr_epi32(v, none, 8));
        key = _mm512_add_epi32(v, _mm512_permutexvar_epi32(last, key));
        all = _mm512_or_si512(all, key);
        _mm512_storeu_si512(out + i, key);
        data += __builtin_popcountll(lanes);
    }
    *at = (KeyPlace){src + n / 4, data, n == 0 ? at->before : out[n - 1]};
    return (uint32_t)_mm512_reduce_or_epi32(all);
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

static inline __mmask16 valid16(uint32_t left)
{
    return (__mmask16)(left >= 16 ? 0xFFFF : (1U << left) - 1);
}

/* Those of the sixteen rows from row i on that are in the set and below n. */
static inline __mmask16 set16(const uint64_t *set, uint32_t n, uint32_t i)
{
    if (set == NULL)
        return valid16(n - i);
    const uint32_t bits = kernel_load32((const uint8_t *)set + i / 8) >> (i & 7);
    return (__mmask16)(valid16(n - i) & bits);
}

static void avx512_in_table(const uint8_t *src, uint64_t first, uint32_t n, int width,
                            const uint8_t table[256 + 4], uint64_t *out)
{
    const __m512i t0 = load512(table), t1 = load512(table + 64);
    const __m512i t2 = load512(table + 128), t3 = load512(table + 192);
    Unpack8 u = unpack8_from(src, first, width);
    for (uint32_t i = 0; i < n; i += 64) {
        const __m512i code = unpack8_next(&u);
        __m512i in = _mm512_permutex2var_epi8(t0, code, t1);
        if (width == 8) {
            const __m512i high = _mm512_permutex2var_epi8(t2, code, t3);
            in = _mm512_mask_blend_epi8(_mm512_movepi8_mask(code), in, high);
        }
        out[i / 64] = _mm512_test_epi8_mask(in, in);
    }
}

static void avx512_in_range(const uint32_t *values, uint32_t n, uint32_t mask, uint32_t low,
                            uint32_t span, uint64_t *out)
{
    const __m512i masks = _mm512_set1_epi32((int)mask), lows = _mm512_set1_epi32((int)low);
    const __m512i spans = _mm512_set1_epi32((int)span);
    for (uint32_t i = 0; i < n; i += 64) {
        uint64_t word = 0;
        for (uint32_t j = 0; j < 64 && i + j < n; j += 16) {
            const __m512i v = _mm512_and_si512(load512(values + i + j), masks);
            word |= (uint64_t)_mm512_cmple_epu32_mask(_mm512_sub_epi32(v, lows), spans) << j;
        }
        out[i / 64] = word;
    }
}

/* The marks are 64 words of 32 in four registers: two looks, of which bit 5 of the word's number chooses one.  Sixteen
 * rows are two whole bytes of the set. */
static void avx512_drop_marked(const uint32_t *values, uint32_t from, uint32_t to, int shift,
                               const uint64_t marked[KERNEL_MARKS / 64], uint64_t *set)
{
    const __m128i down = _mm_cvtsi32_si128(shift);
    const __m512i t0 = load512(marked), t1 = load512(marked + 8);
    const __m512i t2 = load512(marked + 16), t3 = load512(marked + 24);
    const __m512i upper = _mm512_set1_epi32(32), one = _mm512_set1_epi32(1);
    uint32_t wanted = 0xFFFFU << (from & 15);
    for (uint32_t i = from & ~15U; i < to; i += 16, wanted = 0xFFFF) {
        const __m512i at = _mm512_srl_epi32(load512(values + i), down);
        const __m512i word = _mm512_srli_epi32(at, 5);
        const __m512i low = _mm512_permutex2var_epi32(t0, word, t1);
        const __m512i high = _mm512_permutex2var_epi32(t2, word, t3);
        const __m512i bits =
            _mm512_mask_blend_epi32(_mm512_test_epi32_mask(word, upper), low, high);
        const uint32_t drop = _mm512_test_epi32_mask(_mm512_rorv_epi32(bits, at), one);
        uint8_t *const rows = (uint8_t *)set + i / 8;
        uint16_t in;
        memcpy(&in, rows, sizeof in);
        in &= (uint16_t) ~(drop & wanted & valid16(to - i));
        memcpy(rows, &in, sizeof in);
    }
}

static uint32_t avx512_take32(const uint32_t *values, uint32_t n, const uint64_t *set,
                              uint32_t *out)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; i < n; i += 16) {
        const __mmask16 in = set16(set, n, i);
        _mm512_storeu_si512(out + taken, _mm512_maskz_compress_epi32(in, load512(values + i)));
        taken += (uint32_t)__builtin_popcount(in);
    }
    return taken;
}

static uint32_t avx512_take8(const uint8_t *values, uint32_t n, const uint64_t *set, uint8_t *out)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; i < n; i += 64) {
        const __mmask64 in = kernel_set_word(set, n, i / 64);
        _mm512_storeu_si512(out + taken, _mm512_maskz_compress_epi8(in, load512(values + i)));
        taken += (uint32_t)__builtin_popcountll(in);
    }
    return taken;
}

static uint32_t avx512_rows_of(const uint64_t *set, uint32_t n, uint32_t *out)
{
    const __m512i step = _mm512_set1_epi32(16);
    __m512i rows = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i += 16) {
        const __mmask16 in = set16(set, n, i);
        _mm512_storeu_si512(out + found, _mm512_maskz_compress_epi32(in, rows));
        rows = _mm512_add_epi32(rows, step);
        found += (uint32_t)__builtin_popcount(in);
    }
    return found;
}

static inline __m512i rank16(__m512i v, const uint32_t *bounds, uint32_t bound_count)
{
    const __m512i one = _mm512_set1_epi32(1);
    __m512i below = _mm512_setzero_si512();
    for (uint32_t b = 0; b < bound_count; b++) {
        const __mmask16 at = _mm512_cmpge_epu32_mask(v, _mm512_set1_epi32((int)bounds[b]));
        below = _mm512_mask_add_epi32(below, at, below, one);
    }
    return below;
}

static void avx512_rank(const uint32_t *values, uint32_t n, uint32_t mask, const uint32_t *bounds,
                        uint32_t bound_count, uint16_t *out)
{
    const __m512i masks = _mm512_set1_epi32((int)mask);
    for (uint32_t i = 0; i < n; i += 16) {
        const __m512i v = _mm512_and_si512(load512(values + i), masks);
        _mm256_storeu_si256((__m256i *)(void *)(out + i),
                            _mm512_cvtepi32_epi16(rank16(v, bounds, bound_count)));
    }
}

/* Eight bounds, each with a register that counts. */
static void count_from8(const uint32_t *values, uint32_t n, const uint64_t *set, uint32_t mask,
                        const uint32_t bounds[8], uint64_t counts[8])
{
    const __m512i masks = _mm512_set1_epi32((int)mask), one = _mm512_set1_epi32(1);
    __m512i bound[8], found[8];
    for (int b = 0; b < 8; b++) {
        bound[b] = _mm512_set1_epi32((int)bounds[b]);
        found[b] = _mm512_setzero_si512();
    }
    for (uint32_t i = 0; i < n; i += 16) {
        const __m512i v = _mm512_and_si512(load512(values + i), masks);
        const __mmask16 in = set16(set, n, i);
#pragma GCC unroll 8
        for (int b = 0; b < 8; b++)
            found[b] = _mm512_mask_add_epi32(
                found[b], _mm512_mask_cmpge_epu32_mask(in, v, bound[b]), found[b], one);
    }
    for (int b = 0; b < 8; b++)
        counts[b] += (uint32_t)_mm512_reduce_add_epi32(found[b]);
}

static void avx512_count_from(const uint32_t *values, uint32_t n, const uint64_t *set,
                              uint32_t mask, const uint32_t *bounds, uint32_t bound_count,
                              uint64_t *counts)
{
    for (uint32_t from = 0; from < bound_count; from += 8) {
        const uint32_t some = bound_count - from < 8 ? bound_count - from : 8;
        uint32_t eight[8];
        uint64_t found[8] = {0};
        for (uint32_t b = 0; b < 8; b++)
            eight[b] = bounds[from + (b < some ? b : some - 1)];
        count_from8(values, n, set, mask, eight, found);
        for (uint32_t b = 0; b < some; b++)
            counts[from + b] += found[b];
    }
}

/* A row goes when the one before it has the same place and is in the set, too. */
static uint32_t avx512_places(const uint32_t *values, uint32_t from, uint32_t to,
                              const uint64_t *set, const uint16_t *ranks, int width, int shift,
                              uint32_t *out)
{
    const __m128i up = _mm_cvtsi32_si128(width), down = _mm_cvtsi32_si128(shift);
    __m512i before = _mm512_setzero_si512();
    uint32_t found = 0, in_before = 0;
    for (uint32_t i = from; i < to; i += 16) {
        const __m512i rank =
            _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(ranks + i)));
        const __m512i place = _mm512_or_si512(_mm512_sll_epi32(rank, up),
                                              _mm512_srl_epi32(load512(values + i), down));
        const uint32_t in = set16(set, to, i);
        const uint32_t alike =
            _mm512_cmpeq_epi32_mask(place, _mm512_alignr_epi32(place, before, 15));
        const __mmask16 taken = (__mmask16)(in & ~(alike & (in << 1 | in_before)));
        _mm512_storeu_si512(out + found, _mm512_maskz_compress_epi32(taken, place));
        found += (uint32_t)__builtin_popcount(taken);
        in_before = in >> 15;
        before = place;
    }
    return found;
}

static uint64_t avx512_count(const uint64_t *words, size_t n)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < n; i++)
        bits += (uint64_t)__builtin_popcountll(words[i]);
    return bits;
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

static inline __m256i wide16(const uint8_t *bytes)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)bytes));
}

static uint32_t avx512_pairs(const uint32_t *keys, const uint8_t *codes, uint32_t n, uint32_t gap,
                             int shift, uint16_t none, uint16_t *out, uint32_t *at_gap)
{
    const __m512i gaps = _mm512_set1_epi32((int)gap), sixteen = _mm512_set1_epi32(16);
    const __m256i nones = _mm256_set1_epi16((int16_t)none);
    const __m128i by = _mm_cvtsi32_si128(shift);
    __m512i row = _mm512_setr_epi32(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
    uint32_t found = 0;
    for (uint32_t i = 1; i < n; i += 16, row = _mm512_add_epi32(row, sixteen)) {
        const __m512i apart =
            _mm512_sub_epi32(_mm512_loadu_si512(keys + i), _mm512_loadu_si512(keys + i - 1));
        const __m256i pair =
            _mm256_or_si256(_mm256_sll_epi16(wide16(codes + i - 1), by), wide16(codes + i));
        const __mmask16 near = _mm512_cmple_epu32_mask(apart, gaps);
        const __mmask16 at = _mm512_mask_cmpeq_epu32_mask(valid16(n - i), apart, gaps);
        _mm256_storeu_si256((__m256i *)(void *)(out + i),
                            _mm256_mask_blend_epi16(near, nones, pair));
        _mm512_storeu_si512(at_gap + found, _mm512_maskz_compress_epi32(at, row));
        found += (uint32_t)__builtin_popcount(at);
    }
    return found;
}

static void avx512_numbers(const uint32_t *stored, uint32_t n, uint64_t base, bool nullable,
                           int64_t missing, int64_t *out)
{
    const __m512i bases = _mm512_set1_epi64((long long)base), none = _mm512_set1_epi64(missing);
    const __mmask8 nulls = nullable ? 0xFF : 0;
    for (uint32_t i = 0; i < n; i += 8) {
        const __mmask8 left = n - i < 8 ? (__mmask8)((1U << (n - i)) - 1) : 0xFF;
        const __m512i eight = _mm512_cvtepu32_epi64(_mm256_maskz_loadu_epi32(left, stored + i));
        const __mmask8 is_none = _mm512_mask_testn_epi64_mask(nulls, eight, eight);
        _mm512_mask_storeu_epi64(
            out + i, left, _mm512_mask_mov_epi64(_mm512_add_epi64(eight, bases), is_none, none));
    }
}

static uint64_t avx512_stored(int64_t *values, uint32_t n, uint64_t base, int64_t missing,
                              bool *any)
{
    const __m512i bases = _mm512_set1_epi64((long long)base), none = _mm512_set1_epi64(missing);
    __m512i all = _mm512_setzero_si512();
    uint32_t some = 0;
    for (uint32_t i = 0; i < n; i += 8) {
        const __mmask8 left = n - i < 8 ? (__mmask8)((1U << (n - i)) - 1) : 0xFF;
        const __m512i eight = _mm512_maskz_loadu_epi64(left, values + i);
        const __mmask8 is_none = _mm512_mask_cmpeq_epi64_mask(left, eight, none);
        const __m512i out = _mm512_maskz_sub_epi64(left & (__mmask8)~is_none, eight, bases);
        some |= is_none;
        all = _mm512_or_si512(all, out);
        _mm512_mask_storeu_epi64(values + i, left, out);
    }
    *any = some != 0;
    return (uint64_t)_mm512_reduce_or_epi64(all);
}

static uint32_t avx512_rebase(uint32_t *stored, uint32_t n, uint32_t more, bool nullable)
{
    const __m512i mores = _mm512_set1_epi32((int)more);
    const __mmask16 never = nullable ? 0 : 0xFFFF;
    __m512i all = _mm512_setzero_si512();
    for (uint32_t i = 0; i < n; i += 16) {
        const __mmask16 left = n - i < 16 ? (__mmask16)((1U << (n - i)) - 1) : 0xFFFF;
        const __m512i before = _mm512_maskz_loadu_epi32(left, stored + i);
        const __mmask16 moves = (_mm512_test_epi32_mask(before, before) | never) & left;
        const __m512i out = _mm512_maskz_add_epi32(moves, before, mores);
        all = _mm512_or_si512(all, out);
        _mm512_mask_storeu_epi32(stored + i, left, out);
    }
    return (uint32_t)_mm512_reduce_or_epi32(all);
}

static bool avx512_ascend(const uint32_t *values, uint32_t n, uint32_t before, uint32_t mask,
                          uint32_t most)
{
    const __m512i masks = _mm512_set1_epi32((int)mask), mosts = _mm512_set1_epi32((int)most);
    uint32_t odd = 0;
    for (uint32_t i = 1; i < n; i += 16) {
        const __m512i here = load512(values + i), last = load512(values + i - 1);
        const __m512i masked = _mm512_and_si512(here, masks);
        odd |= (uint32_t)(_mm512_cmplt_epu32_mask(here, last) |
                          _mm512_cmpgt_epu32_mask(masked, mosts)) &
               valid16(n - i);
    }
    return odd == 0 && plain_ascend(values, n < 1 ? n : 1, before, mask, most);
}

const Kernels KERNELS_AVX512 = {
    .name = "avx512",
    .unpack32 = avx512_unpack32,
    .unpack8 = avx512_unpack8,
    .keys = avx512_keys,
    .ascend = avx512_ascend,
    .pick = avx512_pick,
    .weave = avx512_weave,
    .count = avx512_count,
    .in_table = avx512_in_table,
    .in_range = avx512_in_range,
    .drop_marked = avx512_drop_marked,
    .take32 = avx512_take32,
    .take8 = avx512_take8,
    .rows_of = avx512_rows_of,
    .rank = avx512_rank,
    .count_from = avx512_count_from,
    .places = avx512_places,
    .count_both = avx512_count_both,
    .numbers = avx512_numbers,
    .stored = avx512_stored,
    .rebase = avx512_rebase,
    .pairs = avx512_pairs,
};
#endif
