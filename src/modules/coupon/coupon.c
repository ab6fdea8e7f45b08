/*
 * modules/coupon/coupon.c -- templates, claims and wallets.
 *
 * A claim checks first and writes after, so a refusal has written nothing.  The stock's UPDATE with
 * its WHERE is the gate: of two claimers only one takes the last piece, on both databases.
 */
#include "modules/coupon/coupon_internal.h"

#include "base/id.h"
#include "coupon.sql.h"
#include "modules/campaign/campaign.h"
#include "modules/catalog/catalog.h"
#include "modules/person/person.h"
#include "modules/setting/setting.h"
#include "modules/store/store.h"

static const int64_t DAY_MS = INT64_C(86400000);

static Serial coupon_ids = {.table = "coupon"};

/* ---- templates ------------------------------------------------------------------------------- */

static CouponTemplate template_of(const Row_coupon_template_find *r)
{
    return (CouponTemplate){.id = r->id,
                            .code = r->code,
                            .name = r->name,
                            .campaign = r->campaign,
                            .kind = (CouponKind)r->kind,
                            .amount_fen = r->amount_fen,
                            .rate_bps = r->rate_bps,
                            .cap_fen = r->cap_fen,
                            .gift_product = r->gift_product,
                            .min_spend_fen = r->min_spend_fen,
                            .claim_from_ms = r->claim_from_ms,
                            .claim_to_ms = r->claim_to_ms,
                            .valid_from_ms = r->valid_from_ms,
                            .valid_to_ms = r->valid_to_ms,
                            .valid_days = r->valid_days,
                            .stock = r->stock,
                            .per_person = r->per_person,
                            .by_product = r->by_product,
                            .by_store = r->by_store,
                            .paused = r->paused};
}

