/*
 * modules/store/store_fuzz.c -- opening hours against a regular expression that says the same.
 */
#include "modules/store/store.h"

#include <regex.h>

#define DAY  "(Mo|Tu|We|Th|Fr|Sa|Su)"
#define DAYS DAY "(-" DAY ")?(," DAY "(-" DAY ")?)*"
#define TIME "(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)"
#define SPAN TIME "-" TIME
#define HOUR " *" DAYS "( " SPAN "(," SPAN ")*)?"

/* What a regular expression cannot say: that a span does not end where it began, nor begin at 24:00. */
static bool has_bad_span(const char *s)
{
    for (const char *dash = strchr(s, '-'); dash != NULL; dash = strchr(dash + 1, '-')) {
        if (dash - s < 5 || dash[-1] < '0' || dash[-1] > '9')
            continue; /* between days */
        if (memcmp(dash - 5, dash + 1, 5) == 0 || memcmp(dash - 5, "24:00", 5) == 0)
            return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static regex_t re;
    static bool ready;
    if (!ready)
        CHECK(regcomp(&re, "^" HOUR "(;" HOUR ")*$", REG_EXTENDED | REG_NOSUB) == 0);
    ready = true;
    const Str s = {(const char *)data, size};
    char text[STORE_TEXT_BYTES_MAX + 1];
    const bool valid = store_hours_valid(s);
    if (!str_to_c(s, text, sizeof text))
        return 0;
    CHECK(valid == (regexec(&re, text, 0, NULL, 0) == 0 && !has_bad_span(text)));
    return 0;
}
