/*
 * engine/segment_totals.c
 */
#include "engine/segment_totals.h"

#include "engine/kernels.h"

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

SegmentTotals *segment_totals_new(const ScanView *view, const Segment *leaf)
{
    SegmentTotals *t = calloc(1, sizeof *t);
    CHECK(t != NULL);
    t->leaf = leaf;
    t->scanner =
        scanner_new(view, &(ScanAsk){.selects = leaf->selects, .select_count = leaf->select_count});
    for (uint32_t i = 0; i < leaf->test_count; i++) {
        if (leaf->tests[i].measure == SEGMENT_COUNT)
            continue;
        t->of[i] = calloc(1, sizeof *t->of[i]);
        CHECK(t->of[i] != NULL);
    }
    return t;
}

void segment_totals_free(SegmentTotals *t)
{
    if (t == NULL)
        return;
    scanner_free(t->scanner);
    filter_scratch_free(&t->scratch);
    free(t->values);
    for (uint32_t i = 0; i < SEGMENT_TOTALS_MAX; i++)
        free(t->of[i]);
    free(t);
}

bool segment_totals_damaged(const SegmentTotals *t)
{
    return t->damaged || scanner_damaged(t->scanner) > 0;
}

/* ---- rows ------------------------------------------------------------------------------------------------ */

/* Without a branch: who has the first row becomes one who was seen. */
static inline __attribute__((always_inline)) void count_keys(SegmentTotals *t,
                                                             const uint32_t *restrict keys,
                                                             const uint8_t *restrict mask,
                                                             uint32_t n)
{
    uint16_t *restrict const persons = t->persons;
    uint32_t *restrict const rows = t->rows;
    uint32_t seen = t->person_count;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t person = keys[i] >> PART_SECOND_BITS, before = rows[person];
        const uint32_t in = mask == NULL || mask[i] != 0;
        persons[seen] = (uint16_t)person;
        seen += in & (before == 0);
        rows[person] = before + in;
    }
    t->person_count = seen;
}

static void count_rows(SegmentTotals *t, const ScanLoose *rows)
{
    if (rows->mask == NULL)
        count_keys(t, rows->keys, NULL, rows->count);
    else
        count_keys(t, rows->keys, rows->mask, rows->count);
}

static bool is_beyond(SegmentMeasure measure, int64_t value, int64_t than)
{
    return measure == SEGMENT_MIN ? value < than : value > than;
}

static void keep_extremes(SegmentTotal *total, SegmentMeasure measure, const ScanLoose *rows,
                          const int64_t *values)
{
    for (uint32_t i = 0; i < rows->count; i++) {
        const uint32_t person = rows->keys[i] >> PART_SECOND_BITS;
        int64_t *const to = &total->values[person];
        if ((rows->mask != NULL && rows->mask[i] == 0) || values[i] == SCAN_MISSING)
            continue;
        if (total->known[person]++ == 0 || is_beyond(measure, values[i], *to))
            *to = values[i];
    }
}

static inline bool is_in(const uint8_t *mask, const int64_t *values, uint32_t row)
{
    return (mask == NULL || mask[row] != 0) & (values[row] != SCAN_MISSING);
}

static inline __attribute__((always_inline)) bool add_up(int64_t *restrict sums,
                                                         const uint32_t *restrict keys,
                                                         const uint8_t *restrict mask,
                                                         const int64_t *restrict values, uint32_t n)
{
    bool over = false;
    for (uint32_t i = 0; i < n; i++) {
        int64_t *const to = &sums[keys[i] >> PART_SECOND_BITS];
        over |= __builtin_add_overflow(*to, is_in(mask, values, i) ? values[i] : 0, to);
    }
    return !over;
}

/* False: a sum is too large. */
static bool add_values(SegmentTotal *total, const ScanLoose *rows, const int64_t *values)
{
    if (rows->mask == NULL)
        return add_up(total->values, rows->keys, NULL, values, rows->count);
    return add_up(total->values, rows->keys, rows->mask, values, rows->count);
}

static void count_values(SegmentTotal *total, const ScanLoose *rows, const int64_t *values)
{
    for (uint32_t i = 0; i < rows->count; i++)
        total->known[rows->keys[i] >> PART_SECOND_BITS] += is_in(rows->mask, values, i);
}

