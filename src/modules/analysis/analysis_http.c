/*
 * modules/analysis/analysis_http.c -- the doors of analysis.api.yaml.
 */
#include "modules/analysis/analysis_http.h"

#include "analysis.api.h"
#include "base/clock.h"
#include "engine/query.h"
#include "events/events.h"
#include "modules/analysis/analysis.h"

#include <stdio.h>

/* ---- conditions ---------------------------------------------------------------------------------- */

/* One question on its way. */
typedef struct Asking {
    Ctx *ctx;
    Engine *engine;
    AnalysisNames names; /* locked while it is made */
    AnalysisTexts texts; /* of all its conditions */
    ApiQueryAnswer *answer;
} Asking;

enum { WARNINGS_MAX = 20 };

static void keep_warnings(Asking *a, const Rule *rule)
{
    ApiQueryAnswer *out = a->answer;
    for (uint32_t i = 0; i < rule->warning_count && out->warnings_count < WARNINGS_MAX; i++)
        out->warnings[out->warnings_count++] = rule->warnings[i].text;
}

/* The rule's own words stay in the hint; the code and the place are the question's. */
static Err blame(Ctx *ctx, const char *pointer)
{
    if (str_starts_with(str_of(ctx->fault.reason), STR("rule.")) ||
        str_starts_with(str_of(ctx->fault.reason), STR("json.")))
        ctx->fault.reason = "query.rule";
    (void)snprintf(ctx->fault.pointer, sizeof ctx->fault.pointer, "%s", pointer);
    return ctx->fault.code;
}

static Err read_rule(Asking *a, Str json, RuleScope scope, const RuleSchema *schema, Rule *out)
{
    JsonValue value;
    Str text;
    TRY(json_open(a->ctx, json, &value));
    if (json_type(value) == JSON_STRING && json_text(value, &text) == JSON_FAULT_NONE)
        return rule_parse(a->ctx, text, scope, schema, out);
    return rule_from_json(a->ctx, value, scope, schema, out);
}

static Err make_select(Asking *a, Str json, const char *pointer, ScanSelect *out)
{
    const RuleSchema schema = analysis_rule_schema(&a->names);
    Rule rule;
    Err err = read_rule(a, json, RULE_SCOPE_STEP, &schema, &rule);
    if (err == ERR_OK)
        err = analysis_compile(a->ctx, &a->names, &rule, &a->texts, out);
    if (err != ERR_OK)
        return blame(a->ctx, pointer);
    keep_warnings(a, &rule);
    return ERR_OK;
}

/* ---- properties ---------------------------------------------------------------------------------- */

/* A property by the name that people write: total, context.page, event, store, source. */
typedef struct Property {
    ScanProp scan;
    EventType type;
} Property;

static Err find_property(Asking *a, Str name, const char *pointer, Property *out)
{
    static const struct {
        Str name;
        uint32_t prop;
    } FIELDS[] = {
        {{"event", 5}, PROP_EVENT}, {{"store", 5}, PROP_STORE}, {{"source", 6}, PROP_SOURCE}};
    for (size_t i = 0; i < ARRAY_LEN(FIELDS); i++)
        if (str_eq(name, FIELDS[i].name)) {
            *out = (Property){{FIELDS[i].prop, 0}, EVENT_TEXT};
            return ERR_OK;
        }
    const bool is_context = str_starts_with(name, STR("context."));
    const Str bare = is_context ? str_slice(name, sizeof "context." - 1, name.len) : name;
    const SchemaProp *p =
        schema_find_prop(a->names.schema, is_context ? SCHEMA_CONTEXT : SCHEMA_EVENT, bare);
    if (p == NULL || p->type == EVENT_TEXTS || p->type == EVENT_ITEMS)
        return fail_field(a->ctx, pointer, "query.property",
                          p == NULL ? "no event has had this property" : "this property is a list");
    *out = (Property){{p->id, p->type == EVENT_NUMBER ? SCHEMA_SCALE_MAX : 0}, p->type};
    return ERR_OK;
}

__extension__ typedef unsigned __int128 Magnitude;

