/*
 * engine/ask/trend_rows.c -- the strips of a trend: which series and which place in time a row is of.
 *
 * Of most strips all rows are of one series; then events and persons are counted without a look at single rows.
 */
#include "engine/ask/trend_inside.h"

#include "engine/core/kernels.h"

#include <stdlib.h>

enum {
    COUNTED_BOUNDS = 48,      /* with more it is cheaper to look for each row's place */
    PACKED_NUMBERS = 1 << 24, /* numbers below it are packed */
};

void trend_open_worker(TrendWorker *w)
{
    strip_times_open(&w->times, w->run->places, w->run->t->bucket_count);
    w->codes = strip_room(sizeof *w->codes);
    w->picked = strip_room(sizeof *w->picked);
    w->cell = strip_room(sizeof *w->cell);
    w->numbers = strip_room(sizeof *w->numbers);
    w->stored = strip_room(sizeof *w->stored);
    for (uint32_t b = 0; b < w->run->t->breakdown_count; b++)
        w->values[b] = strip_room(sizeof(int64_t));
}

void trend_close_worker(TrendWorker *w)
{
    tally_free(&w->counted);
    series_rows_free(&w->rows);
    void *const buffers[] = {w->code_counts, w->codes,     w->stored,   w->picked,
                             w->cell,        w->numbers,   w->cells,    w->narrow,
                             w->packed,      w->counts,    w->flags,    w->seen_bits,
                             w->values[0],   w->values[1], w->values[2]};
    _Static_assert(QUERY_BREAKDOWNS_MAX == 3, "all are freed");
    for (size_t i = 0; i < ARRAY_LEN(buffers); i++)
        free(buffers[i]);
    cell_sums_free(&w->seen);
    cell_sums_free(&w->persons);
    filter_scratch_free(&w->scratch);
    strip_times_close(&w->times);
}

static void *zeroed(size_t n, size_t size)
{
    void *fresh = calloc(n, size);
    CHECK(fresh != NULL);
    return fresh;
}

void trend_open_cells(TrendWorker *w)
{
    const size_t cells = trend_cells(w->run);
    w->cells = zeroed(cells, sizeof *w->cells);
    w->narrow = zeroed(cells, sizeof *w->narrow);
    w->counts = zeroed(cells, sizeof *w->counts);
}

static const BucketPlaces *places_of(const TrendWorker *w, const Strip *strip)
{
    return strip_places(&w->times, strip);
}

static uint64_t count_set(const uint64_t *set, uint32_t n)
{
    return set == NULL ? n : kernels()->count(set, kernel_words(n));
}

/* ---- series -------------------------------------------------------------------------------------- */

static bool are_alike(const TrendWorker *w, const Strip *strip)
{
    return strip_is_alike(strip, w->run->t->breakdown, w->run->t->breakdown_count);
}

static bool read_breakdown(TrendWorker *w, const Strip *strip, uint32_t rows)
{
    const Trend *t = w->run->t;
    for (uint32_t b = 0; b < t->breakdown_count; b++)
        if (!strip_values(strip, rows, t->breakdown[b], &w->scratch, w->values[b]))
            return false;
    return true;
}

/* Codes of all rows; of one property, which this list has.  False: damaged. */
static bool read_codes(TrendWorker *w, const Strip *strip)
{
    return filter_codes(&strip->at, strip_column(strip, w->run->t->breakdown[0]), w->codes);
}

static TallyKey combine(const TrendWorker *w, uint32_t row)
{
    TallyKey key = {{0}};
    for (uint32_t b = 0; b < w->run->t->breakdown_count; b++)
        key.of[b] = w->values[b][row];
    return key;
}

static uint32_t series_of_row(TrendWorker *w, uint32_t row)
{
    const TallyKey values = combine(w, row);
    if (w->run->in_one_pass)
        return values.of[0] == SCAN_MISSING ? 0 : (uint32_t)values.of[0];
    return series_of(&w->rows, &values);
}

/* ---- the first pass ------------------------------------------------------------------------------ */

