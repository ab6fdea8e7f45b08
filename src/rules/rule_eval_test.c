/*
 * rules/rule_eval_test.c -- what rules say about one event and one person, checked by hand.
 *
 * Now is 2026-01-31T14:00+08:00, a Saturday.  People are built from lines of events, days before now.
 */
#include "rules/rule_testkit.h"

#define MIN_MS  INT64_C(60000)
#define HOUR_MS (60 * MIN_MS)
#define DAY_MS  (24 * HOUR_MS)

enum { EVENTS_MAX = 64, ATTRIBUTES_MAX = 16 };

typedef struct Person {
    RuleKit k;
    RuleFacts facts;
    const Event *events[EVENTS_MAX];
    EventProp attributes[ATTRIBUTES_MAX];
    RuleFixedZone zone;
} Person;

/* "Regulars" did A; "Others" are not among them; nobody is in the third, which takes many words to say so. */
static const Rule *segment_of(void *arg, Str name)
{
    RuleKit *k = arg;
    Buf many = BUF_MAX(RULE_BYTES_MAX);
    Rule *rule = ARENA_NEW(k->ctx.arena, Rule);
    buf_add(&many, STR("false"));
    for (int i = 1; i < 60; i++)
        buf_add(&many, STR(" or false"));
    const Str text = str_eq(name, STR("Regulars")) ? STR("did(\"A\")")
                     : str_eq(name, STR("Others")) ? STR("not segment(\"Regulars\")")
                                                   : buf_str(&many);
    CHECK(rule_parse(&k->ctx, text, RULE_SCOPE_PERSON, rule_kit_schema(), rule) == ERR_OK);
    buf_free(&many);
    return rule;
}

static void person_open(Person *p)
{
    *p = (Person){.zone = {.offset_min = 480, .cutover_hour = 4}};
    rule_kit_open(&p->k, 1);
    p->facts = (RuleFacts){.now_ms = p->k.ctx.now_ms,
                           .events = p->events,
                           .attributes = p->attributes,
                           .calendar = rule_calendar_fixed(&p->zone),
                           .segment = segment_of,
                           .arg = &p->k,
                           .arena = p->k.ctx.arena};
}

static void person_close(Person *p)
{
    rule_kit_close(&p->k);
}

/* An event that many milliseconds before now; its props come with the builder. */
static EventBuilder *begin_event(Person *p, const char *name, int64_t ago_ms)
{
    const Event head = {.kind = EVENT_HAPPENED,
                        .source = STR("till"),
                        .id = STR("1"),
                        .name = str_of(name),
                        .time_ms = p->facts.now_ms - ago_ms,
                        .received_ms = p->facts.now_ms};
    return event_begin(&p->k.ctx, &head);
}

static const Event *add_event(Person *p, EventBuilder *b)
{
    Event *e = ARENA_NEW(p->k.ctx.arena, Event);
    CHECK(event_end(b, e) == ERR_OK && p->facts.event_count < EVENTS_MAX);
    p->events[p->facts.event_count++] = e;
    return e;
}

static const Event *happened(Person *p, const char *name, int64_t ago_ms)
{
    return add_event(p, begin_event(p, name, ago_ms));
}

static const Event *order(Person *p, int64_t ago_ms, int64_t fen, const char *channel)
{
    EventBuilder *b = begin_event(p, "Order Completed", ago_ms);
    event_prop_money(b, STR("total"), fen);
    event_prop_text(b, STR("channel"), str_of(channel));
    return add_event(p, b);
}

static void attribute(Person *p, EventProp a)
{
    CHECK(p->facts.attribute_count < ATTRIBUTES_MAX);
    p->attributes[p->facts.attribute_count++] = a;
}

static Rule rule_of(Person *p, const char *text, RuleScope scope)
{
    Rule rule;
    if (rule_parse(&p->k.ctx, str_of(text), scope, rule_kit_schema(), &rule) != ERR_OK) {
        fprintf(stderr, "%s\n%s\n", text, p->k.ctx.fault.hint);
        test_stop();
    }
    return rule;
}

static void expect_person(Person *p, const char *text, bool want)
{
    const Rule rule = rule_of(p, text, RULE_SCOPE_PERSON);
    if (rule_person_matches(&rule, &p->facts) == want)
        return;
    fprintf(stderr, "%s is %s\n", text, want ? "false" : "true");
    test_stop();
}

static void expect_event(Person *p, const Event *e, const char *text, bool want)
{
    const Rule rule = rule_of(p, text, RULE_SCOPE_EVENT);
    if (rule_event_matches(&rule, &p->facts, e) == want)
        return;
    fprintf(stderr, "%s is %s\n", text, want ? "false" : "true");
    test_stop();
}

typedef struct Case {
    const char *text;
    bool want;
} Case;

static void expect_all(Person *p, const Event *e, const Case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (e == NULL)
            expect_person(p, cases[i].text, cases[i].want);
        else
            expect_event(p, e, cases[i].text, cases[i].want);
    }
}

/* ---- one event ------------------------------------------------------------------------------- */

static const Event *rich_event(Person *p)
{
    const Str tags[] = {STR("new"), STR("sale")};
    EventBuilder *b = begin_event(p, "Order Completed", HOUR_MS);
    event_prop_money(b, STR("total"), 30000);
    event_prop_text(b, STR("channel"), STR("web shop"));
    event_prop_i64(b, STR("quantity"), 3);
    event_prop_decimal(b, STR("weight"), 1250, 2);
    event_prop_bool(b, STR("gift"), true);
    event_prop_time(b, STR("paid_at"), INT64_C(1769788800000)); /* 2026-01-31T00:00+08:00 */
    event_prop_text(b, STR("status"), STR("paid"));
    event_prop_texts(b, STR("tags"), tags, 2);
    event_prop_texts(b, STR("none"), NULL, 0);
    event_prop_text(b, STR("odd name"), STR(""));
    event_prop_text(b, STR("mystery"), STR("5"));
    event_items_begin(b, STR("items"));
    event_item(b);
    event_prop_text(b, STR("sku"), STR("A"));
    event_prop_money(b, STR("price"), 1050);
    event_prop_i64(b, STR("qty"), 2);
    event_item(b);
    event_prop_text(b, STR("sku"), STR("B"));
    event_prop_money(b, STR("price"), 100);
    event_prop_decimal(b, STR("qty"), 5, 1);
    event_items_end(b);
    event_context(b);
    event_prop_text(b, STR("page"), STR("/h5/coupon"));
    return add_event(p, b);
}

