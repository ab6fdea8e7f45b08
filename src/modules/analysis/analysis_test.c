/*
 * modules/analysis/analysis_test.c -- what analysis.h promises: compiled conditions against the evaluator
 * for one event; buckets against the calendar.
 */
#include "modules/analysis/analysis_ask.h"
#include "modules/analysis/analysis_testkit.h"

#include "base/clock.h"

#include <stdlib.h>

/* ---- conditions ---------------------------------------------------------------------------------- */

enum { RULES = 4000 };

typedef struct Matches {
    bool got[SHOP_PEOPLE * SHOP_EVENTS_MAX];
    int64_t numbers[SHOP_PEOPLE * SHOP_EVENTS_MAX + 256];
    FilterScratch scratch;
} Matches;

static void take(const ScanLoose *rows, void *arg)
{
    Matches *m = arg;
    CHECK(scan_values(rows->at, (ScanProp){PROP_RECEIVED, 0}, &m->scratch, m->numbers));
    for (uint32_t i = 0; i < rows->count; i++)
        if (rows->mask == NULL || rows->mask[i] != 0) {
            CHECK(!m->got[m->numbers[i]]);
            m->got[m->numbers[i]] = true;
        }
}

static void find_matches(Shop *s, const ScanView *view, const ScanSelect *select, Matches *m)
{
    (void)s;
    memset(m->got, 0, sizeof m->got);
    Scanner *scanner = scanner_new(view, &(ScanAsk){.selects = select, .select_count = 1});
    for (uint32_t piece = 0; piece < scan_pieces(view); piece++)
        scanner_loose(scanner, piece, take, m);
    scanner_free(scanner);
}

#define NOT_ASKED UINT32_MAX

/* How many events the rule holds for; each is compared.  NOT_ASKED: it was refused. */
static uint32_t compare_rule(Shop *s, ScanView *view, Str text, Crew *crew, Matches *m)
{
    const AnalysisNames names = shop_names(s);
    Ctx ctx = {.arena = arena_new(1 << 16), .now_ms = s->kit.ctx.now_ms};
    Rule rule;
    ScanSelect select = {.from_ms = 0, .to_ms = INT64_MAX};
    AnalysisTexts texts = {0};
    uint32_t hits = NOT_ASKED;
    if (rule_parse(&ctx, text, RULE_SCOPE_STEP, rule_kit_schema(), &rule) == ERR_OK &&
        analysis_compile(&ctx, &names, &rule, &texts, &select) == ERR_OK) {
        CHECK(analysis_ask_texts(&ctx, &texts, 0, NULL) == ERR_OK);
        CHECK(analysis_ask_persons(&ctx, &(Query){.view = view, .crew = crew}, &texts) == ERR_OK);
        find_matches(s, view, &select, m);
        hits = 0;
        for (uint32_t e = 0; e < s->count; e++) {
            const RuleFacts *who = shop_person(s, s->events[e]);
            const RuleFacts facts = {.now_ms = ctx.now_ms,
                                     .calendar = shop_calendar(s),
                                     .arena = ctx.arena,
                                     .events = who->events,
                                     .event_count = who->event_count,
                                     .segment = who->segment,
                                     .arg = who->arg,
                                     .attributes = who->attributes,
                                     .attribute_count = who->attribute_count};
            const bool want = rule_event_matches(&rule, &facts, s->events[e]);
            if (m->got[e] != want)
                fprintf(stderr, "%.*s: event %u\n", STR_ARG(text), e);
            EXPECT_I64(m->got[e], want);
            hits += want;
        }
    } else {
        CHECK(ctx.fault.reason != NULL);
    }
    arena_free(ctx.arena);
    return hits;
}

TEST(analysis_a_condition_selects_the_events_that_it_holds_for)
{
    Shop s;
    shop_open(&s, 77);
    Matches *m = calloc(1, sizeof *m);
    CHECK(m != NULL);
    ScanView *view = engine_view(s.engine);
    Crew *crew = crew_new(1);
    uint32_t asked = 0, some = 0;
    for (int i = 0; i < RULES; i++) {
        Buf text = BUF_MAX(RULE_BYTES_MAX * 4);
        rule_kit_random(&s.kit, RULE_SCOPE_STEP, &text);
        const uint32_t hits = compare_rule(&s, view, buf_str(&text), crew, m);
        asked += hits != NOT_ASKED;
        some += hits > 0 && hits < s.count;
        buf_free(&text);
    }
    CHECK(asked > RULES / 4 && some > RULES / 10); /* else little was shown */
    crew_free(crew);
    engine_view_done(view);
    filter_scratch_free(&m->scratch);
    free(m);
    shop_close(&s);
}

