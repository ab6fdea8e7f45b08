/*
 * events/events_follow_test.c -- a follower gets every batch once, in order, whenever it begins.
 */
#include "events/eventlog.h"
#include "events/events_testkit.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct Follower {
    uint64_t next; /* the number that must come */
    Buf bytes;     /* of everything that came */
} Follower;

static bool take(uint64_t first_seq, uint32_t count, Str records, void *arg)
{
    Follower *f = arg;
    CHECK(first_seq == f->next || (f->bytes.len == 0 && first_seq <= f->next));
    f->next = first_seq + count;
    buf_add(&f->bytes, records);
    return true;
}

static bool take_three(uint64_t first_seq, uint32_t count, Str records, void *arg)
{
    (void)first_seq;
    (void)records;
    int *left = arg;
    *left -= (int)count;
    return *left > 0;
}

TEST(events_a_follower_may_stop_while_it_reads_what_is_there)
{
    Kit k;
    kit_open(&k, 33);
    EventsLog *log = kit_log(&k, k.folder, (EventsOptions){0});
    for (int i = 0; i < 9; i++)
        CHECK(events_append(&k.ctx, log, kit_record(&k, "a"), NULL) == ERR_OK);
    int left = 3;
    const EventsFollower follower = {take_three, take_three, &left};
    EXPECT_I64(events_follow(&k.ctx, log, 1, &follower), ERR_CONFLICT);
    EXPECT_STREQ(k.ctx.fault.reason, "events.stopped");
    EXPECT_I64(left, 0);
    CHECK(events_append(&k.ctx, log, kit_record(&k, "b"), NULL) == ERR_OK); /* nobody hears of it */
    EXPECT_I64(left, 0);
    events_close(log);
    kit_close(&k);
}

TEST(events_a_follower_that_takes_no_more_is_not_called_again)
{
    Kit k;
    kit_open(&k, 34);
    EventsLog *log = kit_log(&k, k.folder, (EventsOptions){0});
    int left = 3;
    const EventsFollower follower = {take_three, take_three, &left};
    CHECK(events_follow(&k.ctx, log, 1, &follower) == ERR_OK);
    for (int i = 0; i < 9; i++)
        CHECK(events_append(&k.ctx, log, kit_record(&k, "a"), NULL) == ERR_OK);
    EXPECT_I64(left, 0);
    events_close(log);
    kit_close(&k);
}

static void append_some(Kit *k, EventsLog *log, Buf *all, int n)
{
    for (int i = 0; i < n; i++) {
        Event e;
        kit_random_event(k, arena_printf(k->ctx.arena, "%d-%zu", i, all->len), &e);
        const Str record = kit_encode(k, &e);
        CHECK(events_append(&k->ctx, log, record, NULL) == ERR_OK);
        buf_add(all, record);
    }
}

TEST(events_a_follower_gets_what_is_there_and_then_what_comes)
{
    Kit k;
    kit_open(&k, 31);
    EventsLog *log = kit_log(&k, k.folder, (EventsOptions){.segment_bytes = 16384});
    Buf all = BUF_MAX(1 << 24);
    Follower f = {.next = 1, .bytes = BUF_MAX(1 << 24)};
    append_some(&k, log, &all, 300); /* several segments */
    CHECK(events_follow(&k.ctx, log, 1, &(EventsFollower){take, take, &f}) == ERR_OK);
    EXPECT_I64((int64_t)f.next, 301);
    append_some(&k, log, &all, 200);
    CHECK(str_eq(buf_str(&f.bytes), buf_str(&all)));
    events_close(log);
    log = kit_log(&k, k.folder, (EventsOptions){.segment_bytes = 16384});
    Follower later = {.next = 401, .bytes = BUF_MAX(1 << 24)};
    CHECK(events_follow(&k.ctx, log, 401, &(EventsFollower){take, take, &later}) == ERR_OK);
    EXPECT_I64((int64_t)later.next, 501);
    CHECK(str_ends_with(buf_str(&all), buf_str(&later.bytes)));
    events_close(log);
    buf_free(&all);
    buf_free(&f.bytes);
    buf_free(&later.bytes);
    kit_close(&k);
}

typedef struct Appender {
    EventsLog *log;
    const char *id;
} Appender;

static void *append_alone(void *arg)
{
    const Appender *a = arg;
    Kit k = {.ctx.arena = arena_new(65536)};
    for (int i = 0; i < 300; i++)
        CHECK(events_append(&k.ctx, a->log, kit_record(&k, a->id), NULL) == ERR_OK);
    arena_free(k.ctx.arena);
    return NULL;
}

