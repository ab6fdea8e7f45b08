/*
 * bench/events_load.c -- the rows become canonical events, and these go into a data folder.
 *
 * They arrive in the order of time but for up to 30 s, and one in a hundred up to an hour late.  Each batch is
 * appended to the log as a server would do it, and given to the engine once the log has it on disk; while one
 * is synced the next one is encoded.  At the end every week is one file, as it is after the weeks have passed.
 *
 * Prints what it took: wall seconds, and seconds of processor without those of the encoding, which in a server
 * the door does.
 */
#include "events_bench.h"
#include "events_world.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/rand.h"
#include "engine/engine.h"
#include "events/events.h"

#include <dirent.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    BATCH = 8192,
    JITTER_MS = 30000,
    LATE_MS = 3600000,
    INDEX_BITS = 27,   /* of an arrival: the row; its time stands above */
    EVENT_BYTES = 512, /* of one that is encoded, at most */
    TELL_S = 10,       /* between two lines about how far it is */
};

typedef struct Rows {
    const WorldEvent *at;
    uint64_t count;
} Rows;

/* ---- the order of arrival ------------------------------------------------------------------------ */

enum { RADIX_BITS = 16 };

/* Ascending; `other` has as much room.  The result is in `at`. */
static void radix_sort(uint64_t *at, uint64_t *other, uint64_t n)
{
    uint64_t *places = malloc(sizeof *places << RADIX_BITS);
    CHECK(places != NULL);
    for (int shift = 0; shift < 64; shift += RADIX_BITS) {
        uint64_t sum = 0;
        memset(places, 0, sizeof *places << RADIX_BITS);
        for (uint64_t i = 0; i < n; i++)
            places[at[i] >> shift & ((1U << RADIX_BITS) - 1)]++;
        for (uint32_t digit = 0; digit < 1U << RADIX_BITS; digit++) {
            const uint64_t count = places[digit];
            places[digit] = sum;
            sum += count;
        }
        for (uint64_t i = 0; i < n; i++)
            other[places[at[i] >> shift & ((1U << RADIX_BITS) - 1)]++] = at[i];
        uint64_t *swap = at;
        at = other;
        other = swap;
    }
    free(places);
}

