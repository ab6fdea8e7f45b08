/*
 * app/terminal_test.c -- widths, tables, numbers, bars; and a command's words.
 */
#include "app/args.h"
#include "app/terminal.h"
#include "base/test.h"

#include <stdlib.h>

static const char *text(Arena *arena, Str s)
{
    return arena_copy(arena, s).ptr;
}

TEST(terminal_width_counts_columns_not_bytes)
{
    static const struct {
        Str text;
        int64_t width;
    } rows[] = {
        {{"", 0}, 0},   {{"abc", 3}, 3},       {{"通店", 6}, 4}, {{"店 A1", 6}, 5},
        {{"é", 2}, 1},  {{"e\xcc\x81", 3}, 1}, {{"，。", 6}, 4}, {{"\xf0\x9f\x99\x82", 4}, 2},
        {{"█▍", 6}, 2}, {{"\xff\xfe", 2}, 2}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        EXPECT_I64((int64_t)terminal_width(rows[i].text), rows[i].width);
}

TEST(a_table_aligns_chinese_with_latin_and_hides_control_characters)
{
    Arena *arena = arena_new(4096);
    char *out = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&out, &size);
    Table t = table_new(arena, "shop|>sales|");
    table_add(&t, STR("上海店"));
    table_add_count(&t, 1234567);
    table_addf(&t, "%s", "x");
    table_add(&t, STR("A\033[2J"));
    table_add_count(&t, -5);
    table_add(&t, STR(""));
    table_print(&t, to);
    CHECK(fclose(to) == 0);
    EXPECT_STREQ(out, "shop        sales  \n"
                      "上海店  1,234,567  x\n"
                      "A?[2J          -5  \n");
    free(out);
    arena_free(arena);
}

TEST(numbers_are_grouped_and_rates_have_two_places)
{
    Arena *arena = arena_new(4096);
    EXPECT_STREQ(text(arena, terminal_count(arena, 0)), "0");
    EXPECT_STREQ(text(arena, terminal_count(arena, 999)), "999");
    EXPECT_STREQ(text(arena, terminal_count(arena, -1000)), "-1,000");
    EXPECT_STREQ(text(arena, terminal_money(arena, 23393524, 2)), "233,935.24");
    EXPECT_STREQ(text(arena, terminal_money(arena, -100000, 0)), "-100,000");
    EXPECT_STREQ(text(arena, terminal_money(arena, 5, 3)), "0.005");
    EXPECT_STREQ(text(arena, terminal_rate(arena, 1656)), "16.56 %");
    EXPECT_STREQ(text(arena, terminal_rate(arena, 5)), "0.05 %");
    arena_free(arena);
}

TEST(numbers_end_with_a_zero_byte)
{
    Arena *arena = arena_new(4096);
    memset(arena_bytes(arena, 4096), 'x', 4096);
    arena_reset(arena);
    EXPECT_STREQ(terminal_count(arena, 1234567).ptr, "1,234,567");
    EXPECT_STREQ(terminal_money(arena, 23393524, 2).ptr, "233,935.24");
    EXPECT_STREQ(terminal_rate(arena, 1656).ptr, "16.56 %");
    arena_free(arena);
}

TEST(a_bar_is_as_long_as_its_part)
{
    Arena *arena = arena_new(4096);
    EXPECT_STREQ(text(arena, terminal_bar(arena, 0, 10, 8)), "");
    EXPECT_STREQ(text(arena, terminal_bar(arena, 5, 0, 8)), "");
    EXPECT_STREQ(text(arena, terminal_bar(arena, 5, 10, 4)), "██");
    EXPECT_STREQ(text(arena, terminal_bar(arena, 20, 10, 2)), "██");
    EXPECT_STREQ(text(arena, terminal_bar(arena, 1, 16, 2)), "▏");
    EXPECT_STREQ(text(arena, terminal_bar(arena, MONEY_FEN_MAX, MONEY_FEN_MAX, 1)), "█");
    arena_free(arena);
}

TEST(progress_off_a_terminal_is_a_plain_line_now_and_then)
{
    FILE *to = tmpfile();
    CHECK(to != NULL);
    Progress p = progress_start(to);
    progress_show(&p, "orders", 100, 10);
    CHECK(ftell(to) == 0); /* too soon */
    p.shown_us -= 6 * 1000 * 1000;
    p.start_us -= 6 * 1000 * 1000;
    progress_show(&p, "orders", 600, 500);
    progress_end(&p);
    char line[160] = "";
    rewind(to);
    CHECK(fgets(line, sizeof line, to) != NULL);
    EXPECT_STREQ(line, " 50 %  orders  99 rows/s  0:06 left\n");
    CHECK(fclose(to) == 0);
}

/* ---- words --------------------------------------------------------------------------------------- */

static const ArgOption OPTIONS[] = {{"--map", true}, {"--json", false}};

static bool read_words(Args *out, const char **value, int argc, const char *const *words)
{
    char *argv[ARGS_REST_MAX + 2];
    for (int i = 0; i < argc; i++)
        argv[i] = strdup(words[i]);
    const bool fine = args_read(argc, argv, OPTIONS, ARRAY_LEN(OPTIONS), value, out);
    const bool map = fine && value[0] != NULL;
    if (map)
        EXPECT_STREQ(value[0], "m.yaml");
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    return fine;
}

TEST(a_commands_words_are_options_with_or_without_value_and_the_rest)
{
    const char *value[2];
    Args args;
    CHECK(read_words(&args, value, 4, (const char *[]){"import", "--map", "m.yaml", "DIR"}));
    EXPECT_I64((int64_t)args.rest_count, 1);
    CHECK(value[0] != NULL && value[1] == NULL);
    CHECK(read_words(&args, value, 3, (const char *[]){"import", "--map=m.yaml", "--json"}));
    CHECK(value[0] != NULL && value[1] != NULL);
    CHECK(!read_words(&args, value, 2, (const char *[]){"import", "--map"}));
    CHECK(!read_words(&args, value, 2, (const char *[]){"import", "--json=1"}));
    CHECK(!read_words(&args, value, 2, (const char *[]){"import", "--fast"}));
    const char *many[ARGS_REST_MAX + 2];
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = "a";
    CHECK(read_words(&args, value, ARRAY_LEN(many) - 1, many));
    EXPECT_I64((int64_t)args.rest_count, ARGS_REST_MAX);
    CHECK(!read_words(&args, value, ARRAY_LEN(many), many));
}
