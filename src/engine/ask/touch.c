/*
 * engine/ask/touch.c -- a person's rows in their order: touches are remembered, conversions look back at them.
 */
#include "engine/ask/touch_last.h"

#include "engine/ask/touch_share.h"
#include "engine/core/kernels.h"
#include "engine/core/tally.h"
#include "engine/scan/ahead.h"

#include <stdlib.h>

typedef struct Earned {
    TrendSum credit;
    uint64_t conversions;
    uint64_t last; /* conversion that it was counted for */
} Earned;

enum { TOUCH_CONVERSION = 1, TOUCH_TOUCHED = 2 }; /* bits of a row's selects */

typedef struct TouchWorker {
    const struct TouchRun *run;
    Scanner *scanner;
    Tally values;
    Earned *earned; /* [number of the values] */
    uint32_t earned_cap;
    Earned direct, total;
    uint32_t *touches; /* rows of the person under way */
    uint32_t touch_cap;
    int64_t before_ms[TOUCH_SHARED_MAX]; /* the last one of those that share, each of them */
    int64_t *numbers;                    /* of nobody's rows */
    uint32_t number_cap;
    FilterScratch scratch;
    uint32_t person;   /* under way */
    LastTouches *last; /* NULL: whole persons are looked at alone */
    bool is_damaged;
} TouchWorker;

typedef struct TouchRun {
    const Query *q;
    const Touch *t;
    ScanAsk ask;
    const People *people; /* NULL: nobody asks who is behind this row: */
    uint32_t bar;
    Tally shown; /* the rows that are, "other" not among them */
    TouchWorker *workers;
    bool is_last; /* the last touch is all that is asked: */
    LastPlan last;
} TouchRun;

/* ---- credits ------------------------------------------------------------------------------------- */

/* Whether the conversion counts for it, which it does once. */
static bool earn(Earned *e, TrendSum credit, uint64_t conversion)
{
    const bool counts = e->last != conversion;
    e->credit += credit;
    e->conversions += counts;
    e->last = conversion;
    return counts;
}

/* One more conversion of the person under way in this row. */
static void ask_who(const TouchWorker *w, uint32_t row)
{
    if (w->run->people != NULL && w->run->bar == row)
        people_add_amount(w->run->people, w->person, 1);
}

/* The row that has these values; all that are not shown are of the last one. */
static uint32_t row_of(const TouchRun *run, TallyKey values)
{
    const uint32_t number = tally_find(&run->shown, values);
    return number == TALLY_NONE ? run->shown.count : number;
}

static Earned *earned_by(TouchWorker *w, TallyKey values)
{
    const uint32_t number = tally_number(&w->values, &values);
    if (number == TALLY_NONE)
        return NULL;
    if (number >= w->earned_cap) {
        const uint32_t cap = number < 64 ? 64 : number * 2;
        w->earned = realloc(w->earned, cap * sizeof *w->earned);
        CHECK(w->earned != NULL);
        memset(w->earned + w->earned_cap, 0, (cap - w->earned_cap) * sizeof *w->earned);
        w->earned_cap = cap;
    }
    return &w->earned[number];
}

static TallyKey values_at(const Touch *t, const ScanBatch *b, uint32_t row)
{
    TallyKey key = {{0}};
    for (uint32_t i = 0; i < t->breakdown_count; i++)
        key.of[i] = b->values[i][row];
    return key;
}

/* Conversions are numbered from 1 by their worker. */
static void credit_touch(TouchWorker *w, const ScanBatch *b, uint32_t touch, TrendSum credit)
{
    const TallyKey values = values_at(w->run->t, b, touch);
    Earned *e = earned_by(w, values);
    if (e == NULL)
        return; /* one too many: the question will be refused */
    if (w->run->t->model == TOUCH_PARTICIPATION && e->last == w->total.conversions)
        return;
    if (earn(e, credit, w->total.conversions) && w->run->people != NULL)
        ask_who(w, row_of(w->run, values));
}

static void credit_shares(TouchWorker *w, const ScanBatch *b, const uint32_t *touches, uint32_t n,
                          int64_t worth)
{
    uint64_t units[TOUCH_SHARED_MAX];
    for (uint32_t i = 0; i < n; i++)
        w->before_ms[i] = scan_ms(b, touches[n - 1]) - scan_ms(b, touches[i]);
    touch_share(w->run->t, worth < 0 ? -(uint64_t)worth : (uint64_t)worth, w->before_ms, n, units);
    for (uint32_t i = 0; i < n; i++)
        credit_touch(w, b, touches[i], worth < 0 ? -(TrendSum)units[i] : (TrendSum)units[i]);
}

