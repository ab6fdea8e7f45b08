/*
 * events/events.h -- the durable event log and its first readers.
 *
 * Owns:     the folder that it is opened on (normally DATA/events/log/): segments "N.log" named by
 *           their first sequence number, their indexes "N.idx", "manifest", "erased", "erased.damaged", "spare",
 *           "lock".  Formats: docs/formats/event-log.md.  One EventsLog per folder: a second open is refused.
 * Promises: what was acknowledged is on disk and visible to the next query, in arrival order, also
 *           after a crash at any point; a batch is in the log whole or not at all; an outbox record
 *           is in the log exactly once, whatever was replayed; a full disk is BUSY "disk.full" and
 *           heals when there is room; damage is never fatal: the rest stays readable.
 * Memory:   however large the log is, at most about 120 MiB of indexes, and mapped index pages that the kernel
 *           may drop: 45 bytes per event of the newest segment and of at most two that wait to be
 *           sealed, 100 per event of the one being sealed (EVENTS_SEGMENT_COUNT_MAX limits them).  That is
 *           when each event is a batch of its own; of large batches it is 28 and 70, together 80 MiB.  Names are
 *           beside it, each once per 4,096 events.
 *           Beside the indexes a window of 256 KiB per reader, up to 16 MiB where a batch has as much; queued
 *           batches, at most 32 MiB, which with 40 bytes per event are their callers'.  So about 170 MiB with one
 *           reader; 64 MiB more while events_follow() reads files; while a segment is rewritten as much as
 *           sealing one takes, with two windows more; and 32 bytes per actor that was ever erased, up to three
 *           times while the log is looked through for them.
 * Threads:  every function may be called from any thread.
 * Depends:  base.
 */
#pragma once

#include "base/queue.h"
#include "events/event.h"

typedef struct EventsLog EventsLog;
struct CryptoKey;

enum {
    EVENTS_BATCH_BYTES_MAX = 16 * 1024 * 1024, /* also at most what an empty segment holds */
    EVENTS_BATCH_COUNT_MAX = 65536,
    EVENTS_SEGMENT_COUNT_MAX = 1 << 19, /* a segment with that many events is sealed early */
    EVENTS_PAGE_MAX = 1000,             /* most events that one call reads */
};
#define EVENTS_SEQ_MAX (UINT64_C(1) << 62)

typedef struct EventsOptions {
    int64_t segment_bytes; /* 0 = 64 MiB; a multiple of 4096 */
    int64_t lazy_ms;       /* outbox events are synced after at most this; 0 = 1,000 */
    int64_t lazy_bytes;    /* ... or when this much waits; 0 = 4 MiB */
} EventsOptions;

/*
 * Opens or makes the log, cuts a torn tail, rebuilds missing or damaged indexes.
 * Errors: CONFLICT "file.locked", BUSY "disk.full", INTERNAL "disk.failed".
 */
MUST_USE Err events_open(Ctx *ctx, Str folder, const EventsOptions *options, EventsLog **out);

/* Waits for what was submitted, syncs and closes; no call may be running.  NULL does nothing. */
void events_close(EventsLog *log);

/* ---- appending ------------------------------------------------------------------------------- */

/* `records`: encoded events (event_encode), one behind the other.
 * Errors of every append: INVALID "event.encoding" (nothing was appended), TOO_LARGE
 * "events.batch", BUSY "disk.full" and INTERNAL "disk.failed".  After a failed sync the batch may
 * be in the log nevertheless: send it again with the same ids. */

typedef struct EventsBatch {
    struct EventsRow *rows;
    uint32_t count;
    uint32_t crc;
} EventsBatch;

/* A batch on its way.  The caller keeps it, its Ctx and the records alive and untouched until
 * `done` was called, on the log's thread; `err` and ctx->fault then say how it went. */
typedef struct EventsTask {
    QueueNode node;
    Ctx *ctx;
    Str records;
    bool encoded; /* event_encode() made them just now: they are not checked again */
    void (*done)(struct EventsTask *task);
    void *arg;          /* the caller's own */
    Err err;            /* set before done() */
    uint64_t first_seq; /* of the batch, when err is OK */
    EventsBatch batch;  /* the log's own */
} EventsTask;

/* Queues a batch: never waits for the disk.  done() is called after the batch is on disk and
 * visible, or failed; when this returns an error (refused records, or BUSY "events.busy" with too
 * much in the queue) it is not called. */
MUST_USE Err events_submit(EventsLog *log, EventsTask *task);

/* The same, and waits.  Many callers share one sync.  *first_seq may be NULL. */
MUST_USE Err events_append(Ctx *ctx, EventsLog *log, Str records, uint64_t *first_seq);

/*
 * One outbox row (the journal of one commit group), visible on return, synced within lazy_ms.  An
 * id that is in the log is passed over with OK; ids are above 0 and may come in any order.  May
 * wait a few milliseconds when a segment is full.  On an error the row stays due: call again.
 * Also BUSY "events.outbox_gaps": too many gaps between the ids, settle them.
 */
