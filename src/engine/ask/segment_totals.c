/*
 * engine/ask/segment_totals.c
 */
#include "engine/ask/segment_totals.h"

#include <stdlib.h>

static const int64_t ONE = INT64_C(1000000000000000000);

/* ---- tests ------------------------------------------------------------------------------------------- */

/* -1, 0, 1: below, at, above.  Whole units first, then what is left of both as parts of one. */
static int compare(const SegmentMeasured *m, const SegmentNumber *n)
{
    SegmentWide whole = m->sum, rest = 0;
    if (m->divisor > 1) {
        whole = m->sum / m->divisor;
        rest = m->sum % m->divisor;
        whole -= rest < 0;
        rest += rest < 0 ? m->divisor : 0;
    }
    if (whole != n->whole)
        return whole < n->whole ? -1 : 1;
    const SegmentWide left = rest * ONE, right = (SegmentWide)n->part * m->divisor;
    return (left > right) - (left < right);
}

static bool lies_in(const SegmentMeasured *m, const SegmentRange *r)
{
    const int from = compare(m, &r->from), to = compare(m, &r->to);
    return (r->without_from ? from > 0 : from >= 0) && (r->without_to ? to < 0 : to <= 0);
}

bool segment_takes(const SegmentTest *t, const SegmentMeasured *m)
{
    bool in = false;
    for (uint32_t i = 0; m->divisor > 0 && i < t->range_count && !in; i++)
        in = lies_in(m, &t->ranges[i]);
    return in != t->negated;
}

/* ---- which leaves ---------------------------------------------------------------------------------------- */

static bool has_total(const SegmentTest *t)
{
    switch (t->measure) {
    case SEGMENT_COUNT:
        return true;
    case SEGMENT_SUM:
    case SEGMENT_AVG:
    case SEGMENT_MIN:
    case SEGMENT_MAX:
        return t->column != SEGMENT_TIME;
    case SEGMENT_DAYS:
    case SEGMENT_DISTINCT:
        break;
    }
    return false;
}

bool segment_has_totals(const Segment *leaf)
{
    bool all = leaf->kind == SEGMENT_TESTS && leaf->test_count <= SEGMENT_TOTALS_MAX;
    for (uint32_t i = 0; all && i < leaf->test_count; i++)
        all = has_total(&leaf->tests[i]);
    return all;
}

SegmentAdding segment_adding(Arena *arena, const ScanView *view, const Segment *leaf)
{
    const ScanSelect *select = &leaf->selects[0];
    int64_t *bounds = ARENA_ARRAY(arena, int64_t, 2);
    BucketPlaces *places = ARENA_ARRAY(arena, BucketPlaces, (size_t)view->part_count + 1);
    bool *keys = ARENA_ARRAY(arena, bool, (size_t)view->part_count + 1);
    bounds[0] = select->from_ms;
    bounds[1] = select->to_ms;
    for (uint32_t i = 0; i < view->part_count; i++) {
        places[i] = bucket_places(arena, bounds, 1, view->parts[i]->head);
        keys[i] = true;
    }
    return (SegmentAdding){leaf, places, keys};
}

static bool adds_up(const SegmentTest *t)
{
    return t->measure == SEGMENT_SUM || t->measure == SEGMENT_AVG;
}

/* Over each strip: one per test with values, and the first that adds up counts, too; else one that only counts. */
static void plan_passes(SegmentTotals *t)
{
    t->counting = SEGMENT_TOTALS_MAX;
    for (uint32_t i = 0; i < t->leaf->test_count; i++) {
        const SegmentTest *test = &t->leaf->tests[i];
        if (t->of[i] == NULL || test->column == SEGMENT_ABSENT)
            continue;
        if (t->counting == SEGMENT_TOTALS_MAX && adds_up(test))
            t->counting = i;
        t->passes[t->pass_count++] = i;
    }
    if (t->counting == SEGMENT_TOTALS_MAX)
        t->passes[t->pass_count++] = SEGMENT_TOTALS_MAX;
}

