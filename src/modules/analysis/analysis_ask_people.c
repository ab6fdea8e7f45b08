/*
 * modules/analysis/analysis_ask_people.c -- the people behind a number, page by page: for every question that can
 * say who they are.
 */
#include "modules/analysis/analysis_ask.h"
#include "modules/analysis/analysis_http.h"

/* A number must not show whom the list of people would not. */
Err ask_page(Ctx *ctx, int64_t limit, const Str *cursor, AskPage *out)
{
    int64_t from = 0, unused = 0;
    TRY(principal_require(ctx, "person.read"));
    if (ctx->who->store_count > 0)
        return fail(ctx, ERR_DENIED, "auth.permission", "a page of persons, for some shops only");
    if (cursor != NULL)
        TRY(request_cursor_read(ctx, *cursor, &from, &unused));
    if (from < 0 || from > UINT32_MAX)
        return fail(ctx, ERR_INVALID, "request.cursor", "no number of a person");
    *out = (AskPage){(uint32_t)from, (uint32_t)limit};
    return ERR_OK;
}

/* The number of persons is as of the question; who was erased since is on no page. */
void ask_give_people(const Asking *a, const People *people, const AskPage *page, ApiPeoplePage *out)
{
    const Schema *schema = engine_schema_lock(a->engine);
    uint32_t at = people_next(people, page->from);
    out->persons = (int64_t)people->count;
    out->items = ARENA_ARRAY(a->ctx->arena, ApiSegmentPerson, page->limit);
    for (; out->items_count < page->limit && at < people->person_count;
         at = people_next(people, at + 1)) {
        const EventActor actor = schema_actor_of(schema, at);
        if (actor.kind.len > 0) /* else erased since the question looked */
            out->items[out->items_count++] = (ApiSegmentPerson){actor.kind, actor.value};
    }
    engine_schema_unlock(a->engine);
    if (page->limit > 0 && at < people->person_count)
        DTO_SET(out, next, request_cursor_make(a->ctx, at, 0));
}
