/*
 * events/eventlog.h -- the inside of an EventsLog: what its files share.
 *
 *   events_open.c    opening: manifest, sealed segments, the torn tail; closing
 *   events_append.c  batches to frames, segments that are full, the sync thread
 *   events_keep.c    the keeper thread: indexes of full segments, the next segment's file, manifest
 *   events_read.c    pages and counts
 *   events_verify.c  checksums and figures
 *   events_survey.c  the files seen from outside, beside the log's owner
 *   events_follow.c  every batch once more, for whoever makes something of them
 *   events_erase.c   full segments written again without what was erased
 *
 * States of a segment file:
 *   spare --rename--> newest (frames are added) --full, synced--> unsealed --N.idx--> sealed
 *                                                           sealed --N.log.tmp, rename, N.idx--> sealed
 * Only the newest segment can have a torn tail: it is synced before the next one exists.
 * A file that is rewritten and the run over it change places under the lock together, so what a reader opened is of
 * its run when that one is current afterwards (log_is_current()); else the reader begins anew with the new run.
 */
#pragma once

#include "events/erased.h"
#include "events/idset.h"
#include "events/run.h"

#include <pthread.h>

enum {
    LOG_UNSEALED_MAX = 2,    /* full segments that wait for their index; appending waits beyond */
    LOG_PENDING_SYNC = 8192, /* outbox ids that wait for a sync: sync at once */
    LOG_QUEUED_BYTES_MAX = 32 * 1024 * 1024,
};

#define LOG_SEGMENT_BYTES INT64_C(67108864)
#define LOG_LAZY_MS       INT64_C(1000)
#define LOG_LAZY_BYTES    INT64_C(4194304)

typedef struct PendingId {
    int64_t id;
    uint64_t seq; /* of its first event */
} PendingId;

typedef struct FullSegment {
    uint64_t first_seq, end_seq;
    uint32_t last_frame_at, last_frame_crc, end_offset; /* of one that waits for its index */
} FullSegment;

struct EventsLog {
    EventsOptions o;
    char folder_bytes[FILE_PATH_BYTES_MAX + 1];
    Str folder;
    File lock_file;
    uint8_t key[SIPHASH_KEY_BYTES]; /* of the actor hashes of new indexes */
    Queue queue;
    _Atomic int64_t queued_bytes;
    atomic_bool stop;
    pthread_t syncer, keeper;
    pthread_mutex_t rework; /* whoever makes files of sealed segments again; taken before `lock` */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* syncing, unsealed, spare: whatever somebody may wait for */

    /* Guarded by `rework`; where it says so, both are needed to write and either to read. */
    Erased erased;         /* both */
    uint64_t looked_saved; /* of `erased`, on disk */
    bool sweeping;         /* segments are being gone through; both */
    uint64_t sweep_at;     /* those that begin below are done */
    uint64_t sweep_top;    /* those that begin above hold nothing to erase */
    int64_t sweep_unread;  /* segments that were passed over, so far */
    int64_t erase_unread;  /* in the last sweep that came to its end; both */
    int64_t unread_ms;     /* when that was; 0 = none was passed over */
    uint64_t look_unread;  /* the first segment that could not be looked at, 0 = none; both */
    bool erase_full;       /* both */

    /* Everything below is guarded by `lock`. */
    File active; /* the newest segment */
    uint64_t active_first;
    int64_t active_bytes; /* its size */
    int64_t tail;         /* where the next frame goes */
    uint32_t prev;        /* head_crc of its last frame */
    int64_t last_frame_at;
    uint64_t next_seq;
    uint64_t durable_seq; /* everything below is on disk */
    int64_t durable_tail;
    int64_t lazy_since_us; /* when the oldest unsynced outbox frame came, 0 = none */
    bool syncing;          /* the sync thread is in fdatasync on `active` */
    bool sync_failed;      /* the unsynced bytes must be written again before the next sync */
    bool must_roll;        /* the next segment may have its name: nothing is added to this one */

    Run **runs; /* by first_seq; the last one is the open one */
    size_t run_count, run_cap;

    FullSegment unsealed[LOG_UNSEALED_MAX];
    size_t unsealed_count;
    Err keeper_err; /* why the keeper is stuck, with its fault */
    Fault keeper_fault;
    bool keeper_stop;
    bool spare_ready, spare_making;
    bool spare_wanted; /* although the newest segment is not half full */

    IdSet durable_ids;  /* outbox ids on disk */
    int64_t highest_id; /* in durable_ids or pending */
    PendingId *pending; /* outbox ids in frames that are not yet synced, in frame order */
    size_t pending_count, pending_cap;

