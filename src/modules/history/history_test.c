/*
 * modules/history/history_test.c -- files into a log, against a slow model: a list that is sorted by hand.
 */
#include "modules/history/history.h"

#include "base/file.h"
#include "base/test.h"
#include "base/test_folder.h"
#include "events/events_survey.h"
#include "modules/intake/intake_testing.h"
#include "modules/room_test.h"
#include "setting.sql.h"

#include <fcntl.h>

#define HISTORY_TEST(name) ROOM_TEST(name, &SETTING_SCHEMA)
#define MAP_HEAD           "version: 1\nname: Test\ncurrency: CNY\nexponent: 2\nzone: Asia/Shanghai\nfiles:\n"

enum { FILES = 3 };

/* ---- a folder, its log, and what stands in the log -------------------------------------------------- */

typedef struct Line {
    Str source, id, name;
    int64_t time_ms;
    int64_t number; /* in the files, from 1 */
} Line;

typedef struct Seen {
    Line *at;
    size_t count;
} Seen;

enum { SEEN_MAX = 8192 };

typedef struct Place {
    Room *room;
    char dir[160];
    Str log_folder;
    EventsLog *log;
    HistoryFile file[FILES];
    size_t files;
    HistoryResult result;
    int64_t stop_after; /* ticks; 0 = never */
    int64_t ticks;
    uint64_t random;
} Place;

static Str path_in(const Place *p, const char *name)
{
    return arena_printf(p->room->ctx->arena, "%s/%s", p->dir, name);
}

static void open_log(Place *p)
{
    Ctx *ctx = p->room->ctx;
    EXPECT_OK(ctx,
              events_open(ctx, p->log_folder, &(EventsOptions){.segment_bytes = 1 << 16}, &p->log));
}

static Place place(Room *room)
{
    Place p = {.room = room, .random = 99};
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(p.dir, sizeof p.dir, "%s/history_XXXXXX", tmp == NULL ? "/tmp" : tmp);
    CHECK(mkdtemp(p.dir) != NULL);
    p.log_folder = path_in(&p, "log");
    open_log(&p);
    return p;
}

static void leave(Place *p)
{
    events_close(p->log);
    test_remove_folder(p->log_folder);
    test_remove_folder(str_of(p->dir));
}

static void put(Place *p, const char *name, Str text)
{
    File file = FILE_NONE;
    Ctx *ctx = p->room->ctx;
    EXPECT_OK(ctx, file_open(ctx, str_of(p->dir), str_of(name), FILE_CREATE, &file));
    EXPECT_OK(ctx, file_write_at(ctx, file, 0, text));
    file_close(&file);
    p->file[p->files++] = (HistoryFile){.path = path_in(p, name).ptr};
}

static Err tick(void *arg, Ctx *ctx, const HistoryProgress *progress)
{
    Place *p = arg;
    CHECK(progress->permille >= 0 && progress->permille <= 1000);
    if (p->stop_after == 0 || ++p->ticks < p->stop_after)
        return ERR_OK;
    return fail(ctx, ERR_BUSY, "test.stopped", "%" PRId64, p->ticks);
}

static HistoryOptions options(Place *p)
{
    return (HistoryOptions){.file = p->file,
                            .files = p->files,
                            .source = STR("history"),
                            .log = p->log,
                            .log_folder = p->log_folder,
                            .temp_dir = p->dir,
                            .memory_bytes = 64 * 1024,
                            .batch_events = 100,
                            .rejects_path = path_in(p, "rejects.csv").ptr,
                            .tick = tick,
                            .tick_arg = p};
}

static Err import(Place *p)
{
    const HistoryOptions o = options(p);
    return history_import(p->room->ctx, &o, &p->result);
}

static void expect_result(const Place *p, HistoryResult want)
{
    EXPECT_I64(p->result.read, want.read);
    EXPECT_I64(p->result.taken, want.taken);
    EXPECT_I64(p->result.there, want.there);
    EXPECT_I64(p->result.repeated, want.repeated);
    EXPECT_I64(p->result.refused, want.refused);
}

