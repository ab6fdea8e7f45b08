/*
 * engine/ask/funnel_test.c -- funnels against slow obvious code: every kind of them on random rows, with whom they count.
 */
#include "engine/ask/funnel.h"

#include "base/clock.h"
#include "engine/ask/funnel_count.h"
#include "engine/engine_testkit.h"

#include <stdlib.h>

static Crew *crew;

/* ---- the slow way -------------------------------------------------------------------------------- */

enum { SLOW_STEPS_MAX = 6, SLOW_SCOPES_MAX = 8, SLOW_SERIES_MAX = 400 };

/* A way as rows of a unit. */
typedef struct SlowWay {
    uint32_t depth, rows[SLOW_STEPS_MAX], end;
    bool ended;
} SlowWay;

/* One way that counts, or several that are as long, with the mean of their times. */
typedef struct SlowItem {
    uint32_t person, scope, depth;
    int64_t values[QUERY_BREAKDOWNS_MAX];
    int64_t ms[SLOW_STEPS_MAX];      /* [0]: all of it */
    uint32_t places[SLOW_STEPS_MAX]; /* of its rows among the person's */
    uint32_t ways;                   /* in `ms` */
} SlowItem;

typedef struct Slow {
    Kit *k;
    const Funnel *f;
    SlowItem *items;
    uint32_t count, cap;
} Slow;

/* The person under way, and with hold_steps a row with the values of the unit under way; NULL = it has none. */
static KitRow **whole;
static uint32_t whole_count;
static const KitRow *unit_row;

static bool is_alike(const ScanProp *props, uint32_t count, const KitRow *a, const KitRow *b)
{
    for (uint32_t i = 0; i < count; i++)
        if (a->values[props[i].prop - PROP_FIRST] != b->values[props[i].prop - PROP_FIRST])
            return false;
    return true;
}

static bool is_of(const ScanSelect *s, const KitRow *r)
{
    bool named = s->events == NULL;
    for (uint32_t i = 0; i < s->event_count; i++)
        named = named || s->events[i] == r->event;
    return named && (s->filter == NULL || kit_fulfils(s->filter, r));
}

/* Whether the row has what the unit holds, where it is asked for. */
static bool has_unit(const Funnel *f, const KitRow *r)
{
    return f->hold_steps == 0 ||
           (unit_row != NULL && is_alike(f->hold, f->hold_count, r, unit_row));
}

static bool fills(const Funnel *f, uint32_t step, const KitRow *r)
{
    return is_of(&f->steps[step], r) && ((f->hold_steps >> step & 1) == 0 || has_unit(f, r));
}

static bool in_range(const Funnel *f, const KitRow *r)
{
    return r->time_ms >= f->steps[0].from_ms && r->time_ms < f->steps[0].to_ms;
}

/* When the first session begins that a way from there does not reach: counted from the first event of all. */
static int64_t slow_session(const Funnel *f, const KitRow *first)
{
    int64_t began = INT64_MIN, before = INT64_MIN;
    uint32_t left = f->window_sessions;
    for (uint32_t i = 0; i < whole_count; i++) {
        const int64_t at = whole[i]->time_ms;
        if (at < f->steps[0].from_ms - f->session_max_ms)
            continue;
        const bool new = began == INT64_MIN || at - before > f->session_gap_ms ||
                         at - began >= f->session_max_ms;
        before = at;
        began = new ? at : began;
        left -= new &&at > first->time_ms;
        if (left == 0)
            return at;
    }
    return INT64_MAX;
}

/* The last instant of a way that begins there. */
static int64_t slow_to(const Funnel *f, const KitRow *first)
{
    int64_t to = first->time_ms + f->window_ms;
    for (uint32_t i = 0; i < f->day_count; i++)
        if (first->time_ms >= f->days[i] && first->time_ms < f->days[i + 1] && f->days[i + 1] <= to)
            to = f->days[i + 1] - 1;
    if (f->window_sessions > 0 && slow_session(f, first) <= to)
        to = slow_session(f, first) - 1;
    return to;
}

static bool begins(const Funnel *f, const KitRow *r)
{
    bool any = fills(f, 0, r);
    for (uint32_t s = 1; s < f->step_count && f->order == FUNNEL_ANY && !f->anchored; s++)
        any = any || fills(f, s, r);
    return any && in_range(f, r);
}

/* Whether row x is something that ends a way which has `done` steps. */
static bool ends(const Funnel *f, const KitRow *x, uint32_t done)
{
    for (uint32_t i = 0; i < f->exclude_count; i++)
        if (is_of(&f->excludes[i].select, x) && has_unit(f, x) && f->excludes[i].from_step < done &&
            f->excludes[i].to_step >= done)
            return true;
    return false;
}

/* Ends the way at the first such row between its last step and `next` (n: there is none in the window). */
static bool slow_end(const Funnel *f, KitRow **rows, uint32_t n, SlowWay *w, uint32_t next)
{
    const uint32_t last = w->rows[w->depth - 1];
    for (uint32_t x = 0; x < n; x++) {
        const int64_t at = rows[x]->time_ms;
        bool between = x > last && x < next;
        if (f->grace_ms > 0)
            between = at > rows[last]->time_ms + f->grace_ms &&
                      (next == n || at < rows[next]->time_ms - f->grace_ms);
        if (!between || at > slow_to(f, rows[w->rows[0]]) || !ends(f, rows[x], w->depth))
            continue;
        w->ended = true;
        w->end = x;
        return true;
    }
    return false;
}

/* The largest number of different steps that rows from..to can fill: one bit per set of steps. */
static uint32_t most_steps(const Funnel *f, KitRow **rows, uint32_t from, uint32_t to)
{
    bool done[1 << SLOW_STEPS_MAX] = {[0] = !f->anchored, [1] = f->anchored};
    uint32_t most = f->anchored;
    for (uint32_t i = from + f->anchored; i <= to; i++) /* what begins the way is its first step */
        for (uint32_t set = (1U << f->step_count) - 1; set > 0; set--)
            for (uint32_t s = f->anchored; s < f->step_count; s++)
                if ((set >> s & 1) != 0 && done[set ^ (1U << s)] && fills(f, s, rows[i])) {
                    done[set] = true;
                    const uint32_t size = (uint32_t)__builtin_popcount(set);
                    most = size > most ? size : most;
                }
    return most;
}

/* What fills the next step; n = nothing. */
static uint32_t slow_next(const Funnel *f, KitRow **rows, uint32_t n, uint32_t floor,
                          const SlowWay *w)
{
    int64_t latest = 0;
    for (uint32_t d = 0; d < w->depth; d++)
        latest = d == 0 || rows[w->rows[d]]->time_ms > latest ? rows[w->rows[d]]->time_ms : latest;
    for (uint32_t j = floor; j < n; j++) {
        bool free = rows[j]->time_ms <= slow_to(f, rows[w->rows[0]]);
        for (uint32_t d = 0; d < w->depth; d++)
            free = free && w->rows[d] != j;
        if (f->grace_ms == 0)
            free = free && j > w->rows[w->depth - 1];
        else
            free = free && rows[j]->time_ms >= latest - f->grace_ms;
        if (f->order == FUNNEL_ANY)
            free = free && most_steps(f, rows, w->rows[0], j) > w->depth;
        else
            free = free && fills(f, w->depth, rows[j]);
        if (free)
            return j;
    }
    return n;
}

static SlowWay slow_way(const Funnel *f, KitRow **rows, uint32_t n, uint32_t entry, uint32_t floor)
{
    SlowWay w = {.depth = 1, .rows = {entry}};
    while (w.depth < f->step_count) {
        uint32_t next = slow_next(f, rows, n, floor, &w);
        if (f->order == FUNNEL_STRICT && next != w.rows[w.depth - 1] + 1) {
            const uint32_t behind = w.rows[w.depth - 1] + 1;
            w.end = behind;
            w.ended = behind < n && ends(f, rows[behind], w.depth) &&
                      rows[behind]->time_ms <= slow_to(f, rows[entry]);
            return w;
        }
        if (slow_end(f, rows, n, &w, next))
            return w;
        if (next == n) {
            for (w.end = entry; w.end < n; w.end++)
                if (rows[w.end]->time_ms > slow_to(f, rows[entry]))
                    break;
            return w;
        }
        w.rows[w.depth++] = next;
    }
    for (uint32_t d = 0; d < w.depth; d++)
        w.end = w.rows[d] + 1 > w.end ? w.rows[d] + 1 : w.end;
    return w;
}