static void take_values(SegmentTotals *t, uint32_t test, const ScanLoose *rows,
                        const int64_t *values)
{
    const SegmentMeasure measure = t->leaf->tests[test].measure;
    if (measure == SEGMENT_MIN || measure == SEGMENT_MAX) {
        keep_extremes(t->of[test], measure, rows, values);
        return;
    }
    t->is_over |= !add_values(t->of[test], rows, values);
    if (measure == SEGMENT_AVG)
        count_values(t->of[test], rows, values);
}

static int64_t *room_for(SegmentTotals *t, uint32_t rows)
{
    if (rows > t->value_cap) {
        free(t->values);
        t->value_cap = rows + rows / 2;
        t->values = malloc(((size_t)t->value_cap + KERNEL_SLACK) * sizeof *t->values);
        CHECK(t->values != NULL);
    }
    return t->values;
}

static void take_rows(const ScanLoose *rows, void *arg)
{
    SegmentTotals *t = arg;
    count_rows(t, rows);
    for (uint32_t i = 0; i < t->leaf->test_count; i++) {
        const SegmentTest *test = &t->leaf->tests[i];
        if (t->of[i] == NULL || test->column == SEGMENT_ABSENT)
            continue;
        int64_t *const values = room_for(t, rows->count);
        if (scan_values(rows->at, t->leaf->props[test->column], &t->scratch, values))
            take_values(t, i, rows, values);
        else
            t->damaged = true;
    }
}

/* What the persons of the piece before had. */
static void forget(SegmentTotals *t)
{
    for (uint32_t i = 0; i < t->person_count; i++) {
        const uint32_t person = t->persons[i];
        t->rows[person] = 0;
        for (uint32_t k = 0; k < t->leaf->test_count; k++)
            if (t->of[k] != NULL) {
                t->of[k]->values[person] = 0;
                t->of[k]->known[person] = 0;
            }
    }
    t->person_count = 0;
}

/* ---- persons --------------------------------------------------------------------------------------------- */

static SegmentMeasured measured(const SegmentTotals *t, uint32_t test, SegmentMeasure measure,
                                uint32_t person)
{
    if (measure == SEGMENT_COUNT)
        return (SegmentMeasured){t->rows[person], 1};
    const uint32_t known = t->of[test]->known[person];
    const int64_t divisor = measure == SEGMENT_SUM ? 1 : measure == SEGMENT_AVG ? known : known > 0;
    return (SegmentMeasured){t->of[test]->values[person], divisor};
}

static void ask_each(SegmentTotals *t, uint32_t test)
{
    const SegmentTest *of = &t->leaf->tests[test];
    for (uint32_t i = 0; i < t->person_count; i++) {
        const SegmentMeasured m = measured(t, test, of->measure, t->persons[i]);
        t->holds[i] &= segment_takes(of, &m);
    }
}

/* One range of what is never missing and never divided is one of whole units: no branch is needed. */
static bool is_plain(const SegmentTest *t)
{
    return t->range_count == 1 && (t->measure == SEGMENT_COUNT || t->measure == SEGMENT_SUM);
}

static void ask_plainly(SegmentTotals *t, uint32_t test)
{
    const SegmentTest *of = &t->leaf->tests[test];
    const SegmentRange *r = &of->ranges[0];
    const SegmentWide from = r->from.whole + (r->from.part > 0 || r->without_from);
    const SegmentWide to = r->to.whole - (r->to.part == 0 && r->without_to);
    const int64_t low = from < INT64_MIN ? INT64_MIN : (int64_t)from;
    const int64_t high = to > INT64_MAX ? INT64_MAX : (int64_t)to;
    const int64_t *const sums = t->of[test] == NULL ? NULL : t->of[test]->values;
    const bool none = from > INT64_MAX || to < INT64_MIN, negated = of->negated;
    for (uint32_t i = 0; i < t->person_count; i++) {
        const uint32_t person = t->persons[i];
        const int64_t value = sums == NULL ? (int64_t)t->rows[person] : sums[person];
        t->holds[i] &= (uint8_t)(((value >= low) & (value <= high) & !none) != negated);
    }
}

const SegmentTotals *segment_totals(SegmentTotals *t, uint32_t piece)
{
    forget(t);
    scanner_loose(t->scanner, piece, take_rows, t);
    memset(t->holds, 1, t->person_count);
    for (uint32_t i = 0; i < t->leaf->test_count; i++)
        if (is_plain(&t->leaf->tests[i]))
            ask_plainly(t, i);
        else
            ask_each(t, i);
    return t;
}
