/*
 * app/cmd_events.c -- `tongdian events`: what the event log and its columns hold, and whether it is sound.
 */
#include "app/app.h"
#include "app/args.h"
#include "app/cmd_events_import.h"
#include "app/terminal.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/id.h"
#include "engine/engine.h"
#include "engine/part/part_active.h"
#include "engine/part/part_hours.h"
#include "events/events_survey.h"
#include "modules/person/person.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- stat ---------------------------------------------------------------------------------------- */

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

static void print_waiting(App *app, const char *what, int64_t actors, int64_t since_ms)
{
    char since[CLOCK_TEXT_BYTES];
    if (actors == 0)
        return;
    clock_print(since_ms, since);
    printf("%s: %s actors, the first since %.10s.\n", what, terminal_count(app->arena, actors).ptr,
           since);
}

static void print_erasures(App *app, const EventsStat *log)
{
    EngineHealth columns = {.erased_waiting = 0};
    if (app->engine != NULL)
        engine_health(app->engine, &columns);
    if (log->erased > 0)
        printf("Erased: %s actors.\n", terminal_count(app->arena, log->erased).ptr);
    print_waiting(app, "To be erased", log->erase_waiting, log->erase_since_ms);
    print_waiting(app, "To leave the columns' files", columns.erased_waiting,
                  columns.erased_since_ms);
    if (log->erase_unread > 0)
        printf("Segments that cannot be read or written, in which something may be left: %s.\n",
               terminal_count(app->arena, log->erase_unread).ptr);
    if (log->erase_full)
        printf(
            "The ledger of erasures is full, and who asked last waits: stop the server, put the file "
            "%s/events/log/erased to the backups that were made so far, and start: it begins a new one.\n",
            app->config.data);
}

static void print_log(App *app)
{
    EventsStat log;
    events_stat(app->log, &log);
    printf("The log: %s events, %s bytes in %s segments.\n",
           terminal_count(app->arena, log.events).ptr,
           terminal_count(app->arena, log.log_bytes).ptr,
           terminal_count(app->arena, log.segments).ptr);
}

static int show_stat(App *app)
{
    EngineStat stat;
    EventsStat log;
    Shares s = {.from_ms = INT64_MAX, .to_ms = INT64_MIN};
    ScanView *view = engine_view(app->engine);
    engine_stat(app->engine, &stat);
    events_stat(app->log, &log);
    name_shares(app->arena, engine_schema_lock(app->engine), &s);
    engine_schema_unlock(app->engine);
    for (uint32_t i = 0; i < view->part_count; i++)
        add_part(view->parts[i], &s);
    qsort(s.at, s.count, sizeof *s.at, by_bytes);
    print_log(app);
    printf("In columns: %s events in %u files, %s bytes; %s still to be read from the log.\n",
           terminal_count(app->arena, (int64_t)stat.events).ptr, stat.file_parts,
           terminal_count(app->arena, (int64_t)(stat.file_bytes + stat.id_bytes)).ptr,
           terminal_count(app->arena, (int64_t)(log.next_seq - stat.next_seq)).ptr);
    print_erasures(app, &log);
    print_aside(app, &stat);
    print_days(&s);
    if (stat.events > 0)
        print_shares(app, &s, &stat);
    engine_view_done(view);
    return 0;
}

/* ---- verify -------------------------------------------------------------------------------------- */

static void print_finding(const char *file, int64_t offset, const char *what, void *arg)
{
    printf("%s%s at byte %" PRId64 ": %s\n", (const char *)arg, file, offset, what);
}

static void say_cure(const App *app)
{
    printf(
        "The columns can be made again from the log. A server does so by itself with the data and ids that a "
        "question or a merge finds damaged; to have all of them made again at once, remove the folder "
        "%s/events/engine, then start.\n",
        app->config.data);
}

/* From outside: whoever opens a log mends what can be made again, and then nobody would hear of it. */
static Err survey_log(App *app, int64_t *bad)
{
    static char log_folder[] = "log/";
    EventsSurvey survey;
    const EventsSurveyVisit visit = {.report = print_finding, .arg = log_folder};
    const Str folder = arena_printf(app->arena, "%s/events/log", app->config.data);
    const Err err = events_survey(&app->ctx, folder, &survey);
    if (err == ERR_NOT_FOUND)
        return ERR_OK;
    TRY(err);
    return events_survey_read(&app->ctx, &survey, &visit, bad);
}

static int verify(App *app)
{
    int64_t log = 0, engine = 0;
    static char engine_folder[] = "engine/";
    if (survey_log(app, &log) != ERR_OK ||
        engine_verify(&app->ctx, app->engine, print_finding, engine_folder, &engine) != ERR_OK) {
        app_complain(app, "reading the events");
        return 1;
    }
    if (log + engine == 0)
        printf("Every checksum of the log and of its columns is right.\n");
    if (engine > 0)
        say_cure(app);
    return log + engine == 0 ? 0 : 1;
}

