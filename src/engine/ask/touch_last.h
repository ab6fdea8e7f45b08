/*
 * engine/ask/touch_last.h -- conversions by the last touch alone: one touch per person is remembered, and rows are taken as
 * they lie in the parts.  Private to touch*.c.
 *
 * Owns: LastTouches its memory, until last_touches_free().  Threads: one per LastTouches.
 */
#pragma once

#include "engine/ask/touch.h"

enum { TOUCH_CONVERSION = 1, TOUCH_TOUCHED = 2 }; /* bits of a row's selects */

typedef struct TouchEarned {
    TrendSum credit;
    uint64_t conversions;
} TouchEarned;

/* Whether the question is of this kind: one breakdown, of a text with few values. */
bool touch_is_last(const Touch *t, const ScanView *view, const ScanAsk *ask);

typedef struct LastTouches {
    const Touch *t;
    uint32_t codes;                       /* one more than the largest */
    uint32_t bias_s;                      /* what seconds count from, so that 0 is never */
    uint32_t seconds[SCAN_PIECE_PERSONS]; /* of each person's last touch */
    uint16_t ms[SCAN_PIECE_PERSONS];      /* behind the second */
    uint32_t code[SCAN_PIECE_PERSONS];
    TouchEarned *earned; /* [0]: without a touch; [1 + code] */
} LastTouches;

LastTouches *last_touches_new(const Touch *t, const ScanView *view, const ScanAsk *ask);
void last_touches_free(LastTouches *l); /* NULL is nothing to do */

/* Adds what the conversions of one piece earn.  `ask` was that of the scanner: conversions are select 0, touches 1. */
void last_touches_piece(LastTouches *l, Scanner *scanner, uint32_t piece);
