/*
 * engine/ask/segment.c
 *
 * A leaf asks of each person's rows, in the order of time, what it wants to know.  Who has no row at all is not
 * in a batch: what a leaf says of no rows is computed once and written for the whole piece before its batch is
 * looked at.  Pieces are whole words of the result, so workers share it without a lock.
 *
 * What only counts and adds up (did, stopped) needs no order: see segment_totals.h.
 */
#include "engine/ask/segment_totals.h"

#include "engine/scan/ahead.h"

#include <stdlib.h>

static const int64_t DAY_MS = INT64_C(86400000);

typedef struct SegmentWorker {
    Scanner *scanner;
    void *values; /* of SEGMENT_DISTINCT */
    size_t value_bytes;
    SegmentTotals *totals; /* instead of a scanner, when the order does not matter */
} SegmentWorker;

/* The rows of one person: [from, to) of the batch. */
typedef struct Person {
    const ScanBatch *b;
    int64_t base_ms;
    uint32_t from, to;
} Person;

/* One leaf on its way. */
typedef struct LeafRun {
    const ScanView *view;
    const Segment *leaf;
    SegmentWorker *workers;
    uint32_t person_count;
    uint64_t *bits;
    bool of_none; /* what the leaf says of a person without rows */
} LeafRun;

/* ---- measures ----------------------------------------------------------------------------------- */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t time_at(const Person *p, uint32_t row)
{
    return p->base_ms + scan_ms(p->b, row);
}

static int64_t value_at(const Person *p, uint32_t column, uint32_t row)
{
    if (column == SEGMENT_TIME)
        return time_at(p, row);
    return column == SEGMENT_ABSENT ? SCAN_MISSING : p->b->values[column][row];
}

/* FILTER_NO_NUMBER: the row has none. */
static FilterWide number_at(const Person *p, const Segment *leaf, const SegmentTest *t,
                            uint32_t row)
{
    const int64_t value = value_at(p, t->column, row);
    if (value == SCAN_MISSING)
        return FILTER_NO_NUMBER;
    if (!t->product)
        return value;
    const ScanProp *factors = leaf->props + t->column;
    const int64_t other = value_at(p, t->column + 1, row);
    return other == SCAN_MISSING
               ? FILTER_NO_NUMBER
               : filter_product(value, other, factors[0].scale + factors[1].scale);
}

/* The rows ascend in time, so a day is left once. */
static int64_t count_days(const Person *p, int64_t day_ms)
{
    int64_t count = 0, last = INT64_MIN;
    for (uint32_t row = p->from; row < p->to; row++) {
        const int64_t day = floor_div(time_at(p, row) - day_ms, DAY_MS);
        count += day != last;
        last = day;
    }
    return count;
}

static SegmentMeasured sum_of(const Person *p, const Segment *leaf, const SegmentTest *t)
{
    SegmentMeasured m = {0};
    for (uint32_t row = p->from; row < p->to; row++) {
        const FilterWide value = number_at(p, leaf, t, row);
        if (value == FILTER_NO_NUMBER)
            continue;
        m.sum += value;
        m.divisor++;
    }
    if (t->measure == SEGMENT_SUM)
        m.divisor = 1;
    return m;
}

static SegmentMeasured extreme_of(const Person *p, const Segment *leaf, const SegmentTest *t)
{
    SegmentMeasured m = {0};
    for (uint32_t row = p->from; row < p->to; row++) {
        const FilterWide value = number_at(p, leaf, t, row);
        const bool beyond = t->measure == SEGMENT_MIN ? value < m.sum : value > m.sum;
        if (value != FILTER_NO_NUMBER && (m.divisor == 0 || beyond))
            m = (SegmentMeasured){value, 1};
    }
    return m;
}

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int by_product(const void *a, const void *b)
{
    const FilterWide x = *(const FilterWide *)a, y = *(const FilterWide *)b;
    return (x > y) - (x < y);
}

