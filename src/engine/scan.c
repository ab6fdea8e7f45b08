/*
 * engine/scan.c
 */
#include "engine/scan.h"

#include "engine/order.h"
#include "engine/weave.h"

#include <stdlib.h>

/* What a scan wants of one list. */
typedef struct Wanted {
    uint32_t list;
    uint32_t selects; /* bits: the event name fits */
    uint32_t sure;    /* of them: every row matches, without a look at it */
    uint32_t cursor;
} Wanted;

typedef struct PartScan {
    Part *part;
    Wanted *wanted;
    uint32_t wanted_count;
    uint32_t sequence_cursor;
    uint8_t pick[256]; /* list -> place in `wanted` */
} PartScan;

/* Columns of rows, before they are grouped by person and after. */
typedef struct Rows {
    uint32_t count, cap;
    uint16_t *local; /* person in block; before grouping only */
    ScanRow *rows;
    uint16_t *ms;
    uint32_t *events;
    int64_t *values[SCAN_COLUMNS_MAX];
} Rows;

struct Scanner {
    const ScanView *view;
    ScanAsk ask;
    int64_t base_ms;
    PartScan *parts;
    uint32_t part_count;
    uint64_t damaged;

    /* of the part under way: rows of all wanted lists, one list behind the other */
    uint32_t cell_cap, list_cap;
    uint32_t *keys, *bits, *cells;
    uint32_t *woven_keys, *woven_bits, *woven_cells;
    uint32_t *cell_events;
    int64_t *cell_ms;
    int64_t *cell_values[SCAN_COLUMNS_MAX];
    uint8_t *lists, *mask;
    uint32_t *iota;
    TimedRow *timed; /* of one person, and as much room again */
    uint32_t timed_cap;
    FilterScratch filter;

    Rows found, grouped;
    bool needs_bits;       /* of the part under way: some row may not match */
    const uint32_t *moved; /* of its block: moved_block() */
    bool has_ms, overlaps;
    int64_t last_week_ms;
    uint32_t from[PART_BLOCK_PERSONS + 1];
    uint32_t batch_from[PART_BLOCK_PERSONS + 1];
    uint32_t persons[PART_BLOCK_PERSONS];
};

/* ---- preparing -------------------------------------------------------------------------------- */

