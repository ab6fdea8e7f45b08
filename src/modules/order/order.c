/*
 * modules/order/order.c -- quoting, selling, importing.
 */
#include "modules/order/order_internal.h"

#include "base/id.h"
#include "base/money.h"
#include "jobs/outbox.h"
#include "modules/person/person.h"
#include "modules/setting/setting.h"
#include "order.sql.h"
#include "request/principal.h"

void order_sum(Order *o)
{
    o->net_fen = o->retail_discount_fen = o->coupon_discount_fen = o->match_discount_fen = 0;
    for (size_t i = 0; i < o->line_count; i++) {
        o->net_fen += o->lines[i].net_fen;
        o->retail_discount_fen += o->lines[i].retail_discount_fen;
        o->coupon_discount_fen += o->lines[i].coupon_discount_fen;
        o->match_discount_fen += o->lines[i].match_discount_fen;
    }
}

/* ---- quote --------------------------------------------------------------------------------------- */

static Err quote_one(Ctx *ctx, Order *draft, int64_t coupon_id, CouponLine *lines,
                     CouponRedemption *out)
{
    Coupon c;
    CouponTemplate t;
    TRY(coupon_find(ctx, coupon_id, &c));
    TRY(coupon_template_find(ctx, c.template, &t));
    TRY(coupon_redeemable(ctx, &c, &t, draft->store));
    if (draft->person != 0 && draft->person != c.person)
        return fail(ctx, ERR_CONFLICT, "order.coupon_person", "coupon %" PRId64, c.id);
    draft->person = c.person; /* a coupon's code alone also says who is buying */
    for (size_t i = 0; i < draft->line_count; i++)
        lines[i] = (CouponLine){.product = draft->lines[i].product,
                                .quantity = draft->lines[i].quantity,
                                .net_fen = draft->lines[i].net_fen};
    int64_t off = 0;
    TRY(coupon_discount(ctx, &t, lines, draft->line_count, &off));
    for (size_t i = 0; i < draft->line_count; i++) {
        draft->lines[i].net_fen -= lines[i].discount_fen;
        draft->lines[i].coupon_discount_fen += lines[i].discount_fen;
    }
    *out = (CouponRedemption){.coupon = c.id,
                              .template = c.template,
                              .person = c.person,
                              .store = draft->store,
                              .discount_fen = off,
                              .at_ms = draft->at_ms};
    return ERR_OK;
}

Err order_quote(Ctx *ctx, Order *draft, const int64_t *coupons, size_t coupon_count,
                OrderRedeemed *out)
{
    CHECK(coupon_count <= ORDER_COUPONS_MAX);
    out->count = 0;
    CouponLine *lines = ARENA_ARRAY(ctx->arena, CouponLine, draft->line_count + 1);
    for (size_t i = 0; i < coupon_count; i++) {
        for (size_t k = 0; k < i; k++)
            if (coupons[k] == coupons[i])
                return fail(ctx, ERR_CONFLICT, "order.coupon_twice", "coupon %" PRId64, coupons[i]);
        TRY(quote_one(ctx, draft, coupons[i], lines, &out->redemption[i]));
        out->count++;
    }
    order_sum(draft);
    return ERR_OK;
}

/* ---- store ----------------------------------------------------------------------------------------- */

static Err insert_header(Tx *tx, const Order *o, int64_t *inserted)
{
    return sql_order_insert(tx,
                            &(In_order_insert){.id = o->id,
                                               .person = o->person,
                                               .store = o->store,
                                               .till = o->till,
                                               .business_day = o->business_day,
                                               .number = o->number,
                                               .kind = o->kind,
                                               .original = o->original,
                                               .net_fen = o->net_fen,
                                               .retail_discount_fen = o->retail_discount_fen,
                                               .coupon_discount_fen = o->coupon_discount_fen,
                                               .match_discount_fen = o->match_discount_fen,
                                               .lines = (int64_t)o->line_count,
                                               .at_ms = o->at_ms,
                                               .who = tx->ctx->who->id},
                            inserted);
}