static void *room_for(SegmentWorker *w, size_t bytes)
{
    if (bytes > w->value_bytes) {
        free(w->values);
        w->value_bytes = bytes + bytes / 2;
        w->values = malloc(w->value_bytes);
        CHECK(w->values != NULL);
    }
    return w->values;
}

static int64_t count_distinct(SegmentWorker *w, const Person *p, uint32_t column)
{
    if (p->from == p->to)
        return 0;
    int64_t *const values = room_for(w, (p->to - p->from) * sizeof *values);
    uint32_t n = 0, distinct = 0;
    for (uint32_t row = p->from; row < p->to; row++) {
        values[n] = value_at(p, column, row);
        n += values[n] != SCAN_MISSING;
    }
    qsort(values, n, sizeof *values, by_value);
    for (uint32_t i = 0; i < n; i++)
        distinct += i == 0 || values[i] != values[i - 1];
    return distinct;
}

static int64_t count_products(SegmentWorker *w, const Person *p, const Segment *leaf,
                              const SegmentTest *t)
{
    if (p->from == p->to)
        return 0;
    FilterWide *const products = room_for(w, (p->to - p->from) * sizeof *products);
    uint32_t n = 0, distinct = 0;
    for (uint32_t row = p->from; row < p->to; row++) {
        products[n] = number_at(p, leaf, t, row);
        n += products[n] != FILTER_NO_NUMBER;
    }
    qsort(products, n, sizeof *products, by_product);
    for (uint32_t i = 0; i < n; i++)
        distinct += i == 0 || products[i] != products[i - 1];
    return distinct;
}

static SegmentMeasured measure(SegmentWorker *w, const Person *p, const Segment *leaf,
                               const SegmentTest *t)
{
    switch (t->measure) {
    case SEGMENT_DAYS:
        return (SegmentMeasured){count_days(p, t->day_ms), 1};
    case SEGMENT_SUM:
    case SEGMENT_AVG:
        return sum_of(p, leaf, t);
    case SEGMENT_MIN:
    case SEGMENT_MAX:
        return extreme_of(p, leaf, t);
    case SEGMENT_DISTINCT:
        return (SegmentMeasured){
            t->product ? count_products(w, p, leaf, t) : count_distinct(w, p, t->column), 1};
    case SEGMENT_COUNT:
        break;
    }
    return (SegmentMeasured){p->to - p->from, 1};
}

static bool test_holds(SegmentWorker *w, const Person *p, const Segment *leaf, const SegmentTest *t)
{
    const SegmentMeasured m = measure(w, p, leaf, t);
    return segment_takes(t, &m);
}

static bool tests_hold(SegmentWorker *w, const Person *p, const Segment *leaf)
{
    for (uint32_t i = 0; i < leaf->test_count; i++)
        if (!test_holds(w, p, leaf, &leaf->tests[i]))
            return false;
    return true;
}

/* ---- the other leaves ---------------------------------------------------------------------------- */

static bool takes(const Person *p, uint32_t row, uint32_t select)
{
    return (p->b->rows[row].selects >> select & 1) != 0;
}

/* Every row is one of selects[0]. */
static bool end_holds(const Person *p, const Segment *leaf)
{
    if (p->from == p->to)
        return leaf->otherwise;
    return takes(p, leaf->kind == SEGMENT_FIRST ? p->from : p->to - 1, 1);
}

/* Rows ascend, and all of selects[1] lie before those of selects[0]. */
static bool has_resumed(const Person *p, const Segment *leaf)
{
    for (uint32_t row = p->from + 1; row < p->to; row++)
        if (takes(p, row, 0))
            return takes(p, row - 1, 1) && time_at(p, row) - time_at(p, row - 1) >= leaf->span_ms;
    return false;
}

/*
 * Of all ways to step k the one that got there last is kept.  It leaves the most time for the next step, and as
 * every span only asks for nearness, it has the latest first step, too: so one way per step is enough.
 */
typedef struct Ways {
    uint32_t steps; /* that were reached */
    int64_t at_ms[SCAN_SELECTS_MAX], began_ms[SCAN_SELECTS_MAX];
} Ways;

