/*
 * modules/analysis/analysis_ask.h -- one question on its way: what the files of the questions share.  Private to
 * analysis_http.c and analysis_ask*.c.
 *
 * Each question is a file: it makes numbers of names while it holds the engine's schema, asks the engine without
 * it, and writes its answer.
 *
 * Owns: nothing; everything lives in ctx->arena.  Threads: any.
 * Errors: INVALID "query.rule", "query.property", those of analysis.h and engine/query.h.
 */
#pragma once

#include "analysis.api.h"
#include "engine/people.h"
#include "engine/query.h"
#include "modules/analysis/analysis.h"

enum { ASK_WARNINGS_MAX = 20 }; /* of the rules, in one answer */

typedef struct Asking {
    Ctx *ctx;
    Engine *engine;
    AnalysisNames names; /* its schema locked while the question is made */
    AnalysisTexts texts; /* of all its conditions */
    ApiQueryAnswer *answer;
} Asking;

/* ---- the questions: each answers its own part of `in` ------------------------------------------- */

Err ask_trend(Asking *a, const Query *q, const ApiQuery *in);
Err ask_funnel(Asking *a, const Query *q, const ApiQuery *in);
Err ask_retention(Asking *a, const Query *q, const ApiQuery *in);
Err ask_stickiness(Asking *a, const Query *q, const ApiQuery *in);
Err ask_lifecycle(Asking *a, const Query *q, const ApiQuery *in);
Err ask_segment(Asking *a, const Query *q, const ApiQuery *in);
Err ask_paths(Asking *a, const Query *q, const ApiQuery *in);
Err ask_transitions(Asking *a, const Query *q, const ApiQuery *in);
Err ask_sessions(Asking *a, const Query *q, const ApiQuery *in);
Err ask_touch(Asking *a, const Query *q, const ApiQuery *in);

/* ---- the calendar ------------------------------------------------------------------------------- */

/* Reads it from the question into a->names: what it does not say is the chain's.  Errors: INVALID "query.zone",
 * "query.cut_over". */
MUST_USE Err ask_calendar(Asking *a, const ApiQuery *in);

/* INVALID "query.combination" when the question names one; `what` cannot have one. */
MUST_USE Err ask_without_calendar(Asking *a, const ApiQuery *in, const char *what);

/* ---- on the way in, under the schema's lock ------------------------------------------------------ */

/* Puts what the rule warns of to the answer. */
void ask_keep_warnings(Asking *a, const Rule *rule);

/* A rule of scope step.  `pointer`: of whom an error tells.  The rule's warnings go to the answer. */
MUST_USE Err ask_select(Asking *a, Str json, const char *pointer, ScanSelect *out);

/* The same where it may be left out: then every event. */
MUST_USE Err ask_maybe_select(Asking *a, DtoState is, Str json, const char *pointer,
                              ScanSelect *out);

/* From the start of `from` to the end of `to`, both yyyymmdd. */
MUST_USE Err ask_range(Asking *a, int32_t from, int32_t to, ScanSelect *out);

/* A rule of scope person: who fulfils it does not depend on the question's calendar, it is the chain's. */
MUST_USE Err ask_persons(Asking *a, Str json, const char *pointer, const Segment **out);

/* A property by the name that people write: total, context.page, event, store, source; lines.sku, of records;
 * person.level, and `person.level at event`. */
typedef struct AskProperty {
    ScanProp scan;
    EventType type;
    uint32_t list; /* of a field of records, the property that holds them; else PROP_NONE */
} AskProperty;

MUST_USE Err ask_property(Asking *a, Str name, const char *pointer, AskProperty *out);

/* The values of `by` in retention, stickiness and lifecycle. */
extern const AnalysisBy ASK_INTERVALS[];

/* Properties that make series. */
typedef struct AskSeries {
    AskProperty by[QUERY_BREAKDOWNS_MAX];
    ScanProp scan[QUERY_BREAKDOWNS_MAX];
    uint32_t count;
} AskSeries;

MUST_USE Err ask_series(Asking *a, const Str *names, size_t count, const char *pointer,
                        AskSeries *out);

/* What has series: a trend, with what its numbers are. */
typedef struct AskTrend {
    Trend trend;
    AskProperty number;
    AskSeries series;
    ScanItems items; /* trend.items, when it is of items */
} AskTrend;

/* A trend of records when any of the properties is a field of theirs: it must be of one list then. */
MUST_USE Err ask_breakdown(Asking *a, const Str *names, size_t count, const char *pointer,
                           AskTrend *out);
MUST_USE Err ask_number(Asking *a, Str name, const char *pointer, AskTrend *out);

/* Only the records count that fulfil the condition of a rule any(LIST, CONDITION). */
MUST_USE Err ask_records(Asking *a, Str json, const char *pointer, AskTrend *out);

/* `err` is how the making ended.  Names are numbers now: the lock is given up, and then the conditions on texts
 * are looked at. */
MUST_USE Err ask_texts(Asking *a, const Query *q, Err err);

/* ---- on the way out ------------------------------------------------------------------------------ */

/* A decimal, the zeros at its end taken off unless they are kept. */
Str ask_decimal(Ctx *ctx, TrendSum value, int scale, bool keep_zeros);

/* A value of the property, as text.  Not for SCAN_MISSING. */
Str ask_value_text(const Asking *a, const AskProperty *p, int64_t value);

/* The values of a series; NULL, which "other" has, are none. */
ApiBreakdownValue *ask_give_series(const Asking *a, const AskSeries *by, const int64_t *values,
                                   size_t *count);

/* The same of a trend. */
ApiBreakdownValue *ask_give_values(const Asking *a, const AskTrend *t, const TrendSeries *s,
                                   size_t *count);

/* When the buckets begin. */
int64_t *ask_give_starts(Ctx *ctx, const Trend *t, size_t *count);

/* ---- the people behind a number ------------------------------------------------------------------ */

/* A page of persons, by their numbers in the engine. */
typedef struct AskPage {
    uint32_t from, limit;
} AskPage;

/* Whoever sees who people are needs more than who counts them: the permission person.read, and not for some shops
 * only.  `cursor`: NULL = from the start.  Errors: DENIED "auth.permission", INVALID "request.cursor". */
MUST_USE Err ask_page(Ctx *ctx, int64_t limit, const Str *cursor, AskPage *out);

/* That page of them. */
void ask_give_people(const Asking *a, const People *people, const AskPage *page,
                     ApiPeoplePage *out);
