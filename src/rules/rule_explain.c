/*
 * rules/rule_explain.c -- why: the tree with what the person has at each node.
 */
#include "base/clock.h"
#include "rules/rule_eval_internal.h"

enum {
    FOUND_TEXT_MAX = 80, /* bytes of a text that are shown */
    FOUND_TEXTS_MAX = 5, /* texts of a list */
    FOUND_BYTES_MAX = 1024,
    AVERAGE_PLACES = 4,
};

typedef struct Teller {
    const Rule *rule;
    Buf text, found; /* of the node being told */
    uint32_t told;   /* nodes */
    RuleExplainFn tell;
    void *arg;
} Teller;

/* ---- values for people ----------------------------------------------------------------------- */

static void put_cut(Buf *out, Str s, size_t max)
{
    size_t len = 0;
    while (len < s.len && str_utf8_len(s, len) > 0 && len + str_utf8_len(s, len) <= max)
        len += str_utf8_len(s, len);
    buf_add(out, str_slice(s, 0, len));
    if (len < s.len)
        buf_add(out, STR("..."));
}

static void put_text(Buf *out, Str s)
{
    buf_add_char(out, '"');
    put_cut(out, s, FOUND_TEXT_MAX);
    buf_add_char(out, '"');
}

static void put_time(const RuleFacts *f, Buf *out, int64_t at_ms)
{
    const int32_t east =
        f->calendar.offset_min == NULL ? 0 : f->calendar.offset_min(f->calendar.arg, at_ms);
    const int64_t local = at_ms + east * INT64_C(60000);
    if (local < EVENT_TIME_MS_MIN || local > EVENT_TIME_MS_MAX) {
        buf_add_i64(out, at_ms);
        return;
    }
    char text[CLOCK_TEXT_BYTES];
    clock_print(local, text);
    buf_addf(out, "%.10s %.8s", text, text + 11);
    if (east == 0)
        buf_add(out, STR("Z"));
    else
        buf_addf(out, "%c%02d:%02d", east < 0 ? '-' : '+', (east < 0 ? -east : east) / 60,
                 (east < 0 ? -east : east) % 60);
}

/* Digits of n >= 0, at least `least`. */
static void put_digits(Buf *out, Wide n, int least)
{
    char digits[48];
    size_t at = sizeof digits;
    for (int i = 0; i < least || n > 0; i++, n /= 10)
        digits[--at] = (char)('0' + (int)(n % 10));
    buf_add(out, (Str){digits + at, sizeof digits - at});
}

/* `n` with its last `places` whole digits behind the point. */
static void put_num(Buf *out, Num n, int places)
{
    const int64_t one = INT64_C(1000000000000000000);
    Wide unit = 1;
    if (n.whole < 0) {
        buf_add_char(out, '-');
        n = n.frac == 0 ? (Num){-n.whole, 0} : (Num){-n.whole - 1, one - n.frac};
    }
    for (int i = 0; i < places; i++)
        unit *= 10;
    put_digits(out, n.whole / unit, 1);
    if (places == 0 && n.frac == 0)
        return;
    buf_add_char(out, '.');
    put_digits(out, n.whole % unit, places);
    int behind = NUM_PLACES;
    while (n.frac != 0 && n.frac % 10 == 0) {
        n.frac /= 10;
        behind--;
    }
    if (n.frac != 0)
        put_digits(out, n.frac, behind);
}

/* An average is told with four places, cut, and said to be so. */
static Num average(const Found *f, bool *exact)
{
    int64_t unit = 1;
    for (int i = 0; i < AVERAGE_PLACES; i++)
        unit *= 10;
    const int64_t fine = INT64_C(1000000000000000000) / unit;
    const Wide rest = f->num.whole % f->divisor, scaled = rest * unit + f->num.frac / fine;
    Num n = {f->num.whole / f->divisor, 0};
    Wide part = scaled / f->divisor;
    if (part < 0) {
        n.whole--;
        part += unit;
    }
    n.frac = (int64_t)part * fine;
    *exact = scaled % f->divisor == 0 && f->num.frac % fine == 0;
    return n;
}

