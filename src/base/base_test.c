/*
 * base/base_test.c -- the promises of base.h, str.h, arena.h, log.h, pages.h, queue.h and err.h.
 */
#include "base/clock.h"
#include "base/ctx.h"
#include "base/log.h"
#include "base/pages.h"
#include "base/queue.h"
#include "base/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
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

/* ---- base.h ---- */

static void break_check(void)
{
    CHECK(str_of("a").len == 2);
}

static void keep_check(void)
{
    CHECK(str_of("a").len == 1);
    DCHECK(str_of("a").len == 1);
}

TEST(a_threads_time_is_that_of_the_processor_and_stands_while_it_sleeps)
{
    const int64_t from = clock_thread_us(), began = clock_mono_us();
    (void)usleep(200000);
    CHECK(clock_thread_us() - from < 100000 && clock_mono_us() - began >= 200000);
    while (clock_thread_us() - from < 20000) { /* or it would not end */
    }
}

TEST(base_check_aborts_only_when_broken)
{
    CHECK(dies(break_check));
    CHECK(!dies(keep_check));
}

TEST(base_container_of_finds_the_owner)
{
    struct Owner {
        int before;
        QueueNode node;
    } owner = {.before = 7};
    CHECK(CONTAINER_OF(&owner.node, struct Owner, node) == &owner);
}

/* ---- str.h ---- */

TEST(str_views_compare_by_bytes)
{
    CHECK(str_of(NULL).len == 0 && str_of("abc").len == 3);
    CHECK(str_eq(STR("abc"), str_of("abc")) && !str_eq(STR("abc"), STR("abd")));
    CHECK(str_eq((Str){NULL, 0}, STR("")));
    static const struct {
        const char *a, *b;
        int order;
    } rows[] = {{"", "", 0},    {"a", "a", 0}, {"a", "b", -1}, {"b", "a", 1},    {"a", "ab", -1},
                {"ab", "a", 1}, {"", "a", -1}, {"B", "a", -1}, {"a", "\xe5", -1}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const int got = str_compare(str_of(rows[i].a), str_of(rows[i].b));
        EXPECT_I64((got > 0) - (got < 0), rows[i].order);
    }
}

TEST(str_merge_takes_what_is_given_and_differs)
{
    Str name = STR("old");
    CHECK(!str_merge(&name, STR("")) && !str_merge(&name, STR("old")));
    CHECK(str_eq(name, STR("old")));
    CHECK(str_merge(&name, STR("new")) && str_eq(name, STR("new")));
}

TEST(str_prefix_and_suffix)
{
    const Str s = STR("coupon.c");
    CHECK(str_starts_with(s, STR("coupon")) && str_starts_with(s, STR("")));
    CHECK(str_ends_with(s, STR(".c")) && str_ends_with(s, s) && str_ends_with(s, STR("")));
    CHECK(!str_starts_with(s, STR("coupon.cc")) && !str_ends_with(s, STR("xcoupon.c")));
    CHECK(!str_starts_with(s, STR("oupon")) && !str_ends_with(s, STR(".h")));
}

TEST(str_slice_clamps_to_its_length)
{
    const Str s = STR("abcdef");
    CHECK(str_eq(str_slice(s, 1, 3), STR("bc")) && str_eq(str_slice(s, 4, 99), STR("ef")));
    CHECK(str_slice(s, 99, 100).len == 0 && str_slice(s, 3, 1).len == 0);
    CHECK(str_slice((Str){NULL, 0}, 1, 2).ptr == NULL);
}

TEST(str_trim_takes_ascii_white_space_off_both_ends)
{
    CHECK(str_eq(str_trim(STR(" \t\r\n\v\f a b \n")), STR("a b")));
    CHECK(str_trim(STR("  ")).len == 0 && str_trim(STR("")).len == 0);
    CHECK(str_eq(str_trim(STR("\xc2\xa0x")), STR("\xc2\xa0x")));
}

