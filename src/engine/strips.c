/*
 * engine/strips.c
 */
#include "engine/strip_items.h"

#include "engine/kernels.h"

#include <stdlib.h>

typedef struct StripList {
    uint32_t part, list, cursor;
    bool has_dead; /* the part has: rows of persons who were moved since */
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

    uint32_t *keys;
    uint32_t key_cap;
    StripCut *cuts;
    MovedDead *dead; /* of each block under way */
    uint32_t cut_cap, first_block;
    uint64_t set[STRIP_ROWS / 64 + 1], named[STRIP_ROWS / 64 + 1]; /* kernels read a word more */
    FilterScratch scratch;
};

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
    const bool has_dead = !moved_spares(s->view->moved, part);
    for (uint32_t list = 0; list < part->head->list_count; list++)
        if (scan_select_has(s->ask.select, part, list))
            s->lists[s->list_count++] =
                (StripList){.part = number, .list = list, .has_dead = has_dead};
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

static void reserve_keys(Strips *s, uint32_t n)
{
    if (n <= s->key_cap)
        return;
    s->key_cap = n;
    free(s->keys);
    s->keys = malloc(((size_t)n + KERNEL_SLACK) * sizeof *s->keys);
    CHECK(s->keys != NULL);
}

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
} ListRead;

static ListRead list_read(const Strips *s, const StripList *l)
{
    Part *part = s->view->parts[l->part];
    const PartList *list = &part->lists[l->list];
    const bool names = list->event == PART_REST && s->name_codes != NULL;
    return (ListRead){part,
                      list,
                      s->ask.select->filter,
                      names ? &s->names : NULL,
                      l->has_dead,
                      l->has_dead || s->ask.keys[l->part] || s->needs.keys};
}

/* Gathers rows up to STRIP_ROWS, or one block if that has more; the strip's first row in *first.  Gives how many
 * they are: 0 at the end.  *good: not damaged. */
static uint32_t gather(Strips *s, const ListRead *r, StripList *l, uint32_t to, uint32_t *first,
                       uint32_t *cuts, bool *good)
{
    const PartDir *dir = r->part->dir + r->list->first_dir;
    uint32_t count = 0;
    *cuts = 0;
    *good = true;
    for (; l->cursor < r->list->dir_count && dir[l->cursor].block < to; l->cursor++) {
        const uint32_t block = dir[l->cursor].block;
        const PartRows rows = part_list_rows(r->part, r->list, block, &l->cursor);
        if (count > 0 && (s->needs.block || count + rows.count > STRIP_ROWS))
            break;
        if (count == 0)
            *first = rows.first;
        s->cuts[(*cuts)++] = (StripCut){count, block};
        if (r->keys) {
            reserve_keys(s, rows.count < STRIP_ROWS ? STRIP_ROWS : rows.count);
            *good = *good && part_read_keys(r->part, &rows, s->keys + count);
        }
        count += rows.count;
    }
    s->cuts[*cuts] = (StripCut){count, to};
    return count;
}

static void fill_set(uint64_t *set, uint32_t n)
{
    for (uint32_t i = 0; i < kernel_words(n); i++)
        set[i] = n - 64 * i >= 64 ? UINT64_MAX : (UINT64_C(1) << (n - 64 * i)) - 1;
}

/* Rows of persons who were moved elsewhere match nothing. */
static void drop_dead(Strips *s, const Strip *strip)
{
    for (uint32_t c = 0; c < strip->cut_count; c++) {
        const StripCut *cut = &strip->cuts[c];
        const uint64_t *dead = moved_dead(s->view->moved, cut->block, strip->at.part->generation,
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
        drop_dead(s, strip);
    return true;
}

static void read_list(Strips *s, StripList *l, uint32_t from, uint32_t to, StripFn fn, void *arg)
{
    const ListRead r = list_read(s, l);
    const bool is_all = r.filter == NULL && r.names == NULL && !r.has_dead;
    (void)part_list_rows(r.part, r.list, from, &l->cursor);
    uint32_t first = 0, cuts = 0, count;
    bool good;
    while ((count = gather(s, &r, l, to, &first, &cuts, &good)) > 0) {
        for (uint32_t done = 0; good && done < count; done += STRIP_ROWS) {
            const uint32_t some = count - done < STRIP_ROWS ? count - done : STRIP_ROWS;
            if (count > STRIP_ROWS) /* of one block */
                s->cuts[1].row = some;
            const Strip strip = {.at = {r.part, r.list, first + done, some, s->cuts[0].block,
                                        r.keys ? s->keys + done : NULL},
                                 .part = l->part,
                                 .set = is_all ? NULL : s->set,
                                 .cuts = s->cuts,
                                 .cut_count = cuts};
            good = is_all || find_set(s, &r, &strip);
            if (good && s->items != NULL)
                good = item_strips_give(s->items, &strip, fn, arg);
            else if (good)
                fn(&strip, arg);
        }
        s->damaged += good ? 0 : count;
    }
}

void strips_read(Strips *s, uint32_t from, uint32_t to, StripFn fn, void *arg)
{
    reserve_cuts(s, to - from + 1);
    s->first_block = from;
    for (uint32_t i = 0; i < to - from; i++)
        s->dead[i].is_known = false;
    for (uint32_t i = 0; i < s->list_count; i++)
        read_list(s, &s->lists[i], from, to, fn, arg);
}

/* ---- values -------------------------------------------------------------------------------------- */

const PartColumn *strip_column(const Strip *strip, ScanProp prop)
{
    const bool of_event = strip->events != NULL && !prop.of_item;
    return part_find_column(strip->at.part, of_event ? strip->events->at.list : strip->at.list,
                            prop.prop);
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
