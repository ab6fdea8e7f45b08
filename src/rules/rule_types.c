/*
 * rules/rule_types.c -- the types of operands, and whether they fit what they are compared with.
 */
#include "rules/rule_check.h"

#define BIT(type) (1u << (type))
#define SCALARS   (BIT(RULE_TYPE_BOOL) | ORDERED | BIT(RULE_TYPE_ENUM))
#define ORDERED   (AMOUNTS | BIT(RULE_TYPE_TEXT) | BIT(RULE_TYPE_TIME))
#define AMOUNTS   (BIT(RULE_TYPE_NUMBER) | BIT(RULE_TYPE_MONEY))
#define UNKNOWN   BIT(RULE_TYPE_UNKNOWN)
#define LISTS     (BIT(RULE_TYPE_TEXTS) | BIT(RULE_TYPE_ITEMS))
#define ANY_TYPE  (UNKNOWN | SCALARS | LISTS)

static const char *const TYPE_TEXT[RULE_TYPE_COUNT] = {
    [RULE_TYPE_UNKNOWN] = "of no known type",
    [RULE_TYPE_BOOL] = "true or false",
    [RULE_TYPE_NUMBER] = "a number",
    [RULE_TYPE_MONEY] = "an amount of money",
    [RULE_TYPE_TEXT] = "a text",
    [RULE_TYPE_TIME] = "a time",
    [RULE_TYPE_ENUM] = "a label",
    [RULE_TYPE_TEXTS] = "a list of texts",
    [RULE_TYPE_ITEMS] = "a list of records",
};

static const char *type_text(RuleType type)
{
    CHECK(type < RULE_TYPE_COUNT);
    return TYPE_TEXT[type];
}

static Str node_text(Draft *d, const RuleNode *n)
{
    const Rule rule = {
        .scope = d->scope, .currency = d->schema->currency, .exponent = d->schema->exponent};
    Buf b = BUF_MAX(RULE_BYTES_MAX);
    rule_format_node(&rule, n, &b);
    const Str text = draft_quote(d, buf_str(&b));
    buf_free(&b);
    return text;
}

/* ---- operands -------------------------------------------------------------------------------- */

static Err check_operand(Draft *d, const RuleNode *n, const View *view, uint32_t level);

/* Sums and products of what nobody knows are numbers or amounts all the same. */
static const char *what_it_is(const RuleNode *n)
{
    const bool made = n->op == RULE_MUL || n->op == RULE_ITEMS_SUM || n->op >= RULE_COUNT;
    return made && n->type == RULE_TYPE_UNKNOWN ? "a number" : type_text(n->type);
}

static Err type_fault(Draft *d, const RuleNode *n, const char *what)
{
    const Str text = node_text(d, n);
    return draft_fail(d, n->at, "rule.type", "%.*s is %s, but %s", STR_ARG(text), what_it_is(n),
                      what);
}

static const struct {
    RuleNameKind kind;
    unsigned places;
    const char *advice; /* where it stands elsewhere */
} NAMES[RULE_OP_COUNT] = {
    [RULE_PROP] = {RULE_NAME_PROP, BIT(PLACE_OF_EVENT),
                   "a property belongs to an event: write it behind `where`, or person.name"},
    [RULE_CONTEXT] = {RULE_NAME_CONTEXT, BIT(PLACE_OF_EVENT),
                      "context belongs to an event: write it behind `where`"},
    [RULE_FIELD] = {RULE_NAME_PROP, BIT(PLACE_OF_EVENT),
                    "this belongs to an event: write it behind `where`, or person.name"},
    [RULE_ITEM] = {RULE_NAME_ITEM, BIT(PLACE_OF_ITEM),
                   "fields of records stand inside any(...) or all(...)"},
    [RULE_PERSON] = {RULE_NAME_PERSON, BIT(PLACE_OF_PERSON) | BIT(PLACE_OF_EVENT),
                     "a condition on records sees nothing but their fields"},
    [RULE_PERSON_AT] = {RULE_NAME_PERSON, BIT(PLACE_OF_EVENT),
                        "as of which event? `at event` stands behind `where`"},
};

