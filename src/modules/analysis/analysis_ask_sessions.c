/*
 * modules/analysis/analysis_ask_sessions.c -- sessions.
 */
#include "engine/ask/session.h"
#include "modules/analysis/analysis_ask.h"

typedef struct AskSessions {
    Sessions sessions;
    AskSeries series;
} AskSessions;

static Err make_sessions(Asking *a, const ApiSessionsQuestion *q, AskSessions *out)
{
    static const AnalysisBy INTERVALS[] = {ANALYSIS_BY_DAY, ANALYSIS_BY_WEEK, ANALYSIS_BY_MONTH,
                                           ANALYSIS_BY_ALL};
    Sessions *s = &out->sessions;
    int64_t *bounds = NULL;
    TRY(ask_maybe_select(a, q->of_is, q->of, "/sessions/of", &s->of));
    TRY(ask_buckets(a, q->from, q->to, INTERVALS[q->by], &bounds, &s->bucket_count));
    s->bounds = bounds;
    s->gap_ms = q->gap_s * 1000;
    s->max_ms = q->max_s * 1000;
    s->names = (uint32_t)q->names;
    s->median = q->median;
    TRY(ask_series(a, q->breakdown, q->breakdown_count, "/sessions/breakdown", &out->series));
    s->breakdown = out->series.scan;
    s->breakdown_count = out->series.count;
    s->top = s->breakdown_count == 0 ? 0 : (uint32_t)q->top;
    if ((uint64_t)(s->top + 1) * (s->bucket_count + 1) > SESSION_CELLS_MAX)
        return fail_field(a->ctx, "/sessions/to", "query.too_large",
                          "intervals times series: at most %d, a total and the others among them",
                          SESSION_CELLS_MAX);
    return ERR_OK;
}

/* Rounded half up. */
static int64_t share_of(uint64_t part, uint64_t times, uint64_t whole)
{
    return whole == 0 ? 0 : (int64_t)((part * times + whole / 2) / whole);
}

static ApiSessionsCell give_cell(Ctx *ctx, const Sessions *s, const SessionCell *c)
{
    ApiSessionsCell out = {
        .sessions = (int64_t)c->sessions,
        .persons = (int64_t)c->persons,
        .events = (int64_t)c->events,
        .events_per_session = ask_decimal(ctx, share_of(c->events, 100, c->sessions), 2, true),
        .bounced = (int64_t)c->bounced,
        .bounce_bps = share_of(c->bounced, 10000, c->sessions),
        .average_s = c->sessions == 0 ? 0 : (int64_t)((c->ms / c->sessions + 500) / 1000)};
    if (s->median)
        DTO_SET(&out, median_s, c->median_s);
    return out;
}

static void give_series(const Asking *a, const AskSessions *s, const SessionSeries *series,
                        ApiSessionsSeriesRow *out)
{
    const uint32_t n = s->sessions.bucket_count;
    out->other = series->key.is_other;
    out->values = ask_give_values(a, &s->series, &series->key, &out->values_count);
    out->cells_count = n;
    out->cells = ARENA_ARRAY(a->ctx->arena, ApiSessionsCell, n);
    for (uint32_t i = 0; i < n; i++)
        out->cells[i] = give_cell(a->ctx, &s->sessions, &series->cells[i]);
    out->total = give_cell(a->ctx, &s->sessions, &series->cells[n]);
}

static ApiSessionsNameRow *give_names(const Asking *a, const SessionNames *names, size_t *count)
{
    ApiSessionsNameRow *out =
        ARENA_ARRAY(a->ctx->arena, ApiSessionsNameRow, (size_t)names->count + 1);
    *count = names->count;
    for (uint32_t i = 0; i < names->count; i++)
        out[i] = (ApiSessionsNameRow){schema_event_name(a->names.schema, names->rows[i].event),
                                      (int64_t)names->rows[i].sessions};
    return out;
}