static bool count_codes(TrendWorker *w, const Strip *strip, const uint64_t *set)
{
    const uint32_t n = strip->at.count;
    if (!read_codes(w, strip))
        return false;
    if (set == NULL) {
        for (uint32_t i = 0; i < n; i++)
            w->code_counts[w->codes[i]]++;
        return true;
    }
    const uint32_t picked = strip_pick(set, n, w->picked);
    for (uint32_t i = 0; i < picked; i++)
        w->code_counts[w->codes[w->picked[i]]]++;
    return true;
}

static bool count_series(TrendWorker *w, const Strip *strip)
{
    const uint32_t n = strip->at.count;
    const uint64_t *set = NULL;
    if (!strip_within(&w->times, strip, &set))
        return false;
    const bool alike = are_alike(w, strip);
    if (!alike && w->run->codes > 0)
        return count_codes(w, strip, set);
    if (!read_breakdown(w, strip, alike ? 1 : n))
        return false;
    const uint64_t events = alike ? count_set(set, n) : 0;
    if (events > 0)
        tally_add(&w->counted, combine(w, 0), events);
    const uint32_t picked = alike ? 0 : strip_pick(set, n, w->picked);
    for (uint32_t i = 0; i < picked; i++)
        tally_add(&w->counted, combine(w, w->picked[i]), 1);
    return true;
}

/* ---- the second pass ----------------------------------------------------------------------------- */

/* In one pass, but of events and sums, whose cells say it: how many events of each series the picked rows are. */
static void count_picked(TrendWorker *w, uint32_t n, bool by_code, uint32_t series)
{
    if (!by_code)
        w->code_counts[series] += n;
    for (uint32_t i = 0; by_code && i < n; i++)
        w->code_counts[w->codes[w->picked[i]]]++;
}

/* Events of one series. */
static void count_events(TrendWorker *w, const Strip *strip, uint32_t series)
{
    const BucketPlaces *p = places_of(w, strip);
    const uint32_t n = strip->at.count, bounds = p->last - p->first;
    uint64_t from[COUNTED_BOUNDS] = {0};
    trend_need_cells(w);
    uint64_t *cell = w->counts + (size_t)series * w->run->stride + p->first;
    if (bounds > 0)
        kernels()->count_from(strip->at.keys, n, strip->set, PART_SECOND_MASK, p->seconds, bounds,
                              from);
    uint64_t left = count_set(strip->set, n);
    for (uint32_t b = 0; b < bounds; b++) {
        cell[b] += left - from[b];
        left = from[b];
    }
    cell[bounds] += left;
}

/* Whether each row adds to one cell, whatever is in it.  Then rows before and behind the range need no look: they have
 * cells, too.  How many events a cell has is counted. */
static bool adds_anywhere(const Trend *t)
{
    return t->measure == TREND_EVENTS || t->measure == TREND_SUM;
}

/* What was packed goes where it belongs: before a count might become too large for its bits. */
static void unpack_cells(TrendWorker *w)
{
    const size_t cells = trend_cells(w->run);
    trend_need_cells(w);
    for (size_t i = 0; i < cells; i++) {
        w->counts[i] += trend_packed_count(w->packed[i]);
        w->cells[i] += trend_packed_sum(w->packed[i]);
        w->packed[i] = 0;
    }
    w->packed_rows = 0;
}

void trend_end_pass(TrendWorker *w)
{
    const TrendRun *run = w->run;
    if (!run->in_one_pass || !adds_anywhere(run->t))
        return;
    for (uint32_t code = 0; code < run->codes; code++) {
        const size_t from = (size_t)code * run->stride + 1;
        uint64_t count = 0;
        for (uint32_t b = 0; w->counts != NULL && b < run->t->bucket_count; b++)
            count += w->counts[from + b];
        for (uint32_t b = 0; w->packed != NULL && b < run->t->bucket_count; b++)
            count += trend_packed_count(w->packed[from + b]);
        w->code_counts[code] = count;
    }
}

/* Persons of one series.  False: damaged. */
static bool flag_persons(TrendWorker *w, const Strip *strip, uint32_t series)
{
    const StripPersons to = {w->flags, w->block, (uint32_t)trend_cells(w->run)};
    return strip_add_persons(&to, &w->times, strip, series * w->run->stride);
}