/* A decimal, the zeros at its end taken off unless they are kept. */
static Str decimal(Ctx *ctx, TrendSum value, int scale, bool keep_zeros)
{
    char digits[48];
    size_t at = sizeof digits;
    const bool negative = value < 0;
    Magnitude left = negative ? -(Magnitude)value : (Magnitude)value;
    int place = 0;
    bool zeros = !keep_zeros;
    for (; place <= scale || left > 0; place++, left /= 10) {
        if (place == scale && scale > 0 && !zeros)
            digits[--at] = '.';
        const char digit = (char)('0' + (int)(left % 10));
        zeros = zeros && digit == '0' && place < scale;
        if (!zeros)
            digits[--at] = digit;
    }
    if (negative)
        digits[--at] = '-';
    return arena_copy(ctx->arena, (Str){digits + at, sizeof digits - at});
}

static Str value_text(const Asking *a, const Property *p, int64_t value)
{
    char time[CLOCK_TEXT_BYTES];
    switch (p->type) {
    case EVENT_TEXT:
        return p->scan.prop == PROP_EVENT
                   ? schema_event_name(a->names.schema, (uint32_t)value)
                   : schema_text(a->names.schema, p->scan.prop, (uint32_t)value);
    case EVENT_BOOL:
        return value != 0 ? STR("true") : STR("false");
    case EVENT_TIME:
        clock_print(value, time);
        return arena_copy(a->ctx->arena, str_of(time));
    case EVENT_MONEY:
        return decimal(a->ctx, value, a->ctx->settings->exponent, true);
    case EVENT_NUMBER:
    case EVENT_NONE:
    case EVENT_TEXTS:
    case EVENT_ITEMS:
    case EVENT_TYPE_COUNT:
        break;
    }
    return decimal(a->ctx, value, p->scan.scale, false);
}

/* ---- trends -------------------------------------------------------------------------------------- */

typedef struct TrendAsking {
    Trend trend;
    Property number;
    Property breakdown[QUERY_BREAKDOWNS_MAX];
    ScanProp scan[QUERY_BREAKDOWNS_MAX];
} TrendAsking;

static Err make_breakdown(Asking *a, const Str *names, size_t count, const char *pointer,
                          TrendAsking *out)
{
    for (size_t i = 0; i < count; i++) {
        TRY(find_property(a, names[i], pointer, &out->breakdown[i]));
        out->scan[i] = out->breakdown[i].scan;
    }
    out->trend.breakdown = out->scan;
    out->trend.breakdown_count = (uint32_t)count;
    return ERR_OK;
}

static Err make_trend(Asking *a, const ApiTrendQuestion *q, TrendAsking *out)
{
    static const TrendMeasure MEASURES[] = {TREND_EVENTS, TREND_PERSONS, TREND_SUM};
    int64_t *bounds = NULL;
    TRY(make_select(a, q->of, "/trend/of", &out->trend.select));
    TRY(analysis_buckets(a->ctx, a->names.settings, q->from, q->to, (AnalysisBy)q->by, &bounds,
                         &out->trend.bucket_count));
    out->trend.bounds = bounds;
    out->trend.measure = MEASURES[q->measure];
    out->trend.top = (uint32_t)q->top;
    if (out->trend.measure == TREND_SUM) {
        TRY(find_property(a, q->number_is == DTO_VALUE ? q->number : STR(""), "/trend/number",
                          &out->number));
        if (out->number.type != EVENT_NUMBER && out->number.type != EVENT_MONEY)
            return fail_field(a->ctx, "/trend/number", "query.property",
                              "only numbers and amounts add up");
        out->trend.number = out->number.scan;
    }
    return make_breakdown(a, q->breakdown, q->breakdown_count, "/trend/breakdown", out);
}

/* The values of the breakdown; "other" has none. */
static ApiBreakdownValue *give_values(const Asking *a, const TrendAsking *t, const TrendSeries *s,
                                      size_t *count)
{
    *count = s->is_other ? 0 : t->trend.breakdown_count;
    ApiBreakdownValue *out = ARENA_ARRAY(a->ctx->arena, ApiBreakdownValue, QUERY_BREAKDOWNS_MAX);
    for (size_t i = 0; i < *count; i++) {
        if (s->values[i] == SCAN_MISSING)
            out[i].value_is = DTO_NULL;
        else
            DTO_SET(&out[i], value, value_text(a, &t->breakdown[i], s->values[i]));
    }
    return out;
}

