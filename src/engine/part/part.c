/*
 * engine/part/part.c
 */
#include "engine/part/part.h"

#include "engine/core/bits.h"
#include "engine/part/part_active.h"
#include "engine/part/part_hours.h"
#include "events/crc32c.h"

#include <stdlib.h>

_Static_assert((int)PART_SLACK_BYTES >= (int)KERNEL_SLACK, "kernels read that far");

/* Beyond all weeks that there are (ENGINE_TIME_MS_MAX): sums of times do not overflow. */
#define WEEK_MS_MAX (INT64_C(1) << 42)

enum { WEEK_SECONDS = 604800, EVENT_BITS = 16, MS_MAX = 999 };
_Static_assert(1 << EVENT_BITS > (int)PART_EVENTS_MAX, "a code of an event name");

/* ---- opening ---------------------------------------------------------------------------------- */

static Err damaged(Ctx *ctx, const char *what)
{
    return fail(ctx, ERR_INTERNAL, "events.part_damaged", "%s", what);
}

static bool head_is_good(const PartHead *h, size_t bytes)
{
    const size_t from = offsetof(PartHead, head_crc) + sizeof h->head_crc;
    const Str rest = {(const char *)h + from, sizeof *h - from};
    return memcmp(h->magic, "TDEVPRT1", 8) == 0 && h->version == PART_VERSION &&
           h->head_crc == crc32c_add(0, rest) && h->file_bytes == bytes;
}

static uint64_t align8(uint64_t n)
{
    return (n + 7) & ~UINT64_C(7);
}

/* Of the five tables behind each other. */
static uint64_t tables_bytes(const PartHead *h)
{
    return align8(h->list_count * sizeof(PartList)) + align8(h->column_count * sizeof(PartColumn)) +
           align8(h->dir_count * sizeof(PartDir)) +
           align8((h->block_count + 1) * sizeof(PartBlock)) +
           align8(h->items_count * sizeof(PartItems));
}

/* What a file need not have: 0 = it has not. */
static bool extra_fits(const PartHead *h, uint64_t at, uint64_t bytes)
{
    return at == 0 ||
           (at >= PART_DATA_AT && at % 8 == 0 && at <= h->tables_at && bytes <= h->tables_at - at);
}

/* Sizes first, so that no table is looked at outside the file. */
static bool sizes_fit(const PartHead *h)
{
    const uint64_t pieces = (h->tables_at - PART_DATA_AT + PART_PIECE_BYTES - 1) / PART_PIECE_BYTES;
    return h->file_bytes <= PART_BYTES_MAX && h->tables_at >= PART_DATA_AT &&
           h->tables_at <= h->file_bytes && h->tables_at % 8 == 0 && h->rows <= PART_ROWS_MAX &&
           h->list_count > 0 && h->list_count <= PART_LISTS_MAX &&
           h->column_count <= PART_COLUMNS_MAX && h->items_count <= h->column_count &&
           h->block_count <= h->rows && h->tables_bytes == tables_bytes(h) &&
           h->piece_count == pieces && h->pieces_at == h->tables_at + h->tables_bytes &&
           h->pieces_at + pieces * sizeof(uint32_t) + PART_SLACK_BYTES <= h->file_bytes &&
           h->sequence_width <= 8 && h->sequence_at >= PART_DATA_AT &&
           h->sequence_bytes == bits_bytes(h->rows, (int)h->sequence_width) &&
           h->sequence_at <= h->tables_at && h->sequence_bytes <= h->tables_at - h->sequence_at &&
           extra_fits(h, h->active_at, (uint64_t)h->block_count * PART_ACTIVE_BYTES) &&
           extra_fits(h, h->hours_at, h->list_count * sizeof(PartHours));
}

static bool times_fit(const PartHead *h)
{
    return h->week_ms >= -WEEK_MS_MAX && h->week_ms <= WEEK_MS_MAX && h->from_seq <= h->to_seq &&
           h->min_ms >= h->week_ms && h->min_ms <= h->max_ms &&
           h->max_ms < h->week_ms + PART_WEEK_MS;
}

