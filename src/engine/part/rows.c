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
    return (Ordered){(uint64_t)r->person << ROWS_MS_BITS | (uint64_t)(r->time_ms - week_ms),
                     r->table, r->at};
}

static uint32_t find_week(int64_t time_ms, int64_t origin_ms, const int64_t *weeks, uint32_t count)
{
    const int64_t start_ms = rows_week_ms(time_ms, origin_ms);
    const int64_t *at = bsearch(&start_ms, weeks, count, sizeof *weeks, by_i64);
    return (uint32_t)(at - weeks);
}

/* The place of a row's week; `near`: that of the row before. */
static inline uint32_t week_of(const Row *r, int64_t origin_ms, const int64_t *weeks,
                               uint32_t count, uint32_t near)
{
    return is_in_week(r->time_ms, weeks[near]) ? near
                                               : find_week(r->time_ms, origin_ms, weeks, count);
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

/* Where a row's values are. */
typedef struct RowPlace {
    uint32_t table, at;
} RowPlace;

typedef struct ColumnSeen {
    PartColumnPlan plan;
    uint32_t values;
    bool has_items; /* some row had, of this part or another one */
} ColumnSeen;

typedef struct ListSeen {
    uint32_t event;
    uint32_t rows;
    const RowPlace *places; /* of its rows, in their order */
    ColumnSeen *columns;
    uint32_t column_count, column_cap;
    PropIndex index;
    bool mixed; /* a column has numbers of several scales */
} ListSeen;

/* What the rows of one list have in one list property: a list of its own. */
typedef struct ItemsSeen {
    uint32_t of; /* which list */
    uint32_t prop;
    ListSeen rows;
} ItemsSeen;

typedef struct Seen {
    Arena *arena; /* of this part */
    const RowBuffer *b;
    Ordered *order;
    uint32_t n;
    uint8_t *in_list; /* which list each has, in that order */
    uint16_t *ms;     /* the rows' milliseconds, list by list, each in that order */
    ListSeen *lists;
    uint32_t list_count;
    uint32_t *list_of; /* table -> list; of the whole buffer, as the next one */
    uint32_t *rows_of; /* table -> rows, all 0 between two parts */
    ItemsSeen *items;  /* by list, then property */
    uint32_t items_count;
    int64_t *cells; /* room for PIECE_ROWS */
} Seen;

/* Values that wait between rows and columns: pieces of lists, however many columns they have.  Of ordinary rows,
 * what stays in the nearest cache. */
enum { PIECE_CELLS = 1 << 17, PIECE_ROWS = 512 };
_Static_assert((int)PIECE_CELLS >= (int)PART_COLUMNS_MAX, "one row at least");

static void grow_columns(Seen *s, ListSeen *l)
{
    const uint32_t cap = l->column_cap == 0 ? 16 : l->column_cap * 2;
    ColumnSeen *more = ARENA_ARRAY(s->arena, ColumnSeen, cap);
    if (l->column_count > 0)
        memcpy(more, l->columns, l->column_count * sizeof *more);
    l->columns = more;
    l->column_cap = cap;
}

static ColumnSeen *column_for(Seen *s, ListSeen *l, uint32_t prop, PartKind kind)
{
    bool is_new = false;
    const uint32_t at = prop_index_add(&l->index, s->arena, prop, l->column_count, &is_new);
    if (!is_new)
        return &l->columns[at];
    if (l->column_count == l->column_cap)
        grow_columns(s, l);
    ColumnSeen *c = &l->columns[l->column_count++];
    *c = (ColumnSeen){.plan = {.prop = prop, .kind = kind, .min = INT64_MAX, .max = INT64_MIN}};
    return c;
}

static void count_lists(Seen *s)
{
    uint32_t *tables = (void *)arena_bytes(s->arena, s->n * sizeof *tables);
    for (uint32_t i = 0; i < s->n; i++) {
        const uint32_t table = s->order[i].table;
        if (s->rows_of[table]++ == 0)
            tables[s->list_count++] = table;
    }
    s->lists = ARENA_ARRAY(s->arena, ListSeen, s->list_count);
    for (uint32_t i = 0; i < s->list_count; i++) {
        s->lists[i].event = s->b->tables[tables[i]]->event;
        s->lists[i].rows = s->rows_of[tables[i]];
        s->rows_of[tables[i]] = 0;
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
        s->list_of[s->b->of_event[s->lists[i].event]->number] = i < own ? i : own;
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
    RowPlace *places = (void *)arena_bytes(s->arena, s->n * sizeof *places);
    s->in_list = (uint8_t *)arena_bytes(s->arena, s->n);
    s->ms = (void *)arena_bytes(s->arena, s->n * sizeof *s->ms);
    for (uint32_t l = 0; l < s->list_count; sum += s->lists[l++].rows) {
        to[l] = sum;
        s->lists[l].places = places + sum;
    }
    for (uint32_t i = 0; i < s->n; i++) {
        const Ordered *o = &s->order[i];
        const uint32_t list = s->list_of[o->table], at = to[list]++;
        s->in_list[i] = (uint8_t)list;
        places[at] = (RowPlace){o->table, o->at};
        s->ms[at] = (uint16_t)((o->key & ((UINT64_C(1) << ROWS_MS_BITS) - 1)) % 1000);
    }
}

/* ---- values of a column -------------------------------------------------------------------------- */

/* Rows of one table: those of a list, but of the rest, all are. */
static uint32_t run_of(const RowPlace *places, uint32_t n)
{
    uint32_t run = 1;
    while (run < n && places[run].table == places[0].table)
        run++;
    return run;
}

static void to_scale(int64_t *cells, uint32_t n, int from, int to)
{
    for (uint32_t i = 0; i < n; i++)
        cells[i] = rows_rescaled(cells[i], from, to);
}

/* At a scale that all of them have. */
static void gather(const RowColumn *c, const RowPlace *places, uint32_t n, int scale,
                   int64_t *cells)
{
    for (uint32_t i = 0; i < n; i++)
        cells[i] = places[i].at < c->count ? c->values[places[i].at] : PART_MISSING;
    if (c->kind == PART_NUMBERS && c->scale != scale)
        to_scale(cells, n, c->scale, scale);
}

/* The smallest one that leaves the numbers what they are: some rows, of another week or person, may have needed more. */
static uint8_t least_scale(const int64_t *cells, uint32_t n, uint8_t scale)
{
    uint8_t least = 0;
    for (uint32_t i = 0; i < n && least < scale; i++) {
        int64_t value = cells[i];
        uint8_t left = cells[i] == PART_MISSING || value == 0 ? 0 : scale;
        while (left > least && value % 10 == 0) {
            value /= 10;
            left--;
        }
        least = left > least ? left : least;
    }
    return least;
}

/* Gives how many values there are. */
static uint32_t widen(ColumnSeen *c, const int64_t *cells, uint32_t n)
{
    int64_t min = c->plan.min, max = c->plan.max;
    uint32_t missing = 0;
    for (uint32_t i = 0; i < n; i++) {
        const bool is_none = cells[i] == PART_MISSING;
        missing += is_none;
        max = cells[i] > max ? cells[i] : max; /* a missing one is below all */
        min = cells[i] < min && !is_none ? cells[i] : min;
    }
    c->plan.min = min;
    c->plan.max = max;
    return n - missing;
}

/* Where the column's numbers so far are of another scale, all are looked at once more, at the largest. */
static void see_scale(ListSeen *l, ColumnSeen *seen, const RowColumn *c, const int64_t *cells,
                      uint32_t n, bool first)
{
    const uint8_t scale = c->mixed ? least_scale(cells, n, c->scale) : c->scale;
    l->mixed |=
        scale != c->scale || scale < seen->plan.scale || (scale > seen->plan.scale && !first);
    seen->plan.scale = scale > seen->plan.scale ? scale : seen->plan.scale;
}

static ColumnSeen *see_column(Seen *s, ListSeen *l, const RowColumn *c)
{
    ColumnSeen *seen = column_for(s, l, c->prop, (PartKind)c->kind);
    seen->has_items |= c->items != NULL && c->start_count > 0;
    return seen;
}

static void see_cells(ListSeen *l, ColumnSeen *seen, const RowColumn *c, const int64_t *cells,
                      uint32_t n, bool again)
{
    const uint32_t values = widen(seen, cells, n);
    seen->values += values;
    if (!again && values > 0)
        see_scale(l, seen, c, cells, n, seen->values == values);
}

/* All values of a table: their order says nothing here. */
static void see_table(Seen *s, ListSeen *l, const RowTable *t)
{
    for (uint32_t i = 0; i < t->column_count; i++) {
        const RowColumn *c = &t->columns[i];
        if (c->count > 0)
            see_cells(l, see_column(s, l, c), c, c->values, c->count, false);
    }
}

/* The values of rows of one table.  `again`: the scales are known. */
static void see_run(Seen *s, ListSeen *l, const RowPlace *places, uint32_t n, bool again)
{
    const RowTable *t = s->b->tables[places[0].table];
    for (uint32_t i = 0; i < t->column_count; i++) {
        const RowColumn *c = &t->columns[i];
        if (c->count == 0)
            continue;
        ColumnSeen *seen = see_column(s, l, c);
        gather(c, places, n, again ? seen->plan.scale : c->scale, s->cells);
        see_cells(l, seen, c, s->cells, n, again);
    }
}

static void see_rows(Seen *s, ListSeen *l, bool again)
{
    for (uint32_t done = 0, n = 0; done < l->rows; done += n) {
        n = l->rows - done < PIECE_ROWS ? l->rows - done : PIECE_ROWS;
        n = run_of(l->places + done, n);
        see_run(s, l, l->places + done, n, again);
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

static int by_prop(const void *a, const void *b)
{
    const ColumnSeen *x = a, *y = b;
    return (x->plan.prop > y->plan.prop) - (x->plan.prop < y->plan.prop);
}

/* Those that have a value ascend, as parts promise. */
static void arrange_columns(Seen *s, ListSeen *l)
{
    uint32_t kept = 0;
    bool is_new = false;
    for (uint32_t c = 0; c < l->column_count; c++)
        if (l->columns[c].values > 0)
            l->columns[kept++] = l->columns[c];
    l->column_count = kept;
    if (kept > 0)
        qsort(l->columns, kept, sizeof *l->columns, by_prop);
    l->index = (PropIndex){0};
    for (uint32_t c = 0; c < kept; c++) {
        l->columns[c].plan.nullable = l->columns[c].values < l->rows;
        (void)prop_index_add(&l->index, s->arena, l->columns[c].plan.prop, c, &is_new);
    }
}

/* Which columns, how wide.  Where scales differ, once more for the values at the largest. */
static void see_list(Seen *s, ListSeen *l)
{
    const RowTable *t = s->b->tables[l->places[0].table];
    if (l->rows == t->rows && run_of(l->places, l->rows) == l->rows)
        see_table(s, l, t);
    else
        see_rows(s, l, false);
    if (l->mixed) {
        forget_values(l);
        see_rows(s, l, true);
    }
}

/* Every row has residual milliseconds and, in the list of the rest, its event. */
static void see_own_columns(Seen *s, ListSeen *l)
{
    const uint16_t *ms = s->ms + (l->places - s->lists[0].places);
    ColumnSeen *c = column_for(s, l, PROP_MS, PART_NUMBERS);
    c->values = l->rows;
    for (uint32_t i = 0; i < l->rows; i++) {
        c->plan.min = ms[i] < c->plan.min ? ms[i] : c->plan.min;
        c->plan.max = ms[i] > c->plan.max ? ms[i] : c->plan.max;
    }
    if (l->event != PART_REST)
        return;
    c = column_for(s, l, PROP_EVENT, PART_CODES);
    c->values = l->rows;
    for (uint32_t i = 0; i < l->rows; i++) {
        const int64_t event = s->b->tables[l->places[i].table]->event;
        c->plan.min = event < c->plan.min ? event : c->plan.min;
        c->plan.max = event > c->plan.max ? event : c->plan.max;
    }
}

static void see_lists(Seen *s)
{
    for (uint32_t i = 0; i < s->list_count; i++) {
        see_list(s, &s->lists[i]);
        see_own_columns(s, &s->lists[i]);
        arrange_columns(s, &s->lists[i]);
    }
}

/* ---- items ---------------------------------------------------------------------------------------- */

/* Where the items of a row in one property begin, and how many they are. */
static uint32_t items_of(const Seen *s, RowPlace row, uint32_t prop, RowPlace *first)
{
    const RowTable *t = s->b->tables[row.table];
    const uint32_t at = prop_index_find(&t->index, prop);
    const RowColumn *c = at == PROP_INDEX_NONE ? NULL : &t->columns[at];
    if (c == NULL || c->items == NULL || row.at >= c->start_count || row.at >= c->count ||
        c->values[row.at] <= 0)
        return 0;
    *first = (RowPlace){c->items->number, c->starts[row.at]};
    return (uint32_t)c->values[row.at];
}

/* The items of the list's rows in one property, in the order of the rows. */
static void gather_items(Seen *s, ItemsSeen *items)
{
    const ListSeen *l = &s->lists[items->of];
    uint32_t all = 0, n = 0;
    RowPlace first = {0, 0};
    for (uint32_t i = 0; i < l->rows; i++)
        all += items_of(s, l->places[i], items->prop, &first);
    RowPlace *places = (void *)arena_bytes(s->arena, all * sizeof *places);
    for (uint32_t i = 0; i < l->rows; i++) {
        const uint32_t count = items_of(s, l->places[i], items->prop, &first);
        for (uint32_t k = 0; k < count; k++)
            places[n++] = (RowPlace){first.table, first.at + k};
    }
    items->rows.places = places;
    items->rows.rows = all;
}

static uint32_t count_item_columns(const Seen *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->list_count; i++)
        for (uint32_t c = 0; c < s->lists[i].column_count; c++)
            n += s->lists[i].columns[c].has_items;
    return n;
}

static void see_items(Seen *s)
{
    s->items = ARENA_ARRAY(s->arena, ItemsSeen, (size_t)count_item_columns(s) + 1);
    for (uint32_t i = 0; i < s->list_count; i++)
        for (uint32_t c = 0; c < s->lists[i].column_count; c++) {
            ItemsSeen *items = &s->items[s->items_count];
            if (!s->lists[i].columns[c].has_items)
                continue;
            *items = (ItemsSeen){.of = i, .prop = s->lists[i].columns[c].plan.prop};
            gather_items(s, items);
            if (items->rows.rows == 0)
                continue;
            see_list(s, &items->rows);
            arrange_columns(s, &items->rows);
            s->items_count++;
        }
}

/* ---- writing one part ------------------------------------------------------------------------- */

typedef struct Writing {
    Seen *seen;
    PartBuilder *builder;
    uint32_t *keys; /* of a block, list by list */
    int64_t *cells; /* of a piece, column by column */
    uint64_t cell_room;
} Writing;

/* What no row says is missing. */
static void clear_cells(const Writing *w, const ListSeen *l, uint32_t n)
{
    for (uint32_t c = 0; c < l->column_count; c++)
        for (uint32_t i = 0; l->columns[c].plan.nullable && i < n; i++)
            w->cells[(size_t)c * n + i] = PART_MISSING;
}

/* The values of rows of one table, `stride` cells from one column to the next. */
static void put_run(const Writing *w, const ListSeen *l, const RowPlace *places, uint32_t n,
                    int64_t *cells, uint32_t stride)
{
    const RowTable *t = w->seen->b->tables[places[0].table];
    for (uint32_t i = 0; i < t->column_count; i++) {
        const uint32_t to = prop_index_find(&l->index, t->columns[i].prop);
        if (to != PROP_INDEX_NONE)
            gather(&t->columns[i], places, n, l->columns[to].plan.scale,
                   cells + (size_t)to * stride);
    }
}

/* Columns that every row has. */
static void put_own(const Writing *w, const ListSeen *l, uint32_t from, uint32_t n)
{
    const Seen *s = w->seen;
    const uint16_t *ms = s->ms + (l->places - s->lists[0].places) + from;
    for (uint32_t i = 0; i < n; i++)
        w->cells[i] = ms[i];
    for (uint32_t i = 0; l->event == PART_REST && i < n; i++)
        w->cells[n + i] = s->b->tables[l->places[from + i].table]->event;
}

/* Rows [from, from + n) of a list or of items, which the builder knows by `number`. */
static void write_piece(const Writing *w, const ListSeen *l, uint32_t number, uint32_t from,
                        uint32_t n)
{
    const RowPlace *places = l->places + from;
    clear_cells(w, l, n);
    for (uint32_t i = 0, run = 0; i < n; i += run) {
        run = run_of(places + i, n - i);
        put_run(w, l, places + i, run, w->cells + i, n);
    }
    if (number < w->seen->list_count)
        put_own(w, l, from, n);
    for (uint32_t c = 0; c < l->column_count; c++)
        part_builder_values(w->builder, number, c, w->cells + (size_t)c * n, n);
}

static void write_list(const Writing *w, const ListSeen *l, uint32_t number)
{
    if (l->column_count == 0)
        return;
    const uint64_t fit = w->cell_room / l->column_count;
    const uint32_t piece = fit < PIECE_ROWS ? (uint32_t)fit : PIECE_ROWS;
    for (uint32_t done = 0; done < l->rows; done += piece)
        write_piece(w, l, number, done, l->rows - done < piece ? l->rows - done : piece);
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

static uint64_t cells_of(const ListSeen *l)
{
    const uint64_t rows = l->rows < PIECE_ROWS ? l->rows : PIECE_ROWS;
    return rows * l->column_count;
}

static uint64_t cells_wanted(const Seen *s)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < s->list_count; i++)
        most = cells_of(&s->lists[i]) > most ? cells_of(&s->lists[i]) : most;
    for (uint32_t i = 0; i < s->items_count; i++)
        most = cells_of(&s->items[i].rows) > most ? cells_of(&s->items[i].rows) : most;
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
    for (uint32_t l = 0; l < s->list_count; l++)
        write_list(&w, &s->lists[l], l);
    for (uint32_t i = 0; i < s->items_count; i++)
        write_list(&w, &s->items[i].rows, s->list_count + i);
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
        lists[i] = (PartListPlan){l->event, plan_columns(s, l), l->column_count, l->rows};
    }
    for (uint32_t i = 0; i < s->items_count; i++) {
        const ItemsSeen *x = &s->items[i];
        items[i] = (PartItemsPlan){x->of, x->prop, plan_columns(s, &x->rows), x->rows.column_count,
                                   x->rows.rows};
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
    rows_sort(s->order, scratch, s->n);
    sort_by_list(s);
    see_lists(s);
    see_items(s);
    PartPlan plan = *of;
    plan_lists(s, &plan);
    PartBuilder *builder = part_builder_new(&plan);
    write_rows(s, builder);
    Str bytes = {0};
    const Err err = part_builder_finish_heap(ctx, builder, &bytes);
    part_builder_free(builder);
    return err != ERR_OK ? err : part_open(ctx, bytes, false, 0, out);
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
    uint32_t *list_of = ARENA_ARRAY(ctx->arena, uint32_t, (size_t)b->table_count + 1);
    uint32_t *rows_of = ARENA_ARRAY(ctx->arena, uint32_t, (size_t)b->table_count + 1);
    int64_t cells[PIECE_ROWS];
    Err err = ERR_OK;
    uint32_t w = 0;
    for (; w < week_count && err == ERR_OK; w++) {
        s = (Seen){.arena = s.arena, .b = b, .list_of = list_of, .rows_of = rows_of};
        s.cells = cells;
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
