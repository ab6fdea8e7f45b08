/*
 * rules/rule_parse_leaf.c -- the text reader's steps, windows and functions.
 */
#include "rules/rule_parse.h"

/* ---- windows --------------------------------------------------------------------------------- */

bool parse_is_window(const Parser *p)
{
    return parse_is_word(p, "within") || parse_is_word(p, "between") || parse_is_word(p, "since") ||
           parse_is_word(p, "before");
}

static Err parse_span(Parser *p, RuleSpan *out)
{
    if (p->token->kind != TOKEN_SPAN)
        return parse_expected(p, "a span in one word, like 90d, 36h, 15min or 2w");
    TRY(literal_span(p->d, p->token->at, p->token->text, out));
    p->token++;
    return ERR_OK;
}

static Err parse_time(Parser *p, RuleValue *out)
{
    if (p->token->kind != TOKEN_TIME)
        return parse_expected(p, "a time like 2026-01-31 or 2026-01-31T10:00");
    TRY(literal_time(p->d, p->token->at, p->token->text, out));
    p->token++;
    return ERR_OK;
}

/* within 90d, within 3 calendar months */
static Err parse_within(Parser *p, RuleWindow *out)
{
    const Token *count = p->token;
    if (count->kind != TOKEN_NUMBER) {
        out->kind = RULE_WINDOW_WITHIN;
        return parse_span(p, &out->span);
    }
    p->token++;
    TRY(parse_expect_word(p, "calendar",
                          "`calendar` (within 3 calendar months), or a span in one word (90d)"));
    if (p->token->kind != TOKEN_WORD)
        return parse_expected(p, "days, weeks, months or years");
    out->kind = RULE_WINDOW_CALENDAR;
    TRY(literal_calendar(p->d, count->at, count->text, p->token->text, &out->span));
    p->token++;
    return ERR_OK;
}

/* between 2026-01-01 and 2026-01-31, between 60d and 30d ago */
static Err parse_between_window(Parser *p, RuleWindow *out)
{
    if (p->token->kind == TOKEN_SPAN) {
        out->kind = RULE_WINDOW_AGO;
        TRY(parse_span(p, &out->span));
        TRY(parse_expect_word(p, "and", "`and` and the shorter span"));
        TRY(parse_span(p, &out->span2));
        return parse_expect_word(p, "ago", "`ago`");
    }
    out->kind = RULE_WINDOW_BETWEEN;
    TRY(parse_time(p, &out->from));
    TRY(parse_expect_word(p, "and", "`and` and the later time"));
    return parse_time(p, &out->to);
}

Err parse_window(Parser *p, RuleWindow *out)
{
    const size_t at = p->token->at;
    RuleWindow w = {0};
    if (parse_accept_word(p, "within")) {
        TRY(parse_within(p, &w));
    } else if (parse_accept_word(p, "between")) {
        TRY(parse_between_window(p, &w));
    } else {
        const bool since = parse_accept_word(p, "since");
        if (!since)
            TRY(parse_expect_word(p, "before", "a window: within, between, since or before"));
        w.kind = since ? RULE_WINDOW_SINCE : RULE_WINDOW_BEFORE;
        TRY(parse_time(p, &w.from));
    }
    TRY(literal_check_window(p->d, at, &w));
    *out = w;
    return ERR_OK;
}

/* [, WINDOW] ) */
static Err parse_window_and_close(Parser *p, RuleNode *n)
{
    if (parse_accept_symbol(p, ",")) {
        if (!parse_is_window(p))
            return parse_expected(p, "a window: within, between, since or before");
        TRY(parse_window(p, &n->window));
    }
    return parse_expect_symbol(p, ")", n->window.kind == RULE_WINDOW_EVER ? ", or )" : ")");
}

/* ---- steps ----------------------------------------------------------------------------------- */

static Err parse_event_name(Parser *p, NameList *names)
{
    if (p->token->kind != TOKEN_TEXT)
        return parse_expected(p,
                              "an event: its name in quotes, `any event`, a list, or any of (...)");
    TRY(literal_name(p->d, p->token->at, p->token->text));
    TRY(names_add(p->d, names, p->token->at, p->token->text));
    p->token++;
    return ERR_OK;
}

