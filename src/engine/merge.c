/*
 * engine/merge.c -- block by block: the rows of all parts are put into one order, some of them at a time, then
 * the values follow column by column.
 */
#include "engine/merge_inside.h"

#include <stdlib.h>

enum {
    MS_BITS = 10,
    ARENA_BYTES = 1 << 20,
    WINDOWS_CELLS = 1 << 18, /* of all parts together: rows that wait to be ordered */
    WINDOW_CELLS = 4096,     /* of one part, at most */
    WINDOW_CELLS_MIN = 64,
};

Err merge_damaged(const Merge *m, Part *p)
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

Err merge_read_column(Merge *m, const FilterRows *r, const PartColumn *c, int scale, int64_t *out)
{
    for (uint32_t i = 0; c == NULL && i < r->count; i++)
        out[i] = PART_MISSING;
    if (c == NULL)
        return ERR_OK;
    filter_scratch_reserve(&m->scratch, r->count);
    if (!filter_values(r, c, PART_MISSING, &m->scratch, out))
        return merge_damaged(m, r->part);
    for (int s = c->scale; c->kind == PART_NUMBERS && s < scale; s++)
        for (uint32_t i = 0; i < r->count; i++)
            out[i] = out[i] == PART_MISSING ? PART_MISSING : (int64_t)((uint64_t)out[i] * 10);
    return ERR_OK;
}

static Err read_events(Merge *m, const FilterRows *r, int64_t *out)
{
    for (uint32_t i = 0; r->list->event != PART_REST && i < r->count; i++)
        out[i] = r->list->event;
    if (r->list->event != PART_REST)
        return ERR_OK;
    const PartColumn *c = part_find_column(r->part, r->list, PROP_EVENT);
    if (c == NULL)
        return merge_damaged(m, r->part);
    TRY(merge_read_column(m, r, c, 0, out));
    for (uint32_t i = 0; i < r->count; i++)
        if (out[i] == PART_MISSING)
            return merge_damaged(m, r->part);
    return ERR_OK;
}

/* ---- which lists there will be ------------------------------------------------------------------ */

typedef struct EventRows {
    uint32_t event;
    uint64_t rows;
} EventRows;

enum { REST_STRETCH = 1 << 16 };

/* Calls `fn` for stretches of a list that together are all of it. */
typedef Err (*StretchFn)(Merge *m, const FilterRows *r, const int64_t *events, void *arg);

static Err each_stretch(Merge *m, Part *part, const PartList *list, StretchFn fn, void *arg)
{
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
    return ERR_OK;
}

/* Its values are looked at; of the others, the tables tell. */
static bool is_rest(const Merge *m, const PartList *list)
{
    return m->exact || list->event == PART_REST;
}

static Err each_rest_stretch(Merge *m, StretchFn fn, void *arg)
{
    for (uint32_t p = 0; p < m->in_count; p++) {
        Part *part = m->in[p].part;
        for (uint32_t l = 0; l < part->head->list_count; l++)
            if (is_rest(m, &part->lists[l]))
                TRY(each_stretch(m, part, &part->lists[l], fn, arg));
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
    if ((x->event == PART_PERSON) != (y->event == PART_PERSON)) /* never among the rest */
        return x->event == PART_PERSON ? -1 : 1;
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
            if (!is_rest(m, list))
                found[list->event].rows += list->rows;
        }
    TRY(each_rest_stretch(m, count_rest, found));
    uint32_t n = 0;
    for (uint32_t e = 0; e <= m->event_max; e++)
        if (found[e].rows > 0)
            found[n++] = found[e];
    qsort(found, n, sizeof *found, by_rows);
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
    if (distinct == 0) /* parts all of whose rows were dead before: the first name, without rows */
        counts[distinct++].event = 0;
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
        in->lists = ARENA_ARRAY(m->life, InList, in->part->head->list_count);
        for (uint32_t l = 0; l < in->part->head->list_count; l++) {
            const uint32_t event = in->part->lists[l].event;
            in->lists[l].to = event == PART_REST ? PART_REST : m->list_of[event];
        }
    }
    return ERR_OK;
}

/* ---- which columns ------------------------------------------------------------------------------ */

