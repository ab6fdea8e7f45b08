/*
 * modules/intake/intake_source.c -- what all formats share: telling them apart, the header, ragged
 * rows, row numbers.
 */
#include "modules/intake/intake_source.h"

#include "modules/intake/intake_csv.h"
#include "modules/intake/intake_xlsx.h"
#include <fcntl.h>
#include <unistd.h>

struct TableSource {
    Arena *arena;
    CsvReader *csv; /* exactly one of the two is open */
    XlsxReader *xlsx;
    Str *column;
    size_t columns;
    int64_t row_no; /* of the row handed over last */
    Str padded[TABLE_COLUMNS_MAX];
};

static const struct {
    const char *reason;
    const char *sentence;
} PROBLEMS[TABLE_PROBLEM_COUNT] = {
    [TABLE_ROW_GOOD] = {"", ""},
    [TABLE_ROW_RAGGED] = {"intake.ragged", "the row has more or fewer cells than the header"},
    [TABLE_ROW_QUOTE] = {"intake.quote",
                         "text follows a closing quote, or a quote is never closed"},
    [TABLE_ROW_TOO_LONG] = {"intake.too_long", "a cell is over 64 KB or the row over 4 MB"},
    [TABLE_ROW_TOO_WIDE] = {"intake.too_wide", "the row has more than 512 cells"},
    [TABLE_ROW_NUL] = {"intake.nul", "the row holds a NUL byte"},
    [TABLE_ROW_ENCODING] = {"intake.encoding",
                            "the row holds bytes that are not text in the file's encoding"},
};

const char *intake_problem_reason(TableProblem problem)
{
    return PROBLEMS[problem].reason;
}

const char *intake_problem_sentence(TableProblem problem)
{
    return PROBLEMS[problem].sentence;
}

static Err open_reader(TableSource *t, Ctx *ctx, const char *path, const TableOptions *options)
{
    char magic[4] = {0};
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(ctx, ERR_NOT_FOUND, "intake.file_not_found", "cannot open %s", path);
    const ssize_t n = pread(fd, magic, sizeof magic, 0);
    (void)close(fd);
    const Str head = {magic, n < 0 ? 0 : (size_t)n};
    if (str_starts_with(head, STR("PK\x03\x04")))
        return intake_xlsx_open(ctx, path, options, &t->xlsx);
    if (str_starts_with(head, STR("\xd0\xcf\x11\xe0")))
        return fail_field(ctx, "", "intake.file_unreadable",
                          "this is an old .xls workbook: save it as .xlsx or CSV UTF-8");
    return intake_csv_open(ctx, path, options, &t->csv);
}

static Err next_raw(TableSource *t, Ctx *ctx, TableRow *row, bool *more)
{
    return t->csv != NULL ? intake_csv_next(t->csv, ctx, row, more)
                          : intake_xlsx_next(t->xlsx, ctx, row, more);
}

static Err read_header(TableSource *t, Ctx *ctx, const TableOptions *options)
{
    TableRow row = {.cell = options->columns, .cells = options->columns_count};
    bool more = true;
    const int64_t above = t->xlsx == NULL ? 0 : options->skip_lines; /* the CSV reader did it */
    for (int64_t i = 0; i < above && more; i++)
        TRY(next_raw(t, ctx, &row, &more));
    if (options->columns != NULL)
        row = (TableRow){.cell = options->columns, .cells = options->columns_count};
    else if (more)
        TRY(next_raw(t, ctx, &row, &more));
    if (!more)
        return fail_field(ctx, "", "intake.empty", "the file has no header row");
    if (row.problem != TABLE_ROW_GOOD)
        return fail_field(ctx, "", "intake.header_bad", "the header row cannot be read: %s",
                          intake_problem_sentence(row.problem));
    CHECK(row.cells <= TABLE_COLUMNS_MAX);
    t->column = ARENA_ARRAY(t->arena, Str, row.cells);
    t->columns = row.cells;
    for (size_t i = 0; i < row.cells; i++)
        t->column[i] = arena_copy(t->arena, str_trim(row.cell[i]));
    return ERR_OK;
}

Err intake_table_open(Ctx *ctx, const char *path, const TableOptions *options, TableSource **out)
{
    Arena *arena = arena_new(sizeof(TableSource) + 4096);
    TableSource *t = ARENA_NEW(arena, TableSource);
    t->arena = arena;
    Err err = open_reader(t, ctx, path, options);
    if (err == ERR_OK)
        err = read_header(t, ctx, options);
    if (err != ERR_OK) {
        intake_table_close(t);
        return err;
    }
    *out = t;
    return ERR_OK;
}

const Str *intake_table_columns(const TableSource *t, size_t *count)
{
    *count = t->columns;
    return t->column;
}

/* A sheet leaves out empty cells at the end of a row; that is not ragged. */
static void pad_row(TableSource *t, TableRow *row)
{
    if (t->csv != NULL || row->cells >= t->columns)
        return;
    memset(t->padded, 0, sizeof t->padded);
    memcpy(t->padded, row->cell, row->cells * sizeof(Str));
    row->cell = t->padded;
    row->cells = t->columns;
}

Err intake_table_next(TableSource *t, Ctx *ctx, TableRow *row, bool *more)
{
    TRY(next_raw(t, ctx, row, more));
    if (!*more)
        return ERR_OK;
    row->row_no = ++t->row_no;
    if (row->problem != TABLE_ROW_GOOD)
        return ERR_OK;
    pad_row(t, row);
    if (row->cells != t->columns)
        row->problem = TABLE_ROW_RAGGED;
    return ERR_OK;
}

Err intake_table_skip(TableSource *t, Ctx *ctx, int64_t row_no)
{
    TableRow row;
    bool more = true;
    while (t->row_no < row_no && more)
        TRY(intake_table_next(t, ctx, &row, &more));
    return ERR_OK;
}

void intake_table_progress(const TableSource *t, int64_t *read_bytes, int64_t *size_bytes)
{
    if (t->csv != NULL)
        intake_csv_progress(t->csv, read_bytes, size_bytes);
    else
        intake_xlsx_progress(t->xlsx, read_bytes, size_bytes);
}

void intake_table_close(TableSource *t)
{
    if (t == NULL)
        return;
    intake_csv_close(t->csv);
    intake_xlsx_close(t->xlsx);
    arena_free(t->arena);
}
