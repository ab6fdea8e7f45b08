/*
 * rules/rule_internal.h -- what the readers, the checker and the writers of rule*.c share: the rule in
 * the making (Draft), its faults, and the literals as text.
 *
 * Owns: nothing.  Private to rule_*.c other than the evaluator's files, which see rule.h only.
 * Threads: one Draft each.
 */
#pragma once

#include "base/nearest.h"
#include "rules/rule.h"

enum {
    RULE_QUOTE_MAX = 40,   /* bytes of what was given that a fault shows */
    RULE_KNOWN_MAX = 2000, /* names that are tried for "did you mean" */
};

/* A rule being read. */
typedef struct Draft {
    Ctx *ctx;
    const RuleSchema *schema;
    RuleScope scope;
    Str text;         /* a copy in the arena; empty for the tree form */
    JsonValue tree;   /* the tree form */
    bool from_json;   /* which of the two */
    RuleNode **nodes; /* [made], by id: the checker writes through it */
    uint32_t made;
    RuleWarning *warnings;
    uint32_t warning_count;
} Draft;

void draft_init(Draft *d, Ctx *ctx, RuleScope scope, const RuleSchema *schema);

/* ---- nodes (rule_draft.c) -------------------------------------------------------------------- */

/* Error: INVALID "rule.nodes". */
MUST_USE Err draft_node(Draft *d, RuleOp op, size_t at, RuleNode **out);

typedef struct NodeList {
    const RuleNode **at;
    uint32_t count, cap;
} NodeList;
void nodes_add(Draft *d, NodeList *list, const RuleNode *node);
void node_take(RuleNode *node, const NodeList *args);
void node_take_one(Draft *d, RuleNode *node, const RuleNode *arg);
void node_take_two(Draft *d, RuleNode *node, const RuleNode *first, const RuleNode *second);

/* AND or OR of `args`, those of its like among them dissolved; a single one stays itself. */
MUST_USE Err draft_join(Draft *d, RuleOp op, size_t at, const NodeList *args, RuleNode **out);

/* A growing list of names or of values, at most RULE_LIST_MAX: INVALID "rule.list". */
typedef struct NameList {
    Str *at;
    uint32_t count, cap;
} NameList;
MUST_USE Err names_add(Draft *d, NameList *list, size_t at, Str name);
typedef struct ValueList {
    RuleValue *at;
    uint32_t count, cap;
} ValueList;
MUST_USE Err values_add(Draft *d, ValueList *list, size_t at, const RuleValue *value);

/* A step of one event, whichever: what days_active() means without one. */
MUST_USE Err draft_any_event(Draft *d, size_t at, RuleNode **out);

/* Checks types, scopes and limits, and numbers the nodes (rule_check.c). */
MUST_USE Err draft_finish(Draft *d, const RuleNode *root, Rule *out);

/* ---- faults (rule_fault.c) ------------------------------------------------------------------- */

/* INVALID `reason` at byte `at`: the hint says where and then what `fmt` says. */
MUST_USE Err draft_fail(Draft *d, size_t at, const char *reason, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* "line 1, column 17" of the text, "byte 17" of the JSON text. */
Str draft_place(const Draft *d, size_t at);

/* `s` in quotes, escaped, at most RULE_QUOTE_MAX bytes of it: for people.  In the arena. */
Str draft_quote(const Draft *d, Str s);

/* `; did you mean "total"?`, or nothing. */
Str nearest_text(const Draft *d, const Nearest *n);

/* ---- literals as text (rule_literal.c) ------------------------------------------------------- */

/* What may stand bare: a letter, _ or $, then also digits; and no word of the language. */
bool literal_is_bare(Str name);
size_t literal_letter_len(Str s, size_t at); /* bytes of the letter at `at`, 0 = none */
bool literal_is_reserved(Str word);

/* The readers of literals fail with "rule.value" at `at`. */
MUST_USE Err literal_number(Draft *d, size_t at, Str text, RuleValue *out);
MUST_USE Err literal_money(Draft *d, size_t at, Str amount, Str currency, RuleValue *out);
MUST_USE Err literal_time(Draft *d, size_t at, Str text, RuleValue *out);
MUST_USE Err literal_span(Draft *d, size_t at, Str text, RuleSpan *out);
MUST_USE Err literal_calendar(Draft *d, size_t at, Str count, Str unit, RuleSpan *out);

/* Checks that `name` is fit to be a name: INVALID "rule.length", "rule.text". */
MUST_USE Err literal_name(Draft *d, size_t at, Str name);

/* Bytes at the start of `s` that look like a time (2026-01-31...), 0 = none. */
size_t literal_time_len(Str s);

/* A window whose ends stand the wrong way round: INVALID "rule.value". */
MUST_USE Err literal_check_window(Draft *d, size_t at, const RuleWindow *w);

void literal_put_quoted(Buf *out, char quote,
                        Str s);            /* with the escapes of texts and quoted names */
void literal_put_name(Buf *out, Str name); /* bare, or in backticks */
void literal_put_number(Buf *out, int64_t coefficient, int scale);
void literal_put_time(Buf *out, const RuleValue *v);
void literal_put_span(Buf *out, RuleSpan span);
void literal_put_calendar_unit(Buf *out, RuleSpan span); /* "months" */

/* "time": the name of a field of every event. */
Str literal_field_text(RuleField field);
bool literal_find_field(Str text, RuleField *out);
