/*
 * engine/ask/trend.c -- counts, persons, sums and more per bucket and series, and in how many buckets persons are.
 *
 * No question here needs the order of events: rows come in strips, list by list.  With a breakdown the events of
 * every combination of values are counted first; the top ones become series, and a second pass fills them.
 */
#include "engine/ask/trend_inside.h"

#include "engine/core/bits.h"
#include "engine/scan/ahead.h"

#include <stdlib.h>

enum {
    PERSON_BLOCKS_MAX = 4,     /* where each person has a number */
    DENSE_CODES = 1 << 16,     /* below: codes index a table */
    CELLS_GOOD = 1 << 15,      /* of all codes: cheaper than a second pass */
    SEEN_WORDS_GOOD = 1 << 17, /* of all cells: cheaper than sums of each value */
};

/* ---- the passes ---------------------------------------------------------------------------------- */

static void take_piece(uint32_t worker, uint32_t piece, void *arg)
{
    TrendRun *run = arg;
    TrendWorker *w = &run->workers[worker];
    w->block = run->first_block + piece * run->strip_blocks;
    if (!run->counting)
        trend_begin_piece(w);
    strips_read(w->strips, w->block, w->block + run->strip_blocks, trend_take_strip, w);
    if (!run->counting)
        trend_end_piece(w);
}

/* Nobody's block is the first; persons are counted without it. */
static bool asks_of_persons(const Trend *t)
{
    return trend_flags_persons(t) || trend_is_per_person(t);
}

static uint32_t blocks_of(const TrendRun *run)
{
    const uint32_t blocks = scan_pieces(run->q->view);
    return blocks > run->first_block ? blocks - run->first_block : 0;
}

/* Different ones, of all cells; all workers together may have QUERY_VALUE_CELLS_MAX. */
static uint32_t values_of_worker(const Query *q)
{
    return QUERY_VALUE_CELLS_MAX / crew_size(q->crew);
}

/* Fewer blocks at a time, so that the persons of a piece fit, each in every cell. */
static bool persons_may_fit(const TrendRun *run)
{
    const uint64_t most = (uint64_t)run->strip_blocks * PART_BLOCK_PERSONS * trend_cells(run);
    return !trend_is_per_person(run->t) || most <= values_of_worker(run->q) / 2;
}

static void choose_strips(TrendRun *run)
{
    const bool flags = trend_flags_persons(run->t) && !run->counting;
    const size_t bytes = trend_cells(run) * TREND_FLAG_WORDS * sizeof(uint64_t);
    const bool nobodys = run->who != NULL && run->who->nobodys;
    run->first_block = asks_of_persons(run->t) && !nobodys;
    const uint32_t most = trend_is_per_person(run->t) ? PERSON_BLOCKS_MAX : UINT32_MAX;
    run->strip_blocks = query_blocks_at_once(run->q, flags ? bytes : 0);
    if (run->strip_blocks > most)
        run->strip_blocks = most;
    while (run->strip_blocks > 1 && !persons_may_fit(run))
        run->strip_blocks /= 2;
}

/* Keys are needed for persons, and where rows of one part are in different places. */
static void choose_keys(TrendRun *run)
{
    const bool persons = asks_of_persons(run->t) && !run->counting;
    for (uint32_t i = 0; i < run->q->view->part_count; i++) {
        const BucketPlaces *p = &run->places[i];
        const bool within = p->first > 0 && p->last <= run->t->bucket_count;
        run->keys[i] = persons || (p->first != p->last && !(run->counting && within));
    }
}

static bool asks_of_changes(const Trend *t)
{
    return scan_asks_of_changes(t->breakdown, t->breakdown_count) ||
           scan_asks_of_changes(&t->number, trend_has_number(t));
}

static Err read_ahead(Ctx *ctx, const TrendRun *run)
{
    const Trend *t = run->t;
    ScanProp props[QUERY_BREAKDOWNS_MAX + 1];
    uint32_t count = 0;
    for (; count < t->breakdown_count; count++)
        props[count] = t->breakdown[count];
    if (trend_has_number(t) && !run->counting)
        props[count++] = t->number;
    return ahead_of(ctx, run->q,
                    &(AheadAsk){.selects = &run->select,
                                .select_count = 1,
                                .props = props,
                                .prop_count = count,
                                .items = t->items,
                                .keys = run->keys});
}

