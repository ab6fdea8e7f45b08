/*
 * modules/store/store_hours.c -- the syntax of opening hours.
 */
#include "modules/store/store.h"

static const char DAYS[][3] = {"Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"};

/* What is left to read; each take_*() moves on only when it found what it looks for. */
typedef struct Reader {
    Str s;
    size_t at;
} Reader;

static bool take_char(Reader *r, char c)
{
    if (r->at >= r->s.len || r->s.ptr[r->at] != c)
        return false;
    r->at++;
    return true;
}

static bool take_day(Reader *r)
{
    const Str two = str_slice(r->s, r->at, r->at + 2);
    for (size_t i = 0; i < ARRAY_LEN(DAYS); i++) {
        if (!str_eq(two, str_of(DAYS[i])))
            continue;
        r->at += 2;
        return true;
    }
    return false;
}

static bool take_days(Reader *r)
{
    do {
        if (!take_day(r) || (take_char(r, '-') && !take_day(r)))
            return false;
    } while (take_char(r, ','));
    return true;
}

/* Exactly two digits, at most `max`. */
static bool take_two(Reader *r, int max, int *out)
{
    int v = 0;
    for (size_t i = 0; i < 2; i++) {
        if (r->at >= r->s.len || r->s.ptr[r->at] < '0' || r->s.ptr[r->at] > '9')
            return false;
        v = v * 10 + (r->s.ptr[r->at++] - '0');
    }
    *out = v;
    return v <= max;
}

static bool take_time(Reader *r, int *minute_of_day)
{
    int hour = 0, minute = 0;
    if (!take_two(r, 24, &hour) || !take_char(r, ':') || !take_two(r, 59, &minute))
        return false;
    *minute_of_day = hour * 60 + minute;
    return *minute_of_day <= 24 * 60;
}

static bool take_times(Reader *r)
{
    do {
        int opens = 0, closes = 0;
        if (!take_time(r, &opens) || !take_char(r, '-') || !take_time(r, &closes))
            return false;
        if (opens == closes || opens == 24 * 60)
            return false; /* all day is written without times */
    } while (take_char(r, ','));
    return true;
}

bool store_hours_valid(Str hours)
{
    Reader r = {hours, 0};
    do {
        while (take_char(&r, ' ')) {
        }
        if (!take_days(&r) || (take_char(&r, ' ') && !take_times(&r)))
            return false;
    } while (take_char(&r, ';'));
    return r.at == hours.len;
}
