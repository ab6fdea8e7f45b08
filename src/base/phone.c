/*
 * base/phone.c -- the fast path for mainland mobiles, the rules around libphonenumber, and masks.
 */
#include "base/phone.h"

#include "base/phone_shim.h"

enum { DIGITS_MAX = 20, CN_MOBILE_DIGITS = 11, CN_MACHINE_DIGITS = 13 };

static const char *const FAULT_TEXTS[] = {
#define X(code, text) [PHONE_FAULT_##code] = (text),
    PHONE_FAULT_MAP(X)
#undef X
};

const char *phone_fault_text(PhoneFault fault)
{
    CHECK(fault < PHONE_FAULT_COUNT);
    return FAULT_TEXTS[fault];
}

/* ---- what people type ---- */

typedef struct Typed {
    char text[DIGITS_MAX + 2]; /* digits; a '+' in front when the country code is given */
    size_t len;
} Typed;

/* Characters without meaning in a phone number, beyond ASCII: first and last code point. */
static const uint32_t SKIPPED[][2] = {
    {0xa0, 0xa0},     /* no-break space */
    {0xb7, 0xb7},     /* middle dot */
    {0x2000, 0x2015}, /* spaces, direction marks, hyphens and dashes */
    {0x202a, 0x202f}, /* direction marks that address books put in front */
    {0x2060, 0x206f}, {0x2212, 0x2212},
    {0x3000, 0x3000}, {0x30fb, 0x30fb}, /* katakana middle dot */
    {0xfeff, 0xfeff}, {0xff65, 0xff65},
};

