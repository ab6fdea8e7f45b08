/*
 * engine/ask/touch_last.c
 */
#include "engine/ask/touch_last.h"

#include "engine/ask/touch_share.h"
#include "engine/core/bits.h"
#include "engine/core/order.h"
#include "engine/part/weave.h"
#include "engine/scan/ahead.h"
#include "engine/scan/strip_times.h"

#include <stdlib.h>

enum {
    CODE_BITS = 12,
    CODES_MAX = 1 << CODE_BITS,
    CONVERSIONS = 0, /* selects */
    TOUCHES = 1,
    BLOCK_BYTES = 1 << 16, /* of a block's touches, about: those at hand stay near the processor */
};
_Static_assert(QUERY_BLOCKS_MAX <= 16, "blocks at hand are bits");
_Static_assert((uint64_t)SCAN_BATCH_ROWS << CODE_BITS <= UINT32_MAX,
               "a touch and its code are one number");

/* A row, and when it was. */
typedef struct TouchAt {
    int64_t ms;
    uint32_t person; /* of the blocks at hand */
    uint32_t list, part, row;
} TouchAt;

struct LastTouches {
    const LastPlan *plan;
    Strips *strips[2];
    StripTimes times[2];
    FilterScratch scratch;
    uint32_t *picked, *codes; /* of the strip under way */
    int64_t *ms, *numbers;
    uint32_t first_block;
    TouchAt *touches; /* as they came: part by part, list by list, in no order of persons */
    uint16_t *code_of;
    uint32_t *place_of; /* of touches of `tied`: see WeaveOrder */
    uint32_t count, cap, most;
    /* by person and time; `row` is one of touches, and its code below it; before them stands one that was never */
    TimedRow *ordered, *spare;
    uint32_t ordered_cap;
    uint32_t *from; /* [person]: of `ordered`; one more behind the last */
    uint32_t
        *upto; /* [person]: behind those before the last conversion: the next is mostly later */
    uint16_t *
        tied; /* [part]: blocks at hand, as bits, in which two touches of a person are of one instant */
    WeaveOrder *orders; /* [block at hand]: of the part under way */
    TouchEarned *earned;
    bool damaged, is_over, has_tied;
};

/* ---- the plan ------------------------------------------------------------------------------------ */

/* As many as the bits of the largest can say: no row has another one, whatever a forged file says of its columns. */
static uint32_t codes_of(const Touch *t, const ScanView *view, const ScanAsk *ask)
{
    const uint32_t largest = scan_largest_code(view, ask, t->breakdown[0]);
    return largest >= CODES_MAX ? UINT32_MAX : UINT32_C(1) << bits_width(largest);
}

bool touch_is_last(const Touch *t, const ScanView *view, const ScanAsk *ask)
{
    return t->model == TOUCH_LAST && t->which == TOUCH_EACH && t->breakdown_count == 1 &&
           !t->breakdown[0].of_item && t->breakdown[0].prop != PROP_EVENT &&
           codes_of(t, view, ask) <= CODES_MAX;
}

static const BucketPlaces *range_places(Ctx *ctx, const ScanView *view, const ScanSelect *select)
{
    int64_t *bounds = ARENA_ARRAY(ctx->arena, int64_t, 2);
    BucketPlaces *places = ARENA_ARRAY(ctx->arena, BucketPlaces, (size_t)view->part_count + 1);
    bounds[0] = select->from_ms;
    bounds[1] = select->to_ms;
    for (uint32_t i = 0; i < view->part_count; i++)
        places[i] = bucket_places(ctx->arena, bounds, 1, view->parts[i]->head);
    return places;
}

LastPlan last_touches_plan(Ctx *ctx, const Query *q, const Touch *t, const ScanAsk *ask)
{
    bool *keys = ARENA_ARRAY(ctx->arena, bool, (size_t)q->view->part_count + 1);
    memset(keys, true, q->view->part_count);
    return (LastPlan){.t = t,
                      .q = q,
                      .selects = ask->selects,
                      .places = {range_places(ctx, q->view, &ask->selects[CONVERSIONS]),
                                 range_places(ctx, q->view, &ask->selects[TOUCHES])},
                      .keys = keys,
                      .codes = codes_of(t, q->view, ask),
                      .blocks_at_once = query_blocks_at_once(q, BLOCK_BYTES)};
}

