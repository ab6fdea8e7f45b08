/*
 * engine/merge.c -- some blocks at a time: the rows of all parts are put into one order, some of them at a time, then
 * the values follow column by column.  Of small blocks, as those of slices are, many go together: what is done per list
 * and column is done once for all of them.
 */
#include "engine/merge_inside.h"

#include "engine/core/bits.h"
#include "engine/core/order.h"

#include <stdlib.h>

enum {
    MS_BITS = 10,
    ARENA_BYTES = 1 << 20,
    WINDOWS_ROWS = 1 << 18, /* of all parts together: they wait to be ordered */
    WINDOW_ROWS = 8192,     /* of one part, at most */
    WINDOW_ROWS_MIN = 64,
    TOGETHER_ROWS = 1 << 16, /* of blocks that are merged together; one alone may have more */
    TOGETHER_BLOCKS = 1 << 12,
    KEY_BITS = 31,                            /* person in block, second in week */
    PLACE_BITS_MAX = 64 - KEY_BITS - MS_BITS, /* of a block's place and the number of a part */
};

Err merge_damaged(const Merge *m, Part *p)
{
    atomic_store(&p->damaged, true);
    return fail(m->ctx, ERR_INTERNAL, "events.part_damaged", "part %" PRIu64, p->number);
}

Err merge_go_on(const Merge *m)
{
    if (m->stop == NULL || !atomic_load_explicit(m->stop, memory_order_relaxed))
        return ERR_OK;
    return fail(m->ctx, ERR_CONFLICT, "events.stopped", "a merge");
}

/* ---- reading a stretch of a list --------------------------------------------------------------- */

Err merge_read_column(Merge *m, const FilterRows *r, const PartColumn *c, int scale, int64_t *out)
{
    for (uint32_t i = 0; c == NULL && i < r->count; i++)
        out[i] = PART_MISSING;
    if (c == NULL)
        return ERR_OK;
    filter_scratch_reserve(&m->scratch, r->count);
    if (!filter_values(r, c, PART_MISSING, &m->scratch, out))
        return merge_damaged(m, r->part);
    for (int s = c->scale; c->kind == PART_NUMBERS && s < scale; s++)
        for (uint32_t i = 0; i < r->count; i++)
            out[i] = out[i] == PART_MISSING ? PART_MISSING : (int64_t)((uint64_t)out[i] * 10);
    return ERR_OK;
}

Err merge_read_events(Merge *m, const FilterRows *r, int64_t *out)
{
    for (uint32_t i = 0; r->list->event != PART_REST && i < r->count; i++)
        out[i] = r->list->event;
    if (r->list->event != PART_REST)
        return ERR_OK;
    const PartColumn *c = part_find_column(r->part, r->list, PROP_EVENT);
    if (c == NULL)
        return merge_damaged(m, r->part);
    TRY(merge_read_column(m, r, c, 0, out));
    for (uint32_t i = 0; i < r->count; i++)
        if (out[i] == PART_MISSING)
            return merge_damaged(m, r->part);
    return ERR_OK;
}

/* ---- rows of a block wait in windows, one per part ------------------------------------------------- */

/* Where the sequence has the blocks' rows, and who of them was moved. */
static Err find_sequence(const Merge *m, InPart *in)
{
    in->left = 0;
    in->moved = NULL;
    for (uint32_t b = 0; b < m->block_count; b++) {
        uint32_t first = 0;
        const uint32_t rows =
            part_sequence_rows(in->part, m->blocks[b], &in->sequence_cursor, &first);
        const uint32_t *moved = moved_block(m->moved, m->blocks[b], in->part->generation);
        if (rows > 0 && !part_check_sequence(in->part, in->sequence_cursor))
            return merge_damaged(m, in->part);
        in->first = in->left == 0 ? first : in->first;
        in->left += rows;
        if (moved == NULL)
            continue;
        if (in->moved == NULL)
            in->moved = ARENA_ARRAY(m->block, const uint32_t *, m->block_count);
        in->moved[b] = moved;
    }
    return ERR_OK;
}