static Err see(Ctx *ctx, uint64_t first_seq, int64_t outbox_id, Str records, void *arg)
{
    Seen *seen = arg;
    Event e;
    (void)first_seq;
    (void)outbox_id;
    for (size_t used = 0; records.len > 0; records = str_slice(records, used, records.len)) {
        EXPECT_OK(ctx, event_decode(ctx, records, &e, &used));
        CHECK(seen->count < SEEN_MAX);
        seen->at[seen->count++] = (Line){.source = arena_copy(ctx->arena, e.source),
                                         .id = arena_copy(ctx->arena, e.id),
                                         .name = arena_copy(ctx->arena, e.name),
                                         .time_ms = e.time_ms};
    }
    return ERR_OK;
}

/* Everything in the log, in the order of arrival. */
static Seen look(const Place *p)
{
    Ctx *ctx = p->room->ctx;
    Seen seen = {.at = ARENA_ARRAY(ctx->arena, Line, SEEN_MAX)};
    EventsSurvey survey;
    int64_t bad = 0;
    EXPECT_OK(ctx, events_survey(ctx, p->log_folder, &survey));
    EXPECT_OK(ctx, events_survey_read(ctx, &survey,
                                      &(EventsSurveyVisit){.batch = see, .arg = &seen}, &bad));
    EXPECT_I64(bad, 0);
    return seen;
}

/* ---- random histories and the model ------------------------------------------------------------------- */

static uint32_t below(Place *p, uint32_t n)
{
    return random_below(&p->random, n);
}

/* `n` lines with ids out of 3/4 as many, in no order, times that tie; what the model is to keep is added to `all`. */
static void put_random(Place *p, const char *name, uint32_t n, Seen *all)
{
    static const char *const KINDS[] = {"event", "event", "event", "attributes", "link", "unlink"};
    Ctx *ctx = p->room->ctx;
    Buf text = BUF_MAX(8 << 20);
    for (uint32_t i = 0; i < n; i++) {
        const char *kind = KINDS[below(p, ARRAY_LEN(KINDS))];
        const bool link = strstr(kind, "link") != NULL;
        const Line line = {.source = STR("history"),
                           .id = arena_printf(ctx->arena, "e%u", below(p, n * 3 / 4)),
                           .name = str_of(kind[0] == 'e' ? "Bought" : ""),
                           .time_ms = ROOM_NOW_MS - (int64_t)below(p, 1000) * 86400000 * 2,
                           .number = (int64_t)all->count + 1};
        buf_addf(&text, "{\"id\":\"%s\",\"kind\":\"%s\",\"time\":%" PRId64, line.id.ptr, kind,
                 line.time_ms);
        if (line.name.len > 0)
            buf_addf(&text, ",\"name\":\"%s\"", line.name.ptr);
        buf_addf(&text, ",\"actor\":{\"kind\":\"member\",\"value\":\"%u\"}", below(p, 50));
        if (link)
            buf_addf(&text, ",\"other\":{\"kind\":\"cookie\",\"value\":\"%u\"}", below(p, 50));
        buf_addf(&text, ",\"properties\":{%s}}%s\n", link ? "" : "\"city\":\"杭州\"",
                 below(p, 9) == 0 ? "\r\n" : "");
        CHECK(all->count < SEEN_MAX);
        all->at[all->count++] = line;
    }
    CHECK(!text.overflowed);
    put(p, name, buf_str(&text));
    buf_free(&text);
}

static Seen none(const Place *p)
{
    return (Seen){.at = ARENA_ARRAY(p->room->ctx->arena, Line, SEEN_MAX)};
}

static bool has(const Seen *seen, const Line *line)
{
    for (size_t i = 0; i < seen->count; i++)
        if (str_eq(seen->at[i].id, line->id) && str_eq(seen->at[i].source, line->source))
            return true;
    return false;
}

