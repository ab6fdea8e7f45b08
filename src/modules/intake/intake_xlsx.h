/*
 * modules/intake/intake_xlsx.h -- rows of one sheet of an xlsx workbook, streamed.
 *
 * A number is the text that stands in the file; a number with a date style becomes "2017-03-03",
 * with a date-and-time style "2017-03-03T14:06:53", with a time style "14:06:53"; booleans are
 * "true" and "false"; formulas give their stored result; errors their text ("#N/A").
 * Limits: 4 GB of XML in all, and no part may inflate to more than 200 times its size (once past
 * 16 MB); 4 million shared strings, spooled to a temporary file; no DTD, so no entities.
 * Owns: the archive, the spool.  Threads: one at a time.
 */
#pragma once

#include "modules/intake/intake_source.h"

typedef struct XlsxReader XlsxReader;

/* Errors: INVALID "intake.xlsx_broken", "intake.sheet_not_found"; TOO_LARGE "intake.zip_bomb";
 * BUSY "intake.temp_failed". */
MUST_USE Err intake_xlsx_open(Ctx *ctx, const char *path, const TableOptions *options,
                              XlsxReader **out);

/* Fills cell, cells, line_no and problem of `row`. */
MUST_USE Err intake_xlsx_next(XlsxReader *xlsx, Ctx *ctx, TableRow *row, bool *more);

void intake_xlsx_progress(const XlsxReader *xlsx, int64_t *read_bytes, int64_t *size_bytes);
void intake_xlsx_close(XlsxReader *xlsx);
