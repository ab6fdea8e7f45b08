/*
 * engine/ask/touch_test.c -- attribution against slow obvious code, on random rows and questions.
 */
#include "engine/ask/touch.h"

#include "engine/engine_testkit.h"

#include <math.h>
#include <stdlib.h>

static Crew *crew;

/* ---- the slow way -------------------------------------------------------------------------------- */

typedef struct SlowRow {
    int64_t values[QUERY_BREAKDOWNS_MAX];
    TrendSum credit;
    uint64_t conversions;
    uint32_t last;
} SlowRow;

typedef struct Slow {
    const Touch *t;
    SlowRow *rows;
    uint32_t count, conversion; /* rows there are; which conversion this is */
    SlowRow direct, total;
} Slow;

static void slow_earn(Slow *s, SlowRow *row, TrendSum credit)
{
    row->credit += credit;
    row->conversions += row->last != s->conversion;
    row->last = s->conversion;
}

static SlowRow *row_of(Slow *s, const KitRow *touch)
{
    int64_t values[QUERY_BREAKDOWNS_MAX] = {0};
    for (uint32_t b = 0; b < s->t->breakdown_count; b++)
        values[b] = touch->values[s->t->breakdown[b].prop - PROP_FIRST];
    uint32_t at = 0;
    while (at < s->count && memcmp(s->rows[at].values, values, sizeof values) != 0)
        at++;
    memcpy(s->rows[at].values, values, sizeof values);
    s->count += at == s->count;
    return &s->rows[at];
}

/* Of the last touch 2^32, halved with every half-life before it, of which 65,536ths are told apart. */
static double decayed(const Touch *t, KitRow **touches, uint32_t i, uint32_t n)
{
    double own = 0, all = 0;
    for (uint32_t j = 0; j < n; j++) {
        const double ages =
            (double)(touches[n - 1]->time_ms - touches[j]->time_ms) / (double)t->half_life_ms;
        const double weight = floor(exp2(32 - floor(ages * 65536) / 65536));
        own = i == j ? weight : own;
        all += weight;
    }
    return 100 * own / all;
}

/* Hundredths that the touch at `i` of `n` gets; parts of the n - 2 between are parts of their whole. */
static double weight_of(const Slow *s, KitRow **touches, uint32_t i, uint32_t n)
{
    const TouchModel model = s->t->model;
    static const double first[] = {[TOUCH_U] = 40, [TOUCH_J] = 20, [TOUCH_INVERSE_J] = 60};
    static const double last[] = {[TOUCH_U] = 40, [TOUCH_J] = 60, [TOUCH_INVERSE_J] = 20};
    if (s->t->model == TOUCH_DECAY)
        return decayed(s->t, touches, i, n);
    if (model == TOUCH_LINEAR || n <= 2)
        return 100.0 / n;
    return i == 0 ? first[model] : i + 1 == n ? last[model] : 20.0 / (n - 2);
}

/* Worths here are small enough for a double to say which remainder is larger. */
static void slow_share(Slow *s, KitRow **touches, uint32_t n, int64_t worth)
{
    const double size = (double)(worth < 0 ? -worth : worth);
    double rest[400];
    int64_t units[400], left = worth < 0 ? -worth : worth;
    for (uint32_t i = 0; i < n; i++) {
        const double exact = size * weight_of(s, touches, i, n) / 100;
        units[i] = (int64_t)(exact + 1e-7);
        rest[i] = exact - (double)units[i];
        left -= units[i];
    }
    for (; left > 0; left--) {
        uint32_t best = 0;
        for (uint32_t i = 1; i < n; i++)
            best = rest[i] > rest[best] + 1e-7 ? i : best;
        units[best]++;
        rest[best] = -1;
    }
    for (uint32_t i = 0; i < n; i++)
        slow_earn(s, row_of(s, touches[i]), worth < 0 ? -units[i] : units[i]);
}