static int by_time(const void *a, const void *b)
{
    const Line *x = a, *y = b;
    if (x->time_ms != y->time_ms)
        return x->time_ms < y->time_ms ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

/* What is to stand in the log behind `before`. */
static Seen model(const Place *p, const Seen *before, const Seen *all)
{
    Seen want = none(p);
    for (size_t i = 0; i < all->count; i++)
        if (!has(before, &all->at[i]) && !has(&want, &all->at[i]))
            want.at[want.count++] = all->at[i];
    qsort(want.at, want.count, sizeof(Line), by_time);
    return want;
}

static void expect_lines(const Seen *got, size_t from, const Seen *want)
{
    EXPECT_I64((int64_t)got->count, (int64_t)(from + want->count));
    for (size_t i = 0; i < want->count; i++) {
        const Line *g = &got->at[from + i], *w = &want->at[i];
        EXPECT_STREQ(g->id.ptr, w->id.ptr);
        EXPECT_STREQ(g->source.ptr, w->source.ptr);
        EXPECT_STREQ(g->name.ptr, w->name.ptr);
        EXPECT_I64(g->time_ms, w->time_ms);
    }
}

/* Events that came through a door: ids of the files, under this source. */
static void append_some(Place *p, Str source, uint32_t ids, int count)
{
    Ctx *ctx = p->room->ctx;
    Buf records = BUF_MAX(1 << 20);
    for (int i = 0; i < count; i++) {
        Event e;
        const Event head = {.kind = EVENT_HAPPENED,
                            .source = source,
                            .id = arena_printf(ctx->arena, "e%u", below(p, ids)),
                            .name = STR("Bought"),
                            .time_ms = ROOM_NOW_MS,
                            .received_ms = ROOM_NOW_MS};
        EXPECT_OK(ctx, event_end(event_begin(ctx, &head), &e));
        event_encode(&e, &records);
    }
    EXPECT_OK(ctx, events_append(ctx, p->log, buf_str(&records), NULL));
    buf_free(&records);
}

HISTORY_TEST(history_comes_in_once_by_its_ids_and_in_the_order_of_time)
{
    Place p = place(room);
    Seen all = none(&p);
    put_random(&p, "a.ndjson", 1500, &all);
    put_random(&p, "b.ndjson", 1000, &all);
    put_random(&p, "c.ndjson", 10, &all);
    append_some(&p, STR("history"), 2000, 40);
    append_some(&p, STR("api"), 2000, 40); /* another source's ids are other events */
    const Seen before = look(&p);
    const Seen want = model(&p, &before, &all);
    EXPECT_OK(room->ctx, import(&p));
    const Seen got = look(&p);
    expect_lines(&got, before.count, &want);
    const HistoryResult first = p.result;
    EXPECT_I64(first.read, (int64_t)all.count);
    EXPECT_I64(first.taken, (int64_t)want.count);
    EXPECT_I64(first.taken + first.there + first.repeated, first.read);
    CHECK(first.there > 0 && first.repeated > 0 && first.batches >= first.taken / 100);
    qsort(all.at, all.count, sizeof(Line), by_time);
    EXPECT_I64(first.from_ms, all.at[0].time_ms);
    EXPECT_I64(first.to_ms, all.at[all.count - 1].time_ms);
    EXPECT_OK(room->ctx, import(&p));
    expect_result(&p, (HistoryResult){.read = first.read, .there = first.read});
    EXPECT_I64((int64_t)look(&p).count, (int64_t)got.count);
    leave(&p);
}

HISTORY_TEST(an_import_that_is_stopped_anywhere_goes_on_and_nothing_is_lost_or_twice)
{
    Place p = place(room);
    Seen all = none(&p);
    const Seen before = none(&p);
    int64_t stops = 0, taken = 0;
    put_random(&p, "a.ndjson", 3000, &all);
    const Seen want = model(&p, &before, &all);
    for (Err err = ERR_BUSY; err != ERR_OK;) {
        p.ticks = 0;
        p.stop_after = 1 + below(&p, 12) + stops; /* it comes to an end */
        err = import(&p);
        CHECK(err == ERR_OK || str_eq(str_of(room->ctx->fault.reason), STR("test.stopped")));
        stops += err != ERR_OK;
        taken += p.result.taken;
        EXPECT_I64((int64_t)look(&p).count, taken);
    }
    CHECK(stops > 2);
    EXPECT_I64(taken, (int64_t)want.count);
    const Seen got = look(&p);
    for (size_t i = 0; i < want.count; i++)
        CHECK(has(&got, &want.at[i]));
    leave(&p);
}

/* Bytes of the log's first batch are other ones from now on. */
static void damage_log(Place *p)
{
    File file = FILE_NONE;
    Ctx *ctx = p->room->ctx;
    events_close(p->log);
    EXPECT_OK(ctx,
              file_open(ctx, p->log_folder, STR("00000000000000000001.log"), FILE_WRITE, &file));
    EXPECT_OK(ctx, file_write_at(ctx, file, 1000, STR("damage")));
    file_close(&file);
    open_log(p);
}

HISTORY_TEST(what_the_log_cannot_read_any_more_comes_again_and_is_said)
{
    Place p = place(room);
    Seen all = none(&p);
    put_random(&p, "a.ndjson", 3000, &all);
    EXPECT_OK(room->ctx, import(&p));
    EXPECT_I64(p.result.damaged, 0);
    damage_log(&p);
    EXPECT_OK(room->ctx, import(&p));
    CHECK(p.result.damaged > 0);
    EXPECT_I64(p.result.taken, 100); /* a batch */
    leave(&p);
}

/* ---- lines that are refused ---------------------------------------------------------------------------- */

HISTORY_TEST(bad_lines_cost_nobody_else_and_are_named_with_line_and_reason)
{
    static const char *const BAD[] = {
        "{\"id\":\"1\",\"name\":\"n\",\"time\":1795000000000",
        "{\"name\":\"n\",\"time\":1795000000000}",
        "{\"id\":\"3\",\"name\":\"n\"}",
        "{\"id\":\"4\",\"name\":\"n\",\"time\":\"1996-01-01T00:00:00Z\"}",
        "{\"id\":\"5\",\"name\":\"n\",\"time\":\"2026-11-23T12:00:00Z\"}",
        "{\"id\":\"6\",\"kind\":\"erase\",\"time\":1795000000000,"
        "\"actor\":{\"kind\":\"m\",\"value\":\"1\"}}",
        "{\"id\":\"7\",\"name\":\"n\",\"time\":1795000000000,"
        "\"actor\":{\"kind\":\"phone\",\"value\":\"139 1234\"}}",
        "[1]",
    };
    static const char *const WHY[] = {"json.malformed",  "event.missing",  "event.missing",
                                      "history.too_old", "history.future", "history.erase",
                                      "person.phone",    "event.invalid"};
    Place p = place(room);
    Buf text = BUF_MAX(16 << 20);
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
        buf_addf(&text, "{\"id\":\"good%zu\",\"name\":\"n\",\"time\":1795000000000}\n\n%s\n", i,
                 BAD[i]);
    const size_t from = text.len;
    CHECK(buf_reserve(&text, HISTORY_LINE_BYTES_MAX + 1) != NULL);
    memset(text.ptr + from, 'x', HISTORY_LINE_BYTES_MAX + 1);
    text.len += HISTORY_LINE_BYTES_MAX + 1;
    buf_addf(&text,
             "\n{\"id\":\"last\",\"name\":\"n\",\"time\":1795000000000}"); /* no end of line */
    put(&p, "bad.ndjson", buf_str(&text));
    EXPECT_OK(room->ctx, import(&p));
    const int64_t bad = ARRAY_LEN(BAD) + 1, good = bad;
    expect_result(&p, (HistoryResult){.read = good + bad, .taken = good, .refused = bad});
    Str rejects;
    EXPECT_OK(room->ctx,
              file_load(room->ctx, str_of(p.dir), STR("rejects.csv"), 1 << 20, &rejects));
    const char *said = arena_copy(room->ctx->arena, rejects).ptr;
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
        const Str row = arena_printf(room->ctx->arena, "\nbad.ndjson,%zu,", 3 * i + 3);
        const char *found = strstr(said, row.ptr);
        CHECK(found != NULL && strstr(found, WHY[i]) != NULL);
        CHECK(strcspn(strstr(found, WHY[i]), "\n") < strcspn(found + 1, "\n"));
    }
    CHECK(strstr(said, "bad.ndjson,25,,,history.line_too_long") != NULL);
    CHECK(strstr(said, "1234") == NULL); /* no number of anybody */
    EXPECT_I64((int64_t)p.result.reasons, 8);
    EXPECT_I64(p.result.reason[1].count, 2);
    EXPECT_I64(p.result.reason[1].line, 6);
    buf_free(&text);
    leave(&p);
}