static void give_series(const Asking *a, const TrendAsking *t, const TrendSeries *s,
                        ApiTrendSeriesRow *out)
{
    const bool is_sum = t->trend.measure == TREND_SUM;
    const bool is_money = is_sum && t->number.type == EVENT_MONEY;
    const int scale = is_money ? a->ctx->settings->exponent : is_sum ? t->number.scan.scale : 0;
    out->other = s->is_other;
    out->values = give_values(a, t, s, &out->values_count);
    out->cells_count = t->trend.bucket_count;
    out->cells = ARENA_ARRAY(a->ctx->arena, Str, out->cells_count);
    for (size_t i = 0; i < out->cells_count; i++)
        out->cells[i] = decimal(a->ctx, s->cells[i], scale, is_money);
}

static int64_t *give_starts(Ctx *ctx, const Trend *t, size_t *count)
{
    *count = t->bucket_count;
    int64_t *out = ARENA_ARRAY(ctx->arena, int64_t, t->bucket_count);
    memcpy(out, t->bounds, t->bucket_count * sizeof *out);
    return out;
}

static void give_trend(const Asking *a, const TrendAsking *t, const TrendResult *r,
                       ApiTrendAnswer *out)
{
    out->buckets = give_starts(a->ctx, &t->trend, &out->buckets_count);
    out->distinct = r->distinct;
    out->series_count = r->count;
    out->series = ARENA_ARRAY(a->ctx->arena, ApiTrendSeriesRow, (size_t)r->count + 1);
    for (uint32_t i = 0; i < r->count; i++)
        give_series(a, t, &r->series[i], &out->series[i]);
}

/* ---- funnels ------------------------------------------------------------------------------------- */

static const FunnelOrder FUNNEL_ORDERS[] = {FUNNEL_SEQUENTIAL, FUNNEL_ANY, FUNNEL_STRICT};
static const FunnelEntry FUNNEL_ENTRIES[] = {FUNNEL_BEST, FUNNEL_FIRST};

static Err make_funnel(Asking *a, const ApiFunnelQuestion *q, ScanSelect *steps, Funnel *out)
{
    const Settings *s = a->names.settings;
    int64_t *bounds = NULL;
    uint32_t count = 0;
    *out = (Funnel){.steps = steps,
                    .step_count = (uint32_t)q->steps_count,
                    .window_ms = q->window_s * 1000,
                    .times = q->times,
                    .order = FUNNEL_ORDERS[q->order],
                    .entry = FUNNEL_ENTRIES[q->entry]};
    if (out->order == FUNNEL_ANY && out->entry != FUNNEL_BEST)
        return fail_field(a->ctx, "/funnel/entry", "query.combination",
                          "in any order there is no first step: entry must be best");
    TRY(analysis_buckets(a->ctx, s, q->from, q->to, ANALYSIS_BY_ALL, &bounds, &count));
    for (size_t i = 0; i < q->steps_count; i++) {
        char pointer[48];
        (void)snprintf(pointer, sizeof pointer, "/funnel/steps/%zu/of", i);
        TRY(make_select(a, q->steps[i].of, pointer, &steps[i]));
    }
    steps[0].from_ms = bounds[0];
    steps[0].to_ms = bounds[1];
    return ERR_OK;
}

static void give_funnel(Ctx *ctx, const Funnel *f, const FunnelResult *r, ApiFunnelAnswer *out)
{
    out->steps_count = f->step_count;
    out->steps = ARENA_ARRAY(ctx->arena, ApiFunnelStepRow, f->step_count);
    for (uint32_t i = 0; i < f->step_count; i++) {
        const uint64_t persons = r->persons[i];
        out->steps[i].persons = (int64_t)persons;
        if (f->times)
            DTO_SET(&out->steps[i], average_s,
                    persons == 0 ? 0 : (int64_t)((r->ms[i] / persons + 500) / 1000));
    }
}

