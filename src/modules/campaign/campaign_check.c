/*
 * modules/campaign/campaign_check.c -- what `tongdian check` asks this room.
 */
#include "campaign.sql.h"
#include "request/check.h"

static const CheckQuery QUERIES[] = {
    {"campaign_check_targets", "campaign: its target person # is not there"},
    {"campaign_check_targeting", "campaign: is not there, but has person # as a target"},
    {0}};

const RoomCheck CAMPAIGN_CHECK = {.schema = &CAMPAIGN_SCHEMA, .queries = QUERIES};
