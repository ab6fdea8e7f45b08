/*
 * engine/ask/series.c
 */
#include "engine/ask/series.h"

#include "engine/core/kernels.h"
#include "engine/scan/ahead.h"

#include <stdlib.h>

/* ---- the values of rows -------------------------------------------------------------------------- */

static void *room(void *old, uint32_t rows, size_t size)
{
    free(old);
    void *fresh = malloc(((size_t)rows + KERNEL_SLACK) * size);
    CHECK(fresh != NULL);
    return fresh;
}

static bool read_values(SeriesRows *r, const FilterRows *rows)
{
    const SeriesAsk *ask = &r->series->ask;
    if (rows->count > r->cap) {
        r->cap = rows->count + rows->count / 2;
        for (uint32_t b = 0; b < ask->breakdown_count; b++)
            r->values[b] = room(r->values[b], r->cap, sizeof(int64_t));
        r->of_row = room(r->of_row, r->cap, sizeof *r->of_row);
    }
    for (uint32_t b = 0; b < ask->breakdown_count; b++)
        if (!scan_values(rows, ask->breakdown[b], &r->scratch, r->values[b]))
            return false;
    return true;
}

static TallyKey values_of(const SeriesRows *r, uint32_t row)
{
    TallyKey key = {{0}};
    for (uint32_t b = 0; b < r->series->ask.breakdown_count; b++)
        key.of[b] = r->values[b][row];
    return key;
}

/* ---- of strips ------------------------------------------------------------------------------------- */

static bool are_alike(const SeriesRows *r, const Strip *strip)
{
    return r == NULL ||
           strip_is_alike(strip, r->series->ask.breakdown, r->series->ask.breakdown_count);
}

static FilterRows first_row(const Strip *strip)
{
    FilterRows one = strip->at;
    one.count = 1;
    return one;
}

/* ---- which there are ------------------------------------------------------------------------------ */

typedef struct Counter {
    SeriesRows rows;
    WholeScan *scan;
    Tally counted;
    bool damaged;
} Counter;

/* Codes of one property are mostly small. */
static void count_codes(Tally *t, const int64_t *codes, const uint32_t *picked, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const int64_t code = codes[picked[i]];
        const uint32_t known = tally_is_small(code) ? tally_find_small(t, code) : TALLY_NONE;
        if (known == TALLY_NONE)
            tally_add(t, (TallyKey){{code}}, 1);
        else
            t->at[known].count++;
    }
}

static void count_values(Counter *c, uint32_t n)
{
    const uint32_t *const picked = c->rows.picked;
    if (c->rows.series->ask.breakdown_count == 1)
        count_codes(&c->counted, c->rows.values[0], picked, n);
    for (uint32_t i = 0; c->rows.series->ask.breakdown_count > 1 && i < n; i++)
        tally_add(&c->counted, values_of(&c->rows, picked[i]), 1);
}

/* False: damaged. */
static bool count_strip(Counter *c, const WholeRows *rows)
{
    const Strip *strip = rows->strip;
    const uint32_t n = strip->at.count;
    const uint64_t *set = NULL;
    const bool alike = are_alike(&c->rows, strip);
    const FilterRows first = first_row(strip);
    if (!strip_within(rows->times, strip, &set) ||
        !read_values(&c->rows, alike ? &first : &strip->at))
        return false;
    if (!alike) {
        count_values(c, strip_pick(set, n, c->rows.picked));
        return true;
    }
    const uint64_t events = set == NULL ? n : kernels()->count(set, kernel_words(n));
    if (events > 0)
        tally_add(&c->counted, values_of(&c->rows, 0), events);
    return true;
}

static void count_rows(const WholeRows *rows, void *arg)
{
    Counter *c = arg;
    c->damaged = !count_strip(c, rows) || c->damaged;
}

static void count_blocks(uint32_t worker, uint32_t from, uint32_t to, void *arg)
{
    Counter *c = (Counter *)arg + worker;
    whole_scan(c->scan, from, to, &(WholeTaker){.rows = count_rows, .arg = c});
}

