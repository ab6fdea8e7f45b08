/*
 * engine/rows.c
 */
#include "engine/rows.h"

#include <stdlib.h>

/* ---- the buffer ------------------------------------------------------------------------------- */

void rows_free(RowBuffer *b)
{
    free(b->rows);
    free(b->values);
    free(b->has_prop);
    *b = (RowBuffer){0};
}

void rows_clear(RowBuffer *b)
{
    b->count = 0;
    b->value_count = 0;
    b->prop_count = 0;
    if (b->prop_room > 0)
        memset(b->has_prop, 0, b->prop_room / 8);
}

static void *grown(void *array, uint32_t *cap, size_t size)
{
    *cap = *cap == 0 ? 1024 : *cap * 2;
    array = realloc(array, (size_t)*cap * size);
    CHECK(array != NULL);
    return array;
}

void rows_add(RowBuffer *b, int64_t time_ms, uint32_t person, uint32_t event)
{
    if (b->count == b->cap)
        b->rows = grown(b->rows, &b->cap, sizeof *b->rows);
    b->rows[b->count++] = (Row){time_ms, person, event, b->value_count, 0};
}

static void note_prop(RowBuffer *b, uint32_t prop)
{
    if (prop >= b->prop_room) {
        const uint32_t room = (prop / 1024 + 1) * 1024;
        b->has_prop = realloc(b->has_prop, room / 8);
        CHECK(b->has_prop != NULL);
        memset(b->has_prop + b->prop_room / 64, 0, (room - b->prop_room) / 8);
        b->prop_room = room;
    }
    const uint64_t bit = UINT64_C(1) << (prop & 63);
    b->prop_count += (b->has_prop[prop / 64] & bit) == 0;
    b->has_prop[prop / 64] |= bit;
}

void rows_value(RowBuffer *b, uint32_t prop, PartKind kind, int scale, int64_t value)
{
    if (b->value_count == b->value_cap)
        b->values = grown(b->values, &b->value_cap, sizeof *b->values);
    b->values[b->value_count++] = (RowValue){value, prop, (uint8_t)kind, (uint8_t)scale};
    b->rows[b->count - 1].value_count++;
    note_prop(b, prop);
}

uint64_t rows_cells(const RowBuffer *b)
{
    const uint32_t of_every_row = 2; /* milliseconds, and the event name in the rest */
    return (uint64_t)b->count * (b->prop_count + of_every_row);
}

int64_t rows_week_ms(int64_t time_ms, int64_t origin_ms)
{
    const int64_t behind = time_ms - origin_ms;
    const int64_t within = behind % PART_WEEK_MS;
    return time_ms - (within < 0 ? within + PART_WEEK_MS : within);
}

/* ---- order ------------------------------------------------------------------------------------ */

typedef struct Ordered {
    uint64_t key; /* person, then milliseconds of the week */
    uint32_t row;
    uint32_t week; /* its place among the weeks of this buffer */
} Ordered;

enum { MS_BITS = 30, DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };

/* Stable, by `key`, lowest digits first.  Digits that are all the same cost one look. */
static void sort_by_key(Ordered *rows, Ordered *scratch, uint32_t n)
{
    uint64_t ones = 0, zeros = 0;
    for (uint32_t i = 0; i < n; i++) {
        ones |= rows[i].key;
        zeros |= ~rows[i].key;
    }
    Ordered *from = rows, *to = scratch;
    for (int shift = 0; shift < 64; shift += DIGIT_BITS) {
        if (((ones & zeros) >> shift & (DIGITS - 1)) == 0)
            continue;
        uint32_t at[DIGITS] = {0};
        for (uint32_t i = 0; i < n; i++)
            at[from[i].key >> shift & (DIGITS - 1)]++;
        for (uint32_t digit = 0, sum = 0; digit < DIGITS; digit++) {
            const uint32_t here = at[digit];
            at[digit] = sum;
            sum += here;
        }
        for (uint32_t i = 0; i < n; i++)
            to[at[from[i].key >> shift & (DIGITS - 1)]++] = from[i];
        Ordered *swap = from;
        from = to;
        to = swap;
    }
    if (from != rows)
        memcpy(rows, from, n * sizeof *rows);
}

