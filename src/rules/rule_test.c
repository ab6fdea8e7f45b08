/*
 * rules/rule_test.c -- reading and writing rules.
 */
#include "rules/rule_testkit.h"

static void round_trips(uint64_t seed, RuleScope scope, int rounds)
{
    RuleKit k;
    rule_kit_open(&k, seed);
    for (int i = 0; i < rounds; i++) {
        Buf b = BUF_MAX(1 << 20);
        rule_kit_random(&k, scope, &b);
        Rule rule, again, back;
        JsonValue root;
        if (rule_parse(&k.ctx, buf_str(&b), scope, rule_kit_schema(), &rule) != ERR_OK) {
            fprintf(stderr, "%.*s\n%s: %s\n", STR_ARG(buf_str(&b)), k.ctx.fault.reason,
                    k.ctx.fault.hint);
            CHECK(false);
        }
        const Str text = rule_kit_text(&k, &rule), json = rule_kit_json(&k, &rule);
        CHECK(rule_parse(&k.ctx, text, scope, rule_kit_schema(), &again) == ERR_OK);
        CHECK(rule_same(&rule, &again) && str_eq(text, rule_kit_text(&k, &again)));
        CHECK(json_open(&k.ctx, json, &root) == ERR_OK);
        if (rule_from_json(&k.ctx, root, scope, rule_kit_schema(), &back) != ERR_OK) {
            fprintf(stderr, "%.*s\n%.*s\n%s: %s\n", STR_ARG(text), STR_ARG(json),
                    k.ctx.fault.pointer, k.ctx.fault.hint);
            CHECK(false);
        }
        CHECK(rule_same(&rule, &back) && str_eq(json, rule_kit_json(&k, &back)));
        buf_free(&b);
        arena_reset(k.ctx.arena);
    }
    rule_kit_close(&k);
}

TEST(rule_random_ones_keep_their_tree_as_text_and_as_json)
{
    round_trips(1, RULE_SCOPE_PERSON, 10000);
    round_trips(2, RULE_SCOPE_EVENT, 6000);
    round_trips(3, RULE_SCOPE_STEP, 4000);
}
