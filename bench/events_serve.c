/*
 * bench/events_serve.c -- answers questions about an engine's events, one line each.
 *
 * A question is a word and fields between tabs, "key=value"; instants are UTC seconds:
 *
 *   trend  event=NAME (as often as there are names: one trend each)  measure=events|persons|sum
 *          from=S to=S every=S  sum=PROPERTY  by=PROPERTY top=N  where=PROPERTY:TEXT,TEXT
 *   funnel event=NAME (the steps)  from=S to=S window=S  where=PROPERTY:TEXT,TEXT
 *
 * The answer is one line of JSON: "ms" and "cpu_ms" of everything from the line to the result, and
 *   trend   "series": [{"name", "value" (a text or null), "other", "cells": [...]}]
 *   funnel  "persons": [...]
 */
#include "events_bench.h"

#include "base/clock.h"
#include "engine/engine.h"
#include "engine/funnel.h"
#include "engine/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LINE_BYTES = 4096, EVENTS_MAX = 64, TEXTS_MAX = 8, CODES_MIN = 256 };

typedef struct Question {
    bool is_funnel;
    Str events[EVENTS_MAX];
    uint32_t event_count;
    Str measure, sum, by;
    int64_t from_s, to_s, every_s, window_s, top;
    Str where;
    Str texts[TEXTS_MAX];
    uint32_t text_count;
} Question;

typedef struct Server {
    Ctx *ctx;
    Engine *engine;
    Crew *crew;
    Question q;
    const Filter *filter; /* NULL = all */
    uint32_t numbers[EVENTS_MAX];
    TrendResult trends[EVENTS_MAX];
    FunnelResult funnel;
} Server;

/* ---- reading a question -------------------------------------------------------------------------- */

/* The text up to `end`, which is taken away from *rest. */
static Str cut(Str *rest, char end)
{
    const int64_t at = str_index(*rest, end, 0);
    const Str word = at < 0 ? *rest : str_slice(*rest, 0, (size_t)at);
    *rest = at < 0 ? STR("") : str_slice(*rest, (size_t)at + 1, rest->len);
    return word;
}

static void read_where(Question *q, Str value)
{
    q->where = cut(&value, ':');
    while (value.len > 0 && q->text_count < TEXTS_MAX)
        q->texts[q->text_count++] = cut(&value, ',');
}

static bool read_field(Question *q, Str key, Str value)
{
    const struct {
        Str key;
        Str *text;
        int64_t *number;
    } fields[] = {
        {STR("measure"), &q->measure, NULL}, {STR("sum"), &q->sum, NULL},
        {STR("by"), &q->by, NULL},           {STR("from"), NULL, &q->from_s},
        {STR("to"), NULL, &q->to_s},         {STR("every"), NULL, &q->every_s},
        {STR("window"), NULL, &q->window_s}, {STR("top"), NULL, &q->top},
    };
    if (str_eq(key, STR("where"))) {
        read_where(q, value);
        return true;
    }
    if (str_eq(key, STR("event")) && q->event_count < EVENTS_MAX) {
        q->events[q->event_count++] = value;
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (!str_eq(key, fields[i].key))
            continue;
        if (fields[i].number != NULL)
            return str_to_i64(value, fields[i].number);
        *fields[i].text = value;
        return true;
    }
    return false;
}

static bool read_question(Str line, Question *q)
{
    *q = (Question){0};
    q->is_funnel = str_eq(cut(&line, '\t'), STR("funnel"));
    while (line.len > 0) {
        Str value = cut(&line, '\t');
        const Str key = cut(&value, '=');
        if (!read_field(q, key, value))
            return false;
    }
    return q->event_count > 0 && q->to_s > q->from_s &&
           (q->is_funnel
                ? q->event_count <= QUERY_STEPS_MAX && q->window_s > 0
                : q->every_s > 0 && (q->to_s - q->from_s) / q->every_s <= QUERY_BUCKETS_MAX);
}

