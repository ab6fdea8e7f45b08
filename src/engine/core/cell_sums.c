/*
 * engine/core/cell_sums.c
 */
#include "engine/core/cell_sums.h"

#include "engine/core/crew.h"

#include <stdlib.h>

enum { CAP_MIN = 1024, CAP_FREE = 1 << 16, DIGITS = 256 };

/* ---- sorting ------------------------------------------------------------------------------------- */

/* Digit 0 to 7: of the value, from the lowest on; 8 to 11: of the cell. */
static uint32_t digit_of(const CellSum *e, int64_t least, int digit)
{
    const uint64_t v = digit < 8 ? (uint64_t)e->value - (uint64_t)least : e->cell;
    return (uint32_t)(v >> (digit & 7) * 8) % DIGITS;
}

static void sort_by_digit(CellSums *t, int64_t least, int digit)
{
    uint32_t from[DIGITS + 1] = {0};
    for (uint32_t i = 0; i < t->count; i++)
        from[digit_of(&t->at[i], least, digit) + 1]++;
    for (uint32_t d = 0; d < DIGITS; d++)
        from[d + 1] += from[d];
    for (uint32_t i = 0; i < t->count; i++)
        t->room[from[digit_of(&t->at[i], least, digit)]++] = t->at[i];
    CellSum *const sorted = t->room;
    t->room = t->at;
    t->at = sorted;
}

static void sort(CellSums *t)
{
    int64_t least = INT64_MAX, most = INT64_MIN;
    uint32_t cells = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        least = t->at[i].value < least ? t->at[i].value : least;
        most = t->at[i].value > most ? t->at[i].value : most;
        cells |= t->at[i].cell;
    }
    const uint64_t span = t->count == 0 ? 0 : (uint64_t)most - (uint64_t)least;
    for (int digit = 0; digit < 8 && !crew_gives_up(t->count); digit++)
        if (span >> digit * 8 != 0)
            sort_by_digit(t, least, digit);
    for (int digit = 0; digit < 4 && !crew_gives_up(t->count); digit++)
        if (cells >> digit * 8 != 0)
            sort_by_digit(t, least, 8 + digit);
}

/* ---- adding -------------------------------------------------------------------------------------- */

static void put(CellSums *t, CellSum *e, int64_t amount)
{
    if (__builtin_add_overflow(e->amount, amount, &e->amount))
        t->is_full = true;
}

static bool is_same(const CellSum *e, uint32_t cell, int64_t value)
{
    return e->cell == cell && e->value == value;
}

void cell_sums_settle(CellSums *t)
{
    sort(t);
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        const CellSum *e = &t->at[i];
        if (n > 0 && is_same(&t->at[n - 1], e->cell, e->value))
            put(t, &t->at[n - 1], e->amount);
        else
            t->at[n++] = *e;
    }
    t->count = n;
}

static void grow(CellSums *t)
{
    t->cap = t->cap == 0 ? CAP_MIN : t->cap * 2;
    t->cap = t->cap < t->max ? t->cap : t->max;
    t->at = realloc(t->at, t->cap * sizeof *t->at);
    free(t->room);
    t->room = malloc(t->cap * sizeof *t->room);
    CHECK(t->at != NULL && t->room != NULL);
}

/* A small one just grows.  Settling must leave room for as much again, or it would come too often. */
static void make_room(CellSums *t)
{
    if (t->cap < CAP_FREE && t->cap < t->max) {
        grow(t);
        return;
    }
    cell_sums_settle(t);
    if (t->count > t->cap / 2 && t->cap < t->max)
        grow(t);
    t->is_full |= t->count > t->cap - t->cap / 4;
}

void cell_sums_add(CellSums *t, uint32_t cell, int64_t value, int64_t amount)
{
    if (t->is_full) /* the question is refused: nothing is settled for it any more */
        return;
    if (t->count > 0 && is_same(&t->at[t->count - 1], cell, value)) {
        put(t, &t->at[t->count - 1], amount);
        return;
    }
    if (t->cap == 0)
        grow(t);
    if (t->count == t->cap)
        make_room(t);
    if (!t->is_full)
        t->at[t->count++] = (CellSum){value, amount, cell};
}

void cell_sums_join(CellSums *into, const CellSums *from)
{
    into->is_full |= from->is_full;
    for (uint32_t i = 0; i < from->count && !into->is_full && !crew_gives_up_at(i); i++)
        cell_sums_add(into, from->at[i].cell, from->at[i].value, from->at[i].amount);
}

void cell_sums_free(CellSums *t)
{
    free(t->at);
    free(t->room);
    *t = (CellSums){0};
}
