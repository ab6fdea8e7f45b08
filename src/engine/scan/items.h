/*
 * engine/scan/items.h -- the items of events: how many each row of a list has, where they stand, and conditions on
 * them that become conditions on the events.
 *
 * Items are rows like others: a FilterRows whose list is that of a PartItems.  They are looked at ITEMS_PIECE at a
 * time, so that an event with many costs time and no memory.
 * Owns: nothing; scratch as in engine/scan/filter.h.  Threads: any.
 */
#pragma once

#include "engine/scan/filter.h"

enum {
    ITEMS_PIECE = 4096,
    ITEMS_OF_EVENT_MAX =
        2048, /* no list of an event has more (events.md); a part that says so is damaged */
};

/* Which items the rows have. */
typedef struct ItemsOf {
    const PartItems *items; /* NULL: none of them has any */
    uint32_t first;         /* of the first row */
    uint32_t total;         /* of all rows, behind each other */
} ItemsOf;

/* counts[i]: how many items row i has in the list property `prop`, PART_MISSING = it has no such list; with room for
 * KERNEL_SLACK more.  False: damaged. */
MUST_USE bool items_of_rows(const FilterRows *rows, uint32_t prop, FilterScratch *s,
                            int64_t *counts, ItemsOf *out);

/* These items as rows. */
FilterRows items_rows(const FilterRows *events, const PartItems *items, uint32_t first,
                      uint32_t count);

/* FILTER_ITEMS, FILTER_ITEMS_ALL and FILTER_ITEMS_SUM on rows of events.  False: damaged. */
MUST_USE bool items_filter(const Filter *f, const FilterRows *rows, FilterScratch *s,
                           uint8_t *mask);
