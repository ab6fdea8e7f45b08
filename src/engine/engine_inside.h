/*
 * engine/engine_inside.h -- what the files of the engine share.  Private to engine*.c.
 *
 *   engine.c         opening, closing, views, figures
 *   engine_apply.c   encoded events to rows, rows to slices
 *   engine_keep.c    slices to files, files to larger files
 *   engine_files.c   the manifest and what it names
 *
 * Locks: `apply` (the schema, the open slice, the weeks' ids) before `lock` (the lists of parts).
 */
#pragma once

#include "engine/engine.h"
#include "engine/ids.h"
#include "engine/rows.h"
#include "events/siphash.h"

#include <pthread.h>

enum { ENGINE_MANIFEST_VERSION = 3, ENGINE_NAME_BYTES = 40 };

/* A part in a file, with the ids of its events. */
typedef struct FilePart {
    Part *part;
    Ids ids;
    uint64_t number;
    bool ends_stretch; /* with what came behind it, it would become too large */
} FilePart;

/* What is known about the events of one week, to see repetitions. */
typedef struct Week {
    int64_t week_ms;
    RecentIds recent;   /* of rows that are not being written */
    RecentIds flushing; /* of rows that are */
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
    char folder_bytes[FILE_PATH_BYTES_MAX + 1];
    Str folder;
    EngineOptions o;
    uint8_t key[SIPHASH_KEY_BYTES]; /* of the ids */

    pthread_t applier, keeper;
    pthread_mutex_t apply;
    Schema *schema; /* guarded by apply */
    Shape *shapes;  /* by event name; guarded by apply */
    uint32_t shape_count;
    RowBuffer open;      /* guarded by apply */
    uint64_t open_names; /* schema_new_bytes() when `open` began; guarded by apply */
    uint64_t open_from;  /* first number of `open`; guarded by apply */
    uint64_t applied;    /* numbers below are in rows; guarded by apply, changes under lock too */
    Week **weeks;        /* ascending: those with files or rows; guarded by apply */
    uint32_t week_count, week_cap;
    Part **peek; /* parts of the open slice, made for a view; guarded by apply */
    uint32_t peek_count, peek_rows;
    Arena *scratch; /* guarded by apply */
    uint64_t repeated;
    uint64_t aside[ENGINE_ASIDE_COUNT]; /* guarded by apply */
    uint32_t aside_said;                /* bit i: the log has heard of reason i */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    Offer *first, *last;  /* guarded by lock, as everything below */
    uint64_t offered;     /* numbers below were offered */
    uint64_t lacks_seq;   /* the last one that was refused, 0 = none */
    int64_t queued_bytes; /* of what waits to be applied */
    bool stopping, refusing, flush_wanted, settle_wanted, complete;
    Part **memory; /* slices, by arrival */
    uint32_t memory_count, memory_cap, memory_rows;
    uint64_t memory_bytes; /* of the slices */
    uint64_t new_names;    /* bytes of names that no flush has taken */
    uint32_t flush_count;  /* of them: the first ones are on their way to files */
    Buf flush_names;       /* names that no file has yet; the keeper's own, as what follows */
    uint64_t flush_end;    /* numbers below are in the slices of the flush, or aside */
    uint64_t flush_aside[ENGINE_ASIDE_COUNT];   /* of the events below the flush's end */
    uint64_t durable_aside[ENGINE_ASIDE_COUNT]; /* of those below durable_seq */
    Week **flush_weeks;
    uint32_t flush_week_count;
    FilePart *files; /* by week, then arrival */
    uint32_t file_count, file_cap;
    uint64_t durable_seq;  /* numbers below are in files */
    uint32_t durable_mark; /* which history of the log that is */
    uint64_t next_number;
    int64_t names_bytes;            /* of the file of names that count */
    _Atomic uint64_t bytes_written; /* by the keeper, without a lock */
    uint64_t rounds;                /* of the keeper that came to an end */
    Err keeper_err;
    Fault keeper_fault;
};

/* ---- engine_apply.c ----------------------------------------------------------------------------- */

void *engine_apply_main(void *engine);

/* The week that begins there, made when there is none.  NULL: there are too many.  Under `apply`. */
Week *engine_week(Engine *e, int64_t week_ms);

/* The files of a week: how many, and where they begin.  Under `lock`. */
uint32_t engine_files_of(const Engine *e, int64_t week_ms, uint32_t *first);

/* Turns the open slice into parts.  Under `apply`. */
void engine_close_slice(Engine *e);

/* ---- engine_keep.c ------------------------------------------------------------------------------ */

void *engine_keep_main(void *engine);

/* ---- engine_files.c ----------------------------------------------------------------------------- */

MUST_USE Err engine_load(Ctx *ctx, Engine *e); /* the manifest and what it names */
MUST_USE Err engine_file_open(Ctx *ctx, Engine *e, uint64_t number, FilePart *out);
MUST_USE Err engine_manifest_save(Ctx *ctx, Engine *e, const FilePart *files, uint32_t count,
                                  uint64_t durable_seq, uint32_t durable_mark,
                                  const uint64_t *aside, int64_t names_bytes);
void engine_file_close(FilePart *f);
Str engine_file_name(uint64_t number, const char *suffix, char dst[ENGINE_NAME_BYTES]);
