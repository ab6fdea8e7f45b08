/*
 * modules/order/order_check.c -- what `tongdian check` asks this room.
 */
#include "modules/order/order.h"
#include "order.sql.h"
#include "request/check.h"

static const CheckQuery QUERIES[] = {
    {"order_check_lines_of", "order: is not there, but has a line #"},
    {"order_check_tenders_of", "order: is not there, but has a tender #"},
    {"order_check_days_of", "store: its day # has sales, but no orders"},
    {"order_check_person", "order: its buyer, person #, is not there"},
    {"order_check_store", "order: its store # is not there"},
    {"order_check_product", "order: its product # is not there"},
    {"order_check_original", "order: is a return of sale #, which is not there"},
    {"order_check_redeemed", "redemption: its order # is not there"},
    {0}};

static const CheckEvent EVENTS[] = {{"order", "Order Completed", "order", "order_check_sales"},
                                    {"order", "Order Refunded", "order", "order_check_returns"},
                                    {0}};

const RoomCheck ORDER_CHECK = {
    .schema = &ORDER_SCHEMA, .queries = QUERIES, .events = EVENTS, .run = order_check};
