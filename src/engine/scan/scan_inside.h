/*
 * engine/scan/scan_inside.h -- what the files of the scan share.  Private to scan*.c.
 *
 *   scan.c        the rows of a part and block: decoded, filtered, in their order; loose rows
 *   scan_pass.c   of a block with very many rows, some at a time
 *   scan_order.c  rows of several parts: whole persons, stretches
 *
 * Owns: nothing but what engine/scan/scan.h says.  Threads: one Scanner each.
 */
#pragma once

#include "engine/core/order.h"
#include "engine/part/weave.h"
#include "engine/scan/overlap.h"
#include "engine/scan/scan.h"

/* What a scan wants of one list. */
typedef struct Wanted {
    uint32_t list;
    uint32_t selects; /* bits: the event name fits */
    uint32_t sure;    /* of them: every row matches, without a look at it */
    uint32_t cursor;
    PartRows rows; /* of the block under way */
    PartKeys keys; /* of them, those behind `done`, with which earlier passes are done */
    uint32_t done;
} Wanted;

typedef struct PartScan {
    Part *part;
    const DeadRows *known; /* moved_known() */
    Wanted *wanted;
    uint32_t wanted_count;
    uint32_t sequence_cursor;
    uint32_t rows;     /* of the block under way, wanted ones */
    WeavePlace woven;  /* behind those of earlier passes */
    bool is_base;      /* the largest of its week */
    uint8_t pick[256]; /* list -> place in `wanted` */
} PartScan;

/* Columns of rows, before they are grouped by person and after. */
typedef struct ScanRows {
    uint32_t count, cap;
    uint16_t *local; /* person in block; before grouping only */
    ScanRow *rows;
    uint16_t *ms;
    uint32_t *events;
    int64_t *values[SCAN_COLUMNS_MAX];
} ScanRows;

/* Rows of a block that are read together: those with keys in [from, to). */
typedef struct ScanPass {
    uint32_t from, to; /* UINT32_MAX = to the end */
    uint32_t rows;
} ScanPass;

/* Room for rows of a part and block in their order. */
typedef struct WovenRoom {
    uint32_t *keys, *bits, *cells;
    uint8_t *lists;
} WovenRoom;

struct Scanner {
    const ScanView *view;
    ScanAsk ask;
    int64_t base_ms;
    PartScan *parts;
    uint32_t part_count;
    uint64_t damaged;
    uint32_t piece; /* of the batches under way */
    bool in_piece;
    ScanPass *passes; /* of the block under way */
    uint32_t pass_count, pass_cap;
    uint32_t next_pass;
    ScanPass pass; /* under way */

    /* of the part under way: rows of all wanted lists, one list behind the other */
    uint32_t cell_cap, list_cap, spare_cap;
    uint32_t *keys, *bits;
    WovenRoom woven, spare;
    uint32_t *cell_events;
    int64_t *cell_ms;
    int64_t *cell_values[SCAN_COLUMNS_MAX];
    uint8_t *mask;
    uint32_t *iota;
    TimedRow *timed; /* of one person, and as much room again */
    uint32_t timed_cap;
    FilterScratch filter;

    ScanRows found, grouped;
    bool needs_bits;      /* of the part under way: some row may not match */
    const uint64_t *dead; /* persons of its block; NULL = none */
    MovedDead last_dead;
    RowSet set;
    bool has_ms;
    bool list_has_ms; /* of the list read last; else its cells are whatever they were */
    Overlap overlap;  /* persons with rows in parts that are not the largest of their week */
    uint32_t from[PART_BLOCK_PERSONS + 1];
    uint32_t batch_from[PART_BLOCK_PERSONS + 1];
    uint32_t persons[PART_BLOCK_PERSONS];
};

/* The rows of one part and block in their order. */
typedef struct Woven {
    uint32_t count;
    const uint32_t *keys;
    const uint32_t *bits; /* the selects of each row; NULL: those of its list */
    const uint8_t *lists; /* place in `wanted`; NULL: all are of `list` */
    uint32_t list;
    const uint32_t *cells; /* where its values are; NULL: nobody asks */
} Woven;

/* ---- scan.c ------------------------------------------------------------------------------------- */

/* Where the parts of the week end that begin at `from`. */
uint32_t scan_end_of_week(const Scanner *s, uint32_t from);

/* Rows of a part and block that are alive, in their order, of the pass under way.  False: there are none. */
MUST_USE bool scan_read_part(Scanner *s, PartScan *p, uint32_t block, Woven *out);

/* Those of the rows that are in the set, in `room`, which may be where they are. */
Woven scan_take_rows(const Woven *w, const uint64_t *set, const WovenRoom *room);

/* Adds those that any select takes to what was found. */
void scan_add_rows(Scanner *s, const PartScan *p, const Woven *w);

/* What second 0 of a part's week is, behind base_ms. */
uint32_t scan_week_second(const Scanner *s, const PartScan *p);

/* Room for `n` rows in s->spare, whatever was in it. */
void scan_reserve_spare(Scanner *s, uint32_t n);

/* That many rows are too many to be put into order. */
bool scan_is_too_much(const Scanner *s, uint64_t rows);

/* Room for `n` rows; what is in them stays. */
void scan_reserve_rows(ScanRows *r, uint32_t n, uint32_t props);
void *scan_longer(void *old, size_t n, size_t size);

/* ---- scan_pass.c -------------------------------------------------------------------------------- */

/* Begins a block of these parts.  Passes end where a person does, or, with a smaller `shift` than PART_SECOND_BITS, after
 * 2 to that many seconds of a week, which then is the only one of the parts. */
void scan_begin_passes(Scanner *s, PartScan *parts, uint32_t count, uint32_t block, int shift);

/* False: there is no other one, or it gives up. */
MUST_USE bool scan_next_pass(Scanner *s);
