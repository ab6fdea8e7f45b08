/*
 * events/crc32c.c -- the three ways of events/crc32c.h: SSE 4.2, ARMv8, table.
 */
#include "events/crc32c.h"

#include <stdatomic.h>

#if defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#endif

static const uint32_t POLYNOMIAL = 0x82f63b78; /* bits reversed */

static uint32_t table_entry(uint32_t byte)
{
    for (int bit = 0; bit < 8; bit++)
        byte = (byte >> 1) ^ (POLYNOMIAL & (0 - (byte & 1)));
    return byte;
}

uint32_t crc32c_add_plain(uint32_t before, Str data)
{
    static _Atomic uint32_t table[256]; /* filled by whoever comes first, with the same values */
    if (atomic_load_explicit(&table[255], memory_order_acquire) == 0)
        for (uint32_t i = 0; i < 256; i++)
            atomic_store_explicit(&table[i], table_entry(i), memory_order_release);
    uint32_t crc = ~before;
    for (size_t i = 0; i < data.len; i++) {
        const uint32_t at = (crc ^ (unsigned char)data.ptr[i]) & 0xff;
        crc = (crc >> 8) ^ atomic_load_explicit(&table[at], memory_order_relaxed);
    }
    return ~crc;
}

/* What the instruction is called here: eight bytes, one byte. */
#if defined(__x86_64__)

#define FAST                 __attribute__((target("sse4.2")))
#define NEXT_WORD(crc, word) __builtin_ia32_crc32di((crc), (word))
#define NEXT_BYTE(crc, byte) __builtin_ia32_crc32qi((uint32_t)(crc), (byte))

static bool has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2");
}

#elif defined(__aarch64__)

#define FAST                 __attribute__((target("+crc")))
#define NEXT_WORD(crc, word) __crc32cd((uint32_t)(crc), (word))
#define NEXT_BYTE(crc, byte) __crc32cb((uint32_t)(crc), (byte))

static bool has_instruction(void)
{
    return (getauxval(AT_HWCAP) & (1UL << 7)) != 0; /* HWCAP_CRC32 */
}

#endif

#ifdef FAST

/* The instruction takes three cycles but can begin in each one, so three streams of this length go beside each
 * other.  Bytes behind a stream multiply its checksum by a power of x, modulo the polynomial. */
enum { STREAM_BYTES = 2048, STREAMS_BYTES = 3 * STREAM_BYTES, LINE_BYTES = 64 };
static const uint32_t
    BEHIND_ONE = 0x0d65762a, /* x to the 8 * STREAM_BYTES, lowest power at the highest bit */
    BEHIND_TWO = 0x35d73a62; /* ... twice that */

/* The product of two polynomials. */
static uint32_t times(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (int bit = 31; bit >= 0; bit--) {
        product ^= b & (0 - (a >> bit & 1));
        b = (b >> 1) ^ (POLYNOMIAL & (0 - (b & 1)));
    }
    return product;
}

static inline uint64_t load64(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Streams are too short for a processor to follow them by itself: the next ones are fetched meanwhile. */
static inline void fetch_next_streams(const char *at)
{
    __builtin_prefetch(at + STREAMS_BYTES);
    __builtin_prefetch(at + STREAMS_BYTES + STREAM_BYTES);
    __builtin_prefetch(at + STREAMS_BYTES + 2 * (size_t)STREAM_BYTES);
}

FAST static uint32_t add_streams(uint32_t crc, const char *at)
{
    uint64_t a = crc, b = 0, c = 0;
    for (size_t i = 0; i < STREAM_BYTES; i += 8) {
        if (i % LINE_BYTES == 0)
            fetch_next_streams(at + i);
        a = NEXT_WORD(a, load64(at + i));
        b = NEXT_WORD(b, load64(at + STREAM_BYTES + i));
        c = NEXT_WORD(c, load64(at + 2 * (size_t)STREAM_BYTES + i));
    }
    return times((uint32_t)a, BEHIND_TWO) ^ times((uint32_t)b, BEHIND_ONE) ^ (uint32_t)c;
}

FAST static uint32_t add_fast(uint32_t before, Str data)
{
    uint64_t crc = ~before;
    size_t i = 0;
    for (; i + STREAMS_BYTES <= data.len; i += STREAMS_BYTES)
        crc = add_streams((uint32_t)crc, data.ptr + i);
    for (; i + 8 <= data.len; i += 8)
        crc = NEXT_WORD(crc, load64(data.ptr + i));
    for (; i < data.len; i++)
        crc = NEXT_BYTE(crc, (unsigned char)data.ptr[i]);
    return ~(uint32_t)crc;
}

#else

static bool has_instruction(void)
{
    return false;
}

static uint32_t add_fast(uint32_t before, Str data)
{
    return crc32c_add_plain(before, data);
}

#endif

uint32_t crc32c_add(uint32_t before, Str data)
{
    static atomic_int way; /* 0 = not yet asked, 1 = plain, 2 = fast */
    int chosen = atomic_load_explicit(&way, memory_order_relaxed);
    if (chosen == 0) {
        chosen = has_instruction() ? 2 : 1;
        atomic_store_explicit(&way, chosen, memory_order_relaxed);
    }
    return chosen == 2 ? add_fast(before, data) : crc32c_add_plain(before, data);
}
