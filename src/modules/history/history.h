/*
 * modules/history/history.h -- years of events from files into the event log, in the order of time.
 *
 *     files -> events -+-> sorted by time, on disk ----------------------+-> large batches -> the log
 *                      +-> hashes of their ids, sorted with the log's ---+   (docs/decisions/0016)
 *
 * Owns:     nameless temporary files (they go with the process, however it ends), the rejects file.
 * Promises: an event is in the log once by (source, id), whatever stands twice in the files and however often an
 *           import was killed and started again; what it adds is in the order of time, events of one instant in
 *           the order of the files, so that columns get every week in one piece; each batch is on disk before
 *           the next; a bad line costs nobody else; a dry run changes nothing.
 * Memory:   HistoryOptions.memory_bytes, 24 MiB beside it, one bit per event; whatever the files hold.
 * Disk:     while it runs, the events and 80 bytes for each in the temporary folder; looked at before.
 * Depends:  base, events, engine (what columns take), event, intake.  Threads: one import at a time per log, and
 *           nobody else appends.
 */
#pragma once

#include "events/events.h"
#include "modules/intake/intake_map.h"

enum {
    HISTORY_LINE_BYTES_MAX = 4 * 1024 * 1024,
    HISTORY_REASONS_MAX = 32,
    HISTORY_SOURCE_BYTES_MAX = EVENT_SOURCE_BYTES_MAX,
};
#define HISTORY_EVENTS_MAX INT64_C(4000000000) /* of one import */

/* What lies further ahead is a clock's or a zone's mistake.  How old an event may be, ENGINE_PAST_MS_MAX says. */
#define HISTORY_FUTURE_MS_MAX INT64_C(86400000)

typedef struct HistoryFile {
    const char *path; /* "-" is standard input (events only); packed with gzip or not */
    /* of the map; NULL = an event as JSON per line (EventBatch, event.api.yaml) */
    const IntakeMapFile *entry;
} HistoryFile;

typedef struct HistoryProgress {
    bool appending;   /* else reading */
    const char *file; /* reading: its name without the folder */
    int64_t time_ms;  /* appending: how far it is */
    int64_t done;     /* events, of this half */
    int64_t permille; /* of this half; of standard input 0 */
} HistoryProgress;

typedef struct HistoryOptions {
    const HistoryFile *file;
    size_t files;
    const IntakeMap *map; /* of the entries; NULL when there is none */
    Str source;           /* of every event */
    EventsLog *log;       /* NULL = dry run */
    Str log_folder;
    const char *temp_dir;
    size_t memory_bytes;      /* for sorting; 0 = 128 MiB */
    int64_t batch_events;     /* appended together at most; 0 = 32,768 */
    const char *rejects_path; /* made with the first refusal; an older one is removed */
    /* Every few thousand events, and after each batch; an error stops the import, which can be started again.
     * May be NULL. */
    Err (*tick)(void *arg, Ctx *ctx, const HistoryProgress *progress);
    void *tick_arg;
} HistoryOptions;

/* Why lines were refused: how many, and where the first one stands. */
typedef struct HistoryReason {
    const char *reason;
    int64_t count;
    Str file;
    int64_t line;
} HistoryReason;

typedef struct HistoryResult {
    int64_t read;     /* lines or rows of the files, without empty ones */
    int64_t taken;    /* events that are in the log now; of a dry run, that would be */
    int64_t there;    /* that the log had; a dry run does not look */
    int64_t repeated; /* that stood in the files before */
    int64_t refused;
    int64_t left_out;       /* rows that the map skips or folds */
    int64_t from_ms, to_ms; /* smallest and largest time of what was not refused */
    int64_t batches;
    int64_t damaged; /* places of the log that cannot be read: what was there may come twice */
    HistoryReason reason[HISTORY_REASONS_MAX]; /* the last one stands for all further ones */
    size_t reasons;
} HistoryResult;

/*
 * Needs ctx->keys and ctx->settings (phone numbers become keyed hashes).  *out says how far it came also when it
 * fails: `taken` are on disk.  Errors: those of opening and reading files (intake_bytes.h, intake_rows.h), BUSY
 * "history.no_room" (temporary folder or data folder), BUSY "intake.temp_failed", "intake.rejects_unwritable",
 * TOO_LARGE "history.too_many", INVALID "event.source_reserved", "history.source"; those of events_append(); what
 * `tick` returns.
 */
MUST_USE Err history_import(Ctx *ctx, const HistoryOptions *options, HistoryResult *out);
