/*
 * engine/core/kernels_test.c -- every version of the kernels against the obvious way, on random data.
 */
#include "engine/core/bits.h"
#include "engine/core/kernels.h"
#include "engine/engine_testkit.h"

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
        uint32_t all = 0;
        for (uint32_t i = 0; i < n; i++)
            all |= keys[i];
        KeyPlace place = key_place((const uint8_t *)b.ptr, n);
        const uint32_t first = n - n % 4 == 0 ? 0 : below((n - n % 4) / 4) * 4;
        const uint32_t some = kernels()->keys(&place, first, out);
        EXPECT_I64(some | kernels()->keys(&place, n - first, out + first), all);
        EXPECT_I64(place.data - (const uint8_t *)b.ptr, (int64_t)b.len - KERNEL_SLACK);
        CHECK(memcmp(out, keys, n * sizeof *keys) == 0);
        buf_free(&b);
    }
}

TEST(a_stream_of_ascending_keys_comes_out_as_it_went_in)
{
    random_of = prng_of(2);
    kit_each_kernel(key_streams);
}

/* One value is out of place, or none. */
static void ascending(void)
{
    for (int round = 0; round < 600; round++) {
        uint32_t values[N + KERNEL_SLACK];
        const uint32_t n = below(2) == 0 ? below(40) : below(N + 1), mask = (1U << 20) - 1;
        for (uint32_t i = 0; i < ARRAY_LEN(values); i++)
            values[i] = (uint32_t)prng_u64(&random_of) & ~(UINT32_C(3) << 18);
        qsort(values, n, sizeof *values, by_value);
        const uint32_t before = n == 0 ? 7 : values[0] - (values[0] > 0 ? below(2) : 0);
        const uint32_t most = (UINT32_C(3) << 18) - 1 - below(2);
        bool good = true;
        for (uint32_t i = 0; i < n; i++)
            good = good && (values[i] & mask) <= most;
        EXPECT_I64(kernels()->ascend(values, n, before, mask, most), good);
        if (n < 2)
            continue;
        const uint32_t at = below(n), kept = values[at];
        values[at] = at > 0 ? values[at - 1] - 1 : before - 1;
        const bool falls = at > 0 ? values[at - 1] > 0 : before > 0;
        CHECK(!falls || !kernels()->ascend(values, n, before, mask, UINT32_MAX));
        values[at] = kept;
        CHECK(kernels()->ascend(values, n, before, mask, UINT32_MAX));
        values[n - 1] |= mask; /* ascends still */
        CHECK(!kernels()->ascend(values, n, before, mask, mask - 1));
    }
}

