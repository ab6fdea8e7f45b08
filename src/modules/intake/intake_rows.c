/*
 * modules/intake/intake_rows.c -- the flow behind intake_rows.h.
 *
 *   table row -> pull_row (problems, skip, count) -+-> alone: fields -> row
 *                                                  +-> record (key, cells) [-> sorter] -> group -> row
 *
 * Only the columns that the entry uses travel in a record: the slots.
 */
#include "modules/intake/intake_rows.h"

#include "modules/intake/intake_sort.h"

enum {
    TICK_ROWS = 4096,
    SORT_BYTES = 64 * 1024 * 1024,
    GROUP_BYTES_MAX = 256 * 1024 * 1024,
};

/* What is known of a column-using thing after the header was seen. */
typedef struct Bound {
    size_t *slot;
    size_t count;
} Bound;

/* One row on its way through grouping. */
typedef struct Record {
    Str key;
    int64_t line_no;
    const Str *cell; /* by slot */
} Record;

struct RowReader {
    Arena *arena; /* as long as the reader */
    const IntakeMap *map;
    const IntakeMapFile *file;
    IntakeRowsOptions options;
    Str file_name;
    TableSource *table;
    /* columns in use: slot -> column */
    size_t *column;
    size_t slots;
    Bound *field_slots, *line_slots, *attribute_slots, *skip_slots, *count_slots;
    Bound group_slots;
    Str *cell; /* the row read last, by slot */
    /* grouping */
    RowSorter *sorter;
    bool sorted; /* the sorter holds the whole file */
    Buf key, payload;
    Buf held; /* payload and key of `ahead` */
    Str *ahead_cell;
    Record ahead; /* read, but of the next group */
    bool has_ahead;
    Arena *group; /* the row or group being handed over */
    Buf lines;    /* IntakeValue each */
    int64_t group_rows;
    bool group_bad;
    int64_t ordinal;
    IntakeStats stats;
    int64_t *skip_hits, *count_hits;
};

/* ---- binding the map's columns to the file's ---- */

static Err missing_column(RowReader *r, Ctx *ctx, int64_t line, Str name)
{
    size_t count = 0;
    const Str *columns = intake_table_columns(r->table, &count);
    const Str near = intake_map_nearest(name, (StrList){columns, count});
    Buf text = BUF_MAX(64 * 1024);
    if (near.len > 0)
        buf_addf(&text, " Did you mean \"%.*s\"?", STR_ARG(near));
    for (size_t i = 0; i < count && text.len < 1024; i++)
        buf_addf(&text, "%s%.*s", i == 0 ? " It has: " : ", ", (int)(columns[i].len & 0xff),
                 columns[i].ptr);
    const Err err = fail_field(
        ctx, "", "intake.column_missing", "%.*s:%" PRId64 ": %.*s has no column \"%.*s\".%.*s",
        STR_ARG(r->map->path), line, STR_ARG(r->file_name), STR_ARG(name), STR_ARG(buf_str(&text)));
    buf_free(&text);
    return err;
}

/* Index of the column named `name`, -1 when there is none. */
static Err find_column(RowReader *r, Ctx *ctx, int64_t line, Str name, int64_t *out)
{
    size_t count = 0;
    const Str *columns = intake_table_columns(r->table, &count);
    *out = -1;
    for (size_t i = 0; i < count; i++) {
        if (!str_eq(columns[i], name))
            continue;
        if (*out >= 0)
            return fail_field(ctx, "", "intake.column_twice",
                              "%.*s:%" PRId64 ": %.*s has two columns \"%.*s\": rename one",
                              STR_ARG(r->map->path), line, STR_ARG(r->file_name), STR_ARG(name));
        *out = (int64_t)i;
    }
    return ERR_OK;
}

static size_t slot_of(RowReader *r, size_t column)
{
    for (size_t i = 0; i < r->slots; i++)
        if (r->column[i] == column)
            return i;
    r->column[r->slots] = column;
    return r->slots++;
}

