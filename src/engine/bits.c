/*
 * engine/bits.c
 */
#include "engine/bits.h"

void bits_unpack64(const uint8_t *src, uint64_t first, uint32_t n, int width, uint64_t *out)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = bits_get(src, first + i, width);
}

BitWriter bits_writer(int width, size_t max_bytes)
{
    return (BitWriter){.out = BUF_MAX(max_bytes), .width = width};
}

void bits_put(BitWriter *w, const uint64_t *values, uint32_t n)
{
    if (w->width == 0)
        return;
    uint8_t *out = (uint8_t *)buf_reserve(&w->out, bits_bytes(n, w->width) + 16);
    CHECK(out != NULL);
    const uint8_t *const start = out;
    uint64_t held = w->held;
    int bits = w->held_bits;
    for (uint32_t i = 0; i < n; i++) {
        DCHECK(w->width == 64 || values[i] >> w->width == 0);
        held |= values[i] << bits;
        bits += w->width;
        if (bits < 64)
            continue;
        memcpy(out, &held, sizeof held);
        out += sizeof held;
        bits -= 64;
        /* What of the value did not fit; nothing when it ended with the word. */
        held = bits == 0 ? 0 : values[i] >> (w->width - bits);
    }
    w->held = held;
    w->held_bits = bits;
    w->out.len += (size_t)(out - start);
}

void bits_finish(BitWriter *w)
{
    if (w->held_bits > 0)
        buf_add(&w->out, (Str){(const char *)&w->held, (size_t)(w->held_bits + 7) / 8});
    w->held = 0;
    w->held_bits = 0;
}

void bits_free(BitWriter *w)
{
    buf_free(&w->out);
}

static uint32_t bytes_of(uint32_t v)
{
    return v < 1U << 8 ? 1 : v < 1U << 16 ? 2 : v < 1U << 24 ? 3 : 4;
}

void key_stream_encode(const uint32_t *keys, uint32_t n, Buf *out)
{
    const size_t most = (n + 3) / 4 + 4 * (size_t)n;
    uint8_t *const start = n == 0 ? NULL : (uint8_t *)buf_reserve(out, most);
    if (start == NULL)
        return;
    uint8_t *data = start + (n + 3) / 4;
    memset(start, 0, (n + 3) / 4);
    uint32_t before = 0;
    for (uint32_t i = 0; i < n; i++) {
        DCHECK(keys[i] >= before);
        const uint32_t delta = keys[i] - before, bytes = bytes_of(delta);
        start[i >> 2] |= (uint8_t)((bytes - 1) << (i & 3) * 2);
        memcpy(data, &delta, bytes); /* little-endian: the low bytes come first */
        data += bytes;
        before = keys[i];
    }
    out->len += (size_t)(data - start);
}

enum { KEYS_PER_WORD = 32 }; /* two bits each */

static uint64_t sum_of_pairs(uint64_t pairs)
{
    const uint64_t low = UINT64_C(0x5555555555555555);
    return (uint64_t)(__builtin_popcountll(pairs & low) + 2 * __builtin_popcountll(pairs & ~low));
}

uint64_t key_stream_bytes(const uint8_t *src, uint32_t n)
{
    uint64_t bytes = (n + UINT64_C(3)) / 4 + n, pairs = 0;
    uint32_t i = 0;
    for (; n - i >= KEYS_PER_WORD; i += KEYS_PER_WORD) {
        memcpy(&pairs, src + i / 4, sizeof pairs);
        bytes += sum_of_pairs(pairs);
    }
    for (; i < n; i++)
        bytes += src[i >> 2] >> (i & 3) * 2 & 3U;
    return bytes;
}
