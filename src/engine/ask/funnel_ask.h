/*
 * engine/ask/funnel_ask.h -- what a funnel asks of the scan, and what no funnel may be.  Private to funnel*.c.
 */
#pragma once

#include "engine/ask/funnel.h"

/* The selects of FunnelPlan; the values of the breakdown, then those that are held. */
ScanAsk funnel_ask(Ctx *ctx, const Funnel *f);

/* Errors: "query.too_large". */
MUST_USE Err funnel_check(Ctx *ctx, const Funnel *f);
