/*
 * rules/rule_json_read.c -- the tree form, read.
 *
 * The same shapes as rule_json.c writes; every object may have the keys of its kind and no others.
 * It recurses with the document, whose depth json_open() bounded.
 */
#include "rules/rule_internal.h"

/* ---- keys ------------------------------------------------------------------------------------ */

#define KEY_MAP(X)                                                                                 \
    X(OP, "op")                                                                                    \
    X(ARGS, "args")                                                                                \
    X(ARG, "arg")                                                                                  \
    X(LEFT, "left")                                                                                \
    X(RIGHT, "right")                                                                              \
    X(LOW, "low")                                                                                  \
    X(HIGH, "high")                                                                                \
    X(EVENT, "event")                                                                              \
    X(ANY_EVENT, "any_event")                                                                      \
    X(ANY_OF, "any_of")                                                                            \
    X(WHERE, "where")                                                                              \
    X(WITHIN, "within")                                                                            \
    X(CALENDAR, "calendar")                                                                        \
    X(BETWEEN, "between")                                                                          \
    X(SINCE, "since")                                                                              \
    X(BEFORE, "before")                                                                            \
    X(AGO, "ago")                                                                                  \
    X(HAVING, "having")                                                                            \
    X(FOR, "for")                                                                                  \
    X(AFTER, "after")                                                                              \
    X(STEPS, "steps")                                                                              \
    X(OF_FIRST, "of_first")                                                                        \
    X(LIST, "list")                                                                                \
    X(OF, "of")                                                                                    \
    X(ANY, "any")                                                                                  \
    X(ALL, "all")                                                                                  \
    X(SEGMENT, "segment")                                                                          \
    X(CONSENTS, "consents")                                                                        \
    X(DID, "did")                                                                                  \
    X(STOPPED, "stopped")                                                                          \
    X(RESUMED, "resumed")                                                                          \
    X(SEQUENCE, "sequence")                                                                        \
    X(PROP, "prop")                                                                                \
    X(CONTEXT, "context")                                                                          \
    X(FIELD, "field")                                                                              \
    X(ITEM, "item")                                                                                \
    X(PERSON, "person")                                                                            \
    X(COUNT, "count")                                                                              \
    X(DAYS, "days_active")                                                                         \
    X(SUM, "sum")                                                                                  \
    X(AVG, "avg")                                                                                  \
    X(MIN, "min")                                                                                  \
    X(MAX, "max")                                                                                  \
    X(DISTINCT, "distinct")                                                                        \
    X(FIRST, "first")                                                                              \
    X(LAST, "last")                                                                                \
    X(MONEY, "money")                                                                              \
    X(TIME, "time")                                                                                \
    X(NUMBER, "number")

typedef enum Key {
#define X(code, text) KEY_##code,
    KEY_MAP(X)
#undef X
        KEY_COUNT_OF
} Key;

static const char *const KEYS[KEY_COUNT_OF] = {
#define X(code, text) text,
    KEY_MAP(X)
#undef X
};
_Static_assert(KEY_COUNT_OF <= 64, "a set of keys is one word");

#define BIT(key)  (UINT64_C(1) << KEY_##key)
#define STEP_KEYS (BIT(EVENT) | BIT(ANY_EVENT) | BIT(ANY_OF) | BIT(WHERE))
#define WINDOW_KEYS                                                                                \
    (BIT(WITHIN) | BIT(CALENDAR) | BIT(BETWEEN) | BIT(SINCE) | BIT(BEFORE) | BIT(AGO))

/* The members of one object. */
typedef struct Members {
    JsonValue object;
    uint64_t has;
    JsonValue at[KEY_COUNT_OF];
} Members;

static Err read_condition(Draft *d, JsonValue v, RuleNode **out);
static Err read_operand(Draft *d, JsonValue v, RuleNode **out);

/* ---- scalars --------------------------------------------------------------------------------- */

static Err shape(Draft *d, JsonValue v, const char *what)
{
    return draft_fail(d, json_position(v), "rule.json", "expected %s, found %s", what,
                      json_type_name(json_type(v)));
}

