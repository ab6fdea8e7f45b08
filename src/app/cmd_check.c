/*
 * app/cmd_check.c -- `tongdian check`: every balance equals its ledger, every count its rows, every
 * event its outbox.  Reads only; works beside a running server, on one snapshot of the database
 * (see app/check_log.h for how the log is held against it).
 */
#include "app/app.h"
#include "app/args.h"
#include "app/check_log.h"
#include "app/terminal.h"
#include "base/json.h"
#include "modules/audit/audit.h"

#include <stdio.h>

extern const RoomCheck STAFF_CHECK, AUDIT_CHECK, PERSON_CHECK, CAMPAIGN_CHECK, COHORT_CHECK,
    COUPON_CHECK, ORDER_CHECK;
static const RoomCheck *const ROOMS[] = {&STAFF_CHECK,    &AUDIT_CHECK,  &PERSON_CHECK,
                                         &CAMPAIGN_CHECK, &COHORT_CHECK, &COUPON_CHECK,
                                         &ORDER_CHECK,    NULL};

/* What to do about a finding, by where it was found. */
static const char DO_DATABASE[] = "stop the server and restore the last backup";
static const char DO_ROOM[] = "correct this row from the audit trail, or restore the last backup";
static const char DO_FILE[] =
    "restore the last backup; without one, the other events stay readable";
static const char DO_LOG[] = "restore the last backup, or set the row right by hand";

enum { JSON_BYTES_MAX_OUT = 16 << 20 };

typedef struct Checking {
    App *app;
    bool json;
    const char *advice;
    Progress progress;
    Buf text; /* JSON only */
    JsonOut out;
    int64_t findings;
    CheckLog log;
} Checking;

static void tell(Checking *c, Str row, const char *what)
{
    c->findings++;
    if (c->json) {
        json_out_object(&c->out);
        json_out_key(&c->out, STR("row")), json_out_text(&c->out, row);
        json_out_key(&c->out, STR("what")), json_out_text(&c->out, str_of(what));
        json_out_key(&c->out, STR("do")), json_out_text(&c->out, str_of(c->advice));
        json_out_end(&c->out);
        return;
    }
    progress_end(&c->progress);
    printf("WRONG %.*s: %s (%s)\n", STR_ARG(row), what, c->advice);
}

/* "coupon: its state ..." of 17 is row "coupon 17". */
static void on_finding(void *arg, const char *what, int64_t id)
{
    Checking *c = arg;
    const Str all = str_of(what);
    const int64_t colon = str_index(all, ':', 0);
    const size_t end = colon < 0 ? 0 : (size_t)colon;
    const Str thing = str_slice(all, 0, end);
    const Str row =
        id == 0 ? thing : arena_printf(c->app->arena, "%.*s %" PRId64, STR_ARG(thing), id);
    tell(c, row, str_trim(str_slice(all, end + 1, all.len)).ptr);
}

static void on_database(void *arg, const char *what)
{
    tell(arg, STR("database"), what);
}

static void on_file(const char *file, int64_t offset, const char *what, void *arg)
{
    Checking *c = arg;
    c->advice = DO_FILE;
    tell(c, arena_printf(c->app->arena, "event log file %s, byte %" PRId64, file, offset), what);
    c->advice = DO_LOG;
}

static void on_progress(void *arg, const char *what, int64_t done)
{
    Checking *c = arg;
    if (!c->json)
        progress_show(&c->progress, what, done, 0);
}

/* ---- the parts -------------------------------------------------------------------------------------- */

static Err check_records(Checking *c)
{
    Ctx *ctx = &c->app->ctx;
    c->advice = DO_DATABASE;
    on_progress(c, "pages of the database", 0);
    TRY(db_verify(ctx, on_database, c));
    c->advice = DO_ROOM;
    for (const RoomCheck *const *r = ROOMS; *r != NULL; r++) {
        on_progress(c, (*r)->schema->room, 0);
        TRY(check_room(ctx, *r, on_finding, c));
    }
    c->advice = DO_LOG;
    return check_log_run(ctx, &c->log);
}

