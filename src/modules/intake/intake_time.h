/*
 * modules/intake/intake_time.h -- dates and times as exports write them, and the zones they mean.
 *
 * A pattern is literal text around the letters yyyy MM M dd d HH H mm ss SSS and XXX (Z or +08:00);
 * text in '' is literal; "epoch" and "epoch_ms" are whole numbers since 1970.  A blank in the pattern
 * also accepts the T of ISO 8601.
 * A zone is a fixed offset ("UTC", "+08:00") or a name of the system's tz database, read from its
 * file: no environment variable, no lock, no state of libc.
 * Owns: nothing.  Threads: any.
 */
#pragma once

#include "base/ctx.h"

typedef struct IntakeZone IntakeZone; /* immutable */

/* Into ctx->arena.  Errors: INVALID "intake.zone_unknown". */
MUST_USE Err intake_zone_load(Ctx *ctx, Str name, const IntakeZone **out);

/* The UTC instant of a local time (milliseconds as if the local clock were UTC).  A time that happens
 * twice is the first of the two; one that the clocks jump over is read with the offset before. */
int64_t intake_zone_to_utc(const IntakeZone *zone, int64_t local_ms);

/* The local time (same reading) of a UTC instant. */
int64_t intake_zone_to_local(const IntakeZone *zone, int64_t utc_ms);

/* A pattern names at least year, month and day, each once. */
bool intake_pattern_is_valid(Str pattern);

typedef struct IntakeTime {
    int32_t day;   /* yyyymmdd, local */
    int64_t at_ms; /* UTC; of midnight in the zone when the pattern has no time */
} IntakeTime;

/* False when `text` does not match the pattern as a whole, or is no date that exists (30 February),
 * or is outside the years 1 to 9999. */
MUST_USE bool intake_time_parse(Str text, Str pattern, const IntakeZone *zone, IntakeTime *out);
