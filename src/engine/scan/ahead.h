/*
 * engine/scan/ahead.h -- the kernel is told what a question will read of files, before it does.
 *
 * A question goes block by block through all weeks: on files that are not in memory that is one small read after the
 * other, each waited for.  But it knows at its start which lists and columns of which parts it will look at: these go to
 * the kernel as few large ranges, file by file in the order of their bytes.  Pieces that were read since their part was
 * opened, or that it was told of, are left out, so that it costs nothing once a file is known.
 *
 * Owns: nothing.  Threads: any.
 */
#pragma once

#include "engine/scan/query.h"
#include "engine/scan/scan_whole.h"

/* So many bytes are asked for at once; of what is more the kernel hears when it is read. */
enum { AHEAD_BYTES_MAX = 512 << 20 };

typedef struct AheadAsk {
    const ScanSelect *selects;
    uint32_t select_count;
    const ScanProp *props; /* whose values will be read */
    uint32_t prop_count;
    const ScanItems *items; /* NULL = the rows are events */
    const bool *keys;       /* of each part of the view: its keys will be read; NULL = of all */
    bool ms;                /* milliseconds */
    bool order;             /* the sequence, where more than one list takes part */
    const WholeAsk *whole;  /* of these selects: of parts whole to some it is asked who is active */
} AheadAsk;

/* Errors: those of crew_run(). */
MUST_USE Err ahead_of(Ctx *ctx, const Query *q, const AheadAsk *ask);

/* The same of these bytes of one part, which has a checksum per piece: of all that is read with them. */
MUST_USE Err ahead_of_bytes(Ctx *ctx, const Query *q, Part *part, uint64_t at, uint64_t bytes);

/* The same of what a Scanner reads for this; `order` as above. */
MUST_USE Err ahead_of_scan(Ctx *ctx, const Query *q, const ScanAsk *ask, bool order);
