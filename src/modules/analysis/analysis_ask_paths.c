/*
 * modules/analysis/analysis_ask_paths.c -- paths, and transitions: which event follows right behind which.
 */
#include "engine/ask/path.h"
#include "modules/analysis/analysis_ask.h"

/* A question and what its numbers are. */
typedef struct AskPaths {
    Path path;
    ScanSelect anchor, goal;
    AskProperty property; /* when path.prop says that there is one */
} AskPaths;

/* Where paths go from says which way. */
static Err read_direction(Asking *a, const ApiPathsQuestion *q, AskPaths *out)
{
    const bool has_start = q->start_is == DTO_VALUE, has_end = q->end_is == DTO_VALUE;
    const bool backward = q->direction_is == DTO_VALUE
                              ? q->direction == API_PATHS_QUESTION_DIRECTION_BACKWARD
                              : has_end && !has_start;
    if (has_start && backward)
        return fail_field(a->ctx, "/paths/direction", "query.combination",
                          "from start paths go forward: backward ones have an end");
    if (has_end && !has_start && !backward)
        return fail_field(a->ctx, "/paths/direction", "query.combination",
                          "from end paths go backward: forward ones have a start");
    out->path.backward = backward;
    out->path.anchor = has_start || has_end ? &out->anchor : NULL;
    out->path.goal = has_start && has_end ? &out->goal : NULL;
    TRY(ask_maybe_select(a, q->start_is, q->start, "/paths/start", &out->anchor));
    return ask_maybe_select(a, q->end_is, q->end, "/paths/end",
                            has_start ? &out->goal : &out->anchor);
}

static Err make_paths(Asking *a, const ApiPathsQuestion *q, AskPaths *out)
{
    Path *p = &out->path;
    TRY(ask_maybe_select(a, q->of_is, q->of, "/paths/of", &p->of));
    TRY(ask_range(a, q->from, q->to, &p->of));
    TRY(read_direction(a, q, out));
    p->steps = (uint32_t)q->steps;
    p->top = (uint32_t)q->top;
    p->gap_ms = q->gap_s * 1000;
    p->window_ms = q->window_s_is == DTO_VALUE ? q->window_s * 1000 : 0;
    p->repeats = !q->collapse;
    p->persons = q->count == API_PATHS_QUESTION_COUNT_PERSONS;
    p->first = q->count == API_PATHS_QUESTION_COUNT_FIRST;
    if (q->property_is != DTO_VALUE)
        return ERR_OK;
    p->prop = &out->property.scan;
    return ask_property(a, q->property, "/paths/property", &out->property);
}

static void give_node(const Asking *a, const AskPaths *p, const PathNode *n, ApiPathNodeRow *out)
{
    out->other = n->is_other;
    out->count = (int64_t)n->count;
    out->ended = (int64_t)n->ended;
    if (n->is_other)
        return;
    DTO_SET(out, event, schema_event_name(a->names.schema, n->event));
    if (p->path.prop != NULL && n->value == SCAN_MISSING)
        out->value_is = DTO_NULL;
    else if (p->path.prop != NULL)
        DTO_SET(out, value, ask_value_text(a, &p->property, n->value));
}

static void give_step(const Asking *a, const AskPaths *p, const PathStep *s, ApiPathStepRow *out)
{
    out->count = (int64_t)s->count;
    out->ended = (int64_t)s->ended;
    out->distinct = s->distinct;
    out->nodes_count = s->node_count;
    out->nodes = ARENA_ARRAY(a->ctx->arena, ApiPathNodeRow, (size_t)s->node_count + 1);
    for (uint32_t i = 0; i < s->node_count; i++)
        give_node(a, p, &s->nodes[i], &out->nodes[i]);
    out->edges_count = s->edge_count;
    out->edges = ARENA_ARRAY(a->ctx->arena, ApiPathEdgeRow, (size_t)s->edge_count + 1);
    for (uint32_t i = 0; i < s->edge_count; i++)
        out->edges[i] =
            (ApiPathEdgeRow){s->edges[i].from, s->edges[i].to, (int64_t)s->edges[i].count};
}

/* ---- whose paths they are ------------------------------------------------------------------------- */

static bool is_node(const Asking *a, const AskPaths *p, const PathNode *n, const ApiPeopleNode *in)
{
    ApiPathNodeRow row = {.other = false};
    give_node(a, p, n, &row);
    if (row.other || in->other)
        return row.other && in->other && in->event_is != DTO_VALUE && in->value_is == DTO_ABSENT;
    return in->event_is == DTO_VALUE && str_eq(in->event, row.event) &&
           in->value_is == row.value_is &&
           (row.value_is != DTO_VALUE || str_eq(in->value, row.value));
}

static Err find_node(const Asking *a, const AskPaths *p, const PathStep *s, const ApiPeopleNode *in,
                     const char *pointer, uint32_t *out)
{
    for (*out = 0; *out < s->node_count; (*out)++)
        if (is_node(a, p, &s->nodes[*out], in))
            return ERR_OK;
    return ask_no_bar(a->ctx, pointer, "the step has no such node");
}

