/*
 * modules/analysis/analysis_explain.c
 */
#include "modules/analysis/analysis_explain.h"

#include "modules/analysis/analysis_ask.h"
#include "modules/analysis/analysis_inside.h"
#include "rules/rule_eval.h"

#include <stdlib.h>

enum {
    EVENTS_MAX = 20000,
    BYTES_MAX = 16 << 20, /* of them, encoded: in memory they are a few times larger */
};

/* ---- what the log has of a person ------------------------------------------------------------------ */

typedef struct Life {
    Event **events;
    size_t count, room, bytes;
    uint64_t forgotten; /* of the actor under way: what came before counts nowhere */
} Life;

static Err too_many(Ctx *ctx)
{
    return fail_field(
        ctx, "/value", "query.too_large",
        "more than %d events of one person, or %d MB: nothing is explained of that many",
        EVENTS_MAX, BYTES_MAX >> 20);
}

static void add_event(Ctx *ctx, Life *life, Event *e)
{
    if (life->count == life->room) {
        life->room = life->room * 2 + 64;
        Event **more = ARENA_ARRAY(ctx->arena, Event *, life->room);
        if (life->count > 0)
            memcpy(more, life->events, life->count * sizeof(Event *));
        life->events = more;
    }
    life->events[life->count++] = e;
}

/* The event lives only during the call. */
static Err keep_event(Ctx *ctx, const Event *e, void *arg)
{
    Life *life = arg;
    if (e->seq < life->forgotten || e->time_ms > ctx->now_ms ||
        (e->kind != EVENT_HAPPENED && e->kind != EVENT_PERSON))
        return ERR_OK; /* nobody knows yet what comes later */
    Buf bytes = BUF_MAX(EVENT_BYTES_MAX);
    event_encode(e, &bytes);
    life->bytes += bytes.len;
    const bool fits = life->count < EVENTS_MAX && life->bytes <= BYTES_MAX;
    const Str copy = fits ? arena_copy(ctx->arena, buf_str(&bytes)) : STR("");
    buf_free(&bytes);
    if (!fits)
        return too_many(ctx);
    Event *kept = ARENA_NEW(ctx->arena, Event);
    TRY(event_decode(ctx, copy, kept, NULL));
    kept->seq = e->seq;
    add_event(ctx, life, kept);
    return ERR_OK;
}

static Err read_actor(Ctx *ctx, const Explain *how, EventActor actor, Life *life)
{
    EventsPage page = {.more = true};
    TRY(events_forgotten(ctx, how->log, actor, &life->forgotten));
    while (page.more) {
        const EventsQuery query = {
            .actor = actor, .limit = EVENTS_PAGE_MAX, .oldest_first = true, .after = page.next};
        TRY(crew_look(ctx, how->until_us, how->stop));
        TRY(events_by_actor(ctx, how->log, &query, keep_event, life, &page));
        if (page.damaged > 0)
            return fail(ctx, ERR_INTERNAL, "events.damaged", "an event cannot be read");
    }
    return ERR_OK;
}

