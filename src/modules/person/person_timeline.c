/*
 * modules/person/person_timeline.c -- timelines: what happened with a person, under all actors that are one person now.
 *
 * Every event says its place.  From there a page goes on in either direction, so that the event before or behind
 * a given one, of some names only if wanted, is a page of one.
 *
 * A page is read twice: first the places of what is wanted, of each actor as many as a page has, then the events that
 * stand in it.  So memory is that of one page, however many actors there are and however large their events.
 */
#include "base/clock.h"
#include "base/json.h"
#include "engine/engine.h"
#include "events/events.h"
#include "modules/person/person_http.h"
#include "person.api.h"
#include "request/common.api.h"

#include <stdlib.h>

enum {
    LOOKS_MAX = 5000, /* at events, in one answer: of all actors together, or a page of each */
    LIST_BYTES_MAX = 32000,
};

/* ---- views --------------------------------------------------------------------------------------- */

/* A time is RFC 3339, an amount or a number a decimal. */
static void print_scalar(Ctx *ctx, const EventProp *p, Buf *out)
{
    char at[CLOCK_TEXT_BYTES];
    switch (p->type) {
    case EVENT_TEXT:
        buf_add(out, p->text);
        break;
    case EVENT_MONEY:
        money_print(out, (Money){p->i64}, ctx->settings->exponent);
        break;
    case EVENT_NUMBER:
        money_print(out, (Money){p->i64}, p->scale);
        break;
    case EVENT_BOOL:
        buf_add(out, p->i64 != 0 ? STR("true") : STR("false"));
        break;
    case EVENT_TIME:
        clock_print(p->i64, at);
        buf_add(out, str_of(at));
        break;
    case EVENT_ITEMS:
    case EVENT_TEXTS:
    case EVENT_NONE:
    case EVENT_TYPE_COUNT:
        break;
    }
}

static void print_field(Ctx *ctx, const EventProp *field, JsonOut *out)
{
    Buf text = BUF_MAX(EVENT_TEXT_BYTES_MAX);
    print_scalar(ctx, field, &text);
    json_out_key(out, field->name);
    if (field->type == EVENT_NUMBER || field->type == EVENT_BOOL)
        json_out_raw(out, buf_str(&text));
    else
        json_out_text(out, buf_str(&text));
    buf_free(&text);
}

/* One of the list, as JSON. */
static void print_element(Ctx *ctx, const EventProp *list, uint32_t i, Buf *out)
{
    JsonOut json = json_out(out);
    if (list->type == EVENT_TEXTS) {
        json_out_text(&json, list->texts[i]);
        return;
    }
    json_out_object(&json);
    for (uint32_t f = 0; f < list->items[i].count && !out->overflowed; f++)
        print_field(ctx, &list->items[i].fields[f], &json);
    json_out_end(&json);
}

/* As far as it fits, with "..." for the rest. */
static void print_list(Ctx *ctx, const EventProp *list, Buf *out)
{
    JsonOut json = json_out(out);
    bool fits = true;
    json_out_array(&json);
    for (uint32_t i = 0; i < list->count && fits; i++) {
        Buf one = BUF_MAX(LIST_BYTES_MAX);
        print_element(ctx, list, i, &one);
        fits = !one.overflowed && out->len + one.len <= LIST_BYTES_MAX;
        if (fits)
            json_out_raw(&json, buf_str(&one));
        buf_free(&one);
    }
    if (!fits)
        json_out_text(&json, STR("..."));
    json_out_end(&json);
}

static Str value_text(Ctx *ctx, const EventProp *p)
{
    Buf b = BUF_MAX(EVENT_TEXT_BYTES_MAX + 1024);
    if (event_type_is_list(p->type))
        print_list(ctx, p, &b);
    else
        print_scalar(ctx, p, &b);
    const Str text = arena_copy(ctx->arena, buf_str(&b));
    buf_free(&b);
    return text;
}

static Str shown_name(const Event *e)
{
    return e->kind == EVENT_PERSON ? STR("Attributes Changed") : e->name;
}

