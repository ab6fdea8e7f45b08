/*
 * modules/analysis/analysis.h -- questions about all events: from what people write to what the engine
 * computes, and back.
 *
 * A question's way: the contract parses it (analysis_http.c), rules become filters of numbers
 * (analysis_compile.c) and segments of leaves (analysis_segment.c), cohorts and attributes who fulfils them and when
 * (analysis_cohort.c, analysis_persons.c), days become instants (analysis_days.c), the
 * engine answers (engine/scan/query.h, engine/ask/segment.h).
 *
 * Owns:     nothing.
 * Promises: a condition selects the same events as rules/rule_eval.h, event by event, and a rule about persons the
 *           same persons, as far as their values are in the columns (docs/formats/query.md says which are not);
 *           other questions are refused.
 * Depends:  engine, rules, setting, cohort.      Threads: any.
 */
#pragma once

#include "base/zone.h"
#include "engine/ask/segment.h"
#include "engine/engine.h"
#include "engine/scan/changes.h"
#include "modules/setting/setting.h"
#include "rules/rule.h"

/* ---- calendars ----------------------------------------------------------------------------------- */

/* What days, weeks and months are: a business day begins when clocks first show its cut-over or a later time. */
typedef struct AnalysisCalendar {
    const Zone *zone;
    int64_t cut_over_ms; /* behind civil midnight, below a day */
    int32_t week_start;  /* 0 = Monday to 6 = Sunday */
} AnalysisCalendar;

/* The chain's: its fixed offset, its cut-over hour, weeks from Monday. */
AnalysisCalendar analysis_calendar(Arena *arena, const Settings *s);

/* ---- conditions ---------------------------------------------------------------------------------- */

/* A cohort: a rule of scope PERSON with a name. */
typedef struct AnalysisCohort {
    Str name, rule;
    const Rule *read;              /* NULL until a condition names it */
    struct AnalysisPersons *found; /* who is in it, of the question under way */
} AnalysisCohort;

/* All there are.  Most questions name none: what is made before they are known fails with BUSY "query.cohorts" when
 * it names one, and is to be made once more with them. */
typedef struct AnalysisCohorts {
    bool known;
    AnalysisCohort *at;
    size_t count;
    uint32_t nested; /* in how many the condition being made stands */
} AnalysisCohorts;

/* What the engine knows about names, for rules; hold the engine's schema while rules are made with it. */
typedef struct AnalysisNames {
    const Schema *schema;
    const Settings *settings;
    AnalysisCalendar calendar; /* that dates in rules are meant in */
    AnalysisCohorts *cohorts;  /* of the question */
} AnalysisNames;

/* With the chain's calendar, and cohorts that are not known yet. */
AnalysisNames analysis_names(Arena *arena, const Schema *schema, const Settings *s);

/* What a property of that type is in rules. */
RuleType analysis_rule_type(EventType type);

RuleSchema analysis_rule_schema(const AnalysisNames *names);

/* A byte per text that a condition is asked of: of all conditions of one question together. */
enum { ANALYSIS_CODES_MAX = 64 << 20 };

/* The conditions of one question that wait: on texts, and on attributes of persons; all zero at first. */
typedef struct AnalysisTexts {
    struct AnalysisText *waiting;         /* to be asked of every text */
    struct AnalysisPersons *first, *last; /* to be asked of everybody, in this order */
    uint32_t codes;                       /* that the filters know, of ANALYSIS_CODES_MAX */
} AnalysisTexts;

/*
 * A rule of scope STEP as a select; its time range stays as it is.  Everything lives in ctx->arena, the rule
 * too until the question was asked.  The select is whole after analysis_ask_texts() and analysis_ask_persons().
 * Errors: INVALID "query.too_large": over ANALYSIS_CODES_MAX.
 */
MUST_USE Err analysis_compile(Ctx *ctx, const AnalysisNames *names, const Rule *rule,
                              AnalysisTexts *texts, ScanSelect *out);

/*
 * A rule of scope EVENT whose root is any(LIST, CONDITION): which list, PROP_NONE = no event has had it, and which of
 * its records.  Otherwise as analysis_compile().
 */
MUST_USE Err analysis_records(Ctx *ctx, const AnalysisNames *names, const Rule *rule,
                              AnalysisTexts *texts, uint32_t *list, const Filter **out);

/*
 * Asks the conditions that wait (contains, <, ...) of every text that there was when they were compiled.
 * That may take long, and needs no lock: texts are only added, and stay.
 * Errors: those of crew_look(), which it is told of.
 */
MUST_USE Err analysis_ask_texts(Ctx *ctx, const AnalysisTexts *texts, int64_t until_us,
                                const atomic_bool *stop);

