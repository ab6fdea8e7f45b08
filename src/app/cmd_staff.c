/*
 * app/cmd_staff.c -- `tongdian user` and `tongdian key`: accounts and keys from the terminal.
 *
 * They need the database only, so they work beside a running server; its memory of sessions and keys is
 * at most STAFF_CACHE_MS old.  Each change is audited as the system's.
 */
#include "app/app.h"

#include "modules/audit/audit.h"
#include "modules/staff/staff.h"
#include "modules/store/store.h"

#include <stdio.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

/* The first command on a new data folder makes what is missing; all others leave the event log alone. */
static bool open_for_staff(App *app, const Config *config)
{
    char log[4096];
    struct stat st;
    const int n = snprintf(log, sizeof log, "%s/events", config->data);
    const bool there = n > 0 && (size_t)n < sizeof log && stat(log, &st) == 0;
    if (!app_open(app, config, there ? BOOT_REPORT : BOOT_WRITE))
        return false;
    if (app_ids_go_on(app) == ERR_OK)
        return true;
    app_complain(app, "looking for the newest id");
    app_close(app);
    return false;
}

/* `tongdian user add ...`: what follows the command chooses one of these; `list` when nothing does. */
typedef struct Verb {
    const char *name;
    int (*run)(App *app, int argc, char **argv);
} Verb;

static int run_verb(Config *config, int argc, char **argv, const Verb *verbs)
{
    App app;
    const Str what = argc > 1 ? str_of(argv[1]) : STR("list");
    const Verb *v = verbs;
    while (v->name != NULL && !str_eq(what, str_of(v->name)))
        v++;
    if (v->name == NULL) {
        fprintf(stderr, "tongdian: %s does not know \"%.*s\"; it knows:", argv[0], STR_ARG(what));
        for (v = verbs; v->name != NULL; v++)
            fprintf(stderr, " %s", v->name);
        fprintf(stderr, "\n");
        return 2;
    }
    if (!open_for_staff(&app, config))
        return 1;
    const int status = v->run(&app, argc, argv);
    app_close(&app);
    return status;
}

/* The same action as the door that does the same. */
static Err audit(Tx *tx, Str door, int64_t object)
{
    return audit_add(tx, door, object, STR("command line"));
}

/* The value of `--name VALUE` among a command's own words, or `preset`. */
static const char *option(int argc, char **argv, const char *name, const char *preset)
{
    for (int i = 1; i + 1 < argc; i++)
        if (str_eq(str_of(argv[i]), str_of(name)))
            return argv[i + 1];
    return preset;
}

/* The shops of every `--store CODE`.  False when one is not there or names none: a sentence was printed. */
static bool read_stores(App *app, int argc, char **argv, const int64_t **stores, size_t *count)
{
    int64_t *ids = ARENA_ARRAY(app->arena, int64_t, (size_t)argc);
    *count = 0;
    for (int i = 1; i < argc; i++) {
        if (!str_eq(str_of(argv[i]), STR("--store")))
            continue;
        const char *code = i + 1 < argc ? argv[++i] : "";
        if (store_by_code(&app->ctx, str_of(code), &ids[*count]) != ERR_OK) {
            app_complain(app, "looking for the shop");
            return false;
        }
        if (ids[(*count)++] == 0) {
            fprintf(stderr, "tongdian: there is no shop with the code \"%s\"\n", code);
            return false;
        }
    }
    *stores = ids;
    return true;
}

/* Reads one line without echo; from a pipe it is just read. */
static bool read_password(char *out, size_t bytes)
{
    struct termios before, quiet;
    const bool terminal = tcgetattr(STDIN_FILENO, &before) == 0;
    if (terminal) {
        fprintf(stderr, "Password: ");
        quiet = before;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    const bool got = fgets(out, (int)bytes, stdin) != NULL;
    if (terminal) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        fprintf(stderr, "\n");
    }
    const int64_t end = got ? str_index(str_of(out), '\n', 0) : -1;
    if (end >= 0)
        out[end] = '\0';
    return got && out[0] != '\0';
}

/* ---- user -------------------------------------------------------------------------------------------- */

typedef struct NewUser {
    Staff staff;
    Str hash;
} NewUser;

static Err add_user_body(Tx *tx, void *arg)
{
    NewUser *u = arg;
    TRY(staff_create(tx, &u->staff, u->hash, &u->staff.id));
    return audit(tx, STR("staff_create"), u->staff.id);
}

static int add_user(App *app, int argc, char **argv)
{
    char password[STAFF_PASSWORD_BYTES_MAX + 2];
    if (argc < 3 || argv[2][0] == '-') {
        fprintf(stderr,
                "Usage: tongdian user add LOGIN [--name NAME] [--role ROLE] [--store CODE]...\n");
        return 2;
    }
    NewUser u = {.staff = {.login = str_of(argv[2]),
                           .name = str_of(option(argc, argv, "--name", argv[2])),
                           .role = str_of(option(argc, argv, "--role", "owner"))}};
    if (!read_stores(app, argc, argv, &u.staff.stores, &u.staff.store_count))
        return 1;
    if (!read_password(password, sizeof password)) {
        fprintf(stderr, "tongdian: type a password, or pipe one in\n");
        return 2;
    }
    if (staff_password_prepare(&app->ctx, u.staff.login, str_of(password), &u.hash) != ERR_OK ||
        database_write(app->database, &app->ctx, "user.add", add_user_body, &u) != ERR_OK) {
        app_complain(app, "adding the account");
        return 1;
    }
    printf("%s may now sign in as %.*s.\n", argv[2], STR_ARG(u.staff.role));
    return 0;
}