static void give_sessions(const Asking *a, const AskSessions *s, const SessionsResult *r,
                          ApiSessionsAnswer *out)
{
    out->buckets_count = s->sessions.bucket_count;
    out->buckets = ARENA_ARRAY(a->ctx->arena, int64_t, out->buckets_count);
    memcpy(out->buckets, s->sessions.bounds, out->buckets_count * sizeof *out->buckets);
    out->distinct = r->distinct;
    out->series_count = r->count;
    out->series = ARENA_ARRAY(a->ctx->arena, ApiSessionsSeriesRow, (size_t)r->count + 1);
    for (uint32_t i = 0; i < r->count; i++)
        give_series(a, s, &r->series[i], &out->series[i]);
    out->entries_distinct = r->began.distinct;
    out->entries = give_names(a, &r->began, &out->entries_count);
    out->exits_distinct = r->ended.distinct;
    out->exits = give_names(a, &r->ended, &out->exits_count);
}

/* ---- whose sessions they are ---------------------------------------------------------------------- */

/* A name of the answer's entries or exits; sessions of all cells together. */
static Err find_name(const Asking *a, const SessionsResult *r, SessionBar *out)
{
    const ApiPeopleBar *in = a->who;
    const bool began = in->from_is == DTO_VALUE;
    const ApiPeopleNode *node = began ? &in->from : &in->to;
    const SessionNames *names = began ? &r->began : &r->ended;
    const char *pointer = began ? "/people/from" : "/people/to";
    out->kind = began ? SESSION_BEGAN : SESSION_ENDED;
    if (began && in->to_is == DTO_VALUE)
        return ask_no_bar(a->ctx, "/people/to", "how they began, or how they ended: not both");
    if (ask_names_series(a) || in->interval_is == DTO_VALUE || in->outcome_is == DTO_VALUE)
        return ask_no_bar(a->ctx, pointer, "entries and exits are of all sessions");
    for (uint32_t i = 0; i < names->count && node->event_is == DTO_VALUE; i++) {
        out->event = names->rows[i].event;
        if (str_eq(schema_event_name(a->names.schema, out->event), node->event))
            return ERR_OK;
    }
    return ask_no_bar(a->ctx, pointer, "the answer has no such name");
}

/* A cell, or the total of its series. */
static Err find_cell(const Asking *a, const AskSessions *s, const SessionsResult *r,
                     SessionBar *out)
{
    static const ApiPeopleOutcome HAS[] = {API_PEOPLE_OUTCOME_REACHED, API_PEOPLE_OUTCOME_BOUNCED};
    const ApiPeopleBar *in = a->who;
    ApiPeopleOutcome outcome = API_PEOPLE_OUTCOME_REACHED;
    TRY(ask_outcome(a, HAS, ARRAY_LEN(HAS), API_PEOPLE_OUTCOME_REACHED, &outcome));
    out->kind = outcome == API_PEOPLE_OUTCOME_BOUNCED ? SESSION_BOUNCED : SESSION_ALL;
    out->bucket = s->sessions.bucket_count;
    if (in->interval_is == DTO_VALUE)
        TRY(ask_place(a->ctx, in->interval_is, in->interval, s->sessions.bucket_count,
                      "/people/interval", &out->bucket));
    return ask_find_series(a, &s->series, r->series, sizeof *r->series, r->count, &out->series);
}

static Err give_who(Asking *a, const Query *q, const AskSessions *s, const SessionsResult *r)
{
    const bool has_name = a->who->from_is == DTO_VALUE || a->who->to_is == DTO_VALUE;
    SessionBar bar = {.kind = SESSION_ALL};
    People people;
    TRY(has_name ? find_name(a, r, &bar) : find_cell(a, s, r, &bar));
    TRY(query_sessions_people(a->ctx, q, &s->sessions, r, &bar, &people));
    ask_give_who(a, &people, ASK_COUNTS);
    return ERR_OK;
}

Err ask_sessions(Asking *a, const Query *q, const ApiQuery *in)
{
    AskSessions s = {.series = {.count = 0}};
    SessionsResult result;
    a->names.schema = engine_schema_lock(a->engine);
    const Err err = make_sessions(a, &in->sessions, &s);
    TRY(ask_texts(a, q, err));
    TRY(query_sessions(a->ctx, q, &s.sessions, &result));
    a->answer->sessions_is = DTO_VALUE;
    give_sessions(a, &s, &result, &a->answer->sessions);
    return a->who == NULL ? ERR_OK : give_who(a, q, &s, &result);
}