/* ---- erase --------------------------------------------------------------------------------------- */

/* The key under which events have the actor: a phone number is stored as its keyed hash. */
static Err actor_named(App *app, const char *kind, const char *value, EventActor *out)
{
    PersonKey key;
    *out = (EventActor){str_of(kind), str_of(value)};
    if (!str_eq(out->kind, STR("phone")))
        return ERR_OK;
    TRY(person_key_phone(&app->ctx, out->value, &key));
    out->value = hex_encode(app->arena, (Str){(const char *)key.hash, sizeof key.hash});
    return ERR_OK;
}

static Err ask_to_erase(App *app, const char *kind, const char *value)
{
    Ctx *ctx = &app->ctx;
    Event head = {.kind = EVENT_ERASE,
                  .source = STR("command"),
                  .id = arena_printf(app->arena, "erase-%" PRId64, id_next(ctx->now_ms)),
                  .time_ms = ctx->now_ms,
                  .received_ms = ctx->now_ms};
    Event event;
    Buf bytes = BUF_MAX(EVENT_BYTES_MAX);
    TRY(actor_named(app, kind, value, &head.actor));
    TRY(event_end(event_begin(ctx, &head), &event));
    event_encode(&event, &bytes);
    const Err err = events_append(ctx, app->log, buf_str(&bytes), NULL);
    buf_free(&bytes);
    return err;
}

/* Once a second, while it takes long. */
static void print_progress(uint32_t done, uint32_t of, void *arg)
{
    (void)arg;
    printf("Columns: %u of %u files written again.\n", done, of);
    (void)fflush(stdout);
}

static int erase(App *app, int argc, char **argv)
{
    EventsErased sum;
    EventsStat log;
    if ((argc > 0 && ask_to_erase(app, argv[0], argv[1]) != ERR_OK) ||
        erase_run(app, &app->ctx, &(EraseHow){.report = print_progress}, &sum) != ERR_OK) {
        app_complain(app, "erasing");
        events_stat(app->log, &log);
        print_erasures(app, &log);
        return 1;
    }
    events_stat(app->log, &log);
    printf("Erased %s records; %s segments of the log were written again.\n",
           terminal_count(app->arena, sum.records).ptr,
           terminal_count(app->arena, sum.rewritten).ptr);
    print_erasures(app, &log);
    if (log.erase_waiting > 0)
        printf("The columns have not read so far yet: start the server, its job goes on.\n");
    return log.erase_waiting > 0 ? 1 : 0;
}

/* Columns that are there hear of it first, else they would have to be made again. */
static Err open_to_erase(App *app)
{
    const Str folder = arena_printf(app->arena, "%s/events/engine", app->config.data);
    app->config.engine = access(folder.ptr, F_OK) == 0;
    return columns_open(app);
}

/* ---- the command --------------------------------------------------------------------------------- */

static int stat_verb(App *app, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return show_stat(app);
}

static int verify_verb(App *app, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return verify(app);
}

typedef struct Verb {
    Str name;
    int words; /* that may follow: all or none */
    BootLevel level;
    Err (*open)(App *app);
    int (*run)(App *app, int argc, char **argv);
} Verb;

static const Verb VERBS[] = {{{"stat", 4}, 0, BOOT_READ, columns_look, stat_verb},
                             {{"verify", 6}, 0, BOOT_REPORT, columns_look_beside, verify_verb},
                             {{"erase", 5}, 2, BOOT_READ, open_to_erase, erase}};

static int run_verb(const Verb *verb, const Config *config, int argc, char **argv)
{
    App app;
    int status = 1;
    if (!app_open(&app, config, verb->level))
        return 1;
    if (verb->open(&app) == ERR_OK) {
        status = verb->run(&app, argc, argv);
    } else {
        if (app.log != NULL)
            print_log(&app);
        app_complain(&app, "opening the event engine");
        say_cure(&app);
    }
    app_close(&app);
    return status;
}

int cmd_events(Config *config, int argc, char **argv)
{
    const Str wanted = argc > 1 ? str_of(argv[1]) : STR("stat");
    const int words = argc > 2 ? argc - 2 : 0;
    if (str_eq(wanted, STR("import"))) {
        argv[1] = argv[0]; /* what complains about words names the command */
        return cmd_events_import(config, argc - 1, argv + 1);
    }
    for (size_t i = 0; i < ARRAY_LEN(VERBS); i++)
        if (str_eq(VERBS[i].name, wanted) && (words == 0 || words == VERBS[i].words))
            return run_verb(&VERBS[i], config, words, argv + 2);
    fprintf(stderr,
            "tongdian events takes stat, verify, import, or erase; see tongdian events --help\n");
    return 2;
}
