/*
 * engine/scan/strip_items.h -- strips of events become strips of their items.  Private to strips.c.
 *
 * Owns: an ItemStrips its buffers.  Threads: one ItemStrips each.
 */
#pragma once

#include "engine/scan/strips.h"

typedef struct ItemStrips ItemStrips;

ItemStrips *item_strips_new(const ScanItems *ask); /* what is asked must outlive it */
void item_strips_free(ItemStrips *x);              /* NULL is nothing to do */

/* Calls `fn` for the items of the strip's events, of all of them: the set says which match.  False: damaged. */
MUST_USE bool item_strips_give(ItemStrips *x, const Strip *events, StripFn fn, void *arg);
