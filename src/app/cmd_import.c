/*
 * app/cmd_import.c -- `tongdian import`: a folder of files into the rooms.
 */
#include "app/cmd_import.h"

#include "app/args.h"
#include "app/terminal.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

#include <sys/stat.h>

enum { TEND_TICKS = 200, OUTBOX_KEEP_MS = 5000 };

static void complain(const Ctx *ctx, const char *doing)
{
    const App shell = {.ctx = *ctx};
    app_complain(&shell, doing);
}

bool import_load_map(Ctx *ctx, const char *path, const IntakeMap **out)
{
    const Err err = intake_map_load(ctx, path, out);
    if (err == ERR_OK)
        return true;
    if (err == ERR_NOT_FOUND)
        fprintf(stderr,
                "tongdian: there is no map %s: a map says which columns mean what; see "
                "docs/formats/import-map.md and maps/completejourney.yaml\n",
                path);
    else
        complain(ctx, "reading the map");
    return false;
}

/* ---- running ------------------------------------------------------------------------------------- */

typedef struct Watch {
    Progress progress;
    App *app; /* NULL = dry run */
    int64_t ticks;
} Watch;

/* The events of what was imported leave the outbox while the import goes on, so that it stays small. */
static Err tend(Watch *w, Ctx *ctx)
{
    bool more = true;
    Arena *arena = arena_new(4096);
    Ctx c = *ctx;
    c.arena = arena;
    c.now_ms = clock_now_ms();
    Err err = ERR_OK;
    while (more && err == ERR_OK)
        err = outbox_tend(&c, w->app->outbox, OUTBOX_KEEP_MS, &more);
    ctx->fault = c.fault;
    arena_free(arena);
    return err;
}

static Err tick(void *arg, Ctx *ctx, const IntakeProgress *p)
{
    Watch *w = arg;
    char what[160];
    (void)snprintf(what, sizeof what, "%zu/%zu %.*s from %.80s", p->part, p->parts,
                   STR_ARG(p->target), p->file);
    progress_show(&w->progress, what, p->rows, p->permille);
    return w->app != NULL && ++w->ticks % TEND_TICKS == 0 ? tend(w, ctx) : ERR_OK;
}

/* Faults of the files themselves speak of the file; the rest of the run. */
static bool run_failed(const Ctx *ctx)
{
    complain(ctx, "importing");
    if (ctx->fault.code == ERR_BUSY)
        fprintf(stderr, "tongdian: what is in stays in; run the same command again to go on\n");
    return false;
}

bool import_files(App *app, const IntakeMap *map, const char *dir, const char *rejects,
                  IntakeResult *out)
{
    Watch w = {.progress = progress_start(stderr), .app = app};
    const IntakeRunOptions options = {
        .map = map, .dir = dir, .rejects_path = rejects, .tick = tick, .tick_arg = &w};
    if (intake_settings(&app->ctx, app->database, map, &app->settings) != ERR_OK)
        return run_failed(&app->ctx);
    const Err err = intake_run(&app->ctx, app->database, &options, out);
    progress_end(&w.progress);
    return err == ERR_OK || run_failed(&app->ctx);
}

/* Phone numbers are judged with the folder's region when there is one. */
static bool check_files(const Config *config, Ctx *ctx, const IntakeMap *map, const char *dir,
                        const char *rejects, IntakeResult *out)
{
    struct stat st;
    App app;
    Settings settings = setting_default();
    if (stat(config->data, &st) == 0) {
        if (!app_open(&app, config, BOOT_REPORT))
            return false;
        settings = app.settings;
        app_close(&app);
    }
    ctx->settings = &settings;
    Watch w = {.progress = progress_start(stderr)};
    const IntakeRunOptions options = {
        .map = map, .dir = dir, .rejects_path = rejects, .tick = tick, .tick_arg = &w};
    const Err err = intake_dry_run(ctx, &options, out);
    progress_end(&w.progress);
    ctx->settings = NULL;
    return err == ERR_OK || run_failed(ctx);
}

/* ---- telling ------------------------------------------------------------------------------------- */

int64_t import_rejected(const IntakeResult *r)
{
    int64_t n = 0;
    for (size_t i = 0; i < INTAKE_ROOM_TARGETS; i++)
        n += r->target[i].rejected;
    return n;
}