static OutColumn *out_column(Merge *m, OutList *l, uint32_t prop, PartKind kind)
{
    bool is_new = false;
    const uint32_t at = prop_index_add(&l->index, m->life, prop, l->column_count, &is_new);
    if (!is_new)
        return &l->columns[at];
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

static void add_rest_scale(Merge *m, OutList *to, const PartColumn *c, int64_t value)
{
    (void)value;
    add_scale(m, to, c);
}

static void add_rest_value(Merge *m, OutList *to, const PartColumn *c, int64_t value)
{
    OutColumn *out = out_column(m, to, c->prop, (PartKind)c->kind);
    widen(out, scaled(value, c->scale, out->plan.scale));
    out->values++;
}

/* Of the shared list each value must be looked at: a name gets columns for what it has, not for what the
 * others of that list have. */
static Err each_rest_value(Merge *m, const FilterRows *r, const int64_t *events, void *arg)
{
    const MergeValueFn *fn = arg;
    int64_t *values = (int64_t *)arena_alloc(m->block, r->count + KERNEL_SLACK, 8);
    for (uint32_t c = 0; c < r->list->column_count; c++) {
        const PartColumn *column = &r->part->columns[r->list->first_column + c];
        TRY(merge_read_column(m, r, column, column->scale, values));
        for (uint32_t i = 0; i < r->count; i++) {
            OutList *to = &m->out[m->list_of[events[i]]];
            if (values[i] != PART_MISSING && (column->prop != PROP_EVENT || to->event == PART_REST))
                (*fn)(m, to, column, values[i]);
        }
    }
    return merge_rest_items(m, r, events, *fn, *fn == add_rest_scale);
}

/* The items of a list go where the list goes. */
static void each_own_items(Merge *m, const InPart *in, bool scales)
{
    const Part *part = in->part;
    for (uint32_t i = 0; i < part->head->items_count; i++) {
        const PartItems *items = &part->items[i];
        const PartList *list = &items->list;
        if (is_rest(m, &part->lists[items->of]))
            continue;
        OutList *out = &merge_items_for(m, in->lists[items->of].to, items->prop)->rows;
        out->rows += scales ? list->rows : 0;
        for (uint32_t c = 0; c < list->column_count; c++) {
            if (scales)
                add_scale(m, out, &part->columns[list->first_column + c]);
            else
                add_column(m, out, list, &part->columns[list->first_column + c]);
        }
    }
}

static void each_own_column(Merge *m, bool scales)
{
    for (uint32_t p = 0; p < m->in_count; p++) {
        const Part *part = m->in[p].part;
        for (uint32_t i = 0; i < part->head->list_count; i++) {
            const PartList *list = &part->lists[i];
            if (is_rest(m, list))
                continue;
            OutList *out = &m->out[m->in[p].lists[i].to];
            for (uint32_t c = 0; c < list->column_count; c++) {
                if (scales)
                    add_scale(m, out, &part->columns[list->first_column + c]);
                else
                    add_column(m, out, list, &part->columns[list->first_column + c]);
            }
        }
        each_own_items(m, &m->in[p], scales);
    }
}

static int by_prop(const void *a, const void *b)
{
    const OutColumn *x = a, *y = b;
    return (x->plan.prop > y->plan.prop) - (x->plan.prop < y->plan.prop);
}

/* The index is not asked again. */
static void arrange_columns(OutList *l)
{
    for (uint32_t c = 0; c < l->column_count; c++)
        l->columns[c].plan.nullable = l->columns[c].values < l->rows;
    if (l->column_count > 0)
        qsort(l->columns, l->column_count, sizeof(OutColumn), by_prop);
}

static Err plan_columns(Merge *m)
{
    MergeValueFn scale = add_rest_scale, value = add_rest_value;
    for (uint32_t i = 0; i < m->out_count; i++)
        if (m->out[i].event == PART_REST)
            (void)out_column(m, &m->out[i], PROP_EVENT, PART_CODES);
    each_own_column(m, true);
    TRY(each_rest_stretch(m, each_rest_value, (void *)&scale));
    each_own_column(m, false);
    TRY(each_rest_stretch(m, each_rest_value, (void *)&value));
    for (uint32_t i = 0; i < m->out_count; i++)
        for (uint32_t c = 0; c < m->out[i].column_count; c++) {
            OutColumn *column = &m->out[i].columns[c];
            if (column->plan.prop == PROP_EVENT) {
                column->plan.min = 0;
                column->plan.max = m->event_max;
            }
        }
    for (uint32_t i = 0; i < m->out_count; i++)
        arrange_columns(&m->out[i]);
    merge_arrange_items(m);
    for (uint32_t i = 0; i < m->items_count; i++)
        arrange_columns(&m->items[i].rows);
    return ERR_OK;
}

static const PartColumnPlan *plans_of(const Merge *m, const OutList *l)
{
    PartColumnPlan *columns = ARENA_ARRAY(m->life, PartColumnPlan, (size_t)l->column_count + 1);
    for (uint32_t c = 0; c < l->column_count; c++)
        columns[c] = l->columns[c].plan;
    return columns;
}

/* What is made of one part alone is no larger than it was: that always goes. */
static Err start_builder(Merge *m)
{
    const PartHead *first = m->in[0].part->head, *last = m->in[m->in_count - 1].part->head;
    PartListPlan *lists = ARENA_ARRAY(m->life, PartListPlan, m->out_count);
    PartItemsPlan *items = ARENA_ARRAY(m->life, PartItemsPlan, (size_t)m->items_count + 1);
    uint64_t *rows = ARENA_ARRAY(m->life, uint64_t, (size_t)m->out_count + m->items_count);
    bool fits = true;
    for (uint32_t i = 0; i < m->out_count; i++) {
        const OutList *l = &m->out[i];
        lists[i] = (PartListPlan){l->event, plans_of(m, l), l->column_count};
        rows[i] = l->rows;
    }
    for (uint32_t i = 0; i < m->items_count; i++) {
        const OutItems *x = &m->items[i];
        items[i] = (PartItemsPlan){x->of, x->prop, plans_of(m, &x->rows), x->rows.column_count};
        rows[m->out_count + i] = x->rows.rows;
        fits = fits && x->rows.rows <= PART_ITEMS_MAX;
    }
    const PartPlan plan = {.week_ms = first->week_ms,
                           .from_seq = first->from_seq,
                           .to_seq = last->to_seq,
                           .lists = lists,
                           .list_count = m->out_count,
                           .items = items,
                           .items_count = m->items_count,
                           .generation = m->moved == NULL ? 0 : m->moved->generation};
    const uint64_t bytes = part_plan_bytes(&plan, rows);
    if (m->in_count > 1 && (bytes > m->bytes_max || !fits))
        return fail(m->ctx, ERR_TOO_LARGE, "events.merge", "%" PRIu64 " bytes", bytes);
    m->builder = part_builder_new(&plan);
    return ERR_OK;
}

/* ---- rows of a block wait in windows, one per part ------------------------------------------------- */

static Cell *cells_for(Arena *arena, uint32_t n)
{
    return (void *)arena_bytes(arena, n * sizeof(Cell));
}

/* Where the block's rows stand in each list, and their keys. */
static Err begin_part(Merge *m, InPart *in, uint32_t block)
{
    const PartHead *h = in->part->head;
    in->left = part_sequence_rows(in->part, block, &in->sequence_cursor, &in->first);
    if (in->left > 0 && !part_check_sequence(in->part, in->sequence_cursor))
        return merge_damaged(m, in->part);
    in->moved = moved_block(m->moved, block, in->part->generation);
    in->from = in->to = 0;
    in->last_key = 0;
    for (uint32_t l = 0; in->left > 0 && l < h->list_count; l++) {
        InList *list = &in->lists[l];
        list->rows = part_list_rows(in->part, &in->part->lists[l], block, &list->cursor);
        list->next = 0;
        if (list->rows.count == 0)
            continue;
        list->keys = (uint32_t *)arena_alloc(m->block, list->rows.count + KERNEL_SLACK, 4);
        if (!part_read_keys(in->part, &list->rows, list->keys))
            return merge_damaged(m, in->part);
    }
    if (in->left > 0)
        in->window = cells_for(m->block, in->left < m->window_cells ? in->left : m->window_cells);
    return ERR_OK;
}

/* The next `n` rows of a list as cells. */
static Err read_cells(Merge *m, const InPart *in, uint32_t l, uint32_t n, Cell *cells)
{
    const InList *from = &in->lists[l];
    const PartList *list = &in->part->lists[l];
    const FilterRows r = {
        .part = in->part, .list = list, .first = from->rows.first + from->next, .count = n};
    int64_t *ms = (int64_t *)arena_alloc(m->round, n + KERNEL_SLACK, 8);
    int64_t *events = NULL;
    TRY(merge_read_column(m, &r, part_find_column(in->part, list, PROP_MS), 0, ms));
    if (from->to == PART_REST) {
        events = (int64_t *)arena_alloc(m->round, n + KERNEL_SLACK, 8);
        TRY(read_events(m, &r, events));
    }
    for (uint32_t i = 0; i < n; i++)
        cells[i] = (Cell){.key = (uint64_t)from->keys[from->next + i] << MS_BITS |
                                 (ms[i] == PART_MISSING ? 0 : (uint64_t)ms[i]),
                          .row = r.first + i,
                          .from = (uint16_t)l,
                          .list = (uint16_t)(events == NULL ? from->to : m->list_of[events[i]])};
    return ERR_OK;
}

static bool is_dead(const InPart *in, const Cell *cell)
{
    return in->moved[cell->key >> (PART_SECOND_BITS + MS_BITS)] > in->part->generation;
}

/* The next rows of the sequence, list by list and then in its order; those that are alive. */
static Err fill_window(Merge *m, InPart *in)
{
    const uint32_t n = in->left < m->window_cells ? in->left : m->window_cells;
    uint8_t *codes = (uint8_t *)arena_bytes(m->round, (size_t)n + KERNEL_SLACK);
    Cell *by_list = cells_for(m->round, n);
    uint32_t count[PART_LISTS_MAX + 1] = {0}, next[PART_LISTS_MAX + 1], total = 0;
    if (!part_read_sequence(in->part, in->first, n, codes))
        return merge_damaged(m, in->part);
    for (uint32_t i = 0; i < n; i++)
        count[codes[i]]++;
    for (uint32_t l = 0; l < in->part->head->list_count; l++) {
        next[l] = total;
        if (count[l] > 0)
            TRY(read_cells(m, in, l, count[l], by_list + total));
        in->lists[l].next += count[l];
        total += count[l];
    }
    in->from = in->to = 0;
    for (uint32_t i = 0; i < n; i++) {
        const Cell cell = by_list[next[codes[i]]++];
        if (cell.key < in->last_key)
            return merge_damaged(m, in->part);
        in->last_key = cell.key;
        if (in->moved == NULL || !is_dead(in, &cell))
            in->window[in->to++] = cell;
    }
    in->first += n;
    in->left -= n;
    return ERR_OK;
}

/* ---- a round: the rows that can be put into order, and their values ------------------------------- */

static Source *add_source(Merge *m, OutList *to, Part *part, uint32_t list, uint32_t first,
                          uint32_t count)
{
    Source *s = ARENA_NEW(m->round, Source);
    *s = (Source){to->sources, part, &part->lists[list], first, count, to->count};
    to->sources = s;
    to->count += count;
    return s;
}

/* Rows of a list that stand together and go to one list are read together.  The cells then say where. */
static void add_sources(Merge *m, InPart *in, Cell *cells, uint32_t n)
{
    typedef struct Run {
        uint32_t first, count, list;
        uint16_t from;
        Source *source;
    } Run;
    uint32_t run_of_list[PART_LISTS_MAX], runs = 0;
    uint32_t *const run_of = ARENA_ARRAY(m->round, uint32_t, n);
    Run *const run = ARENA_ARRAY(m->round, Run, n);
    memset(run_of_list, 0xff, sizeof run_of_list);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = run_of_list[cells[i].from];
        if (at == UINT32_MAX || run[at].list != cells[i].list ||
            run[at].first + run[at].count != cells[i].row) {
            at = run_of_list[cells[i].from] = runs++;
            run[at] = (Run){cells[i].row, 0, cells[i].list, cells[i].from, NULL};
        }
        run[at].count++;
        run_of[i] = at;
    }
    for (uint32_t i = 0; i < runs; i++)
        run[i].source =
            add_source(m, &m->out[run[i].list], in->part, run[i].from, run[i].first, run[i].count);
    for (uint32_t i = 0; i < n; i++) {
        const Source *s = run[run_of[i]].source;
        cells[i].row = s->at + (cells[i].row - s->first);
    }
}