TEST(values_that_ascend_and_are_masked_small_enough_are_told_from_others)
{
    random_of = prng_of(12);
    kit_each_kernel(ascending);
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

/* ---- sets of rows -------------------------------------------------------------------------------- */

static bool is_in(const uint64_t *set, uint32_t row)
{
    return set == NULL || (set[row / 64] >> (row & 63) & 1) != 0;
}

static void filtering(void)
{
    for (int round = 0; round < 400; round++) {
        uint64_t values[N], set[N / 64 + 2];
        uint8_t table[256 + 4] = {0};
        const int width = 1 + (int)below(8);
        for (uint32_t i = 0; i < N; i++)
            values[i] = below(1U << width);
        for (uint32_t i = 0; i < 256; i++)
            table[i] = below(3) == 0;
        Buf b = packed(values, N, width);
        const uint32_t first = below(N), n = below(N - first + 1);
        kernels()->in_table((const uint8_t *)b.ptr, first, n, width, table, set);
        for (uint32_t i = 0; i < n; i++)
            CHECK(is_in(set, i) == (table[values[first + i]] != 0));
        buf_free(&b);

        uint32_t numbers[N + KERNEL_SLACK];
        const uint32_t mask = UINT32_MAX >> below(32), low = (uint32_t)prng_u64(&random_of) & mask;
        const uint32_t span = below(2) == 0 ? below(50) : (uint32_t)prng_u64(&random_of);
        for (uint32_t i = 0; i < n; i++)
            numbers[i] = below(2) == 0 ? (uint32_t)prng_u64(&random_of) : low + below(100);
        kernels()->in_range(numbers, n, mask, low, span, set);
        for (uint32_t i = 0; i < n; i++)
            CHECK(is_in(set, i) == ((numbers[i] & mask) - low <= span));
    }
}

TEST(the_set_of_codes_in_a_table_and_of_numbers_in_a_range_is_that_of_one_by_one)
{
    random_of = prng_of(4);
    kit_each_kernel(filtering);
}

/* NULL now and then; bits behind the rows are noise. */
static const uint64_t *random_set(uint64_t set[N / 64 + 2])
{
    const uint32_t kind = below(5);
    for (uint32_t i = 0; i <= N / 64; i++)
        set[i] = kind == 0 ? UINT64_MAX : kind == 1 ? 0 : prng_u64(&random_of);
    return kind == 2 ? NULL : set;
}

static void ranking(void)
{
    for (int round = 0; round < 300; round++) {
        uint32_t values[N + KERNEL_SLACK], bounds[300], rows[N + KERNEL_SLACK];
        uint16_t ranks[N + KERNEL_SLACK];
        uint64_t some[N / 64 + 2], counts[300], want[300] = {0};
        const uint32_t n = below(4) == 0 ? 64 * below(N / 64) : below(N + 1);
        const uint32_t mask = UINT32_MAX >> (1 + below(12));
        const uint32_t most = below(3) == 0 ? 300 : 20, bound_count = below(most + 1);
        for (uint32_t i = 0; i < n; i++)
            values[i] = below(2) == 0 ? below(400) : (uint32_t)prng_u64(&random_of);
        for (uint32_t b = 0; b < bound_count; b++) {
            bounds[b] = below(2) == 0 ? below(400) : (uint32_t)prng_u64(&random_of) >> 1;
            counts[b] = want[b] = below(10);
        }
        qsort(bounds, bound_count, sizeof *bounds, by_value);
        const uint64_t *set = random_set(some);
        kernels()->rank(values, n, mask, bounds, bound_count, ranks);
        kernels()->count_from(values, n, set, mask, bounds, bound_count, counts);
        const uint32_t found = set == NULL ? 0 : kernels()->rows_of(set, n, rows);
        uint32_t at = 0;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t rank = 0;
            for (uint32_t b = 0; b < bound_count; b++) {
                rank += bounds[b] <= (values[i] & mask);
                want[b] += is_in(set, i) && bounds[b] <= (values[i] & mask);
            }
            EXPECT_I64(ranks[i], rank);
            if (set != NULL && is_in(set, i))
                EXPECT_I64(rows[at++], i);
        }
        EXPECT_I64(found, at);
        if (set != NULL && n % 64 == 0)
            CHECK(kernels()->count(set, n / 64) == found);
        for (uint32_t b = 0; b < bound_count; b++)
            CHECK(counts[b] == want[b]);
    }
}

TEST(ranks_among_bounds_and_how_many_are_above_each_are_those_of_one_by_one)
{
    random_of = prng_of(5);
    kit_each_kernel(ranking);
}

/* Every place must come, none that is not there, and of neighbours that are alike at least one. */
static void placing(void)
{
    for (int round = 0; round < 300; round++) {
        uint32_t values[N + KERNEL_SLACK], places[N + KERNEL_SLACK];
        uint16_t ranks[N + KERNEL_SLACK];
        uint64_t some[N / 64 + 2];
        const uint32_t n = below(N + 1), kinds = 1 + below(6);
        for (uint32_t i = 0; i < n; i++) {
            values[i] = below(kinds) << 20 | below(1 << 20);
            ranks[i] = (uint16_t)below(1 + below(4) * 1000);
        }
        const uint64_t *set = random_set(some);
        const uint32_t from = below(n + 1), to = from + below(n - from + 1);
        const uint32_t found = kernels()->places(values, from, to, set, ranks, 11, 20, places);
        uint32_t at = 0, before = UINT32_MAX;
        for (uint32_t i = from; i < to; i++) {
            const uint32_t place = (uint32_t)ranks[i] << 11 | values[i] >> 20;
            if (!is_in(set, i))
                continue;
            if (at < found && places[at] == place)
                at++;
            else
                EXPECT_I64(place, before); /* left out: as the one that came last */
            before = place;
        }
        EXPECT_I64(at, found);
    }
}