TEST(rule_comparisons_are_exact)
{
    static const Case CASES[] = {
        {"total == 300 CNY", true},
        {"total > 299.99 CNY", true},
        {"total > 300.00 CNY", false},
        {"total >= 300.00 CNY", true},
        {"total between 300.00 CNY and 300.00 CNY", true},
        {"total between 300.01 CNY and 400.00 CNY", false},
        {"weight == 12.5", true},
        {"weight == 12.5000000000000001", false},
        {"weight < 12.5000000000000001", true},
        {"quantity in [1, 3.0]", true},
        {"quantity not in [1, 3]", false},
        {"quantity > -9223372036854775808", true},
        {"gift == true", true},
        {"gift != true", false},
        {"status >= paid", true},
        {"status > paid", false},
        {"status in [open, \"shipped\"]", false},
        {"status between open and paid", true},
    };
    Person p;
    person_open(&p);
    expect_all(&p, rich_event(&p), CASES, ARRAY_LEN(CASES));
    person_close(&p);
}

TEST(rule_texts_compare_by_bytes)
{
    static const Case CASES[] = {
        {"channel == \"web shop\"", true},
        {"channel == \"Web shop\"", false},
        {"channel > \"web\"", true},
        {"channel < \"wez\"", true},
        {"channel contains \"b s\"", true},
        {"channel contains \"B\"", false},
        {"channel contains \"\"", true},
        {"channel starts with \"web\"", true},
        {"channel starts with \"shop\"", false},
        {"channel ends with \"shop\"", true},
        {"`odd name` == \"\"", true},
        {"context.page starts with \"/h5/\"", true},
        {"event == \"Order Completed\"", true},
        {"source == \"till\"", true},
    };
    Person p;
    person_open(&p);
    expect_all(&p, rich_event(&p), CASES, ARRAY_LEN(CASES));
    person_close(&p);
}

TEST(rule_lists_of_texts_contain_whole_elements)
{
    static const Case CASES[] = {
        {"tags contains \"new\"", true},
        {"tags contains \"ne\"", false},
        {"tags contains any [\"x\", \"sale\"]", true},
        {"tags contains any [\"x\"]", false},
        {"tags contains all [\"sale\", \"new\"]", true},
        {"tags contains all [\"sale\", \"x\"]", false},
        {"none contains any [\"x\"]", false},
        {"none is set", true},
        {"mystery contains any [\"5\"]", false}, /* a text is no list */
        {"mystery contains \"5\"", true},        /* unknown: as its value is */
    };
    Person p;
    person_open(&p);
    expect_all(&p, rich_event(&p), CASES, ARRAY_LEN(CASES));
    person_close(&p);
}

TEST(rule_a_missing_value_is_in_no_comparison_but_the_complements)
{
    static const Case CASES[] = {
        {"nothing == 1", false},
        {"nothing != 1", true},
        {"nothing < 1", false},
        {"nothing >= 1", false},
        {"nothing in [1, 2]", false},
        {"nothing not in [1, 2]", true},
        {"nothing between 1 and 2", false},
        {"nothing contains \"\"", false},
        {"nothing starts with \"\"", false},
        {"nothing within 10d", false},
        {"nothing is set", false},
        {"nothing is missing", true},
        {"not nothing == 1", true},
        {"store == \"S1\"", false},
        {"store is missing", true},
        {"store != \"S1\"", true},
        {"quantity * nothing >= 0", false},
    };
    Person p;
    person_open(&p);
    expect_all(&p, rich_event(&p), CASES, ARRAY_LEN(CASES));
    person_close(&p);
}

TEST(rule_a_value_of_another_type_is_missing_but_set)
{
    static const Case CASES[] = {
        {"mystery == 5", false},          {"mystery != 5", true},
        {"mystery == \"5\"", true},       {"mystery < 6", false},
        {"mystery == 5.00 CNY", false},   {"mystery is set", true},
        {"mystery == 2026-01-31", false},
    };
    Person p;
    person_open(&p);
    const Event *e = rich_event(&p);
    expect_all(&p, e, CASES, ARRAY_LEN(CASES));
    EventBuilder *b = begin_event(&p, "Order Completed", 0);
    event_prop_text(b, STR("total"), STR("300.00"));
    event_prop_text(b, STR("status"), STR("lost"));
    e = add_event(&p, b);
    expect_event(&p, e, "total is set", true);
    expect_event(&p, e, "total >= 0 CNY", false);
    expect_event(&p, e, "status is set", true);
    expect_event(&p, e, "status >= open", false);
    expect_event(&p, e, "status not in [open, paid, shipped]", true);
    expect_person(&p, "last(\"Order Completed\").total is set", true);
    expect_person(&p, "first(\"Page Viewed\").total is set", false);
    person_close(&p);
}

TEST(rule_a_date_is_the_whole_civil_day)
{
    static const Case CASES[] = {
        {"paid_at == 2026-01-31", true},
        {"paid_at >= 2026-01-31", true},
        {"paid_at > 2026-01-30", true},
        {"paid_at > 2026-01-31", false},
        {"paid_at <= 2026-01-31", true},
        {"paid_at < 2026-01-31", false},
        {"paid_at <= 2026-01-30", false},
        {"paid_at != 2026-01-30", true},
        {"paid_at in [2026-01-30, 2026-01-31]", true},
        {"paid_at == 2026-01-31T00:00", true},
        {"paid_at == 2026-01-30T16:00Z", true},
        {"paid_at == 2026-01-31T00:00:00.001", false},
        {"paid_at == 2026-01-31T01:00+09:00", true},
        {"paid_at between 2026-01-30 and 2026-01-31", true},
        {"paid_at between 2026-01-30 and 2026-01-30", false},
        {"paid_at since 2026-01-31", true},
        {"paid_at before 2026-01-31", false},
        {"time within 1h", false}, /* an hour ago is not within it */
        {"time within 61min", true},
        {"time within 1 calendar day", true},
    };
    Person p;
    person_open(&p);
    expect_all(&p, rich_event(&p), CASES, ARRAY_LEN(CASES));
    person_close(&p);
}

