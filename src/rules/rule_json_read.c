/*
 * rules/rule_json_read.c -- the tree form, read: the nodes.
 *
 * The same shapes as rule_json.c writes; every object may have the keys of its kind and no others.
 * It recurses with the document, whose depth json_open() bounded.
 */
#include "rules/rule_json_parts.h"

static Err read_condition(Draft *d, JsonValue v, RuleNode **out);
static Err read_operand(Draft *d, JsonValue v, RuleNode **out);

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
        TRY(tree_read_name(d, v, &name));
        TRY(names_add(d, &names, json_position(v), name));
    }
    for (JsonIter i = json_items(v); json_next_item(&i, &item);) {
        TRY(tree_read_name(d, item, &name));
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
            TRY(tree_read_members(d, item, STEP_KEYS & ~BIT(ANY_OF), 0, &inner));
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
    TRY(tree_read_name(d, m->at[KEY_LIST], &list->name));
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
        return tree_shape(d, v, "an object like {\">=\": 2}");
    for (JsonIter i = json_fields(v); json_next_field(&i, &name, &value);) {
        RuleNode *n = NULL, *count, *literal;
        for (RuleOp op = RULE_EQ; op <= RULE_GE && n == NULL; op++)
            if (str_eq(name, str_of(rule_op_text(op))))
                TRY(draft_node(d, op, json_position(value), &n));
        if (n == NULL)
            return tree_unknown_key(d, json_position(value), name, 0);
        TRY(draft_node(d, RULE_COUNT, json_position(value), &count));
        TRY(tree_read_literal(d, value, &literal));
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
    TRY(tree_read_window(d, m, &n->window));
    if (m->has & BIT(COUNT))
        TRY(read_count_shorthand(d, m->at[KEY_COUNT], &having));
    if (m->has & BIT(HAVING)) {
        if (json_type(m->at[KEY_HAVING]) != JSON_ARRAY)
            return tree_shape(d, m->at[KEY_HAVING], "a list of conditions");
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
    TRY(tree_read_span(d, m->at[KEY_FOR], &n->span));
    return tree_read_window(d, m, &n->window);
}

static Err read_resumed(Draft *d, const Members *m, RuleNode *n)
{
    TRY(take_step(d, m, n));
    TRY(tree_read_span(d, m->at[KEY_AFTER], &n->span));
    return tree_read_span(d, m->at[KEY_WITHIN], &n->span2);
}

static Err read_sequence(Draft *d, const Members *m, RuleNode *n)
{
    NodeList steps = {0};
    JsonValue item;
    RuleNode *step;
    for (JsonIter i = json_items(m->at[KEY_STEPS]); json_next_item(&i, &item);) {
        Members inner;
        const uint64_t limits = steps.count == 0 ? 0 : BIT(WITHIN) | BIT(OF_FIRST);
        TRY(tree_read_members(d, item, STEP_KEYS | limits, 0, &inner));
        TRY(read_step(d, &inner, &step));
        if (inner.has & BIT(WITHIN))
            TRY(tree_read_span(d, inner.at[KEY_WITHIN], &step->span));
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
    return tree_read_window(d, m, &n->window);
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
    return tree_read_window(d, m, &n->window);
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
    TRY(tree_read_members(d, inner, f->allowed, f->needed, &m));
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
    TRY(tree_read_text(d, m->at[KEY_FIELD], "the name of a field", &name));
    if (literal_find_field(name, &(*out)->field))
        return ERR_OK;
    return draft_fail(d, json_position(m->at[KEY_FIELD]), "rule.name",
                      "the fields of an event are event, time, store and source");
}

static Err read_product(Draft *d, const Members *m, RuleNode **out)
{
    RuleNode *left, *right;
    Str op;
    TRY(tree_read_text(d, m->at[KEY_OP], "an operator", &op));
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

/* {"person": "level", "at": "event"} */
static Err read_person_at(Draft *d, const Members *m, RuleNode **out)
{
    Str at;
    TRY(draft_node(d, RULE_PERSON_AT, json_position(m->object), out));
    TRY(tree_read_text(d, m->at[KEY_AT], "\"event\"", &at));
    if (!str_eq(at, STR("event")))
        return draft_fail(d, json_position(m->at[KEY_AT]), "rule.json",
                          "\"at\" is \"event\": as of the event");
    return tree_read_name(d, m->at[KEY_PERSON], &(*out)->name);
}

static Err read_operand(Draft *d, JsonValue v, RuleNode **out)
{
    Members m;
    TRY(tree_read_members(d, v, ~UINT64_C(0), 0, &m));
    if (m.has == (BIT(PERSON) | BIT(AT)))
        return read_person_at(d, &m, out);
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
        if (m.has != UINT64_C(1) << NAMES[i].key)
            continue;
        TRY(draft_node(d, NAMES[i].op, json_position(v), out));
        return tree_read_name(d, m.at[NAMES[i].key], &(*out)->name);
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
            TRY(tree_read_list(d, m->at[RIGHT[i]], &arg));
        else
            TRY(tree_read_literal(d, m->at[RIGHT[i]], &arg));
        nodes_add(d, &args, arg);
    }
    node_take(*out, &args);
    TRY(tree_read_window(d, m, &(*out)->window));
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
    TRY(tree_read_text(d, outer->at[KEY_OP], "an operator", &name));
    while (op <= RULE_WHEN && !str_eq(name, str_of(rule_op_text(op))))
        op++;
    if (op > RULE_WHEN)
        return unknown_op(d, outer->at[KEY_OP], name);
    TRY(tree_read_members(d, v, keys_of(op) | (op == RULE_WHEN ? WINDOW_KEYS : 0), keys_of(op),
                          &m));
    if (op == RULE_AND || op == RULE_OR)
        return read_join(d, op, &m, out);
    return op == RULE_NOT ? read_not(d, &m, out) : read_comparison(d, op, &m, out);
}

/* ---- conditions ------------------------------------------------------------------------------ */

static Err read_segment(Draft *d, const Members *m, RuleNode **out)
{
    TRY(draft_node(d, RULE_SEGMENT, json_position(m->object), out));
    return tree_read_name(d, m->at[KEY_SEGMENT], &(*out)->name);
}

static Err read_consents(Draft *d, const Members *m, RuleNode **out)
{
    JsonValue pair[2];
    NameList names = {0};
    Str name;
    TRY(draft_node(d, RULE_CONSENTS, json_position(m->object), out));
    TRY(tree_read_pair(d, m->at[KEY_CONSENTS], pair));
    for (int i = 0; i < 2; i++) {
        TRY(tree_read_name(d, pair[i], &name));
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
        return tree_read_literal(d, v, out);
    TRY(tree_read_members(d, v, ~UINT64_C(0), 0, &m));
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
        TRY(tree_read_members(&d, tree, STEP_KEYS, 0, &m));
        TRY(read_step(&d, &m, &root));
    } else {
        TRY(read_condition(&d, tree, &root));
    }
    return draft_finish(&d, root, out);
}

Err rule_read(Ctx *ctx, Str json, RuleScope scope, const RuleSchema *schema, Rule *out)
{
    JsonValue value;
    Str text;
    TRY(json_open(ctx, json, &value));
    if (json_type(value) == JSON_STRING && json_text(value, &text) == JSON_FAULT_NONE)
        return rule_parse(ctx, text, scope, schema, out);
    if (json_type(value) != JSON_OBJECT && json_type(value) != JSON_BOOL)
        return fail_field(ctx, "", "rule.json", "send a rule: a text, or the object of its tree");
    return rule_from_json(ctx, value, scope, schema, out);
}