Err last_touches_ahead(Ctx *ctx, const LastPlan *plan)
{
    const ScanProp *const props[] = {plan->t->number, plan->t->breakdown};
    for (int i = CONVERSIONS; i <= TOUCHES; i++)
        TRY(ahead_of(ctx, plan->q,
                     &(AheadAsk){.selects = &plan->selects[i],
                                 .select_count = 1,
                                 .props = props[i],
                                 .prop_count = props[i] != NULL,
                                 .ms = true}));
    return ERR_OK;
}

LastTouches *last_touches_new(const LastPlan *plan)
{
    const ScanView *view = plan->q->view;
    const size_t persons = (size_t)plan->blocks_at_once * PART_BLOCK_PERSONS;
    LastTouches *l = calloc(1, sizeof *l);
    CHECK(l != NULL);
    l->plan = plan;
    l->most = view->batch_rows == 0 ? SCAN_BATCH_ROWS : view->batch_rows;
    l->picked = strip_room(sizeof *l->picked);
    l->codes = strip_room(sizeof *l->codes);
    l->ms = strip_room(sizeof *l->ms);
    l->numbers = strip_room(sizeof *l->numbers);
    const ScanProp *number = plan->t->number;
    const bool of_persons = scan_asks_of_changes(number, number != NULL);
    for (int i = CONVERSIONS; i <= TOUCHES; i++) {
        l->strips[i] = strips_new(view, &(StripAsk){.select = &plan->selects[i],
                                                    .keys = plan->keys,
                                                    .by_block = i == CONVERSIONS && of_persons});
        strip_times_open(&l->times[i], plan->places[i], 1);
    }
    l->from = malloc((persons + 1) * sizeof *l->from);
    l->upto = malloc(persons * sizeof *l->upto);
    l->tied = calloc((size_t)view->part_count + 1, sizeof *l->tied);
    l->orders = calloc(plan->blocks_at_once, sizeof *l->orders);
    l->earned = calloc((size_t)plan->codes + 1, sizeof *l->earned);
    CHECK(l->from != NULL && l->upto != NULL && l->tied != NULL && l->orders != NULL &&
          l->earned != NULL);
    return l;
}

void last_touches_free(LastTouches *l)
{
    if (l == NULL)
        return;
    for (int i = CONVERSIONS; i <= TOUCHES; i++) {
        strips_free(l->strips[i]);
        strip_times_close(&l->times[i]);
    }
    for (uint32_t i = 0; i < l->plan->blocks_at_once; i++)
        weave_order_free(&l->orders[i]);
    void *const buffers[] = {l->picked,  l->codes,    l->ms,      l->numbers, l->touches,
                             l->code_of, l->place_of, l->ordered, l->spare,   l->from,
                             l->upto,    l->tied,     l->orders,  l->earned};
    for (size_t i = 0; i < ARRAY_LEN(buffers); i++)
        free(buffers[i]);
    filter_scratch_free(&l->scratch);
    free(l);
}

const TouchEarned *last_touches_earned(const LastTouches *l)
{
    return l->earned;
}

bool last_touches_met_damage(const LastTouches *l)
{
    return l->damaged || strips_damaged(l->strips[CONVERSIONS]) > 0 ||
           strips_damaged(l->strips[TOUCHES]) > 0;
}

/* ---- rows of a strip ----------------------------------------------------------------------------- */

/* Those within the range of the select, to `picked`; how many.  Their milliseconds, when they have any, to `ms`. */
static uint32_t pick_rows(LastTouches *l, const Strip *strip, int select, const int64_t **ms)
{
    const uint64_t *set = NULL;
    const PartColumn *c = part_find_column(strip->at.part, strip->at.list, PROP_MS);
    *ms = c == NULL || (c->width == 0 && c->base == 0) ? NULL : l->ms;
    if (!strip_within(&l->times[select], strip, &set) ||
        (*ms != NULL && !strip_values(strip, strip->at.count, (ScanProp){PROP_MS, 0, false},
                                      &l->scratch, l->ms))) {
        l->damaged = true;
        return 0;
    }
    return strip_pick(set, strip->at.count, l->picked);
}