TEST(rule_records_are_asked_one_by_one)
{
    static const Case CASES[] = {
        {"any(items, sku == \"A\" and qty >= 2)", true},
        {"any(items, sku == \"A\" and qty < 2)", false},
        {"all(items, price >= 1.00 CNY)", true},
        {"all(items, qty >= 1)", false},
        {"all(items, gift is missing)", true},
        {"any(none, sku == \"A\")", false},
        {"all(nothing, sku == \"A\")", false},
        {"not any(nothing, sku == \"A\")", true},
        {"count(items) == 2", true},
        {"count(items where sku != \"A\") == 1", true},
        {"count(nothing) == 0", true},
        {"sum(items, qty) == 2.5", true},
        {"sum(items, price * qty) == 21.50 CNY", true},
        {"sum(items, price) < 11.50 CNY", false},
        {"sum(items, gift2) == 0", true},
        {"sum(nothing, price) == 0 CNY", true},
        {"quantity * weight == 37.5", true},
        {"total * quantity == 900 CNY", true},
        {"total * mystery == 900 CNY", false},
    };
    Person p;
    person_open(&p);
    expect_all(&p, rich_event(&p), CASES, ARRAY_LEN(CASES));
    person_close(&p);
}

TEST(rule_products_that_are_no_number_are_missing)
{
    Person p;
    person_open(&p);
    EventBuilder *b = begin_event(&p, "Page Viewed", 0);
    event_prop_i64(b, STR("big"), INT64_MAX);
    event_prop_i64(b, STR("low"), INT64_MIN);
    event_prop_i64(b, STR("minus"), -1);
    event_prop_i64(b, STR("two"), 2);
    event_prop_decimal(b, STR("tiny"), 1, 18);
    event_prop_decimal(b, STR("tenth"), 1, 1);
    event_prop_decimal(b, STR("five"), 50, 1);
    const Event *e = add_event(&p, b);
    expect_event(&p, e, "big * two > 0", false);
    expect_event(&p, e, "big * minus == -9223372036854775807", true);
    expect_event(&p, e, "low * minus > 0", false);
    expect_event(&p, e, "low * two < 0", false);
    expect_event(&p, e, "tiny * tenth > 0", false);
    expect_event(&p, e, "five * tiny == 0.000000000000000005", true);
    expect_event(&p, e, "big * tiny == 9.223372036854775807", true);
    expect_event(&p, e, "five * tenth == 0.5", true);
    person_close(&p);
}

TEST(rule_sums_never_overflow)
{
    Person p;
    person_open(&p);
    for (int i = 0; i < 20; i++) {
        EventBuilder *b = begin_event(&p, "Page Viewed", (20 - i) * HOUR_MS);
        event_prop_i64(b, STR("n"), i % 2 == 0 ? INT64_MAX : INT64_MAX - 1);
        event_prop_decimal(b, STR("m"), INT64_MIN + i, 18);
        add_event(&p, b);
    }
    expect_person(&p, "sum(\"Page Viewed\", n) > 9223372036854775807", true);
    expect_person(&p, "avg(\"Page Viewed\", n) < 9223372036854775807", true);
    expect_person(&p, "avg(\"Page Viewed\", n) > 9223372036854775806", true);
    expect_person(&p, "sum(\"Page Viewed\", m) < -184", true);
    expect_person(&p, "avg(\"Page Viewed\", m) between -9.2233720368547758 and -9.2233720368547757",
                  true);
    person_close(&p);
}

TEST(rule_steps_select_events)
{
    static const struct {
        const char *text;
        bool order, visit;
    } CASES[] = {
        {"\"Order Completed\"", true, false},
        {"any event", true, true},
        {"[\"Order Completed\", \"Store Visited\"]", true, true},
        {"any event where total > 1.00 CNY", true, false},
        {"any of (\"Order Completed\" where total > 900 CNY, \"Store Visited\")", false, true},
        {"\"Order Completed\" where person.city == \"X\"", true, false},
    };
    Person p;
    person_open(&p);
    attribute(&p, (EventProp){.name = STR("city"), .type = EVENT_TEXT, .text = STR("X")});
    const Event *o = rich_event(&p), *v = happened(&p, "Store Visited", 0);
    Event link = *v;
    link.kind = EVENT_LINK;
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        const Rule rule = rule_of(&p, CASES[i].text, RULE_SCOPE_STEP);
        EXPECT_I64(rule_event_matches(&rule, &p.facts, o), CASES[i].order);
        EXPECT_I64(rule_event_matches(&rule, &p.facts, v), CASES[i].visit);
        EXPECT_I64(rule_event_matches(&rule, &p.facts, &link), false);
    }
    person_close(&p);
}

/* ---- one person ------------------------------------------------------------------------------ */

