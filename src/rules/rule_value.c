/*
 * rules/rule_value.c -- the values of facts: exact, compared without rounding.
 */
#include "base/hash.h"
#include "rules/rule_eval_internal.h"

static const int64_t POWERS[NUM_PLACES + 1] = {
    INT64_C(1),
    INT64_C(10),
    INT64_C(100),
    INT64_C(1000),
    INT64_C(10000),
    INT64_C(100000),
    INT64_C(1000000),
    INT64_C(10000000),
    INT64_C(100000000),
    INT64_C(1000000000),
    INT64_C(10000000000),
    INT64_C(100000000000),
    INT64_C(1000000000000),
    INT64_C(10000000000000),
    INT64_C(100000000000000),
    INT64_C(1000000000000000),
    INT64_C(10000000000000000),
    INT64_C(100000000000000000),
    INT64_C(1000000000000000000),
};
#define ONE POWERS[NUM_PLACES]

Found found_missing(void)
{
    return (Found){.type = RULE_TYPE_UNKNOWN};
}

/* coefficient * 10^-scale, 0 <= scale <= 18 */
static Num num_of(Wide coefficient, int scale)
{
    const int64_t unit = POWERS[scale];
    Wide whole = coefficient / unit, rest = coefficient % unit;
    if (rest < 0) {
        whole--;
        rest += unit;
    }
    return (Num){whole, (int64_t)rest * POWERS[NUM_PLACES - scale]};
}

static Found found_decimal(RuleType type, Wide coefficient, int scale)
{
    return (Found){.type = type, .num = num_of(coefficient, scale), .divisor = 1};
}

Found found_number(int64_t n)
{
    return found_decimal(RULE_TYPE_NUMBER, n, 0);
}

Found found_time(int64_t at_ms)
{
    return (Found){.type = RULE_TYPE_TIME, .i64 = at_ms};
}

void num_add(Num *sum, Num n)
{
    sum->whole += n.whole;
    sum->frac += n.frac; /* below 2 * 10^18 */
    if (sum->frac >= ONE) {
        sum->frac -= ONE;
        sum->whole++;
    }
}

int num_compare(Num a, Num b)
{
    if (a.whole != b.whole)
        return a.whole < b.whole ? -1 : 1;
    return (a.frac > b.frac) - (a.frac < b.frac);
}

/* n * by, for comparing an average with a number: by is a count of events, n came from 64 bits. */
static Num num_times(Num n, int64_t by)
{
    const Wide frac = (Wide)n.frac * by;
    return (Num){n.whole * by + frac / ONE, (int64_t)(frac % ONE)};
}

/* ---- from the facts -------------------------------------------------------------------------- */

static const RuleType TYPES[EVENT_TYPE_COUNT] = {
    [EVENT_NONE] = RULE_TYPE_UNKNOWN,  [EVENT_TEXT] = RULE_TYPE_TEXT,
    [EVENT_NUMBER] = RULE_TYPE_NUMBER, [EVENT_MONEY] = RULE_TYPE_MONEY,
    [EVENT_BOOL] = RULE_TYPE_BOOL,     [EVENT_TIME] = RULE_TYPE_TIME,
    [EVENT_TEXTS] = RULE_TYPE_TEXTS,   [EVENT_ITEMS] = RULE_TYPE_ITEMS,
};

static Found found_label(Str text, const RuleEnum *labels)
{
    for (uint32_t i = 0; i < labels->count; i++)
        if (str_eq(labels->labels[i], text))
            return (Found){.type = RULE_TYPE_ENUM, .i64 = i, .text = text};
    return found_missing();
}

static Found found_as_is(const EventProp *p)
{
    const RuleType type = TYPES[p->type];
    if (type == RULE_TYPE_NUMBER)
        return found_decimal(type, p->i64, p->scale);
    if (type == RULE_TYPE_MONEY)
        return found_decimal(type, p->i64, 0);
    return (Found){.type = type, .i64 = p->i64, .text = p->text, .at = p};
}

