/*
 * app/boot.c -- opens what a Tongdian is made of, in order, and closes it in reverse.
 */
#include "app/app.h"

#include "app/trust.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/keyring.h"
#include "base/log.h"
#include "engine/core/kernels.h"
#include "modules/audit/audit.h"
#include "modules/staff/staff.h"
#include "modules/staff/staff_http.h"
#include "newest.sql.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READERS_EXTRA = 6, WORK_DEADLINE_MS = 60000, SLOW_THREADS = 2 };

void app_complain(const App *app, const char *doing)
{
    const Fault *f = &app->ctx.fault;
    fprintf(stderr, "tongdian: %s: %s", doing, f->reason == NULL ? "failed" : f->reason);
    if (f->hint[0] != '\0')
        fprintf(stderr, ": %s", f->hint);
    else if (f->detail[0] != '\0')
        fprintf(stderr, ": %s", f->detail);
    fprintf(stderr, "\n");
}

static bool set_up_log(const Config *c)
{
    static const char *const NAMES[] = {"debug", "info", "warn", "error", "off"};
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++)
        if (str_eq(str_of(NAMES[i]), str_of(c->log_level))) {
            log_setup((LogLevel)i, str_eq(str_of(c->log_format), STR("json")));
            return true;
        }
    fprintf(stderr, "tongdian: --log-level is debug, info, warn or error, not %s\n", c->log_level);
    return false;
}

static bool set_up_clock(const Config *c)
{
    int64_t at_ms = 0;
    if (c->clock[0] == '\0')
        return true;
    if (!str_to_i64(str_of(c->clock), &at_ms) || at_ms <= 0) {
        fprintf(stderr, "tongdian: --clock takes milliseconds since 1970, not %s\n", c->clock);
        return false;
    }
    clock_set_ms(at_ms);
    return true;
}

static bool open_folder(const Config *c, BootLevel level)
{
    struct stat st;
    if (stat(c->data, &st) == 0 && S_ISDIR(st.st_mode))
        return true;
    if (level != BOOT_WRITE) {
        fprintf(stderr,
                "tongdian: there is no data folder %s: name it with --data, or make one "
                "with `tongdian serve` or `tongdian demo`\n",
                c->data);
        return false;
    }
    if (mkdir(c->data, 0700) == 0)
        return true;
    fprintf(stderr, "tongdian: can't make the data folder %s: %s\n", c->data, strerror(errno));
    return false;
}

Str app_key_file(Arena *arena, const Config *c)
{
    Str folder = str_of(c->data);
    if (c->key_file[0] != '\0')
        return str_of(c->key_file);
    while (folder.len > 1 && folder.ptr[folder.len - 1] == '/')
        folder.len--;
    return arena_printf(arena, "%.*s.key", STR_ARG(folder));
}

static Err open_keys(App *app, BootLevel level)
{
    const Str path = app_key_file(app->arena, &app->config);
    Err err = keyring_load(&app->ctx, path, &app->keys);
    if (err == ERR_NOT_FOUND && level == BOOT_WRITE) {
        TRY(keyring_create(&app->ctx, path));
        LOG(LOG_WARN, "keys.created", LOG_STR("file", path),
            LOG_C("note", "keep a copy apart from the data: without it nothing can be read"));
        err = keyring_load(&app->ctx, path, &app->keys);
    }
    app->ctx.keys = app->keys;
    return err;
}

Err app_ids_go_on(App *app)
{
    Row_newest_id newest;
    TRY(sql_newest_id(&app->ctx, &newest));
    id_go_on_after(newest.id);
    return ERR_OK;
}

static Err open_database(App *app, BootLevel level)
{
    const Config *c = &app->config;
    const bool postgres = c->db[0] != '\0';
    const DatabaseOptions options = {
        .url = postgres ? str_of(c->db) : arena_printf(app->arena, "%s/tongdian.db", c->data),
        .readers = (int)c->pool + SLOW_THREADS + (int)c->loops + READERS_EXTRA,
        .writers = 16};
    if (!postgres && level != BOOT_WRITE && access(options.url.ptr, F_OK) != 0)
        return fail_field(&app->ctx, "", "db.missing",
                          "there is no database in %s: is this the data folder?", c->data);
    TRY(database_open(&app->ctx, &options, &app->database));
    const SchemaSet schema = app_schema_set();
    if (level == BOOT_WRITE)
        TRY(schema_install_set(app->database, &app->ctx, &schema));
    app->ctx.db = database_reader_take(app->database);
    TRY(setting_load(&app->ctx, &app->settings));
    app->ctx.settings = &app->settings;
    return level == BOOT_WRITE ? app_ids_go_on(app) : ERR_OK;
}