static int64_t later(int64_t from, int64_t to)
{
    return to > from ? to - from : 0;
}

static void slow_times(KitRow **rows, const SlowWay *w, int64_t *ms)
{
    for (uint32_t d = 1; d < w->depth; d++)
        ms[d] += later(rows[w->rows[d - 1]]->time_ms, rows[w->rows[d]]->time_ms);
    ms[0] += later(rows[w->rows[0]]->time_ms, rows[w->rows[w->depth - 1]]->time_ms);
}

/* False: the way has no such step. */
static bool slow_values(const Funnel *f, KitRow **rows, const SlowWay *w, int64_t *values)
{
    uint32_t step = 0;
    if (f->credit == FUNNEL_LAST_STEP)
        step = w->depth - 1;
    if (f->credit == FUNNEL_ONE_STEP)
        step = f->credit_step;
    for (uint32_t d = 0; d < w->depth; d++) { /* the first, then the last of those with a value */
        const uint32_t at = f->credit == FUNNEL_LAST_KNOWN ? d : w->depth - 1 - d;
        bool known = false;
        for (uint32_t b = 0; b < f->breakdown_count; b++)
            known = known ||
                    rows[w->rows[at]]->values[f->breakdown[b].prop - PROP_FIRST] != SCAN_MISSING;
        if (known && (f->credit == FUNNEL_FIRST_KNOWN || f->credit == FUNNEL_LAST_KNOWN))
            step = at;
    }
    for (uint32_t b = 0; b < f->breakdown_count && step < w->depth; b++)
        values[b] = rows[w->rows[step]]->values[f->breakdown[b].prop - PROP_FIRST];
    const bool reached = f->breakdown_count == 0 || step < w->depth;
    values[QUERY_BREAKDOWNS_MAX - 1] += f->credit_unreached && !reached;
    return reached || f->credit_unreached;
}

/* ---- which ways count ---------------------------------------------------------------------------- */

static uint32_t place_of(const KitRow *row)
{
    uint32_t place = 0;
    while (whole[place] != row)
        place++;
    return place;
}

static SlowItem item_of(const Slow *s, KitRow **rows, const SlowWay *w, uint32_t scope)
{
    SlowItem item = {.person = rows[0]->person, .scope = scope, .depth = w->depth, .ways = 1};
    for (uint32_t d = 0; d < w->depth; d++)
        item.places[d] = place_of(rows[w->rows[d]]);
    slow_times(rows, w, item.ms);
    if (!slow_values(s->f, rows, w, item.values))
        item.depth = 0; /* it keeps its place, and counts for nothing */
    return item;
}

static void put(Slow *s, const SlowItem *item)
{
    CHECK(s->count < s->cap);
    s->items[s->count++] = *item;
}

/* Whether a way that begins here counts in the scope at all. */
static bool in_scope(const Funnel *f, const KitRow *r, uint32_t scope)
{
    return scope == 0 || (r->time_ms >= f->bounds[scope - 1] && r->time_ms < f->bounds[scope]);
}

static void slow_all(Slow *s, KitRow **rows, uint32_t n)
{
    const Funnel *f = s->f;
    for (uint32_t i = 0, floor = 0; i < n; i++) {
        if (i < floor || !begins(f, rows[i]))
            continue;
        const SlowWay w = slow_way(f, rows, n, i, floor);
        for (uint32_t scope = 0; scope <= f->interval_count; scope++) {
            const SlowItem item = item_of(s, rows, &w, scope);
            if (in_scope(f, rows[i], scope))
                put(s, &item);
        }
        floor = f->entry == FUNNEL_EVERY ? 0 : w.end;
    }
}

/* Of two that are as deep. */
static bool is_preferred(const Funnel *f, uint32_t depth, const uint32_t *a, const uint32_t *b)
{
    if (f->entry == FUNNEL_NEAREST && a[depth - 1] != b[depth - 1])
        return a[depth - 1] < b[depth - 1];
    if (f->entry == FUNNEL_NEAREST && a[0] != b[0])
        return a[0] > b[0];
    uint32_t d = 0;
    while (d + 1 < depth && a[d] == b[d])
        d++;
    return a[d] < b[d];
}

/* The deeper one, of those the earlier; in any order the times of all that are as deep go together.  `depth` is that
 * of the best so far. */
static void prefer(const Funnel *f, const SlowItem *item, uint32_t depth, uint32_t *best_depth,
                   SlowItem *best)
{
    const bool earlier = depth == *best_depth && is_preferred(f, depth, item->places, best->places);
    if (depth < *best_depth || (depth == *best_depth && f->order != FUNNEL_ANY && !earlier))
        return;
    SlowItem kept = *best;
    if (depth > *best_depth || earlier)
        *best = *item;
    if (depth == *best_depth && f->order == FUNNEL_ANY) {
        for (uint32_t d = 0; d < SLOW_STEPS_MAX; d++)
            best->ms[d] = kept.ms[d] + item->ms[d];
        best->ways = kept.ways + 1;
    }
    *best_depth = depth;
}

/* Of FUNNEL_FIRST_NAMED nothing of the first step's names is before it, whether the step takes it or not. */
static bool is_first_ever(const Funnel *f, KitRow **rows, uint32_t at)
{
    ScanSelect first = f->steps[0];
    if (f->entry == FUNNEL_FIRST_NAMED)
        first.filter = NULL;
    for (uint32_t i = 0; i < at; i++)
        if (is_of(&first, rows[i]) && ((f->hold_steps & 1) == 0 || has_unit(f, rows[i])))
            return false;
    return true;
}

static bool is_of_ever(const Funnel *f)
{
    return f->entry == FUNNEL_FIRST_EVER || f->entry == FUNNEL_FIRST_NAMED;
}

/* One unit: adds what it has to the best of its person so far. */
static void slow_best(Slow *s, KitRow **rows, uint32_t n, uint32_t *depths, SlowItem *best)
{
    const Funnel *f = s->f;
    for (uint32_t scope = 0; scope <= f->interval_count; scope++) {
        for (uint32_t i = 0; i < n; i++) {
            if (!begins(f, rows[i]) || !in_scope(f, rows[i], scope) ||
                (is_of_ever(f) && !is_first_ever(f, rows, i)))
                continue;
            const SlowWay w = slow_way(f, rows, n, i, 0);
            const SlowItem item = item_of(s, rows, &w, scope);
            prefer(f, &item, w.depth, &depths[scope], &best[scope]);
            if (f->entry == FUNNEL_FIRST || is_of_ever(f))
                break;
        }
    }
}

static void put_best(Slow *s, uint32_t *depths, SlowItem *best)
{
    for (uint32_t scope = 0; scope <= s->f->interval_count; scope++) {
        for (uint32_t d = 0; d < SLOW_STEPS_MAX && depths[scope] > 0; d++)
            best[scope].ms[d] /= best[scope].ways;
        if (depths[scope] > 0)
            put(s, &best[scope]);
        depths[scope] = 0;
    }
}

static bool meets_end(const Funnel *f, KitRow **rows, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (begins(f, rows[i]) && slow_way(f, rows, n, i, 0).ended)
            return true;
    return false;
}

/* ---- units --------------------------------------------------------------------------------------- */

static bool has_held(const Funnel *f, const KitRow *r)
{
    for (uint32_t i = 0; i < f->hold_count; i++)
        if (r->values[f->hold[i].prop - PROP_FIRST] == SCAN_MISSING)
            return false;
    return true;
}

/* The first of the rows that is like row i in its series, and when `held`, in what is held. */
static uint32_t leader(const Funnel *f, KitRow **rows, uint32_t i, bool held)
{
    const uint32_t each = f->credit == FUNNEL_EACH_STEP ? f->breakdown_count : 0;
    for (uint32_t j = 0; j < i; j++)
        if (has_held(f, rows[j]) && is_alike(f->breakdown, each, rows[i], rows[j]) &&
            (!held || is_alike(f->hold, f->hold_count, rows[i], rows[j])))
            return j;
    return i;
}

/* Those of the person's rows that are in one unit with row i. */
static uint32_t unit_of(const Funnel *f, KitRow **rows, uint32_t n, uint32_t i, KitRow **out)
{
    uint32_t count = 0;
    for (uint32_t j = 0; j < n; j++)
        if (has_held(f, rows[j]) && leader(f, rows, j, true) == i)
            out[count++] = rows[j];
    return count;
}

