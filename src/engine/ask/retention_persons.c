/*
 * engine/ask/retention_persons.c -- person by person.
 *
 * The rows of a person are cut into groups: all of them, or with `same_value` those with the same values.  The first
 * start that a group has of a series and in an interval opens a cell row; the returns behind it are gone through,
 * interval by interval, which gives a set of intervals.  From that set follow the columns.
 */
#include "engine/ask/retention_inside.h"

#include <stdlib.h>

static const int64_t HOUR_MS = INT64_C(3600000);

typedef struct Start {
    int64_t ms;
    uint32_t row;      /* of the batch */
    uint32_t next;     /* the first return behind it, of the group's */
    uint32_t interval; /* below cohort_count */
    uint32_t series;
} Start;

/* Returns of a group, in order. */
typedef struct Return {
    int64_t ms;
    TrendSum before; /* of the numbers of the returns before it */
} Return;

typedef struct RetentionPersons {
    Scanner *scanner;
    ScanProp props[QUERY_BREAKDOWNS_MAX + 1]; /* of the breakdown, and the number */
    SeriesRows series;
    uint32_t *rows; /* of a person, as they are grouped */
    Start *starts;
    Return *returns; /* one more behind the last: all numbers */
    uint32_t cap;
    uint32_t person;                    /* under way */
    uint32_t start_count, return_count; /* of the group at hand */
    uint64_t *opened;                   /* [series]: stamp of the interval that was opened last */
    uint64_t stamp;                     /* of the group, so that nothing need be forgotten */
    RetentionSet *other;   /* [cohort]: columns of "other", whose groups are counted once */
    bool *other_is;        /* [cohort] */
    RetentionSet placed;   /* of the calendar: intervals with returns of the group, */
    TrendSum *placed_sums; /* and what these sum up to */
    TrendSum *sums;        /* [interval] of the cell row at hand */
} RetentionPersons;

RetentionPersons *retention_persons_new(const RetentionRun *run, const ScanView *view)
{
    const Retention *r = run->r;
    RetentionPersons *p = calloc(1, sizeof *p);
    CHECK(p != NULL);
    for (uint32_t b = 0; b < r->breakdown_count; b++)
        p->props[b] = r->breakdown[b];
    p->props[r->breakdown_count] = r->number;
    const ScanAsk ask = {.selects = run->selects,
                         .select_count = run->select_count,
                         .props = p->props,
                         .prop_count = r->breakdown_count + r->sums};
    p->scanner = scanner_new(view, &ask);
    series_rows_open(&p->series, &run->series);
    p->opened = calloc((size_t)run->series.count + 1, sizeof *p->opened);
    p->other = calloc(run->r->cohort_count, sizeof *p->other);
    p->other_is = calloc(run->r->cohort_count, sizeof *p->other_is);
    p->placed_sums = calloc((size_t)run->r->interval_count + 1, sizeof *p->placed_sums);
    p->sums = calloc((size_t)run->r->interval_count + 1, sizeof *p->sums);
    CHECK(p->opened != NULL && p->other != NULL && p->other_is != NULL && p->placed_sums != NULL &&
          p->sums != NULL);
    return p;
}

void retention_persons_free(RetentionPersons *p)
{
    if (p == NULL)
        return;
    scanner_free(p->scanner);
    series_rows_free(&p->series);
    free(p->rows);
    free(p->starts);
    free(p->returns);
    free(p->opened);
    free(p->other);
    free(p->other_is);
    free(p->placed_sums);
    free(p->sums);
    free(p);
}

uint64_t retention_persons_damaged(const RetentionPersons *p)
{
    return scanner_damaged(p->scanner);
}

static void reserve(RetentionPersons *p, uint32_t n)
{
    if (n < p->cap)
        return;
    p->cap = n + n / 2 + 64;
    free(p->rows);
    free(p->starts);
    free(p->returns);
    p->rows = malloc(p->cap * sizeof *p->rows);
    p->starts = malloc(p->cap * sizeof *p->starts);
    p->returns = malloc(p->cap * sizeof *p->returns);
    CHECK(p->rows != NULL && p->starts != NULL && p->returns != NULL);
}

/* ---- which intervals -------------------------------------------------------------------------------- */

/* The first return at or behind the instant, from `at` on: mostly near. */
static uint32_t first_return(const RetentionPersons *p, uint32_t at, int64_t ms)
{
    uint32_t step = 1;
    while (at + step < p->return_count && p->returns[at + step].ms < ms) {
        at += step;
        step *= 2;
    }
    uint32_t end = at + step < p->return_count ? at + step : p->return_count;
    while (at < end) {
        const uint32_t middle = at + (end - at) / 2;
        if (p->returns[middle].ms < ms)
            at = middle + 1;
        else
            end = middle;
    }
    return at;
}

