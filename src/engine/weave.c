/*
 * engine/weave.c
 */
#include "engine/weave.h"

#include "engine/bits.h"

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

bool weave_read_lists(Part *part, uint32_t first, uint32_t n, const uint8_t pick[256],
                      uint32_t count, uint8_t *out)
{
    const Kernels *k = kernels();
    const PartHead *h = part->head;
    uint8_t codes[PICK_ROWS + KERNEL_SLACK];
    uint32_t picked = 0;
    for (uint32_t done = 0, some; done < n; done += some) {
        some = n - done < PICK_ROWS ? n - done : PICK_ROWS;
        const uint64_t at = h->sequence_at + (uint64_t)(first + done) * h->sequence_width / 8;
        if (crew_gives_up(some) ||
            !part_touch(part, at, bits_bytes(some, (int)h->sequence_width) + 1))
            return false;
        k->unpack8(part->data + h->sequence_at, first + done, some, (int)h->sequence_width, codes);
        picked += k->pick(codes, some, pick, out + picked);
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
