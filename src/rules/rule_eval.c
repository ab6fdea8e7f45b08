/*
 * rules/rule_eval.c -- conditions for one event and for one person.
 */
#include "rules/rule_eval_internal.h"

/* ---- operands -------------------------------------------------------------------------------- */

static Found value_of_prop(const Eval *e, const RuleNode *n)
{
    return found_of_prop(found_prop(e->event->props, e->event->prop_count, n->name), n,
                         e->any_type);
}

static Found value_of_context(const Eval *e, const RuleNode *n)
{
    return found_of_prop(found_prop(e->event->context, e->event->context_count, n->name), n,
                         e->any_type);
}

static Found value_of_item(const Eval *e, const RuleNode *n)
{
    return found_of_prop(found_prop(e->item->fields, e->item->count, n->name), n, e->any_type);
}

static Found value_of_person(const Eval *e, const RuleNode *n)
{
    return found_of_prop(found_prop(e->facts->attributes, e->facts->attribute_count, n->name), n,
                         e->any_type);
}

static bool asks_of_events(const RuleNode *n)
{
    bool asks = n->op == RULE_PERSON_AT || (n->step != NULL && asks_of_events(n->step));
    for (uint32_t i = 0; i < n->count && !asks; i++)
        asks = asks_of_events(n->args[i]);
    return asks;
}

Said eval_said(const Rule *rule, const RuleFacts *facts)
{
    size_t count = 0;
    if (!asks_of_events(rule->root) || facts->event_count == 0)
        return (Said){NULL, 0};
    size_t *at = ARENA_ARRAY(facts->arena, size_t, facts->event_count);
    for (size_t i = 0; i < facts->event_count; i++)
        if (facts->events[i]->kind == EVENT_PERSON)
            at[count++] = i;
    return (Said){at, count};
}

/* How many records lie at or before `at_ms`. */
static size_t said_until(const Eval *e, int64_t at_ms)
{
    size_t low = 0, high = e->said->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (e->facts->events[e->said->at[middle]]->time_ms <= at_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The record at `place` is not later than the event; at one instant, it arrived before it. */
static bool is_before_event(const Eval *e, size_t place)
{
    const Event *const *events = e->facts->events;
    for (size_t i = place; i-- > 0 && events[i]->time_ms == events[place]->time_ms;)
        if (events[i] == e->event)
            return false;
    return true;
}

static Found value_of_person_at(const Eval *e, const RuleNode *n)
{
    for (size_t i = said_until(e, e->event->time_ms); i-- > 0;) {
        const size_t place = e->said->at[i];
        const Event *record = e->facts->events[place];
        const EventProp *p = found_prop(record->props, record->prop_count, n->name);
        if (p != NULL && (record->time_ms < e->event->time_ms || is_before_event(e, place)))
            return found_of_prop(p, n, e->any_type);
    }
    return found_missing();
}

static Found value_of_field(const Eval *e, const RuleNode *n)
{
    const Event *event = e->event;
    const Str texts[RULE_FIELD_COUNT] = {[RULE_FIELD_NAME] = event->name,
                                         [RULE_FIELD_STORE] = event->store,
                                         [RULE_FIELD_SOURCE] = event->source};
    if (n->field == RULE_FIELD_TIME)
        return found_time(event->time_ms);
    if (texts[n->field].len == 0)
        return found_missing();
    return (Found){.type = RULE_TYPE_TEXT, .text = texts[n->field]};
}

static Found value_of_product(const Eval *e, const RuleNode *n)
{
    return found_product(eval_value(e, n->args[0]), eval_value(e, n->args[1]), n->type);
}

/* The records of the list that n->args[0] names; NULL when there are none. */
static const EventProp *records_of(const Eval *e, const RuleNode *n)
{
    return eval_value(e, n->args[0]).at;
}

static size_t records_that_hold(const Eval *e, const RuleNode *n, const EventProp *list)
{
    size_t count = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        Eval item = *e;
        item.item = &list->items[i];
        count += n->count < 2 || eval_holds(&item, n->args[1]);
    }
    return count;
}

static Found value_of_items_count(const Eval *e, const RuleNode *n)
{
    const EventProp *list = records_of(e, n);
    return found_number(list == NULL ? 0 : (int64_t)records_that_hold(e, n, list));
}

static Found value_of_items_sum(const Eval *e, const RuleNode *n)
{
    const EventProp *list = records_of(e, n);
    Found sum = found_number(0);
    sum.type = n->type; /* of nothing: none of its type */
    for (uint32_t i = 0; list != NULL && i < list->count; i++) {
        Eval item = *e;
        item.item = &list->items[i];
        const Found f = eval_value(&item, n->args[1]);
        if (f.type == n->type)
            num_add(&sum.num, f.num);
    }
    return sum;
}

typedef Found (*ValueOf)(const Eval *e, const RuleNode *n);

static const ValueOf VALUES[RULE_OP_COUNT] = {
    [RULE_PROP] = value_of_prop,
    [RULE_CONTEXT] = value_of_context,
    [RULE_FIELD] = value_of_field,
    [RULE_ITEM] = value_of_item,
    [RULE_PERSON] = value_of_person,
    [RULE_PERSON_AT] = value_of_person_at,
    [RULE_MUL] = value_of_product,
    [RULE_ITEMS_COUNT] = value_of_items_count,
    [RULE_ITEMS_SUM] = value_of_items_sum,
    [RULE_COUNT] = eval_events,
    [RULE_DAYS] = eval_events,
    [RULE_SUM] = eval_events,
    [RULE_AVG] = eval_events,
    [RULE_MIN] = eval_events,
    [RULE_MAX] = eval_events,
    [RULE_DISTINCT] = eval_events,
    [RULE_FIRST] = eval_events,
    [RULE_LAST] = eval_events,
};

Found eval_value(const Eval *e, const RuleNode *operand)
{
    CHECK(VALUES[operand->op] != NULL);
    return VALUES[operand->op](e, operand);
}

/* ---- comparisons ----------------------------------------------------------------------------- */

/* Missing, or compared with something that it is not: no order, and not equal. */
static bool compares(const Found *f, RuleType type)
{
    return f->type != RULE_TYPE_UNKNOWN && f->type == type;
}

static bool holds_comparison(const Eval *e, const RuleNode *n)
{
    const RuleValue *v = &n->args[1]->value;
    const Found f = eval_value(e, n->args[0]);
    if (!compares(&f, v->type))
        return n->op == RULE_NE;
    const int order = found_compare(&f, v);
    switch ((int)n->op) {
    case RULE_EQ:
        return order == 0;
    case RULE_NE:
        return order != 0;
    case RULE_LT:
        return order < 0;
    case RULE_LE:
        return order <= 0;
    case RULE_GT:
        return order > 0;
    default:
        return order >= 0;
    }
}

static bool holds_in(const Eval *e, const RuleNode *n)
{
    const RuleNode *list = n->args[1];
    const Found f = eval_value(e, n->args[0]);
    bool in = false;
    for (uint32_t i = 0; i < list->value_count && !in; i++)
        in = compares(&f, list->values[i].type) && found_compare(&f, &list->values[i]) == 0;
    return in == (n->op == RULE_IN);
}

static bool holds_between(const Eval *e, const RuleNode *n)
{
    const RuleValue *low = &n->args[1]->value, *high = &n->args[2]->value;
    const Found f = eval_value(e, n->args[0]);
    return compares(&f, low->type) && found_compare(&f, low) >= 0 && found_compare(&f, high) <= 0;
}

static bool text_contains(Str text, Str part)
{
    return part.len == 0 || memmem(text.ptr, text.len, part.ptr, part.len) != NULL;
}

static bool texts_contain(const EventProp *list, Str text)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (str_eq(list->texts[i], text))
            return true;
    return false;
}