static int by_event(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

bool scan_has(const ScanSelect *s, uint32_t event)
{
    if (s->events == NULL)
        return event != PART_PERSON;
    return event == PART_REST ||
           bsearch(&event, s->events, s->event_count, sizeof event, by_event) != NULL;
}

static bool select_overlaps(const ScanSelect *s, const PartHead *h)
{
    return s->from_ms <= h->max_ms && s->to_ms > h->min_ms;
}

bool scan_select_has(const ScanSelect *s, const Part *part, uint32_t list)
{
    return select_overlaps(s, part->head) && scan_has(s, part->lists[list].event);
}

static bool select_is_sure(const ScanSelect *s, const PartHead *h, uint32_t event)
{
    return s->filter == NULL && s->from_ms <= h->min_ms && s->to_ms > h->max_ms &&
           (event != PART_REST || s->events == NULL);
}

static Wanted want_list(const ScanAsk *ask, const Part *part, uint32_t list)
{
    const uint32_t event = part->lists[list].event;
    Wanted w = {.list = list};
    for (uint32_t i = 0; i < ask->select_count; i++) {
        const ScanSelect *s = &ask->selects[i];
        if (!scan_select_has(s, part, list))
            continue;
        w.selects |= 1U << i;
        w.sure |= select_is_sure(s, part->head, event) ? 1U << i : 0;
    }
    return w;
}

static bool prepare_part(PartScan *p, const ScanAsk *ask, Part *part)
{
    *p = (PartScan){.part = part};
    p->wanted = calloc(part->head->list_count, sizeof *p->wanted);
    CHECK(p->wanted != NULL);
    memset(p->pick, KERNEL_PICK_NONE, sizeof p->pick);
    for (uint32_t list = 0; list < part->head->list_count; list++) {
        const Wanted w = want_list(ask, part, list);
        if (w.selects == 0)
            continue;
        p->pick[list] = (uint8_t)p->wanted_count;
        p->wanted[p->wanted_count++] = w;
    }
    if (p->wanted_count > 0)
        return true;
    free(p->wanted);
    return false;
}

Scanner *scanner_new(const ScanView *view, const ScanAsk *ask)
{
    CHECK(ask->select_count > 0 && ask->select_count <= SCAN_SELECTS_MAX &&
          ask->prop_count <= SCAN_COLUMNS_MAX);
    Scanner *s = calloc(1, sizeof *s);
    CHECK(s != NULL);
    s->view = view;
    s->ask = *ask;
    s->parts = calloc(view->part_count + 1, sizeof *s->parts);
    CHECK(s->parts != NULL);
    for (uint32_t i = 0; i < view->part_count; i++)
        s->part_count += prepare_part(&s->parts[s->part_count], ask, view->parts[i]);
    s->base_ms = s->part_count > 0 ? s->parts[0].part->head->week_ms : 0;
    return s;
}

static void free_rows(Rows *r)
{
    free(r->local);
    free(r->rows);
    free(r->ms);
    free(r->events);
    for (int i = 0; i < SCAN_COLUMNS_MAX; i++)
        free(r->values[i]);
}

void scanner_free(Scanner *s)
{
    if (s == NULL)
        return;
    for (uint32_t i = 0; i < s->part_count; i++)
        free(s->parts[i].wanted);
    void *const buffers[] = {s->parts,      s->keys,       s->bits,        s->cells,
                             s->woven_keys, s->woven_bits, s->woven_cells, s->cell_events,
                             s->cell_ms,    s->lists,      s->mask,        s->iota,
                             s->timed};
    for (size_t i = 0; i < ARRAY_LEN(buffers); i++)
        free(buffers[i]);
    for (int i = 0; i < SCAN_COLUMNS_MAX; i++)
        free(s->cell_values[i]);
    filter_scratch_free(&s->filter);
    free_rows(&s->found);
    free_rows(&s->grouped);
    free(s);
}

int64_t scanner_base_ms(const Scanner *s)
{
    return s->base_ms;
}

uint64_t scanner_damaged(const Scanner *s)
{
    return s->damaged;
}

uint32_t scan_pieces(const ScanView *view)
{
    return (view->person_count + PART_BLOCK_PERSONS - 1) / PART_BLOCK_PERSONS;
}

/* ---- buffers ---------------------------------------------------------------------------------- */

static void *regrown(void *old, size_t n, size_t size)
{
    free(old);
    void *room = calloc(n, size);
    CHECK(room != NULL);
    return room;
}

static void reserve_cells(Scanner *s, uint32_t n)
{
    if (n <= s->cell_cap)
        return;
    s->cell_cap = n + n / 2;
    const size_t room = (size_t)s->cell_cap + KERNEL_SLACK;
    s->keys = regrown(s->keys, room, sizeof *s->keys);
    s->bits = regrown(s->bits, room, sizeof *s->bits);
    s->cells = regrown(s->cells, room, sizeof *s->cells);
    s->woven_keys = regrown(s->woven_keys, room, sizeof *s->woven_keys);
    s->woven_bits = regrown(s->woven_bits, room, sizeof *s->woven_bits);
    s->woven_cells = regrown(s->woven_cells, room, sizeof *s->woven_cells);
    s->cell_events = regrown(s->cell_events, room, sizeof *s->cell_events);
    s->cell_ms = regrown(s->cell_ms, room, sizeof *s->cell_ms);
    s->mask = regrown(s->mask, room, 1);
    s->iota = regrown(s->iota, room, sizeof *s->iota);
    for (uint32_t i = 0; i < room; i++)
        s->iota[i] = i;
    for (uint32_t i = 0; i < s->ask.prop_count; i++)
        s->cell_values[i] = regrown(s->cell_values[i], room, sizeof(int64_t));
}

static void reserve_lists(Scanner *s, uint32_t n)
{
    if (n <= s->list_cap)
        return;
    s->list_cap = n + n / 2;
    s->lists = regrown(s->lists, (size_t)s->list_cap + KERNEL_SLACK, 1);
}

static void *longer(void *old, size_t n, size_t size)
{
    void *room = realloc(old, n * size);
    CHECK(room != NULL);
    return room;
}

static void reserve_rows(Rows *r, uint32_t n, uint32_t props)
{
    if (n <= r->cap)
        return;
    r->cap = n + n / 2;
    const size_t room = (size_t)r->cap + KERNEL_SLACK;
    r->local = longer(r->local, room, sizeof *r->local);
    r->rows = longer(r->rows, room, sizeof *r->rows);
    r->ms = longer(r->ms, room, sizeof *r->ms);
    r->events = longer(r->events, room, sizeof *r->events);
    for (uint32_t i = 0; i < props; i++)
        r->values[i] = longer(r->values[i], room, sizeof(int64_t));
}

/* ---- one list of one block --------------------------------------------------------------------- */

/* Rows of the list outside the time range of the select lose their mask. */
static void mask_time(const ScanSelect *s, const FilterRows *r, const int64_t *ms, uint8_t *mask)
{
    const int64_t week_ms = r->part->head->week_ms;
    const int64_t from = s->from_ms - week_ms, to = s->to_ms - week_ms;
    if (from <= 0 && to >= PART_WEEK_MS)
        return;
    for (uint32_t i = 0; i < r->count; i++) {
        const int64_t at =
            (int64_t)(r->keys[i] & PART_SECOND_MASK) * 1000 + (ms == NULL ? 0 : ms[i]);
        mask[i] &= (uint8_t)((at >= from) & (at < to));
    }
}

static void mask_events(const ScanSelect *s, uint32_t n, const uint32_t *events, uint8_t *mask)
{
    for (uint32_t i = 0; i < n; i++)
        mask[i] &= (uint8_t)(bsearch(&events[i], s->events, s->event_count, sizeof *events,
                                     by_event) != NULL);
}

/* Milliseconds of the rows; NULL when all are whole seconds. */
static bool read_ms(Scanner *s, const FilterRows *r, int64_t *out, bool *any)
{
    const PartColumn *c = part_find_column(r->part, r->list, PROP_MS);
    *any = c != NULL && (c->width > 0 || c->base != 0);
    return !*any || filter_values(r, c, 0, &s->filter, out);
}

static bool read_events(Scanner *s, const FilterRows *r, uint32_t *out)
{
    for (uint32_t i = 0; i < r->count; i++)
        out[i] = r->list->event;
    if (r->list->event != PART_REST)
        return true;
    const PartColumn *c = part_find_column(r->part, r->list, PROP_EVENT);
    int64_t *wide = malloc(((size_t)r->count + KERNEL_SLACK) * sizeof *wide);
    CHECK(wide != NULL);
    const bool good = c != NULL && filter_values(r, c, 0, &s->filter, wide);
    for (uint32_t i = 0; good && i < r->count; i++)
        out[i] = (uint32_t)wide[i];
    free(wide);
    return good;
}

static void rescale_values(int64_t *values, uint32_t n, int from, int to)
{
    for (; from < to; from++)
        for (uint32_t i = 0; i < n; i++)
            if (values[i] != SCAN_MISSING && __builtin_mul_overflow(values[i], 10, &values[i]))
                values[i] = SCAN_MISSING;
}

bool scan_values(const FilterRows *r, ScanProp prop, FilterScratch *scratch, int64_t *out)
{
    const PartColumn *c = part_find_column(r->part, r->list, prop.prop);
    const int64_t constant = prop.prop == PROP_EVENT ? (int64_t)r->list->event : SCAN_MISSING;
    for (uint32_t i = 0; c == NULL && i < r->count; i++)
        out[i] = constant;
    if (c == NULL)
        return true;
    filter_scratch_reserve(scratch, r->count);
    if (!filter_values(r, c, SCAN_MISSING, scratch, out))
        return false;
    if (c->kind == PART_NUMBERS)
        rescale_values(out, r->count, c->scale, prop.scale);
    return true;
}

/* One select's answer about the rows. */
static bool mask_select(Scanner *s, const ScanSelect *select, const FilterRows *r,
                        const int64_t *ms, const uint32_t *events, uint8_t *mask)
{
    if (select->filter == NULL)
        memset(mask, 1, r->count);
    else if (!filter_rows(select->filter, r, &s->filter, mask))
        return false;
    mask_time(select, r, ms, mask);
    if (r->list->event == PART_REST && select->events != NULL)
        mask_events(select, r->count, events, mask);
    return true;
}

static bool read_bits(Scanner *s, const Wanted *w, const FilterRows *r, const int64_t *ms,
                      const uint32_t *events, uint32_t *bits)
{
    for (uint32_t i = 0; i < r->count; i++)
        bits[i] = w->sure;
    for (uint32_t left = w->selects & ~w->sure; left != 0; left &= left - 1) {
        const uint32_t i = (uint32_t)__builtin_ctz(left);
        if (!mask_select(s, &s->ask.selects[i], r, ms, events, s->mask))
            return false;
        for (uint32_t row = 0; row < r->count; row++)
            bits[row] |= (uint32_t)s->mask[row] << i;
    }
    return true;
}

/* Rows of persons who were moved elsewhere match nothing. */
static void drop_dead(const Scanner *s, const FilterRows *r, uint32_t *bits)
{
    for (uint32_t i = 0; i < r->count; i++)
        bits[i] = s->moved[r->keys[i] >> PART_SECOND_BITS] > r->part->generation ? 0 : bits[i];
}

/* What is asked of these rows, but their keys, to `cell` and on.  False: damaged. */
static bool read_rest(Scanner *s, const Wanted *w, const FilterRows *r, uint32_t cell)
{
    filter_scratch_reserve(&s->filter, r->count);
    bool any_ms = false;
    if (!read_ms(s, r, s->cell_ms + cell, &any_ms))
        return false;
    if (any_ms)
        s->has_ms = true;
    else
        memset(s->cell_ms + cell, 0, r->count * sizeof *s->cell_ms);
    if ((s->ask.wants_events || r->list->event == PART_REST) &&
        !read_events(s, r, s->cell_events + cell))
        return false;
    if (s->needs_bits && !read_bits(s, w, r, any_ms ? s->cell_ms + cell : NULL,
                                    s->cell_events + cell, s->bits + cell))
        return false;
    if (s->moved != NULL)
        drop_dead(s, r, s->bits + cell);
    for (uint32_t i = 0; i < s->ask.prop_count; i++)
        if (!scan_values(r, s->ask.props[i], &s->filter, s->cell_values[i] + cell))
            return false;
    return true;
}

static bool read_list(Scanner *s, PartScan *p, const Wanted *w, const PartRows *rows,
                      uint32_t block, uint32_t cell)
{
    PartKeys keys = part_keys(p->part, rows);
    for (uint32_t done = 0, n; done < rows->count; done += n, cell += n) {
        n = weave_step(rows->count - done);
        const FilterRows r = {p->part,       &p->part->lists[w->list], rows->first + done, n, block,
                              s->keys + cell};
        if (crew_gives_up(n) || !part_next_keys(&keys, n, s->keys + cell) ||
            !read_rest(s, w, &r, cell))
            return false;
    }
    return true;
}

/* ---- one part of one block --------------------------------------------------------------------- */

/* The rows of one part and block in their order. */
typedef struct Woven {
    uint32_t count;
    const uint32_t *keys;
    const uint32_t *bits; /* the selects of each row; NULL: those of its list */
    const uint8_t *lists; /* place in `wanted`; NULL: all are of `list` */
    uint32_t list;
    const uint32_t *cells; /* where its values are; NULL: nobody asks */
} Woven;

static bool needs_cells(const Scanner *s)
{
    return s->has_ms || s->ask.wants_events || s->ask.prop_count > 0;
}

static const uint32_t *weave(const Scanner *s, const PartScan *p, const uint32_t *cell_of,
                             uint32_t total, const uint32_t *source, uint32_t *target)
{
    const uint32_t *from[PART_LISTS_MAX];
    for (uint32_t w = 0; w < p->wanted_count; w++)
        from[w] = source + cell_of[w];
    weave_values(s->lists, total, from, p->wanted_count, target);
    return target;
}

/* Puts the lists' rows back into their common order.  False: sequence and lists do not agree. */
static bool weave_lists(Scanner *s, PartScan *p, uint32_t block, const uint32_t *cell_of,
                        Woven *out)
{
    uint32_t first = 0;
    const uint32_t n = part_sequence_rows(p->part, block, &p->sequence_cursor, &first);
    reserve_lists(s, n);
    if (!weave_read_lists(p->part, first, n, p->pick, out->count, s->lists))
        return false;
    out->lists = s->lists;
    out->keys = weave(s, p, cell_of, out->count, s->keys, s->woven_keys);
    if (s->needs_bits)
        out->bits = weave(s, p, cell_of, out->count, s->bits, s->woven_bits);
    if (needs_cells(s))
        out->cells = weave(s, p, cell_of, out->count, s->iota, s->woven_cells);
    return !crew_gives_up(0);
}

/* Persons and seconds; rows that no select takes fall out.  Gives where the rows end now. */
static uint32_t add_keys(Rows *r, const PartScan *p, const Woven *w, uint32_t week)
{
    uint32_t n = r->count;
    if (w->bits != NULL) {
        for (uint32_t i = 0; i < w->count; i++) {
            r->local[n] = (uint16_t)(w->keys[i] >> PART_SECOND_BITS);
            r->rows[n] = (ScanRow){w->bits[i], week + (w->keys[i] & PART_SECOND_MASK)};
            n += w->bits[i] != 0;
        }
        return n;
    }
    uint32_t of_list[256] = {0};
    for (uint32_t i = 0; i < p->wanted_count; i++)
        of_list[i] = p->wanted[i].selects;
    for (uint32_t i = 0; i < w->count; i++)
        r->local[n + i] = (uint16_t)(w->keys[i] >> PART_SECOND_BITS);
    for (uint32_t i = 0; i < w->count; i++)
        r->rows[n + i] = (ScanRow){of_list[w->lists == NULL ? w->list : w->lists[i]],
                                   week + (w->keys[i] & PART_SECOND_MASK)};
    return n + w->count;
}

static void add_values(const Scanner *s, Rows *r, const Woven *w)
{
    uint32_t n = r->count;
    for (uint32_t i = 0; i < w->count; i++) {
        const uint32_t cell = w->cells[i];
        r->ms[n] = (uint16_t)s->cell_ms[cell];
        r->events[n] = s->cell_events[cell];
        for (uint32_t v = 0; v < s->ask.prop_count; v++)
            r->values[v][n] = s->cell_values[v][cell];
        n += w->bits == NULL || w->bits[i] != 0;
    }
}

static void add_some(const Scanner *s, Rows *r, const PartScan *p, const Woven *w)
{
    const uint32_t week = (uint32_t)((p->part->head->week_ms - s->base_ms) / 1000);
    const uint32_t end = add_keys(r, p, w, week);
    if (w->cells != NULL)
        add_values(s, r, w);
    else
        memset(r->ms + r->count, 0, (end - r->count) * sizeof *r->ms);
    r->count = end;
}

/* The rows behind the `done` first ones, as many as are looked at together. */
static Woven woven_from(const Woven *w, uint32_t done)
{
    return (Woven){.count = weave_step(w->count - done),
                   .keys = w->keys + done,
                   .bits = w->bits == NULL ? NULL : w->bits + done,
                   .lists = w->lists == NULL ? NULL : w->lists + done,
                   .list = w->list,
                   .cells = w->cells == NULL ? NULL : w->cells + done};
}

static void add_rows(Scanner *s, const PartScan *p, const Woven *w)
{
    Rows *r = &s->found;
    const uint32_t before = r->count;
    reserve_rows(r, before + w->count, s->ask.prop_count);
    for (uint32_t done = 0; done < w->count; done += WEAVE_STEP_ROWS) {
        const Woven some = woven_from(w, done);
        if (crew_gives_up(some.count))
            return;
        add_some(s, r, p, &some);
    }
    s->overlaps |= r->count > before && before > 0 && p->part->head->week_ms == s->last_week_ms;
    s->last_week_ms = p->part->head->week_ms;
}

static bool read_lists(Scanner *s, PartScan *p, uint32_t block, const PartRows *rows,
                       const uint32_t *cell_of)
{
    for (uint32_t w = 0; w < p->wanted_count; w++)
        if (rows[w].count > 0 && !read_list(s, p, &p->wanted[w], &rows[w], block, cell_of[w]))
            return false;
    return true;
}

static void scan_part(Scanner *s, PartScan *p, uint32_t block)
{
    PartRows rows[PART_LISTS_MAX];
    uint32_t cell_of[PART_LISTS_MAX], lists = 0;
    Woven woven = {.count = 0};
    s->moved = moved_block(s->view->moved, block, p->part->generation);
    s->needs_bits = s->moved != NULL;
    for (uint32_t w = 0; w < p->wanted_count; w++) {
        Wanted *wanted = &p->wanted[w];
        rows[w] = part_list_rows(p->part, &p->part->lists[wanted->list], block, &wanted->cursor);
        cell_of[w] = woven.count;
        woven.count += rows[w].count;
        if (rows[w].count == 0)
            continue;
        lists++;
        woven.list = w;
        s->needs_bits |= wanted->selects != wanted->sure;
    }
    if (woven.count == 0)
        return;
    reserve_cells(s, woven.count);
    bool good = read_lists(s, p, block, rows, cell_of);
    woven.keys = s->keys;
    if (good && lists == 1) {
        woven.bits = s->needs_bits ? s->bits : NULL;
        woven.cells = needs_cells(s) ? s->iota : NULL;
    } else if (good) {
        good = weave_lists(s, p, block, cell_of, &woven);
    }
    if (good)
        add_rows(s, p, &woven);
    else
        s->damaged += woven.count;
}

/* ---- grouping by person ------------------------------------------------------------------------ */

static void scatter_more(Scanner *s, uint32_t from, uint32_t to)
{
    const Rows *f = &s->found;
    Rows *g = &s->grouped;
    g->events[to] = f->events[from];
    for (uint32_t v = 0; v < s->ask.prop_count; v++)
        g->values[v][to] = f->values[v][from];
}

static void scatter_rows(Scanner *s, uint32_t from, uint32_t end)
{
    const uint16_t *const local = s->found.local;
    const ScanRow *const rows = s->found.rows;
    const uint16_t *const ms = s->found.ms;
    ScanRow *const to_rows = s->grouped.rows;
    uint16_t *const to_ms = s->grouped.ms;
    uint32_t *const at = s->from;
    const bool has_ms = s->has_ms, more = s->ask.wants_events || s->ask.prop_count > 0;
    for (uint32_t i = from; i < end; i++) {
        const uint32_t to = at[local[i]]++;
        to_rows[to] = rows[i];
        if (has_ms)
            to_ms[to] = ms[i];
        if (more)
            scatter_more(s, i, to);
    }
}

/* Counts, sums up, scatters: stable, so what was in order stays in order.  False: it gives up. */
static bool group_rows(Scanner *s)
{
    reserve_rows(&s->grouped, s->found.count, s->ask.prop_count);
    const uint32_t count = s->found.count;
    const uint16_t *const local = s->found.local;
    uint32_t *const at = s->from;
    memset(at, 0, sizeof s->from);
    for (uint32_t i = 0; i < count; i++)
        at[local[i] + 1]++;
    for (uint32_t p = 0; p < PART_BLOCK_PERSONS; p++)
        at[p + 1] += at[p];
    for (uint32_t done = 0, n; done < count; done += n) {
        n = weave_step(count - done);
        if (crew_gives_up(n))
            return false;
        scatter_rows(s, done, done + n);
    }
    s->grouped.count = count;
    /* Each at[p] is where person p ends now: one place up, it is where p + 1 starts. */
    memmove(at + 1, at, PART_BLOCK_PERSONS * sizeof *at);
    at[0] = 0;
    return true;
}

static int64_t time_of(const Scanner *s, uint32_t row)
{
    return (int64_t)s->grouped.rows[row].second * 1000 + (s->has_ms ? s->grouped.ms[row] : 0);
}

/* Rows [from, from + n) as `order` says.  What was found has been grouped: its room is free. */
static void move_rows(Scanner *s, const TimedRow *order, uint32_t from, uint32_t n)
{
    Rows *const g = &s->grouped, *const room = &s->found;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t row = order[i].row;
        room->rows[i] = g->rows[row];
        room->ms[i] = g->ms[row];
        room->events[i] = g->events[row];
        for (uint32_t v = 0; v < s->ask.prop_count; v++)
            room->values[v][i] = g->values[v][row];
    }
    memcpy(g->rows + from, room->rows, n * sizeof *g->rows);
    memcpy(g->ms + from, room->ms, n * sizeof *g->ms);
    memcpy(g->events + from, room->events, n * sizeof *g->events);
    for (uint32_t v = 0; v < s->ask.prop_count; v++)
        memcpy(g->values[v] + from, room->values[v], n * sizeof *g->values[v]);
}

