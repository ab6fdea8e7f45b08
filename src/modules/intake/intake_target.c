/*
 * modules/intake/intake_target.c -- the tables of intake_target.h.
 */
#include "modules/intake/intake_target.h"

#define X(group, id, name, type, need) {name, INTAKE_##type, need},
static const IntakeField STORES[] = {INTAKE_STORES(X)};
static const IntakeField PRODUCTS[] = {INTAKE_PRODUCTS(X)};
static const IntakeField PEOPLE[] = {INTAKE_PEOPLE(X)};
static const IntakeField ORDERS[] = {INTAKE_ORDERS(X)};
static const IntakeField ORDER_LINES[] = {INTAKE_ORDER_LINES(X)};
static const IntakeField CAMPAIGNS[] = {INTAKE_CAMPAIGNS(X)};
static const IntakeField CAMPAIGN_TARGETS[] = {INTAKE_CAMPAIGN_TARGETS(X)};
static const IntakeField COUPON_TEMPLATES[] = {INTAKE_COUPON_TEMPLATES(X)};
static const IntakeField TEMPLATE_SCOPE[] = {INTAKE_TEMPLATE_SCOPE(X)};
static const IntakeField REDEMPTIONS[] = {INTAKE_REDEMPTIONS(X)};
static const IntakeField EVENTS[] = {INTAKE_EVENTS(X)};
#undef X

#define PLAIN(t)         (t), ARRAY_LEN(t), NULL, 0
#define WITH_LINES(t, l) (t), ARRAY_LEN(t), (l), ARRAY_LEN(l)

const IntakeTarget INTAKE_TARGETS[INTAKE_TARGET_COUNT] = {
    {INTAKE_TARGET_STORES, "stores", PLAIN(STORES), true, false},
    {INTAKE_TARGET_PRODUCTS, "products", PLAIN(PRODUCTS), true, false},
    {INTAKE_TARGET_PEOPLE, "people", PLAIN(PEOPLE), true, false},
    {INTAKE_TARGET_ORDERS, "orders", WITH_LINES(ORDERS, ORDER_LINES), false, false},
    {INTAKE_TARGET_CAMPAIGNS, "campaigns", PLAIN(CAMPAIGNS), false, false},
    {INTAKE_TARGET_CAMPAIGN_TARGETS, "campaign_targets", PLAIN(CAMPAIGN_TARGETS), false, false},
    {INTAKE_TARGET_COUPON_TEMPLATES, "coupon_templates",
     WITH_LINES(COUPON_TEMPLATES, TEMPLATE_SCOPE), false, false},
    {INTAKE_TARGET_REDEMPTIONS, "redemptions", PLAIN(REDEMPTIONS), false, false},
    {INTAKE_TARGET_EVENTS, "events", PLAIN(EVENTS), true, true},
};

const char *intake_type_name(IntakeType type)
{
    static const char *const NAMES[INTAKE_TYPE_COUNT] = {"text", "integer", "money",  "time",
                                                         "date", "phone",   "number", "boolean"};
    return NAMES[type];
}
