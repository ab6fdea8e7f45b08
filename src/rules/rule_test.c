/*
 * rules/rule_test.c -- reading, refusing and writing rules.
 */
#include "rules/rule_testkit.h"

#include <stdlib.h>

/* ---- helpers --------------------------------------------------------------------------------- */

static Err parse(RuleKit *k, Str text, RuleScope scope, Rule *out)
{
    return rule_parse(&k->ctx, text, scope, rule_kit_schema(), out);
}

static Err read_json(RuleKit *k, Str json, RuleScope scope, Rule *out)
{
    JsonValue root;
    CHECK(json_open(&k->ctx, json, &root) == ERR_OK);
    return rule_from_json(&k->ctx, root, scope, rule_kit_schema(), out);
}

static const char *to_c(RuleKit *k, Str s)
{
    return arena_copy(k->ctx.arena, s).ptr;
}

/* text, read and written */
static void expect_text(RuleScope scope, const char *text, const char *want)
{
    RuleKit k;
    Rule rule;
    rule_kit_open(&k, 1);
    if (parse(&k, str_of(text), scope, &rule) != ERR_OK) {
        fprintf(stderr, "%s\n%s\n", text, k.ctx.fault.hint);
        test_stop();
    }
    EXPECT_STREQ(to_c(&k, rule_kit_text(&k, &rule)), want);
    EXPECT_I64((int64_t)rule.text_bytes, (int64_t)str_of(want).len);
    rule_kit_close(&k);
}

static void expect_same(RuleScope scope, const char *text)
{
    expect_text(scope, text, text);
}

/* `text` is refused for `reason`, at that line and column, with `part` in the hint. */
static void expect_refused(RuleScope scope, const char *text, const char *reason, const char *place,
                           const char *part)
{
    RuleKit k;
    Rule rule = {.node_count = 77};
    rule_kit_open(&k, 1);
    EXPECT_I64(parse(&k, str_of(text), scope, &rule), ERR_INVALID);
    EXPECT_I64(rule.node_count, 77);
    if (strcmp(k.ctx.fault.reason, reason) != 0 || strstr(k.ctx.fault.hint, part) == NULL ||
        strstr(k.ctx.fault.hint, place) != k.ctx.fault.hint) {
        fprintf(stderr, "%s\n%s: %s\nwant %s: %s ... %s\n", text, k.ctx.fault.reason,
                k.ctx.fault.hint, reason, place, part);
        test_stop();
    }
    rule_kit_close(&k);
}

static void expect_json_refused(const char *json, const char *reason, const char *pointer,
                                const char *part)
{
    RuleKit k;
    Rule rule = {.node_count = 77};
    rule_kit_open(&k, 1);
    EXPECT_I64(read_json(&k, str_of(json), RULE_SCOPE_PERSON, &rule), ERR_INVALID);
    EXPECT_I64(rule.node_count, 77);
    if (strcmp(k.ctx.fault.reason, reason) != 0 || strcmp(k.ctx.fault.pointer, pointer) != 0 ||
        strstr(k.ctx.fault.hint, part) == NULL) {
        fprintf(stderr, "%s\n%s %s: %s\nwant %s %s: %s\n", json, k.ctx.fault.reason,
                k.ctx.fault.pointer, k.ctx.fault.hint, reason, pointer, part);
        test_stop();
    }
    rule_kit_close(&k);
}

/* `piece`, `count` times. */
static void repeat(Buf *b, const char *piece, int count)
{
    for (int i = 0; i < count; i++)
        buf_add(b, str_of(piece));
}

/* ---- writing --------------------------------------------------------------------------------- */

TEST(rule_canonical_texts_stay_as_they_are)
{
    static const char *const PERSON[] = {
        "did(\"Order Completed\", within 90d, count >= 2, sum(total) > 300.00 CNY) and not did(\"Store "
        "Visited\", within 30d) and person.city in [\"\xe4\xb8\x8a\xe6\xb5\xb7\", "
        "\"\xe6\x9d\xad\xe5\xb7\x9e\"] and person.tier >= gold and consents(\"sms\", \"marketing\")",
        "did(any event)",
        "did([\"A\", \"B\"] where x is set, between 60d and 30d ago, days >= 3)",
        "did(any of (\"A\" where x == 1, any event where y in [2, 3]), since 2026-01-31)",
        "sequence(\"A\" then \"B\" within 7d then \"C\" within 36h of first, within 3 calendar months)",
        "stopped(\"A\", for 30d, before 2026-01-31T10:00)",
        "resumed(\"A\", after 2w, within 15min)",
        "first(\"A\", within 1 calendar day).`odd name` contains \"x\"",
        "last(\"A\").context.page starts with \"/h5\"",
        "last(\"A\") between 2026-01-01 and 2026-01-31T10:00:30.250+08:00",
        "days_active(any event, within 30d) >= 3",
        "distinct(\"A\", store) between -1.5 and 3",
        "sum(\"A\", total * quantity) < -0.05 CNY",
        "segment(\"\xe8\x80\x81\xe5\xae\xa2\")",
        "person.tier == \"super gold\" or person.`and` == \"a \\\"b\\\" \\\\ \\n\\u{1b}\"",
        "not not true",
        "not (true or false) and (true or not (false and true))",
    };
    for (size_t i = 0; i < ARRAY_LEN(PERSON); i++)
        expect_same(RULE_SCOPE_PERSON, PERSON[i]);
    expect_same(RULE_SCOPE_EVENT,
                "any(items, sku == \"X\" and qty >= 2) or count(items where gift == true) >= 2");
    expect_same(RULE_SCOPE_EVENT,
                "sum(items, price * qty) != 0.00 CNY and `time` == 5 and time within 5d");
    expect_same(RULE_SCOPE_STEP,
                "\"Order Completed\" where total > 300.00 CNY and store == \"S1\"");
    expect_same(RULE_SCOPE_STEP, "any of (\"A\" where x == 1, \"B\")");
    expect_same(RULE_SCOPE_EVENT, "person.tier at event >= gold and person.at at event is missing");
    expect_same(RULE_SCOPE_EVENT, "person.joined at event within 30d or at == 3");
    expect_same(RULE_SCOPE_PERSON, "did(\"A\" where person.city at event in [\"x\", \"y\"])");
    expect_same(RULE_SCOPE_STEP, "any event");
}

