/*
 * engine/ask/transition.c -- from an event to the very next one, counted for every pair of names.
 *
 * A pair lies within a week, or at the edge between two.  Where only names and times decide, a week is walked
 * (engine/scan/walk.h): then a step from one row to the next is a difference of two keys and a cell of a table, and only
 * rows near the week's ends are looked at twice.  Other weeks are scanned, and all of them when it is asked who did a
 * pair: a walk knows of no persons.  What is kept of a person between two weeks is the last event.
 */
#include "engine/ask/path.h"

#include "engine/core/bits.h"
#include "engine/core/kernels.h"
#include "engine/core/tally.h"
#include "engine/scan/ahead.h"
#include "engine/scan/walk.h"

#include <stdlib.h>

/* Two rows of different persons are further apart than this, whatever their seconds are. */
enum { PERSONS_APART_S = (1 << PART_SECOND_BITS) - WALK_SECONDS };

typedef struct Last {
    int64_t at_ms;
    uint32_t event;
} Last;

typedef struct TransitionWorker {
    const struct TransitionRun *run;
    Walker **walkers;   /* [week], NULL where it is scanned */
    Scanner **scanners; /* [week], NULL where it is walked */
    /* two tables of run->cell_count and one more, to be added up; NULL: there are too many names */
    uint64_t *cells;
    uint32_t row_cap;   /* of one week: */
    uint32_t *rows;     /* some of them */
    uint16_t *pairs_of; /* cell of each and the row before; cell_count = they are not near */
    uint64_t *inner;    /* bits: not near an end of the week */
    Tally pairs;        /* of the names that have no codes */
    Last last[PART_BLOCK_PERSONS];
} TransitionWorker;

typedef struct TransitionRun {
    const Query *q;
    const Transitions *t;
    uint32_t gap_s;
    WalkNames names;
    uint32_t shift, cell_count; /* cell (from << shift) + to */
    WalkWeek *weeks;
    uint32_t week_count;
    const People *people; /* NULL: nobody asks who did this pair: */
    uint32_t who_from, who_to;
    TransitionWorker *workers;
} TransitionRun;

#define NEVER (INT64_MIN / 2)

/* Whether seconds are all that decides: also between the rows of two persons. */
static bool seconds_decide(const Transitions *t)
{
    return walk_suffices(&t->of, 1, t->gap_ms) && t->gap_ms > 0 &&
           t->gap_ms < PERSONS_APART_S * INT64_C(1000);
}

/* ---- counting ------------------------------------------------------------------------------------ */

static void count_pair(TransitionWorker *w, uint32_t from, uint32_t to)
{
    const TransitionRun *run = w->run;
    if (w->cells == NULL)
        tally_add(&w->pairs, (TallyKey){{from, to, 0}}, 1);
    else
        w->cells[((uint32_t)run->names.codes[from] << run->shift) + run->names.codes[to]]++;
}

/* ---- a week that is walked ----------------------------------------------------------------------- */

/* The first row of a person near the beginning of the week may go on where the week before ended. */
static void look_back(TransitionWorker *w, Walker *walker, const WalkRows *r, uint32_t row,
                      int64_t week_ms)
{
    const uint32_t person = r->keys[row] >> PART_SECOND_BITS;
    const Last *last = &w->last[person];
    if (row > 0 && r->keys[row - 1] >> PART_SECOND_BITS == person)
        return;
    const int64_t at_ms = week_ms + (int64_t)(r->keys[row] & PART_SECOND_MASK) * 1000;
    if (at_ms - last->at_ms <= w->run->t->gap_ms &&
        at_ms + walker_ms(walker, row) - last->at_ms <= w->run->t->gap_ms)
        count_pair(w, last->event, w->run->names.names[r->codes[row]]);
}

static void keep_last(TransitionWorker *w, Walker *walker, const WalkRows *r, uint32_t row,
                      int64_t week_ms)
{
    const uint32_t person = r->keys[row] >> PART_SECOND_BITS;
    if (row + 1 < r->count && r->keys[row + 1] >> PART_SECOND_BITS == person)
        return;
    const int64_t second = r->keys[row] & PART_SECOND_MASK;
    w->last[person] = (Last){week_ms + second * 1000 + walker_ms(walker, row),
                             w->run->names.names[r->codes[row]]};
}