static int by_arrival(const void *a, const void *b)
{
    const Event *x = *(const Event *const *)a, *y = *(const Event *const *)b;
    if (x->time_ms != y->time_ms)
        return x->time_ms < y->time_ms ? -1 : 1;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

static Err read_life(Ctx *ctx, const Explain *how, EventActor who, Life *life)
{
    uint32_t count = 0;
    const EventActor *actors = engine_actors_with(ctx->arena, how->engine, who, &count);
    for (uint32_t i = 0; i < count; i++)
        TRY(read_actor(ctx, how, actors[i], life));
    if (life->count > 0)
        qsort(life->events, life->count, sizeof(Event *), by_arrival);
    const Schema *names = engine_schema_lock(how->engine);
    for (size_t i = 0; i < life->count; i++)
        analysis_see(ctx->arena, names, ctx->settings->exponent, life->events[i]);
    engine_schema_unlock(how->engine);
    return ERR_OK;
}

/* ---- attributes -------------------------------------------------------------------------------------- */

typedef struct Said {
    const EventProp *prop;
    size_t at; /* its place among all that was said */
} Said;

static int by_name(const void *a, const void *b)
{
    const Said *x = a, *y = b;
    const int order = str_compare(x->prop->name, y->prop->name);
    return order != 0 ? order : (x->at > y->at) - (x->at < y->at);
}

/* Of each what was said last. */
static void find_attributes(Ctx *ctx, const Life *life, RuleFacts *facts)
{
    size_t count = 0, kept = 0;
    for (size_t i = 0; i < life->count; i++)
        count += life->events[i]->kind == EVENT_PERSON ? life->events[i]->prop_count : 0;
    Said *said = ARENA_ARRAY(ctx->arena, Said, count + 1);
    EventProp *attributes = ARENA_ARRAY(ctx->arena, EventProp, count + 1);
    count = 0;
    for (size_t i = 0; i < life->count; i++)
        for (uint32_t p = 0;
             life->events[i]->kind == EVENT_PERSON && p < life->events[i]->prop_count; p++, count++)
            said[count] = (Said){&life->events[i]->props[p], count};
    qsort(said, count, sizeof *said, by_name);
    for (size_t i = 0; i < count; i++)
        if (i + 1 == count || !str_eq(said[i].prop->name, said[i + 1].prop->name))
            attributes[kept++] = *said[i].prop;
    facts->attributes = attributes;
    facts->attribute_count = (uint32_t)kept;
}

/* ---- cohorts ----------------------------------------------------------------------------------------- */

/* Of all cohorts that the rule may ask for, its rules, read before anything is told. */
typedef struct Cohorts {
    const AnalysisCohorts *known;
    Rule *rules; /* of each, `root` NULL until it is read */
} Cohorts;

static size_t find_cohort(const AnalysisCohorts *known, Str name)
{
    size_t i = 0;
    while (i < known->count && !str_eq(known->at[i].name, name))
        i++;
    return i;
}

static const Rule *rule_of(void *arg, Str name)
{
    const Cohorts *c = arg;
    const size_t i = find_cohort(c->known, name);
    return i == c->known->count || c->rules[i].root == NULL ? NULL : &c->rules[i];
}

/* Recursion: a rule's tree is at most RULE_DEPTH_MAX deep, cohorts at most RULE_NESTED_MAX, and each is read once. */
static Err read_cohorts(Ctx *ctx, const AnalysisNames *names, const RuleNode *n, Cohorts *c)
{
    if (n->op == RULE_SEGMENT) {
        const size_t i = find_cohort(c->known, n->name);
        if (i == c->known->count || c->rules[i].root != NULL)
            return ERR_OK;
        const RuleSchema schema = analysis_rule_schema(names);
        const Err err =
            rule_parse(ctx, c->known->at[i].rule, RULE_SCOPE_PERSON, &schema, &c->rules[i]);
        TRY(analysis_inside_cohort(ctx, &c->known->at[i], err));
        return read_cohorts(ctx, names, c->rules[i].root, c);
    }
    if (n->step != NULL)
        TRY(read_cohorts(ctx, names, n->step, c));
    for (uint32_t i = 0; i < n->count; i++)
        TRY(read_cohorts(ctx, names, n->args[i], c));
    return ERR_OK;
}

/* ---- telling ----------------------------------------------------------------------------------------- */

typedef struct Telling {
    Ctx *ctx;
    ApiExplainAnswer *out;
    size_t room;
} Telling;

static void tell(const RuleExplained *node, void *arg)
{
    Telling *t = arg;
    ApiExplainAnswer *out = t->out;
    if (out->nodes_count == t->room) {
        t->room = t->room * 2 + 32;
        ApiExplainNode *more = ARENA_ARRAY(t->ctx->arena, ApiExplainNode, t->room);
        if (out->nodes_count > 0)
            memcpy(more, out->nodes, out->nodes_count * sizeof *more);
        out->nodes = more;
    }
    ApiExplainNode *row = &out->nodes[out->nodes_count++];
    *row = (ApiExplainNode){
        .level = node->level, .holds = node->holds, .text = arena_copy(t->ctx->arena, node->text)};
    if (node->found.len > 0)
        DTO_SET(row, found, arena_copy(t->ctx->arena, node->found));
}

static Err read_rules(Ctx *ctx, const Explain *how, Str json, Rule *rule, Cohorts *cohorts)
{
    AnalysisNames names = *how->names;
    names.schema = engine_schema_lock(how->engine);
    cohorts->known = names.cohorts;
    cohorts->rules = ARENA_ARRAY(ctx->arena, Rule, names.cohorts->count + 1);
    Err err = ask_rule(ctx, &names, json, RULE_SCOPE_PERSON, "/of", rule);
    if (err == ERR_OK)
        err = read_cohorts(ctx, &names, rule->root, cohorts);
    engine_schema_unlock(how->engine);
    return err;
}

Err analysis_explain(Ctx *ctx, const Explain *how, const ApiExplainQuestion *in,
                     ApiExplainAnswer *out)
{
    const Settings *s = how->names->settings;
    RuleFixedZone zone = {s->offset_min, s->cutover_hour};
    Rule *rule = ARENA_NEW(ctx->arena, Rule);
    Cohorts cohorts;
    Life life = {.count = 0};
    TRY(read_rules(ctx, how, in->of, rule, &cohorts));
    TRY(read_life(ctx, how, (EventActor){in->kind, in->value}, &life));
    RuleFacts facts = {.now_ms = ctx->now_ms,
                       .events = (const Event *const *)life.events,
                       .event_count = life.count,
                       .calendar = rule_calendar_fixed(&zone),
                       .segment = rule_of,
                       .arg = &cohorts,
                       .arena = ctx->arena};
    find_attributes(ctx, &life, &facts);
    Telling telling = {.ctx = ctx, .out = out};
    rule_explain(rule, &facts, NULL, tell, &telling);
    out->holds = out->nodes[0].holds;
    for (size_t i = 0; i < life.count; i++)
        out->events += life.events[i]->kind == EVENT_HAPPENED;
    out->warnings = ask_warnings(ctx, rule, &out->warnings_count);
    return ERR_OK;
}