static Err check_named(Draft *d, RuleNode *n, const View *view, uint32_t level)
{
    (void)level;
    RuleDecl decl;
    if ((NAMES[n->op].places & BIT(view->place)) == 0)
        return draft_fail(d, n->at, "rule.scope", "%s",
                          view->place == PLACE_OF_ITEM ? NAMES[RULE_PERSON].advice
                                                       : NAMES[n->op].advice);
    if (n->op == RULE_FIELD) {
        n->type = n->field == RULE_FIELD_TIME ? RULE_TYPE_TIME : RULE_TYPE_TEXT;
        return ERR_OK;
    }
    RuleAsk ask = {.kind = NAMES[n->op].kind, .name = n->name};
    if (n->op != RULE_PERSON && n->op != RULE_PERSON_AT)
        ask.events = view->events, ask.event_count = view->event_count, ask.list = view->list;
    TRY(check_name(d, n->at, &ask, &decl));
    n->type = decl.type;
    n->labels = decl.type == RULE_TYPE_ENUM ? decl.labels : NULL;
    return ERR_OK;
}

static Err check_product(Draft *d, RuleNode *n, const View *view, uint32_t level)
{
    bool unknown = false;
    uint32_t amounts = 0;
    for (uint32_t i = 0; i < n->count; i++) {
        const RuleNode *arg = n->args[i];
        if (arg->op != RULE_PROP && arg->op != RULE_CONTEXT && arg->op != RULE_ITEM)
            return draft_fail(d, arg->at, "rule.type",
                              "only properties of one event or record are multiplied");
        TRY(check_operand(d, arg, view, level + 1));
        if ((BIT(arg->type) & (AMOUNTS | UNKNOWN)) == 0)
            return type_fault(d, arg, "numbers are multiplied");
        unknown |= arg->type == RULE_TYPE_UNKNOWN;
        amounts += arg->type == RULE_TYPE_MONEY;
    }
    if (amounts == 2)
        return draft_fail(d, n->at, "rule.type", "two amounts cannot be multiplied");
    n->type = amounts == 1 ? RULE_TYPE_MONEY : unknown ? RULE_TYPE_UNKNOWN : RULE_TYPE_NUMBER;
    return ERR_OK;
}

Err check_records(Draft *d, const RuleNode *n, const View *view, View *items)
{
    RuleNode *list = check_node(d, n);
    if (n->op != RULE_PROP)
        return draft_fail(d, n->at, "rule.scope",
                          "records are in a property of an event: this stands behind `where`");
    TRY(check_named(d, list, view, 0));
    if ((BIT(n->type) & (BIT(RULE_TYPE_ITEMS) | UNKNOWN)) == 0)
        return type_fault(d, n, "a list of records is needed here");
    list->type = RULE_TYPE_ITEMS;
    *items = (View){PLACE_OF_ITEM, view->events, view->event_count, n->name, NULL};
    return ERR_OK;
}

static Err check_items_count(Draft *d, RuleNode *n, const View *view, uint32_t level)
{
    View items;
    TRY(check_records(d, n->args[0], view, &items));
    TRY(check_level(d, n, level, 2));
    n->type = RULE_TYPE_NUMBER;
    return n->count == 1 ? ERR_OK : check_condition(d, n->args[1], &items, level + 2);
}

static Err check_items_sum(Draft *d, RuleNode *n, const View *view, uint32_t level)
{
    View items;
    TRY(check_records(d, n->args[0], view, &items));
    TRY(check_operand(d, n->args[1], &items, level + 2));
    n->type = n->args[1]->type;
    if ((BIT(n->type) & (AMOUNTS | UNKNOWN)) == 0)
        return type_fault(d, n->args[1], "numbers and amounts are summed");
    return ERR_OK;
}