/* ---- places -------------------------------------------------------------------------------------- */

/* One page on its way. */
typedef struct Page {
    const TimelineAsk *asked;
    EventsCursor after;
    EventsCursor *places; /* of what is wanted, of all actors */
    size_t found, shown;
    EventsCursor reached; /* as far as every actor was looked at, when `is_cut` */
    bool is_cut;
    ApiPersonTimeline *out;
} Page;

/* An actor of them. */
typedef struct Walk {
    Page *page;
    EventActor actor;
    uint64_t forgotten; /* records below count nowhere */
    size_t found;
} Walk;

static int newest_first(const void *a, const void *b)
{
    const EventsCursor *x = a, *y = b;
    if (x->time_ms != y->time_ms)
        return x->time_ms > y->time_ms ? -1 : 1;
    return (x->seq < y->seq) - (x->seq > y->seq);
}

static int oldest_first(const void *a, const void *b)
{
    return newest_first(b, a);
}

typedef int Order(const void *a, const void *b);

static Order *order_of(const Page *page)
{
    return page->asked->oldest_first ? oldest_first : newest_first;
}

/* Links are of two actors, and no event of either. */
static bool is_wanted(const Walk *w, const Event *e)
{
    const TimelineAsk *asked = w->page->asked;
    if (e->seq < w->forgotten || (e->kind != EVENT_HAPPENED && e->kind != EVENT_PERSON))
        return false;
    bool wanted = asked->name_count == 0;
    for (size_t i = 0; i < asked->name_count && !wanted; i++)
        wanted = str_eq(asked->names[i], shown_name(e));
    return wanted;
}

/* One more than a page has says that there are more. */
static Err note_place(Ctx *ctx, const Event *e, void *arg)
{
    Walk *w = arg;
    (void)ctx;
    if (w->found <= w->page->asked->limit && is_wanted(w, e)) {
        w->page->places[w->page->found++] = (EventsCursor){e->time_ms, e->seq};
        w->found++;
    }
    return ERR_OK;
}

static EventsQuery query_of(const Walk *w, EventsCursor after)
{
    const TimelineAsk *asked = w->page->asked;
    return (EventsQuery){.actor = w->actor,
                         .limit =
                             asked->name_count > 0 ? EVENTS_PAGE_MAX : (uint32_t)asked->limit + 1,
                         .oldest_first = asked->oldest_first,
                         .after = after};
}

/* Names stand in no index: events of others are looked at, too, so many at a time. */
static Err find_places(Ctx *ctx, EventsLog *log, Walk *w, uint32_t looks_max)
{
    Page *page = w->page;
    EventsPage read = {.more = true, .next = page->after};
    TRY(events_forgotten(ctx, log, w->actor, &w->forgotten));
    for (uint32_t looks = 0; read.more && w->found <= page->asked->limit && looks < looks_max;) {
        const EventsQuery query = query_of(w, read.next);
        TRY(events_by_actor(ctx, log, &query, note_place, w, &read));
        looks += query.limit;
    }
    const bool is_full = w->found > page->asked->limit;
    const EventsCursor to = is_full ? page->places[page->found - 1] : read.next;
    if ((is_full || read.more) && (!page->is_cut || order_of(page)(&to, &page->reached) < 0))
        page->reached = to;
    page->is_cut |= is_full || read.more;
    return ERR_OK;
}

/* What stands behind the place that some actor was looked at to is of a later page. */
static void choose(Ctx *ctx, Page *page)
{
    qsort(page->places, page->found, sizeof *page->places, order_of(page));
    while (page->is_cut && page->found > 0 &&
           order_of(page)(&page->places[page->found - 1], &page->reached) > 0)
        page->found--;
    page->shown = page->found < page->asked->limit ? page->found : page->asked->limit;
    const bool is_full = page->found > page->shown;
    const EventsCursor next = is_full ? page->places[page->shown - 1] : page->reached;
    if (is_full || page->is_cut)
        DTO_SET(page->out, next, request_cursor_make(ctx, next.time_ms, (int64_t)next.seq));
}

