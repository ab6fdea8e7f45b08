/*
 * engine/part/rows.c
 */
#include "engine/part/rows.h"

#include "engine/core/prop_index.h"
#include "engine/part/rows_sort.h"

#include <stdlib.h>

enum { ARENA_BYTES = 1 << 16 };

static int by_i64(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static bool is_in_week(int64_t time_ms, int64_t week_ms)
{
    return time_ms >= week_ms && time_ms - week_ms < PART_WEEK_MS;
}

/* When the weeks of the rows begin, ascending.  Rows mostly belong to the week of the row before. */
static uint32_t list_weeks(const RowBuffer *b, int64_t origin_ms, int64_t *weeks)
{
    uint32_t count = 0, distinct = 0;
    for (uint32_t i = 0; i < b->count; i++)
        if (count == 0 || !is_in_week(b->rows[i].time_ms, weeks[count - 1]))
            weeks[count++] = rows_week_ms(b->rows[i].time_ms, origin_ms);
    qsort(weeks, count, sizeof *weeks, by_i64);
    for (uint32_t i = 0; i < count; i++)
        if (i == 0 || weeks[i] != weeks[i - 1])
            weeks[distinct++] = weeks[i];
    return distinct;
}

static Ordered ordered(const RowBuffer *b, uint32_t row, int64_t week_ms)
{
    const Row *r = &b->rows[row];
    return (Ordered){(uint64_t)r->person << ROWS_MS_BITS | (uint64_t)(r->time_ms - week_ms), row,
                     r->event};
}

/* The place of a row's week; `near`: that of the row before. */
static uint32_t week_of(const Row *r, int64_t origin_ms, const int64_t *weeks, uint32_t count,
                        uint32_t near)
{
    if (is_in_week(r->time_ms, weeks[near]))
        return near;
    const int64_t start_ms = rows_week_ms(r->time_ms, origin_ms);
    const int64_t *at = bsearch(&start_ms, weeks, count, sizeof *weeks, by_i64);
    return (uint32_t)(at - weeks);
}

/* The rows by week, in the order of arrival within it; where each week begins, and the last one ends. */
static const uint32_t *group_by_week(Ctx *ctx, const RowBuffer *b, int64_t origin_ms,
                                     const int64_t *weeks, uint32_t count, Ordered *out)
{
    uint32_t *at = ARENA_ARRAY(ctx->arena, uint32_t, count + 1);
    uint32_t *to = ARENA_ARRAY(ctx->arena, uint32_t, count + 1);
    uint32_t week = 0;
    at[count] = b->count;
    for (uint32_t i = 0; count > 1 && i < b->count; i++) {
        week = week_of(&b->rows[i], origin_ms, weeks, count, week);
        to[week]++;
    }
    for (uint32_t w = 1; w < count; w++)
        at[w] = at[w - 1] + to[w - 1];
    memcpy(to, at, (count + 1) * sizeof *to);
    for (uint32_t i = 0; i < b->count; i++) {
        week = week_of(&b->rows[i], origin_ms, weeks, count, week);
        out[to[week]++] = ordered(b, i, weeks[week]);
    }
    return at;
}

/* ---- what the lists of one part hold ----------------------------------------------------------- */

typedef struct ColumnSeen {
    PartColumnPlan plan;
    uint32_t values;
} ColumnSeen;

/* Which items the rows of a list have. */
typedef struct ListItems {
    PropIndex index;
    uint32_t first, count; /* of all items; in order at the end */
} ListItems;

typedef struct ListSeen {
    uint32_t event;
    uint32_t rows;
    ColumnSeen *columns;
    uint32_t column_count, column_cap;
    PropIndex index;
    uint32_t hint; /* the column after the one found last of a row: rows of one event look alike */
    bool mixed;    /* a column has numbers of several scales */
    ListItems *items; /* NULL: none */
} ListSeen;

/* What the rows of one list have in one list property: a list of its own. */
typedef struct ItemsSeen {
    uint32_t of; /* which list */
    uint32_t prop;
    ListSeen rows;
    uint32_t row_list_count;   /* of the rows, that have an item */
    const RowList **row_lists; /* in the order of the rows */
} ItemsSeen;

typedef struct Seen {
    Arena *arena; /* of this part */
    const RowBuffer *b;
    Ordered *order;
    uint32_t n;
    uint8_t *in_list;    /* which list each has, in that order */
    const Row **by_list; /* the rows list by list, each in that order */
    int64_t week_ms;
    ListSeen *lists;
    uint32_t list_count;
    uint32_t *list_of; /* event -> list; of the whole buffer, as the next one */
    uint32_t *rows_of; /* event -> rows, all 0 between two parts */
    ItemsSeen *items;  /* by list, then property, at the end */
    uint32_t items_count, items_cap;
    const uint32_t *lists_at; /* row -> its first list of the buffer; NULL: the buffer has none */
} Seen;

static void grow_columns(Seen *s, ListSeen *l)
{
    const uint32_t cap = l->column_cap == 0 ? 16 : l->column_cap * 2;
    ColumnSeen *more = ARENA_ARRAY(s->arena, ColumnSeen, cap);
    if (l->column_count > 0)
        memcpy(more, l->columns, l->column_count * sizeof *more);
    l->columns = more;
    l->column_cap = cap;
}

static ColumnSeen *add_column(Seen *s, ListSeen *l, const RowValue *v)
{
    if (l->column_count == l->column_cap)
        grow_columns(s, l);
    ColumnSeen *c = &l->columns[l->column_count++];
    c->plan = (PartColumnPlan){
        .prop = v->prop, .kind = (PartKind)v->kind, .min = INT64_MAX, .max = INT64_MIN};
    return c;
}

static ColumnSeen *column_for(Seen *s, ListSeen *l, const RowValue *v)
{
    bool is_new = false;
    const uint32_t at = prop_index_add(&l->index, s->arena, v->prop, l->column_count, &is_new);
    l->hint = at + 1;
    return is_new ? add_column(s, l, v) : &l->columns[at];
}

static inline bool fits(int64_t value)
{
    return (uint64_t)value + (uint64_t)ROWS_NUMBER_MAX <= 2 * (uint64_t)ROWS_NUMBER_MAX;
}

/* The number at a larger scale; false when it does not fit. */
static bool rescale(int64_t value, int from, int to, int64_t *out)
{
    for (; from < to; from++)
        if (__builtin_mul_overflow(value, 10, &value))
            return false;
    *out = value;
    return fits(value);
}

/* The column behind the one found last, when the value is of it and at its scale: mostly it is. */
static inline bool is_of(const ColumnSeen *c, const ColumnSeen *end, const RowValue *v)
{
    return c < end && c->plan.prop == v->prop && c->plan.scale == v->scale && fits(v->value);
}

static inline void widen(ColumnSeen *c, int64_t value)
{
    c->values++;
    c->plan.min = value < c->plan.min ? value : c->plan.min;
    c->plan.max = value > c->plan.max ? value : c->plan.max;
}

static int64_t ms_of(const Seen *s, const Row *r)
{
    return (r->time_ms - s->week_ms) % 1000;
}

/* Every row has residual milliseconds and, in the list of the rest, its event: the first columns. */
static inline uint32_t own_columns(const ListSeen *l)
{
    return l->event == PART_REST ? 2 : 1;
}

static void add_own_columns(Seen *s, ListSeen *l)
{
    (void)column_for(s, l, &(RowValue){.prop = PROP_MS, .kind = PART_NUMBERS});
    if (own_columns(l) > 1)
        (void)column_for(s, l, &(RowValue){.prop = PROP_EVENT, .kind = PART_CODES});
}

/* Rows without values may have no array at all. */
static const RowValue *values_of(const Seen *s, const Row *r)
{
    return r->value_count == 0 ? NULL : s->b->values + r->values_at;
}

static void count_lists(Seen *s)
{
    uint32_t *events = (void *)arena_bytes(s->arena, s->n * sizeof *events);
    for (uint32_t i = 0; i < s->n; i++) {
        const uint32_t event = s->order[i].event;
        if (s->rows_of[event]++ == 0)
            events[s->list_count++] = event;
    }
    s->lists = ARENA_ARRAY(s->arena, ListSeen, s->list_count);
    for (uint32_t i = 0; i < s->list_count; i++) {
        s->lists[i].event = events[i];
        s->lists[i].rows = s->rows_of[events[i]];
        s->rows_of[events[i]] = 0;
    }
}

static int by_rows(const void *a, const void *b)
{
    const ListSeen *x = a, *y = b;
    if ((x->event == PART_PERSON) != (y->event == PART_PERSON)) /* never among the rest */
        return x->event == PART_PERSON ? -1 : 1;
    if (x->rows != y->rows)
        return x->rows < y->rows ? 1 : -1;
    return (x->event > y->event) - (x->event < y->event);
}

/* The most frequent first; the rarest share a list when there are too many. */
static void arrange_lists(Seen *s)
{
    qsort(s->lists, s->list_count, sizeof *s->lists, by_rows);
    const uint32_t own = s->list_count <= PART_LISTS_MAX ? s->list_count : PART_LISTS_MAX - 1;
    for (uint32_t i = 0; i < s->list_count; i++)
        s->list_of[s->lists[i].event] = i < own ? i : own;
    if (own == s->list_count)
        return;
    for (uint32_t i = own + 1; i < s->list_count; i++)
        s->lists[own].rows += s->lists[i].rows;
    s->lists[own].event = PART_REST;
    s->list_count = own + 1;
}

/* List by list, whatever block they are of: a list's columns are then made in one go, which takes half of the time
 * of many short pieces. */
static void sort_by_list(Seen *s)
{
    uint32_t to[PART_LISTS_MAX], sum = 0;
    s->in_list = (uint8_t *)arena_bytes(s->arena, s->n);
    s->by_list = (void *)arena_bytes(s->arena, s->n * sizeof *s->by_list);
    for (uint32_t l = 0; l < s->list_count; sum += s->lists[l++].rows)
        to[l] = sum;
    for (uint32_t i = 0; i < s->n; i++) {
        s->in_list[i] = (uint8_t)s->list_of[s->order[i].event];
        s->by_list[to[s->in_list[i]]++] = &s->b->rows[s->order[i].row];
    }
}

static void see_scale(ListSeen *l, ColumnSeen *c, uint8_t scale)
{
    l->mixed |= c->values > 0 || scale < c->plan.scale;
    c->plan.scale = scale > c->plan.scale ? scale : c->plan.scale;
}

static void see_value(Seen *s, ListSeen *l, const RowValue *v)
{
    ColumnSeen *c = column_for(s, l, v);
    int64_t value = 0;
    if (v->scale != c->plan.scale)
        see_scale(l, c, v->scale);
    if (rescale(v->value, v->scale, c->plan.scale, &value))
        widen(c, value);
}

static inline void see_values(Seen *s, ListSeen *l, const RowValue *values, uint32_t n)
{
    ColumnSeen *at = l->columns + l->hint, *end = l->columns + l->column_count;
    for (uint32_t i = 0; i < n; i++) {
        if (is_of(at, end, &values[i])) {
            widen(at++, values[i].value);
            continue;
        }
        see_value(s, l, &values[i]);
        at = l->columns + l->hint;
        end = l->columns + l->column_count;
    }
    l->hint = (uint32_t)(at - l->columns);
}

/* In the order of arrival, in which they stand in memory.  `again`: of those lists only that need a second look. */
static void see_rows(Seen *s, bool again)
{
    for (uint32_t i = 0; i < s->n; i++) {
        const Row *r = &s->b->rows[s->order[i].row];
        ListSeen *l = &s->lists[s->list_of[r->event]];
        if (again && !l->mixed)
            continue;
        l->hint = own_columns(l);
        widen(&l->columns[0], ms_of(s, r));
        if (l->hint > 1)
            widen(&l->columns[1], r->event);
        see_values(s, l, values_of(s, r), r->value_count);
    }
}

/* Only the scales are right so far. */
static void forget_values(ListSeen *l)
{
    for (uint32_t c = 0; c < l->column_count; c++) {
        l->columns[c].values = 0;
        l->columns[c].plan.min = INT64_MAX;
        l->columns[c].plan.max = INT64_MIN;
    }
}

static void set_nullable(ListSeen *l)
{
    for (uint32_t c = 0; c < l->column_count; c++)
        l->columns[c].plan.nullable = l->columns[c].values < l->rows;
}

/* Which columns, how wide.  Where scales differ, once more for the values at the largest. */
static void see_columns(Seen *s)
{
    bool mixed = false;
    for (uint32_t i = 0; i < s->list_count; i++)
        add_own_columns(s, &s->lists[i]);
    see_rows(s, false);
    for (uint32_t i = 0; i < s->list_count; i++) {
        if (s->lists[i].mixed)
            forget_values(&s->lists[i]);
        mixed |= s->lists[i].mixed;
    }
    if (mixed)
        see_rows(s, true);
    for (uint32_t i = 0; i < s->list_count; i++)
        set_nullable(&s->lists[i]);
}

/* ---- items ---------------------------------------------------------------------------------------- */

/* Which lists each row has: those of row r begin at [r]. */
static const uint32_t *find_lists(Ctx *ctx, const RowBuffer *b)
{
    if (b->list_count == 0)
        return NULL;
    uint32_t *at = ARENA_ARRAY(ctx->arena, uint32_t, (size_t)b->count + 1);
    for (uint32_t row = 0, list = 0; row <= b->count; row++) {
        at[row] = list;
        while (list < b->list_count && b->lists[list].row == row)
            list++;
    }
    return at;
}

static ItemsSeen *items_for(Seen *s, uint32_t list, uint32_t prop)
{
    bool is_new = false;
    ListSeen *l = &s->lists[list];
    if (l->items == NULL)
        l->items = ARENA_NEW(s->arena, ListItems);
    const uint32_t at = prop_index_add(&l->items->index, s->arena, prop, s->items_count, &is_new);
    if (!is_new)
        return &s->items[at];
    if (s->items_count == s->items_cap) {
        const uint32_t cap = s->items_cap == 0 ? 16 : s->items_cap * 2;
        ItemsSeen *more = ARENA_ARRAY(s->arena, ItemsSeen, cap);
        if (s->items_count > 0)
            memcpy(more, s->items, s->items_count * sizeof *more);
        s->items = more;
        s->items_cap = cap;
    }
    ItemsSeen *items = &s->items[s->items_count++];
    *items = (ItemsSeen){.of = list, .prop = prop};
    grow_columns(s, &items->rows);
    return items;
}

/* The lists of the part's rows that have an item, property by property: first how many, then which. */
static void gather_row_lists(Seen *s, bool count)
{
    const Row *const *rows = s->by_list;
    for (uint32_t l = 0; l < s->list_count; l++)
        for (const Row *const *end = rows + s->lists[l].rows; rows < end; rows++) {
            const uint32_t row = (uint32_t)(*rows - s->b->rows);
            for (uint32_t i = s->lists_at[row]; i < s->lists_at[row + 1]; i++) {
                const RowList *list = &s->b->lists[i];
                if (list->count == 0)
                    continue;
                ItemsSeen *items = items_for(s, l, list->prop);
                if (!count)
                    items->row_lists[items->row_list_count] = list;
                items->row_list_count++;
            }
        }
}

static void see_item_rows(Seen *s, ItemsSeen *items)
{
    const RowBuffer *b = s->b;
    ListSeen *l = &items->rows;
    for (uint32_t i = 0; i < items->row_list_count; i++)
        for (uint32_t k = 0; k < items->row_lists[i]->count; k++) {
            const RowItem *item = &b->items[items->row_lists[i]->first + k];
            l->hint = 0;
            see_values(s, l, b->item_values + item->values_at, item->value_count);
        }
}

static void see_items(Seen *s)
{
    if (s->lists_at == NULL)
        return;
    gather_row_lists(s, true);
    for (uint32_t i = 0; i < s->items_count; i++) {
        ItemsSeen *items = &s->items[i];
        items->row_lists = ARENA_ARRAY(s->arena, const RowList *, items->row_list_count);
        items->row_list_count = 0;
    }
    gather_row_lists(s, false);
    for (uint32_t i = 0; i < s->items_count; i++) {
        ItemsSeen *items = &s->items[i];
        for (uint32_t k = 0; k < items->row_list_count; k++)
            items->rows.rows += items->row_lists[k]->count;
        see_item_rows(s, items);
        if (items->rows.mixed) {
            forget_values(&items->rows);
            see_item_rows(s, items);
        }
        set_nullable(&items->rows);
    }
}

static int by_list(const void *a, const void *b)
{
    const ItemsSeen *x = a, *y = b;
    if (x->of != y->of)
        return x->of < y->of ? -1 : 1;
    return (x->prop > y->prop) - (x->prop < y->prop);
}

/* ---- columns -------------------------------------------------------------------------------------- */

static int by_prop(const void *a, const void *b)
{
    const ColumnSeen *x = a, *y = b;
    return (x->plan.prop > y->plan.prop) - (x->plan.prop < y->plan.prop);
}

/* Ascending, as parts promise; mostly they are already. */
static void sort_columns(const Seen *s, ListSeen *l)
{
    bool is_new = false;
    if (l->column_count > 0)
        qsort(l->columns, l->column_count, sizeof *l->columns, by_prop);
    l->index = (PropIndex){0};
    for (uint32_t c = 0; c < l->column_count; c++)
        (void)prop_index_add(&l->index, s->arena, l->columns[c].plan.prop, c, &is_new);
}

/* The items' index is not asked again. */
static void arrange_columns(Seen *s)
{
    for (uint32_t i = 0; i < s->list_count; i++)
        sort_columns(s, &s->lists[i]);
    for (uint32_t i = 0; i < s->items_count; i++)
        sort_columns(s, &s->items[i].rows);
    if (s->items_count > 0)
        qsort(s->items, s->items_count, sizeof *s->items, by_list);
}

/* ---- writing one part ------------------------------------------------------------------------- */

/* Values that wait between rows and columns: pieces of lists, however many columns they have.  Of ordinary rows,
 * what stays in the nearest cache. */
enum { PIECE_CELLS = 1 << 17, PIECE_ROWS = 512 };
_Static_assert((int)PIECE_CELLS >= (int)PART_COLUMNS_MAX, "one row at least");

typedef struct Writing {
    Seen *seen;
    PartBuilder *builder;
    uint32_t *keys; /* of a block, list by list */
    int64_t *cells; /* of a piece, column by column */
    uint64_t cell_room;
} Writing;

static void put_value(Seen *s, ListSeen *l, const RowValue *v, int64_t *cells, uint32_t stride)
{
    const ColumnSeen *c = column_for(s, l, v);
    int64_t value = 0;
    if (rescale(v->value, v->scale, c->plan.scale, &value))
        cells[(size_t)(c - l->columns) * stride] = value;
}

static inline void put_values(Seen *s, ListSeen *l, const RowValue *values, uint32_t n,
                              int64_t *cells, uint32_t stride)
{
    const ColumnSeen *at = l->columns + l->hint, *const end = l->columns + l->column_count;
    int64_t *cell = cells + (size_t)l->hint * stride;
    for (uint32_t i = 0; i < n; i++) {
        if (!is_of(at, end, &values[i])) {
            put_value(s, l, &values[i], cells, stride);
            at = l->columns + l->hint;
            cell = cells + (size_t)l->hint * stride;
            continue;
        }
        *cell = values[i].value;
        cell += stride;
        at++;
    }
    l->hint = (uint32_t)(at - l->columns);
}

/* What no row says is missing. */
static void clear_cells(const Writing *w, const ListSeen *l, uint32_t n)
{
    for (uint32_t c = 0; c < l->column_count; c++)
        for (uint32_t i = 0; l->columns[c].plan.nullable && i < n; i++)
            w->cells[(size_t)c * n + i] = PART_MISSING;
}

/* The values of a row that comes soon, which are anywhere. */
static inline void fetch_values(const Seen *s, const Row *r)
{
    const RowValue *const values = values_of(s, r);
    __builtin_prefetch(values);
    if (r->value_count > 4)
        __builtin_prefetch(values + 4);
}

static void write_piece(Writing *w, uint32_t list, const Row *const *rows, uint32_t n)
{
    enum { AHEAD = 12 };
    Seen *s = w->seen;
    ListSeen *l = &s->lists[list];
    clear_cells(w, l, n);
    for (uint32_t i = 0; i < n; i++) {
        if (i + AHEAD < n)
            fetch_values(s, rows[i + AHEAD]);
        l->hint = own_columns(l);
        w->cells[i] = ms_of(s, rows[i]);
        if (l->hint > 1)
            w->cells[n + i] = rows[i]->event;
        put_values(s, l, values_of(s, rows[i]), rows[i]->value_count, w->cells + i, n);
    }
    for (uint32_t c = 0; c < l->column_count; c++)
        part_builder_values(w->builder, list, c, w->cells + (size_t)c * n, n);
}

/* The columns of all rows of a list. */
static void write_list(Writing *w, uint32_t list, const Row *const *rows)
{
    const ListSeen *l = &w->seen->lists[list];
    const uint64_t fit = w->cell_room / l->column_count;
    const uint32_t piece = fit < PIECE_ROWS ? (uint32_t)fit : PIECE_ROWS;
    for (uint32_t done = 0; done < l->rows; done += piece)
        write_piece(w, list, rows + done, l->rows - done < piece ? l->rows - done : piece);
}

static void write_items_piece(Writing *w, uint32_t number, const RowItem *const *items, uint32_t n)
{
    Seen *s = w->seen;
    ListSeen *l = &s->items[number].rows;
    clear_cells(w, l, n);
    for (uint32_t i = 0; i < n; i++) {
        l->hint = 0;
        put_values(s, l, s->b->item_values + items[i]->values_at, items[i]->value_count,
                   w->cells + i, n);
    }
    for (uint32_t c = 0; c < l->column_count; c++)
        part_builder_values(w->builder, s->list_count + number, c, w->cells + (size_t)c * n, n);
}

/* The items of one property, in the order of their rows. */
static void write_items(Writing *w, uint32_t number)
{
    const ItemsSeen *of = &w->seen->items[number];
    const RowItem *items[PIECE_ROWS];
    uint32_t n = 0;
    if (of->rows.column_count == 0)
        return;
    const uint64_t fit = w->cell_room / of->rows.column_count;
    const uint32_t piece = fit < PIECE_ROWS ? (uint32_t)fit : PIECE_ROWS;
    for (uint32_t i = 0; i < of->row_list_count; i++)
        for (uint32_t k = 0; k < of->row_lists[i]->count; k++) {
            items[n++] = &w->seen->b->items[of->row_lists[i]->first + k];
            if (n < piece)
                continue;
            write_items_piece(w, number, items, n);
            n = 0;
        }
    write_items_piece(w, number, items, n);
}

static uint32_t key_in_block(uint64_t key)
{
    const uint32_t ms = (uint32_t)(key & ((UINT64_C(1) << ROWS_MS_BITS) - 1));
    return (uint32_t)(key >> ROWS_MS_BITS & (PART_BLOCK_PERSONS - 1)) << PART_SECOND_BITS |
           ms / 1000;
}

/* The sequence and the keys of one block, whose rows stand together: order[first] and on. */
static void write_block(Writing *w, uint32_t first, uint32_t n)
{
    const Seen *s = w->seen;
    const Ordered *rows = s->order + first;
    const uint8_t *lists = s->in_list + first;
    uint32_t from[PART_LISTS_MAX + 1] = {0}, to[PART_LISTS_MAX];
    for (uint32_t i = 0; i < n; i++)
        from[lists[i] + 1]++;
    for (uint32_t l = 0; l < s->list_count; l++) {
        from[l + 1] += from[l];
        to[l] = from[l];
    }
    for (uint32_t i = 0; i < n; i++)
        w->keys[to[lists[i]]++] = key_in_block(rows[i].key);
    part_builder_block(w->builder, (uint32_t)(rows[0].key >> (ROWS_MS_BITS + PART_BLOCK_BITS)),
                       lists, n);
    for (uint32_t l = 0; l < s->list_count; l++)
        if (from[l + 1] > from[l])
            part_builder_keys(w->builder, l, w->keys + from[l], from[l + 1] - from[l]);
}

static uint64_t cells_wanted(const Seen *s)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < s->list_count; i++) {
        const uint64_t cells = (uint64_t)s->lists[i].rows * s->lists[i].column_count;
        most = cells > most ? cells : most;
    }
    for (uint32_t i = 0; i < s->items_count; i++) {
        const ListSeen *l = &s->items[i].rows;
        const uint64_t cells = (uint64_t)l->rows * l->column_count;
        most = cells > most ? cells : most;
    }
    return most < PIECE_CELLS ? most : PIECE_CELLS;
}

