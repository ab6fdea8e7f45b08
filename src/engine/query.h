/*
 * engine/query.h -- the questions: trends, retention, lifecycle (engine/funnel.h: funnels).  Each is a struct of
 * numbers: whoever asks has turned names into numbers, conditions into filters, a calendar into instants.
 *
 * Who is behind a number of a result (a bar): query_..._people() asks the same question again, of the same view, and
 * keeps the persons whom it counts there.  It is the code that counted the number, so the people are as many as it
 * says; where it counts something else than persons, their amounts and nobody's are together what it says.
 *
 * Owns: nothing.  Results live in ctx->arena.  Threads: any.
 * Errors of all: those of crew_run(); INVALID "query.too_large" past a limit below; INTERNAL
 * "events.part_damaged" when something that was asked for cannot be read.
 */
#pragma once

#include "engine/crew.h"
#include "engine/people.h"

enum {
    QUERY_BUCKETS_MAX = 4096,
    QUERY_GROUPS_MAX = 256, /* that are shown, "other" not counted */
    QUERY_BREAKDOWNS_MAX = 3,
    QUERY_VALUES_MAX = 1 << 20, /* distinct combinations of a breakdown */
    QUERY_CELLS_MAX = 1 << 16,  /* series times buckets */
    QUERY_VALUE_CELLS_MAX =
        1 << 22, /* different values of distinct and percentiles, of all cells together */
    QUERY_STEPS_MAX = 20,
    QUERY_INTERVALS_MAX = 400,           /* of a retention, of a lifecycle */
    QUERY_RETENTION_CELLS_MAX = 1 << 18, /* series times cohorts times columns */
};

/* What a series of a breakdown is of: events with these values (SCAN_MISSING = none), or all others. */
typedef struct QuerySeries {
    int64_t values[QUERY_BREAKDOWNS_MAX];
    bool is_other;
} QuerySeries;

/* What every question is asked with. */
typedef struct Query {
    const ScanView *view;
    Crew *crew;
    int64_t until_us; /* as in CrewJob */
    const atomic_bool *stop;
} Query;

/* For the questions themselves: each piece of all persons once, on the crew's threads.  Errors: those of crew_run(). */
typedef enum QueryWhom {
    QUERY_ALL,
    QUERY_PERSONS, /* but nobody, who is the first piece */
} QueryWhom;

MUST_USE Err query_pieces(Ctx *ctx, const Query *q, QueryWhom whom,
                          void (*piece)(uint32_t worker, uint32_t piece, void *arg), void *arg);

/* What each thread may hold of so many things when none of them knows what the others have: all of them with few
 * threads, so that no question is refused for less, a part of them with many, so that memory is bounded. */
static inline uint32_t query_share(const Query *q, uint32_t most)
{
    enum { FEW_THREADS = 4 };
    const uint32_t threads = crew_size(q->crew);
    return threads <= FEW_THREADS ? most : (uint32_t)((uint64_t)most * FEW_THREADS / threads);
}

/* The error of a breakdown with more combinations than QUERY_VALUES_MAX: nobody knows which come most often. */
static inline Err query_too_many(Ctx *ctx)
{
    return fail_field(
        ctx, "", "query.too_large",
        "more combinations of values than %d: break down by fewer properties, or by such with "
        "fewer values, or ask of fewer events",
        QUERY_VALUES_MAX);
}

/* ---- trends and stickiness ----------------------------------------------------------------------- */

typedef enum TrendMeasure {
    TREND_EVENTS,         /* how many events */
    TREND_PERSONS,        /* how many persons, each once per bucket; nobody is not one */
    TREND_PERSONS_SO_FAR, /* how many persons in this bucket or one before it in the range */
    TREND_STICKINESS, /* cell n - 1: how many persons have events of the series in exactly n buckets */
    TREND_SUM,        /* of a number, at `number.scale` */
    TREND_DISTINCT, /* values of `number`, which may be a text's codes */
    /* of numbers, see TrendOf */
    TREND_AVERAGE,
    TREND_MIN,
    TREND_MAX,
    TREND_PERCENTILE, /* at `percentile_bps` of the way from the least to the greatest, between two in proportion */
} TrendMeasure;

