/*
 * events/siphash.h -- SipHash: a 64-bit hash that nobody without the key can steer.
 *
 * Source: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF".  Owns: nothing.
 * Threads: any.
 */
#pragma once

#include "base/str.h"

enum { SIPHASH_KEY_BYTES = 16 };

/* SipHash-2-4. */
uint64_t siphash(const uint8_t key[SIPHASH_KEY_BYTES], Str data);

/* SipHash-1-3, in half of the time: for tables, where nobody sees a hash. */
uint64_t siphash_13(const uint8_t key[SIPHASH_KEY_BYTES], Str data);
