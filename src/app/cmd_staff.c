/*
 * app/cmd_staff.c -- `tongdian user` and `tongdian key`: accounts and keys from the terminal.
 */
#include "app/app.h"

#include "modules/staff/staff.h"

#include <stdio.h>
#include <termios.h>
#include <unistd.h>

/* The value of `--name VALUE` among a command's own words, or `preset`. */
static const char *option(int argc, char **argv, const char *name, const char *preset)
{
    for (int i = 1; i + 1 < argc; i++)
        if (str_eq(str_of(argv[i]), str_of(name)))
            return argv[i + 1];
    return preset;
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
    return staff_create(tx, &u->staff, u->hash, &u->staff.id);
}

static int add_user(App *app, int argc, char **argv)
{
    char password[STAFF_PASSWORD_BYTES_MAX + 2];
    if (argc < 3 || argv[2][0] == '-') {
        fprintf(stderr, "Usage: tongdian user add LOGIN [--name NAME] [--role ROLE]\n");
        return 2;
    }
    if (!read_password(password, sizeof password)) {
        fprintf(stderr, "tongdian: type a password, or pipe one in\n");
        return 2;
    }
    NewUser u = {.staff = {.login = str_of(argv[2]),
                           .name = str_of(option(argc, argv, "--name", argv[2])),
                           .role = str_of(option(argc, argv, "--role", "owner"))}};
    if (staff_password_prepare(&app->ctx, u.staff.login, str_of(password), &u.hash) != ERR_OK ||
        database_write(app->database, &app->ctx, "user.add", add_user_body, &u) != ERR_OK) {
        app_complain(app, "adding the account");
        return 1;
    }
    printf("%s may now sign in as %.*s.\n", argv[2], STR_ARG(u.staff.role));
    return 0;
}

static int list_users(App *app)
{
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
    return staff_set_password(tx, u->staff.id, u->hash);
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
    printf("The password of %s is changed; its sessions have ended.\n", argv[2]);
    return 0;
}

int cmd_user(Config *config, int argc, char **argv)
{
    App app;
    const Str what = argc > 1 ? str_of(argv[1]) : STR("list");
    if (!app_open(&app, config, BOOT_WRITE))
        return 1;
    int status = 2;
    if (str_eq(what, STR("add")))
        status = add_user(&app, argc, argv);
    else if (str_eq(what, STR("list")))
        status = list_users(&app);
    else if (str_eq(what, STR("password")))
        status = set_password(&app, argc, argv);
    else
        fprintf(stderr, "tongdian: user knows add, list and password, not %.*s\n", STR_ARG(what));
    app_close(&app);
    return status;
}

/* ---- key --------------------------------------------------------------------------------------------- */

typedef struct NewKey {
    StaffKey key;
    char text[STAFF_KEY_BYTES];
} NewKey;

static Err add_key_body(Tx *tx, void *arg)
{
    NewKey *k = arg;
    return staff_key_create(tx, &k->key, &k->key.id, k->text);
}

static int add_key(App *app, int argc, char **argv)
{
    if (argc < 3 || argv[2][0] == '-') {
        fprintf(stderr, "Usage: tongdian key add NAME [--role ROLE]\n");
        return 2;
    }
    NewKey k = {.key = {.name = str_of(argv[2]),
                        .role = str_of(option(argc, argv, "--role", "integrator"))}};
    if (database_write(app->database, &app->ctx, "key.add", add_key_body, &k) != ERR_OK) {
        app_complain(app, "making the key");
        return 1;
    }
    fprintf(stderr, "Keep this key, it is shown only once:\n");
    printf("%s\n", k.text);
    return 0;
}

static int list_keys(App *app)
{
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
    return staff_key_revoke(tx, *(const int64_t *)arg);
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
    printf("Revoked.\n");
    return 0;
}

int cmd_key(Config *config, int argc, char **argv)
{
    App app;
    const Str what = argc > 1 ? str_of(argv[1]) : STR("list");
    if (!app_open(&app, config, BOOT_WRITE))
        return 1;
    int status = 2;
    if (str_eq(what, STR("add")))
        status = add_key(&app, argc, argv);
    else if (str_eq(what, STR("list")))
        status = list_keys(&app);
    else if (str_eq(what, STR("revoke")))
        status = revoke_key(&app, argc, argv);
    else
        fprintf(stderr, "tongdian: key knows add, list and revoke, not %.*s\n", STR_ARG(what));
    app_close(&app);
    return status;
}
