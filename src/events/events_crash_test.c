/*
 * events/events_crash_test.c -- what a power cut may leave, and what must be there afterwards.
 *
 * A crash is a copy of the folder taken while the log is open, in which everything that was not
 * synced is damaged: cut, zeroed by sectors, or replaced by noise.
 */
#include "base/test_folder.h"
#include "events/eventlog.h"
#include "events/events_testkit.h"

#include <stdlib.h>

enum { SEGMENT = 32768, SECTOR = 512, ROWS = 40 };

static const EventsOptions LAZY = {
    .segment_bytes = SEGMENT, .lazy_ms = 3600000, .lazy_bytes = INT64_C(1) << 40};

static char *newest_bytes(Kit *k, Str folder, uint64_t first, Str *name, size_t *len)
{
    char *name_bytes = arena_bytes(k->ctx.arena, LOG_NAME_BYTES);
    *name = log_file_name(first, LOG_SUFFIX, name_bytes);
    const Str bytes = kit_read(k, folder, *name);
    char *copy = arena_bytes(k->ctx.arena, bytes.len);
    memcpy(copy, bytes.ptr, bytes.len);
    *len = bytes.len;
    return copy;
}

TEST(events_a_torn_tail_is_cut_at_every_byte_of_the_last_frame)
{
    Kit k;
    kit_open(&k, 9);
    EventsLog *log = kit_log(&k, k.folder, LAZY);
    CHECK(events_append(&k.ctx, log, kit_record(&k, "first"), NULL) == ERR_OK);
    CHECK(events_apply_outbox(&k.ctx, log, kit_record(&k, "second"), 1) == ERR_OK);
    const size_t from = (size_t)log->tail;
    const Str third = kit_record(&k, "a third one, much longer than the one that takes its place");
    CHECK(events_apply_outbox(&k.ctx, log, third, 2) == ERR_OK);
    const size_t whole = FRAME_HEAD_BYTES + third.len;
    const Str copy = kit_subfolder(&k, "copy");
    size_t intact = 0;
    for (size_t keep = 0; keep <= whole * 2; keep++) {
        Str name;
        size_t len = 0;
        kit_copy_folder(&k, k.folder, copy);
        char *bytes = newest_bytes(&k, copy, 1, &name, &len);
        if (keep <= whole) /* the end is missing */
            memset(bytes + from + keep, 0, len - from - keep);
        else /* the start is missing */
            memset(bytes + from, 0, keep - whole);
        const Str untouched = kit_read(&k, k.folder, name); /* cutting off zeros changes nothing */
        const bool whole_left = memcmp(untouched.ptr, bytes, len) == 0;
        intact += whole_left;
        kit_write(&k, copy, name, (Str){bytes, len});
        EventsLog *again = kit_log(&k, copy, LAZY);
        EXPECT_I64(events_count(again), whole_left ? 3 : 2);
        CHECK(events_apply_outbox(&k.ctx, again, kit_record(&k, "4"), 3) == ERR_OK);
        events_close(again);
        again = kit_log(&k, copy, LAZY);
        EXPECT_I64(events_count(again), whole_left ? 4 : 3);
        int64_t bad = -1;
        CHECK(events_verify(&k.ctx, again, NULL, NULL, &bad) == ERR_OK);
        EXPECT_I64(bad, 0);
        events_close(again);
        test_empty_folder(copy);
    }
    CHECK(intact >= 1 && intact <= 8);
    test_remove_folder(copy);
    events_close(log);
    kit_close(&k);
}

/* Both events were acknowledged: the damaged one is no torn tail, and what follows it stays. */
TEST(events_damage_before_acknowledged_events_is_not_cut_off)
{
    Kit k;
    kit_open(&k, 10);
    EventsLog *log = kit_log(&k, k.folder, LAZY);
    for (int i = 0; i < 4; i++)
        CHECK(events_append(&k.ctx, log, kit_record(&k, "same"), NULL) == ERR_OK);
    const size_t frame = frame_size((uint32_t)kit_record(&k, "same").len);
    const Str copy = kit_subfolder(&k, "copy");
    for (size_t hit = 0; hit < 3; hit++) { /* the fourth has no successor that could vouch for it */
        for (size_t at = 0; at < frame; at += 11) {
            Str name;
            size_t len = 0;
            kit_copy_folder(&k, k.folder,
                            copy); /* with the manifest of the start: it proves nothing */
            char *bytes = newest_bytes(&k, copy, 1, &name, &len);
            bytes[FRAME_FIRST_OFFSET + hit * frame + at] ^= 1;
            kit_write(&k, copy, name, (Str){bytes, len});
            EventsLog *again = kit_log(&k, copy, LAZY);
            int64_t bad = 0;
            CHECK(events_verify(&k.ctx, again, NULL, NULL, &bad) == ERR_OK);
            const bool in_padding = at >= FRAME_HEAD_BYTES + kit_record(&k, "same").len;
            EXPECT_I64(events_count(again), in_padding ? 4 : 3);
            EXPECT_I64(bad, in_padding ? 0 : 1);
            EXPECT_I64((int64_t)again->next_seq, 5);
            events_close(again);
            test_empty_folder(copy);
        }
    }
    test_remove_folder(copy);
    events_close(log);
    kit_close(&k);
}

