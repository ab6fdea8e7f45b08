/*
 * engine/core/kernels.c -- the plain version, and which version runs.
 */
#include "engine/core/kernels_plain.h"

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

uint32_t plain_keys(KeyPlace *at, uint32_t n, uint32_t *out)
{
    const uint8_t *const src = at->control, *data = at->data;
    uint32_t key = at->before, all = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t bytes = (src[i >> 2] >> (i & 3) * 2 & 3U) + 1;
        key += kernel_load32(data) & (UINT32_MAX >> (32 - 8 * bytes));
        out[i] = key;
        all |= key;
        data += bytes;
    }
    *at = (KeyPlace){src + n / 4, data, key};
    return all;
}

/* Without a branch: which code comes next cannot be foreseen. */
bool plain_ascend(const uint32_t *values, uint32_t n, uint32_t before, uint32_t mask, uint32_t most)
{
    uint32_t odd = 0;
    for (uint32_t i = 0; i < n; i++) {
        odd |= (values[i] < before) | ((values[i] & mask) > most);
        before = values[i];
    }
    return odd == 0;
}

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

static uint64_t plain_count(const uint64_t *words, size_t n)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < n; i++)
        bits += (uint64_t)__builtin_popcountll(words[i]);
    return bits;
}

void plain_in_table(const uint8_t *src, uint64_t first, uint32_t n, int width,
                    const uint8_t table[256 + 4], uint64_t *out)
{
    uint8_t codes[64 + KERNEL_SLACK];
    for (uint32_t i = 0; i < n; i += 64) {
        const uint32_t some = n - i < 64 ? n - i : 64;
        uint64_t word = 0;
        plain_unpack8(src, first + i, some, width, codes);
        for (uint32_t j = 0; j < some; j++)
            word |= (uint64_t)table[codes[j]] << j;
        out[i / 64] = word;
    }
}

void plain_in_range(const uint32_t *values, uint32_t n, uint32_t mask, uint32_t low, uint32_t span,
                    uint64_t *out)
{
    for (uint32_t i = 0; i < n; i += 64) {
        const uint32_t some = n - i < 64 ? n - i : 64;
        uint64_t word = 0;
        for (uint32_t j = 0; j < some; j++)
            word |= (uint64_t)((values[i + j] & mask) - low <= span) << j;
        out[i / 64] = word;
    }
}

void plain_drop_marked(const uint32_t *values, uint32_t from, uint32_t to, int shift,
                       const uint64_t marked[KERNEL_MARKS / 64], uint64_t *set)
{
    for (uint32_t i = from; i < to; i++) {
        const uint32_t at = values[i] >> shift;
        set[i / 64] &= ~((marked[at / 64] >> (at & 63) & 1) << (i & 63));
    }
}

/* Most rows stay: 64 of them are moved at once, else each is written over the one before it that goes. */
uint32_t plain_take32(const uint32_t *values, uint32_t n, const uint64_t *set, uint32_t *out)
{
    uint32_t taken = 0;
    for (uint32_t from = 0; from < n; from += 64) {
        const uint64_t in = kernel_set_word(set, n, from / 64);
        if (in == UINT64_MAX) {
            memmove(out + taken, values + from, 64 * sizeof *out);
            taken += 64;
            continue;
        }
        for (uint32_t i = 0; i < 64 && from + i < n; i++) {
            out[taken] = values[from + i];
            taken += in >> i & 1;
        }
    }
    return taken;
}

uint32_t plain_take8(const uint8_t *values, uint32_t n, const uint64_t *set, uint8_t *out)
{
    uint32_t taken = 0;
    for (uint32_t from = 0; from < n; from += 64) {
        const uint64_t in = kernel_set_word(set, n, from / 64);
        if (in == UINT64_MAX) {
            memmove(out + taken, values + from, 64);
            taken += 64;
            continue;
        }
        for (uint32_t i = 0; i < 64 && from + i < n; i++) {
            out[taken] = values[from + i];
            taken += in >> i & 1;
        }
    }
    return taken;
}

uint32_t plain_rows_of(const uint64_t *set, uint32_t n, uint32_t *out)
{
    uint32_t found = 0;
    for (uint32_t word = 0; word < kernel_words(n); word++)
        for (uint64_t left = kernel_set_word(set, n, word); left != 0; left &= left - 1)
            out[found++] = 64 * word + (uint32_t)__builtin_ctzll(left);
    return found;
}

