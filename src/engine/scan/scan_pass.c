/*
 * engine/scan/scan_pass.c -- a block with very many rows is read in passes, each of some of its keys.
 *
 * Mostly there is one pass.  Else all keys are counted first, as persons or as stretches of a person's week, and as many
 * of these go together as fit.
 */
#include "engine/scan/scan_inside.h"

#include "engine/core/kernels.h"

#include <stdlib.h>

static uint32_t batch_rows(const Scanner *s)
{
    return s->view->batch_rows == 0 ? SCAN_BATCH_ROWS : s->view->batch_rows;
}

/* Of one person, with so many values each. */
static uint32_t most_rows(const ScanView *view, uint32_t values)
{
    return view->person_rows_max > 0
               ? view->person_rows_max
               : SCAN_PERSON_BYTES_MAX / (SCAN_ROW_BYTES + SCAN_VALUE_BYTES * values);
}

bool scan_is_too_much(const Scanner *s, uint64_t rows)
{
    if (rows <= most_rows(s->view, s->ask.prop_count))
        return false;
    crew_refuse(
        "somebody has too many of these events to be put into order: leave them out by a condition, or ask of a "
        "shorter time");
    return true;
}

bool scan_has_large_block(const ScanView *view)
{
    const uint32_t pieces = scan_pieces(view);
    uint64_t *rows = calloc((size_t)pieces + 1, sizeof *rows), most = 0;
    CHECK(rows != NULL);
    for (uint32_t i = 0; i < view->part_count; i++) {
        const PartBlock *at = view->parts[i]->blocks;
        for (uint32_t b = 0; b < view->parts[i]->head->block_count && at[b].block < pieces; b++)
            rows[at[b].block] += at[b + 1].first_row - at[b].first_row;
    }
    for (uint32_t b = 0; b < pieces; b++)
        most = rows[b] > most ? rows[b] : most;
    free(rows);
    return most > most_rows(view, 0);
}

/* Where the rows of the block are; how many. */
static uint64_t find_rows(PartScan *parts, uint32_t count, uint32_t block)
{
    uint64_t rows = 0;
    for (uint32_t i = 0; i < count; i++) {
        PartScan *p = &parts[i];
        p->rows = 0;
        p->woven = (WeavePlace){0};
        for (uint32_t k = 0; k < p->wanted_count; k++) {
            Wanted *w = &p->wanted[k];
            w->rows = part_list_rows(p->part, &p->part->lists[w->list], block, &w->cursor);
            if (w->rows.count > 0)
                w->keys = part_keys(p->part, &w->rows);
            w->done = 0;
            p->rows += w->rows.count;
        }
        rows += p->rows;
    }
    return rows;
}

static void add_pass(Scanner *s, ScanPass pass)
{
    if (s->pass_count == s->pass_cap) {
        s->pass_cap = s->pass_cap == 0 ? 16 : s->pass_cap * 2;
        s->passes = scan_longer(s->passes, s->pass_cap, sizeof *s->passes);
    }
    s->passes[s->pass_count++] = pass;
}

enum { COUNT_ROWS = 8192 }; /* keys that stay near the processor until they are counted */

/* How many rows have each key >> shift.  False: damaged, or it gives up. */
static bool count_list(Part *part, const PartRows *rows, int shift, uint32_t *counts)
{
    uint32_t step[COUNT_ROWS + KERNEL_SLACK];
    PartKeys keys = part_keys(part, rows);
    for (uint32_t done = 0, n; done < rows->count; done += n) {
        n = rows->count - done < COUNT_ROWS ? rows->count - done : COUNT_ROWS;
        if (crew_gives_up(n) || !part_next_keys(&keys, n, step))
            return false;
        for (uint32_t i = 0; i < n; i++)
            counts[step[i] >> shift]++;
    }
    return true;
}

static bool count_keys(Scanner *s, PartScan *parts, uint32_t count, int shift, uint32_t *counts)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < parts[i].wanted_count; k++) {
            const Wanted *w = &parts[i].wanted[k];
            if (w->rows.count > 0 && !count_list(parts[i].part, &w->rows, shift, counts)) {
                s->damaged += w->rows.count;
                return false;
            }
        }
    return true;
}

static void cut(Scanner *s, const uint32_t *counts, uint32_t places, int shift)
{
    ScanPass pass = {0};
    for (uint32_t i = 0; i < places; i++) {
        if (pass.rows > 0 && (uint64_t)pass.rows + counts[i] > batch_rows(s)) {
            pass.to = i << shift;
            add_pass(s, pass);
            pass = (ScanPass){.from = pass.to};
        }
        pass.rows += counts[i];
    }
    pass.to = UINT32_MAX;
    add_pass(s, pass);
}

void scan_begin_passes(Scanner *s, PartScan *parts, uint32_t count, uint32_t block, int shift)
{
    const uint64_t rows = find_rows(parts, count, block);
    s->pass_count = s->next_pass = 0;
    if (rows == 0)
        return;
    if (rows <= batch_rows(s)) {
        add_pass(s, (ScanPass){.to = UINT32_MAX, .rows = (uint32_t)rows});
        return;
    }
    const uint32_t places = (uint32_t)PART_BLOCK_PERSONS << (PART_SECOND_BITS - shift);
    uint32_t *counts = calloc(places, sizeof *counts);
    CHECK(counts != NULL);
    if (count_keys(s, parts, count, shift, counts))
        cut(s, counts, places, shift);
    free(counts);
}

bool scan_next_pass(Scanner *s)
{
    if (s->next_pass == s->pass_count || crew_gives_up(1))
        return false;
    s->pass = s->passes[s->next_pass++];
    return true;
}
