/*
 * rules/rule.h -- the rule language: text or JSON to a checked tree, and back without loss.
 *
 * A rule is one condition: on an event and its person (filters), on which events a step selects
 * (funnels), or on a person (segments, cohorts).  The language is docs/formats/rules.md; this header
 * is the tree that evaluators walk.  rules/rule_eval.h evaluates it for one person; nothing here
 * evaluates anything.
 *
 * Owns: nothing.  A Rule and all that it points to live in ctx->arena; the text or document it came
 * from may go away, the schema's enumerations must stay as long as the rule.
 * Promises:
 *   - rule_parse(rule_format(r)) is the same tree as r, and so is rule_from_json(rule_to_json(r));
 *     rule_format() has one text per tree, at most RULE_BYTES_MAX.
 *   - every limit below holds for every Rule; its tree is at most RULE_DEPTH_MAX deep, so a walk may
 *     recurse.
 *   - a Rule is well typed and in scope: the table at RuleOp needs no second check.
 *   - no input makes it read out of bounds, recurse further than that, or echo more than 40 bytes.
 * Depends: base, events/event.h.  Threads: any; a Rule is never changed after it was made.
 */
#pragma once

#include "base/json.h"
#include "events/event.h"

enum {
    RULE_BYTES_MAX = 16 * 1024, /* of the text that was given, and of the canonical one */
    RULE_NODES_MAX = 1000,      /* the values of a list and the names of a step are not nodes */
    RULE_DEPTH_MAX = 28,    /* JSON levels of the tree form: leaves 4 of JSON_DEPTH_MAX to whoever
                                   carries it.  A node takes one or two, so the tree is no deeper. */
    RULE_LIST_MAX = 1000,   /* values of one list; names of one step */
    RULE_WARNINGS_MAX = 20, /* more are not kept */
    RULE_ENUM_LABELS_MAX = 1000,
    RULE_NESTED_MAX =
        16, /* rules of segments inside each other; whoever keeps segments sees to it */
};

/* A span of time is at most a hundred years. */
#define RULE_SPAN_MS_MAX (INT64_C(36525) * 86400000)

typedef enum RuleScope {
    RULE_SCOPE_EVENT,  /* a condition on one event and its person */
    RULE_SCOPE_STEP,   /* which events: the root is a RULE_STEP */
    RULE_SCOPE_PERSON, /* a condition on a person and all that they did */
} RuleScope;

typedef enum RuleType {
    RULE_TYPE_UNKNOWN, /* the schema does not say and the rule does not either: take the value's own */
    RULE_TYPE_BOOL,
    RULE_TYPE_NUMBER, /* exact decimal */
    RULE_TYPE_MONEY,  /* minor units of the folder's currency */
    RULE_TYPE_TEXT,
    RULE_TYPE_TIME,
    RULE_TYPE_ENUM,  /* a text that is one of the labels of an enumeration */
    RULE_TYPE_TEXTS, /* list of texts */
    RULE_TYPE_ITEMS, /* list of records */
    RULE_TYPE_COUNT,
} RuleType;

/* An enumeration; a text that is none of the labels counts as missing. */
typedef struct RuleEnum {
    const Str *labels; /* ordered: the lowest first */
    uint32_t count;    /* at most RULE_ENUM_LABELS_MAX */
    bool ordered;      /* < <= > >= and between compare ranks; otherwise they are refused */
} RuleEnum;

/* ---- the tree -------------------------------------------------------------------------------- */

