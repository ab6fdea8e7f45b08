/*
 * rules/rule_json_parts.h -- the reader of the tree form, in two files: objects, values and windows
 * (rule_json_parts.c), and the nodes made of them (rule_json_read.c).
 *
 * Owns: nothing.  Private to them.  Threads: one Draft each.
 */
#pragma once

#include "rules/rule_internal.h"

#define KEY_MAP(X)                                                                                 \
    X(OP, "op")                                                                                    \
    X(ARGS, "args")                                                                                \
    X(ARG, "arg")                                                                                  \
    X(LEFT, "left")                                                                                \
    X(RIGHT, "right")                                                                              \
    X(LOW, "low")                                                                                  \
    X(HIGH, "high")                                                                                \
    X(EVENT, "event")                                                                              \
    X(ANY_EVENT, "any_event")                                                                      \
    X(ANY_OF, "any_of")                                                                            \
    X(WHERE, "where")                                                                              \
    X(WITHIN, "within")                                                                            \
    X(CALENDAR, "calendar")                                                                        \
    X(BETWEEN, "between")                                                                          \
    X(SINCE, "since")                                                                              \
    X(BEFORE, "before")                                                                            \
    X(AGO, "ago")                                                                                  \
    X(HAVING, "having")                                                                            \
    X(FOR, "for")                                                                                  \
    X(AFTER, "after")                                                                              \
    X(STEPS, "steps")                                                                              \
    X(OF_FIRST, "of_first")                                                                        \
    X(LIST, "list")                                                                                \
    X(OF, "of")                                                                                    \
    X(ANY, "any")                                                                                  \
    X(ALL, "all")                                                                                  \
    X(SEGMENT, "segment")                                                                          \
    X(CONSENTS, "consents")                                                                        \
    X(DID, "did")                                                                                  \
    X(STOPPED, "stopped")                                                                          \
    X(RESUMED, "resumed")                                                                          \
    X(SEQUENCE, "sequence")                                                                        \
    X(PROP, "prop")                                                                                \
    X(CONTEXT, "context")                                                                          \
    X(FIELD, "field")                                                                              \
    X(ITEM, "item")                                                                                \
    X(PERSON, "person")                                                                            \
    X(AT, "at")                                                                                    \
    X(COUNT, "count")                                                                              \
    X(DAYS, "days_active")                                                                         \
    X(SUM, "sum")                                                                                  \
    X(AVG, "avg")                                                                                  \
    X(MIN, "min")                                                                                  \
    X(MAX, "max")                                                                                  \
    X(DISTINCT, "distinct")                                                                        \
    X(FIRST, "first")                                                                              \
    X(LAST, "last")                                                                                \
    X(MONEY, "money")                                                                              \
    X(TIME, "time")                                                                                \
    X(NUMBER, "number")

typedef enum Key {
#define X(code, text) KEY_##code,
    KEY_MAP(X)
#undef X
        KEY_COUNT_OF
} Key;

_Static_assert(KEY_COUNT_OF <= 64, "a set of keys is one word");

#define BIT(key)  (UINT64_C(1) << KEY_##key)
#define STEP_KEYS (BIT(EVENT) | BIT(ANY_EVENT) | BIT(ANY_OF) | BIT(WHERE))
#define WINDOW_KEYS                                                                                \
    (BIT(WITHIN) | BIT(CALENDAR) | BIT(BETWEEN) | BIT(SINCE) | BIT(BEFORE) | BIT(AGO))

/* The members of one object. */
typedef struct Members {
    JsonValue object;
    uint64_t has;
    JsonValue at[KEY_COUNT_OF];
} Members;

/* INVALID "rule.json": expected `what`, found what is there. */
MUST_USE Err tree_shape(Draft *d, JsonValue v, const char *what);

/* INVALID "rule.json": the key `name` has no place here; did you mean one of `allowed`? */
MUST_USE Err tree_unknown_key(Draft *d, size_t at, Str name, uint64_t allowed);

/* An object that may have the keys `allowed`, each once, and must have `needed`. */
MUST_USE Err tree_read_members(Draft *d, JsonValue v, uint64_t allowed, uint64_t needed,
                               Members *out);

/* A text, copied; a name with its limits. */
MUST_USE Err tree_read_text(Draft *d, JsonValue v, const char *what, Str *out);
MUST_USE Err tree_read_name(Draft *d, JsonValue v, Str *out);

MUST_USE Err tree_read_literal(Draft *d, JsonValue v, RuleNode **out);
MUST_USE Err tree_read_list(Draft *d, JsonValue v, RuleNode **out);
MUST_USE Err tree_read_span(Draft *d, JsonValue v, RuleSpan *out);
MUST_USE Err tree_read_pair(Draft *d, JsonValue v, JsonValue pair[2]);

/* One of the window keys, or none: RULE_WINDOW_EVER. */
MUST_USE Err tree_read_window(Draft *d, const Members *m, RuleWindow *out);
