/*
 * engine/ask/funnel_count.c
 */
#include "engine/ask/funnel_count.h"

#include "engine/core/bits.h"

#include <stdlib.h>

enum { LAP_COUNT, LAP_MS, LAP_SPANS, LAP_WORDS = LAP_SPANS + FUNNEL_SPANS };

FunnelShape funnel_shape(const Funnel *f)
{
    FunnelShape s = {.steps = f->step_count, .scopes = 1 + f->interval_count};
    const uint32_t numbers = s.steps * s.scopes;
    s.words = numbers;
    if (funnel_counts_ways(f)) {
        s.ways_at = s.words;
        s.words += numbers;
    }
    if (f->times) {
        s.times_at = s.words;
        s.words += s.steps * LAP_WORDS;
    }
    s.room = f->breakdown_count == 0 ? 1 : FUNNEL_WORDS_MAX / s.words;
    return s;
}

/* ---- counting ------------------------------------------------------------------------------------ */

static void reserve_series(FunnelCount *c, uint32_t series)
{
    if (series <= c->series)
        return;
    const FunnelShape *s = c->shape;
    const size_t before = (size_t)c->series;
    size_t now = before * 2 > series ? before * 2 : series;
    now = now > s->room ? s->room : now;
    c->cells = realloc(c->cells, now * s->words * sizeof *c->cells);
    c->depths = realloc(c->depths, now * s->scopes);
    c->touched = realloc(c->touched, now * s->scopes * sizeof *c->touched);
    CHECK(c->cells != NULL && c->depths != NULL && c->touched != NULL);
    memset(c->cells + before * s->words, 0, (now - before) * s->words * sizeof *c->cells);
    memset(c->depths + before * s->scopes, 0, (now - before) * s->scopes);
    c->series = (uint32_t)now;
}

void funnel_count_open(FunnelCount *c, const FunnelShape *shape, const Tally *shown,
                       atomic_uint_fast64_t *laps)
{
    *c = (FunnelCount){
        .shape = shape, .shown = shown, .came = {.limit = QUERY_VALUES_MAX}, .laps_of_all = laps};
    reserve_series(c, shown == NULL ? 1 : shown->count + 2);
}

void funnel_count_close(FunnelCount *c)
{
    tally_free(&c->came);
    free(c->cells);
    free(c->depths);
    free(c->touched);
    free(c->laps);
}

/* The series of these values; shape.room or more: there is no room for it. */
static uint32_t series_of(FunnelCount *c, const FunnelItem *item)
{
    if (c->shown != NULL) {
        const uint32_t number = tally_find(c->shown, *item->key);
        return 1 + (number == TALLY_NONE ? c->shown->count : number);
    }
    const uint32_t number = tally_number(&c->came, item->key);
    if (number >= c->shape->room - 1) {
        if (item->scope == 0)
            tally_add_person(&c->came, *item->key, item->person);
        return UINT32_MAX;
    }
    reserve_series(c, number + 2);
    if (item->scope == 0 && funnel_count_depth(c, number + 1, 0) == 0)
        c->came.at[number].count++;
    return number + 1;
}

static void keep_lap(FunnelCount *c, FunnelLap lap)
{
    if (c->lap_count == c->lap_cap) {
        c->lap_cap = c->lap_cap == 0 ? 1024 : c->lap_cap * 2;
        c->laps = realloc(c->laps, c->lap_cap * sizeof *c->laps);
        CHECK(c->laps != NULL);
    }
    c->laps[c->lap_count++] = lap;
}

static void add_lap(uint64_t *words, int64_t ms)
{
    words[LAP_COUNT]++;
    words[LAP_MS] += (uint64_t)ms;
    words[LAP_SPANS + bits_width((uint64_t)ms / 1000)]++;
}

/* [0] is there when the way did all steps. */
static uint32_t first_lap(const FunnelShape *s, uint32_t depth)
{
    return depth == s->steps ? 0 : 1;
}

static void add_laps(const FunnelCount *c, uint32_t series, const FunnelItem *item)
{
    const FunnelShape *s = c->shape;
    uint64_t *const times = c->cells + (size_t)series * s->words + s->times_at;
    for (uint32_t k = first_lap(s, item->depth); k < item->depth; k++)
        add_lap(times + (size_t)k * LAP_WORDS, item->ms[k]);
}

static void keep_laps(FunnelCount *c, uint32_t series, const FunnelItem *item)
{
    const uint32_t first = first_lap(c->shape, item->depth), count = item->depth - first;
    if (atomic_fetch_add_explicit(c->laps_of_all, count, memory_order_relaxed) + count >
        FUNNEL_TIMES_MAX)
        return;
    for (uint32_t k = first; k < item->depth; k++)
        keep_lap(c, (FunnelLap){item->ms[k], series, k});
}

