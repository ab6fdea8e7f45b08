/*
 * modules/analysis/analysis_ask.c -- what the questions share on their way in and out.
 */
#include "modules/analysis/analysis_ask.h"

#include "base/clock.h"
#include "base/nearest.h"

#include <stdio.h>

/* ---- conditions ---------------------------------------------------------------------------------- */

void ask_keep_warnings(Asking *a, const Rule *rule)
{
    ApiQueryAnswer *out = a->answer;
    for (uint32_t i = 0; i < rule->warning_count && out->warnings_count < ASK_WARNINGS_MAX; i++)
        out->warnings[out->warnings_count++] = rule->warnings[i].text;
}

/* A place inside of `pointer`, as many of its steps as fit. */
static void point_into(Ctx *ctx, const char *pointer)
{
    const Str whole = arena_printf(ctx->arena, "%s%s", pointer, ctx->fault.pointer);
    size_t len = whole.len;
    while (len >= sizeof ctx->fault.pointer)
        while (whole.ptr[--len] != '/') {
        }
    (void)snprintf(ctx->fault.pointer, sizeof ctx->fault.pointer, "%.*s", (int)len, whole.ptr);
}

/* The rule's own words, and the place in its tree, stay; the code and where the rule stands are the question's. */
static Err blamed(Ctx *ctx, const char *pointer, Err err)
{
    if (err == ERR_OK)
        return ERR_OK;
    if (str_starts_with(str_of(ctx->fault.reason), STR("rule.")) ||
        str_starts_with(str_of(ctx->fault.reason), STR("json.")))
        ctx->fault.reason = "query.rule";
    point_into(ctx, pointer);
    return err;
}

static Err read_rule(Ctx *ctx, const AnalysisNames *names, Str json, RuleScope scope, Rule *out)
{
    const RuleSchema schema = analysis_rule_schema(names);
    return rule_read(ctx, json, scope, &schema, out);
}

Err ask_rule(Ctx *ctx, const AnalysisNames *names, Str json, RuleScope scope, const char *pointer,
             Rule *out)
{
    return blamed(ctx, pointer, read_rule(ctx, names, json, scope, out));
}

Str *ask_warnings(Ctx *ctx, const Rule *rule, size_t *count)
{
    Str *out = ARENA_ARRAY(ctx->arena, Str, rule->warning_count + 1);
    for (uint32_t i = 0; i < rule->warning_count; i++)
        out[i] = rule->warnings[i].text;
    *count = rule->warning_count;
    return out;
}

Err ask_select(Asking *a, Str json, const char *pointer, ScanSelect *out)
{
    Rule rule;
    TRY(ask_rule(a->ctx, &a->names, json, RULE_SCOPE_STEP, pointer, &rule));
    ask_keep_warnings(a, &rule);
    return blamed(a->ctx, pointer, analysis_compile(a->ctx, &a->names, &rule, &a->texts, out));
}

Err ask_maybe_select(Asking *a, DtoState is, Str json, const char *pointer, ScanSelect *out)
{
    return is == DTO_VALUE ? ask_select(a, json, pointer, out) : ERR_OK;
}

Err ask_range(Asking *a, int32_t from, int32_t to, ScanSelect *out)
{
    int64_t *bounds = NULL;
    uint32_t count = 0;
    TRY(ask_buckets(a, from, to, ANALYSIS_BY_ALL, &bounds, &count));
    out->from_ms = bounds[0];
    out->to_ms = bounds[1];
    return ERR_OK;
}

static Err make_persons(Asking *a, Str json, const char *pointer, const Segment **out)
{
    Rule rule;
    TRY(ask_rule(a->ctx, &a->names, json, RULE_SCOPE_PERSON, pointer, &rule));
    ask_keep_warnings(a, &rule);
    return blamed(a->ctx, pointer, analysis_segment(a->ctx, &a->names, &rule, &a->texts, out));
}

Err ask_persons(Asking *a, Str json, const char *pointer, const Segment **out)
{
    const AnalysisCalendar asked = a->names.calendar;
    a->names.calendar = analysis_calendar(a->ctx->arena, a->names.settings);
    const Err err = make_persons(a, json, pointer, out);
    a->names.calendar = asked;
    return err;
}