/* What an aggregate may look at: the types, and the other operands than properties. */
static const struct {
    unsigned types;
    bool product, field;
    const char *advice;
} AGGREGATES[RULE_OP_COUNT] = {
    [RULE_SUM] = {AMOUNTS | UNKNOWN, true, false, "numbers and amounts are summed"},
    [RULE_AVG] = {AMOUNTS | UNKNOWN, true, false, "numbers and amounts have an average"},
    [RULE_MIN] = {AMOUNTS | UNKNOWN | BIT(RULE_TYPE_TIME), true, true,
                  "numbers, amounts and times have a least and a greatest"},
    [RULE_MAX] = {AMOUNTS | UNKNOWN | BIT(RULE_TYPE_TIME), true, true,
                  "numbers, amounts and times have a least and a greatest"},
    [RULE_DISTINCT] = {SCALARS | UNKNOWN, true, true, "values are counted, not lists"},
    [RULE_FIRST] = {ANY_TYPE, false, true, ""},
    [RULE_LAST] = {ANY_TYPE, false, true, ""},
};

static Err check_aggregated(Draft *d, RuleNode *n, const View *view, uint32_t level)
{
    const RuleNode *of = n->args[0];
    const View events = check_view_of_step(d, n->step != NULL ? n->step : view->did);
    const bool fits = of->op == RULE_PROP || of->op == RULE_CONTEXT ||
                      (of->op == RULE_MUL && AGGREGATES[n->op].product) ||
                      (of->op == RULE_FIELD && AGGREGATES[n->op].field);
    if (!fits)
        return draft_fail(d, of->at, "rule.type", "%s takes a property of the events%s",
                          rule_op_text(n->op),
                          AGGREGATES[n->op].product ? " or a product of two" : "");
    TRY(check_operand(d, of, &events, level + 2));
    if ((BIT(of->type) & AGGREGATES[n->op].types) == 0)
        return type_fault(d, of, AGGREGATES[n->op].advice);
    if (n->op == RULE_DISTINCT)
        return ERR_OK;
    n->type = of->type;
    n->labels = of->labels;
    return ERR_OK;
}

static Err check_aggregate(Draft *d, RuleNode *n, const View *view, uint32_t level)
{
    if (n->step == NULL && view->did == NULL)
        return draft_fail(d, n->at, "rule.scope",
                          "without a step of its own it stands inside did(...)");
    if (n->step != NULL && view->did != NULL)
        return draft_fail(d, n->at, "rule.scope", "inside did(...) it has no step of its own");
    TRY(check_leaf_step(d, n, view, level));
    n->type = RULE_TYPE_NUMBER;
    if (n->op == RULE_FIRST || n->op == RULE_LAST)
        n->type = RULE_TYPE_TIME;
    return n->count == 0 ? ERR_OK : check_aggregated(d, n, view, level);
}

typedef Err (*CheckOperand)(Draft *d, RuleNode *n, const View *view, uint32_t level);

static const CheckOperand OPERANDS[RULE_OP_COUNT] = {
    [RULE_PROP] = check_named,          [RULE_CONTEXT] = check_named,
    [RULE_FIELD] = check_named,         [RULE_ITEM] = check_named,
    [RULE_PERSON] = check_named,        [RULE_PERSON_AT] = check_named,
    [RULE_MUL] = check_product,         [RULE_ITEMS_COUNT] = check_items_count,
    [RULE_ITEMS_SUM] = check_items_sum, [RULE_COUNT] = check_aggregate,
    [RULE_DAYS] = check_aggregate,      [RULE_SUM] = check_aggregate,
    [RULE_AVG] = check_aggregate,       [RULE_MIN] = check_aggregate,
    [RULE_MAX] = check_aggregate,       [RULE_DISTINCT] = check_aggregate,
    [RULE_FIRST] = check_aggregate,     [RULE_LAST] = check_aggregate,
};

static Err check_operand(Draft *d, const RuleNode *n, const View *view, uint32_t level)
{
    CHECK(OPERANDS[n->op] != NULL);
    const bool aggregate = n->op >= RULE_COUNT && n->op <= RULE_DISTINCT;
    if (view->did != NULL && !aggregate)
        return draft_fail(
            d, n->at, "rule.scope",
            "inside did(...) stand conditions on count, days, sum(...), avg, min, max, "
            "distinct");
    TRY(check_level(d, n, level, 1));
    return OPERANDS[n->op](d, check_node(d, n), view, level);
}