TEST(rule_attributes_are_those_of_now)
{
    static const Case CASES[] = {
        {"city == \"X\"", true},
        {"person.city == \"X\"", true},
        {"tier >= gold", true},
        {"tier < \"super gold\"", true},
        {"tier != gold", false},
        {"color == red", false},
        {"color is set", false},
        {"consents(\"sms\", \"marketing\")", true},
        {"consents(\"sms\", \"service\")", false},
        {"consents(\"mail\", \"marketing\")", false},
        {"consents(\"wecom\", \"marketing\")", false},
        {"joined within 3d", false},
        {"joined within 4d", true},
        {"true", true},
        {"false", false},
        {"true and not false or false", true},
        {"interests contains \"tea\"", true},
    };
    const Str interests[] = {STR("tea")};
    Person p;
    person_open(&p);
    attribute(&p, (EventProp){.name = STR("city"), .type = EVENT_TEXT, .text = STR("X")});
    attribute(&p, (EventProp){.name = STR("tier"), .type = EVENT_TEXT, .text = STR("gold")});
    attribute(&p, (EventProp){.name = STR("color"), .type = EVENT_NONE});
    attribute(
        &p,
        (EventProp){.name = STR("joined"), .type = EVENT_TIME, .i64 = p.facts.now_ms - 3 * DAY_MS});
    attribute(
        &p,
        (EventProp){.name = STR("interests"), .type = EVENT_TEXTS, .count = 1, .texts = interests});
    attribute(&p,
              (EventProp){.name = STR("consent.sms.marketing"), .type = EVENT_BOOL, .i64 = true});
    attribute(&p, (EventProp){.name = STR("consent.mail.marketing"), .type = EVENT_BOOL});
    attribute(&p, (EventProp){.name = STR("consent.wecom.marketing"),
                              .type = EVENT_TEXT,
                              .text = STR("yes")});
    expect_all(&p, NULL, CASES, ARRAY_LEN(CASES));
    person_close(&p);
}

TEST(rule_segments_are_their_rules_as_of_now)
{
    Person p;
    person_open(&p);
    const Event *b = happened(&p, "B", 2 * DAY_MS);
    expect_person(&p, "segment(\"Regulars\")", false);
    expect_person(&p, "segment(\"Others\") and not segment(\"Regulars\")", true);
    happened(&p, "A", DAY_MS);
    expect_person(&p, "segment(\"Regulars\")", true);
    expect_person(&p, "segment(\"Others\") or segment(\"\xe8\x80\x81\xe5\xae\xa2\")", false);
    expect_event(&p, b, "segment(\"Regulars\")", true); /* though A came later */
    expect_person(&p, "did(\"B\" where segment(\"Regulars\"))", true);
    p.facts.segment = NULL;
    expect_person(&p, "segment(\"Regulars\") or segment(\"Others\")", false);
    person_close(&p);
}

/* A record of what was then so: {name, a text or NULL for no longer}. */
static void said(Person *p, int64_t ago_ms, const char *name, const char *value)
{
    EventProp *prop = ARENA_NEW(p->k.ctx.arena, EventProp);
    Event *e = ARENA_NEW(p->k.ctx.arena, Event);
    *prop = (EventProp){.name = str_of(name), .type = value == NULL ? EVENT_NONE : EVENT_TEXT};
    if (value != NULL)
        prop->text = str_of(value);
    *e = (Event){
        .kind = EVENT_PERSON, .time_ms = p->facts.now_ms - ago_ms, .props = prop, .prop_count = 1};
    CHECK(p->facts.event_count < EVENTS_MAX);
    p->events[p->facts.event_count++] = e;
}

TEST(rule_attributes_as_of_the_event_are_what_was_said_last_before_it)
{
    Person p;
    person_open(&p);
    attribute(&p, (EventProp){.name = STR("city"), .type = EVENT_TEXT, .text = STR("now")});
    const Event *before = happened(&p, "A", 9 * DAY_MS);
    const Event *first = happened(&p, "A", 8 * DAY_MS);
    said(&p, 8 * DAY_MS, "city", "X");
    said(&p, 8 * DAY_MS, "tier", "gold");
    const Event *second = happened(&p, "A", 8 * DAY_MS);
    said(&p, 7 * DAY_MS, "city", "Y");
    const Event *third = happened(&p, "A", 6 * DAY_MS);
    said(&p, 6 * DAY_MS, "city", NULL);
    const Event *last = happened(&p, "A", DAY_MS);
    expect_event(&p, before, "person.city at event is missing", true);
    expect_event(&p, before, "person.city at event != \"X\"", true);
    expect_event(&p, before, "person.city == \"now\"", true);
    expect_event(&p, first, "person.city at event is set", false);
    expect_event(&p, second, "person.city at event == \"X\"", true);
    expect_event(&p, second, "person.tier at event >= gold", true);
    expect_event(&p, third, "person.city at event == \"Y\" and person.tier at event == gold", true);
    expect_event(&p, last, "person.city at event is missing", true);
    expect_event(&p, last, "person.tier at event == gold", true);
    expect_person(&p, "did(\"A\" where person.city at event == \"X\", count == 1)", true);
    expect_person(&p, "count(\"A\" where person.city at event in [\"X\", \"Y\"]) == 2", true);
    expect_person(&p, "last(\"A\" where person.city at event is set) within 7d", true);
    expect_person(&p, "did(\"A\" where person.city at event == \"now\")", false);
    /* An event that is not among them came last. */
    const Event late = {.kind = EVENT_HAPPENED, .time_ms = p.facts.now_ms - 8 * DAY_MS};
    expect_event(&p, &late, "person.city at event == \"X\"", true);
    person_close(&p);
}

TEST(rule_within_ends_now_and_begins_just_behind_its_start)
{
    Person p;
    person_open(&p);
    happened(&p, "A", 30 * DAY_MS);
    happened(&p, "B", 30 * DAY_MS - 1);
    happened(&p, "C", 0);
    happened(&p, "D", -1);
    static const Case CASES[] = {
        {"did(\"A\", within 30d)", false},
        {"did(\"A\", within 31d)", true},
        {"did(\"B\", within 30d)", true},
        {"did(\"C\", within 1s)", true},
        {"did(\"D\", within 1s)", false}, /* later than now: not seen */
        {"did(\"D\")", false},
        {"did(\"D\", since 2020-01-01)", false},
        {"did(\"A\", between 60d and 30d ago)", true}, /* the two share no event and miss none */
        {"did(\"B\", between 60d and 30d ago)", false},
        {"did(\"A\", between 30d and 1d ago)", false},
        {"did(\"C\", between 30d and 1s ago)", false},
    };
    expect_all(&p, NULL, CASES, ARRAY_LEN(CASES));
    person_close(&p);
}