Err trend_met_damage(Ctx *ctx)
{
    return fail(ctx, ERR_INTERNAL, "events.part_damaged", "a trend met damage");
}

static Err run_pass(Ctx *ctx, TrendRun *run)
{
    const uint32_t size = crew_size(run->q->crew);
    choose_keys(run);
    TRY(read_ahead(ctx, run));
    for (uint32_t i = 0; i < size; i++)
        run->workers[i].strips =
            strips_new(run->q->view, &(StripAsk){.select = &run->select,
                                                 .keys = run->keys,
                                                 .by_block = asks_of_changes(run->t),
                                                 .items = run->t->items});
    const uint32_t pieces = (blocks_of(run) + run->strip_blocks - 1) / run->strip_blocks;
    const Err err = crew_run(ctx, run->q->crew,
                             &(CrewJob){.pieces = pieces,
                                        .grain = 1,
                                        .piece = take_piece,
                                        .arg = run,
                                        .until_us = run->q->until_us,
                                        .stop = run->q->stop});
    bool damaged = false;
    for (uint32_t i = 0; i < size; i++) {
        TrendWorker *w = &run->workers[i];
        damaged = damaged || w->damaged || strips_damaged(w->strips) > 0;
        strips_free(w->strips);
        w->strips = NULL;
    }
    return err == ERR_OK && damaged ? trend_met_damage(ctx) : err;
}

/* ---- series -------------------------------------------------------------------------------------- */

/* Below which the codes of a list are; 0 = it has others. */
static uint32_t codes_of_list(const Part *part, const PartList *list, uint32_t prop)
{
    const PartColumn *c = part_find_column(part, list, prop);
    if (c == NULL)
        return prop == PROP_EVENT ? list->event + 1 : 1;
    return c->kind == PART_CODES && c->width < 32 ? UINT32_C(1) << c->width : 0;
}

/* The list itself, or its items when these are the rows; NULL: it has no rows. */
static const PartList *rows_of_list(const TrendRun *run, const Part *part, const PartList *list)
{
    if (run->t->items == NULL)
        return list;
    const PartItems *items = part_find_items(part, list, run->t->items->list);
    return items == NULL ? NULL : &items->list;
}

/* Below which the codes are that a property has in the parts; 0 = it has others, or too large ones, or it is of the
 * events of items, or of persons. */
static uint32_t dense_codes(const TrendRun *run, ScanProp prop)
{
    uint32_t most = 1;
    if (prop.of_item != (run->t->items != NULL) || prop.changes != NULL)
        return 0;
    for (uint32_t p = 0; p < run->q->view->part_count; p++) {
        const Part *part = run->q->view->parts[p];
        for (uint32_t i = 0; i < part->head->list_count; i++) {
            const PartList *list = rows_of_list(run, part, &part->lists[i]);
            if (list == NULL || !scan_select_has(&run->select, part, i))
                continue;
            const uint32_t codes = codes_of_list(part, list, prop.prop);
            if (codes == 0 || codes > DENSE_CODES)
                return 0;
            most = codes > most ? codes : most;
        }
    }
    return most;
}

static uint32_t breakdown_codes(const TrendRun *run)
{
    return run->t->breakdown_count == 1 ? dense_codes(run, run->t->breakdown[0]) : 0;
}

/* Of whom the others' cells are those of their series together. */
static bool adds_up(const Trend *t)
{
    return !asks_of_persons(t) && !trend_keeps_values(t);
}

static int64_t value_of_code(uint32_t code)
{
    return code == 0 ? SCAN_MISSING : code;
}

static uint32_t code_of(int64_t value)
{
    return value == SCAN_MISSING ? 0 : (uint32_t)value;
}

static void open_codes(TrendRun *run)
{
    run->codes = breakdown_codes(run);
    for (uint32_t i = 0; i < crew_size(run->q->crew) && run->codes > 0; i++) {
        run->workers[i].code_counts = calloc(run->codes, sizeof(uint64_t));
        CHECK(run->workers[i].code_counts != NULL);
    }
    run->in_one_pass =
        run->codes > 0 && adds_up(run->t) && (size_t)run->codes * run->stride <= CELLS_GOOD;
}

