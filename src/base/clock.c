/*
 * base/clock.c -- the clock of base/clock.h.
 *
 * Civil dates by Howard Hinnant's "chrono-compatible low-level date algorithms" (days_from_civil).
 */
#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

static const int64_t DAY_MS = INT64_C(86400000);

static _Atomic int64_t last_ms; /* the newest answer: the floor of the next one */
static _Atomic int64_t hand_ms; /* set by hand when not 0 */

static int64_t read_ms(clockid_t id)
{
    struct timespec t;
    CHECK(clock_gettime(id, &t) == 0);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_now_ms(void)
{
    const int64_t hand = atomic_load_explicit(&hand_ms, memory_order_relaxed);
    if (hand != 0)
        return hand;
    const int64_t now = read_ms(CLOCK_REALTIME);
    int64_t last = atomic_load_explicit(&last_ms, memory_order_relaxed);
    while (last < now && !atomic_compare_exchange_weak(&last_ms, &last, now)) {
    }
    return last > now ? last : now;
}

void clock_set_ms(int64_t at_ms)
{
    atomic_store(&hand_ms, at_ms);
}

void clock_advance_ms(int64_t by_ms)
{
    CHECK(by_ms >= 0);
    CHECK(atomic_load(&hand_ms) != 0);
    atomic_fetch_add(&hand_ms, by_ms);
}

static int64_t read_us(clockid_t clock)
{
    struct timespec t;
    CHECK(clock_gettime(clock, &t) == 0);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_thread_us(void)
{
    return read_us(CLOCK_THREAD_CPUTIME_ID);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int32_t civil_of_days(int64_t days)
{
    days += 719468;
    const int64_t era = floor_div(days, 146097);
    const int64_t doe = days - era * 146097;
    const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    const int64_t mp = (5 * doy + 2) / 153;
    const int64_t day = doy - (153 * mp + 2) / 5 + 1;
    const int64_t month = mp < 10 ? mp + 3 : mp - 9;
    const int64_t year = yoe + era * 400 + (month <= 2);
    return (int32_t)(year * 10000 + month * 100 + day);
}

static int64_t days_of_civil(int32_t yyyymmdd)
{
    const int64_t month = yyyymmdd / 100 % 100, day = yyyymmdd % 100;
    const int64_t year = yyyymmdd / 10000 - (month <= 2);
    const int64_t era = floor_div(year, 400);
    const int64_t yoe = year - era * 400;
    const int64_t doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    const int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

int32_t clock_day(int64_t at_ms, int32_t offset_min)
{
    return civil_of_days(floor_div(at_ms + (int64_t)offset_min * 60000, DAY_MS));
}

int64_t clock_day_start_ms(int32_t yyyymmdd, int32_t offset_min)
{
    return days_of_civil(yyyymmdd) * DAY_MS - (int64_t)offset_min * 60000;
}

/* Writes `v` as exactly `width` digits and returns the place behind them. */
static char *put_digits(char *at, int64_t v, int width)
{
    for (int i = width; i-- > 0; v /= 10)
        at[i] = (char)('0' + v % 10);
    return at + width;
}

void clock_print(int64_t at_ms, char out[CLOCK_TEXT_BYTES])
{
    const int32_t day = clock_day(at_ms, 0);
    CHECK(day >= 101 && day <= 99991231);
    const int64_t in_day = at_ms - clock_day_start_ms(day, 0);
    const struct {
        int64_t value;
        int width;
        char behind;
    } parts[] = {{day / 10000, 4, '-'},         {day / 100 % 100, 2, '-'},
                 {day % 100, 2, 'T'},           {in_day / 3600000, 2, ':'},
                 {in_day / 60000 % 60, 2, ':'}, {in_day / 1000 % 60, 2, '.'},
                 {in_day % 1000, 3, 'Z'}};
    char *at = out;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        at = put_digits(at, parts[i].value, parts[i].width);
        *at++ = parts[i].behind;
    }
    *at = '\0';
}
