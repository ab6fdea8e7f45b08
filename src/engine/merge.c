/*
 * engine/merge.c -- block by block: decode every list, put all rows into one order, deal them out again.
 */
#include "engine/merge.h"

#include "engine/bits.h"
#include "engine/filter.h"
#include "engine/kernels.h"

#include <stdlib.h>

enum { MS_BITS = 10, ARENA_BYTES = 1 << 20 };

typedef struct OutColumn {
    PartColumnPlan plan;
    uint64_t values; /* how many rows have one, before it is known whether all do */
    int64_t *dealt;  /* of the block, in the order of reading */
} OutColumn;

typedef struct OutList {
    uint32_t event;
    uint64_t rows;
    OutColumn *columns;
    uint32_t column_count, column_cap;
    uint32_t count, cap; /* rows of the block */
} OutList;

/* A row of the block: what orders it and where its values wait. */
typedef struct Cell {
    uint64_t key; /* key and milliseconds */
    uint32_t list, at;
} Cell;

typedef struct InPart {
    Part *part;
    uint32_t *to; /* list -> out list; of PART_REST the row's event says it */
    uint32_t *cursor;
    uint32_t sequence_cursor;
} InPart;

typedef struct Merge {
    Ctx *ctx;
    Arena *life;  /* of the whole merge */
    Arena *block; /* of one block */
    InPart *in;
    uint32_t in_count;
    OutList *out;
    uint32_t out_count;
    uint32_t *list_of; /* event -> out list */
    uint32_t event_max;
    FilterScratch scratch;
    PartBuilder *builder;
    const atomic_bool *stop;
} Merge;

/* Sound checksums do not help when the bytes make no sense. */
static Err damaged(const Merge *m, Part *p)
{
    atomic_store(&p->damaged, true);
    return fail(m->ctx, ERR_INTERNAL, "events.part_damaged", "part %" PRIu64, p->number);
}

static Err go_on(const Merge *m)
{
    if (m->stop == NULL || !atomic_load_explicit(m->stop, memory_order_relaxed))
        return ERR_OK;
    return fail(m->ctx, ERR_CONFLICT, "events.stopped", "a merge");
}

/* ---- reading a stretch of a list --------------------------------------------------------------- */

/* All values of one column in those rows.  NULL column: none has one. */
static Err read_column(Merge *m, const FilterRows *r, const PartColumn *c, int scale, int64_t *out)
{
    for (uint32_t i = 0; c == NULL && i < r->count; i++)
        out[i] = PART_MISSING;
    if (c == NULL)
        return ERR_OK;
    filter_scratch_reserve(&m->scratch, r->count);
    if (!filter_values(r, c, PART_MISSING, &m->scratch, out))
        return damaged(m, r->part);
    for (int s = c->scale; c->kind == PART_NUMBERS && s < scale; s++)
        for (uint32_t i = 0; i < r->count; i++)
            out[i] = out[i] == PART_MISSING ? PART_MISSING : out[i] * 10;
    return ERR_OK;
}

static Err read_events(Merge *m, const FilterRows *r, int64_t *out)
{
    const PartColumn *c = part_find_column(r->part, r->list, PROP_EVENT);
    return c == NULL ? damaged(m, r->part) : read_column(m, r, c, 0, out);
}

/* ---- which lists there will be ------------------------------------------------------------------ */

typedef struct EventRows {
    uint32_t event;
    uint64_t rows;
} EventRows;

enum { REST_STRETCH = 1 << 16 };

/* Calls `fn` for stretches of a list that together are all of it. */
typedef Err (*StretchFn)(Merge *m, const FilterRows *r, const int64_t *events, void *arg);

static Err each_rest_stretch(Merge *m, StretchFn fn, void *arg)
{
    for (uint32_t p = 0; p < m->in_count; p++) {
        Part *part = m->in[p].part;
        const PartList *list = &part->lists[part->head->list_count - 1];
        if (list->event != PART_REST)
            continue;
        for (uint32_t first = 0; first < list->rows; first += REST_STRETCH) {
            const uint32_t left = list->rows - first;
            const FilterRows r = {.part = part,
                                  .list = list,
                                  .first = first,
                                  .count = left < REST_STRETCH ? left : REST_STRETCH};
            int64_t *events = (int64_t *)arena_alloc(m->block, r.count + KERNEL_SLACK, 8);
            TRY(go_on(m));
            TRY(read_events(m, &r, events));
            TRY(fn(m, &r, events, arg));
            arena_reset(m->block);
        }
    }
    return ERR_OK;
}

