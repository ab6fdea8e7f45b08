/*
 * engine/part/rows_sort_test.c -- against a plain sort.
 */
#include "engine/part/rows_sort.h"

#include "base/rand.h"
#include "base/test.h"

#include <stdlib.h>

static int by_key_then_at(const void *a, const void *b)
{
    const Ordered *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* Times of one person that go up, down, or anywhere; many are equal. */
TEST(rows_are_sorted_by_person_and_time_and_then_as_they_came)
{
    enum { N = 5000 };
    static Ordered rows[N], scratch[N], slow[N];
    Prng r = prng_of(3);
    for (uint32_t round = 0; round < 60; round++) {
        const uint32_t n = round % 10 == 0 ? round / 10 : 1 + (uint32_t)prng_below(&r, N);
        const uint64_t persons = UINT64_C(1) << prng_below(&r, 20), jitter = 1 + 1000 * (round % 3);
        for (uint32_t i = 0; i < n; i++) {
            const uint64_t at = round % 4 == 0 ? n - i : round % 4 == 1 ? 7 : i;
            const uint64_t ms = at * 100 + prng_below(&r, jitter);
            rows[i] = (Ordered){prng_below(&r, persons) << ROWS_MS_BITS | ms, i % 7, i};
        }
        memcpy(slow, rows, sizeof slow);
        qsort(slow, n, sizeof *slow, by_key_then_at);
        rows_sort(rows, scratch, n);
        CHECK(memcmp(rows, slow, n * sizeof *rows) == 0);
    }
}
