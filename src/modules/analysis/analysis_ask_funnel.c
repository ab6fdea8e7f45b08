/*
 * modules/analysis/analysis_ask_funnel.c -- funnels, and who is behind their numbers.
 */
#include "engine/ask/funnel.h"
#include "engine/ask/session.h"
#include "modules/analysis/analysis_ask.h"

#include <stdio.h>

static const FunnelOrder ORDERS[] = {FUNNEL_SEQUENTIAL, FUNNEL_ANY, FUNNEL_STRICT, FUNNEL_ANY};
static const FunnelEntry ENTRIES[] = {FUNNEL_BEST,       FUNNEL_FIRST,   FUNNEL_ALL,
                                      FUNNEL_FIRST_EVER, FUNNEL_NEAREST, FUNNEL_FIRST_NAMED,
                                      FUNNEL_EVERY};
static const FunnelCredit CREDITS[] = {FUNNEL_FIRST_STEP, FUNNEL_LAST_STEP, FUNNEL_FIRST_KNOWN,
                                       FUNNEL_LAST_KNOWN, FUNNEL_ONE_STEP,  FUNNEL_EACH_STEP};
static const AnalysisBy BYS[] = {ANALYSIS_BY_ALL,  ANALYSIS_BY_HOUR,  ANALYSIS_BY_DAY,
                                 ANALYSIS_BY_WEEK, ANALYSIS_BY_MONTH, ANALYSIS_BY_QUARTER,
                                 ANALYSIS_BY_YEAR};

/* The question, with what it points to. */
typedef struct AskFunnel {
    Funnel funnel;
    AskSeries breakdown;
    ScanProp hold[FUNNEL_HOLDS_MAX];
    FunnelExclude excludes[FUNNEL_EXCLUDES_MAX];
    ScanSelect steps[QUERY_STEPS_MAX];
    uint32_t optional; /* the step that need not be done; 0 = none */
} AskFunnel;

/* ---- on the way in ------------------------------------------------------------------------------- */

static Err combination(Ctx *ctx, const char *pointer, const char *why)
{
    return fail_field(ctx, pointer, "query.combination", "%s", why);
}

static Err check_combinations(Ctx *ctx, const ApiFunnelQuestion *q)
{
    const FunnelEntry entry = ENTRIES[q->entry];
    const bool of_any = entry == FUNNEL_BEST || entry == FUNNEL_ALL || entry == FUNNEL_EVERY;
    if (q->order == API_FUNNEL_QUESTION_ORDER_ANY && !of_any)
        return combination(ctx, "/funnel/entry",
                           "in any order there is no first step: entry must be best, all or every");
    if (q->order == API_FUNNEL_QUESTION_ORDER_ANY_AFTER_FIRST && entry == FUNNEL_NEAREST)
        return combination(ctx, "/funnel/entry", "nearest is for the orders sequential and strict");
    if (q->window_sessions_is != DTO_VALUE &&
        (q->gap_s_is == DTO_VALUE || q->max_s_is == DTO_VALUE))
        return combination(ctx, q->gap_s_is == DTO_VALUE ? "/funnel/gap_s" : "/funnel/max_s",
                           "it says where sessions end, and there is no window_sessions");
    if (q->order != API_FUNNEL_QUESTION_ORDER_SEQUENTIAL && q->grace_ms > 0)
        return combination(ctx, "/funnel/grace_ms", "a grace is for order sequential only");
    const bool of_step = q->attribution == API_FUNNEL_QUESTION_ATTRIBUTION_STEP;
    if (of_step != (q->attribution_step_is == DTO_VALUE))
        return combination(ctx, "/funnel/attribution_step",
                           "attribution step, and only that, says which one");
    if (q->unreached &&
        (!of_step || q->breakdown_count == 0 || q->breakdown_count == QUERY_BREAKDOWNS_MAX))
        return combination(ctx, "/funnel/unreached",
                           "it is for attribution step, of one or two properties");
    if (of_step && q->attribution_step > (int64_t)q->steps_count)
        return combination(ctx, "/funnel/attribution_step", "there are fewer steps");
    return ERR_OK;
}