MUST_USE Err events_apply_outbox(Ctx *ctx, EventsLog *log, Str records, int64_t outbox_id);

/* Every outbox id up to this one is in the log, on disk (or was settled): the rows that a start has
 * to replay are above it, and replaying too many does no harm. */
int64_t events_applied_through(EventsLog *log);

/* Whether this row is in the log, on disk: only then may it be deleted. */
bool events_outbox_is_durable(EventsLog *log, int64_t outbox_id);

/* The caller's word that no id up to this one will ever come again (rows deleted, none in flight):
 * ids that a rolled-back transaction skipped would otherwise keep events_applied_through() back. */
void events_settle_outbox(EventsLog *log, int64_t through_id);

/* Waits until everything that is visible now is on disk: before a backup. */
MUST_USE Err events_sync(Ctx *ctx, EventsLog *log);

/* ---- reading --------------------------------------------------------------------------------- */

/* Where a page ended: pass it back to go on, in either direction.  seq 0 = from the newest, or the oldest. */
typedef struct EventsCursor {
    int64_t time_ms;
    uint64_t seq;
} EventsCursor;

typedef struct EventsQuery {
    EventActor actor; /* events_by_actor() only; empty = actor 0 */
    int64_t from_ms;  /* by time of the event, [from, to) */
    int64_t to_ms;    /* 0 = no end */
    uint32_t limit;   /* 1 to EVENTS_PAGE_MAX */
    bool oldest_first;
    EventsCursor after;
} EventsQuery;

typedef struct EventsPage {
    uint32_t given; /* times that `fn` was called */
    bool more;      /* there may be more behind `next` */
    EventsCursor next;
    uint64_t damaged; /* events that belong here but could not be read: see events_verify() */
} EventsPage;

/* Called per event, newest (time, then arrival) first unless asked otherwise; the event lives only during the
 * call.  An Err stops and is returned. */
typedef Err (*EventFn)(Ctx *ctx, const Event *e, void *arg);

/* Every record of one actor key: events, attribute changes, links.  Errors: INVALID "events.limit",
 * INTERNAL "disk.failed", or what `fn` returned. */
MUST_USE Err events_by_actor(Ctx *ctx, EventsLog *log, const EventsQuery *q, EventFn fn, void *arg,
                             EventsPage *page);
MUST_USE Err events_by_time(Ctx *ctx, EventsLog *log, const EventsQuery *q, EventFn fn, void *arg,
                            EventsPage *page);

/* Whoever asked to be erased is forgotten at once, and the log rewritten later: records of the actor below *seq count
 * nowhere; 0 = none were erased.  Costs as much as reading all of the actor's records. */
MUST_USE Err events_forgotten(Ctx *ctx, EventsLog *log, EventActor actor, uint64_t *seq);

/* The same of everybody who asked until now, for whoever reads other people's records, too.  `key` is that of
 * events_erase().  Costs as much as reading what came since that looked last.  Errors: INVALID "events.erased_key",
 * INTERNAL "disk.failed", and when it cannot be known who asked, INTERNAL "events.erase_unread", BUSY
 * "events.erased_full". */
typedef struct EventsHidden EventsHidden;
MUST_USE Err events_hidden(Ctx *ctx, EventsLog *log, const struct CryptoKey *key,
                           EventsHidden **out);
void events_hidden_free(EventsHidden *hidden); /* NULL does nothing */

/* Whether the record is of somebody who was erased since, also as the other one of a link, or is what asked for it. */
bool events_is_hidden(const EventsHidden *hidden, const Event *e);

/* How many events (EVENT_HAPPENED) are in the log. */
int64_t events_count(EventsLog *log);

typedef struct EventsCount {
    Str name;
    int32_t day; /* yyyymmdd in UTC */
    int64_t count;
} EventsCount;

/* Calls `fn` per (name, day) with from_day <= day < to_day, in no order; an empty `name` = all.
 * *total (may be NULL) = their sum. */
typedef Err (*EventsCountFn)(Ctx *ctx, const EventsCount *count, void *arg);
MUST_USE Err events_counts(Ctx *ctx, EventsLog *log, Str name, int32_t from_day, int32_t to_day,
                           EventsCountFn fn, void *arg, int64_t *total);

/* ---- following ------------------------------------------------------------------------------- */

/* One batch, whole, with the number of its first event; some of its records may be EVENT_GONE.  Lives only
 * during the call.  False = no more. */
typedef bool (*EventsFollowFn)(uint64_t first_seq, uint32_t count, Str records, void *arg);

typedef struct EventsFollower {
    EventsFollowFn read; /* for what is there: on the caller's thread, may take its time */
    EventsFollowFn
        live; /* for what comes, before anybody can read it: under the log's lock, so it waits for
                            nothing and calls nothing of the log; after a false it is not called again */
    void *arg;
} EventsFollower;