static void order_person(Scanner *s, uint32_t from, uint32_t n)
{
    if (n > s->timed_cap) {
        s->timed_cap = n + n / 2;
        s->timed = regrown(s->timed, 2 * (size_t)s->timed_cap, sizeof *s->timed);
    }
    for (uint32_t i = 0; i < n; i++)
        s->timed[i] = (TimedRow){time_of(s, from + i), from + i};
    if (order_runs(s->timed, s->timed + n, n) > 0)
        move_rows(s, s->timed, from, n);
}

/* Parts of one week overlap in time: a person's rows are one run per part.  False: it gives up. */
static bool order_in_time(Scanner *s)
{
    for (uint32_t p = 0; p < PART_BLOCK_PERSONS; p++) {
        const uint32_t n = s->from[p + 1] - s->from[p];
        if (crew_gives_up(n))
            return false;
        if (n > 1)
            order_person(s, s->from[p], n);
    }
    return true;
}

static void list_persons(Scanner *s, uint32_t block, ScanBatch *out)
{
    uint32_t n = 0;
    for (uint32_t p = 0; p < PART_BLOCK_PERSONS; p++) {
        s->persons[n] = (block << PART_BLOCK_BITS) + p;
        s->batch_from[n] = s->from[p];
        n += s->from[p + 1] > s->from[p];
    }
    s->batch_from[n] = s->from[PART_BLOCK_PERSONS];
    *out = (ScanBatch){.person_count = n,
                       .persons = s->persons,
                       .from = s->batch_from,
                       .rows = s->grouped.rows,
                       .ms = s->has_ms ? s->grouped.ms : NULL,
                       .events = s->ask.wants_events ? s->grouped.events : NULL,
                       .values = (const int64_t *const *)s->grouped.values};
}

