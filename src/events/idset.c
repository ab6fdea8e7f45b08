/*
 * events/idset.c -- the ranges of events/idset.h.  Invariant: sorted, apart by at least one id.
 */
#include "events/idset.h"

#include <stdlib.h>
#include <string.h>

enum { RANGES_FIRST = 16 };

void idset_init(IdSet *s)
{
    *s = (IdSet){.ranges = calloc(RANGES_FIRST, sizeof(IdRange)), .count = 1, .cap = RANGES_FIRST};
    CHECK(s->ranges != NULL);
}

void idset_clear(IdSet *s)
{
    free(s->ranges);
    *s = (IdSet){NULL, 0, 0};
}

/* The first range that ends at or behind `id`. */
static size_t first_behind(const IdSet *s, int64_t id)
{
    size_t lo = 0, hi = s->count;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (s->ranges[mid].to < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool idset_has(const IdSet *s, int64_t id)
{
    const size_t at = first_behind(s, id);
    return at < s->count && s->ranges[at].from <= id;
}

bool idset_add(IdSet *s, IdRange r)
{
    CHECK(r.from >= 0 && r.from <= r.to && r.to < INT64_MAX);
    /* [first, behind) are the ranges that touch or overlap `r`: they become one with it. */
    const size_t first = first_behind(s, r.from - 1);
    size_t behind = first;
    while (behind < s->count && s->ranges[behind].from <= r.to + 1)
        behind++;
    if (first < behind) {
        IdRange *into = &s->ranges[first];
        into->from = into->from < r.from ? into->from : r.from;
        into->to = s->ranges[behind - 1].to > r.to ? s->ranges[behind - 1].to : r.to;
        memmove(into + 1, &s->ranges[behind], (s->count - behind) * sizeof *into);
        s->count -= behind - first - 1;
        return true;
    }
    if (s->count == IDSET_RANGES_MAX)
        return false;
    if (s->count == s->cap) {
        CHECK(s->cap > 0); /* as it was made */
        s->cap *= 2;
        s->ranges = realloc(s->ranges, s->cap * sizeof *s->ranges);
        CHECK(s->ranges != NULL);
    }
    memmove(&s->ranges[first + 1], &s->ranges[first], (s->count - first) * sizeof *s->ranges);
    s->ranges[first] = r;
    s->count++;
    return true;
}
