/*
 * modules/coupon/coupon_http.c -- the doors of coupon.api.yaml.
 */
#include "modules/coupon/coupon_http.h"

#include "base/phone.h"
#include "coupon.api.h"
#include "modules/catalog/catalog.h"
#include "modules/coupon/coupon.h"
#include "modules/person/person_http.h"
#include "modules/store/store.h"
#include "request/request_limit.h"

/* Unknown numbers that a caller may ask for in a minute: of one shop, of the whole chain's tills. */
enum { MISSES_SCOPED = 30, MISSES_CHAIN = 600 };

/* ---- views --------------------------------------------------------------------------------------- */

static Err template_view(Ctx *ctx, const CouponTemplate *t, ApiCouponTemplateView *out)
{
    CouponTotals totals;
    TRY(coupon_template_totals(ctx, t->id, &totals));
    *out = (ApiCouponTemplateView){.id = t->id,
                                   .code = t->code,
                                   .name = t->name,
                                   .kind = (ApiCouponKind)(t->kind - COUPON_AMOUNT),
                                   .amount_fen = t->amount_fen,
                                   .rate_bps = t->rate_bps,
                                   .cap_fen = t->cap_fen,
                                   .min_spend_fen = t->min_spend_fen,
                                   .claim_from = t->claim_from_ms,
                                   .claim_to = t->claim_to_ms,
                                   .valid_from = t->valid_from_ms,
                                   .valid_to = t->valid_to_ms,
                                   .valid_days = t->valid_days,
                                   .stock = t->stock,
                                   .per_person = t->per_person,
                                   .by_product = t->by_product,
                                   .by_store = t->by_store,
                                   .paused = t->paused,
                                   .issued = totals.issued,
                                   .redeemed = totals.redeemed,
                                   .reversed = totals.reversed,
                                   .discount_fen = totals.discount_fen};
    if (t->campaign != 0)
        DTO_SET(out, campaign, t->campaign);
    if (t->gift_product != 0)
        DTO_SET(out, gift_product, t->gift_product);
    return ERR_OK;
}

static Err coupon_view(Ctx *ctx, const Coupon *c, const CouponTemplate *t, Str phone,
                       ApiCouponView *out)
{
    *out = (ApiCouponView){.id = c->id,
                           .code = arena_copy(ctx->arena, str_of(c->code)),
                           .state = (ApiCouponState)c->status,
                           .template = c->template,
                           .person = c->person,
                           .phone = phone,
                           .kind = (ApiCouponKind)(t->kind - COUPON_AMOUNT),
                           .name = t->name,
                           .amount_fen = t->amount_fen,
                           .rate_bps = t->rate_bps,
                           .cap_fen = t->cap_fen,
                           .min_spend_fen = t->min_spend_fen,
                           .valid_from = c->valid_from_ms,
                           .valid_to = c->valid_to_ms,
                           .issued_at = c->issued_ms};
    if (c->redemption != 0)
        DTO_SET(out, redemption, c->redemption);
    if (t->gift_product == 0)
        return ERR_OK;
    Product gift;
    TRY(catalog_product_find(ctx, t->gift_product, &gift));
    DTO_SET(out, gift_product, t->gift_product);
    DTO_SET(out, gift_name, gift.name);
    return ERR_OK;
}
_Static_assert((int)COUPON_VOID == (int)API_COUPON_STATE_VOID &&
                   COUPON_GIFT - COUPON_AMOUNT == (int)API_COUPON_KIND_GIFT,
               "the contract names states and kinds in the same order");

static void redemption_view(const CouponRedemption *r, const CouponTemplate *t,
                            ApiCouponRedemptionView *out)
{
    *out = (ApiCouponRedemptionView){.id = r->id,
                                     .coupon = r->coupon,
                                     .template = r->template,
                                     .template_name = t->name,
                                     .person = r->person,
                                     .discount_fen = r->discount_fen,
                                     .at = r->at_ms};
    if (r->store != 0)
        DTO_SET(out, store, r->store);
    if (r->sale != 0)
        DTO_SET(out, sale, r->sale);
    if (r->reversed_ms != 0)
        DTO_SET(out, reversed_at, r->reversed_ms);
}