/* A schema that this program does not know cannot be checked by it. */
static bool schema_fits(Checking *c)
{
    const SchemaSet set = app_schema_set();
    SchemaStatus *s = ARENA_NEW(c->app->arena, SchemaStatus);
    if (schema_status(c->app->database, &c->app->ctx, &set, s) != ERR_OK) {
        app_complain(c->app, "looking at the schema");
        return false;
    }
    for (size_t i = 0; i < s->room_count; i++)
        if (s->rooms[i].state != SCHEMA_CURRENT) {
            fprintf(stderr,
                    "tongdian: the tables of room %s are %s: run `tongdian migrate` first\n",
                    s->rooms[i].room, schema_state_name(s->rooms[i].state));
            return false;
        }
    return true;
}

static Err check_all(Checking *c)
{
    Ctx *ctx = &c->app->ctx;
    const Str folder = arena_printf(c->app->arena, "%s/events/log", c->app->config.data);
    c->log = (CheckLog){.folder = folder,
                        .rooms = ROOMS,
                        .report = on_finding,
                        .file_report = on_file,
                        .progress = on_progress,
                        .arg = c};
    TRY(check_log_end(ctx, folder, &c->log.end_before));
    TRY(db_snapshot_begin(ctx));
    const Err err = check_records(c);
    db_snapshot_end(ctx);
    return err;
}

/* ---- the result -------------------------------------------------------------------------------------- */

static void print_json(Checking *c)
{
    JsonOut *o = &c->out;
    json_out_end(o); /* the findings */
    json_out_key(o, STR("ok")), json_out_bool(o, c->findings == 0);
    json_out_key(o, STR("counted")), json_out_object(o);
    for (size_t i = 0; i < c->log.kind_count; i++) {
        json_out_key(o, str_of(c->log.kinds[i].event->name));
        json_out_i64(o, c->log.kinds[i].rows);
    }
    json_out_key(o, STR("events")), json_out_i64(o, c->log.events);
    json_out_key(o, STR("erased")), json_out_i64(o, c->log.erased);
    json_out_key(o, STR("outbox_waiting")), json_out_i64(o, c->log.waiting);
    json_out_end(o);
    json_out_end(o);
    printf("%.*s\n", STR_ARG(buf_str(&c->text)));
}

static void print_text(Checking *c)
{
    progress_end(&c->progress);
    Table t = table_new(c->app->arena, "counted|>rows");
    for (size_t i = 0; i < c->log.kind_count; i++) {
        table_add(&t, str_of(c->log.kinds[i].event->name));
        table_add_count(&t, c->log.kinds[i].rows);
    }
    table_add(&t, STR("events in the log"));
    table_add_count(&t, c->log.events);
    table_print(&t, stdout);
    if (c->log.waiting > 0)
        printf("%" PRId64 " outbox rows go into the log at the server's next step or start.\n",
               c->log.waiting);
    if (c->log.erased > 0)
        printf("%" PRId64
               " records of the log are erased: as many rows may be without their event.\n",
               c->log.erased);
    if (c->findings == 0)
        printf("All well: every balance equals its ledger, every count its rows, every event its "
               "row.\n");
    else
        printf("%" PRId64 " things are wrong.\n", c->findings);
}

int cmd_check(Config *config, int argc, char **argv)
{
    static const ArgOption OPTIONS[] = {{"--json", false}};
    const char *value[ARRAY_LEN(OPTIONS)];
    Args args;
    if (!args_read(argc, argv, OPTIONS, ARRAY_LEN(OPTIONS), value, &args))
        return 2;
    App app;
    if (!app_open(&app, config, BOOT_REPORT))
        return 1;
    Checking c = {.app = &app,
                  .json = value[0] != NULL,
                  .progress = progress_start(stderr),
                  .text = BUF_MAX(JSON_BYTES_MAX_OUT)};
    c.out = json_out(&c.text);
    json_out_object(&c.out);
    json_out_key(&c.out, STR("findings")), json_out_array(&c.out);
    const bool fits = schema_fits(&c);
    const Err err = fits ? check_all(&c) : ERR_CONFLICT;
    if (err == ERR_OK && c.json)
        print_json(&c);
    else if (err == ERR_OK)
        print_text(&c);
    else if (fits)
        app_complain(&app, "checking");
    buf_free(&c.text);
    app_close(&app);
    return err == ERR_OK && c.findings == 0 ? 0 : 1;
}