static bool is_idle(const IntakeTally *t)
{
    return t->added + t->changed + t->unchanged + t->rejected == 0;
}

static void print_made(Arena *arena, const IntakeResult *r, FILE *to)
{
    const struct {
        int64_t count;
        const char *what;
    } made[] = {
        {r->products_made, "products"}, {r->stores_made, "shops"}, {r->people_made, "people"}};
    for (size_t i = 0; i < ARRAY_LEN(made); i++)
        if (made[i].count > 0)
            fprintf(to,
                    "%.*s %s were only referred to: they are known by their code, without more.\n",
                    STR_ARG(terminal_count(arena, made[i].count)), made[i].what);
    for (size_t i = 0; i < r->note_count; i++)
        fprintf(to, "%.*s rows of %.*s: %.*s.\n", STR_ARG(terminal_count(arena, r->notes[i].count)),
                STR_ARG(r->notes[i].file), STR_ARG(r->notes[i].what));
}

void import_print(Arena *arena, const IntakeResult *r, FILE *to)
{
    Table t = table_new(arena, "|>new|>changed|>unchanged|>rejected rows");
    for (size_t i = 0; i < INTAKE_ROOM_TARGETS; i++) {
        const IntakeTally *n = &r->target[i];
        if (is_idle(n))
            continue;
        table_add(&t, str_of(INTAKE_TARGETS[i].name));
        table_add_count(&t, n->added);
        table_add_count(&t, n->changed);
        table_add_count(&t, n->unchanged);
        table_add_count(&t, n->rejected);
    }
    table_print(&t, to);
    print_made(arena, r, to);
}

static void print_json(const IntakeResult *r, const char *rejects, int64_t took_ms)
{
    Buf text = BUF_MAX(1 << 20);
    JsonOut out = json_out(&text);
    json_out_object(&out);
    for (size_t i = 0; i < INTAKE_ROOM_TARGETS; i++) {
        const IntakeTally *n = &r->target[i];
        json_out_key(&out, str_of(INTAKE_TARGETS[i].name));
        json_out_object(&out);
        json_out_key(&out, STR("new")), json_out_i64(&out, n->added);
        json_out_key(&out, STR("changed")), json_out_i64(&out, n->changed);
        json_out_key(&out, STR("unchanged")), json_out_i64(&out, n->unchanged);
        json_out_key(&out, STR("rejected")), json_out_i64(&out, n->rejected);
        json_out_end(&out);
    }
    json_out_key(&out, STR("products_made")), json_out_i64(&out, r->products_made);
    json_out_key(&out, STR("stores_made")), json_out_i64(&out, r->stores_made);
    json_out_key(&out, STR("people_made")), json_out_i64(&out, r->people_made);
    json_out_key(&out, STR("files")), json_out_i64(&out, r->files);
    json_out_key(&out, STR("rows")), json_out_i64(&out, r->rows);
    json_out_key(&out, STR("resumed")), json_out_bool(&out, r->resumed);
    json_out_key(&out, STR("took_ms")), json_out_i64(&out, took_ms);
    json_out_key(&out, STR("rejects")), json_out_text(&out, str_of(rejects));
    json_out_key(&out, STR("notes"));
    json_out_array(&out);
    for (size_t i = 0; i < r->note_count; i++) {
        json_out_object(&out);
        json_out_key(&out, STR("file")), json_out_text(&out, r->notes[i].file);
        json_out_key(&out, STR("what")), json_out_text(&out, r->notes[i].what);
        json_out_key(&out, STR("count")), json_out_i64(&out, r->notes[i].count);
        json_out_end(&out);
    }
    json_out_end(&out);
    json_out_end(&out);
    printf("%.*s\n", STR_ARG(buf_str(&text)));
    buf_free(&text);
}