static Err read_text(Draft *d, JsonValue v, const char *what, Str *out)
{
    Str text;
    const JsonFault fault = json_text(v, &text);
    if (fault == JSON_FAULT_TYPE)
        return shape(d, v, what);
    if (fault != JSON_FAULT_NONE)
        return draft_fail(d, json_position(v), "rule.text", "this text %s", json_fault_text(fault));
    if (text.len > RULE_BYTES_MAX)
        return draft_fail(d, json_position(v), "rule.size", "a rule has at most %d bytes of text",
                          RULE_BYTES_MAX);
    *out = arena_copy(d->ctx->arena, text);
    return ERR_OK;
}

static Err read_name(Draft *d, JsonValue v, Str *out)
{
    TRY(read_text(d, v, "a name", out));
    return literal_name(d, json_position(v), *out);
}

static Err unknown_key(Draft *d, size_t at, Str name, uint64_t allowed)
{
    Nearest near = nearest_to(name);
    for (int k = 0; k < KEY_COUNT_OF; k++)
        if (allowed >> k & 1)
            nearest_try(&near, str_of(KEYS[k]));
    if (str_eq(near.best, name))
        near.best = STR("");
    const Str quoted = draft_quote(d, name), meant = nearest_text(d, &near);
    return draft_fail(d, at, "rule.json", "the key %.*s has no place here%.*s", STR_ARG(quoted),
                      STR_ARG(meant));
}

/* Reads an object that may have the keys `allowed` and must have `needed`. */
static Err read_members(Draft *d, JsonValue v, uint64_t allowed, uint64_t needed, Members *out)
{
    Str name;
    JsonValue value;
    *out = (Members){.object = v};
    if (json_type(v) != JSON_OBJECT)
        return shape(d, v, "an object");
    for (JsonIter i = json_fields(v); json_next_field(&i, &name, &value);) {
        int k = 0;
        while (k < KEY_COUNT_OF && !str_eq(name, str_of(KEYS[k])))
            k++;
        if (k == KEY_COUNT_OF || (allowed >> k & 1) == 0)
            return unknown_key(d, json_position(value), name, allowed);
        if (out->has >> k & 1)
            return draft_fail(d, json_position(value), "rule.json", "\"%s\" stands twice", KEYS[k]);
        out->has |= UINT64_C(1) << k;
        out->at[k] = value;
    }
    for (int k = 0; k < KEY_COUNT_OF; k++)
        if ((needed & ~out->has) >> k & 1)
            return draft_fail(d, json_position(v), "rule.json", "\"%s\" is missing", KEYS[k]);
    return ERR_OK;
}

/* ---- values ---------------------------------------------------------------------------------- */

static Err read_money(Draft *d, JsonValue v, RuleValue *out)
{
    Str text;
    TRY(read_text(d, v, "an amount like \"300.00 CNY\"", &text));
    const int64_t space = str_index(text, ' ', 0);
    const size_t cut = space < 0 ? text.len : (size_t)space;
    if (space < 0)
        return draft_fail(d, json_position(v), "rule.value",
                          "an amount has its currency behind, like \"300.00 CNY\"");
    return literal_money(d, json_position(v), str_slice(text, 0, cut),
                         str_slice(text, cut + 1, text.len), out);
}

static Err read_wrapped_value(Draft *d, JsonValue v, RuleValue *out)
{
    Members m;
    Str text;
    TRY(read_members(d, v, BIT(MONEY) | BIT(TIME) | BIT(NUMBER), 0, &m));
    if (m.has == BIT(MONEY))
        return read_money(d, m.at[KEY_MONEY], out);
    if (m.has == BIT(TIME)) {
        TRY(read_text(d, m.at[KEY_TIME], "a time", &text));
        return literal_time(d, json_position(m.at[KEY_TIME]), text, out);
    }
    if (m.has != BIT(NUMBER))
        return draft_fail(d, json_position(v), "rule.json",
                          "a value is {\"money\": ...}, {\"time\": ...} or {\"number\": ...}");
    TRY(read_text(d, m.at[KEY_NUMBER], "a number in quotes", &text));
    return literal_number(d, json_position(m.at[KEY_NUMBER]), text, out);
}

