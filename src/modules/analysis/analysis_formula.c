/*
 * modules/analysis/analysis_formula.c -- the parser keeps what waits for its right side on a stack of its own.
 */
#include "modules/analysis/analysis_formula.h"

static const Fraction NO_VALUE = {0, 0};

/* ---- fractions ----------------------------------------------------------------------------------- */

static FormulaInt common_divisor(FormulaInt a, FormulaInt b)
{
    a = a < 0 ? -a : a;
    while (b != 0) {
        const FormulaInt rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Far enough from the end of the numbers that its sign can be turned. */
static bool fits(FormulaInt v)
{
    const FormulaInt most = (FormulaInt)1 << 126;
    return v < most && v > -most;
}

static bool times(FormulaInt a, FormulaInt b, FormulaInt *out)
{
    return !__builtin_mul_overflow(a, b, out) && fits(*out);
}

/* Divisors that both sides share are taken out first, so that what fits in the end fits on the way. */
static bool multiply(Fraction a, Fraction b, Fraction *out)
{
    const FormulaInt x = common_divisor(a.over, b.under), y = common_divisor(b.over, a.under);
    return times(a.over / x, b.over / y, &out->over) &&
           times(a.under / y, b.under / x, &out->under);
}

static bool divide(Fraction a, Fraction b, Fraction *out)
{
    if (b.over == 0) {
        *out = NO_VALUE;
        return true;
    }
    if (b.over < 0)
        return multiply(a, (Fraction){-b.under, -b.over}, out);
    return multiply(a, (Fraction){b.under, b.over}, out);
}

static bool add(Fraction a, Fraction b, Fraction *out)
{
    const FormulaInt shared = common_divisor(a.under, b.under);
    FormulaInt left, right, over, under;
    if (!times(a.over, b.under / shared, &left) || !times(b.over, a.under / shared, &right) ||
        __builtin_add_overflow(left, right, &over) || !fits(over) ||
        !times(a.under, b.under / shared, &under))
        return false;
    const FormulaInt divisor = common_divisor(over, under);
    *out = (Fraction){over / divisor, under / divisor};
    return true;
}

static bool compute(char op, Fraction a, Fraction b, Fraction *out)
{
    if (a.under == 0 || b.under == 0) {
        *out = NO_VALUE;
        return true;
    }
    switch (op) {
    case '+':
        return add(a, b, out);
    case '-':
        return add(a, (Fraction){-b.over, b.under}, out);
    case '*':
        return multiply(a, b, out);
    default:
        return divide(a, b, out);
    }
}

bool formula_value(const Formula *f, const Fraction *letters, Fraction *out)
{
    Fraction stack[FORMULA_BYTES_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        const FormulaItem *item = &f->items[i];
        if (item->kind == '#' || item->kind == 'A') {
            stack[n++] = item->kind == '#' ? item->number : letters[item->letter];
        } else if (item->kind == '~') {
            stack[n - 1].over = -stack[n - 1].over;
        } else {
            n--;
            if (!compute(item->kind, stack[n - 1], stack[n], &stack[n - 1]))
                return false;
        }
    }
    *out = stack[0];
    return true;
}

bool fraction_text(Ctx *ctx, Fraction f, Str *out)
{
    enum { UNIT = 1000000 };
    *out = STR("");
    if (f.under == 0)
        return true;
    const bool negative = f.over < 0;
    const FormulaInt over = negative ? -f.over : f.over;
    FormulaInt rest, whole = over / f.under;
    if (!times(over % f.under, 2 * UNIT, &rest))
        return false;
    int64_t part = (int64_t)((rest / f.under + 1) / 2); /* a half goes up */
    whole += part / UNIT;
    part %= UNIT;
    char digits[64];
    size_t at = sizeof digits;
    for (int place = 0, zeros = 1; place < FORMULA_PLACES; place++, part /= 10) {
        zeros = zeros && part % 10 == 0;
        if (!zeros)
            digits[--at] = (char)('0' + part % 10);
    }
    const bool is_zero = whole == 0 && at == sizeof digits;
    if (at < sizeof digits)
        digits[--at] = '.';
    do {
        digits[--at] = (char)('0' + (int)(whole % 10));
        whole /= 10;
    } while (whole > 0);
    if (negative && !is_zero)
        digits[--at] = '-';
    *out = arena_copy(ctx->arena, (Str){digits + at, sizeof digits - at});
    return true;
}

/* ---- parsing ------------------------------------------------------------------------------------- */

typedef struct Parser {
    Ctx *ctx;
    const char *pointer;
    Str text;
    size_t at;
    uint32_t letters;
    FormulaItem *items;
    uint32_t count;
    char waiting[FORMULA_BYTES_MAX];  /* operators and opened brackets */
    size_t opened[FORMULA_BYTES_MAX]; /* where they stand */
    uint32_t waiting_count;
} Parser;

static Err blame(const Parser *p, size_t at, const char *what)
{
    return fail_field(p->ctx, p->pointer, "query.formula", "at character %zu: %s", at + 1, what);
}

static void skip_spaces(Parser *p)
{
    while (p->at < p->text.len && p->text.ptr[p->at] == ' ')
        p->at++;
}

/* What stands there; 0 at the end. */
static char peek(const Parser *p)
{
    return p->at < p->text.len ? p->text.ptr[p->at] : 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int rank_of(char op)
{
    return op == '~' ? 3 : op == '*' || op == '/' ? 2 : op == '(' ? 0 : 1;
}

static void put(Parser *p, FormulaItem item)
{
    p->items[p->count++] = item;
}

static void wait_for(Parser *p, char op)
{
    p->opened[p->waiting_count] = p->at;
    p->waiting[p->waiting_count++] = op;
}

/* What binds at least as much as `rank` has its right side now. */
static void settle(Parser *p, int rank)
{
    while (p->waiting_count > 0 && rank_of(p->waiting[p->waiting_count - 1]) >= rank)
        put(p, (FormulaItem){.kind = p->waiting[--p->waiting_count]});
}

static Err read_number(Parser *p)
{
    enum { DIGITS_MAX = 15 };
    const size_t from = p->at;
    int64_t digits = 0, under = 1;
    int count = 0, places = -1;
    for (; is_digit(peek(p)) || (peek(p) == '.' && places < 0); p->at++) {
        if (peek(p) == '.') {
            places = 0;
            continue;
        }
        digits = digits * 10 + (peek(p) - '0');
        under *= places >= 0 ? 10 : 1;
        places += places >= 0;
        if (++count > DIGITS_MAX || places > FORMULA_PLACES)
            return blame(p, from, "a number has at most 15 digits, 6 of them decimals");
    }
    if (places == 0)
        return blame(p, p->at, "a digit must follow the point");
    put(p, (FormulaItem){.kind = '#', .number = {digits, under}});
    return ERR_OK;
}

static Err read_letter(Parser *p)
{
    const char c = peek(p);
    const uint32_t letter = (uint32_t)(c - 'A');
    if (letter >= p->letters)
        return blame(p, p->at,
                     arena_printf(p->ctx->arena, "there is no series %c, only A to %c", c,
                                  (char)('A' + p->letters - 1))
                         .ptr);
    put(p, (FormulaItem){.kind = 'A', .letter = (uint8_t)letter});
    p->at++;
    return ERR_OK;
}

/* Up to the end of one operand: signs, opened brackets, then a number or a letter. */
static Err read_operand(Parser *p)
{
    skip_spaces(p);
    while (peek(p) == '-' || peek(p) == '(') {
        wait_for(p, peek(p) == '-' ? '~' : '(');
        p->at++;
        skip_spaces(p);
    }
    const char c = peek(p);
    if (is_digit(c))
        return read_number(p);
    if (c >= 'A' && c <= 'Z')
        return read_letter(p);
    return blame(p, p->at, "a letter, a number or ( must stand here");
}

/* Closing brackets, then an operator, or the end: *more false. */
static Err read_operator(Parser *p, bool *more)
{
    for (skip_spaces(p); peek(p) == ')'; p->at++, skip_spaces(p)) {
        settle(p, 1);
        if (p->waiting_count == 0)
            return blame(p, p->at, "no bracket is open");
        p->waiting_count--;
    }
    const char c = peek(p);
    *more = c != 0 || p->at < p->text.len;
    if (!*more)
        return ERR_OK;
    if (c != '+' && c != '-' && c != '*' && c != '/')
        return blame(p, p->at, "one of + - * / must stand here");
    settle(p, rank_of(c));
    wait_for(p, c);
    p->at++;
    return ERR_OK;
}

Err formula_parse(Ctx *ctx, Str text, uint32_t letters, const char *pointer, Formula *out)
{
    if (text.len > FORMULA_BYTES_MAX)
        return fail_field(ctx, pointer, "query.formula", "at most %d bytes", FORMULA_BYTES_MAX);
    Parser *p = ARENA_NEW(ctx->arena, Parser);
    *p = (Parser){.ctx = ctx, .pointer = pointer, .text = text, .letters = letters};
    p->items = ARENA_ARRAY(ctx->arena, FormulaItem, text.len + 1);
    for (bool more = true; more;) {
        TRY(read_operand(p));
        TRY(read_operator(p, &more));
    }
    settle(p, 1);
    if (p->waiting_count > 0)
        return blame(p, p->opened[p->waiting_count - 1], "this bracket is not closed");
    *out = (Formula){p->items, p->count};
    return ERR_OK;
}
