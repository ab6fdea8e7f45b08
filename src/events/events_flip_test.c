/*
 * events/events_flip_test.c -- every byte of every file of a log, turned one by one: it is found and the file named, and
 * nobody ever reads an event that was not written.
 *
 * Bytes without a meaning are, and nothing else: the padding behind a frame's events (to the next multiple of 8), and
 * the zeros that the newest segment is made of behind its last frame.  `lock` is empty.
 */
#include "events/events_survey.h"
#include "events/events_testkit.h"

#include "base/crypto.h"
#include "base/hash.h"
#include "base/test_folder.h"
#include "events/eventlog.h"

enum { SEGMENT = 8192, BATCHES = 60, RECORDS_MAX = 1000, OPENED_OF = 97 };

static const EventsOptions TINY = {.segment_bytes = SEGMENT};

typedef struct Flips {
    Kit k;
    uint64_t records[RECORDS_MAX]; /* [seq]: their hashes, 0 = none with that number */
    int64_t count;
    int64_t seen, strange; /* by one look: records; of them, such as nobody wrote */
    int64_t reports;
    char file[64];
    bool others; /* were named, too */
} Flips;

/* ---- a log with a file of every kind ------------------------------------------------------------------ */

static Err see_batch(Ctx *ctx, uint64_t first_seq, int64_t outbox_id, Str records, void *arg)
{
    (void)ctx;
    (void)outbox_id;
    Flips *f = arg;
    for (size_t at = 0, used = 0; at < records.len; at += used, first_seq++) {
        Event e;
        CHECK(event_check(str_slice(records, at, records.len), &e, &used));
        f->seen++;
        f->strange += first_seq >= RECORDS_MAX ||
                      f->records[first_seq] != hash_bytes(str_slice(records, at, at + used), 1);
    }
    return ERR_OK;
}

static Err learn_batch(Ctx *ctx, uint64_t first_seq, int64_t outbox_id, Str records, void *arg)
{
    (void)ctx;
    (void)outbox_id;
    Flips *f = arg;
    for (size_t at = 0, used = 0; at < records.len; at += used, f->count++) {
        Event e;
        CHECK(event_check(str_slice(records, at, records.len), &e, &used) &&
              first_seq < RECORDS_MAX);
        f->records[first_seq++] = hash_bytes(str_slice(records, at, at + used), 1);
    }
    return ERR_OK;
}

static void see_report(const char *file, int64_t offset, const char *what, void *arg)
{
    Flips *f = arg;
    CHECK(offset >= 0 && what[0] != '\0');
    f->others = f->others || (f->reports > 0 && strcmp(f->file, file) != 0);
    f->reports++;
    CHECK(str_to_c(str_of(file), f->file, sizeof f->file));
}

static void survey(Flips *f, EventsBatchFn fn)
{
    EventsSurvey s;
    int64_t bad = 0;
    const EventsSurveyVisit visit = {.batch = fn, .report = see_report, .arg = f};
    f->seen = f->strange = f->reports = 0;
    f->others = false;
    CHECK(events_survey(&f->k.ctx, f->k.folder, &s) == ERR_OK);
    CHECK(events_survey_read(&f->k.ctx, &s, &visit, &bad) == ERR_OK);
    EXPECT_I64(bad, f->reports);
}

static void ask_to_erase(Kit *k, EventsLog *log, EventActor actor)
{
    Event e;
    const Event head = {
        .kind = EVENT_ERASE, .source = STR("s"), .id = STR("erase"), .time_ms = 1, .actor = actor};
    CHECK(event_end(event_begin(&k->ctx, &head), &e) == ERR_OK);
    CHECK(events_append(&k->ctx, log, kit_encode(k, &e), NULL) == ERR_OK);
}

static void erase_all(Kit *k, EventsLog *log)
{
    static const CryptoKey key = {{5}};
    const EventsErase at_once = {.key = &key, .now_ms = 1, .heard_seq = UINT64_MAX};
    EventsErased erased = {.more = true};
    int64_t records = 0;
    for (; erased.more; records += erased.records)
        CHECK(events_erase(&k->ctx, log, &at_once, &erased) == ERR_OK);
    CHECK(records > 1);
}

static void append_some(Kit *k, EventsLog *log, int from, int to, EventActor *somebody)
{
    for (int i = from; i < to; i++) {
        Event e;
        kit_random_event(k, arena_printf(k->ctx.arena, "e%d", i), &e);
        *somebody = event_actor_is_nobody(e.actor) ? *somebody : e.actor;
        if (i % 3 == 0)
            CHECK(events_apply_outbox(&k->ctx, log, kit_encode(k, &e), i + 1) == ERR_OK);
        else
            CHECK(events_append(&k->ctx, log, kit_encode(k, &e), NULL) == ERR_OK);
    }
}

static void flips_open(Flips *f)
{
    EventActor somebody = {STR(""), STR("")};
    *f = (Flips){.count = 0};
    kit_open(&f->k, 31);
    EventsLog *log = kit_log(&f->k, f->k.folder, TINY);
    append_some(&f->k, log, 0, BATCHES, &somebody);
    ask_to_erase(&f->k, log, somebody);
    erase_all(&f->k, log);
    append_some(&f->k, log, BATCHES, BATCHES + BATCHES / 4, &somebody);
    events_close(log);
    survey(f, learn_batch);
    EXPECT_I64(f->reports, 0);
}

/* ---- bytes without a meaning -------------------------------------------------------------------------- */

