/*
 * engine/ask/series.c
 */
#include "engine/ask/series.h"

#include "engine/scan/ahead.h"
#include "engine/scan/scan_whole.h"

#include <stdlib.h>

/* ---- the values of loose rows -------------------------------------------------------------------- */

static bool read_values(SeriesRows *r, const ScanLoose *l)
{
    const SeriesAsk *ask = &r->series->ask;
    if (l->count > r->cap) {
        r->cap = l->count + l->count / 2;
        const size_t room = (size_t)r->cap + 128; /* kernels write behind the end */
        for (uint32_t b = 0; b < ask->breakdown_count; b++) {
            free(r->values[b]);
            r->values[b] = malloc(room * sizeof(int64_t));
            CHECK(r->values[b] != NULL);
        }
        free(r->of_row);
        r->of_row = malloc(room * sizeof *r->of_row);
        CHECK(r->of_row != NULL);
    }
    for (uint32_t b = 0; b < ask->breakdown_count; b++)
        if (!scan_values(l->at, ask->breakdown[b], &r->scratch, r->values[b]))
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

/* ---- which there are ------------------------------------------------------------------------------ */

typedef struct Counter {
    SeriesRows rows;
    Scanner *scanner;
    Tally counted;
    bool damaged;
} Counter;

/* Codes of one property are mostly small. */
static void count_codes(Tally *t, const int64_t *codes, const ScanLoose *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->mask != NULL && l->mask[i] == 0)
            continue;
        const uint32_t known =
            tally_is_small(codes[i]) ? tally_find_small(t, codes[i]) : TALLY_NONE;
        if (known == TALLY_NONE)
            tally_add(t, (TallyKey){{codes[i]}}, 1);
        else
            t->at[known].count++;
    }
}

static void count_rows(const ScanLoose *l, void *arg)
{
    Counter *c = arg;
    if (!read_values(&c->rows, l)) {
        c->damaged = true;
        return;
    }
    if (c->rows.series->ask.breakdown_count == 1) {
        count_codes(&c->counted, c->rows.values[0], l);
        return;
    }
    for (uint32_t i = 0; i < l->count; i++)
        if (l->mask == NULL || l->mask[i] != 0)
            tally_add(&c->counted, values_of(&c->rows, i), 1);
}

static void count_piece(uint32_t worker, uint32_t piece, void *arg)
{
    Counter *c = (Counter *)arg + worker;
    scanner_loose(c->scanner, piece, count_rows, c);
}

static Err count_all(Ctx *ctx, const Query *q, const Series *s, Counter *counters)
{
    const ScanAsk ask = {.selects = s->ask.select, .select_count = 1};
    TRY(ahead_of(ctx, q,
                 &(AheadAsk){.selects = s->ask.select,
                             .select_count = 1,
                             .props = s->ask.breakdown,
                             .prop_count = s->ask.breakdown_count,
                             .ms = true}));
    for (uint32_t i = 0; i < crew_size(q->crew); i++) {
        counters[i].rows.series = s;
        counters[i].counted.limit = query_share(q, QUERY_VALUES_MAX);
        counters[i].scanner = scanner_new(q->view, &ask);
    }
    TRY(query_pieces(ctx, q, QUERY_PERSONS, count_piece, counters));
    for (uint32_t i = 0; i < crew_size(q->crew); i++)
        if (counters[i].damaged || scanner_damaged(counters[i].scanner) > 0)
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
        scanner_free(counters[i].scanner);
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
    *r = (SeriesRows){.series = s};
}

void series_rows_free(SeriesRows *r)
{
    filter_scratch_free(&r->scratch);
    for (int b = 0; b < QUERY_BREAKDOWNS_MAX; b++)
        free(r->values[b]);
    free(r->of_row);
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

/* Of each row, matching or not; NULL without a breakdown.  False: damaged. */
static bool series_of_rows(SeriesRows *r, const ScanLoose *rows, const uint32_t **out)
{
    *out = NULL;
    if (r == NULL || r->series->ask.breakdown_count == 0)
        return true;
    if (!read_values(r, rows))
        return false;
    if (r->series->ask.breakdown_count == 1)
        series_of_codes(r, rows->count);
    for (uint32_t i = 0; r->series->ask.breakdown_count > 1 && i < rows->count; i++) {
        const TallyKey values = values_of(r, i);
        r->of_row[i] = series_of(r, &values);
    }
    *out = r->of_row;
    return true;
}

bool series_add_persons(SeriesRows *r, Buckets *buckets, const ScanLoose *rows, uint64_t *bits)
{
    enum { WORDS = SCAN_PIECE_PERSONS / 64 };
    const uint32_t *series = NULL;
    if (!series_of_rows(r, rows, &series))
        return false;
    const uint16_t only = buckets_of_week(buckets, rows);
    if (only != BUCKETS_NONE && series == NULL) {
        whole_add_rows(rows, bits + (size_t)only * WORDS);
        return true;
    }
    const uint16_t *bucket = buckets_of(buckets, rows);
    for (uint32_t i = 0; i < rows->count;
         i++) { /* no branch: which rows match is hard to foretell */
        const bool in = (bucket[i] != BUCKETS_NONE) & (rows->mask == NULL || rows->mask[i] != 0);
        const uint32_t person = rows->keys[i] >> PART_SECOND_BITS;
        const uint32_t cell =
            (series == NULL ? 0 : series[i]) * buckets->count + (in ? bucket[i] : 0);
        bits[(size_t)cell * WORDS + person / 64] |= (uint64_t)in << (person & 63);
    }
    return true;
}