/* The cells of the picked rows.  False: damaged. */
static bool find_cells(TrendWorker *w, const Strip *strip, uint32_t n, bool alike, uint32_t series)
{
    const uint32_t stride = w->run->stride, first = places_of(w, strip)->first;
    const uint32_t *const cell_of_code = w->run->cell_of_code, *const picked = w->picked;
    if (!strip_ranks(&w->times, strip))
        return false;
    if (alike) {
        for (uint32_t i = 0; i < n; i++)
            w->cell[i] = series * stride + first + w->times.ranks[picked[i]];
    } else if (w->run->codes > 0) {
        if (!read_codes(w, strip))
            return false;
        for (uint32_t i = 0; i < n; i++)
            w->cell[i] = cell_of_code[w->codes[picked[i]]] + first + w->times.ranks[picked[i]];
    } else {
        for (uint32_t i = 0; i < n; i++)
            w->cell[i] = series_of_row(w, picked[i]) * stride + first + w->times.ranks[picked[i]];
    }
    return true;
}

/* The narrow sum has gone round. */
static void widen(TrendWorker *w, uint32_t cell, int64_t number)
{
    w->cells[cell] += (TrendSum)(int64_t)((uint64_t)w->narrow[cell] - (uint64_t)number) + number;
    w->narrow[cell] = 0;
}

/* `picked`, `codes`, `numbers` NULL: all rows, of the code whose cells are the first, events alone. */
static inline __attribute__((always_inline)) void
add_anywhere(TrendWorker *w, uint32_t first, const uint32_t *first_cell, uint32_t n,
             const uint32_t *picked, const uint32_t *codes, const int64_t *numbers)
{
    const uint16_t *const ranks = w->times.ranks;
    uint64_t *const counts = w->counts + first;
    int64_t *const sums = w->narrow + first;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t row = picked == NULL ? i : picked[i];
        const uint32_t cell = first_cell[codes == NULL ? 0 : codes[row]] + ranks[row];
        counts[cell]++;
        if (numbers == NULL)
            continue;
        const int64_t number = numbers[row] == SCAN_MISSING ? 0 : numbers[row];
        if (__builtin_expect(__builtin_add_overflow(sums[cell], number, &sums[cell]), 0))
            widen(w, first + cell, number);
    }
}

/* The same with what is NULL known to the compiler. */
static void add_all_anywhere(TrendWorker *w, uint32_t first, const uint32_t *first_cell, uint32_t n,
                             const uint32_t *codes, const int64_t *numbers)
{
    if (codes != NULL && numbers != NULL)
        add_anywhere(w, first, first_cell, n, NULL, w->codes, w->numbers);
    else if (codes != NULL)
        add_anywhere(w, first, first_cell, n, NULL, w->codes, NULL);
    else
        add_anywhere(w, first, first_cell, n, NULL, NULL, numbers);
}

/* The number of each row when all have one and it is small, NULL = not so. */
static const PartColumn *small_numbers(const Trend *t, const Strip *strip)
{
    const bool of_row = strip->events == NULL || t->number.of_item;
    if (t->measure != TREND_SUM || !of_row || t->number.changes != NULL)
        return NULL;
    const PartColumn *c = strip_column(strip, t->number);
    const bool small = c != NULL && c->kind == PART_NUMBERS && !c->nullable &&
                       c->scale == t->number.scale && c->base >= 0 && c->max < PACKED_NUMBERS;
    return small ? c : NULL;
}

static inline __attribute__((always_inline)) void
add_packed(uint64_t *cells, const uint32_t *first_cell, const uint16_t *ranks, uint32_t n,
           const uint32_t *picked, const uint32_t *codes, const uint32_t *stored, uint64_t base)
{
    const uint64_t one = base << TREND_COUNT_BITS | 1;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t row = picked == NULL ? i : picked[i];
        cells[first_cell[codes == NULL ? 0 : codes[row]] + ranks[row]] +=
            ((uint64_t)stored[row] << TREND_COUNT_BITS) + one;
    }
}