/* What is done behind the pieces by one thread, as a piece of its own where it may take long. */
typedef struct Joining {
    TrendRun *run;
    CellSums *seen;
    bool is_over;
} Joining;

static Err join_alone(Ctx *ctx, Joining *j, void (*piece)(uint32_t, uint32_t, void *))
{
    const Query *q = j->run->q;
    uint64_t entries = 0;
    for (uint32_t i = 0; i < crew_size(q->crew); i++)
        entries += j->run->workers[i].counted.count + j->run->workers[i].seen.count;
    if (entries <
        CREW_LOOK_ROWS / 4) { /* most have few: it is done before another thread wakes up */
        piece(0, 0, j);
        return ERR_OK;
    }
    return crew_run(
        ctx, q->crew,
        &(CrewJob){
            .pieces = 1, .piece = piece, .arg = j, .until_us = q->until_us, .stop = q->stop});
}

/* The workers' counts together say which series there are. */
static void join_all_counts(uint32_t worker, uint32_t piece, void *arg)
{
    (void)worker, (void)piece;
    const Joining *j = arg;
    const TrendRun *run = j->run;
    Tally *all = &j->run->chosen.all;
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++) {
        const TrendWorker *w = &run->workers[i];
        tally_join(all, &w->counted);
        for (uint32_t code = 0; code < run->codes; code++)
            if (w->code_counts[code] > 0)
                tally_add(all, (TallyKey){{value_of_code(code)}}, w->code_counts[code]);
    }
    series_choose(&j->run->chosen);
}

static Err join_counts(Ctx *ctx, TrendRun *run)
{
    TRY(join_alone(ctx, &(Joining){.run = run}, join_all_counts));
    return run->chosen.all.is_over ? query_too_many(ctx) : ERR_OK;
}

static Err count_first(Ctx *ctx, TrendRun *run)
{
    run->counting = true;
    choose_strips(run);
    TRY(run_pass(ctx, run));
    run->counting = false;
    return ERR_OK;
}

/* Behind the series that are shown is room for the others, even when there are none. */
static void show_series(Ctx *ctx, TrendRun *run)
{
    const Tally *shown = &run->chosen.shown;
    run->series = shown->count + 1;
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++)
        series_rows_open(&run->workers[i].rows, &run->chosen);
    run->cell_of_code = ARENA_ARRAY(ctx->arena, uint32_t, (size_t)run->codes + 1);
    for (uint32_t code = 0; code < run->codes; code++)
        run->cell_of_code[code] = shown->count * run->stride;
    for (uint32_t s = 0; run->codes > 0 && s < shown->count; s++)
        if (code_of(shown->at[s].key.of[0]) < run->codes)
            run->cell_of_code[code_of(shown->at[s].key.of[0])] = s * run->stride;
}

/* Every code is a series. */
static void show_codes(Ctx *ctx, TrendRun *run)
{
    run->series = run->codes;
    run->cell_of_code = ARENA_ARRAY(ctx->arena, uint32_t, run->codes);
    for (uint32_t code = 0; code < run->codes; code++)
        run->cell_of_code[code] = code * run->stride;
}

/* ---- the result ---------------------------------------------------------------------------------- */

static void join_all_seen(uint32_t worker, uint32_t piece, void *arg)
{
    (void)worker, (void)piece;
    Joining *j = arg;
    j->seen->max = QUERY_VALUE_CELLS_MAX;
    for (uint32_t i = 0; i < crew_size(j->run->q->crew); i++) {
        TrendWorker *w = &j->run->workers[i];
        j->is_over = j->is_over || w->persons.is_full;
        cell_sums_join(j->seen, &w->seen);
        cell_sums_free(&w->seen);
    }
    cell_sums_settle(j->seen);
}

static Err join_seen(Ctx *ctx, TrendRun *run, CellSums *all)
{
    Joining j = {.run = run, .seen = all};
    TRY(join_alone(ctx, &j, join_all_seen));
    if (all->is_full || j.is_over)
        return fail_field(
            ctx, "", "query.too_large",
            "too many different values, or too large ones: fewer series, longer buckets, "
            "or ask of fewer events");
    return ERR_OK;
}