bool series_by_block(const SeriesAsk *ask)
{
    return scan_asks_of_changes(ask->breakdown, ask->breakdown_count);
}

static Err count_all(Ctx *ctx, const Query *q, const Series *s, Counter *counters)
{
    const int64_t bounds[] = {s->ask.select->from_ms, s->ask.select->to_ms};
    const WholeAsk ask = {.selects = s->ask.select,
                          .select_count = 1,
                          .bounds = bounds,
                          .count = 1,
                          .rows_only = 1,
                          .by_block = series_by_block(&s->ask)};
    TRY(ahead_of(ctx, q,
                 &(AheadAsk){.selects = s->ask.select,
                             .select_count = 1,
                             .props = s->ask.breakdown,
                             .prop_count = s->ask.breakdown_count,
                             .ms = true}));
    for (uint32_t i = 0; i < crew_size(q->crew); i++) {
        series_rows_open(&counters[i].rows, s);
        counters[i].counted.limit = query_share(q, QUERY_VALUES_MAX);
        counters[i].scan = whole_scan_new(q->view, &ask);
    }
    TRY(query_blocks(ctx, q, query_blocks_at_once(q, 0), count_blocks, counters));
    for (uint32_t i = 0; i < crew_size(q->crew); i++)
        if (counters[i].damaged || whole_scan_damaged(counters[i].scan) > 0)
            return fail(ctx, ERR_INTERNAL, "events.part_damaged", "a breakdown met damage");
    return ERR_OK;
}

Series series_of_nothing(const SeriesAsk *ask)
{
    return (Series){.ask = *ask,
                    .all.limit = QUERY_VALUES_MAX,
                    .shown.limit = QUERY_GROUPS_MAX,
                    .count = ask->breakdown_count == 0};
}

void series_choose(Series *s)
{
    tally_top(&s->all, s->ask.top, &s->shown);
    s->count = s->shown.count + (s->shown.count < s->all.count);
}

Err series_find(Ctx *ctx, const Query *q, const SeriesAsk *ask, Series *out)
{
    *out = series_of_nothing(ask);
    if (ask->breakdown_count == 0)
        return ERR_OK;
    const uint32_t size = crew_size(q->crew);
    Counter *counters = calloc(size, sizeof *counters);
    CHECK(counters != NULL);
    Err err = count_all(ctx, q, out, counters);
    for (uint32_t i = 0; i < size; i++) {
        tally_join(&out->all, &counters[i].counted);
        whole_scan_free(counters[i].scan);
        tally_free(&counters[i].counted);
        series_rows_free(&counters[i].rows);
    }
    free(counters);
    if (err == ERR_OK && out->all.is_over)
        err = query_too_many(ctx);
    series_choose(out);
    return err;
}

void series_know(Series *s, const QuerySeries *key)
{
    TallyKey values = {{0}};
    if (s->ask.breakdown_count == 0)
        return;
    s->count++;
    if (key->is_other)
        return;
    memcpy(values.of, key->values, s->ask.breakdown_count * sizeof *key->values);
    (void)tally_number(&s->all, &values);
    (void)tally_number(&s->shown, &values);
}

Err series_find_or_know(Ctx *ctx, const Query *q, const SeriesAsk *ask, const SeriesKeys *known,
                        Series *out)
{
    if (known == NULL)
        return series_find(ctx, q, ask, out);
    *out = series_of_nothing(ask);
    const char *const keys = (const char *)known->first;
    for (uint32_t i = 0; i < known->count; i++)
        series_know(out, (const void *)(keys + i * known->stride));
    return ERR_OK;
}

void series_free(Series *s)
{
    tally_free(&s->all);
    tally_free(&s->shown);
}

uint32_t series_distinct(const Series *s)
{
    return s->ask.breakdown_count == 0 ? 1 : s->all.count;
}