Err ask_texts(Asking *a, const Query *q, Err err)
{
    engine_schema_unlock(a->engine);
    TRY(err);
    TRY(analysis_ask_texts(a->ctx, &a->texts, q->until_us, q->stop));
    return analysis_ask_persons(a->ctx, q, &a->texts);
}

/* ---- properties ---------------------------------------------------------------------------------- */

/* The records that a name like lines.sku is about, and of what *field; NULL: it is about none. */
static const SchemaProp *records_of(const Schema *schema, Str name, Str *field)
{
    const int64_t dot = str_index(name, '.', 0);
    if (dot < 0)
        return NULL;
    const SchemaProp *list =
        schema_find_prop(schema, SCHEMA_EVENT, str_slice(name, 0, (size_t)dot));
    *field = str_slice(name, (size_t)dot + 1, name.len);
    return list == NULL || list->type != EVENT_ITEMS ? NULL : list;
}

/* A property may have a dot in its name; what is no property may be a field of records. */
static const SchemaProp *named(const Schema *schema, Str name)
{
    Str field;
    if (str_starts_with(name, STR("context.")))
        return schema_find_prop(schema, SCHEMA_CONTEXT,
                                str_slice(name, sizeof "context." - 1, name.len));
    const SchemaProp *p = schema_find_prop(schema, SCHEMA_EVENT, name);
    const SchemaProp *list = p == NULL ? records_of(schema, name, &field) : NULL;
    return list == NULL ? p : schema_find_field(schema, list, field);
}

static const Str PERSON = {"person.", 7}, AT_EVENT = {" at event", 9};

static Str attribute_of(Str name)
{
    return str_slice(name, PERSON.len,
                     str_ends_with(name, AT_EVENT) ? name.len - AT_EVENT.len : name.len);
}

/* person.level, or as of each event `person.level at event`.  False: nobody has had it, or it is a list. */
static bool find_attribute(Asking *a, Str name, AskProperty *out)
{
    if (!str_starts_with(name, PERSON))
        return false;
    const bool at_event = str_ends_with(name, AT_EVENT);
    const Str attribute = attribute_of(name);
    const SchemaProp *p = schema_find_prop(a->names.schema, SCHEMA_PERSON, attribute);
    if (p == NULL || event_type_is_list(p->type))
        return false;
    const Changes *changes =
        analysis_attribute_values(a->ctx, &a->names, attribute, at_event, &a->texts);
    *out = (AskProperty){.scan = changes->value, .type = p->type};
    out->scan.changes = changes;
    return true;
}

enum { NAME_SHOWN = 40 };

/* The names of a space that are near; of attributes as they are written here. */
static void try_names(const Schema *schema, SchemaSpace space, Nearest *near)
{
    for (uint32_t i = 0; i < schema_prop_count(schema); i++) {
        const SchemaProp *p = schema_prop_at(schema, PROP_FIRST + i);
        if (p->space == space)
            nearest_try(near, schema_prop_name(schema, p->id));
    }
}

/* The nearest known name, as it is written here; "" = none is near. */
static Str nearest_property(Asking *a, Str name)
{
    static const struct {
        Str before;
        SchemaSpace space;
    } SPACES[] = {{{"", 0}, SCHEMA_EVENT},
                  {{"context.", 8}, SCHEMA_CONTEXT},
                  {{"person.", 7}, SCHEMA_PERSON}};
    for (size_t i = ARRAY_LEN(SPACES); i-- > 0;) {
        const Str before = SPACES[i].before;
        if (!str_starts_with(name, before))
            continue;
        const size_t end = str_ends_with(name, AT_EVENT) ? name.len - AT_EVENT.len : name.len;
        Nearest near = nearest_to(str_slice(name, before.len, end));
        try_names(a->names.schema, SPACES[i].space, &near);
        if (near.best.len > 0 && near.best.len <= NAME_SHOWN)
            return arena_printf(a->ctx->arena, "%.*s%.*s", STR_ARG(before), STR_ARG(near.best));
    }
    return STR("");
}

static void warn(Asking *a, Str words)
{
    ApiQueryAnswer *out = a->answer;
    for (size_t i = 0; i < out->warnings_count; i++)
        if (str_eq(out->warnings[i], words))
            return;
    if (out->warnings_count < ASK_WARNINGS_MAX)
        out->warnings[out->warnings_count++] = words;
}

