/*
 * engine/scan/filter.c
 */
#include "engine/scan/filter.h"

#include "engine/core/bits.h"
#include "engine/core/kernels.h"
#include "engine/scan/changes.h"
#include "engine/scan/items.h"

#include <stdlib.h>

static void free_rows(FilterScratch *s)
{
    free(s->wide);
    free(s->narrow);
    free(s->times);
    free(s->sets);
    free(s->mask);
}

void filter_scratch_reserve(FilterScratch *s, uint32_t rows)
{
    if (rows <= s->rows)
        return;
    free_rows(s);
    s->rows = rows + rows / 2;
    const size_t n = (size_t)s->rows + KERNEL_SLACK;
    s->wide = malloc(n * sizeof *s->wide);
    s->narrow = malloc(n * sizeof *s->narrow);
    s->times = malloc(n * sizeof *s->times);
    s->sets = malloc((size_t)kernel_words(s->rows) * sizeof *s->sets * (FILTER_DEPTH_MAX + 2));
    s->mask = malloc(n);
    CHECK(s->wide != NULL && s->narrow != NULL && s->times != NULL && s->sets != NULL &&
          s->mask != NULL);
}

void filter_scratch_free(FilterScratch *s)
{
    free_rows(s);
    items_scratch_free(s->items);
    free(s->codes);
    *s = (FilterScratch){0};
}

/* ---- reading columns -------------------------------------------------------------------------- */

static bool touch_rows(const FilterRows *r, const PartColumn *c)
{
    const uint64_t from = (uint64_t)r->first * c->width / 8;
    const uint64_t to = ((uint64_t)(r->first + r->count) * c->width + 7) / 8;
    return part_touch(r->part, c->at + from, to - from);
}

/* False: the rows, which were touched, are not the file's any more. */
MUST_USE static bool read_narrow(const FilterRows *r, const PartColumn *c, uint32_t *out)
{
    kernels()->unpack32(r->part->data + c->at, r->first, r->count, c->width, out);
    return part_was_whole(r->part);
}

MUST_USE static bool read_wide(const FilterRows *r, const PartColumn *c, uint64_t *out)
{
    bits_unpack64(r->part->data + c->at, r->first, r->count, c->width, out);
    return part_was_whole(r->part);
}

bool filter_codes(const FilterRows *r, const PartColumn *c, uint32_t *out)
{
    return touch_rows(r, c) && read_narrow(r, c, out);
}

bool filter_stored(const FilterRows *r, const PartColumn *c, uint32_t *out)
{
    return touch_rows(r, c) && read_narrow(r, c, out);
}

bool filter_values(const FilterRows *r, const PartColumn *c, int64_t missing, FilterScratch *s,
                   int64_t *out)
{
    if (!touch_rows(r, c))
        return false;
    const bool is_code = c->kind == PART_CODES, nullable = is_code || c->nullable;
    const uint64_t base = is_code ? 0 : (uint64_t)c->base - c->nullable;
    if (c->width > 32) {
        if (!read_wide(r, c, s->wide))
            return false;
        for (uint32_t i = 0; i < r->count; i++)
            out[i] = nullable && s->wide[i] == 0 ? missing : (int64_t)(s->wide[i] + base);
        return true;
    }
    if (!read_narrow(r, c, s->narrow))
        return false;
    kernels()->numbers(s->narrow, r->count, base, nullable, missing, out);
    return true;
}

/* ---- leaves ----------------------------------------------------------------------------------- */

/* Leaves say nothing of the bits behind the rows. */
static void fill(uint64_t *set, uint32_t n, bool value)
{
    memset(set, value ? 0xFF : 0, kernel_words(n) * sizeof *set);
}

/* The rows whose byte is 1; the others' are 0, and those behind the rows anything.  Eight bytes at once: the factor
 * brings their lowest bits together. */
static void pack(const uint8_t *mask, uint32_t n, uint64_t *set)
{
    memset(set, 0, kernel_words(n) * sizeof *set);
    for (uint32_t i = 0; i < n; i += 8) {
        uint64_t eight;
        memcpy(&eight, mask + i, sizeof eight);
        eight &= UINT64_C(0x0101010101010101);
        set[i / 64] |= eight * UINT64_C(0x0102040810204080) >> 56 << (i & 63);
    }
}

static bool code_is_in(const Filter *f, uint32_t code)
{
    const uint32_t at = code - f->first_code; /* of codes below: very large */
    return at < f->code_count && f->codes[at] != 0;
}