/* ---- templates -------------------------------------------------------------------------------------- */

static Err template_list(Work *work, Call *call)
{
    Ctx *ctx = work->ctx;
    const ApiCouponTemplateListQuery *q = call->query;
    ApiCouponTemplatePage *out = call->reply;
    int64_t before = INT64_MAX, unused = 0;
    if (q->cursor_is == DTO_VALUE)
        TRY(request_cursor_read(ctx, q->cursor, &before, &unused));
    CouponTemplate *templates = NULL;
    TRY(coupon_template_page(ctx, before, q->limit, &templates, &out->items_count));
    out->items = ARENA_ARRAY(ctx->arena, ApiCouponTemplateView, out->items_count + 1);
    for (size_t i = 0; i < out->items_count; i++)
        TRY(template_view(ctx, &templates[i], &out->items[i]));
    if (out->items_count == (size_t)q->limit)
        DTO_SET(out, next, request_cursor_make(ctx, templates[out->items_count - 1].id, 0));
    return ERR_OK;
}

static Err template_get(Ctx *ctx, Call *call)
{
    const ApiCouponTemplateGetPath *path = call->params;
    CouponTemplate t;
    TRY(coupon_template_find(ctx, path->id, &t));
    return template_view(ctx, &t, call->reply);
}

static CouponTemplate template_of(const ApiCouponTemplateDraft *in)
{
    return (CouponTemplate){.code = in->code,
                            .name = in->name,
                            .campaign = in->campaign_is == DTO_VALUE ? in->campaign : 0,
                            .kind = (CouponKind)((int)in->kind + COUPON_AMOUNT),
                            .amount_fen = in->amount_fen,
                            .rate_bps = in->rate_bps,
                            .cap_fen = in->cap_fen,
                            .gift_product = in->gift_product_is == DTO_VALUE ? in->gift_product : 0,
                            .min_spend_fen = in->min_spend_fen,
                            .claim_from_ms = in->claim_from,
                            .claim_to_ms = in->claim_to,
                            .valid_from_ms = in->valid_from,
                            .valid_to_ms = in->valid_to,
                            .valid_days = in->valid_days,
                            .stock = in->stock,
                            .per_person = in->per_person,
                            .by_product = in->products_is == DTO_VALUE && in->products_count > 0,
                            .by_store = in->stores_is == DTO_VALUE && in->stores_count > 0};
}

static Err template_create(Tx *tx, Call *call)
{
    Ctx *ctx = tx->ctx;
    const ApiCouponTemplateDraft *in = call->body;
    const CouponTemplate draft = template_of(in);
    int64_t id = 0;
    TRY(coupon_template_create(tx, &draft, &id));
    for (size_t i = 0; draft.by_product && i < in->products_count; i++) {
        Product product;
        TRY(catalog_product_find(ctx, in->products[i], &product));
        TRY(coupon_template_scope_product(tx, id, in->products[i]));
    }
    for (size_t i = 0; draft.by_store && i < in->stores_count; i++) {
        Store store;
        TRY(store_find(ctx, in->stores[i], &store));
        TRY(coupon_template_scope_store(tx, id, in->stores[i]));
    }
    CouponTemplate t;
    TRY(coupon_template_find(ctx, id, &t));
    call->object = id;
    return template_view(ctx, &t, call->reply);
}

static Err template_pause(Tx *tx, Call *call)
{
    const ApiCouponTemplatePausePath *path = call->params;
    const ApiCouponPause *in = call->body;
    TRY(coupon_template_pause(tx, path->id, in->paused));
    CouponTemplate t;
    TRY(coupon_template_find(tx->ctx, path->id, &t));
    call->object = path->id;
    call->audit_detail = in->paused ? STR("paused") : STR("resumed");
    return template_view(tx->ctx, &t, call->reply);
}

