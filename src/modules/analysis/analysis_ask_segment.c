/*
 * modules/analysis/analysis_ask_segment.c -- segments: how many persons, and who.
 */
#include "modules/analysis/analysis_ask.h"
#include "modules/analysis/analysis_http.h"

/* A page of persons, by their numbers in the engine. */
typedef struct Page {
    uint32_t from, limit;
} Page;

/* Who people are is more than how many: a segment must not show whom the list of people would not. */
static Err read_page(Ctx *ctx, const ApiSegmentQuestion *q, Page *out)
{
    int64_t from = 0, unused = 0;
    *out = (Page){.limit = (uint32_t)q->limit};
    if (q->limit == 0)
        return ERR_OK;
    TRY(principal_require(ctx, "person.read"));
    if (ctx->who->store_count > 0)
        return fail(ctx, ERR_DENIED, "auth.permission", "a page of persons, for some shops only");
    if (q->cursor_is == DTO_VALUE)
        TRY(request_cursor_read(ctx, q->cursor, &from, &unused));
    if (from < 0 || from > UINT32_MAX)
        return fail(ctx, ERR_INVALID, "request.cursor", "no number of a person");
    out->from = (uint32_t)from;
    return ERR_OK;
}

/* Under the schema's lock. */
static void give_segment(const Asking *a, const SegmentResult *r, const Page *page,
                         ApiSegmentAnswer *out)
{
    uint32_t at = segment_next(r, page->from);
    out->persons = (int64_t)r->count;
    out->everybody = (int64_t)r->universe;
    out->items = ARENA_ARRAY(a->ctx->arena, ApiSegmentPerson, page->limit);
    for (; out->items_count < page->limit && at < r->person_count; at = segment_next(r, at + 1)) {
        const EventActor actor = schema_actor_of(a->names.schema, at);
        out->items[out->items_count++] = (ApiSegmentPerson){actor.kind, actor.value};
    }
    if (page->limit > 0 && at < r->person_count)
        DTO_SET(out, next, request_cursor_make(a->ctx, at, 0));
}

Err ask_segment(Asking *a, const Query *q, const ApiQuery *in)
{
    const ApiSegmentQuestion *question = &in->segment;
    const Segment *segment = NULL;
    SegmentResult result;
    Page page;
    TRY(ask_without_calendar(a, in, "a segment"));
    TRY(read_page(a->ctx, question, &page));
    a->names.schema = engine_schema_lock(a->engine);
    const Err err = ask_persons(a, question->of, "/segment/of", &segment);
    TRY(ask_texts(a, q, err));
    TRY(query_segment(a->ctx, q, segment, &result));
    a->answer->segment_is = DTO_VALUE;
    a->names.schema = engine_schema_lock(a->engine);
    give_segment(a, &result, &page, &a->answer->segment);
    engine_schema_unlock(a->engine);
    return ERR_OK;
}
