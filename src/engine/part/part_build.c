/*
 * engine/part/part_build.c
 */
#include "engine/part/part_build.h"

#include "engine/core/bits.h"
#include "engine/part/part_active.h"
#include "engine/part/part_hours.h"
#include "events/crc32c.h"

#include <stdlib.h>

typedef struct ColumnState {
    PartColumn column; /* at and bytes: at the end */
    BitWriter values;
    struct ListState *items; /* that it counts; NULL: it counts none */
} ColumnState;

typedef struct ListState {
    PartList list;
    Buf keys;        /* streams of finished blocks; of items, the starts */
    Buf dir;         /* PartDir */
    uint32_t events; /* of items: those that were counted */
    PartHours hours; /* until the end, of each hour alone */
} ListState;

struct PartBuilder {
    PartHead head;
    ListState *lists; /* and behind them, the items */
    PartItems *items; /* their lists: at the end */
    ColumnState *columns;
    BitWriter sequence;
    Buf blocks; /* PartBlock */
    Buf active; /* of each block, who has events */
    uint32_t block;
    bool misfit; /* a value was none that its column was planned for */
};

/* ---- starting --------------------------------------------------------------------------------- */

/* What is stored for the largest value. */
static uint64_t largest_stored(const PartColumnPlan *plan)
{
    if (plan->min > plan->max)
        return 0;
    return plan->kind == PART_CODES
               ? (uint64_t)plan->max
               : (uint64_t)plan->max - (uint64_t)plan->min + (plan->nullable ? 1 : 0);
}

static uint64_t columns_bytes(const PartColumnPlan *columns, uint32_t count, uint64_t rows)
{
    uint64_t bytes = 0;
    for (uint32_t c = 0; c < count; c++)
        bytes += bits_bytes(rows, bits_width(largest_stored(&columns[c])));
    return bytes;
}

uint64_t part_plan_bytes(const PartPlan *plan, const uint64_t *rows)
{
    const uint64_t keys = 5, sequence = 1, item = 1, roundings = 16; /* control bytes included */
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < plan->list_count; i++)
        bytes += rows[i] * (keys + sequence) + roundings +
                 columns_bytes(plan->lists[i].columns, plan->lists[i].column_count, rows[i]);
    for (uint32_t i = 0; i < plan->items_count; i++) {
        const uint64_t n = rows[plan->list_count + i];
        const uint64_t columns =
            columns_bytes(plan->items[i].columns, plan->items[i].column_count, n);
        bytes += rows[plan->items[i].of] * sizeof(uint32_t) / PART_STRIDE_ROWS + roundings;
        bytes += columns > n * item ? columns : n * item;
    }
    return bytes;
}

static ColumnState column_of(const PartColumnPlan *plan, uint64_t rows)
{
    ColumnState c = {
        .column = {.prop = plan->prop, .kind = (uint8_t)plan->kind, .scale = plan->scale}};
    const bool any = plan->min <= plan->max;
    if (plan->kind == PART_CODES) {
        c.column.max = any ? plan->max : -1;
    } else {
        const uint64_t span = any ? (uint64_t)plan->max - (uint64_t)plan->min : 0;
        /* A span of all 64 bits leaves no number for "missing": the widest values are rare enough. */
        CHECK(!plan->nullable || span < UINT64_MAX);
        c.column.nullable = plan->nullable || !any;
        c.column.base = any ? plan->min : 0;
        c.column.max = any ? plan->max : -1;
    }
    c.column.width = (uint8_t)bits_width(largest_stored(plan));
    c.values = bits_writer(c.column.width, PART_BYTES_MAX);
    bits_reserve(&c.values, rows);
    return c;
}

static uint32_t columns_of(const PartPlan *plan)
{
    uint32_t columns = 0;
    for (uint32_t i = 0; i < plan->list_count; i++)
        columns += plan->lists[i].column_count;
    for (uint32_t i = 0; i < plan->items_count; i++)
        columns += plan->items[i].column_count;
    return columns;
}

/* A list, or items, and its columns behind those that there are already. */
static void add_list(PartBuilder *b, uint32_t list, const PartListPlan *plan)
{
    b->lists[list] = (ListState){.list = {.event = plan->event,
                                          .first_column = b->head.column_count,
                                          .column_count = plan->column_count},
                                 .keys = BUF_MAX(PART_BYTES_MAX),
                                 .dir = BUF_MAX(PART_BYTES_MAX)};
    for (uint32_t c = 0; c < plan->column_count; c++)
        b->columns[b->head.column_count++] = column_of(&plan->columns[c], plan->rows);
}

