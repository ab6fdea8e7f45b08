/*
 * engine/part/rows_sort.h -- rows by person, time and arrival.  Private to rows*.c.
 *
 * Owns: nothing.  Threads: any.
 */
#pragma once

#include "base/str.h"

enum { ROWS_MS_BITS = 30 };

typedef struct Ordered {
    uint64_t key; /* person, then ROWS_MS_BITS of milliseconds of the week */
    uint32_t table;
    uint32_t at; /* its place there */
} Ordered;

/* Ascending by key; equal ones keep their order.  `scratch` has room for as many. */
void rows_sort(Ordered *rows, Ordered *scratch, uint32_t n);
