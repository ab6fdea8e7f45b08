/*
 * engine/scan/walk.c -- the sequence column, and the keys of its lists beside it.
 *
 * Each part gives its rows in order.  Of a week with several the largest one's are given as they come, but for those of
 * whoever has rows in the others too: these are put in order with the others', and given behind.
 */
#include "engine/scan/walk.h"

#include "engine/core/kernels.h"
#include "engine/core/order.h"
#include "engine/part/weave.h"
#include "engine/scan/overlap.h"

#include <stdlib.h>

/* The rows of one code in the part and block under way. */
typedef struct WalkList {
    uint32_t list; /* of the part; part_list_count = it has none */
    uint32_t cursor;
    PartRows rows;
    uint32_t at; /* of its keys in Walker.raw */
} WalkList;

typedef struct WalkPart {
    Part *part;
    const DeadRows *known; /* moved_known() */
    uint32_t sequence_cursor;
    uint8_t pick[256]; /* list -> code */
    WalkList *lists;   /* [code] */
} WalkPart;

/* Rows in order. */
typedef struct WalkRoom {
    uint32_t *keys;
    uint8_t *codes;
    uint8_t *origin; /* which part each row is of; NULL in a week of one part */
} WalkRoom;

/* Rows of one second and person in `given`, and how many of the same part and name stand before each of them there. */
typedef struct WalkInstant {
    uint32_t from, to;
    uint32_t *before;
    uint32_t cap;
    uint32_t *seen; /* [part * code_count + code], all 0 in between */
} WalkInstant;

struct Walker {
    WalkAsk ask;
    WalkPart *parts;
    uint32_t base; /* the largest of them */
    uint64_t damaged;

    uint32_t row_cap;
    uint32_t *raw; /* keys, list by list */
    uint32_t raw_count;
    WalkRoom rows;   /* those that are given */
    WalkRoom beside; /* part by part: of persons who have rows in other parts than the largest */
    Overlap overlap; /* these persons */
    RowSet set;
    MovedDead dead;
    TimedRow *timed; /* of the rows beside, and as much room again */
    uint32_t timed_cap;
    /* of the rows beside: [late, ...) are the largest part's, which came before those of [early, late) */
    uint32_t early, late;
    uint32_t from[PART_BLOCK_PERSONS + 1];
    FilterScratch scratch;
    WalkInstant instant;

    WalkRows given;
    const uint8_t *given_origin; /* NULL: all are of the largest part */
};

/* ---- names --------------------------------------------------------------------------------------- */

static uint32_t count_events(const ScanView *view)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < view->part_count; i++)
        for (uint32_t list = 0; list < view->parts[i]->head->list_count; list++) {
            const uint32_t event = view->parts[i]->lists[list].event;
            count = event != PART_REST && event >= count ? event + 1 : count;
        }
    return count;
}

/* False: it would be one too many, or is several. */
static bool add_name(WalkNames *n, uint32_t event)
{
    if (event != PART_REST && n->codes[event] != WALK_NONE)
        return true;
    if (event == PART_REST || n->count == WALK_CODES_MAX)
        return false;
    n->names[n->count] = event;
    n->codes[event] = (uint8_t)n->count++;
    return true;
}

static bool add_names(WalkNames *n, const Part *part, const ScanSelect *selects, uint32_t count)
{
    for (uint32_t list = 0; list < part->head->list_count; list++) {
        const uint32_t event = part->lists[list].event;
        bool wanted = false;
        for (uint32_t i = 0; i < count; i++)
            wanted = wanted || scan_select_has(&selects[i], part, list);
        if (wanted && !add_name(n, event))
            return false;
    }
    return true;
}

