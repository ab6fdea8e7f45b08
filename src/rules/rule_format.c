/*
 * rules/rule_format.c -- the canonical text of a tree, and whether two trees are one.
 */
#include "base/money.h"
#include "rules/rule_internal.h"

static const char *const OP_TEXT[RULE_OP_COUNT] = {
#define X(code, text) text,
    RULE_OP_MAP(X)
#undef X
};

const char *rule_op_text(RuleOp op)
{
    CHECK(op < RULE_OP_COUNT);
    return OP_TEXT[op];
}

typedef struct Printer {
    const Rule *rule;
    Buf *out;
} Printer;

static void put_node(const Printer *p, const RuleNode *n);

static void put(const Printer *p, const char *text)
{
    buf_add(p->out, str_of(text));
}

/* ---- values and windows ---------------------------------------------------------------------- */

static void put_value(const Printer *p, const RuleValue *v)
{
    if (v->type == RULE_TYPE_BOOL) {
        put(p, v->i64 != 0 ? "true" : "false");
    } else if (v->type == RULE_TYPE_NUMBER) {
        literal_put_number(p->out, v->i64, v->scale);
    } else if (v->type == RULE_TYPE_MONEY) {
        money_print(p->out, (Money){v->i64}, p->rule->exponent);
        buf_addf(p->out, " %.*s", STR_ARG(p->rule->currency));
    } else if (v->type == RULE_TYPE_TIME) {
        literal_put_time(p->out, v);
    } else if (v->type == RULE_TYPE_ENUM && literal_is_bare(v->text)) {
        buf_add(p->out, v->text);
    } else {
        literal_put_quoted(p->out, '"', v->text);
    }
}

static void put_window(const Printer *p, const RuleWindow *w)
{
    static const char *const FIRST[RULE_WINDOW_COUNT] = {
        [RULE_WINDOW_WITHIN] = "within ",   [RULE_WINDOW_CALENDAR] = "within ",
        [RULE_WINDOW_BETWEEN] = "between ", [RULE_WINDOW_SINCE] = "since ",
        [RULE_WINDOW_BEFORE] = "before ",   [RULE_WINDOW_AGO] = "between "};
    put(p, FIRST[w->kind]);
    if (w->kind == RULE_WINDOW_WITHIN || w->kind == RULE_WINDOW_AGO) {
        literal_put_span(p->out, w->span);
    } else if (w->kind == RULE_WINDOW_CALENDAR) {
        buf_addf(p->out, "%d calendar ", w->span.count);
        literal_put_calendar_unit(p->out, w->span);
    } else {
        literal_put_time(p->out, &w->from);
    }
    if (w->kind == RULE_WINDOW_AGO) {
        put(p, " and ");
        literal_put_span(p->out, w->span2);
        put(p, " ago");
    } else if (w->kind == RULE_WINDOW_BETWEEN) {
        put(p, " and ");
        literal_put_time(p->out, &w->to);
    }
}

/* What a function ends with. */
static void put_window_and_close(const Printer *p, const RuleNode *n)
{
    if (n->window.kind != RULE_WINDOW_EVER) {
        put(p, ", ");
        put_window(p, &n->window);
    }
    put(p, ")");
}

/* ---- conditions ------------------------------------------------------------------------------ */

/* `or` binds weakest, then `and`, then `not`; nothing stands directly inside its like but `not`. */
static bool needs_parentheses(const RuleNode *parent, const RuleNode *arg)
{
    return arg->op == RULE_OR || (arg->op == RULE_AND && parent->op == RULE_NOT);
}

static void put_arg(const Printer *p, const RuleNode *parent, const RuleNode *arg)
{
    const bool parentheses = needs_parentheses(parent, arg);
    put(p, parentheses ? "(" : "");
    put_node(p, arg);
    put(p, parentheses ? ")" : "");
}

static void put_join(const Printer *p, const RuleNode *n)
{
    for (uint32_t i = 0; i < n->count; i++) {
        if (i > 0)
            put(p, n->op == RULE_AND ? " and " : " or ");
        put_arg(p, n, n->args[i]);
    }
}

static void put_not(const Printer *p, const RuleNode *n)
{
    put(p, "not ");
    put_arg(p, n, n->args[0]);
}

static void put_binary(const Printer *p, const RuleNode *n)
{
    put_node(p, n->args[0]);
    buf_addf(p->out, " %s ", OP_TEXT[n->op]);
    put_node(p, n->args[1]);
}

static void put_between(const Printer *p, const RuleNode *n)
{
    put_binary(p, n);
    put(p, " and ");
    put_node(p, n->args[2]);
}

static void put_postfix(const Printer *p, const RuleNode *n)
{
    put_node(p, n->args[0]);
    buf_addf(p->out, " %s", OP_TEXT[n->op]);
}

static void put_when(const Printer *p, const RuleNode *n)
{
    put_node(p, n->args[0]);
    put(p, " ");
    put_window(p, &n->window);
}

