/*
 * base/money.h -- amounts in minor units (fen, cents), exact, bounded, never floating point.
 *
 * One currency per data folder, so an amount carries none.  |fen| <= MONEY_FEN_MAX everywhere: a JSON
 * number and a JavaScript double hold it exactly, and 9,000 of them can be summed in an int64.
 * Parsers refuse what is outside; arithmetic CHECKs it.
 */
#pragma once

#include "base/str.h"

#define MONEY_FEN_MAX INT64_C(1000000000000000) /* 10^15, below 2^53 */

typedef struct Money {
    int64_t fen;
} Money;

static inline bool money_in_range(int64_t fen)
{
    return fen >= -MONEY_FEN_MAX && fen <= MONEY_FEN_MAX;
}

static inline Money money_of_fen(int64_t fen)
{
    CHECK(money_in_range(fen));
    return (Money){fen};
}

static inline Money money_add(Money a, Money b)
{
    return money_of_fen(a.fen + b.fen);
}

static inline Money money_sub(Money a, Money b)
{
    return money_of_fen(a.fen - b.fen);
}

static inline Money money_min(Money a, Money b)
{
    return a.fen < b.fen ? a : b;
}

/* `rate_bps` of `a` in basis points (10000 = all of it), rounded down: discounts go to the house.
 * a >= 0, 0 <= rate_bps <= 10000. */
Money money_rate_floor(Money a, int64_t rate_bps);

/*
 * Splits `total` >= 0 over `n` parts in proportion to `weight` (each >= 0, sum > 0), to the last
 * fen: sum(out) == total.  Largest remainder (Hamilton): leftover fen go to the parts with the
 * largest fraction, ties to the earlier part; a part of weight 0 gets nothing.
 * Vector: 3001 over 9900, 19900, 5000 -> 854, 1716, 431.
 */
void money_split(Money total, const int64_t *weight, size_t n, Money *out);

/*
 * Decimal text with up to `exponent` places ("12", "-0.5", "3.86") to minor units, exactly.  More
 * places are accepted only when they are zeros.  False on anything else or out of range.
 */
MUST_USE bool money_parse(Str text, int exponent, Money *out);

/* "-12.30" for exponent 2, "1230" for exponent 0; also numbers that are no money, which have up to so many places. */
enum { MONEY_PLACES_MAX = 18 };
void money_print(Buf *out, Money m, int exponent);
