/*
 * engine/ask/path_test.c -- paths and transitions against slow obvious code, on random rows and questions.
 */
#include "engine/ask/path.h"

#include "base/clock.h"
#include "engine/engine_testkit.h"

#include <stdlib.h>

static Crew *crew;

static uint32_t random_events(Kit *k, const KitShape *shape, uint32_t *events)
{
    const uint32_t n = 1 + kit_below(k, 6), first = 1 + kit_below(k, shape->events);
    for (uint32_t i = 0; i < n; i++)
        events[i] = first + i * 2;
    return n;
}

static ScanSelect random_select(Kit *k, const KitShape *shape, uint32_t *events)
{
    const uint32_t seconds = shape->weeks * 604800;
    ScanSelect s = {.from_ms = 0, .to_ms = KIT_ORIGIN_MS + 10 * PART_WEEK_MS};
    if (kit_below(k, 3) == 0)
        s.filter = kit_filter(k, 2);
    if (kit_below(k, 2) == 0) {
        s.events = events;
        s.event_count = random_events(k, shape, events);
    }
    if (kit_below(k, 2) == 0) {
        s.from_ms = KIT_ORIGIN_MS + (int64_t)kit_below(k, seconds / 2) * 1000;
        s.to_ms = s.from_ms + (int64_t)kit_below(k, seconds) * 1000;
    }
    return s;
}

static const KitShape SHAPES[] = {
    {.rows = 1500, .persons = 4000, .events = 5, .weeks = 3, .ties = 70, .nobody = 20},
    {.rows = 1500, .persons = 40, .events = 6, .weeks = 2, .ties = 20, .nobody = 20},
    {.rows = 1200,
     .persons = 6,
     .events = 400,
     .weeks = 2,
     .whole_seconds = true,
     .ties = 10,
     .nobody = 10}};

/* ---- the slow way -------------------------------------------------------------------------------- */

typedef struct SlowNode {
    uint32_t event;
    int64_t value;
} SlowNode;

typedef struct SlowTrail {
    uint32_t person;
    SlowNode nodes[PATH_STEPS_MAX + 1]; /* one more than is asked for */
    uint32_t count;
} SlowTrail;

typedef struct Slow {
    const Path *p;
    SlowTrail *trails;
    uint32_t count;
} Slow;

static bool same_node(SlowNode a, SlowNode b)
{
    return a.event == b.event && a.value == b.value;
}

/* The nodes of one path, of rows that come in the direction of the question. */
static void slow_trail(Slow *s, KitRow **rows, uint32_t n)
{
    const Path *p = s->p;
    SlowTrail t = {.person = rows[0]->person};
    const KitRow *first = NULL; /* where it goes from */
    bool ended = false;
    for (uint32_t i = 0; i < n && !ended; i++) {
        const KitRow *r = rows[i];
        const bool begins = first == NULL && (p->anchor == NULL || kit_takes(p->anchor, r));
        first = begins ? r : first;
        if (first == NULL)
            continue;
        if (p->window_ms > 0 && llabs(r->time_ms - first->time_ms) > p->window_ms)
            break;
        ended = p->goal != NULL && !begins && kit_takes(p->goal, r);
        if (t.count > p->steps)
            continue;
        const SlowNode node = {r->event, p->prop == NULL ? SCAN_MISSING : r->values[0]};
        if (p->repeats || t.count == 0 || !same_node(node, t.nodes[t.count - 1]))
            t.nodes[t.count++] = node;
    }
    const bool again = s->count > 0 && s->trails[s->count - 1].person == t.person;
    if (t.count > 0 && (ended || p->goal == NULL) && !(p->first && again))
        s->trails[s->count++] = t;
}