/* Of the calendar the group's returns are put into intervals once, for all of its starts. */
static void place_returns(RetentionPersons *p, const Retention *r)
{
    uint32_t interval = 0;
    p->placed = (RetentionSet){{0}};
    for (uint32_t at = 0, end = 0; at < p->return_count; at = end) {
        while (p->returns[at].ms >= r->bounds[interval + 1])
            interval++;
        end = first_return(p, at, r->bounds[interval + 1]);
        retention_set(&p->placed, interval);
        p->placed_sums[interval] = p->returns[end].before - p->returns[at].before;
    }
}

static RetentionSet shifted(const RetentionSet *s, uint32_t by)
{
    RetentionSet out = {{0}};
    for (uint32_t w = by / 64; w < RETENTION_WORDS; w++) {
        uint64_t bits = s->bits[w] >> (by & 63);
        if ((by & 63) != 0 && w + 1 < RETENTION_WORDS)
            bits |= s->bits[w + 1] << (64 - (by & 63));
        out.bits[w - by / 64] = bits;
    }
    return out;
}

/* Interval 0 counts behind the start only. */
static RetentionSet calendar_intervals(RetentionPersons *p, const Retention *r, const Start *start)
{
    const uint32_t count = r->interval_count - start->interval;
    const int64_t end_ms = r->bounds[start->interval + 1];
    RetentionSet set = shifted(&p->placed, start->interval);
    set.bits[0] &= ~UINT64_C(1);
    for (uint32_t k = 1; r->sums && k < count; k++)
        p->sums[k] = p->placed_sums[start->interval + k];
    if (p->returns[start->next].ms >= end_ms)
        return set;
    retention_set(&set, 0);
    p->sums[0] =
        p->returns[first_return(p, start->next, end_ms)].before - p->returns[start->next].before;
    return set;
}

/* Of intervals that begin with the start's full hour. */
static RetentionSet rolling_intervals(RetentionPersons *p, const Retention *r, const Start *start)
{
    const int64_t from_ms = start->ms - start->ms % HOUR_MS;
    const int64_t count = r->interval_count - start->interval;
    RetentionSet set = {{0}};
    for (uint32_t at = start->next; at < p->return_count;) {
        const int64_t k = (p->returns[at].ms - from_ms) / r->rolling_ms;
        if (k >= count)
            break;
        const uint32_t end = first_return(p, at, from_ms + (k + 1) * r->rolling_ms);
        retention_set(&set, (uint32_t)k);
        p->sums[k] = p->returns[end].before - p->returns[at].before;
        at = end;
    }
    return set;
}

/* ---- columns ---------------------------------------------------------------------------------------- */

/* Which intervals column c is of: [first, end), and whether all of them are asked for. */
typedef struct Column {
    uint32_t first, end;
    bool all;
} Column;

static Column column_of(const Retention *r, uint32_t c, uint32_t count)
{
    const uint32_t z = retention_first_column(r);
    switch (r->comes) {
    case RETENTION_ON_OR_AFTER:
        return (Column){c, count, false};
    case RETENTION_ON_OR_BEFORE:
        return (Column){z, c + 1, false};
    case RETENTION_STREAK:
        return (Column){z, c + 1, true};
    case RETENTION_BRACKETS:
        return (Column){r->brackets[c].first,
                        r->brackets[c].last < count ? r->brackets[c].last + 1 : count, false};
    case RETENTION_ON:
        break;
    }
    return (Column){c, c + 1, false};
}

/* One of a person's rows: where it is counted, and with what. */
typedef struct CellRow {
    uint64_t *cells;
    TrendSum *sums; /* NULL: nobody asks */
    uint32_t count; /* intervals */
    /* of "other": columns that the person has been counted in; NULL = none */
    RetentionSet *counted;
    uint32_t who; /* the column that is asked who is in it; QUERY_WHOLE: none */
    const People *people;
    uint32_t person;
} CellRow;

static void add_cell(const CellRow *row, uint32_t column, TrendSum sum)
{
    if (row->sums != NULL)
        row->sums[column] += sum;
    if (row->counted != NULL && retention_has(row->counted, column))
        return;
    row->cells[column]++;
    if (column == row->who)
        people_add(row->people, row->person);
    if (row->counted != NULL)
        retention_set(row->counted, column);
}

