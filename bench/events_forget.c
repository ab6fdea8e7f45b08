/*
 * bench/events_forget.c -- what it costs that whoever was erased leaves every file of the columns.
 *
 * The folder has been loaded and changed: the engine reads what the log has of links and erasures, writes its files, and
 * then forgets.  Only the last is measured, once with files to merge, and once of what is left to do: nothing.
 */
#include "events_bench.h"

#include "base/clock.h"
#include "engine/engine.h"
#include "events/events.h"

#include <stdio.h>

static bool offer(uint64_t first_seq, uint32_t count, Str records, void *arg)
{
    return engine_offer(arg, first_seq, count, records);
}

static void say_progress(uint32_t done, uint32_t of, void *arg)
{
    (void)arg;
    fprintf(stderr, "%u of %u files\n", done, of);
}

static void forget(Ctx *ctx, Engine *engine)
{
    EngineStat before, after;
    const int64_t from_us = clock_mono_us();
    const double cpu_from_s = program_cpu_s();
    engine_stat(engine, &before);
    die_unless(engine_forget(ctx, engine, say_progress, NULL), ctx, "forget");
    engine_stat(engine, &after);
    printf("{\"events\":%" PRIu64 ",\"files\":%u,\"file_bytes\":%" PRIu64
           ",\"actors\":%u,\"written_bytes\":%" PRIu64
           ",\"forget_s\":%.3f,\"forget_cpu_s\":%.3f}\n",
           before.events, before.file_parts, before.file_bytes, before.health.erased_waiting,
           after.bytes_written - before.bytes_written, (double)(clock_mono_us() - from_us) / 1e6,
           program_cpu_s() - cpu_from_s);
}

void bench_forget(Ctx *ctx, Str data)
{
    EventsLog *log = NULL;
    Engine *engine = NULL;
    const Str log_folder = arena_printf(ctx->arena, "%.*s/events/log", STR_ARG(data));
    const EngineOptions options = {.log_folder = log_folder};
    die_unless(events_open(ctx, log_folder, &(EventsOptions){0}, &log), ctx, "log");
    die_unless(engine_open(ctx, arena_printf(ctx->arena, "%.*s/events/engine", STR_ARG(data)),
                           &options, &engine),
               ctx, "engine");
    const EventsFollower follower = {.read = offer, .live = offer, .arg = engine};
    die_unless(events_follow(ctx, log, engine_next_seq(engine), &follower), ctx, "follow");
    die_unless(engine_flush(ctx, engine), ctx, "flush");
    forget(ctx, engine);
    forget(ctx, engine);
    events_close(log);
    engine_close(engine);
}