/* `touches`: those within the look-back, the earliest first. */
static void convert(TouchWorker *w, const ScanBatch *b, const uint32_t *touches, uint32_t n,
                    int64_t worth)
{
    const uint32_t some = n < TOUCH_SHARED_MAX ? n : TOUCH_SHARED_MAX;
    if (earn(&w->total, worth, w->total.conversions + 1))
        ask_who(w, TOUCH_BAR_TOTAL);
    if (n == 0 || crew_gives_up(some)) {
        if (earn(&w->direct, worth, w->total.conversions))
            ask_who(w, TOUCH_BAR_DIRECT);
        return;
    }
    switch (w->run->t->model) {
    case TOUCH_LAST:
        credit_touch(w, b, touches[n - 1], worth);
        return;
    case TOUCH_FIRST:
        credit_touch(w, b, touches[0], worth);
        return;
    case TOUCH_PARTICIPATION:
        for (uint32_t i = n - some; i < n; i++)
            credit_touch(w, b, touches[i], worth);
        return;
    case TOUCH_LINEAR:
    case TOUCH_U:
    case TOUCH_J:
    case TOUCH_INVERSE_J:
    case TOUCH_DECAY:
        break;
    }
    credit_shares(w, b, touches + n - some, some, worth);
}

/* ---- persons ------------------------------------------------------------------------------------- */

static void reserve_touches(TouchWorker *w, uint32_t n)
{
    if (n <= w->touch_cap)
        return;
    w->touch_cap = n + n / 2;
    free(w->touches);
    w->touches = malloc(w->touch_cap * sizeof *w->touches);
    CHECK(w->touches != NULL);
}

/* The row of the only conversion of a person that counts; `to`: none. */
static uint32_t chosen_row(const Touch *t, const ScanBatch *b, uint32_t from, uint32_t to)
{
    uint32_t chosen = to;
    for (uint32_t row = from; row < to; row++)
        if ((b->rows[row].selects & TOUCH_CONVERSION) != 0 &&
            (chosen == to || t->which == TOUCH_LAST_OF_PERSON))
            chosen = row;
    return chosen;
}

static void take_person(TouchWorker *w, const ScanBatch *b, uint32_t from, uint32_t to)
{
    const Touch *t = w->run->t;
    uint32_t first = 0, end = 0; /* of the touches that may still earn something */
    const uint32_t only = t->which == TOUCH_EACH ? to : chosen_row(t, b, from, to);
    reserve_touches(w, to - from);
    for (uint32_t row = from; row < to && !crew_gives_up_at(row); row++) {
        const uint32_t is = b->rows[row].selects;
        while (first < end && scan_ms(b, row) - scan_ms(b, w->touches[first]) > t->look_back_ms)
            first++;
        if ((is & TOUCH_CONVERSION) != 0 && (t->which == TOUCH_EACH || row == only))
            convert(w, b, w->touches + first, end - first,
                    touch_worth(t, t->number == NULL ? 0 : b->values[t->breakdown_count][row]));
        if ((is & TOUCH_TOUCHED) != 0)
            w->touches[end++] = row;
    }
}

/* Nobody's block may hold a week of every shop: it is not grouped, as nothing is asked of its order. */
static void take_nobody(const ScanLoose *rows, void *arg)
{
    TouchWorker *w = arg;
    const Touch *t = w->run->t;
    if (rows->select != 0 || t->which != TOUCH_EACH)
        return;
    if (rows->count > w->number_cap) {
        w->number_cap = rows->count + rows->count / 2;
        free(w->numbers);
        w->numbers = malloc(((size_t)w->number_cap + KERNEL_SLACK) * sizeof *w->numbers);
        CHECK(w->numbers != NULL);
    }
    if (t->number != NULL && !scan_values(rows->at, *t->number, &w->scratch, w->numbers)) {
        w->is_damaged = true;
        return;
    }
    for (uint32_t i = 0; i < rows->count; i++)
        if (rows->mask == NULL || rows->mask[i] != 0)
            convert(w, NULL, NULL, 0, touch_worth(t, t->number == NULL ? 0 : w->numbers[i]));
}

static void take_piece(uint32_t worker, uint32_t piece, void *arg)
{
    const TouchRun *run = arg;
    TouchWorker *w = &run->workers[worker];
    ScanBatch b;
    w->person = 0;
    if (piece == 0) {
        scanner_loose(w->scanner, piece, take_nobody, w);
        return;
    }
    while (scanner_batch(w->scanner, piece, &b))
        for (uint32_t i = 0; i < b.person_count && !crew_gives_up(scan_rows_of(&b, i)); i++) {
            w->person = b.persons[i];
            take_person(w, &b, b.from[i], b.from[i + 1]);
        }
}

