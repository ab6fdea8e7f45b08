/*
 * rules/rule_lex.h -- the words of a rule's text.
 *
 * Owns: nothing.  Private to rule_lex.c and rule_parse*.c.  Threads: one Draft each.
 */
#pragma once

#include "rules/rule_internal.h"

typedef enum TokenKind {
    TOKEN_END,
    TOKEN_WORD,   /* a bare name or a word of the language */
    TOKEN_NAME,   /* `in backticks` */
    TOKEN_TEXT,   /* "in quotes" */
    TOKEN_NUMBER, /* -12.50 */
    TOKEN_SPAN,   /* 90d: digits and letters in one */
    TOKEN_TIME,   /* 2026-01-31T10:00 */
    TOKEN_SYMBOL, /* ( ) [ ] , . * == != < <= > >= */
    TOKEN_BAD,    /* `advice` says what is wrong: a fault when the parser gets there */
} TokenKind;

typedef struct Token {
    TokenKind kind;
    uint32_t at;
    Str text;           /* the whole token; of TEXT and NAME what stands inside, unescaped */
    const char *advice; /* BAD */
} Token;

/* All tokens of d->text in order, END last. */
const Token *lex_text(Draft *d);
