/*
 * engine/ask/segment_test.c -- segments against slow obvious code, on random rows and random trees.
 */
#include "engine/ask/segment.h"

#include "base/clock.h"
#include "engine/engine_testkit.h"

static Crew *crew;

enum { PERSON_ROWS_MAX = 64, STEPS_MAX = 4 };

static const int64_t DAY_MS = INT64_C(86400000), ONE = INT64_C(1000000000000000000);

/* The rows of one person in order. */
typedef struct Rows {
    KitRow **at;
    uint32_t count;
    uint32_t person;
} Rows;

/* ---- the slow way -------------------------------------------------------------------------------- */

static bool takes(const ScanSelect *s, const KitRow *r)
{
    bool named = s->events == NULL;
    for (uint32_t i = 0; i < s->event_count; i++)
        named = named || s->events[i] == r->event;
    return named && r->time_ms >= s->from_ms && r->time_ms < s->to_ms &&
           (s->filter == NULL || kit_fulfils(s->filter, r));
}

static const SegmentWide NO_VALUE = (SegmentWide)INT64_MIN * INT64_MAX;

static SegmentWide column_of(const Segment *s, uint32_t column, const KitRow *r)
{
    const int64_t value = r->values[s->props[column].prop - PROP_FIRST];
    return value == SCAN_MISSING ? NO_VALUE : value;
}

/* Of 4 decimal places at most: a product is a number when it is one without the zeros at their end. */
static SegmentWide value_of(const Segment *s, const SegmentTest *t, const KitRow *r)
{
    if (t->column == SEGMENT_TIME)
        return r->time_ms;
    if (t->column == SEGMENT_ABSENT)
        return NO_VALUE;
    const SegmentWide value = column_of(s, t->column, r);
    const SegmentWide other = t->product ? column_of(s, t->column + 1, r) : 1;
    if (value == NO_VALUE || other == NO_VALUE)
        return NO_VALUE;
    SegmentWide number = value * other;
    for (int place = t->product ? s->props[t->column].scale + s->props[t->column + 1].scale : 0;
         place > 0 && number % 10 == 0; place--)
        number /= 10;
    return number > INT64_MAX || number < INT64_MIN ? NO_VALUE : value * other;
}

/* Below, at or above 0: sum / count beside whole + part * 10^-18. */
static int compare(SegmentWide sum, int64_t count, const SegmentNumber *n)
{
    if (n->whole == SEGMENT_ENDLESS || n->whole == -SEGMENT_ENDLESS)
        return n->whole > 0 ? -1 : 1;
    const SegmentWide over = sum - n->whole * count;
    if (over > count || over < 0)
        return over < 0 ? -1 : 1;
    const SegmentWide left = over * ONE, right = (SegmentWide)n->part * count;
    return (left > right) - (left < right);
}

static bool slow_range(SegmentWide sum, int64_t count, const SegmentRange *r)
{
    const int from = compare(sum, count, &r->from), to = compare(sum, count, &r->to);
    return (from > 0 || (from == 0 && !r->without_from)) && (to < 0 || (to == 0 && !r->without_to));
}

/* Of the rows that the leaf takes: their values, and how many rows and days there are. */
typedef struct Values {
    SegmentWide at[PERSON_ROWS_MAX];
    uint32_t count, rows, days;
} Values;

static Values slow_values(const Segment *s, const SegmentTest *t, const Rows *rows)
{
    Values v = {.count = 0};
    int64_t days[PERSON_ROWS_MAX];
    for (uint32_t i = 0; i < rows->count; i++) {
        const KitRow *r = rows->at[i];
        if (!takes(&s->selects[0], r))
            continue;
        bool had = false;
        const int64_t far = r->time_ms - t->day_ms + 1000 * DAY_MS;
        for (uint32_t d = 0; d < v.days; d++)
            had = had || days[d] == far / DAY_MS;
        if (!had)
            days[v.days++] = far / DAY_MS;
        v.rows++;
        if (t->measure >= SEGMENT_SUM && value_of(s, t, r) != NO_VALUE)
            v.at[v.count++] = value_of(s, t, r);
    }
    return v;
}

