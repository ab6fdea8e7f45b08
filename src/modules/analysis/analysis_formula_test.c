/*
 * modules/analysis/analysis_formula_test.c -- formulas against trees that are computed without the parser.
 */
#include "modules/analysis/analysis_formula.h"

#include "base/rand.h"
#include "base/test.h"

enum { LETTERS = 4, NODES_MAX = 64 };

static Prng prng;

static int64_t below(int64_t n)
{
    return (int64_t)prng_below(&prng, (uint64_t)n);
}

/* A value as it is: never reduced, which small formulas do not need. */
typedef struct Plain {
    FormulaInt over, under;
} Plain;

static Plain apply(char op, Plain a, Plain b)
{
    if (a.under == 0 || b.under == 0 || (op == '/' && b.over == 0))
        return (Plain){0, 0};
    if (op == '*')
        return (Plain){a.over * b.over, a.under * b.under};
    if (op == '/')
        return b.over < 0 ? (Plain){-a.over * b.under, a.under * -b.over}
                          : (Plain){a.over * b.under, a.under * b.over};
    const FormulaInt right = b.over * a.under;
    return (Plain){a.over * b.under + (op == '+' ? right : -right), a.under * b.under};
}

/* Writes a random formula, fully in brackets now and then, and gives its value. */
static Plain write_random(Buf *out, const Plain *letters, int depth)
{
    static const char ops[] = "+-*/";
    if (depth == 0 || below(4) == 0) {
        if (below(2) == 0) {
            const int64_t letter = below(LETTERS);
            buf_add_char(out, (char)('A' + letter));
            return letters[letter];
        }
        const int64_t whole = below(20), tenth = below(10);
        buf_add_i64(out, whole);
        if (tenth > 0) {
            buf_add_char(out, '.');
            buf_add_i64(out, tenth);
        }
        return (Plain){whole * 10 + tenth, 10};
    }
    const bool turned = below(5) == 0;
    const char op = ops[below(4)];
    buf_add(out, turned ? STR("-( ") : STR("("));
    const Plain a = write_random(out, letters, depth - 1);
    buf_add_char(out, op);
    const Plain b = write_random(out, letters, depth - 1);
    buf_add_char(out, ')');
    const Plain value = apply(op, a, b);
    return turned ? (Plain){-value.over, value.under} : value;
}

static bool is_equal(Plain a, Fraction b)
{
    if (a.under == 0 || b.under == 0)
        return a.under == b.under;
    return a.over * b.under == b.over * a.under;
}

TEST(a_formula_has_the_value_of_its_tree)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    prng = prng_of(1);
    for (int round = 0; round < 20000; round++) {
        Plain letters[LETTERS];
        Fraction given[LETTERS], value;
        for (int i = 0; i < LETTERS; i++) {
            letters[i] = below(6) == 0 ? (Plain){0, 0} : (Plain){below(200) - 100, 1 + below(9)};
            given[i] = (Fraction){letters[i].over, letters[i].under};
        }
        Buf text = BUF_MAX(FORMULA_BYTES_MAX);
        const Plain want = write_random(&text, letters, 3);
        Formula f;
        CHECK(formula_parse(&ctx, buf_str(&text), LETTERS, "/x", &f) == ERR_OK);
        CHECK(formula_value(&f, given, &value) && is_equal(want, value));
        buf_free(&text);
        arena_reset(ctx.arena);
    }
    arena_free(ctx.arena);
}

static Str computed(Ctx *ctx, Str text)
{
    static const Fraction letters[] = {{7, 1}, {2, 1}, {0, 1}, {0, 0}};
    Formula f;
    Fraction value;
    Str out = STR("?");
    if (formula_parse(ctx, text, ARRAY_LEN(letters), "/x", &f) != ERR_OK)
        return arena_printf(ctx->arena, "%s: %s", ctx->fault.reason, ctx->fault.hint);
    return formula_value(&f, letters, &value) && fraction_text(ctx, value, &out) ? out
                                                                                 : STR("too large");
}