static void slow_convert(Slow *s, KitRow **touches, uint32_t n, const KitRow *r)
{
    const int64_t number = s->t->number == NULL ? TOUCH_UNITS : r->values[2];
    const int64_t worth = number == SCAN_MISSING ? 0 : number;
    s->conversion++;
    slow_earn(s, &s->total, worth);
    if (n == 0) {
        slow_earn(s, &s->direct, worth);
    } else if (s->t->model == TOUCH_FIRST || s->t->model == TOUCH_LAST) {
        slow_earn(s, row_of(s, touches[s->t->model == TOUCH_FIRST ? 0 : n - 1]), worth);
    } else if (s->t->model == TOUCH_PARTICIPATION) {
        for (uint32_t i = 0; i < n; i++)
            if (row_of(s, touches[i])->last != s->conversion)
                slow_earn(s, row_of(s, touches[i]), worth);
    } else {
        slow_share(s, touches, n, worth);
    }
}

static int by_credit(const void *a, const void *b)
{
    const SlowRow *x = a, *y = b;
    if (x->credit != y->credit)
        return x->credit < y->credit ? 1 : -1;
    for (int i = 0; i < QUERY_BREAKDOWNS_MAX; i++)
        if (x->values[i] != y->values[i])
            return x->values[i] < y->values[i] ? -1 : 1;
    return 0;
}

static bool converts(const Touch *t, const KitRow *r)
{
    return kit_takes(&t->conversion, r) && r->time_ms >= t->conversion.from_ms &&
           r->time_ms < t->conversion.to_ms;
}

/* Whether no other one of the person is to be preferred. */
static bool counts(const Touch *t, KitRow **sorted, uint32_t n, uint32_t at)
{
    if (t->which == TOUCH_EACH)
        return true;
    const uint32_t from = t->which == TOUCH_FIRST_OF_PERSON ? 0 : at + 1;
    const uint32_t to = t->which == TOUCH_FIRST_OF_PERSON ? at : n;
    for (uint32_t i = from; i < to; i++)
        if (sorted[i]->person == sorted[at]->person && converts(t, sorted[i]))
            return false;
    return sorted[at]->person != 0;
}

static void slow_touch(Kit *k, const Touch *t, Slow *s)
{
    KitRow **sorted = kit_sorted(k), **touches = ARENA_ARRAY(k->ctx.arena, KitRow *, k->count + 1);
    *s = (Slow){.t = t, .rows = ARENA_ARRAY(k->ctx.arena, SlowRow, k->count + 1)};
    for (uint32_t i = 0; i < k->count; i++) {
        const KitRow *r = sorted[i];
        if (!converts(t, r) || !counts(t, sorted, k->count, i))
            continue;
        uint32_t n = 0;
        for (uint32_t j = 0; j < i; j++)
            if (r->person != 0 && sorted[j]->person == r->person &&
                kit_takes(&t->touch, sorted[j]) &&
                r->time_ms - sorted[j]->time_ms <= t->look_back_ms)
                touches[n++] = sorted[j];
        slow_convert(s, touches, n, r);
    }
    qsort(s->rows, s->count, sizeof *s->rows, by_credit);
}

static void expect_row(const TouchRow *got, const SlowRow *want)
{
    CHECK(got->credit == want->credit);
    EXPECT_I64((int64_t)got->conversions, (int64_t)want->conversions);
}

/* ---- whose conversions they are ------------------------------------------------------------------ */

typedef struct SlowBar {
    const Touch *t;
    const TouchResult *got;
    uint32_t row;
} SlowBar;

static bool has_values(const SlowRow *row, const TouchRow *shown, uint32_t width)
{
    return memcmp(row->values, shown->key.values, width * sizeof *row->values) == 0;
}

static bool is_of_row(const SlowBar *b, const SlowRow *row)
{
    const TouchResult *got = b->got;
    if (!got->rows[b->row].key.is_other)
        return has_values(row, &got->rows[b->row], b->t->breakdown_count);
    for (uint32_t i = 0; i + 1 < got->count; i++)
        if (has_values(row, &got->rows[i], b->t->breakdown_count))
            return false;
    return true;
}

