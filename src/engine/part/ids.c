/*
 * engine/part/ids.c
 */
#include "engine/part/ids.h"

#include "base/pages.h"
#include "engine/core/bits.h"
#include "engine/core/order.h"
#include "events/crc32c.h"

#include <stdlib.h>

/* ---- written sets ------------------------------------------------------------------------------- */

enum { SLACK_BYTES = 16, HEAD_CRC_FROM = offsetof(IdHead, head_crc) + 4 };

static uint32_t bucket_of(uint64_t hash, uint32_t bucket_bits)
{
    return bucket_bits == 0 ? 0 : (uint32_t)(hash >> (64 - bucket_bits));
}

static uint32_t bucket_bits_for(uint32_t count)
{
    return (uint32_t)bits_width(count / IDS_BUCKET);
}

/* ends[b]: where bucket b ends. */
static void find_ends(const uint64_t *hashes, uint32_t count, uint32_t bucket_bits, uint32_t *ends)
{
    memset(ends, 0, sizeof *ends << bucket_bits);
    for (uint32_t i = 0; i < count; i++)
        ends[bucket_of(hashes[i], bucket_bits)] = i + 1;
    for (uint32_t bucket = 1; bucket < 1U << bucket_bits; bucket++)
        ends[bucket] = ends[bucket] == 0 ? ends[bucket - 1] : ends[bucket];
}

/* The lower bits of each. */
static void add_rest(const uint64_t *hashes, uint32_t count, int width, Buf *out)
{
    uint64_t some[256];
    BitWriter rest = {.out = *out, .width = width};
    bits_reserve(&rest, count);
    const uint64_t mask = width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
    for (uint32_t done = 0, n; done < count; done += n) {
        n = count - done < ARRAY_LEN(some) ? count - done : (uint32_t)ARRAY_LEN(some);
        for (uint32_t i = 0; i < n; i++)
            some[i] = hashes[done + i] & mask;
        bits_put(&rest, some, n);
    }
    bits_finish(&rest);
    *out = rest.out;
}

void ids_encode(const uint64_t *hashes, uint32_t count, Buf *out)
{
    const size_t start = out->len;
    IdHead head = {.magic = "TDEVIDS", .version = IDS_VERSION, .count = count};
    head.magic[7] = '1';
    head.bucket_bits = bucket_bits_for(count);
    buf_add(out, (Str){(const char *)&head, sizeof head});
    const size_t ends_bytes = sizeof(uint32_t) << head.bucket_bits;
    uint32_t *ends = (void *)buf_reserve(out, ends_bytes);
    CHECK(ends != NULL && start % sizeof *ends == 0);
    find_ends(hashes, count, head.bucket_bits, ends);
    out->len += ends_bytes;
    add_rest(hashes, count, 64 - (int)head.bucket_bits, out);
    static const char zeros[SLACK_BYTES];
    buf_add(out, (Str){zeros, SLACK_BYTES});
    CHECK(!out->overflowed);
    IdHead *sealed = (IdHead *)(void *)(out->ptr + start);
    const Str set = str_slice(buf_str(out), start, out->len);
    sealed->body_crc = crc32c_add(0, str_slice(set, sizeof *sealed, set.len));
    sealed->head_crc = crc32c_add(0, str_slice(set, HEAD_CRC_FROM, sizeof *sealed));
}

void ids_merge(uint64_t *hashes, uint32_t *ends, uint32_t stretches)
{
    const uint32_t count = stretches == 0 ? 0 : ends[stretches - 1];
    uint64_t *const other = malloc(((size_t)count + 1) * sizeof *other);
    CHECK(other != NULL);
    const uint64_t *const ordered = order_numbers(hashes, other, ends, stretches);
    if (ordered != hashes)
        memcpy(hashes, ordered, count * sizeof *hashes);
    free(other);
}