static bool is_same_code(const PartColumn *c)
{
    return c == NULL || c->kind != PART_CODES || c->width == 0;
}

/* Of all rows of a list, where it is the same. */
static uint32_t same_code(const Filter *f, const PartColumn *c, uint32_t event)
{
    return f->prop == PROP_EVENT && c == NULL ? event : 0;
}

static bool codes_leaf(const Filter *f, const FilterRows *r, FilterScratch *s, uint64_t *set)
{
    const PartColumn *c = part_find_column(r->part, r->list, f->prop);
    if (is_same_code(c)) {
        fill(set, r->count, code_is_in(f, same_code(f, c, r->list->event)));
        return true;
    }
    if (!touch_rows(r, c))
        return false;
    if (c->width <= 8) {
        uint8_t table[256 + 4] = {0};
        for (uint32_t code = 0; code < UINT32_C(1) << c->width; code++)
            table[code] = code_is_in(f, code);
        kernels()->in_table(r->part->data + c->at, r->first, r->count, c->width, table, set);
        return part_was_whole(r->part);
    }
    if (!read_narrow(r, c, s->narrow))
        return false;
    if (f->code_count == 1 && f->codes[0] != 0) {
        kernels()->in_range(s->narrow, r->count, UINT32_MAX, f->first_code, 0, set);
        return true;
    }
    /* Codes of this column stay below 1 << width: when all of those are known, no row needs the check. */
    const bool all_known =
        f->first_code == 0 && c->width < 32 && UINT32_C(1) << c->width <= f->code_count;
    for (uint32_t i = 0; all_known && i < r->count; i++)
        s->mask[i] = f->codes[s->narrow[i]];
    for (uint32_t i = 0; !all_known && i < r->count; i++)
        s->mask[i] = code_is_in(f, s->narrow[i]);
    pack(s->mask, r->count, set);
    return true;
}

/* Stored values [low, high] that mean numbers in [f->min, f->max]; false = there are none. */
typedef struct StoredRange {
    uint64_t low, high;
} StoredRange;

static FilterWide power10(int n)
{
    FilterWide p = 1;
    while (n-- > 0)
        p *= 10;
    return p;
}

static FilterWide floor_div(FilterWide a, FilterWide b)
{
    return a / b - (a % b != 0 && a < 0);
}

static bool stored_range(const Filter *f, const PartColumn *c, StoredRange *out)
{
    FilterWide min = f->min, max = f->max;
    if (c->scale >= f->scale) {
        min *= power10(c->scale - f->scale);
        max *= power10(c->scale - f->scale);
    } else {
        const FilterWide by = power10(f->scale - c->scale);
        min = -floor_div(-min, by); /* upwards */
        max = floor_div(max, by);
    }
    const uint64_t top = c->width == 64 ? UINT64_MAX : (UINT64_C(1) << c->width) - 1;
    const FilterWide low = min - c->base + c->nullable, high = max - c->base + c->nullable;
    if (high < low || high < c->nullable || low > (FilterWide)top)
        return false;
    out->low = low < c->nullable ? c->nullable : (uint64_t)low;
    out->high = high > (FilterWide)top ? top : (uint64_t)high;
    return out->low <= out->high; /* not so where no row has a value */
}

static bool range_leaf(const Filter *f, const FilterRows *r, FilterScratch *s, uint64_t *set)
{
    const PartColumn *c = part_find_column(r->part, r->list, f->prop);
    if (c == NULL || c->kind != PART_NUMBERS) {
        fill(set, r->count, f->missing);
        return true;
    }
    if (!touch_rows(r, c))
        return false;
    StoredRange range = {.low = 1, .high = 0};
    const bool any = stored_range(f, c, &range), missing = c->nullable && f->missing;
    if (c->width > 32) {
        if (!read_wide(r, c, s->wide))
            return false;
        for (uint32_t i = 0; i < r->count; i++)
            s->mask[i] = (uint8_t)((any & (s->wide[i] >= range.low) & (s->wide[i] <= range.high)) |
                                   (missing & (s->wide[i] == 0)));
        pack(s->mask, r->count, set);
        return true;
    }
    if (!read_narrow(r, c, s->narrow))
        return false;
    if (any)
        kernels()->in_range(s->narrow, r->count, UINT32_MAX, (uint32_t)range.low,
                            (uint32_t)(range.high - range.low), set);
    else
        fill(set, r->count, false);
    if (missing) {
        uint64_t *const none = s->sets + (size_t)FILTER_DEPTH_MAX * kernel_words(s->rows);
        kernels()->in_range(s->narrow, r->count, UINT32_MAX, 0, 0, none);
        for (uint32_t i = 0; i < kernel_words(r->count); i++)
            set[i] |= none[i];
    }
    return true;
}

