/*
 * engine/ask/touch_share.c -- each gets the whole part of its share; what is left over goes unit by unit to the largest
 * remainders, of equal ones to the earliest.
 */
#include "engine/ask/touch_share.h"

#include <stdlib.h>

__extension__ typedef unsigned __int128 Product;

/* What one touch gets, and what of a unit is left over. */
typedef struct Share {
    uint64_t units, rest;
} Share;

static Share share_of(uint64_t worth, uint64_t weight, uint64_t whole)
{
    const Product product = (Product)worth * weight;
    return (Share){(uint64_t)(product / whole), (uint64_t)(product % whole)};
}

/* ---- by place ------------------------------------------------------------------------------------ */

/* How much of the whole each gets: first + middle * (n - 2) + last of that many. */
typedef struct Weights {
    uint64_t first, middle, last, whole;
} Weights;

/* Of n touches, at least two. */
static Weights weights_of(TouchModel model, uint64_t n)
{
    static const struct {
        uint8_t first, last; /* fifths; one is for those between */
    } SHAPES[] = {[TOUCH_U] = {2, 2}, [TOUCH_J] = {1, 3}, [TOUCH_INVERSE_J] = {3, 1}};
    if (model == TOUCH_LINEAR || n == 2)
        return (Weights){1, 1, 1, n};
    const uint64_t between = n - 2;
    return (Weights){SHAPES[model].first * between, 1, SHAPES[model].last * between, 5 * between};
}

/* The largest rest below `limit`. */
static uint64_t next_rest(const Share kinds[3], uint64_t limit)
{
    uint64_t best = 0;
    for (int i = 0; i < 3; i++)
        if (kinds[i].rest < limit && kinds[i].rest > best)
            best = kinds[i].rest;
    return best;
}

static void share_by_place(TouchModel model, uint64_t worth, uint32_t n, uint64_t *units)
{
    const Weights w = n == 1 ? (Weights){1, 1, 1, 1} : weights_of(model, n);
    const Share kinds[] = {share_of(worth, w.first, w.whole), share_of(worth, w.middle, w.whole),
                           share_of(worth, w.last, w.whole)};
    uint64_t left = worth;
    for (uint32_t i = 0; i < n; i++) {
        units[i] = kinds[i == 0 ? 0 : i + 1 == n ? 2 : 1].units;
        left -= units[i];
    }
    for (uint64_t rest = UINT64_MAX; left > 0;) {
        rest = next_rest(kinds, rest);
        for (uint32_t i = 0; i < n && left > 0; i++) {
            const bool is_next = kinds[i == 0 ? 0 : i + 1 == n ? 2 : 1].rest == rest;
            units[i] += is_next;
            left -= is_next;
        }
    }
}

/* ---- by age -------------------------------------------------------------------------------------- */

enum {
    FRACTION_BITS = 16, /* of a half-life that are looked at */
    WEIGHT_BITS = 32,   /* of the last touch's weight */
    ROOT_BITS = 62,
};

/* 2^-(before / half-life), the fraction rounded down to FRACTION_BITS, then the weight to a whole number. */
static uint64_t weight_of(int64_t before_ms, int64_t half_life_ms)
{
    static const uint64_t ROOTS[FRACTION_BITS] = {
        /* 2^62 * 2^-(2^-(i + 1)) */
        UINT64_C(3260954456333195553), UINT64_C(3877950241171266237), UINT64_C(4228934724888366668),
        UINT64_C(4416165660797809419), UINT64_C(4512867096753504463), UINT64_C(4562008997483360349),
        UINT64_C(4586780255215411731), UINT64_C(4599216278082138665), UINT64_C(4605446927862164404),
        UINT64_C(4608565417332308035), UINT64_C(4610125453837388245), UINT64_C(4610905670110601999),
        UINT64_C(4611295827762151833), UINT64_C(4611490918967884501), UINT64_C(4611588467665893036),
        UINT64_C(4611637242788701951)};
    const int64_t halves = before_ms / half_life_ms;
    const uint64_t part =
        (uint64_t)(((Product)(before_ms % half_life_ms) << FRACTION_BITS) / (Product)half_life_ms);
    Product weight = (Product)1 << ROOT_BITS;
    for (int i = 0; i < FRACTION_BITS; i++)
        if ((part >> (FRACTION_BITS - 1 - i) & 1) != 0)
            weight = weight * ROOTS[i] >> ROOT_BITS;
    return halves > WEIGHT_BITS ? 0 : (uint64_t)(weight >> (ROOT_BITS - WEIGHT_BITS) >> halves);
}

typedef struct Rest {
    uint64_t rest;
    uint32_t touch;
} Rest;

static int by_rest(const void *a, const void *b)
{
    const Rest *x = a, *y = b;
    if (x->rest != y->rest)
        return x->rest < y->rest ? 1 : -1;
    return (x->touch > y->touch) - (x->touch < y->touch);
}

static void share_by_age(const Touch *t, uint64_t worth, const int64_t *before_ms, uint32_t n,
                         uint64_t *units)
{
    uint64_t weights[TOUCH_SHARED_MAX], whole = 0, left = worth;
    Rest rests[TOUCH_SHARED_MAX];
    for (uint32_t i = 0; i < n; i++)
        whole += weights[i] = weight_of(before_ms[i], t->half_life_ms);
    for (uint32_t i = 0; i < n; i++) {
        const Share share = share_of(worth, weights[i], whole);
        units[i] = share.units;
        rests[i] = (Rest){share.rest, i};
        left -= share.units;
    }
    if (left > 0)
        qsort(rests, n, sizeof *rests, by_rest);
    for (uint32_t i = 0; i < left; i++)
        units[rests[i].touch]++;
}

void touch_share(const Touch *t, uint64_t worth, const int64_t *before_ms, uint32_t n,
                 uint64_t *units)
{
    if (t->model == TOUCH_DECAY)
        share_by_age(t, worth, before_ms, n, units);
    else
        share_by_place(t->model, worth, n, units);
}
