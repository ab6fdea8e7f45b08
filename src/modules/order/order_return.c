/*
 * modules/order/order_return.c -- taking pieces back, and the proof that sums agree.
 */
#include "modules/order/order_internal.h"

#include "modules/setting/setting.h"
#include "order.sql.h"

__extension__ typedef __int128 Wide;

/* What earlier returns took of one line (as positive numbers). */
static Row_order_returned returned_of(const Row_order_returned *rows, size_t n, int64_t line)
{
    for (size_t i = 0; i < n; i++)
        if (rows[i].line == line)
            return (Row_order_returned){.line = line,
                                        .quantity = -rows[i].quantity,
                                        .net_fen = -rows[i].net_fen,
                                        .retail_discount_fen = -rows[i].retail_discount_fen,
                                        .coupon_discount_fen = -rows[i].coupon_discount_fen,
                                        .match_discount_fen = -rows[i].match_discount_fen};
    return (Row_order_returned){.line = line};
}

/* The part of `whole` that goes back when `pieces` of `of` are back in all and `before` of it went back
 * already: floored, so the last piece takes the rest. */
static int64_t share(int64_t whole, int64_t pieces, int64_t of, int64_t before)
{
    return (int64_t)((Wide)whole * pieces / of) - before;
}

static Err return_line(Ctx *ctx, const Order *sale, const OrderReturnLine *want,
                       const Row_order_returned *had, OrderLine *out)
{
    if (want->line < 1 || want->line > (int64_t)sale->line_count || want->quantity < 1)
        return fail(ctx, ERR_CONFLICT, "order.returned", "line %" PRId64, want->line);
    const OrderLine *l = &sale->lines[want->line - 1];
    if (want->quantity > l->quantity - had->quantity)
        return fail(ctx, ERR_CONFLICT, "order.returned", "line %" PRId64, want->line);
    const int64_t back = had->quantity + want->quantity, of = l->quantity;
    *out = (OrderLine){
        .product = l->product,
        .quantity = -want->quantity,
        .net_fen = -share(l->net_fen, back, of, had->net_fen),
        .retail_discount_fen = -share(l->retail_discount_fen, back, of, had->retail_discount_fen),
        .coupon_discount_fen = -share(l->coupon_discount_fen, back, of, had->coupon_discount_fen),
        .match_discount_fen = -share(l->match_discount_fen, back, of, had->match_discount_fen),
        .original_line = want->line};
    return ERR_OK;
}

/* Every piece of every line came back, with this return or before. */
static bool wholly_back(const Order *sale, const Order *back, const Row_order_returned *had,
                        size_t had_count)
{
    for (size_t i = 0; i < sale->line_count; i++) {
        int64_t left =
            sale->lines[i].quantity - returned_of(had, had_count, (int64_t)i + 1).quantity;
        for (size_t k = 0; k < back->line_count; k++)
            if (back->lines[k].original_line == (int64_t)i + 1)
                left += back->lines[k].quantity; /* negative in a return */
        if (left > 0)
            return false;
    }
    return true;
}

Err order_return(Tx *tx, int64_t sale_id, Str till, Str number, const OrderReturnLine *lines,
                 size_t n, Order *out)
{
    Ctx *ctx = tx->ctx;
    Order sale;
    TRY(order_find(ctx, sale_id, &sale));
    if (sale.kind != ORDER_SALE)
        return fail(ctx, ERR_CONFLICT, "order.not_a_sale", "order %" PRId64, sale_id);
    Row_order_returned *had = NULL;
    size_t had_count = 0;
    TRY(sql_order_returned(ctx, sale_id, &had, &had_count));
    Order back = {.person = sale.person,
                  .store = sale.store,
                  .till = till,
                  .number = number,
                  .kind = ORDER_RETURN,
                  .original = sale_id,
                  .at_ms = ctx->now_ms,
                  .lines = ARENA_ARRAY(ctx->arena, OrderLine, n + 1),
                  .line_count = n};
    TRY(order_check_head(ctx, &back));
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++)
            if (lines[k].line == lines[i].line)
                return fail(ctx, ERR_CONFLICT, "order.returned", "line %" PRId64 " is named twice",
                            lines[i].line);
        const Row_order_returned before = returned_of(had, had_count, lines[i].line);
        TRY(return_line(ctx, &sale, &lines[i], &before, &back.lines[i]));
    }
    order_sum(&back);
    bool stored = false;
    TRY(order_store(tx, &back, &stored));
    if (!stored)
        return fail(ctx, ERR_CONFLICT, "order.exists", "sale %" PRId64, sale_id);
    *out = back;
    /* When nothing of the sale is left, its coupons come back (those that are over stay over). */
    return wholly_back(&sale, &back, had, had_count)
               ? coupon_reverse_sale(tx, sale_id, STR("the sale was returned"))
               : ERR_OK;
}

/* ---- check ----------------------------------------------------------------------------------------- */

Err order_check(Ctx *ctx, CheckReport report, void *arg)
{
    Row_order_check_lines *lines = NULL;
    Row_order_check_days *days = NULL;
    Row_order_check_tenders *tenders = NULL;
    Row_order_check_redemptions *redeemed = NULL;
    size_t n = 0;
    TRY(sql_order_check_lines(ctx, &lines, &n));
    for (size_t i = 0; i < n; i++)
        report(arg, "order: its totals differ from its lines", lines[i].id);
    TRY(sql_order_check_days(ctx, &days, &n));
    for (size_t i = 0; i < n; i++)
        report(arg, "store: a day's sales differ from its orders", days[i].store);
    TRY(sql_order_check_tenders(ctx, &tenders, &n));
    for (size_t i = 0; i < n; i++)
        report(arg, "order: its tenders differ from what was to pay", tenders[i].id);
    TRY(sql_order_check_redemptions(ctx, &redeemed, &n));
    for (size_t i = 0; i < n; i++)
        report(arg, "order: its coupon discount differs from its redemptions", redeemed[i].id);
    return ERR_OK;
}