TEST(rule_other_texts_get_their_canonical_form)
{
    expect_text(RULE_SCOPE_PERSON, "(tier>=gold)and(((vip==true)))",
                "person.tier >= gold and person.vip == true");
    expect_text(RULE_SCOPE_PERSON, "(true and false) and (true or (false or true))",
                "true and false and (true or false or true)");
    expect_text(RULE_SCOPE_PERSON, "did([\"A\"] , count>=02,\n within 7d)",
                "did(\"A\", within 7d, count >= 2)");
    expect_text(RULE_SCOPE_PERSON, "days_active() > 0", "days_active(any event) > 0");
    expect_text(RULE_SCOPE_PERSON, "spent > 3CNY", "person.spent > 3.00 CNY");
    expect_text(RULE_SCOPE_PERSON, "age in [1.50, -0, 007, 1.0]", "person.age in [1.5, 0, 7, 1]");
    expect_text(RULE_SCOPE_PERSON, "tier == \"gold\"", "person.tier == gold");
    expect_text(RULE_SCOPE_PERSON, "joined since 2026-01-31T10:00:00.000+00:00",
                "person.joined since 2026-01-31T10:00Z");
    expect_text(RULE_SCOPE_PERSON, "joined within 1 calendar months",
                "person.joined within 1 calendar month");
    expect_text(RULE_SCOPE_EVENT, "`total` > 1 CNY", "total > 1.00 CNY");
    expect_text(RULE_SCOPE_EVENT, "x == \"\\u{4e0a}\\t\"", "x == \"\xe4\xb8\x8a\\t\"");
}

TEST(rule_random_ones_keep_their_tree_as_text_and_as_json)
{
    static const struct {
        RuleScope scope;
        int rounds;
    } RUNS[] = {{RULE_SCOPE_PERSON, 10000}, {RULE_SCOPE_EVENT, 6000}, {RULE_SCOPE_STEP, 4000}};
    for (size_t r = 0; r < ARRAY_LEN(RUNS); r++) {
        RuleKit k;
        rule_kit_open(&k, r + 1);
        for (int i = 0; i < RUNS[r].rounds; i++) {
            Rule rule, again, back;
            Buf b = BUF_MAX(1 << 20);
            rule_kit_random(&k, RUNS[r].scope, &b);
            CHECK(parse(&k, buf_str(&b), RUNS[r].scope, &rule) == ERR_OK);
            buf_free(&b); /* nothing of the text is kept */
            const Str text = rule_kit_text(&k, &rule), json = rule_kit_json(&k, &rule);
            CHECK(parse(&k, text, RUNS[r].scope, &again) == ERR_OK);
            CHECK(rule_same(&rule, &again) && str_eq(text, rule_kit_text(&k, &again)));
            CHECK(read_json(&k, json, RUNS[r].scope, &back) == ERR_OK);
            CHECK(rule_same(&rule, &back) && str_eq(json, rule_kit_json(&k, &back)));
            arena_reset(k.ctx.arena);
        }
        rule_kit_close(&k);
    }
}

TEST(rule_trees_differ_when_anything_in_them_does)
{
    static const char *const ALL[] = {
        "did(\"A\")",
        "did(\"B\")",
        "did(\"A\", within 7d)",
        "did(\"A\", within 1w)",
        "did(\"A\", within 7 calendar days)",
        "did(\"A\", count >= 1)",
        "did(\"A\", count >= 2)",
        "did(\"A\", days >= 2)",
        "did(\"A\" where x == 1)",
        "did(\"A\" where x == \"1\")",
        "did(\"A\" where x == 1.00 CNY)",
        "did(\"A\" where x == 2026-01-31)",
        "did(\"A\" where x == 2026-01-31T00:00)",
        "did(\"A\" where x == 2026-01-31T00:00+08:00)",
        "did(\"A\" where context.x == 1)",
        "did(\"A\" where person.x == 1)",
        "did(\"A\" where x in [1])",
        "did(\"A\" where x in [1, 1])",
        "did([\"A\", \"B\"])",
        "did(any of (\"A\", \"B\"))",
        "sequence(\"A\" then \"B\" within 7d)",
        "sequence(\"A\" then \"B\" within 7d of first)",
    };
    RuleKit k;
    Rule rules[ARRAY_LEN(ALL)];
    rule_kit_open(&k, 1);
    for (size_t i = 0; i < ARRAY_LEN(ALL); i++)
        CHECK(parse(&k, str_of(ALL[i]), RULE_SCOPE_PERSON, &rules[i]) == ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(ALL); i++)
        for (size_t j = 0; j < ARRAY_LEN(ALL); j++)
            EXPECT_I64(rule_same(&rules[i], &rules[j]), i == j);
    rule_kit_close(&k);
}

/* ---- the tree -------------------------------------------------------------------------------- */

static void expect_walk(const RuleNode *n, uint32_t *next)
{
    EXPECT_I64(n->id, (*next)++);
    if (n->step != NULL)
        expect_walk(n->step, next);
    for (uint32_t i = 0; i < n->count; i++)
        expect_walk(n->args[i], next);
}

TEST(rule_nodes_are_numbered_as_a_walk_meets_them)
{
    RuleKit k;
    Rule rule;
    uint32_t next = 0;
    rule_kit_open(&k, 1);
    CHECK(parse(&k,
                STR("(did(\"A\" where x == 1 and y == 2, count > 1) and true) and tier >= gold"),
                RULE_SCOPE_PERSON, &rule) == ERR_OK);
    expect_walk(rule.root, &next);
    EXPECT_I64(next, rule.node_count);
    EXPECT_I64(rule.root->op, RULE_AND);
    EXPECT_I64(rule.root->count, 3);
    EXPECT_I64(rule.root->at, 0);
    EXPECT_I64(rule.root->args[2]->at, 59);
    EXPECT_I64(rule.root->args[2]->args[1]->value.i64, 2);
    rule_kit_close(&k);
}

TEST(rule_operands_without_a_known_type_have_that_of_the_value_beside)
{
    static const struct {
        const char *text;
        RuleType type;
    } CASES[] = {
        {"mystery == 1", RULE_TYPE_NUMBER},
        {"mystery == \"1\"", RULE_TYPE_TEXT},
        {"mystery in [1 CNY]", RULE_TYPE_MONEY},
        {"mystery != true", RULE_TYPE_BOOL},
        {"mystery >= 2026-01-31", RULE_TYPE_TIME},
        {"mystery within 3d", RULE_TYPE_TIME},
        {"mystery starts with \"a\"", RULE_TYPE_TEXT},
        {"mystery contains \"a\"", RULE_TYPE_UNKNOWN},
        {"mystery contains any [\"a\"]", RULE_TYPE_TEXTS},
        {"mystery is set", RULE_TYPE_UNKNOWN},
        {"mystery * quantity > 3", RULE_TYPE_NUMBER},
        {"mystery * total > 3 CNY", RULE_TYPE_MONEY},
        {"count(mystery) > 3", RULE_TYPE_NUMBER},
        {"total > 3 CNY", RULE_TYPE_MONEY},
    };
    RuleKit k;
    rule_kit_open(&k, 1);
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        Rule rule;
        CHECK(parse(&k, str_of(CASES[i].text), RULE_SCOPE_EVENT, &rule) == ERR_OK);
        EXPECT_I64(rule.root->args[0]->type, CASES[i].type);
    }
    rule_kit_close(&k);
}

