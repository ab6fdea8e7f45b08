/*
 * engine/merge_items.c
 */
#include "engine/core/bits.h"
#include "engine/core/kernels.h"
#include "engine/merge_inside.h"
#include "engine/scan/items.h"

#include <stdlib.h>

enum { TOGETHER = 1 << 16 }; /* items on their way; an event goes whole */
_Static_assert((int)TOGETHER >= (int)ITEMS_OF_EVENT_MAX, "one event at least");

/* ---- which there will be ------------------------------------------------------------------------- */

OutItems *merge_items_for(Merge *m, uint32_t list, uint32_t prop)
{
    bool is_new = false;
    const uint32_t at =
        prop_index_add(&m->out[list].items_index, m->life, prop, m->items_count, &is_new);
    if (!is_new)
        return &m->items[at];
    if (m->items_count == m->items_cap) {
        const uint32_t cap = m->items_cap == 0 ? 16 : m->items_cap * 2;
        OutItems *more = ARENA_ARRAY(m->life, OutItems, cap);
        if (m->items_count > 0)
            memcpy(more, m->items, m->items_count * sizeof *more);
        m->items = more;
        m->items_cap = cap;
    }
    OutItems *items = &m->items[m->items_count++];
    *items = (OutItems){.of = list, .prop = prop};
    return items;
}

static uint32_t size_of(int64_t count)
{
    return count == PART_MISSING ? 0 : (uint32_t)count;
}

static Err counts_of(Merge *m, const FilterRows *r, uint32_t prop, int64_t *counts, ItemsOf *out)
{
    filter_scratch_reserve(&m->scratch, r->count);
    return items_of_rows(r, prop, &m->scratch, counts, out) ? ERR_OK : merge_damaged(m, r->part);
}

/* Some items of one property, and the events that they are of. */
typedef struct RestPiece {
    FilterRows items;
    const int64_t *counts, *events; /* of these events */
    uint32_t event_count;
    uint32_t prop;
    int64_t *values; /* room for those of the items */
} RestPiece;

static OutList *rest_target(Merge *m, const RestPiece *p, uint32_t i)
{
    return &merge_items_for(m, m->list_of[p->events[i]], p->prop)->rows;
}

static Err rest_piece(Merge *m, const RestPiece *p, MergeValueFn fn, bool count)
{
    const FilterRows *r = &p->items;
    for (uint32_t i = 0; count && i < p->event_count; i++)
        if (size_of(p->counts[i]) > 0)
            rest_target(m, p, i)->rows += size_of(p->counts[i]);
    for (uint32_t c = 0; c < r->list->column_count; c++) {
        const PartColumn *column = &r->part->columns[r->list->first_column + c];
        TRY(merge_read_column(m, r, column, column->scale, p->values));
        for (uint32_t i = 0, at = 0; i < p->event_count; i++)
            for (const uint32_t end = at + size_of(p->counts[i]); at < end; at++)
                if (p->values[at] != PART_MISSING)
                    fn(m, rest_target(m, p, i), column, p->values[at]);
    }
    return ERR_OK;
}

Err merge_rest_items(Merge *m, const FilterRows *r, const int64_t *events, MergeValueFn fn,
                     bool count)
{
    const Part *part = r->part;
    int64_t *counts = NULL, *values = NULL;
    for (uint32_t i = 0; i < part->head->items_count; i++) {
        const PartItems *items = &part->items[i];
        ItemsOf of;
        if (&part->lists[items->of] != r->list)
            continue;
        if (counts == NULL) {
            counts = (int64_t *)arena_alloc(m->block, r->count + KERNEL_SLACK, 8);
            values = (int64_t *)arena_alloc(m->block, ITEMS_PIECE + KERNEL_SLACK, 8);
        }
        TRY(counts_of(m, r, items->prop, counts, &of));
        for (uint32_t from = 0, first = of.first; from < r->count;) {
            uint32_t to = from, n = 0;
            while (to < r->count && n + size_of(counts[to]) <= ITEMS_PIECE)
                n += size_of(counts[to++]);
            const RestPiece piece = {items_rows(r, items, first, n),
                                     counts + from,
                                     events + from,
                                     to - from,
                                     items->prop,
                                     values};
            TRY(rest_piece(m, &piece, fn, count));
            first += n;
            from = to;
        }
    }
    return ERR_OK;
}

static int by_list(const void *a, const void *b)
{
    const OutItems *x = a, *y = b;
    if (x->of != y->of)
        return x->of < y->of ? -1 : 1;
    return (x->prop > y->prop) - (x->prop < y->prop);
}

void merge_arrange_items(Merge *m)
{
    if (m->items_count > 0)
        qsort(m->items, m->items_count, sizeof *m->items, by_list);
    for (uint32_t i = 0; i < m->items_count; i++) {
        OutList *of = &m->out[m->items[i].of];
        of->first_items = of->items_count++ == 0 ? i : of->first_items;
    }
}

Err merge_check_items(Merge *m, const OutList *l)
{
    int64_t *counts = (int64_t *)arena_alloc(m->round, (size_t)l->count + KERNEL_SLACK, 8);
    for (uint32_t i = 0; i < l->items_count; i++)
        for (const Source *s = l->sources; s != NULL; s = s->next) {
            const FilterRows r = {
                .part = s->part, .list = s->list, .first = s->first, .count = s->count};
            ItemsOf of;
            TRY(counts_of(m, &r, m->items[l->first_items + i].prop, counts, &of));
        }
    return ERR_OK;
}