HISTORY_TEST(lines_of_any_length_are_read_whole_wherever_a_read_ends)
{
    enum { LINES = 60, NOTE_BYTES = 30000 };
    Place p = place(room);
    Buf text = BUF_MAX(8 << 20);
    char *note = arena_bytes(room->ctx->arena, NOTE_BYTES);
    memset(note, 'n', NOTE_BYTES);
    for (int i = 0; i < LINES; i++)
        buf_addf(&text,
                 "{\"id\":\"%d\",\"name\":\"n\",\"time\":%" PRId64
                 ",\"properties\":{\"note\":\"%.*s\"}}\n%s",
                 i, ROOM_NOW_MS - LINES + i, (int)below(&p, NOTE_BYTES), note,
                 i % 3 == 0 ? "\n \n" : "");
    put(&p, "long.ndjson", buf_str(&text));
    HistoryOptions o = options(&p);
    o.batch_events = 1;
    EXPECT_OK(room->ctx, history_import(room->ctx, &o, &p.result));
    expect_result(&p, (HistoryResult){.read = LINES, .taken = LINES});
    const Seen got = look(&p);
    for (size_t i = 0; i < LINES; i++)
        EXPECT_STREQ(got.at[i].id.ptr, arena_printf(room->ctx->arena, "%zu", i).ptr);
    buf_free(&text);
    leave(&p);
}

