/*
 * base/phone_fuzz.c -- any text: what is accepted is E.164 and parses to itself; masks stay text.
 */
#include "base/phone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const REGIONS[] = {"CN", "HK", "MO", "TW", "US", "SG", "JP", "GB"};
    static Arena *arena;
    if (size == 0)
        return 0;
    if (arena == NULL)
        arena = arena_new(1 << 12);
    const char *region = REGIONS[data[0] % ARRAY_LEN(REGIONS)];
    const Str text = {(const char *)data + 1, size - 1};
    Phone p, again;
    if (phone_parse(text, region, &p) == PHONE_FAULT_NONE) {
        const Str e164 = str_of(p.text);
        CHECK(e164.len >= 5 && e164.len < PHONE_TEXT_BYTES && e164.ptr[0] == '+');
        CHECK(phone_parse(e164, region, &again) == PHONE_FAULT_NONE);
        CHECK(str_eq(str_of(again.text), e164) && again.strict == p.strict);
        CHECK(!str_eq(phone_mask(arena, e164), e164));
    }
    (void)phone_mask(arena, text);
    const bool valid = str_is_utf8(text);
    CHECK(!valid || str_is_utf8(mask_name(arena, text)));
    CHECK(!valid || str_is_utf8(mask_mail(arena, text)));
    arena_reset(arena);
    return 0;
}