static void add_to(FunnelCount *c, uint32_t series, const FunnelItem *item)
{
    const FunnelShape *s = c->shape;
    const size_t place = (size_t)series * s->scopes + item->scope;
    uint64_t *const persons = c->cells + (size_t)series * s->words + (size_t)item->scope * s->steps;
    if (c->depths[place] == 0)
        c->touched[c->touched_count++] = (uint32_t)place;
    for (uint32_t k = c->depths[place]; k < item->depth; k++)
        persons[k]++;
    if (item->depth > c->depths[place])
        c->depths[place] = (uint8_t)item->depth;
    for (uint32_t k = 0; s->ways_at > 0 && k < item->depth; k++)
        persons[s->ways_at + k]++;
    if (item->ms != NULL)
        add_laps(c, series, item);
}

void funnel_count_way(FunnelCount *c, const FunnelItem *item)
{
    const uint32_t series = item->key == NULL ? 0 : series_of(c, item);
    add_to(c, 0, item);
    if (series > 0 && series < c->series)
        add_to(c, series, item);
    if (item->ms != NULL && series < c->series)
        keep_laps(c, series, item);
}

void funnel_count_persons(FunnelCount *c, const TallyKey *key, const uint64_t *persons)
{
    uint32_t series = 0;
    if (key != NULL) {
        CHECK(c->shown == NULL);
        const uint32_t number = tally_number(&c->came, key);
        CHECK(number < c->shape->room - 1);
        c->came.at[number].count += persons[0];
        series = number + 1;
        reserve_series(c, series + 1);
    }
    uint64_t *const to = c->cells + (size_t)series * c->shape->words;
    for (uint32_t k = 0; k < c->shape->steps; k++)
        to[k] += persons[k];
}

uint32_t funnel_count_depth(const FunnelCount *c, uint32_t series, uint32_t scope)
{
    return c->depths[(size_t)series * c->shape->scopes + scope];
}

void funnel_count_next_person(FunnelCount *c)
{
    for (uint32_t i = 0; i < c->touched_count; i++)
        c->depths[c->touched[i]] = 0;
    c->touched_count = 0;
}

/* ---- the result ---------------------------------------------------------------------------------- */

/* What becomes of a worker's series. */
typedef struct Gathering {
    const FunnelShape *shape;
    const Tally *shown; /* series 1 and so on; behind them is "other" */
    uint64_t *cells;
    FunnelTime *times; /* [series][step] */
} Gathering;

static uint32_t target_of(const Gathering *g, const FunnelCount *c, uint32_t series)
{
    if (series == 0 || c->shown != NULL)
        return series;
    const uint32_t number = tally_find(g->shown, c->came.at[series - 1].key);
    return 1 + (number == TALLY_NONE ? g->shown->count : number);
}

static void add_worker(const Gathering *g, const FunnelCount *c)
{
    const uint32_t words = g->shape->words;
    uint32_t count = c->series;
    if (c->shown == NULL && count > c->came.count + 1)
        count = c->came.count + 1;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t *const to = g->cells + (size_t)target_of(g, c, i) * words;
        for (uint32_t k = 0; k < words; k++)
            to[k] += c->cells[(size_t)i * words + k];
    }
}

static void give_times(const Gathering *g, uint32_t series)
{
    const FunnelShape *s = g->shape;
    const uint64_t *cells = g->cells + (size_t)series * s->words + s->times_at;
    for (uint32_t k = 0; k < s->steps; k++) {
        const uint64_t *words = cells + (size_t)k * LAP_WORDS;
        FunnelTime *time = &g->times[(size_t)series * s->steps + k];
        *time = (FunnelTime){.count = words[LAP_COUNT], .ms = words[LAP_MS], .median_ms = -1};
        memcpy(time->spans, words + LAP_SPANS, sizeof time->spans);
    }
}

static FunnelSeries series_at(const Gathering *g, uint32_t series)
{
    const FunnelShape *s = g->shape;
    const uint64_t *cells = g->cells + (size_t)series * s->words;
    FunnelSeries out = {.persons = cells, .by_persons = cells + s->steps};
    if (s->ways_at > 0) {
        out.ways = cells + s->ways_at;
        out.by_ways = out.ways + s->steps;
    }
    if (s->times_at > 0) {
        give_times(g, series);
        out.times = g->times + (size_t)series * s->steps;
    }
    return out;
}

/* ---- medians ------------------------------------------------------------------------------------- */

