/*
 * engine/merge.h -- several parts of one week become one.
 *
 * The parts are given in the order of arrival and cover neighbouring stretches of it, so that rows of one
 * person and millisecond keep their order.  Nothing is lost or added; columns get the widths that the
 * values need.
 * Memory: the part that is made, and the rows of one block.  Owns: nothing.  Threads: any, one call each.
 */
#pragma once

#include "engine/part_build.h"

/*
 * Writes the merged part.  `count` >= 1; all of one week; their rows together at most PART_ROWS_MAX.
 * `stop` (may be NULL): once it is true, the merge ends at the next block.
 * Errors: INTERNAL "events.part_damaged", CONFLICT "events.stopped", those of part_builder_finish().
 */
MUST_USE Err parts_merge(Ctx *ctx, Part *const *parts, uint32_t count, const atomic_bool *stop,
                         PartSink sink, void *arg);
