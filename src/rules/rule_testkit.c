/*
 * rules/rule_testkit.c -- the shop of rules/rule_testkit.h.
 */
#include "rules/rule_testkit.h"

#define HOUR_MS INT64_C(3600000)
#define DAY_MS  (24 * HOUR_MS)
#define NOW_MS  INT64_C(1769839200000) /* 2026-01-31T14:00+08:00 */

const struct RuleKitSegment RULE_KIT_SEGMENTS[KIT_SEGMENTS] = {
    {"Regulars", "did(\"Order Completed\", within 90d, count >= 2)"},
    {"Others",
     "not segment(\"Regulars\") and did(any event where person.tier at event == \"gold\")"},
    {"\xe8\x80\x81\xe5\xae\xa2",
     "segment(\"Regulars\") and vip == true or last(\"Store Visited\").status == \"open\""},
};

void rule_kit_open(RuleKit *k, uint64_t seed)
{
    *k = (RuleKit){.ctx = {.arena = arena_new(1 << 16), .now_ms = NOW_MS},
                   .random = prng_of(seed),
                   .kept = arena_new(1 << 16)};
    Ctx kept = {.arena = k->kept, .now_ms = NOW_MS};
    for (size_t i = 0; i < KIT_SEGMENTS; i++)
        CHECK(rule_parse(&kept, str_of(RULE_KIT_SEGMENTS[i].rule), RULE_SCOPE_PERSON,
                         rule_kit_schema(), &k->segments[i]) == ERR_OK);
}

void rule_kit_close(RuleKit *k)
{
    arena_free(k->ctx.arena);
    arena_free(k->kept);
}

const Rule *rule_kit_segment(void *kit, Str name)
{
    const RuleKit *k = kit;
    for (size_t i = 0; i < KIT_SEGMENTS; i++)
        if (str_eq(name, str_of(RULE_KIT_SEGMENTS[i].name)))
            return &k->segments[i];
    return NULL;
}

uint32_t rule_kit_below(RuleKit *k, uint32_t n)
{
    return (uint32_t)prng_below(&k->random, n);
}

/* ---- the schema ------------------------------------------------------------------------------ */

static const Str STATUS[] = {{"open", 4}, {"paid", 4}, {"shipped", 7}};
static const Str TIER[] = {{"none", 4}, {"silver", 6}, {"gold", 4}, {"super gold", 10}};
static const Str COLOR[] = {{"red", 3}, {"green", 5}};
static const RuleEnum STATUSES = {STATUS, ARRAY_LEN(STATUS), true};
static const RuleEnum TIERS = {TIER, ARRAY_LEN(TIER), true};
static const RuleEnum COLORS = {COLOR, ARRAY_LEN(COLOR), false};

