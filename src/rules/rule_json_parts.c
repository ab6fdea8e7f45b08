/*
 * rules/rule_json_parts.c -- the tree form's objects, values and windows.
 */
#include "rules/rule_json_parts.h"

static const char *const KEYS[KEY_COUNT_OF] = {
#define X(code, text) text,
    KEY_MAP(X)
#undef X
};

/* ---- scalars --------------------------------------------------------------------------------- */

Err tree_shape(Draft *d, JsonValue v, const char *what)
{
    return draft_fail(d, json_position(v), "rule.json", "expected %s, found %s", what,
                      json_type_name(json_type(v)));
}

Err tree_read_text(Draft *d, JsonValue v, const char *what, Str *out)
{
    Str text;
    const JsonFault fault = json_text(v, &text);
    if (fault == JSON_FAULT_TYPE)
        return tree_shape(d, v, what);
    if (fault != JSON_FAULT_NONE)
        return draft_fail(d, json_position(v), "rule.text", "this text %s", json_fault_text(fault));
    if (text.len > RULE_BYTES_MAX)
        return draft_fail(d, json_position(v), "rule.size", "a rule has at most %d bytes of text",
                          RULE_BYTES_MAX);
    *out = arena_copy(d->ctx->arena, text);
    return ERR_OK;
}

Err tree_read_name(Draft *d, JsonValue v, Str *out)
{
    TRY(tree_read_text(d, v, "a name", out));
    return literal_name(d, json_position(v), *out);
}

Err tree_unknown_key(Draft *d, size_t at, Str name, uint64_t allowed)
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
Err tree_read_members(Draft *d, JsonValue v, uint64_t allowed, uint64_t needed, Members *out)
{
    Str name;
    JsonValue value;
    *out = (Members){.object = v};
    if (json_type(v) != JSON_OBJECT)
        return tree_shape(d, v, "an object");
    for (JsonIter i = json_fields(v); json_next_field(&i, &name, &value);) {
        int k = 0;
        while (k < KEY_COUNT_OF && !str_eq(name, str_of(KEYS[k])))
            k++;
        if (k == KEY_COUNT_OF || (allowed >> k & 1) == 0)
            return tree_unknown_key(d, json_position(value), name, allowed);
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
    TRY(tree_read_text(d, v, "an amount like \"300.00 CNY\"", &text));
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
    TRY(tree_read_members(d, v, BIT(MONEY) | BIT(TIME) | BIT(NUMBER), 0, &m));
    if (m.has == BIT(MONEY))
        return read_money(d, m.at[KEY_MONEY], out);
    if (m.has == BIT(TIME)) {
        TRY(tree_read_text(d, m.at[KEY_TIME], "a time", &text));
        return literal_time(d, json_position(m.at[KEY_TIME]), text, out);
    }
    if (m.has != BIT(NUMBER))
        return draft_fail(d, json_position(v), "rule.json",
                          "a value is {\"money\": ...}, {\"time\": ...} or {\"number\": ...}");
    TRY(tree_read_text(d, m.at[KEY_NUMBER], "a number in quotes", &text));
    return literal_number(d, json_position(m.at[KEY_NUMBER]), text, out);
}

static Err read_value(Draft *d, JsonValue v, RuleValue *out)
{
    const size_t at = json_position(v);
    bool yes = false;
    Str text;
    switch (json_type(v)) {
    case JSON_STRING:
        TRY(tree_read_text(d, v, "a text", &text));
        *out = (RuleValue){.type = RULE_TYPE_TEXT, .at = (uint32_t)at, .text = text};
        return ERR_OK;
    case JSON_NUMBER:
        return literal_number(d, at, json_number_token(v), out);
    case JSON_BOOL:
        if (json_bool(v, &yes) != JSON_FAULT_NONE)
            return tree_shape(d, v, "true or false");
        *out = (RuleValue){.type = RULE_TYPE_BOOL, .at = (uint32_t)at, .i64 = yes};
        return ERR_OK;
    case JSON_OBJECT:
        return read_wrapped_value(d, v, out);
    case JSON_ARRAY:
    case JSON_NULL:
        break;
    }
    return tree_shape(d, v, "a value");
}

Err tree_read_literal(Draft *d, JsonValue v, RuleNode **out)
{
    RuleNode *n;
    TRY(draft_node(d, RULE_LITERAL, json_position(v), &n));
    TRY(read_value(d, v, &n->value));
    n->type = n->value.type;
    *out = n;
    return ERR_OK;
}

Err tree_read_list(Draft *d, JsonValue v, RuleNode **out)
{
    RuleNode *n;
    ValueList values = {0};
    JsonValue item;
    TRY(draft_node(d, RULE_LIST, json_position(v), &n));
    if (json_type(v) != JSON_ARRAY)
        return tree_shape(d, v, "a list of values");
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

Err tree_read_span(Draft *d, JsonValue v, RuleSpan *out)
{
    Str text;
    TRY(tree_read_text(d, v, "a span like \"90d\"", &text));
    return literal_span(d, json_position(v), text, out);
}

static Err read_time(Draft *d, JsonValue v, RuleValue *out)
{
    Str text;
    TRY(tree_read_text(d, v, "a time like \"2026-01-31\"", &text));
    return literal_time(d, json_position(v), text, out);
}

static Err read_calendar(Draft *d, JsonValue v, RuleSpan *out)
{
    Str text;
    TRY(tree_read_text(d, v, "a text like \"3 months\"", &text));
    const int64_t space = str_index(text, ' ', 0);
    const size_t cut = space < 0 ? 0 : (size_t)space;
    return literal_calendar(d, json_position(v), str_slice(text, 0, cut),
                            str_slice(text, cut + (space >= 0), text.len), out);
}

Err tree_read_pair(Draft *d, JsonValue v, JsonValue pair[2])
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
        TRY(tree_read_pair(d, m->at[KEY_AGO], pair));
        TRY(tree_read_span(d, pair[0], &w->span));
        return tree_read_span(d, pair[1], &w->span2);
    }
    w->kind = RULE_WINDOW_BETWEEN;
    TRY(tree_read_pair(d, m->at[KEY_BETWEEN], pair));
    TRY(read_time(d, pair[0], &w->from));
    return read_time(d, pair[1], &w->to);
}

Err tree_read_window(Draft *d, const Members *m, RuleWindow *out)
{
    RuleWindow w = {0};
    const uint64_t has = m->has & WINDOW_KEYS;
    if ((has & (has - 1)) != 0)
        return draft_fail(d, json_position(m->object), "rule.json",
                          "there is more than one window");
    if (has & BIT(WITHIN)) {
        w.kind = RULE_WINDOW_WITHIN;
        TRY(tree_read_span(d, m->at[KEY_WITHIN], &w.span));
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
    TRY(literal_check_window(d, json_position(m->object), &w));
    *out = w;
    return ERR_OK;
}