/* ---- conditions on records, products and lists of texts --------------------------------------------- */

static const char *one_of(Shop *s, const char *const *texts, uint32_t count)
{
    return texts[rule_kit_below(&s->kit, count)];
}

#define ONE_OF(s, ...)                                                                             \
    one_of((s), (const char *const[]){__VA_ARGS__}, ARRAY_LEN(((const char *const[]){__VA_ARGS__})))

static const char *order(Shop *s)
{
    return ONE_OF(s, "==", "!=", "<", "<=", ">", ">=");
}

/* A condition on one record, with limits among the values that records have. */
static void put_record(Shop *s, Buf *out, int depth)
{
    switch (rule_kit_below(&s->kit, depth == 0 ? 7 : 9)) {
    case 0:
        buf_addf(out, "sku %s",
                 ONE_OF(s, "== \"S1\"", "!= \"web\"", "in [\"web\", \"x\"]", "is set",
                        "contains \"1\"", "< \"T\"", "is missing"));
        return;
    case 1:
        buf_addf(out, "price %s %u.%02u CNY", order(s), rule_kit_below(&s->kit, 90),
                 rule_kit_below(&s->kit, 100));
        return;
    case 2:
        buf_addf(out, "qty %s %u.%u", order(s), rule_kit_below(&s->kit, 5),
                 rule_kit_below(&s->kit, 9));
        return;
    case 3:
        buf_addf(out, "%s",
                 ONE_OF(s, "gift == true", "gift is missing", "gift != false",
                        "qty in [0, 1, 2.5, 3]", "qty between 0.5 and 2", "never == 3",
                        "never * qty != 2"));
        return;
    case 4:
    case 5:
    case 6:
        buf_addf(out, "price * qty %s %u.%u CNY", order(s), rule_kit_below(&s->kit, 200),
                 rule_kit_below(&s->kit, 10));
        return;
    case 7:
        buf_add(out, STR("not ("));
        put_record(s, out, depth - 1);
        buf_add(out, STR(")"));
        return;
    default:
        buf_add(out, STR("("));
        put_record(s, out, depth - 1);
        buf_addf(out, " %s ", ONE_OF(s, "and", "or"));
        put_record(s, out, depth - 1);
        buf_add(out, STR(")"));
    }
}

static void put_about_items(Shop *s, Buf *out)
{
    RuleKit *k = &s->kit;
    switch (rule_kit_below(k, 8)) {
    case 0:
    case 1:
        buf_addf(out, "%s(items, ", ONE_OF(s, "any", "all"));
        put_record(s, out, 2);
        buf_add(out, STR(")"));
        return;
    case 2:
        buf_add(out, STR("count(items where "));
        put_record(s, out, 2);
        buf_addf(out, ") %s %u", order(s), rule_kit_below(k, 4));
        return;
    case 3:
        buf_addf(out, "count(%s) %s %u", ONE_OF(s, "items", "never"), order(s),
                 rule_kit_below(k, 4));
        return;
    case 4:
        buf_addf(out, "sum(items, %s) %s %u.%02u CNY",
                 ONE_OF(s, "price", "price * qty", "qty * price"), order(s), rule_kit_below(k, 200),
                 rule_kit_below(k, 100));
        return;
    case 5:
        buf_addf(out, "sum(items, %s) %s %u.%u", ONE_OF(s, "qty", "qty * qty", "never"), order(s),
                 rule_kit_below(k, 9), rule_kit_below(k, 10));
        return;
    case 6:
        buf_addf(out, "%s",
                 ONE_OF(s, "tags contains \"web\"", "tags contains any [\"S1\", \"x\"]",
                        "tags contains all [\"S1\", \"web\", \"S1\"]", "tags is set",
                        "not (tags contains \"S1\")", "items is missing",
                        "tags contains all [\"x\"]", "tags contains any [\"web\"]"));
        return;
    default:
        buf_addf(out, "%s %s %u.%u%s", ONE_OF(s, "quantity * weight", "weight * weight"), order(s),
                 rule_kit_below(k, 30), rule_kit_below(k, 10), "");
    }
}

