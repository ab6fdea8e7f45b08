/*
 * modules/analysis/analysis_segment_test.c -- rules about persons, asked of all at once and of one after the other.
 */
#include "modules/analysis/analysis_testkit.h"

/* ---- one rule ------------------------------------------------------------------------------------ */

/* Everything that rules are asked of. */
typedef struct Asking {
    Shop shop;
    Crew *crew;
    ScanView *view;
    uint32_t numbers[SHOP_PEOPLE]; /* of each person in the engine, 0 = without an event */
    uint32_t people;               /* who have one */
    uint32_t rules, some;          /* asked; of them, neither everybody nor no one */
    uint32_t ops[RULE_OP_COUNT];   /* rules with such a leaf that some were in */
} Asking;

static void open_asking(Asking *a, uint64_t seed)
{
    *a = (Asking){.crew = crew_new(2)};
    shop_open(&a->shop, seed);
    a->view = engine_view(a->shop.engine);
    const AnalysisNames names = shop_names(&a->shop);
    for (uint32_t number = PART_BLOCK_PERSONS; number < a->view->person_count; number++) {
        int64_t person = 0;
        CHECK(str_to_i64(schema_actor_of(names.schema, number).value, &person));
        a->numbers[person] = number;
        a->people++;
    }
}

static void close_asking(Asking *a)
{
    engine_view_done(a->view);
    crew_free(a->crew);
    shop_close(&a->shop);
}

static void note_leaves(const RuleNode *n, Asking *a)
{
    a->ops[n->op]++;
    for (uint32_t i = 0; i < n->count; i++)
        note_leaves(n->args[i], a);
}

static void compare_persons(Asking *a, const Rule *rule, Str text, const SegmentResult *got)
{
    uint32_t hits = 0;
    for (uint32_t person = 1; person < SHOP_PEOPLE; person++) {
        const uint32_t number = a->numbers[person];
        if (number == 0)
            continue;
        const bool is_in = people_next(&got->people, number) == number;
        const bool want = rule_person_matches(rule, &a->shop.people[person]);
        if (is_in != want)
            fprintf(stderr, "%.*s: person %u\n", STR_ARG(text), person);
        EXPECT_I64(is_in, want);
        hits += want;
    }
    EXPECT_I64((int64_t)got->people.count, hits);
    EXPECT_I64((int64_t)got->universe, a->people);
    a->rules++;
    if (hits == 0 || hits == a->people)
        return;
    a->some++;
    note_leaves(rule->root, a);
}

/* The reason when it is refused, "" otherwise. */
static const char *ask_rule(Asking *a, Str text)
{
    Ctx ctx = {.arena = arena_new(1 << 16), .now_ms = a->shop.kit.ctx.now_ms};
    const AnalysisNames names = shop_names(&a->shop);
    const Query q = {.view = a->view, .crew = a->crew};
    const Segment *segment = NULL;
    AnalysisTexts texts = {0};
    const char *reason = "";
    SegmentResult got;
    Rule rule;
    if (rule_parse(&ctx, text, RULE_SCOPE_PERSON, rule_kit_schema(), &rule) == ERR_OK &&
        analysis_segment(&ctx, &names, &rule, &texts, &segment) == ERR_OK) {
        CHECK(analysis_ask_texts(&ctx, &texts, 0, NULL) == ERR_OK);
        CHECK(analysis_ask_persons(&ctx, &q, &texts) == ERR_OK);
        CHECK(query_segment(&ctx, &q, segment, &got) == ERR_OK);
        compare_persons(a, &rule, text, &got);
    } else {
        reason = ctx.fault.reason;
    }
    arena_free(ctx.arena);
    return reason;
}

TEST(analysis_a_segment_has_the_persons_that_a_random_rule_holds_for)
{
    enum { RULES = 8000 };
    Asking a;
    open_asking(&a, 78);
    for (int i = 0; i < RULES; i++) {
        Buf text = BUF_MAX(RULE_BYTES_MAX * 4);
        rule_kit_random(&a.shop.kit, RULE_SCOPE_PERSON, &text);
        (void)ask_rule(&a, buf_str(&text));
        buf_free(&text);
    }
    CHECK(a.rules > RULES / 4 && a.some > RULES / 10); /* else little was shown */
    CHECK(a.ops[RULE_SEGMENT] > 50);
    close_asking(&a);
}

/* ---- rules whose limits lie among what people did ------------------------------------------------- */

static void put_one_of(RuleKit *k, Buf *out, const char *const *texts, uint32_t count)
{
    buf_add(out, str_of(texts[rule_kit_below(k, count)]));
}

#define PUT_ONE_OF(k, out, ...)                                                                    \
    do {                                                                                           \
        static const char *const texts_[] = {__VA_ARGS__};                                         \
        put_one_of(k, out, texts_, ARRAY_LEN(texts_));                                             \
    } while (0)