static const struct {
    RuleNameKind kind;
    const char *event; /* NULL: not of an event */
    const char *name;
    RuleType type;
    const RuleEnum *labels;
} NAMES[] = {
    {RULE_NAME_EVENT, NULL, "Order Completed", RULE_TYPE_UNKNOWN, NULL},
    {RULE_NAME_EVENT, NULL, "Store Visited", RULE_TYPE_UNKNOWN, NULL},
    {RULE_NAME_EVENT, NULL, "Page Viewed", RULE_TYPE_UNKNOWN, NULL},
    {RULE_NAME_PROP, "Order Completed", "total", RULE_TYPE_MONEY, NULL},
    {RULE_NAME_PROP, "Order Completed", "channel", RULE_TYPE_TEXT, NULL},
    {RULE_NAME_PROP, "Order Completed", "quantity", RULE_TYPE_NUMBER, NULL},
    {RULE_NAME_PROP, "Order Completed", "weight", RULE_TYPE_NUMBER, NULL},
    {RULE_NAME_PROP, "Order Completed", "gift", RULE_TYPE_BOOL, NULL},
    {RULE_NAME_PROP, "Order Completed", "paid_at", RULE_TYPE_TIME, NULL},
    {RULE_NAME_PROP, NULL, "status", RULE_TYPE_ENUM, &STATUSES},
    {RULE_NAME_PROP, "Order Completed", "tags", RULE_TYPE_TEXTS, NULL},
    {RULE_NAME_PROP, "Order Completed", "items", RULE_TYPE_ITEMS, NULL},
    {RULE_NAME_PROP, "Order Completed", "odd name", RULE_TYPE_TEXT, NULL},
    {RULE_NAME_PROP, "Store Visited", "visit_minutes", RULE_TYPE_NUMBER, NULL},
    {RULE_NAME_CONTEXT, NULL, "page", RULE_TYPE_TEXT, NULL},
    {RULE_NAME_CONTEXT, NULL, "device", RULE_TYPE_TEXT, NULL},
    {RULE_NAME_ITEM, NULL, "sku", RULE_TYPE_TEXT, NULL},
    {RULE_NAME_ITEM, NULL, "price", RULE_TYPE_MONEY, NULL},
    {RULE_NAME_ITEM, NULL, "qty", RULE_TYPE_NUMBER, NULL},
    {RULE_NAME_ITEM, NULL, "gift", RULE_TYPE_BOOL, NULL},
    {RULE_NAME_PERSON, NULL, "city", RULE_TYPE_TEXT, NULL},
    {RULE_NAME_PERSON, NULL, "age", RULE_TYPE_NUMBER, NULL},
    {RULE_NAME_PERSON, NULL, "spent", RULE_TYPE_MONEY, NULL},
    {RULE_NAME_PERSON, NULL, "vip", RULE_TYPE_BOOL, NULL},
    {RULE_NAME_PERSON, NULL, "joined", RULE_TYPE_TIME, NULL},
    {RULE_NAME_PERSON, NULL, "tier", RULE_TYPE_ENUM, &TIERS},
    {RULE_NAME_PERSON, NULL, "color", RULE_TYPE_ENUM, &COLORS},
    {RULE_NAME_PERSON, NULL, "interests", RULE_TYPE_TEXTS, NULL},
    {RULE_NAME_SEGMENT, NULL, "Regulars", RULE_TYPE_BOOL, NULL},
    {RULE_NAME_SEGMENT, NULL, "Others", RULE_TYPE_BOOL, NULL},
    {RULE_NAME_SEGMENT, NULL, "\xe8\x80\x81\xe5\xae\xa2", RULE_TYPE_BOOL, NULL},
};

/* A property counts when one of the events asked about may have it. */
static bool belongs(size_t i, const RuleAsk *ask)
{
    bool belongs = NAMES[i].event == NULL || ask->event_count == 0;
    for (uint32_t e = 0; e < ask->event_count && !belongs; e++)
        belongs = str_eq(ask->events[e], str_of(NAMES[i].event));
    return belongs && NAMES[i].kind == ask->kind;
}

static RuleDecl lookup(void *arg, const RuleAsk *ask)
{
    (void)arg;
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++)
        if (belongs(i, ask) && str_eq(ask->name, str_of(NAMES[i].name)))
            return (RuleDecl){true, NAMES[i].type, NAMES[i].labels};
    return (RuleDecl){.known = false};
}

static bool known(void *arg, const RuleAsk *ask, size_t i, Str *name)
{
    (void)arg;
    for (size_t n = 0; n < ARRAY_LEN(NAMES); n++) {
        if (!belongs(n, ask) || i-- > 0)
            continue;
        *name = str_of(NAMES[n].name);
        return true;
    }
    return false;
}

static int64_t to_utc(void *arg, int64_t local_ms)
{
    (void)arg;
    return local_ms - 8 * HOUR_MS;
}

#define SCHEMA                                                                                     \
    .currency = {"CNY", 3}, .exponent = 2, .lookup = lookup, .known = known, .to_utc = to_utc
static const RuleSchema LENIENT = {SCHEMA}, STRICT = {SCHEMA, .strict = true};

const RuleSchema *rule_kit_schema(void)
{
    return &LENIENT;
}

const RuleSchema *rule_kit_strict_schema(void)
{
    return &STRICT;
}

