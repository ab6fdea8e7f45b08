/*
 * base/phone_test.c -- the promises of base/phone.h.
 */
#include "base/phone.h"
#include "base/phone_shim.h"
#include "base/rand.h"
#include "base/test.h"

static Phone parse(const char *text, const char *region)
{
    Phone p = {0};
    const PhoneFault fault = phone_parse(str_of(text), region, &p);
    if (fault != PHONE_FAULT_NONE)
        fprintf(stderr, "%s (%s): %s\n", text, region, phone_fault_text(fault));
    EXPECT_I64(fault, PHONE_FAULT_NONE);
    return p;
}

TEST(phone_all_ways_to_type_a_mainland_mobile_are_one_number)
{
    static const char *const WAYS[] = {
        "13800138000",
        "+86 138 0013 8000",
        "0086-13800138000",
        "86 13800138000",
        "8613800138000",
        "\xef\xbc\x91\xef\xbc\x93\xef\xbc\x98\xef\xbc\x90\xef\xbc\x90\xef\xbc\x91\xef\xbc\x93"
        "\xef\xbc\x98\xef\xbc\x90\xef\xbc\x90\xef\xbc\x90", /* full width */
        "\xef\xbc\x8b\xef\xbc\x98\xef\xbc\x96\xe3\x80\x80"
        "13800138000",
        " 138-0013-8000\n",
        "(+86)138.0013.8000",
        "138\xc2\xb7"
        "0013\xc2\xa0"
        "8000",
        "\xe2\x80\xad+8613800138000\xe2\x80\xac", /* as address books copy it */
        "138\xe2\x80\x93"
        "0013\xe2\x80\x93"
        "8000",
        "+86 0 13800138000",
        "0 13800138000",
    };
    for (size_t i = 0; i < ARRAY_LEN(WAYS); i++) {
        const Phone p = parse(WAYS[i], "CN");
        EXPECT_STREQ(p.text, "+8613800138000");
        EXPECT_STREQ(p.region, "CN");
        CHECK(p.strict && p.mobile);
    }
}