HISTORY_TEST(a_dry_run_reads_everything_and_changes_nothing)
{
    Place p = place(room);
    Seen all = none(&p);
    put_random(&p, "a.ndjson", 500, &all);
    HistoryOptions o = options(&p);
    const Seen before = none(&p), want = model(&p, &before, &all);
    o.log = NULL;
    EXPECT_OK(room->ctx, history_import(room->ctx, &o, &p.result));
    expect_result(&p, (HistoryResult){.read = 500,
                                      .taken = (int64_t)want.count,
                                      .repeated = 500 - (int64_t)want.count});
    EXPECT_I64((int64_t)look(&p).count, 0);
    leave(&p);
}

HISTORY_TEST(a_source_of_our_own_or_of_bad_letters_is_refused_before_anything_is_read)
{
    Place p = place(room);
    HistoryOptions o = options(&p);
    o.source = STR("order");
    EXPECT_FAULT(room->ctx, history_import(room->ctx, &o, &p.result), ERR_INVALID,
                 "event.source_reserved");
    o.source = STR("a b");
    EXPECT_FAULT(room->ctx, history_import(room->ctx, &o, &p.result), ERR_INVALID,
                 "history.source");
    leave(&p);
}

HISTORY_TEST(a_history_that_the_disk_cannot_hold_is_refused_before_it_is_read)
{
    Place p = place(room);
    put(&p, "large.ndjson", STR(""));
    CHECK(truncate(p.file[0].path, INT64_C(1) << 43) == 0); /* a hole */
    EXPECT_FAULT(room->ctx, import(&p), ERR_BUSY, "history.no_room");
    EXPECT_I64(p.result.read, 0);
    leave(&p);
}

/* ---- tables ---------------------------------------------------------------------------------------------- */

static Err keep_event(Ctx *ctx, const Event *e, void *arg)
{
    Buf *out = arg;
    buf_addf(out, "%.*s %.*s %.*s:%.*s %.*s", STR_ARG(e->id), STR_ARG(e->name),
             STR_ARG(e->actor.kind), STR_ARG(e->actor.value), STR_ARG(e->store));
    for (uint32_t i = 0; i < e->prop_count; i++) {
        const EventProp *prop = &e->props[i];
        buf_addf(out, " %.*s=%d/%" PRId64 "e-%d/%.*s", STR_ARG(prop->name), (int)prop->type,
                 prop->i64, prop->scale, STR_ARG(prop->text));
    }
    buf_add_char(out, '\n');
    (void)ctx;
    return ERR_OK;
}

static const char *told(Place *p)
{
    Buf text = BUF_MAX(1 << 16);
    EventsPage page;
    const EventsQuery q = {.limit = 100, .oldest_first = true};
    EXPECT_OK(p->room->ctx, events_by_time(p->room->ctx, p->log, &q, keep_event, &text, &page));
    const char *out = arena_copy(p->room->ctx->arena, buf_str(&text)).ptr;
    buf_free(&text);
    return out;
}

