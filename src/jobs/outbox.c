/*
 * jobs/outbox.c -- the journal writer, the replay at start, the tending.
 */
#include "jobs/outbox.h"

#include "base/log.h"
#include "outbox.sql.h"

#include <stdlib.h>

/* A trim waits in the same queue as the tills: what one deletes is bounded in bytes, for every page of a
 * row is read and freed, and 10 MB of them would stop the writer for 20 ms. */
enum {
    REPLAY_ROWS = 100,
    TRIM_ROWS = 200,
    TRIM_BYTES = 256 << 10,
    ENCODE_BYTES_MAX = EVENT_BYTES_MAX
};

struct Outbox {
    Database *database;
    EventsLog *log;
    Arena *arena;           /* for committed(), which has no request */
    _Atomic int64_t behind; /* rows whose application failed */
};

static Serial outbox_ids = {.table = "outbox"};

static Err journal_write(Tx *tx, Str records, void *arg, int64_t *journal_id)
{
    (void)arg;
    TRY(db_serial(tx, &outbox_ids, journal_id));
    return sql_outbox_insert(tx, *journal_id, tx->ctx->now_ms, records, NULL);
}

/* The commit is durable.  A failure here loses nothing: the row stays and is applied later. */
static void journal_committed(Str records, int64_t journal_id, void *arg)
{
    Outbox *o = arg;
    Arena *arena = arena_new(4096);
    Ctx ctx = {.arena = arena};
    if (events_apply_outbox(&ctx, o->log, records, journal_id) != ERR_OK) {
        atomic_fetch_add(&o->behind, 1);
        LOG(LOG_ERROR, "outbox.behind", LOG_I64("id", journal_id),
            LOG_C("reason", ctx.fault.reason), LOG_C("detail", ctx.fault.detail));
    }
    arena_free(arena);
}

/* Applies every row above `after`; the log passes over what it has. */
static Err apply_above(Ctx *ctx, Outbox *o, int64_t after)
{
    for (;;) {
        Arena *page = arena_new(1 << 16);
        Ctx c = *ctx;
        c.arena = page;
        Row_outbox_after *rows = NULL;
        size_t count = 0;
        Err err = sql_outbox_after(&c, after, REPLAY_ROWS, &rows, &count);
        for (size_t i = 0; err == ERR_OK && i < count; i++) {
            err = events_apply_outbox(&c, o->log, rows[i].events, rows[i].id);
            after = rows[i].id;
        }
        ctx->fault = c.fault;
        arena_free(page);
        if (err != ERR_OK || count < REPLAY_ROWS)
            return err;
    }
}

static Err with_reader(Ctx *ctx, Outbox *o, int64_t after)
{
    Db *before = ctx->db;
    ctx->db = database_reader_take(o->database);
    const Err err = apply_above(ctx, o, after);
    database_reader_give(o->database, ctx->db);
    ctx->db = before;
    return err;
}

/* Numbers that a rolled-back transaction or the last stop left out will never come: without this word the
 * log would wait for them and every start replay everything behind.  Not on PostgreSQL, where another
 * process may have numbers of an older block in flight. */
static Err settle(Ctx *ctx, Outbox *o)
{
    if (database_is_postgres(o->database))
        return ERR_OK;
    Db *before = ctx->db;
    Row_outbox_bounds bounds;
    ctx->db = database_reader_take(o->database);
    Err err = sql_outbox_bounds(ctx, &bounds);
    database_reader_give(o->database, ctx->db);
    ctx->db = before;
    TRY(err);
    TRY(events_sync(ctx, o->log)); /* what is settled is never replayed */
    events_settle_outbox(o->log, bounds.last);
    return ERR_OK;
}

Err outbox_open(Ctx *ctx, Database *database, EventsLog *log, Outbox **out)
{
    Outbox *o = calloc(1, sizeof *o);
    CHECK(o != NULL);
    *o = (Outbox){.database = database, .log = log};
    Err err = with_reader(ctx, o, events_applied_through(log));
    if (err == ERR_OK)
        err = settle(ctx, o);
    if (err != ERR_OK) {
        outbox_close(o);
        return err;
    }
    database_set_journal(
        database,
        (DatabaseJournal){.write = journal_write, .committed = journal_committed, .arg = o});
    *out = o;
    return ERR_OK;
}

void outbox_close(Outbox *outbox)
{
    free(outbox);
}

Err outbox_emit(Tx *tx, const Event *event)
{
    Buf bytes = BUF_MAX(ENCODE_BYTES_MAX);
    event_encode(event, &bytes);
    CHECK(!bytes.overflowed);
    const Err err = tx_journal(tx, buf_str(&bytes));
    buf_free(&bytes);
    return err;
}

typedef struct Trim {
    EventsLog *log;
    int64_t before_ms;
    bool more;
} Trim;

static Err trim_body(Tx *tx, void *arg)
{
    Trim *t = arg;
    Row_outbox_oldest *rows = NULL;
    size_t count = 0, i = 0;
    int64_t deleted = 0, bytes = 0;
    TRY(sql_outbox_oldest(tx->ctx, TRIM_ROWS, &rows, &count));
    for (; i < count && rows[i].at_ms < t->before_ms && bytes < TRIM_BYTES; i++) {
        if (!events_outbox_is_durable(t->log, rows[i].id))
            continue;
        TRY(sql_outbox_delete(tx, rows[i].id, NULL));
        deleted++;
        bytes += rows[i].bytes;
    }
    t->more = deleted > 0 && (bytes >= TRIM_BYTES || i == TRIM_ROWS);
    return ERR_OK;
}

Err outbox_tend(Ctx *ctx, Outbox *o, int64_t keep_ms, bool *more)
{
    const int64_t behind = atomic_load(&o->behind);
    if (behind > 0) {
        TRY(with_reader(ctx, o, events_applied_through(o->log)));
        atomic_fetch_sub(&o->behind, behind);
    }
    Trim t = {.log = o->log, .before_ms = ctx->now_ms - keep_ms};
    Ctx c = *ctx;
    c.arena = arena_new(1 << 14); /* its own: a long backlog takes thousands of calls */
    const Err err = database_write(o->database, &c, "outbox.trim", trim_body, &t);
    ctx->fault = c.fault;
    arena_free(c.arena);
    *more = t.more;
    return err;
}

int64_t outbox_behind(const Outbox *outbox)
{
    return atomic_load(&outbox->behind);
}
