/*
 * app/terminal.h -- what a person at a terminal sees: aligned tables, bars, progress.
 *
 * Widths are in columns of a terminal: a Chinese character takes two.  Threads: one at a time.
 */
#pragma once

#include "base/arena.h"
#include "base/money.h"

#include <stdio.h>

/* Columns that a text takes; what is no valid UTF-8 counts a column per byte. */
size_t terminal_width(Str text);

/* ---- tables -------------------------------------------------------------------------------------- */

enum { TABLE_COLUMNS = 12 };

typedef struct Table {
    Arena *arena;
    size_t columns;
    bool right[TABLE_COLUMNS]; /* aligned to the right: numbers */
    Str *cell;                 /* row by row, the heading first */
    size_t cells, room;
} Table;

/* `heading`: columns separated by '|'; one that starts with '>' is aligned to the right. */
Table table_new(Arena *arena, const char *heading);

/* The next cell; rows fill from the left.  Control characters of the text are shown as '?'. */
void table_add(Table *t, Str text);
void table_addf(Table *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void table_add_count(Table *t, int64_t n); /* 47243 as 47,243 */
void table_print(Table *t, FILE *to);

/* "47,243", NUL-terminated as the next two are: for printf(). */
Str terminal_count(Arena *arena, int64_t n);

/* "233,935.24" */
Str terminal_money(Arena *arena, int64_t fen, int exponent);

/* "16.56 %" of basis points. */
Str terminal_rate(Arena *arena, int64_t bps);

/* A bar of `part` of `whole` that is `columns` wide, in eighths of a column. */
Str terminal_bar(Arena *arena, int64_t part, int64_t whole, size_t columns);

/* ---- progress ------------------------------------------------------------------------------------ */

/* On a terminal one line that is written again and again, otherwise a line every few seconds. */
typedef struct Progress {
    FILE *to;
    bool terminal;
    int64_t start_us, shown_us;
} Progress;

Progress progress_start(FILE *to);

/* `what` now; `rows` since the start, `permille` of the work is done. */
void progress_show(Progress *p, const char *what, int64_t rows, int64_t permille);
void progress_end(Progress *p); /* clears the line */
