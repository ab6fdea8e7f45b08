/*
 * base/json_shim.cpp -- the only file that sees simdjson.h.
 *
 * simdjson picks its kernel (AVX-512, AVX2, SSE4.2, NEON, plain) when the program runs.  Its first
 * stage needs no padding behind the text: it copies the last block.
 */
#include "base/json_shim.h"

#include <charconv>
#include <memory>
#include <simdjson.h>

namespace
{
constexpr size_t FIRST_CAPACITY = 64 << 10;
constexpr size_t KEPT_CAPACITY = 1 << 20;
constexpr size_t UNUSED_DEPTH = 1; /* only the second stage, which is not ours, needs depth */

thread_local std::unique_ptr<simdjson::internal::dom_parser_implementation> indexer;

bool grow(size_t len)
{
    size_t capacity = FIRST_CAPACITY;
    while (capacity < len)
        capacity *= 2;
    if (indexer)
        return indexer->set_capacity(capacity) == simdjson::SUCCESS;
    return simdjson::get_active_implementation()->create_dom_parser_implementation(
               capacity, UNUSED_DEPTH, indexer) == simdjson::SUCCESS;
}
} // namespace

bool json_shim_index(const char *text, size_t len, const uint32_t **at, size_t *count)
{
    if ((!indexer || indexer->capacity() < len) && !grow(len)) {
        indexer.reset();
        return false;
    }
    if (indexer->stage1(reinterpret_cast<const uint8_t *>(text), len,
                        simdjson::stage1_mode::regular) != simdjson::SUCCESS)
        return false;
    *at = indexer->structural_indexes.get();
    *count = indexer->n_structural_indexes;
    return true;
}

void json_shim_release(void)
{
    if (indexer && indexer->capacity() > KEPT_CAPACITY)
        indexer.reset();
}

bool json_shim_f64(const char *token, size_t len, double *out)
{
    double v = 0;
    if (std::from_chars(token, token + len, v).ec != std::errc{})
        return false;
    *out = v;
    return true;
}
