/*
 * engine/part/rows_sort.c
 */
#include "engine/part/rows_sort.h"

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };

/* Which bits of the keys differ. */
static uint64_t differing(const Ordered *rows, uint32_t n)
{
    uint64_t ones = 0, zeros = 0;
    for (uint32_t i = 0; i < n; i++) {
        ones |= rows[i].key;
        zeros |= ~rows[i].key;
    }
    return ones & zeros;
}

/* Stable, by those bits of `key` that are at `lowest` or above, lowest digits first.  Bits that are all the same cost one
 * look. */
static void sort_by_digits(Ordered *rows, Ordered *scratch, uint32_t n, int lowest)
{
    const uint64_t differ = differing(rows, n) >> lowest << lowest;
    Ordered *from = rows, *to = scratch;
    int shift = 0;
    while (differ >> shift != 0) {
        if ((differ >> shift & 1) == 0) { /* a digit begins with a bit that says something */
            shift++;
            continue;
        }
        uint32_t at[DIGITS] = {0};
        for (uint32_t i = 0; i < n; i++)
            at[from[i].key >> shift & (DIGITS - 1)]++;
        for (uint32_t digit = 0, sum = 0; digit < DIGITS; digit++) {
            const uint32_t here = at[digit];
            at[digit] = sum;
            sum += here;
        }
        for (uint32_t i = 0; i < n; i++)
            to[at[from[i].key >> shift & (DIGITS - 1)]++] = from[i];
        Ordered *swap = from;
        from = to;
        to = swap;
        shift += DIGIT_BITS;
    }
    if (from != rows)
        memcpy(rows, from, n * sizeof *rows);
}

/* The rows of one person.  False: they are too many for that. */
static bool sort_few(Ordered *rows, uint32_t n)
{
    enum { MOVES_MAX = 256 };
    uint32_t moves = 0;
    for (uint32_t i = 1; i < n && moves <= MOVES_MAX; i++) {
        const Ordered here = rows[i];
        uint32_t at = i;
        for (; at > 0 && rows[at - 1].key > here.key; at--)
            rows[at] = rows[at - 1];
        rows[at] = here;
        moves += i - at;
    }
    return moves <= MOVES_MAX;
}

/* What arrives is nearly in the order of time: of one person it needs little more. */
void rows_sort(Ordered *rows, Ordered *scratch, uint32_t n)
{
    sort_by_digits(rows, scratch, n, ROWS_MS_BITS);
    for (uint32_t from = 0, to = 0; from < n; from = to) {
        while (to < n && rows[to].key >> ROWS_MS_BITS == rows[from].key >> ROWS_MS_BITS)
            to++;
        if (!sort_few(rows + from, to - from))
            sort_by_digits(rows + from, scratch, to - from, 0);
    }
}