/* ---- claim ------------------------------------------------------------------------------------------ */

/* Who claims: a person, or a draft to enrol. */
typedef struct Claimer {
    int64_t person; /* 0: enrol the draft */
    PersonDraft draft;
    Str phone; /* masked; "" = none */
} Claimer;

static Str opt(DtoState is, Str value)
{
    return is == DTO_VALUE ? value : (Str){NULL, 0};
}

static Err exactly_one(Ctx *ctx, int given)
{
    if (given == 1)
        return ERR_OK;
    return fail_field(ctx, "", "coupon.who", "send exactly one of phone, card and person");
}

/* A known person is found here, so that a claim seals nothing and shows the phone without the writer
 * opening secrets. */
static Err claim_known(Ctx *ctx, const ApiCouponClaim *in, Claimer *who)
{
    PersonKey key;
    if (in->person_is == DTO_VALUE) {
        TRY(person_root(ctx, in->person, &who->person));
    } else {
        if (in->phone_is == DTO_VALUE)
            TRY(person_key_phone(ctx, in->phone, &key));
        else
            TRY(person_key(ctx, PERSON_CARD, in->card, &key));
        const Err err = person_by_key(ctx, &key, &who->person);
        if (err != ERR_OK && err != ERR_NOT_FOUND)
            return err;
    }
    if (in->phone_is == DTO_VALUE) {
        who->phone = phone_mask(ctx->arena, key.canonical);
        return ERR_OK;
    }
    Person p = {.phone = STR("")};
    if (who->person != 0)
        TRY(person_find(ctx, who->person, &p));
    who->phone = p.phone;
    return ERR_OK;
}

static Err claim_prepare(Ctx *ctx, Call *call)
{
    const ApiCouponClaim *in = call->body;
    const ApiCouponClaimPath *path = call->params;
    TRY(exactly_one(ctx, (in->phone_is == DTO_VALUE) + (in->card_is == DTO_VALUE) +
                             (in->person_is == DTO_VALUE)));
    Claimer *who = ARENA_NEW(ctx->arena, Claimer);
    call->state = who;
    call->hot_key = path->id;
    TRY(claim_known(ctx, in, who));
    if (who->person != 0)
        return ERR_OK;
    const int64_t store = in->store_is == DTO_VALUE ? in->store : 0;
    if (store != 0) {
        Store found;
        TRY(principal_require_store(ctx, store));
        TRY(store_find(ctx, store, &found));
    }
    return person_http_draft(ctx,
                             &(PersonWanted){.phone = opt(in->phone_is, in->phone),
                                             .card = opt(in->card_is, in->card),
                                             .name = opt(in->name_is, in->name),
                                             .store = store,
                                             .channel = in->channel},
                             &who->draft);
}

static Err claim_apply(Tx *tx, Call *call)
{
    Ctx *ctx = tx->ctx;
    const ApiCouponClaimPath *path = call->params;
    const Claimer *who = call->state;
    int64_t person = who->person;
    bool created = false;
    Coupon c;
    CouponTemplate t;
    TRY(coupon_template_find(ctx, path->id, &t));
    TRY(coupon_open(ctx, &t)); /* a refusal has written nothing, also for somebody new */
    if (person == 0)
        TRY(person_enrol(tx, &who->draft, &person, &created));
    TRY(coupon_claim(tx, &t, person, &c));
    call->object = c.id;
    return coupon_view(ctx, &c, &t, who->phone, call->reply);
}

/* ---- look -------------------------------------------------------------------------------------------- */