TEST(analysis_conditions_on_records_products_and_texts_select_the_events_that_they_hold_for)
{
    Shop s;
    shop_open(&s, 79);
    Matches *m = calloc(1, sizeof *m);
    CHECK(m != NULL);
    ScanView *view = engine_view(s.engine);
    Crew *crew = crew_new(1);
    uint32_t some = 0;
    for (int i = 0; i < RULES; i++) {
        Buf text = BUF_MAX(RULE_BYTES_MAX);
        buf_add(&text, STR("any event where "));
        put_about_items(&s, &text);
        if (rule_kit_below(&s.kit, 3) == 0) {
            buf_addf(&text, " %s ", ONE_OF(&s, "and", "or"));
            put_about_items(&s, &text);
        }
        const uint32_t hits = compare_rule(&s, view, buf_str(&text), crew, m);
        if (hits == NOT_ASKED)
            fprintf(stderr, "refused: %.*s\n", STR_ARG(buf_str(&text)));
        CHECK(hits != NOT_ASKED);
        some += hits > 0 && hits < s.count;
        buf_free(&text);
    }
    CHECK(some > RULES / 2); /* else little was shown */
    crew_free(crew);
    engine_view_done(view);
    filter_scratch_free(&m->scratch);
    free(m);
    shop_close(&s);
}

static const char *why_refused(const AnalysisNames *names, Ctx *ctx, const char *text)
{
    Rule rule;
    AnalysisTexts texts = {0};
    ScanSelect select = {.from_ms = 0};
    CHECK(rule_parse(ctx, str_of(text), RULE_SCOPE_STEP, rule_kit_schema(), &rule) == ERR_OK);
    return analysis_compile(ctx, names, &rule, &texts, &select) == ERR_OK ? "" : ctx->fault.reason;
}

TEST(analysis_names_that_nobody_has_seen_are_no_fault)
{
    Shop s;
    shop_open(&s, 77);
    engine_view_done(engine_view(s.engine));
    const AnalysisNames names = shop_names(&s);
    EXPECT_STREQ(why_refused(&names, &s.kit.ctx, "any event where never_seen == 3"), "");
    EXPECT_STREQ(why_refused(&names, &s.kit.ctx, "any event where consents(\"fax\", \"x\")"), "");
    shop_close(&s);
}

TEST(analysis_a_cohort_is_made_once_for_each_question_and_waits_until_cohorts_are_known)
{
    Shop s;
    shop_open(&s, 77);
    engine_view_done(engine_view(s.engine));
    const AnalysisNames names = shop_names(&s);
    Ctx *ctx = &s.kit.ctx;
    const char *text = "any event where segment(\"Others\") or not segment(\"Regulars\")";
    names.cohorts->known = false;
    EXPECT_STREQ(why_refused(&names, ctx, text), "query.cohorts");
    names.cohorts->known = true;
    Rule rule;
    AnalysisTexts texts = {0};
    ScanSelect select = {.from_ms = 0};
    CHECK(rule_parse(ctx, str_of(text), RULE_SCOPE_STEP, rule_kit_schema(), &rule) == ERR_OK);
    CHECK(analysis_compile(ctx, &names, &rule, &texts, &select) == ERR_OK);
    const Filter *others = select.filter->args[0], *regulars = select.filter->args[1]->args[0];
    EXPECT_I64(others->kind, FILTER_PERSONS);
    CHECK(regulars->kind == FILTER_PERSONS && regulars != others);
    CHECK(texts.first == names.cohorts->at[0].found); /* before the others, who need them */
    CHECK(texts.last == names.cohorts->at[1].found);
    ScanSelect again = {.from_ms = 0};
    CHECK(analysis_compile(ctx, &names, &rule, &texts, &again) == ERR_OK);
    CHECK(again.filter->args[0] == others && texts.last == names.cohorts->at[1].found);
    shop_close(&s);
}

