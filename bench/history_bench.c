/*
 * bench/history_bench.c -- the native half of `./run bench history`: years of events in no order.
 *
 * Usage: history_bench make EVENTS WEEKS FILE   lines of JSON, as `tongdian events import` takes them
 *        history_bench append FILE DATA         the same into DATA's event log as they come, 8,192 at a time
 *        history_bench read DATA                columns made of DATA's event log, in DATA/events/engine
 * The last two print JSON.  Processor time is that of the whole process.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/rand.h"
#include "engine/engine.h"
#include "events/events.h"
#include "modules/event/event_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 8192, BATCH_BYTES = 8 * 1024 * 1024, LINE_BYTES = 1024, QUIET_US = 2000000 };
#define WEEK_MS INT64_C(604800000)

static void die_unless(Err err, const Ctx *ctx, const char *what)
{
    if (err == ERR_OK)
        return;
    fprintf(stderr, "%s: %s %s %s\n", what, ctx->fault.reason, ctx->fault.hint, ctx->fault.detail);
    exit(1);
}

static double cpu_s(void)
{
    struct timespec t;
    CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds_since(int64_t from_us)
{
    return (double)(clock_mono_us() - from_us) / 1e6;
}

/* ---- make ------------------------------------------------------------------------------------------ */

static const char *const NAMES[] = {"Page Viewed",    "Page Viewed",    "Product Viewed",
                                    "Product Viewed", "Product Added",  "App Opened",
                                    "Store Visited",  "Order Completed"};
static const char *const CHANNELS[] = {"web", "push", "ad", "sms", "email", "mini-program", "shop"};

static uint32_t draw(Prng *random, uint32_t below)
{
    return (uint32_t)prng_below(random, below);
}

static void make(int64_t events, int64_t weeks, const char *path)
{
    Prng random = prng_of(16);
    const int64_t end_ms = clock_now_ms() / WEEK_MS * WEEK_MS;
    const uint32_t persons = (uint32_t)(events / 20 + 1);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && setvbuf(file, NULL, _IOFBF, 1 << 20) == 0);
    for (int64_t i = 0; i < events; i++) {
        const uint32_t name = draw(&random, ARRAY_LEN(NAMES));
        const int64_t back_s = (int64_t)draw(&random, (uint32_t)(weeks * WEEK_MS / 1000)) + 1;
        fprintf(
            file,
            "{\"id\":\"h-%" PRId64 "\",\"name\":\"%s\",\"time\":%" PRId64
            ",\"actor\":{\"kind\":\"member\",\"value\":\"%u\"},\"properties\":{\"channel\":\"%s\","
            "\"city\":\"city %u\"",
            i, NAMES[name], end_ms - back_s * 1000, 1000000 + draw(&random, persons),
            CHANNELS[draw(&random, ARRAY_LEN(CHANNELS))], draw(&random, 300));
        if (name >= 2)
            fprintf(file, ",\"sku\":\"SKU-%06u\"", draw(&random, 20000));
        if (name == 7)
            fprintf(file, ",\"amount\":%u.%02u", draw(&random, 500), draw(&random, 100));
        fputs("}}\n", file);
    }
    CHECK(fclose(file) == 0);
}

/* ---- append ---------------------------------------------------------------------------------------- */

static Err may_say(Ctx *ctx, EventKind kind)
{
    (void)ctx;
    (void)kind;
    return ERR_OK;
}

static Str folder_in(Ctx *ctx, const char *data, const char *name)
{
    const Str folder = arena_printf(ctx->arena, "%s/events/%s", data, name);
    die_unless(file_make_folder(ctx, folder), ctx, "folder");
    return folder;
}

static EventsLog *open_log(Ctx *ctx, const char *data)
{
    EventsLog *log = NULL;
    die_unless(events_open(ctx, folder_in(ctx, data, "log"), &(EventsOptions){0}, &log), ctx,
               "log");
    return log;
}

static void append_lines(Ctx *ctx, FILE *file, EventsLog *log)
{
    const EventReading how = {
        .source = STR("history"), .received_ms = clock_now_ms(), .may = may_say};
    Buf records = BUF_MAX(BATCH_BYTES);
    char line[LINE_BYTES];
    int64_t events = 0;
    bool more = true;
    while (more) {
        JsonValue root;
        Event e;
        more = fgets(line, sizeof line, file) != NULL;
        if (more) {
            die_unless(json_open(ctx, str_of(line), &root), ctx, "line");
            die_unless(event_read(ctx, &how, root, &e), ctx, "event");
            event_encode(&e, &records);
            events++;
        }
        if (records.len == 0 || (more && events % BATCH != 0))
            continue;
        die_unless(events_append(ctx, log, buf_str(&records), NULL), ctx, "append");
        buf_clear(&records);
        arena_reset(ctx->arena);
    }
    buf_free(&records);
}

