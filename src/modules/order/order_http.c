/*
 * modules/order/order_http.c -- the doors of order.api.yaml.
 */
#include "modules/order/order_http.h"

#include "modules/catalog/catalog.h"
#include "modules/order/order.h"
#include "modules/person/person.h"
#include "modules/store/store.h"
#include "order.api.h"

/* A sale as it was sent, with everything looked up that needs no lock: made in prepare. */
typedef struct Sale {
    Order order;
    int64_t coupons[ORDER_COUPONS_MAX];
    size_t coupon_count;
    const OrderLine *sent; /* the lines before coupons: apply may run twice */
} Sale;

/* ---- reading --------------------------------------------------------------------------------------- */

static Err read_lines(Ctx *ctx, const ApiSaleDraft *in, Order *o)
{
    o->line_count = in->lines_count;
    o->lines = ARENA_ARRAY(ctx->arena, OrderLine, in->lines_count + 1);
    for (size_t i = 0; i < in->lines_count; i++) {
        const ApiSaleLineDraft *l = &in->lines[i];
        int64_t product = 0;
        TRY(catalog_product_by_code(ctx, l->product, &product));
        if (product == 0) {
            const Str pointer = arena_printf(ctx->arena, "/lines/%zu/product", i);
            return fail_field(ctx, pointer.ptr, "catalog.product_unknown",
                              "there is no product with this code: import it or correct the code");
        }
        o->lines[i] = (OrderLine){.product = product,
                                  .quantity = l->quantity,
                                  .net_fen = l->amount_fen,
                                  .retail_discount_fen = l->retail_discount_fen};
    }
    return ERR_OK;
}

static void read_tenders(Ctx *ctx, const ApiSaleDraft *in, Order *o)
{
    if (in->tenders_is != DTO_VALUE)
        return;
    o->tender_count = in->tenders_count;
    o->tenders = ARENA_ARRAY(ctx->arena, OrderTender, in->tenders_count + 1);
    for (size_t i = 0; i < in->tenders_count; i++)
        o->tenders[i] =
            (OrderTender){.kind = in->tenders[i].kind, .amount_fen = in->tenders[i].amount_fen};
}