static Err insert_lines(Tx *tx, const Order *o)
{
    for (size_t i = 0; i < o->line_count; i++) {
        const OrderLine *l = &o->lines[i];
        TRY(sql_order_line_insert(
            tx,
            &(In_order_line_insert){.sale = o->id,
                                    .line = (int64_t)i + 1,
                                    .product = l->product,
                                    .quantity = l->quantity,
                                    .net_fen = l->net_fen,
                                    .retail_discount_fen = l->retail_discount_fen,
                                    .coupon_discount_fen = l->coupon_discount_fen,
                                    .match_discount_fen = l->match_discount_fen,
                                    .original_line = l->original_line},
            NULL));
    }
    for (size_t i = 0; i < o->tender_count; i++)
        TRY(sql_order_tender_insert(tx, o->id, (int64_t)i + 1, o->tenders[i].kind,
                                    o->tenders[i].amount_fen, NULL));
    return ERR_OK;
}

static Err add_to_day(Tx *tx, const Order *o)
{
    return sql_order_day_add(tx,
                             &(In_order_day_add){.day = o->business_day,
                                                 .store = o->store,
                                                 .sales = o->kind == ORDER_SALE,
                                                 .returns = o->kind == ORDER_RETURN,
                                                 .net_fen = o->net_fen,
                                                 .retail_discount_fen = o->retail_discount_fen,
                                                 .coupon_discount_fen = o->coupon_discount_fen,
                                                 .match_discount_fen = o->match_discount_fen},
                             NULL);
}

Err order_store(Tx *tx, Order *o, bool *stored)
{
    o->id = id_next(tx->ctx->now_ms);
    if (o->business_day == 0)
        o->business_day = setting_day(tx->ctx, o->at_ms);
    int64_t inserted = 0;
    TRY(insert_header(tx, o, &inserted));
    *stored = inserted != 0;
    if (!*stored)
        return ERR_OK;
    TRY(insert_lines(tx, o));
    TRY(add_to_day(tx, o));
    return order_emit(tx, o);
}

/* ---- sell ------------------------------------------------------------------------------------------ */

static Err check_line(Ctx *ctx, const OrderLine *l, size_t i)
{
    const struct {
        bool wrong;
        const char *field;
        const char *hint;
    } rules[] = {
        {l->product == 0, "product", "name a product of the catalogue"},
        {l->quantity < 1 || l->quantity > 1000000, "quantity", "1 to 1000000 pieces"},
        {l->net_fen < 0 || l->net_fen > MONEY_FEN_MAX / ORDER_LINES_MAX, "amount_fen",
         "what the line costs, 0 or more"},
        {l->retail_discount_fen < 0 || l->retail_discount_fen > MONEY_FEN_MAX / ORDER_LINES_MAX,
         "retail_discount_fen", "0 or more"}};
    for (size_t r = 0; r < ARRAY_LEN(rules); r++)
        if (rules[r].wrong) {
            const Str pointer = arena_printf(ctx->arena, "/lines/%zu/%s", i, rules[r].field);
            return fail_field(ctx, pointer.ptr, "order.invalid", "%s", rules[r].hint);
        }
    return ERR_OK;
}

Err order_check_head(Ctx *ctx, const Order *o)
{
    if (o->line_count == 0 || o->line_count > ORDER_LINES_MAX)
        return fail_field(ctx, "/lines", "order.invalid", "1 to %d lines", ORDER_LINES_MAX);
    if (o->till.len == 0 || o->till.len > ORDER_TILL_BYTES_MAX)
        return fail_field(ctx, "/till", "order.invalid", "1 to %d bytes", ORDER_TILL_BYTES_MAX);
    if (o->number.len == 0 || o->number.len > ORDER_NUMBER_BYTES_MAX)
        return fail_field(ctx, "/number", "order.invalid", "1 to %d bytes", ORDER_NUMBER_BYTES_MAX);
    if (o->tender_count > ORDER_TENDERS_MAX)
        return fail_field(ctx, "/tenders", "order.invalid", "at most %d", ORDER_TENDERS_MAX);
    return ERR_OK;
}

static Err check_lines(Ctx *ctx, const Order *o)
{
    for (size_t i = 0; i < o->line_count; i++)
        TRY(check_line(ctx, &o->lines[i], i));
    return ERR_OK;
}