static int list_users(App *app, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    Staff *staff = NULL;
    size_t n = 0;
    if (staff_list(&app->ctx, &staff, &n) != ERR_OK) {
        app_complain(app, "listing accounts");
        return 1;
    }
    for (size_t i = 0; i < n; i++)
        printf("%-20.*s %-12.*s %.*s%s\n", STR_ARG(staff[i].login), STR_ARG(staff[i].role),
               STR_ARG(staff[i].name), staff[i].disabled ? "  (disabled)" : "");
    return 0;
}

static Err set_password_body(Tx *tx, void *arg)
{
    const NewUser *u = arg;
    TRY(staff_set_password(tx, u->staff.id, u->hash));
    return audit(tx, STR("staff_password"), u->staff.id);
}

static int set_password(App *app, int argc, char **argv)
{
    char password[STAFF_PASSWORD_BYTES_MAX + 2];
    Staff *staff = NULL;
    size_t n = 0, at = 0;
    if (argc < 3 || staff_list(&app->ctx, &staff, &n) != ERR_OK) {
        fprintf(stderr, "Usage: tongdian user password LOGIN\n");
        return 2;
    }
    while (at < n && !str_eq(staff[at].login, str_of(argv[2])))
        at++;
    if (at == n) {
        fprintf(stderr, "tongdian: there is no account %s: see `tongdian user list`\n", argv[2]);
        return 1;
    }
    if (!read_password(password, sizeof password))
        return 2;
    NewUser u = {.staff = staff[at]};
    if (staff_password_prepare(&app->ctx, u.staff.login, str_of(password), &u.hash) != ERR_OK ||
        database_write(app->database, &app->ctx, "user.password", set_password_body, &u) !=
            ERR_OK) {
        app_complain(app, "setting the password");
        return 1;
    }
    printf("The password of %s is changed; its sessions have ended (on a running server within %d "
           "seconds).\n",
           argv[2], STAFF_CACHE_MS / 1000);
    return 0;
}

int cmd_user(Config *config, int argc, char **argv)
{
    static const Verb VERBS[] = {
        {"add", add_user}, {"list", list_users}, {"password", set_password}, {0}};
    return run_verb(config, argc, argv, VERBS);
}

/* ---- key --------------------------------------------------------------------------------------------- */

typedef struct NewKey {
    StaffKey key;
    char text[STAFF_KEY_BYTES];
} NewKey;

static Err add_key_body(Tx *tx, void *arg)
{
    NewKey *k = arg;
    TRY(staff_key_create(tx, &k->key, &k->key.id, k->text));
    return audit(tx, STR("staff_key_create"), k->key.id);
}

static int add_key(App *app, int argc, char **argv)
{
    if (argc < 3 || argv[2][0] == '-') {
        fprintf(stderr, "Usage: tongdian key add NAME [--role ROLE] [--store CODE]...\n");
        return 2;
    }
    NewKey k = {.key = {.name = str_of(argv[2]),
                        .role = str_of(option(argc, argv, "--role", "integrator"))}};
    if (!read_stores(app, argc, argv, &k.key.stores, &k.key.store_count))
        return 1;
    if (database_write(app->database, &app->ctx, "key.add", add_key_body, &k) != ERR_OK) {
        app_complain(app, "making the key");
        return 1;
    }
    fprintf(stderr, "Keep this key, it is shown only once:\n");
    printf("%s\n", k.text);
    return 0;
}

static int list_keys(App *app, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    StaffKey *keys = NULL;
    size_t n = 0;
    if (staff_key_list(&app->ctx, &keys, &n) != ERR_OK) {
        app_complain(app, "listing keys");
        return 1;
    }
    for (size_t i = 0; i < n; i++)
        printf("%" PRId64 "  ...%.*s  %-12.*s %.*s%s\n", keys[i].id, STR_ARG(keys[i].hint),
               STR_ARG(keys[i].role), STR_ARG(keys[i].name),
               keys[i].revoked_ms == 0 ? "" : "  (revoked)");
    return 0;
}

static Err revoke_body(Tx *tx, void *arg)
{
    const int64_t id = *(const int64_t *)arg;
    TRY(staff_key_revoke(tx, id));
    return audit(tx, STR("staff_key_revoke"), id);
}

static int revoke_key(App *app, int argc, char **argv)
{
    int64_t id = 0;
    if (argc < 3 || !str_to_i64(str_of(argv[2]), &id)) {
        fprintf(stderr, "Usage: tongdian key revoke ID   (see `tongdian key list`)\n");
        return 2;
    }
    if (database_write(app->database, &app->ctx, "key.revoke", revoke_body, &id) != ERR_OK) {
        app_complain(app, "revoking the key");
        return 1;
    }
    printf("Revoked (a running server refuses it within %d seconds).\n", STAFF_CACHE_MS / 1000);
    return 0;
}

int cmd_key(Config *config, int argc, char **argv)
{
    static const Verb VERBS[] = {
        {"add", add_key}, {"list", list_keys}, {"revoke", revoke_key}, {0}};
    return run_verb(config, argc, argv, VERBS);
}
