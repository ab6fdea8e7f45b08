/*
 * base/dto_text.h -- the named formats of texts in requests: for base/dto.c, and for doors that read raw
 * JSON themselves.
 *
 * Owns: nothing.  Threads: any.
 */
#pragma once

#include "base/dto.h"

/* "an e-mail address": what a caller should send. */
const char *dto_text_what(DtoFormat format);

/* `s` is valid UTF-8. */
bool dto_text_fits(Str s, DtoFormat format);
int64_t dto_text_characters(Str s);

/* False when it is none; *out is then untouched. */
MUST_USE bool dto_text_id(Str s, int64_t *out);
MUST_USE bool dto_text_date(Str s, int32_t *out); /* yyyymmdd */

/* RFC 3339 without leap seconds, to UTC milliseconds; digits behind the millisecond are dropped. */
MUST_USE bool dto_text_time(Str s, int64_t *out);

/* Percent-decoded, '+' as space; false when a % is broken or the result is no valid text. */
MUST_USE bool dto_text_decode(Arena *arena, Str s, Str *out);
