/*
 * engine/trend.c -- counts, persons and sums per bucket and series, and in how many buckets persons are.
 *
 * Loose rows are enough: no question here needs the order of events.  With a breakdown the events of every
 * combination of values are counted first; the top ones become series, and a second pass fills them.
 */
#include "engine/query.h"

#include "base/hash.h"
#include "engine/bits.h"
#include "engine/buckets.h"

#include <stdlib.h>

enum { FLAG_WORDS = PART_BLOCK_PERSONS / 64 };

/* ---- combinations of values and their numbers ---------------------------------------------------- */

typedef struct Combination {
    int64_t values[QUERY_BREAKDOWNS_MAX];
    uint64_t events;
} Combination;

typedef struct Combinations {
    Combination *at;
    uint32_t count, cap;
    uint32_t *slots; /* index + 1 */
    uint32_t slot_count;
    uint32_t width;
    uint32_t last;    /* the one found last: neighbours are often alike */
    uint32_t *direct; /* of one small value: index + 1 */
} Combinations;

enum { DIRECT = 1 << 15 };

static uint64_t hash_of(const int64_t *values, uint32_t width)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < width; i++)
        hash = hash_u64((uint64_t)values[i], hash);
    return hash;
}

static bool same(const Combination *c, const int64_t *values, uint32_t width)
{
    return memcmp(c->values, values, width * sizeof *values) == 0;
}

static uint32_t slot_for(const Combinations *c, const int64_t *values)
{
    uint32_t slot = (uint32_t)hash_of(values, c->width) & (c->slot_count - 1);
    while (c->slots[slot] != 0 && !same(&c->at[c->slots[slot] - 1], values, c->width))
        slot = (slot + 1) & (c->slot_count - 1);
    return slot;
}

static void grow(Combinations *c)
{
    c->cap = c->cap == 0 ? 64 : c->cap * 2;
    c->at = realloc(c->at, c->cap * sizeof *c->at);
    free(c->slots);
    c->slot_count = c->cap * 2;
    c->slots = calloc(c->slot_count, sizeof *c->slots);
    CHECK(c->at != NULL && c->slots != NULL);
    for (uint32_t i = 0; i < c->count; i++)
        c->slots[slot_for(c, c->at[i].values)] = i + 1;
}

static uint32_t look_up(Combinations *c, const int64_t *values, bool add)
{
    if (c->slot_count == 0)
        grow(c);
    uint32_t slot = slot_for(c, values);
    if (c->slots[slot] == 0) {
        if (!add || c->count == QUERY_VALUES_MAX)
            return QUERY_VALUES_MAX;
        if (c->count == c->cap) {
            grow(c);
            slot = slot_for(c, values);
        }
        c->at[c->count] = (Combination){0};
        memcpy(c->at[c->count].values, values, c->width * sizeof *values);
        c->slots[slot] = ++c->count;
    }
    return c->slots[slot] - 1;
}

/* Its index, or QUERY_VALUES_MAX when it is one too many, or unknown and not to be added. */
static uint32_t index_of(Combinations *c, const int64_t *values, bool add)
{
    if (c->last < c->count && same(&c->at[c->last], values, c->width))
        return c->last;
    const bool small = c->width == 1 && values[0] >= 0 && values[0] < DIRECT;
    if (small && c->direct == NULL) {
        c->direct = calloc(DIRECT, sizeof *c->direct);
        CHECK(c->direct != NULL);
    }
    if (small && c->direct[values[0]] != 0)
        return c->last = c->direct[values[0]] - 1;
    const uint32_t at = look_up(c, values, add);
    if (at == QUERY_VALUES_MAX)
        return at;
    if (small)
        c->direct[values[0]] = at + 1;
    return c->last = at;
}

static void free_combinations(Combinations *c)
{
    free(c->at);
    free(c->slots);
    free(c->direct);
}

/* ---- how many buckets each person is in ----------------------------------------------------------- */

enum { PLANES_MAX = 13 }; /* bits of a count up to QUERY_BUCKETS_MAX */

