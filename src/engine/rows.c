/*
 * engine/rows.c
 */
#include "engine/rows.h"

#include "engine/prop_index.h"

#include <stdlib.h>

int64_t rows_week_ms(int64_t time_ms, int64_t origin_ms)
{
    const int64_t behind = time_ms - origin_ms;
    const int64_t within = behind % PART_WEEK_MS;
    return time_ms - (within < 0 ? within + PART_WEEK_MS : within);
}

/* ---- order ------------------------------------------------------------------------------------ */

typedef struct Ordered {
    uint64_t key; /* person, then milliseconds of the week */
    uint32_t row;
    uint32_t week; /* its place among the weeks of this buffer */
} Ordered;

enum { MS_BITS = 30, DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS, ARENA_BYTES = 1 << 16 };

/* Stable, by `key`, lowest digits first.  Digits that are all the same cost one look. */
static void sort_by_key(Ordered *rows, Ordered *scratch, uint32_t n)
{
    uint64_t ones = 0, zeros = 0;
    for (uint32_t i = 0; i < n; i++) {
        ones |= rows[i].key;
        zeros |= ~rows[i].key;
    }
    Ordered *from = rows, *to = scratch;
    for (int shift = 0; shift < 64; shift += DIGIT_BITS) {
        if (((ones & zeros) >> shift & (DIGITS - 1)) == 0)
            continue;
        uint32_t at[DIGITS] = {0};
        for (uint32_t i = 0; i < n; i++)
            at[from[i].key >> shift & (DIGITS - 1)]++;
        for (uint32_t digit = 0, sum = 0; digit < DIGITS; digit++) {
            const uint32_t here = at[digit];
            at[digit] = sum;
            sum += here;
        }
        for (uint32_t i = 0; i < n; i++)
            to[at[from[i].key >> shift & (DIGITS - 1)]++] = from[i];
        Ordered *swap = from;
        from = to;
        to = swap;
    }
    if (from != rows)
        memcpy(rows, from, n * sizeof *rows);
}