static void put_step(RuleKit *k, Buf *out)
{
    PUT_ONE_OF(k, out, "any event", "\"Order Completed\"", "[\"Page Viewed\", \"Store Visited\"]",
               "\"Order Completed\" where channel == \"web\"",
               "\"Store Visited\" where quantity >= 2",
               "\"Order Completed\" where any(items, qty >= 2 and price < 50 CNY)",
               "any event where sum(items, price * qty) > 80 CNY and tags contains \"S1\"",
               "any of (\"Page Viewed\", any event where gift == true)");
}

static void put_span(RuleKit *k, Buf *out)
{
    buf_addf(out, "%u%s", 1 + rule_kit_below(k, 90), rule_kit_below(k, 4) == 0 ? "h" : "d");
}

static void put_day(RuleKit *k, Buf *out)
{
    buf_addf(out, "2025-%02u-%02u", 8 + rule_kit_below(k, 5), 1 + rule_kit_below(k, 30));
}

static void put_window(RuleKit *k, Buf *out)
{
    switch (rule_kit_below(k, 10)) {
    case 0:
        buf_add(out, STR(", within "));
        put_span(k, out);
        return;
    case 1:
        buf_addf(out, ", within %u calendar ", 1 + rule_kit_below(k, 5));
        PUT_ONE_OF(k, out, "days", "weeks", "months", "years");
        return;
    case 2:
        buf_addf(out, ", between %ud and %ud ago", 50 + rule_kit_below(k, 90),
                 1 + rule_kit_below(k, 40));
        return;
    case 3:
    case 4:
        PUT_ONE_OF(k, out, ", since ", ", before ", ", between 2025-07-30 and ");
        put_day(k, out);
        return;
    default:
        return;
    }
}

static void put_link(RuleKit *k, Buf *out)
{
    if (rule_kit_below(k, 3) == 0)
        return;
    buf_add(out, STR(" within "));
    put_span(k, out);
    PUT_ONE_OF(k, out, "", " of first");
}

/* %s step, %v window, %d span, %t day, %l link, %o operator, %n small number, %q number with decimals, %m amount of
 * an order, %M of several. */
static void put_filled(RuleKit *k, Buf *out, const char *pattern)
{
    for (const char *at = pattern; *at != '\0'; at++) {
        if (*at != '%') {
            buf_add(out, (Str){at, 1});
            continue;
        }
        switch (*++at) {
        case 's':
            put_step(k, out);
            break;
        case 'v':
            put_window(k, out);
            break;
        case 'd':
            put_span(k, out);
            break;
        case 't':
            put_day(k, out);
            break;
        case 'l':
            put_link(k, out);
            break;
        case 'o':
            PUT_ONE_OF(k, out, "==", "!=", "<", "<=", ">", ">=");
            break;
        case 'q':
            buf_addf(out, "%u.%02u", rule_kit_below(k, 6), 25 * rule_kit_below(k, 4));
            break;
        case 'm':
            buf_addf(out, "%u.%02u CNY", rule_kit_below(k, 500), rule_kit_below(k, 100));
            break;
        case 'M':
            buf_addf(out, "%u CNY", rule_kit_below(k, 5000));
            break;
        default:
            buf_addf(out, "%u", rule_kit_below(k, 1 + rule_kit_below(k, 9)));
            break;
        }
    }
}

