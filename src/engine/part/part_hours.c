/*
 * engine/part/part_hours.c
 */
#include "engine/part/part_hours.h"

static bool make_sense(const PartHours *hours, uint32_t rows)
{
    bool ascend = hours->ends[PART_HOURS - 1] == rows;
    for (uint32_t i = 1; i < PART_HOURS; i++)
        ascend &= hours->ends[i - 1] <= hours->ends[i];
    return ascend;
}

bool part_hours(Part *part, uint32_t list, PartHours *out)
{
    const uint64_t at = part->head->hours_at + list * sizeof(PartHours);
    if (!part_touch(part, at, sizeof(PartHours)))
        return false;
    memcpy(out, part->data + at, sizeof *out);
    if (part_was_whole(part) && make_sense(out, part->lists[list].rows))
        return true;
    atomic_store(&part->damaged, true);
    return false;
}

bool part_hours_without(PartHours *of, const PartHours *these)
{
    const uint32_t rows = of->ends[PART_HOURS - 1], less = these->ends[PART_HOURS - 1];
    for (uint32_t i = 0; i < PART_HOURS; i++)
        of->ends[i] -= these->ends[i];
    return less <= rows && make_sense(of, rows - less);
}

uint32_t part_hours_before(const Part *part, const PartHours *hours, int64_t at_ms)
{
    const int64_t hour = (at_ms - part->head->week_ms) / PART_HOUR_MS;
    if (hour <= 0)
        return 0;
    return hours->ends[hour < PART_HOURS ? hour - 1 : PART_HOURS - 1];
}
