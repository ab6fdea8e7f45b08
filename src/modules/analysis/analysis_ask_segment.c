/*
 * modules/analysis/analysis_ask_segment.c -- segments: how many persons, and who.
 */
#include "modules/analysis/analysis_ask.h"

static void give_segment(const Asking *a, const SegmentResult *r, const AskPage *page,
                         ApiSegmentAnswer *out)
{
    ApiPeoplePage people = {0};
    ask_give_people(a, &r->people, page, ASK_COUNTS, &people);
    out->persons = people.persons;
    out->everybody = (int64_t)r->universe;
    out->items = people.items;
    out->items_count = people.items_count;
    out->next = people.next;
    out->next_is = people.next_is;
}

Err ask_segment(Asking *a, const Query *q, const ApiQuery *in)
{
    const ApiSegmentQuestion *question = &in->segment;
    const Segment *segment = NULL;
    SegmentResult result;
    AskPage page = {0};
    TRY(ask_without_calendar(a, in, "a segment"));
    if (question->limit > 0)
        TRY(ask_page(a->ctx, question->limit,
                     question->cursor_is == DTO_VALUE ? &question->cursor : NULL, "/segment/cursor",
                     &page));
    a->names.schema = engine_schema_lock(a->engine);
    const Err err = ask_persons(a, question->of, "/segment/of", &segment);
    TRY(ask_texts(a, q, err));
    TRY(query_segment(a->ctx, q, segment, &result));
    a->answer->segment_is = DTO_VALUE;
    give_segment(a, &result, &page, &a->answer->segment);
    if (a->who != NULL)
        ask_give_who(a, &result.people, ASK_COUNTS);
    return ERR_OK;
}
