/*
 * modules/order/order_test.c -- what order.h promises: by example, and sales and returns against a model on
 * random data.
 */
#include "modules/order/order.h"

#include "base/money.h"
#include "base/rand.h"
#include "campaign.sql.h"
#include "catalog.sql.h"
#include "coupon.sql.h"
#include "modules/coupon/coupon_testkit.h"
#include "order.sql.h"

#define ROOMS &CAMPAIGN_SCHEMA, &CATALOG_SCHEMA, &COUPON_SCHEMA, &ORDER_SCHEMA

enum { ALICE = 1001, BOB = 1002, SHOP = 7 };

/* ---- shorthand ------------------------------------------------------------------------------------- */

typedef struct Sell {
    Order draft; /* copied: apply may run twice and quoting changes the lines */
    Order order; /* as stored */
    int64_t coupons[ORDER_COUPONS_MAX + 1];
    size_t coupon_count;
    OrderRedeemed redeemed;
} Sell;

static Err sell_body(Tx *tx, void *arg)
{
    Sell *s = arg;
    s->order = s->draft;
    s->order.lines = ARENA_ARRAY(tx->ctx->arena, OrderLine, s->draft.line_count + 1);
    memcpy(s->order.lines, s->draft.lines, s->draft.line_count * sizeof *s->order.lines);
    return order_sell(tx, &s->order, s->coupons, s->coupon_count, &s->redeemed);
}

static Err sell(Room *room, Sell *s)
{
    return room_write(room, sell_body, s);
}

/* A sale of `n` lines at the shop, receipt `number`. */
static Sell sale(Room *room, const char *number, const OrderLine *lines, size_t n)
{
    Sell s = {.draft = {.store = SHOP,
                        .till = STR("T1"),
                        .number = str_of(number),
                        .at_ms = room->ctx->now_ms,
                        .line_count = n}};
    s.draft.lines = ARENA_ARRAY(room->ctx->arena, OrderLine, n + 1);
    memcpy(s.draft.lines, lines, n * sizeof *lines);
    return s;
}

typedef struct Return {
    int64_t sale;
    Str till, number;
    OrderReturnLine lines[8];
    size_t n;
    Order out;
} Return;

static Err return_body(Tx *tx, void *arg)
{
    Return *r = arg;
    return order_return(tx, r->sale, r->till, r->number, r->lines, r->n, &r->out);
}

static void expect_all_clean(Room *room)
{
    KitReports r = {.what = ""};
    EXPECT_OK(room->ctx, order_check(room->ctx, kit_report, &r));
    EXPECT_STREQ(r.what, "");
    kit_expect_clean(room);
}

static int64_t orders(Room *room)
{
    OrderSums sums;
    EXPECT_OK(room->ctx, order_sums(room->ctx, &sums));
    return sums.orders;
}

static const OrderLine TWO[] = {
    {.product = 1, .quantity = 2, .net_fen = 9900},
    {.product = 2, .quantity = 1, .net_fen = 1000, .retail_discount_fen = 30}};

/* ---- sell ------------------------------------------------------------------------------------------- */

ROOM_TEST(order_comes_back_with_its_lines_and_tenders, ROOMS)
{
    OrderTender tenders[] = {{STR("cash"), 900}, {STR("wechat"), 10000}};
    Sell s = sale(room, "R1", TWO, 2);
    s.draft.person = ALICE;
    s.draft.tenders = tenders;
    s.draft.tender_count = 2;
    EXPECT_OK(room->ctx, sell(room, &s));
    Order o;
    EXPECT_OK(room->ctx, order_find(room->ctx, s.order.id, &o));
    EXPECT_I64(o.id, s.order.id);
    EXPECT_I64(o.person, ALICE);
    EXPECT_I64(o.store, SHOP);
    EXPECT_I64(o.kind, ORDER_SALE);
    EXPECT_I64(o.original, 0);
    EXPECT_I64(o.business_day, 20261121);
    EXPECT_I64(o.at_ms, ROOM_NOW_MS);
    EXPECT_STREQ(ROOM_C(room, o.till), "T1");
    EXPECT_STREQ(ROOM_C(room, o.number), "R1");
    EXPECT_I64(o.net_fen, 10900);
    EXPECT_I64(o.retail_discount_fen, 30);
    EXPECT_I64(o.coupon_discount_fen, 0);
    EXPECT_I64((int64_t)o.line_count, 2);
    EXPECT_I64(memcmp(o.lines, TWO, sizeof TWO), 0);
    EXPECT_I64((int64_t)o.tender_count, 2);
    EXPECT_STREQ(ROOM_C(room, o.tenders[1].kind), "wechat");
    EXPECT_I64(o.tenders[1].amount_fen, 10000);
    EXPECT_FAULT(room->ctx, order_find(room->ctx, s.order.id + 1, &o), ERR_NOT_FOUND,
                 "order.unknown");
    expect_all_clean(room);
}