/* ---- random rules ---------------------------------------------------------------------------- */

typedef struct Writer {
    RuleKit *k;
    Buf *out;
} Writer;

#define PICK(w, words) ((words)[rule_kit_below((w)->k, ARRAY_LEN(words))])

static void put(Writer *w, const char *text)
{
    buf_add(w->out, str_of(text));
}

static bool chance(Writer *w, uint32_t one_of)
{
    return rule_kit_below(w->k, one_of) == 0;
}

/* Space where none is needed, or more than one. */
static void gap(Writer *w)
{
    static const char *const GAPS[] = {"", "", "", " ", "  ", "\n", "\t", " \r\n "};
    put(w, PICK(w, GAPS));
}

static void space(Writer *w)
{
    put(w, " ");
    gap(w);
}

static void comma(Writer *w)
{
    gap(w);
    put(w, ",");
    gap(w);
}

static void put_span(Writer *w)
{
    static const char *const UNITS[] = {"s", "min", "h", "d", "w"};
    buf_addf(w->out, "%u%s", 1 + rule_kit_below(w->k, 200), PICK(w, UNITS));
}

static void put_date(Writer *w)
{
    buf_addf(w->out, "20%02u-%02u-%02u", 20 + rule_kit_below(w->k, 7), 1 + rule_kit_below(w->k, 12),
             1 + rule_kit_below(w->k, 28));
}

static void put_time(Writer *w)
{
    static const char *const ZONES[] = {"", "", "Z", "+08:00", "-05:30", "+00:00"};
    put_date(w);
    if (chance(w, 2))
        return;
    buf_addf(w->out, "T%02u:%02u", rule_kit_below(w->k, 24), rule_kit_below(w->k, 60));
    if (chance(w, 3))
        buf_addf(w->out, ":%02u", rule_kit_below(w->k, 60));
    else
        put(w, chance(w, 4) ? ":59.907" : "");
    put(w, PICK(w, ZONES));
}

static void put_window(Writer *w)
{
    static const char *const UNITS[] = {"days", "day", "weeks", "months", "years"};
    switch (rule_kit_below(w->k, 6)) {
    case 0:
        put(w, "within "), put_span(w);
        return;
    case 1:
        buf_addf(w->out, "within %u calendar %s", 1 + rule_kit_below(w->k, 40), PICK(w, UNITS));
        return;
    case 2:
        put(w, "between 2019-"), put(w, chance(w, 2) ? "03-04" : "03-04T05:06"), put(w, " and "),
            put_time(w);
        return;
    case 3:
        put(w, "since "), put_time(w);
        return;
    case 4:
        put(w, "before "), put_time(w);
        return;
    default:
        buf_addf(w->out, "between %uw and %ud ago", 30 + rule_kit_below(w->k, 9),
                 1 + rule_kit_below(w->k, 200));
        return;
    }
}

static void maybe_window(Writer *w)
{
    if (chance(w, 2))
        return;
    comma(w);
    put_window(w);
}

static const char *const TEXTS[] = {"\"web\"",
                                    "\"\"",
                                    "\"S1\"",
                                    "\"a \\\"b\\\" \\\\ \\n\\u{1}\\u{4e0a}\"",
                                    "\"\xe4\xb8\x8a\xe6\xb5\xb7\"",
                                    "\"\xf0\x9f\x8e\x81\""};

static void put_number(Writer *w)
{
    static const char *const NUMBERS[] = {"0",
                                          "1",
                                          "2",
                                          "-3",
                                          "12.50",
                                          "0.001",
                                          "300",
                                          "-0.50",
                                          "-0",
                                          "007.10",
                                          "9223372036854775807",
                                          "-9223372036854775808",
                                          "0.000000000000000001"};
    put(w, PICK(w, NUMBERS));
}

static void put_money(Writer *w)
{
    static const char *const AMOUNTS[] = {"300.00 CNY", "0 CNY", "-12.5 CNY", "9999999 CNY",
                                          "3.86CNY"};
    put(w, PICK(w, AMOUNTS));
}

