/*
 * engine/scan/items.c
 */
#include "engine/scan/items.h"

#include "engine/core/bits.h"
#include "engine/core/crew.h"

#include <stdlib.h>

_Static_assert((int)ITEMS_OF_EVENT_MAX <= (int)ITEMS_PIECE, "events go whole into a piece");
_Static_assert((int)PART_STRIDE_ROWS <= (int)ITEMS_PIECE, "what is before the first row fits");

/* What is needed to look at items while the rows of their events are looked at. */
struct ItemsScratch {
    FilterScratch filter;
    uint8_t mask[ITEMS_PIECE + KERNEL_SLACK];
    int64_t values[ITEMS_PIECE + KERNEL_SLACK];
    FilterWide numbers[ITEMS_PIECE];
};

static struct ItemsScratch *scratch_of(FilterScratch *s)
{
    if (s->items == NULL) {
        s->items = calloc(1, sizeof *s->items);
        CHECK(s->items != NULL);
        filter_scratch_reserve(&s->items->filter, ITEMS_PIECE);
    }
    return s->items;
}

void items_scratch_free(struct ItemsScratch *s)
{
    if (s == NULL)
        return;
    filter_scratch_free(&s->filter);
    free(s);
}

FilterRows items_rows(const FilterRows *events, const PartItems *items, uint32_t first,
                      uint32_t count)
{
    return (FilterRows){.part = events->part,
                        .list = &items->list,
                        .first = first,
                        .count = count,
                        .block = events->block};
}

/* ---- where they stand ---------------------------------------------------------------------------- */

/* Sound bytes say as much; the checks are for files that somebody forged. */
static bool add_counts(const PartItems *items, const int64_t *counts, uint32_t n, uint32_t *sum)
{
    uint64_t total = 0;
    uint64_t odd = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t count = counts[i] == PART_MISSING ? 0 : (uint64_t)counts[i];
        odd |= (uint64_t)(count > ITEMS_OF_EVENT_MAX);
        total += count;
    }
    if (odd != 0 || total > items->list.rows - *sum)
        return false;
    *sum += (uint32_t)total;
    return true;
}

/* How many items stand before the first row. */
static bool find_first(const FilterRows *rows, const PartItems *items, const PartColumn *counts,
                       FilterScratch *s, uint32_t *first)
{
    struct ItemsScratch *own = scratch_of(s);
    FilterRows before = *rows;
    if (!part_items_start(rows->part, items, rows->first, &before.first, first))
        return false;
    before.count = rows->first - before.first;
    return before.count == 0 ||
           (filter_values(&before, counts, PART_MISSING, &own->filter, own->values) &&
            add_counts(items, own->values, before.count, first));
}

bool items_of_rows(const FilterRows *rows, uint32_t prop, FilterScratch *s, int64_t *counts,
                   ItemsOf *out)
{
    const PartColumn *column = part_find_column(rows->part, rows->list, prop);
    *out = (ItemsOf){.items = part_find_items(rows->part, rows->list, prop)};
    for (uint32_t i = 0; column == NULL && i < rows->count; i++)
        counts[i] = PART_MISSING;
    if (column == NULL)
        return true;
    if (column->kind != PART_NUMBERS || !filter_values(rows, column, PART_MISSING, s, counts))
        return false;
    if (out->items == NULL) {
        for (uint32_t i = 0; i < rows->count; i++)
            if (counts[i] != PART_MISSING && counts[i] != 0)
                return false;
        return true;
    }
    if (!find_first(rows, out->items, column, s, &out->first))
        return false;
    uint32_t end = out->first;
    if (!add_counts(out->items, counts, rows->count, &end))
        return false;
    out->total = end - out->first;
    return true;
}

/* ---- conditions ---------------------------------------------------------------------------------- */

static uint32_t size_of(int64_t count)
{
    return count == PART_MISSING ? 0 : (uint32_t)count;
}

/* What a condition makes of the items of the events [from, to), which are `items`. */
typedef bool (*TakeItems)(const Filter *f, const FilterRows *items, struct ItemsScratch *s,
                          const int64_t *counts, uint32_t events, uint8_t *mask);

/* How many of each event's items the condition holds for. */
static bool take_counts(const Filter *f, const FilterRows *items, struct ItemsScratch *s,
                        const int64_t *counts, uint32_t events, uint8_t *mask)
{
    const bool each = f->arg_count > 0 && items->count > 0;
    if (each && !filter_rows(f->args[0], items, &s->filter, s->mask))
        return false;
    for (uint32_t i = 0, at = 0; i < events; i++) {
        const uint32_t size = size_of(counts[i]);
        uint32_t holds = each ? 0 : size;
        for (uint32_t k = 0; each && k < size; k++)
            holds += s->mask[at + k];
        at += size;
        mask[i] = f->kind == FILTER_ITEMS_ALL ? size > 0 && holds == size
                                              : holds >= f->min && holds <= f->max;
    }
    return true;
}

static bool take_sums(const Filter *f, const FilterRows *items, struct ItemsScratch *s,
                      const int64_t *counts, uint32_t events, uint8_t *mask)
{
    if (items->count > 0 && !filter_numbers(f, items, &s->filter, s->values, s->numbers))
        return false;
    for (uint32_t i = 0, at = 0; i < events; i++) {
        FilterWide sum = 0;
        for (const uint32_t end = at + size_of(counts[i]); at < end; at++)
            sum += s->numbers[at] == FILTER_NO_NUMBER ? 0 : s->numbers[at];
        mask[i] = sum >= f->low && sum <= f->high;
    }
    return true;
}

bool items_filter(const Filter *f, const FilterRows *rows, FilterScratch *s, uint8_t *mask)
{
    const TakeItems take = f->kind == FILTER_ITEMS_SUM ? take_sums : take_counts;
    const int64_t *counts = s->times;
    struct ItemsScratch *own = scratch_of(s);
    ItemsOf of;
    if (!items_of_rows(rows, f->prop, s, s->times, &of))
        return false;
    uint32_t first = of.first;
    for (uint32_t from = 0; from < rows->count;) {
        uint32_t to = from, n = 0;
        while (to < rows->count && n + size_of(counts[to]) <= ITEMS_PIECE)
            n += size_of(counts[to++]);
        const FilterRows items =
            of.items == NULL ? (FilterRows){.count = 0} : items_rows(rows, of.items, first, n);
        if (crew_gives_up(n) || !take(f, &items, own, counts + from, to - from, mask + from))
            return false; /* who gives up asks nobody whether it was damage */
        first += n;
        from = to;
    }
    return true;
}