static Err parse_pick(Parser *p, RuleNode **out)
{
    RuleNode *n;
    TRY(draft_node(p->d, RULE_PICK, p->token->at, &n));
    NameList names = {0};
    if (parse_accept_word(p, "any")) {
        TRY(parse_expect_word(p, "event", "`any event`, or `any of (...)` for several steps"));
    } else if (parse_accept_symbol(p, "[")) {
        do
            TRY(parse_event_name(p, &names));
        while (parse_accept_symbol(p, ","));
        TRY(parse_expect_symbol(p, "]", ", or ]"));
    } else {
        TRY(parse_event_name(p, &names));
    }
    n->names = names.at;
    n->name_count = names.count;
    if (parse_accept_word(p, "where")) {
        RuleNode *condition;
        TRY(parse_condition_at(p, PLACE_EVENT, &condition));
        node_take_one(p->d, n, condition);
    }
    *out = n;
    return ERR_OK;
}

Err parse_step(Parser *p, RuleNode **out)
{
    TRY(draft_node(p->d, RULE_STEP, p->token->at, out));
    NodeList picks = {0};
    RuleNode *pick;
    const Token *behind = p->token + (p->token->kind == TOKEN_WORD);
    if (!parse_is_word(p, "any") || behind->kind != TOKEN_WORD ||
        !str_eq(behind->text, STR("of"))) {
        TRY(parse_pick(p, &pick));
        node_take_one(p->d, *out, pick);
        return ERR_OK;
    }
    p->token += 2;
    TRY(parse_expect_symbol(p, "(", "( and the steps"));
    do {
        TRY(parse_pick(p, &pick));
        nodes_add(p->d, &picks, pick);
    } while (parse_accept_symbol(p, ","));
    TRY(parse_expect_symbol(p, ")", ", or )"));
    node_take(*out, &picks);
    return ERR_OK;
}

static Err take_step(Parser *p, RuleNode *n)
{
    RuleNode *step;
    TRY(parse_step(p, &step));
    n->step = step;
    return ERR_OK;
}

/* ---- functions that are conditions ----------------------------------------------------------- */

typedef struct Aggregate {
    const char *word;
    RuleOp op;
    bool has_operand;
} Aggregate;

static const Aggregate AGGREGATES[] = {
    {"count", RULE_COUNT, false},      {"days", RULE_DAYS, false}, {"sum", RULE_SUM, true},
    {"avg", RULE_AVG, true},           {"min", RULE_MIN, true},    {"max", RULE_MAX, true},
    {"distinct", RULE_DISTINCT, true},
};

/* count >= 2, sum(total) > 300.00 CNY: about the events of the did() around it */
static Err parse_having(Parser *p, RuleNode **out)
{
    const Aggregate *a = NULL;
    for (size_t i = 0; i < ARRAY_LEN(AGGREGATES); i++)
        if (parse_is_word(p, AGGREGATES[i].word))
            a = &AGGREGATES[i];
    if (a == NULL)
        return parse_expected(
            p, "a window, or a condition on count, days, sum(...), avg, min, max, distinct");
    RuleNode *n, *of;
    TRY(draft_node(p->d, a->op, p->token->at, &n));
    p->token++;
    if (a->has_operand) {
        TRY(parse_expect_symbol(p, "(", "( and a property"));
        TRY(parse_plain(p, PLACE_EVENT, &of));
        TRY(parse_expect_symbol(p, ")", ")"));
        node_take_one(p->d, n, of);
    }
    return parse_comparison(p, n, out);
}

static Err parse_did(Parser *p, RuleNode *n)
{
    NodeList having = {0};
    TRY(take_step(p, n));
    while (parse_accept_symbol(p, ",")) {
        RuleNode *condition;
        if (parse_is_window(p) && n->window.kind != RULE_WINDOW_EVER)
            return parse_expected(p, "a condition: there is a window already");
        if (parse_is_window(p)) {
            TRY(parse_window(p, &n->window));
            continue;
        }
        TRY(parse_having(p, &condition));
        nodes_add(p->d, &having, condition);
    }
    node_take(n, &having);
    return parse_expect_symbol(p, ")", ", or )");
}

