/*
 * engine/core/cell_sums_test.c -- what came together per cell, against the obvious way.
 */
#include "engine/core/cell_sums.h"

#include "base/clock.h"
#include "base/rand.h"
#include "base/test.h"

#include <stdlib.h>

enum { PAIRS = 40000 };

typedef struct Added {
    int64_t value, amount;
    uint32_t cell;
} Added;

static int by_pair(const void *a, const void *b)
{
    const Added *x = a, *y = b;
    if (x->cell != y->cell)
        return x->cell < y->cell ? -1 : 1;
    return (x->value > y->value) - (x->value < y->value);
}

/* `spread`: how many bits values and cells have. */
static void compare(Prng *random, uint32_t n, uint32_t value_bits, uint32_t cell_bits)
{
    Added *added = calloc(n, sizeof *added);
    CellSums t = {.max = 1 << 20}, joined = {.max = 1 << 20};
    for (uint32_t i = 0; i < n; i++) {
        added[i].value = (int64_t)prng_u64(random) >> (64 - value_bits);
        added[i].cell = (uint32_t)(prng_u64(random) >> (64 - cell_bits));
        added[i].amount = 1 + (int64_t)prng_below(random, 5);
        cell_sums_add(&t, added[i].cell, added[i].value, added[i].amount);
    }
    cell_sums_join(&joined, &t);
    cell_sums_settle(&joined);
    qsort(added, n, sizeof *added, by_pair);
    uint32_t at = 0;
    for (uint32_t i = 0; i < n; at++) {
        int64_t amount = 0;
        const Added *first = &added[i];
        while (i < n && by_pair(first, &added[i]) == 0)
            amount += added[i++].amount;
        CHECK(at < joined.count && joined.at[at].cell == first->cell);
        EXPECT_I64(joined.at[at].value, first->value);
        EXPECT_I64(joined.at[at].amount, amount);
    }
    EXPECT_I64(at, joined.count);
    CHECK(!joined.is_full);
    cell_sums_free(&t);
    cell_sums_free(&joined);
    free(added);
}

TEST(cell_sums_have_each_pair_once_in_order_with_all_that_was_added)
{
    Prng random = prng_of(70);
    compare(&random, 1, 64, 32);
    compare(&random, PAIRS, 64, 32);
    compare(&random, PAIRS, 64, 2);
    compare(&random, PAIRS, 3, 2);
    compare(&random, 5 * PAIRS, 12, 9);
    compare(&random, PAIRS, 17, 1);
}

/* Each addition would sort all of them once more. */
TEST(what_is_added_to_full_cell_sums_costs_nothing)
{
    enum { PAIRS_MAX = 1 << 16, MORE = 1 << 22, SECONDS = 10 };
    CellSums t = {.max = PAIRS_MAX};
    for (uint32_t i = 0; !t.is_full; i++)
        cell_sums_add(&t, i, i, 1);
    const int64_t began_us = clock_mono_us();
    for (uint32_t i = 0; i < MORE && clock_mono_us() - began_us < SECONDS * 1000000; i += 1024)
        for (uint32_t k = 0; k < 1024; k++)
            cell_sums_add(&t, i + k, PAIRS_MAX + i + k, 1);
    CHECK(clock_mono_us() - began_us < SECONDS * 1000000);
    cell_sums_free(&t);
}

TEST(full_cell_sums_say_so_and_those_of_few_pairs_are_never_full)
{
    CellSums few = {.max = 4096}, many = {.max = 4096}, large = {.max = 4096};
    for (uint32_t i = 0; i < PAIRS; i++) {
        cell_sums_add(&few, i % 3, i % 500, 1);
        cell_sums_add(&many, i % 3, i, 1);
    }
    CHECK(!few.is_full && few.cap <= 4096);
    CHECK(many.is_full && many.cap <= 4096);
    cell_sums_add(&large, 1, 1, INT64_MAX);
    cell_sums_add(&large, 1, 1, 1);
    CHECK(large.is_full);
    const CellSum last = many.at[many.count - 1];
    const uint32_t count = many.count;
    cell_sums_add(&many, last.cell, last.value, 1);
    CHECK(many.count == count && memcmp(&many.at[count - 1], &last, sizeof last) == 0);
    cell_sums_free(&few);
    cell_sums_free(&many);
    cell_sums_free(&large);
}