/* The last line says whether all is well. */
static void print_end(Arena *arena, const IntakeResult *r, const char *rejects, bool dry,
                      int64_t took_ms)
{
    const int64_t rejected = import_rejected(r);
    const int64_t rate = took_ms > 0 ? r->rows * 1000 / took_ms : r->rows;
    printf("%s%.*s rows of %" PRId64 " files %s in %" PRId64 ".%" PRId64 " s (%.*s rows/s).\n",
           r->resumed ? "Went on where it was interrupted: " : "",
           STR_ARG(terminal_count(arena, r->rows)), r->files, dry ? "read" : "imported",
           took_ms / 1000, took_ms % 1000 / 100, STR_ARG(terminal_count(arena, rate)));
    if (dry)
        printf("This was a dry run: nothing was changed; \"new\" is what could be imported.\n");
    if (rejected == 0)
        printf("No row was rejected.\n");
    else
        printf("%.*s rows were rejected: %s says where and why.\n",
               STR_ARG(terminal_count(arena, rejected)), rejects);
}

/* ---- the command --------------------------------------------------------------------------------- */

enum { MAP, DRY_RUN, REJECTS, JSON, OPTION_COUNT };
static const ArgOption OPTIONS[OPTION_COUNT] = {
    [MAP] = {"--map", true},
    [DRY_RUN] = {"--dry-run", false},
    [REJECTS] = {"--rejects", true},
    [JSON] = {"--json", false},
};

static void warn_unkept(Ctx *ctx, const IntakeMap *map)
{
    const StrList names = intake_unkept(ctx, map);
    for (size_t i = 0; i < names.count; i++)
        fprintf(stderr, "tongdian: note: %.*s is read but not kept by this version\n",
                STR_ARG(names.item[i]));
}

static bool is_folder(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return true;
    fprintf(stderr, "tongdian: there is no folder %s: name the folder with the files to import\n",
            path);
    return false;
}

static bool run(const Config *config, Ctx *ctx, const Args *args, const IntakeMap *map,
                const char *rejects, IntakeResult *out)
{
    App app;
    if (args->value[DRY_RUN] != NULL)
        return check_files(config, ctx, map, args->rest[0], rejects, out);
    if (!app_open(&app, config, BOOT_WRITE))
        return false;
    const bool done = import_files(&app, map, args->rest[0], rejects, out);
    if (done) { /* the notes live as long as the app */
        IntakeNote *notes = ARENA_ARRAY(ctx->arena, IntakeNote, out->note_count + 1);
        for (size_t i = 0; i < out->note_count; i++)
            notes[i] =
                (IntakeNote){arena_copy(ctx->arena, out->notes[i].file),
                             arena_copy(ctx->arena, out->notes[i].what), out->notes[i].count};
        out->notes = notes;
    }
    app_close(&app);
    return done;
}

static int import_with(const Config *config, const Args *args, Ctx *ctx)
{
    const IntakeMap *map = NULL;
    IntakeResult result;
    if (!is_folder(args->rest[0]) || !import_load_map(ctx, args->value[MAP], &map))
        return 1;
    warn_unkept(ctx, map);
    const char *rejects = args->value[REJECTS] != NULL
                              ? args->value[REJECTS]
                              : arena_printf(ctx->arena, "%s.rejects.csv", config->data).ptr;
    const int64_t from_us = clock_mono_us();
    if (!run(config, ctx, args, map, rejects, &result))
        return 1;
    const int64_t took_ms = (clock_mono_us() - from_us) / 1000;
    if (args->value[JSON] != NULL) {
        print_json(&result, import_rejected(&result) > 0 ? rejects : "", took_ms);
        return 0;
    }
    import_print(ctx->arena, &result, stdout);
    print_end(ctx->arena, &result, rejects, args->value[DRY_RUN] != NULL, took_ms);
    return 0;
}

int cmd_import(Config *config, int argc, char **argv)
{
    const char *value[OPTION_COUNT];
    Args args;
    if (!args_read(argc, argv, OPTIONS, OPTION_COUNT, value, &args))
        return 2;
    if (value[MAP] == NULL || args.rest_count != 1) {
        fprintf(stderr, "Usage: tongdian import --map FILE DIR [--dry-run] [--rejects FILE] "
                        "[--json] [--data DIR]\n");
        return 2;
    }
    Arena *arena = arena_new(1 << 16);
    Ctx ctx = {.arena = arena, .now_ms = clock_now_ms()};
    const int status = import_with(config, &args, &ctx);
    arena_free(arena);
    return status;
}
