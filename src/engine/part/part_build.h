/*
 * engine/part/part_build.h -- makes a part: events come in (block, person, time, arrival) order.
 *
 *     part_builder_block(b, block, lists, n);        blocks ascend; which list each event belongs to
 *     part_builder_keys(b, list, keys, n);           per list that has events in the block, keys ascend
 *     part_builder_values(b, list, column, values, n);  ... and every column of it
 *     part_builder_values(b, list_count + items, column, values, n);  of items, in the order of their events
 * The events of a block and their values may come in pieces, its keys of a list come at once.  The values may also
 * come when all blocks have: only their order within the column counts.
 *     part_builder_finish(ctx, b, sink, arg);
 *
 * What the columns hold at most is said before (their width follows from it), so a row is packed at once
 * and the builder needs no more memory than the part that it makes.
 * Owns: its memory until part_builder_free().  Threads: one at a time.
 */
#pragma once

#include "engine/part/part.h"

typedef struct PartColumnPlan {
    uint32_t prop;
    PartKind kind;
    uint8_t scale;
    bool nullable;    /* some row has no value; PART_CODES always may */
    int64_t min, max; /* of the values; min > max = there are none */
} PartColumnPlan;

typedef struct PartListPlan {
    uint32_t event;
    const PartColumnPlan *columns;
    uint32_t column_count;
    uint64_t rows; /* at most so many, as the columns are given room for; 0 = nobody knows */
} PartListPlan;

/* What events of a list have in a list property: that one is a column of the list, of how many there are. */
typedef struct PartItemsPlan {
    uint32_t of; /* place of the list in the plan */
    uint32_t prop;
    const PartColumnPlan *columns;
    uint32_t column_count;
    uint64_t rows; /* as in PartListPlan */
} PartItemsPlan;

typedef struct PartPlan {
    int64_t week_ms;
    uint64_t from_seq, to_seq;
    const PartListPlan *lists;
    uint32_t list_count;        /* at most PART_LISTS_MAX */
    const PartItemsPlan *items; /* ascending by list, then property */
    uint32_t items_count;
    uint32_t generation; /* as in PartHead */
} PartPlan;

typedef struct PartBuilder PartBuilder;

PartBuilder *part_builder_new(const PartPlan *plan);
void part_builder_free(PartBuilder *b); /* NULL is nothing to do */

void part_builder_block(PartBuilder *b, uint32_t block, const uint8_t *lists, uint32_t n);
void part_builder_keys(PartBuilder *b, uint32_t list, const uint32_t *keys, uint32_t n);

/* PART_MISSING where there is none.  `values` is used up: it holds what was stored afterwards. */
void part_builder_values(PartBuilder *b, uint32_t list, uint32_t column, int64_t *values,
                         uint32_t n);

/* How a column will be stored.  NULL: its values must come as such, because they have more than 32 bits, or say how many
 * items there are. */
const PartColumn *part_builder_narrow(const PartBuilder *b, uint32_t list, uint32_t column);

/* The same as values of such a column, as they will be stored.  `all`: or-ed together, those that nobody knows to fit its
 * width. */
void part_builder_stored(PartBuilder *b, uint32_t list, uint32_t column, uint32_t *stored,
                         uint32_t n, uint32_t all);

/* Bytes of the parts' columns, keys and sequence when the lists have these rows (and behind them in `rows`, the
 * items), at most.  An item counts a byte at least, also where all are the same. */
uint64_t part_plan_bytes(const PartPlan *plan, const uint64_t *rows);

/* Writes some stretches of the file, one behind the other; they come in order, without gaps.  There is a call for many of
 * them, because a list's columns mostly are small; the last one may be longer than the bytes of a call. */
enum { PART_SINK_STRETCHES = 64, PART_SINK_BYTES = 1 << 20 };
typedef Err (*PartSink)(Ctx *ctx, const Str *stretches, size_t count, void *arg);

/* A PartSink that adds them to the Buf `buf`. */
Err part_sink_buf(Ctx *ctx, const Str *stretches, size_t count, void *buf);

/* The whole part.  Errors: TOO_LARGE "events.part" beyond PART_BYTES_MAX, INTERNAL "events.part_damaged" when a value
 * was not within its plan (a file that is merged lied about it), and the sink's. */
MUST_USE Err part_builder_finish(Ctx *ctx, PartBuilder *b, PartSink sink, void *arg);

/* The same into memory: ready for part_open(). */
MUST_USE Err part_builder_finish_heap(Ctx *ctx, PartBuilder *b, Str *out);