/* The first thing that is wrong with a template: one row per rule. */
static Err template_check(Ctx *ctx, const CouponTemplate *t, bool imported)
{
    const struct {
        bool wrong;
        const char *pointer;
        const char *hint;
    } rules[] = {
        {t->code.len == 0, "/code", "give the template a code of its own"},
        {t->name.len == 0, "/name", "give the template a name"},
        {t->kind < COUPON_AMOUNT || t->kind > COUPON_GIFT, "/kind",
         "choose amount, percent or gift"},
        {t->kind == COUPON_AMOUNT && t->amount_fen == 0 && !imported, "/amount_fen",
         "say how much an amount coupon takes off"},
        {t->kind == COUPON_PERCENT && t->rate_bps == 0, "/rate_bps",
         "say which part a percent coupon takes off"},
        {t->kind == COUPON_GIFT && t->gift_product == 0, "/gift_product",
         "say which product a gift coupon gives"},
        {t->amount_fen < 0 || t->amount_fen > MONEY_FEN_MAX, "/amount_fen", "out of range"},
        {t->rate_bps < 0 || t->rate_bps > 10000, "/rate_bps", "at most 10000 basis points"},
        {t->cap_fen < 0 || t->cap_fen > MONEY_FEN_MAX, "/cap_fen", "out of range"},
        {t->min_spend_fen < 0 || t->min_spend_fen > MONEY_FEN_MAX, "/min_spend_fen",
         "out of range"},
        {t->claim_to_ms <= t->claim_from_ms, "/claim_to", "must be after claim_from"},
        {t->valid_to_ms <= t->valid_from_ms, "/valid_to", "must be after valid_from"},
        {t->valid_days < 0 || t->valid_days > 3660, "/valid_days", "0 to 3660 days"},
        {t->stock < 0, "/stock", "0 (unlimited) or more"},
        {t->per_person < 0, "/per_person", "0 (unlimited) or more"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        if (rules[i].wrong)
            return fail_field(ctx, rules[i].pointer, "coupon.template", "%s", rules[i].hint);
    return ERR_OK;
}

static Err template_references(Ctx *ctx, const CouponTemplate *t)
{
    if (t->campaign != 0) {
        Campaign campaign;
        TRY(campaign_find(ctx, t->campaign, &campaign));
    }
    if (t->gift_product != 0) {
        Product product;
        TRY(catalog_product_find(ctx, t->gift_product, &product));
    }
    return ERR_OK;
}

static Err template_store(Tx *tx, const CouponTemplate *in, int64_t *id)
{
    TRY(template_references(tx->ctx, in));
    const int64_t new_id = id_next(tx->ctx->now_ms);
    int64_t changed = 0;
    TRY(sql_coupon_template_insert(tx,
                                   &(In_coupon_template_insert){.id = new_id,
                                                                .code = in->code,
                                                                .name = in->name,
                                                                .campaign = in->campaign,
                                                                .kind = in->kind,
                                                                .amount_fen = in->amount_fen,
                                                                .rate_bps = in->rate_bps,
                                                                .cap_fen = in->cap_fen,
                                                                .gift_product = in->gift_product,
                                                                .min_spend_fen = in->min_spend_fen,
                                                                .claim_from_ms = in->claim_from_ms,
                                                                .claim_to_ms = in->claim_to_ms,
                                                                .valid_from_ms = in->valid_from_ms,
                                                                .valid_to_ms = in->valid_to_ms,
                                                                .valid_days = in->valid_days,
                                                                .stock = in->stock,
                                                                .per_person = in->per_person,
                                                                .by_product = in->by_product,
                                                                .by_store = in->by_store,
                                                                .created_ms = tx->ctx->now_ms},
                                   &changed));
    if (changed == 0)
        return fail(tx->ctx, ERR_CONFLICT, "coupon.code_taken", "%.*s", STR_ARG(in->code));
    TRY(sql_coupon_stock_insert(tx, new_id, NULL));
    *id = new_id;
    return ERR_OK;
}

Err coupon_template_create(Tx *tx, const CouponTemplate *in, int64_t *id)
{
    TRY(template_check(tx->ctx, in, false));
    return template_store(tx, in, id);
}

Err coupon_template_import(Tx *tx, const CouponTemplate *in, int64_t *id)
{
    TRY(template_check(tx->ctx, in, true));
    return template_store(tx, in, id);
}

Err coupon_template_scope_product(Tx *tx, int64_t template, int64_t product)
{
    return sql_coupon_template_product_insert(tx, template, product, NULL);
}

Err coupon_template_scope_store(Tx *tx, int64_t template, int64_t store)
{
    return sql_coupon_template_store_insert(tx, template, store, NULL);
}

Err coupon_template_scope_size(Ctx *ctx, int64_t template, int64_t *products)
{
    Row_coupon_template_product_count row;
    TRY(sql_coupon_template_product_count(ctx, template, &row));
    *products = row.products;
    return ERR_OK;
}

Err coupon_template_find(Ctx *ctx, int64_t id, CouponTemplate *out)
{
    Row_coupon_template_find row;
    const Err err = sql_coupon_template_find(ctx, id, &row);
    if (err == ERR_NOT_FOUND)
        return fail(ctx, ERR_NOT_FOUND, "coupon.template_unknown", "template %" PRId64, id);
    TRY(err);
    *out = template_of(&row);
    return ERR_OK;
}

Err coupon_template_by_code(Ctx *ctx, Str code, int64_t *id)
{
    Row_coupon_template_by_code row = {0};
    const Err err = sql_coupon_template_by_code(ctx, code, &row);
    if (err != ERR_NOT_FOUND)
        TRY(err);
    *id = err == ERR_NOT_FOUND ? 0 : row.id;
    return ERR_OK;
}

Err coupon_template_page(Ctx *ctx, int64_t before, int64_t max, CouponTemplate **out, size_t *count)
{
    Row_coupon_template_page *rows = NULL;
    TRY(sql_coupon_template_page(ctx, before, max, &rows, count));
    *out = ARENA_ARRAY(ctx->arena, CouponTemplate, *count + 1);
    for (size_t i = 0; i < *count; i++)
        TRY(coupon_template_find(ctx, rows[i].id, &(*out)[i]));
    return ERR_OK;
}

Err coupon_template_pause(Tx *tx, int64_t id, bool paused)
{
    int64_t changed = 0;
    TRY(sql_coupon_template_set_paused(tx, id, paused, &changed));
    if (changed == 0)
        return fail(tx->ctx, ERR_NOT_FOUND, "coupon.template_unknown", "template %" PRId64, id);
    return ERR_OK;
}

Err coupon_template_totals(Ctx *ctx, int64_t id, CouponTotals *out)
{
    Row_coupon_template_totals row;
    TRY(sql_coupon_template_totals(ctx, id, &row));
    *out = (CouponTotals){.issued = row.issued,
                          .redeemed = row.redeemed,
                          .reversed = row.reversed,
                          .discount_fen = row.discount_fen};
    return ERR_OK;
}

Err coupon_days(Ctx *ctx, int64_t from_day, int64_t to_day, CouponDay **out, size_t *count)
{
    Row_coupon_days *rows = NULL;
    TRY(sql_coupon_days(ctx, from_day, to_day, &rows, count));
    *out = ARENA_ARRAY(ctx->arena, CouponDay, *count + 1);
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = (CouponDay){.day = rows[i].day,
                                .totals = {.issued = rows[i].issued,
                                           .redeemed = rows[i].redeemed,
                                           .reversed = rows[i].reversed,
                                           .discount_fen = rows[i].discount_fen}};
    return ERR_OK;
}

Err coupon_total(Ctx *ctx, CouponTotals *out)
{
    Row_coupon_day_totals row;
    TRY(sql_coupon_day_totals(ctx, &row));
    *out = (CouponTotals){.issued = row.issued,
                          .redeemed = row.redeemed,
                          .reversed = row.reversed,
                          .discount_fen = row.discount_fen};
    return ERR_OK;
}

Err coupon_sums(Ctx *ctx, CouponSums *out)
{
    Row_coupon_totals totals;
    Row_coupon_redeemers redeemers;
    TRY(sql_coupon_totals(ctx, &totals));
    TRY(sql_coupon_redeemers(ctx, &redeemers));
    *out = (CouponSums){.templates = totals.templates,
                        .coupons = totals.coupons,
                        .redemptions = totals.redemptions,
                        .reversals = totals.reversals,
                        .redeemers = redeemers.people};
    return ERR_OK;
}

/* ---- claim ------------------------------------------------------------------------------------- */

Err coupon_open(Ctx *ctx, const CouponTemplate *t)
{
    if (t->paused)
        return fail(ctx, ERR_CONFLICT, "coupon.paused", "template %" PRId64, t->id);
    if (ctx->now_ms < t->claim_from_ms || ctx->now_ms >= t->claim_to_ms ||
        ctx->now_ms >= t->valid_to_ms)
        return fail(ctx, ERR_CONFLICT, "coupon.not_open", "template %" PRId64, t->id);
    if (t->stock == 0)
        return ERR_OK;
    Row_coupon_stock_find stock;
    TRY(sql_coupon_stock_find(ctx, t->id, &stock));
    if (stock.issued >= t->stock)
        return fail(ctx, ERR_CONFLICT, "coupon.sold_out", "template %" PRId64, t->id);
    return ERR_OK;
}

static Err claimable(Ctx *ctx, const CouponTemplate *t, int64_t person)
{
    TRY(coupon_open(ctx, t));
    if (t->per_person == 0)
        return ERR_OK;
    Row_coupon_count_of had;
    TRY(sql_coupon_count_of(ctx, person, t->id, &had));
    if (had.coupons >= t->per_person)
        return fail(ctx, ERR_CONFLICT, "coupon.limit", "template %" PRId64, t->id);
    return ERR_OK;
}

/* The coupon's rows and counts, and the event that says so. */
static Err issue(Tx *tx, const CouponTemplate *t, Coupon *c)
{
    TRY(db_serial(tx, &coupon_ids, &c->id));
    TRY(coupon_code_make(tx->ctx, c->id, c->code));
    TRY(sql_coupon_insert(tx,
                          &(In_coupon_insert){.id = c->id,
                                              .template = c->template,
                                              .person = c->person,
                                              .valid_from_ms = c->valid_from_ms,
                                              .valid_to_ms = c->valid_to_ms,
                                              .issued_ms = c->issued_ms},
                          NULL));
    TRY(sql_coupon_state_insert(tx, c->id, NULL));
    TRY(coupon_count(tx, t->id, c->issued_ms, &(CouponTotals){.issued = 1}));
    return coupon_emit(tx, &(CouponHappening){.name = STR("Coupon Claimed"),
                                              .verb = STR("claimed-"),
                                              .coupon = c->id,
                                              .template = t,
                                              .person = c->person,
                                              .at_ms = c->issued_ms});
}

/* A coupon as its template makes it at `issued_ms`. */
static Coupon coupon_of(const Ctx *ctx, const CouponTemplate *t, int64_t person, int64_t issued_ms)
{
    const bool days = t->valid_days > 0;
    const int64_t from = days && issued_ms > t->valid_from_ms ? issued_ms : t->valid_from_ms;
    const int64_t to = days ? from + t->valid_days * DAY_MS : t->valid_to_ms;
    Coupon c = {.template = t->id,
                .person = person,
                .valid_from_ms = from,
                .valid_to_ms = to < t->valid_to_ms ? to : t->valid_to_ms,
                .issued_ms = issued_ms};
    c.status = coupon_status(0, false, c.valid_from_ms, c.valid_to_ms, ctx->now_ms);
    return c;
}

Err coupon_claim(Tx *tx, const CouponTemplate *t, int64_t person, Coupon *out)
{
    TRY(claimable(tx->ctx, t, person));
    int64_t taken = 0;
    TRY(sql_coupon_stock_take(tx, t->id, t->stock, &taken));
    if (taken == 0)
        return fail(tx->ctx, ERR_CONFLICT, "coupon.sold_out", "template %" PRId64, t->id);
    Coupon c = coupon_of(tx->ctx, t, person, tx->ctx->now_ms);
    TRY(issue(tx, t, &c));
    *out = c;
    return ERR_OK;
}

Err coupon_issue_past(Tx *tx, const CouponTemplate *t, int64_t person, int64_t issued_ms,
                      Coupon *out)
{
    int64_t taken = 0;
    TRY(sql_coupon_stock_take(tx, t->id, 0, &taken));
    Coupon c = coupon_of(tx->ctx, t, person, issued_ms);
    TRY(issue(tx, t, &c));
    *out = c;
    return ERR_OK;
}

/* ---- look --------------------------------------------------------------------------------------- */

CouponStatus coupon_status(int64_t redemption, bool is_void, int64_t from_ms, int64_t to_ms,
                           int64_t now_ms)
{
    if (is_void)
        return COUPON_VOID;
    if (redemption != 0)
        return COUPON_REDEEMED;
    if (now_ms >= to_ms)
        return COUPON_EXPIRED;
    return now_ms < from_ms ? COUPON_NOT_YET : COUPON_ISSUED;
}

/* Fills what follows from the stored state: standing redemption, status, code. */
static Err coupon_complete(Ctx *ctx, Coupon *c, int64_t state)
{
    c->redemption = state > 0 ? state - COUPON_STATE_USED : 0;
    c->status = coupon_status(c->redemption, state == COUPON_STATE_VOID, c->valid_from_ms,
                              c->valid_to_ms, ctx->now_ms);
    return coupon_code_make(ctx, c->id, c->code);
}

Err coupon_find(Ctx *ctx, int64_t id, Coupon *out)
{
    Row_coupon_find row;
    const Err err = sql_coupon_find(ctx, id, &row);
    if (err == ERR_NOT_FOUND)
        return fail(ctx, ERR_NOT_FOUND, "coupon.unknown", "coupon %" PRId64, id);
    TRY(err);
    Coupon c = {.id = id,
                .template = row.template,
                .person = row.person,
                .valid_from_ms = row.valid_from_ms,
                .valid_to_ms = row.valid_to_ms,
                .issued_ms = row.issued_ms};
    TRY(coupon_complete(ctx, &c, row.state));
    *out = c;
    return ERR_OK;
}

Err coupon_page(Ctx *ctx, int64_t after, int64_t max, Coupon **out, size_t *count)
{
    Row_coupon_page *rows = NULL;
    TRY(sql_coupon_page(ctx, after, max, &rows, count));
    *out = ARENA_ARRAY(ctx->arena, Coupon, *count + 1);
    for (size_t i = 0; i < *count; i++)
        TRY(coupon_find(ctx, rows[i].id, &(*out)[i]));
    return ERR_OK;
}

Err coupon_wallet(Ctx *ctx, int64_t person, int64_t max, Coupon **out, size_t *count)
{
    Row_coupon_wallet *rows = NULL;
    TRY(sql_coupon_wallet(ctx, person, max, &rows, count));
    *out = ARENA_ARRAY(ctx->arena, Coupon, *count + 1);
    for (size_t i = 0; i < *count; i++) {
        (*out)[i] = (Coupon){.id = rows[i].id,
                             .template = rows[i].template,
                             .person = person,
                             .valid_from_ms = rows[i].valid_from_ms,
                             .valid_to_ms = rows[i].valid_to_ms,
                             .issued_ms = rows[i].issued_ms};
        TRY(coupon_complete(ctx, &(*out)[i], rows[i].state));
    }
    return ERR_OK;
}

/* ---- counts and events ---------------------------------------------------------------------------- */

Err coupon_count(Tx *tx, int64_t template, int64_t at_ms, const CouponTotals *add)
{
    return sql_coupon_day_add(tx,
                              &(In_coupon_day_add){.template = template,
                                                   .day = setting_day(tx->ctx, at_ms),
                                                   .issued = add->issued,
                                                   .redeemed = add->redeemed,
                                                   .reversed = add->reversed,
                                                   .discount_fen = add->discount_fen},
                              NULL);
}