/* With hold_first only this one's values count; NULL: nothing begins. */
static const KitRow *first_begun(const Funnel *f)
{
    for (uint32_t i = 0; i < whole_count; i++)
        if (is_of(&f->steps[0], whole[i]) && in_range(f, whole[i]) && has_held(f, whole[i]))
            return whole[i];
    return NULL;
}

static bool is_left_out(const Funnel *f, const KitRow *leader)
{
    const KitRow *first = f->hold_first ? first_begun(f) : NULL;
    return first != NULL && !is_alike(f->hold, f->hold_count, leader, first);
}

/* With hold_steps all rows are in all units, and the last unit has no values. */
static void slow_person_of_steps(Slow *s, KitRow **rows, uint32_t n)
{
    const Funnel *f = s->f;
    uint32_t depths[SLOW_SCOPES_MAX] = {0};
    SlowItem best[SLOW_SCOPES_MAX];
    bool out = false;
    for (uint32_t pass = !f->exclude_persons; pass < 2 && !out; pass++)
        for (uint32_t i = 0; i <= n; i++) {
            unit_row = i < n ? rows[i] : NULL;
            if (i < n &&
                (!has_held(f, rows[i]) || leader(f, rows, i, true) != i || is_left_out(f, rows[i])))
                continue;
            if (pass == 0)
                out = out || meets_end(f, rows, n);
            else if (funnel_counts_ways(f))
                slow_all(s, rows, n);
            else
                slow_best(s, rows, n, depths, best);
        }
    put_best(s, depths, best);
}

static void slow_person(Slow *s, KitRow **rows, uint32_t n)
{
    const Funnel *f = s->f;
    KitRow **unit = malloc((n + 1) * sizeof(KitRow *));
    CHECK(unit != NULL);
    bool out = false;
    for (uint32_t i = 0; i < n && f->exclude_persons; i++)
        if (has_held(f, rows[i]) && leader(f, rows, i, true) == i && !is_left_out(f, rows[i]))
            out = out || meets_end(f, unit, unit_of(f, rows, n, i, unit));
    for (uint32_t i = 0; i < n && !out; i++) {
        if (!has_held(f, rows[i]) || leader(f, rows, i, false) != i)
            continue;
        uint32_t depths[SLOW_SCOPES_MAX] = {0};
        SlowItem best[SLOW_SCOPES_MAX];
        for (uint32_t j = i; j < n; j++) { /* all units of this series */
            if (!has_held(f, rows[j]) || leader(f, rows, j, true) != j ||
                leader(f, rows, j, false) != i || is_left_out(f, rows[j]))
                continue;
            const uint32_t count = unit_of(f, rows, n, j, unit);
            if (funnel_counts_ways(f))
                slow_all(s, unit, count);
            else
                slow_best(s, unit, count, depths, best);
        }
        put_best(s, depths, best);
    }
    free(unit);
}

/* ---- numbers ------------------------------------------------------------------------------------- */

typedef struct SlowSeries {
    int64_t values[QUERY_BREAKDOWNS_MAX];
    uint32_t persons;
} SlowSeries;

static int by_persons(const void *a, const void *b)
{
    const SlowSeries *x = a, *y = b;
    if (x->persons != y->persons)
        return x->persons < y->persons ? 1 : -1;
    for (int i = 0; i < QUERY_BREAKDOWNS_MAX; i++)
        if (x->values[i] != y->values[i])
            return x->values[i] < y->values[i] ? -1 : 1;
    return 0;
}

static bool has_values(const SlowItem *item, const int64_t *values)
{
    return memcmp(item->values, values, sizeof item->values) == 0;
}

/* Items of one person lie together. */
static uint32_t slow_series(const Slow *s, SlowSeries *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->items[i].depth == 0)
            continue;
        uint32_t at = 0;
        while (at < n && !has_values(&s->items[i], out[at].values))
            at++;
        CHECK(at < SLOW_SERIES_MAX);
        if (at == n)
            memcpy(out[n++].values, s->items[i].values, sizeof out[at].values);
        bool again = s->items[i].scope > 0;
        for (uint32_t j = 0; j < i; j++)
            again = again || (s->items[j].person == s->items[i].person && s->items[j].scope == 0 &&
                              s->items[j].depth > 0 && has_values(&s->items[j], out[at].values));
        out[at].persons += !again;
    }
    qsort(out, n, sizeof *out, by_persons);
    return n;
}

/* Which items a series has. */
typedef struct SlowView {
    const Slow *s;
    const SlowSeries *series;
    uint32_t shown, at; /* `at` = shown: all behind; UINT32_MAX: the total */
    uint32_t scope;
} SlowView;

static bool is_in_view(const SlowView *v, const SlowItem *item)
{
    bool shown = false;
    for (uint32_t i = 0; i < v->shown; i++)
        shown = shown || has_values(item, v->series[i].values);
    const bool here = v->at == UINT32_MAX ||
                      (v->at == v->shown ? !shown : has_values(item, v->series[v->at].values));
    return item->scope == v->scope && item->depth > 0 && here;
}

/* How deep each person number is there. */
static uint8_t *slow_depths(const SlowView *v)
{
    uint8_t *depths = ARENA_ARRAY(v->s->k->ctx.arena, uint8_t, v->s->k->view.person_count);
    for (uint32_t i = 0; i < v->s->count; i++) {
        const SlowItem *item = &v->s->items[i];
        if (is_in_view(v, item) && item->depth > depths[item->person])
            depths[item->person] = (uint8_t)item->depth;
    }
    return depths;
}

static int by_number(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static uint32_t slow_span(int64_t ms)
{
    uint32_t span = 0;
    for (int64_t second = ms / 1000; second > 0; second /= 2)
        span++;
    return span;
}

static void compare_time(const SlowView *v, uint32_t step, const FunnelTime *got)
{
    int64_t *all = ARENA_ARRAY(v->s->k->ctx.arena, int64_t, v->s->count + 1);
    uint64_t spans[FUNNEL_SPANS] = {0}, sum = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->s->count; i++) {
        const SlowItem *item = &v->s->items[i];
        if (!is_in_view(v, item) || item->depth < (step == 0 ? v->s->f->step_count : step + 1))
            continue;
        sum += (uint64_t)item->ms[step];
        spans[slow_span(item->ms[step])]++;
        all[n++] = item->ms[step];
    }
    qsort(all, n, sizeof *all, by_number);
    int64_t median = n == 0 ? 0 : all[n / 2];
    if (n > 0 && n % 2 == 0)
        median = all[n / 2 - 1] + (all[n / 2] - all[n / 2 - 1]) / 2;
    CHECK(got->count == n && got->ms == sum && got->median_ms == median);
    CHECK(memcmp(got->spans, spans, sizeof spans) == 0);
}

static void compare_people(const SlowView *v, const Query *q, const FunnelResult *r,
                           const uint8_t *depths, const FunnelBar *bar)
{
    Kit *k = v->s->k;
    People got;
    uint64_t count = 0;
    CHECK(query_funnel_people(&k->ctx, q, v->s->f, r, bar, &got) == ERR_OK);
    for (uint32_t p = 0; p < k->view.person_count; p++) {
        const bool is_in = bar->dropped ? depths[p] == bar->step : depths[p] > bar->step;
        CHECK((people_next(&got, p) == p) == is_in);
        count += is_in;
    }
    CHECK(got.count == count);
}

static bool every_bar; /* who is behind it is asked of all numbers, not of one in a dozen */

static void compare_bars(const SlowView *v, const Query *q, const FunnelResult *r, uint32_t series,
                         const uint8_t *depths)
{
    for (uint32_t bar = 1; bar < 2 * v->s->f->step_count; bar++) {
        const FunnelBar asked = {.step = bar / 2,
                                 .dropped = bar % 2 == 0,
                                 .series = series,
                                 .interval = v->scope == 0 ? QUERY_WHOLE : v->scope - 1};
        if (every_bar || kit_below(v->s->k, 24) == 0)
            compare_people(v, q, r, depths, &asked);
    }
}