/* Nobody's block is a piece of its own, which is begun first. */
static void take_blocks(uint32_t worker, uint32_t piece, void *arg)
{
    const TouchRun *run = arg;
    LastTouches *last = run->workers[worker].last;
    const uint32_t at_once = run->last.blocks_at_once, blocks = scan_pieces(run->q->view);
    const uint32_t from = piece == 0 ? 0 : 1 + (piece - 1) * at_once, end = 1 + piece * at_once;
    const uint32_t to = end < blocks ? end : blocks;
    if (last_touches_take(last, from, to))
        return;
    for (uint32_t block = from; block < to; block++)
        if (to - from == 1 || !last_touches_take(last, block, block + 1))
            take_piece(worker, block, arg);
}

static Err take_last_touches(Ctx *ctx, TouchRun *run)
{
    const uint32_t blocks = scan_pieces(run->q->view), at_once = run->last.blocks_at_once;
    TRY(last_touches_ahead(ctx, &run->last));
    return crew_run(ctx, run->q->crew,
                    &(CrewJob){.pieces = blocks == 0 ? 0 : 1 + (blocks - 1 + at_once - 1) / at_once,
                               .grain = 1,
                               .piece = take_blocks,
                               .arg = run,
                               .until_us = run->q->until_us,
                               .stop = run->q->stop});
}

static void add_earned(const TouchEarned *from, Earned *to)
{
    to->credit += from->credit;
    to->conversions += from->conversions;
}

/* What was earned by code is earned by values. */
static void take_earned(TouchWorker *w)
{
    const TouchEarned *earned = last_touches_earned(w->last);
    add_earned(&earned[0], &w->direct);
    for (uint32_t i = 0; i <= w->run->last.codes; i++) {
        add_earned(&earned[i], &w->total);
        if (i == 0 || earned[i].conversions == 0)
            continue;
        Earned *to = earned_by(w, (TallyKey){{i == 1 ? SCAN_MISSING : (int64_t)i - 1}});
        add_earned(&earned[i], to);
    }
}

/* ---- the answer ---------------------------------------------------------------------------------- */

static void join(const Earned *from, TouchRow *into)
{
    into->credit += from->credit;
    into->conversions += from->conversions;
}

static int by_credit(const void *a, const void *b)
{
    const TouchRow *x = a, *y = b;
    if (x->credit != y->credit)
        return x->credit < y->credit ? 1 : -1;
    for (int i = 0; i < QUERY_BREAKDOWNS_MAX; i++)
        if (x->key.values[i] != y->key.values[i])
            return x->key.values[i] < y->key.values[i] ? -1 : 1;
    return 0;
}

/* The rows of all workers, in no order.  They are in `all`. */
static TouchRow *join_rows(const TouchRun *run, Tally *all)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++)
        count += run->workers[i].values.count;
    TouchRow *rows = calloc((size_t)count + 1, sizeof *rows);
    CHECK(rows != NULL);
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++) {
        const TouchWorker *w = &run->workers[i];
        all->is_over = all->is_over || w->values.is_over;
        for (uint32_t v = 0; v < w->values.count; v++) {
            const uint32_t number = tally_number(all, &w->values.at[v].key);
            if (number == TALLY_NONE)
                continue;
            memcpy(rows[number].key.values, w->values.at[v].key.of, sizeof rows[number].key.values);
            join(&w->earned[v], &rows[number]);
        }
    }
    return rows;
}

/* The first ones, the others as one. */
static void give_rows(Ctx *ctx, const Touch *t, const TouchRow *rows, uint32_t count,
                      TouchResult *out)
{
    TouchRow *shown = ARENA_ARRAY(ctx->arena, TouchRow, (size_t)t->top + 1);
    out->rows = shown;
    out->distinct = count;
    out->count = count < t->top ? count : t->top;
    memcpy(shown, rows, out->count * sizeof *rows);
    if (out->count == count)
        return;
    TouchRow *other = &shown[out->count++];
    *other = (TouchRow){.key.is_other = true};
    for (uint32_t i = t->top; i < count; i++) {
        other->credit += rows[i].credit;
        other->conversions += rows[i].conversions;
    }
}

static Err give_result(Ctx *ctx, const TouchRun *run, TouchResult *out)
{
    Tally all = {.limit = TOUCH_VALUES_MAX};
    TouchRow *rows = join_rows(run, &all);
    qsort(rows, all.count, sizeof *rows, by_credit);
    *out = (TouchResult){.count = 0};
    give_rows(ctx, run->t, rows, all.count, out);
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++) {
        join(&run->workers[i].direct, &out->direct);
        join(&run->workers[i].total, &out->total);
    }
    const bool is_over = all.is_over;
    free(rows);
    tally_free(&all);
    return is_over ? fail(ctx, ERR_INVALID, "query.too_large", "over %d values", TOUCH_VALUES_MAX)
                   : ERR_OK;
}

