/*
 * modules/analysis/analysis_ask_timeline.c -- the events of one person, from the log: it has every value.
 */
#include "modules/analysis/analysis_ask.h"
#include "modules/person/person_http.h"

Err ask_timeline(Asking *a, const Query *q, const ApiQuery *in)
{
    const ApiTimelineQuestion *question = &in->timeline;
    AskPage unused;
    (void)q;
    const TimelineAsk asked = {
        .actor = {question->kind, question->value},
        .names = question->names,
        .name_count = question->names_count,
        .oldest_first = question->order == API_TIMELINE_QUESTION_ORDER_OLDEST,
        .limit = (size_t)question->limit,
        .cursor = question->cursor_is == DTO_VALUE ? &question->cursor : NULL};
    TRY(ask_without_calendar(a, in, "a timeline"));
    TRY(ask_page(a->ctx, 0, NULL, "", &unused)); /* who may see persons */
    a->answer->timeline_is = DTO_VALUE;
    return person_read_timeline(a->work, &asked, &a->answer->timeline);
}
