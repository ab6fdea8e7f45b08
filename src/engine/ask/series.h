/*
 * engine/ask/series.h -- the series of a breakdown: which combinations of values come most often, and which series a row
 * belongs to.
 *
 * Owns: a Series its memory until series_free(); a SeriesRows, of which each worker has one, until series_rows_free().
 * Threads: a Series is constant once it is found.
 */
#pragma once

#include "engine/core/tally.h"
#include "engine/scan/query.h"
#include "engine/scan/scan_whole.h"
#include "engine/scan/strip_persons.h"

typedef struct SeriesAsk {
    const ScanSelect *select; /* with its range */
    const ScanProp *breakdown;
    uint32_t breakdown_count; /* 0: one series, of everything */
    uint32_t top;
} SeriesAsk;

typedef struct Series {
    SeriesAsk ask;
    Tally all;   /* the events of every combination: by these, descending, then by values */
    Tally shown; /* the first of them, each with its place as number */
    /* those that are shown, and "other" when there are more; 1 without a breakdown */
    uint32_t count;
} Series;

/* Nothing was counted yet; QUERY_VALUES_MAX combinations may be. */
Series series_of_nothing(const SeriesAsk *ask);

/* The top ones of all that were counted. */
void series_choose(Series *s);

/* One pass over the events, when there is a breakdown; those of nobody do not count.  Errors: those of crew_run(); INVALID
 * "query.too_large" with more than QUERY_VALUES_MAX combinations; INTERNAL "events.part_damaged".  *out is to be freed
 * either way. */
MUST_USE Err series_find(Ctx *ctx, const Query *q, const SeriesAsk *ask, Series *out);

/* Instead, the same series as once before: each in its order, "other" last. */
void series_know(Series *s, const QuerySeries *key);

/* Keys of series, `stride` bytes apart. */
typedef struct SeriesKeys {
    const QuerySeries *first;
    size_t stride;
    uint32_t count;
} SeriesKeys;

/* series_find(), or when a question is asked again, the series that it had: `known` is not NULL. */
MUST_USE Err series_find_or_know(Ctx *ctx, const Query *q, const SeriesAsk *ask,
                                 const SeriesKeys *known, Series *out);

void series_free(Series *s);

/* Some of its values were said of persons: they are looked up by block. */
bool series_by_block(const SeriesAsk *ask);

/* How many combinations there are: 1 without a breakdown. */
uint32_t series_distinct(const Series *s);

/* What a series is of, and how many events it has: 0 without a breakdown. */
QuerySeries series_key(const Series *s, uint32_t at);
uint64_t series_events(const Series *s, uint32_t at);

static inline bool series_is_other(const Series *s, uint32_t at)
{
    return s->ask.breakdown_count > 0 && at == s->shown.count;
}

/* Finds the series of values, for one thread. */
typedef struct SeriesRows {
    const Series *series;
    uint32_t last; /* the one found last: neighbours are often alike */
    FilterScratch scratch;
    int64_t *values[QUERY_BREAKDOWNS_MAX];
    uint32_t *of_row, *picked;
    uint32_t cap;
} SeriesRows;

void series_rows_open(SeriesRows *r, const Series *s);
void series_rows_free(SeriesRows *r);

/* Of values in the order of the breakdown, and zeros. */
uint32_t series_of(SeriesRows *r, const TallyKey *values);

/* Adds who has rows that match, to cells[series][place] of their blocks, `places` of a series.  `r`: NULL = all are of
 * one.  False: damaged. */
MUST_USE bool series_add_persons(SeriesRows *r, const WholeRows *rows, uint32_t places,
                                 const StripPersons *to);
