/*
 * app/check_log.h -- the event log held against the tables, while a server may go on writing.
 *
 * What is compared: (1) the log as it was before the database snapshot, E0; (2) the snapshot S;
 * (3) the log after it, E1 >= E0.  A transaction commits first and then goes to the log, and its
 * outbox row is kept for at least a minute.  Hence:
 *   every row in S has its event in the log below E1, or in an outbox row of S;
 *   every event below E0, and every one whose outbox row is in S, has its row in S;
 *   what lies between E0 and E1 and is not in S's outbox came after S: it is not looked at.
 * An erased record does not say of which row it was: rows without event are findings only when there are more of them
 * than erased records.
 * Memory does not grow with the log: ids go into 4,096 sums per kind of event, and only where a sum
 * is off are the ids themselves collected, in a second pass.
 */
#pragma once

#include "events/events_survey.h"
#include "request/check.h"

enum { CHECK_LOG_KINDS_MAX = 32, CHECK_LOG_FINDINGS_MAX = 100 };

typedef struct CheckLogKind {
    const CheckEvent *event;
    SqlStmt *rows_query;
    int64_t rows;
} CheckLogKind;

typedef struct CheckLog {
    Str folder;                    /* of the log */
    uint64_t end_before;           /* E0 */
    const RoomCheck *const *rooms; /* ends with NULL */
    CheckReport report;            /* of rows without event and the like */
    EventsReportFn file_report;
    void (*progress)(void *arg, const char *what, int64_t done);
    void *arg; /* of all three */
    /* results */
    CheckLogKind kinds[CHECK_LOG_KINDS_MAX];
    size_t kind_count;
    int64_t events;  /* records below E1 */
    int64_t erased;  /* of these, erased: as many rows may be without their event */
    int64_t waiting; /* outbox rows of S that the log does not hold yet: the server's next step */
} CheckLog;

/* E0: call it before the snapshot begins.  A folder without a log has the end 1. */
MUST_USE Err check_log_end(Ctx *ctx, Str folder, uint64_t *end);

/* Reads the whole log; ctx->db is in a snapshot. */
MUST_USE Err check_log_run(Ctx *ctx, CheckLog *check);
