/*
 * events/run.c -- columns, sorting and blocks behind events/run.h.
 */
#include "events/run.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/pages.h"
#include "base/rand.h"
#include "events/crc32c.h"

#include <stdlib.h>

enum { NAME_ARENA_BYTES = 4096, HEAD_CRC_FROM = 16, BLOCK_ALIGN = 8, DAY_MS = 86400000 };

static const Str MAGIC = {"TDEVIDX1", 8};

static void *grown(void *old, size_t count, size_t size)
{
    void *at = realloc(old, count * size);
    CHECK(at != NULL);
    return at;
}

/* For what is filled at once. */
static void *filled(void *old, size_t count, size_t size)
{
    void *at = grown(old, count, size);
    pages_bring(at, count * size);
    return at;
}

/* ---- columns --------------------------------------------------------------------------------- */

static void place_name(RunColumns *c, uint32_t id)
{
    uint32_t at = (uint32_t)hash_bytes(c->names[id], c->seed) & (c->slot_count - 1);
    while (c->slot[at] != 0)
        at = (at + 1) & (c->slot_count - 1);
    c->slot[at] = id + 1;
}

/* At least twice as many slots as names can come. */
static void rebuild_slots(RunColumns *c)
{
    uint32_t n = 64;
    while (n < c->name_cap * 2)
        n *= 2;
    free(c->slot);
    c->slot = calloc(n, sizeof *c->slot);
    CHECK(c->slot != NULL);
    c->slot_count = n;
    for (uint32_t id = 0; id < c->name_count; id++)
        place_name(c, id);
}

void run_columns_reserve(RunColumns *c, uint32_t events, uint32_t frames)
{
    if (c->frame_count + frames > c->frame_cap) {
        c->frame_cap = (c->frame_count + frames) * 2;
        c->frames = grown(c->frames, c->frame_cap, sizeof *c->frames);
    }
    if (c->count + events <= c->cap)
        return;
    c->cap = (c->count + events) * 3 / 2;
    c->time = grown(c->time, c->cap, sizeof *c->time);
    c->hash = grown(c->hash, c->cap, sizeof *c->hash);
    c->offset = grown(c->offset, c->cap, sizeof *c->offset);
    c->name_id = grown(c->name_id, c->cap, sizeof *c->name_id);
}

static void reserve_names(RunColumns *c, uint32_t cap)
{
    c->name_cap = cap;
    c->names = grown(c->names, cap, sizeof *c->names);
    rebuild_slots(c);
}

RunColumns *run_columns_new(uint32_t event_cap, uint32_t frame_cap)
{
    RunColumns *c = calloc(1, sizeof *c);
    CHECK(c != NULL);
    c->arena = arena_new(NAME_ARENA_BYTES);
    c->seed = rand_u64();
    run_columns_reserve(c, event_cap, frame_cap);
    reserve_names(c, c->cap); /* so that an open run, which never grows, needs no more */
    return c;
}

static void *copy_of(const void *from, size_t count, size_t size)
{
    void *at = filled(NULL, count + 1, size);
    if (count > 0)
        memcpy(at, from, count * size);
    return at;
}

RunColumns *run_columns_copy(const RunColumns *from)
{
    RunColumns *c = calloc(1, sizeof *c);
    CHECK(c != NULL);
    c->arena = arena_new(NAME_ARENA_BYTES);
    c->count = c->cap = from->count;
    c->frame_count = c->frame_cap = from->frame_count;
    c->name_count = c->name_cap = from->name_count;
    c->happened = from->happened;
    c->time = copy_of(from->time, c->count, sizeof *c->time);
    c->hash = copy_of(from->hash, c->count, sizeof *c->hash);
    c->offset = copy_of(from->offset, c->count, sizeof *c->offset);
    c->name_id = copy_of(from->name_id, c->count, sizeof *c->name_id);
    c->frames = copy_of(from->frames, c->frame_count, sizeof *c->frames);
    c->names = grown(NULL, c->name_count + 1, sizeof *c->names);
    for (uint32_t id = 0; id < c->name_count; id++)
        c->names[id] = arena_copy(c->arena, from->names[id]);
    return c;
}

size_t run_columns_bytes(const RunColumns *c)
{
    return c->cap * (sizeof *c->time + sizeof *c->hash + sizeof *c->offset + sizeof *c->name_id) +
           c->frame_cap * sizeof *c->frames;
}