/* One scope of one series. */
static void compare_scope(const SlowView *v, const Query *q, const FunnelResult *r, uint32_t series,
                          const FunnelSeries *got)
{
    const Funnel *f = v->s->f;
    const uint8_t *depths = slow_depths(v);
    for (uint32_t step = 0; step < f->step_count; step++) {
        uint64_t persons = 0, ways = 0;
        for (uint32_t p = 0; p < v->s->k->view.person_count; p++)
            persons += depths[p] > step;
        for (uint32_t i = 0; i < v->s->count; i++)
            ways += is_in_view(v, &v->s->items[i]) && v->s->items[i].depth > step;
        const uint32_t cell = v->scope == 0 ? step : (v->scope - 1) * f->step_count + step;
        CHECK((v->scope == 0 ? got->persons : got->by_persons)[cell] == persons);
        if (funnel_counts_ways(f))
            CHECK((v->scope == 0 ? got->ways : got->by_ways)[cell] == ways);
        if (f->times && v->scope == 0)
            compare_time(v, step, &got->times[step]);
    }
    compare_bars(v, q, r, series, depths);
}

static void compare_series(const Slow *s, const Query *q, const FunnelResult *got)
{
    SlowSeries *series = ARENA_ARRAY(s->k->ctx.arena, SlowSeries, SLOW_SERIES_MAX + 1);
    const bool broken = s->f->breakdown_count > 0;
    const uint32_t distinct = broken ? slow_series(s, series) : 0;
    const uint32_t shown = distinct < s->f->top ? distinct : s->f->top;
    CHECK(got->distinct == distinct && got->count == shown + (shown < distinct));
    for (uint32_t i = 0; i < shown; i++)
        CHECK(!got->series[i].key.is_other &&
              memcmp(got->series[i].key.values, series[i].values, sizeof series[i].values) == 0);
    for (uint32_t scope = 0; scope <= s->f->interval_count; scope++) {
        SlowView v = {s, series, shown, UINT32_MAX, scope};
        compare_scope(&v, q, got, QUERY_WHOLE, &got->total);
        for (v.at = 0; v.at < got->count; v.at++)
            compare_scope(&v, q, got, v.at, &got->series[v.at]);
    }
    if (shown < distinct)
        CHECK(got->series[shown].key.is_other);
}

static void compare_funnel(Kit *k, const Query *q, const Funnel *f)
{
    FunnelResult got;
    CHECK(query_funnel(&k->ctx, q, f, &got) == ERR_OK);
    Slow s = {.k = k, .f = f, .cap = k->count * (SLOW_SCOPES_MAX + 1)};
    s.items = malloc(s.cap * sizeof *s.items);
    CHECK(s.items != NULL);
    KitRow **sorted = kit_sorted(k);
    for (uint32_t from = 0, to = 0; from < k->count; from = to) {
        while (to < k->count && sorted[to]->person == sorted[from]->person)
            to++;
        whole = sorted + from;
        whole_count = to - from;
        (f->hold_steps != 0 ? slow_person_of_steps : slow_person)(&s, whole, whole_count);
    }
    compare_series(&s, q, &got);
    free(s.items);
}

/* ---- random questions ---------------------------------------------------------------------------- */

static const ScanProp PROPS[] = {{KIT_PROP(0), 0}, {KIT_PROP(1), 0}};

/* A question with what it points to. */
enum { SLOW_DAYS_MAX = 6 };

typedef struct Asked {
    Funnel f;
    ScanSelect steps[SLOW_STEPS_MAX];
    FunnelExclude excludes[2];
    uint32_t events[SLOW_STEPS_MAX + 2][2];
    int64_t bounds[SLOW_SCOPES_MAX];
    int64_t days[SLOW_DAYS_MAX + 1];
} Asked;

static void random_select(Kit *k, const KitShape *shape, uint32_t *events, ScanSelect *out)
{
    events[0] = 1 + kit_below(k, shape->events);
    events[1] = events[0] + 1 + kit_below(k, 3);
    out->events = events;
    out->event_count = 1 + (kit_below(k, 3) == 0);
    out->filter = kit_below(k, 6) == 0 ? kit_filter(k, 1) : NULL;
}

/* What most questions have, to be made a special one. */
static void random_funnel(Kit *k, const KitShape *shape, Asked *a)
{
    static const int64_t windows[] = {30000, 3600000, 90000000, 900000000};
    *a = (Asked){.f = {.step_count = 1 + kit_below(k, 4),
                       .window_ms = kit_below(k, (uint32_t)windows[kit_below(k, 4)]),
                       .times = kit_below(k, 2) == 0}};
    if (kit_below(k, 3) == 0)
        a->f.window_ms = a->f.window_ms / 1000 % 30 * 1000;
    if (kit_below(k, 6) == 0)
        a->f.step_count = SLOW_STEPS_MAX;
    a->f.steps = a->steps;
    a->f.excludes = a->excludes;
    a->f.bounds = a->bounds;
    a->f.hold = a->f.breakdown = PROPS;
    for (uint32_t s = 0; s < a->f.step_count; s++)
        random_select(k, shape, a->events[s], &a->steps[s]);
    a->steps[0].from_ms = KIT_ORIGIN_MS + (int64_t)kit_below(k, 400000000);
    a->steps[0].to_ms = a->steps[0].from_ms + 1 + (int64_t)kit_below(k, 1500000000);
}

static void random_order(Kit *k, Asked *a)
{
    a->f.order = (FunnelOrder)kit_below(k, 3);
    a->f.entry = (FunnelEntry)kit_below(k, FUNNEL_ALL + 1);
    a->f.anchored = a->f.order == FUNNEL_ANY && kit_below(k, 2) == 0;
    if (a->f.order == FUNNEL_ANY && a->f.entry == FUNNEL_NEAREST)
        a->f.entry = FUNNEL_BEST;
    if (a->f.entry == FUNNEL_FIRST_NAMED)
        a->steps[0].filter = kit_filter(k, 1);
    if (a->f.order == FUNNEL_ANY && !a->f.anchored && a->f.entry != FUNNEL_BEST)
        a->f.entry = kit_below(k, 2) == 0 ? FUNNEL_ALL : FUNNEL_EVERY;
}

static void random_breakdown(Kit *k, Asked *a)
{
    a->f.breakdown_count = 1 + (kit_below(k, 4) == 0);
    a->f.top = 1 + kit_below(k, 9);
    a->f.credit = (FunnelCredit)kit_below(k, 6);
    if (kit_below(k, 3) == 0)
        a->f.breakdown = &PROPS[1 - (a->f.breakdown_count == 2)];
    a->f.credit_step = kit_below(k, a->f.step_count);
    a->f.credit_unreached = a->f.credit == FUNNEL_ONE_STEP && kit_below(k, 2) == 0;
}

static void random_hold(Kit *k, Asked *a)
{
    a->f.hold_count = 1 + (kit_below(k, 4) == 0);
    if (a->f.hold_count == 1 && kit_below(k, 4) == 0)
        a->f.hold = &PROPS[1];
    const uint32_t some = 1 + kit_below(k, (1U << a->f.step_count) - 1);
    const bool may = a->f.credit != FUNNEL_EACH_STEP && a->f.order != FUNNEL_STRICT &&
                     (a->f.order != FUNNEL_ANY || a->f.anchored);
    if (may && kit_below(k, 3) > 0)
        a->f.hold_steps = some | (a->f.order == FUNNEL_ANY || funnel_counts_ways(&a->f));
    const bool one = a->f.credit != FUNNEL_EACH_STEP && (a->f.order != FUNNEL_ANY || a->f.anchored);
    a->f.hold_first =
        one && (a->f.hold_steps == 0 || (a->f.hold_steps & 1) != 0) && kit_below(k, 3) == 0;
}

/* When the next event from there on happens. */
static int64_t next_event(const Kit *k, int64_t from_ms)
{
    int64_t next = INT64_MAX;
    for (uint32_t i = 0; i < k->count; i++)
        if (k->rows[i].time_ms >= from_ms && k->rows[i].time_ms < next)
            next = k->rows[i].time_ms;
    return next == INT64_MAX ? from_ms : next;
}

static void random_sessions(Kit *k, Asked *a)
{
    static const int64_t gaps[] = {2000, 60000, 7200000, 86400000};
    a->f.window_sessions = 1 + kit_below(k, kit_below(k, 2) == 0 ? 3 : FUNNEL_SESSIONS_MAX);
    a->f.session_gap_ms = 1 + kit_below(k, (uint32_t)gaps[kit_below(k, 4)]);
    a->f.session_max_ms = 1 + kit_below(k, (uint32_t)gaps[kit_below(k, 4)]);
    if (kit_below(k, 2) == 0)
        a->f.session_gap_ms = 1 + a->f.session_max_ms / 4;
    if (kit_below(k, 2) == 0)
        a->f.window_ms = 3 * PART_WEEK_MS;
    const int64_t from_ms = next_event(k, a->steps[0].from_ms);
    if (a->f.interval_count == 0 && from_ms < a->steps[0].to_ms)
        a->steps[0].from_ms = from_ms;
}

