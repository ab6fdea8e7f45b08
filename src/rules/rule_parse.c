/*
 * rules/rule_parse.c -- the text reader of rules/rule.h: conditions, comparisons and literals.
 */
#include "rules/rule_parse.h"

/* Parentheses may be superfluous, so a little more than a tree needs. */
enum { NESTING_MAX = RULE_DEPTH_MAX + 8 };

/* ---- tokens ---------------------------------------------------------------------------------- */

bool parse_is_word(const Parser *p, const char *word)
{
    return p->token->kind == TOKEN_WORD && str_eq(p->token->text, str_of(word));
}

static bool symbol_is(const Token *t, const char *symbol)
{
    return t->kind == TOKEN_SYMBOL && str_eq(t->text, str_of(symbol));
}

bool parse_is_symbol(const Parser *p, const char *symbol)
{
    return symbol_is(p->token, symbol);
}

bool parse_next_is_symbol(const Parser *p, const char *symbol)
{
    const bool last = p->token->kind == TOKEN_END || p->token->kind == TOKEN_BAD;
    return !last && symbol_is(p->token + 1, symbol);
}

bool parse_accept_word(Parser *p, const char *word)
{
    const bool is = parse_is_word(p, word);
    p->token += is;
    return is;
}

bool parse_accept_symbol(Parser *p, const char *symbol)
{
    const bool is = parse_is_symbol(p, symbol);
    p->token += is;
    return is;
}

static const char *const OPERATORS[] = {
    "and",    "or",         "not",    "in",    "contains", "starts with", "ends with", "between",
    "is set", "is missing", "within", "since", "before",   "where",       "then",      "at event"};

Err parse_expected(Parser *p, const char *what)
{
    const Token *t = p->token;
    if (t->kind == TOKEN_BAD)
        return draft_fail(p->d, t->at, "rule.syntax", "%s", t->advice);
    if (t->kind == TOKEN_END)
        return draft_fail(p->d, t->at, "rule.syntax", "expected %s, but the rule ends here", what);
    Str near = STR("");
    if (t->kind == TOKEN_WORD) {
        Nearest n = nearest_to(t->text);
        for (size_t i = 0; i < ARRAY_LEN(OPERATORS); i++)
            nearest_try(&n, str_of(OPERATORS[i]));
        if (!str_eq(n.best, t->text))
            near = nearest_text(p->d, &n);
    }
    const Str found = draft_quote(p->d, t->text);
    return draft_fail(p->d, t->at, "rule.syntax", "expected %s, found %.*s%.*s", what,
                      STR_ARG(found), STR_ARG(near));
}

Err parse_expect_symbol(Parser *p, const char *symbol, const char *what)
{
    return parse_accept_symbol(p, symbol) ? ERR_OK : parse_expected(p, what);
}

Err parse_expect_word(Parser *p, const char *word, const char *what)
{
    return parse_accept_word(p, word) ? ERR_OK : parse_expected(p, what);
}

/* ---- literals -------------------------------------------------------------------------------- */

/* Three capitals, but not AND or NOT from somebody who shouts. */
static bool is_currency(Str word)
{
    char small[3];
    if (word.len != sizeof small)
        return false;
    for (size_t i = 0; i < sizeof small; i++) {
        if (word.ptr[i] < 'A' || word.ptr[i] > 'Z')
            return false;
        small[i] = (char)(word.ptr[i] + ('a' - 'A'));
    }
    return !literal_is_reserved((Str){small, sizeof small});
}

static Err parse_number_or_money(Parser *p, RuleValue *out)
{
    const Token *number = p->token++;
    if (p->token->kind != TOKEN_WORD || !is_currency(p->token->text))
        return literal_number(p->d, number->at, number->text, out);
    const Token *currency = p->token++;
    return literal_money(p->d, number->at, number->text, currency->text, out);
}

