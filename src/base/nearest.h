/*
 * base/nearest.h -- which of the known names was probably meant.
 *
 * Owns: nothing; names are borrowed.  Threads: any.
 */
#pragma once

#include "base/str.h"

/* The nearest of what is known: a few typos away at most, upper and lower case alike; "" = none is. */
typedef struct Nearest {
    Str wanted, best;
    uint32_t best_distance;
} Nearest;
Nearest nearest_to(Str wanted);
void nearest_try(Nearest *n, Str candidate);
