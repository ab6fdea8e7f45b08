/*
 * engine/merge_inside.h -- what a merge's files share.  Private to merge*.c.
 *
 *   merge.c        rows into one order, their keys and columns
 *   merge_plan.c   which lists and columns there will be
 *   merge_items.c  what rows have several of, in the order of the rows
 *
 * Owns: nothing but what engine/merge.h says.  Threads: one merge each.
 */
#pragma once

#include "engine/core/prop_index.h"
#include "engine/merge.h"
#include "engine/scan/filter.h"

typedef struct OutColumn {
    PartColumnPlan plan;
    uint64_t values; /* how many rows have one, before it is known whether all do */
} OutColumn;

/* Rows of one list of a part that go to one list of the new part, in the round under way. */
typedef struct Source {
    struct Source *next;
    Part *part;
    const PartList *list;
    uint32_t first, count;
    uint32_t at; /* their place among the values that are read for the new list */
    /* of the column that is written: NULL = none of them has a value; and how much more is stored there */
    const PartColumn *column;
    uint32_t more;
} Source;

typedef struct OutList {
    uint32_t event;
    uint64_t rows;
    OutColumn *columns;
    uint32_t column_count, column_cap;
    PropIndex index;
    Source *sources, *last_source; /* of the round, by their place */
    uint32_t count;                /* rows of the round */
    uint32_t *keys;                /* of the block so far; malloc */
    uint32_t key_count, key_cap;
    PropIndex items_index;
    /* of what its rows have several of; in order once they are planned */
    uint32_t first_items, items_count;
} OutList;

/* What the rows of one new list have in one list property. */
typedef struct OutItems {
    uint32_t of; /* which list */
    uint32_t prop;
    OutList rows; /* the items: no keys and no sources */
} OutItems;

/* Rows of a part in order: what orders them, where they come from and where they go. */
typedef struct Window {
    /* place of the block among those that are merged together, key, milliseconds, number of the part: of one time those of
     * the earlier part come first, and equal ones, which are of one part, in its order */
    uint64_t *orders;
    uint32_t *rows;        /* of the list; then the place among the values that are read */
    uint8_t *from, *lists; /* numbers of the lists */
    uint32_t first, end;   /* of the rows: what waits */
    uint32_t written;      /* so many of those before have gone where they go */
} Window;

/* Rows of a list that are of one block. */
typedef struct BlockRows {
    uint32_t block; /* place among those that are merged together */
    uint32_t end;   /* of the list's rows of all of them */
} BlockRows;

/* A list's rows of the blocks that are merged together. */
typedef struct InList {
    uint32_t cursor; /* of the directory */
    uint32_t first, count;
    uint32_t next; /* that was not taken into the window */
    uint32_t *keys;
    BlockRows *blocks; /* that it has rows of; the one that `next` is of comes first */
    uint32_t to;       /* out list; of PART_REST the row's event says it */
} InList;

typedef struct InPart {
    Part *part;
    InList *lists;
    const uint32_t **moved; /* by block: moved_block(); NULL: of none of them */
    uint32_t sequence_cursor;
    uint32_t first, left; /* of the blocks' sequence: what the window has not taken */
    Window window;
    uint64_t last_order; /* of the rows so far: they ascend, or the part is damaged */
} InPart;

typedef struct Merge {
    Ctx *ctx;
    Arena *life;      /* of the whole merge */
    Arena *block;     /* of the blocks that are merged together */
    Arena *round;     /* of some of their rows */
    uint32_t *blocks; /* these, ascending */
    uint32_t block_count;
    uint32_t open_block; /* place of the one whose keys come */
    InPart *in;
    uint32_t in_count;
    OutList *out;
    uint32_t out_count;
    OutItems *items; /* by list, then property, once they are planned */
    uint32_t items_count, items_cap;
    int64_t *item_values; /* merge_items.c: on their way */
    uint32_t *list_of;    /* event -> out list */
    uint32_t event_max;
    uint32_t window_rows;
    int part_bits; /* of a number of a part */
    uint64_t bytes_max;
    FilterScratch scratch;
    PartBuilder *builder;
    const Moved *moved;
    const atomic_bool *stop;
    bool exact;
} Merge;

/* ---- merge.c ------------------------------------------------------------------------------------ */

/* Sound checksums do not help when the bytes make no sense. */
MUST_USE Err merge_damaged(const Merge *m, Part *p);

/* All values of one column in those rows.  NULL column: none has one. */
MUST_USE Err merge_read_column(Merge *m, const FilterRows *r, const PartColumn *c, int scale,
                               int64_t *out);

/* The event name of each of those rows. */
MUST_USE Err merge_read_events(Merge *m, const FilterRows *r, int64_t *out);

/* CONFLICT "events.stopped". */
MUST_USE Err merge_go_on(const Merge *m);

/* ---- merge_plan.c ------------------------------------------------------------------------------- */

/* Looks at what the parts hold, and makes the builder.  TOO_LARGE "events.merge". */
MUST_USE Err merge_plan(Merge *m);

/* A value of a shared list or its items, and where it goes. */
typedef void (*MergeValueFn)(Merge *m, OutList *to, const PartColumn *c, int64_t value);

/* ---- merge_items.c ------------------------------------------------------------------------------ */

/* What the rows of the new list number `list` have in `prop`; made when there is none yet. */
OutItems *merge_items_for(Merge *m, uint32_t list, uint32_t prop);

/* Calls `fn` for each value of the items of these rows of a shared list; `count`: the items are not counted yet. */
MUST_USE Err merge_rest_items(Merge *m, const FilterRows *r, const int64_t *events, MergeValueFn fn,
                              bool count);

/* All of them are known: puts them into order. */
void merge_arrange_items(Merge *m);

/* Whether the round's rows of a list say soundly how many items they have. */
MUST_USE Err merge_check_items(Merge *m, const OutList *l);

/* The items of the round's rows of a list: row i has places[i] among those that are read. */
MUST_USE Err merge_write_items(Merge *m, const OutList *l, const uint32_t *places);
