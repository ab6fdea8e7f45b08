/*
 * base/dto_text.c -- formats of base/dto_text.h.
 */
#include "base/dto_text.h"

#include "base/clock.h"

static const char *const WHAT[DTO_FORMAT_COUNT] = {
    [DTO_FORMAT_TEXT] = "text without control characters",
    [DTO_FORMAT_LINE] = "one line of text without control characters",
    [DTO_FORMAT_PASSWORD] = "text",
    [DTO_FORMAT_CODE] = "a code of visible ASCII characters without spaces",
    [DTO_FORMAT_SLUG] = "a name of a-z, 0-9, _ and - that begins with a letter",
    [DTO_FORMAT_DIGITS] = "digits 0-9",
    [DTO_FORMAT_PHONE] = "a phone number such as +86 138 0013 8000",
    [DTO_FORMAT_EMAIL] = "an e-mail address",
    [DTO_FORMAT_URI] = "an address that begins with https:// or http://",
    [DTO_FORMAT_UUID] = "a UUID of 36 characters",
};

const char *dto_text_what(DtoFormat format)
{
    CHECK(format < DTO_FORMAT_COUNT);
    return WHAT[format];
}

int64_t dto_text_characters(Str s)
{
    int64_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    return n;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Decimal digits [from, from + n) of `s`, or -1. */
static int64_t digits(Str s, size_t from, size_t n)
{
    int64_t v = 0;
    for (size_t i = from; i < from + n; i++) {
        if (i >= s.len || !is_digit(s.ptr[i]))
            return -1;
        v = v * 10 + (s.ptr[i] - '0');
    }
    return v;
}

static char char_at(Str s, size_t at)
{
    return at < s.len ? s.ptr[at] : '\0';
}

/* Civil date at the start of `s`: yyyymmdd, or -1. */
static int64_t date_at(Str s)
{
    const int64_t year = digits(s, 0, 4), month = digits(s, 5, 2), day = digits(s, 8, 2);
    if (year < 1900 || month < 1 || month > 12 || day < 1 || day > 31 || s.ptr[4] != '-' ||
        s.ptr[7] != '-')
        return -1;
    const int32_t civil = (int32_t)(year * 10000 + month * 100 + day);
    if (day <= 28) /* every month has it */
        return civil;
    return clock_day(clock_day_start_ms(civil, 0), 0) == civil ? civil : -1;
}

/* Offset of a zone "Z" or "+08:00" that is all of `s`, in minutes east; false when it is neither. */
static bool zone_minutes(Str s, int64_t *out)
{
    const int64_t hours = digits(s, 1, 2), minutes = digits(s, 4, 2);
    *out = 0;
    if (str_eq(s, STR("Z")))
        return true;
    if (s.len != 6 || (s.ptr[0] != '+' && s.ptr[0] != '-') || s.ptr[3] != ':' || hours < 0 ||
        hours > 23 || minutes < 0 || minutes > 59)
        return false;
    *out = (hours * 60 + minutes) * (s.ptr[0] == '-' ? -1 : 1);
    return true;
}

/* 1900-01-01 and 9999-12-31 */
static const int64_t YEAR_1900_MS = INT64_C(-2208988800000), LAST_DAY_MS = INT64_C(253402214400000);

bool dto_text_time(Str s, int64_t *out)
{
    const int64_t day = date_at(s);
    const int64_t hour = digits(s, 11, 2), minute = digits(s, 14, 2), second = digits(s, 17, 2);
    if (day < 0 || char_at(s, 10) != 'T' || hour < 0 || hour > 23 || char_at(s, 13) != ':' ||
        minute < 0 || minute > 59 || char_at(s, 16) != ':' || second < 0 || second > 59)
        return false;
    size_t at = 19;
    int64_t ms = 0;
    if (char_at(s, at) == '.') {
        const size_t from = ++at;
        for (int64_t unit = 100; is_digit(char_at(s, at)) && at - from < 9; at++, unit /= 10)
            ms += unit * (s.ptr[at] - '0');
        if (at == from)
            return false;
    }
    int64_t zone;
    if (!zone_minutes(str_slice(s, at, s.len), &zone))
        return false;
    const int64_t in_day = ((hour * 60 + minute - zone) * 60 + second) * 1000 + ms;
    const int64_t got = clock_day_start_ms((int32_t)day, 0) + in_day;
    if (got < YEAR_1900_MS || got >= LAST_DAY_MS)
        return false;
    *out = got;
    return true;
}

static bool all_in(Str s, const char *also, bool letters_upper, bool letters_lower)
{
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.ptr[i];
        if (!(is_digit(c) || (letters_lower && c >= 'a' && c <= 'z') ||
              (letters_upper && c >= 'A' && c <= 'Z') || str_index(str_of(also), c, 0) >= 0))
            return false;
    }
    return true;
}