/* The one step that need not be done, by its place from 0; 0 = each must. */
static Err find_optional(Ctx *ctx, const ApiFunnelQuestion *q, uint32_t *out)
{
    *out = 0;
    for (size_t i = 0; i < q->steps_count; i++) {
        if (!q->steps[i].optional)
            continue;
        if (i == 0 || i + 1 == q->steps_count || *out > 0)
            return combination(ctx, arena_printf(ctx->arena, "/funnel/steps/%zu/optional", i).ptr,
                               "one step may be optional, neither the first nor the last");
        *out = (uint32_t)i;
    }
    if (*out > 0 && q->attribution_step == (int64_t)*out + 1)
        return combination(ctx, "/funnel/attribution_step", "not to the step that is optional");
    for (size_t i = 0; i<q->exclude_count && * out> 0; i++)
        if (q->exclude[i].from_step == (int64_t)*out + 1 ||
            (q->exclude[i].to_step_is == DTO_VALUE && q->exclude[i].to_step == (int64_t)*out + 1))
            return combination(ctx, arena_printf(ctx->arena, "/funnel/exclude/%zu", i).ptr,
                               "nothing is excluded from or up to the step that is optional");
    return ERR_OK;
}

/* The bits behind it move up. */
static uint32_t without_bit(uint32_t bits, uint32_t gone)
{
    const uint32_t below = (1U << gone) - 1;
    return (bits & below) | (bits >> 1 & ~below);
}

/* The funnel without that step.  What it points to belongs to the other one as well. */
static AskFunnel *without_optional(Ctx *ctx, const AskFunnel *f)
{
    AskFunnel *out = ARENA_NEW(ctx->arena, AskFunnel);
    const uint32_t gone = f->optional;
    *out = *f;
    out->funnel.steps = out->steps;
    out->funnel.excludes = out->excludes;
    out->funnel.step_count--;
    out->funnel.hold_steps = without_bit(f->funnel.hold_steps, gone);
    out->funnel.credit_step -= f->funnel.credit == FUNNEL_ONE_STEP && f->funnel.credit_step > gone;
    memmove(out->steps + gone, out->steps + gone + 1,
            (out->funnel.step_count - gone) * sizeof *out->steps);
    for (uint32_t i = 0; i < out->funnel.exclude_count; i++) {
        out->excludes[i].from_step -= out->excludes[i].from_step > gone;
        out->excludes[i].to_step -= out->excludes[i].to_step > gone;
    }
    return out;
}

static Err make_steps(Asking *a, const ApiFunnelQuestion *q, AskFunnel *out)
{
    const AnalysisBy by = BYS[q->by];
    int64_t *bounds = NULL;
    uint32_t count = 0;
    for (size_t i = 0; i < q->steps_count; i++) {
        char pointer[48];
        (void)snprintf(pointer, sizeof pointer, "/funnel/steps/%zu/of", i);
        TRY(ask_select(a, q->steps[i].of, pointer, &out->steps[i]));
    }
    TRY(ask_buckets(a, q->from, q->to, by, &bounds, &count));
    if (count > QUERY_INTERVALS_MAX)
        return fail_field(a->ctx, "/funnel/by", "query.too_large", "at most %d intervals",
                          QUERY_INTERVALS_MAX);
    out->steps[0].from_ms = bounds[0];
    out->steps[0].to_ms = bounds[count];
    out->funnel.bounds = bounds;
    out->funnel.interval_count = by == ANALYSIS_BY_ALL ? 0 : count;
    return ERR_OK;
}

static Err make_days(Asking *a, const ApiFunnelQuestion *q, AskFunnel *out)
{
    int64_t *days = NULL;
    if (!q->same_day)
        return ERR_OK;
    TRY(analysis_buckets(a->ctx, &a->names.calendar, q->from, q->to, ANALYSIS_BY_DAY, &days,
                         &out->funnel.day_count));
    out->funnel.days = days;
    return ERR_OK;
}

