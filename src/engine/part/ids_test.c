/*
 * engine/part/ids_test.c -- sets of hashes give back what went in, and know what did not.
 */
#include "engine/engine_testkit.h"
#include "engine/part/ids.h"

#include <stdlib.h>

static uint64_t *random_hashes(Prng *r, uint32_t n)
{
    uint64_t *hashes = malloc((n + 1) * sizeof *hashes);
    CHECK(hashes != NULL);
    for (uint32_t i = 0; i < n; i++)
        hashes[i] = prng_u64(r);
    return hashes;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void sort(uint64_t *hashes, uint32_t n)
{
    qsort(hashes, n, sizeof *hashes, by_value);
}

static Ids set_of(Ctx *ctx, const uint64_t *hashes, uint32_t n)
{
    Buf bytes = BUF_MAX(1 << 26);
    uint64_t *copy = malloc((n + 1) * sizeof *copy);
    CHECK(copy != NULL);
    memcpy(copy, hashes, n * sizeof *copy);
    sort(copy, n);
    ids_encode(copy, n, &bytes);
    free(copy);
    Ids ids;
    CHECK(ids_open(ctx, buf_str(&bytes), false, &ids) == ERR_OK && ids_are_sound(&ids));
    return ids;
}

TEST(a_written_set_has_its_hashes_and_no_others)
{
    static const uint32_t counts[] = {0, 1, 15, 16, 17, 1000, 100000};
    Ctx ctx = {.arena = arena_new(1024)};
    Prng r = prng_of(3);
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        const uint32_t n = counts[i];
        uint64_t *hashes = random_hashes(&r, n), *back = random_hashes(&r, n);
        Ids ids = set_of(&ctx, hashes, n);
        for (uint32_t j = 0; j < n; j++)
            CHECK(ids_has(&ids, hashes[j]));
        for (uint32_t j = 0; j < 1000; j++)
            CHECK(!ids_has(&ids, prng_u64(&r)));
        CHECK(ids_read(&ids, back));
        for (uint32_t j = 0; j < n; j++)
            CHECK(ids_has(&ids, back[j]) && (j == 0 || back[j] > back[j - 1]));
        CHECK(n < 100000 || ids.bytes.len < (size_t)n * 7);
        ids_free(&ids);
        free(hashes);
        free(back);
    }
    arena_free(ctx.arena);
}

TEST(a_set_of_hashes_that_stand_close_together_is_the_same_set)
{
    enum { N = 20000 };
    Ctx ctx = {.arena = arena_new(1024)};
    Prng r = prng_of(9);
    uint64_t *hashes = random_hashes(&r, N), *back = random_hashes(&r, N);
    for (uint32_t i = 0; i < N; i++) /* nearly all in one bucket, backwards */
        hashes[i] = i < N - 100 ? UINT64_C(77) << 56 | (N - i) : hashes[i];
    Ids ids = set_of(&ctx, hashes, N);
    CHECK(ids_read(&ids, back));
    for (uint32_t i = 0; i < N; i++)
        CHECK(ids_has(&ids, hashes[i]) && (i == 0 || back[i] > back[i - 1]));
    CHECK(!ids_has(&ids, UINT64_C(77) << 56 | (N + 1)));
    ids_free(&ids);
    free(hashes);
    free(back);
    arena_free(ctx.arena);
}

/* Of one bucket, under right checksums: whoever puts sets together, or looks for one of them, relies on it. */
TEST(a_set_whose_hashes_do_not_ascend_is_damaged)
{
    uint64_t hashes[] = {1, 2, 3, 5, 4}, back[ARRAY_LEN(hashes)];
    Ctx ctx = {.arena = arena_new(1024)};
    for (uint32_t n = 4; n <= ARRAY_LEN(hashes); n++) {
        Buf bytes = BUF_MAX(1 << 10);
        Ids ids;
        ids_encode(hashes, n, &bytes);
        CHECK(ids_open(&ctx, buf_str(&bytes), false, &ids) == ERR_OK && ids_are_sound(&ids));
        CHECK(ids_read(&ids, back) == (n == 4));
        ids_free(&ids);
    }
    arena_free(ctx.arena);
}

TEST(a_set_that_is_written_twice_is_the_same_both_times)
{
    enum { N = 1000 };
    Prng r = prng_of(10);
    uint64_t *hashes = random_hashes(&r, N);
    sort(hashes, N);
    Buf first = BUF_MAX(1 << 20), second = BUF_MAX(1 << 20);
    ids_encode(hashes, N, &first);
    ids_encode(hashes, N, &second);
    CHECK(str_eq(buf_str(&first), buf_str(&second)));
    buf_free(&first);
    buf_free(&second);
    free(hashes);
}

TEST(stretches_of_hashes_become_one_in_order)
{
    enum { STRETCHES = 9, LONGEST = 500 };
    Prng r = prng_of(11);
    for (uint32_t stretches = 0; stretches <= STRETCHES; stretches++) {
        uint32_t ends[STRETCHES + 1] = {0}, n = 0;
        uint64_t *hashes = random_hashes(&r, STRETCHES * LONGEST);
        uint64_t *want = random_hashes(&r, STRETCHES * LONGEST);
        for (uint32_t i = 0; i < stretches; i++) {
            const uint32_t some = i % 4 == 2 ? 0 : (uint32_t)prng_below(&r, LONGEST);
            sort(hashes + n, some);
            ends[i] = n += some;
        }
        memcpy(want, hashes, n * sizeof *want);
        sort(want, n);
        ids_merge(hashes, ends, stretches);
        CHECK(memcmp(hashes, want, n * sizeof *want) == 0);
        free(hashes);
        free(want);
    }
}