static bool follows(const SegmentLink *link, const Ways *w, uint32_t k, int64_t at_ms)
{
    return link->span_ms == 0 ||
           at_ms - (link->of_first ? w->began_ms[k - 1] : w->at_ms[k - 1]) < link->span_ms;
}

/* From the last step down: an event is one step of a way only. */
static void take_step(const Segment *leaf, uint32_t steps, int64_t at_ms, Ways *w)
{
    while (steps != 0) {
        const uint32_t k = 31 - (uint32_t)__builtin_clz(steps);
        steps &= ~(1U << k);
        if (k > w->steps || (k > 0 && !follows(&leaf->links[k], w, k, at_ms)))
            continue;
        w->at_ms[k] = at_ms;
        w->began_ms[k] = k == 0 ? at_ms : w->began_ms[k - 1];
        w->steps = k == w->steps ? k + 1 : w->steps;
    }
}

static bool has_sequence(const Person *p, const Segment *leaf)
{
    Ways w;
    w.steps = 0;
    for (uint32_t row = p->from;
         row < p->to && w.steps < leaf->select_count && !crew_gives_up_at(row); row++)
        take_step(leaf, p->b->rows[row].selects, time_at(p, row), &w);
    return w.steps == leaf->select_count;
}

static bool leaf_holds(SegmentWorker *w, const Person *p, const Segment *leaf)
{
    switch (leaf->kind) {
    case SEGMENT_FIRST:
    case SEGMENT_LAST:
        return end_holds(p, leaf);
    case SEGMENT_RESUMED:
        return has_resumed(p, leaf);
    case SEGMENT_SEQUENCE:
        return has_sequence(p, leaf);
    case SEGMENT_TESTS:
    case SEGMENT_AND:
    case SEGMENT_OR:
    case SEGMENT_NOT:
    case SEGMENT_PERSONS:
        break;
    }
    return tests_hold(w, p, leaf);
}

/* ---- one pass ------------------------------------------------------------------------------------ */

/* Everybody of the piece, as far as there is anybody. */
static void fill_piece(uint64_t *bits, uint32_t piece, uint32_t person_count)
{
    uint64_t *const words = bits + (size_t)piece * PEOPLE_PIECE_WORDS;
    const uint32_t first = piece * SCAN_PIECE_PERSONS;
    for (uint32_t i = 0; i < PEOPLE_PIECE_WORDS; i++) {
        const uint32_t at = first + i * 64;
        const uint32_t left = person_count > at ? person_count - at : 0;
        words[i] = left >= 64 ? UINT64_MAX : (UINT64_C(1) << left) - 1;
    }
}

static void put_bit(uint64_t *bits, uint32_t person, bool value)
{
    const uint64_t bit = UINT64_C(1) << (person & 63);
    bits[person / 64] = (bits[person / 64] & ~bit) | (uint64_t)value << (person & 63);
}

static void take_piece(uint32_t worker, uint32_t piece, void *arg)
{
    const LeafRun *run = arg;
    SegmentWorker *w = &run->workers[worker];
    ScanBatch b;
    if (run->of_none)
        fill_piece(run->bits, piece, run->person_count);
    while (scanner_batch(w->scanner, piece, &b))
        for (uint32_t i = 0; i < b.person_count && !crew_gives_up(scan_rows_of(&b, i)); i++) {
            const Person p = {&b, scanner_base_ms(w->scanner), b.from[i], b.from[i + 1]};
            put_bit(run->bits, b.persons[i], leaf_holds(w, &p, run->leaf));
        }
}

static void take_totals(uint32_t worker, uint32_t piece, void *arg)
{
    const LeafRun *run = arg;
    SegmentTotals *t = run->workers[worker].totals;
    const uint32_t from = 1 + piece * SEGMENT_TOTALS_BLOCKS; /* nobody's block is the first */
    const uint32_t left = scan_pieces(run->view) - from;
    const uint32_t to = from + (left < SEGMENT_TOTALS_BLOCKS ? left : SEGMENT_TOTALS_BLOCKS);
    uint64_t *const bits = run->bits + (size_t)from * PEOPLE_PIECE_WORDS;
    segment_totals(t, from, to);
    for (uint32_t block = from; run->of_none && block < to; block++)
        fill_piece(run->bits, block, run->person_count);
    for (uint32_t i = 0; i < (to - from) * PEOPLE_PIECE_WORDS; i++)
        bits[i] = (bits[i] & ~t->seen[i]) | t->holds[i];
}