static uint32_t code_point(Str s, size_t at, size_t len)
{
    static const unsigned char FIRST_MASK[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = (unsigned char)s.ptr[at] & FIRST_MASK[len];
    for (size_t i = at + 1; i < at + len; i++)
        c = c << 6 | ((unsigned char)s.ptr[i] & 0x3f);
    return c;
}

static bool is_skipped(uint32_t c)
{
    if (c < 0x80)
        return c == ' ' || c == '-' || c == '(' || c == ')' || c == '.' || (c >= 9 && c <= 13);
    for (size_t i = 0; i < ARRAY_LEN(SKIPPED); i++)
        if (c >= SKIPPED[i][0] && c <= SKIPPED[i][1])
            return true;
    return false;
}

static PhoneFault add_typed(Typed *t, uint32_t c)
{
    if (c >= 0xff01 && c <= 0xff5e) /* the full-width form of ASCII */
        c -= 0xff01 - '!';
    if (is_skipped(c))
        return PHONE_FAULT_NONE;
    const bool plus = c == '+' && t->len == 0;
    if (!plus && (c < '0' || c > '9'))
        return PHONE_FAULT_CHARACTER;
    if (t->len == DIGITS_MAX)
        return PHONE_FAULT_NO_NUMBER;
    t->text[t->len++] = (char)c;
    return PHONE_FAULT_NONE;
}

static Str typed_str(const Typed *t)
{
    return (Str){t->text, t->len};
}

static PhoneFault read_typed(Str text, Typed *t)
{
    *t = (Typed){.len = 0};
    for (size_t i = 0; i < text.len;) {
        const size_t n = str_utf8_len(text, i);
        const PhoneFault fault =
            n == 0 ? PHONE_FAULT_CHARACTER : add_typed(t, code_point(text, i, n));
        if (fault != PHONE_FAULT_NONE)
            return fault;
        i += n;
    }
    if (str_starts_with(typed_str(t), STR("00"))) {
        memmove(t->text + 1, t->text + 2, t->len - 2);
        t->text[0] = '+';
        t->len -= 1;
    }
    return t->len == 0 ? PHONE_FAULT_EMPTY : PHONE_FAULT_NONE;
}

/* ---- the mainland ---- */

/* libphonenumber 8.12: 1740[0-5]\d{6} | 1(?:[38]\d|4[57]|[59][0-35-9]|6[25-7]|7[0-35-8])\d{8}.
 * Bit d of row n: 1nd is assigned. */
static const uint16_t CN_ASSIGNED[10] = {
    [3] = 0x3ff, [4] = 1 << 5 | 1 << 7, [5] = 0x3ef, [6] = 0xe4,
    [7] = 0x1ef, [8] = 0x3ff,           [9] = 0x3ef,
};

static bool is_cn_mobile(Str digits)
{
    return digits.len == CN_MOBILE_DIGITS && digits.ptr[0] == '1' && digits.ptr[1] >= '3';
}

static bool is_cn_strict(Str digits)
{
    const int second = digits.ptr[1] - '0', third = digits.ptr[2] - '0';
    if (str_starts_with(digits, STR("1740")))
        return digits.ptr[4] <= '5';
    return (CN_ASSIGNED[second] >> third & 1) != 0;
}

static bool is_cn(const char region[3])
{
    return region[0] == 'C' && region[1] == 'N';
}

/* The digits behind +86 where the text says, or the region implies, that they are mainland ones. */
static Str mainland_part(Str typed, const char region[3])
{
    if (str_starts_with(typed, STR("+86")))
        return str_slice(typed, 3, typed.len);
    const Str behind = str_slice(typed, 2, typed.len);
    if (str_starts_with(typed, STR("86")) && is_cn_mobile(behind))
        return behind;
    return is_cn(region) && typed.ptr[0] != '+' ? typed : (Str){NULL, 0};
}

static Phone cn_mobile(Str digits)
{
    Phone p = {.text = "+86", .region = "CN", .strict = is_cn_strict(digits), .mobile = true};
    memcpy(p.text + 3, digits.ptr, digits.len);
    return p;
}

/* ---- everything else ---- */

/* Only a guess that reads back as itself can be a key: some begin with a second trunk zero. */
static bool is_stable(const PhoneShim *got)
{
    PhoneShim again;
    const Str e164 = str_of(got->e164);
    return phone_shim_parse(e164.ptr, e164.len, "ZZ", &again) && str_eq(str_of(again.e164), e164);
}

static PhoneFault ask_library(Str typed, const char region[3], Phone *out)
{
    PhoneShim got;
    if (!phone_shim_parse(typed.ptr, typed.len, region, &got))
        return PHONE_FAULT_NO_NUMBER;
    const Str e164 = str_of(got.e164);
    const Str digits = str_slice(e164, 3, e164.len);
    if (str_starts_with(e164, STR("+86")) && is_cn_mobile(digits)) {
        *out = cn_mobile(digits); /* a trunk zero or a carrier code was in front */
        return PHONE_FAULT_NONE;
    }
    if (!got.valid && (!got.possible_mobile || is_cn(got.region) || !is_stable(&got)))
        return PHONE_FAULT_NO_NUMBER;
    Phone p = {.strict = got.valid, .mobile = got.valid && got.mobile};
    memcpy(p.text, got.e164, sizeof p.text);
    memcpy(p.region, got.region, sizeof p.region);
    *out = p;
    return PHONE_FAULT_NONE;
}

PhoneFault phone_parse(Str text, const char region[3], Phone *out)
{
    Typed typed;
    const PhoneFault fault = read_typed(text, &typed);
    if (fault != PHONE_FAULT_NONE)
        return fault;
    const Str mainland = mainland_part(typed_str(&typed), region);
    if (is_cn_mobile(mainland)) {
        *out = cn_mobile(mainland);
        return PHONE_FAULT_NONE;
    }
    if (mainland.len == CN_MACHINE_DIGITS && mainland.ptr[0] == '1')
        return PHONE_FAULT_MACHINE;
    return ask_library(typed_str(&typed), region, out);
}

/* ---- masks ---- */

/* Calling codes of two digits; 1 and 7 have one, all others three (ITU-T E.164, annex D). */
static const uint64_t TWO_DIGITS[2] = {
    /* 20 27 30-34 36 39 40 41 43-49 51-58 60-63 */
    UINT64_C(1) << 20 | UINT64_C(1) << 27 | UINT64_C(31) << 30 | UINT64_C(1) << 36 |
        UINT64_C(7) << 39 | UINT64_C(127) << 43 | UINT64_C(255) << 51 | UINT64_C(15) << 60,
    /* 64-66 81 82 84 86 90-95 98 */
    UINT64_C(7) << 0 | UINT64_C(3) << 17 | UINT64_C(1) << 20 | UINT64_C(1) << 22 |
        UINT64_C(63) << 26 | UINT64_C(1) << 34,
};

static bool is_e164(Str s)
{
    if (s.len < 8 || s.len >= PHONE_TEXT_BYTES || s.ptr[0] != '+' || s.ptr[1] == '0')
        return false;
    for (size_t i = 1; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return true;
}

/* Bytes of the country code with its '+'. */
static size_t country_len(Str e164)
{
    if (e164.ptr[1] == '1' || e164.ptr[1] == '7')
        return 2;
    const unsigned two = (unsigned)(e164.ptr[1] - '0') * 10 + (unsigned)(e164.ptr[2] - '0');
    return (TWO_DIGITS[two / 64] >> two % 64 & 1) != 0 ? 3 : 4;
}

Str phone_national(Str e164)
{
    return is_e164(e164) ? str_slice(e164, country_len(e164), e164.len) : (Str){NULL, 0};
}

/* `n` bytes of `s` with those of [from, to) replaced by stars. */
static Str with_stars(Arena *arena, Str s, size_t from, size_t to)
{
    char *out = arena_bytes(arena, s.len + 1);
    memcpy(out, s.ptr, s.len);
    memset(out + from, '*', to - from);
    out[s.len] = '\0';
    return (Str){out, s.len};
}

Str phone_mask(Arena *arena, Str e164)
{
    if (!is_e164(e164))
        return STR("****");
    const Str national = phone_national(e164);
    if (str_starts_with(e164, STR("+86")) && is_cn_mobile(national))
        return with_stars(arena, national, 3, 7);
    const bool islands = str_starts_with(e164, STR("+852")) || str_starts_with(e164, STR("+853"));
    if (islands && national.len == 8)
        return with_stars(arena, national, 1, 4);
    const size_t code = e164.len - national.len;
    const size_t shown = national.len >= 8 ? 4 : national.len > 4 ? national.len - 4 : 0;
    return with_stars(arena, e164, code, e164.len - shown);
}

/* Bytes of the character at `at`; a byte that is none counts as one. */
static size_t char_len(Str s, size_t at)
{
    const size_t n = str_utf8_len(s, at);
    return n == 0 ? 1 : n;
}

Str mask_name(Arena *arena, Str name)
{
    enum { STARS_MAX = 8 };
    size_t count = 0, last = 0;
    for (size_t i = 0; i < name.len; i += char_len(name, i)) {
        last = i;
        count++;
    }
    if (count < 2)
        return STR("*");
    const Str first = str_slice(name, 0, char_len(name, 0));
    const Str end = count == 2 ? (Str){NULL, 0} : str_slice(name, last, name.len);
    const size_t stars = count == 2 ? 1 : count - 2 < STARS_MAX ? count - 2 : STARS_MAX;
    return arena_printf(arena, "%.*s%.*s%.*s", STR_ARG(first), (int)stars, "********",
                        STR_ARG(end));
}

Str mask_mail(Arena *arena, Str mail)
{
    const int64_t at = str_index(mail, '@', 0);
    if (at < 1)
        return STR("***");
    const size_t local = (size_t)at;
    const Str first = str_slice(mail, 0, local > 1 ? char_len(mail, 0) : 0);
    const bool shows_last = local > 2 && (mail.ptr[local - 1] & 0x80) == 0;
    const Str last = str_slice(mail, local - 1, shows_last ? local : 0);
    return arena_printf(arena, "%.*s***%.*s%.*s", STR_ARG(first), STR_ARG(last),
                        STR_ARG(str_slice(mail, local, mail.len)));
}