static void random_excludes(Kit *k, const KitShape *shape, Asked *a)
{
    if (a->f.step_count == 1)
        return;
    a->f.exclude_count = 1 + kit_below(k, 2);
    a->f.exclude_persons = kit_below(k, 3) == 0;
    for (uint32_t i = 0; i < a->f.exclude_count; i++) {
        FunnelExclude *x = &a->excludes[i];
        random_select(k, shape, a->events[SLOW_STEPS_MAX + i], &x->select);
        x->from_step = kit_below(k, a->f.step_count - 1);
        x->to_step = x->from_step + 1 + kit_below(k, a->f.step_count - 1 - x->from_step);
    }
}

static void random_grace(Kit *k, Asked *a)
{
    if (a->f.order == FUNNEL_SEQUENTIAL)
        a->f.grace_ms = kit_below(k, 2) == 0 ? 1000 * (1 + kit_below(k, 10))
                                             : 1 + kit_below(k, FUNNEL_GRACE_MS_MAX);
}

/* Half of them begin and end with an event. */
static void random_intervals(Kit *k, Asked *a)
{
    a->f.interval_count = 1 + kit_below(k, SLOW_SCOPES_MAX - 1);
    int64_t at = a->steps[0].from_ms;
    for (uint32_t i = 0; i <= a->f.interval_count; i++) {
        a->bounds[i] = kit_below(k, 2) == 0 ? at : next_event(k, at);
        at = a->bounds[i] + 1 + kit_below(k, 300000000);
    }
    a->steps[0].from_ms = a->bounds[0];
    a->steps[0].to_ms = a->bounds[a->f.interval_count];
}

/* Of the whole range, of any length. */
static void random_days(Kit *k, Asked *a)
{
    const int64_t from_ms = a->steps[0].from_ms, length = a->steps[0].to_ms - from_ms;
    const uint32_t count = length < SLOW_DAYS_MAX ? 1 : 1 + kit_below(k, SLOW_DAYS_MAX);
    for (uint32_t i = 0; i <= count; i++)
        a->days[i] = from_ms + length * i / count;
    a->f.days = a->days;
    a->f.day_count = count;
}

/* Bits: what a question may have besides its steps. */
enum {
    WITH_ORDER = 1,
    WITH_BREAKDOWN = 2,
    WITH_HOLD = 4,
    WITH_EXCLUDES = 8,
    WITH_GRACE = 16,
    WITH_INTERVALS = 32,
    WITH_SESSIONS = 64,
    WITH_ALL = 127
};

static void random_special(Kit *k, const KitShape *shape, uint32_t with, Asked *a)
{
    random_funnel(k, shape, a);
    if ((with & WITH_ORDER) != 0)
        random_order(k, a);
    if ((with & WITH_BREAKDOWN) != 0)
        random_breakdown(k, a);
    if ((with & WITH_HOLD) != 0)
        random_hold(k, a);
    if ((with & WITH_EXCLUDES) != 0)
        random_excludes(k, shape, a);
    if ((with & WITH_GRACE) != 0)
        random_grace(k, a);
    if ((with & WITH_INTERVALS) != 0)
        random_intervals(k, a);
    if ((with & WITH_SESSIONS) != 0)
        random_sessions(k, a);
    if (kit_below(k, 4) == 0)
        random_days(k, a);
}

static uint32_t rounds, must_have, may_have;

/* Many rows lie close together, so that windows of seconds and a grace mean something. */
static void random_funnels(void)
{
    static const KitShape shapes[] = {
        {.rows = 500, .persons = 25, .events = 5, .weeks = 3, .ties = 20, .near = 50},
        {.rows = 600, .persons = 3000, .events = 3, .weeks = 2, .ties = 20, .near = 70},
        {.rows = 300, .persons = 20, .events = 3, .weeks = 1, .near = 93, .whole_seconds = true},
        {.rows = 300, .persons = 9, .events = 4, .weeks = 1, .near = 93, .whole_seconds = true},
        {.rows = 250, .persons = 3, .events = 300, .weeks = 2, .ties = 60, .whole_seconds = true}};
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        Kit k;
        kit_open(&k, 170 + i, &shapes[i], 4);
        const Query q = {.view = &k.view, .crew = crew};
        for (uint32_t round = 0; round < rounds; round++) {
            if (round == rounds / 2)
                kit_move_some(&k);
            Asked a;
            random_special(&k, &shapes[i], must_have | (kit_below(&k, WITH_ALL + 1) & may_have),
                           &a);
            compare_funnel(&k, &q, &a.f);
        }
        kit_close(&k);
    }
}

static void try_funnels(uint32_t must, uint32_t may, uint32_t count)
{
    must_have = must;
    may_have = may;
    rounds = count;
    kit_each_kernel_and_crew(random_funnels, &crew);
}

TEST(funnels_are_those_of_the_slow_way_with_every_kernel_and_crew)
{
    try_funnels(0, 0, 20);
}

TEST(funnels_of_every_order_and_entry_are_those_of_the_slow_way)
{
    try_funnels(WITH_ORDER, 0, 40);
}

TEST(broken_down_funnels_are_those_of_the_slow_way)
{
    try_funnels(WITH_BREAKDOWN, WITH_ORDER, 40);
}

TEST(funnels_that_hold_a_value_are_those_of_the_slow_way)
{
    try_funnels(WITH_HOLD, WITH_ORDER | WITH_BREAKDOWN, 30);
}

TEST(funnels_that_exclude_events_are_those_of_the_slow_way)
{
    try_funnels(WITH_EXCLUDES, WITH_ORDER | WITH_BREAKDOWN, 60);
}

TEST(funnels_with_a_grace_are_those_of_the_slow_way)
{
    try_funnels(WITH_GRACE, WITH_ORDER | WITH_EXCLUDES | WITH_BREAKDOWN, 100);
}

TEST(funnels_over_time_are_those_of_the_slow_way)
{
    try_funnels(WITH_INTERVALS, WITH_ORDER | WITH_BREAKDOWN, 30);
}

TEST(funnels_within_so_many_sessions_are_those_of_the_slow_way)
{
    try_funnels(WITH_SESSIONS, WITH_ORDER | WITH_EXCLUDES | WITH_HOLD, 40);
}

TEST(funnels_with_all_of_it_are_those_of_the_slow_way)
{
    try_funnels(0, WITH_ALL, 60);
}

TEST(the_people_behind_every_number_of_a_funnel_are_those_that_it_counts)
{
    every_bar = true;
    try_funnels(0, WITH_ALL, 4);
    every_bar = false;
}

/* ---- very many events of one person ---------------------------------------------------------------- */

/* The first row at or behind `from` with this event that is not before `min_ms`. */
static uint32_t next_row(KitRow **rows, uint32_t from, uint32_t event, int64_t min_ms)
{
    while (rows[from]->event != event || rows[from]->time_ms < min_ms)
        from++;
    return from;
}

/* Nearly every entry goes a long way that fails in the end.  Nothing counts the steps of a funnel, so the
 * thread's time is bounded: a hundred times what one pass needs, a fifth of what trying every entry does. */
TEST(a_funnel_times_a_person_with_very_many_entries_in_one_pass)
{
    enum { HOUR = 3600000, WINDOW_MS = 70 * HOUR };
    const KitShape shape = {.rows = 300000, .persons = 1, .events = 3, .weeks = 1};
    Kit k;
    kit_open(&k, 75, &shape, 4);
    crew = crew_new(1);
    const int64_t late_ms = KIT_ORIGIN_MS + 160 * HOUR;
    const Filter late = {.kind = FILTER_TIME, .min = late_ms, .max = INT64_MAX};
    static const uint32_t names[] = {1, 2, 3};
    const ScanSelect steps[] = {
        {.events = names, .event_count = 1, .from_ms = 0, .to_ms = INT64_MAX},
        {.events = names + 1, .event_count = 1},
        {.events = names + 2, .event_count = 1, .filter = &late}};
    const Funnel f = {.steps = steps, .step_count = 3, .window_ms = WINDOW_MS, .times = true};
    const Query q = {.view = &k.view, .crew = crew};
    FunnelResult got;
    const int64_t began_ms = clock_thread_us() / 1000;
    EXPECT_I64(query_funnel(&k.ctx, &q, &f, &got), ERR_OK);
    const int64_t took_ms = clock_thread_us() / 1000 - began_ms;
    KitRow **rows = kit_sorted(&k);
    const uint32_t third = next_row(rows, 0, 3, late_ms);
    const uint32_t first = next_row(rows, 0, 1, rows[third]->time_ms - WINDOW_MS);
    const uint32_t second = next_row(rows, first + 1, 2, 0);
    EXPECT_I64(took_ms < 2000, 1);
    EXPECT_I64((int64_t)got.total.persons[2], 1);
    EXPECT_I64((int64_t)got.total.times[1].ms, rows[second]->time_ms - rows[first]->time_ms);
    EXPECT_I64((int64_t)got.total.times[2].ms, rows[third]->time_ms - rows[second]->time_ms);
    crew_free(crew);
    kit_close(&k);
}