bool walk_names(const ScanView *view, const ScanSelect *selects, uint32_t select_count,
                WalkNames *out)
{
    *out = (WalkNames){.event_count = count_events(view)};
    out->codes = malloc((size_t)out->event_count + 1);
    CHECK(out->codes != NULL);
    memset(out->codes, WALK_NONE, (size_t)out->event_count + 1);
    for (uint32_t i = 0; i < view->part_count; i++)
        if (!add_names(out, view->parts[i], selects, select_count))
            return false;
    return !scan_has_large_block(view);
}

void walk_names_free(WalkNames *names)
{
    free(names->codes);
}

/* ---- weeks --------------------------------------------------------------------------------------- */

bool walk_suffices(const ScanSelect *selects, uint32_t select_count, int64_t gap_ms)
{
    bool whole = gap_ms % 1000 == 0;
    for (uint32_t i = 0; i < select_count; i++)
        whole = whole && selects[i].filter == NULL && selects[i].from_ms % 1000 == 0 &&
                selects[i].to_ms % 1000 == 0;
    return whole;
}

static uint32_t second_in_week(int64_t at_ms, int64_t week_ms)
{
    if (at_ms <= week_ms)
        return 0;
    return at_ms >= week_ms + PART_WEEK_MS ? WALK_SECONDS : (uint32_t)((at_ms - week_ms) / 1000);
}

uint32_t walk_weeks(const ScanView *view, int64_t from_ms, int64_t to_ms, const WalkNames *names,
                    WalkWeek *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0, n = 1; i < view->part_count; i += n, n = 1) {
        const int64_t week_ms = view->parts[i]->head->week_ms;
        while (i + n < view->part_count && view->parts[i + n]->head->week_ms == week_ms)
            n++;
        if (from_ms >= week_ms + PART_WEEK_MS || to_ms <= week_ms)
            continue;
        WalkWeek *week = &out[count++];
        week->view = (ScanView){.parts = view->parts + i,
                                .part_count = n,
                                .person_count = view->person_count,
                                .moved = view->moved,
                                .batch_rows = view->batch_rows,
                                .person_rows_max = view->person_rows_max};
        week->ask = (WalkAsk){.parts = view->parts + i,
                              .part_count = n,
                              .codes = names->codes,
                              .event_count = names->event_count,
                              .code_count = names->count,
                              .from_s = second_in_week(from_ms, week_ms),
                              .to_s = second_in_week(to_ms, week_ms),
                              .moved = view->moved};
    }
    return count;
}

/* ---- preparing ----------------------------------------------------------------------------------- */

static void prepare_part(WalkPart *p, const WalkAsk *ask, Part *part)
{
    p->part = part;
    p->known = moved_known(ask->moved, part);
    p->lists = calloc((size_t)ask->code_count + 1, sizeof *p->lists);
    CHECK(p->lists != NULL);
    memset(p->pick, WALK_NONE, sizeof p->pick);
    for (uint32_t code = 0; code < ask->code_count; code++)
        p->lists[code].list = part->head->list_count;
    for (uint32_t list = 0; list < part->head->list_count; list++) {
        const uint32_t event = part->lists[list].event;
        const uint8_t code = event < ask->event_count ? ask->codes[event] : WALK_NONE;
        p->pick[list] = code;
        if (code != WALK_NONE)
            p->lists[code].list = list;
    }
}

Walker *walker_new(const WalkAsk *ask)
{
    CHECK(ask->code_count <= WALK_CODES_MAX && ask->part_count <= WALK_PARTS_MAX);
    Walker *w = calloc(1, sizeof *w);
    CHECK(w != NULL);
    w->ask = *ask;
    w->parts = calloc(ask->part_count, sizeof *w->parts);
    CHECK(w->parts != NULL);
    for (uint32_t i = 0; i < ask->part_count; i++)
        prepare_part(&w->parts[i], ask, ask->parts[i]);
    w->base = overlap_base(ask->parts, ask->part_count);
    w->instant.seen =
        calloc((size_t)ask->part_count * ask->code_count + 1, sizeof *w->instant.seen);
    CHECK(w->instant.seen != NULL);
    return w;
}

