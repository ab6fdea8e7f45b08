/*
 * engine/part/ids.c
 */
#include "engine/part/ids.h"

#include "engine/core/bits.h"
#include "engine/core/kernels.h"
#include "events/crc32c.h"

#include <stdlib.h>

/* ---- written sets ------------------------------------------------------------------------------- */

enum { SLACK_BYTES = 16, HEAD_CRC_FROM = offsetof(IdHead, head_crc) + 4 };

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

enum { BUCKET_INSERT_MAX = 4 * IDS_BUCKET }; /* what is longer, a better way sorts */

static void sort_bucket(uint64_t *hashes, uint32_t n)
{
    if (n > BUCKET_INSERT_MAX) {
        qsort(hashes, n, sizeof *hashes, by_value);
        return;
    }
    for (uint32_t i = 1; i < n; i++) {
        const uint64_t hash = hashes[i];
        uint32_t at = i;
        for (; at > 0 && hashes[at - 1] > hash; at--)
            hashes[at] = hashes[at - 1];
        hashes[at] = hash;
    }
}

static uint32_t bucket_of(uint64_t hash, uint32_t bucket_bits)
{
    return bucket_bits == 0 ? 0 : (uint32_t)(hash >> (64 - bucket_bits));
}

static uint32_t bucket_bits_for(uint32_t count)
{
    return (uint32_t)bits_width(count / IDS_BUCKET);
}

/* Each to its bucket, then the few of a bucket: hashes are spread evenly, so this takes a fifth of the time of a
 * sort of all.  ends[b]: where bucket b ends. */
static void sort_hashes(uint64_t *hashes, uint32_t count, uint32_t bucket_bits, uint32_t *ends)
{
    const uint32_t buckets = 1U << bucket_bits;
    uint64_t *sorted = malloc(((size_t)count + 1) * sizeof *sorted);
    CHECK(sorted != NULL);
    memset(ends, 0, buckets * sizeof *ends);
    for (uint32_t i = 0; i < count; i++)
        ends[bucket_of(hashes[i], bucket_bits)]++;
    for (uint32_t bucket = 0, sum = 0; bucket < buckets; bucket++) {
        const uint32_t here = ends[bucket];
        ends[bucket] = sum;
        sum += here;
    }
    for (uint32_t i = 0; i < count; i++)
        sorted[ends[bucket_of(hashes[i], bucket_bits)]++] = hashes[i];
    for (uint32_t bucket = 0, from = 0; bucket < buckets; from = ends[bucket++])
        sort_bucket(sorted + from, ends[bucket] - from);
    if (count > 0)
        memcpy(hashes, sorted, count * sizeof *hashes);
    free(sorted);
}

/* The lower bits of each.  The hashes stay whole: a set may be written once more. */
static void add_rest(const uint64_t *hashes, uint32_t count, int width, Buf *out)
{
    uint64_t some[256];
    BitWriter rest = {.out = *out, .width = width};
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

void ids_encode(uint64_t *hashes, uint32_t count, Buf *out)
{
    const size_t start = out->len;
    IdHead head = {.magic = "TDEVIDS", .version = IDS_VERSION, .count = count};
    head.magic[7] = '1';
    head.bucket_bits = bucket_bits_for(count);
    buf_add(out, (Str){(const char *)&head, sizeof head});
    const size_t ends_bytes = sizeof(uint32_t) << head.bucket_bits;
    uint32_t *ends = (void *)buf_reserve(out, ends_bytes);
    CHECK(ends != NULL && start % sizeof *ends == 0);
    sort_hashes(hashes, count, head.bucket_bits, ends);
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

void ids_read(const Ids *ids, uint64_t *out)
{
    const uint32_t bits = ids->head->bucket_bits;
    bits_unpack64(ids->rest, 0, ids->head->count, 64 - (int)bits, out);
    for (uint32_t bucket = 0, i = 0; bits > 0 && bucket < 1U << bits; bucket++)
        for (; i < ids->ends[bucket]; i++)
            out[i] |= (uint64_t)bucket << (64 - bits);
}

/* ---- recent ones -------------------------------------------------------------------------------- */

enum { FIRST_SLOTS = 1024, SMALL_SLOTS = 1 << 16 };

/* Small ones grow faster: each of a week's first ids is then moved once, not four times. */
void recent_ids_grow(RecentIds *r)
{
    const RecentIds old = *r;
    r->slot_count = old.slot_count * (old.slot_count < SMALL_SLOTS ? 4 : 2);
    if (old.slot_count == 0)
        r->slot_count = FIRST_SLOTS;
    while (recent_room(r) <= r->expected)
        r->slot_count *= 2;
    r->slots = calloc(r->slot_count, sizeof *r->slots);
    CHECK(r->slots != NULL);
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

void id_filter_add(IdFilter *f, uint64_t hash)
{
    uint64_t *line = id_filter_line(f, hash), probes = id_filter_probes(hash);
    for (int i = 0; i < ID_PROBES; i++, probes >>= 9)
        line[probes >> 6 & 7] |= UINT64_C(1) << (probes & 63);
    f->count++;
}