/* After a clean stop the manifest vouches for the last frame, too. */
TEST(events_damage_in_the_last_frame_after_a_clean_stop_is_not_cut_off)
{
    Kit k;
    kit_open(&k, 10);
    EventsLog *log = kit_log(&k, k.folder, LAZY);
    CHECK(events_append(&k.ctx, log, kit_record(&k, "same"), NULL) == ERR_OK);
    CHECK(events_append(&k.ctx, log, kit_record(&k, "same"), NULL) == ERR_OK);
    const int64_t tail = log->tail;
    events_close(log);
    Str name;
    size_t len = 0;
    char *bytes = newest_bytes(&k, k.folder, 1, &name, &len);
    bytes[tail - frame_size((uint32_t)kit_record(&k, "same").len) + 20] ^= 1;
    kit_write(&k, k.folder, name, (Str){bytes, len});
    log = kit_log(&k, k.folder, LAZY);
    EXPECT_I64(events_count(log), 1);
    EXPECT_I64((int64_t)log->next_seq, 3);
    EXPECT_I64(log->tail, tail);
    CHECK(events_append(&k.ctx, log, kit_record(&k, "next"), NULL) == ERR_OK);
    events_close(log);
    log = kit_log(&k, k.folder, LAZY);
    EXPECT_I64(events_count(log), 2);
    events_close(log);
    kit_close(&k);
}

/* A frame of another try, in the right place, with the right number: its `prev` gives it away. */
TEST(events_a_stale_frame_behind_a_newer_one_is_no_successor)
{
    Kit k;
    kit_open(&k, 10);
    const Str old = kit_subfolder(&k, "old");
    EventsLog *log = kit_log(&k, old, LAZY);
    CHECK(events_append(&k.ctx, log, kit_record(&k, "refused"), NULL) == ERR_OK);
    CHECK(events_append(&k.ctx, log, kit_record(&k, "stale"), NULL) == ERR_OK);
    Str name;
    size_t len = 0;
    const char *stale = newest_bytes(&k, old, 1, &name, &len);
    events_close(log);
    const Str fresh = kit_subfolder(&k, "new"), copy = kit_subfolder(&k, "copy");
    log = kit_log(&k, fresh, LAZY);
    CHECK(events_append(&k.ctx, log, kit_record(&k, "written"), NULL) == ERR_OK);
    const size_t tail = (size_t)log->tail; /* both ids are of the same length */
    kit_copy_folder(&k, fresh, copy);
    char *bytes = newest_bytes(&k, copy, 1, &name, &len);
    memcpy(bytes + tail, stale + tail, len - tail);
    kit_write(&k, copy, name, (Str){bytes, len});
    events_close(log);
    log = kit_log(&k, copy, LAZY);
    EXPECT_I64(events_count(log), 1);
    events_close(log);
    test_remove_folder(old);
    test_remove_folder(fresh);
    test_remove_folder(copy);
    kit_close(&k);
}

/* ---- exactly once ---------------------------------------------------------------------------- */

/* Row `id` of the outbox is always the same: `id` names its events, 1 to 3 of them. */
static Str row_of(Kit *k, int64_t id)
{
    Buf b = BUF_MAX(1 << 16);
    for (int64_t i = 0; i <= id % 3; i++)
        buf_add(&b, kit_record(k, arena_printf(k->ctx.arena, "%d-%d", (int)id, (int)i).ptr));
    const Str copy = arena_copy(k->ctx.arena, buf_str(&b));
    buf_free(&b);
    return copy;
}

typedef struct Seen {
    int times[4 * ROWS + 1][3];
    int direct;
} Seen;