static void begin_rows(Scanner *s)
{
    s->found.count = 0;
    s->has_ms = false;
    s->overlaps = false;
}

bool scanner_batch(Scanner *s, uint32_t piece, ScanBatch *out)
{
    begin_rows(s);
    for (uint32_t i = 0; i < s->part_count && !crew_gives_up(1); i++)
        scan_part(s, &s->parts[i], piece);
    if (s->found.count == 0 || !group_rows(s) || (s->overlaps && !order_in_time(s)) ||
        crew_gives_up(0))
        return false;
    list_persons(s, piece, out);
    return true;
}

/* ---- stretches --------------------------------------------------------------------------------- */

/* The rows found since the last stretches, when there are any.  Those of several parts overlap in time. */
static void give_stretch(Scanner *s, uint32_t piece, ScanStretchFn fn, void *arg)
{
    Rows *rows = &s->found;
    if (rows->count == 0)
        return;
    if (s->overlaps) {
        if (!group_rows(s) || !order_in_time(s))
            return;
        rows = &s->grouped;
        for (uint32_t p = 0; p < PART_BLOCK_PERSONS; p++)
            for (uint32_t row = s->from[p]; row < s->from[p + 1]; row++)
                rows->local[row] = (uint16_t)p;
    }
    for (uint32_t done = 0, n; done < rows->count; done += n) {
        n = weave_step(rows->count - done);
        const ScanStretch stretch = {.count = n,
                                     .first_person = piece << PART_BLOCK_BITS,
                                     .local = rows->local + done,
                                     .rows = rows->rows + done,
                                     .ms = s->has_ms ? rows->ms + done : NULL};
        if (crew_gives_up(n))
            return;
        fn(&stretch, arg);
    }
}

