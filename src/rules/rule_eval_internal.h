/*
 * rules/rule_eval_internal.h -- the parts of the evaluator for one person: values (rule_value.c),
 * conditions (rule_eval.c), the leaves over events (rule_behaviour.c), explaining (rule_explain.c).
 *
 * Owns: nothing.  Private to them; of the reader they know rule.h only.  Threads: one Eval each.
 */
#pragma once

#include "rules/rule_eval.h"

__extension__ typedef __int128 Wide;

enum { NUM_PLACES = 18 };

/* An exact decimal: whole + frac * 10^-18, 0 <= frac < 10^18.  Sums of any number of events fit. */
typedef struct Num {
    Wide whole;
    int64_t frac;
} Num;

/* A value of the facts.  UNKNOWN: missing. */
typedef struct Found {
    RuleType type;
    Num num;             /* NUMBER, MONEY (minor units) */
    int64_t divisor;     /* of num: of an average the count, otherwise 1 */
    int64_t i64;         /* BOOL, TIME, ENUM (rank) */
    Str text;            /* TEXT, ENUM (label) */
    const EventProp *at; /* TEXTS, ITEMS */
} Found;

/* What was said of the person: records among the events, by their places, ascending. */
typedef struct Said {
    const size_t *at;
    size_t count;
} Said;

/* A segment that was asked for: each is once, whichever rules name it. */
typedef struct Asked {
    Str name;
    bool is_in;
    struct Asked *next;
} Asked;

/* One evaluation. */
typedef struct Eval {
    const RuleFacts *facts;
    const Said *said;
    Asked **asked;         /* of the whole answer */
    uint32_t nested;       /* in how many segments the rule stands */
    const Event *event;    /* the event that a condition is about */
    const EventItem *item; /* the record that a condition is about */
    const RuleNode *did;   /* whose condition is being looked at */
    bool any_type;         /* is anything there, whatever its type? */
} Eval;

/* ---- rule_value.c ---------------------------------------------------------------------------- */

Found found_missing(void);
Found found_number(int64_t n);
Found found_time(int64_t at_ms);
/* As the type of `n`, missing when it is another; with any_type, as it is. */
Found found_of_prop(const EventProp *p, const RuleNode *n, bool any_type);
Found found_product(Found a, Found b, RuleType type);
void num_add(Num *sum, Num n);
int num_compare(Num a, Num b);

/* -1, 0, 1: `f` is below, at, above `v`.  Both are of one type; a time is at a day when in it. */
int found_compare(const Found *f, const RuleValue *v);
bool found_same(const Found *a, const Found *b);    /* equal values of one type */
uint64_t found_hash(const Found *f, uint64_t seed); /* equal for the same ones */
const EventProp *found_prop(const EventProp *props, uint32_t count, Str name);

/* ---- rule_eval.c ----------------------------------------------------------------------------- */

/* What the rule may ask of: nothing when it does not ask. */
Said eval_said(const Rule *rule, const RuleFacts *facts);

/* The same answer goes on with another event, or with none: that of a person. */
Eval eval_about(const Eval *e, const Event *event);

/* The rule of a segment; NULL: there is none. */
const Rule *eval_segment(const Eval *e, Str name);

/* Its own evaluation; `said` stays while it lasts. */
Eval eval_inside_segment(const Eval *e, const Rule *rule, Said *said);

bool eval_holds(const Eval *e, const RuleNode *condition);
Found eval_value(const Eval *e, const RuleNode *operand);

/* ---- rule_behaviour.c ------------------------------------------------------------------------ */

/* [from, to) */
typedef struct Range {
    int64_t from_ms, to_ms;
} Range;
Range eval_window_range(const RuleFacts *facts, const RuleWindow *w);

bool eval_step_selects(const Eval *e, const RuleNode *step, const Event *event);

bool eval_did(const Eval *e, const RuleNode *n);
bool eval_stopped(const Eval *e, const RuleNode *n);
bool eval_resumed(const Eval *e, const RuleNode *n);
bool eval_sequence(const Eval *e, const RuleNode *n);
Found eval_events(const Eval *e, const RuleNode *n); /* COUNT to LAST */

/* For explaining: what a leaf finds. */
typedef struct Matches {
    size_t count;
    const Event *first, *last;
} Matches;
Matches eval_matches(const Eval *e, const RuleNode *step, const RuleWindow *window);
uint32_t eval_sequence_reached(const Eval *e, const RuleNode *n); /* how many steps, at best */
