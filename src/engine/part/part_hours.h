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
    /* Rows of a list on average from which on a file says it: a byte for six of them at most. */
    PART_HOURS_ROWS = 4096,
};

/* Counts of one list: [h] events before the hour h + 1 of the week begins.  They ascend, the last is all of them. */
typedef struct PartHours {
    uint32_t ends[PART_HOURS];
} PartHours;

static inline bool part_has_hours(const Part *part)
{
    return part->head->hours_at != 0;
}

/* Of a part that has them, of the list with this number.  NULL: damaged. */
const PartHours *part_hours(Part *part, uint32_t list);

/* Events before a full hour of the part's week; also of one before or behind the week. */
uint32_t part_hours_before(const Part *part, const PartHours *hours, int64_t at_ms);