static void put_amount(const Rule *rule, Buf *out, const Found *f)
{
    bool exact = true;
    const Num n = f->divisor == 1 ? f->num : average(f, &exact);
    const bool money = f->type == RULE_TYPE_MONEY;
    buf_add(out, exact ? STR("") : STR("about "));
    put_num(out, n, money ? rule->exponent : 0);
    if (money)
        buf_addf(out, " %.*s", STR_ARG(rule->currency));
}

static void put_texts(Buf *out, const EventProp *p)
{
    buf_add_char(out, '[');
    for (uint32_t i = 0; i < p->count && i < FOUND_TEXTS_MAX; i++) {
        buf_add(out, i > 0 ? STR(", ") : STR(""));
        put_text(out, p->texts[i]);
    }
    buf_add(out, p->count > FOUND_TEXTS_MAX ? STR(", ...]") : STR("]"));
}

static void put_found(const Teller *t, const Eval *e, Buf *out, const Found *f)
{
    switch (f->type) {
    case RULE_TYPE_NUMBER:
    case RULE_TYPE_MONEY:
        put_amount(t->rule, out, f);
        return;
    case RULE_TYPE_BOOL:
        buf_add(out, f->i64 != 0 ? STR("true") : STR("false"));
        return;
    case RULE_TYPE_TEXT:
    case RULE_TYPE_ENUM:
        put_text(out, f->text);
        return;
    case RULE_TYPE_TIME:
        put_time(e->facts, out, f->i64);
        return;
    case RULE_TYPE_TEXTS:
        put_texts(out, f->at);
        return;
    case RULE_TYPE_ITEMS:
        buf_addf(out, "%u records", f->at->count);
        return;
    case RULE_TYPE_UNKNOWN:
    case RULE_TYPE_COUNT:
        buf_add(out, STR("nothing"));
        return;
    }
}

static void put_matches(const Eval *e, Buf *out, Matches m)
{
    buf_addf(out, "%zu event%s", m.count, m.count == 1 ? "" : "s");
    if (m.count == 0)
        return;
    buf_add(out, m.count == 1 ? STR(", at ") : STR(", the first at "));
    put_time(e->facts, out, m.first->time_ms);
    if (m.count == 1)
        return;
    buf_add(out, STR(", the last at "));
    put_time(e->facts, out, m.last->time_ms);
}

/* ---- what is found at a node ----------------------------------------------------------------- */

static void find_value(const Teller *t, const Eval *e, const RuleNode *n, Buf *out)
{
    Eval any = *e;
    any.any_type = n->op == RULE_IS_SET || n->op == RULE_IS_MISSING;
    const Found f = eval_value(&any, n->args[0]);
    put_found(t, e, out, &f);
}

static void find_items(const Teller *t, const Eval *e, const RuleNode *n, Buf *out)
{
    const RuleNode hits = {
        .op = RULE_ITEMS_COUNT, .type = RULE_TYPE_NUMBER, .args = n->args, .count = n->count};
    const Found list = eval_value(e, n->args[0]), holding = eval_value(e, &hits);
    if (list.type == RULE_TYPE_ITEMS) {
        put_found(t, e, out, &holding);
        buf_add(out, STR(" of "));
    }
    put_found(t, e, out, &list);
}

static void find_events(const Teller *t, const Eval *e, const RuleNode *n, Buf *out)
{
    (void)t;
    put_matches(e, out, eval_matches(e, n->step, &n->window));
}

static void find_all_events(const Teller *t, const Eval *e, const RuleNode *n, Buf *out)
{
    const RuleWindow ever = {.kind = RULE_WINDOW_EVER};
    (void)t;
    put_matches(e, out, eval_matches(e, n->step, &ever));
}

static void find_sequence(const Teller *t, const Eval *e, const RuleNode *n, Buf *out)
{
    (void)t;
    buf_addf(out, "%u of %u steps", eval_sequence_reached(e, n), n->count);
}

typedef void (*Find)(const Teller *t, const Eval *e, const RuleNode *n, Buf *out);

static Find find_of(RuleOp op)
{
    if (op >= RULE_EQ && op <= RULE_WHEN)
        return find_value;
    switch ((int)op) {
    case RULE_ITEMS_ANY:
    case RULE_ITEMS_ALL:
        return find_items;
    case RULE_DID:
        return find_events;
    case RULE_STOPPED:
    case RULE_RESUMED:
        return find_all_events;
    case RULE_SEQUENCE:
        return find_sequence;
    default:
        return NULL;
    }
}

