/*
 * modules/person/person_check.c -- what `tongdian check` asks this room.
 */
#include "person.sql.h"
#include "request/check.h"

static const CheckQuery QUERIES[] = {
    {"person_check_roots", "person: is linked to person #, who is not there"},
    {"person_check_identifiers",
     "person: an identifier of kind # names this person, who is not there"},
    {"person_check_last4", "person: last four digits lead to this person, who is not there"},
    {"person_check_grams", "person: parts of a name lead to this person, who is not there"},
    {"person_check_attributes", "person: attributes are of this person, who is not there"},
    {0}};

static const CheckEvent EVENTS[] = {
    {"person", "Person Enrolled", "person", "person_check_enrolled"}, {0}};

const RoomCheck PERSON_CHECK = {.schema = &PERSON_SCHEMA, .queries = QUERIES, .events = EVENTS};