static void put_items(const Printer *p, const RuleNode *n)
{
    buf_addf(p->out, "%s(", OP_TEXT[n->op]);
    put_node(p, n->args[0]);
    if (n->count > 1) {
        put(p, n->op == RULE_ITEMS_COUNT ? " where " : ", ");
        put_node(p, n->args[1]);
    }
    put(p, ")");
}

static void put_segment(const Printer *p, const RuleNode *n)
{
    put(p, "segment(");
    literal_put_quoted(p->out, '"', n->name);
    put(p, ")");
}

static void put_names(const Printer *p, const Str *names, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        put(p, i > 0 ? ", " : "");
        literal_put_quoted(p->out, '"', names[i]);
    }
}

static void put_consents(const Printer *p, const RuleNode *n)
{
    put(p, "consents(");
    put_names(p, n->names, n->name_count);
    put(p, ")");
}

/* ---- leaves over events ---------------------------------------------------------------------- */

static void put_pick(const Printer *p, const RuleNode *n)
{
    if (n->name_count == 0)
        put(p, "any event");
    else if (n->name_count == 1)
        put_names(p, n->names, 1);
    else
        put(p, "["), put_names(p, n->names, n->name_count), put(p, "]");
    if (n->count > 0) {
        put(p, " where ");
        put_node(p, n->args[0]);
    }
}

static void put_step(const Printer *p, const RuleNode *n)
{
    put(p, n->count > 1 ? "any of (" : "");
    for (uint32_t i = 0; i < n->count; i++) {
        put(p, i > 0 ? ", " : "");
        put_pick(p, n->args[i]);
    }
    put(p, n->count > 1 ? ")" : "");
}

static void put_did(const Printer *p, const RuleNode *n)
{
    put(p, "did(");
    put_step(p, n->step);
    if (n->window.kind != RULE_WINDOW_EVER) {
        put(p, ", ");
        put_window(p, &n->window);
    }
    for (uint32_t i = 0; i < n->count; i++) {
        put(p, ", ");
        put_node(p, n->args[i]);
    }
    put(p, ")");
}

static void put_stopped(const Printer *p, const RuleNode *n)
{
    put(p, "stopped(");
    put_step(p, n->step);
    put(p, ", for ");
    literal_put_span(p->out, n->span);
    put_window_and_close(p, n);
}

static void put_resumed(const Printer *p, const RuleNode *n)
{
    put(p, "resumed(");
    put_step(p, n->step);
    put(p, ", after ");
    literal_put_span(p->out, n->span);
    put(p, ", within ");
    literal_put_span(p->out, n->span2);
    put(p, ")");
}

static void put_sequence(const Printer *p, const RuleNode *n)
{
    put(p, "sequence(");
    for (uint32_t i = 0; i < n->count; i++) {
        put(p, i > 0 ? " then " : "");
        put_step(p, n->args[i]);
        if (n->args[i]->span.count == 0)
            continue;
        put(p, " within ");
        literal_put_span(p->out, n->args[i]->span);
        put(p, n->args[i]->of_first ? " of first" : "");
    }
    put_window_and_close(p, n);
}

/* sum("A", total, within 90d); in the conditions of a did: sum(total) */
static void put_aggregate(const Printer *p, const RuleNode *n)
{
    const bool inside = n->step == NULL, first = n->op == RULE_FIRST || n->op == RULE_LAST;
    put(p, inside && n->op == RULE_DAYS ? "days" : OP_TEXT[n->op]);
    if (inside && n->count == 0)
        return;
    put(p, "(");
    if (!inside)
        put_step(p, n->step);
    if (n->count > 0 && !first) {
        put(p, inside ? "" : ", ");
        put_node(p, n->args[0]);
    }
    put_window_and_close(p, n);
    if (n->count > 0 && first) {
        put(p, ".");
        put_node(p, n->args[0]);
    }
}

/* ---- operands -------------------------------------------------------------------------------- */

static void put_named(const Printer *p, const RuleNode *n)
{
    static const char *const IN_FRONT[RULE_OP_COUNT] = {
        [RULE_CONTEXT] = "context.", [RULE_PERSON] = "person.", [RULE_PERSON_AT] = "person."};
    put(p, IN_FRONT[n->op] == NULL ? "" : IN_FRONT[n->op]);
    literal_put_name(p->out, n->name);
    put(p, n->op == RULE_PERSON_AT ? " at event" : "");
}

static void put_field(const Printer *p, const RuleNode *n)
{
    buf_add(p->out, literal_field_text(n->field));
}

static void put_literal(const Printer *p, const RuleNode *n)
{
    put_value(p, &n->value);
}

static void put_list(const Printer *p, const RuleNode *n)
{
    for (uint32_t i = 0; i < n->value_count; i++) {
        put(p, i > 0 ? ", " : "[");
        put_value(p, &n->values[i]);
    }
    put(p, "]");
}

typedef void (*PutNode)(const Printer *p, const RuleNode *n);

