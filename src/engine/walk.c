/*
 * engine/walk.c -- the sequence column, and the keys of its lists beside it.
 *
 * Each part gives its rows in order.  Those of several parts are put together person by person with one counting
 * sort; as parts follow each other in arrival, that is nearly always the order of time, too.  Who has rows that are
 * not is put in order alone.
 */
#include "engine/walk.h"

#include "engine/order.h"
#include "engine/weave.h"

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
    uint32_t sequence_cursor;
    uint8_t pick[256]; /* list -> code */
    WalkList *lists;   /* [code] */
} WalkPart;

struct Walker {
    WalkAsk ask;
    WalkPart *parts;
    uint64_t damaged;

    uint32_t row_cap;
    uint32_t *raw; /* keys, list by list */
    uint32_t raw_count;
    uint32_t *keys; /* in order, part by part */
    uint8_t *codes;
    uint8_t *origin; /* which part each row is of */
    uint32_t *grouped_keys;
    uint8_t *grouped_codes, *grouped_origin;
    TimedRow *timed; /* of one person, and as much room again */
    uint32_t timed_cap;
    FilterScratch scratch;
    uint32_t from[PART_BLOCK_PERSONS + 1];

    WalkRows given;
    const uint8_t *given_origin; /* NULL: all are of the first part */
};

static uint32_t person_of(uint32_t key)
{
    return key >> PART_SECOND_BITS;
}

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
    return true;
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
                                .moved = view->moved};
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
    return w;
}

void walker_free(Walker *w)
{
    if (w == NULL)
        return;
    for (uint32_t i = 0; i < w->ask.part_count; i++)
        free(w->parts[i].lists);
    void *const buffers[] = {w->parts,         w->raw,    w->keys,
                             w->codes,         w->origin, w->grouped_keys,
                             w->grouped_codes, w->timed,  w->grouped_origin};
    for (size_t i = 0; i < ARRAY_LEN(buffers); i++)
        free(buffers[i]);
    filter_scratch_free(&w->scratch);
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

/* What is in them stays. */
static void reserve_rows(Walker *w, uint32_t n)
{
    if (n <= w->row_cap)
        return;
    w->row_cap = n + n / 2;
    w->raw = longer(w->raw, w->row_cap, sizeof *w->raw);
    w->keys = longer(w->keys, w->row_cap, sizeof *w->keys);
    w->codes = longer(w->codes, w->row_cap, 1);
    if (w->ask.part_count == 1)
        return;
    w->origin = longer(w->origin, w->row_cap, 1);
    w->grouped_keys = longer(w->grouped_keys, w->row_cap, sizeof *w->grouped_keys);
    w->grouped_codes = longer(w->grouped_codes, w->row_cap, 1);
    w->grouped_origin = longer(w->grouped_origin, w->row_cap, 1);
}

/* ---- one part ------------------------------------------------------------------------------------ */

/* The codes of the rows in their order, to codes[at] and on.  False: sequence and lists do not agree. */
static bool read_codes(Walker *w, WalkPart *p, uint32_t block, uint32_t at, uint32_t count)
{
    uint32_t first = 0;
    const uint32_t n = part_sequence_rows(p->part, block, &p->sequence_cursor, &first);
    reserve_rows(w, at + n); /* as much may be written */
    return weave_read_lists(p->part, first, n, p->pick, count, w->codes + at);
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

static void weave_keys(Walker *w, const WalkPart *p, uint32_t at, uint32_t count)
{
    const uint32_t *from[WALK_CODES_MAX];
    _Static_assert((int)WALK_NONE == (int)KERNEL_PICK_NONE, "what takes no part is not picked");
    for (uint32_t code = 0; code < w->ask.code_count; code++)
        from[code] = w->raw + p->lists[code].at;
    weave_values(w->codes + at, count, from, w->ask.code_count, w->keys + at);
}

/* Rows of persons who were moved elsewhere are left out.  How many stay. */
static uint32_t drop_dead(Walker *w, const Part *part, uint32_t block, uint32_t at, uint32_t count)
{
    const uint32_t *moved = moved_block(w->ask.moved, block, part->generation);
    if (moved == NULL)
        return count;
    uint32_t kept = at;
    for (uint32_t i = at; i < at + count; i++) {
        w->keys[kept] = w->keys[i];
        w->codes[kept] = w->codes[i];
        kept += moved[person_of(w->keys[i])] <= part->generation;
    }
    return kept - at;
}

/* Adds the part's rows behind the `at` that there are.  How many. */
static uint32_t add_part(Walker *w, WalkPart *p, uint32_t block, uint32_t at)
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
    if (!read_keys(w, p) || !read_codes(w, p, block, at, count)) {
        w->damaged += count;
        return 0;
    }
    weave_keys(w, p, at, count);
    return crew_gives_up(0) ? 0 : drop_dead(w, p->part, block, at, count);
}

/* ---- several parts ------------------------------------------------------------------------------- */

static void scatter_rows(Walker *w, uint32_t from, uint32_t end)
{
    uint32_t *const at = w->from;
    for (uint32_t i = from; i < end; i++) {
        const uint32_t to = at[person_of(w->keys[i])]++;
        w->grouped_keys[to] = w->keys[i];
        w->grouped_codes[to] = w->codes[i];
        w->grouped_origin[to] = w->origin[i];
    }
}

static void group_rows(Walker *w, uint32_t count)
{
    uint32_t *const at = w->from;
    memset(at, 0, sizeof w->from);
    for (uint32_t i = 0; i < count; i++)
        at[person_of(w->keys[i]) + 1]++;
    for (uint32_t p = 0; p < PART_BLOCK_PERSONS; p++)
        at[p + 1] += at[p];
    for (uint32_t done = 0, n; done < count && !crew_gives_up(n = weave_step(count - done));
         done += n)
        scatter_rows(w, done, done + n);
    w->given = (WalkRows){count, w->grouped_keys, w->grouped_codes};
    w->given_origin = w->grouped_origin;
    /* Each at[p] is where person p ends now. */
}

enum { MS_ROWS = 64 }; /* as much work as the milliseconds of one */

/* Rows [from, from + n) are one person's, part by part.  The room that they were grouped from is free. */
static void order_person(Walker *w, uint32_t from, uint32_t n)
{
    if (n > w->timed_cap) {
        w->timed_cap = n + n / 2;
        w->timed = longer(w->timed, 2 * w->timed_cap, sizeof *w->timed);
    }
    for (uint32_t i = 0; i < n && !crew_gives_up(MS_ROWS); i++)
        w->timed[i] = (TimedRow){(int64_t)(w->grouped_keys[from + i] & PART_SECOND_MASK) * 1000 +
                                     walker_ms(w, from + i),
                                 from + i};
    if (crew_gives_up(0) || order_runs(w->timed, w->timed + n, n) == 0)
        return;
    for (uint32_t i = 0; i < n; i++) {
        w->keys[i] = w->grouped_keys[w->timed[i].row];
        w->codes[i] = w->grouped_codes[w->timed[i].row];
        w->origin[i] = w->grouped_origin[w->timed[i].row];
    }
    memcpy(w->grouped_keys + from, w->keys, n * sizeof *w->keys);
    memcpy(w->grouped_codes + from, w->codes, n);
    memcpy(w->grouped_origin + from, w->origin, n);
}

/* Within one second of two parts the milliseconds decide. */
static bool may_be_wrong(const Walker *w, uint32_t row)
{
    const uint32_t *keys = w->grouped_keys;
    return keys[row] < keys[row - 1] ||
           (keys[row] == keys[row - 1] && w->grouped_origin[row] != w->grouped_origin[row - 1]);
}

static void order_rows(Walker *w, uint32_t count)
{
    for (uint32_t row = 1; row < count && !crew_gives_up_at(row); row++) {
        if (!may_be_wrong(w, row))
            continue;
        const uint32_t person = person_of(w->grouped_keys[row]);
        const uint32_t from = person == 0 ? 0 : w->from[person - 1], to = w->from[person];
        order_person(w, from, to - from);
        row = to;
    }
}

/* ---- rows ---------------------------------------------------------------------------------------- */

/* Of rows at the edges of the range only some are in it. */
static void cut_rows(Walker *w)
{
    if (w->ask.from_s == 0 && w->ask.to_s >= WALK_SECONDS)
        return;
    const bool grouped = w->given_origin != NULL;
    uint32_t *const keys = grouped ? w->grouped_keys : w->keys;
    uint8_t *const codes = grouped ? w->grouped_codes : w->codes;
    uint8_t *const origin = w->grouped_origin;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < w->given.count; i++) {
        const uint32_t second = keys[i] & PART_SECOND_MASK;
        keys[kept] = keys[i];
        codes[kept] = codes[i];
        if (grouped)
            origin[kept] = origin[i];
        kept += second >= w->ask.from_s && second < w->ask.to_s;
    }
    w->given.count = kept;
}

