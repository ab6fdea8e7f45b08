/*
 * modules/analysis/analysis_ask_retention.c -- retention.
 */
#include "engine/ask/retention.h"
#include "modules/analysis/analysis_ask.h"

#include <stdio.h>

static const int64_t HOUR_MS = INT64_C(3600000), DAY_MS = INT64_C(86400000);

static const RetentionCohort COHORTS[] = {RETENTION_RECURRING, RETENTION_FIRST,
                                          RETENTION_FIRST_EVER, RETENTION_FIRST_NAMED};
static const RetentionReturn RETURNS[] = {RETENTION_ON, RETENTION_ON_OR_AFTER,
                                          RETENTION_ON_OR_BEFORE, RETENTION_STREAK,
                                          RETENTION_BRACKETS};

typedef struct RetentionAsking {
    Retention retention;
    AskSeries series;
    AskProperty number;
} RetentionAsking;

/* ---- on the way in --------------------------------------------------------------------------------- */

/* How long the intervals of a person are; 0 = those of the calendar. */
static Err read_rolling(Asking *a, const ApiRetentionQuestion *q, int64_t *out_ms)
{
    static const int64_t LENGTHS[] = {
        [API_RETENTION_QUESTION_BY_HOUR] = HOUR_MS,
        [API_RETENTION_QUESTION_BY_DAY] = DAY_MS,
        [API_RETENTION_QUESTION_BY_WEEK] = 7 * DAY_MS,
        [API_RETENTION_QUESTION_BY_MONTH] = 30 * DAY_MS,
        [API_RETENTION_QUESTION_BY_YEAR] = 0,
    };
    *out_ms = q->rolling ? LENGTHS[q->by] : 0;
    if (q->rolling && *out_ms == 0)
        return fail_field(a->ctx, "/retention/rolling", "query.combination",
                          "rolling intervals are hours, days, weeks or months");
    return ERR_OK;
}

/* A first column of them that is not over is the end of what is complete: so they stand by their ends. */
static Err read_brackets(Asking *a, const ApiRetentionQuestion *q, Retention *out)
{
    RetentionBracket *brackets =
        ARENA_ARRAY(a->ctx->arena, RetentionBracket, q->brackets_count + 1);
    if ((out->comes == RETENTION_BRACKETS) != (q->brackets_count > 0))
        return fail_field(a->ctx, "/retention/brackets", "query.combination",
                          "brackets go with comes: bracket, and it with them");
    for (size_t i = 0; i < q->brackets_count; i++) {
        const ApiRetentionBracket *b = &q->brackets[i];
        char pointer[48];
        (void)snprintf(pointer, sizeof pointer, "/retention/brackets/%zu", i);
        if (b->first > b->last || (i > 0 && q->brackets[i - 1].last > b->last))
            return fail_field(a->ctx, pointer, "query.range",
                              "first must not be after last, and brackets are given by their ends");
        brackets[i] = (RetentionBracket){(uint32_t)b->first, (uint32_t)b->last};
    }
    out->brackets = brackets;
    out->bracket_count = (uint32_t)q->brackets_count;
    return ERR_OK;
}

/* The intervals of the range, and those that follow it. */
static Err read_intervals(Asking *a, const ApiRetentionQuestion *q, Retention *out)
{
    const AnalysisCalendar *c = &a->names.calendar;
    const uint32_t follow = (uint32_t)q->follow;
    const AnalysisBy by = ASK_INTERVALS[q->by];
    const int32_t last =
        follow == 0 || q->from > q->to ? q->to : analysis_bucket_end(c, q->to, by, follow);
    int64_t *bounds = NULL;
    TRY(ask_whole_days(a, "retention"));
    TRY(analysis_buckets(a->ctx, c, q->from, last, by, &bounds, &out->interval_count));
    out->starts_end_ms = analysis_day_start_ms(c, analysis_day_add(q->to, 1));
    while (out->cohort_count < out->interval_count &&
           bounds[out->cohort_count] < out->starts_end_ms)
        out->cohort_count++;
    if (out->interval_count > out->cohort_count + follow)
        out->interval_count = out->cohort_count + follow;
    if (out->interval_count > QUERY_INTERVALS_MAX)
        return fail_field(a->ctx, "/retention/to", "query.too_large",
                          "at most %d intervals, with those that follow", QUERY_INTERVALS_MAX);
    out->bounds = bounds;
    return ERR_OK;
}

