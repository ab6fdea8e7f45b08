/*
 * modules/coupon/coupon.h -- coupon templates (券模板) and coupons (券): claim, redeem, reverse.
 *
 *     template --claim--> issued --redeem--> redeemed --reverse--> issued
 *                           \--void / valid_to_ms passes--> over
 *
 * Owns:     tables coupon_template*, coupon_stock, coupon_day, coupon, coupon_state,
 *           coupon_redemption, coupon_reversal.  No other room writes them.
 * Promises: issued <= stock, coupons of a person <= per_person, and a coupon has at most one standing
 *           redemption, at every commit, however many ask at once; every counter equals its rows
 *           (coupon_check() proves it); a code cannot be guessed (60 secret bits) and a wrong one
 *           costs the database nothing.
 * Depends:  base, db, request, jobs (outbox), store, catalog, person, campaign.
 */
#pragma once

#include "db/db.h"
#include "request/check.h"

enum { COUPON_CODE_BYTES = 25 }; /* "1ABC-DEFG-HJKM-NPQR-STVW" and a NUL */

typedef enum CouponKind { COUPON_AMOUNT = 1, COUPON_PERCENT = 2, COUPON_GIFT = 3 } CouponKind;

typedef enum CouponStatus {
    COUPON_ISSUED,
    COUPON_NOT_YET, /* issued, its window has not begun */
    COUPON_REDEEMED,
    COUPON_EXPIRED,
    COUPON_VOID
} CouponStatus;

typedef struct CouponTemplate {
    int64_t id;
    Str code; /* the chain's own, unique */
    Str name;
    int64_t campaign; /* 0 = none */
    CouponKind kind;
    int64_t amount_fen;                 /* COUPON_AMOUNT: what it takes off */
    int64_t rate_bps;                   /* COUPON_PERCENT: how much it takes off, 1500 = 15 % */
    int64_t cap_fen;                    /* COUPON_PERCENT: at most this; 0 = no cap */
    int64_t gift_product;               /* COUPON_GIFT: one piece of it is free */
    int64_t min_spend_fen;              /* on the lines that it covers; gift: on all but the gift */
    int64_t claim_from_ms, claim_to_ms; /* [from, to) */
    int64_t valid_from_ms, valid_to_ms; /* [from, to) */
    int64_t valid_days;                 /* > 0: that many days from the claim, within valid_to_ms */
    int64_t stock;                      /* 0 = unlimited */
    int64_t per_person;                 /* 0 = unlimited */
    bool by_product, by_store;          /* scoped: see coupon_template_scope_*() */
    bool paused;
} CouponTemplate;

typedef struct Coupon {
    int64_t id;
    int64_t template;
    int64_t person;
    int64_t valid_from_ms, valid_to_ms;
    int64_t issued_ms;
    int64_t redemption;  /* the standing one; 0 = none */
    CouponStatus status; /* at ctx->now_ms */
    char code[COUPON_CODE_BYTES];
} Coupon;

typedef struct CouponTotals {
    int64_t issued, redeemed, reversed; /* redeemed counts reversed ones too */
    int64_t discount_fen;               /* of the standing redemptions */
} CouponTotals;

/* ---- templates ------------------------------------------------------------------------------- */

/*
 * Checks and stores a template; gives it an id.
 * Errors: INVALID "coupon.template" with the field; CONFLICT "coupon.code_taken".
 */
MUST_USE Err coupon_template_create(Tx *tx, const CouponTemplate *in, int64_t *id);

/* For imports: the same, but an amount coupon may come without its amount (0): the source does not say what
 * it took off.  Such a coupon is never burnt on a sale: "coupon.no_effect". */
MUST_USE Err coupon_template_import(Tx *tx, const CouponTemplate *in, int64_t *id);

/* Puts a product or a shop into the scope; the template must have been created by_product/by_store. */
MUST_USE Err coupon_template_scope_product(Tx *tx, int64_t template, int64_t product);
MUST_USE Err coupon_template_scope_store(Tx *tx, int64_t template, int64_t store);

/* How many products are in its scope. */
MUST_USE Err coupon_template_scope_size(Ctx *ctx, int64_t template, int64_t *products);

/* NOT_FOUND "coupon.template_unknown". */
MUST_USE Err coupon_template_find(Ctx *ctx, int64_t id, CouponTemplate *out);

/* By the chain's own code; *id = 0 when there is none. */
MUST_USE Err coupon_template_by_code(Ctx *ctx, Str code, int64_t *id);

/* Everybody's, the last id first, with ids below `before`: for exports. */
MUST_USE Err coupon_template_page(Ctx *ctx, int64_t before, int64_t max, CouponTemplate **out,
                                  size_t *count);

/* A paused template gives no coupons; those already given stay valid. */
MUST_USE Err coupon_template_pause(Tx *tx, int64_t id, bool paused);

MUST_USE Err coupon_template_totals(Ctx *ctx, int64_t id, CouponTotals *out);

/* What happened in coupons per business day in [from_day, to_day), yyyymmdd; at most 1,000 days. */
typedef struct CouponDay {
    int64_t day;
    CouponTotals totals;
} CouponDay;
MUST_USE Err coupon_days(Ctx *ctx, int64_t from_day, int64_t to_day, CouponDay **out,
                         size_t *count);

typedef struct CouponSums {
    int64_t templates, coupons, redemptions, reversals;
    int64_t redeemers; /* people with a standing redemption */
} CouponSums;
/* Counts rows: reads everything. */
MUST_USE Err coupon_sums(Ctx *ctx, CouponSums *out);

/* Over all templates and days, from the counters. */
MUST_USE Err coupon_total(Ctx *ctx, CouponTotals *out);

/* ---- claim ----------------------------------------------------------------------------------- */

