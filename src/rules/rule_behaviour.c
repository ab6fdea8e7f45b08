/*
 * rules/rule_behaviour.c -- the leaves over a person's events: windows, steps, aggregates, sequences.
 */
#include "base/clock.h"
#include "base/rand.h"
#include "rules/rule_eval_internal.h"

#define DAY_MS INT64_C(86400000)

/* ---- the calendar ---------------------------------------------------------------------------- */

static int32_t zone_day(void *arg, int64_t at_ms)
{
    const RuleFixedZone *zone = arg;
    return clock_day(at_ms - zone->cutover_hour * INT64_C(3600000), zone->offset_min);
}

static int64_t zone_day_start(void *arg, int32_t yyyymmdd)
{
    const RuleFixedZone *zone = arg;
    return clock_day_start_ms(yyyymmdd, zone->offset_min) + zone->cutover_hour * INT64_C(3600000);
}

static int32_t zone_offset(void *arg, int64_t at_ms)
{
    const RuleFixedZone *zone = arg;
    (void)at_ms;
    return zone->offset_min;
}

RuleCalendar rule_calendar_fixed(RuleFixedZone *zone)
{
    return (RuleCalendar){zone_day, zone_day_start, zone_offset, zone};
}

static int32_t day_of(const RuleFacts *f, int64_t at_ms)
{
    return f->calendar.day_of == NULL ? clock_day(at_ms, 0)
                                      : f->calendar.day_of(f->calendar.arg, at_ms);
}

static int64_t day_start(const RuleFacts *f, int32_t yyyymmdd)
{
    return f->calendar.day_start == NULL ? clock_day_start_ms(yyyymmdd, 0)
                                         : f->calendar.day_start(f->calendar.arg, yyyymmdd);
}

/* The day that is `days` after a civil day; Monday is known from 1970-01-05 having been one. */
static int32_t day_plus(int32_t yyyymmdd, int64_t days)
{
    return clock_day(clock_day_start_ms(yyyymmdd, 0) + days * DAY_MS, 0);
}

static int64_t days_since_monday(int32_t yyyymmdd)
{
    const int64_t days = clock_day_start_ms(yyyymmdd, 0) / DAY_MS - 4;
    return (days % 7 + 7) % 7;
}

/* The first day of the unit that lies `back` units before the one of `today`. */
static int32_t unit_first_day(RuleUnit unit, int32_t today, int32_t back)
{
    const int32_t year = today / 10000, month = today / 100 % 100;
    const int32_t months = year * 12 + (month - 1) - back;
    switch ((int)unit) {
    case RULE_UNIT_DAY:
        return day_plus(today, -back);
    case RULE_UNIT_WEEK:
        return day_plus(today, -days_since_monday(today) - 7 * (int64_t)back);
    case RULE_UNIT_MONTH:
        return months / 12 * 10000 + (months % 12 + 1) * 100 + 1;
    default:
        return (year - back) * 10000 + 101;
    }
}

/* ---- windows --------------------------------------------------------------------------------- */