static void slow_paths(Kit *k, const Path *p, Slow *s)
{
    KitRow **sorted = kit_sorted(k), **kept = ARENA_ARRAY(k->ctx.arena, KitRow *, k->count + 1);
    *s = (Slow){p, ARENA_ARRAY(k->ctx.arena, SlowTrail, k->count + 1), 0};
    for (uint32_t i = 0, n = 0; i <= k->count; i++) {
        KitRow *r = i < k->count ? sorted[i] : NULL;
        const bool in = r != NULL && r->person != 0 && r->time_ms >= p->of.from_ms &&
                        r->time_ms < p->of.to_ms &&
                        (kit_takes(&p->of, r) || (p->anchor != NULL && kit_takes(p->anchor, r)) ||
                         (p->goal != NULL && kit_takes(p->goal, r)));
        const bool cut =
            n > 0 && (r == NULL || (in && (r->person != kept[n - 1]->person ||
                                           r->time_ms - kept[n - 1]->time_ms > p->gap_ms)));
        for (uint32_t a = 0; cut && p->backward && a < n / 2; a++) {
            KitRow *swap = kept[a];
            kept[a] = kept[n - 1 - a];
            kept[n - 1 - a] = swap;
        }
        if (cut) {
            slow_trail(s, kept, n);
            n = 0;
        }
        if (in)
            kept[n++] = r;
    }
}

/* Where a trail's node stands among those that are shown. */
typedef struct Shown {
    SlowNode nodes[PATH_TOP_MAX];
    uint32_t count;
} Shown;

static uint32_t place_in(const Shown *shown, SlowNode node)
{
    uint32_t place = 0;
    while (place < shown->count && !same_node(shown->nodes[place], node))
        place++;
    return place;
}

/* What of a trail is counted. */
typedef struct Part2 {
    enum { STEP, NODE, EDGE, END, NODE_END } kind;
    uint32_t step, from, to;
} Part2;

static bool trail_has(const Slow *s, const Shown *shown, const SlowTrail *t, Part2 x)
{
    if (x.step >= t->count)
        return false;
    const uint32_t at = place_in(&shown[x.step], t->nodes[x.step]);
    const bool ends = t->count == x.step + 1;
    if (x.kind == EDGE)
        return !ends && x.step + 1 < s->p->steps && at == x.from &&
               place_in(&shown[x.step + 1], t->nodes[x.step + 1]) == x.to;
    return (x.kind == STEP || x.kind == END || at == x.from) &&
           (ends || x.kind == STEP || x.kind == NODE);
}

/* Trails of one person lie together. */
static uint64_t slow_count(const Slow *s, const Shown *shown, Part2 x)
{
    uint64_t n = 0;
    uint32_t last = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (!trail_has(s, shown, &s->trails[i], x) ||
            (s->p->persons && last == s->trails[i].person))
            continue;
        last = s->trails[i].person;
        n++;
    }
    return n;
}

/* All nodes of a step, the most frequent first; how many. */
typedef struct Ranked {
    SlowNode node;
    uint64_t count;
} Ranked;

static int by_rank(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    if (x->node.event != y->node.event)
        return x->node.event < y->node.event ? -1 : 1;
    return (x->node.value > y->node.value) - (x->node.value < y->node.value);
}

static uint32_t slow_ranking(Kit *k, const Slow *s, uint32_t step, Shown *out)
{
    Ranked *found = ARENA_ARRAY(k->ctx.arena, Ranked, s->count + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (step >= s->trails[i].count)
            continue;
        uint32_t at = 0;
        while (at < n && !same_node(found[at].node, s->trails[i].nodes[step]))
            at++;
        found[at].node = s->trails[i].nodes[step];
        n += at == n;
    }
    for (uint32_t i = 0; i < n; i++) {
        Shown *only = ARENA_ARRAY(k->ctx.arena, Shown, PATH_STEPS_MAX + 1);
        only[step] = (Shown){{found[i].node}, 1};
        found[i].count = slow_count(s, only, (Part2){NODE, step, 0, 0});
    }
    qsort(found, n, sizeof *found, by_rank);
    out->count = n < s->p->top ? n : s->p->top;
    for (uint32_t i = 0; i < out->count; i++)
        out->nodes[i] = found[i].node;
    return n;
}

/* ---- paths --------------------------------------------------------------------------------------- */

