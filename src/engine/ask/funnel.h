/*
 * engine/ask/funnel.h -- the question "funnel": how far persons get, how long it takes them, and who they are.
 *
 * An event that a first step takes, in the range, begins a way.  From one event goes one way: every next step takes
 * the earliest event that it can, at most window_ms behind the first; each event fills one step of a way.  At one
 * instant the order of arrival counts.  Which ways of a person count is FunnelEntry.
 *
 * Owns: nothing.  Results live in ctx->arena.  Threads: any.
 * Errors: as engine/scan/query.h says; series, steps and intervals (and one each) are at most QUERY_CELLS_MAX numbers.
 */
#pragma once

#include "engine/scan/people.h"
#include "engine/scan/query.h"

enum {
    FUNNEL_EXCLUDES_MAX = 8,
    FUNNEL_HOLDS_MAX = 3,
    FUNNEL_GRACE_MS_MAX = 60000,
    FUNNEL_SESSIONS_MAX = 12,
    FUNNEL_WORDS_MAX = 1 << 19, /* of memory for the numbers of all series, per worker */
    FUNNEL_TIMES_MAX = 1 << 22, /* of more times there is no median */
    FUNNEL_SPANS = 34,          /* of a distribution of times: up to 272 years */
};

typedef enum FunnelEntry {
    FUNNEL_BEST, /* the longest way of a person counts, of these the one that begins first */
    FUNNEL_NEAREST, /* the longest; of these the one whose last step is first, of these the one that begins last */
    FUNNEL_FIRST, /* only the way of the earliest first step of the range does */
    FUNNEL_FIRST_EVER, /* only the way of the earliest first step of all time, when that lies in the range */
    FUNNEL_FIRST_NAMED, /* the same of the earliest event of its names: when that fails the filter there is none */
    FUNNEL_EVERY, /* all ways do, one from each event that may begin one */
    FUNNEL_ALL,   /* all ways do that do not overlap: see FunnelSeries.ways */
} FunnelEntry;

typedef enum FunnelOrder {
    FUNNEL_SEQUENTIAL, /* in the order of the steps; what is between does not matter */
    FUNNEL_ANY,        /* in any order: step i of a way is the i-th done; see `anchored` */
    FUNNEL_STRICT,     /* in the order of the steps, and nothing else of the person between */
} FunnelOrder;

/* Which step's value a way has in a breakdown. */
typedef enum FunnelCredit {
    FUNNEL_FIRST_STEP,
    FUNNEL_LAST_STEP,   /* that the way reached */
    FUNNEL_FIRST_KNOWN, /* the first one with any value; without one anywhere, as FUNNEL_FIRST_STEP */
    FUNNEL_LAST_KNOWN,
    FUNNEL_ONE_STEP, /* credit_step; ways without it do not count at all */
    FUNNEL_EACH_STEP, /* a series is the funnel of the events with its values: a person may be in several */
} FunnelCredit;

/* An event that must not be between the steps: a way ends before it.  While a step is waited for within the
 * window, everything is between. */
typedef struct FunnelExclude {
    ScanSelect select;           /* its time range is not looked at */
    uint32_t from_step, to_step; /* from < to */
} FunnelExclude;

