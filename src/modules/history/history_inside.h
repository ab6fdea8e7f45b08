/*
 * modules/history/history_inside.h -- what the readers of files give to the import.  Private to the room.
 */
#pragma once

#include "modules/history/history.h"
#include "modules/history/history_ids.h"
#include "modules/intake/intake_reject.h"
#include "modules/intake/intake_sort.h"

enum { HISTORY_TICK_EVENTS = 4096 };

typedef struct Import {
    Ctx *ctx;
    const HistoryOptions *options;
    HistoryResult *result;
    size_t memory_bytes;
    int64_t batch_events;
    RowSorter *events; /* NULL = dry run */
    HistoryIds *ids;
    int64_t count; /* events that were not refused: the number of the last one */
    int64_t bytes; /* of them, encoded */
    Buf record;    /* number and bytes of the one being added */
    RejectWriter *rejects;
    Str file_name;                   /* being read, without the folder */
    int64_t bytes_before, bytes_all; /* of the files before it; of all files */
} Import;

/* A good event. */
MUST_USE Err history_take(Import *im, const Event *event);

/* How an event of this import is dated: INVALID "history.too_old", "history.future". */
MUST_USE Err history_check_time(Ctx *ctx, int64_t time_ms);

/* An IntakeRejectFn; `arg` is the Import. */
MUST_USE Err history_refuse(void *arg, Ctx *ctx, const IntakeReject *reject);

/* A line with a fault: refused, or, when it is not the line that is at fault, handed back. */
MUST_USE Err history_refuse_fault(Import *im, const Ctx *line, int64_t line_no);

MUST_USE Err history_tell_reading(Import *im, int64_t read_bytes);

/* history_lines.c, history_rows.c */
MUST_USE Err history_read_lines(Import *im, const HistoryFile *file);
MUST_USE Err history_read_rows(Import *im, const HistoryFile *file);