SegmentTotals *segment_totals_new(const ScanView *view, const SegmentAdding *of)
{
    const Segment *leaf = of->leaf;
    SegmentTotals *t = calloc(1, sizeof *t);
    CHECK(t != NULL);
    t->leaf = leaf;
    t->strips = strips_new(
        view, &(StripAsk){.select = leaf->selects,
                          .keys = of->keys,
                          .by_block = scan_asks_of_changes(leaf->props, leaf->prop_count)});
    strip_times_open(&t->times, of->places, 1);
    t->values = strip_room(sizeof *t->values);
    t->factors = strip_room(sizeof *t->factors);
    t->picked = strip_room(sizeof *t->picked);
    t->persons = strip_room(sizeof *t->persons);
    for (uint32_t i = 0; i < leaf->test_count; i++) {
        if (leaf->tests[i].measure == SEGMENT_COUNT)
            continue;
        t->of[i] = calloc(1, sizeof *t->of[i]);
        CHECK(t->of[i] != NULL);
    }
    plan_passes(t);
    return t;
}

void segment_totals_free(SegmentTotals *t)
{
    if (t == NULL)
        return;
    strips_free(t->strips);
    strip_times_close(&t->times);
    filter_scratch_free(&t->scratch);
    free(t->values);
    free(t->factors);
    free(t->picked);
    free(t->persons);
    for (uint32_t i = 0; i < SEGMENT_TOTALS_MAX; i++)
        free(t->of[i]);
    free(t);
}

bool segment_totals_damaged(const SegmentTotals *t)
{
    return t->damaged || strips_damaged(t->strips) > 0;
}

/* ---- rows ------------------------------------------------------------------------------------------------ */

/* Rows that match, one behind the other: whose = first + keys[i] >> shift. */
typedef struct Matching {
    const uint32_t *keys;
    int shift;
    uint32_t first, count;
    const int64_t *values; /* of the test under way */
} Matching;

static inline uint32_t person_of(const Matching *m, uint32_t i)
{
    return m->first + (m->keys[i] >> m->shift);
}

static void count_rows(SegmentTotals *t, const Matching *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        t->rows[person_of(m, i)]++;
}

static bool is_beyond(SegmentMeasure measure, int64_t value, int64_t than)
{
    return measure == SEGMENT_MIN ? value < than : value > than;
}

static void keep_extremes(SegmentTotal *total, SegmentMeasure measure, const Matching *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        const int64_t value = m->values[i];
        const uint32_t person = person_of(m, i);
        if (value != SCAN_MISSING &&
            (total->known[person]++ == 0 || is_beyond(measure, value, total->values[person])))
            total->values[person] = value;
    }
}

/* A person's rows lie beside each other, so each addition waits for the one before: two totals are not slower than one.
 * False: a sum is too large. */
static bool count_and_add(SegmentTotals *t, SegmentTotal *total, const Matching *m, bool count)
{
    uint32_t *const rows = t->rows;
    int64_t *const sums = total->values;
    bool over = false;
    for (uint32_t i = 0; i < m->count; i++) {
        const uint32_t person = person_of(m, i);
        const int64_t value = m->values[i];
        rows[person] += count;
        over |=
            __builtin_add_overflow(sums[person], value == SCAN_MISSING ? 0 : value, &sums[person]);
    }
    return !over;
}

static void count_values(SegmentTotal *total, const Matching *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        total->known[person_of(m, i)] += m->values[i] != SCAN_MISSING;
}

static void take_values(SegmentTotals *t, uint32_t test, const Matching *m)
{
    const SegmentMeasure measure = t->leaf->tests[test].measure;
    if (measure == SEGMENT_MIN || measure == SEGMENT_MAX) {
        keep_extremes(t->of[test], measure, m);
        return;
    }
    t->is_over |= !count_and_add(t, t->of[test], m, test == t->counting);
    if (measure == SEGMENT_AVG)
        count_values(t->of[test], m);
}

/* What is done with the rows that match; `test` SEGMENT_TOTALS_MAX: they are counted. */
static void take_rows(SegmentTotals *t, uint32_t test, const Matching *m)
{
    if (test == SEGMENT_TOTALS_MAX)
        count_rows(t, m);
    else
        take_values(t, test, m);
}

