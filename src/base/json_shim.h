/*
 * base/json_shim.h -- what json.c takes from C++: simdjson's first stage and std::from_chars.
 *
 * Only json_shim.cpp sees simdjson.h.  Nothing here throws.  Owns: one structural indexer per thread,
 * reused, freed with the thread.  Threads: any; a result belongs to the thread that asked.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Finds the places of all brackets, commas, colons, opening quotes and first bytes of other scalars.
 * False when the text is not plainly good (bad UTF-8, a raw control character in a string, a string
 * without end, nothing at all) or memory is short: the caller then looks by itself, and learns why.
 * `*at` stays valid until the next call or json_shim_release() on this thread.
 */
bool json_shim_index(const char *text, size_t len, const uint32_t **at, size_t *count);

/* Gives back the memory of an unusually large document. */
void json_shim_release(void);

/* The double nearest to `token`, a number in JSON's grammar.  False when that is 0 or infinity only
 * because its exponent is out of range. */
bool json_shim_f64(const char *token, size_t len, double *out);

#ifdef __cplusplus
}
#endif
