/*
 * modules/intake/intake_reject.h -- rows that were not imported, and the file that lists them.
 *
 * Promises: a value that looks like a phone number, a card number or an e-mail address is masked; a
 *           cell that a spreadsheet would run as a formula is made harmless.
 * Owns:     the rejects file until close.          Threads: one at a time.
 */
#pragma once

#include "base/ctx.h"

typedef struct IntakeReject {
    Str file;
    int64_t line; /* physical line in the file, or row of the sheet */
    Str column;   /* empty when it is about the row as a whole */
    Str value;
    const char *reason;   /* stable code, "intake.not_a_number" */
    const char *sentence; /* for a person */
} IntakeReject;

typedef Err (*IntakeRejectFn)(void *arg, Ctx *ctx, const IntakeReject *reject);

/* Appends `value` as it may be shown: at most 80 bytes; digits in runs of 7 or more become * but for
 * the last two; of an e-mail address only the first letter and the domain remain. */
void intake_mask_value(Buf *out, Str value);

typedef struct RejectWriter RejectWriter;

/* Makes the CSV file: file,line,column,value,reason,message.  Errors: BUSY
 * "intake.rejects_unwritable". */
MUST_USE Err intake_reject_open(Ctx *ctx, const char *path, RejectWriter **out);

/* An IntakeRejectFn; `arg` is the RejectWriter. */
MUST_USE Err intake_reject_put(void *arg, Ctx *ctx, const IntakeReject *reject);

/* Writes what is left and closes, also when it fails. */
MUST_USE Err intake_reject_close(RejectWriter *writer, Ctx *ctx);
