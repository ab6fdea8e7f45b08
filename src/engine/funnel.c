/*
 * engine/funnel.c -- how far persons get.
 *
 * Going through a person's events in order, start[k] is the latest first step from which steps 0 to k were
 * done within the window.  An event of step k moves start[k - 1] to start[k] when that is not too long ago.
 * A later start can do whatever an earlier one can, but for reaching further back, and starts only grow:
 * so the furthest step that was ever reached is the longest way of all entries, in one pass.
 *
 * That needs no more than the starts of each person: the rows are taken as they come, in stretches.  When
 * something went which way (times), only the first entry counts, or the order is another one, whole persons are
 * looked at.
 */
#include "engine/query.h"

#include <stdlib.h>

#define NEVER (INT64_MIN / 2)

typedef struct FunnelWorker {
    const Funnel *f;
    Scanner *scanner;
    int64_t to_ms;   /* the end of the entries' range, behind the scanner's base */
    int64_t *starts; /* per person of the piece: step_count + 1, the first is scratch */
    uint64_t persons[QUERY_STEPS_MAX];
    uint64_t ms[QUERY_STEPS_MAX];
} FunnelWorker;

typedef struct FunnelRun {
    const Funnel *f;
    FunnelWorker *workers;
} FunnelRun;

/* Rows of one person: [from, to) of the batch. */
typedef struct Person {
    const ScanBatch *b;
    uint32_t from, to;
    int64_t to_ms; /* entries are before it */
} Person;

/* ---- in the order of the steps ------------------------------------------------------------------ */

/* An event that several steps would take fills the furthest that it can, none of them twice. */
static void fill_steps(const Funnel *f, uint32_t steps, int64_t at, int64_t *start)
{
    for (uint32_t left = steps & ~1U; left != 0;) {
        const uint32_t k = 31 - (uint32_t)__builtin_clz(left);
        left &= ~(1U << k);
        if (at - start[k - 1] <= f->window_ms)
            start[k] = start[k - 1];
    }
    if ((steps & 1) != 0 && (f->entry == FUNNEL_BEST || start[0] == NEVER))
        start[0] = at;
}

/* How many steps were done. */
static uint32_t depth_of(const Funnel *f, const Person *p)
{
    int64_t start[QUERY_STEPS_MAX];
    for (uint32_t k = 0; k < f->step_count; k++)
        start[k] = NEVER;
    for (uint32_t row = p->from; row < p->to; row++)
        fill_steps(f, p->b->rows[row].selects, scan_ms(p->b, row), start);
    uint32_t depth = 0;
    while (depth < f->step_count && start[depth] != NEVER)
        depth++;
    return depth;
}

/* The way from this first step, every next step as early as it goes.  How many steps, and when. */
static uint32_t walk(const Funnel *f, const Person *p, uint32_t row, int64_t *at)
{
    at[0] = scan_ms(p->b, row);
    uint32_t done = 1;
    while (++row < p->to && done < f->step_count && scan_ms(p->b, row) - at[0] <= f->window_ms)
        if ((p->b->rows[row].selects >> done & 1) != 0)
            at[done++] = scan_ms(p->b, row);
    return done;
}

/* The first row of the earliest way of `depth` steps; there is one.
 *
 * From the last row to the first: ends[k] is when steps k to depth - 1 can be done soonest by rows that were
 * seen.  Only the soonest end matters to whatever comes before it. */
static uint32_t find_entry(const Funnel *f, const Person *p, uint32_t depth)
{
    int64_t ends[QUERY_STEPS_MAX];
    for (uint32_t k = 0; k < depth; k++)
        ends[k] = NEVER;
    uint32_t entry = p->to;
    for (uint32_t row = p->to; row-- > p->from;) {
        const uint32_t steps = p->b->rows[row].selects;
        const int64_t at = scan_ms(p->b, row);
        if ((steps & 1) != 0 && ends[1] != NEVER && ends[1] - at <= f->window_ms)
            entry = row;
        for (uint32_t k = 1; k < depth; k++) /* upwards: a row fills one step of a way */
            if ((steps >> k & 1) != 0)
                ends[k] = k + 1 == depth ? at : ends[k + 1];
    }
    return entry;
}