static void dropping(void)
{
    for (int round = 0; round < 300; round++) {
        uint32_t values[N + KERNEL_SLACK];
        uint64_t set[N / 64 + 2], before[N / 64 + 2], marked[KERNEL_MARKS / 64];
        const uint32_t n = below(N + 1), from = below(n + 1), to = from + below(n - from + 1);
        for (uint32_t i = 0; i < n; i++)
            values[i] = below(KERNEL_MARKS) << 9 | below(512);
        for (uint32_t i = 0; i < ARRAY_LEN(marked); i++)
            marked[i] = prng_u64(&random_of) & prng_u64(&random_of);
        (void)random_set(set);
        memcpy(before, set, sizeof set);
        kernels()->drop_marked(values, from, to, 9, marked, set);
        for (uint32_t i = 0; i < n; i++) {
            const bool drop = i >= from && i < to && is_in(marked, values[i] >> 9);
            CHECK(is_in(set, i) == (is_in(before, i) && !drop));
        }
    }
}

TEST(marked_rows_are_dropped_and_no_others)
{
    random_of = prng_of(7);
    kit_each_kernel(dropping);
}

/* In place as well as elsewhere. */
static void taking(void)
{
    for (int turn = 0; turn < 200; turn++) {
        uint32_t values[N + KERNEL_SLACK], wide[N + KERNEL_SLACK];
        uint8_t bytes[N + KERNEL_SLACK];
        uint64_t set[N / 64 + 2];
        const uint32_t n = below(N + 1);
        for (uint32_t i = 0; i < N; i++)
            values[i] = wide[i] = bytes[i] = (uint8_t)below(256);
        for (uint32_t i = 0; i < N; i++)
            values[i] = wide[i] = values[i] << 16 | i;
        (void)random_set(set);
        for (uint32_t i = 0; turn % 3 > 0 && i < ARRAY_LEN(set); i++)
            set[i] |= turn % 3 == 1 ? UINT64_MAX : prng_u64(&random_of) | prng_u64(&random_of);
        uint32_t count = 0;
        CHECK(kernels()->take32(wide, n, set, wide) == kernels()->take8(bytes, n, set, bytes));
        for (uint32_t i = 0; i < n; i++)
            if (is_in(set, i)) {
                CHECK(wide[count] == values[i] && bytes[count] == values[i] >> 16);
                count++;
            }
        CHECK(kernels()->take32(values, n, set, wide) == count);
    }
}

TEST(rows_of_a_set_are_taken_in_their_order)
{
    random_of = prng_of(8);
    kit_each_kernel(taking);
}