TEST(rule_dates_in_windows_are_whole_civil_days)
{
    Person p;
    person_open(&p);
    /* Now is 14:00; 38 hours before it is 2026-01-30T00:00 here. */
    happened(&p, "A", 38 * HOUR_MS + 1);
    happened(&p, "B", 38 * HOUR_MS);
    happened(&p, "C", 14 * HOUR_MS + 1);
    happened(&p, "D", 14 * HOUR_MS);
    static const Case CASES[] = {
        {"did(\"A\", between 2026-01-30 and 2026-01-30)", false},
        {"did(\"B\", between 2026-01-30 and 2026-01-30)", true},
        {"did(\"C\", between 2026-01-30 and 2026-01-30)", true},
        {"did(\"D\", between 2026-01-30 and 2026-01-30)", false},
        {"did(\"D\", between 2026-01-30 and 2026-01-31)", true},
        {"did(\"A\", since 2026-01-30)", false},
        {"did(\"B\", since 2026-01-30)", true},
        {"did(\"A\", before 2026-01-30)", true},
        {"did(\"B\", before 2026-01-30)", false},
        {"did(\"D\", between 2026-01-30T10:00 and 2026-01-31T00:00)", true},
        {"did(\"D\", between 2026-01-30T10:00 and 2026-01-30T23:59:59.999)", false},
    };
    expect_all(&p, NULL, CASES, ARRAY_LEN(CASES));
    person_close(&p);
}

TEST(rule_calendar_windows_count_business_days_with_their_cut_over)
{
    Person p;
    person_open(&p);
    /* The business day began at 04:00, ten hours ago; Saturday, so the week began five days before. */
    happened(&p, "Last year", (30 * 24 + 10) * HOUR_MS + 1);
    happened(&p, "Year", (30 * 24 + 10) * HOUR_MS); /* 2026-01-01T04:00 */
    happened(&p, "Week", (5 * 24 + 10) * HOUR_MS);
    happened(&p, "Yesterday", 10 * HOUR_MS + 1);
    happened(&p, "Today", 10 * HOUR_MS);
    static const Case CASES[] = {
        {"did(\"Today\", within 1 calendar day)", true},
        {"did(\"Yesterday\", within 1 calendar day)", false},
        {"did(\"Yesterday\", within 2 calendar days)", true},
        {"did(\"Week\", within 1 calendar week)", true},
        {"did(\"Year\", within 1 calendar week)", false},
        {"did(\"Year\", within 1 calendar month)", true},
        {"did(\"Last year\", within 1 calendar month)", false},
        {"did(\"Last year\", within 2 calendar months)", true},
        {"did(\"Year\", within 1 calendar year)", true},
        {"did(\"Last year\", within 1 calendar year)", false},
        {"did(\"Last year\", within 2 calendar years)", true},
        {"days_active() == 4", false},
        {"days_active() == 5", true}, /* yesterday's two o'clock at night is yesterday */
        {"days_active(\"Today\") == 1", true},
        {"did(any event, within 1 calendar week, days == 3)", true},
    };
    expect_all(&p, NULL, CASES, ARRAY_LEN(CASES));
    p.facts.calendar = (RuleCalendar){0}; /* days of UTC: now is 06:00, today begins then */
    expect_person(&p, "did(\"Today\", within 1 calendar day)", false);
    expect_person(&p, "did(\"Today\", within 2 calendar days)", true);
    person_close(&p);
}

TEST(rule_did_wants_all_its_conditions_on_the_events_of_its_window)
{
    Person p;
    person_open(&p);
    order(&p, 100 * DAY_MS, 100000, "web");
    order(&p, 3 * DAY_MS, 10000, "web");
    order(&p, 2 * DAY_MS, 20001, "till");
    happened(&p, "Order Completed", DAY_MS); /* without a total */
    static const Case CASES[] = {
        {"did(\"Order Completed\", within 90d, count >= 3, sum(total) > 300.00 CNY)", true},
        {"did(\"Order Completed\", within 90d, count >= 4)", false},
        {"did(\"Order Completed\", within 90d, sum(total) > 300.01 CNY)", false},
        {"did(\"Order Completed\", count == 4, sum(total) == 1300.01 CNY)", true},
        {"did(\"Order Completed\", within 90d, avg(total) > 150.00 CNY, avg(total) < 150.01 CNY)",
         true},
        {"did(\"Order Completed\", min(total) == 100.00 CNY, max(total) == 1000.00 CNY)", true},
        {"did(\"Order Completed\", distinct(channel) == 2)", true},
        {"did(\"Order Completed\" where channel == \"web\", distinct(total) == 2)", true},
        {"did(\"Order Completed\", days == 4)", true},
        {"did(\"Order Completed\", distinct(nothing) == 0)", true},
        {"did(\"Store Visited\")", false},
        {"did(\"Store Visited\", count == 0)", true},
        {"did(\"Store Visited\", count <= 3)", true},
        {"did(\"Store Visited\", sum(total) == 0 CNY)", false}, /* count >= 1 goes without saying */
        {"not did(\"Store Visited\")", true},
    };
    expect_all(&p, NULL, CASES, ARRAY_LEN(CASES));
    person_close(&p);
}

TEST(rule_values_over_events_compare_like_others)
{
    Person p;
    person_open(&p);
    order(&p, 9 * DAY_MS, 5000, "web");
    order(&p, 2 * DAY_MS, 7000, "till");
    order(&p, 2 * DAY_MS, 9000, "app"); /* the same time, arrived later */
    static const Case CASES[] = {
        {"count(\"Order Completed\") == 3", true},
        {"count(\"Order Completed\", within 5d) in [2, 7]", true},
        {"sum(\"Order Completed\", total) between 210.00 CNY and 211.00 CNY", true},
        {"sum(\"Store Visited\", total) == 0 CNY", true},
        {"avg(\"Order Completed\", total) == 70 CNY", true},
        {"avg(\"Store Visited\", total) < 70 CNY", false},
        {"avg(\"Store Visited\", total) != 70 CNY", true},
        {"max(\"Order Completed\", total, within 5d) == 90.00 CNY", true},
        {"min(\"Order Completed\", time) within 9d", false},
        {"min(\"Order Completed\", time) within 10d", true},
        {"distinct(\"Order Completed\", channel) == 3", true},
        {"distinct(\"Order Completed\", source) == 1", true},
        {"first(\"Order Completed\").channel == \"web\"", true},
        {"first(\"Order Completed\", within 5d).channel == \"till\"", true},
        {"last(\"Order Completed\").channel == \"app\"", true},
        {"last(\"Order Completed\" where total < 80 CNY).channel == \"till\"", true},
        {"last(\"Order Completed\").source == \"till\"", true},
        {"last(\"Order Completed\") within 3d", true},
        {"last(\"Order Completed\") within 2d", false},
        {"first(\"Order Completed\") < 2026-01-23", true},
        {"first(\"Order Completed\") == 2026-01-22", true},
        {"last(\"Store Visited\") is missing", true},
        {"last(\"Store Visited\") within 3d", false},
        {"not last(\"Store Visited\") within 3d", true},
        {"days_active(within 5d) == 1", true},
        {"days_active(\"Order Completed\") == 2", true},
    };
    expect_all(&p, NULL, CASES, ARRAY_LEN(CASES));
    person_close(&p);
}