static void compare_step(const Slow *s, const Shown *shown, uint32_t k, const PathStep *got)
{
    EXPECT_I64((int64_t)got->count, (int64_t)slow_count(s, shown, (Part2){STEP, k, 0, 0}));
    EXPECT_I64((int64_t)got->ended, (int64_t)slow_count(s, shown, (Part2){END, k, 0, 0}));
    for (uint32_t i = 0; i < got->node_count; i++) {
        const PathNode *n = &got->nodes[i];
        EXPECT_I64(n->is_other, i == shown[k].count);
        CHECK(n->is_other || same_node((SlowNode){n->event, n->value}, shown[k].nodes[i]));
        EXPECT_I64((int64_t)n->count, (int64_t)slow_count(s, shown, (Part2){NODE, k, i, 0}));
        EXPECT_I64((int64_t)n->ended, (int64_t)slow_count(s, shown, (Part2){NODE_END, k, i, 0}));
    }
    uint32_t edges = 0;
    for (uint32_t from = 0; from <= shown[k].count; from++)
        for (uint32_t to = 0; k + 1 < s->p->steps && to <= shown[k + 1].count; to++)
            edges += slow_count(s, shown, (Part2){EDGE, k, from, to}) > 0;
    EXPECT_I64(got->edge_count, edges);
    for (uint32_t i = 0; i < got->edge_count; i++) {
        const PathEdge *e = &got->edges[i];
        EXPECT_I64((int64_t)e->count,
                   (int64_t)slow_count(s, shown, (Part2){EDGE, k, e->from, e->to}));
        CHECK(i == 0 || e[-1].count > e->count ||
              (e[-1].count == e->count &&
               (e[-1].from < e->from || (e[-1].from == e->from && e[-1].to < e->to))));
    }
}

/* ---- whose paths they are ------------------------------------------------------------------------ */

typedef struct SlowBar {
    const Path *p;
    const Shown *shown;
    Part2 part;
} SlowBar;

static KitShare share_in_paths(Kit *alone, const void *arg)
{
    const SlowBar *b = arg;
    Path paths = *b->p;
    Slow s;
    paths.persons = false;
    slow_paths(alone, &paths, &s);
    const uint64_t count = slow_count(&s, b->shown, b->part);
    return (KitShare){count > 0, (PeopleSum)count};
}

/* A random number of a step. */
static PathBar random_bar(Kit *k, const PathStep *s, uint32_t step, Part2 *part, uint64_t *number)
{
    const uint32_t node = kit_below(k, s->node_count);
    PathBar bar = {step, node, QUERY_WHOLE, kit_below(k, 2) == 0};
    *part = (Part2){bar.has_ended ? NODE_END : NODE, step, node, 0};
    *number = bar.has_ended ? s->nodes[node].ended : s->nodes[node].count;
    if (s->edge_count > 0 && kit_below(k, 2) == 0) {
        const PathEdge *e = &s->edges[kit_below(k, s->edge_count)];
        bar = (PathBar){step, e->from, e->to, false};
        *part = (Part2){EDGE, step, e->from, e->to};
        *number = e->count;
    } else if (kit_below(k, 4) == 0) {
        bar.node = QUERY_WHOLE;
        part->kind = bar.has_ended ? END : STEP;
        *number = bar.has_ended ? s->ended : s->count;
    }
    return bar;
}

static void compare_people(Kit *k, const Query *q, const Path *p, const Shown *shown,
                           const PathResult *got)
{
    if (got->step_count == 0)
        return;
    const uint32_t step = kit_below(k, got->step_count);
    uint64_t number = 0;
    SlowBar slow = {.p = p, .shown = shown};
    const PathBar bar = random_bar(k, &got->steps[step], step, &slow.part, &number);
    People people;
    CHECK(query_paths_people(&k->ctx, q, p, got, &bar, &people) == ERR_OK);
    kit_expect_people(k, &people, share_in_paths, &slow);
    CHECK((p->persons ? (PeopleSum)people.count : people.amount) == (PeopleSum)number);
}

static uint32_t compare_paths(Kit *k, const Query *q, const Path *p)
{
    PathResult got;
    Slow s;
    uint32_t steps = 0, others = 0;
    Shown *shown = ARENA_ARRAY(k->ctx.arena, Shown, PATH_STEPS_MAX + 1);
    CHECK(query_paths(&k->ctx, q, p, &got) == ERR_OK);
    slow_paths(k, p, &s);
    uint32_t distinct[PATH_STEPS_MAX];
    for (uint32_t step = 0; step < p->steps; step++) {
        distinct[step] = slow_ranking(k, &s, step, &shown[step]);
        steps += distinct[step] > 0;
    }
    EXPECT_I64(got.step_count, steps);
    for (uint32_t step = 0; step < got.step_count; step++) {
        const bool other = shown[step].count < distinct[step];
        others += other;
        EXPECT_I64(got.steps[step].distinct, distinct[step]);
        EXPECT_I64(got.steps[step].node_count, shown[step].count + other);
        compare_step(&s, shown, step, &got.steps[step]);
    }
    for (int i = 0; i < 3; i++)
        compare_people(k, q, p, shown, &got);
    return others;
}

