/*
 * app/cmd_report.c -- `tongdian report`: sales, coupons and campaigns in a terminal.
 */
#include "app/app.h"

#include "app/args.h"
#include "app/terminal.h"
#include "base/clock.h"
#include "base/json.h"
#include "modules/catalog/catalog.h"
#include "modules/coupon/coupon.h"
#include "modules/insight/insight.h"
#include "modules/order/order.h"
#include "modules/person/person.h"
#include "modules/store/store.h"

enum { JSON, OPTION_COUNT };
static const ArgOption OPTIONS[OPTION_COUNT] = {[JSON] = {"--json", false}};

enum { BAR_COLUMNS = 30, MONTHS = 12, STORES_MAX = 1000, STORES_SHOWN = 30 };

/* What one report needs: where to print, and how. */
typedef struct Report {
    App *app;
    Ctx *ctx;
    Arena *arena;
    int exponent;
    bool json;
    JsonOut out;
} Report;

static void put_i64(Report *r, const char *key, int64_t v)
{
    json_out_key(&r->out, str_of(key));
    json_out_i64(&r->out, v);
}

static void put_text(Report *r, const char *key, Str v)
{
    json_out_key(&r->out, str_of(key));
    json_out_text(&r->out, v);
}

static void add_money(Report *r, Table *t, int64_t fen)
{
    table_add(t, terminal_money(r->arena, fen, r->exponent));
}

static Str day_text(Report *r, int64_t at_ms)
{
    const int32_t day = clock_day(at_ms, r->app->settings.offset_min);
    return arena_printf(r->arena, "%04d-%02d-%02d", day / 10000, day / 100 % 100, day % 100);
}

/* ---- overview ------------------------------------------------------------------------------------------ */

typedef struct Overview {
    int64_t people, stores, products;
    OrderDay total;
    CouponSums coupons;
    int64_t targetings, targeted;
    int64_t month[MONTHS];                       /* yyyymm, the last one with sales at the end */
    int64_t month_fen[MONTHS], redeemed[MONTHS]; /* of each */
} Overview;

static int64_t month_before(int64_t month)
{
    return month % 100 == 1 ? month - 89 : month - 1;
}

static Err read_months(Ctx *ctx, Overview *o)
{
    OrderDay *days = NULL;
    CouponDay *coupons = NULL;
    size_t n = 0;
    o->month[MONTHS - 1] = o->total.day / 100;
    for (size_t i = MONTHS - 1; i > 0; i--)
        o->month[i - 1] = month_before(o->month[i]);
    const int64_t from = o->month[0] * 100 + 1, to = o->total.day + 1;
    TRY(order_days(ctx, from, to, &days, &n));
    for (size_t i = 0; i < n; i++)
        for (size_t m = 0; m < MONTHS; m++)
            if (days[i].day / 100 == o->month[m])
                o->month_fen[m] += days[i].net_fen;
    TRY(coupon_days(ctx, from, to, &coupons, &n));
    for (size_t i = 0; i < n; i++)
        for (size_t m = 0; m < MONTHS; m++)
            if (coupons[i].day / 100 == o->month[m])
                o->redeemed[m] += coupons[i].totals.redeemed - coupons[i].totals.reversed;
    return ERR_OK;
}

static Err read_overview(Ctx *ctx, Overview *o)
{
    TRY(person_count_between(ctx, INT64_MIN, INT64_MAX, &o->people));
    TRY(store_count(ctx, &o->stores));
    TRY(catalog_product_count(ctx, &o->products));
    TRY(order_total(ctx, &o->total));
    TRY(coupon_sums(ctx, &o->coupons));
    TRY(campaign_target_total(ctx, &o->targetings, &o->targeted));
    return o->total.day == 0 ? ERR_OK : read_months(ctx, o);
}

static void overview_json(Report *r, const Overview *o)
{
    json_out_object(&r->out);
    put_text(r, "currency", str_of(r->app->settings.currency));
    put_i64(r, "exponent", r->exponent);
    put_i64(r, "people", o->people);
    put_i64(r, "stores", o->stores);
    put_i64(r, "products", o->products);
    put_i64(r, "sales", o->total.sales);
    put_i64(r, "returns", o->total.returns);
    put_i64(r, "net_fen", o->total.net_fen);
    put_i64(r, "retail_discount_fen", o->total.retail_discount_fen);
    put_i64(r, "coupon_discount_fen", o->total.coupon_discount_fen);
    put_i64(r, "match_discount_fen", o->total.match_discount_fen);
    put_i64(r, "coupon_templates", o->coupons.templates);
    put_i64(r, "coupons", o->coupons.coupons);
    put_i64(r, "redemptions", o->coupons.redemptions - o->coupons.reversals);
    put_i64(r, "redeemers", o->coupons.redeemers);
    put_i64(r, "targeted", o->targeted);
    json_out_key(&r->out, STR("months"));
    json_out_array(&r->out);
    for (size_t m = 0; m < MONTHS && o->total.day != 0; m++) {
        json_out_object(&r->out);
        put_i64(r, "month", o->month[m]);
        put_i64(r, "net_fen", o->month_fen[m]);
        put_i64(r, "redeemed", o->redeemed[m]);
        json_out_end(&r->out);
    }
    json_out_end(&r->out);
    json_out_end(&r->out);
}

