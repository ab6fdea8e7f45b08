/*
 * engine/engine_inside.h -- what the files of the engine share.  Private to engine*.c.
 *
 *   engine.c         opening, closing, views, figures
 *   engine_apply.c   encoded events to rows, rows to slices
 *   engine_keep.c    slices to files, files to larger files
 *   engine_write.c   new files, and how they come into the manifest
 *   engine_mend.c    damaged files once more from the log
 *   engine_files.c   the manifest and what it names
 *
 * Locks: `apply` (the schema, the open slice, the weeks' ids) before `lock` (the lists of parts).
 */
#pragma once

#include "engine/engine.h"
#include "engine/ids.h"
#include "engine/rows.h"
#include "events/events.h"
#include "events/siphash.h"

#include <pthread.h>

enum { ENGINE_MANIFEST_VERSION = 2, ENGINE_NAME_BYTES = 40 };

/* A part in a file, with the ids of its events. */
typedef struct FilePart {
    Part *part;
    Ids ids;
    uint64_t number;
    uint32_t failures;   /* how often something that was tried with it failed */
    int64_t retry_at_us; /* of the monotonic clock: put aside until then; 0 = not */
} FilePart;

/* What is known about the events of one week, to see repetitions. */
typedef struct Week {
    int64_t week_ms;
    RecentIds recent;   /* of rows that are not being written */
    RecentIds flushing; /* of rows that are */
    RecentIds stand_in; /* of files whose ids are damaged, read from the log */
    IdFilter filter;    /* before the files; made when the week gets its first event */
} Week;

/* The properties that the last event of a name had, in their order: the next one mostly has the same. */
enum { SHAPE_PROPS = 16 };
typedef struct Shape {
    SchemaProp *props[SHAPE_PROPS];
} Shape;

/* A batch that waits to be applied. */
typedef struct Offer {
    struct Offer *next;
    uint64_t first_seq;
    uint32_t count;
    uint32_t bytes;
    char records[];
} Offer;

struct Engine {
    char folder_bytes[FILE_PATH_BYTES_MAX + 1], log_folder_bytes[FILE_PATH_BYTES_MAX + 1];
    Str folder;
    EngineOptions o;
    uint8_t key[SIPHASH_KEY_BYTES]; /* of the ids */

    pthread_t applier, keeper;
    atomic_bool closing; /* merges end at their next block, and no other begins */
    pthread_mutex_t apply;
    Schema *schema; /* guarded by apply */
    Shape *shapes;  /* by event name; guarded by apply */
    uint32_t shape_count;
    RowBuffer open;     /* guarded by apply */
    uint64_t open_from; /* first number of `open`; guarded by apply */
    uint64_t applied;   /* numbers below are in rows; guarded by apply, changes under lock too */
    Week **weeks;       /* by week; guarded by apply */
    uint32_t week_count, week_cap;
    Part **peek; /* parts of the open slice, made for a view; guarded by apply */
    uint32_t peek_count, peek_rows;
    Arena *scratch; /* guarded by apply */
    uint64_t repeated, kept_aside;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    Offer *first, *last;  /* guarded by lock, as everything below */
    uint64_t offered;     /* numbers below were offered */
    uint64_t lacks_seq;   /* the last one that was refused, 0 = none */
    int64_t queued_bytes; /* of what waits to be applied */
    bool stopping, refusing, flush_wanted, settle_wanted, complete;
    Part **memory; /* slices, by arrival */
    uint32_t memory_count, memory_cap, memory_rows;
    uint32_t flush_count; /* of them: the first ones are on their way to files */
    Buf flush_names;      /* names that no file has yet; the keeper's own, as the weeks */
    Week **flush_weeks;
    uint32_t flush_week_count;
    FilePart *files; /* by week, then arrival */
    uint32_t file_count, file_cap;
    uint64_t durable_seq;  /* numbers below are in files */
    uint32_t durable_mark; /* which history of the log that is */
    uint64_t next_number;
    uint64_t *orphans; /* files that a manifest may name whose save failed; the keeper's own */
    uint32_t orphan_count, orphan_cap;
    int64_t names_bytes;            /* of the file of names that count */
    _Atomic uint64_t bytes_written; /* by the keeper, without a lock */
    uint64_t rounds;                /* of the keeper that came to an end */
    EngineHealth health;            /* its counters */
    Err keeper_err;
    Fault keeper_fault;
};