static bool time_leaf(const Filter *f, const FilterRows *r, FilterScratch *s, uint64_t *set)
{
    const int64_t week_ms = r->part->head->week_ms;
    const PartColumn *c = part_find_column(r->part, r->list, PROP_MS);
    const bool whole = c == NULL || (c->width == 0 && c->base == 0);
    if (!whole && !filter_values(r, c, 0, s, s->times))
        return false;
    for (uint32_t i = 0; i < r->count; i++) {
        const int64_t second = r->keys[i] & PART_SECOND_MASK;
        const int64_t at = week_ms + second * 1000 + (whole ? 0 : s->times[i]);
        s->mask[i] = (uint8_t)((at >= f->min) & (at <= f->max));
    }
    pack(s->mask, r->count, set);
    return true;
}

/* Exact at once when it fits; else the zeros behind the point must go before one can say. */
FilterWide filter_product(int64_t a, int64_t b, int scale)
{
    const FilterWide product = (FilterWide)a * b;
    FilterWide shortest = product;
    while (scale-- > 0 && (shortest > INT64_MAX || shortest < INT64_MIN) && shortest % 10 == 0)
        shortest /= 10;
    return shortest > INT64_MAX || shortest < INT64_MIN ? FILTER_NO_NUMBER : product;
}

static FilterWide product_of(int64_t a, int64_t b, int scale, FilterWide unit)
{
    const FilterWide product = filter_product(a, b, scale);
    return product == FILTER_NO_NUMBER ? product : product * unit;
}

bool filter_numbers(const Filter *f, const FilterRows *r, FilterScratch *s, int64_t *values,
                    FilterWide *out)
{
    const uint32_t first = f->kind == FILTER_ITEMS_SUM ? f->number : f->prop;
    const PartColumn *a = part_find_column(r->part, r->list, first);
    const PartColumn *b =
        f->times == PROP_NONE ? NULL : part_find_column(r->part, r->list, f->times);
    const bool is_product = f->times != PROP_NONE;
    for (uint32_t i = 0; i < r->count; i++)
        out[i] = FILTER_NO_NUMBER;
    if (a == NULL || a->kind != PART_NUMBERS ||
        (is_product && (b == NULL || b->kind != PART_NUMBERS)))
        return true;
    const int scale = a->scale + (is_product ? b->scale : 0);
    if (!filter_values(r, a, PART_MISSING, s, values) || scale > f->scale)
        return false;
    const FilterWide unit = power10(f->scale - scale);
    for (uint32_t i = 0; i < r->count; i++)
        if (values[i] != PART_MISSING)
            out[i] = is_product ? values[i] : values[i] * unit;
    if (!is_product)
        return true;
    if (!filter_values(r, b, PART_MISSING, s, values))
        return false;
    for (uint32_t i = 0; i < r->count; i++)
        if (out[i] != FILTER_NO_NUMBER)
            out[i] = values[i] == PART_MISSING
                         ? FILTER_NO_NUMBER
                         : product_of((int64_t)out[i], values[i], scale, unit);
    return true;
}

enum { PRODUCTS = 1024 }; /* that are looked at together */

static bool product_leaf(const Filter *f, const FilterRows *r, FilterScratch *s, uint64_t *set)
{
    FilterWide numbers[PRODUCTS];
    for (uint32_t done = 0; done < r->count; done += PRODUCTS) {
        FilterRows some = *r;
        some.first += done;
        some.count = r->count - done < PRODUCTS ? r->count - done : PRODUCTS;
        if (!filter_numbers(f, &some, s, s->times, numbers))
            return false;
        for (uint32_t i = 0; i < some.count; i++)
            s->mask[done + i] =
                (numbers[i] != FILTER_NO_NUMBER) & (numbers[i] >= f->low) & (numbers[i] <= f->high);
    }
    pack(s->mask, r->count, set);
    return true;
}

static void persons_leaf(const Filter *f, const FilterRows *r, FilterScratch *s, uint64_t *set)
{
    const uint32_t base = r->block << PART_BLOCK_BITS;
    for (uint32_t i = 0; i < r->count; i++) {
        const uint32_t person = base + (r->keys[i] >> PART_SECOND_BITS);
        s->mask[i] =
            person < f->person_count && (f->persons[person / 64] >> (person & 63) & 1) != 0;
    }
    pack(s->mask, r->count, set);
}