/* What an operand may turn out to be. */
static unsigned types_possible(const RuleNode *n)
{
    if (n->type != RULE_TYPE_UNKNOWN)
        return BIT(n->type);
    if (n->op == RULE_MUL || n->op == RULE_ITEMS_SUM)
        return AMOUNTS;
    if (n->op >= RULE_SUM && n->op <= RULE_MAX)
        return AGGREGATES[n->op].types & ~UNKNOWN & (n->args[0]->op == RULE_MUL ? AMOUNTS : ~0u);
    return (SCALARS & ~BIT(RULE_TYPE_ENUM)) | LISTS;
}

/* ---- operand against value ------------------------------------------------------------------- */

/* An operand of no known type has that of the value beside it; what it was made from too. */
static void take_type(const Draft *d, const RuleNode *n, RuleType type)
{
    const bool of_first = n->count > 0 && n->op != RULE_MUL && n->op != RULE_ITEMS_SUM;
    check_node(d, n)->type = type;
    const RuleNode *of = n->op == RULE_ITEMS_SUM ? n->args[1] : of_first ? n->args[0] : NULL;
    if (of != NULL && of->type == RULE_TYPE_UNKNOWN)
        check_node(d, of)->type = type;
}

/* What to write instead; "" = nothing simple. */
static Str advice_for(Draft *d, const RuleNode *operand, const RuleValue *v)
{
    Arena *arena = d->ctx->arena;
    Buf b = BUF_MAX(64);
    Str advice = STR("");
    if (v->type == RULE_TYPE_NUMBER) {
        literal_put_number(&b, v->i64, v->scale);
        if (operand->type == RULE_TYPE_MONEY && v->scale <= d->schema->exponent) {
            for (int i = v->scale; i < d->schema->exponent; i++)
                buf_add(&b, i == 0 ? STR(".0") : STR("0"));
            advice = arena_printf(arena, ": write %.*s %.*s", STR_ARG(buf_str(&b)),
                                  STR_ARG(d->schema->currency));
        } else if (operand->type == RULE_TYPE_TEXT) {
            advice = arena_printf(arena, ": write \"%.*s\"", STR_ARG(buf_str(&b)));
        }
    } else if (v->type == RULE_TYPE_MONEY && operand->type == RULE_TYPE_NUMBER) {
        advice = STR(": write it without the currency");
    } else if (v->type == RULE_TYPE_TIME && operand->type == RULE_TYPE_TEXT) {
        advice = STR(": write it in quotes");
    } else if (v->type == RULE_TYPE_TEXT &&
               (BIT(operand->type) & (AMOUNTS | BIT(RULE_TYPE_TIME)))) {
        advice = STR(": write it without quotes");
    } else if (v->type == RULE_TYPE_ENUM) {
        advice = STR(": texts stand in quotes");
    }
    buf_free(&b);
    return advice;
}

static Err value_fault(Draft *d, const RuleNode *operand, const RuleValue *v)
{
    const Str text = node_text(d, operand);
    const Str advice = advice_for(d, operand, v);
    const char *given = v->type == RULE_TYPE_ENUM ? "a bare word" : type_text(v->type);
    return draft_fail(d, v->at, "rule.type", "%.*s is %s, but this is %s%.*s", STR_ARG(text),
                      what_it_is(operand), given, STR_ARG(advice));
}

static Err check_label(Draft *d, const RuleNode *operand, RuleValue *v)
{
    const RuleEnum *labels = operand->labels;
    Nearest near = nearest_to(v->text);
    for (uint32_t i = 0; i < labels->count; i++) {
        if (!str_eq(labels->labels[i], v->text))
            continue;
        *v = (RuleValue){.type = RULE_TYPE_ENUM, .at = v->at, .i64 = i, .text = labels->labels[i]};
        return ERR_OK;
    }
    for (uint32_t i = 0; i < labels->count; i++)
        nearest_try(&near, labels->labels[i]);
    const Str text = node_text(d, operand), quoted = draft_quote(d, v->text);
    const Str meant = nearest_text(d, &near);
    return draft_fail(d, v->at, "rule.name", "%.*s has no label %.*s%.*s", STR_ARG(text),
                      STR_ARG(quoted), STR_ARG(meant));
}