static Err parse_value(Parser *p, RuleValue *out)
{
    const Token *t = p->token;
    if (t->kind == TOKEN_NUMBER)
        return parse_number_or_money(p, out);
    if (t->kind == TOKEN_TEXT) {
        *out = (RuleValue){.type = RULE_TYPE_TEXT, .text = t->text, .at = t->at};
    } else if (t->kind == TOKEN_TIME) {
        TRY(literal_time(p->d, t->at, t->text, out));
    } else if (parse_is_word(p, "true") || parse_is_word(p, "false")) {
        *out = (RuleValue){.type = RULE_TYPE_BOOL, .i64 = parse_is_word(p, "true"), .at = t->at};
    } else if (t->kind == TOKEN_WORD && !literal_is_reserved(t->text)) {
        /* its rank: the checker */
        *out = (RuleValue){.type = RULE_TYPE_ENUM, .text = t->text, .at = t->at};
    } else if (t->kind == TOKEN_SPAN) {
        return parse_expected(
            p, "a value like \"web\", 3, 300.00 CNY or 2026-01-31 (spans stand in windows)");
    } else {
        return parse_expected(p, "a value like \"web\", 3, 300.00 CNY or 2026-01-31");
    }
    p->token++;
    return ERR_OK;
}

static Err parse_literal(Parser *p, RuleNode **out)
{
    RuleNode *n;
    TRY(draft_node(p->d, RULE_LITERAL, p->token->at, &n));
    TRY(parse_value(p, &n->value));
    n->type = n->value.type;
    *out = n;
    return ERR_OK;
}

static Err parse_list(Parser *p, RuleNode **out)
{
    RuleNode *n;
    TRY(draft_node(p->d, RULE_LIST, p->token->at, &n));
    TRY(parse_expect_symbol(p, "[", "a list like [\"a\", \"b\"]"));
    ValueList values = {0};
    do {
        const size_t at = p->token->at;
        RuleValue v;
        TRY(parse_value(p, &v));
        TRY(values_add(p->d, &values, at, &v));
    } while (parse_accept_symbol(p, ","));
    TRY(parse_expect_symbol(p, "]", ", or ]"));
    n->values = values.at;
    n->value_count = values.count;
    *out = n;
    return ERR_OK;
}

/* ---- operands -------------------------------------------------------------------------------- */

static Err parse_dotted(Parser *p, RuleOp op, RuleNode **out)
{
    RuleNode *n;
    TRY(draft_node(p->d, op, p->token->at, &n));
    p->token++;
    TRY(parse_expect_symbol(p, ".", "a . and a name"));
    if (p->token->kind != TOKEN_WORD && p->token->kind != TOKEN_NAME)
        return parse_expected(p, "a name");
    n->name = p->token->text;
    TRY(literal_name(p->d, p->token->at, n->name));
    p->token++;
    *out = n;
    return ERR_OK;
}

/* person.name, and behind it `at event` when it is meant as of the event */
static Err parse_person(Parser *p, RuleNode **out)
{
    TRY(parse_dotted(p, RULE_PERSON, out));
    if (!parse_accept_word(p, "at"))
        return ERR_OK;
    TRY(parse_expect_word(p, "event", "`event`: as of the event is `at event`"));
    (*out)->op = RULE_PERSON_AT;
    return ERR_OK;
}

static Err parse_name(Parser *p, RuleNode **out)
{
    static const RuleOp MEANS[] = {RULE_PERSON, RULE_PROP, RULE_ITEM};
    const Token *t = p->token;
    const bool word = t->kind == TOKEN_WORD;
    RuleNode *n;
    RuleField field;
    if (word && p->place != PLACE_ITEM && literal_find_field(t->text, &field)) {
        TRY(draft_node(p->d, RULE_FIELD, t->at, &n));
        n->field = field;
    } else if (word && literal_is_reserved(t->text) && !literal_find_field(t->text, &field)) {
        return parse_expected(p, "a condition, or a name in `backticks`");
    } else {
        TRY(literal_name(p->d, t->at, t->text));
        TRY(draft_node(p->d, MEANS[p->place], t->at, &n));
        n->name = t->text;
    }
    p->token++;
    *out = n;
    return ERR_OK;
}

