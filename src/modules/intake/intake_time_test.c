/*
 * modules/intake/intake_time_test.c -- patterns, zones, clocks that jump.
 */
#include "base/clock.h"
#include "base/test.h"
#include "modules/intake/intake_testing.h"
#include "modules/intake/intake_time.h"

#include <stdlib.h>
#include <time.h>

static const Zone *zone(Ctx *ctx, const char *name)
{
    const Zone *z = NULL;
    CHECK(intake_zone_load(ctx, str_of(name), &z) == ERR_OK);
    return z;
}

/* "20170303 2017-03-03T06:06:53.000Z", or "no". */
static void expect_time(const char *text, const char *pattern, const char *zone_name,
                        const char *want)
{
    Ctx ctx = {.arena = arena_new(1 << 17)};
    IntakeTime t;
    char got[64] = "no", at[CLOCK_TEXT_BYTES];
    CHECK(intake_pattern_is_valid(str_of(pattern)));
    if (intake_time_parse(str_of(text), str_of(pattern), zone(&ctx, zone_name), &t)) {
        clock_print(t.at_ms, at);
        (void)snprintf(got, sizeof got, "%08d %s", t.day, at);
    }
    arena_free(ctx.arena);
    EXPECT_STREQ(got, want);
}

TEST(time_patterns_read_what_exports_write)
{
    expect_time("2017-03-03", "yyyy-MM-dd", "UTC", "20170303 2017-03-03T00:00:00.000Z");
    expect_time("2017-03-03 14:06:53", "yyyy-MM-dd HH:mm:ss", "+08:00",
                "20170303 2017-03-03T06:06:53.000Z");
    expect_time("2017-03-03T14:06:53", "yyyy-MM-dd HH:mm:ss", "UTC",
                "20170303 2017-03-03T14:06:53.000Z");
    expect_time("2017/3/3", "yyyy/M/d", "Asia/Shanghai", "20170303 2017-03-02T16:00:00.000Z");
    expect_time("2017/12/31", "yyyy/M/d", "UTC", "20171231 2017-12-31T00:00:00.000Z");
    expect_time("2017年3月3日 9:05", "yyyy年M月d日 H:mm", "UTC",
                "20170303 2017-03-03T09:05:00.000Z");
    expect_time("20170303T010203.456", "yyyyMMdd'T'HHmmss.SSS", "UTC",
                "20170303 2017-03-03T01:02:03.456Z");
    expect_time("2017-03-03T01:02:03+08:00", "yyyy-MM-ddTHH:mm:ssXXX", "UTC",
                "20170303 2017-03-02T17:02:03.000Z");
    expect_time("2017-03-03T01:02:03Z", "yyyy-MM-ddTHH:mm:ssXXX", "Asia/Shanghai",
                "20170303 2017-03-03T01:02:03.000Z");
    expect_time("1488553613", "epoch", "Asia/Shanghai", "20170303 2017-03-03T15:06:53.000Z");
    expect_time("1488560813999", "epoch_ms", "Asia/Shanghai", "20170304 2017-03-03T17:06:53.999Z");
    expect_time("2024-02-29", "yyyy-MM-dd", "UTC", "20240229 2024-02-29T00:00:00.000Z");
}

TEST(time_patterns_refuse_everything_else)
{
    static const char *const BAD[] = {"",           "2017-3-3",   "2017-13-01",  "2017-02-29",
                                      "2017-00-10", "2017-01-00", "17-01-01",    "2017-01-011",
                                      "2017-01-0x", "0000-01-01", " 2017-01-01", "2017-04-31"};
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
        expect_time(BAD[i], "yyyy-MM-dd", "UTC", "no");
    expect_time("2017-01-01 24:00:00", "yyyy-MM-dd HH:mm:ss", "UTC", "no");
    expect_time("2017-01-01 10:60:00", "yyyy-MM-dd HH:mm:ss", "UTC", "no");
    expect_time("2017-01-01T10:00:00+8", "yyyy-MM-ddTHH:mm:ssXXX", "UTC", "no");
    expect_time("-1", "epoch", "UTC", "no");
    expect_time("99999999999999999", "epoch", "UTC", "no");
    static const char *const PATTERNS[] = {
        "yyyy-MM", "dd.MM", "yyyy-MM-dd-dd", "yyyy-MM-dd 'at", "yyyy-mm-dd", "hh:mm", "", "date"};
    for (size_t i = 0; i < ARRAY_LEN(PATTERNS); i++)
        CHECK(!intake_pattern_is_valid(str_of(PATTERNS[i])));
}

