/*
 * base/phone_shim.h -- what phone.c asks libphonenumber.
 *
 * Only phone_shim.cpp sees its headers.  The first call reads the tables (a few milliseconds).
 * Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct PhoneShim {
    char e164[17];
    char region[3];       /* "ZZ" when none */
    bool valid;           /* in a range known as assigned */
    bool mobile;          /* or fixed-or-mobile; only when valid */
    bool possible_mobile; /* as long as a mobile number of its country */
} PhoneShim;

/* `text` is digits with or without a leading +.  False when no number can be made of it. */
bool phone_shim_parse(const char *text, size_t len, const char *region, PhoneShim *out);

#ifdef __cplusplus
}
#endif
