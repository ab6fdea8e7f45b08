/*
 * engine/kernels.h -- the inner loops that the instruction set decides about: packed integers, key
 * streams, the sequence of codes.
 *
 * Three versions ("plain" C, "avx2", "avx512" with VBMI2 and VPOPCNTDQ) give the same bytes; the best that this
 * processor has is chosen at the first call, kernels_force() chooses another.  Owns: nothing.  Threads: any; kernels_force() before others run.
 *
 * Slack: sources may be read up to KERNEL_SLACK bytes behind their end, results are written up to
 * KERNEL_SLACK bytes behind theirs.
 */
#pragma once

#include "base/str.h"

enum { KERNEL_SLACK = 128, KERNEL_PICK_NONE = 255 };

typedef struct Kernels {
    const char *name;

    /* Values [first, first + n) of a row of `width`-bit integers, lowest bit first; width 0 to 32. */
    void (*unpack32)(const uint8_t *src, uint64_t first, uint32_t n, int width, uint32_t *out);

    /* The same as bytes; width 0 to 8. */
    void (*unpack8)(const uint8_t *src, uint64_t first, uint32_t n, int width, uint8_t *out);

    /* `n` ascending keys of a stream that key_stream_encode() made. */
    void (*keys)(const uint8_t *src, uint32_t n, uint32_t *out);

    /* table[code] of every code whose entry is not KERNEL_PICK_NONE, in order; gives how many. */
    uint32_t (*pick)(const uint8_t *codes, uint32_t n, const uint8_t table[256], uint8_t *out);

    /* out[i] = the next value of from[lists[i]]: puts the lists back into one order.  `from` has
     * `count` lists and is moved on. */
    void (*weave)(const uint8_t *lists, uint32_t n, const uint32_t **from, uint32_t count,
                  uint32_t *out);

    /* How many bits are set in both. */
    uint64_t (*count_both)(const uint64_t *a, const uint64_t *b, uint32_t words);
} Kernels;

const Kernels *kernels(void);

/* False when this processor does not have it. */
MUST_USE bool kernels_force(Str name);