static Err read_value(Draft *d, JsonValue v, RuleValue *out)
{
    const size_t at = json_position(v);
    bool yes = false;
    Str text;
    switch (json_type(v)) {
    case JSON_STRING:
        TRY(read_text(d, v, "a text", &text));
        *out = (RuleValue){.type = RULE_TYPE_TEXT, .at = (uint32_t)at, .text = text};
        return ERR_OK;
    case JSON_NUMBER:
        return literal_number(d, at, json_number_token(v), out);
    case JSON_BOOL:
        if (json_bool(v, &yes) != JSON_FAULT_NONE)
            return shape(d, v, "true or false");
        *out = (RuleValue){.type = RULE_TYPE_BOOL, .at = (uint32_t)at, .i64 = yes};
        return ERR_OK;
    case JSON_OBJECT:
        return read_wrapped_value(d, v, out);
    case JSON_ARRAY:
    case JSON_NULL:
        break;
    }
    return shape(d, v, "a value");
}

static Err read_literal(Draft *d, JsonValue v, RuleNode **out)
{
    RuleNode *n;
    TRY(draft_node(d, RULE_LITERAL, json_position(v), &n));
    TRY(read_value(d, v, &n->value));
    n->type = n->value.type;
    *out = n;
    return ERR_OK;
}

static Err read_list(Draft *d, JsonValue v, RuleNode **out)
{
    RuleNode *n;
    ValueList values = {0};
    JsonValue item;
    TRY(draft_node(d, RULE_LIST, json_position(v), &n));
    if (json_type(v) != JSON_ARRAY)
        return shape(d, v, "a list of values");
    for (JsonIter i = json_items(v); json_next_item(&i, &item);) {
        RuleValue value;
        TRY(read_value(d, item, &value));
        TRY(values_add(d, &values, json_position(item), &value));
    }
    if (values.count == 0)
        return draft_fail(d, json_position(v), "rule.json", "a list has at least one value");
    n->values = values.at;
    n->value_count = values.count;
    *out = n;
    return ERR_OK;
}

/* ---- windows --------------------------------------------------------------------------------- */

static Err read_span(Draft *d, JsonValue v, RuleSpan *out)
{
    Str text;
    TRY(read_text(d, v, "a span like \"90d\"", &text));
    return literal_span(d, json_position(v), text, out);
}

static Err read_time(Draft *d, JsonValue v, RuleValue *out)
{
    Str text;
    TRY(read_text(d, v, "a time like \"2026-01-31\"", &text));
    return literal_time(d, json_position(v), text, out);
}

static Err read_calendar(Draft *d, JsonValue v, RuleSpan *out)
{
    Str text;
    TRY(read_text(d, v, "a text like \"3 months\"", &text));
    const int64_t space = str_index(text, ' ', 0);
    const size_t cut = space < 0 ? 0 : (size_t)space;
    return literal_calendar(d, json_position(v), str_slice(text, 0, cut),
                            str_slice(text, cut + (space >= 0), text.len), out);
}

static Err read_pair(Draft *d, JsonValue v, JsonValue pair[2])
{
    JsonIter i = json_items(v);
    if (json_count(v) != 2 || !json_next_item(&i, &pair[0]) || !json_next_item(&i, &pair[1]))
        return draft_fail(d, json_position(v), "rule.json", "expected a list of two");
    return ERR_OK;
}

static Err read_between(Draft *d, const Members *m, RuleWindow *w)
{
    JsonValue pair[2];
    if (m->has & BIT(AGO)) {
        w->kind = RULE_WINDOW_AGO;
        TRY(read_pair(d, m->at[KEY_AGO], pair));
        TRY(read_span(d, pair[0], &w->span));
        return read_span(d, pair[1], &w->span2);
    }
    w->kind = RULE_WINDOW_BETWEEN;
    TRY(read_pair(d, m->at[KEY_BETWEEN], pair));
    TRY(read_time(d, pair[0], &w->from));
    return read_time(d, pair[1], &w->to);
}