static void open_worker(SegmentWorker *w, const ScanView *view, const Segment *leaf,
                        const SegmentAdding *totals)
{
    if (totals != NULL)
        w->totals = segment_totals_new(view, totals);
    else
        w->scanner = scanner_new(view, &(ScanAsk){.selects = leaf->selects,
                                                  .select_count = leaf->select_count,
                                                  .props = leaf->props,
                                                  .prop_count = leaf->prop_count});
}

/* Whether it met damage. */
static bool close_worker(SegmentWorker *w)
{
    const bool damaged =
        w->totals != NULL ? segment_totals_damaged(w->totals) : scanner_damaged(w->scanner) > 0;
    segment_totals_free(w->totals);
    scanner_free(w->scanner);
    free(w->values);
    return damaged;
}

static Err add_up(Ctx *ctx, const Query *q, LeafRun *run)
{
    const uint32_t pieces = scan_pieces(q->view), blocks = pieces > 0 ? pieces - 1 : 0;
    const CrewJob job = {.pieces = (blocks + SEGMENT_TOTALS_BLOCKS - 1) / SEGMENT_TOTALS_BLOCKS,
                         .grain = 1,
                         .piece = take_totals,
                         .arg = run,
                         .until_us = q->until_us,
                         .stop = q->stop};
    return crew_run(ctx, q->crew, &job);
}

/* *over: it has to be run once more, without totals. */
static Err run_pass(Ctx *ctx, const Query *q, LeafRun *run, bool by_totals, bool *over)
{
    const uint32_t size = crew_size(q->crew);
    const SegmentAdding adding =
        by_totals ? segment_adding(ctx->arena, q->view, run->leaf) : (SegmentAdding){0};
    bool damaged = false;
    *over = false;
    for (uint32_t i = 0; i < size; i++)
        open_worker(&run->workers[i], q->view, run->leaf, by_totals ? &adding : NULL);
    const Err err =
        by_totals ? add_up(ctx, q, run) : query_pieces(ctx, q, QUERY_PERSONS, take_piece, run);
    for (uint32_t i = 0; i < size; i++) {
        *over |= by_totals && run->workers[i].totals->is_over;
        damaged |= close_worker(&run->workers[i]);
    }
    TRY(err);
    return damaged ? fail(ctx, ERR_INTERNAL, "events.part_damaged", "a segment met damage")
                   : ERR_OK;
}

/* `bits` are all 0. */
static Err run_leaf(Ctx *ctx, const Query *q, const Segment *leaf, size_t words, uint64_t *bits)
{
    if (leaf->select_count > SCAN_SELECTS_MAX)
        return fail(ctx, ERR_INVALID, "query.too_large", "%u steps", leaf->select_count);
    const ScanAsk ask = {.selects = leaf->selects,
                         .select_count = leaf->select_count,
                         .props = leaf->props,
                         .prop_count = leaf->prop_count};
    TRY(ahead_of_scan(ctx, q, &ask, leaf->kind != SEGMENT_TESTS));
    const Person none = {0};
    LeafRun run = {
        .view = q->view, .leaf = leaf, .person_count = q->view->person_count, .bits = bits};
    run.of_none = leaf_holds(NULL, &none, leaf);
    run.workers = calloc(crew_size(q->crew), sizeof *run.workers);
    CHECK(run.workers != NULL);
    bool over = false;
    Err err = run_pass(ctx, q, &run, segment_has_totals(leaf), &over);
    if (err == ERR_OK && over) {
        memset(bits, 0, words * sizeof *bits);
        memset(run.workers, 0, crew_size(q->crew) * sizeof *run.workers);
        err = run_pass(ctx, q, &run, false, &over);
    }
    free(run.workers);
    return err;
}

