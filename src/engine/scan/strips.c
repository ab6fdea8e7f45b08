/*
 * engine/scan/strips.c
 */
#include "engine/scan/strip_items.h"

#include "engine/core/crew.h"

#include <stdlib.h>

typedef struct StripList {
    uint32_t part, list, cursor;
    bool has_dead;         /* rows of persons who were moved since, */
    const DeadRows *known; /* which are these; NULL = their keys say it */
    bool is_sure;          /* all its rows fulfil the select's filter */
} StripList;

struct Strips {
    const ScanView *view;
    StripAsk ask;
    StripList *lists;
    uint32_t list_count;
    uint64_t damaged;

    FilterNeeds needs;
    ItemStrips *items; /* NULL: the rows are events */
    Filter names;      /* of PART_REST, which holds several names */
    uint8_t *name_codes;

    uint32_t *keys; /* of one strip */
    StripCut *cuts;
    MovedDead *dead; /* of each block under way */
    uint32_t cut_cap, first_block;
    uint32_t end_block; /* behind those that were read: cursors of lists do not go back */
    uint64_t set[STRIP_ROWS / 64 + 1], named[STRIP_ROWS / 64 + 1]; /* kernels read a word more */
    FilterScratch scratch;
};

void *strip_room(size_t size)
{
    void *fresh = malloc((STRIP_ROWS + KERNEL_SLACK) * size);
    CHECK(fresh != NULL);
    return fresh;
}

static void filter_names(Strips *s)
{
    const ScanSelect *select = s->ask.select;
    if (select->events == NULL)
        return;
    const uint32_t n = select->event_count, count = n > 0 ? select->events[n - 1] + 1 : 1;
    s->name_codes = calloc(count, 1);
    CHECK(s->name_codes != NULL);
    for (uint32_t i = 0; i < n; i++)
        s->name_codes[select->events[i]] = 1;
    s->names = (Filter){
        .kind = FILTER_CODES, .prop = PROP_EVENT, .codes = s->name_codes, .code_count = count};
}

static void add_lists(Strips *s, uint32_t number)
{
    const Part *part = s->view->parts[number];
    const DeadRows *known = moved_known(s->view->moved, part);
    const bool has_dead = known == NULL && moved_behind(s->view->moved, part, part->generation);
    for (uint32_t list = 0; list < part->head->list_count; list++)
        if (scan_select_has(s->ask.select, part, list))
            s->lists[s->list_count++] =
                (StripList){.part = number,
                            .list = list,
                            .has_dead = known == NULL ? has_dead : known->lists[list].rows != NULL,
                            .known = known,
                            .is_sure = filter_verdict(s->ask.select->filter, part,
                                                      &part->lists[list]) == FILTER_OF_ALL};
}

Strips *strips_new(const ScanView *view, const StripAsk *ask)
{
    Strips *s = calloc(1, sizeof *s);
    CHECK(s != NULL);
    s->view = view;
    s->ask = *ask;
    uint32_t most = 0;
    for (uint32_t part = 0; part < view->part_count; part++)
        most += view->parts[part]->head->list_count;
    s->lists = malloc((most + 1) * sizeof *s->lists);
    CHECK(s->lists != NULL);
    for (uint32_t part = 0; part < view->part_count; part++)
        add_lists(s, part);
    filter_names(s);
    s->needs = filter_needs(ask->select->filter);
    s->needs.keys |= ask->by_block;
    s->needs.block |= ask->by_block;
    s->items = ask->items == NULL ? NULL : item_strips_new(ask->items);
    s->keys = strip_room(sizeof *s->keys);
    return s;
}

void strips_free(Strips *s)
{
    if (s == NULL)
        return;
    free(s->lists);
    free(s->name_codes);
    free(s->keys);
    free(s->cuts);
    item_strips_free(s->items);
    free(s->dead);
    filter_scratch_free(&s->scratch);
    free(s);
}

uint64_t strips_damaged(const Strips *s)
{
    return s->damaged;
}

/* ---- one list ------------------------------------------------------------------------------------ */

