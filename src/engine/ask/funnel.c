/*
 * engine/ask/funnel.c -- persons by person: which of their ways count, and for what.
 *
 * The plainest funnels need no more than the starts of each person (funnel_starts.c).  All others look at whole persons.
 *
 * With a breakdown every combination of values is counted as it comes.  When there are more than shall be shown, and
 * "other" is not simply the sum of the rest (a person may be in several series, or there were too many of them), a
 * second pass counts with the series known.
 */
#include "engine/ask/funnel.h"

#include "engine/ask/funnel_ask.h"
#include "engine/ask/funnel_starts.h"
#include "engine/ask/funnel_ways.h"
#include "engine/ask/session.h"
#include "engine/scan/ahead.h"
#include "engine/scan/buckets.h"

#include <stdlib.h>

__extension__ typedef unsigned __int128 WaySum;

/* The way of a person that counts so far. */
typedef struct Choice {
    uint32_t depth; /* 0 = none */
    uint32_t unit;  /* the last that had a way here */
    uint32_t rows[QUERY_STEPS_MAX];
    uint32_t count;             /* of ways as long as it */
    WaySum ms[QUERY_STEPS_MAX]; /* of FUNNEL_ANY: their times, summed */
} Choice;

/* An event and what tells its unit: the values of FUNNEL_EACH_STEP, then those that are held. */
enum { KEYS_MAX = QUERY_BREAKDOWNS_MAX + FUNNEL_HOLDS_MAX };
typedef struct KeyedEvent {
    int64_t keys[KEYS_MAX];
    FunnelEvent event;
} KeyedEvent;

typedef struct FunnelWorker {
    const struct FunnelRun *run;
    Scanner *scanner;
    FunnelPlan plan;
    FunnelLists lists;
    FunnelCount count;
    FunnelStarts starts;

    /* the person under way */
    const ScanBatch *b;
    uint32_t person;
    FunnelEvent *events;
    KeyedEvent *keyed, *merged; /* the other one is room for sorting */
    int64_t *sessions;          /* when each begins: FunnelPlan.sessions */
    uint32_t event_cap, keyed_cap, session_cap;
    uint32_t unit; /* from 1 on */
    FunnelUnit unit_under_way;
    Choice *choices;  /* [scope] */
    uint32_t *chosen; /* scopes that have one */
    uint32_t chosen_count;
    bool ended;
} FunnelWorker;

typedef struct FunnelRun {
    const Query *q;
    const Funnel *f;
    FunnelShape shape;
    ScanAsk ask;
    bool by_steps;  /* more than the first events tell which of two ways counts */
    bool by_starts; /* of the pass under way */
    atomic_uint_fast64_t laps;
    FunnelWorker *workers;
    const FunnelBar *bar; /* NULL: nobody asks who */
    People *people;
} FunnelRun;

/* ---- ways that count ----------------------------------------------------------------------------- */

static const FunnelEvent *event_of(const FunnelWorker *w, const FunnelWay *way, uint32_t step)
{
    return &w->unit_under_way.events[way->events[step]];
}

/* Scope of the interval that the way begins in; 0 = there are no intervals. */
static uint32_t interval_scope(const FunnelWorker *w, const FunnelWay *way)
{
    const Funnel *f = w->run->f;
    const int64_t at = scanner_base_ms(w->scanner) + event_of(w, way, 0)->at;
    return buckets_begun(f->bounds, f->interval_count, at);
}

/* The values of the step that has the credit. */
static TallyKey key_of(const FunnelWorker *w, uint32_t row)
{
    TallyKey key = {{0}};
    for (uint32_t i = 0; i < w->run->f->breakdown_count; i++)
        key.of[i] = w->b->values[i][row];
    return key;
}

/* See funnel_is_unreached(). */
static const TallyKey UNREACHED = {.of = {[QUERY_BREAKDOWNS_MAX - 1] = 1}};