static ColumnState *find_column(PartBuilder *b, uint32_t list, uint32_t prop)
{
    const PartList *l = &b->lists[list].list;
    uint32_t c = l->first_column;
    while (c < l->first_column + l->column_count && b->columns[c].column.prop != prop)
        c++;
    CHECK(c < l->first_column + l->column_count);
    return &b->columns[c];
}

static void add_items(PartBuilder *b, const PartPlan *plan)
{
    for (uint32_t i = 0; i < plan->items_count; i++) {
        const PartItemsPlan *p = &plan->items[i];
        const PartListPlan rows = {plan->lists[p->of].event, p->columns, p->column_count, p->rows};
        add_list(b, plan->list_count + i, &rows);
        b->items[i] = (PartItems){.of = p->of, .prop = p->prop};
        find_column(b, p->of, p->prop)->items = &b->lists[plan->list_count + i];
    }
}

PartBuilder *part_builder_new(const PartPlan *plan)
{
    PartBuilder *b = calloc(1, sizeof *b);
    const uint32_t columns = columns_of(plan);
    CHECK(b != NULL && plan->list_count > 0 && plan->list_count <= PART_LISTS_MAX &&
          columns <= PART_COLUMNS_MAX);
    b->head = (PartHead){.week_ms = plan->week_ms,
                         .from_seq = plan->from_seq,
                         .to_seq = plan->to_seq,
                         .list_count = plan->list_count,
                         .items_count = plan->items_count,
                         .generation = plan->generation,
                         .min_ms = INT64_MAX,
                         .max_ms = INT64_MIN,
                         .sequence_width = (uint32_t)bits_width(plan->list_count - 1)};
    b->lists = calloc(plan->list_count + plan->items_count, sizeof *b->lists);
    b->items = calloc(plan->items_count + 1, sizeof *b->items);
    b->columns = calloc(columns + 1, sizeof *b->columns);
    CHECK(b->lists != NULL && b->items != NULL && b->columns != NULL);
    b->sequence = bits_writer((int)b->head.sequence_width, PART_ROWS_MAX + 64);
    b->blocks = BUF_MAX(PART_BYTES_MAX);
    b->active = BUF_MAX(PART_BYTES_MAX);
    for (uint32_t i = 0; i < plan->list_count; i++)
        add_list(b, i, &plan->lists[i]);
    add_items(b, plan);
    return b;
}

/* Lists, and behind them items. */
static uint32_t lists_of(const PartBuilder *b)
{
    return b->head.list_count + b->head.items_count;
}

void part_builder_free(PartBuilder *b)
{
    if (b == NULL)
        return;
    for (uint32_t i = 0; i < lists_of(b); i++) {
        buf_free(&b->lists[i].keys);
        buf_free(&b->lists[i].dir);
    }
    for (uint32_t i = 0; i < b->head.column_count; i++)
        bits_free(&b->columns[i].values);
    bits_free(&b->sequence);
    buf_free(&b->blocks);
    buf_free(&b->active);
    free(b->lists);
    free(b->items);
    free(b->columns);
    free(b);
}

/* ---- rows ------------------------------------------------------------------------------------- */

void part_builder_block(PartBuilder *b, uint32_t block, const uint8_t *lists, uint32_t n)
{
    const bool is_new = b->head.block_count == 0 || block != b->block;
    CHECK(n > 0 && (b->head.block_count == 0 || block >= b->block) &&
          n <= PART_ROWS_MAX - b->head.rows);
    if (is_new) {
        const PartBlock entry = {block, b->head.rows};
        static const char nobody[PART_ACTIVE_BYTES];
        buf_add(&b->blocks, (Str){(const char *)&entry, sizeof entry});
        buf_add(&b->active, (Str){nobody, sizeof nobody});
        b->head.block_count++;
        b->block = block;
    }
    b->head.rows += n;
    uint32_t codes[256];
    for (uint32_t done = 0; done < n; done += ARRAY_LEN(codes)) {
        const uint32_t some = n - done < ARRAY_LEN(codes) ? n - done : (uint32_t)ARRAY_LEN(codes);
        for (uint32_t i = 0; i < some; i++)
            codes[i] = lists[done + i];
        bits_put32(&b->sequence, codes, some);
    }
}

/* Keys ascend: 64 persons at a time. */
static void add_active(PartBuilder *b, const uint32_t *keys, uint32_t n)
{
    uint8_t *bits = (uint8_t *)b->active.ptr + b->active.len - PART_ACTIVE_BYTES;
    for (uint32_t i = 0; i < n;) {
        const uint32_t at = keys[i] >> PART_SECOND_BITS >> 6;
        uint64_t word;
        memcpy(&word, bits + at * sizeof word, sizeof word);
        for (; i < n && keys[i] >> PART_SECOND_BITS >> 6 == at; i++)
            word |= UINT64_C(1) << (keys[i] >> PART_SECOND_BITS & 63);
        memcpy(bits + at * sizeof word, &word, sizeof word);
    }
}