    EventsFollowFn follow; /* NULL = nobody */
    void *follow_arg;

    int64_t stat_syncs, stat_frames;
};

/* ---- names ----------------------------------------------------------------------------------- */

enum { LOG_NAME_BYTES = 32 };
#define LOG_SPARE  STR("spare")
#define LOG_SUFFIX ".log"
#define IDX_SUFFIX ".idx"

/* "00000000000000000001.log" */
Str log_file_name(uint64_t first_seq, const char *suffix, char dst[LOG_NAME_BYTES]);
bool log_name_seq(Str name, const char *suffix, uint64_t *first_seq);

/* ---- batches --------------------------------------------------------------------------------- */

/* What is known of records: erased places may be among them (never in what is appended); they were checked, so
 * that their heads are enough. */
typedef enum RecordsKnown { RECORDS_ERASED = 1, RECORDS_CHECKED = 2 } RecordsKnown;

/* Reads what the indexes need of each record, into ctx->arena.  `known`: flags.
 * INVALID "event.encoding", TOO_LARGE "events.batch". */
MUST_USE Err log_read_batch(Ctx *ctx, const uint8_t *key, Str records, unsigned known,
                            EventsBatch *out);

/* Adds a good frame that stands at `offset` to the open run and its successors.  Under the lock. */
void log_index_frame(EventsLog *log, const EventsBatch *batch, uint32_t offset, int64_t outbox_id);
void log_index_gap(EventsLog *log, uint64_t count);

/* ---- runs (under the lock) ------------------------------------------------------------------- */

void log_add_run(EventsLog *log, Run *run);
void log_close_open_run(EventsLog *log); /* afterwards an empty open run at next_seq is the last */

/* Replaces the runs of one segment in the list by `sealed`, the run over all of it. */
void log_swap_runs(EventsLog *log, Run *sealed);

/* Whether the run's file has not been rewritten since.  Takes the lock. */
bool log_is_current(EventsLog *log, const Run *run);

/* ---- segments -------------------------------------------------------------------------------- */

/* The newest segment is full, or shall be: syncs it and starts the next one.  Under the lock, nobody syncing. */
MUST_USE Err log_roll(Ctx *ctx, EventsLog *log);

/* Makes "spare": zeros, on disk. */
MUST_USE Err log_make_spare(Ctx *ctx, EventsLog *log);

/* Turns "spare" into the newest segment, starting at next_seq.  Under the lock. */
MUST_USE Err log_start_segment(Ctx *ctx, EventsLog *log);

/* Reads a full segment and writes its index; *out is the run over it, mapped when it could be
 * written.  Not under the lock. */
MUST_USE Err log_seal_segment(Ctx *ctx, EventsLog *log, FullSegment segment, Run **out);

/* Reads a full segment's file, whatever its name is; *out is the run over it.  *damaged = some of it is. */
MUST_USE Err log_index_file(Ctx *ctx, EventsLog *log, FullSegment segment, File file, Run **out,
                            bool *damaged);

/* Writes the run's index; *run is mapped then. */
MUST_USE Err log_write_index(Ctx *ctx, EventsLog *log, FullSegment segment, Run **run);

/* Whether the index is that of the segment's file as it is.  NOT_FOUND when not. */
MUST_USE Err log_index_fits(Ctx *ctx, EventsLog *log, FullSegment segment, const RunHead *head);

/* The run over an existing index.  NOT_FOUND when it is missing, damaged or of other content. */
MUST_USE Err log_open_index(Ctx *ctx, EventsLog *log, FullSegment segment, Run **out);

/* ---- durability ------------------------------------------------------------------------------ */

/* What lies below `seq`, in the newest segment up to `tail`, is on disk.  Under the lock. */
void log_mark_durable(EventsLog *log, uint64_t seq, int64_t tail);

/* Syncs bytes up to `tail` of the newest segment, writing [from, tail) again first when the last
 * try failed. */
MUST_USE Err log_sync_file(Ctx *ctx, File file, bool again, int64_t from, int64_t tail);

/* ---- manifest -------------------------------------------------------------------------------- */

typedef struct Manifest {
    bool is_there;
    uint8_t key[SIPHASH_KEY_BYTES];
    uint64_t durable_seq, active_first;
    int64_t active_end;
    const IdRange *ranges;
    size_t range_count;
    Str bytes; /* of the file */
} Manifest;

MUST_USE Err log_load_manifest(Ctx *ctx, Str folder, Manifest *out, bool *damaged);
MUST_USE Err log_save_manifest(Ctx *ctx, EventsLog *log); /* takes the lock */

void *log_sync_main(void *log);
void *log_keep_main(void *log);