/* In `tables`, with the checksums of the pieces behind them. */
static void find_tables(Part *p, const void *tables)
{
    const PartHead *h = p->head;
    const uint8_t *at = tables;
    p->lists = (const void *)at;
    at += align8(h->list_count * sizeof(PartList));
    p->columns = (const void *)at;
    at += align8(h->column_count * sizeof(PartColumn));
    p->dir = (const void *)at;
    at += align8(h->dir_count * sizeof(PartDir));
    p->blocks = (const void *)at;
    at += align8((h->block_count + 1) * sizeof(PartBlock));
    p->items = (const void *)at;
    p->piece_crc = (const void *)((const uint8_t *)tables + h->tables_bytes);
}

/* The width follows from what the column may hold, as its builder says it. */
static bool values_fit(const PartColumn *c)
{
    if (c->kind == PART_CODES)
        return c->scale == 0 && c->nullable == 0 && c->base == 0 && c->max >= -1 &&
               c->max <= UINT32_MAX && c->width == bits_width(c->max < 0 ? 0 : (uint64_t)c->max);
    if (c->kind != PART_NUMBERS || c->nullable > 1 || c->scale > PART_SCALE_MAX ||
        c->base == PART_MISSING)
        return false;
    const uint64_t span = c->max < c->base ? 0 : (uint64_t)c->max - (uint64_t)c->base + c->nullable;
    return c->width == bits_width(span);
}

/* What is reckoned with, or counted by, has bounds of its own. */
static bool property_fits(const PartColumn *c)
{
    if (c->prop == PROP_MS)
        return c->kind == PART_NUMBERS && c->scale == 0 && c->base >= 0 && c->max <= MS_MAX;
    return c->prop != PROP_EVENT || (c->kind == PART_CODES && c->width <= EVENT_BITS);
}

static bool column_fits(const Part *p, const PartColumn *c, uint32_t rows)
{
    return values_fit(c) && property_fits(c) && c->bytes == bits_bytes(rows, c->width) &&
           c->at >= PART_DATA_AT && c->at <= p->head->tables_at &&
           c->bytes <= p->head->tables_at - c->at;
}

/* Keys and columns lie in the data, the columns by property. */
static bool stretches_fit(const Part *p, const PartList *l)
{
    const PartHead *h = p->head;
    if (l->keys_at < PART_DATA_AT || l->keys_at > h->tables_at ||
        l->keys_bytes > h->tables_at - l->keys_at || l->column_count > h->column_count ||
        l->first_column > h->column_count - l->column_count)
        return false;
    const PartColumn *c = p->columns + l->first_column;
    for (uint32_t i = 0; i < l->column_count; i++)
        if (!column_fits(p, &c[i], l->rows) || (i > 0 && c[i].prop <= c[i - 1].prop))
            return false;
    return true;
}

/* A key takes one to four bytes, and two bits that say so: rows are never more than bytes. */
static bool keys_fit(uint32_t rows, uint32_t bytes)
{
    const uint64_t least = (uint64_t)rows + (rows + UINT64_C(3)) / 4;
    return bytes >= least && bytes <= least + UINT64_C(3) * rows;
}

static bool list_fits(const Part *p, const PartList *l)
{
    const PartHead *h = p->head;
    if (!stretches_fit(p, l) || l->dir_count >= h->dir_count ||
        l->first_dir > h->dir_count - l->dir_count - 1)
        return false;
    const PartDir *d = p->dir + l->first_dir;
    for (uint32_t i = 0; i < l->dir_count; i++)
        if (d[i].block >= d[i + 1].block || d[i].first_row >= d[i + 1].first_row ||
            d[i].keys_at >= d[i + 1].keys_at ||
            !keys_fit(d[i + 1].first_row - d[i].first_row, d[i + 1].keys_at - d[i].keys_at))
            return false;
    if (d[l->dir_count].first_row != l->rows || d[l->dir_count].keys_at != l->keys_bytes ||
        d[l->dir_count].block != PART_NO_BLOCK || d[0].first_row != 0)
        return false;
    return true;
}

