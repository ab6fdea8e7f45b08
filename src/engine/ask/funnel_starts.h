/*
 * engine/ask/funnel_starts.h -- funnels of which only the persons are asked, by the starts of each person.  Private to
 * funnel*.c.
 *
 * A plain funnel (funnel_ways.h) needs no more of a person than start[k]: the latest first step from which steps 0 to
 * k were done within the window.  Rows are taken as they lie in the parts: each moves one start, without a branch.
 * With a property of few values that is held, or by which each step is broken down, a person has starts of each value.
 *
 * Owns: FunnelStarts its memory, until funnel_starts_free().  Threads: one per FunnelStarts.
 */
#pragma once

#include "engine/ask/funnel_count.h"

/* Whether the funnel is of this kind: *ask is then what is asked of the scan. */
bool funnel_has_starts(const Funnel *f, const ScanView *view, ScanAsk *ask);

typedef struct FunnelStarts {
    const Funnel *f;
    Scanner *scanner;
    uint32_t values; /* 1, or one more than the largest code of the property; 0 is without it */
    uint32_t bias_s; /* what seconds count from, so that 0 is never */
    /* [value * (steps + 1) + step + 1][person]; the place before step 0 is for what is no start */
    uint32_t *seconds;
    uint16_t *ms; /* behind the second, in the same places; NULL until a row has some */
    bool has_ms;  /* of the piece under way */
} FunnelStarts;

void funnel_starts_open(FunnelStarts *s, const Funnel *f, Scanner *scanner, const ScanView *view,
                        const ScanAsk *ask);
void funnel_starts_free(FunnelStarts *s);

/* Counts the persons of one piece. */
void funnel_starts_piece(FunnelStarts *s, uint32_t piece, FunnelCount *count);