/*
 * What a node is.  `args` are its children in this order; C is a condition (type BOOL), O an operand
 * (what stands below OPERANDS), L a RULE_LITERAL of the type of the operand beside it.
 *
 *   op                       | args            | further fields
 *   AND OR                   | C C ... (>= 2)  | never one directly inside its like
 *   NOT                      | C               |
 *   LITERAL (as condition)   |                 | value: BOOL
 *   EQ NE LT LE GT GE        | O L             | NE is the exact complement of EQ
 *   IN NOT_IN                | O LIST          | NOT_IN is the exact complement of IN
 *   BETWEEN                  | O L L           | both ends belong to it; never TIME
 *   CONTAINS STARTS ENDS     | O L             | O: TEXT; CONTAINS also TEXTS (equal to an element)
 *                            |                 | and UNKNOWN (as its value is)
 *   CONTAINS_ANY, _ALL       | O LIST          | O: TEXTS
 *   IS_SET IS_MISSING        | O               | O: a name, FIRST or LAST; of any type, and a value
 *                            |                 | of another type than the schema's is set
 *   WHEN                     | O               | window; O: TIME
 *   ITEMS_ANY ITEMS_ALL      | PROP C          | C sees ITEM operands only; false for no items
 *   SEGMENT                  |                 | name
 *   CONSENTS                 |                 | names: channel, purpose; name: of the attribute of the
 *                            |                 | person that says so while it is true
 *   DID                      | C ... (>= 0)    | step, window; each C compares COUNT to DISTINCT
 *                            |                 | without a step of its own.  If none is about COUNT:
 *                            |                 | and count >= 1
 *   STOPPED                  |                 | step, window, span: one in the window that is not
 *                            |                 | in (now - span, now], none in that
 *   RESUMED                  |                 | step, span: the pause, span2: how recent
 *   SEQUENCE                 | STEP STEP ...   | window; each later STEP: span (none: any time),
 *                            |                 | of_first
 *   STEP                     | PICK ... (>= 1) | one of them selects the event
 *   PICK                     | [C]             | names: one of these events; none: any event
 *   OPERANDS                 |                 |
 *   PROP CONTEXT             |                 | name: of the event's properties, of its context
 *   FIELD                    |                 | field of the event
 *   ITEM                     |                 | name: field of the record, inside ITEMS_*
 *   PERSON                   |                 | name: attribute of the person as of now
 *   PERSON_AT                |                 | name: the same as of the event
 *   MUL                      | O O             | PROP, CONTEXT or ITEM: numbers, or money and number
 *   ITEMS_COUNT              | PROP [C]        | NUMBER: how many records (that C holds for)
 *   ITEMS_SUM                | PROP O          | over the records; O: ITEM or MUL
 *   COUNT DAYS               |                 | step, window: NUMBER of events, of days with one
 *   SUM AVG MIN MAX DISTINCT | O               | step, window; O of the events: PROP, CONTEXT, MUL;
 *                            |                 | in MIN MAX DISTINCT also FIELD
 *   FIRST LAST               | [O]             | step, window: TIME of the event, or O read at it:
 *                            |                 | PROP, CONTEXT, FIELD
 *   LITERAL                  |                 | value
 *   LIST                     |                 | values: 1 to RULE_LIST_MAX, of one type
 */
#define RULE_OP_MAP(X)                                                                             \
    X(AND, "and")                                                                                  \
    X(OR, "or")                                                                                    \
    X(NOT, "not")                                                                                  \
    X(EQ, "==")                                                                                    \
    X(NE, "!=")                                                                                    \
    X(LT, "<")                                                                                     \
    X(LE, "<=")                                                                                    \
    X(GT, ">")                                                                                     \
    X(GE, ">=")                                                                                    \
    X(IN, "in")                                                                                    \
    X(NOT_IN, "not in")                                                                            \
    X(BETWEEN, "between")                                                                          \
    X(CONTAINS, "contains")                                                                        \
    X(STARTS, "starts with")                                                                       \
    X(ENDS, "ends with")                                                                           \
    X(CONTAINS_ANY, "contains any")                                                                \
    X(CONTAINS_ALL, "contains all")                                                                \
    X(IS_SET, "is set")                                                                            \
    X(IS_MISSING, "is missing")                                                                    \
    X(WHEN, "when")                                                                                \
    X(ITEMS_ANY, "any")                                                                            \
    X(ITEMS_ALL, "all")                                                                            \
    X(SEGMENT, "segment")                                                                          \
    X(CONSENTS, "consents")                                                                        \
    X(DID, "did")                                                                                  \
    X(STOPPED, "stopped")                                                                          \
    X(RESUMED, "resumed")                                                                          \
    X(SEQUENCE, "sequence")                                                                        \
    X(STEP, "step")                                                                                \
    X(PICK, "pick")                                                                                \
    X(PROP, "prop")                                                                                \
    X(CONTEXT, "context")                                                                          \
    X(FIELD, "field")                                                                              \
    X(ITEM, "item")                                                                                \
    X(PERSON, "person")                                                                            \
    X(PERSON_AT, "person at event")                                                                \
    X(MUL, "*")                                                                                    \
    X(ITEMS_COUNT, "count")                                                                        \
    X(ITEMS_SUM, "sum")                                                                            \
    X(COUNT, "count")                                                                              \
    X(DAYS, "days_active")                                                                         \
    X(SUM, "sum")                                                                                  \
    X(AVG, "avg")                                                                                  \
    X(MIN, "min")                                                                                  \
    X(MAX, "max")                                                                                  \
    X(DISTINCT, "distinct")                                                                        \
    X(FIRST, "first")                                                                              \
    X(LAST, "last")                                                                                \
    X(LITERAL, "literal")                                                                          \
    X(LIST, "list")

typedef enum RuleOp {
#define X(code, text) RULE_##code,
    RULE_OP_MAP(X)
#undef X
        RULE_OP_COUNT
} RuleOp;

