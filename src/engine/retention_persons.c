/*
 * engine/retention_persons.c -- person by person.
 *
 * The rows of a person are cut into groups: all of them, or with `same_value` those with the same values.  The first
 * start that a group has of a series and in an interval opens a cell row; the returns behind it are gone through,
 * interval by interval, which gives a set of intervals.  From that set follow the columns.
 */
#include "engine/retention_inside.h"

#include <stdlib.h>

static const int64_t HOUR_MS = INT64_C(3600000);

/* A row of the person, with what is needed of it. */
typedef struct Row {
    int64_t ms;
    uint32_t selects;
    uint32_t interval; /* of a start: below cohort_count */
    uint32_t series;   /* of a start */
    uint32_t row;      /* of the batch */
    uint32_t next;     /* the first return behind it, of the group's */
} Row;

/* Returns of a group, in order. */
typedef struct Return {
    int64_t ms;
    TrendSum before; /* of the numbers of the returns before it */
} Return;

typedef struct RetentionPersons {
    SeriesRows series;
    Row *rows;
    Return *returns; /* one more behind the last: all numbers */
    uint32_t cap;
    uint32_t return_count;
    uint64_t *opened;    /* [series]: stamp of the interval that was opened last */
    uint64_t stamp;      /* of the group, so that nothing need be forgotten */
    RetentionSet *other; /* [cohort]: columns of "other", whose groups are counted once */
    bool *other_is;      /* [cohort] */
    TrendSum *sums;      /* [interval] of the cell row at hand */
} RetentionPersons;

RetentionPersons *retention_persons_new(const RetentionRun *run)
{
    RetentionPersons *p = calloc(1, sizeof *p);
    CHECK(p != NULL);
    series_rows_open(&p->series, &run->series);
    p->opened = calloc((size_t)run->series.count + 1, sizeof *p->opened);
    p->other = calloc(run->r->cohort_count, sizeof *p->other);
    p->other_is = calloc(run->r->cohort_count, sizeof *p->other_is);
    p->sums = calloc((size_t)run->r->interval_count + 1, sizeof *p->sums);
    CHECK(p->opened != NULL && p->other != NULL && p->other_is != NULL && p->sums != NULL);
    return p;
}

void retention_persons_free(RetentionPersons *p)
{
    if (p == NULL)
        return;
    series_rows_free(&p->series);
    free(p->rows);
    free(p->returns);
    free(p->opened);
    free(p->other);
    free(p->other_is);
    free(p->sums);
    free(p);
}

static void reserve(RetentionPersons *p, uint32_t n)
{
    if (n < p->cap)
        return;
    p->cap = n + n / 2 + 64;
    free(p->rows);
    free(p->returns);
    p->rows = malloc(p->cap * sizeof *p->rows);
    p->returns = malloc(p->cap * sizeof *p->returns);
    CHECK(p->rows != NULL && p->returns != NULL);
}

/* ---- one cell row ---------------------------------------------------------------------------------- */

/* Where the intervals of a cell row begin and end. */
typedef struct Edges {
    const Retention *r;
    uint32_t cohort;
    int64_t start_ms; /* rolling: the full hour */
} Edges;

static int64_t edge_ms(const Edges *e, uint32_t k)
{
    return e->r->rolling_ms > 0 ? e->start_ms + (int64_t)k * e->r->rolling_ms
                                : e->r->bounds[e->cohort + k];
}

/* The interval that the instant lies in, at or behind interval k; `count` behind all. */
static uint32_t interval_of(const Edges *e, int64_t ms, uint32_t k, uint32_t count)
{
    if (e->r->rolling_ms > 0) {
        const int64_t at = (ms - e->start_ms) / e->r->rolling_ms;
        return at < count ? (uint32_t)at : count;
    }
    while (k < count && ms >= edge_ms(e, k + 1))
        k++;
    return k;
}

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