static int by_i64(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The weeks of the rows, ascending; rows mostly belong to the week of the row before. */
static uint32_t find_weeks(Ctx *ctx, const RowBuffer *b, int64_t origin_ms, Ordered *rows,
                           int64_t **weeks)
{
    int64_t *const starts = ARENA_ARRAY(ctx->arena, int64_t, b->count);
    for (uint32_t i = 0; i < b->count; i++)
        starts[i] = rows_week_ms(b->rows[i].time_ms, origin_ms);
    int64_t *const sorted = ARENA_ARRAY(ctx->arena, int64_t, b->count);
    memcpy(sorted, starts, b->count * sizeof *sorted);
    uint32_t count = 0;
    int64_t last = INT64_MIN;
    for (uint32_t i = 0; i < b->count; i++) /* most repetitions go without sorting */
        if (starts[i] != last)
            sorted[count++] = last = starts[i];
    qsort(sorted, count, sizeof *sorted, by_i64);
    uint32_t distinct = 0;
    for (uint32_t i = 0; i < count; i++)
        if (i == 0 || sorted[i] != sorted[i - 1])
            sorted[distinct++] = sorted[i];
    for (uint32_t i = 0; i < b->count; i++) {
        const int64_t *week = bsearch(&starts[i], sorted, distinct, sizeof *sorted, by_i64);
        const int64_t within = b->rows[i].time_ms - starts[i];
        rows[i] = (Ordered){(uint64_t)b->rows[i].person << MS_BITS | (uint64_t)within, i,
                            (uint32_t)(week - sorted)};
    }
    *weeks = sorted;
    return distinct;
}

/* ---- what the lists of one part hold ----------------------------------------------------------- */

typedef struct ColumnSeen {
    PartColumnPlan plan;
    uint32_t values;
} ColumnSeen;

typedef struct ListSeen {
    uint32_t event;
    uint32_t rows;
    ColumnSeen *columns;
    uint32_t column_count, column_cap;
    uint32_t hint; /* the column after the one found last: rows of one event look alike */
} ListSeen;

typedef struct Seen {
    Ctx *ctx;
    const RowBuffer *b;
    const Ordered *order;
    uint32_t n;
    int64_t week_ms;
    ListSeen *lists;
    uint32_t list_count;
    uint32_t *list_of; /* event -> list */
    uint32_t event_max;
} Seen;

static ColumnSeen *column_for(Seen *s, ListSeen *l, const RowValue *v)
{
    for (uint32_t i = 0; i < l->column_count; i++) {
        const uint32_t at =
            l->hint + i < l->column_count ? l->hint + i : l->hint + i - l->column_count;
        if (l->columns[at].plan.prop == v->prop) {
            l->hint = at + 1 < l->column_count ? at + 1 : 0;
            return &l->columns[at];
        }
    }
    if (l->column_count == l->column_cap) {
        const uint32_t cap = l->column_cap == 0 ? 16 : l->column_cap * 2;
        ColumnSeen *more = ARENA_ARRAY(s->ctx->arena, ColumnSeen, cap);
        if (l->column_count > 0)
            memcpy(more, l->columns, l->column_count * sizeof *more);
        l->columns = more;
        l->column_cap = cap;
    }
    ColumnSeen *c = &l->columns[l->column_count++];
    c->plan = (PartColumnPlan){
        .prop = v->prop, .kind = (PartKind)v->kind, .min = INT64_MAX, .max = INT64_MIN};
    return c;
}

/* The number at a larger scale; false when it does not fit. */
static bool rescale(int64_t value, int from, int to, int64_t *out)
{
    for (; from < to; from++)
        if (__builtin_mul_overflow(value, 10, &value))
            return false;
    *out = value;
    return value <= ROWS_NUMBER_MAX && value >= -ROWS_NUMBER_MAX;
}

static void widen(ColumnSeen *c, int64_t value)
{
    c->values++;
    c->plan.min = value < c->plan.min ? value : c->plan.min;
    c->plan.max = value > c->plan.max ? value : c->plan.max;
}

static int64_t ms_of(const Seen *s, const Row *r)
{
    return (r->time_ms - s->week_ms) % 1000;
}

/* The residual milliseconds and, in the list of the rest, the event are values like others. */
static uint32_t extra_values(const Seen *s, const ListSeen *l, const Row *r, RowValue extra[2])
{
    uint32_t n = 0;
    extra[n++] = (RowValue){ms_of(s, r), PROP_MS, PART_NUMBERS, 0};
    if (l->event == PART_REST)
        extra[n++] = (RowValue){r->event, PROP_EVENT, PART_CODES, 0};
    return n;
}

static ListSeen *list_for(const Seen *s, const Row *r)
{
    return &s->lists[s->list_of[r->event]];
}

static void count_lists(Seen *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        const uint32_t event = s->b->rows[s->order[i].row].event;
        s->event_max = event > s->event_max ? event : s->event_max;
    }
    uint32_t *rows = ARENA_ARRAY(s->ctx->arena, uint32_t, s->event_max + 1);
    s->list_of = ARENA_ARRAY(s->ctx->arena, uint32_t, s->event_max + 1);
    for (uint32_t i = 0; i < s->n; i++)
        rows[s->b->rows[s->order[i].row].event]++;
    uint32_t distinct = 0;
    for (uint32_t e = 0; e <= s->event_max; e++)
        distinct += rows[e] > 0;
    s->lists = ARENA_ARRAY(s->ctx->arena, ListSeen, distinct);
    for (uint32_t e = 0; e <= s->event_max; e++)
        if (rows[e] > 0)
            s->lists[s->list_count++] = (ListSeen){.event = e, .rows = rows[e]};
}

