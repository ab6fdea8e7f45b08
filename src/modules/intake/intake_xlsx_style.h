/*
 * modules/intake/intake_xlsx_style.h -- which number formats of a workbook are dates, and what date
 * a serial number is.
 *
 * Owns: nothing.  Threads: any.
 */
#pragma once

#include "base/str.h"

typedef enum XlsxKind { XLSX_NUMBER, XLSX_DATE, XLSX_DATE_TIME, XLSX_TIME } XlsxKind;

/* Of a built-in format id (ECMA-376 part 1, 18.8.30, with the East Asian ones). */
XlsxKind intake_xlsx_builtin_kind(int64_t format_id);

/* Of a custom format code such as `yyyy"年"m"月"d"日"`; quoted text, colours and the escape
 * character are looked over.  Elapsed time ([h]:mm) is a number. */
XlsxKind intake_xlsx_code_kind(Str code);

/* ISO text of serial day number `serial` ("42797.588113") in the workbook's date system, to the
 * second (milliseconds when there are any).  False when it is no date: the number stays as it is. */
MUST_USE bool intake_xlsx_print_date(Buf *out, Str serial, XlsxKind kind, bool date_1904);