/* `gap_ms` decides what lies together; the rest by chance. */
static uint32_t compare_random_path(Kit *k, const KitShape *shape, const Query *q, int64_t gap_ms)
{
    static const ScanProp prop = {KIT_PROP(0), 0};
    static const int64_t windows[] = {0, 0, 1, 3600000, 86400000};
    uint32_t of[8], from[8], to[8];
    const ScanSelect anchor = random_select(k, shape, from), goal = random_select(k, shape, to);
    Path p = {.of = random_select(k, shape, of),
              .anchor = kit_below(k, 2) == 0 ? &anchor : NULL,
              .backward = kit_below(k, 2) == 0,
              .steps = 1 + kit_below(k, 6),
              .top = 1 + kit_below(k, 4),
              .gap_ms = gap_ms,
              .repeats = kit_below(k, 2) == 0,
              .persons = kit_below(k, 2) == 0,
              .first = kit_below(k, 3) == 0,
              .window_ms = windows[kit_below(k, ARRAY_LEN(windows))],
              .prop = kit_below(k, 3) == 0 ? &prop : NULL};
    if (p.anchor != NULL && !p.backward && kit_below(k, 2) == 0)
        p.goal = &goal;
    return compare_paths(k, q, &p);
}

static void random_paths(void)
{
    uint32_t others = 0;
    for (size_t i = 0; i < ARRAY_LEN(SHAPES); i++) {
        Kit k;
        kit_open(&k, 80 + i, &SHAPES[i], 3);
        const Query q = {.view = &k.view, .crew = crew};
        const int64_t gaps[] = {0, 1800000, 86400000, 604800000, 1234567};
        kit_move_some(&k);
        for (int round = 0; round < 24; round++)
            others += compare_random_path(&k, &SHAPES[i], &q, gaps[kit_below(&k, 5)]);
        kit_close(&k);
    }
    CHECK(others > 20); /* else little was shown */
}

TEST(paths_are_those_of_the_slow_way_with_every_kernel_and_crew)
{
    kit_each_kernel_and_crew(random_paths, &crew);
}

/* ---- transitions --------------------------------------------------------------------------------- */

typedef struct SlowPair {
    uint32_t from, to;
    uint64_t count;
} SlowPair;

static int by_pair(const void *a, const void *b)
{
    const SlowPair *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return x->from != y->from ? (x->from < y->from ? -1 : 1) : (x->to > y->to) - (x->to < y->to);
}

static uint32_t slow_pairs(Kit *k, const Transitions *t, SlowPair **out)
{
    KitRow **sorted = kit_sorted(k);
    SlowPair *pairs = ARENA_ARRAY(k->ctx.arena, SlowPair, k->count + 1);
    const KitRow *before = NULL;
    uint32_t n = 0;
    for (uint32_t i = 0; i < k->count; i++) {
        const KitRow *r = sorted[i];
        if (r->person == 0 || r->time_ms < t->of.from_ms || r->time_ms >= t->of.to_ms ||
            !kit_takes(&t->of, r))
            continue;
        if (before != NULL && before->person == r->person &&
            r->time_ms - before->time_ms <= t->gap_ms &&
            (t->repeats || before->event != r->event)) {
            uint32_t at = 0;
            while (at < n && (pairs[at].from != before->event || pairs[at].to != r->event))
                at++;
            pairs[at].from = before->event;
            pairs[at].to = r->event;
            pairs[at].count++;
            n += at == n;
        }
        before = r;
    }
    qsort(pairs, n, sizeof *pairs, by_pair);
    *out = pairs;
    return n;
}

typedef struct SlowPairs {
    const Transitions *t;
    const Transition *pair;
} SlowPairs;