static Err make_excludes(Asking *a, const ApiFunnelQuestion *q, AskFunnel *out)
{
    for (size_t i = 0; i < q->exclude_count; i++) {
        const ApiFunnelExclude *from = &q->exclude[i];
        const int64_t last = (int64_t)q->steps_count;
        const int64_t to_step = from->to_step_is == DTO_VALUE ? from->to_step : last;
        char pointer[48];
        (void)snprintf(pointer, sizeof pointer, "/funnel/exclude/%zu/to_step", i);
        if (from->from_step >= to_step || to_step > last)
            return combination(a->ctx, pointer, "it must be a step behind from_step");
        out->excludes[i].from_step = (uint32_t)from->from_step - 1;
        out->excludes[i].to_step = (uint32_t)to_step - 1;
        (void)snprintf(pointer, sizeof pointer, "/funnel/exclude/%zu/of", i);
        TRY(ask_select(a, from->of, pointer, &out->excludes[i].select));
    }
    return ERR_OK;
}

/* A first step of any value would begin a way of each: fine where only the longest of them counts. */
static Err check_hold_steps(Ctx *ctx, const ApiFunnelQuestion *q, uint32_t steps)
{
    const bool after_first = q->order == API_FUNNEL_QUESTION_ORDER_ANY_AFTER_FIRST;
    if (q->hold_constant_count == 0)
        return combination(ctx, "/funnel/hold_steps", "there is no hold_constant");
    if (!after_first && q->order != API_FUNNEL_QUESTION_ORDER_SEQUENTIAL)
        return combination(ctx, "/funnel/hold_steps",
                           "it is for the orders sequential and any_after_first");
    if (q->attribution == API_FUNNEL_QUESTION_ATTRIBUTION_ALL)
        return combination(ctx, "/funnel/hold_steps", "not with attribution all");
    if ((steps & 1) == 0 && (after_first || q->entry == API_FUNNEL_QUESTION_ENTRY_ALL ||
                             q->entry == API_FUNNEL_QUESTION_ENTRY_EVERY))
        return combination(
            ctx, "/funnel/hold_steps",
            "with order any_after_first and with entries all and every step 1 must be held");
    return ERR_OK;
}

/* Only the values that the first step 1 has: there must be one, and it must be held. */
static Err check_hold_first(Ctx *ctx, const ApiFunnelQuestion *q, uint32_t steps)
{
    if (q->hold_value != API_FUNNEL_QUESTION_HOLD_VALUE_FIRST)
        return ERR_OK;
    if (q->hold_constant_count == 0)
        return combination(ctx, "/funnel/hold_value", "there is no hold_constant");
    if (q->order == API_FUNNEL_QUESTION_ORDER_ANY || (steps != 0 && (steps & 1) == 0))
        return combination(ctx, "/funnel/hold_value",
                           "first is of step 1, which must begin ways and be held");
    if (q->attribution == API_FUNNEL_QUESTION_ATTRIBUTION_ALL)
        return combination(ctx, "/funnel/hold_value", "first is not for attribution all");
    return ERR_OK;
}

static Err make_hold_steps(Ctx *ctx, const ApiFunnelQuestion *q, uint32_t *out)
{
    *out = 0;
    for (size_t i = 0; i < q->hold_steps_count; i++) {
        const char *pointer = arena_printf(ctx->arena, "/funnel/hold_steps/%zu", i).ptr;
        const int64_t step = q->hold_steps[i];
        if (step > (int64_t)q->steps_count)
            return combination(ctx, pointer, "there are fewer steps");
        if ((*out >> (step - 1) & 1) != 0)
            return combination(ctx, pointer, "the step is already there");
        *out |= 1U << (step - 1);
    }
    return *out == 0 ? ERR_OK : check_hold_steps(ctx, q, *out);
}

static Err make_hold(Asking *a, const ApiFunnelQuestion *q, AskFunnel *out)
{
    for (size_t i = 0; i < q->hold_constant_count; i++) {
        AskProperty property;
        TRY(ask_property(a, q->hold_constant[i], "/funnel/hold_constant", &property));
        out->hold[i] = property.scan;
    }
    TRY(make_hold_steps(a->ctx, q, &out->funnel.hold_steps));
    return check_hold_first(a->ctx, q, out->funnel.hold_steps);
}