void scanner_stretches(Scanner *s, uint32_t piece, ScanStretchFn fn, void *arg)
{
    begin_rows(s);
    for (uint32_t i = 0; i < s->part_count && !crew_gives_up(1); i++) {
        scan_part(s, &s->parts[i], piece);
        const bool week_goes_on = i + 1 < s->part_count && s->parts[i + 1].part->head->week_ms ==
                                                               s->parts[i].part->head->week_ms;
        if (week_goes_on)
            continue;
        give_stretch(s, piece, fn, arg);
        begin_rows(s);
    }
}

/* ---- loose rows -------------------------------------------------------------------------------- */

static void give_loose(Scanner *s, const PartScan *p, const Wanted *w, const FilterRows *at,
                       ScanLooseFn fn, void *arg)
{
    for (uint32_t left = w->selects; left != 0; left &= left - 1) {
        const uint32_t i = (uint32_t)__builtin_ctz(left);
        const bool sure = (w->sure >> i & 1) != 0 && s->moved == NULL;
        for (uint32_t row = 0; !sure && row < at->count; row++)
            s->mask[row] = s->bits[row] >> i & 1;
        const ScanLoose loose = {.count = at->count,
                                 .first_person = at->block << PART_BLOCK_BITS,
                                 .keys = at->keys,
                                 .ms = s->has_ms ? s->cell_ms : NULL,
                                 .mask = sure ? NULL : s->mask,
                                 .base_ms = p->part->head->week_ms,
                                 .select = i,
                                 .at = at};
        fn(&loose, arg);
    }
}