TEST(str_index_finds_the_first_at_or_behind)
{
    const Str s = STR("a,b,c");
    EXPECT_I64(str_index(s, ',', 0), 1);
    EXPECT_I64(str_index(s, ',', 1), 1);
    EXPECT_I64(str_index(s, ',', 2), 3);
    EXPECT_I64(str_index(s, ',', 4), -1);
    EXPECT_I64(str_index(s, ',', 99), -1);
    EXPECT_I64(str_index((Str){NULL, 0}, ',', 0), -1);
}

TEST(str_to_i64_takes_whole_numbers_that_fit)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } rows[] = {{"0", true, 0},
                {"-0", true, 0},
                {"007", true, 7},
                {"9223372036854775807", true, INT64_MAX},
                {"-9223372036854775808", true, INT64_MIN},
                {"9223372036854775808", false, 5},
                {"-9223372036854775809", false, 5},
                {"99999999999999999999", false, 5},
                {"", false, 5},
                {"-", false, 5},
                {"+1", false, 5},
                {" 1", false, 5},
                {"1 ", false, 5},
                {"1.0", false, 5},
                {"0x1", false, 5},
                {"--1", false, 5}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t v = 5;
        EXPECT_I64(str_to_i64(str_of(rows[i].text), &v), rows[i].ok);
        EXPECT_I64(v, rows[i].value);
    }
}

