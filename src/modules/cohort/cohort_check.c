/*
 * modules/cohort/cohort_check.c -- what `tongdian check` asks this room.
 */
#include "cohort.sql.h"
#include "request/check.h"

static const CheckQuery QUERIES[] = {
    {"cohort_check_uses", "cohort: names cohort #, which is not there"},
    {"cohort_check_users", "cohort: is not there, but names cohort #"},
    {0}};

const RoomCheck COHORT_CHECK = {.schema = &COHORT_SCHEMA, .queries = QUERIES};