static uint32_t slow_distinct(const Values *v)
{
    uint32_t distinct = 0;
    for (uint32_t i = 0; i < v->count; i++) {
        uint32_t before = 0;
        while (before < i && v->at[before] != v->at[i])
            before++;
        distinct += before == i;
    }
    return distinct;
}

/* sum / count; count 0 = missing. */
typedef struct Measured {
    SegmentWide sum;
    int64_t count;
} Measured;

static Measured slow_measure(const Segment *s, const SegmentTest *t, const Rows *rows)
{
    const Values v = slow_values(s, t, rows);
    SegmentWide sum = 0, min = v.at[0], max = v.at[0];
    for (uint32_t i = 0; i < v.count; i++) {
        sum += v.at[i];
        min = v.at[i] < min ? v.at[i] : min;
        max = v.at[i] > max ? v.at[i] : max;
    }
    switch (t->measure) {
    case SEGMENT_COUNT:
        return (Measured){v.rows, 1};
    case SEGMENT_DAYS:
        return (Measured){v.days, 1};
    case SEGMENT_SUM:
        return (Measured){sum, 1};
    case SEGMENT_AVG:
        return (Measured){sum, v.count};
    case SEGMENT_MIN:
        return (Measured){min, v.count > 0};
    case SEGMENT_MAX:
        return (Measured){max, v.count > 0};
    case SEGMENT_DISTINCT:
        break;
    }
    return (Measured){slow_distinct(&v), 1};
}

static bool slow_test(const Segment *s, const SegmentTest *t, const Rows *rows)
{
    const Measured m = slow_measure(s, t, rows);
    bool in = false;
    for (uint32_t i = 0; i < t->range_count && m.count > 0; i++)
        in = in || slow_range(m.sum, m.count, &t->ranges[i]);
    return in != t->negated;
}

static const KitRow *slow_end(const ScanSelect *s, const Rows *rows, bool first)
{
    const KitRow *found = NULL;
    for (uint32_t i = 0; i < rows->count; i++)
        if (takes(s, rows->at[i]) && (found == NULL || !first))
            found = rows->at[i];
    return found;
}

static bool slow_resumed(const Segment *s, const Rows *rows)
{
    const KitRow *again = slow_end(&s->selects[0], rows, true);
    const KitRow *before = slow_end(&s->selects[1], rows, false);
    return again != NULL && before != NULL && again->time_ms - before->time_ms >= s->span_ms;
}

/* Whether a way from row `first`, which is at row `at` with `done` steps, gets to its end: all are tried. */
static bool slow_way(const Segment *s, const Rows *rows, uint32_t first, uint32_t at, uint32_t done)
{
    if (done == s->select_count)
        return true;
    const SegmentLink *link = &s->links[done];
    for (uint32_t i = at + 1; i < rows->count; i++) {
        const int64_t since = rows->at[link->of_first ? first : at]->time_ms;
        if (takes(&s->selects[done], rows->at[i]) &&
            (link->span_ms == 0 || rows->at[i]->time_ms - since < link->span_ms) &&
            slow_way(s, rows, first, i, done + 1))
            return true;
    }
    return false;
}

static bool slow_sequence(const Segment *s, const Rows *rows)
{
    for (uint32_t i = 0; i < rows->count; i++)
        if (takes(&s->selects[0], rows->at[i]) && slow_way(s, rows, i, i, 1))
            return true;
    return false;
}