static bool met_damage(const TouchWorker *w)
{
    return w->is_damaged || scanner_damaged(w->scanner) > 0 ||
           (w->last != NULL && last_touches_met_damage(w->last));
}

static Err take_persons(Ctx *ctx, TouchRun *run)
{
    TRY(ahead_of_scan(ctx, run->q, &run->ask, true));
    return query_pieces(ctx, run->q, QUERY_ALL, take_piece, run);
}

static Err run_touch(Ctx *ctx, TouchRun *run)
{
    TRY(run->is_last ? take_last_touches(ctx, run) : take_persons(ctx, run));
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++)
        if (met_damage(&run->workers[i]))
            return fail(ctx, ERR_INTERNAL, "events.part_damaged", "touches met damage");
    for (uint32_t i = 0; run->is_last && i < crew_size(run->q->crew); i++)
        take_earned(&run->workers[i]);
    return ERR_OK;
}

static void open_workers(Ctx *ctx, TouchRun *run)
{
    run->is_last = run->people == NULL && touch_is_last(run->t, run->q->view, &run->ask);
    if (run->is_last)
        run->last = last_touches_plan(ctx, run->q, run->t, &run->ask);
    run->workers = calloc(crew_size(run->q->crew), sizeof *run->workers);
    CHECK(run->workers != NULL);
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++) {
        TouchWorker *w = &run->workers[i];
        *w = (TouchWorker){.run = run, .values = {.limit = TOUCH_VALUES_MAX}};
        w->scanner = scanner_new(run->q->view, &run->ask);
        w->last = run->is_last ? last_touches_new(&run->last) : NULL;
    }
}

static void close_workers(TouchRun *run)
{
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++) {
        TouchWorker *w = &run->workers[i];
        scanner_free(w->scanner);
        last_touches_free(w->last);
        tally_free(&w->values);
        free(w->earned);
        free(w->touches);
        free(w->numbers);
        filter_scratch_free(&w->scratch);
    }
    free(run->workers);
    tally_free(&run->shown);
}

static Err answer(Ctx *ctx, const Query *q, TouchRun *run, TouchResult *out)
{
    const Touch *t = run->t;
    if (t->breakdown_count == 0 || t->breakdown_count > QUERY_BREAKDOWNS_MAX || t->top == 0 ||
        t->top > QUERY_GROUPS_MAX)
        return fail(ctx, ERR_INVALID, "query.too_large", "top %u", t->top);
    ScanSelect selects[] = {t->conversion, t->touch};
    ScanProp props[QUERY_BREAKDOWNS_MAX + 1];
    selects[1].from_ms = t->conversion.from_ms - t->look_back_ms;
    selects[1].to_ms = t->conversion.to_ms;
    memcpy(props, t->breakdown, t->breakdown_count * sizeof *props);
    if (t->number != NULL)
        props[t->breakdown_count] = *t->number;
    run->q = q;
    run->ask = (ScanAsk){.selects = selects,
                         .select_count = 2,
                         .props = props,
                         .prop_count = t->breakdown_count + (t->number != NULL)};
    open_workers(ctx, run);
    Err err = run_touch(ctx, run);
    if (err == ERR_OK)
        err = give_result(ctx, run, out);
    close_workers(run);
    return err;
}

Err query_touch(Ctx *ctx, const Query *q, const Touch *t, TouchResult *out)
{
    return answer(ctx, q, &(TouchRun){.t = t}, out);
}

Err query_touch_people(Ctx *ctx, const Query *q, const Touch *t, const TouchResult *r, uint32_t bar,
                       People *out)
{
    CHECK(bar < r->count || bar == TOUCH_BAR_TOTAL || bar == TOUCH_BAR_DIRECT);
    People people = people_with_amounts(ctx->arena, q->view);
    TouchRun run = {.t = t, .people = &people, .bar = bar, .shown = {.limit = QUERY_GROUPS_MAX}};
    for (uint32_t i = 0; i < r->count && !r->rows[i].key.is_other; i++) {
        TallyKey values;
        memcpy(values.of, r->rows[i].key.values, sizeof values.of);
        (void)tally_number(&run.shown, &values);
    }
    TouchResult unused;
    TRY(answer(ctx, q, &run, &unused));
    people_count(&people);
    *out = people;
    return ERR_OK;
}
