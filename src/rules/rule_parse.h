/*
 * rules/rule_parse.h -- the reader of text, in two files: conditions (rule_parse.c) and the leaves over
 * events with their steps and windows (rule_parse_leaf.c).
 *
 * It knows the grammar and nothing else: types and scopes are the checker's.  It recurses by nesting
 * only, which parse_enter() bounds.  Owns: nothing.  Private to them.  Threads: one Draft each.
 */
#pragma once

#include "rules/rule_lex.h"

/* What a bare name means. */
typedef enum Place {
    PLACE_PERSON, /* an attribute */
    PLACE_EVENT,  /* a property */
    PLACE_ITEM,   /* a field of the record */
} Place;

typedef struct Parser {
    Draft *d;
    const Token *token; /* the next one; END stays */
    Place place;
    uint32_t nesting;
} Parser;

/* ---- rule_parse.c ---------------------------------------------------------------------------- */

bool parse_is_word(const Parser *p, const char *word); /* the next token is this word */
bool parse_is_symbol(const Parser *p, const char *symbol);
bool parse_next_is_symbol(const Parser *p, const char *symbol); /* the one behind the next */
bool parse_accept_word(Parser *p, const char *word);            /* and is taken */
bool parse_accept_symbol(Parser *p, const char *symbol);        /* and is taken */
MUST_USE Err parse_expect_symbol(Parser *p, const char *symbol, const char *what);
MUST_USE Err parse_expect_word(Parser *p, const char *word, const char *what);

/* INVALID "rule.syntax" at the next token: "expected `what`, found ...". */
MUST_USE Err parse_expected(Parser *p, const char *what);

/* A condition in which a bare name means what it does in this place. */
MUST_USE Err parse_condition_at(Parser *p, Place place, RuleNode **out);

/* What a function looks at: a name, or a product of names. */
MUST_USE Err parse_plain(Parser *p, Place place, RuleNode **out);

/* The operator and what is behind it; `operand` stands in front. */
MUST_USE Err parse_comparison(Parser *p, RuleNode *operand, RuleNode **out);

/* ---- rule_parse_leaf.c ----------------------------------------------------------------------- */

MUST_USE Err parse_step(Parser *p, RuleNode **out);

/* A window begins with within, between, since or before. */
bool parse_is_window(const Parser *p);
MUST_USE Err parse_window(Parser *p, RuleWindow *out);

/* A function that is a condition (did, segment ...), or one with a value (count, first ...), when the
 * next tokens are one: *out stays NULL otherwise. */
MUST_USE Err parse_leaf_condition(Parser *p, RuleNode **out);
MUST_USE Err parse_leaf_value(Parser *p, RuleNode **out);

/* The functions of the language, for "did you mean". */
void parse_nearest_function(Nearest *n);