static bool head_is_good(const IdHead *h, size_t bytes)
{
    const Str head = {(const char *)h, sizeof *h};
    return memcmp(h->magic, "TDEVIDS1", 8) == 0 && h->version == IDS_VERSION &&
           crc32c_add(0, str_slice(head, HEAD_CRC_FROM, sizeof *h)) == h->head_crc &&
           h->bucket_bits == bucket_bits_for(h->count) &&
           bytes == sizeof *h + ((uint64_t)4 << h->bucket_bits) +
                        bits_bytes(h->count, 64 - (int)h->bucket_bits) + SLACK_BYTES;
}

Err ids_open(Ctx *ctx, Str bytes, bool is_mapped, Ids *out)
{
    IdHead head = {.version = 0};
    if (bytes.len >= sizeof head + SLACK_BYTES)
        memcpy(&head, bytes.ptr, sizeof head);
    if (!head_is_good(&head, bytes.len))
        return fail(ctx, ERR_INTERNAL, "events.ids_damaged", "%zu bytes", bytes.len);
    IdsShared *const shared = malloc(sizeof *shared);
    CHECK(shared != NULL);
    shared->head = head;
    atomic_init(&shared->refs, 1);
    const char *const ends = bytes.ptr + sizeof head;
    *out = (Ids){.head = &shared->head,
                 .ends = (const void *)ends,
                 .rest = (const uint8_t *)ends + ((size_t)4 << head.bucket_bits),
                 .bytes = bytes,
                 .is_mapped = is_mapped,
                 .lost = file_map_lost(is_mapped ? bytes : STR("")),
                 .shared = shared};
    return ERR_OK;
}

Ids ids_share(const Ids *ids)
{
    atomic_fetch_add(&ids->shared->refs, 1);
    return *ids;
}

bool ids_are_sound(const Ids *ids)
{
    if (crc32c_add(0, str_slice(ids->bytes, sizeof(IdHead), ids->bytes.len)) != ids->head->body_crc)
        return false;
    uint32_t before = 0;
    for (uint32_t i = 0; i < 1U << ids->head->bucket_bits; i++) {
        if (ids->ends[i] < before)
            return false;
        before = ids->ends[i];
    }
    return before == ids->head->count && ids_are_whole(ids);
}

static void free_set(const Ids *ids)
{
    free(ids->shared);
    if (ids->is_mapped)
        file_unmap(ids->bytes);
    else
        free((void *)(uintptr_t)ids->bytes.ptr);
}

void ids_free(Ids *ids)
{
    if (ids->shared != NULL && atomic_fetch_sub(&ids->shared->refs, 1) == 1)
        free_set(ids);
    *ids = (Ids){0};
}

bool ids_has(const Ids *ids, uint64_t hash)
{
    const uint32_t bits = ids->head->bucket_bits, bucket = bucket_of(hash, bits);
    const int width = 64 - (int)bits;
    const uint64_t rest = width == 64 ? hash : hash & ((UINT64_C(1) << width) - 1);
    for (uint32_t i = bucket == 0 ? 0 : ids->ends[bucket - 1]; i < ids->ends[bucket]; i++) {
        const uint64_t here = bits_get(ids->rest, i, width);
        if (here >= rest)
            return here == rest;
    }
    return false;
}

bool ids_read(const Ids *ids, uint64_t *out)
{
    const uint32_t bits = ids->head->bucket_bits, count = ids->head->count;
    bool ascend = true;
    bits_unpack64(ids->rest, 0, count, 64 - (int)bits, out);
    for (uint32_t bucket = 0, i = 0; bits > 0 && bucket < 1U << bits; bucket++)
        for (; i < ids->ends[bucket]; i++)
            out[i] |= (uint64_t)bucket << (64 - bits);
    for (uint32_t i = 1; i < count; i++)
        ascend &= out[i - 1] <= out[i];
    return ascend && ids_are_whole(ids);
}

/* ---- recent ones -------------------------------------------------------------------------------- */

enum { FIRST_SLOTS = 1024, SMALL_SLOTS = 1 << 16 };

/* Small ones grow faster: each of a week's first ids is then moved once, not four times.  A week of which nothing comes but
 * a straggler has no room for more. */
