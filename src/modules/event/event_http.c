/*
 * modules/event/event_http.c -- the doors of event.api.yaml: events in, and how many there are.
 *
 * A batch is read one event at a time: a bad one is listed with its index and costs nobody else.
 */
#include "modules/event/event_http.h"

#include "event.api.h"
#include "modules/event/event_read.h"

enum { EVENTS_MAX = 2000, COUNTS_MAX = 10000 };

/* ---- a batch ---------------------------------------------------------------------------------------- */

/* Whoever may send events may say what happened; the rest needs more. */
static Err may_say(Ctx *ctx, EventKind kind)
{
    static const char *const NEEDS[EVENT_KIND_COUNT] = {[EVENT_PERSON] = "event.identity",
                                                        [EVENT_LINK] = "event.identity",
                                                        [EVENT_UNLINK] = "event.identity",
                                                        [EVENT_ERASE] = "event.erase"};
    return NEEDS[kind] == NULL ? ERR_OK : principal_require(ctx, NEEDS[kind]);
}

static Err collect_one(Collect *c, const EventReading *how, JsonValue v)
{
    Event event;
    TRY(event_read(c->ctx, how, v, &event));
    event_encode(&event, &c->records);
    return ERR_OK;
}

static void refuse(Ctx *ctx, ApiEventReceipt *out, size_t index)
{
    const Fault *f = &ctx->fault;
    ApiEventRefusal *r = &out->refused[out->refused_count++];
    *r = (ApiEventRefusal){.index = (int64_t)index,
                           .code = str_of(f->reason),
                           .detail = arena_copy(ctx->arena, event_refusal(f))};
    if (f->pointer[0] != '\0')
        DTO_SET(r, pointer, arena_copy(ctx->arena, str_of(f->pointer)));
}

static Err collect(Collect *c, Call *call)
{
    Ctx *ctx = c->ctx;
    const ApiEventBatch *in = call->body;
    ApiEventReceipt *out = call->reply;
    const JsonValue list = in->events;
    JsonValue v;
    TRY(event_source_is_free(ctx, in->source));
    const size_t n = json_count(list);
    if (json_type(list) != JSON_ARRAY || n == 0 || n > EVENTS_MAX)
        return fail_field(ctx, "/events", "request.range", "send a list of 1 to %d events",
                          EVENTS_MAX);
    const EventReading how = {
        .source = in->source, .received_ms = ctx->now_ms, .time_ms = ctx->now_ms, .may = may_say};
    out->refused = ARENA_ARRAY(ctx->arena, ApiEventRefusal, n);
    (void)buf_reserve(&c->records, json_bytes(list)); /* mostly enough, so that it does not grow */
    size_t i = 0;
    for (JsonIter it = json_items(list); json_next_item(&it, &v); i++) {
        if (collect_one(c, &how, v) == ERR_OK)
            out->accepted++;
        else
            refuse(ctx, out, i);
    }
    return ERR_OK;
}

/* ---- counts ----------------------------------------------------------------------------------------- */

static Err add_count(Ctx *ctx, const EventsCount *count, void *arg)
{
    ApiEventCounts *out = arg;
    if (out->items_count == COUNTS_MAX)
        return fail_field(ctx, "?to", "insight.range", "over %d rows: ask for fewer days",
                          COUNTS_MAX);
    out->items[out->items_count++] = (ApiEventCount){
        .name = arena_copy(ctx->arena, count->name), .day = count->day, .count = count->count};
    return ERR_OK;
}

static Err counts(Work *work, Call *call)
{
    Ctx *ctx = work->ctx;
    const ApiEventCountsQuery *q = call->query;
    ApiEventCounts *out = call->reply;
    if (q->from > q->to)
        return fail_field(ctx, "?from", "insight.range", "from must not be after to");
    out->items = ARENA_ARRAY(ctx->arena, ApiEventCount, COUNTS_MAX);
    /* `to` is the last day; no day lies between it and the number that follows it */
    return events_counts(ctx, work->log, q->name_is == DTO_VALUE ? q->name : STR(""), q->from,
                         q->to + 1, add_count, out, &out->total);
}

const Door EVENT_DOORS[] = {{.operation = &API_OP_EVENT_COLLECT, .collect = collect},
                            {.operation = &API_OP_EVENT_COUNTS, .work = counts},
                            {0}};
