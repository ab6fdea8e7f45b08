/*
 * events/events_log_test.c -- the log against the model, concurrency, limits, damage.
 */
#include "base/clock.h"
#include "base/rand.h"
#include "base/test_folder.h"
#include "events/crc32c.h"
#include "events/eventlog.h"
#include "events/events_testkit.h"

#include <stdlib.h>
#include <unistd.h>

enum { TINY_SEGMENT = 16384 };

static const EventsOptions TINY = {.segment_bytes = TINY_SEGMENT};

static Err count_event(Ctx *ctx, const Event *e, void *arg)
{
    (void)ctx;
    (void)e;
    ++*(int64_t *)arg;
    return ERR_OK;
}

/* Appends one random batch to log and model, directly or as an outbox row. */
static void append_random(Kit *k, Model *m, EventsLog *log, int64_t *outbox_id)
{
    Buf batch = BUF_MAX(1 << 20);
    const uint32_t n = 1 + kit_below(k, 12);
    const size_t from = m->count;
    for (uint32_t i = 0; i < n; i++) {
        Event e;
        kit_random_event(k, arena_printf(k->ctx.arena, "e%zu", m->count), &e);
        event_encode(&e, &batch);
        model_add(k, m, &e, m->count + 1);
    }
    uint64_t first = from + 1;
    if (kit_below(k, 2) == 0)
        CHECK(events_append(&k->ctx, log, buf_str(&batch), &first) == ERR_OK);
    else
        CHECK(events_apply_outbox(&k->ctx, log, buf_str(&batch), ++*outbox_id) == ERR_OK);
    CHECK(first == from + 1);
    buf_free(&batch);
}

TEST(events_pages_and_counts_agree_with_the_model_over_many_segments_and_reopens)
{
    Kit k;
    kit_open(&k, 42);
    Model m = {NULL, 0, 0};
    int64_t outbox_id = 0;
    for (int round = 0; round < 6; round++) {
        EventsLog *log = kit_log(&k, k.folder, TINY);
        model_compare(&k, &m, log, 5);
        for (int i = 0; i < 60; i++)
            append_random(&k, &m, log, &outbox_id);
        model_compare(&k, &m, log, 10);
        events_close(log);
    }
    EventsLog *log = kit_log(&k, k.folder, TINY);
    EventsStat stat;
    events_stat(log, &stat);
    CHECK(stat.segments > 10 && stat.sealed == stat.segments - 1);
    EXPECT_I64((int64_t)stat.next_seq, (int64_t)m.count + 1);
    EXPECT_I64(events_applied_through(log), outbox_id);
    events_close(log);
    kit_close(&k);
}

/* Enough events for several closed pieces inside one segment. */
TEST(events_pages_agree_with_the_model_inside_one_large_segment)
{
    Kit k;
    kit_open(&k, 43);
    Model m = {NULL, 0, 0};
    int64_t outbox_id = 0;
    EventsLog *log = kit_log(&k, k.folder, (EventsOptions){.segment_bytes = 1 << 23});
    for (uint32_t pieces = 1; pieces <= 5;
         pieces += 2) { /* some have their orders, some wait for them */
        while (m.count < pieces * RUN_EVENTS)
            append_random(&k, &m, log, &outbox_id);
        model_compare(&k, &m, log, 2);
    }
    events_close(log);
    log = kit_log(&k, k.folder, TINY);
    model_compare(&k, &m, log, 2);
    events_close(log);
    kit_close(&k);
}