static bool has_value(const FunnelWorker *w, uint32_t row)
{
    for (uint32_t i = 0; i < w->run->f->breakdown_count; i++)
        if (w->b->values[i][row] != SCAN_MISSING)
            return true;
    return false;
}

/* The step that says which series the way is in; `depth`: none does. */
static uint32_t credited_step(const FunnelWorker *w, uint32_t depth, const uint32_t *rows)
{
    const Funnel *f = w->run->f;
    uint32_t step = 0;
    switch (f->credit) {
    case FUNNEL_LAST_STEP:
        return depth - 1;
    case FUNNEL_ONE_STEP:
        return f->credit_step < depth ? f->credit_step : depth;
    case FUNNEL_FIRST_KNOWN:
        while (step < depth && !has_value(w, rows[step]))
            step++;
        return step < depth ? step : 0;
    case FUNNEL_LAST_KNOWN:
        step = depth - 1;
        while (step > 0 && !has_value(w, rows[step]))
            step--;
        return step;
    case FUNNEL_FIRST_STEP:
    case FUNNEL_EACH_STEP:
        break;
    }
    return 0;
}

/* `rows` and `ms` of the way, by step. */
static void count_way(FunnelWorker *w, uint32_t scope, uint32_t depth, const uint32_t *rows,
                      const int64_t *ms)
{
    FunnelItem item = {.person = w->person, .scope = scope, .depth = depth, .ms = ms};
    if (w->run->f->breakdown_count == 0) {
        funnel_count_way(&w->count, &item);
        return;
    }
    const uint32_t step = credited_step(w, depth, rows);
    if (step == depth && !w->run->f->credit_unreached)
        return;
    const TallyKey key = step == depth ? UNREACHED : key_of(w, rows[step]);
    item.key = &key;
    funnel_count_way(&w->count, &item);
}

/* Within the grace, steps may be the other way round. */
static uint64_t lap_of(int64_t from, int64_t to)
{
    return to > from ? (uint64_t)(to - from) : 0;
}

static void add_laps(const FunnelWorker *w, const FunnelWay *way, WaySum *ms)
{
    for (uint32_t k = 1; k < way->depth; k++)
        ms[k] += lap_of(event_of(w, way, k - 1)->at, event_of(w, way, k)->at);
    ms[0] += lap_of(event_of(w, way, 0)->at, event_of(w, way, way->depth - 1)->at);
}

/* ---- the one that is chosen ---------------------------------------------------------------------- */

/* Of ways as long, whether this one counts rather than the chosen one, where more than their first events tell. */
static bool is_preferred(const FunnelWorker *w, const FunnelWay *way, const Choice *c)
{
    const Funnel *f = w->run->f;
    const uint32_t last = way->depth - 1;
    if (f->entry == FUNNEL_NEAREST && event_of(w, way, last)->row != c->rows[last])
        return event_of(w, way, last)->row < c->rows[last];
    if (f->entry == FUNNEL_NEAREST && event_of(w, way, 0)->row != c->rows[0])
        return event_of(w, way, 0)->row > c->rows[0];
    for (uint32_t k = 0; k < way->depth; k++)
        if (event_of(w, way, k)->row != c->rows[k])
            return event_of(w, way, k)->row < c->rows[k];
    return false;
}

static void choose(FunnelWorker *w, uint32_t scope, const FunnelWay *way)
{
    const Funnel *f = w->run->f;
    Choice *c = &w->choices[scope];
    if (f->entry == FUNNEL_FIRST && c->unit == w->unit)
        return;
    if (c->depth == 0)
        w->chosen[w->chosen_count++] = scope;
    c->unit = w->unit;
    if (way->depth < c->depth)
        return;
    const bool preferred =
        way->depth > c->depth ||
        (w->run->by_steps ? is_preferred(w, way, c) : event_of(w, way, 0)->row < c->rows[0]);
    if (way->depth > c->depth || f->order != FUNNEL_ANY) {
        if (!preferred)
            return;
        c->count = 0;
        for (uint32_t k = 0; f->times && k < way->depth; k++)
            c->ms[k] = 0;
    }
    c->depth = way->depth;
    c->count++;
    if (f->times && scope == 0)
        add_laps(w, way, c->ms);
    const uint32_t kept = f->breakdown_count > 0 || w->run->by_steps ? way->depth : 1;
    for (uint32_t k = 0; preferred && k < kept; k++)
        c->rows[k] = event_of(w, way, k)->row;
}

