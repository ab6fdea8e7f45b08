/*
 * engine/scan/walk_batch.h -- whole persons, as scanner_batch() gives them, of weeks that are walked.
 *
 * For what asks for names and times only, and for milliseconds only where two rows are exactly so many seconds apart.
 *
 * Owns: a WalkBatcher its memory.  Threads: one WalkBatcher per thread; the view is shared.
 */
#pragma once

#include "engine/scan/walk.h"

typedef struct WalkBatcher WalkBatcher;

/* The selects have no filters and one range of whole seconds (walk_suffices()); their events have codes.  NULL: a
 * week has too many parts. */
WalkBatcher *walk_batcher_new(const ScanView *view, const ScanAsk *ask, const WalkNames *names);
void walk_batcher_free(WalkBatcher *b); /* NULL is nothing to do */

/* As scanner_batch(), with events, but without milliseconds and values. */
MUST_USE bool walk_batch(WalkBatcher *b, uint32_t piece, ScanBatch *out);

/* How many milliseconds behind its second this row of the last batch is. */
int64_t walk_batch_ms(const WalkBatcher *b, uint32_t row);

/* Rows that could not be read because of damage, so far. */
uint64_t walk_batch_damaged(const WalkBatcher *b);
