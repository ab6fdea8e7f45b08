/*
 * engine/ask/funnel_starts.c
 */
#include "engine/ask/funnel_starts.h"

#include "engine/ask/funnel_ways.h"
#include "engine/core/bits.h"

#include <stdlib.h>

/* Starts of one step stand side by side; the room behind them keeps those of several steps out of the same cache set.
 * All of them together should stay in a cache of the second level. */
enum { ROW = SCAN_PIECE_PERSONS + 16, PLACES_MAX = 128 };

/* ---- which funnels ----------------------------------------------------------------------------------- */

static bool same_prop(const ScanProp *a, const ScanProp *b)
{
    return a->prop == b->prop && a->of_item == b->of_item && a->changes == b->changes;
}

/* The property whose values tell one way from another.  NULL: none does; *simple: there are not several. */
static const ScanProp *key_of(const Funnel *f, bool *simple)
{
    const uint32_t each = f->credit == FUNNEL_EACH_STEP ? f->breakdown_count : 0;
    const ScanProp *key = each > 0 ? &f->breakdown[0] : f->hold_count > 0 ? &f->hold[0] : NULL;
    *simple = each == f->breakdown_count;
    for (uint32_t i = 0; i < each; i++)
        *simple = *simple && same_prop(key, &f->breakdown[i]);
    for (uint32_t i = 0; i < f->hold_count; i++)
        *simple = *simple && same_prop(key, &f->hold[i]);
    return key;
}

static uint32_t places_of(uint32_t values, const Funnel *f)
{
    return values * (f->step_count + 1) + 1;
}

static uint32_t window_s(const Funnel *f)
{
    return (uint32_t)((f->window_ms + 999) / 1000);
}

bool funnel_has_starts(const Funnel *f, const ScanView *view, ScanAsk *ask)
{
    bool simple = false;
    const ScanProp *key = key_of(f, &simple);
    if (!simple || !funnel_is_plain(f) || f->times || !scan_seconds_fit(view, f->window_ms))
        return false;
    ScanAsk mine = *ask;
    mine.props = key;
    mine.prop_count = key != NULL;
    if (key != NULL) {
        const uint32_t largest = scan_largest_code(view, &mine, *key);
        if (key->of_item || key->prop == PROP_EVENT || largest > PLACES_MAX ||
            places_of(largest + 1, f) > PLACES_MAX)
            return false;
    }
    *ask = mine;
    return true;
}

/* Room for all values that the bits of the largest can say: a forged file may have more than its columns say.  Nobody
 * looks at these. */
static void *room_of(const FunnelStarts *s, size_t size)
{
    const uint32_t values = UINT32_C(1) << bits_width(s->values - 1);
    void *fresh = calloc((size_t)places_of(values, s->f) * ROW, size);
    CHECK(fresh != NULL);
    return fresh;
}

void funnel_starts_open(FunnelStarts *s, const Funnel *f, Scanner *scanner, const ScanView *view,
                        const ScanAsk *ask)
{
    *s = (FunnelStarts){.f = f, .scanner = scanner, .values = 1, .bias_s = window_s(f) + 1};
    if (ask->prop_count > 0)
        s->values += scan_largest_code(view, ask, ask->props[0]);
    s->seconds = room_of(s, sizeof *s->seconds);
}

void funnel_starts_free(FunnelStarts *s)
{
    free(s->seconds);
    free(s->ms);
}

/* ---- rows ---------------------------------------------------------------------------------------------- */

/* What one row moves: `place` is the one before the start of step 0. */
typedef struct Move {
    size_t place;
    uint32_t second, ms;
} Move;

static inline bool in_window(const FunnelStarts *s, const Move *m, size_t before, bool has_ms)
{
    const uint32_t gap_s = m->second - s->seconds[before];
    if (!has_ms)
        return (int64_t)gap_s * 1000 <= s->f->window_ms;
    return (int64_t)gap_s * 1000 + m->ms - s->ms[before] <= s->f->window_ms;
}

/* A row of several steps fills the furthest that it can, none of them twice: from the last to the first. */
static void move_several(const FunnelStarts *s, const Move *m, uint32_t steps, bool has_ms)
{
    for (uint32_t left = steps; left != 0;) {
        const uint32_t k = 31 - (uint32_t)__builtin_clz(left);
        const size_t before = m->place + (size_t)k * ROW, at = before + ROW;
        left &= ~(1U << k);
        if (k > 0 && !in_window(s, m, before, has_ms))
            continue;
        s->seconds[at] = k == 0 ? m->second : s->seconds[before];
        if (has_ms)
            s->ms[at] = k == 0 ? (uint16_t)m->ms : s->ms[before];
    }
}

/* A row of one step, or of none: then it moves what is no start, of the value behind.  In place of a branch on the first
 * step its own second stands where the start before it would. */
static void move_one(const FunnelStarts *s, const Move *m, uint32_t step)
{
    const size_t before = m->place + (size_t)step * ROW, at = before + ROW;
    s->seconds[m->place] = m->second;
    s->ms[m->place] = (uint16_t)m->ms;
    if (!in_window(s, m, before, true))
        return;
    s->seconds[at] = s->seconds[before];
    s->ms[at] = s->ms[before];
}

static uint32_t bits_at(const ScanStretch *rows, uint32_t i)
{
    return rows->bits != NULL ? rows->bits[i] : rows->of_list[rows->lists[i]];
}