static KitShare share_in_touch(Kit *alone, const void *arg)
{
    const SlowBar *b = arg;
    Slow s;
    uint64_t count = 0;
    slow_touch(alone, b->t, &s);
    if (b->row == TOUCH_BAR_TOTAL || b->row == TOUCH_BAR_DIRECT)
        count = b->row == TOUCH_BAR_TOTAL ? s.total.conversions : s.direct.conversions;
    else
        for (uint32_t i = 0; i < s.count; i++)
            count += is_of_row(b, &s.rows[i]) ? s.rows[i].conversions : 0;
    return (KitShare){count > 0, (PeopleSum)count};
}

static void compare_people(Kit *k, const Query *q, const Touch *t, const TouchResult *got)
{
    const uint32_t at = kit_below(k, got->count + 2);
    const uint32_t bar = at < got->count    ? at
                         : at == got->count ? TOUCH_BAR_TOTAL
                                            : TOUCH_BAR_DIRECT;
    const TouchRow *row = bar == TOUCH_BAR_TOTAL    ? &got->total
                          : bar == TOUCH_BAR_DIRECT ? &got->direct
                                                    : &got->rows[bar];
    People people;
    CHECK(query_touch_people(&k->ctx, q, t, got, bar, &people) == ERR_OK);
    kit_expect_people(k, &people, share_in_touch, &(SlowBar){t, got, bar});
    CHECK(people.amount + people.nobodys == (PeopleSum)row->conversions);
}

static void compare_touch(Kit *k, const Query *q, const Touch *t)
{
    TouchResult got;
    Slow s;
    TrendSum sum = 0;
    CHECK(query_touch(&k->ctx, q, t, &got) == ERR_OK);
    slow_touch(k, t, &s);
    const uint32_t shown = s.count < t->top ? s.count : t->top;
    EXPECT_I64(got.distinct, s.count);
    EXPECT_I64(got.count, shown + (shown < s.count));
    for (uint32_t i = shown + 1; i < s.count; i++) {
        s.rows[shown].credit += s.rows[i].credit;
        s.rows[shown].conversions += s.rows[i].conversions;
    }
    for (uint32_t i = 0; i < got.count; i++) {
        EXPECT_I64(got.rows[i].key.is_other, i == shown);
        expect_row(&got.rows[i], &s.rows[i]);
        CHECK(i == shown || memcmp(got.rows[i].key.values, s.rows[i].values,
                                   t->breakdown_count * sizeof(int64_t)) == 0);
        sum += got.rows[i].credit;
    }
    expect_row(&got.direct, &s.direct);
    expect_row(&got.total, &s.total);
    CHECK(t->model == TOUCH_PARTICIPATION || sum + got.direct.credit == got.total.credit);
    compare_people(k, q, t, &got);
}

/* ---- random questions ---------------------------------------------------------------------------- */

static uint32_t random_events(Kit *k, const KitShape *shape, uint32_t *events)
{
    const uint32_t n = 1 + kit_below(k, 4), first = 1 + kit_below(k, shape->events);
    for (uint32_t i = 0; i < n; i++)
        events[i] = first + i;
    return n;
}

static ScanSelect random_select(Kit *k, const KitShape *shape, uint32_t *events)
{
    ScanSelect s = {.filter = kit_below(k, 2) == 0 ? kit_filter(k, 2) : NULL};
    if (kit_below(k, 3) > 0) {
        s.events = events;
        s.event_count = random_events(k, shape, events);
    }
    return s;
}

