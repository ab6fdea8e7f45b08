/*
 * modules/coupon/coupon_check.c -- what `tongdian check` asks this room.
 */
#include "coupon.sql.h"
#include "modules/coupon/coupon.h"
#include "request/check.h"

static const CheckQuery QUERIES[] = {
    {"coupon_check_template_campaign", "coupon template: its campaign # is not there"},
    {"coupon_check_template_gift", "coupon template: its gift, product #, is not there"},
    {"coupon_check_scope_template", "coupon template: is not there, but covers product #"},
    {"coupon_check_scope_product", "coupon template: covers product #, which is not there"},
    {"coupon_check_scope_store_template", "coupon template: is not there, but is for store #"},
    {"coupon_check_scope_store", "coupon template: is for store #, which is not there"},
    {"coupon_check_stock", "coupon template: is not there, but has a stock"},
    {"coupon_check_template", "coupon: its template # is not there"},
    {"coupon_check_person", "coupon: its owner, person #, is not there"},
    {"coupon_check_redemption_store", "redemption: its store # is not there"},
    {0}};

static const CheckEvent EVENTS[] = {
    {"coupon", "Coupon Claimed", "coupon", "coupon_check_claimed"},
    {"coupon", "Coupon Redeemed", "redemption", "coupon_check_redemptions"},
    {"coupon", "Coupon Reversed", "reversal", "coupon_check_reversals"},
    {0}};

const RoomCheck COUPON_CHECK = {
    .schema = &COUPON_SCHEMA, .queries = QUERIES, .events = EVENTS, .run = coupon_check};