/* Every name must be there; the slots are appended to `to`. */
static Err bind_all(RowReader *r, Ctx *ctx, int64_t line, StrList names, Bound *to)
{
    for (size_t i = 0; i < names.count; i++) {
        int64_t column = -1;
        TRY(find_column(r, ctx, line, names.item[i], &column));
        if (column < 0)
            return missing_column(r, ctx, line, names.item[i]);
        to->slot[to->count++] = slot_of(r, (size_t)column);
    }
    return ERR_OK;
}

static Bound bound_new(RowReader *r, size_t most)
{
    return (Bound){ARENA_ARRAY(r->arena, size_t, most), 0};
}

static Err bind_expr(RowReader *r, Ctx *ctx, const IntakeExpr *e, Bound *to)
{
    *to = bound_new(r, e->concat.count + 1);
    TRY(bind_all(r, ctx, e->line, e->concat, to));
    for (size_t i = 0; i < e->column.count && to->count == 0; i++) {
        int64_t column = -1;
        TRY(find_column(r, ctx, e->line, e->column.item[i], &column));
        if (column >= 0)
            to->slot[to->count++] = slot_of(r, (size_t)column);
    }
    if (e->column.count > 0 && to->count == 0 && !e->optional)
        return missing_column(r, ctx, e->line, e->column.item[0]);
    return ERR_OK;
}

static Err bind_exprs(RowReader *r, Ctx *ctx, IntakeExprs exprs, Bound **out)
{
    *out = ARENA_ARRAY(r->arena, Bound, exprs.count);
    for (size_t i = 0; i < exprs.count; i++)
        TRY(bind_expr(r, ctx, &exprs.expr[i], &(*out)[i]));
    return ERR_OK;
}

static Err bind_conditions(RowReader *r, Ctx *ctx, IntakeConditions conditions, Bound **out)
{
    *out = ARENA_ARRAY(r->arena, Bound, conditions.count);
    for (size_t i = 0; i < conditions.count; i++) {
        const IntakeCondition *c = &conditions.condition[i];
        const StrList one = {&c->column, c->column.ptr != NULL};
        Bound *to = &(*out)[i];
        *to = bound_new(r, one.count + c->sum.count + c->exceeds.count);
        TRY(bind_all(r, ctx, c->line, one, to));
        TRY(bind_all(r, ctx, c->line, c->sum, to));
        TRY(bind_all(r, ctx, c->line, c->exceeds, to));
    }
    return ERR_OK;
}

static Err bind(RowReader *r, Ctx *ctx)
{
    const IntakeMapFile *f = r->file;
    r->column = ARENA_ARRAY(r->arena, size_t, TABLE_COLUMNS_MAX);
    TRY(bind_exprs(r, ctx, f->fields, &r->field_slots));
    TRY(bind_exprs(r, ctx, f->lines, &r->line_slots));
    TRY(bind_exprs(r, ctx, f->attributes, &r->attribute_slots));
    TRY(bind_conditions(r, ctx, f->skip, &r->skip_slots));
    TRY(bind_conditions(r, ctx, f->count, &r->count_slots));
    r->group_slots = bound_new(r, f->group_by.count);
    TRY(bind_all(r, ctx, f->line, f->group_by, &r->group_slots));
    r->cell = ARENA_ARRAY(r->arena, Str, r->slots);
    r->ahead_cell = ARENA_ARRAY(r->arena, Str, r->slots);
    return ERR_OK;
}

/* ---- rejects ---- */

static Err reject(RowReader *r, Ctx *ctx, int64_t line_no, Str column, IntakeWhy why)
{
    if (r->options.reject == NULL)
        return ERR_OK;
    const IntakeReject reject = {r->file_name, line_no,    column,
                                 why.value,    why.reason, why.sentence};
    return r->options.reject(r->options.reject_arg, ctx, &reject);
}

/* The column to look at: the first the expression reads. */
static Str column_name(const RowReader *r, const IntakeExpr *e, const Bound *b)
{
    size_t count = 0;
    const Str *columns = intake_table_columns(r->table, &count);
    return b->count == 0 ? e->name : columns[r->column[b->slot[0]]];
}

