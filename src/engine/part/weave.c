/*
 * engine/part/weave.c
 */
#include "engine/part/weave.h"

#include "engine/core/kernels.h"

enum { PICK_ROWS = 8192 }; /* codes that stay near the processor until they are picked */

bool weave_read_keys(Part *part, const PartRows *rows, uint32_t *out)
{
    PartKeys keys = part_keys(part, rows);
    for (uint32_t done = 0, n; done < rows->count; done += n) {
        n = weave_step(rows->count - done);
        if (crew_gives_up(n) || !part_next_keys(&keys, n, out + done))
            return false;
    }
    return true;
}

bool weave_read_lists(Part *part, uint32_t place, const uint8_t pick[256], uint32_t count,
                      uint8_t *out)
{
    const PartBlock *block = &part->blocks[place];
    uint8_t codes[PICK_ROWS + KERNEL_SLACK];
    uint32_t picked = 0;
    if (!part_check_sequence(part, place))
        return false;
    for (uint32_t row = block[0].first_row, n; row < block[1].first_row; row += n) {
        n = block[1].first_row - row < PICK_ROWS ? block[1].first_row - row : PICK_ROWS;
        if (crew_gives_up(n) || !part_read_sequence(part, row, n, codes))
            return false;
        picked += kernels()->pick(codes, n, pick, out + picked);
    }
    return picked == count;
}

void weave_values(const uint8_t *lists, uint32_t n, const uint32_t **from, uint32_t count,
                  uint32_t *out)
{
    for (uint32_t done = 0, some; done < n; done += some) {
        some = weave_step(n - done);
        if (crew_gives_up(some))
            return;
        kernels()->weave(lists + done, some, from, count, out + done);
    }
}