void walker_free(Walker *w)
{
    if (w == NULL)
        return;
    for (uint32_t i = 0; i < w->ask.part_count; i++)
        free(w->parts[i].lists);
    void *const buffers[] = {w->parts,          w->raw,           w->rows.keys,
                             w->rows.codes,     w->rows.origin,   w->beside.keys,
                             w->beside.codes,   w->beside.origin, w->timed,
                             w->instant.before, w->instant.seen};
    for (size_t i = 0; i < ARRAY_LEN(buffers); i++)
        free(buffers[i]);
    filter_scratch_free(&w->scratch);
    row_set_free(&w->set);
    free(w);
}

uint64_t walker_damaged(const Walker *w)
{
    return w->damaged;
}

/* ---- buffers ------------------------------------------------------------------------------------- */

static void *longer(void *old, uint32_t n, size_t size)
{
    void *room = realloc(old, ((size_t)n + KERNEL_SLACK) * size);
    CHECK(room != NULL);
    return room;
}

static void reserve_room(WalkRoom *r, uint32_t n, bool several)
{
    r->keys = longer(r->keys, n, sizeof *r->keys);
    r->codes = longer(r->codes, n, 1);
    if (several)
        r->origin = longer(r->origin, n, 1);
}

/* What is in them stays. */
static void reserve_rows(Walker *w, uint32_t n)
{
    if (n <= w->row_cap)
        return;
    w->row_cap = n + n / 2;
    w->raw = longer(w->raw, w->row_cap, sizeof *w->raw);
    const bool several = w->ask.part_count > 1;
    reserve_room(&w->rows, w->row_cap, several);
    if (several)
        reserve_room(&w->beside, w->row_cap, true);
}

/* ---- one part ------------------------------------------------------------------------------------ */

/* Rows of a part and block: where they go. */
typedef struct WalkTo {
    WalkRoom *room;
    uint32_t at; /* and on */
} WalkTo;

/* The codes of the rows in their order.  False: sequence and lists do not agree. */
static bool read_codes(WalkPart *p, uint32_t block, WalkTo to, uint32_t count)
{
    uint32_t first = 0;
    WeavePlace at = {0};
    const uint32_t n = part_sequence_rows(p->part, block, &p->sequence_cursor, &first);
    return n > 0 && weave_read_lists(p->part, p->sequence_cursor, p->pick, &at, count,
                                     to.room->codes + to.at);
}

static bool read_keys(Walker *w, const WalkPart *p)
{
    for (uint32_t code = 0; code < w->ask.code_count; code++) {
        const WalkList *l = &p->lists[code];
        if (l->rows.count > 0 && !weave_read_keys(p->part, &l->rows, w->raw + l->at))
            return false;
    }
    return true;
}

static void weave_keys(Walker *w, const WalkPart *p, WalkTo to, uint32_t count)
{
    const uint32_t *from[WALK_CODES_MAX];
    _Static_assert((int)WALK_NONE == (int)KERNEL_PICK_NONE, "what takes no part is not picked");
    for (uint32_t code = 0; code < w->ask.code_count; code++)
        from[code] = w->raw + p->lists[code].at;
    weave_values(to.room->codes + to.at, count, from, w->ask.code_count, to.room->keys + to.at);
}

/* Rows of persons who were moved elsewhere are left out.  How many stay. */
static uint32_t drop_dead(Walker *w, const WalkPart *p, uint32_t block, WalkTo to, uint32_t count)
{
    uint32_t *const keys = to.room->keys + to.at;
    uint8_t *const codes = to.room->codes + to.at;
    const uint64_t *dead = moved_dead(w->ask.moved, p->known, block, p->part->generation, &w->dead);
    if (dead == NULL)
        return count;
    const uint64_t *alive = rows_of_others(&w->set, keys, count, dead);
    (void)kernels()->take8(codes, count, alive, codes);
    return kernels()->take32(keys, count, alive, keys);
}