/* ---- names become numbers ------------------------------------------------------------------------ */

static uint32_t prop_number(const Schema *names, Str name)
{
    if (name.len == 0)
        return PROP_NONE;
    if (str_eq(name, STR("store")))
        return PROP_STORE;
    const SchemaProp *prop = schema_find_prop(names, SCHEMA_EVENT, name);
    return prop == NULL ? PROP_NONE : prop->id;
}

/* The table is at least as long as most columns' codes are wide, which spares the scan a comparison. */
static const Filter *make_filter(Server *s, const Schema *names)
{
    const Question *q = &s->q;
    if (q->text_count == 0)
        return NULL;
    Filter *f = ARENA_NEW(s->ctx->arena, Filter);
    *f = (Filter){.kind = FILTER_CODES, .prop = prop_number(names, q->where)};
    uint32_t codes[TEXTS_MAX], count = CODES_MIN;
    for (uint32_t i = 0; i < q->text_count; i++) {
        codes[i] = f->prop == PROP_NONE ? 0 : schema_find_code(names, f->prop, q->texts[i]);
        count = codes[i] < count ? count : codes[i] + 1;
    }
    uint8_t *table = ARENA_ARRAY(s->ctx->arena, uint8_t, count);
    for (uint32_t i = 0; i < q->text_count; i++)
        table[codes[i]] = codes[i] != 0; /* no event has a text that is not known */
    f->codes = table;
    f->code_count = count;
    return f;
}

/* What names stand for; the properties of "sum" and "by" in *number and *breakdown. */
static void look_up(Server *s, ScanProp *number, ScanProp *breakdown)
{
    Schema *names = engine_schema_lock(s->engine);
    for (uint32_t i = 0; i < s->q.event_count; i++)
        s->numbers[i] = schema_find_event(names, s->q.events[i]);
    s->filter = make_filter(s, names);
    *number = (ScanProp){prop_number(names, s->q.sum), 0};
    *breakdown = (ScanProp){prop_number(names, s->q.by), 0};
    engine_schema_unlock(s->engine);
}

static ScanSelect select_of(const Server *s, uint32_t event)
{
    return (ScanSelect){.events = &s->numbers[event],
                        .event_count = 1,
                        .from_ms = s->q.from_s * 1000,
                        .to_ms = s->q.to_s * 1000,
                        .filter = s->filter};
}

/* ---- answering ----------------------------------------------------------------------------------- */

static void answer_trends(Server *s, const Query *query, ScanProp number, ScanProp breakdown)
{
    const Question *q = &s->q;
    const uint32_t buckets = (uint32_t)((q->to_s - q->from_s) / q->every_s);
    int64_t *bounds = ARENA_ARRAY(s->ctx->arena, int64_t, (size_t)buckets + 1);
    for (uint32_t i = 0; i <= buckets; i++)
        bounds[i] = (q->from_s + i * q->every_s) * 1000;
    for (uint32_t i = 0; i < q->event_count; i++) {
        const Trend trend = {
            .select = select_of(s, i),
            .measure = str_eq(q->measure, STR("persons")) ? TREND_PERSONS
                       : str_eq(q->measure, STR("sum"))   ? TREND_SUM
                                                          : TREND_EVENTS,
            .number = number,
            .bounds = bounds,
            .bucket_count = buckets,
            .breakdown = &breakdown,
            .breakdown_count = q->by.len > 0,
            .top = (uint32_t)q->top,
        };
        die_unless(query_trend(s->ctx, query, &trend, &s->trends[i]), s->ctx, "trend");
    }
}

static void answer_funnel(Server *s, const Query *query)
{
    ScanSelect steps[QUERY_STEPS_MAX];
    for (uint32_t i = 0; i < s->q.event_count; i++)
        steps[i] = select_of(s, i);
    const Funnel funnel = {
        .steps = steps, .step_count = s->q.event_count, .window_ms = s->q.window_s * 1000};
    die_unless(query_funnel(s->ctx, query, &funnel, &s->funnel), s->ctx, "funnel");
}