static void write_rows(Seen *s, PartBuilder *b)
{
    Writing w = {.seen = s, .builder = b, .cell_room = cells_wanted(s)};
    w.keys = (void *)arena_bytes(s->arena, s->n * sizeof *w.keys);
    w.cells = (void *)arena_bytes(s->arena, w.cell_room * sizeof *w.cells);
    for (uint32_t first = 0, end = 0; first < s->n; first = end) {
        const uint64_t block = s->order[first].key >> (ROWS_MS_BITS + PART_BLOCK_BITS);
        while (end < s->n && s->order[end].key >> (ROWS_MS_BITS + PART_BLOCK_BITS) == block)
            end++;
        write_block(&w, first, end - first);
    }
    const Row *const *rows = s->by_list;
    for (uint32_t l = 0; l < s->list_count; rows += s->lists[l++].rows)
        write_list(&w, l, rows);
    for (uint32_t i = 0; i < s->items_count; i++)
        write_items(&w, i);
}

static const PartColumnPlan *plan_columns(const Seen *s, const ListSeen *l)
{
    PartColumnPlan *columns = ARENA_ARRAY(s->arena, PartColumnPlan, (size_t)l->column_count + 1);
    for (uint32_t c = 0; c < l->column_count; c++)
        columns[c] = l->columns[c].plan;
    return columns;
}