static void put_value(Writer *w, RuleType type, const RuleEnum *labels)
{
    const uint32_t label = labels == NULL ? 0 : rule_kit_below(w->k, labels->count);
    switch ((int)type) {
    case RULE_TYPE_BOOL:
        put(w, chance(w, 2) ? "true" : "false");
        return;
    case RULE_TYPE_NUMBER:
        put_number(w);
        return;
    case RULE_TYPE_MONEY:
        put_money(w);
        return;
    case RULE_TYPE_TIME:
        put_time(w);
        return;
    case RULE_TYPE_ENUM:
        if (chance(w, 2) || str_index(labels->labels[label], ' ', 0) >= 0)
            buf_addf(w->out, "\"%.*s\"", STR_ARG(labels->labels[label]));
        else
            buf_add(w->out, labels->labels[label]);
        return;
    default:
        put(w, PICK(w, TEXTS));
        return;
    }
}

static void put_list(Writer *w, RuleType type, const RuleEnum *labels)
{
    put(w, "[");
    gap(w);
    for (uint32_t n = 1 + rule_kit_below(w->k, 4); n > 0; n--) {
        put_value(w, type, labels);
        if (n > 1)
            comma(w);
    }
    gap(w);
    put(w, "]");
}

/* Behind an operand of that type. */
static void put_symbol(Writer *w, RuleType type, const RuleEnum *labels)
{
    static const char *const SYMBOLS[] = {"==", "!=", "<", "<=", ">", ">="};
    const bool ordered = type != RULE_TYPE_BOOL && (labels == NULL || labels->ordered);
    gap(w);
    put(w, SYMBOLS[rule_kit_below(w->k, ordered ? 6 : 2)]);
    gap(w);
    put_value(w, type, labels);
}

static void put_text_operator(Writer *w)
{
    static const char *const OPERATORS[] = {"contains ", "starts  with ", "ends with "};
    space(w);
    put(w, PICK(w, OPERATORS));
    put(w, PICK(w, TEXTS));
}

static void put_texts_operator(Writer *w)
{
    space(w);
    switch (rule_kit_below(w->k, 3)) {
    case 0:
        put(w, "contains "), put(w, PICK(w, TEXTS));
        return;
    case 1:
        put(w, "contains any "), put_list(w, RULE_TYPE_TEXT, NULL);
        return;
    default:
        put(w, "contains all"), put_list(w, RULE_TYPE_TEXT, NULL);
        return;
    }
}

static void put_comparison(Writer *w, RuleType type, const RuleEnum *labels)
{
    const uint32_t what = rule_kit_below(w->k, 8);
    if (type == RULE_TYPE_TEXTS) {
        put_texts_operator(w);
    } else if (what == 0) {
        put(w, chance(w, 2) ? " in " : " not in "), put_list(w, type, labels);
    } else if (what == 1 && type == RULE_TYPE_TEXT) {
        put_text_operator(w);
    } else if (what <= 3 && type == RULE_TYPE_TIME) {
        space(w), put_window(w);
    } else if (what == 2 && type == RULE_TYPE_NUMBER) {
        put(w, " between -5 and 7.5");
    } else if (what == 2 && type == RULE_TYPE_MONEY) {
        put(w, " between 1 CNY and 20.50 CNY");
    } else {
        put_symbol(w, type, labels);
    }
}

/* A random name of that kind, what stands behind it, and its comparison. */
static void put_named(Writer *w, RuleNameKind kind, const char *in_front, const char *behind)
{
    size_t i = 0;
    do
        i = rule_kit_below(w->k, ARRAY_LEN(NAMES));
    while (NAMES[i].kind != kind || NAMES[i].type == RULE_TYPE_ITEMS);
    const bool odd = str_index(str_of(NAMES[i].name), ' ', 0) >= 0 || chance(w, 5);
    put(w, in_front);
    buf_addf(w->out, odd ? "`%s`" : "%s", NAMES[i].name);
    put(w, behind);
    if (chance(w, 6))
        put(w, chance(w, 2) ? " is set" : " is  missing");
    else
        put_comparison(w, NAMES[i].type, NAMES[i].labels);
}