typedef struct Funnel {
    /* step 0's range is that of the entries; what follows reaches window_ms further */
    const ScanSelect *steps;
    uint32_t step_count;
    int64_t window_ms; /* from the first step to the last, inclusive */
    /* Not NULL: nor do the steps go on into the next of these days; day i is [days[i], days[i + 1]), day_count of them, from the
     * range's beginning to its end. */
    const int64_t *days;
    uint32_t day_count;
    /* Not 0: nor beyond the n-th session of the person, that of the first step among them; at most
     * FUNNEL_SESSIONS_MAX.  Sessions are those of all events, as engine/ask/session.h says of the range of step 0. */
    uint32_t window_sessions;
    int64_t session_gap_ms, session_max_ms;
    FunnelOrder order;
    bool
        anchored; /* FUNNEL_ANY: the first step is the first one done; of one first step it is needed */
    FunnelEntry entry;
    bool times; /* FunnelSeries.times is wanted: costs as much again */

    /* Of two events at most so far apart each may be the earlier one; 0 = as they arrived.  A step then takes the
     * earliest event at most this much before the latest of the way; an excluded one counts as between only when it
     * is farther from both.  FUNNEL_SEQUENTIAL only, and at most FUNNEL_GRACE_MS_MAX. */
    int64_t grace_ms;

    const FunnelExclude *excludes; /* at most FUNNEL_EXCLUDES_MAX */
    uint32_t exclude_count;
    bool exclude_persons; /* who has any way that ended so, counted or not, is not in the funnel */

    /* All events of a way, and those that end it, have the same values of these; events without one do not count.
     * Ways of different values are different ways of the person. */
    const ScanProp *hold; /* at most FUNNEL_HOLDS_MAX */
    uint32_t hold_count;
    /* Not 0: only events of these steps, and those that end a way, have the same values; the others have any, or none.
     * Of ways as long from one event the one counts that does the next step earlier, and so on.  FUNNEL_SEQUENTIAL,
     * or FUNNEL_ANY when anchored; of that and where ways are counted step 0 is among them.  Not with FUNNEL_EACH_STEP.
     * Costs a look at each of a person's events for each of the values that they have. */
    uint32_t hold_steps; /* bits */
    /* Only ways of the values that the person's first event in the range has that may begin one.  As hold_steps, but for
     * FUNNEL_STRICT, too; step 0 is held. */
    bool hold_first;

    const ScanProp *breakdown; /* at most QUERY_BREAKDOWNS_MAX */
    uint32_t breakdown_count;
    uint32_t top; /* series that are shown, those with the most persons; the rest are "other" */
    FunnelCredit credit;
    uint32_t credit_step;
    /* FUNNEL_ONE_STEP: ways without it are a series of their own, see funnel_is_unreached(); the breakdown has fewer than
     * QUERY_BREAKDOWNS_MAX properties then */
    bool credit_unreached;

    /* Interval i is [bounds[i], bounds[i + 1]): interval_count + 1 bounds, the range of step 0.  An interval counts
     * the ways that begin in it, as if it were the range; of FUNNEL_ALL, those of the whole range. */
    const int64_t *bounds;
    uint32_t interval_count; /* at most QUERY_INTERVALS_MAX; 0 = not wanted */
} Funnel;

/* How long ways took for one step. */
typedef struct FunnelTime {
    /* of ways; of FUNNEL_ANY and FUNNEL_BEST, of persons: the mean of their longest ways */
    uint64_t count;
    uint64_t ms; /* summed */
    /* of an even count the mean of the middle two; -1 = of more than FUNNEL_TIMES_MAX */
    int64_t median_ms;
    uint64_t spans[FUNNEL_SPANS]; /* [0]: below one second; [i]: from 2^(i-1) to below 2^i */
} FunnelTime;

/* Whether a person's ways are counted, and not only the person. */
static inline bool funnel_counts_ways(const Funnel *f)
{
    return f->entry == FUNNEL_ALL || f->entry == FUNNEL_EVERY;
}

/* persons[i]: who got to step i or further, each once.  ways[i], where they are counted: how many ways did.  Of FUNNEL_ALL, after a way
 * the next one begins with the first event of the first step behind it: behind its last event, when it did all
 * steps; at the event that ended it; or behind its window.  It has only events from there on. */
typedef struct FunnelSeries {
    QuerySeries key;
    const uint64_t *persons, *ways;       /* [step] */
    const uint64_t *by_persons, *by_ways; /* [interval * step_count + step] */
    /* [step]: from the step before; [0]: from the first step to the last of all */
    const FunnelTime *times;
} FunnelSeries;

typedef struct FunnelResult {
    FunnelSeries total; /* whoever is in any series, once */
    /* by persons, descending, then values; "other" last, when there is any */
    const FunnelSeries *series;
    uint32_t count;
    uint32_t distinct; /* series there are */
} FunnelResult;

/* Whether the series is that of ways without the step that has the credit.  It has no values of its own. */
static inline bool funnel_is_unreached(const Funnel *f, const QuerySeries *key)
{
    return f->credit_unreached && !key->is_other && key->values[QUERY_BREAKDOWNS_MAX - 1] != 0;
}

MUST_USE Err query_funnel(Ctx *ctx, const Query *q, const Funnel *funnel, FunnelResult *out);

/* One number of a result. */
typedef struct FunnelBar {
    uint32_t step;
    /* those who got to the step before, but not to this one; the first step has none */
    bool dropped;
    uint32_t series;   /* QUERY_WHOLE = the total */
    uint32_t interval; /* QUERY_WHOLE = the whole range */
} FunnelBar;

/* Who they are: as many as the number says, when `r` is what the same view answered. */
MUST_USE Err query_funnel_people(Ctx *ctx, const Query *q, const Funnel *funnel,
                                 const FunnelResult *r, const FunnelBar *bar, People *out);