/* ---- intervals: the values of `by` in all questions that have no hours --------------------------- */

static const AnalysisBy INTERVALS[] = {ANALYSIS_BY_DAY, ANALYSIS_BY_WEEK, ANALYSIS_BY_MONTH};

/* ---- retention ----------------------------------------------------------------------------------- */

static Err make_retention(Asking *a, const ApiRetentionQuestion *q, Retention *out)
{
    int64_t *bounds = NULL;
    TRY(make_select(a, q->start, "/retention/start", &out->start));
    TRY(make_select(a, q->returns, "/retention/returns", &out->comes_back));
    TRY(analysis_buckets(a->ctx, a->names.settings, q->from, q->to, INTERVALS[q->by], &bounds,
                         &out->interval_count));
    if (out->interval_count > QUERY_INTERVALS_MAX)
        return fail_field(a->ctx, "/retention/to", "query.too_large", "at most %d intervals",
                          QUERY_INTERVALS_MAX);
    out->bounds = bounds;
    out->cohort =
        q->cohort == API_RETENTION_QUESTION_COHORT_FIRST ? RETENTION_FIRST : RETENTION_RECURRING;
    out->comes =
        q->comes == API_RETENTION_QUESTION_COMES_ON_OR_AFTER ? RETENTION_ON_OR_AFTER : RETENTION_ON;
    return ERR_OK;
}

static void give_retention(Ctx *ctx, const Retention *r, const RetentionResult *result,
                           ApiRetentionAnswer *out)
{
    const uint32_t n = r->interval_count;
    out->cohorts_count = n;
    out->cohorts = ARENA_ARRAY(ctx->arena, ApiRetentionRow, n);
    for (uint32_t i = 0; i < n; i++) {
        ApiRetentionRow *row = &out->cohorts[i];
        const uint64_t *cells = result->cells + (size_t)i * n;
        row->start = r->bounds[i];
        row->persons = (int64_t)cells[0];
        row->returned_count = n - i - 1;
        row->returned = ARENA_ARRAY(ctx->arena, int64_t, n);
        for (uint32_t k = 1; i + k < n; k++) {
            row->returned[k - 1] = (int64_t)cells[k];
            row->complete += r->bounds[i + k + 1] <= ctx->now_ms;
        }
    }
}

/* ---- stickiness ---------------------------------------------------------------------------------- */

static Err make_stickiness(Asking *a, const ApiStickinessQuestion *q, TrendAsking *out)
{
    int64_t *bounds = NULL;
    TRY(make_select(a, q->of, "/stickiness/of", &out->trend.select));
    TRY(analysis_buckets(a->ctx, a->names.settings, q->from, q->to, INTERVALS[q->by], &bounds,
                         &out->trend.bucket_count));
    out->trend.bounds = bounds;
    out->trend.measure = TREND_STICKINESS;
    out->trend.top = (uint32_t)q->top;
    return make_breakdown(a, q->breakdown, q->breakdown_count, "/stickiness/breakdown", out);
}

static void give_sticky_series(const Asking *a, const TrendAsking *t, const TrendSeries *s,
                               ApiStickinessSeriesRow *out)
{
    const uint32_t n = t->trend.bucket_count;
    out->other = s->is_other;
    out->values = give_values(a, t, s, &out->values_count);
    out->exactly_count = out->at_least_count = n;
    out->exactly = ARENA_ARRAY(a->ctx->arena, int64_t, n);
    out->at_least = ARENA_ARRAY(a->ctx->arena, int64_t, n);
    int64_t persons = 0;
    for (uint32_t i = n; i-- > 0;) {
        out->exactly[i] = (int64_t)s->cells[i];
        out->at_least[i] = persons += out->exactly[i];
    }
}

static void give_stickiness(const Asking *a, const TrendAsking *t, const TrendResult *r,
                            ApiStickinessAnswer *out)
{
    out->intervals = give_starts(a->ctx, &t->trend, &out->intervals_count);
    out->distinct = r->distinct;
    out->series_count = r->count;
    out->series = ARENA_ARRAY(a->ctx->arena, ApiStickinessSeriesRow, (size_t)r->count + 1);
    for (uint32_t i = 0; i < r->count; i++)
        give_sticky_series(a, t, &r->series[i], &out->series[i]);
}