static Err read_series(Asking *a, const ApiRetentionQuestion *q, RetentionAsking *out)
{
    Retention *r = &out->retention;
    TRY(ask_series(a, q->breakdown, q->breakdown_count, "/retention/breakdown", &out->series));
    r->breakdown = out->series.scan;
    r->breakdown_count = out->series.count;
    r->top = (uint32_t)q->top;
    r->same_value = q->same_value;
    if (r->same_value && r->breakdown_count == 0)
        return fail_field(a->ctx, "/retention/same_value", "query.combination",
                          "the same value of what: name it in breakdown");
    r->sums = q->number_is == DTO_VALUE;
    if (!r->sums)
        return ERR_OK;
    TRY(ask_property(a, q->number, "/retention/number", &out->number));
    if (out->number.type != EVENT_NUMBER && out->number.type != EVENT_MONEY)
        return fail_field(a->ctx, "/retention/number", "query.property",
                          "only numbers and amounts add up");
    r->number = out->number.scan;
    return ERR_OK;
}

static Err make_retention(Asking *a, const ApiRetentionQuestion *q, RetentionAsking *out)
{
    Retention *r = &out->retention;
    r->cohort = COHORTS[q->cohort];
    r->comes = RETURNS[q->comes];
    r->from_zero = q->zero;
    TRY(ask_select(a, q->start, "/retention/start", &r->start));
    TRY(ask_select(a, q->returns, "/retention/returns", &r->comes_back));
    TRY(read_rolling(a, q, &r->rolling_ms));
    TRY(read_brackets(a, q, r));
    TRY(read_intervals(a, q, r));
    return read_series(a, q, out);
}

/* ---- on the way out --------------------------------------------------------------------------------- */

/* The last interval that a column needs of a cohort. */
static uint32_t last_interval(const Retention *r, uint32_t column)
{
    return r->comes == RETENTION_BRACKETS ? r->brackets[column].last : column;
}

/* When a column of a cohort is over for everybody; INT64_MAX: behind what was asked. */
static int64_t column_end_ms(const Retention *r, uint32_t cohort, uint32_t column)
{
    const uint32_t k = last_interval(r, column);
    if (cohort + k >= r->interval_count)
        return INT64_MAX;
    return r->rolling_ms > 0 ? r->bounds[cohort + 1] + (int64_t)(k + 1) * r->rolling_ms
                             : r->bounds[cohort + k + 1];
}

static uint32_t first_column(const Retention *r)
{
    return r->comes == RETENTION_BRACKETS || r->from_zero ? 0 : 1;
}

static Str sum_text(const Asking *a, const RetentionAsking *asked, TrendSum sum)
{
    const bool is_money = asked->number.type == EVENT_MONEY;
    return ask_decimal(a->ctx, sum,
                       is_money ? a->ctx->settings->exponent : asked->number.scan.scale, is_money);
}

static void give_row(const Asking *a, const RetentionAsking *asked, const RetentionSeries *s,
                     uint32_t cohort, ApiRetentionRow *out)
{
    const Retention *r = &asked->retention;
    const bool brackets = r->comes == RETENTION_BRACKETS;
    const uint32_t columns = brackets ? r->bracket_count : r->interval_count;
    const uint32_t end = brackets ? columns : r->interval_count - cohort, z = first_column(r);
    out->start = r->bounds[cohort];
    out->persons = (int64_t)s->persons[cohort];
    out->returned_count = end - z;
    out->returned = ARENA_ARRAY(a->ctx->arena, int64_t, columns);
    out->sums_is = s->sums == NULL ? DTO_ABSENT : DTO_VALUE;
    out->sums_count = s->sums == NULL ? 0 : end - z;
    out->sums = ARENA_ARRAY(a->ctx->arena, Str, columns);
    for (uint32_t c = z; c < end; c++) {
        const size_t cell = (size_t)cohort * columns + c;
        out->returned[c - z] = (int64_t)s->cells[cell];
        if (s->sums != NULL)
            out->sums[c - z] = sum_text(a, asked, s->sums[cell]);
        out->complete += out->complete == c - z && column_end_ms(r, cohort, c) <= a->ctx->now_ms;
    }
}

enum { RATE_PLACES = 6 };