/* One more for each of the 64 persons in `who`: bit k of all their counts stands in planes[k]. */
static void add_one(uint64_t *planes, uint64_t who)
{
    for (uint32_t k = 0; who != 0; k++) {
        const uint64_t carry = planes[k] & who;
        planes[k] ^= who;
        who = carry;
    }
}

static uint64_t above_zero(const uint64_t *planes, uint32_t count)
{
    uint64_t who = 0;
    for (uint32_t k = 0; k < count; k++)
        who |= planes[k];
    return who;
}

static uint32_t number_of(const uint64_t *planes, uint32_t count, uint32_t person)
{
    uint32_t number = 0;
    for (uint32_t k = 0; k < count; k++)
        number |= (uint32_t)(planes[k] >> person & 1) << k;
    return number;
}

/* One series: who has how many of the flags. */
static void add_stickiness(const uint64_t *flags, uint32_t buckets, TrendSum *cells)
{
    const uint32_t count = (uint32_t)bits_width(buckets);
    for (uint32_t word = 0; word < FLAG_WORDS; word++) {
        uint64_t planes[PLANES_MAX] = {0};
        for (uint32_t b = 0; b < buckets; b++)
            add_one(planes, flags[(size_t)b * FLAG_WORDS + word]);
        for (uint64_t left = above_zero(planes, count); left != 0; left &= left - 1)
            cells[number_of(planes, count, (uint32_t)__builtin_ctzll(left)) - 1]++;
    }
}

/* ---- one worker ---------------------------------------------------------------------------------- */

typedef struct TrendWorker {
    const struct TrendRun *run;
    Scanner *scanner;
    Combinations counted; /* first pass */
    Combinations shown;   /* second pass: the series, read only */
    Buckets buckets;
    const uint16_t *row_bucket;
    uint32_t *row_series;
    int64_t *values[QUERY_BREAKDOWNS_MAX + 1]; /* the last: the number */
    uint32_t cap;
    FilterScratch scratch;
    TrendSum *cells;
    uint64_t *flags; /* of persons: [series][bucket][FLAG_WORDS] of the piece */
    bool damaged;
} TrendWorker;

typedef struct TrendRun {
    const Query *q;
    const Trend *t;
    ScanSelect select;
    uint32_t series; /* "other" among them */
    bool counting;   /* the first pass */
    TrendWorker *workers;
} TrendRun;

static bool counts_persons(const Trend *t)
{
    return t->measure == TREND_PERSONS || t->measure == TREND_STICKINESS;
}

static void *room(void *old, size_t n, size_t size)
{
    free(old);
    void *fresh = malloc(n * size);
    CHECK(fresh != NULL);
    return fresh;
}

static void reserve(TrendWorker *w, uint32_t n)
{
    if (n <= w->cap)
        return;
    w->cap = n + n / 2;
    const size_t cells = (size_t)w->cap + 128;
    w->row_series = room(w->row_series, cells, sizeof *w->row_series);
    for (int i = 0; i <= QUERY_BREAKDOWNS_MAX; i++)
        w->values[i] = room(w->values[i], cells, sizeof(int64_t));
}

static bool read_breakdown(TrendWorker *w, const ScanLoose *l)
{
    const Trend *t = w->run->t;
    for (uint32_t b = 0; b < t->breakdown_count; b++)
        if (!scan_values(l, t->breakdown[b], &w->scratch, w->values[b]))
            return false;
    return true;
}

static void combine(const TrendWorker *w, uint32_t row, int64_t out[QUERY_BREAKDOWNS_MAX])
{
    for (uint32_t b = 0; b < w->run->t->breakdown_count; b++)
        out[b] = w->values[b][row];
}

/* All rows have the same values: of one event name, one shop, or none at all. */
static bool are_alike(const TrendWorker *w, uint32_t count)
{
    for (uint32_t b = 0; b < w->run->t->breakdown_count; b++) {
        const int64_t *values = w->values[b];
        int64_t differ = 0;
        for (uint32_t i = 1; i < count; i++)
            differ |= values[i] ^ values[0];
        if (differ != 0)
            return false;
    }
    return true;
}

