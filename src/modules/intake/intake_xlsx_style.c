/*
 * modules/intake/intake_xlsx_style.c -- number formats and serial dates, without floating point.
 */
#include "modules/intake/intake_xlsx_style.h"

#include "base/clock.h"

static const int64_t DAY_MS = INT64_C(86400000);

XlsxKind intake_xlsx_builtin_kind(int64_t id)
{
    static const struct {
        int64_t from, to;
        XlsxKind kind;
    } DATES[] = {{14, 17, XLSX_DATE}, {18, 21, XLSX_TIME}, {22, 22, XLSX_DATE_TIME},
                 {27, 31, XLSX_DATE}, {32, 35, XLSX_TIME}, {36, 36, XLSX_DATE},
                 {45, 45, XLSX_TIME}, {47, 47, XLSX_TIME}, {50, 54, XLSX_DATE},
                 {55, 56, XLSX_TIME}, {57, 58, XLSX_DATE}};
    for (size_t i = 0; i < ARRAY_LEN(DATES); i++)
        if (id >= DATES[i].from && id <= DATES[i].to)
            return DATES[i].kind;
    return XLSX_NUMBER;
}

/* Position behind the quoted, bracketed or escaped text that starts at `i`, or `i` itself. */
static size_t pass_over(Str code, size_t i)
{
    const char c = code.ptr[i];
    if (c == '\\' || c == '_' || c == '*')
        return i + 2;
    if (c != '"' && c != '[')
        return i;
    const int64_t close = str_index(code, c == '[' ? ']' : '"', i + 1);
    return close < 0 ? code.len : (size_t)close + 1;
}

static bool is_elapsed(Str code, size_t i)
{
    const char c = i + 1 < code.len && code.ptr[i] == '[' ? (char)(code.ptr[i + 1] | 0x20) : '\0';
    return c == 'h' || c == 's' || (c == 'm' && i + 2 < code.len && code.ptr[i + 2] != 'a');
}

XlsxKind intake_xlsx_code_kind(Str code)
{
    static const Str GENERAL = {"General", 7};
    bool day = false, clock = false;
    for (size_t i = 0; i < code.len && code.ptr[i] != ';';) {
        if (is_elapsed(code, i) || str_starts_with(str_slice(code, i, code.len), GENERAL))
            return XLSX_NUMBER;
        const size_t next = pass_over(code, i);
        if (next != i) {
            i = next;
            continue;
        }
        const char c = (char)(code.ptr[i] | 0x20);
        day = day || c == 'y' || c == 'd';
        clock = clock || c == 'h' || c == 's';
        i++;
    }
    if (day)
        return clock ? XLSX_DATE_TIME : XLSX_DATE;
    return clock ? XLSX_TIME : XLSX_NUMBER;
}

/* "42797.588113" to days and milliseconds of the day, rounded to the nearest. */
static bool split_serial(Str serial, int64_t *days, int64_t *ms)
{
    const int64_t dot = str_index(serial, '.', 0);
    const Str whole = str_slice(serial, 0, dot < 0 ? serial.len : (size_t)dot);
    const Str part = dot < 0 ? (Str){NULL, 0} : str_slice(serial, (size_t)dot + 1, serial.len);
    if (!str_to_i64(whole, days) || *days < 0 || *days > 2958465) /* 9999-12-31 */
        return false;
    int64_t fraction = 0; /* in 10^-11 days */
    for (size_t i = 0; i < 11; i++) {
        const char c = i < part.len ? part.ptr[i] : '0';
        if (c < '0' || c > '9')
            return false;
        fraction = fraction * 10 + (c - '0');
    }
    for (size_t i = 11; i < part.len; i++)
        if (part.ptr[i] < '0' || part.ptr[i] > '9')
            return false;
    *ms = (fraction * 864 + 500000) / 1000000;
    return true;
}

static void put_day(Buf *out, int64_t days_since_1899_12_30)
{
    const int64_t start = clock_day_start_ms(18991230, 0) + days_since_1899_12_30 * DAY_MS;
    const int32_t d = clock_day(start, 0);
    buf_addf(out, "%04d-%02d-%02d", d / 10000, d / 100 % 100, d % 100);
}

bool intake_xlsx_print_date(Buf *out, Str serial, XlsxKind kind, bool date_1904)
{
    int64_t days = 0, ms = 0;
    if (kind == XLSX_NUMBER || !split_serial(serial, &days, &ms))
        return false;
    if (ms % 1000 == 999 || ms % 1000 == 1) /* a second that a double could not hold exactly */
        ms = (ms + 1) / 1000 * 1000;
    days += ms / DAY_MS;
    ms %= DAY_MS;
    if (date_1904)
        days += 1462;
    else if (days == 60 && kind != XLSX_TIME)
        return false; /* 29 February 1900 exists in spreadsheets only */
    else if (days < 60)
        days += 1;
    if (kind != XLSX_TIME)
        put_day(out, days);
    if (kind == XLSX_DATE_TIME)
        buf_add_char(out, 'T');
    if (kind != XLSX_DATE)
        buf_addf(out, "%02" PRId64 ":%02" PRId64 ":%02" PRId64, ms / 3600000, ms / 60000 % 60,
                 ms / 1000 % 60);
    if (kind != XLSX_DATE && ms % 1000 != 0)
        buf_addf(out, ".%03" PRId64, ms % 1000);
    return true;
}