static uint64_t items_order(const PartItems *items)
{
    return (uint64_t)items->of << 32 | items->prop;
}

static bool items_fit(const Part *p, const PartItems *items)
{
    if (items->of >= p->head->list_count || items->list.rows > PART_ITEMS_MAX ||
        !stretches_fit(p, &items->list))
        return false;
    const PartList *of = &p->lists[items->of];
    const uint64_t starts = (of->rows + PART_STRIDE_ROWS - 1) / PART_STRIDE_ROWS + 1;
    const PartColumn *counts = part_find_column(p, of, items->prop);
    return items->list.keys_bytes == starts * sizeof(uint32_t) && counts != NULL &&
           counts->kind == PART_NUMBERS && counts->scale == 0;
}

/* Each event name has one list, and those that share one have the last, which says of each row which it is. */
static bool names_fit(const Part *p)
{
    uint64_t seen[(PART_EVENTS_MAX + 1) / 64] = {0};
    for (uint32_t i = 0; i < p->head->list_count; i++) {
        const uint32_t event = p->lists[i].event;
        if (event == PART_REST && i + 1 == p->head->list_count)
            return part_find_column(p, &p->lists[i], PROP_EVENT) != NULL;
        if (event > PART_EVENTS_MAX || (seen[event / 64] >> (event & 63) & 1) != 0)
            return false;
        seen[event / 64] |= UINT64_C(1) << (event & 63);
    }
    return true;
}

/* Each on its own; their entries stand behind each other, and their rows together are those of the sequence. */
static bool lists_fit(const Part *p)
{
    uint64_t rows = 0, entries = 0;
    for (uint32_t i = 0; i < p->head->list_count; i++) {
        const PartList *l = &p->lists[i];
        if (l->first_dir != entries || !list_fits(p, l))
            return false;
        entries += (uint64_t)l->dir_count + 1;
        rows += l->rows;
    }
    return rows == p->head->rows;
}

static bool tables_fit(const Part *p)
{
    const PartHead *h = p->head;
    if (!lists_fit(p) || !names_fit(p))
        return false;
    for (uint32_t i = 0; i < h->items_count; i++)
        if (!items_fit(p, &p->items[i]) ||
            (i > 0 && items_order(&p->items[i]) <= items_order(&p->items[i - 1])))
            return false;
    for (uint32_t i = 0; i < h->block_count; i++)
        if (p->blocks[i].block >= p->blocks[i + 1].block ||
            p->blocks[i].first_row >= p->blocks[i + 1].first_row)
            return false;
    return p->blocks[0].first_row == 0 && p->blocks[h->block_count].first_row == h->rows &&
           p->blocks[h->block_count].block == PART_NO_BLOCK;
}

/* What is found in head and tables is relied on for good, so of a map they are copied: once checked they stay. */
static const void *keep(Part *p, uint64_t at, uint64_t bytes)
{
    if (!p->is_mapped)
        return p->data + at;
    const size_t head = at == 0 ? 0 : sizeof(PartHead);
    p->kept = realloc(p->kept, head + bytes);
    CHECK(p->kept != NULL);
    memcpy((char *)p->kept + head, p->data + at, bytes);
    p->head = head > 0 ? p->kept : p->head;
    return (const char *)p->kept + head;
}

static Err check_part(Ctx *ctx, Part *p)
{
    if (p->bytes.len < sizeof(PartHead))
        return damaged(ctx, "head");
    p->head = keep(p, 0, sizeof(PartHead));
    if (!head_is_good(p->head, p->bytes.len))
        return damaged(ctx, "head");
    if (!sizes_fit(p->head) || !times_fit(p->head))
        return damaged(ctx, "sizes");
    const uint64_t bytes = p->head->tables_bytes + p->head->piece_count * sizeof(uint32_t);
    if (p->is_mapped)
        file_will_read(p->bytes, p->head->tables_at, bytes);
    const void *const tables = keep(p, p->head->tables_at, bytes);
    if (crc32c_add(0, (Str){tables, bytes}) != p->head->tables_crc)
        return damaged(ctx, "tables");
    find_tables(p, tables);
    return tables_fit(p) ? ERR_OK : damaged(ctx, "order of the tables");
}