static uint64_t *make_arrivals(const Rows *rows)
{
    Prng random = prng_of(1);
    uint64_t *arrivals = malloc((rows->count + 1) * sizeof *arrivals);
    uint64_t *other = malloc((rows->count + 1) * sizeof *other);
    CHECK(arrivals != NULL && other != NULL && rows->count < UINT64_C(1) << INDEX_BITS);
    for (uint64_t i = 0; i < rows->count; i++) {
        const bool late = prng_below(&random, 100) == 0;
        const uint64_t at_ms = (uint64_t)(rows->at[i].at_s - WORLD_BEGIN_S) * 1000 +
                               prng_below(&random, late ? LATE_MS : JITTER_MS);
        arrivals[i] = at_ms << INDEX_BITS | i;
    }
    radix_sort(arrivals, other, rows->count);
    free(other);
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

static EventActor actor_of(Ctx *ctx, uint32_t person)
{
    return (EventActor){STR("person"), arena_i64(ctx->arena, person)};
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
        .actor = actor_of(ctx, row->person),
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

/* ---- the store ----------------------------------------------------------------------------------- */

/* A batch on its way through the log. */
typedef struct Slot {
    Ctx ctx;
    Buf records;
    EventsTask task;
    sem_t done;
    uint32_t count; /* 0 = nothing is on its way */
} Slot;

typedef struct Store {
    EventsLog *log;
    Engine *engine; /* NULL = the log only */
    Slot slots[2];
    double encode_s,
        rest_s; /* of processor that the caller had for encoding, and for appending and offering */
} Store;

static Err settle_log(Ctx *ctx, uint64_t end_seq, uint32_t *mark, void *arg)
{
    EventsLog *log = arg;
    TRY(events_sync(ctx, log));
    return events_mark(ctx, log, end_seq, mark);
}

static Str folder_in(Ctx *ctx, Str data, const char *name)
{
    const Str folder = arena_printf(ctx->arena, "%.*s/events%s", STR_ARG(data), name);
    die_unless(file_make_folder(ctx, folder), ctx, "folder");
    return folder;
}

static void open_log(Ctx *ctx, Str data, EventsLog **out)
{
    (void)folder_in(ctx, data, "");
    die_unless(events_open(ctx, folder_in(ctx, data, "/log"), &(EventsOptions){0}, out), ctx,
               "log");
}

static void open_store(Ctx *ctx, const LoadOptions *o, Store *store)
{
    *store = (Store){.encode_s = 0};
    open_log(ctx, o->data, &store->log);
    const EngineOptions options = {.origin_ms = o->origin_ms,
                                   .log_folder = folder_in(ctx, o->data, "/log"),
                                   .settle = settle_log,
                                   .settle_arg = store->log};
    if (!o->log_only)
        die_unless(engine_open(ctx, folder_in(ctx, o->data, "/engine"), &options, &store->engine),
                   ctx, "engine");
    for (size_t i = 0; i < ARRAY_LEN(store->slots); i++) {
        Slot *s = &store->slots[i];
        s->ctx = (Ctx){.arena = arena_new(1 << 20)};
        s->records = BUF_MAX(BATCH * EVENT_BYTES);
        CHECK(sem_init(&s->done, 0, 0) == 0);
    }
}

static void on_disk(EventsTask *task)
{
    Slot *s = task->arg;
    CHECK(sem_post(&s->done) == 0);
}

/* Waits until the log has the slot's batch, and gives it to the engine. */
static void finish(Store *store, Slot *s)
{
    if (s->count == 0)
        return;
    while (sem_wait(&s->done) != 0) {
    }
    die_unless(s->task.err, &s->ctx, "append");
    if (store->engine != NULL)
        CHECK(engine_offer(store->engine, s->task.first_seq, s->count, buf_str(&s->records)));
    s->count = 0;
    buf_clear(&s->records);
    arena_reset(s->ctx.arena);
}

static void submit(Store *store, Slot *s, uint32_t count)
{
    CHECK(!s->records.overflowed);
    s->count = count;
    s->task =
        (EventsTask){.ctx = &s->ctx, .records = buf_str(&s->records), .done = on_disk, .arg = s};
    die_unless(events_submit(store->log, &s->task), &s->ctx, "append");
}

static void close_store(Store *store)
{
    for (size_t i = 0; i < ARRAY_LEN(store->slots); i++) {
        Slot *s = &store->slots[i];
        buf_free(&s->records);
        arena_free(s->ctx.arena);
        CHECK(sem_destroy(&s->done) == 0);
    }
    engine_close(store->engine);
    events_close(store->log);
}

/* ---- loading ------------------------------------------------------------------------------------- */

static double seconds_since(int64_t from_us)
{
    return (double)(clock_mono_us() - from_us) / 1e6;
}

static void tell(const char *what, uint64_t done, uint64_t all)
{
    static int64_t told_us;
    if (seconds_since(told_us) < TELL_S)
        return;
    told_us = clock_mono_us();
    fprintf(stderr, "%s: %.1f of %.1f million events\n", what, (double)done / 1e6,
            (double)all / 1e6);
}

/* One batch in the order of arrival; gives how many events. */
static uint32_t encode_batch(Store *store, Slot *s, const Texts *texts, const Rows *rows,
                             const uint64_t *arrivals, uint64_t left)
{
    const uint32_t count = left < BATCH ? (uint32_t)left : BATCH;
    const double from_s = thread_cpu_s();
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t row = arrivals[i] & ((UINT64_C(1) << INDEX_BITS) - 1);
        const int64_t received_ms = WORLD_BEGIN_S * 1000 + (int64_t)(arrivals[i] >> INDEX_BITS);
        encode(&s->ctx, texts, &rows->at[row], received_ms, &s->records);
    }
    store->encode_s += thread_cpu_s() - from_s;
    return count;
}

static void load_rows(Store *store, const Texts *texts, const Rows *rows, const uint64_t *arrivals,
                      uint64_t count)
{
    const double from_s = thread_cpu_s();
    uint32_t turn = 0;
    for (uint64_t i = 0; i < count; turn ^= 1) {
        Slot *s = &store->slots[turn];
        finish(store, s);
        const uint32_t n = encode_batch(store, s, texts, rows, arrivals + i, count - i);
        submit(store, s, n);
        i += n;
        tell("loading", i, count);
    }
    finish(store, &store->slots[turn]);
    finish(store, &store->slots[turn ^ 1]);
    store->rest_s = thread_cpu_s() - from_s - store->encode_s;
}

/* ---- what it cost -------------------------------------------------------------------------------- */

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

/* Seconds of processor that each thread but the caller's has had, by its name; the log's sync thread goes by the
 * program's. */
static void print_threads(Ctx *ctx)
{
    const char *before = "";
    DIR *tasks = opendir("/proc/self/task");
    const Str self = arena_i64(ctx->arena, getpid());
    printf("\"threads_s\":{");
    for (struct dirent *d = NULL; tasks != NULL && (d = readdir(tasks)) != NULL;) {
        int64_t spent_ns = 0;
        if (d->d_name[0] == '.' || str_eq(str_of(d->d_name), self) ||
            !str_to_i64(task_word(ctx, d->d_name, "schedstat"), &spent_ns))
            continue;
        printf("%s\"%.*s\":%.3f", before, STR_ARG(task_word(ctx, d->d_name, "comm")),
               (double)spent_ns / 1e9);
        before = ",";
    }
    printf("},");
    if (tasks != NULL)
        (void)closedir(tasks);
}

static void print_engine(Engine *engine)
{
    EngineStat stat;
    engine_stat(engine, &stat);
    printf("\"parts\":%u,\"stored\":%" PRIu64 ",\"written_bytes\":%" PRIu64 ",", stat.file_parts,
           stat.events, stat.bytes_written);
}

void bench_load(Ctx *ctx, const LoadOptions *o)
{
    Store store;
    const Str bytes = map_file(ctx, o->from, STR("rows"));
    const Rows rows = {(const void *)bytes.ptr, bytes.len / sizeof(WorldEvent)};
    const uint64_t count = rows.count < o->events_max ? rows.count : o->events_max;
    const Texts *texts = make_texts(ctx);
    uint64_t *arrivals = make_arrivals(&rows);
    open_store(ctx, o, &store);
    const double cpu_from_s = program_cpu_s();
    const int64_t from_us = clock_mono_us();
    load_rows(&store, texts, &rows, arrivals, count);
    printf("{\"events\":%" PRIu64 ",\"load_s\":%.3f,\"load_cpu_s\":%.3f,", count,
           seconds_since(from_us), program_cpu_s() - cpu_from_s - store.encode_s);
    if (store.engine != NULL) {
        fprintf(stderr, "merging each week into one file\n");
        die_unless(engine_settle(ctx, store.engine), ctx, "settle");
        print_engine(store.engine);
    }
    print_threads(ctx);
    printf("\"appending_s\":%.3f,", store.rest_s);
    printf("\"settled_s\":%.3f,\"settled_cpu_s\":%.3f,\"encode_cpu_s\":%.3f}\n",
           seconds_since(from_us), program_cpu_s() - cpu_from_s - store.encode_s, store.encode_s);
    close_store(&store);
    free(arrivals);
    file_unmap(bytes);
}

/* ---- links and erasures -------------------------------------------------------------------------- */

static void encode_change(Ctx *ctx, const Event *head, Buf *out)
{
    Event e;
    die_unless(event_end(event_begin(ctx, head), &e), ctx, "change");
    event_encode(&e, out);
}

/* False: nothing changes about this person. */
static bool change_of(Ctx *ctx, const ChangeOptions *o, uint32_t person, Buf *out)
{
    const uint32_t rest = person % CHANGE_EVERY;
    Event head = {.source = STR("bench"),
                  .id = arena_printf(ctx->arena, "change-%u", person),
                  .time_ms = o->at_ms,
                  .received_ms = o->at_ms,
                  .actor = actor_of(ctx, person)};
    if (rest == CHANGE_ERASED) {
        head.kind = EVENT_ERASE;
    } else if (rest == CHANGE_LINKED && person + 1 < o->persons) {
        head.kind = EVENT_LINK;
        head.other = actor_of(ctx, person + 1);
    } else {
        return false;
    }
    encode_change(ctx, &head, out);
    return true;
}

void bench_settle(Ctx *ctx, Str data)
{
    Engine *engine = NULL;
    const EngineOptions options = {.log_folder = folder_in(ctx, data, "/log")};
    die_unless(engine_open(ctx, folder_in(ctx, data, "/engine"), &options, &engine), ctx, "open");
    die_unless(engine_settle(ctx, engine), ctx, "settle");
    EngineStat stat;
    engine_stat(engine, &stat);
    printf("{\"parts\":%u,\"dead_rows\":%" PRIu64 "}\n", stat.file_parts, stat.dead_rows);
    engine_close(engine);
}

void bench_change(Ctx *ctx, const ChangeOptions *o)
{
    EventsLog *log = NULL;
    Ctx step = {.arena = arena_new(1 << 20)};
    Buf records = BUF_MAX(BATCH * EVENT_BYTES);
    uint32_t changes = 0, waiting = 0;
    open_log(ctx, o->data, &log);
    for (uint32_t person = 0; person < o->persons; person++) {
        waiting += change_of(&step, o, person, &records);
        if (waiting < BATCH && person + 1 < o->persons)
            continue;
        CHECK(!records.overflowed);
        if (waiting > 0)
            die_unless(events_append(&step, log, buf_str(&records), NULL), &step, "append");
        changes += waiting;
        waiting = 0;
        buf_clear(&records);
        arena_reset(step.arena);
    }
    events_close(log);
    buf_free(&records);
    arena_free(step.arena);
    printf("{\"changes\":%u}\n", changes);
}