/* The part's rows.  How many. */
static uint32_t add_part(Walker *w, WalkPart *p, uint32_t block, WalkTo to)
{
    uint32_t count = 0;
    for (uint32_t code = 0; code < w->ask.code_count; code++) {
        WalkList *l = &p->lists[code];
        l->at = w->raw_count + count;
        l->rows = (PartRows){0};
        if (l->list < p->part->head->list_count)
            l->rows = part_list_rows(p->part, &p->part->lists[l->list], block, &l->cursor);
        count += l->rows.count;
    }
    if (count == 0)
        return 0;
    w->raw_count += count;
    reserve_rows(w, w->raw_count); /* not less than rows, some of which may be dead */
    if (!read_keys(w, p) || !read_codes(p, block, to, count)) {
        w->damaged += count;
        return 0;
    }
    weave_keys(w, p, to, count);
    return crew_gives_up(0) ? 0 : drop_dead(w, p, block, to, count);
}

/* ---- several parts ------------------------------------------------------------------------------- */

static void reserve_timed(Walker *w, uint32_t n)
{
    if (n <= w->timed_cap)
        return;
    w->timed_cap = n + n / 2;
    w->timed = longer(w->timed, 2 * w->timed_cap, sizeof *w->timed);
}

/* The rows of all parts but the largest.  How many. */
static uint32_t add_beside(Walker *w, uint32_t piece)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->ask.part_count; i++) {
        if (i == w->base) {
            w->early = count;
            continue;
        }
        const uint32_t n = add_part(w, &w->parts[i], piece, (WalkTo){&w->beside, count});
        if (n == 0)
            continue;
        memset(w->beside.origin + count, (int)i, n);
        overlap_add(&w->overlap, w->beside.keys + count, n);
        count += n;
    }
    w->late = count;
    return count;
}

/* Of the `*kept` rows of the largest part, those of persons who overlap go behind the `beside` others.  How many these
 * are then. */
static uint32_t move_overlapping(Walker *w, uint32_t *kept, uint32_t beside)
{
    const Kernels *k = kernels();
    const WalkRoom *from = &w->rows, *to = &w->beside;
    const uint32_t count = *kept;
    uint64_t *set = rows_of_others(&w->set, from->keys, count, w->overlap.persons);
    rows_invert(set, count);
    const uint32_t moved = k->take32(from->keys, count, set, to->keys + beside);
    (void)k->take8(from->codes, count, set, to->codes + beside);
    if (moved > 0)
        memset(to->origin + beside, (int)w->base, moved);
    rows_invert(set, count);
    *kept = k->take32(from->keys, count, set, from->keys);
    (void)k->take8(from->codes, count, set, from->codes);
    return beside + moved;
}

static int64_t read_ms(Walker *w, const WalkPart *p, const WalkList *l, uint32_t place)
{
    const PartList *list = &p->part->lists[l->list];
    const PartColumn *c = part_find_column(p->part, list, PROP_MS);
    const FilterRows one = {
        .part = p->part, .list = list, .first = l->rows.first + place, .count = 1};
    int64_t ms = 0;
    if (c == NULL)
        return 0;
    filter_scratch_reserve(&w->scratch, 1);
    if (!filter_values(&one, c, 0, &w->scratch, &ms))
        w->damaged++;
    return ms;
}

/* Rows [from, to) are of one second and person, part by part: the milliseconds decide.  The rows beside are not needed
 * any more. */