static Err read_window(Draft *d, const Members *m, RuleWindow *out)
{
    RuleWindow w = {0};
    const uint64_t has = m->has & WINDOW_KEYS;
    if ((has & (has - 1)) != 0)
        return draft_fail(d, json_position(m->object), "rule.json",
                          "there is more than one window");
    if (has & BIT(WITHIN)) {
        w.kind = RULE_WINDOW_WITHIN;
        TRY(read_span(d, m->at[KEY_WITHIN], &w.span));
    } else if (has & BIT(CALENDAR)) {
        w.kind = RULE_WINDOW_CALENDAR;
        TRY(read_calendar(d, m->at[KEY_CALENDAR], &w.span));
    } else if (has & BIT(SINCE)) {
        w.kind = RULE_WINDOW_SINCE;
        TRY(read_time(d, m->at[KEY_SINCE], &w.from));
    } else if (has & BIT(BEFORE)) {
        w.kind = RULE_WINDOW_BEFORE;
        TRY(read_time(d, m->at[KEY_BEFORE], &w.from));
    } else if (has != 0) {
        TRY(read_between(d, m, &w));
    }
    TRY(window_check(d, json_position(m->object), &w));
    *out = w;
    return ERR_OK;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static Err read_true(Draft *d, JsonValue v)
{
    bool yes = false;
    if (json_bool(v, &yes) != JSON_FAULT_NONE || !yes)
        return draft_fail(d, json_position(v), "rule.json", "expected true (or leave the key out)");
    return ERR_OK;
}

static Err read_event_names(Draft *d, JsonValue v, RuleNode *pick)
{
    NameList names = {0};
    JsonValue item;
    Str name;
    if (json_type(v) != JSON_ARRAY) {
        TRY(read_name(d, v, &name));
        TRY(names_add(d, &names, json_position(v), name));
    }
    for (JsonIter i = json_items(v); json_next_item(&i, &item);) {
        TRY(read_name(d, item, &name));
        TRY(names_add(d, &names, json_position(item), name));
    }
    if (names.count == 0)
        return draft_fail(d, json_position(v), "rule.json", "a list has at least one event");
    pick->names = names.at;
    pick->name_count = names.count;
    return ERR_OK;
}

static Err read_pick(Draft *d, const Members *m, RuleNode **out)
{
    RuleNode *n, *condition;
    TRY(draft_node(d, RULE_PICK, json_position(m->object), &n));
    if (((m->has & BIT(EVENT)) != 0) == ((m->has & BIT(ANY_EVENT)) != 0))
        return draft_fail(d, json_position(m->object), "rule.json",
                          "a step has one of \"event\", \"any_event\" and \"any_of\"");
    if (m->has & BIT(EVENT))
        TRY(read_event_names(d, m->at[KEY_EVENT], n));
    else
        TRY(read_true(d, m->at[KEY_ANY_EVENT]));
    if (m->has & BIT(WHERE)) {
        TRY(read_condition(d, m->at[KEY_WHERE], &condition));
        node_take_one(d, n, condition);
    }
    *out = n;
    return ERR_OK;
}

static Err read_step(Draft *d, const Members *m, RuleNode **out)
{
    NodeList picks = {0};
    JsonValue item;
    RuleNode *pick;
    TRY(draft_node(d, RULE_STEP, json_position(m->object), out));
    if ((m->has & BIT(ANY_OF)) == 0) {
        TRY(read_pick(d, m, &pick));
        nodes_add(d, &picks, pick);
    } else if (m->has & (STEP_KEYS & ~BIT(ANY_OF))) {
        return draft_fail(d, json_position(m->object), "rule.json",
                          "a step has one of \"event\", \"any_event\" and \"any_of\"");
    } else {
        for (JsonIter i = json_items(m->at[KEY_ANY_OF]); json_next_item(&i, &item);) {
            Members inner;
            TRY(read_members(d, item, STEP_KEYS & ~BIT(ANY_OF), 0, &inner));
            TRY(read_pick(d, &inner, &pick));
            nodes_add(d, &picks, pick);
        }
    }
    if (picks.count == 0)
        return draft_fail(d, json_position(m->at[KEY_ANY_OF]), "rule.json",
                          "expected a list of steps");
    node_take(*out, &picks);
    return ERR_OK;
}

static Err take_step(Draft *d, const Members *m, RuleNode *n)
{
    RuleNode *step;
    TRY(read_step(d, m, &step));
    n->step = step;
    return ERR_OK;
}

/* ---- functions: {"did": {...}} --------------------------------------------------------------- */

static Err read_items(Draft *d, const Members *m, RuleNode *n)
{
    RuleNode *list, *arg;
    TRY(draft_node(d, RULE_PROP, json_position(m->at[KEY_LIST]), &list));
    TRY(read_name(d, m->at[KEY_LIST], &list->name));
    node_take_one(d, n, list);
    if (m->has & BIT(WHERE))
        TRY(read_condition(d, m->at[KEY_WHERE], &arg));
    else if (m->has & BIT(OF))
        TRY(read_operand(d, m->at[KEY_OF], &arg));
    else
        return ERR_OK;
    node_take_two(d, n, list, arg);
    return ERR_OK;
}

/* "count": {">=": 2} in a did: short for a condition in "having" */
static Err read_count_shorthand(Draft *d, JsonValue v, NodeList *having)
{
    Str name;
    JsonValue value;
    if (json_type(v) != JSON_OBJECT)
        return shape(d, v, "an object like {\">=\": 2}");
    for (JsonIter i = json_fields(v); json_next_field(&i, &name, &value);) {
        RuleNode *n = NULL, *count, *literal;
        for (RuleOp op = RULE_EQ; op <= RULE_GE && n == NULL; op++)
            if (str_eq(name, str_of(rule_op_text(op))))
                TRY(draft_node(d, op, json_position(value), &n));
        if (n == NULL)
            return unknown_key(d, json_position(value), name, 0);
        TRY(draft_node(d, RULE_COUNT, json_position(value), &count));
        TRY(read_literal(d, value, &literal));
        node_take_two(d, n, count, literal);
        nodes_add(d, having, n);
    }
    return ERR_OK;
}

static Err read_did(Draft *d, const Members *m, RuleNode *n)
{
    NodeList having = {0};
    JsonValue item;
    RuleNode *condition;
    TRY(take_step(d, m, n));
    TRY(read_window(d, m, &n->window));
    if (m->has & BIT(COUNT))
        TRY(read_count_shorthand(d, m->at[KEY_COUNT], &having));
    if (m->has & BIT(HAVING)) {
        if (json_type(m->at[KEY_HAVING]) != JSON_ARRAY)
            return shape(d, m->at[KEY_HAVING], "a list of conditions");
        for (JsonIter i = json_items(m->at[KEY_HAVING]); json_next_item(&i, &item);) {
            TRY(read_condition(d, item, &condition));
            nodes_add(d, &having, condition);
        }
    }
    node_take(n, &having);
    return ERR_OK;
}

static Err read_stopped(Draft *d, const Members *m, RuleNode *n)
{
    TRY(take_step(d, m, n));
    TRY(read_span(d, m->at[KEY_FOR], &n->span));
    return read_window(d, m, &n->window);
}

static Err read_resumed(Draft *d, const Members *m, RuleNode *n)
{
    TRY(take_step(d, m, n));
    TRY(read_span(d, m->at[KEY_AFTER], &n->span));
    return read_span(d, m->at[KEY_WITHIN], &n->span2);
}

static Err read_sequence(Draft *d, const Members *m, RuleNode *n)
{
    NodeList steps = {0};
    JsonValue item;
    RuleNode *step;
    for (JsonIter i = json_items(m->at[KEY_STEPS]); json_next_item(&i, &item);) {
        Members inner;
        const uint64_t limits = steps.count == 0 ? 0 : BIT(WITHIN) | BIT(OF_FIRST);
        TRY(read_members(d, item, STEP_KEYS | limits, 0, &inner));
        TRY(read_step(d, &inner, &step));
        if (inner.has & BIT(WITHIN))
            TRY(read_span(d, inner.at[KEY_WITHIN], &step->span));
        step->of_first = (inner.has & BIT(OF_FIRST)) != 0;
        if (step->of_first)
            TRY(read_true(d, inner.at[KEY_OF_FIRST]));
        if (step->of_first && step->span.count == 0)
            return draft_fail(d, json_position(item), "rule.json", "\"within\" is missing");
        nodes_add(d, &steps, step);
    }
    if (steps.count < 2)
        return draft_fail(d, json_position(m->at[KEY_STEPS]), "rule.json",
                          "a sequence is a list of two steps at least");
    node_take(n, &steps);
    return read_window(d, m, &n->window);
}

/* Without a step it stands in a did, where its window is that of the did. */
static Err read_aggregate(Draft *d, const Members *m, RuleNode *n)
{
    RuleNode *of;
    if (m->has & STEP_KEYS)
        TRY(take_step(d, m, n));
    else if (m->has & WINDOW_KEYS)
        return draft_fail(d, json_position(m->object), "rule.json",
                          "a window needs a step: \"event\", \"any_event\" or \"any_of\"");
    if (m->has & BIT(OF)) {
        TRY(read_operand(d, m->at[KEY_OF], &of));
        node_take_one(d, n, of);
    }
    return read_window(d, m, &n->window);
}

typedef Err (*ReadFunction)(Draft *d, const Members *m, RuleNode *n);

typedef struct Function {
    Key key;
    RuleOp op;
    uint64_t allowed, needed;
    ReadFunction read;
} Function;

static const Function CONDITIONS[] = {
    {KEY_ANY, RULE_ITEMS_ANY, BIT(LIST) | BIT(WHERE), BIT(LIST) | BIT(WHERE), read_items},
    {KEY_ALL, RULE_ITEMS_ALL, BIT(LIST) | BIT(WHERE), BIT(LIST) | BIT(WHERE), read_items},
    {KEY_DID, RULE_DID, STEP_KEYS | WINDOW_KEYS | BIT(HAVING) | BIT(COUNT), 0, read_did},
    {KEY_STOPPED, RULE_STOPPED, STEP_KEYS | WINDOW_KEYS | BIT(FOR), BIT(FOR), read_stopped},
    {KEY_RESUMED, RULE_RESUMED, STEP_KEYS | BIT(AFTER) | BIT(WITHIN), BIT(AFTER) | BIT(WITHIN),
     read_resumed},
    {KEY_SEQUENCE, RULE_SEQUENCE, WINDOW_KEYS | BIT(STEPS), BIT(STEPS), read_sequence},
};

#define LEAF (STEP_KEYS | WINDOW_KEYS)

static const Function VALUES[] = {
    {KEY_COUNT, RULE_COUNT, LEAF, 0, read_aggregate},
    {KEY_DAYS, RULE_DAYS, LEAF, 0, read_aggregate},
    {KEY_SUM, RULE_SUM, LEAF | BIT(OF), BIT(OF), read_aggregate},
    {KEY_AVG, RULE_AVG, LEAF | BIT(OF), BIT(OF), read_aggregate},
    {KEY_MIN, RULE_MIN, LEAF | BIT(OF), BIT(OF), read_aggregate},
    {KEY_MAX, RULE_MAX, LEAF | BIT(OF), BIT(OF), read_aggregate},
    {KEY_DISTINCT, RULE_DISTINCT, LEAF | BIT(OF), BIT(OF), read_aggregate},
    {KEY_FIRST, RULE_FIRST, LEAF | BIT(OF), 0, read_aggregate},
    {KEY_LAST, RULE_LAST, LEAF | BIT(OF), 0, read_aggregate},
};

/* The same words with a "list" are about the records of one event. */
static const Function ITEM_VALUES[] = {
    {KEY_COUNT, RULE_ITEMS_COUNT, BIT(LIST) | BIT(WHERE), BIT(LIST), read_items},
    {KEY_SUM, RULE_ITEMS_SUM, BIT(LIST) | BIT(OF), BIT(LIST) | BIT(OF), read_items},
};

static const Function *find_function(const Function *all, size_t count, uint64_t has)
{
    for (size_t i = 0; i < count; i++)
        if (has == UINT64_C(1) << all[i].key)
            return &all[i];
    return NULL;
}

static Err read_function(Draft *d, const Function *f, const Members *outer, RuleNode **out)
{
    Members m;
    const JsonValue inner = outer->at[f->key];
    TRY(draft_node(d, f->op, json_position(outer->object), out));
    TRY(read_members(d, inner, f->allowed, f->needed, &m));
    return f->read(d, &m, *out);
}

/* ---- operands -------------------------------------------------------------------------------- */

static const struct {
    Key key;
    RuleOp op;
} NAMES[] = {{KEY_PROP, RULE_PROP},
             {KEY_CONTEXT, RULE_CONTEXT},
             {KEY_ITEM, RULE_ITEM},
             {KEY_PERSON, RULE_PERSON}};

static Err read_field(Draft *d, const Members *m, RuleNode **out)
{
    Str name;
    TRY(draft_node(d, RULE_FIELD, json_position(m->object), out));
    TRY(read_text(d, m->at[KEY_FIELD], "the name of a field", &name));
    if (field_find(name, &(*out)->field))
        return ERR_OK;
    return draft_fail(d, json_position(m->at[KEY_FIELD]), "rule.name",
                      "the fields of an event are event, time, store and source");
}

static Err read_product(Draft *d, const Members *m, RuleNode **out)
{
    RuleNode *left, *right;
    Str op;
    TRY(read_text(d, m->at[KEY_OP], "an operator", &op));
    if (!str_eq(op, STR("*")) || m->has != (BIT(OP) | BIT(LEFT) | BIT(RIGHT)))
        return draft_fail(
            d, json_position(m->object), "rule.json",
            "a value is made of others by {\"op\": \"*\", \"left\": ..., \"right\": ...} only");
    TRY(read_operand(d, m->at[KEY_LEFT], &left));
    TRY(read_operand(d, m->at[KEY_RIGHT], &right));
    TRY(draft_node(d, RULE_MUL, json_position(m->object), out));
    node_take_two(d, *out, left, right);
    return ERR_OK;
}

static Err read_operand(Draft *d, JsonValue v, RuleNode **out)
{
    Members m;
    TRY(read_members(d, v, ~UINT64_C(0), 0, &m));
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
        if (m.has != UINT64_C(1) << NAMES[i].key)
            continue;
        TRY(draft_node(d, NAMES[i].op, json_position(v), out));
        return read_name(d, m.at[NAMES[i].key], &(*out)->name);
    }
    if (m.has == BIT(FIELD))
        return read_field(d, &m, out);
    if (m.has & BIT(OP))
        return read_product(d, &m, out);
    const Function *f = find_function(VALUES, ARRAY_LEN(VALUES), m.has);
    JsonValue list;
    const Function *item = find_function(ITEM_VALUES, ARRAY_LEN(ITEM_VALUES), m.has);
    if (item != NULL && json_find(m.at[item->key], STR("list"), &list))
        f = item;
    if (f != NULL)
        return read_function(d, f, &m, out);
    return draft_fail(
        d, json_position(v), "rule.json",
        "expected what is compared, like {\"prop\": \"channel\"} or {\"count\": {...}}");
}

