/*
 * engine/kernels_test.c -- every version of the kernels against the obvious way, on random data.
 */
#include "engine/bits.h"
#include "engine/engine_testkit.h"
#include "engine/kernels.h"

#include <stdlib.h>

enum { N = 700 };

static Prng random_of;

static uint32_t below(uint32_t n)
{
    return (uint32_t)prng_below(&random_of, n);
}

/* Packed values of one width, with the slack that readers may touch filled with noise. */
static Buf packed(const uint64_t *values, uint32_t n, int width)
{
    BitWriter w = bits_writer(width, 1 << 20);
    for (uint32_t i = 0, some = 0; i < n; i += some) {
        some = 1 + below(n - i);
        bits_put(&w, values + i, some);
    }
    bits_finish(&w);
    for (int i = 0; i < KERNEL_SLACK; i++)
        buf_add_char(&w.out, (char)below(256));
    return w.out;
}

static void unpacking(void)
{
    for (int width = 0; width <= 64; width++) {
        uint64_t values[N];
        for (uint32_t i = 0; i < N; i++)
            values[i] = width == 0 ? 0 : prng_u64(&random_of) >> (64 - width);
        Buf b = packed(values, N, width);
        const uint8_t *src = (const uint8_t *)b.ptr;
        const uint32_t first = below(N), n = below(N - first + 1);
        uint64_t wide[N];
        uint32_t narrow[N + KERNEL_SLACK];
        uint8_t bytes[N + KERNEL_SLACK];
        bits_unpack64(src, first, n, width, wide);
        if (width <= 32)
            kernels()->unpack32(src, first, n, width, narrow);
        if (width <= 8)
            kernels()->unpack8(src, first, n, width, bytes);
        for (uint32_t i = 0; i < n; i++) {
            CHECK(wide[i] == values[first + i]);
            CHECK(width > 32 || narrow[i] == values[first + i]);
            CHECK(width > 8 || bytes[i] == values[first + i]);
        }
        buf_free(&b);
    }
}

static void many_unpackings(void)
{
    for (int round = 0; round < 60; round++)
        unpacking();
}

TEST(integers_of_any_width_come_out_as_they_went_in_wherever_reading_starts)
{
    random_of = prng_of(1);
    kit_each_kernel(many_unpackings);
}

static int by_value(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void key_streams(void)
{
    for (int round = 0; round < 400; round++) {
        uint32_t keys[N], out[N + KERNEL_SLACK];
        const uint32_t n = below(N + 1);
        for (uint32_t i = 0; i < n; i++)
            keys[i] = (uint32_t)prng_u64(&random_of) >> below(32);
        qsort(keys, n, sizeof *keys, by_value);
        Buf b = BUF_MAX(1 << 20);
        key_stream_encode(keys, n, &b);
        CHECK(key_stream_bytes((const uint8_t *)b.ptr, n) == b.len || n == 0);
        for (int i = 0; i < KERNEL_SLACK; i++)
            buf_add_char(&b, (char)below(256));
        kernels()->keys((const uint8_t *)b.ptr, n, out);
        CHECK(memcmp(out, keys, n * sizeof *keys) == 0);
        buf_free(&b);
    }
}

TEST(a_stream_of_ascending_keys_comes_out_as_it_went_in)
{
    random_of = prng_of(2);
    kit_each_kernel(key_streams);
}

static void picking(void)
{
    for (int round = 0; round < 300; round++) {
        uint8_t codes[N + KERNEL_SLACK], table[256], out[N + KERNEL_SLACK];
        const uint32_t n = below(N + 1), lists = 1 + below(below(2) == 0 ? 6 : 250);
        for (uint32_t i = 0; i < N; i++)
            codes[i] = (uint8_t)below(256);
        for (uint32_t i = 0; i < 256; i++)
            table[i] = below(3) == 0 ? KERNEL_PICK_NONE : (uint8_t)below(lists);
        const uint32_t picked = kernels()->pick(codes, n, table, out);
        uint32_t at = 0, counts[256] = {0};
        for (uint32_t i = 0; i < n; i++)
            if (table[codes[i]] != KERNEL_PICK_NONE) {
                CHECK(out[at] == table[codes[i]]);
                counts[out[at++]]++;
            }
        EXPECT_I64(picked, at);

        /* Every list holds its own number and a count: woven, each count must go up by one. */
        uint32_t *values[256], woven[N + KERNEL_SLACK], next[256] = {0};
        const uint32_t *from[256];
        for (uint32_t l = 0; l < lists; l++) {
            values[l] = calloc(counts[l] + KERNEL_SLACK, sizeof **values);
            for (uint32_t i = 0; i < counts[l]; i++)
                values[l][i] = l << 16 | i;
            from[l] = values[l];
        }
        kernels()->weave(out, picked, from, lists, woven);
        for (uint32_t i = 0; i < picked; i++)
            CHECK(woven[i] == ((uint32_t)out[i] << 16 | next[out[i]]++));
        for (uint32_t l = 0; l < lists; l++) {
            CHECK(from[l] == values[l] + counts[l]);
            free(values[l]);
        }
    }
}

TEST(picked_codes_and_woven_lists_give_the_one_order_back)
{
    random_of = prng_of(3);
    kit_each_kernel(picking);
}

TEST(a_version_that_does_not_exist_is_not_chosen)
{
    const Kernels *before = kernels();
    CHECK(!kernels_force(STR("sse9")));
    CHECK(kernels() == before);
}

static void counting(void)
{
    for (int round = 0; round < 300; round++) {
        uint64_t a[40], b[40];
        const uint32_t words = below(40);
        uint64_t want = 0;
        for (uint32_t i = 0; i < ARRAY_LEN(a); i++) {
            a[i] = prng_u64(&random_of);
            b[i] = below(4) == 0 ? 0 : prng_u64(&random_of);
        }
        for (uint32_t i = 0; i < words; i++)
            for (int bit = 0; bit < 64; bit++)
                want += (a[i] & b[i]) >> bit & 1;
        CHECK(kernels()->count_both(a, b, words) == want);
    }
}

TEST(bits_that_two_sets_share_are_counted)
{
    random_of = prng_of(4);
    kit_each_kernel(counting);
}