/* ---- the tree -------------------------------------------------------------------------------- */

/* The whole text of a node would be that of all below it again and again. */
static Str text_of(Teller *t, const RuleNode *n)
{
    Buf whole = BUF_MAX(RULE_BYTES_MAX);
    rule_format_node(t->rule, n, &whole);
    buf_clear(&t->text);
    put_cut(&t->text, buf_str(&whole), RULE_EXPLAIN_TEXT_MAX);
    buf_free(&whole);
    return buf_str(&t->text);
}

static void tell_node(Teller *t, const RuleNode *n, uint32_t level, bool holding)
{
    const RuleExplained node = {level, text_of(t, n), buf_str(&t->found), holding};
    t->tell(&node, t->arg);
    t->told++;
    buf_clear(&t->found);
}

static void tell_condition(Teller *t, const Eval *e, const RuleNode *n, uint32_t level);

/* For one event: which alternative, and why not the others. */
static void tell_step(Teller *t, const Eval *e, const RuleNode *step, uint32_t level)
{
    tell_node(t, step, level, eval_step_selects(e, step, e->event));
    for (uint32_t i = 0; i < step->count; i++) {
        const RuleNode one = {.op = RULE_STEP, .count = 1, .args = &step->args[i]};
        if (step->count > 1)
            tell_node(t, step->args[i], level + 1, eval_step_selects(e, &one, e->event));
        if (step->args[i]->count > 0)
            tell_condition(t, e, step->args[i]->args[0], level + 1 + (step->count > 1));
    }
}

static void tell_sequence_steps(Teller *t, const Eval *e, const RuleNode *n, uint32_t level)
{
    const uint32_t reached = eval_sequence_reached(e, n);
    for (uint32_t i = 0; i < n->count; i++) {
        put_matches(e, &t->found, eval_matches(e, n->args[i], &n->window));
        tell_node(t, n->args[i], level, i < reached);
    }
}

/* Many may stand in many: what is inside of all would have no end. */
static void tell_segment(Teller *t, const Eval *e, const RuleNode *n, uint32_t level)
{
    const Rule *rule = eval_segment(e, n->name);
    Said said;
    if (rule == NULL || t->told + rule->node_count > RULE_EXPLAIN_NODES_MAX)
        return;
    const Eval inside = eval_inside_segment(e, rule, &said);
    tell_condition(t, &inside, rule->root, level);
}

static void tell_condition(Teller *t, const Eval *e, const RuleNode *n, uint32_t level)
{
    const Find find = find_of(n->op);
    if (find != NULL)
        find(t, e, n, &t->found);
    tell_node(t, n, level, eval_holds(e, n));
    Eval inside = *e;
    if (n->op == RULE_DID) {
        inside = eval_about(e, NULL);
        inside.did = n;
    }
    if (n->op == RULE_SEGMENT)
        tell_segment(t, e, n, level + 1);
    else if (n->op == RULE_SEQUENCE)
        tell_sequence_steps(t, e, n, level + 1);
    else if (n->op <= RULE_NOT || n->op == RULE_DID)
        for (uint32_t i = 0; i < n->count; i++)
            tell_condition(t, &inside, n->args[i], level + 1);
}

void rule_explain(const Rule *rule, const RuleFacts *facts, const Event *event, RuleExplainFn tell,
                  void *arg)
{
    CHECK((event == NULL) == (rule->scope == RULE_SCOPE_PERSON));
    Teller t = {.rule = rule,
                .text = BUF_MAX(2 * RULE_EXPLAIN_TEXT_MAX),
                .found = BUF_MAX(FOUND_BYTES_MAX),
                .tell = tell,
                .arg = arg};
    const Said said = eval_said(rule, facts);
    Asked *asked = NULL;
    const Eval e = {.facts = facts, .said = &said, .asked = &asked, .event = event};
    if (rule->scope == RULE_SCOPE_STEP)
        tell_step(&t, &e, rule->root, 0);
    else
        tell_condition(&t, &e, rule->root, 0);
    buf_free(&t.text);
    buf_free(&t.found);
}
