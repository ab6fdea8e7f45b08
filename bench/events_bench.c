/*
 * bench/events_bench.c -- the native half of `./run bench events`.
 *
 * Usage: events_bench names                                  what the world is made of, and the kernels' name
 *        events_bench generate EVENTS PERSONS FOLDER         makes FOLDER/events.csv and FOLDER/rows for the peers
 *        events_bench load FOLDER DATA ORIGIN_MS engine|log [EVENTS]
 *                                                            puts the rows into DATA/events/ (events_load.c)
 *        events_bench change DATA PERSONS AT_MS              links and erases persons there (events_load.c)
 *        events_bench forget DATA                            those erased leave every file (events_forget.c)
 *        events_bench settle DATA                            merges there as the background does in time
 *        events_bench ask PORT PID [HEADER...]               asks a server over one kept connection (events_ask.c)
 *        events_bench drop FOLDER                            the page cache forgets the files in it
 * Each prints JSON, one line per answer; what takes long says on standard error how far it is.
 */
#include "events_bench.h"
#include "events_world.h"

#include "base/file.h"
#include "base/log.h"
#include "engine/core/kernels.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

void die(const char *what)
{
    fprintf(stderr, "events_bench: %s\n", what);
    exit(1);
}

void die_unless(Err err, const Ctx *ctx, const char *what)
{
    if (err == ERR_OK)
        return;
    fprintf(stderr, "%s: %s %s %s\n", what, ctx->fault.reason, ctx->fault.hint, ctx->fault.detail);
    exit(1);
}

Str map_file(Ctx *ctx, Str folder, Str name)
{
    File file = FILE_NONE;
    Str bytes;
    die_unless(file_open(ctx, folder, name, FILE_READ, &file), ctx, name.ptr);
    die_unless(file_map(ctx, file, &bytes), ctx, name.ptr);
    file_close(&file);
    return bytes;
}

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    CHECK(clock_gettime(clock, &t) == 0);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double thread_cpu_s(void)
{
    return seconds_of(CLOCK_THREAD_CPUTIME_ID);
}

double program_cpu_s(void)
{
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

/* ---- generate ------------------------------------------------------------------------------------ */

static FILE *create(Ctx *ctx, Str folder, const char *name)
{
    FILE *file = fopen(arena_printf(ctx->arena, "%.*s/%s", STR_ARG(folder), name).ptr, "wb");
    if (file == NULL)
        die(name);
    CHECK(setvbuf(file, NULL, _IOFBF, 1 << 20) == 0);
    return file;
}

/* person, second, amount, store, product, city, event name, channel: integers, 0 = none.  The order is that of
 * WorldEvent, so that both files fill the same table. */
static void add_line(Buf *out, const WorldEvent *e)
{
    const int64_t fields[] = {e->person,  e->at_s, e->amount_fen, e->store,
                              e->product, e->city, e->name,       e->channel};
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        buf_add_i64(out, fields[i]);
        buf_add_char(out, i + 1 < ARRAY_LEN(fields) ? ',' : '\n');
    }
}

static void generate(Ctx *ctx, uint32_t events, uint32_t persons, Str folder)
{
    const World world = world_of(events, persons);
    WorldEvent *some = ARENA_ARRAY(ctx->arena, WorldEvent, WORLD_PERSON_EVENTS_MAX);
    Buf lines = BUF_MAX(WORLD_PERSON_EVENTS_MAX * 128);
    uint64_t count = 0;
    die_unless(file_make_folder(ctx, folder), ctx, "folder");
    FILE *rows = create(ctx, folder, "rows"), *csv = create(ctx, folder, "events.csv");
    for (uint32_t person = 0; person < persons; person++) {
        const uint32_t n = world_person(&world, person, some);
        buf_clear(&lines);
        for (uint32_t i = 0; i < n; i++)
            add_line(&lines, &some[i]);
        CHECK(!lines.overflowed);
        if (fwrite(some, sizeof *some, n, rows) != n ||
            fwrite(lines.ptr, 1, lines.len, csv) != lines.len)
            die("the files cannot be written");
        count += n;
    }
    if (fclose(rows) != 0 || fclose(csv) != 0)
        die("the files cannot be written");
    buf_free(&lines);
    printf("{\"events\":%" PRIu64 ",\"persons\":%u}\n", count, persons);
}

/* ---- names --------------------------------------------------------------------------------------- */

