/*
 * engine/engine_move.c -- links, unlinks and erasures: rows go to where they belong now.
 *
 * A change of who is whom moves the rows of one person at most.  They are read from all parts and the open slice
 * and added to the open slice once more, under whoever their actor is now; then those in the parts are dead
 * (engine/part/moved.h).  An erased actor's are not added.  So whoever asks afterwards finds whole persons in their places,
 * and nothing that is asked knows of links.
 *
 * The dead rows of a file go when it is merged.  Files and who is whom are saved together: a file never lacks rows
 * that are in memory only.
 */
#include "engine/engine_inside.h"

#include "base/log.h"
#include "engine/scan/items.h"

#include <stdlib.h>
#include <time.h>

/* ---- the rows of one person in one part ------------------------------------------------------------ */

/* A person may have millions of rows: so many are read at a time. */
enum { PIECE_ROWS = 4096 };

/* What the rows of a piece have in one list property: how many each, and where the next begin. */
typedef struct TakingItems {
    const PartItems *items;
    const int64_t *counts;
    uint32_t next;
} TakingItems;

/* Of one list: where the person's rows begin, how many there are, and how many have been taken.  Of those of the piece
 * under way: how many there are, which comes next, and their values column by column. */
typedef struct Taking {
    uint32_t first, count, taken;
    const uint32_t *keys;
    uint32_t some, next;
    const int64_t *const *values;
    TakingItems *items;
    uint32_t items_count;
} Taking;

typedef struct Take {
    Arena *arena; /* of the part */
    Arena *piece;
    FilterScratch scratch;
    uint32_t person;
    Part *part;
    uint32_t first, left; /* of its sequence: the person's rows that have not been taken */
    Taking lists[PART_LISTS_MAX];
} Take;

static Take take_of(uint32_t person)
{
    return (Take){.arena = arena_new(1 << 16), .piece = arena_new(1 << 16), .person = person};
}

static void take_free(Take *t)
{
    filter_scratch_free(&t->scratch);
    arena_free(t->arena);
    arena_free(t->piece);
}

/* Where the person's rows stand in the list, and how many rows of its block stand before them.  False: damaged. */
static bool find_rows(Take *t, uint32_t list, uint32_t *before)
{
    uint32_t cursor = 0;
    const uint32_t local = t->person & (PART_BLOCK_PERSONS - 1);
    const PartRows rows =
        part_list_rows(t->part, &t->part->lists[list], t->person >> PART_BLOCK_BITS, &cursor);
    t->lists[list] = (Taking){0};
    if (rows.count == 0)
        return true;
    uint32_t *keys = (uint32_t *)arena_alloc(t->arena, rows.count + KERNEL_SLACK, sizeof *keys);
    if (!part_read_keys(t->part, &rows, keys))
        return false;
    const uint32_t from = part_first_key(keys, rows.count, local << PART_SECOND_BITS);
    const uint32_t to = local + 1 == PART_BLOCK_PERSONS
                            ? rows.count
                            : part_first_key(keys, rows.count, (local + 1) << PART_SECOND_BITS);
    t->lists[list] = (Taking){.first = rows.first + from, .count = to - from, .keys = keys + from};
    *before += from;
    return true;
}

/* The rows of the piece. */
static FilterRows piece_rows(const Take *t, uint32_t list)
{
    const Taking *of = &t->lists[list];
    return (FilterRows){.part = t->part,
                        .list = &t->part->lists[list],
                        .first = of->first + of->taken,
                        .count = of->some};
}

static bool read_columns(Take *t, uint32_t list)
{
    Taking *of = &t->lists[list];
    const FilterRows rows = piece_rows(t, list);
    int64_t **values = ARENA_ARRAY(t->piece, int64_t *, (size_t)rows.list->column_count + 1);
    filter_scratch_reserve(&t->scratch, rows.count);
    for (uint32_t c = 0; c < rows.list->column_count; c++) {
        values[c] = (int64_t *)arena_alloc(t->piece, rows.count + KERNEL_SLACK, sizeof **values);
        if (!filter_values(&rows, &t->part->columns[rows.list->first_column + c], PART_MISSING,
                           &t->scratch, values[c]))
            return false;
    }
    of->values = (const int64_t *const *)values;
    return true;
}

/* How many items the rows have, property by property. */
static bool count_items(Take *t, uint32_t list)
{
    const Part *p = t->part;
    Taking *of = &t->lists[list];
    const FilterRows rows = piece_rows(t, list);
    of->items = NULL;
    of->items_count = 0;
    for (uint32_t i = 0; i < p->head->items_count; i++) {
        if (p->items[i].of != list)
            continue;
        if (of->items == NULL)
            of->items = ARENA_ARRAY(t->piece, TakingItems, p->head->items_count - i);
        int64_t *counts =
            (int64_t *)arena_alloc(t->piece, rows.count + KERNEL_SLACK, sizeof *counts);
        ItemsOf first;
        if (!items_of_rows(&rows, p->items[i].prop, &t->scratch, counts, &first))
            return false;
        of->items[of->items_count++] = (TakingItems){&p->items[i], counts, first.first};
    }
    return true;
}