static void open_series(Ctx *ctx, const TrendRun *run, TrendSeries *out, TrendSum **cells,
                        uint64_t **of)
{
    *cells = ARENA_ARRAY(ctx->arena, TrendSum, run->t->bucket_count);
    *of = ARENA_ARRAY(ctx->arena, uint64_t, run->t->bucket_count);
    *out = (TrendSeries){.cells = *cells, .of = run->t->measure >= TREND_AVERAGE ? *of : NULL};
}

/* Combinations that were said beforehand. */
static void take_series(TrendRun *run)
{
    run->codes = breakdown_codes(run);
    for (uint32_t s = 0; s < run->t->top; s++)
        series_know(&run->chosen, &run->t->same_as[s].key);
    series_know(&run->chosen, &(QuerySeries){.is_other = true});
}

/* The combinations beyond those that are shown are "other": in one pass they have cells of their own. */
static void give_series(Ctx *ctx, const TrendRun *run, const CellSums *seen, TrendResult *out)
{
    const Tally *all = &run->chosen.all;
    const uint32_t shown = run->chosen.shown.count;
    TrendSeries *series = ARENA_ARRAY(ctx->arena, TrendSeries, (size_t)shown + 1);
    TrendSum *cells = NULL;
    uint64_t *of = NULL;
    for (uint32_t c = 0; c < all->count; c++) {
        TrendSeries *s = &series[c < shown ? c : shown];
        if (c <= shown)
            open_series(ctx, run, s, &cells, &of);
        if (c <= shown || run->in_one_pass)
            trend_give_cells(run, seen, run->in_one_pass ? code_of(all->at[c].key.of[0]) : c, cells,
                             of);
        s->events += all->at[c].count;
        s->key = series_key(&run->chosen, c < shown ? c : shown);
    }
    if (shown == all->count && shown < run->chosen.count) { /* they are said, and empty */
        open_series(ctx, run, &series[shown], &cells, &of);
        trend_give_cells(run, seen, shown, cells, of);
        series[shown].key.is_other = true;
    }
    *out = (TrendResult){series, run->chosen.count, all->count};
}

static void give_one(Ctx *ctx, const TrendRun *run, const CellSums *seen, TrendResult *out)
{
    TrendSeries *series = ARENA_NEW(ctx->arena, TrendSeries);
    TrendSum *cells = NULL;
    uint64_t *of = NULL;
    open_series(ctx, run, series, &cells, &of);
    trend_give_cells(run, seen, 0, cells, of);
    *out = (TrendResult){series, 1, 1};
}

static void choose_seen(TrendRun *run)
{
    if (run->t->measure != TREND_DISTINCT)
        return;
    run->seen_codes = dense_codes(run, run->t->number);
    if (trend_cells(run) * trend_seen_words(run) > SEEN_WORDS_GOOD)
        run->seen_codes = 0;
}

static void open_bits(TrendRun *run)
{
    const size_t cells = trend_cells(run);
    choose_seen(run);
    const size_t flags =
        trend_flags_persons(run->t) ? run->strip_blocks * cells * TREND_FLAG_WORDS : 0;
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++) {
        TrendWorker *w = &run->workers[i];
        w->flags = malloc((flags + 1) * sizeof *w->flags);
        w->seen_bits = calloc(cells * trend_seen_words(run) + 1, sizeof *w->seen_bits);
        CHECK(w->flags != NULL && w->seen_bits != NULL);
    }
}

static Err find_series(Ctx *ctx, TrendRun *run)
{
    if (run->t->same_as != NULL) {
        take_series(run);
        show_series(ctx, run);
        return ERR_OK;
    }
    open_codes(run);
    if (run->in_one_pass) {
        show_codes(ctx, run);
        return ERR_OK;
    }
    TRY(count_first(ctx, run));
    TRY(join_counts(ctx, run));
    show_series(ctx, run);
    return ERR_OK;
}

static Err run_trend(Ctx *ctx, TrendRun *run, CellSums *seen, TrendResult *out)
{
    const bool is_broken_down = run->t->breakdown_count > 0;
    if (is_broken_down)
        TRY(find_series(ctx, run));
    choose_strips(run);
    open_bits(run);
    TRY(trend_count_hours(ctx, run));
    if (run->q->view->part_count > 0)
        TRY(run_pass(ctx, run));
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++)
        trend_end_pass(&run->workers[i]);
    if (run->in_one_pass)
        TRY(join_counts(ctx, run));
    TRY(join_seen(ctx, run, seen));
    if (is_broken_down)
        give_series(ctx, run, seen, out);
    else
        give_one(ctx, run, seen, out);
    return ERR_OK;
}

