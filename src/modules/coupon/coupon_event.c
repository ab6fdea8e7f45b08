/*
 * modules/coupon/coupon_event.c -- what this room tells the others: one event per happening.
 */
#include "modules/coupon/coupon_internal.h"

#include "jobs/outbox.h"
#include "modules/person/person.h"

/* An id as text in the arena. */
static Str id_text(Ctx *ctx, int64_t id)
{
    return arena_printf(ctx->arena, "%" PRId64, id);
}

static void add_id(Ctx *ctx, EventBuilder *b, Str name, int64_t id)
{
    if (id != 0)
        event_prop_text(b, name, id_text(ctx, id));
}

/* The event's id is made of the thing it speaks of, so that it is the same however often it is
 * sent: "redeemed:17". */
static Str event_id(Ctx *ctx, const CouponHappening *h)
{
    const int64_t of = h->redemption != 0 ? h->redemption : h->coupon;
    return arena_printf(ctx->arena, "%.*s:%" PRId64, STR_ARG(h->name), of);
}

Err coupon_emit(Tx *tx, const CouponHappening *h)
{
    Ctx *ctx = tx->ctx;
    const Event head = {.kind = EVENT_HAPPENED,
                        .source = STR("coupon"),
                        .id = event_id(ctx, h),
                        .name = h->name,
                        .time_ms = h->at_ms,
                        .received_ms = ctx->now_ms,
                        .actor = person_actor(ctx, h->person),
                        .store = h->store == 0 ? STR("") : id_text(ctx, h->store)};
    EventBuilder *b = event_begin(ctx, &head);
    add_id(ctx, b, STR("coupon_id"), h->coupon);
    add_id(ctx, b, STR("template_id"), h->template->id);
    add_id(ctx, b, STR("redemption_id"), h->redemption);
    add_id(ctx, b, STR("order_id"), h->sale);
    if (h->redemption != 0)
        event_prop_money(b, STR("discount"), h->discount_fen);
    Event event;
    TRY(event_end(b, &event));
    return outbox_emit(tx, &event);
}