static bool slow_holds(const Segment *s, const Rows *rows)
{
    bool holds = s->kind == SEGMENT_AND || s->kind == SEGMENT_TESTS;
    for (uint32_t i = 0; s->kind == SEGMENT_TESTS && i < s->test_count; i++)
        holds = holds && slow_test(s, &s->tests[i], rows);
    for (uint32_t i = 0; i < s->arg_count; i++) {
        const bool arg = slow_holds(s->args[i], rows);
        holds = s->kind == SEGMENT_NOT   ? !arg
                : s->kind == SEGMENT_AND ? holds && arg
                                         : holds || arg;
    }
    if (s->kind == SEGMENT_PERSONS)
        return (s->persons->persons[rows->person / 64] >> (rows->person & 63) & 1) != 0;
    if (s->kind == SEGMENT_RESUMED)
        return slow_resumed(s, rows);
    if (s->kind == SEGMENT_SEQUENCE)
        return slow_sequence(s, rows);
    if (s->kind == SEGMENT_FIRST || s->kind == SEGMENT_LAST) {
        const KitRow *end = slow_end(&s->selects[0], rows, s->kind == SEGMENT_FIRST);
        return end == NULL ? s->otherwise : takes(&s->selects[1], end);
    }
    return holds;
}

/* ---- random segments ----------------------------------------------------------------------------- */

typedef struct Maker {
    Kit *k;
    const KitShape *shape;
    KitRow **sorted;
} Maker;

/* The rows of somebody who has some. */
static Rows random_person(const Maker *m)
{
    uint32_t from = kit_below(m->k, m->k->count), to = from;
    while (from > 0 && m->sorted[from - 1]->person == m->sorted[to]->person)
        from--;
    while (to < m->k->count && m->sorted[to]->person == m->sorted[from]->person)
        to++;
    return (Rows){m->sorted + from, to - from};
}

static int64_t random_time(const Maker *m)
{
    return KIT_ORIGIN_MS + (int64_t)kit_below(m->k, m->shape->weeks * 604800) * 1000;
}

static ScanSelect random_select(const Maker *m)
{
    ScanSelect s = {.from_ms = KIT_ORIGIN_MS, .to_ms = INT64_MAX / 4};
    uint32_t *events = ARENA_ARRAY(m->k->ctx.arena, uint32_t, 2);
    if (kit_below(m->k, 3) == 0)
        s.from_ms = random_time(m);
    if (kit_below(m->k, 3) == 0)
        s.to_ms = random_time(m);
    s.filter = kit_below(m->k, 2) == 0 ? NULL : kit_filter(m->k, 1);
    if (kit_below(m->k, 4) == 0)
        return s;
    events[0] = 1 + kit_below(m->k, 1 + kit_below(m->k, m->shape->events)); /* as the rows are */
    events[1] = events[0] + 1;
    s.events = events;
    s.event_count = 1 + kit_below(m->k, 2);
    return s;
}

/* What somebody has, or next to it; now and then with a rest behind the unit. */
static SegmentNumber random_number(const Maker *m, const SegmentTest *t, const Segment *s)
{
    const Rows rows = random_person(m);
    const Measured got = slow_measure(s, t, &rows);
    SegmentNumber n = {.whole = kit_below(m->k, 3)};
    if (got.count > 0) {
        const bool down = got.sum % got.count < 0;
        n.whole = got.sum / got.count - down;
        n.part = (int64_t)((got.sum - n.whole * got.count) * ONE / got.count);
    }
    if (kit_below(m->k, 3) == 0)
        n.whole += (SegmentWide)kit_below(m->k, 3) - 1;
    if (kit_below(m->k, 3) == 0)
        n.part = ONE / (2 + kit_below(m->k, 4));
    return n;
}

/* As long as it is from one row of somebody to the next, or a little more. */
static int64_t random_span(const Maker *m)
{
    const Rows rows = random_person(m);
    const uint32_t at = kit_below(m->k, rows.count);
    const int64_t span = at == 0 ? DAY_MS : rows.at[at]->time_ms - rows.at[at - 1]->time_ms;
    return span + kit_below(m->k, 2);
}

static SegmentRange random_range(const Maker *m, const SegmentTest *t, const Segment *s)
{
    SegmentRange r = {.from = random_number(m, t, s), .to = {SEGMENT_ENDLESS, 0}};
    r.without_from = kit_below(m->k, 2) == 0;
    switch (kit_below(m->k, 3)) {
    case 0:
        r.to = r.from;
        r.without_from = false;
        return r;
    case 1:
        r.to = r.from;
        r.from = (SegmentNumber){-SEGMENT_ENDLESS, 0};
        r.without_to = kit_below(m->k, 2) == 0;
        return r;
    default:
        return r;
    }
}

