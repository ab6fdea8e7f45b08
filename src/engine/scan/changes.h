/*
 * engine/scan/changes.h -- what was said of persons and when: for who asks of an event what held at its time.
 *
 * One pass over the rows of PART_PERSON keeps, of each person, when a value became another one, by time, then arrival.
 * Rows of events come by person and time, too: what held at each is found by going through both once.
 *
 * At one instant holds what arrived before the event, in the order in which scanner_batch() gives rows; what is said
 * later of earlier times counts as if it had always been known.  Of nobody nothing was said.
 *
 * Owns: nothing; changes live in ctx->arena.  Threads: a Changes is constant once it was found.
 */
#pragma once

#include "engine/scan/query.h"

enum { CHANGES_MAX = 1 << 24 }; /* of one question together: at most 24 bytes each */

typedef struct Changes {
    /* Set by who asks. */
    const Filter *says; /* which rows say anything */
    /* not NULL: the value is 1 where the row fulfils this, too, and 0 where not */
    const Filter *holds;
    ScanProp value; /* holds == NULL: it is that of this property */
    int64_t before; /* the value until something is said */
    /* not as of the event: what was said last before `until_ms` holds at all times */
    bool is_latest;
    int64_t until_ms;
    /* Found. */
    const ScanView *view;
    struct ChangesPiece **pieces; /* by piece of scan_pieces(); NULL: nobody of it has a change */
} Changes;

/* Finds them.  *count: how many there are of the question's others; these are added.
 * Errors: as query.h says; "query.too_large" beyond CHANGES_MAX. */
MUST_USE Err query_changes(Ctx *ctx, const Query *q, Changes *c, uint64_t *count);

/* What held at each of the rows, which are events of one block and come with their keys.  `out` has room for
 * KERNEL_SLACK more.  False: damaged. */
MUST_USE bool changes_at(const Changes *c, const FilterRows *rows, FilterScratch *s, int64_t *out);