ROOM_TEST(order_with_something_wrong_is_refused_and_the_field_named, ROOMS)
{
    static const OrderTender MANY[ORDER_TENDERS_MAX + 1];
    const int64_t too_dear = MONEY_FEN_MAX / ORDER_LINES_MAX + 1;
    const struct {
        const char *pointer;
        OrderLine line; /* the second one */
    } lines[] = {
        {"/lines/1/product", {.product = 0, .quantity = 1}},
        {"/lines/1/quantity", {.product = 1, .quantity = 0}},
        {"/lines/1/quantity", {.product = 1, .quantity = -1}},
        {"/lines/1/quantity", {.product = 1, .quantity = 1000001}},
        {"/lines/1/amount_fen", {.product = 1, .quantity = 1, .net_fen = -1}},
        {"/lines/1/amount_fen", {.product = 1, .quantity = 1, .net_fen = too_dear}},
        {"/lines/1/retail_discount_fen", {.product = 1, .quantity = 1, .retail_discount_fen = -1}},
        {"/lines/1/retail_discount_fen",
         {.product = 1, .quantity = 1, .retail_discount_fen = too_dear}}};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        const OrderLine both[] = {TWO[0], lines[i].line};
        Sell s = sale(room, "R1", both, 2);
        EXPECT_FAULT(room->ctx, sell(room, &s), ERR_INVALID, "order.invalid");
        EXPECT_STREQ(room->ctx->fault.pointer, lines[i].pointer);
    }
    Sell no_lines = sale(room, "R1", TWO, 0), many_lines = sale(room, "R1", TWO, 1);
    Sell no_till = sale(room, "R1", TWO, 1), long_till = no_till, no_number = no_till;
    Sell long_number = no_till, many_tenders = no_till;
    many_lines.draft.lines = ARENA_ARRAY(room->ctx->arena, OrderLine, ORDER_LINES_MAX + 1);
    many_lines.draft.line_count = ORDER_LINES_MAX + 1;
    no_till.draft.till = STR("");
    long_till.draft.till =
        (Str){"0123456789012345678901234567890123456789", ORDER_TILL_BYTES_MAX + 1};
    no_number.draft.number = STR("");
    long_number.draft.number = arena_printf(room->ctx->arena, "%065d", 1);
    many_tenders.draft.tenders = (OrderTender *)(uintptr_t)MANY;
    many_tenders.draft.tender_count = ARRAY_LEN(MANY);
    Sell *const heads[] = {&no_lines,  &many_lines,  &no_till,     &long_till,
                           &no_number, &long_number, &many_tenders};
    static const char *const POINTERS[] = {"/lines",  "/lines",  "/till",   "/till",
                                           "/number", "/number", "/tenders"};
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        EXPECT_FAULT(room->ctx, sell(room, heads[i]), ERR_INVALID, "order.invalid");
        EXPECT_STREQ(room->ctx->fault.pointer, POINTERS[i]);
    }
    EXPECT_I64(orders(room), 0);
}

ROOM_TEST(order_of_the_greatest_amounts_is_summed_exactly, ROOMS)
{
    const int64_t dearest = MONEY_FEN_MAX / ORDER_LINES_MAX;
    OrderLine *lines = ARENA_ARRAY(room->ctx->arena, OrderLine, ORDER_LINES_MAX);
    for (size_t i = 0; i < ORDER_LINES_MAX; i++)
        lines[i] = (OrderLine){.product = 1, .quantity = 1000000, .net_fen = dearest};
    Sell s = sale(room, "R1", lines, ORDER_LINES_MAX);
    s.draft.tenders = &(OrderTender){STR("card"), dearest * ORDER_LINES_MAX};
    s.draft.tender_count = 1;
    EXPECT_OK(room->ctx, sell(room, &s));
    Order o;
    EXPECT_OK(room->ctx, order_find(room->ctx, s.order.id, &o));
    EXPECT_I64(o.net_fen, MONEY_FEN_MAX);
    EXPECT_I64((int64_t)o.line_count, ORDER_LINES_MAX);
    Return r = {.sale = o.id,
                .till = STR("T1"),
                .number = STR("B1"),
                .lines = {{1, 999999}, {2, 1}},
                .n = 2};
    EXPECT_OK(room->ctx, room_write(room, return_body, &r));
    EXPECT_I64(r.out.net_fen, -(dearest - dearest / 1000000) - dearest / 1000000);
    expect_all_clean(room);
}

