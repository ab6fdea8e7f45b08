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

typedef struct Ids {
    const IdHead *head;
    const uint32_t *ends; /* 1 << bucket_bits */
    const uint8_t *rest;
    Str bytes;
    bool is_mapped;
    atomic_int *refs;
} Ids;

/* Sorts `hashes`, which stay as they are otherwise, and adds the set's bytes. */
void ids_encode(uint64_t *hashes, uint32_t count, Buf *out);

/* Takes over the bytes on success.  Looks at the head and the size only.  INTERNAL "events.ids_damaged". */
MUST_USE Err ids_open(Ctx *ctx, Str bytes, bool is_mapped, Ids *out);
void ids_free(Ids *ids);

/* The same set once more, with an ids_free() of its own: for reading while others may give theirs up. */
Ids ids_share(const Ids *ids);

/* Reads everything: before the first look-up.  False = damaged. */
MUST_USE bool ids_are_sound(const Ids *ids);

bool ids_has(const Ids *ids, uint64_t hash);

/* All of them, ascending. */
void ids_read(const Ids *ids, uint64_t *out);

/*
 * Hashes that came lately, and a filter before everything older: one cache line says "surely not" for all
 * but one of a hundred new ones.
 */
typedef struct RecentIds {
    uint64_t *slots; /* open addressing, 0 = empty; the hash 0 is kept as 1 */
    uint32_t count, slot_count;
    uint32_t expected; /* so many will come: room for them is made with the first */
} RecentIds;

/* False when it was there. */
bool recent_ids_add(RecentIds *r, uint64_t hash);
bool recent_ids_has(const RecentIds *r, uint64_t hash);
void recent_ids_free(RecentIds *r);

typedef struct IdFilter {
    uint64_t *lines; /* 512 bits each */
    uint32_t line_count;
    uint64_t count, cap; /* hashes in it; with more than `cap` it wants to be made anew */
} IdFilter;

void id_filter_init(IdFilter *f, uint64_t cap);
void id_filter_free(IdFilter *f);
uint64_t id_filter_bytes(const IdFilter *f);
void id_filter_add(IdFilter *f, uint64_t hash);
bool id_filter_may_have(const IdFilter *f, uint64_t hash);

/* Fetches what a look-up will need, and changes nothing: for many, before the first is looked up. */
void recent_ids_near(const RecentIds *r, uint64_t hash);
void id_filter_near(const IdFilter *f, uint64_t hash);