static int by_rows(const void *a, const void *b)
{
    const ListSeen *x = a, *y = b;
    if (x->rows != y->rows)
        return x->rows < y->rows ? 1 : -1;
    return (x->event > y->event) - (x->event < y->event);
}

/* The most frequent first; the rarest share a list when there are too many. */
static void arrange_lists(Seen *s)
{
    qsort(s->lists, s->list_count, sizeof *s->lists, by_rows);
    const uint32_t own = s->list_count <= PART_LISTS_MAX ? s->list_count : PART_LISTS_MAX - 1;
    for (uint32_t i = 0; i < s->list_count; i++)
        s->list_of[s->lists[i].event] = i < own ? i : own;
    if (own == s->list_count)
        return;
    for (uint32_t i = own + 1; i < s->list_count; i++)
        s->lists[own].rows += s->lists[i].rows;
    s->lists[own].event = PART_REST;
    s->list_count = own + 1;
}

static void see_values(Seen *s, ListSeen *l, const RowValue *values, uint32_t n, bool scales)
{
    for (uint32_t i = 0; i < n; i++) {
        ColumnSeen *c = column_for(s, l, &values[i]);
        int64_t value = 0;
        if (scales)
            c->plan.scale = values[i].scale > c->plan.scale ? values[i].scale : c->plan.scale;
        else if (rescale(values[i].value, values[i].scale, c->plan.scale, &value))
            widen(c, value);
    }
}

/* Which columns, how wide: once for the scales, once for the values at them. */
static void see_columns(Seen *s)
{
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < s->n; i++) {
            const Row *r = &s->b->rows[s->order[i].row];
            ListSeen *l = list_for(s, r);
            RowValue extra[2];
            const uint32_t extras = extra_values(s, l, r, extra);
            see_values(s, l, extra, extras, pass == 0);
            see_values(s, l, s->b->values + r->values_at, r->value_count, pass == 0);
        }
    }
    for (uint32_t i = 0; i < s->list_count; i++)
        for (uint32_t c = 0; c < s->lists[i].column_count; c++)
            s->lists[i].columns[c].plan.nullable = s->lists[i].columns[c].values < s->lists[i].rows;
}

/* ---- writing one part ------------------------------------------------------------------------- */

/* What one list gets of the block under way. */
typedef struct ListBlock {
    uint32_t *keys;
    int64_t **values; /* [column] */
    uint32_t count, cap;
} ListBlock;

typedef struct Writing {
    Seen *seen;
    PartBuilder *builder;
    ListBlock *lists;
    uint8_t *order; /* the list of each row of the block */
    uint32_t count, cap;
    uint32_t block;
} Writing;

static void *wider(Arena *arena, const void *old, uint32_t used, uint32_t cap, size_t size)
{
    void *room = arena_alloc(arena, cap, size);
    if (used > 0)
        memcpy(room, old, used * size);
    return room;
}

static void widen_list(Writing *w, ListBlock *l, uint32_t columns)
{
    Arena *arena = w->seen->ctx->arena;
    l->cap = l->cap == 0 ? 16 : l->cap * 2;
    l->keys = wider(arena, l->keys, l->count, l->cap, sizeof *l->keys);
    if (l->values == NULL)
        l->values = ARENA_ARRAY(arena, int64_t *, columns);
    for (uint32_t c = 0; c < columns; c++)
        l->values[c] = wider(arena, l->values[c], l->count, l->cap, sizeof(int64_t));
}

static void put_values(Seen *s, ListSeen *l, const RowValue *values, uint32_t n, ListBlock *to)
{
    for (uint32_t i = 0; i < n; i++) {
        ColumnSeen *c = column_for(s, l, &values[i]);
        int64_t value = 0;
        if (rescale(values[i].value, values[i].scale, c->plan.scale, &value))
            to->values[c - l->columns][to->count] = value;
    }
}

static void put_row(Writing *w, const Row *r)
{
    Seen *s = w->seen;
    ListSeen *l = list_for(s, r);
    ListBlock *to = &w->lists[l - s->lists];
    if (to->count == to->cap)
        widen_list(w, to, l->column_count);
    if (w->count == w->cap) {
        w->cap = w->cap == 0 ? 1024 : w->cap * 2;
        w->order = wider(s->ctx->arena, w->order, w->count, w->cap, 1);
    }
    const int64_t within = r->time_ms - s->week_ms;
    to->keys[to->count] =
        (r->person & (PART_BLOCK_PERSONS - 1)) << PART_SECOND_BITS | (uint32_t)(within / 1000);
    for (uint32_t c = 0; c < l->column_count; c++)
        to->values[c][to->count] = PART_MISSING;
    RowValue extra[2];
    const uint32_t extras = extra_values(s, l, r, extra);
    put_values(s, l, extra, extras, to);
    put_values(s, l, s->b->values + r->values_at, r->value_count, to);
    to->count++;
    w->order[w->count++] = (uint8_t)(l - s->lists);
}

