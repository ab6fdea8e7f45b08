/*
 * events/event_rest.h -- the fields of an event that event_check() has accepted, one after the other and without calls:
 * for event_again.c, and for who reads millions of them and wants no Event.
 *
 *     Rest r = rest_open(bytes, &used);
 *     kind = rest_byte(&r), then field by field as docs/formats/events.md has them;
 *     rest_is_done(&r) says whether all lengths were right.
 *
 * Lengths alone are looked at.  Whatever the bytes say, nothing behind them is read.
 * Owns: nothing.  Threads: any.
 */
#pragma once

#include "events/event.h"

enum { REST_PADDING = 16 }; /* of a text that is cut off, so many bytes may be read all the same */

#define REST_INLINE static inline __attribute__((always_inline))

/* The rest of one event.  Past the end nothing is read: `at` then stands there, and the event is refused. */
typedef struct Rest {
    const uint8_t *at, *end;
} Rest;

/* Where a rest ends that was cut off: nothing further is read. */
extern const uint8_t REST_NOTHING[REST_PADDING];

REST_INLINE void rest_give_up(Rest *r)
{
    r->at = r->end = REST_NOTHING;
}

REST_INLINE uint8_t rest_byte(Rest *r)
{
    if (r->at < r->end)
        return *r->at++;
    rest_give_up(r);
    return 0;
}

REST_INLINE uint64_t rest_varint(Rest *r)
{
    uint64_t v = rest_byte(r);
    if (v < 0x80)
        return v;
    v &= 0x7f;
    for (unsigned shift = 7; shift < 64; shift += 7) {
        const uint8_t byte = rest_byte(r);
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            break;
    }
    return v;
}

REST_INLINE int64_t rest_unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

REST_INLINE int64_t rest_zigzag(Rest *r)
{
    return rest_unzigzag(rest_varint(r));
}

/* The seven bits of each byte of a word side by side, lowest byte first. */
REST_INLINE uint64_t rest_squeeze(uint64_t word)
{
    word = (word & UINT64_C(0x007f007f007f007f)) | (word & UINT64_C(0x7f007f007f007f00)) >> 1;
    word = (word & UINT64_C(0x00003fff00003fff)) | (word & UINT64_C(0x3fff00003fff0000)) >> 2;
    return (word & UINT64_C(0x000000000fffffff)) | (word & UINT64_C(0x0fffffff00000000)) >> 4;
}

/* rest_zigzag() of six bytes or so, which are taken at once where eight may be read. */
REST_INLINE int64_t rest_number(Rest *r)
{
    uint64_t word = 0;
    if (r->end - r->at < (ptrdiff_t)sizeof word)
        return rest_zigzag(r);
    memcpy(&word, r->at, sizeof word);
    const uint64_t ends = ~word & UINT64_C(0x8080808080808080);
    if (ends == 0)
        return rest_zigzag(r);
    const uint64_t upto = ends ^ (ends - 1); /* up to the first byte that ends a number */
    r->at += (__builtin_ctzll(ends) + 1) / 8;
    return rest_unzigzag(rest_squeeze(word & upto));
}

REST_INLINE Str rest_text(Rest *r)
{
    const uint64_t len = rest_varint(r);
    if (len > (uint64_t)(r->end - r->at)) {
        rest_give_up(r);
        return (Str){(const char *)REST_NOTHING, 0};
    }
    const Str s = {(const char *)r->at, (size_t)len};
    r->at += len;
    return s;
}

/* Of things that have a byte each at least. */
REST_INLINE uint32_t rest_count(Rest *r)
{
    const uint64_t n = rest_varint(r);
    if (n <= (uint64_t)(r->end - r->at))
        return (uint32_t)n;
    rest_give_up(r);
    return 0;
}

/* The stretch of one event, behind its version; an empty one when it is cut. */
REST_INLINE Rest rest_open(Str bytes, size_t *used)
{
    Rest r = {REST_NOTHING, REST_NOTHING};
    if (bytes.len > 0)
        r = (Rest){(const uint8_t *)bytes.ptr, (const uint8_t *)bytes.ptr + bytes.len};
    const uint64_t body = rest_varint(&r);
    if (body > (uint64_t)(r.end - r.at))
        rest_give_up(&r);
    else
        r.end = r.at + body;
    *used = r.end == REST_NOTHING ? 0 : (size_t)(r.end - (const uint8_t *)bytes.ptr);
    (void)rest_byte(&r);
    return r;
}

/* The event ended where it should. */
REST_INLINE bool rest_is_done(const Rest *r)
{
    return r->end != REST_NOTHING && r->at == r->end;
}

/* The value of a property behind its type, EVENT_TEXTS or EVENT_ITEMS: arrays are in the arena.  Gives what is left. */
Rest rest_list(Rest r, Arena *arena, EventProp *p);
