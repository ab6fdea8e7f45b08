/*
 * events/crc32c.c -- the three ways of events/crc32c.h: SSE 4.2, ARMv8, table.
 */
#include "events/crc32c.h"

#include <stdatomic.h>

#if defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#endif

static uint32_t table_entry(uint32_t byte)
{
    for (int bit = 0; bit < 8; bit++)
        byte = (byte >> 1) ^ (UINT32_C(0x82f63b78) & (0 - (byte & 1)));
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

#if defined(__x86_64__)

static bool has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) static uint32_t add_fast(uint32_t before, Str data)
{
    uint64_t crc = ~before;
    size_t i = 0;
    for (; i + 8 <= data.len; i += 8) {
        uint64_t word;
        memcpy(&word, data.ptr + i, sizeof word);
        crc = __builtin_ia32_crc32di(crc, word);
    }
    for (; i < data.len; i++)
        crc = __builtin_ia32_crc32qi((uint32_t)crc, (unsigned char)data.ptr[i]);
    return ~(uint32_t)crc;
}

#elif defined(__aarch64__)

static bool has_instruction(void)
{
    return (getauxval(AT_HWCAP) & (1UL << 7)) != 0; /* HWCAP_CRC32 */
}

__attribute__((target("+crc"))) static uint32_t add_fast(uint32_t before, Str data)
{
    uint32_t crc = ~before;
    size_t i = 0;
    for (; i + 8 <= data.len; i += 8) {
        uint64_t word;
        memcpy(&word, data.ptr + i, sizeof word);
        crc = __crc32cd(crc, word);
    }
    for (; i < data.len; i++)
        crc = __crc32cb(crc, (unsigned char)data.ptr[i]);
    return ~crc;
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