TEST(str_utf8_is_told_from_what_is_not)
{
    static const struct {
        Str text;
        size_t first; /* bytes of its first character */
        bool valid;
    } rows[] = {
        {{"a", 1}, 1, true},
        {{"\x7f", 1}, 1, true},
        {{"\xc2\x80", 2}, 2, true},
        {{"\xe9\x80\x9a", 3}, 3, true},
        {{"\xed\x9f\xbf", 3}, 3, true},
        {{"\xee\x80\x80", 3}, 3, true},
        {{"\xf0\x9f\x98\x80", 4}, 4, true},
        {{"\xf4\x8f\xbf\xbf", 4}, 4, true},
        {{"\0", 1}, 0, false},
        {{"\x80", 1}, 0, false},
        {{"\xc0\x80", 2}, 0, false},
        {{"\xc1\xbf", 2}, 0, false},
        {{"\xe0\x9f\xbf", 3}, 0, false},
        {{"\xed\xa0\x80", 3}, 0, false},
        {{"\xf0\x8f\xbf\xbf", 4}, 0, false},
        {{"\xf4\x90\x80\x80", 4}, 0, false},
        {{"\xf5\x80\x80\x80", 4}, 0, false},
        {{"\xff", 1}, 0, false},
        {{"\xe9\x80", 2}, 0, false},
        {{"\xe9\x80z", 3}, 0, false},
        {{"a\xff", 2}, 1, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        EXPECT_I64((int64_t)str_utf8_len(rows[i].text, 0), (int64_t)rows[i].first);
        EXPECT_I64(str_is_utf8(rows[i].text), rows[i].valid);
    }
    CHECK(str_is_utf8(STR("")));
}

/* Character by character, as the slow way. */
static bool is_utf8_slowly(Str s)
{
    size_t step = 1;
    for (size_t i = 0; i < s.len && step > 0; i += step)
        step = str_utf8_len(s, i);
    return step > 0;
}

TEST(str_utf8_of_every_length_is_judged_as_character_by_character)
{
    static const char *const odd[] = {"\x80", "\xc3\xa9", "\xe4\xbd\xa0", "\xf0\x9f\x98\x80",
                                      "\xff"};
    for (size_t len = 0; len <= 40; len++)
        for (size_t at = 0; at <= len; at++)
            for (size_t i = 0; i <= ARRAY_LEN(odd); i++) {
                char bytes[64];
                const Str put = i == ARRAY_LEN(odd) ? (Str){"", 1} : str_of(odd[i]);
                memset(bytes, 'a', sizeof bytes);
                memcpy(bytes + at, put.ptr, put.len);
                const Str text = {bytes, len}; /* what was put may be cut off, or left out */
                CHECK(str_is_utf8(text) == is_utf8_slowly(text));
            }
}

TEST(str_to_c_needs_room_for_its_nul_and_has_none_inside)
{
    char dst[4] = "xyz";
    CHECK(str_to_c(STR("abc"), dst, sizeof dst));
    EXPECT_STREQ(dst, "abc");
    CHECK(!str_to_c(STR("abcd"), dst, sizeof dst) && !str_to_c(STR("a\0b"), dst, sizeof dst));
    EXPECT_STREQ(dst, "abc");
    CHECK(str_to_c((Str){NULL, 0}, dst, sizeof dst));
    EXPECT_STREQ(dst, "");
}

TEST(str_buf_grows_up_to_its_maximum_and_says_when_it_is_passed)
{
    Buf b = BUF_MAX(1000);
    for (int i = 0; i < 1000; i++)
        buf_add_char(&b, (char)('a' + i % 26));
    CHECK(!b.overflowed && b.len == 1000 && b.cap_bytes <= 1000 && b.ptr[999] == 'l');
    buf_add_char(&b, '!');
    CHECK(b.overflowed && b.len == 1000);
    buf_add(&b, STR(""));
    CHECK(b.overflowed);
    const char *const kept = b.ptr;
    buf_clear(&b);
    CHECK(!b.overflowed && b.len == 0 && b.ptr == kept);
    CHECK(buf_reserve(&b, 1001) == NULL && b.overflowed);
    buf_free(&b);
    CHECK(b.ptr == NULL && b.len == 0 && b.max_bytes == 1000 && !b.overflowed);
    buf_add(&b, STR("again"));
    CHECK(str_eq(buf_str(&b), STR("again")));
    buf_free(&b);
}

TEST(str_buf_prints_numbers_and_formats)
{
    Buf b = BUF_MAX(1000);
    buf_add_i64(&b, INT64_MIN);
    buf_add_char(&b, ' ');
    buf_add_i64(&b, 0);
    buf_add_char(&b, ' ');
    buf_add_u64(&b, UINT64_MAX);
    buf_addf(&b, " %s-%d", "x", 7);
    CHECK(str_eq(buf_str(&b), STR("-9223372036854775808 0 18446744073709551615 x-7")));
    buf_free(&b);
}

/* ---- arena.h ---- */

TEST(arena_memory_is_zeroed_aligned_and_kept_apart)
{
    Arena *a = arena_new(256);
    char *last = NULL;
    for (size_t n = 1; n < 600; n += 7) { /* also larger than a block */
        char *p = arena_alloc(a, n, 1);
        CHECK((uintptr_t)p % _Alignof(max_align_t) == 0);
        for (size_t i = 0; i < n; i++)
            CHECK(p[i] == 0);
        memset(p, 0x55, n);
        CHECK(last == NULL || *last == 0x55);
        last = p;
    }
    CHECK(arena_used_bytes(a) >= 600);
    arena_reset(a);
    EXPECT_I64((int64_t)arena_used_bytes(a), 0);
    const int64_t *again = ARENA_ARRAY(a, int64_t, 8);
    for (size_t i = 0; i < 8; i++)
        EXPECT_I64(again[i], 0);
    arena_free(a);
    arena_free(NULL);
}

static void overflow_arena(void)
{
    (void)arena_alloc(arena_new(64), SIZE_MAX / 2, 4);
}

TEST(arena_sizes_that_overflow_end_the_process)
{
    CHECK(dies(overflow_arena));
}

TEST(arena_keeps_its_first_block)
{
    Arena *a = arena_new(256);
    char *const first = arena_bytes(a, 16);
    (void)arena_bytes(a, 10000);
    arena_reset(a);
    CHECK(arena_bytes(a, 16) == first);
    arena_free(a);
}

TEST(arena_copies_end_in_a_nul_behind_their_length)
{
    Arena *a = arena_new(256);
    char text[] = "abc";
    const Str copy = arena_copy(a, (Str){text, 3});
    text[0] = 'x';
    EXPECT_STREQ(copy.ptr, "abc");
    EXPECT_I64((int64_t)copy.len, 3);
    EXPECT_STREQ(arena_copy(a, (Str){NULL, 0}).ptr, "");
    const Str printed = arena_printf(a, "%s %d", "n", 5);
    EXPECT_STREQ(printed.ptr, "n 5");
    EXPECT_I64((int64_t)printed.len, 3);
    arena_free(a);
}

typedef struct Cleanup {
    Buf *order;
    char name;
} Cleanup;

static void run_cleanup(void *arg)
{
    const Cleanup *c = arg; /* it lives in the arena and must still be there */
    buf_add_char(c->order, c->name);
}

static void defer_cleanup(Arena *a, Buf *order, char name)
{
    Cleanup *c = ARENA_NEW(a, Cleanup);
    *c = (Cleanup){order, name};
    arena_defer(a, run_cleanup, c);
}

TEST(arena_cleanups_run_once_newest_first_before_memory_goes)
{
    Buf order = BUF_MAX(100);
    Arena *a = arena_new(64);
    for (char name = 'a'; name < 'f'; name++)
        defer_cleanup(a, &order, name);
    arena_reset(a);
    CHECK(str_eq(buf_str(&order), STR("edcba")));
    arena_reset(a);
    CHECK(str_eq(buf_str(&order), STR("edcba")));
    defer_cleanup(a, &order, 'z');
    arena_free(a);
    CHECK(str_eq(buf_str(&order), STR("edcbaz")));
    buf_free(&order);
}

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
TEST(arena_unused_bytes_are_poisoned)
{
    Arena *a = arena_new(256);
    char *p = arena_bytes(a, 20);
    CHECK(!__asan_address_is_poisoned(p + 19) && __asan_address_is_poisoned(p + 32));
    arena_reset(a);
    CHECK(__asan_address_is_poisoned(p));
    arena_free(a);
}
#endif

/* ---- log.h ---- */

static const LogField LOG_FIELDS[] = {
    {.name = "port", .i64 = -8080},
    {.name = "text", .is_text = true, .text = {"a\"b\\c\nd\x01", 8}},
    {.name = "phone", .is_text = true, .text = {"+8613800138000 or 123456, 1234567", 33}},
    {.name = "none", .is_text = true},
};

static void expect_log(bool json, const char *want)
{
    Buf b = BUF_MAX(10000);
    log_format(&b, json, INT64_C(1795298280123), LOG_WARN, "http.listen", LOG_FIELDS,
               ARRAY_LEN(LOG_FIELDS));
    buf_add_char(&b, '\0');
    EXPECT_STREQ(b.ptr, want);
    buf_free(&b);
}

TEST(log_lines_are_escaped_and_long_digits_masked)
{
    expect_log(false, "2026-11-21T21:58:00.123Z warn  http.listen port=-8080 "
                      "text=\"a\\\"b\\\\c\\u000ad\\u0001\" "
                      "phone=\"+***********00 or 123456, *****67\" none=\"\"\n");
    expect_log(true, "{\"at\":\"2026-11-21T21:58:00.123Z\",\"level\":\"warn\",\"event\":"
                     "\"http.listen\",\"port\":-8080,\"text\":\"a\\\"b\\\\c\\u000ad\\u0001\","
                     "\"phone\":\"+***********00 or 123456, *****67\",\"none\":\"\"}\n");
}

TEST(log_mask_hides_all_but_two_digits_of_long_numbers_also_with_gaps)
{
    static const char *const CASES[][2] = {
        {"", ""},
        {"no digits", "no digits"},
        {"call 123456", "call 123456"},
        {"1234567", "*****67"},
        {"customer 13800138000 asked", "customer *********00 asked"},
        {"138-0013 8000.", "***-**** **00."},
        {"电话13800138000，", "电话*********00，"},
        {"123456 a 123456", "123456 a 123456"},
        {"- 1 -", "- 1 -"},
        {"+8613800138000 and 13900139000", "+***********00 and *********00"}};
    Arena *arena = arena_new(4096);
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        const Str got = log_mask(arena, str_of(CASES[i][0]));
        EXPECT_STREQ(arena_copy(arena, got).ptr, CASES[i][1]);
    }
    arena_free(arena);
}

