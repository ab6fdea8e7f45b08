/*
 * engine/part/rows_buffer.c -- rows as they arrive.
 */
#include "engine/part/rows.h"

#include <stdlib.h>

void rows_free(RowBuffer *b)
{
    free(b->rows);
    free(b->values);
    free(b->props.has);
    free(b->lists);
    free(b->items);
    free(b->item_values);
    free(b->item_props.has);
    *b = (RowBuffer){0};
}

static void forget_props(RowProps *p)
{
    p->count = 0;
    if (p->room > 0)
        memset(p->has, 0, p->room / 8);
}

void rows_clear(RowBuffer *b)
{
    b->count = 0;
    b->value_count = 0;
    b->list_count = 0;
    b->item_count = 0;
    b->item_value_count = 0;
    forget_props(&b->props);
    forget_props(&b->item_props);
}

static void *grown(void *array, uint32_t *cap, size_t size)
{
    *cap = *cap == 0 ? 1024 : *cap * 2;
    array = realloc(array, (size_t)*cap * size);
    CHECK(array != NULL);
    return array;
}

void rows_add(RowBuffer *b, int64_t time_ms, uint32_t person, uint32_t event)
{
    if (b->count == b->cap)
        b->rows = grown(b->rows, &b->cap, sizeof *b->rows);
    b->rows[b->count++] = (Row){time_ms, person, event, b->value_count, 0};
}

static void make_room(RowProps *p, uint32_t prop)
{
    const uint32_t room = (prop / 1024 + 1) * 1024;
    p->has = realloc(p->has, room / 8);
    CHECK(p->has != NULL);
    memset(p->has + p->room / 64, 0, (room - p->room) / 8);
    p->room = room;
}

void rows_note_prop(RowProps *p, uint32_t prop)
{
    if (prop >= p->room)
        make_room(p, prop);
    p->count++;
    p->has[prop / 64] |= UINT64_C(1) << (prop & 63);
}

static inline void note_prop(RowProps *p, uint32_t prop)
{
    if (prop >= p->room || (p->has[prop / 64] >> (prop & 63) & 1) == 0)
        rows_note_prop(p, prop);
}

void rows_grow_values(RowBuffer *b)
{
    b->values = grown(b->values, &b->value_cap, sizeof *b->values);
}

void rows_items(RowBuffer *b, uint32_t prop, uint32_t count)
{
    if (b->list_count == b->list_cap)
        b->lists = grown(b->lists, &b->list_cap, sizeof *b->lists);
    b->lists[b->list_count++] = (RowList){b->count - 1, prop, b->item_count, count};
}

void rows_list(RowBuffer *b, uint32_t prop, uint32_t count)
{
    rows_items(b, prop, count);
    rows_value(b, prop, PART_NUMBERS, 0, count);
}

void rows_item(RowBuffer *b)
{
    if (b->item_count == b->item_cap)
        b->items = grown(b->items, &b->item_cap, sizeof *b->items);
    b->items[b->item_count++] = (RowItem){b->item_value_count, 0};
}

void rows_item_value(RowBuffer *b, uint32_t prop, PartKind kind, int scale, int64_t value)
{
    if (b->item_value_count == b->item_value_cap)
        b->item_values = grown(b->item_values, &b->item_value_cap, sizeof *b->item_values);
    b->item_values[b->item_value_count++] = (RowValue){value, prop, (uint8_t)kind, (uint8_t)scale};
    b->items[b->item_count - 1].value_count++;
    note_prop(&b->item_props, prop);
}

static void copy_row(const RowBuffer *from, const Row *r, RowBuffer *to)
{
    rows_add(to, r->time_ms, r->person, r->event);
    for (uint32_t i = 0; i < r->value_count; i++) {
        const RowValue *v = &from->values[r->values_at + i];
        rows_value(to, v->prop, (PartKind)v->kind, v->scale, v->value);
    }
}

static void copy_items(const RowBuffer *from, const RowList *list, RowBuffer *to)
{
    rows_items(to, list->prop, list->count);
    for (uint32_t i = list->first; i < list->first + list->count; i++) {
        const RowItem *item = &from->items[i];
        rows_item(to);
        for (uint32_t k = 0; k < item->value_count; k++) {
            const RowValue *v = &from->item_values[item->values_at + k];
            rows_item_value(to, v->prop, (PartKind)v->kind, v->scale, v->value);
        }
    }
}

/* The first list of the row, or of a later one. */
static uint32_t first_list(const RowBuffer *b, uint32_t row)
{
    uint32_t low = 0, high = b->list_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (b->lists[middle].row < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void rows_copy_items(const RowBuffer *from, uint32_t row, RowBuffer *to)
{
    for (uint32_t i = first_list(from, row); i < from->list_count && from->lists[i].row == row; i++)
        copy_items(from, &from->lists[i], to);
}

/* The values and items of what was taken stay where they are, and count for nothing. */
void rows_take(RowBuffer *from, uint32_t person, RowBuffer *to)
{
    uint32_t kept = 0, kept_lists = 0;
    for (uint32_t i = 0, list = 0; i < from->count; i++) {
        const bool taken = from->rows[i].person == person;
        if (taken)
            copy_row(from, &from->rows[i], to);
        for (; list < from->list_count && from->lists[list].row == i; list++) {
            if (taken) {
                copy_items(from, &from->lists[list], to);
            } else {
                from->lists[kept_lists] = from->lists[list];
                from->lists[kept_lists++].row = kept;
            }
        }
        if (!taken)
            from->rows[kept++] = from->rows[i];
    }
    from->count = kept;
    from->list_count = kept_lists;
}

uint32_t rows_of_event(const RowBuffer *b, uint32_t event)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->count; i++)
        n += b->rows[i].event == event;
    return n;
}

uint64_t rows_cells(const RowBuffer *b)
{
    const uint32_t of_every_row = 2; /* milliseconds, and the event name in the rest */
    return (uint64_t)b->count * (b->props.count + of_every_row) +
           (uint64_t)b->item_count * (b->item_props.count + 1);
}

int64_t rows_week_ms(int64_t time_ms, int64_t origin_ms)
{
    const int64_t behind = time_ms - origin_ms;
    const int64_t within = behind % PART_WEEK_MS;
    return time_ms - (within < 0 ? within + PART_WEEK_MS : within);
}
