/*
 * app/config.c -- options: one table row each, which drives parsing, the environment and the help.
 */
#include "app/app.h"

#include "base/id.h"

#include <stdio.h>
#include <stdlib.h>

typedef enum OptionType { OPTION_TEXT, OPTION_NUMBER } OptionType;

typedef struct Option {
    const char *name;
    OptionType type;
    size_t at; /* in Config */
    const char *preset;
    int64_t low, high;
    const char *help;
} Option;

#define TEXT(n, field, preset, help)                                                               \
    {                                                                                              \
        n, OPTION_TEXT, offsetof(Config, field), preset, 0, 0, help                                \
    }
#define NUMBER(n, field, preset, low, high, help)                                                  \
    {                                                                                              \
        n, OPTION_NUMBER, offsetof(Config, field), preset, low, high, help                         \
    }

static const Option OPTIONS[] = {
    TEXT("data", data, "tongdian-data", "data folder"),
    TEXT("db", db, "", "postgres://... ; without it SQLite in the data folder"),
    TEXT("key-file", key_file, "", "master keys; default: the data folder's name with .key"),
    TEXT("listen", listen, "127.0.0.1:8080", "address and port of the HTTP server"),
    TEXT("tls-cert", tls_cert, "", "certificate (PEM); with it the server speaks HTTPS"),
    TEXT("tls-key", tls_key, "", "private key of the certificate (PEM)"),
    TEXT("trust-listen", trust_listen, "",
         "address and port of the page that helps phones trust --tls-cert"),
    TEXT("web", web, "", "folder of built pages, instead of those inside the program"),
    TEXT("log-level", log_level, "info", "debug, info, warn, error"),
    TEXT("log-format", log_format, "text", "text or json"),
    TEXT("clock", clock, "", "a fixed instant in milliseconds since 1970, for tests"),
    NUMBER("node", node, "0", 0, ID_NODE_MAX - 1,
           "number of this process among several on one database"),
    NUMBER("loops", loops, "1", 1, 16, "HTTP threads"),
    NUMBER("pool", pool, "2", 1, 64, "threads for reports, passwords and the like"),
    NUMBER("engine", engine, "1", 0, 1, "0 = without the event engine: POST /v1/query is closed"),
    NUMBER("engine-rows", engine_rows, "262144", 256, 4194304,
           "events that the event engine keeps in memory before it writes files"),
    TEXT("kernels", kernels, "auto",
         "instructions that the event engine computes with: auto, avx512, avx2 or plain"),
};

static const Option *find_option(Str name)
{
    for (size_t i = 0; i < ARRAY_LEN(OPTIONS); i++)
        if (str_eq(str_of(OPTIONS[i].name), name))
            return &OPTIONS[i];
    return NULL;
}

static bool set_option(Config *c, const Option *o, const char *value)
{
    if (o->type == OPTION_TEXT) {
        *(const char **)(void *)((char *)c + o->at) = value;
        return true;
    }
    int64_t v = 0;
    if (!str_to_i64(str_of(value), &v) || v < o->low || v > o->high) {
        fprintf(stderr, "tongdian: --%s takes a number from %" PRId64 " to %" PRId64 ", not %s\n",
                o->name, o->low, o->high, value);
        return false;
    }
    *(int64_t *)(void *)((char *)c + o->at) = v;
    return true;
}

/* TONGDIAN_KEY_FILE for --key-file. */
static const char *environment_of(const Option *o)
{
    char name[64] = "TONGDIAN_";
    size_t at = 9;
    for (const char *p = o->name; *p != '\0' && at < sizeof name - 1; p++)
        name[at++] = *p == '-' ? '_' : (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    name[at] = '\0';
    return getenv(name);
}

/* One `--name=value` or `--name value` at argv[i]; *used = how many words. */
static bool read_option(Config *c, int argc, char **argv, int i, int *used)
{
    const Str word = str_slice(str_of(argv[i]), 2, SIZE_MAX);
    const int64_t equals = str_index(word, '=', 0);
    const Str name = equals < 0 ? word : str_slice(word, 0, (size_t)equals);
    const Option *o = find_option(name);
    if (o == NULL) {
        *used = 0; /* the command's own */
        return true;
    }
    if (equals < 0 && i + 1 == argc) {
        fprintf(stderr, "tongdian: --%s needs a value: %s\n", o->name, o->help);
        return false;
    }
    *used = equals < 0 ? 2 : 1;
    return set_option(c, o, equals < 0 ? argv[i + 1] : argv[i] + 2 + equals + 1);
}

bool config_read(Config *c, int *argc, char **argv)
{
    for (size_t i = 0; i < ARRAY_LEN(OPTIONS); i++) {
        const char *env = environment_of(&OPTIONS[i]);
        if (!set_option(c, &OPTIONS[i], env == NULL ? OPTIONS[i].preset : env))
            return false;
    }
    int kept = 0;
    for (int i = 0; i < *argc;) {
        int used = 0;
        if (str_starts_with(str_of(argv[i]), STR("--")) && !read_option(c, *argc, argv, i, &used))
            return false;
        if (used == 0) {
            argv[kept++] = argv[i];
            used = 1;
        }
        i += used;
    }
    *argc = kept;
    return true;
}

bool config_is_default(const Config *c, const char *name)
{
    const Option *o = find_option(str_of(name));
    CHECK(o != NULL && o->type == OPTION_TEXT);
    const char *const *value = (const void *)((const char *)c + o->at);
    return *value == o->preset; /* what somebody gave is another text, even if it reads the same */
}

void config_print_help(void)
{
    printf("Options of every command (also as TONGDIAN_NAME in the environment):\n");
    for (size_t i = 0; i < ARRAY_LEN(OPTIONS); i++)
        printf("  --%-12s %s%s%s%s\n", OPTIONS[i].name, OPTIONS[i].help,
               OPTIONS[i].preset[0] == '\0' ? "" : " [", OPTIONS[i].preset,
               OPTIONS[i].preset[0] == '\0' ? "" : "]");
}