/* Rows of the blocks that a list has, and their keys: `room` at most.  *blocks: behind those that it has rows of. */
static Err find_rows(Merge *m, InPart *in, uint32_t l, uint32_t *keys, uint32_t room,
                     BlockRows **blocks)
{
    InList *list = &in->lists[l];
    uint32_t block = 0;
    list->count = list->next = 0;
    list->keys = keys;
    list->blocks = *blocks;
    for (uint32_t b = 0;; b++) {
        const PartRows rows = part_next_rows(in->part, &in->part->lists[l],
                                             m->blocks[m->block_count - 1], &list->cursor, &block);
        if (rows.count == 0)
            return ERR_OK;
        while (b < m->block_count && m->blocks[b] < block)
            b++;
        if (b == m->block_count || m->blocks[b] != block || rows.count > room - list->count ||
            !part_read_keys(in->part, &rows, keys + list->count))
            return merge_damaged(m, in->part);
        list->first = list->count == 0 ? rows.first : list->first;
        list->count += rows.count;
        *(*blocks)++ = (BlockRows){b, list->count};
    }
}

/* Where the blocks' rows stand in each list, and their keys. */
static Err begin_part(Merge *m, InPart *in)
{
    const PartHead *h = in->part->head;
    uint32_t total = 0;
    TRY(find_sequence(m, in));
    in->window = (Window){.first = 0};
    in->last_order = 0;
    if (in->left == 0)
        return ERR_OK;
    uint32_t *keys = (void *)arena_bytes(m->block, (in->left + KERNEL_SLACK) * sizeof *keys);
    const uint64_t most = (uint64_t)h->list_count * m->block_count; /* of blocks with rows */
    BlockRows *blocks =
        (void *)arena_bytes(m->block, (most < in->left ? most : in->left) * sizeof *blocks);
    for (uint32_t l = 0; l < h->list_count; l++) {
        TRY(find_rows(m, in, l, keys + total, in->left - total, &blocks));
        total += in->lists[l].count;
    }
    const uint32_t room = in->left < m->window_rows ? in->left : m->window_rows;
    in->window.orders = (void *)arena_bytes(m->block, room * sizeof *in->window.orders);
    in->window.rows = (void *)arena_bytes(m->block, room * sizeof *in->window.rows);
    in->window.from = (void *)arena_bytes(m->block, room);
    in->window.lists = (void *)arena_bytes(m->block, room);
    return ERR_OK;
}

/* Some rows of the sequence, list by list. */
typedef struct ByList {
    uint64_t *orders;
    uint8_t *lists; /* where they go */
} ByList;

/* Where the next `n` rows of a list go. */
static Err read_targets(Merge *m, const InList *from, const FilterRows *r, uint8_t *lists)
{
    if (from->to != PART_REST) {
        memset(lists, (int)from->to, r->count);
        return ERR_OK;
    }
    int64_t *events = (void *)arena_bytes(m->round, (r->count + KERNEL_SLACK) * sizeof *events);
    TRY(merge_read_events(m, r, events));
    for (uint32_t i = 0; i < r->count; i++)
        lists[i] = (uint8_t)m->list_of[events[i]];
    return ERR_OK;
}

