/*
 * engine/ask/retention.h -- the question "retention": who comes back, by the interval they started in.
 *
 * Owns: nothing.  Results live in ctx->arena.  Threads: any.  Errors: as engine/scan/query.h says.
 */
#pragma once

#include "engine/scan/query.h"

enum { RETENTION_CELLS_MAX = 1 << 18 }; /* series times cohorts times columns */

typedef enum RetentionCohort {
    RETENTION_RECURRING, /* who starts in several intervals is in the cohort of each */
    RETENTION_FIRST,     /* only in that of the first start in the range */
    RETENTION_FIRST_EVER, /* only in that of the first start of all time, when it lies in the range */
    RETENTION_FIRST_NAMED, /* the same of the first event of the start's names: in none when that is no start */
} RetentionCohort;

/* Whom a column counts, of a cohort that started in interval i.  Interval k of a person is interval i + k, of which
 * interval 0 counts behind the start only.  Z is 0 with from_zero, otherwise 1. */
typedef enum RetentionReturn {
    RETENTION_ON,           /* column k: who came back in interval k */
    RETENTION_ON_OR_AFTER,  /* in it, or in any later one */
    RETENTION_ON_OR_BEFORE, /* in any of Z to k */
    RETENTION_STREAK,       /* in each of Z to k */
    RETENTION_BRACKETS,     /* column c: in any of bracket c */
} RetentionReturn;

/* Intervals behind the start, the last one among them. */
typedef struct RetentionBracket {
    uint32_t first, last;
} RetentionBracket;

typedef struct Retention {
    ScanSelect start, comes_back; /* their time ranges are told by what follows */
    /* interval i is [bounds[i], bounds[i + 1]): interval_count + 1, ascending */
    const int64_t *bounds;
    uint32_t interval_count;
    uint32_t cohort_count; /* the first of them, in which people start; returns count in all */
    int64_t starts_end_ms; /* starts lie before it, too; in the last interval that starts cohorts */
    RetentionCohort cohort;
    RetentionReturn comes;
    bool from_zero;
    /* Not 0: interval k of a person begins k times as long after the full hour (UTC) of the cohort's first start of
     * theirs, and has this length; returns count as far as the last cell needs. */
    int64_t rolling_ms;
    const RetentionBracket *brackets; /* RETENTION_BRACKETS: at most QUERY_INTERVALS_MAX */
    uint32_t bracket_count;
    bool sums; /* of `number` over the returns of those counted, in the column's intervals */
    ScanProp number;
    const ScanProp *breakdown; /* the series, by what the start has; a person may be in several */
    uint32_t breakdown_count;
    uint32_t top;    /* series that are shown, those with the most starts; the rest are "other" */
    bool same_value; /* a return counts for starts with the same values only */
} Retention;

/* One series.  Cohort i has persons[i], of whom cells[i * columns + c] are in column c (0 behind the intervals, and
 * before Z) with sums[i * columns + c] (NULL: nobody asked). */
typedef struct RetentionSeries {
    QuerySeries key;
    uint64_t starts; /* events; 0 without a breakdown */
    const uint64_t *persons;
    const uint64_t *cells;
    const TrendSum *sums;
} RetentionSeries;

typedef struct RetentionResult {
    const RetentionSeries *series; /* as of a trend */
    uint32_t count, distinct;
    uint32_t columns; /* interval_count, or bracket_count */
} RetentionResult;

MUST_USE Err query_retention(Ctx *ctx, const Query *q, const Retention *r, RetentionResult *out);

typedef struct RetentionBar {
    uint32_t series, cohort;
    uint32_t column; /* QUERY_WHOLE = everybody in the cohort */
} RetentionBar;

MUST_USE Err query_retention_people(Ctx *ctx, const Query *q, const Retention *r,
                                    const RetentionResult *result, const RetentionBar *bar,
                                    People *out);