/*
 * Gives one coupon to a person; `t` was read in this transaction.
 * Errors: CONFLICT "coupon.paused", "coupon.not_open" (outside
 * the claim window), "coupon.limit" (per person), "coupon.sold_out".    Source: semantics 4.5.
 */
MUST_USE Err coupon_claim(Tx *tx, const CouponTemplate *t, int64_t person, Coupon *out);

/* Whether anybody could claim one now: what needs no person is asked before one is enrolled.
 * Errors: CONFLICT "coupon.paused", "coupon.not_open", "coupon.sold_out". */
MUST_USE Err coupon_open(Ctx *ctx, const CouponTemplate *t);

/* For imports: a coupon issued at `issued_ms`, whatever claim window, limit and stock say; the counts
 * follow. */
MUST_USE Err coupon_issue_past(Tx *tx, const CouponTemplate *t, int64_t person, int64_t issued_ms,
                               Coupon *out);

/* ---- look ------------------------------------------------------------------------------------ */

/* The code of a coupon, and back.  Reading costs no database: INVALID "coupon.code_wrong" for a typing
 * error or a forgery.  Lower case, O for 0, I or L for 1, spaces and dashes are forgiven. */
MUST_USE Err coupon_code_make(Ctx *ctx, int64_t coupon, char out[COUPON_CODE_BYTES]);
MUST_USE Err coupon_code_read(Ctx *ctx, Str code, int64_t *coupon);

/* NOT_FOUND "coupon.unknown". */
MUST_USE Err coupon_find(Ctx *ctx, int64_t id, Coupon *out);

/* A person's coupons, newest first. */
MUST_USE Err coupon_wallet(Ctx *ctx, int64_t person, int64_t max, Coupon **out, size_t *count);

/* Everybody's, by id, those above `after`. */
MUST_USE Err coupon_page(Ctx *ctx, int64_t after, int64_t max, Coupon **out, size_t *count);

/* One line of a basket as far as a coupon cares. */
typedef struct CouponLine {
    int64_t product;
    int64_t quantity;
    int64_t net_fen;      /* before this coupon */
    int64_t discount_fen; /* out: this coupon's share of this line */
} CouponLine;

/*
 * What a coupon takes off a basket, split over the lines it covers by largest remainder.
 * Errors: CONFLICT "coupon.no_product" (no line that it covers), "coupon.min_spend", "coupon.no_effect"
 * (it would take off nothing: it is not burnt).
 */
MUST_USE Err coupon_discount(Ctx *ctx, const CouponTemplate *t, CouponLine *lines, size_t n,
                             int64_t *discount_fen);

/* What an amount or percent coupon takes off when `covered_fen` is bought of what it covers; 0 for a
 * gift, whose price a basket tells. */
int64_t coupon_spend_discount(const CouponTemplate *t, int64_t covered_fen);

/* ---- redeem and reverse ------------------------------------------------------------------------ */

/*
 * Whether a coupon may be redeemed now, in that shop; changes nothing.
 * Errors: CONFLICT "coupon.used" (the detail names the redemption), "coupon.not_yet", "coupon.expired",
 * "coupon.void", "coupon.store".
 */
MUST_USE Err coupon_redeemable(Ctx *ctx, const Coupon *c, const CouponTemplate *t, int64_t store);

typedef struct CouponRedemption {
    int64_t id;
    int64_t coupon, template, person;
    int64_t store; /* 0 = unknown */
    int64_t sale;  /* 0 = without a sale */
    int64_t discount_fen;
    int64_t at_ms;
    int64_t reversed_ms; /* 0 = stands */
} CouponRedemption;

/* Redeems a coupon that coupon_redeemable() let pass, at in->at_ms.  in->id is given here. */
MUST_USE Err coupon_redeem(Tx *tx, const Coupon *c, CouponRedemption *in);

/*
 * Takes a redemption back: the coupon can be used again (unless it is over).
 * Errors: NOT_FOUND "coupon.redemption_unknown"; CONFLICT "coupon.reversed" (already),
 * "coupon.with_sale" (the sale keeps its discount: return the sale instead).
 */
MUST_USE Err coupon_reverse(Tx *tx, int64_t redemption, Str reason, CouponRedemption *out);

/* The standing redemptions of a sale, and taking them all back: for a sale that was wholly returned. */
MUST_USE Err coupon_of_sale(Ctx *ctx, int64_t sale, CouponRedemption **out, size_t *count);
MUST_USE Err coupon_reverse_sale(Tx *tx, int64_t sale, Str reason);

MUST_USE Err coupon_redemption_find(Ctx *ctx, int64_t id, CouponRedemption *out);

/* Newest first, with ids below `before`. */
MUST_USE Err coupon_redemption_page(Ctx *ctx, int64_t before, int64_t max, CouponRedemption **out,
                                    size_t *count);

/* Which redemptions, and from where on a page goes on. */
typedef struct CouponRedemptionQuery {
    int64_t store;             /* 0 = of every shop that the caller may see */
    int64_t from_ms;           /* at or after; 0 = all */
    int64_t before_ms, before; /* below this instant and id; INT64_MAX = from the newest */
    int64_t max;
} CouponRedemptionQuery;

/* Newest first, by instant and then by id.  A caller who works in some shops only sees theirs, and
 * none of an unknown shop.  Errors: DENIED "auth.store" for a shop that is not the caller's. */
MUST_USE Err coupon_redemption_recent(Ctx *ctx, const CouponRedemptionQuery *q,
                                      CouponRedemption **out, size_t *count);

/* Compares counters and states with the rows they stand for: calls `report` with one sentence per
 * difference, at most 100 of each kind. */
MUST_USE Err coupon_check(Ctx *ctx, CheckReport report, void *arg);
