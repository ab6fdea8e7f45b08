/*
 * base/zone_test.c -- zones against the C library, and days that are longer or shorter than others.
 */
#include "base/zone.h"

#include "base/clock.h"
#include "base/nearest.h"
#include "base/rand.h"
#include "base/test.h"

#include <stdlib.h>
#include <time.h>

static const int64_t HOUR_MS = INT64_C(3600000), DAY_MS = INT64_C(86400000);
static const int64_t YEAR_2100_S = INT64_C(4102444800);

static const char *const NAMES[] = {"Asia/Shanghai",
                                    "America/New_York",
                                    "Europe/London",
                                    "Europe/Dublin",
                                    "Asia/Kathmandu",
                                    "Africa/Casablanca",
                                    "America/Sao_Paulo",
                                    "Pacific/Apia",
                                    "Australia/Sydney",
                                    "Australia/Lord_Howe",
                                    "America/Havana",
                                    "Asia/Tehran",
                                    "Africa/Monrovia",
                                    "Pacific/Kwajalein",
                                    "Antarctica/Troll",
                                    "America/Scoresbysund",
                                    "Asia/Gaza",
                                    "America/Caracas",
                                    "Asia/Pyongyang",
                                    "Pacific/Chatham",
                                    "America/Argentina/Buenos_Aires",
                                    "Etc/GMT+5",
                                    "EST5EDT",
                                    "Atlantic/Azores",
                                    "Africa/Cairo",
                                    "America/St_Johns",
                                    "Asia/Kolkata"};

static const Zone *zone(Ctx *ctx, const char *name)
{
    const Zone *z = NULL;
    CHECK(zone_load(ctx, str_of(name), &z));
    return z;
}

static void use_libc(const char *name)
{
    CHECK(name == NULL ? unsetenv("TZ") == 0 : setenv("TZ", name, 1) == 0);
    tzset();
}

static int64_t libc_local_ms(int64_t at_s)
{
    struct tm tm;
    const time_t at = (time_t)at_s;
    CHECK(localtime_r(&at, &tm) != NULL);
    return (at_s + tm.tm_gmtoff) * 1000;
}

TEST(zones_agree_with_the_c_library_from_1970_to_2100)
{
    Prng random = prng_of(7);
    for (size_t n = 0; n < ARRAY_LEN(NAMES); n++) {
        Ctx ctx = {.arena = arena_new(1 << 16)};
        const Zone *z = zone(&ctx, NAMES[n]);
        use_libc(NAMES[n]);
        for (int i = 0; i < 3000; i++) {
            const int64_t at_s = (int64_t)prng_below(&random, (uint64_t)YEAR_2100_S);
            EXPECT_I64(zone_to_local(z, at_s * 1000), libc_local_ms(at_s));
        }
        /* every second that a clock is turned in, and the one before */
        for (size_t i = 1; i < z->count; i++) {
            const int64_t at_s = z->spans[i].from_ms / 1000;
            if (at_s < 0 || at_s > YEAR_2100_S)
                continue;
            EXPECT_I64(zone_to_local(z, at_s * 1000), libc_local_ms(at_s));
            EXPECT_I64(zone_to_local(z, at_s * 1000 - 1), libc_local_ms(at_s - 1) + 999);
            CHECK(libc_local_ms(at_s) - libc_local_ms(at_s - 1) != 1000);
        }
        arena_free(ctx.arena);
    }
    use_libc(NULL);
}

/* Minute by minute: slow, and without a thought about spans. */
static int64_t slow_first_ms(int64_t local_ms)
{
    int64_t at_s = local_ms / 1000 - 27 * 3600;
    while (libc_local_ms(at_s) < local_ms)
        at_s += 60;
    return at_s * 1000;
}

TEST(zones_first_show_a_time_when_the_c_library_says_so)
{
    Prng random = prng_of(8);
    for (size_t n = 0; n < ARRAY_LEN(NAMES); n++) {
        Ctx ctx = {.arena = arena_new(1 << 16)};
        const Zone *z = zone(&ctx, NAMES[n]);
        use_libc(NAMES[n]);
        for (int i = 0; i < 40; i++) {
            /* near where a clock is turned, and anywhere; from 1973 on offsets are whole minutes */
            const ZoneSpan *span = &z->spans[prng_below(&random, z->count)];
            int64_t near_ms = (int64_t)prng_below(&random, (uint64_t)YEAR_2100_S) * 1000;
            if (span->from_ms > 4 * 366 * DAY_MS && span->from_ms < YEAR_2100_S * 1000 && i % 4 > 0)
                near_ms = span->from_ms + (int64_t)prng_below(&random, 50) * HOUR_MS / 2 -
                          25 * HOUR_MS / 2;
            if (near_ms < 4 * 366 * DAY_MS)
                continue;
            const int64_t local_ms = zone_to_local(z, near_ms) / 60000 * 60000;
            EXPECT_I64(zone_first_ms(z, local_ms), slow_first_ms(local_ms));
            EXPECT_I64(zone_to_local(z, zone_to_utc(z, zone_to_local(z, near_ms))),
                       zone_to_local(z, near_ms));
        }
        arena_free(ctx.arena);
    }
    use_libc(NULL);
}