/*
 * Asks the conditions on attributes: who fulfils them as of ctx->now_ms, or from when to when.  One pass over what was
 * said of persons for each; behind analysis_ask_texts().  Errors: those of query_segment() and query_changes().
 */
MUST_USE Err analysis_ask_persons(Ctx *ctx, const Query *q, const AnalysisTexts *texts);

/*
 * The values of an attribute of persons, as of each event or as of ctx->now_ms: NULL when nobody has had it.  Found by
 * analysis_ask_persons().
 */
const Changes *analysis_attribute_values(Ctx *ctx, const AnalysisNames *names, Str name,
                                         bool at_event, AnalysisTexts *texts);

/*
 * A rule of scope PERSON as a segment: who fulfils it as of ctx->now_ms.  A person is what its linked actors are together,
 * and the universe is everybody that the engine has a number for (engine/ask/segment.h).  Everything lives in ctx->arena,
 * the rule too until the question was asked.  The segment is whole after analysis_ask_texts().
 * Errors: as analysis_compile(); "query.too_large" for a sequence of more than SCAN_SELECTS_MAX steps.
 */
MUST_USE Err analysis_segment(Ctx *ctx, const AnalysisNames *names, const Rule *rule,
                              AnalysisTexts *texts, const Segment **out);

/* ---- days ---------------------------------------------------------------------------------------- */

typedef enum AnalysisBy {
    ANALYSIS_BY_MINUTE, /* these three are of the clock, and begin anew where it is turned */
    ANALYSIS_BY_QUARTER_HOUR,
    ANALYSIS_BY_HOUR,
    ANALYSIS_BY_DAY,
    ANALYSIS_BY_WEEK,
    ANALYSIS_BY_MONTH,
    ANALYSIS_BY_QUARTER,
    ANALYSIS_BY_YEAR,
    ANALYSIS_BY_ALL, /* one bucket */
} AnalysisBy;

/* The first instant of the business day yyyymmdd. */
int64_t analysis_day_start_ms(const AnalysisCalendar *c, int32_t yyyymmdd);

/* yyyymmdd, `days` later. */
int32_t analysis_day_add(int32_t yyyymmdd, int64_t days);

/* [from_ms, to_ms) */
typedef struct AnalysisRange {
    int64_t from_ms, to_ms;
} AnalysisRange;

/* A window of the rule language as seen from now; without an end on one side, that of the numbers. */
AnalysisRange analysis_window(const AnalysisCalendar *c, int64_t now_ms, const RuleWindow *w);

/* From the start of `from` to the end of `to`, both yyyymmdd.  Errors: INVALID "query.range". */
MUST_USE Err analysis_days(Ctx *ctx, const AnalysisCalendar *c, int32_t from, int32_t to,
                           AnalysisRange *out);

/*
 * The bounds of the buckets from the start of `from` to the end of `to` (both yyyymmdd): the first and the
 * last may be shorter than the others.  *bounds in the arena, ascending, *count buckets.
 * Errors: INVALID "query.range", "query.too_large" (over QUERY_BUCKETS_MAX).
 */
MUST_USE Err analysis_buckets(Ctx *ctx, const AnalysisCalendar *c, int32_t from, int32_t to,
                              AnalysisBy by, int64_t **bounds, uint32_t *count);

/* The same of a range that begins on the day `from`. */
MUST_USE Err analysis_buckets_of(Ctx *ctx, const AnalysisCalendar *c, int32_t from,
                                 AnalysisRange range, AnalysisBy by, int64_t **bounds,
                                 uint32_t *count);

/* When clocks first show a time of that business day; `clock_ms` behind civil midnight, before the cut-over that of the next
 * morning. */
int64_t analysis_clock_ms(const AnalysisCalendar *c, int32_t yyyymmdd, int64_t clock_ms);

/* The last day of the bucket that lies `later` buckets behind the one of `day`; of hours and less, of the day that
 * surely has it. */
int32_t analysis_bucket_end(const AnalysisCalendar *c, int32_t day, AnalysisBy by, uint32_t later);

/*
 * The same, all of them whole: those that the range touches, and *earlier ones before them, which come first and are
 * in the count (*earlier then: how many they are, fewer where a zone left out a day).  Not ANALYSIS_BY_ALL.
 * Errors as above; the earlier ones must not be before 1970 either.
 */
MUST_USE Err analysis_whole_buckets(Ctx *ctx, const AnalysisCalendar *c, int32_t from, int32_t to,
                                    AnalysisBy by, uint32_t *earlier, int64_t **bounds,
                                    uint32_t *count);
