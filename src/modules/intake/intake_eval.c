/*
 * modules/intake/intake_eval.c -- pick, trim, remove, look up, parse: the steps of intake_eval.h in
 * this order.
 */
#include "modules/intake/intake_eval.h"

#include "base/money.h"

enum {
    DIGITS_MAX = 40,
    NUMBER_DIGITS_MAX = 18,
    NOISE_PLACES = 4, /* behind the minor unit; all 0 or all 9 */
};

/* Significant digits d and where the point stands: 0.ddd * 10^point. */
typedef struct Decimal {
    bool negative;
    int digit[DIGITS_MAX];
    int64_t digits;
    int64_t point;
} Decimal;

/* "-3.8600000000000003", "4.440892e-16". */
static bool decimal_parse(Str s, Decimal *d)
{
    *d = (Decimal){0};
    size_t i = 0;
    d->negative = s.len > 0 && s.ptr[0] == '-';
    i += d->negative || (s.len > 0 && s.ptr[0] == '+');
    bool any = false, dot = false;
    for (; i < s.len && ((s.ptr[i] >= '0' && s.ptr[i] <= '9') || (s.ptr[i] == '.' && !dot)); i++) {
        if (s.ptr[i] == '.') {
            dot = true;
            continue;
        }
        any = true;
        const int v = s.ptr[i] - '0';
        const bool leading_zero = d->digits == 0 && v == 0;
        if (!leading_zero && d->digits == DIGITS_MAX)
            return false;
        if (!leading_zero)
            d->digit[d->digits++] = v;
        d->point += dot ? -(int64_t)leading_zero : (int64_t)!leading_zero;
    }
    int64_t power = 0;
    if (i < s.len && (s.ptr[i] == 'e' || s.ptr[i] == 'E')) {
        const size_t plus = i + 1 < s.len && s.ptr[i + 1] == '+';
        if (!str_to_i64(str_slice(s, i + 1 + plus, s.len), &power) || power < -400 || power > 400)
            return false;
        i = s.len;
    }
    d->point += power;
    return any && i == s.len;
}

/* Digit at decimal place `place` of 0.ddd..., 0 outside. */
static int digit_at(const Decimal *d, int64_t place)
{
    return place >= 0 && place < d->digits ? d->digit[place] : 0;
}

static bool decimal_to_fen(const Decimal *d, int exponent, int64_t *out_fen)
{
    const int64_t cut = d->point + exponent; /* digits before it are whole minor units */
    if (d->digits > 0 && cut > 16)
        return false;
    int64_t fen = 0;
    for (int64_t i = 0; i < cut; i++)
        fen = fen * 10 + digit_at(d, i);
    bool zeros = true, nines = true;
    for (int64_t i = cut; i < cut + NOISE_PLACES; i++) {
        zeros = zeros && digit_at(d, i) == 0;
        nines = nines && digit_at(d, i) == 9;
    }
    fen += nines;
    if ((!zeros && !nines) || !money_in_range(fen))
        return false;
    *out_fen = d->negative ? -fen : fen;
    return true;
}

bool intake_money_parse(Str text, int exponent, bool accept_noise, int64_t *out_fen, bool *noise)
{
    Money m = {0};
    if (money_parse(text, exponent, &m)) {
        *out_fen = m.fen;
        return true;
    }
    Decimal d;
    if (!accept_noise || !decimal_parse(text, &d) || !decimal_to_fen(&d, exponent, out_fen))
        return false;
    *noise = true;
    return true;
}

static Str concat(Arena *arena, const IntakeExpr *e, IntakeSlots slots, const Str *cell)
{
    size_t bytes = 0;
    for (size_t i = 0; i < slots.count; i++)
        bytes += cell[slots.slot[i]].len + e->with.len;
    char *p = arena_bytes(arena, bytes + 1);
    size_t len = 0;
    for (size_t i = 0; i < slots.count; i++) {
        const Str c = e->keep_blanks ? cell[slots.slot[i]] : str_trim(cell[slots.slot[i]]);
        if (c.len == 0)
            continue;
        if (len > 0 && e->with.len > 0)
            memcpy(p + len, e->with.ptr, e->with.len);
        len += len > 0 ? e->with.len : 0;
        memcpy(p + len, c.ptr, c.len);
        len += c.len;
    }
    return (Str){p, len};
}

static Str pick(Arena *arena, const IntakeExpr *e, IntakeSlots slots, const Str *cell)
{
    if (e->constant.ptr != NULL)
        return e->constant;
    if (e->concat.count > 0)
        return concat(arena, e, slots, cell);
    return slots.count == 0 ? (Str){NULL, 0} : cell[slots.slot[0]];
}

/* `s` without any of the texts in `remove`. */
static Str without(Arena *arena, Str s, StrList remove)
{
    char *p = arena_bytes(arena, s.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < s.len;) {
        const Str rest = str_slice(s, i, s.len);
        size_t drop = 0;
        for (size_t r = 0; r < remove.count && drop == 0; r++)
            drop = str_starts_with(rest, remove.item[r]) ? remove.item[r].len : 0;
        if (drop == 0)
            p[len++] = s.ptr[i];
        i += drop == 0 ? 1 : drop;
    }
    return (Str){p, len};
}

static bool look_up(const IntakeExpr *e, Str *s)
{
    for (size_t i = 0; i < e->from.count; i++) {
        if (str_eq(e->from.item[i], *s)) {
            *s = e->to.item[i];
            return true;
        }
    }
    if (e->otherwise.ptr == NULL)
        return false;
    *s = e->otherwise;
    return true;
}

