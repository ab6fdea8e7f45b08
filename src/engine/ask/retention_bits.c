/*
 * engine/ask/retention_bits.c -- 64 persons at once.
 *
 * Of every interval who started in it and who came back in it are bits, of a piece's persons.  Whoever is in both of two
 * of these sets is counted in a cell; who came back "or after", "or before", in a streak or a bracket are sets made of
 * those of the single intervals.
 */
#include "engine/ask/retention_inside.h"
#include "engine/core/kernels.h"

#include <stdlib.h>

enum {
    WORDS = STRIP_PERSON_WORDS,
    EVER = 1, /* place of the time before the intervals; the first of these is behind it */
};

typedef struct Persons {
    uint64_t bits[WORDS];
} Persons;
_Static_assert(sizeof(Persons) == WORDS * sizeof(uint64_t), "cells of StripPersons");

typedef struct RetentionBits {
    WholeScan *scan;
    WholeAsk ask; /* of it */
    SeriesRows series;
    bool damaged;     /* in the values of a breakdown */
    int64_t *bounds;  /* of the time before the range, and of the intervals */
    uint32_t places;  /* of a series: those of the buckets, and before and behind them */
    uint32_t cells;   /* of a block's starts */
    Persons *started; /* [block][series][place] */
    Persons *back;    /* [block][place]; of one select, `started` */
    StripPersons start_bits, back_bits; /* the same, of the blocks under way */
    Persons *column;                    /* of one cohort: who is in its columns */
} RetentionBits;

static uint32_t places_of(const RetentionRun *run)
{
    return run->r->interval_count + 3;
}

size_t retention_bits_bytes(const RetentionRun *run)
{
    const size_t cells = series_of_any(&run->series) + (run->select_count > 1);
    return cells * places_of(run) * sizeof(Persons);
}

static Persons *new_persons(size_t count)
{
    Persons *p = malloc(count * sizeof *p);
    CHECK(p != NULL);
    return p;
}

RetentionBits *retention_bits_new(const RetentionRun *run, const ScanView *view)
{
    const Retention *r = run->r;
    RetentionBits *b = calloc(1, sizeof *b);
    CHECK(b != NULL);
    const uint32_t buckets = r->interval_count + 1;
    b->places = places_of(run);
    b->bounds = malloc((buckets + 1) * sizeof *b->bounds);
    CHECK(b->bounds != NULL);
    b->cells = series_of_any(&run->series) * b->places;
    b->started = new_persons((size_t)run->blocks * b->cells);
    b->back = new_persons((size_t)run->blocks * b->places);
    b->column = new_persons(QUERY_INTERVALS_MAX);
    b->bounds[0] = INT64_MIN;
    memcpy(b->bounds + 1, r->bounds, buckets * sizeof *b->bounds);
    b->ask = (WholeAsk){.selects = run->selects,
                        .select_count = run->select_count,
                        .bounds = b->bounds,
                        .count = buckets,
                        .rows_only = r->breakdown_count > 0,
                        .by_block = series_by_block(&run->series.ask)};
    b->scan = whole_scan_new(view, &b->ask);
    b->start_bits = (StripPersons){b->started->bits, 0, b->cells};
    b->back_bits = (StripPersons){b->back->bits, 0, b->places};
    series_rows_open(&b->series, &run->series);
    return b;
}