static Err find_event_max(Merge *m, const FilterRows *r, const int64_t *events, void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < r->count; i++)
        m->event_max = events[i] > m->event_max ? (uint32_t)events[i] : m->event_max;
    return ERR_OK;
}

static Err count_rest(Merge *m, const FilterRows *r, const int64_t *events, void *arg)
{
    (void)m;
    EventRows *counts = arg;
    for (uint32_t i = 0; i < r->count; i++)
        counts[events[i]].rows++;
    return ERR_OK;
}

static int by_rows(const void *a, const void *b)
{
    const EventRows *x = a, *y = b;
    if (x->rows != y->rows)
        return x->rows < y->rows ? 1 : -1;
    return (x->event > y->event) - (x->event < y->event);
}

static Err count_events(Merge *m, EventRows **counts, uint32_t *distinct)
{
    for (uint32_t p = 0; p < m->in_count; p++)
        for (uint32_t l = 0; l < m->in[p].part->head->list_count; l++) {
            const uint32_t event = m->in[p].part->lists[l].event;
            m->event_max = event != PART_REST && event > m->event_max ? event : m->event_max;
        }
    TRY(each_rest_stretch(m, find_event_max, NULL));
    EventRows *found = ARENA_ARRAY(m->life, EventRows, (size_t)m->event_max + 1);
    for (uint32_t e = 0; e <= m->event_max; e++)
        found[e].event = e;
    for (uint32_t p = 0; p < m->in_count; p++)
        for (uint32_t l = 0; l < m->in[p].part->head->list_count; l++) {
            const PartList *list = &m->in[p].part->lists[l];
            if (list->event != PART_REST)
                found[list->event].rows += list->rows;
        }
    TRY(each_rest_stretch(m, count_rest, found));
    qsort(found, (size_t)m->event_max + 1, sizeof *found, by_rows);
    uint32_t n = 0;
    while (n <= m->event_max && found[n].rows > 0)
        n++;
    *counts = found;
    *distinct = n;
    return ERR_OK;
}

/* The most frequent names get lists of their own, the others share the last. */
static Err plan_lists(Merge *m)
{
    EventRows *counts = NULL;
    uint32_t distinct = 0;
    TRY(count_events(m, &counts, &distinct));
    const uint32_t own = distinct <= PART_LISTS_MAX ? distinct : PART_LISTS_MAX - 1;
    m->out_count = own + (own < distinct);
    m->out = ARENA_ARRAY(m->life, OutList, m->out_count);
    m->list_of = ARENA_ARRAY(m->life, uint32_t, (size_t)m->event_max + 1);
    for (uint32_t i = 0; i < distinct; i++) {
        const uint32_t list = i < own ? i : own;
        m->list_of[counts[i].event] = list;
        m->out[list].event = i < own ? counts[i].event : PART_REST;
        m->out[list].rows += counts[i].rows;
    }
    for (uint32_t p = 0; p < m->in_count; p++) {
        InPart *in = &m->in[p];
        in->to = ARENA_ARRAY(m->life, uint32_t, in->part->head->list_count);
        in->cursor = ARENA_ARRAY(m->life, uint32_t, in->part->head->list_count);
        for (uint32_t l = 0; l < in->part->head->list_count; l++) {
            const uint32_t event = in->part->lists[l].event;
            in->to[l] = event == PART_REST ? PART_REST : m->list_of[event];
        }
    }
    return ERR_OK;
}

/* ---- which columns ------------------------------------------------------------------------------ */