/* Puts the value that belongs at `place` there, with none smaller behind it and none larger before it. */
static void settle(int64_t *values, size_t count, size_t place)
{
    for (size_t low = 0, high = count - 1; low < high;) {
        const int64_t pivot = values[low + (high - low) / 2];
        size_t left = low, right = high;
        while (left <= right) {
            while (values[left] < pivot)
                left++;
            while (values[right] > pivot)
                right--;
            if (left > right)
                break;
            const int64_t kept = values[left];
            values[left++] = values[right];
            values[right] = kept;
            if (right == 0)
                break;
            right--;
        }
        if (place > right && place < left)
            return;
        if (place <= right)
            high = right;
        else
            low = left;
    }
}

static int64_t median_of(int64_t *values, size_t count)
{
    const size_t middle = count / 2;
    settle(values, count, middle);
    if (count % 2 == 1)
        return values[middle];
    int64_t below = values[0];
    for (size_t i = 1; i < middle; i++)
        below = values[i] > below ? values[i] : below;
    return below + (values[middle] - below) / 2;
}

typedef struct Medians {
    const Gathering *g;
    const FunnelCount *counts;
    uint32_t workers, groups; /* a group per series, or one for all: of each step */
    size_t *from;             /* [group * steps + step] */
    int64_t *values;
} Medians;

static size_t group_of(const Medians *m, const FunnelCount *c, const FunnelLap *lap)
{
    const uint32_t series = m->groups == 1 ? 0 : target_of(m->g, c, lap->series);
    return (size_t)series * m->g->shape->steps + lap->step;
}

/* Groups the times: count, sum up, scatter. */
static void group_laps(Medians *m)
{
    const size_t groups = (size_t)m->groups * m->g->shape->steps;
    for (uint32_t w = 0; w < m->workers; w++)
        for (uint32_t i = 0; i < m->counts[w].lap_count; i++)
            m->from[group_of(m, &m->counts[w], &m->counts[w].laps[i]) + 1]++;
    for (size_t i = 0; i < groups; i++)
        m->from[i + 1] += m->from[i];
    for (uint32_t w = 0; w < m->workers; w++)
        for (uint32_t i = 0; i < m->counts[w].lap_count; i++) {
            const FunnelLap *lap = &m->counts[w].laps[i];
            m->values[m->from[group_of(m, &m->counts[w], lap)]++] = lap->ms;
        }
    memmove(m->from + 1, m->from, groups * sizeof *m->from);
    m->from[0] = 0;
}

/* Of the series in their order, or of the total alone. */
static void find_medians(const Gathering *g, const FunnelCount *counts, uint32_t workers,
                         uint32_t groups)
{
    const uint32_t steps = g->shape->steps;
    size_t laps = 0;
    for (uint32_t w = 0; w < workers; w++)
        laps += counts[w].lap_count;
    Medians m = {g, counts, workers, groups, NULL, NULL};
    m.from = calloc((size_t)groups * steps + 2, sizeof *m.from);
    m.values = malloc((laps + 1) * sizeof *m.values);
    CHECK(m.from != NULL && m.values != NULL);
    group_laps(&m);
    for (size_t i = 0; i < (size_t)groups * steps; i++) {
        const size_t count = m.from[i + 1] - m.from[i];
        g->times[i].median_ms = count == 0 ? 0 : median_of(m.values + m.from[i], count);
    }
    free(m.from);
    free(m.values);
}

static void give_medians(const Gathering *g, const FunnelCount *counts, uint32_t workers,
                         uint32_t count)
{
    if (g->shape->times_at == 0 || atomic_load(counts[0].laps_of_all) > FUNNEL_TIMES_MAX)
        return;
    if (count > 1)
        find_medians(g, counts, workers, count);
    find_medians(g, counts, workers, 1);
}

void funnel_count_give(Ctx *ctx, const FunnelCount *counts, uint32_t workers, const Tally *shown,
                       uint32_t distinct, FunnelResult *out)
{
    const FunnelShape *shape = counts[0].shape;
    const uint32_t count = 1 + shown->count + (shown->count < distinct);
    Gathering g = {.shape = shape, .shown = shown};
    g.cells = ARENA_ARRAY(ctx->arena, uint64_t, (size_t)(shown->count + 2) * shape->words);
    g.times = ARENA_ARRAY(ctx->arena, FunnelTime, shape->times_at > 0 ? count * shape->steps : 0);
    for (uint32_t i = 0; i < workers; i++)
        add_worker(&g, &counts[i]);
    FunnelSeries *series = ARENA_ARRAY(ctx->arena, FunnelSeries, count);
    for (uint32_t s = 0; s < count; s++) {
        series[s] = series_at(&g, s);
        series[s].key.is_other = s > shown->count;
        if (s > 0 && s <= shown->count)
            memcpy(series[s].key.values, shown->at[s - 1].key.of, sizeof series[s].key.values);
    }
    give_medians(&g, counts, workers, count);
    *out = (FunnelResult){series[0], series + 1, count - 1, distinct};
}
