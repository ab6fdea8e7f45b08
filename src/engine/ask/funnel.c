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

#include "engine/ask/funnel_starts.h"
#include "engine/ask/funnel_ways.h"
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
    uint32_t event_cap, keyed_cap;
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
    if (step == depth)
        return;
    const TallyKey key = key_of(w, rows[step]);
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
    const bool earlier = way->depth > c->depth || event_of(w, way, 0)->row < c->rows[0];
    if (way->depth > c->depth || f->order != FUNNEL_ANY) {
        if (!earlier)
            return;
        c->count = 0;
        for (uint32_t k = 0; f->times && k < way->depth; k++)
            c->ms[k] = 0;
    }
    c->depth = way->depth;
    c->count++;
    if (f->times && scope == 0)
        add_laps(w, way, c->ms);
    const uint32_t wanted = f->breakdown_count > 0 ? way->depth : 1; /* [0]: which is earlier */
    for (uint32_t k = 0; earlier && k < wanted; k++)
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

/* Forwards, no later way is better than the first one that did all steps. */
static bool offer_way(const FunnelWay *way, void *arg)
{
    FunnelWorker *w = arg;
    const Funnel *f = w->run->f;
    choose(w, 0, way);
    if (f->interval_count > 0) {
        choose(w, interval_scope(w, way), way);
        return f->entry != FUNNEL_FIRST_EVER;
    }
    return f->entry == FUNNEL_BEST && (f->order == FUNNEL_ANY || way->depth < f->step_count);
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
    if (f->entry == FUNNEL_FIRST_EVER && funnel_began_earlier(&w->plan, u))
        return;
    if (f->entry == FUNNEL_ALL)
        funnel_successive_ways(&w->plan, &w->lists, u, count_each_way, w);
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
    if (crew_gives_up(n))
        return;
    for (uint32_t first = 0, end = 0; first < n && !crew_gives_up(1); first = end) {
        while (end < n && same_keys(&w->keyed[first], &w->keyed[end], keys))
            end++;
        w->unit_under_way = (FunnelUnit){w->events + first, end - first};
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

/* ---- whole persons ------------------------------------------------------------------------------- */

static bool is_behind_bar(const FunnelWorker *w, const FunnelBar *bar)
{
    const uint32_t series = bar->series == QUERY_WHOLE ? 0 : 1 + bar->series;
    const uint32_t scope = bar->interval == QUERY_WHOLE ? 0 : 1 + bar->interval;
    const uint32_t depth = funnel_count_depth(&w->count, series, scope);
    return bar->dropped ? depth == bar->step : depth > bar->step;
}

static void take_person(FunnelWorker *w, uint32_t from, uint32_t to)
{
    const FunnelRun *run = w->run;
    if (to - from > w->event_cap) {
        free(w->events);
        w->event_cap = to - from + (to - from) / 2;
        w->events = malloc(w->event_cap * sizeof *w->events);
        CHECK(w->events != NULL);
    }
    w->ended = false;
    if (run->f->exclude_persons)
        each_unit(w, from, to, look_for_end);
    if (w->ended)
        return;
    if (!has_plain_units(run->f) || !take_plain_units(w, from, to))
        each_unit(w, from, to, take_unit);
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

/* ---- what is asked of the scan ------------------------------------------------------------------- */

static ScanSelect in_time(const Funnel *f, ScanSelect select, bool is_entry)
{
    const ScanSelect *first = &f->steps[0];
    select.from_ms = first->from_ms;
    select.to_ms = first->to_ms;
    if (is_entry && f->entry == FUNNEL_FIRST_EVER)
        select.from_ms = QUERY_EVER_MS;
    if (is_entry)
        return select;
    if (__builtin_sub_overflow(first->from_ms, f->grace_ms, &select.from_ms))
        select.from_ms = INT64_MIN;
    if (__builtin_add_overflow(first->to_ms, f->window_ms, &select.to_ms))
        select.to_ms = INT64_MAX;
    return select;
}

/* Steps, what is excluded, and of a strict funnel one behind them that makes every other event a row. */
static ScanAsk ask_events(Ctx *ctx, const Funnel *f)
{
    const ScanSelect every = {.events = NULL};
    const uint32_t named = f->step_count + f->exclude_count;
    const uint32_t count = named + (f->order == FUNNEL_STRICT);
    ScanSelect *selects = ARENA_ARRAY(ctx->arena, ScanSelect, count);
    for (uint32_t i = 0; i < f->step_count; i++)
        selects[i] = in_time(f, f->steps[i], i == 0 && (f->order != FUNNEL_ANY || f->anchored));
    for (uint32_t i = 0; i < f->exclude_count; i++)
        selects[f->step_count + i] = in_time(f, f->excludes[i].select, false);
    if (count > named)
        selects[named] = in_time(f, every, false);
    ScanProp *props = ARENA_ARRAY(ctx->arena, ScanProp, KEYS_MAX);
    for (uint32_t i = 0; i < f->breakdown_count; i++)
        props[i] = f->breakdown[i];
    for (uint32_t i = 0; i < f->hold_count; i++)
        props[f->breakdown_count + i] = f->hold[i];
    return (ScanAsk){.selects = selects,
                     .select_count = count,
                     .props = props,
                     .prop_count = f->breakdown_count + f->hold_count};
}

static Err check_size(Ctx *ctx, const Funnel *f)
{
    const bool fits = f->step_count > 0 && f->step_count <= QUERY_STEPS_MAX &&
                      f->exclude_count <= FUNNEL_EXCLUDES_MAX &&
                      f->hold_count <= FUNNEL_HOLDS_MAX &&
                      f->breakdown_count <= QUERY_BREAKDOWNS_MAX && f->top <= QUERY_GROUPS_MAX &&
                      f->interval_count <= QUERY_INTERVALS_MAX;
    if (!fits)
        return fail(ctx, ERR_INVALID, "query.too_large", "%u steps, %u series, %u intervals",
                    f->step_count, f->top, f->interval_count);
    if ((f->top + 2) * (f->interval_count + 1) * f->step_count > QUERY_CELLS_MAX)
        return fail(ctx, ERR_INVALID, "query.too_large", "%u series, %u intervals, %u steps",
                    f->top, f->interval_count, f->step_count);
    CHECK(funnel_shape(f).room > f->top + 1 || f->breakdown_count == 0);
    CHECK(f->order != FUNNEL_ANY || f->anchored || f->entry == FUNNEL_BEST ||
          f->entry == FUNNEL_ALL);
    CHECK(f->order == FUNNEL_ANY || !f->anchored);
    CHECK(f->grace_ms == 0 ||
          (f->order == FUNNEL_SEQUENTIAL && f->grace_ms <= FUNNEL_GRACE_MS_MAX));
    CHECK(f->credit != FUNNEL_ONE_STEP || f->credit_step < f->step_count);
    for (uint32_t i = 0; i < f->exclude_count; i++)
        CHECK(f->excludes[i].from_step < f->excludes[i].to_step &&
              f->excludes[i].to_step < f->step_count);
    return ERR_OK;
}

/* Ends with the workers made, for run_pass(). */
static Err begin(Ctx *ctx, const Query *q, const Funnel *f, FunnelRun *out)
{
    TRY(check_size(ctx, f));
    *out = (FunnelRun){.q = q, .f = f, .shape = funnel_shape(f), .ask = ask_events(ctx, f)};
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
    const bool adds_up = f->entry != FUNNEL_ALL && f->credit != FUNNEL_EACH_STEP;
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
