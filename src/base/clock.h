/*
 * base/clock.h -- the only place that reads the time.
 *
 * clock_now_ms() is UTC milliseconds and never goes back within a process, also when somebody sets
 * the machine's clock back: it then stands still until time catches up.  Requests read it once into
 * ctx->now_ms.  Test builds and `--clock` take it over with clock_set_ms().  Threads: any.
 */
#pragma once

#include "base/base.h"

int64_t clock_now_ms(void);

/* From now on the clock stands at `at_ms` until it is set again or moved with clock_advance_ms(). */
void clock_set_ms(int64_t at_ms);
void clock_advance_ms(int64_t by_ms);

/* Monotonic time for deadlines and durations; no relation to any date. */
int64_t clock_mono_us(void);

/* How long the calling thread has had a processor. */
int64_t clock_thread_us(void);

/* Civil date of a UTC instant shifted by `offset_min` minutes east: yyyymmdd. */
int32_t clock_day(int64_t at_ms, int32_t offset_min);

/* Midnight (start) of the civil day yyyymmdd in a zone `offset_min` minutes east of UTC. */
int64_t clock_day_start_ms(int32_t yyyymmdd, int32_t offset_min);

/* RFC 3339 in UTC with milliseconds: "2026-11-21T21:38:00.000Z"; `out` holds CLOCK_TEXT_BYTES. */
enum { CLOCK_TEXT_BYTES = 25 };
void clock_print(int64_t at_ms, char out[CLOCK_TEXT_BYTES]);