static void end_block(Writing *w)
{
    if (w->count == 0)
        return;
    part_builder_block(w->builder, w->block, w->order, w->count);
    for (uint32_t i = 0; i < w->seen->list_count; i++) {
        ListBlock *l = &w->lists[i];
        if (l->count == 0)
            continue;
        part_builder_keys(w->builder, i, l->keys, l->count);
        for (uint32_t c = 0; c < w->seen->lists[i].column_count; c++)
            part_builder_values(w->builder, i, c, l->values[c], l->count);
        l->count = 0;
    }
    w->count = 0;
}

static void write_rows(Seen *s, PartBuilder *b)
{
    Writing w = {.seen = s, .builder = b};
    w.lists = ARENA_ARRAY(s->ctx->arena, ListBlock, s->list_count);
    for (uint32_t i = 0; i < s->n; i++) {
        const Row *r = &s->b->rows[s->order[i].row];
        if (r->person >> PART_BLOCK_BITS != w.block)
            end_block(&w);
        w.block = r->person >> PART_BLOCK_BITS;
        put_row(&w, r);
    }
    end_block(&w);
}

static const PartListPlan *plan_lists(const Seen *s)
{
    PartListPlan *plans = ARENA_ARRAY(s->ctx->arena, PartListPlan, s->list_count);
    for (uint32_t i = 0; i < s->list_count; i++) {
        const ListSeen *l = &s->lists[i];
        PartColumnPlan *columns = ARENA_ARRAY(s->ctx->arena, PartColumnPlan, l->column_count);
        for (uint32_t c = 0; c < l->column_count; c++)
            columns[c] = l->columns[c].plan;
        plans[i] = (PartListPlan){l->event, columns, l->column_count};
    }
    return plans;
}

static Err build_week(Ctx *ctx, const RowBuffer *b, const Ordered *order, uint32_t n,
                      const PartPlan *of, Part **out)
{
    Seen s = {.ctx = ctx, .b = b, .order = order, .n = n, .week_ms = of->week_ms};
    count_lists(&s);
    arrange_lists(&s);
    see_columns(&s);
    PartPlan plan = *of;
    plan.lists = plan_lists(&s);
    plan.list_count = s.list_count;
    PartBuilder *builder = part_builder_new(&plan);
    write_rows(&s, builder);
    Str bytes = {0};
    const Err err = part_builder_finish_heap(ctx, builder, &bytes);
    part_builder_free(builder);
    return err != ERR_OK ? err : part_open(ctx, bytes, false, 0, out);
}

Err rows_build(Ctx *ctx, const RowBuffer *b, int64_t origin_ms, uint64_t from_seq, uint64_t to_seq,
               Part ***parts, uint32_t *count)
{
    Ordered *rows = ARENA_ARRAY(ctx->arena, Ordered, b->count);
    Ordered *scratch = ARENA_ARRAY(ctx->arena, Ordered, b->count);
    int64_t *weeks = NULL;
    const uint32_t week_count = find_weeks(ctx, b, origin_ms, rows, &weeks);
    Part **const made = ARENA_ARRAY(ctx->arena, Part *, week_count);
    uint32_t *at = ARENA_ARRAY(ctx->arena, uint32_t, week_count + 1);
    for (uint32_t i = 0; i < b->count; i++)
        at[rows[i].week + 1]++;
    for (uint32_t w = 0; w < week_count; w++)
        at[w + 1] += at[w];
    uint32_t *to = ARENA_ARRAY(ctx->arena, uint32_t, week_count);
    memcpy(to, at, week_count * sizeof *to);
    for (uint32_t i = 0; i < b->count; i++)
        scratch[to[rows[i].week]++] = rows[i];
    for (uint32_t w = 0; w < week_count; w++) {
        const uint32_t n = at[w + 1] - at[w];
        const PartPlan plan = {.week_ms = weeks[w], .from_seq = from_seq, .to_seq = to_seq};
        sort_by_key(scratch + at[w], rows, n);
        const Err err = build_week(ctx, b, scratch + at[w], n, &plan, &made[w]);
        if (err != ERR_OK) {
            while (w-- > 0)
                part_unref(made[w]);
            return err;
        }
    }
    *parts = made;
    *count = week_count;
    return ERR_OK;
}