/* `last`: those that look for the last touch alone, a question of its own. */
static void compare_some(const KitShape *shape, uint64_t seed, bool last)
{
    static const ScanProp props[] = {{KIT_PROP(0), 0}, {KIT_PROP(1), 0}};
    static const ScanProp number = {KIT_PROP(2), 2};
    const int64_t look_backs[] = {0, 3600000, 86400000, 604800000};
    Kit k;
    kit_open(&k, seed, shape, 3);
    const Query q = {.view = &k.view, .crew = crew};
    for (int round = 0; round < 40; round++) {
        if (round == 20)
            kit_move_some(&k);
        uint32_t events[2][8];
        Touch t = {.conversion = random_select(&k, shape, events[0]),
                   .touch = random_select(&k, shape, events[1]),
                   .look_back_ms = look_backs[kit_below(&k, 4)],
                   .model = (TouchModel)kit_below(&k, TOUCH_PARTICIPATION + 1),
                   .half_life_ms = look_backs[1 + kit_below(&k, 3)],
                   .which = (TouchWhich)kit_below(&k, 3),
                   .number = kit_below(&k, 3) > 0 ? &number : NULL,
                   .breakdown = props,
                   .breakdown_count = 1 + kit_below(&k, 2),
                   .top = 1 + kit_below(&k, 8)};
        if (last) {
            t.model = TOUCH_LAST;
            t.which = TOUCH_EACH;
            t.breakdown_count = 1;
        }
        t.conversion.from_ms = KIT_ORIGIN_MS + (int64_t)kit_below(&k, 900000) * 1000;
        t.conversion.to_ms = t.conversion.from_ms + (int64_t)kit_below(&k, 1200000) * 1000;
        compare_touch(&k, &q, &t);
    }
    kit_close(&k);
}

static void random_touches(void)
{
    static const KitShape shapes[] = {
        {.rows = 1200, .persons = 3000, .events = 5, .weeks = 3, .ties = 70, .nobody = 20},
        {.rows = 1200, .persons = 40, .events = 6, .weeks = 3, .ties = 20, .nobody = 30},
        {.rows = 900,
         .persons = 20,
         .events = 400,
         .weeks = 2,
         .whole_seconds = true,
         .ties = 10,
         .nobody = 10}};
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        compare_some(&shapes[i], 110 + i, false);
}

/* The seed also says whether all touches are held, or some blocks have too many (kit_open()). */
static void random_last_touches(void)
{
    static const KitShape shapes[] = {
        {.rows = 900, .persons = 6000, .events = 5, .weeks = 2, .ties = 50, .nobody = 20},
        {.rows = 900, .persons = 12, .events = 6, .weeks = 2, .ties = 60, .nobody = 10},
        {.rows = 700, .persons = 9, .events = 400, .weeks = 2, .whole_seconds = true, .ties = 40}};
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        compare_some(&shapes[i], 120 + 3 * i, true);
        compare_some(&shapes[i], 121 + 3 * i, true);
    }
}

TEST(touches_are_those_of_the_slow_way_with_every_kernel_and_crew)
{
    kit_each_kernel_and_crew(random_touches, &crew);
}

TEST(last_touches_are_those_of_the_slow_way_in_whatever_order_events_of_one_instant_came)
{
    kit_each_kernel_and_crew(random_last_touches, &crew);
}

/* ---- by hand ------------------------------------------------------------------------------------- */

enum { CHANNEL = PROP_FIRST, WORTH };

/* Touches of one person a minute apart, each with the channel that it says, and then a conversion. */
static void open_hand(Kit *k, const int64_t *channels, uint32_t n, int64_t worth)
{
    RowBuffer b = {0};
    *k = (Kit){.ctx.arena = arena_new(1 << 20), .view.person_count = PART_BLOCK_PERSONS + 1};
    for (uint32_t i = 0; i < n; i++) {
        rows_add(&b, KIT_ORIGIN_MS + (int64_t)i * 60000, PART_BLOCK_PERSONS, 1);
        rows_value(&b, CHANNEL, PART_CODES, 0, channels[i]);
    }
    rows_add(&b, KIT_ORIGIN_MS + (int64_t)n * 60000, PART_BLOCK_PERSONS, 2);
    rows_value(&b, WORTH, PART_NUMBERS, 0, worth);
    CHECK(rows_build(&k->ctx, &b, KIT_ORIGIN_MS, 1, 2, &k->view.parts, &k->view.part_count) ==
          ERR_OK);
    rows_free(&b);
}