static Err open_log(App *app)
{
    const Str folder = arena_printf(app->arena, "%s/events", app->config.data);
    if (mkdir(folder.ptr, 0700) != 0 && errno != EEXIST)
        return fail(&app->ctx, ERR_INTERNAL, "disk.failed", "%s: %s", folder.ptr, strerror(errno));
    const Str log = arena_printf(app->arena, "%.*s/log", STR_ARG(folder));
    const Err err = events_open(&app->ctx, log, &(EventsOptions){0}, &app->log);
    if (err == ERR_CONFLICT && str_eq(str_of(app->ctx.fault.reason), STR("file.locked")))
        (void)snprintf(
            app->ctx.fault.hint, sizeof app->ctx.fault.hint,
            "another tongdian is running on the data folder %s: stop it first, then try again",
            app->config.data);
    return err;
}

/* The log first: its lock keeps everybody else from writing to this folder. */
static bool open_parts(App *app, BootLevel level)
{
    const bool log = level != BOOT_REPORT;
    if (open_keys(app, level) != ERR_OK) {
        app_complain(app, "opening the key file");
        return false;
    }
    if (log && open_log(app) != ERR_OK) {
        app_complain(app, "opening the event log");
        return false;
    }
    if (open_database(app, level) != ERR_OK) {
        app_complain(app, "opening the database");
        return false;
    }
    if (log && outbox_open(&app->ctx, app->database, app->log, &app->outbox) != ERR_OK) {
        app_complain(app, "reading the outbox");
        return false;
    }
    if (log && erase_after_restore(app) != ERR_OK) {
        app_complain(app, "erasing once more who was erased since this backup");
        return false;
    }
    return true;
}

bool app_open(App *app, const Config *config, BootLevel level)
{
    *app = (App){.config = *config, .arena = arena_new(1 << 16)};
    if (!set_up_log(config) || !set_up_clock(config) || !open_folder(config, level))
        return false;
    id_set_node(level == BOOT_REPORT ? ID_NODE_MAX
                                     : (int)config->node); /* a server may be running */
    app->ctx = (Ctx){.arena = app->arena, .now_ms = clock_now_ms(), .who = &PRINCIPAL_OF_SYSTEM};
    if (open_parts(app, level))
        return true;
    app_close(app);
    return false;
}

void app_close(App *app)
{
    if (app->trust != NULL)
        http_stop(app->trust, 1000);
    request_stop(app->server, 10000);
    job_runner_stop(app->jobs);
    if (app->ctx.db != NULL)
        database_reader_give(app->database, app->ctx.db);
    database_close(app->database);
    outbox_close(app->outbox);
    columns_close(app);
    events_close(app->log);
    keyring_free(app->keys);
    arena_free(app->arena);
}

/* ---- periodic jobs ---------------------------------------------------------------------------------- */

enum { SEAL_ROWS = 500, OUTBOX_KEEP_MS = 60000 };

static Err seal_body(Tx *tx, void *arg)
{
    return audit_seal(tx, SEAL_ROWS, arg);
}

static Err job_seal(Ctx *ctx, Database *database, Str payload, void *arg)
{
    (void)payload;
    (void)arg;
    int64_t sealed = 0;
    do
        TRY(database_write(database, ctx, "audit.seal", seal_body, &sealed));
    while (sealed == SEAL_ROWS);
    return ERR_OK;
}

/* Nothing is deleted while a backup holds the lock: what it copies of the log may be older. */
static Err job_outbox(Ctx *ctx, Database *database, Str payload, void *arg)
{
    (void)database;
    (void)payload;
    App *app = arg;
    File hold = FILE_NONE;
    const Err held = file_open_locked(ctx, str_of(app->config.data), APP_BACKUP_HOLD, &hold);
    bool more = true;
    Err err = ERR_OK;
    while (more && err == ERR_OK)
        err = outbox_tend(ctx, app->outbox, held == ERR_OK ? OUTBOX_KEEP_MS : ctx->now_ms, &more);
    file_close(&hold);
    return err;
}

static Err rotate_body(Tx *tx, void *arg)
{
    return request_rotate(tx, arg);
}

