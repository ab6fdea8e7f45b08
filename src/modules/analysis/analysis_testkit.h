/*
 * modules/analysis/analysis_testkit.h -- what the tests of this room share: the shop of rules/rule_testkit.h with its
 * people's events in an engine.
 */
#pragma once

#include "base/test.h"
#include "modules/analysis/analysis.h"
#include "rules/rule_testkit.h"

enum { SHOP_PEOPLE = 60, SHOP_EVENTS_MAX = 40 };

/* Number i of the events came in with received - time = i.  Those of people[0] are of nobody. */
typedef struct Shop {
    RuleKit kit;
    char path[64];
    Engine *engine;
    const Event **events;
    uint32_t count, records; /* of events, and of what was said of persons */
    RuleFacts people[SHOP_PEOPLE];
    Settings settings;
    RuleFixedZone zone; /* as the settings say */
} Shop;

void shop_open(Shop *s, uint64_t seed);
void shop_close(Shop *s);

/* The calendar that the settings mean. */
RuleCalendar shop_calendar(Shop *s);

/* What the engine knows, for one question; nobody else is there, so it needs no lock.  The cohorts are the kit's
 * segments. */
AnalysisNames shop_names(const Shop *s);

/* Whose event it is. */
const RuleFacts *shop_person(const Shop *s, const Event *event);