static _Atomic uint64_t *bits_of(uint32_t count, bool value)
{
    _Atomic uint64_t *bits = calloc((size_t)count / 64 + 1, sizeof *bits);
    CHECK(bits != NULL);
    for (uint32_t i = 0; value && i <= count / 64; i++)
        atomic_store(&bits[i], UINT64_MAX);
    return bits;
}

Err part_open(Ctx *ctx, Str bytes, bool is_mapped, uint64_t number, Part **out)
{
    Part found = {.data = (const void *)bytes.ptr,
                  .bytes = bytes,
                  .is_mapped = is_mapped,
                  .lost = file_map_lost(is_mapped ? bytes : STR("")),
                  .number = number};
    const Err err = check_part(ctx, &found);
    if (err != ERR_OK) {
        free(found.kept);
        return err;
    }
    found.generation = found.head->generation;
    Part *p = malloc(sizeof *p);
    CHECK(p != NULL);
    memcpy(p, &found, sizeof *p);
    /* What is in memory we made just now. */
    p->good = bits_of(p->head->piece_count, !is_mapped);
    p->told = bits_of(p->head->piece_count, false);
    p->sound = bits_of(p->head->dir_count + p->head->block_count, !is_mapped);
    atomic_store(&p->refs, 1);
    *out = p;
    return ERR_OK;
}

Part *part_ref(Part *part)
{
    atomic_fetch_add(&part->refs, 1);
    return part;
}

void part_unref(Part *part)
{
    if (part == NULL || atomic_fetch_sub(&part->refs, 1) != 1)
        return;
    if (part->is_mapped)
        file_unmap(part->bytes);
    else
        free((void *)(uintptr_t)part->bytes.ptr);
    free((void *)(uintptr_t)part->good);
    free((void *)(uintptr_t)part->sound);
    free((void *)(uintptr_t)part->told);
    part_active_free(part);
    free(part->kept);
    free(part);
}

int part_order(const Part *a, const Part *b)
{
    const PartHead *x = a->head, *y = b->head;
    if (x->week_ms != y->week_ms)
        return x->week_ms < y->week_ms ? -1 : 1;
    if (x->from_seq != y->from_seq)
        return x->from_seq < y->from_seq ? -1 : 1;
    /* Rows that were moved, and no events, arrived between two numbers. */
    if (x->to_seq != y->to_seq)
        return x->to_seq < y->to_seq ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

/* ---- checksums -------------------------------------------------------------------------------- */

static Str piece_of(const Part *p, uint64_t piece)
{
    const uint64_t from = PART_DATA_AT + piece * PART_PIECE_BYTES;
    const uint64_t to = from + PART_PIECE_BYTES;
    return str_slice(p->bytes, from, to < p->head->tables_at ? to : p->head->tables_at);
}

static bool piece_is_good(Part *p, uint64_t piece)
{
    if (part_piece_is_known(p, piece))
        return true;
    if (crc32c_add(0, piece_of(p, piece)) != p->piece_crc[piece]) {
        atomic_store(&p->damaged, true);
        return false;
    }
    atomic_fetch_or(&p->good[piece / 64], UINT64_C(1) << (piece & 63));
    return true;
}

/* A question goes through dozens of lists side by side, block by block: what the next block reads of this one stands
 * right behind, and no processor follows so many streams by itself. */
static void fetch_ahead(const Part *p, uint64_t from, uint64_t bytes)
{
    enum { LINE = 64, AHEAD = 1024 };
    uint64_t end = from + (bytes < AHEAD / 2 ? 2 * bytes : AHEAD);
    end = end < p->bytes.len ? end : p->bytes.len;
    for (uint64_t at = from; at < end; at += LINE)
        __builtin_prefetch(p->data + at);
}

void part_set_lost(Part *part)
{
    atomic_store(&part->damaged, true);
}

bool part_touch(Part *part, uint64_t at, uint64_t bytes)
{
    if (bytes == 0)
        return true;
    if (!part_was_whole(part))
        return false;
    fetch_ahead(part, at + bytes, bytes);
    const uint64_t last = (at + bytes - 1 - PART_DATA_AT) / PART_PIECE_BYTES;
    for (uint64_t piece = (at - PART_DATA_AT) / PART_PIECE_BYTES; piece <= last; piece++)
        if (!piece_is_good(part, piece))
            return false;
    return true;
}

int64_t part_verify(Part *part, PartReportFn report, void *arg)
{
    int64_t bad = 0;
    for (uint64_t piece = 0; piece < part->head->piece_count; piece++) {
        if (crc32c_add(0, piece_of(part, piece)) == part->piece_crc[piece])
            continue;
        bad++;
        atomic_store(&part->damaged, true);
        if (report != NULL)
            report((int64_t)(PART_DATA_AT + piece * PART_PIECE_BYTES), "checksum of 64 KiB", arg);
    }
    return bad;
}

/* ---- finding ---------------------------------------------------------------------------------- */

const PartColumn *part_find_column(const Part *part, const PartList *list, uint32_t prop)
{
    const PartColumn *columns = part->columns + list->first_column;
    uint32_t low = 0, high = list->column_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (columns[middle].prop < prop)
            low = middle + 1;
        else
            high = middle;
    }
    return low < list->column_count && columns[low].prop == prop ? &columns[low] : NULL;
}

