/*
 * rules/rule_eval.h -- does a rule hold for this event, for this person, now?  And why.
 *
 * The evaluator for one person at a time: plain loops over the person's events, exact arithmetic, no
 * floating point.  It shares no code with the columnar one, so that each can be checked against the
 * other.
 *
 * Owns: nothing.  Threads: any; facts->arena belongs to one thread at a time.
 * Promises: the result depends on the rule and the facts only; time is linear in events and nodes
 * (steps with many names: times names), and for attributes as of events in what was said of the person for each
 * of them, and the rules of segments once each; memory is taken for these and for `distinct` only, from facts->arena.
 *
 * A missing value -- no such property, or a value of another type than the rule's -- makes every
 * comparison false; != and `not in` are the complements of == and `in`, so true.  Sums never overflow.
 * A product that is no number (a coefficient of 64 bits, 18 decimal places) is missing.
 */
#pragma once

#include "rules/rule.h"

/*
 * The calendar of the person's facts.  A business day is named by its civil date yyyymmdd.
 * NULL callbacks: days of UTC that begin at midnight.
 */
typedef struct RuleCalendar {
    int32_t (*day_of)(void *arg, int64_t at_ms);       /* the business day of an instant */
    int64_t (*day_start)(void *arg, int32_t yyyymmdd); /* its first instant, UTC */
    int32_t (*offset_min)(void *arg, int64_t at_ms);   /* for printing times; NULL: UTC */
    void *arg;
} RuleCalendar;

/* The calendar of a fixed offset: a business day begins cutover_hour hours after civil midnight.
 * `zone` must live as long as the calendar. */
typedef struct RuleFixedZone {
    int32_t offset_min;
    int32_t cutover_hour;
} RuleFixedZone;
RuleCalendar rule_calendar_fixed(RuleFixedZone *zone);

typedef struct RuleFacts {
    int64_t now_ms;
    const Event *const *events; /* of the person, in order of (time_ms, arrival) */
    /* those of EVENT_PERSON say what attributes were then; other kinds say nothing */
    size_t event_count;
    const EventProp *attributes; /* of the person as of now; EVENT_NONE: removed */
    uint32_t attribute_count;
    RuleCalendar calendar;
    /* The rule of a segment, which then holds as of now; NULL: there is none, and nobody is in it.  Each is asked for
     * at most once per answer.  Segments go RULE_NESTED_MAX deep into each other and never round in a circle. */
    const Rule *(*segment)(void *arg, Str name);
    void *arg;
    /* scratch of `distinct`: 16 bytes per event and use; of attributes as of events: 8 per event */
    Arena *arena;
} RuleFacts;

/* Scope EVENT: the condition holds for this event.  Scope STEP: the step selects it.  Of the facts it
 * reads now_ms, attributes, calendar and callbacks; a later event than now is fine.  Of the events it reads what was
 * said of the person: at the event's instant, what stands before it, and all of that when it is not among them. */
bool rule_event_matches(const Rule *rule, const RuleFacts *facts, const Event *event);

/* Scope PERSON. */
bool rule_person_matches(const Rule *rule, const RuleFacts *facts);

/*
 * Explains the result, node by node in the order of the tree; the first one is the rule itself.  Behind a segment comes
 * its own rule, a level down, until RULE_EXPLAIN_NODES_MAX nodes are told.
 * `event` is the event in question for the scopes EVENT and STEP, NULL for PERSON.
 * It tells the person's own data: show it to those who may see them, and never log it.
 */
enum { RULE_EXPLAIN_TEXT_MAX = 400, RULE_EXPLAIN_NODES_MAX = 4000 };

/* One node; the texts live during the call. */
typedef struct RuleExplained {
    uint32_t level; /* the depth */
    Str text;       /* canonical, cut at RULE_EXPLAIN_TEXT_MAX bytes */
    Str found; /* what the person has there, for people to read; empty where there is nothing to say */
    bool holds;
} RuleExplained;
typedef void (*RuleExplainFn)(const RuleExplained *node, void *arg);
void rule_explain(const Rule *rule, const RuleFacts *facts, const Event *event, RuleExplainFn tell,
                  void *arg);