/* Every row begins a way, and most may stand for another: asking for the ways one by one is quadratic.  The
 * thread's time is bounded as above. */
TEST(a_funnel_in_any_order_looks_at_each_row_of_a_person_once)
{
    const KitShape shape = {.rows = 300000, .persons = 1, .events = 3, .weeks = 1};
    static const uint32_t names[] = {1, 2, 3};
    Kit k;
    kit_open(&k, 76, &shape, 4);
    crew = crew_new(1);
    ScanSelect steps[QUERY_STEPS_MAX];
    for (uint32_t s = 0; s < QUERY_STEPS_MAX; s++)
        steps[s] = (ScanSelect){.events = names + s % 3, .event_count = 1};
    steps[0].to_ms = INT64_MAX;
    const Funnel f = {.steps = steps,
                      .step_count = QUERY_STEPS_MAX,
                      .window_ms = PART_WEEK_MS,
                      .order = FUNNEL_ANY,
                      .times = true};
    const Query q = {.view = &k.view, .crew = crew};
    FunnelResult got;
    const int64_t began_ms = clock_thread_us() / 1000;
    EXPECT_I64(query_funnel(&k.ctx, &q, &f, &got), ERR_OK);
    EXPECT_I64(clock_thread_us() / 1000 - began_ms < 2000, 1);
    EXPECT_I64((int64_t)got.total.persons[QUERY_STEPS_MAX - 1], 1);
    crew_free(crew);
    kit_close(&k);
}

/* Every event begins a way, none gets far, and all of them are looked at.  The thread's time is bounded as above. */
TEST(a_funnel_with_all_of_it_looks_at_very_many_events_of_a_person_once)
{
    const KitShape shape = {.rows = 300000, .persons = 1, .events = 3, .weeks = 1};
    static const uint32_t names[] = {1, 2, 3};
    Kit k;
    kit_open(&k, 77, &shape, 4);
    crew = crew_new(1);
    const Filter none = {.kind = FILTER_NONE};
    const ScanSelect steps[] = {
        {.events = names, .event_count = 1, .from_ms = 0, .to_ms = INT64_MAX},
        {.events = names + 1, .event_count = 1},
        {.events = names + 2, .event_count = 1, .filter = &none}};
    const FunnelExclude exclude = {{.filter = &none}, 0, 2};
    const int64_t bounds[] = {KIT_ORIGIN_MS, KIT_ORIGIN_MS + PART_WEEK_MS / 2, INT64_MAX};
    const Query q = {.view = &k.view, .crew = crew};
    for (uint32_t i = 0; i < 6; i++) {
        const Funnel f = {.steps = steps,
                          .step_count = 3,
                          .window_ms = PART_WEEK_MS,
                          .order = i < 4    ? FUNNEL_SEQUENTIAL
                                   : i == 4 ? FUNNEL_ANY
                                            : FUNNEL_STRICT,
                          .entry = i % 2 == 0 ? FUNNEL_BEST : FUNNEL_ALL,
                          .times = true,
                          .grace_ms = i < 2 ? 1000 : 0,
                          .excludes = &exclude,
                          .exclude_count = 1,
                          .exclude_persons = true,
                          .bounds = bounds,
                          .interval_count = 2};
        FunnelResult got;
        const int64_t began_ms = clock_thread_us() / 1000;
        EXPECT_I64(query_funnel(&k.ctx, &q, &f, &got), ERR_OK);
        EXPECT_I64(clock_thread_us() / 1000 - began_ms < 2000, 1);
        EXPECT_I64((int64_t)got.total.persons[0], 1);
    }
    crew_free(crew);
    kit_close(&k);
}

/* ---- few events, by hand -------------------------------------------------------------------------- */

typedef struct SmallRow {
    uint32_t event;
    int64_t after_ms;
} SmallRow;

/* One person with these events. */
static void open_person(Kit *k, RowBuffer *b, const SmallRow *rows, uint32_t count)
{
    *k = (Kit){.ctx.arena = arena_new(1 << 16), .view.person_count = PART_BLOCK_PERSONS + 1};
    for (uint32_t i = 0; i < count; i++)
        rows_add(b, KIT_ORIGIN_MS + rows[i].after_ms, PART_BLOCK_PERSONS, rows[i].event);
    CHECK(rows_build(&k->ctx, b, KIT_ORIGIN_MS, 1, 2, &k->view.parts, &k->view.part_count) ==
          ERR_OK);
    crew = crew_new(1);
}

static void close_person(Kit *k, RowBuffer *b)
{
    crew_free(crew);
    rows_free(b);
    kit_close(k);
}

/* How far one person with these events gets. */
static int64_t depth_of(const Funnel *f, const SmallRow *rows, uint32_t count)
{
    Kit k;
    RowBuffer b = {0};
    FunnelResult got;
    int64_t depth = 0;
    open_person(&k, &b, rows, count);
    CHECK(query_funnel(&k.ctx, &(Query){.view = &k.view, .crew = crew}, f, &got) == ERR_OK);
    for (uint32_t s = 0; s < f->step_count; s++)
        depth += (int64_t)got.total.persons[s];
    close_person(&k, &b);
    return depth;
}

static int64_t depth_of_three(const Funnel *f, const SmallRow *rows)
{
    return depth_of(f, rows, 3);
}

/* Steps "1 or 2" and "1": only by giving up a step does the second event find its own. */
TEST(an_event_leaves_its_step_to_another_in_any_order)
{
    static const struct {
        SmallRow rows[3];
        uint32_t depth;
    } want[] = {{{{1, 0}, {2, 1000}, {3, 2000}}, 2}, {{{2, 0}, {1, 1000}, {3, 2000}}, 2},
                {{{2, 0}, {2, 1000}, {3, 2000}}, 1}, {{{1, 0}, {3, 1000}, {1, 2000}}, 2},
                {{{1, 0}, {3, 1000}, {1, 2001}}, 1}, {{{1, 0}, {3, 1000}, {3, 2000}}, 1}};
    static const uint32_t names[] = {1, 2};
    const ScanSelect steps[] = {
        {.events = names, .event_count = 2, .from_ms = 0, .to_ms = INT64_MAX},
        {.events = names, .event_count = 1}};
    const Funnel f = {.steps = steps, .step_count = 2, .window_ms = 2000, .order = FUNNEL_ANY};
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        EXPECT_I64(depth_of_three(&f, want[i].rows), want[i].depth);
}

TEST(a_strict_funnel_goes_from_neighbour_to_neighbour_within_the_window)
{
    static const struct {
        int64_t window_ms;
        SmallRow rows[3];
        uint32_t depth;
    } want[] = {{2000, {{1, 0}, {2, 2000}, {3, 3000}}, 2},
                {1999, {{1, 0}, {2, 2000}, {3, 3000}}, 1},
                {2000, {{1, 0}, {3, 1000}, {2, 2000}}, 1},
                {2000, {{1, 0}, {3, 0}, {2, 0}}, 1}, /* at one instant in the order of arrival */
                {2000, {{1, 0}, {2, 0}, {3, 0}}, 2},
                {2000, {{1, 0}, {1, 1000}, {2, 2000}}, 2},
                {2000, {{2, 0}, {3, 1000}, {1, 2000}}, 1}};
    static const uint32_t names[] = {1, 2};
    const ScanSelect steps[] = {
        {.events = names, .event_count = 1, .from_ms = 0, .to_ms = INT64_MAX},
        {.events = names + 1, .event_count = 1}};
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        const Funnel f = {.steps = steps,
                          .step_count = 2,
                          .window_ms = want[i].window_ms,
                          .order = FUNNEL_STRICT};
        EXPECT_I64(depth_of_three(&f, want[i].rows), want[i].depth);
    }
}