static bool changes_leaf(const Filter *f, const FilterRows *r, FilterScratch *s, uint64_t *set)
{
    if (!changes_at(f->changes, r, s, s->times))
        return false;
    for (uint32_t i = 0; i < r->count; i++)
        s->mask[i] = s->times[i] != 0;
    pack(s->mask, r->count, set);
    return true;
}

static bool leaf(const Filter *f, const FilterRows *r, FilterScratch *s, uint64_t *set)
{
    switch (f->kind) {
    case FILTER_CODES:
        return codes_leaf(f, r, s, set);
    case FILTER_RANGE:
        return range_leaf(f, r, s, set);
    case FILTER_TIME:
        return time_leaf(f, r, s, set);
    case FILTER_PERSONS:
        persons_leaf(f, r, s, set);
        return true;
    case FILTER_CHANGES:
        return changes_leaf(f, r, s, set);
    case FILTER_PRODUCT:
        return product_leaf(f, r, s, set);
    case FILTER_ITEMS:
    case FILTER_ITEMS_ALL:
    case FILTER_ITEMS_SUM:
        if (!items_filter(f, r, s, s->mask))
            return false;
        pack(s->mask, r->count, set);
        return true;
    case FILTER_ALL:
    case FILTER_NONE:
    case FILTER_AND:
    case FILTER_OR:
    case FILTER_NOT:
        break;
    }
    fill(set, r->count, f->kind == FILTER_ALL);
    return true;
}

/* ---- trees ------------------------------------------------------------------------------------ */

static void combine(FilterKind kind, uint64_t *into, const uint64_t *set, uint32_t words)
{
    for (uint32_t i = 0; i < words; i++)
        into[i] = kind == FILTER_OR ? into[i] | set[i] : into[i] & set[i];
}

/* Recursion is bounded: whoever makes filters keeps to FILTER_DEPTH_MAX. */
static bool evaluate(const Filter *f, const FilterRows *r, FilterScratch *s, uint32_t depth,
                     uint64_t *set)
{
    CHECK(depth < FILTER_DEPTH_MAX);
    if (f->kind != FILTER_AND && f->kind != FILTER_OR && f->kind != FILTER_NOT)
        return leaf(f, r, s, set);
    const uint32_t words = kernel_words(r->count);
    uint64_t *const other = s->sets + (size_t)depth * kernel_words(s->rows);
    if (f->kind != FILTER_NOT)
        fill(set, r->count, f->kind == FILTER_AND);
    for (uint32_t a = 0; a < f->arg_count; a++) {
        if (!evaluate(f->args[a], r, s, depth + 1, f->kind == FILTER_NOT ? set : other))
            return false;
        if (f->kind != FILTER_NOT)
            combine(f->kind, set, other, words);
    }
    for (uint32_t i = 0; f->kind == FILTER_NOT && i < words; i++)
        set[i] = ~set[i];
    return true;
}

bool filter_set(const Filter *f, const FilterRows *rows, FilterScratch *s, uint64_t *out)
{
    filter_scratch_reserve(s, rows->count);
    if (!evaluate(f, rows, s, 0, out))
        return false;
    if (rows->count % 64 != 0)
        out[rows->count / 64] &= (UINT64_C(1) << rows->count % 64) - 1;
    return true;
}

/* Eight bytes of 0 or 1, of eight bits. */
static uint64_t spread(uint8_t bits)
{
    const uint64_t each = (bits * UINT64_C(0x0101010101010101)) & UINT64_C(0x8040201008040201);
    return (each + UINT64_C(0x7F7F7F7F7F7F7F7F)) >> 7 & UINT64_C(0x0101010101010101);
}

bool filter_rows(const Filter *f, const FilterRows *rows, FilterScratch *s, uint8_t *mask)
{
    filter_scratch_reserve(s, rows->count);
    uint64_t *const set = s->sets + (size_t)(FILTER_DEPTH_MAX + 1) * kernel_words(s->rows);
    if (!filter_set(f, rows, s, set))
        return false;
    for (uint32_t i = 0; i < rows->count; i += 8) {
        const uint64_t eight = spread((uint8_t)(set[i / 64] >> (i & 63)));
        memcpy(mask + i, &eight, rows->count - i < 8 ? rows->count - i : 8);
    }
    return true;
}

/* ---- of all rows of a list ---------------------------------------------------------------------- */