/* The intervals with a return, from return `at` on, of `count` that the cohort has; their sums. */
static RetentionSet find_intervals(RetentionPersons *p, const Edges *e, uint32_t at, uint32_t count)
{
    RetentionSet set = {{0}};
    for (uint32_t k = 0; at < p->return_count;) {
        k = interval_of(e, p->returns[at].ms, k, count);
        if (k == count)
            break;
        const uint32_t end = first_return(p, at, edge_ms(e, k + 1));
        retention_set(&set, k);
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

/* How many of the intervals below k are in the set, for every k. */
typedef struct Ranks {
    uint32_t below[QUERY_INTERVALS_MAX + 1];
    TrendSum sum[QUERY_INTERVALS_MAX + 1]; /* of theirs */
} Ranks;

static void rank(const RetentionSet *set, const TrendSum *sums, uint32_t count, Ranks *out)
{
    out->below[0] = 0;
    out->sum[0] = 0;
    for (uint32_t k = 0; k < count; k++) {
        const bool in = retention_has(set, k);
        out->below[k + 1] = out->below[k] + in;
        out->sum[k + 1] = out->sum[k] + (in ? sums[k] : 0);
    }
}

/* Counts the columns of a person, but those that they have been counted in (`counted`, for "other"). */
static void add_columns(RetentionWorker *w, const Ranks *ranks, uint32_t count, size_t row,
                        RetentionSet *counted)
{
    const Retention *r = w->run->r;
    const uint32_t columns = r->comes == RETENTION_BRACKETS ? r->bracket_count : count;
    for (uint32_t c = retention_first_column(r); c < columns; c++) {
        const Column column = column_of(r, c, count);
        if (column.first >= column.end)
            continue;
        const uint32_t n = ranks->below[column.end] - ranks->below[column.first];
        if (n == 0 || (column.all && n < column.end - column.first))
            continue;
        if (w->sums != NULL)
            w->sums[row * w->run->columns + c] += ranks->sum[column.end] - ranks->sum[column.first];
        if (counted != NULL && retention_has(counted, c))
            continue;
        w->cells[row * w->run->columns + c]++;
        if (counted != NULL)
            retention_set(counted, c);
    }
}

/* A start opens a row: a person of its cohort, with what came behind. */
static void open_row(RetentionWorker *w, const Row *start)
{
    RetentionPersons *p = w->by_person;
    const Retention *r = w->run->r;
    const uint32_t count = r->interval_count - start->interval;
    const bool other = r->same_value && series_is_other(&w->run->series, start->series);
    const size_t row = (size_t)start->series * r->cohort_count + start->interval;
    const Edges edges = {r, start->interval, start->ms - start->ms % HOUR_MS};
    Ranks ranks;
    w->persons[row] += !other || !p->other_is[start->interval];
    if (other)
        p->other_is[start->interval] = true;
    if (start->next == p->return_count)
        return;
    const RetentionSet set = find_intervals(p, &edges, start->next, count);
    rank(&set, p->sums, count, &ranks);
    add_columns(w, &ranks, count, row, other ? &p->other[start->interval] : NULL);
}

/* ---- groups ----------------------------------------------------------------------------------------- */

static void find_returns(RetentionPersons *p, const Retention *r, const ScanBatch *b, Row *rows,
                         uint32_t n)
{
    const int64_t *numbers = r->sums ? b->values[r->breakdown_count] : NULL;
    TrendSum sum = 0;
    p->return_count = 0;
    for (uint32_t i = 0; i < n; i++) {
        const bool back = (rows[i].selects & RETENTION_BACK) != 0;
        if (back) {
            p->returns[p->return_count++] = (Return){rows[i].ms, sum};
            const int64_t number = numbers == NULL ? SCAN_MISSING : numbers[rows[i].row];
            sum += number == SCAN_MISSING ? 0 : number;
        }
        rows[i].next = p->return_count;
    }
    p->returns[p->return_count] = (Return){INT64_MAX, sum};
}

static void take_group(RetentionWorker *w, const ScanBatch *b, Row *rows, uint32_t n)
{
    RetentionPersons *p = w->by_person;
    find_returns(p, w->run->r, b, rows, n);
    p->stamp += QUERY_INTERVALS_MAX + 1;
    for (uint32_t i = 0; i < n; i++) {
        if ((rows[i].selects & RETENTION_START) == 0)
            continue;
        uint64_t *opened = &p->opened[rows[i].series];
        if (*opened == p->stamp + rows[i].interval)
            continue;
        *opened = p->stamp + rows[i].interval;
        open_row(w, &rows[i]);
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
    const Row *x = a, *y = b;
    const int order = compare_values(arg, x->row, y->row);
    return order != 0 ? order : (x->row > y->row) - (x->row < y->row);
}

static void take_same_values(RetentionWorker *w, const ScanBatch *b, uint32_t n)
{
    RetentionPersons *p = w->by_person;
    const Retention *r = w->run->r;
    ByValues by = {b->values, r->breakdown_count};
    qsort_r(p->rows, n, sizeof *p->rows, by_values, &by);
    for (uint32_t from = 0, to = 0; from < n; from = to) {
        while (to < n && compare_values(&by, p->rows[from].row, p->rows[to].row) == 0)
            to++;
        take_group(w, b, p->rows + from, to - from);
    }
    memset(p->other, 0, r->cohort_count * sizeof *p->other);
    memset(p->other_is, 0, r->cohort_count * sizeof *p->other_is);
}

/* ---- persons ---------------------------------------------------------------------------------------- */

/* Only the first start stays one, when that is asked for.  False: they are in no cohort. */
static bool keep_starts(const Retention *r, Row *rows, uint32_t n)
{
    bool any = false;
    for (uint32_t i = 0; i < n; i++) {
        if ((rows[i].selects & RETENTION_START) == 0)
            continue;
        if (rows[i].ms < r->bounds[0])
            return false;
        if (any && r->cohort != RETENTION_RECURRING)
            rows[i].selects &= ~(uint32_t)RETENTION_START;
        any = true;
    }
    return any;
}

static void read_rows(RetentionWorker *w, const ScanBatch *b, uint32_t from, uint32_t n)
{
    const int64_t base_ms = scanner_base_ms(w->scanner);
    for (uint32_t i = 0; i < n; i++)
        w->by_person->rows[i] = (Row){.ms = base_ms + scan_ms(b, from + i),
                                      .selects = b->rows[from + i].selects,
                                      .row = from + i};
}

/* The rows of a person ascend in time, so the interval only moves on. */
static void place_starts(RetentionWorker *w, const ScanBatch *b, uint32_t n)
{
    RetentionPersons *p = w->by_person;
    const Retention *r = w->run->r;
    int64_t values[QUERY_BREAKDOWNS_MAX];
    uint32_t interval = 0;
    for (uint32_t i = 0; i < n; i++) {
        if ((p->rows[i].selects & RETENTION_START) == 0)
            continue;
        while (p->rows[i].ms >= r->bounds[interval + 1])
            interval++;
        for (uint32_t v = 0; v < r->breakdown_count; v++)
            values[v] = b->values[v][p->rows[i].row];
        p->rows[i].interval = interval;
        p->rows[i].series = series_of(&p->series, values);
    }
}

void retention_persons_piece(RetentionWorker *w, uint32_t piece)
{
    RetentionPersons *p = w->by_person;
    ScanBatch b;
    if (!scanner_batch(w->scanner, piece, &b))
        return;
    for (uint32_t i = 0; i < b.person_count; i++) {
        const uint32_t n = b.from[i + 1] - b.from[i];
        reserve(p, n + 1);
        read_rows(w, &b, b.from[i], n);
        if (!keep_starts(w->run->r, p->rows, n))
            continue;
        place_starts(w, &b, n);
        if (w->run->r->same_value)
            take_same_values(w, &b, n);
        else
            take_group(w, &b, p->rows, n);
    }
}