Range eval_window_range(const RuleFacts *facts, const RuleWindow *w)
{
    const int64_t now = facts->now_ms;
    Range r = {INT64_MIN, INT64_MAX};
    switch (w->kind) {
    case RULE_WINDOW_WITHIN:
        r = (Range){now - w->span.ms + 1, now + 1};
        break;
    case RULE_WINDOW_CALENDAR: {
        const int32_t first = unit_first_day(w->span.unit, day_of(facts, now), w->span.count - 1);
        r = (Range){day_start(facts, first), now + 1};
        break;
    }
    case RULE_WINDOW_BETWEEN:
        r = (Range){w->from.i64, w->to.end_ms};
        break;
    case RULE_WINDOW_SINCE:
        r.from_ms = w->from.i64;
        break;
    case RULE_WINDOW_BEFORE:
        r.to_ms = w->from.i64;
        break;
    case RULE_WINDOW_AGO:
        r = (Range){now - w->span.ms + 1, now - w->span2.ms + 1};
        break;
    case RULE_WINDOW_EVER:
    case RULE_WINDOW_COUNT:
        break;
    }
    return r;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static bool pick_selects(const Eval *e, const RuleNode *pick, const Event *event)
{
    bool named = pick->name_count == 0;
    for (uint32_t i = 0; i < pick->name_count && !named; i++)
        named = str_eq(pick->names[i], event->name);
    if (!named || pick->count == 0)
        return named;
    const Eval about = eval_about(e, event);
    return eval_holds(&about, pick->args[0]);
}

bool eval_step_selects(const Eval *e, const RuleNode *step, const Event *event)
{
    if (event->kind != EVENT_HAPPENED)
        return false;
    for (uint32_t i = 0; i < step->count; i++)
        if (pick_selects(e, step->args[i], event))
            return true;
    return false;
}

/* ---- the events of a step in a window -------------------------------------------------------- */

typedef struct Cursor {
    const Eval *e;
    const RuleNode *step;
    size_t at, end; /* of facts->events */
} Cursor;

/* The first event at or after `at_ms`. */
static size_t lower_bound(const RuleFacts *f, int64_t at_ms)
{
    size_t low = 0, high = f->event_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (f->events[middle]->time_ms < at_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static Cursor cursor_of(const Eval *e, const RuleNode *step, Range r)
{
    if (r.to_ms > e->facts->now_ms) /* nobody knows yet what comes later */
        r.to_ms = e->facts->now_ms + 1;
    const size_t from = lower_bound(e->facts, r.from_ms), to = lower_bound(e->facts, r.to_ms);
    return (Cursor){e, step, from, to < from ? from : to};
}

/* In the conditions of a did, its step and its window. */
static Cursor cursor_of_leaf(const Eval *e, const RuleNode *n)
{
    const RuleNode *leaf = n->step != NULL ? n : e->did;
    return cursor_of(e, leaf->step, eval_window_range(e->facts, &leaf->window));
}

static const Event *next_event(Cursor *c)
{
    while (c->at < c->end) {
        const Event *event = c->e->facts->events[c->at++];
        if (eval_step_selects(c->e, c->step, event))
            return event;
    }
    return NULL;
}

static const Event *last_event(const Cursor *c)
{
    for (size_t i = c->end; i-- > c->at;)
        if (eval_step_selects(c->e, c->step, c->e->facts->events[i]))
            return c->e->facts->events[i];
    return NULL;
}

/* ---- aggregates ------------------------------------------------------------------------------ */

static Found of_event(const Eval *e, const RuleNode *n, const Event *event)
{
    Eval about = eval_about(e, event);
    about.any_type = e->any_type;
    return eval_value(&about, n->args[0]);
}

static int64_t count_events(Cursor c)
{
    int64_t count = 0;
    while (next_event(&c) != NULL)
        count++;
    return count;
}

/* Events come in the order of time, so a day is left once. */
static int64_t count_days(Cursor c)
{
    int64_t count = 0;
    int32_t last = 0;
    for (const Event *event; (event = next_event(&c)) != NULL;) {
        const int32_t day = day_of(c.e->facts, event->time_ms);
        count += day != last;
        last = day;
    }
    return count;
}

/* The sum of none is 0, the average of none is missing. */
static Found sum_of(const Eval *e, const RuleNode *n, Cursor c)
{
    Found sum = found_number(0);
    int64_t count = 0;
    sum.type = n->type;
    for (const Event *event; (event = next_event(&c)) != NULL;) {
        const Found f = of_event(e, n, event);
        if (f.type != n->type)
            continue;
        num_add(&sum.num, f.num);
        count++;
    }
    if (n->op == RULE_SUM)
        return sum;
    sum.divisor = count;
    return count == 0 ? found_missing() : sum;
}

static bool is_beyond(const RuleNode *n, const Found *f, const Found *best)
{
    const int order = f->type == RULE_TYPE_TIME ? (f->i64 > best->i64) - (f->i64 < best->i64)
                                                : num_compare(f->num, best->num);
    return n->op == RULE_MIN ? order < 0 : order > 0;
}

static Found extreme_of(const Eval *e, const RuleNode *n, Cursor c)
{
    Found best = found_missing();
    for (const Event *event; (event = next_event(&c)) != NULL;) {
        const Found f = of_event(e, n, event);
        if (f.type != n->type || f.type == RULE_TYPE_UNKNOWN)
            continue;
        if (best.type == RULE_TYPE_UNKNOWN || is_beyond(n, &f, &best))
            best = f;
    }
    return best;
}

/* Places of values by their hash; a place holds 1 + the index of the event that had it first. */
typedef struct Seen {
    uint32_t *at;
    size_t mask;
    uint64_t seed;
} Seen;

static bool seen_before(Seen *s, const Eval *e, const RuleNode *n, const Found *f, size_t index)
{
    for (size_t at = found_hash(f, s->seed) & s->mask;; at = (at + 1) & s->mask) {
        if (s->at[at] == 0) {
            s->at[at] = (uint32_t)index + 1;
            return false;
        }
        const Found other = of_event(e, n, e->facts->events[s->at[at] - 1]);
        if (found_same(f, &other))
            return true;
    }
}

static int64_t count_distinct(const Eval *e, const RuleNode *n, Cursor c)
{
    size_t places = 8;
    while (places < 2 * (c.end - c.at))
        places *= 2;
    CHECK(e->facts->event_count < UINT32_MAX);
    Seen seen = {ARENA_ARRAY(e->facts->arena, uint32_t, places), places - 1, rand_u64()};
    int64_t count = 0;
    for (const Event *event; (event = next_event(&c)) != NULL;) {
        const Found f = of_event(e, n, event);
        const bool scalar =
            f.type != RULE_TYPE_UNKNOWN && f.type != RULE_TYPE_TEXTS && f.type != RULE_TYPE_ITEMS;
        if (scalar && !seen_before(&seen, e, n, &f, c.at - 1))
            count++;
    }
    return count;
}

static Found end_of(const Eval *e, const RuleNode *n, Cursor c)
{
    const Event *event = n->op == RULE_FIRST ? next_event(&c) : last_event(&c);
    if (event == NULL)
        return found_missing();
    return n->count == 0 ? found_time(event->time_ms) : of_event(e, n, event);
}

Found eval_events(const Eval *e, const RuleNode *n)
{
    const Cursor c = cursor_of_leaf(e, n);
    switch ((int)n->op) {
    case RULE_COUNT:
        return found_number(count_events(c));
    case RULE_DAYS:
        return found_number(count_days(c));
    case RULE_SUM:
    case RULE_AVG:
        return sum_of(e, n, c);
    case RULE_MIN:
    case RULE_MAX:
        return extreme_of(e, n, c);
    case RULE_DISTINCT:
        return found_number(count_distinct(e, n, c));
    default:
        return end_of(e, n, c);
    }
}

/* ---- conditions ------------------------------------------------------------------------------ */

bool eval_did(const Eval *e, const RuleNode *n)
{
    Eval inside = eval_about(e, NULL);
    inside.did = n;
    bool counted = false;
    for (uint32_t i = 0; i < n->count; i++) {
        counted |= n->args[i]->args[0]->op == RULE_COUNT;
        if (!eval_holds(&inside, n->args[i]))
            return false;
    }
    Cursor c = cursor_of_leaf(e, n);
    return counted || next_event(&c) != NULL;
}

/* One in the window that is not in the last `span`, and none in that. */
bool eval_stopped(const Eval *e, const RuleNode *n)
{
    const int64_t now = e->facts->now_ms, since = now - n->span.ms + 1;
    Range before = eval_window_range(e->facts, &n->window);
    if (before.to_ms > since)
        before.to_ms = since;
    Cursor early = cursor_of(e, n->step, before);
    Cursor late = cursor_of(e, n->step, (Range){since, now + 1});
    return next_event(&early) != NULL && next_event(&late) == NULL;
}

/* The first of the last span2, and the last one before those: span or more lie between. */
bool eval_resumed(const Eval *e, const RuleNode *n)
{
    const int64_t now = e->facts->now_ms, since = now - n->span2.ms + 1;
    Cursor late = cursor_of(e, n->step, (Range){since, now + 1});
    const Cursor early = cursor_of(e, n->step, (Range){INT64_MIN, since});
    const Event *again = next_event(&late), *before = last_event(&early);
    return again != NULL && before != NULL && again->time_ms - before->time_ms >= n->span.ms;
}

/*
 * Chains of events, one per step, in order.  Of all chains that reach a step, the one that got there
 * last is the best: it leaves the most time from the step before, and, as every limit moves along with
 * the events, it also began last.  So one chain per step is enough, in one pass.
 */
typedef struct Reached {
    bool is;
    int64_t at_ms;    /* of the event that reached it */
    int64_t began_ms; /* of the first event of its chain */
} Reached;

static bool link_holds(const RuleNode *step, const Reached *before, const Event *event)
{
    if (!before->is || step->span.count == 0)
        return before->is;
    return event->time_ms - (step->of_first ? before->began_ms : before->at_ms) < step->span.ms;
}

uint32_t eval_sequence_reached(const Eval *e, const RuleNode *n)
{
    Reached reached[RULE_NODES_MAX] = {0};
    const Cursor c = cursor_of(e, NULL, eval_window_range(e->facts, &n->window));
    uint32_t best = 0;
    for (size_t i = c.at; i < c.end && best < n->count; i++) {
        const Event *event = e->facts->events[i];
        /* From the last step down, so that an event is one step only. */
        for (uint32_t k = best + 1; k-- > 0;) {
            if (k > 0 && !link_holds(n->args[k], &reached[k - 1], event))
                continue;
            if (!eval_step_selects(e, n->args[k], event))
                continue;
            reached[k] =
                (Reached){true, event->time_ms, k == 0 ? event->time_ms : reached[k - 1].began_ms};
            best = k + 1 > best ? k + 1 : best;
        }
    }
    return best;
}

bool eval_sequence(const Eval *e, const RuleNode *n)
{
    return eval_sequence_reached(e, n) == n->count;
}

/* ---- for explaining -------------------------------------------------------------------------- */

Matches eval_matches(const Eval *e, const RuleNode *step, const RuleWindow *window)
{
    Cursor c = cursor_of(e, step, eval_window_range(e->facts, window));
    Matches m = {0};
    for (const Event *event; (event = next_event(&c)) != NULL; m.count++) {
        m.first = m.first == NULL ? event : m.first;
        m.last = event;
    }
    return m;
}