/* The plainest columns: the set itself. */
static void add_intervals(const CellRow *row, const RetentionSet *set, const TrendSum *sums,
                          uint32_t first)
{
    for (uint32_t w = 0; w < (row->count + 63) / 64; w++)
        for (uint64_t left = set->bits[w]; left != 0; left &= left - 1) {
            const uint32_t k = w * 64 + (uint32_t)__builtin_ctzll(left);
            if (k >= first)
                add_cell(row, k, sums[k]);
        }
}

/* How many of the intervals below k are in the set, for every k, and the sum of theirs. */
typedef struct Ranks {
    uint32_t below[QUERY_INTERVALS_MAX + 1];
    TrendSum sum[QUERY_INTERVALS_MAX + 1];
} Ranks;

static void rank(const CellRow *row, const RetentionSet *set, const TrendSum *sums, Ranks *out)
{
    out->below[0] = 0;
    out->sum[0] = 0;
    for (uint32_t k = 0; k < row->count; k++)
        out->below[k + 1] = out->below[k] + retention_has(set, k);
    for (uint32_t k = 0; row->sums != NULL && k < row->count; k++)
        out->sum[k + 1] = out->sum[k] + (retention_has(set, k) ? sums[k] : 0);
}

static void add_columns(const Retention *r, const CellRow *row, const Ranks *ranks)
{
    const uint32_t columns = r->comes == RETENTION_BRACKETS ? r->bracket_count : row->count;
    for (uint32_t c = retention_first_column(r); c < columns; c++) {
        const Column column = column_of(r, c, row->count);
        if (column.first >= column.end)
            continue;
        const uint32_t n = ranks->below[column.end] - ranks->below[column.first];
        if (n == 0 || (column.all && n < column.end - column.first))
            continue;
        add_cell(row, c, row->sums == NULL ? 0 : ranks->sum[column.end] - ranks->sum[column.first]);
    }
}

/* A start opens a row: a person of its cohort, with what came behind. */
static void open_row(RetentionWorker *w, const Start *start)
{
    RetentionPersons *p = w->by_person;
    const Retention *r = w->run->r;
    const bool other = r->same_value && series_is_other(&w->run->series, start->series);
    const size_t at = (size_t)start->series * r->cohort_count + start->interval;
    const RetentionRun *run = w->run;
    const bool is_asked = run->people != NULL && run->who_row == at;
    if (is_asked && run->who_column == QUERY_WHOLE)
        people_add(run->people, p->person);
    w->persons[at] += !other || !p->other_is[start->interval];
    if (other)
        p->other_is[start->interval] = true;
    if (start->next == p->return_count)
        return;
    const CellRow row = {.cells = w->cells + at * w->run->columns,
                         .sums = w->sums == NULL ? NULL : w->sums + at * w->run->columns,
                         .count = r->interval_count - start->interval,
                         .counted = other ? &p->other[start->interval] : NULL,
                         .who = is_asked ? run->who_column : QUERY_WHOLE,
                         .people = run->people,
                         .person = p->person};
    const RetentionSet set =
        r->rolling_ms > 0 ? rolling_intervals(p, r, start) : calendar_intervals(p, r, start);
    if (r->comes == RETENTION_ON) {
        add_intervals(&row, &set, p->sums, retention_first_column(r));
        return;
    }
    Ranks ranks;
    rank(&row, &set, p->sums, &ranks);
    add_columns(r, &row, &ranks);
}

/* ---- groups ----------------------------------------------------------------------------------------- */

#define EVERY_START UINT32_MAX

/* Starts and returns of these rows, which ascend; of the starts only row `only`.  What is none is written, too, and then
 * written over: it is as often one as the other, and a processor that guesses is wrong half of the time. */
static void split_rows(RetentionWorker *w, const ScanBatch *b, const uint32_t *rows, uint32_t n,
                       uint32_t only)
{
    RetentionPersons *p = w->by_person;
    const Retention *r = w->run->r;
    const int64_t base_ms = scanner_base_ms(p->scanner);
    const int64_t *numbers = r->sums ? b->values[r->breakdown_count] : NULL;
    uint32_t starts = 0, returns = 0;
    TrendSum sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t row = rows[i], selects = b->rows[row].selects;
        const int64_t ms = base_ms + scan_ms(b, row);
        const uint32_t is_start =
            selects & RETENTION_START & (uint32_t)(only == EVERY_START || only == row);
        const uint32_t is_back = selects / RETENTION_BACK & 1;
        p->returns[returns] = (Return){ms, sum};
        if (numbers != NULL && is_back != 0 && numbers[row] != SCAN_MISSING)
            sum += numbers[row];
        returns += is_back;
        p->starts[starts] = (Start){.ms = ms, .row = row, .next = returns};
        starts += is_start;
    }
    p->returns[returns] = (Return){INT64_MAX, sum};
    p->start_count = starts;
    p->return_count = returns;
}

