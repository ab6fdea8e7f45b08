/*
 * engine/core/prop_index.c
 */
#include "engine/core/prop_index.h"

enum { FIRST_SLOTS = 32 };

static PropPlace *slot_of(const PropIndex *x, uint32_t prop)
{
    const uint32_t mask = x->slot_count - 1;
    uint32_t slot = prop * UINT32_C(2654435761) >> 7 & mask;
    while (x->slots[slot].prop != 0 && x->slots[slot].prop != prop)
        slot = (slot + 1) & mask;
    return &x->slots[slot];
}

static void grow(PropIndex *x, Arena *arena)
{
    const PropIndex old = *x;
    x->slot_count = old.slot_count == 0 ? FIRST_SLOTS : old.slot_count * 2;
    x->slots = ARENA_ARRAY(arena, PropPlace, x->slot_count);
    for (uint32_t i = 0; i < old.slot_count; i++)
        if (old.slots[i].prop != 0)
            *slot_of(x, old.slots[i].prop) = old.slots[i];
}

uint32_t prop_index_add(PropIndex *x, Arena *arena, uint32_t prop, uint32_t next, bool *is_new)
{
    if (2 * (x->count + 1) > x->slot_count)
        grow(x, arena);
    PropPlace *at = slot_of(x, prop);
    *is_new = at->prop == 0;
    if (*is_new) {
        *at = (PropPlace){prop, next};
        x->count++;
    }
    return at->column;
}

uint32_t prop_index_find(const PropIndex *x, uint32_t prop)
{
    if (x->slot_count == 0)
        return PROP_INDEX_NONE;
    const PropPlace *at = slot_of(x, prop);
    return at->prop == 0 ? PROP_INDEX_NONE : at->column;
}