/* A name in front of a parenthesis that is no function. */
static Err unknown_function(Parser *p)
{
    Nearest n = nearest_to(p->token->text);
    parse_nearest_function(&n);
    const Str found = draft_quote(p->d, p->token->text), near = nearest_text(p->d, &n);
    return draft_fail(p->d, p->token->at, "rule.name", "there is no function %.*s%.*s",
                      STR_ARG(found), STR_ARG(near));
}

static Err no_name(Parser *p, bool functions)
{
    const TokenKind kind = p->token->kind;
    const bool value = kind == TOKEN_TEXT || kind == TOKEN_NUMBER || kind == TOKEN_TIME;
    if (functions && value)
        return parse_expected(p,
                              "a name: the value stands on the right, an odd name in `backticks`");
    return parse_expected(p, functions ? "a condition" : "a property");
}

static Err parse_plain_factor(Parser *p, bool functions, RuleNode **out)
{
    if (parse_is_word(p, "context"))
        return parse_dotted(p, RULE_CONTEXT, out);
    if (parse_is_word(p, "person"))
        return parse_person(p, out);
    if (p->token->kind != TOKEN_WORD && p->token->kind != TOKEN_NAME)
        return no_name(p, functions);
    if (!functions && parse_next_is_symbol(p, "("))
        return parse_expected(p, "a property");
    if (parse_next_is_symbol(p, "(") && !literal_is_reserved(p->token->text))
        return unknown_function(p);
    return parse_name(p, out);
}

static Err parse_product(Parser *p, RuleNode *left, bool functions, RuleNode **out)
{
    RuleNode *right;
    *out = left;
    if (!parse_accept_symbol(p, "*"))
        return ERR_OK;
    TRY(parse_plain_factor(p, functions, &right));
    TRY(draft_node(p->d, RULE_MUL, left->at, out));
    node_take_two(p->d, *out, left, right);
    return ERR_OK;
}

/* What is compared: a name, a product of names, or a function with a value. */
static Err parse_operand(Parser *p, RuleNode **out)
{
    RuleNode *left = NULL;
    TRY(parse_leaf_value(p, &left));
    if (left == NULL)
        TRY(parse_plain_factor(p, true, &left));
    return parse_product(p, left, true, out);
}

Err parse_plain(Parser *p, Place place, RuleNode **out)
{
    const Place before = p->place;
    RuleNode *left;
    p->place = place;
    TRY(parse_plain_factor(p, false, &left));
    TRY(parse_product(p, left, false, out));
    p->place = before;
    return ERR_OK;
}

/* ---- comparisons ----------------------------------------------------------------------------- */

static const struct {
    const char *symbol;
    RuleOp op;
} SYMBOLS[] = {{"==", RULE_EQ}, {"!=", RULE_NE}, {"<", RULE_LT},
               {"<=", RULE_LE}, {">", RULE_GT},  {">=", RULE_GE}};

/* operand OP literal, or operand OP list */
static Err finish_comparison(Parser *p, RuleOp op, RuleNode *operand, bool list, RuleNode **out)
{
    RuleNode *right;
    if (list)
        TRY(parse_list(p, &right));
    else
        TRY(parse_literal(p, &right));
    TRY(draft_node(p->d, op, operand->at, out));
    node_take_two(p->d, *out, operand, right);
    return ERR_OK;
}

static Err parse_is(Parser *p, RuleNode *operand, RuleNode **out)
{
    const bool set = parse_accept_word(p, "set");
    if (!set)
        TRY(parse_expect_word(p, "missing", "`is set` or `is missing` (compare with ==)"));
    TRY(draft_node(p->d, set ? RULE_IS_SET : RULE_IS_MISSING, operand->at, out));
    node_take_one(p->d, *out, operand);
    return ERR_OK;
}

