/*
 * modules/intake/intake_time.h -- dates and times as exports write them, and the zones they mean.
 *
 * A pattern is literal text around the letters yyyy MM M dd d HH H mm ss SSS and XXX (Z or +08:00);
 * text in '' is literal; "epoch" and "epoch_ms" are whole numbers since 1970.  A blank in the pattern
 * also accepts the T of ISO 8601.
 * Owns: nothing.  Threads: any.
 */
#pragma once

#include "base/zone.h"

/* zone_load() into ctx->arena, with this room's error.  Errors: INVALID "intake.zone_unknown". */
MUST_USE Err intake_zone_load(Ctx *ctx, Str name, const Zone **out);

/* A pattern names at least year, month and day, each once. */
bool intake_pattern_is_valid(Str pattern);

typedef struct IntakeTime {
    int32_t day;   /* yyyymmdd, local */
    int64_t at_ms; /* UTC; of midnight in the zone when the pattern has no time */
} IntakeTime;

/* False when `text` does not match the pattern as a whole, or is no date that exists (30 February),
 * or is outside the years 1 to 9999. */
MUST_USE bool intake_time_parse(Str text, Str pattern, const Zone *zone, IntakeTime *out);
