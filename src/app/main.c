/*
 * app/main.c -- the command line: a table of commands.
 */
#include "app/app.h"

#include "base/log.h"
#include "engine/core/kernels.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

static int cmd_version(Config *config, int argc, char **argv)
{
    (void)config;
    (void)argc;
    (void)argv;
    printf("tongdian " TONGDIAN_VERSION "\n");
    return 0;
}

static const Command COMMANDS[] = {
    {"serve", "", "run the server", cmd_serve},
    {"demo", "[--once] [--source DIR] [--map FILE]", "a real chain's year, imported and served",
     cmd_demo},
    {"import", "--map FILE DIR [--dry-run] [--rejects FILE] [--json]",
     "data of tills, shops and members, by a mapping file", cmd_import},
    {"report", "[overview | campaigns | campaign CODE | stores] [--json]",
     "sales, coupons and what campaigns brought", cmd_report},
    {"export", "people|orders|coupons|redemptions|events [--format csv|jsonl] [--out FILE]",
     "data for other programs", cmd_export},
    {"user", "add LOGIN --role ROLE [--store CODE] | list | password LOGIN", "accounts of people",
     cmd_user},
    {"key", "add NAME --role ROLE [--store CODE] | list | revoke ID", "keys for machines", cmd_key},
    {"check", "[--json]", "every balance against its ledger, every event against its row",
     cmd_check},
    {"events",
     "[stat [--json] | verify | erase [KIND VALUE]]\n"
     "       tongdian events import FILE... [--source NAME] [--map FILE] [--rejects FILE] [--temp FOLDER]\n"
     "                              [--memory MB] [--dry-run] [--json]",
     "the event log and its columns, and years of history into it; stat and verify also beside a running server",
     cmd_events},
    {"query", "--json FILE|- [--table]",
     "one question about all events, as POST /v1/query takes it; - is standard input", cmd_query},
    {"backup", "--out DIR", "a copy of everything but the keys, also while the server runs",
     cmd_backup},
    {"restore", "--from DIR [--erased DIR]", "a data folder from a backup", cmd_restore},
    {"migrate", "[--status]", "bring the tables to this program's version", cmd_migrate},
    {"tls", "init | renew [--host NAME,ADDRESS...] [--out DIR]",
     "a certificate authority of your own, for HTTPS in the shops", cmd_tls},
    {"version", "", "print the version", cmd_version},
};

static int usage(FILE *to, int status)
{
    fprintf(to, "Tongdian 通店: one customer in every shop, online and off.\n\n"
                "Usage: tongdian COMMAND [options]\n\nCommands:\n");
    for (size_t i = 0; i < ARRAY_LEN(COMMANDS); i++)
        fprintf(to, "  %-9s %s\n", COMMANDS[i].name, COMMANDS[i].help);
    fprintf(to, "\n`tongdian COMMAND --help` says more about one.\n\n");
    return status;
}

/* A process of many sockets, whose writes to closed ones are errors, not signals. */
static void prepare_process(void)
{
    struct rlimit files;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)umask(S_IRWXG | S_IRWXO); /* what it writes is nobody else's */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (str_eq(str_of(argv[i]), STR("--help")) || str_eq(str_of(argv[i]), STR("-h")))
            return true;
    return false;
}

static bool choose_kernels(const char *name)
{
    if (str_eq(str_of(name), STR("auto")) || kernels_force(str_of(name)))
        return true;
    fprintf(
        stderr,
        "tongdian: --kernels takes auto, or one that this processor has (here the best is %s, and plain "
        "is everywhere), not %s\n",
        kernels()->name, name);
    return false;
}

int main(int argc, char **argv)
{
    Config config;
    prepare_process();
    if (!config_read(&config, &argc, argv) || !choose_kernels(config.kernels))
        return 2;
    const char *name = argc > 1 ? argv[1] : "help";
    for (size_t i = 0; i < ARRAY_LEN(COMMANDS); i++) {
        if (!str_eq(str_of(COMMANDS[i].name), str_of(name)))
            continue;
        if (!wants_help(argc, argv))
            return COMMANDS[i].run(&config, argc - 1, argv + 1);
        printf("Usage: tongdian %s %s\n\n%s\n\n", COMMANDS[i].name, COMMANDS[i].arguments,
               COMMANDS[i].help);
        config_print_help();
        return 0;
    }
    if (argc < 2 || str_eq(str_of(name), STR("help")) || wants_help(argc, argv)) {
        (void)usage(stdout, 0);
        config_print_help();
        return 0;
    }
    fprintf(stderr, "tongdian: there is no command %s\n\n", name);
    return usage(stderr, 2);
}
