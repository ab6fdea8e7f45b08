/*
 * engine/core/kernels_plain.h -- the versions of the kernels, and what they share.  Private to kernels*.c.
 */
#pragma once

#include "engine/core/kernels.h"

extern const Kernels KERNELS_PLAIN;
#if defined(__x86_64__)
extern const Kernels KERNELS_AVX2, KERNELS_AVX512;
#endif

/* Of each control byte of a key stream.  Filled before main() by code for any processor: the files for newer
 * ones must have nothing that runs by itself. */
extern uint8_t kernel_key_shuffle[256][16]; /* which data byte comes where; 0x80 = none */
extern uint8_t kernel_key_bytes[256];       /* how many data bytes its four keys have */
extern uint16_t kernel_key_lanes[256];      /* which of their sixteen bytes come from the data */

static inline uint64_t kernel_load64(const uint8_t *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

static inline uint32_t kernel_load32(const uint8_t *at)
{
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

void plain_unpack32(const uint8_t *src, uint64_t first, uint32_t n, int width, uint32_t *out);
void plain_unpack8(const uint8_t *src, uint64_t first, uint32_t n, int width, uint8_t *out);
uint32_t plain_keys(KeyPlace *at, uint32_t n, uint32_t *out);
bool plain_ascend(const uint32_t *values, uint32_t n, uint32_t before, uint32_t mask,
                  uint32_t most);
uint32_t plain_pick(const uint8_t *codes, uint32_t n, const uint8_t table[256], uint8_t *out);
void plain_weave(const uint8_t *lists, uint32_t n, const uint32_t **from, uint32_t count,
                 uint32_t *out);
uint64_t plain_stored(int64_t *values, uint32_t n, uint64_t base, int64_t missing, bool *any);
uint32_t plain_rebase(uint32_t *stored, uint32_t n, uint32_t more, bool nullable);
void plain_numbers(const uint32_t *stored, uint32_t n, uint64_t base, bool nullable,
                   int64_t missing, int64_t *out);
uint32_t plain_pairs(const uint32_t *keys, const uint8_t *codes, uint32_t n, uint32_t gap,
                     int shift, uint16_t none, uint16_t *out, uint32_t *at_gap);
void plain_in_table(const uint8_t *src, uint64_t first, uint32_t n, int width,
                    const uint8_t table[256 + 4], uint64_t *out);
void plain_in_range(const uint32_t *values, uint32_t n, uint32_t mask, uint32_t low, uint32_t span,
                    uint64_t *out);
void plain_drop_marked(const uint32_t *values, uint32_t from, uint32_t to, int shift,
                       const uint64_t marked[KERNEL_MARKS / 64], uint64_t *set);
uint32_t plain_take32(const uint32_t *values, uint32_t n, const uint64_t *set, uint32_t *out);
uint32_t plain_take8(const uint8_t *values, uint32_t n, const uint64_t *set, uint8_t *out);
uint32_t plain_rows_of(const uint64_t *set, uint32_t n, uint32_t *out);
void plain_rank(const uint32_t *values, uint32_t n, uint32_t mask, const uint32_t *bounds,
                uint32_t bound_count, uint16_t *out);
void plain_count_from(const uint32_t *values, uint32_t n, const uint64_t *set, uint32_t mask,
                      const uint32_t *bounds, uint32_t bound_count, uint64_t *counts);
uint32_t plain_places(const uint32_t *values, uint32_t from, uint32_t to, const uint64_t *set,
                      const uint16_t *ranks, int width, int shift, uint32_t *out);

/* The set's bits of the 64 rows from row 64 * word on; NULL = all of them. */
static inline uint64_t kernel_set_word(const uint64_t *set, uint32_t n, uint32_t word)
{
    const uint32_t left = n - 64 * word;
    const uint64_t there = left >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << left) - 1;
    return set == NULL ? there : set[word] & there;
}