static KitShare share_in_pairs(Kit *alone, const void *arg)
{
    const SlowPairs *b = arg;
    SlowPair *pairs = NULL;
    uint64_t count = 0;
    const uint32_t n = slow_pairs(alone, b->t, &pairs);
    for (uint32_t i = 0; i < n; i++)
        if (pairs[i].from == b->pair->from && pairs[i].to == b->pair->to)
            count = pairs[i].count;
    return (KitShare){count > 0, (PeopleSum)count};
}

static void compare_people_of_pair(Kit *k, const Query *q, const Transitions *t,
                                   const TransitionsResult *got)
{
    if (got->count == 0)
        return;
    const Transition *pair = &got->rows[kit_below(k, got->count)];
    People people;
    CHECK(query_transitions_people(&k->ctx, q, t, pair->from, pair->to, &people) == ERR_OK);
    kit_expect_people(k, &people, share_in_pairs, &(SlowPairs){t, pair});
    CHECK(people.amount == (PeopleSum)pair->count && people.nobodys == 0);
}

static void compare_transitions(Kit *k, const Query *q, const Transitions *t)
{
    TransitionsResult got;
    SlowPair *want = NULL;
    uint64_t total = 0;
    CHECK(query_transitions(&k->ctx, q, t, &got) == ERR_OK);
    const uint32_t n = slow_pairs(k, t, &want);
    for (uint32_t i = 0; i < n; i++)
        total += want[i].count;
    EXPECT_I64(got.distinct, n);
    EXPECT_I64((int64_t)got.total, (int64_t)total);
    EXPECT_I64(got.count, n < t->top ? n : t->top);
    for (uint32_t i = 0; i < got.count; i++)
        CHECK(got.rows[i].from == want[i].from && got.rows[i].to == want[i].to &&
              got.rows[i].count == want[i].count);
    compare_people_of_pair(k, q, t, &got);
}

/* Times that leave out nothing, or whole seconds: then weeks can be walked. */
static Transitions random_transitions(Kit *k, const KitShape *shape, uint32_t *events)
{
    const int64_t gaps[] = {0, 1000, 1800000, 86400000, 432000000, 604800000, 1234567};
    Transitions t = {.of = random_select(k, shape, events),
                     .gap_ms = gaps[kit_below(k, ARRAY_LEN(gaps))],
                     .repeats = kit_below(k, 2) == 0,
                     .top = 1 + kit_below(k, 30)};
    if (kit_below(k, 3) > 0)
        t.of.filter = NULL;
    t.of.from_ms += kit_below(k, 6) == 0 ? 500 : 0;
    return t;
}

/* Many within a second, at the ends of weeks too, so that milliseconds and parts decide. */
static const KitShape CROWDS[] = {
    {.rows = 3000, .persons = 2100, .events = 4, .weeks = 3, .ties = 60, .nobody = 20},
    {.rows = 3000, .persons = 5, .events = 9, .weeks = 3, .ties = 5, .nobody = 20},
    {.rows = 1000,
     .persons = 30,
     .events = 400,
     .weeks = 2,
     .whole_seconds = true,
     .ties = 30,
     .nobody = 10}};

static void random_pairs(void)
{
    for (size_t i = 0; i < ARRAY_LEN(CROWDS); i++)
        for (uint32_t fan = 1; fan <= 4; fan += 1 + fan / 2) {
            Kit k;
            kit_open(&k, 90 + i, &CROWDS[i], 4);
            if (fan > 1)
                kit_merge(&k, fan);
            else
                kit_move_some(&k);
            const Query q = {.view = &k.view, .crew = crew};
            for (int round = 0; round < 14; round++) {
                uint32_t events[8];
                const Transitions t = random_transitions(&k, &CROWDS[i], events);
                compare_transitions(&k, &q, &t);
            }
            kit_close(&k);
        }
}

TEST(transitions_are_those_of_the_slow_way_with_every_kernel_and_crew)
{
    kit_each_kernel_and_crew(random_pairs, &crew);
}

static int by_week(const void *a, const void *b)
{
    return part_order(*(Part *const *)a, *(Part *const *)b);
}

/* Few persons and instants, a second or a millisecond apart, most of them where a week ends: the order of parts,
 * milliseconds, and gaps of exactly so many seconds decide everything. */
