/*
 * modules/analysis/analysis_ask_trend.c -- trends.
 */
#include "modules/analysis/analysis_ask.h"
#include "modules/analysis/analysis_formula.h"

/* ---- on the way in ------------------------------------------------------------------------------- */

/* A question is of one part, or of several with letters. */
typedef struct Parts {
    const Query *q;
    uint32_t count;
    bool lettered;
    bool has_formula;
    Formula formula;
    AskTrend at[FORMULA_LETTERS_MAX];
    TrendResult results[FORMULA_LETTERS_MAX];
} Parts;

static const char *below(Asking *a, const char *base, const char *name)
{
    return arena_printf(a->ctx->arena, "%s/%s", base, name).ptr;
}

static bool is_of_numbers(const Trend *t)
{
    return t->measure == TREND_SUM ||
           (t->measure >= TREND_AVERAGE && t->of != TREND_OF_PERSON_EVENTS);
}

static Err make_number(Asking *a, const ApiTrendPart *part, const char *base, AskTrend *out)
{
    const char *pointer = below(a, base, "number");
    const bool is_said = part->number_is == DTO_VALUE;
    if (!is_of_numbers(&out->trend) && out->trend.measure != TREND_DISTINCT)
        return !is_said ? ERR_OK
                        : fail_field(a->ctx, pointer, "query.combination",
                                     "this measure is of no number: leave it out, or ask for sum, "
                                     "distinct, average, min, max, median or percentile");
    if (!is_said)
        return fail_field(a->ctx, pointer, "query.property",
                          "this measure is of a property: say in number of which");
    TRY(ask_number(a, part->number, pointer, out));
    if (is_of_numbers(&out->trend) && out->number.type != EVENT_NUMBER &&
        out->number.type != EVENT_MONEY)
        return fail_field(a->ctx, pointer, "query.property",
                          "this measure is of numbers and amounts only");
    return ERR_OK;
}

static Err make_percentile(Asking *a, const ApiTrendPart *part, const char *base, AskTrend *out)
{
    enum { HALF_BPS = 5000 };
    const bool is_said = part->percentile_bps_is == DTO_VALUE;
    if (is_said != (part->measure == API_TREND_MEASURE_PERCENTILE))
        return fail_field(a->ctx, below(a, base, "percentile_bps"), "query.combination",
                          "percentile_bps belongs to the measure percentile");
    if (part->nearest_rank && part->measure != API_TREND_MEASURE_MEDIAN && !is_said)
        return fail_field(a->ctx, below(a, base, "nearest_rank"), "query.combination",
                          "nearest_rank belongs to the measures median and percentile");
    out->trend.percentile_bps = is_said ? (uint32_t)part->percentile_bps : HALF_BPS;
    out->trend.nearest_rank = part->nearest_rank;
    return ERR_OK;
}

static Err make_measure(Asking *a, const ApiTrendPart *part, const char *base, AskTrend *out)
{
    static const TrendMeasure MEASURES[] = {
        TREND_EVENTS,  TREND_PERSONS, TREND_SUM, TREND_PERSONS_SO_FAR, TREND_DISTINCT,
        TREND_AVERAGE, TREND_MIN,     TREND_MAX, TREND_PERCENTILE,     TREND_PERCENTILE};
    const bool per_person = part->per == API_TREND_PART_PER_PERSON;
    Trend *t = &out->trend;
    t->measure = MEASURES[part->measure];
    if (per_person && t->measure < TREND_AVERAGE)
        return fail_field(a->ctx, below(a, base, "per"), "query.combination",
                          "per person are average, min, max, median and percentile");
    if (per_person)
        t->of = part->number_is == DTO_VALUE ? TREND_OF_PERSON_SUM : TREND_OF_PERSON_EVENTS;
    TRY(make_percentile(a, part, base, out));
    return make_number(a, part, base, out);
}