/* What log_write() sends to standard error. */
static size_t capture_log(LogLevel level, Str text, char *out, size_t room)
{
    int pipe_fds[2];
    CHECK(pipe(pipe_fds) == 0);
    const int saved = dup(STDERR_FILENO);
    CHECK(saved >= 0 && dup2(pipe_fds[1], STDERR_FILENO) >= 0);
    CHECK(close(pipe_fds[1]) == 0);
    LOG(level, "test.line", LOG_STR("text", text), LOG_C("c", "x"), LOG_I64("n", 1));
    CHECK(dup2(saved, STDERR_FILENO) >= 0 && close(saved) == 0);
    const ssize_t n = read(pipe_fds[0], out, room); /* one write() is one read() */
    CHECK(n >= 0 && close(pipe_fds[0]) == 0);
    return (size_t)n;
}

TEST(log_writes_one_line_at_or_above_its_level)
{
    static char long_text[9000], line[10000];
    memset(long_text, 'x', sizeof long_text);
    log_setup(LOG_WARN, true);
    CHECK(!log_wants(LOG_INFO) && log_wants(LOG_WARN) && log_wants(LOG_ERROR));
    EXPECT_I64((int64_t)capture_log(LOG_INFO, STR("a"), line, sizeof line), 0);
    const Str got = {line, capture_log(LOG_ERROR, STR("a\nb"), line, sizeof line)};
    CHECK(str_ends_with(got, STR(",\"text\":\"a\\u000ab\",\"c\":\"x\",\"n\":1}\n")));
    EXPECT_I64(str_index(got, '\n', 0), (int64_t)got.len - 1);
    const Str cut = {line,
                     capture_log(LOG_ERROR, (Str){long_text, sizeof long_text}, line, sizeof line)};
    CHECK(cut.len <= 4096 && str_index(cut, '\n', 0) == (int64_t)cut.len - 1);
    log_setup(LOG_OFF, false);
    EXPECT_I64((int64_t)capture_log(LOG_ERROR, STR("a"), line, sizeof line), 0);
    log_setup(LOG_INFO, false);
}

