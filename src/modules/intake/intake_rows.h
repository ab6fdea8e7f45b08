/*
 * modules/intake/intake_rows.h -- a table and its map entry, to rows of typed fields.
 *
 * Rows that belong to one order (or template) are brought together by group_by, whatever their order
 * in the file: by an external sort, so memory stays bounded.
 * Promises: every row of the file is in exactly one of: handed over (alone, or as a line), skipped by
 *           a condition, folded into an earlier row of its group, rejected with a reason.  The same
 *           file and map give the same rows in the same order with the same `ordinal`: a resumed run
 *           reads all rows again (rejects and counts are then whole) and does nothing for those up
 *           to the ordinal it had reached.
 * Owns:     the table, the sorter, the current row's memory.  Threads: one at a time.
 */
#pragma once

#include "modules/intake/intake_eval.h"
#include "modules/intake/intake_reject.h"

enum { INTAKE_GROUP_ROWS_MAX = 100000 };

typedef struct IntakeRow {
    const IntakeValue *value;     /* by the target's index: INTAKE_ORDER_NUMBER, ... */
    const IntakeValue *attribute; /* in the order of the entry's `attributes` */
    const IntakeValue *line;      /* line i, field f at [i * target->line_fields + f] */
    size_t lines;
    int64_t line_no; /* in the file, of the row (the first of its group) */
    int64_t ordinal; /* from 1, rejected rows and groups counted too */
} IntakeRow;         /* valid until the next call */

typedef struct IntakeStats {
    int64_t read;              /* rows of the file */
    int64_t skipped;           /* by `skip` conditions */
    int64_t folded;            /* rows of a group without lines, behind its first */
    int64_t rejected;          /* rows; of a group with one bad row, all of them */
    int64_t rows;              /* handed over */
    int64_t lines;             /* handed over with them */
    int64_t noise;             /* amounts with floating-point noise */
    const int64_t *skip_hits;  /* by the entry's `skip` */
    const int64_t *count_hits; /* by the entry's `count`; only rows that were not skipped */
} IntakeStats;

typedef struct IntakeRowsOptions {
    const char *temp_dir;  /* for sorting and spooling; NULL = /tmp */
    size_t sort_bytes;     /* memory for sorting; 0 = 64 MB */
    size_t chunk_bytes;    /* see TableOptions */
    IntakeRejectFn reject; /* called for each reject; may be NULL */
    void *reject_arg;
    Err (*tick)(void *arg,
                Ctx *ctx); /* every 4,096 rows read, for progress; an error stops; or NULL */
    void *tick_arg;
} IntakeRowsOptions;

typedef struct RowReader RowReader;

/* `map` must outlive the reader.  Errors: those of intake_table_open(); INVALID
 * "intake.column_missing" (the hint names the column, the map's line and the nearest column),
 * "intake.column_twice". */
MUST_USE Err intake_rows_open(Ctx *ctx, const IntakeMap *map, const IntakeMapFile *file,
                              const char *path, const IntakeRowsOptions *options, RowReader **out);

/* The next row, or *more = false.  The first call on an unsorted group_by reads the whole file.
 * Errors: those of reading and sorting; whatever `reject` and `tick` return. */
MUST_USE Err intake_rows_next(RowReader *rows, Ctx *ctx, IntakeRow *row, bool *more);

IntakeStats intake_rows_stats(const RowReader *rows);
/* Of reading: an unsorted group_by has read everything before its first row comes. */
void intake_rows_progress(const RowReader *rows, int64_t *read_bytes, int64_t *size_bytes);
void intake_rows_close(RowReader *rows); /* NULL is nothing to do */