/* The rows of a strip, which are gone through in their order. */
typedef struct StripAt {
    const Strip *strip;
    const StripCut *cut; /* of the row before */
    const int64_t *ms;
    int64_t week_ms;
    uint32_t first_block;
} StripAt;

static StripAt strip_at(const LastTouches *l, const Strip *strip, const int64_t *ms)
{
    return (StripAt){strip, strip->cuts, ms, strip->at.part->head->week_ms, l->first_block};
}

static inline uint32_t person_at(StripAt *s, uint32_t row)
{
    while (row >= s->cut[1].row)
        s->cut++;
    return (s->cut->block - s->first_block) << PART_BLOCK_BITS |
           s->strip->at.keys[row] >> PART_SECOND_BITS;
}

static inline int64_t ms_at(const StripAt *s, uint32_t row)
{
    return s->week_ms + (int64_t)(s->strip->at.keys[row] & PART_SECOND_MASK) * 1000 +
           (s->ms == NULL ? 0 : s->ms[row]);
}

static inline TouchAt touch_at(StripAt *s, uint32_t row)
{
    const FilterRows *at = &s->strip->at;
    return (TouchAt){.ms = ms_at(s, row),
                     .person = person_at(s, row),
                     .list = (uint32_t)(at->list - at->part->lists),
                     .part = s->strip->part,
                     .row = at->first + row};
}

/* ---- touches ------------------------------------------------------------------------------------- */

/* False: they are too many. */
static bool reserve_touches(LastTouches *l, uint32_t n)
{
    l->is_over = l->is_over || n > l->most;
    if (l->is_over)
        return false;
    if (n <= l->cap)
        return true;
    l->cap = n + n / 2 + STRIP_ROWS;
    l->touches = realloc(l->touches, l->cap * sizeof *l->touches);
    l->code_of = realloc(l->code_of, l->cap * sizeof *l->code_of);
    l->place_of = realloc(l->place_of, l->cap * sizeof *l->place_of);
    CHECK(l->touches != NULL && l->code_of != NULL && l->place_of != NULL);
    return true;
}

static bool read_codes(LastTouches *l, const Strip *strip)
{
    const PartColumn *c = strip_column(strip, l->plan->t->breakdown[0]);
    if (c == NULL)
        memset(l->codes, 0, strip->at.count * sizeof *l->codes);
    return c == NULL || filter_codes(&strip->at, c, l->codes);
}

static void take_touches(const Strip *strip, void *arg)
{
    LastTouches *l = arg;
    const int64_t *ms = NULL;
    const uint32_t n = pick_rows(l, strip, TOUCHES, &ms);
    if (n == 0 || !reserve_touches(l, l->count + n))
        return;
    if (!read_codes(l, strip)) {
        l->damaged = true;
        return;
    }
    StripAt s = strip_at(l, strip, ms);
    for (uint32_t i = 0; i < n; i++) {
        const TouchAt at = touch_at(&s, l->picked[i]);
        l->from[at.person + 1]++;
        l->code_of[l->count] = (uint16_t)l->codes[l->picked[i]];
        l->touches[l->count++] = at;
    }
}

static void reserve_ordered(LastTouches *l)
{
    if (l->count <= l->ordered_cap && l->ordered != NULL)
        return;
    l->ordered_cap = l->cap;
    free(l->ordered);
    free(l->spare);
    l->ordered = calloc(1 + (size_t)l->ordered_cap, sizeof *l->ordered);
    l->spare = malloc((size_t)l->ordered_cap * sizeof *l->spare + 1);
    CHECK(l->ordered != NULL && l->spare != NULL);
    l->ordered[0].ms = QUERY_EVER_MS;
}