/* ---- queue.h ---- */

typedef struct Item {
    QueueNode node;
    int thread;
    int number;
} Item;

TEST(queue_gives_everything_at_once_oldest_first)
{
    Queue q = {.head = NULL};
    Item items[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    CHECK(queue_take(&q) == NULL);
    CHECK(queue_push(&q, &items[0].node)); /* it was empty */
    CHECK(!queue_push(&q, &items[1].node) && !queue_push(&q, &items[2].node));
    int expected = 0;
    for (QueueNode *n = queue_take(&q); n != NULL; n = n->next)
        EXPECT_I64(CONTAINER_OF(n, Item, node)->number, expected++);
    EXPECT_I64(expected, 3);
    CHECK(queue_take(&q) == NULL);
    CHECK(queue_push(&q, &items[0].node));
    CHECK(queue_take_wait(&q, 1000) == &items[0].node);
}

TEST(queue_wait_ends_after_its_time)
{
    Queue q = {.head = NULL};
    const int64_t from = clock_mono_us();
    CHECK(queue_take_wait(&q, 20) == NULL);
    const int64_t took = clock_mono_us() - from;
    CHECK(took >= 19000 && took < 10000000);
}

static void *wake_later(void *arg)
{
    Queue *q = arg;
    while (atomic_load(&q->asleep) == 0)
        sched_yield();
    queue_wake(q);
    return NULL;
}

TEST(queue_wake_ends_a_wait_with_nothing)
{
    Queue q = {.head = NULL};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wake_later, &q) == 0);
    const int64_t from = clock_mono_us();
    CHECK(queue_take_wait(&q, 60000) == NULL);
    CHECK(clock_mono_us() - from < 30000000);
    CHECK(pthread_join(thread, NULL) == 0);
}

