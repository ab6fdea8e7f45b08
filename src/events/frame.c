/*
 * events/frame.c -- reading and checking frames; see events/frame.h.
 */
#include "events/frame.h"

#include "events/crc32c.h"

#include <stdlib.h>

enum { CRC_FROM = 8, SEGMENT_CRC_FROM = 16 };

static uint32_t frame_head_crc(const FrameHead *h)
{
    return crc32c_add(0, (Str){(const char *)h + CRC_FROM, sizeof *h - CRC_FROM});
}

void frame_head_seal(FrameHead *head)
{
    head->magic = FRAME_MAGIC;
    head->head_crc = frame_head_crc(head);
}

static uint32_t segment_head_crc(const SegmentHead *h)
{
    return crc32c_add(0, (Str){(const char *)h + SEGMENT_CRC_FROM, sizeof *h - SEGMENT_CRC_FROM});
}

void segment_head_seal(SegmentHead *head)
{
    memcpy(head->magic, segment_magic().ptr, sizeof head->magic);
    head->version = SEGMENT_VERSION;
    head->crc = segment_head_crc(head);
}

bool segment_head_is_good(const SegmentHead *head, uint64_t first_seq)
{
    return memcmp(head->magic, segment_magic().ptr, sizeof head->magic) == 0 &&
           head->version == SEGMENT_VERSION && head->crc == segment_head_crc(head) &&
           head->first_seq == first_seq;
}

void frame_reader_init(FrameReader *r, File file, size_t chunk_bytes)
{
    *r = (FrameReader){.file = file,
                       .chunk_bytes = chunk_bytes,
                       .window = BUF_MAX(EVENTS_BATCH_BYTES_MAX + FRAME_SCAN_BYTES)};
}

void frame_reader_clear(FrameReader *r)
{
    buf_free(&r->window);
}

void frame_reader_switch(FrameReader *r, File file)
{
    r->file = file;
    buf_clear(&r->window);
}

/* Bytes [at, at + n) of the file, fewer at its end. */
static Err window_get(Ctx *ctx, FrameReader *r, int64_t at, size_t n, Str *out)
{
    const int64_t inside = at - r->window_at;
    if (inside < 0 || (uint64_t)inside + n > r->window.len) {
        const size_t want = n > r->chunk_bytes ? n : r->chunk_bytes;
        buf_clear(&r->window);
        char *dst = buf_reserve(&r->window, want);
        CHECK(dst != NULL);
        size_t got = 0;
        TRY(file_read_at(ctx, r->file, at, dst, want, &got));
        r->window_at = at;
        r->window.len = got;
    }
    *out = str_slice(buf_str(&r->window), (size_t)(at - r->window_at),
                     (size_t)(at - r->window_at) + n);
    return ERR_OK;
}

static bool all_zero(Str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] != 0)
            return false;
    return true;
}

bool frame_head_is_good(const FrameHead *h)
{
    return h->magic == FRAME_MAGIC && h->zero == 0 && h->bytes <= EVENTS_BATCH_BYTES_MAX &&
           h->count > 0 && h->count <= EVENTS_BATCH_COUNT_MAX && h->first_seq > 0 &&
           h->first_seq <= EVENTS_SEQ_MAX && h->head_crc == frame_head_crc(h);
}

Err frame_read(Ctx *ctx, FrameReader *r, int64_t offset, Frame *out, FrameState *state)
{
    Str bytes;
    TRY(window_get(ctx, r, offset, FRAME_HEAD_BYTES, &bytes));
    if (bytes.len < FRAME_HEAD_BYTES || all_zero(bytes)) {
        *state = FRAME_END;
        return ERR_OK;
    }
    FrameHead head;
    memcpy(&head, bytes.ptr, sizeof head);
    *state = FRAME_BAD_HEAD;
    if (!frame_head_is_good(&head) || offset > UINT32_MAX - frame_size(head.bytes))
        return ERR_OK;
    TRY(window_get(ctx, r, offset, FRAME_HEAD_BYTES + (size_t)head.bytes, &bytes));
    *state = FRAME_BAD_BODY;
    const Str events = str_slice(bytes, FRAME_HEAD_BYTES, bytes.len);
    if (events.len < head.bytes || crc32c_add(0, events) != head.body_crc)
        return ERR_OK;
    *state = FRAME_GOOD;
    *out = (Frame){.head = head, .offset = (uint32_t)offset, .events = events};
    return ERR_OK;
}

Err frame_find_nonzero(Ctx *ctx, FrameReader *r, int64_t from, int64_t *at)
{
    for (;;) {
        Str bytes;
        TRY(window_get(ctx, r, from, r->chunk_bytes, &bytes));
        size_t i = 0;
        while (i < bytes.len && bytes.ptr[i] == 0)
            i++;
        from += (int64_t)i;
        if (i < bytes.len || bytes.len < r->chunk_bytes)
            break;
    }
    *at = from;
    return ERR_OK;
}