/* Does this value fit beside the operand?  The first one gives its type to an operand without. */
static Err check_value(Draft *d, const RuleNode *operand, RuleValue *v)
{
    if (operand->type == RULE_TYPE_ENUM && (v->type == RULE_TYPE_TEXT || v->type == RULE_TYPE_ENUM))
        return check_label(d, operand, v);
    if ((types_possible(operand) & BIT(v->type)) == 0)
        return value_fault(d, operand, v);
    if (operand->type == RULE_TYPE_UNKNOWN)
        take_type(d, operand, v->type);
    return ERR_OK;
}

static Err check_literal(Draft *d, const RuleNode *literal, const RuleNode *operand)
{
    RuleNode *mine = check_node(d, literal);
    TRY(check_value(d, operand, &mine->value));
    mine->type = mine->value.type;
    return ERR_OK;
}

static Err check_list(Draft *d, const RuleNode *list, const RuleNode *operand)
{
    RuleValue *values = ARENA_ARRAY(d->ctx->arena, RuleValue, list->value_count);
    for (uint32_t i = 0; i < list->value_count; i++) {
        values[i] = list->values[i];
        TRY(check_value(d, operand, &values[i]));
    }
    check_node(d, list)->values = values;
    check_node(d, list)->type = operand->type;
    return ERR_OK;
}

/* ---- operators ------------------------------------------------------------------------------- */

/* Which operands an operator takes. */
static const struct {
    unsigned types;
    const char *advice;
} OPERATORS[RULE_OP_COUNT] = {
    [RULE_EQ] = {SCALARS, "lists are asked with contains"},
    [RULE_NE] = {SCALARS, "lists are asked with contains"},
    [RULE_LT] = {ORDERED | BIT(RULE_TYPE_ENUM), "only == and != compare it"},
    [RULE_LE] = {ORDERED | BIT(RULE_TYPE_ENUM), "only == and != compare it"},
    [RULE_GT] = {ORDERED | BIT(RULE_TYPE_ENUM), "only == and != compare it"},
    [RULE_GE] = {ORDERED | BIT(RULE_TYPE_ENUM), "only == and != compare it"},
    [RULE_IN] = {SCALARS, "lists are asked with contains any"},
    [RULE_NOT_IN] = {SCALARS, "lists are asked with contains any"},
    [RULE_BETWEEN] = {AMOUNTS | BIT(RULE_TYPE_TEXT) | BIT(RULE_TYPE_ENUM),
                      "`between` takes two numbers, amounts, texts or labels here"},
    [RULE_CONTAINS] = {BIT(RULE_TYPE_TEXT) | BIT(RULE_TYPE_TEXTS),
                       "only texts and lists of texts contain"},
    [RULE_STARTS] = {BIT(RULE_TYPE_TEXT), "only texts start with something"},
    [RULE_ENDS] = {BIT(RULE_TYPE_TEXT), "only texts end with something"},
    [RULE_CONTAINS_ANY] = {BIT(RULE_TYPE_TEXTS), "`contains any` asks lists of texts"},
    [RULE_CONTAINS_ALL] = {BIT(RULE_TYPE_TEXTS), "`contains all` asks lists of texts"},
    [RULE_IS_SET] = {ANY_TYPE, ""},
    [RULE_IS_MISSING] = {ANY_TYPE, ""},
    [RULE_WHEN] = {BIT(RULE_TYPE_TIME), "windows are for times"},
};

static bool is_ordering(RuleOp op)
{
    return (op >= RULE_LT && op <= RULE_GE) || op == RULE_BETWEEN;
}