static void count_choices(FunnelWorker *w)
{
    int64_t ms[QUERY_STEPS_MAX];
    for (uint32_t i = 0; i < w->chosen_count; i++) {
        const uint32_t scope = w->chosen[i];
        Choice *c = &w->choices[scope];
        const bool timed = w->run->f->times && scope == 0;
        for (uint32_t k = 0; timed && k < c->depth; k++)
            ms[k] = (int64_t)(c->count == 1 ? c->ms[k] : c->ms[k] / c->count);
        count_way(w, scope, c->depth, c->rows, timed ? ms : NULL);
        c->depth = c->unit = 0;
    }
    w->chosen_count = 0;
}

/* Forwards, no later way is better than the first one that did all steps, unless nearness counts. */
static bool offer_way(const FunnelWay *way, void *arg)
{
    FunnelWorker *w = arg;
    const Funnel *f = w->run->f;
    choose(w, 0, way);
    if (f->interval_count > 0) {
        choose(w, interval_scope(w, way), way);
        return !funnel_is_of_ever(f);
    }
    return f->entry == FUNNEL_NEAREST ||
           (f->entry == FUNNEL_BEST && (f->order == FUNNEL_ANY || way->depth < f->step_count));
}

static bool count_each_way(const FunnelWay *way, void *arg)
{
    FunnelWorker *w = arg;
    const bool timed = w->run->f->times;
    uint32_t rows[QUERY_STEPS_MAX];
    WaySum sums[QUERY_STEPS_MAX] = {0};
    int64_t ms[QUERY_STEPS_MAX];
    if (timed)
        add_laps(w, way, sums);
    for (uint32_t k = 0; k < way->depth; k++) {
        rows[k] = event_of(w, way, k)->row;
        ms[k] = (int64_t)sums[k];
    }
    count_way(w, 0, way->depth, rows, timed ? ms : NULL);
    if (w->run->f->interval_count > 0)
        count_way(w, interval_scope(w, way), way->depth, rows, NULL);
    return true;
}

static void take_unit(FunnelWorker *w)
{
    const Funnel *f = w->run->f;
    const FunnelUnit *u = &w->unit_under_way;
    FunnelWay way;
    w->unit++;
    if (funnel_is_of_ever(f) && funnel_began_earlier(&w->plan, u))
        return;
    if (f->entry == FUNNEL_ALL)
        funnel_successive_ways(&w->plan, &w->lists, u, count_each_way, w);
    else if (f->entry == FUNNEL_EVERY)
        funnel_every_way(&w->plan, &w->lists, u, count_each_way, w);
    else if (!funnel_is_plain(f))
        funnel_every_way(&w->plan, &w->lists, u, offer_way, w);
    else if (funnel_best_way(&w->plan, u, &way))
        choose(w, 0, &way);
}

/* ---- units --------------------------------------------------------------------------------------- */

static uint32_t held_count(const Funnel *f)
{
    return f->credit == FUNNEL_EACH_STEP ? f->breakdown_count + f->hold_count : f->hold_count;
}

static int by_keys(const KeyedEvent *x, const KeyedEvent *y)
{
    for (size_t i = 0; i < KEYS_MAX; i++)
        if (x->keys[i] != y->keys[i])
            return x->keys[i] < y->keys[i] ? -1 : 1;
    return (x->event.row > y->event.row) - (x->event.row < y->event.row);
}

static void sort_few(KeyedEvent *events, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        const KeyedEvent event = events[i];
        uint32_t to = i;
        for (; to > 0 && by_keys(&events[to - 1], &event) > 0; to--)
            events[to] = events[to - 1];
        events[to] = event;
    }
}