/* What orders the next `n` rows of a list.  A missing value has no milliseconds. */
static Err read_orders(Merge *m, InPart *in, uint32_t l, uint32_t n, ByList to)
{
    InList *from = &in->lists[l];
    const PartList *list = &in->part->lists[l];
    const uint64_t part = (uint64_t)(in - m->in), ms_mask = (1U << MS_BITS) - 1;
    const FilterRows r = {
        .part = in->part, .list = list, .first = from->first + from->next, .count = n};
    int64_t *ms = (int64_t *)(void *)arena_bytes(m->round, (n + KERNEL_SLACK) * sizeof *ms);
    TRY(merge_read_column(m, &r, part_find_column(in->part, list, PROP_MS), 0, ms));
    TRY(read_targets(m, from, &r, to.lists));
    for (uint32_t i = 0; i < n;) {
        while (from->next == from->blocks->end)
            from->blocks++;
        const uint64_t block = (uint64_t)from->blocks->block << KEY_BITS;
        const uint32_t left = from->blocks->end - from->next;
        for (const uint32_t end = n - i < left ? n : i + left; i < end; i++) {
            const uint64_t key = block | from->keys[from->next++];
            to.orders[i] = (key << MS_BITS | ((uint64_t)ms[i] & ms_mask)) << m->part_bits | part;
        }
    }
    return ERR_OK;
}

/* Place of the row's block. */
static uint32_t block_of(const Merge *m, uint64_t order)
{
    return (uint32_t)(order >> (KEY_BITS + MS_BITS + m->part_bits));
}

static uint32_t key_of(const Merge *m, uint64_t order)
{
    return (uint32_t)(order >> (MS_BITS + m->part_bits)) & ((UINT32_C(1) << KEY_BITS) - 1);
}

static bool is_dead(const Merge *m, const InPart *in, uint64_t order)
{
    const uint32_t *moved = in->moved[block_of(m, order)];
    return moved != NULL && moved[key_of(m, order) >> PART_SECOND_BITS] > in->part->generation;
}

/* The next rows of the sequence, list by list and then in its order; those that are alive. */
static Err fill_window(Merge *m, InPart *in)
{
    const uint32_t n = in->left < m->window_rows ? in->left : m->window_rows;
    uint8_t *codes = (uint8_t *)arena_bytes(m->round, (size_t)n + KERNEL_SLACK);
    const ByList by_list = {(void *)arena_bytes(m->round, n * sizeof *by_list.orders),
                            (void *)arena_bytes(m->round, n)};
    uint32_t count[PART_LISTS_MAX + 1] = {0}, next[PART_LISTS_MAX + 1], total = 0;
    uint32_t first_row[PART_LISTS_MAX + 1]; /* of the one that is the first by list */
    if (!part_read_sequence(in->part, in->first, n, codes))
        return merge_damaged(m, in->part);
    for (uint32_t i = 0; i < n; i++)
        count[codes[i]]++;
    for (uint32_t l = 0; l < in->part->head->list_count; l++) {
        next[l] = total;
        first_row[l] = in->lists[l].first + in->lists[l].next - total;
        if (count[l] > 0)
            TRY(read_orders(m, in, l, count[l],
                            (ByList){by_list.orders + total, by_list.lists + total}));
        total += count[l];
    }
    Window *const w = &in->window;
    w->first = w->end = w->written = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t from = codes[i];
        const uint32_t at = next[from]++;
        const uint64_t order = by_list.orders[at];
        if (order < in->last_order)
            return merge_damaged(m, in->part);
        in->last_order = w->orders[w->end] = order;
        w->rows[w->end] = first_row[from] + at;
        w->from[w->end] = from;
        w->lists[w->end] = by_list.lists[at];
        w->end += in->moved == NULL || !is_dead(m, in, order);
    }
    in->first += n;
    in->left -= n;
    return ERR_OK;
}

/* ---- a round: the rows that can be put into order, and their values ------------------------------- */

static Source *add_source(Merge *m, OutList *to, Part *part, uint32_t list, uint32_t first,
                          uint32_t count)
{
    Source *s = ARENA_NEW(m->round, Source);
    *s = (Source){
        .part = part, .list = &part->lists[list], .first = first, .count = count, .at = to->count};
    *(to->sources == NULL ? &to->sources : &to->last_source->next) = s;
    to->last_source = s;
    to->count += count;
    return s;
}

/* Rows of a list that stand together and go to one list are read together. */
typedef struct Run {
    uint32_t first, count;
    uint8_t from, list;
    Source *source;
} Run;

