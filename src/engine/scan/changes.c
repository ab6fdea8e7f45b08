/*
 * engine/scan/changes.c
 */
#include "engine/scan/changes.h"

#include <pthread.h>
#include <stdlib.h>

/* Where the row stands that says it: arrival at one instant is by part, then as the part's sequence says. */
typedef struct ChangePlace {
    uint32_t part; /* of the view */
    uint32_t row;  /* of the part's PART_PERSON */
} ChangePlace;

typedef struct ChangesPiece {
    uint32_t from[PART_BLOCK_PERSONS + 1]; /* the changes [from[i], from[i + 1]) are person i's */
    int64_t *ms;
    ChangePlace *places;
    int64_t *values; /* NULL: they are 0 and 1 in turn */
} ChangesPiece;

/* ---- finding them -------------------------------------------------------------------------------- */

typedef struct ChangesWorker {
    Scanner *scanner;
    uint32_t part; /* of the view: that of the last row, where the next one's mostly is */
    ChangesPiece found;
    uint32_t count, cap;
} ChangesWorker;

typedef struct ChangesRun {
    Ctx *ctx;
    Changes *c;
    ChangesWorker *workers;
    pthread_mutex_t lock; /* of the arena */
    _Atomic uint64_t count;
} ChangesRun;

enum { VALUE_PART, VALUE_ROW, VALUE_OF, VALUES }; /* the scan's properties */

static uint32_t part_of(ChangesWorker *w, const ScanView *view, int64_t address)
{
    while ((int64_t)(intptr_t)view->parts[w->part] != address)
        w->part = w->part + 1 < view->part_count ? w->part + 1 : 0;
    return w->part;
}

static void *longer(void *old, size_t n, size_t size)
{
    void *room = realloc(old, n * size);
    CHECK(room != NULL);
    return room;
}

static void add_change(ChangesWorker *w, int64_t ms, ChangePlace place, int64_t value)
{
    ChangesPiece *f = &w->found;
    if (w->count == w->cap) {
        w->cap = w->cap * 2 + 1024;
        f->ms = longer(f->ms, w->cap, sizeof *f->ms);
        f->places = longer(f->places, w->cap, sizeof *f->places);
        f->values = longer(f->values, w->cap, sizeof *f->values);
    }
    f->ms[w->count] = ms;
    f->places[w->count] = place;
    f->values[w->count++] = value;
}

static int64_t value_of_row(const Changes *c, const ScanBatch *b, uint32_t row)
{
    return c->holds != NULL ? b->rows[row].selects >> 1 & 1 : b->values[VALUE_OF][row];
}

/* Rows [from, to) are of one person. */
static void take_person(const Changes *c, ChangesWorker *w, const ScanBatch *b, uint32_t from,
                        uint32_t to)
{
    const int64_t base_ms = scanner_base_ms(w->scanner);
    int64_t last = c->before;
    if (c->is_latest) {
        last = value_of_row(c, b, to - 1);
        if (last != c->before)
            add_change(w, INT64_MIN, (ChangePlace){0}, last);
        return;
    }
    for (uint32_t row = from; row < to; row++) {
        const int64_t value = value_of_row(c, b, row);
        if (value == last)
            continue;
        const ChangePlace place = {part_of(w, c->view, b->values[VALUE_PART][row]),
                                   (uint32_t)b->values[VALUE_ROW][row]};
        add_change(w, base_ms + scan_ms(b, row), place, value);
        last = value;
    }
}

static void *kept(Arena *arena, const void *from, size_t n, size_t size)
{
    void *to = arena_bytes(arena, n * size);
    memcpy(to, from, n * size);
    return to;
}

/* The worker's room is for the next piece again. */
static void keep_piece(ChangesRun *run, const ChangesWorker *w, uint32_t piece)
{
    Arena *arena = run->ctx->arena;
    CHECK(pthread_mutex_lock(&run->lock) == 0);
    if (atomic_fetch_add(&run->count, w->count) + w->count <= CHANGES_MAX) {
        ChangesPiece *p = kept(arena, &w->found, 1, sizeof *p);
        p->ms = kept(arena, w->found.ms, w->count, sizeof *p->ms);
        p->places = kept(arena, w->found.places, w->count, sizeof *p->places);
        p->values = run->c->holds != NULL
                        ? NULL
                        : kept(arena, w->found.values, w->count, sizeof *p->values);
        run->c->pieces[piece] = p;
    }
    CHECK(pthread_mutex_unlock(&run->lock) == 0);
}

