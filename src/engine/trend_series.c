/*
 * engine/trend_series.c
 */
#include "engine/trend_series.h"

#include "base/hash.h"

#include <stdlib.h>

static uint64_t hash_of(const int64_t *values, uint32_t width)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < width; i++)
        hash = hash_u64((uint64_t)values[i], hash);
    return hash;
}

static bool same(const Combination *c, const int64_t *values, uint32_t width)
{
    return memcmp(c->values, values, width * sizeof *values) == 0;
}

static uint32_t slot_for(const Combinations *c, const int64_t *values)
{
    uint32_t slot = (uint32_t)hash_of(values, c->width) & (c->slot_count - 1);
    while (c->slots[slot] != 0 && !same(&c->at[c->slots[slot] - 1], values, c->width))
        slot = (slot + 1) & (c->slot_count - 1);
    return slot;
}

static void grow(Combinations *c)
{
    c->cap = c->cap == 0 ? 64 : c->cap * 2;
    c->at = realloc(c->at, c->cap * sizeof *c->at);
    free(c->slots);
    c->slot_count = c->cap * 2;
    c->slots = calloc(c->slot_count, sizeof *c->slots);
    CHECK(c->at != NULL && c->slots != NULL);
    for (uint32_t i = 0; i < c->count; i++)
        c->slots[slot_for(c, c->at[i].values)] = i + 1;
}

uint32_t combinations_index(Combinations *c, const int64_t *values, bool add)
{
    if (c->last < c->count && same(&c->at[c->last], values, c->width))
        return c->last;
    if (c->slot_count == 0)
        grow(c);
    uint32_t slot = slot_for(c, values);
    if (c->slots[slot] == 0) {
        if (!add || c->count == (c->limit > 0 ? c->limit : QUERY_VALUES_MAX))
            return QUERY_VALUES_MAX;
        if (c->count == c->cap) {
            grow(c);
            slot = slot_for(c, values);
        }
        c->at[c->count] = (Combination){0};
        memcpy(c->at[c->count].values, values, c->width * sizeof *values);
        c->slots[slot] = ++c->count;
    }
    return c->last = c->slots[slot] - 1;
}

void combinations_count(Combinations *c, const int64_t *values, uint64_t events)
{
    if (events == 0)
        return;
    const uint32_t at = combinations_index(c, values, true);
    if (at < QUERY_VALUES_MAX)
        c->at[at].events += events;
    else
        c->is_over = true;
}

void combinations_join(Combinations *into, const Combinations *from)
{
    into->is_over |= from->is_over;
    for (uint32_t i = 0; i < from->count && !crew_gives_up_at(i); i++)
        combinations_count(into, from->at[i].values, from->at[i].events);
}

static int by_events(const void *a, const void *b)
{
    const Combination *x = a, *y = b;
    if (x->events != y->events)
        return x->events < y->events ? 1 : -1;
    for (int i = 0; i < QUERY_BREAKDOWNS_MAX; i++)
        if (x->values[i] != y->values[i])
            return x->values[i] < y->values[i] ? -1 : 1;
    return 0;
}

void combinations_sort(Combinations *c)
{
    if (c->count > 0)
        qsort(c->at, c->count, sizeof *c->at, by_events);
}

void combinations_free(Combinations *c)
{
    free(c->at);
    free(c->slots);
}