/* The next `n` rows of the window are read.  It then says where to. */
static void add_sources(Merge *m, InPart *in, uint32_t n)
{
    const Window *const w = &in->window;
    uint32_t run_of_list[PART_LISTS_MAX], runs = 0;
    uint32_t *const run_of = (void *)arena_bytes(m->round, n * sizeof *run_of);
    Run *const run = (void *)arena_bytes(m->round, n * sizeof *run);
    memset(run_of_list, 0xff, sizeof run_of_list);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t row = w->rows[w->first + i];
        const uint8_t from = w->from[w->first + i], list = w->lists[w->first + i];
        uint32_t at = run_of_list[from];
        if (at == UINT32_MAX || run[at].list != list || run[at].first + run[at].count != row) {
            at = run_of_list[from] = runs++;
            run[at] = (Run){row, 0, from, list, NULL};
        }
        run[at].count++;
        run_of[i] = at;
    }
    for (uint32_t i = 0; i < runs; i++)
        run[i].source =
            add_source(m, &m->out[run[i].list], in->part, run[i].from, run[i].first, run[i].count);
    for (uint32_t i = 0; i < n; i++) {
        const Source *s = run[run_of[i]].source;
        w->rows[w->first + i] = s->at + (w->rows[w->first + i] - s->first);
    }
}

/* The values of a column of all sources, each at its place. */
static Err read_sources(Merge *m, const OutList *l, const PartColumnPlan *column, int64_t *out)
{
    for (const Source *s = l->sources; s != NULL; s = s->next) {
        const FilterRows r = {
            .part = s->part, .list = s->list, .first = s->first, .count = s->count};
        if (column->prop == PROP_EVENT && s->list->event != PART_REST)
            for (uint32_t i = 0; i < s->count; i++)
                out[s->at + i] = s->list->event;
        else
            TRY(merge_read_column(m, &r, part_find_column(s->part, s->list, column->prop),
                                  column->scale, out + s->at));
    }
    return ERR_OK;
}

/* Room for the keys of the round's rows. */
static void reserve_keys(OutList *l)
{
    if (l->key_count + l->count <= l->key_cap)
        return;
    l->key_cap = (l->key_count + l->count) * 2;
    l->keys = realloc(l->keys, l->key_cap * sizeof *l->keys);
    CHECK(l->keys != NULL);
}

/* ---- columns whose values are stored as before, but for the base ------------------------------------ */

/* NULL: no row has a value. */
static const PartColumn *find_values(const Source *s, uint32_t prop)
{
    const PartColumn *c = part_find_column(s->part, s->list, prop);
    const bool any = c != NULL && (c->width > 0 || (c->kind != PART_CODES && !c->nullable));
    return any ? c : NULL;
}

/* Whether a stored value differs by `more` alone, and by so little that no sum has more than 32 bits. */
static bool is_stored_alike(Source *s, const PartColumn *to)
{
    const PartColumn *c = s->column;
    const int bits_max = 31;
    s->more = 0;
    if (c == NULL)
        return to->kind == PART_CODES || to->nullable;
    if (c->kind != to->kind || c->width > bits_max)
        return false;
    if (c->kind == PART_CODES)
        return true;
    const uint64_t more = ((uint64_t)c->base - c->nullable) - ((uint64_t)to->base - to->nullable);
    s->more = (uint32_t)more;
    return c->scale == to->scale && c->nullable <= to->nullable && more >> bits_max == 0;
}

static bool are_stored_alike(const OutList *l, const PartColumn *to)
{
    bool alike = true;
    for (Source *s = l->sources; alike && s != NULL; s = s->next) {
        s->column = find_values(s, to->prop);
        alike = is_stored_alike(s, to) && (to->prop != PROP_EVENT || s->list->event == PART_REST);
    }
    return alike;
}

