/*
 * app/cmd_events_import.c -- `tongdian events import`: years of events from files into the log.
 *
 * While no server runs: the log belongs to one process.  Columns catch up when the server starts.
 */
#include "app/cmd_events_import.h"

#include "app/app.h"
#include "app/args.h"
#include "app/cmd_import.h"
#include "app/terminal.h"
#include "base/clock.h"
#include "base/json.h"
#include "modules/history/history.h"

#include <signal.h>

enum { STATUS_DONE = 0, STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_REFUSED = 3 };
enum { MEMORY_MB_MIN = 8, MEMORY_MB_MAX = 65536, DAY_CHARS = 10 };

enum { SOURCE, MAP, REJECTS, TEMP, MEMORY, DRY_RUN, JSON, OPTION_COUNT };
static const ArgOption OPTIONS[OPTION_COUNT] = {
    [SOURCE] = {"--source", true}, [MAP] = {"--map", true},       [REJECTS] = {"--rejects", true},
    [TEMP] = {"--temp", true},     [MEMORY] = {"--memory", true}, [DRY_RUN] = {"--dry-run", false},
    [JSON] = {"--json", false},
};

/* ---- stopping ---------------------------------------------------------------------------------------- */

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

/* The first one ends the import between two batches, a second one ends the process: both leave the log sound. */
static void stop_on_signals(void)
{
    struct sigaction action = {.sa_handler = stop, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

/* ---- how far it is ----------------------------------------------------------------------------------- */

typedef struct Watch {
    Progress reading, appending;
    bool second; /* half */
} Watch;

static Err tick(void *arg, Ctx *ctx, const HistoryProgress *p)
{
    Watch *w = arg;
    char what[160], at[CLOCK_TEXT_BYTES];
    if (stopped != 0)
        return fail(ctx, ERR_BUSY, "history.stopped", "what is in the log stays there");
    if (!p->appending) {
        (void)snprintf(what, sizeof what, "1/2 reading %.80s", p->file);
        progress_show(&w->reading, what, p->done, p->permille);
        return ERR_OK;
    }
    if (!w->second)
        w->appending = progress_start(stderr);
    w->second = true;
    clock_print(p->time_ms, at);
    (void)snprintf(what, sizeof what, "2/2 appending %.*s", DAY_CHARS, at);
    progress_show(&w->appending, what, p->done, p->permille);
    return ERR_OK;
}

/* ---- telling ----------------------------------------------------------------------------------------- */

typedef struct Telling {
    Arena *arena;
    const HistoryResult *result;
    const char *rejects;
    bool dry;
    int64_t took_ms;
} Telling;

static const char *count(const Telling *t, int64_t n)
{
    return terminal_count(t->arena, n).ptr;
}

static void print_reasons(const Telling *t)
{
    const HistoryResult *r = t->result;
    Table table = table_new(t->arena, "refused because|>lines|the first one");
    for (size_t i = 0; i < r->reasons; i++) {
        table_add(&table, str_of(r->reason[i].reason));
        table_add_count(&table, r->reason[i].count);
        table_addf(&table, "%.80s:%" PRId64, r->reason[i].file.ptr, r->reason[i].line);
    }
    if (r->reasons > 0)
        table_print(&table, stdout);
}

static void print_times(const HistoryResult *r)
{
    char from[CLOCK_TEXT_BYTES], to[CLOCK_TEXT_BYTES];
    if (r->refused == r->read)
        return;
    clock_print(r->from_ms, from);
    clock_print(r->to_ms, to);
    printf("They happened from %.*s to %.*s.\n", DAY_CHARS, from, DAY_CHARS, to);
}

static void print_result(const Telling *t)
{
    const HistoryResult *r = t->result;
    const int64_t rate = t->took_ms > 0 ? r->read * 1000 / t->took_ms : r->read;
    print_reasons(t);
    printf("%s lines were read in %" PRId64 ".%" PRId64 " s (%s lines/s).\n", count(t, r->read),
           t->took_ms / 1000, t->took_ms % 1000 / 100, count(t, rate));
    printf(t->dry ? "%s events could be taken" : "%s events are new in the log",
           count(t, r->taken));
    if (!t->dry)
        printf(", %s were there already", count(t, r->there));
    printf(", %s stood in the files before, %s were refused.\n", count(t, r->repeated),
           count(t, r->refused));
    if (r->left_out > 0)
        printf("%s rows were left out, as the map says.\n", count(t, r->left_out));
    print_times(r);
    if (r->damaged > 0)
        printf("%s places of the event log cannot be read: what stood there may have come again.\n",
               count(t, r->damaged));
    if (r->refused > 0)
        printf("%s says where and why.\n", t->rejects);
    if (t->dry)
        printf(
            "This was a dry run: nothing was changed, and nobody looked what is there already.\n");
}

static void add_json(JsonOut *out, Str name, int64_t n)
{
    json_out_key(out, name);
    json_out_i64(out, n);
}

static void add_reasons(JsonOut *out, const HistoryResult *r)
{
    json_out_key(out, STR("reasons"));
    json_out_array(out);
    for (size_t i = 0; i < r->reasons; i++) {
        json_out_object(out);
        json_out_key(out, STR("reason")), json_out_text(out, str_of(r->reason[i].reason));
        add_json(out, STR("count"), r->reason[i].count);
        json_out_key(out, STR("file")), json_out_text(out, r->reason[i].file);
        add_json(out, STR("line"), r->reason[i].line);
        json_out_end(out);
    }
    json_out_end(out);
}

static void print_json(const Telling *t)
{
    const HistoryResult *r = t->result;
    Buf text = BUF_MAX(1 << 20);
    JsonOut out = json_out(&text);
    json_out_object(&out);
    add_json(&out, STR("read"), r->read);
    add_json(&out, STR("taken"), r->taken);
    add_json(&out, STR("there"), r->there);
    add_json(&out, STR("repeated"), r->repeated);
    add_json(&out, STR("refused"), r->refused);
    add_json(&out, STR("left_out"), r->left_out);
    add_json(&out, STR("batches"), r->batches);
    add_json(&out, STR("damaged"), r->damaged);
    add_json(&out, STR("took_ms"), t->took_ms);
    add_reasons(&out, r);
    json_out_key(&out, STR("rejects"));
    json_out_text(&out, str_of(r->refused > 0 ? t->rejects : ""));
    json_out_end(&out);
    printf("%.*s\n", STR_ARG(buf_str(&text)));
    buf_free(&text);
}

/* ---- the command ------------------------------------------------------------------------------------- */

typedef struct Wanted {
    HistoryFile file[ARGS_REST_MAX];
    HistoryOptions options;
    const char *rejects;
    bool dry, json;
} Wanted;

static bool choose_files(Ctx *ctx, const Args *args, Wanted *w)
{
    const IntakeMap *map = NULL;
    if (args->value[MAP] != NULL && !import_load_map(ctx, args->value[MAP], &map))
        return false;
    for (size_t i = 0; i < args->rest_count; i++) {
        const char *path = args->rest[i];
        const IntakeMapFile *entry = map == NULL ? NULL : intake_map_entry(map, path);
        if (map != NULL && (entry == NULL || entry->target->id != INTAKE_TARGET_EVENTS)) {
            fprintf(stderr, "tongdian: the map %s has no entry with target events for %s\n",
                    args->value[MAP], path);
            return false;
        }
        w->file[i] = (HistoryFile){path, entry};
    }
    w->options.file = w->file;
    w->options.files = args->rest_count;
    w->options.map = map;
    return true;
}

static bool choose_memory(const Args *args, Wanted *w)
{
    int64_t mb = 0;
    if (args->value[MEMORY] == NULL)
        return true;
    if (!str_to_i64(str_of(args->value[MEMORY]), &mb) || mb < MEMORY_MB_MIN || mb > MEMORY_MB_MAX) {
        fprintf(stderr, "tongdian: --memory takes megabytes, %d to %d, not %s\n", MEMORY_MB_MIN,
                MEMORY_MB_MAX, args->value[MEMORY]);
        return false;
    }
    w->options.memory_bytes = (size_t)mb * 1024 * 1024;
    return true;
}

/* Nothing is where it could not be found again: temporary files are nameless and stand beside the log. */
static void choose_places(App *app, const Args *args, Wanted *w)
{
    HistoryOptions *o = &w->options;
    const char *data = app->config.data;
    o->source = args->value[SOURCE] == NULL ? STR("history") : str_of(args->value[SOURCE]);
    o->temp_dir = args->value[TEMP] == NULL ? data : args->value[TEMP];
    w->rejects = args->value[REJECTS] != NULL
                     ? args->value[REJECTS]
                     : arena_printf(app->arena, "%s.events.rejects.csv", data).ptr;
    o->rejects_path = w->rejects;
    o->log = w->dry ? NULL : app->log;
    o->log_folder = arena_printf(app->arena, "%s/events/log", data);
}

static int run(App *app, Wanted *w)
{
    Watch watch = {.reading = progress_start(stderr)};
    HistoryResult result;
    const int64_t from_us = clock_mono_us();
    w->options.tick = tick;
    w->options.tick_arg = &watch;
    stop_on_signals();
    const Err err = history_import(&app->ctx, &w->options, &result);
    progress_end(&watch.reading);
    if (err != ERR_OK) {
        app_complain(app, "importing events");
        if (err == ERR_BUSY)
            fprintf(
                stderr,
                "tongdian: %s events are in; run the same command again to go on: what is there is "
                "passed over\n",
                terminal_count(app->arena, result.taken).ptr);
        return STATUS_FAILED;
    }
    const Telling t = {.arena = app->arena,
                       .result = &result,
                       .rejects = w->rejects,
                       .dry = w->dry,
                       .took_ms = (clock_mono_us() - from_us) / 1000};
    if (w->json)
        print_json(&t);
    else
        print_result(&t);
    return result.refused > 0 ? STATUS_REFUSED : STATUS_DONE;
}

static int import_with(const Config *config, const Args *args, Ctx *ctx)
{
    App app;
    Wanted w = {.dry = args->value[DRY_RUN] != NULL, .json = args->value[JSON] != NULL};
    if (!choose_memory(args, &w))
        return STATUS_USAGE;
    if (!choose_files(ctx, args, &w) || !app_open(&app, config, w.dry ? BOOT_REPORT : BOOT_WRITE))
        return STATUS_FAILED;
    choose_places(&app, args, &w);
    const int status = run(&app, &w);
    app_close(&app);
    return status;
}

int cmd_events_import(const Config *config, int argc, char **argv)
{
    const char *value[OPTION_COUNT];
    Args args;
    if (!args_read(argc, argv, OPTIONS, OPTION_COUNT, value, &args))
        return STATUS_USAGE;
    if (args.rest_count == 0) {
        fprintf(stderr, "Usage: tongdian events import FILE... [--source NAME] [--map FILE] "
                        "[--rejects FILE] [--temp FOLDER] [--memory MB] [--dry-run] [--json] "
                        "[--data DIR]\n");
        return STATUS_USAGE;
    }
    Arena *arena = arena_new(1 << 16);
    Ctx ctx = {.arena = arena, .now_ms = clock_now_ms()};
    const int status = import_with(config, &args, &ctx);
    arena_free(arena);
    return status;
}