static void append(Ctx *ctx, const char *path, const char *data)
{
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    EventsLog *log = open_log(ctx, data);
    Ctx step = {.arena = arena_new(1 << 20), .now_ms = clock_now_ms()};
    const int64_t from_us = clock_mono_us();
    append_lines(&step, file, log);
    events_close(log);
    printf("{\"s\":%.3f,\"cpu_s\":%.3f}\n", seconds_since(from_us), cpu_s());
    arena_free(step.arena);
    (void)fclose(file);
}

/* ---- read ------------------------------------------------------------------------------------------ */

static bool offer(uint64_t first_seq, uint32_t count, Str records, void *arg)
{
    return engine_offer(arg, first_seq, count, records);
}

/* No file has a number twice: the largest one says how many were made. */
static int64_t files_made(Ctx *ctx, Str folder)
{
    Str *names = NULL;
    size_t count = 0;
    int64_t most = 0, n = 0;
    die_unless(file_list(ctx, folder, &names, &count), ctx, "folder");
    for (size_t i = 0; i < count; i++)
        if (str_ends_with(names[i], STR(".part")) &&
            str_to_i64(str_slice(names[i], 0, names[i].len - 5), &n) && n > most)
            most = n;
    return most;
}

/* Until no file was made for a while. */
static void wait_until_quiet(Engine *engine)
{
    EngineStat stat;
    uint64_t written = UINT64_MAX;
    for (;;) {
        engine_stat(engine, &stat);
        if (stat.bytes_written == written)
            return;
        written = stat.bytes_written;
        (void)usleep(QUIET_US);
    }
}

static void print_state(Ctx *ctx, Engine *engine, Str folder, const char *name, int64_t from_us)
{
    EngineStat stat;
    engine_stat(engine, &stat);
    printf("\"%s\":{\"s\":%.3f,\"cpu_s\":%.3f,\"written\":%" PRIu64 ",\"made\":%" PRId64
           ",\"files\":%u,\"bytes\":%" PRIu64 "}",
           name, seconds_since(from_us), cpu_s(), stat.bytes_written, files_made(ctx, folder),
           stat.file_parts, stat.file_bytes + stat.id_bytes);
}

static void read_log(Ctx *ctx, const char *data)
{
    Engine *engine = NULL;
    EngineStat stat;
    EventsLog *log = open_log(ctx, data);
    const Str folder = folder_in(ctx, data, "engine");
    const EngineOptions options = {.origin_ms = 4 * INT64_C(86400000)};
    die_unless(engine_open(ctx, folder, &options, &engine), ctx, "engine");
    const EventsFollower follower = {.read = offer, .live = offer, .arg = engine};
    const int64_t from_us = clock_mono_us();
    die_unless(events_follow(ctx, log, 1, &follower), ctx, "follow");
    engine_set_complete(engine);
    die_unless(engine_flush(ctx, engine), ctx, "flush");
    const int64_t read_us = clock_mono_us();
    wait_until_quiet(engine);
    engine_stat(engine, &stat);
    printf("{\"events\":%" PRIu64 ",\"read_s\":%.3f,", stat.events,
           (double)(read_us - from_us) / 1e6);
    print_state(ctx, engine, folder, "quiet", from_us);
    die_unless(engine_settle(ctx, engine), ctx, "settle");
    printf(",");
    print_state(ctx, engine, folder, "settled", from_us);
    printf("}\n");
    events_unfollow(log);
    engine_close(engine);
    events_close(log);
}

int main(int argc, char **argv)
{
    int64_t events = 0, weeks = 0;
    const Str verb = argc > 1 ? str_of(argv[1]) : STR("");
    Ctx ctx = {.arena = arena_new(1 << 20), .now_ms = clock_now_ms()};
    log_setup(LOG_OFF, false);
    if (argc == 5 && str_eq(verb, STR("make")) && str_to_i64(str_of(argv[2]), &events) &&
        str_to_i64(str_of(argv[3]), &weeks))
        make(events, weeks, argv[4]);
    else if (argc == 4 && str_eq(verb, STR("append")))
        append(&ctx, argv[2], argv[3]);
    else if (argc == 3 && str_eq(verb, STR("read")))
        read_log(&ctx, argv[2]);
    else
        return 2;
    arena_free(ctx.arena);
    return 0;
}
