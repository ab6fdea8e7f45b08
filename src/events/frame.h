/*
 * events/frame.h -- frames: the unit in which the log is written, checked, read and cut.
 *
 * A segment file is a 64-byte SegmentHead, then frames one behind the other, each starting at a
 * multiple of 8, then zeros.  A frame is a 64-byte FrameHead and the encoded events of one batch:
 *
 *   0        64            64+bytes    multiple of 8
 *   | head   | events ...  | 0 0 0 ... |
 *
 * A frame belongs to its place: its head names its first sequence number and the checksum of the
 * head before it (`prev`), so bytes of an older try cannot pass as its successor.  `durable_seq`
 * says what was on disk when the frame was written: this is how a damaged frame in the middle
 * (proof that it was once whole) is told from a torn tail (no proof: cut).
 * All integers little-endian.  Format: docs/formats/event-log.md.  Private to the events layer.
 */
#pragma once

#include "base/file.h"
#include "events/events.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structs are written as they are");

enum {
    FRAME_HEAD_BYTES = 64,
    FRAME_ALIGN_BYTES = 8,
    FRAME_FIRST_OFFSET = 64,  /* behind the SegmentHead */
    FRAME_MAGIC = 0x31464454, /* "TDF1" */
    SEGMENT_VERSION = 1,
};

typedef enum FrameOrigin { FRAME_DIRECT = 1, FRAME_OUTBOX = 2 } FrameOrigin;

typedef struct FrameHead {
    uint32_t magic;
    uint32_t head_crc;    /* of the bytes behind this field up to the end of the head */
    uint32_t bytes;       /* of the events */
    uint32_t body_crc;    /* of the events */
    uint64_t first_seq;   /* of the first event */
    uint32_t count;       /* events */
    uint32_t prev;        /* head_crc of the frame before, 0 for the first of a segment */
    int64_t outbox_id;    /* the outbox row it came from, 0 = none */
    int64_t written_ms;   /* when it was appended */
    uint64_t durable_seq; /* everything below was on disk when this was written */
    uint32_t origin;      /* FrameOrigin */
    uint32_t zero;
} FrameHead;
_Static_assert(sizeof(FrameHead) == FRAME_HEAD_BYTES, "on-disk layout");

typedef struct SegmentHead {
    char magic[8]; /* "TDEVLOG1" */
    uint32_t version;
    uint32_t crc; /* of the bytes behind this field */
    uint64_t first_seq;
    int64_t made_ms;
    uint8_t zero[32];
} SegmentHead;
_Static_assert(sizeof(SegmentHead) == FRAME_FIRST_OFFSET, "on-disk layout");

static inline Str segment_magic(void)
{
    return STR("TDEVLOG1");
}

void segment_head_seal(SegmentHead *head); /* fills magic, version and crc */
bool segment_head_is_good(const SegmentHead *head, uint64_t first_seq);

/* Bytes of a whole frame in the file. */
static inline uint32_t frame_size(uint32_t body_bytes)
{
    return FRAME_HEAD_BYTES +
           (body_bytes + FRAME_ALIGN_BYTES - 1) / FRAME_ALIGN_BYTES * FRAME_ALIGN_BYTES;
}

/* Fills magic and head_crc; everything else is set. */
void frame_head_seal(FrameHead *head);

/* Whether it is a head, and as it was written; of its events it says nothing. */
bool frame_head_is_good(const FrameHead *head);

typedef struct Frame {
    FrameHead head;
    uint32_t offset;
    Str events; /* in the reader's window: until its next use */
} Frame;

typedef enum FrameState {
    FRAME_GOOD,
    FRAME_END,      /* no frame starts here: zeros, or the end of the file */
    FRAME_BAD_HEAD, /* bytes that are no head, or a head that lies about its file */
    FRAME_BAD_BODY, /* a good head whose events do not match their checksum */
} FrameState;

/* Reads frames through a window of the file, so that neighbours cost one system call. */
typedef struct FrameReader {
    File file;
    size_t chunk_bytes; /* how much to read at once */
    int64_t window_at;
    Buf window;
} FrameReader;

enum { FRAME_SCAN_BYTES = 256 * 1024, FRAME_PICK_BYTES = 16 * 1024 };

void frame_reader_init(FrameReader *r, File file, size_t chunk_bytes);
void frame_reader_clear(FrameReader *r); /* does not close the file */
void frame_reader_switch(FrameReader *r, File file);

MUST_USE Err frame_read(Ctx *ctx, FrameReader *r, int64_t offset, Frame *out, FrameState *state);

/* The first whole frame at or behind `from` whose first_seq is at least `min_seq`. */
MUST_USE Err frame_find(Ctx *ctx, FrameReader *r, int64_t from, uint64_t min_seq, Frame *out,
                        bool *found);

/* The first byte at or behind `from` that is not zero, or the size of the file. */
MUST_USE Err frame_find_nonzero(Ctx *ctx, FrameReader *r, int64_t from, int64_t *at);

/* What a walk over one segment knows and calls. */
typedef struct FrameWalk {
    uint64_t first_seq;  /* of the segment */
    uint64_t proven_seq; /* everything below was on disk once: missing means damaged */
    bool sealed;         /* nothing can follow proven_seq */
    int64_t proven_end;  /* where the frames below proven_seq end, 0 = not known */
    Err (*on_frame)(Ctx *ctx, const Frame *frame, void *arg);
    /* Sequence numbers [seq, seq + count) cannot be read; the damage starts at `offset`. */
    Err (*on_gap)(Ctx *ctx, uint64_t seq, uint64_t count, int64_t offset, void *arg);
    void *arg;
} FrameWalk;

typedef struct FrameWalkEnd {
    uint64_t next_seq;
    int64_t offset; /* behind the last frame */
    uint32_t prev;  /* head_crc of the last frame */
} FrameWalkEnd;

/* Visits every frame in order; passes over damage that is proven, ends at the torn tail. */
MUST_USE Err frame_walk(Ctx *ctx, FrameReader *r, const FrameWalk *walk, FrameWalkEnd *end);

/* Tells histories of a log apart (events_mark()): of what a rewriting leaves as it is.  Never 0. */
uint32_t frame_mark(const FrameHead *h);