/* What each of the first channels has earned. */
static void hand_credits(const int64_t *channels, uint32_t n, int64_t worth, TouchModel model,
                         int64_t credits[4])
{
    static const uint32_t names[] = {1, 2};
    static const ScanProp channel = {CHANNEL, 0}, number = {WORTH, 0};
    const Touch t = {.conversion = {.events = names + 1,
                                    .event_count = 1,
                                    .from_ms = KIT_ORIGIN_MS,
                                    .to_ms = KIT_ORIGIN_MS + PART_WEEK_MS},
                     .touch = {.events = names, .event_count = 1},
                     .look_back_ms = PART_WEEK_MS,
                     .model = model,
                     .half_life_ms = 60000,
                     .number = &number,
                     .breakdown = &channel,
                     .breakdown_count = 1,
                     .top = 10};
    Kit k;
    TouchResult got;
    open_hand(&k, channels, n, worth);
    crew = crew_new(1);
    CHECK(query_touch(&k.ctx, &(Query){.view = &k.view, .crew = crew}, &t, &got) == ERR_OK);
    memset(credits, 0, 4 * sizeof *credits);
    for (uint32_t i = 0; i < got.count; i++)
        credits[got.rows[i].key.values[0] - 1] = (int64_t)got.rows[i].credit;
    crew_free(crew);
    kit_close(&k);
}

TEST(a_conversion_is_shared_to_the_last_unit)
{
    static const struct {
        uint32_t n;
        int64_t worth;
        TouchModel model;
        int64_t credits[4];
    } hands[] = {
        {1, 1001, TOUCH_U, {1001}},
        {2, 1001, TOUCH_J, {501, 500}},
        {3, 100, TOUCH_LINEAR, {34, 33, 33}},
        {3, 1, TOUCH_U, {1, 0, 0}}, /* two are as near: the earlier */
        {3, 3, TOUCH_U, {1, 1, 1}},
        {3, 100, TOUCH_J, {20, 20, 60}},
        {3, 100, TOUCH_INVERSE_J, {60, 20, 20}},
        {4, 1001, TOUCH_U, {401, 100, 100, 400}}, /* 400.4 and 100.1 */
        {4, 1001, TOUCH_J, {200, 100, 100, 601}}, /* 200.2 and 600.6 */
        {4, -1001, TOUCH_J, {-200, -100, -100, -601}},
        {4,
         INT64_C(4000000000000000003),
         TOUCH_LINEAR,
         {1000000000000000001, 1000000000000000001, 1000000000000000001, 1000000000000000000}},
        {4, 1500, TOUCH_DECAY, {100, 200, 400, 800}}, /* a half-life apart */
        {4, -1501, TOUCH_DECAY, {-100, -200, -400, -801}},
        {4, 7, TOUCH_PARTICIPATION, {7, 7, 7, 7}},
        {4, 7, TOUCH_FIRST, {7, 0, 0, 0}},
        {4, 7, TOUCH_LAST, {0, 0, 0, 7}},
    };
    static const int64_t channels[] = {1, 2, 3, 4};
    for (size_t i = 0; i < ARRAY_LEN(hands); i++) {
        int64_t credits[4];
        hand_credits(channels, hands[i].n, hands[i].worth, hands[i].model, credits);
        for (int c = 0; c < 4; c++)
            EXPECT_I64(credits[c], hands[i].credits[c]);
    }
}

TEST(of_very_many_touches_the_latest_share_a_conversion)
{
    int64_t channels[TOUCH_SHARED_MAX + 500], credits[4];
    for (uint32_t i = 0; i < ARRAY_LEN(channels); i++)
        channels[i] = i < 500 ? 1 : i + 1 < ARRAY_LEN(channels) ? 2 : 3;
    hand_credits(channels, ARRAY_LEN(channels), 5000, TOUCH_LINEAR, credits);
    EXPECT_I64(credits[0], 0);
    EXPECT_I64(credits[1], 5 * (TOUCH_SHARED_MAX - 1));
    EXPECT_I64(credits[2], 5);
    hand_credits(channels, ARRAY_LEN(channels), 5000, TOUCH_PARTICIPATION, credits);
    EXPECT_I64(credits[0], 0);
    EXPECT_I64(credits[1], 5000);
    hand_credits(channels, ARRAY_LEN(channels), 5000, TOUCH_FIRST, credits);
    EXPECT_I64(credits[0], 5000);
}