/* Rows that are exactly as far apart as may be are told by their milliseconds. */
static void leave_out_far(Walker *walker, const uint32_t *at_gap, uint32_t count, uint16_t none,
                          uint16_t *pairs)
{
    enum { MS_ROWS = 64 }; /* as much work as the milliseconds of two */
    for (uint32_t i = 0; i < count && !crew_gives_up(MS_ROWS); i++)
        if (walker_ms(walker, at_gap[i]) > walker_ms(walker, at_gap[i] - 1))
            pairs[at_gap[i]] = none;
}

/* Two tables in turn: pairs repeat, and a cell that was just written is not free yet. */
static void count_neighbours(TransitionWorker *w, Walker *walker, const WalkRows *r)
{
    const TransitionRun *run = w->run;
    const uint16_t none = (uint16_t)run->cell_count;
    uint64_t *const cells = w->cells, *const others = w->cells + run->cell_count + 1;
    const uint16_t *const pairs = w->pairs_of;
    const uint32_t far = kernels()->pairs(r->keys, r->codes, r->count, run->gap_s, (int)run->shift,
                                          none, w->pairs_of, w->rows);
    leave_out_far(walker, w->rows, far, none, w->pairs_of);
    uint32_t i = 1;
    for (; i + 1 < r->count; i += 2) {
        cells[pairs[i]]++;
        others[pairs[i + 1]]++;
    }
    if (i < r->count)
        cells[pairs[i]]++;
}

/* Rows that may be near one of the week before or behind, to w->rows; how many. */
static uint32_t find_edges(TransitionWorker *w, const WalkRows *r)
{
    const uint32_t gap_s = w->run->gap_s;
    const uint32_t inner_s = WALK_SECONDS > 2 * gap_s ? WALK_SECONDS - 2 * gap_s : 0;
    if (inner_s == 0)
        memset(w->inner, 0, kernel_words(r->count) * sizeof *w->inner);
    else
        kernels()->in_range(r->keys, r->count, PART_SECOND_MASK, gap_s, inner_s - 1, w->inner);
    for (uint32_t i = 0; i < kernel_words(r->count); i++)
        w->inner[i] = ~w->inner[i];
    return kernels()->rows_of(w->inner, r->count, w->rows);
}

static void *regrown(void *old, size_t count, size_t size)
{
    free(old);
    void *room = malloc((count + KERNEL_SLACK) * size);
    CHECK(room != NULL);
    return room;
}

static void reserve_rows(TransitionWorker *w, uint32_t n)
{
    if (n <= w->row_cap)
        return;
    w->row_cap = n + n / 2;
    w->rows = regrown(w->rows, w->row_cap, sizeof *w->rows);
    w->pairs_of = regrown(w->pairs_of, w->row_cap, sizeof *w->pairs_of);
    w->inner = regrown(w->inner, kernel_words(w->row_cap), sizeof *w->inner);
}

static void walk_week(TransitionWorker *w, Walker *walker, const WalkWeek *week, uint32_t piece)
{
    WalkRows rows;
    if (!walker_rows(walker, piece, &rows))
        return;
    reserve_rows(w, rows.count);
    count_neighbours(w, walker, &rows);
    const uint32_t edges = find_edges(w, &rows);
    for (uint32_t i = 0; i < edges && !crew_gives_up(1); i++) {
        look_back(w, walker, &rows, w->rows[i], week->view.parts[0]->head->week_ms);
        keep_last(w, walker, &rows, w->rows[i], week->view.parts[0]->head->week_ms);
    }
}

/* ---- a week that is scanned ---------------------------------------------------------------------- */

static void ask_who(const TransitionRun *run, uint32_t person, uint32_t from, uint32_t to)
{
    if (run->people != NULL && from == run->who_from && to == run->who_to)
        people_add_amount(run->people, person, 1);
}