const PartItems *part_find_items(const Part *part, const PartList *list, uint32_t prop)
{
    const PartItems wanted = {.of = (uint32_t)(list - part->lists), .prop = prop};
    uint32_t low = 0, high = part->head->items_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (items_order(&part->items[middle]) < items_order(&wanted))
            low = middle + 1;
        else
            high = middle;
    }
    return low < part->head->items_count && items_order(&part->items[low]) == items_order(&wanted)
               ? &part->items[low]
               : NULL;
}

bool part_items_start(Part *part, const PartItems *items, uint32_t row, uint32_t *at,
                      uint32_t *start)
{
    const uint64_t place =
        items->list.keys_at + (uint64_t)(row / PART_STRIDE_ROWS) * sizeof(uint32_t);
    if (!part_touch(part, place, sizeof(uint32_t)))
        return false;
    *at = row - row % PART_STRIDE_ROWS;
    memcpy(start, part->data + place, sizeof *start);
    return part_was_whole(part) && *start <= items->list.rows;
}

/* The first of n entries (their block number comes first, `stride` bytes apart) at or behind `block`. */
static uint32_t seek(const void *entries, size_t stride, uint32_t n, uint32_t from, uint32_t block)
{
    const char *base = entries;
    uint32_t low = from, step = 1;
    const uint32_t *at = (const void *)(base + (size_t)low * stride);
    if (low >= n || *at >= block)
        return low;
    while (low + step < n &&
           *(const uint32_t *)(const void *)(base + (low + step) * stride) < block) {
        low += step;
        step *= 2;
    }
    uint32_t high = low + step < n ? low + step : n; /* low < block, high >= block or the end */
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (*(const uint32_t *)(const void *)(base + middle * stride) < block)
            low = middle;
        else
            high = middle;
    }
    return high;
}

/* Of the directory's entry. */
static PartRows rows_at(const Part *part, const PartList *list, uint32_t i)
{
    const PartDir *dir = part->dir + list->first_dir;
    return (PartRows){.first = dir[i].first_row,
                      .count = dir[i + 1].first_row - dir[i].first_row,
                      .keys = part->data + list->keys_at + dir[i].keys_at,
                      .bytes = dir[i + 1].keys_at - dir[i].keys_at,
                      .at = list->first_dir + i};
}