static FilterVerdict same_for_all(bool value)
{
    return value ? FILTER_OF_ALL : FILTER_OF_NONE;
}

static FilterVerdict verdict_of(bool any, bool all)
{
    return all ? FILTER_OF_ALL : any ? FILTER_OF_SOME : FILTER_OF_NONE;
}

/* Codes of a column go from 0 to its largest. */
static FilterVerdict codes_verdict(const Filter *f, const PartColumn *c, uint32_t event)
{
    if (is_same_code(c))
        return same_for_all(code_is_in(f, same_code(f, c, event)));
    const uint64_t end = (uint64_t)c->max + 1, known = (uint64_t)f->first_code + f->code_count;
    if (c->max < 0 || end <= f->first_code)
        return FILTER_OF_NONE;
    const size_t n = (end < known ? end : known) - f->first_code;
    return verdict_of(memchr(f->codes, 1, n) != NULL,
                      f->first_code == 0 && end <= known && memchr(f->codes, 0, n) == NULL);
}

/* Numbers of a column go from its base to its largest. */
static FilterVerdict range_verdict(const Filter *f, const PartColumn *c)
{
    if (c == NULL || c->kind != PART_NUMBERS)
        return same_for_all(f->missing);
    const FilterWide top = (FilterWide)c->max - c->base + c->nullable;
    StoredRange range;
    const bool any = stored_range(f, c, &range) && (FilterWide)range.low <= top;
    const bool missing = c->nullable && f->missing;
    return verdict_of(any || missing, any && range.low <= c->nullable &&
                                          (FilterWide)range.high >= top &&
                                          (!c->nullable || missing));
}

static FilterVerdict time_verdict(const Filter *f, const PartHead *h)
{
    return verdict_of(f->min <= h->max_ms && f->max >= h->min_ms,
                      f->min <= h->min_ms && f->max >= h->max_ms);
}

/* Of rows without such a list. */
static bool takes_no_items(const Filter *f)
{
    if (f->kind == FILTER_ITEMS)
        return f->min <= 0 && f->max >= 0;
    return f->kind == FILTER_ITEMS_SUM && f->low <= 0 && f->high >= 0;
}

static FilterVerdict tree_verdict(const Filter *f, const Part *part, const PartList *list)
{
    if (f->kind == FILTER_NOT)
        return FILTER_OF_ALL - filter_verdict(f->args[0], part, list);
    FilterVerdict all = f->kind == FILTER_AND ? FILTER_OF_ALL : FILTER_OF_NONE;
    for (uint32_t a = 0; a < f->arg_count; a++) {
        const FilterVerdict one = filter_verdict(f->args[a], part, list);
        if (f->kind == FILTER_AND ? one < all : one > all)
            all = one;
    }
    return all;
}

FilterVerdict filter_verdict(const Filter *f, const Part *part, const PartList *list)
{
    if (f == NULL)
        return FILTER_OF_ALL;
    const PartColumn *c = part_find_column(part, list, f->prop);
    switch (f->kind) {
    case FILTER_ALL:
    case FILTER_NONE:
        return same_for_all(f->kind == FILTER_ALL);
    case FILTER_AND:
    case FILTER_OR:
    case FILTER_NOT:
        return tree_verdict(f, part, list);
    case FILTER_CODES:
        return codes_verdict(f, c, list->event);
    case FILTER_RANGE:
        return range_verdict(f, c);
    case FILTER_TIME:
        return time_verdict(f, part->head);
    case FILTER_PRODUCT:
        return c == NULL ? FILTER_OF_NONE : FILTER_OF_SOME;
    case FILTER_ITEMS:
    case FILTER_ITEMS_ALL:
    case FILTER_ITEMS_SUM:
        return c == NULL ? same_for_all(takes_no_items(f)) : FILTER_OF_SOME;
    case FILTER_PERSONS:
    case FILTER_CHANGES:
        break;
    }
    return FILTER_OF_SOME;
}

FilterNeeds filter_needs(const Filter *f)
{
    FilterNeeds needs = {0};
    if (f == NULL)
        return needs;
    needs.block = f->kind == FILTER_PERSONS || f->kind == FILTER_CHANGES;
    needs.keys = f->kind == FILTER_TIME || needs.block;
    for (uint32_t a = 0; a < f->arg_count; a++) {
        const FilterNeeds more = filter_needs(f->args[a]);
        needs.keys |= more.keys;
        needs.block |= more.block;
    }
    return needs;
}
