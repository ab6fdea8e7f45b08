/*
 * modules/coupon/coupon_event.c -- what this room tells the others: one event per happening.
 */
#include "modules/coupon/coupon_internal.h"

#include "jobs/outbox.h"
#include "modules/person/person.h"

/* "claimed-17": the same however often the event is sent, and another than "redeemed-17". */
static Str event_id(Ctx *ctx, Str verb, int64_t of)
{
    const Str number = arena_i64(ctx->arena, of);
    char *text = arena_bytes(ctx->arena, verb.len + number.len);
    memcpy(text, verb.ptr, verb.len);
    memcpy(text + verb.len, number.ptr, number.len);
    return (Str){text, verb.len + number.len};
}

static void add_id(Ctx *ctx, EventBuilder *b, Str name, int64_t id)
{
    if (id != 0)
        event_prop_text(b, name, arena_i64(ctx->arena, id));
}

Err coupon_emit(Tx *tx, const CouponHappening *h)
{
    Ctx *ctx = tx->ctx;
    const Event head = {.kind = EVENT_HAPPENED,
                        .source = STR("coupon"),
                        .id =
                            event_id(ctx, h->verb, h->redemption != 0 ? h->redemption : h->coupon),
                        .name = h->name,
                        .time_ms = h->at_ms,
                        .received_ms = ctx->now_ms,
                        .actor = person_actor(ctx, h->person),
                        .store = h->store == 0 ? STR("") : arena_i64(ctx->arena, h->store)};
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
