/*
 * modules/cohort/cohort_http.h -- the doors of this room.
 */
#pragma once

#include "request/request.h"

extern const Door COHORT_DOORS[];