static void overview_totals(Report *r, const Overview *o)
{
    Table t = table_new(r->arena, "|>");
    const struct {
        const char *what;
        int64_t n;
        bool money;
    } rows[] = {{"people", o->people, false},
                {"shops", o->stores, false},
                {"products", o->products, false},
                {"sales", o->total.sales, false},
                {"returns", o->total.returns, false},
                {"net sales", o->total.net_fen, true},
                {"retail discount", o->total.retail_discount_fen, true},
                {"coupon discount", o->total.coupon_discount_fen, true},
                {"coupon match discount", o->total.match_discount_fen, true},
                {"coupon templates", o->coupons.templates, false},
                {"coupons", o->coupons.coupons, false},
                {"redeemed", o->coupons.redemptions - o->coupons.reversals, false},
                {"people who redeemed", o->coupons.redeemers, false},
                {"people in campaigns", o->targeted, false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        table_add(&t, str_of(rows[i].what));
        if (rows[i].money)
            add_money(r, &t, rows[i].n);
        else
            table_add_count(&t, rows[i].n);
    }
    table_print(&t, stdout);
}

static Err report_overview(Report *r, const char *what)
{
    (void)what;
    Overview o = {0};
    TRY(read_overview(r->ctx, &o));
    if (r->json) {
        overview_json(r, &o);
        return ERR_OK;
    }
    overview_totals(r, &o);
    if (o.total.day == 0)
        return ERR_OK;
    int64_t most = 1;
    for (size_t m = 0; m < MONTHS; m++)
        most = o.month_fen[m] > most ? o.month_fen[m] : most;
    const Str heading =
        arena_printf(r->arena, "month|>net sales (%s)||>redeemed", r->app->settings.currency);
    Table t = table_new(r->arena, heading.ptr);
    for (size_t m = 0; m < MONTHS; m++) {
        table_addf(&t, "%04" PRId64 "-%02" PRId64, o.month[m] / 100, o.month[m] % 100);
        add_money(r, &t, o.month_fen[m]);
        table_add(&t, terminal_bar(r->arena, o.month_fen[m], most, BAR_COLUMNS));
        table_add_count(&t, o.redeemed[m]);
    }
    printf("\n");
    table_print(&t, stdout);
    return ERR_OK;
}

/* ---- campaigns ------------------------------------------------------------------------------------------- */

static void result_json(Report *r, const CampaignResult *c)
{
    json_out_object(&r->out);
    put_text(r, "code", c->campaign.code);
    put_text(r, "name", c->campaign.name);
    put_text(r, "kind", c->campaign.kind);
    json_out_key(&r->out, STR("start")), json_out_time(&r->out, c->campaign.start_ms);
    json_out_key(&r->out, STR("end")), json_out_time(&r->out, c->campaign.end_ms);
    put_i64(r, "targets", c->targets);
    put_i64(r, "redeemers", c->redeemers);
    put_i64(r, "rate_bps", insight_rate_bps(c->redeemers, c->targets));
    put_i64(r, "redemptions", c->redemptions);
    put_i64(r, "discount_fen", c->discount_fen);
    put_i64(r, "sales_fen", c->sales_fen);
    put_i64(r, "sales_before_fen", c->sales_before_fen);
    put_i64(r, "buyers", c->buyers);
    json_out_end(&r->out);
}

static void campaigns_json(Report *r, const CampaignResult *c, size_t n, const CampaignKind *k,
                           size_t kinds)
{
    json_out_object(&r->out);
    put_text(r, "currency", str_of(r->app->settings.currency));
    put_i64(r, "exponent", r->exponent);
    json_out_key(&r->out, STR("campaigns"));
    json_out_array(&r->out);
    for (size_t i = 0; i < n; i++)
        result_json(r, &c[i]);
    json_out_end(&r->out);
    json_out_key(&r->out, STR("kinds"));
    json_out_array(&r->out);
    for (size_t i = 0; i < kinds; i++) {
        json_out_object(&r->out);
        put_text(r, "kind", k[i].kind);
        put_i64(r, "campaigns", k[i].campaigns);
        put_i64(r, "targets", k[i].targets);
        put_i64(r, "redeemers", k[i].redeemers);
        put_i64(r, "rate_bps", insight_rate_bps(k[i].redeemers, k[i].targets));
        put_i64(r, "redemptions", k[i].redemptions);
        put_i64(r, "discount_fen", k[i].discount_fen);
        json_out_end(&r->out);
    }
    json_out_end(&r->out);
    json_out_end(&r->out);
}

static void print_kinds(Report *r, const CampaignKind *k, size_t kinds)
{
    int64_t best = 1;
    for (size_t i = 0; i < kinds; i++) {
        const int64_t bps = insight_rate_bps(k[i].redeemers, k[i].targets);
        best = bps > best ? bps : best;
    }
    Table t = table_new(r->arena, "kind|>campaigns|>targets|>redeemed|>rate||>coupons redeemed");
    for (size_t i = 0; i < kinds; i++) {
        const int64_t bps = insight_rate_bps(k[i].redeemers, k[i].targets);
        table_add(&t, k[i].kind.len > 0 ? k[i].kind : STR("-"));
        table_add_count(&t, k[i].campaigns);
        table_add_count(&t, k[i].targets);
        table_add_count(&t, k[i].redeemers);
        table_add(&t, terminal_rate(r->arena, bps));
        table_add(&t, terminal_bar(r->arena, bps, best, BAR_COLUMNS));
        table_add_count(&t, k[i].redemptions);
    }
    table_print(&t, stdout);
    printf(
        "\nTargets and redeemed count people once per campaign.  Sales are what the targets bought inside\n"
        "the dates, before: in as many days before them; a comparison, no proof of cause.\n");
}

static void print_campaigns(Report *r, const CampaignResult *c, size_t n)
{
    const Str heading = arena_printf(
        r->arena, "campaign|name|start|end|>targets|>redeemed|>rate|>coupons|>sales (%s)|>before",
        r->app->settings.currency);
    Table t = table_new(r->arena, heading.ptr);
    for (size_t i = 0; i < n; i++) {
        table_add(&t, c[i].campaign.code);
        table_add(&t, c[i].campaign.name);
        table_add(&t, day_text(r, c[i].campaign.start_ms));
        table_add(&t, day_text(r, c[i].campaign.end_ms - 1));
        table_add_count(&t, c[i].targets);
        table_add_count(&t, c[i].redeemers);
        table_add(&t, terminal_rate(r->arena, insight_rate_bps(c[i].redeemers, c[i].targets)));
        table_add_count(&t, c[i].redemptions);
        add_money(r, &t, c[i].sales_fen);
        add_money(r, &t, c[i].sales_before_fen);
    }
    table_print(&t, stdout);
    printf("\n");
}

static Err report_campaigns(Report *r, const char *what)
{
    (void)what;
    CampaignResult *results = NULL;
    CampaignKind *kinds = NULL;
    size_t n = 0;
    TRY(insight_campaigns(r->ctx, &results, &n));
    const size_t kind_count = insight_kinds(r->arena, results, n, &kinds);
    if (r->json) {
        campaigns_json(r, results, n, kinds, kind_count);
        return ERR_OK;
    }
    print_campaigns(r, results, n);
    print_kinds(r, kinds, kind_count);
    return ERR_OK;
}

static void print_campaign(Report *r, const CampaignResult *c)
{
    const char *currency = r->app->settings.currency;
    const int64_t most = c->sales_fen > c->sales_before_fen ? c->sales_fen : c->sales_before_fen;
    printf("%.*s  %.*s  %.*s to %.*s\n\n", STR_ARG(c->campaign.code), STR_ARG(c->campaign.name),
           STR_ARG(day_text(r, c->campaign.start_ms)),
           STR_ARG(day_text(r, c->campaign.end_ms - 1)));
    Table people = table_new(r->arena, "|>people||");
    const struct {
        const char *what;
        int64_t n;
    } steps[] = {{"targeted", c->targets}, {"bought", c->buyers}, {"redeemed", c->redeemers}};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        table_add(&people, str_of(steps[i].what));
        table_add_count(&people, steps[i].n);
        table_add(&people, terminal_rate(r->arena, insight_rate_bps(steps[i].n, c->targets)));
        table_add(&people, terminal_bar(r->arena, steps[i].n, c->targets, BAR_COLUMNS));
    }
    table_print(&people, stdout);
    Table sales = table_new(r->arena, "|>net sales to targets||");
    table_addf(&sales, "inside the dates");
    add_money(r, &sales, c->sales_fen);
    table_addf(&sales, "%s", currency);
    table_add(&sales, terminal_bar(r->arena, c->sales_fen, most, BAR_COLUMNS));
    table_addf(&sales, "as long before");
    add_money(r, &sales, c->sales_before_fen);
    table_addf(&sales, "%s", currency);
    table_add(&sales, terminal_bar(r->arena, c->sales_before_fen, most, BAR_COLUMNS));
    printf("\n");
    table_print(&sales, stdout);
    printf("\n%.*s coupons redeemed; ", STR_ARG(terminal_count(r->arena, c->redemptions)));
    if (c->discount_fen == 0 && c->redemptions > 0)
        printf("what they took off is not told.\n");
    else
        printf("they took off %.*s %s.\n",
               STR_ARG(terminal_money(r->arena, c->discount_fen, r->exponent)), currency);
    printf(
        "Sales inside the dates beside those of as long before: a comparison, no proof of cause.\n");
}