/* meaning[i]: whether byte i of the segment says anything. */
static void find_meaning(Str bytes, bool *meaning)
{
    size_t at = FRAME_FIRST_OFFSET;
    FrameHead h;
    memset(meaning, 0, bytes.len);
    memset(meaning, 1, at);
    for (; at + sizeof h <= bytes.len; at += frame_size(h.bytes)) {
        memcpy(&h, bytes.ptr + at, sizeof h);
        if (h.magic != FRAME_MAGIC)
            break; /* zeros */
        memset(meaning + at, 1, sizeof h + h.bytes);
    }
    for (size_t i = 0; i < bytes.len; i++)
        CHECK(meaning[i] || bytes.ptr[i] == 0);
}

static bool *meaning_of(Flips *f, Str name, Str bytes)
{
    bool *meaning = ARENA_ARRAY(f->k.ctx.arena, bool, bytes.len + 1);
    memset(meaning, 1, bytes.len);
    if (str_ends_with(name, STR(".log")))
        find_meaning(bytes, meaning);
    return meaning;
}

/* ---- turning ------------------------------------------------------------------------------------------ */

static Err see_event(Ctx *ctx, const Event *e, void *arg)
{
    (void)ctx;
    Flips *f = arg;
    Buf bytes = BUF_MAX(EVENT_BYTES_MAX + 16);
    event_encode(e, &bytes);
    f->seen++;
    f->strange += e->seq >= RECORDS_MAX || f->records[e->seq] != hash_bytes(buf_str(&bytes), 1);
    buf_free(&bytes);
    return ERR_OK;
}

/* As a server opens it: what can be made again is, and the rest is read. */
static void open_a_copy(Flips *f, bool of_segment, int64_t whole)
{
    const Str copy = kit_subfolder(&f->k, "copy");
    Str *names = NULL;
    size_t n = 0;
    CHECK(file_list(&f->k.ctx, f->k.folder, &names, &n) == ERR_OK);
    for (size_t i = 0; i < n; i++)
        if (!str_eq(names[i], STR("copy")))
            kit_write(&f->k, copy, names[i], kit_read(&f->k, f->k.folder, names[i]));
    EventsLog *log = kit_log(&f->k, copy, TINY);
    const EventsQuery q = {.limit = EVENTS_PAGE_MAX};
    EventsPage page;
    int64_t bad = 0;
    f->seen = f->strange = 0;
    CHECK(events_by_time(&f->k.ctx, log, &q, see_event, f, &page) == ERR_OK);
    EXPECT_I64(f->strange, 0);
    CHECK(events_verify(&f->k.ctx, log, NULL, NULL, &bad) == ERR_OK);
    CHECK(of_segment ? f->seen <= whole && (f->seen == whole || bad > 0) : f->seen == whole);
    events_close(log);
    test_remove_folder(copy);
}

static void turn_each_byte(Flips *f, Str name, int64_t whole)
{
    const Str good = kit_read(&f->k, f->k.folder, name);
    char *bytes = arena_bytes(f->k.ctx.arena, good.len + 1);
    const bool *meaning = meaning_of(f, name, good);
    const bool of_segment = str_ends_with(name, STR(".log"));
    Arena *const life = f->k.ctx.arena, *const scratch = arena_new(65536);
    f->k.ctx.arena = scratch;
    memcpy(bytes, good.ptr, good.len);
    for (size_t at = 0; at < good.len; at++) {
        bytes[at] ^= (char)(1 << kit_below(&f->k, 8));
        kit_write(&f->k, f->k.folder, name, (Str){bytes, good.len});
        survey(f, see_batch);
        EXPECT_I64(f->strange, 0);
        CHECK(of_segment || f->seen == f->count);
        EXPECT_I64(f->reports > 0, meaning[at]);
        CHECK(f->reports == 0 || (str_eq(str_of(f->file), name) && !f->others));
        CHECK(f->reports > 0 || f->seen == f->count);
        if (at % OPENED_OF == 0)
            open_a_copy(f, of_segment, whole);
        bytes[at] = good.ptr[at];
        arena_reset(scratch);
    }
    f->k.ctx.arena = life;
    arena_free(scratch);
    kit_write(&f->k, f->k.folder, name, good);
}

TEST(events_every_byte_that_is_turned_in_any_file_of_the_log_is_found_and_no_event_is_read_wrong)
{
    Flips f;
    Str *names = NULL;
    size_t n = 0, logs = 0, indexes = 0;
    flips_open(&f);
    CHECK(file_list(&f.k.ctx, f.k.folder, &names, &n) == ERR_OK);
    EventsLog *log = kit_log(&f.k, f.k.folder, TINY);
    const EventsQuery q = {.limit = EVENTS_PAGE_MAX};
    EventsPage page;
    f.seen = f.strange = 0;
    CHECK(events_by_time(&f.k.ctx, log, &q, see_event, &f, &page) == ERR_OK);
    events_close(log);
    const int64_t whole = f.seen;
    CHECK(f.strange == 0 && whole > BATCHES && whole < f.count);
    for (size_t i = 0; i < n; i++) {
        turn_each_byte(&f, names[i], whole);
        logs += str_ends_with(names[i], STR(".log"));
        indexes += str_ends_with(names[i], STR(".idx"));
    }
    EXPECT_I64((int64_t)(n - logs - indexes), 3); /* manifest, erased, lock */
    CHECK(logs > 2 && indexes + 1 == logs);
    survey(&f, see_batch);
    EXPECT_I64(f.reports, 0);
    EXPECT_I64(f.seen, f.count);
    kit_close(&f.k);
}