void run_columns_free(RunColumns *c)
{
    if (c == NULL)
        return;
    arena_free(c->arena);
    free(c->time);
    free(c->hash);
    free(c->offset);
    free(c->name_id);
    free(c->frames);
    free(c->names);
    free(c->slot);
    free(c);
}

static uint32_t intern(RunColumns *c, Str name)
{
    uint32_t at = (uint32_t)hash_bytes(name, c->seed) & (c->slot_count - 1);
    for (; c->slot[at] != 0; at = (at + 1) & (c->slot_count - 1))
        if (str_same(c->names[c->slot[at] - 1], name))
            return c->slot[at] - 1;
    if (c->name_count == c->name_cap)
        reserve_names(c, c->name_cap * 2);
    c->names[c->name_count] = arena_copy(c->arena, name);
    place_name(c, c->name_count);
    return c->name_count++;
}

void run_columns_add_frame(RunColumns *c, uint32_t offset, int64_t outbox_id)
{
    CHECK(c->frame_count < c->frame_cap);
    c->frames[c->frame_count++] =
        (RunFrame){.offset = offset, .first = c->count, .outbox_id = outbox_id};
}

void run_columns_add(RunColumns *c, const EventsRow *row)
{
    CHECK(c->count < c->cap);
    c->time[c->count] = row->time_ms;
    c->hash[c->count] = row->hash;
    c->offset[c->count] = row->at;
    c->name_id[c->count] = row->name.len == 0 ? RUN_NAME_NONE : intern(c, row->name);
    c->happened += row->name.len != 0;
    c->count++;
}

void run_columns_add_gap(RunColumns *c, uint32_t count)
{
    const EventsRow gone = {.time_ms = RUN_GONE_MS};
    for (uint32_t i = 0; i < count; i++)
        run_columns_add(c, &gone);
}

/* ---- runs ------------------------------------------------------------------------------------ */

Run *run_new_open(RunColumns *c, uint64_t segment, uint64_t first_seq,
                  const uint8_t key[SIPHASH_KEY_BYTES])
{
    Run *run = calloc(1, sizeof *run);
    CHECK(run != NULL);
    atomic_init(&run->refs, 1);
    atomic_init(&run->trust, RUN_TRUSTED);
    run->is_open = true;
    run->segment = segment;
    run->first_seq = first_seq;
    memcpy(run->key, key, sizeof run->key);
    run->columns = c;
    run_refresh_open(run);
    return run;
}

void run_refresh_open(Run *run)
{
    const RunColumns *c = run->columns;
    run->count = c->count;
    run->frame_count = c->frame_count;
    run->name_count = c->name_count;
    run->happened = c->happened;
    run->time = c->time;
    run->hash = c->hash;
    run->offset = c->offset;
    run->frames = c->frames;
}

bool run_begin_again(Run *run, uint64_t segment, uint64_t first_seq)
{
    enum { KEPT_EVENTS = 4 * RUN_EVENTS };
    RunColumns *c = run->columns;
    if (atomic_load(&run->refs) > 1 || c->cap > KEPT_EVENTS)
        return false;
    c->count = c->frame_count = c->name_count = 0;
    c->happened = 0;
    arena_reset(c->arena);
    memset(c->slot, 0, c->slot_count * sizeof *c->slot);
    run->segment = segment;
    run->first_seq = first_seq;
    run_refresh_open(run);
    return true;
}

Run *run_ref(Run *run)
{
    (void)atomic_fetch_add(&run->refs, 1);
    return run;
}

void run_unref(Run *run)
{
    if (run == NULL || atomic_fetch_sub(&run->refs, 1) > 1)
        return;
    if (run->is_mapped)
        file_unmap(run->block);
    else
        free((void *)(uintptr_t)run->block.ptr);
    run_columns_free(run->columns);
    free(run);
}