static OutColumn *out_column(Merge *m, OutList *l, uint32_t prop, PartKind kind)
{
    for (uint32_t i = 0; i < l->column_count; i++)
        if (l->columns[i].plan.prop == prop)
            return &l->columns[i];
    if (l->column_count == l->column_cap) {
        const uint32_t cap = l->column_cap == 0 ? 16 : l->column_cap * 2;
        OutColumn *more = ARENA_ARRAY(m->life, OutColumn, cap);
        if (l->column_count > 0)
            memcpy(more, l->columns, l->column_count * sizeof *more);
        l->columns = more;
        l->column_cap = cap;
    }
    OutColumn *c = &l->columns[l->column_count++];
    c->plan = (PartColumnPlan){.prop = prop, .kind = kind, .min = INT64_MAX, .max = INT64_MIN};
    return c;
}

static int64_t scaled(int64_t value, int from, int to)
{
    for (; from < to; from++)
        if (__builtin_mul_overflow(value, 10, &value))
            return value < 0 ? INT64_MIN + 1 : INT64_MAX;
    return value;
}

static void widen(OutColumn *c, int64_t value)
{
    c->plan.min = value < c->plan.min ? value : c->plan.min;
    c->plan.max = value > c->plan.max ? value : c->plan.max;
}

static void add_scale(Merge *m, OutList *l, const PartColumn *c)
{
    OutColumn *out = out_column(m, l, c->prop, (PartKind)c->kind);
    out->plan.scale = c->scale > out->plan.scale ? c->scale : out->plan.scale;
}

/* Of a list that goes to one list as it is, the columns tell what they hold. */
static void add_column(Merge *m, OutList *l, const PartList *list, const PartColumn *c)
{
    OutColumn *out = out_column(m, l, c->prop, (PartKind)c->kind);
    const int64_t min = c->kind == PART_CODES ? 0 : c->base;
    if (c->max < min)
        return;
    widen(out, scaled(min, c->scale, out->plan.scale));
    widen(out, scaled(c->max, c->scale, out->plan.scale));
    out->values += c->nullable ? 0 : list->rows;
}

static Err add_rest_scales(Merge *m, const FilterRows *r, const int64_t *events, void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < r->count; i++)
        for (uint32_t c = 0; c < r->list->column_count; c++)
            add_scale(m, &m->out[m->list_of[events[i]]],
                      &r->part->columns[r->list->first_column + c]);
    return ERR_OK;
}

/* Of the shared list each value must be looked at: which names have it differs. */
static Err add_rest_values(Merge *m, const FilterRows *r, const int64_t *events, void *arg)
{
    (void)arg;
    int64_t *values = (int64_t *)arena_alloc(m->block, r->count + KERNEL_SLACK, 8);
    for (uint32_t c = 0; c < r->list->column_count; c++) {
        const PartColumn *column = &r->part->columns[r->list->first_column + c];
        TRY(read_column(m, r, column, column->scale, values));
        for (uint32_t i = 0; i < r->count; i++) {
            OutColumn *out =
                out_column(m, &m->out[m->list_of[events[i]]], column->prop, (PartKind)column->kind);
            if (values[i] == PART_MISSING)
                continue;
            widen(out, scaled(values[i], column->scale, out->plan.scale));
            out->values++;
        }
    }
    return ERR_OK;
}

static void each_own_column(Merge *m, bool scales)
{
    for (uint32_t p = 0; p < m->in_count; p++) {
        const Part *part = m->in[p].part;
        for (uint32_t i = 0; i < part->head->list_count; i++) {
            const PartList *list = &part->lists[i];
            if (list->event == PART_REST)
                continue;
            OutList *out = &m->out[m->in[p].to[i]];
            if (scales && out->event == PART_REST)
                (void)out_column(m, out, PROP_EVENT, PART_CODES);
            for (uint32_t c = 0; c < list->column_count; c++) {
                if (scales)
                    add_scale(m, out, &part->columns[list->first_column + c]);
                else
                    add_column(m, out, list, &part->columns[list->first_column + c]);
            }
        }
    }
}

static Err plan_columns(Merge *m)
{
    each_own_column(m, true);
    TRY(each_rest_stretch(m, add_rest_scales, NULL));
    each_own_column(m, false);
    TRY(each_rest_stretch(m, add_rest_values, NULL));
    for (uint32_t i = 0; i < m->out_count; i++)
        for (uint32_t c = 0; c < m->out[i].column_count; c++) {
            OutColumn *column = &m->out[i].columns[c];
            if (column->plan.prop == PROP_EVENT) {
                column->plan.min = 0;
                column->plan.max = m->event_max;
            }
            column->plan.nullable = column->values < m->out[i].rows;
        }
    return ERR_OK;
}

