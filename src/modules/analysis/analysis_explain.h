/*
 * modules/analysis/analysis_explain.h -- why a rule about persons holds for one of them, or not.
 *
 * The log is read, not the columns: the evaluator for one person (rules/rule_eval.h) looks at what it has of all actors
 * that are this person now.
 *
 * Owns: nothing; everything lives in ctx->arena.  Threads: any.
 * Promises: the rule holds for exactly those whom the question "segment" finds, as far as the columns have what the log
 *           has (docs/formats/query.md says what they have not).
 * Errors: INVALID "query.rule", also of the rule of a cohort; "query.too_large" for more of one person than is read at
 *         once; those of crew_look() and events_by_actor(); INTERNAL "events.damaged".
 */
#pragma once

#include "analysis.api.h"
#include "events/events.h"
#include "modules/analysis/analysis.h"

typedef struct Explain {
    Engine *engine;
    EventsLog *log;
    const AnalysisNames *names; /* its cohorts known */
    int64_t until_us;           /* as in CrewJob */
    const atomic_bool *stop;
} Explain;

MUST_USE Err analysis_explain(Ctx *ctx, const Explain *how, const ApiExplainQuestion *in,
                              ApiExplainAnswer *out);