/* Rows [from, middle) and [middle, end), each in order, to the same place of `out`. */
static void merge_events(const KeyedEvent *in, uint32_t from, uint32_t middle, uint32_t end,
                         KeyedEvent *out)
{
    for (uint32_t a = from, b = middle, to = from; to < end && !crew_gives_up_at(to); to++) {
        const bool first = b == end || (a < middle && by_keys(&in[a], &in[b]) < 0);
        out[to] = in[first ? a++ : b++];
    }
}

/* Most persons have few events; of those of one with millions it may give up. */
static void sort_events(FunnelWorker *w, uint32_t count)
{
    enum { FEW = 24 };
    for (uint32_t from = 0; from < count; from += FEW)
        sort_few(w->keyed + from, count - from < FEW ? count - from : FEW);
    for (uint32_t width = FEW; width < count && !crew_gives_up(count); width *= 2) {
        for (uint32_t from = 0; from < count; from += 2 * width) {
            const uint32_t left = count - from;
            merge_events(w->keyed, from, from + (left < width ? left : width),
                         from + (left < 2 * width ? left : 2 * width), w->merged);
        }
        KeyedEvent *const merged = w->merged;
        w->merged = w->keyed;
        w->keyed = merged;
    }
}

/* False: a value that is held is missing. */
static bool read_keys(const FunnelWorker *w, uint32_t row, int64_t *keys)
{
    const Funnel *f = w->run->f;
    const uint32_t each = held_count(f) - f->hold_count;
    for (uint32_t i = 0; i < each; i++)
        keys[i] = w->b->values[i][row];
    for (uint32_t i = 0; i < f->hold_count; i++) {
        keys[each + i] = w->b->values[f->breakdown_count + i][row];
        if (keys[each + i] == SCAN_MISSING)
            return false;
    }
    return true;
}

/* Puts the person's events in the order of their units. */
static uint32_t key_events(FunnelWorker *w, uint32_t from, uint32_t to)
{
    if (to - from > w->keyed_cap) {
        free(w->keyed);
        free(w->merged);
        w->keyed_cap = to - from + (to - from) / 2;
        w->keyed = malloc(w->keyed_cap * sizeof *w->keyed);
        w->merged = malloc(w->keyed_cap * sizeof *w->merged);
        CHECK(w->keyed != NULL && w->merged != NULL);
    }
    uint32_t n = 0;
    for (uint32_t row = from; row < to; row++) {
        w->keyed[n] = (KeyedEvent){.event = {scan_ms(w->b, row), w->b->rows[row].selects, row}};
        n += read_keys(w, row, w->keyed[n].keys);
    }
    sort_events(w, n);
    for (uint32_t i = 0; i < n; i++)
        w->events[i] = w->keyed[i].event;
    return n;
}

static bool same_keys(const KeyedEvent *a, const KeyedEvent *b, uint32_t count)
{
    return memcmp(a->keys, b->keys, count * sizeof *a->keys) == 0;
}

/* With Funnel.hold_first: the first event that may begin a way, whose unit is the only one; else NULL: all are. */
static const KeyedEvent *first_begun(const FunnelWorker *w, uint32_t n)
{
    const KeyedEvent *first = NULL;
    for (uint32_t i = 0; w->run->f->hold_first && i < n && !crew_gives_up_at(i); i++)
        if (funnel_may_begin(&w->plan, &w->keyed[i].event) &&
            (first == NULL || w->keyed[i].event.row < first->event.row))
            first = &w->keyed[i];
    return first;
}

