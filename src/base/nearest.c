/*
 * base/nearest.c
 */
#include "base/nearest.h"

enum { NEAR_CHARS_MAX = 48, NEAR_DISTANCE_MAX = 3 };

static uint32_t lower(uint32_t c)
{
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

/* The characters of `s` in lower case; 0 when there are too many. */
static size_t characters(Str s, uint32_t out[NEAR_CHARS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < s.len;) {
        const size_t len = str_utf8_len(s, i);
        if (n == NEAR_CHARS_MAX || len == 0)
            return 0;
        uint32_t c = 0;
        for (size_t j = 0; j < len; j++)
            c = c << 8 | (unsigned char)s.ptr[i + j];
        out[n++] = lower(c);
        i += len;
    }
    return n;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, changes and swaps of neighbours: Damerau-Levenshtein, each place once. */
static uint32_t distance(const uint32_t *a, size_t an, const uint32_t *b, size_t bn)
{
    uint32_t row[3][NEAR_CHARS_MAX + 1];
    for (size_t j = 0; j <= bn; j++)
        row[0][j] = (uint32_t)j;
    for (size_t i = 1; i <= an; i++) {
        uint32_t *now = row[i % 3];
        const uint32_t *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];
        now[0] = (uint32_t)i;
        for (size_t j = 1; j <= bn; j++) {
            now[j] = least(up[j - 1] + (a[i - 1] != b[j - 1]), 1 + least(up[j], now[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], up2[j - 2] + 1);
        }
    }
    return row[an % 3][bn];
}

/* A third of a name may be wrong, three characters at most; of one or two characters, none. */
Nearest nearest_to(Str wanted)
{
    uint32_t chars[NEAR_CHARS_MAX];
    const size_t n = characters(wanted, chars);
    return (Nearest){.wanted = wanted,
                     .best_distance = 1 + least((uint32_t)(n / 3), NEAR_DISTANCE_MAX)};
}

void nearest_try(Nearest *n, Str candidate)
{
    uint32_t a[NEAR_CHARS_MAX], b[NEAR_CHARS_MAX];
    const size_t an = characters(n->wanted, a), bn = characters(candidate, b);
    const size_t apart = an > bn ? an - bn : bn - an;
    if (an == 0 || bn == 0 || apart >= n->best_distance)
        return;
    const uint32_t d = distance(a, an, b, bn);
    if (d < n->best_distance)
        n->best_distance = d, n->best = candidate;
}