static void open_run(Ctx *ctx, TrendRun *run)
{
    const Query *q = run->q;
    const Trend *t = run->t;
    run->select = t->select;
    run->select.from_ms = t->bounds[0];
    run->select.to_ms = t->bounds[t->bucket_count];
    run->stride = t->bucket_count + 2;
    run->series = 1;
    run->chosen = series_of_nothing(&(SeriesAsk){
        .breakdown = t->breakdown, .breakdown_count = t->breakdown_count, .top = t->top});
    run->places = ARENA_ARRAY(ctx->arena, BucketPlaces, (size_t)q->view->part_count + 1);
    run->keys = ARENA_ARRAY(ctx->arena, bool, (size_t)q->view->part_count + 1);
    for (uint32_t i = 0; i < q->view->part_count; i++)
        run->places[i] =
            bucket_places(ctx->arena, t->bounds, t->bucket_count, q->view->parts[i]->head);
    run->workers = calloc(crew_size(q->crew), sizeof *run->workers);
    CHECK(run->workers != NULL);
    for (uint32_t i = 0; i < crew_size(q->crew); i++) {
        run->workers[i].run = run;
        run->workers[i].counted.limit = query_share(q, QUERY_VALUES_MAX);
        run->workers[i].seen.max = values_of_worker(q);
        run->workers[i].persons.max = values_of_worker(q);
        trend_open_worker(&run->workers[i]);
    }
}

static Err answer(Ctx *ctx, const Query *q, const Trend *t, const TrendWho *who, TrendResult *out)
{
    if (t->bucket_count == 0 || t->bucket_count > QUERY_BUCKETS_MAX || t->top > QUERY_GROUPS_MAX ||
        t->breakdown_count > QUERY_BREAKDOWNS_MAX ||
        (uint64_t)(t->top + 1) * t->bucket_count > QUERY_CELLS_MAX)
        return fail(ctx, ERR_INVALID, "query.too_large", "%u buckets, %u series", t->bucket_count,
                    t->top);
    TrendRun run = {.q = q, .t = t, .who = who};
    CellSums seen = {0};
    open_run(ctx, &run);
    const Err err = run_trend(ctx, &run, &seen, out);
    for (uint32_t i = 0; i < crew_size(q->crew); i++)
        trend_close_worker(&run.workers[i]);
    free(run.workers);
    series_free(&run.chosen);
    cell_sums_free(&seen);
    return err;
}

Err query_trend(Ctx *ctx, const Query *q, const Trend *t, TrendResult *out)
{
    return answer(ctx, q, t, NULL, out);
}

/* ---- who is in a cell ---------------------------------------------------------------------------- */

/* What each person has of a cell that does not count persons.  It is a question of the same rows. */
static Trend per_person(const Trend *t)
{
    Trend out = *t;
    out.measure = TREND_AVERAGE;
    out.of = t->measure == TREND_EVENTS ? TREND_OF_PERSON_EVENTS : TREND_OF_PERSON_SUM;
    return out;
}

Err query_trend_people(Ctx *ctx, const Query *q, const Trend *t, const TrendResult *r,
                       const TrendBar *bar, People *out)
{
    CHECK(bar->series < r->count && bar->cell < t->bucket_count);
    const bool persons = trend_flags_persons(t), of_events = !asks_of_persons(t);
    Trend same = of_events ? per_person(t) : *t;
    People people =
        persons ? people_none(ctx->arena, q->view) : people_with_amounts(ctx->arena, q->view);
    const TrendWho who = {.people = &people,
                          .cell = bar->series * (t->bucket_count + 2) + 1 + bar->cell,
                          .at_least = bar->at_least,
                          .values = of_events && t->measure > TREND_SUM,
                          .nobodys = of_events};
    TrendResult unused;
    if (t->breakdown_count > 0) {
        same.same_as = r->series;
        same.top = r->count - r->series[r->count - 1].key.is_other;
    }
    TRY(answer(ctx, q, &same, &who, &unused));
    people_count(&people);
    *out = people;
    return ERR_OK;
}
