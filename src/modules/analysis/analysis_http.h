/*
 * modules/analysis/analysis_http.h -- the doors of this room.
 */
#pragma once

#include "base/zone.h"
#include "request/request.h"

extern const Door ANALYSIS_DOORS[];

/* Behind GET /v1/properties.  BUSY "query.closed". */
MUST_USE Err analysis_properties(Work *work, Call *call);

/* Whether the question is answered from the log: Work.log must be there then. */
bool analysis_question_reads_log(const void *question);

/* The zone that an answered question (the operation's parsed body) is meant in: its own, or the chain's. */
const Zone *analysis_question_zone(Ctx *ctx, const void *question);