/*
 * Hands on every batch that holds an event with number `from_seq` or later, in order, each once: first by
 * `read`, until nothing is left that is there, then by `live`.  What comes while files are read waits in
 * memory (at most 64 MB; what is more is read from the files), so this ends as soon as `read` is faster
 * than the appending.  Numbers that cannot be
 * read any more are left out.  One follower at a time.  Errors: INTERNAL "disk.failed", CONFLICT
 * "events.stopped" (`read` said so); nobody follows then.
 */
MUST_USE Err events_follow(Ctx *ctx, EventsLog *log, uint64_t from_seq,
                           const EventsFollower *follower);

/* Afterwards `live` is not called any more.  Not while events_follow() is under way. */
void events_unfollow(EventsLog *log);

/* *mark tells the log's histories up to `end_seq` apart: the checksum of what a rewriting leaves of the head of the frame
 * that holds the event before it, never 0; 0 when none does or it cannot be read.  (A log of an older backup that went on
 * by itself has another one.)  Errors: INTERNAL "disk.failed". */
MUST_USE Err events_mark(Ctx *ctx, EventsLog *log, uint64_t end_seq, uint32_t *mark);

/* ---- erasing --------------------------------------------------------------------------------- */

/* `key`: who was erased is remembered as a hash under it; it lies apart from the log.  `heard_seq`: whoever makes
 * something of the log knows, for good, of every EVENT_ERASE below; one behind it, and nothing is rewritten. */
typedef struct EventsErase {
    const struct CryptoKey *key;
    int64_t now_ms;
    int64_t wait_ms; /* nothing is rewritten before somebody has waited that long; 0 = at once */
    uint64_t heard_seq;
} EventsErase;

/* What one step did. */
typedef struct EventsErased {
    bool more; /* call again; false: nobody waits any more, or not long enough, or see heard_seq */
    int64_t records;   /* became EVENT_GONE */
    int64_t rewritten; /* segments */
} EventsErased;

/*
 * One step, a second or so: writes one full segment again in which every record of an erased actor (also as the
 * other one of a link) with a number below its EVENT_ERASE, and that record itself, is an EVENT_GONE.  The first
 * step looks for who asked since, and closes the newest segment when there is something to erase in it.  Sequence
 * numbers, other records, batches and marks stay; events_count() and the counts per day are without what is gone.
 * Reading and appending go on.  A crash at any point, or an error, costs the steps since the first one.
 * A segment that cannot be read or written is passed over, and named in the log: the others are done, but everybody who
 * waits waits on, since something of them may be in it, and `wait_ms` begins anew.  Nor does a full ledger keep anybody who
 * is in it; who is not waits until it has room: when the log is opened without the file, it begins an empty one.
 * Errors: BUSY "disk.full", INTERNAL "disk.failed", INVALID "events.erased_key"; when all else is done INTERNAL
 * "events.erase_unread", BUSY "events.erased_full".
 */
MUST_USE Err events_erase(Ctx *ctx, EventsLog *log, const EventsErase *options, EventsErased *out);

/* Puts the ledger of erasures of `from` (a log's folder) into `to`, the folder of a log that nobody has open and that
 * was put back to an older backup: all its erasures are done there once more, before anybody reads it.
 * NOT_FOUND "file.missing" when nobody was ever erased in `from`. */
MUST_USE Err events_erase_again(Ctx *ctx, Str from, Str to);

/* ---- looking after it ------------------------------------------------------------------------ */

typedef struct EventsStat {
    int64_t events; /* EVENT_HAPPENED */
    uint64_t next_seq, durable_seq;
    int64_t segments, sealed; /* sealed ones have their index on disk */
    int64_t
        log_bytes; /* of the newest segment's frames, and of the sealed ones; not of those that wait */
    int64_t syncs, frames; /* since the start */
    int64_t applied_through, applied_highest;
    int64_t applied_ranges; /* 1 = no gaps */
    int64_t unsynced_bytes;
    int64_t index_bytes;     /* heap held by the newest segments' indexes */
    int64_t erased;          /* actors whose records are gone */
    int64_t erase_waiting;   /* actors whose records may still be there */
    int64_t erase_since_ms;  /* when the first of them asked, 0 = none */
    uint64_t erase_gone_seq; /* an EVENT_ERASE below may be gone: who has not heard never will */
    bool erase_again;        /* see events_erase_again(): not done yet */
    int64_t
        erase_unread; /* segments that could not be read or written when it was tried last: whoever waits, does */
    bool
        erase_full; /* the ledger has no room for who asked next: those wait, too, and are not counted */
} EventsStat;
void events_stat(EventsLog *log, EventsStat *out);

/* One finding: a file, where, and what is wrong.  The texts live only during the call. */
typedef void (*EventsReportFn)(const char *file, int64_t offset, const char *what, void *arg);

/* Checks every checksum of every file; *bad = findings, each reported (`report` may be NULL).
 * Reads the whole log.  An index that is named here is made again by the next query. */
MUST_USE Err events_verify(Ctx *ctx, EventsLog *log, EventsReportFn report, void *arg,
                           int64_t *bad);
