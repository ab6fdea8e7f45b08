/*
 * engine/ask/lifecycle.h -- the question "lifecycle": who is new, returns, or stays away, interval by interval.
 *
 * Owns: nothing.  Results live in ctx->arena.  Threads: any.  Errors: as engine/scan/query.h says.
 */
#pragma once

#include "engine/scan/query.h"

/* Interval i is [bounds[i], bounds[i + 1]): interval_count + 1 of them, ascending. */
typedef struct Lifecycle {
    ScanSelect select; /* its time range is that of the bounds */
    const int64_t *bounds;
    uint32_t interval_count; /* at most QUERY_INTERVALS_MAX */
    uint32_t look_back; /* intervals: who was active in none of them is new; 0 = all there are */
    /* the series, by the values of these: of each its own events count */
    const ScanProp *breakdown;
    uint32_t breakdown_count;
    uint32_t top; /* series that are shown, those with the most events; the rest are "other" */
} Lifecycle;

/* Persons of one interval; nobody is not one.  The first three are those who are active in it. */
typedef struct LifecycleRow {
    uint64_t fresh;        /* not active in the look-back */
    uint64_t returning;    /* active in the interval before */
    uint64_t resurrecting; /* active in the look-back, but not in the interval before */
    uint64_t dormant;      /* active in the interval before, but not in this one */
} LifecycleRow;

typedef struct LifecycleSeries {
    QuerySeries key;
    uint64_t events; /* 0 without a breakdown */
    const LifecycleRow *rows;
} LifecycleSeries;

/* One row per interval.  Nothing is known of what was before bounds[0]: who wants the first rows to know it begins
 * earlier and leaves out the rows of that time. */
typedef struct LifecycleResult {
    const LifecycleSeries *series; /* as of a trend */
    uint32_t count, distinct;
} LifecycleResult;

MUST_USE Err query_lifecycle(Ctx *ctx, const Query *q, const Lifecycle *l, LifecycleResult *out);

/* In the order of LifecycleRow. */
typedef enum LifecycleState {
    LIFECYCLE_NEW,
    LIFECYCLE_RETURNING,
    LIFECYCLE_RESURRECTING,
    LIFECYCLE_DORMANT,
    LIFECYCLE_STATES,
} LifecycleState;

typedef struct LifecycleBar {
    uint32_t series, interval;
    LifecycleState state;
} LifecycleBar;

MUST_USE Err query_lifecycle_people(Ctx *ctx, const Query *q, const Lifecycle *l,
                                    const LifecycleResult *r, const LifecycleBar *bar, People *out);