TEST(rule_times_are_resolved_in_the_schema_s_zone)
{
    RuleKit k;
    Rule rule;
    rule_kit_open(&k, 1);
    CHECK(
        parse(
            &k,
            STR("joined in [2026-01-31, 2026-01-31T00:00, 2026-01-31T00:00Z, 2026-01-31T00:00-01:30]"),
            RULE_SCOPE_PERSON, &rule) == ERR_OK);
    const RuleValue *v = rule.root->args[1]->values;
    EXPECT_I64(v[0].i64, INT64_C(1769788800000));
    EXPECT_I64(v[0].end_ms, v[0].i64 + INT64_C(86400000));
    EXPECT_I64(v[1].i64, v[0].i64);
    EXPECT_I64(v[1].end_ms, v[1].i64 + 1);
    EXPECT_I64(v[2].i64, v[0].i64 + INT64_C(8) * 3600000);
    EXPECT_I64(v[3].i64, v[2].i64 + 90 * 60000);
    const RuleSchema utc = {.currency = STR("JPY")};
    CHECK(rule_parse(&k.ctx, STR("joined == 2026-01-31 and spent > 300 JPY"), RULE_SCOPE_PERSON,
                     &utc, &rule) == ERR_OK);
    EXPECT_I64(rule.root->args[0]->args[1]->value.i64, v[2].i64);
    EXPECT_I64(rule.root->args[1]->args[1]->value.i64, 300);
    EXPECT_STREQ(to_c(&k, rule_kit_text(&k, &rule)),
                 "person.joined == 2026-01-31 and person.spent > 300 JPY");
    rule_kit_close(&k);
}

/* ---- names ----------------------------------------------------------------------------------- */

TEST(rule_unknown_names_are_warned_of_with_the_nearest_known_one)
{
    static const struct {
        const char *text, *warning;
    } CASES[] = {
        {"did(\"Ordr Completed\")",
         "line 1, column 5: no event \"Ordr Completed\" is known; did you mean \"Order Completed\"?"},
        {"did(\"Order Completed\" where\n toatl > 3 CNY)",
         "line 2, column 2: no property \"toatl\" is known; did you mean \"total\"?"},
        {"did(\"Store Visited\" where total > 3 CNY)",
         "line 1, column 27: no property \"total\" is known of this event, only of others"},
        {"did(any event where context.pgae == \"x\")",
         "line 1, column 21: no context value \"pgae\" is known; did you mean \"page\"?"},
        {"did(any event where any(items, suk == \"x\"))",
         "line 1, column 32: no field \"suk\" is known; did you mean \"sku\"?"},
        {"person.ciyt == \"x\"",
         "line 1, column 1: no attribute \"ciyt\" is known; did you mean \"city\"?"},
        {"person.entirely_else == 1", "line 1, column 1: no attribute \"entirely_else\" is known"},
    };
    RuleKit k;
    Rule rule;
    rule_kit_open(&k, 1);
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        CHECK(parse(&k, str_of(CASES[i].text), RULE_SCOPE_PERSON, &rule) == ERR_OK);
        EXPECT_I64(rule.warning_count, 1);
        EXPECT_STREQ(to_c(&k, rule.warnings[0].text), CASES[i].warning);
        EXPECT_I64(rule_parse(&k.ctx, str_of(CASES[i].text), RULE_SCOPE_PERSON,
                              rule_kit_strict_schema(), &rule),
                   ERR_INVALID);
        EXPECT_STREQ(k.ctx.fault.reason, "rule.name");
        EXPECT_STREQ(k.ctx.fault.hint, CASES[i].warning);
    }
    const RuleSchema nothing_known = {.currency = STR("CNY"), .exponent = 2, .strict = true};
    CHECK(rule_parse(&k.ctx, STR("x == 1"), RULE_SCOPE_EVENT, &nothing_known, &rule) == ERR_OK);
    EXPECT_I64(rule.warning_count, 0);
    rule_kit_close(&k);
}

TEST(rule_segments_that_are_not_there_are_refused_with_the_nearest_one)
{
    expect_refused(
        RULE_SCOPE_PERSON, "vip == true and segment(\"regulars\")", "rule.name",
        "line 1, column 17:", "no segment \"regulars\" is known; did you mean \"Regulars\"?");
    expect_refused(RULE_SCOPE_EVENT, "segment(\"x\")", "rule.name",
                   "line 1, column 1:", "no segment \"x\" is known");
}

TEST(rule_warnings_stop_at_their_limit)
{
    RuleKit k;
    Rule rule;
    Buf b = BUF_MAX(RULE_BYTES_MAX);
    rule_kit_open(&k, 1);
    repeat(&b, "x == 1 and ", 40);
    buf_add(&b, STR("true"));
    CHECK(parse(&k, buf_str(&b), RULE_SCOPE_EVENT, &rule) == ERR_OK);
    EXPECT_I64(rule.warning_count, RULE_WARNINGS_MAX);
    buf_free(&b);
    rule_kit_close(&k);
}

TEST(rule_names_may_be_of_any_script_and_odd_ones_stand_in_backticks)
{
    expect_same(RULE_SCOPE_EVENT,
                "\xe6\x95\xb0\xe9\x87\x8f > 2 and $a_1 == 2 and \xc3\xa9t\xc3\xa9 == 3");
    expect_same(
        RULE_SCOPE_EVENT,
        "`a.b` == 1 and `1a` == 2 and `a-b` == 3 and `\xef\xbc\x8c` == 4 and `\\`\\n` == 5");
    expect_refused(RULE_SCOPE_EVENT,
                   "a\xef\xbc\x8c"
                   "b == 1",
                   "rule.syntax", "line 1, column 2:", "full-width comma");
    expect_refused(RULE_SCOPE_EVENT, "`` == 1", "rule.length", "line 1, column 1:", "at least one");
}

/* ---- what is refused ------------------------------------------------------------------------- */

typedef struct Refusal {
    RuleScope scope;
    const char *text, *reason, *place, *part;
} Refusal;

static void expect_all_refused(const Refusal *all, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect_refused(all[i].scope, all[i].text, all[i].reason, all[i].place, all[i].part);
}

