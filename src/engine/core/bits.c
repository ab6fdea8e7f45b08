/*
 * engine/core/bits.c
 */
#include "engine/core/bits.h"

void bits_unpack64(const uint8_t *src, uint64_t first, uint32_t n, int width, uint64_t *out)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = bits_get(src, first + i, width);
}

BitWriter bits_writer(int width, size_t max_bytes)
{
    return (BitWriter){.out = BUF_MAX(max_bytes), .width = width};
}

/* Values of 64 or 32 bits: what puts them is compiled for either. */
typedef struct BitValues {
    const uint64_t *wide; /* NULL: */
    const uint32_t *narrow;
} BitValues;

static inline uint64_t value_at(BitValues v, uint32_t i, int width)
{
    const uint64_t value = v.wide != NULL ? v.wide[i] : v.narrow[i];
    DCHECK(width == 64 || value >> width == 0);
    return value;
}

/* Several values as one, which fits a word. */
static inline uint64_t join_2(BitValues v, uint32_t i, int width)
{
    return value_at(v, i, width) | value_at(v, i + 1, width) << width;
}

static inline uint64_t join_4(BitValues v, uint32_t i, int width)
{
    return join_2(v, i, width) | join_2(v, i + 2, width) << 2 * width;
}

static inline uint64_t join_8(BitValues v, uint32_t i, int width)
{
    return join_4(v, i, width) | join_4(v, i + 4, width) << 4 * width;
}

/* Where the next bits go. */
typedef struct BitPlace {
    uint8_t *out;
    uint64_t held;
    int bits;
} BitPlace;

static inline void put_word(BitPlace *to, uint64_t value, int width)
{
    to->held |= value << to->bits;
    to->bits += width;
    if (to->bits < 64)
        return;
    memcpy(to->out, &to->held, sizeof to->held);
    to->out += sizeof to->held;
    to->bits -= 64;
    /* What of the value did not fit; nothing when it ended with the word. */
    to->held = to->bits == 0 ? 0 : value >> (width - to->bits);
}

enum { BITS_SLACK = 16 }; /* behind what is put, words are written whole */

void bits_reserve(BitWriter *w, uint64_t count)
{
    const uint64_t bytes = bits_bytes(count, w->width) + 2 * BITS_SLACK;
    if (w->width > 0 && bytes <= w->out.max_bytes - w->out.len)
        (void)buf_reserve(&w->out, bytes);
}

__attribute__((always_inline)) static inline void put_all(BitWriter *w, BitValues v, uint32_t n)
{
    const int width = w->width;
    if (width == 0)
        return;
    uint8_t *const start = (uint8_t *)buf_reserve(&w->out, bits_bytes(n, width) + BITS_SLACK);
    CHECK(start != NULL);
    BitPlace to = {start, w->held, w->held_bits};
    uint32_t i = 0;
    for (; width <= 8 && i + 8 <= n; i += 8)
        put_word(&to, join_8(v, i, width), 8 * width);
    for (; width <= 16 && i + 4 <= n; i += 4)
        put_word(&to, join_4(v, i, width), 4 * width);
    for (; width <= 32 && i + 2 <= n; i += 2)
        put_word(&to, join_2(v, i, width), 2 * width);
    for (; i < n; i++)
        put_word(&to, value_at(v, i, width), width);
    w->held = to.held;
    w->held_bits = to.bits;
    w->out.len += (size_t)(to.out - start);
}

void bits_put(BitWriter *w, const uint64_t *values, uint32_t n)
{
    put_all(w, (BitValues){.wide = values}, n);
}

void bits_put32(BitWriter *w, const uint32_t *values, uint32_t n)
{
    put_all(w, (BitValues){.narrow = values}, n);
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

/* How many bytes a difference has cannot be foreseen, so nothing branches on it: all four are written, and those that
 * it does not have are written over by the next. */
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
        const uint32_t delta = keys[i] - before;
        const uint32_t more = (31 - (uint32_t)__builtin_clz(delta | 1)) / 8;
        start[i >> 2] |= (uint8_t)(more << (i & 3) * 2);
        memcpy(data, &delta, sizeof delta); /* little-endian: the low bytes come first */
        data += more + 1;
        before = keys[i];
    }
    out->len += (size_t)(data - start);
}

enum { KEYS_PER_WORD = 32 }; /* two bits each */

static uint64_t sum_of_pairs(uint64_t pairs)
{
    const uint64_t low = UINT64_C(0x5555555555555555);
    return (uint64_t)__builtin_popcountll(pairs & low) +
           2 * (uint64_t)__builtin_popcountll(pairs & ~low);
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