/* The first one by the keeper, of what memory says; the second one at a start, of the file. */
TEST(events_an_index_made_of_memory_has_the_bytes_of_one_made_of_its_file)
{
    Kit k;
    kit_open(&k, 49);
    Model m = {NULL, 0, 0};
    int64_t outbox_id = 0;
    const EventsOptions options = {.segment_bytes = 1 << 21};
    EventsLog *log = kit_log(&k, k.folder, options);
    while (m.count < 8 * RUN_EVENTS)
        append_random(&k, &m, log, &outbox_id);
    events_close(log);
    Str *names = NULL;
    size_t n = 0, indexes = 0;
    CHECK(file_list(&k.ctx, k.folder, &names, &n) == ERR_OK);
    Str *made = ARENA_ARRAY(k.ctx.arena, Str, n);
    for (size_t i = 0; i < n; i++) {
        if (!str_ends_with(names[i], STR(".idx")))
            continue;
        made[i] = kit_read(&k, k.folder, names[i]);
        CHECK(file_remove(&k.ctx, k.folder, names[i]) == ERR_OK);
        indexes++;
    }
    CHECK(indexes > 1);
    events_close(kit_log(&k, k.folder, options));
    for (size_t i = 0; i < n; i++)
        CHECK(made[i].len == 0 || str_eq(kit_read(&k, k.folder, names[i]), made[i]));
    kit_close(&k);
}

TEST(events_missing_and_damaged_indexes_are_made_again)
{
    Kit k;
    kit_open(&k, 44);
    Model m = {NULL, 0, 0};
    int64_t outbox_id = 0;
    EventsLog *log = kit_log(&k, k.folder, TINY);
    for (int i = 0; i < 150; i++)
        append_random(&k, &m, log, &outbox_id);
    events_close(log);
    Str *names = NULL;
    size_t n = 0, indexes = 0;
    CHECK(file_list(&k.ctx, k.folder, &names, &n) == ERR_OK);
    for (size_t i = 0; i < n; i++) {
        if (!str_ends_with(names[i], STR(".idx")))
            continue;
        const Str bytes = kit_read(&k, k.folder, names[i]);
        char *changed = arena_bytes(k.ctx.arena, bytes.len);
        memcpy(changed, bytes.ptr, bytes.len);
        changed[indexes % 3 == 1 ? 60 : bytes.len / 2] ^= 4; /* in the head, in the body */
        if (indexes++ % 3 == 0)
            CHECK(file_remove(&k.ctx, k.folder, names[i]) == ERR_OK);
        else
            kit_write(&k, k.folder, names[i], (Str){changed, bytes.len});
    }
    CHECK(indexes > 3);
    log = kit_log(&k, k.folder, TINY);
    model_compare(&k, &m, log, 10);
    events_close(log);
    kit_close(&k);
}

/* All indexes, which the log has open. */
static void cut_indexes(Kit *k)
{
    Str *names = NULL;
    size_t n = 0, indexes = 0;
    CHECK(file_list(&k->ctx, k->folder, &names, &n) == ERR_OK);
    for (size_t i = 0; i < n; i++) {
        File file;
        if (!str_ends_with(names[i], STR(".idx")))
            continue;
        CHECK(file_open(&k->ctx, k->folder, names[i], FILE_WRITE, &file) == ERR_OK);
        CHECK(file_truncate(&k->ctx, file, 0) == ERR_OK);
        file_close(&file);
        indexes++;
    }
    CHECK(indexes > 3);
}

static Err cut_once(Ctx *ctx, const Event *e, void *arg)
{
    (void)ctx;
    (void)e;
    Kit **k = arg;
    if (*k != NULL)
        cut_indexes(*k);
    *k = NULL;
    return ERR_OK;
}

/* Reopened, they are maps. */
TEST(events_indexes_that_the_disk_takes_away_are_made_again_also_in_the_middle_of_a_page)
{
    Kit k;
    kit_open(&k, 46);
    Model m = {NULL, 0, 0};
    int64_t outbox_id = 0;
    EventsLog *log = kit_log(&k, k.folder, TINY);
    for (int i = 0; i < 150; i++)
        append_random(&k, &m, log, &outbox_id);
    for (int i = 0; i < 4; i++) {
        events_close(log);
        log = kit_log(&k, k.folder, TINY);
        if (i > 0)
            model_compare(&k, &m, log, 1); /* they are known to be right */
        if (i < 2) {
            cut_indexes(&k);
        } else {
            const EventsQuery q = {.limit = EVENTS_PAGE_MAX, .oldest_first = i == 3};
            EventsPage page;
            Kit *cut = &k;
            CHECK(events_by_time(&k.ctx, log, &q, cut_once, &cut, &page) == ERR_OK);
            EXPECT_I64(page.given, m.count < EVENTS_PAGE_MAX ? (int64_t)m.count : EVENTS_PAGE_MAX);
            EXPECT_I64((int64_t)page.damaged, 0);
        }
        model_compare(&k, &m, log, 10);
    }
    events_close(log);
    kit_close(&k);
}