/* A shop's first dashboards ask for what has yet to come: as in conditions, no event has a value of it, and whoever
 * asks is told.  A field that no record has had is one of records all the same. */
static void find_unknown(Asking *a, Str name, AskProperty *out)
{
    Str field;
    Arena *arena = a->ctx->arena;
    const Str near = nearest_property(a, name);
    const SchemaProp *list = records_of(a->names.schema, name, &field);
    Str words = arena_printf(arena, "no event has had the property \"%.*s\"", STR_ARG(name));
    if (near.len > 0)
        words = arena_printf(arena, "%.*s; did you mean \"%.*s\"?", STR_ARG(words), STR_ARG(near));
    warn(a, words);
    *out = (AskProperty){.scan = {PROP_NONE, 0, list != NULL},
                         .type = EVENT_NUMBER,
                         .list = list == NULL ? PROP_NONE : list->id};
}

static Err is_list(Asking *a, const char *pointer)
{
    return fail_field(a->ctx, pointer, "query.property",
                      "this property is a list: of records, name a field (lines.sku)");
}

static bool is_list_attribute(Asking *a, Str name)
{
    const SchemaProp *p =
        !str_starts_with(name, PERSON)
            ? NULL
            : schema_find_prop(a->names.schema, SCHEMA_PERSON, attribute_of(name));
    return p != NULL && event_type_is_list(p->type);
}

static Err find_property(Asking *a, Str name, const char *pointer, AskProperty *out)
{
    static const struct {
        Str name;
        uint32_t prop;
    } FIELDS[] = {
        {{"event", 5}, PROP_EVENT}, {{"store", 5}, PROP_STORE}, {{"source", 6}, PROP_SOURCE}};
    for (size_t i = 0; i < ARRAY_LEN(FIELDS); i++)
        if (str_eq(name, FIELDS[i].name)) {
            *out = (AskProperty){.scan = {FIELDS[i].prop, 0, false}, .type = EVENT_TEXT};
            return ERR_OK;
        }
    if (find_attribute(a, name, out))
        return ERR_OK;
    const SchemaProp *p = named(a->names.schema, name);
    if (p == NULL && is_list_attribute(a, name))
        return is_list(a, pointer);
    if (p == NULL) {
        find_unknown(a, name, out);
        return ERR_OK;
    }
    if (event_type_is_list(p->type))
        return is_list(a, pointer);
    const bool is_field = p->space == SCHEMA_FIELD;
    *out = (AskProperty){.scan = {p->id, p->type == EVENT_NUMBER ? SCHEMA_SCALE_MAX : 0, is_field},
                         .type = p->type,
                         .list = p->list};
    return ERR_OK;
}

__extension__ typedef unsigned __int128 Magnitude;

/* The last one.  Dividing 128 bits takes ten times as long, and answers have thousands of numbers. */
static char take_digit(Magnitude *left)
{
    const uint64_t small = (uint64_t)*left;
    const bool is_small = *left == small;
    const int digit = is_small ? (int)(small % 10) : (int)(*left % 10);
    *left = is_small ? small / 10 : *left / 10;
    return (char)('0' + digit);
}

Str ask_decimal(Ctx *ctx, TrendSum value, int scale, bool keep_zeros)
{
    char digits[48];
    size_t at = sizeof digits;
    const bool negative = value < 0;
    Magnitude left = negative ? -(Magnitude)value : (Magnitude)value;
    int place = 0;
    bool zeros = !keep_zeros;
    for (; place <= scale || left > 0; place++) {
        if (place == scale && scale > 0 && !zeros)
            digits[--at] = '.';
        const char digit = take_digit(&left);
        zeros = zeros && digit == '0' && place < scale;
        if (!zeros)
            digits[--at] = digit;
    }
    if (negative)
        digits[--at] = '-';
    return arena_copy(ctx->arena, (Str){digits + at, sizeof digits - at});
}

Str ask_value_text(const Asking *a, const AskProperty *p, int64_t value)
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
        return ask_decimal(a->ctx, value, a->ctx->settings->exponent, true);
    case EVENT_NUMBER:
    case EVENT_NONE:
    case EVENT_TEXTS:
    case EVENT_ITEMS:
    case EVENT_TYPE_COUNT:
        break;
    }
    return ask_decimal(a->ctx, value, p->scan.scale, false);
}

