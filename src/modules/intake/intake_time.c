/*
 * modules/intake/intake_time.c -- patterns, and the tz database's files (TZif, RFC 8536).
 *
 * Of a TZif file the 64-bit block is used, and behind its last transition the footer's rule
 * ("EST5EDT,M3.2.0,M11.1.0"), without which files made with `zic -b slim` would end in the past.
 */
#include "modules/intake/intake_time.h"

#include "base/clock.h"
#include <fcntl.h>
#include <unistd.h>

enum {
    TZIF_BYTES_MAX = 64 * 1024,
    TZIF_HEADER_BYTES = 44,
    DAY_S = 86400,
};
static const int64_t DAY_MS = INT64_C(86400000);

typedef struct Change {
    int month, week, weekday; /* week 5 = the last; weekday 0 = Sunday */
    int64_t at_s;             /* local seconds of the day, may be negative or past 24 h */
} Change;

struct IntakeZone {
    int64_t first_s; /* offset before the first transition; all there is for a fixed zone */
    size_t transitions;
    int64_t *at_s;     /* UTC */
    int64_t *offset_s; /* from that transition on, seconds east */
    bool has_rule;     /* of the footer, for the time behind the last transition */
    bool has_summer;
    int64_t winter_s, summer_s;
    Change to_summer, to_winter;
};

/* ---- a scanner over text, used by patterns and footers ---- */

typedef struct Scan {
    Str s;
    size_t at;
} Scan;

static char peek(const Scan *k)
{
    return k->at < k->s.len ? k->s.ptr[k->at] : '\0';
}

static bool take(Scan *k, char c)
{
    if (k->at >= k->s.len || k->s.ptr[k->at] != c)
        return false;
    k->at++;
    return true;
}

/* Between `least` and `most` digits. */
static bool take_digits(Scan *k, int least, int most, int64_t *out)
{
    int64_t v = 0;
    int n = 0;
    for (; n < most && peek(k) >= '0' && peek(k) <= '9'; n++)
        v = v * 10 + (k->s.ptr[k->at++] - '0');
    if (n < least)
        return false;
    *out = v;
    return true;
}

/* "8", "08:00", "-3:30:15" in seconds. */
static bool take_hms(Scan *k, int64_t *out_s)
{
    const bool negative = take(k, '-');
    int64_t h = 0, m = 0, s = 0;
    if (!negative)
        (void)take(k, '+');
    if (!take_digits(k, 1, 3, &h))
        return false;
    if (take(k, ':') && !take_digits(k, 2, 2, &m))
        return false;
    if (take(k, ':') && !take_digits(k, 2, 2, &s))
        return false;
    const int64_t v = h * 3600 + m * 60 + s;
    *out_s = negative ? -v : v;
    return true;
}

/* ---- zones ---- */

