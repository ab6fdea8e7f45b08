/*
 * modules/intake/intake_sort_test.c -- the sorter against qsort in memory, with a tiny budget.
 */
#include "base/test.h"
#include "modules/intake/intake_sort.h"
#include "modules/intake/intake_testing.h"

#include <stdlib.h>

enum { ROWS = 5000 };

typedef struct Pair {
    char key[24];
    int number; /* order of adding; also the payload */
} Pair;

static int compare_pairs(const void *a, const void *b)
{
    const Pair *x = a, *y = b;
    const int order = strcmp(x->key, y->key);
    return order != 0 ? order : (x->number > y->number) - (x->number < y->number);
}

static void add_random(RowSorter *s, Ctx *ctx, uint64_t *seed, Pair *pair, uint32_t keys)
{
    static const char *const BEFORE[] = {"", "1", "shared-", "shared-1", "shared-among-"};
    for (int i = 0; i < ROWS; i++) {
        (void)snprintf(pair[i].key, sizeof pair[i].key, "%s%x",
                       BEFORE[random_below(seed, ARRAY_LEN(BEFORE))], random_below(seed, keys));
        pair[i].number = i;
        char payload[64] = {0};
        memcpy(payload, &i, sizeof i);
        const size_t len = sizeof i + random_below(seed, 60);
        CHECK(intake_sort_add(s, ctx, str_of(pair[i].key), (Str){payload, len}) == ERR_OK);
    }
}

/* Adds random rows, then expects them as the model sorts them. */
static void compare_with_model(size_t memory, uint32_t keys, bool unique, uint64_t seed)
{
    static Pair pair[ROWS];
    Ctx ctx = {.arena = arena_new(4096)};
    RowSorter *s = intake_sort_new(NULL, memory, unique);
    add_random(s, &ctx, &seed, pair, keys);
    qsort(pair, ROWS, sizeof *pair, compare_pairs);
    CHECK(intake_sort_finish(s, &ctx) == ERR_OK);
    SortedRow row;
    bool more = false;
    int64_t folded = 0;
    for (int i = 0; i < ROWS; i++) {
        if (unique && i > 0 && strcmp(pair[i].key, pair[i - 1].key) == 0) {
            folded++;
            continue;
        }
        CHECK(intake_sort_next(s, &ctx, &row, &more) == ERR_OK && more);
        CHECK(str_eq(row.key, str_of(pair[i].key)));
        int number = 0;
        memcpy(&number, row.payload.ptr, sizeof number);
        EXPECT_I64(number, pair[i].number);
    }
    CHECK(intake_sort_next(s, &ctx, &row, &more) == ERR_OK && !more);
    EXPECT_I64(intake_sort_folded(s), folded);
    intake_sort_free(s);
    arena_free(ctx.arena);
}

TEST(sort_gives_every_row_in_order_whatever_the_memory)
{
    static const size_t MEMORY[] = {1 << 20, 64 * 1024, 4096, 600}; /* 600: over 64 runs */
    for (size_t i = 0; i < ARRAY_LEN(MEMORY); i++) {
        compare_with_model(MEMORY[i], 1000000, false, 1 + i);
        compare_with_model(MEMORY[i], 50, false, 11 + i);
        compare_with_model(MEMORY[i], 3000, true, 21 + i);
        compare_with_model(MEMORY[i], 20, true, 31 + i);
    }
}

TEST(sort_of_nothing_is_nothing_and_a_huge_row_is_refused)
{
    Ctx ctx = {.arena = arena_new(4096)};
    RowSorter *s = intake_sort_new(NULL, 1024, false);
    SortedRow row;
    bool more = true;
    char *big = calloc(1, INTAKE_SORT_RECORD_BYTES_MAX);
    CHECK(big != NULL);
    EXPECT_I64(intake_sort_add(s, &ctx, STR("k"), (Str){big, INTAKE_SORT_RECORD_BYTES_MAX}),
               ERR_TOO_LARGE);
    CHECK(intake_sort_finish(s, &ctx) == ERR_OK);
    CHECK(intake_sort_next(s, &ctx, &row, &more) == ERR_OK && !more);
    intake_sort_free(s);
    free(big);
    arena_free(ctx.arena);
}

TEST(sort_says_so_when_there_is_no_folder_to_spill_to)
{
    Ctx ctx = {.arena = arena_new(4096)};
    RowSorter *s = intake_sort_new("/nonexistent", 64, false);
    Err err = ERR_OK;
    for (int i = 0; i < 100 && err == ERR_OK; i++)
        err = intake_sort_add(s, &ctx, STR("a key"), STR("a payload"));
    EXPECT_I64(err, ERR_BUSY);
    EXPECT_STREQ(ctx.fault.reason, "intake.temp_failed");
    intake_sort_free(s);
    arena_free(ctx.arena);
}
