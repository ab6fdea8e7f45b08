/*
 * jobs/outbox.h -- events out of transactions: written inside them, in the event log after them.
 *
 *     apply: outbox_emit() -> journal of the group -> one outbox row in the same transaction
 *     commit -> applied to the log at once (readers see it), synced lazily
 *     restart -> rows above the log's applied mark are applied again: exactly once
 *
 * Owns:    table outbox.
 * Depends: base, db, events.      Threads: any; the journal runs on the committing thread.
 */
#pragma once

#include "db/db.h"
#include "events/events.h"

typedef struct Outbox Outbox;

/* Connects the database's journal to the event log and applies what a crash left behind.  Before the
 * first write.  Errors: those of events_apply_outbox(). */
MUST_USE Err outbox_open(Ctx *ctx, Database *database, EventsLog *log, Outbox **out);
void outbox_close(Outbox *outbox); /* before the log; NULL is nothing to do */

/* The event becomes part of the transaction.  Errors: TOO_LARGE "db.journal_full". */
MUST_USE Err outbox_emit(Tx *tx, const Event *event);

/*
 * Applies rows that could not be applied when they were committed (full disk), then deletes the
 * oldest rows that the log holds durably and that are older than `keep_ms`: one batch.
 * *more = another call would find more.  Run by a job.
 */
MUST_USE Err outbox_tend(Ctx *ctx, Outbox *outbox, int64_t keep_ms, bool *more);

/* Rows that are committed but not yet in the log: 0 in health. */
int64_t outbox_behind(const Outbox *outbox);