/* The events of those values, and of the others what needs no value; all of the latter when `held` is none. */
static void unite(FunnelWorker *w, uint32_t from, uint32_t to, const KeyedEvent *held,
                  uint32_t held_events)
{
    const Funnel *f = w->run->f;
    uint32_t free = w->plan.steps & ~f->hold_steps, n = 0;
    free |= f->entry == FUNNEL_FIRST_NAMED && (free & 1) != 0 ? funnel_named_bit(f) : 0;
    for (uint32_t row = from, i = 0; row < to; row++) {
        const bool is_held = i < held_events && held[i].event.row == row;
        const uint32_t selects = w->b->rows[row].selects & (is_held ? UINT32_MAX : free);
        i += is_held;
        if (selects != 0)
            w->events[n++] = (FunnelEvent){scan_ms(w->b, row), selects, row};
    }
    w->unit_under_way = (FunnelUnit){w->events, n};
}

/* With Funnel.hold_steps: a unit for those values that come, and one for none. */
static void each_unit_of_steps(FunnelWorker *w, uint32_t from, uint32_t to,
                               void (*fn)(FunnelWorker *w))
{
    const uint32_t n = key_events(w, from, to), keys = w->run->f->hold_count;
    const KeyedEvent *only = first_begun(w, n);
    w->unit = 0;
    unite(w, from, to, NULL, 0);
    fn(w);
    for (uint32_t first = 0, end = 0; first < n && !crew_gives_up(to - from); first = end) {
        while (end < n && same_keys(&w->keyed[first], &w->keyed[end], keys))
            end++;
        if (only != NULL && !same_keys(&w->keyed[first], only, keys))
            continue;
        unite(w, from, to, w->keyed + first, end - first);
        fn(w);
    }
    count_choices(w);
}

/* Calls `fn` for each unit, and count_choices() behind those that share a series. */
static void each_unit(FunnelWorker *w, uint32_t from, uint32_t to, void (*fn)(FunnelWorker *w))
{
    const uint32_t keys = held_count(w->run->f), each = keys - w->run->f->hold_count;
    w->unit = 0;
    if (keys == 0) {
        for (uint32_t row = from; row < to; row++)
            w->events[row - from] = (FunnelEvent){scan_ms(w->b, row), w->b->rows[row].selects, row};
        if (crew_gives_up(to - from))
            return;
        w->unit_under_way = (FunnelUnit){w->events, to - from};
        fn(w);
        count_choices(w);
        return;
    }
    const uint32_t n = key_events(w, from, to);
    const KeyedEvent *only = first_begun(w, n);
    if (crew_gives_up(n))
        return;
    for (uint32_t first = 0, end = 0; first < n && !crew_gives_up(1); first = end) {
        while (end < n && same_keys(&w->keyed[first], &w->keyed[end], keys))
            end++;
        w->unit_under_way = (FunnelUnit){w->events + first, end - first};
        if (only == NULL || same_keys(&w->keyed[first], only, keys))
            fn(w);
        if (end == n || !same_keys(&w->keyed[first], &w->keyed[end], each))
            count_choices(w);
    }
}

/* ---- plain units ---------------------------------------------------------------------------------
 *
 * Where only persons are counted, and by the values of their units, the starts of each unit are enough: no event has
 * to be put anywhere.
 */

enum { PLAIN_UNITS_MAX = 16 }; /* of one person; who has more is looked at as all others are */

typedef struct PlainUnit {
    int64_t keys[KEYS_MAX];
    int64_t start[QUERY_STEPS_MAX];
} PlainUnit;

static bool has_plain_units(const Funnel *f)
{
    return funnel_is_plain(f) && !f->times && held_count(f) > 0 &&
           (f->breakdown_count == 0 || f->credit == FUNNEL_EACH_STEP);
}

/* The unit with these keys; *count when it is a new one. */
static uint32_t find_plain_unit(const PlainUnit *units, uint32_t count, const int64_t *keys,
                                uint32_t key_count)
{
    for (uint32_t i = 0; i < count; i++) {
        int64_t differ = 0;
        for (uint32_t k = 0; k < key_count; k++)
            differ |= units[i].keys[k] ^ keys[k];
        if (differ == 0)
            return i;
    }
    return count;
}