static IntakeWhy why(const char *reason, const char *sentence, Str value)
{
    return (IntakeWhy){reason, sentence, value};
}

static IntakeWhy parse_number(const IntakeExpr *e, Str s, int exponent, bool *noise,
                              IntakeValue *out)
{
    Money m = {0};
    if (e->type == INTAKE_MONEY) {
        if (!intake_money_parse(s, exponent, e->float_noise, &out->number, noise))
            return why("intake.not_money", "this is no amount in the map's currency", s);
        return why(NULL, NULL, s);
    }
    if (!money_parse(s, 0, &m)) /* "3" and "3.0", within the same bounds */
        return why("intake.not_a_number", "this is no whole number", s);
    out->number = m.fen;
    return why(NULL, NULL, s);
}

/* "-12.50" as 125 with one place: zeros at the end say nothing. */
static bool parse_decimal(Str s, IntakeValue *out)
{
    Decimal d;
    if (str_index(s, 'e', 0) >= 0 || str_index(s, 'E', 0) >= 0 || !decimal_parse(s, &d))
        return false;
    while (d.digits > 0 && d.digit[d.digits - 1] == 0)
        d.digits--;
    const int64_t places = d.digits > d.point ? d.digits - d.point : 0;
    const int64_t digits = d.digits > d.point ? d.digits : d.point;
    if (d.digits > 0 && (places > INTAKE_PLACES_MAX || digits > NUMBER_DIGITS_MAX))
        return false;
    int64_t n = 0;
    for (int64_t i = 0; d.digits > 0 && i < digits; i++)
        n = n * 10 + digit_at(&d, i);
    out->number = d.negative ? -n : n;
    out->places = d.digits > 0 ? (int)places : 0;
    return true;
}

static bool parse_boolean(Str s, IntakeValue *out)
{
    const bool yes = str_eq(s, STR("true")) || str_eq(s, STR("1"));
    out->number = yes;
    return yes || str_eq(s, STR("false")) || str_eq(s, STR("0"));
}

static IntakeWhy parse_typed(const IntakeExpr *e, Str s, int exponent, bool *noise,
                             IntakeValue *out)
{
    IntakeTime t = {0};
    out->present = true;
    out->text = s;
    switch (e->type) {
    case INTAKE_I64:
    case INTAKE_MONEY:
        return parse_number(e, s, exponent, noise, out);
    case INTAKE_TIME:
    case INTAKE_DATE:
        if (!intake_time_parse(s, e->parse, e->zone, &t))
            return why("intake.not_a_time", "this does not match the map's date pattern", s);
        out->number = e->type == INTAKE_TIME ? t.at_ms : t.day;
        return why(NULL, NULL, s);
    case INTAKE_NUMBER:
        if (!parse_decimal(s, out))
            return why("intake.not_a_number",
                       "this is no decimal of at most 9 places and 18 digits", s);
        return why(NULL, NULL, s);
    case INTAKE_BOOL:
        if (!parse_boolean(s, out))
            return why("intake.not_a_boolean", "this is none of true, false, 1 and 0", s);
        return why(NULL, NULL, s);
    case INTAKE_TEXT:
    case INTAKE_PHONE:
    case INTAKE_TYPE_COUNT:
        break;
    }
    return why(NULL, NULL, s);
}

IntakeWhy intake_eval(Arena *arena, const IntakeExpr *e, IntakeSlots slots, const Str *cell,
                      int exponent, bool *noise, IntakeValue *out)
{
    *out = (IntakeValue){0};
    Str s = pick(arena, e, slots, cell);
    if (!e->keep_blanks)
        s = str_trim(s);
    if (e->remove.count > 0)
        s = without(arena, s, e->remove);
    if (s.len > 0 && e->from.count > 0 && !look_up(e, &s))
        return why("intake.value_unknown", "the map's value table does not have this value", s);
    if (s.len == 0 && e->fallback.ptr != NULL)
        s = e->fallback;
    if (s.len == 0 && e->required)
        return why("intake.required", "this must not be empty", s);
    if (s.len == 0)
        return why(NULL, NULL, s);
    return parse_typed(e, arena_copy(arena, s), exponent, noise, out);
}

/* Sum of the cells at slots[from, from + count). */
static bool sum(IntakeSlots slots, size_t from, size_t count, const Str *cell, int exponent,
                int64_t *out_fen)
{
    int64_t total = 0;
    for (size_t i = from; i < from + count; i++) {
        const Str s = str_trim(cell[slots.slot[i]]);
        int64_t fen = 0;
        bool noise = false;
        if (s.len > 0 && !intake_money_parse(s, exponent, true, &fen, &noise))
            return false;
        total += fen; /* at most 512 columns of 10^15 */
    }
    *out_fen = total;
    return true;
}

bool intake_condition_holds(const IntakeCondition *c, IntakeSlots slots, const Str *cell,
                            int exponent)
{
    int64_t left = 0, right = 0;
    if (c->sum.count > 0)
        return sum(slots, 0, c->sum.count, cell, exponent, &left) &&
               sum(slots, c->sum.count, c->exceeds.count, cell, exponent, &right) && left > right;
    const Str s = str_trim(cell[slots.slot[0]]);
    if (c->empty.ptr != NULL)
        return (s.len == 0) == str_eq(c->empty, STR("true"));
    for (size_t i = 0; i < c->in.count; i++)
        if (str_eq(c->in.item[i], s))
            return true;
    return false;
}
