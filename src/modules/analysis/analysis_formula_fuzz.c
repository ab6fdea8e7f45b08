/*
 * modules/analysis/analysis_formula_fuzz.c -- any text as a formula over any series.  What is understood has the same
 * value in brackets, and the other sign behind a minus; what its value is printed as is a decimal.
 */
#include "modules/analysis/analysis_formula.h"

enum { LETTERS = 3 };

static bool value_of(Ctx *ctx, Str text, const Fraction *letters, Fraction *out, bool *fits)
{
    Formula f;
    if (formula_parse(ctx, text, LETTERS, "/trend/formula", &f) != ERR_OK)
        return false;
    *fits = formula_value(&f, letters, out);
    return true;
}

static void check_decimal(Ctx *ctx, Fraction value)
{
    Str text;
    if (!fraction_text(ctx, value, &text))
        return;
    CHECK((text.len == 0) == (value.under == 0));
    for (size_t i = 0; i < text.len; i++)
        CHECK((text.ptr[i] >= '0' && text.ptr[i] <= '9') || text.ptr[i] == '.' ||
              (text.ptr[i] == '-' && i == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Arena *arena;
    if (arena == NULL)
        arena = arena_new(1 << 14);
    Ctx ctx = {.arena = arena};
    Fraction letters[LETTERS], value, again;
    bool fits = false, fits_again = false;
    if (size < LETTERS)
        return 0;
    for (int i = 0; i < LETTERS; i++)
        letters[i] = (Fraction){(int8_t)data[i] * (FormulaInt)1000003, data[i] % 7};
    const Str text = {(const char *)data + LETTERS, size - LETTERS};
    if (value_of(&ctx, text, letters, &value, &fits) && text.len < FORMULA_BYTES_MAX - 3) {
        const Str turned = arena_printf(arena, "-(%.*s)", STR_ARG(text));
        CHECK(value_of(&ctx, turned, letters, &again, &fits_again) && fits == fits_again);
        CHECK(!fits || (value.over == -again.over && value.under == again.under));
        if (fits)
            check_decimal(&ctx, value);
    }
    arena_reset(arena);
    return 0;
}
