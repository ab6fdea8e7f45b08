/*
 * app/cmd_events_stat.c -- what is where: the log, weeks, columns, dictionaries, and how far the columns are behind.
 *
 * It also looks at what a running server owns: the log from outside, the columns as their manifest has them.  What only
 * the log's owner knows (who waits to be erased) is told when there is no server: then the log is opened for a moment.
 */
#include "app/cmd_events_stat.h"

#include "app/args.h"
#include "app/terminal.h"
#include "base/clock.h"
#include "base/json.h"
#include "engine/engine.h"
#include "engine/part/part_active.h"
#include "engine/part/part_hours.h"
#include "events/events_survey.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* ---- by column ----------------------------------------------------------------------------------- */

/* Bytes of one kind over all parts. */
typedef struct Share {
    Str name;
    const char *what;
    uint64_t bytes;
} Share;

typedef struct Shares {
    Share *at; /* [0] keys, [1] sequence, [2] tables, then the properties by their number */
    uint32_t count;
    int64_t from_ms, to_ms; /* of the events */
} Shares;

enum { SHARE_KEYS, SHARE_SEQUENCE, SHARE_TABLES, SHARE_PROPS };

static const char *type_name(EventType type)
{
    static const char *const NAMES[EVENT_TYPE_COUNT] = {"",      "text",    "number",
                                                        "money", "boolean", "time"};
    return NAMES[type] != NULL ? NAMES[type] : "list";
}

static Str prop_name(Arena *arena, const Schema *names, const SchemaProp *p)
{
    const Str name = schema_prop_name(names, p->id);
    if (p->space == SCHEMA_CONTEXT)
        return arena_printf(arena, "context.%.*s", STR_ARG(name));
    if (p->space == SCHEMA_FIELD)
        return arena_printf(arena, "%.*s.%.*s", STR_ARG(schema_prop_name(names, p->list)),
                            STR_ARG(name));
    return arena_copy(arena, name);
}

static void name_shares(Arena *arena, Schema *names, Shares *s)
{
    static const char *const BUILT_IN[PROP_FIRST] = {
        [PROP_MS] = "milliseconds",   [PROP_EVENT] = "event name (rare ones)",
        [PROP_SOURCE] = "source",     [PROP_STORE] = "store",
        [PROP_RECEIVED] = "received", [PROP_ACTOR] = "recorded as"};
    s->count = SHARE_PROPS + PROP_FIRST + schema_prop_count(names);
    s->at = ARENA_ARRAY(arena, Share, s->count);
    s->at[SHARE_KEYS] = (Share){STR("person and time"), "keys", 0};
    s->at[SHARE_SEQUENCE] = (Share){STR("event name"), "sequence", 0};
    s->at[SHARE_TABLES] = (Share){STR("where things stand"), "tables", 0};
    for (uint32_t id = 0; id < PROP_FIRST; id++)
        s->at[SHARE_PROPS + id] =
            (Share){str_of(BUILT_IN[id] == NULL ? "" : BUILT_IN[id]), "built in", 0};
    for (uint32_t id = PROP_FIRST; id < PROP_FIRST + schema_prop_count(names); id++) {
        const SchemaProp *p = schema_prop_at(names, id);
        s->at[SHARE_PROPS + id] = (Share){prop_name(arena, names, p), type_name(p->type), 0};
    }
}

static void add_part(const Part *p, Shares *s)
{
    const PartHead *h = p->head;
    s->at[SHARE_SEQUENCE].bytes += h->sequence_bytes;
    s->at[SHARE_TABLES].bytes += h->file_bytes - h->tables_at + PART_DATA_AT;
    if (h->active_at != 0)
        s->at[SHARE_KEYS].bytes += (uint64_t)h->block_count * PART_ACTIVE_BYTES;
    if (h->hours_at != 0)
        s->at[SHARE_KEYS].bytes += (uint64_t)h->list_count * sizeof(PartHours);
    for (uint32_t i = 0; i < h->list_count; i++)
        s->at[SHARE_KEYS].bytes += p->lists[i].keys_bytes;
    for (uint32_t i = 0; i < h->items_count; i++) /* where they begin */
        if (p->items[i].prop < s->count - SHARE_PROPS)
            s->at[SHARE_PROPS + p->items[i].prop].bytes += p->items[i].list.keys_bytes;
    for (uint32_t i = 0; i < h->column_count; i++)
        if (p->columns[i].prop < s->count - SHARE_PROPS)
            s->at[SHARE_PROPS + p->columns[i].prop].bytes += p->columns[i].bytes;
    s->from_ms = h->min_ms < s->from_ms ? h->min_ms : s->from_ms;
    s->to_ms = h->max_ms > s->to_ms ? h->max_ms : s->to_ms;
}