static void plan_lists(const Seen *s, PartPlan *plan)
{
    PartListPlan *lists = ARENA_ARRAY(s->arena, PartListPlan, s->list_count);
    PartItemsPlan *items = ARENA_ARRAY(s->arena, PartItemsPlan, (size_t)s->items_count + 1);
    for (uint32_t i = 0; i < s->list_count; i++) {
        const ListSeen *l = &s->lists[i];
        lists[i] = (PartListPlan){l->event, plan_columns(s, l), l->column_count};
    }
    for (uint32_t i = 0; i < s->items_count; i++) {
        const ItemsSeen *x = &s->items[i];
        items[i] = (PartItemsPlan){x->of, x->prop, plan_columns(s, &x->rows), x->rows.column_count};
    }
    plan->lists = lists;
    plan->list_count = s->list_count;
    plan->items = items;
    plan->items_count = s->items_count;
}

/* The rows come in the order of arrival; `scratch` has room for them. */
static Err build_week(Ctx *ctx, Seen *s, const PartPlan *of, Ordered *scratch, Part **out)
{
    count_lists(s);
    arrange_lists(s);
    see_columns(s);
    rows_sort(s->order, scratch, s->n);
    sort_by_list(s);
    see_items(s);
    arrange_columns(s);
    PartPlan plan = *of;
    plan_lists(s, &plan);
    PartBuilder *builder = part_builder_new(&plan);
    write_rows(s, builder);
    Str bytes = {0};
    const Err err = part_builder_finish_heap(ctx, builder, &bytes);
    part_builder_free(builder);
    return err != ERR_OK ? err : part_open(ctx, bytes, false, 0, out);
}

