/*
 * modules/order/order.h -- a till's sale and its return: lines, tenders, discount shares.
 *
 * Owns:     tables orders, order_line, order_tender, order_day.
 * Promises: an order's totals equal the sums of its lines, at every commit; the shares of a discount
 *           add up to it to the last fen and are stored once; returns of a line take back exactly its
 *           share, all of it when all pieces came back, never more; the same receipt (store, business
 *           day, till, number) is one order however often it is sent; order_check() proves the sums.
 * Depends:  base, db, request, jobs (outbox), store, catalog, person, coupon.
 */
#pragma once

#include "db/db.h"
#include "modules/coupon/coupon.h"

enum {
    ORDER_LINES_MAX = 500,
    ORDER_TENDERS_MAX = 20,
    ORDER_COUPONS_MAX = 8,
    ORDER_TILL_BYTES_MAX = 32,
    ORDER_NUMBER_BYTES_MAX = 64
};

typedef enum OrderKind { ORDER_SALE = 1, ORDER_RETURN = 2 } OrderKind;

typedef struct OrderLine {
    int64_t product;
    int64_t quantity; /* pieces; negative in a return */
    int64_t net_fen;  /* what the chain receives for the line; in a draft: before coupons */
    int64_t retail_discount_fen; /* the shop's own price reduction, already off net_fen */
    int64_t coupon_discount_fen; /* shares of coupons; a draft has 0, imports bring theirs */
    int64_t match_discount_fen;  /* the shop's matching of a manufacturer's coupon (imports) */
    int64_t original_line;       /* return: 1, 2, ... of the sale; else 0 */
} OrderLine;

typedef struct OrderTender {
    Str kind; /* "cash", "wechat", "alipay", "card", ... */
    int64_t amount_fen;
} OrderTender;

typedef struct Order {
    int64_t id;
    int64_t person; /* 0 = nobody we know */
    int64_t store;
    Str till;
    int64_t business_day; /* yyyymmdd; 0 in a draft = that of at_ms */
    Str number;           /* the till's receipt number */
    OrderKind kind;
    int64_t original; /* return: the sale */
    int64_t at_ms;
    OrderLine *lines;
    size_t line_count;
    OrderTender *tenders; /* none = not told; else they must add up to net_fen */
    size_t tender_count;
    int64_t net_fen, retail_discount_fen, coupon_discount_fen, match_discount_fen; /* sums */
} Order;

/* What redeeming with a sale did. */
typedef struct OrderRedeemed {
    size_t count;
    CouponRedemption redemption[ORDER_COUPONS_MAX];
} OrderRedeemed;

/*
 * What the coupons would take off the draft's lines, in the order given, each on what the ones before
 * left; fills net and coupon shares of the lines and the sums.  Changes nothing stored.
 * Errors: those of coupon_redeemable() and coupon_discount(); CONFLICT "order.coupon_twice",
 * "order.coupon_person" (the coupon is another person's).
 */
MUST_USE Err order_quote(Ctx *ctx, Order *draft, const int64_t *coupons, size_t coupon_count,
                         OrderRedeemed *out);

/*
 * Stores a sale and redeems its coupons: all or nothing.  Gives draft->id.
 * Errors: those of order_quote(); INVALID "order.invalid" with the field; CONFLICT "order.exists"
 * (that receipt is stored, also when its coupons are used by now), "order.tender_mismatch" (the hint
 * says what is to pay).
 */
MUST_USE Err order_sell(Tx *tx, Order *draft, const int64_t *coupons, size_t coupon_count,
                        OrderRedeemed *out);

/* For imports: stores an order as it happened; *stored = false when that receipt is there already. */
MUST_USE Err order_import(Tx *tx, Order *order, bool *stored);

/* One line of a return: which line of the sale, how many pieces (> 0). */
typedef struct OrderReturnLine {
    int64_t line;
    int64_t quantity;
} OrderReturnLine;

/*
 * Takes pieces of a sale back.  The refund of a line is its net times the pieces that came back so
 * far, floored, less what was refunded before: the last piece takes the rest.  When nothing of the sale
 * is left, its coupons come back, too (those that are over stay over).
 * Errors: NOT_FOUND "order.unknown"; INVALID "order.invalid" with the field; CONFLICT
 * "order.not_a_sale", "order.returned" (more pieces than are left), "order.exists".
 */
MUST_USE Err order_return(Tx *tx, int64_t sale, Str till, Str number, const OrderReturnLine *lines,
                          size_t n, Order *out);

/* With lines and tenders.  NOT_FOUND "order.unknown". */
MUST_USE Err order_find(Ctx *ctx, int64_t id, Order *out);

/* By id, those above `after`, with lines and tenders. */
MUST_USE Err order_page(Ctx *ctx, int64_t after, int64_t max, Order **out, size_t *count);

/* Sales per business day in [from_day, to_day), yyyymmdd; at most 1,000 days. */
typedef struct OrderDay {
    int64_t day;
    int64_t sales, returns;
    int64_t net_fen, retail_discount_fen, coupon_discount_fen, match_discount_fen;
} OrderDay;
MUST_USE Err order_days(Ctx *ctx, int64_t from_day, int64_t to_day, OrderDay **out, size_t *count);

/* Of all days; `day` is the last one with an order, 0 = none. */
MUST_USE Err order_total(Ctx *ctx, OrderDay *out);

typedef struct OrderSums {
    int64_t orders, lines, people, stores;
} OrderSums;

/* Counts rows: reads everything. */
MUST_USE Err order_sums(Ctx *ctx, OrderSums *out);

/* Compares totals with the rows they stand for; see coupon_check(). */
MUST_USE Err order_check(Ctx *ctx, CheckReport report, void *arg);
