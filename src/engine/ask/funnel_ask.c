/*
 * engine/ask/funnel_ask.c
 */
#include "engine/ask/funnel_ask.h"

#include "engine/ask/funnel_count.h"
#include "engine/ask/funnel_ways.h"
#include "engine/ask/session.h"

/* ---- of the scan --------------------------------------------------------------------------------- */

static ScanSelect in_time(const Funnel *f, ScanSelect select, bool is_entry)
{
    const ScanSelect *first = &f->steps[0];
    select.from_ms = first->from_ms;
    select.to_ms = first->to_ms;
    if (is_entry && funnel_is_of_ever(f))
        select.from_ms = QUERY_EVER_MS;
    if (is_entry)
        return select;
    if (__builtin_sub_overflow(first->from_ms, f->grace_ms, &select.from_ms))
        select.from_ms = INT64_MIN;
    if (__builtin_add_overflow(first->to_ms, f->window_ms, &select.to_ms))
        select.to_ms = INT64_MAX;
    return select;
}

/* What makes every event a row: sessions go on from before the range. */
static ScanSelect every_event(const Funnel *f)
{
    ScanSelect every = in_time(f, (ScanSelect){.events = NULL}, false);
    if (f->window_sessions > 0 &&
        __builtin_sub_overflow(f->steps[0].from_ms, f->session_max_ms, &every.from_ms))
        every.from_ms = INT64_MIN;
    return every;
}

ScanAsk funnel_ask(Ctx *ctx, const Funnel *f)
{
    ScanSelect *selects = ARENA_ARRAY(ctx->arena, ScanSelect, SCAN_SELECTS_MAX);
    uint32_t count = f->step_count + f->exclude_count;
    for (uint32_t i = 0; i < f->step_count; i++)
        selects[i] = in_time(f, f->steps[i], i == 0 && (f->order != FUNNEL_ANY || f->anchored));
    for (uint32_t i = 0; i < f->exclude_count; i++)
        selects[f->step_count + i] = in_time(f, f->excludes[i].select, false);
    if (funnel_asks_every(f))
        selects[count++] = every_event(f);
    if (f->entry == FUNNEL_FIRST_NAMED) {
        selects[count] = in_time(f, f->steps[0], true);
        selects[count++].filter = NULL;
    }
    ScanProp *props = ARENA_ARRAY(ctx->arena, ScanProp, QUERY_BREAKDOWNS_MAX + FUNNEL_HOLDS_MAX);
    for (uint32_t i = 0; i < f->breakdown_count; i++)
        props[i] = f->breakdown[i];
    for (uint32_t i = 0; i < f->hold_count; i++)
        props[f->breakdown_count + i] = f->hold[i];
    return (ScanAsk){.selects = selects,
                     .select_count = count,
                     .props = props,
                     .prop_count = f->breakdown_count + f->hold_count};
}

/* ---- limits -------------------------------------------------------------------------------------- */

static bool may_hold_steps(const Funnel *f)
{
    const bool first = (f->hold_steps & 1) != 0;
    return f->hold_count > 0 && (f->hold_steps >> f->step_count) == 0 &&
           f->credit != FUNNEL_EACH_STEP && (!funnel_counts_ways(f) || first) &&
           (f->order == FUNNEL_SEQUENTIAL || (f->order == FUNNEL_ANY && f->anchored && first));
}

static bool may_hold_first(const Funnel *f)
{
    return f->hold_count > 0 && (f->hold_steps == 0 || (f->hold_steps & 1) != 0) &&
           f->credit != FUNNEL_EACH_STEP && (f->order != FUNNEL_ANY || f->anchored);
}

Err funnel_check(Ctx *ctx, const Funnel *f)
{
    const bool fits = f->step_count > 0 && f->step_count <= QUERY_STEPS_MAX &&
                      f->exclude_count <= FUNNEL_EXCLUDES_MAX &&
                      f->hold_count <= FUNNEL_HOLDS_MAX &&
                      f->breakdown_count <= QUERY_BREAKDOWNS_MAX && f->top <= QUERY_GROUPS_MAX &&
                      f->interval_count <= QUERY_INTERVALS_MAX;
    if (!fits)
        return fail(ctx, ERR_INVALID, "query.too_large", "%u steps, %u series, %u intervals",
                    f->step_count, f->top, f->interval_count);
    if ((f->top + 2) * (f->interval_count + 1) * f->step_count > QUERY_CELLS_MAX)
        return fail(ctx, ERR_INVALID, "query.too_large", "%u series, %u intervals, %u steps",
                    f->top, f->interval_count, f->step_count);
    CHECK(funnel_shape(f).room > f->top + 1 || f->breakdown_count == 0);
    CHECK(f->order != FUNNEL_ANY || f->anchored || f->entry == FUNNEL_BEST ||
          funnel_counts_ways(f));
    CHECK(f->order == FUNNEL_ANY || !f->anchored);
    CHECK(f->grace_ms == 0 ||
          (f->order == FUNNEL_SEQUENTIAL && f->grace_ms <= FUNNEL_GRACE_MS_MAX));
    CHECK(f->window_sessions == 0 ||
          (f->window_sessions <= FUNNEL_SESSIONS_MAX && f->session_gap_ms > 0 &&
           f->session_max_ms > 0 && f->session_max_ms <= SESSION_MS_MAX));
    CHECK(f->credit != FUNNEL_ONE_STEP || f->credit_step < f->step_count);
    CHECK(!f->credit_unreached ||
          (f->credit == FUNNEL_ONE_STEP && f->breakdown_count < QUERY_BREAKDOWNS_MAX));
    CHECK(f->entry != FUNNEL_NEAREST || f->order != FUNNEL_ANY);
    CHECK(f->hold_steps == 0 || may_hold_steps(f));
    CHECK(!f->hold_first || may_hold_first(f));
    for (uint32_t i = 0; i < f->exclude_count; i++)
        CHECK(f->excludes[i].from_step < f->excludes[i].to_step &&
              f->excludes[i].to_step < f->step_count);
    return ERR_OK;
}
