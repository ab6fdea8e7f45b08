/*
 * modules/intake/intake_eval.h -- one row's cells through one field's rules, to a typed value.
 *
 * Owns: nothing; texts go to the arena given.  Threads: any.
 */
#pragma once

#include "modules/intake/intake_map.h"

typedef struct IntakeValue {
    bool present;
    Str text; /* TEXT and PHONE; for the others, as it was read */
    int64_t
        number; /* I64; MONEY in minor units; TIME in UTC ms; DATE as yyyymmdd; BOOL; NUMBER * 10^places */
    int places; /* NUMBER */
} IntakeValue;

/* Why there is no value: a stable code and a sentence; reason NULL when there is nothing wrong. */
typedef struct IntakeWhy {
    const char *reason; /* "intake.required", "intake.value_unknown", "intake.not_money",
                         * "intake.not_a_number", "intake.not_a_time", "intake.not_a_boolean" */
    const char *sentence;
    Str value; /* what was read */
} IntakeWhy;

/* A field's columns, found in the header: indices into the row's cells. */
typedef struct IntakeSlots {
    const size_t *slot;
    size_t count;
} IntakeSlots;

/* *noise is set (never cleared) when money was read in spite of floating-point noise. */
IntakeWhy intake_eval(Arena *arena, const IntakeExpr *expr, IntakeSlots slots, const Str *cell,
                      int exponent, bool *noise, IntakeValue *out);

/* `slots` are the condition's columns in the order column, sum, exceeds.  A cell that is no number
 * makes a comparison of sums false. */
bool intake_condition_holds(const IntakeCondition *condition, IntakeSlots slots, const Str *cell,
                            int exponent);

/* Money as money_parse() reads it; beyond that, where `accept_noise`, a number in scientific notation
 * or with more places than the currency has, if it is within a ten-thousandth of a minor unit of a
 * whole one: what is left when somebody kept money in floating point.  Sets *noise then. */
MUST_USE bool intake_money_parse(Str text, int exponent, bool accept_noise, int64_t *out_fen,
                                 bool *noise);