/* Every third hash looks for a slot behind the last one. */
TEST(recent_hashes_come_in_order_also_from_behind_the_last_slot)
{
    enum { N = 700 };
    Prng r = prng_of(12);
    for (uint32_t n = 0; n <= N; n += n < 3 ? 1 : 97) {
        RecentIds recent = {0};
        uint64_t *hashes = random_hashes(&r, N), *out = random_hashes(&r, N);
        for (uint32_t i = 0; i < n; i++) {
            hashes[i] |= i % 3 == 0 ? UINT64_C(0xFFF) << 52 : 0;
            CHECK(recent_ids_add(&recent, hashes[i]));
        }
        sort(hashes, n);
        out[n] = 77;
        recent_ids_sorted(&recent, out);
        CHECK(memcmp(out, hashes, n * sizeof *out) == 0 && out[n] == 77);
        recent_ids_free(&recent);
        free(hashes);
        free(out);
    }
}

TEST(a_set_stays_until_the_last_who_shares_it_gives_it_up)
{
    Ctx ctx = {.arena = arena_new(1024)};
    Prng r = prng_of(5);
    uint64_t *hashes = random_hashes(&r, 1000);
    Ids ids = set_of(&ctx, hashes, 1000), shared = ids_share(&ids);
    ids_free(&ids);
    CHECK(ids.bytes.ptr == NULL && ids_are_sound(&shared));
    for (uint32_t i = 0; i < 1000; i++)
        CHECK(ids_has(&shared, hashes[i]));
    ids_free(&shared);
    ids_free(&shared); /* nothing to do any more */
    free(hashes);
    arena_free(ctx.arena);
}

TEST(a_flipped_bit_in_a_set_is_found)
{
    Ctx ctx = {.arena = arena_new(1024)};
    Prng r = prng_of(4);
    uint64_t *hashes = random_hashes(&r, 100);
    Ids ids = set_of(&ctx, hashes, 100), other;
    char *bytes = (char *)(uintptr_t)ids.bytes.ptr;
    for (size_t at = 0; at < ids.bytes.len; at++) {
        const char flip = (char)(1 << prng_below(&r, 8));
        bytes[at] = (char)(bytes[at] ^ flip);
        const Str copy = {memcpy(malloc(ids.bytes.len), bytes, ids.bytes.len), ids.bytes.len};
        if (ids_open(&ctx, copy, false, &other) == ERR_OK) {
            CHECK(!ids_are_sound(&other));
            ids_free(&other);
        } else {
            free((void *)(uintptr_t)copy.ptr);
        }
        bytes[at] = (char)(bytes[at] ^ flip);
        EXPECT_I64(ids_open(&ctx, str_slice(ids.bytes, 0, at), false, &other), ERR_INTERNAL);
        EXPECT_STREQ(ctx.fault.reason, "events.ids_damaged");
    }
    CHECK(ids_are_sound(&ids));
    ids_free(&ids);
    free(hashes);
    arena_free(ctx.arena);
}

TEST(recent_hashes_are_added_once)
{
    RecentIds recent = {0};
    Prng r = prng_of(5);
    uint64_t *hashes = random_hashes(&r, 20000);
    hashes[7] = 0;
    CHECK(!recent_ids_has(&recent, hashes[0]));
    for (uint32_t i = 0; i < 20000; i++)
        CHECK(recent_ids_add(&recent, hashes[i]));
    for (uint32_t i = 0; i < 20000; i++)
        CHECK(!recent_ids_add(&recent, hashes[i]) && recent_ids_has(&recent, hashes[i]));
    for (uint32_t i = 0; i < 20000; i++)
        CHECK(!recent_ids_has(&recent, prng_u64(&r)));
    EXPECT_I64(recent.count, 20000);
    uint64_t some[700];
    uint32_t listed = 0, slot = 0;
    for (uint32_t n; (n = recent_ids_next(&recent, &slot, some, ARRAY_LEN(some))) > 0; listed += n)
        for (uint32_t i = 0; i < n; i++)
            CHECK(recent_ids_has(&recent, some[i]) && (i == 0 || some[i] != some[i - 1]));
    EXPECT_I64(listed, 20000);
    recent_ids_free(&recent);
    enum { SOME = 1000 };
    recent.expected = 20000;
    CHECK(recent_ids_add(&recent, hashes[0]));
    CHECK(recent.slot_count <= 2 * SOME); /* a straggler takes no room for all */
    uint32_t slots = 0;
    for (uint32_t i = 1; i < 20000; i++) {
        recent_ids_near(&recent, hashes[i]);
        CHECK(recent_ids_add(&recent, hashes[i]));
        slots = i == SOME ? recent.slot_count : slots;
    }
    EXPECT_I64(recent.slot_count, slots); /* there was room for all once there were some */
    recent_ids_free(&recent);
    free(hashes);
}

TEST(the_filter_never_denies_what_it_has_and_seldom_claims_what_it_has_not)
{
    enum { N = 200000 };
    IdFilter f;
    id_filter_init(&f, N);
    Prng r = prng_of(6);
    uint64_t *hashes = random_hashes(&r, N);
    for (uint32_t i = 0; i < N / 4; i++)
        id_filter_add_all(&f, &hashes[i], 1);
    sort(hashes + N / 2, N / 2);
    id_filter_add_all(&f, hashes + N / 4, N - N / 4);
    EXPECT_I64((int64_t)f.count, N);
    for (uint32_t i = 0; i < N; i++)
        CHECK(id_filter_may_have(&f, hashes[i]));
    uint32_t claimed = 0;
    for (uint32_t i = 0; i < N; i++)
        claimed += id_filter_may_have(&f, prng_u64(&r));
    CHECK(claimed < N / 50);
    id_filter_free(&f);
    free(hashes);
}