static void scan_person(TransitionWorker *w, const ScanBatch *b, uint32_t i, int64_t base_ms)
{
    Last *last = &w->last[b->persons[i] % PART_BLOCK_PERSONS];
    for (uint32_t row = b->from[i]; row < b->from[i + 1] && !crew_gives_up_at(row); row++) {
        const int64_t at_ms = base_ms + scan_ms(b, row);
        if (at_ms - last->at_ms <= w->run->t->gap_ms) {
            count_pair(w, last->event, b->events[row]);
            ask_who(w->run, b->persons[i], last->event, b->events[row]);
        }
        *last = (Last){at_ms, b->events[row]};
    }
}

static void scan_week(TransitionWorker *w, Scanner *scanner, uint32_t piece)
{
    ScanBatch b;
    while (scanner_batch(scanner, piece, &b))
        for (uint32_t i = 0; i < b.person_count && !crew_gives_up(scan_rows_of(&b, i)); i++)
            scan_person(w, &b, i, scanner_base_ms(scanner));
}

/* ---- all weeks ----------------------------------------------------------------------------------- */

static void take_piece(uint32_t worker, uint32_t piece, void *arg)
{
    const TransitionRun *run = arg;
    TransitionWorker *w = &run->workers[worker];
    for (uint32_t p = 0; p < PART_BLOCK_PERSONS; p++)
        w->last[p].at_ms = NEVER;
    for (uint32_t i = 0; i < run->week_count && !crew_gives_up(1); i++) {
        if (w->walkers[i] != NULL)
            walk_week(w, w->walkers[i], &run->weeks[i], piece);
        else
            scan_week(w, w->scanners[i], piece);
    }
}

static void open_worker(TransitionRun *run, TransitionWorker *w, const ScanAsk *ask, bool has_codes)
{
    *w = (TransitionWorker){.run = run, .pairs = {.limit = PATH_PAIRS_MAX}};
    w->walkers = calloc((size_t)run->week_count + 1, sizeof(Walker *));
    w->scanners = calloc((size_t)run->week_count + 1, sizeof(Scanner *));
    CHECK(w->walkers != NULL && w->scanners != NULL);
    if (has_codes) {
        w->cells = calloc(2 * ((size_t)run->cell_count + 1), sizeof *w->cells);
        CHECK(w->cells != NULL);
    }
    for (uint32_t i = 0; i < run->week_count; i++) {
        const WalkWeek *week = &run->weeks[i];
        const bool walks = has_codes && run->people == NULL && seconds_decide(run->t);
        if (walks && week->ask.part_count <= WALK_PARTS_MAX)
            w->walkers[i] = walker_new(&week->ask);
        else
            w->scanners[i] = scanner_new(&week->view, ask);
    }
}

/* Whether it met damage. */
static bool is_damaged(const TransitionWorker *w)
{
    uint64_t damaged = 0;
    for (uint32_t i = 0; i < w->run->week_count; i++) {
        damaged += w->walkers[i] != NULL ? walker_damaged(w->walkers[i]) : 0;
        damaged += w->scanners[i] != NULL ? scanner_damaged(w->scanners[i]) : 0;
    }
    return damaged > 0;
}

static void close_worker(TransitionWorker *w)
{
    for (uint32_t i = 0; i < w->run->week_count; i++) {
        walker_free(w->walkers[i]);
        scanner_free(w->scanners[i]);
    }
    free(w->walkers);
    free(w->scanners);
    free(w->cells);
    free(w->rows);
    free(w->pairs_of);
    free(w->inner);
    tally_free(&w->pairs);
}

static Err run_pieces(Ctx *ctx, TransitionRun *run)
{
    const ScanAsk ask = {.selects = &run->t->of, .select_count = 1};
    TRY(ahead_of_scan(ctx, run->q, &ask, true));
    TRY(query_pieces(ctx, run->q, QUERY_PERSONS, take_piece, run));
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++)
        if (is_damaged(&run->workers[i]))
            return fail(ctx, ERR_INTERNAL, "events.part_damaged", "transitions met damage");
    return ERR_OK;
}

/* ---- the answer ---------------------------------------------------------------------------------- */