/* After the coupons: what was paid must be what is to pay. */
static Err check_tenders(Ctx *ctx, const Order *o)
{
    int64_t paid_fen = 0;
    if (o->tender_count == 0)
        return ERR_OK;
    for (size_t i = 0; i < o->tender_count; i++)
        if (!money_in_range(o->tenders[i].amount_fen) ||
            !money_in_range(paid_fen += o->tenders[i].amount_fen))
            return fail_field(ctx, "/tenders", "order.invalid", "an amount is out of range");
    if (paid_fen == o->net_fen)
        return ERR_OK;
    const Err err =
        fail_field(ctx, "/tenders", "order.tender_mismatch",
                   "to pay %" PRId64 ", tendered %" PRId64 " (minor units)", o->net_fen, paid_fen);
    return err == ERR_INVALID ? ERR_CONFLICT : err; /* a rule, not a malformed field */
}

/* A till that sends its sale again hears that it is stored, not that its coupon is used. */
static Err quote_for_sale(Ctx *ctx, Order *draft, const int64_t *coupons, size_t coupon_count,
                          OrderRedeemed *out)
{
    const Err err = order_quote(ctx, draft, coupons, coupon_count, out);
    if (err != ERR_CONFLICT)
        return err;
    const Fault why = ctx->fault;
    const int64_t day =
        draft->business_day == 0 ? setting_day(ctx, draft->at_ms) : draft->business_day;
    Row_order_by_natural row;
    const Err found =
        sql_order_by_natural(ctx, draft->store, day, draft->till, draft->number, &row);
    if (found == ERR_OK)
        return fail(ctx, ERR_CONFLICT, "order.exists", "order %" PRId64, row.id);
    ctx->fault = why;
    return found == ERR_NOT_FOUND ? err : found;
}

Err order_sell(Tx *tx, Order *draft, const int64_t *coupons, size_t coupon_count,
               OrderRedeemed *out)
{
    Ctx *ctx = tx->ctx;
    TRY(order_check_head(ctx, draft));
    TRY(check_lines(ctx, draft));
    TRY(quote_for_sale(ctx, draft, coupons, coupon_count, out));
    TRY(check_tenders(ctx, draft));
    draft->kind = ORDER_SALE;
    bool stored = false;
    TRY(order_store(tx, draft, &stored));
    if (!stored)
        return fail(ctx, ERR_CONFLICT, "order.exists", "store %" PRId64, draft->store);
    for (size_t i = 0; i < out->count; i++) {
        Coupon c;
        TRY(coupon_find(ctx, out->redemption[i].coupon, &c));
        out->redemption[i].sale = draft->id;
        TRY(coupon_redeem(tx, &c, &out->redemption[i]));
    }
    return ERR_OK;
}

Err order_import(Tx *tx, Order *order, bool *stored)
{
    order_sum(order);
    return order_store(tx, order, stored);
}

/* ---- look ------------------------------------------------------------------------------------------- */

static Err read_lines(Ctx *ctx, Order *o)
{
    Row_order_lines *rows = NULL;
    TRY(sql_order_lines(ctx, o->id, &rows, &o->line_count));
    o->lines = ARENA_ARRAY(ctx->arena, OrderLine, o->line_count + 1);
    for (size_t i = 0; i < o->line_count; i++)
        o->lines[i] = (OrderLine){.product = rows[i].product,
                                  .quantity = rows[i].quantity,
                                  .net_fen = rows[i].net_fen,
                                  .retail_discount_fen = rows[i].retail_discount_fen,
                                  .coupon_discount_fen = rows[i].coupon_discount_fen,
                                  .match_discount_fen = rows[i].match_discount_fen,
                                  .original_line = rows[i].original_line};
    Row_order_tenders *tenders = NULL;
    TRY(sql_order_tenders(ctx, o->id, &tenders, &o->tender_count));
    o->tenders = ARENA_ARRAY(ctx->arena, OrderTender, o->tender_count + 1);
    for (size_t i = 0; i < o->tender_count; i++)
        o->tenders[i] = (OrderTender){.kind = tenders[i].kind, .amount_fen = tenders[i].amount_fen};
    return ERR_OK;
}