static void order_instant(Walker *w, uint32_t from, uint32_t to)
{
    const WalkRoom *r = &w->rows, *room = &w->beside;
    const uint32_t n = to - from;
    uint32_t seen[WALK_CODES_MAX];
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t origin = r->origin[from + i], code = r->codes[from + i];
        const WalkPart *p = &w->parts[origin];
        const WalkList *l = &p->lists[code];
        if (i == 0 || origin != r->origin[from + i - 1])
            memset(seen, 0, sizeof seen);
        const uint32_t place = part_first_key(w->raw + l->at, l->rows.count, r->keys[from + i]);
        w->timed[i] = (TimedRow){read_ms(w, p, l, place + seen[code]++), from + i};
    }
    if (order_runs(w->timed, w->timed + n, n) == 0)
        return;
    for (uint32_t i = 0; i < n; i++) {
        room->codes[i] = r->codes[w->timed[i].row];
        room->origin[i] = r->origin[w->timed[i].row];
    }
    memcpy(r->codes + from, room->codes, n);
    memcpy(r->origin + from, room->origin, n);
}

/* The first `count` rows beside, in the order of person, second and part, to where they are given from `to` on. */
static void order_seconds(Walker *w, uint32_t count, uint32_t to)
{
    const WalkRoom *from = &w->beside, *given = &w->rows;
    reserve_timed(w, count);
    for (uint32_t i = 0; i < count; i++)
        w->timed[i] = (TimedRow){(int64_t)from->keys[i] << 8 | from->origin[i], i};
    (void)order_runs(w->timed, w->timed + count, count);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t row = w->timed[i].row;
        given->keys[to + i] = from->keys[row];
        given->codes[to + i] = from->codes[row];
        given->origin[to + i] = from->origin[row];
    }
}

static void deal(Walker *w, uint32_t from, uint32_t to)
{
    const WalkRoom *r = &w->beside, *given = &w->rows;
    uint32_t *const at = w->from;
    for (uint32_t i = from; i < to; i++) {
        const uint32_t row = at[r->keys[i] >> PART_SECOND_BITS]++;
        given->keys[row] = r->keys[i];
        given->codes[row] = r->codes[i];
        given->origin[row] = r->origin[i];
    }
}

/* Many rows beside are dealt to their persons in the order of arrival, which is nearly always that of time: who has rows
 * that are not is put in order alone. */
static void deal_beside(Walker *w, uint32_t kept, uint32_t count)
{
    uint32_t *const at = w->from;
    memset(at, 0, sizeof w->from);
    for (uint32_t i = 0; i < count; i++)
        at[(w->beside.keys[i] >> PART_SECOND_BITS) + 1]++;
    at[0] = kept;
    for (uint32_t p = 0; p < PART_BLOCK_PERSONS; p++)
        at[p + 1] += at[p];
    deal(w, 0, w->early);
    deal(w, w->late, count);
    deal(w, w->early, w->late);
    /* Each at[p] is where person p ends now.  The rows beside are not needed any more. */
    for (uint32_t i = kept + 1; i < kept + count; i++) {
        if (w->rows.keys[i] >= w->rows.keys[i - 1])
            continue;
        const uint32_t person = w->rows.keys[i] >> PART_SECOND_BITS;
        const uint32_t from = person == 0 ? kept : at[person - 1], n = at[person] - from;
        memcpy(w->beside.keys, w->rows.keys + from, n * sizeof *w->rows.keys);
        memcpy(w->beside.codes, w->rows.codes + from, n);
        memcpy(w->beside.origin, w->rows.origin + from, n);
        order_seconds(w, n, from);
        i = at[person];
    }
}

enum { MANY_ROWS = 1024 }; /* below, dealing costs more than it saves */

/* The rows beside, behind the `kept` ones: by person and second, then part, and where that does not tell, time. */
static void order_beside(Walker *w, uint32_t kept, uint32_t count)
{
    enum { INSTANT_ROWS = 64 }; /* as much work as the milliseconds of one */
    const WalkRoom *to = &w->rows;
    reserve_timed(w, count);
    if (count < MANY_ROWS)
        order_seconds(w, count, kept);
    else
        deal_beside(w, kept, count);
    for (uint32_t i = kept, end; i < kept + count && !crew_gives_up(INSTANT_ROWS); i = end) {
        for (end = i + 1; end < kept + count && to->keys[end] == to->keys[i]; end++) {
        }
        if (to->origin[i] != to->origin[end - 1])
            order_instant(w, i, end);
    }
}

