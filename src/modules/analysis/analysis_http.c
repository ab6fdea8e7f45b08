/*
 * modules/analysis/analysis_http.c -- the doors of analysis.api.yaml.
 */
#include "modules/analysis/analysis_http.h"

#include "base/clock.h"
#include "events/events.h"
#include "modules/analysis/analysis_ask.h"
#include "modules/analysis/analysis_explain.h"
#include "modules/cohort/cohort.h"

#include <stdio.h>

/* ---- not now ------------------------------------------------------------------------------------- */

/* After a start with many events that are not in columns. */
static Err still_reading(Ctx *ctx, EventsLog *log, uint64_t read)
{
    EventsStat stat;
    events_stat(log, &stat);
    const Err err =
        fail(ctx, ERR_BUSY, "query.reading", "%" PRIu64 " of %" PRIu64, read, stat.next_seq - 1);
    (void)snprintf(ctx->fault.hint, sizeof ctx->fault.hint,
                   "The engine has read %" PRIu64 " of %" PRIu64 " events: ask again in a moment.",
                   read, stat.next_seq - 1);
    ctx->fault.retry_s = 5;
    return err;
}

/* The engine makes a damaged file again from the log within seconds of the first question that meets it. */
static Err being_mended(Ctx *ctx)
{
    const Err err = fail(ctx, ERR_BUSY, "query.mending", "a question met damage");
    ctx->fault.retry_s = 5;
    return err;
}

/* After a burst the engine is behind for a moment only. */
static int64_t wait_until_us(int64_t deadline_us)
{
    enum { CATCH_UP_US = 2000000 };
    const int64_t soon_us = clock_mono_us() + CATCH_UP_US;
    return deadline_us > 0 && deadline_us < soon_us ? deadline_us : soon_us;
}

/* There is an engine, and it has all events. */
static Err be_ready(Work *work)
{
    uint64_t read = 0;
    if (work->engine == NULL)
        return fail(work->ctx, ERR_BUSY, "query.closed", "no engine");
    TRY(crew_look(work->ctx, work->deadline_us, work->stop)); /* it may have waited for a thread */
    return engine_is_complete(work->engine, wait_until_us(work->deadline_us), &read)
               ? ERR_OK
               : still_reading(work->ctx, work->log, read);
}

/* ---- questions ----------------------------------------------------------------------------------- */

typedef struct Question {
    const char *name;
    size_t is_there; /* where ApiQuery says so */
    Err (*ask)(Asking *a, const Query *q, const ApiQuery *in);
    unsigned told_by; /* one of its numbers, when its people are asked for */
} Question;

static const Question QUESTIONS[] = {
    {"trend", offsetof(ApiQuery, trend_is), ask_trend, BAR_LETTER | BAR_SERIES | BAR_INTERVAL},
    {"funnel", offsetof(ApiQuery, funnel_is), ask_funnel,
     BAR_SERIES | BAR_UNREACHED | BAR_INTERVAL | BAR_STEP | BAR_OUTCOME | BAR_WITHOUT},
    {"retention", offsetof(ApiQuery, retention_is), ask_retention,
     BAR_SERIES | BAR_INTERVAL | BAR_COLUMN},
    {"stickiness", offsetof(ApiQuery, stickiness_is), ask_stickiness,
     BAR_SERIES | BAR_N | BAR_OUTCOME},
    {"lifecycle", offsetof(ApiQuery, lifecycle_is), ask_lifecycle,
     BAR_SERIES | BAR_INTERVAL | BAR_OUTCOME},
    {"segment", offsetof(ApiQuery, segment_is), ask_segment, 0},
    {"paths", offsetof(ApiQuery, paths_is), ask_paths, BAR_STEP | BAR_NODES | BAR_OUTCOME},
    {"transitions", offsetof(ApiQuery, transitions_is), ask_transitions, BAR_NODES},
    {"sessions", offsetof(ApiQuery, sessions_is), ask_sessions,
     BAR_SERIES | BAR_INTERVAL | BAR_OUTCOME | BAR_NODES},
    {"touch", offsetof(ApiQuery, touch_is), ask_touch, BAR_SERIES | BAR_OUTCOME},
    {"timeline", offsetof(ApiQuery, timeline_is), ask_timeline, 0},
};

bool analysis_question_reads_log(const void *question)
{
    return ((const ApiQuery *)question)->timeline_is == DTO_VALUE;
}

/* How many are asked; *out = the last of them. */
static int find_questions(const ApiQuery *in, const Question **out)
{
    int count = 0;
    for (size_t i = 0; i < ARRAY_LEN(QUESTIONS); i++) {
        DtoState is;
        memcpy(&is, (const char *)in + QUESTIONS[i].is_there, sizeof is);
        if (is != DTO_VALUE)
            continue;
        *out = &QUESTIONS[i];
        count++;
    }
    return count;
}

static Err load_cohorts(Ctx *ctx, AnalysisCohorts *out)
{
    Cohort *cohorts = NULL;
    TRY(cohort_list(ctx, &cohorts, &out->count));
    out->at = ARENA_ARRAY(ctx->arena, AnalysisCohort, out->count + 1);
    for (size_t i = 0; i < out->count; i++)
        out->at[i] = (AnalysisCohort){.name = cohorts[i].name, .rule = cohorts[i].rule};
    out->known = true;
    return ERR_OK;
}