Err order_find(Ctx *ctx, int64_t id, Order *out)
{
    Row_order_find row;
    const Err err = sql_order_find(ctx, id, &row);
    if (err == ERR_NOT_FOUND)
        return fail(ctx, ERR_NOT_FOUND, "order.unknown", "order %" PRId64, id);
    TRY(err);
    *out = (Order){.id = id,
                   .person = row.person,
                   .store = row.store,
                   .till = row.till,
                   .business_day = row.business_day,
                   .number = row.number,
                   .kind = (OrderKind)row.kind,
                   .original = row.original,
                   .at_ms = row.at_ms,
                   .net_fen = row.net_fen,
                   .retail_discount_fen = row.retail_discount_fen,
                   .coupon_discount_fen = row.coupon_discount_fen,
                   .match_discount_fen = row.match_discount_fen};
    return read_lines(ctx, out);
}

Err order_page(Ctx *ctx, int64_t after, int64_t max, Order **out, size_t *count)
{
    Row_order_page *rows = NULL;
    TRY(sql_order_page(ctx, after, max, &rows, count));
    *out = ARENA_ARRAY(ctx->arena, Order, *count + 1);
    for (size_t i = 0; i < *count; i++)
        TRY(order_find(ctx, rows[i].id, &(*out)[i]));
    return ERR_OK;
}

Err order_days(Ctx *ctx, int64_t from_day, int64_t to_day, OrderDay **out, size_t *count)
{
    Row_order_days *rows = NULL;
    TRY(sql_order_days(ctx, from_day, to_day, &rows, count));
    *out = ARENA_ARRAY(ctx->arena, OrderDay, *count + 1);
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = (OrderDay){.day = rows[i].day,
                               .sales = rows[i].sales,
                               .returns = rows[i].returns,
                               .net_fen = rows[i].net_fen,
                               .retail_discount_fen = rows[i].retail_discount_fen,
                               .coupon_discount_fen = rows[i].coupon_discount_fen,
                               .match_discount_fen = rows[i].match_discount_fen};
    return ERR_OK;
}

Err order_total(Ctx *ctx, OrderDay *out)
{
    Row_order_totals row;
    TRY(sql_order_totals(ctx, &row));
    *out = (OrderDay){.day = row.last_day,
                      .sales = row.sales,
                      .returns = row.returns,
                      .net_fen = row.net_fen,
                      .retail_discount_fen = row.retail_discount_fen,
                      .coupon_discount_fen = row.coupon_discount_fen,
                      .match_discount_fen = row.match_discount_fen};
    return ERR_OK;
}

Err order_sums(Ctx *ctx, OrderSums *out)
{
    Row_order_count row;
    TRY(sql_order_count(ctx, &row));
    *out = (OrderSums){
        .orders = row.orders, .lines = row.lines, .people = row.people, .stores = row.stores};
    return ERR_OK;
}

/* ---- event ------------------------------------------------------------------------------------------ */

static void emit_lines(Ctx *ctx, EventBuilder *b, const Order *o)
{
    event_items_begin(b, STR("products"));
    for (size_t i = 0; i < o->line_count; i++) {
        event_item(b);
        event_prop_text(b, STR("product_id"), arena_i64(ctx->arena, o->lines[i].product));
        event_prop_i64(b, STR("quantity"), o->lines[i].quantity);
        event_prop_money(b, STR("total"), o->lines[i].net_fen);
    }
    event_items_end(b);
}

Err order_emit(Tx *tx, const Order *o)
{
    Ctx *ctx = tx->ctx;
    const Event head = {.kind = EVENT_HAPPENED,
                        .source = STR("order"),
                        .id = arena_i64(ctx->arena, o->id),
                        .name =
                            o->kind == ORDER_SALE ? STR("Order Completed") : STR("Order Refunded"),
                        .time_ms = o->at_ms,
                        .received_ms = ctx->now_ms,
                        .actor = person_actor(ctx, o->person),
                        .store = o->store == 0 ? STR("") : arena_i64(ctx->arena, o->store)};
    EventBuilder *b = event_begin(ctx, &head);
    event_prop_text(b, STR("order_id"), arena_i64(ctx->arena, o->id));
    event_prop_money(b, STR("total"), o->net_fen);
    event_prop_money(b, STR("discount"), o->retail_discount_fen + o->coupon_discount_fen);
    emit_lines(ctx, b, o);
    Event event;
    TRY(event_end(b, &event));
    return outbox_emit(tx, &event);
}