/* As add_anywhere(), `codes` in place, of a column of small numbers.  False: damaged. */
static bool take_packed(TrendWorker *w, const Strip *strip, const PartColumn *c,
                        const uint32_t *first_cell, const uint32_t *codes)
{
    const uint32_t n = strip->at.count;
    const uint16_t *const ranks = w->times.ranks;
    const uint64_t base = (uint64_t)c->base;
    if (!filter_codes(&strip->at, c, w->stored))
        return false;
    if (w->packed == NULL)
        w->packed = zeroed(trend_cells(w->run), sizeof *w->packed);
    uint64_t *const cells = w->packed + places_of(w, strip)->first;
    if (w->packed_rows + n >= 1U << TREND_COUNT_BITS)
        unpack_cells(w);
    w->packed_rows += n;
    if (strip->set != NULL)
        add_packed(cells, first_cell, ranks, strip_pick(strip->set, n, w->picked), w->picked, codes,
                   w->stored, base);
    else if (codes != NULL)
        add_packed(cells, first_cell, ranks, n, NULL, w->codes, w->stored, base);
    else
        add_packed(cells, first_cell, ranks, n, NULL, NULL, w->stored, base);
    return true;
}

/* Rows of one series, or of one per code. */
static bool take_anywhere(TrendWorker *w, const Strip *strip, bool by_code, uint32_t series)
{
    const Trend *t = w->run->t;
    const uint32_t n = strip->at.count, series_cell = series * w->run->stride;
    const uint32_t *const first_cell = by_code ? w->run->cell_of_code : &series_cell;
    const uint32_t *const codes = by_code ? w->codes : NULL;
    const int64_t *const numbers = t->measure == TREND_SUM ? w->numbers : NULL;
    const uint32_t first = places_of(w, strip)->first;
    const PartColumn *small = small_numbers(t, strip);
    if ((by_code && !read_codes(w, strip)) || !strip_ranks(&w->times, strip))
        return false;
    if (small != NULL)
        return take_packed(w, strip, small, first_cell, codes);
    if (numbers != NULL && !strip_values(strip, n, t->number, &w->scratch, w->numbers))
        return false;
    trend_need_cells(w);
    if (strip->set == NULL)
        add_all_anywhere(w, first, first_cell, n, codes, numbers);
    else
        add_anywhere(w, first, first_cell, strip_pick(strip->set, n, w->picked), w->picked, codes,
                     numbers);
    return true;
}

static bool add_strip(TrendWorker *w, const Strip *strip)
{
    const Trend *t = w->run->t;
    const BucketPlaces *p = places_of(w, strip);
    const bool alike = are_alike(w, strip), by_code = !alike && w->run->codes > 0;
    const uint64_t *set = NULL;
    if (!by_code && !read_breakdown(w, strip, alike ? 1 : strip->at.count))
        return false;
    const uint32_t series = alike && t->breakdown_count > 0 ? series_of_row(w, 0) : 0;
    if (alike && t->measure == TREND_EVENTS && p->in_seconds &&
        p->last - p->first <= COUNTED_BOUNDS) {
        count_events(w, strip, series);
        return true;
    }
    if ((alike || by_code) && adds_anywhere(t))
        return take_anywhere(w, strip, by_code, series);
    if (alike && trend_flags_persons(t))
        return flag_persons(w, strip, series);
    if (trend_has_number(t) &&
        !strip_values(strip, strip->at.count, t->number, &w->scratch, w->numbers))
        return false;
    if (!strip_within(&w->times, strip, &set))
        return false;
    const uint32_t n = strip_pick(set, strip->at.count, w->picked);
    if (!find_cells(w, strip, n, alike, series))
        return false;
    if (w->run->in_one_pass)
        count_picked(w, n, by_code, series);
    trend_need_cells(w);
    trend_add_rows(w, strip, n);
    return true;
}

void trend_take_strip(const Strip *strip, void *worker)
{
    TrendWorker *w = worker;
    const bool good = w->run->counting ? count_series(w, strip) : add_strip(w, strip);
    w->damaged = w->damaged || !good;
}