static PartBuilder *start_builder(const Merge *m)
{
    const PartHead *first = m->in[0].part->head, *last = m->in[m->in_count - 1].part->head;
    PartListPlan *lists = ARENA_ARRAY(m->life, PartListPlan, m->out_count);
    for (uint32_t i = 0; i < m->out_count; i++) {
        const OutList *l = &m->out[i];
        PartColumnPlan *columns = ARENA_ARRAY(m->life, PartColumnPlan, l->column_count);
        for (uint32_t c = 0; c < l->column_count; c++)
            columns[c] = l->columns[c].plan;
        lists[i] = (PartListPlan){l->event, columns, l->column_count};
    }
    return part_builder_new(&(PartPlan){.week_ms = first->week_ms,
                                        .from_seq = first->from_seq,
                                        .to_seq = last->to_seq,
                                        .lists = lists,
                                        .list_count = m->out_count});
}

/* ---- one block ---------------------------------------------------------------------------------- */

static void widen_out(Merge *m, OutList *l, uint32_t count)
{
    if (count <= l->cap)
        return;
    const uint32_t cap = count + count / 2;
    for (uint32_t c = 0; c < l->column_count; c++) {
        int64_t *more = (int64_t *)(void *)arena_bytes(m->block, ((size_t)cap + KERNEL_SLACK) * 8);
        if (l->count > 0)
            memcpy(more, l->columns[c].dealt, l->count * sizeof *more);
        l->columns[c].dealt = more;
    }
    l->cap = cap;
}

/* Rows that all go to one list: column by column. */
static Err deal_own(Merge *m, const FilterRows *r, OutList *to, Cell *cells)
{
    widen_out(m, to, to->count + r->count);
    for (uint32_t c = 0; c < to->column_count; c++) {
        OutColumn *column = &to->columns[c];
        int64_t *at = column->dealt + to->count;
        if (column->plan.prop == PROP_EVENT)
            for (uint32_t i = 0; i < r->count; i++)
                at[i] = r->list->event;
        else
            TRY(read_column(m, r, part_find_column(r->part, r->list, column->plan.prop),
                            column->plan.scale, at));
    }
    for (uint32_t i = 0; i < r->count; i++) {
        cells[i].list = (uint32_t)(to - m->out);
        cells[i].at = to->count++;
    }
    return ERR_OK;
}

/* Rows of the shared list: each to the list of its name. */
static Err deal_rest(Merge *m, const FilterRows *r, Cell *cells)
{
    int64_t *events = (int64_t *)arena_alloc(m->block, r->count + KERNEL_SLACK, 8);
    int64_t *values = (int64_t *)arena_alloc(m->block, r->count + KERNEL_SLACK, 8);
    TRY(read_events(m, r, events));
    for (uint32_t i = 0; i < r->count; i++) {
        OutList *to = &m->out[m->list_of[events[i]]];
        widen_out(m, to, to->count + 1);
        cells[i].list = (uint32_t)(to - m->out);
        cells[i].at = to->count++;
        for (uint32_t c = 0; c < to->column_count; c++)
            to->columns[c].dealt[cells[i].at] =
                to->columns[c].plan.prop == PROP_EVENT ? events[i] : PART_MISSING;
    }
    for (uint32_t c = 0; c < r->list->column_count; c++) {
        const PartColumn *column = &r->part->columns[r->list->first_column + c];
        if (column->prop == PROP_EVENT)
            continue;
        TRY(read_column(m, r, column, column->scale, values));
        for (uint32_t i = 0; i < r->count; i++) {
            if (values[i] == PART_MISSING)
                continue;
            OutColumn *out =
                out_column(m, &m->out[cells[i].list], column->prop, (PartKind)column->kind);
            out->dealt[cells[i].at] = scaled(values[i], column->scale, out->plan.scale);
        }
    }
    return ERR_OK;
}