PartRows part_list_rows(const Part *part, const PartList *list, uint32_t block, uint32_t *cursor)
{
    const PartDir *dir = part->dir + list->first_dir;
    const uint32_t i = seek(dir, sizeof *dir, list->dir_count, *cursor, block);
    *cursor = i;
    if (i == list->dir_count || dir[i].block != block)
        return (PartRows){0};
    return rows_at(part, list, i);
}

PartRows part_next_rows(const Part *part, const PartList *list, uint32_t last, uint32_t *cursor,
                        uint32_t *block)
{
    const PartDir *dir = part->dir + list->first_dir;
    if (*cursor == list->dir_count || dir[*cursor].block > last)
        return (PartRows){0};
    *block = dir[*cursor].block;
    return rows_at(part, list, (*cursor)++);
}

/* No list has more entries before the block's than there are blocks before it, and most have as many. */
uint32_t part_list_cursor(const Part *part, const PartList *list, uint32_t place)
{
    const PartDir *dir = part->dir + list->first_dir;
    const uint32_t block = part->blocks[place].block;
    uint32_t at = place < list->dir_count ? place : list->dir_count;
    for (uint32_t step = 1; at > 0 && dir[at].block > block; step *= 2)
        at -= step < at ? step : at;
    return at;
}

uint32_t part_sequence_rows(const Part *part, uint32_t block, uint32_t *cursor, uint32_t *first)
{
    const PartBlock *blocks = part->blocks;
    const uint32_t i = seek(blocks, sizeof *blocks, part->head->block_count, *cursor, block);
    *cursor = i;
    if (i == part->head->block_count || blocks[i].block != block)
        return 0;
    *first = blocks[i].first_row;
    return blocks[i + 1].first_row - blocks[i].first_row;
}