TEST(rule_faults_of_grammar_point_at_the_place)
{
    static const Refusal ALL[] = {
        {RULE_SCOPE_EVENT, "", "rule.syntax", "line 1, column 1:", "the rule ends here"},
        {RULE_SCOPE_EVENT, "total > 3 CNY and", "rule.syntax",
         "line 1, column 18:", "the rule ends here"},
        {RULE_SCOPE_EVENT, "gift == true\n  AND x == 1", "rule.syntax",
         "line 2, column 3:", "did you mean \"and\"?"},
        {RULE_SCOPE_EVENT, "x == 1 AND y == 2", "rule.syntax",
         "line 1, column 8:", "did you mean \"and\"?"},
        {RULE_SCOPE_EVENT, "x = 1", "rule.syntax", "line 1, column 3:", "write =="},
        {RULE_SCOPE_EVENT, "x <> 1", "rule.syntax", "line 1, column 3:", "write !="},
        {RULE_SCOPE_EVENT, "x == 1 && y == 1", "rule.syntax", "line 1, column 8:", "write and"},
        {RULE_SCOPE_EVENT, "!(x == 1)", "rule.syntax", "line 1, column 1:", "write not"},
        {RULE_SCOPE_EVENT, "x == 'a'", "rule.syntax", "line 1, column 6:", "double quotes"},
        {RULE_SCOPE_EVENT,
         "x == \xe2\x80\x9c"
         "a\xe2\x80\x9d",
         "rule.syntax", "line 1, column 6:", "straight"},
        {RULE_SCOPE_EVENT, "\xe5\x9f\x8e\xe5\xb8\x82 \xef\xbc\x9e 1", "rule.syntax",
         "line 1, column 4:", "write >"},
        {RULE_SCOPE_EVENT, "x == \"a", "rule.syntax", "line 1, column 6:", "not closed"},
        {RULE_SCOPE_EVENT, "x == \"a\nb\"", "rule.syntax", "line 1, column 6:", "not closed"},
        {RULE_SCOPE_EVENT, "x == \"\\q\"", "rule.syntax", "line 1, column 7:", "behind \\"},
        {RULE_SCOPE_EVENT, "x == \"\\u{d800}\"", "rule.syntax", "line 1, column 7:", "behind \\"},
        {RULE_SCOPE_EVENT, "3 < x", "rule.syntax",
         "line 1, column 1:", "the value stands on the right"},
        {RULE_SCOPE_EVENT, "x is null", "rule.syntax", "line 1, column 6:", "`is missing`"},
        {RULE_SCOPE_EVENT, "x in 3", "rule.syntax", "line 1, column 6:", "a list"},
        {RULE_SCOPE_EVENT, "x in []", "rule.syntax", "line 1, column 7:", "a value"},
        {RULE_SCOPE_EVENT, "x > 30d", "rule.syntax", "line 1, column 5:", "spans stand in windows"},
        {RULE_SCOPE_EVENT, "gift", "rule.syntax", "line 1, column 5:", "a comparison"},
        {RULE_SCOPE_EVENT, "(x == 1", "rule.syntax", "line 1, column 8:", ")"},
        {RULE_SCOPE_EVENT, "x == 1)", "rule.syntax", "line 1, column 7:", "the end of the rule"},
        {RULE_SCOPE_PERSON, "did(A)", "rule.syntax", "line 1, column 5:", "in quotes"},
        {RULE_SCOPE_PERSON, "did(\"A\", within 90 days)", "rule.syntax",
         "line 1, column 20:", "(90d)"},
        {RULE_SCOPE_PERSON, "did(\"A\", within 7d, within 8d)", "rule.syntax",
         "line 1, column 21:", "a window already"},
        {RULE_SCOPE_PERSON, "did(\"A\", cnt >= 2)", "rule.syntax",
         "line 1, column 10:", "count, days"},
        {RULE_SCOPE_PERSON, "sequence(\"A\")", "rule.syntax", "line 1, column 13:", "`then`"},
        {RULE_SCOPE_PERSON, "stopped(\"A\")", "rule.syntax", "line 1, column 12:", "`for 30d`"},
        {RULE_SCOPE_PERSON, "cuont(\"A\") > 1", "rule.name",
         "line 1, column 1:", "did you mean \"count\"?"},
        {RULE_SCOPE_PERSON, "within 3d", "rule.syntax", "line 1, column 1:", "a condition"},
        {RULE_SCOPE_EVENT, "person.tier at now == gold", "rule.syntax",
         "line 1, column 16:", "`at event`"},
        {RULE_SCOPE_EVENT, "total at event > 3 CNY", "rule.syntax",
         "line 1, column 7:", "`person.name at event`"},
        {RULE_SCOPE_EVENT, "person.tier at == gold", "rule.syntax",
         "line 1, column 16:", "`at event`"},
        {RULE_SCOPE_STEP, "total > 3 CNY", "rule.syntax", "line 1, column 1:", "in quotes"},
        {RULE_SCOPE_STEP, "\"A\" or \"B\"", "rule.syntax", "line 1, column 5:", "the end"},
    };
    expect_all_refused(ALL, ARRAY_LEN(ALL));
}

TEST(rule_faults_of_type_say_what_is_what_and_what_to_write)
{
    static const Refusal ALL[] = {
        {RULE_SCOPE_EVENT, "total > 300", "rule.type", "line 1, column 9:",
         "\"total\" is an amount of money, but this is a number: write 300.00 CNY"},
        {RULE_SCOPE_EVENT, "quantity > 3.00 CNY", "rule.type",
         "line 1, column 12:", "without the currency"},
        {RULE_SCOPE_EVENT, "quantity > \"3\"", "rule.type", "line 1, column 12:", "without quotes"},
        {RULE_SCOPE_EVENT, "channel == 3", "rule.type", "line 1, column 12:", "write \"3\""},
        {RULE_SCOPE_EVENT, "channel == web", "rule.type",
         "line 1, column 12:", "texts stand in quotes"},
        {RULE_SCOPE_EVENT, "x == web", "rule.type", "line 1, column 6:", "texts stand in quotes"},
        {RULE_SCOPE_EVENT, "channel in [\"a\", 3]", "rule.type",
         "line 1, column 18:", "is a text, but this is a number"},
        {RULE_SCOPE_EVENT, "x in [\"a\", 3]", "rule.type",
         "line 1, column 12:", "is a text, but this is a number"},
        {RULE_SCOPE_EVENT, "paid_at == \"2026-01-31\"", "rule.type",
         "line 1, column 12:", "without quotes"},
        {RULE_SCOPE_EVENT, "gift > true", "rule.type", "line 1, column 1:", "only == and !="},
        {RULE_SCOPE_EVENT, "tags == \"x\"", "rule.type", "line 1, column 1:", "contains"},
        {RULE_SCOPE_EVENT, "channel contains any [\"x\"]", "rule.type",
         "line 1, column 1:", "lists of texts"},
        {RULE_SCOPE_EVENT, "quantity contains \"x\"", "rule.type",
         "line 1, column 1:", "only texts"},
        {RULE_SCOPE_EVENT, "channel starts with 3", "rule.type",
         "line 1, column 21:", "takes texts in quotes"},
        {RULE_SCOPE_EVENT, "status == closed", "rule.name",
         "line 1, column 11:", "has no label \"closed\""},
        {RULE_SCOPE_PERSON, "tier >= golld", "rule.name",
         "line 1, column 9:", "did you mean \"gold\"?"},
        {RULE_SCOPE_PERSON, "color >= red", "rule.type", "line 1, column 1:", "no order"},
        {RULE_SCOPE_PERSON, "tier > 3", "rule.type",
         "line 1, column 8:", "is a label, but this is a number"},
        {RULE_SCOPE_EVENT, "channel within 3d", "rule.type",
         "line 1, column 1:", "windows are for times"},
    };
    expect_all_refused(ALL, ARRAY_LEN(ALL));
}