static void put_unknown(Writer *w)
{
    static const RuleType TYPES[] = {RULE_TYPE_BOOL, RULE_TYPE_NUMBER, RULE_TYPE_MONEY,
                                     RULE_TYPE_TEXT, RULE_TYPE_TIME,   RULE_TYPE_TEXTS};
    static const char *const UNKNOWN[] = {"mystery", "$x_1", "`and`", "`a.b \\` c`",
                                          "\xe6\x95\xb0\xe9\x87\x8f"};
    put(w, PICK(w, UNKNOWN));
    put_comparison(w, PICK(w, TYPES), NULL);
}

typedef enum Where { IN_PERSON, IN_EVENT, IN_ITEM } Where;

static void put_condition(Writer *w, Where where, uint32_t depth);

static void put_step(Writer *w, uint32_t depth);

static void put_item_leaf(Writer *w)
{
    if (chance(w, 4))
        put(w, "price * qty >= 3.5 CNY");
    else if (chance(w, 5))
        put_unknown(w);
    else
        put_named(w, RULE_NAME_ITEM, "", "");
}

static void put_event_leaf(Writer *w, uint32_t depth)
{
    static const char *const FIXED[] = {
        "event == \"Store Visited\"", "time within 5d",
        "store in [\"S1\", \"S2\"]",  "source is set",
        "count(items) > 2",           "sum(items, price * qty) >= 100.00 CNY",
        "sum(items, qty) == 3",       "quantity * weight < 7",
        "total*mystery != 0.10 CNY",  "segment(\"Regulars\")",
        "segment(\"Others\")",        "true"};
    switch (rule_kit_below(w->k, 7)) {
    case 0:
        put(w, chance(w, 2) ? "any(items" : "all( items"), comma(w);
        put_condition(w, IN_ITEM, depth);
        put(w, ")");
        return;
    case 1:
        put(w, "count(items where "), put_condition(w, IN_ITEM, depth), put(w, ") >= 2");
        return;
    case 2:
        put_named(w, RULE_NAME_PERSON, "person.", chance(w, 2) ? " at  event" : "");
        return;
    case 3:
        put_named(w, RULE_NAME_CONTEXT, "context.", "");
        return;
    case 4:
        put(w, PICK(w, FIXED));
        return;
    case 5:
        put_unknown(w);
        return;
    default:
        put_named(w, RULE_NAME_PROP, "", "");
        return;
    }
}

static void put_pick(Writer *w, uint32_t depth)
{
    static const char *const EVENTS[] = {"\"Order Completed\"", "any event", "\"Store Visited\"",
                                         "[\"Order Completed\",\"Page Viewed\"]",
                                         "[\"Page Viewed\"]"};
    put(w, PICK(w, EVENTS));
    if (chance(w, 2))
        return;
    put(w, " where ");
    put_condition(w, IN_EVENT, depth == 0 ? 0 : depth - 1);
}

static void put_step(Writer *w, uint32_t depth)
{
    if (!chance(w, 5)) {
        put_pick(w, depth);
        return;
    }
    put(w, "any of ("), put_pick(w, depth), comma(w), put_pick(w, depth), put(w, ")");
}

static void put_aggregate(Writer *w, bool inside, uint32_t depth)
{
    static const struct {
        const char *name, *of;
        RuleType type;
    } AGGREGATES[] = {
        {"count", NULL, RULE_TYPE_NUMBER},      {"sum", "total", RULE_TYPE_MONEY},
        {"avg", "weight", RULE_TYPE_NUMBER},    {"min", "paid_at", RULE_TYPE_TIME},
        {"max", "quantity", RULE_TYPE_NUMBER},  {"distinct", "store", RULE_TYPE_NUMBER},
        {"sum", "mystery", RULE_TYPE_NUMBER},   {"sum", "total * quantity", RULE_TYPE_MONEY},
        {"avg", "mystery", RULE_TYPE_MONEY},    {"distinct", "context.page", RULE_TYPE_NUMBER},
        {"days_active", NULL, RULE_TYPE_NUMBER}};
    const uint32_t i = rule_kit_below(w->k, ARRAY_LEN(AGGREGATES));
    const char *name = AGGREGATES[i].name, *of = AGGREGATES[i].of;
    put(w, inside && strcmp(name, "days_active") == 0 ? "days" : name);
    if (!inside || of != NULL)
        put(w, "(");
    if (!inside) {
        put_step(w, depth);
        if (of != NULL)
            comma(w);
    }
    put(w, of == NULL ? "" : of);
    if (!inside)
        maybe_window(w);
    if (!inside || of != NULL)
        put(w, ")");
    put_comparison(w, AGGREGATES[i].type, NULL);
}