/* ---- lifecycle ----------------------------------------------------------------------------------- */

typedef struct LifecycleAsking {
    Lifecycle lifecycle;
    uint32_t earlier; /* intervals that are looked back at and not shown */
} LifecycleAsking;

/* Without a look-back the first of two earlier intervals reaches back to the beginning of all events. */
static Err make_lifecycle(Asking *a, const ApiLifecycleQuestion *q, LifecycleAsking *out)
{
    Lifecycle *l = &out->lifecycle;
    const bool ever = q->look_back_is != DTO_VALUE;
    int64_t *bounds = NULL;
    TRY(make_select(a, q->of, "/lifecycle/of", &l->select));
    l->look_back = ever ? 0 : (uint32_t)q->look_back;
    out->earlier = ever ? 2 : l->look_back;
    TRY(analysis_whole_buckets(a->ctx, a->names.settings, q->from, q->to, INTERVALS[q->by],
                               out->earlier, &bounds, &l->interval_count));
    if (l->interval_count > QUERY_INTERVALS_MAX)
        return fail_field(a->ctx, "/lifecycle/to", "query.too_large",
                          "at most %d intervals, with those looked back at", QUERY_INTERVALS_MAX);
    if (ever && bounds[0] > 0)
        bounds[0] = 0;
    l->bounds = bounds;
    return ERR_OK;
}

static void give_lifecycle(Ctx *ctx, const LifecycleAsking *asked, const LifecycleResult *r,
                           ApiLifecycleAnswer *out)
{
    const int64_t *bounds = asked->lifecycle.bounds + asked->earlier;
    const LifecycleRow *rows = r->rows + asked->earlier;
    out->intervals_count = asked->lifecycle.interval_count - asked->earlier;
    out->intervals = ARENA_ARRAY(ctx->arena, ApiLifecycleRow, out->intervals_count);
    for (size_t i = 0; i < out->intervals_count; i++)
        out->intervals[i] = (ApiLifecycleRow){.start = bounds[i],
                                              .new = (int64_t)rows[i].fresh,
                                              .returning = (int64_t)rows[i].returning,
                                              .resurrecting = (int64_t)rows[i].resurrecting,
                                              .dormant = -(int64_t)rows[i].dormant,
                                              .complete = bounds[i + 1] <= ctx->now_ms};
}

/* ---- segments ------------------------------------------------------------------------------------ */

/* A page of persons, by their numbers in the engine. */
typedef struct Page {
    uint32_t from, limit;
} Page;

/* Who people are is more than how many: a segment must not show whom the list of people would not. */
static Err read_page(Ctx *ctx, const ApiSegmentQuestion *q, Page *out)
{
    int64_t from = 0, unused = 0;
    *out = (Page){.limit = (uint32_t)q->limit};
    if (q->limit == 0)
        return ERR_OK;
    TRY(principal_require(ctx, "person.read"));
    if (ctx->who->store_count > 0)
        return fail(ctx, ERR_DENIED, "auth.permission", "a page of persons, for some shops only");
    if (q->cursor_is == DTO_VALUE)
        TRY(request_cursor_read(ctx, q->cursor, &from, &unused));
    if (from < 0 || from > UINT32_MAX)
        return fail(ctx, ERR_INVALID, "request.cursor", "no number of a person");
    out->from = (uint32_t)from;
    return ERR_OK;
}

static Err make_segment(Asking *a, const ApiSegmentQuestion *q, const Segment **out)
{
    const RuleSchema schema = analysis_rule_schema(&a->names);
    Rule rule;
    Err err = read_rule(a, q->of, RULE_SCOPE_PERSON, &schema, &rule);
    if (err == ERR_OK)
        err = analysis_segment(a->ctx, &a->names, &rule, &a->texts, out);
    if (err != ERR_OK)
        return blame(a->ctx, "/segment/of");
    keep_warnings(a, &rule);
    return ERR_OK;
}

