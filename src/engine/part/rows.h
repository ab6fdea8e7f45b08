/*
 * engine/part/rows.h -- events as they arrive, in growing columns, and the parts made of them.
 *
 * A row is an event whose names and texts are numbers already.  Its values go straight to the columns of its event
 * name: what is sorted later are rows' places, and a value is moved once, to its part.  Values of a property have one
 * kind everywhere (the schema pins it); numbers may come with different scales.  What a row has several of are its
 * items: rows of a table of their own, which have values only.
 * Memory: 24 bytes per row; 8 per value, as many as RowBuffer.room says: a column takes as much for rows without one, at
 * most half of it is not used yet, and nothing is given back before rows_clear(); 150 per column.  What was cleared
 * keeps 8 MiB for what comes next.
 * Owns: a RowBuffer its memory until rows_free().  Threads: one at a time.
 */
#pragma once

#include "engine/core/prop_index.h"
#include "engine/part/part_build.h"

#define ROWS_NUMBER_MAX (INT64_C(1) << 62) /* of a number's coefficient, either way */

typedef struct RowTable RowTable;

/* Values of one property, by place in their table; those behind `count` are missing. */
typedef struct RowColumn {
    int64_t *values; /* dictionary codes, or numbers at the column's scale; PART_MISSING */
    uint32_t count, cap;
    uint32_t prop;
    uint8_t kind; /* PartKind */
    uint8_t scale;
    bool mixed;       /* some came with another scale */
    RowTable *items;  /* of a list property that had items; its values say how many each row has */
    uint32_t *starts; /* by place: of its items */
    uint32_t start_count, start_cap;
} RowColumn;

/* The events of one name, or what they have in one list property. */
struct RowTable {
    uint32_t number; /* of all tables */
    uint32_t event;
    uint32_t rows;
    uint32_t
        hint; /* the column after the one that the last row had last: rows of one event look alike */
    RowColumn *columns;
    uint32_t column_count, column_cap;
    PropIndex index;
};

typedef struct Row {
    int64_t time_ms;
    uint32_t person;
    uint32_t table;
    uint32_t at; /* its place there */
} Row;

/* Properties: which, and how many. */
typedef struct RowProps {
    uint64_t *has; /* bits */
    uint32_t count, room;
} RowProps;

typedef struct RowBuffer {
    Row *rows;
    uint32_t count, cap;
    RowTable **tables; /* of events, and of items */
    uint32_t table_count, table_cap;
    RowTable **of_event; /* by event name; NULL: none came */
    uint32_t event_room;
    RowTable *last, *last_items; /* of the last row, and of its last list */
    RowProps props;              /* that some row has */
    RowProps item_props;         /* that some item has */
    uint64_t item_count;
    uint64_t cells,
        room;     /* values with those that are missing before them; for which there is memory */
    Arena *small; /* tables, their columns' heads and indexes */
} RowBuffer;

void rows_free(RowBuffer *b);
void rows_clear(RowBuffer *b);

/* Adds a row; its values follow by rows_value(), one per property at most. */
static inline void rows_add(RowBuffer *b, int64_t time_ms, uint32_t person, uint32_t event);
static inline void rows_value(RowBuffer *b, uint32_t prop, PartKind kind, int scale, int64_t value);

/* The last row has `count` items in `prop`; each follows by rows_item(), its values by rows_item_value(). */
void rows_list(RowBuffer *b, uint32_t prop, uint32_t count);

/* The same where `count` stands in the row's values already. */
void rows_items(RowBuffer *b, uint32_t prop);
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

/* The number at another scale, of a smaller one at which it is whole; PART_MISSING when it does not fit. */
int64_t rows_rescaled(int64_t value, int from, int to);

/* What row number `row` has of a property; PART_MISSING = nothing. */
int64_t rows_get(const RowBuffer *b, uint32_t row, uint32_t prop);

/* The values of row number `row` but that of property `but` (PROP_NONE: all), and its items, once more as those of the last
 * row of `to`. */
void rows_copy_values(const RowBuffer *from, uint32_t row, uint32_t but, RowBuffer *to);

/* How many rows are of this event name. */
uint32_t rows_of_event(const RowBuffer *b, uint32_t event);

/* Takes the rows of one person out of `from`, to the end of `to`; both keep their order. */
void rows_take(RowBuffer *from, uint32_t person, RowBuffer *to);

/* ---- inline: eight values a row ------------------------------------------------------------------ */

/* Room for a row; the table of an event name that may have none yet. */
void rows_grow(RowBuffer *b);
RowTable *rows_table(RowBuffer *b, uint32_t event);

static inline void rows_add(RowBuffer *b, int64_t time_ms, uint32_t person, uint32_t event)
{
    if (b->count == b->cap)
        rows_grow(b);
    RowTable *t = event < b->event_room ? b->of_event[event] : NULL;
    if (t == NULL)
        t = rows_table(b, event);
    t->hint = 0;
    b->last = t;
    b->rows[b->count++] = (Row){time_ms, person, t->number, t->rows++};
}

static inline bool rows_number_fits(int64_t value)
{
    return (uint64_t)value + (uint64_t)ROWS_NUMBER_MAX <= 2 * (uint64_t)ROWS_NUMBER_MAX;
}

/* Where the value does not simply go behind that of the row before, in the column that is next. */
void rows_put(RowBuffer *b, RowTable *t, RowProps *props, const RowColumn *value, int64_t number);

/* Slices are larger than the caches: where a column goes on comes near before it is written. */
enum { PREFETCH_VALUES = 8 };

static inline void rows_put_next(RowBuffer *b, RowTable *t, RowProps *props, uint32_t prop,
                                 PartKind kind, int scale, int64_t value)
{
    RowColumn *c = t->hint < t->column_count ? &t->columns[t->hint] : NULL;
    if (c == NULL || c->prop != prop || c->scale != scale || c->count + 1 != t->rows ||
        c->count == c->cap || !rows_number_fits(value)) {
        const RowColumn of = {.prop = prop, .kind = (uint8_t)kind, .scale = (uint8_t)scale};
        rows_put(b, t, props, &of, value);
        return;
    }
    __builtin_prefetch(c->values + c->count + PREFETCH_VALUES, 1);
    c->values[c->count++] = value;
    t->hint++;
}

static inline void rows_value(RowBuffer *b, uint32_t prop, PartKind kind, int scale, int64_t value)
{
    rows_put_next(b, b->last, &b->props, prop, kind, scale, value);
}