static Err look(Ctx *ctx, Call *call)
{
    const ApiCouponLookPath *path = call->params;
    int64_t id = 0;
    Coupon c;
    CouponTemplate t;
    Person p;
    TRY(coupon_code_read(ctx, path->code, &id));
    TRY(coupon_find(ctx, id, &c));
    TRY(coupon_template_find(ctx, c.template, &t));
    TRY(person_find(ctx, c.person, &p));
    return coupon_view(ctx, &c, &t, p.phone, call->reply);
}

static Err find_who(Ctx *ctx, const ApiCouponWho *in, int64_t *person)
{
    TRY(exactly_one(ctx, (in->phone_is == DTO_VALUE) + (in->card_is == DTO_VALUE) +
                             (in->person_is == DTO_VALUE)));
    if (in->person_is == DTO_VALUE)
        return person_root(ctx, in->person, person);
    PersonKey key;
    if (in->phone_is == DTO_VALUE)
        TRY(person_key_phone(ctx, in->phone, &key));
    else
        TRY(person_key(ctx, PERSON_CARD, in->card, &key));
    return person_by_key(ctx, &key, person);
}

static Err wallet(Ctx *ctx, Call *call)
{
    ApiCouponWallet *out = call->reply;
    int64_t person = 0;
    const Err err = find_who(ctx, call->body, &person);
    if (err == ERR_NOT_FOUND) /* a mask hides four digits: nobody may try the ten thousand */
        TRY(request_limit(ctx, "wallet.unknown",
                          ctx->who->store_count > 0 ? MISSES_SCOPED : MISSES_CHAIN));
    TRY(err);
    Person p;
    TRY(person_find(ctx, person, &p));
    *out = (ApiCouponWallet){.person = p.id, .phone = p.phone, .name = p.name};
    Coupon *coupons = NULL;
    TRY(coupon_wallet(ctx, person, 200, &coupons, &out->items_count));
    out->items = ARENA_ARRAY(ctx->arena, ApiCouponView, out->items_count + 1);
    for (size_t i = 0; i < out->items_count; i++) {
        CouponTemplate t;
        TRY(coupon_template_find(ctx, coupons[i].template, &t));
        TRY(coupon_view(ctx, &coupons[i], &t, p.phone, &out->items[i]));
    }
    return ERR_OK;
}

/* ---- redeem ------------------------------------------------------------------------------------------ */

static Err redeem_prepare(Ctx *ctx, Call *call)
{
    const ApiCouponRedeem *in = call->body;
    int64_t *coupon = ARENA_NEW(ctx->arena, int64_t);
    call->state = coupon;
    if ((in->code_is == DTO_VALUE) == (in->coupon_is == DTO_VALUE))
        return fail_field(ctx, "", "coupon.which", "send exactly one of code and coupon");
    TRY(principal_require_store(ctx, in->store));
    Store store;
    TRY(store_find(ctx, in->store, &store));
    if (in->code_is == DTO_VALUE)
        TRY(coupon_code_read(ctx, in->code, coupon));
    else
        *coupon = in->coupon;
    return ERR_OK;
}

/* What it takes off without a basket: an amount its face, the others by what was spent. */
static Err discount_of(Ctx *ctx, const CouponTemplate *t, const ApiCouponRedeem *in, int64_t *out)
{
    *out = 0;
    if (in->spend_fen_is == DTO_VALUE) {
        if (in->spend_fen < t->min_spend_fen)
            return fail(ctx, ERR_CONFLICT, "coupon.min_spend", "template %" PRId64, t->id);
        *out = coupon_spend_discount(t, in->spend_fen);
        if (*out == 0 && t->kind != COUPON_GIFT)
            return fail(ctx, ERR_CONFLICT, "coupon.no_effect", "template %" PRId64, t->id);
        return ERR_OK;
    }
    if (t->kind == COUPON_PERCENT || t->min_spend_fen > 0)
        return fail_field(ctx, "/spend_fen", "coupon.spend",
                          "say what is spent, or redeem it with the sale");
    if (t->kind == COUPON_AMOUNT)
        *out = t->amount_fen;
    return ERR_OK;
}