typedef enum RuleField {
    RULE_FIELD_NAME,   /* TEXT; `event` in the text */
    RULE_FIELD_TIME,   /* TIME */
    RULE_FIELD_STORE,  /* TEXT; missing when the event has none */
    RULE_FIELD_SOURCE, /* TEXT */
    RULE_FIELD_COUNT,
} RuleField;

/* How a time was written; evaluators need only the span in RuleValue. */
typedef enum RuleClock {
    RULE_CLOCK_DATE,   /* 2026-01-31: the civil day in the schema's zone */
    RULE_CLOCK_LOCAL,  /* 2026-01-31T10:00: in the schema's zone */
    RULE_CLOCK_OFFSET, /* 2026-01-31T10:00+08:00, or Z */
} RuleClock;

/*
 * A literal.  A time is a half-open span [i64, end_ms) of UTC milliseconds: a date its civil day, an
 * instant its millisecond.  Then for an instant x:
 *   x < t: x < i64;  x <= t: x < end_ms;  x > t: x >= end_ms;  x >= t: x >= i64;  x == t: in the span.
 */
typedef struct RuleValue {
    RuleType type; /* BOOL, NUMBER, MONEY, TEXT, TIME or ENUM */
    uint8_t scale; /* NUMBER: i64 * 10^-scale, no zero at the end of the decimals */
    RuleClock clock;
    int32_t offset_min; /* TIME with RULE_CLOCK_OFFSET: minutes east */
    uint32_t at;        /* byte of the text, or of the JSON text, where it begins */
    int64_t i64;        /* BOOL, NUMBER, MONEY (minor units), TIME, ENUM (rank of the label) */
    int64_t end_ms;     /* TIME */
    int64_t local_ms;   /* TIME: the civil time as written, as if it were UTC */
    Str text;           /* TEXT; ENUM: the label */
} RuleValue;

typedef enum RuleUnit {
    RULE_UNIT_SECOND,
    RULE_UNIT_MINUTE,
    RULE_UNIT_HOUR,
    RULE_UNIT_DAY,   /* 24 hours in a span; a business day in a calendar window */
    RULE_UNIT_WEEK,  /* 7 days; in a calendar window it begins on Monday */
    RULE_UNIT_MONTH, /* calendar windows only */
    RULE_UNIT_YEAR,  /* calendar windows only */
    RULE_UNIT_COUNT,
} RuleUnit;

/* `90d`: 90 of RULE_UNIT_DAY.  count 0 = no span. */
typedef struct RuleSpan {
    int32_t count;
    RuleUnit unit;
    int64_t ms; /* count * unit; 0 in a calendar window */
} RuleSpan;

/*
 * When, as seen from `now`.  Leaves over events never see an event later than now, whatever their
 * window is; WHEN does not cut there.
 */
typedef enum RuleWindowKind {
    RULE_WINDOW_EVER,   /* all */
    RULE_WINDOW_WITHIN, /* within 90d:                       (now - span, now] */
    RULE_WINDOW_CALENDAR, /* within 3 calendar months:         [start of the unit that is count-1 units
                             before the present one, now] */
    RULE_WINDOW_BETWEEN, /* between 2026-01-01 and 2026-01-31: [from.i64, to.end_ms) */
    RULE_WINDOW_SINCE,   /* since 2026-01-01:                 [from.i64, ever) */
    RULE_WINDOW_BEFORE,  /* before 2026-01-01:                (ever, from.i64) */
    RULE_WINDOW_AGO, /* between 60d and 30d ago:          (now - span, now - span2], span > span2 */
    RULE_WINDOW_COUNT,
} RuleWindowKind;

typedef struct RuleWindow {
    RuleWindowKind kind;
    RuleSpan span, span2;
    RuleValue from, to;
} RuleWindow;

typedef struct RuleNode RuleNode;
struct RuleNode {
    RuleOp op;
    /* Of its value; conditions and steps: BOOL.  An operand whose type the schema does not know has that
     * of the literal beside it: a value of another type is then missing. */
    RuleType type;
    uint32_t at; /* byte of the text, or of the JSON text, where it begins */
    uint32_t id; /* its place in a walk, parents first, the step before the args: [0, node_count) */
    uint32_t count;
    const RuleNode *const *args;
    const RuleNode *step; /* leaves over events; NULL in the conditions of a DID, whose own it is */
    Str name;
    const Str *names;
    uint32_t name_count;
    uint32_t value_count;
    const RuleValue *values;
    RuleValue value;
    const RuleEnum *labels; /* operands of type ENUM */
    RuleWindow window;      /* in the conditions of a DID: EVER, that of the DID counts */
    RuleSpan span, span2;
    RuleField field;
    bool of_first; /* STEP in a SEQUENCE: its span counts from the first step, not the one before */
};