/* Steps 1 and 2, and 3 must not be between. */
TEST(an_excluded_event_ends_a_way_between_its_steps_and_while_the_next_is_waited_for)
{
    static const struct {
        SmallRow rows[3];
        uint32_t depth, of_person; /* with exclude_persons */
    } want[] = {
        {{{1, 0}, {3, 1000}, {2, 2000}}, 1, 0},
        {{{1, 0}, {2, 1000}, {3, 2000}}, 2, 2},
        {{{3, 0}, {1, 1000}, {2, 2000}}, 2, 2},
        {{{1, 0}, {3, 0}, {2, 0}}, 1, 0}, /* at one instant in the order of arrival */
        {{{3, 0}, {1, 0}, {2, 0}}, 2, 2},
        {{{1, 0}, {3, 2000}, {2, 2001}}, 1, 0},
        {{{1, 0}, {3, 2001}, {2, 2002}}, 1, 1}}; /* behind the window nothing is waited for */
    static const uint32_t names[] = {1, 2, 3};
    const ScanSelect steps[] = {
        {.events = names, .event_count = 1, .from_ms = 0, .to_ms = INT64_MAX},
        {.events = names + 1, .event_count = 1}};
    const FunnelExclude exclude = {{.events = names + 2, .event_count = 1}, 0, 1};
    Funnel f = {.steps = steps,
                .step_count = 2,
                .window_ms = 2000,
                .excludes = &exclude,
                .exclude_count = 1};
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        f.order = FUNNEL_SEQUENTIAL;
        f.exclude_persons = false;
        EXPECT_I64(depth_of_three(&f, want[i].rows), want[i].depth);
        f.exclude_persons = true;
        EXPECT_I64(depth_of_three(&f, want[i].rows), want[i].of_person);
        f.order = FUNNEL_STRICT;
        EXPECT_I64(depth_of_three(&f, want[i].rows), want[i].of_person);
    }
}

TEST(within_the_grace_steps_stand_in_either_order_and_nothing_excluded_between_them)
{
    static const struct {
        int64_t grace_ms;
        SmallRow rows[3];
        uint32_t depth;
    } want[] = {{0, {{2, 0}, {1, 0}, {4, 0}}, 1},
                {1, {{2, 0}, {1, 0}, {4, 0}}, 2},
                {1000, {{2, 0}, {1, 1000}, {4, 2000}}, 2},
                {999, {{2, 0}, {1, 1000}, {4, 2000}}, 1},
                {1000, {{1, 0}, {3, 1000}, {2, 5000}}, 2}, /* may have been before the first */
                {999, {{1, 0}, {3, 1000}, {2, 5000}}, 1},
                {1000, {{1, 0}, {3, 4000}, {2, 5000}}, 2}, /* ... or behind the second */
                {1000, {{1, 0}, {3, 3999}, {2, 5000}}, 1}};
    static const uint32_t names[] = {1, 2, 3};
    const ScanSelect steps[] = {
        {.events = names, .event_count = 1, .from_ms = 0, .to_ms = INT64_MAX},
        {.events = names + 1, .event_count = 1}};
    const FunnelExclude exclude = {{.events = names + 2, .event_count = 1}, 0, 1};
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        const Funnel f = {.steps = steps,
                          .step_count = 2,
                          .window_ms = 9000,
                          .grace_ms = want[i].grace_ms,
                          .excludes = &exclude,
                          .exclude_count = 1};
        EXPECT_I64(depth_of_three(&f, want[i].rows), want[i].depth);
    }
}

/* Steps 1 and 2; sessions of at most 60 seconds with pauses of at most 30. */
TEST(a_way_ends_with_the_last_of_its_sessions)
{
    static const struct {
        uint32_t sessions, count;
        SmallRow rows[5];
        uint32_t depth;
    } want[] = {{1, 2, {{1, 0}, {2, 30000}}, 2},
                {1, 2, {{1, 0}, {2, 30001}}, 1},
                {2, 2, {{1, 0}, {2, 30001}}, 2},
                {2, 3, {{1, 0}, {3, 40000}, {2, 80000}}, 1}, /* every event is of a session */
                {3, 3, {{1, 0}, {3, 40000}, {2, 80000}}, 2},
                {2, 3, {{3, -40000}, {1, 0}, {2, 40000}}, 2}, /* the first step's is the first */
                {1, 4, {{1, 0}, {3, 30000}, {3, 59999}, {2, 60000}}, 1}, /* that long is too long */
                {1, 3, {{1, 0}, {3, 30000}, {2, 59999}}, 2},
                {1, 4, {{3, -55000}, {3, -28000}, {1, 0}, {2, 5000}}, 1}, /* the one before ends */
                {1, 5, {{3, -61000}, {3, -40000}, {3, -28000}, {1, 0}, {2, 5000}}, 2}};
    static const uint32_t names[] = {1, 2};
    const ScanSelect steps[] = {
        {.events = names, .event_count = 1, .from_ms = KIT_ORIGIN_MS + 100000, .to_ms = INT64_MAX},
        {.events = names + 1, .event_count = 1}};
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        SmallRow rows[5];
        for (uint32_t r = 0; r < want[i].count; r++)
            rows[r] = (SmallRow){want[i].rows[r].event, want[i].rows[r].after_ms + 100000};
        const Funnel f = {.steps = steps,
                          .step_count = 2,
                          .window_ms = 1000000,
                          .window_sessions = want[i].sessions,
                          .session_gap_ms = 30000,
                          .session_max_ms = 60000};
        EXPECT_I64(depth_of(&f, rows, want[i].count), want[i].depth);
    }
}

/* What is excluded may be read from further back than sessions are told from: 5 seconds, with a grace of 10. */
TEST(sessions_are_told_from_no_event_that_is_too_early_for_them)
{
    static const SmallRow rows[] = {{3, 92000}, {4, 96000}, {1, 100000}, {2, 102000}};
    static const uint32_t names[] = {1, 2, 3};
    const ScanSelect steps[] = {
        {.events = names, .event_count = 1, .from_ms = KIT_ORIGIN_MS + 100000, .to_ms = INT64_MAX},
        {.events = names + 1, .event_count = 1}};
    const FunnelExclude exclude = {{.events = names + 2, .event_count = 1}, 0, 1};
    Funnel f = {.steps = steps,
                .step_count = 2,
                .window_ms = 1000000,
                .grace_ms = 10000,
                .excludes = &exclude,
                .exclude_count = 1,
                .window_sessions = 1,
                .session_gap_ms = 5000,
                .session_max_ms = 5000};
    EXPECT_I64(depth_of(&f, rows, 4), 1); /* 96 to below 101 is one, 102 the next */
    f.window_sessions = 2;
    EXPECT_I64(depth_of(&f, rows, 4), 2);
}

/* Steps 1, 2, 3: two ways reach 3 at 9 s, none does so earlier. */
TEST(the_nearest_way_reaches_its_last_step_first_and_begins_last)
{
    static const SmallRow rows[] = {{1, 1000}, {2, 2000}, {1, 3000},  {1, 4000},  {2, 5000},
                                    {1, 7000}, {3, 9000}, {1, 10000}, {2, 11000}, {3, 12000}};
    static const uint32_t names[] = {1, 2, 3};
    const ScanSelect steps[] = {
        {.events = names, .event_count = 1, .from_ms = 0, .to_ms = INT64_MAX},
        {.events = names + 1, .event_count = 1},
        {.events = names + 2, .event_count = 1}};
    Funnel f = {.steps = steps, .step_count = 3, .window_ms = 60000, .times = true};
    Kit k;
    RowBuffer b = {0};
    FunnelResult got;
    open_person(&k, &b, rows, ARRAY_LEN(rows));
    for (f.entry = FUNNEL_BEST; f.entry <= FUNNEL_NEAREST; f.entry++) {
        CHECK(query_funnel(&k.ctx, &(Query){.view = &k.view, .crew = crew}, &f, &got) == ERR_OK);
        EXPECT_I64((int64_t)got.total.persons[2], 1);
        EXPECT_I64((int64_t)got.total.times[0].ms, f.entry == FUNNEL_BEST ? 8000 : 5000);
    }
    close_person(&k, &b);
}