static void put_did(Writer *w, uint32_t depth)
{
    put(w, "did("), put_step(w, depth);
    const bool late = chance(w, 3);
    if (!late)
        maybe_window(w);
    for (uint32_t n = rule_kit_below(w->k, 3); n > 0; n--)
        comma(w), put_aggregate(w, true, depth);
    if (late)
        maybe_window(w);
    put(w, ")");
}

static void put_sequence(Writer *w, uint32_t depth)
{
    put(w, "sequence("), put_step(w, depth);
    for (uint32_t n = 1 + rule_kit_below(w->k, 3); n > 0; n--) {
        put(w, " then "), put_step(w, depth);
        if (chance(w, 2))
            continue;
        put(w, " within "), put_span(w);
        if (chance(w, 3))
            put(w, " of first");
    }
    maybe_window(w);
    put(w, ")");
}

static void put_end(Writer *w, uint32_t depth)
{
    put(w, chance(w, 2) ? "first(" : "last("), put_step(w, depth), maybe_window(w), put(w, ")");
    switch (rule_kit_below(w->k, 4)) {
    case 0:
        put(w, "."), put_named(w, RULE_NAME_PROP, "", "");
        return;
    case 1:
        put(w, "."), put_named(w, RULE_NAME_CONTEXT, "context.", "");
        return;
    case 2:
        put(w, ".store"), put_comparison(w, RULE_TYPE_TEXT, NULL);
        return;
    default:
        put_comparison(w, RULE_TYPE_TIME, NULL);
        return;
    }
}

static void put_person_leaf(Writer *w, uint32_t depth)
{
    static const char *const FIXED[] = {
        "consents(\"sms\", \"marketing\")",      "segment( \"Regulars\" )",
        "segment(\"\xe8\x80\x81\xe5\xae\xa2\")", "false",
        "days_active(within 30d) >= 3",          "days_active() > 0"};
    switch (rule_kit_below(w->k, 9)) {
    case 0:
        put_aggregate(w, false, depth);
        return;
    case 1:
        put_sequence(w, depth);
        return;
    case 2:
        put(w, "stopped("), put_step(w, depth), comma(w), put(w, "for "), put_span(w),
            maybe_window(w), put(w, ")");
        return;
    case 3:
        put(w, "resumed("), put_step(w, depth), comma(w), put(w, "after "), put_span(w),
            put(w, ", within "), put_span(w), put(w, ")");
        return;
    case 4:
        put_end(w, depth);
        return;
    case 5:
        put(w, PICK(w, FIXED));
        return;
    case 6:
        put_named(w, RULE_NAME_PERSON, chance(w, 2) ? "person." : "", "");
        return;
    default:
        put_did(w, depth);
        return;
    }
}

static void put_leaf(Writer *w, Where where, uint32_t depth)
{
    if (where == IN_ITEM)
        put_item_leaf(w);
    else if (where == IN_EVENT)
        put_event_leaf(w, depth);
    else
        put_person_leaf(w, depth);
}

