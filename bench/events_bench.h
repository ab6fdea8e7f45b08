/*
 * bench/events_bench.h -- what the parts of the program share.
 */
#pragma once

#include "base/ctx.h"

/* Ends the program with what went wrong. */
void die_unless(Err err, const Ctx *ctx, const char *what);
_Noreturn void die(const char *what);

/* A whole file, to be given back with file_unmap(). */
Str map_file(Ctx *ctx, Str folder, Str name);

/* Seconds of processor: of the calling thread, of the whole program. */
double thread_cpu_s(void);
double program_cpu_s(void);

typedef struct LoadOptions {
    Str from;          /* the folder with "rows" */
    Str data;          /* the data folder; its events/ is filled */
    int64_t origin_ms; /* when some week of the chain begins */
    bool log_only;
    uint64_t events_max; /* of the rows, those that arrive first */
} LoadOptions;

typedef struct ChangeOptions {
    Str data;
    uint32_t persons;
    int64_t at_ms;
} ChangeOptions;

/* Each is one subcommand; see events_bench.c. */
void bench_load(Ctx *ctx, const LoadOptions *options);
void bench_change(Ctx *ctx, const ChangeOptions *options);
void bench_forget(Ctx *ctx, Str data);
void bench_settle(Ctx *ctx, Str data);
void bench_ask(Ctx *ctx, uint16_t port, int32_t pid, char **headers, int header_count);

/* Of each hundred persons one is linked to the next one, and another one erased. */
enum { CHANGE_EVERY = 100, CHANGE_LINKED = 3, CHANGE_ERASED = 57 };