TEST(rule_distinct_counts_equal_values_of_one_type_once)
{
    Person p;
    person_open(&p);
    for (int i = 0; i < 12; i++) {
        EventBuilder *b = begin_event(&p, "A", (12 - i) * HOUR_MS);
        if (i % 4 == 0)
            event_prop_decimal(b, STR("x"), 50, 1);
        else if (i % 4 == 1)
            event_prop_i64(b, STR("x"), 5);
        else if (i % 4 == 2)
            event_prop_text(b, STR("x"), STR("5"));
        else
            event_prop_bool(b, STR("x"), i > 6);
        add_event(&p, b);
    }
    expect_person(&p, "distinct(\"A\", x) == 4", true);
    expect_person(&p, "distinct(\"A\", x, within 2h) == 1", true);
    person_close(&p);
}

TEST(rule_sequences_want_distinct_events_in_order)
{
    Person p;
    person_open(&p);
    happened(&p, "A", 20 * DAY_MS);
    happened(&p, "B", 13 * DAY_MS); /* exactly 7 days later */
    happened(&p, "A", 5 * DAY_MS);
    happened(&p, "C", 5 * DAY_MS); /* the same time, arrived later */
    happened(&p, "B", 4 * DAY_MS);
    static const Case CASES[] = {
        {"sequence(\"A\" then \"B\")", true},
        {"sequence(\"A\" then \"B\" within 1d)", false},
        {"sequence(\"A\" then \"B\" within 25h)", true},
        {"sequence(\"A\" then \"B\" within 7d, between 30d and 10d ago)", false},
        {"sequence(\"A\" then \"B\" within 8d, between 30d and 10d ago)", true},
        {"sequence(\"A\" then \"C\" within 1s)", true},
        {"sequence(\"C\" then \"A\")", false},
        {"sequence(\"C\" then \"A\", within 6d)", false},
        {"sequence(\"A\" then \"A\")", true},
        {"sequence(\"A\" then \"A\" then \"A\")", false},
        {"sequence(any event then any event then any event then any event then any event)", true},
        {"sequence(\"A\" then \"B\" then \"B\" within 10d of first)", false},
        {"sequence(\"A\" then \"B\" then \"B\" within 17d of first)", true},
        {"sequence(\"A\" then \"B\" then \"B\" within 16d of first)", false},
        {"sequence(\"A\" then \"C\" then \"B\" within 2d of first)", true},
        {"sequence(\"A\" then \"B\", within 5d)", false},
        {"sequence(\"A\" then \"B\", within 6d)", true},
        {"sequence(\"C\" then any of (\"A\", \"B\" where x is missing))", true},
    };
    expect_all(&p, NULL, CASES, ARRAY_LEN(CASES));
    person_close(&p);
}

TEST(rule_stopped_did_it_before_and_not_lately)
{
    Person p;
    person_open(&p);
    happened(&p, "A", 40 * DAY_MS);
    happened(&p, "B", 40 * DAY_MS);
    happened(&p, "C", 30 * DAY_MS);
    happened(&p, "B", 30 * DAY_MS - 1);
    static const Case CASES[] = {
        {"stopped(\"A\", for 30d)", true},
        {"stopped(\"A\", for 40d)", true}, /* exactly 40 days ago is not in the last 40 */
        {"stopped(\"A\", for 41d)", false},
        {"stopped(\"B\", for 30d)", false},
        {"stopped(\"C\", for 30d)", true},
        {"stopped(\"D\", for 30d)", false},
        {"stopped(\"A\", for 30d, within 40d)", false},
        {"stopped(\"A\", for 30d, within 41d)", true},
        {"stopped(\"A\", for 30d, before 2025-12-01)", false},
    };
    expect_all(&p, NULL, CASES, ARRAY_LEN(CASES));
    person_close(&p);
}

TEST(rule_resumed_came_back_after_a_pause)
{
    Person p;
    person_open(&p);
    happened(&p, "A", 70 * DAY_MS);
    happened(&p, "B", 66 * DAY_MS);
    happened(&p, "A", 6 * DAY_MS); /* a pause of 64 days */
    happened(&p, "B", 6 * DAY_MS); /* of exactly 60 */
    happened(&p, "C", 6 * DAY_MS);
    happened(&p, "A", 1 * DAY_MS);
    static const Case CASES[] = {
        {"resumed(\"A\", after 60d, within 7d)", true},
        {"resumed(\"A\", after 64d, within 7d)", true},
        {"resumed(\"A\", after 65d, within 7d)", false},
        {"resumed(\"A\", after 60d, within 2d)", false}, /* the one before came 5 days earlier */
        {"resumed(\"B\", after 60d, within 7d)", true},
        {"resumed(\"B\", after 60d, within 6d)", false}, /* not in the last 6 days */
        {"resumed(\"C\", after 60d, within 7d)", false}, /* never before */
        {"resumed(\"D\", after 60d, within 7d)", false},
    };
    expect_all(&p, NULL, CASES, ARRAY_LEN(CASES));
    person_close(&p);
}