/* When the steps were done: on the earliest of the longest ways. */
static void add_times(const Funnel *f, const Person *p, uint32_t depth, uint64_t *ms)
{
    int64_t at[QUERY_STEPS_MAX];
    const uint32_t entry = find_entry(f, p, depth);
    CHECK(entry < p->to && walk(f, p, entry, at) == depth);
    for (uint32_t k = 1; k < depth; k++)
        ms[k] += (uint64_t)(at[k] - at[k - 1]);
}

static uint32_t go_in_sequence(const Funnel *f, const Person *p, uint64_t *ms)
{
    const uint32_t depth = depth_of(f, p);
    if (f->times && depth > 1)
        add_times(f, p, depth, ms);
    return depth;
}

/* ---- in any order -------------------------------------------------------------------------------
 *
 * Events fill steps, one each: a matching.  Which sets of events can be matched at once is a matroid, so taking
 * the soonest events one by one is the best at every size: of the events behind any instant, the soonest that
 * fill k steps are the first k of the soonest that fill as many as can be.  Going from the last row to the
 * first, each row is the soonest: it comes in, and the latest of those that it can stand for leaves.
 */

enum { NOWHERE = QUERY_STEPS_MAX };

/* What fills one step now; without steps of its own the place is empty, and later than all. */
typedef struct Filling {
    int64_t at;
    uint32_t steps; /* that it would fill */
} Filling;

/* Looks for the latest of those that would leave their step to another, or to this event, and so on. */
static void fill_soonest(Filling *filled, Filling event)
{
    uint8_t mover[QUERY_STEPS_MAX]; /* the step whose filling would come here */
    uint32_t latest = NOWHERE, seen = event.steps;
    for (uint32_t left = event.steps; left != 0;) {
        const uint32_t k = (uint32_t)__builtin_ctz(left);
        const uint32_t more = filled[k].steps & ~seen;
        left = (left & (left - 1)) | more;
        seen |= more;
        for (uint32_t next = more; next != 0; next &= next - 1)
            mover[__builtin_ctz(next)] = (uint8_t)k;
        if (latest == NOWHERE || filled[k].at > filled[latest].at)
            latest = k;
    }
    for (; (event.steps >> latest & 1) == 0; latest = mover[latest])
        filled[latest] = filled[mover[latest]];
    filled[latest] = event;
}

__extension__ typedef unsigned __int128 WaySum;

/* The longest ways of a person so far: each event may begin one. */
typedef struct Ways {
    uint32_t depth;
    uint32_t count;
    WaySum ms[QUERY_STEPS_MAX];
} Ways;

/* When steps were done until `end`, ascending.  How many. */
static uint32_t sort_until(const Funnel *f, const Filling *filled, int64_t end, int64_t *at)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < f->step_count; k++) {
        if (filled[k].at > end)
            continue;
        uint32_t i = n++;
        for (; i > 0 && at[i - 1] > filled[k].at; i--)
            at[i] = at[i - 1];
        at[i] = filled[k].at;
    }
    return n;
}

/* The way that begins here. */
static void add_way(const Funnel *f, const Filling *filled, int64_t start, Ways *ways)
{
    int64_t at[QUERY_STEPS_MAX];
    const uint32_t depth = sort_until(f, filled, start + f->window_ms, at);
    if (depth < ways->depth)
        return;
    if (depth > ways->depth)
        *ways = (Ways){.depth = depth};
    ways->count++;
    for (uint32_t k = 1; k < depth; k++)
        ways->ms[k] += (uint64_t)(at[k] - at[k - 1]);
}