/* Dates are read where nobody knows whose they are. */
static Err point_at_range(Ctx *ctx, const Question *question, Err err)
{
    Fault *f = &ctx->fault;
    if (err == ERR_INVALID && f->pointer[0] == '\0' &&
        str_eq(str_of(f->reason), STR("query.range")))
        (void)snprintf(f->pointer, sizeof f->pointer, "/%s/from", question->name);
    return err;
}

/* A question that names a cohort is made twice: who names none does not read them. */
static Err ask(Asking *a, const Query *q, const Question *question, const ApiQuery *in)
{
    AnalysisCohorts *cohorts = a->names.cohorts;
    Err err = question->ask(a, q, in);
    if (err != ERR_BUSY || !str_eq(str_of(a->ctx->fault.reason), STR("query.cohorts")))
        return err;
    TRY(load_cohorts(a->ctx, cohorts));
    a->texts = (AnalysisTexts){0};
    a->answer->warnings_count = 0;
    err = question->ask(a, q, in);
    for (size_t i = 0; i < cohorts->count; i++)
        if (cohorts->at[i].read != NULL)
            ask_keep_warnings(a, cohorts->at[i].read);
    return err;
}

/* The question's own deadline, if that is earlier; 0 = none. */
static int64_t deadline_of(const Work *work, const ApiQuery *in)
{
    if (in->deadline_ms_is != DTO_VALUE)
        return work->deadline_us;
    const int64_t own_us = clock_mono_us() + in->deadline_ms * 1000;
    return work->deadline_us > 0 && work->deadline_us < own_us ? work->deadline_us : own_us;
}

static Err query(Work *whole, Call *call)
{
    Ctx *ctx = whole->ctx;
    const ApiQuery *in = call->body;
    Work mine = *whole, *work = &mine;
    Asking a = {.ctx = ctx,
                .work = work,
                .engine = work->engine,
                .names = analysis_names(ctx->arena, NULL, ctx->settings),
                .answer = call->reply};
    work->deadline_us = deadline_of(work, in);
    TRY(be_ready(work));
    const Question *question = NULL;
    const int asked = find_questions(in, &question);
    if (asked != 1)
        return fail_field(ctx, "", "query.one", "ask one question at a time, not %d", asked);
    TRY(ask_calendar(&a, in));
    TRY(ask_who(&a, in, question->told_by));
    a.answer->warnings = ARENA_ARRAY(ctx->arena, Str, ASK_WARNINGS_MAX);
    const int64_t began_us = clock_mono_us();
    ScanView *view = engine_view(work->engine);
    const Query q = {
        .view = view, .crew = work->crew, .until_us = work->deadline_us, .stop = work->stop};
    const Err err = point_at_range(ctx, question, ask(&a, &q, question, in));
    engine_view_done(view);
    a.answer->took_us = clock_mono_us() - began_us;
    const bool is_damage =
        err != ERR_OK && str_eq(str_of(ctx->fault.reason), STR("events.part_damaged"));
    return is_damage ? being_mended(ctx) : err;
}

/* ---- rules --------------------------------------------------------------------------------------- */

/* Whoever is explained is seen. */
static Err explain(Work *work, Call *call)
{
    Ctx *ctx = work->ctx;
    AskPage unused;
    const AnalysisNames names = analysis_names(ctx->arena, NULL, ctx->settings);
    TRY(principal_require(ctx, "insight.read"));
    TRY(ask_page(ctx, 0, NULL, "", &unused));
    TRY(be_ready(work));
    TRY(load_cohorts(ctx, names.cohorts));
    const Explain how = {work->engine, work->log, &names, work->deadline_us, work->stop};
    return analysis_explain(ctx, &how, call->body, call->reply);
}

static void give_rule(Ctx *ctx, const Rule *rule, ApiRuleRead *out)
{
    enum { TREE_BYTES_MAX = 1 << 20 };
    Buf text = BUF_MAX(RULE_BYTES_MAX), tree = BUF_MAX(TREE_BYTES_MAX);
    JsonOut json = json_out(&tree);
    rule_format(rule, &text);
    rule_to_json(rule, &json);
    out->text = arena_copy(ctx->arena, buf_str(&text));
    out->tree = arena_copy(ctx->arena, buf_str(&tree));
    buf_free(&text);
    buf_free(&tree);
    out->warnings = ask_warnings(ctx, rule, &out->warnings_count);
}

static Err read_rule(Work *work, Call *call)
{
    static const RuleScope SCOPES[] = {RULE_SCOPE_EVENT, RULE_SCOPE_STEP, RULE_SCOPE_PERSON};
    Ctx *ctx = work->ctx;
    const ApiRuleDraft *in = call->body;
    AnalysisNames names = analysis_names(ctx->arena, NULL, ctx->settings);
    Rule rule;
    if (work->engine == NULL)
        return fail(ctx, ERR_BUSY, "query.closed", "no engine");
    TRY(load_cohorts(ctx, names.cohorts));
    names.schema = engine_schema_lock(work->engine);
    const Err err = ask_rule(ctx, &names, in->rule, SCOPES[in->scope], "/rule", &rule);
    engine_schema_unlock(work->engine);
    TRY(err);
    give_rule(ctx, &rule, call->reply);
    return ERR_OK;
}

const Door ANALYSIS_DOORS[] = {
    {.operation = &API_OP_ANALYSIS_QUERY, .work = query, .slow = true},
    {.operation = &API_OP_ANALYSIS_EXPLAIN, .work = explain, .slow = true},
    {.operation = &API_OP_ANALYSIS_RULE, .work = read_rule},
    {.operation = &API_OP_ANALYSIS_PROPERTIES, .work = analysis_properties},
    {0}};