enum { PUSHERS = 3, PUSHES = 20000 };
static Queue shared;
static Item pushed[PUSHERS][PUSHES];

static void *push_all(void *arg)
{
    Item *items = arg;
    for (int i = 0; i < PUSHES; i++) {
        (void)queue_push(&shared, &items[i].node);
        if (i % 100 == 0)
            sched_yield(); /* lets the taker run dry and sleep */
    }
    return NULL;
}

TEST(queue_loses_nothing_and_keeps_each_pushers_order)
{
    pthread_t threads[PUSHERS];
    int next[PUSHERS] = {0}, taken = 0;
    for (int t = 0; t < PUSHERS; t++) {
        for (int i = 0; i < PUSHES; i++)
            pushed[t][i] = (Item){.thread = t, .number = i};
        CHECK(pthread_create(&threads[t], NULL, push_all, pushed[t]) == 0);
    }
    while (taken < PUSHERS * PUSHES) {
        const int64_t from = clock_mono_us();
        QueueNode *n = queue_take_wait(&shared, 10000);
        CHECK(n != NULL || clock_mono_us() - from < 9000000); /* no wake was lost */
        for (; n != NULL; n = n->next) {
            const Item *item = CONTAINER_OF(n, Item, node);
            EXPECT_I64(item->number, next[item->thread]++);
            taken++;
        }
    }
    for (int t = 0; t < PUSHERS; t++)
        CHECK(pthread_join(threads[t], NULL) == 0);
    CHECK(queue_take(&shared) == NULL);
}

/* ---- err.h ---- */

TEST(err_codes_have_names_and_statuses)
{
    EXPECT_STREQ(err_name(ERR_OK), "ok");
    EXPECT_I64(err_http_status(ERR_OK), 200);
    EXPECT_STREQ(err_name(ERR_NOT_FOUND), "not_found");
    EXPECT_I64(err_http_status(ERR_NOT_FOUND), 404);
    for (int i = 0; i < ERR_COUNT; i++) {
        CHECK(err_name((Err)i)[0] != '\0');
        CHECK(err_http_status((Err)i) >= 200 && err_http_status((Err)i) < 600);
        for (int k = 0; k < i; k++)
            CHECK(strcmp(err_name((Err)i), err_name((Err)k)) != 0);
    }
}

/* ---- pages -------------------------------------------------------------------------------------- */

enum { PAGES = 64, PAGE_BYTES = 4096 };

