/*
 * rules/rule_json.c -- the tree form, written: one object per node (docs/formats/rules.md).
 */
#include "base/money.h"
#include "rules/rule_internal.h"

/* What JavaScript reads as a number exactly. */
#define SAFE_INTEGER INT64_C(9007199254740991)
enum { SAFE_DIGITS_SCALE = 15 };

typedef struct Writer {
    const Rule *rule;
    JsonOut *out;
} Writer;

static void write_node(const Writer *w, const RuleNode *n);

static void key(const Writer *w, const char *name)
{
    json_out_key(w->out, str_of(name));
}

static void key_text(const Writer *w, const char *name, Str text)
{
    key(w, name);
    json_out_text(w->out, text);
}

/* ---- values and windows ---------------------------------------------------------------------- */

static bool number_is_safe(const RuleValue *v)
{
    if (v->scale == 0)
        return v->i64 >= -SAFE_INTEGER && v->i64 <= SAFE_INTEGER;
    return v->scale <= SAFE_DIGITS_SCALE && v->i64 > -INT64_C(1000000000000000) &&
           v->i64 < INT64_C(1000000000000000);
}

static void write_number(const Writer *w, const RuleValue *v)
{
    Buf b = BUF_MAX(64);
    literal_put_number(&b, v->i64, v->scale);
    if (number_is_safe(v)) {
        json_out_raw(w->out, buf_str(&b));
    } else {
        json_out_object(w->out);
        key_text(w, "number", buf_str(&b));
        json_out_end(w->out);
    }
    buf_free(&b);
}

static void write_wrapped(const Writer *w, const char *name, Str text)
{
    json_out_object(w->out);
    key_text(w, name, text);
    json_out_end(w->out);
}

static void write_value(const Writer *w, const RuleValue *v)
{
    Buf b = BUF_MAX(64);
    if (v->type == RULE_TYPE_BOOL) {
        json_out_bool(w->out, v->i64 != 0);
    } else if (v->type == RULE_TYPE_NUMBER) {
        write_number(w, v);
    } else if (v->type == RULE_TYPE_MONEY) {
        money_print(&b, (Money){v->i64}, w->rule->exponent);
        buf_addf(&b, " %.*s", STR_ARG(w->rule->currency));
        write_wrapped(w, "money", buf_str(&b));
    } else if (v->type == RULE_TYPE_TIME) {
        literal_put_time(&b, v);
        write_wrapped(w, "time", buf_str(&b));
    } else {
        json_out_text(w->out, v->text);
    }
    buf_free(&b);
}

static void write_span(const Writer *w, RuleSpan span)
{
    Buf b = BUF_MAX(32);
    literal_put_span(&b, span);
    json_out_text(w->out, buf_str(&b));
    buf_free(&b);
}

static void write_time(const Writer *w, const RuleValue *v)
{
    Buf b = BUF_MAX(64);
    literal_put_time(&b, v);
    json_out_text(w->out, buf_str(&b));
    buf_free(&b);
}

static void write_calendar(const Writer *w, RuleSpan span)
{
    Buf b = BUF_MAX(32);
    buf_addf(&b, "%d ", span.count);
    literal_put_calendar_unit(&b, span);
    json_out_text(w->out, buf_str(&b));
    buf_free(&b);
}

static void write_window(const Writer *w, const RuleWindow *window)
{
    static const char *const KEYS[RULE_WINDOW_COUNT] = {
        [RULE_WINDOW_WITHIN] = "within",   [RULE_WINDOW_CALENDAR] = "calendar",
        [RULE_WINDOW_BETWEEN] = "between", [RULE_WINDOW_SINCE] = "since",
        [RULE_WINDOW_BEFORE] = "before",   [RULE_WINDOW_AGO] = "ago"};
    const bool pair = window->kind == RULE_WINDOW_BETWEEN || window->kind == RULE_WINDOW_AGO;
    if (window->kind == RULE_WINDOW_EVER)
        return;
    key(w, KEYS[window->kind]);
    if (pair)
        json_out_array(w->out);
    if (window->kind == RULE_WINDOW_WITHIN || window->kind == RULE_WINDOW_AGO)
        write_span(w, window->span);
    else if (window->kind == RULE_WINDOW_CALENDAR)
        write_calendar(w, window->span);
    else
        write_time(w, &window->from);
    if (window->kind == RULE_WINDOW_BETWEEN)
        write_time(w, &window->to);
    else if (window->kind == RULE_WINDOW_AGO)
        write_span(w, window->span2);
    if (pair)
        json_out_end(w->out);
}

