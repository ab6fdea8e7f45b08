/*
 * engine/core/kernels.h -- the inner loops that the instruction set decides about: packed integers, key
 * streams, the sequence of codes.
 *
 * Three versions ("plain" C, "avx2", "avx512" with VBMI2 and VPOPCNTDQ) give the same bytes; the best that this
 * processor has is chosen at the first call, kernels_force() chooses another.  Owns: nothing.  Threads: any; kernels_force() before others run.
 *
 * Slack: sources may be read up to KERNEL_SLACK bytes behind their end, results are written up to
 * KERNEL_SLACK bytes behind theirs.
 *
 * Sets of rows are bits: row i is bit i & 63 of word i / 64.  In the last word of a result the bits behind the rows
 * are anything; of a set that is given they are not looked at.
 */
#pragma once

#include "base/str.h"

enum { KERNEL_SLACK = 128, KERNEL_PICK_NONE = 255, KERNEL_MARKS = 2048 };

static inline uint32_t kernel_words(uint32_t rows)
{
    return (rows + 63) / 64;
}

/* A place in a key stream (engine/core/bits.h): the control bits and the difference of the next key, and the key before. */
typedef struct KeyPlace {
    const uint8_t *control, *data;
    uint32_t before;
} KeyPlace;

/* The first of the `n` keys that stand there. */
static inline KeyPlace key_place(const uint8_t *stream, uint32_t n)
{
    return (KeyPlace){stream, stream + ((uint64_t)n + 3) / 4, 0};
}

typedef struct Kernels {
    const char *name;

    /* Values [first, first + n) of a row of `width`-bit integers, lowest bit first; width 0 to 32. */
    void (*unpack32)(const uint8_t *src, uint64_t first, uint32_t n, int width, uint32_t *out);

    /* The same as bytes; width 0 to 8. */
    void (*unpack8)(const uint8_t *src, uint64_t first, uint32_t n, int width, uint8_t *out);

    /* The next `n` keys, ascending, from a place behind a multiple of four of them, to where the next ones are; gives all
     * of them or-ed together. */
    uint32_t (*keys)(KeyPlace *at, uint32_t n, uint32_t *out);

    /* Whether no value is below the one before it, the first one not below `before`, and none has value & mask above
     * `most`. */
    bool (*ascend)(const uint32_t *values, uint32_t n, uint32_t before, uint32_t mask,
                   uint32_t most);

    /* table[code] of every code whose entry is not KERNEL_PICK_NONE, in order; gives how many. */
    uint32_t (*pick)(const uint8_t *codes, uint32_t n, const uint8_t table[256], uint8_t *out);

    /* out[i] = the next value of from[lists[i]]: puts the lists back into one order.  `from` has
     * `count` lists and is moved on. */
    void (*weave)(const uint8_t *lists, uint32_t n, const uint32_t **from, uint32_t count,
                  uint32_t *out);

    /* How many bits the words have. */
    uint64_t (*count)(const uint64_t *words, size_t n);

    /* The set of values [first, first + n) of a row of `width`-bit codes whose table entry is 1; width 1 to 8,
     * entries 0 or 1. */
    void (*in_table)(const uint8_t *src, uint64_t first, uint32_t n, int width,
                     const uint8_t table[256 + 4], uint64_t *out);

    /* The set of values with (value & mask) - low <= span, below zero being very large. */
    void (*in_range)(const uint32_t *values, uint32_t n, uint32_t mask, uint32_t low, uint32_t span,
                     uint64_t *out);

    /* Takes the rows in [from, to) out of the set whose values[i] >> shift, below KERNEL_MARKS, is in `marked`. */
    void (*drop_marked)(const uint32_t *values, uint32_t from, uint32_t to, int shift,
                        const uint64_t marked[KERNEL_MARKS / 64], uint64_t *set);

    /* The values of the rows in a set, in order; `out` may be `values`.  Gives how many. */
    uint32_t (*take32)(const uint32_t *values, uint32_t n, const uint64_t *set, uint32_t *out);
    uint32_t (*take8)(const uint8_t *values, uint32_t n, const uint64_t *set, uint8_t *out);

    /* The numbers of the rows in a set, ascending; gives how many. */
    uint32_t (*rows_of)(const uint64_t *set, uint32_t n, uint32_t *out);

    /* out[i] = how many of the bounds are at or below values[i] & mask; both below 2^31.  Looks at each bound: for
     * few of them. */
    void (*rank)(const uint32_t *values, uint32_t n, uint32_t mask, const uint32_t *bounds,
                 uint32_t bound_count, uint16_t *out);

    /* counts[b] += how many of the set's rows (NULL = all) have values[i] & mask at or above bounds[b]; both
     * below 2^31. */
    void (*count_from)(const uint32_t *values, uint32_t n, const uint64_t *set, uint32_t mask,
                       const uint32_t *bounds, uint32_t bound_count, uint64_t *counts);

    /* Of the set's rows (NULL = all) in [from, to), ranks[i] << width | values[i] >> shift, in order; of equal ones beside each
     * other only one is sure to come.  Gives how many. */
    uint32_t (*places)(const uint32_t *values, uint32_t from, uint32_t to, const uint64_t *set,
                       const uint16_t *ranks, int width, int shift, uint32_t *out);

    /* How many bits are set in both. */
    uint64_t (*count_both)(const uint64_t *a, const uint64_t *b, uint32_t words);

    /* Codes that stand beside each other: out[i] = codes[i - 1] << shift | codes[i] where keys[i] - keys[i - 1] <= gap,
     * else `none`, both below 2^16; i from 1 on.  Which of them are exactly `gap` apart, to `at_gap`; gives how many. */
    uint32_t (*pairs)(const uint32_t *keys, const uint8_t *codes, uint32_t n, uint32_t gap,
                      int shift, uint16_t none, uint16_t *out, uint32_t *at_gap);

    /* out[i] = stored[i] + base; `missing` where a stored 0 of a nullable one is.  Nothing is written behind them. */
    void (*numbers)(const uint32_t *stored, uint32_t n, uint64_t base, bool nullable,
                    int64_t missing, int64_t *out);

    /* The other way round: values[i] -= base, and 0 where it was `missing`; *any says whether one was.  Gives all that is
     * stored or-ed together. */
    uint64_t (*stored)(int64_t *values, uint32_t n, uint64_t base, int64_t missing, bool *any);

    /* What is stored with another base: stored[i] += more, of a nullable one where it is not 0.  Gives all of them or-ed
     * together.  Nothing is written behind them. */
    uint32_t (*rebase)(uint32_t *stored, uint32_t n, uint32_t more, bool nullable);
} Kernels;

const Kernels *kernels(void);

/* False when this processor does not have it. */
MUST_USE bool kernels_force(Str name);
