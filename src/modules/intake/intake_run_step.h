/*
 * modules/intake/intake_run_step.h -- a step: rows prepared together and applied in one transaction.
 *
 * Threads: the run's; apply runs on the database's writer, which owns the step from submit to collect.
 */
#pragma once

#include "modules/intake/intake_run_internal.h"

/* What collected steps add up to. */
typedef struct StepSum {
    IntakeTally tally;
    Made made;
    CacheSlot *cache;
} StepSum;

IntakeStep *intake_step_new(const Ctx *ctx); /* in ctx->arena, with an arena of its own */
void intake_step_free(IntakeStep *step);     /* waits for it when it is in flight */

void intake_step_reset(IntakeStep *step, const IntakeFeed *feed);

/* Prepares a row; one that is at fault becomes a reject of the step. */
MUST_USE Err intake_step_add(IntakeStep *step, const IntakeRow *in);
bool intake_step_full(const IntakeStep *step);

/* Gives the step to the database; not empty. */
void intake_step_submit(IntakeStep *step, Database *database);

/*
 * Waits for the step and adds it to `sum`.  When a row made the transaction fail, all are tried alone
 * and those that fail again become rejects.  A step that is not in flight is nothing to do.
 */
MUST_USE Err intake_step_collect(IntakeStep *step, Database *database, StepSum *sum);