bool walker_rows(Walker *w, uint32_t piece, WalkRows *out)
{
    uint32_t count = 0, parts = 0;
    w->raw_count = 0;
    for (uint32_t i = 0; i < w->ask.part_count; i++) {
        const uint32_t n = add_part(w, &w->parts[i], piece, count);
        if (w->ask.part_count > 1 && n > 0)
            memset(w->origin + count, (int)i, n);
        count += n;
        parts += n > 0;
    }
    w->given = (WalkRows){count, w->keys, w->codes};
    w->given_origin = NULL;
    if (w->ask.part_count > 1 && count > 0) {
        group_rows(w, count);
        if (parts > 1 && !crew_gives_up(0))
            order_rows(w, count);
    }
    if (crew_gives_up(count))
        return false;
    cut_rows(w);
    *out = w->given;
    return out->count > 0;
}

/* Rows of one part, name and second keep their order: so many are before it. */
static uint32_t count_before(const Walker *w, uint32_t row)
{
    const WalkRows *r = &w->given;
    uint32_t n = 0;
    for (uint32_t i = row; i-- > 0 && r->keys[i] == r->keys[row];)
        n += r->codes[i] == r->codes[row] &&
             (w->given_origin == NULL || w->given_origin[i] == w->given_origin[row]);
    return n;
}

int64_t walker_ms(Walker *w, uint32_t row)
{
    const WalkPart *p = &w->parts[w->given_origin == NULL ? 0 : w->given_origin[row]];
    const WalkList *l = &p->lists[w->given.codes[row]];
    const PartList *list = &p->part->lists[l->list];
    const PartColumn *c = part_find_column(p->part, list, PROP_MS);
    if (c == NULL)
        return 0;
    const uint32_t place =
        part_first_key(w->raw + l->at, l->rows.count, w->given.keys[row]) + count_before(w, row);
    const FilterRows one = {
        .part = p->part, .list = list, .first = l->rows.first + place, .count = 1};
    int64_t ms = 0;
    filter_scratch_reserve(&w->scratch, 1);
    if (!filter_values(&one, c, 0, &w->scratch, &ms))
        w->damaged++;
    return ms;
}
