/*
 * modules/coupon/coupon_testkit.h -- what the tests of coupons, of sales and of reports share: templates,
 * claims and redemptions in one call each.
 *
 * Test code only.  Every function is one transaction as the room's doors would run it.
 */
#pragma once

#include "modules/catalog/catalog.h"
#include "modules/coupon/coupon.h"
#include "modules/room_test.h"

/* ---- what coupon_check() and order_check() say ------------------------------------------------- */

typedef struct KitReports {
    int count;
    const char *what; /* of the last one */
    int64_t id;
} KitReports;

static inline void kit_report(void *arg, const char *what, int64_t id)
{
    KitReports *r = arg;
    r->count++;
    r->what = what;
    r->id = id;
}

/* Everything agrees, or the test fails and says what does not. */
static inline void kit_expect_clean(Room *room)
{
    KitReports r = {.what = ""};
    EXPECT_OK(room->ctx, coupon_check(room->ctx, kit_report, &r));
    EXPECT_STREQ(r.what, "");
}

/* Runs SQL text: to spoil a table by hand. */
static inline void kit_sql(Room *room, Str sql)
{
    EXPECT_OK(room->ctx, database_script(room->world.database, room->ctx, sql.ptr));
}

/* ---- templates and products ---------------------------------------------------------------------- */

#define KIT_HOUR_MS INT64_C(3600000)
#define KIT_DAY_MS  INT64_C(86400000)

/* 5.00 off, for everybody, open and valid from an hour ago for ten days, as many as one likes. */
static inline CouponTemplate kit_template(Str code)
{
    return (CouponTemplate){.code = code,
                            .name = STR("满减券"),
                            .kind = COUPON_AMOUNT,
                            .amount_fen = 500,
                            .claim_from_ms = ROOM_NOW_MS - KIT_HOUR_MS,
                            .claim_to_ms = ROOM_NOW_MS + 10 * KIT_DAY_MS,
                            .valid_from_ms = ROOM_NOW_MS - KIT_HOUR_MS,
                            .valid_to_ms = ROOM_NOW_MS + 10 * KIT_DAY_MS};
}

typedef struct KitTemplate {
    CouponTemplate in;
    const int64_t *products, *stores;
    size_t product_count, store_count;
    int64_t id;
} KitTemplate;

static inline Err kit_template_body(Tx *tx, void *arg)
{
    KitTemplate *k = arg;
    TRY(coupon_template_create(tx, &k->in, &k->id));
    for (size_t i = 0; i < k->product_count; i++)
        TRY(coupon_template_scope_product(tx, k->id, k->products[i]));
    for (size_t i = 0; i < k->store_count; i++)
        TRY(coupon_template_scope_store(tx, k->id, k->stores[i]));
    return ERR_OK;
}

static inline int64_t kit_create(Room *room, CouponTemplate in)
{
    KitTemplate k = {.in = in};
    EXPECT_OK(room->ctx, room_write(room, kit_template_body, &k));
    return k.id;
}

typedef struct KitProduct {
    Product in;
    int64_t id;
    bool changed;
} KitProduct;

static inline Err kit_product_body(Tx *tx, void *arg)
{
    KitProduct *k = arg;
    return catalog_product_put(tx, &k->in, &k->id, &k->changed);
}

static inline int64_t kit_product(Room *room, Str code)
{
    KitProduct k = {.in = {.code = code, .name = code}};
    EXPECT_OK(room->ctx, room_write(room, kit_product_body, &k));
    return k.id;
}

/* ---- claim, redeem, reverse ---------------------------------------------------------------------- */

typedef struct KitClaim {
    int64_t template, person;
    Coupon out;
} KitClaim;

static inline Err kit_claim_body(Tx *tx, void *arg)
{
    KitClaim *k = arg;
    CouponTemplate t;
    TRY(coupon_template_find(tx->ctx, k->template, &t));
    return coupon_claim(tx, &t, k->person, &k->out);
}

static inline Err kit_claim(Room *room, int64_t template, int64_t person, Coupon *out)
{
    KitClaim k = {.template = template, .person = person};
    TRY(room_write(room, kit_claim_body, &k));
    *out = k.out;
    return ERR_OK;
}

static inline int64_t kit_coupon(Room *room, int64_t template, int64_t person)
{
    Coupon c = {0};
    EXPECT_OK(room->ctx, kit_claim(room, template, person, &c));
    return c.id;
}

typedef struct KitRedeem {
    int64_t coupon, store, discount_fen;
    CouponRedemption out;
} KitRedeem;

static inline Err kit_redeem_body(Tx *tx, void *arg)
{
    KitRedeem *k = arg;
    Coupon c;
    CouponTemplate t;
    TRY(coupon_find(tx->ctx, k->coupon, &c));
    TRY(coupon_template_find(tx->ctx, c.template, &t));
    TRY(coupon_redeemable(tx->ctx, &c, &t, k->store));
    k->out = (CouponRedemption){
        .store = k->store, .discount_fen = k->discount_fen, .at_ms = tx->ctx->now_ms};
    return coupon_redeem(tx, &c, &k->out);
}

static inline Err kit_redeem(Room *room, int64_t coupon, int64_t discount_fen,
                             CouponRedemption *out)
{
    KitRedeem k = {.coupon = coupon, .store = 7, .discount_fen = discount_fen};
    TRY(room_write(room, kit_redeem_body, &k));
    *out = k.out;
    return ERR_OK;
}

typedef struct KitReverse {
    int64_t redemption;
    CouponRedemption out;
} KitReverse;

static inline Err kit_reverse_body(Tx *tx, void *arg)
{
    KitReverse *k = arg;
    return coupon_reverse(tx, k->redemption, STR("customer changed their mind"), &k->out);
}

static inline Err kit_reverse(Room *room, int64_t redemption)
{
    KitReverse k = {.redemption = redemption};
    return room_write(room, kit_reverse_body, &k);
}
