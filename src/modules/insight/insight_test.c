/*
 * modules/insight/insight_test.c -- what insight.h promises: the reports against slow loops over random
 * small data.
 */
#include "modules/insight/insight.h"

#include "base/rand.h"
#include "campaign.sql.h"
#include "catalog.sql.h"
#include "coupon.sql.h"
#include "insight.sql.h"
#include "modules/coupon/coupon_testkit.h"
#include "modules/order/order.h"
#include "modules/store/store.h"
#include "order.sql.h"
#include "person.sql.h"
#include "store.sql.h"

#define ROOMS                                                                                      \
    &STORE_SCHEMA, &CATALOG_SCHEMA, &PERSON_SCHEMA, &CAMPAIGN_SCHEMA, &COUPON_SCHEMA, &ORDER_SCHEMA

TEST(insight_rates_are_rounded_half_up_to_basis_points)
{
    const struct {
        int64_t part, whole, bps;
    } cases[] = {{604, 3647, 1656}, {0, 0, 0},     {0, 5, 0},
                 {5, 5, 10000},     {1, 3, 3333},  {2, 3, 6667},
                 {1, 20000, 1},     {1, 20001, 0}, {3, 20000, 2},
                 {7, 5, 14000},     {1, 8, 1250},  {1, 16, 625},
                 {1, 32, 313},      {-1, 0, 0},    {5000000000, 10000000000, 5000}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        EXPECT_I64(insight_rate_bps(cases[i].part, cases[i].whole), cases[i].bps);
}

/* ---- a chain of random happenings --------------------------------------------------------------------------- */

enum { CAMPAIGNS = 4, PEOPLE = 12, TEMPLATES = 6, COUPONS = 90, ORDERS = 200 };

typedef struct Redeemed {
    int template, person;
    int64_t id, discount_fen;
    bool reversed;
} Redeemed;

typedef struct Sold {
    int person;
    int64_t at_ms, net_fen;
    OrderKind kind;
} Sold;

typedef struct Chain {
    Campaign campaigns[CAMPAIGNS];
    bool target[CAMPAIGNS][PEOPLE];
    int64_t templates[TEMPLATES];
    int campaign_of[TEMPLATES]; /* -1 = none */
    Redeemed redeemed[COUPONS];
    int redeemed_count;
    Sold sold[ORDERS];
    Prng r;
} Chain;

typedef struct Put {
    Campaign in;
    int64_t id, person;
    bool added;
} Put;

static Err campaign_body(Tx *tx, void *arg)
{
    Put *p = arg;
    return campaign_create(tx, &p->in, &p->id);
}

static Err target_body(Tx *tx, void *arg)
{
    Put *p = arg;
    return campaign_target_add(tx, p->id, p->person, &p->added);
}

static void make_campaigns(Room *room, Chain *c)
{
    static const char *const KINDS[CAMPAIGNS] = {"TypeB", "TypeA", "TypeA", ""};
    for (int i = 0; i < CAMPAIGNS; i++) {
        const int64_t start = ROOM_NOW_MS + (i - 2) * 3 * KIT_DAY_MS;
        Put p = {.in = {.code = arena_printf(room->ctx->arena, "C%d", i),
                        .name = STR("campaign"),
                        .kind = str_of(KINDS[i]),
                        .start_ms = start,
                        .end_ms = start + (1 + i) * KIT_DAY_MS}};
        EXPECT_OK(room->ctx, room_write(room, campaign_body, &p));
        p.in.id = p.id;
        c->campaigns[i] = p.in;
        for (int k = 0; k < PEOPLE; k++) {
            c->target[i][k] = prng_below(&c->r, 2) == 0;
            p.person = 1 + k;
            if (c->target[i][k])
                EXPECT_OK(room->ctx, room_write(room, target_body, &p));
        }
    }
}

static void make_redemptions(Room *room, Chain *c)
{
    for (int i = 0; i < TEMPLATES; i++) {
        CouponTemplate in = kit_template(arena_printf(room->ctx->arena, "T%d", i));
        c->campaign_of[i] = i == 0 ? -1 : i % CAMPAIGNS;
        in.campaign = i == 0 ? 0 : c->campaigns[c->campaign_of[i]].id;
        c->templates[i] = kit_create(room, in);
    }
    for (int i = 0; i < COUPONS; i++) {
        const int template = (int)prng_below(&c->r, TEMPLATES),
                  person = (int)prng_below(&c->r, PEOPLE);
        const int64_t coupon = kit_coupon(room, c->templates[template], 1 + person);
        if (prng_below(&c->r, 3) == 0)
            continue; /* issued, never redeemed */
        CouponRedemption out = {0};
        Redeemed *x = &c->redeemed[c->redeemed_count++];
        *x = (Redeemed){.template = template,
                        .person = person,
                        .discount_fen = (int64_t)prng_below(&c->r, 900),
                        .reversed = prng_below(&c->r, 4) == 0};
        EXPECT_OK(room->ctx, kit_redeem(room, coupon, x->discount_fen, &out));
        x->id = out.id;
        if (x->reversed)
            EXPECT_OK(room->ctx, kit_reverse(room, out.id));
    }
}

static Err orders_body(Tx *tx, void *arg)
{
    const Chain *c = arg;
    for (int i = 0; i < ORDERS; i++) {
        OrderLine line = {.product = 1, .quantity = 1, .net_fen = c->sold[i].net_fen};
        Order o = {.person = c->sold[i].person < 0 ? 0 : 1 + c->sold[i].person,
                   .store = 1,
                   .till = STR("T"),
                   .number = arena_printf(tx->ctx->arena, "%d", i),
                   .kind = c->sold[i].kind,
                   .at_ms = c->sold[i].at_ms,
                   .lines = &line,
                   .line_count = 1};
        bool stored = false;
        TRY(order_import(tx, &o, &stored));
    }
    return ERR_OK;
}

/* Over three weeks, some exactly at an edge of a campaign. */
static void make_orders(Room *room, Chain *c)
{
    for (int i = 0; i < ORDERS; i++) {
        const Campaign *edge = &c->campaigns[prng_below(&c->r, CAMPAIGNS)];
        const int64_t edges[] = {edge->start_ms, edge->start_ms - 1, edge->end_ms,
                                 edge->end_ms - 1};
        const bool back = prng_below(&c->r, 4) == 0;
        c->sold[i] =
            (Sold){.person = (int)prng_below(&c->r, PEOPLE + 1) - 1,
                   .at_ms = prng_below(&c->r, 3) == 0
                                ? edges[prng_below(&c->r, ARRAY_LEN(edges))]
                                : ROOM_NOW_MS - 10 * KIT_DAY_MS +
                                      (int64_t)prng_below(&c->r, 21 * (uint64_t)KIT_DAY_MS),
                   .net_fen = (int64_t)prng_below(&c->r, 90000) * (back ? -1 : 1),
                   .kind = back ? ORDER_RETURN : ORDER_SALE};
    }
    EXPECT_OK(room->ctx, room_write(room, orders_body, c));
}

static Chain *make_chain(Room *room, uint64_t seed)
{
    Chain *c = ARENA_NEW(room->ctx->arena, Chain);
    c->r = prng_of(seed);
    make_campaigns(room, c);
    make_redemptions(room, c);
    make_orders(room, c);
    return c;
}

/* ---- the model ------------------------------------------------------------------------------------------------- */

static int64_t model_sales(const Chain *c, int campaign, int64_t from_ms, int64_t to_ms,
                           int64_t *buyers)
{
    bool bought[PEOPLE] = {false};
    int64_t net = 0;
    *buyers = 0;
    for (int i = 0; i < ORDERS; i++) {
        const Sold *s = &c->sold[i];
        if (s->person < 0 || !c->target[campaign][s->person] || s->at_ms < from_ms ||
            s->at_ms >= to_ms)
            continue;
        net += s->net_fen;
        *buyers += s->kind == ORDER_SALE && !bought[s->person];
        bought[s->person] = bought[s->person] || s->kind == ORDER_SALE;
    }
    return net;
}

static CampaignResult model_result(const Chain *c, int campaign)
{
    const Campaign *of = &c->campaigns[campaign];
    CampaignResult r = {.campaign = *of};
    bool seen[PEOPLE] = {false};
    int64_t nobody = 0;
    for (int k = 0; k < PEOPLE; k++)
        r.targets += c->target[campaign][k];
    for (int i = 0; i < c->redeemed_count; i++) {
        const Redeemed *x = &c->redeemed[i];
        if (c->campaign_of[x->template] != campaign || x->reversed)
            continue;
        r.redemptions++;
        r.discount_fen += x->discount_fen;
        r.redeemers += !seen[x->person];
        seen[x->person] = true;
    }
    r.sales_fen = model_sales(c, campaign, of->start_ms, of->end_ms, &r.buyers);
    r.sales_before_fen =
        model_sales(c, campaign, of->start_ms - (of->end_ms - of->start_ms), of->start_ms, &nobody);
    return r;
}

static void expect_result(const CampaignResult *got, const CampaignResult *want)
{
    EXPECT_I64(got->campaign.id, want->campaign.id);
    EXPECT_I64(got->targets, want->targets);
    EXPECT_I64(got->redeemers, want->redeemers);
    EXPECT_I64(got->redemptions, want->redemptions);
    EXPECT_I64(got->discount_fen, want->discount_fen);
    EXPECT_I64(got->sales_fen, want->sales_fen);
    EXPECT_I64(got->sales_before_fen, want->sales_before_fen);
    EXPECT_I64(got->buyers, want->buyers);
}

ROOM_TEST(insight_of_campaigns_agrees_with_the_model_on_random_data, ROOMS)
{
    Chain *c = make_chain(room, room->world.postgres ? 21 : 22);
    CampaignResult one, *all = NULL;
    size_t n = 0;
    for (int i = 0; i < CAMPAIGNS; i++) {
        const CampaignResult want = model_result(c, i);
        EXPECT_OK(room->ctx, insight_campaign(room->ctx, c->campaigns[i].id, &one));
        expect_result(&one, &want);
        CHECK(want.redemptions > 0 && want.sales_fen != 0);
    }
    EXPECT_OK(room->ctx, insight_campaigns(room->ctx, &all, &n));
    EXPECT_I64((int64_t)n, CAMPAIGNS);
    for (int i = 0; i < CAMPAIGNS; i++) { /* the latest start first */
        const CampaignResult want = model_result(c, CAMPAIGNS - 1 - i);
        expect_result(&all[i], &want);
    }
    EXPECT_FAULT(room->ctx, insight_campaign(room->ctx, 99, &one), ERR_NOT_FOUND,
                 "campaign.unknown");
}

ROOM_TEST(insight_of_kinds_sums_their_campaigns_and_counts_person_campaigns, ROOMS)
{
    Chain *c = make_chain(room, 23);
    CampaignResult *all = NULL;
    CampaignKind *kinds = NULL;
    size_t n = 0;
    EXPECT_OK(room->ctx, insight_campaigns(room->ctx, &all, &n));
    EXPECT_I64((int64_t)insight_kinds(room->ctx->arena, all, n, &kinds), 3);
    static const char *const NAMES[] = {"", "TypeA", "TypeB"};
    static const int MEMBERS[3][2] = {{3, -1}, {1, 2}, {0, -1}};
    for (int k = 0; k < 3; k++) {
        CampaignKind want = {0};
        for (int m = 0; m < 2; m++) {
            if (MEMBERS[k][m] < 0)
                continue;
            const CampaignResult r = model_result(c, MEMBERS[k][m]);
            want.campaigns++;
            want.targets += r.targets;
            want.redeemers += r.redeemers;
            want.redemptions += r.redemptions;
            want.discount_fen += r.discount_fen;
        }
        EXPECT_STREQ(ROOM_C(room, kinds[k].kind), NAMES[k]);
        EXPECT_I64(kinds[k].campaigns, want.campaigns);
        EXPECT_I64(kinds[k].targets, want.targets);
        EXPECT_I64(kinds[k].redeemers, want.redeemers);
        EXPECT_I64(kinds[k].redemptions, want.redemptions);
        EXPECT_I64(kinds[k].discount_fen, want.discount_fen);
    }
    EXPECT_I64((int64_t)insight_kinds(room->ctx->arena, NULL, 0, &kinds), 0);
}

ROOM_TEST(insight_of_coupons_and_days_agrees_with_the_model, ROOMS)
{
    enum { DAYS = 8 };
    Chain *c = make_chain(room, 24);
    const int campaign = 3;
    const Campaign *of = &c->campaigns[campaign];
    Row_insight_campaign_coupons *coupons = NULL;
    Row_insight_campaign_order_days *days = NULL;
    Row_insight_campaign_days *redeemed = NULL;
    size_t n = 0;
    EXPECT_OK(room->ctx, sql_insight_campaign_coupons(room->ctx, of->id, &coupons, &n));
    EXPECT_I64((int64_t)n, 1); /* template 3 */
    const CampaignResult want = model_result(c, campaign);
    EXPECT_I64(coupons[0].redeemed - coupons[0].reversed, want.redemptions);
    EXPECT_I64(coupons[0].discount_fen, want.discount_fen);
    EXPECT_OK(room->ctx, sql_insight_campaign_days(room->ctx, of->id, &redeemed, &n));
    EXPECT_I64((int64_t)n, 1); /* all on the day of the test */
    EXPECT_I64(redeemed[0].day, 20261121);
    EXPECT_I64(redeemed[0].redeemed, want.redemptions);
    EXPECT_OK(room->ctx, sql_insight_campaign_order_days(room->ctx, of->id, of->start_ms,
                                                         of->end_ms, &days, &n));
    CHECK(n > 1 && n <= DAYS);
    int64_t net = 0;
    for (size_t d = 0; d < n; d++) {
        int64_t orders = 0;
        for (int i = 0; i < ORDERS; i++)
            orders += c->sold[i].person >= 0 && c->target[campaign][c->sold[i].person] &&
                      c->sold[i].at_ms >= of->start_ms && c->sold[i].at_ms < of->end_ms &&
                      c->sold[i].kind == ORDER_SALE &&
                      setting_day(room->ctx, c->sold[i].at_ms) == days[d].day;
        EXPECT_I64(days[d].orders, orders);
        net += days[d].net_fen;
    }
    EXPECT_I64(net, want.sales_fen);
}

/* ---- shops ------------------------------------------------------------------------------------------------------- */

typedef struct Shop {
    Store in;
    int64_t id, net_fen;
    OrderKind kind;
} Shop;

static Err shop_body(Tx *tx, void *arg)
{
    Shop *s = arg;
    return store_create(tx, &s->in, &s->id);
}

static Err shop_order_body(Tx *tx, void *arg)
{
    const Shop *s = arg;
    OrderLine line = {.product = 1, .quantity = 1, .net_fen = s->net_fen, .coupon_discount_fen = 5};
    Order o = {.store = s->id,
               .till = STR("T"),
               .number = arena_printf(tx->ctx->arena, "%" PRId64, s->net_fen),
               .kind = s->kind,
               .at_ms = tx->ctx->now_ms,
               .lines = &line,
               .line_count = 1};
    bool stored = false;
    return order_import(tx, &o, &stored);
}

ROOM_TEST(insight_of_shops_lists_those_that_sold_most_first, ROOMS)
{
    static const char *const CODES[] = {"S1", "S2", "S3", "S4"};
    static const int64_t SALES[][2] = {{100, 200}, {900, -50}, {0, 0}, {850, 0}};
    for (size_t i = 0; i < ARRAY_LEN(CODES); i++) {
        Shop s = {.in = {.code = str_of(CODES[i]), .name = str_of(CODES[i])}};
        EXPECT_OK(room->ctx, room_write(room, shop_body, &s));
        for (int k = 0; k < 2; k++) {
            s.net_fen = SALES[i][k];
            s.kind = s.net_fen < 0 ? ORDER_RETURN : ORDER_SALE;
            if (s.net_fen != 0)
                EXPECT_OK(room->ctx, room_write(room, shop_order_body, &s));
        }
    }
    static const char *const WANT[] = {"S2", "S4", "S1", "S3"}; /* 850 and 850, 300, 0 */
    static const int64_t SOLD[][3] = {{1, 1, 850}, {1, 0, 850}, {2, 0, 300}, {0, 0, 0}};
    StoreSales *shops = NULL;
    size_t n = 0;
    EXPECT_OK(room->ctx, insight_stores(room->ctx, 10, &shops, &n));
    EXPECT_I64((int64_t)n, 4);
    for (size_t i = 0; i < n; i++) {
        EXPECT_STREQ(ROOM_C(room, shops[i].code), WANT[i]);
        EXPECT_I64(shops[i].sales, SOLD[i][0]);
        EXPECT_I64(shops[i].returns, SOLD[i][1]);
        EXPECT_I64(shops[i].net_fen, SOLD[i][2]);
        EXPECT_I64(shops[i].coupon_discount_fen, 5 * (SOLD[i][0] + SOLD[i][1]));
    }
    EXPECT_OK(room->ctx, insight_stores(room->ctx, 2, &shops, &n));
    EXPECT_I64((int64_t)n, 2);
}