/* All rows of the strip: as their keys are. */
static void take_all(SegmentTotals *t, const Strip *strip, uint32_t test)
{
    for (uint32_t c = 0; c < strip->cut_count; c++) {
        const StripCut *cut = &strip->cuts[c];
        const Matching m = {.keys = strip->at.keys + cut->row,
                            .shift = PART_SECOND_BITS,
                            .first = (cut->block - t->block) << PART_BLOCK_BITS,
                            .count = cut[1].row - cut->row,
                            .values = t->values + cut->row};
        take_rows(t, test, &m);
    }
}

/* The picked ones: whose they are was found before. */
static void take_picked(SegmentTotals *t, uint32_t picked, uint32_t test)
{
    for (uint32_t i = 0; test < SEGMENT_TOTALS_MAX && i < picked; i++)
        t->values[i] = t->values[t->picked[i]];
    take_rows(t, test, &(Matching){.keys = t->persons, .count = picked, .values = t->values});
}

static uint32_t pick(SegmentTotals *t, const Strip *strip, const uint64_t *set)
{
    const uint32_t picked = kernels()->rows_of(set, strip->at.count, t->picked);
    uint32_t i = 0;
    for (const StripCut *cut = strip->cuts; i < picked; cut++) {
        const uint32_t first = (cut->block - t->block) << PART_BLOCK_BITS, end = cut[1].row;
        for (; i < picked && t->picked[i] < end; i++)
            t->persons[i] = first + (strip->at.keys[t->picked[i]] >> PART_SECOND_BITS);
    }
    return picked;
}

/* A product that does not fit at its scale may still be a number without the zeros at its end. */
static void multiply(SegmentTotals *t, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++) {
        const int64_t a = t->values[i], b = t->factors[i];
        t->values[i] = SCAN_MISSING;
        if (a == SCAN_MISSING || b == SCAN_MISSING)
            continue;
        t->is_over |= __builtin_mul_overflow(a, b, &t->values[i]) || t->values[i] == SCAN_MISSING;
    }
}

static bool read_values(SegmentTotals *t, const Strip *strip, uint32_t test)
{
    const uint32_t rows = strip->at.count;
    if (test == SEGMENT_TOTALS_MAX)
        return true;
    const SegmentTest *of = &t->leaf->tests[test];
    const ScanProp *props = t->leaf->props + of->column;
    if (!strip_values(strip, rows, props[0], &t->scratch, t->values) ||
        (of->product && !strip_values(strip, rows, props[1], &t->scratch, t->factors)))
        return false;
    if (of->product)
        multiply(t, rows);
    return true;
}

static void take_strip(const Strip *strip, void *arg)
{
    SegmentTotals *t = arg;
    const uint64_t *set = NULL;
    if (!strip_within(&t->times, strip, &set)) {
        t->damaged = true;
        return;
    }
    const uint32_t n = set == NULL ? strip->at.count : pick(t, strip, set);
    t->any = t->any || n > 0;
    for (uint32_t i = 0; i < t->pass_count && n > 0; i++) {
        if (!read_values(t, strip, t->passes[i]))
            t->damaged = true;
        else if (set == NULL)
            take_all(t, strip, t->passes[i]);
        else
            take_picked(t, n, t->passes[i]);
    }
}

/* What the persons of the blocks before had. */
static void forget(SegmentTotals *t)
{
    memset(t->rows, 0, sizeof t->rows);
    for (uint32_t i = 0; i < t->leaf->test_count; i++)
        if (t->of[i] != NULL)
            memset(t->of[i], 0, sizeof *t->of[i]);
}

/* ---- persons --------------------------------------------------------------------------------------------- */

/* Who have from `least` to `most` rows. */
static void who_has(const SegmentTotals *t, uint32_t persons, uint32_t least, uint32_t most,
                    uint64_t *out)
{
    kernels()->in_range(t->rows, persons, UINT32_MAX, least, most - least, out);
}

static SegmentMeasured measured(const SegmentTotals *t, uint32_t test, SegmentMeasure measure,
                                uint32_t person)
{
    if (measure == SEGMENT_COUNT)
        return (SegmentMeasured){t->rows[person], 1};
    const uint32_t known = t->of[test]->known[person];
    const int64_t divisor = measure == SEGMENT_SUM ? 1 : measure == SEGMENT_AVG ? known : known > 0;
    return (SegmentMeasured){t->of[test]->values[person], divisor};
}