static Move move_at(const FunnelStarts *s, const ScanStretch *rows, uint32_t i)
{
    const uint32_t key = rows->keys[i];
    const size_t value = rows->codes != NULL ? rows->codes[i] : 0;
    return (Move){.place = (key >> PART_SECOND_BITS) + value * (s->f->step_count + 1) * ROW,
                  .second = rows->week_s + s->bias_s + (key & PART_SECOND_MASK),
                  .ms = rows->ms != NULL ? rows->ms[i] : 0};
}

static bool is_one_step(uint32_t bits)
{
    return (bits & (bits - 1)) == 0;
}

static void take_ms(const FunnelStarts *s, const ScanStretch *rows)
{
    for (uint32_t i = 0; i < rows->count; i++) {
        const Move m = move_at(s, rows, i);
        const uint32_t bits = bits_at(rows, i);
        if (is_one_step(bits))
            move_one(s, &m, (uint32_t)__builtin_ctz(bits | 1U << s->f->step_count));
        else
            move_several(s, &m, bits, true);
    }
}

/* The same without milliseconds, for speed: as move_one() and move_several(). */
static inline __attribute__((always_inline)) void
take_seconds(const FunnelStarts *s, const ScanStretch *rows, bool has_bits, bool has_codes)
{
    const uint32_t none = 1U << s->f->step_count, stride = (s->f->step_count + 1) * ROW;
    const uint32_t base_s = rows->week_s + s->bias_s;
    const uint32_t whole_s = (uint32_t)(s->f->window_ms / 1000), count = rows->count;
    const uint32_t *const keys = rows->keys, *const bits_of = rows->bits,
                          *const codes = rows->codes;
    const uint32_t *const of_list = rows->of_list;
    const uint8_t *const lists = rows->lists;
    uint32_t *const seconds = s->seconds;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t bits = has_bits ? bits_of[i] : of_list[lists[i]];
        const uint32_t second = base_s + (keys[i] & PART_SECOND_MASK);
        const uint32_t place = (keys[i] >> PART_SECOND_BITS) + (has_codes ? codes[i] * stride : 0);
        if (__builtin_expect(!is_one_step(bits), 0)) {
            move_several(s, &(Move){.place = place, .second = second}, bits, false);
            continue;
        }
        const uint32_t from = place + (uint32_t)__builtin_ctz(bits | none) * ROW;
        seconds[place] = second;
        const uint32_t before = seconds[from], now = seconds[from + ROW];
        seconds[from + ROW] = second - before <= whole_s ? before : now;
    }
}

/* Rows mostly have whole seconds, or all of them milliseconds. */
static void begin_ms(FunnelStarts *s)
{
    const size_t bytes = (size_t)places_of(s->values, s->f) * ROW * sizeof *s->ms;
    if (s->ms == NULL)
        s->ms = room_of(s, sizeof *s->ms);
    memset(s->ms, 0, bytes);
    s->has_ms = true;
}

static void take_stretch(const ScanStretch *rows, void *arg)
{
    FunnelStarts *s = arg;
    if (rows->ms != NULL && !s->has_ms)
        begin_ms(s);
    const bool has_bits = rows->bits != NULL, has_codes = rows->codes != NULL;
    if (s->has_ms)
        take_ms(s, rows);
    else if (has_codes)
        take_seconds(s, rows, has_bits, true);
    else if (has_bits)
        take_seconds(s, rows, true, false);
    else
        take_seconds(s, rows, false, false);
}

/* ---- persons ------------------------------------------------------------------------------------------- */

static const uint32_t *starts_of(const FunnelStarts *s, uint32_t value, uint32_t step)
{
    return s->seconds + ((size_t)value * (s->f->step_count + 1) + step + 1) * ROW;
}

static uint64_t count_starts(const uint32_t *starts)
{
    uint32_t n = 0;
    for (uint32_t p = 0; p < SCAN_PIECE_PERSONS; p++)
        n += starts[p] != 0;
    return n;
}

/* Whoever did the step with any value, once. */
static uint64_t count_any(const FunnelStarts *s, uint32_t first_value, uint32_t step)
{
    uint32_t any[SCAN_PIECE_PERSONS] = {0};
    for (uint32_t value = first_value; value < s->values; value++) {
        const uint32_t *starts = starts_of(s, value, step);
        for (uint32_t p = 0; p < SCAN_PIECE_PERSONS; p++)
            any[p] |= starts[p];
    }
    return count_starts(any);
}

static void count_value(const FunnelStarts *s, uint32_t value, FunnelCount *count)
{
    uint64_t persons[QUERY_STEPS_MAX];
    TallyKey key = {{0}};
    for (uint32_t k = 0; k < s->f->step_count; k++)
        persons[k] = count_starts(starts_of(s, value, k));
    for (uint32_t i = 0; i < s->f->breakdown_count; i++)
        key.of[i] = value == 0 ? SCAN_MISSING : (int64_t)value;
    if (persons[0] > 0)
        funnel_count_persons(count, &key, persons);
}

void funnel_starts_piece(FunnelStarts *s, uint32_t piece, FunnelCount *count)
{
    const uint32_t first_value = s->f->hold_count > 0; /* what is held must be there */
    uint64_t persons[QUERY_STEPS_MAX];
    memset(s->seconds, 0, (size_t)places_of(s->values, s->f) * ROW * sizeof *s->seconds);
    s->has_ms = false;
    scanner_stretches(s->scanner, piece, take_stretch, s);
    for (uint32_t k = 0; k < s->f->step_count; k++)
        persons[k] =
            s->values == 1 ? count_starts(starts_of(s, 0, k)) : count_any(s, first_value, k);
    funnel_count_persons(count, NULL, persons);
    for (uint32_t value = first_value; s->f->breakdown_count > 0 && value < s->values; value++)
        count_value(s, value, count);
}
