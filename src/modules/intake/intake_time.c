/*
 * modules/intake/intake_time.c -- patterns.
 */
#include "modules/intake/intake_time.h"

#include "base/clock.h"
#include "base/cursor.h"

Err intake_zone_load(Ctx *ctx, Str name, const Zone **out)
{
    if (zone_load(ctx, name, out))
        return ERR_OK;
    return fail_field(ctx, "", "intake.zone_unknown",
                      "no time zone \"%.*s\": write UTC, an offset as +08:00, or a name as "
                      "Asia/Shanghai",
                      (int)(name.len < 40 ? name.len : 40), name.ptr);
}

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
static int pattern_part(const Cursor *p)
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
    Cursor p = {.s = pattern};
    while (p.at < p.s.len) {
        const int i = quoted ? -1 : pattern_part(&p);
        const char low = (char)(cursor_peek(&p) | 0x20);
        if (cursor_peek(&p) == '\'')
            quoted = !quoted;
        else if (i < 0 && !quoted && cursor_peek(&p) != 'T' && low >= 'a' && low <= 'z')
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

static bool take_offset(Cursor *k, int64_t *out_min)
{
    const size_t len = cursor_peek(k) == 'Z' ? 1 : 6;
    int32_t offset_min = 0;
    const bool ok = zone_offset_min(str_slice(k->s, k->at, k->at + len), &offset_min);
    *out_min = offset_min;
    k->at += len;
    return ok;
}

/* Reads `text` by `pattern` into value[Part]. */
static bool match(Str text, Str pattern, int64_t value[PART_COUNT], bool *has_offset)
{
    Cursor k = {.s = text}, p = {.s = pattern};
    bool quoted = false;
    while (p.at < p.s.len) {
        const char literal = cursor_peek(&p);
        const int i = quoted ? -1 : pattern_part(&p);
        p.at += i < 0 ? 1 : PARTS[i].letters.len;
        bool ok = true;
        if (literal == '\'')
            quoted = !quoted;
        else if (i < 0)
            ok = cursor_take(&k, literal) || (literal == ' ' && cursor_take(&k, 'T'));
        else if (PARTS[i].part == OFFSET)
            ok = *has_offset = take_offset(&k, &value[OFFSET]);
        else
            ok = cursor_digits(&k, PARTS[i].least, PARTS[i].most, &value[PARTS[i].part]);
        if (!ok)
            return false;
    }
    return k.at == k.s.len;
}

static bool parse_epoch(Str text, int64_t unit_ms, const Zone *zone, IntakeTime *out)
{
    static const int64_t LIMIT_S = INT64_C(253402300800); /* 10000-01-01 */
    int64_t v = 0;
    if (!str_to_i64(text, &v) || v < 0 || v / (1000 / unit_ms) >= LIMIT_S)
        return false;
    const int64_t at_ms = v * unit_ms;
    *out = (IntakeTime){clock_day(zone_to_local(zone, at_ms), 0), at_ms};
    return true;
}

bool intake_time_parse(Str text, Str pattern, const Zone *zone, IntakeTime *out)
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
    const int64_t at = has_offset ? local - v[OFFSET] * 60000 : zone_to_utc(zone, local);
    *out = (IntakeTime){day, at};
    return true;
}
