/*
 * engine/scan/strip_times.c
 */
#include "engine/scan/strip_times.h"

#include "engine/core/kernels.h"

#include <stdlib.h>

void strip_times_open(StripTimes *t, const BucketPlaces *places, uint32_t bucket_count)
{
    t->places = places;
    t->bucket_count = bucket_count;
    t->ranks = strip_room(sizeof *t->ranks);
    t->ms = strip_room(sizeof *t->ms);
    t->room = strip_room(sizeof *t->room);
}

void strip_times_close(StripTimes *t)
{
    free(t->ranks);
    free(t->ms);
    free(t->room);
    filter_scratch_free(&t->scratch);
}

/* Milliseconds of the rows where they matter, else NULL.  False: damaged. */
static bool read_ms(StripTimes *t, const Strip *strip, const int64_t **out)
{
    const ScanProp of_event = {PROP_MS, 0, false};
    const PartColumn *c = strip_column(strip, of_event);
    *out = NULL;
    if (strip_places(t, strip)->in_seconds || c == NULL || (c->width == 0 && c->base == 0))
        return true;
    *out = t->ms;
    return strip_values(strip, strip->at.count, of_event, &t->scratch, t->ms);
}

bool strip_ranks(StripTimes *t, const Strip *strip)
{
    const BucketPlaces *p = strip_places(t, strip);
    const int64_t *ms = NULL;
    if (p->first == p->last) {
        memset(t->ranks, 0, strip->at.count * sizeof *t->ranks);
        return true;
    }
    if (!read_ms(t, strip, &ms))
        return false;
    bucket_ranks(p, strip->at.part->head->week_ms, strip->at.keys, ms, strip->at.count, t->ranks);
    return true;
}

static bool lies_within(const StripTimes *t, const BucketPlaces *p)
{
    return p->first > 0 && p->last <= t->bucket_count;
}

/* Those with ranks of a bucket. */
static void set_by_ranks(StripTimes *t, const BucketPlaces *p, uint32_t n)
{
    memset(t->set, 0, sizeof t->set);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t place = p->first + t->ranks[i];
        const bool in = place > 0 && place <= t->bucket_count;
        t->set[i / 64] |= (uint64_t)in << (i & 63);
    }
}

static void set_by_seconds(StripTimes *t, const BucketPlaces *p, const Strip *strip)
{
    const bool has_end = p->last > t->bucket_count;
    const uint32_t from = p->first == 0 ? p->seconds[0] : 0;
    const uint32_t to = has_end ? p->seconds[p->last - p->first - 1] : PART_SECOND_MASK + 1;
    if (from < to)
        kernels()->in_range(strip->at.keys, strip->at.count, PART_SECOND_MASK, from, to - from - 1,
                            t->set);
    else
        memset(t->set, 0, sizeof t->set);
}

/* False: damaged. */
static bool find_set(StripTimes *t, const BucketPlaces *p, const Strip *strip)
{
    const int64_t *ms = NULL;
    if (p->first == p->last) {
        memset(t->set, 0, sizeof t->set); /* all of it lies outside */
        return true;
    }
    if (!read_ms(t, strip, &ms))
        return false;
    if (ms == NULL) {
        set_by_seconds(t, p, strip);
        return true;
    }
    bucket_ranks(p, strip->at.part->head->week_ms, strip->at.keys, ms, strip->at.count, t->ranks);
    set_by_ranks(t, p, strip->at.count);
    return true;
}

bool strip_within(StripTimes *t, const Strip *strip, const uint64_t **out)
{
    const BucketPlaces *p = strip_places(t, strip);
    const uint32_t n = strip->at.count;
    *out = strip->set;
    if (lies_within(t, p))
        return true;
    if (!find_set(t, p, strip))
        return false;
    if (n % 64 != 0)
        t->set[n / 64] &= (UINT64_C(1) << n % 64) - 1;
    for (uint32_t i = 0; strip->set != NULL && i < kernel_words(n); i++)
        t->set[i] &= strip->set[i];
    *out = t->set;
    return true;
}
