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