static void loose_list(Scanner *s, PartScan *p, Wanted *w, uint32_t block, ScanLooseFn fn,
                       void *arg)
{
    const PartList *list = &p->part->lists[w->list];
    const PartRows rows = part_list_rows(p->part, list, block, &w->cursor);
    if (rows.count == 0)
        return;
    reserve_cells(s, weave_step(rows.count));
    s->moved = moved_block(s->view->moved, block, p->part->generation);
    s->needs_bits = w->selects != w->sure || s->moved != NULL;
    PartKeys keys = part_keys(p->part, &rows);
    bool good = true;
    for (uint32_t done = 0, n; good && done < rows.count; done += n) {
        n = weave_step(rows.count - done);
        const FilterRows at = {p->part, list, rows.first + done, n, block, s->keys};
        s->has_ms = false;
        good = !crew_gives_up(n) && part_next_keys(&keys, n, s->keys) && read_rest(s, w, &at, 0);
        if (good)
            give_loose(s, p, w, &at, fn, arg);
    }
    if (!good)
        s->damaged += rows.count;
}

void scanner_loose(Scanner *s, uint32_t piece, ScanLooseFn fn, void *arg)
{
    for (uint32_t i = 0; i < s->part_count && !crew_gives_up(1); i++)
        for (uint32_t w = 0; w < s->parts[i].wanted_count; w++)
            loose_list(s, &s->parts[i], &s->parts[i].wanted[w], piece, fn, arg);
}