/* They ascend in time, so the interval only moves on. */
static void place_starts(RetentionWorker *w, const ScanBatch *b)
{
    RetentionPersons *p = w->by_person;
    const Retention *r = w->run->r;
    TallyKey values = {{0}};
    uint32_t interval = 0;
    for (uint32_t i = 0; i < p->start_count; i++) {
        Start *start = &p->starts[i];
        while (start->ms >= r->bounds[interval + 1])
            interval++;
        for (uint32_t v = 0; v < r->breakdown_count; v++)
            values.of[v] = b->values[v][start->row];
        start->interval = interval;
        start->series = series_of(&p->series, &values);
    }
}

static void take_group(RetentionWorker *w, const ScanBatch *b, const uint32_t *rows, uint32_t n,
                       uint32_t only)
{
    RetentionPersons *p = w->by_person;
    split_rows(w, b, rows, n, only);
    if (p->start_count == 0)
        return;
    place_starts(w, b);
    if (w->run->r->rolling_ms == 0)
        place_returns(p, w->run->r);
    p->stamp += QUERY_INTERVALS_MAX + 1;
    for (uint32_t i = 0; i < p->start_count; i++) {
        uint64_t *opened = &p->opened[p->starts[i].series];
        if (*opened == p->stamp + p->starts[i].interval)
            continue;
        *opened = p->stamp + p->starts[i].interval;
        open_row(w, &p->starts[i]);
    }
}

typedef struct ByValues {
    const int64_t *const *values;
    uint32_t width;
} ByValues;

static int compare_values(const ByValues *by, uint32_t a, uint32_t b)
{
    for (uint32_t v = 0; v < by->width; v++)
        if (by->values[v][a] != by->values[v][b])
            return by->values[v][a] < by->values[v][b] ? -1 : 1;
    return 0;
}

static int by_values(const void *a, const void *b, void *arg)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    const int order = compare_values(arg, x, y);
    return order != 0 ? order : (x > y) - (x < y);
}

static void take_same_values(RetentionWorker *w, const ScanBatch *b, uint32_t n, uint32_t only)
{
    RetentionPersons *p = w->by_person;
    const Retention *r = w->run->r;
    ByValues by = {b->values, r->breakdown_count};
    qsort_r(p->rows, n, sizeof *p->rows, by_values, &by);
    for (uint32_t from = 0, to = 0; from < n; from = to) {
        while (to < n && compare_values(&by, p->rows[from], p->rows[to]) == 0)
            to++;
        take_group(w, b, p->rows + from, to - from, only);
    }
    memset(p->other, 0, r->cohort_count * sizeof *p->other);
    memset(p->other_is, 0, r->cohort_count * sizeof *p->other_is);
}

/* ---- persons ---------------------------------------------------------------------------------------- */

/* Which row of the person may start a cohort.  False: none. */
static bool find_starts(const RetentionWorker *w, const ScanBatch *b, uint32_t from, uint32_t to,
                        uint32_t *only)
{
    const Retention *r = w->run->r;
    const uint32_t first = r->cohort == RETENTION_FIRST_NAMED ? RETENTION_NAMED : RETENTION_START;
    uint32_t row = from;
    while (row < to && (b->rows[row].selects & first) == 0)
        row++;
    *only = r->cohort == RETENTION_RECURRING ? EVERY_START : row;
    return row < to && (b->rows[row].selects & RETENTION_START) != 0 &&
           scanner_base_ms(w->by_person->scanner) + scan_ms(b, row) >= r->bounds[0];
}

static void take_person(RetentionWorker *w, const ScanBatch *b, uint32_t i)
{
    RetentionPersons *p = w->by_person;
    const uint32_t n = b->from[i + 1] - b->from[i];
    uint32_t only = EVERY_START;
    if (!find_starts(w, b, b->from[i], b->from[i + 1], &only))
        return;
    p->person = b->persons[i];
    reserve(p, n + 1);
    for (uint32_t row = 0; row < n; row++)
        p->rows[row] = b->from[i] + row;
    if (w->run->r->same_value)
        take_same_values(w, b, n, only);
    else
        take_group(w, b, p->rows, n, only);
}

void retention_persons_piece(RetentionWorker *w, uint32_t piece)
{
    RetentionPersons *p = w->by_person;
    ScanBatch b;
    while (scanner_batch(p->scanner, piece, &b))
        for (uint32_t i = 0; i < b.person_count && !crew_gives_up(scan_rows_of(&b, i)); i++)
            take_person(w, &b, i);
}
