/*
 * engine/scan/strip_items.c
 */
#include "engine/scan/strip_items.h"

#include "engine/core/crew.h"
#include "engine/core/kernels.h"
#include "engine/scan/items.h"

#include <stdlib.h>

_Static_assert((int)ITEMS_OF_EVENT_MAX <= (int)STRIP_ROWS, "events go whole into a strip");

struct ItemStrips {
    ScanItems ask;
    FilterScratch events, items;
    int64_t counts[STRIP_ROWS + KERNEL_SLACK];
    int64_t room[STRIP_ROWS + KERNEL_SLACK];
    uint32_t of[STRIP_ROWS]; /* item -> row of its event */
    uint32_t keys[STRIP_ROWS + KERNEL_SLACK];
    uint64_t set[STRIP_ROWS / 64 + 1]; /* kernels read a word more */
    StripCut *cuts;
    uint32_t cut_cap;
};

ItemStrips *item_strips_new(const ScanItems *ask)
{
    ItemStrips *x = calloc(1, sizeof *x);
    CHECK(x != NULL);
    x->ask = *ask;
    return x;
}

void item_strips_free(ItemStrips *x)
{
    if (x == NULL)
        return;
    filter_scratch_free(&x->events);
    filter_scratch_free(&x->items);
    free(x->cuts);
    free(x);
}

static uint32_t size_of(int64_t count)
{
    return count == PART_MISSING ? 0 : (uint32_t)count;
}

/* Some events: where they end, and how many items they have. */
typedef struct Stretch {
    uint32_t to, items;
} Stretch;

static Stretch next_stretch(ItemStrips *x, uint32_t from, uint32_t end)
{
    Stretch s = {from, 0};
    while (s.to < end && s.items + size_of(x->counts[s.to]) <= STRIP_ROWS) {
        for (uint32_t left = size_of(x->counts[s.to]); left > 0; left--)
            x->of[s.items++] = s.to;
        s.to++;
    }
    return s;
}

/* Where the blocks' items begin: a block without any has an empty stretch. */
static void cut_items(ItemStrips *x, const Strip *events, Stretch s)
{
    if (x->cut_cap <= events->cut_count) {
        x->cut_cap = events->cut_count + 1;
        free(x->cuts);
        x->cuts = malloc(x->cut_cap * sizeof *x->cuts);
        CHECK(x->cuts != NULL);
    }
    uint32_t item = 0;
    for (uint32_t c = 0; c <= events->cut_count; c++) {
        while (item < s.items && x->of[item] < events->cuts[c].row)
            item++;
        x->cuts[c] = (StripCut){c == events->cut_count ? s.items : item, events->cuts[c].block};
    }
}

/* The items that fulfil the condition, of events that match; *out NULL = all.  False: damaged. */
static bool find_set(ItemStrips *x, const Strip *events, const FilterRows *items,
                     const uint64_t **out)
{
    *out = NULL;
    if (x->ask.filter == NULL && events->set == NULL)
        return true;
    *out = x->set;
    if (x->ask.filter != NULL && !filter_set(x->ask.filter, items, &x->items, x->set))
        return false;
    if (x->ask.filter == NULL)
        memset(x->set, 0, sizeof x->set);
    for (uint32_t i = 0; events->set != NULL && i < items->count; i++) {
        const uint64_t in = events->set[x->of[i] / 64] >> (x->of[i] & 63) & 1;
        if (x->ask.filter == NULL)
            x->set[i / 64] |= in << (i & 63);
        else
            x->set[i / 64] &= ~((in ^ 1) << (i & 63));
    }
    return true;
}

static bool give(ItemStrips *x, const Strip *events, Stretch s, const FilterRows *at, StripFn fn,
                 void *arg)
{
    const StripEvents of = {events->at, x->of, x->room};
    Strip strip = {.at = *at, .part = events->part, .cut_count = events->cut_count, .events = &of};
    cut_items(x, events, s);
    strip.cuts = x->cuts;
    if (events->at.keys != NULL) {
        for (uint32_t i = 0; i < s.items; i++)
            x->keys[i] = events->at.keys[x->of[i]];
        strip.at.keys = x->keys;
    }
    if (!find_set(x, events, at, &strip.set))
        return false;
    fn(&strip, arg);
    return true;
}

bool item_strips_give(ItemStrips *x, const Strip *events, StripFn fn, void *arg)
{
    ItemsOf of;
    filter_scratch_reserve(&x->events, events->at.count);
    if (!items_of_rows(&events->at, x->ask.list, &x->events, x->counts, &of))
        return false;
    for (uint32_t from = 0, first = of.first; of.total > 0 && from < events->at.count;) {
        const Stretch s = next_stretch(x, from, events->at.count);
        const FilterRows at = items_rows(&events->at, of.items, first, s.items);
        if (crew_gives_up(s.items) || (s.items > 0 && !give(x, events, s, &at, fn, arg)))
            return false; /* who gives up asks nobody whether it was damage */
        first += s.items;
        from = s.to;
    }
    return true;
}