TEST(rule_faults_of_type_reach_into_products_records_and_aggregates)
{
    static const Refusal ALL[] = {
        {RULE_SCOPE_EVENT, "total * total > 3 CNY", "rule.type",
         "line 1, column 1:", "two amounts"},
        {RULE_SCOPE_EVENT, "channel * total > 3 CNY", "rule.type",
         "line 1, column 1:", "numbers are multiplied"},
        {RULE_SCOPE_EVENT, "x * y contains \"a\"", "rule.type", "line 1, column 1:", "only texts"},
        {RULE_SCOPE_EVENT, "x * y == \"a\"", "rule.type",
         "line 1, column 10:", "is a number, but this is a text"},
        {RULE_SCOPE_EVENT, "x * y is set", "rule.type", "line 1, column 1:", "only names"},
        {RULE_SCOPE_EVENT, "count(channel) > 3", "rule.type",
         "line 1, column 7:", "a list of records is needed"},
        {RULE_SCOPE_EVENT, "sum(items, sku) > 3", "rule.type",
         "line 1, column 12:", "numbers and amounts are summed"},
        {RULE_SCOPE_PERSON, "did(\"Order Completed\", sum(channel) > 3)", "rule.type",
         "line 1, column 28:", "are summed"},
        {RULE_SCOPE_PERSON, "did(\"Order Completed\", sum(total) > 3)", "rule.type",
         "line 1, column 37:", "write 3.00 CNY"},
        {RULE_SCOPE_PERSON, "min(\"A\", x) == \"a\"", "rule.type",
         "line 1, column 16:", "is a number, but this is a text"},
        {RULE_SCOPE_PERSON, "distinct(\"Order Completed\", tags) > 1", "rule.type",
         "line 1, column 29:", "not lists"},
        {RULE_SCOPE_PERSON, "count(\"A\") is set", "rule.type", "line 1, column 1:", "only names"},
        {RULE_SCOPE_PERSON, "last(\"A\") == 3", "rule.type", "line 1, column 14:", "is a time"},
        {RULE_SCOPE_PERSON, "age between 5 and 3", "rule.value", "line 1, column 13:", "swap"},
        {RULE_SCOPE_PERSON, "tier between gold and none", "rule.value",
         "line 1, column 14:", "swap"},
    };
    expect_all_refused(ALL, ARRAY_LEN(ALL));
}

TEST(rule_faults_of_scope_say_where_a_thing_belongs)
{
    static const Refusal ALL[] = {
        {RULE_SCOPE_PERSON, "store == \"S1\"", "rule.scope", "line 1, column 1:", "behind `where`"},
        {RULE_SCOPE_PERSON, "context.page == \"x\"", "rule.scope",
         "line 1, column 1:", "behind `where`"},
        {RULE_SCOPE_PERSON, "any(items, sku == \"A\")", "rule.scope",
         "line 1, column 5:", "behind `where`"},
        {RULE_SCOPE_EVENT, "did(\"A\")", "rule.scope", "line 1, column 1:", "no other events"},
        {RULE_SCOPE_PERSON, "did(\"A\" where did(\"B\"))", "rule.scope",
         "line 1, column 15:", "no other events"},
        {RULE_SCOPE_EVENT, "first(\"A\") within 3d", "rule.scope",
         "line 1, column 1:", "no other events"},
        {RULE_SCOPE_EVENT, "count(\"A\") > 3", "rule.syntax",
         "line 1, column 7:", "no other events"},
        {RULE_SCOPE_EVENT, "any(items, person.city == \"X\")", "rule.scope",
         "line 1, column 12:", "their fields"},
        {RULE_SCOPE_EVENT, "any(items, any(items, sku == \"A\"))", "rule.scope",
         "line 1, column 16:", "records are in a property"},
        {RULE_SCOPE_EVENT, "any(items, person.city at event == \"X\")", "rule.scope",
         "line 1, column 12:", "their fields"},
        {RULE_SCOPE_PERSON, "person.tier at event == gold", "rule.scope",
         "line 1, column 1:", "as of which event?"},
        {RULE_SCOPE_EVENT, "any(items, segment(\"x\"))", "rule.scope",
         "line 1, column 12:", "their fields"},
    };
    expect_all_refused(ALL, ARRAY_LEN(ALL));
}

TEST(rule_faults_of_value_say_what_would_be_one)
{
    static const Refusal ALL[] = {
        {RULE_SCOPE_EVENT, "x > 300.00 USD", "rule.value",
         "line 1, column 5:", "amounts are in CNY here, not in \"USD\""},
        {RULE_SCOPE_EVENT, "x > 3.005 CNY", "rule.value",
         "line 1, column 5:", "at most 2 decimal places"},
        {RULE_SCOPE_EVENT, "x > 99999999999999.99 CNY", "rule.value",
         "line 1, column 5:", "minor units"},
        {RULE_SCOPE_EVENT, "x > 9223372036854775808", "rule.value",
         "line 1, column 5:", "is no number"},
        {RULE_SCOPE_EVENT, "x > 0.0000000000000000001", "rule.value",
         "line 1, column 5:", "is no number"},
        {RULE_SCOPE_EVENT, "x == 2026-02-29", "rule.value", "line 1, column 6:", "is no time"},
        {RULE_SCOPE_EVENT, "x == 2026-13-01", "rule.value", "line 1, column 6:", "is no time"},
        {RULE_SCOPE_EVENT, "x == 2026-01-31T24:00", "rule.value",
         "line 1, column 6:", "is no time"},
        {RULE_SCOPE_EVENT, "x == 2026-01-31T10:00+18:01", "rule.value",
         "line 1, column 6:", "is no time"},
        {RULE_SCOPE_PERSON, "did(\"A\", within 3months)", "rule.value",
         "line 1, column 17:", "3 calendar months"},
        {RULE_SCOPE_PERSON, "did(\"A\", within 0d)", "rule.value",
         "line 1, column 17:", "at least 1"},
        {RULE_SCOPE_PERSON, "did(\"A\", within 36526d)", "rule.value",
         "line 1, column 17:", "at most 36525d"},
        {RULE_SCOPE_PERSON, "did(\"A\", within 101 calendar years)", "rule.value",
         "line 1, column 17:", "1 to 100"},
        {RULE_SCOPE_PERSON, "did(\"A\", within 2 calendar hours)", "rule.value",
         "line 1, column 17:", "days, weeks"},
        {RULE_SCOPE_PERSON, "did(\"A\", between 2026-02-01 and 2026-01-31)", "rule.value",
         "line 1, column 10:", "the earlier time first"},
        {RULE_SCOPE_PERSON, "did(\"A\", between 30d and 60d ago)", "rule.value",
         "line 1, column 10:", "the longer span first"},
    };
    expect_all_refused(ALL, ARRAY_LEN(ALL));
    expect_same(RULE_SCOPE_EVENT, "x == 2024-02-29 or x == 0001-01-01 or x > 9999999999999.99 CNY");
    expect_same(
        RULE_SCOPE_EVENT,
        "x == 9223372036854775807 or x == -9223372036854775808 or x == 0.000000000000000001");
    expect_same(RULE_SCOPE_PERSON,
                "did(\"A\", within 36525d) or did(\"A\", within 1200 calendar months)");
}