/* ---- rows ---------------------------------------------------------------------------------------- */

/* Of rows at the edges of the range only some are in it. */
static void cut_rows(Walker *w)
{
    if (w->ask.from_s == 0 && w->ask.to_s >= WALK_SECONDS)
        return;
    uint32_t *const keys = w->rows.keys;
    uint8_t *const codes = w->rows.codes;
    /* or the same again */
    uint8_t *const origin = w->given_origin != NULL ? w->rows.origin : codes;
    const uint32_t count = w->given.count, from_s = w->ask.from_s, span_s = w->ask.to_s - from_s;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t key = keys[i];
        const uint8_t code = codes[i], of = origin[i];
        keys[kept] = key;
        codes[kept] = code;
        origin[kept] = of;
        kept += (key & PART_SECOND_MASK) - from_s < span_s;
    }
    w->given.count = kept;
}

bool walker_rows(Walker *w, uint32_t piece, WalkRows *out)
{
    w->raw_count = 0;
    w->overlap = (Overlap){.any = false};
    w->instant.from = w->instant.to = 0;
    uint32_t beside = add_beside(w, piece);
    uint32_t kept = add_part(w, &w->parts[w->base], piece, (WalkTo){&w->rows, 0});
    w->given_origin = NULL;
    if (beside > 0) {
        beside = move_overlapping(w, &kept, beside);
        memset(w->rows.origin, (int)w->base, kept);
        order_beside(w, kept, beside);
        w->given_origin = w->rows.origin;
    }
    if (crew_gives_up(kept + beside))
        return false;
    w->given = (WalkRows){kept + beside, w->rows.keys, w->rows.codes};
    cut_rows(w);
    *out = w->given;
    return out->count > 0;
}

/* ---- milliseconds ---------------------------------------------------------------------------------- */

static uint32_t origin_of(const Walker *w, uint32_t row)
{
    return w->given_origin == NULL ? w->base : w->given_origin[row];
}

static uint32_t *seen_of(const Walker *w, uint32_t row)
{
    return &w->instant.seen[origin_of(w, row) * w->ask.code_count + w->given.codes[row]];
}

/* Rows of one part, name and second keep their order.  All rows of the second are looked at together: whoever asks
 * about one, asks about the next. */
static void look_at_instant(Walker *w, uint32_t row)
{
    const uint32_t *keys = w->given.keys;
    WalkInstant *t = &w->instant;
    for (t->from = row; t->from > 0 && keys[t->from - 1] == keys[row]; t->from--) {
    }
    for (t->to = row + 1; t->to < w->given.count && keys[t->to] == keys[row]; t->to++) {
    }
    if (t->to - t->from > t->cap) {
        t->cap = 2 * (t->to - t->from);
        t->before = longer(t->before, t->cap, sizeof *t->before);
    }
    for (uint32_t i = t->from; i < t->to; i++)
        t->before[i - t->from] = (*seen_of(w, i))++;
    for (uint32_t i = t->from; i < t->to; i++)
        *seen_of(w, i) = 0;
}

int64_t walker_ms(Walker *w, uint32_t row)
{
    const WalkPart *p = &w->parts[origin_of(w, row)];
    const WalkList *l = &p->lists[w->given.codes[row]];
    const PartColumn *c = part_find_column(p->part, &p->part->lists[l->list], PROP_MS);
    if (c == NULL || c->width == 0) /* all rows have the same, mostly none */
        return c == NULL ? 0 : c->base;
    if (row < w->instant.from || row >= w->instant.to)
        look_at_instant(w, row);
    const uint32_t place = part_first_key(w->raw + l->at, l->rows.count, w->given.keys[row]);
    return read_ms(w, p, l, place + w->instant.before[row - w->instant.from]);
}