TEST(events_a_follower_that_begins_while_others_append_misses_nothing)
{
    Kit k;
    kit_open(&k, 32);
    EventsLog *log = kit_log(&k, k.folder, (EventsOptions){.segment_bytes = 32768});
    pthread_t threads[3];
    Appender appenders[3] = {{log, "a"}, {log, "b"}, {log, "c"}};
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        CHECK(pthread_create(&threads[i], NULL, append_alone, &appenders[i]) == 0);
    Follower f = {.next = 1, .bytes = BUF_MAX(1 << 24)};
    while (events_count(log) < 100) { /* begins in the middle */
    }
    CHECK(events_follow(&k.ctx, log, 1, &(EventsFollower){take, take, &f}) == ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    EXPECT_I64((int64_t)f.next, 901);
    events_close(log);
    buf_free(&f.bytes);
    kit_close(&k);
}

enum { BATCH_RECORDS = 20000, BATCHES_OVER_THE_BOUND = 100 };

typedef struct Flooded {
    Kit *k;
    EventsLog *log;
    Str batch;
    uint64_t next;
    bool flooded;
} Flooded;

/* While the first batch is being taken, more comes than may wait in memory. */
static bool take_in_a_flood(uint64_t first_seq, uint32_t count, Str records, void *arg)
{
    (void)records;
    Flooded *f = arg;
    EXPECT_I64((int64_t)first_seq, (int64_t)f->next);
    f->next = first_seq + count;
    for (int i = 0; !f->flooded && i < BATCHES_OVER_THE_BOUND; i++)
        CHECK(events_append(&f->k->ctx, f->log, f->batch, NULL) == ERR_OK);
    f->flooded = true;
    return true;
}

TEST(events_what_finds_no_room_while_a_follower_reads_is_read_from_the_files)
{
    Kit k;
    kit_open(&k, 36);
    Flooded f = {.k = &k, .log = kit_log(&k, k.folder, (EventsOptions){0}), .next = 1};
    const Str record = kit_record(&k, "flood");
    Buf batch = BUF_MAX(1 << 26);
    for (int i = 0; i < BATCH_RECORDS; i++)
        buf_add(&batch, record);
    f.batch = buf_str(&batch);
    CHECK(f.batch.len * BATCHES_OVER_THE_BOUND > (64 << 20));
    CHECK(events_append(&k.ctx, f.log, record, NULL) == ERR_OK);
    const EventsFollower follower = {take_in_a_flood, take_in_a_flood, &f};
    CHECK(events_follow(&k.ctx, f.log, 1, &follower) == ERR_OK);
    EXPECT_I64((int64_t)f.next, 2 + BATCH_RECORDS * BATCHES_OVER_THE_BOUND);
    events_close(f.log);
    buf_free(&batch);
    kit_close(&k);
}

/* ---- histories ------------------------------------------------------------------------------------ */

static uint32_t mark_at(Kit *k, EventsLog *log, uint64_t end_seq)
{
    uint32_t mark = 0;
    CHECK(events_mark(&k->ctx, log, end_seq, &mark) == ERR_OK);
    return mark;
}

TEST(events_a_mark_tells_two_histories_apart)
{
    Kit k;
    kit_open(&k, 37);
    Buf all = BUF_MAX(1 << 24);
    uint32_t marks[302] = {0};
    EventsLog *log = kit_log(&k, k.folder, (EventsOptions){.segment_bytes = 16384});
    append_some(&k, log, &all, 300); /* several segments */
    for (uint64_t seq = 1; seq <= 301; seq++)
        marks[seq] = mark_at(&k, log, seq);
    EXPECT_I64(marks[1], 0); /* nothing lies before it */
    for (uint64_t seq = 3; seq <= 301; seq++)
        CHECK(marks[seq] != 0 && marks[seq] != marks[seq - 1]);
    EXPECT_I64(mark_at(&k, log, 302), 0);
    events_close(log);
    log = kit_log(&k, k.folder, (EventsOptions){.segment_bytes = 16384});
    for (uint64_t seq = 1; seq <= 301; seq++) /* sealed or not */
        EXPECT_I64(mark_at(&k, log, seq), marks[seq]);
    events_close(log);
    buf_free(&all);
    kit_close(&k);
}

/* Where the frame stands that holds number `seq`. */
static int64_t frame_at(Str segment, uint64_t seq)
{
    for (int64_t at = FRAME_FIRST_OFFSET;;) {
        FrameHead head;
        memcpy(&head, segment.ptr + at, sizeof head);
        if (seq < head.first_seq + head.count)
            return at;
        at += frame_size(head.bytes);
    }
}

/* One byte of the head, or of the events, of the frame that holds it is another one. */
static void damage_frame(Kit *k, uint64_t seq, int64_t byte)
{
    Str *names = NULL, name = STR("");
    size_t n = 0;
    uint64_t first_seq = 0;
    CHECK(file_list(&k->ctx, k->folder, &names, &n) == ERR_OK);
    for (size_t i = 0; i < n; i++)
        if (log_name_seq(names[i], LOG_SUFFIX, &first_seq) && first_seq <= seq)
            name = names[i];
    const Str bytes = kit_read(k, k->folder, name);
    char *at = (char *)(uintptr_t)bytes.ptr + frame_at(bytes, seq) + byte;
    *at = (char)(*at ^ 1);
    kit_write(k, k->folder, name, bytes);
}

TEST(events_of_a_frame_that_cannot_be_read_there_is_no_mark)
{
    enum { LAST = 300, BYTES = 16384 };
    const EventsOptions o = {.segment_bytes = BYTES};
    for (int64_t byte = 40; byte <= FRAME_HEAD_BYTES + 9; byte += 33) /* in the head, behind it */
        for (uint64_t seq = 5; seq < LAST; seq += 97) {               /* in every kind of segment */
            Kit k;
            kit_open(&k, 38);
            Buf all = BUF_MAX(1 << 24);
            EventsLog *log = kit_log(&k, k.folder, o);
            append_some(&k, log, &all, LAST);
            const uint32_t mark = mark_at(&k, log, seq + 1), before = mark_at(&k, log, seq),
                           behind = mark_at(&k, log, seq + 2);
            events_close(log);
            damage_frame(&k, seq, byte);
            log = kit_log(&k, k.folder, o);
            EXPECT_I64(mark_at(&k, log, seq), before);
            EXPECT_I64(mark_at(&k, log, seq + 2), behind);
            CHECK(mark_at(&k, log, seq + 1) == mark || mark_at(&k, log, seq + 1) == 0);
            events_close(log);
            buf_free(&all);
            kit_close(&k);
        }
}
