/*
 * engine/part/weave.c
 */
#include "engine/part/weave.h"

#include "engine/core/kernels.h"

#include <stdlib.h>

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

bool weave_read_lists(Part *part, uint32_t place, const uint8_t pick[256], WeavePlace *at,
                      uint32_t count, uint8_t *out)
{
    const uint32_t first = part->blocks[place].first_row;
    const uint32_t rows = part->blocks[place + 1].first_row - first;
    uint8_t codes[PICK_ROWS + KERNEL_SLACK], picked[PICK_ROWS + KERNEL_SLACK];
    uint32_t done = 0;
    if (!part_check_sequence(part, place))
        return false;
    while (done < count && at->rows < rows) {
        const uint32_t n = rows - at->rows < PICK_ROWS ? rows - at->rows : PICK_ROWS;
        if (crew_gives_up(n) || !part_read_sequence(part, first + at->rows, n, codes))
            return false;
        const uint32_t found = kernels()->pick(codes, n, pick, picked);
        const uint32_t from = at->skip < found ? at->skip : found;
        const uint32_t some = found - from < count - done ? found - from : count - done;
        memcpy(out + done, picked + from, some);
        done += some;
        const bool is_used_up = from + some == found;
        at->skip = is_used_up ? at->skip - from : from + some;
        at->rows += is_used_up ? n : 0;
    }
    return done == count;
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

/* ---- who came first ------------------------------------------------------------------------------ */

static void reserve_places(WeaveOrder *o, uint32_t n)
{
    if (n <= o->cap)
        return;
    free(o->places);
    o->cap = n + n / 2;
    o->places = malloc(o->cap * sizeof *o->places);
    CHECK(o->places != NULL);
}

/* The lists' rows of the block lie one behind the other; next[list]: where they begin. */
static void lay_out(WeaveOrder *o, const Part *part, uint32_t place, uint32_t next[256])
{
    for (uint32_t l = 0, end = 0; l < part->head->list_count; l++) {
        const PartList *list = &part->lists[l];
        uint32_t cursor = part_list_cursor(part, list, place);
        const PartRows rows = part_list_rows(part, list, part->blocks[place].block, &cursor);
        next[l] = end;
        o->from[l] = end - rows.first;
        end += rows.count;
    }
}

bool weave_order_read(WeaveOrder *o, Part *part, uint32_t block)
{
    uint8_t codes[PICK_ROWS + KERNEL_SLACK];
    uint32_t place = 0, first = 0, next[256] = {0};
    if (o->part == part && o->block == block)
        return true;
    o->part = NULL;
    const uint32_t rows = part_sequence_rows(part, block, &place, &first);
    if (rows == 0 || !part_check_sequence(part, place))
        return false;
    reserve_places(o, rows);
    lay_out(o, part, place, next);
    for (uint32_t done = 0, n; done < rows; done += n) {
        n = rows - done < PICK_ROWS ? rows - done : PICK_ROWS;
        if (crew_gives_up(n) || !part_read_sequence(part, first + done, n, codes))
            return false;
        for (uint32_t i = 0; i < n; i++)
            o->places[next[codes[i]]++] = done + i;
    }
    o->part = part;
    o->block = block;
    return true;
}

void weave_order_free(WeaveOrder *o)
{
    free(o->places);
    *o = (WeaveOrder){.part = NULL};
}