/* Which numbers TREND_AVERAGE to TREND_PERCENTILE are of. */
typedef enum TrendOf {
    TREND_OF_EVENT,         /* `number` of each event that has it */
    TREND_OF_PERSON_EVENTS, /* of each person in the cell, how many events */
    TREND_OF_PERSON_SUM,    /* of each person with a number in the cell, the sum of them */
} TrendOf;

typedef struct Trend {
    ScanSelect select; /* its time range is that of the buckets */
    /* not NULL: what is said of events below is of these items of the selected events */
    const ScanItems *items;
    TrendMeasure measure;
    TrendOf of;
    ScanProp number;         /* TREND_SUM, TREND_DISTINCT, TREND_OF_EVENT, TREND_OF_PERSON_SUM */
    uint32_t percentile_bps; /* 0 to 10,000 */
    /* TREND_PERCENTILE: the least value that this share does not exceed, instead of what lies between */
    bool nearest_rank;
    /* bucket i is [bounds[i], bounds[i + 1]): bucket_count + 1 of them, ascending */
    const int64_t *bounds;
    uint32_t bucket_count;
    const ScanProp *breakdown; /* the series, by the values of these */
    uint32_t breakdown_count;
    uint32_t top; /* series that are shown, those with the most events; the rest are "other" */
    /* not NULL: the series are those of these, `top` of them, and there is always "other" */
    const struct TrendSeries *same_as;
} Trend;

__extension__ typedef __int128 TrendSum;

typedef struct TrendSeries {
    QuerySeries key;
    uint64_t events;       /* in all buckets; 0 without a breakdown, and with same_as */
    const TrendSum *cells; /* [bucket]; of TREND_STICKINESS, [number of buckets - 1] */
    const uint64_t *of;    /* cells are divided by these; 0: there is no value.  NULL: by 1 */
} TrendSeries;

typedef struct TrendResult {
    /* by events, descending, then values; "other" last, when there is any */
    const TrendSeries *series;
    uint32_t count;
    uint32_t distinct; /* series there are */
} TrendResult;

MUST_USE Err query_trend(Ctx *ctx, const Query *q, const Trend *trend, TrendResult *out);

/* Cell `cell` of a series; of TREND_STICKINESS with `at_least` those behind it, too. */
typedef struct TrendBar {
    uint32_t series, cell;
    bool at_least;
} TrendBar;

/*
 * `r` is what the view answered.  TREND_PERSONS to TREND_STICKINESS: the persons whom the cell counts.  Otherwise those
 * whose rows it is of, with amounts: how many events, of TREND_SUM the sum of each one's numbers, of what is per
 * person the number of each; of the others how many numbers each has.
 */
MUST_USE Err query_trend_people(Ctx *ctx, const Query *q, const Trend *trend, const TrendResult *r,
                                const TrendBar *bar, People *out);

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

#define QUERY_WHOLE UINT32_MAX

typedef struct RetentionBar {
    uint32_t series, cohort;
    uint32_t column; /* QUERY_WHOLE = everybody in the cohort */
} RetentionBar;

MUST_USE Err query_retention_people(Ctx *ctx, const Query *q, const Retention *r,
                                    const RetentionResult *result, const RetentionBar *bar,
                                    People *out);

/* ---- lifecycle ----------------------------------------------------------------------------------- */

/* Interval i is [bounds[i], bounds[i + 1]): interval_count + 1 of them, ascending. */
typedef struct Lifecycle {
    ScanSelect select; /* its time range is that of the bounds */
    const int64_t *bounds;
    uint32_t interval_count; /* at most QUERY_INTERVALS_MAX */
    uint32_t look_back; /* intervals: who was active in none of them is new; 0 = all there are */
    /* the series, by the values of these: of each its own events count */
    const ScanProp *breakdown;
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
    QuerySeries key;
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

/* In the order of LifecycleRow. */
typedef enum LifecycleState {
    LIFECYCLE_NEW,
    LIFECYCLE_RETURNING,
    LIFECYCLE_RESURRECTING,
    LIFECYCLE_DORMANT,
    LIFECYCLE_STATES,
} LifecycleState;

typedef struct LifecycleBar {
    uint32_t series, interval;
    LifecycleState state;
} LifecycleBar;

MUST_USE Err query_lifecycle_people(Ctx *ctx, const Query *q, const Lifecycle *l,
                                    const LifecycleResult *r, const LifecycleBar *bar, People *out);