void retention_bits_free(RetentionBits *b)
{
    if (b == NULL)
        return;
    whole_scan_free(b->scan);
    series_rows_free(&b->series);
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
static void take_rows(const WholeRows *rows, void *arg)
{
    RetentionBits *b = arg;
    const bool starts = rows->select == 0;
    const bool good = series_add_persons(starts ? &b->series : NULL, rows, b->places,
                                         starts ? &b->start_bits : &b->back_bits);
    b->damaged = b->damaged || !good;
}

/* Of sets that are not one: so they are a few instructions each. */
static void unite(uint64_t *restrict to, const uint64_t *restrict from)
{
    for (int w = 0; w < WORDS; w++)
        to[w] |= from[w];
}

static void intersect(uint64_t *restrict to, const uint64_t *restrict from)
{
    for (int w = 0; w < WORDS; w++)
        to[w] &= from[w];
}

static void leave_out(uint64_t *restrict to, const uint64_t *restrict from)
{
    for (int w = 0; w < WORDS; w++)
        to[w] &= ~from[w];
}

static void take_whole(const WholePart *whole, void *arg)
{
    RetentionBits *b = arg;
    const StripPersons *to = whole->select == 0 ? &b->start_bits : &b->back_bits;
    unite(strip_persons_of(to, whole->block, whole->place), whole->persons);
}

/* ---- columns --------------------------------------------------------------------------------------- */

/* back[0] is interval 0 of the cohort, of `count` there are.  Interval 0 counts only by person. */
static void find_columns(const Retention *r, const Persons *back, uint32_t count, Persons *column)
{
    Persons so_far = {{0}};
    for (uint32_t k = count; r->comes == RETENTION_ON_OR_AFTER && k-- > 1;) {
        unite(so_far.bits, back[k].bits);
        column[k] = so_far;
    }
    for (uint32_t k = 1; r->comes == RETENTION_ON_OR_BEFORE && k < count; k++) {
        unite(so_far.bits, back[k].bits);
        column[k] = so_far;
    }
    for (uint32_t k = 1; r->comes == RETENTION_STREAK && k < count; k++) {
        column[k] = back[k];
        if (k > 1)
            intersect(column[k].bits, column[k - 1].bits);
    }
    for (uint32_t c = 0; r->comes == RETENTION_BRACKETS && c < r->bracket_count; c++) {
        column[c] = (Persons){{0}};
        for (uint32_t k = r->brackets[c].first; k <= r->brackets[c].last && k < count; k++)
            unite(column[c].bits, back[k].bits);
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

/* Of one block: [series][place], and [place]. */
typedef struct Block {
    const Persons *started, *back;
} Block;

/* With several series every start counts: there is nobody to leave out. */
static void add_cohort(const RetentionWorker *w, const Block *block, uint32_t cohort,
                       const Persons *left_out)
{
    const Retention *r = w->run->r;
    RetentionBits *b = w->bits;
    const uint32_t left = r->interval_count - cohort, place = EVER + 1 + cohort;
    find_columns(r, block->back + place, left, b->column);
    for (uint32_t s = 0; s < w->run->series.count; s++) {
        Persons who = block->started[s * b->places + place];
        leave_out(who.bits, left_out->bits);
        add_cells(w, (size_t)s * r->cohort_count + cohort, left, &who,
                  r->comes == RETENTION_ON ? block->back + place : b->column);
    }
}

static void add_block(const RetentionWorker *w, const Block *block)
{
    const Retention *r = w->run->r;
    Persons left_out = {{0}};
    for (uint32_t i = 0; i < r->cohort_count; i++) {
        if (r->cohort !=
            RETENTION_RECURRING) /* who started in the interval before, or ever before */
            unite(left_out.bits, block->started[EVER + i].bits);
        add_cohort(w, block, i, &left_out);
    }
}

void retention_bits_blocks(RetentionWorker *w, uint32_t from, uint32_t to)
{
    RetentionBits *b = w->bits;
    memset(b->started, 0, (size_t)(to - from) * b->cells * sizeof *b->started);
    memset(b->back, 0, (size_t)(to - from) * b->places * sizeof *b->back);
    b->start_bits.first_block = b->back_bits.first_block = from;
    whole_scan(b->scan, from, to, &(WholeTaker){take_whole, take_rows, b});
    for (uint32_t i = 0; i < to - from; i++) {
        const Persons *started = b->started + (size_t)i * b->cells;
        const Persons *back = b->back + (size_t)i * b->places;
        w->piece = from + i;
        add_block(w, &(Block){started, w->run->select_count == 1 ? started : back});
    }
}
