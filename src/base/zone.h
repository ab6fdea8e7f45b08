/*
 * base/zone.h -- time zones by their IANA names: what a clock on the wall shows at an instant.
 *
 * A zone is a list of spans with one offset each.  It is read from the system's tz database
 * (ZONE_FOLDER, Debian's tzdata) once per use: no environment variable, no lock, no state of libc.
 * Behind the last year of the list (ZONE_LAST_YEAR) its last offset holds on.
 *
 * A local time is written as the milliseconds of that civil time if it were UTC.
 * Owns: nothing; zones live in ctx->arena and are immutable.  Threads: any.
 */
#pragma once

#include "base/ctx.h"

enum { ZONE_LAST_YEAR = 2106, ZONE_NAME_BYTES_MAX = 63 };
#define ZONE_FOLDER "/usr/share/zoneinfo"

/* From this instant on clocks are so far ahead of UTC; neighbours differ. */
typedef struct ZoneSpan {
    int64_t from_ms; /* of the first: INT64_MIN */
    int64_t offset_ms;
} ZoneSpan;

typedef struct Zone {
    const ZoneSpan *spans;
    size_t count; /* at least 1 */
} Zone;

/* A zone whose clocks are never turned. */
const Zone *zone_fixed(Arena *arena, int32_t offset_min);

/* "UTC", "Z", "+08:00", "-0330".  False: another name. */
MUST_USE bool zone_offset_min(Str name, int32_t *out_min);

/*
 * "Asia/Shanghai", "UTC", "+08:00".  No other file than one of the database can be meant: the parts of a name begin
 * with a capital letter, so that it can neither climb nor name the folder's other files.  False: there is none.
 */
MUST_USE bool zone_load(Ctx *ctx, Str name, const Zone **out);

/* The bytes of a file of the database (TZif, RFC 8536, version 2 or later).  False when they are not that. */
MUST_USE bool zone_parse(Ctx *ctx, Str file, const Zone **out);

/* The name that was probably meant ("asia/shangai", "New York"); empty when none is near. */
Str zone_nearest(Ctx *ctx, Str name);

int64_t zone_to_local(const Zone *zone, int64_t utc_ms);

/* A local time that happens twice is the first of the two; one that the clocks jump over is read with the offset
 * before. */
int64_t zone_to_utc(const Zone *zone, int64_t local_ms);

/* The first instant at which clocks show this local time or a later one. */
int64_t zone_first_ms(const Zone *zone, int64_t local_ms);

/* When the clocks are next turned, behind this instant; INT64_MAX = never. */
int64_t zone_next_turn_ms(const Zone *zone, int64_t utc_ms);