/* Under the schema's lock. */
static void give_segment(const Asking *a, const SegmentResult *r, const Page *page,
                         ApiSegmentAnswer *out)
{
    uint32_t at = segment_next(r, page->from);
    out->persons = (int64_t)r->count;
    out->everybody = (int64_t)r->universe;
    out->items = ARENA_ARRAY(a->ctx->arena, ApiSegmentPerson, page->limit);
    for (; out->items_count < page->limit && at < r->person_count; at = segment_next(r, at + 1)) {
        const EventActor actor = schema_actor_of(a->names.schema, at);
        out->items[out->items_count++] = (ApiSegmentPerson){actor.kind, actor.value};
    }
    if (page->limit > 0 && at < r->person_count)
        DTO_SET(out, next, request_cursor_make(a->ctx, at, 0));
}

/* ---- the door ------------------------------------------------------------------------------------ */

/* Names are numbers now: the texts are looked at while others have the schema. */
static Err made(Asking *a, const Query *q, Err err)
{
    engine_schema_unlock(a->engine);
    TRY(err);
    return analysis_ask_texts(a->ctx, &a->texts, q->until_us);
}

static Err ask_trend(Asking *a, const Query *q, const ApiTrendQuestion *question)
{
    TrendAsking t = {.number = {.type = EVENT_NONE}};
    TrendResult result;
    a->names.schema = engine_schema_lock(a->engine);
    const Err err = make_trend(a, question, &t);
    TRY(made(a, q, err));
    TRY(query_trend(a->ctx, q, &t.trend, &result));
    a->answer->trend_is = DTO_VALUE;
    give_trend(a, &t, &result, &a->answer->trend);
    return ERR_OK;
}

static Err ask_funnel(Asking *a, const Query *q, const ApiFunnelQuestion *question)
{
    ScanSelect *steps = ARENA_ARRAY(a->ctx->arena, ScanSelect, question->steps_count);
    Funnel funnel;
    FunnelResult result;
    a->names.schema = engine_schema_lock(a->engine);
    const Err err = make_funnel(a, question, steps, &funnel);
    TRY(made(a, q, err));
    TRY(query_funnel(a->ctx, q, &funnel, &result));
    a->answer->funnel_is = DTO_VALUE;
    give_funnel(a->ctx, &funnel, &result, &a->answer->funnel);
    return ERR_OK;
}

static Err ask_retention(Asking *a, const Query *q, const ApiRetentionQuestion *question)
{
    Retention retention = {.bounds = NULL};
    RetentionResult result;
    a->names.schema = engine_schema_lock(a->engine);
    const Err err = make_retention(a, question, &retention);
    TRY(made(a, q, err));
    TRY(query_retention(a->ctx, q, &retention, &result));
    a->answer->retention_is = DTO_VALUE;
    give_retention(a->ctx, &retention, &result, &a->answer->retention);
    return ERR_OK;
}

static Err ask_stickiness(Asking *a, const Query *q, const ApiStickinessQuestion *question)
{
    TrendAsking t = {.number = {.type = EVENT_NONE}};
    TrendResult result;
    a->names.schema = engine_schema_lock(a->engine);
    const Err err = make_stickiness(a, question, &t);
    TRY(made(a, q, err));
    TRY(query_trend(a->ctx, q, &t.trend, &result));
    a->answer->stickiness_is = DTO_VALUE;
    give_stickiness(a, &t, &result, &a->answer->stickiness);
    return ERR_OK;
}

static Err ask_lifecycle(Asking *a, const Query *q, const ApiLifecycleQuestion *question)
{
    LifecycleAsking asked = {.earlier = 0};
    LifecycleResult result;
    a->names.schema = engine_schema_lock(a->engine);
    const Err err = make_lifecycle(a, question, &asked);
    TRY(made(a, q, err));
    TRY(query_lifecycle(a->ctx, q, &asked.lifecycle, &result));
    a->answer->lifecycle_is = DTO_VALUE;
    give_lifecycle(a->ctx, &asked, &result, &a->answer->lifecycle);
    return ERR_OK;
}