ROOM_TEST(order_tenders_must_add_up_to_what_is_to_pay_after_the_coupons, ROOMS)
{
    const int64_t coupon = kit_coupon(room, kit_create(room, kit_template(STR("T"))), ALICE);
    OrderTender tenders[] = {{STR("cash"), 20000}, {STR("change"), -9600}};
    Sell s = sale(room, "R1", TWO, 2);
    s.draft.tenders = tenders;
    s.draft.tender_count = 2;
    EXPECT_FAULT(room->ctx, sell(room, &s), ERR_CONFLICT, "order.tender_mismatch");
    EXPECT_STREQ(room->ctx->fault.hint, "to pay 10900, tendered 10400 (minor units)");
    tenders[1].amount_fen = INT64_MIN;
    EXPECT_FAULT(room->ctx, sell(room, &s), ERR_INVALID, "order.invalid");
    tenders[1].amount_fen = -9600;
    s.coupons[0] = coupon;
    s.coupon_count = 1;
    EXPECT_OK(room->ctx, sell(room, &s));
    EXPECT_I64(s.order.net_fen, 10400);
    EXPECT_I64(s.order.person, ALICE); /* the coupon says who is buying */
    expect_all_clean(room);
}

ROOM_TEST(order_receipt_is_one_order_however_often_it_is_sent, ROOMS)
{
    Sell s = sale(room, "R1", TWO, 2);
    s.coupons[0] = kit_coupon(room, kit_create(room, kit_template(STR("T"))), ALICE);
    s.coupon_count = 1;
    EXPECT_OK(room->ctx, sell(room, &s));
    EXPECT_FAULT(room->ctx, sell(room, &s), ERR_CONFLICT, "order.exists"); /* not coupon.used */
    s.coupon_count = 0;
    EXPECT_FAULT(room->ctx, sell(room, &s), ERR_CONFLICT, "order.exists");
    EXPECT_I64(orders(room), 1);
    Sell other[4] = {s, s, s, s};
    other[0].draft.store = 8;
    other[1].draft.till = STR("T2");
    other[2].draft.number = STR("R2");
    other[3].draft.business_day = 20261122;
    for (size_t i = 0; i < ARRAY_LEN(other); i++)
        EXPECT_OK(room->ctx, sell(room, &other[i]));
    EXPECT_I64(orders(room), 5);
    other[3].draft.number = STR("R9");
    other[3].coupons[0] = s.coupons[0];
    other[3].coupon_count = 1;
    EXPECT_FAULT(room->ctx, sell(room, &other[3]), ERR_CONFLICT, "coupon.used");
    expect_all_clean(room);
}

ROOM_TEST(order_whose_last_coupon_is_refused_leaves_nothing_behind, ROOMS)
{
    const int64_t t = kit_create(room, kit_template(STR("T")));
    CouponTemplate dear = kit_template(STR("DEAR"));
    dear.min_spend_fen = 10700;
    Sell s = sale(room, "R1", TWO, 2);
    s.coupons[0] = kit_coupon(room, t, ALICE);
    s.coupons[1] = kit_coupon(room, kit_create(room, dear), ALICE); /* 10400 are left for it */
    s.coupon_count = 2;
    EXPECT_FAULT(room->ctx, sell(room, &s), ERR_CONFLICT, "coupon.min_spend");
    Coupon c;
    EXPECT_OK(room->ctx, coupon_find(room->ctx, s.coupons[0], &c));
    EXPECT_I64(c.status, COUPON_ISSUED);
    EXPECT_I64(orders(room), 0);
    s.coupons[1] = s.coupons[0];
    EXPECT_FAULT(room->ctx, sell(room, &s), ERR_CONFLICT, "order.coupon_twice");
    s.coupons[1] = kit_coupon(room, t, BOB);
    EXPECT_FAULT(room->ctx, sell(room, &s), ERR_CONFLICT, "order.coupon_person");
    s.coupons[1] = 99;
    EXPECT_FAULT(room->ctx, sell(room, &s), ERR_NOT_FOUND, "coupon.unknown");
    EXPECT_I64(orders(room), 0);
    expect_all_clean(room);
}

ROOM_TEST(order_quote_says_what_a_sale_would_and_stores_nothing, ROOMS)
{
    Sell s = sale(room, "R1", TWO, 2);
    s.coupons[0] = kit_coupon(room, kit_create(room, kit_template(STR("T"))), ALICE);
    s.coupon_count = 1;
    Order draft = sale(room, "R1", TWO, 2).draft;
    OrderRedeemed quoted;
    EXPECT_OK(room->ctx, order_quote(room->ctx, &draft, s.coupons, 1, &quoted));
    EXPECT_I64(orders(room), 0);
    EXPECT_OK(room->ctx, sell(room, &s));
    EXPECT_I64(draft.net_fen, s.order.net_fen);
    EXPECT_I64(draft.coupon_discount_fen, s.order.coupon_discount_fen);
    EXPECT_I64(memcmp(draft.lines, s.order.lines, 2 * sizeof *draft.lines), 0);
    EXPECT_I64((int64_t)quoted.count, 1);
    EXPECT_I64(quoted.redemption[0].id, 0);
    EXPECT_I64(quoted.redemption[0].discount_fen, 500);
    EXPECT_I64(s.redeemed.redemption[0].sale, s.order.id);
    EXPECT_FAULT(room->ctx, order_quote(room->ctx, &draft, s.coupons, 1, &quoted), ERR_CONFLICT,
                 "coupon.used");
}