static uint64_t count_rows(const ScanLoose *l)
{
    uint64_t rows = 0;
    for (uint32_t i = 0; i < l->count; i++)
        rows += l->mask == NULL || l->mask[i] != 0;
    return rows;
}

static void count_combinations(TrendWorker *w, const ScanLoose *l)
{
    int64_t values[QUERY_BREAKDOWNS_MAX];
    const bool alike = are_alike(w, l->count);
    const uint64_t all = alike ? count_rows(l) : 1;
    for (uint32_t i = 0; i < (alike ? all > 0 : l->count); i++) {
        if (!alike && l->mask != NULL && l->mask[i] == 0)
            continue;
        combine(w, i, values);
        const uint32_t at = index_of(&w->counted, values, true);
        if (at < QUERY_VALUES_MAX)
            w->counted.at[at].events += all;
    }
}

static void find_series(TrendWorker *w, const ScanLoose *l)
{
    int64_t values[QUERY_BREAKDOWNS_MAX];
    const uint32_t other = w->shown.count;
    const bool alike = are_alike(w, l->count);
    for (uint32_t i = 0; i < l->count; i++) {
        if (i > 0 && alike) {
            w->row_series[i] = w->row_series[0];
            continue;
        }
        combine(w, i, values);
        const uint32_t at = index_of(&w->shown, values, false);
        w->row_series[i] = at < other ? at : other;
    }
}

static void add_events(TrendWorker *w, const ScanLoose *l, const uint32_t *series)
{
    const uint32_t buckets = w->run->t->bucket_count;
    for (uint32_t i = 0; i < l->count; i++) {
        if ((l->mask != NULL && l->mask[i] == 0) || w->row_bucket[i] == BUCKETS_NONE)
            continue;
        w->cells[(series == NULL ? 0 : series[i]) * buckets + w->row_bucket[i]]++;
    }
}

static void add_persons(TrendWorker *w, const ScanLoose *l, const uint32_t *series)
{
    const uint32_t buckets = w->run->t->bucket_count;
    for (uint32_t i = 0; i < l->count; i++) {
        if ((l->mask != NULL && l->mask[i] == 0) || w->row_bucket[i] == BUCKETS_NONE)
            continue;
        const uint32_t cell = (series == NULL ? 0 : series[i]) * buckets + w->row_bucket[i];
        const uint32_t person = l->keys[i] >> PART_SECOND_BITS;
        w->flags[cell * FLAG_WORDS + person / 64] |= UINT64_C(1) << (person & 63);
    }
}

static void add_numbers(TrendWorker *w, const ScanLoose *l, const uint32_t *series)
{
    const uint32_t buckets = w->run->t->bucket_count;
    const int64_t *numbers = w->values[QUERY_BREAKDOWNS_MAX];
    for (uint32_t i = 0; i < l->count; i++) {
        if ((l->mask != NULL && l->mask[i] == 0) || w->row_bucket[i] == BUCKETS_NONE ||
            numbers[i] == SCAN_MISSING)
            continue;
        w->cells[(series == NULL ? 0 : series[i]) * buckets + w->row_bucket[i]] += numbers[i];
    }
}

static void take_rows(const ScanLoose *l, void *arg)
{
    TrendWorker *w = arg;
    const Trend *t = w->run->t;
    reserve(w, l->count);
    if (!read_breakdown(w, l) ||
        (t->measure == TREND_SUM &&
         !scan_values(l, t->number, &w->scratch, w->values[QUERY_BREAKDOWNS_MAX]))) {
        w->damaged = true;
        return;
    }
    if (w->run->counting) {
        count_combinations(w, l);
        return;
    }
    const uint32_t *series = t->breakdown_count == 0 ? NULL : w->row_series;
    w->row_bucket = buckets_of(&w->buckets, l);
    if (series != NULL)
        find_series(w, l);
    if (t->measure == TREND_EVENTS)
        add_events(w, l, series);
    else if (counts_persons(t))
        add_persons(w, l, series);
    else
        add_numbers(w, l, series);
}

