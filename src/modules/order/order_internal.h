/*
 * modules/order/order_internal.h -- what the files of this room share.
 */
#pragma once

#include "modules/order/order.h"

/* Fills the totals from the lines. */
void order_sum(Order *o);

/* Gives an id, inserts header, lines, tenders, the day's sums and the event.  *stored = false: that
 * receipt is there already and nothing was written. */
Err order_store(Tx *tx, Order *o, bool *stored);

/* Errors: INVALID "order.invalid" for the till, the number and how many lines and tenders there are. */
Err order_check_head(Ctx *ctx, const Order *o);

Err order_emit(Tx *tx, const Order *o);
