/*
 * engine/ask/session.h -- the question "sessions": how a person's events lie together.
 *
 * A session goes on while no more than `gap_ms` lie between two events, for less than `max_ms` from its start:
 * an event beyond begins the next one.  It belongs to the bucket in which it starts, however long it goes on.
 * Events of max_ms before the first bucket say whether something goes on there; what was earlier is not
 * looked at.  Nobody has no session.
 *
 * Owns: nothing.  Results live in ctx->arena.  Threads: any.  Errors: as engine/scan/query.h says.
 */
#pragma once

#include "engine/scan/query.h"

enum {
    SESSION_CELLS_MAX = 4096, /* series, "other" among them, times buckets, a total among them */
    SESSION_NAMES_MAX = 50,
    SESSION_VALUES_MAX = 1 << 17, /* different ones of the breakdown: beyond, "query.too_large" */
};
#define SESSION_GAP_MS                                                                             \
    INT64_C(1800000) /* what most systems take; the contract of the question says so, too */
#define SESSION_MS_MAX INT64_C(86400000)

typedef struct Sessions {
    ScanSelect of; /* its range is that of the bounds */
    /* bucket i is [bounds[i], bounds[i + 1]): bucket_count + 1 of them, ascending */
    const int64_t *bounds;
    uint32_t bucket_count;
    int64_t gap_ms, max_ms;    /* max_ms: 1 to SESSION_MS_MAX */
    const ScanProp *breakdown; /* a series per values that the first event of a session has */
    uint32_t breakdown_count;
    uint32_t top;   /* series shown, those with the most sessions; the rest are "other" */
    uint32_t names; /* how many names of first and last events are shown */
    bool median;    /* SessionCell.median_s is wanted: costs as much again */
} Sessions;

typedef struct SessionCell {
    uint64_t sessions;
    uint64_t persons; /* who began one; each once per cell */
    uint64_t events;
    uint64_t bounced;  /* sessions of one event */
    uint64_t ms;       /* from the first event to the last one, of all together */
    uint32_t median_s; /* of that, in whole seconds, the middle one; of two the shorter */
} SessionCell;

typedef struct SessionSeries {
    QuerySeries key;
    const SessionCell *cells; /* [bucket]; behind the last one all of them together */
} SessionSeries;

typedef struct SessionName {
    uint32_t event;
    uint64_t sessions;
} SessionName;

typedef struct SessionNames {
    const SessionName *rows; /* by sessions, descending, then names */
    uint32_t count;
    uint32_t distinct; /* there are */
} SessionNames;

typedef struct SessionsResult {
    /* by sessions, descending, then values; "other" last, when there is any */
    const SessionSeries *series;
    uint32_t count;
    uint32_t distinct;         /* series there are */
    SessionNames began, ended; /* with which event */
} SessionsResult;

/* Whether an event at `at` is still of the session that began at `start` and whose last event so far is at `before`. */
static inline bool session_goes_on(int64_t gap_ms, int64_t max_ms, int64_t start, int64_t before,
                                   int64_t at)
{
    return at - before <= gap_ms && at - start < max_ms;
}

MUST_USE Err query_sessions(Ctx *ctx, const Query *q, const Sessions *s, SessionsResult *out);

typedef enum SessionKind {
    SESSION_ALL,
    SESSION_BOUNCED,
    SESSION_BEGAN, /* with `event` */
    SESSION_ENDED,
} SessionKind;

/* Sessions of a cell; with which event they began or ended is told of all cells together. */
typedef struct SessionBar {
    SessionKind kind;
    uint32_t series, bucket; /* bucket_count = all of them; not of BEGAN and ENDED */
    uint32_t event;
} SessionBar;

/* Whose sessions they are, with amounts: how many.  `r` is what the view answered; see engine/scan/query.h. */
MUST_USE Err query_sessions_people(Ctx *ctx, const Query *q, const Sessions *s,
                                   const SessionsResult *r, const SessionBar *bar, People *out);