/* What the sources have stored, as the new column stores it.  *all: or-ed together, as far as it may be too large. */
static Err read_stored(Merge *m, const OutList *l, const PartColumn *to, uint32_t *out,
                       uint32_t *all)
{
    *all = 0;
    for (const Source *s = l->sources; s != NULL; s = s->next) {
        const FilterRows r = {
            .part = s->part, .list = s->list, .first = s->first, .count = s->count};
        if (s->column == NULL)
            memset(out + s->at, 0, s->count * sizeof *out);
        else if (!filter_stored(&r, s->column, out + s->at))
            return merge_damaged(m, s->part);
        else if (s->more > 0 || s->column->width > to->width)
            *all |= kernels()->rebase(out + s->at, s->count, s->more, s->column->nullable);
    }
    return ERR_OK;
}

/* ---- the columns of a list -------------------------------------------------------------------------- */

/* Values on their way. */
typedef struct Columns {
    const uint32_t *places; /* of the rows in order, among those that are read */
    void *read, *ordered;   /* room for 64 bits of each */
} Columns;

static Err write_stored(Merge *m, uint32_t list, uint32_t column, const PartColumn *to,
                        const Columns *on)
{
    const OutList *l = &m->out[list];
    uint32_t all = 0, *const read = on->read, *const stored = on->ordered;
    TRY(read_stored(m, l, to, read, &all));
    for (uint32_t i = 0; i < l->count; i++)
        stored[i] = read[on->places[i]];
    part_builder_stored(m->builder, list, column, stored, l->count, all);
    return ERR_OK;
}

static Err write_values(Merge *m, uint32_t list, uint32_t column, const Columns *on)
{
    const OutList *l = &m->out[list];
    int64_t *const read = on->read, *const values = on->ordered;
    TRY(read_sources(m, l, &l->columns[column].plan, read));
    for (uint32_t i = 0; i < l->count; i++)
        values[i] = read[on->places[i]];
    part_builder_values(m->builder, list, column, values, l->count);
    return ERR_OK;
}

static Err write_list(Merge *m, uint32_t list, const uint32_t *places)
{
    const OutList *l = &m->out[list];
    const size_t room = (size_t)l->count + KERNEL_SLACK;
    const Columns on = {places, arena_bytes(m->round, room * sizeof(int64_t)),
                        arena_bytes(m->round, room * sizeof(int64_t))};
    if (l->items_count > 0)
        TRY(merge_check_items(m, l));
    for (uint32_t c = 0; c < l->column_count; c++) {
        const PartColumn *to = part_builder_narrow(m->builder, list, c);
        TRY(to != NULL && are_stored_alike(l, to) ? write_stored(m, list, c, to, &on)
                                                  : write_values(m, list, c, &on));
    }
    return l->items_count == 0 ? ERR_OK : merge_write_items(m, l, places);
}

/* All rows of the open block were written. */
static void end_block(Merge *m)
{
    for (uint32_t l = 0; l < m->out_count; l++) {
        if (m->out[l].key_count > 0)
            part_builder_keys(m->builder, l, m->out[l].keys, m->out[l].key_count);
        m->out[l].key_count = 0;
    }
}

/* The lists and keys of the rows, block by block; the last one may have more.  next[l]: where the places of a list's next
 * rows go. */
static void write_blocks(Merge *m, const uint64_t *orders, uint32_t n, uint32_t **next)
{
    const uint64_t part_mask = (UINT64_C(1) << m->part_bits) - 1;
    uint8_t *lists = (uint8_t *)arena_bytes(m->round, n);
    for (uint32_t from = 0, to = 0; from < n; from = to) {
        const uint32_t block = block_of(m, orders[from]);
        if (block != m->open_block)
            end_block(m);
        m->open_block = block;
        for (; to < n && block_of(m, orders[to]) == block; to++) {
            Window *const w = &m->in[orders[to] & part_mask].window;
            const uint8_t list = lists[to] = w->lists[w->written];
            OutList *const l = &m->out[list];
            *next[list]++ = w->rows[w->written++];
            l->keys[l->key_count++] = key_of(m, orders[to]);
        }
        part_builder_block(m->builder, m->blocks[block], lists + from, to - from);
    }
}