/* By person, then time.  Those of one instant stay as they came. */
static void order_touches(LastTouches *l, uint32_t persons)
{
    reserve_ordered(l);
    l->from[0] = 1;
    for (uint32_t p = 0; p < persons; p++)
        l->from[p + 1] += l->from[p];
    for (uint32_t i = l->count; i-- > 0;)
        l->ordered[--l->from[l->touches[i].person + 1]] =
            (TimedRow){l->touches[i].ms, i << CODE_BITS | l->code_of[i]};
    /* Each from[p + 1] is where p begins now: one place down, and the end behind them. */
    memmove(l->from, l->from + 1, persons * sizeof *l->from);
    l->from[persons] = 1 + l->count;
    memcpy(l->upto, l->from, persons * sizeof *l->upto);
    for (uint32_t p = 0; p < persons; p++)
        if (l->from[p + 1] - l->from[p] > 1)
            (void)order_runs(l->ordered + l->from[p], l->spare, l->from[p + 1] - l->from[p]);
}

/* ---- touches of one instant ------------------------------------------------------------------------
 *
 * Parts of a week, and rows of a list, are in the order of arrival, and so are the touches as they came.  Only between
 * lists of one part the sequence tells it.
 */

static const TouchAt *touch_of(const LastTouches *l, const TimedRow *ordered)
{
    return &l->touches[ordered->row >> CODE_BITS];
}

/* How many rows of its part and block came before.  Parts ascend: the order of each is made once. */
static uint32_t place_of(LastTouches *l, const TouchAt *at)
{
    const uint32_t block = at->person >> PART_BLOCK_BITS;
    if (weave_order_read(&l->orders[block], l->plan->q->view->parts[at->part],
                         l->first_block + block))
        return weave_place(&l->orders[block], at->list, at->row);
    l->damaged = true;
    return 0;
}

/* Where those end that are of the instant and part of the first one, before `end`. */
static uint32_t end_of_tie(const LastTouches *l, uint32_t from, uint32_t end)
{
    const TimedRow *const o = l->ordered;
    uint32_t i = from + 1;
    while (i < end && o[i].ms == o[from].ms &&
           touch_of(l, &o[i])->part == touch_of(l, &o[from])->part)
        i++;
    return i;
}

/* Calls `fn` for each [from, end) of `ordered` of one person, part and instant, but of several lists. */
static void each_tie(LastTouches *l, uint32_t persons,
                     void (*fn)(LastTouches *l, uint32_t from, uint32_t end))
{
    for (uint32_t p = 0; p < persons; p++) {
        const uint32_t until = l->from[p + 1];
        for (uint32_t i = l->from[p], end; i + 1 < until && !crew_gives_up_at(i); i = end) {
            end = end_of_tie(l, i, until);
            if (end - i > 1 &&
                touch_of(l, &l->ordered[i])->list != touch_of(l, &l->ordered[end - 1])->list)
                fn(l, i, end);
        }
    }
}

static void find_tied(LastTouches *l, uint32_t from, uint32_t end)
{
    (void)end;
    const TouchAt *at = touch_of(l, &l->ordered[from]);
    l->tied[at->part] |= (uint16_t)(1U << (at->person >> PART_BLOCK_BITS));
    l->has_tied = true;
}

static void order_tied(LastTouches *l, uint32_t from, uint32_t end)
{
    const int64_t ms = l->ordered[from].ms;
    for (uint32_t i = from; i < end; i++)
        l->ordered[i].ms = l->place_of[l->ordered[i].row >> CODE_BITS];
    (void)order_runs(l->ordered + from, l->spare, end - from);
    for (uint32_t i = from; i < end; i++)
        l->ordered[i].ms = ms;
}

/* Those of one instant stand in the order of arrival. */
static void order_ties(LastTouches *l, uint32_t persons)
{
    l->has_tied = false;
    memset(l->tied, 0, l->plan->q->view->part_count * sizeof *l->tied);
    each_tie(l, persons, find_tied);
    if (!l->has_tied)
        return;
    for (uint32_t i = 0; i < l->count && !crew_gives_up_at(i); i++) {
        const TouchAt *at = &l->touches[i];
        if ((l->tied[at->part] >> (at->person >> PART_BLOCK_BITS) & 1) != 0)
            l->place_of[i] = place_of(l, at);
    }
    each_tie(l, persons, order_tied);
}