/* ---- sales against a model -------------------------------------------------------------------------------- */

enum { PRODUCTS = 4, KINDS = 5, SALES = 60, LINES = 6 };

typedef struct Chain {
    int64_t products[PRODUCTS];
    int64_t templates[KINDS];
    OrderDay total; /* what all sales and returns came to */
    int64_t discount_fen;
    int64_t redemptions;
} Chain;

static void chain_begin(Room *room, Chain *c)
{
    *c = (Chain){0};
    for (int i = 0; i < PRODUCTS; i++)
        c->products[i] = kit_product(room, arena_printf(room->ctx->arena, "P%d", i));
    for (int i = 0; i < KINDS; i++) {
        KitTemplate k = {.in = kit_template(arena_printf(room->ctx->arena, "T%d", i)),
                         .products = c->products,
                         .product_count = 2};
        const CouponKind kinds[KINDS] = {COUPON_AMOUNT, COUPON_PERCENT, COUPON_GIFT, COUPON_AMOUNT,
                                         COUPON_PERCENT};
        k.in.kind = kinds[i];
        k.in.amount_fen = kinds[i] == COUPON_AMOUNT ? 700 + i : 0;
        k.in.rate_bps = kinds[i] == COUPON_PERCENT ? 1234 : 0;
        k.in.cap_fen = i == 4 ? 999 : 0;
        k.in.gift_product = i == 2 ? c->products[2] : 0;
        k.in.min_spend_fen = i == 3 ? 2000 : 0;
        k.in.by_product = i == 1;
        EXPECT_OK(room->ctx, room_write(room, kit_template_body, &k));
        c->templates[i] = k.id;
    }
}

static size_t random_lines(const Chain *c, Prng *r, OrderLine *lines)
{
    const size_t n = 1 + (size_t)prng_below(r, LINES);
    for (size_t i = 0; i < n; i++)
        lines[i] = (OrderLine){.product = c->products[prng_below(r, PRODUCTS)],
                               .quantity = 1 + (int64_t)prng_below(r, 7),
                               .net_fen = (int64_t)prng_below(r, prng_below(r, 4) == 0 ? 9 : 9000),
                               .retail_discount_fen = (int64_t)prng_below(r, 500)};
    return n;
}

/* The coupons one after the other, each on what the ones before left: coupon_discount() itself is held
 * against its model in the coupon room.  Returns why the sale is refused, "" = it is not. */
static const char *model_sale(Room *room, const Sell *s, OrderLine *lines, int64_t *off)
{
    memcpy(lines, s->draft.lines, s->draft.line_count * sizeof *lines);
    for (size_t k = 0; k < s->coupon_count; k++) {
        CouponLine covered[LINES];
        Coupon c;
        CouponTemplate t;
        int64_t discount = 0;
        EXPECT_OK(room->ctx, coupon_find(room->ctx, s->coupons[k], &c));
        EXPECT_OK(room->ctx, coupon_template_find(room->ctx, c.template, &t));
        for (size_t i = 0; i < s->draft.line_count; i++)
            covered[i] = (CouponLine){.product = lines[i].product,
                                      .quantity = lines[i].quantity,
                                      .net_fen = lines[i].net_fen};
        if (coupon_discount(room->ctx, &t, covered, s->draft.line_count, &discount) != ERR_OK)
            return room->ctx->fault.reason;
        for (size_t i = 0; i < s->draft.line_count; i++) {
            lines[i].net_fen -= covered[i].discount_fen;
            lines[i].coupon_discount_fen += covered[i].discount_fen;
        }
        *off += discount;
    }
    return "";
}

static void expect_sale(Room *room, Chain *c, Sell *s)
{
    OrderLine want[LINES];
    Order o;
    int64_t off = 0, net = 0, retail = 0, shares = 0;
    const char *reason = model_sale(room, s, want, &off);
    const Err err = sell(room, s);
    EXPECT_STREQ(err == ERR_OK ? "" : room->ctx->fault.reason, reason);
    if (err != ERR_OK)
        return;
    EXPECT_OK(room->ctx, order_find(room->ctx, s->order.id, &o));
    EXPECT_I64((int64_t)o.line_count, (int64_t)s->draft.line_count);
    for (size_t i = 0; i < o.line_count; i++) {
        EXPECT_I64(memcmp(&o.lines[i], &want[i], sizeof want[i]), 0);
        CHECK(o.lines[i].net_fen >= 0);
        net += want[i].net_fen;
        retail += want[i].retail_discount_fen;
        shares += want[i].coupon_discount_fen;
    }
    EXPECT_I64(o.net_fen, net);
    EXPECT_I64(o.retail_discount_fen, retail);
    EXPECT_I64(o.coupon_discount_fen, off);
    EXPECT_I64(shares, off);
    for (size_t k = 0; k < s->coupon_count; k++) {
        CouponRedemption stored;
        EXPECT_OK(room->ctx,
                  coupon_redemption_find(room->ctx, s->redeemed.redemption[k].id, &stored));
        EXPECT_I64(stored.sale, o.id);
        EXPECT_I64(stored.coupon, s->coupons[k]);
        EXPECT_I64(stored.store, SHOP);
        off -= stored.discount_fen;
    }
    EXPECT_I64(off, 0);
    c->total.sales++;
    c->total.net_fen += net;
    c->total.retail_discount_fen += retail;
    c->total.coupon_discount_fen += shares;
    c->redemptions += (int64_t)s->coupon_count;
    c->discount_fen += shares;
}

