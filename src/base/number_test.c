/*
 * base/number_test.c -- the promises of money.h, clock.h and id.h.
 */
#include "base/clock.h"
#include "base/id.h"
#include "base/money.h"
#include "base/rand.h"
#include "base/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Does `fn` end the process by abort()? */
static bool dies(void (*fn)(void))
{
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        const int null = open("/dev/null", O_WRONLY);
        (void)dup2(null, STDERR_FILENO);
        fn();
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

/* ---- money.h ---- */

static void add_too_much(void)
{
    (void)money_add(money_of_fen(MONEY_FEN_MAX), money_of_fen(1));
}

static void take_too_much(void)
{
    (void)money_sub(money_of_fen(-MONEY_FEN_MAX), money_of_fen(1));
}

TEST(money_arithmetic_is_exact_and_bounded)
{
    EXPECT_I64(money_add(money_of_fen(MONEY_FEN_MAX), money_of_fen(-1)).fen, MONEY_FEN_MAX - 1);
    EXPECT_I64(money_sub(money_of_fen(3), money_of_fen(5)).fen, -2);
    EXPECT_I64(money_min(money_of_fen(3), money_of_fen(-5)).fen, -5);
    EXPECT_I64(money_min(money_of_fen(3), money_of_fen(5)).fen, 3);
    CHECK(money_in_range(MONEY_FEN_MAX) && !money_in_range(MONEY_FEN_MAX + 1));
    CHECK(money_in_range(-MONEY_FEN_MAX) && !money_in_range(-MONEY_FEN_MAX - 1));
    CHECK(MONEY_FEN_MAX < INT64_C(1) << 53 && INT64_MAX / MONEY_FEN_MAX >= 9000);
    CHECK(dies(add_too_much) && dies(take_too_much));
}

TEST(money_rates_round_down)
{
    EXPECT_I64(money_rate_floor(money_of_fen(999), 1000).fen, 99);
    EXPECT_I64(money_rate_floor(money_of_fen(1), 9999).fen, 0);
    EXPECT_I64(money_rate_floor(money_of_fen(MONEY_FEN_MAX), 10000).fen, MONEY_FEN_MAX);
    EXPECT_I64(money_rate_floor(money_of_fen(MONEY_FEN_MAX), 3333).fen, INT64_C(333300000000000));
    EXPECT_I64(money_rate_floor(money_of_fen(5), 0).fen, 0);
}

TEST(money_split_follows_its_vectors)
{
    Money out[3];
    money_split(money_of_fen(3001), (const int64_t[]){9900, 19900, 5000}, 3, out);
    CHECK(out[0].fen == 854 && out[1].fen == 1716 && out[2].fen == 431);
    money_split(money_of_fen(100), (const int64_t[]){1, 1, 1}, 3, out); /* a tie: to the earlier */
    CHECK(out[0].fen == 34 && out[1].fen == 33 && out[2].fen == 33);
    money_split(money_of_fen(2), (const int64_t[]){0, 7, 0}, 3, out);
    CHECK(out[0].fen == 0 && out[1].fen == 2 && out[2].fen == 0);
    money_split(money_of_fen(0), (const int64_t[]){1, 2, 3}, 3, out);
    CHECK(out[0].fen == 0 && out[1].fen == 0 && out[2].fen == 0);
}

__extension__ typedef __int128 Wide;

/* Is `i` served before `j`: larger fraction, or as large and earlier? */
static bool comes_first(int64_t total, const int64_t *w, Wide sum, size_t i, size_t j)
{
    const Wide a = (Wide)total * w[i] % sum, b = (Wide)total * w[j] % sum;
    return a > b || (a == b && i < j);
}

/* Hamilton's method by its definition: a part gets one more than its floor exactly when fewer parts
 * come before it than there are leftovers. */
static void expect_hamilton(int64_t total, const int64_t *w, size_t n, const Money *out)
{
    Wide sum = 0, floors = 0;
    for (size_t i = 0; i < n; i++)
        sum += w[i];
    for (size_t i = 0; i < n; i++)
        floors += (Wide)total * w[i] / sum;
    const Wide left = total - floors;
    int64_t given = 0;
    for (size_t i = 0; i < n; i++) {
        Wide before = 0;
        for (size_t j = 0; j < n; j++)
            before += j != i && w[j] > 0 && comes_first(total, w, sum, j, i);
        const bool more = w[i] > 0 && before < left;
        EXPECT_I64(out[i].fen, (int64_t)((Wide)total * w[i] / sum) + more);
        given += out[i].fen;
    }
    EXPECT_I64(given, total);
}

TEST(money_split_agrees_with_the_definition_on_random_parts)
{
    enum { PARTS = 80 };
    Prng r = prng_of(5);
    for (int round = 0; round < 3000; round++) {
        int64_t w[PARTS];
        Money out[PARTS];
        const size_t n = 1 + prng_below(&r, round % 50 == 0 ? PARTS : 8);
        const uint64_t most = round % 3 == 0 ? 5 : round % 3 == 1 ? 100000 : MONEY_FEN_MAX;
        for (size_t i = 0; i < n; i++)
            w[i] = (int64_t)prng_below(&r, most);
        w[prng_below(&r, n)] += 1; /* the sum is not 0 */
        const int64_t total = (int64_t)prng_below(&r, most * 3 < MONEY_FEN_MAX ? most * 3 : most);
        money_split(money_of_fen(total), w, n, out);
        expect_hamilton(total, w, n, out);
    }
}

TEST(money_text_is_parsed_exactly_or_refused)
{
    static const struct {
        const char *text;
        int exponent;
        bool ok;
        int64_t fen;
    } rows[] = {
        {"12", 2, true, 1200},
        {"-0.5", 2, true, -50},
        {"3.86", 2, true, 386},
        {"3.8600", 2, true, 386},
        {"3.861", 2, false, 5},
        {"1230", 0, true, 1230},
        {"1230.00", 0, true, 1230},
        {"1230.5", 0, false, 5},
        {"1.234", 3, true, 1234},
        {"0.07", 2, true, 7},
        {"-0", 2, true, 0},
        {"10000000000000.00", 2, true, MONEY_FEN_MAX},
        {"-10000000000000.00", 2, true, -MONEY_FEN_MAX},
        {"10000000000000.01", 2, false, 5},
        {"99999999999999999999", 2, false, 5},
        {"9999999999999999", 4, false, 5},
        {"", 2, false, 5},
        {"-", 2, false, 5},
        {".", 2, false, 5},
        {"1.", 2, false, 5},
        {"+1", 2, false, 5},
        {"1e3", 2, false, 5},
        {"1,5", 2, false, 5},
        {" 1", 2, false, 5},
        {"1.2.3", 2, false, 5},
        {"1.-5", 2, false, 5},
        {"\xef\xbc\x91", 2, false, 5},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Money m = {5};
        EXPECT_I64(money_parse(str_of(rows[i].text), rows[i].exponent, &m), rows[i].ok);
        EXPECT_I64(m.fen, rows[i].fen);
    }
}

TEST(money_prints_what_it_parses)
{
    Prng r = prng_of(6);
    for (int i = 0; i < 5000; i++) {
        const int exponent = (int)prng_below(&r, 5);
        const int64_t fen = (int64_t)(prng_below(&r, MONEY_FEN_MAX) >> prng_below(&r, 50));
        const Money m = money_of_fen(prng_below(&r, 2) == 0 ? fen : -fen);
        Buf b = BUF_MAX(100);
        money_print(&b, m, exponent);
        Money back = {0};
        CHECK(money_parse(buf_str(&b), exponent, &back));
        EXPECT_I64(back.fen, m.fen);
        buf_free(&b);
    }
    Buf b = BUF_MAX(100);
    money_print(&b, money_of_fen(-1230), 2);
    buf_add_char(&b, ' ');
    money_print(&b, money_of_fen(1230), 0);
    buf_add_char(&b, ' ');
    money_print(&b, money_of_fen(-7), 2);
    CHECK(str_eq(buf_str(&b), STR("-12.30 1230 -0.07")));
    buf_free(&b);
}

TEST(money_prints_numbers_of_up_to_eighteen_places)
{
    Buf b = BUF_MAX(200);
    money_print(&b, (Money){-123456}, 5);
    buf_add_char(&b, ' ');
    money_print(&b, (Money){1}, MONEY_PLACES_MAX);
    buf_add_char(&b, ' ');
    money_print(&b, (Money){INT64_MIN}, MONEY_PLACES_MAX);
    buf_add_char(&b, ' ');
    money_print(&b, (Money){INT64_MIN}, 0);
    CHECK(str_eq(buf_str(&b), STR("-1.23456 0.000000000000000001 -9.223372036854775808 "
                                  "-9223372036854775808")));
    buf_free(&b);
}

/* ---- clock.h ---- */

TEST(clock_stands_where_it_is_set_by_hand)
{
    const int64_t at = INT64_C(1795298280123);
    clock_set_ms(at);
    EXPECT_I64(clock_now_ms(), at);
    EXPECT_I64(clock_now_ms(), at);
    clock_advance_ms(1001);
    EXPECT_I64(clock_now_ms(), at + 1001);
    clock_set_ms(0); /* to the machine's clock again */
    const int64_t now = (int64_t)time(NULL) * 1000;
    CHECK(clock_now_ms() >= now && clock_now_ms() < now + 60000);
}

TEST(clock_never_goes_back)
{
    int64_t last = 0, last_us = 0;
    for (int i = 0; i < 100000; i++) {
        const int64_t now = clock_now_ms(), us = clock_mono_us();
        CHECK(now >= last && us >= last_us);
        last = now, last_us = us;
    }
}

TEST(clock_days_agree_with_the_c_library)
{
    Prng r = prng_of(8);
    for (int i = 0; i < 50000; i++) {
        const int64_t at =
            (int64_t)prng_below(&r, UINT64_C(8000000000000)) - INT64_C(3000000000000);
        const int32_t offset = (int32_t)prng_below(&r, 27 * 60) - 12 * 60;
        time_t local = (time_t)((at + offset * INT64_C(60000)) / 1000);
        if (local < 0 && (at + offset * INT64_C(60000)) % 1000 != 0)
            local--;
        struct tm tm;
        CHECK(gmtime_r(&local, &tm) != NULL);
        const int32_t day = clock_day(at, offset);
        EXPECT_I64(day, (tm.tm_year + 1900) * 10000 + (tm.tm_mon + 1) * 100 + tm.tm_mday);
        const int64_t start = clock_day_start_ms(day, offset);
        CHECK(start <= at && at < start + 86400000);
        EXPECT_I64(clock_day(start, offset), day);
        CHECK(clock_day(start - 1, offset) != day);
    }
    EXPECT_I64(clock_day(INT64_C(1795305600000) - 1, 480), 20261122);
    EXPECT_I64(clock_day_start_ms(20240229, 0), INT64_C(1709164800000));
}

TEST(clock_prints_rfc_3339)
{
    char text[CLOCK_TEXT_BYTES];
    clock_print(INT64_C(1795298280123), text);
    EXPECT_STREQ(text, "2026-11-21T21:58:00.123Z");
    clock_print(0, text);
    EXPECT_STREQ(text, "1970-01-01T00:00:00.000Z");
    clock_print(-1, text);
    EXPECT_STREQ(text, "1969-12-31T23:59:59.999Z");
    clock_print(INT64_C(253402300799999), text);
    EXPECT_STREQ(text, "9999-12-31T23:59:59.999Z");
}

/* ---- id.h ---- */

static const int64_t ID_TEST_MS = INT64_C(2000000000000); /* ahead of every other test */

TEST(id_ascends_also_past_a_full_millisecond_and_a_clock_set_back)
{
    id_set_node(0);
    const int64_t first = id_next(ID_TEST_MS);
    EXPECT_I64(id_time_ms(first), ID_TEST_MS);
    int64_t last = first;
    for (int i = 0; i < 40000; i++) {
        const int64_t id = id_next(ID_TEST_MS - i);
        CHECK(id > last);
        last = id;
    }
    EXPECT_I64(id_time_ms(last), ID_TEST_MS + 2); /* two milliseconds were borrowed */
    EXPECT_I64(id_time_ms(id_next(ID_TEST_MS + 5)), ID_TEST_MS + 5);
}

TEST(id_goes_on_after_the_newest_of_an_earlier_run)
{
    const int64_t now_ms = ID_TEST_MS + 3600000;
    const int64_t newest = id_next(now_ms) | 0x3fffff; /* any node, any sequence */
    id_go_on_after(newest);
    const int64_t next = id_next(now_ms - 86400000);
    CHECK(next > newest);
    EXPECT_I64(id_time_ms(next), now_ms + 1000);
    id_go_on_after(newest - (INT64_C(1) << 40)); /* an older one changes nothing */
    CHECK(id_next(now_ms) > next);
}

TEST(id_of_two_nodes_differ)
{
    id_set_node(3);
    const int64_t a = id_next(ID_TEST_MS + 1000);
    id_set_node(ID_NODE_MAX);
    const int64_t b = id_next(ID_TEST_MS + 1000);
    id_set_node(0);
    EXPECT_I64(a >> 14 & 255, 3);
    EXPECT_I64(b >> 14 & 255, 255);
    CHECK(a > 0 && b > 0 && id_time_ms(a) == id_time_ms(b));
}

enum { ID_THREADS = 4, ID_EACH = 20000 };
static int64_t made_ids[ID_THREADS][ID_EACH];

static void *make_ids(void *row)
{
    int64_t *ids = row;
    for (int i = 0; i < ID_EACH; i++)
        ids[i] = id_next(ID_TEST_MS + 5000);
    return NULL;
}

static int compare_i64(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

TEST(id_are_unique_over_threads)
{
    pthread_t threads[ID_THREADS];
    for (int i = 0; i < ID_THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, make_ids, made_ids[i]) == 0);
    for (int i = 0; i < ID_THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    int64_t *all = &made_ids[0][0];
    const size_t n = ID_THREADS * (size_t)ID_EACH;
    qsort(all, n, sizeof *all, compare_i64);
    for (size_t i = 1; i < n; i++)
        CHECK(all[i] != all[i - 1]);
}
