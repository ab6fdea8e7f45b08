/*
 * engine/scan/scan.c
 */
#include "engine/scan/scan_inside.h"

#include "engine/core/kernels.h"
#include "engine/scan/changes.h"

#include <stdlib.h>

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
    return select_overlaps(s, part->head) && scan_has(s, part->lists[list].event) &&
           filter_verdict(s->filter, part, &part->lists[list]) != FILTER_OF_NONE;
}

static bool select_is_sure(const ScanSelect *s, const Part *part, const PartList *list)
{
    return s->from_ms <= part->head->min_ms && s->to_ms > part->head->max_ms &&
           (list->event != PART_REST || s->events == NULL) &&
           filter_verdict(s->filter, part, list) == FILTER_OF_ALL;
}

static Wanted want_list(const ScanAsk *ask, const Part *part, uint32_t list)
{
    Wanted w = {.list = list};
    for (uint32_t i = 0; i < ask->select_count; i++) {
        const ScanSelect *s = &ask->selects[i];
        if (!scan_select_has(s, part, list))
            continue;
        w.selects |= 1U << i;
        w.sure |= select_is_sure(s, part, &part->lists[list]) ? 1U << i : 0;
    }
    return w;
}

static bool prepare_part(PartScan *p, const ScanView *view, const ScanAsk *ask, Part *part)
{
    *p = (PartScan){.part = part, .known = moved_known(view->moved, part)};
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

uint32_t scan_end_of_week(const Scanner *s, uint32_t from)
{
    const int64_t week_ms = s->parts[from].part->head->week_ms;
    uint32_t end = from + 1;
    while (end < s->part_count && s->parts[end].part->head->week_ms == week_ms)
        end++;
    return end;
}

static void find_base(PartScan *parts, uint32_t count)
{
    PartScan *base = parts;
    for (uint32_t i = 1; i < count; i++)
        base = parts[i].part->head->rows > base->part->head->rows ? &parts[i] : base;
    base->is_base = true;
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
        s->part_count += prepare_part(&s->parts[s->part_count], view, ask, view->parts[i]);
    s->base_ms = s->part_count > 0 ? s->parts[0].part->head->week_ms : 0;
    for (uint32_t i = 0, end; i < s->part_count; i = end) {
        end = scan_end_of_week(s, i);
        find_base(s->parts + i, end - i);
    }
    return s;
}

static void free_rows(ScanRows *r)
{
    free(r->local);
    free(r->rows);
    free(r->ms);
    free(r->events);
    for (int i = 0; i < SCAN_COLUMNS_MAX; i++)
        free(r->values[i]);
}

static void free_woven(WovenRoom *w)
{
    free(w->keys);
    free(w->bits);
    free(w->cells);
    free(w->lists);
}

void scanner_free(Scanner *s)
{
    if (s == NULL)
        return;
    for (uint32_t i = 0; i < s->part_count; i++)
        free(s->parts[i].wanted);
    void *const buffers[] = {s->parts, s->keys, s->bits,  s->cell_events, s->cell_ms,
                             s->mask,  s->iota, s->timed, s->passes};
    for (size_t i = 0; i < ARRAY_LEN(buffers); i++)
        free(buffers[i]);
    for (int i = 0; i < SCAN_COLUMNS_MAX; i++)
        free(s->cell_values[i]);
    free_woven(&s->woven);
    free_woven(&s->spare);
    filter_scratch_free(&s->filter);
    row_set_free(&s->set);
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

static void regrow_woven(WovenRoom *w, size_t room) /* all but the lists */
{
    w->keys = regrown(w->keys, room, sizeof *w->keys);
    w->bits = regrown(w->bits, room, sizeof *w->bits);
    w->cells = regrown(w->cells, room, sizeof *w->cells);
}

void scan_reserve_spare(Scanner *s, uint32_t n)
{
    if (n <= s->spare_cap)
        return;
    s->spare_cap = n + n / 2;
    const size_t room = (size_t)s->spare_cap + KERNEL_SLACK;
    regrow_woven(&s->spare, room);
    s->spare.lists = regrown(s->spare.lists, room, 1);
}

static void reserve_cells(Scanner *s, uint32_t n)
{
    if (n <= s->cell_cap)
        return;
    s->cell_cap = n + n / 2;
    const size_t room = (size_t)s->cell_cap + KERNEL_SLACK;
    s->keys = regrown(s->keys, room, sizeof *s->keys);
    s->bits = regrown(s->bits, room, sizeof *s->bits);
    regrow_woven(&s->woven, room);
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
    s->woven.lists = regrown(s->woven.lists, (size_t)s->list_cap + KERNEL_SLACK, 1);
}

void *scan_longer(void *old, size_t n, size_t size)
{
    void *room = realloc(old, n * size);
    CHECK(room != NULL);
    return room;
}

void scan_reserve_rows(ScanRows *r, uint32_t n, uint32_t props)
{
    if (n <= r->cap)
        return;
    r->cap = n + n / 2;
    const size_t room = (size_t)r->cap + KERNEL_SLACK;
    r->local = scan_longer(r->local, room, sizeof *r->local);
    r->rows = scan_longer(r->rows, room, sizeof *r->rows);
    r->ms = scan_longer(r->ms, room, sizeof *r->ms);
    r->events = scan_longer(r->events, room, sizeof *r->events);
    for (uint32_t i = 0; i < props; i++)
        r->values[i] = scan_longer(r->values[i], room, sizeof(int64_t));
}

/* ---- one list of one block --------------------------------------------------------------------- */

/* An instant, of which some are far away, as one of the week: never behind its end. */
static int64_t in_week(int64_t at_ms, int64_t week_ms)
{
    if (at_ms <= week_ms)
        return 0;
    return at_ms >= week_ms + PART_WEEK_MS ? PART_WEEK_MS : at_ms - week_ms;
}

static void mask_seconds(const uint32_t *restrict keys, uint32_t n, int64_t from_ms, int64_t to_ms,
                         uint8_t *restrict mask)
{
    const int64_t first = from_ms <= 0 ? 0 : (from_ms + 999) / 1000;
    const int64_t end = to_ms <= 0 ? 0 : (to_ms + 999) / 1000;
    const uint32_t span = end <= first ? 0 : (uint32_t)(end - first);
    for (uint32_t i = 0; i < n; i++)
        mask[i] &= (uint8_t)((keys[i] & PART_SECOND_MASK) - (uint32_t)first < span);
}

/* Rows of the list outside the time range of the select lose their mask. */
static void mask_time(const ScanSelect *s, const FilterRows *r, const int64_t *ms, uint8_t *mask)
{
    const int64_t week_ms = r->part->head->week_ms;
    const int64_t from = in_week(s->from_ms, week_ms), to = in_week(s->to_ms, week_ms);
    const uint32_t n = r->count;
    if (from == 0 && to == PART_WEEK_MS)
        return;
    if (ms == NULL) {
        mask_seconds(r->keys, n, from, to, mask);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        const int64_t at = (int64_t)(r->keys[i] & PART_SECOND_MASK) * 1000 + ms[i];
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
    const bool good = c != NULL && filter_values(r, c, PART_PERSON, &s->filter, wide);
    bool odd = false;
    for (uint32_t i = 0; good && i < r->count; i++) {
        out[i] = (uint32_t)wide[i];
        odd |= out[i] == PART_PERSON; /* never among the rest */
    }
    free(wide);
    return good && !odd;
}

static void rescale_values(int64_t *values, uint32_t n, int from, int to)
{
    for (; from < to; from++)
        for (uint32_t i = 0; i < n; i++)
            if (values[i] != SCAN_MISSING && __builtin_mul_overflow(values[i], 10, &values[i]))
                values[i] = SCAN_MISSING;
}

/* Of what is no column of the list, the value of its row `i`. */
static int64_t value_without_column(const FilterRows *r, uint32_t prop, uint32_t i)
{
    switch (prop) {
    case PROP_EVENT:
        return r->list->event;
    case SCAN_PART:
        return (int64_t)(intptr_t)r->part;
    case SCAN_ROW:
        return (int64_t)r->first + i;
    default:
        return SCAN_MISSING;
    }
}

bool scan_values(const FilterRows *r, ScanProp prop, FilterScratch *scratch, int64_t *out)
{
    if (prop.changes != NULL)
        return changes_at(prop.changes, r, scratch, out);
    const PartColumn *c = part_find_column(r->part, r->list, prop.prop);
    for (uint32_t i = 0; c == NULL && i < r->count; i++)
        out[i] = value_without_column(r, prop.prop, i);
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

static void add_bit(const uint8_t *restrict mask, uint32_t n, uint32_t bit, uint32_t *restrict bits)
{
    for (uint32_t i = 0; i < n; i++)
        bits[i] |= (uint32_t)mask[i] << bit;
}

static bool read_bits(Scanner *s, const Wanted *w, const FilterRows *r, const int64_t *ms,
                      const uint32_t *events, uint32_t *bits)
{
    const uint32_t n = r->count, sure = w->sure;
    for (uint32_t i = 0; i < n; i++)
        bits[i] = sure;
    for (uint32_t left = w->selects & ~sure; left != 0; left &= left - 1) {
        const uint32_t i = (uint32_t)__builtin_ctz(left);
        if (!mask_select(s, &s->ask.selects[i], r, ms, events, s->mask))
            return false;
        add_bit(s->mask, n, i, bits);
    }
    return true;
}

/* What is asked of these rows, but their keys, to `cell` and on.  False: damaged. */
static bool read_rest(Scanner *s, const Wanted *w, const FilterRows *r, uint32_t cell)
{
    filter_scratch_reserve(&s->filter, r->count);
    bool any_ms = false;
    if (!read_ms(s, r, s->cell_ms + cell, &any_ms))
        return false;
    s->list_has_ms = any_ms;
    s->has_ms |= any_ms;
    if ((s->ask.wants_events || r->list->event == PART_REST) &&
        !read_events(s, r, s->cell_events + cell))
        return false;
    if (s->needs_bits && !read_bits(s, w, r, any_ms ? s->cell_ms + cell : NULL,
                                    s->cell_events + cell, s->bits + cell))
        return false;
    for (uint32_t i = 0; i < s->ask.prop_count; i++)
        if (!scan_values(r, s->ask.props[i], &s->filter, s->cell_values[i] + cell))
            return false;
    return true;
}

/* Of `n` ascending keys those of the pass, in front; how many, and in *before how many came before them. */
static uint32_t keep_pass(const ScanPass *pass, uint32_t *keys, uint32_t n, uint32_t *before)
{
    *before = pass->from == 0 ? 0 : part_first_key(keys, n, pass->from);
    const uint32_t end = pass->to == UINT32_MAX ? n : part_first_key(keys, n, pass->to);
    if (*before > 0)
        memmove(keys, keys + *before, (end - *before) * sizeof *keys);
    return end - *before;
}

/* The rows of the pass, to `cell` and on; *count of them.  The next pass begins with the step in which this one ends. */
static bool read_list(Scanner *s, const PartScan *p, Wanted *w, uint32_t block, uint32_t cell,
                      uint32_t *count)
{
    PartKeys keys = w->keys;
    bool any_ms = false, is_behind = false;
    *count = 0;
    for (uint32_t done = w->done, n, before; done < w->rows.count && !is_behind; done += n) {
        n = weave_step(w->rows.count - done);
        w->keys = keys;
        w->done = done;
        uint32_t *const to = s->keys + cell + *count;
        if (crew_gives_up(n) || !part_next_keys(&keys, n, to))
            return false;
        const uint32_t some = keep_pass(&s->pass, to, n, &before);
        const FilterRows r = {
            p->part, &p->part->lists[w->list], w->rows.first + done + before, some, block, to};
        if (some > 0 && !read_rest(s, w, &r, cell + *count))
            return false;
        any_ms |= some > 0 && s->list_has_ms;
        is_behind = before + some < n;
        *count += some;
    }
    s->list_has_ms = any_ms;
    return true;
}

/* ---- one part of one block --------------------------------------------------------------------- */

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
    weave_values(s->woven.lists, total, from, p->wanted_count, target);
    return target;
}

/* Puts the lists' rows back into their common order.  False: sequence and lists do not agree. */
static bool weave_lists(Scanner *s, PartScan *p, uint32_t block, const uint32_t *cell_of,
                        Woven *out)
{
    uint32_t first = 0;
    const uint32_t n = part_sequence_rows(p->part, block, &p->sequence_cursor, &first);
    reserve_lists(s, out->count);
    if (n == 0 || !weave_read_lists(p->part, p->sequence_cursor, p->pick, &p->woven, out->count,
                                    s->woven.lists))
        return false;
    out->lists = s->woven.lists;
    out->keys = weave(s, p, cell_of, out->count, s->keys, s->woven.keys);
    if (s->needs_bits)
        out->bits = weave(s, p, cell_of, out->count, s->bits, s->woven.bits);
    if (needs_cells(s))
        out->cells = weave(s, p, cell_of, out->count, s->iota, s->woven.cells);
    return !crew_gives_up(0);
}

Woven scan_take_rows(const Woven *w, const uint64_t *set, const WovenRoom *room)
{
    const Kernels *k = kernels();
    Woven taken = {.count = k->take32(w->keys, w->count, set, room->keys),
                   .keys = room->keys,
                   .list = w->list};
    if (w->lists != NULL) {
        (void)k->take8(w->lists, w->count, set, room->lists);
        taken.lists = room->lists;
    }
    if (w->bits != NULL) {
        (void)k->take32(w->bits, w->count, set, room->bits);
        taken.bits = room->bits;
    }
    if (w->cells != NULL) {
        (void)k->take32(w->cells, w->count, set, room->cells);
        taken.cells = room->cells;
    }
    return taken;
}

/* Persons and seconds; rows that no select takes fall out.  Gives where the rows end now. */
static uint32_t add_keys(ScanRows *r, const PartScan *p, const Woven *w, uint32_t week)
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

/* A part without milliseconds leaves the cells as they were: a later one may have some, and then all rows are looked at. */
static void add_values(const Scanner *s, ScanRows *r, const Woven *w)
{
    const bool has_ms = s->has_ms;
    uint32_t n = r->count;
    for (uint32_t i = 0; i < w->count; i++) {
        const uint32_t cell = w->cells[i];
        r->ms[n] = has_ms ? (uint16_t)s->cell_ms[cell] : 0;
        r->events[n] = s->cell_events[cell];
        for (uint32_t v = 0; v < s->ask.prop_count; v++)
            r->values[v][n] = s->cell_values[v][cell];
        n += w->bits == NULL || w->bits[i] != 0;
    }
}

uint32_t scan_week_second(const Scanner *s, const PartScan *p)
{
    return (uint32_t)((p->part->head->week_ms - s->base_ms) / 1000);
}

static void add_some(Scanner *s, const PartScan *p, const Woven *w)
{
    ScanRows *r = &s->found;
    const uint32_t end = add_keys(r, p, w, scan_week_second(s, p));
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

void scan_add_rows(Scanner *s, const PartScan *p, const Woven *w)
{
    if (scan_is_too_much(s, (uint64_t)s->found.count + w->count)) {
        s->damaged += w->count; /* where nobody hears of the refusal */
        return;
    }
    scan_reserve_rows(&s->found, s->found.count + w->count, s->ask.prop_count);
    for (uint32_t done = 0; done < w->count; done += WEAVE_STEP_ROWS) {
        const Woven some = woven_from(w, done);
        if (crew_gives_up(some.count))
            return;
        add_some(s, p, &some);
    }
}

/* What the lists have in the pass under way, one behind the other.  Milliseconds of lists that have none are made only
 * when others have some. */
static bool read_lists(Scanner *s, PartScan *p, uint32_t block, uint32_t *cell_of, Woven *out,
                       uint32_t *lists)
{
    uint32_t count[PART_LISTS_MAX];
    uint8_t has_ms[PART_LISTS_MAX] = {0};
    for (uint32_t w = 0; w < p->wanted_count; w++) {
        cell_of[w] = out->count;
        if (!read_list(s, p, &p->wanted[w], block, out->count, &count[w]))
            return false;
        has_ms[w] = s->list_has_ms;
        out->count += count[w];
        out->list = count[w] > 0 ? w : out->list;
        *lists += count[w] > 0;
    }
    for (uint32_t w = 0; s->has_ms && w < p->wanted_count; w++)
        if (!has_ms[w])
            memset(s->cell_ms + cell_of[w], 0, count[w] * sizeof *s->cell_ms);
    return true;
}

/* The rows of the part's lists that are of the pass under way.  False: damaged, or it gives up. */
static bool read_woven(Scanner *s, PartScan *p, uint32_t block, Woven *out)
{
    uint32_t cell_of[PART_LISTS_MAX], lists = 0;
    s->needs_bits = false;
    for (uint32_t w = 0; w < p->wanted_count; w++)
        s->needs_bits |= p->wanted[w].rows.count > 0 && p->wanted[w].selects != p->wanted[w].sure;
    if (!read_lists(s, p, block, cell_of, out, &lists))
        return false;
    out->keys = s->keys;
    if (lists > 1)
        return weave_lists(s, p, block, cell_of, out);
    out->bits = s->needs_bits ? s->bits + cell_of[out->list] : NULL;
    out->cells = needs_cells(s) ? s->iota : NULL;
    p->woven.skip += out->count; /* they need no weaving, those of the next pass may */
    return true;
}

bool scan_read_part(Scanner *s, PartScan *p, uint32_t block, Woven *out)
{
    Woven woven = {.count = 0};
    const uint32_t rows = p->rows <= s->pass.rows ? p->rows : s->pass.rows;
    if (rows == 0)
        return false;
    if (scan_is_too_much(s, rows)) {
        s->damaged += rows;
        return false;
    }
    reserve_cells(s, rows == p->rows ? rows : rows + WEAVE_STEP_ROWS);
    if (!read_woven(s, p, block, &woven)) {
        s->damaged += rows;
        return false;
    }
    if (woven.count == 0)
        return false;
    s->dead = moved_dead(s->view->moved, p->known, block, p->part->generation, &s->last_dead);
    *out = woven;
    if (s->dead != NULL)
        *out = scan_take_rows(&woven, rows_of_others(&s->set, woven.keys, woven.count, s->dead),
                              &s->woven);
    return out->count > 0;
}

bool scan_seconds_fit(const ScanView *view, int64_t more_ms)
{
    const uint32_t count = view->part_count;
    const int64_t weeks_ms =
        count == 0 ? 0 : view->parts[count - 1]->head->week_ms - view->parts[0]->head->week_ms;
    return weeks_ms / 1000 + more_ms / 1000 < INT32_MAX - 2 * (PART_WEEK_MS / 1000);
}

uint32_t scan_largest_code(const ScanView *view, const ScanAsk *ask, ScanProp prop)
{
    uint32_t largest = 0;
    if (prop.changes != NULL)
        return UINT32_MAX;
    for (uint32_t i = 0; i < view->part_count; i++) {
        const Part *part = view->parts[i];
        for (uint32_t list = 0; list < part->head->list_count; list++) {
            if (want_list(ask, part, list).selects == 0)
                continue;
            const PartColumn *c = part_find_column(part, &part->lists[list], prop.prop);
            if (c != NULL && c->kind != PART_CODES)
                return UINT32_MAX;
            if (c != NULL && c->max > (int64_t)largest)
                largest = (uint32_t)c->max;
        }
    }
    return largest;
}

/* ---- loose rows -------------------------------------------------------------------------------- */

/* Where one select alone is unsure of the rows, its mask is made without the detour over bits. */
static bool takes_mask(const Scanner *s, const Wanted *w)
{
    return (w->selects & (w->selects - 1)) == 0 && (w->selects != w->sure || s->dead != NULL);
}

/* Rows of persons who were moved elsewhere match nothing.  They are few. */
static void drop_dead(Scanner *s, const Wanted *w, const FilterRows *r)
{
    const bool masked = takes_mask(s, w);
    const uint64_t *alive = rows_of_others(&s->set, r->keys, r->count, s->dead);
    for (uint32_t i = 0; i < kernel_words(r->count); i++)
        for (uint64_t left = ~alive[i]; left != 0; left &= left - 1) {
            const uint32_t row = 64 * i + (uint32_t)__builtin_ctzll(left);
            if (masked)
                s->mask[row] = 0;
            else
                s->bits[row] = 0;
        }
}

static void give_loose(Scanner *s, const PartScan *p, const Wanted *w, const FilterRows *at,
                       ScanLooseFn fn, void *arg)
{
    const bool masked = takes_mask(s, w); /* it is there already */
    for (uint32_t left = w->selects; left != 0; left &= left - 1) {
        const uint32_t i = (uint32_t)__builtin_ctz(left);
        const bool sure = (w->sure >> i & 1) != 0 && s->dead == NULL;
        for (uint32_t row = 0; !sure && !masked && row < at->count; row++)
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

static bool read_mask(Scanner *s, const Wanted *w, const FilterRows *at)
{
    if (w->selects == w->sure) {
        memset(s->mask, 1, at->count);
        return true;
    }
    return mask_select(s, &s->ask.selects[__builtin_ctz(w->selects)], at,
                       s->has_ms ? s->cell_ms : NULL, s->cell_events, s->mask);
}

static void loose_list(Scanner *s, PartScan *p, Wanted *w, uint32_t block, ScanLooseFn fn,
                       void *arg)
{
    const PartList *list = &p->part->lists[w->list];
    const PartRows rows = part_list_rows(p->part, list, block, &w->cursor);
    if (rows.count == 0)
        return;
    reserve_cells(s, weave_step(rows.count));
    s->dead = moved_dead(s->view->moved, p->known, block, p->part->generation, &s->last_dead);
    s->needs_bits = (w->selects != w->sure || s->dead != NULL) && !takes_mask(s, w);
    PartKeys keys = part_keys(p->part, &rows);
    bool good = true;
    for (uint32_t done = 0, n; good && done < rows.count; done += n) {
        n = weave_step(rows.count - done);
        const FilterRows at = {p->part, list, rows.first + done, n, block, s->keys};
        s->has_ms = false;
        good = !crew_gives_up(n) && part_next_keys(&keys, n, s->keys) && read_rest(s, w, &at, 0) &&
               (!takes_mask(s, w) || read_mask(s, w, &at));
        if (good && s->dead != NULL)
            drop_dead(s, w, &at);
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
