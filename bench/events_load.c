/*
 * bench/events_load.c -- the rows become canonical events, and these go into an engine.
 *
 * They arrive in the order of time but for up to 30 s, and one in a hundred up to an hour late.  All are
 * encoded first, into FOLDER/offers, when it is not there yet; then they are offered in batches of 500, as the log's follower would,
 * so that the clock sees the engine alone.
 * Prints rates, the time that each kind of thread computed, and where the bytes are.
 */
#include "events_bench.h"
#include "events_world.h"

#include "base/clock.h"
#include "base/rand.h"
#include "engine/engine.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH = 500,
    JITTER_MS = 30000,
    LATE_MS = 3600000,
    INDEX_BITS = 27,   /* of an arrival: the row; its time stands above */
    EVENT_BYTES = 512, /* of one that is encoded, at most */
};

/* In front of every batch in the file. */
typedef struct BatchHead {
    uint32_t events, bytes;
} BatchHead;

typedef struct Rows {
    const WorldEvent *at;
    uint64_t count;
} Rows;

/* ---- the order of arrival ------------------------------------------------------------------------ */

static int ascending(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t *make_arrivals(const Rows *rows)
{
    Prng random = prng_of(1);
    uint64_t *arrivals = malloc((rows->count + 1) * sizeof *arrivals);
    CHECK(arrivals != NULL && rows->count < UINT64_C(1) << INDEX_BITS);
    for (uint64_t i = 0; i < rows->count; i++) {
        const bool late = prng_below(&random, 100) == 0;
        const uint64_t at_ms = (uint64_t)(rows->at[i].at_s - WORLD_BEGIN_S) * 1000 +
                               prng_below(&random, late ? LATE_MS : JITTER_MS);
        arrivals[i] = at_ms << INDEX_BITS | i;
    }
    qsort(arrivals, rows->count, sizeof *arrivals, ascending);
    return arrivals;
}

/* ---- encoding ------------------------------------------------------------------------------------ */

/* The texts that the numbers of a row stand for. */
typedef struct Texts {
    Str stores[WORLD_STORES + 1], products[WORLD_PRODUCTS + 1], cities[WORLD_CITIES + 1];
} Texts;

static Texts *make_texts(Ctx *ctx)
{
    Texts *t = ARENA_NEW(ctx->arena, Texts);
    for (uint32_t i = 1; i <= WORLD_STORES; i++)
        t->stores[i] = arena_printf(ctx->arena, "S%04u", i);
    for (uint32_t i = 1; i <= WORLD_PRODUCTS; i++)
        t->products[i] = arena_printf(ctx->arena, "SKU-%06u", i);
    for (uint32_t i = 1; i <= WORLD_CITIES; i++)
        t->cities[i] = arena_printf(ctx->arena, "city %u", i);
    return t;
}

static void encode(Ctx *ctx, const Texts *texts, const WorldEvent *row, int64_t received_ms,
                   Buf *out)
{
    const Event head = {
        .kind = EVENT_HAPPENED,
        .source = STR("bench"),
        .id = arena_printf(ctx->arena, "%u-%u", row->person, row->at_s),
        .name = world_name(row->name),
        .time_ms = (int64_t)row->at_s * 1000,
        .received_ms = received_ms,
        .actor = {STR("person"), arena_i64(ctx->arena, row->person)},
        .store = texts->stores[row->store],
    };
    EventBuilder *b = event_begin(ctx, &head);
    event_prop_text(b, STR("channel"), world_channel(row->channel));
    event_prop_text(b, STR("city"), texts->cities[row->city]);
    if (row->product != 0)
        event_prop_text(b, STR("sku"), texts->products[row->product]);
    if (row->amount_fen != 0)
        event_prop_money(b, STR("amount"), row->amount_fen);
    Event e;
    die_unless(event_end(b, &e), ctx, "event");
    event_encode(&e, out);
}

/* Everything in the order of arrival, batch behind batch. */
static void write_offers(Ctx *ctx, Str from, const Rows *rows)
{
    const Texts *texts = make_texts(ctx);
    uint64_t *arrivals = make_arrivals(rows);
    Ctx step = {.arena = arena_new(1 << 20)};
    Buf records = BUF_MAX(BATCH * EVENT_BYTES);
    FILE *out = fopen(arena_printf(ctx->arena, "%.*s/offers", STR_ARG(from)).ptr, "wb");
    if (out == NULL)
        die("offers cannot be written");
    for (uint64_t i = 0; i < rows->count;) {
        BatchHead head = {0};
        buf_clear(&records);
        for (; i < rows->count && head.events < BATCH; head.events++, i++) {
            const uint64_t row = arrivals[i] & ((UINT64_C(1) << INDEX_BITS) - 1);
            const int64_t received_ms = WORLD_BEGIN_S * 1000 + (int64_t)(arrivals[i] >> INDEX_BITS);
            encode(&step, texts, &rows->at[row], received_ms, &records);
        }
        arena_reset(step.arena);
        CHECK(!records.overflowed);
        head.bytes = (uint32_t)records.len;
        if (fwrite(&head, sizeof head, 1, out) != 1 ||
            fwrite(records.ptr, 1, records.len, out) != records.len)
            die("offers cannot be written");
    }
    if (fclose(out) != 0)
        die("offers cannot be written");
    buf_free(&records);
    arena_free(step.arena);
    free(arrivals);
}

/* ---- offering ------------------------------------------------------------------------------------ */

/* Gives the bytes of the events. */
static uint64_t offer_all(Engine *engine, Str offers)
{
    uint64_t seq = engine_next_seq(engine), bytes = 0;
    for (size_t at = 0; at < offers.len;) {
        BatchHead head;
        memcpy(&head, offers.ptr + at, sizeof head);
        at += sizeof head;
        (void)engine_offer(engine, seq, head.events, str_slice(offers, at, at + head.bytes));
        seq += head.events;
        at += head.bytes;
        bytes += head.bytes;
    }
    return bytes;
}

/* ---- what it cost -------------------------------------------------------------------------------- */

static double seconds_since(int64_t from_us)
{
    return (double)(clock_mono_us() - from_us) / 1e6;
}

static double own_cpu_s(void)
{
    struct timespec t;
    CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The first number or word of /proc/self/task/TASK/WHAT. */
static Str task_word(Ctx *ctx, const char *task, const char *what)
{
    char word[64] = "";
    FILE *file = fopen(arena_printf(ctx->arena, "/proc/self/task/%s/%s", task, what).ptr, "re");
    if (file == NULL)
        return STR("");
    const bool read = fscanf(file, "%63s", word) == 1;
    (void)fclose(file);
    return read ? arena_copy(ctx->arena, str_of(word)) : STR("");
}

/* Seconds of processor that the engine's threads have had, by their names, and the caller's. */
static void print_threads(Ctx *ctx, double offering_s)
{
    DIR *tasks = opendir("/proc/self/task");
    const Str self = arena_i64(ctx->arena, getpid());
    printf("\"cpu_s\":{\"offering\":%.3f", offering_s);
    for (struct dirent *d = NULL; tasks != NULL && (d = readdir(tasks)) != NULL;) {
        int64_t spent_ns = 0;
        if (d->d_name[0] == '.' || str_eq(str_of(d->d_name), self) ||
            !str_to_i64(task_word(ctx, d->d_name, "schedstat"), &spent_ns))
            continue;
        printf(",\"%.*s\":%.3f", STR_ARG(task_word(ctx, d->d_name, "comm")),
               (double)spent_ns / 1e9);
    }
    printf("},");
    if (tasks != NULL)
        (void)closedir(tasks);
}

static Str prop_name(Schema *names, uint32_t prop)
{
    switch (prop) {
    case PROP_MS:
        return STR("milliseconds");
    case PROP_EVENT:
        return STR("name of the rest");
    case PROP_SOURCE:
        return STR("source");
    case PROP_STORE:
        return STR("store");
    case PROP_RECEIVED:
        return STR("received");
    default:
        return schema_prop_name(names, prop);
    }
}

/* Bytes of all files by what they hold.  The tables: whatever is neither keys, sequence nor column. */
static void print_bytes(Ctx *ctx, Engine *engine, Str data)
{
    uint64_t columns[PROP_FIRST + 64] = {0}, keys = 0, sequence = 0, known = 0;
    EngineStat stat;
    Str names_file;
    engine_stat(engine, &stat);
    ScanView *view = engine_view(engine);
    Schema *names = engine_schema_lock(engine);
    for (uint32_t p = 0; p < view->part_count; p++) {
        const Part *part = view->parts[p];
        sequence += part->head->sequence_bytes;
        for (uint32_t i = 0; i < part->head->list_count; i++)
            keys += part->lists[i].keys_bytes;
        for (uint32_t i = 0; i < part->head->column_count; i++) {
            CHECK(part->columns[i].prop < ARRAY_LEN(columns));
            columns[part->columns[i].prop] += part->columns[i].bytes;
        }
    }
    printf("\"bytes\":{\"keys\":%" PRIu64 ",\"sequence\":%" PRIu64, keys, sequence);
    for (uint32_t prop = 0; prop < ARRAY_LEN(columns); prop++) {
        if (columns[prop] > 0)
            printf(",\"%.*s\":%" PRIu64, STR_ARG(prop_name(names, prop)), columns[prop]);
        known += columns[prop];
    }
    engine_schema_unlock(engine);
    engine_view_done(view);
    die_unless(file_load(ctx, data, STR("names"), 1 << 30, &names_file), ctx, "names");
    printf(",\"tables\":%" PRIu64 ",\"ids\":%" PRIu64 ",\"names\":%zu},",
           stat.file_bytes - keys - sequence - known, stat.id_bytes, names_file.len);
}

void bench_load(Ctx *ctx, Str from, Str data)
{
    File file = FILE_NONE;
    Str bytes, offers;
    Engine *engine = NULL;
    EngineStat stat;
    die_unless(file_open(ctx, from, STR("rows"), FILE_READ, &file), ctx, "rows");
    die_unless(file_map(ctx, file, &bytes), ctx, "rows");
    file_close(&file);
    const Rows rows = {(const void *)bytes.ptr, bytes.len / sizeof(WorldEvent)};
    int64_t from_us = clock_mono_us();
    if (file_open(ctx, from, STR("offers"), FILE_READ, &file) != ERR_OK)
        write_offers(ctx, from, &rows);
    else
        file_close(&file);
    printf("{\"events\":%" PRIu64 ",\"encode_s\":%.3f,", rows.count, seconds_since(from_us));
    file_unmap(bytes);
    die_unless(file_open(ctx, from, STR("offers"), FILE_READ, &file), ctx, "offers");
    die_unless(file_map(ctx, file, &offers), ctx, "offers");
    file_close(&file);
    const EngineOptions options = {.origin_ms = BENCH_ORIGIN_MS};
    die_unless(engine_open(ctx, data, &options, &engine), ctx, "engine");
    from_us = clock_mono_us();
    const double before_s = own_cpu_s();
    printf("\"offered_bytes\":%" PRIu64 ",", offer_all(engine, offers));
    printf("\"offer_s\":%.3f,", seconds_since(from_us));
    die_unless(engine_flush(ctx, engine), ctx, "flush");
    printf("\"flush_s\":%.3f,", seconds_since(from_us));
    die_unless(engine_settle(ctx, engine), ctx, "settle");
    printf("\"settle_s\":%.3f,", seconds_since(from_us));
    print_threads(ctx, own_cpu_s() - before_s);
    print_bytes(ctx, engine, data);
    engine_stat(engine, &stat);
    printf("\"parts\":%u,\"stored\":%" PRIu64 ",\"written_bytes\":%" PRIu64 "}\n", stat.file_parts,
           stat.events, stat.bytes_written);
    file_unmap(offers);
    engine_close(engine);
}