/* Keys and milliseconds of the rows, then their values to where they go. */
static Err read_list(Merge *m, InPart *in, uint32_t l, uint32_t block, const PartRows *rows,
                     Cell *cells)
{
    const PartList *list = &in->part->lists[l];
    uint32_t *keys = (uint32_t *)arena_alloc(m->block, rows->count + KERNEL_SLACK, 4);
    int64_t *ms = (int64_t *)arena_alloc(m->block, rows->count + KERNEL_SLACK, 8);
    if (!part_read_keys(in->part, rows, keys))
        return damaged(m, in->part);
    const FilterRows r = {in->part, list, rows->first, rows->count, block, keys};
    TRY(read_column(m, &r, part_find_column(in->part, list, PROP_MS), 0, ms));
    for (uint32_t i = 0; i < r.count; i++)
        cells[i].key = (uint64_t)keys[i] << MS_BITS | (ms[i] == PART_MISSING ? 0 : (uint64_t)ms[i]);
    return in->to[l] == PART_REST ? deal_rest(m, &r, cells)
                                  : deal_own(m, &r, &m->out[in->to[l]], cells);
}

/* The rows of one part in their order, behind `*cells`. */
static Err read_part(Merge *m, InPart *in, uint32_t block, Cell **cells, uint32_t *count)
{
    const Part *part = in->part;
    uint32_t first = 0;
    *count = part_sequence_rows(part, block, &in->sequence_cursor, &first);
    *cells = NULL;
    if (*count == 0)
        return ERR_OK;
    const PartHead *h = part->head;
    uint8_t *codes = (uint8_t *)arena_bytes(m->block, (size_t)*count + KERNEL_SLACK);
    const uint64_t at = h->sequence_at + (uint64_t)first * h->sequence_width / 8;
    if (!part_touch(in->part, at, bits_bytes(*count, (int)h->sequence_width) + 1))
        return damaged(m, in->part);
    kernels()->unpack8(part->data + h->sequence_at, first, *count, (int)h->sequence_width, codes);
    Cell *by_list = ARENA_ARRAY(m->block, Cell, *count);
    uint32_t next[PART_LISTS_MAX + 1] = {0}, end[PART_LISTS_MAX + 1] = {0}, total = 0;
    for (uint32_t l = 0; l < h->list_count; l++) {
        const PartRows rows = part_list_rows(part, &part->lists[l], block, &in->cursor[l]);
        next[l] = total;
        end[l] = total + rows.count;
        if (end[l] > *count)
            return damaged(m, in->part);
        if (rows.count > 0)
            TRY(read_list(m, in, l, block, &rows, by_list + total));
        total = end[l];
    }
    *cells = ARENA_ARRAY(m->block, Cell, *count);
    for (uint32_t i = 0; i < *count; i++) {
        if (codes[i] >= h->list_count || next[codes[i]] == end[codes[i]])
            return damaged(m, in->part);
        (*cells)[i] = by_list[next[codes[i]]++];
    }
    return ERR_OK;
}

/* Two ordered stretches into one; of equal keys those of the first come first. */
static Cell *merge_two(Arena *arena, const Cell *a, uint32_t a_count, const Cell *b,
                       uint32_t b_count)
{
    Cell *out = ARENA_ARRAY(arena, Cell, (size_t)a_count + b_count);
    uint32_t i = 0, j = 0;
    for (uint32_t n = 0; n < a_count + b_count; n++)
        out[n] = j == b_count || (i < a_count && a[i].key <= b[j].key) ? a[i++] : b[j++];
    return out;
}

typedef struct Stretch {
    Cell *cells;
    uint32_t count;
} Stretch;

static Stretch merge_all(Merge *m, Stretch *stretches, uint32_t n)
{
    while (n > 1) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < n; i += 2) {
            const Stretch a = stretches[i], b = i + 1 < n ? stretches[i + 1] : (Stretch){0};
            stretches[kept++] = b.count == 0
                                    ? a
                                    : (Stretch){a.count == 0 ? b.cells
                                                             : merge_two(m->block, a.cells, a.count,
                                                                         b.cells, b.count),
                                                a.count + b.count};
        }
        n = kept;
    }
    return stretches[0];
}

