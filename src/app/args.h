/*
 * app/args.h -- a command's own words: its options as a table, and what is left.
 *
 * The options of every command (config.c) are gone from argv before.
 */
#pragma once

#include "base/str.h"

typedef struct ArgOption {
    const char *name; /* "--map" */
    bool has_value;
} ArgOption;

enum { ARGS_REST_MAX = 256 };

typedef struct Args {
    const char *
        *value; /* per option: its value, "" for a flag that is there, NULL when it is not */
    const char *rest[ARGS_REST_MAX];
    size_t rest_count;
} Args;

/* Reads argv[1..argc).  `value` has a place per option.  False when a word is unknown, lacks its value or is
 * one too many: a sentence was printed. */
bool args_read(int argc, char **argv, const ArgOption *options, size_t count, const char **value,
               Args *out);