/* The items of the next row. */
static bool put_items(Take *t, TakingItems *of, uint32_t at, RowBuffer *to)
{
    const uint32_t count = of->counts[at] == PART_MISSING ? 0 : (uint32_t)of->counts[at];
    const PartList *l = &of->items->list;
    const FilterRows rows = {.part = t->part, .list = l, .first = of->next, .count = count};
    if (count == 0)
        return true;
    Arena *arena = arena_new(1 << 16); /* of one event, which may have thousands */
    int64_t **values = ARENA_ARRAY(arena, int64_t *, (size_t)l->column_count + 1);
    bool good = true;
    filter_scratch_reserve(&t->scratch, count);
    for (uint32_t c = 0; c < l->column_count && good; c++) {
        values[c] = (int64_t *)arena_alloc(arena, count + KERNEL_SLACK, sizeof **values);
        good = filter_values(&rows, &t->part->columns[l->first_column + c], PART_MISSING,
                             &t->scratch, values[c]);
    }
    rows_items(to, of->items->prop);
    for (uint32_t i = 0; i < count && good; i++) {
        rows_item(to);
        for (uint32_t c = 0; c < l->column_count; c++) {
            const PartColumn *column = &t->part->columns[l->first_column + c];
            if (values[c][i] != PART_MISSING)
                rows_item_value(to, column->prop, (PartKind)column->kind, column->scale,
                                values[c][i]);
        }
    }
    of->next += count;
    arena_free(arena);
    return good;
}

static bool put_all_items(Take *t, const Taking *of, uint32_t at, RowBuffer *to)
{
    bool good = true;
    for (uint32_t i = 0; i < of->items_count && good; i++)
        good = put_items(t, &of->items[i], at, to);
    return good;
}

static void put_row(const Take *t, const PartList *l, const Taking *of, uint32_t at, RowBuffer *to)
{
    const PartColumn *columns = t->part->columns + l->first_column;
    int64_t ms = 0;
    uint32_t event = l->event;
    for (uint32_t c = 0; c < l->column_count; c++) {
        const int64_t value = of->values[c][at];
        if (columns[c].prop == PROP_MS && value != PART_MISSING)
            ms = value;
        else if (columns[c].prop == PROP_EVENT && value != PART_MISSING)
            event = (uint32_t)value;
    }
    const int64_t second = of->keys[of->taken + at] & PART_SECOND_MASK;
    rows_add(to, t->part->head->week_ms + second * 1000 + ms, t->person, event);
    for (uint32_t c = 0; c < l->column_count; c++)
        if (columns[c].prop != PROP_MS && columns[c].prop != PROP_EVENT &&
            of->values[c][at] != PART_MISSING)
            rows_value(to, columns[c].prop, (PartKind)columns[c].kind, columns[c].scale,
                       of->values[c][at]);
}

/* The part's rows of the person.  False: sequence and lists do not agree, or it is damaged. */
static bool find_person(Take *t, Part *part)
{
    uint32_t before = 0, cursor = 0;
    arena_reset(t->arena);
    t->part = part;
    t->left = 0;
    for (uint32_t l = 0; l < part->head->list_count; l++) {
        if (!find_rows(t, l, &before))
            return false;
        t->left += t->lists[l].count;
    }
    const uint32_t rows =
        part_sequence_rows(part, t->person >> PART_BLOCK_BITS, &cursor, &t->first);
    t->first += before;
    return rows > 0 && part_check_sequence(part, cursor);
}

/* Reads the columns of the next `n` rows, whose lists these are.  False: some are of others than the person's. */
static bool read_piece(Take *t, const uint8_t *codes, uint32_t n)
{
    const uint32_t lists = t->part->head->list_count;
    for (uint32_t l = 0; l < lists; l++)
        t->lists[l].some = t->lists[l].next = 0;
    for (uint32_t i = 0; i < n; i++)
        t->lists[codes[i]].some++;
    for (uint32_t l = 0; l < lists; l++) {
        const Taking *of = &t->lists[l];
        if (of->some > of->count - of->taken ||
            (of->some > 0 && !(read_columns(t, l) && count_items(t, l))))
            return false;
    }
    return true;
}

