/*
 * engine/part/rows_buffer.c -- rows as they arrive.
 */
#include "engine/part/rows.h"

#include <stdlib.h>

enum {
    SMALL_BYTES = 1 << 14,
    FIRST_VALUES = 16,
    KEPT_CELLS = 1 << 20, /* from one slice to the next: 8 MiB */
    KEPT_TABLES = 4096,
    NO_SCALE = 255, /* of a column that was cleared: its first value is looked at */
};

/* ---- memory --------------------------------------------------------------------------------------- */

static void free_table(RowTable *t)
{
    for (uint32_t c = 0; c < t->column_count; c++) {
        free(t->columns[c].values);
        free(t->columns[c].starts);
    }
}

void rows_free(RowBuffer *b)
{
    for (uint32_t i = 0; i < b->table_count; i++)
        free_table(b->tables[i]);
    free(b->rows);
    free(b->tables);
    free(b->of_event);
    free(b->props.has);
    free(b->item_props.has);
    arena_free(b->small);
    *b = (RowBuffer){0};
}

static void forget_props(RowProps *p)
{
    p->count = 0;
    if (p->room > 0)
        memset(p->has, 0, p->room / 8);
}

/* Its columns stay, for events of the same name. */
static void clear_table(RowTable *t)
{
    t->rows = 0;
    for (uint32_t c = 0; c < t->column_count; c++) {
        t->columns[c].count = t->columns[c].start_count = 0;
        t->columns[c].scale = NO_SCALE;
        t->columns[c].mixed = false;
    }
}

void rows_clear(RowBuffer *b)
{
    if (b->room > KEPT_CELLS || b->table_count > KEPT_TABLES) {
        rows_free(b);
        return;
    }
    for (uint32_t i = 0; i < b->table_count; i++)
        clear_table(b->tables[i]);
    b->count = 0;
    b->item_count = 0;
    b->last = b->last_items = NULL;
    forget_props(&b->props);
    forget_props(&b->item_props);
}

static void *grown(void *array, uint32_t *cap, uint32_t first, size_t size)
{
    *cap = *cap == 0 ? first : *cap * 2;
    array = realloc(array, (size_t)*cap * size);
    CHECK(array != NULL);
    return array;
}

/* ---- tables and columns --------------------------------------------------------------------------- */

static RowTable *new_table(RowBuffer *b, uint32_t event)
{
    if (b->small == NULL)
        b->small = arena_new(SMALL_BYTES);
    if (b->table_count == b->table_cap)
        b->tables = grown(b->tables, &b->table_cap, 64, sizeof(RowTable *));
    RowTable *t = ARENA_NEW(b->small, RowTable);
    t->number = b->table_count;
    t->event = event;
    b->tables[b->table_count++] = t;
    return t;
}

RowTable *rows_table(RowBuffer *b, uint32_t event)
{
    if (event >= b->event_room) {
        const uint32_t room = event * 2 + 64;
        b->of_event = realloc(b->of_event, room * sizeof(RowTable *));
        CHECK(b->of_event != NULL);
        memset(b->of_event + b->event_room, 0, (room - b->event_room) * sizeof(RowTable *));
        b->event_room = room;
    }
    if (b->of_event[event] == NULL)
        b->of_event[event] = new_table(b, event);
    return b->of_event[event];
}

static void grow_columns(RowBuffer *b, RowTable *t)
{
    t->column_cap = t->column_cap == 0 ? 16 : t->column_cap * 2;
    RowColumn *more = ARENA_ARRAY(b->small, RowColumn, t->column_cap);
    if (t->column_count > 0)
        memcpy(more, t->columns, t->column_count * sizeof *more);
    t->columns = more;
}

/* The column of the property: mostly one without which the last row was is passed over. */
static RowColumn *column_for(RowBuffer *b, RowTable *t, const RowColumn *of)
{
    for (uint32_t i = t->hint; i < t->column_count && i < t->hint + 2; i++)
        if (t->columns[i].prop == of->prop)
            return &t->columns[i];
    bool is_new = false;
    const uint32_t at = prop_index_add(&t->index, b->small, of->prop, t->column_count, &is_new);
    if (!is_new)
        return &t->columns[at];
    if (t->column_count == t->column_cap)
        grow_columns(b, t);
    t->columns[t->column_count] = *of;
    return &t->columns[t->column_count++];
}

static const RowColumn *find_column(const RowTable *t, uint32_t prop)
{
    const uint32_t at = prop_index_find(&t->index, prop);
    return at == PROP_INDEX_NONE ? NULL : &t->columns[at];
}

/* ---- values --------------------------------------------------------------------------------------- */

static void make_props_room(RowProps *p, uint32_t prop)
{
    const uint32_t room = (prop / 1024 + 1) * 1024;
    p->has = realloc(p->has, room / 8);
    CHECK(p->has != NULL);
    memset(p->has + p->room / 64, 0, (room - p->room) / 8);
    p->room = room;
}

static void note_prop(RowProps *p, uint32_t prop)
{
    if (prop >= p->room)
        make_props_room(p, prop);
    const uint64_t bit = UINT64_C(1) << (prop & 63);
    p->count += (p->has[prop / 64] & bit) == 0;
    p->has[prop / 64] |= bit;
}

int64_t rows_rescaled(int64_t value, int from, int to)
{
    if (value == PART_MISSING || !rows_number_fits(value))
        return PART_MISSING;
    for (; from > to; from--)
        value /= 10;
    for (; from < to; from++)
        if (__builtin_mul_overflow(value, 10, &value))
            return PART_MISSING;
    return rows_number_fits(value) ? value : PART_MISSING;
}