/* Days before the range have buckets, too, when they count with its first ones. */
static Err make_buckets(Asking *a, const ApiTrendQuestion *q, const ApiTrendPart *part,
                        const char *base, AskTrend *out)
{
    int64_t *bounds = NULL;
    uint32_t shown = 0;
    TRY(ask_buckets(a, q->from, q->to, (AnalysisBy)q->by, &bounds, &shown));
    out->trend.bucket_count = shown;
    if (part->rolling_days_is == DTO_VALUE) {
        const int32_t from = analysis_day_add(q->from, 1 - part->rolling_days);
        if (part->measure != API_TREND_MEASURE_PERSONS || (AnalysisBy)q->by != ANALYSIS_BY_DAY)
            return fail_field(a->ctx, below(a, base, "rolling_days"), "query.combination",
                              "rolling_days belongs to the measure persons, by day");
        TRY(ask_whole_days(a, "persons of the last days"));
        TRY(analysis_buckets(a->ctx, &a->names.calendar, from, q->to, ANALYSIS_BY_DAY, &bounds,
                             &out->trend.bucket_count));
        out->trend.rolling = (uint32_t)part->rolling_days;
        out->lead = out->trend.bucket_count - shown;
    }
    out->trend.bounds = bounds;
    return ERR_OK;
}

static Err make_part(Asking *a, const ApiTrendQuestion *q, const ApiTrendPart *part,
                     const char *base, AskTrend *out)
{
    out->number.type = EVENT_NONE;
    TRY(ask_select(a, part->of, below(a, base, "of"), &out->trend.select));
    TRY(make_buckets(a, q, part, base, out));
    out->trend.top = q->breakdown_count == 0 ? 0 : (uint32_t)q->top;
    TRY(make_measure(a, part, base, out));
    if (part->records_is == DTO_VALUE)
        TRY(ask_records(a, part->records, below(a, base, "records"), out));
    return ask_breakdown(a, q->breakdown, q->breakdown_count, "/trend/breakdown", out);
}

/* The form without `series` is one part. */
static Err find_parts(Asking *a, const ApiTrendQuestion *q, const ApiTrendPart **out, Parts *parts)
{
    parts->lettered = q->series_is == DTO_VALUE;
    if (parts->lettered == (q->of_is == DTO_VALUE))
        return fail_field(a->ctx, "/trend/of", "query.combination",
                          "either of, or series with an of each");
    if (parts->lettered &&
        (q->measure != API_TREND_MEASURE_EVENTS || q->per != API_TREND_QUESTION_PER_EVENT ||
         q->number_is == DTO_VALUE || q->percentile_bps_is == DTO_VALUE || q->nearest_rank ||
         q->records_is == DTO_VALUE || q->rolling_days_is == DTO_VALUE))
        return fail_field(a->ctx, "/trend/series", "query.combination",
                          "what is measured stands in each of the series");
    ApiTrendPart *one = ARENA_NEW(a->ctx->arena, ApiTrendPart);
    *one = (ApiTrendPart){.of = q->of,
                          .measure = q->measure,
                          .number = q->number,
                          .number_is = q->number_is,
                          .records = q->records,
                          .records_is = q->records_is,
                          .per = q->per == API_TREND_QUESTION_PER_PERSON ? API_TREND_PART_PER_PERSON
                                                                         : API_TREND_PART_PER_EVENT,
                          .percentile_bps = q->percentile_bps,
                          .nearest_rank = q->nearest_rank,
                          .rolling_days = q->rolling_days,
                          .rolling_days_is = q->rolling_days_is,
                          .percentile_bps_is = q->percentile_bps_is};
    parts->count = parts->lettered ? (uint32_t)q->series_count : 1;
    *out = parts->lettered ? q->series : one;
    return ERR_OK;
}

static Err make_trend(Asking *a, const ApiTrendQuestion *q, Parts *parts)
{
    const ApiTrendPart *of = NULL;
    TRY(find_parts(a, q, &of, parts));
    for (uint32_t i = 0; i < parts->count; i++)
        TRY(make_part(a, q, &of[i],
                      parts->lettered ? arena_printf(a->ctx->arena, "/trend/series/%" PRIu32, i).ptr
                                      : "/trend",
                      &parts->at[i]));
    const uint64_t rows = (uint64_t)parts->count * ((uint64_t)parts->at[0].trend.top + 1);
    if (rows * parts->at[0].trend.bucket_count > QUERY_CELLS_MAX)
        return fail_field(a->ctx, "", "query.too_large",
                          "at most %d cells: fewer series, a shorter range, or longer buckets",
                          QUERY_CELLS_MAX);
    parts->has_formula = q->formula_is == DTO_VALUE;
    return parts->has_formula
               ? formula_parse(a->ctx, q->formula, parts->count, "/trend/formula", &parts->formula)
               : ERR_OK;
}