static void answer(Server *s)
{
    ScanProp number, breakdown;
    look_up(s, &number, &breakdown);
    ScanView *view = engine_view(s->engine);
    const Query query = {.view = view, .crew = s->crew};
    if (s->q.is_funnel)
        answer_funnel(s, &query);
    else
        answer_trends(s, &query, number, breakdown);
    engine_view_done(view);
}

/* ---- printing ------------------------------------------------------------------------------------ */

static void print_series(Server *s, const Schema *names, uint32_t event, const TrendSeries *series)
{
    const Question *q = &s->q;
    const uint32_t buckets = (uint32_t)((q->to_s - q->from_s) / q->every_s);
    printf("{\"name\":\"%.*s\",\"value\":", STR_ARG(q->events[event]));
    if (q->by.len == 0 || series->is_other || series->values[0] == SCAN_MISSING) {
        printf("null");
    } else {
        const uint32_t prop = prop_number(names, q->by);
        printf("\"%.*s\"", STR_ARG(schema_text(names, prop, (uint32_t)series->values[0])));
    }
    printf(",\"other\":%s,\"cells\":[", series->is_other ? "true" : "false");
    for (uint32_t i = 0; i < buckets; i++)
        printf("%s%" PRId64, i == 0 ? "" : ",", (int64_t)series->cells[i]);
    printf("]}");
}

static void print_trends(Server *s)
{
    const char *before = "";
    const Schema *names = engine_schema_lock(s->engine);
    printf(",\"series\":[");
    for (uint32_t event = 0; event < s->q.event_count; event++)
        for (uint32_t i = 0; i < s->trends[event].count; i++) {
            printf("%s", before);
            print_series(s, names, event, &s->trends[event].series[i]);
            before = ",";
        }
    printf("]");
    engine_schema_unlock(s->engine);
}

static void print_numbers(const char *name, const uint64_t *numbers, uint32_t count)
{
    printf(",\"%s\":[", name);
    for (uint32_t i = 0; i < count; i++)
        printf("%s%" PRIu64, i == 0 ? "" : ",", numbers[i]);
    printf("]");
}

/* ---- the conversation ---------------------------------------------------------------------------- */

static double cpu_ms(void)
{
    struct timespec t;
    CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void serve_line(Server *s, Str line)
{
    const double cpu_from = cpu_ms();
    const int64_t from_us = clock_mono_us();
    if (!read_question(line, &s->q)) {
        printf("{\"error\":\"not a question\"}\n");
        return;
    }
    answer(s);
    printf("{\"ms\":%.3f,\"cpu_ms\":%.3f", (double)(clock_mono_us() - from_us) / 1e3,
           cpu_ms() - cpu_from);
    if (s->q.is_funnel) {
        print_numbers("persons", s->funnel.total.persons, s->q.event_count);
    } else {
        print_trends(s);
    }
    printf("}\n");
}

void bench_serve(Ctx *ctx, Str data, uint32_t threads)
{
    static char line[LINE_BYTES];
    Server *s = ARENA_NEW(ctx->arena, Server);
    Ctx step = {.arena = arena_new(1 << 20)};
    const EngineOptions options = {.origin_ms = BENCH_ORIGIN_MS};
    *s = (Server){.ctx = &step, .crew = crew_new(threads)};
    die_unless(engine_open(ctx, data, &options, &s->engine), ctx, "engine");
    printf("{\"kernels\":\"%s\",\"threads\":%u}\n", kernels()->name, crew_size(s->crew));
    (void)fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        serve_line(s, str_trim(str_of(line)));
        (void)fflush(stdout);
        arena_reset(step.arena);
    }
    engine_close(s->engine);
    crew_free(s->crew);
    arena_free(step.arena);
}