static void count_plain_unit(FunnelWorker *w, const PlainUnit *unit)
{
    const Funnel *f = w->run->f;
    FunnelItem item = {.person = w->person};
    TallyKey key = {{0}};
    while (item.depth < f->step_count && unit->start[item.depth] != FUNNEL_NEVER)
        item.depth++;
    if (item.depth == 0)
        return;
    memcpy(key.of, unit->keys, f->breakdown_count * sizeof *key.of);
    item.key = f->breakdown_count > 0 ? &key : NULL;
    funnel_count_way(&w->count, &item);
}

/* False: the person has too many units; nothing was counted. */
static bool take_plain_units(FunnelWorker *w, uint32_t from, uint32_t to)
{
    const Funnel *f = w->run->f;
    const uint32_t key_count = held_count(f);
    PlainUnit units[PLAIN_UNITS_MAX + 1];
    uint32_t count = 0;
    for (uint32_t row = from; row < to && !crew_gives_up_at(row); row++) {
        PlainUnit *const next = &units[count];
        if (!read_keys(w, row, next->keys))
            continue;
        const uint32_t at = find_plain_unit(units, count, next->keys, key_count);
        if (at == PLAIN_UNITS_MAX)
            return false;
        for (uint32_t k = 0; at == count && k < f->step_count; k++)
            next->start[k] = FUNNEL_NEVER;
        count += at == count;
        funnel_fill_steps(w->b->rows[row].selects, scan_ms(w->b, row), f->window_ms,
                          units[at].start);
    }
    for (uint32_t i = 0; i < count; i++)
        count_plain_unit(w, &units[i]);
    return true;
}

/* ---- ends ---------------------------------------------------------------------------------------- */

static bool find_end(const FunnelWay *way, void *arg)
{
    FunnelWorker *w = arg;
    w->ended = way->ended;
    return !way->ended;
}

/* Whether any way of the unit met something excluded, counted or not. */
static void look_for_end(FunnelWorker *w)
{
    if (!w->ended)
        funnel_every_way(&w->plan, &w->lists, &w->unit_under_way, find_end, w);
}

/* ---- sessions ------------------------------------------------------------------------------------ */

/* When the person's sessions begin.  Rows of entries before that time are no part of them. */
static void find_sessions(FunnelWorker *w, uint32_t from, uint32_t to)
{
    const Funnel *f = w->run->f;
    int64_t before = 0;
    uint32_t n = 0;
    if (to - from > w->session_cap) {
        free(w->sessions);
        w->session_cap = to - from + (to - from) / 2;
        w->sessions = malloc(w->session_cap * sizeof *w->sessions);
        CHECK(w->sessions != NULL);
    }
    for (uint32_t row = from; row < to && !crew_gives_up_at(row); row++) {
        const int64_t at = scan_ms(w->b, row);
        if ((w->b->rows[row].selects & funnel_every_bit(f)) == 0)
            continue;
        if (n == 0 ||
            !session_goes_on(f->session_gap_ms, f->session_max_ms, w->sessions[n - 1], before, at))
            w->sessions[n++] = at;
        before = at;
    }
    w->plan.sessions = w->sessions;
    w->plan.session_count = n;
}

/* ---- whole persons ------------------------------------------------------------------------------- */

static bool is_behind_bar(const FunnelWorker *w, const FunnelBar *bar)
{
    const uint32_t series = bar->series == QUERY_WHOLE ? 0 : 1 + bar->series;
    const uint32_t scope = bar->interval == QUERY_WHOLE ? 0 : 1 + bar->interval;
    const uint32_t depth = funnel_count_depth(&w->count, series, scope);
    return bar->dropped ? depth == bar->step : depth > bar->step;
}

typedef void (*UnitsFn)(FunnelWorker *w, uint32_t from, uint32_t to, void (*fn)(FunnelWorker *w));