/* ---- asking -------------------------------------------------------------------------------------- */

static uint32_t shown_of(const TrendResult *r)
{
    return r->count - (r->count > 0 && r->series[r->count - 1].key.is_other);
}

/* A formula needs the same series of all: they are those of A. */
static Err ask_parts(Asking *a, const Query *q, Parts *parts)
{
    for (uint32_t i = 0; i < parts->count; i++) {
        Trend *t = &parts->at[i].trend;
        if (i > 0 && parts->has_formula && t->breakdown_count > 0) {
            t->same_as = parts->results[0].series;
            t->top = shown_of(&parts->results[0]);
        }
        TRY(query_trend(a->ctx, q, t, &parts->results[i]));
    }
    return ERR_OK;
}

/* ---- on the way out ------------------------------------------------------------------------------ */

static bool is_money(const AskTrend *t)
{
    return is_of_numbers(&t->trend) && t->number.type == EVENT_MONEY;
}

/* Decimal places of a cell. */
static int scale_of(const Asking *a, const AskTrend *t)
{
    if (!is_of_numbers(&t->trend))
        return 0;
    return is_money(t) ? a->ctx->settings->exponent : t->number.scan.scale;
}

static Fraction fraction_of(const Asking *a, const AskTrend *t, const TrendSeries *s, size_t bucket)
{
    FormulaInt under = s->of == NULL ? 1 : (FormulaInt)s->of[bucket];
    for (int i = 0; i < scale_of(a, t); i++)
        under *= 10;
    return (Fraction){s->cells[bucket], under};
}

static Err too_long(const Asking *a)
{
    return fail_field(a->ctx, "/trend/formula", "query.too_large",
                      "a value has too many digits: a simpler formula");
}

static Err give_cell(const Asking *a, const AskTrend *t, const TrendSeries *s, size_t bucket,
                     Str *out)
{
    const bool is_whole = s->of == NULL || s->of[bucket] == 1;
    if (is_whole) {
        *out = ask_decimal(a->ctx, s->cells[bucket], scale_of(a, t), is_money(t));
        return ERR_OK;
    }
    return fraction_text(a->ctx, fraction_of(a, t, s, bucket), out) ? ERR_OK : too_long(a);
}

/* Cells are printed, and computed, in as much as a hundred microseconds each. */
static Err look(const Asking *a, const Query *q)
{
    return crew_look(a->ctx, q->until_us, q->stop);
}

static Err give_series(const Asking *a, const Query *q, const AskTrend *t, const TrendSeries *s,
                       ApiTrendSeriesRow *out)
{
    TRY(look(a, q));
    out->other = s->key.is_other;
    out->values = ask_give_values(a, &t->series, &s->key, &out->values_count);
    out->cells_count = t->trend.bucket_count - t->lead;
    out->cells = ARENA_ARRAY(a->ctx->arena, Str, out->cells_count);
    for (size_t i = 0; i < out->cells_count; i++)
        TRY(give_cell(a, t, s, t->lead + i, &out->cells[i]));
    return ERR_OK;
}

/* What a part has in this row of the formula: the rows of A, then the others. */
static Fraction letter_of(const Asking *a, const Parts *parts, uint32_t part, uint32_t row,
                          size_t bucket)
{
    const TrendResult *r = &parts->results[part];
    const AskTrend *t = &parts->at[part];
    const bool is_counted = t->trend.measure < TREND_AVERAGE;
    if (row < r->count)
        return fraction_of(a, t, &r->series[row], t->lead + bucket);
    return (Fraction){0, is_counted}; /* A has no others */
}

static Err give_formula_row(const Asking *a, const Parts *parts, uint32_t row,
                            ApiTrendSeriesRow *out)
{
    const TrendResult *last = &parts->results[parts->count - 1];
    const AskTrend *t = &parts->at[0];
    out->other = last->series[row].key.is_other;
    out->values = ask_give_values(a, &t->series, &last->series[row].key, &out->values_count);
    out->cells_count = t->trend.bucket_count - t->lead;
    out->cells = ARENA_ARRAY(a->ctx->arena, Str, out->cells_count);
    for (size_t i = 0; i < out->cells_count; i++) {
        Fraction letters[FORMULA_LETTERS_MAX], value;
        TRY(look(a, parts->q));
        for (uint32_t part = 0; part < parts->count; part++)
            letters[part] = letter_of(a, parts, part, row, i);
        if (!formula_value(&parts->formula, letters, &value) ||
            !fraction_text(a->ctx, value, &out->cells[i]))
            return too_long(a);
    }
    return ERR_OK;
}

