/*
 * engine/ask/retention_bits.c -- 64 persons at once.
 *
 * Of every interval who started in it and who came back in it are bits, of a piece's persons.  Whoever is in both of two
 * of these sets is counted in a cell; who came back "or after", "or before", in a streak or a bracket are sets made of
 * those of the single intervals.
 */
#include "engine/ask/retention_inside.h"
#include "engine/core/kernels.h"
#include "engine/scan/scan_whole.h"

#include <stdlib.h>

enum { WORDS = PART_BLOCK_PERSONS / 64 };

typedef struct Persons {
    uint64_t bits[WORDS];
} Persons;

typedef struct RetentionBits {
    WholeScan *scan;
    WholeAsk ask; /* of it */
    SeriesRows series;
    bool damaged; /* in the values of a breakdown */
    Buckets buckets;
    int64_t *bounds;  /* of the time before the range, and of the intervals */
    Persons *started; /* [series][bucket]: 0 is the time before */
    Persons *back;    /* [bucket]; of one select, `started` */
    Persons *column;  /* of one cohort: who is in its columns */
} RetentionBits;

RetentionBits *retention_bits_new(const RetentionRun *run, const ScanView *view)
{
    const Retention *r = run->r;
    RetentionBits *b = calloc(1, sizeof *b);
    CHECK(b != NULL);
    const uint32_t buckets = r->interval_count + 1;
    b->bounds = malloc((buckets + 1) * sizeof *b->bounds);
    b->started = malloc((run->series.count + 1) * (size_t)buckets * sizeof *b->started);
    b->back = malloc(buckets * sizeof *b->back);
    b->column = malloc(QUERY_INTERVALS_MAX * sizeof *b->column);
    CHECK(b->bounds != NULL && b->started != NULL && b->back != NULL && b->column != NULL);
    b->bounds[0] = INT64_MIN;
    memcpy(b->bounds + 1, r->bounds, buckets * sizeof *b->bounds);
    b->buckets = (Buckets){.bounds = b->bounds, .count = buckets};
    b->ask = (WholeAsk){.selects = run->selects,
                        .select_count = run->select_count,
                        .bounds = b->bounds,
                        .count = buckets,
                        .rows_only = r->breakdown_count > 0};
    b->scan = whole_scan_new(view, &b->ask);
    series_rows_open(&b->series, &run->series);
    return b;
}

void retention_bits_free(RetentionBits *b)
{
    if (b == NULL)
        return;
    whole_scan_free(b->scan);
    series_rows_free(&b->series);
    buckets_free(&b->buckets);
    free(b->bounds);
    free(b->started);
    free(b->back);
    free(b->column);
    free(b);
}

const WholeAsk *retention_bits_ask(const RetentionBits *b)
{
    return &b->ask;
}

uint64_t retention_bits_damaged(const RetentionBits *b)
{
    return whole_scan_damaged(b->scan) + b->damaged;
}

/* ---- rows ----------------------------------------------------------------------------------------- */

/* Starts have their series. */
static void take_rows(const ScanLoose *l, void *arg)
{
    RetentionBits *b = arg;
    const bool starts = l->select == 0;
    Persons *to = starts ? b->started : b->back;
    b->damaged =
        !series_add_persons(starts ? &b->series : NULL, &b->buckets, l, to->bits) || b->damaged;
}

static void unite(Persons *to, const uint64_t *from)
{
    for (int w = 0; w < WORDS; w++)
        to->bits[w] |= from[w];
}

static void take_whole(const WholePart *whole, void *arg)
{
    RetentionBits *b = arg;
    unite((whole->select == 0 ? b->started : b->back) + buckets_at(&b->buckets, whole->at_ms),
          whole->persons);
}

/* ---- columns --------------------------------------------------------------------------------------- */

static void intersect(Persons *to, const Persons *from)
{
    for (int w = 0; w < WORDS; w++)
        to->bits[w] &= from->bits[w];
}