/* Something that will probably not do what was meant: a name that the schema does not know. */
typedef struct RuleWarning {
    uint32_t at;
    Str text; /* "line 1, column 5: no property "totl" is known; did you mean "total"?" */
} RuleWarning;

typedef struct Rule {
    RuleScope scope;
    const RuleNode *root; /* type BOOL */
    uint32_t node_count;
    size_t text_bytes; /* of its canonical text */
    Str currency;      /* as the schema had them: amounts print with these */
    int exponent;
    const RuleWarning *warnings;
    uint32_t warning_count;
} Rule;

/* ---- the schema ------------------------------------------------------------------------------ */

typedef enum RuleNameKind {
    RULE_NAME_EVENT,
    RULE_NAME_PROP,    /* `events`: of these; none: of any event */
    RULE_NAME_CONTEXT, /* the same */
    RULE_NAME_ITEM,    /* the same, and `list` is the property that holds the records */
    RULE_NAME_PERSON,
    RULE_NAME_SEGMENT,
    RULE_NAME_KIND_COUNT,
} RuleNameKind;

typedef struct RuleAsk {
    RuleNameKind kind;
    Str name;
    Str list;
    const Str *events;
    uint32_t event_count;
} RuleAsk;

typedef struct RuleDecl {
    bool known;             /* the name has been seen or declared */
    RuleType type;          /* UNKNOWN: it has several, or nobody can say */
    const RuleEnum *labels; /* RULE_TYPE_ENUM */
} RuleDecl;

/*
 * What is known about names.  Every callback may be NULL: then nothing is known, and a name has the
 * type that the literal beside it has.  A name that is not known where the schema does have `lookup`
 * gives a warning, for events are stored before anybody declares them; with `strict` it is an error, and of a segment
 * always.
 */
typedef struct RuleSchema {
    Str currency; /* ISO 4217, three letters; "" refuses amounts */
    int exponent; /* minor units per unit: 10^exponent, 0 to 4 */
    bool strict;
    RuleDecl (*lookup)(void *arg, const RuleAsk *ask);
    /* The i-th name known of that kind (ask->name is empty), for "did you mean"; false behind the last.
     * At most 2,000 are looked at. */
    bool (*known)(void *arg, const RuleAsk *ask, size_t i, Str *name);
    /* The instant of a civil time, given as if it were UTC.  A time that clocks jump over or show twice
     * is the callback's business.  NULL: UTC. */
    int64_t (*to_utc)(void *arg, int64_t local_ms);
    void *arg;
} RuleSchema;

/* ---- reading and writing --------------------------------------------------------------------- */

/*
 * Reads a rule.  Errors, all INVALID; the hint says "line 1, column 17: ..." (a column is a character),
 * quotes at most 40 bytes, says what was expected, and for a wrong name the nearest one:
 *   "rule.size"   more than RULE_BYTES_MAX of text, also when written canonically
 *   "rule.text"   not UTF-8
 *   "rule.syntax" not the grammar
 *   "rule.nodes", "rule.depth", "rule.list", "rule.length" (a name)  over a limit
 *   "rule.name"   no such function, label, segment, or (strict) event, property, attribute
 *   "rule.type"   operator and operand, or operand and value, do not fit
 *   "rule.scope"  not here: a property of no event, an attribute inside a condition on records
 *   "rule.value"  a date that does not exist, a number or span out of range, a foreign currency
 * `pointer` is empty: the caller knows in which field the text came.
 */
MUST_USE Err rule_parse(Ctx *ctx, Str text, RuleScope scope, const RuleSchema *schema, Rule *out);

/*
 * Reads the tree form (docs/formats/rules.md).  Errors as above, with "rule.json" instead of
 * "rule.syntax", and "byte 17: ..." in the hint; `pointer` is the JSON pointer from `tree` to the place, as far as it fits.
 */
MUST_USE Err rule_from_json(Ctx *ctx, JsonValue tree, RuleScope scope, const RuleSchema *schema,
                            Rule *out);

/* A rule as JSON, which is its text or its tree.  Errors: of both, and those of json_open(). */
MUST_USE Err rule_read(Ctx *ctx, Str json, RuleScope scope, const RuleSchema *schema, Rule *out);

/* Adds the canonical text: one space, minimal parentheses, one line. */
void rule_format(const Rule *rule, Buf *out);

/* The same for one node of it. */
void rule_format_node(const Rule *rule, const RuleNode *node, Buf *out);

/* Writes the tree form as one JSON value. */
void rule_to_json(const Rule *rule, JsonOut *out);

/* The same tree, wherever it was written down. */
bool rule_same(const Rule *a, const Rule *b);

/* "and", "between", "days_active": the word of an operator or function. */
const char *rule_op_text(RuleOp op);