static Err report_campaign(Report *r, const char *code)
{
    int64_t id = 0;
    CampaignResult result;
    TRY(campaign_by_code(r->ctx, str_of(code), &id));
    if (id == 0)
        return fail_field(r->ctx, "", "campaign.unknown",
                          "there is no campaign %s: `tongdian report campaigns` lists them", code);
    TRY(insight_campaign(r->ctx, id, &result));
    if (r->json)
        result_json(r, &result);
    else
        print_campaign(r, &result);
    return ERR_OK;
}

/* ---- shops ----------------------------------------------------------------------------------------------- */

static void stores_json(Report *r, const StoreSales *s, size_t n)
{
    json_out_array(&r->out);
    for (size_t i = 0; i < n; i++) {
        json_out_object(&r->out);
        put_text(r, "code", s[i].code);
        put_text(r, "name", s[i].name);
        put_i64(r, "sales", s[i].sales);
        put_i64(r, "returns", s[i].returns);
        put_i64(r, "net_fen", s[i].net_fen);
        put_i64(r, "coupon_discount_fen", s[i].coupon_discount_fen);
        json_out_end(&r->out);
    }
    json_out_end(&r->out);
}

static Err report_stores(Report *r, const char *what)
{
    (void)what;
    StoreSales *s = NULL;
    size_t n = 0;
    TRY(insight_stores(r->ctx, r->json ? STORES_MAX : STORES_SHOWN, &s, &n));
    if (r->json) {
        stores_json(r, s, n);
        return ERR_OK;
    }
    const Str heading = arena_printf(r->arena, "shop|name|>sales|>returns|>net sales (%s)|",
                                     r->app->settings.currency);
    Table t = table_new(r->arena, heading.ptr);
    for (size_t i = 0; i < n; i++) {
        table_add(&t, s[i].code);
        table_add(&t, s[i].name);
        table_add_count(&t, s[i].sales);
        table_add_count(&t, s[i].returns);
        add_money(r, &t, s[i].net_fen);
        table_add(&t, terminal_bar(r->arena, s[i].net_fen, s[0].net_fen, BAR_COLUMNS));
    }
    table_print(&t, stdout);
    if (n == STORES_SHOWN)
        printf("\nThe %d shops that sold most; --json lists more.\n", STORES_SHOWN);
    return ERR_OK;
}