/* Sessions without a word about them are those of the question `sessions`. */
static void make_sessions(const ApiFunnelQuestion *q, Funnel *out)
{
    if (q->window_sessions_is != DTO_VALUE)
        return;
    out->window_sessions = (uint32_t)q->window_sessions;
    out->session_gap_ms = q->gap_s_is == DTO_VALUE ? q->gap_s * 1000 : SESSION_GAP_MS;
    out->session_max_ms = q->max_s_is == DTO_VALUE ? q->max_s * 1000 : SESSION_MS_MAX;
}

static Err make_funnel(Asking *a, const ApiFunnelQuestion *q, AskFunnel *out)
{
    out->funnel =
        (Funnel){.steps = out->steps,
                 .step_count = (uint32_t)q->steps_count,
                 .window_ms = q->window_s * 1000,
                 .times = q->times,
                 .order = ORDERS[q->order],
                 .anchored = q->order == API_FUNNEL_QUESTION_ORDER_ANY_AFTER_FIRST,
                 .entry = ENTRIES[q->entry],
                 .grace_ms = q->grace_ms,
                 .excludes = out->excludes,
                 .exclude_count = (uint32_t)q->exclude_count,
                 .exclude_persons = q->exclude_by == API_FUNNEL_QUESTION_EXCLUDE_BY_PERSON,
                 .hold = out->hold,
                 .hold_count = (uint32_t)q->hold_constant_count,
                 .hold_first = q->hold_value == API_FUNNEL_QUESTION_HOLD_VALUE_FIRST,
                 .breakdown = out->breakdown.scan,
                 .breakdown_count = (uint32_t)q->breakdown_count,
                 .top = q->breakdown_count == 0 ? 0 : (uint32_t)q->top,
                 .credit = CREDITS[q->attribution],
                 .credit_step = (uint32_t)q->attribution_step - 1,
                 .credit_unreached = q->unreached};
    TRY(check_combinations(a->ctx, q));
    TRY(find_optional(a->ctx, q, &out->optional));
    TRY(make_steps(a, q, out));
    TRY(make_days(a, q, out));
    TRY(make_excludes(a, q, out));
    TRY(make_hold(a, q, out));
    make_sessions(q, &out->funnel);
    return ask_series(a, q->breakdown, q->breakdown_count, "/funnel/breakdown", &out->breakdown);
}

/* ---- on the way out ------------------------------------------------------------------------------ */

static int64_t seconds(int64_t ms)
{
    return (ms + 500) / 1000;
}

static int64_t average_s(const FunnelTime *t)
{
    return t->count == 0 ? 0 : seconds((int64_t)(t->ms / t->count));
}

/* Up to the last that is not 0. */
static int64_t *distribution_of(Ctx *ctx, const FunnelTime *t, size_t *count)
{
    int64_t *out = ARENA_ARRAY(ctx->arena, int64_t, FUNNEL_SPANS);
    *count = 0;
    for (size_t i = 0; i < FUNNEL_SPANS; i++) {
        out[i] = (int64_t)t->spans[i];
        *count = out[i] == 0 ? *count : i + 1;
    }
    return out;
}

static void give_time(Ctx *ctx, const FunnelTime *t, ApiFunnelStepRow *out)
{
    DTO_SET(out, average_s, average_s(t));
    if (t->median_ms >= 0)
        DTO_SET(out, median_s, seconds(t->median_ms));
    DTO_SET(out, distribution, distribution_of(ctx, t, &out->distribution_count));
}

static void give_whole(Ctx *ctx, const FunnelTime *t, ApiFunnelWhole *out)
{
    out->average_s = average_s(t);
    if (t->median_ms >= 0)
        DTO_SET(out, median_s, seconds(t->median_ms));
    out->distribution = distribution_of(ctx, t, &out->distribution_count);
}

