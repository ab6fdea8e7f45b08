/*
 * engine/scan/scan.h -- the inner door: events of chosen names under a pushed-down filter, person by person.
 *
 * A scan is asked for selects: event names, a time range, a filter.  It gives batches of whole persons:
 * the rows that match any select, grouped by person, in (time, arrival) order.  Queries compute on what
 * comes through here and know nothing of parts, blocks or files, so that another store can stand behind
 * this door.  Rows stand under the person that their actor belongs to now; those of erased actors do not come.
 *
 * What needs no order between event names (totals, uniques, sums) may ask for loose rows instead, which
 * cost a third: rows of one select, by person, but a person may come again in the next stretch.
 *
 * A block with more rows than SCAN_BATCH_ROWS is read in several passes.  One person whose rows take more than
 * SCAN_PERSON_BYTES_MAX and must be put into order is refused: crew_refuse().
 * Owns: a Scanner its buffers: a hundred bytes and more for each row of a batch, fifty for each of a stretch.  Threads: one
 * Scanner per thread; the view is shared.
 */
#pragma once

#include "engine/part/moved.h"
#include "engine/scan/filter.h"

enum {
    SCAN_SELECTS_MAX = 32,
    SCAN_COLUMNS_MAX = 8,
    SCAN_PIECE_PERSONS = PART_BLOCK_PERSONS,
    SCAN_BATCH_ROWS = 1 << 19, /* of many persons */
    SCAN_PERSON_BYTES_MAX =
        512 << 20,         /* of one person's rows: what needs more in order is refused */
    SCAN_ROW_BYTES = 64,   /* so much is a row, */
    SCAN_VALUE_BYTES = 16, /* and each of its values */
};
#define SCAN_MISSING PART_MISSING

/* The parts that a query sees, weeks ascending, then arrival.  Immutable; shared by counting. */
typedef struct ScanView {
    atomic_int refs;
    Part **parts;
    uint32_t part_count;
    uint32_t person_count;                /* numbers are below */
    Moved *moved;                         /* whose rows are dead in older parts; NULL = nobody's */
    uint32_t batch_rows, person_rows_max; /* 0 = as said above */
    uint32_t
        blocks_at_once; /* at most QUERY_BLOCKS_MAX; 0 = as query_blocks_at_once() finds good */
} ScanView;

typedef struct ScanSelect {
    const uint32_t *events; /* ascending; NULL = every event, which PART_PERSON is none */
    uint32_t event_count;
    int64_t from_ms, to_ms; /* [from, to) */
    const Filter *filter;   /* NULL = all */
} ScanSelect;

/* As properties: no columns, but where a row stands: its Part, as an address, and its number in the part's list. */
enum { SCAN_PART = PROP_FIRST - 2, SCAN_ROW };

/* A property whose values shall come: codes (of PROP_EVENT the event's number), or numbers with this many decimal places (as many as the
 * property has anywhere: a number that does not fit then comes as missing). */
typedef struct ScanProp {
    uint32_t prop;
    uint8_t scale;
    bool of_item; /* of the items that are rows (ScanItems), not of their events */
    /* not NULL: of the event's person, as these say; `prop` is whose values they are */
    const struct Changes *changes;
} ScanProp;

/* What was said of persons is looked up by person: whether any of them is that. */
static inline bool scan_asks_of_changes(const ScanProp *props, uint32_t count)
{
    bool asks = false;
    for (uint32_t i = 0; i < count; i++)
        asks |= props[i].changes != NULL;
    return asks;
}

/* What events have in a list property, where the rows are items: each that fulfils `filter` (NULL = all) is one, at the
 * time and of the person of its event. */
typedef struct ScanItems {
    uint32_t list;
    const Filter *filter;
} ScanItems;

typedef struct ScanAsk {
    const ScanSelect *selects;
    uint32_t select_count;
    const ScanProp *props; /* at most SCAN_COLUMNS_MAX */
    uint32_t prop_count;
    bool wants_events; /* which event each row is */
} ScanAsk;

typedef struct ScanRow {
    uint32_t selects; /* bit i: select i matches */
    uint32_t second;  /* behind the scan's base_ms */
} ScanRow;

