/*
 * engine/ask/funnel_ways.h -- the ways of one person through a funnel.  Private to funnel*.c.
 *
 * Owns: FunnelLists its memory, until funnel_lists_free().  Threads: one at a time; of a plan only whose sessions it has
 * changes, from person to person.
 */
#pragma once

#include "engine/ask/funnel.h"

/* Bits of a row's selects: steps from 0 on, behind them what is excluded, and where they are asked for every event, and
 * those of the first step's names. */
static inline uint32_t funnel_every_bit(const Funnel *f)
{
    return 1U << (f->step_count + f->exclude_count);
}

static inline bool funnel_asks_every(const Funnel *f)
{
    return f->order == FUNNEL_STRICT || f->window_sessions > 0;
}

/* Of the ways of all time only the first may count. */
static inline bool funnel_is_of_ever(const Funnel *f)
{
    return f->entry == FUNNEL_FIRST_EVER || f->entry == FUNNEL_FIRST_NAMED;
}

static inline uint32_t funnel_named_bit(const Funnel *f)
{
    return 1U << (f->step_count + f->exclude_count + funnel_asks_every(f));
}

typedef struct FunnelPlan {
    const Funnel *f;
    uint32_t steps;                    /* bits that are steps */
    uint32_t barring[QUERY_STEPS_MAX]; /* [k]: bits that must not be between steps k - 1 and k */
    int64_t base_ms;                   /* 0 of the clock of FunnelEvent */
    int64_t from_ms, to_ms;            /* of entries, on that clock */
    bool cuts_windows;                 /* ways end with days or sessions, too */
    /* with Funnel.window_sessions: when each of the person's begins, ascending, on that clock */
    const int64_t *sessions;
    uint32_t session_count;
} FunnelPlan;

FunnelPlan funnel_plan(const Funnel *f, int64_t base_ms);

typedef struct FunnelEvent {
    int64_t at; /* milliseconds behind the scan's base */
    uint32_t selects;
    uint32_t row; /* of the batch */
} FunnelEvent;

/* Events among which ways go, in (time, arrival) order: all of a person, or those of the same values. */
typedef struct FunnelUnit {
    const FunnelEvent *events;
    uint32_t count;
} FunnelUnit;

typedef struct FunnelWay {
    uint32_t depth;
    bool ended;                       /* by an excluded event */
    uint32_t end;                     /* of FUNNEL_ALL: the next way has events from here on */
    uint32_t events[QUERY_STEPS_MAX]; /* of the unit, by step */
} FunnelWay;

/* Where the events of each bit are. */
typedef struct FunnelLists {
    uint32_t from[SCAN_SELECTS_MAX + 1];
    uint32_t *places;
    uint32_t cap;
} FunnelLists;

void funnel_lists_free(FunnelLists *lists);

/* False: that was enough. */
typedef bool (*FunnelWayFn)(const FunnelWay *way, void *arg);

/* Of FUNNEL_FIRST_EVER and FUNNEL_FIRST_NAMED: whether what comes first of all time begins no way of the range. */
bool funnel_began_earlier(const FunnelPlan *p, const FunnelUnit *u);

/* From each event that may begin one; of FUNNEL_ANY, the last comes first. */
void funnel_every_way(const FunnelPlan *p, FunnelLists *lists, const FunnelUnit *u, FunnelWayFn fn,
                      void *arg);

/* Whether the event may begin a way of the range. */
static inline bool funnel_may_begin(const FunnelPlan *p, const FunnelEvent *e)
{
    if (p->f->order == FUNNEL_ANY && !p->f->anchored)
        return (e->selects & p->steps) != 0 && e->at < p->to_ms;
    return (e->selects & 1) != 0 && e->at >= p->from_ms;
}

/* Those of FUNNEL_ALL, one behind the other. */
void funnel_successive_ways(const FunnelPlan *p, FunnelLists *lists, const FunnelUnit *u,
                            FunnelWayFn fn, void *arg);

/* A plain one needs no look at every way. */
bool funnel_is_plain(const Funnel *f);

/* Of a plain one: the longest of all ways, of these the one that begins first.  False: there is none. */
MUST_USE bool funnel_best_way(const FunnelPlan *p, const FunnelUnit *u, FunnelWay *out);

/* When nothing was done yet, in the terms of funnel_fill_steps(). */
#define FUNNEL_NEVER (INT64_MIN / 2)

/* An event that several steps would take fills the furthest that it can, none of them twice. */
static inline void funnel_fill_steps(uint32_t steps, int64_t at, int64_t window_ms, int64_t *start)
{
    for (uint32_t left = steps & ~1U; left != 0;) {
        const uint32_t k = 31 - (uint32_t)__builtin_clz(left);
        left &= ~(1U << k);
        if (at - start[k - 1] <= window_ms)
            start[k] = start[k - 1];
    }
    if ((steps & 1) != 0)
        start[0] = at;
}
