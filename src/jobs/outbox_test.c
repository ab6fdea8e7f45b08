/*
 * jobs/outbox_test.c -- what outbox.h promises, with a real event log in a folder of its own.
 */
#include "jobs/outbox.h"

#include "modules/room_test.h"
#include "outbox.sql.h"

#define MINUTE_MS INT64_C(60000)

/* ---- a log ------------------------------------------------------------------------------------------- */

typedef struct Wire {
    Room *room;
    char folder[64];
    EventsLog *log;
    Outbox *outbox; /* NULL = not connected */
} Wire;

/* A log that syncs what comes from the outbox only when it is told to. */
static void wire_open_log(Wire *w)
{
    EXPECT_OK(w->room->ctx,
              events_open(w->room->ctx, arena_printf(w->room->ctx->arena, "%s/log", w->folder),
                          &(EventsOptions){.segment_bytes = 1 << 20, .lazy_ms = 600000}, &w->log));
}

static void wire_begin(Wire *w, Room *room)
{
    *w = (Wire){.room = room, .folder = "/tmp/outbox_test_XXXXXX"};
    CHECK(mkdtemp(w->folder) != NULL);
    wire_open_log(w);
}

static void wire_connect(Wire *w)
{
    EXPECT_OK(w->room->ctx, outbox_open(w->room->ctx, w->room->world.database, w->log, &w->outbox));
}

/* As the program stops: the database first, whose last commits still speak to the outbox. */
static void wire_disconnect(Wire *w)
{
    world_reopen(&w->room->world);
    outbox_close(w->outbox);
    w->outbox = NULL;
}

/* The log is gone, as after a lost disk; the database is not. */
static void wire_lose_log(Wire *w)
{
    char command[128];
    events_close(w->log);
    (void)snprintf(command, sizeof command, "rm -r %s/log", w->folder);
    CHECK(system(command) == 0);
    wire_open_log(w);
}

static void wire_end(Wire *w)
{
    char command[128];
    if (w->outbox != NULL)
        wire_disconnect(w);
    events_close(w->log);
    (void)snprintf(command, sizeof command, "rm -r %s", w->folder);
    CHECK(system(command) == 0);
}

/* ---- emitting ------------------------------------------------------------------------------------------ */

typedef struct Emit {
    int first, count; /* events "e<first>" ... */
    bool fail_after;
} Emit;

static Err event_of(Ctx *ctx, int number, Event *out)
{
    const Event head = {.kind = EVENT_HAPPENED,
                        .source = STR("t"),
                        .id = arena_printf(ctx->arena, "e%d", number),
                        .name = STR("Thing Happened"),
                        .time_ms = ROOM_NOW_MS + number,
                        .received_ms = ROOM_NOW_MS};
    EventBuilder *b = event_begin(ctx, &head);
    event_prop_i64(b, STR("number"), number);
    return event_end(b, out);
}

static Err emit_body(Tx *tx, void *arg)
{
    const Emit *e = arg;
    for (int i = 0; i < e->count; i++) {
        Event event;
        TRY(event_of(tx->ctx, e->first + i, &event));
        TRY(outbox_emit(tx, &event));
    }
    return e->fail_after ? fail(tx->ctx, ERR_CONFLICT, "t.no", "test") : ERR_OK;
}

static void emit(Room *room, int first, int count)
{
    Emit e = {.first = first, .count = count};
    EXPECT_OK(room->ctx, room_write(room, emit_body, &e));
}

/* ---- hearing ------------------------------------------------------------------------------------------- */

typedef struct Heard {
    int next;  /* number that must come next, descending: newest first */
    int wrong; /* events that were not it */
} Heard;

static Err hear(Ctx *ctx, const Event *e, void *arg)
{
    Heard *h = arg;
    Event want;
    TRY(event_of(ctx, h->next, &want));
    h->wrong += !str_eq(e->id, want.id) || e->prop_count != 1 || e->props[0].i64 != h->next;
    h->next--;
    return ERR_OK;
}

/* The log holds e1 ... e<n>, each once, and nothing else. */
static void expect_log(Wire *w, int n)
{
    Heard h = {.next = n};
    EventsPage page;
    EXPECT_I64(events_count(w->log), n);
    EXPECT_OK(w->room->ctx,
              events_by_time(w->room->ctx, w->log, &(EventsQuery){.limit = 1000}, hear, &h, &page));
    EXPECT_I64(h.next, 0);
    EXPECT_I64(h.wrong, 0);
}

static int64_t rows(Room *room)
{
    Row_outbox_oldest *oldest = NULL;
    size_t count = 0;
    EXPECT_OK(room->ctx, sql_outbox_oldest(room->ctx, 1000, &oldest, &count));
    return (int64_t)count;
}

/* ---- out of the transaction ---------------------------------------------------------------------------- */