static void count_flags(TrendWorker *w)
{
    const uint32_t buckets = w->run->t->bucket_count;
    const size_t cells = (size_t)w->run->series * buckets;
    if (w->run->t->measure == TREND_STICKINESS) {
        for (size_t cell = 0; cell < cells; cell += buckets)
            add_stickiness(w->flags + cell * FLAG_WORDS, buckets, w->cells + cell);
        return;
    }
    for (size_t cell = 0; cell < cells; cell++)
        for (uint32_t i = 0; i < FLAG_WORDS; i++)
            w->cells[cell] += __builtin_popcountll(w->flags[cell * FLAG_WORDS + i]);
}

static void take_piece(uint32_t worker, uint32_t piece, void *arg)
{
    TrendRun *run = arg;
    TrendWorker *w = &run->workers[worker];
    const size_t cells = (size_t)run->series * run->t->bucket_count;
    const bool persons = counts_persons(run->t) && !run->counting;
    if (persons)
        memset(w->flags, 0, cells * FLAG_WORDS * sizeof *w->flags);
    scanner_loose(w->scanner, piece, take_rows, w);
    if (persons)
        count_flags(w);
}

/* ---- the passes ---------------------------------------------------------------------------------- */

/* The first piece is nobody's. */
static Err run_pass(Ctx *ctx, TrendRun *run)
{
    const ScanAsk ask = {.selects = &run->select, .select_count = 1};
    const uint32_t size = crew_size(run->q->crew);
    for (uint32_t i = 0; i < size; i++)
        run->workers[i].scanner = scanner_new(run->q->view, &ask);
    Err err = crew_run(ctx, run->q->crew,
                       &(CrewJob){.pieces = scan_pieces(run->q->view),
                                  .first_piece = counts_persons(run->t),
                                  .piece = take_piece,
                                  .arg = run,
                                  .until_us = run->q->until_us,
                                  .stop = run->q->stop});
    bool damaged = false;
    for (uint32_t i = 0; i < size; i++) {
        damaged =
            damaged || run->workers[i].damaged || scanner_damaged(run->workers[i].scanner) > 0;
        scanner_free(run->workers[i].scanner);
        run->workers[i].scanner = NULL;
    }
    if (err == ERR_OK && damaged)
        err = fail(ctx, ERR_INTERNAL, "events.part_damaged", "a trend met damage");
    return err;
}

static int by_events(const void *a, const void *b)
{
    const Combination *x = a, *y = b;
    if (x->events != y->events)
        return x->events < y->events ? 1 : -1;
    for (int i = 0; i < QUERY_BREAKDOWNS_MAX; i++)
        if (x->values[i] != y->values[i])
            return x->values[i] < y->values[i] ? -1 : 1;
    return 0;
}

/* Counts every combination; the workers' counts become one list, the most frequent first. */
static Err find_top(Ctx *ctx, TrendRun *run, Combinations *all)
{
    run->counting = true;
    TRY(run_pass(ctx, run));
    run->counting = false;
    all->width = run->t->breakdown_count;
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++) {
        const Combinations *mine = &run->workers[i].counted;
        for (uint32_t c = 0; c < mine->count; c++) {
            const uint32_t at = index_of(all, mine->at[c].values, true);
            if (at < QUERY_VALUES_MAX)
                all->at[at].events += mine->at[c].events;
        }
    }
    if (all->count > 0)
        qsort(all->at, all->count, sizeof *all->at, by_events);
    return ERR_OK;
}

static void show_series(TrendRun *run, const Combinations *all)
{
    const uint32_t shown = all->count < run->t->top ? all->count : run->t->top;
    run->series = shown + (shown < all->count);
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++) {
        TrendWorker *w = &run->workers[i];
        w->shown.width = run->t->breakdown_count;
        for (uint32_t s = 0; s < shown; s++)
            (void)index_of(&w->shown, all->at[s].values, true);
    }
}