/* ---- operators: {"op": ...} ------------------------------------------------------------------ */

static Err read_join(Draft *d, RuleOp op, const Members *m, RuleNode **out)
{
    NodeList args = {0};
    JsonValue item;
    RuleNode *arg;
    for (JsonIter i = json_items(m->at[KEY_ARGS]); json_next_item(&i, &item);) {
        TRY(read_condition(d, item, &arg));
        nodes_add(d, &args, arg);
    }
    if (args.count == 0)
        return draft_fail(d, json_position(m->object), "rule.json",
                          "\"args\" is a list of one condition at least");
    return draft_join(d, op, json_position(m->object), &args, out);
}

static Err read_not(Draft *d, const Members *m, RuleNode **out)
{
    RuleNode *arg;
    TRY(draft_node(d, RULE_NOT, json_position(m->object), out));
    TRY(read_condition(d, m->at[KEY_ARG], &arg));
    node_take_one(d, *out, arg);
    return ERR_OK;
}

static Err read_comparison(Draft *d, RuleOp op, const Members *m, RuleNode **out)
{
    NodeList args = {0};
    RuleNode *arg;
    const bool list =
        op == RULE_IN || op == RULE_NOT_IN || op == RULE_CONTAINS_ANY || op == RULE_CONTAINS_ALL;
    TRY(draft_node(d, op, json_position(m->object), out));
    TRY(read_operand(d, m->at[KEY_LEFT], &arg));
    nodes_add(d, &args, arg);
    static const Key RIGHT[] = {KEY_RIGHT, KEY_LOW, KEY_HIGH};
    for (size_t i = 0; i < ARRAY_LEN(RIGHT); i++) {
        if ((m->has >> RIGHT[i] & 1) == 0)
            continue;
        if (list)
            TRY(read_list(d, m->at[RIGHT[i]], &arg));
        else
            TRY(read_literal(d, m->at[RIGHT[i]], &arg));
        nodes_add(d, &args, arg);
    }
    node_take(*out, &args);
    TRY(read_window(d, m, &(*out)->window));
    if (op == RULE_WHEN && (*out)->window.kind == RULE_WINDOW_EVER)
        return draft_fail(d, json_position(m->object), "rule.json",
                          "a window is missing: within, calendar, between, since, before or ago");
    return ERR_OK;
}