/* Of the cohorts whose column is over. */
static void give_mean(const Asking *a, const RetentionAsking *asked, const RetentionSeries *s,
                      const ApiRetentionRow *rows, uint32_t column, ApiRetentionMean *out)
{
    static const TrendSum ONE = 1000000; /* RATE_PLACES */
    const Retention *r = &asked->retention;
    const uint32_t columns = r->comes == RETENTION_BRACKETS ? r->bracket_count : r->interval_count;
    const uint32_t z = first_column(r);
    TrendSum rates = 0, sum = 0, cohorts = 0;
    for (uint32_t i = 0; i < r->cohort_count; i++) {
        if (column - z >= rows[i].complete || rows[i].persons == 0)
            continue;
        const int64_t returned = rows[i].returned[column - z];
        out->persons += rows[i].persons;
        out->returned += returned;
        rates += ONE * 1000 * returned / rows[i].persons; /* three places more than are shown */
        cohorts++;
        sum += s->sums == NULL ? 0 : s->sums[(size_t)i * columns + column];
    }
    if (s->sums != NULL)
        DTO_SET(out, sum, sum_text(a, asked, sum));
    if (cohorts == 0) {
        out->pooled_is = out->simple_is = DTO_NULL;
        return;
    }
    const TrendSum pooled = (ONE * out->returned + out->persons / 2) / out->persons;
    const TrendSum simple = (rates + cohorts * 500) / (cohorts * 1000);
    DTO_SET(out, pooled, ask_decimal(a->ctx, pooled, RATE_PLACES, false));
    DTO_SET(out, simple, ask_decimal(a->ctx, simple, RATE_PLACES, false));
}

static void give_series(const Asking *a, const RetentionAsking *asked, const RetentionSeries *s,
                        ApiRetentionSeriesRow *out)
{
    const Retention *r = &asked->retention;
    const uint32_t columns = r->comes == RETENTION_BRACKETS ? r->bracket_count : r->interval_count;
    const uint32_t z = first_column(r);
    out->other = s->key.is_other;
    out->values = ask_give_values(a, &asked->series, &s->key, &out->values_count);
    out->cohorts_count = r->cohort_count;
    out->cohorts = ARENA_ARRAY(a->ctx->arena, ApiRetentionRow, r->cohort_count);
    for (uint32_t i = 0; i < r->cohort_count; i++)
        give_row(a, asked, s, i, &out->cohorts[i]);
    out->mean_count = columns - z;
    out->mean = ARENA_ARRAY(a->ctx->arena, ApiRetentionMean, columns);
    for (uint32_t c = z; c < columns; c++)
        give_mean(a, asked, s, out->cohorts, c, &out->mean[c - z]);
}

/* Of the cohort of an interval those in the n-th column of the answer, or all. */
static Err give_who(Asking *a, const Query *q, const RetentionAsking *asked,
                    const RetentionResult *r)
{
    const Retention *t = &asked->retention;
    const ApiPeopleBar *in = a->who;
    const uint32_t z = first_column(t);
    RetentionBar bar = {.column = QUERY_WHOLE};
    People people;
    TRY(ask_place(a->ctx, in->interval_is, in->interval, t->cohort_count, "/people/interval",
                  &bar.cohort));
    const uint32_t end =
        t->comes == RETENTION_BRACKETS ? t->bracket_count : t->interval_count - bar.cohort;
    if (in->column_is == DTO_VALUE) {
        TRY(ask_place(a->ctx, in->column_is, in->column, end - z, "/people/column", &bar.column));
        bar.column += z;
    }
    TRY(ask_find_series(a, &asked->series, r->series, sizeof *r->series, r->count, &bar.series));
    TRY(query_retention_people(a->ctx, q, t, r, &bar, &people));
    ask_give_who(a, &people, ASK_COUNTS);
    return ERR_OK;
}

Err ask_retention(Asking *a, const Query *q, const ApiQuery *in)
{
    const ApiRetentionQuestion *question = &in->retention;
    RetentionAsking asked = {.number = {.type = EVENT_NONE}};
    RetentionResult result;
    a->names.schema = engine_schema_lock(a->engine);
    const Err err = make_retention(a, question, &asked);
    TRY(ask_texts(a, q, err));
    TRY(query_retention(a->ctx, q, &asked.retention, &result));
    ApiRetentionAnswer *out = &a->answer->retention;
    a->answer->retention_is = DTO_VALUE;
    out->first = first_column(&asked.retention);
    out->distinct = result.distinct;
    out->series_count = result.count;
    out->series = ARENA_ARRAY(a->ctx->arena, ApiRetentionSeriesRow, (size_t)result.count + 1);
    for (uint32_t i = 0; i < result.count; i++)
        give_series(a, &asked, &result.series[i], &out->series[i]);
    return a->who == NULL ? ERR_OK : give_who(a, q, &asked, &result);
}