TEST(analysis_cohorts_have_an_end_to_how_deep_they_go)
{
    Shop s;
    shop_open(&s, 77);
    engine_view_done(engine_view(s.engine));
    const AnalysisNames names = shop_names(&s);
    Ctx *ctx = &s.kit.ctx;
    AnalysisCohort *c = names.cohorts->at;
    c[0].rule = STR("did(any event) and segment(\"Others\")");
    c[1].rule = STR("not segment(\"Regulars\")");
    EXPECT_STREQ(why_refused(&names, ctx, "any event where segment(\"Others\")"), "query.rule");
    CHECK(strstr(ctx->fault.hint, "deep") != NULL);
    c[0].rule = STR("did(any event) and age == \"x\"");
    EXPECT_STREQ(why_refused(&names, ctx, "any event where segment(\"Regulars\")"), "query.rule");
    CHECK(strstr(ctx->fault.hint, "in the cohort \"Regulars\": line 1, column 27") != NULL);
    shop_close(&s);
}

/* ---- conditions on texts ------------------------------------------------------------------------- */

enum { PAGES = 5000 };

/* Names with one property, context.page, of many texts: /1, /2, ... */
typedef struct Pages {
    Ctx ctx;
    Schema *schema;
    Settings settings;
    AnalysisNames names;
    uint32_t prop;
} Pages;

static void add_pages(Pages *p, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "/%u", i + 1);
        CHECK(schema_code(p->schema, p->prop, str_of(text)) == i + 1);
    }
}

static void open_pages(Pages *p)
{
    *p = (Pages){.ctx.arena = arena_new(1 << 16),
                 .schema = schema_new(&SCHEMA_LIMITS),
                 .settings = setting_default()};
    p->names = analysis_names(p->ctx.arena, p->schema, &p->settings);
    p->prop = schema_prop(p->schema, SCHEMA_CONTEXT, STR("page"), EVENT_TEXT)->id;
    add_pages(p, 0, PAGES);
}

static void close_pages(Pages *p)
{
    schema_free(p->schema);
    arena_free(p->ctx.arena);
}

static Err compile_where(Pages *p, const char *where, AnalysisTexts *texts, ScanSelect *out)
{
    const RuleSchema schema = analysis_rule_schema(&p->names);
    const Str text = arena_printf(p->ctx.arena, "any event where %s", where);
    Rule rule;
    CHECK(rule_parse(&p->ctx, text, RULE_SCOPE_STEP, &schema, &rule) == ERR_OK);
    return analysis_compile(&p->ctx, &p->names, &rule, texts, out);
}

TEST(analysis_conditions_on_texts_of_one_question_have_a_budget)
{
    Pages p;
    open_pages(&p);
    AnalysisTexts texts = {0};
    ScanSelect select = {.from_ms = 0};
    Buf where = BUF_MAX(RULE_BYTES_MAX);
    buf_add(&where, STR("context.page contains \"1\""));
    for (int i = 0; i < 300; i++)
        buf_add(&where, STR(" or context.page < \"/2\""));
    buf_add_char(&where, '\0');
    uint32_t compiled = 0;
    while (compiled < 1000 && compile_where(&p, where.ptr, &texts, &select) == ERR_OK)
        compiled++;
    EXPECT_I64(compiled, ANALYSIS_CODES_MAX / (301 * PAGES));
    EXPECT_STREQ(p.ctx.fault.reason, "query.too_large");
    EXPECT_I64(p.ctx.fault.code, ERR_INVALID);
    CHECK(texts.codes <= ANALYSIS_CODES_MAX);
    buf_free(&where);
    close_pages(&p);
}

TEST(analysis_texts_that_are_named_cost_no_look_at_all_others)
{
    Pages p;
    open_pages(&p);
    AnalysisTexts texts = {0};
    ScanSelect select = {.from_ms = 0};
    CHECK(compile_where(&p, "context.page == \"/4000\" or context.page != \"/1\"", &texts,
                        &select) == ERR_OK);
    CHECK(compile_where(&p, "context.page in [\"/4001\", \"/4002\", \"never\"]", &texts, &select) ==
          ERR_OK);
    CHECK(compile_where(&p, "context.page is set", &texts, &select) == ERR_OK);
    CHECK(texts.waiting == NULL && texts.codes < 10);
    close_pages(&p);
}