HISTORY_TEST(a_table_comes_in_through_a_map_with_numbers_booleans_and_times)
{
    Place p = place(room);
    HistoryOptions o = options(&p);
    put(&p, "map.yaml",
        STR(MAP_HEAD
            "  - file: visits_*.csv\n    target: events\n    fields:\n"
            "      id: {concat: [shop, no], with: '-'}\n      name: {constant: Visited}\n"
            "      time: at\n      actor_kind: {constant: card}\n      actor: card\n"
            "      store: shop\n    attributes:\n      spent: {column: sum, type: number}\n"
            "      first: {column: first, type: boolean}\n"
            "      born: {column: born, type: time, parse: yyyy-MM-dd}\n      how: how\n"
            "      paid: {column: sum, type: money, float_noise: true}\n"
            "    skip: [{as: test, column: shop, in: [TEST]}]\n"));
    EXPECT_OK(room->ctx, intake_map_load(room->ctx, p.file[0].path, &o.map));
    p.files = 0;
    put(&p, "visits_1.csv",
        STR("shop,no,at,card,sum,first,born,how\n"
            "S1,2,2025-03-02 10:00:00,C7,12.50,true,1970-01-02,on foot\n"
            "S1,1,2025-03-01 10:00:00,,-3,0,,\n"
            "S1,3,2025-03-03 10:00:00,C7,1.0000000001,0,,\n"
            "S1,4,2025-03-04 10:00:00,C7,1,perhaps,,\n"
            "S1,5,1990-03-04 10:00:00,C7,1,1,,\n"
            "TEST,6,2025-03-04 10:00:00,C7,1,1,,\n"));
    p.file[0].entry = intake_map_entry(o.map, p.file[0].path);
    CHECK(p.file[0].entry != NULL && intake_map_entry(o.map, "/x/visit.csv") == NULL);
    CHECK(intake_map_entry(o.map, "visits_9.csv.gz") == p.file[0].entry);
    o.files = 1;
    EXPECT_OK(room->ctx, history_import(room->ctx, &o, &p.result));
    expect_result(&p, (HistoryResult){.read = 6, .taken = 2, .refused = 3});
    EXPECT_I64(p.result.left_out, 1);
    EXPECT_STREQ(p.result.reason[0].reason, "intake.not_a_number");
    EXPECT_STREQ(p.result.reason[1].reason, "intake.not_a_boolean");
    EXPECT_STREQ(p.result.reason[2].reason, "history.too_old");
    EXPECT_I64(p.result.reason[2].line, 6);
    EXPECT_STREQ(told(&p), "S1-1 Visited : S1 spent=2/-3e-0/ first=4/0e-0/ paid=2/-3e-0/\n"
                           "S1-2 Visited card:C7 S1 spent=2/125e-1/ first=4/1e-0/ "
                           "born=5/57600000e-0/ how=1/0e-0/on foot paid=2/125e-1/\n");
    leave(&p);
}

HISTORY_TEST(a_phone_number_comes_in_as_its_keyed_hash_only_from_lines_and_tables)
{
    Place p = place(room);
    HistoryOptions o = options(&p);
    put(&p, "map.yaml",
        STR(MAP_HEAD "  - file: calls.csv\n    target: events\n    fields: {id: no, name: what, "
                     "time: at, actor_kind: {constant: phone}, actor: phone}\n"));
    EXPECT_OK(room->ctx, intake_map_load(room->ctx, p.file[0].path, &o.map));
    p.files = 0;
    put(&p, "calls.csv", STR("no,what,at,phone\n1,Called,2025-03-02 10:00:00,13912345678\n"));
    put(&p, "calls.ndjson",
        STR("{\"id\":\"2\",\"name\":\"Called\",\"time\":\"2025-03-03T10:00:00Z\","
            "\"actor\":{\"kind\":\"phone\",\"value\":\"+8613912345678\"}}\n"));
    p.file[0].entry = intake_map_entry(o.map, p.file[0].path);
    o.files = 2;
    EXPECT_OK(room->ctx, history_import(room->ctx, &o, &p.result));
    expect_result(&p, (HistoryResult){.read = 2, .taken = 2});
    const char *said = told(&p);
    CHECK(strstr(said, "12345678") == NULL);
    const char *first = strstr(said, "phone:"), *second = strstr(first + 1, "phone:");
    CHECK(first != NULL && second != NULL);
    CHECK(strncmp(first, second, strcspn(first, " ")) == 0);
    leave(&p);
}
