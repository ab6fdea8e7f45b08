/*
 * modules/analysis/analysis_http.h -- the doors of this room.
 */
#pragma once

#include "base/zone.h"
#include "request/request.h"

extern const Door ANALYSIS_DOORS[];

/* The zone that an answered question (the operation's parsed body) is meant in: its own, or the chain's. */
const Zone *analysis_question_zone(Ctx *ctx, const void *question);