static void put_condition(Writer *w, Where where, uint32_t depth)
{
    const uint32_t what = depth == 0 ? 9 : rule_kit_below(w->k, 10);
    if (what == 0) {
        put(w, "not "), put_condition(w, where, depth - 1);
    } else if (what == 1 || chance(w, 12)) {
        put(w, "("), gap(w), put_condition(w, where, depth == 0 ? 0 : depth - 1), gap(w),
            put(w, ")");
    } else if (what <= 4) {
        const char *word = chance(w, 2) ? "and" : "or";
        put_condition(w, where, depth - 1);
        for (uint32_t n = 1 + rule_kit_below(w->k, 2); n > 0; n--)
            space(w), put(w, word), space(w), put_condition(w, where, depth - 1);
    } else {
        put_leaf(w, where, depth == 0 ? 0 : depth - 1);
    }
}

void rule_kit_random(RuleKit *k, RuleScope scope, Buf *out)
{
    Writer w = {k, out};
    const uint32_t depth = rule_kit_below(k, 4);
    gap(&w);
    if (scope == RULE_SCOPE_STEP)
        put_step(&w, depth);
    else
        put_condition(&w, scope == RULE_SCOPE_EVENT ? IN_EVENT : IN_PERSON, depth);
    gap(&w);
}

Str rule_kit_text(RuleKit *k, const Rule *rule)
{
    Buf b = BUF_MAX(RULE_BYTES_MAX);
    rule_format(rule, &b);
    CHECK(!b.overflowed);
    const Str text = arena_copy(k->ctx.arena, buf_str(&b));
    buf_free(&b);
    return text;
}

Str rule_kit_json(RuleKit *k, const Rule *rule)
{
    Buf b = BUF_MAX(1 << 20);
    JsonOut out = json_out(&b);
    rule_to_json(rule, &out);
    CHECK(json_out_done(&out) && !b.overflowed);
    const Str text = arena_copy(k->ctx.arena, buf_str(&b));
    buf_free(&b);
    return text;
}

/* ---- random people --------------------------------------------------------------------------- */

static void add_items(RuleKit *k, EventBuilder *b)
{
    event_items_begin(b, STR("items"));
    for (uint32_t n = rule_kit_below(k, 4); n > 0; n--) {
        event_item(b);
        if (rule_kit_below(k, 6) > 0)
            event_prop_text(b, STR("sku"), rule_kit_below(k, 2) == 0 ? STR("S1") : STR("web"));
        if (rule_kit_below(k, 6) > 0)
            event_prop_money(b, STR("price"), rule_kit_below(k, 9000));
        event_prop_decimal(b, STR("qty"), rule_kit_below(k, 40), (int)rule_kit_below(k, 2));
        if (rule_kit_below(k, 2) == 0)
            event_prop_bool(b, STR("gift"), rule_kit_below(k, 2) == 0);
    }
    event_items_end(b);
}

static Event *random_event(RuleKit *k, int64_t at_ms)
{
    static const char *const EVENTS[] = {"Order Completed", "Store Visited", "Page Viewed"};
    static const char *const STORES[] = {"", "S1", "S2"};
    Event head = {.kind = EVENT_HAPPENED,
                  .source = STR("till"),
                  .id = STR("1"),
                  .name = str_of(EVENTS[rule_kit_below(k, 3)]),
                  .store = str_of(STORES[rule_kit_below(k, 3)]),
                  .time_ms = at_ms,
                  .received_ms = at_ms};
    EventBuilder *b = event_begin(&k->ctx, &head);
    event_prop_money(b, STR("total"), rule_kit_below(k, 50000));
    event_prop_decimal(b, STR("weight"), rule_kit_below(k, 100), 1);
    if (rule_kit_below(k, 4) > 0)
        event_prop_i64(b, STR("quantity"), rule_kit_below(k, 5));
    event_prop_text(b, STR("channel"), rule_kit_below(k, 2) == 0 ? STR("web") : STR("till"));
    event_prop_bool(b, STR("gift"), rule_kit_below(k, 2) == 0);
    event_prop_time(b, STR("paid_at"), at_ms - (int64_t)rule_kit_below(k, 3) * HOUR_MS);
    event_prop_text(b, STR("status"), STATUS[rule_kit_below(k, 3)]);
    const Str tags[] = {STR("web"), STR("S1")};
    if (rule_kit_below(k, 5) > 0)
        event_prop_texts(b, STR("tags"), tags, rule_kit_below(k, 3));
    if (rule_kit_below(k, 5) > 0)
        add_items(k, b);
    event_context(b);
    event_prop_text(b, STR("page"), rule_kit_below(k, 2) == 0 ? STR("") : STR("S1"));
    Event *e = ARENA_NEW(k->ctx.arena, Event);
    CHECK(event_end(b, e) == ERR_OK);
    return e;
}