TEST(what_binds_more_comes_first_and_what_stands_left_before_what_stands_right)
{
    static const struct {
        Str text, want;
    } cases[] = {
        {{"A + B * 3", 9}, {"13", 2}},
        {{"A - B - 1", 9}, {"4", 1}},
        {{"A / B / 2", 9}, {"1.75", 4}},
        {{"(A + B) * 3", 11}, {"27", 2}},
        {{"-A * -B", 7}, {"14", 2}},
        {{"A - -B", 6}, {"9", 1}},
        {{"--A", 3}, {"7", 1}},
        {{"A / C", 5}, {"", 0}},
        {{"A / C + 1", 9}, {"", 0}},
        {{"C / A", 5}, {"0", 1}},
        {{"D + 1", 5}, {"", 0}},
        {{"1 / 3", 5}, {"0.333333", 8}},
        {{"2 / 3", 5}, {"0.666667", 8}},
        {{"-2 / 3", 6}, {"-0.666667", 9}},
        {{"0.5 / 1000000", 13}, {"0.000001", 8}},
        {{"-0.5 / 1000000", 14}, {"-0.000001", 9}},
        {{"0.4 / 1000000", 13}, {"0", 1}},
        {{"-0.4 / 1000000", 14}, {"0", 1}},
        {{"1999999.5/ 2000000", 18}, {"1", 1}},
        {{"0.1 + 0.2", 9}, {"0.3", 3}},
        {{"A / B * 100", 11}, {"350", 3}},
        {{" ( 1 ) ", 7}, {"1", 1}},
    };
    Ctx ctx = {.arena = arena_new(1 << 16)};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        EXPECT_STREQ(computed(&ctx, cases[i].text).ptr,
                     cases[i].want.len == 0 ? "" : cases[i].want.ptr);
    arena_free(ctx.arena);
}

TEST(a_formula_that_is_not_understood_says_where)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", "query.formula: at character 1: a letter, a number or ( must stand here"},
        {"A +", "query.formula: at character 4: a letter, a number or ( must stand here"},
        {"A B", "query.formula: at character 3: one of + - * / must stand here"},
        {"(A + B", "query.formula: at character 1: this bracket is not closed"},
        {"A + B)", "query.formula: at character 6: no bracket is open"},
        {"A + E", "query.formula: at character 5: there is no series E, only A to D"},
        {"a", "query.formula: at character 1: a letter, a number or ( must stand here"},
        {"1.", "query.formula: at character 3: a digit must follow the point"},
        {".5", "query.formula: at character 1: a letter, a number or ( must stand here"},
        {"A*1.2345678",
         "query.formula: at character 3: a number has at most 15 digits, 6 of them decimals"},
        {"()", "query.formula: at character 2: a letter, a number or ( must stand here"},
    };
    Ctx ctx = {.arena = arena_new(1 << 16)};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        EXPECT_STREQ(computed(&ctx, str_of(cases[i].text)).ptr, cases[i].want);
    EXPECT_STREQ(ctx.fault.pointer, "/x");
    arena_free(ctx.arena);
}

TEST(a_value_with_too_many_digits_is_said_to_be_so)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    EXPECT_STREQ(computed(&ctx, STR("999999999999999*999999999999999*999999999999999")).ptr,
                 "too large");
    EXPECT_STREQ(computed(&ctx, STR("999999999999999*999999999999999/999999999999999")).ptr,
                 "999999999999999");
    EXPECT_STREQ(computed(&ctx, STR("1/999999999999999/999999999999999/999999999999997")).ptr,
                 "too large");
    arena_free(ctx.arena);
}

/* As deep as the bytes allow. */
TEST(brackets_of_any_depth_are_closed_again)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    Buf text = BUF_MAX(FORMULA_BYTES_MAX + 1);
    for (int i = 0; i < FORMULA_BYTES_MAX / 2 - 1; i++)
        buf_add_char(&text, '(');
    buf_add_char(&text, 'A');
    for (int i = 0; i < FORMULA_BYTES_MAX / 2 - 1; i++)
        buf_add_char(&text, ')');
    EXPECT_STREQ(computed(&ctx, buf_str(&text)).ptr, "7");
    buf_clear(&text);
    for (int i = 0; i < FORMULA_BYTES_MAX - 1; i++)
        buf_add_char(&text, '-');
    buf_add_char(&text, 'A');
    EXPECT_STREQ(computed(&ctx, buf_str(&text)).ptr, "-7");
    buf_add_char(&text, ' ');
    EXPECT_STREQ(computed(&ctx, buf_str(&text)).ptr, "query.formula: at most 256 bytes");
    buf_free(&text);
    arena_free(ctx.arena);
}