/* The values of a column of all sources, each at its place. */
static Err read_sources(Merge *m, const OutList *l, const PartColumnPlan *column, int64_t *out)
{
    for (const Source *s = l->sources; s != NULL; s = s->next) {
        const FilterRows r = {
            .part = s->part, .list = s->list, .first = s->first, .count = s->count};
        if (column->prop == PROP_EVENT && s->list->event != PART_REST)
            for (uint32_t i = 0; i < s->count; i++)
                out[s->at + i] = s->list->event;
        else
            TRY(merge_read_column(m, &r, part_find_column(s->part, s->list, column->prop),
                                  column->scale, out + s->at));
    }
    return ERR_OK;
}

static void add_key(OutList *l, uint32_t key)
{
    if (l->key_count == l->key_cap) {
        l->key_cap = l->key_cap == 0 ? 1024 : l->key_cap * 2;
        l->keys = realloc(l->keys, l->key_cap * sizeof *l->keys);
        CHECK(l->keys != NULL);
    }
    l->keys[l->key_count++] = key;
}

static Err write_list(Merge *m, uint32_t list, const Cell *cells, const uint32_t *rows)
{
    OutList *l = &m->out[list];
    int64_t *read = (int64_t *)arena_alloc(m->round, l->count, sizeof *read);
    int64_t *values = (int64_t *)arena_alloc(m->round, l->count, sizeof *values);
    if (l->items_count > 0)
        TRY(merge_check_items(m, l));
    for (uint32_t i = 0; i < l->count; i++)
        add_key(l, (uint32_t)(cells[rows[i]].key >> MS_BITS));
    for (uint32_t c = 0; c < l->column_count; c++) {
        TRY(read_sources(m, l, &l->columns[c].plan, read));
        for (uint32_t i = 0; i < l->count; i++)
            values[i] = read[cells[rows[i]].row];
        part_builder_values(m->builder, list, c, values, l->count);
    }
    return l->items_count == 0 ? ERR_OK : merge_write_items(m, l, cells, rows);
}

