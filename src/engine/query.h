/*
 * engine/query.h -- the questions: trends, funnels, retention, lifecycle.  Each is a struct of numbers: whoever
 * asks has turned names into numbers, conditions into filters, a calendar into instants.
 *
 * Owns: nothing.  Results live in ctx->arena.  Threads: any.
 * Errors of all: those of crew_run(); INVALID "query.too_large" past a limit below; INTERNAL
 * "events.part_damaged" when something that was asked for cannot be read.
 */
#pragma once

#include "engine/crew.h"
#include "engine/scan.h"

enum {
    QUERY_BUCKETS_MAX = 4096,
    QUERY_GROUPS_MAX = 256, /* that are shown, "other" not counted */
    QUERY_BREAKDOWNS_MAX = 3,
    QUERY_VALUES_MAX = 1 << 20, /* distinct combinations that are counted to find the top ones */
    QUERY_CELLS_MAX = 1 << 16,  /* series times buckets */
    QUERY_STEPS_MAX = 20,
    QUERY_INTERVALS_MAX = 400,           /* of a retention, of a lifecycle */
    QUERY_RETENTION_CELLS_MAX = 1 << 18, /* series times cohorts times columns */
};

/* What every question is asked with. */
typedef struct Query {
    const ScanView *view;
    Crew *crew;
    int64_t until_us; /* as in CrewJob */
    const atomic_bool *stop;
} Query;

/* ---- trends and stickiness ----------------------------------------------------------------------- */

typedef enum TrendMeasure {
    TREND_EVENTS,     /* how many events */
    TREND_PERSONS,    /* how many persons, each once per bucket; nobody is not one */
    TREND_SUM,        /* of a number, at `number.scale` */
    TREND_STICKINESS, /* cell n - 1: how many persons have events of the series in exactly n buckets */
} TrendMeasure;

typedef struct Trend {
    ScanSelect select; /* its time range is that of the buckets */
    TrendMeasure measure;
    ScanProp number; /* TREND_SUM */
    const int64_t
        *bounds; /* bucket i is [bounds[i], bounds[i + 1]): bucket_count + 1 of them, ascending */
    uint32_t bucket_count;
    const ScanProp *breakdown; /* the series, by the values of these */
    uint32_t breakdown_count;
    uint32_t top; /* series that are shown, those with the most events; the rest are "other" */
} Trend;

__extension__ typedef __int128 TrendSum;

/* One series: the events whose breakdown values are these (SCAN_MISSING = none). */
typedef struct TrendSeries {
    int64_t values[QUERY_BREAKDOWNS_MAX];
    bool is_other;
    uint64_t events;       /* in all buckets; 0 without a breakdown */
    const TrendSum *cells; /* [bucket]; of TREND_STICKINESS, [number of buckets - 1] */
} TrendSeries;

typedef struct TrendResult {
    const TrendSeries
        *series; /* by events, descending, then values; "other" last, when there is any */
    uint32_t count;
    uint32_t distinct; /* series there are; at QUERY_VALUES_MAX there may be more */
} TrendResult;

MUST_USE Err query_trend(Ctx *ctx, const Query *q, const Trend *trend, TrendResult *out);

/* ---- funnels ------------------------------------------------------------------------------------- */

typedef enum FunnelEntry {
    FUNNEL_BEST,  /* any step 0 may start; the longest way counts, of these the earliest */
    FUNNEL_FIRST, /* only the person's earliest step 0 of the range starts */
} FunnelEntry;

typedef enum FunnelOrder {
    FUNNEL_SEQUENTIAL, /* in the order of the steps; what is between does not matter */
    FUNNEL_ANY,        /* in any order: step i of the result is the i-th done; FUNNEL_BEST only */
    FUNNEL_STRICT,     /* in the order of the steps, and nothing else of the person between */
} FunnelOrder;

typedef struct Funnel {
    const ScanSelect
        *steps; /* step 0's range is that of the entries; what follows reaches window_ms further */
    uint32_t step_count;
    int64_t window_ms; /* from the first step to the last, inclusive */
    FunnelOrder order;
    FunnelEntry entry;
    bool times; /* FunnelResult.ms is wanted: costs as much again */
} Funnel;

/* persons[i]: who got to step i or further.  ms[i]: from step i - 1 to step i, summed over them; of FUNNEL_ANY, of
 * each person the mean of all longest ways, one from each event that one can begin with. */
typedef struct FunnelResult {
    uint64_t persons[QUERY_STEPS_MAX];
    uint64_t ms[QUERY_STEPS_MAX];
} FunnelResult;

/* Each event fills one step at most; at one instant the order of arrival counts. */
MUST_USE Err query_funnel(Ctx *ctx, const Query *q, const Funnel *funnel, FunnelResult *out);

/* ---- retention ----------------------------------------------------------------------------------- */

typedef enum RetentionCohort {
    RETENTION_RECURRING, /* who starts in several intervals is in the cohort of each */
    RETENTION_FIRST,     /* only in that of the first start in the range */
    RETENTION_FIRST_EVER, /* only in that of the first start of all time, when it lies in the range */
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
    const int64_t
        *bounds; /* interval i is [bounds[i], bounds[i + 1]): interval_count + 1, ascending */
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
    int64_t values[QUERY_BREAKDOWNS_MAX];
    bool is_other;
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

/* ---- lifecycle ----------------------------------------------------------------------------------- */

/* Interval i is [bounds[i], bounds[i + 1]): interval_count + 1 of them, ascending. */
typedef struct Lifecycle {
    ScanSelect select; /* its time range is that of the bounds */
    const int64_t *bounds;
    uint32_t interval_count; /* at most QUERY_INTERVALS_MAX */
    uint32_t look_back; /* intervals: who was active in none of them is new; 0 = all there are */
    const ScanProp
        *breakdown; /* the series, by the values of these: of each its own events count */
    uint32_t breakdown_count;
    uint32_t top; /* series that are shown, those with the most events; the rest are "other" */
} Lifecycle;

/* Persons of one interval; nobody is not one.  The first three are those who are active in it. */
typedef struct LifecycleRow {
    uint64_t fresh;        /* not active in the look-back */
    uint64_t returning;    /* active in the interval before */
    uint64_t resurrecting; /* active in the look-back, but not in the interval before */
    uint64_t dormant;      /* active in the interval before, but not in this one */
} LifecycleRow;

typedef struct LifecycleSeries {
    int64_t values[QUERY_BREAKDOWNS_MAX];
    bool is_other;
    uint64_t events; /* 0 without a breakdown */
    const LifecycleRow *rows;
} LifecycleSeries;

/* One row per interval.  Nothing is known of what was before bounds[0]: who wants the first rows to know it begins
 * earlier and leaves out the rows of that time. */
typedef struct LifecycleResult {
    const LifecycleSeries *series; /* as of a trend */
    uint32_t count, distinct;
} LifecycleResult;

MUST_USE Err query_lifecycle(Ctx *ctx, const Query *q, const Lifecycle *l, LifecycleResult *out);
