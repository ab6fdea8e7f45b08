/*
 * engine/ask/retention_inside.h -- what the files of the retention share.  Private to retention*.c.
 *
 *   retention.c          limits, workers, sums of what they found
 *   retention_bits.c     64 persons at once: where what a person did is enough, and not in which order
 *   retention_persons.c  person by person: rolling intervals, returns behind the start, sums, a first start's values
 */
#pragma once

#include "engine/ask/retention.h"
#include "engine/ask/series.h"

enum {
    RETENTION_WORDS = (QUERY_INTERVALS_MAX + 63) / 64,
    RETENTION_START = 1,
    RETENTION_BACK = 2,
    RETENTION_NAMED = 4
};

/* One bit per interval, or per column. */
typedef struct RetentionSet {
    uint64_t bits[RETENTION_WORDS];
} RetentionSet;

static inline void retention_set(RetentionSet *s, uint32_t i)
{
    s->bits[i / 64] |= UINT64_C(1) << (i & 63);
}

static inline bool retention_has(const RetentionSet *s, uint32_t i)
{
    return (s->bits[i / 64] >> (i & 63) & 1) != 0;
}

typedef struct RetentionRun {
    const Retention *r;
    Series series;
    uint32_t columns;
    /* start, comes_back, only the first when both are the same; of RETENTION_FIRST_NAMED the start's names, too */
    ScanSelect selects[3];
    uint32_t select_count;
    uint32_t blocks;      /* that are looked at together, 64 persons at once */
    const People *people; /* NULL: nobody asks who is in this cell: */
    size_t who_row;       /* series times cohorts, and cohort */
    uint32_t who_column;  /* QUERY_WHOLE = all of the row */
    struct RetentionWorker *workers;
} RetentionRun;

typedef struct RetentionWorker {
    const RetentionRun *run;
    uint64_t *persons;          /* [series][cohort] */
    uint64_t *cells;            /* [series][cohort][column] */
    TrendSum *sums;             /* the same, or NULL */
    uint32_t piece;             /* under way: of SCAN_PIECE_PERSONS, a block */
    struct RetentionBits *bits; /* of the way that is gone: the other is NULL */
    struct RetentionPersons *by_person;
} RetentionWorker;

/* Whether it is asked who is in this cell. */
static inline bool retention_asks_who(const RetentionRun *run, size_t row, uint32_t column)
{
    return run->people != NULL && run->who_row == row && run->who_column == column;
}

/* The first column that counts returns. */
static inline uint32_t retention_first_column(const Retention *r)
{
    return r->comes == RETENTION_BRACKETS || r->from_zero ? 0 : 1;
}

struct RetentionBits *retention_bits_new(const RetentionRun *run, const ScanView *view);
void retention_bits_free(struct RetentionBits *b);
void retention_bits_blocks(RetentionWorker *w, uint32_t from,
                           uint32_t to);                           /* run->blocks at most */
size_t retention_bits_bytes(const RetentionRun *run);              /* that a block takes */
const WholeAsk *retention_bits_ask(const struct RetentionBits *b); /* what the parts are asked */
uint64_t retention_bits_damaged(const struct RetentionBits *b);

struct RetentionPersons *retention_persons_new(const RetentionRun *run, const ScanView *view);
void retention_persons_free(struct RetentionPersons *p);
void retention_persons_piece(RetentionWorker *w, uint32_t piece);
uint64_t retention_persons_damaged(const struct RetentionPersons *p);
