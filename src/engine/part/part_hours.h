/*
 * engine/part/part_hours.h -- how many events each list of a part has in each hour of its week.  Files with many rows
 * say it: a question that counts events by name between full hours reads this in place of keys.
 *
 * A week of 255 names is 171 KB.
 * Owns: nothing.  Threads: any.
 */
#pragma once

#include "engine/part/part.h"

enum {
    PART_HOURS = 168,
    PART_HOUR_MS = 3600000,
    /* Rows of a list on average from which on a file says it: 21 bytes for 16 of them at most, in the small files that
     * wait for a merge. */
    PART_HOURS_ROWS = 512,
};

/* Counts of one list: [h] events before the hour h + 1 of the week begins.  They ascend, the last is all of them. */
typedef struct PartHours {
    uint32_t ends[PART_HOURS];
} PartHours;

static inline bool part_has_hours(const Part *part)
{
    return part->head->hours_at != 0;
}

/* Of a part that has them, of the list with this number.  False: damaged. */
MUST_USE bool part_hours(Part *part, uint32_t list, PartHours *out);

/* The same without these, which are some of them: *of.  False: they are not. */
MUST_USE bool part_hours_without(PartHours *of, const PartHours *these);

/* Events before a full hour of the part's week; also of one before or behind the week. */
uint32_t part_hours_before(const Part *part, const PartHours *hours, int64_t at_ms);