/* Values of several scales have the largest. */
static int64_t at_one_scale(RowColumn *c, uint8_t scale, int64_t value)
{
    if (c->count == 0)
        c->scale = scale;
    c->mixed |= scale != c->scale;
    for (uint32_t i = 0; scale > c->scale && i < c->count; i++)
        c->values[i] = rows_rescaled(c->values[i], c->scale, scale);
    c->scale = scale > c->scale ? scale : c->scale;
    return rows_rescaled(value, scale, c->scale);
}

/* Room for the value at place `at`; what is before it is there, or missing. */
static void reach(RowBuffer *b, RowColumn *c, uint32_t at)
{
    for (uint32_t cap = c->cap; at >= c->cap; cap = c->cap) {
        c->values = grown(c->values, &c->cap, FIRST_VALUES, sizeof *c->values);
        b->room += c->cap - cap;
    }
    if (at < c->count)
        return;
    while (c->count < at)
        c->values[c->count++] = PART_MISSING;
    c->count = at + 1;
}

void rows_put(RowBuffer *b, RowTable *t, RowProps *props, const RowColumn *of, int64_t number)
{
    RowColumn *c = column_for(b, t, of);
    t->hint = (uint32_t)(c - t->columns) + 1;
    if (c->count == 0) {
        c->kind = of->kind;
        note_prop(props, of->prop);
    }
    const int64_t value = at_one_scale(c, of->scale, number);
    reach(b, c, t->rows - 1);
    c->values[t->rows - 1] = value;
}

/* ---- rows ------------------------------------------------------------------------------------------ */

void rows_grow(RowBuffer *b)
{
    b->rows = grown(b->rows, &b->cap, 1024, sizeof *b->rows);
}

void rows_list(RowBuffer *b, uint32_t prop, uint32_t count)
{
    rows_value(b, prop, PART_NUMBERS, 0, count);
    rows_items(b, prop);
}

void rows_items(RowBuffer *b, uint32_t prop)
{
    const RowColumn of = {.prop = prop, .kind = PART_NUMBERS};
    RowColumn *c = column_for(b, b->last, &of);
    if (c->items == NULL)
        c->items = new_table(b, b->last->event);
    const uint32_t at = b->last->rows - 1;
    while (at >= c->start_cap)
        c->starts = grown(c->starts, &c->start_cap, FIRST_VALUES, sizeof *c->starts);
    while (c->start_count <= at)
        c->starts[c->start_count++] = c->items->rows;
    b->last_items = c->items;
}

void rows_item(RowBuffer *b)
{
    b->last_items->rows++;
    b->last_items->hint = 0;
    b->item_count++;
}

void rows_item_value(RowBuffer *b, uint32_t prop, PartKind kind, int scale, int64_t value)
{
    rows_put_next(b, b->last_items, &b->item_props, prop, kind, scale, value);
}

/* ---- once more ------------------------------------------------------------------------------------- */

static int64_t value_at(const RowColumn *c, uint32_t at)
{
    return at < c->count ? c->values[at] : PART_MISSING;
}

int64_t rows_get(const RowBuffer *b, uint32_t row, uint32_t prop)
{
    const RowColumn *c = find_column(b->tables[b->rows[row].table], prop);
    return c == NULL ? PART_MISSING : value_at(c, b->rows[row].at);
}

static void copy_items(const RowColumn *c, uint32_t at, RowBuffer *to)
{
    const RowTable *items = c->items;
    const uint32_t first = c->starts[at];
    rows_items(to, c->prop);
    for (uint32_t item = first; item < first + (uint32_t)c->values[at]; item++) {
        rows_item(to);
        for (uint32_t i = 0; i < items->column_count; i++) {
            const RowColumn *field = &items->columns[i];
            const int64_t value = value_at(field, item);
            if (value != PART_MISSING)
                rows_item_value(to, field->prop, (PartKind)field->kind, field->scale, value);
        }
    }
}

void rows_copy_values(const RowBuffer *from, uint32_t row, uint32_t but, RowBuffer *to)
{
    const RowTable *t = from->tables[from->rows[row].table];
    const uint32_t at = from->rows[row].at;
    for (uint32_t i = 0; i < t->column_count; i++) {
        const RowColumn *c = &t->columns[i];
        const int64_t value = value_at(c, at);
        if (value == PART_MISSING || c->prop == but)
            continue;
        rows_value(to, c->prop, (PartKind)c->kind, c->scale, value);
        if (c->items != NULL && at < c->start_count && value > 0)
            copy_items(c, at, to);
    }
}

/* What was taken leaves its values where they are, and they count for nothing. */
void rows_take(RowBuffer *from, uint32_t person, RowBuffer *to)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < from->count; i++) {
        const Row *r = &from->rows[i];
        if (r->person != person) {
            from->rows[kept++] = *r;
            continue;
        }
        rows_add(to, r->time_ms, person, from->tables[r->table]->event);
        rows_copy_values(from, i, PROP_NONE, to);
    }
    from->count = kept;
}

uint32_t rows_of_event(const RowBuffer *b, uint32_t event)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->count; i++)
        n += b->tables[b->rows[i].table]->event == event;
    return n;
}

uint64_t rows_cells(const RowBuffer *b)
{
    const uint32_t of_every_row = 2; /* milliseconds, and the event name in the rest */
    return (uint64_t)b->count * (b->props.count + of_every_row) +
           b->item_count * (b->item_props.count + 1);
}

int64_t rows_week_ms(int64_t time_ms, int64_t origin_ms)
{
    const int64_t behind = time_ms - origin_ms;
    const int64_t within = behind % PART_WEEK_MS;
    return time_ms - (within < 0 ? within + PART_WEEK_MS : within);
}