/* ---- trees --------------------------------------------------------------------------------------- */

typedef struct Run {
    Ctx *ctx;
    const Query *q;
    size_t words;
    uint64_t *spare[SEGMENT_DEPTH_MAX]; /* per depth: what an argument gave */
} Run;

static void everybody(const Run *r, uint64_t *bits)
{
    for (uint32_t piece = 1; piece < scan_pieces(r->q->view); piece++)
        fill_piece(bits, piece, r->q->view->person_count);
}

static void join(SegmentKind kind, size_t words, const uint64_t *from, uint64_t *into)
{
    if (kind == SEGMENT_AND)
        for (size_t i = 0; i < words; i++)
            into[i] &= from[i];
    else if (kind == SEGMENT_OR)
        for (size_t i = 0; i < words; i++)
            into[i] |= from[i];
    else /* of everybody */
        for (size_t i = 0; i < words; i++)
            into[i] &= ~from[i];
}

static bool any(const Run *r, const uint64_t *bits)
{
    uint64_t all = 0;
    for (size_t i = 0; i < r->words; i++)
        all |= bits[i];
    return all != 0;
}

static uint64_t *spare_at(Run *r, uint32_t depth)
{
    if (r->spare[depth] == NULL)
        r->spare[depth] = malloc((r->words + 1) * sizeof(uint64_t));
    CHECK(r->spare[depth] != NULL);
    return r->spare[depth];
}

/* Recursion is bounded: whoever makes segments keeps to SEGMENT_DEPTH_MAX. */
static Err evaluate(Run *r, const Segment *s, uint32_t depth, uint64_t *bits)
{
    CHECK(depth < SEGMENT_DEPTH_MAX);
    memset(bits, 0, r->words * sizeof *bits);
    if (s->kind >= SEGMENT_TESTS)
        return run_leaf(r->ctx, r->q, s, r->words, bits);
    if (s->kind == SEGMENT_PERSONS) {
        memcpy(bits, s->persons->persons, r->words * sizeof *bits);
        return ERR_OK;
    }
    if (s->kind != SEGMENT_OR)
        everybody(r, bits);
    for (uint32_t i = 0; i < s->arg_count && (s->kind == SEGMENT_OR || any(r, bits)); i++) {
        uint64_t *const other = spare_at(r, depth);
        TRY(evaluate(r, s->args[i], depth + 1, other));
        join(s->kind, r->words, other, bits);
    }
    return ERR_OK;
}

/* Numbers of actors who are part of another person, or were erased, are nobody's: how many there are. */
static uint64_t leave_out_gone(const ScanView *view, uint64_t *bits)
{
    uint64_t count = 0;
    for (uint32_t piece = 0; piece < scan_pieces(view); piece++) {
        const uint64_t *gone = moved_gone(view->moved, piece);
        for (size_t i = 0; gone != NULL && i < PEOPLE_PIECE_WORDS; i++) {
            bits[(size_t)piece * PEOPLE_PIECE_WORDS + i] &= ~gone[i];
            count += (uint64_t)__builtin_popcountll(gone[i]);
        }
    }
    return count;
}

Err query_segment(Ctx *ctx, const Query *q, const Segment *segment, SegmentResult *out)
{
    const uint32_t persons = q->view->person_count;
    Run r = {.ctx = ctx, .q = q, .words = (size_t)scan_pieces(q->view) * PEOPLE_PIECE_WORDS};
    People people = people_none(ctx->arena, q->view);
    const Err err = evaluate(&r, segment, 0, people.bits);
    for (uint32_t i = 0; i < SEGMENT_DEPTH_MAX; i++)
        free(r.spare[i]);
    TRY(err);
    const uint64_t gone = leave_out_gone(q->view, people.bits);
    people_count(&people);
    *out = (SegmentResult){people,
                           persons > PART_BLOCK_PERSONS ? persons - PART_BLOCK_PERSONS - gone : 0};
    return ERR_OK;
}
