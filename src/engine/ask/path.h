/*
 * engine/ask/path.h -- the questions "paths" and "transitions": what persons do next, or did before.
 *
 * A person's events of the range are cut into paths wherever more than `gap_ms` lie between two of them: what is
 * before and behind the range belongs to none.  Nobody has no path.
 *
 * Owns: nothing.  Results live in ctx->arena.  Threads: any.  Errors: as engine/scan/query.h says.
 */
#pragma once

#include "engine/scan/query.h"

enum {
    PATH_STEPS_MAX = 20,
    PATH_TOP_MAX = 50,
    PATH_NODES_MAX = 1 << 17, /* different ones of all steps together: beyond, "query.too_large" */
    PATH_PAIRS_MAX = 1 << 20, /* different transitions, the same */
    PATH_ROWS_MAX = 1000,     /* transitions that are shown */
};

typedef struct Path {
    ScanSelect of; /* the events that take part; its range is that of the question */
    /* these take part, too, and a path goes from the first one of them on; NULL: from its first event */
    const ScanSelect *anchor;
    /* with an anchor, forward: a path ends with the first of these behind its start, and does not count without one;
     * these take part, too; NULL: it goes on */
    const ScanSelect *goal;
    /* from the last one back to what was before; step 0 is always where it goes from */
    bool backward;
    uint32_t steps, top; /* nodes shown per step, the most frequent; the rest are "other" */
    int64_t gap_ms;
    /* what is further from where the path goes from is not of it; 0 = everything is */
    int64_t window_ms;
    bool repeats; /* what is like the node before it is a node of its own, otherwise the same one */
    bool persons; /* counts are persons, each once per node, edge and end; otherwise paths */
    bool first;   /* of each person only the first path in time that counts at all */
    const ScanProp *prop; /* nodes are event names with the value of this; NULL: event names */
} Path;

typedef struct PathNode {
    uint32_t event;
    int64_t value; /* of the property; SCAN_MISSING = none */
    bool is_other;
    uint64_t count;
    uint64_t ended; /* of them, whose path has nothing behind it */
} PathNode;

/* From a node of the step to one of the next: their places. */
typedef struct PathEdge {
    uint32_t from, to;
    uint64_t count;
} PathEdge;

typedef struct PathStep {
    /* by count, descending, then event and value; "other" last, when there is any */
    const PathNode *nodes;
    uint32_t node_count;
    uint32_t distinct;     /* nodes there are */
    const PathEdge *edges; /* by count, descending, then places; none of the last step */
    uint32_t edge_count;
    uint64_t count, ended;
} PathStep;

typedef struct PathResult {
    const PathStep *steps; /* as far as any path went */
    uint32_t step_count;
} PathResult;

MUST_USE Err query_paths(Ctx *ctx, const Query *q, const Path *path, PathResult *out);

/* Of a step, of one of its nodes, or of an edge from there: by their places. */
typedef struct PathBar {
    uint32_t step;
    uint32_t node;  /* QUERY_WHOLE = all of the step */
    uint32_t to;    /* a node of the next step; QUERY_WHOLE = no edge */
    bool has_ended; /* only what has nothing behind it; of no edge */
} PathBar;

/* Whose paths they are, with amounts: how many.  `r` is what the view answered; see engine/scan/query.h. */
MUST_USE Err query_paths_people(Ctx *ctx, const Query *q, const Path *path, const PathResult *r,
                                const PathBar *bar, People *out);

/* ---- transitions --------------------------------------------------------------------------------- */

/* From an event to the very next one of the same path. */
typedef struct Transitions {
    ScanSelect of;
    int64_t gap_ms;
    bool repeats; /* from an event to one of the same name counts, too */
    uint32_t top; /* at most PATH_ROWS_MAX */
} Transitions;

typedef struct Transition {
    uint32_t from, to; /* event names */
    uint64_t count;
} Transition;

typedef struct TransitionsResult {
    const Transition *rows; /* by count, descending, then names */
    uint32_t count;
    uint32_t distinct; /* there are */
    uint64_t total;    /* of all of them */
} TransitionsResult;

MUST_USE Err query_transitions(Ctx *ctx, const Query *q, const Transitions *t,
                               TransitionsResult *out);

/* Who did a pair, with amounts: how often.  It needs no result: a pair is a number of its own. */
MUST_USE Err query_transitions_people(Ctx *ctx, const Query *q, const Transitions *t, uint32_t from,
                                      uint32_t to, People *out);