void recent_ids_grow(RecentIds *r)
{
    const RecentIds old = *r;
    r->slot_count = old.slot_count * (old.slot_count < SMALL_SLOTS ? 4 : 2);
    if (old.slot_count == 0)
        r->slot_count = FIRST_SLOTS;
    while (old.slot_count > 0 && recent_room(r) <= r->expected)
        r->slot_count *= 2;
    r->slots = calloc(r->slot_count, sizeof *r->slots);
    CHECK(r->slots != NULL);
    pages_bring(r->slots, r->slot_count * sizeof *r->slots);
    for (uint32_t i = 0; i < old.slot_count; i++)
        if (old.slots[i] != 0)
            r->slots[recent_slot(r, old.slots[i])] = old.slots[i];
    free(old.slots);
}

/* Which slots are empty cannot be foreseen, so it is no branch. */
uint32_t recent_ids_next(const RecentIds *r, uint32_t *slot, uint64_t *out, uint32_t room)
{
    uint32_t n = 0, at = *slot;
    for (; at < r->slot_count && n < room; at++) {
        out[n] = r->slots[at];
        n += r->slots[at] != 0;
    }
    *slot = at;
    return n;
}

/* Of a few places at most each time. */
static void insert_all(uint64_t *hashes, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        const uint64_t hash = hashes[i];
        uint32_t at = i;
        for (; at > 0 && hashes[at - 1] > hash; at--)
            hashes[at] = hashes[at - 1];
        hashes[at] = hash;
    }
}

/* Those that found no slot behind their first one stand in front of all others: they come last. */
void recent_ids_sorted(const RecentIds *r, uint64_t *out)
{
    uint32_t n = 0, in_front = 0, slot = 0;
    if (r->count == 0)
        return;
    for (; r->slots[slot] != 0; slot++)
        if (recent_first_slot(r, r->slots[slot]) > slot)
            in_front++;
        else
            out[n++] = r->slots[slot];
    n += recent_ids_next(r, &slot, out + n, r->count - n - in_front);
    for (slot = 0; r->slots[slot] != 0; slot++)
        if (recent_first_slot(r, r->slots[slot]) > slot)
            out[n++] = r->slots[slot];
    insert_all(out, n);
}

void recent_ids_free(RecentIds *r)
{
    free(r->slots);
    *r = (RecentIds){0};
}

/* ---- the filter --------------------------------------------------------------------------------- */

enum { FILTER_BITS = 10 };

void id_filter_init(IdFilter *f, uint64_t cap)
{
    cap = cap < 1024 ? 1024 : cap;
    f->cap = cap;
    f->count = 0;
    f->line_count = (uint32_t)(cap * FILTER_BITS / (ID_LINE_WORDS * 64) + 1);
    f->lines = aligned_alloc(64, (size_t)f->line_count * ID_LINE_WORDS * sizeof *f->lines);
    CHECK(f->lines != NULL);
    memset(f->lines, 0, (size_t)f->line_count * ID_LINE_WORDS * sizeof *f->lines);
}

void id_filter_free(IdFilter *f)
{
    free(f->lines);
    *f = (IdFilter){0};
}

uint64_t id_filter_bytes(const IdFilter *f)
{
    return (uint64_t)f->line_count * ID_LINE_WORDS * sizeof *f->lines;
}

void id_filter_add_all(IdFilter *f, const uint64_t *hashes, uint32_t n)
{
    for (uint32_t i = 0; i < n;) {
        uint64_t *const line = id_filter_line(f, hashes[i]);
        uint64_t words[ID_LINE_WORDS];
        memcpy(words, line, sizeof words);
        do {
            const uint64_t places = id_filter_places(hashes[i++]);
#pragma GCC unroll 8
            for (int w = 0; w < ID_LINE_WORDS; w++)
                words[w] |= UINT64_C(1) << (places >> 6 * w & 63);
        } while (i < n && id_filter_line(f, hashes[i]) == line);
        memcpy(line, words, sizeof words);
    }
    f->count += n;
}