static Err redeem_apply(Tx *tx, Call *call)
{
    Ctx *ctx = tx->ctx;
    const ApiCouponRedeem *in = call->body;
    const int64_t *id = call->state;
    Coupon c;
    CouponTemplate t;
    TRY(coupon_find(ctx, *id, &c));
    TRY(coupon_template_find(ctx, c.template, &t));
    TRY(coupon_redeemable(ctx, &c, &t, in->store));
    CouponRedemption r = {.store = in->store, .at_ms = ctx->now_ms};
    TRY(discount_of(ctx, &t, in, &r.discount_fen));
    TRY(coupon_redeem(tx, &c, &r));
    call->object = r.id;
    redemption_view(&r, &t, call->reply);
    return ERR_OK;
}

static Err reverse_apply(Tx *tx, Call *call)
{
    const ApiCouponReversePath *path = call->params;
    const ApiCouponReverse *in = call->body;
    CouponRedemption r;
    TRY(coupon_redemption_find(tx->ctx, path->id, &r));
    if (r.store != 0)
        TRY(principal_require_store(tx->ctx, r.store));
    TRY(coupon_reverse(tx, path->id, in->reason, &r));
    call->object = r.id;
    call->audit_detail = in->reason;
    CouponTemplate t;
    TRY(coupon_template_find(tx->ctx, r.template, &t));
    redemption_view(&r, &t, call->reply);
    return ERR_OK;
}

static Err redemption_list(Work *work, Call *call)
{
    Ctx *ctx = work->ctx;
    const ApiCouponRedemptionListQuery *q = call->query;
    ApiCouponRedemptionPage *out = call->reply;
    CouponRedemptionQuery wanted = {.store = q->store_is == DTO_VALUE ? q->store : 0,
                                    .from_ms = q->from_is == DTO_VALUE ? q->from : 0,
                                    .before_ms = INT64_MAX,
                                    .before = INT64_MAX,
                                    .max = q->limit};
    if (q->cursor_is == DTO_VALUE)
        TRY(request_cursor_read(ctx, q->cursor, &wanted.before_ms, &wanted.before));
    Store store;
    if (wanted.store != 0)
        TRY(store_find(ctx, wanted.store, &store));
    CouponRedemption *rows = NULL;
    TRY(coupon_redemption_recent(ctx, &wanted, &rows, &out->items_count));
    out->items = ARENA_ARRAY(ctx->arena, ApiCouponRedemptionView, out->items_count + 1);
    for (size_t i = 0; i < out->items_count; i++) {
        CouponTemplate t;
        TRY(coupon_template_find(ctx, rows[i].template, &t));
        redemption_view(&rows[i], &t, &out->items[i]);
    }
    if (out->items_count == (size_t)q->limit)
        DTO_SET(out, next,
                request_cursor_make(ctx, rows[out->items_count - 1].at_ms,
                                    rows[out->items_count - 1].id));
    return ERR_OK;
}

const Door COUPON_DOORS[] = {
    {.operation = &API_OP_COUPON_TEMPLATE_LIST, .work = template_list},
    {.operation = &API_OP_COUPON_TEMPLATE_CREATE, .apply = template_create},
    {.operation = &API_OP_COUPON_TEMPLATE_GET, .peek = template_get},
    {.operation = &API_OP_COUPON_TEMPLATE_PAUSE, .apply = template_pause},
    {.operation = &API_OP_COUPON_CLAIM, .prepare = claim_prepare, .apply = claim_apply},
    {.operation = &API_OP_COUPON_LOOK, .peek = look},
    {.operation = &API_OP_COUPON_WALLET, .peek = wallet},
    {.operation = &API_OP_COUPON_REDEMPTION_LIST, .work = redemption_list},
    {.operation = &API_OP_COUPON_REDEEM, .prepare = redeem_prepare, .apply = redeem_apply},
    {.operation = &API_OP_COUPON_REVERSE, .apply = reverse_apply},
    {0}};