/* Every actor gets the same hash: only the real key can tell them apart. */
TEST(events_actors_with_the_same_hash_are_kept_apart)
{
    Kit k;
    kit_open(&k, 45);
    Model m = {NULL, 0, 0};
    int64_t outbox_id = 0;
    EventsLog *log = kit_log(&k, k.folder, TINY);
    while (m.count < 300)
        append_random(&k, &m, log, &outbox_id);
    events_close(log);
    Str *names = NULL;
    size_t n = 0;
    CHECK(file_list(&k.ctx, k.folder, &names, &n) == ERR_OK);
    const EventActor actor = {STR("phone"), STR("+8613800000003")};
    for (size_t i = 0; i < n; i++) {
        if (!str_ends_with(names[i], STR(".idx")))
            continue;
        const Str bytes = kit_read(&k, k.folder, names[i]);
        char *block = malloc(bytes.len);
        CHECK(block != NULL);
        memcpy(block, bytes.ptr, bytes.len);
        Run *run = NULL;
        CHECK(run_of_block((Str){block, bytes.len}, false, 1, &run));
        RunHead h = run->head;
        const uint64_t same = run_actor_hash(h.key, actor);
        for (uint32_t p = 0; p < h.count; p++)
            memcpy(block + ((const char *)&run->hash[p] - block), &same, sizeof same);
        memcpy(block + ((const char *)run->by_actor - block), run->by_time, h.count * 4);
        h.body_crc = crc32c_add(0, (Str){block + sizeof h, bytes.len - sizeof h});
        h.head_crc = crc32c_add(0, (Str){(const char *)&h + 16, sizeof h - 16});
        memcpy(block, &h, sizeof h);
        kit_write(&k, k.folder, names[i], (Str){block, bytes.len});
        run_unref(run);
    }
    log = kit_log(&k, k.folder, TINY);
    int64_t want = 0, got = 0;
    for (size_t i = 0; i < m.count; i++)
        want += str_eq(m.at[i].actor.value, actor.value);
    const EventsQuery q = {.actor = actor, .limit = EVENTS_PAGE_MAX};
    EventsPage page;
    EXPECT_I64(events_by_actor(&k.ctx, log, &q, count_event, &got, &page), ERR_OK);
    CHECK(want > 0);
    EXPECT_I64(got, want);
    events_close(log);
    kit_close(&k);
}

TEST(events_are_visible_when_append_returns_and_a_second_open_is_refused)
{
    Kit k;
    kit_open(&k, 1);
    EventsLog *log = kit_log(&k, k.folder, TINY), *other = NULL;
    const EventsQuery q = {.limit = 10};
    EventsPage page;
    for (int64_t i = 1; i <= 5; i++) {
        uint64_t first = 0;
        EXPECT_I64(events_append(&k.ctx, log, kit_record(&k, "a"), &first), ERR_OK);
        EXPECT_I64((int64_t)first, i * 2 - 1);
        EXPECT_I64(events_apply_outbox(&k.ctx, log, kit_record(&k, "b"), i), ERR_OK);
        int64_t seen = 0;
        EXPECT_I64(events_by_actor(&k.ctx, log, &q, count_event, &seen, &page), ERR_OK);
        EXPECT_I64(seen, i * 2);
    }
    EXPECT_I64(events_open(&k.ctx, k.folder, &TINY, &other), ERR_CONFLICT);
    EXPECT_STREQ(k.ctx.fault.reason, "file.locked");
    events_close(log);
    kit_close(&k);
}

