/*
 * engine/ask/trend.h -- the questions "trend" and "stickiness": events, persons or numbers by bucket of time and series.
 *
 * Owns: nothing.  Results live in ctx->arena.  Threads: any.  Errors: as engine/scan/query.h says.
 */
#pragma once

#include "engine/scan/query.h"

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
    uint32_t rolling; /* TREND_PERSONS: in so many buckets, the last of which is this one; 0 = 1 */
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