static int by_i64(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The weeks of the rows, ascending; rows mostly belong to the week of the row before. */
static uint32_t find_weeks(Ctx *ctx, const RowBuffer *b, int64_t origin_ms, Ordered *rows,
                           int64_t **weeks)
{
    int64_t *const starts = ARENA_ARRAY(ctx->arena, int64_t, b->count);
    for (uint32_t i = 0; i < b->count; i++)
        starts[i] = rows_week_ms(b->rows[i].time_ms, origin_ms);
    int64_t *const sorted = ARENA_ARRAY(ctx->arena, int64_t, b->count);
    memcpy(sorted, starts, b->count * sizeof *sorted);
    uint32_t count = 0;
    int64_t last = INT64_MIN;
    for (uint32_t i = 0; i < b->count; i++) /* most repetitions go without sorting */
        if (starts[i] != last)
            sorted[count++] = last = starts[i];
    qsort(sorted, count, sizeof *sorted, by_i64);
    uint32_t distinct = 0;
    for (uint32_t i = 0; i < count; i++)
        if (i == 0 || sorted[i] != sorted[i - 1])
            sorted[distinct++] = sorted[i];
    for (uint32_t i = 0; i < b->count; i++) {
        const int64_t *week = bsearch(&starts[i], sorted, distinct, sizeof *sorted, by_i64);
        const int64_t within = b->rows[i].time_ms - starts[i];
        rows[i] = (Ordered){(uint64_t)b->rows[i].person << MS_BITS | (uint64_t)within, i,
                            (uint32_t)(week - sorted)};
    }
    *weeks = sorted;
    return distinct;
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
    uint32_t hint;    /* the column after the one found last: rows of one event look alike */
    ListItems *items; /* NULL: none; many lists are looked at, few have items */
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
    const Ordered *order;
    uint32_t n;
    int64_t week_ms;
    ListSeen *lists;
    uint32_t list_count;
    uint32_t *list_of; /* event -> list; of the whole buffer, as the next one */
    uint32_t *rows_of; /* event -> rows, all 0 between two parts */
    ItemsSeen *items;  /* by list, then property, at the end */
    uint32_t items_count, items_cap;
    const uint32_t *lists_at; /* row -> its first list of the buffer; NULL: the buffer has none */
} Seen;

static ColumnSeen *add_column(Seen *s, ListSeen *l, const RowValue *v)
{
    if (l->column_count == l->column_cap) {
        const uint32_t cap = l->column_cap == 0 ? 16 : l->column_cap * 2;
        ColumnSeen *more = ARENA_ARRAY(s->arena, ColumnSeen, cap);
        if (l->column_count > 0)
            memcpy(more, l->columns, l->column_count * sizeof *more);
        l->columns = more;
        l->column_cap = cap;
    }
    ColumnSeen *c = &l->columns[l->column_count++];
    c->plan = (PartColumnPlan){
        .prop = v->prop, .kind = (PartKind)v->kind, .min = INT64_MAX, .max = INT64_MIN};
    return c;
}

static ColumnSeen *column_for(Seen *s, ListSeen *l, const RowValue *v)
{
    uint32_t at = l->hint;
    bool is_new = false;
    if (at >= l->column_count || l->columns[at].plan.prop != v->prop)
        at = prop_index_add(&l->index, s->arena, v->prop, l->column_count, &is_new);
    l->hint = at + 1 == l->column_count ? 0 : at + 1;
    return is_new ? add_column(s, l, v) : &l->columns[at];
}

/* The number at a larger scale; false when it does not fit. */
static bool rescale(int64_t value, int from, int to, int64_t *out)
{
    for (; from < to; from++)
        if (__builtin_mul_overflow(value, 10, &value))
            return false;
    *out = value;
    return value <= ROWS_NUMBER_MAX && value >= -ROWS_NUMBER_MAX;
}

static void widen(ColumnSeen *c, int64_t value)
{
    c->values++;
    c->plan.min = value < c->plan.min ? value : c->plan.min;
    c->plan.max = value > c->plan.max ? value : c->plan.max;
}

static int64_t ms_of(const Seen *s, const Row *r)
{
    return (r->time_ms - s->week_ms) % 1000;
}

/* The residual milliseconds and, in the list of the rest, the event are values like others. */
static uint32_t extra_values(const Seen *s, const ListSeen *l, const Row *r, RowValue extra[2])
{
    uint32_t n = 0;
    extra[n++] = (RowValue){ms_of(s, r), PROP_MS, PART_NUMBERS, 0};
    if (l->event == PART_REST)
        extra[n++] = (RowValue){r->event, PROP_EVENT, PART_CODES, 0};
    return n;
}

/* Rows without values may have no array at all. */
static const RowValue *values_of(const Seen *s, const Row *r)
{
    return r->value_count == 0 ? NULL : s->b->values + r->values_at;
}

static ListSeen *list_for(const Seen *s, const Row *r)
{
    return &s->lists[s->list_of[r->event]];
}

static void count_lists(Seen *s)
{
    s->lists = ARENA_ARRAY(s->arena, ListSeen, s->n);
    for (uint32_t i = 0; i < s->n; i++) {
        const uint32_t event = s->b->rows[s->order[i].row].event;
        if (s->rows_of[event]++ == 0)
            s->lists[s->list_count++].event = event;
    }
    for (uint32_t i = 0; i < s->list_count; i++) {
        s->lists[i].rows = s->rows_of[s->lists[i].event];
        s->rows_of[s->lists[i].event] = 0;
    }
}

static int by_rows(const void *a, const void *b)
{
    const ListSeen *x = a, *y = b;
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

static void see_values(Seen *s, ListSeen *l, const RowValue *values, uint32_t n, bool scales)
{
    for (uint32_t i = 0; i < n; i++) {
        ColumnSeen *c = column_for(s, l, &values[i]);
        int64_t value = 0;
        if (scales)
            c->plan.scale = values[i].scale > c->plan.scale ? values[i].scale : c->plan.scale;
        else if (rescale(values[i].value, values[i].scale, c->plan.scale, &value))
            widen(c, value);
    }
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
    return items;
}

static void see_items(Seen *s, const Row *r, bool scales)
{
    const RowBuffer *b = s->b;
    const uint32_t row = (uint32_t)(r - b->rows);
    for (uint32_t i = s->lists_at[row]; i < s->lists_at[row + 1]; i++) {
        const RowList *list = &b->lists[i];
        if (list->count == 0)
            continue;
        ItemsSeen *items = items_for(s, s->list_of[r->event], list->prop);
        items->rows.rows += scales ? list->count : 0;
        for (uint32_t k = list->first; k < list->first + list->count; k++)
            see_values(s, &items->rows, b->item_values + b->items[k].values_at,
                       b->items[k].value_count, scales);
    }
}

static int by_list(const void *a, const void *b)
{
    const ItemsSeen *x = a, *y = b;
    if (x->of != y->of)
        return x->of < y->of ? -1 : 1;
    return (x->prop > y->prop) - (x->prop < y->prop);
}

static void arrange_items(Seen *s)
{
    bool is_new = false;
    if (s->items_count == 0)
        return;
    qsort(s->items, s->items_count, sizeof *s->items, by_list);
    for (uint32_t i = 0; i < s->list_count; i++)
        if (s->lists[i].items != NULL)
            *s->lists[i].items = (ListItems){.count = 0};
    for (uint32_t i = 0; i < s->items_count; i++) {
        ListItems *of = s->lists[s->items[i].of].items;
        of->first = of->count++ == 0 ? i : of->first;
        (void)prop_index_add(&of->index, s->arena, s->items[i].prop, i, &is_new);
    }
}

/* ---- columns -------------------------------------------------------------------------------------- */

static void set_nullable(ListSeen *l)
{
    for (uint32_t c = 0; c < l->column_count; c++)
        l->columns[c].plan.nullable = l->columns[c].values < l->rows;
}

/* Which columns, how wide: once for the scales, once for the values at them. */
static void see_columns(Seen *s)
{
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < s->n; i++) {
            const Row *r = &s->b->rows[s->order[i].row];
            ListSeen *l = list_for(s, r);
            RowValue extra[2];
            const uint32_t extras = extra_values(s, l, r, extra);
            see_values(s, l, extra, extras, pass == 0);
            see_values(s, l, values_of(s, r), r->value_count, pass == 0);
            if (s->lists_at != NULL)
                see_items(s, r, pass == 0);
        }
    }
    for (uint32_t i = 0; i < s->list_count; i++)
        set_nullable(&s->lists[i]);
    for (uint32_t i = 0; i < s->items_count; i++)
        set_nullable(&s->items[i].rows);
}

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