static void take_piece(uint32_t worker, uint32_t piece, void *arg)
{
    ChangesRun *run = arg;
    ChangesWorker *w = &run->workers[worker];
    ScanBatch b;
    uint32_t next = 0; /* person of the block */
    if (run->count > CHANGES_MAX)
        return;
    w->count = 0;
    while (scanner_batch(w->scanner, piece, &b))
        for (uint32_t i = 0; i < b.person_count; i++) {
            while (next <= (b.persons[i] & (PART_BLOCK_PERSONS - 1)))
                w->found.from[next++] = w->count;
            take_person(run->c, w, &b, b.from[i], b.from[i + 1]);
        }
    while (next <= PART_BLOCK_PERSONS)
        w->found.from[next++] = w->count;
    if (w->count > 0)
        keep_piece(run, w, piece);
}

static void free_worker(ChangesWorker *w)
{
    scanner_free(w->scanner);
    free(w->found.ms);
    free(w->found.places);
    free(w->found.values);
}

static Err run_pieces(Ctx *ctx, const Query *q, ChangesRun *run)
{
    static const uint32_t ATTRIBUTES[] = {PART_PERSON};
    const Changes *c = run->c;
    const uint32_t size = crew_size(q->crew);
    const Filter *both[] = {c->says, c->holds};
    const Filter says_and_holds = {.kind = FILTER_AND, .args = both, .arg_count = 2};
    ScanSelect selects[2];
    for (int i = 0; i < 2; i++)
        selects[i] = (ScanSelect){.events = ATTRIBUTES,
                                  .event_count = 1,
                                  .to_ms = c->is_latest ? c->until_ms : INT64_MAX / 4,
                                  .filter = i == 0 ? c->says : &says_and_holds};
    const ScanProp props[VALUES] = {[VALUE_PART] = {.prop = SCAN_PART},
                                    [VALUE_ROW] = {.prop = SCAN_ROW},
                                    [VALUE_OF] = c->value};
    const ScanAsk ask = {.selects = selects,
                         .select_count = c->holds != NULL ? 2 : 1,
                         .props = props,
                         .prop_count = c->holds != NULL ? VALUE_OF : VALUES};
    for (uint32_t i = 0; i < size; i++)
        run->workers[i].scanner = scanner_new(q->view, &ask);
    TRY(crew_run(ctx, q->crew,
                 &(CrewJob){.pieces = scan_pieces(q->view),
                            .first_piece = 1, /* of nobody nothing is said */
                            .piece = take_piece,
                            .arg = run,
                            .until_us = q->until_us,
                            .stop = q->stop}));
    for (uint32_t i = 0; i < size; i++)
        if (scanner_damaged(run->workers[i].scanner) > 0)
            return fail(ctx, ERR_INTERNAL, "events.part_damaged", "attributes met damage");
    if (run->count > CHANGES_MAX)
        return fail_field(ctx, "", "query.too_large",
                          "attributes as of events changed more than %d times", CHANGES_MAX);
    return ERR_OK;
}

Err query_changes(Ctx *ctx, const Query *q, Changes *c, uint64_t *count)
{
    const uint32_t size = crew_size(q->crew);
    ChangesRun run = {.ctx = ctx, .c = c, .count = *count};
    c->view = q->view;
    c->pieces = ARENA_ARRAY(ctx->arena, ChangesPiece *, (size_t)scan_pieces(q->view) + 1);
    run.workers = calloc(size, sizeof *run.workers);
    CHECK(run.workers != NULL && pthread_mutex_init(&run.lock, NULL) == 0);
    const Err err = run_pieces(ctx, q, &run);
    for (uint32_t i = 0; i < size; i++)
        free_worker(&run.workers[i]);
    free(run.workers);
    (void)pthread_mutex_destroy(&run.lock);
    *count = run.count;
    return err;
}

/* ---- one instant --------------------------------------------------------------------------------- */

/* The order of a part's rows, looked at only where a change and an event are of one instant. */
typedef struct Ties {
    const Changes *c;
    const FilterRows *rows;
    FilterScratch *scratch;
    bool is_open, is_damaged;
    uint32_t part;                    /* of the view */
    uint32_t first_row, first_person; /* of the block, in the list and in PART_PERSON */
    uint32_t codes, at;          /* of the sequence: how many, and how far it was gone through */
    uint32_t seen, seen_persons; /* rows of the list, of PART_PERSON, before there */
    uint32_t list, persons;      /* their codes */
} Ties;