static void open_crowd(Kit *k, uint64_t seed, uint32_t slices)
{
    enum { ROWS = 240, WEEKS = 3 };
    static const int64_t steps_ms[] = {0, 1, 500, 999, 1000, 1001, 2000, 3000, 3001};
    *k = (Kit){.ctx.arena = arena_new(1 << 20), .random = prng_of(seed), .count = ROWS};
    k->rows = ARENA_ARRAY(k->ctx.arena, KitRow, ROWS);
    k->view.parts = ARENA_ARRAY(k->ctx.arena, Part *, (size_t)slices * (WEEKS + 1));
    k->view.person_count = PART_BLOCK_PERSONS + 8;
    RowBuffer b = {0};
    for (uint32_t i = 0; i < ROWS; i++) {
        KitRow *r = &k->rows[i];
        *r = (KitRow){.person = PART_BLOCK_PERSONS + kit_below(k, 6),
                      .event = 1 + kit_below(k, 3),
                      .seq = i,
                      .time_ms = KIT_ORIGIN_MS + (1 + kit_below(k, WEEKS)) * PART_WEEK_MS - 3000 +
                                 steps_ms[kit_below(k, ARRAY_LEN(steps_ms))] +
                                 steps_ms[kit_below(k, ARRAY_LEN(steps_ms))]};
        for (int v = 0; v < KIT_PROPS; v++)
            r->values[v] = SCAN_MISSING;
        rows_add(&b, r->time_ms, r->person, r->event);
        if ((i + 1) % (ROWS / slices) != 0)
            continue;
        Part **made = NULL;
        uint32_t n = 0;
        CHECK(rows_build(&k->ctx, &b, KIT_ORIGIN_MS, i, i + 1, &made, &n) == ERR_OK);
        memcpy(k->view.parts + k->view.part_count, made, n * sizeof(Part *));
        k->view.part_count += n;
        rows_clear(&b);
    }
    rows_free(&b);
    qsort(k->view.parts, k->view.part_count, sizeof(Part *), by_week);
}

static void crowded_pairs(void)
{
    for (uint64_t seed = 0; seed < 12; seed++) {
        Kit k;
        open_crowd(&k, seed, 1 + (uint32_t)seed % 5);
        const Query q = {.view = &k.view, .crew = crew};
        for (int round = 0; round < 12; round++) {
            const int64_t gaps[] = {1000, 2000, 3000, 999, 1001};
            const int64_t from_ms = KIT_ORIGIN_MS + (int64_t)kit_below(&k, 2) * PART_WEEK_MS;
            static const uint32_t two[] = {1, 3};
            const Transitions t = {.of = {.events = kit_below(&k, 3) == 0 ? two : NULL,
                                          .event_count = 2,
                                          .from_ms = from_ms + 1000 * (int64_t)kit_below(&k, 3),
                                          .to_ms = from_ms + PART_WEEK_MS * (1 + kit_below(&k, 3)) -
                                                   1000 * (int64_t)kit_below(&k, 3)},
                                   .gap_ms = gaps[kit_below(&k, ARRAY_LEN(gaps))],
                                   .repeats = kit_below(&k, 3) > 0,
                                   .top = 20};
            compare_transitions(&k, &q, &t);
        }
        kit_close(&k);
    }
}

static void crowded_paths(void)
{
    static const KitShape shape = {.events = 3, .weeks = 4};
    for (uint64_t seed = 20; seed < 28; seed++) {
        Kit k;
        open_crowd(&k, seed, 1 + (uint32_t)seed % 5);
        const Query q = {.view = &k.view, .crew = crew};
        const int64_t gaps[] = {0, 1000, 2000, 3000, 999};
        for (int round = 0; round < 12; round++)
            compare_random_path(&k, &shape, &q, gaps[kit_below(&k, 5)]);
        kit_close(&k);
    }
}

TEST(paths_between_weeks_and_within_a_second_are_those_of_the_slow_way)
{
    kit_each_kernel_and_crew(crowded_paths, &crew);
}

TEST(transitions_between_weeks_and_within_a_second_are_those_of_the_slow_way)
{
    kit_each_kernel_and_crew(crowded_pairs, &crew);
}
