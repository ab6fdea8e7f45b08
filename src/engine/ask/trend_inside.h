/*
 * engine/ask/trend_inside.h -- a trend under way.  Private to trend*.c.
 *
 * Cells stand by series, then by place in time, as bucket_places() counts: what lies before and behind the range has
 * a cell of its own that nobody reads, so that no row needs a look whether it lies within.
 */
#pragma once

#include "engine/ask/series.h"
#include "engine/ask/trend.h"
#include "engine/core/cell_sums.h"
#include "engine/scan/strip_persons.h"

enum {
    TREND_FLAG_WORDS = STRIP_PERSON_WORDS,
    TREND_COUNT_BITS = 20, /* of a packed cell: how many numbers; above, their sum */
};

/* Whoever is in one cell is asked for. */
typedef struct TrendWho {
    const People *people;
    uint32_t cell;
    bool at_least; /* TREND_STICKINESS: in the cells behind it, too */
    bool values;   /* a person's share is how many numbers there are, not what they sum up to */
    bool nobodys;  /* nobody may have a share */
} TrendWho;

typedef struct TrendRun {
    const Query *q;
    const Trend *t;
    const TrendWho *who; /* NULL: nobody asks */
    Query rest;          /* the question of the parts that the passes have to read */
    ScanView rest_view;
    ScanSelect select;
    BucketPlaces *places; /* of each part of the view */
    bool *keys;           /* the same: this pass needs the keys */
    Series chosen;        /* of a breakdown */
    uint32_t stride;      /* cells of a series */
    uint32_t series;      /* that have cells, one for "other" among them */
    bool counting;        /* the first of two passes: which series there are */
    bool in_one_pass;     /* every code has cells: series i is code i */
    uint32_t codes; /* the breakdown is of one property with codes, below this; 0 = it is not */
    uint32_t *cell_of_code; /* where its series begins */
    /* TREND_DISTINCT of few codes, below this: they are bits; 0 = they are tallied */
    uint32_t seen_codes;
    uint32_t first_block, strip_blocks; /* piece i: strip_blocks of them */
    struct TrendWorker *workers;
} TrendRun;

typedef struct TrendWorker {
    const TrendRun *run;
    Strips *strips;
    Tally counted;         /* first pass: events of each combination */
    uint64_t *code_counts; /* the same of codes, and in one pass */
    SeriesRows rows;       /* second pass: whose a row is */
    uint32_t block;        /* of the piece, the first */
    bool damaged;

    StripTimes times;
    /* by row of the strip */
    uint32_t *codes;
    int64_t *values[QUERY_BREAKDOWNS_MAX];
    int64_t *numbers;
    uint32_t *stored; /* the same, as small ones stand in their column */
    /* of the rows that count */
    uint32_t *picked, *cell;

    /* cells: made by who needs them, in its thread; NULL until then */
    TrendSum *cells;
    int64_t *narrow;  /* what is to be added to them */
    uint64_t *counts; /* of cells: events, or the numbers in them */
    uint64_t *packed; /* sums and counts of small numbers, to be added to both; of so many rows */
    uint32_t packed_rows;
    uint64_t *flags;     /* of persons: [block of the piece][cell][TREND_FLAG_WORDS] */
    uint64_t *seen_bits; /* of codes: [cell][word] */
    CellSums seen;       /* other values, by cell */
    CellSums persons;    /* of the piece, by cell */
    FilterScratch scratch;
} TrendWorker;

static inline bool trend_flags_persons(const Trend *t)
{
    return t->measure == TREND_PERSONS || t->measure == TREND_PERSONS_SO_FAR ||
           t->measure == TREND_STICKINESS;
}

static inline bool trend_is_per_person(const Trend *t)
{
    return t->measure >= TREND_AVERAGE && t->of != TREND_OF_EVENT;
}

static inline bool trend_keeps_values(const Trend *t)
{
    return t->measure == TREND_DISTINCT || t->measure == TREND_PERCENTILE;
}

/* Whether it looks at a number of each row. */
static inline bool trend_has_number(const Trend *t)
{
    return t->measure == TREND_SUM || t->measure == TREND_DISTINCT ||
           (t->measure >= TREND_AVERAGE && t->of != TREND_OF_PERSON_EVENTS);
}

static inline uint64_t trend_packed_count(uint64_t packed)
{
    return packed & ((UINT64_C(1) << TREND_COUNT_BITS) - 1);
}

static inline uint64_t trend_packed_sum(uint64_t packed)
{
    return packed >> TREND_COUNT_BITS;
}

/* Words of a cell's codes that were seen. */
static inline uint32_t trend_seen_words(const TrendRun *run)
{
    return (run->seen_codes + 63) / 64;
}

static inline size_t trend_cells(const TrendRun *run)
{
    return (size_t)run->series * run->stride;
}

/* ---- trend_rows.c: one strip --------------------------------------------------------------------- */

void trend_open_worker(TrendWorker *w);
void trend_close_worker(TrendWorker *w);

/* Makes the worker's cells, counts and narrow sums. */
void trend_open_cells(TrendWorker *w);
static inline void trend_need_cells(TrendWorker *w)
{
    if (w->cells == NULL)
        trend_open_cells(w);
}

void trend_take_strip(const Strip *strip, void *worker);

/* Behind the last piece of the second pass. */
void trend_end_pass(TrendWorker *w);

/* ---- trend_hours.c: parts that need no pass ------------------------------------------------------ */

/* Counts them into the cells of the first worker, and leaves them out of the run's question.  Errors: those of
 * crew_look(), trend_met_damage(). */
MUST_USE Err trend_count_hours(Ctx *ctx, TrendRun *run);
Err trend_met_damage(Ctx *ctx); /* the error */

/* ---- trend_measure.c: what rows add to cells ----------------------------------------------------- */

/* The picked rows, n of them, with their cells; of the second pass. */
void trend_add_rows(TrendWorker *w, const Strip *strip, uint32_t n);

/* Before and behind the strips of a piece. */
void trend_begin_piece(TrendWorker *w);
void trend_end_piece(TrendWorker *w);

/* Puts the workers' cells of one series to `cells` and `of`, which have the buckets of a result. */
void trend_give_cells(const TrendRun *run, const CellSums *seen, uint32_t series, TrendSum *cells,
                      uint64_t *of);