/* ---- writing them -------------------------------------------------------------------------------- */

/* The items of one source: those that come next, and of them, those of the piece under way. */
typedef struct SourceItems {
    const Source *source;
    const PartItems *items; /* NULL: there are none */
    uint32_t next;
    uint32_t here, used; /* of the piece: how many, and how many have their place */
    uint32_t at;         /* their place among the values that are read */
} SourceItems;

typedef struct Writing {
    Merge *m;
    const OutItems *to;
    uint32_t number;      /* of `to`, behind the lists */
    const uint32_t *rows; /* in order: their places among those that are read */
    int64_t *counts;      /* by place of the row among the values that are read */
    uint32_t *source_of;  /* the same */
    SourceItems *sources;
    SourceItems **active; /* those that the piece has items of */
    uint32_t active_count;
    uint32_t *places;       /* of the piece's rows: where their items were read to */
    int64_t *read, *values; /* of the piece */
} Writing;

static Err find_sources(Writing *w, const OutList *l)
{
    uint32_t n = 0;
    for (const Source *s = l->sources; s != NULL; s = s->next, n++) {
        const FilterRows r = {
            .part = s->part, .list = s->list, .first = s->first, .count = s->count};
        ItemsOf of;
        TRY(counts_of(w->m, &r, w->to->prop, w->counts + s->at, &of));
        w->sources[n] = (SourceItems){.source = s, .items = of.items, .next = of.first};
        for (uint32_t i = 0; i < s->count; i++)
            w->source_of[s->at + i] = n;
    }
    return ERR_OK;
}

/* How many rows from `from` on make a piece; gives their items' places. */
static uint32_t begin_piece(Writing *w, uint32_t from, uint32_t end, uint32_t *count)
{
    uint32_t to = from, n = 0;
    w->active_count = 0;
    for (; to < end; to++) {
        const uint32_t row = w->rows[to], size = size_of(w->counts[row]);
        if (n + size > TOGETHER)
            break;
        SourceItems *s = &w->sources[w->source_of[row]];
        if (size > 0 && s->here == 0)
            w->active[w->active_count++] = s;
        s->here += size;
        n += size;
    }
    for (uint32_t i = 0, at = 0; i < w->active_count; i++) {
        w->active[i]->at = at;
        at += w->active[i]->here;
    }
    for (uint32_t i = from; i < to; i++) {
        const uint32_t row = w->rows[i];
        SourceItems *s = &w->sources[w->source_of[row]];
        w->places[i - from] = s->at + s->used;
        s->used += size_of(w->counts[row]);
    }
    *count = n;
    return to;
}

/* The values of the piece's items as they stand in the sources, which keep the order of their rows. */
static Err read_piece(Writing *w, const PartColumnPlan *column)
{
    for (uint32_t i = 0; i < w->active_count; i++) {
        const SourceItems *s = w->active[i];
        const FilterRows events = {.part = s->source->part};
        const FilterRows r = items_rows(&events, s->items, s->next, s->here);
        TRY(merge_read_column(w->m, &r, part_find_column(r.part, r.list, column->prop),
                              column->scale, w->read + s->at));
    }
    return ERR_OK;
}

static Err write_piece(Writing *w, uint32_t from, uint32_t to, uint32_t count)
{
    for (uint32_t c = 0; c < w->to->rows.column_count; c++) {
        TRY(read_piece(w, &w->to->rows.columns[c].plan));
        for (uint32_t i = from, n = 0; i < to; i++) {
            const uint32_t size = size_of(w->counts[w->rows[i]]);
            memcpy(w->values + n, w->read + w->places[i - from], size * sizeof *w->values);
            n += size;
        }
        part_builder_values(w->m->builder, w->number, c, w->values, count);
    }
    for (uint32_t i = 0; i < w->active_count; i++) {
        SourceItems *s = w->active[i];
        s->next += s->here;
        s->here = s->used = 0;
    }
    return ERR_OK;
}

static Err write_items(Writing *w, const OutList *l)
{
    TRY(find_sources(w, l));
    for (uint32_t from = 0; from < l->count;) {
        uint32_t count = 0;
        const uint32_t to = begin_piece(w, from, l->count, &count);
        TRY(write_piece(w, from, to, count));
        from = to;
    }
    return ERR_OK;
}

Err merge_write_items(Merge *m, const OutList *l, const uint32_t *places)
{
    uint32_t sources = 0;
    for (const Source *s = l->sources; s != NULL; s = s->next)
        sources++;
    const size_t room = (size_t)l->count + KERNEL_SLACK;
    Writing w = {.m = m, .rows = places};
    w.counts = (int64_t *)arena_alloc(m->round, room, sizeof *w.counts);
    w.source_of = (uint32_t *)arena_alloc(m->round, room, sizeof *w.source_of);
    w.places = (uint32_t *)arena_alloc(m->round, room, sizeof *w.places);
    w.sources = ARENA_ARRAY(m->round, SourceItems, sources);
    w.active = ARENA_ARRAY(m->round, SourceItems *, sources);
    if (m->item_values == NULL)
        m->item_values =
            (int64_t *)arena_alloc(m->life, 2 * (TOGETHER + KERNEL_SLACK), sizeof *m->item_values);
    w.read = m->item_values;
    w.values = m->item_values + TOGETHER + KERNEL_SLACK;
    for (uint32_t i = 0; i < l->items_count; i++) {
        w.number = m->out_count + l->first_items + i;
        w.to = &m->items[l->first_items + i];
        TRY(write_items(&w, l));
    }
    return ERR_OK;
}
