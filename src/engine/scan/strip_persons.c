/*
 * engine/scan/strip_persons.c
 */
#include "engine/scan/strip_persons.h"

#include "engine/core/kernels.h"

bool strip_add_persons(const StripPersons *to, StripTimes *times, const Strip *strip,
                       uint32_t first)
{
    uint32_t *const found = times->room;
    if (!strip_ranks(times, strip))
        return false;
    for (uint32_t c = 0; c < strip->cut_count; c++) {
        const StripCut *cut = &strip->cuts[c];
        uint64_t *bits =
            strip_persons_of(to, cut->block, (size_t)first + strip_places(times, strip)->first);
        const uint32_t n =
            kernels()->places(strip->at.keys, cut[0].row, cut[1].row, strip->set, times->ranks,
                              PART_BLOCK_BITS, PART_SECOND_BITS, found);
        for (uint32_t i = 0; i < n; i++)
            bits[found[i] / 64] |= UINT64_C(1) << (found[i] & 63);
    }
    return true;
}