static void arrange_columns(Seen *s)
{
    for (uint32_t i = 0; i < s->list_count; i++)
        sort_columns(s, &s->lists[i]);
    for (uint32_t i = 0; i < s->items_count; i++)
        sort_columns(s, &s->items[i].rows);
}

/* ---- writing one part ------------------------------------------------------------------------- */

/* Values that wait between rows and columns: pieces of lists, however many columns they have. */
enum { PIECE_CELLS = 1 << 17 };
_Static_assert((int)PIECE_CELLS >= (int)PART_COLUMNS_MAX, "one row at least");

typedef struct Writing {
    Seen *seen;
    PartBuilder *builder;
    uint8_t *lists;     /* of the block's rows */
    const Row **sorted; /* the block's rows, list by list */
    uint32_t *keys;     /* of one list */
    int64_t *cells;     /* of a piece, column by column */
    uint64_t cell_room;
    const RowList **row_lists; /* of one list's rows of a block, property by property */
} Writing;

static void put_values(Seen *s, ListSeen *l, const RowValue *values, uint32_t n, int64_t *cells,
                       uint32_t stride)
{
    for (uint32_t i = 0; i < n; i++) {
        const ColumnSeen *c = column_for(s, l, &values[i]);
        int64_t value = 0;
        if (rescale(values[i].value, values[i].scale, c->plan.scale, &value))
            cells[(size_t)(c - l->columns) * stride] = value;
    }
}

