/*
 * modules/person/person_timeline.c -- the doors of timelines: what happened with a person, or with an actor that is
 * none.
 *
 * Every event says its place.  From there a page goes on in either direction, so that the event before or behind
 * a given one, of some names only if wanted, is a page of one.
 */
#include "events/events.h"
#include "modules/person/person_http.h"
#include "person.api.h"

enum { LOOKS_MAX = 5000 }; /* at events of other names, in one answer */

/* What either door asks for. */
typedef struct Asked {
    EventActor actor;
    const Str *names; /* none = all */
    size_t name_count;
    bool oldest_first;
    EventsCursor after;
    size_t limit;
    uint64_t forgotten; /* records below count nowhere */
} Asked;

typedef struct Reading {
    const Asked *asked;
    ApiPersonTimeline *out;
    EventsCursor last; /* of what is in the answer */
    bool left_out;     /* something that is wanted, as the answer is full */
} Reading;

/* ---- views --------------------------------------------------------------------------------------- */

static Str value_text(Ctx *ctx, const EventProp *p)
{
    Buf b = BUF_MAX(32768);
    switch (p->type) {
    case EVENT_TEXT:
        return arena_copy(ctx->arena, p->text);
    case EVENT_MONEY:
        money_print(&b, (Money){p->i64}, ctx->settings->exponent);
        break;
    case EVENT_NUMBER:
        money_print(&b, (Money){p->i64}, p->scale);
        break;
    case EVENT_BOOL:
        buf_add(&b, p->i64 != 0 ? STR("true") : STR("false"));
        break;
    case EVENT_ITEMS:
    case EVENT_TEXTS:
        buf_add_i64(&b, p->count);
        break;
    case EVENT_TIME:
        buf_add_i64(&b, p->i64);
        break;
    case EVENT_NONE:
    case EVENT_TYPE_COUNT:
        break;
    }
    const Str text = arena_copy(ctx->arena, buf_str(&b));
    buf_free(&b);
    return text;
}

static Str shown_name(const Event *e)
{
    return e->kind == EVENT_PERSON ? STR("Attributes Changed") : e->name;
}

static void give_event(Ctx *ctx, const Event *e, ApiPersonEvent *v)
{
    *v = (ApiPersonEvent){.name = arena_copy(ctx->arena, shown_name(e)),
                          .at = e->time_ms,
                          .place = request_cursor_make(ctx, e->time_ms, (int64_t)e->seq),
                          .properties =
                              ARENA_ARRAY(ctx->arena, ApiPersonEventProperty, e->prop_count + 1),
                          .properties_count = e->prop_count};
    DTO_SET(v, source, arena_copy(ctx->arena, e->source));
    if (e->store.len > 0)
        DTO_SET(v, store, arena_copy(ctx->arena, e->store));
    for (size_t i = 0; i < e->prop_count; i++)
        v->properties[i] =
            (ApiPersonEventProperty){.name = arena_copy(ctx->arena, e->props[i].name),
                                     .value = value_text(ctx, &e->props[i])};
}

/* ---- reading ------------------------------------------------------------------------------------- */

/* Links are of two actors, and no event of either. */
static bool is_wanted(const Asked *asked, const Event *e)
{
    if (e->seq < asked->forgotten || (e->kind != EVENT_HAPPENED && e->kind != EVENT_PERSON))
        return false;
    bool wanted = asked->name_count == 0;
    for (size_t i = 0; i < asked->name_count && !wanted; i++)
        wanted = str_eq(asked->names[i], shown_name(e));
    return wanted;
}

static Err add_event(Ctx *ctx, const Event *e, void *arg)
{
    Reading *r = arg;
    if (!is_wanted(r->asked, e))
        return ERR_OK;
    if (r->out->items_count == r->asked->limit) {
        r->left_out = true;
        return ERR_OK;
    }
    give_event(ctx, e, &r->out->items[r->out->items_count++]);
    r->last = (EventsCursor){e->time_ms, e->seq};
    return ERR_OK;
}

/* Names stand in no index: events of others are looked at, too, so many at a time. */
static Err read_timeline(Ctx *ctx, EventsLog *log, Asked *asked, ApiPersonTimeline *out)
{
    const bool some = asked->name_count > 0;
    TRY(events_forgotten(ctx, log, asked->actor, &asked->forgotten));
    Reading r = {.asked = asked, .out = out};
    EventsPage page = {.more = true, .next = asked->after};
    out->items = ARENA_ARRAY(ctx->arena, ApiPersonEvent, asked->limit + 1);
    for (int looks = 0; page.more && out->items_count < asked->limit && looks < LOOKS_MAX;
         looks += EVENTS_PAGE_MAX) {
        const EventsQuery query = {.actor = asked->actor,
                                   .limit = some ? EVENTS_PAGE_MAX : (uint32_t)asked->limit,
                                   .oldest_first = asked->oldest_first,
                                   .after = page.next};
        TRY(events_by_actor(ctx, log, &query, add_event, &r, &page));
    }
    const EventsCursor next = out->items_count == asked->limit ? r.last : page.next;
    if (page.more || r.left_out)
        DTO_SET(out, next, request_cursor_make(ctx, next.time_ms, (int64_t)next.seq));
    return ERR_OK;
}

static Err read_cursor(Ctx *ctx, DtoState is, Str cursor, EventsCursor *out)
{
    int64_t at_ms = 0, seq = 0;
    if (is == DTO_VALUE)
        TRY(request_cursor_read(ctx, cursor, &at_ms, &seq));
    *out = (EventsCursor){at_ms, (uint64_t)seq};
    return ERR_OK;
}

/* ---- doors --------------------------------------------------------------------------------------- */

Err person_timeline(Work *work, Call *call)
{
    Ctx *ctx = work->ctx;
    const ApiPersonTimelinePath *path = call->params;
    const ApiPersonTimelineQuery *q = call->query;
    int64_t root = 0;
    TRY(person_root(ctx, path->id, &root));
    Asked asked = {.actor = person_actor(ctx, root),
                   .names = q->name,
                   .name_count = q->name_count,
                   .oldest_first = q->order == API_PERSON_TIMELINE_ORDER_OLDEST,
                   .limit = (size_t)q->limit};
    TRY(read_cursor(ctx, q->cursor_is, q->cursor, &asked.after));
    return read_timeline(ctx, work->log, &asked, call->reply);
}

/* Nobody knows which shops an actor who is no person of ours belongs to. */
Err person_actor_timeline(Work *work, Call *call)
{
    Ctx *ctx = work->ctx;
    const ApiPersonActorTimelineQuery *q = call->query;
    if (ctx->who->store_count > 0)
        return fail(ctx, ERR_DENIED, "auth.permission", "any actor, for some shops only");
    Asked asked = {.actor = {q->kind, q->value},
                   .names = q->name,
                   .name_count = q->name_count,
                   .oldest_first = q->order == API_PERSON_ACTOR_TIMELINE_ORDER_OLDEST,
                   .limit = (size_t)q->limit};
    TRY(read_cursor(ctx, q->cursor_is, q->cursor, &asked.after));
    return read_timeline(ctx, work->log, &asked, call->reply);
}