/* From the first instant of this civil day to that of the next. */
static int64_t day_minutes(const char *name, int32_t day)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    const Zone *z = zone(&ctx, name);
    const int64_t start = clock_day_start_ms(day, 0);
    const int64_t ms = zone_first_ms(z, start + DAY_MS) - zone_first_ms(z, start);
    arena_free(ctx.arena);
    return ms / 60000;
}

TEST(zones_have_days_of_other_than_24_hours)
{
    EXPECT_I64(day_minutes("America/New_York", 20260308), 23 * 60);
    EXPECT_I64(day_minutes("America/New_York", 20261101), 25 * 60);
    EXPECT_I64(day_minutes("America/New_York", 20901105), 25 * 60); /* the footer's rule */
    EXPECT_I64(day_minutes("Australia/Lord_Howe", 20261004), 23 * 60 + 30);
    EXPECT_I64(day_minutes("Australia/Lord_Howe", 20260405), 24 * 60 + 30);
    EXPECT_I64(day_minutes("Pacific/Apia", 20111229), 24 * 60);
    EXPECT_I64(day_minutes("Pacific/Apia", 20111230), 0); /* left out when the date line moved */
    EXPECT_I64(day_minutes("Africa/Casablanca", 20260215), 25 * 60); /* Ramadan */
    EXPECT_I64(day_minutes("Africa/Casablanca", 20260322), 23 * 60);
    EXPECT_I64(day_minutes("America/Sao_Paulo", 20181104), 23 * 60); /* midnight is jumped over */
    EXPECT_I64(day_minutes("America/Havana", 20261101), 25 * 60);    /* midnight comes twice */
    EXPECT_I64(day_minutes("Asia/Kathmandu", 19860101), 24 * 60 - 15);
    EXPECT_I64(day_minutes("Asia/Shanghai", 20260308), 24 * 60);
}

TEST(zones_name_the_next_turn_of_their_clocks)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    const Zone *z = zone(&ctx, "America/New_York");
    const int64_t spring = clock_day_start_ms(20260308, 0) + 7 * HOUR_MS;
    EXPECT_I64(zone_next_turn_ms(z, clock_day_start_ms(20260101, 0)), spring);
    EXPECT_I64(zone_next_turn_ms(z, spring - 1), spring);
    EXPECT_I64(zone_next_turn_ms(z, spring), clock_day_start_ms(20261101, 0) + 6 * HOUR_MS);
    CHECK(zone_next_turn_ms(zone(&ctx, "Asia/Shanghai"), spring) == INT64_MAX);
    CHECK(zone_next_turn_ms(zone_fixed(ctx.arena, 480), spring) == INT64_MAX);
    arena_free(ctx.arena);
}

TEST(zones_are_named_by_the_database_or_an_offset_and_never_by_a_path)
{
    static const char *const BAD[] = {
        "",
        "Asia/Nowhere",
        "/etc/passwd",
        "../../etc/passwd",
        "Asia/../UTC",
        "+25:00",
        "+8",
        "tzdata.zi",
        "Asia",
        "utc+8",
        "zone.tab",
        "posixrules",
        "right/UTC",
        "posix/UTC",
        "localtime",
        "Asia//Tokyo",
        "Asia/",
        "Asia/Tokyo/",
        "asia/Tokyo",
        "Asia/Tokyo\n",
        "America/Argentina/ComodRivadaviaAndAVeryLongNameThatNobodyEverGave"};
    Ctx ctx = {.arena = arena_new(1 << 20)};
    const Zone *z = NULL;
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
        CHECK(!zone_load(&ctx, str_of(BAD[i]), &z));
    CHECK(!zone_load(&ctx, (Str){"UTC\0x", 5}, &z));
    EXPECT_I64(zone_to_utc(zone(&ctx, "-03:30"), 0), 210 * 60000);
    EXPECT_I64(zone_to_local(zone(&ctx, "+0545"), 0), 345 * 60000);
    EXPECT_I64(zone_to_local(zone(&ctx, "Z"), 5), 5);
    arena_free(ctx.arena);
}

static void expect_nearest(const char *name, const char *want)
{
    Ctx ctx = {.arena = arena_new(1 << 18)};
    const Str got = zone_nearest(&ctx, str_of(name));
    const char *text = arena_printf(ctx.arena, "%.*s", STR_ARG(got)).ptr;
    EXPECT_STREQ(text, want);
    arena_free(ctx.arena);
}

