/*
 * bench/events_bench.c -- the event engine's side of `./run bench events`.
 *
 * Usage: events_bench generate EVENTS PERSONS FOLDER   makes FOLDER/events.csv for the peer, FOLDER/rows
 *        events_bench load FOLDER DATA                 puts the rows into an engine in DATA
 *        events_bench serve DATA THREADS               answers the questions on standard input
 *        events_bench names                            event names and channels, in the order of their numbers
 * Each prints JSON, one line per answer.  What load does, and how questions are written, say events_load.c
 * and events_serve.c.
 */
#include "events_bench.h"
#include "events_world.h"

#include "base/file.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

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

/* ---- generate ------------------------------------------------------------------------------------ */

static FILE *create(Ctx *ctx, Str folder, const char *name)
{
    FILE *file = fopen(arena_printf(ctx->arena, "%.*s/%s", STR_ARG(folder), name).ptr, "wb");
    if (file == NULL)
        die(name);
    CHECK(setvbuf(file, NULL, _IOFBF, 1 << 20) == 0);
    return file;
}

/* person, second, event name, channel, store, product, city, amount: integers, 0 = none. */
static void add_line(Buf *out, const WorldEvent *e)
{
    const int64_t fields[] = {e->person, e->at_s,    e->name, e->channel,
                              e->store,  e->product, e->city, e->amount_fen};
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        buf_add_i64(out, fields[i]);
        buf_add_char(out, i + 1 < ARRAY_LEN(fields) ? ',' : '\n');
    }
}

void bench_generate(Ctx *ctx, uint32_t events, uint32_t persons, Str folder)
{
    const World world = world_of(events, persons);
    WorldEvent *some = ARENA_ARRAY(ctx->arena, WorldEvent, WORLD_PERSON_EVENTS_MAX);
    Buf lines = BUF_MAX(WORLD_PERSON_EVENTS_MAX * 128);
    uint64_t count = 0;
    die_unless(file_make_folder(ctx, folder), ctx, "folder");
    if (file_remove(ctx, folder, STR("offers")) != ERR_OK) { /* there were none */
    }
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
    printf("],\"begin_s\":%" PRId64 ",\"days\":%d}\n", WORLD_BEGIN_S, WORLD_DAYS);
}

/* ---- the command line ---------------------------------------------------------------------------- */

static uint32_t number(const char *text, int64_t max)
{
    int64_t n = 0;
    if (!str_to_i64(str_of(text), &n) || n < 1 || n > max)
        die("a number is out of range");
    return (uint32_t)n;
}

int main(int argc, char **argv)
{
    Ctx ctx = {.arena = arena_new(1 << 20)};
    const Str command = argc > 1 ? str_of(argv[1]) : STR("");
    log_setup(LOG_WARN, false);
    if (str_eq(command, STR("generate")) && argc == 5) {
        bench_generate(&ctx, number(argv[2], 100000000), number(argv[3], 10000000),
                       str_of(argv[4]));
    } else if (str_eq(command, STR("load")) && argc == 4) {
        bench_load(&ctx, str_of(argv[2]), str_of(argv[3]));
    } else if (str_eq(command, STR("serve")) && argc == 4) {
        bench_serve(&ctx, str_of(argv[2]), number(argv[3], 64));
    } else if (str_eq(command, STR("names")) && argc == 2) {
        print_names();
    } else {
        fprintf(stderr, "usage: events_bench generate EVENTS PERSONS FOLDER | load FOLDER DATA |\n"
                        "       serve DATA THREADS | names\n");
        return 2;
    }
    arena_free(ctx.arena);
    return 0;
}
