/*
 * modules/analysis/analysis_ask_touch.c -- attribution: which touches have earned a conversion.
 */
#include "engine/ask/touch.h"
#include "modules/analysis/analysis_ask.h"

typedef struct AskTouch {
    Touch touch;
    AskTrend rows; /* its breakdown; its number, when touch.number says that there is one */
} AskTouch;

static Err read_number(Asking *a, Str name, AskTouch *out)
{
    AskProperty *p = &out->rows.number;
    TRY(ask_property(a, name, "/touch/number", p));
    if (p->type != EVENT_NUMBER && p->type != EVENT_MONEY)
        return fail_field(a->ctx, "/touch/number", "query.property",
                          "only numbers and amounts can be earned");
    out->touch.number = &p->scan;
    return ERR_OK;
}

static Err make_touch(Asking *a, const ApiTouchQuestion *q, AskTouch *out)
{
    static const TouchModel MODELS[] = {
        TOUCH_LAST, TOUCH_FIRST,     TOUCH_LINEAR, TOUCH_U,
        TOUCH_J,    TOUCH_INVERSE_J, TOUCH_DECAY,  TOUCH_PARTICIPATION};
    static const TouchWhich WHICH[] = {TOUCH_EACH, TOUCH_FIRST_OF_PERSON, TOUCH_LAST_OF_PERSON};
    Touch *t = &out->touch;
    TRY(ask_select(a, q->conversion, "/touch/conversion", &t->conversion));
    TRY(ask_select(a, q->touch, "/touch/touch", &t->touch));
    TRY(ask_range(a, q->from, q->to, &t->conversion));
    TRY(ask_breakdown(a, q->breakdown, q->breakdown_count, "/touch/breakdown", &out->rows));
    if (out->rows.trend.items != NULL)
        return fail_field(a->ctx, "/touch/breakdown", "query.property",
                          "fields of records are for trends");
    t->breakdown = out->rows.series.scan;
    t->breakdown_count = out->rows.trend.breakdown_count;
    t->look_back_ms = q->look_back_s * 1000;
    t->model = MODELS[q->model];
    t->half_life_ms = q->half_life_s * 1000;
    t->which = WHICH[q->count];
    t->top = (uint32_t)q->top;
    return q->number_is == DTO_VALUE ? read_number(a, q->number, out) : ERR_OK;
}

static Str give_credit(const Asking *a, const AskTouch *t, TrendSum credit)
{
    enum { ONE_SCALE = 6 };
    _Static_assert((int)TOUCH_UNITS == 1000000, "a conversion is one with so many places");
    const AskProperty *number = &t->rows.number;
    if (t->touch.number == NULL)
        return ask_decimal(a->ctx, credit, ONE_SCALE, false);
    const bool is_money = number->type == EVENT_MONEY;
    return ask_decimal(a->ctx, credit, is_money ? a->ctx->settings->exponent : number->scan.scale,
                       is_money);
}

static ApiTouchSum give_sum(const Asking *a, const AskTouch *t, const TouchRow *row)
{
    return (ApiTouchSum){(int64_t)row->conversions, give_credit(a, t, row->credit)};
}

static void give_row(const Asking *a, const AskTouch *t, const TouchRow *row, ApiTouchRow *out)
{
    out->values = ask_give_values(a, &t->rows.series, &row->key, &out->values_count);
    out->other = row->key.is_other;
    out->conversions = (int64_t)row->conversions;
    out->credit = give_credit(a, t, row->credit);
}

/* Of a row, of the conversions without a touch, or of all. */
static Err give_who(Asking *a, const Query *q, const AskTouch *t, const TouchResult *r)
{
    static const ApiPeopleOutcome HAS[] = {API_PEOPLE_OUTCOME_REACHED, API_PEOPLE_OUTCOME_DIRECT};
    ApiPeopleOutcome outcome = API_PEOPLE_OUTCOME_REACHED;
    uint32_t bar = TOUCH_BAR_TOTAL;
    People people;
    TRY(ask_outcome(a, HAS, ARRAY_LEN(HAS), API_PEOPLE_OUTCOME_REACHED, &outcome));
    if (outcome == API_PEOPLE_OUTCOME_DIRECT && ask_names_series(a))
        return ask_no_bar(a->ctx, "/people/values", "what is direct has no row");
    if (outcome == API_PEOPLE_OUTCOME_DIRECT)
        bar = TOUCH_BAR_DIRECT;
    if (ask_names_series(a))
        TRY(ask_find_series(a, &t->rows.series, r->rows, sizeof *r->rows, r->count, &bar));
    TRY(query_touch_people(a->ctx, q, &t->touch, r, bar, &people));
    ask_give_who(a, &people, ASK_COUNTS);
    return ERR_OK;
}

Err ask_touch(Asking *a, const Query *q, const ApiQuery *in)
{
    AskTouch t = {.rows = {.number = {.type = EVENT_NONE}}};
    TouchResult result;
    ApiTouchAnswer *out = &a->answer->touch;
    a->names.schema = engine_schema_lock(a->engine);
    const Err err = make_touch(a, &in->touch, &t);
    TRY(ask_texts(a, q, err));
    TRY(query_touch(a->ctx, q, &t.touch, &result));
    a->answer->touch_is = DTO_VALUE;
    out->direct = give_sum(a, &t, &result.direct);
    out->total = give_sum(a, &t, &result.total);
    out->distinct = result.distinct;
    out->rows_count = result.count;
    out->rows = ARENA_ARRAY(a->ctx->arena, ApiTouchRow, (size_t)result.count + 1);
    for (uint32_t i = 0; i < result.count; i++)
        give_row(a, &t, &result.rows[i], &out->rows[i]);
    return a->who == NULL ? ERR_OK : give_who(a, q, &t, &result);
}