static uint32_t go_in_any_order(const Funnel *f, const Person *p, uint64_t *ms)
{
    Filling filled[QUERY_STEPS_MAX];
    Ways ways = {0};
    for (uint32_t k = 0; k < f->step_count; k++)
        filled[k] = (Filling){.at = INT64_MAX};
    for (uint32_t row = p->to; row-- > p->from;) {
        const int64_t at = scan_ms(p->b, row);
        fill_soonest(filled, (Filling){at, p->b->rows[row].selects});
        if (at < p->to_ms)
            add_way(f, filled, at, &ways);
    }
    for (uint32_t k = 1; f->times && k < ways.depth; k++)
        ms[k] += (uint64_t)(ways.ms[k] / ways.count);
    return ways.depth;
}

/* ---- strictly: row by row ----------------------------------------------------------------------- */

/* How many steps the rows from this one on are, one each; every event of the person is a row. */
static uint32_t count_strictly(const Funnel *f, const Person *p, uint32_t row)
{
    const int64_t start = scan_ms(p->b, row);
    uint32_t done = 0;
    for (; row < p->to && done < f->step_count; row++, done++)
        if ((p->b->rows[row].selects >> done & 1) == 0 || scan_ms(p->b, row) - start > f->window_ms)
            break;
    return done;
}

static uint32_t go_strictly(const Funnel *f, const Person *p, uint64_t *ms)
{
    uint32_t depth = 0, entry = p->from;
    for (uint32_t row = p->from; row < p->to; row++) {
        const uint32_t done = count_strictly(f, p, row);
        if (done > depth) {
            depth = done;
            entry = row;
        }
        if (done > 0 && f->entry == FUNNEL_FIRST)
            break;
    }
    for (uint32_t k = 1; f->times && k < depth; k++)
        ms[k] += (uint64_t)(scan_ms(p->b, entry + k) - scan_ms(p->b, entry + k - 1));
    return depth;
}

/* ---- in stretches ------------------------------------------------------------------------------- */

/* Most events fill one step: then the move needs no branch.  starts[0] stands for the start that a first step
 * is itself. */
static void take_stretch(const ScanStretch *s, void *arg)
{
    FunnelWorker *w = arg;
    const Funnel *f = w->f;
    const int64_t window_ms = f->window_ms;
    const uint32_t stride = f->step_count + 1;
    for (uint32_t i = 0; i < s->count; i++) {
        int64_t *const starts = w->starts + (size_t)s->local[i] * stride;
        const uint32_t steps = s->rows[i].selects;
        const int64_t at = (int64_t)s->rows[i].second * 1000 + (s->ms == NULL ? 0 : s->ms[i]);
        if (__builtin_expect((steps & (steps - 1)) != 0, 0)) {
            fill_steps(f, steps, at, starts + 1);
            continue;
        }
        const uint32_t step = (uint32_t)__builtin_ctz(steps);
        starts[0] = at;
        const int64_t before = starts[step], now = starts[step + 1];
        starts[step + 1] = at - before <= window_ms ? before : now;
    }
}

static void take_piece_in_stretches(uint32_t worker, uint32_t piece, void *arg)
{
    const FunnelRun *run = arg;
    FunnelWorker *w = &run->workers[worker];
    const uint32_t stride = run->f->step_count + 1;
    for (size_t i = 0; i < (size_t)SCAN_PIECE_PERSONS * stride; i++)
        w->starts[i] = NEVER;
    scanner_stretches(w->scanner, piece, take_stretch, w);
    for (uint32_t k = 0; k < run->f->step_count; k++) {
        uint64_t got = 0;
        for (uint32_t p = 0; p < SCAN_PIECE_PERSONS; p++)
            got += w->starts[(size_t)p * stride + k + 1] != NEVER;
        w->persons[k] += got;
    }
}

/* ---- person by person --------------------------------------------------------------------------- */

/* How many steps the person did; adds the times between them when they are wanted. */
typedef uint32_t (*GoFn)(const Funnel *f, const Person *p, uint64_t *ms);

static const GoFn GO[] = {[FUNNEL_SEQUENTIAL] = go_in_sequence,
                          [FUNNEL_ANY] = go_in_any_order,
                          [FUNNEL_STRICT] = go_strictly};