static const char *const LEAVES[] = {
    "did(%s%v)",
    "did(%s%v, count %o %n)",
    "did(%s%v, count in [%n, %n, %n], days %o %n)",
    "did(%s%v, days between 1 and %n, distinct(store) %o %n, sum(total) %o %M)",
    "did(%s, days >= 1, sum(weight) %o %q, avg(total) %o %m, distinct(store) > 0, max(quantity) >= 1,"
    " min(total) < %m, max(total) > 0.01 CNY, sum(quantity) > %n, min(weight) >= 0, max(weight) > 2.5,"
    " distinct(channel) >= 1, distinct(gift) %o %n, max(paid_at) since %t%v)",
    "count(%s%v) %o %n",
    "count(%s%v) not in [%n, %n]",
    "days_active(%s%v) %o %n",
    "sum(%s, total%v) %o %M",
    "sum(%s, weight%v) %o %q",
    "sum(%s, mystery%v) %o %n",
    "avg(%s, total%v) %o %m",
    "avg(%s, weight%v) %o %q",
    "avg(%s, quantity%v) %o %q",
    "avg(%s, quantity%v) in [%n, %q, %q]",
    "avg(%s, mystery%v) != %q",
    "sum(%s, total * quantity%v) %o %M",
    "sum(%s, quantity * weight%v) %o %q",
    "sum(%s, mystery * quantity%v) %o %n",
    "avg(%s, weight * total%v) %o %m",
    "avg(%s, weight * weight%v) %o %q",
    "min(%s, quantity * quantity%v) %o %n",
    "max(%s, total * weight%v) %o %m",
    "distinct(%s, quantity * weight%v) %o %n",
    "distinct(%s, quantity * mystery%v) %o %n",
    "did(%s%v, sum(total * quantity) %o %M, avg(weight) %o %q, distinct(weight * quantity) %o %n)",
    "did(%s, sum(weight * total) >= 0 CNY, avg(weight * quantity) >= 0, min(total * quantity) < %M,"
    " max(quantity * quantity) >= %n, sum(quantity) >= %n%v)",
    /* the product's columns would be the last and one more */
    "did(%s, sum(weight) >= 0, avg(weight) < 99, min(weight) >= 0, max(weight) >= 0, sum(quantity) >= 0,"
    " min(quantity) >= 0, max(quantity) >= 0, sum(weight * quantity) %o %q, days >= 1%v)",
    "min(%s, quantity%v) %o %n",
    "max(%s, weight%v) between %q and 9.9",
    "min(%s, time%v) %o %t",
    "max(%s, paid_at%v) within %d",
    "max(%s, time%v) within 2 calendar weeks",
    "distinct(%s, quantity%v) %o %n",
    "distinct(%s, store%v) %o %n",
    "distinct(%s, event%v) %o %n",
    "distinct(%s, gift%v) %o %n",
    "distinct(%s, time%v) %o %n",
    "distinct(%s, context.page%v) %o %n",
    "first(%s%v) %o %t",
    "last(%s%v) within %d",
    "last(%s%v) is missing",
    "first(%s%v).channel %o \"web\"",
    "last(%s%v).quantity %o %n",
    "last(%s%v).quantity is missing",
    "first(%s%v).store in [\"S1\", \"S3\"]",
    "last(%s%v).event not in [\"Page Viewed\", \"Store Visited\"]",
    "last(%s%v).status >= paid",
    "first(%s%v).context.page starts with \"S\"",
    "last(%s%v).paid_at < %t",
    "stopped(%s, for %d%v)",
    "resumed(%s, after %d, within %d)",
    "sequence(%s then %s%l%v)",
    "sequence(%s then %s%l then %s%l%v)",
    "sequence(%s then %s%l then %s%l then %s%l%v)",
};

/* Up to three leaves. */
static void put_rule(RuleKit *k, Buf *out)
{
    for (uint32_t n = rule_kit_below(k, 3);; n--) {
        PUT_ONE_OF(k, out, "", "", "not ");
        put_filled(k, out, LEAVES[rule_kit_below(k, ARRAY_LEN(LEAVES))]);
        if (n == 0)
            return;
        PUT_ONE_OF(k, out, " and ", " or ", " and not ");
    }
}

TEST(analysis_a_segment_has_the_persons_that_a_rule_near_their_numbers_holds_for)
{
    enum { RULES = 6000 };
    static const RuleOp OPS[] = {
        RULE_DID, RULE_STOPPED, RULE_RESUMED, RULE_SEQUENCE, RULE_COUNT, RULE_DAYS, RULE_SUM,
        RULE_AVG, RULE_MIN,     RULE_MAX,     RULE_DISTINCT, RULE_FIRST, RULE_LAST, RULE_WHEN};
    Asking a;
    open_asking(&a, 79);
    for (int i = 0; i < RULES; i++) {
        Buf text = BUF_MAX(RULE_BYTES_MAX);
        put_rule(&a.shop.kit, &text);
        const char *reason = ask_rule(&a, buf_str(&text));
        const bool swapped = str_eq(str_of(reason), STR("rule.value")); /* between 1 and 0 */
        if (!swapped && reason[0] != '\0')
            fprintf(stderr, "%.*s: %s\n", STR_ARG(buf_str(&text)), reason);
        CHECK(swapped || reason[0] == '\0');
        buf_free(&text);
    }
    CHECK(a.some > RULES / 2); /* else little was shown */
    for (size_t i = 0; i < ARRAY_LEN(OPS); i++)
        CHECK(a.ops[OPS[i]] > 50);
    close_asking(&a);
}

/* ---- refusals ------------------------------------------------------------------------------------ */

TEST(analysis_what_cannot_be_asked_of_all_persons_is_refused)
{
    static const struct {
        const char *rule, *reason;
    } REFUSED[] = {
        {"distinct(\"Order Completed\", status) > 1", "query.unsupported"},
    };
    Asking a;
    open_asking(&a, 80);
    for (size_t i = 0; i < ARRAY_LEN(REFUSED); i++)
        EXPECT_STREQ(ask_rule(&a, str_of(REFUSED[i].rule)), REFUSED[i].reason);
    Buf text = BUF_MAX(RULE_BYTES_MAX);
    buf_add(&text, STR("sequence(\"A\""));
    for (int i = 1; i <= SCAN_SELECTS_MAX; i++)
        buf_add(&text, STR(" then \"A\""));
    buf_add(&text, STR(")"));
    EXPECT_STREQ(ask_rule(&a, buf_str(&text)), "query.too_large");
    buf_free(&text);
    close_asking(&a);
}