TEST(places_leave_out_only_what_came_just_before)
{
    random_of = prng_of(6);
    kit_each_kernel(placing);
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

static void pairing(void)
{
    enum { ROWS = 200 };
    for (int round = 0; round < 300; round++) {
        uint32_t keys[ROWS + KERNEL_SLACK], at_gap[ROWS + KERNEL_SLACK];
        uint8_t codes[ROWS + KERNEL_SLACK];
        uint16_t out[ROWS + KERNEL_SLACK];
        const uint32_t n = 1 + below(ROWS - 1), gap = below(4), shift = below(9);
        const uint16_t none = (uint16_t)prng_u64(&random_of);
        keys[0] = (uint32_t)prng_u64(&random_of);
        for (uint32_t i = 0; i < n; i++) {
            codes[i] = (uint8_t)below(1U << shift);
            keys[i] = i == 0 ? keys[0] : keys[i - 1] + below(6);
        }
        const uint32_t found = kernels()->pairs(keys, codes, n, gap, (int)shift, none, out, at_gap);
        uint32_t want = 0;
        for (uint32_t i = 1; i < n; i++) {
            const uint32_t apart = keys[i] - keys[i - 1];
            EXPECT_I64(out[i], apart <= gap ? codes[i - 1] << shift | codes[i] : none);
            if (apart == gap)
                EXPECT_I64(at_gap[want++], i);
        }
        EXPECT_I64(found, want);
    }
}

TEST(neighbours_become_pairs_when_they_are_near)
{
    random_of = prng_of(7);
    kit_each_kernel(pairing);
}

static void widening(void)
{
    uint32_t stored[200] = {0};
    int64_t out[201];
    for (int round = 0; round < 200; round++) {
        const uint32_t n = below(ARRAY_LEN(stored) + 1);
        const uint64_t base = prng_u64(&random_of);
        const bool nullable = below(2) == 0;
        for (uint32_t i = 0; i < n; i++)
            stored[i] = below(3) == 0 ? 0 : (uint32_t)prng_u64(&random_of);
        out[n] = 77;
        kernels()->numbers(stored, n, base, nullable, INT64_MIN, out);
        for (uint32_t i = 0; i < n; i++)
            CHECK(out[i] == (nullable && stored[i] == 0 ? INT64_MIN : (int64_t)(base + stored[i])));
        CHECK(out[n] == 77);
    }
}

TEST(stored_numbers_get_their_base_and_the_missing_ones_are_missing)
{
    random_of = prng_of(6);
    kit_each_kernel(widening);
}

static void narrowing(void)
{
    for (int round = 0; round < 300; round++) {
        int64_t values[N + 1], before[N];
        const uint32_t n = below(N + 1), missing = below(3) == 0 ? 4 : 1000000;
        const uint64_t base = below(2) == 0 ? below(1000) : prng_u64(&random_of);
        uint64_t want = 0;
        bool any = true, want_any = false;
        for (uint32_t i = 0; i < n; i++) {
            before[i] = below(missing) == 0 ? INT64_MIN : (int64_t)(base + below(300));
            want |= before[i] == INT64_MIN ? 0 : (uint64_t)before[i] - base;
            want_any |= before[i] == INT64_MIN;
            values[i] = before[i];
        }
        values[n] = 77;
        CHECK(kernels()->stored(values, n, base, INT64_MIN, &any) == want);
        CHECK(any == want_any && values[n] == 77);
        for (uint32_t i = 0; i < n; i++)
            CHECK((uint64_t)values[i] == (before[i] == INT64_MIN ? 0 : (uint64_t)before[i] - base));
    }
}

static void rebasing(void)
{
    for (int round = 0; round < 300; round++) {
        uint32_t stored[N + 1], before[N], want = 0;
        const uint32_t n = below(N + 1), more = below(3) == 0 ? 0 : below(UINT32_MAX);
        const bool nullable = below(2) == 0;
        for (uint32_t i = 0; i < n; i++) {
            stored[i] = before[i] = below(3) == 0 ? 0 : below(1U << below(32));
            want |= nullable && before[i] == 0 ? 0 : before[i] + more;
        }
        stored[n] = 77;
        CHECK(kernels()->rebase(stored, n, more, nullable) == want);
        CHECK(stored[n] == 77);
        for (uint32_t i = 0; i < n; i++)
            CHECK(stored[i] == (nullable && before[i] == 0 ? 0 : before[i] + more));
    }
}

TEST(what_is_stored_moves_with_its_base_and_missing_ones_stay_0)
{
    random_of = prng_of(9);
    kit_each_kernel(rebasing);
}

TEST(values_of_32_bits_are_packed_as_those_of_64)
{
    random_of = prng_of(10);
    for (int width = 0; width <= 32; width++) {
        uint64_t wide[N];
        uint32_t narrow[N];
        for (uint32_t i = 0; i < N; i++) {
            wide[i] = width == 0 ? 0 : prng_u64(&random_of) >> (64 - width);
            narrow[i] = (uint32_t)wide[i];
        }
        BitWriter all = bits_writer(width, 1 << 20), some = bits_writer(width, 1 << 20);
        bits_put(&all, wide, N);
        for (uint32_t done = 0, n; done < N; done += n) {
            n = 1 + below(N - done);
            bits_put32(&some, narrow + done, n);
        }
        bits_finish(&all);
        bits_finish(&some);
        CHECK(str_eq(buf_str(&all.out), buf_str(&some.out)));
        bits_free(&all);
        bits_free(&some);
    }
}

TEST(numbers_lose_their_base_and_missing_ones_become_0)
{
    random_of = prng_of(8);
    kit_each_kernel(narrowing);
}

TEST(bits_that_two_sets_share_are_counted)
{
    random_of = prng_of(4);
    kit_each_kernel(counting);
}
