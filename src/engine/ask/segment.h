/*
 * engine/ask/segment.h -- the question "segment": which persons fulfil a condition on all that they did.
 *
 * A segment is a tree of ands, ors and nots.  A leaf is one pass over the events of its selects, person by
 * person; it says of everybody whether it holds, as one bit per person, and the tree joins these.
 *
 * The universe is every actor that the engine has given a number: [PART_BLOCK_PERSONS, the view's person_count),
 * whoever has been the actor of an event, of attributes or of a link, of any name and at any time; of several actors that
 * are one person, that person once.  Nobody (actor 0) is not among them, nor whoever was erased, and neither is who never
 * was any of these: the engine has not heard of them.  Within it NOT is the complement, so "did not" holds for everybody
 * whose events are all others, and for who has none.
 *
 * Owns: nothing.  Results live in ctx->arena.  Threads: any.
 */
#pragma once

#include "engine/scan/people.h"
#include "engine/scan/query.h"

enum { SEGMENT_DEPTH_MAX = 32 };

__extension__ typedef __int128 SegmentWide;

/* An exact number: whole + part * 10^-18 units of what it is compared with, 0 <= part < 10^18. */
typedef struct SegmentNumber {
    SegmentWide whole;
    int64_t part;
} SegmentNumber;

/* Beyond everything that is measured: a product is below 2^63 * 10^12, and a person has fewer than 2^23 rows. */
#define SEGMENT_ENDLESS ((SegmentWide)1 << 126)

/* From `from` to `to`, which belong to it unless said otherwise. */
typedef struct SegmentRange {
    SegmentNumber from, to;
    bool without_from, without_to;
} SegmentRange;

/* What is measured of a person's events.  AVG, MIN and MAX of no value are missing, the others 0. */
typedef enum SegmentMeasure {
    SEGMENT_COUNT, /* events */
    SEGMENT_DAYS,  /* days of 24 hours with one */
    /* of the column; rows without a value take no part */
    SEGMENT_SUM,
    SEGMENT_AVG, /* exact: nothing is rounded before it is compared */
    SEGMENT_MIN,
    SEGMENT_MAX,
    SEGMENT_DISTINCT, /* values that differ */
} SegmentMeasure;

#define SEGMENT_TIME   UINT32_MAX       /* as a column: when the event happened, UTC milliseconds */
#define SEGMENT_ABSENT (UINT32_MAX - 1) /* as a column: one that no event has */

/* Holds when the measure lies in one of the ranges; a missing one lies in none. */
typedef struct SegmentTest {
    SegmentMeasure measure;
    uint32_t column; /* of the leaf's props, SUM to DISTINCT */
    /* its values are multiplied by those of the column behind it, at the scale of both together; a row without one of
     * them, and one whose product is no number (FILTER_PRODUCT), has no value */
    bool product;
    int64_t day_ms; /* SEGMENT_DAYS: when some day begins, UTC */
    const SegmentRange *ranges;
    uint32_t range_count;
    bool negated; /* holds when it does not, thus also for a missing one */
} SegmentTest;

/* How a step of a sequence follows. */
typedef struct SegmentLink {
    int64_t span_ms; /* less than this behind the step before; 0 = any time */
    bool of_first;   /* behind the first step instead */
} SegmentLink;

typedef enum SegmentKind {
    SEGMENT_AND,     /* args; of none: everybody */
    SEGMENT_OR,      /* args; of none: no one */
    SEGMENT_NOT,     /* args[0] */
    SEGMENT_PERSONS, /* those of `persons`, who were found before */
    /* leaves */
    SEGMENT_TESTS, /* every test holds for the events of selects[0] */
    SEGMENT_FIRST, /* the first event of selects[0] is one of selects[1], which takes no others */
    SEGMENT_LAST,  /* the last one is */
    SEGMENT_RESUMED, /* span_ms or more from the last of selects[1] to the first of selects[0], which all lie behind */
    SEGMENT_SEQUENCE, /* one event per select, each another one behind the one before; at one instant the order of
                       * arrival counts */
} SegmentKind;

typedef struct Segment Segment;
struct Segment {
    SegmentKind kind;
    const Segment *const *args;
    uint32_t arg_count;
    const Filter *persons;     /* FILTER_PERSONS of the same view; nobody is not among them */
    const ScanSelect *selects; /* at most SCAN_SELECTS_MAX; with the time range of the leaf */
    uint32_t select_count;
    const ScanProp *props; /* TESTS: at most SCAN_COLUMNS_MAX */
    uint32_t prop_count;
    const SegmentTest *tests;
    uint32_t test_count;
    bool otherwise;  /* FIRST, LAST: what holds without any event */
    int64_t span_ms; /* RESUMED */
    const SegmentLink
        *links; /* SEQUENCE: links[i] is how step i follows; the first is not looked at */
};

typedef struct SegmentResult {
    People people;     /* who fulfils it */
    uint64_t universe; /* how many there are */
} SegmentResult;

/*
 * Errors: as query.h says; "query.too_large" for a sequence of more than SCAN_SELECTS_MAX steps.  The tree is at
 * most SEGMENT_DEPTH_MAX deep; the deadline holds for all leaves together.
 */
MUST_USE Err query_segment(Ctx *ctx, const Query *q, const Segment *segment, SegmentResult *out);
