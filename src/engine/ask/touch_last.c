/*
 * engine/ask/touch_last.c
 */
#include "engine/ask/touch_last.h"

#include <stdlib.h>

enum { CODES_MAX = 4096 };

static uint32_t codes_of(const Touch *t, const ScanView *view, const ScanAsk *ask)
{
    const uint32_t largest = scan_largest_code(view, ask, t->breakdown[0]);
    return largest >= CODES_MAX ? UINT32_MAX : largest + 1;
}

bool touch_is_last(const Touch *t, const ScanView *view, const ScanAsk *ask)
{
    return t->model == TOUCH_LAST && t->which == TOUCH_EACH && t->breakdown_count == 1 &&
           !t->breakdown[0].of_item && t->breakdown[0].prop != PROP_EVENT &&
           scan_seconds_fit(view, t->look_back_ms) && codes_of(t, view, ask) <= CODES_MAX;
}

LastTouches *last_touches_new(const Touch *t, const ScanView *view, const ScanAsk *ask)
{
    LastTouches *l = calloc(1, sizeof *l);
    CHECK(l != NULL);
    l->t = t;
    l->codes = codes_of(t, view, ask);
    l->bias_s = (uint32_t)(t->look_back_ms / 1000) + 2;
    l->earned = calloc((size_t)l->codes + 1, sizeof *l->earned);
    CHECK(l->earned != NULL);
    return l;
}

void last_touches_free(LastTouches *l)
{
    if (l == NULL)
        return;
    free(l->earned);
    free(l);
}

/* ---- rows ------------------------------------------------------------------------------------------------ */

static int64_t worth_at(const Touch *t, const ScanStretch *rows, uint32_t row)
{
    if (t->number == NULL)
        return TOUCH_UNITS;
    return rows->numbers[row] == SCAN_MISSING ? 0 : rows->numbers[row];
}

static void convert(LastTouches *l, uint32_t person, uint32_t second, uint32_t ms, int64_t worth)
{
    const int64_t behind_ms = (int64_t)(second - l->seconds[person]) * 1000 + ms - l->ms[person];
    TouchEarned *const e = &l->earned[behind_ms <= l->t->look_back_ms ? 1 + l->code[person] : 0];
    e->credit += worth;
    e->conversions++;
}

/* What is both looks back before it is looked at. */
static void take_stretch(const ScanStretch *rows, void *arg)
{
    LastTouches *l = arg;
    const uint32_t base_s = rows->week_s + l->bias_s;
    for (uint32_t i = 0; i < rows->count; i++) {
        const uint32_t bits = rows->bits != NULL ? rows->bits[i] : rows->of_list[rows->lists[i]];
        const uint32_t person = rows->keys[i] >> PART_SECOND_BITS;
        const uint32_t second = base_s + (rows->keys[i] & PART_SECOND_MASK);
        const uint32_t ms = rows->ms == NULL ? 0 : rows->ms[i];
        if ((bits & TOUCH_CONVERSION) != 0)
            convert(l, person, second, ms, worth_at(l->t, rows, i));
        if ((bits & TOUCH_TOUCHED) == 0)
            continue;
        l->seconds[person] = second;
        l->ms[person] = (uint16_t)ms;
        l->code[person] = rows->codes[i];
    }
}

void last_touches_piece(LastTouches *l, Scanner *scanner, uint32_t piece)
{
    memset(l->seconds, 0, sizeof l->seconds);
    memset(l->ms, 0, sizeof l->ms);
    scanner_stretches(scanner, piece, take_stretch, l);
}