TEST(a_way_begins_again_behind_the_last_event_the_end_or_the_window_of_the_one_before)
{
    static const SmallRow rows[] = {
        {1, 0},     {1, 1000},  {2, 2000},            /* the second 1 is in the way of the first */
        {1, 3000},  {3, 4000},  {2, 5000}, {1, 6000}, /* 3 ends it, the next one gets no further */
        {1, 16000},                                   /* still within its window */
        {1, 16001}, {2, 16002}, {2, 16003}};
    static const uint32_t names[] = {1, 2, 3};
    const ScanSelect steps[] = {
        {.events = names, .event_count = 1, .from_ms = 0, .to_ms = INT64_MAX},
        {.events = names + 1, .event_count = 1}};
    const FunnelExclude exclude = {{.events = names + 2, .event_count = 1}, 0, 1};
    const Funnel f = {.steps = steps,
                      .step_count = 2,
                      .window_ms = 10000,
                      .entry = FUNNEL_ALL,
                      .times = true,
                      .excludes = &exclude,
                      .exclude_count = 1};
    Kit k;
    RowBuffer b = {0};
    FunnelResult got;
    open_person(&k, &b, rows, ARRAY_LEN(rows));
    CHECK(query_funnel(&k.ctx, &(Query){.view = &k.view, .crew = crew}, &f, &got) == ERR_OK);
    EXPECT_I64((int64_t)got.total.ways[0], 4);
    EXPECT_I64((int64_t)got.total.ways[1], 2);
    EXPECT_I64((int64_t)got.total.persons[0], 1);
    EXPECT_I64((int64_t)got.total.persons[1], 1);
    EXPECT_I64((int64_t)got.total.times[1].ms, 2001);
    EXPECT_I64(got.total.times[1].median_ms, 1000);
    close_person(&k, &b);
}

/* ---- long windows, little room -------------------------------------------------------------------- */

static void random_years(void)
{
    const KitShape shape = {.rows = 800, .persons = 40, .events = 4, .weeks = 200, .ties = 10};
    const int64_t day_ms = 86400000;
    Kit k;
    kit_open(&k, 180, &shape, 3);
    const Query q = {.view = &k.view, .crew = crew};
    for (uint32_t round = 0; round < 40; round++) {
        Asked a;
        random_special(&k, &shape, kit_below(&k, WITH_ALL + 1), &a);
        a.f.window_ms = (17 + (int64_t)kit_below(&k, 1000)) * day_ms;
        if (a.f.interval_count == 0)
            a.steps[0].to_ms = a.steps[0].from_ms + kit_below(&k, 1000) * day_ms + 1;
        if (a.f.days != NULL)
            random_days(&k, &a);
        compare_funnel(&k, &q, &a.f);
    }
    kit_close(&k);
}

TEST(funnels_with_windows_of_weeks_and_years_are_those_of_the_slow_way)
{
    kit_each_kernel_and_crew(random_years, &crew);
}

static void compare_whole(const FunnelSeries *a, const FunnelSeries *b, uint32_t steps)
{
    CHECK(a->key.is_other == b->key.is_other &&
          memcmp(a->key.values, b->key.values, sizeof a->key.values) == 0);
    CHECK(memcmp(a->persons, b->persons, steps * sizeof *a->persons) == 0);
    CHECK(memcmp(a->times, b->times, steps * sizeof *a->times) == 0);
}

TEST(a_funnel_with_more_series_than_there_is_room_for_counts_the_rest_together)
{
    const KitShape shape = {.rows = 30000, .persons = 3000, .events = 2, .weeks = 3};
    static const uint32_t names[] = {1};
    int64_t bounds[QUERY_INTERVALS_MAX + 1];
    ScanSelect steps[QUERY_STEPS_MAX];
    Kit k;
    kit_open(&k, 181, &shape, 3);
    for (uint32_t i = 0; i <= QUERY_INTERVALS_MAX; i++)
        bounds[i] = KIT_ORIGIN_MS + (int64_t)i * 3600000;
    for (uint32_t i = 0; i < QUERY_STEPS_MAX; i++)
        steps[i] = (ScanSelect){.events = names, .event_count = 1};
    steps[0].from_ms = bounds[0];
    steps[0].to_ms = bounds[QUERY_INTERVALS_MAX];
    Funnel f = {.steps = steps,
                .step_count = QUERY_STEPS_MAX,
                .window_ms = 3 * PART_WEEK_MS,
                .times = true,
                .breakdown = &PROPS[1],
                .breakdown_count = 1,
                .top = 5,
                .bounds = bounds};
    FunnelResult roomy, tight;
    for (uint32_t size = 1; size <= 3; size++) {
        crew = crew_new(size);
        const Query q = {.view = &k.view, .crew = crew};
        f.interval_count = 0;
        CHECK(query_funnel(&k.ctx, &q, &f, &roomy) == ERR_OK);
        f.interval_count = QUERY_INTERVALS_MAX;
        CHECK(query_funnel(&k.ctx, &q, &f, &tight) == ERR_OK);
        crew_free(crew);
        CHECK(roomy.count == 6 && tight.count == 6 && roomy.distinct > 500);
        compare_whole(&roomy.total, &tight.total, QUERY_STEPS_MAX);
        for (uint32_t i = 0; i < roomy.count; i++)
            compare_whole(&roomy.series[i], &tight.series[i], QUERY_STEPS_MAX);
    }
    kit_close(&k);
}

TEST(there_is_a_median_of_the_most_times_and_none_of_one_more)
{
    const Funnel f = {.step_count = 2, .times = true};
    const FunnelShape shape = funnel_shape(&f);
    const int64_t ms[] = {0, 5000};
    Ctx ctx = {.arena = arena_new(1 << 16)};
    for (uint64_t more = 0; more < 2; more++) {
        atomic_uint_fast64_t laps = FUNNEL_TIMES_MAX - 2 + more;
        const Tally none = {0};
        FunnelCount c;
        FunnelResult got;
        funnel_count_open(&c, &shape, NULL, &laps);
        funnel_count_way(&c, &(FunnelItem){.person = 5000, .depth = 2, .ms = ms});
        funnel_count_give(&ctx, &c, 1, &none, 0, &got);
        EXPECT_I64(got.total.times[1].median_ms, more == 0 ? 5000 : -1);
        EXPECT_I64((int64_t)got.total.times[1].ms, 5000);
        EXPECT_I64((int64_t)got.total.times[1].spans[3], 1);
        funnel_count_close(&c);
    }
    arena_free(ctx.arena);
}

TEST(a_funnel_beyond_the_limits_is_refused)
{
    const KitShape shape = {.rows = 10, .persons = 10, .events = 2, .weeks = 1};
    Kit k;
    kit_open(&k, 182, &shape, 1);
    crew = crew_new(1);
    const Query q = {.view = &k.view, .crew = crew};
    static const ScanSelect steps[QUERY_STEPS_MAX + 1];
    const int64_t bounds[QUERY_INTERVALS_MAX + 2] = {0};
    const Funnel funnels[] = {
        {.steps = steps},
        {.steps = steps, .step_count = QUERY_STEPS_MAX + 1},
        {.steps = steps, .step_count = 1, .exclude_count = FUNNEL_EXCLUDES_MAX + 1},
        {.steps = steps, .step_count = 1, .hold_count = FUNNEL_HOLDS_MAX + 1},
        {.steps = steps, .step_count = 1, .breakdown_count = QUERY_BREAKDOWNS_MAX + 1},
        {.steps = steps, .step_count = 1, .top = QUERY_GROUPS_MAX + 1},
        {.steps = steps,
         .step_count = 1,
         .bounds = bounds,
         .interval_count = QUERY_INTERVALS_MAX + 1},
        {.steps = steps,
         .step_count = QUERY_STEPS_MAX,
         .bounds = bounds,
         .interval_count = QUERY_INTERVALS_MAX,
         .breakdown = PROPS,
         .breakdown_count = 1,
         .top = QUERY_GROUPS_MAX}};
    for (size_t i = 0; i < ARRAY_LEN(funnels); i++) {
        FunnelResult got;
        People people;
        const FunnelBar bar = {.series = QUERY_WHOLE, .interval = QUERY_WHOLE};
        EXPECT_I64(query_funnel(&k.ctx, &q, &funnels[i], &got), ERR_INVALID);
        EXPECT_STREQ(k.ctx.fault.reason, "query.too_large");
        if (funnels[i].step_count > 0)
            EXPECT_I64(
                query_funnel_people(&k.ctx, &q, &funnels[i], &(FunnelResult){0}, &bar, &people),
                ERR_INVALID);
    }
    crew_free(crew);
    kit_close(&k);
}
