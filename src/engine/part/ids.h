/*
 * engine/part/ids.h -- which events are there already: sets of 64-bit hashes of (source, id), one per part.
 *
 * The hash is keyed, so nobody can make two ids meet; by chance two of a week's ten million events do so
 * once in 10^5 weeks.  A set is written once: the hashes sorted, cut into buckets by their upper bits, and
 * the rest of each hash packed to the same width.  A look-up reads one bucket of about IDS_BUCKET hashes.
 *
 *   | head 64 B | bucket ends, u32 each | hashes without their bucket bits, packed | zeros |
 *
 * Owns: the bytes of a set (heap or mapped) belong to all Ids that share it, until the last ids_free().
 * When the disk takes a page of a map away, nothing leads out of bounds, and ids_are_whole() says it.
 * Threads: reading and sharing any.
 */
#pragma once

#include "base/file.h"

#include <stdatomic.h>

enum { IDS_BUCKET = 16, IDS_VERSION = 1 };

typedef struct IdHead {
    char magic[8]; /* "TDEVIDS1" */
    uint32_t version;
    uint32_t head_crc; /* of the bytes behind this field up to the end of the head */
    uint32_t body_crc; /* of everything behind the head */
    uint32_t count;
    uint32_t bucket_bits;
    uint8_t zero[36];
} IdHead;
_Static_assert(sizeof(IdHead) == 64, "on-disk layout");

/* What all who share a set have of it: its head must not change. */
typedef struct IdsShared {
    IdHead head;
    atomic_int refs;
} IdsShared;

typedef struct Ids {
    const IdHead *head;
    const uint32_t *ends; /* 1 << bucket_bits */
    const uint8_t *rest;
    Str bytes;
    bool is_mapped;
    const atomic_bool *lost; /* file_map_lost() */
    IdsShared *shared;
} Ids;

/* Adds the bytes of a set of these hashes, which ascend. */
void ids_encode(const uint64_t *hashes, uint32_t count, Buf *out);

/* Puts ascending stretches of hashes together into one; stretch i ends at ends[i], which are used up.  Memory: 8 bytes per
 * hash meanwhile. */
void ids_merge(uint64_t *hashes, uint32_t *ends, uint32_t stretches);

/* Takes over the bytes on success.  Looks at the head and the size only.  INTERNAL "events.ids_damaged". */
MUST_USE Err ids_open(Ctx *ctx, Str bytes, bool is_mapped, Ids *out);
void ids_free(Ids *ids);

/* The same set once more, with an ids_free() of its own: for reading while others may give theirs up. */
Ids ids_share(const Ids *ids);

/* Reads everything: before the first look-up.  False = damaged, or lost. */
MUST_USE bool ids_are_sound(const Ids *ids);

/* Whether all that ids_has() said until now was in the file: asked behind it. */
MUST_USE static inline bool ids_are_whole(const Ids *ids)
{
    return file_is_whole(ids->lost);
}

bool ids_has(const Ids *ids, uint64_t hash);

/* All of them, ascending.  False: damaged, they do not ascend under right checksums, or lost. */
MUST_USE bool ids_read(const Ids *ids, uint64_t *out);

/*
 * Hashes that came lately, and a filter before everything older: one cache line says "surely not" for all
 * but one of a hundred new ones.
 */
typedef struct RecentIds {
    uint64_t *slots; /* open addressing, 0 = empty; the hash 0 is kept as 1 */
    uint32_t count, slot_count;
    uint32_t expected; /* so many will come: room for them is made once there are some */
} RecentIds;

/* False when it was there. */
static inline bool recent_ids_add(RecentIds *r, uint64_t hash);
static inline bool recent_ids_has(const RecentIds *r, uint64_t hash);
void recent_ids_free(RecentIds *r);

/* Of all of them the next ones, at most `room`: nearly ascending.  *slot begins with 0.  Gives how many, 0 = no more. */
uint32_t recent_ids_next(const RecentIds *r, uint32_t *slot, uint64_t *out, uint32_t room);