/* Somebody who is not enrolled is nobody we know: the sale goes through. */
static Err read_buyer(Ctx *ctx, const ApiSaleDraft *in, int64_t *person)
{
    PersonKey key;
    if (in->phone_is == DTO_VALUE)
        TRY(person_key_phone(ctx, in->phone, &key));
    else if (in->card_is == DTO_VALUE)
        TRY(person_key(ctx, PERSON_CARD, in->card, &key));
    else
        return ERR_OK;
    const Err err = person_by_key(ctx, &key, person);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static Err read_coupons(Ctx *ctx, const ApiSaleDraft *in, Sale *s)
{
    s->coupon_count = in->coupons_is == DTO_VALUE ? in->coupons_count : 0;
    for (size_t i = 0; i < s->coupon_count; i++) {
        const ApiSaleCoupon *c = &in->coupons[i];
        if ((c->code_is == DTO_VALUE) == (c->coupon_is == DTO_VALUE)) {
            const Str pointer = arena_printf(ctx->arena, "/coupons/%zu", i);
            return fail_field(ctx, pointer.ptr, "order.invalid",
                              "send exactly one of code and coupon");
        }
        if (c->code_is == DTO_VALUE)
            TRY(coupon_code_read(ctx, c->code, &s->coupons[i]));
        else
            s->coupons[i] = c->coupon;
    }
    return ERR_OK;
}

static Err read_sale(Ctx *ctx, const ApiSaleDraft *in, Sale *s)
{
    TRY(principal_require_store(ctx, in->store));
    Store store;
    TRY(store_find(ctx, in->store, &store));
    s->order = (Order){.store = in->store,
                       .till = in->till,
                       .number = in->number,
                       .business_day = in->business_day_is == DTO_VALUE ? in->business_day : 0,
                       .kind = ORDER_SALE,
                       .at_ms = in->at_is == DTO_VALUE ? in->at : ctx->now_ms};
    if (s->order.at_ms > ctx->now_ms + INT64_C(86400000))
        return fail_field(ctx, "/at", "order.invalid", "the sale lies in the future");
    TRY(read_lines(ctx, in, &s->order));
    read_tenders(ctx, in, &s->order);
    TRY(read_buyer(ctx, in, &s->order.person));
    TRY(read_coupons(ctx, in, s));
    s->sent = s->order.lines;
    return ERR_OK;
}

/* The order with fresh lines, for a run of the rules. */
static Order fresh(Ctx *ctx, const Sale *s)
{
    Order o = s->order;
    o.lines = ARENA_ARRAY(ctx->arena, OrderLine, o.line_count + 1);
    memcpy(o.lines, s->sent, o.line_count * sizeof *o.lines);
    return o;
}

/* ---- view ------------------------------------------------------------------------------------------ */

static Err view_lines(Ctx *ctx, const Order *o, ApiSaleView *out)
{
    out->lines_count = o->line_count;
    out->lines = ARENA_ARRAY(ctx->arena, ApiSaleLineView, o->line_count + 1);
    for (size_t i = 0; i < o->line_count; i++) {
        Product p;
        TRY(catalog_product_find(ctx, o->lines[i].product, &p));
        out->lines[i] = (ApiSaleLineView){.line = (int64_t)i + 1,
                                          .product = p.code,
                                          .name = p.name,
                                          .quantity = o->lines[i].quantity,
                                          .net_fen = o->lines[i].net_fen,
                                          .retail_discount_fen = o->lines[i].retail_discount_fen,
                                          .coupon_discount_fen = o->lines[i].coupon_discount_fen};
    }
    return ERR_OK;
}

static Err view(Ctx *ctx, const Order *o, const OrderRedeemed *redeemed, ApiSaleView *out)
{
    *out = (ApiSaleView){.kind = o->kind == ORDER_SALE ? API_SALE_VIEW_KIND_SALE
                                                       : API_SALE_VIEW_KIND_RETURN,
                         .store = o->store,
                         .till = o->till,
                         .number = o->number,
                         .at = o->at_ms,
                         .net_fen = o->net_fen,
                         .coupon_discount_fen = o->coupon_discount_fen,
                         .retail_discount_fen = o->retail_discount_fen,
                         .tenders = ARENA_ARRAY(ctx->arena, ApiSaleTender, o->tender_count + 1),
                         .tenders_count = o->tender_count};
    if (o->id != 0)
        DTO_SET(out, id, o->id);
    if (o->original != 0)
        DTO_SET(out, original, o->original);
    if (o->person != 0)
        DTO_SET(out, person, o->person);
    if (o->business_day != 0)
        DTO_SET(out, business_day, (int32_t)o->business_day);
    for (size_t i = 0; i < o->tender_count; i++)
        out->tenders[i] =
            (ApiSaleTender){.kind = o->tenders[i].kind, .amount_fen = o->tenders[i].amount_fen};
    out->redemptions = ARENA_ARRAY(ctx->arena, ApiSaleRedemption, ORDER_COUPONS_MAX);
    for (size_t i = 0; redeemed != NULL && i < redeemed->count; i++) {
        ApiSaleRedemption *r = &out->redemptions[out->redemptions_count++];
        *r = (ApiSaleRedemption){.coupon = redeemed->redemption[i].coupon,
                                 .discount_fen = redeemed->redemption[i].discount_fen};
        if (redeemed->redemption[i].id != 0)
            DTO_SET(r, redemption, redeemed->redemption[i].id);
    }
    return view_lines(ctx, o, out);
}

/* ---- doors ------------------------------------------------------------------------------------------ */

static Err quote(Ctx *ctx, Call *call)
{
    Sale s = {0};
    TRY(read_sale(ctx, call->body, &s));
    OrderRedeemed redeemed;
    TRY(order_quote(ctx, &s.order, s.coupons, s.coupon_count, &redeemed));
    return view(ctx, &s.order, &redeemed, call->reply);
}

static Err sell_prepare(Ctx *ctx, Call *call)
{
    Sale *s = ARENA_NEW(ctx->arena, Sale);
    call->state = s;
    return read_sale(ctx, call->body, s);
}

static Err sell_apply(Tx *tx, Call *call)
{
    const Sale *s = call->state;
    Order o = fresh(tx->ctx, s);
    OrderRedeemed redeemed;
    TRY(order_sell(tx, &o, s->coupons, s->coupon_count, &redeemed));
    call->object = o.id;
    return view(tx->ctx, &o, &redeemed, call->reply);
}

static Err get(Ctx *ctx, Call *call)
{
    const ApiOrderGetPath *path = call->params;
    Order o;
    TRY(order_find(ctx, path->id, &o));
    TRY(principal_require_store(ctx, o.store));
    CouponRedemption *standing = NULL;
    OrderRedeemed redeemed = {0};
    TRY(coupon_of_sale(ctx, o.id, &standing, &redeemed.count));
    ENSURE(ctx, redeemed.count <= ORDER_COUPONS_MAX);
    for (size_t i = 0; i < redeemed.count; i++)
        redeemed.redemption[i] = standing[i];
    return view(ctx, &o, &redeemed, call->reply);
}

static Err return_apply(Tx *tx, Call *call)
{
    Ctx *ctx = tx->ctx;
    const ApiOrderReturnPath *path = call->params;
    const ApiSaleReturn *in = call->body;
    Order sale, back;
    TRY(order_find(ctx, path->id, &sale));
    TRY(principal_require_store(ctx, sale.store));
    OrderReturnLine *lines = ARENA_ARRAY(ctx->arena, OrderReturnLine, in->lines_count + 1);
    for (size_t i = 0; i < in->lines_count; i++)
        lines[i] = (OrderReturnLine){.line = in->lines[i].line, .quantity = in->lines[i].quantity};
    TRY(order_return(tx, path->id, in->till, in->number, lines, in->lines_count, &back));
    call->object = back.id;
    return view(ctx, &back, NULL, call->reply);
}

const Door ORDER_DOORS[] = {
    {.operation = &API_OP_ORDER_QUOTE, .peek = quote},
    {.operation = &API_OP_ORDER_SELL, .prepare = sell_prepare, .apply = sell_apply},
    {.operation = &API_OP_ORDER_GET, .peek = get},
    {.operation = &API_OP_ORDER_RETURN, .apply = return_apply},
    {0}};