/* The next rows, in their order. */
static bool put_piece(Take *t, RowBuffer *to)
{
    const uint32_t n = t->left < PIECE_ROWS ? t->left : PIECE_ROWS;
    arena_reset(t->piece);
    uint8_t *codes = (uint8_t *)arena_bytes(t->piece, (size_t)n + KERNEL_SLACK);
    if (!part_read_sequence(t->part, t->first, n, codes) || !read_piece(t, codes, n))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        Taking *of = &t->lists[codes[i]];
        put_row(t, &t->part->lists[codes[i]], of, of->next, to);
        if (!put_all_items(t, of, of->next++, to))
            return false;
    }
    for (uint32_t l = 0; l < t->part->head->list_count; l++)
        t->lists[l].taken += t->lists[l].some;
    t->first += n;
    t->left -= n;
    return true;
}

/* The person's rows of the part, piece by piece: each is given to `fn` as `rows`, which is then empty again.  False:
 * the part is damaged there; the pieces before were given. */
typedef void (*PieceFn)(Engine *e, RowBuffer *rows, void *arg);
static bool take_person(Engine *e, Take *t, Part *part, RowBuffer *rows, PieceFn fn, void *arg)
{
    bool good = find_person(t, part);
    while (good && t->left > 0) {
        good = put_piece(t, rows);
        if (good)
            fn(e, rows, arg);
        rows_clear(rows);
    }
    if (!good)
        atomic_store(&part->damaged, true);
    return good;
}

/* ---- all parts ------------------------------------------------------------------------------------ */

/* Those in which the person has rows that are alive, files first, by arrival. */
typedef struct Sources {
    Part **parts;
    uint32_t count;
} Sources;

static bool has_block(const Part *part, uint32_t block)
{
    uint32_t cursor = 0, first = 0;
    return part_sequence_rows(part, block, &cursor, &first) > 0;
}

static void add_source(Sources *s, Part *part, const Moved *moved, uint32_t person)
{
    const uint32_t block = person >> PART_BLOCK_BITS;
    const uint32_t *at = moved_block(moved, block, part->generation);
    if (has_block(part, block) &&
        (at == NULL || at[person & (PART_BLOCK_PERSONS - 1)] <= part->generation))
        s->parts[s->count++] = part_ref(part);
}

static Sources find_sources(Engine *e, uint32_t person)
{
    const Moved *moved = persons_moved(schema_persons(e->schema));
    (void)pthread_mutex_lock(&e->lock);
    Sources s = {.parts = calloc((size_t)e->file_count + e->memory_count + 1, sizeof(Part *))};
    CHECK(s.parts != NULL);
    for (uint32_t i = 0; i < e->file_count; i++)
        add_source(&s, e->files[i].part, moved, person);
    for (uint32_t i = 0; i < e->memory_count; i++)
        add_source(&s, e->memory[i], moved, person);
    (void)pthread_mutex_unlock(&e->lock);
    return s;
}

static void sources_free(Sources *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        part_unref(s->parts[i]);
    free(s->parts);
}

static void leave_rows(Engine *e, RowBuffer *rows, void *arg)
{
    (void)e;
    (void)rows;
    (void)arg;
}

/* Whether all of it can be read; nothing has changed so far. */
static bool sources_are_sound(Engine *e, const Sources *s, uint32_t person)
{
    Take t = take_of(person);
    RowBuffer unused = {0};
    bool good = true;
    for (uint32_t i = 0; i < s->count; i++)
        good = take_person(e, &t, s->parts[i], &unused, leave_rows, NULL) && good;
    rows_free(&unused);
    take_free(&t);
    return good;
}

/* ---- rows at their new place ------------------------------------------------------------------------ */

static uint32_t ordinal_of(const RowBuffer *b, uint32_t row)
{
    const int64_t ordinal = rows_get(b, row, PROP_ACTOR);
    return ordinal == PART_MISSING ? 0 : (uint32_t)ordinal;
}

/* The row once more, under the person that its actor belongs to now. */
static void put_again(Engine *e, const RowBuffer *b, uint32_t row)
{
    const Row *r = &b->rows[row];
    const Persons *persons = schema_persons(e->schema);
    const uint32_t actor = persons_actor(persons, r->person, ordinal_of(b, row));
    const uint32_t person = persons_of(persons, actor);
    if (actor == 0 || person == 0)
        return;
    const uint32_t ordinal = persons_ordinal(persons, actor);
    rows_add(&e->open, r->time_ms, person, b->tables[r->table]->event);
    if (ordinal > 0)
        rows_value(&e->open, PROP_ACTOR, PART_CODES, 0, ordinal);
    rows_copy_values(b, row, PROP_ACTOR, &e->open);
}

static void put_all_again(Engine *e, const RowBuffer *taken)
{
    for (uint32_t i = 0; i < taken->count; i++)
        put_again(e, taken, i);
    e->moved_rows += taken->count;
    engine_slice_grew(e);
}