static uint64_t keys_of(RuleOp op)
{
    switch ((int)op) {
    case RULE_AND:
    case RULE_OR:
        return BIT(OP) | BIT(ARGS);
    case RULE_NOT:
        return BIT(OP) | BIT(ARG);
    case RULE_BETWEEN:
        return BIT(OP) | BIT(LEFT) | BIT(LOW) | BIT(HIGH);
    case RULE_IS_SET:
    case RULE_IS_MISSING:
    case RULE_WHEN:
        return BIT(OP) | BIT(LEFT);
    default:
        return BIT(OP) | BIT(LEFT) | BIT(RIGHT);
    }
}

static Err unknown_op(Draft *d, JsonValue v, Str name)
{
    Nearest near = nearest_to(name);
    for (RuleOp op = RULE_AND; op <= RULE_WHEN; op++)
        nearest_try(&near, str_of(rule_op_text(op)));
    const Str quoted = draft_quote(d, name), meant = nearest_text(d, &near);
    return draft_fail(d, json_position(v), "rule.json", "there is no operator %.*s%.*s",
                      STR_ARG(quoted), STR_ARG(meant));
}

static Err read_operator(Draft *d, JsonValue v, const Members *outer, RuleNode **out)
{
    Str name;
    Members m;
    RuleOp op = RULE_AND;
    TRY(read_text(d, outer->at[KEY_OP], "an operator", &name));
    while (op <= RULE_WHEN && !str_eq(name, str_of(rule_op_text(op))))
        op++;
    if (op > RULE_WHEN)
        return unknown_op(d, outer->at[KEY_OP], name);
    TRY(read_members(d, v, keys_of(op) | (op == RULE_WHEN ? WINDOW_KEYS : 0), keys_of(op), &m));
    if (op == RULE_AND || op == RULE_OR)
        return read_join(d, op, &m, out);
    return op == RULE_NOT ? read_not(d, &m, out) : read_comparison(d, op, &m, out);
}

