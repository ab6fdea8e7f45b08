/*
 * engine/merge.h -- several parts of one week become one.
 *
 * The parts are given in the order of arrival and cover neighbouring stretches of it, so that rows of one
 * person and millisecond keep their order.  Rows of persons who were moved stay behind, nothing else is lost or
 * added; columns get the widths that the values of all rows need.
 * Memory: the part that is made; 8 bytes per row of the largest block, or of 65,536 rows of smaller ones (nobody's may
 * be the whole week: 128 MiB), 50 per column, 48 MiB for rows on their way, however many columns they have.
 * Owns: nothing.  Threads: any, one call each.
 */
#pragma once

#include "engine/part/moved.h"
#include "engine/part/part_build.h"

/* For `bytes_max`: a server of 2 GiB has room for it. */
#define MERGE_BYTES_MAX (UINT64_C(512) << 20)

typedef struct PartsMerge {
    Part *const *parts;
    uint32_t count;
    /* whose rows are dead, and of which generation the new part is; NULL = nobody's, 0 */
    const Moved *moved;
    uint64_t bytes_max;
    const atomic_bool *stop; /* may be NULL */
    bool exact;              /* looks at every value */
} PartsMerge;

/*
 * Writes the merged part; when all rows are dead, one without any.  `count` >= 1; all of one week; their rows
 * together at most PART_ROWS_MAX.
 * `bytes_max`: of a part that is made from several.  A column is as long as its list, so that sparse ones
 * can be much larger together than they were; one part alone never grows, and always goes.
 * `stop`: once it is true, the merge ends at the next rows.
 * `exact`: of parts without dead rows it leaves only lists, columns, and bounds of these, of what rows have; else what the
 * tables of the parts say of dead rows stays in those of the new one.
 * Errors: TOO_LARGE "events.merge" before anything is written, INTERNAL "events.part_damaged", CONFLICT
 * "events.stopped", those of part_builder_finish().
 */
MUST_USE Err parts_merge(Ctx *ctx, const PartsMerge *merge, PartSink sink, void *arg);
