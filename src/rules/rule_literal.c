/*
 * rules/rule_literal.c -- literals and names as text, in both directions.
 */
#include "base/clock.h"
#include "base/money.h"
#include "rules/rule_internal.h"

#define DAY_MS    INT64_C(86400000)
#define MINUTE_MS INT64_C(60000)

enum { OFFSET_MIN_MAX = 18 * 60, EXPONENT_MAX = 4 };

/* ---- names ----------------------------------------------------------------------------------- */

static const char *const RESERVED[] = {
    "all",    "and",    "any",   "before", "between", "contains", "context", "ends",
    "event",  "false",  "in",    "is",     "not",     "or",       "person",  "since",
    "source", "starts", "store", "then",   "time",    "true",     "where",   "within",
};

bool literal_is_reserved(Str word)
{
    for (size_t i = 0; i < ARRAY_LEN(RESERVED); i++)
        if (str_eq(word, str_of(RESERVED[i])))
            return true;
    return false;
}

/* Scripts in which names are written.  Punctuation, full-width forms and symbols are not here: a comma
 * from a Chinese keyboard shall be an error, not a part of a name. */
static const struct {
    uint32_t from, to;
} LETTERS[] = {
    {0xc0, 0xd6},     {0xd8, 0xf6},     {0xf8, 0x2af},      {0x370, 0x373},   {0x376, 0x377},
    {0x386, 0x386},   {0x388, 0x481},   {0x48a, 0x556},     {0x561, 0x587},   {0x5d0, 0x5ea},
    {0x620, 0x64a},   {0x904, 0x939},   {0xe01, 0xe30},     {0x10a0, 0x10fa}, {0x1e00, 0x1fbc},
    {0x3041, 0x3096}, {0x30a1, 0x30fa}, {0x30fc, 0x30fe},   {0x3400, 0x4dbf}, {0x4e00, 0x9fff},
    {0xac00, 0xd7a3}, {0xf900, 0xfad9}, {0x20000, 0x3134f},
};