/* ---- reading ---- */

static IntakeSlots slots_of(const Bound *b)
{
    return (IntakeSlots){b->slot, b->count};
}

/* True when a skip condition holds; counts for it and for the `count` conditions otherwise. */
static bool is_skipped(RowReader *r)
{
    const int exponent = (int)r->map->exponent;
    for (size_t i = 0; i < r->file->skip.count; i++) {
        if (!intake_condition_holds(&r->file->skip.condition[i], slots_of(&r->skip_slots[i]),
                                    r->cell, exponent))
            continue;
        r->skip_hits[i]++;
        r->stats.skipped++;
        return true;
    }
    for (size_t i = 0; i < r->file->count.count; i++)
        r->count_hits[i] += intake_condition_holds(&r->file->count.condition[i],
                                                   slots_of(&r->count_slots[i]), r->cell, exponent);
    return false;
}

/* The next row that is to be imported; its cells are in r->cell. */
static Err pull_row(RowReader *r, Ctx *ctx, int64_t *line_no, bool *more)
{
    for (;;) {
        TableRow row;
        TRY(intake_table_next(r->table, ctx, &row, more));
        if (!*more)
            return ERR_OK;
        r->stats.read++;
        if (r->options.tick != NULL && r->stats.read % TICK_ROWS == 0)
            TRY(r->options.tick(r->options.tick_arg, ctx));
        if (row.problem != TABLE_ROW_GOOD) {
            r->stats.rejected++;
            const Str first = row.cells > 0 ? row.cell[0] : (Str){NULL, 0};
            TRY(reject(r, ctx, row.line_no, (Str){NULL, 0},
                       (IntakeWhy){intake_problem_reason(row.problem),
                                   intake_problem_sentence(row.problem), first}));
            continue;
        }
        for (size_t i = 0; i < r->slots; i++)
            r->cell[i] = row.cell[r->column[i]];
        if (is_skipped(r))
            continue;
        *line_no = row.line_no;
        return ERR_OK;
    }
}

/* ---- records: rows that travel through grouping ---- */

/* Key parts are joined by NUL, which no cell holds: no two different keys become one. */
static void encode(RowReader *r, int64_t line_no)
{
    buf_clear(&r->key);
    for (size_t i = 0; i < r->group_slots.count; i++) {
        buf_add(&r->key, str_trim(r->cell[r->group_slots.slot[i]]));
        buf_add_char(&r->key, '\0');
    }
    buf_clear(&r->payload);
    buf_add(&r->payload, (Str){(const char *)&line_no, sizeof line_no});
    for (size_t i = 0; i < r->slots; i++) {
        const uint32_t len = (uint32_t)r->cell[i].len;
        buf_add(&r->payload, (Str){(const char *)&len, sizeof len});
        buf_add(&r->payload, r->cell[i]);
    }
    CHECK(!r->key.overflowed && !r->payload.overflowed); /* a row is at most 4 MB */
}

static void decode(RowReader *r, Str key, Str payload, Str *cell, Record *out)
{
    *out = (Record){.key = key, .cell = cell};
    memcpy(&out->line_no, payload.ptr, sizeof out->line_no);
    size_t at = sizeof out->line_no;
    for (size_t i = 0; i < r->slots; i++) {
        uint32_t len = 0;
        memcpy(&len, payload.ptr + at, sizeof len);
        at += sizeof len;
        cell[i] = (Str){payload.ptr + at, len};
        at += len;
    }
    CHECK(at == payload.len);
}

static Err sort_file(RowReader *r, Ctx *ctx)
{
    int64_t line_no = 0;
    bool more = false;
    for (;;) {
        TRY(pull_row(r, ctx, &line_no, &more));
        if (!more)
            break;
        encode(r, line_no);
        TRY(intake_sort_add(r->sorter, ctx, buf_str(&r->key), buf_str(&r->payload)));
    }
    r->sorted = true;
    return intake_sort_finish(r->sorter, ctx);
}