static void print_names(void)
{
    printf("{\"names\":[");
    for (uint32_t i = 0; i < WORLD_NAMES; i++)
        printf("%s\"%.*s\"", i == 0 ? "" : ",", STR_ARG(world_name(i)));
    printf("],\"channels\":[");
    for (uint32_t i = 1; i <= WORLD_CHANNELS; i++)
        printf("%s\"%.*s\"", i == 1 ? "" : ",", STR_ARG(world_channel(i)));
    printf("],\"stores\":%d,\"products\":%d,\"cities\":%d", WORLD_STORES, WORLD_PRODUCTS,
           WORLD_CITIES);
    printf(",\"begin_s\":%" PRId64 ",\"days\":%d", WORLD_BEGIN_S, WORLD_DAYS);
    printf(",\"change\":{\"every\":%d,\"linked\":%d,\"erased\":%d}", CHANGE_EVERY, CHANGE_LINKED,
           CHANGE_ERASED);
    printf(",\"kernels\":\"%s\"}\n", kernels()->name);
}

/* ---- drop ---------------------------------------------------------------------------------------- */

static int drop_file(const char *path, const struct stat *stat, int type, struct FTW *where)
{
    (void)stat;
    (void)where;
    const int fd = type == FTW_F ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return 0;
    /* What is not on disk yet cannot be forgotten. */
    const bool done = fdatasync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0;
    (void)close(fd);
    return done ? 0 : 1;
}

static void drop_all(Str folder)
{
    if (nftw(folder.ptr, drop_file, 16, FTW_PHYS) != 0)
        die("the page cache cannot be dropped");
    printf("{}\n");
}

/* ---- the command line ---------------------------------------------------------------------------- */

enum { EVENTS_MAX = 120000000, PERSONS_MAX = 10000000 };

static int64_t number(const char *text, int64_t max)
{
    int64_t n = 0;
    if (!str_to_i64(str_of(text), &n) || n < -max || n > max)
        die("a number is out of range");
    return n;
}

static void run_names(Ctx *ctx, int argc, char **argv)
{
    (void)ctx;
    (void)argc;
    (void)argv;
    print_names();
}

static void run_generate(Ctx *ctx, int argc, char **argv)
{
    (void)argc;
    generate(ctx, (uint32_t)number(argv[0], EVENTS_MAX), (uint32_t)number(argv[1], PERSONS_MAX),
             str_of(argv[2]));
}

static void run_load(Ctx *ctx, int argc, char **argv)
{
    const LoadOptions options = {.from = str_of(argv[0]),
                                 .data = str_of(argv[1]),
                                 .origin_ms = number(argv[2], INT64_MAX),
                                 .log_only = str_eq(str_of(argv[3]), STR("log")),
                                 .events_max =
                                     argc < 5 ? UINT64_MAX : (uint64_t)number(argv[4], EVENTS_MAX)};
    bench_load(ctx, &options);
}

static void run_change(Ctx *ctx, int argc, char **argv)
{
    (void)argc;
    const ChangeOptions options = {.data = str_of(argv[0]),
                                   .persons = (uint32_t)number(argv[1], PERSONS_MAX),
                                   .at_ms = number(argv[2], INT64_MAX)};
    bench_change(ctx, &options);
}

static void run_forget(Ctx *ctx, int argc, char **argv)
{
    (void)argc;
    bench_forget(ctx, str_of(argv[0]));
}

static void run_settle(Ctx *ctx, int argc, char **argv)
{
    (void)argc;
    bench_settle(ctx, str_of(argv[0]));
}

static void run_ask(Ctx *ctx, int argc, char **argv)
{
    bench_ask(ctx, (uint16_t)number(argv[0], UINT16_MAX), (int32_t)number(argv[1], INT32_MAX),
              argv + 2, argc - 2);
}

static void run_drop(Ctx *ctx, int argc, char **argv)
{
    (void)ctx;
    (void)argc;
    drop_all(str_of(argv[0]));
}

static const struct {
    Str name;
    int min, max; /* words behind it */
    void (*run)(Ctx *ctx, int argc, char **argv);
} COMMANDS[] = {
    {{"names", 5}, 0, 0, run_names},   {{"generate", 8}, 3, 3, run_generate},
    {{"load", 4}, 4, 5, run_load},     {{"change", 6}, 3, 3, run_change},
    {{"settle", 6}, 1, 1, run_settle}, {{"forget", 6}, 1, 1, run_forget},
    {{"ask", 3}, 2, 8, run_ask},       {{"drop", 4}, 1, 1, run_drop},
};

int main(int argc, char **argv)
{
    Ctx ctx = {.arena = arena_new(1 << 20)};
    const Str command = argc > 1 ? str_of(argv[1]) : STR("");
    const int words = argc - 2;
    log_setup(LOG_WARN, false);
    for (size_t i = 0; i < ARRAY_LEN(COMMANDS); i++) {
        if (!str_eq(command, COMMANDS[i].name) || words < COMMANDS[i].min ||
            words > COMMANDS[i].max)
            continue;
        COMMANDS[i].run(&ctx, words, argv + 2);
        arena_free(ctx.arena);
        return 0;
    }
    fprintf(stderr, "events_bench: see the head of bench/events_bench.c\n");
    return 2;
}