/* Nothing is before the first step. */
static ApiFunnelStepRow *give_steps(Ctx *ctx, const Funnel *f, const FunnelSeries *s, size_t *count)
{
    static const FunnelTime NONE;
    ApiFunnelStepRow *out = ARENA_ARRAY(ctx->arena, ApiFunnelStepRow, f->step_count);
    *count = f->step_count;
    for (uint32_t i = 0; i < f->step_count; i++) {
        out[i].persons = (int64_t)s->persons[i];
        if (s->ways != NULL)
            DTO_SET(&out[i], ways, (int64_t)s->ways[i]);
        if (s->times != NULL)
            give_time(ctx, i == 0 ? &NONE : &s->times[i], &out[i]);
    }
    return out;
}

static int64_t *give_numbers(Ctx *ctx, const uint64_t *numbers, uint32_t count)
{
    int64_t *out = ARENA_ARRAY(ctx->arena, int64_t, count);
    for (uint32_t i = 0; i < count; i++)
        out[i] = (int64_t)numbers[i];
    return out;
}

static ApiFunnelIntervalRow *give_intervals(Ctx *ctx, const Funnel *f, const FunnelSeries *s,
                                            size_t *count)
{
    ApiFunnelIntervalRow *out = ARENA_ARRAY(ctx->arena, ApiFunnelIntervalRow, f->interval_count);
    *count = f->interval_count;
    for (uint32_t i = 0; i < f->interval_count; i++) {
        const size_t at = (size_t)i * f->step_count;
        out[i].start = f->bounds[i];
        out[i].complete = f->bounds[i + 1] + (f->days == NULL ? f->window_ms : 0) <= ctx->now_ms;
        out[i].persons_count = f->step_count;
        out[i].persons = give_numbers(ctx, s->by_persons + at, f->step_count);
        if (s->by_ways == NULL)
            continue;
        out[i].ways_count = f->step_count;
        DTO_SET(&out[i], ways, give_numbers(ctx, s->by_ways + at, f->step_count));
    }
    return out;
}

/* All but its values. */
static void give_series(Ctx *ctx, const Funnel *f, const FunnelSeries *s, ApiFunnelSeriesRow *out)
{
    out->steps = give_steps(ctx, f, s, &out->steps_count);
    if (s->times != NULL) {
        give_whole(ctx, &s->times[0], &out->whole);
        out->whole_is = DTO_VALUE;
    }
    if (f->interval_count > 0)
        DTO_SET(out, intervals, give_intervals(ctx, f, s, &out->intervals_count));
}

static void give_breakdown(const Asking *a, const AskFunnel *f, const FunnelResult *r,
                           ApiFunnelAnswer *out)
{
    DTO_SET(out, distinct, r->distinct);
    DTO_SET(out, series, ARENA_ARRAY(a->ctx->arena, ApiFunnelSeriesRow, (size_t)r->count + 1));
    out->series_count = r->count;
    for (uint32_t i = 0; i < r->count; i++) {
        ApiFunnelSeriesRow *row = &out->series[i];
        const QuerySeries *key = &r->series[i].key;
        if (funnel_is_unreached(&f->funnel, key))
            DTO_SET(row, unreached, true);
        else
            row->values = ask_give_values(a, &f->breakdown, key, &row->values_count);
        row->other = key->is_other;
        give_series(a->ctx, &f->funnel, &r->series[i], row);
    }
}

static void give_funnel(const Asking *a, const AskFunnel *f, const FunnelResult *r,
                        ApiFunnelAnswer *out)
{
    ApiFunnelSeriesRow total = {0};
    give_series(a->ctx, &f->funnel, &r->total, &total);
    out->steps = total.steps;
    out->steps_count = total.steps_count;
    out->whole = total.whole;
    out->whole_is = total.whole_is;
    out->intervals = total.intervals;
    out->intervals_count = total.intervals_count;
    out->intervals_is = total.intervals_is;
    if (f->funnel.breakdown_count > 0)
        give_breakdown(a, f, r, out);
}

/* ---- who they are -------------------------------------------------------------------------------- */

static Err find_unreached(const Asking *a, const Funnel *f, const FunnelResult *r, uint32_t *out)
{
    for (*out = 0; *out < r->count; ++*out)
        if (funnel_is_unreached(f, &r->series[*out].key))
            return ERR_OK;
    return ask_no_bar(a->ctx, "/people/unreached", "no series of the answer is of such ways");
}