static Err ask_segment(Asking *a, const Query *q, const ApiSegmentQuestion *question)
{
    const Segment *segment = NULL;
    SegmentResult result;
    Page page;
    TRY(read_page(a->ctx, question, &page));
    a->names.schema = engine_schema_lock(a->engine);
    const Err err = make_segment(a, question, &segment);
    TRY(made(a, q, err));
    TRY(query_segment(a->ctx, q, segment, &result));
    a->answer->segment_is = DTO_VALUE;
    a->names.schema = engine_schema_lock(a->engine);
    give_segment(a, &result, &page, &a->answer->segment);
    engine_schema_unlock(a->engine);
    return ERR_OK;
}

/* The one that is there. */
static Err ask(Asking *a, const Query *q, const ApiQuery *in)
{
    if (in->trend_is == DTO_VALUE)
        return ask_trend(a, q, &in->trend);
    if (in->funnel_is == DTO_VALUE)
        return ask_funnel(a, q, &in->funnel);
    if (in->retention_is == DTO_VALUE)
        return ask_retention(a, q, &in->retention);
    if (in->stickiness_is == DTO_VALUE)
        return ask_stickiness(a, q, &in->stickiness);
    if (in->lifecycle_is == DTO_VALUE)
        return ask_lifecycle(a, q, &in->lifecycle);
    return ask_segment(a, q, &in->segment);
}

/* After a start with many events that are not in columns. */
static Err still_reading(Ctx *ctx, EventsLog *log, uint64_t read)
{
    EventsStat stat;
    events_stat(log, &stat);
    const Err err =
        fail(ctx, ERR_BUSY, "query.reading", "%" PRIu64 " of %" PRIu64, read, stat.next_seq - 1);
    (void)snprintf(ctx->fault.hint, sizeof ctx->fault.hint,
                   "The engine has read %" PRIu64 " of %" PRIu64 " events: ask again in a moment.",
                   read, stat.next_seq - 1);
    ctx->fault.retry_s = 5;
    return err;
}

/* The engine makes a damaged file again from the log within seconds of the first question that meets it. */
static Err being_mended(Ctx *ctx)
{
    const Err err = fail(ctx, ERR_BUSY, "query.mending", "a question met damage");
    ctx->fault.retry_s = 5;
    return err;
}

/* After a burst the engine is behind for a moment only. */
static int64_t wait_until_us(int64_t deadline_us)
{
    enum { CATCH_UP_US = 2000000 };
    const int64_t soon_us = clock_mono_us() + CATCH_UP_US;
    return deadline_us > 0 && deadline_us < soon_us ? deadline_us : soon_us;
}

static Err query(Work *work, Call *call)
{
    Ctx *ctx = work->ctx;
    const ApiQuery *in = call->body;
    Asking a = {.ctx = ctx,
                .engine = work->engine,
                .names = {.settings = ctx->settings},
                .answer = call->reply};
    uint64_t read = 0;
    if (work->engine == NULL)
        return fail(ctx, ERR_BUSY, "query.closed", "no engine");
    if (!engine_is_complete(work->engine, wait_until_us(work->deadline_us), &read))
        return still_reading(ctx, work->log, read);
    const int asked = (in->trend_is == DTO_VALUE) + (in->funnel_is == DTO_VALUE) +
                      (in->retention_is == DTO_VALUE) + (in->stickiness_is == DTO_VALUE) +
                      (in->lifecycle_is == DTO_VALUE) + (in->segment_is == DTO_VALUE);
    if (asked != 1)
        return fail_field(ctx, "", "query.one", "ask one question at a time, not %d", asked);
    a.answer->warnings = ARENA_ARRAY(ctx->arena, Str, WARNINGS_MAX);
    const int64_t began_us = clock_mono_us();
    ScanView *view = engine_view(work->engine);
    const Query q = {.view = view, .crew = work->crew, .until_us = work->deadline_us};
    const Err err = ask(&a, &q, in);
    engine_view_done(view);
    a.answer->took_us = clock_mono_us() - began_us;
    const bool is_damage =
        err != ERR_OK && str_eq(str_of(ctx->fault.reason), STR("events.part_damaged"));
    return is_damage ? being_mended(ctx) : err;
}

const Door ANALYSIS_DOORS[] = {{.operation = &API_OP_ANALYSIS_QUERY, .work = query}, {0}};