static void write_list(Merge *m, uint32_t l, const Cell *cells, const uint32_t *rows)
{
    OutList *list = &m->out[l];
    uint32_t *keys = (uint32_t *)arena_alloc(m->block, list->count, sizeof *keys);
    for (uint32_t i = 0; i < list->count; i++)
        keys[i] = (uint32_t)(cells[rows[i]].key >> MS_BITS);
    part_builder_keys(m->builder, l, keys, list->count);
    int64_t *values = (int64_t *)arena_alloc(m->block, list->count, sizeof *values);
    for (uint32_t c = 0; c < list->column_count; c++) {
        const int64_t *dealt = list->columns[c].dealt;
        for (uint32_t i = 0; i < list->count; i++)
            values[i] = dealt[cells[rows[i]].at];
        part_builder_values(m->builder, l, c, values, list->count);
    }
}

static void write_block(Merge *m, uint32_t block, Stretch rows)
{
    uint8_t *lists = (uint8_t *)arena_bytes(m->block, rows.count);
    uint32_t *by_list = (uint32_t *)arena_alloc(m->block, rows.count, sizeof *by_list);
    uint32_t next[PART_LISTS_MAX], at = 0;
    for (uint32_t l = 0; l < m->out_count; l++) {
        next[l] = at;
        at += m->out[l].count;
    }
    for (uint32_t i = 0; i < rows.count; i++) {
        lists[i] = (uint8_t)rows.cells[i].list;
        by_list[next[lists[i]]++] = i;
    }
    part_builder_block(m->builder, block, lists, rows.count);
    for (uint32_t l = 0; l < m->out_count; l++) {
        if (m->out[l].count > 0)
            write_list(m, l, rows.cells, by_list + next[l] - m->out[l].count);
        m->out[l].count = 0;
        m->out[l].cap = 0; /* the block's arena goes */
    }
}

static Err merge_block(Merge *m, uint32_t block)
{
    Stretch *stretches = ARENA_ARRAY(m->block, Stretch, m->in_count);
    for (uint32_t p = 0; p < m->in_count; p++)
        TRY(read_part(m, &m->in[p], block, &stretches[p].cells, &stretches[p].count));
    write_block(m, block, merge_all(m, stretches, m->in_count));
    return ERR_OK;
}

/* The next block that any part has, PART_NO_BLOCK at the end. */
static uint32_t next_block(const Merge *m, uint32_t *cursors, uint32_t behind)
{
    uint32_t next = PART_NO_BLOCK;
    for (uint32_t p = 0; p < m->in_count; p++) {
        const PartBlock *blocks = m->in[p].part->blocks; /* the last one says PART_NO_BLOCK */
        while (behind != PART_NO_BLOCK && blocks[cursors[p]].block <= behind)
            cursors[p]++;
        next = blocks[cursors[p]].block < next ? blocks[cursors[p]].block : next;
    }
    return next;
}

static Err merge_blocks(Merge *m)
{
    uint32_t *cursors = ARENA_ARRAY(m->life, uint32_t, m->in_count);
    for (uint32_t block = next_block(m, cursors, PART_NO_BLOCK); block != PART_NO_BLOCK;
         block = next_block(m, cursors, block)) {
        TRY(go_on(m));
        TRY(merge_block(m, block));
        arena_reset(m->block);
    }
    return ERR_OK;
}

static Err merge(Merge *m, PartSink sink, void *arg)
{
    TRY(plan_lists(m));
    TRY(plan_columns(m));
    m->builder = start_builder(m);
    TRY(merge_blocks(m));
    return part_builder_finish(m->ctx, m->builder, sink, arg);
}

Err parts_merge(Ctx *ctx, Part *const *parts, uint32_t count, const atomic_bool *stop,
                PartSink sink, void *arg)
{
    CHECK(count > 0);
    Merge m = {.ctx = ctx,
               .life = arena_new(ARENA_BYTES),
               .block = arena_new(ARENA_BYTES),
               .in_count = count,
               .stop = stop};
    m.in = ARENA_ARRAY(m.life, InPart, count);
    for (uint32_t i = 0; i < count; i++) {
        CHECK(parts[i]->head->week_ms == parts[0]->head->week_ms);
        m.in[i].part = parts[i];
    }
    const Err err = merge(&m, sink, arg);
    part_builder_free(m.builder);
    filter_scratch_free(&m.scratch);
    arena_free(m.block);
    arena_free(m.life);
    return err;
}