/* The hours of the events, and the first and last second of all. */
static void add_times(PartBuilder *b, PartHours *hours, const uint32_t *keys, uint32_t n)
{
    uint32_t low = PART_SECOND_MASK, high = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t second = keys[i] & PART_SECOND_MASK;
        low = second < low ? second : low;
        high = second > high ? second : high;
        hours->ends[second / (PART_HOUR_MS / 1000)]++;
    }
    const int64_t from_ms = b->head.week_ms + (int64_t)low * 1000;
    const int64_t to_ms = b->head.week_ms + (int64_t)high * 1000 + 999;
    b->head.min_ms = from_ms < b->head.min_ms ? from_ms : b->head.min_ms;
    b->head.max_ms = to_ms > b->head.max_ms ? to_ms : b->head.max_ms;
}

void part_builder_keys(PartBuilder *b, uint32_t list, const uint32_t *keys, uint32_t n)
{
    ListState *l = &b->lists[list];
    const PartDir entry = {b->block, l->list.rows, (uint32_t)l->keys.len};
    buf_add(&l->dir, (Str){(const char *)&entry, sizeof entry});
    key_stream_encode(keys, n, &l->keys);
    l->list.dir_count++;
    l->list.rows += n;
    if (l->list.event != PART_PERSON)
        add_active(b, keys, n);
    add_times(b, &l->hours, keys, n);
}

static void add_start(ListState *items)
{
    buf_add(&items->keys, (Str){(const char *)&items->list.rows, sizeof items->list.rows});
}

/* How many items the next events have says where those of the others begin. */
static void count_items(ListState *items, const int64_t *counts, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (items->events++ % PART_STRIDE_ROWS == 0)
            add_start(items);
        const uint32_t count = counts[i] == PART_MISSING ? 0 : (uint32_t)counts[i];
        CHECK(count <= PART_ITEMS_MAX - items->list.rows);
        items->list.rows += count;
    }
}

static ColumnState *column_at(const PartBuilder *b, uint32_t list, uint32_t column)
{
    return &b->columns[b->lists[list].list.first_column + column];
}

void part_builder_values(PartBuilder *b, uint32_t list, uint32_t column, int64_t *values,
                         uint32_t n)
{
    ColumnState *c = column_at(b, list, column);
    const bool is_code = c->column.kind == PART_CODES;
    const uint64_t base = is_code ? 0 : (uint64_t)c->column.base - c->column.nullable;
    if (c->items != NULL)
        count_items(c->items, values, n);
    const bool may_miss = is_code || c->column.nullable;
    bool any = false;
    const uint64_t all = kernels()->stored(values, n, base, PART_MISSING, &any);
    if ((any && !may_miss) || bits_width(all) > c->values.width) {
        b->misfit = true;
        memset(values, 0, n * sizeof *values);
    }
    bits_put(&c->values, (const uint64_t *)values, n);
}

const PartColumn *part_builder_narrow(const PartBuilder *b, uint32_t list, uint32_t column)
{
    const ColumnState *c = column_at(b, list, column);
    return c->items == NULL && c->column.width <= 32 ? &c->column : NULL;
}

void part_builder_stored(PartBuilder *b, uint32_t list, uint32_t column, uint32_t *stored,
                         uint32_t n, uint32_t all)
{
    ColumnState *c = column_at(b, list, column);
    if (bits_width(all) > c->values.width) {
        b->misfit = true;
        memset(stored, 0, n * sizeof *stored);
    }
    bits_put32(&c->values, stored, n);
}

static uint64_t bytes_so_far(const PartBuilder *b)
{
    uint64_t bytes = b->sequence.out.len + b->blocks.len;
    for (uint32_t i = 0; i < lists_of(b); i++)
        bytes += b->lists[i].keys.len + b->lists[i].dir.len;
    for (uint32_t i = 0; i < b->head.column_count; i++)
        bytes += b->columns[i].values.out.len;
    return bytes;
}

/* ---- finishing -------------------------------------------------------------------------------- */

/* What the file is made of, in order; checksums of the 64 KiB pieces are made while it is put together. */
typedef struct Layout {
    Str *stretches;
    uint32_t count;
    uint64_t end;
    Buf tables, pieces;
    uint32_t piece_crc;
    uint32_t piece_bytes;
} Layout;