static Err write_rows(Merge *m, uint32_t block, const Cell *cells, uint32_t n)
{
    uint8_t *lists = (uint8_t *)arena_bytes(m->round, n);
    uint32_t *by_list = (uint32_t *)arena_alloc(m->round, n, sizeof *by_list);
    uint32_t next[PART_LISTS_MAX], at = 0;
    for (uint32_t l = 0; l < m->out_count; l++) {
        next[l] = at;
        at += m->out[l].count;
    }
    for (uint32_t i = 0; i < n; i++) {
        lists[i] = (uint8_t)cells[i].list;
        by_list[next[lists[i]]++] = i;
    }
    part_builder_block(m->builder, block, lists, n);
    for (uint32_t l = 0; l < m->out_count; l++) {
        if (m->out[l].count > 0)
            TRY(write_list(m, l, cells, by_list + next[l] - m->out[l].count));
        m->out[l].count = 0;
        m->out[l].sources = NULL;
    }
    return ERR_OK;
}

/* Two ordered stretches into one; of equal keys those of the first come first.  Which one is next cannot be foreseen,
 * so it is no branch. */
static Cell *merge_two(Arena *arena, const Cell *a, uint32_t a_count, const Cell *b,
                       uint32_t b_count)
{
    Cell *const out = cells_for(arena, a_count + b_count);
    uint32_t i = 0, j = 0, n = 0;
    while (i < a_count && j < b_count) {
        const uint32_t second = b[j].key < a[i].key;
        const Cell *const next[] = {a + i, b + j};
        out[n++] = *next[second];
        j += second;
        i += 1 - second;
    }
    memcpy(out + n, a + i, (a_count - i) * sizeof *out);
    memcpy(out + n + (a_count - i), b + j, (b_count - j) * sizeof *out);
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
                                                             : merge_two(m->round, a.cells, a.count,
                                                                         b.cells, b.count),
                                                a.count + b.count};
        }
        n = kept;
    }
    return stretches[0];
}

