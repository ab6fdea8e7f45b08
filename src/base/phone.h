/*
 * base/phone.h -- phone numbers: what people type becomes E.164, the key of a person; and masks.
 *
 * Mainland mobiles (nearly everything) are handled here in well under a microsecond; other numbers
 * go to libphonenumber.  A number may be
 *     strict   libphonenumber knows its range as assigned, or
 *     lenient  it only looks right (mainland: 1[3-9] and 9 digits; elsewhere: as long as a mobile of
 *              that country): ranges are opened faster than tables are updated.
 * Anything else is refused.  So are the 13-digit numbers of machines (IoT) of the mainland, letters
 * and extensions.
 * Owns: nothing.  Threads: any.
 */
#pragma once

#include "base/arena.h"

enum { PHONE_TEXT_BYTES = 17 }; /* '+', 15 digits, NUL */

typedef struct Phone {
    char text[PHONE_TEXT_BYTES]; /* "+8613800138000" */
    char region[3];              /* "CN"; "ZZ" for numbers of no country (satellites) */
    bool strict;
    bool mobile; /* or a number that may be either, as in the United States */
} Phone;

#define PHONE_FAULT_MAP(X)                                                                         \
    X(NONE, "is fine")                                                                             \
    X(EMPTY, "is empty")                                                                           \
    X(CHARACTER, "contains something that is no digit")                                            \
    X(NO_NUMBER, "is no phone number of this country; start with + and the country code")          \
    X(MACHINE, "is the number of a machine, not of a person")

typedef enum PhoneFault {
#define X(code, text) PHONE_FAULT_##code,
    PHONE_FAULT_MAP(X)
#undef X
        PHONE_FAULT_COUNT
} PhoneFault;

/* "is empty": goes behind the name of the field. */
const char *phone_fault_text(PhoneFault fault);

/*
 * `region` is the store's, two capital letters ("CN"): it decides what a number without country code
 * means.  Full-width digits are digits (NFKC); white space, hyphens, brackets, full stops, middle
 * dots and invisible marks are skipped; 00 in front is +; 86 in front of a mainland mobile is +86.
 * On a fault *out is untouched.           Source: ITU-T E.164, libphonenumber 8.12
 */
MUST_USE PhoneFault phone_parse(Str text, const char region[3], Phone *out);

/*
 * For showing to whoever may not see all of it:
 *     +8613800138000 -> 138****8000    +85261234567 -> 6***4567    +14155552671 -> +1******2671
 * Other than mainland mobiles, Hong Kong and Macau: country code and the last four, but at least
 * four are hidden.  What is no E.164 number becomes "****".
 */
Str phone_mask(Arena *arena, Str e164);

/* The digits behind the country code, as the tills of the country print them: "13800138000". */
Str phone_national(Str e164);

/* Zhang San -> first and last character, the rest hidden: 王小明 -> 王*明, 张三 -> 张*. */
Str mask_name(Arena *arena, Str name);

/* abcz@example.com -> a***z@example.com; of one or two characters in front of the @ less is shown. */
Str mask_mail(Arena *arena, Str mail);