static void expect_totals(Room *room, const Chain *c)
{
    OrderDay got;
    CouponSums coupons;
    int64_t discount_fen = 0;
    EXPECT_OK(room->ctx, order_total(room->ctx, &got));
    EXPECT_I64(got.sales, c->total.sales);
    EXPECT_I64(got.returns, c->total.returns);
    EXPECT_I64(got.net_fen, c->total.net_fen);
    EXPECT_I64(got.retail_discount_fen, c->total.retail_discount_fen);
    EXPECT_I64(got.coupon_discount_fen, c->total.coupon_discount_fen);
    EXPECT_OK(room->ctx, coupon_sums(room->ctx, &coupons));
    EXPECT_I64(coupons.redemptions, c->redemptions);
    for (int i = 0; i < KINDS; i++) {
        CouponTotals totals;
        EXPECT_OK(room->ctx, coupon_template_totals(room->ctx, c->templates[i], &totals));
        discount_fen += totals.discount_fen;
    }
    EXPECT_I64(discount_fen, c->discount_fen);
    expect_all_clean(room);
}

ROOM_TEST(order_sales_agree_with_the_model_on_random_baskets_and_coupons, ROOMS)
{
    Prng r = prng_of(5);
    Chain c;
    chain_begin(room, &c);
    for (int i = 0; i < SALES; i++) {
        OrderLine lines[LINES];
        const size_t n = random_lines(&c, &r, lines);
        Sell s = sale(room, arena_printf(room->ctx->arena, "R%d", i).ptr, lines, n);
        s.coupon_count = (size_t)prng_below(&r, 4);
        for (size_t k = 0; k < s.coupon_count; k++)
            s.coupons[k] = kit_coupon(room, c.templates[prng_below(&r, KINDS)], ALICE);
        expect_sale(room, &c, &s);
        room_advance(room, (int64_t)prng_below(&r, (uint64_t)KIT_HOUR_MS));
    }
    expect_totals(room, &c);
    CHECK(c.total.sales > SALES / 3 && c.total.sales < SALES && c.redemptions > 10);
}

/* ---- returns ------------------------------------------------------------------------------------------------ */

/* Pieces of a line that came back, and what for. */
typedef struct Back {
    int64_t quantity, net_fen, retail_fen, coupon_fen;
} Back;

/* One return of random pieces; remembers in `back` what came back of each line. */
static void random_return(Room *room, Chain *c, const Order *sold, Prng *r, Back *back, int number)
{
    Return ret = {.sale = sold->id,
                  .till = STR("T1"),
                  .number = arena_printf(room->ctx->arena, "B%" PRId64 "-%d", sold->id, number)};
    bool too_many = false;
    for (size_t i = 0; i < sold->line_count; i++) {
        const int64_t left = sold->lines[i].quantity - back[i].quantity;
        const int64_t want = (int64_t)prng_below(r, (uint64_t)left + 2);
        if (want == 0)
            continue;
        ret.lines[ret.n++] = (OrderReturnLine){.line = (int64_t)i + 1, .quantity = want};
        too_many = too_many || want > left;
    }
    const Err err = room_write(room, return_body, &ret);
    EXPECT_STREQ(err == ERR_OK ? "" : room->ctx->fault.reason, ret.n == 0 ? "order.invalid"
                                                               : too_many ? "order.returned"
                                                                          : "");
    if (err != ERR_OK)
        return;
    Order o;
    EXPECT_OK(room->ctx, order_find(room->ctx, ret.out.id, &o));
    EXPECT_I64(o.kind, ORDER_RETURN);
    EXPECT_I64(o.original, sold->id);
    EXPECT_I64(o.person, sold->person);
    EXPECT_I64(o.store, sold->store);
    for (size_t i = 0; i < o.line_count; i++) {
        const OrderLine *l = &o.lines[i];
        Back *b = &back[l->original_line - 1];
        CHECK(l->net_fen <= 0 && l->coupon_discount_fen <= 0 && l->retail_discount_fen <= 0);
        EXPECT_I64(l->product, sold->lines[l->original_line - 1].product);
        b->quantity -= l->quantity;
        b->net_fen -= l->net_fen;
        b->retail_fen -= l->retail_discount_fen;
        b->coupon_fen -= l->coupon_discount_fen;
    }
    c->total.returns++;
    c->total.net_fen += o.net_fen;
    c->total.retail_discount_fen += o.retail_discount_fen;
    c->total.coupon_discount_fen += o.coupon_discount_fen;
    bool whole = true;
    for (size_t i = 0; i < sold->line_count; i++)
        whole = whole && back[i].quantity == sold->lines[i].quantity;
    if (whole) /* the sale's coupons came back with it */
        c->discount_fen -= sold->coupon_discount_fen;
}