/* stopped(STEP, for 30d [, WINDOW]) */
static Err parse_stopped(Parser *p, RuleNode *n)
{
    TRY(take_step(p, n));
    TRY(parse_expect_symbol(p, ",", ", and `for 30d`"));
    TRY(parse_expect_word(p, "for", "`for 30d`"));
    TRY(parse_span(p, &n->span));
    return parse_window_and_close(p, n);
}

/* resumed(STEP, after 60d, within 7d) */
static Err parse_resumed(Parser *p, RuleNode *n)
{
    TRY(take_step(p, n));
    TRY(parse_expect_symbol(p, ",", ", and `after 60d`"));
    TRY(parse_expect_word(p, "after", "`after 60d`"));
    TRY(parse_span(p, &n->span));
    TRY(parse_expect_symbol(p, ",", ", and `within 7d`"));
    TRY(parse_expect_word(p, "within", "`within 7d`"));
    TRY(parse_span(p, &n->span2));
    return parse_expect_symbol(p, ")", ")");
}

/* sequence(STEP then STEP within 7d then STEP within 30d of first [, WINDOW]) */
static Err parse_sequence(Parser *p, RuleNode *n)
{
    NodeList steps = {0};
    RuleNode *step;
    TRY(parse_step(p, &step));
    nodes_add(p->d, &steps, step);
    do {
        TRY(parse_expect_word(p, "then", "`then` and the next step"));
        TRY(parse_step(p, &step));
        nodes_add(p->d, &steps, step);
        if (!parse_accept_word(p, "within"))
            continue;
        TRY(parse_span(p, &step->span));
        step->of_first = parse_accept_word(p, "of");
        if (step->of_first)
            TRY(parse_expect_word(p, "first", "`first`"));
    } while (!parse_is_symbol(p, ",") && !parse_is_symbol(p, ")"));
    node_take(n, &steps);
    return parse_window_and_close(p, n);
}

static Err parse_quoted_name(Parser *p, NameList *names, const char *what)
{
    if (p->token->kind != TOKEN_TEXT)
        return parse_expected(p, what);
    TRY(literal_name(p->d, p->token->at, p->token->text));
    TRY(names_add(p->d, names, p->token->at, p->token->text));
    p->token++;
    return ERR_OK;
}

static Err parse_segment(Parser *p, RuleNode *n)
{
    NameList names = {0};
    TRY(parse_quoted_name(p, &names, "the segment's name in quotes"));
    n->name = names.at[0];
    return parse_expect_symbol(p, ")", ")");
}

static Err parse_consents(Parser *p, RuleNode *n)
{
    NameList names = {0};
    TRY(parse_quoted_name(p, &names, "a channel in quotes, like \"sms\""));
    TRY(parse_expect_symbol(p, ",", ", and a purpose"));
    TRY(parse_quoted_name(p, &names, "a purpose in quotes, like \"marketing\""));
    n->names = names.at;
    n->name_count = names.count;
    return parse_expect_symbol(p, ")", ")");
}

/* ---- functions with a value ------------------------------------------------------------------ */

static Err parse_count(Parser *p, RuleNode *n)
{
    TRY(take_step(p, n));
    return parse_window_and_close(p, n);
}

static Err parse_days(Parser *p, RuleNode *n)
{
    if (!parse_is_window(p) && !parse_is_symbol(p, ")"))
        return parse_count(p, n);
    RuleNode *step;
    TRY(draft_any_event(p->d, p->token->at, &step));
    n->step = step;
    if (parse_is_window(p))
        TRY(parse_window(p, &n->window));
    return parse_expect_symbol(p, ")", ")");
}

static Err parse_over(Parser *p, RuleNode *n)
{
    RuleNode *of;
    TRY(take_step(p, n));
    TRY(parse_expect_symbol(p, ",", ", and a property"));
    TRY(parse_plain(p, PLACE_EVENT, &of));
    node_take_one(p->d, n, of);
    return parse_window_and_close(p, n);
}

/* first(STEP [, WINDOW]) and what follows a . behind it */
static Err parse_first(Parser *p, RuleNode *n)
{
    TRY(parse_count(p, n));
    if (!parse_accept_symbol(p, "."))
        return ERR_OK;
    if (p->token->kind != TOKEN_WORD && p->token->kind != TOKEN_NAME)
        return parse_expected(p, "a property of that event");
    RuleNode *of;
    TRY(parse_plain(p, PLACE_EVENT, &of));
    node_take_one(p->d, n, of);
    return ERR_OK;
}