static Err find_bar(const Asking *a, const AskFunnel *f, const FunnelResult *r, FunnelBar *out)
{
    static const ApiPeopleOutcome HAS[] = {API_PEOPLE_OUTCOME_REACHED, API_PEOPLE_OUTCOME_DROPPED};
    const ApiPeopleBar *in = a->who;
    ApiPeopleOutcome outcome = API_PEOPLE_OUTCOME_REACHED;
    *out = (FunnelBar){.series = QUERY_WHOLE, .interval = QUERY_WHOLE};
    TRY(ask_outcome(a, HAS, ARRAY_LEN(HAS), API_PEOPLE_OUTCOME_REACHED, &outcome));
    TRY(ask_place(a->ctx, in->step_is, in->step, f->funnel.step_count, "/people/step", &out->step));
    out->dropped = outcome == API_PEOPLE_OUTCOME_DROPPED;
    if (out->dropped && out->step == 0)
        return ask_no_bar(a->ctx, "/people/outcome", "nobody drops before the first step");
    if (in->interval_is == DTO_VALUE)
        TRY(ask_place(a->ctx, in->interval_is, in->interval, f->funnel.interval_count,
                      "/people/interval", &out->interval));
    if (in->unreached && ask_names_series(a))
        return ask_no_bar(a->ctx, "/people/unreached", "it is a series of its own");
    if (in->unreached)
        return find_unreached(a, &f->funnel, r, &out->series);
    if (!ask_names_series(a))
        return ERR_OK;
    return ask_find_series(a, &f->breakdown, r->series, sizeof *r->series, r->count, &out->series);
}

static Err give_who(Asking *a, const Query *q, const AskFunnel *f, const FunnelResult *r)
{
    FunnelBar bar;
    People people;
    TRY(find_bar(a, f, r, &bar));
    TRY(query_funnel_people(a->ctx, q, &f->funnel, r, &bar, &people));
    ask_give_who(a, &people, ASK_COUNTS);
    return ERR_OK;
}

/* Asks one more funnel, and who is behind a number of it. */
static Err ask_without(Asking *a, const Query *q, const AskFunnel *f, ApiFunnelWithout *out)
{
    ApiFunnelAnswer answer = {0};
    FunnelResult result;
    TRY(query_funnel(a->ctx, q, &f->funnel, &result));
    give_funnel(a, f, &result, &answer);
    *out = (ApiFunnelWithout){.steps = answer.steps,
                              .steps_count = answer.steps_count,
                              .whole = answer.whole,
                              .whole_is = answer.whole_is,
                              .intervals = answer.intervals,
                              .intervals_count = answer.intervals_count,
                              .intervals_is = answer.intervals_is,
                              .series = answer.series,
                              .series_count = answer.series_count,
                              .series_is = answer.series_is,
                              .distinct = answer.distinct,
                              .distinct_is = answer.distinct_is};
    return a->who != NULL && a->who->without ? give_who(a, q, f, &result) : ERR_OK;
}

Err ask_funnel(Asking *a, const Query *q, const ApiQuery *in)
{
    const ApiFunnelQuestion *question = &in->funnel;
    ApiFunnelAnswer *out = &a->answer->funnel;
    AskFunnel *f = ARENA_NEW(a->ctx->arena, AskFunnel);
    FunnelResult result;
    a->names.schema = engine_schema_lock(a->engine);
    const Err err = make_funnel(a, question, f);
    TRY(ask_texts(a, q, err));
    if (a->who != NULL && a->who->without && f->optional == 0)
        return ask_no_bar(a->ctx, "/people/without", "no step is optional");
    TRY(query_funnel(a->ctx, q, &f->funnel, &result));
    a->answer->funnel_is = DTO_VALUE;
    give_funnel(a, f, &result, out);
    if (f->optional > 0) {
        out->without_is = DTO_VALUE;
        TRY(ask_without(a, q, without_optional(a->ctx, f), &out->without));
    }
    return a->who == NULL || a->who->without ? ERR_OK : give_who(a, q, f, &result);
}