TEST(time_zones_know_clocks_that_jump)
{
    static const char P[] = "yyyy-MM-dd HH:mm:ss", NY[] = "America/New_York";
    expect_time("2017-01-15 12:00:00", P, NY, "20170115 2017-01-15T17:00:00.000Z");
    expect_time("2017-07-15 12:00:00", P, NY, "20170715 2017-07-15T16:00:00.000Z");
    /* 2017-03-12: 02:00 to 03:00 does not exist; 2017-11-05: 01:00 to 02:00 happens twice. */
    expect_time("2017-03-12 02:30:00", P, NY, "20170312 2017-03-12T07:30:00.000Z");
    expect_time("2017-03-12 03:00:00", P, NY, "20170312 2017-03-12T07:00:00.000Z");
    expect_time("2017-11-05 01:30:00", P, NY, "20171105 2017-11-05T05:30:00.000Z");
    expect_time("2017-11-05 02:00:00", P, NY, "20171105 2017-11-05T07:00:00.000Z");
    /* behind the last transition of the file the footer's rule goes on */
    expect_time("2067-07-15 12:00:00", P, NY, "20670715 2067-07-15T16:00:00.000Z");
    expect_time("2067-01-15 12:00:00", P, "Australia/Sydney", "20670115 2067-01-15T01:00:00.000Z");
    expect_time("1989-07-15 12:00:00", P, "Asia/Shanghai", "19890715 1989-07-15T03:00:00.000Z");
    expect_time("2067-07-15 12:00:00", P, "Asia/Kolkata", "20670715 2067-07-15T06:30:00.000Z");
}

/* libc, slow and with a lock, must say the same. */
TEST(time_zones_agree_with_the_c_library_on_random_instants)
{
    static const char *const NAMES[] = {
        "Asia/Shanghai",  "America/New_York",  "Europe/London",     "Australia/Lord_Howe",
        "Asia/Kathmandu", "Africa/Casablanca", "America/Sao_Paulo", "Pacific/Apia"};
    uint64_t seed = 7;
    Ctx ctx = {.arena = arena_new(1 << 20)};
    for (size_t n = 0; n < ARRAY_LEN(NAMES); n++) {
        const Zone *z = zone(&ctx, NAMES[n]);
        CHECK(setenv("TZ", NAMES[n], 1) == 0);
        tzset();
        for (int i = 0; i < 3000; i++) {
            const time_t at = (time_t)random_below(&seed, 2000000000) * 2 - 500000000; /* to 2080 */
            struct tm tm;
            CHECK(localtime_r(&at, &tm) != NULL);
            const int64_t local = zone_to_local(z, (int64_t)at * 1000);
            EXPECT_I64(local, ((int64_t)at + tm.tm_gmtoff) * 1000);
            const int64_t back = zone_to_utc(z, local);
            EXPECT_I64(zone_to_local(z, back), local);
        }
    }
    CHECK(unsetenv("TZ") == 0);
    arena_free(ctx.arena);
}

TEST(time_zone_names_are_checked)
{
    static const char *const BAD[] = {"",       "Asia/Nowhere", "/etc/passwd", "../../etc/passwd",
                                      "+25:00", "+8",           "tzdata.zi",   "Asia",
                                      "utc+8"};
    Ctx ctx = {.arena = arena_new(1 << 20)};
    const Zone *z = NULL;
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
        EXPECT_I64(intake_zone_load(&ctx, str_of(BAD[i]), &z), ERR_INVALID);
    EXPECT_STREQ(ctx.fault.reason, "intake.zone_unknown");
    EXPECT_I64(zone_to_utc(zone(&ctx, "-03:30"), 0), INT64_C(12600000));
    arena_free(ctx.arena);
}