static unsigned char *new_pages(void)
{
    void *map =
        mmap(NULL, PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(map != MAP_FAILED);
    (void)madvise(map, PAGES * PAGE_BYTES, MADV_NOHUGEPAGE);
    return map;
}

static int pages_here(unsigned char *map)
{
    unsigned char here[PAGES];
    int n = 0;
    CHECK(mincore(map, PAGES * PAGE_BYTES, here) == 0);
    for (int i = 0; i < PAGES; i++)
        n += here[i] & 1;
    return n;
}

/* An emulated or older kernel need not. */
static bool kernel_brings_pages(void)
{
    enum { POPULATE_WRITE = 23 };
    unsigned char *map = new_pages();
    const bool can = sysconf(_SC_PAGESIZE) == PAGE_BYTES &&
                     madvise(map, PAGES * PAGE_BYTES, POPULATE_WRITE) == 0 &&
                     pages_here(map) == PAGES;
    CHECK(munmap(map, PAGES * PAGE_BYTES) == 0);
    return can;
}

TEST(pages_of_a_large_block_come_at_once_and_its_bytes_stay)
{
    if (!kernel_brings_pages())
        test_skip("the kernel does not bring pages");
    unsigned char *map = new_pages();
    map[5 * PAGE_BYTES + 7] = 9;
    EXPECT_I64(pages_here(map), 1);
    pages_bring(map + 100,
                PAGES / 2 * PAGE_BYTES); /* whole pages only: not the first, not the last */
    EXPECT_I64(pages_here(map), PAGES / 2 - 1);
    pages_bring(map, PAGE_BYTES); /* too small */
    EXPECT_I64(pages_here(map), PAGES / 2 - 1);
    EXPECT_I64(map[5 * PAGE_BYTES + 7], 9);
    EXPECT_I64(map[6 * PAGE_BYTES], 0);
    CHECK(munmap(map, PAGES * PAGE_BYTES) == 0);
}

TEST(err_fail_fills_the_fault_and_nothing_of_an_older_one_stays)
{
    Ctx ctx = {0};
    EXPECT_I64(fail_field(&ctx, "/items/0/qty", "order.qty", "at most %d", 99), ERR_INVALID);
    EXPECT_I64(ctx.fault.code, ERR_INVALID);
    EXPECT_STREQ(ctx.fault.reason, "order.qty");
    EXPECT_STREQ(ctx.fault.pointer, "/items/0/qty");
    EXPECT_STREQ(ctx.fault.hint, "at most 99");
    EXPECT_STREQ(ctx.fault.detail, "");
    EXPECT_I64(fail(&ctx, ERR_CONFLICT, "coupon.sold_out", "coupon %d", 7), ERR_CONFLICT);
    EXPECT_I64(ctx.fault.code, ERR_CONFLICT);
    EXPECT_STREQ(ctx.fault.reason, "coupon.sold_out");
    EXPECT_STREQ(ctx.fault.pointer, "");
    EXPECT_STREQ(ctx.fault.hint, "");
    EXPECT_STREQ(ctx.fault.detail, "coupon 7");
    EXPECT_I64(fail(&ctx, ERR_BUSY, "x", "%0500d", 1), ERR_BUSY); /* cut, not overrun */
    EXPECT_I64((int64_t)str_of(ctx.fault.detail).len, (int64_t)sizeof ctx.fault.detail - 1);
}

static Err fail_midway(Ctx *ctx, bool really, int *steps)
{
    *steps = 1;
    TRY(really ? fail(ctx, ERR_DENIED, "no", "x") : ERR_OK);
    *steps = 2;
    return ERR_OK;
}

TEST(err_try_returns_at_the_first_failure)
{
    Ctx ctx = {0};
    int steps = 0;
    EXPECT_I64(fail_midway(&ctx, true, &steps), ERR_DENIED);
    EXPECT_I64(steps, 1);
    EXPECT_I64(fail_midway(&ctx, false, &steps), ERR_OK);
    EXPECT_I64(steps, 2);
}

static Err ensure(Ctx *ctx, bool cond)
{
    (void)ctx; /* unused where ENSURE aborts */
    ENSURE(ctx, cond);
    return ERR_OK;
}

static void break_ensure(void)
{
    Ctx ctx = {0};
    if (ensure(&ctx, false) == ERR_INTERNAL && strcmp(ctx.fault.reason, "internal.ensure") == 0)
        abort(); /* the release build: reported, and alive until here */
}

TEST(err_ensure_reports_or_aborts)
{
    Ctx ctx = {0};
    EXPECT_I64(ensure(&ctx, true), ERR_OK);
    CHECK(dies(break_ensure));
}
