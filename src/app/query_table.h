/*
 * app/query_table.h -- an answer of /v1/query as tables for a terminal.
 *
 * It goes by the contract's descriptors, so that a new question needs nothing here: single members are lines, lists
 * of objects are tables.  Objects that have a value per bucket (series of a trend) stand side by side, one line per
 * bucket.
 */
#pragma once

#include "base/dto.h"
#include "base/zone.h"

/* `answer` is of `type` (QueryAnswer).  Instants are shown as the clocks of `zone` do. */
void query_table_print(Arena *arena, const DtoType *type, const void *answer, const Zone *zone);