/*
 * Up to where the windows together are whole: behind the last row that waits of a part that has more, an
 * earlier one of that part could still come.  Of equal keys those of the earlier part come first.
 */
typedef struct Bound {
    uint64_t key;
    uint32_t part;
} Bound;

static Bound bound_of(const Merge *m)
{
    Bound b = {UINT64_MAX, UINT32_MAX};
    for (uint32_t p = 0; p < m->in_count; p++) {
        const InPart *in = &m->in[p];
        if (in->left > 0 && in->window[in->to - 1].key < b.key)
            b = (Bound){in->window[in->to - 1].key, p};
    }
    return b;
}

/* How many of the part's rows lie within the bound. */
static uint32_t count_within(const InPart *in, uint32_t part, Bound b)
{
    uint32_t low = in->from, high = in->to;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const uint64_t key = in->window[middle].key;
        if (key < b.key || (key == b.key && part <= b.part))
            low = middle + 1;
        else
            high = middle;
    }
    return low - in->from;
}

/* *more: the block has rows behind these. */
static Err merge_round(Merge *m, uint32_t block, bool *more)
{
    for (uint32_t p = 0; p < m->in_count; p++)
        while (m->in[p].from == m->in[p].to && m->in[p].left > 0)
            TRY(fill_window(m, &m->in[p]));
    const Bound bound = bound_of(m);
    Stretch *stretches = ARENA_ARRAY(m->round, Stretch, m->in_count);
    for (uint32_t p = 0; p < m->in_count; p++) {
        InPart *in = &m->in[p];
        stretches[p] = (Stretch){NULL, count_within(in, p, bound)};
        if (stretches[p].count == 0) /* it may have no window in this block */
            continue;
        stretches[p].cells = in->window + in->from;
        in->from += stretches[p].count;
        add_sources(m, in, stretches[p].cells, stretches[p].count);
    }
    const Stretch rows = merge_all(m, stretches, m->in_count);
    *more = bound.part != UINT32_MAX;
    return rows.count == 0 ? ERR_OK : write_rows(m, block, rows.cells, rows.count);
}

