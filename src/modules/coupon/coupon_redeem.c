/*
 * modules/coupon/coupon_redeem.c -- what a coupon takes off, redeeming it, taking that back.
 */
#include "modules/coupon/coupon_internal.h"

#include "coupon.sql.h"
#include "request/principal.h"

#include <stdio.h>
#include <stdlib.h>

static Serial redemption_ids = {.table = "coupon_redemption"};

/* ---- what it takes off -------------------------------------------------------------------------- */

static Err covers(Ctx *ctx, const CouponTemplate *t, int64_t product, bool *out)
{
    *out = true;
    if (t->kind == COUPON_GIFT) {
        *out = product == t->gift_product;
        return ERR_OK;
    }
    if (!t->by_product)
        return ERR_OK;
    Row_coupon_template_has_product row;
    const Err err = sql_coupon_template_has_product(ctx, t->id, product, &row);
    if (err != ERR_NOT_FOUND)
        TRY(err);
    *out = err == ERR_OK;
    return ERR_OK;
}

/* One piece of the gift: its share of the first line that has one. */
static int64_t gift_discount(CouponLine *lines, const int64_t *weight, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (weight[i] == 0 || lines[i].quantity < 1)
            continue;
        lines[i].discount_fen = lines[i].net_fen / lines[i].quantity;
        return lines[i].discount_fen;
    }
    return 0;
}

int64_t coupon_spend_discount(const CouponTemplate *t, int64_t covered_fen)
{
    int64_t off = t->kind == COUPON_AMOUNT ? t->amount_fen : 0;
    if (t->kind == COUPON_PERCENT)
        off = money_rate_floor((Money){covered_fen}, t->rate_bps).fen;
    if (t->kind == COUPON_PERCENT && t->cap_fen > 0 && off > t->cap_fen)
        off = t->cap_fen;
    return off < covered_fen ? off : covered_fen; /* payable never falls below zero */
}

typedef struct Weights {
    int64_t *of; /* by line: what it costs now when it is covered, else 0 */
    int64_t covered_fen, basket_fen;
} Weights;

static Err weigh(Ctx *ctx, const CouponTemplate *t, const CouponLine *lines, size_t n, Weights *w)
{
    bool any = false;
    *w = (Weights){.of = ARENA_ARRAY(ctx->arena, int64_t, n + 1)};
    for (size_t i = 0; i < n; i++) {
        bool covered = false;
        const int64_t net_fen = lines[i].net_fen > 0 ? lines[i].net_fen : 0;
        TRY(covers(ctx, t, lines[i].product, &covered));
        any = any || covered;
        w->of[i] = covered ? net_fen : 0;
        w->covered_fen += w->of[i];
        w->basket_fen += net_fen;
    }
    if (!any)
        return fail(ctx, ERR_CONFLICT, "coupon.no_product", "template %" PRId64, t->id);
    return ERR_OK;
}

Err coupon_discount(Ctx *ctx, const CouponTemplate *t, CouponLine *lines, size_t n,
                    int64_t *discount_fen)
{
    const bool gift = t->kind == COUPON_GIFT;
    Weights w;
    TRY(weigh(ctx, t, lines, n, &w));
    for (size_t i = 0; i < n; i++)
        lines[i].discount_fen = 0;
    const int64_t off =
        gift ? gift_discount(lines, w.of, n) : coupon_spend_discount(t, w.covered_fen);
    if ((gift ? w.basket_fen - off : w.covered_fen) < t->min_spend_fen)
        return fail(ctx, ERR_CONFLICT, "coupon.min_spend", "template %" PRId64, t->id);
    if (off == 0)
        return fail(ctx, ERR_CONFLICT, "coupon.no_effect", "template %" PRId64, t->id);
    if (!gift) {
        Money *share = ARENA_ARRAY(ctx->arena, Money, n);
        money_split((Money){off}, w.of, n, share);
        for (size_t i = 0; i < n; i++)
            lines[i].discount_fen = share[i].fen;
    }
    *discount_fen = off;
    return ERR_OK;
}

