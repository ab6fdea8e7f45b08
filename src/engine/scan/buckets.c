/*
 * engine/scan/buckets.c
 */
#include "engine/scan/buckets.h"

#include "engine/core/bits.h"
#include "engine/core/kernels.h"

#include <stdlib.h>

enum { MINUTES = 604800 / 60 };

typedef struct BucketWeek {
    int64_t week_ms;
    bool in_minutes; /* no bound lies within a minute: only then is `bucket` filled */
    uint16_t bucket[MINUTES];
} BucketWeek;

enum { WEEKS_MAX = 128 }; /* beyond, every row looks for its bucket */

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

uint16_t buckets_at(const Buckets *b, int64_t at_ms)
{
    if (at_ms < b->bounds[0] || at_ms >= b->bounds[b->count])
        return BUCKETS_NONE;
    return (uint16_t)(buckets_begun(b->bounds, b->count, at_ms) - 1);
}

static void fill_week(const Buckets *b, int64_t week_ms, BucketWeek *out)
{
    out->week_ms = week_ms;
    out->in_minutes = true;
    for (uint32_t i = 0; i <= b->count; i++)
        if (b->bounds[i] > week_ms && b->bounds[i] < week_ms + PART_WEEK_MS)
            out->in_minutes = out->in_minutes && (b->bounds[i] - week_ms) % 60000 == 0;
    uint32_t bucket = 0; /* moves on with the minutes */
    for (uint32_t m = 0; m < MINUTES && out->in_minutes; m++) {
        const int64_t at_ms = week_ms + (int64_t)m * 60000;
        while (bucket < b->count && at_ms >= b->bounds[bucket + 1])
            bucket++;
        const bool within = bucket < b->count && at_ms >= b->bounds[0];
        out->bucket[m] = within ? (uint16_t)bucket : BUCKETS_NONE;
    }
}

/* NULL: there are too many weeks.  They come in the same order again and again. */
static const BucketWeek *week_of(Buckets *b, int64_t week_ms)
{
    for (uint32_t i = 0; i < b->week_count; i++) {
        const uint32_t at = (b->week_last + i) % b->week_count;
        if (b->weeks[at].week_ms == week_ms) {
            b->week_last = at;
            return &b->weeks[at];
        }
    }
    if (b->week_count == WEEKS_MAX)
        return NULL;
    b->weeks = realloc(b->weeks, (b->week_count + 1) * sizeof *b->weeks);
    CHECK(b->weeks != NULL);
    fill_week(b, week_ms, &b->weeks[b->week_count]);
    b->week_last = b->week_count++;
    return &b->weeks[b->week_last];
}

static void reserve(Buckets *b, uint32_t n)
{
    if (n <= b->row_cap)
        return;
    b->row_cap = n + n / 2;
    free(b->rows);
    b->rows = malloc(b->row_cap * sizeof *b->rows);
    CHECK(b->rows != NULL);
}

/* The history behind a range, a month. */
uint16_t buckets_of_week(const Buckets *b, const ScanLoose *rows)
{
    const uint16_t first = buckets_at(b, rows->base_ms);
    return first == buckets_at(b, rows->base_ms + PART_WEEK_MS - 1) ? first : BUCKETS_NONE;
}

const uint16_t *buckets_of(Buckets *b, const ScanLoose *rows)
{
    reserve(b, rows->count);
    const uint16_t only = buckets_of_week(b, rows);
    if (only != BUCKETS_NONE) {
        for (uint32_t i = 0; i < rows->count; i++)
            b->rows[i] = only;
        return b->rows;
    }
    const BucketWeek *week = week_of(b, rows->base_ms);
    if (week != NULL && week->in_minutes) {
        for (uint32_t i = 0; i < rows->count; i++)
            b->rows[i] = week->bucket[(rows->keys[i] & PART_SECOND_MASK) / 60];
        return b->rows;
    }
    for (uint32_t i = 0; i < rows->count; i++) {
        const int64_t second = rows->keys[i] & PART_SECOND_MASK;
        b->rows[i] = buckets_at(b, rows->base_ms + second * 1000 + (rows->ms ? rows->ms[i] : 0));
    }
    return b->rows;
}

void buckets_free(Buckets *b)
{
    free(b->weeks);
    free(b->rows);
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