TEST(rule_an_amount_needs_a_currency_of_the_folder)
{
    RuleKit k;
    Rule rule;
    const RuleSchema none = {.currency = STR("")};
    rule_kit_open(&k, 1);
    EXPECT_I64(rule_parse(&k.ctx, STR("x > 3 CNY"), RULE_SCOPE_EVENT, &none, &rule), ERR_INVALID);
    EXPECT_STREQ(k.ctx.fault.hint,
                 "line 1, column 5: amounts are in no currency here, not in \"CNY\"");
    rule_kit_close(&k);
}

TEST(rule_faults_echo_at_most_forty_bytes_and_those_escaped)
{
    RuleKit k;
    Rule rule;
    Buf b = BUF_MAX(RULE_BYTES_MAX);
    rule_kit_open(&k, 1);
    buf_add(&b, STR("tier == \"\x1b[31m\\n"));
    repeat(&b, "\xe4\xb8\x8a", 400);
    buf_add(&b, STR("\""));
    EXPECT_I64(parse(&k, buf_str(&b), RULE_SCOPE_PERSON, &rule), ERR_INVALID);
    CHECK(strstr(k.ctx.fault.hint, "not closed") != NULL && strchr(k.ctx.fault.hint, 0x1b) == NULL);
    buf_clear(&b);
    buf_add(&b, STR("tier == \"\\u{1b}[31m\\n"));
    repeat(&b, "\xe4\xb8\x8a", 400);
    buf_add(&b, STR("\""));
    EXPECT_I64(parse(&k, buf_str(&b), RULE_SCOPE_PERSON, &rule), ERR_INVALID);
    EXPECT_STREQ(k.ctx.fault.hint, "line 1, column 9: \"person.tier\" has no label \"\\x1b[31m\\x0a"
                                   "\xe4\xb8\x8a\xe4\xb8\x8a\xe4\xb8\x8a\xe4\xb8\x8a\xe4\xb8\x8a"
                                   "\xe4\xb8\x8a\xe4\xb8\x8a\xe4\xb8\x8a\xe4\xb8\x8a...\"");
    buf_free(&b);
    rule_kit_close(&k);
}

/* ---- limits ---------------------------------------------------------------------------------- */

/* front, `count` times middle, back: read when `fits`, otherwise refused for `reason`. */
static void expect_limit(const char *front, const char *middle, int count, const char *back,
                         const char *reason)
{
    RuleKit k;
    Rule rule;
    Buf b = BUF_MAX(1 << 20);
    rule_kit_open(&k, 1);
    buf_add(&b, str_of(front));
    repeat(&b, middle, count);
    buf_add(&b, str_of(back));
    const Err err = parse(&k, buf_str(&b), RULE_SCOPE_EVENT, &rule);
    EXPECT_STREQ(err == ERR_OK ? "" : k.ctx.fault.reason, reason);
    buf_free(&b);
    rule_kit_close(&k);
}

TEST(rule_texts_have_their_limit_also_in_canonical_form)
{
    expect_limit("x == \"", "a", RULE_BYTES_MAX - 7, "\"", "");
    expect_limit("x == \"", "a", RULE_BYTES_MAX - 6, "\"", "rule.size");
    expect_limit("x==\"", "a", RULE_BYTES_MAX - 5, "\"",
                 "rule.size"); /* two spaces longer when written */
    expect_limit("x == 1", " ", RULE_BYTES_MAX - 6, "", "");
    expect_limit("x == 1", " ", RULE_BYTES_MAX - 5, "", "rule.size");
}

TEST(rule_trees_have_at_most_a_thousand_nodes)
{
    /* or, and per part a comparison with its two sides */
    expect_limit("x==1", " or x==1", 332, "", "");
    expect_limit("x==1", " or x==1", 333, "", "rule.nodes");
    expect_limit("true", " or true", 998, "", "");
    expect_limit("true", " or true", 999, "", "rule.nodes");
    expect_limit("(true or true)", " or (true or true)", 498, "", "");
    expect_limit("true", " or true", 2000, "", "rule.nodes");
}

TEST(rule_lists_have_at_most_a_thousand_entries)
{
    expect_limit("x in [1", ",1", 999, "]", "");
    expect_limit("x in [1", ",1", 1000, "]", "rule.list");
    RuleKit k;
    Rule rule;
    Buf b = BUF_MAX(RULE_BYTES_MAX);
    rule_kit_open(&k, 1);
    buf_add(&b, STR("[\"A\""));
    repeat(&b, ",\"A\"", 999);
    buf_add(&b, STR("]"));
    EXPECT_I64(parse(&k, buf_str(&b), RULE_SCOPE_STEP, &rule), ERR_OK);
    b.len--;
    buf_add(&b, STR(",\"A\"]"));
    EXPECT_I64(parse(&k, buf_str(&b), RULE_SCOPE_STEP, &rule), ERR_INVALID);
    EXPECT_STREQ(k.ctx.fault.reason, "rule.list");
    buf_free(&b);
    rule_kit_close(&k);
}

TEST(rule_names_have_the_limits_of_events)
{
    expect_limit("`", "a", EVENT_NAME_BYTES_MAX, "` == 1", "");
    expect_limit("`", "a", EVENT_NAME_BYTES_MAX + 1, "` == 1", "rule.length");
    expect_limit("a", "a", EVENT_NAME_BYTES_MAX, " == 1", "rule.length");
}

static uint32_t json_depth(JsonValue v, uint32_t open)
{
    uint32_t deepest = open;
    JsonValue child;
    Str key;
    const JsonType type = json_type(v);
    if (type == JSON_OBJECT || type == JSON_ARRAY)
        deepest = ++open;
    for (JsonIter i = json_items(v); json_next_item(&i, &child);) {
        const uint32_t d = json_depth(child, open);
        deepest = d > deepest ? d : deepest;
    }
    for (JsonIter i = json_fields(v); json_next_field(&i, &key, &child);) {
        const uint32_t d = json_depth(child, open);
        deepest = d > deepest ? d : deepest;
    }
    return deepest;
}

TEST(rule_trees_are_never_deeper_than_their_limit_as_json)
{
    /* Each `not` is one level; the comparison with an amount takes two more. */
    expect_limit("", "not ", RULE_DEPTH_MAX - 2, "x > 3 CNY", "");
    expect_limit("", "not ", RULE_DEPTH_MAX - 1, "x > 3 CNY", "rule.depth");
    expect_limit("", "not ", 4000, "x > 3", "rule.depth");
    expect_limit("", "(", 30, "x > 3))))))))))))))))))))))))))))))",
                 ""); /* needless ones leave no level */
    expect_limit("", "(", 10000, "x > 3", "rule.depth");
    expect_limit("", "x == 1 and (x == 2 or (", 6, "x == 3))))))))))))", "");
    expect_limit("", "x == 1 and (x == 2 or (", 7, "x == 3))))))))))))))", "rule.depth");
    RuleKit k;
    rule_kit_open(&k, 5);
    for (int i = 0; i < 3000; i++) {
        Rule rule;
        JsonValue root;
        Buf b = BUF_MAX(1 << 20);
        repeat(&b, "not ", 18);
        buf_add_char(&b, '(');
        rule_kit_random(&k, RULE_SCOPE_PERSON, &b);
        buf_add_char(&b, ')');
        if (parse(&k, buf_str(&b), RULE_SCOPE_PERSON, &rule) == ERR_OK) {
            CHECK(json_open(&k.ctx, rule_kit_json(&k, &rule), &root) == ERR_OK);
            CHECK(json_depth(root, 0) <= RULE_DEPTH_MAX);
        } else {
            EXPECT_STREQ(k.ctx.fault.reason, "rule.depth");
        }
        buf_free(&b);
        arena_reset(k.ctx.arena);
    }
    rule_kit_close(&k);
}