/* ---- redeem -------------------------------------------------------------------------------------- */

Err coupon_redeemable(Ctx *ctx, const Coupon *c, const CouponTemplate *t, int64_t store)
{
    switch (c->status) {
    case COUPON_REDEEMED:
        return fail(ctx, ERR_CONFLICT, "coupon.used", "coupon %" PRId64 " redemption %" PRId64,
                    c->id, c->redemption);
    case COUPON_NOT_YET:
        return fail(ctx, ERR_CONFLICT, "coupon.not_yet", "coupon %" PRId64, c->id);
    case COUPON_EXPIRED:
        return fail(ctx, ERR_CONFLICT, "coupon.expired", "coupon %" PRId64, c->id);
    case COUPON_VOID:
        return fail(ctx, ERR_CONFLICT, "coupon.void", "coupon %" PRId64, c->id);
    case COUPON_ISSUED:
        break;
    }
    if (!t->by_store)
        return ERR_OK;
    Row_coupon_template_has_store row;
    const Err err = sql_coupon_template_has_store(ctx, t->id, store, &row);
    if (err == ERR_NOT_FOUND)
        return fail(ctx, ERR_CONFLICT, "coupon.store", "store %" PRId64, store);
    return err;
}

Err coupon_redeem(Tx *tx, const Coupon *c, CouponRedemption *in)
{
    CHECK(in->discount_fen >= 0 && money_in_range(in->discount_fen));
    TRY(db_serial(tx, &redemption_ids, &in->id));
    int64_t changed = 0;
    TRY(sql_coupon_state_set(tx, c->id, COUPON_STATE_UNUSED, COUPON_STATE_USED + in->id, &changed));
    if (changed == 0) /* somebody was faster between our look and our write (PostgreSQL) */
        return fail(tx->ctx, ERR_CONFLICT, "coupon.used", "coupon %" PRId64, c->id);
    in->coupon = c->id;
    in->template = c->template;
    in->person = c->person;
    TRY(sql_coupon_redemption_insert(
        tx,
        &(In_coupon_redemption_insert){.id = in->id,
                                       .coupon = in->coupon,
                                       .template = in->template,
                                       .person = in->person,
                                       .store = in->store,
                                       .sale = in->sale,
                                       .discount_fen = in->discount_fen,
                                       .at_ms = in->at_ms,
                                       .who = tx->ctx->who->id},
        NULL));
    TRY(coupon_count(tx, c->template, in->at_ms,
                     &(CouponTotals){.redeemed = 1, .discount_fen = in->discount_fen}));
    return coupon_emit(tx, &(CouponHappening){.name = STR("Coupon Redeemed"),
                                              .verb = STR("redeemed-"),
                                              .coupon = c->id,
                                              .template = &(CouponTemplate){.id = c->template},
                                              .person = c->person,
                                              .redemption = in->id,
                                              .store = in->store,
                                              .sale = in->sale,
                                              .discount_fen = in->discount_fen,
                                              .at_ms = in->at_ms});
}

/* ---- reverse --------------------------------------------------------------------------------------- */

Err coupon_redemption_find(Ctx *ctx, int64_t id, CouponRedemption *out)
{
    Row_coupon_redemption_find row;
    const Err err = sql_coupon_redemption_find(ctx, id, &row);
    if (err == ERR_NOT_FOUND)
        return fail(ctx, ERR_NOT_FOUND, "coupon.redemption_unknown", "redemption %" PRId64, id);
    TRY(err);
    *out = (CouponRedemption){.id = id,
                              .coupon = row.coupon,
                              .template = row.template,
                              .person = row.person,
                              .store = row.store,
                              .sale = row.sale,
                              .discount_fen = row.discount_fen,
                              .at_ms = row.at_ms,
                              .reversed_ms = row.reversed_ms.v};
    return ERR_OK;
}