static ScanProp random_number_prop(const Maker *m)
{
    return kit_below(m->k, 2) == 0 ? (ScanProp){KIT_PROP(2), 2} : (ScanProp){KIT_PROP(3), 0};
}

static void make_tests(const Maker *m, Segment *s, ScanSelect *selects)
{
    Arena *arena = m->k->ctx.arena;
    SegmentTest *tests = ARENA_ARRAY(arena, SegmentTest, 3);
    ScanProp *props = ARENA_ARRAY(arena, ScanProp, 6);
    selects[0] = random_select(m);
    s->select_count = 1;
    s->tests = tests;
    s->props = props;
    s->test_count = 1 + kit_below(m->k, 3);
    for (uint32_t i = 0; i < s->test_count; i++) {
        SegmentTest *t = &tests[i];
        SegmentRange *ranges = ARENA_ARRAY(arena, SegmentRange, 2);
        *t = (SegmentTest){.measure = (SegmentMeasure)kit_below(m->k, SEGMENT_DISTINCT + 1),
                           .column = s->prop_count,
                           .day_ms = (int64_t)kit_below(m->k, 48) * 1800000,
                           .ranges = ranges,
                           .range_count = 1 + kit_below(m->k, 2),
                           .negated = kit_below(m->k, 4) == 0};
        if (kit_below(m->k, 6) == 0)
            t->column = kit_below(m->k, 3) > 0 ? SEGMENT_TIME : SEGMENT_ABSENT;
        else
            props[s->prop_count++] = random_number_prop(m);
        t->product = t->column < SEGMENT_ABSENT && kit_below(m->k, 3) == 0;
        if (t->product)
            props[s->prop_count++] = random_number_prop(m);
        for (uint32_t r = 0; r < t->range_count; r++)
            ranges[r] = random_range(m, t, s);
    }
}

static void make_end(const Maker *m, Segment *s, ScanSelect *selects)
{
    const Filter **args = ARENA_ARRAY(m->k->ctx.arena, const Filter *, 2);
    Filter *all = ARENA_NEW(m->k->ctx.arena, Filter);
    selects[0] = random_select(m);
    selects[1] = selects[0];
    args[0] = kit_filter(m->k, 1);
    args[1] = selects[0].filter;
    *all =
        (Filter){.kind = FILTER_AND, .args = args, .arg_count = selects[0].filter == NULL ? 1 : 2};
    selects[1].filter = all;
    s->select_count = 2;
    s->otherwise = kit_below(m->k, 2) == 0;
}

static void make_resumed(const Maker *m, Segment *s, ScanSelect *selects)
{
    const int64_t since = random_time(m);
    selects[0] = selects[1] = random_select(m);
    selects[0].from_ms = since;
    selects[0].to_ms = INT64_MAX / 4;
    selects[1].from_ms = -INT64_MAX / 4;
    selects[1].to_ms = since;
    s->select_count = 2;
    s->span_ms = random_span(m);
}

static void make_sequence(const Maker *m, Segment *s, ScanSelect *selects)
{
    SegmentLink *links = ARENA_ARRAY(m->k->ctx.arena, SegmentLink, STEPS_MAX);
    s->select_count = 1 + kit_below(m->k, 1 + kit_below(m->k, STEPS_MAX));
    s->links = links;
    for (uint32_t i = 0; i < s->select_count; i++) {
        selects[i] = random_select(m);
        if (kit_below(m->k, 2) == 0) /* else few get to the end */
            selects[i].events = NULL, selects[i].filter = NULL;
        links[i].span_ms = kit_below(m->k, 4) == 0 ? 0 : random_span(m);
        links[i].of_first = kit_below(m->k, 2) == 0;
    }
}

static const Filter *random_persons(const Maker *m)
{
    const ScanView *view = &m->k->view;
    Filter *f = ARENA_NEW(m->k->ctx.arena, Filter);
    People people = people_none(m->k->ctx.arena, view);
    for (uint32_t person = PART_BLOCK_PERSONS; person < view->person_count; person++)
        if (kit_below(m->k, 3) == 0)
            people_add(&people, person);
    *f = (Filter){
        .kind = FILTER_PERSONS, .persons = people.bits, .person_count = view->person_count};
    return f;
}