TEST(rule_text_that_is_not_utf8_is_refused_at_its_byte)
{
    expect_refused(RULE_SCOPE_EVENT, "x == \"\xff\"", "rule.text", "line 1, column 7:", "UTF-8");
    RuleKit k;
    Rule rule;
    rule_kit_open(&k, 1);
    EXPECT_I64(parse(&k, (Str){"x == \"\0\"", 8}, RULE_SCOPE_EVENT, &rule), ERR_INVALID);
    EXPECT_STREQ(k.ctx.fault.reason, "rule.text");
    rule_kit_close(&k);
}

/* ---- the tree form --------------------------------------------------------------------------- */

static void expect_json(RuleScope scope, const char *text, const char *want)
{
    RuleKit k;
    Rule rule, back;
    rule_kit_open(&k, 1);
    CHECK(parse(&k, str_of(text), scope, &rule) == ERR_OK);
    EXPECT_STREQ(to_c(&k, rule_kit_json(&k, &rule)), want);
    CHECK(read_json(&k, str_of(want), scope, &back) == ERR_OK && rule_same(&rule, &back));
    rule_kit_close(&k);
}

TEST(rule_json_has_an_object_per_node)
{
    expect_json(
        RULE_SCOPE_PERSON,
        "did(\"Order Completed\" where channel == \"web\", within 90d, count == 2) and not tier == gold",
        "{\"op\":\"and\",\"args\":[{\"did\":{\"event\":\"Order Completed\",\"where\":{\"op\":\"==\",\"left\":{\"prop\":"
        "\"channel\"},\"right\":\"web\"},\"within\":\"90d\",\"having\":[{\"op\":\"==\",\"left\":{\"count\":{}},\"right\":2}]"
        "}},{\"op\":\"not\",\"arg\":{\"op\":\"==\",\"left\":{\"person\":\"tier\"},\"right\":\"gold\"}}]}");
    expect_json(
        RULE_SCOPE_PERSON,
        "sequence(any event then any of (\"A\", [\"B\", \"C\"]) within 7d of first, between 9d and 2d ago)",
        "{\"sequence\":{\"steps\":[{\"any_event\":true},{\"any_of\":[{\"event\":\"A\"},{\"event\":[\"B\",\"C\"]}],\"within\":"
        "\"7d\",\"of_first\":true}],\"ago\":[\"9d\",\"2d\"]}}");
    expect_json(
        RULE_SCOPE_PERSON, "first(\"A\").store in [\"a\"] or last(\"A\") within 2 calendar weeks",
        "{\"op\":\"or\",\"args\":[{\"op\":\"in\",\"left\":{\"first\":{\"event\":\"A\",\"of\":{\"field\":\"store\"}}},\"right\":"
        "[\"a\"]},{\"op\":\"when\",\"left\":{\"last\":{\"event\":\"A\"}},\"calendar\":\"2 weeks\"}]}");
    expect_json(
        RULE_SCOPE_EVENT,
        "sum(items, price * qty) between 1 CNY and 2 CNY and x == 2026-01-31 and y == 9007199254740993",
        "{\"op\":\"and\",\"args\":[{\"op\":\"between\",\"left\":{\"sum\":{\"list\":\"items\",\"of\":{\"op\":\"*\",\"left\":{\"item\":"
        "\"price\"},\"right\":{\"item\":\"qty\"}}}},\"low\":{\"money\":\"1.00 CNY\"},\"high\":{\"money\":\"2.00 CNY\"}},{\"op\":"
        "\"==\",\"left\":{\"prop\":\"x\"},\"right\":{\"time\":\"2026-01-31\"}},{\"op\":\"==\",\"left\":{\"prop\":\"y\"},\"right\":"
        "{\"number\":\"9007199254740993\"}}]}");
    expect_json(
        RULE_SCOPE_EVENT, "person.tier at event == gold",
        "{\"op\":\"==\",\"left\":{\"person\":\"tier\",\"at\":\"event\"},\"right\":\"gold\"}");
    expect_json(RULE_SCOPE_STEP, "\"A\" where true", "{\"event\":\"A\",\"where\":true}");
}

TEST(rule_json_takes_a_short_form_of_count)
{
    RuleKit k;
    Rule a, b;
    rule_kit_open(&k, 1);
    CHECK(read_json(
              &k,
              STR("{\"did\":{\"event\":\"A\",\"within\":\"90d\",\"count\":{\">=\":2,\"<\":5}}}"),
              RULE_SCOPE_PERSON, &a) == ERR_OK);
    CHECK(parse(&k, STR("did(\"A\", within 90d, count >= 2, count < 5)"), RULE_SCOPE_PERSON, &b) ==
          ERR_OK);
    CHECK(rule_same(&a, &b));
    rule_kit_close(&k);
}