static void take_piece(uint32_t worker, uint32_t piece, void *arg)
{
    const FunnelRun *run = arg;
    FunnelWorker *w = &run->workers[worker];
    ScanBatch b;
    if (!scanner_batch(w->scanner, piece, &b))
        return;
    for (uint32_t i = 0; i < b.person_count; i++) {
        const Person p = {&b, b.from[i], b.from[i + 1], w->to_ms};
        const uint32_t depth = GO[run->f->order](run->f, &p, w->ms);
        for (uint32_t k = 0; k < depth; k++)
            w->persons[k]++;
    }
}

static Err run_funnel(Ctx *ctx, const Query *q, FunnelRun *run, const ScanAsk *ask)
{
    const uint32_t size = crew_size(q->crew);
    const bool whole_persons =
        run->f->times || run->f->entry != FUNNEL_BEST || run->f->order != FUNNEL_SEQUENTIAL;
    for (uint32_t i = 0; i < size; i++) {
        FunnelWorker *w = &run->workers[i];
        w->f = run->f;
        w->scanner = scanner_new(q->view, ask);
        w->to_ms = run->f->steps[0].to_ms - scanner_base_ms(w->scanner);
        w->starts = malloc((size_t)SCAN_PIECE_PERSONS * (QUERY_STEPS_MAX + 1) * sizeof *w->starts);
        CHECK(w->starts != NULL);
    }
    const CrewJob job = {.pieces = scan_pieces(q->view),
                         .first_piece = 1, /* nobody goes through a funnel */
                         .piece = whole_persons ? take_piece : take_piece_in_stretches,
                         .arg = run,
                         .until_us = q->until_us,
                         .stop = q->stop};
    Err err = crew_run(ctx, q->crew, &job);
    bool damaged = false;
    for (uint32_t i = 0; i < size; i++) {
        damaged = damaged || scanner_damaged(run->workers[i].scanner) > 0;
        scanner_free(run->workers[i].scanner);
        free(run->workers[i].starts);
    }
    if (err == ERR_OK && damaged)
        err = fail(ctx, ERR_INTERNAL, "events.part_damaged", "a funnel met damage");
    return err;
}

/* One per step, and of a strict funnel one behind them that makes every other event a row. */
static ScanAsk ask_steps(Ctx *ctx, const Funnel *f)
{
    const bool others = f->order == FUNNEL_STRICT;
    const ScanSelect every = {.events = NULL};
    const uint32_t count = f->step_count + others;
    ScanSelect *selects = ARENA_ARRAY(ctx->arena, ScanSelect, count);
    for (uint32_t k = 0; k < count; k++) {
        selects[k] = k < f->step_count ? f->steps[k] : every;
        selects[k].from_ms = f->steps[0].from_ms;
        if (__builtin_add_overflow(f->steps[0].to_ms, f->window_ms, &selects[k].to_ms))
            selects[k].to_ms = INT64_MAX;
    }
    if (f->order != FUNNEL_ANY)
        selects[0].to_ms = f->steps[0].to_ms;
    return (ScanAsk){.selects = selects, .select_count = count};
}

Err query_funnel(Ctx *ctx, const Query *q, const Funnel *f, FunnelResult *out)
{
    if (f->step_count == 0 || f->step_count > QUERY_STEPS_MAX)
        return fail(ctx, ERR_INVALID, "query.too_large", "%u steps", f->step_count);
    CHECK(f->order != FUNNEL_ANY || f->entry == FUNNEL_BEST);
    const ScanAsk ask = ask_steps(ctx, f);
    FunnelRun run = {.f = f};
    run.workers = calloc(crew_size(q->crew), sizeof *run.workers);
    CHECK(run.workers != NULL);
    const Err err = run_funnel(ctx, q, &run, &ask);
    *out = (FunnelResult){0};
    for (uint32_t i = 0; err == ERR_OK && i < crew_size(q->crew); i++)
        for (uint32_t k = 0; k < f->step_count; k++) {
            out->persons[k] += run.workers[i].persons[k];
            out->ms[k] += run.workers[i].ms[k];
        }
    free(run.workers);
    return err;
}
