/*
 * engine/ask/funnel_count.h -- the numbers of a funnel: persons, ways and times by series, interval and step.  Private
 * to funnel*.c.
 *
 * While it counts, series 0 is the total, and the others are those of the combinations of values, in the order in
 * which they came; or of `shown` ones, and behind them "other".  Every person once per series and interval, as
 * deep as the deepest of its ways.
 *
 * Owns: a FunnelCount its memory, until funnel_count_close().  Threads: one per FunnelCount.
 */
#pragma once

#include "engine/ask/funnel.h"
#include "engine/core/tally.h"

#include <stdatomic.h>

/* Which numbers there are: of one series persons[scope][step], ways[scope][step], times[step][FunnelLap].  Scope 0
 * is the whole range, the others its intervals. */
typedef struct FunnelShape {
    uint32_t steps, scopes;
    uint32_t ways_at, times_at; /* 0 = there are none */
    uint32_t words;
    uint32_t room; /* series that are counted at once, the total among them */
} FunnelShape;

FunnelShape funnel_shape(const Funnel *f);

/* How long one step of a way took: for the medians. */
typedef struct FunnelLap {
    int64_t ms;
    uint32_t series, step;
} FunnelLap;

typedef struct FunnelCount {
    const FunnelShape *shape;
    Tally came;         /* combinations, when nothing is shown yet: number + 1 is the series */
    const Tally *shown; /* the same of those that are shown; NULL: count what comes */
    uint32_t series;    /* for which there is memory */
    uint64_t *cells;    /* [series][shape.words] */
    uint8_t *depths;    /* [series][scope]: of the person under way */
    uint32_t *touched;  /* which of them are not 0 */
    uint32_t touched_count;
    FunnelLap *laps;
    uint32_t lap_count, lap_cap;
    atomic_uint_fast64_t *laps_of_all; /* beyond FUNNEL_TIMES_MAX none is kept */
} FunnelCount;

void funnel_count_open(FunnelCount *c, const FunnelShape *shape, const Tally *shown,
                       atomic_uint_fast64_t *laps);
void funnel_count_close(FunnelCount *c);

/* One way of a person.  `ms`: by step, [0] all of it when it did all steps; NULL: not wanted. */
typedef struct FunnelItem {
    uint32_t person, scope, depth;
    const TallyKey *key; /* the values of its series; NULL: no breakdown */
    const int64_t *ms;
} FunnelItem;

void funnel_count_way(FunnelCount *c, const FunnelItem *item);

/* So many persons got to each step, in the series of the key (NULL: the total).  They were counted nowhere else. */
void funnel_count_persons(FunnelCount *c, const TallyKey *key, const uint64_t *persons);

/* How deep the person under way is by now. */
uint32_t funnel_count_depth(const FunnelCount *c, uint32_t series, uint32_t scope);

void funnel_count_next_person(FunnelCount *c);

/* What counts the same with several workers becomes one result.  `shown`: the series, of so many combinations. */
void funnel_count_give(Ctx *ctx, const FunnelCount *counts, uint32_t workers, const Tally *shown,
                       uint32_t distinct, FunnelResult *out);