Err coupon_redemption_page(Ctx *ctx, int64_t before, int64_t max, CouponRedemption **out,
                           size_t *count)
{
    Row_coupon_redemption_page *rows = NULL;
    TRY(sql_coupon_redemption_page(ctx, before, max, &rows, count));
    *out = ARENA_ARRAY(ctx->arena, CouponRedemption, *count + 1);
    for (size_t i = 0; i < *count; i++)
        TRY(coupon_redemption_find(ctx, rows[i].id, &(*out)[i]));
    return ERR_OK;
}

static int later_first(const void *a, const void *b)
{
    const Row_coupon_redemption_recent_in *x = a, *y = b;
    if (x->at_ms != y->at_ms)
        return x->at_ms < y->at_ms ? 1 : -1;
    return (x->id < y->id) - (x->id > y->id);
}

/* A page of each shop, and the newest of them all: the page of the shops together. */
static Err recent_in(Ctx *ctx, const CouponRedemptionQuery *q, const int64_t *stores,
                     size_t store_count, int64_t **ids, size_t *count)
{
    const size_t max = (size_t)q->max;
    Row_coupon_redemption_recent_in *all =
        ARENA_ARRAY(ctx->arena, Row_coupon_redemption_recent_in, store_count * max + 1);
    size_t found = 0;
    for (size_t i = 0; i < store_count; i++) {
        Row_coupon_redemption_recent_in *rows = NULL;
        size_t n = 0;
        TRY(sql_coupon_redemption_recent_in(ctx, stores[i], q->from_ms, q->before_ms, q->before,
                                            q->max, &rows, &n));
        for (size_t k = 0; k < n; k++)
            all[found++] = rows[k];
    }
    qsort(all, found, sizeof *all, later_first);
    *ids = ARENA_ARRAY(ctx->arena, int64_t, max + 1);
    *count = 0;
    for (size_t i = 0; i < found && *count < max; i++)
        if (i == 0 || all[i].id != all[i - 1].id) /* an account may name a shop twice */
            (*ids)[(*count)++] = all[i].id;
    return ERR_OK;
}

static Err recent_anywhere(Ctx *ctx, const CouponRedemptionQuery *q, int64_t **ids, size_t *count)
{
    Row_coupon_redemption_recent *rows = NULL;
    TRY(sql_coupon_redemption_recent(ctx, q->from_ms, q->before_ms, q->before, q->max, &rows,
                                     count));
    *ids = ARENA_ARRAY(ctx->arena, int64_t, *count + 1);
    for (size_t i = 0; i < *count; i++)
        (*ids)[i] = rows[i].id;
    return ERR_OK;
}

Err coupon_redemption_recent(Ctx *ctx, const CouponRedemptionQuery *q, CouponRedemption **out,
                             size_t *count)
{
    const Principal *who = ctx->who;
    int64_t *ids = NULL;
    if (q->store != 0) {
        TRY(principal_require_store(ctx, q->store));
        TRY(recent_in(ctx, q, &q->store, 1, &ids, count));
    } else if (who->store_count > 0) {
        TRY(recent_in(ctx, q, who->stores, (size_t)who->store_count, &ids, count));
    } else {
        TRY(recent_anywhere(ctx, q, &ids, count));
    }
    *out = ARENA_ARRAY(ctx->arena, CouponRedemption, *count + 1);
    for (size_t i = 0; i < *count; i++)
        TRY(coupon_redemption_find(ctx, ids[i], &(*out)[i]));
    return ERR_OK;
}

