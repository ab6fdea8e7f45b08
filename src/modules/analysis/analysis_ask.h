/*
 * modules/analysis/analysis_ask.h -- one question on its way: what the files of the questions share.  Private to
 * analysis_http.c, analysis_explain.c and analysis_ask*.c.
 *
 * Each question is a file: it makes numbers of names while it holds the engine's schema, asks the engine without
 * it, and writes its answer.
 *
 * Owns: nothing; everything lives in ctx->arena.  Threads: any.
 * Errors: INVALID "query.rule", "query.property", those of analysis.h and engine/scan/query.h.
 */
#pragma once

#include "analysis.api.h"
#include "engine/ask/trend.h"
#include "engine/scan/people.h"
#include "modules/analysis/analysis.h"
#include "request/request.h"

enum { ASK_WARNINGS_MAX = 20 }; /* of the rules, in one answer */

/* When a range begins on its first day, or ends on its last; not given: with the day. */
typedef struct AskClock {
    bool given;
    int64_t ms; /* behind civil midnight, below a day */
} AskClock;

typedef struct Asking {
    Ctx *ctx;
    Work *work;
    Engine *engine;
    AnalysisNames names; /* its schema locked while the question is made */
    AnalysisTexts texts; /* of all its conditions */
    ApiQueryAnswer *answer;
    const ApiPeopleBar *who; /* the number whose people are asked for; NULL: none */
    struct AskPage *page;    /* which of them */
    AskClock from_clock, to_clock;
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
Err ask_timeline(Asking *a, const Query *q, const ApiQuery *in);

/* ---- the calendar ------------------------------------------------------------------------------- */

/* Reads it from the question into a->names: what it does not say is the chain's; and a->from_clock, a->to_clock.
 * Errors: INVALID "query.zone", "query.cut_over"; "query.range" of a clock that is none. */
MUST_USE Err ask_calendar(Asking *a, const ApiQuery *in);

/* INVALID "query.combination" when the question names one; `what` cannot have one. */
MUST_USE Err ask_without_calendar(Asking *a, const ApiQuery *in, const char *what);

/* analysis_buckets() of the question's range, between its clocks. */
MUST_USE Err ask_buckets(Asking *a, int32_t from, int32_t to, AnalysisBy by, int64_t **bounds,
                         uint32_t *count);

/* INVALID "query.combination" when the range does not consist of whole days, as `what` needs it. */
MUST_USE Err ask_whole_days(Asking *a, const char *what);

/* ---- on the way in, under the schema's lock ------------------------------------------------------ */

/* Puts what the rule warns of to the answer. */
void ask_keep_warnings(Asking *a, const Rule *rule);

/* Reads a rule as JSON: a text, or its tree.  `pointer`: of whom an error tells; behind it comes the place in the tree. */
MUST_USE Err ask_rule(Ctx *ctx, const AnalysisNames *names, Str json, RuleScope scope,
                      const char *pointer, Rule *out);

/* What it warns of, as texts. */
Str *ask_warnings(Ctx *ctx, const Rule *rule, size_t *count);

/* A rule of scope step.  `pointer`: of whom an error tells.  The rule's warnings go to the answer. */
MUST_USE Err ask_select(Asking *a, Str json, const char *pointer, ScanSelect *out);

/* The same where it may be left out: then every event. */
MUST_USE Err ask_maybe_select(Asking *a, DtoState is, Str json, const char *pointer,
                              ScanSelect *out);

/* From the start of `from` to the end of `to`, both yyyymmdd, or between the question's clocks. */
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

/* One that no event has had has no value, as a number, and is warned of. */
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
    uint32_t
        lead; /* buckets before the range, which count with those of the range and are not shown */
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

/* The values of a series; "other" has none. */
ApiBreakdownValue *ask_give_values(const Asking *a, const AskSeries *by, const QuerySeries *key,
                                   size_t *count);

/* When the buckets begin. */
int64_t *ask_give_starts(Ctx *ctx, const Trend *t, size_t *count);

/* ---- the people behind a number ------------------------------------------------------------------ */

/* What tells a number of an answer. */
enum {
    BAR_LETTER = 1 << 0,
    BAR_SERIES = 1 << 1, /* values, other */
    BAR_INTERVAL = 1 << 2,
    BAR_COLUMN = 1 << 3,
    BAR_STEP = 1 << 4,
    BAR_N = 1 << 5,
    BAR_OUTCOME = 1 << 6,
    BAR_NODES = 1 << 7, /* from, to */
    BAR_WITHOUT = 1 << 8,
    BAR_UNREACHED = 1 << 9,
};

/* Reads a->who and a->page, when the question has `people`, which may say only what is in `told_by`.  Errors: those of
 * ask_page(); INVALID "query.bar", as of all that follow. */
MUST_USE Err ask_who(Asking *a, const ApiQuery *in, unsigned told_by);

MUST_USE Err ask_no_bar(Ctx *ctx, const char *pointer, const char *why);

/* The n-th of `count`, as a place from 0; it must be said. */
MUST_USE Err ask_place(Ctx *ctx, DtoState is, int64_t n, uint64_t count, const char *pointer,
                       uint32_t *out);

/* Whether a->who says which of several series.  Without a breakdown it says nothing. */
bool ask_names_series(const Asking *a);

/* Which one it means, of the `count` of an answer: each has `size` bytes, of which the first are its QuerySeries. */
MUST_USE Err ask_find_series(const Asking *a, const AskSeries *by, const void *series, size_t size,
                             uint32_t count, uint32_t *out);

/* The outcome that is asked for; `otherwise` when none is said.  It must be one of `count` that the question has. */
MUST_USE Err ask_outcome(const Asking *a, const ApiPeopleOutcome *has, size_t count,
                         ApiPeopleOutcome otherwise, ApiPeopleOutcome *out);

/* How amounts are printed: as ask_decimal(). */
typedef struct AskAmount {
    int scale;
    bool keep_zeros;
} AskAmount;

#define ASK_COUNTS ((AskAmount){0, false})

/* The page of them that is asked for goes to the answer. */
void ask_give_who(Asking *a, const People *people, AskAmount as);

/* A page of persons, by their numbers in the engine. */
typedef struct AskPage {
    uint32_t from, limit;
} AskPage;

/* Whoever sees who people are needs more than who counts them: the permission person.read, and not for some shops
 * only.  `cursor`: NULL = from the start; `pointer`: where it stands.  Errors: DENIED "auth.permission", INVALID
 * "request.cursor". */
MUST_USE Err ask_page(Ctx *ctx, int64_t limit, const Str *cursor, const char *pointer,
                      AskPage *out);

/* That page of them. */
void ask_give_people(const Asking *a, const People *people, const AskPage *page, AskAmount as,
                     ApiPeoplePage *out);