typedef struct ScanBatch {
    uint32_t person_count;
    const uint32_t *persons; /* their numbers, ascending */
    const uint32_t *from;    /* rows [from[i], from[i + 1]) are person i's */
    const ScanRow *rows;
    const uint16_t *ms;           /* behind the second; NULL = all 0 */
    const uint32_t *events;       /* event names, when they were asked for */
    const int64_t *const *values; /* [prop][row], SCAN_MISSING = none */
} ScanBatch;

static inline int64_t scan_ms(const ScanBatch *b, uint32_t row)
{
    return (int64_t)b->rows[row].second * 1000 + (b->ms == NULL ? 0 : b->ms[row]);
}

static inline uint32_t scan_rows_of(const ScanBatch *b, uint32_t person)
{
    return b->from[person + 1] - b->from[person];
}

/* Rows by (person, time, arrival), as they lie in the parts.  A person may come again in the next stretch, then all of it
 * later. */
typedef struct ScanStretch {
    uint32_t count;
    uint32_t first_person; /* a row's person = this + key >> PART_SECOND_BITS */
    uint32_t week_s; /* a row's second behind the scan's base_ms = this + key & PART_SECOND_MASK */
    const uint32_t *keys;
    /* the selects of each row, 0 = none, the row does not match; NULL: those of its list */
    const uint32_t *bits;
    const uint8_t *lists; /* then bits of row i are of_list[lists[i]], and there are some */
    const uint32_t *of_list;
    const uint16_t *ms; /* behind the second; NULL = all 0 */
    /* of the first property asked for, a text; 0 = missing.  NULL: none was */
    const uint32_t *codes;
    /* of the second one, SCAN_MISSING = none.  NULL: it was not asked for */
    const int64_t *numbers;
} ScanStretch;

/* Rows of one event name and one select. */
typedef struct ScanLoose {
    uint32_t count;
    uint32_t first_person; /* a row's person = this + key >> PART_SECOND_BITS */
    const uint32_t *keys;  /* second behind base_ms in the lower bits */
    const int64_t *ms;     /* behind the second; NULL = all 0 */
    const uint8_t *mask;   /* 0 = the row does not match; NULL = all do */
    int64_t base_ms;
    uint32_t select;
    const FilterRows *at; /* for scan_values() */
} ScanLoose;

/* Whether events of this name, or some of PART_REST, may be among what is selected. */
bool scan_has(const ScanSelect *s, uint32_t event);

typedef struct Scanner Scanner;

Scanner *scanner_new(const ScanView *view, const ScanAsk *ask);
void scanner_free(Scanner *s); /* NULL is nothing to do */

/* What second 0 of the rows is. */
int64_t scanner_base_ms(const Scanner *s);

/* Some row of a part's list may match. */
bool scan_select_has(const ScanSelect *s, const Part *part, uint32_t list);

/* Whether all seconds of the rows, and so many milliseconds behind them, are numbers of 31 bits. */
bool scan_seconds_fit(const ScanView *view, int64_t more_ms);

/* The largest code of a property that rows of the selects may have; 0: none has it.  UINT32_MAX: it is of numbers, or
 * of persons. */
uint32_t scan_largest_code(const ScanView *view, const ScanAsk *ask, ScanProp prop);

/* Values of rows that lie together, matching or not.  False: damaged. */
MUST_USE bool scan_values(const FilterRows *rows, ScanProp prop, FilterScratch *scratch,
                          int64_t *out);

/* Whether some block has more rows, wanted or not, than those of one person may be. */
bool scan_has_large_block(const ScanView *view);

/* How many pieces the persons are cut into; each may be read by another Scanner. */
uint32_t scan_pieces(const ScanView *view);

/* The next batch of one piece: persons ascend.  Valid until the next call.  False when the piece has no more rows, or it
 * gives up (engine/core/crew.h); the next call then begins a piece, as one of another piece does. */
MUST_USE bool scanner_batch(Scanner *s, uint32_t piece, ScanBatch *out);

/* The same rows in stretches of ascending time, which saves the grouping: for what can keep its state per
 * person.  At most two properties may be asked for, the first of texts; events do not come. */
typedef void (*ScanStretchFn)(const ScanStretch *rows, void *arg);
void scanner_stretches(Scanner *s, uint32_t piece, ScanStretchFn fn, void *arg);

typedef void (*ScanLooseFn)(const ScanLoose *rows, void *arg);
void scanner_loose(Scanner *s, uint32_t piece, ScanLooseFn fn, void *arg);

/* Rows that could not be read because of damage, so far. */
uint64_t scanner_damaged(const Scanner *s);
