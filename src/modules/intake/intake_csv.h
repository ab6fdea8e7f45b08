/*
 * modules/intake/intake_csv.h -- rows of a CSV file: RFC 4180 and what real exports make of it.
 *
 * Quoted cells may hold delimiters, newlines and doubled quotes; lines end in LF or CRLF, the last
 * one need not; a quote inside an unquoted cell is an ordinary character; empty lines are no rows.
 * Owns: the TextSource and the row buffer.  Threads: one at a time.
 */
#pragma once

#include "modules/intake/intake_source.h"

typedef struct CsvReader CsvReader;

/* Errors: those of intake_table_open(). */
MUST_USE Err intake_csv_open(Ctx *ctx, const char *path, const TableOptions *options,
                             CsvReader **out);

/* Fills cell, cells, line_no and problem of `row`. */
MUST_USE Err intake_csv_next(CsvReader *csv, Ctx *ctx, TableRow *row, bool *more);

void intake_csv_progress(const CsvReader *csv, int64_t *read_bytes, int64_t *size_bytes);
void intake_csv_close(CsvReader *csv);

/* Appends one cell, quoted when it has to be; the caller puts delimiters and newlines. */
void intake_csv_put_cell(Buf *out, Str cell, char delimiter);
