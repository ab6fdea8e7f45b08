/*
 * modules/analysis/analysis_formula.h -- formulas over the series of a trend: A / B * 100, exactly.
 *
 *   sum     = product { ("+" | "-") product }
 *   product = factor { ("*" | "/") factor }
 *   factor  = ["-"] (number | letter | "(" sum ")")        a number has at most 6 decimals
 *
 * Everything is computed in fractions of whole numbers and rounded once, when it is printed.  Division by zero has no
 * value, and neither has what is computed with no value.
 * Owns: nothing; everything lives in ctx->arena.  Threads: any.
 */
#pragma once

#include "base/ctx.h"

enum { FORMULA_LETTERS_MAX = 8, FORMULA_PLACES = 6, FORMULA_BYTES_MAX = 256 };

__extension__ typedef __int128 FormulaInt;

/* over / under, under > 0; under 0: no value. */
typedef struct Fraction {
    FormulaInt over, under;
} Fraction;

typedef struct FormulaItem {
    char kind; /* '#' the number, 'A' a letter, + - * / and '~', which turns the sign */
    uint8_t letter;
    Fraction number;
} FormulaItem;

/* Items come behind what they are of: A B + 2 / */
typedef struct Formula {
    const FormulaItem *items;
    uint32_t count;
} Formula;

/* The first `letters` letters are there.  `pointer`: of whom an error tells.  Errors: INVALID "query.formula", the hint
 * says where and what. */
MUST_USE Err formula_parse(Ctx *ctx, Str text, uint32_t letters, const char *pointer, Formula *out);

/* Its value, given the letters'.  False: it does not fit. */
MUST_USE bool formula_value(const Formula *f, const Fraction *letters, Fraction *out);

/* A decimal of at most FORMULA_PLACES places, halves rounded away from zero, without zeros at its end; an empty text
 * for no value.  False: it does not fit. */
MUST_USE bool fraction_text(Ctx *ctx, Fraction f, Str *out);