TEST(events_refused_batches_leave_nothing_behind)
{
    Kit k;
    kit_open(&k, 1);
    EventsLog *log = kit_log(&k, k.folder, TINY);
    const Str good = kit_record(&k, "a");
    const Str half =
        arena_printf(k.ctx.arena, "%.*s%.*s", STR_ARG(good), (int)good.len - 1, good.ptr);
    static const char gone[] = {2, 1, EVENT_GONE};
    const Str bad[] = {half, STR("\xff\xff"), {gone, sizeof gone}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        EXPECT_I64(events_append(&k.ctx, log, bad[i], NULL), ERR_INVALID);
        EXPECT_STREQ(k.ctx.fault.reason, "event.encoding");
        EXPECT_I64(events_apply_outbox(&k.ctx, log, bad[i], 7), ERR_INVALID);
    }
    Buf many = BUF_MAX(1 << 20);
    while (many.len < TINY_SEGMENT)
        buf_add(&many, good);
    EXPECT_I64(events_append(&k.ctx, log, buf_str(&many), NULL), ERR_TOO_LARGE);
    EXPECT_STREQ(k.ctx.fault.reason, "events.batch");
    buf_free(&many);
    EXPECT_I64(events_count(log), 0);
    const EventsQuery q = {.limit = 0};
    EventsPage page;
    EXPECT_I64(events_by_time(&k.ctx, log, &q, count_event, NULL, &page), ERR_INVALID);
    EXPECT_STREQ(k.ctx.fault.reason, "events.limit");
    events_close(log);
    kit_close(&k);
}

TEST(events_outbox_rows_are_synced_within_lazy_ms)
{
    Kit k;
    kit_open(&k, 1);
    EventsLog *log =
        kit_log(&k, k.folder, (EventsOptions){.segment_bytes = TINY_SEGMENT, .lazy_ms = 40});
    EXPECT_I64(events_apply_outbox(&k.ctx, log, kit_record(&k, "a"), 1), ERR_OK);
    const int64_t until_us = clock_mono_us() + 2000000;
    while (!events_outbox_is_durable(log, 1) && clock_mono_us() < until_us)
        (void)usleep(1000);
    CHECK(events_outbox_is_durable(log, 1));
    EXPECT_I64(events_applied_through(log), 1);
    events_close(log);
    kit_close(&k);
}

TEST(events_outbox_ids_may_skip_and_come_in_any_order)
{
    Kit k;
    kit_open(&k, 1);
    const EventsOptions o = {.segment_bytes = TINY_SEGMENT, .lazy_ms = 3600000};
    EventsLog *log = kit_log(&k, k.folder, o);
    static const int64_t ORDER[] = {3, 1, 9, 3, 7, 1, 2, 9};
    for (size_t i = 0; i < ARRAY_LEN(ORDER); i++)
        EXPECT_I64(events_apply_outbox(&k.ctx, log, kit_record(&k, "a"), ORDER[i]), ERR_OK);
    EXPECT_I64(events_count(log), 5);
    EXPECT_I64(events_applied_through(log), 0); /* nothing synced yet */
    EXPECT_I64(events_sync(&k.ctx, log), ERR_OK);
    EXPECT_I64(events_applied_through(log), 3);
    CHECK(events_outbox_is_durable(log, 9) && !events_outbox_is_durable(log, 8));
    EXPECT_I64(events_apply_outbox(&k.ctx, log, STR(""), 4), ERR_OK); /* an empty row */
    EXPECT_I64(events_applied_through(log), 4);
    events_settle_outbox(log, 6);
    EXPECT_I64(events_applied_through(log), 7);
    events_close(log);
    log = kit_log(&k, k.folder, o);
    EXPECT_I64(events_applied_through(log), 7);
    EXPECT_I64(events_apply_outbox(&k.ctx, log, kit_record(&k, "a"), 9), ERR_OK);
    EXPECT_I64(events_apply_outbox(&k.ctx, log, kit_record(&k, "a"), 8), ERR_OK);
    EXPECT_I64(events_count(log), 6);
    events_close(log);
    kit_close(&k);
}

/* ---- many threads ---------------------------------------------------------------------------- */

