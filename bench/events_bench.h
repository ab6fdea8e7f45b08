/*
 * bench/events_bench.h -- what the parts of the program share.
 */
#pragma once

#include "base/ctx.h"

/* Ends the program with what went wrong. */
void die_unless(Err err, const Ctx *ctx, const char *what);
_Noreturn void die(const char *what);

/* Each is one subcommand; see events_bench.c. */
void bench_generate(Ctx *ctx, uint32_t events, uint32_t persons, Str folder);
void bench_load(Ctx *ctx, Str from, Str data);
void bench_serve(Ctx *ctx, Str data, uint32_t threads);

/* When the weeks of the engine begin: Monday, 2024-12-30T00:00:00Z. */
#define BENCH_ORIGIN_MS INT64_C(1735516800000)