static void ask_each(SegmentTotals *t, uint32_t test, uint32_t word)
{
    const SegmentTest *of = &t->leaf->tests[test];
    for (uint64_t left = t->holds[word]; left != 0; left &= left - 1) {
        const uint32_t person = word * 64 + (uint32_t)__builtin_ctzll(left);
        const SegmentMeasured m = measured(t, test, of->measure, person);
        if (!segment_takes(of, &m))
            t->holds[word] ^= left & -left;
    }
}

/* One range of whole units: [low, high]; none when low > high. */
typedef struct Span {
    int64_t low, high;
} Span;

static Span span_of(const SegmentRange *r)
{
    const SegmentWide from = r->from.whole + (r->from.part > 0 || r->without_from);
    const SegmentWide to = r->to.whole - (r->to.part == 0 && r->without_to);
    if (from > INT64_MAX || to < INT64_MIN)
        return (Span){1, 0};
    return (Span){from < INT64_MIN ? INT64_MIN : (int64_t)from,
                  to > INT64_MAX ? INT64_MAX : (int64_t)to};
}

static void ask_sums(SegmentTotals *t, uint32_t test, uint32_t word, Span span)
{
    const int64_t *const sums = t->of[test]->values + (size_t)word * 64;
    const bool negated = t->leaf->tests[test].negated;
    uint64_t out = 0;
    for (uint64_t left = t->holds[word]; left != 0; left &= left - 1) {
        const uint32_t i = (uint32_t)__builtin_ctzll(left);
        const bool in = (sums[i] >= span.low) & (sums[i] <= span.high);
        out |= (uint64_t)(in != negated) << i;
    }
    t->holds[word] = out;
}

static void ask_rows(SegmentTotals *t, uint32_t words, bool negated, Span span)
{
    const uint32_t low = span.low < 0 ? 0 : span.low > UINT32_MAX ? UINT32_MAX : (uint32_t)span.low;
    const uint32_t high = span.high > UINT32_MAX ? UINT32_MAX : (uint32_t)span.high;
    const uint64_t flip = negated ? UINT64_MAX : 0;
    const bool none = span.low > span.high || span.high < 0 || span.low > UINT32_MAX;
    who_has(t, words * 64, low, high, t->asked);
    for (uint32_t i = 0; i < words; i++)
        t->holds[i] &= (none ? 0 : t->asked[i]) ^ flip;
}

/* One range of what is never missing and never divided is one of whole units. */
static bool is_plain(const SegmentTest *t)
{
    return t->range_count == 1 && (t->measure == SEGMENT_COUNT || t->measure == SEGMENT_SUM);
}

static void ask(SegmentTotals *t, uint32_t test, uint32_t words)
{
    const SegmentTest *of = &t->leaf->tests[test];
    const Span span = is_plain(of) ? span_of(&of->ranges[0]) : (Span){0, 0};
    if (is_plain(of) && of->measure == SEGMENT_COUNT) {
        ask_rows(t, words, of->negated, span);
        return;
    }
    for (uint32_t word = 0; word < words; word++)
        if (is_plain(of))
            ask_sums(t, test, word, span);
        else
            ask_each(t, test, word);
}

void segment_totals(SegmentTotals *t, uint32_t from, uint32_t to)
{
    const uint32_t persons = (to - from) << PART_BLOCK_BITS, words = persons / 64;
    t->block = from;
    if (t->any)
        forget(t);
    t->any = false;
    strips_read(t->strips, from, to, take_strip, t);
    if (!t->any) {
        memset(t->seen, 0, words * sizeof *t->seen);
        memset(t->holds, 0, words * sizeof *t->holds);
        return;
    }
    who_has(t, persons, 1, UINT32_MAX, t->seen);
    memcpy(t->holds, t->seen, words * sizeof *t->holds);
    for (uint32_t i = 0; i < t->leaf->test_count; i++)
        ask(t, i, words);
}
