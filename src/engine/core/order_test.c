/*
 * engine/core/order_test.c -- merged runs against a plain sort; how often the rows are gone through.
 */
#include "engine/core/order.h"

#include "base/rand.h"
#include "base/test.h"

#include <stdlib.h>

static int by_time(const void *a, const void *b)
{
    const TimedRow *x = a, *y = b;
    if (x->ms != y->ms)
        return x->ms < y->ms ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* `runs` runs, one behind the other; times below `span`. */
static TimedRow *random_runs(Prng *random, uint32_t count, uint32_t runs, uint64_t span)
{
    TimedRow *rows = calloc((size_t)count + 1, sizeof *rows);
    CHECK(rows != NULL);
    for (uint32_t i = 0; i < count; i++)
        rows[i].ms = (int64_t)prng_below(random, span) - (int64_t)span / 2;
    for (uint32_t run = 0; run < runs; run++) {
        const uint64_t from = (uint64_t)count * run / runs, to = (uint64_t)count * (run + 1) / runs;
        qsort(rows + from, to - from, sizeof *rows, by_time);
    }
    for (uint32_t i = 0; i < count; i++)
        rows[i].row = i;
    return rows;
}

/* Gives how often the rows were gone through. */
static uint32_t compare_with_sorting(TimedRow *rows, uint32_t count)
{
    TimedRow *scratch = calloc((size_t)count + 1, sizeof *scratch);
    TimedRow *want = calloc((size_t)count + 1, sizeof *want);
    CHECK(scratch != NULL && want != NULL);
    memcpy(want, rows, count * sizeof *rows);
    qsort(want, count, sizeof *want, by_time);
    const uint32_t times = order_runs(rows, scratch, count);
    for (uint32_t i = 0; i < count; i++)
        CHECK(rows[i].ms == want[i].ms && rows[i].row == want[i].row);
    free(scratch);
    free(want);
    return times;
}

static uint32_t order_at_random(Prng *random, uint32_t count, uint32_t runs, uint64_t span)
{
    TimedRow *rows = random_runs(random, count, runs, span);
    const uint32_t times = compare_with_sorting(rows, count);
    free(rows);
    return times;
}

TEST(runs_become_one_and_rows_of_one_instant_keep_their_order)
{
    Prng random = prng_of(11);
    for (int round = 0; round < 3000; round++) {
        const uint32_t count = (uint32_t)prng_below(&random, 60);
        const uint32_t runs = 1 + (uint32_t)prng_below(&random, 20);
        (void)order_at_random(&random, count, runs, 1 + prng_below(&random, 50));
    }
}

TEST(rows_are_gone_through_as_often_as_their_runs_can_be_halved)
{
    Prng random = prng_of(12);
    EXPECT_I64(order_at_random(&random, 200000, 1, 1 << 30), 0);
    EXPECT_I64(order_at_random(&random, 200000, 2, 1 << 30), 1);
    EXPECT_I64(order_at_random(&random, 200000, 8, 1 << 30), 3);
    EXPECT_I64(order_at_random(&random, 200000, 9, 1 << 30), 4);
    EXPECT_I64(order_at_random(&random, 200000, 128, 1 << 30), 7);
}

static int by_number(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Of all lengths, also without any numbers. */
TEST(numbers_in_told_runs_become_one_run)
{
    enum { RUNS = 9, LONGEST = 200 };
    Prng random = prng_of(13);
    for (int round = 0; round < 2000; round++) {
        const uint32_t runs = (uint32_t)prng_below(&random, RUNS + 1);
        const uint64_t span = prng_below(&random, 2) == 0 ? 20 : UINT64_MAX;
        uint64_t numbers[RUNS * LONGEST], scratch[RUNS * LONGEST], want[RUNS * LONGEST];
        uint32_t ends[RUNS], n = 0;
        for (uint32_t i = 0; i < runs; i++) {
            const uint32_t from = n;
            n += prng_below(&random, 3) == 0 ? 0 : (uint32_t)prng_below(&random, LONGEST);
            for (uint32_t j = from; j < n; j++)
                numbers[j] = prng_below(&random, span);
            qsort(numbers + from, n - from, sizeof *numbers, by_number);
            ends[i] = n;
        }
        memcpy(want, numbers, n * sizeof *want);
        qsort(want, n, sizeof *want, by_number);
        CHECK(memcmp(order_numbers(numbers, scratch, ends, runs), want, n * sizeof *want) == 0);
    }
}