static void give_result(Ctx *ctx, const TrendRun *run, const Combinations *all, TrendResult *out)
{
    const uint32_t buckets = run->t->bucket_count;
    TrendSeries *series = ARENA_ARRAY(ctx->arena, TrendSeries, (size_t)run->series + 1);
    for (uint32_t s = 0; s < run->series; s++) {
        TrendSum *cells = ARENA_ARRAY(ctx->arena, TrendSum, buckets);
        for (uint32_t i = 0; i < crew_size(run->q->crew); i++)
            for (uint32_t b = 0; b < buckets; b++)
                cells[b] += run->workers[i].cells[(size_t)s * buckets + b];
        series[s].cells = cells;
    }
    const uint32_t shown = all->count < run->t->top ? all->count : run->t->top;
    for (uint32_t c = 0; c < all->count; c++) {
        TrendSeries *s = &series[c < shown ? c : shown];
        s->events += all->at[c].events;
        s->is_other = c >= shown;
        if (c < shown)
            memcpy(s->values, all->at[c].values, sizeof s->values);
    }
    *out = (TrendResult){series, run->series, run->t->breakdown_count > 0 ? all->count : 1};
}

static Err run_trend(Ctx *ctx, TrendRun *run, Combinations *all, TrendResult *out)
{
    if (run->t->breakdown_count > 0) {
        TRY(find_top(ctx, run, all));
        show_series(run, all);
    }
    const size_t cells = (size_t)run->series * run->t->bucket_count;
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++) {
        TrendWorker *w = &run->workers[i];
        w->cells = calloc(cells + 1, sizeof *w->cells);
        CHECK(w->cells != NULL);
        if (counts_persons(run->t))
            w->flags = malloc((cells * FLAG_WORDS + 1) * sizeof *w->flags);
        CHECK(!counts_persons(run->t) || w->flags != NULL);
    }
    TRY(run_pass(ctx, run));
    give_result(ctx, run, all, out);
    return ERR_OK;
}

static void free_worker(TrendWorker *w)
{
    free_combinations(&w->counted);
    free_combinations(&w->shown);
    buckets_free(&w->buckets);
    free(w->row_series);
    for (int i = 0; i <= QUERY_BREAKDOWNS_MAX; i++)
        free(w->values[i]);
    filter_scratch_free(&w->scratch);
    free(w->cells);
    free(w->flags);
}

Err query_trend(Ctx *ctx, const Query *q, const Trend *t, TrendResult *out)
{
    if (t->bucket_count == 0 || t->bucket_count > QUERY_BUCKETS_MAX || t->top > QUERY_GROUPS_MAX ||
        t->breakdown_count > QUERY_BREAKDOWNS_MAX ||
        (uint64_t)(t->top + 1) * t->bucket_count > QUERY_CELLS_MAX)
        return fail(ctx, ERR_INVALID, "query.too_large", "%u buckets, %u series", t->bucket_count,
                    t->top);
    TrendRun run = {.q = q, .t = t, .select = t->select, .series = 1};
    run.select.from_ms = t->bounds[0];
    run.select.to_ms = t->bounds[t->bucket_count];
    run.workers = calloc(crew_size(q->crew), sizeof *run.workers);
    CHECK(run.workers != NULL);
    for (uint32_t i = 0; i < crew_size(q->crew); i++) {
        run.workers[i].run = &run;
        run.workers[i].counted.width = t->breakdown_count;
        run.workers[i].buckets = (Buckets){.bounds = t->bounds, .count = t->bucket_count};
    }
    Combinations all = {0};
    const Err err = run_trend(ctx, &run, &all, out);
    for (uint32_t i = 0; i < crew_size(q->crew); i++)
        free_worker(&run.workers[i]);
    free(run.workers);
    free_combinations(&all);
    return err;
}
