/*
 * modules/intake/intake_source.h -- one way to read a table, whatever file it comes in: CSV in UTF-8
 * or GB18030, plain or gzip, or a sheet of an xlsx workbook.
 *
 * Owns:     the open file and its buffers, until intake_table_close().
 * Promises: memory is bounded whatever the file holds; a bad row is handed over with its problem and
 *           reading goes on; cells of a good row are UTF-8 without U+0000; the same table gives the
 *           same rows in every format, encoding and chunk size.
 * Depends:  base.          Threads: one at a time per source; sources share nothing.
 */
#pragma once

#include "base/ctx.h"

enum {
    TABLE_CELL_BYTES_MAX = 64 * 1024,
    TABLE_COLUMNS_MAX = 512,
    TABLE_ROW_BYTES_MAX = 4 * 1024 * 1024,
};

typedef enum TableEncoding {
    TABLE_ENCODING_DETECT,
    TABLE_ENCODING_UTF8,
    TABLE_ENCODING_GB18030,
} TableEncoding;

typedef struct TableOptions {
    TableEncoding encoding; /* CSV only */
    char delimiter;         /* CSV only; 0 = whichever of , ; tab | fits the first rows */
    int64_t skip_lines;     /* CSV lines, or non-empty sheet rows, above the header */
    const Str *columns;     /* names for a file without a header row; NULL = it has one */
    size_t columns_count;
    Str sheet;            /* xlsx: name of the sheet; empty = by sheet_index */
    int64_t sheet_index;  /* xlsx: from 1; 0 = the first */
    const char *temp_dir; /* xlsx: where shared strings are spooled; NULL = /tmp */
    size_t chunk_bytes;   /* the most that one read takes from the file; 0 = 64 KB */
} TableOptions;

/* What is wrong with a row; such a row is to be rejected, its cells are only a help to the reader of
 * the rejects file. */
typedef enum TableProblem {
    TABLE_ROW_GOOD,
    TABLE_ROW_RAGGED,   /* "intake.ragged": more or fewer cells than the header */
    TABLE_ROW_QUOTE,    /* "intake.quote": text after a closing quote, or a quote never closed */
    TABLE_ROW_TOO_LONG, /* "intake.too_long": a cell over 64 KB or a row over 4 MB */
    TABLE_ROW_TOO_WIDE, /* "intake.too_wide": more than 512 cells */
    TABLE_ROW_NUL,      /* "intake.nul": a NUL byte */
    TABLE_ROW_ENCODING, /* "intake.encoding": bytes that are not text in the file's encoding */
    TABLE_PROBLEM_COUNT
} TableProblem;

/* The stable reason code and the sentence for a person. */
const char *intake_problem_reason(TableProblem problem);
const char *intake_problem_sentence(TableProblem problem);

typedef struct TableRow {
    const Str *cell; /* valid until the next call */
    size_t cells;    /* == columns of the table when the row is good */
    int64_t row_no;  /* from 1, header not counted: the position token, see intake_table_skip() */
    int64_t line_no; /* physical line where the row starts, or the sheet's row number; from 1 */
    TableProblem problem;
} TableRow;

typedef struct TableSource TableSource;

/*
 * Opens a file and reads its header.  What it is, is told by its first bytes, not by its name.
 * Errors: NOT_FOUND "intake.file_not_found"; INVALID "intake.file_unreadable", "intake.empty",
 *         "intake.header_bad", "intake.utf16", "intake.gzip_broken", "intake.xlsx_broken",
 *         "intake.sheet_not_found"; TOO_LARGE "intake.zip_bomb".
 */
MUST_USE Err intake_table_open(Ctx *ctx, const char *path, const TableOptions *options,
                               TableSource **out);

/* Column names, trimmed; valid until close. */
const Str *intake_table_columns(const TableSource *table, size_t *count);

/* The next row, or *more = false at the end.  Empty lines are passed over. */
MUST_USE Err intake_table_next(TableSource *table, Ctx *ctx, TableRow *row, bool *more);

/* Resumes behind row `row_no` of an earlier run over the same file: reads forward without handing
 * rows over. */
MUST_USE Err intake_table_skip(TableSource *table, Ctx *ctx, int64_t row_no);

/* Progress in bytes, read so far and in all: of the (compressed) file; of an xlsx, of the sheet. */
void intake_table_progress(const TableSource *table, int64_t *read_bytes, int64_t *size_bytes);

void intake_table_close(TableSource *table); /* NULL is nothing to do */
