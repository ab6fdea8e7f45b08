/*
 * app/app.h -- wiring: what a running Tongdian is made of.  The one layer that names every room.
 */
#pragma once

#include "db/db_migrate.h"
#include "events/events.h"
#include "jobs/job.h"
#include "jobs/outbox.h"
#include "modules/setting/setting.h"
#include "request/request.h"

/* ---- config.c: options from the command line and the environment --------------------------------- */

typedef struct Config {
    const char *data;     /* data folder */
    const char *db;       /* postgres://... or "" = SQLite in the data folder */
    const char *key_file; /* "" = DATA.key beside the folder */
    const char *listen;   /* ADDRESS:PORT */
    const char *log_level;
    const char *log_format; /* text or json */
    const char *clock;      /* "" = the machine's; else RFC 3339: stands there (tests) */
    const char *tls_cert, *tls_key;
    const char *web; /* folder of the built pages; "" = those inside the program */
    int64_t node;
    int64_t loops;
    int64_t pool;
} Config;

/*
 * Reads `--name value`, `--name=value` and TONGDIAN_NAME; what is no option stays in argv[0..argc).
 * False when an option is unknown or its value wrong: a sentence was printed.
 */
bool config_read(Config *c, int *argc, char **argv);

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
    RequestServer *server;
    JobRunner *jobs;
} App;

/* How much to open. */
typedef enum BootLevel {
    BOOT_READ,  /* the folder must exist; schema is not touched */
    BOOT_WRITE, /* installs or migrates the schema, makes what is missing */
} BootLevel;

/* Opens keys, database, event log.  Prints what is wrong and what to do, and returns false. */
bool app_open(App *app, const Config *config, BootLevel level);
void app_close(App *app);

/* Starts HTTP and jobs on an open app. */
bool app_serve(App *app);

/* Prints ctx.fault as a sentence on standard error. */
void app_complain(const App *app, const char *doing);

/* ---- routes.c -------------------------------------------------------------------------------------- */

extern const Door *const APP_DOORS[];
extern const ApiContract *const APP_CONTRACTS[];
extern const SqlSchema *const APP_SCHEMAS[];
extern const size_t APP_SCHEMA_COUNT;
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

int cmd_serve(Config *config, int argc, char **argv);
int cmd_user(Config *config, int argc, char **argv);
int cmd_key(Config *config, int argc, char **argv);
