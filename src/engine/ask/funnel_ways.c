/*
 * engine/ask/funnel_ways.c
 */
#include "engine/ask/funnel_ways.h"

#include "engine/core/crew.h"
#include "engine/scan/buckets.h"

#include <stdlib.h>

FunnelPlan funnel_plan(const Funnel *f, int64_t base_ms)
{
    FunnelPlan p = {.f = f,
                    .steps = (1U << f->step_count) - 1,
                    .base_ms = base_ms,
                    .from_ms = f->steps[0].from_ms - base_ms,
                    .to_ms = f->steps[0].to_ms - base_ms,
                    .cuts_windows = f->days != NULL || f->window_sessions > 0};
    for (uint32_t i = 0; i < f->exclude_count; i++)
        for (uint32_t k = f->excludes[i].from_step + 1; k <= f->excludes[i].to_step; k++)
            p.barring[k] |= 1U << (f->step_count + i);
    return p;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The last instant before the first session that a way from `at` on does not reach. */
static int64_t sessions_end(const FunnelPlan *p, int64_t at)
{
    const uint32_t begun = buckets_begun(p->sessions, p->session_count, at);
    const uint32_t next = begun - 1 + p->f->window_sessions;
    return next < p->session_count ? p->sessions[next] - 1 : INT64_MAX;
}

static int64_t cut_window(const FunnelPlan *p, int64_t at, int64_t to)
{
    const Funnel *f = p->f;
    if (f->days != NULL) {
        const uint32_t day = buckets_begun(f->days, f->day_count, p->base_ms + at);
        to = earlier(to, f->days[day] - 1 - p->base_ms);
    }
    return f->window_sessions > 0 ? earlier(to, sessions_end(p, at)) : to;
}

/* The last instant of a way that begins at `at`. */
static int64_t window_end(const FunnelPlan *p, int64_t at)
{
    const int64_t to = at + p->f->window_ms;
    return p->cuts_windows ? cut_window(p, at, to) : to;
}

/* ---- where events are ---------------------------------------------------------------------------- */

static void make_lists(const FunnelPlan *p, FunnelLists *l, const FunnelUnit *u)
{
    const uint32_t bits = p->f->step_count + p->f->exclude_count;
    const uint32_t mask = (1U << bits) - 1;
    uint32_t at[SCAN_SELECTS_MAX + 1] = {0};
    for (uint32_t i = 0; i < u->count; i++)
        for (uint32_t left = u->events[i].selects & mask; left != 0; left &= left - 1)
            at[__builtin_ctz(left) + 1]++;
    for (uint32_t k = 0; k < bits; k++)
        at[k + 1] += at[k];
    memcpy(l->from, at, sizeof at);
    if (at[bits] > l->cap) {
        free(l->places);
        l->cap = at[bits] + at[bits] / 2;
        l->places = malloc(l->cap * sizeof *l->places);
        CHECK(l->places != NULL);
    }
    for (uint32_t i = 0; i < u->count; i++)
        for (uint32_t left = u->events[i].selects & mask; left != 0; left &= left - 1)
            l->places[at[__builtin_ctz(left)]++] = i;
}

void funnel_lists_free(FunnelLists *lists)
{
    free(lists->places);
}

/* Where in the list of a bit the events from `first` on begin. */
static uint32_t list_from(const FunnelLists *l, uint32_t bit, uint32_t first)
{
    uint32_t low = l->from[bit], high = l->from[bit + 1];
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (l->places[middle] < first)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The first event at `ms` or later; the unit's count when there is none. */
static uint32_t event_from(const FunnelUnit *u, int64_t ms)
{
    uint32_t low = 0, high = u->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (u->events[middle].at < ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The first event from `first` on with any of the bits; the unit's count when there is none. */
static uint32_t next_of(const FunnelLists *l, const FunnelUnit *u, uint32_t bits, uint32_t first)
{
    uint32_t next = u->count;
    for (; bits != 0; bits &= bits - 1) {
        const uint32_t bit = (uint32_t)__builtin_ctz(bits), at = list_from(l, bit, first);
        if (at < l->from[bit + 1] && l->places[at] < next)
            next = l->places[at];
    }
    return next;
}

/* ---- in the order of the steps ------------------------------------------------------------------- */

typedef struct Walk {
    const FunnelPlan *plan;
    const FunnelLists *lists;
    const FunnelUnit *unit;
    uint32_t floor;     /* events before it belong to another way */
    int64_t latest, to; /* when the latest event of the way is; when its window ends */
} Walk;

static bool is_in(const FunnelWay *way, uint32_t event)
{
    for (uint32_t k = 0; k < way->depth; k++)
        if (way->events[k] == event)
            return true;
    return false;
}

/* What fills the next step; the unit's count when nothing does. */
static uint32_t next_step(const Walk *w, const FunnelWay *way)
{
    const FunnelUnit *u = w->unit;
    const int64_t grace_ms = w->plan->f->grace_ms;
    const uint32_t k = way->depth;
    uint32_t first = way->events[k - 1] + 1;
    if (grace_ms > 0) {
        first = event_from(u, w->latest - grace_ms);
        first = first < w->floor ? w->floor : first;
    }
    uint32_t at = list_from(w->lists, k, first);
    while (at < w->lists->from[k + 1] && is_in(way, w->lists->places[at]))
        at++;
    const uint32_t next = at < w->lists->from[k + 1] ? w->lists->places[at] : u->count;
    return next < u->count && u->events[next].at > w->to ? u->count : next;
}

/* Whether something excluded lies before what fills the next step, or in the window when nothing does. */
static bool is_barred(const Walk *w, const FunnelWay *way, uint32_t next, uint32_t *out)
{
    const uint32_t bits = w->plan->barring[way->depth];
    if (bits == 0)
        return false;
    const FunnelUnit *u = w->unit;
    const int64_t grace_ms = w->plan->f->grace_ms;
    const uint32_t before = way->events[way->depth - 1];
    const uint32_t first =
        grace_ms > 0 ? event_from(u, u->events[before].at + grace_ms + 1) : before + 1;
    const uint32_t barrier = *out = next_of(w->lists, u, bits, first);
    if (barrier == u->count || next == u->count)
        return barrier < u->count && u->events[barrier].at <= w->to;
    return grace_ms > 0 ? u->events[barrier].at < u->events[next].at - grace_ms : barrier < next;
}

static void go_on(Walk *w, FunnelWay *way)
{
    const FunnelUnit *u = w->unit;
    uint32_t end = way->events[0] + 1;
    while (way->depth < w->plan->f->step_count) {
        const uint32_t next = next_step(w, way);
        way->ended = is_barred(w, way, next, &way->end);
        if (way->ended)
            return;
        if (next == u->count) {
            way->end = event_from(u, w->to + 1);
            return;
        }
        way->events[way->depth++] = next;
        w->latest = u->events[next].at > w->latest ? u->events[next].at : w->latest;
        end = next + 1 > end ? next + 1 : end;
    }
    way->end = end;
}

/* The way that begins at `entry`. */
static void go_in_sequence(const FunnelPlan *p, const FunnelLists *lists, const FunnelUnit *u,
                           uint32_t entry, uint32_t floor, FunnelWay *way)
{
    const int64_t at = u->events[entry].at;
    Walk w = {p, lists, u, floor, at, window_end(p, at)};
    way->depth = 1;
    way->events[0] = entry;
    go_on(&w, way);
}

/* The same where nothing but the window ends it, in one look at each event: for ways that do not overlap. */
static void go_plainly(const FunnelPlan *p, const FunnelLists *lists, const FunnelUnit *u,
                       uint32_t entry, uint32_t floor, FunnelWay *way)
{
    (void)lists;
    (void)floor;
    const int64_t to = window_end(p, u->events[entry].at);
    uint32_t i = entry + 1;
    way->events[0] = entry;
    way->depth = 1;
    way->ended = false;
    for (; i < u->count && way->depth < p->f->step_count && u->events[i].at <= to &&
           !crew_gives_up_at(i);
         i++)
        if ((u->events[i].selects >> way->depth & 1) != 0)
            way->events[way->depth++] = i;
    way->end = i;
}

/* The same, event by event: each is a step, or the end. */
static void go_strictly(const FunnelPlan *p, const FunnelLists *lists, const FunnelUnit *u,
                        uint32_t entry, uint32_t floor, FunnelWay *way)
{
    (void)lists;
    (void)floor;
    const int64_t to = window_end(p, u->events[entry].at);
    uint32_t done = 0, at = entry;
    for (; at < u->count && done < p->f->step_count; at++) {
        if ((u->events[at].selects >> done & 1) == 0 || u->events[at].at > to)
            break;
        way->events[done++] = at;
    }
    way->depth = done;
    way->end = at;
    way->ended = done < p->f->step_count && at < u->count && u->events[at].at <= to &&
                 (u->events[at].selects & p->barring[done]) != 0;
}

bool funnel_began_earlier(const FunnelPlan *p, const FunnelUnit *u)
{
    const bool named = p->f->entry == FUNNEL_FIRST_NAMED;
    const uint32_t bit = named ? funnel_named_bit(p->f) : 1;
    uint32_t i = 0;
    while (i < u->count && (u->events[i].selects & bit) == 0 && !crew_gives_up_at(i))
        i++;
    return i < u->count && !funnel_may_begin(p, &u->events[i]);
}

/* Only one way, which begins with the first that may. */
static bool is_of_first(const Funnel *f)
{
    return f->entry == FUNNEL_FIRST || funnel_is_of_ever(f);
}

/* ---- in any order -------------------------------------------------------------------------------
 *
 * Events fill steps, one each: a matching.  Which sets of events can be matched at once is a matroid, so taking
 * the soonest events one by one is the best at every size: of the events behind any instant, the soonest that
 * fill k steps are the first k of the soonest that fill as many as can be.  Going from the last event to the
 * first, each is the soonest: it comes in, and the latest of those that it can stand for leaves.
 */

enum { NOWHERE = QUERY_STEPS_MAX };

/* What fills one step now; without steps of its own the place is empty, and later than all. */
typedef struct Filling {
    uint32_t event;
    uint32_t steps; /* that it would fill */
} Filling;

static void fill_none(const FunnelPlan *p, Filling *filled)
{
    for (uint32_t k = 0; k < p->f->step_count; k++)
        filled[k] = (Filling){.event = UINT32_MAX};
}

/* Looks for the latest of those that would leave their step to another, or to this event, and so on.  `only_empty`:
 * nobody shall leave the way.  False: then there is no place for it. */
static bool fill_step(Filling *filled, Filling event, bool only_empty)
{
    uint8_t mover[QUERY_STEPS_MAX]; /* the step whose filling would come here */
    uint32_t latest = NOWHERE, seen = event.steps;
    for (uint32_t left = event.steps; left != 0;) {
        const uint32_t k = (uint32_t)__builtin_ctz(left);
        const uint32_t more = filled[k].steps & ~seen;
        left = (left & (left - 1)) | more;
        seen |= more;
        for (uint32_t next = more; next != 0; next &= next - 1)
            mover[__builtin_ctz(next)] = (uint8_t)k;
        if (latest == NOWHERE || filled[k].event > filled[latest].event)
            latest = k;
    }
    if (latest == NOWHERE || (only_empty && filled[latest].steps != 0))
        return false;
    for (; (event.steps >> latest & 1) == 0; latest = mover[latest])
        filled[latest] = filled[mover[latest]];
    filled[latest] = event;
    return true;
}

/* The events that fill steps before `end`, ascending. */
static uint32_t sort_filled(const FunnelPlan *p, const Filling *filled, uint32_t end, uint32_t *out)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < p->f->step_count; k++) {
        if (filled[k].event >= end)
            continue;
        uint32_t i = n++;
        for (; i > 0 && out[i - 1] > filled[k].event; i--)
            out[i] = out[i - 1];
        out[i] = filled[k].event;
    }
    return n;
}

/* Ends the way before the first excluded event. */
static void cut(const FunnelPlan *p, const FunnelLists *lists, const FunnelUnit *u, uint32_t end,
                FunnelWay *way)
{
    for (uint32_t k = 1; k <= way->depth && k < p->f->step_count; k++) {
        const uint32_t next = k < way->depth ? way->events[k] : end;
        if (next_of(lists, u, p->barring[k], way->events[k - 1] + 1) >= next)
            continue;
        way->depth = k;
        way->ended = true;
        return;
    }
}

/* The steps that an event may fill behind the beginning of a way. */
static uint32_t later_steps(const FunnelPlan *p)
{
    return p->f->anchored ? p->steps & ~1U : p->steps;
}

/* An event that only its own step makes the first one of its way. */
static void begin_way(const FunnelPlan *p, const Filling *filled, uint32_t end, uint32_t first,
                      FunnelWay *way)
{
    way->depth = p->f->anchored;
    way->events[0] = first;
    way->depth += sort_filled(p, filled, end, way->events + way->depth);
    way->ended = false;
}

static void every_way_in_any_order(const FunnelPlan *p, const FunnelLists *lists,
                                   const FunnelUnit *u, FunnelWayFn fn, void *arg)
{
    Filling filled[QUERY_STEPS_MAX];
    FunnelWay way;
    uint32_t end = u->count; /* of the window */
    fill_none(p, filled);
    for (uint32_t i = u->count; i-- > 0 && !crew_gives_up(1);) {
        const Filling event = {i, u->events[i].selects & later_steps(p)};
        if (event.steps != 0 && !p->f->anchored)
            (void)fill_step(filled, event, false);
        const bool begins = funnel_may_begin(p, &u->events[i]);
        while (begins && u->events[end - 1].at > window_end(p, u->events[i].at))
            end--;
        if (begins)
            begin_way(p, filled, end, i, &way);
        if (event.steps != 0 && p->f->anchored) /* it is no other step of its own way */
            (void)fill_step(filled, event, false);
        if (!begins)
            continue;
        if (p->f->exclude_count > 0)
            cut(p, lists, u, end, &way);
        if (!fn(&way, arg))
            return;
    }
}

/* Forwards from one event: each that finds a place is one step more. */
static void go_in_any_order(const FunnelPlan *p, const FunnelLists *lists, const FunnelUnit *u,
                            uint32_t entry, uint32_t floor, FunnelWay *way)
{
    (void)lists;
    (void)floor;
    Filling filled[QUERY_STEPS_MAX];
    fill_none(p, filled);
    way->depth = 0;
    way->ended = false;
    const int64_t to = window_end(p, u->events[entry].at);
    uint32_t at = entry;
    for (; at < u->count && way->depth < p->f->step_count && u->events[at].at <= to &&
           (at == entry || !crew_gives_up(1));
         at++) {
        const uint32_t steps = p->f->anchored && at == entry ? 1 : later_steps(p);
        if (fill_step(filled, (Filling){at, u->events[at].selects & steps}, true)) {
            way->events[way->depth++] = at;
            continue;
        }
        way->ended = (u->events[at].selects & p->barring[way->depth]) != 0;
        if (way->ended)
            break;
    }
    way->end = at;
}

/* ---- which ways ---------------------------------------------------------------------------------- */

typedef void (*GoFn)(const FunnelPlan *p, const FunnelLists *lists, const FunnelUnit *u,
                     uint32_t entry, uint32_t floor, FunnelWay *way);

/* Ways that do not overlap need no lists to be quick. */
static GoFn go_of(const Funnel *f, bool overlap)
{
    static const GoFn GO[] = {[FUNNEL_SEQUENTIAL] = go_in_sequence,
                              [FUNNEL_ANY] = go_in_any_order,
                              [FUNNEL_STRICT] = go_strictly};
    if (f->order == FUNNEL_SEQUENTIAL && f->exclude_count == 0 && f->grace_ms == 0 && !overlap)
        return go_plainly;
    return GO[f->order];
}

static void prepare(const FunnelPlan *p, GoFn go, FunnelLists *lists, const FunnelUnit *u)
{
    if (go == go_in_sequence || p->f->exclude_count > 0)
        make_lists(p, lists, u);
}

void funnel_every_way(const FunnelPlan *p, FunnelLists *lists, const FunnelUnit *u, FunnelWayFn fn,
                      void *arg)
{
    const GoFn go = go_of(p->f, !is_of_first(p->f) || p->f->interval_count > 0);
    FunnelWay way;
    prepare(p, go, lists, u);
    if (p->f->order == FUNNEL_ANY && !is_of_first(p->f)) {
        every_way_in_any_order(p, lists, u, fn, arg);
        return;
    }
    for (uint32_t i = 0; i < u->count && !crew_gives_up(p->f->step_count); i++) {
        if (!funnel_may_begin(p, &u->events[i]))
            continue;
        go(p, lists, u, i, 0, &way);
        if (!fn(&way, arg))
            return;
    }
}

void funnel_successive_ways(const FunnelPlan *p, FunnelLists *lists, const FunnelUnit *u,
                            FunnelWayFn fn, void *arg)
{
    const GoFn go = go_of(p->f, false);
    FunnelWay way;
    prepare(p, go, lists, u);
    for (uint32_t i = 0, floor = 0; i < u->count && !crew_gives_up(1); i++) {
        if (!funnel_may_begin(p, &u->events[i]))
            continue;
        go(p, lists, u, i, floor, &way);
        DCHECK(way.end > i);
        if (!fn(&way, arg))
            return;
        floor = way.end;
        i = way.end - 1;
    }
}

/* ---- the longest of plain ones -------------------------------------------------------------------
 *
 * start[k] is the latest first step from which steps 0 to k were done within the window.  An event of step k moves
 * start[k - 1] to start[k] when that is not too long ago.  A later start can do whatever an earlier one can, but for
 * reaching further back, and starts only grow: so the furthest step that was ever reached is the longest way of all
 * entries, in one pass.
 */

bool funnel_is_plain(const Funnel *f)
{
    return f->order == FUNNEL_SEQUENTIAL && f->entry == FUNNEL_BEST && f->exclude_count == 0 &&
           f->grace_ms == 0 && f->interval_count == 0 && f->days == NULL &&
           f->window_sessions == 0 && f->hold_steps == 0 && !f->hold_first;
}

static uint32_t depth_of(const FunnelPlan *p, const FunnelUnit *u)
{
    int64_t start[QUERY_STEPS_MAX];
    for (uint32_t k = 0; k < p->f->step_count; k++)
        start[k] = FUNNEL_NEVER;
    for (uint32_t i = 0; i < u->count && !crew_gives_up_at(i); i++)
        funnel_fill_steps(u->events[i].selects, u->events[i].at, p->f->window_ms, start);
    uint32_t depth = 0;
    while (depth < p->f->step_count && start[depth] != FUNNEL_NEVER)
        depth++;
    return depth;
}

/* The first event of the earliest way of `depth` steps, two or more; there is one.
 *
 * From the last event to the first: ends[k] is when steps k to depth - 1 can be done soonest by events that were
 * seen.  Only the soonest end matters to whatever comes before it. */
static uint32_t find_entry(const FunnelPlan *p, const FunnelUnit *u, uint32_t depth)
{
    int64_t ends[QUERY_STEPS_MAX];
    for (uint32_t k = 0; k < depth; k++)
        ends[k] = FUNNEL_NEVER;
    uint32_t entry = u->count;
    for (uint32_t i = u->count; i-- > 0 && !crew_gives_up_at(i);) {
        const uint32_t steps = u->events[i].selects;
        const int64_t at = u->events[i].at;
        if ((steps & 1) != 0 && ends[1] != FUNNEL_NEVER && ends[1] - at <= p->f->window_ms)
            entry = i;
        for (uint32_t k = 1; k < depth; k++) /* upwards: an event fills one step of a way */
            if ((steps >> k & 1) != 0)
                ends[k] = k + 1 == depth ? at : ends[k + 1];
    }
    return entry;
}

static uint32_t first_entry(const FunnelUnit *u)
{
    uint32_t i = 0;
    while ((u->events[i].selects & 1) == 0)
        i++;
    return i;
}

bool funnel_best_way(const FunnelPlan *p, const FunnelUnit *u, FunnelWay *out)
{
    const uint32_t depth = depth_of(p, u);
    if (depth == 0)
        return false;
    const uint32_t entry = depth == 1 ? first_entry(u) : find_entry(p, u, depth);
    if (crew_gives_up(0))
        return false;
    CHECK(entry < u->count);
    go_plainly(p, NULL, u, entry, 0, out);
    CHECK(out->depth == depth || crew_gives_up(0));
    return true;
}