static const Segment *random_segment(const Maker *m, uint32_t depth)
{
    Segment *s = ARENA_NEW(m->k->ctx.arena, Segment);
    s->kind = (SegmentKind)kit_below(m->k, SEGMENT_SEQUENCE + 1);
    if (s->kind == SEGMENT_PERSONS) {
        s->persons = random_persons(m);
        return s;
    }
    if (depth == 0 && s->kind < SEGMENT_TESTS)
        s->kind = SEGMENT_TESTS;
    if (s->kind < SEGMENT_TESTS) {
        s->arg_count = s->kind == SEGMENT_NOT ? 1 : kit_below(m->k, 4);
        const Segment **args = ARENA_ARRAY(m->k->ctx.arena, const Segment *, s->arg_count + 1);
        for (uint32_t i = 0; i < s->arg_count; i++)
            args[i] = random_segment(m, depth - 1);
        s->args = args;
        return s;
    }
    ScanSelect *selects = ARENA_ARRAY(m->k->ctx.arena, ScanSelect, STEPS_MAX);
    s->selects = selects;
    if (s->kind == SEGMENT_TESTS)
        make_tests(m, s, selects);
    else if (s->kind == SEGMENT_RESUMED)
        make_resumed(m, s, selects);
    else if (s->kind == SEGMENT_SEQUENCE)
        make_sequence(m, s, selects);
    else
        make_end(m, s, selects);
    return s;
}

/* ---- comparing ----------------------------------------------------------------------------------- */

/* Everybody of the shape is a person, with rows or without. */
static uint64_t compare_segment(Kit *k, const Query *q, KitRow **sorted, const Segment *s)
{
    SegmentResult got;
    uint64_t count = 0;
    uint32_t row = 0;
    CHECK(query_segment(&k->ctx, q, s, &got) == ERR_OK);
    for (uint32_t person = PART_BLOCK_PERSONS; person < k->view.person_count; person++) {
        Rows rows = {.at = sorted + row, .person = person};
        while (row < k->count && sorted[row]->person == person)
            row++;
        rows.count = (uint32_t)(sorted + row - rows.at);
        CHECK(rows.count <= PERSON_ROWS_MAX);
        const bool want = slow_holds(s, &rows);
        CHECK((got.people.bits[person / 64] >> (person & 63) & 1) == want);
        count += want;
    }
    CHECK(got.people.count == count && got.universe == k->view.person_count - PART_BLOCK_PERSONS);
    uint32_t walked = 0;
    for (uint32_t at = people_next(&got.people, 0); at < got.people.person_count;
         at = people_next(&got.people, at + 1))
        walked++;
    CHECK(walked == count);
    return count;
}

static void random_segments(void)
{
    static const KitShape shapes[] = {
        {.rows = 600, .persons = 70, .events = 4, .weeks = 4, .ties = 20},
        {.rows = 900, .persons = 3000, .events = 3, .weeks = 2},
        {.rows = 300, .persons = 40, .events = 300, .weeks = 3, .ties = 20, .whole_seconds = true}};
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        Kit k;
        kit_open(&k, 100 + i, &shapes[i], 4);
        const Query q = {.view = &k.view, .crew = crew};
        Maker m = {&k, &shapes[i], kit_sorted(&k)};
        uint32_t some = 0;
        for (int round = 0; round < 300; round++) {
            if (round == 150) {
                kit_move_some(&k);
                m.sorted = kit_sorted(&k);
            }
            const uint64_t count = compare_segment(&k, &q, m.sorted, random_segment(&m, 2));
            some += count > 0 && count < shapes[i].persons;
        }
        CHECK(some > 40); /* else little was shown */
        kit_close(&k);
    }
}

TEST(segments_are_those_of_the_slow_way_with_every_kernel_and_crew)
{
    kit_each_kernel_and_crew(random_segments, &crew);
}