/* ---- engine_apply.c ----------------------------------------------------------------------------- */

void *engine_apply_main(void *engine);

/* Turns the open slice into parts.  Under `apply`. */
void engine_close_slice(Engine *e);

/* Whose it is; false: the event has no place in the columns.  Under `apply`, as engine_put_row(). */
bool engine_find_place(Engine *e, const Event *event, uint32_t *person, uint32_t *name);
void engine_put_row(Engine *e, RowBuffer *to, const Event *event, uint32_t person, uint32_t name);

/* Of source and id, keyed; never 0. */
uint64_t engine_id_hash(const Engine *e, const Event *event);

/* ---- engine_mend.c ------------------------------------------------------------------------------ */

/* Makes the damaged files again whose time has come; what fails is put aside, the first failure returned. */
MUST_USE Err engine_mend_due(Ctx *ctx, Engine *e);

/* Calls `fn` for every event of the log that arrived in the part's stretch and is of its week.  `stop` (may be
 * NULL): CONFLICT "events.stopped" once it is true.  INTERNAL "events.log_short": the part knows more. */
MUST_USE Err engine_log_read(Ctx *ctx, const Engine *e, const PartHead *head,
                             const atomic_bool *stop, EventFn fn, void *arg);

/* ---- engine_keep.c ------------------------------------------------------------------------------ */

void *engine_keep_main(void *engine);
uint64_t *engine_hashes_of(Ctx *ctx, const RecentIds *r);

/* ---- engine_write.c ----------------------------------------------------------------------------- */

/* What a file shall hold: parts of one week by arrival, and the ids of their events (they get sorted). */
typedef struct FileContent {
    Part *const *parts;
    uint32_t count;
    uint64_t *hashes;
    uint32_t hash_count;
    const atomic_bool *stop; /* may be NULL: parts_merge() */
} FileContent;

/* One file and its ids, synced and open; the folder is not synced yet.  On failure nothing of it stays.
 * Errors: those of parts_merge() and file.h. */
MUST_USE Err engine_file_write(Ctx *ctx, Engine *e, const FileContent *c, FilePart *out);

/* Removes what the manifest names no more, and closes it. */
void engine_file_retire(Engine *e, FilePart *f);

/* The files by week, then arrival, as they shall be. */
typedef struct FileList {
    FilePart *at;
    uint32_t count;
} FileList;

FileList engine_files_copy(Ctx *ctx, Engine *e, uint32_t room); /* with room for so many more */
void engine_files_insert(FileList *l, const FilePart *f);
void engine_files_cut(FileList *l, uint32_t first, uint32_t n);
void engine_files_take_over(Engine *e, const FileList *l); /* under `lock` */

/* What was tried with these files failed: they are left alone for a while, longer each time, so that the
 * others get on. */
void engine_files_put_aside(Engine *e, const FilePart *files, uint32_t n, const Fault *why);

/* New names and the list go to disk; `made` are the list's new files, given up when that fails. */
MUST_USE Err engine_files_save(Ctx *ctx, Engine *e, const FileList *l, uint64_t durable_seq,
                               uint32_t durable_mark, const FileList *made);

/* Closes them and removes them: at once, or, when a manifest may name them, with the next that is saved. */
void engine_files_give_up(Engine *e, const FileList *made, bool named);

/* ---- engine_files.c ----------------------------------------------------------------------------- */

MUST_USE Err engine_load(Ctx *ctx, Engine *e); /* the manifest and what it names */
MUST_USE Err engine_file_open(Ctx *ctx, Engine *e, uint64_t number, FilePart *out);
/* Syncs the folder, then swaps the manifest.  *named: it failed, but a start may find it nevertheless. */
MUST_USE Err engine_manifest_save(Ctx *ctx, Engine *e, const FilePart *files, uint32_t count,
                                  uint64_t durable_seq, uint32_t durable_mark, int64_t names_bytes,
                                  bool *named);
void engine_file_close(FilePart *f);
Str engine_file_name(uint64_t number, const char *suffix, char dst[ENGINE_NAME_BYTES]);
