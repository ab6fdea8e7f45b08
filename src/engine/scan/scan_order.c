/*
 * engine/scan/scan_order.c -- rows of several parts become whole persons, or stretches of ascending time.
 */
#include "engine/scan/scan_inside.h"

/* ---- parts ---------------------------------------------------------------------------------------- */

static void scan_part(Scanner *s, PartScan *p, uint32_t block)
{
    Woven woven;
    if (!scan_read_part(s, p, block, &woven))
        return;
    scan_add_rows(s, p, &woven);
    if (!p->is_base)
        overlap_add(&s->overlap, woven.keys, woven.count);
}

/* ---- grouping by person ------------------------------------------------------------------------ */

static void scatter_more(Scanner *s, uint32_t from, uint32_t to)
{
    const ScanRows *f = &s->found;
    ScanRows *g = &s->grouped;
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
    scan_reserve_rows(&s->grouped, s->found.count, s->ask.prop_count);
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

/* Rows [from, from + n) as `order` says, unless it gives up.  What was found has been grouped: its room is free. */
static void move_rows(Scanner *s, const TimedRow *order, uint32_t from, uint32_t n)
{
    ScanRows *const g = &s->grouped, *const room = &s->found;
    for (uint32_t i = 0; i < n; i++) {
        if (crew_gives_up_at(i))
            return;
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
        s->timed = scan_longer(s->timed, 2 * (size_t)s->timed_cap, sizeof *s->timed);
    }
    for (uint32_t i = 0; i < n && !crew_gives_up_at(i); i++)
        s->timed[i] = (TimedRow){time_of(s, from + i), from + i};
    if (!crew_gives_up(0) && order_runs(s->timed, s->timed + n, n) > 0)
        move_rows(s, s->timed, from, n);
}

/* Parts of one week overlap in time: a person's rows are one run per part. */
static void order_in_time(Scanner *s)
{
    for (uint32_t i = 0; i < PART_BLOCK_PERSONS; i += 64)
        for (uint64_t left = s->overlap.persons[i / 64]; left != 0; left &= left - 1) {
            const uint32_t p = i + (uint32_t)__builtin_ctzll(left);
            if (s->from[p + 1] - s->from[p] > 1 && !crew_gives_up(s->from[p + 1] - s->from[p]))
                order_person(s, s->from[p], s->from[p + 1] - s->from[p]);
        }
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
    s->overlap = (Overlap){.any = false};
}

/* The rows of a pass.  False: there are none, or it gives up. */
static bool read_pass(Scanner *s, uint32_t piece, ScanBatch *out)
{
    begin_rows(s);
    for (uint32_t i = 0; i < s->part_count && !crew_gives_up(1); i++)
        scan_part(s, &s->parts[i], piece);
    if (s->found.count == 0 || !group_rows(s))
        return false;
    if (s->overlap.any)
        order_in_time(s);
    if (crew_gives_up(0))
        return false;
    list_persons(s, piece, out);
    return true;
}

bool scanner_batch(Scanner *s, uint32_t piece, ScanBatch *out)
{
    if (!s->in_piece || s->piece != piece)
        scan_begin_passes(s, s->parts, s->part_count, piece, PART_SECOND_BITS);
    s->piece = piece;
    s->in_piece = true;
    while (scan_next_pass(s))
        if (read_pass(s, piece, out))
            return true;
    s->in_piece = false;
    return false;
}

/* ---- stretches --------------------------------------------------------------------------------- */

static uint32_t code_of(int64_t value)
{
    return value == SCAN_MISSING ? 0 : (uint32_t)value;
}

static void gather_ms(const Scanner *s, const Woven *w, uint16_t *out)
{
    for (uint32_t i = 0; i < w->count; i++)
        out[i] = (uint16_t)s->cell_ms[w->cells[i]];
}

static void gather_codes(const Scanner *s, const Woven *w, uint32_t *out)
{
    for (uint32_t i = 0; i < w->count; i++)
        out[i] = code_of(s->cell_values[0][w->cells[i]]);
}

static void gather_numbers(const Scanner *s, const Woven *w, int64_t *out)
{
    for (uint32_t i = 0; i < w->count; i++)
        out[i] = s->cell_values[1][w->cells[i]];
}

/* What is asked of the rows, in their order; what was found is free. */
static void gather(Scanner *s, const Woven *w, ScanStretch *out)
{
    ScanRows *const room = &s->found;
    scan_reserve_rows(room, w->count, s->ask.prop_count);
    if (s->has_ms)
        gather_ms(s, w, room->ms);
    if (s->ask.prop_count > 0)
        gather_codes(s, w, room->events);
    if (s->ask.prop_count > 1)
        gather_numbers(s, w, room->values[1]);
    out->ms = s->has_ms ? room->ms : NULL;
    out->codes = s->ask.prop_count > 0 ? room->events : NULL;
    out->numbers = s->ask.prop_count > 1 ? room->values[1] : NULL;
}

/* A few at a time. */
static void give(const ScanStretch *all, ScanStretchFn fn, void *arg)
{
    for (uint32_t done = 0; done < all->count; done += WEAVE_STEP_ROWS) {
        ScanStretch some = *all;
        some.count = weave_step(all->count - done);
        some.keys += done;
        some.bits = all->bits == NULL ? NULL : all->bits + done;
        some.lists = all->lists == NULL ? NULL : all->lists + done;
        some.ms = all->ms == NULL ? NULL : all->ms + done;
        some.codes = all->codes == NULL ? NULL : all->codes + done;
        some.numbers = all->numbers == NULL ? NULL : all->numbers + done;
        if (crew_gives_up(some.count))
            return;
        fn(&some, arg);
    }
}

/* Rows of one part go as they lie. */
static void give_part(Scanner *s, const PartScan *p, const Woven *w, uint32_t piece,
                      ScanStretchFn fn, void *arg)
{
    uint32_t of_list[256] = {0};
    ScanStretch stretch = {.count = w->count,
                           .first_person = piece << PART_BLOCK_BITS,
                           .week_s = scan_week_second(s, p),
                           .keys = w->keys,
                           .bits = w->bits,
                           .lists = w->lists,
                           .of_list = of_list};
    for (uint32_t i = 0; i < p->wanted_count; i++)
        of_list[i] = p->wanted[i].selects;
    if (w->bits == NULL && w->lists == NULL) {
        scan_reserve_spare(s, w->count);
        memset(s->spare.lists, (int)w->list, w->count);
        stretch.lists = s->spare.lists;
    }
    gather(s, w, &stretch);
    give(&stretch, fn, arg);
}

/* Rows that were put into order. */
static void give_rows(Scanner *s, uint32_t week_s, uint32_t piece, ScanStretchFn fn, void *arg)
{
    const ScanRows *r = &s->grouped;
    scan_reserve_spare(s, r->count);
    for (uint32_t i = 0; i < r->count && !crew_gives_up_at(i); i++) {
        s->spare.keys[i] = (uint32_t)r->local[i] << PART_SECOND_BITS | (r->rows[i].second - week_s);
        s->spare.bits[i] = r->rows[i].selects;
    }
    for (uint32_t i = 0; s->ask.prop_count > 0 && i < r->count; i++)
        s->spare.cells[i] = code_of(r->values[0][i]);
    give(&(ScanStretch){.count = r->count,
                        .first_person = piece << PART_BLOCK_BITS,
                        .week_s = week_s,
                        .keys = s->spare.keys,
                        .bits = s->spare.bits,
                        .ms = s->has_ms ? r->ms : NULL,
                        .codes = s->ask.prop_count > 0 ? s->spare.cells : NULL,
                        .numbers = s->ask.prop_count > 1 ? r->values[1] : NULL},
         fn, arg);
}

enum { RANK_BITS = 20, WEEK_MS_BITS = 30 }; /* of a part among those of its week */

/* Says of the rows found from `from` on, which are of part number `rank` of their week, where they go: by person,
 * time, arrival. */
static void time_rows(Scanner *s, const PartScan *p, uint32_t from, uint32_t rank)
{
    const ScanRows *r = &s->found;
    const uint32_t week = scan_week_second(s, p);
    if (r->count > s->timed_cap) {
        s->timed_cap = r->count + r->count / 2;
        s->timed = scan_longer(s->timed, 2 * (size_t)s->timed_cap, sizeof *s->timed);
    }
    for (uint32_t i = from; i < r->count; i++) {
        const int64_t ms = (int64_t)(r->rows[i].second - week) * 1000 + (s->has_ms ? r->ms[i] : 0);
        s->timed[i] =
            (TimedRow){((int64_t)r->local[i] << WEEK_MS_BITS | ms) << RANK_BITS | rank, i};
    }
}

/* The rows found become those of `grouped`, in the order of their times. */
static void order_found(Scanner *s)
{
    const ScanRows *const f = &s->found;
    ScanRows *const g = &s->grouped;
    scan_reserve_rows(g, f->count, s->ask.prop_count);
    (void)order_runs(s->timed, s->timed + f->count, f->count);
    for (uint32_t i = 0; i < f->count && !crew_gives_up_at(i); i++) {
        const uint32_t row = s->timed[i].row;
        g->local[i] = f->local[row];
        g->rows[i] = f->rows[row];
        g->ms[i] = f->ms[row];
        for (uint32_t v = 0; v < s->ask.prop_count; v++)
            g->values[v][i] = f->values[v][row];
    }
    g->count = f->count;
}

/* The rows of persons who overlap, of those of the week's largest part: to those that were found.  The others stay. */
static Woven split_base(Scanner *s, const PartScan *p, const Woven *w, uint32_t rank)
{
    uint64_t *set = rows_of_others(&s->set, w->keys, w->count, s->overlap.persons);
    rows_invert(set, w->count);
    scan_reserve_spare(s, w->count);
    const Woven overlapping = scan_take_rows(w, set, &s->spare);
    const uint32_t from = s->found.count;
    scan_add_rows(s, p, &overlapping);
    time_rows(s, p, from, rank);
    rows_invert(set, w->count);
    return scan_take_rows(w, set, &s->woven);
}

/* A pass of a week's parts: who has rows in the largest alone has them in order. */
static void scan_week_pass(Scanner *s, PartScan *parts, uint32_t count, uint32_t piece,
                           ScanStretchFn fn, void *arg)
{
    Woven base = {.count = 0};
    uint32_t largest = 0;
    begin_rows(s);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t from = s->found.count;
        if (parts[i].is_base) {
            largest = i;
            continue;
        }
        scan_part(s, &parts[i], piece);
        time_rows(s, &parts[i], from, i);
        if (crew_gives_up(s->found.count - from))
            return;
    }
    const bool any = scan_read_part(s, &parts[largest], piece, &base);
    if (any && s->overlap.any)
        base = split_base(s, &parts[largest], &base, largest);
    if (crew_gives_up(s->found.count))
        return;
    if (s->found.count > 0) {
        order_found(s);
        give_rows(s, scan_week_second(s, parts), piece, fn, arg);
    }
    if (any && base.count > 0)
        give_part(s, &parts[largest], &base, piece, fn, arg);
}

enum { STRETCH_BITS = 14 }; /* about five hours: the shortest pass */

static void scan_week(Scanner *s, PartScan *parts, uint32_t count, uint32_t piece, ScanStretchFn fn,
                      void *arg)
{
    scan_begin_passes(s, parts, count, piece, STRETCH_BITS);
    while (scan_next_pass(s))
        scan_week_pass(s, parts, count, piece, fn, arg);
}

void scanner_stretches(Scanner *s, uint32_t piece, ScanStretchFn fn, void *arg)
{
    CHECK(s->ask.prop_count <= 2);
    for (uint32_t i = 0, end; i < s->part_count && !crew_gives_up(1); i = end) {
        end = scan_end_of_week(s, i);
        scan_week(s, s->parts + i, end - i, piece, fn, arg);
    }
}