static Err next_record(RowReader *r, Ctx *ctx, Record *out, bool *more)
{
    int64_t line_no = 0;
    SortedRow row;
    if (r->sorter == NULL) {
        TRY(pull_row(r, ctx, &line_no, more));
        if (!*more)
            return ERR_OK;
        encode(r, line_no);
        decode(r, buf_str(&r->key), buf_str(&r->payload), r->cell, out);
        return ERR_OK;
    }
    if (!r->sorted)
        TRY(sort_file(r, ctx));
    TRY(intake_sort_next(r->sorter, ctx, &row, more));
    if (*more)
        decode(r, row.key, row.payload, r->cell, out);
    return ERR_OK;
}

/* Keeps a record that belongs to the next group. */
static void hold(RowReader *r, const Record *rec)
{
    buf_clear(&r->held);
    buf_add(&r->held, rec->key);
    for (size_t i = 0; i < r->slots; i++)
        buf_add(&r->held, rec->cell[i]);
    CHECK(!r->held.overflowed);
    size_t at = rec->key.len;
    for (size_t i = 0; i < r->slots; i++) {
        r->ahead_cell[i] = (Str){r->held.ptr + at, rec->cell[i].len};
        at += rec->cell[i].len;
    }
    r->ahead = (Record){{r->held.ptr, rec->key.len}, rec->line_no, r->ahead_cell};
    r->has_ahead = true;
}

/* ---- fields ---- */

/* Evaluates `exprs` over one row's cells; value[] is by field index (attributes: by place).
 * False, with a reject written, at the first that fails. */
static Err eval_all(RowReader *r, Ctx *ctx, IntakeExprs exprs, const Bound *bound,
                    const Record *rec, IntakeValue *value, bool *good)
{
    const bool attributes = exprs.expr == r->file->attributes.expr;
    *good = true;
    for (size_t i = 0; i < exprs.count; i++) {
        const IntakeExpr *e = &exprs.expr[i];
        bool noise = false;
        const IntakeWhy why =
            intake_eval(r->group, e, slots_of(&bound[i]), rec->cell, (int)r->map->exponent, &noise,
                        &value[attributes ? i : e->index]);
        r->stats.noise += noise;
        if (why.reason == NULL)
            continue;
        *good = false;
        return reject(r, ctx, rec->line_no, column_name(r, e, &bound[i]), why);
    }
    return ERR_OK;
}

static bool has_key(const IntakeTarget *t, const IntakeValue *value)
{
    bool needed = false;
    for (size_t i = 0; i < t->fields; i++) {
        if (t->field[i].need != INTAKE_KEY)
            continue;
        if (value[i].present)
            return true;
        needed = true;
    }
    return !needed;
}

/* The target's own fields and the attributes, from one row. */
static Err eval_head(RowReader *r, Ctx *ctx, const Record *rec, IntakeRow *row, bool *good)
{
    const IntakeMapFile *f = r->file;
    IntakeValue *value = ARENA_ARRAY(r->group, IntakeValue, f->target->fields);
    IntakeValue *attribute = ARENA_ARRAY(r->group, IntakeValue, f->attributes.count);
    row->value = value;
    row->attribute = attribute;
    row->line_no = rec->line_no;
    TRY(eval_all(r, ctx, f->fields, r->field_slots, rec, value, good));
    if (*good)
        TRY(eval_all(r, ctx, f->attributes, r->attribute_slots, rec, attribute, good));
    if (!*good || has_key(f->target, value))
        return ERR_OK;
    *good = false;
    return reject(
        r, ctx, rec->line_no, (Str){NULL, 0},
        (IntakeWhy){"intake.no_key", "nothing says which one this row is about", (Str){NULL, 0}});
}

static Err next_single(RowReader *r, Ctx *ctx, IntakeRow *row, bool *more)
{
    for (;;) {
        Record rec = {.cell = r->cell};
        TRY(pull_row(r, ctx, &rec.line_no, more));
        if (!*more)
            return ERR_OK;
        arena_reset(r->group);
        r->ordinal++;
        bool good = false;
        TRY(eval_head(r, ctx, &rec, row, &good));
        if (good)
            return ERR_OK;
        r->stats.rejected++;
    }
}