TEST(zones_that_were_probably_meant_are_named)
{
    expect_nearest("asia/shanghai", "Asia/Shanghai");
    expect_nearest("Asia/Shangai", "Asia/Shanghai");
    expect_nearest("America/New York", "America/New_York");
    expect_nearest("tokyo", "Asia/Tokyo");
    expect_nearest("China/Hong Kong", "Asia/Hong_Kong");
    expect_nearest("", "");
    expect_nearest("the moon", "");
}

/* A file of version 2 with one offset and this footer. */
static Str file_of(Arena *arena, const char *footer)
{
    static const char HEAD[] = "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                               "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\4"
                               "\0\0\0\0\0\0XXX";
    Buf b = BUF_MAX(1024);
    buf_add(&b, (Str){HEAD, sizeof HEAD});
    buf_add(&b, (Str){HEAD, sizeof HEAD});
    buf_addf(&b, "\n%s\n", footer);
    const Str file = arena_copy(arena, buf_str(&b));
    buf_free(&b);
    return file;
}

static int64_t offset_min(const char *footer, int32_t day)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    const Zone *z = NULL;
    CHECK(zone_parse(&ctx, file_of(ctx.arena, footer), &z));
    const int64_t at = clock_day_start_ms(day, 0) + DAY_MS / 2;
    const int64_t offset = (zone_to_local(z, at) - at) / 60000;
    arena_free(ctx.arena);
    return offset;
}

TEST(zones_follow_every_kind_of_rule_in_a_footer)
{
    EXPECT_I64(offset_min("", 20260701), 0);
    EXPECT_I64(offset_min("<+0530>-5:30", 20260701), 330);
    EXPECT_I64(offset_min("AAA3BBB,M3.2.0,M11.1.0", 20260701), -120);
    EXPECT_I64(offset_min("AAA3BBB,M3.2.0,M11.1.0", 20261201), -180);
    EXPECT_I64(offset_min("AAA-1BBB0,M10.5.0,M3.5.0/1", 20261201), 0); /* Ireland's negative one */
    EXPECT_I64(offset_min("AAA-1BBB0,M10.5.0,M3.5.0/1", 20260701), 60);
    EXPECT_I64(offset_min("AAA0BBB,J60,J61", 20240301), 60); /* 1 March, leap year or not */
    EXPECT_I64(offset_min("AAA0BBB,J60,J61", 20250301), 60);
    EXPECT_I64(offset_min("AAA0BBB,J60,J61", 20240229), 0);
    EXPECT_I64(offset_min("AAA0BBB,59,60", 20240229), 60); /* day 59 from 0 */
    EXPECT_I64(offset_min("AAA0BBB,59,60", 20250301), 60);
    EXPECT_I64(offset_min("XXX3EDT4,0/0,J365/23", 20250101),
               -240); /* summer all the year: RFC 8536 */
    EXPECT_I64(offset_min("XXX3EDT4,0/0,J365/23", 20250701), -240);
    EXPECT_I64(offset_min("no rule", 20260701), 0);
    EXPECT_I64(offset_min("AAA0BBB,M13.1.0,M3.5.0", 20260701), 0);
}

TEST(zones_are_not_read_from_what_is_no_such_file)
{
    Ctx ctx = {.arena = arena_new(1 << 18)};
    const Zone *z = NULL;
    const Str good = file_of(ctx.arena, "AAA3BBB,M3.2.0,M11.1.0");
    CHECK(zone_parse(&ctx, good, &z));
    enum { HEAD_BYTES = 54, FOOTER_AT = 2 * HEAD_BYTES };
    for (size_t len = 0; len < FOOTER_AT; len++)
        CHECK(!zone_parse(&ctx, str_slice(good, 0, len), &z));
    char *bytes = (char *)(uintptr_t)good.ptr;
    static const struct {
        size_t at;
        char value;
    } BAD[] = {{0, 'X'},                 /* magic */
               {4, '1'},                 /* version */
               {HEAD_BYTES + 32, 0x7f},  /* more transitions than there is room for */
               {HEAD_BYTES + 28, 1},     /* leap seconds */
               {HEAD_BYTES + 39, 0},     /* no offset at all */
               {HEAD_BYTES + 44, 0x40}}; /* an offset of years */
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
        const char kept = bytes[BAD[i].at];
        bytes[BAD[i].at] = BAD[i].value;
        CHECK(!zone_parse(&ctx, good, &z));
        bytes[BAD[i].at] = kept;
    }
    CHECK(zone_parse(&ctx, good, &z));
    arena_free(ctx.arena);
}

TEST(nearest_names_are_a_few_typos_away)
{
    Nearest n = nearest_to(STR("chanel"));
    nearest_try(&n, STR("total"));
    CHECK(n.best.len == 0);
    nearest_try(&n, STR("Channels"));
    nearest_try(&n, STR("channel"));
    CHECK(str_eq(n.best, STR("channel")));
    nearest_try(&n, STR("Chanels"));
    CHECK(str_eq(n.best, STR("channel"))); /* as near: the first stays */
}