ROOM_TEST(outbox_events_are_in_the_log_when_the_write_returns_and_in_the_table, &OUTBOX_SCHEMA)
{
    Wire w;
    wire_begin(&w, room);
    wire_connect(&w);
    emit(room, 1, 3);
    expect_log(&w, 3);
    EXPECT_I64(rows(room), 1); /* one row for the whole group */
    emit(room, 4, 1);
    expect_log(&w, 4);
    EXPECT_I64(rows(room), 2);
    EXPECT_I64(outbox_behind(w.outbox), 0);
    wire_end(&w);
}

ROOM_TEST(outbox_events_of_a_rolled_back_transaction_never_were, &OUTBOX_SCHEMA)
{
    Wire w;
    wire_begin(&w, room);
    wire_connect(&w);
    Emit e = {.first = 9, .count = 2, .fail_after = true};
    EXPECT_FAULT(room->ctx, room_write(room, emit_body, &e), ERR_CONFLICT, "t.no");
    EXPECT_I64(rows(room), 0);
    emit(room, 1, 1);
    expect_log(&w, 1);
    wire_end(&w);
}

/* A whole event of the greatest size, again and again, until the transaction's journal is full. */
static Err emit_much_body(Tx *tx, void *arg)
{
    Ctx *ctx = tx->ctx;
    char *text = arena_bytes(ctx->arena, EVENT_TEXT_BYTES_MAX);
    memset(text, 'x', EVENT_TEXT_BYTES_MAX);
    for (int *i = arg; *i < 100000; ++*i) {
        const Event head = {.kind = EVENT_HAPPENED,
                            .source = STR("t"),
                            .id = STR("much"),
                            .name = STR("Much Happened"),
                            .time_ms = 1,
                            .received_ms = 1};
        EventBuilder *b = event_begin(ctx, &head);
        for (int p = 0; p < 15; p++)
            event_prop_text(b, arena_printf(ctx->arena, "p%d", p),
                            (Str){text, EVENT_TEXT_BYTES_MAX});
        Event event;
        TRY(event_end(b, &event));
        TRY(outbox_emit(tx, &event));
    }
    return ERR_OK;
}

ROOM_TEST(outbox_refuses_more_events_than_a_transaction_may_have, &OUTBOX_SCHEMA)
{
    Wire w;
    int fitted = 0;
    wire_begin(&w, room);
    wire_connect(&w);
    EXPECT_FAULT(room->ctx, room_write(room, emit_much_body, &fitted), ERR_TOO_LARGE,
                 "db.journal_full");
    CHECK(fitted > 1);
    EXPECT_I64(rows(room), 0);
    EXPECT_I64(events_count(w.log), 0);
    wire_end(&w);
}

/* ---- replay ------------------------------------------------------------------------------------------------ */

ROOM_TEST(outbox_replays_what_the_log_lost_exactly_once, &OUTBOX_SCHEMA)
{
    enum { GROUPS = 230 }; /* over two pages of the replay */
    Wire w;
    wire_begin(&w, room);
    wire_connect(&w);
    for (int i = 0; i < GROUPS; i++)
        emit(room, 1 + 2 * i, 2);
    wire_disconnect(&w);
    wire_lose_log(&w);
    EXPECT_I64(events_count(w.log), 0);
    for (int start = 0; start < 3; start++) { /* a second and third start find nothing to do */
        wire_connect(&w);
        expect_log(&w, 2 * GROUPS);
        wire_disconnect(&w);
        if (start == 1) {
            events_close(w.log);
            wire_open_log(&w);
        }
    }
    wire_end(&w);
}

/* A row as the transaction wrote it, which the commit's hook did not get to apply. */
typedef struct Unapplied {
    int64_t id;
    int first, count;
} Unapplied;

static Err unapplied_body(Tx *tx, void *arg)
{
    const Unapplied *u = arg;
    Buf bytes = BUF_MAX(1 << 16);
    Err err = ERR_OK;
    for (int i = 0; err == ERR_OK && i < u->count; i++) {
        Event e;
        err = event_of(tx->ctx, u->first + i, &e);
        if (err == ERR_OK)
            event_encode(&e, &bytes);
    }
    if (err == ERR_OK)
        err = sql_outbox_insert(tx, u->id, tx->ctx->now_ms, buf_str(&bytes), NULL);
    buf_free(&bytes);
    return err;
}

static int64_t last_id(Room *room)
{
    Row_outbox_bounds b = {0};
    EXPECT_OK(room->ctx, sql_outbox_bounds(room->ctx, &b));
    return b.last;
}

ROOM_TEST(outbox_applies_what_a_crash_left_between_commit_and_log, &OUTBOX_SCHEMA)
{
    Wire w;
    wire_begin(&w, room);
    wire_connect(&w);
    emit(room, 1, 2);
    wire_disconnect(&w);
    Unapplied u = {.id = last_id(room) + 1, .first = 3, .count = 2};
    EXPECT_OK(room->ctx, room_write(room, unapplied_body, &u));
    expect_log(&w, 2);
    wire_connect(&w);
    expect_log(&w, 4);
    emit(room, 5, 1); /* and goes on with another number */
    expect_log(&w, 5);
    wire_disconnect(&w);
    wire_connect(&w);
    expect_log(&w, 5);
    wire_end(&w);
}

