/*
 * modules/analysis/analysis_cohort.c -- cohorts in conditions: a rule about persons behind a name.
 *
 * Of one question a cohort is made once, whoever names it, and found once, before what names it is asked: an
 * AnalysisPersons waits behind those that its own rule needs.
 */
#include "modules/analysis/analysis_inside.h"

static AnalysisCohort *find(const AnalysisCohorts *cohorts, Str name)
{
    for (size_t i = 0; i < cohorts->count; i++)
        if (str_eq(cohorts->at[i].name, name))
            return &cohorts->at[i];
    return NULL;
}

/* As many characters as fit: none is cut. */
static Str whole_characters(Str s, size_t max)
{
    size_t len = 0;
    while (len < s.len && str_utf8_len(s, len) > 0 && len + str_utf8_len(s, len) <= max)
        len += str_utf8_len(s, len);
    return str_slice(s, 0, len);
}

enum { NAME_SHOWN = 40 };

#define INSIDE "in the cohort \""

/* Somebody else wrote it earlier. */
Err analysis_inside_cohort(Ctx *ctx, const AnalysisCohort *c, Err err)
{
    if (err == ERR_OK || ctx->fault.code != ERR_INVALID ||
        str_starts_with(str_of(ctx->fault.hint), STR(INSIDE)))
        return err;
    const Str name = whole_characters(c->name, NAME_SHOWN);
    const Str hint = arena_printf(ctx->arena, INSIDE "%.*s\": %s", STR_ARG(name), ctx->fault.hint);
    const Str shown = whole_characters(hint, sizeof ctx->fault.hint - 1);
    const bool is_rule = str_starts_with(str_of(ctx->fault.reason), STR("rule."));
    return fail_field(ctx, "", is_rule ? "query.rule" : ctx->fault.reason, "%.*s", STR_ARG(shown));
}

/* Persons are always told in the chain's calendar. */
static Err make(Ctx *ctx, const AnalysisNames *names, AnalysisCohort *c, AnalysisTexts *texts,
                const Segment **out)
{
    AnalysisNames chain = *names;
    chain.calendar = analysis_calendar(ctx->arena, names->settings);
    const RuleSchema schema = analysis_rule_schema(&chain);
    Rule *rule = ARENA_NEW(ctx->arena, Rule);
    TRY(rule_parse(ctx, c->rule, RULE_SCOPE_PERSON, &schema, rule));
    c->read = rule;
    return analysis_segment(ctx, &chain, rule, texts, out);
}

/* A circle would go on for ever; whoever keeps cohorts allows none. */
static Err make_nested(Ctx *ctx, const AnalysisNames *names, AnalysisCohort *c,
                       AnalysisTexts *texts, const Segment **out)
{
    AnalysisCohorts *cohorts = names->cohorts;
    if (cohorts->nested == RULE_NESTED_MAX)
        return fail_field(ctx, "", "query.rule", "cohorts name each other more than %d deep",
                          RULE_NESTED_MAX);
    cohorts->nested++;
    const Err err = analysis_inside_cohort(ctx, c, make(ctx, names, c, texts, out));
    cohorts->nested--;
    return err;
}

Err analysis_cohort(Ctx *ctx, const AnalysisNames *names, const RuleNode *n, AnalysisTexts *texts,
                    const Filter **out)
{
    const AnalysisCohorts *cohorts = names->cohorts;
    AnalysisCohort *c = find(cohorts, n->name);
    if (!cohorts->known)
        return fail(ctx, ERR_BUSY, "query.cohorts", "the cohorts are not known yet");
    if (c == NULL)
        return fail_field(ctx, "", "query.rule", "there is no cohort of this name");
    if (c->found == NULL) {
        const Segment *who = NULL;
        TRY(make_nested(ctx, names, c, texts, &who));
        c->found = analysis_persons_later(ctx, texts);
        c->found->who = who;
        c->found->filter = ARENA_NEW(ctx->arena, Filter);
        c->found->filter->kind = FILTER_PERSONS;
    }
    *out = c->found->filter;
    return ERR_OK;
}