static Err give_formula(const Asking *a, const Parts *parts, ApiTrendAnswer *out)
{
    const uint32_t rows = parts->results[parts->count - 1].count;
    out->formula_is = DTO_VALUE;
    out->formula_count = rows;
    out->formula = ARENA_ARRAY(a->ctx->arena, ApiTrendSeriesRow, (size_t)rows + 1);
    for (uint32_t i = 0; i < rows; i++)
        TRY(give_formula_row(a, parts, i, &out->formula[i]));
    return ERR_OK;
}

static Err give_trend(const Asking *a, const Parts *parts, ApiTrendAnswer *out)
{
    size_t rows = 0;
    for (uint32_t i = 0; i < parts->count; i++)
        rows += parts->results[i].count;
    Trend shown = parts->at[0].trend;
    shown.bounds += parts->at[0].lead;
    shown.bucket_count -= parts->at[0].lead;
    out->buckets = ask_give_starts(a->ctx, &shown, &out->buckets_count);
    out->distinct = parts->results[0].distinct;
    out->series = ARENA_ARRAY(a->ctx->arena, ApiTrendSeriesRow, rows + 1);
    for (uint32_t i = 0; i < parts->count; i++)
        for (uint32_t s = 0; s < parts->results[i].count; s++) {
            ApiTrendSeriesRow *row = &out->series[out->series_count++];
            if (parts->lettered)
                DTO_SET(row, letter, str_slice(STR("ABCDEFGH"), i, i + 1));
            TRY(give_series(a, parts->q, &parts->at[i], &parts->results[i].series[s], row));
        }
    return parts->has_formula ? give_formula(a, parts, out) : ERR_OK;
}

/* ---- who they are -------------------------------------------------------------------------------- */

static Err find_part(const Asking *a, const Parts *parts, uint32_t *out)
{
    const ApiPeopleBar *bar = a->who;
    *out = 0;
    if (!parts->lettered)
        return bar->letter_is == DTO_VALUE
                   ? ask_no_bar(a->ctx, "/people/letter", "the answer has no letters")
                   : ERR_OK;
    if (bar->letter_is == DTO_VALUE)
        *out = (uint32_t)bar->letter.ptr[0] - 'A';
    if (bar->letter_is != DTO_VALUE || bar->letter.len != 1 || *out >= parts->count)
        return ask_no_bar(a->ctx, "/people/letter", "say which of the series");
    return ERR_OK;
}

static Err give_who(Asking *a, const Query *q, const Parts *parts)
{
    const ApiPeopleBar *in = a->who;
    uint32_t part = 0;
    TRY(find_part(a, parts, &part));
    const AskTrend *t = &parts->at[part];
    const TrendResult *r = &parts->results[part];
    const bool sums = t->trend.measure == TREND_SUM || t->trend.of == TREND_OF_PERSON_SUM;
    TrendBar bar = {.series = 0};
    People people;
    TRY(ask_place(a->ctx, in->interval_is, in->interval, t->trend.bucket_count - t->lead,
                  "/people/interval", &bar.cell));
    bar.cell += t->lead;
    TRY(ask_find_series(a, &t->series, r->series, sizeof *r->series, r->count, &bar.series));
    TRY(query_trend_people(a->ctx, q, &t->trend, r, &bar, &people));
    ask_give_who(a, &people, sums ? (AskAmount){scale_of(a, t), is_money(t)} : ASK_COUNTS);
    return ERR_OK;
}

Err ask_trend(Asking *a, const Query *q, const ApiQuery *in)
{
    Parts *parts = ARENA_NEW(a->ctx->arena, Parts);
    parts->q = q;
    a->names.schema = engine_schema_lock(a->engine);
    const Err err = make_trend(a, &in->trend, parts);
    TRY(ask_texts(a, q, err));
    TRY(ask_parts(a, q, parts));
    a->answer->trend_is = DTO_VALUE;
    TRY(give_trend(a, parts, &a->answer->trend));
    return a->who == NULL ? ERR_OK : give_who(a, q, parts);
}