/* Days since 1970 of the change in `year`. */
static int64_t change_day(const Change *c, int64_t year)
{
    const int32_t first = (int32_t)(year * 10000 + c->month * 100 + 1);
    const int32_t behind = c->month == 12 ? (int32_t)((year + 1) * 10000 + 101) : first + 100;
    const int64_t start = clock_day_start_ms(first, 0) / DAY_MS;
    const int64_t end = clock_day_start_ms(behind, 0) / DAY_MS;
    const int64_t weekday = ((start + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
    int64_t day = start + (c->weekday - weekday + 7) % 7 + (c->week - 1) * 7;
    while (day >= end)
        day -= 7;
    return day;
}

static int64_t rule_offset(const IntakeZone *z, int64_t utc_s)
{
    if (!z->has_summer)
        return z->winter_s;
    const int64_t year = clock_day((utc_s + z->winter_s) * 1000, 0) / 10000;
    const int64_t summer =
        change_day(&z->to_summer, year) * DAY_S + z->to_summer.at_s - z->winter_s;
    const int64_t winter =
        change_day(&z->to_winter, year) * DAY_S + z->to_winter.at_s - z->summer_s;
    const bool in_summer =
        summer < winter ? utc_s >= summer && utc_s < winter : utc_s >= summer || utc_s < winter;
    return in_summer ? z->summer_s : z->winter_s;
}

static int64_t offset_at(const IntakeZone *z, int64_t utc_s)
{
    size_t from = 0, to = z->transitions; /* the first transition behind utc_s is in [from, to] */
    while (from < to) {
        const size_t mid = from + (to - from) / 2;
        if (z->at_s[mid] <= utc_s)
            from = mid + 1;
        else
            to = mid;
    }
    if (from == z->transitions && z->has_rule)
        return rule_offset(z, utc_s);
    return from == 0 ? z->first_s : z->offset_s[from - 1];
}

int64_t intake_zone_to_local(const IntakeZone *z, int64_t utc_ms)
{
    return utc_ms + offset_at(z, utc_ms / 1000 - (utc_ms % 1000 < 0)) * 1000;
}

int64_t intake_zone_to_utc(const IntakeZone *z, int64_t local_ms)
{
    const int64_t local_s = local_ms / 1000 - (local_ms % 1000 < 0);
    const int64_t before = offset_at(z, local_s - DAY_S), after = offset_at(z, local_s + DAY_S);
    const bool is_after =
        offset_at(z, local_s - before) != before && offset_at(z, local_s - after) == after;
    return local_ms - (is_after ? after : before) * 1000;
}

static bool take_zone_name(Scan *k)
{
    const size_t from = k->at;
    if (take(k, '<')) {
        while (peek(k) != '>' && peek(k) != '\0')
            k->at++;
        return take(k, '>');
    }
    while ((peek(k) | 0x20) >= 'a' && (peek(k) | 0x20) <= 'z')
        k->at++;
    return k->at > from;
}

/* ",M3.2.0/2" */
static bool take_change(Scan *k, Change *c)
{
    int64_t month = 0, week = 0, weekday = 0;
    c->at_s = 7200;
    if (!take(k, ',') || !take(k, 'M') || !take_digits(k, 1, 2, &month) || !take(k, '.') ||
        !take_digits(k, 1, 1, &week) || !take(k, '.') || !take_digits(k, 1, 1, &weekday))
        return false;
    if (take(k, '/') && !take_hms(k, &c->at_s))
        return false;
    c->month = (int)month;
    c->week = (int)week;
    c->weekday = (int)weekday;
    return month >= 1 && month <= 12 && week >= 1 && week <= 5 && weekday <= 6;
}

/* A footer that is not understood leaves has_rule false: then the last transition holds on. */
static void read_footer(IntakeZone *z, Str footer)
{
    Scan k = {.s = footer};
    int64_t west_s = 0;
    if (!take_zone_name(&k) || !take_hms(&k, &west_s))
        return;
    z->winter_s = -west_s;
    z->summer_s = z->winter_s + 3600;
    if (k.at == k.s.len) {
        z->has_rule = true;
        return;
    }
    if (!take_zone_name(&k))
        return;
    if (peek(&k) != ',') {
        if (!take_hms(&k, &west_s))
            return;
        z->summer_s = -west_s;
    }
    z->has_summer = take_change(&k, &z->to_summer) && take_change(&k, &z->to_winter);
    z->has_rule = z->has_summer && k.at == k.s.len;
}

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

/* Version 2 and later: a 32-bit block to pass over, then the 64-bit block and the footer. */
static bool read_tzif(Ctx *ctx, Str file, IntakeZone *z)
{
    TzCounts n = {0};
    if (!tz_header(file, 0, &n) || file.ptr[4] < '2')
        return false;
    const size_t second = TZIF_HEADER_BYTES + tz_body_bytes(&n, 4);
    if (!tz_header(file, second, &n) || n.type == 0)
        return false;
    const size_t times = second + TZIF_HEADER_BYTES, body = tz_body_bytes(&n, 8);
    if (times + body > file.len)
        return false;
    const size_t kinds = times + n.time * 8, types = kinds + n.time;
    z->first_s = big_endian(file.ptr + types, 4);
    z->transitions = n.time;
    z->at_s = ARENA_ARRAY(ctx->arena, int64_t, n.time);
    z->offset_s = ARENA_ARRAY(ctx->arena, int64_t, n.time);
    for (size_t i = 0; i < n.time; i++) {
        const size_t kind = (unsigned char)file.ptr[kinds + i];
        if (kind >= n.type)
            return false;
        z->at_s[i] = big_endian(file.ptr + times + i * 8, 8);
        z->offset_s[i] = big_endian(file.ptr + types + kind * 6, 4);
    }
    read_footer(z, str_trim(str_slice(file, times + body, file.len)));
    return true;
}

/* "UTC", "Z", "+08:00", "-0330". */
static bool fixed_offset(Str name, int64_t *out_s)
{
    if (str_eq(name, STR("UTC")) || str_eq(name, STR("Z"))) {
        *out_s = 0;
        return true;
    }
    Scan k = {.s = name, .at = 1};
    int64_t h = 0, m = 0;
    if (name.len < 5 || (name.ptr[0] != '+' && name.ptr[0] != '-') || !take_digits(&k, 2, 2, &h))
        return false;
    (void)take(&k, ':');
    if (!take_digits(&k, 2, 2, &m) || k.at != name.len || h > 15 || m > 59)
        return false;
    *out_s = (h * 60 + m) * (name.ptr[0] == '-' ? -60 : 60);
    return true;
}

static bool is_zone_path(Str name)
{
    for (size_t i = 0; i < name.len; i++) {
        const char c = name.ptr[i], low = (char)(c | 0x20);
        const bool known = (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
                           c == '-' || c == '+' || c == '/';
        if (!known)
            return false;
    }
    return name.len > 0 && name.len < 64 && name.ptr[0] != '/';
}

static Str read_zone_file(Ctx *ctx, Str name)
{
    const Str path = arena_printf(ctx->arena, "/usr/share/zoneinfo/%.*s", STR_ARG(name));
    const int fd = open(path.ptr, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return (Str){NULL, 0};
    char *bytes = arena_bytes(ctx->arena, TZIF_BYTES_MAX);
    const ssize_t n = read(fd, bytes, TZIF_BYTES_MAX);
    (void)close(fd);
    return (Str){bytes, n < 0 ? 0 : (size_t)n};
}

Err intake_zone_load(Ctx *ctx, Str name, const IntakeZone **out)
{
    IntakeZone *z = ARENA_NEW(ctx->arena, IntakeZone);
    const bool known = fixed_offset(name, &z->first_s) ||
                       (is_zone_path(name) && read_tzif(ctx, read_zone_file(ctx, name), z));
    if (!known)
        return fail_field(ctx, "", "intake.zone_unknown",
                          "no time zone \"%.*s\": write UTC, an offset as +08:00, or a name as "
                          "Asia/Shanghai",
                          (int)(name.len < 40 ? name.len : 40), name.ptr);
    *out = z;
    return ERR_OK;
}

/* ---- patterns ---- */

typedef enum Part { YEAR, MONTH, DAY, HOUR, MINUTE, SECOND, MILLI, OFFSET, PART_COUNT } Part;

static const struct {
    Str letters;
    Part part;
    int least, most; /* digits */
} PARTS[] = {
    {{"yyyy", 4}, YEAR, 4, 4}, {{"MM", 2}, MONTH, 2, 2},   {{"M", 1}, MONTH, 1, 2},
    {{"dd", 2}, DAY, 2, 2},    {{"d", 1}, DAY, 1, 2},      {{"HH", 2}, HOUR, 2, 2},
    {{"H", 1}, HOUR, 1, 2},    {{"mm", 2}, MINUTE, 2, 2},  {{"ss", 2}, SECOND, 2, 2},
    {{"SSS", 3}, MILLI, 3, 3}, {{"XXX", 3}, OFFSET, 0, 0},
};

/* Index in PARTS of the letters that stand at the scan's place, -1 when they are literal. */
static int pattern_part(const Scan *p)
{
    const Str rest = str_slice(p->s, p->at, p->s.len);
    for (size_t i = 0; i < ARRAY_LEN(PARTS); i++)
        if (str_starts_with(rest, PARTS[i].letters))
            return (int)i;
    return -1;
}

static bool is_epoch(Str pattern)
{
    return str_eq(pattern, STR("epoch")) || str_eq(pattern, STR("epoch_ms"));
}

bool intake_pattern_is_valid(Str pattern)
{
    if (is_epoch(pattern))
        return true;
    int seen[PART_COUNT] = {0};
    bool quoted = false;
    Scan p = {.s = pattern};
    while (p.at < p.s.len) {
        const int i = quoted ? -1 : pattern_part(&p);
        const char low = (char)(peek(&p) | 0x20);
        if (peek(&p) == '\'')
            quoted = !quoted;
        else if (i < 0 && !quoted && peek(&p) != 'T' && low >= 'a' && low <= 'z')
            return false;
        if (i >= 0)
            seen[PARTS[i].part]++;
        p.at += i < 0 ? 1 : PARTS[i].letters.len;
    }
    for (size_t i = 0; i < PART_COUNT; i++)
        if (seen[i] > 1)
            return false;
    return !quoted && seen[YEAR] && seen[MONTH] && seen[DAY];
}

static bool take_offset(Scan *k, int64_t *out_s)
{
    const size_t len = peek(k) == 'Z' ? 1 : 6;
    const bool ok = fixed_offset(str_slice(k->s, k->at, k->at + len), out_s);
    k->at += len;
    return ok;
}

/* Reads `text` by `pattern` into value[Part]. */
static bool match(Str text, Str pattern, int64_t value[PART_COUNT], bool *has_offset)
{
    Scan k = {.s = text}, p = {.s = pattern};
    bool quoted = false;
    while (p.at < p.s.len) {
        const char literal = peek(&p);
        const int i = quoted ? -1 : pattern_part(&p);
        p.at += i < 0 ? 1 : PARTS[i].letters.len;
        bool ok = true;
        if (literal == '\'')
            quoted = !quoted;
        else if (i < 0)
            ok = take(&k, literal) || (literal == ' ' && take(&k, 'T'));
        else if (PARTS[i].part == OFFSET)
            ok = *has_offset = take_offset(&k, &value[OFFSET]);
        else
            ok = take_digits(&k, PARTS[i].least, PARTS[i].most, &value[PARTS[i].part]);
        if (!ok)
            return false;
    }
    return k.at == k.s.len;
}

static bool parse_epoch(Str text, int64_t unit_ms, const IntakeZone *zone, IntakeTime *out)
{
    static const int64_t LIMIT_S = INT64_C(253402300800); /* 10000-01-01 */
    int64_t v = 0;
    if (!str_to_i64(text, &v) || v < 0 || v / (1000 / unit_ms) >= LIMIT_S)
        return false;
    const int64_t at_ms = v * unit_ms;
    *out = (IntakeTime){clock_day(intake_zone_to_local(zone, at_ms), 0), at_ms};
    return true;
}

bool intake_time_parse(Str text, Str pattern, const IntakeZone *zone, IntakeTime *out)
{
    if (is_epoch(pattern))
        return parse_epoch(text, pattern.len == 5 ? 1000 : 1, zone, out);
    int64_t v[PART_COUNT] = {0};
    bool has_offset = false;
    if (!match(text, pattern, v, &has_offset))
        return false;
    if (v[YEAR] < 1 || v[MONTH] < 1 || v[MONTH] > 12 || v[DAY] < 1 || v[DAY] > 31 || v[HOUR] > 23 ||
        v[MINUTE] > 59 || v[SECOND] > 59)
        return false;
    const int32_t day = (int32_t)(v[YEAR] * 10000 + v[MONTH] * 100 + v[DAY]);
    const int64_t midnight = clock_day_start_ms(day, 0);
    if (clock_day(midnight, 0) != day)
        return false;
    const int64_t local =
        midnight + ((v[HOUR] * 60 + v[MINUTE]) * 60 + v[SECOND]) * 1000 + v[MILLI];
    const int64_t at = has_offset ? local - v[OFFSET] * 1000 : intake_zone_to_utc(zone, local);
    *out = (IntakeTime){day, at};
    return true;
}