/* ---- events -------------------------------------------------------------------------------------- */

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

static Err show_event(Ctx *ctx, const Event *e, void *arg)
{
    const Walk *w = arg;
    const Page *page = w->page;
    const EventsCursor at = {e->time_ms, e->seq};
    const EventsCursor *place =
        !is_wanted(w, e) ? NULL
                         : bsearch(&at, page->places, page->shown, sizeof at, order_of(page));
    if (place != NULL)
        give_event(ctx, e, &page->out->items[place - page->places]);
    return ERR_OK;
}

static Err show_events(Ctx *ctx, EventsLog *log, Walk *w)
{
    const Page *page = w->page;
    const EventsCursor *last = &page->places[page->shown - 1];
    EventsPage read = {.more = w->found > 0, .next = page->after};
    while (read.more && (read.next.seq == 0 || order_of(page)(&read.next, last) < 0)) {
        const EventsQuery query = query_of(w, read.next);
        TRY(events_by_actor(ctx, log, &query, show_event, w, &read));
    }
    return ERR_OK;
}

/* Whose actor was erased meanwhile is not there. */
static void close_gaps(Page *page)
{
    ApiPersonTimeline *out = page->out;
    for (size_t i = 0; i < page->shown; i++)
        if (out->items[i].place.len > 0)
            out->items[out->items_count++] = out->items[i];
}

static Err read_cursor(Ctx *ctx, const Str *cursor, EventsCursor *out)
{
    int64_t at_ms = 0, seq = 0;
    if (cursor != NULL)
        TRY(request_cursor_read(ctx, *cursor, &at_ms, &seq));
    *out = (EventsCursor){at_ms, (uint64_t)seq};
    return ERR_OK;
}

Err person_read_timeline(Work *work, const TimelineAsk *asked, void *timeline)
{
    Ctx *ctx = work->ctx;
    Page page = {.asked = asked, .out = timeline};
    uint32_t count = 0;
    TRY(read_cursor(ctx, asked->cursor, &page.after));
    const EventActor *actors = engine_actors_with(ctx->arena, work->engine, asked->actor, &count);
    Walk *walks = ARENA_ARRAY(ctx->arena, Walk, count);
    page.places = ARENA_ARRAY(ctx->arena, EventsCursor, count * (asked->limit + 1));
    page.out->items = ARENA_ARRAY(ctx->arena, ApiPersonEvent, asked->limit + 1);
    for (uint32_t i = 0; i < count; i++) {
        walks[i] = (Walk){.page = &page, .actor = actors[i]};
        TRY(find_places(ctx, work->log, &walks[i], LOOKS_MAX / count));
    }
    choose(ctx, &page);
    for (uint32_t i = 0; i < count && page.shown > 0; i++)
        TRY(show_events(ctx, work->log, &walks[i]));
    close_gaps(&page);
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
    const TimelineAsk asked = {.actor = person_actor(ctx, root),
                               .names = q->name,
                               .name_count = q->name_count,
                               .oldest_first = q->order == API_PERSON_TIMELINE_ORDER_OLDEST,
                               .limit = (size_t)q->limit,
                               .cursor = q->cursor_is == DTO_VALUE ? &q->cursor : NULL};
    return person_read_timeline(work, &asked, call->reply);
}

/* Nobody knows which shops an actor who is no person of ours belongs to. */
Err person_actor_timeline(Work *work, Call *call)
{
    Ctx *ctx = work->ctx;
    const ApiPersonActorTimelineQuery *q = call->query;
    if (ctx->who->store_count > 0)
        return fail(ctx, ERR_DENIED, "auth.permission", "any actor, for some shops only");
    const TimelineAsk asked = {.actor = {q->kind, q->value},
                               .names = q->name,
                               .name_count = q->name_count,
                               .oldest_first = q->order == API_PERSON_ACTOR_TIMELINE_ORDER_OLDEST,
                               .limit = (size_t)q->limit,
                               .cursor = q->cursor_is == DTO_VALUE ? &q->cursor : NULL};
    return person_read_timeline(work, &asked, call->reply);
}