static Err parse_when(Parser *p, RuleNode *operand, RuleNode **out)
{
    TRY(draft_node(p->d, RULE_WHEN, operand->at, out));
    TRY(parse_window(p, &(*out)->window));
    node_take_one(p->d, *out, operand);
    return ERR_OK;
}

/* p->token stands on `between`; times and spans make a window of it. */
static Err parse_between(Parser *p, RuleNode *operand, RuleNode **out)
{
    const TokenKind ahead = p->token[1].kind;
    if (ahead == TOKEN_TIME || ahead == TOKEN_SPAN)
        return parse_when(p, operand, out);
    p->token++;
    RuleNode *low, *high;
    TRY(parse_literal(p, &low));
    TRY(parse_expect_word(p, "and", "`and` and the other end"));
    TRY(parse_literal(p, &high));
    TRY(draft_node(p->d, RULE_BETWEEN, operand->at, out));
    NodeList args = {0};
    nodes_add(p->d, &args, operand);
    nodes_add(p->d, &args, low);
    nodes_add(p->d, &args, high);
    node_take(*out, &args);
    return ERR_OK;
}

static Err parse_contains(Parser *p, RuleNode *operand, RuleNode **out)
{
    if (parse_accept_word(p, "any"))
        return finish_comparison(p, RULE_CONTAINS_ANY, operand, true, out);
    if (parse_accept_word(p, "all"))
        return finish_comparison(p, RULE_CONTAINS_ALL, operand, true, out);
    return finish_comparison(p, RULE_CONTAINS, operand, false, out);
}

static Err parse_word_comparison(Parser *p, RuleNode *operand, RuleNode **out)
{
    if (parse_is_word(p, "between"))
        return parse_between(p, operand, out);
    if (parse_is_window(p))
        return parse_when(p, operand, out);
    if (parse_accept_word(p, "is"))
        return parse_is(p, operand, out);
    if (parse_accept_word(p, "contains"))
        return parse_contains(p, operand, out);
    if (parse_accept_word(p, "in"))
        return finish_comparison(p, RULE_IN, operand, true, out);
    if (parse_accept_word(p, "not")) {
        TRY(parse_expect_word(p, "in", "`in`"));
        return finish_comparison(p, RULE_NOT_IN, operand, true, out);
    }
    const bool starts = parse_is_word(p, "starts");
    if (parse_accept_word(p, "starts") || parse_accept_word(p, "ends")) {
        TRY(parse_expect_word(p, "with", "`with`"));
        return finish_comparison(p, starts ? RULE_STARTS : RULE_ENDS, operand, false, out);
    }
    if (parse_is_word(p, "at"))
        return parse_expected(p, "a comparison (as of the event is `person.name at event`)");
    return parse_expected(p, "a comparison like ==, in, contains, between, is set");
}

Err parse_comparison(Parser *p, RuleNode *operand, RuleNode **out)
{
    for (size_t i = 0; i < ARRAY_LEN(SYMBOLS); i++)
        if (parse_accept_symbol(p, SYMBOLS[i].symbol))
            return finish_comparison(p, SYMBOLS[i].op, operand, false, out);
    return parse_word_comparison(p, operand, out);
}

/* ---- conditions ------------------------------------------------------------------------------ */

/* any(items, C) and all(items, C) */
static Err parse_items_condition(Parser *p, RuleNode **out)
{
    const RuleOp op = parse_is_word(p, "any") ? RULE_ITEMS_ANY : RULE_ITEMS_ALL;
    TRY(draft_node(p->d, op, p->token->at, out));
    p->token += 2;
    RuleNode *list, *condition;
    TRY(parse_plain(p, p->place, &list));
    TRY(parse_expect_symbol(p, ",", ", and a condition on the records"));
    TRY(parse_condition_at(p, PLACE_ITEM, &condition));
    TRY(parse_expect_symbol(p, ")", ")"));
    node_take_two(p->d, *out, list, condition);
    return ERR_OK;
}