static void end_piece(Layout *l)
{
    if (l->piece_bytes == 0)
        return;
    buf_add(&l->pieces, (Str){(const char *)&l->piece_crc, sizeof l->piece_crc});
    l->piece_crc = 0;
    l->piece_bytes = 0;
}

/* Adds a stretch to the data; gives where it stands. */
static uint64_t lay(Layout *l, Str stretch)
{
    const uint64_t at = l->end;
    l->stretches[l->count++] = stretch;
    l->end += stretch.len;
    while (stretch.len > 0) {
        const size_t room = PART_PIECE_BYTES - l->piece_bytes;
        const size_t n = stretch.len < room ? stretch.len : room;
        l->piece_crc = crc32c_add(l->piece_crc, (Str){stretch.ptr, n});
        l->piece_bytes += (uint32_t)n;
        stretch = str_slice(stretch, n, stretch.len);
        if (l->piece_bytes == PART_PIECE_BYTES)
            end_piece(l);
    }
    return at;
}

static void lay_active(PartBuilder *b, Layout *l)
{
    if (b->head.rows / PART_ACTIVE_ROWS < b->head.block_count)
        return;
    b->head.active_at = lay(l, buf_str(&b->active));
    CHECK(b->head.active_at % sizeof(uint64_t) == 0);
}

static void lay_hours(PartBuilder *b, Layout *l)
{
    if (b->head.rows / PART_HOURS_ROWS < b->head.list_count)
        return;
    for (uint32_t i = 0; i < b->head.list_count; i++) {
        PartHours *hours = &b->lists[i].hours;
        for (uint32_t h = 1; h < PART_HOURS; h++)
            hours->ends[h] += hours->ends[h - 1];
        const uint64_t at = lay(l, (Str){(const char *)hours, sizeof *hours});
        b->head.hours_at = i == 0 ? at : b->head.hours_at;
    }
    CHECK(b->head.hours_at % sizeof(uint64_t) == 0);
}

static void lay_data(PartBuilder *b, Layout *l)
{
    lay_active(b, l); /* first of all: there they are aligned */
    lay_hours(b, l);
    bits_finish(&b->sequence);
    b->head.sequence_bytes = b->sequence.out.len;
    b->head.sequence_at = lay(l, buf_str(&b->sequence.out));
    for (uint32_t i = 0; i < b->head.items_count; i++)
        add_start(&b->lists[b->head.list_count + i]);
    for (uint32_t i = 0; i < lists_of(b); i++) {
        ListState *s = &b->lists[i];
        s->list.keys_bytes = s->keys.len;
        s->list.keys_at = lay(l, buf_str(&s->keys));
        for (uint32_t c = 0; c < s->list.column_count; c++) {
            ColumnState *column = &b->columns[s->list.first_column + c];
            bits_finish(&column->values);
            column->column.bytes = column->values.out.len;
            column->column.at = lay(l, buf_str(&column->values.out));
        }
    }
    static const char zeros[8];
    (void)lay(l, (Str){zeros, (8 - l->end % 8) % 8});
    end_piece(l);
}

static void add_table(Buf *tables, Str rows)
{
    static const char zeros[8];
    buf_add(tables, rows);
    buf_add(tables, (Str){zeros, (8 - tables->len % 8) % 8});
}

static void lay_tables(PartBuilder *b, Layout *l)
{
    Buf rows = BUF_MAX(PART_BYTES_MAX);
    for (uint32_t i = 0; i < b->head.list_count; i++) {
        PartList *list = &b->lists[i].list;
        list->first_dir = b->head.dir_count;
        b->head.dir_count += list->dir_count + 1;
        buf_add(&rows, (Str){(const char *)list, sizeof *list});
    }
    add_table(&l->tables, buf_str(&rows));
    buf_clear(&rows);
    for (uint32_t i = 0; i < b->head.column_count; i++)
        buf_add(&rows, (Str){(const char *)&b->columns[i].column, sizeof(PartColumn)});
    add_table(&l->tables, buf_str(&rows));
    buf_clear(&rows);
    for (uint32_t i = 0; i < b->head.list_count; i++) {
        const ListState *s = &b->lists[i];
        const PartDir end = {PART_NO_BLOCK, s->list.rows, (uint32_t)s->keys.len};
        buf_add(&rows, buf_str(&s->dir));
        buf_add(&rows, (Str){(const char *)&end, sizeof end});
    }
    add_table(&l->tables, buf_str(&rows));
    buf_free(&rows);
    const PartBlock end = {PART_NO_BLOCK, b->head.rows};
    buf_add(&b->blocks, (Str){(const char *)&end, sizeof end});
    add_table(&l->tables, buf_str(&b->blocks));
    for (uint32_t i = 0; i < b->head.items_count; i++)
        b->items[i].list = b->lists[b->head.list_count + i].list;
    add_table(&l->tables, (Str){(const char *)b->items, b->head.items_count * sizeof *b->items});
}