uint64_t run_actor_hash(const uint8_t key[SIPHASH_KEY_BYTES], EventActor actor)
{
    char bytes[1 + EVENT_ACTOR_KIND_BYTES_MAX + EVENT_ACTOR_VALUE_BYTES_MAX];
    CHECK(actor.kind.len <= EVENT_ACTOR_KIND_BYTES_MAX &&
          actor.value.len <= EVENT_ACTOR_VALUE_BYTES_MAX);
    bytes[0] = (char)actor.kind.len;
    if (actor.kind.len > 0)
        memcpy(bytes + 1, actor.kind.ptr, actor.kind.len);
    if (actor.value.len > 0)
        memcpy(bytes + 1 + actor.kind.len, actor.value.ptr, actor.value.len);
    return siphash(key, (Str){bytes, 1 + actor.kind.len + actor.value.len});
}

/* ---- sorting --------------------------------------------------------------------------------- */

enum { DIGITS = 8, DIGIT_VALUES = 256 };

/* Lowest byte first; a byte that is the same everywhere costs only its count. */
static void sort_by_bytes(const uint64_t *keys, uint32_t n, uint32_t *order, uint32_t *scratch)
{
    uint32_t(*seen)[DIGIT_VALUES] = calloc(DIGITS, sizeof *seen);
    CHECK(seen != NULL);
    for (uint32_t i = 0; i < n; i++)
        for (int d = 0; d < DIGITS; d++)
            seen[d][(keys[order[i]] >> (8 * d)) & 0xff]++;
    uint32_t *from = order, *to = scratch;
    for (int d = 0; d < DIGITS; d++) {
        if (seen[d][(keys[from[0]] >> (8 * d)) & 0xff] == n)
            continue;
        uint32_t sum = 0;
        for (int v = 0; v < DIGIT_VALUES; v++) {
            const uint32_t here = seen[d][v];
            seen[d][v] = sum;
            sum += here;
        }
        for (uint32_t i = 0; i < n; i++)
            to[seen[d][(keys[from[i]] >> (8 * d)) & 0xff]++] = from[i];
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != order)
        memcpy(order, from, n * sizeof *order);
    free(seen);
}

enum { INSERT_MAX = 256, MOVES_EACH = 24, BUCKET_EVENTS = 8, BUCKET_BITS_MAX = 16 };

/* Each to its place: what is of one actor, or of one moment, is near it already.  False: they are too far from their
 * places for that; those with the same key are in their order nevertheless. */
static bool sort_few(const uint64_t *keys, uint32_t n, uint32_t *order)
{
    uint64_t key[INSERT_MAX];
    const uint32_t moves_max = n * MOVES_EACH;
    uint32_t i = 0, moves = 0;
    for (; i < n && moves <= moves_max; i++) {
        const uint64_t here = keys[order[i]];
        const uint32_t place = order[i];
        uint32_t at = i;
        for (; at > 0 && key[at - 1] > here; at--) {
            key[at] = key[at - 1];
            order[at] = order[at - 1];
        }
        key[at] = here;
        order[at] = place;
        moves += i - at;
    }
    return i == n;
}

static bool is_sorted(const uint64_t *keys, uint32_t n, const uint32_t *order)
{
    uint32_t i = 1;
    while (i < n && keys[order[i - 1]] <= keys[order[i]])
        i++;
    return i >= n;
}

static void sort_bucket(const uint64_t *keys, uint32_t n, uint32_t *order, uint32_t *scratch)
{
    const bool sorted = n <= INSERT_MAX ? sort_few(keys, n, order) : is_sorted(keys, n, order);
    if (!sorted)
        sort_by_bytes(keys, n, order, scratch);
}

/* Which bits of the keys differ. */
static uint64_t differing(const uint64_t *keys, uint32_t n, const uint32_t *order)
{
    uint64_t ones = 0, zeros = 0;
    for (uint32_t i = 0; i < n; i++) {
        ones |= keys[order[i]];
        zeros |= ~keys[order[i]];
    }
    return ones & zeros;
}

/* The highest bits that differ say the bucket; where each begins goes to `ends`, and then where it ends. */
static void to_buckets(const uint64_t *keys, uint32_t n, const uint32_t *order, int shift,
                       uint32_t mask, uint32_t *ends, uint32_t *out)
{
    for (uint32_t i = 0; i < n; i++)
        ends[keys[order[i]] >> shift & mask]++;
    for (uint32_t bucket = 0, sum = 0; bucket <= mask; bucket++) {
        const uint32_t here = ends[bucket];
        ends[bucket] = sum;
        sum += here;
    }
    for (uint32_t i = 0; i < n; i++)
        out[ends[keys[order[i]] >> shift & mask]++] = order[i];
}

