/*
 * engine/names/schema_unused.h -- which names and texts no row has any more, and the file of names without them.
 *
 * They were only of rows that are gone: of whoever was erased.  Their numbers stay taken, so no part is written again.
 * To find them, the columns of texts of all parts are read: exact, at one bit of memory per name and text.
 *
 * Owns: its memory until unused_free().
 * Threads: unused_new() and unused_forget() under the schema's lock, the others one at a time.
 */
#pragma once

#include "engine/names/schema.h"

typedef struct Unused Unused;

/* At first everything that was saved; what came later, somebody has just brought. */
Unused *unused_new(const Schema *s);
void unused_free(Unused *u); /* NULL is nothing to do */

/* What rows of the part have, dead or alive, is used.  False: the part is damaged. */
MUST_USE bool unused_part(Unused *u, Part *part);

uint64_t unused_count(const Unused *u);

/* None of them is found any more: what comes with such a text gets another number. */
void unused_forget(const Unused *u, Schema *s);

/*
 * Writes the records of `names` (a whole file) once more, with empty places for what is unused and for the keys of
 * erased actors; who is whom as it stands there.  Nothing else changes: schema_load() gives the same numbers.
 * Errors: INTERNAL "events.names_damaged", and those of `write`, which gets whole records of about a megabyte.
 */
typedef Err (*UnusedWriteFn)(Ctx *ctx, Str bytes, void *arg);
MUST_USE Err unused_leave_out(Ctx *ctx, const Unused *u, Str names, UnusedWriteFn write, void *arg);
