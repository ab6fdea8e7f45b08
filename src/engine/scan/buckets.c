/*
 * engine/scan/buckets.c
 */
#include "engine/scan/buckets.h"

#include "engine/core/bits.h"
#include "engine/core/kernels.h"

uint32_t buckets_begun(const int64_t *bounds, uint32_t count, int64_t at_ms)
{
    uint32_t below = 0;
    for (uint32_t left = count; left > 0;) {
        const uint32_t half = (left + 1) / 2;
        below += bounds[below + half - 1] <= at_ms ? half : 0;
        left -= half;
    }
    return below;
}

/* ---- places in a part ---------------------------------------------------------------------------- */

enum { FEW_BOUNDS = 24, SHIFT_MIN = 5 };

/* A table in which every row finds its place with one comparison, unless bounds are too near each other. */
static void fill_coarse(Arena *arena, BucketPlaces *p)
{
    const uint32_t n = p->last - p->first;
    uint32_t nearest = PART_SECOND_MASK;
    for (uint32_t i = 1; i < n; i++)
        if (p->seconds[i] - p->seconds[i - 1] < nearest)
            nearest = p->seconds[i] - p->seconds[i - 1];
    p->shift = bits_width(nearest) - 1;
    if (n <= FEW_BOUNDS || p->shift < SHIFT_MIN)
        return;
    const uint32_t size = ((uint32_t)PART_SECOND_MASK >> p->shift) + 1;
    uint16_t *coarse = ARENA_ARRAY(arena, uint16_t, size);
    for (uint32_t i = 0, below = 0; i < size; i++) {
        while (below < n && p->seconds[below] < i << p->shift)
            below++;
        coarse[i] = (uint16_t)below;
    }
    p->coarse = coarse;
}

BucketPlaces bucket_places(Arena *arena, const int64_t *bounds, uint32_t count,
                           const PartHead *head)
{
    BucketPlaces p = {.in_seconds = true};
    if (head->rows > 0) { /* else its times are none: behind the last bound, and before the first */
        p.first = buckets_begun(bounds, count + 1, head->min_ms);
        p.last = buckets_begun(bounds, count + 1, head->max_ms);
    }
    const uint32_t n = p.last - p.first;
    uint32_t *seconds = ARENA_ARRAY(arena, uint32_t, (size_t)n + 1);
    p.bounds = bounds + p.first;
    p.seconds = seconds;
    for (uint32_t i = 0; i < n; i++) {
        const int64_t ms = p.bounds[i] - head->week_ms;
        seconds[i] = (uint32_t)((ms + 999) / 1000);
        p.in_seconds = p.in_seconds && ms % 1000 == 0;
    }
    seconds[n] = UINT32_MAX; /* nothing is behind the last one */
    fill_coarse(arena, &p);
    return p;
}

static void ranks_by_table(const BucketPlaces *p, const uint32_t *keys, uint32_t n, uint16_t *out)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t second = keys[i] & PART_SECOND_MASK, rank = p->coarse[second >> p->shift];
        out[i] = (uint16_t)(rank + (p->seconds[rank] <= second));
    }
}

void bucket_ranks(const BucketPlaces *p, int64_t week_ms, const uint32_t *keys, const int64_t *ms,
                  uint32_t n, uint16_t *out)
{
    const uint32_t count = p->last - p->first;
    const bool whole = ms == NULL || p->in_seconds;
    if (whole && p->coarse != NULL) {
        ranks_by_table(p, keys, n, out);
        return;
    }
    if (whole && count <= FEW_BOUNDS) {
        kernels()->rank(keys, n, PART_SECOND_MASK, p->seconds, count, out);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        const int64_t at_ms = week_ms + (int64_t)(keys[i] & PART_SECOND_MASK) * 1000;
        out[i] = (uint16_t)buckets_begun(p->bounds, count, at_ms + (ms == NULL ? 0 : ms[i]));
    }
}