/* ---- groups ---- */

static bool value_eq(const IntakeValue *a, const IntakeValue *b)
{
    return a->present == b->present && str_eq(a->text, b->text);
}

/* All rows of a group must agree on what is not a line. */
static Err check_same(RowReader *r, Ctx *ctx, const Record *rec, const IntakeRow *head, bool *good)
{
    const IntakeMapFile *f = r->file;
    IntakeRow again;
    TRY(eval_head(r, ctx, rec, &again, good));
    for (size_t i = 0; i < f->fields.count && *good; i++) {
        const size_t at = f->fields.expr[i].index;
        if (value_eq(&head->value[at], &again.value[at]))
            continue;
        *good = false;
        TRY(reject(r, ctx, rec->line_no, column_name(r, &f->fields.expr[i], &r->field_slots[i]),
                   (IntakeWhy){"intake.group_differs", "rows of one group differ here",
                               again.value[at].text}));
    }
    return ERR_OK;
}

static Err add_line(RowReader *r, Ctx *ctx, const Record *rec, bool *good)
{
    const size_t bytes = r->file->target->line_fields * sizeof(IntakeValue);
    IntakeValue value[INTAKE_FIELDS_MAX] = {0};
    TRY(eval_all(r, ctx, r->file->lines, r->line_slots, rec, value, good));
    if (*good)
        buf_add(&r->lines, (Str){(const char *)value, bytes});
    return ERR_OK;
}

/* One more row of the group whose first gave `head`. */
static Err add_to_group(RowReader *r, Ctx *ctx, const Record *rec, IntakeRow *head)
{
    const bool first = ++r->group_rows == 1;
    if (!first && r->file->lines.count == 0) {
        r->stats.folded++;
        return ERR_OK;
    }
    if (r->group_rows > INTAKE_GROUP_ROWS_MAX || arena_used_bytes(r->group) > GROUP_BYTES_MAX) {
        if (!r->group_bad)
            TRY(reject(r, ctx, rec->line_no, (Str){NULL, 0},
                       (IntakeWhy){"intake.group_too_large", "more than 100,000 rows in one group",
                                   (Str){NULL, 0}}));
        r->group_bad = true;
        return ERR_OK;
    }
    bool good = true;
    if (first)
        TRY(eval_head(r, ctx, rec, head, &good));
    else if (!r->group_bad)
        TRY(check_same(r, ctx, rec, head, &good));
    r->group_bad = r->group_bad || !good;
    if (r->file->lines.count > 0)
        TRY(add_line(r, ctx, rec, &good));
    r->group_bad = r->group_bad || !good;
    return ERR_OK;
}

/* Reads one whole group.  *more = false when there is none. */
static Err read_group(RowReader *r, Ctx *ctx, IntakeRow *row, bool *more)
{
    Record rec = r->ahead;
    *more = true;
    if (!r->has_ahead)
        TRY(next_record(r, ctx, &rec, more));
    if (!*more)
        return ERR_OK;
    arena_reset(r->group);
    buf_clear(&r->lines);
    r->group_rows = 0;
    r->group_bad = false;
    const Str key = arena_copy(r->group, rec.key);
    while (*more && str_eq(rec.key, key)) {
        r->has_ahead = false;
        TRY(add_to_group(r, ctx, &rec, row));
        TRY(next_record(r, ctx, &rec, more));
    }
    if (*more)
        hold(r, &rec);
    *more = true;
    return ERR_OK;
}

/* So that nobody misses the good rows that went with a bad one. */
static Err reject_group(RowReader *r, Ctx *ctx, const IntakeRow *row)
{
    r->stats.rejected += r->file->lines.count > 0 ? r->group_rows : 1;
    if (r->group_rows == 1 || r->file->lines.count == 0)
        return ERR_OK;
    return reject(r, ctx, row->line_no, r->file->group_by.item[0],
                  (IntakeWhy){"intake.group_rejected",
                              "a row of this group is bad, so none of it was imported",
                              (Str){NULL, 0}});
}

