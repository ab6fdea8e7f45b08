/*
 * engine/scan/walk.h -- the bare order of events: who, when to the second, and which name.
 *
 * A second inner door beside engine/scan/scan.h, for what asks nothing else of an event: without filters, columns and
 * the grouping of rows it costs a fraction.  A Walker goes through one week, whatever parts it has.
 *
 * Owns: a Walker its buffers.  Threads: one Walker per thread; the parts are shared.
 */
#pragma once

#include "engine/scan/scan.h"

enum {
    WALK_CODES_MAX = PART_LISTS_MAX - 1,
    WALK_NONE = 255,
    WALK_PARTS_MAX = 255,
    WALK_SECONDS = 604800, /* of a week */
};

/* Small numbers for all event names that may occur. */
typedef struct WalkNames {
    uint8_t *codes; /* [event]: WALK_NONE = it cannot occur */
    uint32_t event_count;
    uint32_t names[WALK_CODES_MAX]; /* [code] */
    uint32_t count;
} WalkNames;

/* Of these selects.  False: there are too many, a part does not say which it has, or some block has too many rows for
 * Walkers, which hold a week of a block.  *out is to be freed either way. */
MUST_USE bool walk_names(const ScanView *view, const ScanSelect *selects, uint32_t select_count,
                         WalkNames *out);
void walk_names_free(WalkNames *names);

typedef struct WalkAsk {
    /* of one week, by arrival; at most WALK_PARTS_MAX, none with a wanted PART_REST */
    Part *const *parts;
    uint32_t part_count;
    /* [event]: a code of its own, below code_count; WALK_NONE = it takes no part */
    const uint8_t *codes;
    uint32_t event_count;  /* events from here on take none, either */
    uint32_t code_count;   /* at most WALK_CODES_MAX */
    uint32_t from_s, to_s; /* of the week: [from, to) */
    const Moved *moved;    /* the view's */
} WalkAsk;

/* Whether names and seconds are all that these selects, and gaps of so long, ask for: no filters, and whole seconds. */
bool walk_suffices(const ScanSelect *selects, uint32_t select_count, int64_t gap_ms);

/* One week of a view. */
typedef struct WalkWeek {
    ScanView view; /* of it alone, for a Scanner; it borrows the parts */
    WalkAsk ask;   /* for a Walker, when the week has not too many parts */
} WalkWeek;

/* The weeks that [from_ms, to_ms) touches, ascending; room for as many as the view has parts.  How many. */
uint32_t walk_weeks(const ScanView *view, int64_t from_ms, int64_t to_ms, const WalkNames *names,
                    WalkWeek *out);

/* A person's rows stand together, by (time, arrival). */
typedef struct WalkRows {
    uint32_t count;
    const uint32_t *keys; /* person in the piece << PART_SECOND_BITS | second in the week */
    const uint8_t *codes;
} WalkRows;

typedef struct Walker Walker;

Walker *walker_new(const WalkAsk *ask);
void walker_free(Walker *w); /* NULL is nothing to do */

/* The rows of one piece (scan_pieces()); pieces ascend.  False when there are none, they are damaged, or it gives up
 * (engine/core/crew.h).  Valid until the next call. */
MUST_USE bool walker_rows(Walker *w, uint32_t piece, WalkRows *out);

/* How many milliseconds behind its second this row of the last answer is. */
int64_t walker_ms(Walker *w, uint32_t row);

/* Rows that could not be read because of damage, so far. */
uint64_t walker_damaged(const Walker *w);