/* A piece of a part: it is dead there. */
static void move_piece(Engine *e, RowBuffer *rows, void *part)
{
    Part *from = part;
    atomic_fetch_add(&from->died, rows->count - rows_of_event(rows, PART_PERSON));
    put_all_again(e, rows);
    engine_spill_when_full(e);
}

static void move_rows(Engine *e, const Sources *s, RowBuffer *of_open, uint32_t person)
{
    Take t = take_of(person);
    RowBuffer taken = {0};
    engine_drop_peek(e);
    for (uint32_t i = 0; i < s->count; i++)
        if (!take_person(e, &t, s->parts[i], &taken, move_piece, s->parts[i]))
            LOG(LOG_ERROR, "events.rows_lost", LOG_I64("file", (int64_t)s->parts[i]->number),
                LOG_C("note", "a damaged file, and no log to make it again from"));
    put_all_again(e, of_open);
    rows_free(&taken);
    take_free(&t);
}

/* ---- changes ---------------------------------------------------------------------------------------- */

/* The keeper makes damaged files again from the log; gives up `apply` meanwhile. */
static void wait_for_mend(Engine *e)
{
    struct timespec soon;
    (void)clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_sec += 1;
    (void)pthread_mutex_unlock(&e->apply);
    (void)pthread_mutex_lock(&e->lock);
    if (!e->stopping)
        (void)pthread_cond_timedwait(&e->changed, &e->lock, &soon);
    (void)pthread_mutex_unlock(&e->lock);
    (void)pthread_mutex_lock(&e->apply);
}

/* A second each: what cannot be mended by then is lost, and its questions fail. */
enum { MEND_TRIES = 120 };

/* Where the person's rows are, all of them readable, if they ever will be.  Without a log nothing is made again.
 * False: nobody will make them again before this engine ends. */
static bool sound_sources(Engine *e, uint32_t person, Sources *out)
{
    *out = find_sources(e, person);
    for (int tries = 0; e->o.log_folder.len > 0 && !sources_are_sound(e, out, person); tries++) {
        if (e->o.read_only || atomic_load(&e->closing))
            return false;
        if (tries == MEND_TRIES)
            return true;
        sources_free(out);
        wait_for_mend(e);
        *out = find_sources(e, person);
    }
    return true;
}

/* What there is none of cannot be undone or erased, and takes no number. */
static bool is_of_known(const Engine *e, const Event *record, PersonsChange *out)
{
    out->a = schema_find_actor(e->schema, record->actor);
    out->b = record->kind == EVENT_ERASE ? 0 : schema_find_actor(e->schema, record->other);
    return out->a != 0 && (record->kind == EVENT_ERASE || out->b != 0);
}

static bool is_of_new(Engine *e, const Event *record, PersonsChange *out)
{
    const bool good = schema_actor(e->schema, record->actor, &out->a) &&
                      schema_actor(e->schema, record->other, &out->b);
    if (!good)
        engine_keep_aside(e, ENGINE_ASIDE_ACTORS);
    return good;
}

/* False: it changes nothing. */
static bool change_of(Engine *e, const Event *record, PersonsChange *out)
{
    static const PersonsKind KINDS[EVENT_KIND_COUNT] = {[EVENT_LINK] = PERSONS_LINK,
                                                        [EVENT_UNLINK] = PERSONS_UNLINK,
                                                        [EVENT_ERASE] = PERSONS_ERASE};
    *out = (PersonsChange){.kind = KINDS[record->kind]};
    return record->kind == EVENT_LINK ? is_of_new(e, record, out) : is_of_known(e, record, out);
}

static void apply_change(Engine *e, PersonsChange change)
{
    RowBuffer of_open = {0};
    const uint32_t moves = persons_moves(schema_persons(e->schema), change);
    Sources s = {0};
    if (moves != 0 && !sound_sources(e, moves, &s)) {
        /* From here on memory lacks something: no flush may say that it has it.  The next start reads it again. */
        atomic_store(&e->stuck, true);
    } else if (!schema_change(e->schema, change)) {
        engine_keep_aside(e, ENGINE_ASIDE_LINKS);
    } else if (moves != 0) {
        rows_take(&e->open, moves, &of_open);
        move_rows(e, &s, &of_open, moves);
    }
    rows_free(&of_open);
    sources_free(&s);
}

bool engine_change(Engine *e, const Event *record, uint64_t seq)
{
    PersonsChange change;
    if (record->kind != EVENT_LINK && record->kind != EVENT_UNLINK && record->kind != EVENT_ERASE)
        return true;
    engine_set_applied(e, seq, 0);
    if (!engine_wait_for_room(e))
        return false;
    if (change_of(e, record, &change))
        apply_change(e, change);
    return true;
}