/* What came back of every line is its floored share; when all pieces did, it is all of it. */
static void expect_shares(const Order *sold, const Back *back)
{
    for (size_t i = 0; i < sold->line_count; i++) {
        const OrderLine *l = &sold->lines[i];
        EXPECT_I64(back[i].net_fen, l->net_fen * back[i].quantity / l->quantity);
        EXPECT_I64(back[i].retail_fen, l->retail_discount_fen * back[i].quantity / l->quantity);
        EXPECT_I64(back[i].coupon_fen, l->coupon_discount_fen * back[i].quantity / l->quantity);
        CHECK(back[i].quantity <= l->quantity);
        if (back[i].quantity == l->quantity)
            EXPECT_I64(back[i].net_fen, l->net_fen);
    }
}

static Err reverse_body(Tx *tx, void *arg)
{
    CouponRedemption r;
    return coupon_reverse(tx, *(const int64_t *)arg, STR("mistake"), &r);
}

ROOM_TEST(order_coupon_comes_back_with_the_whole_sale_and_not_before, ROOMS)
{
    Chain c;
    chain_begin(room, &c);
    OrderLine lines[LINES] = {{.product = c.products[0], .quantity = 2, .net_fen = 90000}};
    Sell s = sale(room, "R1", lines, 1);
    s.coupons[0] = kit_coupon(room, c.templates[0], ALICE);
    s.coupon_count = 1;
    EXPECT_OK(room->ctx, room_write(room, sell_body, &s));
    int64_t redemption = s.redeemed.redemption[0].id;
    EXPECT_FAULT(room->ctx, room_write(room, reverse_body, &redemption), ERR_CONFLICT,
                 "coupon.with_sale");
    for (int piece = 0; piece < 2; piece++) {
        Return back = {.sale = s.order.id,
                       .till = STR("T1"),
                       .number = arena_printf(room->ctx->arena, "B%d", piece),
                       .lines = {{.line = 1, .quantity = 1}},
                       .n = 1};
        Coupon coupon;
        EXPECT_OK(room->ctx, coupon_find(room->ctx, s.coupons[0], &coupon));
        EXPECT_I64(coupon.status, COUPON_REDEEMED);
        EXPECT_OK(room->ctx, room_write(room, return_body, &back));
    }
    Coupon coupon;
    EXPECT_OK(room->ctx, coupon_find(room->ctx, s.coupons[0], &coupon));
    EXPECT_I64(coupon.status, COUPON_ISSUED);
    expect_all_clean(room);
}

ROOM_TEST(order_returns_in_random_pieces_give_back_exactly_each_lines_share, ROOMS)
{
    Prng r = prng_of(6);
    Chain c;
    chain_begin(room, &c);
    for (int i = 0; i < 12; i++) {
        OrderLine lines[LINES];
        Back back[LINES] = {{0}};
        const size_t n = random_lines(&c, &r, lines);
        lines[0].net_fen = 1 + (int64_t)prng_below(&r, 3000);
        Sell s = sale(room, arena_printf(room->ctx->arena, "R%d", i).ptr, lines, n);
        s.coupons[0] = kit_coupon(room, c.templates[0], ALICE);
        s.coupon_count = 1;
        expect_sale(room, &c, &s);
        for (int k = 0; k < 8; k++) {
            random_return(room, &c, &s.order, &r, back, k);
            expect_shares(&s.order, back);
        }
    }
    CHECK(c.total.returns > 12);
    expect_totals(room, &c);
}

