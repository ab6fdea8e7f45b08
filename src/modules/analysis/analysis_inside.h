/*
 * modules/analysis/analysis_inside.h -- what the compiler of conditions on events (analysis_compile.c) and that of
 * conditions on persons (analysis_segment.c) share.  Private to them.
 *
 * Owns: nothing; everything lives in ctx->arena.  Threads: any.
 * Errors of all: INVALID "query.unsupported"; of those that take texts also "query.too_large".
 */
#pragma once

#include "modules/analysis/analysis.h"

/* The error: `what` this node is cannot be asked of all events. */
MUST_USE Err analysis_unsupported(Ctx *ctx, const RuleNode *n, const char *what);

/* The events that a RULE_STEP selects; the time range of *out stays as it is.  Whole after analysis_ask_texts(). */
MUST_USE Err analysis_step(Ctx *ctx, const AnalysisNames *names, const RuleNode *step,
                           AnalysisTexts *texts, ScanSelect *out);

/* A condition on one event.  Whole after analysis_ask_texts(). */
MUST_USE Err analysis_filter(Ctx *ctx, const AnalysisNames *names, const RuleNode *condition,
                             AnalysisTexts *texts, const Filter **out);

/* What a question has to know of all persons before it can be asked. */
struct AnalysisPersons {
    struct AnalysisPersons *next;
    const Segment *who; /* a condition waits for who they are ... */
    Filter *filter;     /* ... FILTER_PERSONS, in which ... */
    bool nobody;        /* ... nobody is, too; */
    Changes *changes;   /* or for when they were */
};

/* It waits behind all that wait already. */
struct AnalysisPersons *analysis_persons_later(Ctx *ctx, AnalysisTexts *texts);

/* Who is in the cohort that a SEGMENT names; of one question each is asked once.  Errors: those of analysis_segment();
 * INVALID "query.rule" when its rule cannot be read any more; BUSY "query.cohorts" as AnalysisCohorts says. */
MUST_USE Err analysis_cohort(Ctx *ctx, const AnalysisNames *names, const RuleNode *n,
                             AnalysisTexts *texts, const Filter **out);

/* The fault of its rule says of which cohort it is, the innermost one. */
Err analysis_inside_cohort(Ctx *ctx, const AnalysisCohort *c, Err err);

/* Who fulfils a comparison whose first operand is a PERSON, by what was said of it last.  Whole after
 * analysis_ask_texts(). */
MUST_USE Err analysis_attribute(Ctx *ctx, const AnalysisNames *names, const RuleNode *comparison,
                                AnalysisTexts *texts, const Segment **out);

/* The comparison that a CONSENTS is. */
const RuleNode *analysis_consent(Ctx *ctx, const RuleNode *consents);

/* A number, or a product of two. */
typedef struct AnalysisColumn {
    ScanProp of, times; /* times.prop PROP_NONE: it is no product */
} AnalysisColumn;

/* The column of a PROP, CONTEXT or FIELD other than the time, or of a MUL; out->of.prop PROP_NONE when no event has
 * values of the type `wanted` there (RULE_TYPE_UNKNOWN: of any). */
MUST_USE Err analysis_column(Ctx *ctx, const AnalysisNames *names, const RuleNode *n,
                             RuleType wanted, AnalysisColumn *out);

/* The event without what questions do not see of it: values of another type than their property's, numbers that have no
 * place; `places` of the folder's currency.  Under the schema's lock. */
void analysis_see(Arena *arena, const Schema *names, int places, Event *e);