static bool holds_contains(const Eval *e, const RuleNode *n)
{
    const Str part = n->args[1]->value.text;
    const Found f = eval_value(e, n->args[0]);
    if (f.type == RULE_TYPE_TEXTS)
        return texts_contain(f.at, part);
    return f.type == RULE_TYPE_TEXT && text_contains(f.text, part);
}

static bool holds_affix(const Eval *e, const RuleNode *n)
{
    const Str part = n->args[1]->value.text;
    const Found f = eval_value(e, n->args[0]);
    if (f.type != RULE_TYPE_TEXT)
        return false;
    return n->op == RULE_STARTS ? str_starts_with(f.text, part) : str_ends_with(f.text, part);
}

static bool holds_contains_list(const Eval *e, const RuleNode *n)
{
    const RuleNode *list = n->args[1];
    const Found f = eval_value(e, n->args[0]);
    uint32_t hits = 0;
    if (f.type != RULE_TYPE_TEXTS)
        return false;
    for (uint32_t i = 0; i < list->value_count; i++)
        hits += texts_contain(f.at, list->values[i].text);
    return n->op == RULE_CONTAINS_ANY ? hits > 0 : hits == list->value_count;
}

static bool holds_set(const Eval *e, const RuleNode *n)
{
    Eval any = *e;
    any.any_type = true;
    return (eval_value(&any, n->args[0]).type != RULE_TYPE_UNKNOWN) == (n->op == RULE_IS_SET);
}

static bool holds_when(const Eval *e, const RuleNode *n)
{
    const Range range = eval_window_range(e->facts, &n->window);
    const Found f = eval_value(e, n->args[0]);
    return f.type == RULE_TYPE_TIME && f.i64 >= range.from_ms && f.i64 < range.to_ms;
}

/* ---- conditions ------------------------------------------------------------------------------ */

static bool holds_and(const Eval *e, const RuleNode *n)
{
    for (uint32_t i = 0; i < n->count; i++)
        if (!eval_holds(e, n->args[i]))
            return false;
    return true;
}

static bool holds_or(const Eval *e, const RuleNode *n)
{
    for (uint32_t i = 0; i < n->count; i++)
        if (eval_holds(e, n->args[i]))
            return true;
    return false;
}

static bool holds_not(const Eval *e, const RuleNode *n)
{
    return !eval_holds(e, n->args[0]);
}