static void write_piece(Writing *w, uint32_t list, const Row *const *rows, uint32_t n)
{
    Seen *s = w->seen;
    ListSeen *l = &s->lists[list];
    for (size_t i = 0; i < (size_t)n * l->column_count; i++)
        w->cells[i] = PART_MISSING;
    for (uint32_t i = 0; i < n; i++) {
        RowValue extra[2];
        const uint32_t extras = extra_values(s, l, rows[i], extra);
        put_values(s, l, extra, extras, w->cells + i, n);
        put_values(s, l, values_of(s, rows[i]), rows[i]->value_count, w->cells + i, n);
    }
    for (uint32_t c = 0; c < l->column_count; c++)
        part_builder_values(w->builder, list, c, w->cells + (size_t)c * n, n);
}

enum { ITEMS_TOGETHER = 4096 };

static void write_items_piece(Writing *w, uint32_t number, const RowItem *const *items, uint32_t n)
{
    Seen *s = w->seen;
    ListSeen *l = &s->items[number].rows;
    for (size_t i = 0; i < (size_t)n * l->column_count; i++)
        w->cells[i] = PART_MISSING;
    for (uint32_t i = 0; i < n; i++)
        put_values(s, l, s->b->item_values + items[i]->values_at, items[i]->value_count,
                   w->cells + i, n);
    for (uint32_t c = 0; c < l->column_count; c++)
        part_builder_values(w->builder, s->list_count + number, c, w->cells + (size_t)c * n, n);
}

/* The items of one property, in the order of their rows. */
static void write_items_of(Writing *w, uint32_t number, const RowList *const *lists, uint32_t count)
{
    const RowBuffer *b = w->seen->b;
    const uint32_t columns = w->seen->items[number].rows.column_count;
    const RowItem *items[ITEMS_TOGETHER];
    uint32_t n = 0;
    if (columns == 0)
        return;
    const uint64_t fits = w->cell_room / columns;
    const uint32_t most = fits < ITEMS_TOGETHER ? (uint32_t)fits : ITEMS_TOGETHER;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < lists[i]->count; k++) {
            items[n++] = &b->items[lists[i]->first + k];
            if (n < most)
                continue;
            write_items_piece(w, number, items, n);
            n = 0;
        }
    write_items_piece(w, number, items, n);
}

/* The rows' lists, property by property; where those of the list's i-th property end stands in ends[i]. */
static void sort_row_lists(Writing *w, const ListItems *l, const Row *const *rows, uint32_t n,
                           uint32_t *ends)
{
    const Seen *s = w->seen;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < n; i++) {
            const uint32_t row = (uint32_t)(rows[i] - s->b->rows);
            for (uint32_t k = s->lists_at[row]; k < s->lists_at[row + 1]; k++) {
                const RowList *list = &s->b->lists[k];
                if (list->count == 0)
                    continue;
                const uint32_t at = prop_index_find(&l->index, list->prop) - l->first;
                if (pass == 0)
                    ends[at]++;
                else
                    w->row_lists[ends[at]++] = list;
            }
        }
        for (uint32_t at = 0, sum = 0; pass == 0 && at < l->count; at++) {
            const uint32_t here = ends[at];
            ends[at] = sum;
            sum += here;
        }
    }
}

static void write_items(Writing *w, uint32_t list, const Row *const *rows, uint32_t n)
{
    const ListItems *l = w->seen->lists[list].items;
    uint32_t *ends = calloc((size_t)l->count + 1, sizeof *ends);
    CHECK(ends != NULL);
    sort_row_lists(w, l, rows, n, ends);
    for (uint32_t i = 0, from = 0; i < l->count; from = ends[i++])
        write_items_of(w, l->first + i, w->row_lists + from, ends[i] - from);
    free(ends);
}