static Err merge_block(Merge *m, uint32_t block)
{
    for (uint32_t p = 0; p < m->in_count; p++)
        TRY(begin_part(m, &m->in[p], block));
    for (bool more = true; more;) {
        TRY(go_on(m));
        TRY(merge_round(m, block, &more));
        arena_reset(m->round);
    }
    for (uint32_t l = 0; l < m->out_count; l++) {
        if (m->out[l].key_count > 0)
            part_builder_keys(m->builder, l, m->out[l].keys, m->out[l].key_count);
        m->out[l].key_count = 0;
    }
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
        TRY(merge_block(m, block));
        arena_reset(m->block);
    }
    return ERR_OK;
}

static Err merge(Merge *m, PartSink sink, void *arg)
{
    TRY(plan_lists(m));
    TRY(plan_columns(m));
    TRY(start_builder(m));
    TRY(merge_blocks(m));
    return part_builder_finish(m->ctx, m->builder, sink, arg);
}

static uint32_t window_cells(uint32_t parts)
{
    const uint32_t n = WINDOWS_CELLS / parts;
    return n > WINDOW_CELLS ? WINDOW_CELLS : n < WINDOW_CELLS_MIN ? WINDOW_CELLS_MIN : n;
}

Err parts_merge(Ctx *ctx, const PartsMerge *merge_of, PartSink sink, void *arg)
{
    Part *const *parts = merge_of->parts;
    const uint32_t count = merge_of->count;
    CHECK(count > 0);
    Merge m = {.ctx = ctx,
               .life = arena_new(ARENA_BYTES),
               .block = arena_new(ARENA_BYTES),
               .round = arena_new(ARENA_BYTES),
               .in_count = count,
               .bytes_max = merge_of->bytes_max,
               .window_cells = window_cells(count),
               .moved = merge_of->moved,
               .stop = merge_of->stop,
               .exact = merge_of->exact};
    m.in = ARENA_ARRAY(m.life, InPart, count);
    for (uint32_t i = 0; i < count; i++) {
        CHECK(parts[i]->head->week_ms == parts[0]->head->week_ms);
        m.in[i].part = parts[i];
    }
    const Err err = merge(&m, sink, arg);
    part_builder_free(m.builder);
    filter_scratch_free(&m.scratch);
    for (uint32_t l = 0; l < m.out_count; l++)
        free(m.out[l].keys);
    arena_free(m.round);
    arena_free(m.block);
    arena_free(m.life);
    return err;
}