/* ---- operators: {"op": ...} ------------------------------------------------------------------ */

static void begin_op(const Writer *w, const RuleNode *n)
{
    json_out_object(w->out);
    key_text(w, "op", str_of(rule_op_text(n->op)));
}

static void write_join(const Writer *w, const RuleNode *n)
{
    begin_op(w, n);
    key(w, "args");
    json_out_array(w->out);
    for (uint32_t i = 0; i < n->count; i++)
        write_node(w, n->args[i]);
    json_out_end(w->out);
    json_out_end(w->out);
}

static void write_not(const Writer *w, const RuleNode *n)
{
    begin_op(w, n);
    key(w, "arg");
    write_node(w, n->args[0]);
    json_out_end(w->out);
}

static void write_comparison(const Writer *w, const RuleNode *n)
{
    begin_op(w, n);
    key(w, "left");
    write_node(w, n->args[0]);
    if (n->count == 2) {
        key(w, "right");
        write_node(w, n->args[1]);
    } else if (n->count == 3) {
        key(w, "low");
        write_node(w, n->args[1]);
        key(w, "high");
        write_node(w, n->args[2]);
    }
    write_window(w, &n->window);
    json_out_end(w->out);
}

/* ---- functions: {"did": {...}} --------------------------------------------------------------- */

static void begin_function(const Writer *w, const RuleNode *n)
{
    json_out_object(w->out);
    key(w, rule_op_text(n->op));
    json_out_object(w->out);
}

static void end_function(const Writer *w)
{
    json_out_end(w->out);
    json_out_end(w->out);
}

static void write_items(const Writer *w, const RuleNode *n)
{
    begin_function(w, n);
    key_text(w, "list", n->args[0]->name);
    if (n->count > 1) {
        key(w, n->op == RULE_ITEMS_SUM ? "of" : "where");
        write_node(w, n->args[1]);
    }
    end_function(w);
}

static void write_names(const Writer *w, const RuleNode *n)
{
    json_out_array(w->out);
    for (uint32_t i = 0; i < n->name_count; i++)
        json_out_text(w->out, n->names[i]);
    json_out_end(w->out);
}

static void write_segment(const Writer *w, const RuleNode *n)
{
    write_wrapped(w, "segment", n->name);
}

static void write_consents(const Writer *w, const RuleNode *n)
{
    json_out_object(w->out);
    key(w, "consents");
    write_names(w, n);
    json_out_end(w->out);
}

/* The keys of a pick, inside an object that is open. */
static void write_pick_keys(const Writer *w, const RuleNode *n)
{
    if (n->name_count == 0) {
        key(w, "any_event");
        json_out_bool(w->out, true);
    } else if (n->name_count == 1) {
        key_text(w, "event", n->names[0]);
    } else {
        key(w, "event");
        write_names(w, n);
    }
    if (n->count > 0) {
        key(w, "where");
        write_node(w, n->args[0]);
    }
}

static void write_step_keys(const Writer *w, const RuleNode *n)
{
    if (n->count == 1) {
        write_pick_keys(w, n->args[0]);
        return;
    }
    key(w, "any_of");
    json_out_array(w->out);
    for (uint32_t i = 0; i < n->count; i++) {
        json_out_object(w->out);
        write_pick_keys(w, n->args[i]);
        json_out_end(w->out);
    }
    json_out_end(w->out);
}

static void write_step(const Writer *w, const RuleNode *n)
{
    json_out_object(w->out);
    write_step_keys(w, n);
    if (n->span.count > 0) {
        key(w, "within");
        write_span(w, n->span);
    }
    if (n->of_first) {
        key(w, "of_first");
        json_out_bool(w->out, true);
    }
    json_out_end(w->out);
}