uint32_t part_first_key(const uint32_t *keys, uint32_t n, uint32_t key)
{
    uint32_t low = 0, high = n;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (keys[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- keys and sequence ------------------------------------------------------------------------- */

/* Sound bytes make sense; the checks are for files that somebody forged, once per block. */
static bool is_sound(const Part *part, uint32_t bit)
{
    const uint64_t word = atomic_load_explicit(&part->sound[bit / 64], memory_order_relaxed);
    return (word >> (bit & 63) & 1) != 0;
}

static bool found_sound(Part *part, uint32_t bit, bool sound)
{
    if (sound)
        atomic_fetch_or(&part->sound[bit / 64], UINT64_C(1) << (bit & 63));
    else
        atomic_store(&part->damaged, true);
    return sound;
}

/* Ascending from the one before them on, of persons of a block, and none behind the week. */
static bool keys_make_sense(const uint32_t *keys, uint32_t n, uint32_t before)
{
    return keys[n - 1] >> PART_SECOND_BITS < PART_BLOCK_PERSONS &&
           kernels()->ascend(keys, n, before, PART_SECOND_MASK, WEEK_SECONDS - 1);
}

PartKeys part_keys(Part *part, const PartRows *rows)
{
    return (PartKeys){.part = part,
                      .at = key_place(rows->keys, rows->count),
                      .end = rows->keys + rows->bytes,
                      .left = rows->count,
                      .bit = rows->at};
}

/* Control bits and differences lie together when all keys are read at once. */
static bool touch_keys(PartKeys *k, uint32_t n, uint64_t at, uint64_t end)
{
    const uint64_t control = (uint64_t)(k->at.control - k->part->data), controls = (n + 3) / 4;
    const uint64_t most = (uint64_t)n * 4;
    if (at > end)
        return false;
    if (control + controls == at && n == k->left)
        return part_touch(k->part, control, end - control);
    return part_touch(k->part, control, controls) &&
           part_touch(k->part, at, most < end - at ? most : end - at);
}

/* They have as many bytes as the directory says: the last of them all. */
static bool bytes_make_sense(const PartKeys *k, uint32_t n, uint64_t have)
{
    const uint64_t bytes = key_stream_bytes(k->at.control, n) - (n + 3) / 4;
    return n == k->left ? bytes == have : bytes <= have;
}

bool part_next_keys(PartKeys *k, uint32_t n, uint32_t *out)
{
    DCHECK(n <= k->left && (n % 4 == 0 || n == k->left));
    Part *const part = k->part;
    const uint64_t at = (uint64_t)(k->at.data - part->data), end = (uint64_t)(k->end - part->data);
    if (!touch_keys(k, n, at, end))
        return false;
    const bool known = is_sound(part, k->bit);
    if (!known && !bytes_make_sense(k, n, end - at))
        return found_sound(part, k->bit, false);
    (void)kernels()->keys(&k->at, n, out);
    k->left -= n;
    if (!part_was_whole(part))
        return false;
    if (known || n == 0)
        return true;
    if (!keys_make_sense(out, n, k->before))
        return found_sound(part, k->bit, false);
    k->before = out[n - 1];
    return k->left > 0 || found_sound(part, k->bit, true);
}

bool part_read_keys(Part *part, const PartRows *rows, uint32_t *out)
{
    PartKeys keys = part_keys(part, rows);
    return part_next_keys(&keys, rows->count, out);
}

enum { SEQUENCE_ROWS = 8192 }; /* codes that stay near the processor */

bool part_read_sequence(Part *part, uint32_t first, uint32_t n, uint8_t *out)
{
    const PartHead *h = part->head;
    const uint64_t from = (uint64_t)first * h->sequence_width / 8;
    const uint64_t to = bits_bytes((uint64_t)first + n, (int)h->sequence_width);
    if (!part_touch(part, h->sequence_at + from, to - from))
        return false;
    kernels()->unpack8(part->data + h->sequence_at, first, n, (int)h->sequence_width, out);
    return part_was_whole(part);
}

enum { WAYS = 4 }; /* a counter that was just written is slow to read */

static void add_codes(const uint8_t *codes, uint32_t n, uint32_t ways[WAYS][UINT8_MAX + 1])
{
    uint32_t i = 0;
    for (; i + sizeof(uint64_t) <= n; i += sizeof(uint64_t)) {
        uint64_t eight;
        memcpy(&eight, codes + i, sizeof eight);
        for (uint32_t k = 0; k < sizeof eight; k += WAYS, eight >>= 8 * WAYS) {
            ways[0][eight & UINT8_MAX]++;
            ways[1][eight >> 8 & UINT8_MAX]++;
            ways[2][eight >> 16 & UINT8_MAX]++;
            ways[3][eight >> 24 & UINT8_MAX]++;
        }
    }
    for (; i < n; i++)
        ways[0][codes[i]]++;
}

/* How many codes of each list a block has. */
static bool count_codes(Part *part, const PartBlock *block, uint32_t counts[UINT8_MAX + 1])
{
    uint8_t codes[SEQUENCE_ROWS + KERNEL_SLACK];
    uint32_t ways[WAYS][UINT8_MAX + 1] = {{0}};
    for (uint32_t row = block[0].first_row, n; row < block[1].first_row; row += n) {
        n = block[1].first_row - row < SEQUENCE_ROWS ? block[1].first_row - row : SEQUENCE_ROWS;
        if (!part_read_sequence(part, row, n, codes))
            return false;
        add_codes(codes, n, ways);
    }
    for (uint32_t code = 0; code <= UINT8_MAX; code++)
        counts[code] = ways[0][code] + ways[1][code] + ways[2][code] + ways[3][code];
    return true;
}

bool part_check_sequence(Part *part, uint32_t place)
{
    const PartBlock *block = &part->blocks[place];
    const uint32_t bit = part->head->dir_count + place;
    uint32_t counts[UINT8_MAX + 1], of_lists = 0;
    if (is_sound(part, bit))
        return true;
    if (!count_codes(part, block, counts))
        return false;
    bool odd = false;
    for (uint32_t l = 0; l < part->head->list_count; l++) {
        uint32_t cursor = part_list_cursor(part, &part->lists[l], place);
        odd |= part_list_rows(part, &part->lists[l], block->block, &cursor).count != counts[l];
        of_lists += counts[l];
    }
    return found_sound(part, bit, !odd && of_lists == block[1].first_row - block[0].first_row);
}
