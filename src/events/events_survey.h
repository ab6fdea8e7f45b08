/*
 * events/events_survey.h -- a log's files seen from outside, beside the process that owns them.
 *
 * `check` and `backup` look at a log that a running server writes.  They take no lock and write
 * nothing.  A survey fixes what is looked at: every segment, and in the newest one the frames that
 * were whole at that moment.  Frames are only ever added behind these, so everything below the end
 * of a survey can be read again and again and must be good; what comes later is not looked at.
 *
 * Promises: whatever was in the log (visible to its owner) before events_survey() was called lies
 *           below its end; a frame that is just being written is never taken for damage.
 * Threads:  any; a survey is read-only once made and lives in the arena it was made with.
 */
#pragma once

#include "events/events.h"

typedef struct EventsSurveySegment {
    uint64_t first_seq;
    uint64_t end_seq; /* first number that is not in it */
    int64_t bytes;    /* newest: where its frames end; 0 = the whole file */
    char name[32];
} EventsSurveySegment;

typedef struct EventsSurvey {
    Str folder;
    EventsSurveySegment *segments; /* ascending; the last one is the newest */
    size_t count;
    uint64_t end_seq;   /* everything below is in the survey */
    bool manifest_good; /* false: missing or damaged */
    bool manifest_there;
    Str manifest; /* its bytes, read before the segments were looked at */
    const struct IdRange *applied;
    size_t applied_count;
} EventsSurvey;

/* Errors: NOT_FOUND "file.missing" when there is no such folder, INTERNAL "disk.failed". */
MUST_USE Err events_survey(Ctx *ctx, Str folder, EventsSurvey *out);

/* Whether the manifest counts this outbox row as being in the log. */
bool events_survey_counts_applied(const EventsSurvey *survey, int64_t outbox_id);

/* One batch in arrival order: `first_seq` is of its first event, `outbox_id` 0 when it came
 * directly.  `records` live only during the call; they are whole and well-formed, some may be
 * EVENT_GONE.  An Err stops and is returned. */
typedef Err (*EventsBatchFn)(Ctx *ctx, uint64_t first_seq, int64_t outbox_id, Str records,
                             void *arg);

typedef struct EventsSurveyVisit {
    uint64_t from_seq;     /* segments that lie wholly below are passed over; 0 = none */
    EventsBatchFn batch;   /* may be NULL */
    EventsReportFn report; /* may be NULL */
    void *arg;
    uint64_t *
        unread; /* the first segment whose file cannot be read, which is a finding then; NULL: that is an error */
} EventsSurveyVisit;

/* Reads everything from from_seq to the survey's end and checks every checksum, of the indexes too; *bad =
 * findings, each reported.  What is damaged is passed over. */
MUST_USE Err events_survey_read(Ctx *ctx, const EventsSurvey *survey,
                                const EventsSurveyVisit *visit, int64_t *bad);

/* events_mark(), of these files. */
MUST_USE Err events_survey_mark(Ctx *ctx, const EventsSurvey *survey, uint64_t end_seq,
                                uint32_t *mark);

/* EventsStat.erase_gone_seq, as the folder's ledger says it now; 0 = nobody was ever erased, or it is damaged. */
MUST_USE Err events_survey_gone(Ctx *ctx, Str folder, uint64_t *gone_seq);
