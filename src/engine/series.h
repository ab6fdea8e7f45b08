/*
 * engine/series.h -- the series of a breakdown: which combinations of values come most often, and which series a row
 * belongs to.
 *
 * Owns: a Series its memory until series_free(); a SeriesRows, of which each worker has one, until series_rows_free().
 * Threads: a Series is constant once it is found.
 */
#pragma once

#include "engine/trend_series.h"

typedef struct SeriesAsk {
    const ScanSelect *select; /* with its range */
    const ScanProp *breakdown;
    uint32_t breakdown_count; /* 0: one series, of everything */
    uint32_t top;
    bool persons; /* events of nobody do not count */
} SeriesAsk;

typedef struct Series {
    SeriesAsk ask;
    Combinations all;      /* by events, descending, then values */
    uint32_t shown, count; /* of them the first `shown`, and "other" when there are more */
} Series;

/* One pass over the events, when there is a breakdown.  Errors: those of crew_run(); INVALID "query.too_large" with more
 * than QUERY_VALUES_MAX combinations; INTERNAL "events.part_damaged".  *out is to be freed either way. */
MUST_USE Err series_find(Ctx *ctx, const Query *q, const SeriesAsk *ask, Series *out);
void series_free(Series *s);

/* How many combinations there are: 1 without a breakdown. */
uint32_t series_distinct(const Series *s);

/* Events of a series, and its values when it is not "other". */
uint64_t series_events(const Series *s, uint32_t at, int64_t values[QUERY_BREAKDOWNS_MAX]);

static inline bool series_is_other(const Series *s, uint32_t at)
{
    return s->ask.breakdown_count > 0 && at == s->shown;
}

/* Finds the series of values, for one thread. */
typedef struct SeriesRows {
    const Series *series;
    Combinations shown;
    uint32_t *direct; /* of one small code: its series */
    FilterScratch scratch;
    int64_t *values[QUERY_BREAKDOWNS_MAX];
    uint32_t *of_row;
    uint32_t cap;
} SeriesRows;

void series_rows_open(SeriesRows *r, const Series *s);
void series_rows_free(SeriesRows *r);

/* Of values in the order of the breakdown. */
uint32_t series_of(SeriesRows *r, const int64_t *values);

/* Of each row, matching or not; NULL without a breakdown.  Valid until the next call.  False: damaged. */
MUST_USE bool series_of_rows(SeriesRows *r, const ScanLoose *rows, const uint32_t **out);