enum { WRITERS = 4, BATCHES = 60, PER_BATCH = 10 };

typedef struct Writer {
    EventsLog *log;
    pthread_t thread;
    int number;
    bool outbox;
} Writer;

static void *write_batches(void *arg)
{
    const Writer *w = arg;
    Kit k = {.ctx.arena = arena_new(65536), .random = (uint64_t)w->number};
    for (int i = 0; i < BATCHES; i++) {
        Buf batch = BUF_MAX(1 << 20);
        for (int n = 0; n < PER_BATCH; n++) {
            Event e;
            kit_random_event(&k, arena_printf(k.ctx.arena, "%d-%d-%d", w->number, i, n), &e);
            event_encode(&e, &batch);
        }
        const int64_t id = (int64_t)i * WRITERS + w->number + 1;
        const Err err = w->outbox ? events_apply_outbox(&k.ctx, w->log, buf_str(&batch), id)
                                  : events_append(&k.ctx, w->log, buf_str(&batch), NULL);
        CHECK(err == ERR_OK);
        buf_free(&batch);
        arena_reset(k.ctx.arena);
    }
    arena_free(k.ctx.arena);
    return NULL;
}

typedef struct Reading {
    EventsLog *log;
    atomic_bool stop;
} Reading;

static void *read_on(void *arg)
{
    Reading *r = arg;
    Ctx ctx = {.arena = arena_new(65536)};
    while (!atomic_load(&r->stop)) {
        int64_t seen = 0, bad = 0, total = 0;
        EventsPage page;
        const EventsQuery q = {.limit = 200, .actor = {STR("phone"), STR("+8613800000003")}};
        CHECK(events_by_actor(&ctx, r->log, &q, count_event, &seen, &page) == ERR_OK);
        CHECK(events_by_time(&ctx, r->log, &q, count_event, &seen, &page) == ERR_OK);
        CHECK(page.damaged == 0);
        const int64_t before = events_count(r->log);
        total = events_count(r->log);
        CHECK(total >= before);
        EventsStat stat;
        events_stat(r->log, &stat);
        CHECK(stat.durable_seq <= stat.next_seq);
        CHECK(events_verify(&ctx, r->log, NULL, NULL, &bad) == ERR_OK);
        CHECK(bad == 0);
        arena_reset(ctx.arena);
    }
    arena_free(ctx.arena);
    return NULL;
}

static void run_threads(bool outbox)
{
    Kit k;
    kit_open(&k, 1);
    EventsLog *log = kit_log(&k, k.folder, (EventsOptions){.segment_bytes = 65536, .lazy_ms = 20});
    Writer w[WRITERS];
    Reading reading = {.log = log};
    pthread_t reader;
    CHECK(pthread_create(&reader, NULL, read_on, &reading) == 0);
    for (int i = 0; i < WRITERS; i++) {
        w[i] = (Writer){.log = log, .number = i, .outbox = outbox};
        CHECK(pthread_create(&w[i].thread, NULL, write_batches, &w[i]) == 0);
    }
    for (int i = 0; i < WRITERS; i++)
        CHECK(pthread_join(w[i].thread, NULL) == 0);
    atomic_store(&reading.stop, true);
    CHECK(pthread_join(reader, NULL) == 0);
    EventsStat stat;
    events_stat(log, &stat);
    EXPECT_I64((int64_t)stat.next_seq - 1, WRITERS * BATCHES * PER_BATCH);
    CHECK(stat.syncs <= stat.frames + stat.segments);
    if (outbox) {
        CHECK(events_sync(&k.ctx, log) == ERR_OK);
        EXPECT_I64(events_applied_through(log), WRITERS * BATCHES);
    } else {
        CHECK(stat.durable_seq == stat.next_seq);
    }
    events_close(log);
    kit_close(&k);
}

TEST(events_four_threads_append_while_one_reads_and_verifies)
{
    run_threads(false);
}

TEST(events_four_threads_apply_outbox_rows_while_one_reads_and_verifies)
{
    run_threads(true);
}

/* ---- damage ---------------------------------------------------------------------------------- */

