/*
 * modules/intake/intake_testing.h -- for tests and fuzzers only: bytes as a file without a name, random numbers.
 *
 * Owns: nothing; the caller closes the descriptor.  Threads: one.
 */
#pragma once

#include "base/str.h"
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct MemoryFile {
    int fd;
    char path[40];
} MemoryFile;

static inline MemoryFile memory_file(Str content)
{
    MemoryFile f = {.fd = memfd_create("intake", MFD_CLOEXEC)};
    CHECK(f.fd >= 0);
    CHECK(write(f.fd, content.ptr == NULL ? "" : content.ptr, content.len) == (ssize_t)content.len);
    CHECK(snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd) < (int)sizeof f.path);
    return f;
}

/* xorshift64*: the same numbers in every run. */
static inline uint32_t random_below(uint64_t *state, uint32_t below)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)((*state * UINT64_C(2685821657736338717)) >> 33) % below;
}