/* ---- conditions ------------------------------------------------------------------------------ */

static Err read_segment(Draft *d, const Members *m, RuleNode **out)
{
    TRY(draft_node(d, RULE_SEGMENT, json_position(m->object), out));
    return read_name(d, m->at[KEY_SEGMENT], &(*out)->name);
}

static Err read_consents(Draft *d, const Members *m, RuleNode **out)
{
    JsonValue pair[2];
    NameList names = {0};
    Str name;
    TRY(draft_node(d, RULE_CONSENTS, json_position(m->object), out));
    TRY(read_pair(d, m->at[KEY_CONSENTS], pair));
    for (int i = 0; i < 2; i++) {
        TRY(read_name(d, pair[i], &name));
        TRY(names_add(d, &names, json_position(pair[i]), name));
    }
    (*out)->names = names.at;
    (*out)->name_count = names.count;
    return ERR_OK;
}

static Err read_condition(Draft *d, JsonValue v, RuleNode **out)
{
    Members m;
    if (json_type(v) == JSON_BOOL)
        return read_literal(d, v, out);
    TRY(read_members(d, v, ~UINT64_C(0), 0, &m));
    if (m.has & BIT(OP))
        return read_operator(d, v, &m, out);
    if (m.has == BIT(SEGMENT))
        return read_segment(d, &m, out);
    if (m.has == BIT(CONSENTS))
        return read_consents(d, &m, out);
    const Function *f = find_function(CONDITIONS, ARRAY_LEN(CONDITIONS), m.has);
    if (f != NULL)
        return read_function(d, f, &m, out);
    return draft_fail(d, json_position(v), "rule.json",
                      "expected a condition, like {\"op\": \"==\", ...} or {\"did\": {...}}");
}

Err rule_from_json(Ctx *ctx, JsonValue tree, RuleScope scope, const RuleSchema *schema, Rule *out)
{
    Draft d;
    RuleNode *root;
    draft_init(&d, ctx, scope, schema);
    d.from_json = true;
    d.tree = tree;
    if (scope == RULE_SCOPE_STEP) {
        Members m;
        TRY(read_members(&d, tree, STEP_KEYS, 0, &m));
        TRY(read_step(&d, &m, &root));
    } else {
        TRY(read_condition(&d, tree, &root));
    }
    return draft_finish(&d, root, out);
}
