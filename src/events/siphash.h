/*
 * events/siphash.h -- SipHash-2-4: a 64-bit hash that nobody without the key can steer.
 *
 * Source: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF".  Owns: nothing.
 * Threads: any.
 */
#pragma once

#include "base/str.h"

enum { SIPHASH_KEY_BYTES = 16 };

uint64_t siphash(const uint8_t key[SIPHASH_KEY_BYTES], Str data);