static int by_bytes(const void *a, const void *b)
{
    const Share *x = a, *y = b;
    return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

static void add_share(Table *t, Str name, const char *what, uint64_t bytes, uint64_t events)
{
    table_add(t, name);
    table_add(t, str_of(what));
    table_add_count(t, (int64_t)bytes);
    table_addf(t, "%.3f", events == 0 ? 0.0 : (double)bytes / (double)events);
}

static void print_shares(App *app, const Shares *s, const EngineStat *stat)
{
    Table t = table_new(app->arena, "column|kind|>bytes|>per event");
    for (uint32_t i = 0; i < s->count; i++)
        if (s->at[i].bytes > 0)
            add_share(&t, s->at[i].name, s->at[i].what, s->at[i].bytes, stat->events);
    add_share(&t, STR("ids"), "hashes", stat->id_bytes, stat->events);
    table_print(&t, stdout);
}

/* ---- by week ------------------------------------------------------------------------------------- */

typedef struct Week {
    int64_t week_ms;
    uint32_t files, blocks;
    uint64_t rows, bytes;
} Week;

/* Parts come by week. */
static uint32_t find_weeks(Arena *arena, const ScanView *view, Week **out)
{
    uint32_t count = 0;
    *out = ARENA_ARRAY(arena, Week, (size_t)view->part_count + 1);
    for (uint32_t i = 0; i < view->part_count; i++) {
        const Part *p = view->parts[i];
        if (count == 0 || (*out)[count - 1].week_ms != p->head->week_ms)
            (*out)[count++].week_ms = p->head->week_ms;
        Week *w = &(*out)[count - 1];
        w->files++;
        w->rows += p->head->rows;
        w->blocks += p->head->block_count;
        w->bytes += p->bytes.len;
    }
    return count;
}

/* Its Monday, where the chain is. */
static Str week_text(const App *app, Arena *arena, const Week *w)
{
    char text[CLOCK_TEXT_BYTES];
    clock_print(w->week_ms + app->settings.offset_min * INT64_C(60000), text);
    return arena_copy(arena, str_slice(str_of(text), 0, 10));
}

static void print_weeks(App *app, const Week *weeks, uint32_t count)
{
    Table t = table_new(app->arena, "week from|>files|>rows|>bytes|>per row");
    for (uint32_t i = 0; i < count; i++) {
        table_add(&t, week_text(app, app->arena, &weeks[i]));
        table_add_count(&t, weeks[i].files);
        table_add_count(&t, (int64_t)weeks[i].rows);
        table_add_count(&t, (int64_t)weeks[i].bytes);
        table_addf(&t, "%.3f", (double)weeks[i].bytes / (double)weeks[i].rows);
    }
    table_print(&t, stdout);
}

/* ---- dictionaries -------------------------------------------------------------------------------- */

typedef struct Texts {
    Str of;
    uint32_t count;
    uint64_t bytes; /* of memory */
} Texts;

static void add_texts(Texts *all, uint32_t *count, Str of, const Dict *d)
{
    if (d != NULL && dict_count(d) > 0)
        all[(*count)++] = (Texts){of, dict_count(d), dict_bytes(d)};
}

static int by_texts(const void *a, const void *b)
{
    const Texts *x = a, *y = b;
    return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

/* Under the schema's lock. */
static uint32_t find_texts(Arena *arena, const Schema *names, Texts **out)
{
    const uint32_t props = schema_prop_count(names);
    uint32_t count = 0;
    *out = ARENA_ARRAY(arena, Texts, (size_t)props + 8);
    add_texts(*out, &count, STR("event names"), schema_texts(names, PROP_EVENT));
    add_texts(*out, &count, STR("actors"), schema_actors(names));
    add_texts(*out, &count, STR("source"), schema_texts(names, PROP_SOURCE));
    add_texts(*out, &count, STR("store"), schema_texts(names, PROP_STORE));
    for (uint32_t id = PROP_FIRST; id < PROP_FIRST + props; id++) {
        const SchemaProp *p = schema_prop_at(names, id);
        add_texts(*out, &count, prop_name(arena, names, p), p->values);
    }
    qsort(*out, count, sizeof **out, by_texts);
    return count;
}

static void print_texts(App *app, const Texts *texts, uint32_t count)
{
    Table t = table_new(app->arena, "dictionary|>texts|>bytes of memory");
    for (uint32_t i = 0; i < count; i++) {
        table_add(&t, texts[i].of);
        table_add_count(&t, texts[i].count);
        table_add_count(&t, (int64_t)texts[i].bytes);
    }
    table_print(&t, stdout);
}

/* ---- the log ------------------------------------------------------------------------------------- */

typedef struct LogFigures {
    uint64_t next_seq;
    int64_t segments, bytes;
    bool is_ours; /* nobody else holds it: `own` is known */
    EventsStat own;
} LogFigures;

/* 0 when it is gone: merged or rewritten a moment ago. */
static int64_t segment_bytes(Arena *arena, Str folder, const EventsSurveySegment *s)
{
    struct stat is;
    const Str path = arena_printf(arena, "%.*s/%s", STR_ARG(folder), s->name);
    return s->bytes > 0 ? s->bytes : stat(path.ptr, &is) == 0 ? (int64_t)is.st_size : 0;
}

/* From outside, before anybody opens it: opening mends. */
static Err look_at_log(App *app, LogFigures *out)
{
    EventsSurvey survey;
    const Str folder = arena_printf(app->arena, "%s/events/log", app->config.data);
    const Err err = events_survey(&app->ctx, folder, &survey);
    if (err == ERR_NOT_FOUND)
        return ERR_OK;
    TRY(err);
    out->next_seq = survey.end_seq;
    out->segments = (int64_t)survey.count;
    for (size_t i = 0; i < survey.count; i++)
        out->bytes += segment_bytes(app->arena, folder, &survey.segments[i]);
    const Err opened = events_open(&app->ctx, folder, &(EventsOptions){0}, &app->log);
    if (opened == ERR_CONFLICT)
        return ERR_OK;
    TRY(opened);
    out->is_ours = true;
    events_stat(app->log, &out->own);
    return ERR_OK;
}

/* ---- all of it ----------------------------------------------------------------------------------- */

typedef struct Figures {
    LogFigures log;
    EngineStat stat;
    Shares shares;
    Week *weeks;
    Texts *texts;
    uint32_t week_count, text_count;
    uint64_t behind; /* records of the log that are in no file of columns */
} Figures;

static void look_at_columns(App *app, Figures *f)
{
    ScanView *view = engine_view(app->engine);
    engine_stat(app->engine, &f->stat);
    Schema *names = engine_schema_lock(app->engine);
    name_shares(app->arena, names, &f->shares);
    f->text_count = find_texts(app->arena, names, &f->texts);
    engine_schema_unlock(app->engine);
    for (uint32_t i = 0; i < view->part_count; i++)
        add_part(view->parts[i], &f->shares);
    f->week_count = find_weeks(app->arena, view, &f->weeks);
    qsort(f->shares.at, f->shares.count, sizeof *f->shares.at, by_bytes);
    f->behind = f->log.next_seq > f->stat.next_seq ? f->log.next_seq - f->stat.next_seq : 0;
    engine_view_done(view);
}

/* ---- for people ---------------------------------------------------------------------------------- */

static void print_days(const Shares *s)
{
    char from[CLOCK_TEXT_BYTES], to[CLOCK_TEXT_BYTES];
    if (s->from_ms > s->to_ms)
        return;
    clock_print(s->from_ms, from);
    clock_print(s->to_ms, to);
    printf("From %.10s to %.10s (UTC).\n", from, to);
}

/* What nobody finds in the columns, and why. */
static void print_aside(App *app, const EngineStat *stat)
{
    if (stat->kept_aside == 0)
        return;
    printf("In the log only: %s events or values.\n",
           terminal_count(app->arena, (int64_t)stat->kept_aside).ptr);
    for (int why = 0; why < ENGINE_ASIDE_COUNT; why++)
        if (stat->aside[why] > 0)
            printf("  %s %s\n", terminal_count(app->arena, (int64_t)stat->aside[why]).ptr,
                   engine_aside_text((EngineAside)why));
}

static void print_log(App *app, const LogFigures *log)
{
    const int64_t records = log->next_seq == 0 ? 0 : (int64_t)log->next_seq - 1;
    printf("The log: %s %s, %s bytes in %s segments.\n",
           terminal_count(app->arena, log->is_ours ? log->own.events : records).ptr,
           log->is_ours ? "events" : "records", terminal_count(app->arena, log->bytes).ptr,
           terminal_count(app->arena, log->segments).ptr);
}

static void print_figures(App *app, const Figures *f)
{
    const EngineStat *stat = &f->stat;
    print_log(app, &f->log);
    printf("In columns: %s events in %u files, %s bytes; %s still to be read from the log.\n",
           terminal_count(app->arena, (int64_t)stat->events).ptr, stat->file_parts,
           terminal_count(app->arena, (int64_t)(stat->file_bytes + stat->id_bytes)).ptr,
           terminal_count(app->arena, (int64_t)f->behind).ptr);
    if (f->log.is_ours)
        events_print_erasures(app, &f->log.own);
    else
        printf(
            "A server has the log: what it has in memory is in no file yet, and its /metrics say who waits to "
            "be erased.\n");
    if (stat->dead_rows > 0)
        printf("Rows of who was moved or erased since: %s.\n",
               terminal_count(app->arena, (int64_t)stat->dead_rows).ptr);
    print_aside(app, stat);
    print_days(&f->shares);
    if (stat->events == 0)
        return;
    print_shares(app, &f->shares, stat);
    printf("\n");
    print_weeks(app, f->weeks, f->week_count);
    printf("\n");
    print_texts(app, f->texts, f->text_count);
    printf("The file of names: %s bytes.\n",
           terminal_count(app->arena, (int64_t)stat->names_file_bytes).ptr);
}

/* ---- for programs -------------------------------------------------------------------------------- */

static void put(JsonOut *out, const char *key, uint64_t value)
{
    json_out_key(out, str_of(key));
    json_out_i64(out, (int64_t)value);
}

static void put_text(JsonOut *out, const char *key, Str text)
{
    json_out_key(out, str_of(key));
    json_out_text(out, text);
}

static void put_list(JsonOut *out, const char *key)
{
    json_out_key(out, str_of(key));
    json_out_array(out);
}

static void put_columns(const Figures *f, JsonOut *out)
{
    put_list(out, "columns");
    for (uint32_t i = 0; i < f->shares.count; i++) {
        const Share *s = &f->shares.at[i];
        if (s->bytes == 0)
            continue;
        json_out_object(out);
        put_text(out, "name", s->name);
        put_text(out, "kind", str_of(s->what));
        put(out, "bytes", s->bytes);
        json_out_end(out);
    }
    json_out_end(out);
}

static void put_weeks(const App *app, const Figures *f, JsonOut *out)
{
    put_list(out, "weeks");
    for (uint32_t i = 0; i < f->week_count; i++) {
        const Week *w = &f->weeks[i];
        json_out_object(out);
        put_text(out, "from", week_text(app, app->arena, w));
        put(out, "files", w->files);
        put(out, "blocks", w->blocks);
        put(out, "rows", w->rows);
        put(out, "bytes", w->bytes);
        json_out_end(out);
    }
    json_out_end(out);
}

static void put_texts(const Figures *f, JsonOut *out)
{
    put_list(out, "dictionaries");
    for (uint32_t i = 0; i < f->text_count; i++) {
        json_out_object(out);
        put_text(out, "of", f->texts[i].of);
        put(out, "texts", f->texts[i].count);
        put(out, "memory_bytes", f->texts[i].bytes);
        json_out_end(out);
    }
    json_out_end(out);
}

static void put_aside(const EngineStat *stat, JsonOut *out)
{
    put_list(out, "kept_aside");
    for (int why = 0; why < ENGINE_ASIDE_COUNT; why++) {
        if (stat->aside[why] == 0)
            continue;
        json_out_object(out);
        put_text(out, "what", str_of(engine_aside_text((EngineAside)why)));
        put(out, "count", stat->aside[why]);
        json_out_end(out);
    }
    json_out_end(out);
}

static void put_log(const LogFigures *log, JsonOut *out)
{
    json_out_key(out, STR("log"));
    json_out_object(out);
    put(out, "records", log->next_seq == 0 ? 0 : log->next_seq - 1);
    put(out, "segments", (uint64_t)log->segments);
    put(out, "bytes", (uint64_t)log->bytes);
    if (log->is_ours) {
        put(out, "events", (uint64_t)log->own.events);
        put(out, "erased", (uint64_t)log->own.erased);
        put(out, "erase_waiting", (uint64_t)log->own.erase_waiting);
    }
    json_out_end(out);
}

static bool print_json(const App *app, const Figures *f)
{
    enum { STAT_BYTES_MAX = 64 << 20 };
    Buf text = BUF_MAX(STAT_BYTES_MAX);
    JsonOut out = json_out(&text);
    json_out_object(&out);
    put_log(&f->log, &out);
    put(&out, "events", f->stat.events);
    put(&out, "behind", f->behind);
    put(&out, "files", f->stat.file_parts);
    put(&out, "file_bytes", f->stat.file_bytes);
    put(&out, "id_bytes", f->stat.id_bytes);
    put(&out, "names_bytes", f->stat.names_file_bytes);
    put(&out, "dead_rows", f->stat.dead_rows);
    put_columns(f, &out);
    put_weeks(app, f, &out);
    put_texts(f, &out);
    put_aside(&f->stat, &out);
    json_out_end(&out);
    buf_add_char(&text, '\n');
    const bool printed = !text.overflowed && fwrite(text.ptr, 1, text.len, stdout) == text.len;
    buf_free(&text);
    return printed;
}

/* ---- the command --------------------------------------------------------------------------------- */

/* The log is told of also when the columns cannot be opened. */
static int show(App *app, bool as_json)
{
    Figures f = {.shares = {.from_ms = INT64_MAX, .to_ms = INT64_MIN}};
    /* Before the log: what comes meanwhile is behind. */
    const bool has_columns = columns_look_beside(app) == ERR_OK;
    if (!has_columns)
        app_complain(app, "opening the event engine");
    if (look_at_log(app, &f.log) != ERR_OK) {
        app_complain(app, "opening the event log");
        return 1;
    }
    if (!has_columns) {
        if (!as_json)
            print_log(app, &f.log);
        events_say_cure(app);
        return 1;
    }
    look_at_columns(app, &f);
    if (as_json)
        return print_json(app, &f) ? 0 : 1;
    print_figures(app, &f);
    return 0;
}

int cmd_events_stat(Config *config, int argc, char **argv)
{
    static const ArgOption options[] = {{"--json", false}};
    const char *value[ARRAY_LEN(options)];
    Args args;
    App app;
    if (!args_read(argc, argv, options, ARRAY_LEN(options), value, &args))
        return 2;
    if (args.rest_count > 0) {
        fprintf(stderr, "Usage: tongdian events stat [--json] [--data DIR]\n");
        return 2;
    }
    if (!app_open(&app, config, BOOT_REPORT))
        return 1;
    const int status = show(&app, value[0] != NULL);
    app_close(&app);
    return status;
}