static void reserve_cuts(Strips *s, uint32_t n)
{
    if (n <= s->cut_cap)
        return;
    s->cut_cap = n;
    free(s->cuts);
    free(s->dead);
    s->cuts = malloc(n * sizeof *s->cuts);
    s->dead = malloc(n * sizeof *s->dead);
    CHECK(s->cuts != NULL && s->dead != NULL);
}

/* Of a list: what is the same for all its strips. */
typedef struct ListRead {
    Part *part;
    const PartList *list;
    const Filter *filter, *names; /* NULL = all rows */
    bool has_dead, keys;
    const DeadRows *known;
} ListRead;

static ListRead list_read(const Strips *s, const StripList *l)
{
    Part *part = s->view->parts[l->part];
    const PartList *list = &part->lists[l->list];
    const bool names = list->event == PART_REST && s->name_codes != NULL;
    return (ListRead){part,
                      list,
                      l->is_sure ? NULL : s->ask.select->filter,
                      names ? &s->names : NULL,
                      l->has_dead,
                      (l->has_dead && l->known == NULL) || s->ask.keys[l->part] || s->needs.keys,
                      l->known};
}

/* Blocks whose rows go together: at most STRIP_ROWS, or one block that has more. */
typedef struct Gathered {
    uint32_t first, count; /* rows of the list */
    uint32_t cuts;
    PartKeys keys; /* of rows that are too many for one strip: these are not read yet */
    bool good;     /* not damaged */
} Gathered;

/* The next ones; none at the end. */
static Gathered gather(Strips *s, const ListRead *r, StripList *l, uint32_t to)
{
    const PartDir *dir = r->part->dir + r->list->first_dir;
    Gathered g = {.good = true};
    for (; l->cursor < r->list->dir_count && dir[l->cursor].block < to; l->cursor++) {
        const uint32_t block = dir[l->cursor].block;
        const PartRows rows = part_list_rows(r->part, r->list, block, &l->cursor);
        if (g.count > 0 && (s->needs.block || g.count + rows.count > STRIP_ROWS))
            break;
        if (g.count == 0)
            g.first = rows.first;
        s->cuts[g.cuts++] = (StripCut){g.count, block};
        if (rows.count > STRIP_ROWS)
            g.keys = part_keys(r->part, &rows);
        else if (r->keys)
            g.good = g.good && part_read_keys(r->part, &rows, s->keys + g.count);
        g.count += rows.count;
    }
    s->cuts[g.cuts] = (StripCut){g.count, to};
    return g;
}

static void fill_set(uint64_t *set, uint32_t n)
{
    for (uint32_t i = 0; i < kernel_words(n); i++)
        set[i] = n - 64 * i >= 64 ? UINT64_MAX : (UINT64_C(1) << (n - 64 * i)) - 1;
}

/* Rows of persons who were moved elsewhere match nothing. */
static void drop_dead(Strips *s, const ListRead *r, const Strip *strip)
{
    if (r->known != NULL) {
        dead_rows_drop(r->known, (uint32_t)(r->list - r->part->lists), strip->at.first,
                       strip->at.count, s->set);
        return;
    }
    for (uint32_t c = 0; c < strip->cut_count; c++) {
        const StripCut *cut = &strip->cuts[c];
        const uint64_t *dead =
            moved_dead(s->view->moved, NULL, cut->block, strip->at.part->generation,
                       &s->dead[cut->block - s->first_block]);
        if (dead != NULL)
            kernels()->drop_marked(strip->at.keys, cut[0].row, cut[1].row, PART_SECOND_BITS, dead,
                                   s->set);
    }
}

/* The set of the strip's rows; false: damaged. */
static bool find_set(Strips *s, const ListRead *r, const Strip *strip)
{
    const uint32_t n = strip->at.count;
    if (r->filter == NULL)
        fill_set(s->set, n);
    else if (!filter_set(r->filter, &strip->at, &s->scratch, s->set))
        return false;
    if (r->names != NULL && !filter_set(r->names, &strip->at, &s->scratch, s->named))
        return false;
    for (uint32_t i = 0; r->names != NULL && i < kernel_words(n); i++)
        s->set[i] &= s->named[i];
    if (r->has_dead)
        drop_dead(s, r, strip);
    return true;
}

