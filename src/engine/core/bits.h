/*
 * engine/core/bits.h -- integers of a fixed width, and streams of ascending keys: how columns are stored.
 *
 * Packed integers: value i stands at bit i * width, lowest bit first; width 0 to 64 (width 0: all are
 * zero).  Key stream: ceil(n / 4) control bytes, two bits per key (bytes - 1, lowest bits first), then
 * the differences in 1 to 4 bytes each, little-endian; the first key is a difference from zero.  This is
 * StreamVByte (D. Lemire, N. Kurz, C. Rupp, 2017).  Reading is engine/core/kernels.h.
 * Owns: a BitWriter its memory until bits_free().  Threads: one at a time.
 */
#pragma once

#include "base/str.h"

static inline int bits_width(uint64_t max)
{
    return max == 0 ? 0 : 64 - __builtin_clzll(max);
}

static inline uint64_t bits_bytes(uint64_t count, int width)
{
    return (count * (uint64_t)width + 7) / 8;
}

/* One value of any width; reads up to 9 bytes from its place. */
static inline uint64_t bits_get(const uint8_t *src, uint64_t index, int width)
{
    if (width == 0)
        return 0;
    const uint64_t bit = index * (uint64_t)width;
    uint64_t low;
    memcpy(&low, src + (bit >> 3), sizeof low);
    const int shift = (int)(bit & 7);
    uint64_t v = low >> shift;
    if (shift + width > 64)
        v |= (uint64_t)src[(bit >> 3) + 8] << (64 - shift);
    return width == 64 ? v : v & ((UINT64_C(1) << width) - 1);
}

/* Values [first, first + n). */
void bits_unpack64(const uint8_t *src, uint64_t first, uint32_t n, int width, uint64_t *out);

/* Appends values. */
typedef struct BitWriter {
    Buf out;
    uint64_t held; /* bits that fill no byte yet */
    int held_bits;
    int width;
} BitWriter;

BitWriter bits_writer(int width, size_t max_bytes);
void bits_free(BitWriter *w);

/* Room for so many values, where it may be had: they come without moving those before. */
void bits_reserve(BitWriter *w, uint64_t count);

/* Values that fit the width; of 32 bits at most. */
void bits_put(BitWriter *w, const uint64_t *values, uint32_t n);
void bits_put32(BitWriter *w, const uint32_t *values, uint32_t n);

/* Writes the last bits. */
void bits_finish(BitWriter *w);

/* Adds the stream of `n` ascending keys. */
void key_stream_encode(const uint32_t *keys, uint32_t n, Buf *out);

/* Its bytes, from its control bytes. */
uint64_t key_stream_bytes(const uint8_t *src, uint32_t n);