/* ---- the command --------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t words; /* with its own name */
    Err (*run)(Report *r, const char *what);
} REPORTS[] = {{"overview", 1, report_overview},
               {"campaigns", 1, report_campaigns},
               {"campaign", 2, report_campaign},
               {"stores", 1, report_stores}};

static int run(const Config *config, size_t which, const char *what, bool json)
{
    App app;
    if (!app_open(&app, config, BOOT_REPORT))
        return 1;
    Buf text = BUF_MAX(64 << 20);
    Report r = {.app = &app,
                .ctx = &app.ctx,
                .arena = app.arena,
                .exponent = app.settings.exponent,
                .json = json,
                .out = json_out(&text)};
    const Err err = REPORTS[which].run(&r, what);
    if (err != ERR_OK)
        app_complain(&app, "reporting");
    else if (json)
        printf("%.*s\n", STR_ARG(buf_str(&text)));
    buf_free(&text);
    app_close(&app);
    return err == ERR_OK ? 0 : 1;
}

int cmd_report(Config *config, int argc, char **argv)
{
    const char *value[OPTION_COUNT];
    Args args;
    if (!args_read(argc, argv, OPTIONS, OPTION_COUNT, value, &args))
        return 2;
    const char *name = args.rest_count > 0 ? args.rest[0] : "overview";
    const size_t words = args.rest_count > 0 ? args.rest_count : 1;
    for (size_t i = 0; i < ARRAY_LEN(REPORTS); i++)
        if (str_eq(str_of(REPORTS[i].name), str_of(name)) && words == REPORTS[i].words)
            return run(config, i, args.rest[1], value[JSON] != NULL);
    fprintf(stderr, "Usage: tongdian report [overview | campaigns | campaign CODE | stores] "
                    "[--json] [--data DIR]\n");
    return 2;
}