static void take_person(FunnelWorker *w, uint32_t from, uint32_t to)
{
    const FunnelRun *run = w->run;
    if (to - from > w->event_cap) {
        free(w->events);
        w->event_cap = to - from + (to - from) / 2;
        w->events = malloc(w->event_cap * sizeof *w->events);
        CHECK(w->events != NULL);
    }
    UnitsFn units = run->f->hold_steps != 0 ? each_unit_of_steps : each_unit;
    w->ended = false;
    if (run->f->window_sessions > 0)
        find_sessions(w, from, to);
    if (run->f->exclude_persons)
        units(w, from, to, look_for_end);
    if (w->ended)
        return;
    if (!has_plain_units(run->f) || !take_plain_units(w, from, to))
        units(w, from, to, take_unit);
    if (run->bar != NULL && is_behind_bar(w, run->bar))
        people_add(run->people, w->person);
    funnel_count_next_person(&w->count);
}

static void take_piece(uint32_t worker, uint32_t piece, void *arg)
{
    const FunnelRun *run = arg;
    FunnelWorker *w = &run->workers[worker];
    ScanBatch b;
    w->b = &b;
    while (scanner_batch(w->scanner, piece, &b))
        for (uint32_t i = 0; i < b.person_count && !crew_gives_up(scan_rows_of(&b, i)); i++) {
            w->person = b.persons[i];
            take_person(w, b.from[i], b.from[i + 1]);
        }
}

/* ---- starts alone --------------------------------------------------------------------------------- */

static void take_piece_by_starts(uint32_t worker, uint32_t piece, void *arg)
{
    FunnelWorker *w = &((const FunnelRun *)arg)->workers[worker];
    funnel_starts_piece(&w->starts, piece, &w->count);
}

/* ---- a pass -------------------------------------------------------------------------------------- */

static void open_worker(FunnelRun *run, FunnelWorker *w, const ScanAsk *ask, const Tally *shown)
{
    w->run = run;
    w->scanner = scanner_new(run->q->view, ask);
    w->plan = funnel_plan(run->f, scanner_base_ms(w->scanner));
    w->choices = calloc(run->shape.scopes, sizeof *w->choices);
    w->chosen = malloc(run->shape.scopes * sizeof *w->chosen);
    CHECK(w->choices != NULL && w->chosen != NULL);
    funnel_count_open(&w->count, &run->shape, shown, &run->laps);
    w->count.came.limit = query_share(run->q, QUERY_VALUES_MAX);
    if (run->by_starts)
        funnel_starts_open(&w->starts, run->f, w->scanner, run->q->view, ask);
}

/* All but what was counted. */
static void close_worker(FunnelWorker *w)
{
    scanner_free(w->scanner);
    funnel_lists_free(&w->lists);
    funnel_starts_free(&w->starts);
    free(w->events);
    free(w->keyed);
    free(w->merged);
    free(w->sessions);
    free(w->choices);
    free(w->chosen);
}

/* `shown`: as in FunnelCount. */
static Err run_pass(Ctx *ctx, FunnelRun *run, const Tally *shown)
{
    const uint32_t size = crew_size(run->q->crew);
    ScanAsk ask = run->ask;
    atomic_store(&run->laps, 0);
    run->by_starts =
        run->bar == NULL && shown == NULL && funnel_has_starts(run->f, run->q->view, &ask);
    memset(run->workers, 0, size * sizeof *run->workers);
    TRY(ahead_of_scan(ctx, run->q, &run->ask, true));
    for (uint32_t i = 0; i < size; i++)
        open_worker(run, &run->workers[i], &ask, shown);
    Err err = query_pieces(ctx, run->q, QUERY_PERSONS,
                           run->by_starts ? take_piece_by_starts : take_piece, run);
    bool damaged = false;
    for (uint32_t i = 0; i < size; i++) {
        damaged = damaged || scanner_damaged(run->workers[i].scanner) > 0;
        close_worker(&run->workers[i]);
    }
    if (err == ERR_OK && damaged)
        err = fail(ctx, ERR_INTERNAL, "events.part_damaged", "a funnel met damage");
    return err;
}

static void forget_counts(FunnelRun *run)
{
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++)
        funnel_count_close(&run->workers[i].count);
}