const AnalysisBy ASK_INTERVALS[] = {ANALYSIS_BY_HOUR,  ANALYSIS_BY_DAY,     ANALYSIS_BY_WEEK,
                                    ANALYSIS_BY_MONTH, ANALYSIS_BY_QUARTER, ANALYSIS_BY_YEAR};

/* ---- series -------------------------------------------------------------------------------------- */

Err ask_property(Asking *a, Str name, const char *pointer, AskProperty *out)
{
    AskProperty found;
    TRY(find_property(a, name, pointer, &found));
    if (found.list != PROP_NONE)
        return fail_field(a->ctx, pointer, "query.property", "fields of records are for trends");
    *out = found;
    return ERR_OK;
}

static Err of_list(Asking *a, uint32_t list, const char *pointer, AskTrend *t)
{
    if (list == PROP_NONE)
        return ERR_OK;
    if (t->trend.items != NULL && t->items.list != list)
        return fail_field(a->ctx, pointer, "query.combination",
                          "one question is about the records of one list");
    t->items.list = list;
    t->trend.items = &t->items;
    return ERR_OK;
}

Err ask_number(Asking *a, Str name, const char *pointer, AskTrend *out)
{
    TRY(find_property(a, name, pointer, &out->number));
    out->trend.number = out->number.scan;
    return of_list(a, out->number.list, pointer, out);
}

Err ask_records(Asking *a, Str json, const char *pointer, AskTrend *out)
{
    Rule rule;
    uint32_t list = PROP_NONE;
    TRY(ask_rule(a->ctx, &a->names, json, RULE_SCOPE_EVENT, pointer, &rule));
    ask_keep_warnings(a, &rule);
    if (rule.root->op != RULE_ITEMS_ANY)
        return fail_field(a->ctx, pointer, "query.rule", "write any(LIST, CONDITION)");
    TRY(blamed(a->ctx, pointer,
               analysis_records(a->ctx, &a->names, &rule, &a->texts, &list, &out->items.filter)));
    if (list != PROP_NONE)
        return of_list(a, list, pointer, out);
    out->items.list = PROP_NONE; /* no event has any, of which the rule warns */
    out->trend.items = &out->items;
    return ERR_OK;
}

Err ask_series(Asking *a, const Str *names, size_t count, const char *pointer, AskSeries *out)
{
    for (size_t i = 0; i < count; i++) {
        TRY(ask_property(a, names[i], pointer, &out->by[i]));
        out->scan[i] = out->by[i].scan;
    }
    out->count = (uint32_t)count;
    return ERR_OK;
}

Err ask_breakdown(Asking *a, const Str *names, size_t count, const char *pointer, AskTrend *out)
{
    AskSeries *by = &out->series;
    for (by->count = 0; by->count < count; by->count++) {
        AskProperty *p = &by->by[by->count];
        TRY(find_property(a, names[by->count], pointer, p));
        TRY(of_list(a, p->list, pointer, out));
        by->scan[by->count] = p->scan;
    }
    out->trend.breakdown = by->scan;
    out->trend.breakdown_count = by->count;
    return ERR_OK;
}

ApiBreakdownValue *ask_give_values(const Asking *a, const AskSeries *by, const QuerySeries *key,
                                   size_t *count)
{
    *count = key->is_other ? 0 : by->count;
    ApiBreakdownValue *out = ARENA_ARRAY(a->ctx->arena, ApiBreakdownValue, QUERY_BREAKDOWNS_MAX);
    for (size_t i = 0; i < *count; i++) {
        if (key->values[i] == SCAN_MISSING)
            out[i].value_is = DTO_NULL;
        else
            DTO_SET(&out[i], value, ask_value_text(a, &by->by[i], key->values[i]));
    }
    return out;
}

int64_t *ask_give_starts(Ctx *ctx, const Trend *t, size_t *count)
{
    *count = t->bucket_count;
    int64_t *out = ARENA_ARRAY(ctx->arena, int64_t, t->bucket_count);
    memcpy(out, t->bounds, t->bucket_count * sizeof *out);
    return out;
}