static uint32_t code_point(Str s, size_t at, size_t len)
{
    static const unsigned char FIRST_MASK[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = (unsigned char)s.ptr[at] & FIRST_MASK[len];
    for (size_t i = 1; i < len; i++)
        c = c << 6 | ((unsigned char)s.ptr[at + i] & 0x3f);
    return c;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

size_t literal_letter_len(Str s, size_t at)
{
    const char c = s.ptr[at];
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$')
        return 1;
    const size_t len = str_utf8_len(s, at);
    if (len < 2)
        return 0;
    const uint32_t point = code_point(s, at, len);
    for (size_t i = 0; i < ARRAY_LEN(LETTERS); i++)
        if (point >= LETTERS[i].from && point <= LETTERS[i].to)
            return len;
    return 0;
}

bool literal_is_bare(Str name)
{
    if (name.len == 0 || literal_is_reserved(name))
        return false;
    for (size_t i = 0; i < name.len;) {
        const size_t len = i > 0 && is_digit(name.ptr[i]) ? 1 : literal_letter_len(name, i);
        if (len == 0)
            return false;
        i += len;
    }
    return true;
}

Err literal_name(Draft *d, size_t at, Str name)
{
    if (name.len == 0)
        return draft_fail(d, at, "rule.length", "a name has at least one character");
    if (name.len > EVENT_NAME_BYTES_MAX)
        return draft_fail(d, at, "rule.length", "a name has at most %d bytes",
                          EVENT_NAME_BYTES_MAX);
    if (!str_is_utf8(name))
        return draft_fail(d, at, "rule.text", "a name is UTF-8 without U+0000");
    return ERR_OK;
}

static const Str FIELDS[RULE_FIELD_COUNT] = {
    [RULE_FIELD_NAME] = {"event", 5},
    [RULE_FIELD_TIME] = {"time", 4},
    [RULE_FIELD_STORE] = {"store", 5},
    [RULE_FIELD_SOURCE] = {"source", 6},
};

Str literal_field_text(RuleField field)
{
    return FIELDS[field];
}

bool literal_find_field(Str text, RuleField *out)
{
    for (size_t i = 0; i < RULE_FIELD_COUNT; i++) {
        if (!str_eq(text, FIELDS[i]))
            continue;
        *out = (RuleField)i;
        return true;
    }
    return false;
}

/* ---- numbers and amounts --------------------------------------------------------------------- */

/* The digits of "-12.50" without the point as one number; *places = those behind it. */
static bool decimal_digits(Str text, int64_t *coefficient, int *places)
{
    const bool negative = text.len > 0 && text.ptr[0] == '-';
    const Str digits = str_slice(text, negative, text.len);
    const int64_t point = str_index(digits, '.', 0);
    const size_t whole = point < 0 ? digits.len : (size_t)point;
    size_t end = digits.len;
    while (point >= 0 && end > whole + 1 && digits.ptr[end - 1] == '0')
        end--;
    if (whole == 0 || (point >= 0 && digits.len == whole + 1))
        return false;
    int64_t n = 0;
    for (size_t i = 0; i < end; i++) {
        if (i == whole)
            continue;
        const int64_t digit = digits.ptr[i] - '0';
        if (!is_digit(digits.ptr[i]) || __builtin_mul_overflow(n, 10, &n) ||
            __builtin_sub_overflow(n, digit,
                                   &n)) /* downwards: the least number has no positive twin */
            return false;
    }
    if (!negative && n == INT64_MIN)
        return false;
    *coefficient = negative ? n : -n;
    *places = end > whole ? (int)(end - whole - 1) : 0;
    return true;
}

Err literal_number(Draft *d, size_t at, Str text, RuleValue *out)
{
    int64_t coefficient = 0;
    int places = 0;
    if (!decimal_digits(text, &coefficient, &places) || places > EVENT_SCALE_MAX) {
        const Str quoted = draft_quote(d, text);
        return draft_fail(d, at, "rule.value",
                          "%.*s is no number of up to 18 digits like 12.50, without an exponent",
                          STR_ARG(quoted));
    }
    *out = (RuleValue){
        .type = RULE_TYPE_NUMBER, .at = (uint32_t)at, .i64 = coefficient, .scale = (uint8_t)places};
    return ERR_OK;
}

Err literal_money(Draft *d, size_t at, Str amount, Str currency, RuleValue *out)
{
    const Str ours = d->schema->currency;
    const int exponent = d->schema->exponent;
    CHECK(exponent >= 0 && exponent <= EXPONENT_MAX);
    Money money;
    if (!str_eq(currency, ours)) {
        const Str quoted = draft_quote(d, currency);
        return draft_fail(d, at, "rule.value", "amounts are in %.*s here, not in %.*s",
                          ours.len == 0 ? 11 : (int)ours.len,
                          ours.len == 0 ? "no currency" : ours.ptr, STR_ARG(quoted));
    }
    if (!money_parse(amount, exponent, &money)) {
        const Str quoted = draft_quote(d, amount);
        return draft_fail(d, at, "rule.value",
                          "%.*s is no amount: at most %d decimal places and 10^15 minor units",
                          STR_ARG(quoted), exponent);
    }
    *out = (RuleValue){.type = RULE_TYPE_MONEY, .at = (uint32_t)at, .i64 = money.fen};
    return ERR_OK;
}

void literal_put_number(Buf *out, int64_t coefficient, int scale)
{
    uint64_t size = coefficient < 0 ? -(uint64_t)coefficient : (uint64_t)coefficient;
    char digits[2 * EVENT_SCALE_MAX + 4];
    size_t at = sizeof digits;
    for (int i = 0; i <= scale || size > 0; i++, size /= 10) {
        if (i == scale && scale > 0)
            digits[--at] = '.';
        digits[--at] = (char)('0' + size % 10);
    }
    if (coefficient < 0)
        digits[--at] = '-';
    buf_add(out, (Str){digits + at, sizeof digits - at});
}

/* ---- times ----------------------------------------------------------------------------------- */

/* Reads the digits at `pattern`'s 0s; everything else must be there as it is.  Bytes used, or 0. */
static size_t scan(Str s, size_t at, const char *pattern, int64_t *out, size_t count)
{
    size_t field = 0, i = 0;
    for (; pattern[i] != '\0'; i++) {
        const char c = at + i < s.len ? s.ptr[at + i] : '\0';
        if (pattern[i] != '0') {
            if (c != pattern[i])
                return 0;
            field++;
        } else if (!is_digit(c) || field >= count) {
            return 0;
        } else {
            out[field] = out[field] * 10 + (c - '0');
        }
    }
    return i;
}

typedef struct Clock {
    int64_t date[3]; /* year, month, day */
    int64_t at[4];   /* hour, minute, second, millisecond */
    int64_t offset[2];
    char sign; /* + or - or Z, \0 = none given */
    bool has_time;
    size_t len;
} Clock;

/* What stands there, by its shape; the numbers may be out of range. */
static void scan_offset(Str s, Clock *c)
{
    const char sign = c->len < s.len ? s.ptr[c->len] : '\0';
    if (sign == 'Z') {
        c->sign = 'Z';
        c->len++;
    } else if (sign == '+' || sign == '-') {
        const size_t used = scan(s, c->len + 1, "00:00", c->offset, 2);
        c->sign = used > 0 ? sign : '\0';
        c->len += used > 0 ? used + 1 : 0;
    }
}

static Clock scan_time(Str s)
{
    Clock c = {0};
    c.len = scan(s, 0, "0000-00-00", c.date, 3);
    if (c.len == 0)
        return (Clock){0};
    int64_t minutes[3] = {0};
    const size_t used = scan(s, c.len, "T00:00", minutes, 3);
    if (used == 0)
        return c;
    c.has_time = true;
    c.at[0] = minutes[1], c.at[1] = minutes[2];
    c.len += used;
    int64_t more[2] = {0};
    if (scan(s, c.len, ":00", more, 2) > 0) {
        c.at[2] = more[1];
        c.len += 3;
        int64_t millis[2] = {0};
        if (scan(s, c.len, ".000", millis, 2) > 0) {
            c.at[3] = millis[1];
            c.len += 4;
        }
    }
    scan_offset(s, &c);
    return c;
}

size_t literal_time_len(Str s)
{
    return scan_time(s).len;
}

static bool clock_is_good(const Clock *c)
{
    static const int64_t DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const int64_t year = c->date[0], month = c->date[1], day = c->date[2];
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (year < 1 || month < 1 || month > 12 || day < 1)
        return false;
    if (day > DAYS[month - 1] + (leap && month == 2))
        return false;
    return c->at[0] < 24 && c->at[1] < 60 && c->at[2] < 60 && c->offset[1] < 60 &&
           c->offset[0] * 60 + c->offset[1] <= OFFSET_MIN_MAX;
}

static int64_t to_utc(const RuleSchema *schema, int64_t local_ms)
{
    return schema->to_utc == NULL ? local_ms : schema->to_utc(schema->arg, local_ms);
}

Err literal_time(Draft *d, size_t at, Str text, RuleValue *out)
{
    const Clock c = scan_time(text);
    if (c.len != text.len || c.len == 0 || !clock_is_good(&c)) {
        const Str quoted = draft_quote(d, text);
        return draft_fail(
            d, at, "rule.value",
            "%.*s is no time like 2026-01-31, 2026-01-31T10:00 or 2026-01-31T10:00+08:00",
            STR_ARG(quoted));
    }
    RuleValue v = {.type = RULE_TYPE_TIME, .at = (uint32_t)at};
    const int32_t day = (int32_t)(c.date[0] * 10000 + c.date[1] * 100 + c.date[2]);
    v.local_ms = clock_day_start_ms(day, 0) + c.at[0] * 60 * MINUTE_MS + c.at[1] * MINUTE_MS +
                 c.at[2] * 1000 + c.at[3];
    if (c.sign != '\0') {
        const int64_t east = c.offset[0] * 60 + c.offset[1];
        v.clock = RULE_CLOCK_OFFSET;
        v.offset_min = (int32_t)(c.sign == '-' ? -east : east);
        v.i64 = v.local_ms - v.offset_min * MINUTE_MS;
    } else {
        v.clock = c.has_time ? RULE_CLOCK_LOCAL : RULE_CLOCK_DATE;
        v.i64 = to_utc(d->schema, v.local_ms);
    }
    v.end_ms = c.has_time ? v.i64 + 1 : to_utc(d->schema, v.local_ms + DAY_MS);
    if (v.end_ms <= v.i64) /* a day that the zone left out */
        v.end_ms = v.i64 + 1;
    *out = v;
    return ERR_OK;
}

void literal_put_time(Buf *out, const RuleValue *v)
{
    const int32_t day = clock_day(v->local_ms, 0);
    const int64_t ms = v->local_ms - clock_day_start_ms(day, 0);
    buf_addf(out, "%04d-%02d-%02d", day / 10000, day / 100 % 100, day % 100);
    if (v->clock == RULE_CLOCK_DATE)
        return;
    buf_addf(out, "T%02d:%02d", (int)(ms / 3600000), (int)(ms / MINUTE_MS % 60));
    if (ms % MINUTE_MS != 0)
        buf_addf(out, ":%02d", (int)(ms / 1000 % 60));
    if (ms % 1000 != 0)
        buf_addf(out, ".%03d", (int)(ms % 1000));
    if (v->clock == RULE_CLOCK_LOCAL)
        return;
    const int32_t east = v->offset_min < 0 ? -v->offset_min : v->offset_min;
    if (east == 0)
        buf_add_char(out, 'Z');
    else
        buf_addf(out, "%c%02d:%02d", v->offset_min < 0 ? '-' : '+', east / 60, east % 60);
}

/* ---- spans ----------------------------------------------------------------------------------- */

static const struct {
    Str suffix; /* of a span: 90d */
    Str word;   /* of a calendar window: 3 calendar months */
    int64_t ms;
    int32_t calendar_max; /* a hundred years */
} UNITS[RULE_UNIT_COUNT] = {
    [RULE_UNIT_SECOND] = {{"s", 1}, {"", 0}, 1000, 0},
    [RULE_UNIT_MINUTE] = {{"min", 3}, {"", 0}, MINUTE_MS, 0},
    [RULE_UNIT_HOUR] = {{"h", 1}, {"", 0}, 60 * MINUTE_MS, 0},
    [RULE_UNIT_DAY] = {{"d", 1}, {"day", 3}, DAY_MS, 36525},
    [RULE_UNIT_WEEK] = {{"w", 1}, {"week", 4}, 7 * DAY_MS, 5217},
    [RULE_UNIT_MONTH] = {{"", 0}, {"month", 5}, 0, 1200},
    [RULE_UNIT_YEAR] = {{"", 0}, {"year", 4}, 0, 100},
};

Err literal_span(Draft *d, size_t at, Str text, RuleSpan *out)
{
    size_t digits = 0;
    while (digits < text.len && is_digit(text.ptr[digits]))
        digits++;
    int64_t count = 0;
    const bool counted = digits <= 18 && str_to_i64(str_slice(text, 0, digits), &count);
    const Str suffix = str_slice(text, digits, text.len);
    for (int u = 0; u < RULE_UNIT_COUNT && counted; u++) {
        const int64_t ms = UNITS[u].ms;
        if (UNITS[u].suffix.len == 0 || !str_eq(suffix, UNITS[u].suffix))
            continue;
        if (count < 1 || count > INT32_MAX || count > RULE_SPAN_MS_MAX / ms)
            return draft_fail(d, at, "rule.value", "a span is at least 1 and at most 36525d");
        *out = (RuleSpan){.count = (int32_t)count, .unit = (RuleUnit)u, .ms = count * ms};
        return ERR_OK;
    }
    const Str quoted = draft_quote(d, text);
    return draft_fail(d, at, "rule.value",
                      "%.*s is no span: write 30s, 15min, 36h, 90d or 2w; months and years only as "
                      "`within 3 calendar months`",
                      STR_ARG(quoted));
}

Err literal_calendar(Draft *d, size_t at, Str count_text, Str unit, RuleSpan *out)
{
    int64_t count = 0;
    const bool plural = unit.len > 1 && unit.ptr[unit.len - 1] == 's';
    const Str word = str_slice(unit, 0, unit.len - plural);
    for (int u = RULE_UNIT_DAY; u <= RULE_UNIT_YEAR; u++) {
        if (!str_eq(word, UNITS[u].word))
            continue;
        if (!str_to_i64(count_text, &count) || count < 1 || count > UNITS[u].calendar_max)
            return draft_fail(d, at, "rule.value", "1 to %d calendar %.*ss", UNITS[u].calendar_max,
                              STR_ARG(word));
        *out = (RuleSpan){.count = (int32_t)count, .unit = (RuleUnit)u};
        return ERR_OK;
    }
    const Str quoted = draft_quote(d, unit);
    return draft_fail(d, at, "rule.value",
                      "the calendar counts days, weeks, months or years, not %.*s",
                      STR_ARG(quoted));
}

void literal_put_span(Buf *out, RuleSpan span)
{
    buf_add_i64(out, span.count);
    buf_add(out, UNITS[span.unit].suffix);
}

void literal_put_calendar_unit(Buf *out, RuleSpan span)
{
    buf_add(out, UNITS[span.unit].word);
    if (span.count > 1)
        buf_add_char(out, 's');
}

Err literal_check_window(Draft *d, size_t at, const RuleWindow *w)
{
    if (w->kind == RULE_WINDOW_BETWEEN && w->from.i64 >= w->to.end_ms)
        return draft_fail(d, at, "rule.value",
                          "the window ends before it begins: the earlier time first");
    if (w->kind == RULE_WINDOW_AGO && w->span.ms <= w->span2.ms)
        return draft_fail(d, at, "rule.value", "the longer span first: between 60d and 30d ago");
    return ERR_OK;
}

/* ---- texts and names ------------------------------------------------------------------------- */

static char short_escape(char c)
{
    return c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : '\0';
}

void literal_put_quoted(Buf *out, char quote, Str s)
{
    buf_add_char(out, quote);
    size_t written = 0;
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.ptr[i];
        const bool control = (unsigned char)c < 0x20 || c == 0x7f;
        if (!control && c != quote && c != '\\')
            continue;
        buf_add(out, str_slice(s, written, i));
        written = i + 1;
        buf_add_char(out, '\\');
        if (!control)
            buf_add_char(out, c);
        else if (short_escape(c) != '\0')
            buf_add_char(out, short_escape(c));
        else
            buf_addf(out, "u{%x}", (unsigned)c);
    }
    buf_add(out, str_slice(s, written, s.len));
    buf_add_char(out, quote);
}

void literal_put_name(Buf *out, Str name)
{
    if (literal_is_bare(name))
        buf_add(out, name);
    else
        literal_put_quoted(out, '`', name);
}