typedef struct Taker {
    StripFn fn;
    void *arg;
} Taker;

/* The `some` rows of what was gathered behind the `done` first ones.  False: damaged. */
static bool give_strip(Strips *s, const StripList *l, const ListRead *r, const Gathered *g,
                       uint32_t done, uint32_t some, const Taker *to)
{
    const bool is_all = r->filter == NULL && r->names == NULL && !r->has_dead;
    const Strip strip = {
        .at = {r->part, r->list, g->first + done, some, s->cuts[0].block, r->keys ? s->keys : NULL},
        .part = l->part,
        .set = is_all ? NULL : s->set,
        .cuts = s->cuts,
        .cut_count = g->cuts};
    if (!is_all && !find_set(s, r, &strip))
        return false;
    if (s->items != NULL)
        return item_strips_give(s->items, &strip, to->fn, to->arg);
    to->fn(&strip, to->arg);
    return true;
}

/* One block that has more rows than a strip: nobody's may have those of all shops.  False: damaged. */
static bool give_block(Strips *s, const StripList *l, const ListRead *r, Gathered *g,
                       const Taker *to)
{
    for (uint32_t done = 0, some; done < g->count && !crew_gives_up(STRIP_ROWS); done += some) {
        some = g->count - done < STRIP_ROWS ? g->count - done : STRIP_ROWS;
        s->cuts[1].row = some;
        if ((r->keys && !part_next_keys(&g->keys, some, s->keys)) ||
            !give_strip(s, l, r, g, done, some, to))
            return false;
    }
    return true;
}

static void read_list(Strips *s, StripList *l, uint32_t from, uint32_t to, const Taker *taker)
{
    const ListRead r = list_read(s, l);
    (void)part_list_rows(r.part, r.list, from, &l->cursor);
    for (Gathered g; (g = gather(s, &r, l, to)).count > 0 && !crew_gives_up(g.count);) {
        const bool good =
            g.good && (g.count > STRIP_ROWS ? give_block(s, l, &r, &g, taker)
                                            : give_strip(s, l, &r, &g, 0, g.count, taker));
        s->damaged += good ? 0 : g.count;
    }
}

void strips_read(Strips *s, uint32_t from, uint32_t to, StripFn fn, void *arg)
{
    const Taker taker = {fn, arg};
    reserve_cuts(s, to - from + 1);
    for (uint32_t i = 0; from < s->end_block && i < s->list_count; i++)
        s->lists[i].cursor = 0;
    s->end_block = to;
    s->first_block = from;
    for (uint32_t i = 0; i < to - from; i++)
        s->dead[i].is_known = false;
    for (uint32_t i = 0; i < s->list_count; i++)
        read_list(s, &s->lists[i], from, to, &taker);
}

/* ---- values -------------------------------------------------------------------------------------- */

const PartColumn *strip_column(const Strip *strip, ScanProp prop)
{
    const bool of_event = strip->events != NULL && !prop.of_item;
    return part_find_column(strip->at.part, of_event ? strip->events->at.list : strip->at.list,
                            prop.prop);
}

uint32_t strip_pick(const uint64_t *set, uint32_t n, uint32_t *out)
{
    if (set != NULL)
        return kernels()->rows_of(set, n, out);
    for (uint32_t i = 0; i < n; i++)
        out[i] = i;
    return n;
}

/* They are of one event name, or of names that have none of them. */
bool strip_is_alike(const Strip *strip, const ScanProp *props, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const PartColumn *c = strip_column(strip, props[i]);
        if ((c != NULL && c->width > 0) || props[i].changes != NULL)
            return false;
    }
    return true;
}

bool strip_values(const Strip *strip, uint32_t n, ScanProp prop, FilterScratch *scratch,
                  int64_t *out)
{
    const StripEvents *e = strip->events;
    FilterRows at = strip->at;
    at.count = n;
    if (e == NULL || prop.of_item)
        return scan_values(&at, prop, scratch, out);
    if (!scan_values(&e->at, prop, scratch, e->room))
        return false;
    for (uint32_t i = 0; i < n; i++)
        out[i] = e->room[e->of[i]];
    return true;
}