static void write_list(Writing *w, uint32_t list, const Row *const *rows, uint32_t n)
{
    const Seen *s = w->seen;
    for (uint32_t i = 0; i < n; i++)
        w->keys[i] = (rows[i]->person & (PART_BLOCK_PERSONS - 1)) << PART_SECOND_BITS |
                     (uint32_t)((rows[i]->time_ms - s->week_ms) / 1000);
    part_builder_keys(w->builder, list, w->keys, n);
    const uint32_t piece = (uint32_t)(w->cell_room / s->lists[list].column_count);
    for (uint32_t done = 0; done < n; done += piece)
        write_piece(w, list, rows + done, n - done < piece ? n - done : piece);
    if (s->lists[list].items != NULL)
        write_items(w, list, rows, n);
}

/* The rows of one block, which stand together. */
static void write_block(Writing *w, const Ordered *rows, uint32_t n)
{
    const Seen *s = w->seen;
    uint32_t from[PART_LISTS_MAX + 1] = {0}, to[PART_LISTS_MAX];
    for (uint32_t i = 0; i < n; i++) {
        w->lists[i] = (uint8_t)s->list_of[s->b->rows[rows[i].row].event];
        from[w->lists[i] + 1]++;
    }
    for (uint32_t l = 0; l < s->list_count; l++) {
        from[l + 1] += from[l];
        to[l] = from[l];
    }
    for (uint32_t i = 0; i < n; i++)
        w->sorted[to[w->lists[i]]++] = &s->b->rows[rows[i].row];
    part_builder_block(w->builder, s->b->rows[rows[0].row].person >> PART_BLOCK_BITS, w->lists, n);
    for (uint32_t l = 0; l < s->list_count; l++)
        if (from[l + 1] > from[l])
            write_list(w, l, w->sorted + from[l], from[l + 1] - from[l]);
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
    w.lists = ARENA_ARRAY(s->arena, uint8_t, s->n);
    w.sorted = ARENA_ARRAY(s->arena, const Row *, s->n);
    w.keys = ARENA_ARRAY(s->arena, uint32_t, s->n);
    w.cells = ARENA_ARRAY(s->arena, int64_t, w.cell_room);
    if (s->items_count > 0)
        w.row_lists = ARENA_ARRAY(s->arena, const RowList *, s->b->list_count);
    for (uint32_t first = 0, end = 0; first < s->n; first = end) {
        const uint64_t block = s->order[first].key >> (MS_BITS + PART_BLOCK_BITS);
        while (end < s->n && s->order[end].key >> (MS_BITS + PART_BLOCK_BITS) == block)
            end++;
        write_block(&w, s->order + first, end - first);
    }
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

static Err build_week(Ctx *ctx, Seen *s, const PartPlan *of, Part **out)
{
    count_lists(s);
    arrange_lists(s);
    see_columns(s);
    arrange_items(s);
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

/* The rows by week, in their order within it; where each week begins and the last one ends. */
static uint32_t *group_by_week(Ctx *ctx, const Ordered *rows, uint32_t n, uint32_t weeks,
                               Ordered *out)
{
    uint32_t *at = ARENA_ARRAY(ctx->arena, uint32_t, weeks + 1);
    uint32_t *to = ARENA_ARRAY(ctx->arena, uint32_t, weeks + 1);
    for (uint32_t i = 0; i < n; i++)
        at[rows[i].week + 1]++;
    for (uint32_t w = 0; w < weeks; w++)
        at[w + 1] += at[w];
    memcpy(to, at, (weeks + 1) * sizeof *to);
    for (uint32_t i = 0; i < n; i++)
        out[to[rows[i].week]++] = rows[i];
    return at;
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
    Ordered *rows = ARENA_ARRAY(ctx->arena, Ordered, b->count);
    Ordered *by_week = ARENA_ARRAY(ctx->arena, Ordered, b->count);
    int64_t *weeks = NULL;
    const uint32_t week_count = find_weeks(ctx, b, origin_ms, rows, &weeks);
    const uint32_t *at = group_by_week(ctx, rows, b->count, week_count, by_week);
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
        sort_by_key(by_week + at[w], rows, s.n);
        err = build_week(ctx, &s,
                         &(PartPlan){.week_ms = weeks[w], .from_seq = from_seq, .to_seq = to_seq},
                         &made[w]);
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