static bool holds_constant(const Eval *e, const RuleNode *n)
{
    (void)e;
    return n->value.i64 != 0;
}

/* Of no records nothing is said: both are false. */
static bool holds_items(const Eval *e, const RuleNode *n)
{
    const EventProp *list = records_of(e, n);
    if (list == NULL || list->count == 0)
        return false;
    const size_t hits = records_that_hold(e, n, list);
    return n->op == RULE_ITEMS_ANY ? hits > 0 : hits == list->count;
}

Eval eval_about(const Eval *e, const Event *event)
{
    return (Eval){
        .facts = e->facts, .said = e->said, .asked = e->asked, .nested = e->nested, .event = event};
}

const Rule *eval_segment(const Eval *e, Str name)
{
    return e->facts->segment == NULL ? NULL : e->facts->segment(e->facts->arg, name);
}

Eval eval_inside_segment(const Eval *e, const Rule *rule, Said *said)
{
    CHECK(rule->scope == RULE_SCOPE_PERSON && e->nested < RULE_NESTED_MAX);
    *said = eval_said(rule, e->facts);
    Eval inside = eval_about(e, NULL);
    inside.said = said;
    inside.nested++;
    return inside;
}

static bool is_in_segment(const Eval *e, Str name)
{
    const Rule *rule = eval_segment(e, name);
    Said said;
    if (rule == NULL)
        return false;
    const Eval inside = eval_inside_segment(e, rule, &said);
    return eval_holds(&inside, rule->root);
}

static bool holds_segment(const Eval *e, const RuleNode *n)
{
    for (const Asked *a = *e->asked; a != NULL; a = a->next)
        if (str_eq(a->name, n->name))
            return a->is_in;
    const bool is_in = is_in_segment(e, n->name);
    Asked *a = ARENA_NEW(e->facts->arena, Asked);
    *a = (Asked){n->name, is_in, *e->asked};
    *e->asked = a;
    return is_in;
}

static bool holds_consents(const Eval *e, const RuleNode *n)
{
    const EventProp *p = found_prop(e->facts->attributes, e->facts->attribute_count, n->name);
    return p != NULL && p->type == EVENT_BOOL && p->i64 != 0;
}

typedef bool (*Holds)(const Eval *e, const RuleNode *n);

static const Holds HOLDS[RULE_OP_COUNT] = {
    [RULE_AND] = holds_and,
    [RULE_OR] = holds_or,
    [RULE_NOT] = holds_not,
    [RULE_LITERAL] = holds_constant,
    [RULE_EQ] = holds_comparison,
    [RULE_NE] = holds_comparison,
    [RULE_LT] = holds_comparison,
    [RULE_LE] = holds_comparison,
    [RULE_GT] = holds_comparison,
    [RULE_GE] = holds_comparison,
    [RULE_IN] = holds_in,
    [RULE_NOT_IN] = holds_in,
    [RULE_BETWEEN] = holds_between,
    [RULE_CONTAINS] = holds_contains,
    [RULE_STARTS] = holds_affix,
    [RULE_ENDS] = holds_affix,
    [RULE_CONTAINS_ANY] = holds_contains_list,
    [RULE_CONTAINS_ALL] = holds_contains_list,
    [RULE_IS_SET] = holds_set,
    [RULE_IS_MISSING] = holds_set,
    [RULE_WHEN] = holds_when,
    [RULE_ITEMS_ANY] = holds_items,
    [RULE_ITEMS_ALL] = holds_items,
    [RULE_SEGMENT] = holds_segment,
    [RULE_CONSENTS] = holds_consents,
    [RULE_DID] = eval_did,
    [RULE_STOPPED] = eval_stopped,
    [RULE_RESUMED] = eval_resumed,
    [RULE_SEQUENCE] = eval_sequence,
};

bool eval_holds(const Eval *e, const RuleNode *condition)
{
    CHECK(HOLDS[condition->op] != NULL);
    return HOLDS[condition->op](e, condition);
}

bool rule_event_matches(const Rule *rule, const RuleFacts *facts, const Event *event)
{
    CHECK(rule->scope != RULE_SCOPE_PERSON);
    const Said said = eval_said(rule, facts);
    Asked *asked = NULL;
    const Eval e = {.facts = facts, .said = &said, .asked = &asked, .event = event};
    return rule->scope == RULE_SCOPE_STEP ? eval_step_selects(&e, rule->root, event)
                                          : eval_holds(&e, rule->root);
}

static bool in_order(const RuleFacts *facts)
{
    for (size_t i = 1; i < facts->event_count; i++)
        if (facts->events[i]->time_ms < facts->events[i - 1]->time_ms)
            return false;
    return true;
}

bool rule_person_matches(const Rule *rule, const RuleFacts *facts)
{
    CHECK(rule->scope == RULE_SCOPE_PERSON);
    DCHECK(in_order(facts));
    const Said said = eval_said(rule, facts);
    Asked *asked = NULL;
    const Eval e = {.facts = facts, .said = &said, .asked = &asked};
    return eval_holds(&e, rule->root);
}