static void reserve_codes(FilterScratch *s, uint32_t n)
{
    if (n <= s->code_cap)
        return;
    free(s->codes);
    s->code_cap = n + n / 2;
    s->codes = malloc((size_t)s->code_cap + KERNEL_SLACK);
    CHECK(s->codes != NULL);
}

static bool read_sequence(Ties *t)
{
    Part *part = t->rows->part;
    uint32_t cursor = 0, first = 0;
    t->codes = part_sequence_rows(part, t->rows->block, &cursor, &first);
    reserve_codes(t->scratch, t->codes);
    return t->codes > 0 && part_check_sequence(part, cursor) &&
           part_read_sequence(part, first, t->codes, t->scratch->codes);
}

static uint32_t first_of(const Ties *t, uint32_t list)
{
    uint32_t cursor = 0;
    const Part *part = t->rows->part;
    return list == part->head->list_count
               ? 0
               : part_list_rows(part, &part->lists[list], t->rows->block, &cursor).first;
}

static void open_ties(Ties *t)
{
    const Part *part = t->rows->part;
    t->is_open = true;
    while (t->c->view->parts[t->part] != part)
        t->part++;
    t->list = (uint32_t)(t->rows->list - part->lists);
    while (t->persons < part->head->list_count && part->lists[t->persons].event != PART_PERSON)
        t->persons++;
    t->first_row = first_of(t, t->list);
    t->first_person = first_of(t, t->persons);
    t->is_damaged = !read_sequence(t);
}

/* How many rows of PART_PERSON stand before this one in the block; rows ascend. */
static uint32_t persons_before(Ties *t, uint32_t row)
{
    const uint32_t wanted = row - t->first_row;
    for (; t->at < t->codes; t->at++) {
        const uint32_t code = t->scratch->codes[t->at];
        if (code == t->list && t->seen == wanted)
            break;
        t->seen += code == t->list;
        t->seen_persons += code == t->persons;
    }
    return t->seen_persons;
}

/* Whether what is said at that place arrived before the row. */
static bool is_before(Ties *t, ChangePlace place, uint32_t row)
{
    if (!t->is_open)
        open_ties(t);
    if (t->is_damaged || place.part != t->part)
        return place.part < t->part;
    return place.row - t->first_person < persons_before(t, row);
}

/* ---- what held ----------------------------------------------------------------------------------- */

/* The first change in [low, high) that is not before `ms`. */
static uint32_t first_change(const int64_t *at_ms, uint32_t low, uint32_t high, int64_t ms)
{
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (at_ms[middle] < ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Behind the change `at - 1` of those that begin at `from`. */
static int64_t value_behind(const Changes *c, const ChangesPiece *p, uint32_t from, uint32_t at)
{
    if (at == from)
        return c->before;
    return p->values != NULL ? p->values[at - 1] : c->before ^ ((at - from) & 1);
}

/* `out` comes with the rows' milliseconds. */
static bool find_values(const Changes *c, const ChangesPiece *p, const FilterRows *r,
                        FilterScratch *s, int64_t *out)
{
    Ties ties = {.c = c, .rows = r, .scratch = s};
    const int64_t week_ms = r->part->head->week_ms;
    uint32_t person = UINT32_MAX, from = 0, at = 0, to = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        const int64_t ms = week_ms + (int64_t)(r->keys[i] & PART_SECOND_MASK) * 1000 + out[i];
        if (r->keys[i] >> PART_SECOND_BITS != person) {
            person = r->keys[i] >> PART_SECOND_BITS;
            from = p->from[person];
            to = p->from[person + 1];
            at = first_change(p->ms, from, to, ms);
        }
        while (at < to && (p->ms[at] < ms ||
                           (p->ms[at] == ms && is_before(&ties, p->places[at], r->first + i))))
            at++;
        out[i] = value_behind(c, p, from, at);
    }
    return !ties.is_damaged;
}

bool changes_at(const Changes *c, const FilterRows *r, FilterScratch *s, int64_t *out)
{
    const ChangesPiece *p = c->pieces[r->block];
    const PartColumn *ms = part_find_column(r->part, r->list, PROP_MS);
    if (p == NULL) {
        for (uint32_t i = 0; i < r->count; i++)
            out[i] = c->before;
        return true;
    }
    filter_scratch_reserve(s, r->count);
    if (ms == NULL)
        memset(out, 0, r->count * sizeof *out);
    else if (!filter_values(r, ms, 0, s, out))
        return false;
    return find_values(c, p, r, s, out);
}
