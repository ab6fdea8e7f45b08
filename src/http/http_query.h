/*
 * http/http_query.h -- percent escapes, query strings and cookies, as pure functions over slices.
 *
 * Owns: nothing; decoded text goes to the arena.  Threads: any, one arena each.
 */
#pragma once

#include "base/arena.h"

/* Undoes %XX (and '+' when `plus_is_space`).  Without escapes *out is `s` itself.  False on a bad
 * escape; *out is then untouched. */
MUST_USE bool http_percent_decode(Arena *arena, Str s, bool plus_is_space, Str *out);

/* Are all escapes well formed, and is the decoded text UTF-8 without U+0000? */
bool http_query_is_sound(Arena *arena, Str query);

/* The first parameter called `name` (compared decoded); false when there is none. */
MUST_USE bool http_query_find(Arena *arena, Str query, Str name, Str *value);

/* The first cookie called `name` in a Cookie header, without surrounding quotes; empty when absent.
 * */
Str http_cookie_find(Str header, Str name);