TEST(analysis_a_condition_is_asked_of_the_texts_that_there_were_while_others_come)
{
    Pages p;
    open_pages(&p);
    AnalysisTexts texts = {0};
    ScanSelect select = {.from_ms = 0};
    CHECK(compile_where(&p, "context.page ends with \"00\"", &texts, &select) == ERR_OK);
    add_pages(&p, PAGES, 3 * PAGES);
    CHECK(analysis_ask_texts(&p.ctx, &texts, 0, NULL) == ERR_OK);
    const Filter *f = select.filter;
    EXPECT_I64(f->kind, FILTER_CODES);
    EXPECT_I64(f->first_code, 1);
    EXPECT_I64(f->code_count, PAGES);
    for (uint32_t i = 0; i < PAGES; i++)
        EXPECT_I64(f->codes[i], (i + 1) % 100 == 0);
    close_pages(&p);
}

TEST(analysis_a_question_ends_at_its_deadline_while_texts_are_looked_at)
{
    Pages p;
    open_pages(&p);
    AnalysisTexts texts = {0};
    ScanSelect select = {.from_ms = 0};
    CHECK(compile_where(&p, "context.page > \"/3\"", &texts, &select) == ERR_OK);
    EXPECT_I64(analysis_ask_texts(&p.ctx, &texts, clock_mono_us(), NULL), ERR_BUSY);
    EXPECT_STREQ(p.ctx.fault.reason, "query.deadline");
    EXPECT_I64(analysis_ask_texts(&p.ctx, &texts, clock_mono_us() + 60000000, NULL), ERR_OK);
    close_pages(&p);
}

TEST(analysis_leaves_of_a_segment_share_the_texts_of_their_question)
{
    const Str condition = STR(
        "last(any event).context.page starts with \"/4\" or sequence(any event where context.page "
        "ends with \"00\" then any event where context.page < \"/2\")");
    Pages p;
    open_pages(&p);
    AnalysisTexts texts = {0};
    const RuleSchema schema = analysis_rule_schema(&p.names);
    const Segment *either = NULL;
    Rule rule;
    CHECK(rule_parse(&p.ctx, condition, RULE_SCOPE_PERSON, &schema, &rule) == ERR_OK);
    CHECK(analysis_segment(&p.ctx, &p.names, &rule, &texts, &either) == ERR_OK);
    EXPECT_I64(texts.codes, 3 * PAGES);
    CHECK(analysis_ask_texts(&p.ctx, &texts, 0, NULL) == ERR_OK);
    const Segment *last = either->args[0], *sequence = either->args[1];
    for (uint32_t i = 0; i < PAGES; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "/%u", i + 1);
        EXPECT_I64(last->selects[1].filter->codes[i], text[1] == '4');
        EXPECT_I64(sequence->selects[0].filter->codes[i], (i + 1) % 100 == 0);
        EXPECT_I64(sequence->selects[1].filter->codes[i], text[1] == '1');
    }
    AnalysisTexts nearly = {.codes = ANALYSIS_CODES_MAX - 3 * PAGES + 1};
    EXPECT_I64(analysis_segment(&p.ctx, &p.names, &rule, &nearly, &either), ERR_INVALID);
    EXPECT_STREQ(p.ctx.fault.reason, "query.too_large");
    close_pages(&p);
}

/* ---- on the way out ------------------------------------------------------------------------------ */

TEST(decimals_of_any_size_are_printed_and_lose_zeros_at_their_end_unless_they_are_kept)
{
    const TrendSum two_to_64 = (TrendSum)UINT64_MAX + 1;
    const TrendSum most = (two_to_64 / 2 - 1) * two_to_64 + (two_to_64 - 1);
    const struct {
        TrendSum value;
        int scale;
        bool keep;
        const char *text;
    } cases[] = {
        {0, 0, false, "0"},
        {0, 2, true, "0.00"},
        {0, 2, false, "0"},
        {-5, 2, true, "-0.05"},
        {1200, 2, true, "12.00"},
        {1200, 2, false, "12"},
        {1250, 2, false, "12.5"},
        {two_to_64 - 1, 0, false, "18446744073709551615"},
        {two_to_64, 0, false, "18446744073709551616"},
        {-two_to_64 * 10, 6, false, "-184467440737095.51616"},
        {two_to_64 * 10, 6, true, "184467440737095.516160"},
        {most, 18, false, "170141183460469231731.687303715884105727"},
    };
    Ctx ctx = {.arena = arena_new(1 << 12)};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK(str_eq(ask_decimal(&ctx, cases[i].value, cases[i].scale, cases[i].keep),
                     str_of(cases[i].text)));
    arena_free(ctx.arena);
}