ROOM_TEST(outbox_numbers_that_never_came_hold_nothing_up_after_a_start, &OUTBOX_SCHEMA)
{
    if (room->world.postgres)
        return; /* there another process may still bring them */
    Wire w;
    EventsStat stat;
    wire_begin(&w, room);
    for (int start = 0; start < 3; start++) { /* each start leaves numbers out */
        wire_connect(&w);
        events_stat(w.log, &stat);
        EXPECT_I64(stat.applied_ranges, 1);
        EXPECT_I64(events_applied_through(w.log), last_id(room));
        emit(room, 1 + start, 1);
        wire_disconnect(&w);
    }
    expect_log(&w, 3);
    wire_end(&w);
}

/* ---- tending ------------------------------------------------------------------------------------------------ */

static bool tend(Wire *w, int64_t keep_ms)
{
    bool more = false;
    Db *reader = w->room->ctx->db;
    EXPECT_OK(w->room->ctx, outbox_tend(w->room->ctx, w->outbox, keep_ms, &more));
    CHECK(w->room->ctx->db == reader);
    return more;
}

ROOM_TEST(outbox_tend_deletes_only_what_is_durable_and_old, &OUTBOX_SCHEMA)
{
    Wire w;
    wire_begin(&w, room);
    wire_connect(&w);
    emit(room, 1, 1);
    room_advance(room, MINUTE_MS);
    emit(room, 2, 1);
    EXPECT_I64(tend(&w, MINUTE_MS / 2), false);
    EXPECT_I64(rows(room), 2); /* old, but the log has not synced it */
    EXPECT_OK(room->ctx, events_sync(room->ctx, w.log));
    EXPECT_I64(tend(&w, MINUTE_MS), false);
    EXPECT_I64(rows(room), 2); /* synced, but not older than a minute */
    EXPECT_I64(tend(&w, MINUTE_MS / 2), false);
    EXPECT_I64(rows(room), 1);
    room_advance(room, MINUTE_MS);
    (void)tend(&w, MINUTE_MS / 2);
    EXPECT_I64(rows(room), 0);
    expect_log(&w, 2);
    wire_disconnect(&w);
    wire_connect(&w);
    emit(room, 3, 1); /* a number above those that were deleted */
    expect_log(&w, 3);
    wire_end(&w);
}

ROOM_TEST(outbox_tend_says_when_there_is_more, &OUTBOX_SCHEMA)
{
    enum { GROUPS = 450 };
    Wire w;
    int calls = 0;
    wire_begin(&w, room);
    wire_connect(&w);
    for (int i = 0; i < GROUPS; i++)
        emit(room, 1 + i, 1);
    EXPECT_OK(room->ctx, events_sync(room->ctx, w.log));
    room_advance(room, MINUTE_MS);
    /* One of the oldest rows is not in the log: it must neither go nor stop the others. */
    Unapplied u = {.id = 0};
    room->ctx->now_ms -= MINUTE_MS;
    EXPECT_OK(room->ctx, room_write(room, unapplied_body, &u));
    room->ctx->now_ms += MINUTE_MS;
    u.id = -1;
    room->ctx->now_ms -= MINUTE_MS;
    EXPECT_OK(room->ctx, room_write(room, unapplied_body, &u));
    room->ctx->now_ms += MINUTE_MS;
    while (tend(&w, 0))
        calls++;
    CHECK(calls >= 2 && calls <= 4);
    CHECK(rows(room) <= 2);
    wire_end(&w);
}

static Err garbage_body(Tx *tx, void *arg)
{
    (void)arg;
    return tx_journal(tx, STR("this is no event"));
}

typedef struct Mend {
    int64_t id;
} Mend;

static Err mend_body(Tx *tx, void *arg)
{
    const Mend *m = arg;
    TRY(sql_outbox_delete(tx, m->id, NULL));
    return unapplied_body(tx, &(Unapplied){.id = m->id, .first = 1, .count = 1});
}

ROOM_TEST(outbox_counts_what_the_log_refused_and_applies_it_later, &OUTBOX_SCHEMA)
{
    Wire w;
    bool more = false;
    wire_begin(&w, room);
    wire_connect(&w);
    EXPECT_OK(room->ctx, room_write(room, garbage_body, NULL));
    EXPECT_I64(outbox_behind(w.outbox), 1);
    EXPECT_FAULT(room->ctx, outbox_tend(room->ctx, w.outbox, 0, &more), ERR_INVALID,
                 "event.encoding");
    EXPECT_I64(outbox_behind(w.outbox), 1);
    Mend m = {last_id(room)};
    EXPECT_OK(room->ctx, room_write(room, mend_body, &m));
    EXPECT_I64(tend(&w, MINUTE_MS), false);
    EXPECT_I64(outbox_behind(w.outbox), 0);
    expect_log(&w, 1);
    wire_end(&w);
}
