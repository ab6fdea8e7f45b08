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

/* ---- many at once ---------------------------------------------------------------------------------- */

/* Texts that are hashed beside each other where the processor has vectors for it: each then takes half of the time. */
enum { SIPHASH_LANES = 8, SIPHASH_LANE_WORDS = 8, SIPHASH_PADDING = 8 };
typedef struct SiphashLanes {
    _Alignas(64) uint64_t words[SIPHASH_LANE_WORDS][SIPHASH_LANES];
    uint64_t count[SIPHASH_LANES]; /* of a lane's words */
} SiphashLanes;

/* The lane's text, behind which SIPHASH_PADDING bytes may be read.  False: it is too long for a lane. */
MUST_USE bool siphash_put(SiphashLanes *l, uint32_t lane, Str data);

/* siphash() and siphash_13() of the texts in the first `n` lanes. */
void siphash_lanes(const uint8_t key[SIPHASH_KEY_BYTES], const SiphashLanes *l, uint32_t n,
                   uint64_t *out);
void siphash_lanes_13(const uint8_t key[SIPHASH_KEY_BYTES], const SiphashLanes *l, uint32_t n,
                      uint64_t *out);