static Err job_rotate(Ctx *ctx, Database *database, Str payload, void *arg)
{
    (void)payload;
    (void)arg;
    bool more = true;
    while (more)
        TRY(database_write(database, ctx, "request.rotate", rotate_body, &more));
    return ERR_OK;
}

static Err purge_body(Tx *tx, void *arg)
{
    return staff_session_purge(tx, arg);
}

static Err job_sessions(Ctx *ctx, Database *database, Str payload, void *arg)
{
    (void)payload;
    (void)arg;
    int64_t purged = 0;
    return database_write(database, ctx, "staff.purge", purge_body, &purged);
}

static JobKind job_kinds[] = {{"audit.seal", job_seal, NULL, 60000},
                              {"events.erase", erase_job, NULL, ERASE_EVERY_MS},
                              {"outbox.tend", job_outbox, NULL, 5000},
                              {"reply.rotate", job_rotate, NULL, 3600000},
                              {"session.purge", job_sessions, NULL, 3600000},
                              {0}};

/* ---- serving ---------------------------------------------------------------------------------------- */

/* "0.0.0.0:8080" of the option `name`. */
static bool split_listen(App *app, const char *name, Str listen, HttpOptions *http)
{
    int64_t colon = -1, port = 0;
    for (size_t i = 0; i < listen.len; i++)
        if (listen.ptr[i] == ':')
            colon = (int64_t)i;
    if (colon < 0 || !str_to_i64(str_slice(listen, (size_t)colon + 1, listen.len), &port) ||
        port < 0 || port > 65535) {
        fprintf(stderr, "tongdian: --%s takes ADDRESS:PORT, for example 0.0.0.0:8080\n", name);
        return false;
    }
    http->address = arena_copy(app->arena, str_slice(listen, 0, (size_t)colon)).ptr;
    http->port = (int)port;
    return true;
}

static Err start_requests(App *app, const HttpOptions *http)
{
    const RequestOptions options = {.database = app->database,
                                    .log = app->log,
                                    .keys = app->keys,
                                    .settings = &app->settings,
                                    .authenticate = staff_authenticate,
                                    .audit = audit_add,
                                    .doors = APP_DOORS,
                                    .contracts = APP_CONTRACTS,
                                    .extra = APP_EXTRA_ROUTES,
                                    .engine = &app->engine,
                                    .crew = app->crew,
                                    .pool_threads = (int)app->config.pool,
                                    .slow_threads = SLOW_THREADS,
                                    .work_deadline_ms = WORK_DEADLINE_MS,
                                    .http = *http};
    return request_start(&app->ctx, &options, &app->server);
}

static Err start_jobs(App *app)
{
    for (JobKind *k = job_kinds; k->name != NULL; k++)
        k->arg = app;
    const JobRunnerOptions options = {.database = app->database,
                                      .keys = app->keys,
                                      .settings = &app->settings,
                                      .kinds = job_kinds};
    return job_runner_start(&app->ctx, &options, &app->jobs);
}

/* The page that helps phones trust the local authority, when it is asked for. */
static bool start_trust(App *app)
{
    HttpOptions at = {0};
    if (app->config.trust_listen[0] == '\0')
        return true;
    if (!split_listen(app, "trust-listen", str_of(app->config.trust_listen), &at))
        return false;
    const Err err =
        trust_start(&app->ctx, str_of(app->config.tls_cert), at.address, at.port, &app->trust);
    if (err != ERR_OK)
        app_complain(app, "starting the trust page");
    else
        LOG(LOG_INFO, "trust.ready", LOG_C("address", at.address),
            LOG_I64("port", http_port(app->trust)));
    return err == ERR_OK;
}

bool app_serve(App *app)
{
    HttpOptions http = http_options_default();
    if (!split_listen(app, "listen", str_of(app->config.listen), &http))
        return false;
    http.loops = (int)app->config.loops;
    http.fallback = app_static;
    if (app->config.tls_cert[0] != '\0') {
        http.tls_cert_file = app->config.tls_cert;
        http.tls_key_file = app->config.tls_key;
    }
    app_routes_use(app);
    if (columns_open(app) != ERR_OK) { /* the log says why; tills need no engine */
    }
    if (start_jobs(app) != ERR_OK || start_requests(app, &http) != ERR_OK) {
        app_complain(app, "starting the server");
        return false;
    }
    if (!start_trust(app))
        return false;
    LOG(LOG_INFO, "server.ready", LOG_C("address", http.address),
        LOG_I64("port", http_port(request_http(app->server))), LOG_C("kernels", kernels()->name));
    return true;
}