static Err parse_condition(Parser *p, RuleNode **out);

static Err parse_primary(Parser *p, RuleNode **out)
{
    if (parse_accept_symbol(p, "(")) {
        TRY(parse_condition(p, out));
        return parse_expect_symbol(p, ")", "`and`, `or` or )");
    }
    if (parse_is_word(p, "true") || parse_is_word(p, "false"))
        return parse_literal(p, out);
    if ((parse_is_word(p, "any") || parse_is_word(p, "all")) && parse_next_is_symbol(p, "("))
        return parse_items_condition(p, out);
    *out = NULL;
    TRY(parse_leaf_condition(p, out));
    if (*out != NULL)
        return ERR_OK;
    RuleNode *operand;
    TRY(parse_operand(p, &operand));
    return parse_comparison(p, operand, out);
}

/* `not` may stand many times: each is a level of the tree, so a loop up to its limit. */
static Err parse_negation(Parser *p, RuleNode **out)
{
    uint32_t at[NESTING_MAX], count = 0;
    while (parse_is_word(p, "not")) {
        if (count == NESTING_MAX)
            return draft_fail(p->d, p->token->at, "rule.depth", "more than %d levels of nesting",
                              RULE_DEPTH_MAX);
        at[count++] = p->token->at;
        p->token++;
    }
    TRY(parse_primary(p, out));
    while (count > 0) {
        RuleNode * not ;
        TRY(draft_node(p->d, RULE_NOT, at[--count], &not ));
        node_take_one(p->d, not, *out);
        *out = not ;
    }
    return ERR_OK;
}

static Err parse_conjunction(Parser *p, RuleNode **out)
{
    const size_t at = p->token->at;
    NodeList args = {0};
    do {
        RuleNode *arg;
        TRY(parse_negation(p, &arg));
        nodes_add(p->d, &args, arg);
    } while (parse_accept_word(p, "and"));
    return draft_join(p->d, RULE_AND, at, &args, out);
}

static Err parse_condition(Parser *p, RuleNode **out)
{
    const size_t at = p->token->at;
    if (p->nesting == NESTING_MAX)
        return draft_fail(p->d, at, "rule.depth", "more than %d levels of nesting", RULE_DEPTH_MAX);
    p->nesting++;
    NodeList args = {0};
    do {
        RuleNode *arg;
        TRY(parse_conjunction(p, &arg));
        nodes_add(p->d, &args, arg);
    } while (parse_accept_word(p, "or"));
    p->nesting--;
    return draft_join(p->d, RULE_OR, at, &args, out);
}

Err parse_condition_at(Parser *p, Place place, RuleNode **out)
{
    const Place before = p->place;
    p->place = place;
    TRY(parse_condition(p, out));
    p->place = before;
    return ERR_OK;
}

Err rule_parse(Ctx *ctx, Str text, RuleScope scope, const RuleSchema *schema, Rule *out)
{
    Draft d;
    draft_init(&d, ctx, scope, schema);
    if (text.len > RULE_BYTES_MAX)
        return fail_field(ctx, "", "rule.size", "a rule has at most %d bytes of text",
                          RULE_BYTES_MAX);
    d.text = arena_copy(ctx->arena, text);
    for (size_t i = 0; i < text.len; i += str_utf8_len(text, i))
        if (str_utf8_len(text, i) == 0)
            return draft_fail(&d, i, "rule.text", "this is not UTF-8");
    Parser p = {.d = &d, .token = lex_text(&d)};
    p.place = scope == RULE_SCOPE_PERSON ? PLACE_PERSON : PLACE_EVENT;
    RuleNode *root;
    if (scope == RULE_SCOPE_STEP)
        TRY(parse_step(&p, &root));
    else
        TRY(parse_condition(&p, &root));
    if (p.token->kind != TOKEN_END)
        return parse_expected(&p, "`and`, `or` or the end of the rule");
    return draft_finish(&d, root, out);
}