QuerySeries series_key(const Series *s, uint32_t at)
{
    QuerySeries key = {.is_other = series_is_other(s, at)};
    if (at < s->shown.count)
        memcpy(key.values, s->all.at[at].key.of, sizeof key.values);
    return key;
}

uint64_t series_events(const Series *s, uint32_t at)
{
    uint64_t events = 0;
    if (at < s->shown.count)
        return s->all.at[at].count;
    for (uint32_t c = s->shown.count; c < s->all.count; c++)
        events += s->all.at[c].count;
    return events;
}

/* ---- whose a row is ------------------------------------------------------------------------------- */

void series_rows_open(SeriesRows *r, const Series *s)
{
    *r = (SeriesRows){.series = s, .picked = strip_room(sizeof *r->picked)};
}

void series_rows_free(SeriesRows *r)
{
    filter_scratch_free(&r->scratch);
    for (int b = 0; b < QUERY_BREAKDOWNS_MAX; b++)
        free(r->values[b]);
    free(r->of_row);
    free(r->picked);
}

uint32_t series_of(SeriesRows *r, const TallyKey *values)
{
    const Tally *shown = &r->series->shown;
    if (r->series->ask.breakdown_count == 0)
        return 0;
    if (r->last < shown->count && tally_same(&shown->at[r->last].key, values))
        return r->last;
    const uint32_t at = tally_find(shown, *values);
    return r->last = at == TALLY_NONE ? shown->count : at;
}

/* Codes of one property are mostly small. */
static void series_of_codes(SeriesRows *r, uint32_t rows)
{
    const Tally *shown = &r->series->shown;
    const int64_t *codes = r->values[0];
    for (uint32_t i = 0; i < rows; i++) {
        if (!tally_is_small(codes[i])) {
            r->of_row[i] = series_of(r, &(TallyKey){{codes[i]}});
            continue;
        }
        const uint32_t at = tally_find_small(shown, codes[i]);
        r->of_row[i] = at == TALLY_NONE ? shown->count : at;
    }
}

/* Of each row, matching or not.  False: damaged. */
static bool series_of_rows(SeriesRows *r, const FilterRows *rows)
{
    if (!read_values(r, rows))
        return false;
    if (r->series->ask.breakdown_count == 1)
        series_of_codes(r, rows->count);
    for (uint32_t i = 0; r->series->ask.breakdown_count > 1 && i < rows->count; i++) {
        const TallyKey values = values_of(r, i);
        r->of_row[i] = series_of(r, &values);
    }
    return true;
}

/* Of a strip whose rows are alike: its first row's.  False: damaged. */
static bool series_of_strip(SeriesRows *r, const Strip *strip, uint32_t *out)
{
    const FilterRows first = first_row(strip);
    *out = 0;
    if (r == NULL || r->series->ask.breakdown_count == 0)
        return true;
    if (!series_of_rows(r, &first))
        return false;
    *out = r->of_row[0];
    return true;
}

bool series_add_persons(SeriesRows *r, const WholeRows *rows, uint32_t places,
                        const StripPersons *to)
{
    const Strip *strip = rows->strip;
    uint32_t series = 0;
    if (are_alike(r, strip))
        return series_of_strip(r, strip, &series) &&
               strip_add_persons(to, rows->times, strip, series * places);
    if (!series_of_rows(r, &strip->at) || !strip_ranks(rows->times, strip))
        return false;
    const uint32_t first = strip_places(rows->times, strip)->first,
                   n = strip_pick(strip->set, strip->at.count, r->picked);
    const StripCut *cut = strip->cuts;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t row = r->picked[i], person = strip->at.keys[row] >> PART_SECOND_BITS;
        while (row >= cut[1].row)
            cut++;
        const uint32_t cell = r->of_row[row] * places + first + rows->times->ranks[row];
        strip_persons_of(to, cut->block, cell)[person / 64] |= UINT64_C(1) << (person & 63);
    }
    return true;
}
