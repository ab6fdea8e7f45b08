/*
 * base/money.c -- rates, splits and text behind base/money.h.
 */
#include "base/money.h"

#include <stdlib.h>

__extension__ typedef __int128 Wide; /* total * weight needs up to 100 bits */

Money money_rate_floor(Money a, int64_t rate_bps)
{
    CHECK(a.fen >= 0);
    CHECK(rate_bps >= 0 && rate_bps <= 10000);
    return money_of_fen((int64_t)((Wide)a.fen * rate_bps / 10000));
}

/* The part with the largest remainder left; ties go to the earliest.  -1 takes it out of the race. */
static size_t largest(const Wide *rest, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (rest[i] > rest[best])
            best = i;
    return best;
}

enum { SPLIT_STACK_PARTS = 64 };

void money_split(Money total, const int64_t *weight, size_t n, Money *out)
{
    CHECK(total.fen >= 0);
    CHECK(n > 0);
    Wide sum = 0;
    for (size_t i = 0; i < n; i++) {
        CHECK(weight[i] >= 0);
        sum += weight[i];
    }
    CHECK(sum > 0);
    Wide few[SPLIT_STACK_PARTS];
    Wide *rest = n <= SPLIT_STACK_PARTS ? few : malloc(n * sizeof *rest);
    CHECK(rest != NULL);
    int64_t left = total.fen;
    for (size_t i = 0; i < n; i++) {
        const Wide share = (Wide)total.fen * weight[i];
        out[i].fen = (int64_t)(share / sum);
        rest[i] = weight[i] == 0 ? -1 : share % sum;
        left -= out[i].fen;
    }
    for (; left > 0; left--) { /* fewer than n rounds: each part lost less than one fen */
        const size_t i = largest(rest, n);
        out[i].fen += 1;
        rest[i] = -1;
    }
    if (rest != few)
        free(rest);
}

static bool digits_only(Str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return true;
}

bool money_parse(Str text, int exponent, Money *out)
{
    CHECK(exponent >= 0 && exponent <= 4);
    const bool negative = text.len > 0 && text.ptr[0] == '-';
    const Str body = str_slice(text, negative ? 1 : 0, text.len);
    const int64_t dot = str_index(body, '.', 0);
    const Str whole = str_slice(body, 0, dot < 0 ? body.len : (size_t)dot);
    const Str part = dot < 0 ? (Str){NULL, 0} : str_slice(body, (size_t)dot + 1, body.len);
    if (whole.len + part.len == 0 || (dot >= 0 && part.len == 0))
        return false;
    if (whole.len > 16 || !digits_only(whole) || !digits_only(part))
        return false;
    int64_t fen = 0;
    for (size_t i = 0; i < whole.len; i++)
        fen = fen * 10 + (whole.ptr[i] - '0');
    for (size_t i = 0; i < (size_t)exponent; i++)
        if (__builtin_mul_overflow(fen, 10, &fen) ||
            __builtin_add_overflow(fen, i < part.len ? part.ptr[i] - '0' : 0, &fen))
            return false;
    for (size_t i = (size_t)exponent; i < part.len; i++)
        if (part.ptr[i] != '0')
            return false;
    if (!money_in_range(fen))
        return false;
    *out = (Money){negative ? -fen : fen};
    return true;
}

void money_print(Buf *out, Money m, int exponent)
{
    CHECK(exponent >= 0 && exponent <= MONEY_PLACES_MAX);
    uint64_t unit = 1;
    for (int i = 0; i < exponent; i++)
        unit *= 10;
    const uint64_t fen = m.fen < 0 ? -(uint64_t)m.fen : (uint64_t)m.fen;
    if (m.fen < 0)
        buf_add_char(out, '-');
    buf_addf(out, "%" PRIu64, fen / unit);
    if (exponent > 0)
        buf_addf(out, ".%0*" PRIu64, exponent, fen % unit);
}