ROOM_TEST(order_return_of_what_cannot_come_back_is_refused, ROOMS)
{
    Sell s = sale(room, "R1", TWO, 2);
    EXPECT_OK(room->ctx, sell(room, &s));
    const Return good = {
        .sale = s.order.id, .till = STR("T1"), .number = STR("B1"), .lines = {{1, 1}}, .n = 1};
    const struct {
        OrderReturnLine lines[2];
        size_t n;
        Err err;
        const char *reason;
    } cases[] = {{{{0, 1}}, 1, ERR_CONFLICT, "order.returned"},
                 {{{3, 1}}, 1, ERR_CONFLICT, "order.returned"},
                 {{{1, 0}}, 1, ERR_CONFLICT, "order.returned"},
                 {{{1, -1}}, 1, ERR_CONFLICT, "order.returned"},
                 {{{1, 3}}, 1, ERR_CONFLICT, "order.returned"},
                 {{{1, INT64_MAX}}, 1, ERR_CONFLICT, "order.returned"},
                 {{{1, 1}, {1, 1}}, 2, ERR_CONFLICT, "order.returned"},
                 {{{1, 1}}, 0, ERR_INVALID, "order.invalid"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Return r = good;
        memcpy(r.lines, cases[i].lines, sizeof cases[i].lines);
        r.n = cases[i].n;
        EXPECT_FAULT(room->ctx, room_write(room, return_body, &r), cases[i].err, cases[i].reason);
    }
    Return r = good, nowhere = good, again = good, no_till = good, no_number = good;
    nowhere.sale = 99;
    no_till.till = STR("");
    no_number.number = STR("");
    again.lines[0].line = 2;
    EXPECT_FAULT(room->ctx, room_write(room, return_body, &nowhere), ERR_NOT_FOUND,
                 "order.unknown");
    EXPECT_FAULT(room->ctx, room_write(room, return_body, &no_till), ERR_INVALID, "order.invalid");
    EXPECT_FAULT(room->ctx, room_write(room, return_body, &no_number), ERR_INVALID,
                 "order.invalid");
    EXPECT_I64(orders(room), 1);
    EXPECT_OK(room->ctx, room_write(room, return_body, &r));
    EXPECT_FAULT(room->ctx, room_write(room, return_body, &again), ERR_CONFLICT, "order.exists");
    Return of_return = again;
    of_return.sale = r.out.id;
    of_return.number = STR("B2");
    EXPECT_FAULT(room->ctx, room_write(room, return_body, &of_return), ERR_CONFLICT,
                 "order.not_a_sale");
    expect_all_clean(room);
}

/* ---- imports, days, sums --------------------------------------------------------------------------------------- */

typedef struct Import {
    Order order;
    bool stored;
} Import;

static Err import_body(Tx *tx, void *arg)
{
    Import *i = arg;
    return order_import(tx, &i->order, &i->stored);
}

ROOM_TEST(order_import_stores_what_happened_once, ROOMS)
{
    OrderLine lines[] = {{.product = 1,
                          .quantity = 0, /* as some tills export */
                          .net_fen = 900,
                          .coupon_discount_fen = 100,
                          .match_discount_fen = 5},
                         {.product = 2, .quantity = -1, .net_fen = -100}};
    Import i = {.order = {.store = SHOP,
                          .till = STR("T"),
                          .number = STR("1"),
                          .kind = ORDER_SALE,
                          .business_day = 20200101,
                          .at_ms = ROOM_NOW_MS - 900 * KIT_DAY_MS,
                          .lines = lines,
                          .line_count = 2}};
    EXPECT_OK(room->ctx, room_write(room, import_body, &i));
    EXPECT_I64(i.stored, true);
    EXPECT_I64(i.order.net_fen, 800);
    EXPECT_I64(i.order.coupon_discount_fen, 100);
    EXPECT_I64(i.order.match_discount_fen, 5);
    EXPECT_OK(room->ctx, room_write(room, import_body, &i));
    EXPECT_I64(i.stored, false);
    EXPECT_I64(orders(room), 1);
    Return r = {.sale = 0, .till = STR("T"), .number = STR("B"), .lines = {{1, 1}}, .n = 1};
    OrderDay *days = NULL;
    size_t n = 0;
    EXPECT_OK(room->ctx, order_days(room->ctx, 20200101, 20200102, &days, &n));
    EXPECT_I64((int64_t)n, 1);
    EXPECT_I64(days[0].net_fen, 800);
    Order found;
    i.order.number = STR("2");
    EXPECT_OK(room->ctx, room_write(room, import_body, &i));
    EXPECT_OK(room->ctx, order_find(room->ctx, i.order.id, &found));
    r.sale = found.id;
    EXPECT_FAULT(room->ctx, room_write(room, return_body, &r), ERR_CONFLICT, "order.returned");
    expect_all_clean(room);
}

ROOM_TEST(order_days_hold_the_sales_of_each_business_day, ROOMS)
{
    room->settings.cutover_hour = 4;
    const int64_t four = ROOM_NOW_MS + 16 * KIT_HOUR_MS; /* the 22nd begins */
    const int64_t at[] = {ROOM_NOW_MS, four - 1, four};
    for (size_t i = 0; i < ARRAY_LEN(at); i++) {
        Sell s = sale(room, arena_printf(room->ctx->arena, "R%zu", i).ptr, TWO, 1);
        s.draft.at_ms = at[i];
        s.draft.person = i == 0 ? 0 : ALICE;
        s.draft.store = i == 0 ? SHOP : 8;
        EXPECT_OK(room->ctx, sell(room, &s));
    }
    OrderDay *days = NULL, total;
    OrderSums sums;
    size_t n = 0;
    EXPECT_OK(room->ctx, order_days(room->ctx, 20261121, 20261123, &days, &n));
    EXPECT_I64((int64_t)n, 2);
    EXPECT_I64(days[0].day, 20261121);
    EXPECT_I64(days[0].sales, 2);
    EXPECT_I64(days[0].net_fen, 19800);
    EXPECT_I64(days[1].day, 20261122);
    EXPECT_I64(days[1].sales, 1);
    EXPECT_OK(room->ctx, order_days(room->ctx, 20261121, 20261122, &days, &n));
    EXPECT_I64((int64_t)n, 1);
    EXPECT_OK(room->ctx, order_total(room->ctx, &total));
    EXPECT_I64(total.day, 20261122);
    EXPECT_I64(total.sales, 3);
    EXPECT_OK(room->ctx, order_sums(room->ctx, &sums));
    EXPECT_I64(sums.orders, 3);
    EXPECT_I64(sums.lines, 3);
    EXPECT_I64(sums.people, 1);
    EXPECT_I64(sums.stores, 2);
}

ROOM_TEST(order_totals_of_an_empty_folder_are_zero, ROOMS)
{
    OrderDay total;
    EXPECT_OK(room->ctx, order_total(room->ctx, &total));
    EXPECT_I64(total.day, 0);
    EXPECT_I64(total.sales + total.returns + total.net_fen, 0);
}

/* ---- check ------------------------------------------------------------------------------------------------------ */

static const char *const SPOILT[] = {
    "UPDATE orders SET net_fen = net_fen + 1",
    "UPDATE orders SET retail_discount_fen = retail_discount_fen + 1",
    "UPDATE orders SET coupon_discount_fen = coupon_discount_fen + 1",
    "UPDATE orders SET match_discount_fen = match_discount_fen + 1",
    "UPDATE orders SET lines = lines + 1",
    "UPDATE orders SET business_day = business_day + 1",
    "UPDATE orders SET store = store + 1",
    "UPDATE orders SET kind = 2",
    "UPDATE order_line SET net_fen = net_fen + 1 WHERE line = 2",
    "UPDATE order_line SET retail_discount_fen = retail_discount_fen + 1 WHERE line = 2",
    "UPDATE order_line SET coupon_discount_fen = coupon_discount_fen + 1 WHERE line = 2",
    "UPDATE order_line SET match_discount_fen = match_discount_fen + 1 WHERE line = 2",
    "DELETE FROM order_line WHERE line = 2",
    "UPDATE order_day SET sales = sales + 1",
    "UPDATE order_day SET returns = returns + 1",
    "UPDATE order_day SET net_fen = net_fen + 1",
    "UPDATE order_day SET retail_discount_fen = retail_discount_fen + 1",
    "UPDATE order_day SET coupon_discount_fen = coupon_discount_fen + 1",
    "UPDATE order_day SET match_discount_fen = match_discount_fen + 1",
    "DELETE FROM order_day",
    "UPDATE order_tender SET amount_fen = amount_fen + 1",
};

ROOM_TEST(order_check_names_every_row_that_was_spoilt, ROOMS)
{
    static const char *const TABLES[] = {"orders", "order_line", "order_day", "order_tender"};
    Sell s = sale(room, "R1", TWO, 2);
    s.draft.tenders = &(OrderTender){STR("cash"), 10900};
    s.draft.tender_count = 1;
    EXPECT_OK(room->ctx, sell(room, &s));
    Arena *arena = room->ctx->arena;
    for (size_t t = 0; t < ARRAY_LEN(TABLES); t++)
        kit_sql(room, arena_printf(arena, "CREATE TABLE kept_%s AS SELECT * FROM %s;", TABLES[t],
                                   TABLES[t]));
    for (size_t i = 0; i < ARRAY_LEN(SPOILT); i++) {
        KitReports r = {.what = ""};
        expect_all_clean(room);
        kit_sql(room, arena_printf(arena, "%s;", SPOILT[i]));
        EXPECT_OK(room->ctx, order_check(room->ctx, kit_report, &r));
        EXPECT_STREQ(r.count > 0 ? SPOILT[i] : "not named", SPOILT[i]);
        const int64_t shop = strstr(SPOILT[i], "SET store") != NULL ? SHOP + 1 : SHOP;
        EXPECT_I64(r.id, strncmp(r.what, "store", 5) == 0 ? shop : s.order.id);
        for (size_t t = 0; t < ARRAY_LEN(TABLES); t++)
            kit_sql(room,
                    arena_printf(arena, "DELETE FROM %s; INSERT INTO %s SELECT * FROM kept_%s;",
                                 TABLES[t], TABLES[t], TABLES[t]));
    }
    for (size_t t = 0; t < ARRAY_LEN(TABLES); t++)
        kit_sql(room, arena_printf(arena, "DROP TABLE kept_%s;", TABLES[t]));
}