void plain_rank(const uint32_t *values, uint32_t n, uint32_t mask, const uint32_t *bounds,
                uint32_t bound_count, uint16_t *out)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t below = 0;
        for (uint32_t b = 0; b < bound_count; b++)
            below += bounds[b] <= (values[i] & mask);
        out[i] = (uint16_t)below;
    }
}

void plain_count_from(const uint32_t *values, uint32_t n, const uint64_t *set, uint32_t mask,
                      const uint32_t *bounds, uint32_t bound_count, uint64_t *counts)
{
    for (uint32_t word = 0; word < kernel_words(n); word++)
        for (uint64_t left = kernel_set_word(set, n, word); left != 0; left &= left - 1) {
            const uint32_t value = values[64 * word + (uint32_t)__builtin_ctzll(left)] & mask;
            for (uint32_t b = 0; b < bound_count; b++)
                counts[b] += bounds[b] <= value;
        }
}

uint32_t plain_places(const uint32_t *values, uint32_t from, uint32_t to, const uint64_t *set,
                      const uint16_t *ranks, int width, int shift, uint32_t *out)
{
    uint32_t found = 0;
    for (uint32_t i = from; i < to; i++) {
        if (set != NULL && (set[i / 64] >> (i & 63) & 1) == 0)
            continue;
        const uint32_t place = (uint32_t)ranks[i] << width | values[i] >> shift;
        out[found] = place;
        found += found == 0 || out[found - 1] != place;
    }
    return found;
}

static uint64_t plain_count_both(const uint64_t *a, const uint64_t *b, uint32_t words)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < words; i++)
        count += (uint64_t)__builtin_popcountll(a[i] & b[i]);
    return count;
}

uint32_t plain_pairs(const uint32_t *keys, const uint8_t *codes, uint32_t n, uint32_t gap,
                     int shift, uint16_t none, uint16_t *out, uint32_t *at_gap)
{
    uint32_t found = 0;
    for (uint32_t i = 1; i < n; i++) {
        const uint32_t apart = keys[i] - keys[i - 1];
        const uint16_t pair = (uint16_t)((uint32_t)codes[i - 1] << shift | codes[i]);
        out[i] = apart <= gap ? pair : none;
        at_gap[found] = i;
        found += apart == gap;
    }
    return found;
}

uint64_t plain_stored(int64_t *values, uint32_t n, uint64_t base, int64_t missing, bool *any)
{
    uint64_t all = 0;
    bool some = false;
    for (uint32_t i = 0; i < n; i++) {
        const bool none = values[i] == missing;
        some |= none;
        values[i] = none ? 0 : (int64_t)((uint64_t)values[i] - base);
        all |= (uint64_t)values[i];
    }
    *any = some;
    return all;
}

void plain_numbers(const uint32_t *stored, uint32_t n, uint64_t base, bool nullable,
                   int64_t missing, int64_t *out)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = nullable && stored[i] == 0 ? missing : (int64_t)(stored[i] + base);
}

uint32_t plain_rebase(uint32_t *stored, uint32_t n, uint32_t more, bool nullable)
{
    uint32_t all = 0;
    for (uint32_t i = 0; i < n; i++) {
        stored[i] = nullable && stored[i] == 0 ? 0 : stored[i] + more;
        all |= stored[i];
    }
    return all;
}

const Kernels KERNELS_PLAIN = {
    .name = "plain",
    .unpack32 = plain_unpack32,
    .unpack8 = plain_unpack8,
    .keys = plain_keys,
    .ascend = plain_ascend,
    .pick = plain_pick,
    .weave = plain_weave,
    .count = plain_count,
    .in_table = plain_in_table,
    .in_range = plain_in_range,
    .drop_marked = plain_drop_marked,
    .take32 = plain_take32,
    .take8 = plain_take8,
    .rows_of = plain_rows_of,
    .rank = plain_rank,
    .count_from = plain_count_from,
    .places = plain_places,
    .count_both = plain_count_both,
    .numbers = plain_numbers,
    .stored = plain_stored,
    .rebase = plain_rebase,
    .pairs = plain_pairs,
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
