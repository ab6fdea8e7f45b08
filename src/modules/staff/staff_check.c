/*
 * modules/staff/staff_check.c -- what `tongdian check` asks this room.
 */
#include "request/check.h"
#include "staff.sql.h"

static const CheckQuery QUERIES[] = {
    {"staff_check_sessions", "staff: session # is of this account, which is not there"}, {0}};

const RoomCheck STAFF_CHECK = {.schema = &STAFF_SCHEMA, .queries = QUERIES};