/* contains, starts with, ends with: the right side is text whatever the left is. */
static Err check_texts(Draft *d, RuleNode *n, const RuleNode *operand)
{
    const bool list = n->args[1]->op == RULE_LIST;
    RuleNode *right = check_node(d, n->args[1]);
    if (operand->type == RULE_TYPE_UNKNOWN && n->op != RULE_CONTAINS)
        take_type(d, operand, list ? RULE_TYPE_TEXTS : RULE_TYPE_TEXT);
    const uint32_t count = list ? right->value_count : 1;
    const RuleValue *values = list ? right->values : &right->value;
    for (uint32_t i = 0; i < count; i++)
        if (values[i].type != RULE_TYPE_TEXT)
            return draft_fail(d, values[i].at, "rule.type",
                              "`%s` takes texts in quotes, but this is %s", rule_op_text(n->op),
                              values[i].type == RULE_TYPE_ENUM ? "a bare word"
                                                               : type_text(values[i].type));
    right->type = RULE_TYPE_TEXT;
    return ERR_OK;
}

/* -1, 0, 1 as a is below, at or above b: two literals of one type. */
static int order_of(const RuleValue *a, const RuleValue *b)
{
    if (a->type == RULE_TYPE_TEXT)
        return str_compare(a->text, b->text);
    if (a->type != RULE_TYPE_NUMBER || a->scale == b->scale)
        return (a->i64 > b->i64) - (a->i64 < b->i64);
    __extension__ __int128 wide_a = a->i64, wide_b = b->i64;
    for (int i = a->scale; i < b->scale; i++)
        wide_a *= 10;
    for (int i = b->scale; i < a->scale; i++)
        wide_b *= 10;
    return (wide_a > wide_b) - (wide_a < wide_b);
}

static Err check_values(Draft *d, RuleNode *n, const RuleNode *operand)
{
    if (n->op >= RULE_CONTAINS && n->op <= RULE_CONTAINS_ALL)
        return check_texts(d, n, operand);
    for (uint32_t i = 1; i < n->count; i++) {
        if (n->args[i]->op == RULE_LIST)
            TRY(check_list(d, n->args[i], operand));
        else
            TRY(check_literal(d, n->args[i], operand));
    }
    return ERR_OK;
}

static Err check_operator(Draft *d, const RuleNode *n, const RuleNode *operand)
{
    if (OPERATORS[n->op].types != ANY_TYPE &&
        (OPERATORS[n->op].types & types_possible(operand)) == 0)
        return type_fault(d, operand, OPERATORS[n->op].advice);
    if (operand->type == RULE_TYPE_ENUM && is_ordering(n->op) && !operand->labels->ordered)
        return type_fault(d, operand, "its labels have no order: only ==, != and in compare it");
    return ERR_OK;
}

static bool may_be_missing(RuleOp op)
{
    return (op >= RULE_PROP && op <= RULE_PERSON_AT) || op == RULE_FIRST || op == RULE_LAST;
}

Err check_comparison(Draft *d, RuleNode *n, const View *view, uint32_t level)
{
    const RuleNode *operand = n->args[0];
    TRY(check_level(d, n, level, n->op == RULE_WHEN ? 2 : 1));
    for (uint32_t i = 1; i < n->count; i++)
        TRY(check_level(d, n, level, n->args[i]->op == RULE_LIST ? 3 : 2));
    TRY(check_operand(d, operand, view, level + 1));
    if ((n->op == RULE_IS_SET || n->op == RULE_IS_MISSING) && !may_be_missing(operand->op))
        return draft_fail(d, operand->at, "rule.type",
                          "only names, first(...) and last(...) are asked whether they are set");
    TRY(check_operator(d, n, operand));
    TRY(check_values(d, n, operand));
    if (n->op == RULE_WHEN && operand->type == RULE_TYPE_UNKNOWN)
        take_type(d, operand, RULE_TYPE_TIME);
    TRY(check_operator(d, n, operand));
    if (n->op == RULE_BETWEEN && order_of(&n->args[1]->value, &n->args[2]->value) > 0)
        return draft_fail(d, n->args[1]->at, "rule.value",
                          "nothing lies between a greater and a smaller value: swap them");
    return ERR_OK;
}
