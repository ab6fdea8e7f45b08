/*
 * base/zone.c -- the tz database's files (TZif, RFC 8536).
 *
 * Of a file the 64-bit block is used, and behind its last transition the footer's rule ("EST5EDT,M3.2.0,M11.1.0"),
 * without which files made with `zic -b slim` would end in the past: it is written out to spans, year by year.
 */
#include "base/zone.h"

#include "base/clock.h"
#include "base/cursor.h"
#include "base/nearest.h"

#include <fcntl.h>
#include <unistd.h>

enum {
    TZIF_BYTES_MAX = 64 * 1024,
    TZIF_HEADER_BYTES = 44,
    OFFSET_S_MAX = 26 * 3600 - 1, /* RFC 8536, 3.2: what readers must take */
    FIRST_YEAR = 1900,            /* of a rule that no transition stands before */
    DAY_S = 86400,
};
static const int64_t DAY_MS = INT64_C(86400000);

/* ---- spans ---- */

typedef struct Spans {
    ZoneSpan *at;
    size_t count, cap;
} Spans;

/* A later word on the same instant counts.  False when it lies before the others, or no clock is so wrong. */
static bool add_span(Spans *to, int64_t from_s, int64_t offset_s)
{
    static const int64_t LIMIT_S = INT64_C(1) << 53;
    if (offset_s < -OFFSET_S_MAX || offset_s > OFFSET_S_MAX || from_s > LIMIT_S)
        return false;
    const ZoneSpan span = {from_s < -LIMIT_S ? INT64_MIN : from_s * 1000, offset_s * 1000};
    while (to->count > 0 && to->at[to->count - 1].from_ms == span.from_ms)
        to->count--;
    if (to->count > 0 && to->at[to->count - 1].from_ms > span.from_ms)
        return false;
    if (to->count > 0 && to->at[to->count - 1].offset_ms == span.offset_ms)
        return true;
    CHECK(to->count < to->cap);
    to->at[to->count++] = span;
    return true;
}

/* ---- the rule of a footer ---- */

typedef enum ChangeKind {
    CHANGE_WEEKDAY, /* M3.2.0 */
    CHANGE_NO_LEAP, /* J60: 1 to 365, 29 February is not counted */
    CHANGE_DAY,     /* 59: 0 to 365 */
} ChangeKind;

typedef struct Change {
    ChangeKind kind;
    int64_t month, week, weekday; /* week 5 = the last; weekday 0 = Sunday */
    int64_t day;
    int64_t at_s; /* local seconds of the day, may be negative or past 24 h */
} Change;

typedef struct FooterRule {
    bool has_summer;
    int64_t winter_s, summer_s;
    Change to_summer, to_winter;
} FooterRule;

/* Days since 1970. */
static int64_t day_number(int64_t year, int64_t month, int64_t day)
{
    return clock_day_start_ms((int32_t)(year * 10000 + month * 100 + day), 0) / DAY_MS;
}

