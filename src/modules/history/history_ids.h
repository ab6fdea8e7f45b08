/*
 * modules/history/history_ids.h -- which events are there already, or stand twice: their ids' hashes, sorted.
 *
 * The hash has 128 bits under a key of this import: two ids do not meet.
 * Owns:     the sorter with its temporary files, a bit per event.  Threads: one at a time.
 */
#pragma once

#include "base/ctx.h"

typedef struct HistoryIds HistoryIds;

/* `temp_dir` must outlive it. */
HistoryIds *history_ids_new(const char *temp_dir, size_t memory_bytes);

/* What the log has comes before the files' events; these are numbered from 1, in their order.
 * Errors: those of intake_sort_add(). */
MUST_USE Err history_ids_add_there(HistoryIds *ids, Ctx *ctx, Str id);
MUST_USE Err history_ids_add(HistoryIds *ids, Ctx *ctx, Str id, int64_t number);

/* No more come.  Of `count` events of the files *there are in the log, *repeated stand behind another one with
 * their id. */
MUST_USE Err history_ids_finish(HistoryIds *ids, Ctx *ctx, int64_t count, int64_t *there,
                                int64_t *repeated);

/* Whether the event is one of those. */
bool history_ids_has_left_out(const HistoryIds *ids, int64_t number);

void history_ids_free(HistoryIds *ids); /* NULL is nothing to do */