static const PutNode PUT[RULE_OP_COUNT] = {
    [RULE_AND] = put_join,
    [RULE_OR] = put_join,
    [RULE_NOT] = put_not,
    [RULE_EQ] = put_binary,
    [RULE_NE] = put_binary,
    [RULE_LT] = put_binary,
    [RULE_LE] = put_binary,
    [RULE_GT] = put_binary,
    [RULE_GE] = put_binary,
    [RULE_IN] = put_binary,
    [RULE_NOT_IN] = put_binary,
    [RULE_BETWEEN] = put_between,
    [RULE_CONTAINS] = put_binary,
    [RULE_STARTS] = put_binary,
    [RULE_ENDS] = put_binary,
    [RULE_CONTAINS_ANY] = put_binary,
    [RULE_CONTAINS_ALL] = put_binary,
    [RULE_IS_SET] = put_postfix,
    [RULE_IS_MISSING] = put_postfix,
    [RULE_WHEN] = put_when,
    [RULE_ITEMS_ANY] = put_items,
    [RULE_ITEMS_ALL] = put_items,
    [RULE_SEGMENT] = put_segment,
    [RULE_CONSENTS] = put_consents,
    [RULE_DID] = put_did,
    [RULE_STOPPED] = put_stopped,
    [RULE_RESUMED] = put_resumed,
    [RULE_SEQUENCE] = put_sequence,
    [RULE_STEP] = put_step,
    [RULE_PICK] = put_pick,
    [RULE_PROP] = put_named,
    [RULE_CONTEXT] = put_named,
    [RULE_FIELD] = put_field,
    [RULE_ITEM] = put_named,
    [RULE_PERSON] = put_named,
    [RULE_PERSON_AT] = put_named,
    [RULE_MUL] = put_binary,
    [RULE_ITEMS_COUNT] = put_items,
    [RULE_ITEMS_SUM] = put_items,
    [RULE_COUNT] = put_aggregate,
    [RULE_DAYS] = put_aggregate,
    [RULE_SUM] = put_aggregate,
    [RULE_AVG] = put_aggregate,
    [RULE_MIN] = put_aggregate,
    [RULE_MAX] = put_aggregate,
    [RULE_DISTINCT] = put_aggregate,
    [RULE_FIRST] = put_aggregate,
    [RULE_LAST] = put_aggregate,
    [RULE_LITERAL] = put_literal,
    [RULE_LIST] = put_list,
};

static void put_node(const Printer *p, const RuleNode *n)
{
    CHECK(PUT[n->op] != NULL);
    PUT[n->op](p, n);
}

void rule_format_node(const Rule *rule, const RuleNode *node, Buf *out)
{
    put_node(&(Printer){rule, out}, node);
}

void rule_format(const Rule *rule, Buf *out)
{
    rule_format_node(rule, rule->root, out);
}

/* ---- the same -------------------------------------------------------------------------------- */

static bool same_value(const RuleValue *a, const RuleValue *b)
{
    return a->type == b->type && a->scale == b->scale && a->clock == b->clock &&
           a->offset_min == b->offset_min && a->i64 == b->i64 && a->end_ms == b->end_ms &&
           a->local_ms == b->local_ms && str_eq(a->text, b->text);
}

static bool same_span(RuleSpan a, RuleSpan b)
{
    return a.count == b.count && a.unit == b.unit && a.ms == b.ms;
}

static bool same_window(const RuleWindow *a, const RuleWindow *b)
{
    return a->kind == b->kind && same_span(a->span, b->span) && same_span(a->span2, b->span2) &&
           same_value(&a->from, &b->from) && same_value(&a->to, &b->to);
}

static bool same_lists(const RuleNode *a, const RuleNode *b)
{
    if (a->name_count != b->name_count || a->value_count != b->value_count || a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->name_count; i++)
        if (!str_eq(a->names[i], b->names[i]))
            return false;
    for (uint32_t i = 0; i < a->value_count; i++)
        if (!same_value(&a->values[i], &b->values[i]))
            return false;
    return true;
}

static bool same_node(const RuleNode *a, const RuleNode *b)
{
    const bool alike = a->op == b->op && a->type == b->type && a->id == b->id &&
                       str_eq(a->name, b->name) && same_value(&a->value, &b->value) &&
                       same_window(&a->window, &b->window) && same_span(a->span, b->span) &&
                       same_span(a->span2, b->span2) && a->field == b->field &&
                       a->of_first == b->of_first && a->labels == b->labels;
    if (!alike || !same_lists(a, b) || (a->step == NULL) != (b->step == NULL))
        return false;
    if (a->step != NULL && !same_node(a->step, b->step))
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!same_node(a->args[i], b->args[i]))
            return false;
    return true;
}

bool rule_same(const Rule *a, const Rule *b)
{
    return a->scope == b->scope && a->exponent == b->exponent && str_eq(a->currency, b->currency) &&
           same_node(a->root, b->root);
}