/* ---- a slow obvious model of sequences ------------------------------------------------------- */

typedef struct Chain {
    const RuleFacts *facts;
    const char letters[3];
    int64_t limit_ms[3];
    bool of_first[3];
} Chain;

/* Every way to choose events i < j < k. */
static bool chain_exists(const Chain *c)
{
    const RuleFacts *f = c->facts;
    for (size_t i = 0; i < f->event_count; i++)
        for (size_t j = i + 1; j < f->event_count; j++)
            for (size_t l = j + 1; l < f->event_count; l++) {
                const Event *e[] = {f->events[i], f->events[j], f->events[l]};
                bool fits = true;
                for (int s = 0; s < 3; s++) {
                    const int64_t from =
                        c->of_first[s] ? e[0]->time_ms : e[s > 0 ? s - 1 : 0]->time_ms;
                    fits = fits && e[s]->name.ptr[0] == c->letters[s] &&
                           (s == 0 || c->limit_ms[s] == 0 || e[s]->time_ms - from < c->limit_ms[s]);
                }
                if (fits)
                    return true;
            }
    return false;
}

TEST(rule_sequences_agree_with_trying_every_chain)
{
    static const char *const NAMES[] = {"A", "B", "C"};
    for (uint64_t seed = 1; seed <= 1500; seed++) {
        Person p;
        person_open(&p);
        p.k.random = prng_of(seed);
        int64_t ago_ms = 40 * HOUR_MS;
        for (uint32_t n = rule_kit_below(&p.k, 14); n > 0; n--) {
            ago_ms -= (int64_t)rule_kit_below(&p.k, 4) * HOUR_MS;
            happened(&p, NAMES[rule_kit_below(&p.k, 3)], ago_ms < 0 ? 0 : ago_ms);
        }
        Chain c = {.facts = &p.facts, .letters = {'A', 'B', NAMES[rule_kit_below(&p.k, 3)][0]}};
        Buf b = BUF_MAX(1000);
        buf_add(&b, STR("sequence(\"A\""));
        for (int s = 1; s < 3; s++) {
            const uint32_t hours = rule_kit_below(&p.k, 9);
            c.limit_ms[s] = hours * HOUR_MS;
            c.of_first[s] = hours > 0 && rule_kit_below(&p.k, 2) == 0;
            buf_addf(&b, " then \"%c\"", c.letters[s]);
            if (hours > 0)
                buf_addf(&b, " within %uh%s", hours, c.of_first[s] ? " of first" : "");
        }
        buf_add(&b, STR(")"));
        buf_add_char(&b, '\0');
        expect_person(&p, b.ptr, chain_exists(&c));
        buf_free(&b);
        person_close(&p);
    }
}

TEST(rule_random_rules_answer_and_their_negation_says_the_opposite)
{
    RuleKit k;
    rule_kit_open(&k, 11);
    int held = 0;
    for (int i = 0; i < 4000; i++) {
        RuleFacts facts;
        Rule rule, negated;
        Buf b = BUF_MAX(1 << 20), n = BUF_MAX(1 << 20);
        rule_kit_random(&k, RULE_SCOPE_PERSON, &b);
        buf_addf(&n, "not (%.*s)", STR_ARG(buf_str(&b)));
        CHECK(rule_parse(&k.ctx, buf_str(&b), RULE_SCOPE_PERSON, rule_kit_schema(), &rule) ==
              ERR_OK);
        CHECK(rule_parse(&k.ctx, buf_str(&n), RULE_SCOPE_PERSON, rule_kit_schema(), &negated) ==
              ERR_OK);
        rule_kit_person(&k, 12, 90, &facts);
        const bool holds = rule_person_matches(&rule, &facts);
        CHECK(holds != rule_person_matches(&negated, &facts));
        held += holds;
        buf_free(&b), buf_free(&n);
        arena_reset(k.ctx.arena);
    }
    CHECK(held > 400 && held < 3600);
    rule_kit_close(&k);
}

/* ---- explaining ------------------------------------------------------------------------------ */

/* A line for each node. */
static void put_told(const RuleExplained *node, void *arg)
{
    Buf *out = arg;
    buf_addf(out, "%-4s%*s%.*s", node->holds ? "yes" : "no", (int)(2 * node->level), "",
             STR_ARG(node->text));
    if (node->found.len > 0)
        buf_addf(out, "   -- %.*s", STR_ARG(node->found));
    buf_add_char(out, '\n');
}

static void expect_told(Person *p, const char *text, RuleScope scope, const Event *e,
                        const char *want)
{
    const Rule rule = rule_of(p, text, scope);
    Buf b = BUF_MAX(1 << 16);
    rule_explain(&rule, &p->facts, e, put_told, &b);
    buf_add_char(&b, '\0');
    EXPECT_STREQ(b.ptr, want);
    buf_free(&b);
}