TEST(a_step_that_follows_after_the_whole_span_does_not_follow)
{
    const KitShape shape = {.rows = 600, .persons = 70, .events = 4, .weeks = 4};
    Kit k;
    kit_open(&k, 109, &shape, 3);
    crew = crew_new(1);
    const Query q = {.view = &k.view, .crew = crew};
    const Maker m = {&k, &shape, kit_sorted(&k)};
    const ScanSelect any[2] = {{.to_ms = INT64_MAX / 4}, {.to_ms = INT64_MAX / 4}};
    for (int round = 0; round < 50; round++) {
        const Rows rows = random_person(&m);
        SegmentLink links[2] = {{0}, {.span_ms = INT64_MAX / 4, .of_first = round % 2 == 0}};
        for (uint32_t i = 1; i < rows.count; i++) {
            const int64_t gap = rows.at[i]->time_ms - rows.at[i - 1]->time_ms;
            links[1].span_ms = gap > 0 && gap < links[1].span_ms ? gap : links[1].span_ms;
        }
        const Segment s = {
            .kind = SEGMENT_SEQUENCE, .selects = any, .select_count = 2, .links = links};
        const uint64_t within = compare_segment(&k, &q, m.sorted, &s);
        links[1].span_ms++;
        CHECK(rows.count < 2 || compare_segment(&k, &q, m.sorted, &s) > within);
    }
    crew_free(crew);
    kit_close(&k);
}

TEST(a_segment_of_nothing_is_everybody_or_no_one_and_nobody_is_in_none)
{
    const KitShape shape = {.rows = 100, .persons = 2100, .events = 2, .weeks = 1};
    Kit k;
    kit_open(&k, 110, &shape, 1);
    crew = crew_new(1);
    const Query q = {.view = &k.view, .crew = crew};
    const Segment all = {.kind = SEGMENT_AND}, none = {.kind = SEGMENT_OR};
    SegmentResult got;
    CHECK(query_segment(&k.ctx, &q, &all, &got) == ERR_OK);
    CHECK(got.people.count == 2100 && people_next(&got.people, 0) == PART_BLOCK_PERSONS);
    CHECK(query_segment(&k.ctx, &q, &none, &got) == ERR_OK);
    CHECK(got.people.count == 0 && people_next(&got.people, 0) == k.view.person_count);
    const ScanView empty = {.person_count = PART_BLOCK_PERSONS};
    const Query of_empty = {.view = &empty, .crew = crew};
    CHECK(query_segment(&k.ctx, &of_empty, &all, &got) == ERR_OK);
    CHECK(got.people.count == 0 && got.universe == 0);
    crew_free(crew);
    kit_close(&k);
}

TEST(a_segment_ends_at_its_deadline_and_has_no_more_steps_than_a_scan)
{
    const KitShape shape = {.rows = 3000, .persons = 100000, .events = 5, .weeks = 1};
    Kit k;
    kit_open(&k, 111, &shape, 1);
    crew = crew_new(2);
    const ScanSelect steps[SCAN_SELECTS_MAX + 1] = {{.to_ms = INT64_MAX / 4}};
    const SegmentLink links[SCAN_SELECTS_MAX + 1] = {{0}};
    Segment s = {.kind = SEGMENT_SEQUENCE, .selects = steps, .select_count = 1, .links = links};
    SegmentResult got;
    Query q = {.view = &k.view, .crew = crew, .until_us = clock_mono_us()};
    EXPECT_I64(query_segment(&k.ctx, &q, &s, &got), ERR_BUSY);
    EXPECT_STREQ(k.ctx.fault.reason, "query.deadline");
    q.until_us = 0;
    EXPECT_I64(query_segment(&k.ctx, &q, &s, &got), ERR_OK);
    s.select_count = SCAN_SELECTS_MAX + 1;
    EXPECT_I64(query_segment(&k.ctx, &q, &s, &got), ERR_INVALID);
    EXPECT_STREQ(k.ctx.fault.reason, "query.too_large");
    crew_free(crew);
    kit_close(&k);
}