/* Once through all to buckets of a few, each of which is then near the processor: hashes take a third of the time
 * of a pass per byte. */
void run_sort(const uint64_t *keys, uint32_t n, uint32_t *order, uint32_t *scratch)
{
    const uint64_t differ = differing(keys, n, order);
    int bits = 1;
    while (bits < BUCKET_BITS_MAX && n >> bits > BUCKET_EVENTS)
        bits++;
    if (differ == 0)
        return;
    const int top = 64 - __builtin_clzll(differ), shift = top > bits ? top - bits : 0;
    const uint32_t mask = (UINT32_C(1) << bits) - 1;
    uint32_t *ends = calloc((size_t)mask + 1, sizeof *ends);
    CHECK(ends != NULL);
    to_buckets(keys, n, order, shift, mask, ends, scratch);
    for (uint32_t bucket = 0, from = 0; bucket <= mask; from = ends[bucket++])
        sort_bucket(keys, ends[bucket] - from, scratch + from, order + from);
    memcpy(order, scratch, n * sizeof *order);
    free(ends);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* Where each part of a block starts; `end` is the size of the whole. */
typedef struct Parts {
    size_t time, hash, frames, offset, by_time, by_actor, counts, names, end;
} Parts;

static size_t part(size_t *at, uint64_t count, size_t size)
{
    const size_t from = *at;
    *at = (from + (size_t)count * size + BLOCK_ALIGN - 1) / BLOCK_ALIGN * BLOCK_ALIGN;
    return from;
}

static Parts parts_of(const RunHead *h)
{
    Parts p;
    size_t at = sizeof *h;
    p.time = part(&at, h->count, sizeof(int64_t));
    p.hash = part(&at, h->count, sizeof(uint64_t));
    p.frames = part(&at, h->frame_count, sizeof(RunFrame));
    p.offset = part(&at, h->count, sizeof(uint32_t));
    p.by_time = part(&at, h->count, sizeof(uint32_t));
    p.by_actor = part(&at, h->count, sizeof(uint32_t));
    p.counts = part(&at, h->count_count, sizeof(RunCount));
    p.names = part(&at, h->name_bytes, 1);
    p.end = at;
    return p;
}

static uint32_t head_crc(const RunHead *h)
{
    return crc32c_add(0, (Str){(const char *)h + HEAD_CRC_FROM, sizeof *h - HEAD_CRC_FROM});
}

static Run *run_over(Str block, bool is_mapped, uint64_t segment, const RunHead *h)
{
    const Parts p = parts_of(h);
    Run *run = calloc(1, sizeof *run);
    CHECK(run != NULL);
    atomic_init(&run->refs, 1);
    atomic_init(&run->trust, RUN_UNCHECKED);
    run->segment = segment;
    run->first_seq = h->first_seq;
    memcpy(run->key, h->key, sizeof run->key);
    run->count = h->count;
    run->frame_count = h->frame_count;
    run->happened = h->happened;
    run->time = (const int64_t *)(const void *)(block.ptr + p.time);
    run->hash = (const uint64_t *)(const void *)(block.ptr + p.hash);
    run->frames = (const RunFrame *)(const void *)(block.ptr + p.frames);
    run->offset = (const uint32_t *)(const void *)(block.ptr + p.offset);
    run->by_time = (const uint32_t *)(const void *)(block.ptr + p.by_time);
    run->by_actor = (const uint32_t *)(const void *)(block.ptr + p.by_actor);
    run->counts = (const RunCount *)(const void *)(block.ptr + p.counts);
    run->names = block.ptr + p.names;
    run->head = *h;
    run->block = block;
    run->is_mapped = is_mapped;
    run->lost = file_map_lost(is_mapped ? block : STR(""));
    return run;
}

bool run_of_block(Str block, bool is_mapped, uint64_t segment, Run **out)
{
    RunHead h;
    if (block.len < sizeof h)
        return false;
    memcpy(&h, block.ptr, sizeof h);
    const bool good = memcmp(h.magic, MAGIC.ptr, MAGIC.len) == 0 && h.version == RUN_VERSION &&
                      h.head_crc == head_crc(&h) && h.first_seq >= segment &&
                      h.count <= EVENTS_SEGMENT_COUNT_MAX + EVENTS_BATCH_COUNT_MAX &&
                      parts_of(&h).end == block.len && h.body_bytes == block.len - sizeof h;
    if (good)
        *out = run_over(block, is_mapped, segment, &h);
    return good;
}

static bool is_in_bounds(const Run *run)
{
    uint64_t bad = run->count > 0 && (run->frame_count == 0 || run->frames[0].first > 0) &&
                   run->time[0] != RUN_GONE_MS;
    for (uint32_t i = 0; i < run->count; i++)
        bad |= (uint64_t)(run->by_time[i] >= run->count) | (run->by_actor[i] >= run->count);
    for (uint32_t i = 0; i < run->head.count_count; i++)
        bad |= (uint64_t)run->counts[i].name_at + run->counts[i].name_len > run->head.name_bytes;
    return bad == 0;
}

bool run_is_whole(Run *run)
{
    const bool whole = run->lost == NULL || file_is_whole(run->lost);
    if (!whole)
        atomic_store(&run->trust, RUN_DAMAGED);
    return whole;
}

bool run_is_trusted(Run *run)
{
    int trust = atomic_load(&run->trust);
    if (trust == RUN_UNCHECKED) {
        const Str body = str_slice(run->block, sizeof run->head, run->block.len);
        const bool good = crc32c_add(0, body) == run->head.body_crc && is_in_bounds(run);
        trust = good ? RUN_TRUSTED : RUN_DAMAGED;
        atomic_store(&run->trust, trust);
    }
    return run_is_whole(run) && trust == RUN_TRUSTED;
}

static uint32_t *positions(uint32_t n)
{
    uint32_t *order = filled(NULL, n + 1, sizeof *order);
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    return order;
}

/* The columns in the making of a block. */
typedef struct Build {
    const RunColumns *c;
    uint64_t *keys;
    uint32_t *by_time, *by_actor, *scratch;
    RunCount *counts;
    uint32_t count_count;
    Buf names;
    int64_t min_ms, max_ms;
} Build;

static Build build_of(const RunColumns *c)
{
    return (Build){.c = c,
                   .keys = filled(NULL, c->count + 1, sizeof(uint64_t)),
                   .by_time = positions(c->count),
                   .by_actor = positions(c->count),
                   .scratch = positions(c->count),
                   .names = BUF_MAX((size_t)UINT32_MAX)};
}

static void build_orders(Build *b)
{
    const RunColumns *c = b->c;
    b->min_ms = INT64_MAX;
    b->max_ms = INT64_MIN;
    for (uint32_t i = 0; i < c->count; i++) {
        b->keys[i] = (uint64_t)c->time[i] ^ (UINT64_C(1) << 63);
        if (c->time[i] == RUN_GONE_MS)
            continue;
        b->min_ms = c->time[i] < b->min_ms ? c->time[i] : b->min_ms;
        b->max_ms = c->time[i] > b->max_ms ? c->time[i] : b->max_ms;
    }
    run_sort(b->keys, c->count, b->by_time, b->scratch);
    memcpy(b->by_actor, b->by_time, c->count * sizeof *b->by_actor);
    run_sort(c->hash, c->count, b->by_actor, b->scratch); /* stable: by time within one actor */
}

/* How many events there are of each name (upper half of the key) and day: a table that doubles. */
typedef struct DayCounts {
    uint64_t *keys;
    uint32_t *counts;
    uint32_t count, cap;
    uint32_t *slots; /* place + 1, 0 = empty; twice as many as `cap` */
} DayCounts;

static uint32_t day_slot(const DayCounts *d, uint64_t key)
{
    const uint32_t mask = 2 * d->cap - 1;
    uint32_t slot = (uint32_t)hash_u64(key, 0) & mask;
    while (d->slots[slot] != 0 && d->keys[d->slots[slot] - 1] != key)
        slot = (slot + 1) & mask;
    return slot;
}

static void grow_days(DayCounts *d)
{
    d->cap = d->cap == 0 ? 64 : d->cap * 2;
    d->keys = grown(d->keys, d->cap, sizeof *d->keys);
    d->counts = grown(d->counts, d->cap, sizeof *d->counts);
    free(d->slots);
    d->slots = calloc(2 * (size_t)d->cap, sizeof *d->slots);
    CHECK(d->slots != NULL);
    for (uint32_t i = 0; i < d->count; i++)
        d->slots[day_slot(d, d->keys[i])] = i + 1;
}

static void count_days(DayCounts *d, uint32_t name_id, int32_t day, uint32_t events)
{
    const uint64_t key = (uint64_t)name_id << 32 | (uint32_t)day;
    if (d->count == d->cap)
        grow_days(d);
    uint32_t *slot = &d->slots[day_slot(d, key)];
    if (*slot == 0) {
        d->keys[d->count] = key;
        d->counts[d->count++] = 0;
        *slot = d->count;
    }
    d->counts[*slot - 1] += events;
}

/* Events of one name and day that are not in the table yet. */
typedef struct DayTally {
    int32_t day;
    uint32_t events;
} DayTally;

static void tell_tally(DayCounts *d, DayTally *t, uint32_t id)
{
    if (t->events > 0)
        count_days(d, id, t->day, t->events);
    t->events = 0;
}

/* `ids`: what the names' ids are to be; NULL = as they are.  The day of a name is mostly that of its event before. */
static void count_columns(DayCounts *d, const RunColumns *c, const uint32_t *ids)
{
    int32_t day = 0;
    int64_t day_ms = INT64_MAX;
    DayTally *tallies = calloc((size_t)c->name_count + 1, sizeof *tallies);
    CHECK(tallies != NULL);
    for (uint32_t i = 0; i < c->count; i++) {
        const uint32_t id = c->name_id[i];
        if (id == RUN_NAME_NONE)
            continue;
        if (c->time[i] < day_ms || c->time[i] - day_ms >= DAY_MS) {
            day = clock_day(c->time[i], 0);
            day_ms = clock_day_start_ms(day, 0);
        }
        if (tallies[id].day != day)
            tell_tally(d, &tallies[id], ids == NULL ? id : ids[id]);
        tallies[id].day = day;
        tallies[id].events++;
    }
    for (uint32_t id = 0; id < c->name_count; id++)
        tell_tally(d, &tallies[id], ids == NULL ? id : ids[id]);
    free(tallies);
}

/* The counts of the block, by name and day.  Ends `d`. */
static void take_counts(Build *b, DayCounts *d)
{
    const RunColumns *c = b->c;
    uint32_t *name_at = grown(NULL, c->name_count + 1, sizeof *name_at);
    uint32_t *order = positions(d->count), *scratch = positions(d->count);
    for (uint32_t id = 0; id < c->name_count; id++) {
        name_at[id] = (uint32_t)b->names.len;
        buf_add(&b->names, c->names[id]);
    }
    run_sort(d->keys, d->count, order, scratch);
    b->counts = grown(NULL, d->count + 1, sizeof *b->counts);
    for (uint32_t i = 0; i < d->count; i++) {
        const uint64_t key = d->keys[order[i]];
        const uint32_t id = (uint32_t)(key >> 32);
        b->counts[b->count_count++] = (RunCount){.name_at = name_at[id],
                                                 .name_len = (uint32_t)c->names[id].len,
                                                 .day = (int32_t)(uint32_t)key,
                                                 .count = d->counts[order[i]]};
    }
    free(name_at);
    free(order);
    free(scratch);
    free(d->keys);
    free(d->counts);
    free(d->slots);
}

static void put(char *block, size_t at, const void *from, size_t bytes)
{
    if (bytes > 0)
        memcpy(block + at, from, bytes);
}

static Run *build_block(const Build *b, RunHead h)
{
    const RunColumns *c = b->c;
    const Parts p = parts_of(&h);
    char *block = calloc(1, p.end);
    CHECK(block != NULL);
    pages_bring(block, p.end);
    put(block, p.time, c->time, c->count * sizeof *c->time);
    for (uint32_t i = 0; i < c->count; i++)
        put(block, p.hash + i * sizeof *c->hash, &c->hash[b->by_actor[i]], sizeof *c->hash);
    put(block, p.frames, c->frames, c->frame_count * sizeof *c->frames);
    put(block, p.offset, c->offset, c->count * sizeof *c->offset);
    put(block, p.by_time, b->by_time, c->count * sizeof *b->by_time);
    put(block, p.by_actor, b->by_actor, c->count * sizeof *b->by_actor);
    put(block, p.counts, b->counts, b->count_count * sizeof *b->counts);
    put(block, p.names, b->names.ptr, b->names.len);
    h.body_bytes = p.end - sizeof h;
    h.body_crc = crc32c_add(0, (Str){block + sizeof h, p.end - sizeof h});
    h.head_crc = head_crc(&h);
    put(block, 0, &h, sizeof h);
    return run_over((Str){block, p.end}, false, 0, &h);
}

/* Everything but the counts is made here. */
static Run *finish_build(Build *b, const RunOf *of)
{
    const RunColumns *c = b->c;
    build_orders(b);
    RunHead h = {.version = RUN_VERSION,
                 .last_frame_crc = of->last_frame_crc,
                 .last_frame_at = of->last_frame_at,
                 .end_offset = of->end_offset,
                 .first_seq = of->first_seq,
                 .count = c->count,
                 .frame_count = c->frame_count,
                 .count_count = b->count_count,
                 .name_bytes = (uint32_t)b->names.len,
                 .min_ms = b->min_ms,
                 .max_ms = b->max_ms,
                 .happened = c->happened};
    memcpy(h.magic, MAGIC.ptr, sizeof h.magic);
    memcpy(h.key, of->key, sizeof h.key);
    Run *run = build_block(b, h);
    run->segment = of->segment;
    atomic_store(&run->trust, RUN_TRUSTED);
    free(b->keys);
    free(b->by_time);
    free(b->by_actor);
    free(b->scratch);
    free(b->counts);
    buf_free(&b->names);
    return run;
}

Run *run_build(const RunColumns *c, const RunOf *of)
{
    Build b = build_of(c);
    DayCounts days = {0};
    count_columns(&days, c, NULL);
    take_counts(&b, &days);
    return finish_build(&b, of);
}

/* ---- several as one ---------------------------------------------------------------------------- */

static void add_run(RunColumns *c, const Run *run)
{
    memcpy(c->time + c->count, run->time, run->count * sizeof *c->time);
    memcpy(c->offset + c->count, run->offset, run->count * sizeof *c->offset);
    if (run->is_open)
        memcpy(c->hash + c->count, run->hash, run->count * sizeof *c->hash);
    for (uint32_t i = 0; !run->is_open && i < run->count; i++)
        c->hash[c->count + run->by_actor[i]] = run->hash[i];
    for (uint32_t i = 0; i < run->frame_count; i++) {
        c->frames[c->frame_count] = run->frames[i];
        c->frames[c->frame_count++].first += c->count;
    }
    c->count += run->count;
    c->happened += run->happened;
}

/* Names get their ids in the order of their first event, as when the events come one by one. */
static void join_columns(DayCounts *d, RunColumns *c, const RunColumns *from)
{
    uint32_t *ids = grown(NULL, from->name_count + 1, sizeof *ids);
    for (uint32_t id = 0; id < from->name_count; id++)
        ids[id] = intern(c, from->names[id]);
    count_columns(d, from, ids);
    free(ids);
}

static void join_counts(DayCounts *d, RunColumns *c, const Run *from)
{
    for (uint32_t i = 0; i < from->head.count_count; i++) {
        const RunCount *count = &from->counts[i];
        const Str name = {from->names + count->name_at, count->name_len};
        count_days(d, intern(c, name), count->day, count->count);
    }
}

static void bring_columns(RunColumns *c, uint32_t events)
{
    pages_bring(c->time, events * sizeof *c->time);
    pages_bring(c->hash, events * sizeof *c->hash);
    pages_bring(c->offset, events * sizeof *c->offset);
}

Run *run_join(Run *const *runs, size_t run_count, const RunOf *of)
{
    uint32_t events = 0, frames = 0;
    for (size_t r = 0; r < run_count; r++) {
        events += runs[r]->count;
        frames += runs[r]->frame_count;
    }
    RunColumns *c = run_columns_new(1, 1);
    run_columns_reserve(c, events, frames);
    bring_columns(c, events);
    DayCounts days = {0};
    for (size_t r = 0; r < run_count; r++) {
        add_run(c, runs[r]);
        if (runs[r]->is_open)
            join_columns(&days, c, runs[r]->columns);
        else
            join_counts(&days, c, runs[r]);
    }
    Build b = build_of(c);
    take_counts(&b, &days);
    Run *run = finish_build(&b, of);
    run_columns_free(c);
    return run;
}