static uint32_t event_max(const RowBuffer *b)
{
    uint32_t max = 0;
    for (uint32_t i = 0; i < b->count; i++)
        max = b->rows[i].event > max ? b->rows[i].event : max;
    return max;
}

Err rows_build(Ctx *ctx, const RowBuffer *b, int64_t origin_ms, uint64_t from_seq, uint64_t to_seq,
               Part ***parts, uint32_t *count)
{
    Ordered *scratch = (void *)arena_bytes(ctx->arena, b->count * sizeof *scratch);
    Ordered *by_week = (void *)arena_bytes(ctx->arena, b->count * sizeof *by_week);
    int64_t *weeks = (void *)arena_bytes(ctx->arena, b->count * sizeof *weeks);
    const uint32_t week_count = list_weeks(b, origin_ms, weeks);
    const uint32_t *at = group_by_week(ctx, b, origin_ms, weeks, week_count, by_week);
    Part **const made = ARENA_ARRAY(ctx->arena, Part *, week_count);
    Seen s = {.b = b, .arena = arena_new(ARENA_BYTES)};
    uint32_t *list_of = ARENA_ARRAY(ctx->arena, uint32_t, event_max(b) + 1);
    uint32_t *rows_of = ARENA_ARRAY(ctx->arena, uint32_t, event_max(b) + 1);
    const uint32_t *lists_at = find_lists(ctx, b);
    Err err = ERR_OK;
    uint32_t w = 0;
    for (; w < week_count && err == ERR_OK; w++) {
        s = (Seen){.arena = s.arena, .b = b, .week_ms = weeks[w], .list_of = list_of};
        s.rows_of = rows_of;
        s.lists_at = lists_at;
        s.order = by_week + at[w];
        s.n = at[w + 1] - at[w];
        const PartPlan plan = {.week_ms = weeks[w], .from_seq = from_seq, .to_seq = to_seq};
        err = build_week(ctx, &s, &plan, scratch, &made[w]);
        arena_reset(s.arena);
    }
    arena_free(s.arena);
    for (; err != ERR_OK && w > 0; w--)
        part_unref(made[w - 1]); /* the last one is NULL */
    if (err != ERR_OK)
        return err;
    *parts = made;
    *count = week_count;
    return ERR_OK;
}