static void write_did(const Writer *w, const RuleNode *n)
{
    begin_function(w, n);
    write_step_keys(w, n->step);
    write_window(w, &n->window);
    if (n->count > 0) {
        key(w, "having");
        json_out_array(w->out);
        for (uint32_t i = 0; i < n->count; i++)
            write_node(w, n->args[i]);
        json_out_end(w->out);
    }
    end_function(w);
}

static void write_stopped(const Writer *w, const RuleNode *n)
{
    begin_function(w, n);
    write_step_keys(w, n->step);
    key(w, "for");
    write_span(w, n->span);
    write_window(w, &n->window);
    end_function(w);
}

static void write_resumed(const Writer *w, const RuleNode *n)
{
    begin_function(w, n);
    write_step_keys(w, n->step);
    key(w, "after");
    write_span(w, n->span);
    key(w, "within");
    write_span(w, n->span2);
    end_function(w);
}

static void write_sequence(const Writer *w, const RuleNode *n)
{
    begin_function(w, n);
    key(w, "steps");
    json_out_array(w->out);
    for (uint32_t i = 0; i < n->count; i++)
        write_step(w, n->args[i]);
    json_out_end(w->out);
    write_window(w, &n->window);
    end_function(w);
}

static void write_aggregate(const Writer *w, const RuleNode *n)
{
    begin_function(w, n);
    if (n->step != NULL)
        write_step_keys(w, n->step);
    if (n->count > 0) {
        key(w, "of");
        write_node(w, n->args[0]);
    }
    write_window(w, &n->window);
    end_function(w);
}

/* ---- operands -------------------------------------------------------------------------------- */

static void write_named(const Writer *w, const RuleNode *n)
{
    write_wrapped(w, rule_op_text(n->op), n->name);
}

static void write_person_at(const Writer *w, const RuleNode *n)
{
    json_out_object(w->out);
    key_text(w, "person", n->name);
    key_text(w, "at", STR("event"));
    json_out_end(w->out);
}

static void write_field(const Writer *w, const RuleNode *n)
{
    write_wrapped(w, "field", literal_field_text(n->field));
}

static void write_literal(const Writer *w, const RuleNode *n)
{
    write_value(w, &n->value);
}

static void write_list(const Writer *w, const RuleNode *n)
{
    json_out_array(w->out);
    for (uint32_t i = 0; i < n->value_count; i++)
        write_value(w, &n->values[i]);
    json_out_end(w->out);
}

typedef void (*WriteNode)(const Writer *w, const RuleNode *n);

/* The comparisons are not here. */
static const WriteNode WRITE[RULE_OP_COUNT] = {
    [RULE_AND] = write_join,          [RULE_OR] = write_join,
    [RULE_NOT] = write_not,           [RULE_ITEMS_ANY] = write_items,
    [RULE_ITEMS_ALL] = write_items,   [RULE_SEGMENT] = write_segment,
    [RULE_CONSENTS] = write_consents, [RULE_DID] = write_did,
    [RULE_STOPPED] = write_stopped,   [RULE_RESUMED] = write_resumed,
    [RULE_SEQUENCE] = write_sequence, [RULE_STEP] = write_step,
    [RULE_PROP] = write_named,        [RULE_CONTEXT] = write_named,
    [RULE_FIELD] = write_field,       [RULE_ITEM] = write_named,
    [RULE_PERSON] = write_named,      [RULE_PERSON_AT] = write_person_at,
    [RULE_MUL] = write_comparison,    [RULE_ITEMS_COUNT] = write_items,
    [RULE_ITEMS_SUM] = write_items,   [RULE_COUNT] = write_aggregate,
    [RULE_DAYS] = write_aggregate,    [RULE_SUM] = write_aggregate,
    [RULE_AVG] = write_aggregate,     [RULE_MIN] = write_aggregate,
    [RULE_MAX] = write_aggregate,     [RULE_DISTINCT] = write_aggregate,
    [RULE_FIRST] = write_aggregate,   [RULE_LAST] = write_aggregate,
    [RULE_LITERAL] = write_literal,   [RULE_LIST] = write_list,
};

static void write_node(const Writer *w, const RuleNode *n)
{
    const WriteNode write = WRITE[n->op] != NULL ? WRITE[n->op] : write_comparison;
    write(w, n);
}

void rule_to_json(const Rule *rule, JsonOut *out)
{
    write_node(&(Writer){rule, out}, rule->root);
}
