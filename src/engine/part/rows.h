/*
 * engine/part/rows.h -- events as rows, in the order in which they arrived, and the parts made of them.
 *
 * A row is an event whose names and texts are numbers already.  Values of a property have one kind
 * everywhere (the schema pins it); numbers may come with different scales.  What a row has several of are its
 * items: rows of their own, which have values only.
 * Owns: a RowBuffer its memory until rows_free().  Threads: one at a time.
 */
#pragma once

#include "engine/part/part_build.h"

#define ROWS_NUMBER_MAX (INT64_C(1) << 62) /* of a number's coefficient, either way */

typedef struct RowValue {
    int64_t value; /* dictionary code, or number */
    uint32_t prop;
    uint8_t kind; /* PartKind */
    uint8_t scale;
} RowValue;

typedef struct Row {
    int64_t time_ms;
    uint32_t person;
    uint32_t event;
    uint32_t values_at;
    uint32_t value_count;
} Row;

typedef struct RowItem {
    uint32_t values_at; /* of the items' values */
    uint32_t value_count;
} RowItem;

/* What one row has in one list property: items that stand behind each other. */
typedef struct RowList {
    uint32_t row;
    uint32_t prop;
    uint32_t first, count;
} RowList;

/* Properties: which, and how many. */
typedef struct RowProps {
    uint64_t *has; /* bits */
    uint32_t count, room;
} RowProps;

typedef struct RowBuffer {
    Row *rows;
    RowValue *values;
    uint32_t count, cap;
    uint32_t value_count, value_cap;
    RowProps props; /* that some row has */
    RowList *lists; /* by row */
    RowItem *items;
    RowValue *item_values;
    uint32_t list_count, list_cap;
    uint32_t item_count, item_cap;
    uint32_t item_value_count, item_value_cap;
    RowProps item_props; /* that some item has */
} RowBuffer;

void rows_free(RowBuffer *b);
void rows_clear(RowBuffer *b);

/* Adds a row; its values follow by rows_value(). */
void rows_add(RowBuffer *b, int64_t time_ms, uint32_t person, uint32_t event);
static inline void rows_value(RowBuffer *b, uint32_t prop, PartKind kind, int scale, int64_t value);

/* The last row has `count` items in `prop`; each follows by rows_item(), its values by rows_item_value(). */
void rows_list(RowBuffer *b, uint32_t prop, uint32_t count);

/* The same where `count` stands in the row's values already. */
void rows_items(RowBuffer *b, uint32_t prop, uint32_t count);
void rows_item(RowBuffer *b);
void rows_item_value(RowBuffer *b, uint32_t prop, PartKind kind, int scale, int64_t value);

/* Values of the parts made of it, with those that are missing, at most: a column is as long as its list. */
uint64_t rows_cells(const RowBuffer *b);

/* When the week of an instant begins; weeks are counted from `origin_ms`. */
int64_t rows_week_ms(int64_t time_ms, int64_t origin_ms);

/*
 * One part per week in memory, weeks ascending: *parts in ctx->arena, each with one reference.
 * [from_seq, to_seq) is what the rows are of the log.
 * Memory: the parts, whose columns have at most 8 bytes for each of rows_cells(); besides them 100 bytes per
 * row, 8 per item, 100 per column, 8 per event name and 1 MiB.
 */
MUST_USE Err rows_build(Ctx *ctx, const RowBuffer *b, int64_t origin_ms, uint64_t from_seq,
                        uint64_t to_seq, Part ***parts, uint32_t *count);

/* The items of row number `row` once more, as those of the last row of `to`, whose values say how many. */
void rows_copy_items(const RowBuffer *from, uint32_t row, RowBuffer *to);

/* How many rows are of this event name. */
uint32_t rows_of_event(const RowBuffer *b, uint32_t event);

/* Takes the rows of one person out of `from`, to the end of `to`; both keep their order. */
void rows_take(RowBuffer *from, uint32_t person, RowBuffer *to);

/* ---- inline: eight values a row ------------------------------------------------------------------ */

/* Room for more values; a property that no row had. */
void rows_grow_values(RowBuffer *b);
void rows_note_prop(RowProps *p, uint32_t prop);

static inline void rows_value(RowBuffer *b, uint32_t prop, PartKind kind, int scale, int64_t value)
{
    if (b->value_count == b->value_cap)
        rows_grow_values(b);
    b->values[b->value_count++] = (RowValue){value, prop, (uint8_t)kind, (uint8_t)scale};
    b->rows[b->count - 1].value_count++;
    if (prop >= b->props.room || (b->props.has[prop / 64] >> (prop & 63) & 1) == 0)
        rows_note_prop(&b->props, prop);
}