static Err next_group(RowReader *r, Ctx *ctx, IntakeRow *row, bool *more)
{
    for (;;) {
        TRY(read_group(r, ctx, row, more));
        if (!*more)
            return ERR_OK;
        r->ordinal++;
        if (!r->group_bad)
            break;
        TRY(reject_group(r, ctx, row));
    }
    if (r->file->lines.count > 0) {
        row->line = (const IntakeValue *)(void *)r->lines.ptr;
        row->lines = (size_t)r->group_rows;
    }
    return ERR_OK;
}

Err intake_rows_next(RowReader *r, Ctx *ctx, IntakeRow *row, bool *more)
{
    *row = (IntakeRow){0};
    TRY(r->file->group_by.count > 0 ? next_group(r, ctx, row, more)
                                    : next_single(r, ctx, row, more));
    if (!*more)
        return ERR_OK;
    row->ordinal = r->ordinal;
    r->stats.rows++;
    r->stats.lines += (int64_t)row->lines;
    return ERR_OK;
}

/* ---- open, close ---- */

static Err open_all(RowReader *r, Ctx *ctx, const char *path)
{
    TableOptions table = r->file->table;
    table.temp_dir = r->options.temp_dir;
    table.chunk_bytes = r->options.chunk_bytes;
    TRY(intake_table_open(ctx, path, &table, &r->table));
    TRY(bind(r, ctx));
    const size_t memory = r->options.sort_bytes == 0 ? SORT_BYTES : r->options.sort_bytes;
    if (r->file->group_by.count > 0 && !r->file->sorted)
        r->sorter = intake_sort_new(r->options.temp_dir, memory, r->file->lines.count == 0);
    return ERR_OK;
}

Err intake_rows_open(Ctx *ctx, const IntakeMap *map, const IntakeMapFile *file, const char *path,
                     const IntakeRowsOptions *options, RowReader **out)
{
    Arena *arena = arena_new(64 * 1024);
    RowReader *r = ARENA_NEW(arena, RowReader);
    *r = (RowReader){.arena = arena, .map = map, .file = file, .options = *options};
    const char *slash = strrchr(path, '/');
    r->file_name = arena_copy(arena, str_of(slash == NULL ? path : slash + 1));
    r->group = arena_new(64 * 1024);
    r->key = BUF_MAX(2 * TABLE_ROW_BYTES_MAX);
    r->payload = BUF_MAX(2 * TABLE_ROW_BYTES_MAX);
    r->held = BUF_MAX(4 * TABLE_ROW_BYTES_MAX);
    r->lines = BUF_MAX((size_t)INTAKE_GROUP_ROWS_MAX * INTAKE_FIELDS_MAX * sizeof(IntakeValue));
    r->skip_hits = ARENA_ARRAY(arena, int64_t, file->skip.count);
    r->count_hits = ARENA_ARRAY(arena, int64_t, file->count.count);
    const Err err = open_all(r, ctx, path);
    if (err != ERR_OK) {
        intake_rows_close(r);
        return err;
    }
    *out = r;
    return ERR_OK;
}

IntakeStats intake_rows_stats(const RowReader *r)
{
    IntakeStats s = r->stats;
    s.folded += r->sorter == NULL ? 0 : intake_sort_folded(r->sorter);
    s.skip_hits = r->skip_hits;
    s.count_hits = r->count_hits;
    return s;
}

void intake_rows_progress(const RowReader *r, int64_t *read_bytes, int64_t *size_bytes)
{
    intake_table_progress(r->table, read_bytes, size_bytes);
}

void intake_rows_close(RowReader *r)
{
    if (r == NULL)
        return;
    intake_table_close(r->table);
    intake_sort_free(r->sorter);
    buf_free(&r->key);
    buf_free(&r->payload);
    buf_free(&r->held);
    buf_free(&r->lines);
    arena_free(r->group);
    arena_free(r->arena);
}