typedef struct Findings {
    int count;
    char file[64];
} Findings;

static void note_finding(const char *file, int64_t offset, const char *what, void *arg)
{
    (void)offset;
    (void)what;
    Findings *f = arg;
    f->count++;
    (void)snprintf(f->file, sizeof f->file, "%s", file);
}

/* Reads every event there is; returns how many came, *damaged = how many were named as lost. */
static int64_t read_all(Kit *k, EventsLog *log, int64_t *damaged)
{
    int64_t seen = 0;
    EventsQuery q = {.limit = EVENTS_PAGE_MAX};
    EventsPage page = {.more = true};
    while (page.more) {
        CHECK(events_by_time(&k->ctx, log, &q, count_event, &seen, &page) == ERR_OK);
        *damaged += (int64_t)page.damaged;
        q.after = page.next;
    }
    return seen;
}

/* One byte of one file flipped while the log is open: verify names the file, the frames beside it
 * stay readable.  `at` below 0 counts from the file's end. */
static void flip_and_verify(Kit *k, EventsLog *log, Str name, size_t at, int64_t total)
{
    File f;
    char byte;
    size_t got = 0;
    CHECK(file_open(&k->ctx, k->folder, name, FILE_WRITE, &f) == ERR_OK);
    CHECK(file_read_at(&k->ctx, f, (int64_t)at, &byte, 1, &got) == ERR_OK && got == 1);
    const char flipped = (char)(byte ^ (1 << kit_below(k, 8)));
    CHECK(file_write_at(&k->ctx, f, (int64_t)at, (Str){&flipped, 1}) == ERR_OK);
    Findings found = {0, ""};
    int64_t bad = 0, damaged = 0;
    CHECK(events_verify(&k->ctx, log, note_finding, &found, &bad) == ERR_OK);
    if (bad == 0 || !str_eq(str_of(found.file), name))
        fprintf(stderr, "flipped %.*s at %zu: %d found, %s\n", STR_ARG(name), at, found.count,
                found.file);
    CHECK(bad > 0 && found.count == bad && str_eq(str_of(found.file), name));
    const int64_t seen = read_all(k, log, &damaged);
    CHECK(seen + damaged == total && damaged <= 12); /* at most one frame */
    CHECK(file_write_at(&k->ctx, f, (int64_t)at, (Str){&byte, 1}) == ERR_OK);
    file_close(&f);
}

TEST(events_a_flipped_byte_in_any_file_is_named_and_the_rest_is_readable)
{
    Kit k;
    kit_open(&k, 46);
    Model m = {NULL, 0, 0};
    int64_t outbox_id = 0, bad = -1;
    EventsLog *log = kit_log(&k, k.folder, TINY);
    while (m.count < 400)
        append_random(&k, &m, log, &outbox_id);
    events_close(log);
    log = kit_log(&k, k.folder, TINY); /* without a spare: the newest segment is fresh enough */
    CHECK(events_verify(&k.ctx, log, NULL, NULL, &bad) == ERR_OK);
    EXPECT_I64(bad, 0);
    Str *names = NULL;
    size_t n = 0;
    CHECK(file_list(&k.ctx, k.folder, &names, &n) == ERR_OK);
    for (size_t i = 0; i < n; i++) {
        const size_t bytes = kit_read(&k, k.folder, names[i]).len;
        for (int try = 0; try < 40 && bytes > 0 && !str_eq(names[i], STR("spare")); try++)
            flip_and_verify(&k, log, names[i], kit_below(&k, (uint32_t)bytes), (int64_t)m.count);
    }
    events_close(log);
    kit_close(&k);
}