/* All of them, ascending: room for r->count. */
void recent_ids_sorted(const RecentIds *r, uint64_t *out);

typedef struct IdFilter {
    uint64_t *lines; /* 512 bits each */
    uint32_t line_count;
    uint64_t count, cap; /* hashes in it; with more than `cap` it wants to be made anew */
} IdFilter;

void id_filter_init(IdFilter *f, uint64_t cap);
void id_filter_free(IdFilter *f);
uint64_t id_filter_bytes(const IdFilter *f);

/* Fastest when they nearly ascend. */
void id_filter_add_all(IdFilter *f, const uint64_t *hashes, uint32_t n);
static inline bool id_filter_may_have(const IdFilter *f, uint64_t hash);

/* Fetches what a look-up will need, and changes nothing: for many, before the first is looked up. */
static inline void recent_ids_near(const RecentIds *r, uint64_t hash);
static inline void id_filter_near(const IdFilter *f, uint64_t hash);

/* ---- inline: each event asks several of them -------------------------------------------------------- */

/* Room for one more. */
void recent_ids_grow(RecentIds *r);

/* The highest bits say where to begin, so the slots are nearly in order: what goes through them, to larger slots,
 * to a filter or to a sorted set, goes through memory in order. */
static inline uint32_t recent_first_slot(const RecentIds *r, uint64_t hash)
{
    return (uint32_t)((hash >> 32) * r->slot_count >> 32);
}

static inline uint32_t recent_slot(const RecentIds *r, uint64_t hash)
{
    const uint32_t mask = r->slot_count - 1;
    uint32_t slot = recent_first_slot(r, hash);
    while (r->slots[slot] != 0 && r->slots[slot] != hash)
        slot = (slot + 1) & mask;
    return slot;
}

/* A quarter of the slots stays free. */
static inline uint32_t recent_room(const RecentIds *r)
{
    return r->slot_count / 4 * 3;
}

static inline void recent_ids_near(const RecentIds *r, uint64_t hash)
{
    if (r->slot_count > 0)
        __builtin_prefetch(&r->slots[recent_first_slot(r, hash)]);
}

static inline bool recent_ids_has(const RecentIds *r, uint64_t hash)
{
    return r->slot_count > 0 && r->slots[recent_slot(r, hash == 0 ? 1 : hash)] != 0;
}

static inline bool recent_ids_add(RecentIds *r, uint64_t hash)
{
    hash = hash == 0 ? 1 : hash;
    if (r->count >= recent_room(r))
        recent_ids_grow(r);
    const uint32_t slot = recent_slot(r, hash);
    if (r->slots[slot] != 0)
        return false;
    r->slots[slot] = hash;
    r->count++;
    return true;
}

/* The line by the upper half of the hash, and one bit in each of its words: so no bit waits for the one before, and
 * hashes that come in order, line by line, are added in a third of the time. */
enum { ID_LINE_WORDS = 8 };
static inline uint64_t *id_filter_line(const IdFilter *f, uint64_t hash)
{
    return f->lines + (size_t)((hash >> 32) * f->line_count >> 32) * ID_LINE_WORDS;
}

/* Six bits of the lower half, mixed, per word. */
static inline uint64_t id_filter_places(uint64_t hash)
{
    return (hash & UINT32_MAX) * UINT64_C(0x9E3779B97F4A7C15);
}

static inline void id_filter_near(const IdFilter *f, uint64_t hash)
{
    __builtin_prefetch(id_filter_line(f, hash));
}

static inline bool id_filter_may_have(const IdFilter *f, uint64_t hash)
{
    const uint64_t *line = id_filter_line(f, hash);
    uint64_t places = id_filter_places(hash);
    for (int i = 0; i < ID_LINE_WORDS; i++, places >>= 6)
        if ((line[i] >> (places & 63) & 1) == 0)
            return false;
    return true;
}
