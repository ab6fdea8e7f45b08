/*
 * app/cmd_events.c -- `tongdian events`: what the event log and its columns hold, and whether it is sound.
 */
#include "app/app.h"
#include "app/args.h"
#include "app/cmd_events_import.h"
#include "app/cmd_events_stat.h"
#include "app/terminal.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/id.h"
#include "engine/engine.h"
#include "events/events_survey.h"
#include "modules/person/person.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- what waits to be erased ------------------------------------------------------------------------ */

static void print_waiting(App *app, const char *what, int64_t actors, int64_t since_ms)
{
    char since[CLOCK_TEXT_BYTES];
    if (actors == 0)
        return;
    clock_print(since_ms, since);
    printf("%s: %s actors, the first since %.10s.\n", what, terminal_count(app->arena, actors).ptr,
           since);
}

void events_print_erasures(App *app, const EventsStat *log)
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

/* ---- verify -------------------------------------------------------------------------------------- */

static void print_finding(const char *file, int64_t offset, const char *what, void *arg)
{
    printf("%s%s at byte %" PRId64 ": %s\n", (const char *)arg, file, offset, what);
}

void events_say_cure(const App *app)
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
        events_say_cure(app);
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
        events_print_erasures(app, &log);
        return 1;
    }
    events_stat(app->log, &log);
    printf("Erased %s records; %s segments of the log were written again.\n",
           terminal_count(app->arena, sum.records).ptr,
           terminal_count(app->arena, sum.rewritten).ptr);
    events_print_erasures(app, &log);
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

static const Verb VERBS[] = {{{"verify", 6}, 0, BOOT_REPORT, columns_look_beside, verify_verb},
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
        events_say_cure(&app);
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
    if (str_eq(wanted, STR("stat")))
        return cmd_events_stat(config, argc > 1 ? argc - 1 : argc, argc > 1 ? argv + 1 : argv);
    for (size_t i = 0; i < ARRAY_LEN(VERBS); i++)
        if (str_eq(VERBS[i].name, wanted) && (words == 0 || words == VERBS[i].words))
            return run_verb(&VERBS[i], config, words, argv + 2);
    fprintf(stderr,
            "tongdian events takes stat, verify, import, or erase; see tongdian events --help\n");
    return 2;
}