static void seal(PartBuilder *b, Layout *l)
{
    PartHead *h = &b->head;
    if (h->rows == 0) /* whoever compares times needs no other case for it */
        h->min_ms = h->max_ms = h->week_ms;
    h->tables_at = l->end;
    h->tables_bytes = l->tables.len;
    h->pieces_at = h->tables_at + h->tables_bytes;
    h->piece_count = (uint32_t)(l->pieces.len / sizeof(uint32_t));
    h->tables_crc = crc32c_add(crc32c_add(0, buf_str(&l->tables)), buf_str(&l->pieces));
    h->file_bytes = h->pieces_at + l->pieces.len + PART_SLACK_BYTES;
    memcpy(h->magic, "TDEVPRT1", 8);
    h->version = PART_VERSION;
    const size_t from = offsetof(PartHead, head_crc) + sizeof h->head_crc;
    h->head_crc = crc32c_add(0, (Str){(const char *)h + from, sizeof *h - from});
}

/* Stretches that wait to be written together. */
typedef struct Outgoing {
    Ctx *ctx;
    PartSink sink;
    void *arg;
    Str stretches[PART_SINK_STRETCHES];
    uint32_t count;
    uint64_t bytes;
} Outgoing;

static Err write_waiting(Outgoing *out)
{
    const uint32_t count = out->count;
    out->count = 0;
    out->bytes = 0;
    return count == 0 ? ERR_OK : out->sink(out->ctx, out->stretches, count, out->arg);
}

static Err write_stretch(Outgoing *out, Str stretch)
{
    if (stretch.len == 0)
        return ERR_OK;
    if (out->count == PART_SINK_STRETCHES || out->bytes >= PART_SINK_BYTES)
        TRY(write_waiting(out));
    out->stretches[out->count++] = stretch;
    out->bytes += stretch.len;
    return ERR_OK;
}

static Err write_out(Outgoing *out, const PartBuilder *b, const Layout *l)
{
    static const char slack[PART_SLACK_BYTES];
    TRY(write_stretch(out, (Str){(const char *)&b->head, sizeof b->head}));
    for (uint32_t i = 0; i < l->count; i++)
        TRY(write_stretch(out, l->stretches[i]));
    TRY(write_stretch(out, buf_str(&l->tables)));
    TRY(write_stretch(out, buf_str(&l->pieces)));
    TRY(write_stretch(out, (Str){slack, sizeof slack}));
    return write_waiting(out);
}

Err part_builder_finish(Ctx *ctx, PartBuilder *b, PartSink sink, void *arg)
{
    if (b->misfit)
        return fail(ctx, ERR_INTERNAL, "events.part_damaged", "a value outside its column's range");
    if (bytes_so_far(b) + (UINT64_C(1) << 28) > PART_BYTES_MAX)
        return fail(ctx, ERR_TOO_LARGE, "events.part", "%" PRIu64 " bytes", bytes_so_far(b));
    Layout l = {
        .end = PART_DATA_AT, .tables = BUF_MAX(PART_BYTES_MAX), .pieces = BUF_MAX(PART_BYTES_MAX)};
    l.stretches =
        calloc(3 + b->head.list_count + lists_of(b) + b->head.column_count, sizeof *l.stretches);
    CHECK(l.stretches != NULL);
    lay_data(b, &l);
    lay_tables(b, &l);
    seal(b, &l);
    const Err err = write_out(&(Outgoing){.ctx = ctx, .sink = sink, .arg = arg}, b, &l);
    buf_free(&l.tables);
    buf_free(&l.pieces);
    free(l.stretches);
    return err;
}

Err part_sink_buf(Ctx *ctx, const Str *stretches, size_t count, void *buf)
{
    (void)ctx;
    for (size_t i = 0; i < count; i++)
        buf_add(buf, stretches[i]);
    return ERR_OK;
}

Err part_builder_finish_heap(Ctx *ctx, PartBuilder *b, Str *out)
{
    Buf bytes = BUF_MAX(PART_BYTES_MAX);
    const Err err = part_builder_finish(ctx, b, part_sink_buf, &bytes);
    CHECK(err != ERR_OK || !bytes.overflowed);
    if (err != ERR_OK) {
        buf_free(&bytes);
        return err;
    }
    *out = buf_str(&bytes);
    return ERR_OK;
}