static Err write_rows(Merge *m, const uint64_t *orders, uint32_t n)
{
    uint32_t *const places = (void *)arena_bytes(m->round, n * sizeof *places);
    uint32_t *next[PART_LISTS_MAX], at = 0;
    for (uint32_t l = 0; l < m->out_count; l++) {
        next[l] = places + at;
        at += m->out[l].count;
        reserve_keys(&m->out[l]);
    }
    write_blocks(m, orders, n, next);
    for (uint32_t l = 0; l < m->out_count; l++) {
        if (m->out[l].count > 0)
            TRY(write_list(m, l, next[l] - m->out[l].count));
        m->out[l].count = 0;
        m->out[l].sources = m->out[l].last_source = NULL;
    }
    return ERR_OK;
}

/* Up to where the windows together are whole: behind the last row that waits of a part that has more, an earlier one of that
 * part could still come. */
static uint64_t bound_of(const Merge *m)
{
    uint64_t bound = UINT64_MAX;
    for (uint32_t p = 0; p < m->in_count; p++) {
        const Window *w = &m->in[p].window;
        if (m->in[p].left > 0 && w->orders[w->end - 1] < bound)
            bound = w->orders[w->end - 1];
    }
    return bound;
}

/* How many of the rows that wait lie within the bound. */
static uint32_t count_within(const Window *w, uint64_t bound)
{
    uint32_t low = w->first, high = w->end;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (w->orders[middle] <= bound)
            low = middle + 1;
        else
            high = middle;
    }
    return low - w->first;
}

/* What lies within the bound, part by part; ends[p] is behind the part's rows.  How many they are. */
static uint32_t take_rows(Merge *m, uint64_t bound, uint64_t *orders, uint32_t *ends)
{
    uint32_t n = 0;
    for (uint32_t p = 0; p < m->in_count; p++) {
        Window *w = &m->in[p].window;
        const uint32_t count = count_within(w, bound);
        if (count > 0) { /* it may have no window in these blocks */
            memcpy(orders + n, w->orders + w->first, count * sizeof *orders);
            add_sources(m, &m->in[p], count);
        }
        w->first += count;
        ends[p] = n += count;
    }
    return n;
}

/* Every part that has more has rows that wait; how many all have.  Of a window nothing stays in the round, so that very many
 * dead rows one behind the other take no memory. */
static Err fill_windows(Merge *m, uint64_t *rows)
{
    *rows = 0;
    for (uint32_t p = 0; p < m->in_count; p++) {
        Window *w = &m->in[p].window;
        while (w->first == w->end && m->in[p].left > 0) {
            TRY(merge_go_on(m));
            TRY(fill_window(m, &m->in[p]));
            arena_reset(m->round);
        }
        *rows += w->end - w->first;
    }
    return ERR_OK;
}

/* *more: the blocks have rows behind these. */
static Err merge_round(Merge *m, bool *more)
{
    uint64_t room = 0;
    TRY(fill_windows(m, &room));
    const uint64_t bound = bound_of(m);
    uint64_t *const orders = (void *)arena_bytes(m->round, room * sizeof *orders);
    uint64_t *const scratch = (void *)arena_bytes(m->round, room * sizeof *scratch);
    uint32_t *const ends = ARENA_ARRAY(m->round, uint32_t, m->in_count);
    const uint32_t n = take_rows(m, bound, orders, ends);
    *more = bound != UINT64_MAX;
    return n == 0 ? ERR_OK : write_rows(m, order_numbers(orders, scratch, ends, m->in_count), n);
}

static Err merge_together(Merge *m)
{
    m->open_block = 0;
    for (uint32_t p = 0; p < m->in_count; p++)
        TRY(begin_part(m, &m->in[p]));
    for (bool more = true; more;) {
        TRY(merge_round(m, &more));
        arena_reset(m->round);
    }
    end_block(m);
    return ERR_OK;
}

