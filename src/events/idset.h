/*
 * events/idset.h -- a set of ids above 0 that mostly ascend: sorted ranges, so a run costs nothing.
 *
 * The first range starts at 0 and its end is the low-water mark: every id up to it is in the set.
 * Owns: its heap memory until idset_clear().  Threads: one at a time.
 */
#pragma once

#include "base/base.h"

typedef struct IdRange {
    int64_t from, to; /* inclusive */
} IdRange;

enum { IDSET_RANGES_MAX = 1 << 18 };

typedef struct IdSet {
    IdRange *ranges;
    size_t count, cap;
} IdSet;

void idset_init(IdSet *s); /* only 0 is in it */
void idset_clear(IdSet *s);
bool idset_has(const IdSet *s, int64_t id);

/* False, and nothing changed, when the set would need more than IDSET_RANGES_MAX ranges. */
MUST_USE bool idset_add(IdSet *s, IdRange range);

static inline int64_t idset_low(const IdSet *s)
{
    return s->ranges[0].to;
}

static inline int64_t idset_high(const IdSet *s)
{
    return s->ranges[s->count - 1].to;
}