static Err parse_records(Parser *p, RuleNode **out)
{
    const TokenKind kind = p->token->kind;
    if (kind != TOKEN_WORD && kind != TOKEN_NAME)
        return parse_expected(
            p, "the list of records (a condition on one event sees no other events)");
    return parse_plain(p, PLACE_EVENT, out);
}

/* count(items [where C]) */
static Err parse_items_count(Parser *p, RuleNode *n)
{
    RuleNode *list, *condition;
    TRY(parse_records(p, &list));
    node_take_one(p->d, n, list);
    if (parse_accept_word(p, "where")) {
        TRY(parse_condition_at(p, PLACE_ITEM, &condition));
        node_take_two(p->d, n, list, condition);
    }
    return parse_expect_symbol(p, ")", "`where` or )");
}

/* sum(items, price * qty) */
static Err parse_items_sum(Parser *p, RuleNode *n)
{
    RuleNode *list, *of;
    TRY(parse_records(p, &list));
    TRY(parse_expect_symbol(p, ",", ", and a field of the records"));
    TRY(parse_plain(p, PLACE_ITEM, &of));
    node_take_two(p->d, n, list, of);
    return parse_expect_symbol(p, ")", ")");
}

/* ---- the functions --------------------------------------------------------------------------- */

typedef Err (*ParseArguments)(Parser *p, RuleNode *n); /* behind the ( */

typedef struct Function {
    const char *word;
    RuleOp op;
    ParseArguments arguments;
} Function;

static const Function CONDITIONS[] = {
    {"did", RULE_DID, parse_did},
    {"stopped", RULE_STOPPED, parse_stopped},
    {"resumed", RULE_RESUMED, parse_resumed},
    {"sequence", RULE_SEQUENCE, parse_sequence},
    {"segment", RULE_SEGMENT, parse_segment},
    {"consents", RULE_CONSENTS, parse_consents},
};

static const Function VALUES[] = {
    {"count", RULE_COUNT, parse_count},      {"days_active", RULE_DAYS, parse_days},
    {"sum", RULE_SUM, parse_over},           {"avg", RULE_AVG, parse_over},
    {"min", RULE_MIN, parse_over},           {"max", RULE_MAX, parse_over},
    {"distinct", RULE_DISTINCT, parse_over}, {"first", RULE_FIRST, parse_first},
    {"last", RULE_LAST, parse_first},
};

/* Inside a condition on one event these are about its records. */
static const Function ITEM_VALUES[] = {
    {"count", RULE_ITEMS_COUNT, parse_items_count},
    {"sum", RULE_ITEMS_SUM, parse_items_sum},
};

static const Function *find_function(const Parser *p, const Function *all, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (parse_next_is_symbol(p, "(") && parse_is_word(p, all[i].word))
            return &all[i];
    return NULL;
}

static Err parse_function(Parser *p, const Function *f, RuleNode **out)
{
    TRY(draft_node(p->d, f->op, p->token->at, out));
    p->token += 2;
    return f->arguments(p, *out);
}

Err parse_leaf_condition(Parser *p, RuleNode **out)
{
    const Function *f = find_function(p, CONDITIONS, ARRAY_LEN(CONDITIONS));
    return f == NULL ? ERR_OK : parse_function(p, f, out);
}

Err parse_leaf_value(Parser *p, RuleNode **out)
{
    const Function *f = find_function(p, VALUES, ARRAY_LEN(VALUES));
    if (p->place == PLACE_EVENT && f != NULL) {
        const Function *item = find_function(p, ITEM_VALUES, ARRAY_LEN(ITEM_VALUES));
        f = item != NULL ? item : f;
    }
    return f == NULL ? ERR_OK : parse_function(p, f, out);
}

void parse_nearest_function(Nearest *n)
{
    nearest_try(n, STR("any"));
    nearest_try(n, STR("all"));
    for (size_t i = 0; i < ARRAY_LEN(CONDITIONS); i++)
        nearest_try(n, str_of(CONDITIONS[i].word));
    for (size_t i = 0; i < ARRAY_LEN(VALUES); i++)
        nearest_try(n, str_of(VALUES[i].word));
}
