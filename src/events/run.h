/*
 * events/run.h -- indexes over a stretch of the log: by actor, by time, counts per name and day.
 *
 * A Run covers consecutive sequence numbers of one segment: position i is event first_seq + i.
 *   open     columns in arrival order.  The last one of a log is still growing; its arrays never move: what a
 *            reader saw under the log's lock stays readable without it, as long as he holds a reference.  Those
 *            before it are full, and wait until somebody asks for their orders.
 *   closed   the same with two orders beside it, in one immutable block of bytes: on the heap for
 *            pieces of the newest segment, mapped from "N.idx" for a sealed one.
 * The block's format is docs/formats/event-log.md.  Runs are shared by counting references.
 * Private to the events layer.
 */
#pragma once

#include "events/frame.h"
#include "events/siphash.h"

#include <stdatomic.h>

enum { RUN_EVENTS = 4096, RUN_FRAMES = 4096, RUN_VERSION = 1 };
#define RUN_NAME_NONE UINT32_MAX
#define RUN_GONE_MS   INT64_MIN /* the time of a position that holds no readable event */

/* One event as the indexes need it; `name` is empty for records that are not counted. */
typedef struct EventsRow {
    int64_t time_ms;
    uint64_t hash;
    uint32_t at; /* offset in its batch, then in the file */
    Str name;
} EventsRow;

typedef struct RunFrame {
    uint32_t offset;
    uint32_t first; /* position of its first event */
    int64_t outbox_id;
} RunFrame;

typedef struct RunCount {
    uint32_t name_at, name_len;
    int32_t day; /* yyyymmdd, UTC */
    uint32_t count;
} RunCount;

typedef struct RunHead {
    char magic[8]; /* "TDEVIDX1" */
    uint32_t version;
    uint32_t head_crc; /* of the bytes behind this field up to the end of the head */
    uint64_t body_bytes;
    uint32_t body_crc;
    uint32_t last_frame_crc; /* head_crc of the segment's last frame: it belongs to this content */
    uint32_t last_frame_at;
    uint32_t end_offset; /* behind the last frame */
    uint64_t first_seq;
    uint32_t count, frame_count, count_count, name_bytes;
    int64_t min_ms, max_ms; /* of the readable events; min > max when there are none */
    int64_t happened;       /* EVENT_HAPPENED records */
    uint8_t key[SIPHASH_KEY_BYTES];
    uint8_t zero[24];
} RunHead;
_Static_assert(sizeof(RunHead) == 128, "on-disk layout");

typedef enum RunTrust { RUN_UNCHECKED, RUN_TRUSTED, RUN_DAMAGED } RunTrust;

typedef struct Run {
    atomic_int refs;
    atomic_int trust;
    /* of its file: higher each time that it is rewritten; constant once it is shared */
    uint64_t version;
    uint8_t key[SIPHASH_KEY_BYTES];
    bool is_open;
    /* open: guarded by the log's lock; closed, and while somebody else holds it the first two: constant */
    uint64_t segment;   /* first_seq of its file */
    uint64_t first_seq; /* of position 0 */
    uint32_t count, frame_count, name_count;
    int64_t happened;
    const int64_t *time;    /* by position */
    const uint32_t *offset; /* by position: in the file */
    const RunFrame *frames; /* by offset */
    const uint64_t *hash;   /* open: by position; closed: in by_actor's order */
    /* closed only */
    const uint32_t *by_time;  /* positions by (time, position) */
    const uint32_t *by_actor; /* positions by (hash, time, position) */
    const RunCount *counts;
    const char *names;
    RunHead head;
    Str block;                  /* everything above but an open run's columns */
    bool is_mapped;             /* the block is a map, not heap */
    const atomic_bool *lost;    /* file_map_lost() of it */
    struct RunColumns *columns; /* open only */
} Run;

/* Columns that can still grow: of the open run, or of a segment being indexed again. */
typedef struct RunColumns {
    uint32_t count, cap;
    uint32_t frame_count, frame_cap;
    uint32_t name_count, name_cap;
    int64_t happened;
    int64_t *time;
    uint64_t *hash;
    uint32_t *offset;
    uint32_t *name_id; /* position -> names[], RUN_NAME_NONE = not counted */
    RunFrame *frames;
    Str *names;
    Arena *arena; /* the names' bytes */
    uint64_t seed;
    uint32_t *slot; /* hash table over names: index + 1, 0 = empty */
    uint32_t slot_count;
} RunColumns;

RunColumns *run_columns_new(uint32_t event_cap, uint32_t frame_cap);
void run_columns_free(RunColumns *c);

/* The same without room for more; nothing may be added. */
RunColumns *run_columns_copy(const RunColumns *from);
size_t run_columns_bytes(const RunColumns *c);

/* Room for more, moving the arrays: only while nobody else looks at them. */
void run_columns_reserve(RunColumns *c, uint32_t events, uint32_t frames);

void run_columns_add_frame(RunColumns *c, uint32_t offset, int64_t outbox_id);
void run_columns_add(RunColumns *c, const EventsRow *row);
void run_columns_add_gap(RunColumns *c, uint32_t count); /* positions without a readable event */

/* An open run over `c`, which it then owns. */
Run *run_new_open(RunColumns *c, uint64_t segment, uint64_t first_seq,
                  const uint8_t key[SIPHASH_KEY_BYTES]);
void run_refresh_open(Run *run); /* after the columns grew; under the log's lock */

/* An open run that the log alone holds is empty and begins there: its memory is used again.  False: somebody reads it, or
 * it has become large.  Under the log's lock. */
bool run_begin_again(Run *run, uint64_t segment, uint64_t first_seq);

/* What a closed run needs to know beside the columns. */
typedef struct RunOf {
    uint64_t segment, first_seq;
    const uint8_t *key;
    uint32_t last_frame_crc, last_frame_at, end_offset;
} RunOf;

/* Sorts the columns into a block; `c` stays as it is. */
Run *run_build(const RunColumns *c, const RunOf *of);

/* The same of runs that follow one another in one segment and do not grow: the bytes are those of their columns in
 * one. */
Run *run_join(Run *const *runs, size_t run_count, const RunOf *of);

/* A run over a block that was read or mapped.  False when its head is damaged.  Takes the block
 * over on success. */
MUST_USE bool run_of_block(Str block, bool is_mapped, uint64_t segment, Run **out);

/* Whether the body can be believed: checksum and order, once per run.  Threads: any. */
bool run_is_trusted(Run *run);

/* Whether all that was read of it until now was its own.  False: the disk has taken a page of its map away, what was
 * read may be zeros, and it is not to be trusted any more. */
bool run_is_whole(Run *run);

Run *run_ref(Run *run);
void run_unref(Run *run); /* NULL is nothing to do */

/* The key under which an actor's events are found. */
uint64_t run_actor_hash(const uint8_t key[SIPHASH_KEY_BYTES], EventActor actor);

/* Stable order of `order[0, n)` by keys[order[i]]; `scratch` holds n. */
void run_sort(const uint64_t *keys, uint32_t n, uint32_t *order, uint32_t *scratch);
