/*
 * modules/analysis/analysis_http.h -- the doors of this room.
 */
#pragma once

#include "request/request.h"

extern const Door ANALYSIS_DOORS[];
