/*
 * app/args.c -- reading a command's own words.
 */
#include "app/args.h"

#include <stdio.h>

static const ArgOption *find(const ArgOption *options, size_t count, Str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(str_of(options[i].name), name))
            return &options[i];
    return NULL;
}

/* The option at argv[i]; *used = how many words it is, 0 = it is wrong. */
static void read_option(int argc, char **argv, int i, const ArgOption *options, size_t count,
                        const char **value, int *used)
{
    const Str word = str_of(argv[i]);
    const int64_t equals = str_index(word, '=', 0);
    const Str name = equals < 0 ? word : str_slice(word, 0, (size_t)equals);
    const ArgOption *o = find(options, count, name);
    *used = 0;
    if (o == NULL) {
        fprintf(stderr, "tongdian: %s does not know %.*s: see `tongdian %s --help`\n", argv[0],
                STR_ARG(name), argv[0]);
        return;
    }
    if (o->has_value && equals < 0 && i + 1 == argc) {
        fprintf(stderr, "tongdian: %s needs a value\n", o->name);
        return;
    }
    if (!o->has_value && equals >= 0) {
        fprintf(stderr, "tongdian: %s takes no value\n", o->name);
        return;
    }
    *used = o->has_value && equals < 0 ? 2 : 1;
    value[o - options] = !o->has_value ? "" : equals >= 0 ? argv[i] + equals + 1 : argv[i + 1];
}

bool args_read(int argc, char **argv, const ArgOption *options, size_t count, const char **value,
               Args *out)
{
    *out = (Args){.value = value};
    for (size_t i = 0; i < count; i++)
        value[i] = NULL;
    for (int i = 1; i < argc;) {
        int used = 1;
        if (str_starts_with(str_of(argv[i]), STR("--"))) {
            read_option(argc, argv, i, options, count, value, &used);
            if (used == 0)
                return false;
        } else if (out->rest_count < ARGS_REST_MAX) {
            out->rest[out->rest_count++] = argv[i];
        } else {
            fprintf(stderr, "tongdian: %s: one word too many: %s\n", argv[0], argv[i]);
            return false;
        }
        i += used;
    }
    return true;
}