/* ---- conversions --------------------------------------------------------------------------------- */

/* Whether a touch arrived before a conversion, at the same instant. */
static bool arrived_before(LastTouches *l, const TouchAt *touch, const TouchAt *conversion)
{
    if (touch->part != conversion->part)
        return touch->part < conversion->part;
    if (touch->list == conversion->list)
        return touch->row < conversion->row;
    return place_of(l, touch) < place_of(l, conversion);
}

/* Behind the last touch of the person that is not later. */
static inline uint32_t touches_until(LastTouches *l, uint32_t person, int64_t ms)
{
    const uint32_t from = l->from[person], end = l->from[person + 1];
    uint32_t upto = l->upto[person];
    while (upto < end && l->ordered[upto].ms <= ms)
        upto++;
    while (upto > from && l->ordered[upto - 1].ms > ms)
        upto--;
    l->upto[person] = upto;
    return upto;
}

/* Behind the last one in [from, upto) that arrived before the conversion: none of these is later than it. */
static uint32_t arrived_until(LastTouches *l, uint32_t from, uint32_t upto,
                              const TouchAt *conversion)
{
    while (from < upto) {
        const uint32_t middle = from + (upto - from) / 2;
        const TimedRow *at = &l->ordered[middle];
        if (at->ms < conversion->ms || arrived_before(l, touch_of(l, at), conversion))
            from = middle + 1;
        else
            upto = middle;
    }
    return upto;
}

/* The last touch before the conversion; the one that was never when there is none. */
static inline const TimedRow *last_before(LastTouches *l, StripAt *s, uint32_t row)
{
    const uint32_t person = person_at(s, row), from = l->from[person];
    const int64_t ms = ms_at(s, row);
    const uint32_t upto = touches_until(l, person, ms);
    uint32_t end = upto;
    if (upto > from && l->ordered[upto - 1].ms == ms) {
        const TouchAt conversion = touch_at(s, row);
        end = arrived_until(l, from, upto, &conversion);
    }
    return &l->ordered[end > from ? end - 1 : 0];
}

static inline void earn(LastTouches *l, const TimedRow *touch, int64_t ms, int64_t worth)
{
    const bool counts = ms - touch->ms <= l->plan->t->look_back_ms;
    TouchEarned *const e = &l->earned[counts ? 1 + (touch->row & (CODES_MAX - 1)) : 0];
    e->credit += worth;
    e->conversions++;
}

static void take_conversions(const Strip *strip, void *arg)
{
    LastTouches *l = arg;
    const ScanProp *number = l->plan->t->number;
    const int64_t *ms = NULL;
    const uint32_t n = pick_rows(l, strip, CONVERSIONS, &ms);
    if (n > 0 && number != NULL &&
        !strip_values(strip, strip->at.count, *number, &l->scratch, l->numbers)) {
        l->damaged = true;
        return;
    }
    StripAt s = strip_at(l, strip, ms);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t row = l->picked[i];
        earn(l, last_before(l, &s, row), ms_at(&s, row),
             touch_worth(l->plan->t, number == NULL ? 0 : l->numbers[row]));
    }
}

bool last_touches_take(LastTouches *l, uint32_t from, uint32_t to)
{
    const uint32_t persons = (to - from) * PART_BLOCK_PERSONS;
    l->first_block = from;
    l->count = 0;
    l->is_over = false;
    memset(l->from, 0, (persons + 1) * sizeof *l->from);
    if (from > 0)
        strips_read(l->strips[TOUCHES], from, to, take_touches, l);
    if (l->is_over)
        return false;
    order_touches(l, persons);
    order_ties(l, persons);
    if (!crew_gives_up(0))
        strips_read(l->strips[CONVERSIONS], from, to, take_conversions, l);
    return true;
}