static Err find_bar(const Asking *a, const AskPaths *p, const PathResult *r, PathBar *out)
{
    static const ApiPeopleOutcome HAS[] = {API_PEOPLE_OUTCOME_REACHED, API_PEOPLE_OUTCOME_ENDED};
    const ApiPeopleBar *in = a->who;
    const bool has_from = in->from_is == DTO_VALUE, has_to = in->to_is == DTO_VALUE;
    ApiPeopleOutcome outcome = API_PEOPLE_OUTCOME_REACHED;
    *out = (PathBar){.node = QUERY_WHOLE, .to = QUERY_WHOLE};
    TRY(ask_outcome(a, HAS, ARRAY_LEN(HAS), API_PEOPLE_OUTCOME_REACHED, &outcome));
    TRY(ask_place(a->ctx, in->step_is, in->step, r->step_count, "/people/step", &out->step));
    out->has_ended = outcome == API_PEOPLE_OUTCOME_ENDED;
    if (has_from)
        TRY(find_node(a, p, &r->steps[out->step], &in->from, "/people/from", &out->node));
    if (!has_to)
        return ERR_OK;
    if (!has_from || out->has_ended || out->step + 1 >= r->step_count)
        return ask_no_bar(a->ctx, "/people/to", "an edge goes from a node to one of the next step");
    return find_node(a, p, &r->steps[out->step + 1], &in->to, "/people/to", &out->to);
}

static Err give_who(Asking *a, const Query *q, const AskPaths *p, const PathResult *r)
{
    PathBar bar;
    People people;
    TRY(find_bar(a, p, r, &bar));
    TRY(query_paths_people(a->ctx, q, &p->path, r, &bar, &people));
    ask_give_who(a, &people, ASK_COUNTS);
    return ERR_OK;
}

Err ask_paths(Asking *a, const Query *q, const ApiQuery *in)
{
    AskPaths p = {.property = {.type = EVENT_NONE}};
    ApiPathsAnswer *out = &a->answer->paths;
    PathResult result;
    a->names.schema = engine_schema_lock(a->engine);
    const Err err = make_paths(a, &in->paths, &p);
    TRY(ask_texts(a, q, err));
    TRY(query_paths(a->ctx, q, &p.path, &result));
    a->answer->paths_is = DTO_VALUE;
    out->steps_count = result.step_count;
    out->steps = ARENA_ARRAY(a->ctx->arena, ApiPathStepRow, PATH_STEPS_MAX);
    for (uint32_t i = 0; i < result.step_count; i++)
        give_step(a, &p, &result.steps[i], &out->steps[i]);
    return a->who == NULL ? ERR_OK : give_who(a, q, &p, &result);
}

/* ---- transitions --------------------------------------------------------------------------------- */

static Err make_transitions(Asking *a, const ApiTransitionsQuestion *q, Transitions *out)
{
    *out =
        (Transitions){.gap_ms = q->gap_s * 1000, .repeats = !q->collapse, .top = (uint32_t)q->top};
    TRY(ask_maybe_select(a, q->of_is, q->of, "/transitions/of", &out->of));
    return ask_range(a, q->from, q->to, &out->of);
}

static bool is_pair(const ApiTransitionRow *row, const ApiPeopleBar *in)
{
    return str_eq(row->from, in->from.event) && str_eq(row->to, in->to.event);
}

static Err give_pair(Asking *a, const Query *q, const Transitions *t, const TransitionsResult *r)
{
    const ApiPeopleBar *in = a->who;
    const ApiTransitionRow *rows = a->answer->transitions.rows;
    uint32_t at = 0;
    People people;
    if (in->from_is != DTO_VALUE || in->to_is != DTO_VALUE || in->from.event_is != DTO_VALUE ||
        in->to.event_is != DTO_VALUE)
        return ask_no_bar(a->ctx, "/people/from", "a pair goes from an event to an event");
    while (at < r->count && !is_pair(&rows[at], in))
        at++;
    if (at == r->count)
        return ask_no_bar(a->ctx, "/people/from", "the answer has no such pair");
    TRY(query_transitions_people(a->ctx, q, t, r->rows[at].from, r->rows[at].to, &people));
    ask_give_who(a, &people, ASK_COUNTS);
    return ERR_OK;
}

Err ask_transitions(Asking *a, const Query *q, const ApiQuery *in)
{
    Transitions t;
    TransitionsResult result;
    ApiTransitionsAnswer *out = &a->answer->transitions;
    a->names.schema = engine_schema_lock(a->engine);
    const Err err = make_transitions(a, &in->transitions, &t);
    TRY(ask_texts(a, q, err));
    TRY(query_transitions(a->ctx, q, &t, &result));
    a->answer->transitions_is = DTO_VALUE;
    out->distinct = result.distinct;
    out->total = (int64_t)result.total;
    out->rows_count = result.count;
    out->rows = ARENA_ARRAY(a->ctx->arena, ApiTransitionRow, (size_t)result.count + 1);
    for (uint32_t i = 0; i < result.count; i++)
        out->rows[i] =
            (ApiTransitionRow){.from = schema_event_name(a->names.schema, result.rows[i].from),
                               .to = schema_event_name(a->names.schema, result.rows[i].to),
                               .count = (int64_t)result.rows[i].count};
    return a->who == NULL ? ERR_OK : give_pair(a, q, &t, &result);
}