Found found_of_prop(const EventProp *p, const RuleNode *n, bool any_type)
{
    if (p == NULL || p->type == EVENT_NONE)
        return found_missing();
    if (any_type)
        return found_as_is(p);
    if (n->type == RULE_TYPE_ENUM)
        return p->type == EVENT_TEXT ? found_label(p->text, n->labels) : found_missing();
    if (n->type != RULE_TYPE_UNKNOWN && n->type != TYPES[p->type])
        return found_missing();
    return found_as_is(p);
}

/* Linear: an event has a dozen properties. */
const EventProp *found_prop(const EventProp *props, uint32_t count, Str name)
{
    for (uint32_t i = 0; i < count; i++)
        if (str_eq(props[i].name, name))
            return &props[i];
    return NULL;
}

/* ---- products -------------------------------------------------------------------------------- */

/* Back to coefficient and scale; what came from an EventProp fits. */
static Wide coefficient_of(Num n, int *scale)
{
    int64_t frac = n.frac;
    *scale = frac == 0 ? 0 : NUM_PLACES;
    while (*scale > 0 && frac % 10 == 0) {
        frac /= 10;
        --*scale;
    }
    return n.whole * POWERS[*scale] + frac;
}

/* A product is a number like any other, 64 bits and 18 places, or it is missing. */
Found found_product(Found a, Found b, RuleType type)
{
    const bool amount_a = a.type == RULE_TYPE_MONEY, amount_b = b.type == RULE_TYPE_MONEY;
    const bool number_a = a.type == RULE_TYPE_NUMBER, number_b = b.type == RULE_TYPE_NUMBER;
    if (!(number_a || amount_a) || !(number_b || amount_b) || (amount_a && amount_b))
        return found_missing();
    const RuleType made = amount_a || amount_b ? RULE_TYPE_MONEY : RULE_TYPE_NUMBER;
    if (type != RULE_TYPE_UNKNOWN && type != made)
        return found_missing();
    int scale_a = 0, scale_b = 0;
    Wide product = coefficient_of(a.num, &scale_a) * coefficient_of(b.num, &scale_b);
    int scale = scale_a + scale_b;
    while (scale > 0 && product % 10 == 0) {
        product /= 10;
        scale--;
    }
    if (scale > NUM_PLACES || product > INT64_MAX || product < INT64_MIN)
        return found_missing();
    return found_decimal(made, product, scale);
}

/* ---- comparing ------------------------------------------------------------------------------- */

static int compare_i64(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int compare_time(int64_t at_ms, const RuleValue *v)
{
    return at_ms < v->i64 ? -1 : at_ms >= v->end_ms ? 1 : 0;
}

int found_compare(const Found *f, const RuleValue *v)
{
    switch ((int)f->type) {
    case RULE_TYPE_NUMBER:
        return num_compare(f->num, num_times(num_of(v->i64, v->scale), f->divisor));
    case RULE_TYPE_MONEY:
        return num_compare(f->num, num_times(num_of(v->i64, 0), f->divisor));
    case RULE_TYPE_TEXT:
        return str_compare(f->text, v->text);
    case RULE_TYPE_TIME:
        return compare_time(f->i64, v);
    default:
        return compare_i64(f->i64, v->i64);
    }
}

bool found_same(const Found *a, const Found *b)
{
    if (a->type != b->type)
        return false;
    if (a->type == RULE_TYPE_NUMBER || a->type == RULE_TYPE_MONEY)
        return num_compare(a->num, b->num) == 0;
    if (a->type == RULE_TYPE_TEXT || a->type == RULE_TYPE_ENUM)
        return str_eq(a->text, b->text);
    return a->i64 == b->i64;
}

uint64_t found_hash(const Found *f, uint64_t seed)
{
    seed += f->type;
    if (f->type == RULE_TYPE_NUMBER || f->type == RULE_TYPE_MONEY)
        return hash_u64((uint64_t)f->num.whole, hash_u64((uint64_t)f->num.frac, seed));
    if (f->type == RULE_TYPE_TEXT || f->type == RULE_TYPE_ENUM)
        return hash_bytes(f->text, seed);
    return hash_u64((uint64_t)f->i64, seed);
}