TEST(rule_explaining_tells_each_node_with_what_was_found)
{
    Person p;
    person_open(&p);
    attribute(&p, (EventProp){.name = STR("city"), .type = EVENT_TEXT, .text = STR("X")});
    order(&p, 3 * DAY_MS, 10000, "web");
    order(&p, 2 * DAY_MS, 20001, "till");
    happened(&p, "Order Completed", DAY_MS);
    expect_told(
        &p,
        "did(\"Order Completed\", within 90d, count >= 2, sum(total) > 300.01 CNY, avg(total) > 1 CNY) "
        "or not city == \"Y\" and last(\"Store Visited\") within 3d",
        RULE_SCOPE_PERSON, NULL,
        "no  did(\"Order Completed\", within 90d, count >= 2, sum(total) > 300.01 CNY, avg(total) > 1.00 CNY) "
        "or not person.city == \"Y\" and last(\"Store Visited\") within 3d\n"
        "no    did(\"Order Completed\", within 90d, count >= 2, sum(total) > 300.01 CNY, avg(total) > 1.00 CNY)"
        "   -- 3 events, the first at 2026-01-28 14:00:00+08:00, the last at 2026-01-30 14:00:00+08:00\n"
        "yes     count >= 2   -- 3\n"
        "no      sum(total) > 300.01 CNY   -- 300.01 CNY\n"
        "yes     avg(total) > 1.00 CNY   -- 150.005 CNY\n"
        "no    not person.city == \"Y\" and last(\"Store Visited\") within 3d\n"
        "yes     not person.city == \"Y\"\n"
        "no        person.city == \"Y\"   -- \"X\"\n"
        "no      last(\"Store Visited\") within 3d   -- nothing\n");
    expect_told(
        &p, "sequence(\"Order Completed\" then \"Store Visited\" within 1d)", RULE_SCOPE_PERSON,
        NULL,
        "no  sequence(\"Order Completed\" then \"Store Visited\" within 1d)   -- 1 of 2 steps\n"
        "yes   \"Order Completed\"   -- 3 events, the first at 2026-01-28 14:00:00+08:00, the last at "
        "2026-01-30 14:00:00+08:00\n"
        "no    \"Store Visited\"   -- 0 events\n");
    expect_told(&p, "any of (\"Order Completed\" where total > 200 CNY, \"Page Viewed\")",
                RULE_SCOPE_STEP, p.events[1],
                "yes any of (\"Order Completed\" where total > 200.00 CNY, \"Page Viewed\")\n"
                "yes   \"Order Completed\" where total > 200.00 CNY\n"
                "yes     total > 200.00 CNY   -- 200.01 CNY\n"
                "no    \"Page Viewed\"\n");
    person_close(&p);
}

TEST(rule_explaining_a_segment_tells_its_rule)
{
    Person p;
    person_open(&p);
    happened(&p, "A", DAY_MS);
    expect_told(&p, "vip == true or segment(\"Others\")", RULE_SCOPE_PERSON, NULL,
                "no  person.vip == true or segment(\"Others\")\n"
                "no    person.vip == true   -- nothing\n"
                "no    segment(\"Others\")\n"
                "no      not segment(\"Regulars\")\n"
                "yes       segment(\"Regulars\")\n"
                "yes         did(\"A\")   -- 1 event, at 2026-01-30 14:00:00+08:00\n");
    expect_told(&p, "segment(\"Regulars\")", RULE_SCOPE_EVENT, p.events[0],
                "yes segment(\"Regulars\")\n"
                "yes   did(\"A\")   -- 1 event, at 2026-01-30 14:00:00+08:00\n");
    person_close(&p);
}

static void count_told(const RuleExplained *node, void *arg)
{
    (void)node;
    ++*(int64_t *)arg;
}

TEST(rule_explaining_many_segments_ends)
{
    Person p;
    Buf text = BUF_MAX(RULE_BYTES_MAX);
    int64_t nodes = 0;
    person_open(&p);
    for (int i = 0; i < 600; i++)
        buf_addf(&text, "%ssegment(\"\xe8\x80\x81\xe5\xae\xa2\")", i == 0 ? "" : " or ");
    buf_add_char(&text, '\0');
    const Rule rule = rule_of(&p, text.ptr, RULE_SCOPE_PERSON);
    rule_explain(&rule, &p.facts, NULL, count_told, &nodes);
    CHECK(nodes > 600 && nodes <= RULE_EXPLAIN_NODES_MAX + 600);
    buf_free(&text);
    person_close(&p);
}

TEST(rule_explaining_tells_how_many_records_hold)
{
    Person p;
    person_open(&p);
    const Event *e = rich_event(&p);
    expect_told(&p, "any(items, sku == \"A\") and all(nothing, sku == \"A\")", RULE_SCOPE_EVENT, e,
                "no  any(items, sku == \"A\") and all(nothing, sku == \"A\")\n"
                "yes   any(items, sku == \"A\")   -- 1 of 2 records\n"
                "no    all(nothing, sku == \"A\")   -- nothing\n");
    person_close(&p);
}

TEST(rule_explaining_tells_averages_and_products_as_they_are)
{
    Person p;
    person_open(&p);
    for (int i = 0; i < 3; i++) {
        EventBuilder *b = begin_event(&p, "A", (3 - i) * HOUR_MS);
        event_prop_i64(b, STR("n"), i == 0 ? -2 : 0);
        event_prop_money(b, STR("m"), -386);
        event_prop_decimal(b, STR("half"), 5, 1);
        add_event(&p, b);
    }
    expect_told(&p, "avg(\"A\", n) < 0", RULE_SCOPE_PERSON, NULL,
                "yes avg(\"A\", n) < 0   -- about -0.6666\n");
    expect_told(&p, "sum(\"A\", m * half) < 0 CNY", RULE_SCOPE_PERSON, NULL,
                "yes sum(\"A\", m * half) < 0.00 CNY   -- -5.79 CNY\n");
    person_close(&p);
}

/* Whether the rule itself holds. */
static void keep_first(const RuleExplained *node, void *arg)
{
    if (node->level == 0)
        *(bool *)arg = node->holds;
}

TEST(rule_explaining_and_answering_agree)
{
    static const RuleScope SCOPES[] = {RULE_SCOPE_PERSON, RULE_SCOPE_EVENT, RULE_SCOPE_STEP};
    RuleKit k;
    rule_kit_open(&k, 12);
    for (int i = 0; i < 3000; i++) {
        const RuleScope scope = SCOPES[i % 3];
        RuleFacts facts;
        Rule rule;
        bool told = false;
        Buf b = BUF_MAX(1 << 20);
        rule_kit_random(&k, scope, &b);
        CHECK(rule_parse(&k.ctx, buf_str(&b), scope, rule_kit_schema(), &rule) == ERR_OK);
        do
            rule_kit_person(&k, 12, 90, &facts);
        while (facts.event_count == 0);
        const Event *e = scope == RULE_SCOPE_PERSON ? NULL : facts.events[0];
        rule_explain(&rule, &facts, e, keep_first, &told);
        CHECK(told == (e == NULL ? rule_person_matches(&rule, &facts)
                                 : rule_event_matches(&rule, &facts, e)));
        buf_free(&b);
        arena_reset(k.ctx.arena);
    }
    rule_kit_close(&k);
}