/* back[0] is interval 0 of the cohort, of `count` there are.  Interval 0 counts only by person. */
static void find_columns(const Retention *r, const Persons *back, uint32_t count, Persons *column)
{
    Persons so_far = {{0}};
    for (uint32_t k = count; r->comes == RETENTION_ON_OR_AFTER && k-- > 1;) {
        unite(&so_far, back[k].bits);
        column[k] = so_far;
    }
    for (uint32_t k = 1; r->comes == RETENTION_ON_OR_BEFORE && k < count; k++) {
        unite(&so_far, back[k].bits);
        column[k] = so_far;
    }
    for (uint32_t k = 1; r->comes == RETENTION_STREAK && k < count; k++) {
        column[k] = back[k];
        if (k > 1)
            intersect(&column[k], &column[k - 1]);
    }
    for (uint32_t c = 0; r->comes == RETENTION_BRACKETS && c < r->bracket_count; c++) {
        column[c] = (Persons){{0}};
        for (uint32_t k = r->brackets[c].first; k <= r->brackets[c].last && k < count; k++)
            unite(&column[c], back[k].bits);
    }
}

/* Whoever of `who` is in `column`. */
static void keep_people(const RetentionWorker *w, const Persons *who, const Persons *column)
{
    uint64_t *bits = people_piece(w->run->people, w->piece);
    for (int word = 0; word < WORDS; word++)
        bits[word] |= who->bits[word] & column->bits[word];
}

/* Who of a series is in the columns of a cohort. */
static void add_cells(const RetentionWorker *w, size_t row, uint32_t left, const Persons *who,
                      const Persons *column)
{
    const Retention *r = w->run->r;
    const bool brackets = r->comes == RETENTION_BRACKETS;
    const uint64_t count = kernels()->count_both(who->bits, who->bits, WORDS);
    uint64_t *cells = w->cells + row * w->run->columns;
    w->persons[row] += count;
    if (retention_asks_who(w->run, row, QUERY_WHOLE))
        keep_people(w, who, who);
    for (uint32_t c = !brackets; count > 0 && c < (brackets ? r->bracket_count : left); c++) {
        cells[c] += kernels()->count_both(who->bits, column[c].bits, WORDS);
        if (retention_asks_who(w->run, row, c))
            keep_people(w, who, &column[c]);
    }
}

/* With several series every start counts: there is nobody to leave out. */
static void add_cohort(const RetentionWorker *w, uint32_t cohort, const Persons *left_out)
{
    const Retention *r = w->run->r;
    RetentionBits *b = w->bits;
    const uint32_t left = r->interval_count - cohort, buckets = r->interval_count + 1;
    const Persons *back = (w->run->select_count == 1 ? b->started : b->back) + 1 + cohort;
    find_columns(r, back, left, b->column);
    for (uint32_t s = 0; s < w->run->series.count; s++) {
        Persons who = b->started[s * buckets + cohort + 1];
        for (int word = 0; word < WORDS; word++)
            who.bits[word] &= ~left_out->bits[word];
        add_cells(w, (size_t)s * r->cohort_count + cohort, left, &who,
                  r->comes == RETENTION_ON ? back : b->column);
    }
}

void retention_bits_piece(RetentionWorker *w, uint32_t piece)
{
    const Retention *r = w->run->r;
    RetentionBits *b = w->bits;
    const uint32_t buckets = r->interval_count + 1;
    memset(b->started, 0, (size_t)w->run->series.count * buckets * sizeof *b->started);
    memset(b->back, 0, buckets * sizeof *b->back);
    whole_scan(b->scan, piece, take_whole, take_rows, b);
    Persons left_out = {{0}};
    for (uint32_t i = 0; i < r->cohort_count; i++) {
        if (r->cohort != RETENTION_RECURRING)
            unite(&left_out,
                  b->started[i].bits); /* of bucket i: interval i - 1, or the time before */
        add_cohort(w, i, &left_out);
    }
}