/* The next block that any part has, PART_NO_BLOCK at the end.  *rows: that all parts have of it. */
static uint32_t next_block(const Merge *m, uint32_t *cursors, uint32_t behind, uint32_t *rows)
{
    uint32_t next = PART_NO_BLOCK;
    for (uint32_t p = 0; p < m->in_count; p++) {
        const PartBlock *blocks = m->in[p].part->blocks; /* the last one says PART_NO_BLOCK */
        while (behind != PART_NO_BLOCK && blocks[cursors[p]].block <= behind)
            cursors[p]++;
        next = blocks[cursors[p]].block < next ? blocks[cursors[p]].block : next;
    }
    *rows = 0;
    for (uint32_t p = 0; p < m->in_count && next != PART_NO_BLOCK; p++) {
        const PartBlock *at = &m->in[p].part->blocks[cursors[p]];
        *rows += at->block == next ? at[1].first_row - at->first_row : 0;
    }
    return next;
}

static Err merge_blocks(Merge *m)
{
    const uint32_t places = UINT32_C(1) << (PLACE_BITS_MAX - m->part_bits);
    const uint32_t most = places < TOGETHER_BLOCKS ? places : TOGETHER_BLOCKS;
    uint32_t *cursors = ARENA_ARRAY(m->life, uint32_t, m->in_count);
    uint32_t rows = 0, block = next_block(m, cursors, PART_NO_BLOCK, &rows);
    m->blocks = ARENA_ARRAY(m->life, uint32_t, TOGETHER_BLOCKS);
    while (block != PART_NO_BLOCK) {
        m->block_count = 0;
        for (uint64_t all = rows; block != PART_NO_BLOCK && m->block_count < most &&
                                  (m->block_count == 0 || all <= TOGETHER_ROWS);
             all += rows) {
            m->blocks[m->block_count++] = block;
            block = next_block(m, cursors, block, &rows);
        }
        TRY(merge_together(m));
        arena_reset(m->block);
    }
    return ERR_OK;
}

static Err merge(Merge *m, PartSink sink, void *arg)
{
    TRY(merge_plan(m));
    TRY(merge_blocks(m));
    return part_builder_finish(m->ctx, m->builder, sink, arg);
}

static uint32_t window_rows(uint32_t parts)
{
    const uint32_t n = WINDOWS_ROWS / parts;
    return n > WINDOW_ROWS ? WINDOW_ROWS : n < WINDOW_ROWS_MIN ? WINDOW_ROWS_MIN : n;
}

Err parts_merge(Ctx *ctx, const PartsMerge *merge_of, PartSink sink, void *arg)
{
    Part *const *parts = merge_of->parts;
    const uint32_t count = merge_of->count;
    CHECK(count > 0 && bits_width(count - 1) <= PLACE_BITS_MAX);
    Merge m = {.ctx = ctx,
               .life = arena_new(ARENA_BYTES),
               .block = arena_new(ARENA_BYTES),
               .round = arena_new(ARENA_BYTES),
               .in_count = count,
               .bytes_max = merge_of->bytes_max,
               .window_rows = window_rows(count),
               .part_bits = bits_width(count - 1),
               .moved = merge_of->moved,
               .stop = merge_of->stop,
               .exact = merge_of->exact};
    m.in = ARENA_ARRAY(m.life, InPart, count);
    for (uint32_t i = 0; i < count; i++) {
        CHECK(parts[i]->head->week_ms == parts[0]->head->week_ms);
        m.in[i].part = parts[i];
    }
    const Err err = merge(&m, sink, arg);
    part_builder_free(m.builder);
    filter_scratch_free(&m.scratch);
    for (uint32_t l = 0; l < m.out_count; l++)
        free(m.out[l].keys);
    arena_free(m.round);
    arena_free(m.block);
    arena_free(m.life);
    return err;
}