static int64_t weekday_of_month(const Change *c, int64_t year)
{
    const int64_t start = day_number(year, c->month, 1);
    const int64_t end =
        c->month == 12 ? day_number(year + 1, 1, 1) : day_number(year, c->month + 1, 1);
    const int64_t weekday = ((start + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
    int64_t day = start + (c->weekday - weekday + 7) % 7 + (c->week - 1) * 7;
    while (day >= end)
        day -= 7;
    return day;
}

/* Local seconds since 1970 of the change in `year`. */
static int64_t change_s(const Change *c, int64_t year)
{
    int64_t day = 0;
    if (c->kind == CHANGE_WEEKDAY)
        day = weekday_of_month(c, year);
    else if (c->kind == CHANGE_NO_LEAP)
        day = c->day < 60 ? day_number(year, 1, 1) + c->day - 1
                          : day_number(year, 3, 1) + c->day - 60;
    else
        day = day_number(year, 1, 1) + c->day;
    return day * DAY_S + c->at_s;
}

/* "8", "08:00", "-3:30:15" in seconds. */
static bool take_hms(Cursor *k, int64_t *out_s)
{
    const bool negative = cursor_take(k, '-');
    int64_t h = 0, m = 0, s = 0;
    if (!negative)
        (void)cursor_take(k, '+');
    if (!cursor_digits(k, 1, 3, &h))
        return false;
    if (cursor_take(k, ':') && !cursor_digits(k, 2, 2, &m))
        return false;
    if (cursor_take(k, ':') && !cursor_digits(k, 2, 2, &s))
        return false;
    const int64_t v = h * 3600 + m * 60 + s;
    *out_s = negative ? -v : v;
    return true;
}

static bool take_zone_name(Cursor *k)
{
    const size_t from = k->at;
    if (cursor_take(k, '<')) {
        while (cursor_peek(k) != '>' && cursor_peek(k) != '\0')
            k->at++;
        return cursor_take(k, '>');
    }
    while ((cursor_peek(k) | 0x20) >= 'a' && (cursor_peek(k) | 0x20) <= 'z')
        k->at++;
    return k->at > from;
}

/* "M3.2.0" */
static bool take_weekday(Cursor *k, Change *c)
{
    c->kind = CHANGE_WEEKDAY;
    if (!cursor_digits(k, 1, 2, &c->month) || !cursor_take(k, '.') ||
        !cursor_digits(k, 1, 1, &c->week) || !cursor_take(k, '.') ||
        !cursor_digits(k, 1, 1, &c->weekday))
        return false;
    return c->month >= 1 && c->month <= 12 && c->week >= 1 && c->week <= 5 && c->weekday <= 6;
}

/* "J60", "59" */
static bool take_day(Cursor *k, Change *c)
{
    c->kind = cursor_take(k, 'J') ? CHANGE_NO_LEAP : CHANGE_DAY;
    return cursor_digits(k, 1, 3, &c->day) && c->day <= 365 &&
           (c->kind == CHANGE_DAY || c->day >= 1);
}

/* ",M3.2.0/2" */
static bool take_change(Cursor *k, Change *c)
{
    c->at_s = 7200;
    if (!cursor_take(k, ',') || !(cursor_take(k, 'M') ? take_weekday(k, c) : take_day(k, c)))
        return false;
    return !cursor_take(k, '/') || take_hms(k, &c->at_s);
}

/* False: not understood, or none. */
static bool read_footer(Str footer, FooterRule *r)
{
    Cursor k = {.s = footer};
    int64_t west_s = 0;
    if (!take_zone_name(&k) || !take_hms(&k, &west_s))
        return false;
    r->winter_s = -west_s;
    r->summer_s = r->winter_s + 3600;
    if (k.at == k.s.len)
        return true;
    if (!take_zone_name(&k))
        return false;
    if (cursor_peek(&k) != ',') {
        if (!take_hms(&k, &west_s))
            return false;
        r->summer_s = -west_s;
    }
    r->has_summer = true;
    return take_change(&k, &r->to_summer) && take_change(&k, &r->to_winter) && k.at == k.s.len;
}

/* Both of a year, in their order. */
static bool add_year(const FooterRule *r, int64_t year, int64_t last_s, Spans *to)
{
    const int64_t summer = change_s(&r->to_summer, year) - r->winter_s;
    const int64_t winter = change_s(&r->to_winter, year) - r->summer_s;
    const bool north = summer < winter;
    const int64_t at[2] = {north ? summer : winter, north ? winter : summer};
    const int64_t offset[2] = {north ? r->summer_s : r->winter_s,
                               north ? r->winter_s : r->summer_s};
    for (int i = 0; i < 2; i++)
        if (at[i] > last_s && !add_span(to, at[i], offset[i]))
            return false;
    return true;
}

/* The rule's changes behind `last_s`, the file's last transition. */
static bool add_rule(const FooterRule *r, int64_t last_s, Spans *to)
{
    const int64_t first_s = day_number(FIRST_YEAR, 1, 1) * DAY_S;
    const int64_t end_s = day_number(ZONE_LAST_YEAR + 1, 1, 1) * DAY_S;
    const int64_t from_s = last_s > first_s ? last_s : first_s;
    if (from_s >= end_s)
        return true;
    if (!r->has_summer)
        return add_span(to, from_s, r->winter_s);
    for (int64_t year = clock_day(from_s * 1000, 0) / 10000 - 1; year <= ZONE_LAST_YEAR; year++)
        if (!add_year(r, year, from_s, to))
            return false;
    return true;
}

/* ---- the file ---- */

static int64_t big_endian(const char *p, size_t bytes)
{
    uint64_t v = bytes == 4 && (p[0] & 0x80) != 0 ? ~UINT64_C(0) : 0; /* sign of a 32-bit value */
    for (size_t i = 0; i < bytes; i++)
        v = v << 8 | (unsigned char)p[i];
    return (int64_t)v;
}

typedef struct TzCounts {
    size_t ut, std, leap, time, type, chars;
} TzCounts;

static bool tz_header(Str file, size_t at, TzCounts *n)
{
    if (at + TZIF_HEADER_BYTES > file.len ||
        !str_starts_with(str_slice(file, at, file.len), STR("TZif")))
        return false;
    size_t *const count[] = {&n->ut, &n->std, &n->leap, &n->time, &n->type, &n->chars};
    for (size_t i = 0; i < ARRAY_LEN(count); i++) {
        const int64_t v = big_endian(file.ptr + at + 20 + i * 4, 4);
        if (v < 0 || v > TZIF_BYTES_MAX)
            return false;
        *count[i] = (size_t)v;
    }
    return true;
}

static size_t tz_body_bytes(const TzCounts *n, size_t time_bytes)
{
    return n->time * (time_bytes + 1) + n->type * 6 + n->chars + n->leap * (time_bytes + 4) +
           n->std + n->ut;
}

static bool add_transitions(Str file, size_t times, const TzCounts *n, Spans *to)
{
    const size_t kinds = times + n->time * 8, types = kinds + n->time;
    if (!add_span(to, INT64_MIN, big_endian(file.ptr + types, 4)))
        return false;
    for (size_t i = 0; i < n->time; i++) {
        const size_t kind = (unsigned char)file.ptr[kinds + i];
        if (kind >= n->type || !add_span(to, big_endian(file.ptr + times + i * 8, 8),
                                         big_endian(file.ptr + types + kind * 6, 4)))
            return false;
    }
    return true;
}

/* Version 2 and later: a 32-bit block to pass over, then the 64-bit block and the footer.  With leap seconds (the
 * folder "right") its seconds would not be those of UTC. */
bool zone_parse(Ctx *ctx, Str file, const Zone **out)
{
    TzCounts n = {0};
    if (!tz_header(file, 0, &n) || file.ptr[4] < '2')
        return false;
    const size_t second = TZIF_HEADER_BYTES + tz_body_bytes(&n, 4);
    if (!tz_header(file, second, &n) || n.type == 0 || n.leap > 0)
        return false;
    const size_t times = second + TZIF_HEADER_BYTES, body = tz_body_bytes(&n, 8);
    if (times + body > file.len)
        return false;
    Spans spans = {.cap = n.time + 2 + 2 * (size_t)(ZONE_LAST_YEAR - FIRST_YEAR + 2)};
    spans.at = ARENA_ARRAY(ctx->arena, ZoneSpan, spans.cap);
    if (!add_transitions(file, times, &n, &spans))
        return false;
    FooterRule rule = {.has_summer = false};
    const int64_t last_s =
        n.time > 0 ? big_endian(file.ptr + times + (n.time - 1) * 8, 8) : INT64_MIN;
    /* A footer that is not understood: the last transition holds on. */
    if (read_footer(str_trim(str_slice(file, times + body, file.len)), &rule) &&
        !add_rule(&rule, last_s, &spans))
        return false;
    Zone *zone = ARENA_NEW(ctx->arena, Zone);
    *zone = (Zone){spans.at, spans.count};
    *out = zone;
    return true;
}

/* ---- names ---- */

const Zone *zone_fixed(Arena *arena, int32_t offset_min)
{
    ZoneSpan *span = ARENA_NEW(arena, ZoneSpan);
    Zone *zone = ARENA_NEW(arena, Zone);
    *span = (ZoneSpan){INT64_MIN, (int64_t)offset_min * 60000};
    *zone = (Zone){span, 1};
    return zone;
}

bool zone_offset_min(Str name, int32_t *out_min)
{
    *out_min = 0;
    if (str_eq(name, STR("UTC")) || str_eq(name, STR("Z")))
        return true;
    Cursor k = {.s = name, .at = 1};
    int64_t h = 0, m = 0;
    if (name.len < 5 || (name.ptr[0] != '+' && name.ptr[0] != '-') || !cursor_digits(&k, 2, 2, &h))
        return false;
    (void)cursor_take(&k, ':');
    if (!cursor_digits(&k, 2, 2, &m) || k.at != name.len || h > 15 || m > 59)
        return false;
    *out_min = (int32_t)((h * 60 + m) * (name.ptr[0] == '-' ? -1 : 1));
    return true;
}

static bool is_capital(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_zone_path(Str name)
{
    for (size_t i = 0; i < name.len; i++) {
        const char c = name.ptr[i], low = (char)(c | 0x20);
        const bool known = (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
                           c == '-' || c == '+' || c == '/';
        if (!known || ((i == 0 || name.ptr[i - 1] == '/') && !is_capital(c)))
            return false;
    }
    return name.len > 0 && name.len <= ZONE_NAME_BYTES_MAX;
}

/* Empty when there is none. */
static Str read_zone_file(Ctx *ctx, Str name)
{
    const Str path = arena_printf(ctx->arena, ZONE_FOLDER "/%.*s", STR_ARG(name));
    const int fd = open(path.ptr, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return (Str){NULL, 0};
    char *bytes = arena_bytes(ctx->arena, TZIF_BYTES_MAX);
    const ssize_t n = read(fd, bytes, TZIF_BYTES_MAX);
    (void)close(fd);
    return (Str){bytes, n < 0 ? 0 : (size_t)n};
}

bool zone_load(Ctx *ctx, Str name, const Zone **out)
{
    int32_t offset_min = 0;
    if (zone_offset_min(name, &offset_min)) {
        *out = zone_fixed(ctx->arena, offset_min);
        return true;
    }
    return is_zone_path(name) && zone_parse(ctx, read_zone_file(ctx, name), out);
}

/* The third column of a line of zone.tab. */
static Str name_of_line(Str line)
{
    size_t from = 0;
    for (int tabs = 0; tabs < 2; tabs++) {
        const int64_t tab = str_index(line, '\t', from);
        if (tab < 0 || line.ptr[0] == '#')
            return STR("");
        from = (size_t)tab + 1;
    }
    const int64_t end = str_index(line, '\t', from);
    return str_slice(line, from, end < 0 ? line.len : (size_t)end);
}

static Str city_of(Str name)
{
    size_t from = 0;
    for (int64_t at = str_index(name, '/', 0); at >= 0; at = str_index(name, '/', from))
        from = (size_t)at + 1;
    return str_slice(name, from, name.len);
}

Str zone_nearest(Ctx *ctx, Str name)
{
    const Str table = read_zone_file(ctx, STR("zone.tab"));
    Nearest whole = nearest_to(name), city = nearest_to(city_of(name));
    Str of_city = STR("");
    for (size_t from = 0; from < table.len;) {
        const int64_t newline = str_index(table, '\n', from);
        const size_t end = newline < 0 ? table.len : (size_t)newline;
        const Str known = name_of_line(str_slice(table, from, end));
        const uint32_t before = city.best_distance;
        nearest_try(&whole, known);
        nearest_try(&city, city_of(known));
        if (city.best_distance < before)
            of_city = known;
        from = end + 1;
    }
    return whole.best.len > 0 ? whole.best : of_city;
}

/* ---- what it says ---- */

/* The span that the instant is in. */
static size_t span_at(const Zone *zone, int64_t utc_ms)
{
    size_t low = 0, high = zone->count;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (zone->spans[middle].from_ms <= utc_ms)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static int64_t offset_at(const Zone *zone, int64_t utc_ms)
{
    return zone->spans[span_at(zone, utc_ms)].offset_ms;
}

int64_t zone_to_local(const Zone *zone, int64_t utc_ms)
{
    return utc_ms + offset_at(zone, utc_ms);
}

int64_t zone_to_utc(const Zone *zone, int64_t local_ms)
{
    const int64_t before = offset_at(zone, local_ms - DAY_MS);
    const int64_t after = offset_at(zone, local_ms + DAY_MS);
    const bool is_after =
        offset_at(zone, local_ms - before) != before && offset_at(zone, local_ms - after) == after;
    return local_ms - (is_after ? after : before);
}

int64_t zone_first_ms(const Zone *zone, int64_t local_ms)
{
    const int64_t early_ms = local_ms - (OFFSET_S_MAX + 1) * INT64_C(1000);
    size_t i = span_at(zone, early_ms);
    for (; i + 1 < zone->count; i++)
        if (local_ms - zone->spans[i].offset_ms < zone->spans[i + 1].from_ms)
            break;
    const int64_t at_ms = local_ms - zone->spans[i].offset_ms;
    return at_ms < zone->spans[i].from_ms ? zone->spans[i].from_ms : at_ms;
}

int64_t zone_next_turn_ms(const Zone *zone, int64_t utc_ms)
{
    const size_t next = span_at(zone, utc_ms) + 1;
    return next < zone->count ? zone->spans[next].from_ms : INT64_MAX;
}