/* ---- the run -------------------------------------------------------------------------------------- */

/* Ends with the workers made, for run_pass(). */
static Err begin(Ctx *ctx, const Query *q, const Funnel *f, FunnelRun *out)
{
    TRY(funnel_check(ctx, f));
    *out = (FunnelRun){.q = q, .f = f, .shape = funnel_shape(f), .ask = funnel_ask(ctx, f)};
    out->by_steps = f->hold_steps != 0 || f->entry == FUNNEL_NEAREST;
    out->workers = calloc(crew_size(q->crew), sizeof *out->workers);
    CHECK(out->workers != NULL);
    return ERR_OK;
}

/* ---- the question -------------------------------------------------------------------------------- */

/* Every combination of values that came, and those with the most persons.  False: some were only counted. */
static bool join_combinations(const FunnelRun *run, Tally *all, Tally *shown)
{
    bool complete = true;
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++) {
        const Tally *mine = &run->workers[i].count.came;
        complete = complete && !mine->is_over && mine->count < run->shape.room;
        tally_join(all, mine);
    }
    tally_top(all, run->f->top, shown);
    return complete;
}

/* Counts once more, when what is in "other" cannot be told from the series that are in it. */
static Err count_shown(Ctx *ctx, FunnelRun *run, const Tally *all, bool complete,
                       const Tally *shown)
{
    const Funnel *f = run->f;
    const bool adds_up = !funnel_counts_ways(f) && f->credit != FUNNEL_EACH_STEP;
    if (all->count == shown->count || (complete && adds_up))
        return ERR_OK;
    forget_counts(run);
    return run_pass(ctx, run, shown);
}

static void give_result(Ctx *ctx, const FunnelRun *run, const Tally *shown, uint32_t distinct,
                        FunnelResult *out)
{
    const uint32_t workers = crew_size(run->q->crew);
    FunnelCount *counts = ARENA_ARRAY(ctx->arena, FunnelCount, workers);
    for (uint32_t i = 0; i < workers; i++)
        counts[i] = run->workers[i].count;
    funnel_count_give(ctx, counts, workers, shown, distinct, out);
}

static Err count_all(Ctx *ctx, FunnelRun *run, FunnelResult *out)
{
    Tally all = {.limit = QUERY_VALUES_MAX}, shown = {.limit = run->f->top};
    TRY(run_pass(ctx, run, NULL));
    const bool complete = join_combinations(run, &all, &shown);
    const Err err =
        all.is_over ? query_too_many(ctx) : count_shown(ctx, run, &all, complete, &shown);
    if (err == ERR_OK)
        give_result(ctx, run, &shown, all.count, out);
    tally_free(&all);
    tally_free(&shown);
    return err;
}

Err query_funnel(Ctx *ctx, const Query *q, const Funnel *f, FunnelResult *out)
{
    FunnelRun run;
    TRY(begin(ctx, q, f, &run));
    const Err err = count_all(ctx, &run, out);
    forget_counts(&run);
    free(run.workers);
    return err;
}

Err query_funnel_people(Ctx *ctx, const Query *q, const Funnel *f, const FunnelResult *r,
                        const FunnelBar *bar, People *out)
{
    CHECK(bar->step < f->step_count && (!bar->dropped || bar->step > 0));
    Tally shown = {.limit = QUERY_GROUPS_MAX};
    FunnelRun run;
    TRY(begin(ctx, q, f, &run));
    People people = people_none(ctx->arena, q->view);
    run.bar = bar;
    run.people = &people;
    for (uint32_t i = 0; i < r->count && !r->series[i].key.is_other; i++) {
        TallyKey key;
        memcpy(key.of, r->series[i].key.values, sizeof key.of);
        (void)tally_number(&shown, &key);
    }
    const Err err = run_pass(ctx, &run, &shown);
    forget_counts(&run);
    tally_free(&shown);
    free(run.workers);
    TRY(err);
    people_count(&people);
    *out = people;
    return ERR_OK;
}