TEST(rule_json_faults_point_into_the_tree)
{
    static const struct {
        const char *json, *reason, *pointer, *part;
    } ALL[] = {
        {"3", "rule.json", "", "expected an object"},
        {"{}", "rule.json", "", "expected a condition"},
        {"{\"did\":{\"event\":\"A\",\"withn\":\"90d\"}}", "rule.json", "/did/withn",
         "did you mean \"within\"?"},
        {"{\"did\":{\"event\":\"A\",\"left\":1}}", "rule.json", "/did/left", "no place here"},
        {"{\"did\":{\"event\":\"A\",\"event\":\"B\"}}", "rule.json", "/did/event", "twice"},
        {"{\"did\":{}}", "rule.json", "/did", "one of \"event\""},
        {"{\"did\":{\"event\":\"A\",\"any_event\":true}}", "rule.json", "/did", "one of \"event\""},
        {"{\"did\":{\"event\":[]}}", "rule.json", "/did/event", "at least one"},
        {"{\"did\":{\"event\":\"A\",\"within\":\"9d\",\"since\":\"2026-01-01\"}}", "rule.json",
         "/did", "more than one window"},
        {"{\"did\":{\"event\":\"A\",\"having\":[{\"op\":\"and\",\"args\":[true,true]}]}}",
         "rule.scope", "/did/having/0", "comparisons"},
        {"{\"did\":{\"event\":\"A\",\"having\":[{\"op\":\"==\",\"left\":{\"person\":\"age\"},\"right\":3}]}}",
         "rule.scope", "/did/having/0/left", "count, days"},
        {"{\"did\":{\"event\":\"A\",\"having\":[{\"op\":\"==\",\"left\":{\"count\":{\"event\":\"A\"}},\"right\":3}]}}",
         "rule.scope", "/did/having/0/left", "no step of its own"},
        {"{\"op\":\"==\",\"left\":{\"count\":{}},\"right\":3}", "rule.scope", "/left",
         "inside did"},
        {"{\"op\":\"==\",\"left\":{\"count\":{\"within\":\"3d\"}},\"right\":3}", "rule.json",
         "/left/count", "needs a step"},
        {"{\"op\":\"==\",\"left\":{\"person\":\"age\"}}", "rule.json", "", "\"right\" is missing"},
        {"{\"op\":\"==\",\"left\":{\"person\":\"age\"},\"right\":null}", "rule.json", "/right",
         "found null"},
        {"{\"op\":\"==\",\"left\":{\"person\":\"age\"},\"right\":1e3}", "rule.value", "/right",
         "without an exponent"},
        {"{\"op\":\"==\",\"left\":{\"person\":\"age\"},\"right\":\"x\"}", "rule.type", "/right",
         "is a number"},
        {"{\"op\":\"in\",\"left\":{\"person\":\"tier\"},\"right\":[\"gold\",\"x\"]}", "rule.name",
         "/right/1", "no label"},
        {"{\"op\":\"==\",\"left\":{\"prop\":\"x\"},\"right\":1}", "rule.scope", "/left",
         "person.name"},
        {"{\"op\":\"==\",\"left\":{\"item\":\"x\"},\"right\":1}", "rule.scope", "/left",
         "inside any"},
        {"{\"op\":\"=\",\"left\":{\"person\":\"age\"},\"right\":1}", "rule.json", "/op",
         "no operator"},
        {"{\"op\":\"when\",\"left\":{\"person\":\"joined\"}}", "rule.json", "",
         "a window is missing"},
        {"{\"op\":\"and\",\"args\":[]}", "rule.json", "", "one condition at least"},
        {"{\"op\":\"and\",\"args\":[true,{\"op\":\"not\",\"arg\":{\"op\":\"is set\",\"left\":{\"person\":\"\"}}}]}",
         "rule.length", "/args/1/arg/left/person", "at least one"},
        {"{\"op\":\"==\",\"left\":{\"person\":\"spent\"},\"right\":{\"money\":\"3 USD\"}}",
         "rule.value", "/right/money", "amounts are in CNY"},
        {"{\"op\":\"==\",\"left\":{\"person\":\"a\\u0000\"},\"right\":3}", "rule.text",
         "/left/person", "U+0000"},
        {"{\"consents\":[\"sms\"]}", "rule.json", "/consents", "a list of two"},
        {"{\"sequence\":{\"steps\":[{\"event\":\"A\"}]}}", "rule.json", "/sequence/steps",
         "two steps"},
        {"{\"sequence\":{\"steps\":[{\"event\":\"A\",\"within\":\"3d\"},{\"event\":\"B\"}]}}",
         "rule.json", "/sequence/steps/0/within", "no place"},
        {"{\"sequence\":{\"steps\":[{\"event\":\"A\"},{\"event\":\"B\",\"of_first\":true}]}}",
         "rule.json", "/sequence/steps/1", "\"within\" is missing"},
    };
    for (size_t i = 0; i < ARRAY_LEN(ALL); i++)
        expect_json_refused(ALL[i].json, ALL[i].reason, ALL[i].pointer, ALL[i].part);
}

TEST(rule_json_faults_of_attributes_say_what_they_are_as_of)
{
    expect_json_refused("{\"op\":\"is set\",\"left\":{\"person\":\"age\",\"at\":\"now\"}}",
                        "rule.json", "/left/at", "\"event\"");
    expect_json_refused("{\"op\":\"is set\",\"left\":{\"person\":\"age\",\"at\":\"event\"}}",
                        "rule.scope", "/left", "which event");
    expect_json_refused("{\"op\":\"is set\",\"left\":{\"prop\":\"age\",\"at\":\"event\"}}",
                        "rule.json", "/left", "expected what is compared");
}

TEST(rule_json_of_ten_thousand_conditions_is_refused)
{
    RuleKit k;
    Rule rule;
    Buf b = BUF_MAX(1 << 20);
    rule_kit_open(&k, 1);
    buf_add(&b, STR("{\"op\":\"or\",\"args\":[true"));
    repeat(&b, ",true", 10000);
    buf_add(&b, STR("]}"));
    EXPECT_I64(read_json(&k, buf_str(&b), RULE_SCOPE_PERSON, &rule), ERR_INVALID);
    EXPECT_STREQ(k.ctx.fault.reason, "rule.nodes");
    buf_free(&b);
    rule_kit_close(&k);
}

TEST(rule_damaged_texts_are_refused_or_read_but_never_worse)
{
    RuleKit k;
    rule_kit_open(&k, 21);
    for (int i = 0; i < 6000; i++) {
        Rule rule;
        Buf b = BUF_MAX(1 << 20);
        rule_kit_random(&k, (RuleScope)(i % 3), &b);
        for (uint32_t n = 1 + rule_kit_below(&k, 3); n > 0 && b.len > 0; n--)
            b.ptr[rule_kit_below(&k, (uint32_t)b.len)] = (char)(' ' + rule_kit_below(&k, 95));
        const Str cut = str_slice(buf_str(&b), 0, rule_kit_below(&k, (uint32_t)b.len + 1));
        for (int c = 0; c < 2; c++)
            if (parse(&k, c == 0 ? cut : buf_str(&b), (RuleScope)(i % 3), &rule) != ERR_OK)
                CHECK(k.ctx.fault.code == ERR_INVALID && k.ctx.fault.hint[0] == 'l');
        buf_free(&b);
        arena_reset(k.ctx.arena);
    }
    rule_kit_close(&k);
}

TEST(rule_read_takes_a_rule_as_its_text_or_as_its_tree_and_no_other_json)
{
    RuleKit k;
    Rule text, tree;
    rule_kit_open(&k, 1);
    const RuleSchema *schema = rule_kit_schema();
    const Str quoted = STR("\"total > 3 CNY and gift == true\"");
    EXPECT_I64(rule_read(&k.ctx, quoted, RULE_SCOPE_EVENT, schema, &text), ERR_OK);
    EXPECT_I64(rule_read(&k.ctx, rule_kit_json(&k, &text), RULE_SCOPE_EVENT, schema, &tree),
               ERR_OK);
    CHECK(rule_same(&text, &tree));
    EXPECT_I64(rule_read(&k.ctx, STR("7"), RULE_SCOPE_EVENT, schema, &tree), ERR_INVALID);
    EXPECT_STREQ(k.ctx.fault.reason, "rule.json");
    EXPECT_I64(rule_read(&k.ctx, STR("{"), RULE_SCOPE_EVENT, schema, &tree), ERR_INVALID);
    CHECK(str_starts_with(str_of(k.ctx.fault.reason), STR("json.")));
    rule_kit_close(&k);
}