static bool no_controls(Str s, bool lines)
{
    for (size_t i = 0; i < s.len; i++) {
        const unsigned char c = (unsigned char)s.ptr[i];
        const bool space = lines && (c == '\n' || c == '\r' || c == '\t');
        const bool c1 = c == 0xc2 && (unsigned char)char_at(s, i + 1) < 0xa0;
        if ((c < 0x20 && !space) || c == 0x7f || c1)
            return false;
    }
    return true;
}

static bool visible_ascii(Str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
            return false;
    return true;
}

static bool is_phone(Str s)
{
    const Str rest = char_at(s, 0) == '+' ? str_slice(s, 1, s.len) : s;
    size_t n = 0;
    for (size_t i = 0; i < rest.len; i++)
        n += is_digit(rest.ptr[i]);
    return n >= 5 && n <= 15 && all_in(rest, " -()", false, false);
}

/* The shape only: whether it can be reached is known when a mail was answered. */
static bool is_email(Str s)
{
    const int64_t at = str_index(s, '@', 0);
    if (at < 1 || at > 64 || !visible_ascii(s) || str_index(s, '@', (size_t)at + 1) >= 0)
        return false;
    const Str domain = str_slice(s, (size_t)at + 1, s.len);
    const int64_t dot = str_index(domain, '.', 0);
    return dot > 0 && (size_t)dot + 1 < domain.len && all_in(domain, ".-", true, true) &&
           !str_ends_with(domain, STR("."));
}

static bool is_uri(Str s)
{
    const size_t scheme = str_starts_with(s, STR("https://"))  ? 8
                          : str_starts_with(s, STR("http://")) ? 7
                                                               : 0;
    static const char bad[] = "\"<>\\^`{|}";
    for (size_t i = 0; i + 1 < sizeof bad; i++)
        if (str_index(s, bad[i], 0) >= 0)
            return false;
    return scheme != 0 && visible_ascii(s) && s.len > scheme && s.ptr[scheme] != '/';
}

static bool is_uuid(Str s)
{
    for (size_t i = 0; i < s.len; i++) {
        const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s.ptr[i] != '-' : str_index(STR("0123456789abcdefABCDEF"), s.ptr[i], 0) < 0)
            return false;
    }
    return s.len == 36;
}

bool dto_text_fits(Str s, DtoFormat format)
{
    switch (format) {
    case DTO_FORMAT_TEXT:
        return no_controls(s, true);
    case DTO_FORMAT_LINE:
        return no_controls(s, false);
    case DTO_FORMAT_CODE:
        return visible_ascii(s);
    case DTO_FORMAT_SLUG:
        return all_in(s, "_-", false, true) && (s.len == 0 || (s.ptr[0] >= 'a' && s.ptr[0] <= 'z'));
    case DTO_FORMAT_DIGITS:
        return all_in(s, "", false, false);
    case DTO_FORMAT_PHONE:
        return is_phone(s);
    case DTO_FORMAT_EMAIL:
        return is_email(s);
    case DTO_FORMAT_URI:
        return is_uri(s);
    case DTO_FORMAT_UUID:
        return is_uuid(s);
    case DTO_FORMAT_PASSWORD:
    case DTO_FORMAT_COUNT:
        break;
    }
    return true;
}

bool dto_text_date(Str s, int32_t *out)
{
    const int64_t date = s.len == 10 ? date_at(s) : -1;
    if (date >= 0)
        *out = (int32_t)date;
    return date >= 0;
}

bool dto_text_id(Str s, int64_t *out)
{
    return s.len > 0 && s.ptr[0] != '0' && all_in(s, "", false, false) && str_to_i64(s, out);
}

static int hex_value(char c)
{
    const int64_t i =
        str_index(STR("0123456789abcdef"), (char)(c >= 'A' && c <= 'F' ? c | 32 : c), 0);
    return (int)i;
}

bool dto_text_decode(Arena *arena, Str s, Str *out)
{
    char *text = arena_bytes(arena, s.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i] == '+' ? ' ' : s.ptr[i];
        if (c == '%') {
            const int high = hex_value(char_at(s, i + 1)), low = hex_value(char_at(s, i + 2));
            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        text[n++] = c;
    }
    *out = (Str){text, n};
    return str_is_utf8(*out);
}