enum { ATTRIBUTES = 8 };

static void random_attributes(RuleKit *k, EventProp out[ATTRIBUTES])
{
    out[0] = (EventProp){.name = STR("city"), .type = EVENT_TEXT, .text = STR("web")};
    out[1] =
        (EventProp){.name = STR("tier"), .type = EVENT_TEXT, .text = TIER[rule_kit_below(k, 4)]};
    out[2] = (EventProp){.name = STR("vip"), .type = EVENT_BOOL, .i64 = rule_kit_below(k, 2)};
    out[3] = (EventProp){.name = STR("joined"), .type = EVENT_TIME, .i64 = NOW_MS - 3 * DAY_MS};
    out[4] = (EventProp){.name = STR("age"), .type = EVENT_NUMBER, .i64 = rule_kit_below(k, 90)};
    out[5] = (EventProp){.name = STR("mystery"), .type = EVENT_NONE};
    static const Str INTERESTS[] = {{"web", 3}, {"S1", 2}};
    out[6] = (EventProp){.name = STR("interests"),
                         .type = EVENT_TEXTS,
                         .texts = INTERESTS,
                         .count = rule_kit_below(k, 3)};
    out[7] = (EventProp){
        .name = STR("consent.sms.marketing"), .type = EVENT_BOOL, .i64 = rule_kit_below(k, 2)};
}

/* Something is said of the person: of each attribute perhaps, or that it is so no longer. */
static Event *random_record(RuleKit *k, int64_t at_ms)
{
    Event *e = ARENA_NEW(k->ctx.arena, Event);
    EventProp *props = ARENA_ARRAY(k->ctx.arena, EventProp, ATTRIBUTES);
    EventProp all[ATTRIBUTES];
    uint32_t count = 0;
    random_attributes(k, all);
    for (uint32_t i = 0; i < ATTRIBUTES; i++) {
        if (rule_kit_below(k, 2) == 0)
            continue;
        if (rule_kit_below(k, 4) == 0)
            all[i] = (EventProp){.name = all[i].name, .type = EVENT_NONE};
        props[count++] = all[i];
    }
    *e = (Event){.kind = EVENT_PERSON,
                 .source = STR("till"),
                 .id = STR("1"),
                 .time_ms = at_ms,
                 .received_ms = at_ms,
                 .props = props,
                 .prop_count = count};
    return e;
}

void rule_kit_person(RuleKit *k, uint32_t max, uint32_t days, RuleFacts *out)
{
    const uint32_t count = rule_kit_below(k, max + 1);
    const Event **events = ARENA_ARRAY(k->ctx.arena, const Event *, count + 1);
    EventProp *attributes = ARENA_ARRAY(k->ctx.arena, EventProp, ATTRIBUTES);
    int64_t at_ms = NOW_MS - (int64_t)days * DAY_MS;
    for (uint32_t i = 0; i < count; i++) {
        at_ms += rule_kit_below(k, 5) == 0
                     ? 0
                     : (int64_t)rule_kit_below(k, 2 * days) * DAY_MS / (count + 1);
        const bool is_past = at_ms < NOW_MS - 4 * HOUR_MS;
        events[i] =
            is_past && rule_kit_below(k, 4) == 0 ? random_record(k, at_ms) : random_event(k, at_ms);
    }
    random_attributes(k, attributes);
    *out = (RuleFacts){.now_ms = NOW_MS,
                       .events = events,
                       .event_count = count,
                       .attributes = attributes,
                       .attribute_count = ATTRIBUTES,
                       .segment = rule_kit_segment,
                       .arg = k,
                       .arena = k->ctx.arena};
}
