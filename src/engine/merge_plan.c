/*
 * engine/merge_plan.c -- which lists and columns the merged part will have: before the first row is written.
 */
#include "engine/merge_inside.h"

#include "engine/core/kernels.h"

#include <stdlib.h>

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
        TRY(merge_go_on(m));
        TRY(merge_read_events(m, &r, events));
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
        lists[i] = (PartListPlan){l->event, plans_of(m, l), l->column_count, l->rows};
        rows[i] = l->rows;
    }
    for (uint32_t i = 0; i < m->items_count; i++) {
        const OutItems *x = &m->items[i];
        items[i] = (PartItemsPlan){x->of, x->prop, plans_of(m, &x->rows), x->rows.column_count,
                                   x->rows.rows};
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

Err merge_plan(Merge *m)
{
    TRY(plan_lists(m));
    TRY(plan_columns(m));
    return start_builder(m);
}
