/*
 * rules/rule_fuzz.c -- any bytes: what is no rule is refused with a hint, what is one keeps its tree as
 * text and as JSON, evaluates, and explains.  The first byte chooses the scope and the form.
 */
#include "rules/rule_testkit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_refusal(const Ctx *ctx)
{
    CHECK(ctx->fault.code == ERR_INVALID && ctx->fault.hint[0] != '\0');
    CHECK(strncmp(ctx->fault.reason, "rule.", 5) == 0);
    CHECK(str_is_utf8(str_of(ctx->fault.hint)));
}

static void check_stable(RuleKit *k, const Rule *rule)
{
    const Str text = rule_kit_text(k, rule), json = rule_kit_json(k, rule);
    Rule again, back;
    JsonValue root;
    CHECK(text.len == rule->text_bytes);
    CHECK(rule_parse(&k->ctx, text, rule->scope, rule_kit_schema(), &again) == ERR_OK);
    CHECK(rule_same(rule, &again) && str_eq(text, rule_kit_text(k, &again)));
    CHECK(json_open(&k->ctx, json, &root) == ERR_OK);
    CHECK(rule_from_json(&k->ctx, root, rule->scope, rule_kit_schema(), &back) == ERR_OK);
    CHECK(rule_same(rule, &back) && str_eq(json, rule_kit_json(k, &back)));
}

/* Keeps whether the rule itself holds. */
static void check_told(const RuleExplained *node, void *arg)
{
    CHECK(node->text.len > 0 && node->text.len <= RULE_EXPLAIN_TEXT_MAX + 3);
    if (node->level == 0)
        *(bool *)arg = node->holds;
}

static void check_evaluates(RuleKit *k, const Rule *rule)
{
    RuleFacts facts;
    bool told = false;
    rule_kit_person(k, 6, 60, &facts);
    const bool person = rule->scope == RULE_SCOPE_PERSON;
    if (!person && facts.event_count == 0)
        return;
    const Event *event = person ? NULL : facts.events[0];
    const bool does =
        person ? rule_person_matches(rule, &facts) : rule_event_matches(rule, &facts, event);
    rule_explain(rule, &facts, event, check_told, &told);
    CHECK(told == does);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static RuleKit kit;
    if (kit.ctx.arena == NULL)
        rule_kit_open(&kit, 1);
    if (size == 0)
        return 0;
    kit.random = prng_of(1); /* the same people for the same input */
    const RuleScope scope = (RuleScope)(data[0] % 3);
    const Str text = {(const char *)data + 1, size - 1};
    Rule rule;
    JsonValue root;
    Err err;
    if (data[0] & 0x40)
        err = rule_parse(&kit.ctx, text, scope, rule_kit_schema(), &rule);
    else if (json_open(&kit.ctx, text, &root) == ERR_OK)
        err = rule_from_json(&kit.ctx, root, scope, rule_kit_schema(), &rule);
    else
        return arena_reset(kit.ctx.arena), 0;
    if (err != ERR_OK) {
        check_refusal(&kit.ctx);
    } else {
        check_stable(&kit, &rule);
        check_evaluates(&kit, &rule);
    }
    arena_reset(kit.ctx.arena);
    return 0;
}
