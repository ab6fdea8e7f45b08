/*
 * engine/kernels.c -- the plain version, and which version runs.
 */
#include "engine/kernels_plain.h"

#include <stdatomic.h>

void plain_unpack32(const uint8_t *src, uint64_t first, uint32_t n, int width, uint32_t *out)
{
    const uint64_t mask = (UINT64_C(1) << width) - 1;
    uint64_t bit = first * (uint64_t)width;
    for (uint32_t i = 0; i < n; i++, bit += (uint64_t)width)
        out[i] = (uint32_t)(kernel_load64(src + (bit >> 3)) >> (bit & 7) & mask);
}

void plain_unpack8(const uint8_t *src, uint64_t first, uint32_t n, int width, uint8_t *out)
{
    const uint32_t mask = (1U << width) - 1;
    uint64_t bit = first * (uint64_t)width;
    for (uint32_t i = 0; i < n; i++, bit += (uint64_t)width)
        out[i] = (uint8_t)(kernel_load32(src + (bit >> 3)) >> (bit & 7) & mask);
}

void plain_keys(const uint8_t *src, uint32_t n, uint32_t *out)
{
    const uint8_t *data = src + (n + 3) / 4;
    uint32_t key = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t bytes = (src[i >> 2] >> (i & 3) * 2 & 3U) + 1;
        key += kernel_load32(data) & (UINT32_MAX >> (32 - 8 * bytes));
        out[i] = key;
        data += bytes;
    }
}

/* Without a branch: which code comes next cannot be foreseen. */
uint32_t plain_pick(const uint8_t *codes, uint32_t n, const uint8_t table[256], uint8_t *out)
{
    uint32_t picked = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t list = table[codes[i]];
        out[picked] = list;
        picked += list != KERNEL_PICK_NONE;
    }
    return picked;
}

void plain_weave(const uint8_t *lists, uint32_t n, const uint32_t **from, uint32_t count,
                 uint32_t *out)
{
    (void)count;
    for (uint32_t i = 0; i < n; i++)
        out[i] = *from[lists[i]]++;
}

static uint64_t plain_count_both(const uint64_t *a, const uint64_t *b, uint32_t words)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < words; i++)
        count += (uint64_t)__builtin_popcountll(a[i] & b[i]);
    return count;
}

const Kernels KERNELS_PLAIN = {
    .name = "plain",
    .unpack32 = plain_unpack32,
    .unpack8 = plain_unpack8,
    .keys = plain_keys,
    .pick = plain_pick,
    .weave = plain_weave,
    .count_both = plain_count_both,
};

uint8_t kernel_key_shuffle[256][16];
uint8_t kernel_key_bytes[256];
uint16_t kernel_key_lanes[256];

__attribute__((constructor)) static void make_key_tables(void)
{
    for (unsigned control = 0; control < 256; control++) {
        uint8_t at = 0;
        for (unsigned key = 0; key < 4; key++) {
            const unsigned bytes = (control >> 2 * key & 3) + 1;
            kernel_key_lanes[control] |= (uint16_t)(((1U << bytes) - 1) << 4 * key);
            for (unsigned byte = 0; byte < 4; byte++)
                kernel_key_shuffle[control][4 * key + byte] = byte < bytes ? at++ : UINT8_C(0x80);
        }
        kernel_key_bytes[control] = at;
    }
}

/* ---- which one runs --------------------------------------------------------------------------- */

static _Atomic(const Kernels *) chosen;

#if defined(__x86_64__)
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") != 0;
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512vbmi2") != 0 &&
           __builtin_cpu_supports("avx512vbmi") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
           __builtin_cpu_supports("avx512vl") != 0 &&
           __builtin_cpu_supports("avx512vpopcntdq") != 0;
}
#endif

static bool has_plain(void)
{
    return true;
}

static const struct {
    const Kernels *kernels;
    bool (*is_there)(void);
} VERSIONS[] = {/* the best first */
#if defined(__x86_64__)
                {&KERNELS_AVX512, has_avx512},
                {&KERNELS_AVX2, has_avx2},
#endif
                {&KERNELS_PLAIN, has_plain}};

bool kernels_force(Str name)
{
    for (size_t i = 0; i < ARRAY_LEN(VERSIONS); i++) {
        if (!str_eq(str_of(VERSIONS[i].kernels->name), name) || !VERSIONS[i].is_there())
            continue;
        atomic_store(&chosen, VERSIONS[i].kernels);
        return true;
    }
    return false;
}

static const Kernels *choose(void)
{
    size_t best = 0;
    while (!VERSIONS[best].is_there())
        best++;
    atomic_store(&chosen, VERSIONS[best].kernels);
    return VERSIONS[best].kernels;
}

const Kernels *kernels(void)
{
    const Kernels *k = atomic_load_explicit(&chosen, memory_order_relaxed);
    return k != NULL ? k : choose();
}
