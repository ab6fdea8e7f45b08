/*
 * engine/merge.c -- some blocks at a time: the rows of all parts are put into one order, some of them at a time, then
 * the values follow column by column.  Of small blocks, as those of slices are, many go together: what is done per list
 * and column is done once for all of them.
 */
#include "engine/merge_inside.h"

#include <stdlib.h>

enum {
    MS_BITS = 10,
    ARENA_BYTES = 1 << 20,
    WINDOWS_CELLS = 1 << 18, /* of all parts together: rows that wait to be ordered */
    WINDOW_CELLS = 16384,    /* of one part, at most */
    WINDOW_CELLS_MIN = 64,
    TOGETHER_ROWS = 1 << 16, /* of blocks that are merged together; one alone may have more */
    TOGETHER_BLOCKS = 1 << 12,
    KEY_BITS = 31, /* person in block, second in week */
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

static Cell *cells_for(Arena *arena, uint32_t n)
{
    return (void *)arena_bytes(arena, n * sizeof(Cell));
}

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
    in->from = in->to = 0;
    in->last_key = 0;
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
    in->window = cells_for(m->block, in->left < m->window_cells ? in->left : m->window_cells);
    return ERR_OK;
}

/* The next `n` rows of a list as cells. */
static Err read_cells(Merge *m, InPart *in, uint32_t l, uint32_t n, Cell *cells)
{
    InList *from = &in->lists[l];
    const PartList *list = &in->part->lists[l];
    const FilterRows r = {
        .part = in->part, .list = list, .first = from->first + from->next, .count = n};
    int64_t *ms = (int64_t *)(void *)arena_bytes(m->round, (n + KERNEL_SLACK) * sizeof *ms);
    int64_t *events = NULL;
    TRY(merge_read_column(m, &r, part_find_column(in->part, list, PROP_MS), 0, ms));
    if (from->to == PART_REST) {
        events = (int64_t *)arena_alloc(m->round, n + KERNEL_SLACK, 8);
        TRY(merge_read_events(m, &r, events));
    }
    for (uint32_t i = 0; i < n; i++, from->next++) {
        while (from->next == from->blocks->end)
            from->blocks++;
        const uint64_t key = (uint64_t)from->blocks->block << KEY_BITS | from->keys[from->next];
        cells[i] = (Cell){.key = key << MS_BITS | (ms[i] == PART_MISSING ? 0 : (uint64_t)ms[i]),
                          .row = r.first + i,
                          .from = (uint16_t)l,
                          .list = (uint16_t)(events == NULL ? from->to : m->list_of[events[i]])};
    }
    return ERR_OK;
}

/* Place of the row's block. */
static uint32_t block_of(const Cell *cell)
{
    return (uint32_t)(cell->key >> (KEY_BITS + MS_BITS));
}

static bool is_dead(const InPart *in, const Cell *cell)
{
    const uint32_t *moved = in->moved[block_of(cell)];
    const uint64_t person = cell->key >> (PART_SECOND_BITS + MS_BITS) & (PART_BLOCK_PERSONS - 1);
    return moved != NULL && moved[person] > in->part->generation;
}

