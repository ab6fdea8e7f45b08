/*
 * rules/rule_testkit.h -- what tests and the fuzzer share: a schema of a small shop, random rules over
 * it, random people.
 */
#pragma once

#include "base/rand.h"
#include "base/test.h"
#include "rules/rule_eval.h"

enum { KIT_SEGMENTS = 3 };

typedef struct RuleKit {
    Ctx ctx;
    Prng random;
    Arena *kept; /* of the segments' rules, which outlive a reset of ctx.arena */
    Rule segments[KIT_SEGMENTS];
} RuleKit;

/* The segments of the shop, and their rules as text: labels stand in quotes, so that they are good texts, too. */
extern const struct RuleKitSegment {
    const char *name, *rule;
} RULE_KIT_SEGMENTS[KIT_SEGMENTS];

/* For RuleFacts.segment, with the kit as `arg`: rule_kit_person() sets both. */
const Rule *rule_kit_segment(void *kit, Str name);

void rule_kit_open(RuleKit *k, uint64_t seed);
void rule_kit_close(RuleKit *k);
uint32_t rule_kit_below(RuleKit *k, uint32_t n); /* random, [0, n) */

/*
 * A shop in CNY, eight hours east of Greenwich.  "Order Completed" has total, channel, quantity, weight,
 * gift, paid_at, status (open < paid < shipped), tags, items (sku, price, qty, gift), `odd name`; "Store
 * Visited" has visit_minutes; context page and device; people have city, age, spent, vip, joined, tier
 * (none < silver < gold < `super gold`), color (red, green: no order), interests; there are the segments Regulars, Others, 老客.
 * Everything else is unknown, for example `mystery`.
 */
const RuleSchema *rule_kit_schema(void);

/* The same, with unknown names refused. */
const RuleSchema *rule_kit_strict_schema(void);

/* Random text of a valid rule, with odd spaces and needless parentheses. */
void rule_kit_random(RuleKit *k, RuleScope scope, Buf *out);

/* The canonical text, and the tree form, in the arena. */
Str rule_kit_text(RuleKit *k, const Rule *rule);
Str rule_kit_json(RuleKit *k, const Rule *rule);

/* Up to `max` random events of the shop in order, up to `days` before now, and random attributes.  Some of the events
 * say of the person what then was so (EVENT_PERSON), more than four hours before now. */
void rule_kit_person(RuleKit *k, uint32_t max, uint32_t days, RuleFacts *out);