/* Whatever sale it belongs to. */
static Err take_back(Tx *tx, CouponRedemption r, Str reason, CouponRedemption *out)
{
    Ctx *ctx = tx->ctx;
    if (r.reversed_ms != 0)
        return fail(ctx, ERR_CONFLICT, "coupon.reversed", "redemption %" PRId64, r.id);
    int64_t changed = 0;
    TRY(sql_coupon_state_set(tx, r.coupon, COUPON_STATE_USED + r.id, COUPON_STATE_UNUSED,
                             &changed));
    if (changed == 0)
        return fail(ctx, ERR_CONFLICT, "coupon.reversed", "redemption %" PRId64, r.id);
    TRY(sql_coupon_reversal_insert(tx, r.id, ctx->now_ms, ctx->who->id, reason, NULL));
    TRY(coupon_count(tx, r.template, ctx->now_ms,
                     &(CouponTotals){.reversed = 1, .discount_fen = -r.discount_fen}));
    r.reversed_ms = ctx->now_ms;
    *out = r;
    return coupon_emit(tx, &(CouponHappening){.name = STR("Coupon Reversed"),
                                              .verb = STR("reversed-"),
                                              .coupon = r.coupon,
                                              .template = &(CouponTemplate){.id = r.template},
                                              .person = r.person,
                                              .redemption = r.id,
                                              .store = r.store,
                                              .sale = r.sale,
                                              .discount_fen = r.discount_fen,
                                              .at_ms = ctx->now_ms});
}

Err coupon_reverse(Tx *tx, int64_t redemption, Str reason, CouponRedemption *out)
{
    CouponRedemption r = {0};
    TRY(coupon_redemption_find(tx->ctx, redemption, &r));
    if (r.sale != 0 && r.reversed_ms == 0)
        return fail(tx->ctx, ERR_CONFLICT, "coupon.with_sale", "sale %" PRId64, r.sale);
    return take_back(tx, r, reason, out);
}

Err coupon_of_sale(Ctx *ctx, int64_t sale, CouponRedemption **out, size_t *count)
{
    Row_coupon_redemptions_of_sale *rows = NULL;
    TRY(sql_coupon_redemptions_of_sale(ctx, sale, &rows, count));
    *out = ARENA_ARRAY(ctx->arena, CouponRedemption, *count + 1);
    for (size_t i = 0; i < *count; i++)
        TRY(coupon_redemption_find(ctx, rows[i].id, &(*out)[i]));
    return ERR_OK;
}

Err coupon_reverse_sale(Tx *tx, int64_t sale, Str reason)
{
    CouponRedemption *standing = NULL, reversed;
    size_t n = 0;
    TRY(coupon_of_sale(tx->ctx, sale, &standing, &n));
    for (size_t i = 0; i < n; i++)
        TRY(take_back(tx, standing[i], reason, &reversed));
    return ERR_OK;
}

/* ---- check ----------------------------------------------------------------------------------------- */

static Err check_counts(Ctx *ctx, CheckReport report, void *arg)
{
    Row_coupon_check_issued *issued = NULL;
    Row_coupon_check_redeemed *redeemed = NULL;
    size_t n = 0;
    TRY(sql_coupon_check_issued(ctx, &issued, &n));
    for (size_t i = 0; i < n; i++)
        report(arg, "coupon template: the issued count differs from its coupons",
               issued[i].template);
    TRY(sql_coupon_check_redeemed(ctx, &redeemed, &n));
    for (size_t i = 0; i < n; i++)
        report(arg, "coupon template: the day counts differ from its redemptions",
               redeemed[i].template);
    return ERR_OK;
}

static Err check_strays(Ctx *ctx, CheckReport report, void *arg)
{
    static const char *const WHAT[] = {"coupon template: a day counts what no template gave",
                                       "coupon: it has a state but is not there",
                                       "coupon: a redemption is another person's or template's",
                                       "redemption: it was taken back but is not there"};
    Row_coupon_check_strays *rows = NULL;
    size_t n = 0;
    TRY(sql_coupon_check_strays(ctx, &rows, &n));
    for (size_t i = 0; i < n; i++)
        report(arg, WHAT[rows[i].what - 1], rows[i].id);
    return ERR_OK;
}

Err coupon_check(Ctx *ctx, CheckReport report, void *arg)
{
    TRY(check_counts(ctx, report, arg));
    TRY(check_strays(ctx, report, arg));
    Row_coupon_check_state *states = NULL;
    size_t n = 0;
    TRY(sql_coupon_check_state(ctx, &states, &n));
    for (size_t i = 0; i < n; i++)
        report(arg, "coupon: its state differs from its redemptions", states[i].id);
    return ERR_OK;
}