TEST(phone_other_regions_need_the_stores_region_or_a_country_code)
{
    static const struct {
        const char *text, *store, *e164, *region;
        bool strict, mobile;
    } rows[] = {
        {"6123 4567", "HK", "+85261234567", "HK", true, true},
        {"+852 6123 4567", "CN", "+85261234567", "HK", true, true},
        {"2345 6789", "HK", "+85223456789", "HK", true, false},
        {"6612 3456", "MO", "+85366123456", "MO", true, true},
        {"00853 66123456", "HK", "+85366123456", "MO", true, true},
        {"0912345678", "TW", "+886912345678", "TW", true, true},
        {"912345678", "TW", "+886912345678", "TW", true, true},
        {"+886 0912 345 678", "CN", "+886912345678", "TW", true, true},
        {"(415) 555-2671", "US", "+14155552671", "US", true, true},
        {"+81 90-1234-5678", "CN", "+819012345678", "JP", true, true},
        {"+44 20 7946 0958", "CN", "+442079460958", "GB", true, false},
        {"010-62345678", "CN", "+861062345678", "CN", true, false},
        {"+86 138 0013 8000", "HK", "+8613800138000", "CN", true, true},
        {"8613800138000", "HK", "+8613800138000", "CN", true, true},
        {"14012345678", "CN", "+8614012345678", "CN", false, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const Phone p = parse(rows[i].text, rows[i].store);
        EXPECT_STREQ(p.text, rows[i].e164);
        EXPECT_STREQ(p.region, rows[i].region);
        EXPECT_I64(p.strict, rows[i].strict);
        EXPECT_I64(p.mobile, rows[i].mobile);
    }
}

TEST(phone_what_is_no_number_of_a_person_is_refused_and_nothing_written)
{
    static const struct {
        const char *text, *store;
        PhoneFault fault;
    } rows[] = {
        {"", "CN", PHONE_FAULT_EMPTY},
        {" - ", "CN", PHONE_FAULT_EMPTY},
        {"13800138000x", "CN", PHONE_FAULT_CHARACTER},
        {"1-800-FLOWERS", "US", PHONE_FAULT_CHARACTER},
        {"138+00138000", "CN", PHONE_FAULT_CHARACTER},
        {"\xff"
         "13800138000",
         "CN", PHONE_FAULT_CHARACTER},
        {"\xe4\xb8\x80", "CN", PHONE_FAULT_CHARACTER},
        {"1380013800", "CN", PHONE_FAULT_NO_NUMBER},
        {"138001380001", "CN", PHONE_FAULT_NO_NUMBER},
        {"12800138000", "CN", PHONE_FAULT_NO_NUMBER},
        {"0912345678", "CN", PHONE_FAULT_NO_NUMBER},
        {"13800138000", "HK", PHONE_FAULT_NO_NUMBER},
        {"13800138000", "MO", PHONE_FAULT_NO_NUMBER},
        {"110", "CN", PHONE_FAULT_NO_NUMBER},
        {"+", "CN", PHONE_FAULT_NO_NUMBER},
        {"00", "CN", PHONE_FAULT_NO_NUMBER},
        {"+999123456789", "CN", PHONE_FAULT_NO_NUMBER},
        {"123456789012345678901234567890", "CN", PHONE_FAULT_NO_NUMBER},
        {"13800138000", "XX", PHONE_FAULT_NO_NUMBER},
        {"1064812345678", "CN", PHONE_FAULT_MACHINE},
        {"+86 10648 1234 5678", "HK", PHONE_FAULT_MACHINE},
        {"0086 1440123456789", "CN", PHONE_FAULT_MACHINE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Phone p = {.text = "untouched"};
        const PhoneFault fault = phone_parse(str_of(rows[i].text), rows[i].store, &p);
        if (fault != rows[i].fault)
            fprintf(stderr, "%s (%s)\n", rows[i].text, rows[i].store);
        EXPECT_I64(fault, rows[i].fault);
        EXPECT_STREQ(p.text, "untouched");
    }
    EXPECT_STREQ(phone_fault_text(PHONE_FAULT_EMPTY), "is empty");
}

TEST(phone_strict_flag_follows_the_assigned_mainland_ranges)
{
    static const struct {
        const char *text;
        bool strict;
    } rows[] = {{"16212345678", true},  {"16512345678", true},  {"16712345678", true},
                {"17012345678", true},  {"17112345678", true},  {"19212345678", true},
                {"14012345678", false}, {"14112345678", false}, {"14412345678", false},
                {"14812345678", false}, {"14912345678", false}, {"15412345678", false},
                {"16112345678", false}, {"17405345678", true},  {"17406345678", false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        EXPECT_I64(parse(rows[i].text, "CN").strict, rows[i].strict);
}

/* The fast path takes every 1[3-9]..., and is strict exactly where the library finds that very number
 * valid.  (Of 179.., which is no mobile, the library takes five digits for a carrier's code.) */
static void expect_agreement(const char *digits)
{
    const Phone p = parse(digits, "CN");
    EXPECT_STREQ(p.text + 3, digits);
    PhoneShim lib = {.valid = false};
    const bool parsed = phone_shim_parse(digits, strlen(digits), "CN", &lib);
    EXPECT_I64(p.strict, parsed && lib.valid);
    if (!p.strict)
        return;
    EXPECT_STREQ(p.text, lib.e164);
    EXPECT_STREQ(p.region, lib.region);
    EXPECT_I64(p.mobile, lib.mobile);
}

TEST(phone_fast_path_agrees_with_the_library_on_random_numbers)
{
    Prng r = prng_of(11);
    for (int i = 0; i < 20000; i++) {
        char digits[32];
        (void)snprintf(digits, sizeof digits, "1%d%09d", (int)(3 + prng_below(&r, 7)),
                       (int)prng_below(&r, 1000000000));
        expect_agreement(digits);
    }
    for (int block = 13000; block < 20000; block++) { /* every range of 5 digits */
        char digits[32];
        (void)snprintf(digits, sizeof digits, "%d%06d", block, (int)prng_below(&r, 1000000));
        expect_agreement(digits);
    }
}

TEST(phone_result_parses_to_itself_in_any_region)
{
    Prng r = prng_of(12);
    static const char *const STORES[] = {"CN", "HK", "MO", "TW", "US", "SG", "JP"};
    int found = 0;
    for (int i = 0; i < 20000; i++) {
        char digits[24];
        (void)snprintf(digits, sizeof digits, "%s%" PRIu64, prng_below(&r, 2) == 0 ? "+" : "",
                       prng_u64(&r) >> (20 + prng_below(&r, 24)));
        Phone p, again;
        if (phone_parse(str_of(digits), STORES[prng_below(&r, 7)], &p) != PHONE_FAULT_NONE)
            continue;
        found++;
        EXPECT_I64(phone_parse(str_of(p.text), STORES[prng_below(&r, 7)], &again), 0);
        EXPECT_STREQ(again.text, p.text);
        EXPECT_I64(again.strict, p.strict);
    }
    CHECK(found > 1000);
}

TEST(phone_masks_hide_the_middle)
{
    static const struct {
        const char *e164, *masked, *national;
    } rows[] = {
        {"+8613800138000", "138****8000", "13800138000"},
        {"+85261234567", "6***4567", "61234567"},
        {"+85366123456", "6***3456", "66123456"},
        {"+14155552671", "+1******2671", "4155552671"},
        {"+886912345678", "+886*****5678", "912345678"},
        {"+861062345678", "+86******5678", "1062345678"},
        {"+819012345678", "+81******5678", "9012345678"},
        {"+6561234567", "+65****4567", "61234567"},
        {"+447946095", "+44****095", "7946095"},
        {"+37212345", "+372****5", "12345"},
        {"13800138000", "****", ""},
        {"", "****", ""},
    };
    Arena *arena = arena_new(1024);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const Str e164 = str_of(rows[i].e164);
        EXPECT_STREQ(arena_copy(arena, phone_mask(arena, e164)).ptr, rows[i].masked);
        EXPECT_STREQ(arena_copy(arena, phone_national(e164)).ptr, rows[i].national);
    }
    arena_free(arena);
}

TEST(phone_names_and_mails_are_masked)
{
    static const struct {
        const char *plain, *masked;
    } names[] = {{"\xe5\xbc\xa0\xe4\xb8\x89", "\xe5\xbc\xa0*"},
                 {"\xe7\x8e\x8b\xe5\xb0\x8f\xe6\x98\x8e", "\xe7\x8e\x8b*\xe6\x98\x8e"},
                 {"\xe6\xac\xa7\xe9\x98\xb3\xe5\xb0\x8f\xe6\x98\x8e", "\xe6\xac\xa7**\xe6\x98\x8e"},
                 {"\xe5\xbc\xa0", "*"},
                 {"", "*"},
                 {"A Very Long Name Indeed", "A********d"}},
      mails[] = {{"abcz@example.com", "a***z@example.com"},
                 {"abc@x.cn", "a***c@x.cn"},
                 {"ab@x.cn", "a***@x.cn"},
                 {"a@x.cn", "***@x.cn"},
                 {"@x.cn", "***"},
                 {"nothing", "***"},
                 {"a\xe5\xbc\xa0@x.cn", "a***@x.cn"}};
    Arena *arena = arena_new(1024);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        EXPECT_STREQ(arena_copy(arena, mask_name(arena, str_of(names[i].plain))).ptr,
                     names[i].masked);
    for (size_t i = 0; i < ARRAY_LEN(mails); i++)
        EXPECT_STREQ(arena_copy(arena, mask_mail(arena, str_of(mails[i].plain))).ptr,
                     mails[i].masked);
    arena_free(arena);
}