/* The same before the start: nothing that was on disk is mistaken for a torn tail. */
TEST(events_a_flipped_byte_before_the_start_loses_at_most_its_frame)
{
    Kit k;
    kit_open(&k, 47);
    Model m = {NULL, 0, 0};
    int64_t outbox_id = 0;
    EventsLog *log = kit_log(&k, k.folder, TINY);
    while (m.count < 200)
        append_random(&k, &m, log, &outbox_id);
    events_close(log);
    Str *names = NULL;
    size_t n = 0;
    CHECK(file_list(&k.ctx, k.folder, &names, &n) == ERR_OK);
    const Str copy = kit_subfolder(&k, "copy");
    for (int round = 0; round < 150; round++) {
        const Str name = names[kit_below(&k, (uint32_t)n)];
        const Str bytes = kit_read(&k, k.folder, name);
        if (bytes.len == 0)
            continue;
        kit_copy_folder(&k, k.folder, copy);
        char *changed = arena_bytes(k.ctx.arena, bytes.len);
        memcpy(changed, bytes.ptr, bytes.len);
        changed[kit_below(&k, (uint32_t)bytes.len)] ^= (char)(1 << kit_below(&k, 8));
        kit_write(&k, copy, name, (Str){changed, bytes.len});
        log = kit_log(&k, copy, TINY);
        int64_t damaged = 0;
        const int64_t seen = read_all(&k, log, &damaged);
        CHECK(seen >= (int64_t)m.count - 12 && seen + damaged <= (int64_t)m.count);
        EventsStat stat;
        events_stat(log, &stat);
        EXPECT_I64((int64_t)stat.next_seq, (int64_t)m.count + 1);
        EXPECT_I64(stat.applied_through, outbox_id);
        events_close(log);
        test_empty_folder(copy);
    }
    test_remove_folder(copy);
    kit_close(&k);
}

/* ---- order ----------------------------------------------------------------------------------- */

typedef uint64_t (*KeyFn)(Prng *r, uint32_t i);

static uint64_t key_random(Prng *r, uint32_t i)
{
    (void)i;
    return prng_u64(r);
}
static uint64_t key_of_few(Prng *r, uint32_t i)
{
    (void)i;
    return prng_below(r, 3);
}
static uint64_t key_ascending(Prng *r, uint32_t i)
{
    (void)r;
    return i;
}
static uint64_t key_with_outliers(Prng *r, uint32_t i)
{
    return i % 1000 == 0 ? prng_u64(r) : UINT64_C(1) << 63 | prng_below(r, 30000);
}
static uint64_t key_nearly_ascending(Prng *r, uint32_t i)
{
    return UINT64_C(1) << 63 | (100 * i + prng_below(r, i % 100 == 0 ? 300000 : 3000));
}
static uint64_t key_in_turns(Prng *r, uint32_t i)
{
    (void)r;
    return i % 3 * (UINT64_C(1) << 40);
}
static uint64_t key_same(Prng *r, uint32_t i)
{
    (void)r;
    (void)i;
    return 7;
}

TEST(run_sort_is_right_and_stable_whatever_the_keys_look_like)
{
    static const KeyFn KEYS[] = {key_random,        key_of_few,           key_ascending,
                                 key_with_outliers, key_nearly_ascending, key_in_turns,
                                 key_same};
    static const uint32_t COUNTS[] = {0, 1, 2, 47, 48, 49, 255, 256, 257, 1000, 3000, 70000};
    Prng r = prng_of(17);
    for (size_t k = 0; k < ARRAY_LEN(KEYS) * ARRAY_LEN(COUNTS); k++) {
        const uint32_t n = COUNTS[k % ARRAY_LEN(COUNTS)];
        uint64_t *keys = malloc((n + 1) * sizeof *keys);
        uint32_t *order = malloc((n + 1) * sizeof *order),
                 *scratch = malloc((n + 1) * sizeof *scratch);
        CHECK(keys != NULL && order != NULL && scratch != NULL);
        for (uint32_t i = 0; i < n; i++) {
            keys[i] = KEYS[k / ARRAY_LEN(COUNTS)](&r, i);
            order[i] = i;
        }
        run_sort(keys, n, order, scratch);
        for (uint32_t i = 1; i < n; i++)
            CHECK(keys[order[i - 1]] < keys[order[i]] ||
                  (keys[order[i - 1]] == keys[order[i]] && order[i - 1] < order[i]));
        free(keys);
        free(order);
        free(scratch);
    }
}
