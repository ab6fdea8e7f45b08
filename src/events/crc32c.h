/*
 * events/crc32c.h -- the checksum of every byte the events layer writes (CRC-32C, RFC 3720 B.4).
 *
 * Uses the processor's instruction where there is one (found at run time), else a table; both give
 * the same values.  Owns: nothing.  Threads: any.
 */
#pragma once

#include "base/str.h"

/* The checksum of `data` behind bytes whose checksum is `before`; 0 starts. */
uint32_t crc32c_add(uint32_t before, Str data);

/* The table's way, for tests. */
uint32_t crc32c_add_plain(uint32_t before, Str data);