/* The next rows of the sequence, list by list and then in its order; those that are alive. */
static Err fill_window(Merge *m, InPart *in)
{
    const uint32_t n = in->left < m->window_cells ? in->left : m->window_cells;
    uint8_t *codes = (uint8_t *)arena_bytes(m->round, (size_t)n + KERNEL_SLACK);
    Cell *by_list = cells_for(m->round, n);
    uint32_t count[PART_LISTS_MAX + 1] = {0}, next[PART_LISTS_MAX + 1], total = 0;
    if (!part_read_sequence(in->part, in->first, n, codes))
        return merge_damaged(m, in->part);
    for (uint32_t i = 0; i < n; i++)
        count[codes[i]]++;
    for (uint32_t l = 0; l < in->part->head->list_count; l++) {
        next[l] = total;
        if (count[l] > 0)
            TRY(read_cells(m, in, l, count[l], by_list + total));
        total += count[l];
    }
    in->from = in->to = 0;
    for (uint32_t i = 0; i < n; i++) {
        const Cell cell = by_list[next[codes[i]]++];
        if (cell.key < in->last_key)
            return merge_damaged(m, in->part);
        in->last_key = cell.key;
        if (in->moved == NULL || !is_dead(in, &cell))
            in->window[in->to++] = cell;
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

/* Rows of a list that stand together and go to one list are read together.  The cells then say where. */
static void add_sources(Merge *m, InPart *in, Cell *cells, uint32_t n)
{
    typedef struct Run {
        uint32_t first, count, list;
        uint16_t from;
        Source *source;
    } Run;
    uint32_t run_of_list[PART_LISTS_MAX], runs = 0;
    uint32_t *const run_of = ARENA_ARRAY(m->round, uint32_t, n);
    Run *const run = ARENA_ARRAY(m->round, Run, n);
    memset(run_of_list, 0xff, sizeof run_of_list);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = run_of_list[cells[i].from];
        if (at == UINT32_MAX || run[at].list != cells[i].list ||
            run[at].first + run[at].count != cells[i].row) {
            at = run_of_list[cells[i].from] = runs++;
            run[at] = (Run){cells[i].row, 0, cells[i].list, cells[i].from, NULL};
        }
        run[at].count++;
        run_of[i] = at;
    }
    for (uint32_t i = 0; i < runs; i++)
        run[i].source =
            add_source(m, &m->out[run[i].list], in->part, run[i].from, run[i].first, run[i].count);
    for (uint32_t i = 0; i < n; i++) {
        const Source *s = run[run_of[i]].source;
        cells[i].row = s->at + (cells[i].row - s->first);
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

static void add_key(OutList *l, uint32_t key)
{
    if (l->key_count == l->key_cap) {
        l->key_cap = l->key_cap == 0 ? 1024 : l->key_cap * 2;
        l->keys = realloc(l->keys, l->key_cap * sizeof *l->keys);
        CHECK(l->keys != NULL);
    }
    l->keys[l->key_count++] = key;
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

static Err write_list(Merge *m, uint32_t list, const Cell *cells, const uint32_t *rows)
{
    const OutList *l = &m->out[list];
    const size_t room = (size_t)l->count + KERNEL_SLACK;
    uint32_t *places = (void *)arena_bytes(m->round, l->count * sizeof *places);
    const Columns on = {places, arena_bytes(m->round, room * sizeof(int64_t)),
                        arena_bytes(m->round, room * sizeof(int64_t))};
    for (uint32_t i = 0; i < l->count; i++)
        places[i] = cells[rows[i]].row;
    if (l->items_count > 0)
        TRY(merge_check_items(m, l));
    for (uint32_t c = 0; c < l->column_count; c++) {
        const PartColumn *to = part_builder_narrow(m->builder, list, c);
        TRY(to != NULL && are_stored_alike(l, to) ? write_stored(m, list, c, to, &on)
                                                  : write_values(m, list, c, &on));
    }
    return l->items_count == 0 ? ERR_OK : merge_write_items(m, l, cells, rows);
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

/* The lists and keys of the rows, block by block; the last one may have more. */
static void write_blocks(Merge *m, const Cell *cells, const uint8_t *lists, uint32_t n)
{
    for (uint32_t from = 0, to = 0; from < n; from = to) {
        const uint32_t block = block_of(&cells[from]);
        if (block != m->open_block)
            end_block(m);
        m->open_block = block;
        for (; to < n && block_of(&cells[to]) == block; to++)
            add_key(&m->out[lists[to]],
                    (uint32_t)(cells[to].key >> MS_BITS) & ((UINT32_C(1) << KEY_BITS) - 1));
        part_builder_block(m->builder, m->blocks[block], lists + from, to - from);
    }
}

static Err write_rows(Merge *m, const Cell *cells, uint32_t n)
{
    uint8_t *lists = (uint8_t *)arena_bytes(m->round, n);
    uint32_t *by_list = (uint32_t *)(void *)arena_bytes(m->round, n * sizeof *by_list);
    uint32_t next[PART_LISTS_MAX], at = 0;
    for (uint32_t l = 0; l < m->out_count; l++) {
        next[l] = at;
        at += m->out[l].count;
    }
    for (uint32_t i = 0; i < n; i++) {
        lists[i] = (uint8_t)cells[i].list;
        by_list[next[lists[i]]++] = i;
    }
    write_blocks(m, cells, lists, n);
    for (uint32_t l = 0; l < m->out_count; l++) {
        if (m->out[l].count > 0)
            TRY(write_list(m, l, cells, by_list + next[l] - m->out[l].count));
        m->out[l].count = 0;
        m->out[l].sources = m->out[l].last_source = NULL;
    }
    return ERR_OK;
}

/* Two ordered stretches into one; of equal keys those of the first come first.  Which one is next cannot be foreseen,
 * so it is no branch. */
static Cell *merge_two(Arena *arena, const Cell *a, uint32_t a_count, const Cell *b,
                       uint32_t b_count)
{
    Cell *const out = cells_for(arena, a_count + b_count);
    uint32_t i = 0, j = 0, n = 0;
    while (i < a_count && j < b_count) {
        const uint32_t second = b[j].key < a[i].key;
        const Cell *const next[] = {a + i, b + j};
        out[n++] = *next[second];
        j += second;
        i += 1 - second;
    }
    memcpy(out + n, a + i, (a_count - i) * sizeof *out);
    memcpy(out + n + (a_count - i), b + j, (b_count - j) * sizeof *out);
    return out;
}

typedef struct Stretch {
    Cell *cells;
    uint32_t count;
} Stretch;

static Stretch merge_all(Merge *m, Stretch *stretches, uint32_t n)
{
    while (n > 1) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < n; i += 2) {
            const Stretch a = stretches[i], b = i + 1 < n ? stretches[i + 1] : (Stretch){0};
            stretches[kept++] = b.count == 0
                                    ? a
                                    : (Stretch){a.count == 0 ? b.cells
                                                             : merge_two(m->round, a.cells, a.count,
                                                                         b.cells, b.count),
                                                a.count + b.count};
        }
        n = kept;
    }
    return stretches[0];
}

/*
 * Up to where the windows together are whole: behind the last row that waits of a part that has more, an
 * earlier one of that part could still come.  Of equal keys those of the earlier part come first.
 */
typedef struct Bound {
    uint64_t key;
    uint32_t part;
} Bound;

static Bound bound_of(const Merge *m)
{
    Bound b = {UINT64_MAX, UINT32_MAX};
    for (uint32_t p = 0; p < m->in_count; p++) {
        const InPart *in = &m->in[p];
        if (in->left > 0 && in->window[in->to - 1].key < b.key)
            b = (Bound){in->window[in->to - 1].key, p};
    }
    return b;
}

/* How many of the part's rows lie within the bound. */
static uint32_t count_within(const InPart *in, uint32_t part, Bound b)
{
    uint32_t low = in->from, high = in->to;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const uint64_t key = in->window[middle].key;
        if (key < b.key || (key == b.key && part <= b.part))
            low = middle + 1;
        else
            high = middle;
    }
    return low - in->from;
}

/* *more: the blocks have rows behind these. */
static Err merge_round(Merge *m, bool *more)
{
    for (uint32_t p = 0; p < m->in_count; p++)
        while (m->in[p].from == m->in[p].to && m->in[p].left > 0)
            TRY(fill_window(m, &m->in[p]));
    const Bound bound = bound_of(m);
    Stretch *stretches = ARENA_ARRAY(m->round, Stretch, m->in_count);
    for (uint32_t p = 0; p < m->in_count; p++) {
        InPart *in = &m->in[p];
        stretches[p] = (Stretch){NULL, count_within(in, p, bound)};
        if (stretches[p].count == 0) /* it may have no window in these blocks */
            continue;
        stretches[p].cells = in->window + in->from;
        in->from += stretches[p].count;
        add_sources(m, in, stretches[p].cells, stretches[p].count);
    }
    const Stretch rows = merge_all(m, stretches, m->in_count);
    *more = bound.part != UINT32_MAX;
    return rows.count == 0 ? ERR_OK : write_rows(m, rows.cells, rows.count);
}

static Err merge_together(Merge *m)
{
    m->open_block = 0;
    for (uint32_t p = 0; p < m->in_count; p++)
        TRY(begin_part(m, &m->in[p]));
    for (bool more = true; more;) {
        TRY(merge_go_on(m));
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
    uint32_t *cursors = ARENA_ARRAY(m->life, uint32_t, m->in_count);
    uint32_t rows = 0, block = next_block(m, cursors, PART_NO_BLOCK, &rows);
    m->blocks = ARENA_ARRAY(m->life, uint32_t, TOGETHER_BLOCKS);
    while (block != PART_NO_BLOCK) {
        m->block_count = 0;
        for (uint64_t all = rows; block != PART_NO_BLOCK && m->block_count < TOGETHER_BLOCKS &&
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

static uint32_t window_cells(uint32_t parts)
{
    const uint32_t n = WINDOWS_CELLS / parts;
    return n > WINDOW_CELLS ? WINDOW_CELLS : n < WINDOW_CELLS_MIN ? WINDOW_CELLS_MIN : n;
}

Err parts_merge(Ctx *ctx, const PartsMerge *merge_of, PartSink sink, void *arg)
{
    Part *const *parts = merge_of->parts;
    const uint32_t count = merge_of->count;
    CHECK(count > 0);
    Merge m = {.ctx = ctx,
               .life = arena_new(ARENA_BYTES),
               .block = arena_new(ARENA_BYTES),
               .round = arena_new(ARENA_BYTES),
               .in_count = count,
               .bytes_max = merge_of->bytes_max,
               .window_cells = window_cells(count),
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