/* The next place at or behind `from`, in steps of 8, where a magic number stands. */
static Err find_magic(Ctx *ctx, FrameReader *r, int64_t from, int64_t *at, bool *found)
{
    for (;;) {
        Str bytes;
        TRY(window_get(ctx, r, from, r->chunk_bytes, &bytes));
        size_t i = 0;
        for (; i + FRAME_HEAD_BYTES <= bytes.len; i += FRAME_ALIGN_BYTES) {
            uint32_t magic;
            memcpy(&magic, bytes.ptr + i, sizeof magic);
            if (magic == FRAME_MAGIC)
                break;
        }
        *found = i + FRAME_HEAD_BYTES <= bytes.len;
        *at = from + (int64_t)i;
        if (*found || i == 0 || bytes.len < r->chunk_bytes)
            return ERR_OK;
        from = *at;
    }
}

/* A text holds no zero byte and every head does, so nothing that a client sent can look like a head
 * from inside an event. */
Err frame_find(Ctx *ctx, FrameReader *r, int64_t from, uint64_t min_seq, Frame *out, bool *found)
{
    for (int64_t at = from;; at += FRAME_ALIGN_BYTES) {
        TRY(find_magic(ctx, r, at, &at, found));
        if (!*found)
            return ERR_OK;
        FrameState state;
        TRY(frame_read(ctx, r, at, out, &state));
        if (state == FRAME_GOOD && out->head.first_seq >= min_seq)
            return ERR_OK;
    }
}

/* Whether sequence number `seq` was on disk once: said beforehand, or by a frame at or behind
 * `offset`. */
static Err is_proven(Ctx *ctx, FrameReader *r, const FrameWalk *walk, uint64_t seq, int64_t offset,
                     bool *proven)
{
    *proven = walk->proven_seq > seq;
    while (!*proven) {
        Frame f;
        bool found = false;
        TRY(frame_find(ctx, r, offset, seq, &f, &found));
        if (!found)
            return ERR_OK;
        *proven = f.head.durable_seq > seq;
        offset = (int64_t)f.offset + frame_size(f.head.bytes);
    }
    return ERR_OK;
}

/* What stands at `end` is no successor.  Finds the next frame when the place between is proven
 * damage; *over = the log ends here. */
static Err pass_damage(Ctx *ctx, FrameReader *r, const FrameWalk *walk, FrameWalkEnd *end,
                       bool *over)
{
    *over = true;
    bool proven = false, found = false;
    TRY(is_proven(ctx, r, walk, end->next_seq, end->offset + FRAME_ALIGN_BYTES, &proven));
    if (!proven)
        return ERR_OK;
    Frame f;
    const int64_t from = end->offset;
    TRY(frame_find(ctx, r, from + FRAME_ALIGN_BYTES, end->next_seq, &f, &found));
    const uint64_t next = found ? f.head.first_seq : walk->proven_seq;
    const uint64_t lost = next - end->next_seq;
    if (lost > EVENTS_SEGMENT_COUNT_MAX)
        return ERR_OK; /* no segment holds that many: what was found is not of this place */
    TRY(walk->on_gap(ctx, end->next_seq, lost, from, walk->arg));
    end->next_seq = next;
    end->prev = 0;
    end->offset = found ? (int64_t)f.offset : end->offset;
    if (!found && walk->proven_end > end->offset)
        end->offset = walk->proven_end;
    *over = !found;
    return ERR_OK;
}

Err frame_walk(Ctx *ctx, FrameReader *r, const FrameWalk *walk, FrameWalkEnd *end)
{
    *end = (FrameWalkEnd){.next_seq = walk->first_seq, .offset = FRAME_FIRST_OFFSET};
    bool after_damage = false;
    for (;;) {
        Frame f;
        FrameState state;
        TRY(frame_read(ctx, r, end->offset, &f, &state));
        const bool follows = state == FRAME_GOOD && f.head.first_seq == end->next_seq &&
                             (after_damage || f.head.prev == end->prev);
        if (follows) {
            after_damage = false;
            end->offset += frame_size(f.head.bytes);
            end->next_seq += f.head.count;
            end->prev = f.head.head_crc;
            TRY(walk->on_frame(ctx, &f, walk->arg));
            continue;
        }
        bool over = true;
        if (walk->sealed && end->next_seq >= walk->proven_seq)
            return ERR_OK;
        TRY(pass_damage(ctx, r, walk, end, &over));
        if (over)
            return ERR_OK;
        after_damage = true;
    }
}

uint32_t frame_mark(const FrameHead *h)
{
    const FrameHead stays = {.first_seq = h->first_seq,
                             .count = h->count,
                             .outbox_id = h->outbox_id,
                             .written_ms = h->written_ms,
                             .durable_seq = h->durable_seq,
                             .origin = h->origin};
    const uint32_t crc = crc32c_add(0, (Str){(const char *)&stays, sizeof stays});
    return crc == 0 ? 1 : crc;
}
