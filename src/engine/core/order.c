/*
 * engine/core/order.c
 */
#include "engine/core/order.h"

#include "engine/core/crew.h"

#include <string.h>

/* Where the run that begins at `from` ends. */
static uint32_t end_of_run(const TimedRow *rows, uint32_t from, uint32_t count)
{
    uint32_t end = from + 1;
    while (end < count && rows[end - 1].ms <= rows[end].ms)
        end++;
    return end;
}

/* Runs [a, b) and [b, end) become one: of one instant, the first run's rows come first. */
static void merge_two(const TimedRow *rows, uint32_t a, uint32_t b, uint32_t end, TimedRow *out)
{
    const uint32_t middle = b;
    for (uint32_t n = 1; a < middle && b < end; n++) {
        *out++ = rows[b].ms < rows[a].ms ? rows[b++] : rows[a++];
        if (n % CREW_LOOK_ROWS == 0 && crew_gives_up(CREW_LOOK_ROWS))
            return;
    }
    memcpy(out, rows + a, (middle - a) * sizeof *rows);
    memcpy(out + (middle - a), rows + b, (end - b) * sizeof *rows);
}

static void merge_pairs(const TimedRow *rows, uint32_t count, TimedRow *out)
{
    for (uint32_t from = 0, end = 0; from < count; from = end) {
        const uint32_t middle = end_of_run(rows, from, count);
        end = middle < count ? end_of_run(rows, middle, count) : count;
        merge_two(rows, from, middle, end, out + from);
    }
}

uint32_t order_runs(TimedRow *rows, TimedRow *scratch, uint32_t count)
{
    TimedRow *from = rows, *to = scratch;
    uint32_t times = 0;
    for (; count > 0 && end_of_run(from, 0, count) < count; times++) {
        merge_pairs(from, count, to);
        if (crew_gives_up(count))
            return 0;
        TimedRow *const kept = from;
        from = to;
        to = kept;
    }
    if (from != rows)
        memcpy(rows, from, count * sizeof *rows);
    return times;
}

/* ---- numbers -------------------------------------------------------------------------------------- */

/* Two runs that are becoming one. */
typedef struct Pair {
    const uint64_t *a, *a_end, *b, *b_end;
    uint64_t *out;
} Pair;

static inline bool has_both(const Pair *p)
{
    return p->a < p->a_end && p->b < p->b_end;
}

/* Which one is next cannot be foreseen, so it is no branch. */
static inline void take_next(Pair *p)
{
    const uint64_t x = *p->a, y = *p->b;
    const bool second = y < x;
    *p->out++ = second ? y : x;
    p->b += second;
    p->a += !second;
}

static void take_rest(Pair p)
{
    while (has_both(&p))
        take_next(&p);
    memcpy(p.out, p.a, (size_t)(p.a_end - p.a) * sizeof *p.a);
    memcpy(p.out + (p.a_end - p.a), p.b, (size_t)(p.b_end - p.b) * sizeof *p.b);
}

/* How many of `a` are among the first `n` of both. */
static uint32_t among_first(const uint64_t *a, uint32_t a_count, const uint64_t *b,
                            uint32_t b_count, uint32_t n)
{
    uint32_t low = n > b_count ? n - b_count : 0, high = n < a_count ? n : a_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (b[n - middle - 1] < a[middle])
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Each step waits for the one before: the first half and the second are merged side by side. */
static void merge_numbers(const uint64_t *a, uint32_t a_count, const uint64_t *b, uint32_t b_count,
                          uint64_t *out)
{
    const uint32_t half = (a_count + b_count) / 2;
    const uint32_t of_a = among_first(a, a_count, b, b_count, half), of_b = half - of_a;
    Pair first = {a, a + of_a, b, b + of_b, out};
    Pair second = {a + of_a, a + a_count, b + of_b, b + b_count, out + half};
    while (has_both(&first) && has_both(&second)) {
        take_next(&first);
        take_next(&second);
    }
    take_rest(first);
    take_rest(second);
}

uint64_t *order_numbers(uint64_t *numbers, uint64_t *scratch, uint32_t *ends, uint32_t runs)
{
    while (runs > 1) {
        uint32_t kept = 0, from = 0;
        for (uint32_t i = 0; i < runs; i += 2) {
            const uint32_t middle = ends[i], end = i + 1 < runs ? ends[i + 1] : middle;
            merge_numbers(numbers + from, middle - from, numbers + middle, end - middle,
                          scratch + from);
            ends[kept++] = from = end;
        }
        runs = kept;
        uint64_t *const swap = numbers;
        numbers = scratch;
        scratch = swap;
    }
    return numbers;
}
