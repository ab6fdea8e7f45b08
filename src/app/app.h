/*
 * app/app.h -- wiring: what a running Tongdian is made of.  The one layer that names every room.
 */
#pragma once

#define TONGDIAN_VERSION "0.1.0"

#include "db/db_migrate.h"
#include "events/events.h"
#include "jobs/job.h"
#include "jobs/outbox.h"
#include "modules/setting/setting.h"
#include "request/request.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- config.c: options from the command line and the environment --------------------------------- */

typedef struct Config {
    const char *data;     /* data folder */
    const char *db;       /* postgres://... or "" = SQLite in the data folder */
    const char *key_file; /* "" = DATA.key beside the folder */
    const char *listen;   /* ADDRESS:PORT */
    const char *log_level;
    const char *log_format; /* text or json */
    const char *clock; /* "" = the machine's; else milliseconds since 1970: stands there (tests) */
    const char *tls_cert, *tls_key;
    const char *trust_listen; /* ADDRESS:PORT of the trust page; "" = none */
    const char *web;          /* folder of the built pages; "" = those inside the program */
    int64_t node;
    int64_t loops;
    int64_t pool;
    int64_t engine; /* 0 = none */
    int64_t engine_rows;
    const char *kernels;
} Config;

/*
 * Reads `--name value`, `--name=value` and TONGDIAN_NAME; what is no option stays in argv[0..argc).
 * False when an option is unknown or its value wrong: a sentence was printed.
 */
bool config_read(Config *c, int *argc, char **argv);

/* Nobody gave this option. */
bool config_is_default(const Config *c, const char *name);

/* The options with their defaults and help, for `--help`. */
void config_print_help(void);

/* ---- boot.c ---------------------------------------------------------------------------------------- */

typedef struct App {
    Config config;
    Arena *arena;
    Ctx ctx; /* of the main thread; ctx.db reads */
    struct Keyring *keys;
    Settings settings;
    Database *database;
    EventsLog *log;
    Outbox *outbox;
    struct Engine *_Atomic engine; /* NULL = there is none, or it is not open yet */
    struct Crew *crew;
    struct Columns *columns; /* lets the engine follow the log; NULL = nobody does */
    RequestServer *server;
    HttpServer *trust; /* NULL = not asked for */
    JobRunner *jobs;
} App;

/* How much to open. */
typedef enum BootLevel {
    BOOT_REPORT, /* keys and database only, so also beside a running server; the folder must exist */
    BOOT_READ,   /* and the event log; schema is not touched */
    BOOT_WRITE,  /* installs or migrates the schema, makes what is missing */
} BootLevel;

/* Opens keys, event log, database.  Prints what is wrong and what to do, closes again, and returns false. */
bool app_open(App *app, const Config *config, BootLevel level);
void app_close(App *app);

/* Ids from now on come after the newest of the database; BOOT_WRITE has done it.  For a command that writes
 * beside a server, with the tables in place. */
MUST_USE Err app_ids_go_on(App *app);

/* Where the master keys lie. */
Str app_key_file(Arena *arena, const Config *c);

/* A file in the data folder: while a backup has it locked, no outbox row is deleted. */
#define APP_BACKUP_HOLD STR("backup.hold")

/* Starts HTTP and jobs on an open app. */
bool app_serve(App *app);

/* Prints ctx.fault as a sentence on standard error. */
void app_complain(const App *app, const char *doing);

/* ---- columns.c ------------------------------------------------------------------------------------- */

/* Opens the event engine in the data folder and lets it follow the log; what cannot be used is made again.  Errors: of
 * the first try, INTERNAL "disk.failed", BUSY "disk.full"; whoever goes on without it need not care: it is tried again
 * every few seconds. */
MUST_USE Err columns_open(App *app);

typedef enum ColumnsState {
    COLUMNS_OFF,     /* nobody wants them */
    COLUMNS_CLOSED,  /* they could not be opened yet */
    COLUMNS_READING, /* what is in the log already */
    COLUMNS_READY,   /* to be asked */
} ColumnsState;
ColumnsState columns_state(const App *app);

/* Opens it as it is, without following or changing anything: to look at it. */
MUST_USE Err columns_look(App *app);

/* The same beside a server, which may merge files meanwhile. */
MUST_USE Err columns_look_beside(App *app);

/* The same for questions, also beside a running server: with what only the log has, in memory, and a crew.  Errors
 * besides those of engine_open(): BUSY "query.reading" (more than fits), "query.closed" (columns of another log, or that
 * have not heard of an erasure which the log has done). */
MUST_USE Err columns_look_now(App *app);
void columns_close(App *app); /* before the log */

/* ---- erase.c --------------------------------------------------------------------------------------- */

/* Segments are rewritten when somebody has waited for a day; a job works this long every ten minutes. */
enum { ERASE_WAIT_MS = 86400000, ERASE_WORK_MS = 20000, ERASE_EVERY_MS = 600000 };

typedef struct EraseHow {
    int64_t wait_ms; /* 0 = nobody waits */
    int64_t work_ms; /* so long at most; 0 = until all is done, in the columns, too */
    void (*report)(uint32_t done, uint32_t of, void *arg); /* engine_forget(); may be NULL */
} EraseHow;

/* *sum: of all steps, see events_erase(), whose errors these are, and those of engine_forget(); CONFLICT "file.locked"
 * while a backup is made. */
MUST_USE Err erase_run(App *app, Ctx *ctx, const EraseHow *how, EventsErased *sum);
MUST_USE Err erase_job(Ctx *ctx, Database *database, Str payload, void *app);

/* Whom a newer log had erased is erased in this older one before anybody reads it. */
MUST_USE Err erase_after_restore(App *app);

/* ---- routes.c -------------------------------------------------------------------------------------- */

extern const Door *const APP_DOORS[];
extern const ApiContract *const APP_CONTRACTS[];
extern const SqlSchema *const APP_SCHEMAS[];
extern const size_t APP_SCHEMA_COUNT;
SchemaSet app_schema_set(void); /* with the migrations/ that were built in */
extern const HttpRoute APP_EXTRA_ROUTES[];
HttpWhen app_static(HttpExchange *x);
void app_routes_use(App *app); /* whose numbers /metrics and /healthz show */

/* ---- commands -------------------------------------------------------------------------------------- */

typedef struct Command {
    const char *name;
    const char *arguments; /* for the usage line */
    const char *help;      /* one line */
    int (*run)(Config *config, int argc, char **argv);
} Command;

/* Opens and serves until SIGINT or SIGTERM; `ready` (may be NULL) is called once it answers.  Returns the
 * process's status. */
int serve_until_stopped(const Config *config, void (*ready)(const App *app));

int cmd_serve(Config *config, int argc, char **argv);
int cmd_user(Config *config, int argc, char **argv);
int cmd_key(Config *config, int argc, char **argv);
int cmd_import(Config *config, int argc, char **argv);
int cmd_demo(Config *config, int argc, char **argv);
int cmd_report(Config *config, int argc, char **argv);
int cmd_export(Config *config, int argc, char **argv);
int cmd_check(Config *config, int argc, char **argv);
int cmd_backup(Config *config, int argc, char **argv);
int cmd_restore(Config *config, int argc, char **argv);
int cmd_events(Config *config, int argc, char **argv);
int cmd_query(Config *config, int argc, char **argv);
int cmd_migrate(Config *config, int argc, char **argv);
int cmd_tls(Config *config, int argc, char **argv);