static Err see(Ctx *ctx, const Event *e, void *arg)
{
    (void)ctx;
    Seen *s = arg;
    int id = 0, part = 0;
    char text[32];
    CHECK(str_to_c(e->id, text, sizeof text));
    if (sscanf(text, "%d-%d", &id, &part) == 2)
        s->times[id][part]++;
    else
        s->direct++;
    return ERR_OK;
}

static void expect_exactly_once(Kit *k, EventsLog *log, int64_t rows, int direct_acknowledged)
{
    static Seen s;
    memset(&s, 0, sizeof s);
    EventsQuery q = {.limit = EVENTS_PAGE_MAX};
    EventsPage page = {.more = true};
    while (page.more) {
        CHECK(events_by_time(&k->ctx, log, &q, see, &s, &page) == ERR_OK);
        CHECK(page.damaged == 0);
        q.after = page.next;
    }
    for (int64_t id = 1; id <= rows; id++)
        for (int part = 0; part < 3; part++)
            EXPECT_I64(s.times[id][part], part <= id % 3 ? 1 : 0);
    CHECK(s.direct >= direct_acknowledged);
    int64_t bad = -1;
    CHECK(events_verify(&k->ctx, log, NULL, NULL, &bad) == ERR_OK);
    EXPECT_I64(bad, 0); /* a torn tail is no damage */
}

/* Damages what was not synced in the copy, the way a disk may that lost its power. */
static void lose_power(Kit *k, EventsLog *log, Str copy)
{
    Str name;
    size_t len = 0;
    char *bytes = newest_bytes(k, copy, log->active_first, &name, &len);
    const size_t from = (size_t)log->durable_tail, to = (size_t)log->tail;
    const uint32_t way = kit_below(k, 4);
    if (way == 0 && to > from) { /* a cut, the rest never written */
        const size_t cut = from + kit_below(k, (uint32_t)(to - from) + 1);
        memset(bytes + cut, 0, to - cut);
    }
    for (size_t at = from; way > 0 && at < to; at = (at / SECTOR + 1) * SECTOR) {
        const size_t end = (at / SECTOR + 1) * SECTOR < to ? (at / SECTOR + 1) * SECTOR : to;
        if (way == 1 && kit_below(k, 2) == 0)
            memset(bytes + at, 0, end - at); /* sectors in any order */
        if (way == 2 && kit_below(k, 4) == 0)
            memset(bytes + at, (int)kit_below(k, 256), end - at); /* noise */
    }
    kit_write(k, copy, name, (Str){bytes, len});
}

TEST(events_outbox_rows_are_there_exactly_once_after_any_crash)
{
    Kit k;
    kit_open(&k, 11);
    for (int round = 0; round < 30; round++) {
        Str folder = kit_subfolder(&k, "life0");
        int64_t rows = 0;
        int direct = 0;
        for (int life = 1; life <= 4; life++) {
            EventsLog *log = kit_log(&k, folder, LAZY);
            for (int64_t id = events_applied_through(log) + 1; id <= rows; id++) /* replay */
                CHECK(events_apply_outbox(&k.ctx, log, row_of(&k, id), id) == ERR_OK);
            expect_exactly_once(&k, log, rows, direct);
            const int64_t until = rows + kit_below(&k, ROWS);
            while (rows < until) { /* new rows, pairs of them in the wrong order */
                const int64_t id = rows + 1;
                CHECK(events_apply_outbox(&k.ctx, log, row_of(&k, id + 1), id + 1) == ERR_OK);
                CHECK(events_apply_outbox(&k.ctx, log, row_of(&k, id), id) == ERR_OK);
                rows += 2;
                if (kit_below(&k, 12) == 0) {
                    CHECK(events_append(&k.ctx, log, kit_record(&k, "direct"), NULL) == ERR_OK);
                    direct++;
                }
            }
            expect_exactly_once(&k, log, rows, direct);
            const Str next = kit_subfolder(&k, arena_printf(k.ctx.arena, "life%d", life).ptr);
            (void)pthread_mutex_lock(&log->lock); /* the copy is of one moment */
            kit_copy_folder(&k, folder, next);
            lose_power(&k, log, next);
            (void)pthread_mutex_unlock(&log->lock);
            events_close(log);
            test_remove_folder(folder);
            folder = next;
        }
        EventsLog *log = kit_log(&k, folder, LAZY);
        for (int64_t id = events_applied_through(log) + 1; id <= rows; id++)
            CHECK(events_apply_outbox(&k.ctx, log, row_of(&k, id), id) == ERR_OK);
        expect_exactly_once(&k, log, rows, direct);
        events_close(log);
        test_remove_folder(folder);
        arena_reset(k.ctx.arena);
    }
    kit_close(&k);
}
