/*
 * engine/series.c
 */
#include "engine/series.h"

#include "engine/ahead.h"

#include <stdlib.h>

/* Codes of one property are mostly small: a table says what a search would. */
enum { DIRECT = 1 << 12 };

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

static void values_of(const SeriesRows *r, uint32_t row, int64_t out[QUERY_BREAKDOWNS_MAX])
{
    for (uint32_t b = 0; b < r->series->ask.breakdown_count; b++)
        out[b] = r->values[b][row];
}

/* ---- which there are ------------------------------------------------------------------------------ */

typedef struct Counter {
    SeriesRows rows;
    Scanner *scanner;
    Combinations counted;
    uint64_t *direct; /* events of one small code */
    bool damaged;
} Counter;

static void add_direct(Counter *c)
{
    for (int64_t code = 0; c->direct != NULL && code < DIRECT; code++)
        combinations_count(&c->counted, &code, c->direct[code]);
}

static void count_rows(const ScanLoose *l, void *arg)
{
    Counter *c = arg;
    int64_t values[QUERY_BREAKDOWNS_MAX];
    if (!read_values(&c->rows, l)) {
        c->damaged = true;
        return;
    }
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->mask != NULL && l->mask[i] == 0)
            continue;
        values_of(&c->rows, i, values);
        if (c->direct != NULL && values[0] >= 0 && values[0] < DIRECT)
            c->direct[values[0]]++;
        else
            combinations_count(&c->counted, values, 1);
    }
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
        counters[i].counted.width = s->ask.breakdown_count;
        counters[i].counted.limit = query_share(q, QUERY_VALUES_MAX);
        counters[i].scanner = scanner_new(q->view, &ask);
        if (s->ask.breakdown_count == 1)
            counters[i].direct = calloc(DIRECT, sizeof(uint64_t));
        CHECK(s->ask.breakdown_count != 1 || counters[i].direct != NULL);
    }
    TRY(crew_run(ctx, q->crew,
                 &(CrewJob){.pieces = scan_pieces(q->view),
                            .first_piece = s->ask.persons,
                            .piece = count_piece,
                            .arg = counters,
                            .until_us = q->until_us,
                            .stop = q->stop}));
    for (uint32_t i = 0; i < crew_size(q->crew); i++)
        if (counters[i].damaged || scanner_damaged(counters[i].scanner) > 0)
            return fail(ctx, ERR_INTERNAL, "events.part_damaged", "a breakdown met damage");
    return ERR_OK;
}

static void choose(Series *s, Counter *counters, uint32_t size)
{
    s->all.width = s->ask.breakdown_count;
    for (uint32_t i = 0; i < size; i++) {
        add_direct(&counters[i]);
        combinations_join(&s->all, &counters[i].counted);
    }
    combinations_sort(&s->all);
    s->shown = s->all.count < s->ask.top ? s->all.count : s->ask.top;
    s->count = s->shown + (s->shown < s->all.count);
}

Err series_find(Ctx *ctx, const Query *q, const SeriesAsk *ask, Series *out)
{
    *out = (Series){.ask = *ask, .shown = 1, .count = 1};
    if (ask->breakdown_count == 0)
        return ERR_OK;
    const uint32_t size = crew_size(q->crew);
    Counter *counters = calloc(size, sizeof *counters);
    CHECK(counters != NULL);
    Err err = count_all(ctx, q, out, counters);
    if (err == ERR_OK)
        choose(out, counters, size);
    if (err == ERR_OK && out->all.is_over)
        err = query_too_many(ctx);
    for (uint32_t i = 0; i < size; i++) {
        scanner_free(counters[i].scanner);
        combinations_free(&counters[i].counted);
        free(counters[i].direct);
        series_rows_free(&counters[i].rows);
    }
    free(counters);
    return err;
}

void series_free(Series *s)
{
    combinations_free(&s->all);
}

uint32_t series_distinct(const Series *s)
{
    return s->ask.breakdown_count == 0 ? 1 : s->all.count;
}

uint64_t series_events(const Series *s, uint32_t at, int64_t values[QUERY_BREAKDOWNS_MAX])
{
    uint64_t events = 0;
    if (s->ask.breakdown_count == 0)
        return 0;
    if (at < s->shown) {
        memcpy(values, s->all.at[at].values, sizeof s->all.at[at].values);
        return s->all.at[at].events;
    }
    for (uint32_t c = s->shown; c < s->all.count; c++)
        events += s->all.at[c].events;
    return events;
}

/* ---- whose a row is ------------------------------------------------------------------------------- */

void series_rows_open(SeriesRows *r, const Series *s)
{
    *r = (SeriesRows){.series = s, .shown.width = s->ask.breakdown_count};
    for (uint32_t i = 0; s->ask.breakdown_count > 0 && i < s->shown; i++)
        (void)combinations_index(&r->shown, s->all.at[i].values, true);
    if (s->ask.breakdown_count != 1)
        return;
    r->direct = malloc(DIRECT * sizeof *r->direct);
    CHECK(r->direct != NULL);
    for (int64_t code = 0; code < DIRECT; code++) {
        const uint32_t at = combinations_index(&r->shown, &code, false);
        r->direct[code] = at < s->shown ? at : s->shown;
    }
}

void series_rows_free(SeriesRows *r)
{
    combinations_free(&r->shown);
    free(r->direct);
    filter_scratch_free(&r->scratch);
    for (int b = 0; b < QUERY_BREAKDOWNS_MAX; b++)
        free(r->values[b]);
    free(r->of_row);
}

uint32_t series_of(SeriesRows *r, const int64_t *values)
{
    if (r->series->ask.breakdown_count == 0)
        return 0;
    if (r->direct != NULL && values[0] >= 0 && values[0] < DIRECT)
        return r->direct[values[0]];
    const uint32_t at = combinations_index(&r->shown, values, false);
    return at < r->series->shown ? at : r->series->shown;
}

bool series_of_rows(SeriesRows *r, const ScanLoose *rows, const uint32_t **out)
{
    int64_t values[QUERY_BREAKDOWNS_MAX];
    *out = NULL;
    if (r->series->ask.breakdown_count == 0)
        return true;
    if (!read_values(r, rows))
        return false;
    for (uint32_t i = 0; i < rows->count; i++) {
        values_of(r, i, values);
        r->of_row[i] = series_of(r, values);
    }
    *out = r->of_row;
    return true;
}
