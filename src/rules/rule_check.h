/*
 * rules/rule_check.h -- the checker in two files: the tree (rule_check.c), and operands with what they
 * are compared with (rule_types.c).
 *
 * Owns: nothing.  Private to them.  Threads: one Draft each.
 */
#pragma once

#include "rules/rule_internal.h"

typedef enum PlaceOf {
    PLACE_OF_PERSON,
    PLACE_OF_EVENT,
    PLACE_OF_ITEM,
} PlaceOf;

/* What a condition looks at. */
typedef struct View {
    PlaceOf place;
    const Str *events; /* EVENT, ITEM: what it may be called; none = anything */
    uint32_t event_count;
    Str list;            /* ITEM: the property that holds the records */
    const RuleNode *did; /* the step of the DID whose condition this is, or NULL */
} View;

/* The node, to be written to: its type, its label. */
RuleNode *check_node(const Draft *d, const RuleNode *n);

/* ---- rule_check.c ---------------------------------------------------------------------------- */

/* Asks the schema.  An unknown name is a warning, or with a strict schema, and of a segment,
 * INVALID "rule.name". */
MUST_USE Err check_name(Draft *d, size_t at, const RuleAsk *ask, RuleDecl *decl);
MUST_USE Err check_level(Draft *d, const RuleNode *n, uint32_t level, uint32_t own);
MUST_USE Err check_condition(Draft *d, const RuleNode *n, const View *view, uint32_t level);

/* A leaf over events: it is in its place, and so is its step, if it has one of its own. */
MUST_USE Err check_leaf_step(Draft *d, const RuleNode *n, const View *view, uint32_t level);
View check_view_of_step(Draft *d, const RuleNode *step);

/* ---- rule_types.c ---------------------------------------------------------------------------- */

/* A node that compares, asks is set, or asks when. */
MUST_USE Err check_comparison(Draft *d, RuleNode *n, const View *view, uint32_t level);

/* The property that holds records; *items is the view of a condition on them. */
MUST_USE Err check_records(Draft *d, const RuleNode *n, const View *view, View *items);
