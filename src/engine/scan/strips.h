/*
 * engine/scan/strips.h -- rows of one select, list by list, in strips that reach over several blocks: for what needs
 * neither a person's rows together nor an order between event names.
 *
 * A strip has thousands of rows, so that what is looked up for it costs nothing per row.  It says which rows fulfil
 * the select's names and filter.  Of the select's range only parts that lie outside are left out: whoever asks looks
 * at the keys himself, and may do without them in parts whose rows need no look.
 *
 * Owns: a Strips its buffers.  Threads: one Strips per thread; the view is shared.
 */
#pragma once

#include "engine/scan/scan.h"

enum { STRIP_ROWS = 8192 };

/* Room for values of that many bytes, of the rows of a strip, as kernels want it. */
void *strip_room(size_t size);

/* Rows from this one to the next cut's are of one block. */
typedef struct StripCut {
    uint32_t row, block;
} StripCut;

/* Where the rows are items: their events. */
typedef struct StripEvents {
    FilterRows at;
    const uint32_t *of; /* row -> row of its event, in `at` */
    int64_t *room;      /* for values of the events */
} StripEvents;

typedef struct Strip {
    FilterRows at; /* count: at most STRIP_ROWS; without keys where none were asked for */
    uint32_t part; /* of the view's parts */
    const uint64_t
        *set; /* rows that match, as in kernels.h, without bits behind them; NULL = all */
    const StripCut *cuts; /* by block; one more behind them says where the last ends */
    uint32_t cut_count;
    const StripEvents *events; /* NULL: the rows are events */
} Strip;

typedef struct StripAsk {
    const ScanSelect *select;
    const bool *keys;       /* of each part of the view: its rows come with their keys */
    bool by_block;          /* a strip is of one block, and comes with its keys */
    const ScanItems *items; /* NULL = the rows are events */
} StripAsk;

typedef struct Strips Strips;

Strips *strips_new(const ScanView *view, const StripAsk *ask); /* what is asked must outlive it */
void strips_free(Strips *s);                                   /* NULL is nothing to do */

/* The strips of blocks [from, to).  Each is valid until `fn` returns.  Blocks that ascend from call to call are found at
 * once, others by a search in every list. */
typedef void (*StripFn)(const Strip *strip, void *arg);
void strips_read(Strips *s, uint32_t from, uint32_t to, StripFn fn, void *arg);

/* The column of the rows, or of their events; NULL: none of them has it. */
const PartColumn *strip_column(const Strip *strip, ScanProp prop);

/* The rows of a set of `n`, NULL = all of them, ascending, to `out`, which has room for a strip; how many. */
uint32_t strip_pick(const uint64_t *set, uint32_t n, uint32_t *out);

/* Whether all rows have the same values of these properties, as their columns say. */
bool strip_is_alike(const Strip *strip, const ScanProp *props, uint32_t count);

/* Values of the first `n` rows, matching or not, which may be those of their events.  False: damaged. */
MUST_USE bool strip_values(const Strip *strip, uint32_t n, ScanProp prop, FilterScratch *scratch,
                           int64_t *out);

/* Rows that could not be read because of damage, so far. */
uint64_t strips_damaged(const Strips *s);