static void add_cells(const TransitionRun *run, const uint64_t *cells, Tally *all)
{
    const uint32_t to_mask = (1U << run->shift) - 1;
    for (uint32_t pair = 0; pair < run->cell_count; pair++) {
        const uint64_t count = cells[pair] + cells[run->cell_count + 1 + pair];
        if (count == 0) /* so is that of codes that stand for no name */
            continue;
        const TallyKey key = {
            {run->names.names[pair >> run->shift], run->names.names[pair & to_mask], 0}};
        tally_add(all, key, count);
    }
}

static void give_rows(Ctx *ctx, const Transitions *t, const Tally *all, TransitionsResult *out)
{
    Transition *rows = ARENA_ARRAY(ctx->arena, Transition, (size_t)t->top + 1);
    *out = (TransitionsResult){.rows = rows};
    for (uint32_t i = 0; i < all->count; i++) {
        const TallyEntry *e = &all->at[i];
        if (!t->repeats && e->key.of[0] == e->key.of[1])
            continue;
        out->distinct++;
        out->total += e->count;
        if (out->count < t->top)
            rows[out->count++] =
                (Transition){(uint32_t)e->key.of[0], (uint32_t)e->key.of[1], e->count};
    }
}

static Err give_result(Ctx *ctx, const TransitionRun *run, TransitionsResult *out)
{
    Tally all = {.limit = PATH_PAIRS_MAX};
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++) {
        const TransitionWorker *w = &run->workers[i];
        if (w->cells != NULL)
            add_cells(run, w->cells, &all);
        tally_join(&all, &w->pairs);
    }
    tally_sort(&all);
    give_rows(ctx, run->t, &all, out);
    const bool is_over = all.is_over;
    tally_free(&all);
    return is_over ? fail(ctx, ERR_INVALID, "query.too_large", "over %d pairs", PATH_PAIRS_MAX)
                   : ERR_OK;
}

static Err run_transitions(Ctx *ctx, TransitionRun *run, TransitionsResult *out)
{
    const bool has_codes = walk_names(run->q->view, &run->t->of, 1, &run->names);
    run->shift = (uint32_t)bits_width(run->names.count);
    run->cell_count = run->names.count << run->shift;
    const ScanAsk ask = {.selects = &run->t->of, .select_count = 1, .wants_events = true};
    const uint32_t size = crew_size(run->q->crew);
    run->weeks = calloc((size_t)run->q->view->part_count + 1, sizeof *run->weeks);
    CHECK(run->weeks != NULL);
    run->week_count =
        walk_weeks(run->q->view, run->t->of.from_ms, run->t->of.to_ms, &run->names, run->weeks);
    run->workers = calloc(size, sizeof *run->workers);
    CHECK(run->workers != NULL);
    for (uint32_t i = 0; i < size; i++)
        open_worker(run, &run->workers[i], &ask, has_codes);
    Err err = run_pieces(ctx, run);
    if (err == ERR_OK)
        err = give_result(ctx, run, out);
    for (uint32_t i = 0; i < size; i++)
        close_worker(&run->workers[i]);
    free(run->workers);
    return err;
}

static Err answer(Ctx *ctx, const Query *q, TransitionRun *run, TransitionsResult *out)
{
    const Transitions *t = run->t;
    if (t->top == 0 || t->top > PATH_ROWS_MAX)
        return fail(ctx, ERR_INVALID, "query.too_large", "top %u", t->top);
    run->q = q;
    run->gap_s = (uint32_t)(t->gap_ms / 1000);
    const Err err = run_transitions(ctx, run, out);
    walk_names_free(&run->names);
    free(run->weeks);
    return err;
}

Err query_transitions(Ctx *ctx, const Query *q, const Transitions *t, TransitionsResult *out)
{
    return answer(ctx, q, &(TransitionRun){.t = t}, out);
}

Err query_transitions_people(Ctx *ctx, const Query *q, const Transitions *t, uint32_t from,
                             uint32_t to, People *out)
{
    People people = people_with_amounts(ctx->arena, q->view);
    TransitionRun run = {.t = t, .people = &people, .who_from = from, .who_to = to};
    TransitionsResult unused;
    TRY(answer(ctx, q, &run, &unused));
    people_count(&people);
    *out = people;
    return ERR_OK;
}
